/*
 * metrics.c - the counters of all workers as Prometheus text and as JSON. Read from shared memory: any worker answers for all.
 */
#include "base/buf.h"
#include "server/hub_state.h"
#include "server/service.h"

static const struct {
    const char *metric, *label, *help;
} counters[] = {
#define ROW(name, metric, label, help) {metric, label, help},
    HF_COUNTER_LIST(ROW)
#undef ROW
};

static const struct {
    const char *metric, *help;
} gauges[] = {
#define ROW(name, metric, help) {metric, help},
    HF_GAUGE_LIST(ROW)
#undef ROW
};

static unsigned long long counter(const struct hf_hub *hub, uint32_t slot, int i)
{
    return atomic_load_explicit(&hub->region->slots[slot].counters.counter[i], memory_order_relaxed);
}

static unsigned long long gauge(const struct hf_hub *hub, uint32_t slot, int i)
{
    return atomic_load_explicit(&hub->region->slots[slot].counters.gauge[i], memory_order_relaxed);
}

static unsigned long long counter_sum(const struct hf_hub *hub, int i)
{
    unsigned long long sum = 0;

    for (uint32_t slot = 0; slot < hub->workers; slot++)
        sum += counter(hub, slot, i);
    return sum;
}

static unsigned long long gauge_sum(const struct hf_hub *hub, int i)
{
    unsigned long long sum = 0;

    for (uint32_t slot = 0; slot < hub->workers; slot++)
        sum += gauge(hub, slot, i);
    return sum;
}

static unsigned long long restarts(const struct hf_hub *hub, uint32_t slot)
{
    uint32_t starts = atomic_load(&hub->region->slots[slot].starts);

    return starts > 0 ? starts - 1 : 0;
}

/* What is not counted per worker but read off the shared memory. */
struct census {
    unsigned long long sessions, sessions_parked, channels, log_bytes, restarts;
};

static struct census take_census(struct hf_hub *hub)
{
    struct census n = {.sessions = hf_sessions_live(&hub->sessions)};
    struct hf_session *s;
    uint64_t cursor = 0;

    while ((s = hf_sessions_next_idle(&hub->sessions, &cursor)) != NULL) {
        enum hf_session_phase phase = hf_state_phase(atomic_load(&s->state));

        n.sessions -= phase == HF_SESSION_ENDED && n.sessions > 0;
        n.sessions_parked += phase == HF_SESSION_PARKED;
    }
    for (uint32_t shard = 0; shard < hub->shards; shard++) {
        n.channels += atomic_load(&hub->channels[shard].shm->live);
        n.log_bytes += hf_log_used_bytes(&hub->logs[shard]);
    }
    for (uint32_t slot = 0; slot < hub->workers; slot++)
        n.restarts += restarts(hub, slot);
    return n;
}

/* ---- Prometheus text format 0.0.4 ---- */

static void put_head(struct hf_buf *out, const char *metric, const char *type, const char *help)
{
    hf_buf_putf(out, "# HELP holdfast_%s %s\n# TYPE holdfast_%s %s\n", metric, help, metric, type);
}

static void put_gauge(struct hf_buf *out, const char *metric, const char *help, unsigned long long value)
{
    put_head(out, metric, "gauge", help);
    hf_buf_putf(out, "holdfast_%s %llu\n", metric, value);
}

/* What the supervisor counts, and what follows from the time. */
static void put_tls(const struct hf_hub *hub, struct hf_buf *out)
{
    const struct hf_region_header *h = hub->region->header;

    put_head(out, "tls_reloads_total", "counter", "times that certificates were read anew, by result");
    hf_buf_putf(out, "holdfast_tls_reloads_total{result=\"ok\"} %u\n", atomic_load(&h->tls_reloads));
    hf_buf_putf(out, "holdfast_tls_reloads_total{result=\"failed\"} %u\n",
                atomic_load(&h->tls_reloads_failed));
    if (hub->config->certificate_count > 0)
        put_gauge(out, "tls_ticket_key_age_seconds", "age of the key that new session tickets are made with",
                  hub->now.wall_ms % hub->config->ticket_rotation_ms / 1000);
}

