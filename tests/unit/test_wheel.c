#include "base/wheel.h"

#include "base/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { TIMERS = 400, REACH_MS = HF_WHEEL_TICK_MS * HF_WHEEL_SLOTS };

static struct hf_wheel wheel; /* 32 KiB: too much for a stack. */

struct alarm {
    struct hf_timer timer;
    uint64_t due_ms; /* UINT64_MAX: none is set */
    bool far;        /* beyond the wheel's reach when it was added */
    unsigned fired;
};

static struct alarm *alarm_of(struct hf_timer *t)
{
    return HF_CONTAINER(t, struct alarm, timer);
}

static void set(struct alarm *a, uint64_t due_ms)
{
    a->due_ms = due_ms;
    a->far = due_ms > (wheel.tick + HF_WHEEL_SLOTS - 1) * HF_WHEEL_TICK_MS;
    hf_wheel_add(&wheel, &a->timer, due_ms);
}

static void init(struct alarm *alarms, unsigned count, uint64_t now_ms)
{
    memset(alarms, 0, sizeof(*alarms) * count);
    hf_wheel_init(&wheel, now_ms);
    for (unsigned i = 0; i < count; i++) {
        hf_timer_init(&alarms[i].timer);
        alarms[i].due_ms = UINT64_MAX;
    }
}

/* What an owner does with a timer: one that came early is added again. */
static void take_all(uint64_t now_ms)
{
    struct hf_timer *t;

    while ((t = hf_wheel_pop(&wheel, now_ms)) != NULL) {
        struct alarm *a = alarm_of(t);

        if (a->due_ms > now_ms) { /* "a far one is handed out early" */
            assert_true(a->far);
            set(a, a->due_ms);
            continue;
        }
        a->due_ms = UINT64_MAX;
        a->fired++;
    }
}

/* A timer comes in the first 50 ms window that begins at or after its time, never before it and never a turn later. */
static void random_timers_fire_in_their_window(void **state)
{
    static struct alarm alarms[TIMERS];
    struct hf_rng rng = {2};
    uint64_t now_ms = 123456789;

    (void)state;
    init(alarms, TIMERS, now_ms);
    for (unsigned turn = 0; turn < 20000; turn++) {
        struct alarm *a = &alarms[hf_rng_below(&rng, TIMERS)];
        unsigned in_wheel = 0;

        switch (hf_rng_below(&rng, 8)) {
        case 0:
            hf_wheel_remove(&wheel, &a->timer);
            a->due_ms = UINT64_MAX;
            break;
        case 1: /* Beyond the wheel's reach. */
            set(a, now_ms + REACH_MS + hf_rng_below(&rng, 3 * REACH_MS));
            break;
        case 2: /* In the past. */
            set(a, now_ms - hf_rng_below(&rng, 1000));
            break;
        default: /* Set, or moved. */
            set(a, now_ms + hf_rng_below(&rng, REACH_MS));
        }
        now_ms += hf_rng_below(&rng, 200) == 0 ? hf_rng_below(&rng, 2 * REACH_MS) : hf_rng_below(&rng, 60);
        take_all(now_ms);
        for (unsigned i = 0; i < TIMERS; i++) {
            /* What is still there is not overdue by as much as a window. */
            assert_true(alarms[i].due_ms > now_ms - now_ms % HF_WHEEL_TICK_MS);
            in_wheel += alarms[i].due_ms != UINT64_MAX;
        }
        assert_int_equal(wheel.count, in_wheel);
    }
}

/* "All that falls into one is handed out together." */
static void a_window_is_handed_out_together_and_in_the_order_of_adding(void **state)
{
    static struct alarm alarms[10];

    (void)state;
    init(alarms, 10, 1000);
    for (unsigned i = 0; i < 10; i++)
        set(&alarms[i], 1051 + i * 4);
    assert_null(hf_wheel_pop(&wheel, 1099));
    for (unsigned i = 0; i < 10; i++)
        assert_ptr_equal(hf_wheel_pop(&wheel, 1100), &alarms[i].timer);
    assert_null(hf_wheel_pop(&wheel, 1100));
}

/* What postpones a deadline touches no list: the timer comes at its first time and is then added for the second. */
static void a_postponed_timer_comes_again_at_its_new_time(void **state)
{
    static struct alarm a;

    (void)state;
    init(&a, 1, 0);
    set(&a, 25000);
    a.due_ms = 49000;
    assert_null(hf_wheel_pop(&wheel, 24999));
    assert_ptr_equal(hf_wheel_pop(&wheel, 25000), &a.timer);
    set(&a, a.due_ms);
    take_all(48999);
    assert_int_equal(a.fired, 0);
    take_all(49000);
    assert_int_equal(a.fired, 1);
    assert_int_equal(wheel.count, 0);
}

