#include "shm/ring.h"

#include "base/rng.h"
#include "shm/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "crash_point.h"

#include <sched.h>
#include <semaphore.h>
#include <time.h>

enum { SIZE = 1024, MILLION = 1000000 };

/* A ring whose counters stand at `position`, as after much use. */
static struct hf_ring *ring_at(uint64_t position)
{
    struct hf_ring *r = hf_memory_map(hf_ring_bytes(SIZE));

    assert_non_null(r);
    hf_ring_init(r, SIZE);
    atomic_store(&r->head, position);
    atomic_store(&r->tail, position);
    return r;
}

static void ring_free(struct hf_ring *r)
{
    hf_memory_unmap(r, hf_ring_bytes(r->size));
}

static uint8_t byte_of(uint64_t number, size_t i)
{
    return (uint8_t)(number * 31 + i * 7 + 1);
}

static bool push(struct hf_ring *r, uint64_t number, size_t len)
{
    uint8_t *to = hf_ring_reserve(r, len);

    if (to == NULL)
        return false;
    for (size_t i = 0; i < len; i++)
        to[i] = byte_of(number, i);
    hf_ring_commit(r, len);
    return true;
}

static bool is_record(const uint8_t *data, size_t len, uint64_t number, size_t want_len)
{
    if (data == NULL || len != want_len || ((uintptr_t)data & 7) != 0)
        return false;
    for (size_t i = 0; i < len; i++)
        if (data[i] != byte_of(number, i))
            return false;
    return true;
}

static void peek_is(struct hf_ring *r, uint64_t number, size_t want_len)
{
    size_t len = 0;
    const uint8_t *data = hf_ring_peek(r, &len);

    assert_true(is_record(data, len, number, want_len));
    assert_true(data >= r->data && data + len <= r->data + r->size);
}

/* "Records are 8-byte aligned and contiguous"; and the longest fits into an empty ring wherever the counters stand. */
static void every_length_passes_at_every_place(void **state)
{
    struct hf_ring *r = ring_at(0);
    size_t max = hf_ring_record_max(r);

    (void)state;
    assert_in_range(max, SIZE / 4, SIZE / 2 - 1);
    for (uint64_t position = 0; position < SIZE; position += 8)
        for (size_t len = 0; len <= max; len++) {
            atomic_store(&r->head, position);
            atomic_store(&r->tail, position);
            assert_true(push(r, len, len));
            assert_false(hf_ring_empty(r));
            peek_is(r, len, len);
            hf_ring_consume(r);
            assert_true(hf_ring_empty(r));
            assert_int_equal(hf_ring_used(r), 0);
        }
    ring_free(r);
}

/* Whatever the lengths, what goes in comes out, in order, and never more is held than there is room. */
static void random_traffic_comes_out_as_it_went_in(void **state)
{
    static size_t lengths[4096];
    struct hf_ring *r = ring_at(UINT64_C(3) << 40);
    struct hf_rng rng = {6};
    uint64_t in = 0, out = 0, refused = 0;

    (void)state;
    for (unsigned i = 0; i < 300000; i++) {
        if (hf_rng_below(&rng, 2) == 0) {
            size_t len = (size_t)hf_rng_below(&rng, hf_rng_below(&rng, 4) == 0 ? 497 : 40);

            lengths[in % 4096] = len;
            if (push(r, in, len))
                in++;
            else
                refused++;
        } else if (!hf_ring_empty(r) && in > out) {
            peek_is(r, out, lengths[out % 4096]);
            hf_ring_consume(r);
            out++;
        }
        assert_true(hf_ring_used(r) <= SIZE);
    }
    assert_true(in > 100000 && refused > 1000);
    ring_free(r);
}

/* "it only ever touches as much memory as a burst needs": a quiet ring stays in its first page, and loses nothing over it. */
static void a_quiet_ring_stays_at_its_beginning(void **state)
{
    enum { BIG = 65536, PAGE = 4096 };
    struct hf_ring *r = hf_memory_map(hf_ring_bytes(BIG));
    uint64_t position = 0;

    (void)state;
    assert_non_null(r);
    hf_ring_init(r, BIG);
    for (uint64_t n = 0; n < 10000; n++) {
        size_t len = n % 7 == 0 ? 600 : 100;

        assert_true(push(r, n, len));
        if (n % 3 == 0) /* Now and then two at a time. */
            assert_true(push(r, n + 1, len));
        peek_is(r, n, len);
        assert_true(n == 0 || hf_ring_position(r) > position);
        position = hf_ring_position(r);
        hf_ring_consume(r);
        if (n % 3 == 0) {
            peek_is(r, n + 1, len);
            hf_ring_consume(r);
        }
    }
    for (size_t at = PAGE; at < BIG; at++)
        assert_int_equal(r->data[at], 0);
    hf_memory_unmap(r, hf_ring_bytes(BIG));
}

