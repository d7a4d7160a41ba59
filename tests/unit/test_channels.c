#include "shm/channels.h"

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
#include <time.h>

enum { SHARD = 5 };

static struct hf_channels open_new(uint32_t capacity)
{
    struct hf_channels_shm *shm = hf_memory_map(hf_channels_bytes(capacity));
    struct hf_channels t;

    assert_non_null(shm);
    hf_channels_format(shm, SHARD, capacity);
    hf_channels_open(&t, shm);
    assert_int_equal(hf_channels_recover(&t), 0);
    return t;
}

/* As a new owner finds it. */
static struct hf_channels open_again(struct hf_channels_shm *shm)
{
    struct hf_channels t;

    hf_channels_open(&t, shm);
    assert_int_equal(hf_channels_recover(&t), 0);
    return t;
}

static void close_all(struct hf_channels *t)
{
    hf_channels_release(t);
    hf_memory_unmap(t->shm, hf_channels_bytes(t->shm->capacity));
}

static struct hf_str name_of(unsigned i)
{
    static char text[4][32];
    static unsigned turn;
    char *to = text[turn++ % 4];

    return (struct hf_str){to, (size_t)snprintf(to, sizeof(text[0]), "room-%u", i)};
}

static struct hf_channel *find(const struct hf_channels *t, unsigned i)
{
    return hf_channels_find(t, name_of(i), hf_channel_hash(name_of(i)));
}

static struct hf_channel *add(struct hf_channels *t, unsigned i)
{
    struct hf_channel *c = NULL;

    assert_int_equal(hf_channels_add(t, name_of(i), hf_channel_hash(name_of(i)), 1000, &c), 0);
    assert_non_null(c);
    return c;
}

static hf_cid cid_of(const struct hf_channel *c)
{
    return atomic_load(&c->cid);
}

static void a_new_channel_is_found_by_name_and_number(void **state)
{
    struct hf_channels t = open_new(100);
    struct hf_channel *c;

    (void)state;
    assert_null(find(&t, 1));
    c = add(&t, 1);
    assert_ptr_equal(find(&t, 1), c);
    assert_null(find(&t, 2));
    assert_ptr_equal(hf_channels_get(&t, cid_of(c)), c);
    assert_true(hf_str_eq(hf_channel_name(c), name_of(1)));
    assert_int_equal(hf_cid_shard(cid_of(c)), SHARD);
    assert_int_equal(atomic_load(&c->head), 0);
    assert_int_equal(atomic_load(&c->newest), 0);
    assert_int_equal(atomic_load(&c->used_ms), 1000);
    assert_int_equal(atomic_load(&t.shm->live), 1);
    close_all(&t);
}

/* "the same for every process of a server", and spread over all shards. */
static void names_are_spread_over_shards(void **state)
{
    unsigned in_shard[16] = {0};
    char longest[HF_CHANNEL_NAME_MAX];

    (void)state;
    for (unsigned i = 0; i < 16000; i++)
        in_shard[hf_channel_shard(hf_channel_hash(name_of(i)), 16)]++;
    for (unsigned shard = 0; shard < 16; shard++)
        assert_in_range(in_shard[shard], 800, 1200);
    memset(longest, 0xff, sizeof(longest));
    assert_int_equal(hf_channel_shard(hf_channel_hash((struct hf_str){longest, 255}), 1), 0);
    assert_true(hf_channel_hash(HF_STR("ab")) != hf_channel_hash(HF_STR("ba")));
}

/* "HF_ELIMIT (table full)": nothing is lost by asking. */
static void a_full_table_takes_no_more(void **state)
{
    struct hf_channels t = open_new(50);
    struct hf_channel *c;

    (void)state;
    for (unsigned i = 0; i < 50; i++)
        (void)add(&t, i);
    assert_int_equal(hf_channels_add(&t, name_of(50), hf_channel_hash(name_of(50)), 1, &c), HF_ELIMIT);
    for (unsigned i = 0; i < 50; i++)
        assert_non_null(find(&t, i));
    assert_int_equal(atomic_load(&t.shm->live), 50);
    assert_true(hf_channels_remove(&t, find(&t, 7)));
    c = add(&t, 50);
    assert_ptr_equal(find(&t, 50), c);
    assert_null(find(&t, 7));
    close_all(&t);
}