/* "A time in the past is the next tick", also while the present one is being handed out. */
static void a_time_in_the_past_is_due_at_once(void **state)
{
    static struct alarm a, b;

    (void)state;
    init(&a, 1, 100000);
    hf_timer_init(&b.timer);
    set(&a, 0);
    assert_int_equal(hf_wheel_deadline_ms(&wheel, 100033, 1000), 100033);
    assert_ptr_equal(hf_wheel_pop(&wheel, 100000), &a.timer);
    set(&b, 99999);
    assert_ptr_equal(hf_wheel_pop(&wheel, 100000), &b.timer);
    assert_null(hf_wheel_pop(&wheel, 100000));
}

/* "A far one is handed out early", not at once: a time that never comes must not keep the loop awake. */
static void a_time_that_never_comes_is_handed_out_once_a_round(void **state)
{
    static struct alarm a;
    unsigned handed_out = 0;

    (void)state;
    init(&a, 1, 5000);
    set(&a, UINT64_MAX);
    for (uint64_t now_ms = 5000; now_ms < 5000 + 10 * (uint64_t)REACH_MS; now_ms += 25)
        if (hf_wheel_pop(&wheel, now_ms) != NULL) {
            handed_out++;
            set(&a, UINT64_MAX);
        }
    assert_in_range(handed_out, 9, 11);
}

static void removing_a_timer_twice_or_from_nowhere_is_allowed(void **state)
{
    static struct alarm a;

    (void)state;
    init(&a, 1, 0);
    hf_wheel_remove(&wheel, &a.timer);
    assert_int_equal(wheel.count, 0);
    set(&a, 100);
    hf_wheel_remove(&wheel, &a.timer);
    hf_wheel_remove(&wheel, &a.timer);
    assert_int_equal(wheel.count, 0);
    assert_null(hf_wheel_pop(&wheel, 1000));
}

/* "The end of the first slot in use, within most_ms from now": to wait so long never misses a timer and never wakes for nothing. */
static void the_deadline_is_the_next_window_in_use(void **state)
{
    static struct alarm a;
    struct hf_rng rng = {3};

    (void)state;
    init(&a, 1, 7);
    assert_int_equal(hf_wheel_deadline_ms(&wheel, 7, 1000), 1007);
    for (unsigned i = 0; i < 20000; i++) {
        uint64_t now_ms = i * UINT64_C(3000) + hf_rng_below(&rng, 100), wait_ms = hf_rng_below(&rng, 2000);
        uint64_t deadline_ms;

        take_all(now_ms);
        set(&a, now_ms + wait_ms);
        deadline_ms = hf_wheel_deadline_ms(&wheel, now_ms, 1000);
        assert_in_range(deadline_ms, now_ms, now_ms + 1000);
        if (deadline_ms < now_ms + 1000) {
            if (deadline_ms > now_ms)
                assert_null(hf_wheel_pop(&wheel, deadline_ms - 1));
            assert_ptr_equal(hf_wheel_pop(&wheel, deadline_ms), &a.timer);
        } else if (deadline_ms > now_ms) {
            assert_null(hf_wheel_pop(&wheel, deadline_ms - 1));
        }
        hf_wheel_remove(&wheel, &a.timer);
        a.due_ms = UINT64_MAX;
    }
}

/* A machine that slept for a month: all that is due comes, each once, and the wheel is at the new time. */
static void a_jump_of_a_month_hands_out_all_that_is_due(void **state)
{
    static struct alarm alarms[TIMERS];
    uint64_t later_ms = UINT64_C(31) * 86400 * 1000;

    (void)state;
    init(alarms, TIMERS, 0);
    for (unsigned i = 0; i < TIMERS; i++)
        set(&alarms[i], i * UINT64_C(200));
    take_all(later_ms);
    for (unsigned i = 0; i < TIMERS; i++)
        assert_int_equal(alarms[i].fired, 1);
    set(&alarms[0], later_ms + 500);
    take_all(later_ms + 499);
    assert_int_equal(alarms[0].fired, 1);
    take_all(later_ms + 550);
    assert_int_equal(alarms[0].fired, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_timers_fire_in_their_window),
        cmocka_unit_test(a_window_is_handed_out_together_and_in_the_order_of_adding),
        cmocka_unit_test(a_postponed_timer_comes_again_at_its_new_time),
        cmocka_unit_test(a_time_in_the_past_is_due_at_once),
        cmocka_unit_test(a_time_that_never_comes_is_handed_out_once_a_round),
        cmocka_unit_test(removing_a_timer_twice_or_from_nowhere_is_allowed),
        cmocka_unit_test(the_deadline_is_the_next_window_in_use),
        cmocka_unit_test(a_jump_of_a_month_hands_out_all_that_is_due),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
