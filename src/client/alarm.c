#include "client/alarm.h"

#include <stdbool.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

void hf_alarm_init(struct hf_alarm *a)
{
    *a = (struct hf_alarm){.fd = timerfd_create(CLOCK_BOOTTIME, TFD_NONBLOCK | TFD_CLOEXEC),
                           .at_ms = UINT64_MAX};
}

void hf_alarm_release(struct hf_alarm *a)
{
    if (a->fd >= 0)
        (void)close(a->fd);
    a->fd = -1;
}

static bool good_as_it_is(const struct hf_alarm *a, uint64_t at_ms, uint64_t now_ms)
{
    if (at_ms == UINT64_MAX || a->at_ms == UINT64_MAX)
        return a->at_ms == at_ms;
    return a->at_ms > now_ms && a->at_ms <= at_ms && at_ms - a->at_ms < HF_ALARM_EARLY_MS;
}

void hf_alarm_set(struct hf_alarm *a, uint64_t at_ms, uint64_t now_ms)
{
    struct itimerspec when = {.it_value = {.tv_sec = 0}};

    if (a->fd < 0 || good_as_it_is(a, at_ms, now_ms))
        return;
    if (at_ms != UINT64_MAX) {
        when.it_value.tv_sec = (time_t)(at_ms / 1000);
        when.it_value.tv_nsec = (long)(at_ms % 1000) * 1000000 + 1; /* All 0 would be "not at all". */
    }
    if (timerfd_settime(a->fd, TFD_TIMER_ABSTIME, &when, NULL) == 0)
        a->at_ms = at_ms;
}
