/*
 * worker_accept.c - the sockets that clients come by: when they are listened on, and what comes of it.
 */
#include "server/worker_impl.h"

#include "base/list.h"
#include "server/logger.h"

#include <errno.h>
#include <sys/socket.h>

enum {
    ACCEPTS_PER_EVENT = 256, /* then the others have their turn; level-triggered, so the rest comes again */
    ACCEPT_PAUSE_MS = 100,   /* without descriptors: try again after that */
    CROWDED_PAUSE_MS = 10,   /* too many handshakes, all of them young or waiting for us */
};

/* ---- When ---- */

void hf_worker_stop_listening(struct hf_worker *w)
{
    for (size_t i = 0; w->listening && i < w->setup->listen_count; i++)
        hf_loop_remove(w->loop, &w->listeners[i].watch);
    w->listening = false;
}

void hf_worker_start_listening(struct hf_worker *w)
{
    bool failed = false;

    for (size_t i = 0; i < w->setup->listen_count; i++)
        failed |= w->setup->shared_sockets ? hf_loop_add_shared(w->loop, &w->listeners[i].watch) < 0
                                           : hf_loop_add(w->loop, &w->listeners[i].watch, true) < 0;
    w->listening = true;
    w->accept_again_ms = 0;
    if (!failed)
        return;
    hf_log(HF_LOG_ERROR, "listen_failed", hf_kv_errno("error", errno));
    hf_worker_stop_listening(w); /* All of them are tried again: none is left out for good. */
    w->accept_again_ms = w->now.mono_ms + ACCEPT_PAUSE_MS;
}

/*
 * Whoever comes while we drain is told so, or served if we are only to be replaced. Where nobody else takes him, he waits in the socket's queue for our successor: a lone worker's
 * has the same socket, and one that was handed to us stays open when we end.
 */
bool hf_worker_listens(const struct hf_worker *w)
{
    switch (w->drain_why) {
    case HF_DRAIN_NONE:
        return !w->setup->shared_sockets || atomic_load(&w->setup->region->slots[w->setup->slot].full) == 0;
    case HF_DRAIN_STOP:
        return !w->setup->shared_sockets;
    case HF_DRAIN_REPLACE:
        return !w->setup->shared_sockets && w->setup->region->config->workers > 1;
    }
    return true;
}

void hf_worker_end_pause(struct hf_worker *w)
{
    if (hf_worker_listens(w))
        hf_worker_start_listening(w);
    else
        w->accept_again_ms = 0;
}

void hf_worker_pause_accepting(struct hf_worker *w, int error)
{
    hf_count(&w->setup->region->slots[w->setup->slot].counters, HF_COUNT_ACCEPT_ERRORS, 1);
    if (w->accept_again_ms == 0)
        hf_log(HF_LOG_WARNING, "accept_paused", hf_kv_errno("error", error));
    hf_worker_stop_listening(w);
    w->accept_again_ms = w->now.mono_ms + ACCEPT_PAUSE_MS;
}

/* ---- Who comes ---- */

/* Room for another connection, made by ending the slowest handshake if need be. */
static bool make_room(struct hf_worker *w)
{
    if (!hf_hub_crowded(w->hub, HF_REFUSALS_AT_ONCE) || hf_hub_shed(w->hub, hf_socket_idle, w->now))
        return true;
    hf_worker_stop_listening(w);
    w->accept_again_ms = w->now.mono_ms + CROWDED_PAUSE_MS;
    return false;
}

static void listener_ready(struct hf_watch *watch, unsigned what)
{
    struct hf_worker_listener *listener = HF_CONTAINER(watch, struct hf_worker_listener, watch);
    struct hf_worker *w = listener->worker;

    (void)what;
    if (!hf_hub_memory_left()) {
        hf_worker_pause_accepting(w, ENOMEM);
        return;
    }
    for (int i = 0; i < ACCEPTS_PER_EVENT; i++) {
        struct sockaddr_storage address;
        socklen_t len = sizeof(address);
        int fd;

        if (!make_room(w))
            return;
        fd = accept4(watch->fd, (struct sockaddr *)&address, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd >= 0) {
            if (!hf_sockets_open(&w->sockets, fd, &address, listener->secure))
                hf_count(&w->setup->region->slots[w->setup->slot].counters, HF_COUNT_ACCEPT_ERRORS, 1);
            continue;
        }
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
            hf_worker_pause_accepting(w, errno);
        if (errno != EINTR && errno != ECONNABORTED)
            return;
    }
}

void hf_worker_init_listeners(struct hf_worker *w)
{
    const struct hf_worker_setup *setup = w->setup;

    for (size_t i = 0; i < setup->listen_count; i++)
        w->listeners[i] =
            (struct hf_worker_listener){{setup->listen_fds[i], listener_ready}, w, i >= setup->plain_count};
}
