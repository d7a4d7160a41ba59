#include "sim/sim.h"

#include "base/assert.h"
#include "sim/asker.h"
#include "sim/backend.h"
#include "sim/client.h"
#include "sim/follower.h"
#include "sim/judge.h"
#include "sim/network.h"
#include "sim/oracle.h"
#include "sim/orderer.h"
#include "sim/roaming.h"
#include "sim/shared.h"
#include "sim/thief.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

enum {
    MEMORY_BYTES_MAX = 256 << 20, /* address space; a schedule touches little of it */
    START_MS = 1000000,
    WALL_MS_AHEAD = 1000000000,
    SETTLE_MS_MAX =
        150000, /* in virtual time, from the last fault to rest: a backoff of 30 s may come first, and a session's expiry */
    SETTLE_LOOK_MS = 100,
    STEPS_MAX = 3000000, /* a schedule has some thousands */
};

struct sim *sim_running;

/* ---- Chance ---- */

uint64_t sim_between(struct sim *sim, uint64_t least, uint64_t most)
{
    return least + hf_rng_below(&sim->rng, most - least + 1);
}

bool sim_chance(struct sim *sim, uint32_t percent)
{
    return hf_rng_below(&sim->rng, 100) < percent;
}

uint64_t sim_spread(struct sim *sim, uint64_t mean)
{
    uint64_t most = mean;

    while (sim_chance(sim, 30) && most < mean * 8) /* Now and then much more. */
        most *= 2;
    return 1 + hf_rng_below(&sim->rng, most);
}

/* ---- What is said ---- */

void sim_tell(struct sim *sim, const char *fmt, ...)
{
    va_list args;

    if (!sim->trace)
        return;
    printf("# %8" PRIu64 " ms  ", sim->now_ms - START_MS);
    va_start(args, fmt);
    vprintf(fmt, args);
    va_end(args);
    printf("\n");
}

void sim_fail(struct sim *sim, const char *fmt, ...)
{
    va_list args;

    if (sim->failed)
        return;
    sim->failed = true;
    va_start(args, fmt);
    (void)vsnprintf(sim->failure, sizeof(sim->failure), fmt, args);
    va_end(args);
    sim_tell(sim, "FAILED: %s", sim->failure);
}

struct hf_now sim_now(const struct sim *sim)
{
    return (struct hf_now){.mono_ms = sim->now_ms, .wall_ms = sim->now_ms + WALL_MS_AHEAD};
}

/* ---- Actors ---- */

void sim_actor_add(struct sim *sim, struct sim_actor *actor, void (*act)(struct sim *, void *), void *self)
{
    hf_assert(sim->actor_count < sizeof(sim->actors) / sizeof(sim->actors[0]));
    *actor = (struct sim_actor){.at_ms = SIM_NEVER, .act = act, .self = self};
    sim->actors[sim->actor_count++] = actor;
}

void sim_actor_remove(struct sim *sim, struct sim_actor *actor)
{
    uint32_t i = 0;

    while (sim->actors[i] != actor)
        i++;
    sim->actors[i] = sim->actors[--sim->actor_count];
}

void sim_actor_poke(struct sim_actor *actor, uint64_t at_ms)
{
    if (at_ms < actor->at_ms)
        actor->at_ms = at_ms;
}

/* The next to act; of several at the same time, one by chance. */
static struct sim_actor *next_actor(struct sim *sim)
{
    struct sim_actor *best = sim->actors[0];
    uint32_t same = 1;

    for (uint32_t i = 1; i < sim->actor_count; i++) {
        struct sim_actor *actor = sim->actors[i];

        if (actor->at_ms < best->at_ms) {
            best = actor;
            same = 1;
        } else if (actor->at_ms == best->at_ms && actor->at_ms != SIM_NEVER &&
                   hf_rng_below(&sim->rng, ++same) == 0) {
            best = actor;
        }
    }
    return best;
}

static void step(struct sim *sim)
{
    struct sim_actor *actor = next_actor(sim);

    hf_assert(actor->at_ms != SIM_NEVER);
    if (actor->at_ms > sim->now_ms)
        sim->now_ms = actor->at_ms;
    actor->at_ms = SIM_NEVER;
    actor->act(sim, actor->self);
    sim->stats->steps++;
    for (uint32_t i = 0; i < sim->options.clients; i++)
        sim_states_check(sim->clients[i]);
    for (uint32_t i = 0; i < sim->thief_count; i++)
        sim_states_check(sim->thieves[i]);
}

/* ---- Options ---- */

static const char *const group_names[SIM_GROUPS] = {
    "calm",   "cuts",    "freezes",  "worker_kills",  "crash_points", "slow_readers",
    "expiry", "roaming", "restarts", "client_deaths", "everything"};

const char *sim_group_name(enum sim_group group)
{
    return group_names[group];
}

