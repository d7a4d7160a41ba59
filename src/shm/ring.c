#include "shm/ring.h"

#include "base/assert.h"
#include "shm/crash.h"

#include <string.h>

enum {
    RECORD_HEADER = 8,
    FILLER = -1,
    /* An empty ring goes back to its beginning from here on: with the counters in front that is its first page. At least three small records. */
    RESTART_BYTES = 3 * HF_RING_SMALL_BYTES,
};

/* What stands before each record's bytes. */
struct record_header {
    int32_t len; /* bytes, or FILLER: skip to the end of data[] */
    uint32_t unused;
};

static size_t record_bytes(size_t len)
{
    return RECORD_HEADER + ((len + 7) & ~(size_t)7);
}

size_t hf_ring_bytes(size_t data_bytes)
{
    return sizeof(struct hf_ring) + data_bytes;
}

void hf_ring_init(struct hf_ring *r, size_t data_bytes)
{
    hf_assert(data_bytes >= 1024 && (data_bytes & (data_bytes - 1)) == 0 && data_bytes <= UINT32_MAX);
    r->size = (uint32_t)data_bytes;
}

size_t hf_ring_record_max(const struct hf_ring *r)
{
    return r->size / 2 - RECORD_HEADER - 8;
}

static struct record_header *header_at(struct hf_ring *r, uint64_t at)
{
    return (struct record_header *)(void *)(r->data + (at & (r->size - 1)));
}

/* Bytes from `at` to the end of data[]. */
static size_t run_length(const struct hf_ring *r, uint64_t at)
{
    return r->size - (at & (r->size - 1));
}

static bool fits(struct hf_ring *r, uint64_t head, size_t need)
{
    return head + need - atomic_load_explicit(&r->tail, memory_order_acquire) <= r->size;
}

/*
 * Bytes to be skipped in front of the record. The way back to the beginning leaves RESTART_BYTES of room, and is taken by small records only: so
 * what was promised to fit by a reservation before (see HF_RING_SMALL_BYTES) still does.
 */
static size_t filler_bytes(struct hf_ring *r, uint64_t head, size_t len)
{
    size_t run = run_length(r, head);

    if (record_bytes(len) > run)
        return run;
    if (r->size - run < RESTART_BYTES || record_bytes(len) > HF_RING_SMALL_BYTES)
        return 0;
    return head == atomic_load_explicit(&r->tail, memory_order_acquire) ? run : 0;
}

void *hf_ring_reserve(struct hf_ring *r, size_t len)
{
    uint64_t head = atomic_load_explicit(&r->head, memory_order_relaxed);
    size_t filler = filler_bytes(r, head, len);
    size_t need = record_bytes(len) + filler;

    hf_assert(len <= hf_ring_record_max(r));
    if (!fits(r, head, need)) {
        atomic_store_explicit(&r->waits, 1, memory_order_relaxed);
        /* Pairs with the fence in hf_ring_producer_due(): either we see the new tail, or the consumer sees us. */
        atomic_thread_fence(memory_order_seq_cst);
        if (!fits(r, head, need))
            return NULL;
    }
    if (filler > 0) {
        header_at(r, head)->len = FILLER;
        HF_CRASH_POINT("ring:filler");
        head += filler;
        atomic_store_explicit(&r->head, head, memory_order_release);
    }
    return r->data + (head & (r->size - 1)) + RECORD_HEADER;
}

void hf_ring_commit(struct hf_ring *r, size_t len)
{
    uint64_t head = atomic_load_explicit(&r->head, memory_order_relaxed);

    header_at(r, head)->len = (int32_t)len;
    HF_CRASH_POINT("ring:written");
    atomic_store_explicit(&r->head, head + record_bytes(len), memory_order_release);
    HF_CRASH_POINT("ring:committed");
}

void *hf_ring_peek(struct hf_ring *r, size_t *len)
{
    uint64_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);
    struct record_header *header;

    if (tail == atomic_load_explicit(&r->head, memory_order_acquire))
        return NULL;
    header = header_at(r, tail);
    if (header->len == FILLER) {
        tail += run_length(r, tail);
        atomic_store_explicit(&r->tail, tail, memory_order_release);
        if (tail == atomic_load_explicit(&r->head, memory_order_acquire))
            return NULL;
        header = header_at(r, tail);
    }
    hf_assert(header->len >= 0 && record_bytes((size_t)header->len) <= run_length(r, tail));
    *len = (size_t)header->len;
    return (uint8_t *)header + RECORD_HEADER;
}

void hf_ring_consume(struct hf_ring *r)
{
    uint64_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);

    HF_CRASH_POINT("ring:consume");
    atomic_store_explicit(&r->tail, tail + record_bytes((size_t)header_at(r, tail)->len),
                          memory_order_release);
}

uint64_t hf_ring_position(struct hf_ring *r)
{
    return atomic_load_explicit(&r->tail, memory_order_relaxed);
}

bool hf_ring_producer_due(struct hf_ring *r)
{
    atomic_thread_fence(memory_order_seq_cst); /* Pairs with the store to `waits` in hf_ring_reserve(). */
    if (atomic_load_explicit(&r->waits, memory_order_relaxed) == 0)
        return false;
    if (hf_ring_used(r) > r->size / 2)
        return false; /* Not yet: one wake-up for half a ring of room, not one for each record. */
    return atomic_exchange(&r->waits, 0) != 0;
}

bool hf_ring_empty(struct hf_ring *r)
{
    return atomic_load_explicit(&r->tail, memory_order_relaxed) ==
           atomic_load_explicit(&r->head, memory_order_acquire);
}

uint64_t hf_ring_used(struct hf_ring *r)
{
    return atomic_load_explicit(&r->head, memory_order_acquire) -
           atomic_load_explicit(&r->tail, memory_order_acquire);
}

/* What stands between tail and head is not written over by anybody but us. */
uint64_t hf_ring_waiting(struct hf_ring *r)
{
    uint64_t tail = atomic_load_explicit(&r->tail, memory_order_acquire);
    uint64_t used = atomic_load_explicit(&r->head, memory_order_relaxed) - tail;

    return used > 0 && header_at(r, tail)->len == FILLER ? used - run_length(r, tail) : used;
}
