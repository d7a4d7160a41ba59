#include "server/worker.h"

#include "base/assert.h"
#include "net/listen.h"
#include "net/loop.h"
#include "server/capacity.h"
#include "server/certificates.h"
#include "server/complaints.h"
#include "server/confine.h"
#include "server/drain.h"
#include "server/hooks_http.h"
#include "server/hub.h"
#include "server/hub_state.h"
#include "server/logger.h"
#include "server/memory_watch.h"
#include "server/relay.h"
#include "server/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    ACCEPTS_PER_EVENT = 256, /* then the others have their turn; level-triggered, so the rest comes again */
    ACCEPT_PAUSE_MS = 100,   /* without descriptors: try again after that */
    FULL_MARGIN = 1024,      /* see measure_room(); a guess at what a backlog holds in a storm */
    CROWDED_PAUSE_MS = 10,   /* too many handshakes, all of them young or waiting for us */
    REFUSALS_AT_ONCE = 32,   /* descriptors for those who are told that there are none */
    API_DESCRIPTORS = 64,    /* and for the API, the log and what else there is; a quarter of all at most */
    RANDOM_POOL = 4096,
};

struct worker;

struct listener {
    struct hf_watch watch;
    struct worker *worker;
    bool secure;
};

struct worker {
    const struct hf_worker_setup *setup; /* &own */
    struct hf_worker_setup own;          /* with &config */
    struct hf_config config;             /* as the supervisor handed it out last */
    uint64_t config_version;
    struct hf_hub *hub;
    struct hf_loop *loop;
    struct hf_now now;
    struct hf_sockets sockets;
    struct hf_watch wake, api_watch;
    struct listener listeners[2 * HF_LISTEN_MAX];
    struct hf_relays relays; /* of the API's port, where it speaks TLS */
    struct hf_watch api_listener;
    bool api_listening;
    void *api;
    struct hf_hooks_http *hooks; /* NULL: none is configured */
    uint32_t tls_generation;     /* of what sockets.tls is */
    struct hf_auth *auth;        /* what the hub has */
    uint32_t auth_generation;
    bool api_due; /* its descriptor is readable */
    bool listening;
    struct hf_complaints complaints;
    struct hf_memory_watch memory;
    uint32_t full_at, room_at; /* connections from which on it is full, and below which it has room again */
    uint64_t accept_again_ms;  /* 0: accepting */
    enum hf_drain_why drain_why;
    uint64_t drain_end_ms; /* while draining */
    uint64_t shed_end_ms;  /* until then newcomers go to the others, so that those who are shed do */
    uint64_t due_ms;       /* until when it waits; 0: it does not */
    uint8_t random[RANDOM_POOL];
    size_t random_used;
};

/* ---- The transport ---- */

static void wake_slot(void *ctx, uint32_t slot)
{
    struct worker *w = ctx;
    uint64_t one = 1;

    if (write(w->setup->wake_fds[slot], &one, sizeof(one)) < 0 &&
        errno != EAGAIN) /* EAGAIN: it is woken already. */
        hf_log(HF_LOG_ERROR, "wake_failed", hf_kv_u64("slot", slot), hf_kv_errno("error", errno));
}

static void random_bytes(void *ctx, uint8_t *out, size_t len)
{
    struct worker *w = ctx;

    hf_assert(len <= RANDOM_POOL);
    if (w->random_used + len > RANDOM_POOL) {
        size_t have = 0;

        while (have < RANDOM_POOL) {
            ssize_t n = getrandom(w->random + have, RANDOM_POOL - have, 0);

            hf_assert(n > 0 || errno == EINTR);
            have += n > 0 ? (size_t)n : 0;
        }
        w->random_used = 0;
    }
    memcpy(out, w->random + w->random_used, len);
    memset(w->random + w->random_used, 0, len); /* A secret is handed out once. */
    w->random_used += len;
}

/* ---- Accepting ---- */

static void stop_listening(struct worker *w)
{
    for (size_t i = 0; w->listening && i < w->setup->listen_count; i++)
        hf_loop_remove(w->loop, &w->listeners[i].watch);
    w->listening = false;
}

static void start_listening(struct worker *w)
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
    stop_listening(w); /* All of them are tried again: none is left out for good. */
    w->accept_again_ms = w->now.mono_ms + ACCEPT_PAUSE_MS;
}

