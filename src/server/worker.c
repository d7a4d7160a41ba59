#include "server/worker.h"

#include "base/assert.h"
#include "net/loop.h"
#include "server/confine.h"
#include "server/hub_state.h"
#include "server/logger.h"
#include "server/worker_impl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

/* ---- The transport ---- */

static void wake_slot(void *ctx, uint32_t slot)
{
    struct hf_worker *w = ctx;
    uint64_t one = 1;

    if (write(w->setup->wake_fds[slot], &one, sizeof(one)) < 0 &&
        errno != EAGAIN) /* EAGAIN: it is woken already. */
        hf_log(HF_LOG_ERROR, "wake_failed", hf_kv_u64("slot", slot), hf_kv_errno("error", errno));
}

static void random_bytes(void *ctx, uint8_t *out, size_t len)
{
    struct hf_worker *w = ctx;

    hf_assert(len <= HF_RANDOM_POOL);
    if (w->random_used + len > HF_RANDOM_POOL) {
        size_t have = 0;

        while (have < HF_RANDOM_POOL) {
            ssize_t n = getrandom(w->random + have, HF_RANDOM_POOL - have, 0);

            hf_assert(n > 0 || errno == EINTR);
            have += n > 0 ? (size_t)n : 0;
        }
        w->random_used = 0;
    }
    memcpy(out, w->random + w->random_used, len);
    memset(w->random + w->random_used, 0, len); /* A secret is handed out once. */
    w->random_used += len;
}

/* ---- The loop ---- */

/* How long to wait; w->due_ms: until when, or 0 where there is nothing to wait for. */
static int timeout_ms(struct hf_worker *w)
{
    uint64_t at = hf_hub_deadline_ms(w->hub, w->now);
    int wait, api = w->api == NULL ? -1 : w->setup->api->timeout_ms(w->api);

    if (w->accept_again_ms != 0 && w->accept_again_ms < at)
        at = w->accept_again_ms;
    if (w->drain_why != HF_DRAIN_NONE && w->drain_end_ms > w->now.mono_ms && w->drain_end_ms < at)
        at = w->drain_end_ms;
    if (hf_hooks_http_deadline_ms(w->hooks) < at)
        at = hf_hooks_http_deadline_ms(w->hooks);
    if (w->api != NULL && hf_relays_deadline_ms(&w->relays) < at)
        at = hf_relays_deadline_ms(&w->relays);
    wait = hf_sockets_busy(&w->sockets) || at <= w->now.mono_ms ? 0 : (int)(at - w->now.mono_ms);
    w->due_ms = wait > 0 ? at : 0;
    return api >= 0 && api < wait ? api : wait;
}

/* A turn that events brought on comes before its time; one that the clock brought on, or that was held up, comes late. */
static void measure_lag(struct hf_worker *w)
{
    if (w->due_ms != 0 && w->now.mono_ms >= w->due_ms)
        hf_measure(&w->setup->region->slots[w->setup->slot].counters, HF_MEASURE_LOOP_LAG,
                   hf_now_us(w->now) - w->due_ms * 1000);
}

static void turn(struct hf_worker *w)
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
        hf_worker_end_pause(w);
    hf_worker_follow_config(w);
    hf_worker_follow_certificates(w);
    hf_worker_follow_shed(w);
    hf_worker_follow_keys(w);
    hf_hub_set_short(w->hub, hf_memory_watch_tick(&w->memory, w->now.mono_ms));
    hf_sockets_read(&w->sockets);
    hf_worker_check_room(w);
    hf_worker_run_api(w);
    hf_hooks_http_run(w->hooks);
    hf_hub_turn(w->hub, w->now);
    hf_complaints_tick(&w->complaints, counters, w->now.mono_ms);
    hf_measure(counters, HF_MEASURE_LOOP_TURN, hf_now_read_us() - hf_now_us(w->now));
}

/* ---- Start and end ---- */

static void woken(struct hf_watch *watch, unsigned what)
{
    uint64_t count;

    (void)what;
    (void)!read(watch->fd, &count, sizeof(count)); /* That we are awake is all it says. */
}

static bool set_up(struct hf_worker *w, const struct hf_transport *transport)
{
    const struct hf_worker_setup *setup = w->setup;

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
    if (hf_loop_add(w->loop, &w->wake, true) < 0 || !hf_worker_start_api(w) || !hf_worker_start_hooks(w))
        return false;
    hf_worker_init_listeners(w);
    hf_worker_measure_room(w);
    w->tls_generation = setup->tls_generation;
    w->auth = setup->auth;
    w->auth_generation = setup->auth_generation;
    hf_hub_set_auth(w->hub, w->auth);
    hf_worker_share_descriptors(w);
    if (hf_worker_listens(w) && !w->listening) /* With shared sockets it may listen already. */
        hf_worker_start_listening(w);
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

static struct hf_worker *worker_new(const struct hf_worker_setup *setup)
{
    struct hf_worker *w = calloc(1, sizeof(*w));

    if (w == NULL)
        return NULL;
    w->config = *setup->config;
    w->config_version = setup->config_version;
    w->own = *setup;
    w->own.config = &w->config;
    w->setup = &w->own;
    w->random_used = HF_RANDOM_POOL;
    return w;
}

static void worker_free(struct hf_worker *w)
{
    hf_worker_stop_api(w);
    hf_hooks_http_free(w->hooks);
    hf_hub_free(w->hub);
    hf_auth_free(w->auth);
    hf_memory_watch_release(&w->memory);
    hf_sockets_release(&w->sockets);
    hf_loop_free(w->loop);
    hf_log_event(HF_LOG_INFO, "worker_stopped");
    free(w);
}

int hf_worker_run(const struct hf_worker_setup *setup)
{
    struct hf_worker *w = worker_new(setup);
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
    if (!set_up(w, &transport)) {
        hf_log(HF_LOG_ERROR, "worker_failed", hf_kv_errno("error", errno));
        return 1;
    }
    if (!confine(setup->config->process_seccomp))
        return 1;
    hf_hub_serves(w->hub);
    hf_log(HF_LOG_INFO, "worker_started", hf_kv_u64("slot", setup->slot));
    while (!hf_worker_drained(w))
        turn(w);
    hf_worker_turn_away(
        w); /* Nobody is to wait in our queue for as long as others drain, or until our successor is there. */
    worker_free(w);
    return 0;
}
