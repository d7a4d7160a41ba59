#include "cli/bench_options.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char *const mode_names[HF_BENCH_MODES] = {
    [HF_BENCH_ECHO] = "echo",       [HF_BENCH_FANOUT] = "fanout", [HF_BENCH_RATE] = "rate",
    [HF_BENCH_IDLE] = "idle",       [HF_BENCH_CHURN] = "churn",   [HF_BENCH_STORM] = "resume-storm",
    [HF_BENCH_PUBLISH] = "publish",
};

static const char *const protocol_names[HF_BENCH_PROTOCOLS] = {
    [HF_BENCH_HOLDFAST] = "holdfast", [HF_BENCH_TEXT] = "text",   [HF_BENCH_SOCKET_IO] = "socket.io",
    [HF_BENCH_NATS] = "nats",         [HF_BENCH_BYTES] = "bytes",
};

const char *hf_bench_mode_name(enum hf_bench_mode_id mode)
{
    return mode_names[mode];
}

const char *hf_bench_protocol_name(enum hf_bench_protocol_id protocol)
{
    return protocol_names[protocol];
}

bool hf_bench_is_flow(const struct hf_bench_options *o)
{
    return o->mode == HF_BENCH_FANOUT || o->mode == HF_BENCH_RATE;
}

uint64_t hf_bench_connections(const struct hf_bench_options *o)
{
    return o->connections + (hf_bench_is_flow(o) ? o->publishers : 0);
}

static const char help[] =
    "Usage: holdfast bench MODE [OPTION...]\n"
    "Put load on a server and measure. The exit status is 0 if nothing failed and no message was lost,\n"
    "duplicated or out of order, 1 if not.\n\n"
    "Modes:\n"
    "  echo           send messages to an echo and wait for them; with --rate at fixed times, whatever the\n"
    "                 answers do, and the latency counts from the time at which it should have been sent\n"
    "  fanout         one publisher, many subscribers of one channel, as fast as --window allows\n"
    "  rate           publishers and subscribers, --rate messages a second at fixed times\n"
    "  idle           hold connections, each subscribed, and answer heartbeats\n"
    "  churn          open, subscribe, close, again and again; --rate a second, or as fast as it goes\n"
    "  resume-storm   open sessions, cut all their sockets, and resume them all at once\n"
    "  publish        POST messages to the HTTP API over connections that stay open\n\n"
    "What is driven:\n"
    "  --url URL              the server (ws://127.0.0.1:8000/ws; echo: …/echo; publish:\n"
    "                         http://127.0.0.1:8001/api/publish); wss:// and https:// use TLS\n"
    "  --publish-url URL      where the publisher connects, if elsewhere\n"
    "  --protocol NAME        holdfast; text: any WebSocket server whose messages are the payloads (the "
    "mode\n"
    "                         echo needs no more); socket.io; nats (over WebSocket); bytes: no WebSocket at\n"
    "                         all, what is sent comes back (echo: text, else holdfast)\n"
    "  --channel NAME         the channel, or what the names of the channels begin with (bench)\n"
    "  --header LINE          one more line of each request, as in \"Authorization: Bearer KEY\"\n"
    "  --origin               send an Origin, as browsers do\n"
    "  --ca FILE              TLS: believe these certificates, not the system's\n"
    "  --insecure             TLS: believe any certificate\n"
    "  --tls-resume           TLS: resume an earlier connection's TLS session, where there is one\n\n"
    "How much:\n"
    "  --connections N        (echo 100, idle and resume-storm 1000, churn 64 at a time, publish 16)\n"
    "  --subscribers N        of fanout and rate (100)\n"
    "  --publishers N         of rate (1)\n"
    "  --channels N           of rate; publishers and subscribers are spread over them (as many as "
    "publishers)\n"
    "  --stuck PERCENT        fanout, rate: so many of the subscribers stop reading, and are not counted "
    "(0)\n"
    "  --size BYTES           of a message's payload, for fanout, rate and publish with its quotes (64; "
    "128)\n"
    "  --inflight N           echo: messages under way on each connection (1)\n"
    "  --window N             fanout: messages under way at most (16)\n"
    "  --pipeline N           publish: requests under way on each connection (1)\n"
    "  --one                  fanout: each message by itself, when all subscribers have the last\n"
    "  --shared               idle, churn, resume-storm: all subscribe to one channel, not each to its own\n"
    "  --bare                 churn: the handshake only, without a subscription\n"
    "  --resume               idle: a connection that breaks comes back and resumes its session, which is no "
    "failure\n"
    "  --rate N               a second, of all connections together\n\n"
    "How long:\n"
    "  --seconds S            time that is measured (5)\n"
    "  --warmup S             time before it; resume-storm: for which the sessions have no connection (1)\n"
    "  --settle S             resume-storm, idle: pause before measuring, for the server to come to rest "
    "(1)\n"
    "  --timeout S            give up when nothing moves for so long (30)\n\n"
    "With what:\n"
    "  --processes N          client processes (as many as the connections need: 18,000 each)\n"
    "  --sources N            addresses 127.0.0.1, 127.0.0.2 … to connect from (as many as needed: 24,000 "
    "each)\n"
    "  --opening N            handshakes under way at a time (256; resume-storm 4096)\n"
    "  --server-pid PID       tell the processor time and memory of this process and its children; may be "
    "given\n"
    "                         again\n"
    "  --json                 one JSON object on standard output, not text\n"
    "  --watch                before it, one JSON object a second that tells how it goes\n";

