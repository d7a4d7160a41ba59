/*
 * session_table.h - a session table with two workers' views, for the tests of shm/sessions.h and its parts. Included by one file of an executable that links
 * crash_lib, behind cmocka.h.
 */
#ifndef HF_TESTS_SESSION_TABLE_H
#define HF_TESTS_SESSION_TABLE_H

#include "base/rng.h"
#include "shm/sessions.h"

#include "crash_point.h"

enum { WORKERS = 2, HOUR_MS = 3600000 };

static struct hf_rng rng = {12};

static inline struct hf_sessions view_of(struct hf_sessions_shm *shm, uint32_t home)
{
    struct hf_sessions t;

    assert_int_equal(hf_sessions_open(&t, shm, home), 0);
    return t;
}

static inline struct hf_sessions_shm *shm_new(uint32_t sessions_max)
{
    struct hf_sessions_shm *shm = hf_memory_map(hf_sessions_bytes(sessions_max, WORKERS));

    assert_non_null(shm);
    hf_sessions_format(shm, sessions_max, WORKERS);
    return shm;
}

static inline void shm_free(struct hf_sessions_shm *shm)
{
    hf_memory_unmap(shm, hf_sessions_bytes(shm->sessions_max, WORKERS));
}

/* Both workers' views of a table. */
struct table {
    struct hf_sessions_shm *shm;
    struct hf_sessions w[WORKERS];
};

static inline struct table table_of(uint32_t sessions_max)
{
    struct table t = {.shm = shm_new(sessions_max)};

    for (uint32_t home = 0; home < WORKERS; home++)
        t.w[home] = view_of(t.shm, home);
    return t;
}

/* Each phase that a chunk counts is counted at least; `exactly` where nobody died. */
static inline void chunks_count_enough(const struct hf_sessions *t, bool exactly)
{
    for (uint32_t chunk = 0; chunk < t->shm->chunks; chunk++) {
        uint32_t waiting = 0, ended = 0;

        for (uint32_t i = 0; i < HF_SESSIONS_PER_CHUNK; i++) {
            uint64_t state = atomic_load(&t->table[chunk * HF_SESSIONS_PER_CHUNK + i].state);

            waiting += hf_state_phase(state) == HF_SESSION_PARKED;
            ended += hf_state_phase(state) == HF_SESSION_ENDED;
        }
        assert_true(atomic_load(&t->chunks[chunk].waiting) >= waiting);
        assert_true(atomic_load(&t->chunks[chunk].ended) >= ended);
        assert_true(!exactly || (atomic_load(&t->chunks[chunk].waiting) == waiting &&
                                 atomic_load(&t->chunks[chunk].ended) == ended));
    }
}

static inline void table_free(struct table *t)
{
    chunks_count_enough(&t->w[0], crash_note == NULL);
    for (uint32_t home = 0; home < WORKERS; home++)
        hf_sessions_release(&t->w[home]);
    shm_free(t->shm);
}

static inline struct hf_session *add(struct hf_sessions *t)
{
    uint8_t random[20];

    for (unsigned i = 0; i < sizeof(random); i++)
        random[i] = (uint8_t)hf_rng_next(&rng);
    return hf_sessions_add(t, random);
}

static inline uint64_t state_of(const struct hf_session *s)
{
    return atomic_load(&s->state);
}

static inline void is(const struct hf_session *s, enum hf_session_phase phase, uint32_t owner,
                      uint64_t generation)
{
    assert_int_equal(hf_state_phase(state_of(s)), phase);
    assert_int_equal(hf_state_owner(state_of(s)), owner);
    assert_int_equal(hf_state_generation(state_of(s)), generation);
}

static uint64_t gone_number;
static uint32_t gone_count;

static inline void gone(void *ctx, struct hf_session *s)
{
    assert_ptr_equal(ctx, &gone_number);
    gone_number = s->number;
    gone_count++;
}

static inline uint32_t expire_some(struct hf_sessions *t, uint32_t most, uint64_t expired_before_ms,
                                   uint64_t settled_ms, uint64_t tombstone_until_ms)
{
    struct hf_session_expiry when = {expired_before_ms, expired_before_ms, settled_ms, tombstone_until_ms};

    return hf_sessions_expire(t, most, &when, gone, &gone_number);
}

static inline uint32_t expire(struct hf_sessions *t, uint64_t expired_before_ms, uint64_t settled_ms)
{
    return expire_some(t, UINT32_MAX, expired_before_ms, settled_ms, HOUR_MS);
}

/* What the process holds itself, of which it knows the number. */
static inline bool is_held(void *ctx, uint64_t number)
{
    return ctx != NULL && *(uint64_t *)ctx == number;
}

static inline void park_orphans(struct hf_sessions *t, uint64_t now_ms, uint64_t *held)
{
    uint64_t cursor = 0;

    while (hf_sessions_park_orphans(t, &cursor, 64, now_ms, is_held, held))
        ;
}

enum { SUBS = 300 };

static inline struct hf_session_sub *subscribe(struct hf_sessions *t, struct hf_session *s, uint64_t i)
{
    return hf_session_sub_add(
        t, s, (i + 1) | (i % 2 ? HF_SUB_LATEST : 0) | (i % 3 == 0 ? HF_SUB_PRESENCE : 0), i * 3, 1000);
}

struct work {
    struct hf_sessions *t;
    struct hf_session *s;
};

static inline void work_expire(void *ctx)
{
    struct work *w = ctx;

    (void)expire(w->t, UINT64_MAX, UINT64_MAX);
}

struct outcome {
    struct table t;
    struct hf_session *s;
    bool died;
};

/* A session with `subs` subscriptions and refusals, then one piece of work that ends at the n-th place. Worker 0 is then opened anew. */
static inline struct outcome dies(unsigned n, void (*work)(void *ctx), unsigned subs, bool ended)
{
    struct outcome out = {.t = table_of(8)};
    struct work w = {&out.t.w[0], add(&out.t.w[0])};

    out.s = w.s;
    for (uint64_t i = 0; i < subs; i++) {
        assert_non_null(subscribe(w.t, w.s, i));
        assert_int_equal(hf_session_refuse(w.t, w.s, i + 1, 1, 1), 0);
    }
    atomic_store(&w.s->last_seq, 30);
    if (ended)
        assert_true(hf_session_end(w.t, w.s, 1, 5));
    out.died = dies_at(n, work, &w);
    hf_sessions_release(&out.t.w[0]);
    out.t.w[0] = view_of(out.t.shm, 0);
    return out;
}

/* As many as there may be, whatever the dead one had begun. */
static inline void no_place_is_lost(struct outcome *out)
{
    for (uint32_t i = hf_sessions_live(&out->t.w[0]); i < 8; i++)
        assert_non_null(add(&out->t.w[0]));
    assert_null(add(&out->t.w[0]));
}

#endif
