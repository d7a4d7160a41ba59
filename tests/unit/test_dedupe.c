#include "engine/dedupe.h"

#include "fault_malloc.h"
#include "shm/memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { SEGMENT_BYTES = 8192, SEGMENTS = 8, CID = 77, CAP = 64 };

/* A log, sessions, and what is known of them. */
struct bench {
    struct hf_log_shm *log_shm;
    struct hf_sessions_shm *sessions_shm;
    struct hf_log log;
    struct hf_sessions sessions;
    struct hf_dedupe d;
    uint64_t head;
};

static void bench_init(struct bench *b, uint32_t keys_max)
{
    memset(b, 0, sizeof(*b));
    b->log_shm = hf_memory_map(hf_log_bytes(SEGMENT_BYTES, SEGMENTS, 1));
    b->sessions_shm = hf_memory_map(hf_sessions_bytes(16, 1));
    assert_true(b->log_shm != NULL && b->sessions_shm != NULL);
    hf_log_format(b->log_shm, SEGMENT_BYTES, SEGMENTS, 1);
    hf_log_open(&b->log, b->log_shm, 0);
    hf_log_recover(&b->log);
    hf_sessions_format(b->sessions_shm, 16, 1);
    assert_int_equal(hf_sessions_open(&b->sessions, b->sessions_shm, 0), 0);
    hf_dedupe_init(&b->d, keys_max);
}

static void bench_release(struct bench *b)
{
    hf_dedupe_release(&b->d);
    hf_sessions_release(&b->sessions);
    hf_memory_unmap(b->log_shm, hf_log_bytes(SEGMENT_BYTES, SEGMENTS, 1));
    hf_memory_unmap(b->sessions_shm, hf_sessions_bytes(16, 1));
}

static struct hf_session *session(struct bench *b, uint8_t n)
{
    uint8_t random[20];

    memset(random, n, sizeof(random));
    return hf_sessions_add(&b->sessions, random);
}

/* Put a message into the log, and learn it. session 0: none; key0 0: none. */
static hf_ref publish(struct bench *b, uint64_t session, uint64_t seq, uint64_t key0, uint64_t key1,
                      uint64_t now_ms)
{
    hf_ref ref;
    struct hf_record *r = hf_log_reserve(&b->log, sizeof(*r), false, &ref);

    assert_non_null(r);
    r->kind = HF_RECORD_MESSAGE;
    r->cid = CID;
    r->offset = ++b->head;
    r->appended_ms = now_ms;
    if (session != 0) {
        r->flags |= HF_RECORD_HAS_SEQ;
        r->session = session;
        r->seq = seq;
        r->publisher_prev = hf_dedupe_last_ref(&b->d, session);
    }
    if (key0 != 0) {
        r->flags |= HF_RECORD_HAS_KEY;
        r->key[0] = key0;
        r->key[1] = key1;
        r->body_hash = key0 + b->head * 1000;
    }
    hf_log_commit(&b->log, r, ref, sizeof(*r));
    assert_int_equal(hf_dedupe_learn(&b->d, r, ref), 0);
    return ref;
}

static hf_ref put_carry(struct bench *b, const struct hf_carry *carry, uint32_t count)
{
    size_t size = sizeof(struct hf_record) + count * sizeof(*carry);
    hf_ref ref;
    struct hf_record *r = hf_log_reserve(&b->log, size, true, &ref);

    assert_non_null(r);
    r->kind = HF_RECORD_CARRY;
    memcpy(r + 1, carry, count * sizeof(*carry));
    hf_log_commit(&b->log, r, ref, size);
    assert_int_equal(hf_dedupe_learn(&b->d, r, ref), 0);
    assert_int_equal(hf_carry_count(r), count);
    return ref;
}

static void learn_again(void *ctx, struct hf_record *r, hf_ref ref)
{
    struct bench *b = ctx;

    assert_int_equal(hf_dedupe_learn(&b->d, r, ref), 0);
}

/* "Everything in it stands in the log as well …, and is found again by scanning." */
static void rebuild(struct bench *b)
{
    uint32_t keys_max = b->d.keys_max;

    hf_dedupe_release(&b->d);
    hf_dedupe_init(&b->d, keys_max);
    hf_log_scan(&b->log, learn_again, b);
}

