#include "shm/handout.h"

#include <string.h>

enum { WORD = sizeof(uint64_t) };

static size_t words_of(size_t bytes)
{
    return (bytes + WORD - 1) / WORD;
}

size_t hf_handout_bytes(size_t bytes)
{
    return sizeof(struct hf_handout) + 2 * words_of(bytes) * WORD;
}

void hf_handout_format(struct hf_handout *h, size_t bytes)
{
    h->bytes = bytes;
}

static _Atomic uint64_t *place_of(struct hf_handout *h, uint64_t version)
{
    return &h->words[version % 2 * words_of(h->bytes)];
}

uint64_t hf_handout_put(struct hf_handout *h, const void *data)
{
    uint64_t version = atomic_load_explicit(&h->version, memory_order_relaxed) + 1;
    _Atomic uint64_t *place = place_of(h, version);

    /* Who sees one of the words below sees the version before it as well, and knows that its place is not this one any more. */
    atomic_thread_fence(memory_order_release);
    for (size_t at = 0, i = 0; at < h->bytes; at += WORD, i++) {
        uint64_t word = 0;

        memcpy(&word, (const char *)data + at, h->bytes - at < WORD ? h->bytes - at : WORD);
        atomic_store_explicit(&place[i], word, memory_order_relaxed);
    }
    atomic_store_explicit(&h->version, version, memory_order_release);
    return version;
}

uint64_t hf_handout_get(struct hf_handout *h, void *out)
{
    for (;;) {
        uint64_t version = atomic_load_explicit(&h->version, memory_order_acquire);
        const _Atomic uint64_t *place = place_of(h, version);

        if (version == 0)
            return 0;
        for (size_t at = 0, i = 0; at < h->bytes; at += WORD, i++) {
            uint64_t word = atomic_load_explicit(&place[i], memory_order_relaxed);

            memcpy((char *)out + at, &word, h->bytes - at < WORD ? h->bytes - at : WORD);
        }
        atomic_thread_fence(memory_order_acquire);
        /* With the next version out, the one behind it may be under way into this place. */
        if (atomic_load_explicit(&h->version, memory_order_relaxed) == version)
            return version;
    }
}
