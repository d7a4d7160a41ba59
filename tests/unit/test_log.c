#include "shm/log.h"

#include "base/rng.h"

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

enum { SEGMENT_BYTES = 4096, OWNER = 0, READER = 1, WORKERS = 3, CHANNELS = 5, ALL_MAX = 20000 };

static struct hf_log_shm *shm_new(uint32_t segment_count)
{
    struct hf_log_shm *shm = hf_memory_map(hf_log_bytes(SEGMENT_BYTES, segment_count, WORKERS));

    assert_non_null(shm);
    hf_log_format(shm, SEGMENT_BYTES, segment_count, WORKERS);
    return shm;
}

static void shm_free(struct hf_log_shm *shm)
{
    hf_memory_unmap(shm, hf_log_bytes(SEGMENT_BYTES, shm->segment_count, WORKERS));
}

static struct hf_log owner_of(struct hf_log_shm *shm)
{
    struct hf_log log;

    hf_log_open(&log, shm, OWNER);
    hf_log_recover(&log);
    return log;
}

static struct hf_log view_of(struct hf_log_shm *shm, uint32_t worker)
{
    struct hf_log log;

    hf_log_open(&log, shm, worker);
    return log;
}

/* ---- Records whose content follows from channel and offset ---- */

struct channel {
    uint64_t cid, head, bytes;
    hf_ref newest;
};

static uint32_t length_of(uint64_t cid, uint64_t offset)
{
    struct hf_rng rng = {cid * 1000003 + offset};

    return (uint32_t)hf_rng_below(&rng, offset % 16 == 0 ? 700 : 60);
}

static uint8_t byte_of(const struct hf_record *r, uint32_t i)
{
    return (uint8_t)(r->cid * 101 + r->offset * 31 + i * 7);
}

static bool is_whole(const struct hf_record *r)
{
    const uint8_t *payload = (const uint8_t *)(r + 1);

    if (r->kind != HF_RECORD_MESSAGE || r->payload_len != length_of(r->cid, r->offset) || r->size % 8 != 0 ||
        r->size < sizeof(*r) + r->payload_len)
        return false;
    for (uint32_t i = 0; i < r->payload_len; i++)
        if (payload[i] != byte_of(r, i))
            return false;
    return true;
}

static void fill(struct hf_log *log, struct hf_record *r, const struct channel *c)
{
    uint8_t *payload = (uint8_t *)(r + 1);

    r->kind = HF_RECORD_MESSAGE;
    r->cid = c->cid;
    r->offset = c->head + 1;
    r->payload_len = length_of(r->cid, r->offset);
    for (uint32_t i = 0; i < r->payload_len; i++)
        payload[i] = byte_of(r, i);
    hf_log_link(log, r, hf_log_own(log, c->newest), c->newest);
}

static bool append(struct hf_log *log, struct channel *c)
{
    size_t size = sizeof(struct hf_record) + length_of(c->cid, c->head + 1);
    hf_ref ref;
    struct hf_record *r = hf_log_reserve(log, size, false, &ref), *before;

    if (r == NULL)
        return false;
    fill(log, r, c);
    hf_log_commit(log, r, ref, size);
    before = hf_log_own(log, c->newest);
    if (before != NULL)
        atomic_store(&before->next, ref);
    c->newest = ref;
    c->bytes += r->payload_len;
    c->head++;
    return true;
}

static bool recycle_oldest(struct hf_log *log)
{
    int victim = hf_log_victim(log);

    return victim >= 0 && hf_log_recycle(log, (uint32_t)victim);
}

static void append_recycling(struct hf_log *log, struct channel *c)
{
    if (!hf_log_has_spare(log))
        (void)recycle_oldest(log);
    assert_true(append(log, c));
}

static void init_channels(struct channel *channels)
{
    memset(channels, 0, sizeof(*channels) * CHANNELS);
    for (uint64_t i = 0; i < CHANNELS; i++)
        channels[i].cid = i + 1;
}

/* ---- Writing and reading ---- */

static void an_empty_log_has_a_spare_and_nothing_else(void **state)
{
    struct hf_log_shm *shm = shm_new(4);
    struct hf_log log = owner_of(shm);

    (void)state;
    assert_true(hf_log_has_spare(&log));
    assert_int_equal(hf_log_victim(&log), -1);
    assert_int_equal(hf_log_used_bytes(&log), 0);
    assert_null(hf_log_at(&log, 0));
    assert_null(hf_log_own(&log, 0));
    shm_free(shm);
}