/* want_offset 0: known to be applied, offset lost; UINT64_MAX: not applied. */
static void applied_is(const struct bench *b, uint64_t session, uint64_t seq, uint64_t want_offset)
{
    uint64_t cid = 1, offset = 1;
    bool applied = hf_dedupe_applied(&b->d, &b->log, session, seq, &cid, &offset);

    assert_int_equal(applied, want_offset != UINT64_MAX);
    assert_int_equal(offset, applied ? want_offset : 0);
    assert_int_equal(cid, offset == 0 ? 0 : CID);
}

static void key_is(const struct bench *b, uint64_t key0, uint64_t key1, uint64_t want_offset)
{
    const uint64_t key[2] = {key0, key1};
    const struct hf_key *k = hf_dedupe_key(&b->d, key);

    assert_int_equal(k != NULL, want_offset != 0);
    if (k == NULL)
        return;
    assert_int_equal(k->offset, want_offset);
    assert_int_equal(k->cid, CID);
    assert_int_equal(k->body_hash, key0 + want_offset * 1000);
}

/* ---- Sequences ---- */

static void sequences_are_told(const struct bench *b)
{
    for (uint64_t seq = 1; seq <= 20; seq++) { /* Sessions 1, 2 and 3 in turn; the third counts by fives. */
        applied_is(b, 1, seq, seq * 3 - 2);
        applied_is(b, 2, seq, seq * 3 - 1);
        applied_is(b, 3, seq * 5, seq * 3);
        applied_is(b, 3, seq * 5 - 1, 0); /* It went to another shard, or never will come. */
    }
    applied_is(b, 1, 21, UINT64_MAX);
    applied_is(b, 3, 101, UINT64_MAX);
    applied_is(b, 4, 1, UINT64_MAX);
}

/* "Whether (session, seq) has been applied; *offset and *cid as far as the log still tells" */
static void a_repeat_is_recognised_and_its_offset_told(void **state)
{
    struct bench b;

    (void)state;
    bench_init(&b, 10);
    for (uint64_t seq = 1; seq <= 20; seq++)
        for (uint64_t s = 1; s <= 3; s++)
            (void)publish(&b, s, s == 3 ? seq * 5 : seq, 0, 0, 1);
    sequences_are_told(&b);
    rebuild(&b);
    sequences_are_told(&b);
    bench_release(&b);
}

/* ---- Keys ---- */

/* Keys may share the first word of their hash; each of them is forgotten alone, in whatever order they grow old. */
static void keys_with_the_same_first_word_are_told_apart(void **state)
{
    static const uint64_t ages[6][3] = {{1, 2, 3}, {1, 3, 2}, {2, 1, 3}, {2, 3, 1}, {3, 1, 2}, {3, 2, 1}};

    (void)state;
    for (unsigned order = 0; order < 6; order++) {
        struct bench b;

        bench_init(&b, 10);
        for (uint64_t i = 0; i < 3; i++)
            (void)publish(&b, 0, 0, 5, i + 1, ages[order][i] * 100);
        key_is(&b, 5, 4, 0);
        key_is(&b, 6, 1, 0);
        for (uint64_t age = 0; age <= 3; age++) {
            hf_dedupe_expire(&b.d, age * 100 + 1);
            for (uint64_t i = 0; i < 3; i++)
                key_is(&b, 5, i + 1, ages[order][i] <= age ? 0 : i + 1);
        }
        assert_int_equal(b.d.key_count, 0);
        assert_int_equal(b.d.keys.count, 0);
        bench_release(&b);
    }
}

/* "keys_max": the oldest is forgotten for the newest. */
static void no_more_keys_are_kept_than_the_maximum(void **state)
{
    struct bench b;

    (void)state;
    bench_init(&b, 10);
    for (uint64_t i = 1; i <= 100; i++) {
        (void)publish(&b, 0, 0, i, 1, 100 + i);
        assert_int_equal(b.d.key_count, i < 10 ? i : 10);
    }
    for (uint64_t i = 1; i <= 100; i++)
        key_is(&b, i, 1, i > 90 ? i : 0);
    rebuild(&b);
    for (uint64_t i = 1; i <= 100; i++)
        key_is(&b, i, 1, i > 90 ? i : 0);
    bench_release(&b);
}

