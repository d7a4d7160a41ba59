#include "server/drain.h"
#include "server/rolling.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#define TEST(name) static void name(void **state)

enum { RATE = 10000, PER_SECOND = RATE * 70 / 100 };

/* "the window computed from the number of connections and the admission rate" */
TEST(the_window_lets_all_in)
{
    struct hf_drain_plan plan = hf_drain_plan(30 * PER_SECOND, RATE, 60000);

    (void)state;
    assert_int_equal(plan.wanted_ms, 30000);
    assert_int_equal(plan.window_ms, 30000);
    assert_int_equal(plan.total_ms, 30000 + HF_DRAIN_SETTLE_MS);
}

TEST(few_have_a_second)
{
    struct hf_drain_plan plan = hf_drain_plan(5, RATE, 60000);

    (void)state;
    assert_int_equal(plan.window_ms, HF_DRAIN_WINDOW_MS_LEAST);
}

/* Whatever is wanted, it ends in time, and says what it would have wanted. */
TEST(the_timeout_bounds_it)
{
    static const uint32_t timeouts[] = {0, 1, 2, 500, 5000, 600000};
    static const uint64_t counts[] = {0, 1, 10000, 1000000, UINT64_C(1) << 40};
    static const uint32_t rates[] = {0, 1, 12000, 1000000};

    (void)state;
    for (size_t i = 0; i < 6 * 5 * 4; i++) {
        uint32_t timeout_ms = timeouts[i % 6];
        struct hf_drain_plan plans[] = {hf_drain_plan(counts[i / 6 % 5], rates[i / 30], timeout_ms),
                                        hf_drain_plan_alone(counts[i / 6 % 5], rates[i / 30], timeout_ms)};

        for (int k = 0; k < 2; k++) {
            assert_true(plans[k].total_ms <= timeout_ms);
            assert_true(plans[k].window_ms <= plans[k].total_ms);
            assert_true(plans[k].window_ms <= plans[k].wanted_ms);
        }
        assert_true(plans[1].total_ms <= HF_DRAIN_HANDOVER_MS_MAX);
    }
}

/* No bound is no reason to send all at once. */
TEST(without_a_rate_it_is_careful)
{
    (void)state;
    assert_int_equal(hf_drain_plan(4000 * 70 / 100 * 10, 0, 600000).window_ms, 10000);
}

/* ---- Rolling ---- */

struct fixture {
    struct hf_region region;
    struct hf_region_config config;
    struct hf_slot *slots;
    struct hf_rolling rolling;
    struct hf_rolling_view view;
    uint64_t now_ms;
};

enum { WORKERS = 3, DRAIN_MS = 5000 };

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    f->slots = aligned_alloc(64, sizeof(struct hf_slot) * WORKERS);
    for (size_t i = 0; i < sizeof(struct hf_slot) * WORKERS; i++)
        ((uint8_t *)f->slots)[i] = 0;
    f->config.workers = WORKERS;
    f->region = (struct hf_region){.config = &f->config, .slots = f->slots};
    for (int i = 0; i < WORKERS; i++)
        atomic_store(&f->slots[i].state, HF_SLOT_RUNNING);
    f->view.alive = true;
    f->now_ms = 1000;
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    free(f->slots);
    free(f);
    return 0;
}

static enum hf_rolling_act tick(struct fixture *f)
{
    return hf_rolling_tick(&f->rolling, &f->region, &f->view, DRAIN_MS, f->now_ms);
}

/* As the supervisor does it: the process ends, and another one is started. */
static void replace(struct fixture *f, uint32_t slot)
{
    f->view.alive = false;
    atomic_store(&f->slots[slot].state, HF_SLOT_DEAD);
    assert_int_equal(tick(f), HF_ROLLING_WAIT);
    f->view.alive = true;
    atomic_store(&f->slots[slot].state, HF_SLOT_STARTING);
    atomic_store(&f->slots[slot].draining, HF_DRAIN_NONE);
    assert_int_equal(tick(f), HF_ROLLING_WAIT);
    assert_int_equal(tick(f), HF_ROLLING_WAIT);
}

