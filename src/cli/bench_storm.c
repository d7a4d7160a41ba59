/*
 * bench_storm.c - `holdfast bench resume-storm`: sessions are opened, all their sockets cut, and then all come back at once with their tickets.
 * Over when every session is back.
 */
#include "cli/bench_load.h"

#include <stdlib.h>

struct storm {
    uint32_t next; /* all before have been tried once */
    uint32_t back;
    bool breaking; /* sessions come back */
};

static int storm_init(struct hf_bench_load *load)
{
    load->data = calloc(1, sizeof(struct storm));
    return load->data == NULL ? HF_ENOMEM : 0;
}

static void storm_release(struct hf_bench_load *load)
{
    free(load->data);
}

static void storm_opened(struct hf_bench_load *load, struct hf_bench_conn *c)
{
    struct storm *s = load->data;
    int64_t took_ns = load->now_ns - atomic_load(&load->shared->measured_ns);
    uint64_t second = took_ns < 0 ? 0 : (uint64_t)took_ns / 1000000000;

    (void)c;
    if (!s->breaking)
        return;
    s->back++;
    HF_BENCH_ADD(load->share->units, 1);
    hf_histogram_record(&load->share->latency, (uint64_t)took_ns);
    load->share->curve[second < HF_BENCH_CURVE_SECONDS ? second : HF_BENCH_CURVE_SECONDS - 1]++;
}

static void cut_all(struct hf_bench_load *load)
{
    for (uint32_t i = 0; i < load->conns_count; i++)
        if (load->conns[i].state != HF_BENCH_NONE)
            hf_bench_close(load, &load->conns[i], true);
    atomic_store(&load->share->cut, true);
    hf_bench_ring(load->shared->parent_bell);
}

static void storm_phase(struct hf_bench_load *load, enum hf_bench_phase phase)
{
    struct storm *s = load->data;

    if (phase == HF_BENCH_WARMUP)
        cut_all(load);
    if (phase == HF_BENCH_MEASURE)
        s->breaking = true;
}

static int64_t storm_turn(struct hf_bench_load *load)
{
    struct storm *s = load->data;

    if (!s->breaking)
        return INT64_MAX;
    while (s->next < load->conns_count && load->opening < load->opening_max)
        hf_bench_open(load, &load->conns[s->next++]);
    return INT64_MAX;
}

static bool storm_finished(struct hf_bench_load *load)
{
    const struct storm *s = load->data;

    return s->breaking && s->next == load->conns_count && load->again.waiting == 0 && load->opening == 0;
}

const struct hf_bench_mode hf_bench_storm = {
    .unit = "sessions",
    .init = storm_init,
    .release = storm_release,
    .opened = storm_opened,
    .phase = storm_phase,
    .turn = storm_turn,
    .finished = storm_finished,
    .ends_itself = true,
};
