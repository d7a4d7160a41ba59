#include "session/backoff.h"

static uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Uniform in [0, max]. */
static uint64_t uniform(struct hf_rng *rng, uint64_t max)
{
    return hf_rng_below(rng, max + 1);
}

static uint64_t full_jitter(const struct hf_backoff *b, struct hf_rng *rng)
{
    uint64_t limit = b->cap_ms;
    uint64_t delay;

    if (b->failures < 16)
        limit = min_u64(limit, (uint64_t)HF_BACKOFF_BASE_MS << b->failures);
    delay = uniform(rng, limit);
    return delay < HF_BACKOFF_FLOOR_MS ? HF_BACKOFF_FLOOR_MS : delay;
}

/* The delay that the cause alone asks for; it holds for the first attempt after it. */
static uint64_t first_delay(const struct hf_backoff *b, const struct hf_backoff_end *end, struct hf_rng *rng)
{
    switch (end->cause) {
    case HF_CAUSE_SIGNAL:
    case HF_CAUSE_OWN:
        return uniform(rng, HF_BACKOFF_OWN_MS_MAX);
    case HF_CAUSE_LOSS:
        return uniform(rng, min_u64(end->loss_spread_ms, HF_BACKOFF_LOSS_MS_MAX));
    case HF_CAUSE_ADVICE:
    case HF_CAUSE_RETRY:
    case HF_CAUSE_REFUSED:
        break;
    }
    return full_jitter(b, rng);
}

/* What the server said about the time holds whatever the count says: it knows its load, the client does not. */
static uint64_t told_delay(const struct hf_backoff_end *end, struct hf_rng *rng)
{
    uint64_t min = min_u64(end->min_ms, HF_BACKOFF_ADVICE_MS_MAX);
    uint64_t max = min_u64(end->max_ms, HF_BACKOFF_ADVICE_MS_MAX);

    if (end->cause == HF_CAUSE_RETRY)
        max = min + HF_BACKOFF_RANDOM_MS_MAX;
    return max > min ? min + uniform(rng, max - min) : min;
}

void hf_backoff_init(struct hf_backoff *b)
{
    *b = (struct hf_backoff){.cap_ms = HF_BACKOFF_CAP_MS};
}

void hf_backoff_background(struct hf_backoff *b, bool background)
{
    b->cap_ms = background ? HF_BACKOFF_BACKGROUND_CAP_MS : HF_BACKOFF_CAP_MS;
}

void hf_backoff_connected(struct hf_backoff *b, uint64_t now_ms)
{
    b->connected = true;
    b->useful = false;
    b->connected_at_ms = now_ms;
}

void hf_backoff_progressed(struct hf_backoff *b)
{
    b->useful = true;
}

uint64_t hf_backoff_ended(struct hf_backoff *b, const struct hf_backoff_end *end, struct hf_rng *rng,
                          uint64_t now_ms)
{
    bool useful = b->connected && b->useful;
    bool failed = (end->attempt_failed || !useful) && end->cause != HF_CAUSE_SIGNAL;
    uint64_t delay;

    if (!end->attempt_failed && useful && now_ms - b->connected_at_ms >= HF_BACKOFF_STABLE_MS)
        b->failures = 0;
    if (end->cause == HF_CAUSE_ADVICE || end->cause == HF_CAUSE_RETRY)
        delay = told_delay(end, rng);
    else if (b->failures == 0 || end->cause == HF_CAUSE_SIGNAL)
        delay = first_delay(b, end, rng);
    else
        delay = full_jitter(b, rng);
    if (failed && b->failures < UINT32_MAX)
        b->failures++;
    b->connected = false;
    b->useful = false;
    return delay;
}

uint64_t hf_backoff_signal_ms(struct hf_rng *rng)
{
    return uniform(rng, HF_BACKOFF_OWN_MS_MAX);
}
