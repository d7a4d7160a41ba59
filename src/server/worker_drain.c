/*
 * worker_drain.c - connections leave: all of them where the server stops or the worker is replaced, some where it has more than its share.
 */
#include "server/worker_impl.h"

#include "server/hub_state.h"
#include "server/logger.h"

/* All workers' connections come to the next server together; those of one that is replaced come alone. */
static struct hf_drain_plan plan_drain(const struct hf_worker *w, enum hf_drain_why why)
{
    const struct hf_config *config = w->setup->config;
    uint64_t connections = hf_hub_connections(w->hub);

    if (why == HF_DRAIN_STOP)
        connections = hf_gate_connections(hf_region_gate(w->setup->region));
    else if (w->setup->region->config->workers == 1)
        return hf_drain_plan_alone(connections, config->admission_rate, config->drain_timeout_ms);
    return hf_drain_plan(connections, config->admission_rate, config->drain_timeout_ms);
}

static void begin_drain(struct hf_worker *w, enum hf_drain_why why)
{
    struct hf_drain_plan plan = plan_drain(w, why);

    hf_log(HF_LOG_INFO, "draining", hf_kv_text("why", why == HF_DRAIN_STOP ? "stop" : "replace"),
           hf_kv_u64("connections", hf_hub_connections(w->hub)), hf_kv_u64("window_ms", plan.window_ms),
           hf_kv_u64("total_ms", plan.total_ms));
    w->drain_why = why;
    w->drain_end_ms = w->now.mono_ms + plan.total_ms;
    if (why == HF_DRAIN_STOP)
        hf_hub_drain(w->hub, plan.window_ms, w->now);
    else
        hf_hub_rebalance(w->hub, UINT32_MAX, plan.window_ms, w->now);
    if (!hf_worker_listens(w)) {
        hf_worker_stop_listening(w);
        w->accept_again_ms = 0;
    } else if (why == HF_DRAIN_REPLACE) {
        hf_worker_turn_away(w);
    }
}

/* A server that stops may have begun to replace this worker. */
static void follow_drain(struct hf_worker *w)
{
    enum hf_drain_why why = (enum hf_drain_why)atomic_load(&w->setup->region->slots[w->setup->slot].draining);

    if (why != w->drain_why && why != HF_DRAIN_NONE && w->drain_why != HF_DRAIN_STOP)
        begin_drain(w, why);
}

void hf_worker_follow_shed(struct hf_worker *w)
{
    _Atomic uint32_t *shed = &w->setup->region->slots[w->setup->slot].shed;
    const struct hf_config *config = w->setup->config;
    struct hf_drain_plan plan;
    uint32_t count;

    if (atomic_load_explicit(shed, memory_order_relaxed) == 0 || w->drain_why != HF_DRAIN_NONE)
        return;
    count = atomic_exchange(shed, 0);
    plan = hf_drain_plan(count, config->admission_rate, config->drain_timeout_ms);
    hf_log(HF_LOG_INFO, "shedding", hf_kv_u64("connections", count),
           hf_kv_u64("of", hf_hub_connections(w->hub)), hf_kv_u64("window_ms", plan.window_ms));
    w->shed_end_ms = w->now.mono_ms + plan.window_ms;
    hf_worker_turn_away(w);
    hf_hub_rebalance(w->hub, count, plan.window_ms, w->now);
}

/* When the server stops, all workers end together: until then each answers newcomers and health checks. */
static bool nothing_left(const struct hf_worker *w)
{
    bool others = w->drain_why == HF_DRAIN_STOP &&
                  hf_gate_connections(hf_region_gate(w->setup->region)) > 0 &&
                  w->now.mono_ms < w->drain_end_ms;

    return !others && hf_hub_connections(w->hub) == 0 && hf_list_empty(&w->hub->pending);
}

/* The advice went out; at the end of the time those who are left are closed, and get a moment to say goodbye. Returns whether it is over. */
bool hf_worker_drained(struct hf_worker *w)
{
    follow_drain(w);
    if (w->drain_why == HF_DRAIN_NONE)
        return false;
    if (nothing_left(w))
        return true;
    if (w->now.mono_ms < w->drain_end_ms)
        return false;
    hf_hub_close_all(w->hub, w->now);
    return w->now.mono_ms >= w->drain_end_ms + HF_CLOSE_LINGER_MS;
}
