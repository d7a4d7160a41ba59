/*
 * map.h - a hash map from a 64-bit key (not 0) to two 64-bit values. Open addressing, linear probing, removal by shifting back
 * (Knuth, The Art of Computer Programming, vol. 3, 6.4, algorithm R). Grows by doubling; never shrinks.
 */
#ifndef HF_BASE_MAP_H
#define HF_BASE_MAP_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hf_map_entry {
    uint64_t key; /* 0: free */
    uint64_t a, b;
};

struct hf_map {
    struct hf_map_entry *table;
    size_t cap; /* 0 or a power of two */
    size_t count;
};

void hf_map_init(struct hf_map *m);
void hf_map_release(struct hf_map *m);
/* The entry of a key, or NULL. Good until the next put or remove; a and b may be written. */
struct hf_map_entry *hf_map_get(const struct hf_map *m, uint64_t key);
/* Set, or replace. Returns 0 or HF_ENOMEM (then nothing has changed). */
int hf_map_put(struct hf_map *m, uint64_t key, uint64_t a, uint64_t b) HF_MUST_CHECK;
/* Returns whether it was there. */
bool hf_map_remove(struct hf_map *m, uint64_t key);

static inline void *hf_map_ptr(const struct hf_map *m, uint64_t key)
{
    struct hf_map_entry *e = hf_map_get(m, key);

    return e == NULL ? NULL : (void *)(uintptr_t)e->a;
}

#endif
