/*
 * bench_flow.c - `holdfast bench fanout` and `rate`: messages from publishers to subscribers, each of which must get every message of
 * its channel once and in order.
 *
 * A message carries its channel's number for it, 1, 2, 3 …, and the time at which it was published; under a --rate the time at which it
 * was due, so that whatever delays the publisher counts as latency. A channel has one publisher, so the numbers ascend.
 *
 * fanout: at most --window messages are under way, that is, not yet with every subscriber. Each process keeps, for each message under way, how many
 * of its subscribers have not got it, tells the others up to where all have, and rings the first process, which publishes.
 */
#include "cli/bench_load.h"

#include <stdlib.h>
#include <string.h>

enum { CATCH_UP_MAX = 4096 };

struct flow {
    uint64_t *next;                        /* by connection: the number that a subscriber waits for */
    uint32_t waiting[HF_BENCH_WINDOW_MAX]; /* fanout: subscribers here without message n, at n % window */
    uint32_t subscribers;                  /* here */
    uint64_t complete;                     /* fanout: all here have up to this one */
    uint64_t *seq;                         /* by publisher: publishes of its session */
    uint64_t published;                    /* messages of all publishers */
    int64_t begun_ns;
    bool publishing;
    char *payload;
    struct hf_buf frames; /* what a turn publishes to one publisher's socket */
};

/* Spread over all: every so many of a hundred. */
static bool is_stuck(const struct hf_bench_load *load, const struct hf_bench_conn *c)
{
    uint64_t i = c->index - load->options->publishers;

    return !c->publishes &&
           (i + 1) * load->options->stuck_percent / 100 != i * load->options->stuck_percent / 100;
}

static int flow_init(struct hf_bench_load *load)
{
    struct flow *f = calloc(1, sizeof(*f));

    load->data = f;
    if (f == NULL)
        return HF_ENOMEM;
    f->next = calloc(load->conns_count, sizeof(*f->next));
    f->seq = calloc(load->options->publishers, sizeof(*f->seq));
    f->payload = malloc(load->options->size);
    hf_buf_init(&f->frames, 64u << 20);
    for (uint32_t i = load->publishers_count; i < load->conns_count; i++)
        f->subscribers += !is_stuck(load, &load->conns[i]);
    for (unsigned i = 0; i < HF_BENCH_WINDOW_MAX; i++)
        f->waiting[i] = f->subscribers;
    for (uint32_t i = 0; f->next != NULL && i < load->conns_count; i++)
        f->next[i] = 1;
    return f->next == NULL || f->seq == NULL || f->payload == NULL ? HF_ENOMEM : 0;
}

static void flow_release(struct hf_bench_load *load)
{
    struct flow *f = load->data;

    if (f == NULL)
        return;
    free(f->next);
    free(f->seq);
    free(f->payload);
    hf_buf_release(&f->frames);
    free(f);
}

static void flow_opened(struct hf_bench_load *load, struct hf_bench_conn *c)
{
    (void)load;
    (void)c;
}

/* --- subscribers --- */

/* fanout: one more subscriber has message n. */
static void has_message(struct hf_bench_load *load, uint64_t number)
{
    struct flow *f = load->data;
    uint32_t *waiting = &f->waiting[number % load->options->window];

    if (--*waiting > 0)
        return;
    *waiting = f->subscribers; /* for the message that will have its place */
    f->complete = number;
    atomic_store_explicit(&load->share->complete, number, memory_order_release);
    if (load->process != 0 && !load->bell_rung) {
        load->bell_rung = true;
        hf_bench_ring(load->shared->bells[0]);
    }
}

static void flow_message(struct hf_bench_load *load, struct hf_bench_conn *c, struct hf_str payload)
{
    struct flow *f = load->data;
    uint64_t *next = &f->next[c - load->conns];
    uint64_t time_ns, number;

    if (c->publishes)
        return;
    hf_bench_payload_read(payload, &time_ns, &number);
    if (number < *next) {
        HF_BENCH_ADD(load->share->duplicated, 1);
        hf_bench_complain(load, "message %llu came to a subscriber that had up to %llu",
                          (unsigned long long)number, (unsigned long long)*next - 1);
        return;
    }
    if (number > *next) {
        HF_BENCH_ADD(load->share->lost, number - *next);
        hf_bench_complain(load, "message %llu came to a subscriber that waited for %llu",
                          (unsigned long long)number, (unsigned long long)*next);
    }
    /* What was passed over will not come: the flow goes on without it. */
    for (; *next <= number; ++*next)
        if (load->options->mode == HF_BENCH_FANOUT)
            has_message(load, *next);
    hf_histogram_record(&load->share->latency, (uint64_t)load->now_ns - time_ns);
    HF_BENCH_ADD(load->share->units, 1);
}

/* One that does not read may be cut by the server. */
static bool flow_ended(struct hf_bench_load *load, struct hf_bench_conn *c, const char *why)
{
    (void)why;
    return load->options->stuck_percent > 0 && is_stuck(load, c);
}

/* What it has not got is lost, but no longer waited for. */
static void flow_failed(struct hf_bench_load *load, struct hf_bench_conn *c)
{
    struct flow *f = load->data;
    uint64_t first = f->complete + 1, end = first + load->options->window;

    if (c->publishes || is_stuck(load, c) || load->options->mode != HF_BENCH_FANOUT)
        return;
    f->subscribers--;
    for (uint64_t n = f->next[c - load->conns] > first ? f->next[c - load->conns] : first; n < end; n++)
        has_message(load, n);
}

