#include "base/map.h"

#include "base/assert.h"

#include <stdlib.h>

enum { CAP_FIRST = 64 };

void hf_map_init(struct hf_map *m)
{
    *m = (struct hf_map){0};
}

void hf_map_release(struct hf_map *m)
{
    free(m->table);
    hf_map_init(m);
}

static size_t home_of(const struct hf_map *m, uint64_t key)
{
    key = (key ^ (key >> 30)) * 0xbf58476d1ce4e5b9u;
    key = (key ^ (key >> 27)) * 0x94d049bb133111ebu;
    return (size_t)(key ^ (key >> 31)) & (m->cap - 1);
}

/* The entry with this key, or the free one where it belongs. */
static struct hf_map_entry *probe(const struct hf_map *m, uint64_t key)
{
    size_t i = home_of(m, key);

    while (m->table[i].key != 0 && m->table[i].key != key)
        i = (i + 1) & (m->cap - 1);
    return &m->table[i];
}

struct hf_map_entry *hf_map_get(const struct hf_map *m, uint64_t key)
{
    struct hf_map_entry *e;

    if (m->count == 0)
        return NULL;
    e = probe(m, key);
    return e->key == 0 ? NULL : e;
}

static int grow(struct hf_map *m)
{
    struct hf_map bigger = {.cap = m->cap == 0 ? CAP_FIRST : m->cap * 2, .count = m->count};

    bigger.table = calloc(bigger.cap, sizeof(*bigger.table));
    if (bigger.table == NULL)
        return HF_ENOMEM;
    for (size_t i = 0; i < m->cap; i++)
        if (m->table[i].key != 0)
            *probe(&bigger, m->table[i].key) = m->table[i];
    free(m->table);
    *m = bigger;
    return 0;
}

int hf_map_put(struct hf_map *m, uint64_t key, uint64_t a, uint64_t b)
{
    struct hf_map_entry *e;

    hf_assert(key != 0);
    if (m->count * 4 >= m->cap * 3 && grow(m) < 0)
        return HF_ENOMEM;
    e = probe(m, key);
    m->count += e->key == 0;
    *e = (struct hf_map_entry){key, a, b};
    return 0;
}

bool hf_map_remove(struct hf_map *m, uint64_t key)
{
    struct hf_map_entry *e = hf_map_get(m, key);
    size_t hole, i;

    if (e == NULL)
        return false;
    hole = i = (size_t)(e - m->table);
    for (;;) { /* Shift back what would no longer be found across the hole. */
        size_t home;

        i = (i + 1) & (m->cap - 1);
        if (m->table[i].key == 0)
            break;
        home = home_of(m, m->table[i].key);
        if (((i - home) & (m->cap - 1)) >= ((i - hole) & (m->cap - 1))) {
            m->table[hole] = m->table[i];
            hole = i;
        }
    }
    m->table[hole].key = 0;
    m->count--;
    return true;
}
