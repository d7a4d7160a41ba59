/*
 * load.h - what the programs share that the tests run against a server: the count of what is under way, and what must not happen.
 */
#ifndef HF_TESTS_THREADS_LOAD_H
#define HF_TESTS_THREADS_LOAD_H

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { THREADS_MAX = 16, RESULTS_MAX = 4 * 1000 * 1000 };

/* Results of publishes, by their ids, told by a callback and waited for by the others. */
struct results {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned char *seen; /* by publish id: how many results it has had */
    uint64_t acked, refused, uncertain;
    const char *fault; /* what must not happen has happened */
};

static void results_init(struct results *r)
{
    pthread_condattr_t attributes;

    memset(r, 0, sizeof(*r));
    r->seen = calloc(RESULTS_MAX, 1);
    if (r->seen == NULL)
        abort();
    (void)pthread_mutex_init(&r->lock, NULL);
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&r->changed, &attributes);
    (void)pthread_condattr_destroy(&attributes);
}

static void results_release(struct results *r)
{
    free(r->seen);
    (void)pthread_cond_destroy(&r->changed);
    (void)pthread_mutex_destroy(&r->lock);
}

static void results_fault(struct results *r, const char *fault)
{
    (void)pthread_mutex_lock(&r->lock);
    if (r->fault == NULL)
        r->fault = fault;
    (void)pthread_cond_broadcast(&r->changed);
    (void)pthread_mutex_unlock(&r->lock);
}

/* One result has come; which is one of the three counts. */
static void results_count(struct results *r, uint64_t publish_id, uint64_t *which)
{
    (void)pthread_mutex_lock(&r->lock);
    if (publish_id == 0 || publish_id >= RESULTS_MAX)
        r->fault = "a publish id that was never given";
    else if (r->seen[publish_id]++ > 0)
        r->fault = "two results for one publish";
    (*which)++;
    (void)pthread_cond_broadcast(&r->changed);
    (void)pthread_mutex_unlock(&r->lock);
}

/* Wait for the next change, a tenth of a second at most. */
static void results_wait(struct results *r)
{
    struct timespec until;

    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += 100 * 1000 * 1000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        until.tv_sec++;
    }
    (void)pthread_mutex_lock(&r->lock);
    (void)pthread_cond_timedwait(&r->changed, &r->lock, &until);
    (void)pthread_mutex_unlock(&r->lock);
}

static bool results_faulty(struct results *r)
{
    bool faulty;

    (void)pthread_mutex_lock(&r->lock);
    faulty = r->fault != NULL;
    (void)pthread_mutex_unlock(&r->lock);
    return faulty;
}

#endif
