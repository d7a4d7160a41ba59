/*
 * crash.h - named places between two stores to shared memory.
 * In the product HF_CRASH_POINT() is nothing. The simulation compiles these files with HF_SIMULATION and kills a worker
 * there, so that the promise "either outcome is valid" is tried out and not only argued.
 */
#ifndef HF_SHM_CRASH_H
#define HF_SHM_CRASH_H

#ifdef HF_SIMULATION
void hf_crash_point(const char *place);
#define HF_CRASH_POINT(place) hf_crash_point(place)
#else
#define HF_CRASH_POINT(place) ((void)0)
#endif

#endif
