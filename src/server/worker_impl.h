/*
 * worker_impl.h - what the files of a worker share; included by them alone.
 *   worker.c           its life and its loop, and what the hub's transport takes from it
 *   worker_accept.c    the sockets that clients come by
 *   worker_balance.c   who of the workers is full
 *   worker_api.c       the API's port
 *   worker_follow.c    what was read anew
 *   worker_drain.c     connections leave
 * All of it runs in the worker's one thread.
 */
#ifndef HF_SERVER_WORKER_IMPL_H
#define HF_SERVER_WORKER_IMPL_H

#include "net/loop.h"
#include "server/complaints.h"
#include "server/config.h"
#include "server/drain.h"
#include "server/hooks_http.h"
#include "server/memory_watch.h"
#include "server/relay.h"
#include "server/socket.h"
#include "server/worker.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    HF_REFUSALS_AT_ONCE = 32, /* descriptors for those who are told that there are none */
    HF_RANDOM_POOL = 4096,    /* bytes that are asked of the kernel at once */
};

struct hf_worker;

struct hf_worker_listener {
    struct hf_watch watch;
    struct hf_worker *worker;
    bool secure;
};

/* Times in ms are those of `now`, which each turn reads. */
struct hf_worker {
    const struct hf_worker_setup *setup; /* &own */
    struct hf_worker_setup own;          /* with &config */
    struct hf_config config;             /* as the supervisor handed it out last */
    uint64_t config_version;
    struct hf_hub *hub;
    struct hf_loop *loop;
    struct hf_now now;
    struct hf_sockets sockets;
    struct hf_watch wake, api_watch;
    struct hf_worker_listener listeners[2 * HF_LISTEN_MAX];
    struct hf_relays relays; /* of the API's port, where it speaks TLS */
    struct hf_watch api_listener;
    bool api_listening;
    void *api;                   /* NULL: none */
    struct hf_hooks_http *hooks; /* also where no hook is configured: a reload may bring one */
    uint32_t tls_generation;     /* of what sockets.tls is */
    struct hf_auth *auth;        /* what the hub has */
    uint32_t auth_generation;
    bool api_due; /* its descriptor is readable */
    bool listening;
    struct hf_complaints complaints;
    struct hf_memory_watch memory;
    uint64_t descriptors;      /* that were left when it began to serve */
    uint32_t full_at, room_at; /* connections from which on it is full, and below which it has room again */
    uint64_t accept_again_ms;  /* 0: accepting */
    enum hf_drain_why drain_why;
    uint64_t drain_end_ms; /* while draining */
    uint64_t shed_end_ms;  /* until then newcomers go to the others, so that those who are shed do */
    uint64_t due_ms;       /* until when it waits; 0: it does not */
    uint8_t random[HF_RANDOM_POOL];
    size_t random_used;
};

/* ---- worker_accept.c ---- */
/* Once, before anything listens. */
void hf_worker_init_listeners(struct hf_worker *w);
/* Whether it is one to whom newcomers come, as things stand. */
bool hf_worker_listens(const struct hf_worker *w);
/* Listen on all of its sockets; where that fails it is tried again later. */
void hf_worker_start_listening(struct hf_worker *w);
void hf_worker_stop_listening(struct hf_worker *w);
/* No descriptor or no memory (error: an errno): those who wait stay in the backlog for a moment, those who are connected stay connected. */
void hf_worker_pause_accepting(struct hf_worker *w, int error);
/* accept_again_ms is over. */
void hf_worker_end_pause(struct hf_worker *w);

/* ---- worker_balance.c ---- */
/* How many connections it has room for, of its limit on descriptors. Once, before it listens: with shared sockets it may begin to. */
void hf_worker_measure_room(struct hf_worker *w);
/* Each turn: become full, or have room again. */
void hf_worker_check_room(struct hf_worker *w);
/* Give newcomers to the others, as if we were full. */
void hf_worker_turn_away(struct hf_worker *w);

/* ---- worker_api.c ---- */
/* Returns false where it fails; with no API, or none on this slot, there is nothing to do. */
bool hf_worker_start_api(struct hf_worker *w);
/* Each turn. */
void hf_worker_run_api(struct hf_worker *w);
/* For good. */
void hf_worker_stop_api(struct hf_worker *w);

/* ---- worker_follow.c: each turn. What has changed is taken over; what turns out to be bad by now is logged, and the old one stays. ---- */
void hf_worker_follow_config(struct hf_worker *w);
void hf_worker_follow_certificates(struct hf_worker *w);
void hf_worker_follow_keys(struct hf_worker *w);

/* ---- worker_hooks.c ---- */
/* Returns false where memory is short, or libcurl cannot begin. */
bool hf_worker_start_hooks(struct hf_worker *w);
/* The configuration has changed: the certificates are read anew, and what of descriptors is the backend's is clients' no longer, or again. */
void hf_worker_follow_hooks(struct hf_worker *w);
/* Once, when all else is open: what descriptors are left for clients, as far as the backend does not need them. */
void hf_worker_share_descriptors(struct hf_worker *w);

/* ---- worker_drain.c ---- */
/* Each turn: some of our connections are more than our share. */
void hf_worker_follow_shed(struct hf_worker *w);
/* Each turn: begin to drain where the slot says so. Returns whether a drain is over, and the worker with it. */
bool hf_worker_drained(struct hf_worker *w);

#endif
