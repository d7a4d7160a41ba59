#include "shm/sessions.h"

#include "base/assert.h"
#include "shm/crash.h"

#include <stdlib.h>
#include <string.h>

enum { TOMBS_PER_BUCKET = 8, BLOCK_SWEEP_MS = 100, FREE_STACK_FIRST = 64 };

/* ---- Layout ---- */

static uint32_t per_home(uint32_t sessions_max, uint32_t workers)
{
    return (sessions_max + workers - 1) / workers;
}

/* One block for every session on the average: most have one or two subscriptions and need none. */
static uint32_t blocks_per_home(uint32_t sessions_per_home)
{
    return sessions_per_home < 1024 ? 4096 : sessions_per_home * 2;
}

static uint32_t tombs_per_home(uint32_t sessions_per_home)
{
    uint32_t n = 1024;

    while (n < sessions_per_home && n < 1u << 24)
        n *= 2;
    return n;
}

static size_t table_at(uint32_t workers)
{
    return sizeof(struct hf_sessions_shm) + (size_t)workers * sizeof(struct hf_session_home);
}

size_t hf_sessions_bytes(uint32_t sessions_max, uint32_t workers)
{
    uint32_t per = per_home(sessions_max, workers);

    return table_at(workers) + (size_t)workers * per * sizeof(struct hf_session) +
           (size_t)workers * blocks_per_home(per) * sizeof(struct hf_session_block) +
           (size_t)workers * tombs_per_home(per) * sizeof(struct hf_tombstone);
}

/* The memory is zero already and stays untouched: a place costs memory only once it is used. */
void hf_sessions_format(struct hf_sessions_shm *shm, uint32_t sessions_max, uint32_t workers)
{
    shm->workers = workers;
    shm->per_home = per_home(sessions_max, workers);
    shm->blocks_per_home = blocks_per_home(shm->per_home);
    shm->tombs_per_home = tombs_per_home(shm->per_home);
}

static int push(uint32_t **stack, uint32_t *count, uint32_t *cap, uint32_t n)
{
    if (*count == *cap) {
        uint32_t more_cap = *cap == 0 ? FREE_STACK_FIRST : *cap * 2;
        uint32_t *more = realloc(*stack, more_cap * sizeof(*more));

        if (more == NULL)
            return HF_ENOMEM;
        *stack = more;
        *cap = more_cap;
    }
    (*stack)[(*count)++] = n;
    return 0;
}

static int find_free_places(struct hf_sessions *t)
{
    struct hf_session_home *home = &t->homes[t->home];
    uint32_t base = t->home * t->shm->per_home, high = atomic_load(&home->high), live = 0;

    for (uint32_t i = 0; i < high; i++) {
        if (hf_state_phase(atomic_load(&t->table[base + i].state)) != HF_SESSION_FREE)
            live++;
        else if (push(&t->free_places, &t->free_count, &t->free_cap, base + i) < 0)
            return HF_ENOMEM;
    }
    atomic_store(&home->live, live);
    return 0;
}

int hf_sessions_open(struct hf_sessions *t, struct hf_sessions_shm *shm, uint32_t home)
{
    uint8_t *base = (uint8_t *)shm;

    *t = (struct hf_sessions){.shm = shm, .home = home};
    t->homes = (struct hf_session_home *)(void *)shm->body;
    base += table_at(shm->workers);
    t->table = (struct hf_session *)(void *)base;
    base += (size_t)shm->workers * shm->per_home * sizeof(struct hf_session);
    t->blocks = (struct hf_session_block *)(void *)base;
    base += (size_t)shm->workers * shm->blocks_per_home * sizeof(struct hf_session_block);
    t->tombs = (struct hf_tombstone *)(void *)base;
    if (find_free_places(t) < 0) {
        hf_sessions_release(t);
        return HF_ENOMEM;
    }
    return 0;
}

void hf_sessions_release(struct hf_sessions *t)
{
    free(t->free_places);
    free(t->free_blocks);
    t->free_places = t->free_blocks = NULL;
    t->free_count = t->free_cap = t->free_block_count = t->free_block_cap = 0;
}

/* ---- State ---- */

static uint64_t state_make(enum hf_session_phase phase, uint32_t owner, uint64_t generation)
{
    return (uint64_t)phase << 60 | (uint64_t)owner << 48 | generation;
}

static bool state_move(struct hf_session *s, uint64_t from, uint64_t to)
{
    return atomic_compare_exchange_strong(&s->state, &from, to);
}

