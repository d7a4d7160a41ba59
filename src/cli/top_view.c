#include "cli/top.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { SILENT_MS = 3000 }; /* an idle worker turns once a second */

uint64_t hf_top_number(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);

    return json_is_integer(value) && json_integer_value(value) > 0 ? (uint64_t)json_integer_value(value) : 0;
}

static double real(const json_t *value)
{
    return json_number_value(value); /* 0 where it is none */
}

/* ---- Rates ---- */

/* How much more; a server does not count backwards. */
static double more(const json_t *before, const json_t *now, const char *name)
{
    uint64_t from = hf_top_number(before, name), to = hf_top_number(now, name);

    return to > from ? (double)(to - from) : 0;
}

/* The same of all whose name begins so: a metric with labels. */
static double more_of_all(const json_t *before, const json_t *now, const char *prefix)
{
    double sum = 0;
    const char *name;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)now, name, value) if (strncmp(name, prefix, strlen(prefix)) == 0)
        sum += more(before, now, name);
    return sum;
}

static const json_t *histogram(const json_t *part, const char *name)
{
    return json_object_get(json_object_get(part, "histograms"), name);
}

/* The share of the time in which a worker did not wait. */
static double busy(const json_t *before, const json_t *now, double seconds)
{
    double worked = real(json_object_get(histogram(now, "loop_turn_seconds"), "sum")) -
                    real(json_object_get(histogram(before, "loop_turn_seconds"), "sum"));

    return worked <= 0 ? 0 : worked < seconds ? worked / seconds : 1;
}

static struct hf_top_load load(const json_t *before, const json_t *now, double seconds)
{
    return (struct hf_top_load){.messages_in = more(before, now, "messages_received_total") / seconds,
                                .publishes = more(before, now, "publishes_total") / seconds,
                                .deliveries = more(before, now, "deliveries_total") / seconds,
                                .bytes_in = more(before, now, "bytes_received_total") / seconds,
                                .bytes_out = more(before, now, "bytes_sent_total") / seconds,
                                .busy = busy(before, now, seconds),
                                .connections = hf_top_number(now, "connections"),
                                .sessions = hf_top_number(now, "sessions_attached"),
                                .subscriptions = hf_top_number(now, "subscriptions")};
}

static double seconds_between(const struct hf_top_sample *before, const struct hf_top_sample *now)
{
    return more(before->stats, now->stats, "time") / 1000;
}

/* ---- Histograms between two samples ---- */

static uint64_t count_before(const json_t *buckets, double bound)
{
    size_t i;
    json_t *bucket;

    json_array_foreach((json_t *)(uintptr_t)buckets, i,
                       bucket) if (real(json_array_get(bucket, 0)) ==
                                   bound) return (uint64_t)json_integer_value(json_array_get(bucket, 1));
    return 0;
}

/* How many more values one bucket has; *bound: 0 where it is the last, which has none. */
static uint64_t bucket_more(const json_t *before, const json_t *bucket, double *bound)
{
    uint64_t count = (uint64_t)json_integer_value(json_array_get(bucket, 1)), was;

    *bound = real(json_array_get(bucket, 0));
    was = count_before(before, *bound);
    return count > was ? count - was : 0;
}

static double quantile_ms(const json_t *before, const json_t *now, double share)
{
    double rank, bound = 0, last = 0;
    uint64_t total = 0;
    size_t i;
    json_t *bucket;

    json_array_foreach((json_t *)(uintptr_t)now, i, bucket) total += bucket_more(before, bucket, &bound);
    if (total == 0)
        return -1;
    rank = share * (double)total;
    json_array_foreach((json_t *)(uintptr_t)now, i, bucket)
    {
        uint64_t n = bucket_more(before, bucket, &bound);

        if (bound == 0)
            break;
        last = bound;
        if (n > 0 && rank <= (double)n)
            break;
        rank -= (double)n;
    }
    return last * 1000;
}

static struct hf_top_spread spread(const struct hf_top_sample *before, const struct hf_top_sample *now,
                                   const char *name)
{
    const json_t *then = json_object_get(histogram(json_object_get(before->stats, "total"), name), "buckets");
    const json_t *buckets = json_object_get(histogram(json_object_get(now->stats, "total"), name), "buckets");

    return (struct hf_top_spread){quantile_ms(then, buckets, 0.5), quantile_ms(then, buckets, 0.99)};
}

/* ---- What is not as it should be ---- */

