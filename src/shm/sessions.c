#include "shm/sessions.h"

#include "base/assert.h"
#include "shm/crash.h"
#include "shm/session_blocks.h"
#include "shm/session_places.h"
#include "shm/session_tombs.h"

#include <string.h>

/* ---- Layout ---- */

static uint32_t share_of(uint32_t sessions_max, uint32_t workers)
{
    return (sessions_max + workers - 1) / workers;
}

size_t hf_sessions_bytes(uint32_t sessions_max, uint32_t workers)
{
    uint32_t share = share_of(sessions_max, workers);

    return hf_places_bytes(workers, hf_places_chunks(sessions_max, workers)) +
           (size_t)workers * hf_blocks_per_home(share) * sizeof(struct hf_session_block) +
           hf_tombs_bytes(share, workers);
}

/* The memory is zero already and stays untouched: a place costs memory only once it is used. */
void hf_sessions_format(struct hf_sessions_shm *shm, uint32_t sessions_max, uint32_t workers)
{
    hf_assert(workers <= 1u << HF_SESSION_HOME_BITS);
    shm->workers = workers;
    shm->sessions_max = sessions_max;
    shm->chunks = hf_places_chunks(sessions_max, workers);
    shm->blocks_per_home = hf_blocks_per_home(share_of(sessions_max, workers));
    hf_tombs_format(shm, share_of(sessions_max, workers));
}

int hf_sessions_open(struct hf_sessions *t, struct hf_sessions_shm *shm, uint32_t home)
{
    uint8_t *base = (uint8_t *)shm + hf_places_bytes(shm->workers, shm->chunks);

    *t = (struct hf_sessions){.shm = shm, .home = home};
    t->blocks = (struct hf_session_block *)(void *)base;
    base += (size_t)shm->workers * shm->blocks_per_home * sizeof(struct hf_session_block);
    hf_tombs_open(t, base);
    if (hf_places_open(t) < 0) {
        hf_sessions_release(t);
        return HF_ENOMEM;
    }
    return 0;
}

void hf_sessions_release(struct hf_sessions *t)
{
    hf_places_release(t);
    hf_blocks_release(t);
}

/* ---- State ---- */

static uint64_t state_make(const struct hf_sessions *t, enum hf_session_phase phase, uint64_t generation)
{
    uint64_t owner = (uint64_t)(t->life & 0xf) << HF_SESSION_HOME_BITS | t->home;

    return (uint64_t)phase << 60 | owner << 48 | generation;
}

/* The same owner and generation in another phase. */
static uint64_t state_in(uint64_t state, enum hf_session_phase phase)
{
    return (uint64_t)phase << 60 | (state & ((UINT64_C(1) << 60) - 1));
}

static bool state_move(struct hf_session *s, uint64_t from, uint64_t to)
{
    return atomic_compare_exchange_strong(&s->state, &from, to);
}

/* Move into a phase that its chunk counts: first the count, then the phase. */
static bool state_move_counted(struct hf_session *s, uint64_t from, uint64_t to, _Atomic uint32_t *count)
{
    atomic_fetch_add(count, 1);
    HF_CRASH_POINT("session:counted");
    if (state_move(s, from, to))
        return true;
    atomic_fetch_sub(count, 1);
    return false;
}

uint64_t hf_session_take(struct hf_sessions *t, struct hf_session *s, uint64_t seen)
{
    uint64_t generation = hf_state_generation(seen) + 1;

    if (hf_state_phase(seen) != HF_SESSION_LIVE && hf_state_phase(seen) != HF_SESSION_PARKED)
        return 0; /* Ended since the caller looked: its home may be freeing it. */
    if (!state_move(s, seen, state_make(t, HF_SESSION_LIVE, generation)))
        return 0;
    HF_CRASH_POINT("session:taken");
    if (hf_state_phase(seen) == HF_SESSION_PARKED)
        atomic_fetch_sub(&hf_places_chunk_of(t, s)->waiting, 1);
    return generation;
}

bool hf_session_park(struct hf_sessions *t, struct hf_session *s, uint64_t generation, uint64_t now_ms)
{
    return hf_session_park_orphan(t, s, state_make(t, HF_SESSION_LIVE, generation), now_ms);
}

