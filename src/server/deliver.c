/*
 * deliver.c - from the logs to the sockets: what is due to a connection is gathered from the logs at its cursors and written at once.
 * Nothing is queued: a message that does not fit into the socket stays where it is, in the log.
 */
#include "server/admission.h"
#include "server/hub_state.h"

#include "base/assert.h"
#include "wire/json.h"

#include <stdlib.h>
#include <string.h>

enum {
    GATHER_ITEMS = 256,        /* pieces of one write; IOV_MAX is 1,024 */
    GATHER_BYTES = 256 * 1024, /* and bytes: more than a socket takes at once */
    GAP_TEXT_BYTES = 2048,     /* one `gap` with a long name, escaped */
    GAPS = 16,                 /* gaps in one write */
};

/* What one piece means for its subscription once it has been written. */
struct item {
    struct hf_sub *sub; /* NULL: control output */
    uint64_t offset;    /* of the message; of a gap: the last one missing */
    uint64_t missing;   /* of a gap: how many; else 0 */
    hf_ref ref;         /* of the message; 0 behind a gap */
};

struct hf_gather {
    struct iovec iov[GATHER_ITEMS];
    struct item item[GATHER_ITEMS];
    int count;
    size_t bytes;
    int gap_count;
    uint8_t gap_text[GAPS][GAP_TEXT_BYTES];
};

struct hf_gather *hf_gather_new(void)
{
    return calloc(1, sizeof(struct hf_gather));
}

void hf_gather_free(struct hf_gather *g)
{
    free(g);
}

static bool gather_full(const struct hf_gather *g)
{
    return g->count >= GATHER_ITEMS || g->bytes >= GATHER_BYTES || g->gap_count >= GAPS;
}

static void gather(struct hf_gather *g, const void *data, size_t len, struct item item)
{
    g->iov[g->count] = (struct iovec){(void *)(uintptr_t)data, len};
    g->item[g->count++] = item;
    g->bytes += len;
}

/* "gap: offsets from…to cannot be had"; here always: evicted. */
static bool gather_gap(struct hf_gather *g, struct hf_sub *s, uint64_t from, uint64_t to)
{
    struct hf_hub *hub = s->conn->hub;
    char epoch[32];
    struct hf_msg m = {.type = HF_MSG_GAP,
                       .has = HF_HAS_CHANNEL | HF_HAS_EPOCH | HF_HAS_FROM | HF_HAS_TO | HF_HAS_CODE,
                       .channel = hf_topic_name(s->topic),
                       .from = from,
                       .to = to,
                       .code = hf_str_from(hf_code_name(HF_CODE_EVICTED))};
    uint8_t *text = g->gap_text[g->gap_count];
    size_t header_len;

    m.epoch = (struct hf_str){epoch, hf_region_epoch(hub->region, s->topic->cid, epoch)};
    hf_buf_reset(&hub->scratch);
    if (hf_json_encode(&hub->scratch, &m) < 0 || hub->scratch.len + HF_WS_HEADER_MAX > GAP_TEXT_BYTES)
        return false;
    header_len = hf_ws_header(text, HF_WS_TEXT, hub->scratch.len, NULL);
    memcpy(text + header_len, hub->scratch.data, hub->scratch.len);
    g->gap_count++;
    gather(g, text, header_len + hub->scratch.len, (struct item){s, to, to - from + 1, 0});
    return true;
}

/* The record with that offset, or the oldest behind it that is left; NULL: none. */
static struct hf_record *record_from(struct hf_hub *hub, struct hf_topic *t, uint64_t offset, hf_ref before,
                                     hf_ref *ref)
{
    struct hf_log *log = &hub->logs[t->shard];
    struct hf_record *r = hf_log_at(log, before);

    if (r != NULL && r->offset + 1 == offset && r->cid == t->cid) {
        *ref = atomic_load_explicit(&r->next, memory_order_acquire);
        r = hf_log_at(log, *ref);
        if (r != NULL)
            return r;
    }
    return hf_log_find(log, atomic_load_explicit(&t->channel->newest, memory_order_acquire), offset, ref);
}

/* Gather all that is due to one subscription. Returns false where the gather is full before the head is reached. */
static bool gather_sub(struct hf_gather *g, struct hf_sub *s)
{
    struct hf_hub *hub = s->conn->hub;
    uint64_t next = s->cursor.next_offset, head = atomic_load(&s->topic->channel->head);
    hf_ref last = s->last_ref;

    if (s->latest &&
        next < head) { /* "then the newest only: what a slow connection misses in between is skipped" */
        next = head;
        last = 0;
    }
    while (next <= head) {
        hf_ref ref = 0;
        struct hf_record *r;

        if (gather_full(g))
            return false;
        r = record_from(hub, s->topic, next, last, &ref);
        if (r == NULL || r->offset > next) {
            uint64_t to = r == NULL ? head : r->offset - 1;

            if (s->latest && r == NULL)
                to = head;
            if (!gather_gap(g, s, next, to))
                return false;
            next = to + 1;
            last = 0;
            continue;
        }
        gather(g, (uint8_t *)r + r->frame_at, r->frame_len, (struct item){s, next, 0, ref});
        last = ref;
        next++;
    }
    return true;
}

