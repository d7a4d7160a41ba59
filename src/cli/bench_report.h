/*
 * bench_report.h - the result of a load, for people or as one JSON object.
 */
#ifndef HF_CLI_BENCH_REPORT_H
#define HF_CLI_BENCH_REPORT_H

#include "base/buf.h"
#include "cli/bench_run.h"

void hf_bench_report_text(struct hf_buf *out, const struct hf_bench_options *o,
                          const struct hf_bench_result *r);
void hf_bench_report_json(struct hf_buf *out, const struct hf_bench_options *o,
                          const struct hf_bench_result *r);

#endif