static void a_record_is_read_as_it_was_written(void **state)
{
    struct hf_log_shm *shm = shm_new(4);
    struct hf_log log = owner_of(shm), reader = view_of(shm, READER);
    struct channel c = {.cid = 9};
    struct hf_record *r;

    (void)state;
    for (unsigned i = 0; i < 10; i++) {
        assert_true(append(&log, &c));
        r = hf_log_at(&reader, c.newest);
        assert_non_null(r);
        assert_true(is_whole(r) && ((uintptr_t)r & 7) == 0);
        assert_int_equal(r->offset, c.head);
        assert_ptr_equal(r, hf_log_own(&log, c.newest));
    }
    hf_log_unpin_all(&reader);
    shm_free(shm);
}

/* "header zeroed", "reserving again without a commit gives it up" */
static void what_was_not_committed_does_not_exist(void **state)
{
    struct hf_log_shm *shm = shm_new(4);
    struct hf_log log = owner_of(shm);
    struct hf_record zero;
    hf_ref first, second;
    struct hf_record *r = hf_log_reserve(&log, 500, false, &first);

    (void)state;
    memset(&zero, 0, sizeof(zero));
    assert_non_null(r);
    assert_memory_equal(r, &zero, sizeof(zero));
    memset(r, 0xee, 500);
    assert_int_equal(hf_log_used_bytes(&log), 0);
    r = hf_log_reserve(&log, 500, false, &second);
    assert_true(first == second);
    assert_memory_equal(r, &zero, sizeof(zero));
    shm_free(shm);
}

/* "As long as there is no spare segment, a quarter of the current one is kept free for carry records" */
static void a_quarter_is_kept_for_carry_records(void **state)
{
    struct hf_log_shm *shm = shm_new(2);
    struct hf_log log = owner_of(shm);
    hf_ref ref;
    struct hf_record *r;
    uint32_t in_first = 0, ordinary = 0, carried = 0;

    (void)state;
    for (; hf_log_has_spare(&log) || log.current == 2; in_first++) { /* Until the spare one is begun. */
        r = hf_log_reserve(&log, 256, false, &ref);
        assert_non_null(r);
        hf_log_commit(&log, r, ref, 256);
    }
    assert_int_equal(in_first, SEGMENT_BYTES / 256 + 1);
    assert_false(hf_log_has_spare(&log));
    for (; (r = hf_log_reserve(&log, 256, false, &ref)) != NULL; ordinary++)
        hf_log_commit(&log, r, ref, 256);
    assert_int_equal(ordinary + 1, SEGMENT_BYTES * 3 / 4 / 256);
    for (; (r = hf_log_reserve(&log, 256, true, &ref)) != NULL; carried++)
        hf_log_commit(&log, r, ref, 256);
    assert_int_equal(carried, SEGMENT_BYTES / 4 / 256);
    assert_int_equal(hf_log_used_bytes(&log), 2 * SEGMENT_BYTES);
    assert_true(recycle_oldest(&log)); /* Only now. */
    assert_int_equal(hf_log_used_bytes(&log), SEGMENT_BYTES);
    assert_non_null(hf_log_reserve(&log, 256, false, &ref));
    shm_free(shm);
}

/* "The oldest segment that nobody has pinned", never the one that is written. */
static void the_victim_is_the_oldest_that_nobody_has_pinned(void **state)
{
    struct hf_log_shm *shm = shm_new(6);
    struct hf_log log = owner_of(shm), reader = view_of(shm, READER);
    struct channel c = {.cid = 1};
    hf_ref in_slot[6] = {0};

    (void)state;
    while (append(&log, &c))
        if (in_slot[log.current] == 0)
            in_slot[log.current] = c.newest;
    for (uint32_t oldest = 0; oldest < 5; oldest++) { /* A fresh log takes its slots in order. */
        assert_int_equal(hf_log_victim(&log), oldest);
        assert_non_null(hf_log_at(&reader, in_slot[oldest]));
    }
    assert_int_equal(log.current, 5);
    assert_int_equal(hf_log_victim(&log), -1);
    assert_false(append(&log, &c));
    hf_log_unpin_all(&reader);
    assert_int_equal(hf_log_victim(&log), 0);
    assert_non_null(hf_log_at(&log, in_slot[0])); /* The owner's own pins count as well. */
    assert_int_equal(hf_log_victim(&log), 1);
    hf_log_unpin_all(&log);
    assert_true(recycle_oldest(&log) && append(&log, &c));
    shm_free(shm);
}

