/*
 * memory_watch.h - how much memory of its own this process has: connections and their buffers, not the shared logs. For limits.worker_memory.
 * Read from the kernel once a second, through a descriptor that is kept, so that it works when descriptors have run out.
 */
#ifndef HF_SERVER_MEMORY_WATCH_H
#define HF_SERVER_MEMORY_WATCH_H

#include <stdbool.h>
#include <stdint.h>

struct hf_memory_watch {
    int fd; /* /proc/self/statm, or -1: nothing is known, and nothing is held back */
    uint64_t bytes_max, next_ms;
    bool above;
};

/* In the process that is watched, after its fork. bytes_max 0: no bound. */
void hf_memory_watch_init(struct hf_memory_watch *w, uint64_t bytes_max);
/* Another bound, which counts from the next look on. */
void hf_memory_watch_set(struct hf_memory_watch *w, uint64_t bytes_max);
void hf_memory_watch_release(struct hf_memory_watch *w);
/* To be called each turn. Returns whether the process has more than it should. */
bool hf_memory_watch_tick(struct hf_memory_watch *w, uint64_t now_ms);

#endif
