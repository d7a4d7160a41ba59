/*
 * test_session_identity.c - whose session it is: hf_session_identity_set() and what each worker reads of it.
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

#include <pthread.h>

static const char letters[2048] = {0};

static struct hf_str text_of(char c, size_t len)
{
    static char text[2][2048];
    static unsigned turn;

    turn = 1 - turn;
    memset(text[turn], c, len);
    return (struct hf_str){text[turn], len};
}

static void reads(const struct hf_sessions *t, const struct hf_session *s, struct hf_str user,
                  struct hf_str info)
{
    struct hf_buf got_user, got_info;

    hf_buf_init(&got_user, 4096);
    hf_buf_init(&got_info, 4096);
    assert_int_equal(hf_session_identity(t, s, &got_user, &got_info), user.len > 0 ? 0 : HF_ENOTFOUND);
    assert_true(hf_str_eq(hf_buf_str(&got_user), user));
    assert_true(hf_str_eq(hf_buf_str(&got_info), info));
    assert_int_equal(hf_session_identity(t, s, &got_user, NULL), user.len > 0 ? 0 : HF_ENOTFOUND);
    assert_true(hf_str_eq(hf_buf_str(&got_user), user));
    hf_buf_release(&got_user);
    hf_buf_release(&got_info);
}

/* "the memory of an idle anonymous session must not grow": no block, and nothing to read. */
static void a_new_session_is_anonymous(void **state)
{
    struct table t = table_of(8);
    struct hf_session *s = add(&t.w[0]);

    (void)state;
    assert_true(sizeof(struct hf_session) <= 120);
    reads(&t.w[1], s, HF_STR(""), HF_STR(""));
    assert_int_equal(hf_session_identity_set(&t.w[0], s, HF_STR(""), HF_STR(""), 1), 0);
    assert_int_equal(atomic_load(&t.w[0].homes[0].blocks_high), 0);
    table_free(&t);
}

/* All lengths around the blocks' borders, read by another worker. */
static void every_length_is_read_as_it_was_put_in(void **state)
{
    struct table t = table_of(8);
    struct hf_session *s = add(&t.w[0]);

    (void)state;
    for (size_t user = 1; user <= HF_USER_BYTES_MAX; user += user % 7 + 1)
        for (size_t info = 0; info <= HF_INFO_BYTES_MAX; info += info < 250 ? 13 : 129) {
            struct hf_str a = text_of('u', user), b = text_of('i', info);

            assert_int_equal(hf_session_identity_set(&t.w[0], s, a, b, user * 1000 + info), 0);
            reads(&t.w[1], s, a, b);
        }
    assert_int_equal(hf_session_identity_set(&t.w[0], s, text_of('u', HF_USER_BYTES_MAX),
                                             text_of('i', HF_INFO_BYTES_MAX), 1000000),
                     0);
    reads(&t.w[1], s, text_of('u', HF_USER_BYTES_MAX), text_of('i', HF_INFO_BYTES_MAX));
    table_free(&t);
}

static void claims_are(const struct hf_sessions *t, const struct hf_session *s, struct hf_str want,
                       bool want_lost)
{
    struct hf_buf got;
    bool lost;

    hf_buf_init(&got, HF_CLAIMS_BYTES_MAX);
    assert_int_equal(hf_session_claims(t, s, &got, &lost), 0);
    assert_true(hf_str_eq(hf_buf_str(&got), want));
    assert_int_equal(lost, want_lost);
    hf_buf_release(&got);
}

static void claims_lie_beside_the_user(void **state)
{
    struct table t = table_of(8);
    struct hf_session *s = add(&t.w[0]);
    struct hf_session_whose whose = {.user = HF_STR("ann"), .info = HF_STR("[1]")};
    struct hf_buf none;
    bool lost = true;

    (void)state;
    hf_buf_init(&none, HF_CLAIMS_BYTES_MAX);
    assert_int_equal(hf_session_claims(&t.w[1], s, &none, &lost), HF_ENOTFOUND);
    assert_false(lost);
    for (size_t len = 0; len <= HF_CLAIMS_BYTES_MAX; len += len < 300 ? 7 : 181) {
        whose.claims = text_of('c', len);
        assert_int_equal(hf_session_whose_set(&t.w[0], s, &whose, 1000 + len), 0);
        reads(&t.w[1], s, whose.user, whose.info);
        claims_are(&t.w[1], s, whose.claims, false);
    }
    whose.claims = (struct hf_str){letters, HF_CLAIMS_BYTES_MAX + 1};
    assert_int_equal(hf_session_whose_set(&t.w[0], s, &whose, 5000), HF_ELIMIT);
    whose.claims_lost = true;
    assert_int_equal(hf_session_whose_set(&t.w[0], s, &whose, 5000), 0);
    reads(&t.w[1], s, whose.user, whose.info);
    claims_are(&t.w[1], s, HF_STR(""), true);
    assert_int_equal(hf_session_identity_set(&t.w[0], s, whose.user, whose.info, 6000), 0);
    claims_are(&t.w[1], s, HF_STR(""), false);
    table_free(&t);
}

