/*
 * test_heartbeat_policy.c - the two heartbeat policies, told by hand what became of their pings. What they come to over days is the
 * simulator's matter (bench/heartbeat, test_heartbeat_simulation).
 */
#include "session/heartbeat_adaptive.h"
#include "session/heartbeat_classic.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void beat(struct hf_heartbeat_policy *p, uint64_t gap_ms, uint64_t now_ms)
{
    const struct hf_heartbeat_beat b = {.gap_ms = gap_ms, .scheduled = true};

    hf_heartbeat_policy_record_success(p, &b, now_ms);
}

static void beats(struct hf_heartbeat_policy *p, unsigned count)
{
    while (count-- > 0)
        beat(p, hf_heartbeat_policy_interval_ms(p), 0);
}

static void miss(struct hf_heartbeat_policy *p, uint64_t gap_ms, uint64_t now_ms)
{
    const struct hf_heartbeat_beat b = {.gap_ms = gap_ms, .scheduled = true};

    hf_heartbeat_policy_record_failure(p, &b, now_ms);
}

/* --- classic --- */

#define INTERVAL(p, ms) assert_int_equal(hf_heartbeat_policy_interval_ms(p), ms)

static void classic_grows_after_five_in_a_row(void **state)
{
    static const uint64_t steps_ms[] = {30000, 36000, 43200, 51840, 60000, 60000};
    struct hf_heartbeat_classic c;
    unsigned i;

    (void)state;
    hf_heartbeat_classic_init(&c);
    INTERVAL(&c.base, 25000);
    assert_int_equal(hf_heartbeat_policy_longest_ms(&c.base), 60000);
    for (i = 0; i < 6; i++) {
        uint64_t before_ms = hf_heartbeat_policy_interval_ms(&c.base);

        beats(&c.base, 4);
        INTERVAL(&c.base, before_ms);
        beats(&c.base, 1);
        INTERVAL(&c.base, steps_ms[i]);
    }
}

static void classic_halves_after_two_in_a_row(void **state)
{
    struct hf_heartbeat_classic c;

    (void)state;
    hf_heartbeat_classic_init(&c);
    miss(&c.base, 0, 0);
    INTERVAL(&c.base, 25000);
    miss(&c.base, 0, 0);
    INTERVAL(&c.base, 12500);
    miss(&c.base, 0, 0);
    miss(&c.base, 0, 0);
    INTERVAL(&c.base, 10000);
    beats(&c.base, 5);
    INTERVAL(&c.base, 12000);
    hf_heartbeat_policy_reset(&c.base);
    INTERVAL(&c.base, 25000);
}

static void classic_counts_in_a_row_only(void **state)
{
    const struct hf_heartbeat_beat verification = {.gap_ms = 10};
    struct hf_heartbeat_classic c;

    (void)state;
    hf_heartbeat_classic_init(&c);
    miss(&c.base, 0, 0);
    beats(&c.base, 4);
    miss(&c.base, 0, 0);
    INTERVAL(&c.base, 25000); /* neither two misses nor five answers were in a row */
    hf_heartbeat_policy_record_success(&c.base, &verification, 0);
    hf_heartbeat_policy_connected(&c.base, 0);
    miss(&c.base, 0, 0);
    INTERVAL(&c.base, 12500); /* what a reconnect verifies parts no misses */
    beats(&c.base, 4);
    hf_heartbeat_policy_record_success(&c.base, &verification, 0);
    INTERVAL(&c.base, 12500);
    hf_heartbeat_policy_reset(&c.base);
    beats(&c.base, 4);
    INTERVAL(&c.base, 25000); /* the four before the reset are forgotten */
}

/* --- adaptive --- */

/* The interval before jitter; that is drawn anew with each answer, and is never positive. */
static uint64_t interval_of(struct hf_heartbeat_adaptive *a)
{
    uint32_t jitter = a->jitter_permille;
    uint64_t ms;

    assert_in_range(jitter, 0, HF_ADAPTIVE_JITTER_PERMILLE);
    a->jitter_permille = 0;
    ms = hf_heartbeat_policy_interval_ms(&a->base);
    a->jitter_permille = jitter;
    assert_in_range(hf_heartbeat_policy_interval_ms(&a->base), ms * 9 / 10, ms);
    return ms;
}

