/*
 * supervisor_drain.c - the server stops: every worker is told to let its clients go, and the service manager how far that is.
 */
#include "server/supervisor_impl.h"

#include "server/drain.h"
#include "server/logger.h"

enum {
    PROGRESS_MS = 1000,     /* how often a drain says how far it is */
    DRAIN_MARGIN_MS = 4000, /* from the end of the drain to the kill of what is left */
};

/* sd_notify(3), EXTEND_TIMEOUT_USEC: so that TimeoutStopSec= does not end a drain that takes its time. */
static unsigned long long drain_us_left(const struct hf_supervisor *s)
{
    uint64_t now = hf_mono_ms();

    return ((s->drain_end_ms > now ? s->drain_end_ms - now : 0) + DRAIN_MARGIN_MS) * 1000;
}

void hf_supervisor_begin_drain(struct hf_supervisor *s, int signal_number)
{
    const struct hf_config *config = s->config;
    struct hf_drain_plan plan;

    s->drain_count = hf_supervisor_count_connections(s);
    plan = hf_drain_plan(s->drain_count, config->admission_rate, config->drain_timeout_ms);
    hf_log(HF_LOG_INFO, "stopping", hf_kv_i64("signal", signal_number),
           hf_kv_u64("connections", s->drain_count), hf_kv_u64("window_ms", plan.window_ms),
           hf_kv_u64("drain_ms", plan.total_ms));
    if (plan.window_ms < plan.wanted_ms && s->drain_count > 0)
        hf_log(HF_LOG_WARNING, "drain_short",
               hf_kv_text("advice", "at admission.rate all clients need more time than drain.timeout "
                                    "gives: some will be refused at first"),
               hf_kv_u64("wanted_ms", plan.wanted_ms + (plan.total_ms - plan.window_ms)));
    s->draining = true;
    s->drain_end_ms = hf_mono_ms() + plan.total_ms + DRAIN_MARGIN_MS;
    s->progress_ms = hf_mono_ms() + PROGRESS_MS;
    for (uint32_t slot = 0; slot < config->workers; slot++)
        atomic_store(&s->region.slots[slot].draining, HF_DRAIN_STOP);
    hf_notify_say(&s->notify, "STOPPING=1\nSTATUS=Draining %llu connections.\nEXTEND_TIMEOUT_USEC=%llu",
                  (unsigned long long)s->drain_count, drain_us_left(s));
    hf_supervisor_wake_all(s);
}

void hf_supervisor_tell_progress(struct hf_supervisor *s)
{
    uint64_t end_ms = s->drain_end_ms - DRAIN_MARGIN_MS, now = hf_mono_ms();

    if (!s->draining)
        return;
    if (hf_supervisor_count_connections(s) == 0)
        hf_supervisor_wake_all(s); /* Each stays until all have nothing left: see worker.c. */
    if (now < s->progress_ms)
        return;
    s->progress_ms = now + PROGRESS_MS;
    hf_log(HF_LOG_INFO, "drain_progress", hf_kv_u64("left", hf_supervisor_count_connections(s)),
           hf_kv_u64("of", s->drain_count), hf_kv_u64("ends_in_ms", end_ms > now ? end_ms - now : 0));
    hf_notify_say(&s->notify, "STATUS=Draining: %llu of %llu connections are left.\nEXTEND_TIMEOUT_USEC=%llu",
                  (unsigned long long)hf_supervisor_count_connections(s), (unsigned long long)s->drain_count,
                  drain_us_left(s));
}