static void commit(struct hf_hub *hub, const struct item *it)
{
    if (it->sub == NULL)
        return;
    hf_cursor_sent(&it->sub->cursor, it->offset);
    it->sub->last_ref = it->ref;
    if (it->missing > 0)
        hf_count(hub->counters, HF_COUNT_GAP_EVICTED, it->missing);
    else
        hf_count(hub->counters, HF_COUNT_DELIVERIES, 1);
}

/* Of what was gathered `written` bytes are gone. What was cut in the middle is kept, the rest stays in the logs. */
static void settle(struct hf_conn *c, const struct hf_gather *g, size_t written)
{
    size_t control = g->count > 0 && g->item[0].sub == NULL ? g->iov[0].iov_len : 0;

    if (control > 0)
        hf_buf_drop(&c->out, written < control ? written : control);
    written -= written < control ? written : control;
    for (int i = control > 0; i < g->count && written > 0; i++) {
        size_t len = g->iov[i].iov_len;

        commit(c->hub, &g->item[i]);
        if (written >= len) {
            written -= len;
            continue;
        }
        /* "unread output held for a connection: none beyond the socket's own buffer and the message under way" */
        if (hf_buf_put(&c->out, (uint8_t *)g->iov[i].iov_base + written, len - written) < 0)
            hf_conn_drop(c, HF_CLOSE_INTERNAL);
        return;
    }
}

/* Take subscriptions off the due list as far as the gather has room. Returns whether something is left. */
static bool gather_due(struct hf_conn *c, struct hf_gather *g)
{
    while (c->due_subs != NULL) {
        struct hf_sub *s = c->due_subs;

        if (!gather_sub(g, s))
            return true;
        c->due_subs = s->due_next;
        s->due = false;
    }
    return false;
}

/* What was not written is due again. */
static void due_again(struct hf_conn *c, const struct hf_gather *g)
{
    for (int i = 0; i < g->count; i++) {
        struct hf_sub *s = g->item[i].sub;

        if (s != NULL && !s->due && s->cursor.next_offset <= atomic_load(&s->topic->channel->head))
            hf_sub_due(s);
    }
    (void)c;
}

static void finish(struct hf_conn *c)
{
    if (c->phase == HF_CONN_CLOSING && c->out.len == 0 && !c->finished) {
        c->finished = true;
        c->hub->transport->finish(c->hub->transport->ctx, c->socket);
    }
}

bool hf_deliver_flush(struct hf_conn *c)
{
    struct hf_hub *hub = c->hub;
    struct hf_gather *g = hub->gather;
    bool more = false;
    long written;

    if (c->acks_due)
        hf_publish_ack(c);
    if (c->phase == HF_CONN_DEAD)
        return false;
    g->count = g->gap_count = 0;
    g->bytes = 0;
    if (c->out.len > 0)
        gather(g, c->out.data, c->out.len, (struct item){0});
    if (c->phase == HF_CONN_OPEN)
        more = gather_due(c, g);
    if (g->count == 0) {
        finish(c);
        return true;
    }
    written = hub->transport->write(hub->transport->ctx, c->socket, g->iov, g->count);
    if (written < 0 && written != HF_EAGAIN) {
        hf_conn_drop(c, HF_CLOSE_ABNORMAL);
        return false;
    }
    if (written < 0)
        written = 0;
    hf_count(hub->counters, HF_COUNT_WRITES, 1);
    hf_count(hub->counters, HF_COUNT_BYTES_OUT, (uint64_t)written);
    c->blocked = (size_t)written < g->bytes;
    hf_limits_wrote(c, (size_t)written);
    settle(c, g, (size_t)written);
    if (c->phase == HF_CONN_DEAD)
        return false;
    if (c->blocked)
        due_again(c, g);
    else if (more)
        hf_conn_due(c);
    if (c->out.len == 0)
        hf_buf_release(&c->out);
    finish(c);
    return true;
}

void hf_deliver_mark(struct hf_hub *hub)
{
    struct hf_list *node;

    while ((node = hf_list_pop(&hub->dirty_topics)) != NULL) {
        struct hf_topic *t = HF_CONTAINER(node, struct hf_topic, dirty);

        hf_channel_clear_told(t->channel,
                              hub->slot); /* Before the look at head, or a notice could be lost. */
        for (uint32_t i = 0; i < t->count; i++)
            if (t->subs[i]->cursor.next_offset <= atomic_load(&t->channel->head))
                hf_sub_due(t->subs[i]);
    }
}