enum sim_group sim_group_of(uint64_t seed)
{
    return (enum sim_group)(seed % SIM_GROUPS);
}

static void draw_faults(struct sim_options *o)
{
    enum sim_group g = o->group;
    bool all = g == SIM_EVERYTHING;

    o->cuts = all || g == SIM_CUTS || g == SIM_EXPIRY || g == SIM_CLIENT_DEATHS;
    o->freezes = all || g == SIM_FREEZES || g == SIM_EXPIRY || g == SIM_ROAMING;
    o->kills = all || g == SIM_WORKER_KILLS || g == SIM_EXPIRY || g == SIM_CLIENT_DEATHS;
    o->crash_named = o->crash_anywhere = all || g == SIM_CRASH_POINTS;
    o->slow = all || g == SIM_SLOW_READERS;
    o->outages = g == SIM_EXPIRY;
    o->roams = all || g == SIM_ROAMING;
    o->drains = o->thefts = all || g == SIM_RESTARTS;
    o->deaths = all || g == SIM_CLIENT_DEATHS;
}

static void draw_options(struct sim *sim)
{
    struct sim_options *o = &sim->options;

    enum sim_group g = sim_group_of(sim->seed);

    *o = (struct sim_options){.group = g};
    draw_faults(o);
    if (o->group == SIM_CLIENT_DEATHS)
        o->outages = sim_chance(sim, 40);
    o->workers = sim_chance(sim, 70) ? 2 : 3;
    o->clients = (uint32_t)sim_between(sim, 2, SIM_CLIENTS_MAX);
    o->backends = (uint32_t)sim_between(sim, 0, SIM_BACKENDS_MAX);
    o->channels = (uint32_t)sim_between(sim, 1, SIM_CHANNELS_MAX);
    o->followers = (uint32_t)sim_between(sim, 1, SIM_FOLLOWERS_MAX);
    /* Without a network a probe comes each half minute only. */
    o->fault_ms = g == SIM_ROAMING ? sim_between(sim, 10000, 80000) : sim_between(sim, 2000, 8000);
    o->delay_ms_max = sim_between(sim, 0, sim_chance(sim, 20) ? 300 : 40);
    o->pipe_bytes = o->slow ? (uint32_t)sim_between(sim, 500, 20000) : 1 << 18;
    o->fault_mean_ms =
        sim_between(sim, 50, 1000); /* Of twelve kinds, of which most groups have but one or two. */
    o->burst = o->slow ? (uint32_t)sim_between(sim, 1, 30) : (uint32_t)sim_between(sim, 1, 8);
    o->pace_mean_ms = sim_between(sim, 50, 500) * (g == SIM_ROAMING ? 8 : 1);
    o->preempt_mean = sim_chance(sim, 60) ? sim_between(sim, 300, 30000) : 0;
}

/* Rings and logs are small, so that they fill, and so that segments are recycled. */
static struct hf_region_config draw_region(struct sim *sim)
{
    static const uint32_t ring_bytes[] = {1024, 2048, 4096, 16384};
    struct hf_region_config rc = {.workers = sim->options.workers,
                                  .shards = (uint32_t)sim_between(sim, 1, SIM_SHARDS_MAX),
                                  .segment_count = (uint32_t)sim_between(sim, 4, 12),
                                  .channels_max = 64,
                                  .sessions_max = 64 * sim->options.workers};
    uint32_t size = (uint32_t)sim_between(sim, 0, 3);

    rc.ring_bytes = ring_bytes[size];
    rc.segment_bytes = sim_chance(sim, 50) ? 8192 : 4096 * (uint32_t)sim_between(sim, 2, 8);
    rc.boot_id = hf_rng_next(&sim->rng);
    /* What waits in the rings fits into a log, as it does in the product. */
    while (rc.segment_bytes * (rc.segment_count - 2) < 3 * rc.ring_bytes * rc.workers)
        rc.segment_count++;
    hf_assert(rc.segment_count <= SIM_SEGMENTS_MAX);
    return rc;
}