const char *hf_bench_options_help(void)
{
    return help;
}

/* --- values --- */

static bool parse_number(const char *text, uint64_t low, uint64_t high, uint64_t *number)
{
    size_t digits = strspn(text, "0123456789");

    if (digits == 0 || digits > 16 || text[digits] != '\0')
        return false;
    *number = strtoull(text, NULL, 10);
    return *number >= low && *number <= high;
}

static bool parse_real(const char *text, double high, double *number)
{
    char *end;

    if (*text < '0' || *text > '9')
        return false;
    *number = strtod(text, &end);
    return *end == '\0' && *number <= high;
}

static bool parse_time(const char *text, uint64_t *ms)
{
    const double day = 24 * 3600;
    double seconds;

    if (!parse_real(text, day, &seconds))
        return false;
    *ms = (uint64_t)(seconds * 1000);
    return true;
}

/* http:// and https:// are read as ws:// and wss://: of both only the address counts here. */
static bool parse_url(const char *text, struct hf_url *url, bool *tls)
{
    char plain[HF_URL_HOST_MAX + HF_URL_PATH_MAX + 16];
    const char *rest = strstr(text, "://");
    size_t scheme = rest == NULL ? 0 : (size_t)(rest - text);

    *tls = (scheme == 3 && strncasecmp(text, "wss", 3) == 0) ||
           (scheme == 5 && strncasecmp(text, "https", 5) == 0);
    if (!*tls && !(scheme == 2 && strncasecmp(text, "ws", 2) == 0) &&
        !(scheme == 4 && strncasecmp(text, "http", 4) == 0))
        return false;
    if ((size_t)snprintf(plain, sizeof(plain), "ws%s", rest) >= sizeof(plain) || hf_url_parse(url, plain) < 0)
        return false;
    /* 443, where none was given; a port of 80 is the same text here, and nobody serves TLS there. */
    if (*tls && strcmp(url->port, "80") == 0)
        (void)snprintf(url->port, sizeof(url->port), "443");
    return true;
}

static bool parse_name(const char *text, const char *const *names, unsigned count, unsigned *index)
{
    for (*index = 0; *index < count; ++*index)
        if (strcmp(text, names[*index]) == 0)
            return true;
    return false;
}

static bool parse_pid(struct hf_bench_options *o, const char *text)
{
    uint64_t pid;

    if (o->server_pids_count == HF_BENCH_SERVER_PIDS_MAX || !parse_number(text, 1, 1u << 30, &pid))
        return false;
    o->server_pids[o->server_pids_count++] = (pid_t)pid;
    return true;
}

static bool parse_protocol(struct hf_bench_options *o, const char *text)
{
    unsigned index;

    if (!parse_name(text, protocol_names, HF_BENCH_PROTOCOLS, &index))
        return false;
    o->protocol = (enum hf_bench_protocol_id)index;
    return true;
}

/* A line of an HTTP head, and no more than one. */
static bool parse_header(struct hf_bench_options *o, const char *text)
{
    const char *colon = strchr(text, ':');

    for (const char *at = text; *at != '\0'; at++)
        if ((unsigned char)*at < ' ' || (unsigned char)*at >= 0x7f)
            return false;
    o->header = text;
    return colon != NULL && colon != text && memchr(text, ' ', (size_t)(colon - text)) == NULL;
}

/* Goes into JSON and into a command of NATS as it is. */
static bool parse_channel(struct hf_bench_options *o, const char *text)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";

    o->channel = text;
    return *text != '\0' && strlen(text) <= 64 && text[strspn(text, allowed)] == '\0';
}

