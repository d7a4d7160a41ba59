#include "session/heartbeat_classic.h"

/* base is the first member. */
static struct hf_heartbeat_classic *classic_of(struct hf_heartbeat_policy *p)
{
    return (struct hf_heartbeat_classic *)p;
}

static uint64_t interval_ms(const struct hf_heartbeat_policy *p)
{
    return ((const struct hf_heartbeat_classic *)p)->interval_ms;
}

static uint64_t longest_ms(const struct hf_heartbeat_policy *p)
{
    (void)p;
    return HF_CLASSIC_CEILING_MS;
}

static void record_success(struct hf_heartbeat_policy *p, const struct hf_heartbeat_beat *beat,
                           uint64_t now_ms)
{
    struct hf_heartbeat_classic *c = classic_of(p);

    (void)now_ms;
    if (!beat->scheduled)
        return;
    c->failures = 0;
    if (++c->successes < HF_CLASSIC_SUCCESSES)
        return;
    c->successes = 0;
    c->interval_ms = c->interval_ms * 6 / 5;
    if (c->interval_ms > HF_CLASSIC_CEILING_MS)
        c->interval_ms = HF_CLASSIC_CEILING_MS;
}

static void record_failure(struct hf_heartbeat_policy *p, const struct hf_heartbeat_beat *beat,
                           uint64_t now_ms)
{
    struct hf_heartbeat_classic *c = classic_of(p);

    (void)now_ms;
    if (!beat->scheduled)
        return;
    c->successes = 0;
    if (++c->failures < HF_CLASSIC_FAILURES)
        return;
    c->failures = 0;
    c->interval_ms /= 2;
    if (c->interval_ms < HF_CLASSIC_FLOOR_MS)
        c->interval_ms = HF_CLASSIC_FLOOR_MS;
}

static void reset(struct hf_heartbeat_policy *p)
{
    struct hf_heartbeat_classic *c = classic_of(p);

    c->interval_ms = HF_CLASSIC_START_MS;
    c->successes = c->failures = 0;
}

void hf_heartbeat_classic_init(struct hf_heartbeat_classic *c)
{
    static const struct hf_heartbeat_policy_ops ops = {.interval_ms = interval_ms,
                                                       .longest_ms = longest_ms,
                                                       .record_success = record_success,
                                                       .record_failure = record_failure,
                                                       .reset = reset};

    c->base.ops = &ops;
    reset(&c->base);
}
