/*
 * serve.c - `holdfast serve`: makes the configuration of defaults, file and options, and hands it to the supervisor.
 */
#include "api/api.h"
#include "base/buf.h"
#include "cli/commands.h"
#include "server/config.h"
#include "server/logger.h"
#include "server/supervisor.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    ERROR_MAX = 1024,
    TEXT_MAX = 1 << 20, /* of the help and the reference, which are a few KiB */
};

enum { OPT_CONFIG = 1, OPT_LISTEN, OPT_API, OPT_WORKERS, OPT_ECHO, OPT_DEMO, OPT_SET, OPT_REFERENCE };

static const struct option options[] = {
    {"config", required_argument, NULL, OPT_CONFIG},
    {"listen", required_argument, NULL, OPT_LISTEN},
    {"api", required_argument, NULL, OPT_API},
    {"workers", required_argument, NULL, OPT_WORKERS},
    {"echo", no_argument, NULL, OPT_ECHO},
    {"demo", no_argument, NULL, OPT_DEMO},
    {"set", required_argument, NULL, OPT_SET},
    {"config-reference", no_argument, NULL, OPT_REFERENCE},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

static const char help_head[] =
    "Usage: holdfast serve [OPTION...]\n"
    "Serve in the foreground until SIGTERM or SIGINT, logging to standard error.\n\n"
    "  --config FILE         read this YAML file; the dots in a key are its nesting\n"
    "  --listen ADDR:PORT    serve clients here; may be given up to 8 times (127.0.0.1:8000)\n"
    "  --api ADDR:PORT       serve the HTTP API here (127.0.0.1:8001); unix:PATH: on a Unix\n"
    "                        socket; none: not at all\n"
    "  --workers N|auto      worker processes (one per CPU, or more where limits.connections needs them)\n"
    "  --echo                serve a plain WebSocket echo on /echo\n"
    "  --demo                serve a page that shows it all, and may break it, on the HTTP API's port\n"
    "  --set KEY=VALUE       set one of the keys below; may be given again\n"
    "  --config-reference    print the reference of all keys, as Markdown\n\n"
    "Keys, their defaults, and what is allowed:\n";

/* What was asked instead of serving. */
enum request { REQUEST_SERVE, REQUEST_HELP, REQUEST_REFERENCE };

struct serve {
    struct hf_config config;
    enum request request;
    bool listens; /* --listen was given: its addresses replace those of the file */
    char error[ERROR_MAX];
};

/* One line on standard error; returns the exit status. */
static int usage(const char *problem, const char *what)
{
    fprintf(stderr, "holdfast serve: %s%s\n", problem, what);
    return HF_EXIT_USAGE;
}

/* --- options --- */

static int set(struct serve *s, const char *key, const char *value, const char *origin)
{
    char assignment[512];

    if ((size_t)snprintf(assignment, sizeof(assignment), "%s=%s", key, value) >= sizeof(assignment)) {
        snprintf(s->error, sizeof(s->error), "%s: the value is too long", origin);
        return HF_EINVAL;
    }
    return hf_config_set(&s->config, assignment, origin, s->error, sizeof(s->error));
}

static int add_listen(struct serve *s, const char *address)
{
    if (!s->listens)
        s->config.listen_count = 0;
    s->listens = true;
    return hf_config_add_listen(&s->config, address, "--listen", s->error, sizeof(s->error));
}

/* config.h: "embedded defaults, a YAML file, the environment, --set and the short options, in this order", in whatever order they were given. */
enum pass { PASS_FILE, PASS_ENVIRONMENT, PASS_SET, PASS_SHORT, PASSES };

static int apply(struct serve *s, enum pass pass, int option, const char *value)
{
    if (pass == PASS_FILE)
        return option == OPT_CONFIG ? hf_config_load(&s->config, value, s->error, sizeof(s->error)) : 0;
    if (pass == PASS_ENVIRONMENT)
        return 0; /* No option has a part in it. */
    if (pass == PASS_SET)
        return option == OPT_SET ? hf_config_set(&s->config, value, "--set", s->error, sizeof(s->error)) : 0;
    switch (option) {
    case OPT_LISTEN:
        return add_listen(s, value);
    case OPT_API:
        return set(s, "api.listen", value, "--api");
    case OPT_WORKERS:
        return set(s, "workers", value, "--workers");
    case OPT_ECHO:
        s->config.echo = true;
        return 0;
    case OPT_DEMO:
        s->config.demo = true;
        return 0;
    default:
        return 0;
    }
}

static int apply_pass(struct serve *s, enum pass pass, int argc, char **argv)
{
    int option, err = 0;

    if (pass == PASS_ENVIRONMENT)
        return hf_config_environment(&s->config, environ, s->error, sizeof(s->error));
    optind = 0; /* glibc: begin anew. */
    while (err == 0 && (option = getopt_long(argc, argv, ":h", options, NULL)) != -1)
        err = apply(s, pass, option, optarg);
    return err;
}

/* Whether the options are such as there are. Returns 0, or the exit status after having said what is wrong. */
static int check_options(struct serve *s, int argc, char **argv)
{
    int option, files = 0;

    opterr = 0;
    optind = 0;
    while ((option = getopt_long(argc, argv, ":h", options, NULL)) != -1) {
        if (option == ':')
            return usage("a value is missing behind ", argv[optind - 1]);
        if (option == '?')
            return usage("unknown option, or one that takes no value: ", argv[optind - 1]);
        if (option == 'h')
            s->request = REQUEST_HELP;
        if (option == OPT_REFERENCE)
            s->request = REQUEST_REFERENCE;
        files += option == OPT_CONFIG;
    }
    if (optind < argc)
        return usage("takes no argument: ", argv[optind]);
    return files > 1 ? usage("--config may be given once", "") : 0;
}

/* Make the configuration of all that was given. Returns 0, or a negative enum hf_err with s->error. */
static int configure(struct serve *s, int argc, char **argv)
{
    int err = 0;

    s->listens = false;

    hf_config_default(&s->config);
    for (enum pass pass = PASS_FILE; pass < PASSES && err == 0; pass++)
        err = apply_pass(s, pass, argc, argv);
    if (err == 0)
        err = hf_config_check(&s->config, s->error, sizeof(s->error));
    return err;
}

/* --- again, on SIGHUP --- */

struct again {
    int argc;
    char **argv;
};

static int read_again(void *ctx, struct hf_config *out, char *error, size_t error_cap)
{
    struct again *again = ctx;
    struct serve *s = calloc(1, sizeof(*s));
    int err;

    if (s == NULL) {
        snprintf(error, error_cap, "%s", strerror(ENOMEM));
        return HF_ENOMEM;
    }
    err = configure(s, again->argc, again->argv);
    if (err < 0)
        snprintf(error, error_cap, "%s", s->error);
    else
        *out = s->config;
    free(s);
    return err;
}

/* --- what it prints --- */

static int print(const char *head, void (*describe)(struct hf_buf *out))
{
    struct hf_buf text;
    bool failed;

    hf_buf_init(&text, TEXT_MAX);
    hf_buf_puts(&text, head);
    describe(&text);
    failed = text.failed || fwrite(text.data, 1, text.len, stdout) != text.len || fflush(stdout) != 0;
    hf_buf_release(&text);
    return failed ? HF_EXIT_FAILED : HF_EXIT_OK;
}

/* An address to connect to: all addresses of the machine can be reached by its loopback address. */
static void put_reachable(struct hf_buf *out, const char *address)
{
    const char *port = strrchr(address, ':');

    if (strncmp(address, "0.0.0.0:", 8) == 0)
        hf_buf_putf(out, "127.0.0.1%s", port);
    else if (strncmp(address, "[::]:", 5) == 0)
        hf_buf_putf(out, "[::1]%s", port);
    else
        hf_buf_puts(out, address);
}

/* A command for a second terminal; with --url where the server is not where the commands look for it. */
static void put_command(struct hf_buf *out, const struct hf_config *c, const char *command,
                        const char *arguments)
{
    const char *address = c->listen_count > 0 ? c->listen[0] : c->tls_listen[0];

    hf_buf_putf(out, "    %s %s ", program_invocation_name, command);
    if (strcmp(address, "127.0.0.1:8000") != 0 && strcmp(address, "0.0.0.0:8000") != 0) {
        hf_buf_putf(out, "--url %s://", c->listen_count > 0 ? "ws" : "wss");
        put_reachable(out, address);
        hf_buf_puts(out, "/ws ");
    }
    hf_buf_putf(out, "%s\n", arguments);
}

/* A page of the API's port that a browser can open. */
static void put_page(struct hf_buf *out, const struct hf_config *c, const char *what, const char *path)
{
    hf_buf_putf(out, "    %-9s %s://", what, c->api_tls ? "https" : "http");
    put_reachable(out, c->api_listen);
    hf_buf_putf(out, "%s (open it in a browser)\n", path);
}

static bool api_has_a_port(const struct hf_config *c)
{
    return strcmp(c->api_listen, "none") != 0 && strncmp(c->api_listen, "unix:", 5) != 0;
}

static void put_addresses(struct hf_buf *out, const struct hf_config *c)
{
    hf_buf_puts(out, "holdfast " HF_VERSION " is serving\n");
    for (size_t i = 0; i < c->listen_count; i++)
        hf_buf_putf(out, "    clients   ws://%s/ws%s\n", c->listen[i], c->echo ? " and /echo" : "");
    for (size_t i = 0; i < c->tls_listen_count; i++)
        hf_buf_putf(out, "    clients   wss://%s/ws%s\n", c->tls_listen[i], c->echo ? " and /echo" : "");
    if (strcmp(c->api_listen, "none") != 0)
        hf_buf_putf(out, "    HTTP API  %s%s%s\n",
                    strncmp(c->api_listen, "unix:", 5) == 0 ? ""
                    : c->api_tls                            ? "https://"
                                                            : "http://",
                    c->api_listen,
                    c->api_key[0] != '\0' || c->api_key_count > 0
                        ? " (with a key)"
                        : " (from this machine only: no api.key is set)");
    if (c->api_admin && api_has_a_port(c))
        put_page(out, c, "admin", "/admin/");
    if (c->demo)
        put_page(out, c, "demo", "/");
}

static void put_ready_text(struct hf_buf *out, const struct hf_config *c)
{
    put_addresses(out, c);
    hf_buf_puts(out, "Try in two other terminals:\n");
    put_command(out, c, "sub", "demo");
    put_command(out, c, "pub", "demo hello");
    if (c->auth_key_count > 0 && !c->auth_anonymous)
        hf_buf_putf(out, "    each with --token and what %s token make writes\n", program_invocation_name);
    if (!c->demo)
        hf_buf_putf(out, "Or see it in a browser: stop this, and start %s serve --demo\n",
                    program_invocation_name);
}

/* Without memory for it the log has said that we are ready. */
static void tell_ready(const struct hf_config *c)
{
    struct hf_buf text;

    hf_buf_init(&text, TEXT_MAX);
    put_ready_text(&text, c);
    if (!text.failed)
        fwrite(text.data, 1, text.len, stderr);
    hf_buf_release(&text);
}

/* --- */

/* No error: a container's platform may put names of its own there, as Kubernetes does for a service that is called holdfast. */
static void tell_unknown(void *ctx, struct hf_str name, const char *nearest)
{
    (void)ctx;
    hf_log(HF_LOG_WARNING, "environment_unknown", hf_kv_str("variable", name),
           hf_kv_text("did_you_mean", nearest));
}

static int serve(const struct hf_config *config, const struct hf_config_source *source)
{
    hf_logger_open(STDERR_FILENO, config->log_level, config->log_format);
    hf_logger_identify(-1);
    hf_config_environment_unknown(environ, tell_unknown, NULL);
    signal(SIGPIPE, SIG_IGN); /* A reader of standard error that went away must not end the server. */
    return hf_supervisor_run(config, &hf_api_http, tell_ready, source);
}

int hf_cli_serve(int argc, char **argv)
{
    struct serve s = {.request = REQUEST_SERVE};
    struct again again = {argc, argv};
    int status = check_options(&s, argc, argv);

    if (status != 0)
        return status;
    if (s.request == REQUEST_HELP)
        return print(help_head, hf_config_help);
    if (s.request == REQUEST_REFERENCE)
        return print("", hf_config_describe);
    if (configure(&s, argc, argv) < 0)
        return usage(s.error, "");
    return serve(&s.config, &(struct hf_config_source){read_again, &again});
}
