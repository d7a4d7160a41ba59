#include "session/client_session_impl.h"

#include "base/assert.h"

enum {
    FIRST_ATTEMPT_MS = 4000, /* a connect timeout of 4 s, then 8 s, as others do; here up to the welcome */
    NEXT_ATTEMPT_MS = 8000,
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
    hf_assert(s->probe == HF_CS_PROBE_NONE || s->state == HF_CLIENT_LIVE);
}

void hf_cs_move(struct hf_client_session *s, enum hf_client_session_state to)
{
    hf_assert((states[s->state].may_follow & BIT(to)) != 0);
    s->state = to;
    session_check(s);
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

void hf_cs_start_attempt(struct hf_client_session *s, bool held, uint64_t now_ms)
{
    s->next = free_slot(s);
    s->next_held = held;
    s->attempts++;
    s->attempt_until_ms = now_ms + attempt_ms(s);
    s->advice_min_ms = s->advice_max_ms = 0;
    hf_link_dial(&s->links[s->next], s->attempts);
    if (s->state == HF_CLIENT_WAITING)
        hf_cs_move(s, HF_CLIENT_CONNECTING);
}

void hf_cs_drop_next(struct hf_client_session *s)
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
                        const struct hf_ending *e, uint64_t delay_ms)
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

void hf_cs_end(struct hf_client_session *s, const struct hf_ending *e)
{
    const struct hf_ending bye = {
        .why = "closed by the application", .close_code = HF_CLOSE_NORMAL, .asked = true};

    if (s->state == HF_CLIENT_CLOSING)
        e = &bye;
    if (s->next != HF_NO_SLOT)
        hf_cs_drop_next(s);
    if (s->live != HF_NO_SLOT && s->links[s->live].state != HF_LINK_CLOSING)
        hf_link_drop(&s->links[s->live]);
    s->live = HF_NO_SLOT;
    hf_cs_move(s, HF_CLIENT_ENDED);
    emit_ending(s, HF_CSE_ENDED, e, 0);
}

/* When the next attempt is made; returns in how many milliseconds. */
static uint64_t schedule(struct hf_client_session *s, const struct hf_ending *e, bool attempt_failed,
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
    if (s->offline && delay < HF_OFFLINE_PROBE_MS)
        delay = HF_OFFLINE_PROBE_MS;
    s->attempt_at_ms = now_ms + delay;
    return delay;
}

/* `next` has failed. Its link is CLOSING already, or is dropped here. */
void hf_cs_attempt_ended(struct hf_client_session *s, const struct hf_ending *e, uint64_t now_ms)
{
    uint64_t delay;

    if (s->links[s->next].state != HF_LINK_CLOSING)
        hf_link_drop(&s->links[s->next]);
    s->next = HF_NO_SLOT;
    s->next_held = false;
    if (s->live != HF_NO_SLOT)
        return; /* "if the new attempt is refused, stay until closed" (PROTOCOL.md, reconnect) */
    if (e->final) {
        hf_cs_end(s, e);
        return;
    }
    hf_cs_move(s, HF_CLIENT_WAITING);
    delay = schedule(s, e, true, now_ms);
    s->retries++;
    emit_ending(s, HF_CSE_RETRYING, e, delay);
}

void hf_cs_fail_next(struct hf_client_session *s, const char *why, uint64_t now_ms)
{
    const struct hf_ending e = {.why = why, .cause = HF_CAUSE_REFUSED};

    hf_link_close(&s->links[s->next], HF_CLOSE_POLICY, &s->rng);
    hf_cs_attempt_ended(s, &e, now_ms);
}

/* The upgrade of `next` goes out. */
void hf_cs_request_upgrade(struct hf_client_session *s, uint64_t now_ms)
{
    struct hf_ending e = {.why = "out of memory", .cause = HF_CAUSE_REFUSED};

    s->request_at_ms = now_ms;
    if (hf_cs_put_upgrade(s, &s->links[s->next], true) < 0) {
        hf_cs_attempt_ended(s, &e, now_ms);
        return;
    }
    if (s->state == HF_CLIENT_CONNECTING)
        hf_cs_move(s, HF_CLIENT_OPENING);
}

/* The doubt about the live connection is confirmed: what was prepared is wanted now. */
void hf_cs_release_next(struct hf_client_session *s, uint64_t now_ms)
{
    if (!s->next_held)
        return;
    s->next_held = false;
    s->attempt_until_ms = now_ms + attempt_ms(s);
    if (s->links[s->next].state == HF_LINK_READY)
        hf_cs_request_upgrade(s, now_ms);
}

