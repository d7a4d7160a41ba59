#include "session/outbox.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static const struct hf_str no_id = {NULL, 0};

static void add(struct hf_outbox *o, unsigned count)
{
    char payload[16];
    uint64_t id;

    while (count-- > 0) {
        (void)snprintf(payload, sizeof(payload), "%u", count);
        assert_int_equal(hf_outbox_add(o, HF_STR("demo"), no_id, hf_str_from(payload), &id), 0);
    }
}

static unsigned write_all(struct hf_outbox *o)
{
    unsigned written = 0;

    for (; hf_outbox_next(o) != NULL; written++)
        hf_outbox_wrote(o);
    return written;
}

static unsigned pop_all(struct hf_outbox *o, uint64_t seq)
{
    struct hf_outbox_item *item;
    unsigned popped = 0;

    for (; (item = hf_outbox_pop(o, seq)) != NULL; popped++)
        free(item);
    return popped;
}

static uint64_t next_seq(const struct hf_outbox *o)
{
    return hf_outbox_seq(o, hf_outbox_next(o));
}

static void publishes_are_numbered_and_kept_until_acked(void **state)
{
    struct hf_outbox o;
    const struct hf_outbox_item *item;
    uint64_t id;

    (void)state;
    hf_outbox_init(&o, 100, 10000, 100);
    assert_int_equal(hf_outbox_add(&o, HF_STR("demo"), HF_STR("i1"), HF_STR("\"x\""), &id), 0);
    assert_int_equal(id, 1);
    item = hf_outbox_next(&o);
    assert_true(hf_str_eq(item->channel, HF_STR("demo")) && hf_str_eq(item->id, HF_STR("i1")) &&
                hf_str_eq(item->payload, HF_STR("\"x\"")));
    assert_int_equal(hf_outbox_seq(&o, item), 1);
    add(&o, 40); /* more than the first ring holds */
    assert_int_equal(write_all(&o), 41);
    assert_int_equal(pop_all(&o, 30), 30);
    assert_int_equal(o.count, 11);
    assert_int_equal(pop_all(&o, 30), 0); /* the same ack again */
    assert_int_equal(pop_all(&o, 1000), 11);
    assert_int_equal(o.bytes, 0);
    add(&o, 1);
    assert_int_equal(next_seq(&o), 42);
    hf_outbox_release(&o);
}

static void what_was_not_sent_is_not_acked(void **state)
{
    struct hf_outbox o;

    (void)state;
    hf_outbox_init(&o, 100, 10000, 2);
    add(&o, 5);
    assert_int_equal(write_all(&o), 2); /* the window */
    assert_int_equal(hf_outbox_seq_sent(&o), 2);
    assert_int_equal(pop_all(&o, 5), 2);
    assert_int_equal(write_all(&o), 2);
    hf_outbox_release(&o);
}

static void bounds_hold_in_messages_and_bytes(void **state)
{
    struct hf_outbox o;
    char large[600] = "";
    uint64_t id;

    (void)state;
    hf_outbox_init(&o, 3, 600, 10);
    assert_int_equal(hf_outbox_add(&o, HF_STR("demo"), no_id, (struct hf_str){large, sizeof(large)}, &id),
                     HF_ETOOLARGE);
    add(&o, 3);
    assert_int_equal(hf_outbox_add(&o, HF_STR("demo"), no_id, HF_STR("1"), &id), HF_EAGAIN);
    assert_int_equal(write_all(&o), 3);
    assert_int_equal(pop_all(&o, 2), 2);
    assert_int_equal(hf_outbox_add(&o, HF_STR("demo"), no_id, (struct hf_str){large, 480}, &id), HF_EAGAIN);
    assert_int_equal(hf_outbox_add(&o, HF_STR("demo"), no_id, (struct hf_str){large, 200}, &id), 0);
    hf_outbox_release(&o);
}

static void a_resume_writes_again_what_is_above_last_seq(void **state)
{
    struct hf_outbox o;

    (void)state;
    hf_outbox_init(&o, 100, 10000, 100);
    add(&o, 10);
    assert_int_equal(write_all(&o), 10);
    assert_int_equal(pop_all(&o, 3), 3);
    hf_outbox_disconnected(&o);
    assert_int_equal(hf_outbox_resumed(&o, 6), 0);
    assert_int_equal(next_seq(&o), 7);
    assert_int_equal(o.count, 7); /* 4 to 6 wait for their nacks */
    assert_int_equal(pop_all(&o, 6), 3);
    assert_int_equal(next_seq(&o), 7);
    assert_int_equal(write_all(&o), 4);
    hf_outbox_release(&o);
}

