#include "session/heartbeat_adaptive.h"

#include <stddef.h>

/* base is the first member. */
static struct hf_heartbeat_adaptive *adaptive_of(struct hf_heartbeat_policy *p)
{
    return (struct hf_heartbeat_adaptive *)p;
}

static const struct hf_heartbeat_adaptive *adaptive_in(const struct hf_heartbeat_policy *p)
{
    return (const struct hf_heartbeat_adaptive *)p;
}

static uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* --- what is known --- */

/* The longest interval that anybody wants. */
static uint64_t limit_ms(const struct hf_heartbeat_adaptive *a)
{
    return a->bound_ms == 0 ? a->tolerance_ms : min_u64(a->tolerance_ms, a->bound_ms);
}

/* The longest gap worth probing: the limit with the same margin that lo has, as far as the server lets a probe be. */
static uint64_t goal_ms(const struct hf_heartbeat_adaptive *a)
{
    uint64_t goal = (limit_ms(a) * 10 + 8) / 9;

    if (a->bound_ms > HF_ADAPTIVE_BOUND_ROOM_MS)
        goal = min_u64(goal, a->bound_ms - HF_ADAPTIVE_BOUND_ROOM_MS);
    return min_u64(goal, HF_HEARTBEAT_GAP_MS_MAX);
}

/* Whether [lo, hi] is narrow enough, or lo is as far as it need be. */
static bool settled(const struct hf_heartbeat_adaptive *a)
{
    const struct hf_heartbeat_network *n = &a->net;

    if (n->lo_ms >= goal_ms(a))
        return true;
    return n->hi_ms > 0 && n->lo_ms > 0 &&
           n->hi_ms - n->lo_ms <= max_u64(HF_ADAPTIVE_WIDTH_MS, n->lo_ms * HF_ADAPTIVE_WIDTH_PERCENT / 100);
}

/* --- the interval --- */

static uint64_t proven_ms(const struct hf_heartbeat_network *n)
{
    return n->lo_ms * 9 / 10;
}

/* What the network bears, as far as is known. */
static uint64_t safe_ms(const struct hf_heartbeat_adaptive *a)
{
    const struct hf_heartbeat_network *n = &a->net;

    if (settled(a))
        return n->hi_ms == 0 ? max_u64(proven_ms(n), min_u64(n->lo_ms, HF_ADAPTIVE_START_MS)) : proven_ms(n);
    if (n->hi_ms == 0 || n->lo_ms >= HF_ADAPTIVE_START_MS)
        return max_u64(proven_ms(n), HF_ADAPTIVE_START_MS);
    return max_u64(proven_ms(n), min_u64(n->hi_ms / 2, HF_ADAPTIVE_START_MS));
}

/* Not where a proxy's timer is likely to be, unless this path has none there: a gap beyond it has been survived. */
static uint64_t beside_cliffs(uint64_t ms, uint64_t lo_ms)
{
    static const uint64_t cliffs_s[] = {600, 350, 300, 240, 100, 60, 30};
    size_t i;

    for (i = 0; i < sizeof(cliffs_s) / sizeof(cliffs_s[0]); i++) {
        uint64_t below = cliffs_s[i] * 10 * (100 - HF_ADAPTIVE_CLIFF_PERCENT);
        uint64_t above = cliffs_s[i] * 10 * (100 + HF_ADAPTIVE_CLIFF_PERCENT);

        if (ms > below && ms <= above && lo_ms <= above)
            ms = below; /* which may be another's: they are looked at from the top. */
    }
    return ms;
}

static uint64_t interval_ms(const struct hf_heartbeat_policy *p)
{
    const struct hf_heartbeat_adaptive *a = adaptive_in(p);
    uint64_t ms = max_u64(beside_cliffs(safe_ms(a), a->net.lo_ms), HF_ADAPTIVE_FLOOR_MS);

    ms = beside_cliffs(min_u64(ms, limit_ms(a)), a->net.lo_ms);
    return ms - ms * a->jitter_permille / 1000;
}

