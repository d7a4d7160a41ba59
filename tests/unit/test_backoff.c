#include "session/backoff.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { DRAWS = 20000 };

/* The smallest and largest delay of many draws, each from the same state. */
struct range {
    uint64_t min, max;
};

static struct range draw(const struct hf_backoff *state, const struct hf_backoff_end *end, uint64_t now_ms)
{
    struct hf_rng rng = {.state = 42};
    struct range r = {UINT64_MAX, 0};
    unsigned i;

    for (i = 0; i < DRAWS; i++) {
        struct hf_backoff b = *state;
        uint64_t delay = hf_backoff_ended(&b, end, &rng, now_ms);

        r.min = delay < r.min ? delay : r.min;
        r.max = delay > r.max ? delay : r.max;
    }
    return r;
}

/* A backoff after n failed attempts. */
static struct hf_backoff after_failures(unsigned n)
{
    const struct hf_backoff_end failed = {.cause = HF_CAUSE_REFUSED, .attempt_failed = true};
    struct hf_rng rng = {.state = 1};
    struct hf_backoff b;

    hf_backoff_init(&b);
    while (n-- > 0)
        (void)hf_backoff_ended(&b, &failed, &rng, 0);
    return b;
}

static struct hf_backoff connected(struct hf_backoff b, bool useful)
{
    hf_backoff_connected(&b, 1000);
    if (useful)
        hf_backoff_progressed(&b);
    return b;
}

static void an_unexplained_loss_waits_within_the_loss_spread(void **state)
{
    struct hf_backoff_end end = {.cause = HF_CAUSE_LOSS, .loss_spread_ms = 300};
    struct hf_backoff b = connected(after_failures(0), true);
    struct range r = draw(&b, &end, 2000);

    (void)state;
    assert_int_equal(r.min, 0);
    assert_int_equal(r.max, 300);
    end.loss_spread_ms =
        25000; /* "wait a random time up to that before the first attempt" (PROTOCOL.md, welcome) */
    r = draw(&b, &end, 2000);
    assert_in_range(r.max, 24900, 25000);
    end.loss_spread_ms = UINT64_MAX;
    r = draw(&b, &end, 2000);
    assert_in_range(r.max, HF_BACKOFF_LOSS_MS_MAX - 600, HF_BACKOFF_LOSS_MS_MAX);
}

static void own_evidence_tries_at_once(void **state)
{
    const struct hf_backoff_end end = {.cause = HF_CAUSE_OWN, .loss_spread_ms = 60000};
    struct hf_backoff b = connected(after_failures(0), true);
    struct range r = draw(&b, &end, 2000);

    (void)state;
    assert_int_equal(r.min, 0);
    assert_int_equal(r.max, 100);
}

static void failures_double_the_full_jitter_up_to_its_cap(void **state)
{
    const struct hf_backoff_end end = {.cause = HF_CAUSE_REFUSED, .attempt_failed = true};
    const uint64_t limits[] = {500, 1000, 2000, 4000, 8000, 16000, 30000, 30000};
    unsigned n;

    (void)state;
    for (n = 0; n < 8; n++) {
        struct hf_backoff b = after_failures(n);
        struct range r = draw(&b, &end, 0);

        assert_int_equal(r.min, HF_BACKOFF_FLOOR_MS);
        assert_in_range(r.max, limits[n] * 99 / 100, limits[n]);
    }
    assert_in_range(after_failures(100).failures, 100, 100);
}

static void in_the_background_the_cap_is_higher(void **state)
{
    const struct hf_backoff_end end = {.cause = HF_CAUSE_REFUSED, .attempt_failed = true};
    struct hf_backoff b = after_failures(20);
    struct range r;

    (void)state;
    hf_backoff_background(&b, true);
    r = draw(&b, &end, 0);
    assert_in_range(r.max, 297000, 300000);
    hf_backoff_background(&b, false);
    r = draw(&b, &end, 0);
    assert_in_range(r.max, 29700, 30000);
}

