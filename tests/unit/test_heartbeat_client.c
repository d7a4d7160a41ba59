#include "session/heartbeat.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct hf_heartbeat opened(uint64_t now_ms)
{
    struct hf_heartbeat h;

    hf_heartbeat_init(&h, NULL);
    hf_heartbeat_opened(&h, now_ms);
    return h;
}

static void a_ping_is_due_an_interval_after_the_last_receipt(void **state)
{
    struct hf_heartbeat h = opened(1000);

    (void)state;
    assert_int_equal(hf_heartbeat_tick(&h, 1000 + 24999), HF_HEARTBEAT_OK);
    hf_heartbeat_data_received(&h, 10000);
    assert_int_equal(hf_heartbeat_tick(&h, 1000 + 25000), HF_HEARTBEAT_OK);
    assert_int_equal(hf_heartbeat_deadline_ms(&h), 35000);
    assert_int_equal(hf_heartbeat_tick(&h, 35000), HF_HEARTBEAT_PING);
    hf_heartbeat_set_interval(&h, 12000);
    hf_heartbeat_data_received(&h, 35020);
    hf_heartbeat_pong_received(&h, h.ping_id, 35020);
    assert_int_equal(hf_heartbeat_deadline_ms(&h), 35020 + 12000);
}

static void silence_after_a_ping_is_suspicious_and_then_death(void **state)
{
    struct hf_heartbeat h = opened(0);

    (void)state;
    hf_heartbeat_measured(&h, 100); /* SRTT 100, RTTVAR 50: 100 + 200 + 400 is below the floor of a second */
    assert_int_equal(hf_heartbeat_soft_ms(&h), 1000);
    assert_int_equal(hf_heartbeat_hard_ms(&h), 3000);
    assert_int_equal(hf_heartbeat_tick(&h, 25000), HF_HEARTBEAT_PING);
    assert_int_equal(hf_heartbeat_tick(&h, 25999), HF_HEARTBEAT_OK);
    assert_int_equal(hf_heartbeat_tick(&h, 26000), HF_HEARTBEAT_SUSPECT);
    assert_int_equal(hf_heartbeat_tick(&h, 27999), HF_HEARTBEAT_OK); /* told once */
    assert_int_equal(hf_heartbeat_tick(&h, 28000), HF_HEARTBEAT_DEAD);
}

static void any_byte_proves_the_path(void **state)
{
    struct hf_heartbeat h = opened(0);

    (void)state;
    hf_heartbeat_measured(&h, 100);
    assert_int_equal(hf_heartbeat_tick(&h, 25000), HF_HEARTBEAT_PING);
    hf_heartbeat_data_received(&h, 27900);
    assert_int_equal(hf_heartbeat_tick(&h, 28000), HF_HEARTBEAT_OK);
    assert_int_equal(hf_heartbeat_tick(&h, 28900), HF_HEARTBEAT_SUSPECT);
    assert_int_equal(hf_heartbeat_tick(&h, 30900), HF_HEARTBEAT_DEAD);
}

/* Bytes that come in do not prove the way out for ever. */
static void a_ping_must_be_answered_in_the_end(void **state)
{
    struct hf_heartbeat h = opened(0);
    uint64_t now;

    (void)state;
    assert_int_equal(hf_heartbeat_tick(&h, 25000), HF_HEARTBEAT_PING);
    for (now = 25500; now < 25000 + HF_HEARTBEAT_PROBE_MS_MAX; now += 500) {
        hf_heartbeat_data_received(&h, now);
        assert_int_equal(hf_heartbeat_tick(&h, now), HF_HEARTBEAT_OK);
    }
    assert_int_equal(hf_heartbeat_tick(&h, now), HF_HEARTBEAT_DEAD);
}

static void a_slow_line_is_not_dead(void **state)
{
    struct hf_heartbeat h = opened(0);

    (void)state;
    hf_heartbeat_measured(&h, 100);
    assert_int_equal(hf_heartbeat_tick(&h, 25000), HF_HEARTBEAT_PING);
    hf_heartbeat_output_moved(&h, 27500);
    assert_int_equal(hf_heartbeat_tick(&h, 28499), HF_HEARTBEAT_OK);
}

