/*
 * history.c - `holdfast history`: writes what a channel keeps to standard output, page by page.
 */
#include "cli/commands.h"
#include "cli/peer.h"
#include "cli/print.h"
#include "wire/message.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PAGE = 1000, OUTPUT_BYTES = 64 * 1024, TIMEOUT_MS = 10000, LOOK_MS = 100 };

struct history {
    struct hf_peer peer; /* first: the callbacks about the connection take it */
    const char *channel;
    struct hf_client_history_query next; /* the page to ask for */
    char epoch[HF_LABEL_BYTES_MAX + 1];  /* next.since_epoch, from the second page on */
    uint32_t page;                       /* messages to ask for at a time */
    uint64_t limit;                      /* 0: all */
    uint64_t printed;
    uint64_t asked_at_ms; /* the last answer, or the beginning */
    bool closing;
    struct hf_print print;
};

static int help(void)
{
    printf("Usage: holdfast history [OPTION...] CHANNEL\n"
           "Write the payloads of the messages that the server keeps of CHANNEL to standard output, a line "
           "each, the\n"
           "oldest first; a text as it is, any other JSON value as JSON.\n\n"
           "  --since EPOCH:OFFSET   only what is behind this position; with --reverse, before it\n"
           "  --limit N              at most N messages\n"
           "  --reverse              the newest first\n"
           "  --json                 write {channel,offset,id,timestamp,payload} a line\n" HF_PEER_HELP
           "  --timeout SECONDS      give up when there was no answer for so long (0: never; 10)\n"
           "  -v, --verbose          also tell the channel's position\n");
    return HF_EXIT_OK;
}

/* --- pages --- */

static void close_client(struct history *h)
{
    if (!h->closing)
        hf_client_close(h->peer.client);
    h->closing = true;
}

static uint32_t page_size(const struct history *h)
{
    uint64_t left = h->limit - h->printed;

    return h->limit == 0 || left > h->page ? h->page : (uint32_t)left;
}

static int ask(struct history *h)
{
    h->next.limit = page_size(h);
    return hf_client_history(h->peer.client, h->channel, strlen(h->channel), &h->next, NULL);
}

static void fail(struct history *h)
{
    h->peer.failed = true;
    close_client(h);
}

static void ask_again(struct history *h)
{
    int err = ask(h);

    if (err == 0)
        return;
    hf_peer_say("%s", hf_client_strerror(err));
    fail(h);
}

/* Go on behind the last message of the answer. */
static void ask_more(struct history *h, const struct hf_client_history *answer)
{
    (void)snprintf(h->epoch, sizeof(h->epoch), "%.*s", (int)answer->epoch.len, answer->epoch.data);
    h->next.since_epoch = h->epoch;
    h->next.since_offset = answer->messages[answer->count - 1].offset;
    ask_again(h);
}

static bool epoch_changed(const struct history *h, const struct hf_client_history *answer)
{
    return h->printed > 0 && (strlen(h->epoch) != answer->epoch.len ||
                              memcmp(h->epoch, answer->epoch.data, answer->epoch.len) != 0);
}

/* Large messages: a page of fewer fits. */
static bool ask_for_fewer(struct history *h, const struct hf_client_history *answer)
{
    static const char too_large[] = "too_large";

    if (answer->code.len != sizeof(too_large) - 1 ||
        memcmp(answer->code.data, too_large, answer->code.len) != 0 || h->next.limit <= 1)
        return false;
    h->page = h->next.limit / 2;
    ask_again(h);
    return true;
}

static void on_history(void *user, const struct hf_client_history *answer)
{
    struct history *h = user;
    uint32_t i;

    h->asked_at_ms = hf_peer_now_ms();
    if (ask_for_fewer(h, answer))
        return;
    if (answer->code.len > 0) {
        hf_peer_say("%s: no history: %.*s: %.*s", h->channel, (int)answer->code.len, answer->code.data,
                    (int)answer->reason.len, answer->reason.data);
        fail(h);
        return;
    }
    if (epoch_changed(h, answer)) {
        hf_peer_say("%s: the channel was begun anew, as epoch %.*s, while it was read", h->channel,
                    (int)answer->epoch.len, answer->epoch.data);
        fail(h);
        return;
    }
    if (answer->head == 0 && h->peer.verbose)
        hf_peer_say("%s: no message yet", h->channel);
    else if (h->printed == 0 && h->peer.verbose)
        hf_peer_say("%s: the newest is %.*s:%" PRIu64, h->channel, (int)answer->epoch.len, answer->epoch.data,
                    answer->head);
    for (i = 0; i < answer->count; i++)
        hf_print_message(&h->print, &answer->messages[i]);
    h->printed += answer->count;
    if (answer->count < h->next.limit || h->printed == h->limit)
        close_client(h);
    else
        ask_more(h, answer);
}

