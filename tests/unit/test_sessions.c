#include "shm/sessions.h"

#include "base/rng.h"
#include "fault_malloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "crash_point.h"

#include <sched.h>

enum { WORKERS = 2, HOUR_MS = 3600000 };

static struct hf_rng rng = {12};

static struct hf_sessions view_of(struct hf_sessions_shm *shm, uint32_t home)
{
    struct hf_sessions t;

    assert_int_equal(hf_sessions_open(&t, shm, home), 0);
    return t;
}

static struct hf_sessions_shm *shm_new(uint32_t sessions_max)
{
    struct hf_sessions_shm *shm = hf_memory_map(hf_sessions_bytes(sessions_max, WORKERS));

    assert_non_null(shm);
    hf_sessions_format(shm, sessions_max, WORKERS);
    return shm;
}

static void shm_free(struct hf_sessions_shm *shm)
{
    hf_memory_unmap(shm, hf_sessions_bytes(shm->sessions_max, WORKERS));
}

/* Both workers' views of a table. */
struct table {
    struct hf_sessions_shm *shm;
    struct hf_sessions w[WORKERS];
};

static struct table table_of(uint32_t sessions_max)
{
    struct table t = {.shm = shm_new(sessions_max)};

    for (uint32_t home = 0; home < WORKERS; home++)
        t.w[home] = view_of(t.shm, home);
    return t;
}

/* Each phase that a chunk counts is counted at least; `exactly` where nobody died. */
static void chunks_count_enough(const struct hf_sessions *t, bool exactly)
{
    for (uint32_t chunk = 0; chunk < t->shm->chunks; chunk++) {
        uint32_t waiting = 0, ended = 0;

        for (uint32_t i = 0; i < HF_SESSIONS_PER_CHUNK; i++) {
            uint64_t state = atomic_load(&t->table[chunk * HF_SESSIONS_PER_CHUNK + i].state);

            waiting += hf_state_phase(state) == HF_SESSION_PARKED;
            ended += hf_state_phase(state) == HF_SESSION_ENDED;
        }
        assert_true(atomic_load(&t->chunks[chunk].waiting) >= waiting);
        assert_true(atomic_load(&t->chunks[chunk].ended) >= ended);
        assert_true(!exactly || (atomic_load(&t->chunks[chunk].waiting) == waiting &&
                                 atomic_load(&t->chunks[chunk].ended) == ended));
    }
}

static void table_free(struct table *t)
{
    chunks_count_enough(&t->w[0], crash_note == NULL);
    for (uint32_t home = 0; home < WORKERS; home++)
        hf_sessions_release(&t->w[home]);
    shm_free(t->shm);
}

static struct hf_session *add(struct hf_sessions *t)
{
    uint8_t random[20];

    for (unsigned i = 0; i < sizeof(random); i++)
        random[i] = (uint8_t)hf_rng_next(&rng);
    return hf_sessions_add(t, random);
}

static uint64_t state_of(const struct hf_session *s)
{
    return atomic_load(&s->state);
}

static void is(const struct hf_session *s, enum hf_session_phase phase, uint32_t owner, uint64_t generation)
{
    assert_int_equal(hf_state_phase(state_of(s)), phase);
    assert_int_equal(hf_state_owner(state_of(s)), owner);
    assert_int_equal(hf_state_generation(state_of(s)), generation);
}

static uint64_t gone_number;
static uint32_t gone_count;

static void gone(void *ctx, struct hf_session *s)
{
    assert_ptr_equal(ctx, &gone_number);
    gone_number = s->number;
    gone_count++;
}

static uint32_t expire_some(struct hf_sessions *t, uint32_t most, uint64_t expired_before_ms,
                            uint64_t settled_ms, uint64_t tombstone_until_ms)
{
    struct hf_session_expiry when = {expired_before_ms, expired_before_ms, settled_ms, tombstone_until_ms};

    return hf_sessions_expire(t, most, &when, gone, &gone_number);
}

static uint32_t expire(struct hf_sessions *t, uint64_t expired_before_ms, uint64_t settled_ms)
{
    return expire_some(t, UINT32_MAX, expired_before_ms, settled_ms, HOUR_MS);
}

/* What the process holds itself, of which it knows the number. */
static bool is_held(void *ctx, uint64_t number)
{
    return ctx != NULL && *(uint64_t *)ctx == number;
}

