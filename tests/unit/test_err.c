#include "base/err.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const int all[] = {
#define VALUE(name, value, text) name,
    HF_ERR_LIST(VALUE)
#undef VALUE
};

enum { COUNT = sizeof(all) / sizeof(all[0]) };

/* "A negative enum hf_err": two errors of one value or one text could not be told apart. */
static void every_error_is_negative_and_unlike_the_others(void **state)
{
    (void)state;
    for (unsigned i = 0; i < COUNT; i++) {
        assert_true(all[i] < 0);
        assert_string_not_equal(hf_strerror(all[i]), "unknown error");
        for (unsigned k = 0; k < i; k++) {
            assert_int_not_equal(all[i], all[k]);
            assert_string_not_equal(hf_strerror(all[i]), hf_strerror(all[k]));
        }
    }
}

/* "The English text of an error; never NULL." */
static void any_number_has_a_text(void **state)
{
    (void)state;
    for (int n = -1000; n < 1000; n++)
        assert_true(strlen(hf_strerror(n)) > 0);
    assert_string_equal(hf_strerror(HF_OK), "success");
    assert_string_equal(hf_strerror(HF_EGAP), "the log no longer holds that offset");
    assert_string_equal(hf_strerror(1), "unknown error");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_error_is_negative_and_unlike_the_others),
        cmocka_unit_test(any_number_has_a_text),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
