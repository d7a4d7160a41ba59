#include "session/client_session_impl.h"

#include "base/assert.h"

struct hf_client_session_want hf_client_session_want(const struct hf_client_session *s, unsigned slot)
{
    static const enum hf_client_session_wish wishes[] = {
        [HF_LINK_IDLE] = HF_WISH_NONE,   [HF_LINK_DIALING] = HF_WISH_CONNECT,
        [HF_LINK_READY] = HF_WISH_CARRY, [HF_LINK_OPENING] = HF_WISH_CARRY,
        [HF_LINK_OPEN] = HF_WISH_CARRY,  [HF_LINK_CLOSING] = HF_WISH_CLOSE,
    };
    const struct hf_link *l = &s->links[slot];
    uint64_t until_ms = slot == HF_CLIENT_SESSION_PROBE_SLOT ? s->probe_at_ms : s->attempt_until_ms;

    return (struct hf_client_session_want){wishes[l->state], l->attempt, until_ms};
}

void hf_client_session_connected(struct hf_client_session *s, unsigned slot, uint64_t now_ms)
{
    hf_assert(s->busy == 0);
    if (slot == HF_CLIENT_SESSION_PROBE_SLOT)
        hf_cs_probe_connected(s, now_ms);
    if ((int)slot != s->next || s->links[slot].state != HF_LINK_DIALING)
        return;
    hf_cs_enter(s);
    s->offline = false; /* There is a way: the system was wrong. */
    hf_link_connected(&s->links[slot]);
    if (!s->next_held)
        hf_cs_request_upgrade(s, now_ms);
    else
        s->attempt_until_ms = s->state == HF_CLIENT_DOUBTFUL ? HF_NEVER : now_ms + HF_SPARE_MS;
    hf_cs_leave(s, now_ms);
}

static void gone(struct hf_client_session *s, unsigned slot, enum hf_client_session_cause cause,
                 const char *why, uint64_t now_ms)
{
    struct hf_ending e = {.cause = cause, .why = why};
    struct hf_link *l = &s->links[slot];
    struct hf_link_event refusal;

    hf_assert(s->busy == 0);
    if (l->state == HF_LINK_IDLE)
        return;
    hf_cs_enter(s);
    if ((int)slot == s->live && s->superseded) {
        hf_link_drop(l);
    } else if ((int)slot == s->live) {
        hf_heartbeat_lost(&s->heartbeat, now_ms);
        hf_cs_live_ended(s, &e, now_ms);
    } else if ((int)slot == s->next && hf_link_refused_meanwhile(l, &refusal)) {
        hf_cs_on_link_event(s, (int)slot, &refusal, now_ms);
        hf_link_drop(l);
    } else if ((int)slot == s->next) {
        e.cause = HF_BY_UNREACHABLE;
        hf_cs_give_up_next(s, &e, now_ms);
    } else {
        if (slot == HF_CLIENT_SESSION_PROBE_SLOT)
            hf_cs_probe_lost(s, now_ms);
        hf_link_drop(l);
    }
    hf_cs_leave(s, now_ms);
}

void hf_client_session_lost(struct hf_client_session *s, unsigned slot, const char *why, uint64_t now_ms)
{
    gone(s, slot, HF_BY_CONNECTION_LOST, why, now_ms);
}

void hf_client_session_given_up(struct hf_client_session *s, unsigned slot, const char *why, uint64_t now_ms)
{
    gone(s, slot, HF_BY_TIMED_OUT, why, now_ms);
}

void hf_client_session_recv(struct hf_client_session *s, unsigned slot, uint8_t *data, size_t len,
                            uint64_t now_ms)
{
    struct hf_link *l = &s->links[slot];
    struct hf_link_event lev;
    size_t used;

    hf_assert(s->busy == 0);
    /* Nothing has been said on a prepared connection: what comes is the server's word that it has waited long enough. */
    if ((int)slot == s->next && l->state == HF_LINK_READY)
        hf_cs_drop_next(s);
    if (l->state < HF_LINK_OPENING || l->state == HF_LINK_CLOSING)
        return;
    hf_cs_enter(s);
    if (slot == HF_CLIENT_SESSION_PROBE_SLOT) {
        hf_cs_probe_recv(s, data, len, now_ms);
        hf_cs_leave(s, now_ms);
        return;
    }
    if ((int)slot == s->live) {
        hf_heartbeat_data_received(&s->heartbeat, now_ms);
        hf_cs_proven(s, now_ms);
    }
    do {
        used = hf_link_recv(l, data, len, &s->rng, &lev);
        data += used;
        len -= used;
        hf_cs_on_link_event(s, (int)slot, &lev, now_ms);
    } while ((len > 0 || lev.type != HF_LINK_EV_NONE) && s->failed == NULL && l->state >= HF_LINK_OPENING);
    hf_cs_leave(s, now_ms);
}

struct hf_str hf_client_session_output(struct hf_client_session *s, unsigned slot, uint64_t now_ms)
{
    struct hf_link *l = &s->links[slot];

    hf_assert(s->busy == 0);
    hf_cs_enter(s);
    if ((int)slot == s->live && hf_client_state_connected(s->state) && !s->superseded) {
        hf_cs_put_questions(s, now_ms);
        hf_cs_put_publishes(s, now_ms);
    }
    if ((int)slot == s->live && l->out.len > 0 && s->output_from_ms == HF_NEVER)
        s->output_from_ms = now_ms;
    hf_cs_leave(s, now_ms);
    return hf_buf_str(&l->out);
}

void hf_client_session_sent(struct hf_client_session *s, unsigned slot, size_t len, uint64_t now_ms)
{
    struct hf_link *l = &s->links[slot];

    hf_assert(len <= l->out.len);
    hf_buf_drop(&l->out, len);
    if ((int)slot != s->live)
        return;
    if (len > 0)
        hf_heartbeat_data_sent(&s->heartbeat, now_ms);
    s->output_from_ms = l->out.len > 0 ? now_ms : HF_NEVER;
    if (l->out.len > 0)
        hf_heartbeat_output_moved(&s->heartbeat, now_ms);
}
