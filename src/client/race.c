#include "client/race.h"

#include "base/assert.h"

#include <string.h>

#define BIT(n) (1u << (n))

static const uint32_t may_follow[] = {
    [HF_RACE_RESOLVING] = BIT(HF_RACE_RUNNING) | BIT(HF_RACE_LOST),
    [HF_RACE_RUNNING] = BIT(HF_RACE_WON) | BIT(HF_RACE_LOST),
    [HF_RACE_WON] = 0,
    [HF_RACE_LOST] = 0,
};

static unsigned count_in(const struct hf_race *r, enum hf_racer_state state)
{
    unsigned i, found = 0;

    for (i = 0; i < r->count; i++)
        found += r->racers[i].state == state;
    return found;
}

static bool is_over(const struct hf_race *r)
{
    return r->state == HF_RACE_WON || r->state == HF_RACE_LOST;
}

/* What holds in each state. */
static void race_check(const struct hf_race *r)
{
    hf_assert(count_in(r, HF_RACER_STANDS) == (r->state == HF_RACE_WON));
    if (r->state != HF_RACE_RUNNING)
        hf_assert(count_in(r, HF_RACER_TRYING) == 0);
    hf_assert(r->begun || r->state == HF_RACE_RESOLVING || r->state == HF_RACE_LOST);
}

static void race_move(struct hf_race *r, enum hf_race_state to)
{
    unsigned i;

    hf_assert((may_follow[r->state] & BIT(to)) != 0);
    r->state = to;
    for (i = 0; i < r->count && is_over(r); i++)
        if (r->racers[i].state == HF_RACER_TRYING || r->racers[i].state == HF_RACER_WAITING)
            r->racers[i].state = HF_RACER_DROPPED;
}

uint32_t hf_race_stagger_ms(uint32_t rtt_ms)
{
    if (rtt_ms == 0)
        return HF_RACE_STAGGER_MS;
    if (rtt_ms >= HF_RACE_STAGGER_MS_MAX / 2)
        return HF_RACE_STAGGER_MS_MAX;
    return rtt_ms * 2 < HF_RACE_STAGGER_MS_MIN ? HF_RACE_STAGGER_MS_MIN : rtt_ms * 2;
}

enum hf_race_family hf_race_family_of(const struct hf_race_address *address)
{
    return hf_ip_is_v4(&address->ip) ? HF_RACE_V4 : HF_RACE_V6;
}

bool hf_race_same(const struct hf_race_address *a, const struct hf_race_address *b)
{
    return a->scope == b->scope && memcmp(&a->ip, &b->ip, sizeof(a->ip)) == 0;
}

void hf_race_start(struct hf_race *r, const struct hf_race_config *config)
{
    *r = (struct hf_race){.config = *config};
}

/* --- what is found --- */

static bool is_last_good(const struct hf_race *r, const struct hf_race_address *address)
{
    return r->config.has_last_good && hf_race_same(address, &r->config.last_good);
}

static bool has_racer(const struct hf_race *r, const struct hf_race_address *address)
{
    unsigned i;

    for (i = 0; i < r->count; i++)
        if (hf_race_same(&r->racers[i].address, address))
            return true;
    return false;
}

static void add(struct hf_race *r, enum hf_race_family family, const struct hf_race_address *address)
{
    unsigned i, same = 0;

    for (i = 0; i < r->count; i++)
        same += r->racers[i].family == family;
    if (same < HF_RACE_FAMILY_MAX && !has_racer(r, address))
        r->racers[r->count++] = (struct hf_racer){.address = *address, .family = family};
}

/* Over with nothing to try, or to wait for. */
static void look_for_end(struct hf_race *r)
{
    bool all_answered = r->answered[HF_RACE_V6] && r->answered[HF_RACE_V4];

    if (!is_over(r) && all_answered && count_in(r, HF_RACER_WAITING) == 0 &&
        count_in(r, HF_RACER_TRYING) == 0)
        race_move(r, HF_RACE_LOST);
    race_check(r);
}