static uint64_t longest_ms(const struct hf_heartbeat_policy *p)
{
    return limit_ms(adaptive_in(p));
}

static void draw_jitter(struct hf_heartbeat_adaptive *a)
{
    a->jitter_permille = (uint32_t)hf_rng_below(&a->rng, HF_ADAPTIVE_JITTER_PERMILLE + 1);
}

/* --- learning --- */

static void learn_nothing(struct hf_heartbeat_adaptive *a, uint64_t key)
{
    a->net = (struct hf_heartbeat_network){.key = key};
    a->dead_gap_ms = 0;
    a->strikes = 0;
    a->idle = false;
    a->no_probe_until_ms = 0;
}

static void remember(struct hf_heartbeat_adaptive *a, uint64_t now_ms)
{
    a->net.seen_at_ms = (int64_t)now_ms;
    if (a->memory != NULL && a->net.key != 0)
        hf_heartbeat_memory_put(a->memory, &a->net);
}

static void gap_survived(struct hf_heartbeat_adaptive *a, uint64_t gap_ms)
{
    struct hf_heartbeat_network *n = &a->net;

    gap_ms = min_u64(gap_ms, HF_HEARTBEAT_GAP_MS_MAX);
    n->lo_ms = max_u64(n->lo_ms, gap_ms);
    if (n->hi_ms <= n->lo_ms)
        n->hi_ms = 0; /* The wall is no more. */
    if (gap_ms >= a->strike_gap_ms)
        a->strikes = 0;
}

static void gap_killed(struct hf_heartbeat_adaptive *a, uint64_t gap_ms)
{
    struct hf_heartbeat_network *n = &a->net;

    gap_ms = min_u64(gap_ms, HF_HEARTBEAT_GAP_MS_MAX);
    if (gap_ms > n->lo_ms) {
        n->hi_ms = n->hi_ms == 0 ? gap_ms : min_u64(n->hi_ms, gap_ms);
        return;
    }
    a->strike_gap_ms = a->strikes == 0 ? gap_ms : max_u64(gap_ms, a->strike_gap_ms);
    if (++a->strikes < 2)
        return;
    a->strikes = 0;
    n->lo_ms = 0;
    n->hi_ms = a->strike_gap_ms;
}

static void record_success(struct hf_heartbeat_policy *p, const struct hf_heartbeat_beat *beat,
                           uint64_t now_ms)
{
    struct hf_heartbeat_adaptive *a = adaptive_of(p);

    if (!a->disturbed)
        gap_survived(a, beat->gap_ms);
    a->disturbed = false;
    if (beat->scheduled) {
        a->idle = true;
        draw_jitter(a);
    }
    remember(a, now_ms);
}

static void record_failure(struct hf_heartbeat_policy *p, const struct hf_heartbeat_beat *beat,
                           uint64_t now_ms)
{
    struct hf_heartbeat_adaptive *a = adaptive_of(p);

    /* No path that is of use forgets sooner than the floor. */
    if (!a->disturbed && beat->gap_ms >= min_u64(HF_ADAPTIVE_FLOOR_MS, a->tolerance_ms / 2)) {
        a->dead_gap_ms = beat->gap_ms;
        a->dead_at_ms = now_ms;
    }
    a->disturbed = false;
}

static void connected(struct hf_heartbeat_policy *p, uint64_t now_ms)
{
    struct hf_heartbeat_adaptive *a = adaptive_of(p);

    if (a->dead_gap_ms > 0 && now_ms - a->dead_at_ms < HF_ADAPTIVE_REDIAL_MS) {
        gap_killed(a, a->dead_gap_ms);
        remember(a, now_ms);
    }
    a->dead_gap_ms = 0;
    a->disturbed = false;
    draw_jitter(a);
}

static void disturbed(struct hf_heartbeat_policy *p)
{
    struct hf_heartbeat_adaptive *a = adaptive_of(p);

    if (a->net.key == 0)
        learn_nothing(a, 0);
    a->dead_gap_ms = 0;
    a->disturbed = true;
}

