#include "session/inbox.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct hf_inbox placed(uint64_t offset)
{
    struct hf_inbox in;

    hf_inbox_init(&in, false);
    assert_int_equal(hf_inbox_place(&in, HF_STR("e1"), offset), 0);
    return in;
}

static void each_offset_is_delivered_once_and_in_order(void **state)
{
    struct hf_inbox in = placed(5);

    (void)state;
    assert_int_equal(hf_inbox_data(&in, 5), HF_INBOX_DUPLICATE);
    assert_int_equal(hf_inbox_data(&in, 6), HF_INBOX_DELIVER);
    assert_int_equal(hf_inbox_data(&in, 6), HF_INBOX_DUPLICATE);
    assert_int_equal(hf_inbox_data(&in, 0), HF_INBOX_IGNORE);
    assert_int_equal(hf_inbox_data(&in, 7), HF_INBOX_DELIVER);
    assert_int_equal(hf_inbox_position(&in), 7);
}

static void a_hole_is_asked_for_once(void **state)
{
    struct hf_inbox in = placed(5);

    (void)state;
    assert_int_equal(hf_inbox_data(&in, 8), HF_INBOX_SYNC);
    assert_int_equal(hf_inbox_position(&in), 5);
    assert_int_equal(hf_inbox_data(&in, 9), HF_INBOX_IGNORE);
    assert_int_equal(hf_inbox_data(&in, 6), HF_INBOX_DELIVER);
    assert_int_equal(hf_inbox_data(&in, 9), HF_INBOX_SYNC);
    hf_inbox_lost(&in); /* with the session, the answer */
    assert_int_equal(hf_inbox_data(&in, 9), HF_INBOX_SYNC);
}

static void a_gap_counts_only_above_the_position(void **state)
{
    struct hf_inbox in = placed(5);
    struct hf_inbox_range range = {0, 0};

    (void)state;
    assert_int_equal(hf_inbox_gap(&in, 1, 5, &range), HF_INBOX_DUPLICATE);
    assert_int_equal(hf_inbox_gap(&in, 3, 9, &range), HF_INBOX_DELIVER);
    assert_int_equal(range.from, 6);
    assert_int_equal(range.to, 9);
    assert_int_equal(hf_inbox_data(&in, 10), HF_INBOX_DELIVER);
    assert_int_equal(hf_inbox_gap(&in, 15, 19, &range), HF_INBOX_SYNC); /* 11 to 14 are missing before it */
    assert_int_equal(hf_inbox_gap(&in, 9, 8, &range), HF_INBOX_IGNORE);
}

static void a_new_epoch_begins_at_one(void **state)
{
    struct hf_inbox in = placed(5);

    (void)state;
    assert_int_equal(hf_inbox_new_epoch(&in, HF_STR("e2")), HF_INBOX_DELIVER);
    assert_int_equal(hf_inbox_position(&in), 0);
    assert_int_equal(hf_inbox_data(&in, 1), HF_INBOX_DELIVER);
    assert_int_equal(hf_inbox_new_epoch(&in, HF_STR("e2")),
                     HF_INBOX_DUPLICATE); /* told again after a resume */
    assert_int_equal(hf_inbox_position(&in), 1);
}

static void latest_skips_without_a_gap(void **state)
{
    struct hf_inbox in;

    (void)state;
    hf_inbox_init(&in, true);
    assert_int_equal(hf_inbox_subscribed(&in, HF_STR("e1"), 7), HF_INBOX_IGNORE);
    assert_int_equal(hf_inbox_data(&in, 7), HF_INBOX_DELIVER); /* "the newest value at once" */
    assert_int_equal(hf_inbox_data(&in, 30), HF_INBOX_DELIVER);
    assert_int_equal(hf_inbox_data(&in, 29), HF_INBOX_DUPLICATE);
    assert_int_equal(hf_inbox_resumed(&in, HF_STR("e1"), 40), HF_INBOX_IGNORE);
    assert_int_equal(hf_inbox_data(&in, 40), HF_INBOX_DELIVER); /* "also on a resume" */
}

