#include "channel/cursor.h"

#include "base/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct hf_start_request since(uint64_t offset, uint64_t oldest, uint64_t head)
{
    return (struct hf_start_request){
        .from = HF_START_SINCE, .same_epoch = true, .offset = offset, .oldest = oldest, .head = head};
}

static void stands_at(const struct hf_cursor *c, uint64_t next_offset)
{
    assert_int_equal(c->next_offset, next_offset);
    assert_int_equal(c->sent_offset, next_offset - 1);
}

static void is(struct hf_start_outcome got, struct hf_start_outcome want)
{
    assert_int_equal(got.recovered, want.recovered);
    assert_int_equal(got.new_epoch, want.new_epoch);
    assert_int_equal(got.gap_from, want.gap_from);
    assert_int_equal(got.gap_to, want.gap_to);
}

/* "nothing: from the head on." "recovered: … (true where none was asked)" */
static void without_a_position_it_starts_behind_the_head(void **state)
{
    struct hf_cursor c;
    struct hf_start_request r = {.from = HF_START_HEAD, .head = 10, .oldest = 3};

    (void)state;
    is(hf_cursor_start(&c, &r), (struct hf_start_outcome){.recovered = true});
    stands_at(&c, 11);
    r = (struct hf_start_request){.from = HF_START_HEAD, .head = 0, .oldest = 1};
    is(hf_cursor_start(&c, &r), (struct hf_start_outcome){.recovered = true});
    stands_at(&c, 1);
}

/* "since: from behind that offset" */
static void since_starts_behind_the_offset(void **state)
{
    struct hf_cursor c;
    struct hf_start_request r = since(5, 3, 10);

    (void)state;
    is(hf_cursor_start(&c, &r), (struct hf_start_outcome){.recovered = true});
    stands_at(&c, 6);
    r = since(10, 3, 10); /* All of it is known: nothing follows, and nothing is missing. */
    is(hf_cursor_start(&c, &r), (struct hf_start_outcome){.recovered = true});
    stands_at(&c, 11);
    r = since(0, 1, 0); /* A channel without a message. */
    is(hf_cursor_start(&c, &r), (struct hf_start_outcome){.recovered = true});
    stands_at(&c, 1);
    r = since(2, 3, 10); /* The oldest that is kept is just the next. */
    is(hf_cursor_start(&c, &r), (struct hf_start_outcome){.recovered = true});
    stands_at(&c, 3);
    r = since(10, 11, 10); /* History is empty and nothing of it is asked. */
    is(hf_cursor_start(&c, &r), (struct hf_start_outcome){.recovered = true});
    stands_at(&c, 11);
}

/* "recovered: all since the asked position follows …. If not, a gap comes first" */
static void since_tells_what_is_evicted(void **state)
{
    struct hf_cursor c;
    struct hf_start_request r = since(1, 3, 10);

    (void)state;
    is(hf_cursor_start(&c, &r), (struct hf_start_outcome){.gap_from = 2, .gap_to = 2});
    stands_at(&c, 3);
    r = since(0, 11, 10);
    is(hf_cursor_start(&c, &r), (struct hf_start_outcome){.gap_from = 1, .gap_to = 10});
    stands_at(&c, 11);
}

/* "one above the head counts as another epoch" */
static void since_above_the_head_counts_as_another_epoch(void **state)
{
    static const uint64_t above[] = {11, 12, UINT64_C(1) << 53, UINT64_MAX};
    struct hf_cursor c;

    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        struct hf_start_request r = since(above[i], 1, 10);

        is(hf_cursor_start(&c, &r), (struct hf_start_outcome){.new_epoch = true});
        stands_at(&c, 1);
    }
}

/* "epoch: the channel was begun anew …, delivery goes on from its offset 1, and a second gap tells what of that is evicted" */
static void since_another_epoch_starts_at_the_beginning(void **state)
{
    struct hf_cursor c;
    struct hf_start_request r = since(7, 1, 10);

    (void)state;
    r.same_epoch = false;
    is(hf_cursor_start(&c, &r), (struct hf_start_outcome){.new_epoch = true});
    stands_at(&c, 1);
    r.oldest = 4;
    is(hf_cursor_start(&c, &r), (struct hf_start_outcome){.new_epoch = true, .gap_from = 1, .gap_to = 3});
    stands_at(&c, 4);
    r = (struct hf_start_request){.from = HF_START_SINCE, .offset = 7, .oldest = 1, .head = 0};
    is(hf_cursor_start(&c, &r), (struct hf_start_outcome){.new_epoch = true});
    stands_at(&c, 1);
}

/* "last: the newest n, or what there is, then live." */
static void last_starts_at_the_newest_n(void **state)
{
    static const struct {
        uint64_t last, oldest, head, next;
    } cases[] = {
        {3, 1, 10, 8},  {10, 1, 10, 1}, {11, 1, 10, 1}, {UINT64_MAX, 1, 10, 1}, {3, 9, 10, 9},
        {0, 1, 10, 11}, {1, 1, 10, 10}, {5, 1, 0, 1},   {5, 11, 10, 11},
    };
    struct hf_cursor c;

    (void)state;
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct hf_start_request r = {
            .from = HF_START_LAST, .last = cases[i].last, .oldest = cases[i].oldest, .head = cases[i].head};

        is(hf_cursor_start(&c, &r), (struct hf_start_outcome){.recovered = true});
        stands_at(&c, cases[i].next);
    }
}

