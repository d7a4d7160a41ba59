/*
 * pub.c - `holdfast pub`: publishes a message, or each line of standard input, exactly once, through whatever breaks on the way.
 */
#include "cli/commands.h"
#include "cli/lines.h"
#include "cli/peer.h"
#include "cli/print.h"
#include "wire/message.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    LINE_BYTES_MAX = 1024 * 1024, /* sixteen times what a server takes by default */
    OUTBOX_MESSAGES = 8192,       /* a power of two: line_of[] is a ring of that many */
    LINES_A_TURN = 2048,          /* between two looks at the network */
    TIMEOUT_MS = 60000,
    SHOW_AFTER_MS = 1000, /* a progress line where it takes longer */
    LOOK_MS = 100,        /* the timeout is looked at that often */
};

struct pub {
    struct hf_peer peer; /* first: the callbacks about the connection take it */
    const char *channel, *message, *id;
    bool json, bytes;
    bool closing;
    bool shows;    /* a progress line */
    bool complete; /* all there is to publish has been given to the client */
    uint64_t progress_at_ms;
    uint64_t shown_at_ms; /* the progress line, for one who looks on; 0: none is there */
    struct hf_lines lines;
    bool keeps;        /* with --outbox: what is not answered stays there */
    uint64_t left;     /* publishes that an earlier one left in the outbox; they count as published */
    uint64_t own_from; /* the first publish id of this one */
    uint64_t published, acked, rejected;
    uint64_t line_of[OUTBOX_MESSAGES]; /* by publish id: the line, for the complaint about it */
};

static int help(void)
{
    printf("Usage: holdfast pub [OPTION...] CHANNEL [MESSAGE]\n"
           "Publish MESSAGE to CHANNEL; without it, each line of standard input. Each is published exactly "
           "once. The\n"
           "exit status is 0 if all were acknowledged, 1 if not.\n\n"
           "  --json                 the message, or each line, is JSON; else it is a text\n"
           "  --bytes                the message, or each line, is bytes as they are\n"
           "  --id ID                the MESSAGE's id\n"
           "  --outbox FILE          keep there what is not acknowledged yet; the next `pub` with it sends "
           "it\n"
           "  --timeout SECONDS      give up when nothing was acknowledged for so long (0: never; "
           "60)\n" HF_PEER_HELP HF_PEER_LONG_HELP
           "  -v, --verbose          tell about sessions, and how it went\n");
    return HF_EXIT_OK;
}

/* --- what the server says --- */

static void say_result(const struct pub *pub, const struct hf_client_result *result)
{
    char where[48] = "the message";

    if (result->publish_id < pub->own_from)
        (void)snprintf(where, sizeof(where), "message %" PRIu64 " of the outbox", result->publish_id);
    else if (pub->message == NULL)
        (void)snprintf(where, sizeof(where), "line %" PRIu64,
                       pub->line_of[result->publish_id % OUTBOX_MESSAGES]);
    if (result->outcome == HF_CLIENT_UNCERTAIN)
        hf_peer_say("%s may or may not have been published: the server has lost the session", where);
    else
        hf_peer_say("%s was refused: %.*s: %.*s", where, (int)result->code.len, result->code.data,
                    (int)result->reason.len, result->reason.len > 0 ? result->reason.data : "");
}

static void on_result(void *user, const struct hf_client_result *result)
{
    struct pub *pub = user;

    pub->progress_at_ms = hf_peer_now_ms();
    if (result->outcome == HF_CLIENT_ACKED) {
        pub->acked++;
        return;
    }
    pub->rejected++;
    say_result(pub, result);
}

/* --- publishing --- */

static int publish(struct pub *pub, struct hf_str words, uint64_t *publish_id)
{
    const struct hf_client_publication publication = {.channel = pub->channel,
                                                      .channel_len = strlen(pub->channel),
                                                      .payload = words.data,
                                                      .payload_len = words.len,
                                                      .text = !pub->json && !pub->bytes,
                                                      .bytes = pub->bytes,
                                                      .id = pub->id};

    return hf_client_publish_with(pub->peer.client, &publication, publish_id);
}

static const char *complaint(const struct pub *pub, int err)
{
    if (err == HF_CLIENT_EINVAL)
        return pub->json ? "no valid JSON" : "no valid UTF-8";
    if (err == HF_CLIENT_ETOOLARGE)
        return "larger than the server takes";
    return hf_client_strerror(err);
}

static void note_published(struct pub *pub, uint64_t publish_id)
{
    if (pub->published == pub->left)
        pub->own_from = publish_id;
    pub->published++;
}

static void reject_line(struct pub *pub, const char *why)
{
    hf_peer_say("line %" PRIu64 ": %s", pub->lines.line, why);
    pub->rejected++;
}

/* What publishing goes on with. */
enum next_step {
    READ_MORE, /* all that has been read is published: read on */
    GO_ON,     /* more has been read, but the network has its turn */
    WAIT,      /* the outbox is full */
    FINISHED,  /* there is no more */
};