/* A smaller maximum is reached in bounded steps, the oldest first; a larger one lets more in. */
static void the_maximum_may_change(void **state)
{
    struct bench b;

    (void)state;
    bench_init(&b, 20);
    for (uint64_t i = 1; i <= 20; i++)
        (void)publish(&b, 0, 0, i, 1, 100 + i);
    hf_dedupe_set_keys_max(&b.d, 5);
    assert_int_equal(b.d.key_count, 20);
    (void)publish(&b, 0, 0, 21, 1, 121); /* Each that comes takes the place of one. */
    assert_int_equal(b.d.key_count, 20);
    hf_dedupe_expire(&b.d, 0);
    for (uint64_t i = 1; i <= 21; i++)
        key_is(&b, i, 1, i > 16 ? i : 0);
    hf_dedupe_set_keys_max(&b.d, 6);
    (void)publish(&b, 0, 0, 22, 1, 122);
    key_is(&b, 17, 1, 17);
    hf_dedupe_set_keys_max(&b.d, 0);
    hf_dedupe_expire(&b.d, 0);
    assert_int_equal(b.d.key_count, 0);
    bench_release(&b);
}

/* So many keys that were used then; they are in no log. */
static void learn_keys(struct bench *b, uint64_t count, uint64_t used_ms)
{
    for (uint64_t i = 1; i <= count; i++) {
        struct hf_record r = {
            .kind = HF_RECORD_MESSAGE, .flags = HF_RECORD_HAS_KEY, .key = {i, 1}, .appended_ms = used_ms};

        assert_int_equal(hf_dedupe_learn(&b->d, &r, 0), 0);
    }
}

/* A much shorter age, too: nobody waits until all are forgotten. */
static void many_old_keys_are_forgotten_in_pieces(void **state)
{
    struct bench b;

    (void)state;
    bench_init(&b, 2 * HF_DEDUPE_TRIM_MAX);
    learn_keys(&b, HF_DEDUPE_TRIM_MAX + 10, 100);
    assert_true(hf_dedupe_expire(&b.d, 101));
    assert_int_equal(b.d.key_count, 10);
    assert_false(hf_dedupe_expire(&b.d, 101));
    assert_int_equal(b.d.key_count, 0);
    learn_keys(&b, HF_DEDUPE_TRIM_MAX + 10, 200);
    hf_dedupe_set_keys_max(&b.d, 5);
    assert_true(hf_dedupe_expire(&b.d, 200));
    assert_int_equal(b.d.key_count, 10);
    assert_false(hf_dedupe_expire(&b.d, 200));
    assert_int_equal(b.d.key_count, 5);
    bench_release(&b);
}

/* "Forget keys used before that time." Not those of that time, nor younger ones. */
static void old_keys_are_forgotten(void **state)
{
    struct bench b;

    (void)state;
    bench_init(&b, 100);
    for (uint64_t i = 1; i <= 20; i++)
        (void)publish(&b, 0, 0, i, 1, i * 10);
    hf_dedupe_expire(&b.d, 0);
    assert_int_equal(b.d.key_count, 20);
    hf_dedupe_expire(&b.d, 100);
    for (uint64_t i = 1; i <= 20; i++)
        key_is(&b, i, 1, i >= 10 ? i : 0);
    bench_release(&b);
}

/* A key that had grown old and was used again: who reads the log anew finds both uses, and the later one counts. */
static void of_two_uses_of_a_key_the_later_counts_after_a_rebuild(void **state)
{
    struct bench b;

    (void)state;
    bench_init(&b, 100);
    (void)publish(&b, 0, 0, 5, 1, 100);
    (void)publish(&b, 0, 0, 6, 1, 200);
    hf_dedupe_expire(&b.d, 300);
    (void)publish(&b, 0, 0, 5, 1, 1000);
    key_is(&b, 5, 1, 3);
    rebuild(&b);
    key_is(&b, 5, 1, 3);
    assert_int_equal(b.d.key_count, 2);
    hf_dedupe_expire(&b.d, 300);
    key_is(&b, 5, 1, 3);
    key_is(&b, 6, 1, 0);
    bench_release(&b);
}

