/*
 * sub.c - `holdfast sub`: writes the messages of channels to standard output, through whatever breaks on the way.
 */
#include "cli/commands.h"
#include "cli/peer.h"
#include "cli/print.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHANNELS_MAX = 256, OUTPUT_BYTES = 64 * 1024 };

struct sub {
    struct hf_peer peer; /* first: the callbacks about the connection take it */
    char **channels;
    unsigned channels_count;
    struct hf_client_start starts[CHANNELS_MAX];
    unsigned starts_count; /* given by --since */
    uint64_t last;
    uint64_t count; /* end after so many messages; 0: never */
    uint64_t printed;
    unsigned left; /* channels that are still subscribed to */
    bool output_broken;
    struct hf_print print;
};

static int help(void)
{
    printf(
        "Usage: holdfast sub [OPTION...] CHANNEL...\n"
        "Write the payload of each message to standard output, a line each; a text as it is, any other JSON\n"
        "value as JSON. With several channels the channel's name stands in front. Ends on SIGINT or "
        "SIGTERM.\n\n"
        "  --since EPOCH:OFFSET   begin behind this position; given once for each channel, in their order\n"
        "  --last N               begin with the newest N messages\n"
        "  --json                 write {channel,offset,id,timestamp,payload} a line\n"
        "  --count N              end after N messages\n"
        "  --timeout SECONDS      give up when there was no connection for so long (0: never, the "
        "default)\n" HF_PEER_HELP HF_PEER_LONG_HELP
        "  -v, --verbose          also tell where subscriptions begin\n");
    return HF_EXIT_OK;
}

/* --- output --- */

static void on_message(void *user, const struct hf_client_message *m)
{
    struct sub *sub = user;

    hf_print_message(&sub->print, m);
    sub->printed++;
    if (sub->printed == sub->count)
        hf_client_close(sub->peer.client);
}

/* Whoever reads us has all that has come when we go to sleep. */
static void flush_output(struct sub *sub)
{
    if (fflush(stdout) == 0 || sub->output_broken)
        return;
    if (errno != EPIPE) { /* `sub … | head` is a normal end. */
        hf_peer_say("standard output: %s", strerror(errno));
        sub->peer.failed = true;
    }
    sub->output_broken = true;
    hf_client_close(sub->peer.client);
}

/* --- what is said about channels --- */

static void on_gap(void *user, const struct hf_client_gap *gap)
{
    (void)user;
    if (gap->from_offset == 0)
        hf_peer_say("%.*s: the channel was begun anew, as epoch %.*s", (int)gap->channel.len,
                    gap->channel.data, (int)gap->epoch.len, gap->epoch.data);
    else
        hf_peer_say("%.*s: messages %" PRIu64 " to %" PRIu64 " cannot be had (%.*s)", (int)gap->channel.len,
                    gap->channel.data, gap->from_offset, gap->to_offset, (int)gap->code.len, gap->code.data);
}

static void on_subscribed(void *user, const struct hf_client_subscription *s)
{
    const struct sub *sub = user;

    if (sub->peer.verbose)
        hf_peer_say("%.*s: following from %.*s:%" PRIu64, (int)s->channel.len, s->channel.data,
                    (int)s->epoch.len, s->epoch.data, s->offset);
}

/* Whether it was asked for; the backend may subscribe a session to others, and take them away. */
static bool is_ours(const struct sub *sub, struct hf_client_text channel)
{
    unsigned i;

    for (i = 0; i < sub->channels_count; i++)
        if (strlen(sub->channels[i]) == channel.len &&
            memcmp(sub->channels[i], channel.data, channel.len) == 0)
            return true;
    return false;
}

static void on_unsubscribed(void *user, const struct hf_client_subscription *s)
{
    struct sub *sub = user;

    hf_peer_say("%.*s: not subscribed: %.*s %.*s", (int)s->channel.len, s->channel.data, (int)s->code.len,
                s->code.len > 0 ? s->code.data : "", (int)s->reason.len,
                s->reason.len > 0 ? s->reason.data : "");
    if (!is_ours(sub, s->channel))
        return;
    sub->peer.failed = true;
    if (--sub->left == 0)
        hf_client_close(sub->peer.client);
}

/* --- options --- */

static bool parse_since(struct sub *sub, char *text)
{
    struct hf_client_start *start = &sub->starts[sub->starts_count];

    if (sub->starts_count == CHANNELS_MAX ||
        !hf_peer_parse_position(text, &start->since_epoch, &start->since_offset))
        return false;
    sub->starts_count++;
    return true;
}

static bool parse_positive(const char *text, uint64_t *number)
{
    return hf_peer_parse_number(text, number) && *number > 0;
}

enum { OPT_SINCE = 256, OPT_LAST, OPT_JSON, OPT_COUNT };

