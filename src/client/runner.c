#include "client/runner.h"

#include "base/assert.h"

#include <errno.h>
#include <signal.h>

static void *main_of(void *runner)
{
    struct hf_runner *r = runner;

    r->result = r->run(r->ctx);
    return NULL;
}

int hf_runner_start(struct hf_runner *r, int (*run)(void *ctx), void *ctx)
{
    sigset_t all, before;
    int err;

    *r = (struct hf_runner){.run = run, .ctx = ctx};
    (void)pthread_mutex_init(&r->lock, NULL); /* On Linux it cannot fail. */
    /* A new thread has its maker's mask. */
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    err = pthread_create(&r->thread, NULL, main_of, r);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    r->started = err == 0;
    if (err == 0)
        return 0;
    (void)pthread_mutex_destroy(&r->lock);
    errno = err;
    return HF_EAGAIN;
}

int hf_runner_join(struct hf_runner *r)
{
    (void)pthread_mutex_lock(&r->lock);
    if (!r->joined) {
        int err = pthread_join(r->thread, NULL);

        hf_assert(err == 0);
        r->joined = true;
    }
    (void)pthread_mutex_unlock(&r->lock);
    return r->result;
}

void hf_runner_release(struct hf_runner *r)
{
    if (!r->started)
        return;
    (void)hf_runner_join(r);
    (void)pthread_mutex_destroy(&r->lock);
}
