/*
 * heartbeat_adaptive.h - the policy that keeps two questions apart: how long the application tolerates a break that nobody sees
 * (`tolerance`), and how much silence the network bears (`lo`, the longest gap proven, and `hi`, the shortest proven fatal).
 *
 *   interval = min(tolerance, server's bound, 0.9 lo), at least 10 s unless the application tolerates less, shortened by a random 0 to 10 %
 *
 * Before anything is proven it is 25 s. lo grows by probes on a connection that may be lost, x 1.6 until one dies or the tolerance is
 * reached, then by halving [lo, hi] until it is narrower than 5 s or 15 % of lo. The live connection is never put at risk
 * beyond 0.9 lo, and where nobody carries probes the policy stays with 25 s, or with what is remembered.
 *
 * Common limits of proxies (30, 60, 100, 240, 300, 350, 600 s) are kept away from by 8 %, unless a gap beyond has been proven: a timer that is
 * exactly as long as another fires now before and now after it.
 *
 * A death counts against its gap only if the unanswered ping was the first packet after it, the next connection on the same network
 * stood within 10 s, and nothing else explains it (hf_heartbeat_policy_disturbed()). Against a gap that was proven it takes two
 * of them, with no success of that gap in between: then the path has changed, and all begins again, at half of it or at 25 s.
 *
 * What is learnt belongs to a network, by its key; a `struct hf_heartbeat_memory` keeps it over changes of network and, as a file, over
 * processes. Seven days unseen it is forgotten; once a day the wall is tried again, in case it has gone. A network without a key may be
 * another one after each disturbance, and is learnt anew then.
 */
#ifndef HF_SESSION_HEARTBEAT_ADAPTIVE_H
#define HF_SESSION_HEARTBEAT_ADAPTIVE_H

#include "base/rng.h"
#include "session/heartbeat_memory.h"
#include "session/heartbeat_policy.h"

enum {
    HF_ADAPTIVE_START_MS = 25000, /* below the 30 s of the shortest proxies and NATs that are in common use */
    HF_ADAPTIVE_FLOOR_MS = 10000,
    HF_ADAPTIVE_JITTER_PERMILLE = 100,
    HF_ADAPTIVE_WIDTH_MS = 5000,    /* [lo, hi] is narrow enough, or where it is */
    HF_ADAPTIVE_WIDTH_PERCENT = 15, /* so much of lo */
    HF_ADAPTIVE_CLIFF_PERCENT = 8,
    HF_ADAPTIVE_REDIAL_MS = 10000,             /* a network that takes longer was away */
    HF_ADAPTIVE_REPROBE_MS = 24 * 3600 * 1000, /* the wall is tried again */
    HF_ADAPTIVE_RETRY_MS = 600 * 1000,         /* after a probe that could not be made; a guess */
    /* The server's own ping comes when the bound is over: a probe must be over before. A second more than any round trip. */
    HF_ADAPTIVE_BOUND_ROOM_MS = 1000,

    HF_ADAPTIVE_FOREGROUND_MS = 30000,  /* tolerances: a person looks at it, */
    HF_ADAPTIVE_IDLE_MS = 120000,       /* or does not, */
    HF_ADAPTIVE_BACKGROUND_MS = 300000, /* or the device is in a pocket */
    HF_ADAPTIVE_TOLERANCE_MS_MAX = 3600 * 1000,
};

/* Invariant: net as struct hf_heartbeat_network says; strike_gap_ms <= net.lo_ms where strikes > 0. */
struct hf_heartbeat_adaptive {
    struct hf_heartbeat_policy base;
    uint64_t tolerance_ms;
    uint64_t bound_ms;                  /* the server's; 0: none */
    struct hf_heartbeat_network net;    /* the one in use */
    struct hf_heartbeat_memory *memory; /* NULL: none */
    struct hf_rng rng;
    uint32_t jitter_permille; /* of the interval now in force */
    uint64_t dead_gap_ms;     /* a death whose proof, the next connection, is to come; 0: none */
    uint64_t dead_at_ms;
    uint64_t strike_gap_ms; /* of the first of two deaths that contradict lo */
    unsigned strikes;
    bool disturbed; /* since the last ping whose end was told */
    bool idle;      /* a scheduled ping was answered since the last probe: there is silence to save on */
    uint64_t no_probe_until_ms;
};

/*
 * tolerance_ms: 0 is HF_ADAPTIVE_FOREGROUND_MS, more than an hour is an hour. memory is borrowed as long as the policy is used, or NULL.
 * seed: for the jitter.
 */
void hf_heartbeat_adaptive_init(struct hf_heartbeat_adaptive *a, uint64_t tolerance_ms,
                                struct hf_heartbeat_memory *memory, uint64_t seed);
/* The application has come to the foreground, or left it. */
void hf_heartbeat_adaptive_set_tolerance(struct hf_heartbeat_adaptive *a, uint64_t tolerance_ms);

#endif