uint64_t hf_session_take(struct hf_sessions *t, struct hf_session *s, uint64_t seen)
{
    uint64_t generation = hf_state_generation(seen) + 1;

    if (hf_state_phase(seen) != HF_SESSION_LIVE && hf_state_phase(seen) != HF_SESSION_PARKED)
        return 0; /* Ended since the caller looked: its home may be freeing it. */
    if (!state_move(s, seen, state_make(HF_SESSION_LIVE, t->home, generation)))
        return 0;
    HF_CRASH_POINT("session:taken");
    return generation;
}

bool hf_session_park(struct hf_sessions *t, struct hf_session *s, uint64_t generation, uint64_t now_ms)
{
    uint64_t ours = state_make(HF_SESSION_LIVE, t->home, generation);

    if (atomic_load(&s->state) != ours)
        return false;
    atomic_store(&s->parked_ms, now_ms);
    HF_CRASH_POINT("session:parking");
    return state_move(s, ours, state_make(HF_SESSION_PARKED, t->home, generation));
}

bool hf_session_end(struct hf_sessions *t, struct hf_session *s, uint64_t generation, uint64_t now_ms)
{
    uint64_t ours = state_make(HF_SESSION_LIVE, t->home, generation);

    if (atomic_load(&s->state) != ours)
        return false;
    atomic_store(&s->parked_ms, now_ms);
    return state_move(s, ours, state_make(HF_SESSION_ENDED, t->home, generation));
}

bool hf_session_end_parked(struct hf_session *s, uint64_t seen)
{
    if (hf_state_phase(seen) != HF_SESSION_PARKED)
        return hf_state_phase(seen) == HF_SESSION_ENDED;
    return state_move(s, seen, state_make(HF_SESSION_ENDED, hf_state_owner(seen), hf_state_generation(seen)));
}

/* ---- Making and finding ---- */

struct hf_session *hf_sessions_add(struct hf_sessions *t, const uint8_t random[20])
{
    struct hf_session_home *home = &t->homes[t->home];
    uint32_t high = atomic_load_explicit(&home->high, memory_order_relaxed), place, nonce;
    struct hf_session *s;

    if (t->free_count > 0) {
        place = t->free_places[--t->free_count];
    } else if (high < t->shm->per_home) {
        place = t->home * t->shm->per_home + high;
        atomic_store_explicit(&home->high, high + 1, memory_order_relaxed);
    } else {
        return NULL;
    }
    s = &t->table[place];
    memcpy(&nonce, random + HF_SECRET_BYTES, sizeof(nonce));
    s->number = (uint64_t)(nonce >> 1 | 1) << 32 | place; /* Never 0, never negative as a signed number. */
    memcpy(s->secret, random, HF_SECRET_BYTES);
    atomic_store_explicit(&s->last_seq, 0, memory_order_relaxed);
    atomic_store_explicit(&s->applied_seq, 0, memory_order_relaxed);
    atomic_store_explicit(&s->attempt, 0, memory_order_relaxed);
    atomic_store_explicit(&s->blocks, 0, memory_order_relaxed);
    atomic_store_explicit(&s->refusals, 0, memory_order_relaxed);
    atomic_store_explicit(&s->refused, 0, memory_order_relaxed);
    for (int i = 0; i < HF_SUBS_INLINE; i++)
        atomic_store_explicit(&s->subs[i].cid, 0, memory_order_relaxed);
    HF_CRASH_POINT("session:filled");
    atomic_store(&s->state, state_make(HF_SESSION_LIVE, t->home, 1));
    atomic_fetch_add_explicit(&home->live, 1, memory_order_relaxed);
    return s;
}

struct hf_session *hf_sessions_get(const struct hf_sessions *t, uint64_t number)
{
    uint32_t place = (uint32_t)number;
    struct hf_session *s;

    if (number >> 32 == 0 || place >= t->shm->workers * t->shm->per_home)
        return NULL;
    s = &t->table[place];
    if (hf_state_phase(atomic_load(&s->state)) == HF_SESSION_FREE || s->number != number)
        return NULL;
    return s;
}

/* Takes the same time wherever the first difference is. */
static bool secret_eq(const uint8_t *a, const uint8_t *b)
{
    volatile uint8_t different = 0;

    for (int i = 0; i < HF_SECRET_BYTES; i++)
        different |= a[i] ^ b[i];
    return different == 0;
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
    return s != NULL && secret_eq(s->secret, ticket + 8) ? s : NULL;
}

/* ---- Tombstones ---- */

