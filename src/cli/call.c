/*
 * call.c - `holdfast call`: asks the application's backend, and writes its answer to standard output.
 */
#include "cli/commands.h"
#include "cli/peer.h"
#include "cli/print.h"
#include "wire/json.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { TIMEOUT_MS = 30000, LOOK_MS = 100 };

struct call {
    struct hf_peer peer; /* first: the callbacks about the connection take it */
    const char *method, *payload;
    bool json;
    bool closing;
    struct hf_print print;
};

static int help(void)
{
    printf("Usage: holdfast call [OPTION...] METHOD [JSON]\n"
           "Ask the application's backend (hooks.call.url): METHOD with JSON, or null, and write its answer "
           "to standard\n"
           "output; a text as it is, any other JSON value as JSON. It is asked once: where the connection "
           "breaks before\n"
           "the answer, the command says so and ends.\n\n"
           "  --json                 write a text as JSON, too\n" HF_PEER_HELP
           "  --timeout SECONDS      give up when there was no answer for so long (0: never; 30)\n"
           "  -v, --verbose          also tell about sessions\n");
    return HF_EXIT_OK;
}

/* --- the answer --- */

static void close_client(struct call *c)
{
    if (!c->closing)
        hf_client_close(c->peer.client);
    c->closing = true;
}

static void on_reply(void *user, const struct hf_client_reply *reply)
{
    struct call *c = user;
    const struct hf_client_message answer = {.payload = reply->payload, .payload_raw = reply->payload_raw};

    close_client(c);
    if (reply->code.len > 0) {
        hf_peer_say("%s: %.*s: %.*s", c->method, (int)reply->code.len, reply->code.data,
                    (int)reply->reason.len, reply->reason.len > 0 ? reply->reason.data : "");
        c->peer.failed = true;
    } else if (c->json && !reply->payload_raw) {
        (void)fwrite(reply->payload.data, 1, reply->payload.len, stdout);
        putchar('\n');
    } else {
        hf_print_message(&c->print, &answer);
    }
}

/* --- options --- */

enum { OPT_JSON = 256 };

/* Returns -1 to go on, or the exit status. */
static int take_option(struct call *c, int option, struct hf_client_options *options, char *const *argv)
{
    int status = hf_peer_take_option(&c->peer, "call", option, options);

    if (status != HF_PEER_NOT_MINE)
        return status;
    switch (option) {
    case OPT_JSON:
        c->json = true;
        return -1;
    case 'h':
        return help();
    default:
        return hf_peer_usage_option("call", option, argv);
    }
}

static int parse(struct call *c, struct hf_client_options *options, int argc, char **argv)
{
    static const struct option known[] = {
        {"json", no_argument, NULL, OPT_JSON},
        HF_PEER_OPTIONS,
        {NULL, 0, NULL, 0},
    };
    int option, status;

    while ((option = getopt_long(argc, argv, ":vh", known, NULL)) != -1) {
        status = take_option(c, option, options, argv);
        if (status >= 0)
            return status;
    }
    if (argc == optind)
        return hf_peer_usage("call", "no method given", "");
    if (argc - optind > 2)
        return hf_peer_usage("call", "one payload at a time, not also ", argv[optind + 2]);
    c->method = argv[optind];
    c->payload = argc - optind == 2 ? argv[optind + 1] : "null";
    options->call_timeout_ms = c->peer.timeout_ms;
    return -1;
}

/* --- running --- */

static int run(struct call *c)
{
    int running = 1;

    while (running > 0) {
        running = hf_client_step(c->peer.client, LOOK_MS);
        if (hf_peer_interrupted()) {
            c->peer.failed = true;
            close_client(c);
        }
    }
    if (running < 0)
        hf_peer_say("%s", hf_client_strerror(running));
    if (fflush(stdout) != 0 && errno != EPIPE) {
        hf_peer_say("standard output: %s", strerror(errno));
        return HF_EXIT_FAILED;
    }
    return running < 0 || c->peer.failed ? HF_EXIT_FAILED : HF_EXIT_OK;
}

/* Which of the two arguments it is that makes no sense. */
static int usage_of_arguments(const struct call *c)
{
    struct hf_str value;
    const char *reason;

    if (hf_json_check(hf_str_from(c->payload), true, &value, &reason) < 0)
        return hf_peer_usage(
            "call", "the payload is no JSON (a text has quotes within it: '\"text\"'): ", c->payload);
    return hf_peer_usage("call", "a method has 1 to 255 bytes of UTF-8, and not: ", c->method);
}

static int start(struct call *c, const struct hf_client_options *options)
{
    int status = hf_peer_start(&c->peer, "call", options), err;

    if (status > 0)
        return status;
    err = hf_client_call(c->peer.client, c->method, strlen(c->method), c->payload, strlen(c->payload), NULL);
    if (err == HF_CLIENT_ETOOLARGE)
        return hf_peer_usage("call", "larger than any server takes: ", c->method);
    if (err == HF_CLIENT_EINVAL)
        return usage_of_arguments(c);
    if (err < 0)
        hf_peer_say("%s", hf_client_strerror(err));
    return err == 0 ? -1 : HF_EXIT_FAILED;
}

int hf_cli_call(int argc, char **argv)
{
    struct hf_client_options options;
    struct call c = {.peer.timeout_ms = TIMEOUT_MS};
    int status;

    hf_print_init(&c.print);
    hf_client_options_init(&options);
    hf_peer_watch(&c.peer, &options);
    options.on_caught_up = NULL; /* One who asks and leaves does not speak of sessions. */
    options.on_reply = on_reply;
    status = parse(&c, &options, argc, argv);
    if (status < 0)
        status = start(&c, &options);
    if (status < 0)
        status = run(&c);
    hf_peer_stop(&c.peer);
    hf_print_release(&c.print);
    return status;
}
