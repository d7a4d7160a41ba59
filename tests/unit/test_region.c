#include "shm/region.h"

#include "base/rng.h"
#include "shm/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "crash_point.h"

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <unistd.h>

static const struct hf_region_config small = {.workers = 3,
                                              .shards = 5,
                                              .segment_bytes = 8192,
                                              .segment_count = 4,
                                              .channels_max = 50,
                                              .sessions_max = 40,
                                              .ring_bytes = 2048,
                                              .boot_id = UINT64_C(0x123456789abcdef0)};

static struct hf_region region_new(const struct hf_region_config *config)
{
    void *memory = hf_memory_map(hf_region_bytes(config));
    struct hf_region r;

    assert_non_null(memory);
    hf_region_format(memory, config);
    assert_int_equal(hf_region_open(&r, memory), 0);
    return r;
}

static void region_free(struct hf_region *r)
{
    hf_memory_unmap(r->header, r->header->bytes);
}

/* "Returns 0, or HF_EBADMSG where it has not [been laid out]." */
static void memory_without_a_layout_is_refused(void **state)
{
    struct hf_region_header nothing;
    struct hf_region r;

    (void)state;
    memset(&nothing, 0, sizeof(nothing));
    assert_int_equal(hf_region_open(&r, &nothing), HF_EBADMSG);
}

struct part {
    uint8_t *at;
    size_t bytes;
};

static unsigned parts_of(const struct hf_region *r, struct part *parts)
{
    const struct hf_region_config *c = r->config;
    unsigned n = 0;

    parts[n++] = (struct part){(uint8_t *)r->slots, c->workers * sizeof(*r->slots)};
    for (uint32_t from = 0; from < c->workers; from++)
        for (uint32_t to = 0; to < c->workers; to++)
            for (int class = 0; class < HF_RING_CLASSES; class ++)
                parts[n++] = (struct part){(uint8_t *)hf_region_ring(r, (enum hf_ring_class) class, from, to),
                                           hf_ring_bytes(c->ring_bytes)};
    for (uint32_t slot = 0; slot < c->workers; slot++)
        parts[n++] =
            (struct part){(uint8_t *)hf_region_tallies(r, slot), c->channels_max * sizeof(struct hf_tally)};
    for (uint32_t shard = 0; shard < c->shards; shard++) {
        struct hf_channels_shm *channels = hf_region_channels(r, shard);

        parts[n++] = (struct part){(uint8_t *)hf_region_log(r, shard),
                                   hf_log_bytes(c->segment_bytes, c->segment_count, c->workers)};
        parts[n++] = (struct part){(uint8_t *)channels, hf_channels_bytes(channels->capacity)};
    }
    parts[n++] =
        (struct part){(uint8_t *)hf_region_sessions(r), hf_sessions_bytes(c->sessions_max, c->workers)};
    parts[n++] = (struct part){(uint8_t *)hf_region_gate(r), hf_gate_bytes(c->address_cells, c->workers)};
    for (uint32_t slot = 0; slot < c->workers; slot++)
        parts[n++] = (struct part){(uint8_t *)hf_region_journal(r, slot), hf_journal_bytes()};
    return n;
}

/* Each part gets a pattern of its own, and afterwards all still have theirs. */
static void no_part_lies_over_another(void **state)
{
    static const uint32_t workers[] = {1, 2, 3, 7}, sessions[] = {1, 40, 41, 5000};
    static struct part parts[256];

    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        struct hf_region_config config = small;
        struct hf_region r;
        unsigned count;

        config.workers = workers[i];
        config.sessions_max = sessions[i];
        r = region_new(&config);
        count = parts_of(&r, parts);
        for (unsigned n = 0; n < count; n++) {
            assert_int_equal((uintptr_t)parts[n].at % 64, 0);
            assert_true(parts[n].at >= (uint8_t *)(r.header + 1));
            assert_true(parts[n].at + parts[n].bytes <= (uint8_t *)r.header + r.header->bytes);
        }
        assert_int_equal(r.header->bytes, hf_region_bytes(&config));
        for (unsigned n = 0; n < count; n++)
            memset(parts[n].at, (int)n + 1, parts[n].bytes);
        for (unsigned n = 0; n < count; n++)
            for (size_t k = 0; k < parts[n].bytes; k++)
                assert_true(parts[n].at[k] == (uint8_t)(n + 1));
        assert_int_equal(r.config->workers, config.workers);
        assert_int_equal(r.config->boot_id, config.boot_id);
        region_free(&r);
    }
}

