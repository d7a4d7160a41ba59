/*
 * stats.c - the counters as JSON, worker by worker and in all: GET /api/stats. Its shape is told in docs/http-api.md.
 */
#include "server/census.h"
#include "server/service.h"

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

static void put_number(struct hf_buf *out, const char *key, uint64_t value)
{
    hf_buf_putf(out, "%s%llu", key, (unsigned long long)value);
}

static void put_counted(const struct hf_hub *hub, int slot, struct hf_buf *out)
{
    for (int i = 0; i < HF_GAUGES; i++) {
        put_key(out, hf_gauge_names[i].metric, "");
        put_number(out, "", hf_census_gauge(hub, slot, (enum hf_gauge)i));
    }
    for (int i = 0; i < HF_COUNTERS; i++) {
        put_key(out, hf_counter_names[i].metric, hf_counter_names[i].label);
        put_number(out, "", hf_census_counter(hub, slot, (enum hf_counter)i));
    }
}

/* ---- Histograms ---- */

static void put_quantile(struct hf_buf *out, const char *key, const struct hf_histogram_sum *sum,
                         double share, uint32_t per_second)
{
    if (sum->count == 0)
        hf_buf_putf(out, "%snull", key);
    else
        hf_buf_putf(out, "%s%.4g", key, hf_histogram_sum_quantile(sum, share) / per_second);
}

/* Those in which something was counted, each with its upper bound; of the last it is null. */
static void put_buckets(struct hf_buf *out, const struct hf_histogram_sum *sum, uint32_t per_second)
{
    const char *before = ",\"buckets\":[";

    for (unsigned i = 0; i < HF_SHARED_HISTOGRAM_BUCKETS; i++) {
        if (sum->bucket[i] == 0)
            continue;
        hf_buf_putf(out, "%s[", before);
        if (i < HF_SHARED_HISTOGRAM_BOUNDS)
            hf_census_put_seconds(out, hf_shared_histogram_bound(i), per_second);
        else
            hf_buf_puts(out, "null");
        put_number(out, ",", sum->bucket[i]);
        hf_buf_puts(out, "]");
        before = ",";
    }
    hf_buf_puts(out, sum->count == 0 ? ",\"buckets\":[]" : "]");
}

static void put_histogram(const struct hf_hub *hub, int slot, enum hf_measure which, bool buckets,
                          struct hf_buf *out)
{
    const struct hf_measure_name *name = &hf_measure_names[which];
    struct hf_histogram_sum sum = hf_census_measure(hub, slot, which);

    hf_buf_putf(out, "\"%s\":{", name->metric);
    put_number(out, "\"count\":", sum.count);
    hf_buf_puts(out, ",\"sum\":");
    hf_census_put_seconds(out, sum.sum, name->per_second);
    put_quantile(out, ",\"p50\":", &sum, 0.5, name->per_second);
    put_quantile(out, ",\"p90\":", &sum, 0.9, name->per_second);
    put_quantile(out, ",\"p99\":", &sum, 0.99, name->per_second);
    if (buckets)
        put_buckets(out, &sum, name->per_second);
    hf_buf_puts(out, "}");
}

static void put_histograms(const struct hf_hub *hub, int slot, bool buckets, struct hf_buf *out)
{
    hf_buf_puts(out, ",\"histograms\":{");
    for (int i = 0; i < HF_MEASURES; i++) {
        if (i > 0)
            hf_buf_puts(out, ",");
        put_histogram(hub, slot, (enum hf_measure)i, buckets, out);
    }
    hf_buf_puts(out, "}");
}

/* ---- The answer ---- */

/* What is told of a worker in brief; their names are those of shm/counters.h. */
static const enum hf_gauge brief_gauges[] = {HF_GAUGE_CONNECTIONS, HF_GAUGE_BLOCKED, HF_GAUGE_ATTACHED,
                                             HF_GAUGE_SUBSCRIPTIONS};
static const enum hf_counter brief_counters[] = {HF_COUNT_CONNECTIONS_OPENED, HF_COUNT_PUBLISHES,
                                                 HF_COUNT_DELIVERIES, HF_COUNT_BYTES_IN, HF_COUNT_BYTES_OUT};

