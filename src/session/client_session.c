#include "session/client_session.h"

#include "base/assert.h"
#include "session/client_session_impl.h"

#include <stdlib.h>
#include <string.h>

enum {
    FIRST_ATTEMPT_MS = 4000, /* research: a connect timeout of 4 s, then 8 s; here up to the welcome */
    NEXT_ATTEMPT_MS = 8000,
    LINGER_MS = 1000, /* for the driver to write a close frame */
    BYE_MS = 2000,
    /* Requests, acknowledgements and pongs find room beside a full backlog of publishes. */
    SEND_BYTES_BASE = 512 * 1024,
    SEND_BYTES_PER_SUBSCRIPTION = 3072, /* a subscribe whose name and epoch are all escapes */
};

#define BIT(n) (1u << (n))
#define ANY_END BIT(HF_CLIENT_ENDED)

static const struct {
    const char *name;
    uint32_t may_follow;
} states[] = {
    [HF_CLIENT_WAITING] = {"waiting", BIT(HF_CLIENT_CONNECTING) | ANY_END},
    [HF_CLIENT_CONNECTING] = {"connecting", BIT(HF_CLIENT_OPENING) | BIT(HF_CLIENT_WAITING) | ANY_END},
    [HF_CLIENT_OPENING] = {"opening", BIT(HF_CLIENT_LIVE) | BIT(HF_CLIENT_WAITING) | ANY_END},
    [HF_CLIENT_LIVE] = {"live", BIT(HF_CLIENT_WAITING) | BIT(HF_CLIENT_CONNECTING) | BIT(HF_CLIENT_OPENING) |
                                    BIT(HF_CLIENT_CLOSING) | ANY_END},
    [HF_CLIENT_CLOSING] = {"closing", ANY_END},
    [HF_CLIENT_ENDED] = {"ended", 0},
};

/* How a connection or an attempt ended. */
struct ending {
    const char *why;
    uint16_t close_code;
    uint16_t http_status;
    struct hf_str reason; /* of the close frame */
    enum hf_backoff_cause cause;
    uint64_t min_ms, max_ms;
    bool asked; /* by the application */
    bool final; /* no further attempt would help */
};

static uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* What holds in each state. */
static void session_check(const struct hf_client_session *s)
{
    bool lives = s->state == HF_CLIENT_LIVE || s->state == HF_CLIENT_CLOSING;

    hf_assert(lives == (s->live != HF_NO_SLOT));
    if (s->state == HF_CLIENT_CONNECTING || s->state == HF_CLIENT_OPENING)
        hf_assert(s->next != HF_NO_SLOT);
    if (s->state == HF_CLIENT_WAITING || s->state == HF_CLIENT_CLOSING || s->state == HF_CLIENT_ENDED)
        hf_assert(s->next == HF_NO_SLOT);
    hf_assert(s->next == HF_NO_SLOT || s->next != s->live);
}

static void session_move(struct hf_client_session *s, enum hf_client_session_state to)
{
    hf_assert((states[s->state].may_follow & BIT(to)) != 0);
    s->state = to;
    session_check(s);
}

void hf_cs_emit(struct hf_client_session *s, const struct hf_client_session_event *ev)
{
    hf_assert(s->busy > 0);
    s->config.on_event(s->config.ctx, ev);
}

void hf_cs_fail(struct hf_client_session *s, uint16_t close_code, const char *why)
{
    if (s->failed != NULL)
        return;
    s->failed = why;
    s->failed_code = close_code;
}

/* --- attempts --- */

static int free_slot(struct hf_client_session *s)
{
    int slot = s->live == 0 ? 1 : 0;

    if (s->live == HF_NO_SLOT && s->links[0].state != HF_LINK_IDLE && s->links[1].state == HF_LINK_IDLE)
        slot = 1;
    if (s->links[slot].state != HF_LINK_IDLE)
        hf_link_drop(&s->links[slot]); /* It was closing; its time is over. */
    return slot;
}

