/*
 * bench_again.h - the connections that will be opened again at a time of their own: after a refusal, after a break.
 */
#ifndef HF_CLI_BENCH_AGAIN_H
#define HF_CLI_BENCH_AGAIN_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

struct hf_bench_conn;
struct hf_bench_load;

struct hf_bench_again {
    int64_t *at_ns; /* by connection; 0: not to */
    uint32_t waiting;
};

int hf_bench_again_init(struct hf_bench_again *again, uint32_t conns_count) HF_MUST_CHECK;
void hf_bench_again_release(struct hf_bench_again *again);
/* c, which is NONE, is to be opened at that time. */
void hf_bench_again_at(struct hf_bench_load *load, const struct hf_bench_conn *c, int64_t at_ns);
bool hf_bench_again_waits(const struct hf_bench_load *load, const struct hf_bench_conn *c);
/* Open those whose time has come, as many as may be under way. Returns the earliest time of the others. */
int64_t hf_bench_again_turn(struct hf_bench_load *load);

#endif