/* "cid may come from anywhere." */
static void a_strange_number_finds_nothing(void **state)
{
    struct hf_channels t = open_new(10);
    hf_cid cid = cid_of(add(&t, 1));
    struct hf_rng rng = {9};

    (void)state;
    assert_null(hf_channels_get(&t, 0));
    assert_null(hf_channels_get(&t, UINT64_MAX));
    for (unsigned bit = 0; bit < 64; bit++)
        assert_null(hf_channels_get(&t, cid ^ UINT64_C(1) << bit));
    for (unsigned i = 0; i < 10000; i++)
        assert_true(hf_channels_get(&t, hf_rng_next(&rng)) == NULL);
    close_all(&t);
}

/* "A channel's incarnation, unique in the server's life", "below 2^53" */
static void a_place_that_is_used_again_has_another_number(void **state)
{
    struct hf_channels t = open_new(1);
    hf_cid last = 0;

    (void)state;
    for (unsigned i = 0; i < 1000; i++) {
        struct hf_channel *c = add(&t, i % 3);

        assert_true(cid_of(c) > last && cid_of(c) < UINT64_C(1) << 53);
        assert_null(hf_channels_get(&t, last));
        last = cid_of(c);
        hf_channel_set_told(c, 3);
        assert_true(hf_channels_remove(&t, c));
        assert_null(find(&t, i % 3));
        assert_null(hf_channels_get(&t, last));
        if (i % 100 == 0) { /* Also over a new owner. */
            hf_channels_release(&t);
            t = open_again(t.shm);
        }
    }
    assert_true(hf_channel_untold(add(&t, 1), 3));
    close_all(&t);
}

/* Adding and removing at random; chains of several channels in one bucket must hold together. */
static void random_changes_agree_with_a_plain_array(void **state)
{
    enum { MANY = 60 };
    struct hf_channels t = open_new(40);
    struct hf_channel *there[MANY] = {0};
    struct hf_rng rng = {10};
    uint32_t live = 0;

    (void)state;
    for (unsigned step = 0; step < 20000; step++) {
        unsigned i = (unsigned)hf_rng_below(&rng, MANY);

        if (there[i] != NULL) {
            assert_true(hf_channels_remove(&t, there[i]));
            there[i] = NULL;
            live--;
        } else if (live < 40) {
            there[i] = add(&t, i);
            live++;
        }
        if (step % 500 == 499) {
            hf_channels_release(&t);
            t = open_again(t.shm);
        }
        assert_int_equal(atomic_load(&t.shm->live), live);
        for (unsigned n = 0; n < MANY; n++)
            assert_ptr_equal(find(&t, n), there[n]);
    }
    close_all(&t);
}

/* "take a channel away unless a worker is interested" */
static void interest_keeps_a_channel(void **state)
{
    static const uint32_t workers[] = {0, 1, 63, 64, 127, 128, 255};
    struct hf_channels t = open_new(10);
    struct hf_channel *c = add(&t, 1);
    hf_cid cid = cid_of(c);

    (void)state;
    for (unsigned i = 0; i < sizeof(workers) / sizeof(workers[0]); i++) {
        assert_false(hf_channel_wanted(c, workers[i]));
        assert_true(hf_channel_want(c, cid, workers[i]));
        assert_true(hf_channel_wanted(c, workers[i]));
        assert_false(hf_channels_remove(&t, c));
        assert_ptr_equal(find(&t, 1), c);
        assert_int_equal(cid_of(c), cid);
        hf_channel_unwant(c, workers[i], 5000 + i);
        assert_int_equal(atomic_load(&c->left_ms), 5000 + i);
        assert_false(hf_channel_wanted(c, workers[i]));
    }
    assert_true(hf_channel_want(c, cid, 1) && hf_channel_want(c, cid, 2));
    hf_channel_unwant(c, 1, 6000);
    assert_false(hf_channels_remove(&t, c));
    hf_channel_unwant(c, 2, 6000);
    assert_true(hf_channels_remove(&t, c));
    close_all(&t);
}

static struct hf_channel *wanted_meanwhile;
static unsigned taken_count;

/* A worker that had looked at the number before sets its bit just now. */
static void want_meanwhile(const char *place)
{
    if (strcmp(place, "channels:taken") != 0)
        return;
    taken_count++;
    if (wanted_meanwhile != NULL)
        atomic_fetch_or(&wanted_meanwhile->interest[1], 2);
}

