/*
 * test_shared_histogram.c - shm/shared_histogram.h: which bucket counts what, and quantiles against a sorted array.
 */
#include "base/rng.h"
#include "shm/shared_histogram.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

/* "1, 2, 3, 4, 6, 8, 12, 16 … 3·2^30, 2^32" */
static void bounds_are_two_for_each_doubling(void **state)
{
    static const uint64_t first[] = {1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48};
    const unsigned last = HF_SHARED_HISTOGRAM_BOUNDS - 1;

    (void)state;
    for (unsigned i = 0; i < sizeof(first) / sizeof(first[0]); i++)
        assert_int_equal(hf_shared_histogram_bound(i), first[i]);
    assert_true(hf_shared_histogram_bound(last - 1) == UINT64_C(3) << 30);
    assert_true(hf_shared_histogram_bound(last) == UINT64_C(1) << 32);
}

/* "above the bound before it and not above its own": at every bound, and one to either side of it. */
static void a_bucket_ends_with_its_bound(void **state)
{
    (void)state;
    assert_int_equal(hf_shared_histogram_bucket(0), 0);
    for (unsigned i = 0; i < HF_SHARED_HISTOGRAM_BOUNDS; i++) {
        uint64_t bound = hf_shared_histogram_bound(i);

        assert_int_equal(hf_shared_histogram_bucket(bound), i);
        assert_int_equal(hf_shared_histogram_bucket(bound + 1), i + 1);
        assert_int_equal(hf_shared_histogram_bucket(bound - 1),
                         i > 0 && bound - 1 <= hf_shared_histogram_bound(i - 1) ? i - 1 : i);
    }
    assert_int_equal(hf_shared_histogram_bucket(UINT64_MAX), HF_SHARED_HISTOGRAM_BOUNDS);
}

static void what_was_counted_adds_up(void **state)
{
    struct hf_shared_histogram one = {.sum = 0}, two = {.sum = 0};
    struct hf_histogram_sum sum = {.count = 0};

    (void)state;
    hf_shared_histogram_record(&one, 5, 3);
    hf_shared_histogram_record(&one, 100, 1);
    hf_shared_histogram_record(&two, 6, 2);
    hf_histogram_sum_add(&sum, &one);
    hf_histogram_sum_add(&sum, &two);
    assert_int_equal(sum.count, 6);
    assert_int_equal(sum.sum, 3 * 5 + 100 + 2 * 6);
    assert_int_equal(sum.bucket[hf_shared_histogram_bucket(5)], 5); /* 5 and 6 share one. */
    assert_int_equal(sum.bucket[hf_shared_histogram_bucket(100)], 1);
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

/* A quantile lies in the bucket of the value that a sorted array has at its place. */
static void quantiles_lie_in_the_right_bucket(void **state)
{
    enum { COUNT = 10000 };
    static const double shares[] = {0.001, 0.25, 0.5, 0.9, 0.99, 0.999, 1};
    static uint64_t values[COUNT];
    struct hf_shared_histogram h = {.sum = 0};
    struct hf_histogram_sum sum = {.count = 0};
    struct hf_rng rng = {.state = 7};

    (void)state;
    for (unsigned i = 0; i < COUNT; i++) {
        values[i] = hf_rng_next(&rng) >> (33 + hf_rng_below(&rng, 20));
        hf_shared_histogram_record(&h, values[i], 1);
    }
    hf_histogram_sum_add(&sum, &h);
    qsort(values, COUNT, sizeof(values[0]), compare);
    for (unsigned i = 0; i < sizeof(shares) / sizeof(shares[0]); i++) {
        unsigned bucket = hf_shared_histogram_bucket(values[(unsigned)(shares[i] * COUNT + 0.5) - 1]);
        double got = hf_histogram_sum_quantile(&sum, shares[i]);

        assert_true(got <= (double)hf_shared_histogram_bound(bucket));
        assert_true(bucket == 0 || got >= (double)hf_shared_histogram_bound(bucket - 1));
    }
}

static void quantiles_at_the_ends(void **state)
{
    struct hf_shared_histogram h = {.sum = 0};
    struct hf_histogram_sum sum = {.count = 0};

    (void)state;
    assert_true(hf_histogram_sum_quantile(&sum, 0.5) == 0);
    hf_shared_histogram_record(&h, 16, 4);
    hf_histogram_sum_add(&sum, &h);
    assert_true(hf_histogram_sum_quantile(&sum, 0.5) == 14); /* the middle of 12 … 16 */
    assert_true(hf_histogram_sum_quantile(&sum, 1) == 16);
    assert_true(hf_histogram_sum_quantile(&sum, 2) == 16);
    assert_true(hf_histogram_sum_quantile(&sum, -1) == 12);
    hf_shared_histogram_record(&h, UINT64_MAX, 100); /* Above all bounds: the last one is what is known. */
    sum = (struct hf_histogram_sum){.count = 0};
    hf_histogram_sum_add(&sum, &h);
    assert_true(hf_histogram_sum_quantile(&sum, 0.9) == (double)(UINT64_C(1) << 32));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bounds_are_two_for_each_doubling), cmocka_unit_test(a_bucket_ends_with_its_bound),
        cmocka_unit_test(what_was_counted_adds_up), cmocka_unit_test(quantiles_lie_in_the_right_bucket),
        cmocka_unit_test(quantiles_at_the_ends)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
