#include "session/pool_core.h"

#include "base/assert.h"

#define NEVER UINT64_MAX

void hf_pool_core_init(struct hf_pool_core *p, uint32_t members, uint64_t flush_interval_ms, uint64_t seed,
                       uint64_t now_ms)
{
    uint32_t i;

    hf_assert(members > 0 && members <= HF_POOL_CORE_MEMBERS_MAX && flush_interval_ms > 0);
    *p = (struct hf_pool_core){.members_count = members,
                               .flush_interval_ms = flush_interval_ms,
                               .queued_at_ms = NEVER,
                               .flush_at_ms = NEVER,
                               .rng = {seed}};
    hf_list_init(&p->waiting);
    for (i = 0; i < members; i++) {
        hf_list_init(&p->members[i].waiting);
        p->members[i].connected_at_ms = NEVER;
        p->members[i].replace_at_ms = now_ms;
    }
}

uint32_t hf_pool_core_member_of(const struct hf_pool_core *p, struct hf_str key)
{
    uint64_t hash = 14695981039346656037u;
    size_t i;

    for (i = 0; i < key.len; i++)
        hash = (hash ^ (uint8_t)key.data[i]) * 1099511628211u;
    /* FNV's low bits are those of a sum of few bytes: the high ones have seen them all. */
    return (uint32_t)((hash ^ hash >> 32) % p->members_count);
}

/* --- members --- */

/* The next moment, counted in intervals from the first publish that waits, that is not before now. */
static uint64_t next_look(const struct hf_pool_core *p, uint64_t now_ms)
{
    uint64_t waited = now_ms - p->queued_at_ms;
    uint64_t looks = (waited + p->flush_interval_ms - 1) / p->flush_interval_ms;

    return p->queued_at_ms + (looks == 0 ? 1 : looks) * p->flush_interval_ms;
}

void hf_pool_core_connected(struct hf_pool_core *p, uint32_t member, uint64_t now_ms)
{
    struct hf_pool_core_member *m = &p->members[member];

    hf_assert(m->state != HF_POOL_VACANT);
    if (m->connected_at_ms == NEVER)
        m->connected_at_ms = now_ms;
    if (m->state == HF_POOL_UP)
        return; /* The next connection took over from one that still stood. */
    m->state = HF_POOL_UP;
    p->connected_count++;
    if (p->queued_at_ms != NEVER && p->flush_at_ms == NEVER)
        p->flush_at_ms = next_look(p, now_ms);
}

static bool anything_waits(const struct hf_pool_core *p)
{
    bool waits = !hf_list_empty(&p->waiting);
    uint32_t i;

    for (i = 0; i < p->members_count && !waits; i++)
        waits = !hf_list_empty(&p->members[i].waiting);
    return waits;
}

static void leave_up(struct hf_pool_core *p, struct hf_pool_core_member *m, uint64_t now_ms)
{
    if (m->state != HF_POOL_UP)
        return;
    p->connected_count--;
    if (p->connected_count > 0)
        return;
    p->flush_at_ms = NEVER;
    if (p->queued_at_ms == NEVER && anything_waits(p))
        p->queued_at_ms = now_ms;
}

void hf_pool_core_disconnected(struct hf_pool_core *p, uint32_t member, uint64_t now_ms)
{
    struct hf_pool_core_member *m = &p->members[member];

    hf_assert(m->state != HF_POOL_VACANT);
    leave_up(p, m, now_ms);
    m->state = HF_POOL_AWAY;
}

/* Half of a pause that doubles, and a random part of the other half: members that ended together do not come back together. */
static uint64_t pause_ms(struct hf_pool_core *p, const struct hf_pool_core_member *m)
{
    uint64_t pause = HF_POOL_CORE_REPLACE_MS_MAX;

    if (m->short_lives == 0)
        return 0;
    if (m->short_lives < 16 && (uint64_t)HF_POOL_CORE_REPLACE_MS_MIN << (m->short_lives - 1) < pause)
        pause = (uint64_t)HF_POOL_CORE_REPLACE_MS_MIN << (m->short_lives - 1);
    return pause / 2 + hf_rng_below(&p->rng, pause / 2 + 1);
}

uint64_t hf_pool_core_ended(struct hf_pool_core *p, uint32_t member, uint64_t now_ms)
{
    struct hf_pool_core_member *m = &p->members[member];
    bool stable = m->connected_at_ms != NEVER && now_ms - m->connected_at_ms >= HF_POOL_CORE_STABLE_MS;
    uint64_t pause;

    leave_up(p, m, now_ms);
    m->state = HF_POOL_VACANT;
    m->lingers = true;
    m->short_lives = stable ? 0 : m->short_lives + 1;
    m->connected_at_ms = NEVER;
    pause = pause_ms(p, m);
    m->replace_at_ms = now_ms + pause;
    return pause;
}

