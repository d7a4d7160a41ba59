/*
 * ping.c - `holdfast ping`: measures the way to a server and back, as ping(8) does, through whatever breaks on the way.
 */
#include "cli/commands.h"
#include "cli/peer.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum {
    INTERVAL_MS = 1000,
    INTERVAL_MS_MIN = 10,
    LOOK_MS = 100,
    TIMEOUT_MS = 10000, /* for the last answers, and for a connection */
};

struct ping {
    struct hf_peer peer; /* first: the callbacks about the connection take it */
    const char *url;
    bool json, quiet;
    uint64_t interval_ms, count; /* count 0: until a signal */
    uint64_t sent, answered;
    uint64_t next_ms;       /* when the next one is due */
    uint64_t waiting_since; /* for an answer, if one is to come */
    double sum_us, square_us;
    uint64_t min_us, max_us;
    bool closing;
};

static int help(void)
{
    printf(
        "Usage: holdfast ping [OPTION...] [URL]\n"
        "Ask the server for a sign of life, every second, over one session, and tell how long each took. "
        "Where the\n"
        "connection breaks, what is on its way is asked again on the next one. Ends on SIGINT or SIGTERM; "
        "the "
        "exit\n"
        "status is 0 if all were answered, 1 if not.\n\n"
        "  -c, --count N          end after N of them\n"
        "  -i, --interval SECONDS between two of them (1; at least 0.01)\n"
        "  -q, --quiet            the summary only\n"
        "  --json                 write {seq,time} a line, milliseconds, and then the summary\n" HF_PEER_HELP
        "  --timeout SECONDS      give up when there was no answer for so long (0: never; 10)\n"
        "  -v, --verbose          also tell about sessions\n");
    return HF_EXIT_OK;
}

/* --- the answers --- */

static void on_pong(void *user, const struct hf_client_pong *pong)
{
    struct ping *p = user;
    double us = (double)pong->rtt_us;

    p->answered++;
    p->waiting_since = hf_peer_now_ms();
    p->sum_us += us;
    p->square_us += us * us;
    if (p->answered == 1 || pong->rtt_us < p->min_us)
        p->min_us = pong->rtt_us;
    if (pong->rtt_us > p->max_us)
        p->max_us = pong->rtt_us;
    if (p->quiet)
        return;
    if (p->json)
        printf("{\"seq\":%" PRIu64 ",\"time\":%.3f}\n", pong->request_id, us / 1000);
    else
        printf("pong from %s: seq=%" PRIu64 " time=%.3f ms\n", p->url, pong->request_id, us / 1000);
}

static void summary(const struct ping *p)
{
    double n = p->answered > 0 ? (double)p->answered : 1, mean = p->sum_us / n;
    double variance = p->square_us / n - mean * mean, deviation = variance > 0 ? sqrt(variance) : 0;

    if (p->json)
        printf("{\"url\":\"%s\",\"sent\":%" PRIu64 ",\"answered\":%" PRIu64
               ",\"reconnects\":%u,\"min\":%.3f,\"avg\":%.3f,\"max\":%.3f,\"mdev\":%.3f}\n",
               p->url, p->sent, p->answered, p->peer.reconnects, (double)p->min_us / 1000, mean / 1000,
               (double)p->max_us / 1000, deviation / 1000);
    else
        printf("--- %s ---\n%" PRIu64 " sent, %" PRIu64 " answered, %u reconnect%s\n", p->url, p->sent,
               p->answered, p->peer.reconnects, p->peer.reconnects == 1 ? "" : "s");
    if (!p->json && p->answered > 0)
        printf("rtt min/avg/max/mdev = %.3f/%.3f/%.3f/%.3f ms\n", (double)p->min_us / 1000, mean / 1000,
               (double)p->max_us / 1000, deviation / 1000);
}

/* --- running --- */

static void send_due(struct ping *p)
{
    uint64_t now = hf_peer_now_ms();

    if (p->closing || !p->peer.connected || now < p->next_ms || (p->count > 0 && p->sent == p->count))
        return;
    if (hf_client_ping(p->peer.client, NULL) < 0) { /* 64 wait already. */
        p->next_ms = now + p->interval_ms;
        return;
    }
    if (p->sent == p->answered)
        p->waiting_since = now;
    p->sent++;
    p->next_ms = p->next_ms + p->interval_ms > now ? p->next_ms + p->interval_ms : now + p->interval_ms;
}