/* Another process maps it elsewhere: "inside, only places and numbers". */
static void it_may_lie_at_another_address(void **state)
{
    static _Alignas(4096) uint8_t copy[4 << 20];
    struct hf_region r = region_new(&small), moved;
    struct hf_channels t, elsewhere;
    struct hf_channel *c;
    uint64_t hash = hf_channel_hash(HF_STR("demo"));

    (void)state;
    hf_channels_open(&t, hf_region_channels(&r, 2));
    assert_int_equal(hf_channels_add(&t, HF_STR("demo"), hash, 1, &c), 0);
    assert_true(r.header->bytes <= sizeof(copy));
    memcpy(copy, r.header, r.header->bytes);
    assert_int_equal(hf_region_open(&moved, copy), 0);
    hf_channels_open(&elsewhere, hf_region_channels(&moved, 2));
    assert_non_null(hf_channels_find(&elsewhere, HF_STR("demo"), hash));
    assert_true((uint8_t *)hf_channels_find(&elsewhere, HF_STR("demo"), hash) < copy + sizeof(copy));
    hf_channels_release(&t);
    region_free(&r);
}

/* All channels of the limit may fall into few shards, up to twice their share. */
static void each_shard_has_room_for_twice_its_share(void **state)
{
    struct hf_region r = region_new(&small);

    (void)state;
    for (uint32_t shard = 0; shard < small.shards; shard++) {
        assert_true(hf_region_channels(&r, shard)->capacity >= 2 * small.channels_max / small.shards);
        assert_int_equal(hf_region_channels(&r, shard)->shard, shard);
        assert_true(hf_region_owner(&r, shard) < small.workers);
    }
    region_free(&r);
}

/* "up to 27 bytes with NUL: unlike any other of this or another server's life" */
static void every_incarnation_has_its_own_epoch(void **state)
{
    enum { PLACES = 80, PER_BOOT = 3 * 3 * PLACES };
    static const uint64_t boots[] = {0, UINT64_C(1) << 24, UINT64_C(0x123456789abcdef0), UINT64_MAX};
    static const uint64_t shards[] = {0, 7, 255}, lives[] = {1, 2, (1 << 21) - 1};
    static char epochs[4 * PER_BOOT][32];
    unsigned n = 0;

    (void)state;
    for (unsigned boot = 0; boot < 4; boot++) {
        struct hf_region_config config = small;
        struct hf_region r;

        config.boot_id = boots[boot];
        r = region_new(&config);
        for (unsigned i = 0; i < PER_BOOT; i++, n++) {
            uint64_t place = i % PLACES < PLACES / 2 ? i % PLACES : 0xffffff - i % PLACES;
            hf_cid cid = lives[i / PLACES / 3] << 32 | shards[i / PLACES % 3] << 24 | place;
            size_t len = hf_region_epoch(&r, cid, epochs[n]);

            assert_int_equal(strlen(epochs[n]), len);
            assert_in_range(len, 3, 26);
            assert_int_equal(strspn(epochs[n], "0123456789abcdefghijklmnopqrstuvwxyz"), len);
            for (unsigned k = 0; k < n; k++)
                assert_string_not_equal(epochs[k], epochs[n]);
        }
        region_free(&r);
    }
}

/* ---- Bells ---- */

/* "Returns whether `to` sleeps and must be woken through its descriptor." One of those who ring wakes it. */
static void one_of_the_ringers_wakes_the_sleeper(void **state)
{
    struct hf_region_config config = small;
    struct hf_region r;

    (void)state;
    config.workers = 200;
    config.ring_bytes = 1024;
    r = region_new(&config);
    assert_false(hf_region_ring_bell(&r, 0, 7)); /* It is awake and will see the bell. */
    assert_false(hf_region_sleep(&r, 7));        /* "returns false where something came meanwhile" */
    hf_region_awake(&r, 7);
    assert_int_equal(hf_region_take_bells(&r, 7, 0), 1);
    assert_int_equal(hf_region_take_bells(&r, 7, 0), 0);
    for (uint32_t from = 0; from < 200; from += 63) {
        assert_true(hf_region_sleep(&r, 7));
        assert_true(hf_region_ring_bell(&r, from, 7));
        assert_false(hf_region_ring_bell(&r, 5, 7));
        assert_false(hf_region_sleep(&r, 7));
        hf_region_awake(&r, 7);
        assert_false(hf_region_ring_bell(&r, from, 7));
        assert_int_equal(hf_region_take_bells(&r, 7, from / 64),
                         UINT64_C(1) << from % 64 | (from < 64 ? 1u << 5 : 0));
        if (from >= 64)
            assert_int_equal(hf_region_take_bells(&r, 7, 0), 1u << 5);
    }
    assert_true(hf_region_sleep(&r, 7));
    assert_false(hf_region_ring_bell(&r, 7, 8)); /* Another's bell. */
    region_free(&r);
}

