#include "shm/shared_histogram.h"

void hf_histogram_sum_add(struct hf_histogram_sum *sum, const struct hf_shared_histogram *h)
{
    for (unsigned i = 0; i < HF_SHARED_HISTOGRAM_BUCKETS; i++) {
        uint64_t n = atomic_load_explicit(&h->bucket[i], memory_order_relaxed);

        sum->bucket[i] += n;
        sum->count += n;
    }
    sum->sum += atomic_load_explicit(&h->sum, memory_order_relaxed);
}

/* How far into this bucket the rank lies. */
static double within(const struct hf_histogram_sum *sum, unsigned bucket, double rank)
{
    double low = bucket == 0 ? 0 : (double)hf_shared_histogram_bound(bucket - 1);
    double high = (double)hf_shared_histogram_bound(bucket);

    return low + (high - low) * rank / (double)sum->bucket[bucket];
}

double hf_histogram_sum_quantile(const struct hf_histogram_sum *sum, double share)
{
    double rank = (share > 0 ? share < 1 ? share : 1 : 0) * (double)sum->count;

    for (unsigned i = 0; i < HF_SHARED_HISTOGRAM_BOUNDS; i++) {
        if (sum->bucket[i] > 0 && rank <= (double)sum->bucket[i])
            return within(sum, i, rank);
        rank -= (double)sum->bucket[i];
    }
    return sum->count == 0 ? 0 : (double)hf_shared_histogram_bound(HF_SHARED_HISTOGRAM_BOUNDS - 1);
}
