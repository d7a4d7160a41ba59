/*
 * threaded_impl.h - what the files of the threaded client share; included by them alone.
 *   threaded.c       making and freeing, the thread's loop, and what the client in it tells
 *   threaded_api.c   what any thread may ask
 */
#ifndef HF_CLIENT_THREADED_IMPL_H
#define HF_CLIENT_THREADED_IMPL_H

#include "base/list.h"
#include "client/mailbox.h"
#include "client/publish_ids.h"
#include "client/runner.h"
#include "holdfast/threaded.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

/* Everything but mailbox, runner, `connected` and what is constant after hf_threaded_start() is its thread's alone. */
struct hf_threaded {
    struct hf_client_options app; /* the application's, copied: its callbacks are called */
    struct hf_client *client;     /* its thread's alone, once that runs */
    struct hf_publish_ids ids;
    struct hf_list backlog; /* commands taken and not yet done: the first waits for room in the outbox */
    struct hf_list asking;  /* requests that wait for room: publishes do not wait for them */
    struct hf_list asked;   /* those that wait for their answer */
    struct hf_list done;    /* commands whose places are to be given back */
    bool closed;
    atomic_bool connected;
    size_t publish_bytes_max;
    struct hf_mailbox mailbox;
    struct hf_runner runner;
};

/* For the thread itself: as hf_threaded_position(). */
bool hf_threaded_position_now(struct hf_threaded *t, struct hf_question *q);

#endif
