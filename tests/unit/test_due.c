/*
 * test_due.c - the array of connections that are to be written to: order, holes, and that what was reserved is enough.
 */
#include "server/due.h"
#include "server/hub_state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { CONNS = 64 }; /* the smallest capacity */

static void in_the_order_in_which_they_came(void **state)
{
    struct hf_due d = {0};
    static struct hf_conn conns[3];

    (void)state;
    assert_int_equal(hf_due_reserve(&d, 3), 0);
    for (int i = 0; i < 3; i++)
        hf_due_add(&d, &conns[i]);
    assert_int_equal(d.count, 3);
    for (uint32_t i = 0; i < 3; i++) {
        assert_ptr_equal(d.conns[i], &conns[i]);
        assert_int_equal(conns[i].due_at, i + 1);
    }
    hf_due_release(&d);
}

/* Connections come, become due and go again, more often than there is room: the holes they leave are closed. */
static void holes_are_closed_when_the_room_is_needed(void **state)
{
    struct hf_due d = {0};
    static struct hf_conn stays[2], goes;

    (void)state;
    assert_int_equal(hf_due_reserve(&d, CONNS), 0);
    hf_due_add(&d, &stays[0]);
    for (int i = 0; i < 10 * CONNS; i++) {
        hf_due_add(&d, &goes);
        hf_due_remove(&d, &goes);
        assert_int_equal(goes.due_at, 0);
        if (i == CONNS / 2)
            hf_due_add(&d, &stays[1]);
    }
    assert_true(d.count <= CONNS);
    assert_ptr_equal(d.conns[stays[0].due_at - 1], &stays[0]);
    assert_ptr_equal(d.conns[stays[1].due_at - 1], &stays[1]);
    assert_true(stays[0].due_at < stays[1].due_at);
    hf_due_release(&d);
}

/* One that stands in another array is left where it is. */
static void only_its_own_place_is_taken_away(void **state)
{
    struct hf_due one = {0}, other = {0};
    static struct hf_conn a, b;

    (void)state;
    assert_int_equal(hf_due_reserve(&one, 1), 0);
    assert_int_equal(hf_due_reserve(&other, 1), 0);
    hf_due_add(&one, &a);
    hf_due_add(&other, &b);
    hf_due_remove(&one, &b);
    assert_int_equal(b.due_at, 1);
    assert_ptr_equal(one.conns[0], &a);
    hf_due_remove(&other, &b);
    assert_null(other.conns[0]);
    hf_due_release(&one);
    hf_due_release(&other);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_the_order_in_which_they_came),
        cmocka_unit_test(holes_are_closed_when_the_room_is_needed),
        cmocka_unit_test(only_its_own_place_is_taken_away),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