static uint64_t attempt_ms(const struct hf_client_session *s)
{
    return s->retries == 0 ? FIRST_ATTEMPT_MS : NEXT_ATTEMPT_MS;
}

static void start_attempt(struct hf_client_session *s, bool held, uint64_t now_ms)
{
    s->next = free_slot(s);
    s->next_held = held;
    s->attempts++;
    s->attempt_until_ms = now_ms + attempt_ms(s);
    s->advice_min_ms = s->advice_max_ms = 0;
    hf_link_dial(&s->links[s->next], s->attempts);
    if (s->state == HF_CLIENT_WAITING)
        session_move(s, HF_CLIENT_CONNECTING);
}

static void drop_next(struct hf_client_session *s)
{
    struct hf_link *l = &s->links[s->next];

    /* The server may yet take it for the session's newest connection. */
    if (l->state >= HF_LINK_OPENING && s->given_up < l->attempt)
        s->given_up = l->attempt;
    hf_link_drop(l);
    s->next = HF_NO_SLOT;
    s->next_held = false;
}

static void emit_ending(struct hf_client_session *s, enum hf_client_session_event_type type,
                        const struct ending *e, uint64_t delay_ms)
{
    struct hf_client_session_event ev = {.type = type,
                                         .why = e->why,
                                         .close_code = e->close_code,
                                         .http_status = e->http_status,
                                         .reason = e->reason,
                                         .asked = e->asked,
                                         .delay_ms = delay_ms};

    hf_cs_emit(s, &ev);
}

static void end_session(struct hf_client_session *s, const struct ending *e)
{
    const struct ending bye = {
        .why = "closed by the application", .close_code = HF_CLOSE_NORMAL, .asked = true};

    if (s->state == HF_CLIENT_CLOSING)
        e = &bye;
    if (s->next != HF_NO_SLOT)
        drop_next(s);
    if (s->live != HF_NO_SLOT && s->links[s->live].state != HF_LINK_CLOSING)
        hf_link_drop(&s->links[s->live]);
    s->live = HF_NO_SLOT;
    session_move(s, HF_CLIENT_ENDED);
    emit_ending(s, HF_CSE_ENDED, e, 0);
}

/* When the next attempt is made; returns in how many milliseconds. */
static uint64_t schedule(struct hf_client_session *s, const struct ending *e, bool attempt_failed,
                         uint64_t now_ms)
{
    struct hf_backoff_end end = {.cause = e->cause,
                                 .attempt_failed = attempt_failed,
                                 .loss_spread_ms = s->loss_spread_ms,
                                 .min_ms = e->min_ms,
                                 .max_ms = e->max_ms};
    uint64_t delay = hf_backoff_ended(&s->backoff, &end, &s->rng, now_ms);

    /* "All others: reconnects and resumes, after the delay of the last `reconnect`, if there was one." */
    if (s->leave_at_ms != HF_NEVER)
        delay = s->leave_at_ms > now_ms ? s->leave_at_ms - now_ms : 0;
    s->leave_at_ms = HF_NEVER;
    s->attempt_at_ms = now_ms + delay;
    return delay;
}

/* `next` has failed. Its link is CLOSING already, or is dropped here. */
static void attempt_ended(struct hf_client_session *s, const struct ending *e, uint64_t now_ms)
{
    uint64_t delay;

    if (s->links[s->next].state != HF_LINK_CLOSING)
        hf_link_drop(&s->links[s->next]);
    s->next = HF_NO_SLOT;
    s->next_held = false;
    if (s->live != HF_NO_SLOT)
        return; /* "if the new attempt is refused, stay until closed" (PROTOCOL.md, reconnect) */
    if (e->final) {
        end_session(s, e);
        return;
    }
    session_move(s, HF_CLIENT_WAITING);
    delay = schedule(s, e, true, now_ms);
    s->retries++;
    emit_ending(s, HF_CSE_RETRYING, e, delay);
}

