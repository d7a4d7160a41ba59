#include "shm/session_tombs.h"

#include "base/assert.h"
#include "shm/crash.h"

#include <assert.h>
#include <string.h>

enum {
    TOMBS_PER_BUCKET = 8,
    TOMBS_MIN = 1024, /* a power of two, like all their numbers; as many refusals in the ring */
};

static_assert(sizeof(((struct hf_tombstone *)NULL)->secret) == HF_SECRET_BYTES, "whole words");
static_assert(sizeof(struct hf_tombstone) <= 64, "most of them say nothing but a number");

/* ---- Layout ---- */

static uint32_t tombs_per_home(uint32_t share)
{
    uint32_t n = TOMBS_MIN;

    while (n < share && n < 1u << 24)
        n *= 2;
    return n;
}

size_t hf_tombs_bytes(uint32_t share, uint32_t workers)
{
    return (size_t)workers * tombs_per_home(share) *
           (sizeof(struct hf_tombstone) + sizeof(struct hf_tomb_refusal));
}

void hf_tombs_format(struct hf_sessions_shm *shm, uint32_t share)
{
    shm->tombs_per_home = tombs_per_home(share);
}

void hf_tombs_open(struct hf_sessions *t, uint8_t *base)
{
    t->tombs = (struct hf_tombstone *)(void *)base;
    base += (size_t)t->shm->workers * t->shm->tombs_per_home * sizeof(struct hf_tombstone);
    t->tomb_refusals = (struct hf_tomb_refusal *)(void *)base;
}

static struct hf_tombstone *bucket_of(const struct hf_sessions *t, uint64_t number)
{
    uint32_t bucket = (uint32_t)hf_session_nonce(number) * 2654435761u >> 4;

    hf_assert(hf_session_home(number) < t->shm->workers);
    bucket &= t->shm->tombs_per_home / TOMBS_PER_BUCKET - 1;
    return &t->tombs[(size_t)hf_session_home(number) * t->shm->tombs_per_home +
                     (size_t)bucket * TOMBS_PER_BUCKET];
}

/* at: counted on and on, also beyond 2^32. */
static struct hf_tomb_refusal *ring_cell(const struct hf_sessions *t, uint32_t home, uint32_t at)
{
    return &t->tomb_refusals[(size_t)home * t->shm->tombs_per_home + (at & (t->shm->tombs_per_home - 1))];
}

/* ---- Writing ---- */

void hf_tombs_gather(const struct hf_sessions *t, const struct hf_session *s, struct hf_session_past *past)
{
    past->last_seq = hf_session_last_seq(s, true);
    past->refusal_count = 0;
    for (uint32_t i = 0; i < HF_REFUSALS_MAX; i++) {
        struct hf_past_refusal *refusal = &past->refusals[past->refusal_count];

        if (!hf_session_refusal(t, s, i, &refusal->seq, &refusal->code))
            return;
        if (refusal->seq != 0 &&
            refusal->seq <= past->last_seq) /* What is above was never told, and comes again. */
            past->refusal_count++;
    }
}

/* Returns their place. */
static uint32_t bury_refusals(struct hf_sessions *t, uint64_t number, const struct hf_session_past *past)
{
    struct hf_session_home *home = &t->homes[t->home];
    uint32_t at = atomic_load_explicit(&home->refusals_buried, memory_order_relaxed);

    for (uint32_t i = 0; i < past->refusal_count; i++) {
        struct hf_tomb_refusal *cell = ring_cell(t, t->home, at + i);

        atomic_store(&cell->number, 0);
        atomic_store(&cell->refusal, (uint64_t)past->refusals[i].code << 56 | past->refusals[i].seq);
        atomic_store(&cell->number, number);
    }
    HF_CRASH_POINT("tombstone:refusals");
    atomic_store(&home->refusals_buried, at + past->refusal_count);
    return at;
}

/*
 * The tombstone, but for its number, which is 0 meanwhile. Who reads one of these fields as it is now, and not as it was, finds the number gone at the second look: the
 * fence here and that in hf_sessions_tombstone() see to it. Dead in the midst of it: the number is 0, and the place free.
 */