/* "Returns false where a reader pinned it meanwhile: it stays as it was." */
static void a_pin_between_keeps_the_segment(void **state)
{
    struct hf_log_shm *shm = shm_new(4);
    struct hf_log log = owner_of(shm), reader = view_of(shm, READER);
    struct channel c = {.cid = 1};
    hf_ref first;
    struct hf_record *r;
    int victim;

    (void)state;
    assert_true(append(&log, &c));
    first = c.newest;
    while (append(&log, &c))
        ;
    victim = hf_log_victim(&log);
    r = hf_log_at(&reader, first);
    assert_non_null(r);
    assert_false(hf_log_recycle(&log, (uint32_t)victim));
    assert_false(hf_log_has_spare(&log));
    assert_true(is_whole(r));
    assert_ptr_equal(hf_log_own(&log, first), r);
    assert_ptr_equal(hf_log_at(&reader, first), r);
    hf_log_unpin_all(&reader);
    assert_true(hf_log_recycle(&log, (uint32_t)victim));
    assert_true(hf_log_has_spare(&log));
    shm_free(shm);
}

static struct hf_log *pins_meanwhile;
static hf_ref pinned_meanwhile;

static void pin_meanwhile(const char *place)
{
    if (strcmp(place, "log:taken") == 0)
        assert_null(hf_log_at(pins_meanwhile, pinned_meanwhile));
}

/* The same at the last moment: the reader is told "evicted", and the owner that it cannot have the segment. */
static void a_pin_at_the_last_moment_keeps_the_segment(void **state)
{
    struct hf_log_shm *shm = shm_new(4);
    struct hf_log log = owner_of(shm), reader = view_of(shm, READER);
    struct channel c = {.cid = 1};
    hf_ref first;

    (void)state;
    assert_true(append(&log, &c));
    first = c.newest;
    while (append(&log, &c))
        ;
    pins_meanwhile = &reader;
    pinned_meanwhile = first;
    crash_meanwhile = pin_meanwhile;
    assert_false(recycle_oldest(&log));
    crash_meanwhile = NULL;
    assert_false(hf_log_has_spare(&log));
    assert_true(is_whole(hf_log_at(&reader, first)));
    hf_log_unpin_all(&reader);
    assert_true(recycle_oldest(&log));
    shm_free(shm);
}

/* "The record at ref, or NULL where it is evicted", and also when the slot has long been written anew. */
static void an_evicted_record_is_not_found_again(void **state)
{
    static hf_ref refs[ALL_MAX];
    struct hf_log_shm *shm = shm_new(4);
    struct hf_log log = owner_of(shm), reader = view_of(shm, READER);
    struct channel c = {.cid = 1};
    uint64_t found = 0;

    (void)state;
    for (uint64_t n = 1; n <= 2000; n++) {
        append_recycling(&log, &c);
        refs[n] = c.newest;
    }
    for (uint64_t n = 1; n <= 2000; n++) {
        struct hf_record *r = hf_log_at(&reader, refs[n]);

        assert_ptr_equal(r, hf_log_own(&log, refs[n]));
        if (r == NULL) {
            assert_int_equal(found, 0); /* What is left is the newest part. */
            continue;
        }
        found++;
        assert_int_equal(r->offset, n);
        assert_true(is_whole(r));
    }
    assert_in_range(found, 30, 200);
    hf_log_unpin_all(&reader);
    shm_free(shm);
}

/* More segments than the view's list holds are pinned, and all are unpinned. */
static void any_number_of_pins_is_taken_away_again(void **state)
{
    struct hf_log_shm *shm = shm_new(40);
    struct hf_log log = owner_of(shm), reader = view_of(shm, READER);
    struct channel c = {.cid = 1};
    hf_ref first[40] = {0};

    (void)state;
    while (append(&log, &c))
        if (first[log.current] == 0)
            first[log.current] = c.newest;
    for (unsigned pinned = 0; pinned < 39; pinned++) {
        for (unsigned i = 0; i <= pinned; i++) {
            assert_non_null(hf_log_at(&reader, first[i]));
            assert_non_null(hf_log_at(&reader, first[i])); /* A second look pins nothing more. */
        }
        assert_int_equal(hf_log_victim(&log), pinned == 38 ? -1 : (int)pinned + 1);
        hf_log_unpin_all(&reader);
        for (unsigned i = 0; i < 40; i++)
            assert_int_equal(atomic_load(&reader.my_pins[i]), 0);
        assert_int_equal(hf_log_victim(&log), 0);
    }
    shm_free(shm);
}