/* --- options --- */

enum opt {
    OPT_URL = 256,
    OPT_PUBLISH_URL,
    OPT_PROTOCOL,
    OPT_CHANNEL,
    OPT_HEADER,
    OPT_ORIGIN,
    OPT_CA,
    OPT_INSECURE,
    OPT_TLS_RESUME,
    OPT_CONNECTIONS,
    OPT_SUBSCRIBERS,
    OPT_PUBLISHERS,
    OPT_CHANNELS,
    OPT_STUCK,
    OPT_SIZE,
    OPT_INFLIGHT,
    OPT_WINDOW,
    OPT_PIPELINE,
    OPT_ONE,
    OPT_SHARED,
    OPT_BARE,
    OPT_RATE,
    OPT_SECONDS,
    OPT_WARMUP,
    OPT_SETTLE,
    OPT_TIMEOUT,
    OPT_PROCESSES,
    OPT_SOURCES,
    OPT_OPENING,
    OPT_SERVER_PID,
    OPT_JSON,
    OPT_WATCH,
    OPT_RESUME,
    OPT_LAST
};

#define BIT(mode) (1u << HF_BENCH_##mode)
enum {
    FLOWS = BIT(FANOUT) | BIT(RATE),
    HELD = BIT(IDLE) | BIT(CHURN) | BIT(STORM),
    SOCKETS = (1u << HF_BENCH_MODES) - 1 - BIT(PUBLISH),
    ALL = (1u << HF_BENCH_MODES) - 1,
};

/* In the order of enum opt; modes: those that know it. */
static const struct known {
    const char *name;
    int has_arg;
    unsigned modes;
    const char *wants;
} known[OPT_LAST - OPT_URL] = {
    {"url", required_argument, ALL, "a URL like ws://HOST:PORT/PATH"},
    {"publish-url", required_argument, FLOWS, "a URL like ws://HOST:PORT/PATH"},
    {"protocol", required_argument, SOCKETS, "holdfast, text, socket.io, nats or bytes"},
    {"channel", required_argument, ALL, "up to 64 letters, digits, '-', '_' and '.'"},
    {"header", required_argument, ALL, "\"NAME: VALUE\""},
    {"origin", no_argument, SOCKETS, NULL},
    {"ca", required_argument, ALL, "a file"},
    {"insecure", no_argument, ALL, NULL},
    {"tls-resume", no_argument, ALL, NULL},
    {"connections", required_argument, ALL & ~FLOWS, "a number from 1 to 4000000"},
    {"subscribers", required_argument, FLOWS, "a number from 1 to 4000000"},
    {"publishers", required_argument, BIT(RATE), "a number from 1 to 10000"},
    {"channels", required_argument, BIT(RATE), "a number from 1 to 65536"},
    {"stuck", required_argument, FLOWS, "a percentage from 1 to 99"},
    {"size", required_argument, FLOWS | BIT(ECHO) | BIT(PUBLISH),
     "bytes from 1 (34 where messages are told apart) to 4194304"},
    {"inflight", required_argument, BIT(ECHO), "a number from 1 to 4096"},
    {"window", required_argument, BIT(FANOUT), "a number from 1 to 1024"},
    {"pipeline", required_argument, BIT(PUBLISH), "a number from 1 to 64"},
    {"one", no_argument, BIT(FANOUT), NULL},
    {"shared", no_argument, HELD, NULL},
    {"bare", no_argument, BIT(CHURN), NULL},
    {"rate", required_argument, ALL & ~BIT(FANOUT) & ~BIT(IDLE),
     "a number per second above 0, at most 100000000"},
    {"seconds", required_argument, ALL & ~BIT(STORM), "seconds, at most a day"},
    {"warmup", required_argument, ALL & ~BIT(IDLE), "seconds, at most a day"},
    {"settle", required_argument, BIT(STORM) | BIT(IDLE), "seconds, at most a day"},
    {"timeout", required_argument, ALL, "seconds, at most a day"},
    {"processes", required_argument, ALL, "a number from 1 to 256"},
    {"sources", required_argument, ALL, "a number from 1 to 250"},
    {"opening", required_argument, ALL, "a number from 1 to 100000"},
    {"server-pid", required_argument, ALL, "the id of a process, at most 16 times"},
    {"json", no_argument, ALL, NULL},
    {"watch", no_argument, ALL, NULL},
    {"resume", no_argument, BIT(IDLE), NULL},
};

