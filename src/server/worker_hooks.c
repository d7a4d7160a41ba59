/*
 * worker_hooks.c - the worker's way to the application's backend (hooks_http.h), and what it leaves of the descriptors to clients.
 */
#include "server/worker_impl.h"

#include "server/capacity.h"
#include "server/hub.h"
#include "server/logger.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

enum { API_DESCRIPTORS = 64 }; /* for the API, the log and what else there is; a quarter of all at most */

/* A connection for each request, and another one that is just being given up. */
static uint64_t descriptors_for_backend(const struct hf_hooks_config *hooks)
{
    for (int hook = 0; hook < HF_HOOKS; hook++)
        if (hooks->url[hook][0] != '\0')
            return 2 * (uint64_t)hooks->concurrency;
    return 0;
}

/*
 * What is left but for a reserve, so that the API answers and refusals can be told when all are taken; never more than hf_worker_measure_room() counts on, which knows of descriptors above a
 * hole that this look does not see.
 */
static uint32_t descriptors_for_clients(const struct hf_worker *w)
{
    struct rlimit limit;
    uint64_t reserve = API_DESCRIPTORS + HF_REFUSALS_AT_ONCE + descriptors_for_backend(&w->config.hooks),
             room;

    if (w->descriptors == 0 || getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return 1;
    reserve = reserve < w->descriptors / 4 ? reserve : w->descriptors / 4;
    room = hf_capacity_room(w->setup->region->config->workers, limit.rlim_cur);
    room = room < w->descriptors - reserve ? room : w->descriptors - reserve;
    return room == 0 ? 1 : room < UINT32_MAX ? (uint32_t)room : UINT32_MAX; /* 0 would be "unknown". */
}

void hf_worker_share_descriptors(struct hf_worker *w)
{
    struct rlimit limit;
    int lowest =
        fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0); /* All below are in use: about as many as there are. */

    if (lowest >= 0) {
        close(lowest);
        if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
            w->descriptors = limit.rlim_cur - (rlim_t)lowest;
    }
    hf_hub_set_room(w->hub, descriptors_for_clients(w));
}

bool hf_worker_start_hooks(struct hf_worker *w)
{
    const struct hf_worker_setup *setup = w->setup;

    w->hooks = hf_hooks_http_new(w->hub, w->loop, &w->now, &setup->config->hooks,
                                 &setup->region->slots[setup->slot].counters);
    if (w->hooks == NULL)
        return false;
    hf_hooks_http_set_tls(w->hooks, setup->hooks_tls);
    hf_hub_set_backend(w->hub, hf_hooks_http_backend(w->hooks));
    return true;
}

/* The supervisor has found the files good; should they be bad by now, the old ones stay in force. */
static void follow_certificates(struct hf_worker *w)
{
    struct hf_hooks_tls tls = {.ca = {NULL, 0}};
    char error[512];

    if (hf_hooks_tls_load(&w->config.hooks, &tls, error, sizeof(error)) == 0) {
        hf_hooks_http_set_tls(w->hooks, &tls);
        return;
    }
    hf_count(&w->setup->region->slots[w->setup->slot].counters, HF_COUNT_TLS_RELOADS_MISSED, 1);
    hf_log(HF_LOG_ERROR, "certificates_kept", hf_kv_text("why", error));
}

void hf_worker_follow_hooks(struct hf_worker *w)
{
    follow_certificates(w);
    hf_hooks_http_configure(w->hooks, &w->config.hooks);
    hf_hub_set_room(w->hub, descriptors_for_clients(w));
}