/* "Take away a dead worker's pins." Its alone. */
static void a_dead_workers_pins_are_taken_away(void **state)
{
    struct hf_log_shm *shm = shm_new(4);
    struct hf_log log = owner_of(shm), dead = view_of(shm, READER), other = view_of(shm, 2);
    struct channel c = {.cid = 1};
    hf_ref first[4] = {0};

    (void)state;
    while (append(&log, &c))
        if (first[log.current] == 0)
            first[log.current] = c.newest;
    assert_non_null(hf_log_at(&dead, first[0]));
    assert_non_null(hf_log_at(&dead, first[1]));
    assert_non_null(hf_log_at(&other, first[1]));
    assert_int_equal(hf_log_victim(&log), 2);
    hf_log_clear_pins(shm, READER);
    assert_int_equal(hf_log_victim(&log), 0);
    assert_true(recycle_oldest(&log));
    assert_int_equal(hf_log_victim(&log), 2);
    shm_free(shm);
}

/* ---- Finding ---- */

struct search {
    uint64_t offset;
    unsigned looks;
};

static bool at_least(const void *ctx, const struct hf_record *r)
{
    struct search *s = *(struct search *const *)ctx;

    s->looks++;
    return r->offset >= s->offset;
}

/* O(log n): each step looks at two records at most, and Myers' stack needs no more than about 2 log2(n) steps. */
static unsigned looks_allowed(uint64_t head)
{
    unsigned log2 = 1;

    while (head >>= 1)
        log2++;
    return 4 * log2 + 6;
}

static struct hf_record *find(struct hf_log *log, const struct channel *c, uint64_t offset)
{
    struct search s = {offset, 0}, *ctx = &s;
    hf_ref ref = 0, again = 0;
    struct hf_record *r = hf_log_seek(log, c->newest, at_least, &ctx, &ref);

    assert_true(s.looks <= looks_allowed(c->head));
    assert_ptr_equal(hf_log_find(log, c->newest, offset, &again), r);
    if (r != NULL) {
        assert_true(ref == again);
        assert_ptr_equal(hf_log_at(log, ref), r);
        assert_true(is_whole(r) && r->cid == c->cid && r->offset >= offset);
        /* "The oldest record for which keep() holds …. Stops at what is evicted." */
        assert_true(r->offset == offset || offset == 0 || hf_log_at(log, r->prev) == NULL);
    }
    hf_log_unpin_all(log);
    return r;
}

static void several_channels(struct hf_log *log, struct channel *channels, unsigned count)
{
    struct hf_rng rng = {7};

    for (unsigned i = 0; i < count; i++) /* One is busy, the others less and less so. */
        append_recycling(log, &channels[hf_rng_below(&rng, hf_rng_below(&rng, CHANNELS) + 1)]);
}

static void every_offset_is_found_in_few_steps(void **state)
{
    struct hf_log_shm *shm = shm_new(900);
    struct hf_log log = owner_of(shm), reader = view_of(shm, READER);
    struct channel channels[CHANNELS];

    (void)state;
    init_channels(channels);
    several_channels(&log, channels, 8000);
    for (unsigned i = 0; i < CHANNELS; i++) {
        struct channel *c = &channels[i];

        assert_true(c->head > 100);
        for (uint64_t offset = 1; offset <= c->head; offset++)
            assert_int_equal(find(&reader, c, offset)->offset, offset);
        assert_int_equal(find(&reader, c, 0)->offset, 1);
        assert_null(find(&reader, c, c->head + 1));
    }
    shm_free(shm);
}

static void after_eviction_the_oldest_left_is_found(void **state)
{
    struct hf_log_shm *shm = shm_new(64);
    struct hf_log log = owner_of(shm), reader = view_of(shm, READER);
    struct channel channels[CHANNELS];

    (void)state;
    init_channels(channels);
    several_channels(&log, channels, 15000);
    for (unsigned i = 0; i < CHANNELS; i++) {
        struct channel *c = &channels[i];
        const struct hf_record *first = find(&reader, c, 1);
        uint64_t oldest = first->offset;

        assert_in_range(oldest, 2, c->head);
        for (uint64_t offset = 1; offset <= c->head; offset++)
            assert_int_equal(find(&reader, c, offset)->offset, offset < oldest ? oldest : offset);
    }
    shm_free(shm);
}

