/*
 * test_sessions.c - sessions through their phases: making, taking over, parking, the end and what is remembered of them.
 */
#include "shm/sessions.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "session_table.h"

#include <sched.h>

/* ---- Making and finding ---- */

/* "Make a session, LIVE, owned by this worker, generation 1." */
static void a_new_session_is_live_and_empty(void **state)
{
    struct table t = table_of(8);
    struct hf_session *s = add(&t.w[1]);
    uint32_t cursor = 0;
    uint64_t seq;
    uint8_t code;

    (void)state;
    is(s, HF_SESSION_LIVE, 1, 1);
    assert_true(s->number >> 32 != 0 && s->number >> 63 == 0);
    assert_ptr_equal(hf_sessions_get(&t.w[0], s->number), s);
    assert_int_equal(hf_session_last_seq(s, true), 0);
    assert_null(hf_session_sub_next(&t.w[0], s, &cursor));
    assert_false(hf_session_refusal(&t.w[0], s, 0, &seq, &code));
    assert_int_equal(hf_sessions_live(&t.w[0]), 1);
    table_free(&t);
}

/* "number may come from anywhere" */
static void a_strange_number_finds_nothing(void **state)
{
    struct table t = table_of(8);
    uint64_t number = add(&t.w[0])->number;

    (void)state;
    assert_null(hf_sessions_get(&t.w[0], 0));
    assert_null(hf_sessions_get(&t.w[0], UINT64_MAX));
    for (unsigned bit = 0; bit < 64; bit++)
        assert_null(hf_sessions_get(&t.w[0], number ^ UINT64_C(1) << bit));
    for (unsigned i = 0; i < 10000; i++)
        assert_true(hf_sessions_get(&t.w[0], hf_rng_next(&rng)) == NULL);
    table_free(&t);
}