/* What failed on the network that was says nothing about the one that is. */
static void a_signal_tries_at_once_whatever_failed_before(void **state)
{
    const struct hf_backoff_end end = {.cause = HF_CAUSE_SIGNAL, .attempt_failed = true};
    struct hf_backoff b = after_failures(10);
    struct range r = draw(&b, &end, 0);
    struct hf_rng rng = {.state = 3};
    unsigned i;

    (void)state;
    assert_int_equal(r.min, 0);
    assert_int_equal(r.max, 100);
    (void)hf_backoff_ended(&b, &end, &rng, 0);
    assert_int_equal(b.failures, 10); /* and it is no failure */
    for (i = 0; i < DRAWS; i++)
        assert_in_range(hf_backoff_signal_ms(&rng), 0, HF_BACKOFF_OWN_MS_MAX);
}

static void the_server_knows_better(void **state)
{
    const struct hf_backoff_end advice = {.cause = HF_CAUSE_ADVICE, .min_ms = 5000, .max_ms = 9000};
    const struct hf_backoff_end retry = {.cause = HF_CAUSE_RETRY, .attempt_failed = true, .min_ms = 7000};
    const struct hf_backoff_end absurd = {
        .cause = HF_CAUSE_ADVICE, .min_ms = UINT64_MAX, .max_ms = UINT64_MAX};
    struct hf_backoff b = after_failures(6);
    struct range r = draw(&b, &advice, 0);

    (void)state;
    assert_in_range(r.min, 5000, 5010);
    assert_in_range(r.max, 8990, 9000);
    r = draw(&b, &retry, 0); /* "the client adds a random part of a second" */
    assert_int_equal(r.min, 7000);
    assert_int_equal(r.max, 8000);
    r = draw(&b, &absurd, 0);
    assert_int_equal(r.max, HF_BACKOFF_ADVICE_MS_MAX);
}

/* "reset only after 30 s stable and one delivered or acked message" */
static void only_a_stable_and_useful_connection_clears_the_count(void **state)
{
    const struct hf_backoff_end lost = {.cause = HF_CAUSE_LOSS, .loss_spread_ms = 1000};
    struct hf_rng rng = {.state = 7};
    struct hf_backoff b;

    (void)state;
    b = connected(after_failures(3), true);
    (void)hf_backoff_ended(&b, &lost, &rng, 1000 + 30000);
    assert_int_equal(b.failures, 0);
    b = connected(after_failures(3), true);
    (void)hf_backoff_ended(&b, &lost, &rng, 1000 + 29999);
    assert_int_equal(b.failures, 3); /* of use, but not stable: as it was */
    b = connected(after_failures(3), false);
    (void)hf_backoff_ended(&b, &lost, &rng, 1000 + 60000);
    assert_int_equal(b.failures, 4); /* stable, but of no use: one failure more */
}

/* What one connection was good for says nothing about the next. */
static void use_is_forgotten_with_its_connection(void **state)
{
    const struct hf_backoff_end lost = {.cause = HF_CAUSE_LOSS, .loss_spread_ms = 1000};
    struct hf_rng rng = {.state = 7};
    struct hf_backoff b = connected(after_failures(0), true);

    (void)state;
    (void)hf_backoff_ended(&b, &lost, &rng, 2000);
    assert_int_equal(b.failures, 0);
    b = connected(b, false);
    (void)hf_backoff_ended(&b, &lost, &rng, 3000);
    assert_int_equal(b.failures, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_unexplained_loss_waits_within_the_loss_spread),
        cmocka_unit_test(own_evidence_tries_at_once),
        cmocka_unit_test(failures_double_the_full_jitter_up_to_its_cap),
        cmocka_unit_test(in_the_background_the_cap_is_higher),
        cmocka_unit_test(a_signal_tries_at_once_whatever_failed_before),
        cmocka_unit_test(the_server_knows_better),
        cmocka_unit_test(only_a_stable_and_useful_connection_clears_the_count),
        cmocka_unit_test(use_is_forgotten_with_its_connection),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
