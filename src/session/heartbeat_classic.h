/*
 * heartbeat_classic.h - the reference policy: from 25 s, x 1.2 after 5 pings answered in a row, x 0.5 after 2 in a row that were not, between
 * 10 s and 60 s. It knows its own pings only and remembers nothing: docs/heartbeats.md shows what that costs.
 * Only scheduled pings count: a verification that is answered proves no interval, and one follows each reconnect, so that it
 * would part every two failures.
 */
#ifndef HF_SESSION_HEARTBEAT_CLASSIC_H
#define HF_SESSION_HEARTBEAT_CLASSIC_H

#include "session/heartbeat_policy.h"

enum {
    HF_CLASSIC_START_MS = 25000,
    HF_CLASSIC_FLOOR_MS = 10000,
    HF_CLASSIC_CEILING_MS = 60000,
    HF_CLASSIC_SUCCESSES = 5,
    HF_CLASSIC_FAILURES = 2,
};

/* Invariant: FLOOR <= interval_ms <= CEILING, successes < SUCCESSES, failures < FAILURES, and one of the two is 0. */
struct hf_heartbeat_classic {
    struct hf_heartbeat_policy base;
    uint64_t interval_ms;
    unsigned successes, failures; /* in a row, since the last change */
};

void hf_heartbeat_classic_init(struct hf_heartbeat_classic *c);

#endif
