/*
 * histogram.h - how often which values came: a log-linear histogram, as Gil Tene's HdrHistogram keeps one.
 * A value is counted in a bucket whose width is at most 1/64 of it, so that a quantile is exact to 1.6 %, from 0 to 2^40 - 1 (of
 * nanoseconds: 18 minutes); what is larger counts as that, and max still tells it. Below 128 every value has its own bucket.
 *
 * A plain value of fixed size without a pointer: it may lie in shared memory, be copied, and be added to another. All zeros is empty.
 * One writer; a reader meanwhile sees counts that may lag behind each other.
 */
#ifndef HF_BASE_HISTOGRAM_H
#define HF_BASE_HISTOGRAM_H

#include <stdint.h>

enum {
    HF_HISTOGRAM_HALF_BITS = 6, /* 64 buckets for each doubling of the value */
    HF_HISTOGRAM_VALUE_BITS = 40,
    HF_HISTOGRAM_BUCKETS = (HF_HISTOGRAM_VALUE_BITS - HF_HISTOGRAM_HALF_BITS + 1) << HF_HISTOGRAM_HALF_BITS,
};

/* Invariant: count is the sum of buckets[]; min and max are of what was recorded, and 0 while count is 0. */
struct hf_histogram {
    uint64_t count;
    uint64_t sum; /* of the values themselves, not of their buckets; wraps */
    uint64_t min, max;
    uint64_t buckets[HF_HISTOGRAM_BUCKETS];
};

void hf_histogram_reset(struct hf_histogram *h);

void hf_histogram_record(struct hf_histogram *h, uint64_t value);

/* Add all that `from` has counted. */
void hf_histogram_add(struct hf_histogram *h, const struct hf_histogram *from);

/*
 * The value that this part of all is not above: 0.5 the median, 0.99, 1.0 the largest. It is the upper end of its bucket, but never above
 * max. 0 where nothing was recorded. share is taken as within [0, 1].
 */
uint64_t hf_histogram_quantile(const struct hf_histogram *h, double share);

/* The mean of what was recorded; 0 where nothing was. */
double hf_histogram_mean(const struct hf_histogram *h);

/* How many values were at most `value`, where a bucket counts as a whole as soon as its upper end does. */
uint64_t hf_histogram_count_to(const struct hf_histogram *h, uint64_t value);

#endif
