#include "base/buf.h"

#include "fault_malloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
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

/* "and an allocation failure with HF_ENOMEM; either sets `failed`, and every later append fails too" */
static void an_append_without_memory_says_so_and_keeps_what_was_there(void **state)
{
    struct hf_buf b;

    (void)state;
    for (unsigned n = 1;; n++) {
        int err = 0;
        unsigned appended = 0;

        hf_buf_init(&b, 1 << 20);
        fault_arm(n);
        while (appended < 1000 && (err = hf_buf_puts(&b, "0123456789")) == 0)
            appended++;
        if (!fault_disarm())
            break;
        assert_int_equal(err, HF_ENOMEM);
        assert_true(b.failed);
        assert_int_equal(hf_buf_puts(&b, "x"), HF_ENOMEM);
        assert_int_equal(hf_buf_putf(&b, "%d", 1), HF_ENOMEM);
        assert_null(hf_buf_reserve(&b, 1));
        assert_int_equal(b.len, appended * 10);
        assert_true(appended == 0 || memcmp(b.data + b.len - 10, "0123456789", 10) == 0);
        hf_buf_reset(&b);
        assert_int_equal(hf_buf_puts(&b, "again"), 0);
        hf_buf_release(&b);
        assert_true(n < 20);
    }
    assert_int_equal(b.len, 10000);
    hf_buf_release(&b);
}

/* "Also needs room for one byte more: vsnprintf() ends the text with a NUL, which does not count." */
static void a_formatted_text_needs_room_for_its_end(void **state)
{
    struct hf_buf b;

    (void)state;
    hf_buf_init(&b, 6);
    assert_int_equal(hf_buf_putf(&b, "%s", "12345"), 0);
    assert_int_equal(hf_buf_puts(&b, "6"), 0);
    assert_true(hf_str_eq(hf_buf_str(&b), HF_STR("123456")));
    assert_int_equal(hf_buf_putf(&b, "%s", "7"), HF_ELIMIT);
    assert_int_equal(b.len, 6);
    hf_buf_release(&b);
}

static void digits_are_those_of_printf(void **state)
{
    static const uint64_t numbers[] = {0,         9, 10, 99, 100, 4294967295u, UINT64_C(9007199254740992),
                                       UINT64_MAX};
    char got[20], want[24];

    (void)state;
    for (unsigned i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        int len = snprintf(want, sizeof(want), "%llu", (unsigned long long)numbers[i]);

        assert_int_equal(hf_u64_digits(got, numbers[i]), len);
        assert_memory_equal(got, want, (size_t)len);
    }
}

static void memory_is_adopted_and_detached(void **state)
{
    struct hf_buf b;
    size_t cap;
    uint8_t *memory = malloc(8);

    (void)state;
    assert_non_null(memory);
    memcpy(memory, "abcd", 4);
    hf_buf_init(&b, 100);
    hf_buf_adopt(&b, memory, 2, 8);
    assert_int_equal(hf_buf_put(&b, "xyz123456", 9), 0); /* It grows as if it had always been its own. */
    assert_memory_equal(b.data, "abxyz123456", 11);
    memory = hf_buf_detach(&b, &cap);
    assert_true(cap >= 11);
    assert_memory_equal(memory, "abxyz123456", 11);
    assert_null(b.data);
    assert_int_equal(b.len, 0);
    assert_int_equal(hf_buf_put(&b, "new", 3), 0); /* It stays usable, within the same maximum. */
    assert_int_equal(b.bytes_max, 100);
    free(memory);
    hf_buf_release(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_are_joined_and_dropped),
        cmocka_unit_test(an_append_beyond_the_maximum_fails_and_stays_failed),
        cmocka_unit_test(an_append_without_memory_says_so_and_keeps_what_was_there),
        cmocka_unit_test(a_formatted_text_needs_room_for_its_end),
        cmocka_unit_test(memory_is_adopted_and_detached),
        cmocka_unit_test(digits_are_those_of_printf),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