static void park_orphans(struct hf_sessions *t, uint64_t now_ms, uint64_t *held)
{
    uint64_t cursor = 0;

    while (hf_sessions_park_orphans(t, &cursor, 64, now_ms, is_held, held))
        ;
}

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

/* "Returns NULL where there are sessions_max already": however they fall on the workers. */
static void the_bound_is_on_all_together(void **state)
{
    struct table t = table_of(5000);
    struct hf_session *s;
    uint64_t cursor = 0;
    unsigned walked = 0;

    (void)state;
    for (unsigned i = 0; i < 4900; i++) /* Almost all at one worker. */
        assert_non_null(add(&t.w[0]));
    for (unsigned i = 0; i < 100; i++)
        assert_non_null(add(&t.w[1]));
    assert_null(add(&t.w[1]));
    while ((s = hf_sessions_next(&t.w[0], &cursor)) != NULL)
        walked += hf_sessions_get(&t.w[1], s->number) == s;
    assert_int_equal(walked, 5000);
    assert_int_equal(hf_sessions_live(&t.w[0]), 5000);
    table_free(&t);
}

/* "(up to HF_SESSIONS_GRACE more a worker may get in while others do)" */
static void the_bound_is_passed_by_little(void **state)
{
    struct table t = table_of(3000);
    unsigned added = 0, refused = 0;

    (void)state;
    assert_non_null(add(&t.w[1])); /* It may make some more now without counting. */
    while (add(&t.w[0]) != NULL)
        added++;
    while (refused < 2)
        if (add(&t.w[1]) != NULL)
            added++;
        else
            refused++;
    assert_in_range(added, 3000, 2999 + HF_SESSIONS_GRACE);
    assert_null(add(&t.w[0]));
    table_free(&t);
}

