/*
 * drain.h - how long a drain takes, and how the connections leave in it. Pure.
 *
 * Clients are advised at once to leave within a window, each at a random time in it. The window is as long as it takes to let all of them in elsewhere: connections ÷
 * what the admission rate leaves to resumes, so that the herd comes at the pace at which its next server or worker admits. Behind the window those who got no answer have
 * a while to try again; then what is left is closed.
 */
#ifndef HF_SERVER_DRAIN_H
#define HF_SERVER_DRAIN_H

#include <stdint.h>

/* Why a worker drains: the values of hf_slot.draining. */
enum hf_drain_why {
    HF_DRAIN_NONE,
    HF_DRAIN_STOP, /* the server ends: advice `draining`, then close 1001; newcomers are refused */
    HF_DRAIN_REPLACE, /* another process takes this slot: advice `rebalance`, then close 1012; newcomers are served */
};

enum {
    HF_DRAIN_WINDOW_MS_LEAST = 1000, /* a guess: what a person does not notice, and a balancer needs to see */
    HF_DRAIN_SETTLE_MS = 4000,       /* for an attempt that is refused or lost once; a guess */
    HF_DRAIN_HANDOVER_MS_MAX = 2000, /* see hf_drain_plan_alone() */
    HF_DRAIN_HANDOVER_SETTLE_MS = 300 /* TCP and the request of those who came last */
};

struct hf_drain_plan {
    uint32_t wanted_ms; /* the window that the rate asks for */
    uint32_t
        window_ms; /* the one that the time allows; less than wanted_ms: the herd comes faster than it is let in */
    uint32_t total_ms; /* from the advice to the close of what is left; at most timeout_ms */
};

/* rate: admission.rate, 0: no bound (then as if it were 4,000 a second, which research calls careful). timeout_ms: drain.timeout. */
struct hf_drain_plan hf_drain_plan(uint64_t connections, uint32_t rate, uint32_t timeout_ms);

/*
 * The same for a worker that has no other one beside it: whoever leaves waits in the listening socket's queue for the next process, with his old connection still standing, so it
 * is to be short.
 */
struct hf_drain_plan hf_drain_plan_alone(uint64_t connections, uint32_t rate, uint32_t timeout_ms);

#endif
