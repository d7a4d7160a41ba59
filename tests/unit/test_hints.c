/*
 * test_hints.c - hints are read once and in order; who is overtaken is told so, and a writer's death loses none that was given.
 */
#define HF_SIMULATION /* As the library with its crash points is built, where a ring is short. */
#include "shm/hints.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "crash_point.h"

static struct hf_hints hints;

static void each_comes_once_and_in_order(void **state)
{
    uint64_t next = 0, session;
    hf_cid cid;

    (void)state;
    memset(&hints, 0, sizeof(hints));
    assert_int_equal(hf_hints_read(&hints, &next, &cid, &session), 0);
    for (uint64_t n = 1; n < 3 * HF_HINTS; n++) {
        hf_hints_put(&hints, n, 2 * n);
        if (n % 3 != 0)
            continue;
        for (uint64_t want = n - 2; want <= n; want++) {
            assert_int_equal(hf_hints_read(&hints, &next, &cid, &session), 1);
            assert_int_equal(cid, want);
            assert_int_equal(session, 2 * want);
        }
        assert_int_equal(hf_hints_read(&hints, &next, &cid, &session), 0);
    }
}

static void who_is_overtaken_is_told(void **state)
{
    uint64_t next = 0, session;
    hf_cid cid;

    (void)state;
    memset(&hints, 0, sizeof(hints));
    for (uint64_t n = 1; n < HF_HINTS; n++)
        hf_hints_put(&hints, n, n);
    assert_int_equal(hf_hints_read(&hints, &next, &cid, &session), 1);
    assert_int_equal(cid, 1);
    hf_hints_put(&hints, HF_HINTS, 1);
    hf_hints_put(&hints, HF_HINTS + 1,
                 1); /* The place of the second one may be under the writer's hands now. */
    assert_int_equal(hf_hints_read(&hints, &next, &cid, &session), HF_EGAP);
    assert_int_equal(hf_hints_read(&hints, &next, &cid, &session), 0);
    hf_hints_put(&hints, 99, 1);
    assert_int_equal(hf_hints_read(&hints, &next, &cid, &session), 1);
    assert_int_equal(cid, 99);
}

/* ---- A writer that dies ---- */

static void put_one(void *ctx)
{
    hf_hints_put(ctx, 7, 70);
}

static void a_hint_is_whole_or_not_there(void **state)
{
    struct hf_hints *shared = hf_memory_map(sizeof(*shared));
    unsigned n = 1;

    (void)state;
    assert_non_null(shared);
    for (bool died = true; died; n++) {
        uint64_t next, session;
        hf_cid cid;

        memset(shared, 0, sizeof(*shared));
        hf_hints_put(shared, 6, 60);
        next = 1;
        died = dies_at(n, put_one, shared);
        if (!died) {
            assert_int_equal(hf_hints_read(shared, &next, &cid, &session), 1);
            assert_int_equal(session, 70);
        }
        assert_int_equal(hf_hints_read(shared, &next, &cid, &session), 0);
        hf_hints_put(shared, 8, 80); /* Its successor. */
        assert_int_equal(hf_hints_read(shared, &next, &cid, &session), 1);
        assert_int_equal(cid, 8);
        assert_int_equal(session, 80);
    }
    assert_true(n > 2);
    hf_memory_unmap(shared, sizeof(*shared));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_comes_once_and_in_order),
        cmocka_unit_test(who_is_overtaken_is_told),
        cmocka_unit_test(a_hint_is_whole_or_not_there),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
