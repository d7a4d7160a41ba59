#include "session/pool_core.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

enum { MEMBERS = 3, FLUSH_MS = 100, PUBLISHES_MAX = 300 };

struct publish {
    struct hf_list node;
    uint32_t put_for; /* the member, or HF_POOL_CORE_ANY */
    unsigned number;
};

/* A pool in virtual time. */
struct world {
    struct hf_pool_core core;
    struct publish publishes[PUBLISHES_MAX];
    unsigned published;
    uint64_t now_ms;
};

static void setup(struct world *w)
{
    uint32_t i;

    w->published = 0;
    w->now_ms = 1000;
    hf_pool_core_init(&w->core, MEMBERS, FLUSH_MS, 7, w->now_ms);
    for (i = 0; i < MEMBERS; i++) {
        assert_true(hf_pool_core_due(&w->core, i, w->now_ms));
        hf_pool_core_replaced(&w->core, i);
    }
}

static void connect_all(struct world *w)
{
    uint32_t i;

    for (i = 0; i < MEMBERS; i++)
        hf_pool_core_connected(&w->core, i, w->now_ms);
}

static struct publish *publish(struct world *w, uint32_t put_for)
{
    struct publish *p = &w->publishes[w->published];

    p->put_for = put_for;
    p->number = w->published++;
    hf_pool_core_put(&w->core, &p->node, put_for, w->now_ms);
    return p;
}

static struct publish *next(struct world *w, uint32_t *member)
{
    struct hf_list *node = hf_pool_core_next(&w->core, member, w->now_ms);

    return node == NULL ? NULL : HF_CONTAINER(node, struct publish, node);
}

/* Take all that can go; returns how many, and in counts[] how many went to each member. */
static unsigned take_all(struct world *w, unsigned counts[MEMBERS])
{
    struct publish *p;
    uint32_t member;
    unsigned taken, i;

    for (i = 0; i < MEMBERS; i++)
        counts[i] = 0;
    for (taken = 0; (p = next(w, &member)) != NULL; taken++) {
        assert_true(p->put_for == HF_POOL_CORE_ANY || p->put_for == member);
        counts[member]++;
    }
    return taken;
}

static void publishes_without_a_key_go_round(void **state)
{
    struct world w;
    uint32_t member;
    unsigned i;

    (void)state;
    setup(&w);
    connect_all(&w);
    for (i = 0; i < 9; i++)
        (void)publish(&w, HF_POOL_CORE_ANY);
    for (i = 0; i < 9; i++) {
        assert_int_equal(next(&w, &member)->number, i);
        assert_int_equal(member, i % MEMBERS);
    }
    assert_null(next(&w, &member));
}

static void members_that_are_away_get_none_without_a_key(void **state)
{
    struct world w;
    unsigned counts[MEMBERS], i;

    (void)state;
    setup(&w);
    connect_all(&w);
    hf_pool_core_disconnected(&w.core, 1, w.now_ms);
    for (i = 0; i < 10; i++)
        (void)publish(&w, HF_POOL_CORE_ANY);
    assert_int_equal(take_all(&w, counts), 10);
    assert_int_equal(counts[1], 0);
    assert_int_equal(counts[0], 5);
}

/* "Its messages wait in its outbox": the member gets them though it is away, and in order. */
static void a_key_keeps_its_member_while_that_is_away(void **state)
{
    struct world w;
    uint32_t member, mine;
    unsigned i;

    (void)state;
    setup(&w);
    connect_all(&w);
    mine = hf_pool_core_member_of(&w.core, HF_STR("EURUSD"));
    for (i = 0; i < 6; i++) {
        if (i == 3)
            hf_pool_core_disconnected(&w.core, mine, w.now_ms);
        (void)publish(&w, mine);
        assert_int_equal(next(&w, &member)->number, i);
        assert_int_equal(member, mine);
    }
}

/* While its session is being replaced nobody can take them: they wait in the queue, and others go on. */
static void a_key_waits_for_a_vacant_member(void **state)
{
    struct world w;
    uint32_t member;
    unsigned i;

    (void)state;
    setup(&w);
    connect_all(&w);
    (void)hf_pool_core_ended(&w.core, 2, w.now_ms);
    hf_pool_core_gone(&w.core, 2);
    for (i = 0; i < 3; i++)
        (void)publish(&w, 2);
    (void)publish(&w, 0);
    assert_int_equal(next(&w, &member)->number, 3);
    assert_null(next(&w, &member));
    w.now_ms += 30000;
    assert_true(hf_pool_core_due(&w.core, 2, w.now_ms));
    hf_pool_core_replaced(&w.core, 2);
    for (i = 0; i < 3; i++)
        assert_int_equal(next(&w, &member)->number, i);
}

