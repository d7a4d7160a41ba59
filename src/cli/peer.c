#include "cli/peer.h"

#include "cli/commands.h"
#include "cli/print.h"
#include "cli/token_command.h"
#include "client/names.h"
#include "client/proxy.h"
#include "client/url.h"
#include "session/heartbeat_adaptive.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* A signal handler has no argument: the one client of the process, and whether its end was asked for. */
static struct hf_client *volatile client_of_signals;
static volatile sig_atomic_t interrupted;

uint64_t hf_peer_now_ms(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

void hf_peer_say(const char *fmt, ...)
{
    va_list args;

    flockfile(stderr);
    fputs(hf_print_colours(STDERR_FILENO) ? "\033[33mholdfast:\033[0m " : "holdfast: ", stderr);
    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fputc('\n', stderr);
    funlockfile(stderr);
}

/* --- options --- */

int hf_peer_usage(const char *name, const char *problem, const char *what)
{
    fprintf(stderr, "holdfast %s: %s%s (try `holdfast %s --help`)\n", name, problem, what, name);
    return HF_EXIT_USAGE;
}

int hf_peer_usage_option(const char *name, int found, char *const *argv)
{
    char short_option[3] = {'-', (char)optopt, '\0'};
    /* getopt_long() sets optopt to 0 for a long option that it does not know; the option itself is the last it looked at. */
    bool is_long = strncmp(argv[optind - 1], "--", 2) == 0;
    const char *what = is_long || optopt == 0 ? argv[optind - 1] : short_option;

    return hf_peer_usage(name, found == ':' ? "a value is missing behind " : "unknown option ", what);
}

bool hf_peer_parse_seconds(const char *text, uint64_t *ms)
{
    const double year = 366.0 * 24 * 3600;
    char *end;
    double seconds;

    if (*text < '0' || *text > '9')
        return false;
    seconds = strtod(text, &end);
    if (*end != '\0' || !(seconds >= 0 && seconds <= year))
        return false;
    *ms = (uint64_t)(seconds * 1000);
    return true;
}

bool hf_peer_parse_number(const char *text, uint64_t *number)
{
    size_t digits = strspn(text, "0123456789");

    if (digits == 0 || digits > 16 || text[digits] != '\0')
        return false;
    *number = strtoull(text, NULL, 10);
    return *number < UINT64_C(1) << 53;
}

bool hf_peer_parse_position(char *text, const char **epoch, uint64_t *offset)
{
    char *colon = strrchr(text, ':');

    if (colon == NULL || colon == text || !hf_peer_parse_number(colon + 1, offset))
        return false;
    *colon = '\0';
    *epoch = text;
    return true;
}

int hf_peer_add_url(struct hf_peer *peer, const char *name, struct hf_client_options *options,
                    const char *url)
{
    if (options->urls_count == HF_CLIENT_URLS_MAX)
        return hf_peer_usage(name, "eight URLs at the most; one too many: ", url);
    peer->urls[options->urls_count++] = url;
    options->urls = peer->urls;
    return -1;
}

static bool parse_tolerance(const char *text, uint64_t *ms)
{
    return hf_peer_parse_seconds(text, ms) && *ms >= 1 && *ms <= HF_ADAPTIVE_TOLERANCE_MS_MAX;
}

static bool parse_encoding(const char *text, enum hf_client_encoding *encoding)
{
    static const char *const names[] = {[HF_CLIENT_ENCODING_AUTO] = "auto",
                                        [HF_CLIENT_ENCODING_JSON] = "json",
                                        [HF_CLIENT_ENCODING_BINARY] = "binary"};

    for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(text, names[i]) == 0) {
            *encoding = (enum hf_client_encoding)i;
            return true;
        }
    }
    return false;
}

/* The command has its time; meanwhile nothing else happens, which a session bears. */
static void on_token_needed(void *user, enum hf_client_token_reason reason)
{
    struct hf_peer *peer = user;
    char token[HF_CLIENT_TOKEN_MAX + 1], why[200];

    (void)reason;
    if (!hf_token_command_run(peer->token_command, token, why, sizeof(why)))
        hf_client_token_failed(peer->client, why);
    else if (hf_client_set_token(peer->client, token) == HF_CLIENT_EINVAL)
        hf_client_token_failed(peer->client,
                               "what it wrote is none: a token has letters, digits and !#$%&'*+-.^_`|~ only");
}

