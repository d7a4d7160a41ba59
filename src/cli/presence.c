/*
 * presence.c - `holdfast presence`: writes who is subscribed to a channel to standard output, and with --follow who comes and goes.
 */
#include "base/rng.h"
#include "cli/commands.h"
#include "cli/members.h"
#include "cli/peer.h"
#include "cli/print.h"
#include "wire/json.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { OUTPUT_BYTES = 64 * 1024, TIMEOUT_MS = 10000, LOOK_MS = 100, SPREAD_MS = 1000 };

struct presence {
    struct hf_peer peer; /* first: the callbacks about the connection take it */
    const char *channel;
    bool follow, json, timeout_given;
    bool answered;      /* the members are known */
    bool asked;         /* a question is on its way */
    uint64_t ask_at_ms; /* members are to be asked for anew; UINT64_MAX: they are not */
    uint64_t began_ms;
    bool closing, output_broken;
    struct hf_members known; /* --follow */
    struct hf_buf line;
    struct hf_rng rng;
};

static int help(void)
{
    printf("Usage: holdfast presence [OPTION...] CHANNEL\n"
           "Write who is subscribed to CHANNEL to standard output: a line for each session, with the user "
           "and the user's\n"
           "info where there are some, tabs between.\n\n"
           "  --follow               go on, and write who joins and who leaves, until SIGINT or SIGTERM. "
           "`member`, `join` or\n"
           "                         `leave` stands in front; the command's own subscription is left out\n"
           "  --json                 write {type,channel,session,user,info} a line\n" HF_PEER_HELP
           "  --timeout SECONDS      give up when there was no answer for so long (0: never; 10); with "
           "--follow, no\n"
           "                         connection (never)\n"
           "  -v, --verbose          also tell about sessions\n");
    return HF_EXIT_OK;
}

/* --- output --- */

static void put_text(struct hf_buf *out, const char *what, const struct hf_member *m)
{
    if (what != NULL)
        hf_buf_putf(out, "%s\t", what);
    hf_buf_puts(out, m->session);
    if (m->user[0] != '\0' || m->info[0] != '\0')
        hf_buf_putf(out, "\t%s", m->user);
    if (m->info[0] != '\0')
        hf_buf_putf(out, "\t%s", m->info);
}

static void put_json(struct hf_buf *out, const char *what, const char *channel, const struct hf_member *m)
{
    hf_buf_putf(out, "{\"type\":\"%s\",\"channel\":", what);
    hf_json_put_string(out, hf_str_from(channel));
    hf_buf_puts(out, ",\"session\":");
    hf_json_put_string(out, hf_str_from(m->session));
    hf_buf_puts(out, ",\"user\":");
    hf_json_put_string(out, hf_str_from(m->user));
    if (m->info[0] != '\0')
        hf_buf_putf(out, ",\"info\":%s", m->info);
    hf_buf_puts(out, "}");
}

static void print(struct presence *p, const char *what, const struct hf_member *m)
{
    hf_buf_reset(&p->line);
    if (p->json)
        put_json(&p->line, what, p->channel, m);
    else
        put_text(&p->line, p->follow ? what : NULL, m);
    if (hf_buf_puts(&p->line, "\n") < 0)
        hf_peer_say("a member is too large to be written");
    else
        (void)fwrite(p->line.data, 1, p->line.len, stdout);
}

static void on_known(void *ctx, enum hf_members_change change, const struct hf_member *m)
{
    struct presence *p = ctx;

    if (change == HF_MEMBERS_LEFT)
        print(p, "leave", m);
    else
        print(p, p->answered ? "join" : "member", m);
}

static void close_client(struct presence *p)
{
    if (!p->closing)
        hf_client_close(p->peer.client);
    p->closing = true;
}

static void fail(struct presence *p)
{
    p->peer.failed = true;
    close_client(p);
}

