/*
 * rolling.h - the order in which workers are replaced one after the other, while the server serves. Pure but for what it reads and sets in the workers' slots.
 *
 *   IDLE     -> ASK       hf_rolling_begin()
 *   ASK      -> LEAVING   the worker of `slot` is told to drain: its connections go to the others
 *   LEAVING  -> STARTING  its process has ended
 *   STARTING -> ASK       its successor serves; the next slot
 *   ASK      -> IDLE      all have been replaced: those that have more than their share of connections now are told to give some away
 *   any      -> IDLE      a successor dies again and again, or the server stops
 *
 * The sessions and logs lie in the shared memory all the while, and the slot's listening sockets stay open in the supervisor.
 */
#ifndef HF_SERVER_ROLLING_H
#define HF_SERVER_ROLLING_H

#include "shm/region.h"

#include <stdbool.h>
#include <stdint.h>

enum hf_rolling_phase { HF_ROLLING_IDLE, HF_ROLLING_ASK, HF_ROLLING_LEAVING, HF_ROLLING_STARTING };

enum {
    HF_ROLLING_FAILURES_MAX = 3, /* deaths in a row after which a successor is taken for broken */
    HF_ROLLING_STUCK_MS =
        4000, /* from the end of a worker's drain to its kill; longer than it lingers over its close frames */
};

/* Zeroed: IDLE. */
struct hf_rolling {
    enum hf_rolling_phase phase;
    uint32_t slot;
    uint64_t began_ms, kill_at_ms;
};

/* What the supervisor knows of the worker of hf_rolling.slot. */
struct hf_rolling_view {
    bool alive;        /* it has a process */
    uint32_t failures; /* deaths in a row */
};

/* What the supervisor is to do about hf_rolling.slot. */
enum hf_rolling_act {
    HF_ROLLING_WAIT,
    HF_ROLLING_WAKE, /* it has been told to drain: wake it */
    HF_ROLLING_KILL, /* its time is over */
    HF_ROLLING_DONE, /* all are replaced: wake all, some have been told to shed connections */
    HF_ROLLING_BROKEN
};

/* Returns false where it is under way already. */
bool hf_rolling_begin(struct hf_rolling *r, uint64_t now_ms);
/* drain_ms: how long a worker's drain may take (drain.timeout). Call until it says WAIT. Not while the server stops. */
enum hf_rolling_act hf_rolling_tick(struct hf_rolling *r, struct hf_region *region,
                                    const struct hf_rolling_view *view, uint32_t drain_ms, uint64_t now_ms);

/* How many of its connections each worker should give away, so that all have about as many: 0 where it is not worth it. out: one for each worker. */
void hf_rolling_excess(const uint64_t *connections, uint32_t workers, uint32_t *out);

#endif