__attribute__((format(printf, 2, 3))) static void problem(struct hf_top_view *v, const char *format, ...)
{
    va_list args;

    if (v->problem_count == HF_TOP_PROBLEMS)
        return;
    va_start(args, format);
    vsnprintf(v->problem[v->problem_count++], sizeof(v->problem[0]), format, args);
    va_end(args);
}

static void look_at_workers(struct hf_top_view *v, const json_t *workers)
{
    size_t i;
    json_t *worker;

    json_array_foreach((json_t *)(uintptr_t)workers, i, worker)
    {
        if (!json_is_true(json_object_get(worker, "running")))
            problem(v, "worker %zu does not run", i);
        else if (hf_top_number(worker, "silent_ms") > SILENT_MS)
            problem(v, "worker %zu hangs for %.1f s", i, (double)hf_top_number(worker, "silent_ms") / 1000);
    }
}

static void look_at_totals(struct hf_top_view *v, const json_t *before, const json_t *now)
{
    static const struct {
        const char *prefix, *text;
    } counted[] = {
        {"restarts", "workers died and were replaced"},
        {"gap_messages_total", "messages were lost to subscribers (gaps)"},
        {"handshakes_refused_total", "handshakes were refused"},
        {"log_full_total", "publishes waited for a full log"},
        {"ring_full_total", "waits for a full ring between workers"},
        {"accept_errors_total", "connections were lost at accept"},
        {"publishes_refused_total", "publishes were refused"},
        {"heartbeats_missed_total", "connections were silent for too long"},
        {"disconnects_total_slow", "connections were ended for being slow"},
    };

    for (size_t i = 0; i < sizeof(counted) / sizeof(counted[0]); i++) {
        double n = more_of_all(before, now, counted[i].prefix);

        if (n > 0)
            problem(v, "%.0f %s", n, counted[i].text);
    }
}

/* ---- The view ---- */

static double share(const json_t *object, const char *part, const char *whole)
{
    uint64_t all = hf_top_number(object, whole);

    return all == 0 ? 0 : (double)hf_top_number(object, part) / (double)all;
}

static bool is_answer(const struct hf_top_sample *s)
{
    return json_is_object(json_object_get(s->stats, "total")) &&
           json_is_array(json_object_get(s->stats, "workers")) &&
           json_is_string(json_object_get(s->stats, "serverId"));
}

int hf_top_view_make(struct hf_top_view *v, const struct hf_top_sample *before,
                     const struct hf_top_sample *now)
{
    const json_t *was, *total;

    if (!is_answer(before) || !is_answer(now) ||
        !json_equal(json_object_get(before->stats, "serverId"), json_object_get(now->stats, "serverId")) ||
        seconds_between(before, now) <= 0)
        return HF_EBADMSG;
    was = json_object_get(before->stats, "total");
    total = json_object_get(now->stats, "total");
    *v = (struct hf_top_view){.now = now, .seconds = seconds_between(before, now)};
    v->up_ms = hf_top_number(now->stats, "time") - hf_top_number(now->stats, "started");
    v->all = load(was, total, v->seconds);
    v->all.busy = busy(was, total, v->seconds * (double)(hf_top_workers(now) > 0 ? hf_top_workers(now) : 1));
    v->resumes = more(was, total, "resumes_total_resumed") / v->seconds;
    v->opened = more(was, total, "connections_opened_total") / v->seconds;
    v->closed = more_of_all(was, total, "closes_total_") / v->seconds;
    v->refused = more_of_all(was, total, "handshakes_refused_total_") / v->seconds;
    v->gaps = more_of_all(was, total, "gap_messages_total_") / v->seconds;
    v->skipped = more(was, total, "deliveries_skipped_total") / v->seconds;
    v->log_share = share(total, "log_bytes", "log_capacity_bytes");
    v->ring_share = share(total, "ring_peak_bytes", "ring_capacity_bytes");
    v->delivery = spread(before, now, "delivery_latency_seconds");
    v->heartbeat = spread(before, now, "heartbeat_rtt_seconds");
    v->turn = spread(before, now, "loop_turn_seconds");
    v->lag = spread(before, now, "loop_lag_seconds");
    look_at_workers(v, json_object_get(now->stats, "workers"));
    look_at_totals(v, was, total);
    return 0;
}

size_t hf_top_workers(const struct hf_top_sample *now)
{
    return json_array_size(json_object_get(now->stats, "workers"));
}

struct hf_top_load hf_top_worker(const struct hf_top_sample *before, const struct hf_top_sample *now,
                                 size_t place)
{
    return load(json_array_get(json_object_get(before->stats, "workers"), place),
                json_array_get(json_object_get(now->stats, "workers"), place), seconds_between(before, now));
}
