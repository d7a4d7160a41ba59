/*
 * reasons.h - why publishes were refused, in the words of who refused them, until their nacks go out. A nack waits for the answers of the session's earlier publishes; the session's
 * record (sessions.h) has the code alone.
 *
 * A ring of one worker, made for the first of them: where HF_REASONS_MAX others were put in meanwhile, a reason is forgotten, and its nack has the code's own text. So it does after a resume.
 */
#ifndef HF_SERVER_REASONS_H
#define HF_SERVER_REASONS_H

#include <stdint.h>

enum { HF_REASONS_MAX = 1024 };

struct hf_reason;

/* Zeroed it is empty. */
struct hf_reasons {
    struct hf_reason *ring; /* HF_REASONS_MAX of them, on the heap; NULL: none was needed yet */
    uint32_t next;          /* the place of the next one */
};

void hf_reasons_release(struct hf_reasons *r);
/*
 * Keep why this publish (seq) of this connection (serial, never 0) was refused; text: at most 255 bytes, copied. Returns its place + 1, at most HF_REASONS_MAX; or 0 where memory is short: then it is not kept.
 */
uint32_t hf_reasons_put(struct hf_reasons *r, uint64_t serial, uint64_t seq, const char *text);
/* What was put in there for this publish, borrowed until the next is put in; NULL where it was none (place 0), or is forgotten. */
const char *hf_reasons_get(const struct hf_reasons *r, uint32_t place, uint64_t serial, uint64_t seq);

#endif
