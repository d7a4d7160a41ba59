/*
 * backend.h - how a hub asks the application's backend. The worker gives it HTTP (hooks_http.h), tests and the simulation a fake.
 *
 * A request that was started is answered exactly once, by hf_hub_backend_answered() with its token, between the hub's other calls and never from within
 * start(). It is never sent twice where that could do harm: see hooks_http.h.
 */
#ifndef HF_SERVER_BACKEND_H
#define HF_SERVER_BACKEND_H

#include "base/now.h"
#include "base/str.h"
#include "server/config.h"

#include <stdbool.h>
#include <stdint.h>

struct hf_hub;

enum hf_backend_outcome {
    HF_BACKEND_STARTED,  /* of start() alone: the answer will come */
    HF_BACKEND_ANSWERED, /* status and body are the backend's */
    HF_BACKEND_DOWN, /* it could not be asked: nothing of the request has reached it; or its gateway says that it is down */
    HF_BACKEND_BROKEN,    /* the connection broke behind the request: what became of it is unknown */
    HF_BACKEND_TIMEOUT,   /* no answer in time: likewise */
    HF_BACKEND_TOO_LARGE, /* its answer is longer than hooks.answer */
    HF_BACKEND_FULL,      /* too many requests wait already: it was not asked */
};

struct hf_backend_request {
    enum hf_hook hook;
    uint64_t token;     /* given back with the answer; 0: nobody waits for one */
    struct hf_str body; /* JSON; borrowed for the call */
};

struct hf_backend_answer {
    enum hf_backend_outcome outcome;
    int status;         /* of HTTP, where ANSWERED */
    struct hf_str body; /* likewise; borrowed for the call, and may be written to */
};

struct hf_backend {
    void *ctx;
    /* Returns STARTED, or at once DOWN or FULL: then no answer follows. */
    enum hf_backend_outcome (*start)(void *ctx, const struct hf_backend_request *request);
    /* Whether some hundred more can be started now. */
    bool (*has_room)(void *ctx);
    /* An answer to this hook was no valid one: say so where somebody reads it. why: English, static. */
    void (*complain)(void *ctx, enum hf_hook hook, const char *why);
};

/* Who is asked from now on; borrowed. NULL: nobody, and then no hook is in force. */
void hf_hub_set_backend(struct hf_hub *hub, const struct hf_backend *backend);
void hf_hub_backend_answered(struct hf_hub *hub, uint64_t token, const struct hf_backend_answer *answer,
                             struct hf_now now);
/* Whether somebody still waits for this answer: what waits for its turn need not be sent if not. */
bool hf_hub_backend_wanted(const struct hf_hub *hub, uint64_t token);

/* "connect", "subscribe" … */
const char *hf_hook_name(enum hf_hook hook);

#endif
