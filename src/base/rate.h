/*
 * rate.h - so many a second, and a burst after a pause, in one number: the time at which the bucket will be full again (the GCRA of ITU-T
 * I.371 annex A, as in shm/gate.h, for one owner).
 */
#ifndef HF_BASE_RATE_H
#define HF_BASE_RATE_H

#include <stdbool.h>
#include <stdint.h>

/*
 * Take one token. *full_us: the bucket, 0 at first (full). rate: 1 to 1,000,000 a second; burst: at least 1. Returns whether there was one.
 */
static inline bool hf_rate_take(uint64_t *full_us, uint32_t rate, uint32_t burst, uint64_t now_ms)
{
    uint64_t now_us = now_ms * 1000, interval_us = 1000000 / rate;
    uint64_t next = (*full_us > now_us ? *full_us : now_us) + interval_us;

    if (next - now_us > burst * interval_us)
        return false;
    *full_us = next;
    return true;
}

#endif
