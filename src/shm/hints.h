/*
 * hints.h - what a worker tells the others about who is subscribed to a channel: "look at this session again".
 *
 * The truth is the session table (shm/sessions.h). A hint says no more than where it has changed: whoever follows a channel's subscribers reads the hints of all
 * workers, and looks. So a hint may come twice, late or for nothing. It may not be missed: a reader that was overtaken by the writer is told so, and one that finds
 * another process in the writer's slot (struct hf_slot, starts) must suppose that the last one died between a change and its hint. Both look through the table anew.
 *
 * Hints are given for channels only whose `followed` is set (struct hf_channel). The writer changes the table, then looks at `followed`; the follower sets it, then looks at
 * the table (all sequentially consistent): so the writer sees the follower, or the follower the change.
 *
 *   ring[]   the worker of the slot
 *   head     the same, after the hint (release); it never wraps and survives the process
 *
 * A worker that dies before its store to head has told nothing; the next one writes the same place again.
 */
#ifndef HF_SHM_HINTS_H
#define HF_SHM_HINTS_H

#include "base/err.h"
#include "shm/channels.h"

#include <stdatomic.h>
#include <stdint.h>

/* 64 KiB for each worker that ever gives one: a reader that looks once a turn is overtaken by four thousand changes of one worker in it. A guess. */
#ifndef HF_SIMULATION
enum { HF_HINTS = 4096 };
#else /* Few, so that a reader that is held up is overtaken. */
enum { HF_HINTS = 8 };
#endif

struct hf_hint {
    _Atomic uint64_t cid;     /* the channel: hf_cid */
    _Atomic uint64_t session; /* its number */
};

struct hf_hints {
    _Alignas(64) _Atomic uint64_t head; /* how many were ever given */
    _Alignas(64) struct hf_hint ring[HF_HINTS];
};

/* Writer. */
void hf_hints_put(struct hf_hints *h, hf_cid cid, uint64_t session);

/*
 * Reader: the hint behind *next, which counts those that it has read. Returns 1 with *cid and *session set and *next one further; 0: no more; HF_EGAP: some were written over
 * before they were read, and *next is now at the newest.
 */
int hf_hints_read(const struct hf_hints *h, uint64_t *next, hf_cid *cid, uint64_t *session) HF_MUST_CHECK;

#endif
