#include "session/client_session_impl.h"

#include "base/assert.h"

enum {
    REDIAL_MS = 1000
}; /* an attempt without a connection after that is on the network that was. A guess */

/* --- doubts --- */

static void spare_expires(struct hf_client_session *s, uint64_t at_ms)
{
    if (s->next_held && s->attempt_until_ms > at_ms)
        s->attempt_until_ms = at_ms;
}

void hf_cs_doubt(struct hf_client_session *s, enum hf_client_session_cause cause, uint64_t now_ms)
{
    const struct hf_ending why = {.cause = cause};

    if (!hf_client_state_connected(s->state) || s->superseded)
        return;
    if (s->state == HF_CLIENT_LIVE)
        s->proof_ping = s->heartbeat.ping_id + (s->heartbeat.pinged_at_ms == 0 ? 1 : 0);
    hf_heartbeat_doubted(&s->heartbeat); /* It asks at once, if it is not asking. */
    if (s->state == HF_CLIENT_LIVE)
        hf_cs_move(s, HF_CLIENT_DOUBTFUL, &why, now_ms);
}

void hf_cs_proven(struct hf_client_session *s, uint64_t now_ms)
{
    const struct hf_ending why = {.cause = HF_BY_PROVEN};

    if (s->state != HF_CLIENT_DOUBTFUL || s->heartbeat.ping_id < s->proof_ping)
        return;
    spare_expires(s, now_ms + HF_SPARE_MS); /* Where there was one doubt there may be another. */
    hf_cs_move(s, HF_CLIENT_LIVE, &why, now_ms);
}

/* "Rate-limit: 3 pre-dials/min": each costs the server an accept, and a handshake of TLS. */
static bool may_prepare(struct hf_client_session *s, uint64_t now_ms)
{
    uint64_t *oldest = &s->prepared_at_ms[s->prepared % HF_PREPARED_MAX];

    if (s->prepared >= HF_PREPARED_MAX && now_ms - *oldest < HF_PREPARED_MS)
        return false;
    *oldest = now_ms;
    s->prepared++;
    return true;
}

void hf_cs_suspect(struct hf_client_session *s, uint64_t now_ms)
{
    /* "TCP and TLS at the first doubt, the upgrade when the doubt is confirmed" (DESIGN.md "Sessions, resume and handover") */
    if (s->next == HF_NO_SLOT && !s->offline && may_prepare(s, now_ms))
        hf_cs_start_attempt(s, true, now_ms);
    else if (s->next_held && s->links[s->next].state == HF_LINK_READY)
        s->attempt_until_ms = HF_NEVER; /* The last doubt's, still there. */
    hf_cs_doubt(s, HF_BY_HEARTBEAT_LATE, now_ms);
}

void hf_client_session_output_stuck(struct hf_client_session *s, unsigned slot, uint64_t now_ms)
{
    hf_cs_enter(s);
    if ((int)slot == s->live)
        hf_cs_doubt(s, HF_BY_OUTPUT_STUCK, now_ms);
    hf_cs_leave(s, now_ms);
}

/* --- signals --- */

static uint64_t max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/*
 * WAITING: the attempt is made at once. Where the server had named a time it still holds, but not for long: it may not have been the
 * server, but something on the network that was.
 */
static void bring_forward(struct hf_client_session *s, enum hf_client_session_cause cause, uint64_t now_ms)
{
    uint64_t at_ms = now_ms + hf_backoff_signal_ms(&s->delay_rng);

    if (s->told_until_ms > now_ms + HF_BACKOFF_CAP_MS)
        s->told_until_ms = now_ms + HF_BACKOFF_CAP_MS;
    at_ms = max_u64(at_ms, s->told_until_ms);
    if (at_ms >= s->attempt_at_ms)
        return;
    s->attempt_at_ms = at_ms;
    s->attempt_cause = cause;
}

/* CONNECTING: an attempt without an answer is made anew. */
static void redial(struct hf_client_session *s, enum hf_client_session_cause cause, uint64_t now_ms)
{
    const struct hf_ending why = {.cause = cause};

    if (s->links[s->next].state == HF_LINK_DIALING && now_ms - s->attempt_from_ms >= REDIAL_MS)
        hf_cs_attempt_ended(s, &why, now_ms);
}

/* What was measured, or is being measured, says nothing about what is now. */
static void disturbed(struct hf_client_session *s, uint64_t now_ms)
{
    hf_heartbeat_disturbed(&s->heartbeat);
    hf_cs_probe_abandon(s, now_ms);
}

/* --- offline --- */

void hf_cs_await_network(struct hf_client_session *s, uint64_t now_ms)
{
    uint64_t spread_ms = hf_rng_below(&s->delay_rng, HF_BACKOFF_RANDOM_MS_MAX + 1);

    s->attempt_at_ms = max_u64(now_ms + HF_OFFLINE_PROBE_MS + spread_ms, s->told_until_ms);
    s->attempt_cause = HF_BY_PROBE;
}

/* A first attempt is made whatever the system says: it may be to this machine. */
static void go_offline(struct hf_client_session *s, uint64_t now_ms)
{
    const struct hf_ending why = {.cause = HF_BY_OFFLINE};

    if (s->attempts == 0)
        return;
    hf_cs_await_network(s, now_ms);
    hf_cs_move(s, HF_CLIENT_OFFLINE, &why, now_ms);
}

static void go_online(struct hf_client_session *s, uint64_t now_ms)
{
    const struct hf_ending why = {.cause = HF_BY_NETWORK_CHANGED};

    s->attempt_at_ms = HF_NEVER;
    bring_forward(s, HF_BY_NETWORK_CHANGED, now_ms);
    hf_cs_move(s, HF_CLIENT_WAITING, &why, now_ms);
}

