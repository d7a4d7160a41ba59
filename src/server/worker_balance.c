/*
 * worker_balance.c - newcomers go to the workers that have room: each says whether it is full, and the kernel is told who is to be given connections.
 */
#include "server/worker_impl.h"

#include "net/listen.h"
#include "server/capacity.h"
#include "server/hub.h"
#include "server/logger.h"

#include <errno.h>
#include <string.h>
#include <sys/resource.h>

enum { FULL_MARGIN = 1024 }; /* see hf_worker_measure_room(); a guess at what a backlog holds in a storm */

static uint32_t list_open(const struct hf_worker *w, uint32_t *members)
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
static void steer(struct hf_worker *w)
{
    uint32_t members[HF_WORKERS_MAX], again[HF_WORKERS_MAX], count, count_again = list_open(w, again);

    if (w->setup->shared_sockets) { /* Each takes from the same queue what it has room for. */
        bool wanted = hf_worker_listens(w) && w->accept_again_ms == 0;

        if (wanted && !w->listening)
            hf_worker_start_listening(w);
        else if (!wanted)
            hf_worker_stop_listening(w);
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

void hf_worker_turn_away(struct hf_worker *w)
{
    atomic_store(&w->setup->region->slots[w->setup->slot].full, 1);
    steer(w);
}

void hf_worker_check_room(struct hf_worker *w)
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
void hf_worker_measure_room(struct hf_worker *w)
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
