/*
 * test_busiest.c - base/busiest.h: what is counted is there, what is heavy stays there whatever comes beside it, and no count is too high.
 */
#include "base/busiest.h"
#include "base/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static struct hf_busiest sketch;

static int fresh(void **state)
{
    (void)state;
    hf_busiest_reset(&sketch);
    return 0;
}

static void nothing_counted_is_nothing_listed(void **state)
{
    struct hf_busiest_key out[4];

    (void)state;
    assert_int_equal(hf_busiest_list(&sketch, out, 4), 0);
}

static void the_heaviest_come_first(void **state)
{
    struct hf_busiest_key out[3];

    (void)state;
    for (uint64_t key = 1; key <= 20; key++) {
        hf_busiest_count(&sketch, key, 0, 1);
        hf_busiest_count(&sketch, key, 1, key * 10);
    }
    assert_int_equal(hf_busiest_list(&sketch, out, 3), 3);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(out[i].key, 20 - i);
        assert_int_equal(out[i].count[0], 1);
        assert_int_equal(out[i].count[1], (20 - i) * 10);
    }
}

/* "A key that makes more than a quarter of all that falls on its set is certain to be there", among ten thousand that come and go. */
static void a_heavy_key_is_never_lost(void **state)
{
    enum { HEAVY = 7, NOISE = 10000 };
    struct hf_busiest_key out[1];
    struct hf_rng rng = {.state = 3};
    uint64_t heavy = 0;

    (void)state;
    for (unsigned i = 0; i < 200000; i++) {
        if (i % 50 == 0) { /* 2 % of all, where a set has 1.6 % of all, and its own 2 %: more than half */
            hf_busiest_count(&sketch, HEAVY, 1, 1);
            heavy++;
        } else {
            hf_busiest_count(&sketch, HEAVY + 1 + hf_rng_below(&rng, NOISE), 1, 1);
        }
    }
    assert_int_equal(hf_busiest_list(&sketch, out, 1), 1);
    assert_int_equal(out[0].key, HEAVY);
    assert_true(out[0].count[1] <= heavy);
    assert_true(out[0].count[1] >=
                heavy - heavy / 100); /* It lost its place at the very beginning, if at all. */
}

/* "So a count is never too high." */
static void no_count_is_too_high(void **state)
{
    enum { KEYS = 2000 };
    static uint64_t exact[KEYS + 1];
    struct hf_busiest_key out[HF_BUSIEST_KEYS];
    struct hf_rng rng = {.state = 11};
    unsigned count;

    (void)state;
    memset(exact, 0, sizeof(exact));
    for (unsigned i = 0; i < 100000; i++) {
        uint64_t key = 1 + hf_rng_below(&rng, 1 + hf_rng_below(&rng, KEYS)),
                 times = 1 + hf_rng_below(&rng, 3);

        exact[key] += times;
        hf_busiest_count(&sketch, key, 0, times);
    }
    count = hf_busiest_list(&sketch, out, HF_BUSIEST_KEYS);
    assert_true(count > HF_BUSIEST_KEYS / 2);
    for (unsigned i = 0; i < count; i++) {
        assert_true(out[i].key >= 1 && out[i].key <= KEYS);
        assert_true(out[i].count[0] <= exact[out[i].key]);
        assert_true(i == 0 || out[i].count[0] <= out[i - 1].count[0]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup(nothing_counted_is_nothing_listed, fresh),
                                       cmocka_unit_test_setup(the_heaviest_come_first, fresh),
                                       cmocka_unit_test_setup(a_heavy_key_is_never_lost, fresh),
                                       cmocka_unit_test_setup(no_count_is_too_high, fresh)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