bool hf_session_put_back(struct hf_sessions *t, struct hf_session *s, uint64_t generation, uint64_t parked_ms)
{
    if (!hf_session_park(t, s, generation, parked_ms))
        return false;
    HF_CRASH_POINT("session:back");
    atomic_fetch_add(&hf_places_chunk_of(t, s)->put_back, 1);
    return true;
}

bool hf_session_park_orphan(struct hf_sessions *t, struct hf_session *s, uint64_t seen, uint64_t now_ms)
{
    if (atomic_load(&s->state) != seen || hf_state_phase(seen) != HF_SESSION_LIVE)
        return false;
    atomic_store(&s->parked_ms, now_ms);
    HF_CRASH_POINT("session:parking");
    return state_move_counted(s, seen, state_in(seen, HF_SESSION_PARKED), &hf_places_chunk_of(t, s)->waiting);
}

bool hf_session_end(struct hf_sessions *t, struct hf_session *s, uint64_t generation, uint64_t now_ms)
{
    uint64_t ours = state_make(t, HF_SESSION_LIVE, generation);

    if (atomic_load(&s->state) != ours)
        return false;
    atomic_store(&s->parked_ms, now_ms);
    return state_move_counted(s, ours, state_in(ours, HF_SESSION_ENDED), &hf_places_chunk_of(t, s)->ended);
}

bool hf_session_end_parked(const struct hf_sessions *t, struct hf_session *s, uint64_t seen)
{
    if (hf_state_phase(seen) != HF_SESSION_PARKED)
        return hf_state_phase(seen) == HF_SESSION_ENDED;
    if (!state_move_counted(s, seen, state_in(seen, HF_SESSION_ENDED), &hf_places_chunk_of(t, s)->ended))
        return false;
    HF_CRASH_POINT("session:ended");
    atomic_fetch_sub(&hf_places_chunk_of(t, s)->waiting, 1);
    return true;
}

/* ---- Making and finding ---- */

/*
 * Whether one more is within the bound. To count them is to read a cache line of each worker, so it is done once for several sessions as long as
 * there is room for all workers to do so, and each time when there is not.
 */
static bool within_bound(struct hf_sessions *t)
{
    uint32_t live, left;

    if (t->grace > 0) {
        t->grace--;
        return true;
    }
    live = hf_sessions_live(t);
    if (live >= t->shm->sessions_max)
        return false;
    left = (t->shm->sessions_max - live) / (2 * t->shm->workers);
    t->grace = left < HF_SESSIONS_GRACE ? left : HF_SESSIONS_GRACE;
    return true;
}

/* A number that this place has not had for as long as anybody remembers; never 0, never negative as a signed number. */
static uint64_t new_number(const struct hf_sessions *t, const struct hf_session *s, const uint8_t random[4])
{
    uint32_t nonce;

    memcpy(&nonce, random, sizeof(nonce));
    nonce = nonce >> 2 == 0 ? 1 : nonce >> 2;
    return (uint64_t)nonce << (HF_SESSION_HOME_BITS + HF_SESSION_PLACE_BITS) |
           (uint64_t)t->home << HF_SESSION_PLACE_BITS | (uint64_t)(s - t->table);
}

struct hf_session *hf_sessions_add(struct hf_sessions *t, const uint8_t random[20])
{
    struct hf_session *s;

    s = within_bound(t) ? hf_places_take(t) : NULL;
    if (s == NULL)
        return NULL;
    s->number = new_number(t, s, random + HF_SECRET_BYTES);
    memcpy(s->secret, random, HF_SECRET_BYTES);
    atomic_store_explicit(&s->last_seq, 0, memory_order_relaxed);
    atomic_store_explicit(&s->applied_seq, 0, memory_order_relaxed);
    atomic_store_explicit(&s->attempt, 0, memory_order_relaxed);
    atomic_store_explicit(&s->blocks, 0, memory_order_relaxed);
    atomic_store_explicit(&s->refusals, 0, memory_order_relaxed);
    atomic_store_explicit(&s->refused, 0, memory_order_relaxed);
    atomic_store_explicit(&s->taken, 0, memory_order_relaxed);
    atomic_store_explicit(&s->identity, 0, memory_order_relaxed);
    for (int i = 0; i < HF_SUBS_INLINE; i++)
        atomic_store_explicit(&s->subs[i].cid, 0, memory_order_relaxed);
    HF_CRASH_POINT("session:filled");
    atomic_store(&s->state, state_make(t, HF_SESSION_LIVE, 1));
    atomic_fetch_add_explicit(&t->homes[t->home].live, 1, memory_order_relaxed);
    return s;
}

