/*
 * test_session_places.c - chunks and places of the session table: the bound on all workers' sessions, chunks that change hands, and what is left when one dies over it.
 */
#include "shm/session_places.h"

#include "fault_malloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "session_table.h"

/* ---- Chunks ---- */

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
        assert_int_equal(hf_session_taken_seq(s), 0);
        assert_int_equal(atomic_load(&s->attempt), 0);
        for (uint64_t i = 0; i < 20; i++)
            assert_non_null(subscribe(&t.w[0], s, i));
        assert_int_equal(hf_session_refuse(&t.w[0], s, 5, 1, 1), 0);
        hf_session_applied(s, 9);
        atomic_store(&s->last_seq, 8);
        hf_session_take_seq(s, 12);
        atomic_store(&s->attempt, 4);
        hf_session_ticket(s, ticket);
        assert_true(hf_session_end(&t.w[0], s, 1, 5));
        assert_int_equal(expire(&t.w[0], 0, 10), 1);
    }
    table_free(&t);
}

/* ---- Death ---- */

static void work_add(void *ctx)
{
    struct work *w = ctx;

    if (add(w->t) == NULL)
        _exit(1);
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
        cmocka_unit_test(the_bound_is_on_all_together),
        cmocka_unit_test(the_bound_is_passed_by_little),
        cmocka_unit_test(empty_chunks_change_hands),
        cmocka_unit_test(a_place_is_used_again_without_a_trace),
        cmocka_unit_test(a_worker_dies_at_each_place_of_an_add),
        cmocka_unit_test(a_worker_dies_at_each_place_of_its_first_add),
        cmocka_unit_test(a_worker_dies_as_it_gives_a_chunk_back),
        cmocka_unit_test(opening_without_memory_leaves_nothing),
        cmocka_unit_test(without_memory_for_a_chunk_there_is_no_session),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