/* RFC 6298 section 2. */
static void deadlines_follow_the_round_trip(void **state)
{
    struct hf_heartbeat h = opened(0);

    (void)state;
    assert_int_equal(hf_heartbeat_soft_ms(&h), 1400); /* nothing measured: RTO 1 s */
    assert_int_equal(hf_heartbeat_hard_ms(&h), 3000);
    hf_heartbeat_measured(&h, 800); /* 800 + 4 * 400 + 400 */
    assert_int_equal(hf_heartbeat_soft_ms(&h), 2800);
    assert_int_equal(hf_heartbeat_hard_ms(&h), 5600);
    hf_heartbeat_measured(&h, 1600); /* RTTVAR (3 * 400 + 800) / 4 = 500, SRTT (7 * 800 + 1600) / 8 = 900 */
    assert_int_equal(hf_heartbeat_soft_ms(&h), 3300);
    hf_heartbeat_measured(&h, 20000);
    assert_int_equal(hf_heartbeat_soft_ms(&h), 4000);
    assert_int_equal(hf_heartbeat_hard_ms(&h), 8000);
    assert_int_equal(hf_heartbeat_tick(&h, 25000), HF_HEARTBEAT_PING);
    hf_heartbeat_pong_received(&h, h.ping_id - 1, 25000); /* not this ping's */
    assert_int_not_equal(h.pinged_at_ms, 0);
    hf_heartbeat_pong_received(&h, h.ping_id, 25010);
    assert_int_equal(h.pinged_at_ms, 0);
}

static void doubt_asks_at_once(void **state)
{
    struct hf_heartbeat h = opened(0);

    (void)state;
    assert_false(hf_heartbeat_sending(&h, 9999));
    assert_true(hf_heartbeat_sending(&h, 10000)); /* the first send after so much silence */
    assert_int_equal(hf_heartbeat_tick(&h, 10000), HF_HEARTBEAT_OK);
    hf_heartbeat_doubted(&h);
    assert_int_equal(hf_heartbeat_tick(&h, 10000), HF_HEARTBEAT_PING);
    hf_heartbeat_doubted(&h); /* it is being asked already */
    assert_int_equal(hf_heartbeat_tick(&h, 10001), HF_HEARTBEAT_OK);
    hf_heartbeat_pong_received(&h, h.ping_id, 10050);
    hf_heartbeat_doubted(&h);
    assert_int_equal(hf_heartbeat_tick(&h, 10051), HF_HEARTBEAT_PING);
}

/* The silence counts from what got no answer, but not from before the last sign of life. */
static void a_late_answer_counts_from_the_question(void **state)
{
    struct hf_heartbeat h = opened(0);

    (void)state;
    hf_heartbeat_measured(&h, 100);
    hf_heartbeat_answer_late(&h, 5000);
    assert_int_equal(hf_heartbeat_tick(&h, 6000), HF_HEARTBEAT_PING);
    assert_int_equal(hf_heartbeat_tick(&h, 6000), HF_HEARTBEAT_SUSPECT);
    hf_heartbeat_answer_late(&h, 7000); /* it is being asked already */
    assert_int_equal(hf_heartbeat_tick(&h, 7999), HF_HEARTBEAT_OK);
    assert_int_equal(hf_heartbeat_tick(&h, 8000), HF_HEARTBEAT_DEAD);

    hf_heartbeat_opened(&h, 9000);
    hf_heartbeat_data_received(&h, 10500);
    hf_heartbeat_answer_late(&h, 10000);
    assert_int_equal(hf_heartbeat_tick(&h, 11000), HF_HEARTBEAT_PING);
    assert_int_equal(hf_heartbeat_deadline_ms(&h), 11500);
    hf_heartbeat_pong_received(&h, h.ping_id, 11100);
    hf_heartbeat_data_received(&h, 11100);
    hf_heartbeat_output_moved(&h, 13500); /* a long backlog is on its way: slow, not dead */
    hf_heartbeat_answer_late(&h, 13000);
    assert_int_equal(hf_heartbeat_tick(&h, 14000), HF_HEARTBEAT_PING);
    assert_int_equal(hf_heartbeat_deadline_ms(&h), 14500);
    hf_heartbeat_pong_received(&h, h.ping_id, 14100);
    hf_heartbeat_doubted(&h);
    assert_int_equal(hf_heartbeat_tick(&h, 16000), HF_HEARTBEAT_PING);
    assert_int_equal(hf_heartbeat_deadline_ms(&h), 17000); /* nothing was asked before this one */
}

/* --- with a policy --- */

/* A policy that only writes down what it is told. */
struct notes {
    struct hf_heartbeat_policy base;
    uint64_t interval_ms;
    unsigned successes, failures, connected, disturbed;
    struct hf_heartbeat_beat beat; /* the last */
};

static uint64_t notes_interval_ms(const struct hf_heartbeat_policy *p)
{
    return ((const struct notes *)p)->interval_ms;
}

static void note_success(struct hf_heartbeat_policy *p, const struct hf_heartbeat_beat *beat, uint64_t now_ms)
{
    (void)now_ms;
    ((struct notes *)p)->successes++;
    ((struct notes *)p)->beat = *beat;
}

static void note_failure(struct hf_heartbeat_policy *p, const struct hf_heartbeat_beat *beat, uint64_t now_ms)
{
    (void)now_ms;
    ((struct notes *)p)->failures++;
    ((struct notes *)p)->beat = *beat;
}

static void note_connected(struct hf_heartbeat_policy *p, uint64_t now_ms)
{
    (void)now_ms;
    ((struct notes *)p)->connected++;
}

static void note_disturbed(struct hf_heartbeat_policy *p)
{
    ((struct notes *)p)->disturbed++;
}