/* Returns -1 to go on, or the exit status. */
static int take_option(struct sub *sub, int option, struct hf_client_options *options, char *const *argv)
{
    int status = hf_peer_take_option(&sub->peer, "sub", option, options);

    if (status != HF_PEER_NOT_MINE)
        return status;
    switch (option) {
    case OPT_SINCE:
        return parse_since(sub, optarg) ? -1
                                        : hf_peer_usage("sub", "--since wants EPOCH:OFFSET, not ", optarg);
    case OPT_LAST:
        return parse_positive(optarg, &sub->last)
                   ? -1
                   : hf_peer_usage("sub", "--last wants a number, not ", optarg);
    case OPT_COUNT:
        return parse_positive(optarg, &sub->count)
                   ? -1
                   : hf_peer_usage("sub", "--count wants a number, not ", optarg);
    case OPT_JSON:
        sub->print.json = true;
        return -1;
    case 'h':
        return help();
    default:
        return hf_peer_usage_option("sub", option, argv);
    }
}

static int parse(struct sub *sub, struct hf_client_options *options, int argc, char **argv)
{
    static const struct option known[] = {
        {"since", required_argument, NULL, OPT_SINCE},
        {"last", required_argument, NULL, OPT_LAST},
        {"json", no_argument, NULL, OPT_JSON},
        {"count", required_argument, NULL, OPT_COUNT},
        HF_PEER_LONG_OPTIONS,
        HF_PEER_OPTIONS,
        {NULL, 0, NULL, 0},
    };
    int option, status;

    while ((option = getopt_long(argc, argv, ":vh", known, NULL)) != -1) {
        status = take_option(sub, option, options, argv);
        if (status >= 0)
            return status;
    }
    sub->channels = argv + optind;
    if (argc == optind)
        return hf_peer_usage("sub", "no channel given", "");
    if (argc - optind > CHANNELS_MAX)
        return hf_peer_usage("sub", "more channels than a session may have", "");
    sub->channels_count = (unsigned)(argc - optind);
    sub->print.named = sub->channels_count > 1;
    if (sub->starts_count > 0 && (sub->starts_count != sub->channels_count || sub->last > 0))
        return hf_peer_usage("sub", "--since is given once for each channel, and not with --last", "");
    return -1;
}

/* --- running --- */

static int subscribe_all(struct sub *sub)
{
    unsigned i;

    for (i = 0; i < sub->channels_count; i++) {
        int err;

        sub->starts[i].last = sub->last;
        err = hf_client_subscribe(sub->peer.client, sub->channels[i], strlen(sub->channels[i]),
                                  &sub->starts[i]);
        if (err == HF_CLIENT_EEXIST)
            return hf_peer_usage("sub", "a channel is given twice: ", sub->channels[i]);
        if (err < 0)
            return hf_peer_usage("sub", "no valid name of a channel, or position: ", sub->channels[i]);
    }
    sub->left = sub->channels_count;
    return -1;
}

static bool timed_out(const struct sub *sub)
{
    return sub->peer.timeout_ms > 0 && !sub->peer.connected &&
           hf_peer_now_ms() - sub->peer.disconnected_at_ms >= sub->peer.timeout_ms;
}

static int run(struct sub *sub)
{
    int running = 1;

    while (running > 0) {
        running = hf_client_step(sub->peer.client, sub->peer.timeout_ms > 0 ? 100 : -1);
        flush_output(sub);
        if (hf_peer_interrupted())
            hf_client_close(sub->peer.client);
        if (timed_out(sub)) {
            hf_peer_say("no connection for %.1f s: given up", (double)sub->peer.timeout_ms / 1000);
            return HF_EXIT_FAILED;
        }
    }
    if (running < 0)
        hf_peer_say("%s", hf_client_strerror(running));
    return running < 0 || sub->peer.failed ? HF_EXIT_FAILED : HF_EXIT_OK;
}

int hf_cli_sub(int argc, char **argv)
{
    struct hf_client_options options;
    struct sub *sub = calloc(1, sizeof(*sub));
    int status;

    if (sub == NULL) {
        hf_peer_say("out of memory");
        return HF_EXIT_FAILED;
    }
    sub->peer.subscribes = true;
    hf_print_init(&sub->print);
    hf_client_options_init(&options);
    hf_peer_watch(&sub->peer, &options);
    options.on_message = on_message;
    options.on_gap = on_gap;
    options.on_subscribed = on_subscribed;
    options.on_unsubscribed = on_unsubscribed;
    status = parse(sub, &options, argc, argv);
    if (status < 0) {
        status = hf_peer_start(&sub->peer, "sub", &options);
        if (status == 0)
            status = subscribe_all(sub);
    }
    if (status < 0) {
        (void)setvbuf(stdout, NULL, _IOFBF, OUTPUT_BYTES);
        status = run(sub);
    }
    hf_peer_stop(&sub->peer);
    hf_print_release(&sub->print);
    free(sub);
    return status;
}
