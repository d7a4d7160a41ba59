/*
 * deliver.c - from the logs to the sockets: what is due to a connection is gathered from the logs at its cursors and written at once.
 * Nothing is queued: a message that does not fit into the socket stays where it is, in the log.
 */
#include "server/admission.h"
#include "server/hub_state.h"

#include "base/assert.h"

#include <stdlib.h>
#include <string.h>

enum {
    GATHER_ITEMS = 256,        /* messages, runs and gaps of one write */
    GATHER_PIECES = 512,       /* of these: a binary message has two. IOV_MAX is 1,024 */
    GATHER_BYTES = 256 * 1024, /* and bytes: more than a socket takes at once */
    GAP_TEXT_BYTES = 2048,     /* one `gap` with a long name, escaped */
    GAPS = 16,                 /* gaps in one write */
};

/* What is written, and what it means for its subscription once it has been. */
struct item {
    struct hf_sub *sub; /* NULL: control output */
    size_t len;         /* of its pieces */
    int pieces;
    uint64_t offset;          /* of the message, or a run's last; of a gap: the last one missing */
    uint64_t missing;         /* of a gap: how many; else 0 */
    hf_ref ref;               /* of the message; 0 behind a gap */
    uint64_t received_us;     /* of the message */
    const struct hf_run *run; /* several messages; NULL: one, or a gap */
};

static_assert(GATHER_PIECES >= 2 * GATHER_ITEMS, "room for whatever the items are");