static void keys_are_spread_and_never_move(void **state)
{
    struct world w;
    unsigned counts[MEMBERS] = {0}, i;
    char key[16];

    (void)state;
    setup(&w);
    for (i = 0; i < 3000; i++) {
        (void)snprintf(key, sizeof(key), "key-%u", i);
        counts[hf_pool_core_member_of(&w.core, hf_str_from(key))]++;
    }
    for (i = 0; i < MEMBERS; i++)
        assert_in_range(counts[i], 850, 1150);
    /* Part of the contract: a member's number may have been written down. */
    assert_int_equal(hf_pool_core_member_of(&w.core, HF_STR("")),
                     (14695981039346656037u ^ 14695981039346656037u >> 32) % 3);
}

static void while_nothing_is_connected_all_waits(void **state)
{
    struct world w;
    uint32_t member;
    unsigned counts[MEMBERS];

    (void)state;
    setup(&w);
    (void)publish(&w, HF_POOL_CORE_ANY);
    (void)publish(&w, 1);
    assert_null(next(&w, &member));
    /* No look that can find nothing: the clock alone does not wake anybody. */
    assert_true(hf_pool_core_deadline_ms(&w.core) == UINT64_MAX);
    w.now_ms += 250;
    hf_pool_core_connected(&w.core, 0, w.now_ms);
    assert_int_equal(hf_pool_core_deadline_ms(&w.core), 1300); /* the third of the looks every 100 ms */
    assert_null(next(&w, &member));
    w.now_ms = 1300;
    assert_int_equal(take_all(&w, counts), 2);
    assert_true(hf_pool_core_deadline_ms(&w.core) == UINT64_MAX);
    /* From now on nothing waits for the clock. */
    (void)publish(&w, HF_POOL_CORE_ANY);
    assert_int_equal(take_all(&w, counts), 1);
}

static void members_that_come_back_together_share_what_waited(void **state)
{
    struct world w;
    unsigned counts[MEMBERS], i;

    (void)state;
    setup(&w);
    for (i = 0; i < 99; i++)
        (void)publish(&w, HF_POOL_CORE_ANY);
    for (i = 0; i < MEMBERS; i++) {
        w.now_ms += 20;
        hf_pool_core_connected(&w.core, i, w.now_ms);
        assert_int_equal(take_all(&w, counts), 0);
    }
    w.now_ms = 1100;
    assert_int_equal(take_all(&w, counts), 99);
    for (i = 0; i < MEMBERS; i++)
        assert_int_equal(counts[i], 33);
}

/* The only connection goes before the look: the next look comes with the next connection. */
static void a_look_is_not_due_when_the_connection_is_gone(void **state)
{
    struct world w;
    unsigned counts[MEMBERS];

    (void)state;
    setup(&w);
    (void)publish(&w, HF_POOL_CORE_ANY);
    hf_pool_core_connected(&w.core, 0, w.now_ms + 10);
    hf_pool_core_disconnected(&w.core, 0, w.now_ms + 20);
    assert_true(hf_pool_core_deadline_ms(&w.core) == UINT64_MAX);
    w.now_ms += 450;
    assert_int_equal(take_all(&w, counts), 0);
    hf_pool_core_connected(&w.core, 1, w.now_ms);
    assert_int_equal(take_all(&w, counts), 0);
    w.now_ms = hf_pool_core_deadline_ms(&w.core);
    assert_int_equal(w.now_ms, 1500);
    assert_int_equal(take_all(&w, counts), 1);
    assert_int_equal(counts[1], 1);
}

static void what_waits_for_a_full_member_waits_for_the_clock_after_an_outage(void **state)
{
    struct world w;
    uint32_t member;
    struct publish *p;
    unsigned counts[MEMBERS];

    (void)state;
    setup(&w);
    hf_pool_core_connected(&w.core, 0, w.now_ms);
    (void)publish(&w, 0);
    p = next(&w, &member);
    hf_pool_core_full(&w.core, &p->node, p->put_for, member);
    hf_pool_core_disconnected(&w.core, 0, w.now_ms);
    hf_pool_core_room(&w.core, 0);
    w.now_ms += 50;
    hf_pool_core_connected(&w.core, 0, w.now_ms);
    assert_int_equal(take_all(&w, counts), 0);
    w.now_ms += 50;
    assert_int_equal(take_all(&w, counts), 1);
}