/* A reader held one old segment while all around it was recycled: what is found lies behind the hole, or is what was asked. */
static void a_hole_in_the_middle_leads_nowhere(void **state)
{
    struct hf_log_shm *shm = shm_new(64);
    struct hf_log log = owner_of(shm), reader = view_of(shm, READER), holder = view_of(shm, 2);
    struct channel channels[CHANNELS], held[CHANNELS];

    (void)state;
    init_channels(channels);
    several_channels(&log, channels, 2000);
    memcpy(held, channels, sizeof(held));
    for (unsigned i = 0; i < CHANNELS; i++)
        (void)hf_log_at(&holder, held[i].newest);
    several_channels(&log, channels, 6000);
    for (unsigned i = 0; i < CHANNELS; i++) {
        struct channel *c = &channels[i];

        if (hf_log_at(&holder, held[i].newest) != NULL)
            assert_true(is_whole(hf_log_at(&holder, held[i].newest)));
        for (uint64_t offset = 1; offset <= c->head; offset++) {
            struct hf_record *r = find(&reader, c, offset);

            assert_non_null(r);
            assert_true(r->offset == offset || r->offset > held[i].head);
        }
    }
    hf_log_unpin_all(&holder);
    several_channels(&log, channels, 2000);
    for (unsigned i = 0; i < CHANNELS; i++)
        assert_null(hf_log_own(&log, held[i].newest));
    shm_free(shm);
}

static bool within_bytes(const void *ctx, const struct hf_record *r)
{
    return r->bytes_before >= *(const uint64_t *)ctx;
}

/* "bytes_before: payload bytes of all earlier messages of the channel"; any monotone bound is found like an offset. */
static void the_bytes_of_earlier_messages_are_summed(void **state)
{
    struct hf_log_shm *shm = shm_new(64);
    struct hf_log log = owner_of(shm);
    struct channel c = {.cid = 1};
    uint64_t sum[501] = {0};

    (void)state;
    for (uint64_t offset = 1; offset <= 500; offset++) {
        uint64_t before = c.bytes;

        assert_true(append(&log, &c));
        sum[offset] = before;
        assert_int_equal(hf_log_own(&log, c.newest)->bytes_before, before);
    }
    for (uint64_t bytes = 0; bytes < sum[500]; bytes += 97) {
        hf_ref ref;
        const struct hf_record *r = hf_log_seek(&log, c.newest, within_bytes, &bytes, &ref);
        uint64_t want = 1;

        while (sum[want] < bytes)
            want++;
        /* Messages without a byte share a sum: all of them are inside. */
        assert_int_equal(r->offset, want);
    }
    hf_log_unpin_all(&log);
    shm_free(shm);
}

/* ---- Taking up what another has left ---- */

struct walk {
    uint64_t next_offset, count;
};

static void in_order(void *ctx, struct hf_record *r, hf_ref ref)
{
    struct walk *w = ctx;

    assert_true(ref != 0 && is_whole(r));
    if (w->next_offset != 0)
        assert_int_equal(r->offset, w->next_offset);
    w->next_offset = r->offset + 1;
    w->count++;
}

/* Where pins have left holes. */
static void rising(void *ctx, struct hf_record *r, hf_ref ref)
{
    struct walk *w = ctx;

    assert_true(ref != 0 && is_whole(r) && r->offset >= w->next_offset);
    w->next_offset = r->offset + 1;
    w->count++;
}

/* "walk all records, oldest segment first", though slots are used again in any order. */
static void a_scan_sees_all_records_in_their_order(void **state)
{
    struct hf_log_shm *shm = shm_new(8);
    struct hf_log log = owner_of(shm), holder = view_of(shm, READER);
    struct channel c = {.cid = 1};

    (void)state;
    for (unsigned i = 0; i < 3000; i++) {
        struct walk w = {0, 0};

        append_recycling(&log, &c);
        if (i % 400 == 100)
            (void)hf_log_at(&holder, c.newest); /* Shuffle the order in which slots come free. */
        if (i % 400 == 150)
            hf_log_unpin_all(&holder);
        if (i % 50 != 0 || i % 400 >= 100)
            continue;
        hf_log_scan(&log, in_order, &w);
        assert_int_equal(w.next_offset, c.head + 1);
        assert_true(i < 200 || w.count > 80);
    }
    shm_free(shm);
}