static void probe(struct hf_heartbeat_adaptive *a, uint64_t gap_ms, enum hf_heartbeat_probe outcome,
                  uint64_t now_ms)
{
    assert_int_equal(hf_heartbeat_policy_probe_gap_ms(&a->base, now_ms), gap_ms);
    hf_heartbeat_policy_probe_ended(&a->base, gap_ms, outcome, now_ms);
    assert_int_equal(hf_heartbeat_policy_probe_gap_ms(&a->base, now_ms), 0); /* a beat comes first */
    beat(&a->base, 25000, now_ms);
}

#define ALIVE HF_HEARTBEAT_PROBE_ALIVE
#define DEAD HF_HEARTBEAT_PROBE_DEAD
#define DAY_MS (UINT64_C(24) * 3600 * 1000)

/* A network that cuts at 61 s, found out by probes: 52 s is safe, and 52.2 is not within 8 % of 60. */
static void settled_at_58(struct hf_heartbeat_adaptive *a, struct hf_heartbeat_memory *memory)
{
    hf_heartbeat_adaptive_init(a, HF_ADAPTIVE_IDLE_MS, memory, 1);
    hf_heartbeat_policy_set_network(&a->base, 7, 1000);
    hf_heartbeat_policy_connected(&a->base, 1000);
    beat(&a->base, 25000, 26000);
    probe(a, 40000, ALIVE, 70000);
    probe(a, 64000, DEAD, 140000);
    probe(a, 52000, ALIVE, 200000);
    probe(a, 58000, ALIVE, 300000);
}

static void adaptive_brackets_by_probes(void **state)
{
    struct hf_heartbeat_adaptive a;

    (void)state;
    hf_heartbeat_adaptive_init(&a, HF_ADAPTIVE_IDLE_MS, NULL, 1);
    assert_int_equal(interval_of(&a), 25000);
    assert_int_equal(hf_heartbeat_policy_probe_gap_ms(&a.base, 1000), 0); /* nothing is proven yet */
    beat(&a.base, 25000, 26000);
    assert_int_equal(interval_of(&a), 25000);
    probe(&a, 40000, ALIVE, 70000);
    assert_int_equal(interval_of(&a), 36000);
    settled_at_58(&a, NULL);
    assert_int_equal(interval_of(&a), 52200);
    assert_int_equal(hf_heartbeat_policy_probe_gap_ms(&a.base, 400000), 0);
}

static void adaptive_grows_to_the_tolerance_and_no_further(void **state)
{
    struct hf_heartbeat_adaptive a;

    (void)state;
    hf_heartbeat_adaptive_init(&a, HF_ADAPTIVE_IDLE_MS, NULL, 1);
    beat(&a.base, 25000, 26000);
    probe(&a, 40000, ALIVE, 70000);
    probe(&a, 64000, ALIVE, 140000);
    assert_int_equal(interval_of(&a), 55200); /* 57.6 is too near to 60, and no gap above 64.8 is proven */
    probe(&a, 102400, ALIVE, 300000);
    assert_int_equal(interval_of(&a), 92000); /* nor one above 108 */
    probe(&a, 133334, ALIVE, 500000);
    assert_int_equal(interval_of(&a), 120000);
    assert_int_equal(hf_heartbeat_policy_probe_gap_ms(&a.base, 10 * DAY_MS), 0);
    hf_heartbeat_adaptive_set_tolerance(&a, HF_ADAPTIVE_FOREGROUND_MS);
    assert_int_equal(interval_of(&a), 30000);
    assert_int_equal(hf_heartbeat_policy_longest_ms(&a.base), 30000);
    hf_heartbeat_adaptive_set_tolerance(&a, HF_ADAPTIVE_BACKGROUND_MS);
    assert_int_equal(interval_of(&a), 120000); /* nine tenths of what is proven */
    assert_int_equal(hf_heartbeat_policy_probe_gap_ms(&a.base, 600000), 133334 * 8 / 5);
}

static void adaptive_obeys_the_servers_bound(void **state)
{
    struct hf_heartbeat_adaptive a;

    (void)state;
    hf_heartbeat_adaptive_init(&a, HF_ADAPTIVE_IDLE_MS, NULL, 1);
    hf_heartbeat_policy_set_bound(&a.base, 60000);
    assert_int_equal(hf_heartbeat_policy_longest_ms(&a.base), 60000);
    beat(&a.base, 25000, 26000);
    probe(&a, 40000, ALIVE, 70000);
    probe(&a, 59000, ALIVE, 140000); /* over before the server's own ping */
    assert_int_equal(hf_heartbeat_policy_probe_gap_ms(&a.base, 2 * DAY_MS), 0);
    assert_int_equal(interval_of(&a), 53100);
}