static void a_full_member_holds_up_its_own_only(void **state)
{
    struct world w;
    struct publish *p;
    uint32_t member;
    unsigned counts[MEMBERS], i;

    (void)state;
    setup(&w);
    connect_all(&w);
    for (i = 0; i < 4; i++)
        (void)publish(&w, 1);
    p = next(&w, &member);
    hf_pool_core_full(&w.core, &p->node, p->put_for, member);
    assert_null(next(&w, &member));
    for (i = 0; i < 6; i++)
        (void)publish(&w, HF_POOL_CORE_ANY);
    assert_int_equal(take_all(&w, counts), 6);
    assert_int_equal(counts[1], 0);
    hf_pool_core_room(&w.core, 1);
    for (i = 0; i < 4; i++)
        assert_int_equal(next(&w, &member)->number, i); /* the one given back is the first again */
}

static void one_without_a_key_that_is_given_back_goes_to_another(void **state)
{
    struct world w;
    struct publish *p;
    uint32_t member, other;

    (void)state;
    setup(&w);
    connect_all(&w);
    (void)publish(&w, HF_POOL_CORE_ANY);
    (void)publish(&w, HF_POOL_CORE_ANY);
    p = next(&w, &member);
    hf_pool_core_full(&w.core, &p->node, p->put_for, member);
    assert_ptr_equal(next(&w, &other), p);
    assert_int_not_equal(other, member);
}

static void many_keys_do_not_starve_each_other(void **state)
{
    struct world w;
    uint32_t member;
    unsigned i, seen = 0;

    (void)state;
    setup(&w);
    connect_all(&w);
    for (i = 0; i < 100; i++)
        (void)publish(&w, 0);
    (void)publish(&w, 2);
    for (i = 0; i < 2; i++) {
        (void)next(&w, &member);
        seen |= 1u << member;
    }
    assert_int_equal(seen, 1u << 0 | 1u << 2);
}

static uint64_t pause_after(struct world *w, uint64_t lived_ms)
{
    uint64_t pause;

    hf_pool_core_connected(&w->core, 0, w->now_ms);
    w->now_ms += lived_ms;
    pause = hf_pool_core_ended(&w->core, 0, w->now_ms);
    hf_pool_core_gone(&w->core, 0);
    assert_true(hf_pool_core_due(&w->core, 0, w->now_ms + pause));
    assert_true(pause == 0 || !hf_pool_core_due(&w->core, 0, w->now_ms + pause - 1));
    assert_int_equal(hf_pool_core_deadline_ms(&w->core), w->now_ms + pause);
    w->now_ms += pause;
    hf_pool_core_replaced(&w->core, 0);
    return pause;
}

static void a_session_that_ends_is_replaced_and_none_is_hammered(void **state)
{
    struct world w;
    uint64_t most = HF_POOL_CORE_REPLACE_MS_MIN;
    unsigned i;

    (void)state;
    setup(&w);
    assert_int_equal(pause_after(&w, HF_POOL_CORE_STABLE_MS), 0);
    for (i = 0; i < 40; i++) {
        uint64_t pause = pause_after(&w, 5);

        assert_in_range(pause, most / 2, most);
        most = most * 2 < HF_POOL_CORE_REPLACE_MS_MAX ? most * 2 : HF_POOL_CORE_REPLACE_MS_MAX;
    }
    assert_int_equal(pause_after(&w, HF_POOL_CORE_STABLE_MS), 0);
    assert_in_range(pause_after(&w, 5), HF_POOL_CORE_REPLACE_MS_MIN / 2, HF_POOL_CORE_REPLACE_MS_MIN);
}

/* A session that is over but still closing its connection is no reason to wake up. */
static void a_place_is_filled_when_the_old_session_is_gone(void **state)
{
    struct world w;

    (void)state;
    setup(&w);
    connect_all(&w);
    w.now_ms += HF_POOL_CORE_STABLE_MS;
    assert_int_equal(hf_pool_core_ended(&w.core, 1, w.now_ms), 0);
    assert_false(hf_pool_core_due(&w.core, 1, w.now_ms));
    assert_true(hf_pool_core_deadline_ms(&w.core) == UINT64_MAX);
    hf_pool_core_gone(&w.core, 1);
    assert_true(hf_pool_core_due(&w.core, 1, w.now_ms));
    assert_int_equal(hf_pool_core_deadline_ms(&w.core), w.now_ms);
}