static void draw_config(struct sim *sim, const struct hf_region_config *rc)
{
    struct hf_config *c = &sim->config;

    hf_config_default(c);
    c->workers = rc->workers;
    c->shards = rc->shards;
    c->segment_bytes = rc->segment_bytes;
    c->segments_per_shard = rc->segment_count;
    c->channels_max = rc->channels_max;
    c->sessions_max = rc->sessions_max;
    c->connections_max = 0;
    c->admission_rate = 4000; /* The default is by the machine's CPUs. */
    if ((sim->options.roams || sim->options.drains) &&
        sim_chance(sim, 30)) /* Then it sends away, and says for how long. */
        c->admission_rate = (uint32_t)sim_between(sim, 1, 20);
    c->heartbeat_interval_ms = (uint32_t)sim_between(sim, 1000, 4000);
    c->heartbeat_min_ms = 500;
    c->heartbeat_max_ms = 10000;
    c->handshake_timeout_ms = 3000;
    c->inflight_max = (uint32_t)sim_between(sim, 1, 64);
    c->session_subscriptions_max = 64;
    c->message_bytes_max = rc->ring_bytes / 4 < 2000 ? rc->ring_bytes / 4 : 2000;
    if (sim_chance(sim, 25)) /* Then what is refused once would be taken another time. */
        c->publish_rate = (uint32_t)sim_between(sim, 2, 40);
    c->idempotency_keys_max = 8 * rc->shards; /* A quarter of a segment must hold all of a shard's. */
    if (sim->options.outages) {
        c->session_ttl_ms = (uint32_t)sim_between(sim, 500, 4000);
        c->session_tombstone_ms = (uint32_t)sim_between(sim, 1000, 60000);
    }
    sim->options.pad_bytes = c->message_bytes_max;
}

/* ---- Faults ---- */

static struct sim_worker *any_worker(struct sim *sim)
{
    return &sim->workers[sim_between(sim, 0, sim->options.workers - 1)];
}

static struct sim_client *any_client(struct sim *sim)
{
    return sim->clients[sim_between(sim, 0, sim->options.clients - 1)];
}

static void kill_some(struct sim *sim)
{
    bool both = sim_chance(sim, 20);

    for (uint32_t i = 0; i < sim->options.workers; i++)
        if (both)
            sim_worker_kill(&sim->workers[i]);
    if (!both)
        sim_worker_kill(any_worker(sim));
}

static void slow_down(struct sim *sim)
{
    if (sim_chance(sim, 50))
        sim_network_squeeze(sim);
    else if (sim_chance(sim, 70))
        any_client(sim)->reads_from_ms = sim->now_ms + sim_spread(sim, 1500);
    else
        any_worker(sim)->stalled_until_ms = sim->now_ms + sim_spread(sim, 200);
}

/* A worker is to end: in good order, or for as long as its supervisor waits. */
static void drain_some(struct sim *sim)
{
    sim_worker_drain(any_worker(sim), (uint32_t)sim_between(sim, 0, 2000));
    for (uint32_t i = 0; i < sim->options.clients; i++)
        sim->clients[i]->states.advised = true;
    for (uint32_t i = 0; i < sim->thief_count; i++)
        sim->thieves[i]->states.advised = true;
}

static void do_some_harm(struct sim *sim)
{
    const struct sim_options *o = &sim->options;

    switch (sim_between(sim, 0, 11)) {
    case 0:
    case 1:
        if (o->cuts)
            sim_network_cut(sim);
        break;
    case 2:
        if (o->freezes)
            sim_network_freeze(sim);
        break;
    case 3:
        if (o->kills)
            kill_some(sim);
        break;
    case 4:
        if (o->crash_named || o->crash_anywhere) {
            bool named = sim_chance(sim, 60);

            sim_worker_arm(any_worker(sim), named, named ? sim_between(sim, 1, 12) : sim_spread(sim, 5000));
        }
        break;
    case 5:
        if (o->slow)
            slow_down(sim);
        break;
    case 6:
        if (o->outages)
            sim_roaming_sleep(sim, any_client(sim), 2 * (uint64_t)sim->config.session_ttl_ms);
        break;
    case 7:
        if (o->roams)
            sim_roaming_fault(sim);
        break;
    case 8:
        if (o->drains)
            drain_some(sim);
        break;
    case 9:
        if (o->thefts)
            sim_thief_steal(sim);
        break;
    default:
        if (o->deaths)
            sim_client_kill(any_client(sim));
        break;
    }
}

static bool at_rest(struct sim *sim, const char **why)
{
    *why = "a client waits for answers, or for its connection";
    for (uint32_t i = 0; i < sim->options.clients; i++)
        if (!sim_client_settled(sim->clients[i]))
            return false;
    *why = "a backend waits for its answer";
    for (uint32_t i = 0; i < sim->options.backends; i++)
        if (!sim_backend_settled(sim->backends[i]))
            return false;
    if (!sim_judge_settled(sim, why) || !sim_oracle_caught_up(sim, why))
        return false;
    return sim_followers_settled(sim, why) && sim_shared_settled(sim, why) && sim_orderer_settled(sim, why) &&
           sim_asker_settled(sim, why);
}

static void begin_settling(struct sim *sim)
{
    sim->settling = true;
    sim_tell(sim, "the faults are over");
    for (uint32_t i = 0; i < sim->options.workers; i++)
        sim->workers[i].crash_in = sim->workers[i].stalled_until_ms = 0;
    sim_network_heal(sim);
    sim_clients_settle(sim);
    sim_followers_settle(sim);
    sim_thieves_settle(sim);
}

