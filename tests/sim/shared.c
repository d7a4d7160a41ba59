#include "sim/shared.h"

#include "server/hub_state.h"
#include "sim/client.h"
#include "sim/follower.h"
#include "sim/oracle.h"
#include "sim/sim.h"

#include <inttypes.h>
#include <stdio.h>

enum { SETTLED_LAG_MS_MAX = 2500 };

/* ---- After each turn ---- */

static void check_pins(struct sim *sim, const struct sim_worker *w)
{
    for (uint32_t shard = 0; shard < sim->region.config->shards; shard++) {
        struct hf_log log;

        hf_log_open(&log, hf_region_log(&sim->region, shard), w->slot);
        for (uint32_t slot = 0; slot < log.shm->segment_count; slot++)
            if (atomic_load(&log.my_pins[slot]) != 0)
                sim_fail(sim, "worker %u has pinned segment %u of shard %u beyond its turn", w->slot, slot,
                         shard);
    }
}

static void check_heads(struct sim *sim, uint32_t shard)
{
    struct hf_log log;
    struct hf_channels t;

    hf_log_open(&log, hf_region_log(&sim->region, shard), 0);
    hf_channels_open(&t, hf_region_channels(&sim->region, shard));
    for (uint32_t place = 0; place < atomic_load(&t.shm->high); place++) {
        const struct hf_channel *c = &t.table[place];
        uint64_t head = atomic_load(&c->head);
        const struct hf_record *newest = hf_log_own(&log, atomic_load(&c->newest));

        if (atomic_load(&c->cid) == 0)
            continue;
        if (atomic_load(&c->newest) == 0 ? head != 0 : newest != NULL && newest->offset != head)
            sim_fail(sim, "shard %u, channel %u: its head is %" PRIu64 ", its newest record is another",
                     shard, place, head);
    }
}

/* Whether no worker but this one is in the midst of something. */
static bool others_wait(const struct sim *sim, const struct sim_worker *w)
{
    for (uint32_t slot = 0; slot < sim->options.workers; slot++) {
        const struct sim_worker *other = &sim->workers[slot];

        if (other->phase != SIM_WORKER_RUNNING || (other != w && !other->waiting))
            return false;
    }
    return true;
}

/* What stands behind a channel's head is due already, or its worker has been told of it and has not looked yet. */
static void check_topic(struct sim *sim, const struct hf_hub *hub, struct hf_topic *t)
{
    uint64_t head = atomic_load(&t->channel->head);

    if (!hf_channel_untold(t->channel, hub->slot) || !hf_list_empty(&t->dirty))
        return;
    for (uint32_t i = 0; i < t->count; i++)
        if (t->subs[i]->cursor.next_offset <= head && !t->subs[i]->due)
            sim_fail(sim, "worker %u will not hear that %.*s has offset %" PRIu64, hub->slot,
                     (int)hf_topic_name(t).len, hf_topic_name(t).data, head);
}

static void check_told(struct sim *sim)
{
    for (uint32_t slot = 0; slot < sim->options.workers; slot++) {
        const struct hf_hub *hub = sim->workers[slot].hub;

        for (size_t i = 0; i < hub->topics.cap; i++)
            if (hub->topics.table[i].key != 0)
                check_topic(sim, hub, (struct hf_topic *)(uintptr_t)hub->topics.table[i].a);
    }
}

void sim_shared_check_turn(struct sim *sim, const struct sim_worker *w)
{
    check_pins(sim, w);
    if (others_wait(sim, w))
        check_told(sim);
    for (uint32_t shard = 0; shard < sim->region.config->shards; shard++)
        if (hf_region_owner(&sim->region, shard) == w->slot)
            check_heads(sim, shard);
}

/* ---- At rest ---- */

static bool rings_empty(const struct sim *sim)
{
    for (uint32_t from = 0; from < sim->options.workers; from++)
        for (uint32_t to = 0; to < sim->options.workers; to++)
            for (int class = 0; class < HF_RING_CLASSES; class ++)
                if (from != to &&
                    !hf_ring_empty(hf_region_ring(&sim->region, (enum hf_ring_class) class, from, to)))
                    return false;
    return true;
}

static bool conn_at_rest(const struct hf_conn *c)
{
    return c->phase == HF_CONN_OPEN && c->stall == NULL && hf_window_count(&c->window) == 0 &&
           c->out.len == 0 && c->in == NULL && c->due_subs == NULL && !c->paused;
}

static bool hub_at_rest(struct hf_hub *hub)
{
    const struct hf_conn *c;
    uint32_t at = 0;

    while ((c = hf_conns_next(&hub->conns, &at)) != NULL)
        if (!conn_at_rest(c))
            return false;
    return hf_list_empty(&hub->young) && hf_list_empty(&hub->stalled) && hf_list_empty(&hub->pending) &&
           hub->due.count == 0 && hf_list_empty(&hub->dirty_topics) && !hf_exchange_busy(hub);
}

static uint32_t live_clients(const struct sim *sim)
{
    uint32_t count = sim_followers_connected(sim);

    for (uint32_t i = 0; i < sim->options.clients; i++)
        count += !sim->clients[i]->ended;
    return count;
}

