#include "sim/states.h"

#include "session/backoff.h"
#include "session/heartbeat.h"
#include "sim/client.h"
#include "sim/network.h"
#include "sim/sim.h"
#include "sim/worker.h"

enum {
    NAMED_MS_MAX = 30000, /* after a signal the time that the server had named holds no longer than that */
    DOUBT_MS_MAX =
        HF_HEARTBEAT_PROBE_MS_MAX + 1000, /* bytes may keep coming, but no pong: and a driver may be late */
    MINUTE_MS = 60000,
};

void sim_states_start(struct sim_client *c)
{
    c->states = (struct sim_states){.state = HF_CLIENT_WAITING, .since_ms = c->sim->now_ms};
}

void sim_states_signal(struct sim_client *c)
{
    struct sim_states *st = &c->states;

    if (!st->signalled)
        st->signal_ms = c->sim->now_ms;
    st->signalled = true;
}

void sim_states_way(struct sim_client *c)
{
    c->states.way_ms = c->sim->now_ms;
}

static bool by_signal(enum hf_client_session_cause cause)
{
    return cause == HF_BY_NETWORK_CHANGED || cause == HF_BY_ADDRESS_GONE || cause == HF_BY_WOKE_UP ||
           cause == HF_BY_FOREGROUND;
}

/* The time of an attempt has come, says the session. */
static void check_attempt(struct sim_client *c, const struct hf_client_session_event *ev)
{
    const struct sim_states *st = &c->states;
    struct sim *sim = c->sim;
    uint64_t named_ms = st->promised_ms;

    if (sim->now_ms < st->promised_ms && !(by_signal(ev->cause) && st->signalled))
        sim_fail(sim, "client %u: an attempt (%s) comes %llu ms sooner than promised, and no signal came",
                 c->index, hf_client_session_cause_name(ev->cause),
                 (unsigned long long)(st->promised_ms - sim->now_ms));
    if (st->signalled && named_ms > st->signal_ms + NAMED_MS_MAX)
        named_ms = st->signal_ms + NAMED_MS_MAX;
    if (st->named && sim->now_ms < named_ms)
        sim_fail(sim, "client %u: an attempt comes sooner than the server has named", c->index);
}

static void promised(struct sim_client *c, const struct hf_client_session_event *ev)
{
    struct sim_states *st = &c->states;
    uint64_t at_ms = c->sim->now_ms + ev->delay_ms;
    bool named = ev->cause == HF_BY_RETRY_AFTER || ev->cause == HF_BY_SERVER_DRAIN;

    /* Between the two states of waiting, what the server has named goes on. */
    if (st->state == HF_CLIENT_WAITING || st->state == HF_CLIENT_OFFLINE) {
        if (st->named && !st->signalled && at_ms < st->promised_ms)
            sim_fail(c->sim, "client %u: the time that the server has named is forgotten", c->index);
        named = st->named && !st->signalled;
    }
    st->promised_ms = at_ms;
    st->named = named;
    st->signalled = false;
}

static void told_state(struct sim_client *c, const struct hf_client_session_event *ev)
{
    struct sim_states *st = &c->states;
    struct sim *sim = c->sim;

    sim_tell(sim, "client %u: %s -> %s, %s (%s)", c->index, hf_client_session_state_name(ev->from),
             hf_client_session_state_name(ev->to), hf_client_session_cause_name(ev->cause),
             ev->why == NULL ? "" : ev->why);
    if (ev->from != st->state || !hf_client_state_may_follow(ev->from, ev->to))
        sim_fail(sim, "client %u: told %s -> %s, being %s", c->index, hf_client_session_state_name(ev->from),
                 hf_client_session_state_name(ev->to), hf_client_session_state_name(st->state));
    if (ev->cause <= HF_BY_NONE || ev->cause > HF_BY_CLOSED || ev->why == NULL || ev->why[0] == '\0')
        sim_fail(sim, "client %u: %s -> %s without a cause", c->index, hf_client_session_state_name(ev->from),
                 hf_client_session_state_name(ev->to));
    if (ev->to == HF_CLIENT_CONNECTING && !hf_client_state_connected(ev->from))
        check_attempt(c, ev);
    if (ev->to == HF_CLIENT_WAITING || ev->to == HF_CLIENT_OFFLINE)
        promised(c, ev);
    /* Two that number the same session's publishes each lose count of what the other does. */
    if (ev->cause == HF_BY_PROTOCOL_ERROR && !c->robbed)
        sim_fail(sim, "client %u: the server broke the protocol: %s", c->index, ev->why);
    sim->stats->states[ev->to]++;
    sim->stats->causes[ev->cause]++;
    st->state = ev->to;
    st->since_ms = sim->now_ms;
}

