#include "base/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* The outputs that the generator's authors publish for the seed 1234567. */
static void the_numbers_are_those_of_splitmix64(void **state)
{
    static const uint64_t published[] = {UINT64_C(6457827717110365317), UINT64_C(3203168211198807973),
                                         UINT64_C(9817491932198370423), UINT64_C(4593380528125082431),
                                         UINT64_C(16408922859458223821)};
    struct hf_rng r = {1234567};

    (void)state;
    for (unsigned i = 0; i < 5; i++)
        assert_true(hf_rng_next(&r) == published[i]);
}

/* "A number in [0, below); 0 where below is 0." */
static void a_bounded_number_is_within_its_bound_and_reaches_all_of_it(void **state)
{
    struct hf_rng r = {0};
    unsigned seen[10] = {0};

    (void)state;
    for (unsigned i = 0; i < 10000; i++) {
        assert_int_equal(hf_rng_below(&r, 0), 0);
        assert_int_equal(hf_rng_below(&r, 1), 0);
        seen[hf_rng_below(&r, 10)]++;
        assert_true(hf_rng_below(&r, UINT64_C(1) << 63) < UINT64_C(1) << 63);
    }
    for (unsigned i = 0; i < 10; i++)
        assert_in_range(seen[i], 850, 1150);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_numbers_are_those_of_splitmix64),
        cmocka_unit_test(a_bounded_number_is_within_its_bound_and_reaches_all_of_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
