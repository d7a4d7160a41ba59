#include "shm/session_tombs.h"

#include "base/assert.h"
#include "shm/crash.h"

#include <assert.h>
#include <string.h>

enum {
    TOMBS_PER_BUCKET = 8,
    TOMBS_MIN = 1024, /* a power of two, like all their numbers; as many refusals in the ring */
};

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
        if (bucket[i].until_ms < tomb->until_ms)
            tomb = &bucket[i];
    }
    hf_tombs_gather(t, s, &past);
    atomic_store(&tomb->number, 0);
    memcpy(tomb->secret, s->secret, HF_SECRET_BYTES);
    tomb->last_seq = past.last_seq;
    tomb->until_ms = until_ms;
    tomb->refusal_count = past.refusal_count;
    tomb->refusals_at = bury_refusals(t, s->number, &past);
    HF_CRASH_POINT("tombstone:filled");
    atomic_store(&tomb->number, s->number);
}

/* ---- Reading ---- */

bool hf_secret_eq(const uint8_t a[HF_SECRET_BYTES], const uint8_t b[HF_SECRET_BYTES])
{
    volatile uint8_t different = 0;

    for (int i = 0; i < HF_SECRET_BYTES; i++)
        different |= a[i] ^ b[i];
    return different == 0;
}

static void read_refusals(const struct hf_sessions *t, const struct hf_tombstone *tomb, uint64_t number,
                          struct hf_session_past *past)
{
    past->refusal_count = 0;
    for (uint32_t i = 0; i < tomb->refusal_count && i < HF_REFUSALS_MAX; i++) {
        const struct hf_tomb_refusal *cell = ring_cell(t, hf_session_home(number), tomb->refusals_at + i);
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
    struct hf_tombstone *bucket;
    uint64_t number;

    memcpy(&number, ticket, 8);
    if (hf_session_nonce(number) == 0 || hf_session_home(number) >= t->shm->workers)
        return HF_ENOTFOUND;
    bucket = bucket_of(t, number);
    for (int i = 0; i < TOMBS_PER_BUCKET; i++) {
        if (atomic_load(&bucket[i].number) != number || !hf_secret_eq(bucket[i].secret, ticket + 8))
            continue;
        if (bucket[i].until_ms < now_ms)
            return HF_ENOTFOUND;
        past->last_seq = bucket[i].last_seq;
        read_refusals(t, &bucket[i], number, past);
        /* Its home may have buried another one here meanwhile. */
        return atomic_load(&bucket[i].number) == number ? 0 : HF_ENOTFOUND;
    }
    return HF_ENOTFOUND;
}