static struct hf_tombstone *tomb_bucket(const struct hf_sessions *t, uint64_t number)
{
    uint32_t home = (uint32_t)number / t->shm->per_home;
    uint32_t bucket = (uint32_t)(number >> 32) * 2654435761u >> 4;

    hf_assert(home < t->shm->workers);
    bucket &= t->shm->tombs_per_home / TOMBS_PER_BUCKET - 1;
    return &t->tombs[(size_t)home * t->shm->tombs_per_home + (size_t)bucket * TOMBS_PER_BUCKET];
}

static void bury(struct hf_sessions *t, const struct hf_session *s, uint64_t until_ms)
{
    struct hf_tombstone *bucket = tomb_bucket(t, s->number), *tomb = bucket;

    for (int i = 0; i < TOMBS_PER_BUCKET; i++) { /* A free one, else the one that ends first. */
        if (atomic_load(&bucket[i].number) == 0) {
            tomb = &bucket[i];
            break;
        }
        if (bucket[i].until_ms < tomb->until_ms)
            tomb = &bucket[i];
    }
    atomic_store(&tomb->number, 0);
    memcpy(tomb->secret, s->secret, HF_SECRET_BYTES);
    tomb->last_seq = hf_session_last_seq(s, true);
    tomb->until_ms = until_ms;
    HF_CRASH_POINT("tombstone:filled");
    atomic_store(&tomb->number, s->number);
}

int hf_sessions_tombstone(const struct hf_sessions *t, const uint8_t ticket[HF_TICKET_BYTES], uint64_t now_ms,
                          uint64_t *last_seq)
{
    struct hf_tombstone *bucket;
    uint64_t number;

    memcpy(&number, ticket, 8);
    if (number >> 32 == 0 || (uint32_t)number >= t->shm->workers * t->shm->per_home)
        return HF_ENOTFOUND;
    bucket = tomb_bucket(t, number);
    for (int i = 0; i < TOMBS_PER_BUCKET; i++) {
        if (atomic_load(&bucket[i].number) != number || !secret_eq(bucket[i].secret, ticket + 8))
            continue;
        if (bucket[i].until_ms < now_ms)
            return HF_ENOTFOUND;
        *last_seq = bucket[i].last_seq;
        return 0;
    }
    return HF_ENOTFOUND;
}

/* ---- Blocks ---- */

static struct hf_session_block *block_at(const struct hf_sessions *t, uint32_t number_plus_1)
{
    hf_assert(number_plus_1 <= t->shm->workers * t->shm->blocks_per_home);
    return number_plus_1 == 0 ? NULL : &t->blocks[number_plus_1 - 1];
}

/*
 * Others give blocks of our slice back by a store of 0 into `session`; a worker that died may have left one that its session does not
 * know, which is free when that session has gone. Both are found here, when there is need.
 */
static void find_free_blocks(struct hf_sessions *t, uint64_t now_ms)
{
    uint32_t base = t->home * t->shm->blocks_per_home, high = atomic_load(&t->homes[t->home].blocks_high);

    if (t->block_sweep_ms != 0 && now_ms - t->block_sweep_ms < BLOCK_SWEEP_MS)
        return;
    t->block_sweep_ms = now_ms;
    for (uint32_t i = 0; i < high; i++) {
        uint64_t session = atomic_load(&t->blocks[base + i].session);

        if (session != 0 && hf_sessions_get(t, session) != NULL)
            continue;
        if (push(&t->free_blocks, &t->free_block_count, &t->free_block_cap, base + i) < 0)
            return;
    }
}

/* A zeroed block of our slice for this session; returns its number + 1, or 0. */
static uint32_t block_take(struct hf_sessions *t, const struct hf_session *s, uint64_t now_ms)
{
    struct hf_session_home *home = &t->homes[t->home];
    uint32_t high = atomic_load_explicit(&home->blocks_high, memory_order_relaxed), number;
    struct hf_session_block *block;

    if (t->free_block_count == 0 && high == t->shm->blocks_per_home)
        find_free_blocks(t, now_ms);
    if (t->free_block_count > 0) {
        number = t->free_blocks[--t->free_block_count];
    } else if (high < t->shm->blocks_per_home) {
        number = t->home * t->shm->blocks_per_home + high;
        atomic_store_explicit(&home->blocks_high, high + 1, memory_order_relaxed);
    } else {
        return 0;
    }
    block = &t->blocks[number];
    memset(block, 0, sizeof(*block));
    atomic_store(&block->session, s->number);
    HF_CRASH_POINT("block:taken");
    return number + 1;
}