/* "the owner takes a channel away only after it has seen no interest", also where that comes at the last moment. */
static void interest_at_the_last_moment_keeps_a_channel(void **state)
{
    struct hf_channels t = open_new(10);
    struct hf_channel *c = add(&t, 1);
    hf_cid cid = cid_of(c);

    (void)state;
    crash_meanwhile = want_meanwhile;
    wanted_meanwhile = c;
    taken_count = 0;
    assert_false(hf_channels_remove(&t, c));
    assert_int_equal(taken_count, 1);
    assert_int_equal(cid_of(c), cid);
    assert_true(hf_channel_wanted(c, 65));
    assert_ptr_equal(find(&t, 1), c);
    assert_int_equal(atomic_load(&t.shm->live), 1);
    assert_false(hf_channels_remove(&t, c));
    assert_int_equal(taken_count, 1); /* Where interest is seen at first, the number is not even touched. */
    wanted_meanwhile = NULL;
    hf_channel_unwant(c, 65, 1);
    assert_true(hf_channels_remove(&t, c));
    crash_meanwhile = NULL;
    close_all(&t);
}

/* "Returns false where c is no longer cid: look the name up again." It then leaves no mark. */
static void interest_in_what_has_gone_is_refused(void **state)
{
    struct hf_channels t = open_new(1);
    struct hf_channel *c = add(&t, 1);
    hf_cid old = cid_of(c);

    (void)state;
    assert_true(hf_channels_remove(&t, c));
    assert_false(hf_channel_want(c, old, 70));
    assert_false(hf_channel_wanted(c, 70));
    assert_ptr_equal(add(&t, 2), c);
    assert_false(hf_channel_want(c, old, 70));
    assert_false(hf_channel_wanted(c, 70));
    assert_true(hf_channels_remove(&t, c));
    close_all(&t);
}

/* "notified[w]: set by the owner after it told w, cleared by w before it looks" */
static void each_worker_is_told_on_its_own(void **state)
{
    struct hf_channels t = open_new(10);
    struct hf_channel *c = add(&t, 1);

    (void)state;
    for (uint32_t worker = 0; worker < 256; worker++) {
        assert_true(hf_channel_untold(c, worker));
        hf_channel_set_told(c, worker);
        assert_true(hf_channel_want(c, cid_of(c), worker));
        for (uint32_t other = 0; other < 256; other++) {
            assert_int_equal(hf_channel_untold(c, other), other != worker);
            assert_int_equal(hf_channel_wanted(c, other), other == worker);
        }
        hf_channel_clear_told(c, worker);
        hf_channel_unwant(c, worker, 1);
    }
    close_all(&t);
}

/* "head, newest, … the owner, in this order after a record is in the log" */
static void an_advance_makes_the_record_known(void **state)
{
    struct hf_channels t = open_new(10);
    struct hf_channel *c = add(&t, 1);
    struct hf_record first = {.offset = 1}, second = {.offset = 2};

    (void)state;
    hf_channel_advance(c, NULL, &first, 111, 2000);
    assert_int_equal(atomic_load(&c->head), 1);
    assert_int_equal(atomic_load(&c->newest), 111);
    assert_int_equal(atomic_load(&c->used_ms), 2000);
    hf_channel_advance(c, &first, &second, 222, 3000);
    assert_int_equal(atomic_load(&first.next), 222);
    assert_int_equal(atomic_load(&c->head), 2);
    assert_int_equal(atomic_load(&c->newest), 222);
    assert_int_equal(atomic_load(&c->used_ms), 3000);
    close_all(&t);
}

/* ---- Death ---- */

enum { NAMES = 16, PLACES = 20 }; /* In 32 buckets: some share one. */

static void add_one(void *ctx)
{
    struct hf_channel *c;

    if (hf_channels_add(ctx, name_of(100), hf_channel_hash(name_of(100)), 1, &c) < 0)
        _exit(1);
}

static unsigned removed;

static void remove_one(void *ctx)
{
    if (!hf_channels_remove(ctx, find(ctx, removed)))
        _exit(1);
}

