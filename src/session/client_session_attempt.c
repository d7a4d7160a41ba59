#include "session/client_session_impl.h"

#include "base/assert.h"

enum {
    FIRST_ATTEMPT_MS = 4000, /* a connect timeout of 4 s, then 8 s, as others do; here up to the welcome */
    NEXT_ATTEMPT_MS = 8000,
};

/* What holds in each state. */
static void session_check(const struct hf_client_session *s)
{
    bool lives = hf_client_state_connected(s->state) || s->state == HF_CLIENT_CLOSING;

    hf_assert(lives == (s->live != HF_NO_SLOT));
    if (s->state == HF_CLIENT_CONNECTING)
        hf_assert(s->next != HF_NO_SLOT);
    else if (!hf_client_state_connected(s->state))
        hf_assert(s->next == HF_NO_SLOT);
    hf_assert(s->next == HF_NO_SLOT || s->next != s->live);
    hf_assert(s->next != HF_NO_SLOT || !s->next_held);
    hf_assert(!s->superseded || (hf_client_state_connected(s->state) && s->next != HF_NO_SLOT));
    hf_assert(s->probe == HF_CS_PROBE_NONE || hf_client_state_connected(s->state));
}

/* How long until the next attempt, as HF_CSE_STATE tells it. */
static uint64_t next_attempt_ms(const struct hf_client_session *s, uint64_t now_ms)
{
    if (s->state == HF_CLIENT_CONNECTING)
        return 0;
    if (s->state != HF_CLIENT_WAITING && s->state != HF_CLIENT_OFFLINE)
        return HF_NEVER;
    return s->attempt_at_ms > now_ms ? s->attempt_at_ms - now_ms : 0;
}

static void emit_ending(struct hf_client_session *s, struct hf_client_session_event *ev,
                        const struct hf_ending *e)
{
    ev->cause = e->cause;
    ev->why = e->why != NULL ? e->why : hf_client_session_cause_text(e->cause);
    ev->close_code = e->close_code;
    ev->http_status = e->http_status;
    ev->reason = e->reason;
    ev->asked = e->asked;
    hf_cs_emit(s, ev);
}