void hf_cs_fail_next(struct hf_client_session *s, const char *why, uint64_t now_ms)
{
    const struct ending e = {.why = why, .cause = HF_CAUSE_REFUSED};

    hf_link_close(&s->links[s->next], HF_CLOSE_POLICY, &s->rng);
    attempt_ended(s, &e, now_ms);
}

/* The upgrade of `next` goes out. */
static void request_upgrade(struct hf_client_session *s, uint64_t now_ms)
{
    struct ending e = {.why = "out of memory", .cause = HF_CAUSE_REFUSED};

    s->request_at_ms = now_ms;
    if (hf_cs_put_upgrade(s, &s->links[s->next]) < 0) {
        attempt_ended(s, &e, now_ms);
        return;
    }
    if (s->state == HF_CLIENT_CONNECTING)
        session_move(s, HF_CLIENT_OPENING);
}

/* The doubt about the live connection is confirmed: what was prepared is wanted now. */
static void release_next(struct hf_client_session *s, uint64_t now_ms)
{
    if (!s->next_held)
        return;
    s->next_held = false;
    s->attempt_until_ms = now_ms + attempt_ms(s);
    if (s->links[s->next].state == HF_LINK_READY)
        request_upgrade(s, now_ms);
}

/* --- the live connection --- */

static void reset_connection(struct hf_client_session *s)
{
    hf_outbox_disconnected(&s->outbox);
    s->settling = false;
    s->greeting = false;
    s->welcome_ping = 0;
    s->unacked_messages = 0;
    s->unacked_bytes = 0;
    s->ack_at_ms = HF_NEVER;
    s->sync_until_ms = HF_NEVER;
    s->resub_at_ms = HF_NEVER;
    s->answer_from_ms = HF_NEVER;
    s->asked = 0;
    s->bad_messages = 0;
    s->failed = NULL;
}

/* The live connection is no more. Its link is CLOSING already, or is dropped here. */
static void live_ended(struct hf_client_session *s, const struct ending *e, uint64_t now_ms)
{
    struct hf_link *l = &s->links[s->live];
    uint64_t delay = 0;

    if (l->state != HF_LINK_CLOSING)
        hf_link_drop(l);
    reset_connection(s);
    if (e->final || s->state == HF_CLIENT_CLOSING) {
        end_session(s, e);
        return;
    }
    s->live = HF_NO_SLOT;
    s->retries = 0;
    if (s->next != HF_NO_SLOT) {
        session_move(s,
                     s->links[s->next].state >= HF_LINK_OPENING ? HF_CLIENT_OPENING : HF_CLIENT_CONNECTING);
        release_next(s, now_ms);
        s->leave_at_ms = HF_NEVER;
    } else {
        session_move(s, HF_CLIENT_WAITING);
        delay = schedule(s, e, false, now_ms);
    }
    emit_ending(s, HF_CSE_DISCONNECTED, e, delay);
}

void hf_cs_adopt_next(struct hf_client_session *s, uint64_t now_ms)
{
    if (s->live != HF_NO_SLOT)
        hf_link_drop(&s->links[s->live]); /* The session has left it; what it still carried comes again. */
    s->live = s->next;
    s->next = HF_NO_SLOT;
    if (s->state != HF_CLIENT_LIVE) /* Else it was made before the other was broken, and nothing paused. */
        session_move(s, HF_CLIENT_LIVE);
    reset_connection(s);
    s->next_held = false;
    s->leave_at_ms = HF_NEVER;
    s->connections++;
    hf_backoff_connected(&s->backoff, now_ms);
    hf_heartbeat_opened(&s->heartbeat, now_ms);
    hf_heartbeat_measured(&s->heartbeat, now_ms - s->request_at_ms);
}

/*
 * 4001: "stays away, unless it has an attempt of its own that is unanswered or was given up: then it resumes once more"
 * (PROTOCOL.md "Close codes").
 */
