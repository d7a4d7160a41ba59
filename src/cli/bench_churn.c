/*
 * bench_churn.c - `holdfast bench churn`: connections are opened, subscribed and closed, again and again. Each place for a connection opens the next
 * as soon as the last is closed; under a --rate when its time has come.
 */
#include "cli/bench_load.h"

#include <stdlib.h>

struct churn {
    int64_t begun_ns;
    uint64_t due; /* opened so far, under a rate */
    bool opening;
};

static int churn_init(struct hf_bench_load *load)
{
    load->data = calloc(1, sizeof(struct churn));
    atomic_store(&load->share->ready, true);
    hf_bench_ring(load->shared->parent_bell);
    return load->data == NULL ? HF_ENOMEM : 0;
}

static void churn_release(struct hf_bench_load *load)
{
    free(load->data);
}

static void open_again(struct hf_bench_load *load, struct hf_bench_conn *c)
{
    const struct churn *churn = load->data;

    if (churn->opening && load->options->rate <= 0)
        hf_bench_open(load, c);
}

static void churn_opened(struct hf_bench_load *load, struct hf_bench_conn *c)
{
    HF_BENCH_ADD(load->share->units, 1);
    hf_bench_leave(load, c);
}

/* The server has closed, after our close frame. */
static bool churn_ended(struct hf_bench_load *load, struct hf_bench_conn *c, const char *why)
{
    (void)why;
    if (!c->left)
        return false;
    open_again(load, c);
    return true;
}

static void churn_phase(struct hf_bench_load *load, enum hf_bench_phase phase)
{
    struct churn *churn = load->data;

    if (phase == HF_BENCH_STOP)
        churn->opening = false;
    if (phase != HF_BENCH_WARMUP)
        return;
    churn->opening = true;
    churn->begun_ns = load->now_ns;
    for (uint32_t i = 0; i < load->conns_count; i++)
        open_again(load, &load->conns[i]);
}

static int64_t due_ns(const struct hf_bench_load *load, uint64_t connection)
{
    const struct churn *churn = load->data;

    return churn->begun_ns +
           (int64_t)((double)connection * 1e9 * load->shared->processes / load->options->rate);
}

/* Under a rate: open what has become due, in the order of the places; one that is taken still makes the rate fall behind. */
static int64_t churn_turn(struct hf_bench_load *load)
{
    struct churn *churn = load->data;

    if (!churn->opening || load->options->rate <= 0)
        return INT64_MAX;
    while (due_ns(load, churn->due) <= load->now_ns) {
        struct hf_bench_conn *c = &load->conns[churn->due % load->conns_count];

        if (c->state != HF_BENCH_NONE || hf_bench_again_waits(load, c))
            return load->now_ns + 1000000;
        hf_bench_open(load, c);
        c->begun_ns = due_ns(load, churn->due++);
    }
    return due_ns(load, churn->due);
}

static bool churn_finished(struct hf_bench_load *load)
{
    for (uint32_t i = 0; i < load->conns_count; i++)
        if (load->conns[i].state != HF_BENCH_NONE)
            return false;
    return true;
}

const struct hf_bench_mode hf_bench_churn = {
    .unit = "handshakes",
    .init = churn_init,
    .release = churn_release,
    .opened = churn_opened,
    .ended = churn_ended,
    .phase = churn_phase,
    .turn = churn_turn,
    .finished = churn_finished,
    .opens = true,
    .counts_openings = true,
};
