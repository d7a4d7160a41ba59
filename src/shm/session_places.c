#include "shm/session_places.h"

#include "base/assert.h"
#include "shm/crash.h"

#include <stdlib.h>

enum { OWN_FIRST = 4 };

/* ---- Layout ---- */

/* Half as many again, because a chunk with one session left in it is kept whole; and two of each worker that are being filled. */
uint32_t hf_places_chunks(uint32_t sessions_max, uint32_t workers)
{
    uint64_t full = (sessions_max + HF_SESSIONS_PER_CHUNK - 1) / HF_SESSIONS_PER_CHUNK;
    uint64_t count = full + full / 2 + 2 * (uint64_t)workers;

    hf_assert(count * HF_SESSIONS_PER_CHUNK <= UINT64_C(1) << HF_SESSION_PLACE_BITS);
    return (uint32_t)count;
}

static size_t line_up(size_t n)
{
    return (n + 63) & ~(size_t)63;
}

static size_t chunks_at(uint32_t workers)
{
    return sizeof(struct hf_sessions_shm) + (size_t)workers * sizeof(struct hf_session_home);
}

static size_t table_at(uint32_t workers, uint32_t chunks)
{
    return line_up(chunks_at(workers) + (size_t)chunks * sizeof(struct hf_session_chunk));
}

size_t hf_places_bytes(uint32_t workers, uint32_t chunks)
{
    return table_at(workers, chunks) + (size_t)chunks * HF_SESSIONS_PER_CHUNK * sizeof(struct hf_session);
}

/* ---- Chunks ---- */

struct hf_session_chunk *hf_places_chunk_of(const struct hf_sessions *t, const struct hf_session *s)
{
    return &t->chunks[(size_t)(s - t->table) / HF_SESSIONS_PER_CHUNK];
}

static int own_reserve(struct hf_sessions *t)
{
    uint32_t cap = t->own_cap == 0 ? OWN_FIRST : t->own_cap * 2;
    struct hf_session_own *more;

    if (t->own_count < t->own_cap)
        return 0;
    more = realloc(t->own, cap * sizeof(*more));
    if (more == NULL)
        return HF_ENOMEM;
    t->own = more;
    t->own_cap = cap;
    return 0;
}

/* A chunk whose home we are. Room for it is reserved. */
static void own_add(struct hf_sessions *t, uint32_t chunk)
{
    struct hf_session_own *own = &t->own[t->own_count++];

    *own = (struct hf_session_own){.chunk = chunk};
    for (uint32_t i = 0; i < HF_SESSIONS_PER_CHUNK; i++) {
        bool used = i < atomic_load_explicit(&t->chunks[chunk].high, memory_order_relaxed) &&
                    hf_state_phase(atomic_load(&t->table[(size_t)chunk * HF_SESSIONS_PER_CHUNK + i].state)) !=
                        HF_SESSION_FREE;

        own->used += used;
        own->free[i / 64] |= (uint64_t)!used << (i % 64);
    }
    t->free_count += HF_SESSIONS_PER_CHUNK - own->used;
}

static int find_own(struct hf_sessions *t)
{
    uint32_t live = 0;

    for (uint32_t chunk = 0; chunk < t->shm->chunks; chunk++) {
        if (atomic_load(&t->chunks[chunk].home) != t->home + 1)
            continue;
        if (own_reserve(t) < 0)
            return HF_ENOMEM;
        own_add(t, chunk);
        live += t->own[t->own_count - 1].used;
    }
    atomic_store(&t->homes[t->home].live, live);
    return 0;
}

int hf_places_open(struct hf_sessions *t)
{
    struct hf_sessions_shm *shm = t->shm;
    uint8_t *base = (uint8_t *)shm;

    t->homes = (struct hf_session_home *)(void *)shm->body;
    t->chunks = (struct hf_session_chunk *)(void *)(base + chunks_at(shm->workers));
    t->table = (struct hf_session *)(void *)(base + table_at(shm->workers, shm->chunks));
    t->chunk_at = t->home;
    return find_own(t);
}

void hf_places_release(struct hf_sessions *t)
{
    free(t->own);
    t->own = NULL;
    t->own_count = t->own_cap = t->free_count = t->room_at = 0;
}

