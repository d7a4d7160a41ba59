#include "session/heartbeat.h"

static uint64_t clamp(uint64_t value, uint64_t low, uint64_t high)
{
    if (value < low)
        return low;
    return value > high ? high : value;
}

static uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

void hf_heartbeat_init(struct hf_heartbeat *h, struct hf_heartbeat_policy *policy)
{
    *h = (struct hf_heartbeat){.policy = policy, .server_interval_ms = HF_HEARTBEAT_INTERVAL_MS};
}

void hf_heartbeat_set_interval(struct hf_heartbeat *h, uint64_t interval_ms)
{
    if (interval_ms > 0)
        h->server_interval_ms = interval_ms;
}

uint64_t hf_heartbeat_interval_ms(const struct hf_heartbeat *h)
{
    if (h->policy == NULL)
        return h->server_interval_ms;
    return min_u64(hf_heartbeat_policy_interval_ms(h->policy), h->server_interval_ms);
}

void hf_heartbeat_opened(struct hf_heartbeat *h, uint64_t now_ms)
{
    h->received_at_ms = now_ms;
    h->pinged_at_ms = 0;
    h->asked_at_ms = 0;
    h->doubt = false;
    h->suspected = false;
    if (h->policy != NULL)
        hf_heartbeat_policy_connected(h->policy, now_ms);
}

/* Bytes that came after the ping prove that the silence before it did no harm. */
static void tell_failure(struct hf_heartbeat *h, uint64_t now_ms)
{
    if (h->received_at_ms > h->pinged_at_ms)
        h->beat.gap_ms = 0;
    if (h->policy != NULL)
        hf_heartbeat_policy_record_failure(h->policy, &h->beat, now_ms);
}

void hf_heartbeat_lost(struct hf_heartbeat *h, uint64_t now_ms)
{
    if (h->pinged_at_ms > 0)
        tell_failure(h, now_ms);
}

/*
 * RFC 6298 section 2: "SRTT <- R, RTTVAR <- R/2" for the first measurement, then "RTTVAR <- (1 - beta) * RTTVAR + beta *
 * |SRTT - R'|, SRTT <- (1 - alpha) * SRTT + alpha * R'" with alpha 1/8 and beta 1/4.
 */
void hf_heartbeat_measured(struct hf_heartbeat *h, uint64_t rtt_ms)
{
    uint32_t r = (uint32_t)clamp(rtt_ms, 0, HF_HEARTBEAT_PROBE_MS_MAX);
    uint32_t error = r > h->srtt_ms ? r - h->srtt_ms : h->srtt_ms - r;

    if (!h->measured) {
        h->measured = true;
        h->srtt_ms = r;
        h->rttvar_ms = r / 2;
        return;
    }
    h->rttvar_ms = (3 * h->rttvar_ms + error) / 4;
    h->srtt_ms = (7 * h->srtt_ms + r) / 8;
}

void hf_heartbeat_data_received(struct hf_heartbeat *h, uint64_t now_ms)
{
    h->received_at_ms = now_ms;
    h->silent_from_ms = now_ms;
    h->suspected = false;
}

void hf_heartbeat_output_moved(struct hf_heartbeat *h, uint64_t now_ms)
{
    h->silent_from_ms = now_ms;
}

void hf_heartbeat_data_sent(struct hf_heartbeat *h, uint64_t now_ms)
{
    h->sent_at_ms = now_ms;
}

void hf_heartbeat_disturbed(struct hf_heartbeat *h)
{
    if (h->policy != NULL)
        hf_heartbeat_policy_disturbed(h->policy);
}

void hf_heartbeat_doubted(struct hf_heartbeat *h)
{
    if (h->pinged_at_ms == 0)
        h->doubt = true;
}

void hf_heartbeat_answer_late(struct hf_heartbeat *h, uint64_t asked_at_ms)
{
    if (h->pinged_at_ms > 0)
        return;
    h->doubt = true;
    h->asked_at_ms = asked_at_ms;
}

bool hf_heartbeat_sending(const struct hf_heartbeat *h, uint64_t now_ms)
{
    return now_ms - h->received_at_ms >= HF_HEARTBEAT_QUIET_MS;
}

/* The id tells which ping is answered, so that no measurement is ambiguous (Karn's problem, RFC 6298 section 3). */
void hf_heartbeat_pong_received(struct hf_heartbeat *h, uint64_t ping_id, uint64_t now_ms)
{
    if (h->pinged_at_ms == 0 || ping_id != h->ping_id)
        return;
    hf_heartbeat_measured(h, now_ms - h->pinged_at_ms);
    h->pinged_at_ms = 0;
    if (h->policy != NULL)
        hf_heartbeat_policy_record_success(h->policy, &h->beat, now_ms);
}

uint64_t hf_heartbeat_soft_ms(const struct hf_heartbeat *h)
{
    /* Nothing measured yet: RFC 6298 section 2.1 begins with one second. */
    uint64_t rto = h->measured ? h->srtt_ms + 4 * (uint64_t)h->rttvar_ms : 1000;

    return clamp(rto + HF_HEARTBEAT_SLACK_MS, HF_HEARTBEAT_SOFT_MS_MIN, HF_HEARTBEAT_SOFT_MS_MAX);
}

uint64_t hf_heartbeat_hard_ms(const struct hf_heartbeat *h)
{
    return clamp(2 * hf_heartbeat_soft_ms(h), HF_HEARTBEAT_HARD_MS_MIN, HF_HEARTBEAT_HARD_MS_MAX);
}

static uint64_t dead_at(const struct hf_heartbeat *h)
{
    return min_u64(h->silent_from_ms + hf_heartbeat_hard_ms(h), h->pinged_at_ms + HF_HEARTBEAT_PROBE_MS_MAX);
}

uint64_t hf_heartbeat_deadline_ms(const struct hf_heartbeat *h)
{
    if (h->pinged_at_ms == 0)
        return h->doubt ? 0 : h->received_at_ms + hf_heartbeat_interval_ms(h);
    if (!h->suspected)
        return min_u64(h->silent_from_ms + hf_heartbeat_soft_ms(h), dead_at(h));
    return dead_at(h);
}

/* From when on the silence is held against the path. */
static uint64_t silence_ms(const struct hf_heartbeat *h, uint64_t now_ms)
{
    if (h->asked_at_ms == 0)
        return now_ms;
    return min_u64(now_ms, max_u64(h->asked_at_ms, max_u64(h->received_at_ms, h->silent_from_ms)));
}

static enum hf_heartbeat_due ping(struct hf_heartbeat *h, uint64_t now_ms)
{
    h->beat.gap_ms = now_ms - max_u64(h->received_at_ms, h->sent_at_ms);
    h->beat.scheduled = now_ms >= h->received_at_ms + hf_heartbeat_interval_ms(h);
    h->ping_id++;
    h->pinged_at_ms = now_ms == 0 ? 1 : now_ms; /* 0 is "none" */
    h->silent_from_ms = silence_ms(h, now_ms);
    h->asked_at_ms = 0;
    h->suspected = false;
    h->doubt = false;
    return HF_HEARTBEAT_PING;
}

enum hf_heartbeat_due hf_heartbeat_tick(struct hf_heartbeat *h, uint64_t now_ms)
{
    if (now_ms < hf_heartbeat_deadline_ms(h))
        return HF_HEARTBEAT_OK;
    if (h->pinged_at_ms == 0)
        return ping(h, now_ms);
    if (now_ms >= dead_at(h)) {
        tell_failure(h, now_ms);
        return HF_HEARTBEAT_DEAD;
    }
    h->suspected = true;
    return HF_HEARTBEAT_SUSPECT;
}
