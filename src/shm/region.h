/*
 * region.h - the whole of the shared memory: one mapping, laid out once by the supervisor before any worker starts.
 * Every process maps it at whatever address; inside, only places and numbers. An unused part costs no memory.
 */
#ifndef HF_SHM_REGION_H
#define HF_SHM_REGION_H

#include "shm/busy.h"
#include "shm/channels.h"
#include "shm/counters.h"
#include "shm/gate.h"
#include "shm/handout.h"
#include "shm/hints.h"
#include "shm/journal.h"
#include "shm/log.h"
#include "shm/ring.h"
#include "shm/sessions.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct hf_region_config {
    uint32_t workers, shards;
    uint32_t segment_bytes, segment_count; /* of each shard's log */
    uint32_t channels_max, sessions_max;   /* all together */
    uint32_t ring_bytes;                   /* of each ring's data, a power of two */
    uint64_t gate_secret;                  /* random, never told to anybody */
    uint32_t address_cells;                /* of the gate's tables; 0: addresses are not counted */
    uint32_t handout_bytes;                /* of what the supervisor hands out: the configuration */
    uint64_t boot_id;                      /* random; names this server's life */
};

/*
 * Two rings from each worker to each other one, made by their producer when it has something to say for the first time: what the rings cost grows
 * with the pairs that talk, not with the square of the workers. Handling a request may need room in the answer ring of the other direction; an answer is always
 * handled at once. So two workers whose request rings are full both ways still move on.
 */
enum hf_ring_class { HF_RING_REQUEST, HF_RING_ANSWER, HF_RING_CLASSES };

enum hf_slot_state { HF_SLOT_EMPTY, HF_SLOT_STARTING, HF_SLOT_RUNNING, HF_SLOT_DEAD };

/* A channel that a worker has subscribers of, and how many. The worker alone writes; what a dead one counted goes when its successor starts. */
struct hf_tally {
    _Atomic uint64_t cid; /* 0: free */
    _Atomic uint64_t subscribers;
};

/* One worker slot. */
struct hf_slot {
    _Alignas(64) _Atomic uint32_t state; /* STARTING, DEAD: the supervisor; RUNNING: the worker */
    _Atomic int32_t pid;                 /* the supervisor */
    _Atomic uint32_t starts;             /* how often a worker was started here; the supervisor */
    _Atomic uint32_t draining; /* enum hf_drain_why: advise all to leave, then end; the supervisor */
    _Atomic uint32_t
        condemned;         /* set by any worker for the demo; the supervisor kills this one, and clears it */
    _Atomic uint32_t shed; /* connections that it should give to others; the supervisor, and 0 the worker */
    _Atomic uint32_t full; /* others shall have the new connections; the worker, and its successor */
    _Atomic uint64_t alive_ms; /* last turn of the worker's loop, monotonic; the worker */
    _Atomic uint64_t
        rung_ms; /* monotonic: for all that it had put into rings before then, the bells are rung; the worker */
    _Atomic uint64_t
        settled_ms; /* monotonic: all requests that were put into rings to it before then are handled; the worker */
    _Alignas(
        64) _Atomic uint32_t sleeping; /* set by the worker before it waits; cleared by whoever wakes it */
    _Alignas(64) _Atomic uint64_t
        pending[HF_WORKER_WORDS]; /* bit of each worker that has put something into a ring to this one */
    _Alignas(64) _Atomic uint32_t tallies; /* of its tallies, how many were ever used; the worker */
    _Alignas(64) _Atomic uint64_t
        talks[HF_WORKER_WORDS]; /* bit of each worker for whom it ever made rings; the worker */
    _Alignas(64) struct hf_counters counters;
    _Alignas(64) struct hf_busy_shm busy;
};

struct hf_region_header {
    uint64_t magic;
    struct hf_region_config config;
    uint64_t slots_at, rings_at, ring_stride, tallies_at, tallies_stride, shards_at, log_bytes, channels_at,
        channels_bytes, sessions_at, gate_at, handout_at, journals_at, journal_stride, hints_at, bytes;
    uint64_t started_ms;       /* of the server, wall clock; the supervisor, before any worker */
    _Atomic uint32_t followed; /* somebody has ever followed the subscribers of a channel; any worker */
    /* All three: the supervisor. A worker that sees another generation than it has loads the certificates anew. */
    _Atomic uint32_t tls_generation;
    _Atomic uint32_t tls_reloads, tls_reloads_failed;
    /* The same for the keys of tokens. */
    _Atomic uint32_t auth_generation;
    _Atomic uint32_t auth_reloads, auth_reloads_failed;
    _Atomic uint32_t config_reloads, config_reloads_failed; /* of the configuration; the supervisor */
    _Atomic uint64_t harmed_ms
        [3]; /* when the demo did its last harm of each kind, monotonic; any worker, by compare-and-swap */
};

