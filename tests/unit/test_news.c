/* When a look at the network is news: better at once, worse when it lasts. */
#include "client/news.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct hf_look look_of(uint64_t print, bool offline, enum hf_session_path path)
{
    struct hf_look look = {.print = print, .facts = {.offline = offline}};

    look.facts.paths[0] = path;
    return look;
}

#define LOOK(n, print, offline, path, at)                                                                    \
    hf_news_look(n, &(struct hf_look[]){look_of(print, offline, path)}[0], at)

static struct hf_news begun(void)
{
    struct hf_news n;

    hf_news_init(&n);
    hf_news_rebase(&n, 1);
    assert_false(LOOK(&n, 1, false, HF_PATH_SAME, 1000));
    assert_int_equal(hf_news_deadline_ms(&n), UINT64_MAX);
    return n;
}

static void a_change_is_told_when_it_has_lasted(void **state)
{
    struct hf_news n = begun();

    (void)state;
    assert_false(LOOK(&n, 2, false, HF_PATH_SAME, 2000));
    assert_int_equal(hf_news_deadline_ms(&n), 2300);
    assert_false(LOOK(&n, 3, false, HF_PATH_SAME, 2299)); /* A stream of changes does not put it off. */
    assert_true(LOOK(&n, 3, false, HF_PATH_SAME, 2300));
    assert_int_equal(hf_news_deadline_ms(&n), UINT64_MAX);
    assert_false(LOOK(&n, 3, false, HF_PATH_SAME, 2301));
}

static void what_is_undone_is_never_told(void **state)
{
    struct hf_news n = begun();

    (void)state;
    assert_false(LOOK(&n, 2, true, HF_PATH_GONE, 2000));
    assert_false(LOOK(&n, 1, false, HF_PATH_SAME, 2100));
    assert_int_equal(hf_news_deadline_ms(&n), UINT64_MAX);
    assert_false(LOOK(&n, 2, true, HF_PATH_GONE, 2400));
    assert_int_equal(hf_news_deadline_ms(&n), 2700); /* counted anew */
}

static void offline_lasts_and_online_is_told_at_once(void **state)
{
    struct hf_news n = begun();

    (void)state;
    assert_false(LOOK(&n, 2, true, HF_PATH_SAME, 2000));
    assert_true(LOOK(&n, 2, true, HF_PATH_SAME, 2300));
    assert_true(LOOK(&n, 1, false, HF_PATH_SAME, 5000));
}

static void tellings_are_apart(void **state)
{
    struct hf_news n = begun();

    (void)state;
    assert_true(LOOK(&n, 2, false, HF_PATH_MOVED, 2000)); /* another way is good news */
    assert_false(LOOK(&n, 3, false, HF_PATH_GONE, 2010));
    assert_int_equal(hf_news_deadline_ms(&n), 2300);
    assert_true(LOOK(&n, 3, false, HF_PATH_GONE, 2300));
}

static void an_address_that_is_gone_is_told_at_once_where_there_is_another_way(void **state)
{
    struct hf_news n = begun();

    (void)state;
    assert_false(LOOK(&n, 2, true, HF_PATH_GONE, 2000));
    assert_true(LOOK(&n, 3, false, HF_PATH_GONE, 2050));
}

static void a_way_is_told_once(void **state)
{
    struct hf_news n = begun();

    (void)state;
    assert_true(LOOK(&n, 2, false, HF_PATH_MOVED, 2000));
    assert_false(LOOK(&n, 2, false, HF_PATH_MOVED, 3000));
    assert_false(LOOK(&n, 2, false, HF_PATH_SAME, 4000)); /* A new connection took it: no news. */
    assert_int_equal(hf_news_deadline_ms(&n), UINT64_MAX);
    assert_true(LOOK(&n, 1, false, HF_PATH_MOVED, 5000)); /* But the next move is. */
}

/* It was made on the old way while that was told of another. */
static void a_new_connection_on_an_old_way_is_told(void **state)
{
    struct hf_news n = begun();

    (void)state;
    assert_true(LOOK(&n, 2, false, HF_PATH_MOVED, 2000));
    hf_news_rebase(&n, 2);
    assert_true(LOOK(&n, 2, false, HF_PATH_MOVED, 3000));
}

/* --- moves that are none --- */

enum { CONNECTIONS = 20 };

/* What a look shows of a connection from address `own`, where the kernel says that it would be from `source`. */
static struct hf_look moved(uint64_t print, uint8_t own, uint8_t source, uint64_t begun_at_ms)
{
    struct hf_look look = look_of(print, false, HF_PATH_MOVED);