/* --- what a watcher knows of the network --- */

/*
 * Whether `next` is of no use: nothing can arrive on it, or its packets went out on a way that may not be the way any more. Once its request is out the latter
 * does not count: the server could take it after the new one, and the session would be superseded by itself. It has its deadline.
 */
static bool next_is_useless(const struct hf_client_session *s, const struct hf_network_facts *facts,
                            bool back)
{
    enum hf_session_path path;

    if (s->next == HF_NO_SLOT)
        return false;
    path = facts->paths[s->next];
    if (s->links[s->next].state >= HF_LINK_OPENING)
        return path == HF_PATH_GONE;
    return back || path != HF_PATH_SAME;
}

/* Make, or go on to make, the connection that shall follow. This is knowledge and no doubt: no bound of what is made ahead holds. */
static void make_next(struct hf_client_session *s, bool useless, uint64_t now_ms)
{
    if (s->next != HF_NO_SLOT && !useless) {
        hf_cs_release_next(s, now_ms);
        return;
    }
    if (s->next != HF_NO_SLOT)
        hf_cs_drop_next(s);
    hf_cs_start_attempt(s, false, now_ms);
}

static void network_of_connected(struct hf_client_session *s, const struct hf_network_facts *facts, bool back,
                                 uint64_t now_ms)
{
    const struct hf_ending gone = {.cause = HF_BY_ADDRESS_GONE};
    enum hf_session_path path = facts->paths[s->live];
    bool useless = next_is_useless(s, facts, back);

    if (useless && (s->next_held || path == HF_PATH_GONE)) {
        hf_cs_drop_next(s);
        useless = false;
    }
    if (path == HF_PATH_GONE) { /* "local address of our socket gone -> dead now" */
        hf_cs_live_ended(s, &gone, now_ms);
        return;
    }
    hf_cs_doubt(s, facts->offline ? HF_BY_OFFLINE : HF_BY_NETWORK_CHANGED, now_ms);
    if (!facts->offline && (path == HF_PATH_MOVED || back || useless))
        make_next(s, useless, now_ms);
}

static void network_of_attempt(struct hf_client_session *s, const struct hf_network_facts *facts, bool back,
                               uint64_t now_ms)
{
    const struct hf_ending gone = {.cause = HF_BY_ADDRESS_GONE};
    bool request_is_out = s->links[s->next].state >= HF_LINK_OPENING;

    if (facts->paths[s->next] == HF_PATH_GONE && (request_is_out || facts->offline)) {
        hf_cs_give_up_next(s, &gone, now_ms);
    } else if (facts->offline) {
        return; /* It has its deadline. */
    } else if (next_is_useless(s, facts, back)) {
        /* Without a pause, and without news for the application: it is CONNECTING as before. */
        hf_cs_drop_next(s);
        hf_cs_start_attempt(s, false, now_ms);
    } else {
        redial(s, HF_BY_NETWORK_CHANGED, now_ms);
    }
}

void hf_client_session_network(struct hf_client_session *s, const struct hf_network_facts *facts,
                               uint64_t now_ms)
{
    bool back = s->offline && !facts->offline;

    hf_assert(s->busy == 0);
    hf_cs_enter(s);
    s->offline = facts->offline;
    disturbed(s, now_ms);
    switch (s->state) {
    case HF_CLIENT_WAITING:
        if (s->offline)
            go_offline(s, now_ms);
        else
            bring_forward(s, HF_BY_NETWORK_CHANGED, now_ms);
        break;
    case HF_CLIENT_CONNECTING:
        network_of_attempt(s, facts, back, now_ms);
        break;
    case HF_CLIENT_LIVE:
    case HF_CLIENT_DOUBTFUL:
        if (s->superseded)
            network_of_attempt(s, facts, back, now_ms);
        else
            network_of_connected(s, facts, back, now_ms);
        break;
    case HF_CLIENT_OFFLINE:
        if (!s->offline)
            go_online(s, now_ms);
        break;
    case HF_CLIENT_CLOSING:
    case HF_CLIENT_ENDED:
        break;
    }
    hf_cs_leave(s, now_ms);
}

/* --- other signals --- */

static void signalled(struct hf_client_session *s, enum hf_client_session_cause cause, uint64_t now_ms)
{
    disturbed(s, now_ms);
    switch (s->state) {
    case HF_CLIENT_WAITING:
        if (!s->offline)
            bring_forward(s, cause, now_ms);
        break;
    case HF_CLIENT_CONNECTING:
        redial(s, cause, now_ms);
        break;
    case HF_CLIENT_LIVE:
    case HF_CLIENT_DOUBTFUL:
        if (s->next_held)
            hf_cs_drop_next(s); /* It was prepared on what was. */
        hf_cs_doubt(s, cause, now_ms);
        break;
    case HF_CLIENT_OFFLINE:
    case HF_CLIENT_CLOSING:
    case HF_CLIENT_ENDED:
        break;
    }
}

void hf_client_session_woke_up(struct hf_client_session *s, uint64_t now_ms)
{
    hf_cs_enter(s);
    signalled(s, HF_BY_WOKE_UP, now_ms);
    hf_cs_leave(s, now_ms);
}

void hf_client_session_background(struct hf_client_session *s, bool background, uint64_t now_ms)
{
    hf_cs_enter(s);
    hf_backoff_background(&s->backoff, background);
    if (!background)
        signalled(s, HF_BY_FOREGROUND, now_ms);
    hf_cs_leave(s, now_ms);
}

/* --- what a driver must know to look for them --- */

int hf_client_session_live_slot(const struct hf_client_session *s)
{
    return s->live;
}

uint64_t hf_client_session_hard_ms(const struct hf_client_session *s)
{
    return hf_heartbeat_hard_ms(&s->heartbeat);
}