static void chain_free(struct hf_sessions *t, _Atomic uint32_t *head)
{
    uint32_t link = atomic_load(head);

    atomic_store(head, 0);
    while (link != 0) {
        struct hf_session_block *block = block_at(t, link);

        link = atomic_load(&block->next);
        atomic_store(&block->session, 0);
    }
}

struct hf_session_sub *hf_session_sub_next(const struct hf_sessions *t, const struct hf_session *s,
                                           uint32_t *cursor)
{
    uint32_t index = HF_SUBS_INLINE;

    for (; *cursor < HF_SUBS_INLINE; ++*cursor) {
        struct hf_session_sub *sub = &t->table[s - t->table].subs[*cursor]; /* The same cell, not const. */

        if (atomic_load_explicit(&sub->cid, memory_order_relaxed) != 0) {
            ++*cursor;
            return sub;
        }
    }
    for (struct hf_session_block *block = block_at(t, atomic_load(&s->blocks)); block != NULL;
         block = block_at(t, atomic_load(&block->next)), index += HF_SUBS_PER_BLOCK) {
        if (*cursor >= index + HF_SUBS_PER_BLOCK)
            continue;
        for (; *cursor < index + HF_SUBS_PER_BLOCK; ++*cursor) {
            struct hf_session_sub *sub = &block->subs[*cursor - index];

            if (atomic_load_explicit(&sub->cid, memory_order_relaxed) != 0) {
                ++*cursor;
                return sub;
            }
        }
    }
    return NULL;
}

static struct hf_session_sub *sub_fill(struct hf_session_sub *sub, uint64_t cid_and_flags, uint64_t acked)
{
    atomic_store(&sub->acked, acked);
    HF_CRASH_POINT("sub:acked");
    atomic_store(&sub->cid, cid_and_flags);
    return sub;
}

struct hf_session_sub *hf_session_sub_add(struct hf_sessions *t, struct hf_session *s, uint64_t cid_and_flags,
                                          uint64_t acked, uint64_t now_ms)
{
    _Atomic uint32_t *link = &s->blocks;
    uint32_t taken;

    for (int i = 0; i < HF_SUBS_INLINE; i++)
        if (atomic_load_explicit(&s->subs[i].cid, memory_order_relaxed) == 0)
            return sub_fill(&s->subs[i], cid_and_flags, acked);
    while (atomic_load_explicit(link, memory_order_relaxed) != 0) {
        struct hf_session_block *block = block_at(t, atomic_load_explicit(link, memory_order_relaxed));

        for (int i = 0; i < HF_SUBS_PER_BLOCK; i++)
            if (atomic_load_explicit(&block->subs[i].cid, memory_order_relaxed) == 0)
                return sub_fill(&block->subs[i], cid_and_flags, acked);
        link = &block->next;
    }
    taken = block_take(t, s, now_ms);
    if (taken == 0)
        return NULL;
    sub_fill(&block_at(t, taken)->subs[0], cid_and_flags, acked);
    atomic_store(link, taken);
    HF_CRASH_POINT("block:linked");
    return &block_at(t, taken)->subs[0];
}

/* ---- Refusals ---- */

static _Atomic uint64_t *refusal_cell(const struct hf_sessions *t, const struct hf_session *s, uint32_t i)
{
    struct hf_session_block *block = block_at(t, atomic_load(&s->refusals));

    for (; block != NULL && i >= HF_REFUSALS_PER_BLOCK; i -= HF_REFUSALS_PER_BLOCK)
        block = block_at(t, atomic_load(&block->next));
    return block == NULL ? NULL : &block->refusals[i];
}

void hf_session_refuse(struct hf_sessions *t, struct hf_session *s, uint64_t seq, uint8_t code,
                       uint64_t now_ms)
{
    uint32_t place = atomic_load(&s->refused) % HF_REFUSALS_MAX;
    _Atomic uint64_t *cell = refusal_cell(t, s, place);

    if (cell == NULL) {
        _Atomic uint32_t *link = &s->refusals;
        uint32_t taken = block_take(t, s, now_ms);

        if (taken == 0)
            return;
        while (atomic_load(link) != 0)
            link = &block_at(t, atomic_load(link))->next;
        atomic_store(link, taken);
        cell = refusal_cell(t, s, place);
        hf_assert(cell != NULL);
    }
    atomic_store(cell, (uint64_t)code << 56 | seq);
    HF_CRASH_POINT("refusal:stored");
    atomic_fetch_add(&s->refused, 1);
}

