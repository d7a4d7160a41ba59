#include "session/window.h"

#include "base/assert.h"

#include <stdlib.h>
#include <string.h>

enum { CAP_FIRST = 16 };

/* Circular. */
struct hf_window_ring {
    uint32_t count, cap, head; /* entries; places, a power of two; the oldest entry's place */
    uint64_t offset[];
};

void hf_window_init(struct hf_window *w, uint64_t next_seq)
{
    *w = (struct hf_window){.first_seq = next_seq};
}

void hf_window_release(struct hf_window *w)
{
    free(w->ring);
    w->ring = NULL;
}

uint32_t hf_window_count(const struct hf_window *w)
{
    return w->ring == NULL ? 0 : w->ring->count;
}

uint64_t hf_window_next_seq(const struct hf_window *w)
{
    return w->first_seq + hf_window_count(w);
}

static uint64_t *cell(struct hf_window_ring *r, uint64_t nth)
{
    return &r->offset[(r->head + nth) & (r->cap - 1)];
}

static int grow(struct hf_window *w)
{
    struct hf_window_ring *old = w->ring, *r;
    uint32_t cap = old == NULL ? CAP_FIRST : old->cap * 2;

    r = malloc(sizeof(*r) + cap * sizeof(*r->offset));
    if (r == NULL)
        return HF_ENOMEM;
    *r = (struct hf_window_ring){.count = hf_window_count(w), .cap = cap};
    for (uint32_t i = 0; i < r->count; i++)
        r->offset[i] = *cell(old, i);
    free(old);
    w->ring = r;
    return 0;
}

int hf_window_add(struct hf_window *w, uint32_t count_max)
{
    if (hf_window_count(w) >= count_max)
        return HF_EAGAIN;
    if ((w->ring == NULL || w->ring->count == w->ring->cap) && grow(w) < 0)
        return HF_ENOMEM;
    *cell(w->ring, w->ring->count++) = HF_WINDOW_PENDING;
    return 0;
}

void hf_window_done(struct hf_window *w, uint64_t seq, uint64_t offset)
{
    uint64_t *answer;

    hf_assert(offset != HF_WINDOW_PENDING);
    if (seq < w->first_seq || seq - w->first_seq >= hf_window_count(w))
        return;
    answer = cell(w->ring, seq - w->first_seq);
    if (*answer == HF_WINDOW_PENDING)
        *answer = offset;
}

bool hf_window_ready(const struct hf_window *w)
{
    return w->ring != NULL && *cell(w->ring, 0) != HF_WINDOW_PENDING;
}

bool hf_window_pop(struct hf_window *w, uint64_t *seq, uint64_t *offset)
{
    struct hf_window_ring *r = w->ring;

    if (!hf_window_ready(w))
        return false;
    *seq = w->first_seq++;
    *offset = *cell(r, 0);
    r->head = (r->head + 1) & (r->cap - 1);
    if (--r->count == 0)
        hf_window_release(w); /* An idle session holds no memory here. */
    return true;
}
