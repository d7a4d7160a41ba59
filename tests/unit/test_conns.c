/*
 * test_conns.c - the connections of a worker, by serial and by session: places are used again, serials are not.
 */
#include "server/conns.h"
#include "server/hub_state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { MANY = 1000 };

static struct hf_conn conns[MANY];

static void each_is_found_by_its_serial(void **state)
{
    struct hf_conns t = {.life = 7};

    (void)state;
    for (int i = 0; i < MANY; i++)
        assert_int_equal(hf_conns_add(&t, &conns[i]), 0);
    assert_int_equal(t.count, MANY);
    for (int i = 0; i < MANY; i++)
        assert_ptr_equal(hf_conns_by_serial(&t, conns[i].serial), &conns[i]);
    assert_null(hf_conns_by_serial(&t, 0));
    assert_null(hf_conns_by_serial(&t, UINT64_MAX));
    assert_null(hf_conns_by_serial(&t, hf_conns_other_serial(&t)));
    hf_conns_release(&t);
}

/* A late letter to a connection that has gone must not reach the one that has its place now. */
static void a_place_is_used_again_and_a_serial_is_not(void **state)
{
    struct hf_conns t = {.life = 1};
    uint64_t old;

    (void)state;
    for (int i = 0; i < 3; i++)
        assert_int_equal(hf_conns_add(&t, &conns[i]), 0);
    old = conns[1].serial;
    hf_conns_remove(&t, &conns[1]);
    assert_null(hf_conns_by_serial(&t, old));
    assert_int_equal(hf_conns_add(&t, &conns[3]), 0);
    assert_int_equal(t.high, 3);
    assert_null(hf_conns_by_serial(&t, old));
    assert_ptr_equal(hf_conns_by_serial(&t, conns[3].serial), &conns[3]);
    hf_conns_release(&t);
}

/* Nor one to a connection of the worker that was in this slot before. */
static void the_serials_of_a_predecessor_are_nobodys(void **state)
{
    struct hf_conns before = {.life = 1}, now = {.life = 2};
    uint64_t old;

    (void)state;
    assert_int_equal(hf_conns_add(&before, &conns[0]), 0);
    old = conns[0].serial;
    assert_int_equal(hf_conns_add(&now, &conns[1]), 0);
    assert_null(hf_conns_by_serial(&now, old));
    hf_conns_release(&before);
    hf_conns_release(&now);
}

static void sessions_lead_to_their_connections(void **state)
{
    struct hf_conns t = {.life = 1};
    uint64_t session = UINT64_C(0x1234) << 32 | 1000000, same_place = UINT64_C(0x9999) << 32 | 1000000;
    struct hf_session record = {.number = session};

    (void)state;
    assert_int_equal(hf_conns_add(&t, &conns[0]), 0);
    assert_null(hf_conns_by_session(&t, session));
    hf_conns_unbind(&t, session);
    conns[0].session = &record;
    assert_int_equal(hf_conns_bind(&t, &conns[0], session), 0);
    assert_ptr_equal(hf_conns_by_session(&t, session), &conns[0]);
    assert_null(hf_conns_by_session(&t, same_place));
    assert_null(hf_conns_by_session(&t, session + 1));
    hf_conns_unbind(&t, session);
    assert_null(hf_conns_by_session(&t, session));
    conns[0].session = NULL;
    hf_conns_release(&t);
}

static void all_are_walked_though_some_go(void **state)
{
    struct hf_conns t = {.life = 1};
    struct hf_conn *c;
    uint32_t at = 0, seen = 0;

    (void)state;
    for (int i = 0; i < MANY; i++)
        assert_int_equal(hf_conns_add(&t, &conns[i]), 0);
    for (int i = 0; i < MANY; i += 3)
        hf_conns_remove(&t, &conns[i]);
    while ((c = hf_conns_next(&t, &at)) != NULL) {
        assert_int_not_equal((c - conns) % 3, 0);
        hf_conns_remove(&t, c);
        seen++;
    }
    assert_int_equal(seen, MANY - (MANY + 2) / 3);
    assert_int_equal(t.count, 0);
    hf_conns_release(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_is_found_by_its_serial),
        cmocka_unit_test(a_place_is_used_again_and_a_serial_is_not),
        cmocka_unit_test(the_serials_of_a_predecessor_are_nobodys),
        cmocka_unit_test(sessions_lead_to_their_connections),
        cmocka_unit_test(all_are_walked_though_some_go),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
