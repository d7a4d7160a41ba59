/*
 * bench_storm.c - `holdfast bench resume-storm`: sessions are opened, all their sockets cut, and then all come back at once with their tickets.
 * A client that is told to come back later (429, 503, `reconnect`) does so then. Over when every session is back.
 */
#include "cli/bench_load.h"

#include <stdlib.h>

struct storm {
    int64_t *again_ns; /* by connection: when to try again; 0: not to */
    uint32_t next;     /* all before have been tried once */
    uint32_t back;
    uint32_t waiting; /* with a time in again_ns */
    bool breaking;    /* sessions come back */
};

static int storm_init(struct hf_bench_load *load)
{
    struct storm *s = calloc(1, sizeof(*s));

    load->data = s;
    if (s == NULL)
        return HF_ENOMEM;
    s->again_ns = calloc(load->conns_count, sizeof(*s->again_ns));
    return s->again_ns == NULL ? HF_ENOMEM : 0;
}

static void storm_release(struct hf_bench_load *load)
{
    struct storm *s = load->data;

    if (s != NULL)
        free(s->again_ns);
    free(s);
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
    if (s->back == load->conns_count)
        atomic_store(&load->share->finished_ns, load->now_ns);
}

static void storm_refused(struct hf_bench_load *load, struct hf_bench_conn *c, int64_t again_ns)
{
    struct storm *s = load->data;

    s->again_ns[c - load->conns] = again_ns;
    s->waiting++;
}

static void cut_all(struct hf_bench_load *load)
{
    for (uint32_t i = 0; i < load->conns_count; i++)
        if (load->conns[i].state != HF_BENCH_NONE)
            hf_bench_close(load, &load->conns[i], true);
}

static void storm_phase(struct hf_bench_load *load, enum hf_bench_phase phase)
{
    struct storm *s = load->data;

    if (phase == HF_BENCH_WARMUP)
        cut_all(load);
    if (phase == HF_BENCH_MEASURE)
        s->breaking = true;
}

/* Try again those whose time has come. Returns the earliest of the others'. */
static int64_t try_again(struct hf_bench_load *load)
{
    struct storm *s = load->data;
    int64_t earliest_ns = INT64_MAX;

    if (s->waiting == 0)
        return INT64_MAX;
    for (uint32_t i = 0; i < load->conns_count; i++) {
        if (s->again_ns[i] == 0)
            continue;
        if (s->again_ns[i] <= load->now_ns && load->opening < load->opening_max) {
            s->again_ns[i] = 0;
            s->waiting--;
            hf_bench_open(load, &load->conns[i]);
        } else if (s->again_ns[i] < earliest_ns) {
            earliest_ns = s->again_ns[i];
        }
    }
    return earliest_ns;
}

static int64_t storm_turn(struct hf_bench_load *load)
{
    struct storm *s = load->data;

    if (!s->breaking)
        return INT64_MAX;
    while (s->next < load->conns_count && load->opening < load->opening_max)
        hf_bench_open(load, &load->conns[s->next++]);
    return try_again(load);
}

static bool storm_finished(struct hf_bench_load *load)
{
    const struct storm *s = load->data;

    return s->breaking && s->next == load->conns_count && s->waiting == 0 && load->opening == 0;
}

const struct hf_bench_mode hf_bench_storm = {
    .unit = "sessions",
    .init = storm_init,
    .release = storm_release,
    .opened = storm_opened,
    .refused = storm_refused,
    .phase = storm_phase,
    .turn = storm_turn,
    .finished = storm_finished,
    .ends_itself = true,
};
