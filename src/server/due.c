#include "server/due.h"

#include "base/assert.h"
#include "server/hub_state.h"

#include <stdlib.h>

enum { CAP_FIRST = 64 };

int hf_due_reserve(struct hf_due *d, uint32_t conns)
{
    uint32_t cap = d->cap == 0 ? CAP_FIRST : d->cap;
    struct hf_conn **more;

    if (conns <= d->cap)
        return 0;
    while (cap < conns)
        cap *= 2;
    more = realloc(d->conns, cap * sizeof(*more));
    if (more == NULL)
        return HF_ENOMEM;
    d->conns = more;
    d->cap = cap;
    return 0;
}

void hf_due_release(struct hf_due *d)
{
    free(d->conns);
    *d = (struct hf_due){0};
}

static void close_holes(struct hf_due *d)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < d->count; i++) {
        if (d->conns[i] == NULL)
            continue;
        d->conns[count++] = d->conns[i];
        d->conns[count - 1]->due_at = count;
    }
    d->count = count;
}

void hf_due_add(struct hf_due *d, struct hf_conn *c)
{
    if (d->count == d->cap)
        close_holes(d);
    hf_assert(d->count < d->cap);
    d->conns[d->count++] = c;
    c->due_at = d->count;
}

void hf_due_remove(struct hf_due *d, struct hf_conn *c)
{
    if (c->due_at > 0 && c->due_at <= d->count && d->conns[c->due_at - 1] == c) {
        d->conns[c->due_at - 1] = NULL;
        c->due_at = 0;
    }
}
