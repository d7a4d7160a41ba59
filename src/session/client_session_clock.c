#include "session/client_session_impl.h"

#include "base/assert.h"

enum {
    OUTPUT_STUCK_MS = 2000, /* "unmoved 2 s" (research/protocol.md 2.5) */
};

static uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* When the oldest request has waited so long for its answer that the path is doubtful. */
static uint64_t answer_late_ms(const struct hf_client_session *s)
{
    if (s->answer_from_ms == HF_NEVER)
        return HF_NEVER;
    return s->answer_from_ms + hf_heartbeat_soft_ms(&s->heartbeat);
}

/* When the socket has taken nothing for so long that the same is true. */
static uint64_t output_stuck_ms(const struct hf_client_session *s)
{
    return s->output_from_ms == HF_NEVER ? HF_NEVER : s->output_from_ms + OUTPUT_STUCK_MS;
}

static uint64_t live_deadline(const struct hf_client_session *s)
{
    uint64_t at = hf_heartbeat_deadline_ms(&s->heartbeat);

    at = min_u64(at, s->ack_at_ms);
    at = min_u64(at, s->sync_until_ms);
    at = min_u64(at, s->resub_at_ms);
    at = min_u64(at, s->leave_at_ms);
    at = min_u64(at, output_stuck_ms(s));
    at = min_u64(at, s->save_again_ms);
    return min_u64(at, answer_late_ms(s));
}

uint64_t hf_client_session_deadline_ms(const struct hf_client_session *s)
{
    uint64_t at = s->probe_at_ms;
    unsigned slot;

    for (slot = 0; slot < HF_CLIENT_SESSION_SLOTS; slot++)
        at = min_u64(at, s->linger_until_ms[slot]);
    if (s->state == HF_CLIENT_WAITING || s->state == HF_CLIENT_OFFLINE)
        at = min_u64(at, s->attempt_at_ms);
    if (hf_client_state_connected(s->state) && !s->superseded)
        at = min_u64(at, live_deadline(s));
    if (s->state == HF_CLIENT_CLOSING)
        at = min_u64(at, s->close_until_ms);
    if (s->next != HF_NO_SLOT)
        at = min_u64(at, s->attempt_until_ms);
    return min_u64(at, hf_cs_calls_deadline_ms(s));
}

static void tick_heartbeat(struct hf_client_session *s, uint64_t now_ms)
{
    const struct hf_ending dead = {.cause = HF_BY_HEARTBEAT_MISSED};

    switch (hf_heartbeat_tick(&s->heartbeat, now_ms)) {
    case HF_HEARTBEAT_OK:
        break;
    case HF_HEARTBEAT_PING:
        hf_cs_put_ping(s, s->heartbeat.ping_id);
        break;
    case HF_HEARTBEAT_SUSPECT:
        hf_cs_suspect(s, now_ms);
        break;
    case HF_HEARTBEAT_DEAD:
        hf_cs_live_ended(s, &dead, now_ms);
        break;
    }
}

static void tick_live(struct hf_client_session *s, uint64_t now_ms)
{
    if (now_ms >= answer_late_ms(s)) {
        hf_heartbeat_answer_late(&s->heartbeat, s->answer_from_ms);
        s->answer_from_ms = now_ms;
        hf_cs_doubt(s, HF_BY_ANSWER_LATE, now_ms);
    }
    if (now_ms >= output_stuck_ms(s)) {
        s->output_from_ms = now_ms;
        hf_cs_doubt(s, HF_BY_OUTPUT_STUCK, now_ms);
    }
    if (now_ms >= s->ack_at_ms)
        hf_cs_put_acks(s, now_ms);
    if (now_ms >= s->resub_at_ms)
        hf_cs_undefer(s, now_ms);
    if (now_ms >= s->sync_until_ms)
        hf_cs_fail(s, HF_CLOSE_POLICY, "the server left out messages without telling");
    if (now_ms >= s->save_again_ms)
        (void)hf_cs_save(s, now_ms);
    if (now_ms >= s->leave_at_ms) {
        s->leave_at_ms = HF_NEVER;
        if (s->next == HF_NO_SLOT)
            hf_cs_start_attempt(s, false, now_ms);
        else
            hf_cs_release_next(s, now_ms);
    }
    tick_heartbeat(s, now_ms);
}

static void tick_next(struct hf_client_session *s, uint64_t now_ms)
{
    const struct hf_ending late = {.cause = HF_BY_TIMED_OUT};
    struct hf_link_event refusal;

    if (now_ms < s->attempt_until_ms)
        return;
    if (hf_link_refused_meanwhile(&s->links[s->next], &refusal)) {
        hf_cs_on_link_event(s, s->next, &refusal, now_ms);
        return;
    }
    if (s->next_held)
        hf_cs_drop_next(s); /* A spare that was not needed, or does not get through either. */
    else
        hf_cs_give_up_next(s, &late, now_ms);
}

void hf_client_session_tick(struct hf_client_session *s, uint64_t now_ms)
{
    const struct hf_ending unanswered = {.cause = HF_BY_CLOSED, .asked = true};
    unsigned slot;

    hf_assert(s->busy == 0);
    hf_cs_enter(s);
    for (slot = 0; slot < HF_CLIENT_SESSION_SLOTS; slot++)
        if (s->links[slot].state == HF_LINK_CLOSING && now_ms >= s->linger_until_ms[slot])
            hf_link_drop(&s->links[slot]);
    if (s->next != HF_NO_SLOT)
        tick_next(s, now_ms);
    if (hf_client_state_connected(s->state) && !s->superseded)
        tick_live(s, now_ms);
    hf_cs_probe_tick(s, now_ms);
    hf_cs_tick_calls(s, now_ms);
    if (s->state == HF_CLIENT_CLOSING && now_ms >= s->close_until_ms)
        hf_cs_end(s, &unanswered, now_ms);
    if ((s->state == HF_CLIENT_WAITING || s->state == HF_CLIENT_OFFLINE) && now_ms >= s->attempt_at_ms)
        hf_cs_start_attempt(s, false, now_ms);
    hf_cs_leave(s, now_ms);
}