static void what_is_too_long_changes_nothing(void **state)
{
    struct table t = table_of(8);
    struct hf_session *s = add(&t.w[0]);

    (void)state;
    assert_int_equal(hf_session_identity_set(&t.w[0], s, HF_STR("alice"), HF_STR("{}"), 1), 0);
    assert_int_equal(
        hf_session_identity_set(&t.w[0], s, (struct hf_str){letters, HF_USER_BYTES_MAX + 1}, HF_STR(""), 1),
        HF_ELIMIT);
    assert_int_equal(
        hf_session_identity_set(&t.w[0], s, HF_STR("a"), (struct hf_str){letters, HF_INFO_BYTES_MAX + 1}, 1),
        HF_ELIMIT);
    reads(&t.w[1], s, HF_STR("alice"), HF_STR("{}"));
    table_free(&t);
}

/* The same again takes nothing; another one takes new blocks, and the old ones come back; so do all when the session goes. */
static void blocks_come_back(void **state)
{
    struct table t = table_of(8);
    struct hf_session *s = add(&t.w[0]);
    uint32_t high;

    (void)state;
    for (int i = 0; i < 100; i++)
        assert_int_equal(hf_session_identity_set(&t.w[0], s, HF_STR("alice"), HF_STR("1"), 1000), 0);
    assert_int_equal(atomic_load(&t.w[0].homes[0].blocks_high), 1);
    high = t.shm->blocks_per_home;
    for (uint64_t i = 0; i < 3 * high; i++) {
        char user[32];

        snprintf(user, sizeof(user), "user %u", (unsigned)i);
        assert_int_equal(hf_session_identity_set(&t.w[0], s, hf_str_from(user), HF_STR(""), 1000 * i), 0);
    }
    assert_int_equal(hf_session_identity_set(&t.w[0], s, HF_STR(""), HF_STR(""), 1), 0);
    reads(&t.w[0], s, HF_STR(""), HF_STR(""));
    assert_int_equal(hf_session_identity_set(&t.w[0], s, HF_STR("bob"), HF_STR(""), 1), 0);
    assert_true(hf_session_end(&t.w[0], s, 1, 5));
    assert_int_equal(expire(&t.w[0], UINT64_MAX, UINT64_MAX), 1);
    for (uint32_t i = 0; i < high; i++)
        assert_int_equal(atomic_load(&t.w[0].blocks[i].session), 0);
    table_free(&t);
}

/* "Returns HF_ELIMIT where blocks are exhausted …: then nothing has changed" */
static void without_room_it_stays_who_it_was(void **state)
{
    struct table t = table_of(8);
    struct hf_session *s = add(&t.w[0]), *greedy = add(&t.w[0]);
    uint32_t high = t.shm->blocks_per_home;

    (void)state;
    assert_int_equal(hf_session_identity_set(&t.w[0], s, HF_STR("alice"), HF_STR(""), 1), 0);
    for (uint64_t i = 0; i < HF_SUBS_INLINE + (high - 3) * HF_SUBS_PER_BLOCK; i++)
        assert_non_null(subscribe(&t.w[0], greedy, i));
    /* Two are left, and five would be needed. */
    assert_int_equal(hf_session_identity_set(&t.w[0], s, HF_STR("alice"), text_of('i', 500), 1000),
                     HF_ELIMIT);
    reads(&t.w[1], s, HF_STR("alice"), HF_STR(""));
    /* They have come back. */
    assert_int_equal(hf_session_identity_set(&t.w[0], s, HF_STR("alice"), text_of('i', 150), 5000), 0);
    reads(&t.w[1], s, HF_STR("alice"), text_of('i', 150));
    table_free(&t);
}

/* A place that is used again is nobody's at first. */
static void the_next_session_in_its_place_is_anonymous(void **state)
{
    struct table t = table_of(1);
    struct hf_session *s = add(&t.w[0]), *next;

    (void)state;
    assert_int_equal(hf_session_identity_set(&t.w[0], s, HF_STR("alice"), HF_STR(""), 1), 0);
    assert_true(hf_session_park(&t.w[0], s, 1, 5));
    reads(&t.w[1], s, HF_STR("alice"), HF_STR("")); /* Parked, it is still hers. */
    assert_int_equal(expire(&t.w[0], UINT64_MAX, UINT64_MAX), 1);
    while ((next = add(&t.w[0])) != s)
        assert_non_null(next);
    reads(&t.w[1], s, HF_STR(""), HF_STR(""));
    table_free(&t);
}