static void adaptive_without_a_prober_is_safe(void **state)
{
    struct hf_heartbeat_adaptive a;
    unsigned i;

    (void)state;
    hf_heartbeat_adaptive_init(&a, HF_ADAPTIVE_BACKGROUND_MS, NULL, 1);
    for (i = 0; i < 1000; i++) {
        assert_int_equal(interval_of(&a), 25000);
        beat(&a.base, hf_heartbeat_policy_interval_ms(&a.base), i * UINT64_C(25000));
    }
    hf_heartbeat_adaptive_set_tolerance(&a, 20000);
    assert_int_equal(interval_of(&a), 20000);
}

/* A first death has nothing proven against it; what follows is safe, and the probes take it from there. */
static void adaptive_retreats_from_the_first_wall(void **state)
{
    struct hf_heartbeat_adaptive a;

    (void)state;
    hf_heartbeat_adaptive_init(&a, HF_ADAPTIVE_IDLE_MS, NULL, 1);
    hf_heartbeat_policy_connected(&a.base, 0);
    miss(&a.base, 24000, 27000);
    assert_int_equal(interval_of(&a), 25000); /* not yet: perhaps there is no network at all */
    hf_heartbeat_policy_connected(&a.base, 28000);
    assert_int_equal(interval_of(&a), 12000);
    beat(&a.base, 12000, 40000);
    probe(&a, 18000, ALIVE, 60000); /* the beat that follows a probe here proves 25 s, too */
    assert_int_equal(a.net.lo_ms, 25000);
    assert_int_equal(a.net.hi_ms, 0);
}

/* What the ping that ended 52 s of silence came to is explained by something else: no mark against 52 s is left. */
static void excused(struct hf_heartbeat_adaptive *a, uint64_t now_ms)
{
    hf_heartbeat_policy_connected(&a->base, now_ms);
    assert_int_equal(a->strikes, 0);
    assert_int_equal(interval_of(a), 52200);
}

static void adaptive_counts_only_deaths_that_the_silence_caused(void **state)
{
    struct hf_heartbeat_memory memory;
    struct hf_heartbeat_adaptive a;
    uint64_t now = 1000000;

    (void)state;
    hf_heartbeat_memory_init(&memory);
    settled_at_58(&a, &memory);
    miss(&a.base, 0, now); /* the ping was not the first packet */
    excused(&a, now + 100);
    miss(&a.base, 52000, now); /* there was no network for too long */
    excused(&a, now + HF_ADAPTIVE_REDIAL_MS);
    hf_heartbeat_policy_disturbed(&a.base); /* the machine woke up, and then the ping failed */
    miss(&a.base, 52000, now);
    excused(&a, now + 100);
    miss(&a.base, 52000, now);
    hf_heartbeat_policy_disturbed(&a.base); /* the network changed before the re-dial */
    excused(&a, now + 100);
    miss(&a.base, 52000, now); /* the re-dial was made on another network, which knows nothing of it, */
    hf_heartbeat_policy_set_network(&a.base, 8, now);
    hf_heartbeat_policy_connected(&a.base, now + 100);
    assert_int_equal(interval_of(&a), 25000);
    hf_heartbeat_policy_set_network(&a.base, 7, now + 200); /* nor does the first one when it is back */
    excused(&a, now + 300);
    miss(&a.base, 52000, now); /* and this one counts */
    hf_heartbeat_policy_connected(&a.base, now + HF_ADAPTIVE_REDIAL_MS - 1);
    assert_int_equal(a.strikes, 1);
}

static void adaptive_believes_two_deaths_against_what_was_proven(void **state)
{
    struct hf_heartbeat_adaptive a;

    (void)state;
    settled_at_58(&a, NULL);
    miss(&a.base, 50000, 1000000);
    hf_heartbeat_policy_connected(&a.base, 1000100);
    assert_int_equal(interval_of(&a), 52200);
    beat(&a.base, 51000, 1060000); /* the gap is survived again: that death was chance */
    miss(&a.base, 50000, 2000000);
    hf_heartbeat_policy_connected(&a.base, 2000100);
    assert_int_equal(interval_of(&a), 52200);
    beat(&a.base, 49000, 2060000);
    miss(&a.base, 49500, 3000000);
    hf_heartbeat_policy_connected(&a.base, 3000100);
    assert_int_equal(a.net.lo_ms, 0);
    assert_int_equal(a.net.hi_ms, 50000);
    assert_int_equal(interval_of(&a), 25000);
}

