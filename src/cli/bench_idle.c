/*
 * bench_idle.c - `holdfast bench idle`: connections that do nothing but answer heartbeats. All must stay; with --resume, one that breaks comes
 * back to its session.
 *
 * A message that somebody publishes to the channel meanwhile is checked as in a flow, where its payload is one of bench_protocol.h: numbers 1, 2, 3 …
 * After a resume the server begins behind what was acknowledged, and nothing is acknowledged here; "a client drops what it already has"
 * (PROTOCOL.md "Resume"), so only what comes twice on one connection is a fault.
 */
#include "cli/bench_load.h"

#include <stdlib.h>

struct idle_conn {
    uint32_t has;  /* messages up to this one */
    uint32_t seen; /* on this connection */
};

struct idle {
    struct idle_conn *conns;
};

enum { BACK_MS = 1000 }; /* after a break, a connection is opened again within so long */

static int idle_init(struct hf_bench_load *load)
{
    struct idle *idle = calloc(1, sizeof(*idle));

    load->data = idle;
    if (idle == NULL)
        return HF_ENOMEM;
    idle->conns = calloc(load->conns_count, sizeof(*idle->conns));
    return idle->conns == NULL ? HF_ENOMEM : 0;
}

static void idle_release(struct hf_bench_load *load)
{
    struct idle *idle = load->data;

    if (idle == NULL)
        return;
    free(idle->conns);
    free(idle);
}

static void idle_opened(struct hf_bench_load *load, struct hf_bench_conn *c)
{
    ((struct idle *)load->data)->conns[c - load->conns].seen = 0;
}

static void idle_heartbeat(struct hf_bench_load *load, struct hf_bench_conn *c)
{
    (void)c;
    HF_BENCH_ADD(load->share->units, 1);
}

static void idle_message(struct hf_bench_load *load, struct hf_bench_conn *c, struct hf_str payload)
{
    struct idle_conn *ic = &((struct idle *)load->data)->conns[c - load->conns];
    uint64_t time_ns, number;

    hf_bench_payload_read(payload, &time_ns, &number);
    if (number <= ic->seen) {
        HF_BENCH_ADD(load->share->duplicated, 1);
        return;
    }
    ic->seen = (uint32_t)number;
    if (number <= ic->has)
        return;
    HF_BENCH_ADD(load->share->lost, number - ic->has - 1);
    HF_BENCH_ADD(load->share->messages, 1);
    hf_histogram_record(&load->share->latency, (uint64_t)load->now_ns - time_ns);
    ic->has = (uint32_t)number;
}

static bool idle_ended(struct hf_bench_load *load, struct hf_bench_conn *c, const char *why)
{
    (void)why;
    /* Before it has a ticket there is nothing to come back to. */
    if (!load->options->resume || c->ticket == NULL || load->phase > HF_BENCH_MEASURE)
        return false;
    HF_BENCH_ADD(load->share->broken, 1);
    hf_bench_again_at(load, c, load->now_ns + (int64_t)hf_rng_below(&load->rng, BACK_MS) * 1000000);
    return true;
}

const struct hf_bench_mode hf_bench_idle = {
    .unit = "heartbeats",
    .init = idle_init,
    .release = idle_release,
    .opened = idle_opened,
    .heartbeat = idle_heartbeat,
    .message = idle_message,
    .ended = idle_ended,
};
