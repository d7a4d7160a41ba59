/*
 * rng.h - a small seeded generator for jitter, phases and the simulation. Never for secrets.
 * SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014).
 */
#ifndef HF_BASE_RNG_H
#define HF_BASE_RNG_H

#include <stdint.h>

struct hf_rng {
    uint64_t state; /* any value is a good seed */
};

static inline uint64_t hf_rng_next(struct hf_rng *r)
{
    uint64_t z = (r->state += 0x9e3779b97f4a7c15u);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* A number in [0, below); 0 where below is 0. The bias is below 2^-32 for the ranges used here. */
static inline uint64_t hf_rng_below(struct hf_rng *r, uint64_t below)
{
    return (uint64_t)((__extension__(unsigned __int128) hf_rng_next(r) * below) >> 64);
}

#endif
