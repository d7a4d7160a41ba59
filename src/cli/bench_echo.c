/*
 * bench_echo.c - `holdfast bench echo`: messages go out, and come back as they were.
 * Closed loop: each connection has --inflight messages under way, and sends one for each that returns. Open loop (--rate): a message is due at
 * fixed times, on one connection after the other, and its latency counts from then: a server that stalls is charged for all that had
 * to wait meanwhile, not only for the one that it let wait (no coordinated omission).
 *
 * All frames are the same, so they are made once, many in a row; what is owed to a socket is a number.
 */
#include "cli/bench_load.h"

#include <stdlib.h>
#include <string.h>

enum { BLOCK_BYTES = 256 * 1024, UNDER_WAY_MAX = 65536, CATCH_UP_MAX = 4096 };

struct echo_conn {
    int64_t *sent_ns; /* ring of the times at which those under way were sent, or were due */
    uint32_t cap;     /* a power of two */
    uint32_t first, count;
    uint64_t owed; /* bytes that the socket has not taken yet */
    uint64_t sent; /* bytes that it has: the next one's place in the frame */
};

struct echo {
    struct echo_conn *conns;
    struct hf_buf block; /* whole frames */
    size_t frame_bytes, frames;
    int64_t begun_ns;
    uint64_t under_way;
    uint64_t due; /* open loop: messages sent so far */
    bool sending;
};

static int echo_init(struct hf_bench_load *load)
{
    const struct hf_bench_options *o = load->options;
    struct echo *e = calloc(1, sizeof(*e));
    struct hf_buf text;
    char *payload = malloc(o->size);

    load->data = e;
    hf_buf_init(&text, o->size + 256);
    if (e == NULL || payload == NULL)
        return HF_ENOMEM;
    e->conns = calloc(load->conns_count, sizeof(*e->conns));
    memset(payload, 'x', o->size);
    if (o->protocol != HF_BENCH_BYTES && o->protocol != HF_BENCH_TEXT) /* JSON */
        payload[0] = payload[o->size - 1] = '"';
    load->protocol->put_publish(&text, "echo", 1, (struct hf_str){payload, o->size});
    hf_buf_init(&e->block, BLOCK_BYTES + o->size + 512);
    do {
        hf_bench_put_message(load->protocol, &e->block, hf_buf_str(&text));
        e->frames++;
        e->frame_bytes = e->block.len / e->frames;
    } while (e->frames < o->inflight && e->block.len + e->frame_bytes < BLOCK_BYTES);
    free(payload);
    hf_buf_release(&text);
    return e->conns == NULL || e->block.failed ? HF_ENOMEM : 0;
}

static void echo_release(struct hf_bench_load *load)
{
    struct echo *e = load->data;

    if (e == NULL)
        return;
    for (uint32_t i = 0; e->conns != NULL && i < load->conns_count; i++)
        free(e->conns[i].sent_ns);
    free(e->conns);
    hf_buf_release(&e->block);
    free(e);
}

static struct echo_conn *echo_of(struct hf_bench_load *load, struct hf_bench_conn *c)
{
    return &((struct echo *)load->data)->conns[c - load->conns];
}

/* --- sending --- */

/* Write what is owed, from where in a frame the last write ended. */
static void pay(struct hf_bench_load *load, struct hf_bench_conn *c)
{
    struct echo *e = load->data;
    struct echo_conn *ec = echo_of(load, c);

    while (ec->owed > 0) {
        size_t from = ec->sent % e->frame_bytes, room = e->block.len - from;
        size_t len = ec->owed < room ? (size_t)ec->owed : room;
        ssize_t n = hf_bench_stream_write(&c->stream, e->block.data + from, len);

        if (n < 0) {
            if (n == HF_EAGAIN)
                hf_bench_watch_output(load, c, true);
            return;
        }
        ec->sent += (uint64_t)n;
        ec->owed -= (uint64_t)n;
    }
    hf_bench_watch_output(load, c, false);
}

static bool remember(struct echo_conn *ec, int64_t sent_ns)
{
    if (ec->count == ec->cap) {
        uint32_t cap = ec->cap == 0 ? 4 : ec->cap * 2;
        int64_t *bigger = cap > UNDER_WAY_MAX ? NULL : malloc(cap * sizeof(*bigger));

        if (bigger == NULL)
            return false;
        for (uint32_t i = 0; i < ec->count; i++)
            bigger[i] = ec->sent_ns[(ec->first + i) & (ec->cap - 1)];
        free(ec->sent_ns);
        ec->sent_ns = bigger;
        ec->cap = cap;
        ec->first = 0;
    }
    ec->sent_ns[(ec->first + ec->count++) & (ec->cap - 1)] = sent_ns;
    return true;
}

