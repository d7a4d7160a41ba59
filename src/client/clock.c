#include "client/clock.h"

#include <time.h>

static uint64_t read_ms(clockid_t clock)
{
    struct timespec t;

    (void)clock_gettime(clock, &t); /* It fails for unknown clocks only. */
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

uint64_t hf_clock_ms(void)
{
    return read_ms(CLOCK_BOOTTIME);
}

uint64_t hf_clock_us(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_BOOTTIME, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

uint64_t hf_clock_unix_ms(void)
{
    return read_ms(CLOCK_REALTIME);
}

int64_t hf_clock_asleep_ms(void)
{
    return (int64_t)(read_ms(CLOCK_BOOTTIME) - read_ms(CLOCK_MONOTONIC));
}
