/*
 * test_busy.c - shm/busy.h: what was written is read whole, never half of one and half of another, and a writer that died half-way is not read.
 */
#include "shm/busy.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static struct hf_busy_shm shm;

/* Everything in it tells the same number. */
static struct hf_busy_second second_of(uint64_t n)
{
    struct hf_busy_second s;
    uint64_t words[HF_BUSY_WORDS];

    for (int i = 0; i < HF_BUSY_WORDS; i++)
        words[i] = n;
    memcpy(&s, words, sizeof(s));
    s.channel_count = HF_BUSY_CHANNELS;
    s.slow_count = HF_BUSY_SLOW;
    return s;
}

static void check_whole(const struct hf_busy_second *s)
{
    struct hf_busy_second want = second_of(s->ended_ms);

    assert_memory_equal(s, &want, sizeof(want));
}

static void what_was_written_is_read(void **state)
{
    struct hf_busy_second s, want = second_of(7);

    (void)state;
    memset(&shm, 0, sizeof(shm));
    assert_int_equal(hf_busy_read(&shm, &s), 0);
    assert_int_equal(s.ended_ms, 0);
    hf_busy_write(&shm, &want);
    assert_int_equal(hf_busy_read(&shm, &s), 0);
    assert_int_equal(s.ended_ms, 7);
    check_whole(&s);
}

/* A worker died while it wrote; its successor writes as ever. */
static void half_a_second_is_not_read(void **state)
{
    struct hf_busy_second s, want = second_of(8);

    (void)state;
    memset(&shm, 0, sizeof(shm));
    hf_busy_write(&shm, &want);
    atomic_store(&shm.version, 3);
    assert_int_equal(hf_busy_read(&shm, &s), HF_EAGAIN);
    want = second_of(9);
    hf_busy_write(&shm, &want);
    assert_int_equal(hf_busy_read(&shm, &s), 0);
    assert_int_equal(s.ended_ms, 9);
}

/* "Read shared memory like the network: check it." */
static void counts_are_within_bounds(void **state)
{
    struct hf_busy_second s, wild = second_of(1);

    (void)state;
    wild.channel_count = wild.slow_count = UINT64_MAX;
    hf_busy_write(&shm, &wild);
    assert_int_equal(hf_busy_read(&shm, &s), 0);
    assert_int_equal(s.channel_count, HF_BUSY_CHANNELS);
    assert_int_equal(s.slow_count, HF_BUSY_SLOW);
}

enum { WRITES = 20000 };

static void *write_many(void *arg)
{
    (void)arg;
    for (uint64_t n = 1; n <= WRITES; n++) {
        struct hf_busy_second s = second_of(n);

        hf_busy_write(&shm, &s);
    }
    return NULL;
}

static void no_reader_sees_half_of_each(void **state)
{
    struct hf_busy_second s;
    pthread_t writer;

    (void)state;
    memset(&shm, 0, sizeof(shm));
    assert_int_equal(pthread_create(&writer, NULL, write_many, NULL), 0);
    do {
        if (hf_busy_read(&shm, &s) == 0 && s.ended_ms != 0)
            check_whole(&s);
        else
            s.ended_ms = 0;
    } while (s.ended_ms != WRITES);
    assert_int_equal(pthread_join(writer, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_written_is_read), cmocka_unit_test(half_a_second_is_not_read),
        cmocka_unit_test(counts_are_within_bounds), cmocka_unit_test(no_reader_sees_half_of_each)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