/* --- the live connection --- */

void hf_cs_reset_connection(struct hf_client_session *s)
{
    hf_outbox_disconnected(&s->outbox);
    hf_requests_disconnected(&s->requests);
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
void hf_cs_live_ended(struct hf_client_session *s, const struct hf_ending *e, uint64_t now_ms)
{
    struct hf_link *l = &s->links[s->live];
    uint64_t delay = 0;

    if (l->state != HF_LINK_CLOSING)
        hf_link_drop(l);
    hf_cs_reset_connection(s);
    hf_cs_probe_abandon(s, now_ms);
    if (e->final || s->state == HF_CLIENT_CLOSING) {
        hf_cs_end(s, e);
        return;
    }
    s->live = HF_NO_SLOT;
    s->retries = 0;
    if (s->next != HF_NO_SLOT) {
        hf_cs_move(s, s->links[s->next].state >= HF_LINK_OPENING ? HF_CLIENT_OPENING : HF_CLIENT_CONNECTING);
        hf_cs_release_next(s, now_ms);
        s->leave_at_ms = HF_NEVER;
    } else {
        hf_cs_move(s, HF_CLIENT_WAITING);
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
        hf_cs_move(s, HF_CLIENT_LIVE);
    hf_cs_reset_connection(s);
    s->next_held = false;
    s->leave_at_ms = HF_NEVER;
    s->connections++;
    hf_backoff_connected(&s->backoff, now_ms);
    hf_heartbeat_opened(&s->heartbeat, now_ms);
    hf_heartbeat_measured(&s->heartbeat, now_ms - s->request_at_ms);
}

/* --- what ends a connection --- */

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
static struct hf_ending close_ending(const struct hf_client_session *s, int slot,
                                     const struct hf_link_event *lev)
{
    struct hf_ending e = {.why = "the server closed the connection",
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
    struct hf_ending e = close_ending(s, slot, lev);

    if (slot == s->live) {
        s->refuse_oldest = s->refuse_oldest || lev->close_code == HF_CLOSE_TOO_BIG;
        hf_cs_live_ended(s, &e, now_ms);
        return;
    }
    if (s->advice_max_ms > 0) {
        e.cause = HF_CAUSE_ADVICE;
        e.min_ms = s->advice_min_ms;
        e.max_ms = s->advice_max_ms;
    }
    hf_cs_attempt_ended(s, &e, now_ms);
}

/* The server, or what stands in its place, does not speak our language. */
static void on_broken(struct hf_client_session *s, int slot, const struct hf_link_event *lev, uint64_t now_ms)
{
    struct hf_ending e = {.why = lev->reason, .close_code = lev->close_code, .cause = HF_CAUSE_REFUSED};

    if (slot != s->live) {
        hf_cs_attempt_ended(s, &e, now_ms);
        return;
    }
    if (lev->close_code == HF_CLOSE_TOO_BIG)
        hf_cs_question_too_large(s);
    hf_cs_live_ended(s, &e, now_ms);
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
    struct hf_ending e = {.why = lev->reason,
                          .http_status = (uint16_t)lev->status,
                          .cause = HF_CAUSE_REFUSED,
                          .final = refusal_is_final(s, lev->status)};

    if (e.why == NULL)
        e.why = "the server refused the connection";
    if (lev->retry_after_s > 0) {
        e.cause = HF_CAUSE_RETRY;
        e.min_ms = (uint64_t)lev->retry_after_s * 1000;
    }
    hf_cs_attempt_ended(s, &e, now_ms);
}

static void on_opened(struct hf_client_session *s, int slot, const struct hf_link_event *lev, uint64_t now_ms)
{
    struct hf_ending e = {.why = "the server does not speak holdfast.v1.json", .cause = HF_CAUSE_REFUSED};

    if (hf_str_eq(lev->protocol, HF_STR("holdfast.v1.json")))
        return;
    e.final = s->connections == 0;
    hf_link_close(&s->links[slot], HF_CLOSE_PROTOCOL_ERROR, &s->rng);
    hf_cs_attempt_ended(s, &e, now_ms);
}

void hf_cs_on_link_event(struct hf_client_session *s, int slot, struct hf_link_event *lev, uint64_t now_ms)
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