/* "two records up to this length fit where one of twice the length did", even if the consumer empties the ring in between. */
static void what_was_promised_to_fit_fits(void **state)
{
    enum { BIG = 8192, SMALL = HF_RING_SMALL_BYTES - 2 * HF_RING_RECORD_EXTRA };
    struct hf_ring *r = hf_memory_map(hf_ring_bytes(BIG));

    (void)state;
    assert_non_null(r);
    hf_ring_init(r, BIG);
    for (uint64_t position = 0; position < BIG; position += 8)
        for (unsigned behind = 0; behind < 2; behind++) {
            atomic_store(&r->head, position);
            atomic_store(&r->tail, position);
            assert_true(behind == 0 || push(r, 1, 8));
            if (hf_ring_reserve(r, 2 * SMALL + HF_RING_RECORD_EXTRA) == NULL)
                continue;
            if (behind == 1) {
                peek_is(r, 1, 8);
                hf_ring_consume(r);
            }
            assert_true(push(r, 2, SMALL));
            assert_true(push(r, 3, SMALL));
        }
    hf_memory_unmap(r, hf_ring_bytes(BIG));
}

/* "or NULL where there is none now; then `waits` is set and the consumer will wake the producer" */
static void a_full_ring_says_when_there_is_room_again(void **state)
{
    struct hf_ring *r = ring_at(0);
    uint64_t in = 0;

    (void)state;
    assert_false(hf_ring_producer_due(r));
    while (push(r, in, 56))
        in++;
    assert_int_equal(in, SIZE / 64);
    assert_int_equal(atomic_load(&r->waits), 1);
    for (uint64_t out = 0; out < in; out++) {
        /* One wake-up, for half a ring of room. */
        assert_int_equal(hf_ring_producer_due(r), out == in / 2);
        peek_is(r, out, 56);
        hf_ring_consume(r);
    }
    assert_false(hf_ring_producer_due(r));
    assert_true(push(r, 0, 56));
    assert_int_equal(atomic_load(&r->waits), 0);
    ring_free(r);
}

/* A record for whose filler and self there is no room in half a ring: it asks again, and gets in at the latest when the ring is empty. */
static void the_longest_record_is_not_kept_out_for_ever(void **state)
{
    (void)state;
    for (uint64_t position = 0; position < SIZE; position += 8) {
        struct hf_ring *r = ring_at(position);
        size_t max = hf_ring_record_max(r), len;
        unsigned in = 0, waits = 0;

        while (push(r, 1, 24))
            in++;
        assert_true(in > 0);
        (void)hf_ring_producer_due(r);
        while (!push(r, 2, max)) {
            do {
                assert_non_null(hf_ring_peek(r, &len));
                hf_ring_consume(r);
            } while (!hf_ring_producer_due(r));
            waits++;
        }
        assert_true(waits > 0);
        ring_free(r);
    }
}

/* "Reserving again without a commit gives up the first." */
static void what_was_not_committed_is_given_up(void **state)
{
    struct hf_ring *r = ring_at(SIZE - 64);
    uint8_t *first = hf_ring_reserve(r, 16);

    (void)state;
    assert_non_null(first);
    memset(first, 0xff, 16);
    assert_true(hf_ring_empty(r));
    assert_true(push(r, 3, 200)); /* With a filler before it. */
    peek_is(r, 3, 200);
    hf_ring_consume(r);
    assert_true(hf_ring_empty(r));
    ring_free(r);
}

/* "where the record of the last peek stands …: rises with every record", and a second peek is the first again. */
static void a_record_stays_until_it_is_consumed(void **state)
{
    struct hf_ring *r = ring_at(SIZE - 64);
    uint64_t position = 0, last = 0;

    (void)state;
    assert_true(push(r, 1, 8) && push(r, 2, 300) && push(r, 3, 8));
    for (uint64_t number = 1; number <= 3; number++) {
        peek_is(r, number, number == 2 ? 300 : 8);
        position = hf_ring_position(r);
        peek_is(r, number, number == 2 ? 300 : 8);
        assert_int_equal(hf_ring_position(r), position);
        assert_true(position > last);
        last = position;
        hf_ring_consume(r);
    }
    ring_free(r);
}

/* ---- Death ---- */

static void push_one(void *ctx)
{
    if (!push(ctx, 2, 200))
        _exit(1);
}

/* "A producer that dies before its store to head has published nothing; one that dies after it has published the record." */
static void a_producer_dies_at_each_place(void **state)
{
    bool published = false, nothing = false;

    (void)state;
    for (unsigned n = 1;; n++) {
        struct hf_ring *r = ring_at(SIZE - 64); /* The record needs a filler. */
        bool died;
        size_t len;

        assert_true(push(r, 1, 8));
        died = dies_at(n, push_one, r);
        peek_is(r, 1, 8);
        hf_ring_consume(r);
        if (hf_ring_peek(r, &len) != NULL) {
            peek_is(r, 2, 200);
            hf_ring_consume(r);
            published = true;
        } else {
            assert_true(died);
            nothing = true;
        }
        assert_true(push(r, 3, 400)); /* The successor goes on. */
        peek_is(r, 3, 400);
        hf_ring_consume(r);
        assert_true(hf_ring_empty(r));
        ring_free(r);
        if (!died) {
            assert_true(n > 3);
            break;
        }
    }
    assert_true(published && nothing);
}

