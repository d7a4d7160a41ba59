/*
 * bench.c - `holdfast bench`: puts load on a server and measures.
 */
#include "cli/bench_options.h"
#include "cli/bench_report.h"
#include "cli/bench_run.h"
#include "cli/commands.h"

#include <stdio.h>
#include <stdlib.h>

enum { REPORT_BYTES_MAX = 1 << 20 };

static int usage(const char *problem)
{
    fprintf(stderr, "holdfast bench: %s (try `holdfast bench --help`)\n", problem);
    return HF_EXIT_USAGE;
}

static int print(const struct hf_bench_options *o, const struct hf_bench_result *r)
{
    struct hf_buf report;
    bool printed;

    hf_buf_init(&report, REPORT_BYTES_MAX);
    if (o->json)
        hf_bench_report_json(&report, o, r);
    else
        hf_bench_report_text(&report, o, r);
    printed =
        !report.failed && fwrite(report.data, 1, report.len, stdout) == report.len && fflush(stdout) == 0;
    hf_buf_release(&report);
    return printed && hf_bench_result_good(r) ? HF_EXIT_OK : HF_EXIT_FAILED;
}

static int run(struct hf_bench_options *o)
{
    struct hf_bench_result *result = malloc(sizeof(*result));
    int status = HF_EXIT_FAILED;

    if (result == NULL)
        fprintf(stderr, "holdfast bench: out of memory\n");
    else if (hf_bench_run(o, result) < 0)
        fprintf(stderr, "holdfast bench: %s\n", result->problem);
    else
        status = print(o, result);
    free(result);
    return status;
}

int hf_cli_bench(int argc, char **argv)
{
    struct hf_bench_options options;
    char problem[HF_BENCH_TEXT_MAX];

    switch (hf_bench_options_parse(&options, argc, argv, problem)) {
    case HF_BENCH_HELP:
        fputs(hf_bench_options_help(), stdout);
        return HF_EXIT_OK;
    case HF_BENCH_WRONG:
        return usage(problem);
    case HF_BENCH_RUN:
        break;
    }
    return run(&options);
}