static bool superseded_by_ourselves(const struct hf_client_session *s, int slot)
{
    uint32_t attempt = s->links[slot].attempt;

    return (s->next != HF_NO_SLOT && s->next != slot && !s->next_held) || s->given_up > attempt;
}

/* "What a client does next is told by the code alone" (PROTOCOL.md "Close codes"). */
static struct ending close_ending(const struct hf_client_session *s, int slot,
                                  const struct hf_link_event *lev)
{
    struct ending e = {.why = "the server closed the connection",
                       .close_code = lev->close_code,
                       .reason = {lev->data, lev->len},
                       .cause = HF_CAUSE_LOSS};

    switch (lev->close_code) {
    case HF_CLOSE_NORMAL:
        e.why = "the server ended the session";
        e.final = true;
        break;
    case HF_CLOSE_ENDED:
        e.why = "the session was ended by the application's backend";
        e.final = true;
        break;
    case HF_CLOSE_TOKEN_EXPIRED: /* There is no source of tokens to ask yet. */
        e.why = "the token has expired";
        e.final = true;
        break;
    case HF_CLOSE_SUPERSEDED:
        e.why = "the session was taken over by another connection";
        e.final = !superseded_by_ourselves(s, slot);
        break;
    case HF_CLOSE_HEARTBEAT_MISSED:
        e.why = "the server missed our heartbeat";
        e.cause = HF_CAUSE_OWN;
        break;
    default:
        break;
    }
    return e;
}

static void on_closed(struct hf_client_session *s, int slot, const struct hf_link_event *lev, uint64_t now_ms)
{
    struct ending e = close_ending(s, slot, lev);

    if (slot == s->live) {
        s->refuse_oldest = s->refuse_oldest || lev->close_code == HF_CLOSE_TOO_BIG;
        live_ended(s, &e, now_ms);
        return;
    }
    if (s->advice_max_ms > 0) {
        e.cause = HF_CAUSE_ADVICE;
        e.min_ms = s->advice_min_ms;
        e.max_ms = s->advice_max_ms;
    }
    attempt_ended(s, &e, now_ms);
}

/* The server, or what stands in its place, does not speak our language. */
static void on_broken(struct hf_client_session *s, int slot, const struct hf_link_event *lev, uint64_t now_ms)
{
    struct ending e = {.why = lev->reason, .close_code = lev->close_code, .cause = HF_CAUSE_REFUSED};

    if (slot == s->live)
        live_ended(s, &e, now_ms);
    else
        attempt_ended(s, &e, now_ms);
}

/*
 * Whether repeating the request cannot help. After a success a 400, 404 or 426 is more likely a proxy in the midst of a
 * deployment than the truth.
 */
static bool refusal_is_final(const struct hf_client_session *s, int status)
{
    if (status == 401 || status == 403)
        return true;
    return s->connections == 0 && (status == 400 || status == 404 || status == 426);
}

static void on_refused(struct hf_client_session *s, const struct hf_link_event *lev, uint64_t now_ms)
{
    struct ending e = {.why = lev->reason,
                       .http_status = (uint16_t)lev->status,
                       .cause = HF_CAUSE_REFUSED,
                       .final = refusal_is_final(s, lev->status)};

    if (e.why == NULL)
        e.why = "the server refused the connection";
    if (lev->retry_after_s > 0) {
        e.cause = HF_CAUSE_RETRY;
        e.min_ms = (uint64_t)lev->retry_after_s * 1000;
    }
    attempt_ended(s, &e, now_ms);
}

static void on_opened(struct hf_client_session *s, int slot, const struct hf_link_event *lev, uint64_t now_ms)
{
    struct ending e = {.why = "the server does not speak holdfast.v1.json", .cause = HF_CAUSE_REFUSED};

    if (hf_str_eq(lev->protocol, HF_STR("holdfast.v1.json")))
        return;
    e.final = s->connections == 0;
    hf_link_close(&s->links[slot], HF_CLOSE_PROTOCOL_ERROR, &s->rng);
    attempt_ended(s, &e, now_ms);
}

