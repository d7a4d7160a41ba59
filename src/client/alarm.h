/*
 * alarm.h - a descriptor that becomes readable at a time of CLOCK_BOOTTIME. The timeout of poll() stands still while the machine sleeps; this does not, so that
 * what became due in the meantime is done when the machine wakes up, whatever loop waits, and however long it meant to.
 *
 * It is never read: arming it anew takes back that it has rung. Where the process has no descriptor left for it there is none, and all of this does nothing.
 */
#ifndef HF_CLIENT_ALARM_H
#define HF_CLIENT_ALARM_H

#include <stdint.h>

enum {
    /* A deadline that moves away by less does not move the alarm: one that goes ahead with each message would cost a system call each time. It then rings early. A guess. */
    HF_ALARM_EARLY_MS = 1000,
};

struct hf_alarm {
    int fd;         /* to be polled for POLLIN; -1: there is none */
    uint64_t at_ms; /* armed for; UINT64_MAX: not armed */
};

void hf_alarm_init(struct hf_alarm *a);
void hf_alarm_release(struct hf_alarm *a);
/*
 * Ring at at_ms, or up to HF_ALARM_EARLY_MS before; at once if that has passed; UINT64_MAX: not at all. To be called before each wait, with the same
 * clock's now: then it has not rung yet, unless it is to.
 */
void hf_alarm_set(struct hf_alarm *a, uint64_t at_ms, uint64_t now_ms);

#endif