/* A carry record stands behind younger messages; its keys are older all the same. */
static void a_carried_key_keeps_its_age_after_a_rebuild(void **state)
{
    struct bench b;
    struct hf_carry old = {
        .is_key = 1, .key = {5, 1}, .cid = CID, .offset = 1, .body_hash = 1005, .used_ms = 100};

    (void)state;
    bench_init(&b, 2);
    b.head = 1;
    (void)publish(&b, 0, 0, 6, 1, 500);
    (void)put_carry(&b, &old, 1);
    rebuild(&b);
    key_is(&b, 5, 1, 1);
    key_is(&b, 6, 1, 2);
    hf_dedupe_expire(&b.d, 300);
    key_is(&b, 5, 1, 0);
    key_is(&b, 6, 1, 2);
    rebuild(&b);
    (void)publish(&b, 0, 0, 7, 1, 600); /* One too many: the oldest goes. */
    key_is(&b, 5, 1, 0);
    key_is(&b, 6, 1, 2);
    key_is(&b, 7, 1, 3);
    bench_release(&b);
}

/* ---- Recycling ---- */

static uint32_t evict(struct bench *b, hf_ref ref, struct hf_carry *out)
{
    return hf_dedupe_evict(&b->d, &b->sessions, hf_log_own(&b->log, ref), ref, out, CAP);
}

/* "A session's seq is carried as long as the session lives and has not settled it." */
static void an_unsettled_publish_is_carried_over(void **state)
{
    struct bench b;
    struct hf_carry out[CAP];
    struct hf_session *s;
    hf_ref first, second;

    (void)state;
    bench_init(&b, 10);
    s = session(&b, 1);
    first = publish(&b, s->number, 1, 0, 0, 1);
    second = publish(&b, s->number, 2, 0, 0, 1);
    assert_int_equal(evict(&b, first, out), 0); /* A later record speaks for this session. */
    assert_int_equal(evict(&b, second, out), 1);
    assert_true(out[0].is_key == 0 && out[0].session == s->number && out[0].seq == 2);
    assert_true(out[0].cid == CID && out[0].offset == 2);
    atomic_store(&s->last_seq, 1);
    assert_int_equal(evict(&b, second, out), 1);
    applied_is(&b, s->number, 2, 2);
    atomic_store(&s->last_seq, 2); /* Settled: its own record says so from now on. */
    assert_int_equal(evict(&b, second, out), 0);
    applied_is(&b, s->number, 2, UINT64_MAX);
    assert_int_equal(b.d.sessions.count, 0);
    bench_release(&b);
}

static void a_publish_of_a_session_that_has_gone_is_dropped(void **state)
{
    struct bench b;
    struct hf_carry out[CAP];
    hf_ref ref;

    (void)state;
    bench_init(&b, 10);
    ref = publish(&b, UINT64_C(1) << 40, 3, 0, 0, 1);
    assert_int_equal(evict(&b, ref, out), 0);
    assert_int_equal(b.d.sessions.count, 0);
    bench_release(&b);
}

/* What was carried over is known as before, and can be carried over once more. */
static void what_was_carried_is_known_and_carried_again(void **state)
{
    struct bench b;
    struct hf_carry out[CAP];
    struct hf_session *s, *other;
    hf_ref ref, carried;

    (void)state;
    bench_init(&b, 10);
    s = session(&b, 1);
    other = session(&b, 2);
    (void)publish(&b, s->number, 1, 0, 0, 1);
    ref = publish(&b, s->number, 2, 9, 9, 1);
    (void)publish(&b, other->number, 7, 0, 0, 1);
    assert_int_equal(evict(&b, ref, out), 2);
    carried = put_carry(&b, out, 2);
    assert_int_equal(evict(&b, ref, out), 0); /* It has been said elsewhere. */
    for (unsigned i = 0; i < 2; i++) {
        applied_is(&b, s->number, 2, 2);
        applied_is(&b, s->number, 1, 0); /* "at a carry record the trail ends" */
        applied_is(&b, s->number, 3, UINT64_MAX);
        applied_is(&b, other->number, 7, 3);
        key_is(&b, 9, 9, 2);
        rebuild(&b);
    }
    (void)publish(&b, other->number, 8, 0, 0, 1);
    assert_int_equal(evict(&b, carried, out), 2);
    (void)put_carry(&b, out, 2);
    assert_int_equal(evict(&b, carried, out), 0);
    applied_is(&b, s->number, 2, 2);
    key_is(&b, 9, 9, 2);
    (void)publish(&b, s->number, 3, 0, 0, 1);
    applied_is(&b, s->number, 3, 5);
    applied_is(&b, s->number, 2, 2); /* Along the trail into the carry record. */
    hf_dedupe_expire(&b.d, 100);
    assert_int_equal(evict(&b, carried, out), 0);
    bench_release(&b);
}