static void on_link_event(struct hf_client_session *s, int slot, struct hf_link_event *lev, uint64_t now_ms)
{
    switch (lev->type) {
    case HF_LINK_EV_NONE:
        break;
    case HF_LINK_EV_OPENED:
        on_opened(s, slot, lev, now_ms);
        break;
    case HF_LINK_EV_REFUSED:
        on_refused(s, lev, now_ms);
        break;
    case HF_LINK_EV_MESSAGE:
        hf_cs_recv_message(s, slot, lev->data, lev->len, now_ms);
        break;
    case HF_LINK_EV_CLOSED:
        on_closed(s, slot, lev, now_ms);
        break;
    case HF_LINK_EV_BROKEN:
        on_broken(s, slot, lev, now_ms);
        break;
    }
}

/* --- entering and leaving --- */

static void begin_close(struct hf_client_session *s, uint64_t now_ms)
{
    const struct ending e = {.why = "closed by the application", .asked = true};

    s->close_wanted = false;
    if (s->state == HF_CLIENT_ENDED || s->state == HF_CLIENT_CLOSING)
        return;
    if (s->state != HF_CLIENT_LIVE) {
        end_session(s, &e);
        return;
    }
    if (s->next != HF_NO_SLOT)
        drop_next(s);
    hf_cs_put(s, &(struct hf_msg){.type = HF_MSG_BYE});
    s->close_until_ms = now_ms + BYE_MS;
    session_move(s, HF_CLIENT_CLOSING);
}

/* Something on the live connection went wrong in a way that a new connection, or a new session, mends. */
static void end_failed(struct hf_client_session *s, uint64_t now_ms)
{
    struct ending e = {.why = s->failed, .cause = HF_CAUSE_LOSS};

    if (s->forget_session)
        s->ticket_len = 0;
    s->forget_session = false;
    hf_link_close(&s->links[s->live], s->failed_code, &s->rng);
    live_ended(s, &e, now_ms);
}

static void enter(struct hf_client_session *s)
{
    s->busy++;
}

static void leave(struct hf_client_session *s, uint64_t now_ms)
{
    unsigned slot;

    if (s->busy == 1) {
        if (s->failed != NULL && s->live != HF_NO_SLOT)
            end_failed(s, now_ms);
        if (s->close_wanted)
            begin_close(s, now_ms);
        for (slot = 0; slot < HF_CLIENT_SESSION_SLOTS; slot++)
            if (s->links[slot].state != HF_LINK_CLOSING)
                s->linger_until_ms[slot] = HF_NEVER;
            else if (s->linger_until_ms[slot] == HF_NEVER)
                s->linger_until_ms[slot] = now_ms + LINGER_MS;
    }
    s->busy--;
}

/* --- the interface --- */

static char *copy_string(const char *from)
{
    size_t len = strlen(from) + 1;
    char *copy = malloc(len);

    if (copy != NULL)
        memcpy(copy, from, len);
    return copy;
}

static size_t send_bytes_max(const struct hf_client_session_config *c)
{
    return SEND_BYTES_BASE + (size_t)c->subscriptions_max * SEND_BYTES_PER_SUBSCRIPTION + c->outbox_bytes_max;
}

static bool config_valid(const struct hf_client_session_config *c)
{
    return c->host != NULL && c->target != NULL && strlen(c->host) <= 300 && strlen(c->target) <= 2048 &&
           c->on_event != NULL && c->outbox_messages_max > 0 && c->outbox_messages_max <= UINT32_MAX / 2 &&
           c->outbox_bytes_max > 0 && c->outbox_bytes_max <= UINT32_MAX / 4 && c->window > 0 &&
           c->recv_bytes_max > 0 && c->recv_bytes_max <= UINT32_MAX / 2 && c->subscriptions_max <= 100000;
}