int hf_service_metrics(struct hf_hub *hub, struct hf_buf *out)
{
    struct census n = take_census(hub);

    for (int i = 0; i < HF_COUNTERS; i++) {
        if (counters[i].help[0] != '\0') /* The first of those that differ in a label carries the text. */
            put_head(out, counters[i].metric, "counter", counters[i].help);
        hf_buf_putf(out, "holdfast_%s%s %llu\n", counters[i].metric, counters[i].label, counter_sum(hub, i));
    }
    for (int i = 0; i < HF_GAUGES; i++)
        put_gauge(out, gauges[i].metric, gauges[i].help, gauge_sum(hub, i));
    put_gauge(out, "sessions", "sessions, with a connection or waiting for one", n.sessions);
    put_gauge(out, "sessions_waiting", "sessions without a connection", n.sessions_parked);
    put_gauge(out, "channels", "channels", n.channels);
    put_gauge(out, "log_bytes", "bytes of messages in the shared logs", n.log_bytes);
    put_head(out, "worker_restarts_total", "counter", "workers that were replaced");
    hf_buf_putf(out, "holdfast_worker_restarts_total %llu\n", n.restarts);
    put_tls(hub, out);
    return out->failed ? HF_ELIMIT : 0;
}

/* ---- JSON ---- */

/* "closes_total{code="1000"}" becomes "closes_total_1000"; of several labels each adds its value. */
static void put_key(struct hf_buf *out, const char *metric, const char *label)
{
    const char *value = strchr(label, '"');

    hf_buf_putf(out, ",\"%s", metric);
    while (value != NULL) {
        size_t len = strcspn(value + 1, "\"");

        hf_buf_puts(out, "_");
        hf_buf_put(out, value + 1, len);
        value = strchr(value + len + 2, '"');
    }
    hf_buf_puts(out, "\":");
}

static void put_worker(struct hf_hub *hub, uint32_t slot, struct hf_buf *out)
{
    struct hf_slot *s = &hub->region->slots[slot];

    hf_buf_putf(out, "%s{\"slot\":%u,\"pid\":%d,\"running\":%s,\"restarts\":%llu", slot > 0 ? "," : "", slot,
                atomic_load(&s->pid), atomic_load(&s->state) == HF_SLOT_RUNNING ? "true" : "false",
                restarts(hub, slot));
    for (int i = 0; i < HF_GAUGES; i++)
        hf_buf_putf(out, ",\"%s\":%llu", gauges[i].metric, gauge(hub, slot, i));
    for (int i = 0; i < HF_COUNTERS; i++) {
        put_key(out, counters[i].metric, counters[i].label);
        hf_buf_putf(out, "%llu", counter(hub, slot, i));
    }
    hf_buf_puts(out, "}");
}

int hf_service_stats(struct hf_hub *hub, struct hf_buf *out)
{
    struct census n = take_census(hub);

    hf_buf_putf(out, "{\"serverId\":\"%016llx\",\"workers\":[",
                (unsigned long long)hub->region->config->boot_id);
    for (uint32_t slot = 0; slot < hub->workers; slot++)
        put_worker(hub, slot, out);
    hf_buf_putf(out,
                "],\"total\":{\"sessions\":%llu,\"sessions_waiting\":%llu,\"channels\":%llu,\"log_bytes\":%"
                "llu,\"restarts\":%llu",
                n.sessions, n.sessions_parked, n.channels, n.log_bytes, n.restarts);
    for (int i = 0; i < HF_GAUGES; i++)
        hf_buf_putf(out, ",\"%s\":%llu", gauges[i].metric, gauge_sum(hub, i));
    for (int i = 0; i < HF_COUNTERS; i++) {
        put_key(out, counters[i].metric, counters[i].label);
        hf_buf_putf(out, "%llu", counter_sum(hub, i));
    }
    hf_buf_puts(out, "}}");
    return out->failed ? HF_ELIMIT : 0;
}