/* Become the home of a chunk that is nobody's. Who dies right after it leaves the chunk to his successor, empty. */
static bool chunk_take(struct hf_sessions *t)
{
    if (own_reserve(t) < 0)
        return false;
    for (uint32_t i = 0; i < t->shm->chunks; i++) {
        uint32_t chunk = (t->chunk_at + i) % t->shm->chunks, nobody = 0;

        if (atomic_load_explicit(&t->chunks[chunk].home, memory_order_relaxed) != 0 ||
            !atomic_compare_exchange_strong(&t->chunks[chunk].home, &nobody, t->home + 1))
            continue;
        HF_CRASH_POINT("chunk:taken");
        t->chunk_at = chunk + 1;
        t->room_at = t->own_count;
        own_add(t, chunk);
        return true;
    }
    return false;
}

bool hf_places_release_chunk(struct hf_sessions *t, struct hf_session_own *own)
{
    uint32_t chunk = own->chunk;

    if (own->used > 0 || t->free_count < 2 * HF_SESSIONS_PER_CHUNK)
        return false;
    t->free_count -= HF_SESSIONS_PER_CHUNK;
    *own = t->own[--t->own_count];
    t->room_at = 0;
    HF_CRASH_POINT("chunk:empty");
    atomic_store(&t->chunks[chunk].home, 0);
    return true;
}

/* ---- Places ---- */

struct hf_session *hf_places_take(struct hf_sessions *t)
{
    struct hf_session_own *own;
    struct hf_session_chunk *chunk;
    uint32_t place, word = 0;

    if (t->free_count == 0 && !chunk_take(t))
        return NULL;
    while (t->own[t->room_at].used == HF_SESSIONS_PER_CHUNK)
        t->room_at++;
    own = &t->own[t->room_at];
    while (own->free[word] == 0)
        word++;
    place = word * 64 + (uint32_t)__builtin_ctzll(own->free[word]);
    own->free[word] &= own->free[word] - 1;
    own->used++;
    t->free_count--;
    chunk = &t->chunks[own->chunk];
    if (place >= atomic_load_explicit(&chunk->high, memory_order_relaxed))
        atomic_store_explicit(&chunk->high, place + 1, memory_order_release);
    return &t->table[(size_t)own->chunk * HF_SESSIONS_PER_CHUNK + place];
}

void hf_places_give(struct hf_sessions *t, struct hf_session_own *own, const struct hf_session *s)
{
    uint32_t place = (uint32_t)((size_t)(s - t->table) % HF_SESSIONS_PER_CHUNK);

    own->free[place / 64] |= UINT64_C(1) << (place % 64);
    own->used--;
    t->free_count++;
    if (own - t->own < t->room_at)
        t->room_at = (uint32_t)(own - t->own);
}

/* ---- Walks ---- */

uint64_t hf_places_skip(const struct hf_sessions *t, uint64_t cursor, bool idle_only)
{
    uint64_t end = hf_places_end(t);

    while (cursor < end) {
        struct hf_session_chunk *chunk = &t->chunks[cursor / HF_SESSIONS_PER_CHUNK];
        bool idle = atomic_load(&chunk->waiting) > 0 || atomic_load(&chunk->ended) > 0;

        if (atomic_load(&chunk->home) != 0 && (idle || !idle_only) &&
            cursor % HF_SESSIONS_PER_CHUNK < atomic_load_explicit(&chunk->high, memory_order_acquire))
            return cursor;
        cursor = (cursor / HF_SESSIONS_PER_CHUNK + 1) * HF_SESSIONS_PER_CHUNK;
    }
    return end;
}

static struct hf_session *walk(const struct hf_sessions *t, uint64_t *cursor, bool idle_only)
{
    uint64_t end = hf_places_end(t);

    for (;;) {
        struct hf_session *s;

        if (*cursor % HF_PLACES_STEP == 0)
            *cursor = hf_places_skip(t, *cursor, idle_only);
        if (*cursor >= end)
            return NULL;
        s = &t->table[(*cursor)++];
        if (hf_state_phase(atomic_load(&s->state)) != HF_SESSION_FREE)
            return s;
    }
}

struct hf_session *hf_sessions_next(const struct hf_sessions *t, uint64_t *cursor)
{
    return walk(t, cursor, false);
}

struct hf_session *hf_sessions_next_idle(const struct hf_sessions *t, uint64_t *cursor)
{
    return walk(t, cursor, true);
}

uint32_t hf_sessions_live(const struct hf_sessions *t)
{
    uint32_t live = 0;

    for (uint32_t home = 0; home < t->shm->workers; home++)
        live += atomic_load_explicit(&t->homes[home].live, memory_order_relaxed);
    return live;
}
