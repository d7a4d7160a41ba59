/*
 * test_session_blocks.c - subscriptions and refusals of sessions, and the blocks that they take and give back.
 */
#include "shm/session_blocks.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "session_table.h"

/* ---- Subscriptions ---- */

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
    assert_int_equal(hf_session_refuse(&t.w[0], hungry, 1, 1, 2000), HF_ELIMIT);
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

        assert_int_equal(
            hf_session_refuse(&t.w[0], s, (UINT64_C(1) << 52) + n * 10, (uint8_t)(n % 200 + 55), 1), 0);
        for (; hf_session_refusal(&t.w[1], s, i, &seq, &code); i++) {
            assert_int_equal(seq, (UINT64_C(1) << 52) + (first + i) * 10);
            assert_int_equal(code, (first + i) % 200 + 55);
        }
        assert_int_equal(i, n < HF_REFUSALS_MAX ? n : HF_REFUSALS_MAX);
    }
    assert_int_equal(atomic_load(&t.w[0].homes[0].blocks_high), 3);
    table_free(&t);
}

/* ---- Death ---- */

static void work_subscribe(void *ctx)
{
    struct work *w = ctx;

    (void)hf_session_sub_add(w->t, w->s, 500, 50, 1);
}

static void work_refuse(void *ctx)
{
    struct work *w = ctx;

    (void)!hf_session_refuse(w->t, w->s, 90, 9, 1);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(subscriptions_come_and_go_over_many_blocks),
        cmocka_unit_test(blocks_that_were_given_back_are_found_again),
        cmocka_unit_test(blocks_of_another_slice_go_back_to_it),
        cmocka_unit_test(the_last_32_refusals_are_kept_in_order),
        cmocka_unit_test(a_worker_dies_at_each_place_of_a_subscription),
        cmocka_unit_test(a_worker_dies_at_each_place_of_a_refusal),
        cmocka_unit_test(a_block_that_nobody_knows_is_found_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
