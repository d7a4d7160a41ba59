#include "shm/channels.h"

#include "base/assert.h"
#include "shm/crash.h"

#include <stdlib.h>
#include <string.h>

enum { INCARNATION_MAX = (1 << 21) - 1, FREE_STACK_FIRST = 64 };

/* ---- The number as clients see it ---- */

/* Pieces of a cid, lowest bits of the wire's number first. Each row is a byte of its varint. */
struct piece {
    uint8_t at, bits;
};
enum { PLACE_AT = 0, SHARD_AT = 24, INCARNATION_AT = 32 };
static const struct piece pieces[] = {
    {SHARD_AT, 4},
    {INCARNATION_AT, 2},
    {PLACE_AT, 1}, /* 7 */
    {PLACE_AT + 1, 4},
    {SHARD_AT + 4, 3}, /* 14 */
    {PLACE_AT + 5, 5},
    {SHARD_AT + 7, 1},
    {INCARNATION_AT + 2, 1}, /* 21 */
    {PLACE_AT + 10, 6},
    {INCARNATION_AT + 3, 1}, /* 28 */
    {PLACE_AT + 16, 5},
    {INCARNATION_AT + 4, 2}, /* 35 */
    {PLACE_AT + 21, 3},
    {INCARNATION_AT + 6, 4}, /* 42 */
    {INCARNATION_AT + 10, 7},
    {INCARNATION_AT + 17, 4}, /* 53 */
};

uint64_t hf_cid_to_wire(hf_cid cid)
{
    uint64_t number = 0;
    unsigned at = 0;

    for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
        number |= (cid >> pieces[i].at & ((UINT64_C(1) << pieces[i].bits) - 1)) << at;
        at += pieces[i].bits;
    }
    return number;
}

hf_cid hf_cid_of_wire(uint64_t number)
{
    hf_cid cid = 0;

    for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
        cid |= (number & ((UINT64_C(1) << pieces[i].bits) - 1)) << pieces[i].at;
        number >>= pieces[i].bits;
    }
    return cid;
}

/* ---- The table ---- */

static uint32_t bucket_count(uint32_t capacity)
{
    uint32_t buckets = 16;

    while (buckets < capacity && buckets < 1u << 24)
        buckets *= 2;
    return buckets;
}

static size_t table_at(uint32_t buckets)
{
    return sizeof(struct hf_channels_shm) + ((buckets * sizeof(uint32_t) + 63) & ~(size_t)63);
}

size_t hf_channels_bytes(uint32_t capacity)
{
    return table_at(bucket_count(capacity)) + (size_t)capacity * sizeof(struct hf_channel);
}

/* The memory is zero already (a fresh mapping), and stays untouched, so that an empty table costs nothing. */
void hf_channels_format(struct hf_channels_shm *shm, uint32_t shard, uint32_t capacity)
{
    hf_assert(shard < 256 && capacity >= 1 && capacity < 1u << 24);
    shm->shard = shard;
    shm->capacity = capacity;
    shm->buckets = bucket_count(capacity);
}

void hf_channels_open(struct hf_channels *t, struct hf_channels_shm *shm)
{
    *t = (struct hf_channels){.shm = shm};
    t->bucket = (_Atomic uint32_t *)(void *)((uint8_t *)shm + sizeof(*shm));
    t->table = (struct hf_channel *)(void *)((uint8_t *)shm + table_at(shm->buckets));
}

void hf_channels_release(struct hf_channels *t)
{
    free(t->free_places);
    t->free_places = NULL;
    t->free_count = t->free_cap = 0;
}

/*
 * FNV-1a with a final mix (Fowler, Noll, Vo; finaliser of SplitMix64). Not keyed: who may create channels at will is bounded by
 * limits.channels, and a bucket's chain costs only those who use its names.
 */
uint64_t hf_channel_hash(struct hf_str name)
{
    uint64_t h = 0xcbf29ce484222325u;

    for (size_t i = 0; i < name.len; i++)
        h = (h ^ (uint8_t)name.data[i]) * 0x100000001b3u;
    h = (h ^ (h >> 30)) * 0xbf58476d1ce4e5b9u;
    h = (h ^ (h >> 27)) * 0x94d049bb133111ebu;
    return h ^ (h >> 31);
}

uint32_t hf_channel_shard(uint64_t hash, uint32_t shards)
{
    return (uint32_t)((hash >> 32) % shards);
}

static _Atomic uint32_t *bucket_of(const struct hf_channels *t, uint64_t hash)
{
    return &t->bucket[(uint32_t)hash & (t->shm->buckets - 1)];
}

struct hf_str hf_channel_name(const struct hf_channel *c)
{
    return (struct hf_str){c->name, c->name_len};
}

