/*
 * window.h - the publishes of one session that the server has taken and not answered yet.
 * Answers arrive in any order (each channel's owner at its own pace); acks are cumulative, so they leave in the order of seq:
 * an answer waits here for those before it.
 */
#ifndef HF_SESSION_WINDOW_H
#define HF_SESSION_WINDOW_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

/* offset of an entry that is no offset */
enum { HF_WINDOW_PENDING = 0 };
#define HF_WINDOW_REFUSED (UINT64_C(1) << 63) /* | what its owner knows of the refusal, below 2^62 */
#define HF_WINDOW_UNKNOWN (UINT64_C(1) << 62) /* applied, offset no longer known */

struct hf_window_ring;

/* Small, because every connection has one: most of them are empty at most times. */
struct hf_window {
    uint64_t first_seq;          /* of the oldest entry; also the next to be acknowledged */
    struct hf_window_ring *ring; /* the entries, on the heap; NULL: there are none */
};

void hf_window_init(struct hf_window *w, uint64_t next_seq);
/* Forget the entries. first_seq stays. */
void hf_window_release(struct hf_window *w);
/* Entries: first_seq … first_seq + count - 1. */
uint32_t hf_window_count(const struct hf_window *w);
/* The seq that must come next. */
uint64_t hf_window_next_seq(const struct hf_window *w);
/* Take the next seq, pending. Returns 0, HF_EAGAIN (count_max are in it: answer first) or HF_ENOMEM. */
int hf_window_add(struct hf_window *w, uint32_t count_max) HF_MUST_CHECK;
/* The answer of a seq; one that is not in the window, or answered already, is ignored. */
void hf_window_done(struct hf_window *w, uint64_t seq, uint64_t offset);
/* Whether the oldest is answered. */
bool hf_window_ready(const struct hf_window *w);
/* Take the oldest out when it is answered; *offset as given to hf_window_done(). */
bool hf_window_pop(struct hf_window *w, uint64_t *seq, uint64_t *offset);

#endif
