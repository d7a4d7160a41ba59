#include "server/conns.h"

#include "base/assert.h"
#include "server/hub_state.h"

#include <stdlib.h>

enum {
    CAP_FIRST = 64,
    CHUNK_PLACES = HF_SESSIONS_PER_CHUNK,
    PLACE_BITS = 24,
    COUNT_BITS = 24,
    NO_PLACE = 0xffffff
};

/* ---- Places ---- */

static bool is_free(uintptr_t entry)
{
    return (entry & 1) != 0; /* A pointer is even. */
}

static struct hf_conn *conn_at(const struct hf_conns *t, uint32_t place)
{
    return place < t->high && !is_free(t->table[place]) ? (struct hf_conn *)t->table[place] : NULL;
}

static uint32_t place_of(uint64_t serial)
{
    return (uint32_t)serial & NO_PLACE;
}

static int grow(struct hf_conns *t)
{
    uint32_t cap = t->cap == 0 ? CAP_FIRST : t->cap * 2;
    uintptr_t *more = realloc(t->table, cap * sizeof(*more));

    if (more == NULL)
        return HF_ENOMEM;
    t->table = more;
    t->cap = cap;
    return 0;
}

static uint64_t new_serial(struct hf_conns *t, uint32_t place)
{
    uint64_t nth = ++t->opened & ((1u << COUNT_BITS) - 1);

    return (uint64_t)t->life << (PLACE_BITS + COUNT_BITS) | nth << PLACE_BITS | place;
}

int hf_conns_add(struct hf_conns *t, struct hf_conn *c)
{
    uint32_t place = t->high;

    if (t->free_first > 0) {
        place = t->free_first - 1;
        t->free_first = (uint32_t)(t->table[place] >> 1);
    } else if (t->high == HF_CONNS_MAX) {
        return HF_ELIMIT;
    } else if (t->high == t->cap && grow(t) < 0) {
        return HF_ENOMEM;
    } else {
        t->high++;
    }
    t->table[place] = (uintptr_t)c;
    t->count++;
    c->serial = new_serial(t, place);
    return 0;
}

void hf_conns_remove(struct hf_conns *t, struct hf_conn *c)
{
    uint32_t place = place_of(c->serial);

    hf_assert(conn_at(t, place) == c);
    t->table[place] = (uintptr_t)t->free_first << 1 | 1;
    t->free_first = place + 1;
    t->count--;
}

uint64_t hf_conns_other_serial(struct hf_conns *t)
{
    return new_serial(t, NO_PLACE);
}

struct hf_conn *hf_conns_by_serial(const struct hf_conns *t, uint64_t serial)
{
    struct hf_conn *c = conn_at(t, place_of(serial));

    return c != NULL && c->serial == serial ? c : NULL;
}

struct hf_conn *hf_conns_next(const struct hf_conns *t, uint32_t *at)
{
    while (*at < t->high) {
        struct hf_conn *c = conn_at(t, (*at)++);

        if (c != NULL)
            return c;
    }
    return NULL;
}

/* ---- Sessions ---- */

/* Where it stands which connection has this session; NULL: none has ever had one close to it. */
static uint32_t *session_cell(const struct hf_conns *t, uint64_t session)
{
    uint32_t chunk = hf_session_place(session) / CHUNK_PLACES;

    if (chunk >= t->chunk_count || t->chunks[chunk] == NULL)
        return NULL;
    return &t->chunks[chunk][hf_session_place(session) % CHUNK_PLACES];
}

static int make_cell(struct hf_conns *t, uint64_t session)
{
    uint32_t chunk = hf_session_place(session) / CHUNK_PLACES;

    if (chunk >= t->chunk_count) {
        uint32_t **more = realloc(t->chunks, (chunk + 1) * sizeof(*more));

        if (more == NULL)
            return HF_ENOMEM;
        t->chunks = more;
        while (t->chunk_count <= chunk)
            t->chunks[t->chunk_count++] = NULL;
    }
    t->chunks[chunk] = calloc(CHUNK_PLACES, sizeof(**t->chunks));
    return t->chunks[chunk] == NULL ? HF_ENOMEM : 0;
}

int hf_conns_bind(struct hf_conns *t, struct hf_conn *c, uint64_t session)
{
    if (session_cell(t, session) == NULL && make_cell(t, session) < 0)
        return HF_ENOMEM;
    *session_cell(t, session) = place_of(c->serial) + 1;
    return 0;
}

void hf_conns_unbind(struct hf_conns *t, uint64_t session)
{
    uint32_t *cell = session_cell(t, session);

    if (cell != NULL)
        *cell = 0;
}

struct hf_conn *hf_conns_by_session(const struct hf_conns *t, uint64_t session)
{
    const uint32_t *cell = session_cell(t, session);
    struct hf_conn *c = cell == NULL || *cell == 0 ? NULL : conn_at(t, *cell - 1);

    /* Another session may have had the place before. */
    return c != NULL && c->session != NULL && c->session->number == session ? c : NULL;
}

void hf_conns_release(struct hf_conns *t)
{
    for (uint32_t i = 0; i < t->chunk_count; i++)
        free(t->chunks[i]);
    free(t->chunks);
    free(t->table);
    *t = (struct hf_conns){.life = t->life};
}
