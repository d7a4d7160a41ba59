#include "base/wheel.h"

void hf_wheel_init(struct hf_wheel *w, uint64_t now_ms)
{
    w->tick = now_ms / HF_WHEEL_TICK_MS;
    w->count = 0;
    for (int i = 0; i < HF_WHEEL_SLOTS; i++)
        hf_list_init(&w->slots[i]);
}

void hf_timer_init(struct hf_timer *t)
{
    hf_list_init(&t->link);
}

void hf_wheel_add(struct hf_wheel *w, struct hf_timer *t, uint64_t at_ms)
{
    uint64_t tick = at_ms / HF_WHEEL_TICK_MS + (at_ms % HF_WHEEL_TICK_MS != 0); /* Never before its time. */

    hf_wheel_remove(w, t);
    if (tick < w->tick)
        tick = w->tick;
    if (tick > w->tick + HF_WHEEL_SLOTS - 1)
        tick = w->tick + HF_WHEEL_SLOTS - 1;
    hf_list_add_tail(&w->slots[tick % HF_WHEEL_SLOTS], &t->link);
    w->count++;
}

void hf_wheel_remove(struct hf_wheel *w, struct hf_timer *t)
{
    if (hf_list_empty(&t->link))
        return;
    hf_list_del(&t->link);
    w->count--;
}

struct hf_timer *hf_wheel_pop(struct hf_wheel *w, uint64_t now_ms)
{
    uint64_t now_tick = now_ms / HF_WHEEL_TICK_MS;

    if (w->count == 0 && now_tick >= w->tick)
        w->tick = now_tick; /* Nothing to hand out on the way. */
    while (w->tick <= now_tick) {
        struct hf_list *node = hf_list_pop(&w->slots[w->tick % HF_WHEEL_SLOTS]);

        if (node != NULL) {
            w->count--;
            return HF_CONTAINER(node, struct hf_timer, link);
        }
        if (w->tick == now_tick)
            break; /* More may be added to this tick: it stays open until it is over. */
        w->tick++;
    }
    return NULL;
}

uint64_t hf_wheel_deadline_ms(const struct hf_wheel *w, uint64_t now_ms, uint64_t most_ms)
{
    uint64_t last = (now_ms + most_ms) / HF_WHEEL_TICK_MS;

    if (w->count == 0)
        return now_ms + most_ms;
    for (uint64_t tick = w->tick; tick <= last && tick < w->tick + HF_WHEEL_SLOTS; tick++)
        if (!hf_list_empty(&w->slots[tick % HF_WHEEL_SLOTS]))
            return tick * HF_WHEEL_TICK_MS > now_ms ? tick * HF_WHEEL_TICK_MS : now_ms;
    return now_ms + most_ms;
}
