/*
 * worker_api.c - the API's port in the worker's loop: connections go to the API itself, or through relays where it speaks TLS.
 */
#include "server/worker_impl.h"

#include "base/list.h"

#include <errno.h>
#include <sys/socket.h>

static void api_ready(struct hf_watch *watch, unsigned what)
{
    (void)what;
    HF_CONTAINER(watch, struct hf_worker, api_watch)->api_due = true;
}

/* The API's port is listened on as long as there is room; those beyond wait in the queue. */
static void listen_for_api(struct hf_worker *w)
{
    bool want =
        w->api != NULL && w->setup->config->api_tls && hf_relays_room(&w->relays) && w->accept_again_ms == 0;

    if (want == w->api_listening)
        return;
    if (!want)
        hf_loop_remove(w->loop, &w->api_listener);
    else if (hf_loop_add(w->loop, &w->api_listener, true) < 0)
        return; /* The next turn tries again. */
    w->api_listening = want;
}

static void api_listener_ready(struct hf_watch *watch, unsigned what)
{
    struct hf_worker *w = HF_CONTAINER(watch, struct hf_worker, api_listener);

    (void)what;
    while (hf_relays_room(&w->relays)) {
        struct sockaddr_storage address;
        socklen_t len = sizeof(address);
        int fd = accept4(watch->fd, (struct sockaddr *)&address, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd < 0) {
            if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
                hf_worker_pause_accepting(w, errno);
            return;
        }
        if (!hf_relays_open(&w->relays, fd, &address))
            hf_count(&w->setup->region->slots[w->setup->slot].counters, HF_COUNT_ACCEPT_ERRORS, 1);
    }
}

static void run_relays(struct hf_worker *w)
{
    if (w->api == NULL || !w->setup->config->api_tls)
        return;
    hf_relays_run(&w->relays);
    listen_for_api(w);
}

void hf_worker_run_api(struct hf_worker *w)
{
    run_relays(w);
    if (w->api == NULL || (!w->api_due && w->setup->api->timeout_ms(w->api) != 0))
        return;
    w->api_due = false;
    w->setup->api->run(w->api);
}

bool hf_worker_start_api(struct hf_worker *w)
{
    if (w->setup->api == NULL || w->setup->api_fd < 0)
        return true;
    w->api =
        w->setup->api->start(w->hub, w->setup->config, w->setup->config->api_tls ? -1 : w->setup->api_fd);
    if (w->api == NULL)
        return false;
    hf_relays_init(&w->relays, &w->sockets, w->setup->api, w->api, w->setup->config->handshake_timeout_ms);
    w->api_listener = (struct hf_watch){w->setup->api_fd, api_listener_ready};
    listen_for_api(w);
    w->api_watch = (struct hf_watch){w->setup->api->fd(w->api), api_ready};
    return hf_loop_add(w->loop, &w->api_watch, true) == 0;
}

void hf_worker_stop_api(struct hf_worker *w)
{
    if (w->api == NULL)
        return;
    hf_loop_remove(w->loop, &w->api_watch);
    w->setup->api->stop(w->api);
    hf_relays_release(&w->relays);
}
