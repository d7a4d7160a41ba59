#include "shm/handout.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { BYTES = 4099 /* not whole words */, VERSIONS = 20000 };

static struct hf_handout *new_handout(size_t bytes)
{
    struct hf_handout *h = calloc(1, hf_handout_bytes(bytes));

    assert_non_null(h);
    hf_handout_format(h, bytes);
    return h;
}

static void the_newest_is_what_is_given(void **state)
{
    struct hf_handout *h = new_handout(5);
    char out[6] = "as is";

    (void)state;
    assert_false(hf_handout_newer(h, 0));
    assert_int_equal(hf_handout_get(h, out), 0);
    assert_string_equal(out, "as is");
    assert_int_equal(hf_handout_put(h, "first"), 1);
    assert_true(hf_handout_newer(h, 0));
    assert_false(hf_handout_newer(h, 1));
    assert_int_equal(hf_handout_get(h, out), 1);
    assert_string_equal(out, "first");
    assert_int_equal(hf_handout_put(h, "2nd.."), 2);
    assert_int_equal(hf_handout_put(h, "third"), 3);
    assert_int_equal(hf_handout_get(h, out), 3);
    assert_string_equal(out, "third");
    free(h);
}

static void *put_many(void *arg)
{
    unsigned char whole[BYTES];

    for (int i = 1; i <= VERSIONS; i++) {
        memset(whole, i, sizeof(whole));
        (void)hf_handout_put(arg, whole);
    }
    return NULL;
}

/* However fast they follow each other: every byte is of the version that is named. */
static void none_is_a_mixture_of_two(void **state)
{
    struct hf_handout *h = new_handout(BYTES);
    unsigned char whole[BYTES] = {0};
    uint64_t version = 0, seen = 0;
    pthread_t writer;

    (void)state;
    assert_int_equal(pthread_create(&writer, NULL, put_many, h), 0);
    while (version < VERSIONS) {
        uint64_t next = hf_handout_get(h, whole);

        assert_true(next >= version);
        seen += next != version;
        version = next;
        for (size_t i = 0; version > 0 && i < BYTES; i++)
            assert_int_equal(whole[i], version & 0xff);
    }
    assert_int_equal(pthread_join(writer, NULL), 0);
    assert_true(seen > 0);
    free(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_newest_is_what_is_given),
        cmocka_unit_test(none_is_a_mixture_of_two),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
