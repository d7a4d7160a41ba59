/*
 * heartbeat_mars.h - the heartbeat rule of Tencent Mars, as its sources describe it (mars/stn: config.h, smart_heartbeat.cc, longlink.cc), behind
 * our interface, to be compared with. It is Mars in the background: in the foreground its interval is always the shortest.
 *
 * Of a connection the first 3 beats come at 210 s, and count for nothing. After 5 successes the interval grows by 60 s, up to 600 s. After 2 failures in a row it
 * goes back by 80 s and is taken as stable; 2 failures when stable, and all begins again at 210 s. (Its renewed try after seven
 * days is beyond what is simulated.)
 */
#ifndef HF_BENCH_HEARTBEAT_MARS_H
#define HF_BENCH_HEARTBEAT_MARS_H

#include "session/heartbeat_policy.h"

enum {
    MARS_MIN_MS = 210000,
    MARS_MAX_MS = 600000,
    MARS_STEP_MS = 60000,
    MARS_BACK_MS = 80000,
    MARS_SUCCESSES = 5,
    MARS_FAILURES = 2,
    MARS_FIRST_BEATS = 3,
};

struct mars {
    struct hf_heartbeat_policy base;
    uint64_t interval_ms;
    unsigned first_beats; /* answered on this connection, up to MARS_FIRST_BEATS */
    unsigned successes, failures;
    bool stable;
};

void mars_init(struct mars *m);

#endif