static void a_closing_pool_replaces_nobody(void **state)
{
    struct world w;

    (void)state;
    setup(&w);
    connect_all(&w);
    (void)hf_pool_core_ended(&w.core, 1, w.now_ms);
    hf_pool_core_gone(&w.core, 1);
    hf_pool_core_close(&w.core);
    assert_false(hf_pool_core_due(&w.core, 1, w.now_ms + 100000));
    assert_true(hf_pool_core_deadline_ms(&w.core) == UINT64_MAX);
}

static void what_is_left_can_be_taken_out(void **state)
{
    struct world w;
    unsigned dropped;

    (void)state;
    setup(&w);
    (void)publish(&w, 0);
    (void)publish(&w, 2);
    (void)publish(&w, HF_POOL_CORE_ANY);
    for (dropped = 0; hf_pool_core_drop(&w.core) != NULL; dropped++)
        continue;
    assert_int_equal(dropped, 3);
}

/* Whatever happens to members, each publish goes once, those of a key to one member and in order. */
static void order_holds_whatever_happens(void **state)
{
    struct world w;
    struct hf_rng rng = {99};
    unsigned last[MEMBERS] = {0}, gone = 0, round, i;
    uint32_t member;
    struct publish *p;

    (void)state;
    setup(&w);
    for (round = 0; gone < PUBLISHES_MAX; round++) {
        assert_true(round < 100000);
        i = (unsigned)hf_rng_below(&rng, MEMBERS);
        w.now_ms += hf_rng_below(&rng, 60);
        switch (hf_rng_below(&rng, 6)) {
        case 0:
            if (w.core.members[i].state != HF_POOL_VACANT)
                hf_pool_core_connected(&w.core, i, w.now_ms);
            break;
        case 1:
            if (w.core.members[i].state != HF_POOL_VACANT)
                hf_pool_core_disconnected(&w.core, i, w.now_ms);
            break;
        case 2:
            if (w.core.members[i].state != HF_POOL_VACANT)
                (void)hf_pool_core_ended(&w.core, i, w.now_ms);
            break;
        case 3:
            if (w.core.members[i].state == HF_POOL_VACANT)
                hf_pool_core_gone(&w.core, i);
            if (hf_pool_core_due(&w.core, i, w.now_ms))
                hf_pool_core_replaced(&w.core, i);
            hf_pool_core_room(&w.core, i);
            break;
        default:
            if (w.published < PUBLISHES_MAX)
                (void)publish(&w, hf_rng_below(&rng, 4) == 0 ? HF_POOL_CORE_ANY : i);
        }
        while (hf_rng_below(&rng, 4) > 0 && (p = next(&w, &member)) != NULL) {
            if (hf_rng_below(&rng, 10) == 0) {
                hf_pool_core_full(&w.core, &p->node, p->put_for, member);
                continue;
            }
            gone++;
            assert_int_not_equal(w.core.members[member].state, HF_POOL_VACANT);
            if (p->put_for == HF_POOL_CORE_ANY)
                continue;
            assert_int_equal(p->put_for, member);
            assert_true(last[member] < p->number + 1);
            last[member] = p->number + 1;
        }
    }
    assert_null(hf_pool_core_drop(&w.core));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(publishes_without_a_key_go_round),
        cmocka_unit_test(members_that_are_away_get_none_without_a_key),
        cmocka_unit_test(a_key_keeps_its_member_while_that_is_away),
        cmocka_unit_test(a_key_waits_for_a_vacant_member),
        cmocka_unit_test(keys_are_spread_and_never_move),
        cmocka_unit_test(while_nothing_is_connected_all_waits),
        cmocka_unit_test(members_that_come_back_together_share_what_waited),
        cmocka_unit_test(a_look_is_not_due_when_the_connection_is_gone),
        cmocka_unit_test(what_waits_for_a_full_member_waits_for_the_clock_after_an_outage),
        cmocka_unit_test(a_full_member_holds_up_its_own_only),
        cmocka_unit_test(one_without_a_key_that_is_given_back_goes_to_another),
        cmocka_unit_test(many_keys_do_not_starve_each_other),
        cmocka_unit_test(a_session_that_ends_is_replaced_and_none_is_hammered),
        cmocka_unit_test(a_place_is_filled_when_the_old_session_is_gone),
        cmocka_unit_test(a_closing_pool_replaces_nobody),
        cmocka_unit_test(what_is_left_can_be_taken_out),
        cmocka_unit_test(order_holds_whatever_happens),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
