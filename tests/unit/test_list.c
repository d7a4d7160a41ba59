#include "base/list.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct item {
    unsigned value;
    struct hf_list link;
};

/* The values in order, read forwards and backwards, as decimal digits: 1, 2, 3 is 123. */
static unsigned digits(const struct hf_list *head)
{
    unsigned forwards = 0, backwards = 0, place = 1;

    for (struct hf_list *n = head->next; n != head; n = n->next)
        forwards = forwards * 10 + HF_CONTAINER(n, struct item, link)->value;
    for (struct hf_list *n = head->prev; n != head; n = n->prev, place *= 10)
        backwards += HF_CONTAINER(n, struct item, link)->value * place;
    assert_int_equal(forwards, backwards);
    return forwards;
}

static void fill(struct hf_list *head, struct item *items, unsigned first, unsigned count)
{
    hf_list_init(head);
    for (unsigned i = 0; i < count; i++) {
        items[i].value = first + i;
        hf_list_init(&items[i].link);
        hf_list_add_tail(head, &items[i].link);
    }
}

static void nodes_leave_in_the_order_they_came(void **state)
{
    struct hf_list head;
    struct item items[3];

    (void)state;
    fill(&head, items, 1, 3);
    assert_int_equal(digits(&head), 123);
    assert_ptr_equal(hf_list_pop(&head), &items[0].link);
    assert_true(hf_list_empty(&items[0].link));
    assert_ptr_equal(hf_list_pop(&head), &items[1].link);
    assert_ptr_equal(hf_list_pop(&head), &items[2].link);
    assert_null(hf_list_pop(&head));
    assert_true(hf_list_empty(&head));
}

/* "A node that is in no list points to itself; hf_list_del() leaves it so, and may be called on it again." */
static void a_node_may_be_deleted_again(void **state)
{
    struct hf_list head;
    struct item items[3];

    (void)state;
    fill(&head, items, 1, 3);
    hf_list_del(&items[1].link);
    hf_list_del(&items[1].link);
    assert_true(hf_list_empty(&items[1].link));
    assert_int_equal(digits(&head), 13);
    hf_list_add_tail(&head, &items[1].link);
    assert_int_equal(digits(&head), 132);
}

/* "Move all nodes of `from` to the end of `to`; `from` is empty afterwards." */
static void a_splice_moves_all(void **state)
{
    struct hf_list to, from;
    struct item items[3], more[3];

    (void)state;
    fill(&to, items, 1, 3);
    fill(&from, more, 4, 3);
    hf_list_splice(&to, &from);
    assert_int_equal(digits(&to), 123456);
    assert_true(hf_list_empty(&from));
    hf_list_splice(&to, &from);
    assert_int_equal(digits(&to), 123456);
    hf_list_splice(&from, &to);
    assert_int_equal(digits(&from), 123456);
    assert_true(hf_list_empty(&to));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nodes_leave_in_the_order_they_came),
        cmocka_unit_test(a_node_may_be_deleted_again),
        cmocka_unit_test(a_splice_moves_all),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
