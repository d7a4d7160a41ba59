/*
 * supervisor_rolling.c - the workers are replaced one by one, in the order that rolling.h decides.
 */
#include "server/supervisor_impl.h"

#include "server/logger.h"

#include <signal.h>

void hf_supervisor_begin_rolling(struct hf_supervisor *s)
{
    s->rolling_wanted = !s->ready_said;
    if (s->rolling_wanted)
        return;
    if (s->draining || !hf_rolling_begin(&s->rolling, hf_mono_ms())) {
        hf_log(HF_LOG_WARNING, "rolling_restart_not_begun",
               hf_kv_text("why", s->draining ? "the server stops" : "one is under way"));
        return;
    }
    hf_log(HF_LOG_INFO, "rolling_restart", hf_kv_u64("workers", s->config->workers),
           hf_kv_u64("connections", hf_supervisor_count_connections(s)));
}

/* Returns whether there may be more to do at once. */
bool hf_supervisor_roll(struct hf_supervisor *s)
{
    struct hf_rolling *r = &s->rolling;
    const struct hf_supervisor_slot *w = &s->slots[r->slot < s->config->workers ? r->slot : 0];
    struct hf_rolling_view view = {.alive = w->pid > 0, .failures = w->failures};

    switch (hf_rolling_tick(r, &s->region, &view, s->config->drain_timeout_ms, hf_mono_ms())) {
    case HF_ROLLING_WAIT:
        return false;
    case HF_ROLLING_WAKE:
        hf_supervisor_wake(s, r->slot);
        return true;
    case HF_ROLLING_KILL:
        hf_log(HF_LOG_ERROR, "worker_stuck", hf_kv_u64("slot", r->slot), hf_kv_text("in", "its drain"));
        kill(w->pid, SIGKILL);
        return false;
    case HF_ROLLING_DONE:
        hf_log(HF_LOG_INFO, "rolling_restart_done", hf_kv_u64("took_ms", hf_mono_ms() - r->began_ms),
               hf_kv_u64("connections", hf_supervisor_count_connections(s)));
        hf_supervisor_wake_all(s); /* Who moves now has two connections for a moment. */
        return false;
    case HF_ROLLING_BROKEN:
        hf_log(HF_LOG_ERROR, "rolling_restart_broken", hf_kv_u64("slot", r->slot),
               hf_kv_text("advice", "its new worker dies again and again; the others are left as they are"));
        return false;
    }
    return false;
}