/* "take up the newest segment where the last owner left it", whatever slot it is in. */
static void a_successor_goes_on_in_the_newest_segment(void **state)
{
    struct hf_log_shm *shm = shm_new(5);
    struct hf_log log = owner_of(shm);
    struct channel c = {.cid = 1};
    bool in_slot[5] = {false};

    (void)state;
    for (unsigned i = 0; i < 600; i++) {
        struct hf_log successor;

        append_recycling(&log, &c);
        successor = owner_of(shm);
        assert_int_equal(successor.current, log.current);
        assert_int_equal(hf_log_has_spare(&successor), hf_log_has_spare(&log));
        in_slot[log.current] = true;
        log = successor;
    }
    for (unsigned i = 0; i < 5; i++)
        assert_true(in_slot[i]);
    shm_free(shm);
}

struct work {
    struct hf_log log;
    struct channel channel;
};

static void append_one(void *ctx)
{
    struct work *w = ctx;

    if (!append(&w->log, &w->channel))
        _exit(1);
}

/* How many bytes are left in the segment that is written. */
static uint32_t left(const struct hf_log *log)
{
    return log->current == log->shm->segment_count
               ? 0
               : SEGMENT_BYTES - atomic_load(&log->segments[log->current].used);
}

/* The owner dies at each place of an append: `count` messages before it, the last of which may stand in a segment of its own. */
static void dies_appending(unsigned count)
{
    bool there = false, lost = false;

    for (unsigned n = 1;; n++) {
        struct hf_log_shm *shm = shm_new(4);
        struct work w = {owner_of(shm), {.cid = 1}};
        struct walk seen = {1, 0};
        struct hf_log successor;
        bool died;

        while (w.channel.head < count)
            assert_true(append(&w.log, &w.channel));
        died = dies_at(n, append_one, &w);
        successor = owner_of(shm);
        hf_log_scan(&successor, in_order, &seen);
        assert_in_range(seen.count, died ? count : count + 1, count + 1);
        if (died)
            *(seen.count == count ? &lost : &there) = true;
        w.channel.head = seen.count; /* As the engine learns it from the scan. */
        w.channel.newest = 0;
        for (unsigned more = 0; more < 30; more++)
            assert_true(append(&successor, &w.channel));
        seen = (struct walk){1, 0};
        hf_log_scan(&successor, in_order, &seen);
        assert_int_equal(seen.count, w.channel.head);
        shm_free(shm);
        if (!died)
            break;
    }
    assert_true(there && lost);
}

/* "A record is in the log from the moment when `used` of its segment covers it; what stands behind `used` does not exist." */
static void an_owner_dies_at_each_place_of_an_append(void **state)
{
    struct hf_log_shm *shm = shm_new(4);
    struct hf_log log = owner_of(shm);
    struct channel c = {.cid = 1};

    (void)state;
    dies_appending(0);
    dies_appending(3);
    while (left(&log) >= sizeof(struct hf_record) + length_of(1, c.head + 1) + 8 || c.head == 0)
        assert_true(append(&log, &c));
    dies_appending((unsigned)c.head); /* The next one begins a segment. */
    shm_free(shm);
}

static void recycle_one(void *ctx)
{
    struct work *w = ctx;

    if (!recycle_oldest(&w->log))
        _exit(1);
}

static void an_owner_dies_while_it_recycles(void **state)
{
    (void)state;
    for (unsigned n = 1;; n++) {
        struct hf_log_shm *shm = shm_new(4);
        struct work w = {owner_of(shm), {.cid = 1}};
        struct walk seen = {0, 0};
        struct hf_log successor;
        bool died;

        while (append(&w.log, &w.channel))
            ;
        died = dies_at(n, recycle_one, &w);
        successor = owner_of(shm);
        if (!hf_log_has_spare(&successor))
            assert_true(recycle_oldest(&successor));
        assert_true(hf_log_has_spare(&successor));
        for (unsigned i = 0; i < 20; i++)
            append_recycling(&successor, &w.channel);
        hf_log_scan(&successor, in_order, &seen);
        assert_int_equal(seen.next_offset, w.channel.head + 1);
        shm_free(shm);
        if (!died) {
            assert_true(n > 1);
            break;
        }
    }
}