/* --- publishers --- */

static uint64_t channel_of(const struct hf_bench_load *load, uint64_t message)
{
    return message % load->options->channels;
}

/* Append one message of a channel for its publisher. */
static void put(struct hf_bench_load *load, uint64_t channel, int64_t time_ns)
{
    struct flow *f = load->data;
    size_t size = load->options->size;
    uint64_t number = atomic_load_explicit(&load->shared->channel_sent[channel], memory_order_relaxed) + 1;
    char name[96];

    hf_bench_channel_name(load, channel, name);
    hf_bench_payload_write(f->payload, size, (uint64_t)time_ns, number);
    hf_buf_reset(&load->text);
    load->protocol->put_publish(&load->text, name, ++f->seq[channel % load->publishers_count],
                                (struct hf_str){f->payload, size});
    hf_bench_put_message(load->protocol, &f->frames, hf_buf_str(&load->text));
    atomic_store_explicit(&load->shared->channel_sent[channel], number, memory_order_release);
    f->published++;
    HF_BENCH_ADD(load->share->published, 1);
}

static void publish(struct hf_bench_load *load, uint64_t channel)
{
    struct flow *f = load->data;
    struct hf_bench_conn *c = &load->conns[channel % load->publishers_count];

    if (c->state == HF_BENCH_IS_OPEN)
        hf_bench_send(load, c, f->frames.data, f->frames.len);
    hf_buf_reset(&f->frames);
}

static uint64_t complete_everywhere(const struct hf_bench_load *load)
{
    uint64_t complete = UINT64_MAX;

    for (unsigned i = 0; i < load->shared->processes; i++) {
        uint64_t here = atomic_load_explicit(&load->shared->shares[i].complete, memory_order_acquire);

        complete = here < complete ? here : complete;
    }
    return complete;
}

static int64_t fanout_turn(struct hf_bench_load *load)
{
    struct flow *f = load->data;
    uint64_t complete;

    load->bell_rung = false;
    if (!f->publishing || load->publishers_count == 0)
        return INT64_MAX;
    complete = complete_everywhere(load);
    if (f->published - complete >= load->options->window)
        return INT64_MAX;
    while (f->published - complete < load->options->window)
        put(load, 0, load->now_ns);
    publish(load, 0);
    return INT64_MAX;
}

static int64_t due_ns(const struct hf_bench_load *load, uint64_t message)
{
    const struct flow *f = load->data;

    return f->begun_ns + (int64_t)((double)message * 1e9 / load->options->rate);
}

static int64_t rate_turn(struct hf_bench_load *load)
{
    struct flow *f = load->data;

    if (!f->publishing || load->publishers_count == 0)
        return INT64_MAX;
    for (unsigned i = 0; i < CATCH_UP_MAX && due_ns(load, f->published) <= load->now_ns; i++) {
        uint64_t channel = channel_of(load, f->published);

        put(load, channel, due_ns(load, f->published));
        publish(load, channel);
    }
    return due_ns(load, f->published);
}

/* --- times --- */

/* What a subscriber has not got of all that was published to its channel. */
static uint64_t missing(const struct hf_bench_load *load, uint32_t i)
{
    const struct flow *f = load->data;
    uint64_t channel;

    if (is_stuck(load, &load->conns[i]))
        return 0;
    channel = (load->conns[i].index - load->options->publishers) % load->options->channels;

    return atomic_load_explicit(&load->shared->channel_sent[channel], memory_order_acquire) + 1 - f->next[i];
}

/* The first process stops to publish before it is done; until then more may come. */
static bool flow_finished(struct hf_bench_load *load)
{
    if (load->process != 0 && !atomic_load(&load->shared->shares[0].done))
        return false;
    for (uint32_t i = load->publishers_count; i < load->conns_count; i++)
        if (load->conns[i].state == HF_BENCH_IS_OPEN && missing(load, i) > 0)
            return false;
    return true;
}

/* From now on these read nothing. */
static void stick(struct hf_bench_load *load)
{
    for (uint32_t i = load->publishers_count; i < load->conns_count; i++)
        if (is_stuck(load, &load->conns[i]))
            hf_bench_stop_reading(load, &load->conns[i]);
}

static void flow_phase(struct hf_bench_load *load, enum hf_bench_phase phase)
{
    struct flow *f = load->data;

    if (phase == HF_BENCH_WARMUP) {
        stick(load);
        f->publishing = true;
        f->begun_ns = load->now_ns;
    }
    if (phase == HF_BENCH_STOP)
        f->publishing = false;
    if (phase == HF_BENCH_END)
        for (uint32_t i = load->publishers_count; i < load->conns_count; i++)
            HF_BENCH_ADD(load->share->lost, missing(load, i));
}

const struct hf_bench_mode hf_bench_fanout = {
    .unit = "deliveries",
    .init = flow_init,
    .release = flow_release,
    .opened = flow_opened,
    .message = flow_message,
    .ended = flow_ended,
    .failed = flow_failed,
    .phase = flow_phase,
    .turn = fanout_turn,
    .finished = flow_finished,
};

const struct hf_bench_mode hf_bench_rate = {
    .unit = "deliveries",
    .init = flow_init,
    .release = flow_release,
    .opened = flow_opened,
    .message = flow_message,
    .ended = flow_ended,
    .failed = flow_failed,
    .phase = flow_phase,
    .turn = rate_turn,
    .finished = flow_finished,
};