bool hf_session_refusal(const struct hf_sessions *t, const struct hf_session *s, uint32_t i, uint64_t *seq,
                        uint8_t *code)
{
    uint32_t refused = atomic_load(&s->refused);
    uint32_t count = refused < HF_REFUSALS_MAX ? refused : HF_REFUSALS_MAX;
    _Atomic uint64_t *cell;
    uint64_t value;

    if (i >= count)
        return false;
    cell = refusal_cell(t, s, (refused - count + i) % HF_REFUSALS_MAX);
    if (cell == NULL)
        return false;
    value = atomic_load(cell);
    *seq = value & ((UINT64_C(1) << 56) - 1);
    *code = (uint8_t)(value >> 56);
    return true;
}

/* ---- Sequence ---- */

uint64_t hf_session_last_seq(const struct hf_session *s, bool settled)
{
    uint64_t last = atomic_load(&s->last_seq), applied = atomic_load(&s->applied_seq);

    return settled && applied > last ? applied : last;
}

void hf_session_applied(struct hf_session *s, uint64_t seq)
{
    uint64_t applied = atomic_load_explicit(&s->applied_seq, memory_order_relaxed);

    while (applied < seq && !atomic_compare_exchange_weak(&s->applied_seq, &applied, seq))
        ;
}

/* ---- The end ---- */

uint32_t hf_sessions_park_orphans(struct hf_sessions *t, uint64_t now_ms)
{
    uint32_t parked = 0;
    uint64_t cursor = 0;
    struct hf_session *s;

    while ((s = hf_sessions_next(t, &cursor)) != NULL) {
        uint64_t state = atomic_load(&s->state);

        if (hf_state_phase(state) == HF_SESSION_LIVE && hf_state_owner(state) == t->home)
            parked += hf_session_park(t, s, hf_state_generation(state), now_ms);
    }
    return parked;
}

static void free_session(struct hf_sessions *t, struct hf_session *s)
{
    chain_free(t, &s->blocks);
    chain_free(t, &s->refusals);
    HF_CRASH_POINT("session:emptied");
    atomic_store(&s->state, state_make(HF_SESSION_FREE, t->home, 0));
    atomic_fetch_sub_explicit(&t->homes[t->home].live, 1, memory_order_relaxed);
    /* Where the stack cannot grow the place is found again by the next process of this slot. */
    (void)!push(&t->free_places, &t->free_count, &t->free_cap, (uint32_t)(s - t->table));
}

uint32_t hf_sessions_expire(struct hf_sessions *t, uint32_t most, uint64_t expired_before_ms,
                            uint64_t settled_ms, uint64_t tombstone_until_ms,
                            void (*gone)(void *ctx, struct hf_session *s), void *ctx)
{
    uint32_t base = t->home * t->shm->per_home, high = atomic_load(&t->homes[t->home].high), went = 0;

    for (uint32_t i = 0; i < most && i < high; i++) {
        struct hf_session *s;
        uint64_t state, parked_ms;

        if (t->expire_at >= high)
            t->expire_at = 0;
        s = &t->table[base + t->expire_at++];
        state = atomic_load(&s->state);
        parked_ms = atomic_load(&s->parked_ms);
        if (hf_state_phase(state) == HF_SESSION_PARKED && parked_ms < expired_before_ms &&
            parked_ms < settled_ms)
            if (hf_session_end_parked(s, state))
                state = atomic_load(&s->state);
        if (hf_state_phase(state) != HF_SESSION_ENDED || parked_ms >= settled_ms)
            continue;
        gone(ctx, s);
        bury(t, s, tombstone_until_ms);
        free_session(t, s);
        went++;
    }
    return went;
}

struct hf_session *hf_sessions_next(const struct hf_sessions *t, uint64_t *cursor)
{
    for (; *cursor < (uint64_t)t->shm->workers * t->shm->per_home; ++*cursor) {
        uint32_t home = (uint32_t)(*cursor / t->shm->per_home);
        struct hf_session *s = &t->table[*cursor];

        if (*cursor % t->shm->per_home >= atomic_load_explicit(&t->homes[home].high, memory_order_relaxed)) {
            *cursor =
                (uint64_t)(home + 1) * t->shm->per_home - 1; /* The rest of this slice was never used. */
            continue;
        }
        if (hf_state_phase(atomic_load(&s->state)) != HF_SESSION_FREE) {
            ++*cursor;
            return s;
        }
    }
    return NULL;
}

uint32_t hf_sessions_live(const struct hf_sessions *t)
{
    uint32_t live = 0;

    for (uint32_t home = 0; home < t->shm->workers; home++)
        live += atomic_load_explicit(&t->homes[home].live, memory_order_relaxed);
    return live;
}