int hf_peer_take_option(struct hf_peer *peer, const char *name, int option, struct hf_client_options *options)
{
    switch (option) {
    case HF_PEER_URL:
        return hf_peer_add_url(peer, name, options, optarg);
    case HF_PEER_PROXY:
        options->proxy = optarg;
        return -1;
    case HF_PEER_DNS:
        options->dns_servers = optarg;
        return -1;
    case HF_PEER_CA:
        options->ca_file = optarg;
        return -1;
    case HF_PEER_TOKEN:
        options->token = optarg;
        return -1;
    case HF_PEER_TOKEN_COMMAND:
        peer->token_command = optarg;
        options->on_token_needed = on_token_needed;
        return -1;
    case HF_PEER_ENCODING:
        return parse_encoding(optarg, &options->encoding)
                   ? -1
                   : hf_peer_usage(name, "--encoding wants auto, binary or json, not ", optarg);
    case HF_PEER_TIMEOUT:
        return hf_peer_parse_seconds(optarg, &peer->timeout_ms)
                   ? -1
                   : hf_peer_usage(name, "--timeout wants seconds, not ", optarg);
    case HF_PEER_TOLERANCE:
        return parse_tolerance(optarg, &options->heartbeat_tolerance_ms)
                   ? -1
                   : hf_peer_usage(name, "--heartbeat-tolerance wants seconds, 0.001 to 3600, not ", optarg);
    case HF_PEER_MEMORY:
        options->heartbeat_memory = optarg;
        return -1;
    case HF_PEER_NO_WATCH:
        options->watch_network = false;
        return -1;
    case 'v':
        peer->verbose = true;
        return -1;
    default:
        return HF_PEER_NOT_MINE;
    }
}

/* --- the connection --- */

static void say_session(const struct hf_peer *peer, uint64_t messages)
{
    const char *what = peer->resumed ? "resumed session" : "the session was lost; began session";

    if (!peer->again && peer->verbose)
        hf_peer_say("began session %s", peer->session);
    if (peer->again && peer->subscribes)
        hf_peer_say("%s %s, %" PRIu64 " message%s caught up", what, peer->session, messages,
                    messages == 1 ? "" : "s");
    if (peer->again && !peer->subscribes)
        hf_peer_say("%s %s", what, peer->session);
}

static void on_connected(void *user, const struct hf_client_connection *connection)
{
    struct hf_peer *peer = user;

    peer->connected = true;
    peer->again = connection->connections > 1;
    peer->resumed = connection->resumed;
    peer->reconnects = connection->connections - 1;
    (void)snprintf(peer->session, sizeof(peer->session), "%.*s", (int)connection->session.len,
                   connection->session.data);
}

static void on_caught_up(void *user, uint64_t messages)
{
    say_session(user, messages);
}

static void say_break(const char *what, const struct hf_client_break *how, const char *then)
{
    char code[32] = "";

    if (how->close_code > 0)
        (void)snprintf(code, sizeof(code), ", code %u", how->close_code);
    if (how->http_status > 0)
        (void)snprintf(code, sizeof(code), ", HTTP %u", how->http_status);
    hf_peer_say("%s (%s%s%s%.*s)%s", what, how->why, code, how->reason.len > 0 ? ": " : "",
                (int)how->reason.len, how->reason.len > 0 ? how->reason.data : "", then);
}

static void on_disconnected(void *user, const struct hf_client_break *how)
{
    struct hf_peer *peer = user;
    char then[64];

    if (peer->connected)
        peer->disconnected_at_ms = hf_peer_now_ms();
    peer->connected = false;
    (void)snprintf(then, sizeof(then), ", trying again in %.1f s", (double)how->retry_ms / 1000);
    say_break(how->attempt ? "no connection" : "connection lost", how, then);
}

static void on_ended(void *user, const struct hf_client_break *how)
{
    struct hf_peer *peer = user;

    peer->connected = false;
    if (how->asked)
        return;
    peer->failed = true;
    say_break("ended", how, "");
}

static bool has_code(const struct hf_client_problem *problem, const char *code)
{
    return problem->code.len == strlen(code) && memcmp(problem->code.data, code, problem->code.len) == 0;
}

/* Of files the client itself complains, and not the server. */
static void on_problem(void *user, const struct hf_client_problem *problem)
{
    const struct hf_peer *peer = user;

    if (has_code(problem, "heartbeat_memory"))
        hf_peer_say("--heartbeat-memory: %.*s", (int)problem->reason.len, problem->reason.data);
    else if (peer->token_command != NULL && has_code(problem, "unauthorized") && problem->channel.len == 0)
        hf_peer_say("--token-command: %.*s", (int)problem->reason.len, problem->reason.data);
    else if (has_code(problem, "outbox"))
        hf_peer_say("--outbox: %.*s", (int)problem->reason.len, problem->reason.data);
    else
        hf_peer_say("the server reports %.*s: %.*s", (int)problem->code.len, problem->code.data,
                    (int)problem->reason.len, problem->reason.len > 0 ? problem->reason.data : "");
}

/* What on_disconnected() and on_ended() tell is not told twice. */
static void on_state(void *user, const struct hf_client_state_change *change)
{
    const struct hf_peer *peer = user;

    if (change->to == HF_CLIENT_STATE_DOUBTFUL && peer->verbose)
        hf_peer_say("the connection is in doubt (%s): verifying it", change->evidence);
    if (change->from == HF_CLIENT_STATE_DOUBTFUL && change->to == HF_CLIENT_STATE_LIVE && peer->verbose)
        hf_peer_say("the connection stands (%s)", change->evidence);
    if (change->to == HF_CLIENT_STATE_OFFLINE)
        hf_peer_say("offline (%s): waiting for the network, trying every 30 s all the same",
                    change->evidence);
}