static void the_answer_to_a_subscribe_places_it(void **state)
{
    struct hf_inbox in;

    (void)state;
    hf_inbox_init(&in, false);
    assert_int_equal(hf_inbox_data(&in, 3), HF_INBOX_IGNORE); /* before the answer nothing has a place */
    assert_int_equal(hf_inbox_subscribed(&in, HF_STR("e1"), 7), HF_INBOX_IGNORE);
    assert_int_equal(hf_inbox_position(&in), 7);
    assert_false(hf_inbox_unacked(&in));
    assert_int_equal(hf_inbox_data(&in, 8), HF_INBOX_DELIVER);
    in = placed(5); /* asked with `since`: the head is no position */
    assert_int_equal(hf_inbox_subscribed(&in, HF_STR("e1"), 7), HF_INBOX_IGNORE);
    assert_int_equal(hf_inbox_position(&in), 5);
    in = placed(5); /* another epoch, and no gap that told so */
    assert_int_equal(hf_inbox_subscribed(&in, HF_STR("e2"), 7), HF_INBOX_DELIVER);
    assert_int_equal(hf_inbox_position(&in), 0);
}

static void last_begins_with_the_first_that_comes(void **state)
{
    struct hf_inbox in;

    (void)state;
    hf_inbox_init(&in, false);
    hf_inbox_float(&in);
    assert_int_equal(hf_inbox_subscribed(&in, HF_STR("e1"), 9), HF_INBOX_IGNORE);
    assert_false(hf_inbox_placed(&in));
    assert_int_equal(hf_inbox_data(&in, 8), HF_INBOX_DELIVER);
    assert_int_equal(hf_inbox_data(&in, 10), HF_INBOX_SYNC);
}

static void a_resume_takes_over_what_the_server_knows(void **state)
{
    struct hf_inbox in = placed(5);

    (void)state;
    assert_int_equal(hf_inbox_data(&in, 6), HF_INBOX_DELIVER);
    assert_true(hf_inbox_unacked(&in));
    hf_inbox_acked(&in);
    assert_false(hf_inbox_unacked(&in));
    assert_int_equal(hf_inbox_resumed(&in, HF_STR("e1"), 5), HF_INBOX_IGNORE);
    assert_true(hf_inbox_unacked(&in)); /* the acknowledgement was lost */
    assert_int_equal(hf_inbox_resumed(&in, HF_STR("e1"), 9), HF_INBOX_SYNC);
    assert_int_equal(hf_inbox_position(&in), 6);
    assert_int_equal(hf_inbox_resumed(&in, HF_STR("e2"), 0), HF_INBOX_DELIVER);
    hf_inbox_init(&in, false); /* its `subscribed` was lost: it "begins at that offset" */
    assert_int_equal(hf_inbox_resumed(&in, HF_STR("e1"), 9), HF_INBOX_IGNORE);
    assert_int_equal(hf_inbox_data(&in, 10), HF_INBOX_DELIVER);
}

static void texts_and_numbers_are_bounded(void **state)
{
    static const char longest[HF_LABEL_BYTES_MAX + 1] = {'e'};
    struct hf_inbox in = placed(5);

    (void)state;
    assert_int_equal(hf_inbox_new_epoch(&in, (struct hf_str){longest, sizeof(longest)}), HF_EPROTO);
    assert_int_equal(hf_inbox_place(&in, (struct hf_str){longest, sizeof(longest)}, 1), HF_EINVAL);
    assert_int_equal(hf_inbox_place(&in, HF_STR("e"), UINT64_C(1) << 53), HF_EINVAL);
    assert_int_equal(hf_inbox_new_epoch(&in, (struct hf_str){longest, HF_LABEL_BYTES_MAX}), HF_INBOX_DELIVER);
    assert_int_equal(hf_inbox_epoch(&in).len, HF_LABEL_BYTES_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_offset_is_delivered_once_and_in_order),
        cmocka_unit_test(a_hole_is_asked_for_once),
        cmocka_unit_test(a_gap_counts_only_above_the_position),
        cmocka_unit_test(a_new_epoch_begins_at_one),
        cmocka_unit_test(latest_skips_without_a_gap),
        cmocka_unit_test(the_answer_to_a_subscribe_places_it),
        cmocka_unit_test(last_begins_with_the_first_that_comes),
        cmocka_unit_test(a_resume_takes_over_what_the_server_knows),
        cmocka_unit_test(texts_and_numbers_are_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