static void fill(struct hf_sessions *t, struct hf_tombstone *tomb, const struct hf_session *s,
                 const struct hf_session_past *past, uint64_t until_ms)
{
    uint64_t secret[HF_SECRET_BYTES / sizeof(uint64_t)];

    atomic_store_explicit(&tomb->number, 0, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
    memcpy(secret, s->secret, HF_SECRET_BYTES);
    for (size_t i = 0; i < sizeof(secret) / sizeof(secret[0]); i++)
        atomic_store_explicit(&tomb->secret[i], secret[i], memory_order_relaxed);
    atomic_store_explicit(&tomb->last_seq, past->last_seq, memory_order_relaxed);
    atomic_store_explicit(&tomb->until_ms, until_ms, memory_order_relaxed);
    atomic_store_explicit(&tomb->refusal_count, past->refusal_count, memory_order_relaxed);
    atomic_store_explicit(&tomb->refusals_at, bury_refusals(t, s->number, past), memory_order_relaxed);
}

void hf_tombs_bury(struct hf_sessions *t, const struct hf_session *s, uint64_t until_ms)
{
    struct hf_tombstone *bucket = bucket_of(t, s->number), *tomb = bucket;
    struct hf_session_past past;

    for (int i = 0; i < TOMBS_PER_BUCKET; i++) { /* A free one, else the one that ends first. */
        uint64_t number = atomic_load(&bucket[i].number);

        if (number == s->number)
            return; /* A predecessor of this process died behind this, and the session may have lost its refusals since. */
        if (number == 0) {
            tomb = &bucket[i];
            break;
        }
        if (atomic_load_explicit(&bucket[i].until_ms, memory_order_relaxed) <
            atomic_load_explicit(&tomb->until_ms, memory_order_relaxed))
            tomb = &bucket[i];
    }
    hf_tombs_gather(t, s, &past);
    fill(t, tomb, s, &past, until_ms);
    HF_CRASH_POINT("tombstone:filled");
    atomic_store_explicit(&tomb->number, s->number, memory_order_release);
}

/* ---- Reading ---- */

bool hf_secret_eq(const uint8_t a[HF_SECRET_BYTES], const uint8_t b[HF_SECRET_BYTES])
{
    volatile uint8_t different = 0;

    for (int i = 0; i < HF_SECRET_BYTES; i++)
        different |= a[i] ^ b[i];
    return different == 0;
}

static bool has_secret(const struct hf_tombstone *tomb, const uint8_t given[HF_SECRET_BYTES])
{
    uint64_t secret[HF_SECRET_BYTES / sizeof(uint64_t)];

    for (size_t i = 0; i < sizeof(secret) / sizeof(secret[0]); i++)
        secret[i] = atomic_load_explicit(&tomb->secret[i], memory_order_relaxed);
    return hf_secret_eq((const uint8_t *)secret, given);
}

static void read_refusals(const struct hf_sessions *t, const struct hf_tombstone *tomb, uint64_t number,
                          struct hf_session_past *past)
{
    uint32_t count = atomic_load_explicit(&tomb->refusal_count, memory_order_relaxed);
    uint32_t at = atomic_load_explicit(&tomb->refusals_at, memory_order_relaxed);

    past->refusal_count = 0;
    for (uint32_t i = 0; i < count && i < HF_REFUSALS_MAX; i++) {
        const struct hf_tomb_refusal *cell = ring_cell(t, hf_session_home(number), at + i);
        bool ours = atomic_load(&cell->number) == number;
        uint64_t refusal = atomic_load(&cell->refusal);

        if (!ours || atomic_load(&cell->number) != number)
            continue; /* Overwritten. */
        past->refusals[past->refusal_count].seq = refusal & ((UINT64_C(1) << 56) - 1);
        past->refusals[past->refusal_count++].code = (uint8_t)(refusal >> 56);
    }
}

int hf_sessions_tombstone(const struct hf_sessions *t, const uint8_t ticket[HF_TICKET_BYTES], uint64_t now_ms,
                          struct hf_session_past *past)
{
    const struct hf_tombstone *bucket;
    uint64_t number;

    memcpy(&number, ticket, 8);
    if (hf_session_nonce(number) == 0 || hf_session_home(number) >= t->shm->workers)
        return HF_ENOTFOUND;
    bucket = bucket_of(t, number);
    for (int i = 0; i < TOMBS_PER_BUCKET; i++) {
        const struct hf_tombstone *tomb = &bucket[i];

        if (atomic_load_explicit(&tomb->number, memory_order_acquire) != number ||
            !has_secret(tomb, ticket + 8))
            continue;
        if (atomic_load_explicit(&tomb->until_ms, memory_order_relaxed) < now_ms)
            return HF_ENOTFOUND;
        past->last_seq = atomic_load_explicit(&tomb->last_seq, memory_order_relaxed);
        read_refusals(t, tomb, number, past);
        /* Its home may have buried another one here meanwhile. */
        atomic_thread_fence(memory_order_acquire);
        return atomic_load_explicit(&tomb->number, memory_order_relaxed) == number ? 0 : HF_ENOTFOUND;
    }
    return HF_ENOTFOUND;
}