/*
 * Whoever comes while we drain is told so, or served if we are only to be replaced. Where nobody else takes him, he waits in the socket's queue for our successor: a lone worker's
 * has the same socket, and one that was handed to us stays open when we end.
 */
static bool listens(const struct worker *w)
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

static void end_pause(struct worker *w)
{
    if (listens(w))
        start_listening(w);
    else
        w->accept_again_ms = 0;
}

/* No descriptor or no memory: those who wait stay in the backlog, those who are connected stay connected. */
static void pause_accepting(struct worker *w, int error)
{
    hf_count(&w->setup->region->slots[w->setup->slot].counters, HF_COUNT_ACCEPT_ERRORS, 1);
    if (w->accept_again_ms == 0)
        hf_log(HF_LOG_WARNING, "accept_paused", hf_kv_errno("error", error));
    stop_listening(w);
    w->accept_again_ms = w->now.mono_ms + ACCEPT_PAUSE_MS;
}

/* ---- Balance ---- */

static uint32_t list_open(const struct worker *w, uint32_t *members)
{
    const struct hf_region *region = w->setup->region;
    uint32_t count = 0;

    for (uint32_t slot = 0; slot < region->config->workers; slot++)
        if (atomic_load(&region->slots[slot].full) == 0)
            members[count++] = slot;
    return count == region->config->workers ? 0 : count; /* All or none: by hash. */
}

/*
 * Whoever becomes full says so in his slot first, then to the kernel, and then looks again: so the last one who speaks to the kernel knows of all.
 */
static void steer(struct worker *w)
{
    uint32_t members[HF_WORKERS_MAX], again[HF_WORKERS_MAX], count, count_again = list_open(w, again);

    if (w->setup->shared_sockets) { /* Each takes from the same queue what it has room for. */
        bool wanted = listens(w) && w->accept_again_ms == 0;

        if (wanted && !w->listening)
            start_listening(w);
        else if (!wanted)
            stop_listening(w);
        return;
    }
    do {
        count = count_again;
        memcpy(members, again, sizeof(again[0]) * count);
        for (size_t i = 0; i < w->setup->listen_count; i++)
            if (hf_listen_steer(w->setup->listen_fds[i], members, count) < 0)
                hf_log(HF_LOG_WARNING, "steer_failed", hf_kv_errno("error", errno));
        count_again = list_open(w, again);
    } while (count_again != count || memcmp(members, again, sizeof(again[0]) * count) != 0);
}

/* Give newcomers to the others, as if we were full. */
static void turn_away(struct worker *w)
{
    atomic_store(&w->setup->region->slots[w->setup->slot].full, 1);
    steer(w);
}

static void check_room(struct worker *w)
{
    struct hf_slot *self = &w->setup->region->slots[w->setup->slot];
    uint32_t have = hf_hub_connections(w->hub);
    bool full = atomic_load_explicit(&self->full, memory_order_relaxed) != 0;

    if (w->drain_why != HF_DRAIN_NONE || w->now.mono_ms < w->shed_end_ms ||
        (full ? have >= w->room_at : have < w->full_at))
        return;
    atomic_store(&self->full, !full);
    if (!full)
        hf_count(&self->counters, HF_COUNT_WORKERS_FULL, 1);
    hf_log(HF_LOG_WARNING, full ? "worker_has_room" : "worker_full", hf_kv_u64("connections", have));
    steer(w);
}

/*
 * Full is a sixteenth, at most 1,024, before the last descriptor: those who wait in the backlog when the word goes out are still taken. There is room
 * again when as many have left, so that the word does not go out all the time.
 */
static void measure_room(struct worker *w)
{
    struct rlimit limit = {0, 0};
    uint64_t room, margin;

    (void)getrlimit(RLIMIT_NOFILE, &limit);
    room = hf_capacity_room(w->setup->region->config->workers, limit.rlim_cur);
    room = room < UINT32_MAX ? room : UINT32_MAX;
    margin = room / 16 < FULL_MARGIN ? room / 16 : FULL_MARGIN;
    w->full_at = (uint32_t)(room - margin);
    w->room_at = (uint32_t)(room - 2 * margin);
    if (atomic_load(&w->setup->region->slots[w->setup->slot].starts) > 1)
        steer(w); /* The last process of this slot may have been full. */
}