struct pair {
    struct hf_region region;
    int wake; /* eventfd, as a worker has it */
    _Atomic uint64_t sent, seen;
    _Atomic int lost;
};

enum { ROUNDS = 300000 };

/* The bell is to come at any moment of the other's going to sleep. */
static void dawdle(struct hf_rng *rng)
{
    for (volatile uint64_t delay = hf_rng_below(rng, 200); delay > 0; delay--)
        ;
}

static void *sleeper(void *arg)
{
    struct pair *p = arg;
    struct hf_rng rng = {13};

    while (atomic_load(&p->seen) < ROUNDS) {
        if (hf_region_take_bells(&p->region, 1, 0) != 0) {
            atomic_store(&p->seen, atomic_load(&p->sent));
            dawdle(&rng);
            continue;
        }
        if (hf_region_sleep(&p->region, 1)) {
            struct pollfd wake = {.fd = p->wake, .events = POLLIN};
            uint64_t count;

            if (poll(&wake, 1, 10000) != 1) {
                atomic_store(&p->lost, 1);
                return NULL;
            }
            if (read(p->wake, &count, sizeof(count)) != sizeof(count))
                return NULL;
        }
        hf_region_awake(&p->region, 1);
    }
    return NULL;
}

/* "Sequentially consistent …: either it sees our bit, or we see that it sleeps." */
static void no_wake_up_is_lost(void **state)
{
    struct pair p = {.region = region_new(&small), .wake = eventfd(0, EFD_CLOEXEC)};
    const uint64_t one = 1;
    struct hf_rng rng = {11};
    pthread_t thread;

    (void)state;
    assert_true(p.wake >= 0);
    assert_int_equal(pthread_create(&thread, NULL, sleeper, &p), 0);
    for (uint64_t round = 1; round <= ROUNDS && atomic_load(&p.lost) == 0; round++) {
        dawdle(&rng);
        atomic_store(&p.sent, round);
        if (hf_region_ring_bell(&p.region, 0, 1))
            assert_int_equal(write(p.wake, &one, sizeof(one)), sizeof(one));
        if (hf_rng_below(&rng, 16) == 0)
            continue;
        /* Mostly wait until it has seen it, so that no later bell makes up for one that was lost. */
        for (unsigned spin = 1; atomic_load(&p.seen) < round && atomic_load(&p.lost) == 0; spin++)
            if (spin % 1024 == 0)
                sched_yield();
    }
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(atomic_load(&p.lost), 0);
    assert_int_equal(atomic_load(&p.seen), ROUNDS);
    close(p.wake);
    region_free(&p.region);
}

/* ---- A worker's beginning and end ---- */

/* "The time before which every request is handled by every worker; 0 while one is dead or has not settled yet." */
static void settled_is_what_the_slowest_worker_has_settled(void **state)
{
    struct hf_region r = region_new(&small);

    (void)state;
    assert_int_equal(hf_region_settled_ms(&r, 9000), 0);
    for (uint32_t slot = 0; slot < 3; slot++) {
        atomic_store(&r.slots[slot].state, HF_SLOT_RUNNING);
        atomic_store(&r.slots[slot].settled_ms, 1000 * (slot + 3));
    }
    assert_int_equal(hf_region_settled_ms(&r, 9000), 3000);
    assert_int_equal(hf_region_settled_ms(&r, 2000), 2000); /* Never later than now. */
    atomic_store(&r.slots[0].settled_ms, 8000);
    assert_int_equal(hf_region_settled_ms(&r, 9000), 4000);
    hf_region_bury_worker(&r, 1);
    assert_int_equal(hf_region_settled_ms(&r, 9000), 0);
    atomic_store(&r.slots[1].state, HF_SLOT_STARTING);
    hf_region_reset_worker(&r, 1);
    assert_int_equal(hf_region_settled_ms(&r, 9000), 0);
    atomic_store(&r.slots[1].state, HF_SLOT_RUNNING);
    assert_int_equal(hf_region_settled_ms(&r, 9000), 0); /* It has not settled yet. */
    atomic_store(&r.slots[1].settled_ms, 8500);
    assert_int_equal(hf_region_settled_ms(&r, 9000), 5000);
    region_free(&r);
}