/* What was sent on the lost connection may have arrived, however little of it has been written again. */
static void what_was_sent_stays_sent(void **state)
{
    struct hf_outbox o;

    (void)state;
    hf_outbox_init(&o, 100, 10000, 100);
    add(&o, 10);
    assert_int_equal(write_all(&o), 10);
    hf_outbox_disconnected(&o);
    hf_outbox_wrote(&o);
    assert_int_equal(hf_outbox_seq_sent(&o), 10);
    assert_int_equal(pop_all(&o, 10), 10);
    hf_outbox_release(&o);
}

static void a_last_seq_that_cannot_be_is_seen(void **state)
{
    struct hf_outbox o;

    (void)state;
    hf_outbox_init(&o, 100, 10000, 100);
    add(&o, 5);
    assert_int_equal(write_all(&o), 5);
    assert_int_equal(pop_all(&o, 3), 3);
    add(&o, 5);
    hf_outbox_disconnected(&o);
    assert_int_equal(hf_outbox_resumed(&o, 2), HF_EPROTO); /* 3 was acknowledged */
    assert_int_equal(hf_outbox_resumed(&o, 6), HF_EPROTO); /* 6 was never sent */
    assert_int_equal(hf_outbox_resumed(&o, 5), 0);
    hf_outbox_release(&o);
}

static void a_new_session_numbers_from_one(void **state)
{
    struct hf_outbox o;
    uint64_t id;

    (void)state;
    hf_outbox_init(&o, 100, 10000, 100);
    add(&o, 5);
    assert_int_equal(write_all(&o), 5);
    hf_outbox_disconnected(&o);
    assert_int_equal(pop_all(&o, 2), 2);
    hf_outbox_renewed(&o);
    assert_int_equal(hf_outbox_seq_sent(&o), 0);
    assert_int_equal(pop_all(&o, 100), 0); /* nothing is sent in this session */
    assert_int_equal(next_seq(&o), 1);
    assert_int_equal(hf_outbox_next(&o)->publish_id, 3);
    assert_int_equal(write_all(&o), 3);
    assert_int_equal(pop_all(&o, 3), 3);
    assert_int_equal(hf_outbox_add(&o, HF_STR("demo"), no_id, HF_STR("1"), &id), 0);
    assert_int_equal(id, 6);
    assert_int_equal(next_seq(&o), 4);
    hf_outbox_release(&o);
}

static void refused_items_leave_at_the_front_only(void **state)
{
    struct hf_outbox o;

    (void)state;
    hf_outbox_init(&o, 100, 10000, 100);
    add(&o, 4);
    hf_outbox_wrote(&o);
    hf_outbox_wrote(&o);
    assert_null(hf_outbox_find(&o, 3)); /* not sent */
    assert_null(hf_outbox_find(&o, 0));
    hf_outbox_find(&o, 2)->refused = true;
    assert_null(hf_outbox_pop_refused(&o)); /* 1 is before it */
    assert_int_equal(pop_all(&o, 1), 1);
    free(hf_outbox_pop_refused(&o));
    assert_int_equal(o.count, 2);
    assert_null(hf_outbox_find(&o, 2));
    hf_outbox_release(&o);
}

static void an_unused_number_is_given_to_the_next(void **state)
{
    struct hf_outbox o;
    struct hf_outbox_item *item;

    (void)state;
    hf_outbox_init(&o, 100, 10000, 100);
    add(&o, 3);
    assert_int_equal(write_all(&o), 3);
    hf_outbox_disconnected(&o);
    item = hf_outbox_pop_unused(&o);
    assert_int_equal(item->publish_id, 1);
    free(item);
    assert_int_equal(next_seq(&o), 1);
    assert_int_equal(hf_outbox_next(&o)->publish_id, 2);
    hf_outbox_release(&o);
}