int hf_client_session_new(const struct hf_client_session_config *config, uint64_t now_ms,
                          struct hf_client_session **out)
{
    struct hf_client_session *s;
    unsigned slot;

    if (!config_valid(config))
        return HF_EINVAL;
    s = calloc(1, sizeof(*s));
    if (s == NULL)
        return HF_ENOMEM;
    s->config = *config;
    s->rng.state = config->seed;
    hf_backoff_init(&s->backoff);
    hf_heartbeat_init(&s->heartbeat);
    hf_outbox_init(&s->outbox, config->outbox_messages_max, config->outbox_bytes_max, config->window);
    hf_subscriptions_init(&s->subs, config->subscriptions_max);
    hf_buf_init(&s->scratch, send_bytes_max(config));
    for (slot = 0; slot < HF_CLIENT_SESSION_SLOTS; slot++) {
        hf_link_init(&s->links[slot], config->recv_bytes_max, send_bytes_max(config));
        s->linger_until_ms[slot] = HF_NEVER;
    }
    s->live = s->next = HF_NO_SLOT;
    s->attempt_at_ms = now_ms;
    s->leave_at_ms = HF_NEVER;
    reset_connection(s);
    s->config.host = copy_string(config->host);
    s->config.target = copy_string(config->target);
    if (s->config.host == NULL || s->config.target == NULL) {
        hf_client_session_free(s);
        return HF_ENOMEM;
    }
    *out = s;
    return 0;
}

static void free_string(const char *string)
{
    free((char *)(uintptr_t)string);
}

void hf_client_session_free(struct hf_client_session *s)
{
    unsigned slot;

    if (s == NULL)
        return;
    hf_assert(s->busy == 0);
    for (slot = 0; slot < HF_CLIENT_SESSION_SLOTS; slot++)
        hf_link_release(&s->links[slot]);
    hf_outbox_release(&s->outbox);
    hf_subscriptions_release(&s->subs);
    hf_buf_release(&s->scratch);
    free_string(s->config.host);
    free_string(s->config.target);
    free(s);
}

void hf_client_session_close(struct hf_client_session *s, uint64_t now_ms)
{
    enter(s);
    s->close_wanted = true; /* In a callback the call that it came from is finished first. */
    leave(s, now_ms);
}

void hf_client_session_network_changed(struct hf_client_session *s, uint64_t now_ms)
{
    enter(s);
    if (s->state == HF_CLIENT_LIVE)
        hf_heartbeat_doubted(&s->heartbeat);
    if (s->state == HF_CLIENT_WAITING)
        s->attempt_at_ms =
            min_u64(s->attempt_at_ms, now_ms + hf_rng_below(&s->rng, HF_BACKOFF_OWN_MS_MAX + 1));
    leave(s, now_ms);
}

enum hf_client_session_state hf_client_session_state(const struct hf_client_session *s)
{
    return s->state;
}

uint32_t hf_client_session_unanswered(const struct hf_client_session *s)
{
    return s->outbox.count;
}

uint32_t hf_client_session_connections(const struct hf_client_session *s)
{
    return s->connections;
}

struct hf_client_session_want hf_client_session_want(const struct hf_client_session *s, unsigned slot)
{
    static const enum hf_client_session_wish wishes[] = {
        [HF_LINK_IDLE] = HF_WISH_NONE,   [HF_LINK_DIALING] = HF_WISH_CONNECT,
        [HF_LINK_READY] = HF_WISH_CARRY, [HF_LINK_OPENING] = HF_WISH_CARRY,
        [HF_LINK_OPEN] = HF_WISH_CARRY,  [HF_LINK_CLOSING] = HF_WISH_CLOSE,
    };
    const struct hf_link *l = &s->links[slot];

    return (struct hf_client_session_want){wishes[l->state], l->attempt};
}

