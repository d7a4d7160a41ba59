#include "shm/hints.h"

#include "shm/crash.h"

void hf_hints_put(struct hf_hints *h, hf_cid cid, uint64_t session)
{
    uint64_t head = atomic_load_explicit(&h->head, memory_order_relaxed);
    struct hf_hint *hint = &h->ring[head % HF_HINTS];

    /* Behind the head that made this place the oldest one: see the fence in hf_hints_read(). */
    atomic_thread_fence(memory_order_release);
    atomic_store_explicit(&hint->cid, cid, memory_order_relaxed);
    atomic_store_explicit(&hint->session, session, memory_order_relaxed);
    HF_CRASH_POINT("hint:written");
    atomic_store_explicit(&h->head, head + 1, memory_order_release);
}

int hf_hints_read(const struct hf_hints *h, uint64_t *next, hf_cid *cid, uint64_t *session)
{
    uint64_t head = atomic_load_explicit(&h->head, memory_order_acquire);
    const struct hf_hint *hint = &h->ring[*next % HF_HINTS];

    if (*next == head)
        return 0;
    *cid = atomic_load_explicit(&hint->cid, memory_order_relaxed);
    *session = atomic_load_explicit(&hint->session, memory_order_relaxed);
    /* Either what was read is whole, or the head is seen that the writer had stored before it began to write over it. */
    atomic_thread_fence(memory_order_acquire);
    head = atomic_load_explicit(&h->head, memory_order_relaxed);
    if (head - *next >= HF_HINTS) { /* That place may be the one being written now. */
        *next = head;
        return HF_EGAP;
    }
    ++*next;
    return 1;
}