/* Room for another connection, made by ending the slowest handshake if need be. */
static bool make_room(struct worker *w)
{
    if (!hf_hub_crowded(w->hub, REFUSALS_AT_ONCE) || hf_hub_shed(w->hub, hf_socket_idle, w->now))
        return true;
    stop_listening(w);
    w->accept_again_ms = w->now.mono_ms + CROWDED_PAUSE_MS;
    return false;
}

static void listener_ready(struct hf_watch *watch, unsigned what)
{
    struct listener *listener = HF_CONTAINER(watch, struct listener, watch);
    struct worker *w = listener->worker;

    (void)what;
    if (!hf_hub_memory_left()) {
        pause_accepting(w, ENOMEM);
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
            pause_accepting(w, errno);
        if (errno != EINTR && errno != ECONNABORTED)
            return;
    }
}

/* ---- The process ---- */

static void woken(struct hf_watch *watch, unsigned what)
{
    uint64_t count;

    (void)what;
    (void)!read(watch->fd, &count, sizeof(count)); /* That we are awake is all it says. */
}

static void api_ready(struct hf_watch *watch, unsigned what)
{
    (void)what;
    HF_CONTAINER(watch, struct worker, api_watch)->api_due = true;
}

/* The API's port is listened on as long as there is room; those beyond wait in the queue. */
static void listen_for_api(struct worker *w)
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
    struct worker *w = HF_CONTAINER(watch, struct worker, api_listener);

    (void)what;
    while (hf_relays_room(&w->relays)) {
        struct sockaddr_storage address;
        socklen_t len = sizeof(address);
        int fd = accept4(watch->fd, (struct sockaddr *)&address, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd < 0) {
            if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
                pause_accepting(w, errno);
            return;
        }
        if (!hf_relays_open(&w->relays, fd, &address))
            hf_count(&w->setup->region->slots[w->setup->slot].counters, HF_COUNT_ACCEPT_ERRORS, 1);
    }
}

static void run_relays(struct worker *w)
{
    if (w->api == NULL || !w->setup->config->api_tls)
        return;
    hf_relays_run(&w->relays);
    listen_for_api(w);
}

static void run_api(struct worker *w)
{
    run_relays(w);
    if (w->api == NULL || (!w->api_due && w->setup->api->timeout_ms(w->api) != 0))
        return;
    w->api_due = false;
    w->setup->api->run(w->api);
}

static bool start_api(struct worker *w)
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

/* The supervisor has handed out another configuration, which it has found good. Between two turns nobody looks at a part of it. */
static void follow_config(struct worker *w)
{
    struct hf_handout *handout = hf_region_handout(w->setup->region);

    if (!hf_handout_newer(handout, w->config_version))
        return;
    w->config_version = hf_handout_get(handout, &w->config);
    hf_logger_set(w->config.log_level, w->config.log_format);
    hf_hub_reconfigured(w->hub, w->now);
    hf_log(HF_LOG_DEBUG, "config_followed", hf_kv_u64("version", w->config_version));
}

/* The supervisor has found the certificates' files good; should they be bad by now, the old ones stay in force. */
static void follow_reload(struct worker *w)
{
    uint32_t generation =
        atomic_load_explicit(&w->setup->region->header->tls_generation, memory_order_acquire);
    struct hf_tls *tls;
    char error[512];

    if (generation == w->tls_generation)
        return;
    w->tls_generation = generation;
    follow_config(w); /* It was handed out before the generation was raised. */
    if (hf_certificates_load(w->setup->config, w->setup->tls_secret, false, &tls, error, sizeof(error)) < 0) {
        hf_count(&w->setup->region->slots[w->setup->slot].counters, HF_COUNT_TLS_RELOADS_MISSED, 1);
        hf_log(HF_LOG_ERROR, "certificates_kept", hf_kv_text("why", error));
        return;
    }
    hf_sockets_set_tls(&w->sockets, tls);
    hf_tls_drop(tls);
}

