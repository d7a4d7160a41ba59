/*
 * deflate.h - messages compressed and inflated as RFC 7692 section 7.2 has it, by zlib, without context takeover: each message is
 * a stream of its own. One compressor and one inflater therefore serve all connections of a thread, one message after the other.
 *
 * A message that comes in pieces is gathered as it came, compressed, by the frame parser, and inflated when it is whole: between two
 * calls nothing is kept here but memory.
 */
#ifndef HF_WS_DEFLATE_H
#define HF_WS_DEFLATE_H

#include "base/err.h"
#include "base/str.h"
#include "ws/frame.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hf_deflate;

/*
 * level: zlib's, 1 (fast) to 9 (small). memory: zlib's memLevel, 1 to 9: takes 2^(memory + 9) bytes beside the 128 KiB of the
 * window, of which the start of each message clears 2^(memory + 8). Returns NULL without memory.
 */
struct hf_deflate *hf_deflate_new(int level, int memory);
void hf_deflate_free(struct hf_deflate *z);

/*
 * Compress a message into one whole unmasked frame with RSV1. Returns its size with *frame set, borrowed until the next call; 0 where that
 * frame would not be smaller than the plain one, or its window does not reach as far as the message is long: send it plain; or
 * HF_ENOMEM. window_bits: what the peer has agreed to, 8 to 15.
 */
int hf_deflate_frame(struct hf_deflate *z, enum hf_ws_opcode opcode, uint8_t window_bits, const void *data,
                     size_t len, const uint8_t **frame) HF_MUST_CHECK;

struct hf_inflate;

/* A message may inflate to bytes_max, below 2^32; memory for it is taken as it grows, and kept. Returns NULL without memory. */
struct hf_inflate *hf_inflate_new(size_t bytes_max);
void hf_inflate_free(struct hf_inflate *z);

/*
 * Inflate the message that hf_ws_recv() gave with `compressed` set. The event becomes what it would have been without compression: the
 * message, valid UTF-8 where it is TEXT, borrowed until the next call for any connection; or an ERROR, with ws failed as by its own
 * errors: HF_CLOSE_TOO_BIG as soon as bytes_max is passed, HF_CLOSE_INVALID_DATA for what is no DEFLATE data, has an end that section
 * 7.2.1 does not allow, or no UTF-8; HF_CLOSE_INTERNAL without memory.
 */
void hf_inflate_event(struct hf_inflate *z, struct hf_ws *ws, struct hf_ws_event *ev);

#endif
