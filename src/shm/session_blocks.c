#include "shm/session_blocks.h"

#include "base/assert.h"
#include "shm/crash.h"

#include <stdlib.h>
#include <string.h>

enum {
    BLOCK_SWEEP_MS = 100,
    FREE_STACK_FIRST = 64,
};

/* One block for every session on the average, with room for workers that have more: most have one or two subscriptions and need none. */
uint32_t hf_blocks_per_home(uint32_t share)
{
    return share < 1024 ? 4096 : share * 4;
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

struct hf_session_block *hf_blocks_at(const struct hf_sessions *t, uint32_t number_plus_1)
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

uint32_t hf_blocks_take(struct hf_sessions *t, const struct hf_session *s, uint64_t now_ms)
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

void hf_blocks_free_chain(struct hf_sessions *t, _Atomic uint32_t *head)
{
    uint32_t link = atomic_load(head);

    atomic_store(head, 0);
    while (link != 0) {
        struct hf_session_block *block = hf_blocks_at(t, link);

        link = atomic_load(&block->next);
        atomic_store(&block->session, 0);
    }
}

void hf_blocks_release(struct hf_sessions *t)
{
    free(t->free_blocks);
    t->free_blocks = NULL;
    t->free_block_count = t->free_block_cap = 0;
}

/* ---- Subscriptions ---- */

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
    for (struct hf_session_block *block = hf_blocks_at(t, atomic_load(&s->blocks)); block != NULL;
         block = hf_blocks_at(t, atomic_load(&block->next)), index += HF_SUBS_PER_BLOCK) {
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
        struct hf_session_block *block = hf_blocks_at(t, atomic_load_explicit(link, memory_order_relaxed));

        for (int i = 0; i < HF_SUBS_PER_BLOCK; i++)
            if (atomic_load_explicit(&block->subs[i].cid, memory_order_relaxed) == 0)
                return sub_fill(&block->subs[i], cid_and_flags, acked);
        link = &block->next;
    }
    taken = hf_blocks_take(t, s, now_ms);
    if (taken == 0)
        return NULL;
    sub_fill(&hf_blocks_at(t, taken)->subs[0], cid_and_flags, acked);
    atomic_store(link, taken);
    HF_CRASH_POINT("block:linked");
    return &hf_blocks_at(t, taken)->subs[0];
}

/* ---- Refusals ---- */

static _Atomic uint64_t *refusal_cell(const struct hf_sessions *t, const struct hf_session *s, uint32_t i)
{
    struct hf_session_block *block = hf_blocks_at(t, atomic_load(&s->refusals));

    for (; block != NULL && i >= HF_REFUSALS_PER_BLOCK; i -= HF_REFUSALS_PER_BLOCK)
        block = hf_blocks_at(t, atomic_load(&block->next));
    return block == NULL ? NULL : &block->refusals[i];
}

int hf_session_refuse(struct hf_sessions *t, struct hf_session *s, uint64_t seq, uint8_t code,
                      uint64_t now_ms)
{
    uint32_t place = atomic_load(&s->refused) % HF_REFUSALS_MAX;
    _Atomic uint64_t *cell = refusal_cell(t, s, place);

    if (cell == NULL) {
        _Atomic uint32_t *link = &s->refusals;
        uint32_t taken = hf_blocks_take(t, s, now_ms);

        if (taken == 0)
            return HF_ELIMIT;
        while (atomic_load(link) != 0)
            link = &hf_blocks_at(t, atomic_load(link))->next;
        atomic_store(link, taken);
        cell = refusal_cell(t, s, place);
        hf_assert(cell != NULL);
    }
    atomic_store(cell, (uint64_t)code << 56 | seq);
    HF_CRASH_POINT("refusal:stored");
    atomic_fetch_add(&s->refused, 1);
    return 0;
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