/* The same with the keys of tokens. */
static void follow_keys(struct worker *w)
{
    uint32_t generation =
        atomic_load_explicit(&w->setup->region->header->auth_generation, memory_order_acquire);
    struct hf_auth *auth;
    char error[512];

    if (generation == w->auth_generation)
        return;
    w->auth_generation = generation;
    follow_config(w);
    if (hf_auth_load(w->setup->config, &auth, error, sizeof(error)) < 0) {
        hf_count(&w->setup->region->slots[w->setup->slot].counters, HF_COUNT_KEY_RELOADS_MISSED, 1);
        hf_log(HF_LOG_ERROR, "keys_kept", hf_kv_text("why", error));
        return;
    }
    hf_hub_set_auth(w->hub, auth);
    hf_auth_free(w->auth);
    w->auth = auth;
}

/* All workers' connections come to the next server together; those of one that is replaced come alone. */
static struct hf_drain_plan plan_drain(const struct worker *w, enum hf_drain_why why)
{
    const struct hf_config *config = w->setup->config;
    uint64_t connections = hf_hub_connections(w->hub);

    if (why == HF_DRAIN_STOP)
        connections = hf_gate_connections(hf_region_gate(w->setup->region));
    else if (w->setup->region->config->workers == 1)
        return hf_drain_plan_alone(connections, config->admission_rate, config->drain_timeout_ms);
    return hf_drain_plan(connections, config->admission_rate, config->drain_timeout_ms);
}

static void begin_drain(struct worker *w, enum hf_drain_why why)
{
    struct hf_drain_plan plan = plan_drain(w, why);

    hf_log(HF_LOG_INFO, "draining", hf_kv_text("why", why == HF_DRAIN_STOP ? "stop" : "replace"),
           hf_kv_u64("connections", hf_hub_connections(w->hub)), hf_kv_u64("window_ms", plan.window_ms),
           hf_kv_u64("total_ms", plan.total_ms));
    w->drain_why = why;
    w->drain_end_ms = w->now.mono_ms + plan.total_ms;
    if (why == HF_DRAIN_STOP)
        hf_hub_drain(w->hub, plan.window_ms, w->now);
    else
        hf_hub_rebalance(w->hub, UINT32_MAX, plan.window_ms, w->now);
    if (!listens(w)) {
        stop_listening(w);
        w->accept_again_ms = 0;
    } else if (why == HF_DRAIN_REPLACE) {
        turn_away(w);
    }
}

/* A server that stops may have begun to replace this worker. */
static void follow_drain(struct worker *w)
{
    enum hf_drain_why why = (enum hf_drain_why)atomic_load(&w->setup->region->slots[w->setup->slot].draining);

    if (why != w->drain_why && why != HF_DRAIN_NONE && w->drain_why != HF_DRAIN_STOP)
        begin_drain(w, why);
}

/* Some of our connections are more than our share. */
static void follow_shed(struct worker *w)
{
    _Atomic uint32_t *shed = &w->setup->region->slots[w->setup->slot].shed;
    const struct hf_config *config = w->setup->config;
    struct hf_drain_plan plan;
    uint32_t count;

    if (atomic_load_explicit(shed, memory_order_relaxed) == 0 || w->drain_why != HF_DRAIN_NONE)
        return;
    count = atomic_exchange(shed, 0);
    plan = hf_drain_plan(count, config->admission_rate, config->drain_timeout_ms);
    hf_log(HF_LOG_INFO, "shedding", hf_kv_u64("connections", count),
           hf_kv_u64("of", hf_hub_connections(w->hub)), hf_kv_u64("window_ms", plan.window_ms));
    w->shed_end_ms = w->now.mono_ms + plan.window_ms;
    turn_away(w);
    hf_hub_rebalance(w->hub, count, plan.window_ms, w->now);
}

/* When the server stops, all workers end together: until then each answers newcomers and health checks. */
static bool nothing_left(const struct worker *w)
{
    bool others = w->drain_why == HF_DRAIN_STOP &&
                  hf_gate_connections(hf_region_gate(w->setup->region)) > 0 &&
                  w->now.mono_ms < w->drain_end_ms;

    return !others && hf_hub_connections(w->hub) == 0 && hf_list_empty(&w->hub->pending);
}

/* The advice went out; at the end of the time those who are left are closed, and get a moment to say goodbye. Returns whether it is over. */
static bool drained(struct worker *w)
{
    follow_drain(w);
    if (w->drain_why == HF_DRAIN_NONE)
        return false;
    if (nothing_left(w))
        return true;
    if (w->now.mono_ms < w->drain_end_ms)
        return false;
    hf_hub_close_all(w->hub, w->now);
    return w->now.mono_ms >= w->drain_end_ms + HF_CLOSE_LINGER_MS;
}