/* ---- Two processes ---- */

struct race {
    _Atomic uint64_t newest, head;
    struct hf_log_shm *shm;
};

/* Append and recycle as fast as the reader's pins let it. */
static void write_for_ever(struct race *race)
{
    struct hf_log log = owner_of(race->shm);
    struct channel c = {.cid = 1};

    for (;;) {
        if (!hf_log_has_spare(&log))
            (void)recycle_oldest(&log);
        if (!append(&log, &c)) {
            sched_yield();
            continue;
        }
        atomic_store(&race->newest, c.newest);
        atomic_store(&race->head, c.head);
    }
}

static uint64_t clock_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* Read some records, keep them pinned, and look at them again when the writer has had time to spoil them. */
static unsigned read_turn(struct race *race, struct hf_log *log, struct hf_rng *rng)
{
    const struct hf_record *kept[64];
    uint64_t offsets[64];
    unsigned count = 0;
    hf_ref ref;
    const struct hf_record *r = hf_log_at(log, atomic_load(&race->newest));

    if (hf_rng_below(rng, 2) == 0) {
        uint64_t head = atomic_load(&race->head), back = hf_rng_below(rng, 120);

        r = hf_log_find(log, atomic_load(&race->newest), head > back ? head - back : 1, &ref);
    }
    for (; r != NULL && count < 64; count++) {
        kept[count] = r;
        offsets[count] = r->offset;
        r = hf_log_at(log, hf_rng_below(rng, 4) == 0 ? r->jump : r->prev);
    }
    if (hf_rng_below(rng, 8) == 0)
        sched_yield();
    for (unsigned i = 0; i < count; i++) {
        assert_true(is_whole(kept[i]));
        assert_int_equal(kept[i]->offset, offsets[i]);
    }
    hf_log_unpin_all(log);
    return count;
}

/* "With sequentially consistent order one of the two sees the other": a pinned record never changes. */
static void what_a_reader_has_pinned_stays_as_it_is(void **state)
{
    struct race *race = hf_memory_map(sizeof(*race));
    struct hf_log log;
    struct hf_rng rng = {8};
    uint64_t until_ms = clock_ms() + 1200, seen = 0;
    pid_t writer;

    (void)state;
    assert_non_null(race);
    race->shm = shm_new(4);
    log = view_of(race->shm, READER);
    writer = fork_child();
    if (writer == 0)
        write_for_ever(race);
    while (clock_ms() < until_ms)
        for (unsigned i = 0; i < 100; i++)
            seen += read_turn(race, &log, &rng);
    kill_child(writer);
    assert_true(seen > 1000);
    assert_true(atomic_load(&race->shm->segno_last) > 100); /* It has gone round many times. */
    log = owner_of(race->shm);
    hf_log_scan(&log, rising, &(struct walk){0, 0}); /* Killed at any moment, it leaves whole records. */
    shm_free(race->shm);
    hf_memory_unmap(race, sizeof(*race));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_log_has_a_spare_and_nothing_else),
        cmocka_unit_test(a_record_is_read_as_it_was_written),
        cmocka_unit_test(what_was_not_committed_does_not_exist),
        cmocka_unit_test(a_quarter_is_kept_for_carry_records),
        cmocka_unit_test(the_victim_is_the_oldest_that_nobody_has_pinned),
        cmocka_unit_test(a_pin_between_keeps_the_segment),
        cmocka_unit_test(a_pin_at_the_last_moment_keeps_the_segment),
        cmocka_unit_test(an_evicted_record_is_not_found_again),
        cmocka_unit_test(any_number_of_pins_is_taken_away_again),
        cmocka_unit_test(a_dead_workers_pins_are_taken_away),
        cmocka_unit_test(every_offset_is_found_in_few_steps),
        cmocka_unit_test(after_eviction_the_oldest_left_is_found),
        cmocka_unit_test(a_hole_in_the_middle_leads_nowhere),
        cmocka_unit_test(the_bytes_of_earlier_messages_are_summed),
        cmocka_unit_test(a_scan_sees_all_records_in_their_order),
        cmocka_unit_test(a_successor_goes_on_in_the_newest_segment),
        cmocka_unit_test(an_owner_dies_at_each_place_of_an_append),
        cmocka_unit_test(an_owner_dies_while_it_recycles),
        cmocka_unit_test(what_a_reader_has_pinned_stays_as_it_is),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
