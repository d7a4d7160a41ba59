#include "server/reasons.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void a_reason_is_of_one_publish(void **state)
{
    struct hf_reasons r = {.ring = NULL};
    char long_one[256];
    uint32_t first, second;

    (void)state;
    assert_null(hf_reasons_get(&r, 1, 5, 1));
    memset(long_one, 'x', 255);
    long_one[255] = '\0';
    first = hf_reasons_put(&r, 5, 1, "no such room");
    second = hf_reasons_put(&r, 5, 2, long_one);
    assert_true(first != 0 && second != 0 && first != second);
    assert_string_equal(hf_reasons_get(&r, first, 5, 1), "no such room");
    assert_string_equal(hf_reasons_get(&r, second, 5, 2), long_one);
    assert_null(hf_reasons_get(&r, first, 5, 2));
    assert_null(hf_reasons_get(&r, first, 6, 1));
    assert_null(hf_reasons_get(&r, 0, 5, 1));
    assert_null(hf_reasons_get(&r, HF_REASONS_MAX + 1, 5, 1));
    hf_reasons_release(&r);
    assert_null(hf_reasons_get(&r, first, 5, 1));
}

/* "where HF_REASONS_MAX others were put in meanwhile, a reason is forgotten" */
static void the_oldest_makes_room(void **state)
{
    struct hf_reasons r = {.ring = NULL};
    uint32_t places[HF_REASONS_MAX + 1];
    char text[32];

    (void)state;
    for (uint32_t i = 0; i <= HF_REASONS_MAX; i++) {
        snprintf(text, sizeof(text), "reason %u", i);
        places[i] = hf_reasons_put(&r, 1, i + 1, text);
        assert_true(places[i] != 0 && places[i] <= HF_REASONS_MAX);
    }
    assert_null(hf_reasons_get(&r, places[0], 1, 1));
    for (uint32_t i = 1; i <= HF_REASONS_MAX; i++) {
        snprintf(text, sizeof(text), "reason %u", i);
        assert_string_equal(hf_reasons_get(&r, places[i], 1, i + 1), text);
    }
    hf_reasons_release(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reason_is_of_one_publish),
        cmocka_unit_test(the_oldest_makes_room),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