void hf_client_session_connected(struct hf_client_session *s, unsigned slot, uint64_t now_ms)
{
    hf_assert(s->busy == 0);
    if ((int)slot != s->next || s->links[slot].state != HF_LINK_DIALING)
        return;
    enter(s);
    hf_link_connected(&s->links[slot]);
    if (!s->next_held)
        request_upgrade(s, now_ms);
    leave(s, now_ms);
}

void hf_client_session_lost(struct hf_client_session *s, unsigned slot, const char *why, uint64_t now_ms)
{
    struct ending e = {.why = why, .cause = HF_CAUSE_LOSS};
    struct hf_link *l = &s->links[slot];

    hf_assert(s->busy == 0);
    if (l->state == HF_LINK_IDLE)
        return;
    enter(s);
    if ((int)slot == s->live) {
        live_ended(s, &e, now_ms);
    } else if ((int)slot == s->next) {
        if (l->state >= HF_LINK_OPENING)
            s->given_up = l->attempt;
        e.cause = HF_CAUSE_REFUSED;
        attempt_ended(s, &e, now_ms);
    } else {
        hf_link_drop(l);
    }
    leave(s, now_ms);
}

void hf_client_session_recv(struct hf_client_session *s, unsigned slot, uint8_t *data, size_t len,
                            uint64_t now_ms)
{
    struct hf_link *l = &s->links[slot];
    struct hf_link_event lev;
    size_t used;

    hf_assert(s->busy == 0);
    if (l->state < HF_LINK_OPENING || l->state == HF_LINK_CLOSING)
        return;
    enter(s);
    if ((int)slot == s->live) {
        hf_heartbeat_data_received(&s->heartbeat, now_ms);
        if (s->next_held)
            drop_next(s); /* The doubt was unfounded. */
    }
    do {
        used = hf_link_recv(l, data, len, &s->rng, &lev);
        data += used;
        len -= used;
        on_link_event(s, (int)slot, &lev, now_ms);
    } while ((len > 0 || lev.type != HF_LINK_EV_NONE) && s->failed == NULL && l->state >= HF_LINK_OPENING);
    leave(s, now_ms);
}

struct hf_str hf_client_session_output(struct hf_client_session *s, unsigned slot, uint64_t now_ms)
{
    struct hf_link *l = &s->links[slot];

    hf_assert(s->busy == 0);
    enter(s);
    if ((int)slot == s->live && s->state == HF_CLIENT_LIVE)
        hf_cs_put_publishes(s, now_ms);
    leave(s, now_ms);
    return hf_buf_str(&l->out);
}

void hf_client_session_sent(struct hf_client_session *s, unsigned slot, size_t len, uint64_t now_ms)
{
    struct hf_link *l = &s->links[slot];

    hf_assert(len <= l->out.len);
    hf_buf_drop(&l->out, len);
    if ((int)slot == s->live && l->out.len > 0)
        hf_heartbeat_output_moved(&s->heartbeat, now_ms);
}

/* When the oldest request has waited so long for its answer that the path is doubtful. */
static uint64_t answer_late_ms(const struct hf_client_session *s)
{
    if (s->answer_from_ms == HF_NEVER)
        return HF_NEVER;
    return s->answer_from_ms + hf_heartbeat_soft_ms(&s->heartbeat);
}

static uint64_t live_deadline(const struct hf_client_session *s)
{
    uint64_t at = hf_heartbeat_deadline_ms(&s->heartbeat);

    at = min_u64(at, s->ack_at_ms);
    at = min_u64(at, s->sync_until_ms);
    at = min_u64(at, s->resub_at_ms);
    at = min_u64(at, s->leave_at_ms);
    return min_u64(at, answer_late_ms(s));
}