/* "latest: the newest value at once" */
static void latest_starts_at_the_newest(void **state)
{
    struct hf_cursor c;
    struct hf_start_request r = {.from = HF_START_LATEST, .oldest = 3, .head = 10};

    (void)state;
    is(hf_cursor_start(&c, &r), (struct hf_start_outcome){.recovered = true});
    stands_at(&c, 10);
    r.oldest = 11; /* There is none any more. */
    is(hf_cursor_start(&c, &r), (struct hf_start_outcome){.recovered = true});
    stands_at(&c, 11);
    r = (struct hf_start_request){.from = HF_START_LATEST, .oldest = 1, .head = 0};
    is(hf_cursor_start(&c, &r), (struct hf_start_outcome){.recovered = true});
    stands_at(&c, 1);
}

/* "Each subscription goes on behind the last offset that the client acknowledged", "latest: … also on a resume" */
static void a_resume_goes_on_behind_what_was_acknowledged(void **state)
{
    struct hf_cursor c;

    (void)state;
    hf_cursor_resume(&c, 4, false, 10);
    stands_at(&c, 5);
    hf_cursor_resume(&c, 0, false, 0);
    stands_at(&c, 1);
    hf_cursor_resume(&c, 4, true, 10);
    assert_int_equal(c.next_offset, 10);
    assert_int_equal(c.sent_offset, 4);
    hf_cursor_resume(&c, 10, true,
                     10); /* The value may have got lost behind the ack's sender: it is sent again. */
    assert_int_equal(c.next_offset, 10);
    assert_int_equal(c.sent_offset, 10);
    hf_cursor_resume(&c, 0, true, 0);
    stands_at(&c, 1);
}

/* "cumulative …; one above what this connection was sent is ignored and counted" */
static void an_ack_moves_forward_only_and_never_above_what_was_sent(void **state)
{
    struct hf_cursor c;
    uint64_t acked = 4;

    (void)state;
    hf_cursor_resume(&c, acked, false, 10);
    assert_false(hf_cursor_ack(&c, 5, &acked));
    assert_int_equal(acked, 4);
    hf_cursor_sent(&c, 5);
    hf_cursor_sent(&c, 6);
    hf_cursor_sent(&c, 7);
    assert_true(hf_cursor_ack(&c, 6, &acked));
    assert_int_equal(acked, 6);
    assert_true(hf_cursor_ack(&c, 5, &acked)); /* "An older one than the last is no fault." */
    assert_int_equal(acked, 6);
    assert_false(hf_cursor_ack(&c, 8, &acked));
    assert_false(hf_cursor_ack(&c, UINT64_MAX, &acked));
    assert_int_equal(acked, 6);
    assert_true(hf_cursor_ack(&c, 7, &acked));
    assert_int_equal(acked, 7);
    assert_int_equal(c.next_offset, 8);
}

/* "set the cursor back behind offset: send again what follows", and "never beyond what is next anyway" */
static void a_sync_request_sets_back_only(void **state)
{
    struct hf_cursor c;
    uint64_t acked = 0;

    (void)state;
    hf_cursor_resume(&c, 0, false, 10);
    for (uint64_t offset = 1; offset <= 8; offset++)
        hf_cursor_sent(&c, offset);
    assert_true(hf_cursor_ack(&c, 6, &acked));
    hf_cursor_sync(&c, 3);
    assert_int_equal(c.next_offset, 4);
    assert_int_equal(acked, 6);
    assert_true(hf_cursor_ack(&c, 8, &acked)); /* It was sent, before the cursor went back. */
    hf_cursor_sync(&c, 3);
    assert_int_equal(c.next_offset, 4);
    hf_cursor_sync(&c, 9);
    assert_int_equal(c.next_offset, 4);
    hf_cursor_sync(&c, UINT64_MAX);
    assert_int_equal(c.next_offset, 4);
    hf_cursor_sync(&c, 0);
    assert_int_equal(c.next_offset, 1);
    hf_cursor_sent(&c, 1);
    assert_int_equal(c.next_offset, 2);
    assert_int_equal(c.sent_offset, 8);
}

/* "acked <= sent_offset; acked never goes back but by a new subscribe; next_offset >= 1" */
static void the_invariant_holds_whatever_happens(void **state)
{
    struct hf_rng rng = {4};
    struct hf_cursor c;
    uint64_t acked = 0;

    (void)state;
    hf_cursor_resume(&c, 0, false, 0);
    for (unsigned i = 0; i < 100000; i++) {
        uint64_t before = acked, sent = c.sent_offset, offset = hf_rng_below(&rng, 200);
        bool taken;

        switch (hf_rng_below(&rng, 3)) {
        case 0:
            taken = hf_cursor_ack(&c, offset, &acked);
            assert_int_equal(taken, offset <= sent);
            break;
        case 1:
            hf_cursor_sync(&c, offset);
            break;
        default:
            hf_cursor_sent(&c, c.next_offset + hf_rng_below(&rng, 2)); /* Or one was skipped, with a gap. */
        }
        assert_true(acked >= before && acked <= c.sent_offset);
        assert_true(c.sent_offset >= sent && c.next_offset >= 1 && c.next_offset <= c.sent_offset + 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_position_it_starts_behind_the_head),
        cmocka_unit_test(since_starts_behind_the_offset),
        cmocka_unit_test(since_tells_what_is_evicted),
        cmocka_unit_test(since_above_the_head_counts_as_another_epoch),
        cmocka_unit_test(since_another_epoch_starts_at_the_beginning),
        cmocka_unit_test(last_starts_at_the_newest_n),
        cmocka_unit_test(latest_starts_at_the_newest),
        cmocka_unit_test(a_resume_goes_on_behind_what_was_acknowledged),
        cmocka_unit_test(an_ack_moves_forward_only_and_never_above_what_was_sent),
        cmocka_unit_test(a_sync_request_sets_back_only),
        cmocka_unit_test(the_invariant_holds_whatever_happens),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
