#include "heartbeat_mars.h"

static struct mars *mars_of(struct hf_heartbeat_policy *p)
{
    return (struct mars *)p;
}

static uint64_t interval_ms(const struct hf_heartbeat_policy *p)
{
    const struct mars *m = (const struct mars *)p;

    return m->first_beats < MARS_FIRST_BEATS ? MARS_MIN_MS : m->interval_ms;
}

static uint64_t longest_ms(const struct hf_heartbeat_policy *p)
{
    (void)p;
    return MARS_MAX_MS;
}

static void record_success(struct hf_heartbeat_policy *p, const struct hf_heartbeat_beat *beat,
                           uint64_t now_ms)
{
    struct mars *m = mars_of(p);

    (void)now_ms;
    if (!beat->scheduled)
        return;
    if (m->first_beats < MARS_FIRST_BEATS) {
        m->first_beats++;
        return;
    }
    m->failures = 0;
    if (m->stable || ++m->successes < MARS_SUCCESSES)
        return;
    m->successes = 0;
    m->interval_ms += MARS_STEP_MS;
    if (m->interval_ms > MARS_MAX_MS)
        m->interval_ms = MARS_MAX_MS;
}

static void record_failure(struct hf_heartbeat_policy *p, const struct hf_heartbeat_beat *beat,
                           uint64_t now_ms)
{
    struct mars *m = mars_of(p);

    (void)now_ms;
    if (!beat->scheduled || m->first_beats < MARS_FIRST_BEATS)
        return;
    m->successes = 0;
    if (++m->failures < MARS_FAILURES)
        return;
    m->failures = 0;
    m->interval_ms = m->stable || m->interval_ms < MARS_MIN_MS + MARS_BACK_MS ? MARS_MIN_MS
                                                                              : m->interval_ms - MARS_BACK_MS;
    m->stable = !m->stable;
}

static void connected(struct hf_heartbeat_policy *p, uint64_t now_ms)
{
    (void)now_ms;
    mars_of(p)->first_beats = 0;
}

static void reset(struct hf_heartbeat_policy *p)
{
    struct mars *m = mars_of(p);

    m->interval_ms = MARS_MIN_MS;
    m->first_beats = m->successes = m->failures = 0;
    m->stable = false;
}

void mars_init(struct mars *m)
{
    static const struct hf_heartbeat_policy_ops ops = {.interval_ms = interval_ms,
                                                       .longest_ms = longest_ms,
                                                       .record_success = record_success,
                                                       .record_failure = record_failure,
                                                       .reset = reset,
                                                       .connected = connected};

    m->base.ops = &ops;
    reset(&m->base);
}