uint64_t hf_client_session_deadline_ms(const struct hf_client_session *s)
{
    uint64_t at = min_u64(s->linger_until_ms[0], s->linger_until_ms[1]);

    if (s->state == HF_CLIENT_WAITING)
        at = min_u64(at, s->attempt_at_ms);
    if (s->state == HF_CLIENT_LIVE)
        at = min_u64(at, live_deadline(s));
    if (s->state == HF_CLIENT_CLOSING)
        at = min_u64(at, s->close_until_ms);
    if (s->next != HF_NO_SLOT)
        at = min_u64(at, s->attempt_until_ms);
    return at;
}

static void tick_heartbeat(struct hf_client_session *s, uint64_t now_ms)
{
    const struct ending dead = {.why = "no answer to a heartbeat", .cause = HF_CAUSE_OWN};

    switch (hf_heartbeat_tick(&s->heartbeat, now_ms)) {
    case HF_HEARTBEAT_OK:
        break;
    case HF_HEARTBEAT_PING:
        hf_cs_put_ping(s, s->heartbeat.ping_id);
        break;
    case HF_HEARTBEAT_SUSPECT:
        /* "TCP and TLS at the first doubt, the upgrade when the doubt is confirmed" (DESIGN.md "Sessions, resume and handover") */
        if (s->next == HF_NO_SLOT)
            start_attempt(s, true, now_ms);
        break;
    case HF_HEARTBEAT_DEAD:
        live_ended(s, &dead, now_ms);
        break;
    }
}

static void undefer(struct hf_client_session *s, uint64_t now_ms)
{
    struct hf_list *node;

    s->resub_at_ms = HF_NEVER;
    for (node = s->subs.all.next; node != &s->subs.all; node = node->next)
        HF_SUBSCRIPTION_OF(node)->deferred = false;
    hf_cs_put_requests(s, now_ms);
}

static void tick_live(struct hf_client_session *s, uint64_t now_ms)
{
    if (now_ms >= answer_late_ms(s)) {
        s->answer_from_ms = now_ms;
        hf_heartbeat_doubted(&s->heartbeat);
    }
    if (now_ms >= s->ack_at_ms)
        hf_cs_put_acks(s);
    if (now_ms >= s->resub_at_ms)
        undefer(s, now_ms);
    if (now_ms >= s->sync_until_ms)
        hf_cs_fail(s, HF_CLOSE_POLICY, "the server left out messages without telling");
    if (now_ms >= s->leave_at_ms) {
        s->leave_at_ms = HF_NEVER;
        if (s->next == HF_NO_SLOT)
            start_attempt(s, false, now_ms);
        else
            release_next(s, now_ms);
    }
    tick_heartbeat(s, now_ms);
}

static void tick_next(struct hf_client_session *s, uint64_t now_ms)
{
    const struct ending late = {.why = "no answer in time", .cause = HF_CAUSE_REFUSED};

    if (now_ms < s->attempt_until_ms)
        return;
    if (s->links[s->next].state >= HF_LINK_OPENING)
        s->given_up = s->links[s->next].attempt;
    attempt_ended(s, &late, now_ms);
}

void hf_client_session_tick(struct hf_client_session *s, uint64_t now_ms)
{
    const struct ending unanswered = {.why = "closed by the application", .asked = true};
    unsigned slot;

    hf_assert(s->busy == 0);
    enter(s);
    for (slot = 0; slot < HF_CLIENT_SESSION_SLOTS; slot++)
        if (s->links[slot].state == HF_LINK_CLOSING && now_ms >= s->linger_until_ms[slot])
            hf_link_drop(&s->links[slot]);
    if (s->next != HF_NO_SLOT)
        tick_next(s, now_ms);
    if (s->state == HF_CLIENT_LIVE)
        tick_live(s, now_ms);
    if (s->state == HF_CLIENT_CLOSING && now_ms >= s->close_until_ms)
        end_session(s, &unanswered);
    if (s->state == HF_CLIENT_WAITING && now_ms >= s->attempt_at_ms)
        start_attempt(s, false, now_ms);
    leave(s, now_ms);
}