static int wait_ms(const struct ping *p)
{
    uint64_t now = hf_peer_now_ms();

    if (p->closing || p->next_ms > now + LOOK_MS || !p->peer.connected)
        return LOOK_MS;
    return p->next_ms > now ? (int)(p->next_ms - now) : (p->count > 0 && p->sent == p->count ? LOOK_MS : 0);
}

static bool timed_out(const struct ping *p)
{
    uint64_t since = p->answered < p->sent ? p->waiting_since : p->peer.disconnected_at_ms;

    if (p->peer.timeout_ms == 0 || (p->peer.connected && p->answered == p->sent))
        return false;
    return hf_peer_now_ms() - since >= p->peer.timeout_ms;
}

static int run(struct ping *p)
{
    int running = 1;

    while (running > 0) {
        bool done = p->count > 0 && p->answered == p->count;

        if (!p->closing && (done || hf_peer_interrupted())) {
            p->closing = true;
            hf_client_close(p->peer.client);
        }
        send_due(p);
        running = hf_client_step(p->peer.client, wait_ms(p));
        (void)fflush(stdout); /* Whoever reads us has what has come. */
        if (!p->closing && timed_out(p)) {
            hf_peer_say("no answer for %.1f s: given up", (double)p->peer.timeout_ms / 1000);
            return HF_EXIT_FAILED;
        }
    }
    if (running < 0)
        hf_peer_say("%s", hf_client_strerror(running));
    return running < 0 || p->peer.failed || p->answered < p->sent || p->answered == 0 ? HF_EXIT_FAILED
                                                                                      : HF_EXIT_OK;
}

/* --- options --- */

enum { OPT_JSON = 256 };

/* Returns -1 to go on, or the exit status. */
static int take_option(struct ping *p, int option, struct hf_client_options *options, char *const *argv)
{
    int status = hf_peer_take_option(&p->peer, "ping", option, options);

    if (status != HF_PEER_NOT_MINE)
        return status;
    switch (option) {
    case 'c':
        return hf_peer_parse_number(optarg, &p->count) && p->count > 0
                   ? -1
                   : hf_peer_usage("ping", "--count wants a number from 1 on, not ", optarg);
    case 'i':
        return hf_peer_parse_seconds(optarg, &p->interval_ms) && p->interval_ms >= INTERVAL_MS_MIN
                   ? -1
                   : hf_peer_usage("ping", "--interval wants seconds, at least 0.01, not ", optarg);
    case 'q':
        p->quiet = true;
        return -1;
    case OPT_JSON:
        p->json = true;
        return -1;
    case 'h':
        return help();
    default:
        return hf_peer_usage_option("ping", option, argv);
    }
}

static int parse(struct ping *p, struct hf_client_options *options, int argc, char **argv)
{
    static const struct option known[] = {
        {"count", required_argument, NULL, 'c'},
        {"interval", required_argument, NULL, 'i'},
        {"quiet", no_argument, NULL, 'q'},
        {"json", no_argument, NULL, OPT_JSON},
        HF_PEER_OPTIONS,
        {NULL, 0, NULL, 0},
    };
    int option, status;

    while ((option = getopt_long(argc, argv, ":vhqc:i:", known, NULL)) != -1) {
        status = take_option(p, option, options, argv);
        if (status >= 0)
            return status;
    }
    if (argc - optind > 1)
        return hf_peer_usage("ping", "one server at a time, not also ", argv[optind + 1]);
    status = argc > optind ? hf_peer_add_url(&p->peer, "ping", options, argv[optind]) : -1;
    p->url = options->urls_count > 0 ? options->urls[0] : options->url;
    return status;
}

int hf_cli_ping(int argc, char **argv)
{
    struct hf_client_options options;
    struct ping p = {.peer.timeout_ms = TIMEOUT_MS, .interval_ms = INTERVAL_MS};
    int status;

    hf_client_options_init(&options);
    hf_peer_watch(&p.peer, &options);
    options.on_pong = on_pong;
    status = parse(&p, &options, argc, argv);
    if (status < 0)
        status = hf_peer_start(&p.peer, "ping", &options);
    else
        return status;
    if (status == 0) {
        p.next_ms = hf_peer_now_ms();
        status = run(&p);
        summary(&p);
    }
    hf_peer_stop(&p.peer);
    return status;
}
