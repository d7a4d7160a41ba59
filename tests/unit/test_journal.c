#include "shm/journal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "crash_point.h"

#include <pthread.h>

static struct hf_journal_shm *journal_new(void)
{
    struct hf_journal_shm *j = aligned_alloc(64, (hf_journal_bytes() + 63) & ~(size_t)63);

    assert_non_null(j);
    memset(j, 0, hf_journal_bytes());
    return j;
}

/* Every field follows from n, so that a torn event shows. */
static struct hf_journal_event event_of(uint64_t n)
{
    struct hf_journal_event e = {.wall_ms = n * 3,
                                 .session = n * 5,
                                 .kind = (enum hf_journal_kind)(n % 7 + 1),
                                 .by = (enum hf_journal_by)(n % 3),
                                 .code = (uint16_t)(1000 + n % 4000),
                                 .silence_ms = (uint32_t)(n * 7),
                                 .heartbeat_ms = (uint32_t)(n * 11),
                                 .amount = n * 13};

    for (size_t i = 0; i + 1 < sizeof(e.address); i++)
        e.address[i] = (char)('a' + n % 26);
    return e;
}

static void check_event(const struct hf_journal_event *e, uint64_t n)
{
    struct hf_journal_event want = event_of(n);

    assert_int_equal(e->wall_ms, want.wall_ms);
    assert_int_equal(e->session, want.session);
    assert_int_equal(e->kind, want.kind);
    assert_int_equal(e->by, want.by);
    assert_int_equal(e->code, want.code);
    assert_int_equal(e->silence_ms, want.silence_ms);
    assert_int_equal(e->heartbeat_ms, want.heartbeat_ms);
    assert_int_equal(e->amount, want.amount);
    assert_string_equal(e->address, want.address);
}

static void put(struct hf_journal_shm *j, uint64_t n)
{
    struct hf_journal_event e = event_of(n);

    hf_journal_put(j, &e);
}

static void the_newest_comes_first(void **state)
{
    struct hf_journal_shm *j = journal_new();
    struct hf_journal_event e;
    uint64_t cursor = UINT64_MAX;

    (void)state;
    assert_false(hf_journal_older(j, &cursor, &e));
    for (uint64_t n = 0; n < 10; n++)
        put(j, n);
    cursor = UINT64_MAX;
    for (uint64_t n = 10; n-- > 0;) {
        assert_true(hf_journal_older(j, &cursor, &e));
        check_event(&e, n);
    }
    assert_false(hf_journal_older(j, &cursor, &e));
    free(j);
}

static void the_oldest_are_written_over(void **state)
{
    struct hf_journal_shm *j = journal_new();
    uint64_t cursor = UINT64_MAX, last = 3 * HF_JOURNAL_EVENTS + 17, n = last;
    struct hf_journal_event e;

    (void)state;
    for (uint64_t i = 0; i < last; i++)
        put(j, i);
    while (hf_journal_older(j, &cursor, &e))
        check_event(&e, --n);
    assert_int_equal(n, last - HF_JOURNAL_EVENTS);
    free(j);
}

/* What a reader's cursor names may be gone when it comes back. */
static void a_cursor_that_was_overtaken_ends(void **state)
{
    struct hf_journal_shm *j = journal_new();
    uint64_t cursor = UINT64_MAX;
    struct hf_journal_event e;

    (void)state;
    put(j, 0);
    put(j, 1);
    assert_true(hf_journal_older(j, &cursor, &e));
    for (uint64_t n = 2; n < HF_JOURNAL_EVENTS + 5; n++)
        put(j, n);
    assert_false(hf_journal_older(j, &cursor, &e));
    free(j);
}

static void put_second(void *journal)
{
    put(journal, 2);
}

static void a_death_while_writing_costs_one_event(void **state)
{
    struct hf_journal_event e;
    unsigned places = 0;

    (void)state;
    for (unsigned n = 1;; n++) {
        struct hf_journal_shm *j = hf_memory_map(hf_journal_bytes());
        uint64_t cursor = UINT64_MAX;

        assert_non_null(j);
        put(j, 1);
        if (!dies_at(n, put_second, j)) {
            hf_memory_unmap(j, hf_journal_bytes());
            break;
        }
        places++;
        assert_true(hf_journal_older(j, &cursor, &e));
        check_event(&e, 1);
        put(j, 3); /* The successor. */
        cursor = UINT64_MAX;
        assert_true(hf_journal_older(j, &cursor, &e));
        check_event(&e, 3);
        assert_true(hf_journal_older(j, &cursor, &e));
        check_event(&e, 1);
        assert_false(hf_journal_older(j, &cursor, &e));
        hf_memory_unmap(j, hf_journal_bytes());
    }
    assert_int_equal(places, 2);
}

enum { WRITTEN = 400 * HF_JOURNAL_EVENTS };

static void *write_many(void *journal)
{
    for (uint64_t n = 0; n < WRITTEN; n++)
        put(journal, n);
    return NULL;
}

/* Another process in life, a thread here: no event is ever read in part. */
static void a_reader_beside_the_writer_sees_whole_events(void **state)
{
    struct hf_journal_shm *j = journal_new();
    struct hf_journal_event e;
    pthread_t writer;
    uint64_t seen = 0;

    (void)state;
    assert_int_equal(pthread_create(&writer, NULL, write_many, j), 0);
    do {
        uint64_t cursor = UINT64_MAX;

        while (hf_journal_older(j, &cursor, &e)) {
            check_event(&e, e.wall_ms / 3);
            seen++;
        }
    } while (atomic_load(&j->written) < WRITTEN || seen == 0);
    pthread_join(writer, NULL);
    assert_true(seen > 0);
    free(j);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_newest_comes_first),
        cmocka_unit_test(the_oldest_are_written_over),
        cmocka_unit_test(a_cursor_that_was_overtaken_ends),
        cmocka_unit_test(a_death_while_writing_costs_one_event),
        cmocka_unit_test(a_reader_beside_the_writer_sees_whole_events),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