struct hf_session *hf_sessions_get(const struct hf_sessions *t, uint64_t number)
{
    uint32_t place = hf_session_place(number);
    struct hf_session *s;

    if (hf_session_nonce(number) == 0 || place >= t->shm->chunks * HF_SESSIONS_PER_CHUNK)
        return NULL;
    s = &t->table[place];
    if (hf_state_phase(atomic_load(&s->state)) == HF_SESSION_FREE || s->number != number)
        return NULL;
    return s;
}

void hf_session_ticket(const struct hf_session *s, uint8_t out[HF_TICKET_BYTES])
{
    memcpy(out, &s->number, 8);
    memcpy(out + 8, s->secret, HF_SECRET_BYTES);
}

struct hf_session *hf_sessions_by_ticket(const struct hf_sessions *t, const uint8_t ticket[HF_TICKET_BYTES])
{
    uint64_t number;
    struct hf_session *s;

    memcpy(&number, ticket, 8);
    s = hf_sessions_get(t, number);
    return s != NULL && hf_secret_eq(s->secret, ticket + 8) ? s : NULL;
}

/*
 * A chain of refusals loses its head before its first block is given back (hf_blocks_free_chain()): where that has not happened, all that was read is
 * the session's.
 */
bool hf_session_ended_past(const struct hf_sessions *t, const struct hf_session *s, uint64_t number,
                           struct hf_session_past *past)
{
    uint64_t state = atomic_load(&s->state);
    uint32_t refusals = atomic_load(&s->refusals);

    if (hf_state_phase(state) != HF_SESSION_ENDED)
        return false;
    hf_tombs_gather(t, s, past);
    return atomic_load(&s->refusals) == refusals && atomic_load(&s->state) == state && s->number == number;
}

/* ---- Sequence ---- */

uint64_t hf_session_last_seq(const struct hf_session *s, bool settled)
{
    uint64_t last = atomic_load(&s->last_seq), applied = atomic_load(&s->applied_seq);

    return settled && applied > last ? applied : last;
}

void hf_session_take_seq(struct hf_session *s, uint64_t seq)
{
    if (seq > hf_session_taken_seq(s))
        atomic_store(&s->taken, (uint32_t)seq);
}

uint64_t hf_session_taken_seq(const struct hf_session *s)
{
    uint64_t last = atomic_load(&s->last_seq);
    uint32_t above = atomic_load(&s->taken) - (uint32_t)last;

    return above > UINT32_MAX / 2 ? last
                                  : last + above; /* Below it, where applied_seq has raised last_seq. */
}

void hf_session_applied(struct hf_session *s, uint64_t seq)
{
    uint64_t applied = atomic_load_explicit(&s->applied_seq, memory_order_relaxed);

    while (applied < seq && !atomic_compare_exchange_weak(&s->applied_seq, &applied, seq))
        ;
}

/* ---- The end ---- */

bool hf_sessions_park_orphans(struct hf_sessions *t, uint64_t *cursor, uint32_t most, uint64_t now_ms,
                              bool (*held)(void *ctx, uint64_t number), void *ctx)
{
    uint64_t end = hf_places_end(t);

    for (uint32_t i = 0; i < most; i += HF_PLACES_STEP) {
        *cursor = hf_places_skip(t, *cursor, false);
        if (*cursor >= end)
            return false;
        do {
            struct hf_session *s = &t->table[(*cursor)++];
            uint64_t state = atomic_load(&s->state);

            if (hf_state_phase(state) == HF_SESSION_LIVE && hf_state_owner(state) == t->home &&
                !held(ctx, s->number))
                (void)hf_session_park_orphan(t, s, state, now_ms);
        } while (*cursor % HF_PLACES_STEP != 0);
    }
    return true;
}

