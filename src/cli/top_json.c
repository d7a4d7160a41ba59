/*
 * top_json.c - `holdfast top --json`: one object for each look at the server.
 */
#include "cli/top.h"

#include <stdlib.h>

static json_t *load_object(const struct hf_top_load *load)
{
    return json_pack("{s:I,s:I,s:I,s:f,s:f,s:f,s:f,s:f,s:f}", "connections", (json_int_t)load->connections,
                     "sessions_attached", (json_int_t)load->sessions, "subscriptions",
                     (json_int_t)load->subscriptions, "busy", load->busy, "messages_in", load->messages_in,
                     "publishes", load->publishes, "deliveries", load->deliveries, "bytes_in", load->bytes_in,
                     "bytes_out", load->bytes_out);
}

static json_t *milliseconds(double ms)
{
    return ms < 0 ? json_null() : json_real(ms);
}

static json_t *spread_object(const struct hf_top_spread *s)
{
    return json_pack("{s:o,s:o}", "p50", milliseconds(s->p50_ms), "p99", milliseconds(s->p99_ms));
}

static json_t *problems_array(const struct hf_top_view *v)
{
    json_t *array = json_array();

    for (unsigned i = 0; i < v->problem_count; i++)
        json_array_append_new(array, json_string(v->problem[i]));
    return array;
}

static json_t *workers_array(const struct hf_top_view *v, const struct hf_top_sample *before)
{
    json_t *array = json_array();

    for (size_t i = 0; i < hf_top_workers(v->now); i++) {
        struct hf_top_load load = hf_top_worker(before, v->now, i);
        json_t *worker = load_object(&load);

        json_object_set_new(worker, "slot", json_integer((json_int_t)i));
        json_array_append_new(array, worker);
    }
    return array;
}

void hf_top_json_put(struct hf_buf *out, const struct hf_top_view *v, const struct hf_top_sample *before)
{
    const json_t *total = json_object_get(v->now->stats, "total");
    json_t *object = load_object(&v->all);
    char *text;

    json_object_set(object, "time", json_object_get(v->now->stats, "time"));
    json_object_set_new(object, "seconds", json_real(v->seconds));
    json_object_set(object, "sessions", json_object_get(total, "sessions"));
    json_object_set(object, "sessions_waiting", json_object_get(total, "sessions_waiting"));
    json_object_set(object, "channels_count", json_object_get(total, "channels"));
    json_object_set_new(object, "resumes", json_real(v->resumes));
    json_object_set_new(object, "opened", json_real(v->opened));
    json_object_set_new(object, "closed", json_real(v->closed));
    json_object_set_new(object, "refused", json_real(v->refused));
    json_object_set_new(object, "gaps", json_real(v->gaps));
    json_object_set_new(object, "skipped", json_real(v->skipped));
    json_object_set_new(object, "log_share", json_real(v->log_share));
    json_object_set_new(object, "ring_share", json_real(v->ring_share));
    json_object_set_new(object, "delivery_ms", spread_object(&v->delivery));
    json_object_set_new(object, "heartbeat_ms", spread_object(&v->heartbeat));
    json_object_set_new(object, "turn_ms", spread_object(&v->turn));
    json_object_set_new(object, "lag_ms", spread_object(&v->lag));
    json_object_set_new(object, "problems", problems_array(v));
    json_object_set_new(object, "workers", workers_array(v, before));
    json_object_set(object, "channels", json_object_get(v->now->top, "channels"));
    json_object_set(object, "slow", json_object_get(v->now->top, "slow"));
    text = json_dumps(object, JSON_COMPACT | JSON_REAL_PRECISION(6));
    if (text != NULL)
        hf_buf_puts(out, text);
    else
        out->failed = true;
    free(text);
    json_decref(object);
}
