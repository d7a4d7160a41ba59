/*
 * metrics.c - the counters of all workers as Prometheus text: "Exposition formats", "Text-based format", version 0.0.4.
 */
#include "server/census.h"
#include "server/service.h"

static void put_head(struct hf_buf *out, const char *metric, const char *type, const char *help)
{
    hf_buf_putf(out, "# HELP holdfast_%s %s\n# TYPE holdfast_%s %s\n", metric, help, metric, type);
}

static void put_value(struct hf_buf *out, const char *metric, uint64_t value)
{
    hf_buf_putf(out, "holdfast_%s %llu\n", metric, (unsigned long long)value);
}

static void put_gauge(struct hf_buf *out, const char *metric, const char *help, uint64_t value)
{
    put_head(out, metric, "gauge", help);
    put_value(out, metric, value);
}

static void put_counters(const struct hf_hub *hub, struct hf_buf *out)
{
    for (int i = 0; i < HF_COUNTERS; i++) {
        const struct hf_counter_name *name = &hf_counter_names[i];

        if (name->help[0] != '\0')
            put_head(out, name->metric, "counter", name->help);
        hf_buf_putf(out, "holdfast_%s%s %llu\n", name->metric, name->label,
                    (unsigned long long)hf_census_counter(hub, HF_ALL_WORKERS, (enum hf_counter)i));
    }
}

/* "The histogram must have a bucket with {le="+Inf"}. Its value must be identical to the value of x_count." */
static void put_histogram(const struct hf_hub *hub, enum hf_measure which, struct hf_buf *out)
{
    const struct hf_measure_name *name = &hf_measure_names[which];
    struct hf_histogram_sum sum = hf_census_measure(hub, HF_ALL_WORKERS, which);
    unsigned long long count = 0;

    put_head(out, name->metric, "histogram", name->help);
    for (unsigned i = 0; i < HF_SHARED_HISTOGRAM_BOUNDS; i++) {
        count += sum.bucket[i];
        hf_buf_putf(out, "holdfast_%s_bucket{le=\"", name->metric);
        hf_census_put_seconds(out, hf_shared_histogram_bound(i), name->per_second);
        hf_buf_putf(out, "\"} %llu\n", count);
    }
    count += sum.bucket[HF_SHARED_HISTOGRAM_BOUNDS];
    hf_buf_putf(out, "holdfast_%s_bucket{le=\"+Inf\"} %llu\nholdfast_%s_sum ", name->metric, count,
                name->metric);
    hf_census_put_seconds(out, sum.sum, name->per_second);
    hf_buf_putf(out, "\nholdfast_%s_count %llu\n", name->metric, count);
}

static void put_config(const struct hf_hub *hub, struct hf_buf *out)
{
    const struct hf_region_header *h = hub->region->header;

    put_head(out, "config_reloads_total", "counter", "times that the configuration was read anew, by result");
    hf_buf_putf(out, "holdfast_config_reloads_total{result=\"ok\"} %u\n", atomic_load(&h->config_reloads));
    hf_buf_putf(out, "holdfast_config_reloads_total{result=\"failed\"} %u\n",
                atomic_load(&h->config_reloads_failed));
}

/* What the supervisor counts, and what follows from the time. */
static void put_tls(const struct hf_hub *hub, struct hf_buf *out)
{
    const struct hf_region_header *h = hub->region->header;

    put_head(out, "tls_reloads_total", "counter", "times that certificates were read anew, by result");
    hf_buf_putf(out, "holdfast_tls_reloads_total{result=\"ok\"} %u\n", atomic_load(&h->tls_reloads));
    hf_buf_putf(out, "holdfast_tls_reloads_total{result=\"failed\"} %u\n",
                atomic_load(&h->tls_reloads_failed));
    put_head(out, "key_reloads_total", "counter", "times that the keys of tokens were read anew, by result");
    hf_buf_putf(out, "holdfast_key_reloads_total{result=\"ok\"} %u\n", atomic_load(&h->auth_reloads));
    hf_buf_putf(out, "holdfast_key_reloads_total{result=\"failed\"} %u\n",
                atomic_load(&h->auth_reloads_failed));
    if (hub->config->certificate_count > 0)
        put_gauge(out, "tls_ticket_key_age_seconds", "age of the key that new session tickets are made with",
                  hub->now.wall_ms % hub->config->ticket_rotation_ms / 1000);
}

