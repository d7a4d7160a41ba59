#include "server/rolling.h"

#include "server/config.h"
#include "server/drain.h"

enum {
    UNEVEN_LEAST = 16, /* connections: what lies below is left as it is; a guess */
    UNEVEN_PART = 8,   /* and what is less than so small a part of the average */
};

bool hf_rolling_begin(struct hf_rolling *r, uint64_t now_ms)
{
    if (r->phase != HF_ROLLING_IDLE)
        return false;
    *r = (struct hf_rolling){.phase = HF_ROLLING_ASK, .began_ms = now_ms};
    return true;
}

void hf_rolling_excess(const uint64_t *connections, uint32_t workers, uint32_t *out)
{
    uint64_t sum = 0, mean;

    for (uint32_t slot = 0; slot < workers; slot++)
        sum += connections[slot];
    mean = sum / workers;
    for (uint32_t slot = 0; slot < workers; slot++) {
        uint64_t more = connections[slot] > mean ? connections[slot] - mean : 0;

        out[slot] = more < UNEVEN_LEAST || more < mean / UNEVEN_PART ? 0 : (uint32_t)more;
    }
}

/* The one that was replaced first has the connections of the others, and the last one has none. */
static void even_out(struct hf_region *region)
{
    uint64_t connections[HF_WORKERS_MAX] = {0};
    uint32_t excess[HF_WORKERS_MAX], workers = region->config->workers;

    for (uint32_t slot = 0; slot < workers; slot++)
        connections[slot] = (uint64_t)atomic_load(&region->slots[slot].counters.gauge[HF_GAUGE_CONNECTIONS]);
    hf_rolling_excess(connections, workers, excess);
    for (uint32_t slot = 0; slot < workers; slot++)
        atomic_store(&region->slots[slot].shed, excess[slot]);
}

static enum hf_rolling_act ask(struct hf_rolling *r, struct hf_region *region,
                               const struct hf_rolling_view *view, uint32_t drain_ms, uint64_t now_ms)
{
    if (r->slot == region->config->workers) {
        r->phase = HF_ROLLING_IDLE;
        even_out(region);
        return HF_ROLLING_DONE;
    }
    if (!view->alive) {
        r->phase = HF_ROLLING_STARTING; /* It has died by itself: what comes next is a successor. */
        return HF_ROLLING_WAIT;
    }
    r->phase = HF_ROLLING_LEAVING;
    r->kill_at_ms = now_ms + drain_ms + HF_ROLLING_STUCK_MS;
    atomic_store(&region->slots[r->slot].draining, HF_DRAIN_REPLACE);
    return HF_ROLLING_WAKE;
}

enum hf_rolling_act hf_rolling_tick(struct hf_rolling *r, struct hf_region *region,
                                    const struct hf_rolling_view *view, uint32_t drain_ms, uint64_t now_ms)
{
    switch (r->phase) {
    case HF_ROLLING_IDLE:
        return HF_ROLLING_WAIT;
    case HF_ROLLING_ASK:
        return ask(r, region, view, drain_ms, now_ms);
    case HF_ROLLING_LEAVING:
        if (atomic_load(&region->slots[r->slot].draining) == HF_DRAIN_NONE)
            r->phase = HF_ROLLING_STARTING; /* Cleared when a process is started. */
        else if (view->alive && now_ms >= r->kill_at_ms) {
            r->kill_at_ms = now_ms + HF_ROLLING_STUCK_MS;
            return HF_ROLLING_KILL;
        }
        return HF_ROLLING_WAIT;
    case HF_ROLLING_STARTING:
        if (view->failures >= HF_ROLLING_FAILURES_MAX) {
            r->phase = HF_ROLLING_IDLE;
            return HF_ROLLING_BROKEN;
        }
        if (view->alive && atomic_load(&region->slots[r->slot].state) == HF_SLOT_RUNNING) {
            r->slot++;
            r->phase = HF_ROLLING_ASK;
        }
        return HF_ROLLING_WAIT;
    }
    return HF_ROLLING_WAIT;
}