/* Whoever reads us has all that has come when we go to sleep. */
static void flush_output(struct presence *p)
{
    if (fflush(stdout) == 0 || p->output_broken)
        return;
    if (errno != EPIPE) {
        hf_peer_say("standard output: %s", strerror(errno));
        p->peer.failed = true;
    }
    p->output_broken = true;
    close_client(p);
}

/* --- questions and answers --- */

static void ask(struct presence *p)
{
    int err = hf_client_presence(p->peer.client, p->channel, strlen(p->channel), NULL);

    p->ask_at_ms = UINT64_MAX;
    p->asked = err == 0;
    if (err == 0 || p->closing)
        return;
    hf_peer_say("%s", hf_client_strerror(err));
    fail(p);
}

/* "it asks again, after a random part of a second where it is one of many" (docs/protocol.md "Presence"). */
static void ask_again(struct presence *p)
{
    if (p->ask_at_ms == UINT64_MAX)
        p->ask_at_ms = hf_peer_now_ms() + hf_rng_below(&p->rng, SPREAD_MS);
}

static bool is_code(struct hf_client_text code, const char *name)
{
    return code.len == strlen(name) && memcmp(code.data, name, code.len) == 0;
}

static bool is_mine(const struct presence *p, const struct hf_client_member *m)
{
    return p->follow && is_code(m->session, p->peer.session);
}

static void out_of_memory(struct presence *p)
{
    hf_peer_say("out of memory");
    fail(p);
}

static void on_members(void *user, const struct hf_client_members *answer)
{
    struct presence *p = user;
    uint32_t i;
    int err = 0;

    p->asked = false;
    if (p->follow && (is_code(answer->code, "overloaded") || is_code(answer->code, "unavailable"))) {
        ask_again(p);
        return;
    }
    if (answer->code.len > 0) {
        hf_peer_say("%s: no members: %.*s: %.*s", p->channel, (int)answer->code.len, answer->code.data,
                    (int)answer->reason.len, answer->reason.data);
        fail(p);
        return;
    }
    hf_members_begin(&p->known);
    for (i = 0; err == 0 && i < answer->count; i++)
        if (!is_mine(p, &answer->members[i]))
            err = hf_members_put(&p->known, &answer->members[i]);
    if (err < 0) {
        out_of_memory(p);
        return;
    }
    hf_members_end(&p->known);
    p->answered = true;
    if (!p->follow)
        close_client(p);
}

static void on_presence(void *user, const struct hf_client_presence_event *event)
{
    struct presence *p = user;

    if (event->kind == HF_CLIENT_PRESENCE_MISSED)
        ask_again(p);
    else if (!p->answered || is_mine(p, &event->member))
        return; /* "those before are contained in it" */
    else if (event->kind == HF_CLIENT_PRESENCE_LEAVE)
        hf_members_remove(&p->known, &event->member);
    else if (hf_members_put(&p->known, &event->member) < 0)
        out_of_memory(p);
}

static void on_subscribed(void *user, const struct hf_client_subscription *subscription)
{
    struct presence *p = user;

    if (is_code(subscription->channel, p->channel) && !p->answered && !p->asked)
        ask(p);
}

static void on_unsubscribed(void *user, const struct hf_client_subscription *s)
{
    struct presence *p = user;

    if (!is_code(s->channel, p->channel))
        return;
    hf_peer_say("%s: not subscribed: %.*s %.*s", p->channel, (int)s->code.len,
                s->code.len > 0 ? s->code.data : "", (int)s->reason.len,
                s->reason.len > 0 ? s->reason.data : "");
    fail(p);
}

/* --- options --- */

enum { OPT_FOLLOW = 256, OPT_JSON };

/* Returns -1 to go on, or the exit status. */
static int take_option(struct presence *p, int option, struct hf_client_options *options, char *const *argv)
{
    int status = hf_peer_take_option(&p->peer, "presence", option, options);

    p->timeout_given = p->timeout_given || option == HF_PEER_TIMEOUT;
    if (status != HF_PEER_NOT_MINE)
        return status;
    switch (option) {
    case OPT_FOLLOW:
        p->follow = true;
        return -1;
    case OPT_JSON:
        p->json = true;
        return -1;
    case 'h':
        return help();
    default:
        return hf_peer_usage_option("presence", option, argv);
    }
}