void hf_cs_move(struct hf_client_session *s, enum hf_client_session_state to, const struct hf_ending *e,
                uint64_t now_ms)
{
    struct hf_client_session_event ev = {.type = HF_CSE_STATE, .from = s->state, .to = to};

    hf_assert(hf_client_state_may_follow(s->state, to) && e->cause != HF_BY_NONE);
    s->state = to;
    session_check(s);
    ev.delay_ms = next_attempt_ms(s, now_ms);
    emit_ending(s, &ev, e);
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
    const struct hf_ending why = {.cause = s->attempt_cause};

    s->next = free_slot(s);
    s->next_held = held;
    s->attempts++;
    s->attempt_from_ms = now_ms;
    s->attempt_until_ms = now_ms + attempt_ms(s);
    s->advice_min_ms = s->advice_max_ms = 0;
    hf_link_dial(&s->links[s->next], s->attempts);
    if (s->state == HF_CLIENT_WAITING || s->state == HF_CLIENT_OFFLINE)
        hf_cs_move(s, HF_CLIENT_CONNECTING, &why, now_ms);
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

void hf_cs_end(struct hf_client_session *s, const struct hf_ending *e, uint64_t now_ms)
{
    const struct hf_ending bye = {.cause = HF_BY_CLOSED, .close_code = HF_CLOSE_NORMAL, .asked = true};
    struct hf_client_session_event ev = {.type = HF_CSE_ENDED};

    if (s->state == HF_CLIENT_CLOSING)
        e = &bye;
    if (s->next != HF_NO_SLOT)
        hf_cs_drop_next(s);
    if (s->live != HF_NO_SLOT && s->links[s->live].state != HF_LINK_CLOSING)
        hf_link_drop(&s->links[s->live]);
    s->live = HF_NO_SLOT;
    s->superseded = false;
    hf_cs_move(s, HF_CLIENT_ENDED, e, now_ms);
    emit_ending(s, &ev, e);
}

static enum hf_backoff_cause backoff_cause(const struct hf_client_session *s,
                                           enum hf_client_session_cause cause, bool attempt_failed)
{
    /* "network change/wake/pre-dial ready/hard timeout: 0-100 ms" (research/protocol.md 3.5): a connection that TCP has given up is the last of these. */
    if (cause == HF_BY_TIMED_OUT && !attempt_failed)
        return HF_CAUSE_OWN;
    switch (cause) {
    case HF_BY_UNREACHABLE:
    case HF_BY_TIMED_OUT: /* Without a way to the server that says nothing about the server. */
        return s->offline ? HF_CAUSE_SIGNAL : HF_CAUSE_REFUSED;
    case HF_BY_NETWORK_CHANGED:
    case HF_BY_ADDRESS_GONE:
    case HF_BY_WOKE_UP:
    case HF_BY_FOREGROUND:
        return HF_CAUSE_SIGNAL;
    case HF_BY_HEARTBEAT_MISSED:
    case HF_BY_SUPERSEDED: /* By ourselves, and the server is well: it concerns no herd. */
        return HF_CAUSE_OWN;
    case HF_BY_CONNECTION_LOST:
    case HF_BY_CLOSED_BY_SERVER:
        return HF_CAUSE_LOSS;
    case HF_BY_SERVER_DRAIN:
        return HF_CAUSE_ADVICE;
    case HF_BY_RETRY_AFTER:
        return HF_CAUSE_RETRY;
    default:
        return HF_CAUSE_REFUSED;
    }
}

/* Decide when the next attempt is made. */
static void schedule(struct hf_client_session *s, const struct hf_ending *e, bool attempt_failed,
                     uint64_t now_ms)
{
    const struct hf_backoff_end end = {.cause = backoff_cause(s, e->cause, attempt_failed),
                                       .attempt_failed = attempt_failed,
                                       .loss_spread_ms = s->loss_spread_ms,
                                       .min_ms = e->min_ms,
                                       .max_ms = e->max_ms};

    s->attempt_at_ms = now_ms + hf_backoff_ended(&s->backoff, &end, &s->delay_rng, now_ms);
    s->attempt_cause = HF_BY_DUE;
    s->told_until_ms = 0;
    if (end.cause == HF_CAUSE_ADVICE || end.cause == HF_CAUSE_RETRY)
        s->told_until_ms = s->attempt_at_ms;
    /* "All others: reconnects and resumes, after the delay of the last `reconnect`, if there was one." */
    if (s->leave_at_ms != HF_NEVER)
        s->attempt_at_ms = s->told_until_ms = s->leave_at_ms > now_ms ? s->leave_at_ms : now_ms;
    s->leave_at_ms = HF_NEVER;
    if (s->offline)
        hf_cs_await_network(s, now_ms);
}

static enum hf_client_session_state waiting_state(const struct hf_client_session *s)
{
    return s->offline ? HF_CLIENT_OFFLINE : HF_CLIENT_WAITING;
}

/* `next` has failed. Its link is CLOSING already, or is dropped here. */
void hf_cs_attempt_ended(struct hf_client_session *s, const struct hf_ending *e, uint64_t now_ms)
{
    const struct hf_ending superseded = {.cause = HF_BY_SUPERSEDED, .close_code = HF_CLOSE_SUPERSEDED};
    struct hf_client_session_event ev = {.type = HF_CSE_RETRYING};

    if (s->superseded) /* It was a break after all. */
        hf_cs_live_ended(s, &superseded, now_ms);
    if (s->links[s->next].state != HF_LINK_CLOSING)
        hf_link_drop(&s->links[s->next]);
    s->next = HF_NO_SLOT;
    s->next_held = false;
    if (s->live != HF_NO_SLOT)
        return; /* "if the new attempt is refused, stay until closed" (PROTOCOL.md, reconnect) */
    if (e->final) {
        hf_cs_end(s, e, now_ms);
        return;
    }
    schedule(s, e, true, now_ms);
    s->retries++;
    ev.delay_ms = s->attempt_at_ms - now_ms;
    hf_cs_move(s, waiting_state(s), e, now_ms);
    emit_ending(s, &ev, e);
}

void hf_cs_give_up_next(struct hf_client_session *s, const struct hf_ending *e, uint64_t now_ms)
{
    const struct hf_link *l = &s->links[s->next];

    if (l->state >= HF_LINK_OPENING)
        s->given_up = l->attempt;
    hf_cs_attempt_ended(s, e, now_ms);
}

void hf_cs_fail_next(struct hf_client_session *s, const char *why, uint64_t now_ms)
{
    const struct hf_ending e = {.cause = HF_BY_PROTOCOL_ERROR, .why = why};

    hf_link_close(&s->links[s->next], HF_CLOSE_POLICY, &s->rng);
    hf_cs_attempt_ended(s, &e, now_ms);
}

/* The upgrade of `next` goes out. */
void hf_cs_request_upgrade(struct hf_client_session *s, uint64_t now_ms)
{
    const struct hf_ending e = {.cause = HF_BY_NO_MEMORY};

    s->request_at_ms = now_ms;
    if (hf_cs_put_upgrade(s, &s->links[s->next], true) < 0)
        hf_cs_attempt_ended(s, &e, now_ms);
}

/* The doubt about the live connection is confirmed: what was prepared is wanted now. */
void hf_cs_release_next(struct hf_client_session *s, uint64_t now_ms)
{
    if (s->next == HF_NO_SLOT || !s->next_held)
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
    s->superseded = false;
    s->greeting = false;
    s->welcome_ping = 0;
    s->unacked_messages = 0;
    s->unacked_bytes = 0;
    s->ack_at_ms = HF_NEVER;
    s->sync_until_ms = HF_NEVER;
    s->output_from_ms = HF_NEVER;
    s->resub_at_ms = HF_NEVER;
    s->answer_from_ms = HF_NEVER;
    s->asked = 0;
    s->bad_messages = 0;
    s->failed = NULL;
    s->unkept = false;
    hf_subscriptions_disconnected(&s->subs);
}

/*
 * Make before break: the server has taken `next` for the session's connection, and its welcome is behind the end of the old one, on another way. For the application nothing is broken
 * until `next` fails; what it asks for meanwhile goes nowhere, as on a connection that is dead without anybody knowing, and is asked for again after the welcome.
 */
void hf_cs_live_superseded(struct hf_client_session *s)
{
    hf_cs_reset_connection(s);
    s->superseded = true;
}

/* The live connection is no more. Its link is CLOSING already, or is dropped here. */
void hf_cs_live_ended(struct hf_client_session *s, const struct hf_ending *e, uint64_t now_ms)
{
    struct hf_client_session_event ev = {.type = HF_CSE_DISCONNECTED};
    struct hf_link *l = &s->links[s->live];

    if (l->state != HF_LINK_CLOSING)
        hf_link_drop(l);
    hf_cs_reset_connection(s);
    hf_cs_probe_abandon(s, now_ms);
    if (e->final || s->state == HF_CLIENT_CLOSING) {
        hf_cs_end(s, e, now_ms);
        return;
    }
    s->live = HF_NO_SLOT;
    s->retries = 0;
    if (s->next != HF_NO_SLOT) {
        s->leave_at_ms = HF_NEVER;
        hf_cs_move(s, HF_CLIENT_CONNECTING, e, now_ms);
    } else {
        schedule(s, e, false, now_ms);
        ev.delay_ms = s->attempt_at_ms - now_ms;
        hf_cs_move(s, waiting_state(s), e, now_ms);
    }
    emit_ending(s, &ev, e);
    hf_cs_release_next(s, now_ms);
}

void hf_cs_adopt_next(struct hf_client_session *s, uint64_t now_ms)
{
    const struct hf_ending welcomed = {.cause = HF_BY_WELCOMED};

    if (s->live != HF_NO_SLOT)
        hf_link_drop(&s->links[s->live]); /* The session has left it; what it still carried comes again. */
    s->live = s->next;
    s->next = HF_NO_SLOT;
    hf_cs_reset_connection(s);
    s->greeting = true;
    s->next_held = false;
    s->leave_at_ms = HF_NEVER;
    s->told_until_ms = 0;
    s->token_refusals = 0;
    s->connections++;
    hf_backoff_connected(&s->backoff, now_ms);
    hf_heartbeat_opened(&s->heartbeat, now_ms);
    hf_heartbeat_measured(&s->heartbeat, now_ms - s->request_at_ms);
    if (s->state != HF_CLIENT_LIVE) /* Else it was made before the other was broken, and nothing paused. */
        hf_cs_move(s, HF_CLIENT_LIVE, &welcomed, now_ms);
}