static void put_census(struct hf_hub *hub, struct hf_buf *out)
{
    struct hf_census n = hf_census_take(hub);

    put_gauge(out, "sessions", "sessions, with a connection or waiting for one", n.sessions);
    put_gauge(out, "sessions_waiting", "sessions without a connection", n.sessions_waiting);
    put_gauge(out, "sessions_max", "the most sessions that there may be: session.max",
              hub->region->config->sessions_max);
    put_gauge(out, "channels", "channels", n.channels);
    put_gauge(out, "log_bytes", "bytes of messages in the shared logs", n.log_bytes);
    put_gauge(out, "log_capacity_bytes", "bytes that the shared logs have room for", n.log_capacity_bytes);
    put_gauge(out, "ring_peak_bytes",
              "the most that waited in a ring between workers at the end of a turn, in the last second",
              n.ring_peak_bytes);
    put_gauge(out, "ring_capacity_bytes", "bytes that each ring between workers has room for",
              n.ring_capacity_bytes);
    put_head(out, "worker_restarts_total", "counter", "workers that were replaced");
    put_value(out, "worker_restarts_total", hf_census_restarts(hub, HF_ALL_WORKERS));
    put_head(out, "start_time_seconds", "gauge", "when the server was started, seconds since 1970");
    hf_buf_puts(out, "holdfast_start_time_seconds ");
    hf_census_put_seconds(out, n.started_ms, 1000);
    hf_buf_puts(out, "\n");
    put_head(out, "build_info", "gauge", "1, with the version as its label");
    hf_buf_puts(out, "holdfast_build_info{version=\"" HF_VERSION "\"} 1\n");
}

/* ---- Worker by worker ---- */

static void put_worker_head(struct hf_buf *out, const char *metric, const char *type, const char *help)
{
    hf_buf_putf(out, "# HELP holdfast_worker_%s %s\n# TYPE holdfast_worker_%s %s\n", metric, help, metric,
                type);
}

static void put_worker_label(struct hf_buf *out, const char *metric, uint32_t slot)
{
    hf_buf_putf(out, "holdfast_worker_%s{worker=\"%u\"} ", metric, slot);
}

static void put_workers_gauge(const struct hf_hub *hub, enum hf_gauge which, struct hf_buf *out)
{
    const struct hf_gauge_name *name = &hf_gauge_names[which];

    put_worker_head(out, name->metric, "gauge", name->help);
    for (uint32_t slot = 0; slot < hub->workers; slot++) {
        put_worker_label(out, name->metric, slot);
        hf_buf_putf(out, "%llu\n", (unsigned long long)hf_census_gauge(hub, (int)slot, which));
    }
}

static void put_workers_counter(const struct hf_hub *hub, enum hf_counter which, struct hf_buf *out)
{
    const struct hf_counter_name *name = &hf_counter_names[which];

    put_worker_head(out, name->metric, "counter", name->help);
    for (uint32_t slot = 0; slot < hub->workers; slot++) {
        put_worker_label(out, name->metric, slot);
        hf_buf_putf(out, "%llu\n", (unsigned long long)hf_census_counter(hub, (int)slot, which));
    }
}

/* Those by which an operator sees that workers are unlike each other; the others are told as sums alone, for there may be 256 workers. */
static void put_workers(const struct hf_hub *hub, struct hf_buf *out)
{
    static const enum hf_gauge gauges[] = {HF_GAUGE_CONNECTIONS, HF_GAUGE_ATTACHED, HF_GAUGE_SUBSCRIPTIONS};
    static const enum hf_counter counters[] = {HF_COUNT_PUBLISHES, HF_COUNT_DELIVERIES, HF_COUNT_BYTES_IN,
                                               HF_COUNT_BYTES_OUT};

    put_worker_head(out, "up", "gauge", "1 where the worker runs");
    for (uint32_t slot = 0; slot < hub->workers; slot++) {
        put_worker_label(out, "up", slot);
        hf_buf_puts(out, hf_census_running(hub, slot) ? "1\n" : "0\n");
    }
    put_worker_head(out, "silent_seconds", "gauge",
                    "since the last turn of its loop; an idle one turns once a second");
    for (uint32_t slot = 0; slot < hub->workers; slot++) {
        put_worker_label(out, "silent_seconds", slot);
        hf_census_put_seconds(out, hf_census_silent_ms(hub, slot), 1000);
        hf_buf_puts(out, "\n");
    }
    put_worker_head(out, "busy_seconds_total", "counter", "time in which the worker did not wait");
    for (uint32_t slot = 0; slot < hub->workers; slot++) {
        struct hf_histogram_sum turns = hf_census_measure(hub, (int)slot, HF_MEASURE_LOOP_TURN);

        put_worker_label(out, "busy_seconds_total", slot);
        hf_census_put_seconds(out, turns.sum, hf_measure_names[HF_MEASURE_LOOP_TURN].per_second);
        hf_buf_puts(out, "\n");
    }
    for (size_t i = 0; i < sizeof(gauges) / sizeof(gauges[0]); i++)
        put_workers_gauge(hub, gauges[i], out);
    for (size_t i = 0; i < sizeof(counters) / sizeof(counters[0]); i++)
        put_workers_counter(hub, counters[i], out);
}

int hf_service_metrics(struct hf_hub *hub, struct hf_buf *out)
{
    put_counters(hub, out);
    for (int i = 0; i < HF_GAUGES; i++)
        put_gauge(out, hf_gauge_names[i].metric, hf_gauge_names[i].help,
                  hf_census_gauge(hub, HF_ALL_WORKERS, (enum hf_gauge)i));
    put_census(hub, out);
    put_config(hub, out);
    put_tls(hub, out);
    for (int i = 0; i < HF_MEASURES; i++)
        put_histogram(hub, (enum hf_measure)i, out);
    put_workers(hub, out);
    return out->failed ? HF_ELIMIT : 0;
}