/* "Whether the process that was this slot's at its `life`-th start may still run" */
static void a_life_ends_with_its_process(void **state)
{
    struct hf_region r = region_new(&small);

    (void)state;
    assert_false(hf_region_lives(&r, 3, 0)); /* There is no such slot. */
    assert_false(hf_region_lives(&r, 1, 0));
    atomic_store(&r.slots[1].starts, 17);
    atomic_store(&r.slots[1].state, HF_SLOT_STARTING);
    assert_false(hf_region_lives(&r, 1, 1));
    atomic_store(&r.slots[1].state, HF_SLOT_RUNNING);
    assert_true(hf_region_lives(&r, 1, 1));
    assert_false(hf_region_lives(&r, 1, 0));
    hf_region_bury_worker(&r, 1);
    assert_false(hf_region_lives(&r, 1, 1));
    region_free(&r);
}

/* "made by their producer when it has something to say for the first time": nothing else of them is touched. */
static void rings_are_made_when_somebody_talks(void **state)
{
    struct hf_region r = region_new(&small);
    struct hf_ring *ring = hf_region_ring(&r, HF_RING_REQUEST, 0, 2);
    size_t len;
    uint8_t *record;

    (void)state;
    for (uint32_t from = 0; from < 3; from++)
        for (uint32_t to = 0; to < 3; to++) {
            assert_false(hf_region_talks(&r, from, to));
            assert_int_equal(hf_region_ring(&r, HF_RING_ANSWER, from, to)->size, 0);
        }
    assert_true(hf_ring_empty(ring)); /* A consumer may look all the same. */
    assert_null(hf_ring_peek(ring, &len));
    assert_false(hf_ring_producer_due(ring));
    assert_ptr_equal(hf_region_ring_to(&r, HF_RING_REQUEST, 0, 2), ring);
    assert_true(hf_region_talks(&r, 0, 2));
    assert_false(hf_region_talks(&r, 2, 0));
    record = hf_ring_reserve(ring, 1);
    assert_non_null(record);
    *record = 7;
    hf_ring_commit(ring, 1);
    assert_ptr_equal(hf_region_ring_to(&r, HF_RING_ANSWER, 0, 2), hf_region_ring(&r, HF_RING_ANSWER, 0, 2));
    record = hf_ring_peek(ring, &len); /* What is in it stays. */
    assert_non_null(record);
    assert_int_equal(*record, 7);
    region_free(&r);
}

/* A worker that dies before it has said that its rings are there leaves them to be made once more. */
static void work_talk(void *ctx)
{
    struct hf_ring *ring = hf_region_ring_to(ctx, HF_RING_REQUEST, 0, 1);

    if (hf_ring_reserve(ring, 4) == NULL)
        _exit(1);
    hf_ring_commit(ring, 4);
}

static void a_talker_dies_at_each_place(void **state)
{
    bool died = true, at_rings = false;

    (void)state;
    for (unsigned n = 1; died; n++) {
        struct hf_region r = region_new(&small);
        size_t len, count = 0;

        died = dies_at(n, work_talk, &r);
        at_rings |= died && strcmp(crash_place(), "rings:made") == 0;
        assert_true(hf_region_talks(&r, 0, 1) || hf_ring_empty(hf_region_ring(&r, HF_RING_REQUEST, 0, 1)));
        work_talk(&r);
        while (hf_ring_peek(hf_region_ring(&r, HF_RING_REQUEST, 0, 1), &len) != NULL) {
            assert_int_equal(len, 4);
            hf_ring_consume(hf_region_ring(&r, HF_RING_REQUEST, 0, 1));
            count++;
        }
        assert_in_range(count, 1, 2);
        region_free(&r);
    }
    assert_true(at_rings);
}

/* "mark it and clear its pins" */
static void a_buried_worker_holds_nothing(void **state)
{
    struct hf_region r = region_new(&small);
    struct hf_log log, dead;
    hf_ref ref;
    struct hf_record *record;

    (void)state;
    for (uint32_t shard = 0; shard < small.shards; shard++) {
        hf_log_open(&log, hf_region_log(&r, shard), 0);
        hf_log_recover(&log);
        hf_log_open(&dead, hf_region_log(&r, shard), 2);
        for (unsigned i = 0; i < 3; i++) { /* Two records a segment. */
            record = hf_log_reserve(&log, 4096, false, &ref);
            hf_log_commit(&log, record, ref, 4096);
            if (i == 0)
                assert_non_null(hf_log_at(&dead, ref));
        }
        assert_int_equal(hf_log_victim(&log), -1);
    }
    assert_true(hf_region_sleep(&r, 2));
    hf_region_bury_worker(&r, 2);
    assert_int_equal(atomic_load(&r.slots[2].state), HF_SLOT_DEAD);
    assert_false(hf_region_ring_bell(&r, 0, 2)); /* Nobody is there to be woken. */
    for (uint32_t shard = 0; shard < small.shards; shard++) {
        hf_log_open(&log, hf_region_log(&r, shard), 0);
        hf_log_recover(&log);
        assert_int_equal(hf_log_victim(&log), 0);
    }
    region_free(&r);
}