static void send_messages(struct hf_bench_load *load, struct hf_bench_conn *c, uint64_t count,
                          int64_t sent_ns)
{
    struct echo *e = load->data;
    struct echo_conn *ec = echo_of(load, c);
    bool idle = ec->owed == 0;

    for (uint64_t i = 0; i < count; i++) {
        if (!remember(ec, sent_ns)) {
            hf_bench_fail(load, c, "65,536 messages are under way on one connection");
            return;
        }
        ec->owed += e->frame_bytes;
        e->under_way++;
    }
    if (idle)
        pay(load, c);
}

/* --- receiving --- */

static void echo_message(struct hf_bench_load *load, struct hf_bench_conn *c, struct hf_str payload)
{
    struct echo_conn *ec = echo_of(load, c);
    struct echo *e = load->data;

    (void)payload;
    if (ec->count == 0) {
        HF_BENCH_ADD(load->share->duplicated, 1);
        return;
    }
    hf_histogram_record(&load->share->latency,
                        (uint64_t)(load->now_ns - ec->sent_ns[ec->first++ & (ec->cap - 1)]));
    ec->count--;
    e->under_way--;
    HF_BENCH_ADD(load->share->units, 1);
}

/* All that one read has brought is made up for in one write. */
static void echo_read_done(struct hf_bench_load *load, struct hf_bench_conn *c)
{
    struct echo *e = load->data;
    struct echo_conn *ec = echo_of(load, c);
    const struct hf_bench_options *o = load->options;

    if (e->sending && o->rate <= 0 && ec->count < o->inflight)
        send_messages(load, c, o->inflight - ec->count, load->now_ns);
}

static void echo_opened(struct hf_bench_load *load, struct hf_bench_conn *c)
{
    echo_read_done(load, c);
}

static void echo_failed(struct hf_bench_load *load, struct hf_bench_conn *c)
{
    struct echo *e = load->data;
    struct echo_conn *ec = echo_of(load, c);

    HF_BENCH_ADD(load->share->lost, ec->count);
    e->under_way -= ec->count;
    ec->count = 0;
    ec->owed = 0;
}

/* --- times --- */

static void echo_phase(struct hf_bench_load *load, enum hf_bench_phase phase)
{
    struct echo *e = load->data;

    if (phase == HF_BENCH_WARMUP) {
        e->sending = true;
        e->begun_ns = load->now_ns;
        for (uint32_t i = 0; i < load->conns_count; i++)
            if (load->conns[i].state == HF_BENCH_IS_OPEN)
                echo_read_done(load, &load->conns[i]);
    }
    if (phase == HF_BENCH_STOP)
        e->sending = false;
    if (phase == HF_BENCH_END)
        HF_BENCH_ADD(load->share->lost, e->under_way);
}

static int64_t due_ns(const struct hf_bench_load *load, uint64_t message)
{
    const struct echo *e = load->data;

    return e->begun_ns + (int64_t)((double)message * 1e9 * load->shared->processes / load->options->rate);
}

/* Open loop: send all that has become due. */
static int64_t echo_turn(struct hf_bench_load *load)
{
    struct echo *e = load->data;

    if (!e->sending || load->options->rate <= 0 || load->open == 0)
        return INT64_MAX;
    for (unsigned i = 0; i < CATCH_UP_MAX && due_ns(load, e->due) <= load->now_ns; i++) {
        struct hf_bench_conn *c = &load->conns[e->due % load->conns_count];

        if (c->state == HF_BENCH_IS_OPEN)
            send_messages(load, c, 1, due_ns(load, e->due));
        e->due++;
    }
    return due_ns(load, e->due);
}

static bool echo_finished(struct hf_bench_load *load)
{
    return ((struct echo *)load->data)->under_way == 0;
}

const struct hf_bench_mode hf_bench_echo = {
    .unit = "messages",
    .init = echo_init,
    .release = echo_release,
    .opened = echo_opened,
    .message = echo_message,
    .read_done = echo_read_done,
    .failed = echo_failed,
    .writable = pay,
    .phase = echo_phase,
    .turn = echo_turn,
    .finished = echo_finished,
};