void hf_race_found(struct hf_race *r, enum hf_race_family family, const struct hf_race_address *list,
                   unsigned count, uint64_t now_ms)
{
    unsigned i, from = count == 0 ? 0 : (unsigned)((uint64_t)r->config.skip * HF_RACE_FAMILY_MAX % count);

    if (is_over(r))
        return;
    hf_assert(!r->answered[family]);
    r->answered[family] = true;
    for (i = 0; i < count; i++)
        if (is_last_good(r, &list[i]))
            add(r, family, &list[i]); /* It has a place in any case. */
    for (i = 0; i < count; i++)
        add(r, family, &list[(from + i) % count]);
    if (family == HF_RACE_V4)
        r->v4_found_at_ms = now_ms;
    look_for_end(r);
}

/* --- who is next --- */

static int waiting_of(const struct hf_race *r, enum hf_race_family family)
{
    unsigned i;

    for (i = 0; i < r->count; i++)
        if (r->racers[i].family == family && r->racers[i].state == HF_RACER_WAITING)
            return (int)i;
    return -1;
}

static int waiting_last_good(const struct hf_race *r)
{
    unsigned i;

    for (i = 0; i < r->count; i++)
        if (r->racers[i].state == HF_RACER_WAITING && is_last_good(r, &r->racers[i].address))
            return (int)i;
    return -1;
}

/* RFC 8305 section 4: "the first address in the list followed by the other address family"; here without a list, since what is found later joins in. */
static int pick(const struct hf_race *r)
{
    enum hf_race_family family = HF_RACE_V6;
    int index = waiting_last_good(r);

    if (index >= 0)
        return index;
    if (r->begun)
        family = r->last_family == HF_RACE_V6 ? HF_RACE_V4 : HF_RACE_V6;
    index = waiting_of(r, family);
    return index >= 0 ? index : waiting_of(r, family == HF_RACE_V6 ? HF_RACE_V4 : HF_RACE_V6);
}

/*
 * When the first connection may begin. RFC 8305 section 3: "If a positive A response is received first due to reordering, the client SHOULD
 * wait a short time for the AAAA response to ensure that preference is given to IPv6".
 */
static uint64_t begin_at_ms(const struct hf_race *r)
{
    int index = pick(r);

    if (index < 0)
        return UINT64_MAX;
    if (r->answered[HF_RACE_V6] || r->racers[index].family == HF_RACE_V6 || waiting_last_good(r) >= 0)
        return 0;
    return r->v4_found_at_ms + HF_RACE_RESOLUTION_MS;
}

static uint64_t next_at_ms(const struct hf_race *r)
{
    if (r->state == HF_RACE_RESOLVING)
        return begin_at_ms(r);
    return count_in(r, HF_RACER_WAITING) > 0 ? r->next_at_ms : UINT64_MAX;
}

int hf_race_next(struct hf_race *r, uint64_t now_ms)
{
    int index;

    if (!is_over(r) && now_ms >= r->config.until_ms) {
        r->timed_out = true;
        race_move(r, HF_RACE_LOST);
    }
    if (is_over(r) || now_ms < next_at_ms(r))
        return -1;
    index = pick(r);
    if (index < 0)
        return -1;
    r->begun = true;
    if (r->state == HF_RACE_RESOLVING)
        race_move(r, HF_RACE_RUNNING);
    r->racers[index].state = HF_RACER_TRYING;
    r->last_family = r->racers[index].family;
    r->next_at_ms = now_ms + r->config.stagger_ms;
    race_check(r);
    return index;
}

/* --- how it fared --- */

void hf_race_failed(struct hf_race *r, unsigned index, uint64_t now_ms)
{
    hf_assert(index < r->count && r->racers[index].state == HF_RACER_TRYING);
    r->racers[index].state = HF_RACER_FAILED;
    r->next_at_ms = now_ms; /* There is nothing to wait for any more. */
    look_for_end(r);
}

void hf_race_connected(struct hf_race *r, unsigned index)
{
    hf_assert(index < r->count && r->racers[index].state == HF_RACER_TRYING);
    r->racers[index].state = HF_RACER_STANDS;
    race_move(r, HF_RACE_WON);
    race_check(r);
}

uint64_t hf_race_deadline_ms(const struct hf_race *r)
{
    uint64_t at;

    if (is_over(r))
        return UINT64_MAX;
    at = next_at_ms(r);
    return at < r->config.until_ms ? at : r->config.until_ms;
}
