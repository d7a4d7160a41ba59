#include "base/histogram.h"

#include "base/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* As large as the sum of a few of these is; each test has its own. */
static struct hf_histogram *histogram_new(void)
{
    struct hf_histogram *h = calloc(1, sizeof(*h));

    assert_non_null(h);
    return h;
}

static void empty_has_nothing(void **state)
{
    struct hf_histogram *h = histogram_new();

    (void)state;
    assert_int_equal(hf_histogram_quantile(h, 0.5), 0);
    assert_int_equal(hf_histogram_quantile(h, 1), 0);
    assert_true(hf_histogram_mean(h) == 0);
    assert_int_equal(hf_histogram_count_to(h, UINT64_MAX), 0);
    free(h);
}

/* "Below 128 every value has its own bucket." */
static void small_values_are_exact(void **state)
{
    struct hf_histogram *h = histogram_new();

    (void)state;
    for (uint64_t v = 0; v < 128; v++)
        hf_histogram_record(h, v);
    for (unsigned i = 1; i <= 128; i++) {
        assert_int_equal(hf_histogram_quantile(h, i / 128.0), i - 1);
        assert_int_equal(hf_histogram_count_to(h, i - 1), i);
    }
    assert_int_equal(h->min, 0);
    assert_int_equal(h->max, 127);
    assert_true(hf_histogram_mean(h) == 63.5);
    free(h);
}

/* "A value is counted in a bucket whose width is at most 1/64 of it": at each power of two, where the groups meet, and between. */
static void error_is_bounded(void **state)
{
    (void)state;
    for (unsigned bit = 0; bit < HF_HISTOGRAM_VALUE_BITS; bit++) {
        for (int near = -2; near <= 2; near++) {
            struct hf_histogram *h = histogram_new();
            uint64_t value = (UINT64_C(1) << bit) + (uint64_t)(int64_t)near;
            uint64_t got;

            if ((int64_t)value < 0 || value >> HF_HISTOGRAM_VALUE_BITS != 0) {
                free(h);
                continue;
            }
            hf_histogram_record(h, value);
            hf_histogram_record(h, UINT64_C(1) << 39); /* so that max does not hide the end of the bucket */
            got = hf_histogram_quantile(h, 0.5);
            if (value <= UINT64_C(1) << 39) {
                assert_true(got >= value);
                assert_true(got - value <= value / 64);
            }
            free(h);
        }
    }
}

static void large_values_count_as_the_largest(void **state)
{
    struct hf_histogram *h = histogram_new();

    (void)state;
    hf_histogram_record(h, UINT64_MAX);
    hf_histogram_record(h, UINT64_C(1) << HF_HISTOGRAM_VALUE_BITS);
    assert_int_equal(h->count, 2);
    assert_true(h->max == UINT64_MAX);
    assert_true(hf_histogram_quantile(h, 1) == UINT64_MAX);
    assert_int_equal(h->buckets[HF_HISTOGRAM_BUCKETS - 1], 2);
    assert_int_equal(hf_histogram_count_to(h, UINT64_MAX), 2);
    free(h);
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

/* Against a sorted array, which cannot be wrong. */
static void quantiles_as_of_a_sorted_array(void **state)
{
    enum { COUNT = 10000 };
    static const double shares[] = {0, 0.001, 0.25, 0.5, 0.9, 0.99, 0.999, 0.9999, 1};
    static uint64_t values[COUNT];
    struct hf_histogram *h = histogram_new();
    struct hf_rng rng = {.state = 7};

    (void)state;
    for (unsigned i = 0; i < COUNT; i++) {
        values[i] = hf_rng_next(&rng) >> (24 + hf_rng_below(&rng, 40));
        hf_histogram_record(h, values[i]);
    }
    qsort(values, COUNT, sizeof(values[0]), compare);
    for (unsigned i = 0; i < sizeof(shares) / sizeof(shares[0]); i++) {
        unsigned rank = (unsigned)(shares[i] * COUNT + 0.5);
        uint64_t want = values[rank == 0 ? 0 : rank - 1], got = hf_histogram_quantile(h, shares[i]);

        assert_true(got >= want);
        assert_true(got - want <= want / 64);
    }
    assert_int_equal(h->min, values[0]);
    assert_int_equal(h->max, values[COUNT - 1]);
    free(h);
}

/* A rank like 0.99 × 100 is 99, whatever binary fractions make of it. */
static void ranks_are_whole(void **state)
{
    struct hf_histogram *h = histogram_new();

    (void)state;
    for (uint64_t v = 1; v <= 100; v++)
        hf_histogram_record(h, v);
    for (unsigned percent = 1; percent <= 100; percent++)
        assert_int_equal(hf_histogram_quantile(h, percent / 100.0), percent);
    assert_int_equal(hf_histogram_quantile(h, 0.501), 51);
    assert_int_equal(hf_histogram_quantile(h, -1), 1);
    assert_int_equal(hf_histogram_quantile(h, 2), 100);
    free(h);
}

static void adding_is_as_recording_all(void **state)
{
    struct hf_histogram *a = histogram_new(), *b = histogram_new(), *all = histogram_new();
    struct hf_rng rng = {.state = 3};

    (void)state;
    hf_histogram_add(a, b);
    assert_int_equal(a->count, 0);
    for (unsigned i = 0; i < 5000; i++) {
        uint64_t value = hf_rng_below(&rng, 1u << 30);

        hf_histogram_record(i % 3 == 0 ? a : b, value);
        hf_histogram_record(all, value);
    }
    hf_histogram_add(a, b);
    assert_memory_equal(a, all, sizeof(*a));
    hf_histogram_reset(a);
    hf_histogram_add(a, all);
    assert_memory_equal(a, all, sizeof(*a));
    free(a);
    free(b);
    free(all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(empty_has_nothing),
        cmocka_unit_test(small_values_are_exact),
        cmocka_unit_test(error_is_bounded),
        cmocka_unit_test(large_values_count_as_the_largest),
        cmocka_unit_test(quantiles_as_of_a_sorted_array),
        cmocka_unit_test(ranks_are_whole),
        cmocka_unit_test(adding_is_as_recording_all),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
