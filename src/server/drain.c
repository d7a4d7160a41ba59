#include "server/drain.h"

#include "shm/gate.h"

enum { PER_SECOND_UNKNOWN = 4000 /* research/protocol.md 3.2, as in admission.c */ };

static uint32_t least(uint64_t a, uint64_t b)
{
    return (uint32_t)(a < b ? a : b);
}

static uint32_t wanted_ms(uint64_t connections, uint32_t rate)
{
    uint64_t per_second = (uint64_t)(rate != 0 ? rate : PER_SECOND_UNKNOWN) * HF_GATE_RESUME_PERCENT / 100;
    uint64_t ms = connections * 1000 / (per_second != 0 ? per_second : 1);

    return ms < HF_DRAIN_WINDOW_MS_LEAST ? HF_DRAIN_WINDOW_MS_LEAST : least(ms, UINT32_MAX / 2);
}

struct hf_drain_plan hf_drain_plan(uint64_t connections, uint32_t rate, uint32_t timeout_ms)
{
    uint32_t settle_ms = least(HF_DRAIN_SETTLE_MS, timeout_ms / 2);
    struct hf_drain_plan plan = {.wanted_ms = wanted_ms(connections, rate)};

    plan.window_ms = least(plan.wanted_ms, timeout_ms - settle_ms);
    plan.total_ms = plan.window_ms + settle_ms;
    return plan;
}

struct hf_drain_plan hf_drain_plan_alone(uint64_t connections, uint32_t rate, uint32_t timeout_ms)
{
    uint32_t most_ms = least(HF_DRAIN_HANDOVER_MS_MAX, timeout_ms);
    uint32_t settle_ms = least(HF_DRAIN_HANDOVER_SETTLE_MS, most_ms / 2);
    struct hf_drain_plan plan = {.wanted_ms = wanted_ms(connections, rate)};

    plan.window_ms = least(plan.wanted_ms, most_ms - settle_ms);
    plan.total_ms = plan.window_ms + settle_ms;
    return plan;
}