struct hf_channel *hf_channels_find(const struct hf_channels *t, struct hf_str name, uint64_t hash)
{
    uint32_t link = atomic_load_explicit(bucket_of(t, hash), memory_order_acquire);

    /* A chain that the owner changes under our feet may lead astray, but never further than the table is long. */
    for (uint32_t steps = 0; link != 0 && steps < t->shm->capacity; steps++) {
        struct hf_channel *c = &t->table[link - 1];

        if (atomic_load_explicit(&c->cid, memory_order_acquire) != 0 && hf_str_eq(hf_channel_name(c), name))
            return c;
        link = atomic_load_explicit(&c->next, memory_order_acquire);
    }
    return NULL;
}

struct hf_channel *hf_channels_get(const struct hf_channels *t, hf_cid cid)
{
    struct hf_channel *c;

    if (cid == 0 || hf_cid_place(cid) >= t->shm->capacity)
        return NULL;
    c = &t->table[hf_cid_place(cid)];
    return atomic_load_explicit(&c->cid, memory_order_acquire) == cid ? c : NULL;
}

hf_cid hf_channel_last_cid(const struct hf_channels *t, const struct hf_channel *c)
{
    return (uint64_t)atomic_load_explicit(&c->incarnation, memory_order_relaxed) << 32 |
           (uint64_t)t->shm->shard << 24 | (uint64_t)(c - t->table);
}

/* ---- The owner ---- */

static int push_free(struct hf_channels *t, uint32_t place)
{
    if (t->free_count == t->free_cap) {
        uint32_t cap = t->free_cap == 0 ? FREE_STACK_FIRST : t->free_cap * 2;
        uint32_t *more = realloc(t->free_places, cap * sizeof(*more));

        if (more == NULL)
            return HF_ENOMEM;
        t->free_places = more;
        t->free_cap = cap;
    }
    t->free_places[t->free_count++] = place;
    return 0;
}

static void link_into_bucket(struct hf_channels *t, struct hf_channel *c, uint64_t hash)
{
    _Atomic uint32_t *bucket = bucket_of(t, hash);

    atomic_store_explicit(&c->next, atomic_load_explicit(bucket, memory_order_relaxed), memory_order_relaxed);
    HF_CRASH_POINT("channels:unlinked");
    atomic_store_explicit(bucket, (uint32_t)(c - t->table) + 1, memory_order_release);
}

int hf_channels_add(struct hf_channels *t, struct hf_str name, uint64_t hash, uint64_t mono_ms,
                    struct hf_channel **out)
{
    uint32_t high = atomic_load_explicit(&t->shm->high, memory_order_relaxed);
    uint32_t place;
    struct hf_channel *c;

    hf_assert(name.len >= 1 && name.len <= HF_CHANNEL_NAME_MAX);
    if (t->free_count > 0) {
        place = t->free_places[--t->free_count];
    } else if (high < t->shm->capacity) {
        place = high;
        atomic_store_explicit(&t->shm->high, high + 1, memory_order_relaxed);
    } else {
        return HF_ELIMIT;
    }
    c = &t->table[place];
    atomic_store_explicit(&c->incarnation, atomic_load_explicit(&c->incarnation, memory_order_relaxed) + 1,
                          memory_order_relaxed);
    hf_assert(atomic_load_explicit(&c->incarnation, memory_order_relaxed) <= INCARNATION_MAX);
    c->name_len = (uint16_t)name.len;
    memcpy(c->name, name.data, name.len);
    atomic_store_explicit(&c->head, 0, memory_order_relaxed);
    atomic_store_explicit(&c->newest, 0, memory_order_relaxed);
    atomic_store_explicit(&c->used_ms, mono_ms, memory_order_relaxed);
    atomic_store_explicit(&c->left_ms, mono_ms, memory_order_relaxed);
    atomic_store_explicit(&c->followed, 0, memory_order_relaxed);
    for (int word = 0; word < HF_WORKER_WORDS; word++)
        atomic_store_explicit(&c->notified[word], 0, memory_order_relaxed);
    HF_CRASH_POINT("channels:filled");
    atomic_store(&c->cid, hf_channel_last_cid(t, c));
    link_into_bucket(t, c, hash);
    atomic_fetch_add_explicit(&t->shm->live, 1, memory_order_relaxed);
    *out = c;
    return 0;
}

static bool anyone_interested(const struct hf_channel *c)
{
    for (int word = 0; word < HF_WORKER_WORDS; word++)
        if (atomic_load(&c->interest[word]) != 0)
            return true;
    return false;
}