/* A successor finds all that is whole, and every place: none is lost, none is given twice. */
static void takes_up(struct hf_channels_shm *shm, unsigned changed)
{
    struct hf_channels t = open_again(shm);
    uint32_t there = find(&t, changed) != NULL, live = atomic_load(&shm->live);

    for (unsigned i = 0; i < NAMES; i++)
        if (i != changed)
            assert_non_null(find(&t, i));
    assert_int_equal(live, (changed < NAMES ? NAMES - 1 : NAMES) + there);
    if (!there) {
        (void)add(&t, 300); /* At its place, and in another chain. */
        for (unsigned i = 0; i < NAMES; i++)
            assert_true(i == changed || find(&t, i) != NULL);
    }
    if (there)
        assert_true(
            hf_str_eq(hf_channel_name(hf_channels_get(&t, cid_of(find(&t, changed)))), name_of(changed)));
    else
        (void)add(&t, changed);
    for (unsigned i = 200; atomic_load(&shm->live) < PLACES; i++) {
        (void)add(&t, i);
        for (unsigned k = 200; k <= i; k++)
            assert_non_null(find(&t, k));
    }
    assert_non_null(find(&t, changed));
    hf_channels_release(&t);
}

static void dies_changing(void (*change)(void *ctx), unsigned changed, bool reuse, unsigned places)
{
    for (unsigned n = 1;; n++) {
        struct hf_channels t = open_new(PLACES);
        bool died;

        for (unsigned i = 0; i < NAMES; i++)
            (void)add(&t, i);
        if (reuse) { /* The new one comes to a place that has been used: in the middle of another chain. */
            assert_true(hf_channels_remove(&t, add(&t, 50)));
        }
        died = dies_at(n, change, &t);
        takes_up(t.shm, changed);
        close_all(&t);
        if (!died) {
            assert_true(n > places);
            break;
        }
    }
}

static void an_owner_dies_at_each_place_of_an_add(void **state)
{
    (void)state;
    dies_changing(add_one, 100, false, 2);
    dies_changing(add_one, 100, true, 2);
}

static void an_owner_dies_at_each_place_of_a_remove(void **state)
{
    (void)state;
    for (removed = 0; removed < NAMES; removed++) /* Some stand in the middle of a chain. */
        dies_changing(remove_one, removed, false, 2);
}

/* ---- Memory ---- */

static void without_memory_nothing_is_lost(void **state)
{
    struct hf_channels t = open_new(300), again;
    unsigned failed = 0;

    (void)state;
    for (unsigned i = 0; i < 300; i++)
        (void)add(&t, i);
    for (unsigned i = 0; i < 300; i++) { /* "A place that cannot be noted is found at the next recovery." */
        fault_arm(1);
        assert_true(hf_channels_remove(&t, find(&t, i)));
        failed += fault_disarm();
    }
    assert_true(failed > 0 && t.free_count < 300);
    for (unsigned n = 1;; n++) {
        int err;

        hf_channels_open(&again, t.shm);
        fault_arm(n);
        err = hf_channels_recover(&again);
        if (!fault_disarm()) {
            assert_int_equal(err, 0);
            break;
        }
        assert_int_equal(err, HF_ENOMEM);
        hf_channels_release(&again);
    }
    assert_int_equal(again.free_count, 300);
    for (unsigned i = 0; i < 300; i++)
        (void)add(&again, i);
    hf_channels_release(&again);
    close_all(&t);
}

/* ---- Two processes ---- */

static void come_and_go(struct hf_channels *t)
{
    for (unsigned i = 0;; i = (i + 1) % 4) {
        struct hf_channel *c = find(t, i);

        if (c != NULL)
            (void)hf_channels_remove(t, c);
        else if (hf_channels_add(t, name_of(i), hf_channel_hash(name_of(i)), 1, &c) != HF_ELIMIT && c == NULL)
            _exit(1);
    }
}

