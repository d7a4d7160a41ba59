/*
 * bench_prepare.h - what is settled before a load starts: how many processes and addresses it takes, where it goes, and what it asks for.
 */
#ifndef HF_CLI_BENCH_PREPARE_H
#define HF_CLI_BENCH_PREPARE_H

#include "cli/bench_load.h"

/*
 * Raise the limit of descriptors, and set `processes` and `sources` where they were not given. Returns 0, or HF_EINVAL with exactly what is missing in
 * problem.
 */
int hf_bench_size_up(struct hf_bench_options *o, char problem[HF_BENCH_TEXT_MAX]) HF_MUST_CHECK;

/* Look up the addresses, write the requests, read the certificates. t is all zeros. Returns 0, or HF_EINVAL with the reason in problem. */
int hf_bench_target_init(struct hf_bench_target *t, const struct hf_bench_options *o,
                         char problem[HF_BENCH_TEXT_MAX]) HF_MUST_CHECK;
void hf_bench_target_release(struct hf_bench_target *t);

#endif