/* What a predecessor left goes on with its numbers, however small the bounds are now. */
static void an_outbox_is_restored_with_its_numbers(void **state)
{
    struct hf_outbox o;
    uint64_t id;
    unsigned i;

    (void)state;
    hf_outbox_init(&o, 2, 200, 10);
    hf_outbox_restore(&o, 41, 30);
    for (i = 0; i < 20; i++)
        assert_int_equal(hf_outbox_restore_item(&o, HF_STR("demo"), no_id, HF_STR("\"left\""), no_id), 0);
    hf_outbox_restore_sent(&o, 3);
    assert_int_equal(hf_outbox_seq_sent(&o), 13);
    assert_int_equal(next_seq(&o), 11);
    assert_int_equal(hf_outbox_add(&o, HF_STR("demo"), no_id, HF_STR("1"), &id), HF_EAGAIN);
    assert_int_equal(hf_outbox_resumed(&o, 12), 0);
    assert_int_equal(pop_all(&o, 12), 2);
    assert_int_equal(hf_outbox_next(&o)->publish_id, 43);
    assert_int_equal(write_all(&o), 10);
    assert_int_equal(pop_all(&o, 100), 10);
    assert_int_equal(write_all(&o), 8);
    assert_int_equal(pop_all(&o, 100), 8);
    assert_int_equal(hf_outbox_add(&o, HF_STR("demo"), no_id, HF_STR("1"), &id), 0);
    assert_int_equal(id, 61);
    hf_outbox_release(&o);
}

static void what_may_be_written_next_is_foretold(void **state)
{
    struct hf_outbox o;

    (void)state;
    hf_outbox_init(&o, 100, 100000, 6);
    assert_int_equal(hf_outbox_ahead(&o, 1000000), 0);
    add(&o, 10);
    assert_int_equal(hf_outbox_ahead(&o, 1000000), 6); /* the window */
    assert_int_equal(hf_outbox_ahead(&o, 1), 1);
    hf_outbox_wrote(&o);
    assert_int_equal(hf_outbox_ahead(&o, 1), 2);
    assert_int_equal(hf_outbox_ahead(&o, 0), 1);
    hf_outbox_release(&o);
}

static void the_newest_can_be_taken_back(void **state)
{
    struct hf_outbox o;
    uint64_t id;

    (void)state;
    hf_outbox_init(&o, 100, 10000, 100);
    add(&o, 2);
    hf_outbox_wrote(&o);
    assert_int_equal(hf_outbox_newest(&o)->publish_id, 2);
    hf_outbox_take_back(&o);
    assert_null(hf_outbox_next(&o));
    assert_int_equal(hf_outbox_add(&o, HF_STR("demo"), no_id, HF_STR("1"), &id), 0);
    assert_int_equal(id, 2);
    assert_int_equal(pop_all(&o, 100), 1);
    hf_outbox_release(&o);
}

/* A session that is over: what the server may have got is told apart from what it cannot have. */
static void what_is_left_is_taken_by_kind(void **state)
{
    struct hf_outbox o;
    unsigned taken;

    (void)state;
    hf_outbox_init(&o, 100, 10000, 2);
    assert_null(hf_outbox_take(&o, true));
    assert_null(hf_outbox_take(&o, false));
    add(&o, 5);
    assert_int_equal(write_all(&o), 2);
    hf_outbox_disconnected(&o);
    assert_null(hf_outbox_take(&o, false));
    for (taken = 0; taken < 2; taken++) {
        struct hf_outbox_item *item = hf_outbox_take(&o, true);

        assert_int_equal(item->publish_id, taken + 1);
        free(item);
    }
    assert_null(hf_outbox_take(&o, true));
    for (; taken < 5; taken++) {
        struct hf_outbox_item *item = hf_outbox_take(&o, false);

        assert_int_equal(item->publish_id, taken + 1);
        free(item);
    }
    assert_null(hf_outbox_take(&o, false));
    assert_int_equal(o.bytes, 0);
    hf_outbox_release(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(publishes_are_numbered_and_kept_until_acked),
        cmocka_unit_test(what_was_not_sent_is_not_acked),
        cmocka_unit_test(bounds_hold_in_messages_and_bytes),
        cmocka_unit_test(a_resume_writes_again_what_is_above_last_seq),
        cmocka_unit_test(what_was_sent_stays_sent),
        cmocka_unit_test(a_last_seq_that_cannot_be_is_seen),
        cmocka_unit_test(a_new_session_numbers_from_one),
        cmocka_unit_test(refused_items_leave_at_the_front_only),
        cmocka_unit_test(an_unused_number_is_given_to_the_next),
        cmocka_unit_test(an_outbox_is_restored_with_its_numbers),
        cmocka_unit_test(what_may_be_written_next_is_foretold),
        cmocka_unit_test(the_newest_can_be_taken_back),
        cmocka_unit_test(what_is_left_is_taken_by_kind),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