static bool take_amount(struct hf_bench_options *o, enum opt option, const char *value)
{
    switch (option) {
    case OPT_CONNECTIONS:
    case OPT_SUBSCRIBERS:
        return parse_number(value, 1, 4000000, &o->connections);
    case OPT_PUBLISHERS:
        return parse_number(value, 1, 10000, &o->publishers);
    case OPT_CHANNELS:
        return parse_number(value, 1, HF_BENCH_CHANNELS_MAX, &o->channels);
    case OPT_STUCK:
        return parse_number(value, 1, 99, &o->stuck_percent);
    case OPT_SIZE:
        return parse_number(value, o->mode == HF_BENCH_ECHO ? 1 : HF_BENCH_SIZE_MIN, 4u << 20, &o->size);
    case OPT_INFLIGHT:
        return parse_number(value, 1, 4096, &o->inflight);
    case OPT_WINDOW:
        return parse_number(value, 1, HF_BENCH_WINDOW_MAX, &o->window);
    case OPT_PIPELINE:
        return parse_number(value, 1, HF_BENCH_PIPELINE_MAX, &o->pipeline);
    case OPT_RATE:
        return parse_real(value, 1e8, &o->rate) && o->rate > 0;
    case OPT_PROCESSES:
        return parse_number(value, 1, HF_BENCH_PROCESSES_MAX, &o->processes);
    case OPT_SOURCES:
        return parse_number(value, 1, 250, &o->sources);
    default:
        return parse_number(value, 1, 100000, &o->opening_max);
    }
}

static bool take_time(struct hf_bench_options *o, enum opt option, const char *value)
{
    switch (option) {
    case OPT_SECONDS:
        return parse_time(value, &o->seconds_ms) && o->seconds_ms > 0;
    case OPT_WARMUP:
        return parse_time(value, &o->warmup_ms);
    case OPT_SETTLE:
        return parse_time(value, &o->settle_ms);
    default:
        return parse_time(value, &o->timeout_ms) && o->timeout_ms > 0;
    }
}

static bool take_switch(struct hf_bench_options *o, enum opt option)
{
    switch (option) {
    case OPT_ORIGIN:
        o->origin = true;
        return true;
    case OPT_INSECURE:
        o->insecure = true;
        return true;
    case OPT_TLS_RESUME:
        o->tls_resume = true;
        return true;
    case OPT_ONE:
        o->one = true;
        return true;
    case OPT_SHARED:
        o->shared = true;
        return true;
    case OPT_BARE:
        o->bare = true;
        return true;
    case OPT_WATCH:
        o->watch = true;
        return true;
    case OPT_RESUME:
        o->resume = true;
        return true;
    default:
        o->json = true;
        return true;
    }
}

static bool take_target(struct hf_bench_options *o, enum opt option, const char *value)
{
    switch (option) {
    case OPT_URL:
        return parse_url(value, &o->url, &o->tls);
    case OPT_PUBLISH_URL:
        return parse_url(value, &o->publish_url, &o->publish_tls);
    case OPT_PROTOCOL:
        return parse_protocol(o, value);
    case OPT_CHANNEL:
        return parse_channel(o, value);
    case OPT_HEADER:
        return parse_header(o, value);
    case OPT_CA:
        o->ca = value;
        return true;
    default:
        return parse_pid(o, value);
    }
}

static bool take(struct hf_bench_options *o, enum opt option, const char *value)
{
    switch (option) {
    case OPT_URL:
    case OPT_PUBLISH_URL:
    case OPT_PROTOCOL:
    case OPT_CHANNEL:
    case OPT_HEADER:
    case OPT_CA:
    case OPT_SERVER_PID:
        return take_target(o, option, value);
    case OPT_SECONDS:
    case OPT_WARMUP:
    case OPT_SETTLE:
    case OPT_TIMEOUT:
        return take_time(o, option, value);
    default:
        return value == NULL ? take_switch(o, option) : take_amount(o, option, value);
    }
}

static void set_defaults(struct hf_bench_options *o)
{
    static const uint64_t connections[HF_BENCH_MODES] = {100, 100, 100, 1000, 64, 1000, 16};
    bool echo = o->mode == HF_BENCH_ECHO;
    const char *url = echo                          ? "ws://127.0.0.1:8000/echo"
                      : o->mode == HF_BENCH_PUBLISH ? "http://127.0.0.1:8001/api/publish"
                                                    : "ws://127.0.0.1:8000/ws";

    o->protocol = echo ? HF_BENCH_TEXT : HF_BENCH_HOLDFAST;
    (void)parse_url(url, &o->url, &o->tls);
    o->channel = "bench";
    o->connections = connections[o->mode];
    o->publishers = 1;
    o->size = echo ? 64 : 128;
    o->inflight = 1;
    o->pipeline = 1;
    o->window = 16;
    o->seconds_ms = 5000;
    o->warmup_ms = o->mode == HF_BENCH_IDLE ? 0 : 1000;
    o->settle_ms = 1000;
    o->timeout_ms = 30000;
    o->opening_max = o->mode == HF_BENCH_STORM ? 4096 : 256;
}