static void consume_one(void *ctx)
{
    size_t len;

    if (hf_ring_peek(ctx, &len) == NULL)
        _exit(1);
    hf_ring_consume(ctx);
}

/* "A consumer that dies before its store to tail leaves the record to its successor" */
static void a_consumer_dies_at_each_place(void **state)
{
    (void)state;
    for (unsigned n = 1;; n++) {
        struct hf_ring *r = ring_at(SIZE - 64);
        bool died;
        size_t len;

        assert_true(push(r, 1, 300) && push(r, 2, 8)); /* A filler first. */
        died = dies_at(n, consume_one, r);
        if (died) {
            peek_is(r, 1, 300);
            hf_ring_consume(r);
        }
        peek_is(r, 2, 8);
        hf_ring_consume(r);
        assert_null(hf_ring_peek(r, &len));
        ring_free(r);
        if (!died) {
            assert_true(n > 1);
            break;
        }
    }
}

/* ---- Two processes ---- */

struct shared {
    sem_t room;
    struct hf_ring *ring; /* Mapped before the fork, so at the same address in both. */
};

static struct shared *shared_new(void)
{
    struct shared *s = hf_memory_map(sizeof(*s));

    assert_non_null(s);
    assert_int_equal(sem_init(&s->room, 1, 0), 0);
    s->ring = ring_at(0);
    return s;
}

static void shared_free(struct shared *s)
{
    ring_free(s->ring);
    hf_memory_unmap(s, sizeof(*s));
}

static size_t length_of(uint64_t number)
{
    struct hf_rng rng = {number};

    return (size_t)hf_rng_below(&rng, number % 64 == 0 ? 490 : 48);
}

static bool wait_for(sem_t *sem, int seconds)
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += seconds;
    while (sem_timedwait(sem, &until) < 0)
        if (errno != EINTR)
            return false;
    return true;
}

/* Sleeps when the ring is full, until it is woken: a wake-up that gets lost stops it. */
static void produce(struct shared *s, uint64_t first, uint64_t count)
{
    for (uint64_t number = first; number < first + count; number++)
        while (!push(s->ring, number, length_of(number)))
            if (!wait_for(&s->room, 20))
                _exit(1);
}

static pid_t start_producer(struct shared *s, uint64_t first, uint64_t count)
{
    pid_t producer = fork_child();

    if (producer == 0) {
        produce(s, first, count);
        _exit(0);
    }
    return producer;
}

/* Take the next record if there is one, look at it, and wake the producer where it waits. */
static bool consume_next(struct shared *s, uint64_t number)
{
    size_t len = 0;
    const uint8_t *data = hf_ring_peek(s->ring, &len);

    if (data == NULL)
        return false;
    assert_true(is_record(data, len, number, length_of(number)));
    hf_ring_consume(s->ring);
    if (hf_ring_producer_due(s->ring))
        assert_int_equal(sem_post(&s->room), 0);
    return true;
}

static void a_million_records_pass_between_two_processes(void **state)
{
    struct shared *s = shared_new();
    uint64_t next = 0, idle = 0;
    pid_t producer = start_producer(s, 0, MILLION);
    bool gone = false;
    int status = 0;

    (void)state;
    for (;;) {
        if (consume_next(s, next)) {
            next++;
            continue;
        }
        if (gone)
            break;
        sched_yield();
        if (++idle % 1024 ==
            0) /* Done, or a wake-up got lost and it gave up: then what it has pushed is all here. */
            gone = waitpid(producer, &status, WNOHANG) == producer;
    }
    assert_int_equal(next, MILLION);
    assert_int_equal(status, 0);
    shared_free(s);
}

/* Producers that are killed at any moment: their successors go on behind what was published, without a gap or a double. */
static void killed_producers_leave_whole_records(void **state)
{
    struct shared *s = shared_new();
    uint64_t next = 0;

    (void)state;
    for (unsigned life = 0; life < 60; life++) {
        uint64_t until = next + 1 + life * 37 % 200;
        pid_t producer = start_producer(s, next, MILLION);

        while (next < until)
            if (consume_next(s, next))
                next++;
            else
                sched_yield();
        kill_child(producer);
        while (consume_next(s, next))
            next++;
    }
    assert_true(next > 1000);
    shared_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_length_passes_at_every_place),
        cmocka_unit_test(random_traffic_comes_out_as_it_went_in),
        cmocka_unit_test(a_quiet_ring_stays_at_its_beginning),
        cmocka_unit_test(what_was_promised_to_fit_fits),
        cmocka_unit_test(a_full_ring_says_when_there_is_room_again),
        cmocka_unit_test(the_longest_record_is_not_kept_out_for_ever),
        cmocka_unit_test(what_was_not_committed_is_given_up),
        cmocka_unit_test(a_record_stays_until_it_is_consumed),
        cmocka_unit_test(a_producer_dies_at_each_place),
        cmocka_unit_test(a_consumer_dies_at_each_place),
        cmocka_unit_test(a_million_records_pass_between_two_processes),
        cmocka_unit_test(killed_producers_leave_whole_records),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
