/*
 * now.h - the time, as it is passed into the pure cores. Read once per turn of a loop.
 */
#ifndef HF_BASE_NOW_H
#define HF_BASE_NOW_H

#include <stdint.h>

struct hf_now {
    uint64_t
        mono_ms; /* never goes back; the same clock for all processes of a machine: for deadlines and intervals */
    uint64_t wall_ms; /* since 1970; may jump: for what people and other machines see */
    uint32_t sub_us;  /* microseconds behind mono_ms, below 1,000: for what is measured */
};

/* The monotonic time in microseconds. */
static inline uint64_t hf_now_us(struct hf_now now)
{
    return now.mono_ms * 1000 + now.sub_us;
}

#endif