static void free_session(struct hf_sessions *t, struct hf_session_own *own, struct hf_session *s)
{
    hf_blocks_free_chain(t, &s->blocks);
    hf_blocks_free_chain(t, &s->refusals);
    hf_blocks_free_chain(t, &s->identity);
    HF_CRASH_POINT("session:emptied");
    atomic_store(&s->state, state_make(t, HF_SESSION_FREE, 0));
    HF_CRASH_POINT("session:freed");
    atomic_fetch_sub(&t->chunks[own->chunk].ended, 1);
    atomic_fetch_sub_explicit(&t->homes[t->home].live, 1, memory_order_relaxed);
    hf_places_give(t, own, s);
}

/* Whether the session's end has come, and all that it published is known. */
static bool has_ended(const struct hf_sessions *t, struct hf_session *s, const struct hf_session_expiry *when)
{
    uint64_t state = atomic_load(&s->state), parked_ms = atomic_load(&s->parked_ms);

    if (parked_ms >= when->settled_ms)
        return false;
    if (hf_state_phase(state) == HF_SESSION_PARKED && parked_ms < when->expired_before_ms)
        return hf_session_end_parked(t, s, state);
    return hf_state_phase(state) == HF_SESSION_ENDED;
}

static uint32_t expire_chunk(struct hf_sessions *t, struct hf_session_own *own,
                             const struct hf_session_expiry *when,
                             void (*gone)(void *ctx, struct hf_session *s), void *ctx)
{
    uint32_t high = atomic_load_explicit(&t->chunks[own->chunk].high, memory_order_relaxed), went = 0;
    uint32_t put_back = atomic_load(&t->chunks[own->chunk].put_back);
    uint64_t oldest_ms = when->now_ms; /* What is parked from now on is not older. */

    for (uint32_t place = 0; place < high; place++) {
        struct hf_session *s = &t->table[(size_t)own->chunk * HF_SESSIONS_PER_CHUNK + place];

        if (has_ended(t, s, when)) {
            gone(ctx, s);
            hf_tombs_bury(t, s, when->tombstone_until_ms);
            free_session(t, own, s);
            went++;
        } else if (hf_state_phase(atomic_load(&s->state)) == HF_SESSION_PARKED &&
                   atomic_load(&s->parked_ms) < oldest_ms) {
            oldest_ms = atomic_load(&s->parked_ms);
        }
    }
    own->oldest_ms = oldest_ms;
    own->put_back = put_back;
    return went;
}

static bool may_expire(const struct hf_sessions *t, const struct hf_session_own *own,
                       const struct hf_session_expiry *when)
{
    const struct hf_session_chunk *chunk = &t->chunks[own->chunk];

    return atomic_load(&chunk->ended) > 0 ||
           (atomic_load(&chunk->waiting) > 0 &&
            (own->oldest_ms < when->expired_before_ms || own->put_back != atomic_load(&chunk->put_back)));
}

uint32_t hf_sessions_expire(struct hf_sessions *t, uint32_t most, const struct hf_session_expiry *when,
                            void (*gone)(void *ctx, struct hf_session *s), void *ctx)
{
    uint32_t went = 0, looked = 0;

    for (uint32_t left = t->own_count; left > 0 && looked < most; left--) {
        struct hf_session_own *own;

        if (t->expire_at >= t->own_count)
            t->expire_at = 0;
        own = &t->own[t->expire_at++];
        if (!may_expire(t, own, when))
            continue;
        looked += HF_SESSIONS_PER_CHUNK;
        went += expire_chunk(t, own, when, gone, ctx);
        if (hf_places_release_chunk(t, own))
            t->expire_at--; /* Its place is another one's now, which has its turn. */
    }
    return went;
}

bool hf_sessions_expiring(const struct hf_sessions *t)
{
    for (uint32_t i = 0; i < t->own_count; i++)
        if (atomic_load(&t->chunks[t->own[i].chunk].waiting) > 0 ||
            atomic_load(&t->chunks[t->own[i].chunk].ended) > 0)
            return true;
    return false;
}