/* "The session that a ticket names …; NULL otherwise." Each bit of it counts. */
static void a_ticket_must_be_right_in_every_bit(void **state)
{
    struct table t = table_of(8);
    struct hf_session *s = add(&t.w[0]), *other = add(&t.w[0]);
    uint8_t ticket[HF_TICKET_BYTES], others[HF_TICKET_BYTES], mixed[HF_TICKET_BYTES];
    struct hf_session_past past;

    (void)state;
    hf_session_ticket(s, ticket);
    hf_session_ticket(other, others);
    assert_ptr_equal(hf_sessions_by_ticket(&t.w[1], ticket), s);
    for (unsigned bit = 0; bit < HF_TICKET_BYTES * 8; bit++) {
        memcpy(mixed, ticket, sizeof(mixed));
        mixed[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_null(hf_sessions_by_ticket(&t.w[1], mixed));
        assert_int_equal(hf_sessions_tombstone(&t.w[1], mixed, 0, &past), HF_ENOTFOUND);
    }
    memcpy(mixed, ticket, sizeof(mixed));
    memcpy(mixed, others, 8);
    assert_null(hf_sessions_by_ticket(&t.w[1], mixed));
    table_free(&t);
}

/* ---- Phases ---- */

static void only_the_owner_of_this_generation_parks_and_ends(void **state)
{
    struct table t = table_of(8);
    struct hf_session *s = add(&t.w[0]);

    (void)state;
    assert_false(hf_session_park(&t.w[1], s, 1, 100));
    assert_false(hf_session_end(&t.w[1], s, 1, 100));
    assert_false(hf_session_park(&t.w[0], s, 2, 100));
    assert_false(hf_session_end(&t.w[0], s, 0, 100));
    is(s, HF_SESSION_LIVE, 0, 1);
    assert_true(hf_session_park(&t.w[0], s, 1, 100));
    is(s, HF_SESSION_PARKED, 0, 1);
    assert_int_equal(atomic_load(&s->parked_ms), 100);
    assert_false(hf_session_park(&t.w[0], s, 1, 200)); /* Once is enough. */
    assert_false(hf_session_end(&t.w[0], s, 1, 200));
    assert_int_equal(atomic_load(&s->parked_ms), 100);
    table_free(&t);
}

/* "Each takeover raises the session's generation"; what the one before still does has no effect. */
static void a_takeover_raises_the_generation(void **state)
{
    struct table t = table_of(8);
    struct hf_session *s = add(&t.w[0]);
    uint64_t seen;

    (void)state;
    assert_true(hf_session_park(&t.w[0], s, 1, 100));
    seen = state_of(s);
    assert_int_equal(hf_session_take(&t.w[1], s, seen), 2);
    is(s, HF_SESSION_LIVE, 1, 2);
    assert_int_equal(hf_session_take(&t.w[0], s, seen), 0); /* "somebody else was faster" */
    assert_false(hf_session_end_parked(&t.w[1], s, seen));
    assert_false(hf_session_park(&t.w[0], s, 1, 200));
    assert_false(hf_session_end(&t.w[0], s, 1, 200));
    is(s, HF_SESSION_LIVE, 1, 2);
    assert_true(hf_session_park(&t.w[1], s, 2, 300));
    assert_int_equal(hf_session_take(&t.w[1], s, state_of(s)), 3);
    is(s, HF_SESSION_LIVE, 1, 3);
    table_free(&t);
}

/* "LIVE -> LIVE any worker, where the owner's process is dead" */
static void a_dead_workers_session_is_taken(void **state)
{
    struct table t = table_of(8);
    struct hf_session *s = add(&t.w[0]);

    (void)state;
    assert_int_equal(hf_session_take(&t.w[1], s, state_of(s)), 2);
    is(s, HF_SESSION_LIVE, 1, 2);
    hf_sessions_release(&t.w[0]);
    t.w[0] = view_of(t.shm, 0);
    park_orphans(&t.w[0], 500, NULL); /* It is no orphan any more. */
    is(s, HF_SESSION_LIVE, 1, 2);
    table_free(&t);
}

static void what_has_ended_never_comes_back(void **state)
{
    struct table t = table_of(8);
    struct hf_session *bye = add(&t.w[0]), *parked = add(&t.w[0]);
    uint64_t free_state;

    (void)state;
    assert_true(hf_session_end(&t.w[0], bye, 1, 100));
    is(bye, HF_SESSION_ENDED, 0, 1);
    assert_int_equal(hf_session_take(&t.w[1], bye, state_of(bye)), 0);
    assert_false(hf_session_park(&t.w[0], bye, 1, 100));
    assert_true(hf_session_park(&t.w[0], parked, 1, 100));
    assert_true(hf_session_end_parked(&t.w[1], parked, state_of(parked)));
    is(parked, HF_SESSION_ENDED, 0, 1);
    assert_true(hf_session_end_parked(&t.w[1], parked,
                                      state_of(parked))); /* "Returns whether it has ended, now or before." */
    assert_int_equal(hf_session_take(&t.w[1], parked, state_of(parked)), 0);
    assert_int_equal(expire(&t.w[0], 0, 1000), 2);
    free_state = state_of(parked);
    assert_int_equal(hf_state_phase(free_state), HF_SESSION_FREE);
    assert_int_equal(hf_session_take(&t.w[1], parked, free_state), 0);
    assert_false(hf_session_end_parked(&t.w[1], parked, free_state));
    assert_int_equal(hf_state_phase(state_of(parked)), HF_SESSION_FREE);
    table_free(&t);
}

static void a_live_session_is_not_ended_as_a_parked_one(void **state)
{
    struct table t = table_of(8);
    struct hf_session *s = add(&t.w[0]);

    (void)state;
    assert_false(hf_session_end_parked(&t.w[1], s, state_of(s)));
    is(s, HF_SESSION_LIVE, 0, 1);
    table_free(&t);
}

/* "Which of the processes that its slot has had owns it": so others need not ask the present one. */
static void a_state_tells_which_process_owns_it(void **state)
{
    struct table t = table_of(8);
    struct hf_session *s = add(&t.w[0]);

    (void)state;
    assert_int_equal(hf_state_life(state_of(s)), 0);
    t.w[0].life = 5;                                  /* Its successor. */
    assert_false(hf_session_park(&t.w[0], s, 1, 10)); /* Not what this process owns. */
    is(s, HF_SESSION_LIVE, 0, 1);
    assert_true(hf_session_park_orphan(&t.w[0], s, state_of(s), 10));
    is(s, HF_SESSION_PARKED, 0, 1);
    assert_false(hf_session_park_orphan(&t.w[0], s, state_of(s), 20));
    assert_int_equal(hf_session_take(&t.w[0], s, state_of(s)), 2);
    is(s, HF_SESSION_LIVE, 0, 2);
    assert_int_equal(hf_state_life(state_of(s)), 5);
    assert_true(hf_session_park(&t.w[0], s, 2, 10));
    assert_int_equal(hf_state_life(state_of(s)), 5);
    assert_true(hf_session_end_parked(&t.w[1], s, state_of(s)));
    is(s, HF_SESSION_ENDED, 0, 2);
    table_free(&t);
}

/* "park what its predecessor held", in every home; nobody else's, and not what the process holds itself. */
static void orphans_are_parked(void **state)
{
    struct table t = table_of(8);
    struct hf_session *own = add(&t.w[0]), *taken = add(&t.w[1]), *others = add(&t.w[1]),
                      *parked = add(&t.w[0]), *mine = add(&t.w[1]);

    (void)state;
    assert_true(hf_session_park(&t.w[1], mine, 1, 10));
    assert_int_equal(hf_session_take(&t.w[0], mine, state_of(mine)), 2);
    assert_true(hf_session_park(&t.w[1], taken, 1, 10));
    assert_int_equal(hf_session_take(&t.w[0], taken, state_of(taken)), 2);
    assert_true(hf_session_park(&t.w[0], parked, 1, 10));
    park_orphans(&t.w[0], 500, &mine->number);
    is(mine, HF_SESSION_LIVE, 0, 2);
    is(own, HF_SESSION_PARKED, 0, 1);
    is(taken, HF_SESSION_PARKED, 0, 2);
    is(others, HF_SESSION_LIVE, 1, 1);
    assert_int_equal(atomic_load(&own->parked_ms), 500);
    assert_int_equal(atomic_load(&taken->parked_ms), 500);
    assert_int_equal(atomic_load(&parked->parked_ms), 10);
    table_free(&t);
}

/* ---- Sequence ---- */

/* "shard owners raise it …, never lowered"; "exact when the session's publishes have settled" */
static void the_last_seq_is_the_higher_of_two_when_settled(void **state)
{
    struct table t = table_of(8);
    struct hf_session *s = add(&t.w[0]);

    (void)state;
    atomic_store(&s->last_seq, 5);
    hf_session_applied(s, 3);
    assert_int_equal(hf_session_last_seq(s, true), 5);
    hf_session_applied(s, 9);
    hf_session_applied(s, 7);
    assert_int_equal(atomic_load(&s->applied_seq), 9);
    assert_int_equal(hf_session_last_seq(s, true), 9);
    assert_int_equal(hf_session_last_seq(s, false), 5);
    table_free(&t);
}

/* ---- The end ---- */

/* "each session that is PARKED since before expired_before_ms, or ENDED"; "a session parked later must wait" */
static void a_session_expires_in_time_and_when_settled(void **state)
{
    struct table t = table_of(8);
    struct hf_session *live = add(&t.w[0]), *s = add(&t.w[0]), *ended = add(&t.w[0]);
    uint64_t number = s->number;

    (void)state;
    (void)live;
    assert_true(hf_session_park(&t.w[0], s, 1, 1000));
    assert_true(hf_session_end(&t.w[0], ended, 1, 2000));
    assert_int_equal(expire(&t.w[1], UINT64_MAX, UINT64_MAX), 0); /* Its home alone. */
    assert_int_equal(expire(&t.w[0], 1000, 1500), 0);
    assert_int_equal(expire(&t.w[0], 1001, 1000), 0);
    assert_int_equal(expire(&t.w[0], 1001, 0), 0);
    is(s, HF_SESSION_PARKED, 0, 1);
    gone_count = 0;
    assert_int_equal(expire(&t.w[0], 1001, 1001), 1);
    assert_int_equal(gone_count, 1);
    assert_int_equal(gone_number, number);
    assert_null(hf_sessions_get(&t.w[0], number));
    assert_int_equal(expire(&t.w[0], 0, 2000), 0);
    number = ended->number;
    assert_int_equal(expire(&t.w[0], 0, 2001), 1);
    assert_int_equal(gone_number, number);
    assert_int_equal(expire(&t.w[0], UINT64_MAX, UINT64_MAX), 0);
    assert_int_equal(hf_sessions_live(&t.w[0]), 1);
    table_free(&t);
}

/* A chunk in which nothing can be due is not looked through: what is parked later is found all the same. */
static void what_is_parked_after_a_look_expires_too(void **state)
{
    struct table t = table_of(8);
    struct hf_session *a = add(&t.w[0]), *b = add(&t.w[0]), *c = add(&t.w[0]);

    (void)state;
    assert_true(hf_session_park(&t.w[0], a, 1, 1000));
    assert_int_equal(expire(&t.w[0], 500, 9000), 0);
    assert_true(hf_session_park(&t.w[0], b, 1, 1200));
    assert_int_equal(expire(&t.w[0], 1100, 9000), 1);
    assert_int_equal(hf_session_take(&t.w[1], b, state_of(b)), 2);
    assert_true(hf_session_park(&t.w[1], b, 2, 1500));
    assert_true(hf_session_park(&t.w[0], c, 1, 1600));
    assert_int_equal(expire(&t.w[0], 1300, 9000), 0);
    assert_int_equal(expire(&t.w[0], 1501, 9000), 1);
    assert_int_equal(expire(&t.w[0], 1601, 9000), 1);
    assert_int_equal(hf_sessions_live(&t.w[0]), 0);
    a = add(&t.w[0]);
    b = add(&t.w[0]);
    assert_true(hf_session_end(&t.w[0], a, 1, 1700)); /* A look that finds none that waits. */
    assert_int_equal(expire(&t.w[0], 1750, 9000), 1);
    assert_true(hf_session_park(&t.w[0], b, 1, 1800));
    assert_int_equal(expire(&t.w[0], 1801, 9000), 1);
    table_free(&t);
}

/* One that another worker held for a moment while its home looked is not later for that. */
static void what_is_put_back_expires_in_time(void **state)
{
    struct table t = table_of(8);
    struct hf_session *a = add(&t.w[0]), *b = add(&t.w[0]);
    struct hf_session_expiry when = {
        .now_ms = 1200, .expired_before_ms = 950, .settled_ms = 9000, .tombstone_until_ms = HOUR_MS};
    uint64_t generation;

    (void)state;
    assert_true(hf_session_park(&t.w[0], a, 1, 1000));
    assert_true(hf_session_park(&t.w[0], b, 1, 900));
    generation = hf_session_take(&t.w[1], a, state_of(a));
    assert_int_equal(generation, 2);
    assert_int_equal(hf_sessions_expire(&t.w[0], UINT32_MAX, &when, gone, &gone_number),
                     1); /* b; a is LIVE now. */
    assert_true(hf_session_put_back(&t.w[1], a, generation, 1000));
    assert_int_equal(atomic_load(&a->parked_ms), 1000);
    assert_int_equal(expire(&t.w[0], 1000, 9000), 0);
    assert_int_equal(expire(&t.w[0], 1001, 9000), 1);
    assert_false(hf_session_put_back(&t.w[1], a, generation, 1000));
    table_free(&t);
}

/* "look at about `most` places": in the end all are seen. */
static void expiry_is_a_bounded_piece_of_work(void **state)
{
    struct table t = table_of(2000);
    unsigned rounds = 0;

    (void)state;
    for (unsigned i = 0; i < 2000; i++)
        assert_true(hf_session_end(&t.w[0], add(&t.w[0]), 1, 5));
    for (uint32_t left = 2000; left > 0; rounds++) {
        uint32_t went = expire_some(&t.w[0], HF_SESSIONS_PER_CHUNK, 0, 10, HOUR_MS);

        assert_in_range(went, 1, HF_SESSIONS_PER_CHUNK);
        left -= went;
    }
    assert_int_equal(rounds, 8);
    for (unsigned i = 0; i < 2000; i++) /* All places are free again. */
        assert_non_null(add(&t.w[0]));
    assert_null(add(&t.w[0]));
    table_free(&t);
}

/* ---- Tombstones ---- */

static struct hf_session *add_with_nonce(struct hf_sessions *t, uint8_t secret, uint32_t nonce)
{
    uint8_t random[20];

    memset(random, secret, HF_SECRET_BYTES);
    memcpy(random + HF_SECRET_BYTES, &nonce, sizeof(nonce));
    return hf_sessions_add(t, random);
}

static void end_until(struct hf_sessions *t, struct hf_session *s, uint64_t tombstone_until_ms)
{
    assert_true(hf_session_end(t, s, hf_state_generation(state_of(s)), 5));
    assert_int_equal(expire_some(t, UINT32_MAX, 0, 10, tombstone_until_ms), 1);
}

/* "what is still known of the old session's publishes (a tombstone outlives the session by a day)" */
static void a_tombstone_tells_the_last_seq(void **state)
{
    struct table t = table_of(8);
    struct hf_session *s = add(&t.w[1]);
    uint8_t ticket[HF_TICKET_BYTES];
    struct hf_session_past past;

    (void)state;
    atomic_store(&s->last_seq, 40);
    hf_session_applied(s, 42);
    hf_session_ticket(s, ticket);
    assert_int_equal(hf_sessions_tombstone(&t.w[0], ticket, 1, &past), HF_ENOTFOUND); /* It lives. */
    end_until(&t.w[1], s, 1000);
    assert_null(hf_sessions_by_ticket(&t.w[0], ticket));
    assert_int_equal(hf_sessions_tombstone(&t.w[0], ticket, 1000, &past), 0);
    assert_int_equal(past.last_seq, 42);
    assert_int_equal(hf_sessions_tombstone(&t.w[0], ticket, 1001, &past), HF_ENOTFOUND);
    for (unsigned bit = 0; bit < HF_TICKET_BYTES * 8; bit++) {
        ticket[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(hf_sessions_tombstone(&t.w[0], ticket, 1, &past), HF_ENOTFOUND);
        ticket[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    table_free(&t);
}

static void refuse(struct hf_sessions *t, struct hf_session *s, uint64_t first, uint64_t count)
{
    for (uint64_t seq = first; seq < first + count; seq++)
        assert_int_equal(hf_session_refuse(t, s, seq, (uint8_t)(seq % 7), 1), 0);
}

static void has_refusals(const struct hf_session_past *past, uint64_t first, uint32_t count)
{
    assert_int_equal(past->refusal_count, count);
    for (uint32_t i = 0; i < count; i++) {
        assert_int_equal(past->refusals[i].seq, first + i);
        assert_int_equal(past->refusals[i].code, (first + i) % 7);
    }
}

/* Those of the last 32 that the last seq covers: what is above is asked for again. */
static void a_tombstone_tells_the_refusals(void **state)
{
    struct table t = table_of(8);
    struct hf_session *s = add(&t.w[1]), *none = add(&t.w[1]);
    uint8_t ticket[HF_TICKET_BYTES], without[HF_TICKET_BYTES];
    uint64_t number = s->number;
    struct hf_session_past past;

    (void)state;
    hf_session_ticket(s, ticket);
    hf_session_ticket(none, without);
    refuse(&t.w[1], s, 1, 40);
    atomic_store(&s->last_seq, 35);
    assert_false(hf_session_ended_past(&t.w[0], s, number, &past)); /* It lives. */
    assert_true(hf_session_end(&t.w[1], s, 1, 5));
    assert_true(hf_session_ended_past(&t.w[0], s, number, &past));
    has_refusals(&past, 9, 27);
    assert_false(hf_session_ended_past(&t.w[0], s, number + 1, &past)); /* Its place is another one's now. */
    assert_int_equal(expire_some(&t.w[1], UINT32_MAX, 0, 10, 1000), 1);
    assert_false(hf_session_ended_past(&t.w[0], s, number, &past));
    end_until(&t.w[1], none, 1000);
    assert_int_equal(hf_sessions_tombstone(&t.w[0], ticket, 1, &past), 0);
    assert_int_equal(past.last_seq, 35);
    has_refusals(&past, 9, 27);
    assert_int_equal(hf_sessions_tombstone(&t.w[0], without, 1, &past), 0);
    has_refusals(&past, 0, 0);
    table_free(&t);
}

/* "the refusals of the oldest ones are forgotten before their tombstones are" */
static void the_oldest_refusals_are_forgotten_first(void **state)
{
    enum { SESSIONS = 100 };
    struct table t = table_of(200);
    uint32_t known = t.shm->tombs_per_home / 20; /* sessions whose refusals are left whole */
    uint8_t tickets[SESSIONS][HF_TICKET_BYTES];
    struct hf_session_past past;

    (void)state;
    assert_in_range(known, 1, SESSIONS - 2);
    for (uint32_t i = 0; i < SESSIONS; i++) {
        struct hf_session *s = add(&t.w[0]);

        hf_session_ticket(s, tickets[i]);
        refuse(&t.w[0], s, 100 * i + 1, 20);
        atomic_store(&s->last_seq, 100 * i + 50);
        end_until(&t.w[0], s, 1000);
    }
    for (uint32_t i = 0; i < SESSIONS; i++) {
        assert_int_equal(hf_sessions_tombstone(&t.w[1], tickets[i], 1, &past), 0);
        assert_int_equal(past.last_seq, 100 * i + 50);
        if (i >= SESSIONS - known)
            has_refusals(&past, 100 * i + 1, 20);
        else if (i + 1 < SESSIONS - known)
            assert_int_equal(past.refusal_count, 0);
    }
    table_free(&t);
}

/* A bucket holds eight; the ninth takes the place of the one that would end first. Sessions of one nonce share a bucket. */
static void a_full_bucket_loses_the_one_that_ends_first(void **state)
{
    struct table t = table_of(40);
    struct hf_session *s[10];
    uint8_t tickets[10][HF_TICKET_BYTES];
    struct hf_session_past past;

    (void)state;
    for (unsigned i = 0; i < 10; i++) {
        s[i] = add_with_nonce(&t.w[0], (uint8_t)(i + 1), 0x1234567);
        atomic_store(&s[i]->last_seq, 100 + i);
        hf_session_ticket(s[i], tickets[i]);
    }
    for (unsigned i = 0; i < 8; i++)
        end_until(&t.w[0], s[i], i == 3 ? 500 : i == 6 ? 600 : 1000 + i);
    for (unsigned i = 0; i < 8; i++)
        assert_int_equal(hf_sessions_tombstone(&t.w[0], tickets[i], 400, &past), 0);
    end_until(&t.w[0], s[8], 2000);
    assert_int_equal(hf_sessions_tombstone(&t.w[0], tickets[3], 400, &past), HF_ENOTFOUND);
    end_until(&t.w[0], s[9], 2000);
    assert_int_equal(hf_sessions_tombstone(&t.w[0], tickets[6], 400, &past), HF_ENOTFOUND);
    for (unsigned i = 0; i < 10; i++)
        if (i != 3 && i != 6) {
            assert_int_equal(hf_sessions_tombstone(&t.w[0], tickets[i], 400, &past), 0);
            assert_int_equal(past.last_seq, 100 + i);
        }
    table_free(&t);
}

/* ---- Death ---- */

static void work_park(void *ctx)
{
    struct work *w = ctx;

    (void)hf_session_park(w->t, w->s, 1, 700);
}

static void a_worker_dies_at_each_place_of_a_park(void **state)
{
    bool died = true;

    (void)state;
    for (unsigned n = 1; died; n++) {
        struct outcome out = dies(n, work_park, 0, false);

        died = out.died;
        park_orphans(&out.t.w[0], 700, NULL);
        is(out.s, HF_SESSION_PARKED, 0, 1);
        assert_int_equal(atomic_load(&out.s->parked_ms), 700);
        table_free(&out.t);
        assert_true(died || n > 1);
    }
}

static uint32_t tombs_of(const struct hf_sessions *t, uint64_t number)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < t->shm->workers * t->shm->tombs_per_home; i++)
        count += atomic_load(&t->tombs[i].number) == number;
    return count;
}

/* "ENDED -> FREE home, after the tombstone is written": its last seq is known at every moment, and no block is lost. */
static void a_home_dies_at_each_place_of_an_expiry(void **state)
{
    bool died = true;

    (void)state;
    for (unsigned n = 1; died; n++) {
        struct outcome out = dies(n, work_expire, 25, true);
        uint8_t ticket[HF_TICKET_BYTES];
        struct hf_session_past past;
        struct hf_session *s;

        died = out.died;
        hf_session_ticket(out.s, ticket);
        (void)expire(&out.t.w[0], UINT64_MAX, UINT64_MAX);
        assert_null(hf_sessions_by_ticket(&out.t.w[0], ticket));
        assert_int_equal(hf_sessions_tombstone(&out.t.w[0], ticket, 1, &past), 0);
        assert_int_equal(past.last_seq, 30);
        assert_int_equal(tombs_of(&out.t.w[0], out.s->number), 1);
        assert_int_equal(past.refusal_count, 25);
        for (uint32_t i = 0; i < 25; i++)
            assert_int_equal(past.refusals[i].seq, i + 1);
        assert_int_equal(hf_sessions_live(&out.t.w[0]), 0);
        s = add(&out.t.w[0]);
        for (uint32_t i = 0; i < HF_SUBS_INLINE + out.t.shm->blocks_per_home * HF_SUBS_PER_BLOCK; i += 997)
            assert_non_null(
                subscribe(&out.t.w[0], s, i)); /* Some; all of it is seen by the test of blocks. */
        no_place_is_lost(&out);
        table_free(&out.t);
        assert_true(died || n > 2);
    }
}

/* ---- Two processes ---- */

enum { TAKES = 20000 };

struct race {
    struct table t;
    struct hf_session *s;
    _Atomic uint64_t wins;
};

/* Whoever finds it parked tries to take it, counts, and parks it again. */
static void take_and_park(struct race *race, uint32_t worker)
{
    struct hf_sessions *t = &race->t.w[worker];

    for (;;) {
        uint64_t state = atomic_load(&race->s->state), generation = 0;

        if (hf_state_generation(state) > TAKES)
            return;
        if (hf_state_phase(state) == HF_SESSION_PARKED)
            generation = hf_session_take(t, race->s, state);
        if (generation == 0) {
            sched_yield();
            continue;
        }
        atomic_fetch_add(&race->wins, 1);
        if (!hf_session_park(t, race->s, generation, 1))
            _exit(1);
    }
}

/* "A session belongs to one worker at a time." */
static void of_two_takers_one_wins_each_generation(void **state)
{
    struct race *race = hf_memory_map(sizeof(*race));
    pid_t other;
    int status = 1;

    (void)state;
    assert_non_null(race);
    race->t = table_of(8);
    race->s = add(&race->t.w[0]);
    assert_true(hf_session_park(&race->t.w[0], race->s, 1, 1));
    other = fork_child();
    if (other == 0) {
        take_and_park(race, 1);
        _exit(0);
    }
    take_and_park(race, 0);
    assert_int_equal(waitpid(other, &status, 0), other);
    assert_int_equal(status, 0);
    assert_int_equal(atomic_load(&race->wins), hf_state_generation(state_of(race->s)) - 1);
    table_free(&race->t);
    hf_memory_unmap(race, sizeof(*race));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_session_is_live_and_empty),
        cmocka_unit_test(a_strange_number_finds_nothing),
        cmocka_unit_test(a_ticket_must_be_right_in_every_bit),
        cmocka_unit_test(only_the_owner_of_this_generation_parks_and_ends),
        cmocka_unit_test(a_takeover_raises_the_generation),
        cmocka_unit_test(a_dead_workers_session_is_taken),
        cmocka_unit_test(what_has_ended_never_comes_back),
        cmocka_unit_test(a_live_session_is_not_ended_as_a_parked_one),
        cmocka_unit_test(a_state_tells_which_process_owns_it),
        cmocka_unit_test(orphans_are_parked),
        cmocka_unit_test(the_last_seq_is_the_higher_of_two_when_settled),
        cmocka_unit_test(a_session_expires_in_time_and_when_settled),
        cmocka_unit_test(what_is_parked_after_a_look_expires_too),
        cmocka_unit_test(what_is_put_back_expires_in_time),
        cmocka_unit_test(expiry_is_a_bounded_piece_of_work),
        cmocka_unit_test(a_tombstone_tells_the_last_seq),
        cmocka_unit_test(a_tombstone_tells_the_refusals),
        cmocka_unit_test(the_oldest_refusals_are_forgotten_first),
        cmocka_unit_test(a_full_bucket_loses_the_one_that_ends_first),
        cmocka_unit_test(a_worker_dies_at_each_place_of_a_park),
        cmocka_unit_test(a_home_dies_at_each_place_of_an_expiry),
        cmocka_unit_test(of_two_takers_one_wins_each_generation),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
