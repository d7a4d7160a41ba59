/*
 * clock.h - the time, as the pure cores of the client get it: all deadlines are of CLOCK_BOOTTIME, which goes on while the machine sleeps.
 */
#ifndef HF_CLIENT_CLOCK_H
#define HF_CLIENT_CLOCK_H

#include <stdint.h>

uint64_t hf_clock_ms(void);
/* The same clock, for round trips. */
uint64_t hf_clock_us(void);
/* Unix time, of the clock on the wall, which may jump. */
uint64_t hf_clock_unix_ms(void);
/* How long the machine has slept since it was started: boot time less awake time. */
int64_t hf_clock_asleep_ms(void);

#endif
