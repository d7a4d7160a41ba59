/* So many a second, and a burst after a pause. */
#include "base/rate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { T0 = 5000 };

static unsigned taken(uint64_t *full_us, uint32_t rate, uint32_t burst, unsigned tries, uint64_t now_ms)
{
    unsigned n = 0;

    for (unsigned i = 0; i < tries; i++)
        n += hf_rate_take(full_us, rate, burst, now_ms);
    return n;
}

static void a_burst_and_then_the_rate(void **state)
{
    static const uint32_t rates[] = {1, 3, 7, 100, 999, 1000000};

    (void)state;
    for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
        uint64_t bucket = 0;
        unsigned n = 0;

        assert_int_equal(taken(&bucket, rates[i], 5, 100, T0), 5);
        for (uint64_t ms = 1; ms <= 4000; ms++)
            n += taken(&bucket, rates[i], 5, 10, T0 + ms);
        /* At most five fit between two looks. */
        assert_in_range(n, rates[i] > 5000 ? 20000 : 4 * rates[i] - 1,
                        rates[i] > 5000 ? 20000 : 4 * rates[i] + 1);
    }
}

static void a_pause_fills_no_more_than_the_burst(void **state)
{
    uint64_t bucket = 0;

    (void)state;
    assert_int_equal(taken(&bucket, 10, 20, 100, T0), 20);
    assert_int_equal(taken(&bucket, 10, 20, 100, T0 + 86400000), 20);
    assert_int_equal(taken(&bucket, 10, 20, 100, T0 + 86400000 + 1000), 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_burst_and_then_the_rate),
        cmocka_unit_test(a_pause_fills_no_more_than_the_burst),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