    look.moves[0] = (struct hf_move){.own = {{own}}, .source = {{source}}, .begun_at_ms = begun_at_ms};
    return look;
}

/* Each time a move is told another connection is made, as the session does, from the same address; returns how often it is. */
static unsigned tellings(struct hf_news *n, uint64_t print, uint64_t *now_ms, uint8_t pairs)
{
    unsigned i, told = 0;
    uint8_t own = 1;
    uint64_t begun_at_ms = *now_ms;

    for (i = 0; i < CONNECTIONS; i++) {
        struct hf_look look = moved(print, own, (uint8_t)(own + 100), begun_at_ms);

        *now_ms += 1000;
        if (!hf_news_look(n, &look, *now_ms)) {
            assert_int_equal(look.facts.paths[0], HF_PATH_SAME);
            continue;
        }
        told++;
        begun_at_ms = *now_ms;
        own = own == pairs ? 1 : (uint8_t)(own + 1);
        hf_news_rebase(n, print); /* There is another connection. */
    }
    return told;
}

static void a_move_that_leads_to_the_same_address_is_believed_once(void **state)
{
    struct hf_news n = begun();
    uint64_t now_ms = 2000;

    (void)state;
    assert_int_equal(tellings(&n, 1, &now_ms, 1), 1);
    assert_int_equal(tellings(&n, 1, &now_ms, 1), 0);
    assert_int_equal(tellings(&n, 2, &now_ms, 1), 1); /* The ways have changed: it may be true now. */
    assert_int_equal(tellings(&n, 2, &now_ms, 1), 0);
}

/* Several ways, with an address each, and none is what the kernel says. */
static void several_such_moves_are_believed_once_each(void **state)
{
    struct hf_news n = begun();
    uint64_t now_ms = 2000;

    (void)state;
    assert_int_equal(tellings(&n, 1, &now_ms, 3), 3);
    assert_int_equal(tellings(&n, 2, &now_ms, CONNECTIONS), HF_NEWS_MOVES_MAX);
}

/* Back and forth: whatever was believed before the ways changed is believed again. */
static void true_moves_are_believed_however_often(void **state)
{
    struct hf_news n = begun();
    uint64_t i;

    (void)state;
    for (i = 0; i < CONNECTIONS; i++) {
        struct hf_look look = moved(2 + i % 2, 1 + i % 2, 2 - i % 2, 2000 + i * 1000);

        assert_true(hf_news_look(&n, &look, 2500 + i * 1000));
        assert_int_equal(look.facts.paths[0], HF_PATH_MOVED);
        hf_news_rebase(&n, look.print); /* The next connection is from there. */
    }
}

/* It was begun before that was told, and lived on afterwards. */
static void a_move_is_believed_of_a_connection_from_before(void **state)
{
    struct hf_news n = begun();
    struct hf_look first = moved(2, 1, 2, 1000), before = moved(2, 1, 2, 1999), after = moved(2, 1, 2, 2000);

    (void)state;
    assert_true(hf_news_look(&n, &first, 2000));
    hf_news_rebase(&n, 2);
    assert_true(hf_news_look(&n, &before, 3000));
    hf_news_rebase(&n, 2);
    assert_false(hf_news_look(&n, &after, 4000));
}

static void other_addresses_of_the_server_are_no_news(void **state)
{
    struct hf_news n = begun();

    (void)state;
    hf_news_rebase(&n, 7);
    assert_false(LOOK(&n, 7, false, HF_PATH_SAME, 2000));
    assert_int_equal(hf_news_deadline_ms(&n), UINT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_change_is_told_when_it_has_lasted),
        cmocka_unit_test(what_is_undone_is_never_told),
        cmocka_unit_test(offline_lasts_and_online_is_told_at_once),
        cmocka_unit_test(tellings_are_apart),
        cmocka_unit_test(an_address_that_is_gone_is_told_at_once_where_there_is_another_way),
        cmocka_unit_test(a_way_is_told_once),
        cmocka_unit_test(a_new_connection_on_an_old_way_is_told),
        cmocka_unit_test(a_move_that_leads_to_the_same_address_is_believed_once),
        cmocka_unit_test(several_such_moves_are_believed_once_each),
        cmocka_unit_test(true_moves_are_believed_however_often),
        cmocka_unit_test(a_move_is_believed_of_a_connection_from_before),
        cmocka_unit_test(other_addresses_of_the_server_are_no_news),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