static void reset(struct hf_heartbeat_policy *p)
{
    struct hf_heartbeat_adaptive *a = adaptive_of(p);

    if (a->memory != NULL && a->net.key != 0)
        hf_heartbeat_memory_drop(a->memory, a->net.key);
    learn_nothing(a, a->net.key);
    a->disturbed = false;
}

static void set_network(struct hf_heartbeat_policy *p, uint64_t key, uint64_t now_ms)
{
    struct hf_heartbeat_adaptive *a = adaptive_of(p);
    const struct hf_heartbeat_network *known = NULL;

    if (key == a->net.key)
        return;
    learn_nothing(a, key);
    a->disturbed = true;
    if (a->memory != NULL && key != 0)
        known = hf_heartbeat_memory_find(a->memory, key, now_ms);
    if (known != NULL)
        a->net = *known;
}

static void set_bound(struct hf_heartbeat_policy *p, uint64_t bound_ms)
{
    adaptive_of(p)->bound_ms = bound_ms;
}

/* --- probes --- */

static uint64_t next_gap_ms(const struct hf_heartbeat_adaptive *a, uint64_t now_ms)
{
    const struct hf_heartbeat_network *n = &a->net;

    if (!settled(a))
        return n->hi_ms == 0 ? n->lo_ms * 8 / 5 : (n->lo_ms + n->hi_ms) / 2;
    if (n->lo_ms < goal_ms(a) && (int64_t)now_ms - n->probed_at_ms >= HF_ADAPTIVE_REPROBE_MS)
        return n->hi_ms;
    return 0;
}

static uint64_t probe_gap_ms(const struct hf_heartbeat_policy *p, uint64_t now_ms)
{
    const struct hf_heartbeat_adaptive *a = adaptive_in(p);
    uint64_t gap_ms = min_u64(next_gap_ms(a, now_ms), goal_ms(a));

    if (!a->idle || a->net.lo_ms == 0 || now_ms < a->no_probe_until_ms)
        return 0;
    return gap_ms > a->net.lo_ms ? gap_ms : 0;
}

static void probe_ended(struct hf_heartbeat_policy *p, uint64_t gap_ms, enum hf_heartbeat_probe outcome,
                        uint64_t now_ms)
{
    struct hf_heartbeat_adaptive *a = adaptive_of(p);

    a->idle = false;
    if (outcome == HF_HEARTBEAT_PROBE_UNKNOWN) {
        a->no_probe_until_ms = now_ms + HF_ADAPTIVE_RETRY_MS;
        return;
    }
    if (outcome == HF_HEARTBEAT_PROBE_ALIVE)
        gap_survived(a, gap_ms);
    else
        gap_killed(a, gap_ms);
    a->net.probed_at_ms = (int64_t)now_ms;
    remember(a, now_ms);
}

/* --- making --- */

void hf_heartbeat_adaptive_set_tolerance(struct hf_heartbeat_adaptive *a, uint64_t tolerance_ms)
{
    if (tolerance_ms == 0)
        tolerance_ms = HF_ADAPTIVE_FOREGROUND_MS;
    a->tolerance_ms = min_u64(tolerance_ms, HF_ADAPTIVE_TOLERANCE_MS_MAX);
}

void hf_heartbeat_adaptive_init(struct hf_heartbeat_adaptive *a, uint64_t tolerance_ms,
                                struct hf_heartbeat_memory *memory, uint64_t seed)
{
    static const struct hf_heartbeat_policy_ops ops = {.interval_ms = interval_ms,
                                                       .longest_ms = longest_ms,
                                                       .record_success = record_success,
                                                       .record_failure = record_failure,
                                                       .reset = reset,
                                                       .connected = connected,
                                                       .disturbed = disturbed,
                                                       .set_network = set_network,
                                                       .set_bound = set_bound,
                                                       .probe_gap_ms = probe_gap_ms,
                                                       .probe_ended = probe_ended};

    *a = (struct hf_heartbeat_adaptive){.base = {.ops = &ops}, .memory = memory, .rng = {.state = seed}};
    hf_heartbeat_adaptive_set_tolerance(a, tolerance_ms);
    draw_jitter(a);
}