static int parse(struct presence *p, struct hf_client_options *options, int argc, char **argv)
{
    static const struct option known[] = {
        {"follow", no_argument, NULL, OPT_FOLLOW},
        {"json", no_argument, NULL, OPT_JSON},
        HF_PEER_OPTIONS,
        {NULL, 0, NULL, 0},
    };
    int option, status;

    while ((option = getopt_long(argc, argv, ":vh", known, NULL)) != -1) {
        status = take_option(p, option, options, argv);
        if (status >= 0)
            return status;
    }
    if (argc == optind)
        return hf_peer_usage("presence", "no channel given", "");
    if (argc - optind > 1)
        return hf_peer_usage("presence", "one channel at a time, not also ", argv[optind + 1]);
    p->channel = argv[optind];
    if (!p->timeout_given)
        p->peer.timeout_ms = p->follow ? 0 : TIMEOUT_MS;
    return -1;
}

/* --- running --- */

static bool timed_out(const struct presence *p)
{
    uint64_t since = p->follow ? p->peer.disconnected_at_ms : p->began_ms;

    if (p->closing || p->peer.timeout_ms == 0 || (p->follow && p->peer.connected))
        return false;
    return hf_peer_now_ms() - since >= p->peer.timeout_ms;
}

static int run(struct presence *p)
{
    int running = 1;

    p->began_ms = hf_peer_now_ms();
    while (running > 0) {
        running = hf_client_step(p->peer.client, LOOK_MS);
        flush_output(p);
        if (hf_peer_interrupted()) {
            p->peer.failed = p->peer.failed || !p->follow;
            close_client(p);
        }
        if (!p->closing && !p->asked && hf_peer_now_ms() >= p->ask_at_ms)
            ask(p);
        if (timed_out(p)) {
            hf_peer_say("no %s for %.1f s: given up", p->follow ? "connection" : "answer",
                        (double)p->peer.timeout_ms / 1000);
            return HF_EXIT_FAILED;
        }
    }
    if (running < 0)
        hf_peer_say("%s", hf_client_strerror(running));
    return running < 0 || p->peer.failed ? HF_EXIT_FAILED : HF_EXIT_OK;
}

static int start(struct presence *p, const struct hf_client_options *options)
{
    const struct hf_client_start with_presence = {.presence = true};
    int status = hf_peer_start(&p->peer, "presence", options), err;

    if (status > 0)
        return status;
    if (p->follow)
        err = hf_client_subscribe(p->peer.client, p->channel, strlen(p->channel), &with_presence);
    else
        err = hf_client_presence(p->peer.client, p->channel, strlen(p->channel), NULL);
    return err == 0 ? -1 : hf_peer_usage("presence", "no valid name of a channel: ", p->channel);
}

int hf_cli_presence(int argc, char **argv)
{
    struct hf_client_options options;
    struct presence p = {.ask_at_ms = UINT64_MAX, .rng.state = hf_peer_now_ms() ^ (uint64_t)getpid()};
    int status;

    hf_members_init(&p.known, on_known, &p);
    hf_buf_init(&p.line, OUTPUT_BYTES);
    hf_client_options_init(&options);
    hf_peer_watch(&p.peer, &options);
    options.on_members = on_members;
    options.on_presence = on_presence;
    options.on_subscribed = on_subscribed;
    options.on_unsubscribed = on_unsubscribed;
    status = parse(&p, &options, argc, argv);
    if (!p.follow)
        options.on_caught_up = NULL; /* One who reads and leaves does not speak of sessions. */
    if (status < 0)
        status = start(&p, &options);
    if (status < 0) {
        (void)setvbuf(stdout, NULL, _IOFBF, OUTPUT_BYTES);
        status = run(&p);
    }
    hf_peer_stop(&p.peer);
    hf_members_release(&p.known);
    hf_buf_release(&p.line);
    return status;
}
