#include "server/census.h"

const struct hf_counter_name hf_counter_names[] = {
#define ROW(name, metric, label, help) {metric, label, help},
    HF_COUNTER_LIST(ROW)
#undef ROW
};

const struct hf_gauge_name hf_gauge_names[] = {
#define ROW(name, metric, help) {metric, help},
    HF_GAUGE_LIST(ROW)
#undef ROW
};

const struct hf_measure_name hf_measure_names[] = {
#define ROW(name, metric, per_second, help) {metric, help, per_second},
    HF_MEASURE_LIST(ROW)
#undef ROW
};

/* ---- What workers count ---- */

/* One worker's, or the walk through all of them: for (uint32_t s = first(slot); s < end(hub, slot); s++) */
static uint32_t first(int slot)
{
    return slot == HF_ALL_WORKERS ? 0 : (uint32_t)slot;
}

static uint32_t end(const struct hf_hub *hub, int slot)
{
    return slot == HF_ALL_WORKERS ? hub->workers : (uint32_t)slot + 1;
}

static const struct hf_counters *counters_of(const struct hf_hub *hub, uint32_t slot)
{
    return &hub->region->slots[slot].counters;
}

uint64_t hf_census_counter(const struct hf_hub *hub, int slot, enum hf_counter which)
{
    uint64_t sum = 0;

    for (uint32_t s = first(slot); s < end(hub, slot); s++)
        sum += atomic_load_explicit(&counters_of(hub, s)->counter[which], memory_order_relaxed);
    return sum;
}

uint64_t hf_census_gauge(const struct hf_hub *hub, int slot, enum hf_gauge which)
{
    uint64_t sum = 0;

    for (uint32_t s = first(slot); s < end(hub, slot); s++)
        sum += atomic_load_explicit(&counters_of(hub, s)->gauge[which], memory_order_relaxed);
    return sum;
}

struct hf_histogram_sum hf_census_measure(const struct hf_hub *hub, int slot, enum hf_measure which)
{
    struct hf_histogram_sum sum = {.count = 0};

    for (uint32_t s = first(slot); s < end(hub, slot); s++)
        hf_histogram_sum_add(&sum, &counters_of(hub, s)->measure[which]);
    return sum;
}

uint64_t hf_census_restarts(const struct hf_hub *hub, int slot)
{
    uint64_t sum = 0;

    for (uint32_t s = first(slot); s < end(hub, slot); s++) {
        uint32_t starts = atomic_load(&hub->region->slots[s].starts);

        sum += starts > 0 ? starts - 1 : 0;
    }
    return sum;
}

uint64_t hf_census_silent_ms(const struct hf_hub *hub, uint32_t slot)
{
    uint64_t alive_ms = atomic_load_explicit(&hub->region->slots[slot].alive_ms, memory_order_relaxed);

    return hub->now.mono_ms > alive_ms ? hub->now.mono_ms - alive_ms : 0;
}

bool hf_census_running(const struct hf_hub *hub, uint32_t slot)
{
    return atomic_load(&hub->region->slots[slot].state) == HF_SLOT_RUNNING;
}

/* ---- What lies in the tables ---- */

static void count_sessions(struct hf_hub *hub, struct hf_census *n)
{
    struct hf_session *s;
    uint64_t cursor = 0;

    n->sessions = hf_sessions_live(&hub->sessions);
    while ((s = hf_sessions_next_idle(&hub->sessions, &cursor)) != NULL) {
        enum hf_session_phase phase = hf_state_phase(atomic_load(&s->state));

        n->sessions -= phase == HF_SESSION_ENDED && n->sessions > 0;
        n->sessions_waiting += phase == HF_SESSION_PARKED;
    }
}

static uint64_t ring_peak(struct hf_hub *hub)
{
    uint64_t peak = 0;

    for (uint32_t slot = 0; slot < hub->workers; slot++) {
        struct hf_busy_second s;

        if (hf_busy_read(&hub->region->slots[slot].busy, &s) == 0 && s.ring_peak_bytes > peak)
            peak = s.ring_peak_bytes;
    }
    return peak;
}

struct hf_census hf_census_take(struct hf_hub *hub)
{
    const struct hf_region_config *config = hub->region->config;
    struct hf_census n = {.log_capacity_bytes =
                              (uint64_t)hub->shards * config->segment_count * config->segment_bytes,
                          .ring_capacity_bytes = config->ring_bytes,
                          .started_ms = hub->region->header->started_ms};

    count_sessions(hub, &n);
    n.ring_peak_bytes = ring_peak(hub);
    for (uint32_t shard = 0; shard < hub->shards; shard++) {
        n.channels += atomic_load(&hub->channels[shard].shm->live);
        n.log_bytes += hf_log_used_bytes(&hub->logs[shard]);
    }
    return n;
}

/* ---- Writing ---- */

void hf_census_put_seconds(struct hf_buf *out, uint64_t value, uint32_t per_second)
{
    uint64_t rest = value % per_second;

    hf_buf_putf(out, "%llu", (unsigned long long)(value / per_second));
    if (rest > 0)
        hf_buf_puts(out, ".");
    for (; rest > 0; rest %= per_second) {
        per_second /= 10;
        hf_buf_putf(out, "%llu", (unsigned long long)(rest / per_second));
    }
}