/* How long to wait; w->due_ms: until when, or 0 where there is nothing to wait for. */
static int timeout_ms(struct worker *w)
{
    uint64_t at = hf_hub_deadline_ms(w->hub, w->now);
    int wait, api = w->api == NULL ? -1 : w->setup->api->timeout_ms(w->api);

    if (w->accept_again_ms != 0 && w->accept_again_ms < at)
        at = w->accept_again_ms;
    if (w->drain_why != HF_DRAIN_NONE && w->drain_end_ms > w->now.mono_ms && w->drain_end_ms < at)
        at = w->drain_end_ms;
    if (w->hooks != NULL && hf_hooks_http_deadline_ms(w->hooks) < at)
        at = hf_hooks_http_deadline_ms(w->hooks);
    if (w->api != NULL && hf_relays_deadline_ms(&w->relays) < at)
        at = hf_relays_deadline_ms(&w->relays);
    wait = hf_sockets_busy(&w->sockets) || at <= w->now.mono_ms ? 0 : (int)(at - w->now.mono_ms);
    w->due_ms = wait > 0 ? at : 0;
    return api >= 0 && api < wait ? api : wait;
}

/* A turn that events brought on comes before its time; one that the clock brought on, or that was held up, comes late. */
static void measure_lag(struct worker *w)
{
    if (w->due_ms != 0 && w->now.mono_ms >= w->due_ms)
        hf_measure(&w->setup->region->slots[w->setup->slot].counters, HF_MEASURE_LOOP_LAG,
                   hf_now_us(w->now) - w->due_ms * 1000);
}

static void turn(struct worker *w)
{
    struct hf_region *region = w->setup->region;
    uint32_t slot = w->setup->slot;
    struct hf_counters *counters = &region->slots[slot].counters;
    int wait = timeout_ms(w);

    if (wait > 0 && !hf_region_sleep(region, slot))
        wait = 0;
    (void)hf_loop_wait(w->loop, wait, &w->now);
    hf_region_awake(region, slot);
    measure_lag(w);
    hf_hub_set_now(w->hub, w->now);
    if (w->accept_again_ms != 0 && w->now.mono_ms >= w->accept_again_ms)
        end_pause(w);
    follow_config(w);
    follow_reload(w);
    follow_shed(w);
    follow_keys(w);
    hf_hub_set_short(w->hub, hf_memory_watch_tick(&w->memory, w->now.mono_ms));
    hf_sockets_read(&w->sockets);
    check_room(w);
    run_api(w);
    if (w->hooks != NULL)
        hf_hooks_http_run(w->hooks);
    hf_hub_turn(w->hub, w->now);
    hf_complaints_tick(&w->complaints, counters, w->now.mono_ms);
    hf_measure(counters, HF_MEASURE_LOOP_TURN, hf_now_read_us() - hf_now_us(w->now));
}

/*
 * The descriptors that are left, but for a reserve, so that the API answers and refusals can be told when all are taken; never more than
 * measure_room() counts on, which knows of descriptors above a hole that this look does not see.
 */
static uint32_t descriptors_for_clients(uint32_t workers, uint32_t for_backend)
{
    struct rlimit limit;
    int lowest =
        fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0); /* All below are in use: about as many as there are. */
    uint64_t all, reserve, room;

    if (lowest < 0 || getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return 1;
    close(lowest);
    all = limit.rlim_cur - (rlim_t)lowest;
    reserve = API_DESCRIPTORS + REFUSALS_AT_ONCE + for_backend;
    reserve = reserve < all / 4 ? reserve : all / 4;
    room = hf_capacity_room(workers, limit.rlim_cur);
    room = room < all - reserve ? room : all - reserve;
    return room == 0 ? 1 : room < UINT32_MAX ? (uint32_t)room : UINT32_MAX; /* 0 would be "unknown". */
}

static bool start_hooks(struct worker *w)
{
    const struct hf_worker_setup *setup = w->setup;
    bool any = false;

    for (int hook = 0; hook < HF_HOOKS; hook++)
        any = any || setup->config->hooks.url[hook][0] != '\0';
    if (!any)
        return true;
    w->hooks = hf_hooks_http_new(w->hub, w->loop, &w->now, &setup->config->hooks,
                                 &setup->region->slots[setup->slot].counters);
    if (w->hooks != NULL)
        hf_hub_set_backend(w->hub, hf_hooks_http_backend(w->hooks));
    return w->hooks != NULL;
}