static void work_set(void *ctx)
{
    struct work *w = ctx;

    assert_int_equal(hf_session_identity_set(w->t, w->s, HF_STR("bob"), text_of('b', 300), 1000), 0);
}

/* Whatever the place where the worker dies: others read the old identity or the new one, whole, and no block is lost for good. */
static void a_death_leaves_one_of_the_two(void **state)
{
    bool seen_old = false, seen_new = false, died = true;

    (void)state;
    for (unsigned n = 1; died; n++) {
        struct table t = table_of(8);
        struct work w = {&t.w[0], add(&t.w[0])};
        struct hf_buf user;

        assert_int_equal(hf_session_identity_set(w.t, w.s, HF_STR("alice"), HF_STR("1"), 1), 0);
        died = dies_at(n, work_set, &w);
        hf_buf_init(&user, 1000);
        assert_int_equal(hf_session_identity(&t.w[1], w.s, &user, NULL), 0);
        if (hf_str_eq(hf_buf_str(&user), HF_STR("alice"))) {
            reads(&t.w[1], w.s, HF_STR("alice"), HF_STR("1"));
            seen_old = true;
        } else {
            reads(&t.w[1], w.s, HF_STR("bob"), text_of('b', 300));
            seen_new = true;
        }
        hf_buf_release(&user);
        hf_sessions_release(&t.w[0]);
        t.w[0] = view_of(t.shm, 0);
        assert_true(hf_session_end(&t.w[0], w.s, 1, 5));
        assert_int_equal(expire(&t.w[0], UINT64_MAX, UINT64_MAX), 1);
        /* Each block of the slice can be had again. */
        w.s = add(&t.w[0]);
        for (uint64_t i = 0; i < HF_SUBS_INLINE + t.shm->blocks_per_home * HF_SUBS_PER_BLOCK; i++)
            assert_non_null(hf_session_sub_add(&t.w[0], w.s, i + 1, 0, 1000000));
        table_free(&t);
    }
    assert_true(seen_old && seen_new);
}

static _Atomic bool over;

/* Replaces one identity by another, so fast that blocks are taken again all the time. */
static void *replace_for_ever(void *ctx)
{
    struct work *w = ctx;

    for (uint64_t i = 0; !atomic_load(&over); i++) {
        char text[600];

        memset(text, 'a' + (int)(i % 26), sizeof(text));
        assert_int_equal(hf_session_identity_set(w->t, w->s, (struct hf_str){text, 1 + i % 200},
                                                 (struct hf_str){text, i % 600}, i * 200),
                         0);
    }
    return NULL;
}

/* "the same, as it was put in whole": never one's user with another's info. */
static void a_reader_gets_one_identity_whole(void **state)
{
    struct table t = table_of(8);
    struct work w = {&t.w[0], add(&t.w[0])};
    struct hf_buf user, info;
    unsigned got = 0;
    pthread_t thread;

    (void)state;
    hf_buf_init(&user, 1000);
    hf_buf_init(&info, 2000);
    atomic_store(&over, false);
    assert_int_equal(hf_session_identity_set(w.t, w.s, HF_STR("z"), HF_STR(""), 1), 0);
    assert_int_equal(pthread_create(&thread, NULL, replace_for_ever, &w), 0);
    for (unsigned i = 0; i < 40000 || got == 0; i++) {
        if (hf_session_identity(&t.w[1], w.s, &user, &info) < 0)
            continue; /* It was replaced sixteen times meanwhile. */
        got++;
        for (uint32_t k = 1; k < user.len; k++)
            assert_true(user.data[k] == user.data[0]);
        for (uint32_t k = 0; k < info.len; k++)
            assert_true(info.data[k] == user.data[0]);
    }
    atomic_store(&over, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
    hf_buf_release(&user);
    hf_buf_release(&info);
    table_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_session_is_anonymous),
        cmocka_unit_test(every_length_is_read_as_it_was_put_in),
        cmocka_unit_test(claims_lie_beside_the_user),
        cmocka_unit_test(what_is_too_long_changes_nothing),
        cmocka_unit_test(blocks_come_back),
        cmocka_unit_test(without_room_it_stays_who_it_was),
        cmocka_unit_test(the_next_session_in_its_place_is_anonymous),
        cmocka_unit_test(a_death_leaves_one_of_the_two),
        cmocka_unit_test(a_reader_gets_one_identity_whole),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
