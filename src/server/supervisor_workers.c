/*
 * supervisor_workers.c - the workers' processes: started, started again where they die, killed where they are stuck.
 */
#include "server/supervisor_impl.h"

#include "server/drain.h"
#include "server/logger.h"
#include "server/worker.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    EXIT_FAILED = 1,
    STUCK_MS =
        10000, /* a worker whose loop has not turned for so long is killed; its sessions resume elsewhere */
    STABLE_MS = 5000,      /* a worker that lived so long may be replaced at once again */
    BACKOFF_FIRST_MS = 50, /* restarts of one that keeps dying: 0, 50, 100, … ms */
    BACKOFF_MAX_MS = 5000,
};

/* ---- Starting ---- */

static _Noreturn void be_worker(struct hf_supervisor *s, uint32_t slot, pid_t parent)
{
    struct hf_worker_setup setup = {.config = s->config,
                                    .config_version = atomic_load(&hf_region_handout(&s->region)->version),
                                    .api = s->api,
                                    .region = &s->region,
                                    .slot = slot,
                                    .listen_fds = s->slots[slot].listen_fds,
                                    .listen_count = hf_supervisor_listener_count(s),
                                    .plain_count = s->config->listen_count,
                                    .shared_sockets = s->shared_sockets,
                                    .tls = s->tls,
                                    .tls_generation = atomic_load(&s->region.header->tls_generation),
                                    .tls_secret = s->tls_secret,
                                    .auth = s->auth,
                                    .auth_generation = atomic_load(&s->region.header->auth_generation),
                                    .hooks_tls = &s->hooks_tls,
                                    .api_fd = s->slots[slot].api_fd,
                                    .wake_fds = s->wake_fds};

    prctl(PR_SET_PDEATHSIG,
          SIGKILL); /* Without its supervisor a worker has no future: nobody would replace it. */
    if (getppid() != parent)
        _exit(EXIT_FAILED);
    /* SIGINT and SIGTERM stay blocked: a terminal sends them to the whole group, and the supervisor decides. */
    close(s->signal_fd);
    hf_notify_close(&s->notify);
    hf_supervisor_close_sockets_of_others(s, slot);
    hf_logger_identify((int)slot);
    exit(hf_worker_run(&setup));
}

static void start_worker(struct hf_supervisor *s, uint32_t slot)
{
    struct hf_slot *shared = &s->region.slots[slot];
    pid_t parent = getpid(), pid;

    atomic_store(&shared->state, HF_SLOT_STARTING);
    atomic_store(&shared->draining, HF_DRAIN_NONE);
    atomic_store(&shared->shed, 0);
    atomic_store(&shared->alive_ms, hf_mono_ms());
    atomic_fetch_add(&shared->starts, 1);
    pid = fork();
    if (pid == 0)
        be_worker(s, slot, parent);
    s->slots[slot].started_ms = hf_mono_ms();
    if (pid < 0) {
        hf_log(HF_LOG_ERROR, "fork_failed", hf_kv_u64("slot", slot), hf_kv_errno("error", errno));
        atomic_store(&shared->state, HF_SLOT_DEAD);
        s->slots[slot].start_at_ms = hf_mono_ms() + BACKOFF_MAX_MS;
        return;
    }
    s->slots[slot].pid = pid;
    atomic_store(&shared->pid, pid);
}

void hf_supervisor_start_due(struct hf_supervisor *s)
{
    for (uint32_t slot = 0; !s->draining && slot < s->config->workers; slot++)
        if (s->slots[slot].pid == 0 && hf_mono_ms() >= s->slots[slot].start_at_ms)
            start_worker(s, slot);
}

/* ---- Ends ---- */

static uint64_t backoff_ms(uint32_t failures)
{
    uint64_t ms = BACKOFF_FIRST_MS;

    if (failures <= 1)
        return 0;
    for (uint32_t i = 2; i < failures && ms < BACKOFF_MAX_MS; i++)
        ms *= 2;
    return ms < BACKOFF_MAX_MS ? ms : BACKOFF_MAX_MS;
}

