/*
 * wheel.h - a timer wheel for very many timers that rarely fire at their first time.
 *
 * A timer stands in the slot of the earliest moment at which something could be due. When the moment comes it is handed out, and its owner
 * looks whether that is still so; if not, it is added again. So what postpones a deadline (a byte received) only writes a
 * time somewhere and touches no list. Slots are 50 ms wide: all that falls into one is handed out together.
 */
#ifndef HF_BASE_WHEEL_H
#define HF_BASE_WHEEL_H

#include "base/list.h"

#include <stdint.h>

enum {
    HF_WHEEL_TICK_MS = 50,
    HF_WHEEL_SLOTS = 2048 /* 102.4 s; what is due later comes round early and is added again */
};

struct hf_timer {
    struct hf_list link;
};

struct hf_wheel {
    uint64_t tick;  /* the next one to hand out */
    uint32_t count; /* timers in the wheel */
    struct hf_list slots[HF_WHEEL_SLOTS];
};

void hf_wheel_init(struct hf_wheel *w, uint64_t now_ms);
void hf_timer_init(struct hf_timer *t);
/* Add a timer that is in no wheel, or move it. A time in the past is the next tick; a far one is handed out early. */
void hf_wheel_add(struct hf_wheel *w, struct hf_timer *t, uint64_t at_ms);
void hf_wheel_remove(struct hf_wheel *w, struct hf_timer *t);
/* The next timer that is due, taken out of the wheel, or NULL. Call until NULL. */
struct hf_timer *hf_wheel_pop(struct hf_wheel *w, uint64_t now_ms);
/* When to call hf_wheel_pop() again: the end of the first slot in use, within most_ms from now. */
uint64_t hf_wheel_deadline_ms(const struct hf_wheel *w, uint64_t now_ms, uint64_t most_ms);

#endif
