/*
 * memory_store.h - a store for the outbox (session/store.h) in memory: what it has been given survives the session that gave it, as a file
 * survives its process. It can be told to fail, and counts what it is asked.
 */
#ifndef TEST_MEMORY_STORE_H
#define TEST_MEMORY_STORE_H

#include "session/store.h"

#include <stdlib.h>
#include <string.h>

enum { MEMORY_STORE_MAX = 100 };

struct memory_store {
    struct hf_store store;
    struct hf_store_state state;
    char ticket[512];
    struct hf_store_publish publishes[MEMORY_STORE_MAX];
    unsigned count, puts, saves, refusals;
    int fail; /* what put(), refuse() and save() return; 0: they do their work */
};

static struct hf_str memory_store_copy(struct hf_str s)
{
    char *copy = s.data == NULL ? NULL : malloc(s.len + 1);

    if (copy != NULL)
        memcpy(copy, s.data, s.len);
    return (struct hf_str){copy, s.len};
}

static void memory_store_drop_first(struct memory_store *m)
{
    free((char *)(uintptr_t)m->publishes[0].channel.data);
    free((char *)(uintptr_t)m->publishes[0].id.data);
    free((char *)(uintptr_t)m->publishes[0].payload.data);
    free((char *)(uintptr_t)m->publishes[0].refusal.data);
    memmove(m->publishes, m->publishes + 1, --m->count * sizeof(m->publishes[0]));
}

static int memory_store_load(void *ctx, struct hf_store_state *state,
                             int (*take)(void *arg, const struct hf_store_publish *publish), void *arg)
{
    const struct memory_store *m = ctx;
    unsigned i;
    int err = 0;

    *state = m->state;
    for (i = 0; i < m->count && err == 0; i++)
        err = take(arg, &m->publishes[i]);
    return err;
}

static int memory_store_put(void *ctx, const struct hf_store_publish *p)
{
    struct memory_store *m = ctx;

    m->puts++;
    if (m->fail < 0 || m->count == MEMORY_STORE_MAX)
        return m->fail < 0 ? m->fail : HF_ENOSPACE;
    m->publishes[m->count++] = (struct hf_store_publish){p->publish_id,
                                                         memory_store_copy(p->channel),
                                                         memory_store_copy(p->id),
                                                         memory_store_copy(p->payload),
                                                         p->payload_raw,
                                                         {NULL, 0}};
    return 0;
}

static int memory_store_refuse(void *ctx, uint64_t publish_id, struct hf_str code)
{
    struct memory_store *m = ctx;
    unsigned i;

    m->refusals++;
    if (m->fail < 0)
        return m->fail;
    for (i = 0; i < m->count; i++)
        if (m->publishes[i].publish_id == publish_id && m->publishes[i].refusal.data == NULL)
            m->publishes[i].refusal = memory_store_copy(code);
    return 0;
}

static int memory_store_save(void *ctx, const struct hf_store_state *state)
{
    struct memory_store *m = ctx;

    m->saves++;
    if (m->fail < 0)
        return m->fail;
    m->state = *state;
    if (state->ticket.len > 0)
        memcpy(m->ticket, state->ticket.data, state->ticket.len);
    m->state.ticket.data = m->ticket;
    while (m->count > 0 && m->publishes[0].publish_id < state->first_id)
        memory_store_drop_first(m);
    return 0;
}

static void memory_store_init(struct memory_store *m)
{
    *m = (struct memory_store){.store = {.ctx = m,
                                         .load = memory_store_load,
                                         .put = memory_store_put,
                                         .refuse = memory_store_refuse,
                                         .save = memory_store_save},
                               .state = {.first_id = 1}};
}

static void memory_store_release(struct memory_store *m)
{
    while (m->count > 0)
        memory_store_drop_first(m);
}

#endif
