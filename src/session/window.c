#include "session/window.h"

#include "base/assert.h"

#include <stdlib.h>
#include <string.h>

enum { CAP_FIRST = 16 };

void hf_window_init(struct hf_window *w, uint64_t next_seq, uint32_t count_max)
{
    *w = (struct hf_window){.first_seq = next_seq, .count_max = count_max};
}

void hf_window_release(struct hf_window *w)
{
    free(w->offset);
    w->offset = NULL;
    w->cap = w->count = w->head = 0;
}

uint64_t hf_window_next_seq(const struct hf_window *w)
{
    return w->first_seq + w->count;
}

static int grow(struct hf_window *w)
{
    uint32_t cap = w->cap == 0 ? CAP_FIRST : w->cap * 2;
    uint64_t *offset = malloc(cap * sizeof(*offset));

    if (offset == NULL)
        return HF_ENOMEM;
    for (uint32_t i = 0; i < w->count; i++)
        offset[i] = w->offset[(w->head + i) & (w->cap - 1)];
    free(w->offset);
    w->offset = offset;
    w->cap = cap;
    w->head = 0;
    return 0;
}

int hf_window_add(struct hf_window *w)
{
    if (w->count >= w->count_max)
        return HF_EAGAIN;
    if (w->count == w->cap && grow(w) < 0)
        return HF_ENOMEM;
    w->offset[(w->head + w->count) & (w->cap - 1)] = HF_WINDOW_PENDING;
    w->count++;
    return 0;
}

void hf_window_done(struct hf_window *w, uint64_t seq, uint64_t offset)
{
    uint64_t *cell;

    hf_assert(offset != HF_WINDOW_PENDING);
    if (seq < w->first_seq || seq - w->first_seq >= w->count)
        return;
    cell = &w->offset[(w->head + (seq - w->first_seq)) & (w->cap - 1)];
    if (*cell == HF_WINDOW_PENDING)
        *cell = offset;
}

bool hf_window_ready(const struct hf_window *w)
{
    return w->count > 0 && w->offset[w->head] != HF_WINDOW_PENDING;
}

bool hf_window_pop(struct hf_window *w, uint64_t *seq, uint64_t *offset)
{
    if (!hf_window_ready(w))
        return false;
    *seq = w->first_seq++;
    *offset = w->offset[w->head];
    w->head = (w->head + 1) & (w->cap - 1);
    if (--w->count == 0)
        hf_window_release(w); /* An idle session holds no memory here. */
    return true;
}
