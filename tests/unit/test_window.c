#include "session/window.h"

#include "base/rng.h"
#include "fault_malloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { PLENTY = 1000 };

static void add(struct hf_window *w, unsigned count)
{
    while (count-- > 0)
        assert_int_equal(hf_window_add(w, PLENTY), 0);
}

static void pops(struct hf_window *w, uint64_t want_seq, uint64_t want_offset)
{
    uint64_t seq = 0, offset = 0;

    assert_true(hf_window_ready(w));
    assert_true(hf_window_pop(w, &seq, &offset));
    assert_int_equal(seq, want_seq);
    assert_int_equal(offset, want_offset);
}

/* "Answers arrive in any order …; acks are cumulative, so they leave in the order of seq" */
static void an_answer_waits_for_those_before_it(void **state)
{
    struct hf_window w;
    uint64_t seq, offset;

    (void)state;
    hf_window_init(&w, 5);
    assert_int_equal(hf_window_next_seq(&w), 5);
    add(&w, 3);
    assert_int_equal(hf_window_next_seq(&w), 8);
    hf_window_done(&w, 7, 70);
    hf_window_done(&w, 6, HF_WINDOW_REFUSED | 3);
    assert_false(hf_window_ready(&w));
    assert_false(hf_window_pop(&w, &seq, &offset));
    hf_window_done(&w, 5, HF_WINDOW_UNKNOWN);
    pops(&w, 5, HF_WINDOW_UNKNOWN);
    pops(&w, 6, HF_WINDOW_REFUSED | 3);
    pops(&w, 7, 70);
    assert_false(hf_window_ready(&w));
    assert_int_equal(hf_window_next_seq(&w), 8);
    hf_window_release(&w);
}

/* "One that is not in the window, or answered already, is ignored." */
static void a_strange_answer_is_ignored(void **state)
{
    struct hf_window w;

    (void)state;
    hf_window_init(&w, 5);
    hf_window_done(&w, 5, 1); /* Nothing is there yet. */
    add(&w, 2);
    hf_window_done(&w, 4, 1);
    hf_window_done(&w, 0, 1);
    hf_window_done(&w, 7, 1);
    hf_window_done(&w, UINT64_MAX, 1);
    assert_false(hf_window_ready(&w));
    hf_window_done(&w, 5, 50);
    hf_window_done(&w, 5, 51);
    pops(&w, 5, 50);
    hf_window_done(&w, 5, 52);
    assert_false(hf_window_ready(&w));
    hf_window_done(&w, 6, 60);
    pops(&w, 6, 60);
    hf_window_release(&w);
}

/* "HF_EAGAIN (full: answer first)", at any maximum, also one that is no power of two. */
static void it_takes_no_more_than_its_maximum(void **state)
{
    (void)state;
    for (uint32_t max = 0; max < 70; max++) {
        struct hf_window w;

        hf_window_init(&w, 1);
        add(&w, max);
        assert_int_equal(hf_window_add(&w, max), HF_EAGAIN);
        assert_int_equal(hf_window_next_seq(&w), max + 1);
        if (max > 0) {
            hf_window_done(&w, 1, 9);
            pops(&w, 1, 9);
            add(&w, 1);
            assert_int_equal(hf_window_add(&w, max), HF_EAGAIN);
        }
        hf_window_release(&w);
    }
}

/* An idle session holds no memory here; its next seq goes on. */
static void an_empty_window_holds_no_memory(void **state)
{
    struct hf_window w;

    (void)state;
    hf_window_init(&w, 1);
    for (uint64_t seq = 1; seq < 30; seq++) {
        assert_null(w.ring);
        add(&w, 1);
        assert_non_null(w.ring);
        hf_window_done(&w, seq, seq * 10);
        pops(&w, seq, seq * 10);
    }
    assert_null(w.ring);
    assert_int_equal(hf_window_next_seq(&w), 30);
}

static void random_answers_leave_in_order(void **state)
{
    struct hf_rng rng = {5};
    struct hf_window w;
    uint64_t next_out = 1, seq, offset;

    (void)state;
    hf_window_init(&w, 1);
    for (unsigned i = 0; i < 200000; i++) {
        if (hf_rng_below(&rng, 1000) < (i % 20000 < 10000 ? 550u : 300u)) {
            bool full = hf_window_count(&w) == 300;

            assert_int_equal(hf_window_add(&w, 300), full ? HF_EAGAIN : 0);
        } else if (hf_window_count(&w) > 0) {
            seq = w.first_seq + hf_rng_below(&rng, hf_window_count(&w) < 20 ? hf_window_count(&w) : 20);
            hf_window_done(&w, seq, seq * 7);
        }
        while (hf_window_pop(&w, &seq, &offset)) {
            assert_int_equal(seq, next_out++);
            assert_int_equal(offset, seq * 7);
        }
    }
    assert_true(next_out > 10000);
    hf_window_release(&w);
}

/* "HF_ENOMEM": nothing is lost, and the seq is still the next. */
static void an_add_without_memory_changes_nothing(void **state)
{
    struct hf_window w;
    unsigned refused = 0;

    (void)state;
    hf_window_init(&w, 1);
    for (uint64_t seq = 1; seq <= 500; seq++) {
        int err;

        fault_arm(1);
        err = hf_window_add(&w, PLENTY);
        if (fault_disarm()) {
            refused++;
            assert_int_equal(err, HF_ENOMEM);
            assert_int_equal(hf_window_next_seq(&w), seq);
            err = hf_window_add(&w, PLENTY);
        }
        assert_int_equal(err, 0);
        hf_window_done(&w, seq, seq + 1000);
    }
    assert_int_equal(refused, 6); /* 16, 32, 64, 128, 256, 512. */
    for (uint64_t seq = 1; seq <= 500; seq++)
        pops(&w, seq, seq + 1000);
    hf_window_release(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_waits_for_those_before_it),
        cmocka_unit_test(a_strange_answer_is_ignored),
        cmocka_unit_test(it_takes_no_more_than_its_maximum),
        cmocka_unit_test(an_empty_window_holds_no_memory),
        cmocka_unit_test(random_answers_leave_in_order),
        cmocka_unit_test(an_add_without_memory_changes_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
