/*
 * bench_idle.c - `holdfast bench idle`: connections that do nothing but answer heartbeats. All must stay.
 */
#include "cli/bench_load.h"

static void idle_opened(struct hf_bench_load *load, struct hf_bench_conn *c)
{
    (void)load;
    (void)c;
}

static void idle_heartbeat(struct hf_bench_load *load, struct hf_bench_conn *c)
{
    (void)c;
    HF_BENCH_ADD(load->share->units, 1);
}

const struct hf_bench_mode hf_bench_idle = {
    .unit = "heartbeats",
    .opened = idle_opened,
    .heartbeat = idle_heartbeat,
};