static void chaos_act(struct sim *sim, void *self)
{
    const char *why;

    (void)self;
    if (sim->now_ms < START_MS + sim->options.fault_ms) {
        do_some_harm(sim);
        sim->chaos.at_ms = sim->now_ms + sim_spread(sim, sim->options.fault_mean_ms);
        return;
    }
    if (!sim->settling)
        begin_settling(sim);
    if (at_rest(sim, &why))
        return; /* It does not act any more: the schedule is over. */
    sim->chaos.at_ms = sim->now_ms + SETTLE_LOOK_MS;
    if (sim->now_ms > START_MS + sim->options.fault_ms + SETTLE_MS_MAX)
        sim_fail(sim, "%u s after the last fault there is no rest: %s", SETTLE_MS_MAX / 1000, why);
}

/* ---- A schedule ---- */

static void lay_out(struct sim *sim)
{
    struct hf_region_config rc = draw_region(sim);

    if (sim->memory == NULL)
        sim->memory = mmap(NULL, MEMORY_BYTES_MAX, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    hf_assert(sim->memory != MAP_FAILED && hf_region_bytes(&rc) <= MEMORY_BYTES_MAX);
    hf_assert(madvise(sim->memory, MEMORY_BYTES_MAX, MADV_DONTNEED) == 0); /* All zero again. */
    hf_region_format(sim->memory, &rc);
    hf_assert(hf_region_open(&sim->region, sim->memory) == 0);
    draw_config(sim, &rc);
}

static void begin(struct sim *sim, uint64_t seed, bool trace, struct sim_stats *stats)
{
    sim->seed = sim->rng.state = seed;
    sim->now_ms = START_MS;
    sim->trace = trace;
    sim->stats = stats;
    sim->failed = sim->settling = false;
    sim->failure[0] = '\0';
    sim->actor_count = sim->thief_count = 0;
    sim_running = sim;
    sim_arena_init(&sim->arena, false);
    sim_arena_enter(&sim->arena);
    draw_options(sim);
    lay_out(sim);
    sim_judge_start(sim);
    sim_oracle_start(sim);
    sim_members_start(sim);
    sim_workers_start(sim);
    sim_backends_start(sim);
    sim_asker_start(sim);
    sim_clients_start(sim);
    sim_orderer_start(sim);
    sim_followers_start(sim);
    sim_actor_add(sim, &sim->chaos, chaos_act, sim);
    sim->chaos.at_ms = START_MS + sim_spread(sim, sim->options.fault_mean_ms);
}

static void count_counters(struct sim *sim)
{
    for (uint32_t slot = 0; slot < sim->options.workers; slot++) {
        const struct hf_counters *c = &sim->region.slots[slot].counters;

        sim->stats->recycled += atomic_load(&c->counter[HF_COUNT_SEGMENTS_RECYCLED]);
        sim->stats->ring_full += atomic_load(&c->counter[HF_COUNT_RING_FULL]);
        sim->stats->log_full += atomic_load(&c->counter[HF_COUNT_LOG_FULL]);
        sim->stats->stalls += atomic_load(&c->counter[HF_COUNT_STALLS]);
        sim->stats->repeated += atomic_load(&c->counter[HF_COUNT_PUBLISHES_REPEATED]);
    }
}

static void end(struct sim *sim)
{
    if (!sim->failed)
        sim_oracle_finish(sim);
    if (!sim->failed)
        sim_shared_finish(sim);
    count_counters(sim);
    sim->stats->schedules++;
    sim->stats->virtual_ms += sim->now_ms - START_MS;
    sim->hash = hf_rng_next(&sim->rng) ^ sim->now_ms;
    sim_thieves_free(sim);
    sim_clients_free(sim);
    sim_backends_free(sim);
    sim_asker_free(sim);
    sim_orderer_free(sim);
    sim_followers_free(sim);
    sim_members_free(sim);
    for (uint32_t slot = 0; slot < sim->options.workers; slot++)
        sim_worker_finish(&sim->workers[slot]);
    sim_judge_free(sim);
    sim_network_free(sim);
    sim_oracle_free(sim);
    if (!sim->failed && sim->arena.count != 0)
        sim_fail(sim, "the clients leave %zu blocks of memory behind", sim->arena.count);
    sim_arena_enter(NULL);
    sim_arena_wipe(&sim->arena);
    sim_running = NULL;
}

bool sim_run(struct sim *sim, uint64_t seed, bool trace, struct sim_stats *stats)
{
    uint64_t steps = 0;

    begin(sim, seed, trace, stats);
    while (!sim->failed && sim->chaos.at_ms != SIM_NEVER) {
        step(sim);
        if (++steps > STEPS_MAX)
            sim_fail(sim, "%u steps, and no end", STEPS_MAX);
    }
    end(sim);
    return !sim->failed;
}
