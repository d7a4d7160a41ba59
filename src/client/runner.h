/*
 * runner.h - the thread that a threaded client or a pool runs in. It takes no signal: those are the application's.
 */
#ifndef HF_CLIENT_RUNNER_H
#define HF_CLIENT_RUNNER_H

#include "base/err.h"

#include <pthread.h>
#include <stdbool.h>

struct hf_runner {
    int (*run)(void *ctx);
    void *ctx;
    pthread_t thread;
    bool started, joined;
    int result;           /* of run(), once the thread has ended */
    pthread_mutex_t lock; /* of joined: one of several that join waits for the thread, the others for it */
};

/* Start a thread that calls run(ctx). HF_EAGAIN: the system has no thread left, see errno. */
int hf_runner_start(struct hf_runner *r, int (*run)(void *ctx), void *ctx) HF_MUST_CHECK;
/* Wait for its end, and return what run() did. From any thread but its own, any number of times. */
int hf_runner_join(struct hf_runner *r);
/* Join, and free what it holds. One that is all zero, or could not be started, is allowed. */
void hf_runner_release(struct hf_runner *r);

#endif