TEST(one_after_the_other_is_replaced)
{
    struct fixture *f = *state;

    assert_true(hf_rolling_begin(&f->rolling, f->now_ms));
    assert_false(hf_rolling_begin(&f->rolling, f->now_ms));
    for (uint32_t slot = 0; slot < WORKERS; slot++) {
        assert_int_equal(tick(f), HF_ROLLING_WAKE);
        assert_int_equal(f->rolling.slot, slot);
        for (uint32_t other = 0; other < WORKERS; other++)
            assert_int_equal(atomic_load(&f->slots[other].draining),
                             other == slot ? HF_DRAIN_REPLACE : HF_DRAIN_NONE);
        assert_int_equal(tick(f), HF_ROLLING_WAIT);
        replace(f, slot);
        assert_int_equal(f->rolling.slot, slot); /* The next one's turn comes when this one serves. */
        atomic_store(&f->slots[slot].state, HF_SLOT_RUNNING);
        assert_int_equal(tick(f), HF_ROLLING_WAIT);
    }
    assert_int_equal(tick(f), HF_ROLLING_DONE);
    assert_int_equal(f->rolling.phase, HF_ROLLING_IDLE);
    assert_int_equal(tick(f), HF_ROLLING_WAIT);
}

TEST(one_that_does_not_end_is_killed)
{
    struct fixture *f = *state;

    assert_true(hf_rolling_begin(&f->rolling, f->now_ms));
    assert_int_equal(tick(f), HF_ROLLING_WAKE);
    f->now_ms += DRAIN_MS + HF_ROLLING_STUCK_MS - 1;
    assert_int_equal(tick(f), HF_ROLLING_WAIT);
    f->now_ms += 1;
    assert_int_equal(tick(f), HF_ROLLING_KILL);
    assert_int_equal(tick(f), HF_ROLLING_WAIT);
}

TEST(a_successor_that_dies_again_and_again_ends_it)
{
    struct fixture *f = *state;

    assert_true(hf_rolling_begin(&f->rolling, f->now_ms));
    assert_int_equal(tick(f), HF_ROLLING_WAKE);
    replace(f, 0);
    f->view = (struct hf_rolling_view){.alive = false, .failures = HF_ROLLING_FAILURES_MAX};
    assert_int_equal(tick(f), HF_ROLLING_BROKEN);
    assert_int_equal(f->rolling.phase, HF_ROLLING_IDLE);
    for (uint32_t other = 1; other < WORKERS; other++)
        assert_int_equal(atomic_load(&f->slots[other].draining), HF_DRAIN_NONE);
}

TEST(one_that_has_died_is_not_asked)
{
    struct fixture *f = *state;

    f->view.alive = false;
    assert_true(hf_rolling_begin(&f->rolling, f->now_ms));
    assert_int_equal(tick(f), HF_ROLLING_WAIT);
    f->view.alive = true;
    assert_int_equal(tick(f), HF_ROLLING_WAIT);
    assert_int_equal(tick(f), HF_ROLLING_WAKE);
    assert_int_equal(f->rolling.slot, 1);
}

TEST(who_has_more_than_his_share_gives_it_away)
{
    static const struct {
        uint64_t have[WORKERS];
        uint32_t excess[WORKERS];
    } cases[] = {{{0, 0, 0}, {0, 0, 0}},
                 {{900, 0, 0}, {600, 0, 0}},
                 {{500, 400, 0}, {200, 100, 0}},
                 {{1000, 1010, 990}, {0, 0, 0}},
                 {{10, 0, 0}, {0, 0, 0}}};

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint32_t out[WORKERS];

        hf_rolling_excess(cases[i].have, WORKERS, out);
        assert_memory_equal(out, cases[i].excess, sizeof(out));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_window_lets_all_in),
        cmocka_unit_test(few_have_a_second),
        cmocka_unit_test(the_timeout_bounds_it),
        cmocka_unit_test(without_a_rate_it_is_careful),
        cmocka_unit_test_setup_teardown(one_after_the_other_is_replaced, set_up, tear_down),
        cmocka_unit_test_setup_teardown(one_that_does_not_end_is_killed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_successor_that_dies_again_and_again_ends_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(one_that_has_died_is_not_asked, set_up, tear_down),
        cmocka_unit_test(who_has_more_than_his_share_gives_it_away),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