static bool set_up(struct worker *w, const struct hf_transport *transport)
{
    const struct hf_worker_setup *setup = w->setup;

    w->random_used = RANDOM_POOL;
    w->now = hf_now_read();
    hf_memory_watch_init(&w->memory, setup->config->worker_memory_max);
    w->loop = hf_loop_new();
    w->hub = hf_hub_new(setup->region, setup->slot, setup->config, transport, w->now);
    if (w->loop == NULL || w->hub == NULL ||
        hf_sockets_init(&w->sockets, w->hub, w->loop, &w->now, &setup->region->slots[setup->slot].counters,
                        setup->config, setup->tls) < 0)
        return false;
    hf_complaints_init(&w->complaints, &setup->region->slots[setup->slot].counters, w->now.mono_ms);
    w->wake = (struct hf_watch){setup->wake_fds[setup->slot], woken};
    if (hf_loop_add(w->loop, &w->wake, true) < 0 || !start_api(w) || !start_hooks(w))
        return false;
    for (size_t i = 0; i < setup->listen_count; i++)
        w->listeners[i] =
            (struct listener){{setup->listen_fds[i], listener_ready}, w, i >= setup->plain_count};
    measure_room(w);
    w->tls_generation = setup->tls_generation;
    w->auth = setup->auth;
    w->auth_generation = setup->auth_generation;
    hf_hub_set_auth(w->hub, w->auth);
    hf_hub_set_room(w->hub,
                    descriptors_for_clients(setup->region->config->workers,
                                            w->hooks == NULL ? 0 : 2 * setup->config->hooks.concurrency));
    if (listens(w) && !w->listening) /* With shared sockets steer() may have begun. */
        start_listening(w);
    return true;
}

/* From here on nothing of the kernel but what serving takes. Returns false where that must be, and cannot. */
static bool confine(enum hf_seccomp_mode mode)
{
    if (mode == HF_SECCOMP_OFF || (mode == HF_SECCOMP_AUTO && !hf_confine_possible()) || hf_confine() == 0)
        return true;
    hf_log(mode == HF_SECCOMP_ON ? HF_LOG_ERROR : HF_LOG_WARNING, "seccomp_missing",
           hf_kv_errno("error", errno));
    return mode != HF_SECCOMP_ON;
}

int hf_worker_run(const struct hf_worker_setup *setup)
{
    struct worker *w = calloc(1, sizeof(*w));
    struct hf_transport transport = {.ctx = w,
                                     .socket_bytes = HF_SOCKET_BYTES,
                                     .write = hf_socket_write,
                                     .pause = hf_socket_pause,
                                     .finish = hf_socket_finish,
                                     .close = hf_socket_close,
                                     .freeze = hf_socket_freeze,
                                     .wake = wake_slot,
                                     .random = random_bytes,
                                     .clock_us = hf_now_read_us};

    if (w == NULL)
        return 1;
    w->config = *setup->config;
    w->config_version = setup->config_version;
    w->own = *setup;
    w->own.config = &w->config;
    w->setup = &w->own;
    if (!set_up(w, &transport)) {
        hf_log(HF_LOG_ERROR, "worker_failed", hf_kv_errno("error", errno));
        return 1;
    }
    if (!confine(setup->config->process_seccomp))
        return 1;
    hf_log(HF_LOG_INFO, "worker_started", hf_kv_u64("slot", setup->slot));
    while (!drained(w))
        turn(w);
    turn_away(
        w); /* Nobody is to wait in our queue for as long as others drain, or until our successor is there. */
    if (w->api != NULL) {
        hf_loop_remove(w->loop, &w->api_watch);
        setup->api->stop(w->api);
        hf_relays_release(&w->relays);
    }
    hf_hooks_http_free(w->hooks);
    hf_hub_free(w->hub);
    hf_auth_free(w->auth);
    hf_memory_watch_release(&w->memory);
    hf_sockets_release(&w->sockets);
    hf_loop_free(w->loop);
    hf_log_event(HF_LOG_INFO, "worker_stopped");
    free(w);
    return 0;
}