static bool is_wanted(void *ctx, hf_cid cid)
{
    return *(hf_cid *)ctx == cid;
}

/*
 * "gauges to 0"; counters "only rise". "take away the interest that its predecessor left in channels and that it has not itself": others' bits stay, and
 * so does its own in a channel whose number is just not to be read.
 */
static void a_new_worker_begins_without_its_predecessors_interest(void **state)
{
    struct hf_region r = region_new(&small);
    struct hf_channels t;
    struct hf_channel *c[3];
    uint64_t cursor = 0;
    hf_cid wanted;

    (void)state;
    hf_channels_open(&t, hf_region_channels(&r, 4));
    assert_int_equal(hf_channels_add(&t, HF_STR("a"), hf_channel_hash(HF_STR("a")), 1, &c[0]), 0);
    assert_int_equal(hf_channels_add(&t, HF_STR("b"), hf_channel_hash(HF_STR("b")), 1, &c[1]), 0);
    assert_int_equal(hf_channels_add(&t, HF_STR("c"), hf_channel_hash(HF_STR("c")), 1, &c[2]), 0);
    wanted = atomic_load(&c[2]->cid);
    assert_int_equal(hf_channel_last_cid(&t, c[2]), wanted);
    assert_true(hf_channel_want(c[2], wanted, 1));
    atomic_store(&c[2]->cid, 0);
    for (int i = 0; i < 2; i++)
        for (uint32_t worker = 0; worker < 3; worker++) {
            assert_true(i == 1 || hf_channel_want(c[i], atomic_load(&c[i]->cid), worker));
            hf_channel_set_told(c[i], worker);
        }
    hf_count(&r.slots[1].counters, HF_COUNT_PUBLISHES, 5);
    hf_gauge_add(&r.slots[1].counters, HF_GAUGE_CONNECTIONS, 7);
    hf_gauge_add(&r.slots[1].counters, HF_GAUGE_CONNECTIONS, -2);
    assert_int_equal(atomic_load(&r.slots[1].counters.gauge[HF_GAUGE_CONNECTIONS]), 5);
    hf_region_reset_worker(&r, 1);
    assert_true(hf_region_forget_interest(&r, 1, 4000, &cursor, 2, is_wanted, &wanted));
    assert_false(hf_region_forget_interest(&r, 1, 4000, &cursor, 2, is_wanted, &wanted));
    for (int i = 0; i < 2; i++)
        for (uint32_t worker = 0; worker < 3; worker++)
            assert_int_equal(hf_channel_wanted(c[i], worker), i == 0 && worker != 1);
    assert_true(hf_channel_wanted(c[2], 1));
    assert_int_equal(atomic_load(&c[0]->left_ms), 4000);
    assert_int_equal(atomic_load(&c[1]->left_ms), 1);
    assert_int_equal(atomic_load(&r.slots[1].counters.counter[HF_COUNT_PUBLISHES]), 5);
    assert_int_equal(atomic_load(&r.slots[1].counters.gauge[HF_GAUGE_CONNECTIONS]), 0);
    hf_channels_release(&t);
    region_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_without_a_layout_is_refused),
        cmocka_unit_test(no_part_lies_over_another),
        cmocka_unit_test(it_may_lie_at_another_address),
        cmocka_unit_test(each_shard_has_room_for_twice_its_share),
        cmocka_unit_test(every_incarnation_has_its_own_epoch),
        cmocka_unit_test(one_of_the_ringers_wakes_the_sleeper),
        cmocka_unit_test(no_wake_up_is_lost),
        cmocka_unit_test(settled_is_what_the_slowest_worker_has_settled),
        cmocka_unit_test(a_life_ends_with_its_process),
        cmocka_unit_test(rings_are_made_when_somebody_talks),
        cmocka_unit_test(a_talker_dies_at_each_place),
        cmocka_unit_test(a_buried_worker_holds_nothing),
        cmocka_unit_test(a_new_worker_begins_without_its_predecessors_interest),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