/* "it gives the chunk back when the last session in it has gone": so that another worker finds room. */
static void empty_chunks_change_hands(void **state)
{
    struct table t = table_of(2560);

    (void)state;
    for (unsigned round = 0; round < 6; round++) {
        struct hf_sessions *w = &t.w[round % 2];

        for (unsigned i = 0; i < 2560; i++) {
            struct hf_session *s = add(w);

            assert_non_null(s);
            assert_true(hf_session_end(w, s, 1, 5));
        }
        assert_true(hf_sessions_expiring(w));
        assert_int_equal(expire(w, 0, 10), 2560);
        assert_false(hf_sessions_expiring(w));
        assert_true(w->own_count <= 2);
    }
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
    uint64_t seq;

    (void)state;
    hf_session_ticket(s, ticket);
    hf_session_ticket(other, others);
    assert_ptr_equal(hf_sessions_by_ticket(&t.w[1], ticket), s);
    for (unsigned bit = 0; bit < HF_TICKET_BYTES * 8; bit++) {
        memcpy(mixed, ticket, sizeof(mixed));
        mixed[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_null(hf_sessions_by_ticket(&t.w[1], mixed));
        assert_int_equal(hf_sessions_tombstone(&t.w[1], mixed, 0, &seq), HF_ENOTFOUND);
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

/* ---- Subscriptions ---- */

enum { SUBS = 300 };

/* Walk, and look that exactly those are met for which there[] is true. cid i + 1, acked i * 3. */
static void subs_are(struct hf_sessions *t, const struct hf_session *s, const bool *there)
{
    bool met[SUBS] = {false};
    uint32_t cursor = 0;
    struct hf_session_sub *sub;

    while ((sub = hf_session_sub_next(t, s, &cursor)) != NULL) {
        uint64_t i = (atomic_load(&sub->cid) & HF_SUB_CID) - 1;

        assert_true(i < SUBS && !met[i]);
        met[i] = true;
        assert_int_equal(atomic_load(&sub->acked), i * 3);
        assert_int_equal((atomic_load(&sub->cid) & HF_SUB_LATEST) != 0, i % 2);
        assert_int_equal((atomic_load(&sub->cid) & HF_SUB_PRESENCE) != 0, i % 3 == 0);
    }
    assert_memory_equal(met, there, sizeof(met));
}

static struct hf_session_sub *subscribe(struct hf_sessions *t, struct hf_session *s, uint64_t i)
{
    return hf_session_sub_add(
        t, s, (i + 1) | (i % 2 ? HF_SUB_LATEST : 0) | (i % 3 == 0 ? HF_SUB_PRESENCE : 0), i * 3, 1000);
}

/* "256 subscriptions per session" and more; the cells of those that were given up are used again. */
static void subscriptions_come_and_go_over_many_blocks(void **state)
{
    struct table t = table_of(8);
    struct hf_session *s = add(&t.w[0]), *neighbour = add(&t.w[0]);
    struct hf_session_sub *cells[SUBS];
    bool there[SUBS] = {false};
    uint32_t blocks;

    (void)state;
    for (uint64_t i = 0; i < SUBS; i++) {
        cells[i] = subscribe(&t.w[0], s, i);
        assert_non_null(cells[i]);
        there[i] = true;
        if (i % 16 == 0)
            subs_are(&t.w[1], s, there);
    }
    blocks = atomic_load(&t.w[0].homes[0].blocks_high);
    assert_int_equal(blocks, (SUBS - HF_SUBS_INLINE + HF_SUBS_PER_BLOCK - 1) / HF_SUBS_PER_BLOCK);
    for (unsigned round = 0; round < 1000; round++) {
        uint64_t i = hf_rng_below(&rng, SUBS);

        if (there[i])
            hf_session_sub_remove(cells[i]);
        else
            cells[i] = subscribe(&t.w[0], s, i);
        there[i] = !there[i];
        if (round % 50 == 0)
            subs_are(&t.w[0], s, there);
    }
    for (uint64_t i = 0; i < SUBS; i++)
        if (there[i])
            hf_session_sub_remove(cells[i]);
    memset(there, 0, sizeof(there));
    subs_are(&t.w[0], s, there);
    assert_int_equal(atomic_load(&t.w[0].homes[0].blocks_high), blocks);
    subs_are(&t.w[0], neighbour, there);
    table_free(&t);
}

/* Fill a slice's blocks with the subscriptions of its sessions; returns the session that found none. */
static struct hf_session *use_up_blocks(struct hf_sessions *t)
{
    for (;;) {
        struct hf_session *s = add(t);

        assert_non_null(s);
        for (uint64_t i = 0; i < HF_SUBS_INLINE + 3 * HF_SUBS_PER_BLOCK; i++)
            if (subscribe(t, s, i) == NULL)
                return s;
    }
}

/* "NULL where blocks are exhausted"; what a session gives back when it goes is found again. */
static void blocks_that_were_given_back_are_found_again(void **state)
{
    struct table t = table_of(8000);
    struct hf_session *first = add(&t.w[0]), *hungry;
    bool there[SUBS] = {false};

    (void)state;
    for (uint64_t i = 0; i < 30; i++) {
        assert_non_null(subscribe(&t.w[0], first, i));
        there[i] = true;
    }
    hungry = use_up_blocks(&t.w[0]);
    assert_null(hf_session_sub_add(&t.w[0], hungry, 77, 0, 2000));
    hf_session_refuse(&t.w[0], hungry, 1, 1, 2000); /* "Forgotten silently where blocks are exhausted." */
    assert_int_equal(atomic_load(&hungry->refused), 0);
    subs_are(&t.w[0], first, there);
    assert_true(hf_session_end(&t.w[0], first, 1, 2000));
    assert_int_equal(expire(&t.w[0], 0, 3000), 1);
    for (unsigned block = 0; block < 4; block++) /* It had four: 2 + 4 * 7. */
        for (unsigned i = 0; i < HF_SUBS_PER_BLOCK; i++)
            assert_non_null(hf_session_sub_add(&t.w[0], hungry, 1000 + i, 0, 2500));
    assert_null(hf_session_sub_add(&t.w[0], hungry, 77, 0, 9000));
    table_free(&t);
}

/* A session that was taken over has blocks of several slices; its home gives them all back. */
static void blocks_of_another_slice_go_back_to_it(void **state)
{
    struct table t = table_of(8000);
    struct hf_session *s = add(&t.w[0]), *hungry;
    uint64_t free_blocks = 0;

    (void)state;
    assert_true(hf_session_park(&t.w[0], s, 1, 10));
    assert_int_equal(hf_session_take(&t.w[1], s, state_of(s)), 2);
    for (uint64_t i = 0; i < 16; i++)
        assert_non_null(subscribe(&t.w[1], s, i));
    assert_int_equal(atomic_load(&t.w[0].homes[0].blocks_high), 0);
    assert_int_equal(atomic_load(&t.w[0].homes[1].blocks_high), 2);
    hungry = use_up_blocks(&t.w[1]);
    assert_true(hf_session_end(&t.w[1], s, 2, 20));
    assert_int_equal(expire(&t.w[0], 0, 30), 1);
    while (hf_session_sub_add(&t.w[1], hungry, 5, 0, 5000) != NULL)
        free_blocks++;
    assert_int_equal(free_blocks, 2 * HF_SUBS_PER_BLOCK);
    table_free(&t);
}

/* ---- Refusals ---- */

/* "a nack follows for each of the session's last 32 refusals": the oldest first. */
static void the_last_32_refusals_are_kept_in_order(void **state)
{
    struct table t = table_of(8);
    struct hf_session *s = add(&t.w[0]);

    (void)state;
    for (uint64_t n = 1; n <= 100; n++) {
        uint64_t first = n <= HF_REFUSALS_MAX ? 1 : n - HF_REFUSALS_MAX + 1, seq;
        uint8_t code;
        uint32_t i = 0;

        hf_session_refuse(&t.w[0], s, (UINT64_C(1) << 52) + n * 10, (uint8_t)(n % 200 + 55), 1);
        for (; hf_session_refusal(&t.w[1], s, i, &seq, &code); i++) {
            assert_int_equal(seq, (UINT64_C(1) << 52) + (first + i) * 10);
            assert_int_equal(code, (first + i) % 200 + 55);
        }
        assert_int_equal(i, n < HF_REFUSALS_MAX ? n : HF_REFUSALS_MAX);
    }
    assert_int_equal(atomic_load(&t.w[0].homes[0].blocks_high), 3);
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

/* The next session at the same place has nothing of the last one. */
static void a_place_is_used_again_without_a_trace(void **state)
{
    struct table t = table_of(2);
    uint8_t ticket[HF_TICKET_BYTES], code;
    uint64_t seq;

    (void)state;
    for (unsigned round = 0; round < 50; round++) {
        struct hf_session *s = add(&t.w[0]);
        uint32_t cursor = 0;

        assert_non_null(s);
        assert_null(round == 0 ? NULL : hf_sessions_by_ticket(&t.w[0], ticket));
        assert_null(hf_session_sub_next(&t.w[0], s, &cursor));
        assert_false(hf_session_refusal(&t.w[0], s, 0, &seq, &code));
        assert_int_equal(hf_session_last_seq(s, true), 0);
        assert_int_equal(atomic_load(&s->attempt), 0);
        for (uint64_t i = 0; i < 20; i++)
            assert_non_null(subscribe(&t.w[0], s, i));
        hf_session_refuse(&t.w[0], s, 5, 1, 1);
        hf_session_applied(s, 9);
        atomic_store(&s->last_seq, 8);
        atomic_store(&s->attempt, 4);
        hf_session_ticket(s, ticket);
        assert_true(hf_session_end(&t.w[0], s, 1, 5));
        assert_int_equal(expire(&t.w[0], 0, 10), 1);
    }
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
    uint64_t seq = 0;

    (void)state;
    atomic_store(&s->last_seq, 40);
    hf_session_applied(s, 42);
    hf_session_ticket(s, ticket);
    assert_int_equal(hf_sessions_tombstone(&t.w[0], ticket, 1, &seq), HF_ENOTFOUND); /* It lives. */
    end_until(&t.w[1], s, 1000);
    assert_null(hf_sessions_by_ticket(&t.w[0], ticket));
    assert_int_equal(hf_sessions_tombstone(&t.w[0], ticket, 1000, &seq), 0);
    assert_int_equal(seq, 42);
    assert_int_equal(hf_sessions_tombstone(&t.w[0], ticket, 1001, &seq), HF_ENOTFOUND);
    for (unsigned bit = 0; bit < HF_TICKET_BYTES * 8; bit++) {
        ticket[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(hf_sessions_tombstone(&t.w[0], ticket, 1, &seq), HF_ENOTFOUND);
        ticket[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    table_free(&t);
}

/* A bucket holds eight; the ninth takes the place of the one that would end first. Sessions of one nonce share a bucket. */
static void a_full_bucket_loses_the_one_that_ends_first(void **state)
{
    struct table t = table_of(40);
    struct hf_session *s[10];
    uint8_t tickets[10][HF_TICKET_BYTES];
    uint64_t seq;

    (void)state;
    for (unsigned i = 0; i < 10; i++) {
        s[i] = add_with_nonce(&t.w[0], (uint8_t)(i + 1), 0x1234567);
        atomic_store(&s[i]->last_seq, 100 + i);
        hf_session_ticket(s[i], tickets[i]);
    }
    for (unsigned i = 0; i < 8; i++)
        end_until(&t.w[0], s[i], i == 3 ? 500 : i == 6 ? 600 : 1000 + i);
    for (unsigned i = 0; i < 8; i++)
        assert_int_equal(hf_sessions_tombstone(&t.w[0], tickets[i], 400, &seq), 0);
    end_until(&t.w[0], s[8], 2000);
    assert_int_equal(hf_sessions_tombstone(&t.w[0], tickets[3], 400, &seq), HF_ENOTFOUND);
    end_until(&t.w[0], s[9], 2000);
    assert_int_equal(hf_sessions_tombstone(&t.w[0], tickets[6], 400, &seq), HF_ENOTFOUND);
    for (unsigned i = 0; i < 10; i++)
        if (i != 3 && i != 6) {
            assert_int_equal(hf_sessions_tombstone(&t.w[0], tickets[i], 400, &seq), 0);
            assert_int_equal(seq, 100 + i);
        }
    table_free(&t);
}

/* ---- Death ---- */

struct work {
    struct hf_sessions *t;
    struct hf_session *s;
};

static void work_add(void *ctx)
{
    struct work *w = ctx;

    if (add(w->t) == NULL)
        _exit(1);
}

static void work_park(void *ctx)
{
    struct work *w = ctx;

    (void)hf_session_park(w->t, w->s, 1, 700);
}

static void work_subscribe(void *ctx)
{
    struct work *w = ctx;

    (void)hf_session_sub_add(w->t, w->s, 500, 50, 1);
}

static void work_refuse(void *ctx)
{
    struct work *w = ctx;

    hf_session_refuse(w->t, w->s, 90, 9, 1);
}

static void work_expire(void *ctx)
{
    struct work *w = ctx;

    (void)expire(w->t, UINT64_MAX, UINT64_MAX);
}

struct outcome {
    struct table t;
    struct hf_session *s;
    bool died;
};

/* A session with `subs` subscriptions and refusals, then one piece of work that ends at the n-th place. Worker 0 is then opened anew. */
static struct outcome dies(unsigned n, void (*work)(void *ctx), unsigned subs, bool ended)
{
    struct outcome out = {.t = table_of(8)};
    struct work w = {&out.t.w[0], add(&out.t.w[0])};

    out.s = w.s;
    for (uint64_t i = 0; i < subs; i++) {
        assert_non_null(subscribe(w.t, w.s, i));
        hf_session_refuse(w.t, w.s, i + 1, 1, 1);
    }
    atomic_store(&w.s->last_seq, 30);
    if (ended)
        assert_true(hf_session_end(w.t, w.s, 1, 5));
    out.died = dies_at(n, work, &w);
    hf_sessions_release(&out.t.w[0]);
    out.t.w[0] = view_of(out.t.shm, 0);
    return out;
}

/* As many as there may be, whatever the dead one had begun. */
static void no_place_is_lost(struct outcome *out)
{
    for (uint32_t i = hf_sessions_live(&out->t.w[0]); i < 8; i++)
        assert_non_null(add(&out->t.w[0]));
    assert_null(add(&out->t.w[0]));
}

static void a_worker_dies_at_each_place_of_an_add(void **state)
{
    bool died = true;

    (void)state;
    for (unsigned n = 1; died; n++) {
        struct outcome out = dies(n, work_add, 0, false);
        uint32_t live = hf_sessions_live(&out.t.w[0]);

        died = out.died;
        assert_in_range(live, 1, 2);
        park_orphans(&out.t.w[0], 1, NULL);
        is(out.s, HF_SESSION_PARKED, 0, 1);
        no_place_is_lost(&out);
        table_free(&out.t);
        assert_true(died || n > 1);
    }
}

/* The first session of a worker needs a chunk. A dead one's chunk is its successor's. */
static void a_worker_dies_at_each_place_of_its_first_add(void **state)
{
    bool died = true, at_chunk = false;

    (void)state;
    for (unsigned n = 1; died; n++) {
        struct outcome out = {.t = table_of(8)};
        struct work w = {&out.t.w[0], NULL};

        died = dies_at(n, work_add, &w);
        at_chunk |= died && strcmp(crash_place(), "chunk:taken") == 0;
        hf_sessions_release(&out.t.w[0]);
        out.t.w[0] = view_of(out.t.shm, 0);
        assert_int_equal(out.t.w[0].own_count, 1);
        no_place_is_lost(&out);
        table_free(&out.t);
    }
    assert_true(at_chunk);
}

/* A chunk that is being given back is empty: it is its successor's, or nobody's. */
static void a_worker_dies_as_it_gives_a_chunk_back(void **state)
{
    bool died = true, at_chunk = false;

    (void)state;
    for (unsigned n = 1; died; n++) {
        struct table t = table_of(1024);
        struct work w = {&t.w[0], add(&t.w[0])};

        for (unsigned i = 1; i < 600; i++)
            assert_true(hf_session_end(&t.w[0], add(&t.w[0]), 1, 5));
        assert_int_equal(expire(&t.w[0], 0, 10), 599);
        assert_true(hf_session_end(&t.w[0], w.s, 1, 5));
        died = dies_at(n, work_expire, &w);
        at_chunk |= died && strcmp(crash_place(), "chunk:empty") == 0;
        hf_sessions_release(&t.w[0]);
        t.w[0] = view_of(t.shm, 0);
        (void)expire(&t.w[0], 0, 10);
        assert_int_equal(hf_sessions_live(&t.w[0]), 0);
        for (unsigned i = 0; i < 1024; i++)
            assert_non_null(add(&t.w[1]));
        table_free(&t);
    }
    assert_true(at_chunk);
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

/* "A worker that dies leaves every field whole": the new subscription is there with its offset, or not at all. */
static void a_worker_dies_at_each_place_of_a_subscription(void **state)
{
    (void)state;
    for (unsigned subs = 0; subs < 20; subs++) {
        bool died = true;

        for (unsigned n = 1; died; n++) {
            struct outcome out = dies(n, work_subscribe, subs, false);
            struct hf_session_sub *sub;
            uint32_t cursor = 0, found = 0;

            died = out.died;
            while ((sub = hf_session_sub_next(&out.t.w[0], out.s, &cursor)) != NULL) {
                found++;
                if ((atomic_load(&sub->cid) & HF_SUB_CID) == 500)
                    assert_int_equal(atomic_load(&sub->acked), 50);
            }
            assert_in_range(found, subs, subs + 1);
            assert_true(died || (found == subs + 1 && n > 1));
            table_free(&out.t);
        }
    }
}

static void a_worker_dies_at_each_place_of_a_refusal(void **state)
{
    (void)state;
    for (unsigned refusals = 0; refusals < 40; refusals += refusals == 16 ? 10 : 1) {
        bool died = true;

        for (unsigned n = 1; died; n++) {
            struct outcome out = dies(n, work_refuse, refusals, false);
            uint64_t seq;
            uint8_t code;
            uint32_t kept = 0;

            died = out.died;
            while (hf_session_refusal(&out.t.w[0], out.s, kept, &seq, &code)) {
                assert_true(seq == 90 ? code == 9 : seq >= 1 && seq <= refusals && code == 1);
                kept++;
            }
            if (refusals < HF_REFUSALS_MAX)
                assert_in_range(kept, refusals, refusals + 1);
            else
                assert_int_equal(kept, HF_REFUSALS_MAX);
            table_free(&out.t);
        }
    }
}

/* "ENDED -> FREE home, after the tombstone is written": its last seq is known at every moment, and no block is lost. */
static void a_home_dies_at_each_place_of_an_expiry(void **state)
{
    bool died = true;

    (void)state;
    for (unsigned n = 1; died; n++) {
        struct outcome out = dies(n, work_expire, 25, true);
        uint8_t ticket[HF_TICKET_BYTES];
        uint64_t seq = 0;
        struct hf_session *s;

        died = out.died;
        hf_session_ticket(out.s, ticket);
        (void)expire(&out.t.w[0], UINT64_MAX, UINT64_MAX);
        assert_null(hf_sessions_by_ticket(&out.t.w[0], ticket));
        assert_int_equal(hf_sessions_tombstone(&out.t.w[0], ticket, 1, &seq), 0);
        assert_int_equal(seq, 30);
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

/* A block that was taken and never linked is free again as soon as its session has gone. */
static void a_block_that_nobody_knows_is_found_again(void **state)
{
    struct table t = table_of(8000);
    struct hf_session *s = add(&t.w[0]), *hungry;
    struct work w = {&t.w[0], s};

    (void)state;
    for (uint64_t i = 0; i < HF_SUBS_INLINE; i++)
        assert_non_null(subscribe(&t.w[0], s, i));
    assert_true(dies_at(1, work_subscribe, &w));
    assert_string_equal(crash_place(), "block:taken");
    hungry = use_up_blocks(&t.w[0]);
    assert_null(hf_session_sub_add(&t.w[0], hungry, 7, 0, 5000));
    assert_true(hf_session_end(&t.w[0], s, 1, 5));
    assert_int_equal(expire(&t.w[0], 0, 10), 1);
    for (unsigned i = 0; i < HF_SUBS_PER_BLOCK; i++)
        assert_non_null(hf_session_sub_add(&t.w[0], hungry, 7, 0, 6000));
    assert_null(hf_session_sub_add(&t.w[0], hungry, 7, 0, 7000));
    table_free(&t);
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

/* ---- Memory ---- */

/* "Returns 0 or HF_ENOMEM", and then nothing is left to be released. */
static void opening_without_memory_leaves_nothing(void **state)
{
    struct table t = table_of(2000);
    struct hf_sessions again;

    (void)state;
    for (unsigned i = 0; i < 500; i++)
        assert_true(hf_session_end(&t.w[0], add(&t.w[0]), 1, 5));
    assert_int_equal(expire(&t.w[0], 0, 10), 500);
    for (unsigned n = 1;; n++) {
        int err;

        fault_arm(n);
        err = hf_sessions_open(&again, t.shm, 0);
        if (!fault_disarm()) {
            assert_int_equal(err, 0);
            assert_true(n > 1);
            break;
        }
        assert_int_equal(err, HF_ENOMEM);
        assert_null(again.own);
    }
    for (unsigned i = 0; i < 2000; i++)
        assert_non_null(add(&again));
    assert_null(add(&again));
    hf_sessions_release(&again);
    table_free(&t);
}

/* "Returns NULL where there are sessions_max already, or no memory." */
static void without_memory_for_a_chunk_there_is_no_session(void **state)
{
    struct table t = table_of(2000);

    (void)state;
    fault_arm(1);
    assert_null(add(&t.w[0]));
    assert_true(fault_disarm());
    for (uint32_t chunk = 0; chunk < t.shm->chunks; chunk++)
        assert_int_equal(atomic_load(&t.w[0].chunks[chunk].home), 0);
    assert_non_null(add(&t.w[0]));
    table_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_session_is_live_and_empty),
        cmocka_unit_test(the_bound_is_on_all_together),
        cmocka_unit_test(the_bound_is_passed_by_little),
        cmocka_unit_test(empty_chunks_change_hands),
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
        cmocka_unit_test(subscriptions_come_and_go_over_many_blocks),
        cmocka_unit_test(blocks_that_were_given_back_are_found_again),
        cmocka_unit_test(blocks_of_another_slice_go_back_to_it),
        cmocka_unit_test(the_last_32_refusals_are_kept_in_order),
        cmocka_unit_test(a_session_expires_in_time_and_when_settled),
        cmocka_unit_test(what_is_parked_after_a_look_expires_too),
        cmocka_unit_test(expiry_is_a_bounded_piece_of_work),
        cmocka_unit_test(a_place_is_used_again_without_a_trace),
        cmocka_unit_test(a_tombstone_tells_the_last_seq),
        cmocka_unit_test(a_full_bucket_loses_the_one_that_ends_first),
        cmocka_unit_test(a_worker_dies_at_each_place_of_an_add),
        cmocka_unit_test(a_worker_dies_at_each_place_of_its_first_add),
        cmocka_unit_test(a_worker_dies_as_it_gives_a_chunk_back),
        cmocka_unit_test(a_worker_dies_at_each_place_of_a_park),
        cmocka_unit_test(a_worker_dies_at_each_place_of_a_subscription),
        cmocka_unit_test(a_worker_dies_at_each_place_of_a_refusal),
        cmocka_unit_test(a_home_dies_at_each_place_of_an_expiry),
        cmocka_unit_test(a_block_that_nobody_knows_is_found_again),
        cmocka_unit_test(of_two_takers_one_wins_each_generation),
        cmocka_unit_test(opening_without_memory_leaves_nothing),
        cmocka_unit_test(without_memory_for_a_chunk_there_is_no_session),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
