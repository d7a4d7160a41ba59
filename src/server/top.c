/*
 * top.c - GET /api/top: the busiest channels and the slowest connections of all workers, put together from what each has told of its last second. Its shape is
 * told in docs/http-api.md.
 */
#include "server/census.h"
#include "server/service.h"
#include "wire/json.h"

#include <stdlib.h>

enum {
    STALE_MS = 5000
}; /* a worker tells once a second; one that has hung for so long tells nothing of now */

struct found {
    struct hf_busy_channel *channel; /* heap; counts are a second's */
    size_t channel_count;
    struct {
        struct hf_busy_slow slow;
        uint32_t worker;
    } * slow; /* heap */
    size_t slow_count;
};

/* ---- Putting together ---- */

static uint64_t per_second(uint64_t count, uint64_t length_ms)
{
    return length_ms == 0 ? 0 : (count * 1000 + length_ms / 2) / length_ms;
}

/* places: cid -> place in found->channel. */
static int add_channel(struct found *f, struct hf_map *places, const struct hf_busy_channel *c,
                       uint64_t length_ms)
{
    struct hf_map_entry *entry;

    if (c->cid == 0)
        return 0;
    entry = hf_map_get(places, c->cid);
    if (entry == NULL) {
        if (hf_map_put(places, c->cid, f->channel_count, 0) < 0)
            return HF_ENOMEM;
        f->channel[f->channel_count++] = (struct hf_busy_channel){.cid = c->cid};
        entry = hf_map_get(places, c->cid);
    }
    f->channel[entry->a].publishes += per_second(c->publishes, length_ms);
    f->channel[entry->a].deliveries += per_second(c->deliveries, length_ms);
    return 0;
}

static int add_worker(struct hf_hub *hub, uint32_t slot, struct found *f, struct hf_map *places)
{
    struct hf_busy_second s;
    int err = 0;

    if (!hf_census_running(hub, slot) || hf_busy_read(&hub->region->slots[slot].busy, &s) < 0 ||
        s.ended_ms == 0 || s.ended_ms + STALE_MS < hub->now.mono_ms)
        return 0;
    for (uint64_t i = 0; i < s.channel_count && err == 0; i++)
        err = add_channel(f, places, &s.channel[i], s.length_ms);
    for (uint64_t i = 0; i < s.slow_count; i++) {
        f->slow[f->slow_count].slow = s.slow[i];
        f->slow[f->slow_count++].worker = slot;
    }
    return err;
}

static int busiest_first(const void *a, const void *b)
{
    const struct hf_busy_channel *x = a, *y = b;
    uint64_t of_x = x->publishes + x->deliveries, of_y = y->publishes + y->deliveries;

    if (of_x != of_y)
        return of_x > of_y ? -1 : 1;
    return x->cid < y->cid ? -1 : x->cid > y->cid;
}

/* Of struct found's slow. */
static int slowest_first(const void *a, const void *b)
{
    const struct hf_busy_slow *x = a, *y = b; /* It stands first there. */

    if (x->lag_ms != y->lag_ms)
        return x->lag_ms > y->lag_ms ? -1 : 1;
    return x->behind > y->behind ? -1 : x->behind < y->behind;
}

static void found_release(struct found *f)
{
    free(f->channel);
    free(f->slow);
}

static int find(struct hf_hub *hub, struct found *f)
{
    struct hf_map places;
    int err = 0;

    *f = (struct found){.channel = calloc((size_t)hub->workers * HF_BUSY_CHANNELS, sizeof(*f->channel)),
                        .slow = calloc((size_t)hub->workers * HF_BUSY_SLOW, sizeof(*f->slow))};
    if (f->channel == NULL || f->slow == NULL)
        return HF_ENOMEM;
    hf_map_init(&places);
    for (uint32_t slot = 0; slot < hub->workers && err == 0; slot++)
        err = add_worker(hub, slot, f, &places);
    hf_map_release(&places);
    qsort(f->channel, f->channel_count, sizeof(*f->channel), busiest_first);
    qsort(f->slow, f->slow_count, sizeof(*f->slow), slowest_first);
    return err;
}

/* ---- Telling ---- */

/* The name as it is now, or null where the channel has gone since. */
static void put_name(struct hf_hub *hub, struct hf_buf *out, hf_cid cid)
{
    uint32_t shard = hf_cid_shard(cid);
    const struct hf_channel *channel =
        cid == 0 || shard >= hub->shards ? NULL : hf_channels_get(&hub->channels[shard], cid);

    if (channel == NULL)
        hf_buf_puts(out, "null");
    else
        hf_json_put_string(out, hf_channel_name(channel));
}

static void put_channels(struct hf_hub *hub, struct hf_buf *out, const struct found *f, uint64_t limit)
{
    for (size_t i = 0; i < f->channel_count && i < limit; i++) {
        hf_buf_puts(out, i > 0 ? ",{\"channel\":" : "{\"channel\":");
        put_name(hub, out, f->channel[i].cid);
        hf_buf_putf(out, ",\"publishes\":%llu,\"deliveries\":%llu}",
                    (unsigned long long)f->channel[i].publishes,
                    (unsigned long long)f->channel[i].deliveries);
    }
}

static void put_slow(struct hf_hub *hub, struct hf_buf *out, const struct found *f, uint64_t limit)
{
    for (size_t i = 0; i < f->slow_count && i < limit; i++) {
        const struct hf_busy_slow *s = &f->slow[i].slow;

        hf_buf_putf(out, "%s{\"session\":\"%016llx\",\"worker\":%u,\"channel\":", i > 0 ? "," : "",
                    (unsigned long long)s->session, f->slow[i].worker);
        put_name(hub, out, s->cid);
        hf_buf_putf(out, ",\"behind\":%llu,\"lag_ms\":%llu,\"blocked_ms\":%llu}",
                    (unsigned long long)s->behind, (unsigned long long)s->lag_ms,
                    (unsigned long long)s->blocked_ms);
    }
}

int hf_service_top(struct hf_hub *hub, uint64_t limit, struct hf_buf *out)
{
    struct found f;
    int err = find(hub, &f);

    if (err == 0) {
        hf_buf_putf(out, "{\"time\":%llu,\"connections_blocked\":%llu,\"channels\":[",
                    (unsigned long long)hub->now.wall_ms,
                    (unsigned long long)hf_census_gauge(hub, HF_ALL_WORKERS, HF_GAUGE_BLOCKED));
        put_channels(hub, out, &f, limit);
        hf_buf_puts(out, "],\"slow\":[");
        put_slow(hub, out, &f, limit);
        hf_buf_puts(out, "]}");
        err = out->failed ? HF_ELIMIT : 0;
    }
    found_release(&f);
    return err;
}
