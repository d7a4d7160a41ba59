/*
 * bench_run.h - the steering process of a load: starts the client processes, leads them through the phases of bench_shared.h, reads the server's
 * figures at their borders, and adds up what they have counted.
 */
#ifndef HF_CLI_BENCH_RUN_H
#define HF_CLI_BENCH_RUN_H

#include "cli/bench_load.h"
#include "cli/bench_server.h"

#include <stdbool.h>
#include <stdint.h>

struct hf_bench_result {
    const struct hf_bench_mode *mode;
    unsigned processes;
    uint64_t opened, units, published, failed, lost, duplicated, refused, not_resumed, broken, messages,
        tls_resumed;
    uint64_t measured_units, measured_published; /* of these, in the time that was measured */
    uint64_t measured_opened, measured_bytes;
    double open_s, measured_s; /* how long it took, how long it was measured */
    struct hf_histogram latency, opening;
    uint64_t curve[HF_BENCH_CURVE_SECONDS];
    unsigned curve_seconds;
    struct hf_bench_figures before, opened_figures, begun, ended; /* the server's */
    uint64_t client_cpu_ns;                                       /* in the time that was measured */
    bool timed_out, interrupted;
    char problem
        [HF_BENCH_TEXT_MAX]; /* the first that a process tells of, or our own; "" where there was none */
};

/* Whether all came that should, and nothing failed. */
bool hf_bench_result_good(const struct hf_bench_result *r);

/*
 * Fills in o's `processes` and `sources`. Returns 0 with *r filled, whatever it tells; HF_EINVAL where it cannot even start, with the
 * reason in r->problem: the address is unknown, the certificates unreadable, limits too low, memory short.
 */
int hf_bench_run(struct hf_bench_options *o, struct hf_bench_result *r);

#endif
