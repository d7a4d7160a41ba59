#include "cli/bench_report.h"

#include "wire/json.h"

#include <inttypes.h>

static const struct {
    const char *name;
    double share;
} quantiles[] = {{"p50", 0.5}, {"p90", 0.9}, {"p99", 0.99}, {"p999", 0.999}, {"max", 1}};

enum {
    QUANTILES = sizeof(quantiles) / sizeof(quantiles[0]),
    CONNECTIONS_MIN = 500, /* with fewer, what else the server's memory does outweighs them */
};

static double per(double amount, double of)
{
    return of > 0 ? amount / of : 0;
}

/* A storm and a churn measure connections, the others what they send. */
static uint64_t units_of(const struct hf_bench_options *o, const struct hf_bench_result *r)
{
    return o->mode == HF_BENCH_CHURN || o->mode == HF_BENCH_STORM ? r->measured_opened : r->measured_units;
}

static double server_cpu_us(const struct hf_bench_result *r)
{
    return (double)(r->ended.cpu_ns - r->begun.cpu_ns) / 1000;
}

static double opening_cpu_us(const struct hf_bench_result *r)
{
    return (double)(r->opened_figures.cpu_ns - r->before.cpu_ns) / 1000;
}

/* What the server's processes took for the connections that were opened; 0 where it was not measured. */
static double connection_bytes(const struct hf_bench_options *o, const struct hf_bench_result *r)
{
    double bytes = (double)r->opened_figures.pss_bytes - (double)r->before.pss_bytes;

    return o->mode == HF_BENCH_CHURN ? 0 : per(bytes, (double)r->opening.count);
}

/* --- JSON --- */

static void put_histogram(struct hf_buf *out, const char *name, const struct hf_histogram *h)
{
    hf_buf_putf(out, ",\"%s\":{\"count\":%" PRIu64 ",\"mean\":%.3f,\"min\":%.3f", name, h->count,
                hf_histogram_mean(h) / 1000, (double)h->min / 1000);
    for (unsigned i = 0; i < QUANTILES; i++)
        hf_buf_putf(out, ",\"%s\":%.3f", quantiles[i].name,
                    (double)hf_histogram_quantile(h, quantiles[i].share) / 1000);
    hf_buf_puts(out, "}");
}

static void put_server(struct hf_buf *out, const struct hf_bench_options *o, const struct hf_bench_result *r)
{
    uint64_t units = units_of(o, r);

    hf_buf_putf(out,
                ",\"server\":{\"processes\":%u,\"cpu_us\":%.1f,\"cpu_us_per_unit\":%.4f,\"cpu_share\":%.4f",
                r->ended.processes, server_cpu_us(r), per(server_cpu_us(r), (double)units),
                per(server_cpu_us(r) / 1e6, r->measured_s));
    if (r->measured_published > 0)
        hf_buf_putf(out, ",\"cpu_us_per_message\":%.4f",
                    per(server_cpu_us(r), (double)r->measured_published));
    hf_buf_putf(out, ",\"opening_cpu_us_per_connection\":%.2f,\"bytes_per_connection\":%.1f",
                per(opening_cpu_us(r), (double)r->opening.count), connection_bytes(o, r));
    hf_buf_putf(out,
                ",\"pss_before\":%" PRIu64 ",\"pss_open\":%" PRIu64 ",\"pss_after\":%" PRIu64
                ",\"rss_after\":%" PRIu64 "}",
                r->before.pss_bytes, r->opened_figures.pss_bytes, r->ended.pss_bytes, r->ended.rss_bytes);
}

static void put_curve(struct hf_buf *out, const struct hf_bench_result *r)
{
    hf_buf_puts(out, ",\"curve\":[");
    for (unsigned i = 0; i < r->curve_seconds; i++)
        hf_buf_putf(out, "%s%" PRIu64, i > 0 ? "," : "", r->curve[i]);
    hf_buf_puts(out, "]");
}

void hf_bench_report_json(struct hf_buf *out, const struct hf_bench_options *o,
                          const struct hf_bench_result *r)
{
    uint64_t units = units_of(o, r);

    hf_buf_putf(out, "{\"mode\":\"%s\",\"protocol\":\"%s\",\"unit\":\"%s\"", hf_bench_mode_name(o->mode),
                hf_bench_protocol_name(o->protocol), r->mode->unit);
    hf_buf_putf(out,
                ",\"connections\":%" PRIu64 ",\"size\":%" PRIu64 ",\"inflight\":%" PRIu64
                ",\"window\":%" PRIu64 ",\"rate\":%.3f,\"tls\":%s,\"processes\":%u",
                o->connections, o->size, o->inflight, o->window, o->rate, o->tls ? "true" : "false",
                r->processes);
    hf_buf_putf(out,
                ",\"seconds\":%.6f,\"units\":%" PRIu64 ",\"units_per_second\":%.1f,\"published\":%" PRIu64,
                r->measured_s, units, per((double)units, r->measured_s), r->measured_published);
    hf_buf_putf(out, ",\"received_bytes\":%" PRIu64 ",\"client_cpu_share\":%.4f", r->measured_bytes,
                per((double)r->client_cpu_ns / 1e9, r->measured_s));
    put_histogram(out, "latency_us", &r->latency);
    hf_buf_putf(out, ",\"opened\":%" PRIu64 ",\"open_seconds\":%.6f", r->opened, r->open_s);
    put_histogram(out, "opening_us", &r->opening);
    if (r->curve_seconds > 0)
        put_curve(out, r);
    if (o->server_pids_count > 0)
        put_server(out, o, r);
    hf_buf_putf(out,
                ",\"failed\":%" PRIu64 ",\"lost\":%" PRIu64 ",\"duplicated\":%" PRIu64 ",\"refused\":%" PRIu64
                ",\"not_resumed\":%" PRIu64 ",\"timed_out\":%s,\"good\":%s",
                r->failed, r->lost, r->duplicated, r->refused, r->not_resumed,
                r->timed_out ? "true" : "false", hf_bench_result_good(r) ? "true" : "false");
    hf_buf_putf(out, ",\"broken\":%" PRIu64 ",\"messages\":%" PRIu64 ",\"tls_resumed\":%" PRIu64, r->broken,
                r->messages, r->tls_resumed);
    if (r->problem[0] != '\0') {
        hf_buf_puts(out, ",\"problem\":");
        hf_json_put_string(out, hf_str_from(r->problem));
    }
    hf_buf_puts(out, "}\n");
}