void hf_pool_core_gone(struct hf_pool_core *p, uint32_t member)
{
    hf_assert(p->members[member].state == HF_POOL_VACANT);
    p->members[member].lingers = false;
}

void hf_pool_core_replaced(struct hf_pool_core *p, uint32_t member)
{
    struct hf_pool_core_member *m = &p->members[member];

    hf_assert(m->state == HF_POOL_VACANT);
    m->state = HF_POOL_AWAY;
    m->full = false;
    m->replace_at_ms = NEVER;
}

void hf_pool_core_close(struct hf_pool_core *p)
{
    uint32_t i;

    for (i = 0; i < p->members_count; i++)
        p->members[i].replace_at_ms = NEVER;
}

/* When a session is to be made in its place. */
static uint64_t due_at_ms(const struct hf_pool_core_member *m)
{
    return m->state == HF_POOL_VACANT && !m->lingers ? m->replace_at_ms : NEVER;
}

bool hf_pool_core_due(const struct hf_pool_core *p, uint32_t member, uint64_t now_ms)
{
    return due_at_ms(&p->members[member]) <= now_ms;
}

/* --- publishes --- */

static struct hf_list *list_of(struct hf_pool_core *p, uint32_t member)
{
    return member == HF_POOL_CORE_ANY ? &p->waiting : &p->members[member].waiting;
}

void hf_pool_core_put(struct hf_pool_core *p, struct hf_list *node, uint32_t member, uint64_t now_ms)
{
    hf_assert(member == HF_POOL_CORE_ANY || member < p->members_count);
    hf_list_add_tail(list_of(p, member), node);
    if (p->connected_count == 0 && p->queued_at_ms == NEVER)
        p->queued_at_ms = now_ms;
}

/* A keyed publish goes to its member also while that one is away: there it waits, behind those that went before. */
static bool keyed_can_go(const struct hf_pool_core_member *m)
{
    return m->state != HF_POOL_VACANT && !m->full && !hf_list_empty(&m->waiting);
}

static bool any_can_go(const struct hf_pool_core_member *m)
{
    return m->state == HF_POOL_UP && !m->full;
}

static struct hf_list *next_keyed(struct hf_pool_core *p, uint32_t *member)
{
    uint32_t i;

    for (i = 0; i < p->members_count; i++) {
        *member = (p->keyed_turn + i) % p->members_count;
        if (!keyed_can_go(&p->members[*member]))
            continue;
        p->keyed_turn = (*member + 1) % p->members_count;
        return hf_list_pop(&p->members[*member].waiting);
    }
    return NULL;
}

static struct hf_list *next_any(struct hf_pool_core *p, uint32_t *member)
{
    uint32_t i;

    if (hf_list_empty(&p->waiting))
        return NULL;
    for (i = 0; i < p->members_count; i++) {
        *member = (p->any_turn + i) % p->members_count;
        if (!any_can_go(&p->members[*member]))
            continue;
        p->any_turn = (*member + 1) % p->members_count;
        return hf_list_pop(&p->waiting);
    }
    return NULL;
}

struct hf_list *hf_pool_core_next(struct hf_pool_core *p, uint32_t *member, uint64_t now_ms)
{
    struct hf_list *node;

    if (p->connected_count == 0)
        return NULL;
    if (p->queued_at_ms != NEVER) {
        if (now_ms < p->flush_at_ms)
            return NULL;
        p->queued_at_ms = p->flush_at_ms = NEVER;
    }
    node = next_keyed(p, member);
    return node != NULL ? node : next_any(p, member);
}

void hf_pool_core_full(struct hf_pool_core *p, struct hf_list *node, uint32_t put_for, uint32_t member)
{
    hf_list_add_tail(list_of(p, put_for)->next, node); /* before the first: to the front */
    p->members[member].full = true;
}

void hf_pool_core_room(struct hf_pool_core *p, uint32_t member)
{
    p->members[member].full = false;
}

struct hf_list *hf_pool_core_drop(struct hf_pool_core *p)
{
    struct hf_list *node = hf_list_pop(&p->waiting);
    uint32_t i;

    for (i = 0; i < p->members_count && node == NULL; i++)
        node = hf_list_pop(&p->members[i].waiting);
    return node;
}

uint64_t hf_pool_core_deadline_ms(const struct hf_pool_core *p)
{
    uint64_t at = p->flush_at_ms;
    uint32_t i;

    for (i = 0; i < p->members_count; i++)
        if (due_at_ms(&p->members[i]) < at)
            at = due_at_ms(&p->members[i]);
    return at;
}