/* Whether the connection that is being read leads to a worker that tells its clients to leave: such a one tells who comes, too. */
static bool is_drained(const struct sim_client *c)
{
    for (unsigned slot = 0; slot < HF_CLIENT_SESSION_SLOTS; slot++) {
        const struct sim_conn *conn = c->socket[slot];

        if (conn != NULL && conn->attempt == c->states.reading)
            return conn->worker->drains || conn->worker->draining;
    }
    return false;
}

void sim_states_told(struct sim_client *c, const struct hf_client_session_event *ev)
{
    struct sim_states *st = &c->states;

    if (ev->type == HF_CSE_STATE)
        told_state(c, ev);
    if (ev->type == HF_CSE_CONNECTED) {
        st->welcomed = st->reading;
        st->advised = is_drained(c);
    }
    if (ev->type == HF_CSE_CONNECTED || ev->type == HF_CSE_MESSAGE) {
        if (st->reading == 0 || st->reading != st->welcomed)
            sim_fail(c->sim, "client %u: a message comes from attempt %u, the session lives on %u", c->index,
                     st->reading, st->welcomed);
        if (!hf_client_state_connected(st->state))
            sim_fail(c->sim, "client %u: a message comes while it is %s", c->index,
                     hf_client_session_state_name(st->state));
    }
}

void sim_states_dials(struct sim_client *c)
{
    struct sim_states *st = &c->states;
    uint64_t *oldest = &st->ahead_ms[st->ahead % 3];

    if (!hf_client_state_connected(st->state) || st->advised || st->way_ms == c->sim->now_ms)
        return;
    c->sim->stats->made_ahead++;
    if (st->ahead >= 3 && c->sim->now_ms - *oldest < MINUTE_MS)
        sim_fail(c->sim, "client %u: a fourth connection within a minute is made on doubt alone", c->index);
    *oldest = c->sim->now_ms;
    st->ahead++;
}

void sim_states_check(struct sim_client *c)
{
    const struct sim_states *st = &c->states;
    struct sim *sim = c->sim;
    uint64_t now_ms = sim->now_ms;

    if (c->session == NULL)
        return;
    if (hf_client_session_state(c->session) != st->state)
        sim_fail(sim, "client %u: it is %s, and has told %s", c->index,
                 hf_client_session_state_name(hf_client_session_state(c->session)),
                 hf_client_session_state_name(st->state));
    if ((st->state == HF_CLIENT_WAITING || st->state == HF_CLIENT_OFFLINE) &&
        hf_client_session_deadline_ms(c->session) > (st->promised_ms > now_ms ? st->promised_ms : now_ms))
        sim_fail(sim, "client %u: the promised attempt is put off", c->index);
    if (st->state == HF_CLIENT_DOUBTFUL && now_ms > st->since_ms + DOUBT_MS_MAX &&
        now_ms > c->asleep_until_ms + DOUBT_MS_MAX)
        sim_fail(sim, "client %u: in doubt for %llu ms", c->index,
                 (unsigned long long)(now_ms - st->since_ms));
}