void hf_peer_watch(struct hf_peer *peer, struct hf_client_options *options)
{
    options->user = peer;
    options->on_connected = on_connected;
    options->on_caught_up = on_caught_up;
    options->on_disconnected = on_disconnected;
    options->on_ended = on_ended;
    options->on_problem = on_problem;
    options->on_state = on_state;
}

/* --- start and end --- */

static void on_signal(int signal_number)
{
    (void)signal_number;
    interrupted = 1;
    if (client_of_signals != NULL)
        hf_client_stop(client_of_signals);
}

static void catch_signals(void)
{
    struct sigaction end = {.sa_handler = on_signal};
    struct sigaction ignore = {.sa_handler = SIG_IGN};

    (void)sigaction(SIGINT, &end, NULL);
    (void)sigaction(SIGTERM, &end, NULL);
    (void)sigaction(SIGPIPE, &ignore, NULL); /* A broken pipe is seen where it is written to. */
}

/* Whether it is the outbox file that is in the way. */
static bool complain_of_outbox(const char *name, const char *path, int err)
{
    struct stat file;

    switch (err) {
    case HF_CLIENT_EBUSY:
    case HF_CLIENT_ECORRUPT:
    case HF_CLIENT_ENOSPACE:
        hf_peer_say("%s: --outbox %s: %s", name, path, hf_client_strerror(err));
        return true;
    case HF_CLIENT_EIO:
        hf_peer_say("%s: --outbox %s: %s", name, path, strerror(errno));
        return true;
    case HF_CLIENT_EINVAL:
        if (stat(path, &file) < 0 || S_ISREG(file.st_mode))
            return false;
        hf_peer_say("%s: --outbox %s: not a regular file", name, path);
        return true;
    default:
        return false;
    }
}

static bool token_valid(const char *token)
{
    size_t len =
        strspn(token, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-.^_`|~");

    return len > 0 && token[len] == '\0' && len <= HF_CLIENT_TOKEN_MAX;
}

/* Which of the options it is that makes no sense. */
static int usage_of_options(const char *name, const struct hf_client_options *options)
{
    struct hf_proxy proxy;
    struct hf_url url;
    unsigned i;

    if (options->token != NULL && !token_valid(options->token))
        return hf_peer_usage(name, "--token: no token; it has letters, digits and !#$%&'*+-.^_`|~ only", "");
    for (i = 0; i < options->urls_count; i++)
        if (hf_url_parse(&url, options->urls[i]) < 0)
            return hf_peer_usage(
                name, "no URL of a server, like ws://HOST:PORT/ws or wss://HOST/ws: ", options->urls[i]);
    if (options->proxy != NULL && options->proxy[0] != '\0' && hf_proxy_parse(&proxy, options->proxy) < 0)
        return hf_peer_usage(name, "--proxy wants http://[USER:PASSWORD@]HOST[:PORT], not ", options->proxy);
    if (options->dns_servers != NULL && hf_names_check_servers(options->dns_servers) < 0)
        return hf_peer_usage(name, "--dns-servers wants up to three ADDRESS[:PORT],…, not ",
                             options->dns_servers);
    return hf_peer_usage(name, hf_client_strerror(HF_CLIENT_EINVAL), "");
}

int hf_peer_start(struct hf_peer *peer, const char *name, const struct hf_client_options *options)
{
    int err;

    if (options->heartbeat_memory != NULL && !options->watch_network)
        return hf_peer_usage(name,
                             "--heartbeat-memory tells networks apart by what the system says: not with ",
                             "--no-watch-network");
    err = hf_client_new(options, &peer->client);

    if (options->ca_file != NULL && err == HF_CLIENT_ECERT)
        return hf_peer_usage(name, "--ca: no certificate in PEM form is in ", options->ca_file);
    if (options->ca_file != NULL && err == HF_CLIENT_EIO && access(options->ca_file, R_OK) < 0)
        return hf_peer_usage(name, "--ca: this file cannot be read: ", options->ca_file);
    if (options->outbox_path != NULL && complain_of_outbox(name, options->outbox_path, err))
        return HF_EXIT_FAILED;
    if (err == HF_CLIENT_EINVAL || err == HF_CLIENT_EUNSUPPORTED)
        return usage_of_options(name, options);
    if (err < 0) {
        hf_peer_say("%s", hf_client_strerror(err));
        return HF_EXIT_FAILED;
    }
    peer->disconnected_at_ms = hf_peer_now_ms();
    client_of_signals = peer->client;
    catch_signals();
    return 0;
}

void hf_peer_stop(struct hf_peer *peer)
{
    client_of_signals = NULL;
    hf_client_free(peer->client);
    peer->client = NULL;
}

bool hf_peer_interrupted(void)
{
    return interrupted != 0;
}