struct hf_gather {
    struct iovec iov[GATHER_PIECES];
    struct item item[GATHER_ITEMS];
    int count, pieces;
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

/* Add the item's next piece. */
static void add_piece(struct hf_gather *g, struct item *item, const void *data, size_t len)
{
    g->iov[g->pieces++] = (struct iovec){(void *)(uintptr_t)data, len};
    item->pieces++;
    item->len += len;
    g->bytes += len;
}

static void gather(struct hf_gather *g, const void *data, size_t len, struct item item)
{
    add_piece(g, &item, data, len);
    g->item[g->count++] = item;
}

static void gather_message(struct hf_gather *g, const struct hf_pieces *frame, struct item item)
{
    add_piece(g, &item, frame->piece[0].data, frame->piece[0].len);
    if (frame->piece[1].len > 0)
        add_piece(g, &item, frame->piece[1].data, frame->piece[1].len);
    g->item[g->count++] = item;
}

/* "gap: offsets from…to cannot be had"; here always: evicted. */
static bool gather_gap(struct hf_gather *g, struct hf_sub *s, uint64_t from, uint64_t to)
{
    struct hf_hub *hub = s->conn->hub;
    char epoch[32];
    struct hf_msg m = {.type = HF_MSG_GAP,
                       .has = HF_HAS_CHANNEL | HF_HAS_EPOCH | HF_HAS_FROM | HF_HAS_TO | HF_HAS_CODE,
                       .channel = hf_topic_name(s->topic),
                       .cid = hf_cid_to_wire(s->topic->cid),
                       .from = from,
                       .to = to,
                       .code = hf_str_from(hf_code_name(HF_CODE_EVICTED))};
    uint8_t *text = g->gap_text[g->gap_count];
    size_t header_len;

    m.epoch = (struct hf_str){epoch, hf_region_epoch(hub->region, s->topic->cid, epoch)};
    hf_buf_reset(&hub->scratch);
    if (hf_conn_encode(s->conn, &hub->scratch, &m) < 0 ||
        hub->scratch.len + HF_WS_HEADER_MAX > GAP_TEXT_BYTES)
        return false;
    header_len = hf_ws_header(text, hf_conn_opcode(s->conn), hub->scratch.len, NULL);
    memcpy(text + header_len, hub->scratch.data, hub->scratch.len);
    g->gap_count++;
    hf_journal_gap(s->conn, to - from + 1);
    gather(g, text, header_len + hub->scratch.len,
           (struct item){.sub = s, .offset = to, .missing = to - from + 1});
    return true;
}

struct hf_record *hf_topic_record(struct hf_hub *hub, struct hf_topic *t, uint64_t offset, hf_ref before,
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

/* Other subscribers are likely to stand at the same place: what they share is brought together once. Compressed frames are shared one by one. */
static const struct hf_run *shared_run(const struct hf_sub *s, uint64_t next, hf_ref before)
{
    const struct hf_conn *c = s->conn;

    return s->topic->count < 2 || c->window_bits > 0 ? NULL
                                                     : hf_run_get(c->hub, s->topic, c->binary, next, before);
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
        const struct hf_run *run;
        struct hf_record *r;
        struct hf_pieces frame;

        if (gather_full(g))
            return false;
        run = shared_run(s, next, last);
        if (run != NULL) {
            next += run->count;
            last = run->last;
            gather(g, run->data, run->end[run->count - 1],
                   (struct item){.sub = s, .offset = next - 1, .ref = last, .run = run});
            continue;
        }
        r = hf_topic_record(hub, s->topic, next, last, &ref);
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
        frame = hf_compressed_frame(hub->compressed, s->conn->window_bits, s->conn->binary, r, ref);
        gather_message(g, &frame,
                       (struct item){.sub = s, .offset = next, .ref = ref, .received_us = r->received_us});
        last = ref;
        next++;
    }
    return true;
}

/* ---- What a write brought ---- */

static void measure_delivery(struct hf_hub *hub, uint64_t received_us, uint64_t count)
{
    uint64_t written_us = hub->write_us != 0 ? hub->write_us : hf_now_us(hub->now);

    if (received_us != 0) /* The clock may have been read before another worker's time of receipt. */
        hf_shared_histogram_record(&hub->counters->measure[HF_MEASURE_DELIVERY],
                                   written_us > received_us ? written_us - received_us : 0, count);
}

/* Messages that came in one turn have one time of receipt. */
static void measure_run(struct hf_hub *hub, const struct hf_run *run, uint32_t count)
{
    for (uint32_t from = 0, to; from < count; from = to) {
        for (to = from + 1; to < count && run->received_us[to] == run->received_us[from];)
            to++;
        measure_delivery(hub, run->received_us[from], to - from);
    }
}

/* `count` messages of the item are written, up to `offset`, and the cursor moves there. */
static void delivered(struct hf_hub *hub, const struct item *it, uint64_t offset, uint32_t count)
{
    struct hf_sub *s = it->sub;
    uint64_t first = offset - count + 1;

    hf_count(hub->counters, HF_COUNT_DELIVERIES, count);
    hf_busy_count(&hub->busy, s->topic->cid, HF_BUSY_DELIVERIES, count);
    if (s->latest && first > s->cursor.next_offset)
        hf_count(hub->counters, HF_COUNT_SKIPPED, first - s->cursor.next_offset);
    if (!s->catching_up && it->run == NULL)
        measure_delivery(hub, it->received_us, 1);
    else if (!s->catching_up)
        measure_run(hub, it->run, count);
}

static void move_cursor(struct hf_sub *s, uint64_t offset, hf_ref ref)
{
    hf_cursor_sent(&s->cursor, offset);
    s->last_ref = ref;
    if (s->catching_up)
        s->catching_up = s->cursor.next_offset <= atomic_load(&s->topic->channel->head);
}

/* All of this item is written. */
static void commit(struct hf_hub *hub, const struct item *it)
{
    if (it->sub == NULL)
        return;
    if (it->missing > 0)
        hf_count(hub->counters, HF_COUNT_GAP_EVICTED, it->missing);
    else
        delivered(hub, it, it->offset, it->run == NULL ? 1 : it->run->count);
    move_cursor(it->sub, it->offset, it->ref);
}

/* `written` bytes of a run are gone, and that is not all. Returns where the message ends that was cut (`written` where none was). */
static size_t commit_cut_run(struct hf_hub *hub, const struct item *it, size_t written)
{
    const struct hf_run *run = it->run;
    uint32_t count = 0;

    while (count < run->count && (count == 0 ? 0 : run->end[count - 1]) < written)
        count++;
    delivered(hub, it, run->from + count - 1, count);
    move_cursor(it->sub, run->from + count - 1, 0);
    return run->end[count - 1];
}

/*
 * Of an item that was cut keep what is behind `written`, up to `end`. "unread output held for a connection: none beyond the socket's own
 * buffer and the message under way"
 */
static void keep_cut(struct hf_conn *c, const struct iovec *piece, size_t written, size_t end)
{
    for (size_t at = 0; at < end; at += piece->iov_len, piece++) {
        size_t from = written > at ? written - at : 0;
        size_t to = end - at < piece->iov_len ? end - at : piece->iov_len;

        if (from < to && hf_buf_put(&c->out, (const uint8_t *)piece->iov_base + from, to - from) < 0) {
            hf_conn_drop(c, HF_CLOSE_INTERNAL);
            return;
        }
    }
}

/* Of what was gathered `written` bytes are gone. What was cut in the middle is kept, the rest stays in the logs. */
static void settle(struct hf_conn *c, const struct hf_gather *g, size_t written)
{
    size_t control = g->count > 0 && g->item[0].sub == NULL ? g->item[0].len : 0;
    const struct iovec *piece = g->iov + (control > 0);

    if (control > 0)
        hf_buf_drop(&c->out, written < control ? written : control);
    written -= written < control ? written : control;
    for (int i = control > 0; i < g->count && written > 0; i++) {
        const struct item *it = &g->item[i];
        size_t end = it->len;

        if (written < end && it->run != NULL)
            end = commit_cut_run(c->hub, it, written);
        else
            commit(c->hub, it);
        if (written < it->len) {
            keep_cut(c, piece, written, end);
            return;
        }
        written -= it->len;
        piece += it->pieces;
    }
}

/* One that has more than a write takes stays due, behind the others of its connection, which would else wait for its last message. */
static void let_others_first(struct hf_conn *c, struct hf_sub *s)
{
    struct hf_sub **end = &c->due_subs;

    if (s->due_next == NULL)
        return;
    c->due_subs = s->due_next;
    while (*end != NULL)
        end = &(*end)->due_next;
    *end = s;
    s->due_next = NULL;
}

/* Take subscriptions off the due list as far as the gather has room. Returns whether something is left. */
static bool gather_due(struct hf_conn *c, struct hf_gather *g)
{
    while (c->due_subs != NULL) {
        struct hf_sub *s = c->due_subs;

        if (!gather_sub(g, s)) {
            let_others_first(c, s);
            return true;
        }
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
        c->hub->transport->finish(c->hub->transport->ctx, hf_conn_socket(c));
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
    g->count = g->pieces = g->gap_count = 0;
    g->bytes = 0;
    hf_runs_take_back(&hub->runs);
    if (c->out.len > 0)
        gather(g, c->out.data, c->out.len, (struct item){0});
    if (c->phase == HF_CONN_OPEN)
        more = gather_due(c, g);
    if (g->count == 0) {
        finish(c);
        return true;
    }
    written = hub->transport->write(hub->transport->ctx, hf_conn_socket(c), g->iov, g->pieces);
    if (written < 0 && written != HF_EAGAIN) {
        hf_conn_drop(c, HF_CLOSE_ABNORMAL);
        return false;
    }
    if (written < 0)
        written = 0;
    hf_count(hub->counters, HF_COUNT_WRITES, 1);
    hf_count(hub->counters, HF_COUNT_BYTES_OUT, (uint64_t)written);
    hf_conn_set_blocked(c, (size_t)written < g->bytes);
    hf_limits_wrote(c, (size_t)written);
    settle(c, g, (size_t)written);
    if (c->phase == HF_CONN_DEAD)
        return false;
    if (c->blocked)
        due_again(c, g);
    else if (more)
        hf_conn_due(c);
    hf_loan_return(&hub->loan, c);
    finish(c);
    return true;
}

/* ---- From the heads to the subscribers ---- */

/* Make due the next `count` subscribers of the walk that stand behind the head. */
static void mark_some(struct hf_topic *t, uint32_t count)
{
    uint64_t head = atomic_load(&t->channel->head);

    t->left -= count;
    for (; count > 0; count--) {
        struct hf_sub *s;

        if (t->at >= t->count)
            t->at = 0;
        __builtin_prefetch(t->subs[t->at + 4 < t->count ? t->at + 4 : 0]);
        s = t->subs[t->at++];
        if (s->cursor.next_offset <= head)
            hf_sub_due(s);
    }
}

void hf_deliver_mark(struct hf_hub *hub)
{
    uint32_t room = hub->slice_subs;
    struct hf_list topics, served, *node;

    hf_list_init(&topics);
    hf_list_init(&served);
    hf_list_splice(&topics, &hub->dirty_topics);
    while ((node = hf_list_pop(&topics)) != NULL) {
        struct hf_topic *t = HF_CONTAINER(node, struct hf_topic, dirty);
        uint32_t count;

        if (t->moved) {
            t->moved = false;
            hf_channel_clear_told(t->channel,
                                  hub->slot); /* Before the look at head, or a notice could be lost. */
            t->left = t->count;
        }
        /* The subscribers of a small channel never wait for those of a mass fan-out; these share what a turn has room for. */
        count = t->left <= hub->slice_subs || t->left < room ? t->left : room;
        mark_some(t, count);
        room -= count < room ? count : room;
        if (t->left > 0)
            hf_list_add_tail(count > 0 ? &served : &hub->dirty_topics, &t->dirty);
    }
    hf_list_splice(&hub->dirty_topics,
                   &served); /* Behind those for whom there was no room: they are first in the next turn. */
}
