#include "server/history.h"

#include "base/assert.h"
#include "server/hub_state.h"
#include "wire/json.h"

/* Bounds of the history at a moment, seen from the newest message. All are monotone: older messages are further outside. */
struct bounds {
    uint64_t offset_min, bytes_end, bytes_max, appended_ms_min;
};

static bool inside(const void *ctx, const struct hf_record *r)
{
    const struct bounds *b = ctx;

    return r->offset >= b->offset_min && b->bytes_end - r->bytes_before <= b->bytes_max &&
           r->appended_ms >= b->appended_ms_min;
}

uint64_t hf_history_oldest(struct hf_hub *hub, const struct hf_channel *c, hf_cid cid)
{
    const struct hf_config *config = hub->config;
    struct hf_log *log = &hub->logs[hf_cid_shard(cid)];
    uint64_t head = atomic_load(&c->head);
    hf_ref newest_ref = atomic_load_explicit(&c->newest, memory_order_acquire), ref;
    const struct hf_record *newest = hf_log_at(log, newest_ref), *oldest;
    struct bounds b = {.bytes_max = config->history_bytes};

    if (newest == NULL || newest->cid != cid || config->history_messages == 0)
        return head + 1;
    b.offset_min =
        newest->offset >= config->history_messages ? newest->offset - config->history_messages + 1 : 1;
    b.bytes_end = newest->bytes_before + newest->payload_len;
    b.appended_ms_min =
        hub->now.wall_ms > config->history_age_ms ? hub->now.wall_ms - config->history_age_ms : 0;
    oldest = hf_log_seek(log, newest_ref, inside, &b, &ref);
    return oldest == NULL ? head + 1 : oldest->offset;
}

/* ---- Requests ---- */

static void put_message(struct hf_buf *out, const struct hf_record *r, bool first)
{
    if (!first)
        hf_buf_puts(out, ",");
    hf_buf_put(out, (const uint8_t *)r + r->json_at, r->frame_at + r->frame_len - r->json_at);
}

static void put_forward(struct hf_log *log, const struct hf_channel *c, uint64_t from, uint64_t limit,
                        struct hf_buf *out)
{
    hf_ref ref;
    struct hf_record *r =
        hf_log_find(log, atomic_load_explicit(&c->newest, memory_order_acquire), from, &ref);

    for (uint64_t n = 0; r != NULL && n < limit; n++) {
        put_message(out, r, n == 0);
        r = hf_log_at(log, atomic_load_explicit(&r->next, memory_order_acquire));
    }
}

/* From below `before` down to `oldest`. */
static void put_backward(struct hf_log *log, const struct hf_channel *c, uint64_t before, uint64_t oldest,
                         uint64_t limit, struct hf_buf *out)
{
    hf_ref newest = atomic_load_explicit(&c->newest, memory_order_acquire), ref;
    struct hf_record *r = before > 1 ? hf_log_find(log, newest, before - 1, &ref) : NULL;

    if (before > atomic_load(&c->head))
        r = hf_log_at(log, newest);
    else if (r != NULL && r->offset >= before) /* What stood there is evicted, and all below it. */
        r = NULL;
    for (uint64_t n = 0; r != NULL && r->offset >= oldest && n < limit; n++) {
        put_message(out, r, n == 0);
        r = hf_log_at(log, r->prev);
    }
}

/* "exclusive of since; without it from the oldest kept, with reverse from the newest down; another epoch: from the present one's beginning" */
static void put_messages(struct hf_hub *hub, const struct hf_channel *c, hf_cid cid,
                         const struct hf_history_query *q, bool same_epoch, struct hf_buf *out)
{
    struct hf_log *log = &hub->logs[hf_cid_shard(cid)];
    uint64_t oldest = hf_history_oldest(hub, c, cid);
    bool since = q->has_since && same_epoch;

    if (q->reverse)
        put_backward(log, c, since ? q->since_offset : UINT64_MAX, oldest, q->limit, out);
    else
        put_forward(log, c, since && q->since_offset >= oldest ? q->since_offset + 1 : oldest, q->limit, out);
}

/*
 * The channel's number. It reads 0 while the owner takes the channel away, and also for the moment in which the owner finds that
 * somebody wants it after all: a few looks tell one from the other.
 */
static hf_cid cid_of(const struct hf_channel *c)
{
    hf_cid cid = 0;

    for (int looks = 0; c != NULL && cid == 0 && looks < 1000; looks++)
        cid = atomic_load(&c->cid);
    return cid;
}

int hf_service_history(struct hf_hub *hub, const struct hf_history_query *q, struct hf_buf *out)
{
    struct hf_channel *c = hf_hub_find_channel(hub, q->channel);
    hf_cid cid = cid_of(c);
    char epoch[32] = "";

    if (cid != 0)
        hf_region_epoch(hub->region, cid, epoch);
    hf_buf_putf(out, "\"epoch\":\"%s\",\"offset\":%llu,\"messages\":[", epoch,
                (unsigned long long)(cid == 0 ? 0 : atomic_load(&c->head)));
    if (cid != 0)
        put_messages(hub, c, cid, q, hf_str_eq(q->since_epoch, hf_str_from(epoch)), out);
    hf_buf_puts(out, "]");
    return out->failed ? HF_ELIMIT : 0;
}