static void adaptive_tries_the_wall_again_once_a_day(void **state)
{
    struct hf_heartbeat_adaptive a;
    uint64_t settled_ms = 300000;

    (void)state;
    settled_at_58(&a, NULL);
    assert_int_equal(hf_heartbeat_policy_probe_gap_ms(&a.base, settled_ms + DAY_MS - 1), 0);
    probe(&a, 64000, DEAD, settled_ms + DAY_MS);
    assert_int_equal(interval_of(&a), 52200);
    assert_int_equal(hf_heartbeat_policy_probe_gap_ms(&a.base, settled_ms + DAY_MS + 1000), 0);
    probe(&a, 64000, ALIVE, settled_ms + 2 * DAY_MS); /* it has gone */
    assert_int_equal(hf_heartbeat_policy_probe_gap_ms(&a.base, settled_ms + 2 * DAY_MS), 102400);
}

static void adaptive_puts_a_probe_off_that_could_not_be_made(void **state)
{
    struct hf_heartbeat_adaptive a;

    (void)state;
    hf_heartbeat_adaptive_init(&a, HF_ADAPTIVE_IDLE_MS, NULL, 1);
    beat(&a.base, 25000, 26000);
    probe(&a, 40000, HF_HEARTBEAT_PROBE_UNKNOWN, 30000);
    assert_int_equal(hf_heartbeat_policy_probe_gap_ms(&a.base, 30000 + HF_ADAPTIVE_RETRY_MS - 1), 0);
    assert_int_equal(hf_heartbeat_policy_probe_gap_ms(&a.base, 30000 + HF_ADAPTIVE_RETRY_MS), 40000);
}

static void adaptive_remembers_each_network(void **state)
{
    struct hf_heartbeat_memory memory;
    struct hf_heartbeat_adaptive a;

    (void)state;
    hf_heartbeat_memory_init(&memory);
    settled_at_58(&a, &memory);
    hf_heartbeat_policy_set_network(&a.base, 8, 400000);
    assert_int_equal(interval_of(&a), 25000);
    hf_heartbeat_policy_set_network(&a.base, 7, 500000);
    assert_int_equal(interval_of(&a), 52200);
    hf_heartbeat_policy_set_network(&a.base, 0, 600000); /* one that has no key */
    assert_int_equal(interval_of(&a), 25000);
    hf_heartbeat_policy_connected(&a.base, 600000);
    beat(&a.base, 25000, 625000);
    probe(&a, 40000, ALIVE, 700000);
    assert_int_equal(interval_of(&a), 36000);
    hf_heartbeat_policy_disturbed(&a.base); /* and may be any other now */
    assert_int_equal(interval_of(&a), 25000);
    assert_int_equal(memory.count, 1);

    /* Another process, within the week and after it. */
    hf_heartbeat_adaptive_init(&a, HF_ADAPTIVE_IDLE_MS, &memory, 2);
    hf_heartbeat_policy_set_network(&a.base, 7, 7 * DAY_MS);
    assert_int_equal(interval_of(&a), 52200);
    hf_heartbeat_adaptive_init(&a, HF_ADAPTIVE_IDLE_MS, &memory, 3);
    hf_heartbeat_policy_set_network(&a.base, 7, 7 * DAY_MS + 400000);
    assert_int_equal(interval_of(&a), 25000);
    hf_heartbeat_policy_reset(&a.base);
    assert_int_equal(memory.count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(classic_grows_after_five_in_a_row),
        cmocka_unit_test(classic_halves_after_two_in_a_row),
        cmocka_unit_test(classic_counts_in_a_row_only),
        cmocka_unit_test(adaptive_brackets_by_probes),
        cmocka_unit_test(adaptive_grows_to_the_tolerance_and_no_further),
        cmocka_unit_test(adaptive_obeys_the_servers_bound),
        cmocka_unit_test(adaptive_without_a_prober_is_safe),
        cmocka_unit_test(adaptive_retreats_from_the_first_wall),
        cmocka_unit_test(adaptive_counts_only_deaths_that_the_silence_caused),
        cmocka_unit_test(adaptive_believes_two_deaths_against_what_was_proven),
        cmocka_unit_test(adaptive_tries_the_wall_again_once_a_day),
        cmocka_unit_test(adaptive_puts_a_probe_off_that_could_not_be_made),
        cmocka_unit_test(adaptive_remembers_each_network),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