static bool workers_at_rest(const struct sim *sim, const char **why)
{
    uint32_t conns = 0;

    for (uint32_t slot = 0; slot < sim->options.workers; slot++) {
        const struct sim_worker *w = &sim->workers[slot];

        *why = "a worker does not run";
        if (w->phase != SIM_WORKER_RUNNING || !w->waiting ||
            atomic_load(&sim->region.slots[slot].state) != HF_SLOT_RUNNING)
            return false;
        *why = "a worker has something left to do";
        if (!hub_at_rest(w->hub))
            return false;
        conns += w->hub->conns.count;
    }
    *why = "there are more connections than clients";
    return conns == live_clients(sim);
}

/* A session's record says what its client knows: it lives, with these subscriptions, acknowledged to their ends. */
static bool session_is_true(const struct sim *sim, const struct hf_sessions *t, uint32_t client,
                            char why[160])
{
    const struct hf_session *s = hf_sessions_get(t, sim_oracle_session(sim, client));
    const struct hf_session_sub *sub;
    uint32_t cursor = 0, count = 0;
    uint64_t offset;
    bool latest;

    (void)snprintf(why, 160, "client %u has no live session", client);
    if (s == NULL || hf_state_phase(atomic_load(&s->state)) != HF_SESSION_LIVE)
        return false;
    while ((sub = hf_session_sub_next(t, s, &cursor)) != NULL) {
        uint64_t cid = atomic_load(&sub->cid) & HF_SUB_CID, acked = atomic_load(&sub->acked);

        (void)snprintf(why, 160, "the session of client %u has a subscription too many", client);
        if (!sim_oracle_stands(sim, client, cid, &offset, &latest))
            return false;
        (void)snprintf(why, 160,
                       "client %u has offset %" PRIu64 " of channel %" PRIx64
                       ", its session's record %" PRIu64,
                       client, offset, cid, acked);
        if (offset != 0 && (latest ? acked > offset : acked != offset))
            return false;
        count++;
    }
    (void)snprintf(why, 160, "the session of client %u has a subscription too few", client);
    return count == sim_oracle_subscriptions(sim, client);
}

static bool sessions_are_true(const struct sim *sim, const char **why)
{
    const struct hf_sessions *t = &sim->workers[0].hub->sessions;
    static char text[160];
    struct hf_session *s;
    uint32_t live = 0;
    uint64_t cursor = 0;

    *why = text;
    for (uint32_t i = 0; i < sim->options.clients; i++)
        if (!sim->clients[i]->ended && !session_is_true(sim, t, i, text))
            return false;
    while ((s = hf_sessions_next(t, &cursor)) != NULL)
        live += hf_state_phase(atomic_load(&s->state)) == HF_SESSION_LIVE;
    *why = "there are more live sessions than clients";
    return live == live_clients(sim);
}

bool sim_shared_settled(const struct sim *sim, const char **why)
{
    if (!workers_at_rest(sim, why))
        return false;
    *why = "a ring is not empty";
    if (!rings_empty(sim))
        return false;
    *why = "the workers have not settled";
    if (hf_region_settled_ms(&sim->region, sim->now_ms) + SETTLED_LAG_MS_MAX < sim->now_ms)
        return false;
    return sessions_are_true(sim, why);
}

/* ---- At the end ---- */

struct walk {
    struct sim *sim;
    const struct hf_log *log;
    uint32_t shard;
};

static bool is_at(const struct hf_log *log, hf_ref ref, const struct hf_record *of, uint64_t offset)
{
    const struct hf_record *r = hf_log_own(log, ref);

    return r == NULL || (r->kind == HF_RECORD_MESSAGE && r->cid == of->cid && r->offset == offset);
}

static void check_record(void *ctx, struct hf_record *r, hf_ref ref)
{
    const struct walk *walk = ctx;

    (void)ref;
    if (r->kind != HF_RECORD_MESSAGE)
        return;
    if (!is_at(walk->log, r->prev, r, r->offset - 1) || !is_at(walk->log, r->jump, r, r->jump_offset) ||
        !is_at(walk->log, atomic_load(&r->next), r, r->offset + 1))
        sim_fail(walk->sim, "shard %u: the record of offset %" PRIu64 " is linked to another", walk->shard,
                 r->offset);
}

static void check_gauges(struct sim *sim)
{
    uint64_t subscriptions = 0, conns = 0, expected = sim_followers_subscriptions(sim);

    for (uint32_t slot = 0; slot < sim->options.workers; slot++) {
        const struct hf_counters *c = &sim->region.slots[slot].counters;

        conns += atomic_load(&c->gauge[HF_GAUGE_CONNECTIONS]);
        subscriptions += atomic_load(&c->gauge[HF_GAUGE_SUBSCRIPTIONS]);
    }
    for (uint32_t i = 0; i < sim->options.clients; i++)
        expected += sim->clients[i]->ended ? 0 : sim_oracle_subscriptions(sim, i);
    if (conns != live_clients(sim) || subscriptions != expected)
        sim_fail(sim,
                 "the gauges say %" PRIu64 " connections and %" PRIu64
                 " subscriptions, there are %u and %" PRIu64,
                 conns, subscriptions, live_clients(sim), expected);
}

void sim_shared_finish(struct sim *sim)
{
    for (uint32_t shard = 0; shard < sim->region.config->shards; shard++) {
        struct hf_log log;
        struct walk walk = {sim, &log, shard};

        hf_log_open(&log, hf_region_log(&sim->region, shard), 0);
        hf_log_scan(&log, check_record, &walk);
        check_heads(sim, shard);
    }
    for (uint32_t slot = 0; slot < sim->options.workers; slot++)
        check_pins(sim, &sim->workers[slot]);
    check_gauges(sim);
}
