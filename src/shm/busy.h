/*
 * busy.h - what each worker tells the others of its last full second: its busiest channels, and the connections that are furthest behind.
 * Written by the worker in the slot once a second, read by any: a sequence lock, of which the reader's side never waits. Fixed size; who finds no room is not told of.
 *   version   odd while the rest is being written; a worker that dies then leaves it odd, and is not read until its successor has written
 */
#ifndef HF_SHM_BUSY_H
#define HF_SHM_BUSY_H

#include "base/err.h"

#include <stdatomic.h>
#include <stdint.h>

enum { HF_BUSY_CHANNELS = 32, HF_BUSY_SLOW = 16 };

struct hf_busy_channel {
    uint64_t cid;
    uint64_t publishes, deliveries; /* in that second; see base/busiest.h */
};

struct hf_busy_slow {
    uint64_t session;
    uint64_t cid;    /* the channel in which it is furthest behind; 0: none */
    uint64_t behind; /* messages of all its channels that it has not been sent */
    uint64_t
        lag_ms; /* the age of the oldest message of `cid` that it has not been sent and that is still there */
    uint64_t blocked_ms; /* since its socket has taken a byte, while it takes none; 0: it takes some */
};

/* One second of a worker. */
struct hf_busy_second {
    uint64_t ended_ms;  /* monotonic; 0: there was none yet */
    uint64_t length_ms; /* about a second; longer where the worker was held up */
    uint64_t
        ring_peak_bytes; /* the most that waited in one of its rings to another worker at the end of a turn */
    uint64_t channel_count, slow_count;
    struct hf_busy_channel channel[HF_BUSY_CHANNELS]; /* the busiest first */
    struct hf_busy_slow slow[HF_BUSY_SLOW];           /* the slowest first */
};

enum { HF_BUSY_WORDS = sizeof(struct hf_busy_second) / sizeof(uint64_t) };

struct hf_busy_shm {
    _Atomic uint64_t version;
    _Atomic uint64_t word[HF_BUSY_WORDS]; /* a struct hf_busy_second */
};

/* The worker in the slot. */
void hf_busy_write(struct hf_busy_shm *shm, const struct hf_busy_second *second);
/* Returns 0, or HF_EAGAIN where it is being written, or was when its worker died: it is as if the worker had told nothing. The counts are within their bounds. */
int hf_busy_read(struct hf_busy_shm *shm, struct hf_busy_second *second) HF_MUST_CHECK;

#endif