/* "Fills at most `cap` entries of `out` and returns how many there are" */
static void more_than_there_is_room_for_is_counted_and_not_written(void **state)
{
    struct bench b;
    struct hf_carry carry[8], out[8];
    hf_ref ref;

    (void)state;
    bench_init(&b, 100);
    memset(carry, 0, sizeof(carry));
    for (uint64_t i = 0; i < 8; i++)
        carry[i] = (struct hf_carry){.is_key = 1, .key = {i + 1, 1}, .cid = CID, .offset = i + 1};
    ref = put_carry(&b, carry, 8);
    for (uint32_t cap = 0; cap <= 8; cap++) {
        memset(out, 0xee, sizeof(out));
        assert_int_equal(hf_dedupe_evict(&b.d, &b.sessions, hf_log_own(&b.log, ref), ref, out, cap), 8);
        assert_memory_equal(out, carry, cap * sizeof(*out));
        for (uint32_t i = cap; i < 8; i++)
            assert_int_equal(out[i].is_key, UINT64_C(0xeeeeeeeeeeeeeeee));
    }
    bench_release(&b);
}

/* ---- Memory ---- */

/* "Returns 0 or HF_ENOMEM": once there is memory, the same record is learned to the full. */
static void learning_without_memory_can_be_repeated(void **state)
{
    struct bench b;
    struct hf_record *r;
    hf_ref ref;
    unsigned n;

    (void)state;
    bench_init(&b, 10);
    ref = publish(&b, 1, 1, 5, 1, 100);
    r = hf_log_own(&b.log, ref);
    for (n = 1;; n++) {
        int err;

        hf_dedupe_release(&b.d);
        hf_dedupe_init(&b.d, 10);
        fault_arm(n);
        err = hf_dedupe_learn(&b.d, r, ref);
        if (!fault_disarm()) {
            assert_int_equal(err, 0);
            break;
        }
        assert_int_equal(err, HF_ENOMEM);
        key_is(&b, 5, 1, 0);
        assert_int_equal(hf_dedupe_learn(&b.d, r, ref), 0);
        applied_is(&b, 1, 1, 1);
        key_is(&b, 5, 1, 1);
    }
    assert_int_equal(n, 4); /* A table of sessions, a key, a table of keys. */
    bench_release(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_repeat_is_recognised_and_its_offset_told),
        cmocka_unit_test(keys_with_the_same_first_word_are_told_apart),
        cmocka_unit_test(no_more_keys_are_kept_than_the_maximum),
        cmocka_unit_test(the_maximum_may_change),
        cmocka_unit_test(many_old_keys_are_forgotten_in_pieces),
        cmocka_unit_test(old_keys_are_forgotten),
        cmocka_unit_test(of_two_uses_of_a_key_the_later_counts_after_a_rebuild),
        cmocka_unit_test(a_carried_key_keeps_its_age_after_a_rebuild),
        cmocka_unit_test(an_unsettled_publish_is_carried_over),
        cmocka_unit_test(a_publish_of_a_session_that_has_gone_is_dropped),
        cmocka_unit_test(what_was_carried_is_known_and_carried_again),
        cmocka_unit_test(more_than_there_is_room_for_is_counted_and_not_written),
        cmocka_unit_test(learning_without_memory_can_be_repeated),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