static enum next_step publish_line(struct pub *pub, struct hf_str line)
{
    uint64_t publish_id = 0;
    int err = publish(pub, line, &publish_id);

    if (err == HF_CLIENT_EAGAIN || err == HF_CLIENT_ESTATE)
        return WAIT;
    if (err < 0) {
        reject_line(pub, complaint(pub, err));
    } else {
        pub->line_of[publish_id % OUTBOX_MESSAGES] = pub->lines.line;
        note_published(pub, publish_id);
    }
    hf_lines_next(&pub->lines, line);
    return GO_ON;
}

/* Publish the lines that have been read. */
static enum next_step publish_lines(struct pub *pub)
{
    struct hf_str line;
    unsigned turns;

    for (turns = 0; turns < LINES_A_TURN; turns++) {
        switch (hf_lines_get(&pub->lines, &line)) {
        case HF_LINES_LINE:
            if (publish_line(pub, line) == WAIT)
                return WAIT;
            break;
        case HF_LINES_TOO_LONG:
            reject_line(pub, "longer than any server takes");
            hf_lines_next(&pub->lines, (struct hf_str){NULL, 0});
            break;
        case HF_LINES_MORE:
            return READ_MORE;
        case HF_LINES_END:
            return FINISHED;
        }
    }
    return GO_ON;
}

static enum next_step publish_more(struct pub *pub)
{
    if (pub->closing)
        return WAIT;
    return pub->message != NULL ? FINISHED : publish_lines(pub);
}

static int read_input(struct pub *pub)
{
    if (hf_lines_read(&pub->lines) == 0)
        return 0;
    hf_peer_say("standard input: %s", strerror(errno));
    return -1;
}

/* One turn of poll(): the client's descriptors, and standard input while there is room for what it brings. */
static int step(struct pub *pub, enum next_step next)
{
    struct pollfd fds[HF_CLIENT_POLL_MAX + 1];
    int timeout, count = hf_client_prepare(pub->peer.client, fds, &timeout);
    int fds_count = count;

    if (next == READ_MORE)
        fds[fds_count++] = (struct pollfd){.fd = pub->lines.fd, .events = POLLIN};
    if (next == GO_ON)
        timeout = 0;
    else if (timeout < 0 || timeout > LOOK_MS)
        timeout = LOOK_MS;
    if (poll(fds, (nfds_t)fds_count, timeout) < 0) {
        if (errno != EINTR)
            return HF_CLIENT_EIO;
        count = fds_count = 0;
    }
    if (fds_count > count && fds[count].revents != 0 && read_input(pub) < 0)
        return HF_CLIENT_EIO;
    return hf_client_process(pub->peer.client, fds, count);
}

/* --- running --- */

static bool timed_out(struct pub *pub)
{
    uint64_t now = hf_peer_now_ms();

    if (hf_client_unanswered(pub->peer.client) == 0 || pub->closing)
        pub->progress_at_ms = now; /* It is standard input that takes its time. */
    return pub->peer.timeout_ms > 0 && now - pub->progress_at_ms >= pub->peer.timeout_ms;
}

static void close_client(struct pub *pub)
{
    if (!pub->closing)
        hf_client_close(pub->peer.client);
    pub->closing = true;
}

static void clear_progress(struct pub *pub)
{
    if (pub->shown_at_ms != 0)
        fputs("\r\033[K", stderr);
    pub->shown_at_ms = 0;
}

/* On a terminal, and where it is not the lines themselves that are typed there. */
static void show_progress(struct pub *pub, uint64_t began_ms)
{
    uint64_t now = hf_peer_now_ms();

    if (!pub->shows || now - began_ms < SHOW_AFTER_MS || now - pub->shown_at_ms < LOOK_MS)
        return;
    pub->shown_at_ms = now;
    fprintf(stderr, "\r\033[K%" PRIu64 " published, %" PRIu64 " acknowledged, %.0f a second%s",
            pub->published, pub->acked, (double)pub->acked * 1000 / (double)(now - began_ms),
            pub->peer.connected ? "" : ", no connection");
}

static int run(struct pub *pub)
{
    uint64_t began_ms = hf_peer_now_ms();
    int running = 1;

    pub->shows = pub->message == NULL && hf_print_terminal(STDERR_FILENO) && !isatty(STDIN_FILENO);
    pub->progress_at_ms = began_ms;
    while (running > 0) {
        enum next_step next = publish_more(pub);

        pub->complete = pub->complete || next == FINISHED;
        if (hf_peer_interrupted() || (next == FINISHED && hf_client_unanswered(pub->peer.client) == 0))
            close_client(pub);
        running = step(pub, next);
        show_progress(pub, began_ms);
        if (timed_out(pub)) {
            clear_progress(pub);
            hf_peer_say("nothing acknowledged for %.1f s: given up", (double)pub->peer.timeout_ms / 1000);
            return HF_EXIT_FAILED;
        }
    }
    clear_progress(pub);
    return running < 0 ? HF_EXIT_FAILED : HF_EXIT_OK;
}