/* One process's view. Plain; nothing to release but what its parts say. */
struct hf_region {
    struct hf_region_header *header;
    const struct hf_region_config *config;
    struct hf_slot *slots;
};

/* Bytes that this configuration takes. */
size_t hf_region_bytes(const struct hf_region_config *config);
/* Lay out zeroed memory of that size (8-byte pages aligned at 64 at least). */
void hf_region_format(void *memory, const struct hf_region_config *config);
/* View memory that has been laid out. Returns 0, or HF_EBADMSG where it has not. */
int hf_region_open(struct hf_region *r, void *memory) HF_MUST_CHECK;

/*
 * A new supervisor takes over what an earlier server has left, all of whose processes have ended, however: as if all workers had died at once. Memory of
 * hf_region_bytes(config). Returns 0, or HF_EBADMSG where it is no such memory, another program's, or of another configuration: nothing has been changed then.
 */
int hf_region_adopt(void *memory, const struct hf_region_config *config) HF_MUST_CHECK;

struct hf_ring *hf_region_ring(const struct hf_region *r, enum hf_ring_class class, uint32_t from,
                               uint32_t to);
/* The same for its producer, who may be the first to touch it: it is made where it is not there yet. */
struct hf_ring *hf_region_ring_to(struct hf_region *r, enum hf_ring_class class, uint32_t from, uint32_t to);
/* Whether `from` has ever made its rings to `to`. */
bool hf_region_talks(const struct hf_region *r, uint32_t from, uint32_t to);
/* The tallies of a worker: config->channels_max of them, in no order. */
struct hf_tally *hf_region_tallies(const struct hf_region *r, uint32_t slot);
struct hf_log_shm *hf_region_log(const struct hf_region *r, uint32_t shard);
struct hf_channels_shm *hf_region_channels(const struct hf_region *r, uint32_t shard);
struct hf_sessions_shm *hf_region_sessions(const struct hf_region *r);
struct hf_gate_shm *hf_region_gate(const struct hf_region *r);
struct hf_handout *hf_region_handout(const struct hf_region *r);
struct hf_journal_shm *hf_region_journal(const struct hf_region *r, uint32_t slot);
/* What a worker tells of changes among the subscribers of followed channels. */
struct hf_hints *hf_region_hints(const struct hf_region *r, uint32_t slot);

/* Which slot owns a shard: for the server's life. */
static inline uint32_t hf_region_owner(const struct hf_region *r, uint32_t shard)
{
    return shard % r->config->workers;
}

/*
 * Tell `to` that `from` has put something into one of its rings. Returns whether `to` sleeps and must be woken through its
 * descriptor.
 */
bool hf_region_ring_bell(struct hf_region *r, uint32_t from, uint32_t to);
/* Take all bells of one word of `slot`, as bits. */
uint64_t hf_region_take_bells(struct hf_region *r, uint32_t slot, uint32_t word);
/*
 * About to wait: returns false where something came meanwhile, so that the worker must not. After waking (or on false) call hf_region_awake().
 */
bool hf_region_sleep(struct hf_region *r, uint32_t slot);
void hf_region_awake(struct hf_region *r, uint32_t slot);

/* Whether the process that was this slot's at its `life`-th start, modulo 16, may still run; false: it is dead. slot may come from anywhere. */
bool hf_region_lives(const struct hf_region *r, uint32_t slot, uint32_t life);
/* Supervisor, when the process of a slot has gone: mark it and clear its pins. The worker's part of the sessions and channels is left to its successor. */
void hf_region_bury_worker(struct hf_region *r, uint32_t slot);
/* A new worker, before it serves: gauges to 0, nothing settled, no subscribers. */
void hf_region_reset_worker(struct hf_region *r, uint32_t slot);
/*
 * A new worker, piece by piece beside its work: take away the interest that its predecessor left in channels and that it has not itself: held(ctx, cid).
 * Until then it is told of their messages in vain, once each. Looks at up to `most` places from *cursor (0 at first) on. Returns whether there
 * is more to look at.
 */
bool hf_region_forget_interest(struct hf_region *r, uint32_t slot, uint64_t mono_ms, uint64_t *cursor,
                               uint32_t most, bool (*held)(void *ctx, hf_cid cid), void *ctx);

/* The time before which all that workers put into rings has been announced by their bells. To be read before one's own bells are taken. */
uint64_t hf_region_rung_ms(const struct hf_region *r);
/* The time before which every request is handled by every worker; 0 while one is dead or has not settled yet. */
uint64_t hf_region_settled_ms(const struct hf_region *r, uint64_t now_ms);

/* The epoch of a channel incarnation as text, up to 27 bytes with NUL: unlike any other of this or another server's life. */
size_t hf_region_epoch(const struct hf_region *r, hf_cid cid, char out[32]);

#endif