static struct notes notes_new(uint64_t interval_ms)
{
    static const struct hf_heartbeat_policy_ops ops = {.interval_ms = notes_interval_ms,
                                                       .longest_ms = notes_interval_ms,
                                                       .record_success = note_success,
                                                       .record_failure = note_failure,
                                                       .connected = note_connected,
                                                       .disturbed = note_disturbed};

    return (struct notes){.base = {.ops = &ops}, .interval_ms = interval_ms};
}

static void the_policy_says_when_within_what_the_server_bears(void **state)
{
    struct notes notes = notes_new(20000);
    struct hf_heartbeat h;

    (void)state;
    hf_heartbeat_init(&h, &notes.base);
    hf_heartbeat_opened(&h, 1000);
    assert_int_equal(notes.connected, 1);
    assert_int_equal(hf_heartbeat_deadline_ms(&h), 21000);
    notes.interval_ms = 100000;
    assert_int_equal(hf_heartbeat_deadline_ms(&h), 26000);
    hf_heartbeat_set_interval(&h, 60000);
    assert_int_equal(hf_heartbeat_deadline_ms(&h), 61000);
}

/* The gap is of silence both ways, and only a ping that was due by itself is a scheduled one. */
static void the_policy_is_told_of_answers(void **state)
{
    struct notes notes = notes_new(20000);
    struct hf_heartbeat h;

    (void)state;
    hf_heartbeat_init(&h, &notes.base);
    hf_heartbeat_opened(&h, 1000);
    hf_heartbeat_data_sent(&h, 4000);
    assert_int_equal(hf_heartbeat_tick(&h, 21000), HF_HEARTBEAT_PING);
    hf_heartbeat_data_sent(&h, 21000);
    hf_heartbeat_data_received(&h, 21040);
    assert_int_equal(notes.successes, 0); /* something came, but not the answer */
    hf_heartbeat_pong_received(&h, h.ping_id, 21050);
    assert_int_equal(notes.successes, 1);
    assert_int_equal(notes.beat.gap_ms, 17000);
    assert_true(notes.beat.scheduled);
    hf_heartbeat_doubted(&h);
    assert_int_equal(hf_heartbeat_tick(&h, 30040), HF_HEARTBEAT_PING);
    hf_heartbeat_pong_received(&h, h.ping_id, 30050);
    assert_int_equal(notes.beat.gap_ms, 9000);
    assert_false(notes.beat.scheduled);
    hf_heartbeat_disturbed(&h);
    assert_int_equal(notes.disturbed, 1);
}

static void the_policy_is_told_of_deaths(void **state)
{
    struct notes notes = notes_new(20000);
    struct hf_heartbeat h;

    (void)state;
    hf_heartbeat_init(&h, &notes.base);
    hf_heartbeat_opened(&h, 0);
    hf_heartbeat_lost(&h, 10000); /* no ping was on its way */
    assert_int_equal(notes.failures, 0);
    assert_int_equal(hf_heartbeat_tick(&h, 20000), HF_HEARTBEAT_PING);
    hf_heartbeat_lost(&h, 20040); /* reset in answer to the ping */
    assert_int_equal(notes.failures, 1);
    assert_int_equal(notes.beat.gap_ms, 20000);

    hf_heartbeat_opened(&h, 30000);
    assert_int_equal(hf_heartbeat_tick(&h, 50000), HF_HEARTBEAT_PING);
    assert_int_equal(hf_heartbeat_tick(&h, 52000), HF_HEARTBEAT_SUSPECT);
    assert_int_equal(hf_heartbeat_tick(&h, 53000), HF_HEARTBEAT_DEAD);
    assert_int_equal(notes.failures, 2);
    assert_int_equal(notes.beat.gap_ms, 20000);

    hf_heartbeat_opened(&h, 60000);
    assert_int_equal(hf_heartbeat_tick(&h, 80000), HF_HEARTBEAT_PING);
    hf_heartbeat_data_received(&h, 80100); /* the silence has done no harm */
    hf_heartbeat_lost(&h, 80200);
    assert_int_equal(notes.failures, 3);
    assert_int_equal(notes.beat.gap_ms, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_ping_is_due_an_interval_after_the_last_receipt),
        cmocka_unit_test(silence_after_a_ping_is_suspicious_and_then_death),
        cmocka_unit_test(any_byte_proves_the_path),
        cmocka_unit_test(a_ping_must_be_answered_in_the_end),
        cmocka_unit_test(a_slow_line_is_not_dead),
        cmocka_unit_test(deadlines_follow_the_round_trip),
        cmocka_unit_test(doubt_asks_at_once),
        cmocka_unit_test(a_late_answer_counts_from_the_question),
        cmocka_unit_test(the_policy_says_when_within_what_the_server_bears),
        cmocka_unit_test(the_policy_is_told_of_answers),
        cmocka_unit_test(the_policy_is_told_of_deaths),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
