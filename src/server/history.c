#include "server/history.h"

#include "base/assert.h"
#include "server/hub_state.h"
#include "wire/items.h"

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
    struct hf_history_limits limits = hf_rules_history(hub, hf_channel_name(c));
    struct hf_log *log = &hub->logs[hf_cid_shard(cid)];
    uint64_t head = atomic_load(&c->head);
    hf_ref newest_ref = atomic_load_explicit(&c->newest, memory_order_acquire), ref;
    const struct hf_record *newest = hf_log_at(log, newest_ref), *oldest;
    struct bounds b = {.bytes_max = limits.bytes};

    if (newest == NULL || newest->cid != cid || limits.messages == 0)
        return head + 1;
    b.offset_min = newest->offset >= limits.messages ? newest->offset - limits.messages + 1 : 1;
    b.bytes_end = newest->bytes_before + newest->payload_len;
    b.appended_ms_min = hub->now.wall_ms > limits.age_ms ? hub->now.wall_ms - limits.age_ms : 0;
    oldest = hf_log_seek(log, newest_ref, inside, &b, &ref);
    return oldest == NULL ? head + 1 : oldest->offset;
}

/* ---- Requests ---- */

static void put_message(struct hf_buf *out, enum hf_encoding encoding, const struct hf_record *r)
{
    struct hf_pieces message = hf_pieces_message(hf_record_frame(r, encoding == HF_ENCODING_BINARY));

    hf_items_separate(out, encoding);
    hf_buf_put_str(out, message.piece[0]);
    hf_buf_put_str(out, message.piece[1]);
}

static void put_forward(struct hf_log *log, const struct hf_channel *c, uint64_t from, uint64_t limit,
                        enum hf_encoding encoding, struct hf_buf *out)
{
    hf_ref ref;
    struct hf_record *r =
        hf_log_find(log, atomic_load_explicit(&c->newest, memory_order_acquire), from, &ref);

    for (uint64_t n = 0; r != NULL && n < limit; n++) {
        put_message(out, encoding, r);
        r = hf_log_at(log, atomic_load_explicit(&r->next, memory_order_acquire));
    }
}

/* From below `before` down to `oldest`. */
static void put_backward(struct hf_log *log, const struct hf_channel *c, uint64_t before, uint64_t oldest,
                         uint64_t limit, enum hf_encoding encoding, struct hf_buf *out)
{
    hf_ref newest = atomic_load_explicit(&c->newest, memory_order_acquire), ref;
    struct hf_record *r = before > 1 ? hf_log_find(log, newest, before - 1, &ref) : NULL;

    if (before > atomic_load(&c->head))
        r = hf_log_at(log, newest);
    else if (r != NULL && r->offset >= before) /* What stood there is evicted, and all below it. */
        r = NULL;
    for (uint64_t n = 0; r != NULL && r->offset >= oldest && n < limit; n++) {
        put_message(out, encoding, r);
        r = hf_log_at(log, r->prev);
    }
}

/* "exclusive of since; without it from the oldest kept, with reverse from the newest down; another epoch: from the present one's beginning" */
static void put_messages(struct hf_hub *hub, const struct hf_history_query *q, const struct hf_history *h,
                         enum hf_encoding encoding, struct hf_buf *out)
{
    struct hf_log *log = &hub->logs[hf_cid_shard(h->cid)];
    uint64_t oldest = hf_history_oldest(hub, h->channel, h->cid);
    bool since = q->has_since && hf_str_eq(q->since_epoch, hf_str_from(h->epoch));

    if (q->reverse)
        put_backward(log, h->channel, since ? q->since_offset : UINT64_MAX, oldest, q->limit, encoding, out);
    else
        put_forward(log, h->channel, since && q->since_offset >= oldest ? q->since_offset + 1 : oldest,
                    q->limit, encoding, out);
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

void hf_history_find(struct hf_hub *hub, struct hf_str channel, struct hf_history *h)
{
    *h = (struct hf_history){.channel = hf_hub_find_channel(hub, channel)};
    h->cid = cid_of(h->channel);
    if (h->cid == 0)
        return;
    hf_region_epoch(hub->region, h->cid, h->epoch);
    h->offset = atomic_load(&h->channel->head);
}

void hf_history_put(struct hf_hub *hub, const struct hf_history_query *q, const struct hf_history *h,
                    enum hf_encoding encoding, struct hf_buf *out)
{
    hf_items_begin(out, encoding, HF_ITEMS_ARRAY);
    if (h->cid != 0)
        put_messages(hub, q, h, encoding, out);
    hf_items_end(out, encoding, HF_ITEMS_ARRAY);
}

int hf_service_history(struct hf_hub *hub, const struct hf_history_query *q, struct hf_buf *out)
{
    struct hf_history h;

    hf_history_find(hub, q->channel, &h);
    hf_buf_putf(out, "\"epoch\":\"%s\",\"offset\":%llu,\"messages\":", h.epoch, (unsigned long long)h.offset);
    hf_history_put(hub, q, &h, HF_ENCODING_JSON, out);
    return out->failed ? HF_ELIMIT : 0;
}