static void put_brief(const struct hf_hub *hub, int slot, struct hf_buf *out)
{
    for (size_t i = 0; i < sizeof(brief_gauges) / sizeof(brief_gauges[0]); i++) {
        put_key(out, hf_gauge_names[brief_gauges[i]].metric, "");
        put_number(out, "", hf_census_gauge(hub, slot, brief_gauges[i]));
    }
    for (size_t i = 0; i < sizeof(brief_counters) / sizeof(brief_counters[0]); i++) {
        put_key(out, hf_counter_names[brief_counters[i]].metric, "");
        put_number(out, "", hf_census_counter(hub, slot, brief_counters[i]));
    }
}

/* As worker_busy_seconds_total in /metrics: the time of its turns that it did not wait. */
static void put_busy(const struct hf_hub *hub, int slot, struct hf_buf *out)
{
    struct hf_histogram_sum turns = hf_census_measure(hub, slot, HF_MEASURE_LOOP_TURN);

    hf_buf_puts(out, ",\"busy_seconds\":");
    hf_census_put_seconds(out, turns.sum, hf_measure_names[HF_MEASURE_LOOP_TURN].per_second);
}

static void put_worker(const struct hf_hub *hub, uint32_t slot, const struct hf_stats_query *query,
                       struct hf_buf *out)
{
    bool whole = query->has_worker && query->worker == slot;

    hf_buf_putf(out, "%s{\"slot\":%u,\"pid\":%d,\"running\":%s", slot > 0 ? "," : "", slot,
                atomic_load(&hub->region->slots[slot].pid), hf_census_running(hub, slot) ? "true" : "false");
    put_number(out, ",\"restarts\":", hf_census_restarts(hub, (int)slot));
    put_number(out, ",\"silent_ms\":", hf_census_silent_ms(hub, slot));
    if (query->brief && !whole) {
        put_brief(hub, (int)slot, out);
    } else {
        put_counted(hub, (int)slot, out);
        put_histograms(hub, (int)slot, whole, out);
    }
    put_busy(hub, (int)slot, out);
    hf_buf_puts(out, "}");
}

static void put_total(struct hf_hub *hub, const struct hf_census *n, struct hf_buf *out)
{
    put_number(out, "\"sessions\":", n->sessions);
    put_number(out, ",\"sessions_waiting\":", n->sessions_waiting);
    put_number(out, ",\"sessions_max\":", hub->region->config->sessions_max);
    put_number(out, ",\"channels\":", n->channels);
    put_number(out, ",\"log_bytes\":", n->log_bytes);
    put_number(out, ",\"log_capacity_bytes\":", n->log_capacity_bytes);
    put_number(out, ",\"ring_peak_bytes\":", n->ring_peak_bytes);
    put_number(out, ",\"ring_capacity_bytes\":", n->ring_capacity_bytes);
    put_number(out, ",\"restarts\":", hf_census_restarts(hub, HF_ALL_WORKERS));
    put_counted(hub, HF_ALL_WORKERS, out);
    put_histograms(hub, HF_ALL_WORKERS, true, out);
    put_busy(hub, HF_ALL_WORKERS, out);
}

int hf_service_stats(struct hf_hub *hub, const struct hf_stats_query *query, struct hf_buf *out)
{
    struct hf_census n = hf_census_take(hub);

    if (query->has_worker && query->worker >= hub->workers)
        return HF_ENOTFOUND;
    hf_buf_putf(out, "{\"serverId\":\"%016llx\",\"version\":\"" HF_VERSION "\"",
                (unsigned long long)hub->region->config->boot_id);
    put_number(out, ",\"time\":", hub->now.wall_ms);
    put_number(out, ",\"started\":", n.started_ms);
    hf_buf_puts(out, ",\"workers\":[");
    for (uint32_t slot = 0; slot < hub->workers; slot++)
        put_worker(hub, slot, query, out);
    hf_buf_puts(out, "],\"total\":{");
    put_total(hub, &n, out);
    hf_buf_puts(out, "}}");
    return out->failed ? HF_ELIMIT : 0;
}