/* "the owner takes a channel away only after it has seen no interest": what a worker holds stays what it is. */
static void a_wanted_channel_stays_while_the_owner_clears_up(void **state)
{
    struct hf_channels t = open_new(3), view;
    struct timespec now;
    time_t until, at_most;
    unsigned held = 0;
    pid_t owner = fork_child();

    (void)state;
    if (owner == 0)
        come_and_go(&t);
    hf_channels_open(&view, t.shm);
    clock_gettime(CLOCK_MONOTONIC, &now);
    until = now.tv_sec + 1;
    at_most = now.tv_sec + 30; /* On a machine with much else to do the two seldom run at once. */
    for (unsigned i = 0; now.tv_sec < until || (held <= 100 && now.tv_sec < at_most); i++) {
        struct hf_channel *c = find(&view, i % 4);
        hf_cid cid = c == NULL ? 0 : cid_of(c), now_cid;

        if (i % 256 == 0)
            clock_gettime(CLOCK_MONOTONIC, &now);
        if (cid == 0)
            continue;
        if (!hf_channel_want(c, cid, 65))
            continue;
        if (hf_str_eq(hf_channel_name(c), name_of(i % 4))) { /* Else it was found while it was being moved. */
            if (i % 64 == 0)
                sched_yield();
            do { /* "reads 0 for a moment …", which may begin at any time as long as an attempt is under way */
                now_cid = cid_of(c);
            } while (now_cid == 0 && sched_yield() == 0);
            assert_true(now_cid == cid && hf_str_eq(hf_channel_name(c), name_of(i % 4)));
            held++;
        }
        hf_channel_unwant(c, 65, 1);
    }
    kill_child(owner);
    assert_true(held > 100);
    close_all(&t);
}

/* The size of a number as a varint. */
static unsigned varint_bytes(uint64_t n)
{
    return n < 128 ? 1 : 1 + varint_bytes(n >> 7);
}

static hf_cid numbered(uint64_t incarnation, uint64_t shard, uint64_t place)
{
    return incarnation << 32 | shard << 24 | place;
}

/* Each bit goes to a place of its own and comes back, so that no two channels have the same number on the wire. */
static void a_number_on_the_wire_is_one_channels_alone(void **state)
{
    struct hf_rng rng = {7};
    uint64_t all = 0;

    (void)state;
    assert_int_equal(hf_cid_to_wire(0), 0);
    for (unsigned bit = 0; bit < 53; bit++) {
        uint64_t number = hf_cid_to_wire(UINT64_C(1) << bit);

        assert_true(number != 0 && (number & (number - 1)) == 0 && number < UINT64_C(1) << 53);
        all |= number;
        assert_int_equal(hf_cid_of_wire(number), UINT64_C(1) << bit);
    }
    assert_int_equal(all, (UINT64_C(1) << 53) - 1);
    for (int i = 0; i < 10000; i++) {
        hf_cid cid = hf_rng_next(&rng) >> 11;

        assert_int_equal(hf_cid_of_wire(hf_cid_to_wire(cid)), cid);
    }
}

static void a_number_on_the_wire_is_short(void **state)
{
    (void)state;
    assert_int_equal(varint_bytes(hf_cid_to_wire(numbered(3, 127, 31))), 2);
    assert_int_equal(varint_bytes(hf_cid_to_wire(numbered(1, 128, 0))), 3);
    assert_int_equal(varint_bytes(hf_cid_to_wire(numbered(7, 255, 1023))), 3);
    assert_int_equal(varint_bytes(hf_cid_to_wire(numbered(15, 255, 65535))), 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_channel_is_found_by_name_and_number),
        cmocka_unit_test(names_are_spread_over_shards),
        cmocka_unit_test(a_full_table_takes_no_more),
        cmocka_unit_test(a_strange_number_finds_nothing),
        cmocka_unit_test(a_place_that_is_used_again_has_another_number),
        cmocka_unit_test(random_changes_agree_with_a_plain_array),
        cmocka_unit_test(interest_keeps_a_channel),
        cmocka_unit_test(interest_at_the_last_moment_keeps_a_channel),
        cmocka_unit_test(interest_in_what_has_gone_is_refused),
        cmocka_unit_test(each_worker_is_told_on_its_own),
        cmocka_unit_test(an_advance_makes_the_record_known),
        cmocka_unit_test(an_owner_dies_at_each_place_of_an_add),
        cmocka_unit_test(an_owner_dies_at_each_place_of_a_remove),
        cmocka_unit_test(without_memory_nothing_is_lost),
        cmocka_unit_test(a_wanted_channel_stays_while_the_owner_clears_up),
        cmocka_unit_test(a_number_on_the_wire_is_one_channels_alone),
        cmocka_unit_test(a_number_on_the_wire_is_short),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