static void unlink_from_bucket(struct hf_channels *t, struct hf_channel *c)
{
    _Atomic uint32_t *link = bucket_of(t, hf_channel_hash(hf_channel_name(c)));
    uint32_t mine = (uint32_t)(c - t->table) + 1;

    while (atomic_load_explicit(link, memory_order_relaxed) != 0) {
        uint32_t here = atomic_load_explicit(link, memory_order_relaxed);

        if (here == mine) {
            atomic_store_explicit(link, atomic_load_explicit(&c->next, memory_order_relaxed),
                                  memory_order_release);
            return;
        }
        link = &t->table[here - 1].next;
    }
}

bool hf_channels_remove(struct hf_channels *t, struct hf_channel *c)
{
    uint64_t cid = atomic_load_explicit(&c->cid, memory_order_relaxed);

    if (anyone_interested(c) ||
        atomic_load_explicit(&c->incarnation, memory_order_relaxed) >= INCARNATION_MAX)
        return false;
    atomic_store(&c->cid, 0);
    HF_CRASH_POINT("channels:taken");
    if (anyone_interested(c)) { /* Somebody came between: the channel stays. */
        atomic_store(&c->cid, cid);
        return false;
    }
    unlink_from_bucket(t, c);
    HF_CRASH_POINT("channels:removed");
    atomic_fetch_sub_explicit(&t->shm->live, 1, memory_order_relaxed);
    return push_free(t, hf_cid_place(cid)) == 0 ||
           true; /* A place that cannot be noted is found at the next recovery. */
}

int hf_channels_recover(struct hf_channels *t)
{
    uint32_t high = atomic_load_explicit(&t->shm->high, memory_order_relaxed), live = 0;
    int err;

    t->free_count = 0;
    for (uint32_t place = 0; place < high; place++) {
        struct hf_channel *c = &t->table[place];

        if (atomic_load_explicit(&c->cid, memory_order_relaxed) != 0) {
            uint64_t hash = hf_channel_hash(hf_channel_name(c));

            live++;
            if (hf_channels_find(t, hf_channel_name(c), hash) != c)
                link_into_bucket(t, c, hash);
            continue;
        }
        unlink_from_bucket(t, c); /* The predecessor may have died between taking it away and this. */
        err = push_free(t, place);
        if (err < 0)
            return err;
    }
    atomic_store_explicit(&t->shm->live, live, memory_order_relaxed);
    return 0;
}

void hf_channel_advance(struct hf_channel *c, struct hf_record *before, const struct hf_record *r, hf_ref ref,
                        uint64_t mono_ms)
{
    if (before != NULL)
        atomic_store_explicit(&before->next, ref, memory_order_release);
    HF_CRASH_POINT("channel:linked");
    atomic_store_explicit(&c->newest, ref, memory_order_release);
    atomic_store_explicit(&c->used_ms, mono_ms, memory_order_relaxed);
    HF_CRASH_POINT("channel:newest");
    atomic_store(&c->head,
                 r->offset); /* Sequentially consistent against the interest bits: see hf_channel_want(). */
    HF_CRASH_POINT("channel:advanced");
}

/* ---- Interest ---- */

static uint64_t bit_of(uint32_t worker)
{
    return UINT64_C(1) << (worker % 64);
}

bool hf_channel_want(struct hf_channel *c, hf_cid cid, uint32_t worker)
{
    atomic_fetch_or(&c->interest[worker / 64], bit_of(worker));
    if (atomic_load(&c->cid) == cid)
        return true;
    atomic_fetch_and(&c->interest[worker / 64], ~bit_of(worker));
    return false;
}

void hf_channel_unwant(struct hf_channel *c, uint32_t worker, uint64_t mono_ms)
{
    atomic_store(&c->left_ms, mono_ms);
    atomic_fetch_and(&c->interest[worker / 64], ~bit_of(worker));
}

bool hf_channel_wanted(const struct hf_channel *c, uint32_t worker)
{
    return (atomic_load(&c->interest[worker / 64]) & bit_of(worker)) != 0;
}

bool hf_channel_untold(const struct hf_channel *c, uint32_t worker)
{
    return (atomic_load(&c->notified[worker / 64]) & bit_of(worker)) == 0;
}

void hf_channel_set_told(struct hf_channel *c, uint32_t worker)
{
    atomic_fetch_or(&c->notified[worker / 64], bit_of(worker));
}

void hf_channel_clear_all_told(struct hf_channel *c)
{
    for (int word = 0; word < HF_WORKER_WORDS; word++)
        atomic_store(&c->notified[word], 0);
}

void hf_channel_clear_told(struct hf_channel *c, uint32_t worker)
{
    atomic_fetch_and(&c->notified[worker / 64], ~bit_of(worker));
}