static enum hf_bench_parsed wrong(char *problem, const char *what, const char *which)
{
    (void)snprintf(problem, HF_BENCH_TEXT_MAX, "%s%s", what, which);
    return HF_BENCH_WRONG;
}

/* What fits only when all is known. */
static enum hf_bench_parsed check(struct hf_bench_options *o, char *problem)
{
    if (o->mode == HF_BENCH_RATE && o->rate <= 0)
        return wrong(problem, "rate needs --rate", "");
    if (o->channels > 0 && o->channels < o->publishers)
        return wrong(problem, "there must be as many --channels as --publishers, or more", "");
    if (o->resume && o->protocol != HF_BENCH_HOLDFAST)
        return wrong(problem, "only Holdfast has sessions: --resume does not fit", "");
    if (o->mode == HF_BENCH_STORM && o->protocol != HF_BENCH_HOLDFAST)
        return wrong(problem, "only Holdfast has sessions to resume: --protocol does not fit", "");
    if (o->mode == HF_BENCH_CHURN && o->protocol == HF_BENCH_BYTES)
        return wrong(problem, "churn needs a handshake: --protocol bytes does not fit", "");
    if (o->processes > o->connections)
        return wrong(problem, "more --processes than connections", "");
    if (o->channels == 0)
        o->channels = o->mode == HF_BENCH_RATE ? o->publishers : 1;
    if (o->one)
        o->window = 1;
    if (o->publish_url.host[0] == '\0') {
        o->publish_url = o->url;
        o->publish_tls = o->tls;
    }
    return HF_BENCH_RUN;
}

static enum hf_bench_parsed parse_options(struct hf_bench_options *o, int argc, char **argv, char *problem)
{
    struct option long_options[OPT_LAST - OPT_URL + 2] = {{"help", no_argument, NULL, 'h'}};
    char which[HF_BENCH_TEXT_MAX];
    int option;

    for (int i = 0; i < OPT_LAST - OPT_URL; i++)
        long_options[i + 1] =
            (struct option){.name = known[i].name, .has_arg = known[i].has_arg, .val = OPT_URL + i};
    opterr = 0;
    optind = 0; /* glibc: begin anew. */
    while ((option = getopt_long(argc, argv, "+:h", long_options, NULL)) != -1) {
        const struct known *k = &known[option >= OPT_URL ? option - OPT_URL : 0];

        if (option == 'h')
            return HF_BENCH_HELP;
        if (option == ':')
            return wrong(problem, "a value is missing behind ", argv[optind - 1]);
        if (option == '?')
            return wrong(problem, "unknown option, or one that takes no value: ", argv[optind - 1]);
        if ((k->modes & 1u << o->mode) == 0) {
            (void)snprintf(which, sizeof(which), "--%s means nothing to the mode ", k->name);
            return wrong(problem, which, mode_names[o->mode]);
        }
        if (!take(o, (enum opt)option, optarg)) {
            (void)snprintf(which, sizeof(which), "--%s wants %s, not ", k->name, k->wants);
            return wrong(problem, which, optarg);
        }
    }
    return optind < argc ? wrong(problem, "no argument is expected behind the options: ", argv[optind])
                         : HF_BENCH_RUN;
}

enum hf_bench_parsed hf_bench_options_parse(struct hf_bench_options *o, int argc, char **argv,
                                            char problem[HF_BENCH_TEXT_MAX])
{
    enum hf_bench_parsed parsed;
    unsigned mode;

    *o = (struct hf_bench_options){0};
    problem[0] = '\0';
    if (argc < 2)
        return wrong(problem, "no mode given", "");
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
        return HF_BENCH_HELP;
    if (!parse_name(argv[1], mode_names, HF_BENCH_MODES, &mode))
        return wrong(problem, argv[1][0] == '-' ? "the mode comes first, before " : "unknown mode ", argv[1]);
    o->mode = (enum hf_bench_mode_id)mode;
    set_defaults(o);
    parsed = parse_options(o, argc - 1, argv + 1, problem);
    return parsed == HF_BENCH_RUN ? check(o, problem) : parsed;
}
