#include "base/histogram.h"

#include <string.h>

enum { HALF = 1 << HF_HISTOGRAM_HALF_BITS };

static const uint64_t value_max = (UINT64_C(1) << HF_HISTOGRAM_VALUE_BITS) - 1;

/*
 * Values below 2 * HALF are their own bucket. Above, a value is shifted until it lies in [HALF, 2 * HALF): each shift is a group of HALF
 * buckets. So the groups follow each other without a gap, and the bucket is a sum.
 */
static unsigned bucket_of(uint64_t value)
{
    unsigned shift;

    if (value > value_max)
        value = value_max;
    if (value < 2 * HALF)
        return (unsigned)value;
    shift = 63 - (unsigned)__builtin_clzll(value) - HF_HISTOGRAM_HALF_BITS;
    return (shift << HF_HISTOGRAM_HALF_BITS) + (unsigned)(value >> shift);
}

/* The largest value that a bucket counts. */
static uint64_t bucket_end(unsigned bucket)
{
    unsigned shift;

    if (bucket < 2 * HALF)
        return bucket;
    shift = (bucket >> HF_HISTOGRAM_HALF_BITS) - 1;
    return ((uint64_t)(bucket - (shift << HF_HISTOGRAM_HALF_BITS) + 1) << shift) - 1;
}

void hf_histogram_reset(struct hf_histogram *h)
{
    memset(h, 0, sizeof(*h));
}

void hf_histogram_record(struct hf_histogram *h, uint64_t value)
{
    if (h->count == 0 || value < h->min)
        h->min = value;
    if (value > h->max)
        h->max = value;
    h->count++;
    h->sum += value;
    h->buckets[bucket_of(value)]++;
}

void hf_histogram_add(struct hf_histogram *h, const struct hf_histogram *from)
{
    if (from->count == 0)
        return;
    if (h->count == 0 || from->min < h->min)
        h->min = from->min;
    if (from->max > h->max)
        h->max = from->max;
    h->count += from->count;
    h->sum += from->sum;
    for (unsigned i = 0; i < HF_HISTOGRAM_BUCKETS; i++)
        h->buckets[i] += from->buckets[i];
}

/* How many of `count` are the share; at least one. */
static uint64_t rank_of(uint64_t count, double share)
{
    double rank;

    if (!(share > 0))
        return 1;
    if (share >= 1)
        return count;
    rank = share * (double)count;
    /* Rounded up, for a rank is a whole value; what a product like 0.99 * 100 has too much by its binary form does not count. */
    return (uint64_t)rank + (rank - (double)(uint64_t)rank > 1e-9 * rank ? 1 : 0);
}

uint64_t hf_histogram_quantile(const struct hf_histogram *h, double share)
{
    uint64_t rank = rank_of(h->count, share), seen = 0;
    unsigned i;

    if (h->count == 0)
        return 0;
    if (rank == 0)
        rank = 1;
    for (i = 0; i < HF_HISTOGRAM_BUCKETS - 1; i++) {
        seen += h->buckets[i];
        if (seen >= rank)
            break;
    }
    if (i == HF_HISTOGRAM_BUCKETS - 1 || bucket_end(i) > h->max)
        return h->max;
    return bucket_end(i);
}

double hf_histogram_mean(const struct hf_histogram *h)
{
    return h->count == 0 ? 0 : (double)h->sum / (double)h->count;
}

uint64_t hf_histogram_count_to(const struct hf_histogram *h, uint64_t value)
{
    uint64_t seen = 0;

    if (value > value_max)
        return h->count;
    for (unsigned i = 0; i < HF_HISTOGRAM_BUCKETS && bucket_end(i) <= value; i++)
        seen += h->buckets[i];
    return seen;
}