static void worker_died(struct hf_supervisor *s, uint32_t slot, int status)
{
    struct hf_supervisor_slot *w = &s->slots[slot];
    bool stable = hf_mono_ms() - w->started_ms >= STABLE_MS;
    bool told = atomic_load(&s->region.slots[slot].draining) != HF_DRAIN_NONE;
    bool expected = told && WIFEXITED(status) && WEXITSTATUS(status) == 0;
    uint64_t wait_ms;

    w->pid = 0;
    hf_region_bury_worker(&s->region, slot);
    if (expected) {
        w->failures = 0;
        w->start_at_ms = 0;
        return;
    }
    if (!w->condemned)
        w->failures = stable ? 1 : w->failures + 1;
    wait_ms = w->condemned ? 0 : backoff_ms(w->failures); /* Kills have a rate of their own. */
    w->condemned = false;
    w->start_at_ms = hf_mono_ms() + wait_ms;
    hf_log(HF_LOG_WARNING, "worker_died", hf_kv_u64("slot", slot),
           WIFSIGNALED(status) ? hf_kv_i64("signal", WTERMSIG(status))
                               : hf_kv_i64("status", WEXITSTATUS(status)),
           hf_kv_u64("restart_in_ms", wait_ms));
}

void hf_supervisor_reap(struct hf_supervisor *s)
{
    int status;
    pid_t pid;

    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        for (uint32_t slot = 0; slot < s->config->workers; slot++)
            if (s->slots[slot].pid == pid)
                worker_died(s, slot, status);
}

void hf_supervisor_kill_workers(struct hf_supervisor *s)
{
    for (uint32_t slot = 0; slot < s->config->workers; slot++)
        if (s->slots[slot].pid > 0)
            kill(s->slots[slot].pid, SIGKILL);
}

void hf_supervisor_kill_stuck(struct hf_supervisor *s)
{
    for (uint32_t slot = 0; slot < s->config->workers; slot++) {
        uint64_t alive_ms = atomic_load(&s->region.slots[slot].alive_ms);

        if (s->slots[slot].pid <= 0 || hf_mono_ms() - alive_ms < STUCK_MS || alive_ms > hf_mono_ms())
            continue;
        hf_log(HF_LOG_ERROR, "worker_stuck", hf_kv_u64("slot", slot),
               hf_kv_u64("for_ms", hf_mono_ms() - alive_ms));
        kill(s->slots[slot].pid, SIGKILL);
    }
}

/* The demo's harm. We alone know which process is this slot's now, so that no other one is hit. */
void hf_supervisor_kill_condemned(struct hf_supervisor *s)
{
    for (uint32_t slot = 0; s->config->demo && slot < s->config->workers; slot++)
        if (atomic_exchange(&s->region.slots[slot].condemned, 0) != 0 && s->slots[slot].pid > 0) {
            s->slots[slot].condemned = true;
            kill(s->slots[slot].pid, SIGKILL);
        }
}

/* ---- What they are told, and what is known of them ---- */

void hf_supervisor_wake(struct hf_supervisor *s, uint32_t slot)
{
    uint64_t one = 1;

    (void)!write(s->wake_fds[slot], &one, sizeof(one));
}

void hf_supervisor_wake_all(struct hf_supervisor *s)
{
    for (uint32_t slot = 0; slot < s->config->workers; slot++)
        hf_supervisor_wake(s, slot);
}

uint32_t hf_supervisor_count_running(const struct hf_supervisor *s)
{
    uint32_t running = 0;

    for (uint32_t slot = 0; slot < s->config->workers; slot++)
        running += atomic_load(&s->region.slots[slot].state) == HF_SLOT_RUNNING;
    return running;
}

uint32_t hf_supervisor_count_alive(const struct hf_supervisor *s)
{
    uint32_t alive = 0;

    for (uint32_t slot = 0; slot < s->config->workers; slot++)
        alive += s->slots[slot].pid > 0;
    return alive;
}

uint64_t hf_supervisor_count_connections(const struct hf_supervisor *s)
{
    return hf_gate_connections(hf_region_gate(&s->region));
}
