/*
 * shared_histogram.h - how often which values came, in shared memory: a log-linear histogram with two buckets for each doubling.
 * Small enough (528 bytes) to lie in every worker's slot and to be told bucket by bucket, and recording costs a few instructions; base/histogram.h is the exact one,
 * thirty times as large.
 *
 * A bucket counts what is above the bound before it and not above its own: 1, 2, 3, 4, 6, 8, 12, 16 … 3·2^30, 2^32 of whatever unit; the last one what is above all.
 * So a quantile is off by half of its value at most, and by much less where values spread. All zeros is empty.
 *
 * One writer, any number of readers, plain relaxed loads and stores: a reader sees whole numbers, of which some may be younger than others.
 */
#ifndef HF_SHM_SHARED_HISTOGRAM_H
#define HF_SHM_SHARED_HISTOGRAM_H

#include <stdatomic.h>
#include <stdint.h>

enum {
    HF_SHARED_HISTOGRAM_BOUNDS = 64,
    HF_SHARED_HISTOGRAM_BUCKETS = HF_SHARED_HISTOGRAM_BOUNDS + 1, /* the last: above every bound */
};

struct hf_shared_histogram {
    _Atomic uint64_t bucket[HF_SHARED_HISTOGRAM_BUCKETS];
    _Atomic uint64_t sum; /* of the values themselves */
};

/* What a reader has added up. */
struct hf_histogram_sum {
    uint64_t bucket[HF_SHARED_HISTOGRAM_BUCKETS];
    uint64_t count; /* of all buckets */
    uint64_t sum;
};

/* Which bucket counts this value. */
static inline unsigned hf_shared_histogram_bucket(uint64_t value)
{
    uint64_t below = value - (value > 0); /* So that a bound belongs to the bucket that it ends. */
    unsigned doubling;

    if (below < 2)
        return (unsigned)below;
    if (below >> 32 != 0)
        return HF_SHARED_HISTOGRAM_BOUNDS;
    doubling = 63 - (unsigned)__builtin_clzll(below);
    return 2 * doubling + (unsigned)(below >> (doubling - 1) & 1);
}

/* The largest value that a bucket counts; bucket < HF_SHARED_HISTOGRAM_BOUNDS. */
static inline uint64_t hf_shared_histogram_bound(unsigned bucket)
{
    return bucket < 2 ? bucket + 1 : (uint64_t)(3 + (bucket & 1)) << (bucket / 2 - 1);
}

static inline void hf_shared_add(_Atomic uint64_t *what, uint64_t n)
{
    atomic_store_explicit(what, atomic_load_explicit(what, memory_order_relaxed) + n, memory_order_relaxed);
}

/* Count the same value `times` times. The one writer alone. */
static inline void hf_shared_histogram_record(struct hf_shared_histogram *h, uint64_t value, uint64_t times)
{
    hf_shared_add(&h->bucket[hf_shared_histogram_bucket(value)], times);
    hf_shared_add(&h->sum, value * times);
}

/* Add what has been counted so far. */
void hf_histogram_sum_add(struct hf_histogram_sum *sum, const struct hf_shared_histogram *h);

/*
 * The value that this part of all is not above: 0.5 the median. Within its bucket values are taken as spread evenly; of those above every bound the last bound is told.
 * 0 where nothing was counted. share is taken as within [0, 1].
 */
double hf_histogram_sum_quantile(const struct hf_histogram_sum *sum, double share);

#endif
