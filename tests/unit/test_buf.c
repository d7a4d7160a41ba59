#include "base/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void pieces_are_joined_and_dropped(void **state)
{
    struct hf_buf b;

    (void)state;
    hf_buf_init(&b, 64);
    assert_int_equal(hf_buf_puts(&b, "offset="), 0);
    assert_int_equal(hf_buf_put_u64(&b, UINT64_MAX), 0);
    assert_int_equal(hf_buf_putf(&b, " %s-%d", "x", 7), 0);
    assert_true(hf_str_eq(hf_buf_str(&b), HF_STR("offset=18446744073709551615 x-7")));
    hf_buf_drop(&b, 7);
    assert_true(hf_str_eq(hf_buf_str(&b), HF_STR("18446744073709551615 x-7")));
    hf_buf_release(&b);
}

static void an_append_beyond_the_maximum_fails_and_stays_failed(void **state)
{
    struct hf_buf b;

    (void)state;
    hf_buf_init(&b, 4);
    assert_int_equal(hf_buf_puts(&b, "abc"), 0);
    assert_int_equal(hf_buf_puts(&b, "de"), HF_ELIMIT);
    assert_true(b.failed);
    assert_int_equal(hf_buf_puts(&b, "d"), HF_ELIMIT);
    assert_int_equal(b.len, 3);
    hf_buf_reset(&b);
    assert_int_equal(hf_buf_puts(&b, "defg"), 0);
    hf_buf_release(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_are_joined_and_dropped),
        cmocka_unit_test(an_append_beyond_the_maximum_fails_and_stays_failed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
