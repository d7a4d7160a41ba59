/*
 * worker.h - one worker process: sockets, descriptors and the clock around a hub.
 */
#ifndef HF_SERVER_WORKER_H
#define HF_SERVER_WORKER_H

#include "net/tls.h"
#include "server/auth.h"
#include "server/config.h"
#include "server/hooks_tls.h"
#include "server/supervisor.h"
#include "shm/region.h"

/* What the supervisor gives a worker. All descriptors are inherited and non-blocking. */
struct hf_worker_setup {
    const struct hf_config *config;
    const struct hf_api_ops *api; /* NULL: no API */
    struct hf_region *region;
    uint32_t slot;
    const int *listen_fds; /* of this slot, one per configured address: those without TLS, then those with */
    size_t listen_count, plain_count;
    bool
        shared_sockets; /* they are those of other slots too, and of whoever has handed them to the supervisor */
    struct hf_tls *tls;        /* as the supervisor has checked it; NULL: no certificate is configured */
    uint32_t tls_generation;   /* which it is */
    const uint8_t *tls_secret; /* of the session tickets */
    uint64_t config_version;   /* which config is: hf_region_handout() */
    struct hf_auth
        *auth; /* likewise: the keys of tokens; NULL: none is configured. The worker's from now on */
    uint32_t auth_generation;
    struct hf_hooks_tls
        *hooks_tls;      /* likewise: whom the backend's certificate is believed by; emptied by the worker */
    int api_fd;          /* of this slot, or -1 */
    const int *wake_fds; /* eventfd of each slot */
};

/* Serve until the slot is told to drain, then until the connections have gone or the time is up. Returns the process's exit status. */
int hf_worker_run(const struct hf_worker_setup *setup);

#endif