static int publish_argument(struct pub *pub)
{
    uint64_t publish_id;
    int err = publish(pub, hf_str_from(pub->message), &publish_id);

    if (err < 0)
        return hf_peer_usage("pub", "the message: ", complaint(pub, err));
    note_published(pub, publish_id);
    return -1;
}

static void note_left(struct pub *pub)
{
    pub->left = pub->published = hf_client_unanswered(pub->peer.client);
    pub->own_from = UINT64_MAX;
    if (pub->left > 0)
        hf_peer_say("%" PRIu64 " message%s left in the outbox %s sent first", pub->left,
                    pub->left == 1 ? "" : "s", pub->left == 1 ? "is" : "are");
}

static int finish(struct pub *pub, int status, uint64_t began_ms)
{
    bool complete = pub->acked == pub->published && pub->rejected == 0 && pub->complete;

    if (pub->peer.verbose || isatty(STDERR_FILENO) || !complete)
        hf_peer_say("%" PRIu64 " message%s acknowledged in %.1f s, %u reconnect%s", pub->acked,
                    pub->acked == 1 ? "" : "s", (double)(hf_peer_now_ms() - began_ms) / 1000,
                    pub->peer.reconnects, pub->peer.reconnects == 1 ? "" : "s");
    if (pub->acked + pub->rejected < pub->published)
        hf_peer_say("%" PRIu64 " published without an answer%s", pub->published - pub->acked - pub->rejected,
                    pub->keeps ? "; they stay in the outbox, and the next `pub` with it sends them" : "");
    return complete ? status : HF_EXIT_FAILED;
}

/* --- options --- */

enum { OPT_JSON = 256, OPT_BYTES, OPT_ID, OPT_OUTBOX };

/* Returns -1 to go on, or the exit status. */
static int take_option(struct pub *pub, int option, struct hf_client_options *options, char *const *argv)
{
    int status = hf_peer_take_option(&pub->peer, "pub", option, options);

    if (status != HF_PEER_NOT_MINE)
        return status;
    switch (option) {
    case OPT_JSON:
        pub->json = true;
        return -1;
    case OPT_BYTES:
        pub->bytes = true;
        return -1;
    case OPT_ID:
        pub->id = optarg;
        return -1;
    case OPT_OUTBOX:
        options->outbox_path = optarg;
        pub->keeps = true;
        return -1;
    case 'h':
        return help();
    default:
        return hf_peer_usage_option("pub", option, argv);
    }
}

static int parse(struct pub *pub, struct hf_client_options *options, int argc, char **argv)
{
    static const struct option known[] = {
        {"json", no_argument, NULL, OPT_JSON},
        {"bytes", no_argument, NULL, OPT_BYTES},
        {"id", required_argument, NULL, OPT_ID},
        {"outbox", required_argument, NULL, OPT_OUTBOX},
        HF_PEER_LONG_OPTIONS,
        HF_PEER_OPTIONS,
        {NULL, 0, NULL, 0},
    };
    int option, status;

    while ((option = getopt_long(argc, argv, ":vh", known, NULL)) != -1) {
        status = take_option(pub, option, options, argv);
        if (status >= 0)
            return status;
    }
    if (argc == optind)
        return hf_peer_usage("pub", "no channel given", "");
    if (pub->json && pub->bytes)
        return hf_peer_usage("pub", "a message is JSON or bytes: not --json with ", "--bytes");
    if (argc - optind > 2)
        return hf_peer_usage("pub", "one message at a time; quote what has spaces: ", argv[optind + 2]);
    pub->channel = argv[optind];
    pub->message = argv[optind + 1]; /* NULL at the end of argv */
    if (!hf_channel_name_valid(hf_str_from(pub->channel)))
        return hf_peer_usage("pub", "no valid name of a channel: ", pub->channel);
    if (pub->id != NULL && pub->message == NULL)
        return hf_peer_usage("pub", "--id needs a MESSAGE", "");
    return -1;
}

int hf_cli_pub(int argc, char **argv)
{
    struct hf_client_options options;
    struct pub *pub = calloc(1, sizeof(*pub));
    uint64_t began_ms = hf_peer_now_ms();
    int status;

    if (pub == NULL) {
        hf_peer_say("out of memory");
        return HF_EXIT_FAILED;
    }
    pub->peer.timeout_ms = TIMEOUT_MS;
    hf_lines_init(&pub->lines, STDIN_FILENO, LINE_BYTES_MAX);
    hf_client_options_init(&options);
    hf_peer_watch(&pub->peer, &options);
    options.on_result = on_result;
    options.outbox_messages_max = OUTBOX_MESSAGES;
    status = parse(pub, &options, argc, argv);
    if (status < 0) {
        status = hf_peer_start(&pub->peer, "pub", &options);
        if (status == 0)
            note_left(pub);
        if (status == 0)
            status = pub->message == NULL ? -1 : publish_argument(pub);
    }
    if (status < 0)
        status = finish(pub, run(pub), began_ms);
    hf_peer_stop(&pub->peer);
    hf_lines_release(&pub->lines);
    free(pub);
    return status;
}
