/*
 * sim.h - a whole Holdfast in one process and in virtual time: the real server cores (one hub a worker, over one block of shared
 * memory), the real client sessions, a supervisor, and a network between them that delays, splits, blocks, freezes and cuts.
 *
 * All chance comes from one seed, and nothing else decides: the same seed gives the same schedule, byte for byte.
 * Everything that acts is an actor with a time; the loop lets the one with the earliest time act, and where several have the same
 * time, one of them by chance. Time jumps from one such moment to the next.
 *
 *   sim.c       the loop, the schedule's options, the faults          oracle.c   what was promised, checked as it happens
 *   worker.c    workers and their supervisor                          shared.c   what must hold in shared memory
 *   network.c   connections                                           main.c     the test program
 *   client.c    client sessions and their applications                backend.c  the publisher behind the HTTP API
 *   roaming.c   what happens to a client's machine               thief.c    somebody else with a client's ticket
 *   asker.c     who asks for the members of channels
 *   follower.c  who follows the members of channels by joins and leaves   members.c  what of that is true
 *   orderer.c   the backend's orders about sessions
 *   judge.c     the backend that is asked about clients' publishes
 *   states.c    what clients promise about their states, checked after each step
 *   store.c     what a client's dead process leaves to the next
 */
#ifndef SIM_SIM_H
#define SIM_SIM_H

#include "base/now.h"
#include "base/rng.h"
#include "server/config.h"
#include "session/client_state.h"
#include "shm/region.h"
#include "sim/actor.h"
#include "sim/memory.h"
#include "sim/worker.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    SIM_WORKERS_MAX = 3,
    SIM_CLIENTS_MAX = 5,
    SIM_BACKENDS_MAX = 2,
    SIM_THIEVES_MAX = 2,
    SIM_FOLLOWERS_MAX = 4,
    SIM_PUBLISHERS_MAX = SIM_CLIENTS_MAX + SIM_BACKENDS_MAX,
    SIM_CHANNELS_MAX = 6,
    SIM_CONNS_MAX = 64,
    SIM_SHARDS_MAX = 4,
    SIM_SEGMENTS_MAX = 32,
    SIM_EPOCHS_MAX = 4,       /* of one channel in a schedule */
    SIM_PUBLISHES_MAX = 1000, /* of one publisher */
    SIM_MESSAGES_MAX = 7000,  /* of one channel's epoch */
    SIM_PAYLOAD_MAX = 8192,
};

#define SIM_NEVER UINT64_MAX

struct sim;

enum sim_group {
    SIM_CALM,
    SIM_CUTS,
    SIM_FREEZES,
    SIM_WORKER_KILLS,
    SIM_CRASH_POINTS,
    SIM_SLOW_READERS,
    SIM_EXPIRY,
    SIM_ROAMING,
    SIM_RESTARTS,
    SIM_CLIENT_DEATHS,
    SIM_EVERYTHING,
    SIM_GROUPS,
};

/* What a schedule consists of; drawn from its seed. */
struct sim_options {
    enum sim_group group;
    uint32_t workers, clients, backends, channels, followers;
    uint64_t fault_ms;     /* how long the faults and the applications go on */
    uint64_t delay_ms_max; /* of a piece of data on its way */
    uint32_t pipe_bytes; /* that a connection takes in one direction before its writer is blocked; at most */
    uint64_t fault_mean_ms; /* between two faults */
    uint32_t pad_bytes;     /* payloads are up to so large */
    uint32_t burst;         /* publishes at once, at most */
    uint64_t pace_mean_ms;  /* between two actions of an application */
    uint64_t preempt_mean;  /* points between two preemptions of a worker; 0: none */
    bool judged;            /* the backend is asked whether a client's publish may be */
    bool cuts, freezes, kills, crash_named, crash_anywhere, slow, outages, roams, drains, thefts, deaths;
};

/* How often something happened, to show that the schedules try what they are for. */
struct sim_stats {
    uint64_t schedules, steps, virtual_ms, published, delivered, acked, refused, uncertain, gaps, epoch_gaps;
    uint64_t judged, nonsense; /* publishes that the backend was asked about; answers of it that were none */
    uint64_t delivered_raw, delivered_base64; /* of those that were published as bytes */
    uint64_t connections, resumed, renewed, cuts, freezes, kills, crashes_named, crashes_anywhere,
        preemptions, asked, blocked_writes, refused_connects, carry_records, recycled, ring_full, log_full,
        stalls, repeated, keys, made_ahead, moves, outages, drains, thefts, deaths, member_lists, joins,
        leaves, left_out, orders, successions; /* successions: with publishes that a dead client left */
    uint64_t states[HF_CLIENT_STATE_COUNT],
        causes[HF_BY_CLOSED + 1]; /* of clients: how often each was told */
};

struct sim_channel_truth;

struct sim {
    uint64_t seed;
    struct sim_options options;
    struct hf_rng rng;
    uint64_t now_ms;              /* monotonic, virtual */
    bool trace, failed, settling; /* settling: the faults are over, and all must converge */
    uint64_t hash;                /* of all that happened: the same for the same seed */
    char failure[512];
    struct sim_arena arena; /* of what belongs to no worker */
    struct sim_stats *stats;

    void *memory;
    struct hf_region region;
    struct hf_config config;
    struct sim_worker workers[SIM_WORKERS_MAX];

    struct sim_actor *actors[SIM_WORKERS_MAX * 2 + (SIM_CLIENTS_MAX + SIM_THIEVES_MAX) * 2 +
                             SIM_BACKENDS_MAX + SIM_FOLLOWERS_MAX + SIM_CONNS_MAX + 5];
    uint32_t actor_count;
    struct sim_actor chaos;

    struct sim_conn *conns[SIM_CONNS_MAX];
    struct sim_client *clients[SIM_CLIENTS_MAX];
    struct sim_client *thieves[SIM_THIEVES_MAX];
    uint32_t thief_count;
    struct sim_backend *backends[SIM_BACKENDS_MAX];
    struct sim_asker *asker;
    struct sim_orderer *orderer;
    struct sim_follower *followers[SIM_FOLLOWERS_MAX];
    struct sim_oracle *oracle;
};

/* --- sim.c --- */
/* Run one schedule. Returns whether all promises were kept; else sim->failure says which was not. */
bool sim_run(struct sim *sim, uint64_t seed, bool trace, struct sim_stats *stats);
enum sim_group sim_group_of(uint64_t seed);
const char *sim_group_name(enum sim_group group);
/* A promise is broken: the schedule ends. */
void sim_fail(struct sim *sim, const char *fmt, ...) HF_PRINTF(2, 3);
/* Tell what happens, with --trace; always part of sim->hash. */
void sim_tell(struct sim *sim, const char *fmt, ...) HF_PRINTF(2, 3);
struct hf_now sim_now(const struct sim *sim);
void sim_actor_add(struct sim *sim, struct sim_actor *actor, void (*act)(struct sim *, void *), void *self);
void sim_actor_remove(struct sim *sim, struct sim_actor *actor);
/* Let it act at that time, if not earlier. */
void sim_actor_poke(struct sim_actor *actor, uint64_t at_ms);
/* Chance. between(): both ends may come; chance(): n in 100; spread(): around a mean, mostly below it, never 0. */
uint64_t sim_between(struct sim *sim, uint64_t least, uint64_t most);
bool sim_chance(struct sim *sim, uint32_t percent);
uint64_t sim_spread(struct sim *sim, uint64_t mean);

/* The schedule that runs, for the hooks that are not told. */
extern struct sim *sim_running;

#endif
