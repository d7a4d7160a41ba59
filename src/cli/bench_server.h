/*
 * bench_server.h - what /proc tells of the server's processes: processor time and memory.
 */
#ifndef HF_CLI_BENCH_SERVER_H
#define HF_CLI_BENCH_SERVER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct hf_bench_figures {
    unsigned processes; /* that could be read */
    uint64_t cpu_ns;    /* in user and kernel mode, of all their threads that still run */
    uint64_t pss_bytes; /* "proportional set size": what processes share is counted once, in parts */
    uint64_t rss_bytes;
};

/*
 * Add up the processes and all their descendants. memory: also that; it takes some milliseconds for each process, for the kernel walks
 * their pages. What cannot be read (it has ended, it is another user's) does not count.
 */
struct hf_bench_figures hf_bench_figures_read(const pid_t *pids, unsigned count, bool memory);

#endif