/* --- options --- */

enum { OPT_SINCE = 256, OPT_LIMIT, OPT_REVERSE, OPT_JSON };

/* Returns -1 to go on, or the exit status. */
static int take_option(struct history *h, int option, struct hf_client_options *options, char *const *argv)
{
    int status = hf_peer_take_option(&h->peer, "history", option, options);

    if (status != HF_PEER_NOT_MINE)
        return status;
    switch (option) {
    case OPT_SINCE:
        return hf_peer_parse_position(optarg, &h->next.since_epoch, &h->next.since_offset)
                   ? -1
                   : hf_peer_usage("history", "--since wants EPOCH:OFFSET, not ", optarg);
    case OPT_LIMIT:
        return hf_peer_parse_number(optarg, &h->limit) && h->limit > 0
                   ? -1
                   : hf_peer_usage("history", "--limit wants a number from 1 on, not ", optarg);
    case OPT_REVERSE:
        h->next.reverse = true;
        return -1;
    case OPT_JSON:
        h->print.json = true;
        return -1;
    case 'h':
        return help();
    default:
        return hf_peer_usage_option("history", option, argv);
    }
}

static int parse(struct history *h, struct hf_client_options *options, int argc, char **argv)
{
    static const struct option known[] = {
        {"since", required_argument, NULL, OPT_SINCE},
        {"limit", required_argument, NULL, OPT_LIMIT},
        {"reverse", no_argument, NULL, OPT_REVERSE},
        {"json", no_argument, NULL, OPT_JSON},
        HF_PEER_OPTIONS,
        {NULL, 0, NULL, 0},
    };
    int option, status;

    while ((option = getopt_long(argc, argv, ":vh", known, NULL)) != -1) {
        status = take_option(h, option, options, argv);
        if (status >= 0)
            return status;
    }
    if (argc == optind)
        return hf_peer_usage("history", "no channel given", "");
    if (argc - optind > 1)
        return hf_peer_usage("history", "one channel at a time, not also ", argv[optind + 1]);
    h->channel = argv[optind];
    return -1;
}

/* --- running --- */

static bool timed_out(const struct history *h)
{
    return h->peer.timeout_ms > 0 && hf_peer_now_ms() - h->asked_at_ms >= h->peer.timeout_ms;
}

static int run(struct history *h)
{
    int running = 1;

    h->asked_at_ms = hf_peer_now_ms();
    while (running > 0) {
        running = hf_client_step(h->peer.client, LOOK_MS);
        if (hf_peer_interrupted()) {
            h->peer.failed = true;
            close_client(h);
        }
        if (!h->closing && timed_out(h)) {
            hf_peer_say("no answer for %.1f s: given up", (double)h->peer.timeout_ms / 1000);
            return HF_EXIT_FAILED;
        }
    }
    if (running < 0)
        hf_peer_say("%s", hf_client_strerror(running));
    if (fflush(stdout) != 0 && errno != EPIPE) {
        hf_peer_say("standard output: %s", strerror(errno));
        return HF_EXIT_FAILED;
    }
    return running < 0 || h->peer.failed ? HF_EXIT_FAILED : HF_EXIT_OK;
}

static int start(struct history *h, const struct hf_client_options *options)
{
    int status = hf_peer_start(&h->peer, "history", options), err;

    if (status > 0)
        return status;
    err = ask(h);
    return err == 0 ? -1 : hf_peer_usage("history", "no valid name of a channel, or position: ", h->channel);
}

int hf_cli_history(int argc, char **argv)
{
    struct hf_client_options options;
    struct history h = {.peer.timeout_ms = TIMEOUT_MS, .page = PAGE};
    int status;

    hf_print_init(&h.print);
    hf_client_options_init(&options);
    hf_peer_watch(&h.peer, &options);
    options.on_caught_up = NULL; /* One who reads and leaves does not speak of sessions. */
    options.on_history = on_history;
    status = parse(&h, &options, argc, argv);
    if (status < 0)
        status = start(&h, &options);
    if (status < 0) {
        (void)setvbuf(stdout, NULL, _IOFBF, OUTPUT_BYTES);
        status = run(&h);
    }
    hf_peer_stop(&h.peer);
    hf_print_release(&h.print);
    return status;
}
