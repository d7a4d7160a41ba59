/*
 * handout.h - a whole that the supervisor hands to the workers, and replaces now and then: two places of the same size in turn, and the version of the newest.
 * A worker gets one version or the next, never a mixture; one that is slow copies again.
 *
 *   version   how many there have been; place `version % 2` has the newest. The supervisor (release), after the place is written
 *   words     the two places; the supervisor. While `version` is v it writes into place (v + 1) % 2 only
 *
 * If the supervisor dies between the two, the old version stands; its workers end with it anyway.
 */
#ifndef HF_SHM_HANDOUT_H
#define HF_SHM_HANDOUT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hf_handout {
    _Atomic uint64_t version; /* 0: nothing has been handed out */
    uint64_t bytes;           /* of the whole; written once */
    _Atomic uint64_t words[];
};

/* Shared memory that it takes, for a whole of so many bytes. */
size_t hf_handout_bytes(size_t bytes);
/* Lay it out in zeroed memory aligned at 8. */
void hf_handout_format(struct hf_handout *h, size_t bytes);

/* Supervisor: hand out a whole, of the size it was formatted for. Returns its version. */
uint64_t hf_handout_put(struct hf_handout *h, const void *data);

/* Any process: whether there is another version than this one. */
static inline bool hf_handout_newer(const struct hf_handout *h, uint64_t version)
{
    return atomic_load_explicit(&h->version, memory_order_acquire) != version;
}

/* Copy the newest into out, and return its version; 0: there is none, and out is as it was. */
uint64_t hf_handout_get(struct hf_handout *h, void *out);

#endif
