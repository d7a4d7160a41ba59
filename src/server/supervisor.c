#include "server/supervisor.h"

#include "server/logger.h"
#include "server/supervisor_impl.h"
#include "shm/memory.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum { POLL_MS = 200, STATUS_MS = 5000 };

/* ---- What the service manager hears ---- */

/* Whether some worker serves, and the loop of each one that runs turns. One that is dead is replaced by us, and no reason to end the others. */
static bool is_well(const struct hf_supervisor *s)
{
    uint64_t now = hf_mono_ms(), patience_ms = s->notify.watchdog_ms / 2;

    for (uint32_t slot = 0; slot < s->config->workers; slot++) {
        uint64_t alive_ms = atomic_load(&s->region.slots[slot].alive_ms);

        if (s->slots[slot].pid > 0 && now > alive_ms && now - alive_ms > patience_ms)
            return false;
    }
    return s->draining || hf_supervisor_count_running(s) > 0;
}

static void tell_status(struct hf_supervisor *s)
{
    uint64_t now = hf_mono_ms();

    if (!s->ready_said || s->draining || now < s->status_ms)
        return;
    s->status_ms = now + STATUS_MS;
    hf_notify_say(&s->notify, "STATUS=%u workers serve %llu connections.", hf_supervisor_count_running(s),
                  (unsigned long long)hf_supervisor_count_connections(s));
}

static void say_ready(struct hf_supervisor *s)
{
    if (s->ready_said || s->draining || hf_supervisor_count_running(s) < s->config->workers)
        return;
    s->ready_said = true;
    hf_log(HF_LOG_INFO, "ready", hf_kv_u64("workers", s->config->workers),
           hf_kv_u64("connections_max", s->capacity.connections));
    hf_notify_say(&s->notify, "READY=1");
    if (s->ready != NULL)
        s->ready(s->config);
}

/* ---- The loop ---- */

static void take_signals(struct hf_supervisor *s)
{
    struct signalfd_siginfo info;

    while (read(s->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        if (info.ssi_signo == SIGCHLD)
            continue;
        if (info.ssi_signo == SIGHUP) {
            hf_supervisor_reload(s);
            continue;
        }
        if (info.ssi_signo == SIGUSR2) {
            hf_supervisor_begin_rolling(s);
            continue;
        }
        if (s->draining) {
            hf_log(HF_LOG_WARNING, "stopping_at_once", hf_kv_i64("signal", (int)info.ssi_signo));
            hf_supervisor_kill_workers(s);
        } else {
            hf_supervisor_begin_drain(s, (int)info.ssi_signo);
        }
    }
}

static int poll_ms(const struct hf_supervisor *s)
{
    bool waits = s->ready_said && s->rolling.phase == HF_ROLLING_IDLE && !s->draining;
    uint64_t now = hf_mono_ms(), at = now + (waits ? POLL_MS : 5);

    for (uint32_t slot = 0; !s->draining && slot < s->config->workers; slot++)
        if (s->slots[slot].pid == 0 && s->slots[slot].start_at_ms < at)
            at = s->slots[slot].start_at_ms;
    return at > now ? (int)(at - now) : 0;
}

static int serve(struct hf_supervisor *s)
{
    struct pollfd pfd = {.fd = s->signal_fd, .events = POLLIN};

    hf_supervisor_start_due(s);
    for (;;) {
        (void)poll(&pfd, 1, poll_ms(s));
        take_signals(s);
        hf_supervisor_reap(s);
        hf_supervisor_start_due(s);
        hf_supervisor_kill_stuck(s);
        hf_supervisor_kill_condemned(s);
        say_ready(s);
        hf_supervisor_tell_progress(s);
        tell_status(s);
        hf_notify_alive(&s->notify, is_well(s), hf_mono_ms());
        if (s->rolling_wanted && s->ready_said)
            hf_supervisor_begin_rolling(s);
        while (!s->draining && hf_supervisor_roll(s))
            ;
        if (s->draining && hf_supervisor_count_alive(s) == 0)
            break;
        if (s->draining && hf_mono_ms() > s->drain_end_ms)
            hf_supervisor_kill_workers(s);
    }
    hf_log_event(HF_LOG_INFO, "stopped");
    return 0;
}

static struct hf_supervisor *supervisor_new(const struct hf_config *config, const struct hf_api_ops *api,
                                            hf_supervisor_ready *ready, const struct hf_config_source *source)
{
    struct hf_supervisor *s = calloc(1, sizeof(*s));

    if (s == NULL)
        return NULL;
    s->planned = *config;
    s->given = *config;
    s->source = source;
    s->config = &s->planned;
    s->api = api;
    s->ready = ready;
    return s;
}

static void supervisor_free(struct hf_supervisor *s)
{
    hf_tls_drop(s->tls);
    hf_auth_free(s->auth);
    hf_hooks_tls_release(&s->hooks_tls);
    if (s->unix_path != NULL)
        (void)unlink(s->unix_path);
    hf_notify_close(&s->notify);
    hf_memory_unmap(s->memory, s->memory_bytes);
    free(s); /* Sockets end with the process. */
}

int hf_supervisor_run(const struct hf_config *config, const struct hf_api_ops *api,
                      hf_supervisor_ready *ready, const struct hf_config_source *source)
{
    struct hf_supervisor *s = supervisor_new(config, api, ready, source);
    int status;

    if (s == NULL)
        return hf_cannot_start("start", "", strerror(ENOMEM));
    hf_logger_open(STDERR_FILENO, config->log_level, config->log_format);
    hf_logger_identify(-1);
    status = hf_supervisor_start(s);
    if (status == 0)
        status = serve(s);
    supervisor_free(s);
    return status;
}