/* --- text --- */

/* A time in the unit that people would use. */
static void put_time(struct hf_buf *out, double ns)
{
    if (ns < 1e4)
        hf_buf_putf(out, " %.2f µs", ns / 1e3);
    else if (ns < 1e6)
        hf_buf_putf(out, " %.0f µs", ns / 1e3);
    else if (ns < 1e9)
        hf_buf_putf(out, " %.2f ms", ns / 1e6);
    else
        hf_buf_putf(out, " %.3f s", ns / 1e9);
}

static void put_quantiles(struct hf_buf *out, const char *name, const struct hf_histogram *h)
{
    if (h->count == 0)
        return;
    hf_buf_putf(out, "  %-12s", name);
    for (unsigned i = 0; i < QUANTILES; i++) {
        hf_buf_putf(out, "%s%s", i > 0 ? "   " : "", quantiles[i].name);
        put_time(out, (double)hf_histogram_quantile(h, quantiles[i].share));
    }
    hf_buf_puts(out, "\n");
}

static void put_setting(struct hf_buf *out, const struct hf_bench_options *o, const struct hf_bench_result *r)
{
    hf_buf_putf(out, "%s: %" PRIu64 " %s to %s://%s%s (%s), %u client process%s\n",
                hf_bench_mode_name(o->mode), o->connections,
                o->mode == HF_BENCH_FANOUT || o->mode == HF_BENCH_RATE ? "subscribers" : "connections",
                o->tls ? "wss" : "ws", o->url.authority, o->url.target, hf_bench_protocol_name(o->protocol),
                r->processes, r->processes == 1 ? "" : "es");
}

static void put_server_text(struct hf_buf *out, const struct hf_bench_options *o,
                            const struct hf_bench_result *r)
{
    hf_buf_putf(out, "  %-12s%u processes, %.1f %% of a processor", "server", r->ended.processes,
                100 * per(server_cpu_us(r) / 1e6, r->measured_s));
    if (units_of(o, r) > 0)
        hf_buf_putf(out, ", %.3f µs for each of the %s", per(server_cpu_us(r), (double)units_of(o, r)),
                    r->mode->unit);
    hf_buf_puts(out, "\n");
    hf_buf_putf(out, "  %-12s%.1f MiB in all (Pss)", "", (double)r->ended.pss_bytes / 1048576);
    if (o->mode != HF_BENCH_CHURN && r->opening.count >= CONNECTIONS_MIN)
        hf_buf_putf(out, ", %.0f bytes and %.1f µs to open for each connection", connection_bytes(o, r),
                    per(opening_cpu_us(r), (double)r->opening.count));
    hf_buf_puts(out, "\n");
}

static void put_faults(struct hf_buf *out, const struct hf_bench_result *r)
{
    if (r->refused > 0)
        hf_buf_putf(out, "  %-12s%" PRIu64 " times told to come back later\n", "refused", r->refused);
    if (r->broken > 0)
        hf_buf_putf(out, "  %-12s%" PRIu64 " connections, which came back\n", "broken", r->broken);
    if (!hf_bench_result_good(r))
        hf_buf_putf(out,
                    "  %-12s%" PRIu64 " failed, %" PRIu64 " lost, %" PRIu64
                    " duplicated or out of order, %" PRIu64 " not resumed%s%s\n",
                    "FAULTS", r->failed, r->lost, r->duplicated, r->not_resumed,
                    r->problem[0] != '\0' ? ": " : "", r->problem);
}

void hf_bench_report_text(struct hf_buf *out, const struct hf_bench_options *o,
                          const struct hf_bench_result *r)
{
    uint64_t units = units_of(o, r);

    put_setting(out, o, r);
    hf_buf_putf(out, "  %-12s%.0f %s/s (%" PRIu64 " in %.2f s)", "throughput",
                per((double)units, r->measured_s), r->mode->unit, units, r->measured_s);
    if (r->measured_published > 0)
        hf_buf_putf(out, ", %.0f messages/s", per((double)r->measured_published, r->measured_s));
    hf_buf_putf(out, "; client %.0f %% of a processor\n",
                100 * per((double)r->client_cpu_ns / 1e9, r->measured_s));
    put_quantiles(out, "latency", &r->latency);
    if (o->mode != HF_BENCH_CHURN && r->opened > 0)
        hf_buf_putf(out, "  %-12s%" PRIu64 " connections in %.2f s, %.0f/s\n", "opened", r->opening.count,
                    r->open_s, per((double)r->opening.count, r->open_s));
    put_quantiles(out, "opening", &r->opening);
    for (unsigned i = 0; i < r->curve_seconds; i++)
        hf_buf_putf(out, "  %-12s%" PRIu64 "\n", i == 0 ? "per second" : "", r->curve[i]);
    if (o->server_pids_count > 0)
        put_server_text(out, o, r);
    put_faults(out, r);
}
