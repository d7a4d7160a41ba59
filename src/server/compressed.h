/*
 * compressed.h - what a worker needs for permessage-deflate: one compressor, one inflater, and the frames that it has compressed. Only
 * where compression.enabled is set; a worker without has none of it.
 *
 * A channel's message is compressed once for each encoding, and its frame shared by all subscribers of the worker that take it. The frames lie in one block, a ring: the
 * oldest make room for new ones. A frame that was handed out stays where it is until the turn ends, so it may be gathered
 * and written like the record that it was made from. Where a turn needs more than the ring holds, messages are sent plain.
 *
 * Invariant: the frames of the entries lie in the ring in the entries' order, and count <= ENTRIES.
 */
#ifndef HF_SERVER_COMPRESSED_H
#define HF_SERVER_COMPRESSED_H

#include "base/buf.h"
#include "base/str.h"
#include "server/config.h"
#include "shm/counters.h"
#include "shm/log.h"
#include "ws/frame.h"

#include <stddef.h>
#include <stdint.h>

struct hf_compressed;

/* counters are borrowed. message_bytes_max: what a message of a client may inflate to. Returns NULL without memory. */
struct hf_compressed *hf_compressed_new(const struct hf_config *config, size_t message_bytes_max,
                                        struct hf_counters *counters);
void hf_compressed_free(struct hf_compressed *z);
/*
 * compression.* is another now. Between two turns: what was compressed is forgotten where the effort, the memory or the cache are others. Without compression.enabled messages are sent plain from now on, also to
 * those who negotiated it; what they send is inflated as before. Returns false without memory: *z is as it was.
 */
bool hf_compressed_configure(struct hf_compressed **z, const struct hf_config *config);

/* hf_compressed_frame() for a connection that negotiated compression. */
struct hf_pieces hf_compressed_shared(struct hf_compressed *z, uint8_t window_bits, bool binary,
                                      const struct hf_record *r, hf_ref ref);

/*
 * The frame of a message's record for one connection, in its encoding: compressed where that was negotiated (window_bits, 8 to 15; 0: it was not), and where it
 * pays. Good until hf_compressed_turn_ended(), and until the record is unpinned.
 */
static inline struct hf_pieces hf_compressed_frame(struct hf_compressed *z, uint8_t window_bits, bool binary,
                                                   const struct hf_record *r, hf_ref ref)
{
    if (window_bits == 0)
        return hf_record_frame(r, binary);
    return hf_compressed_shared(z, window_bits, binary, r, ref);
}

/* Everything gathered has been written, or copied: frames that were handed out may go. */
void hf_compressed_turn_ended(struct hf_compressed *z);

/* Append a message for this connection alone as a frame, compressed where that pays; see UNSHARED_FACTOR. Returns 0 or the buffer's error. */
int hf_compressed_put(struct hf_compressed *z, uint8_t window_bits, struct hf_buf *out,
                      enum hf_ws_opcode opcode, const void *data, size_t len) HF_MUST_CHECK;

/* hf_inflate_event(), counted. */
void hf_compressed_inflate(struct hf_compressed *z, struct hf_ws *ws, struct hf_ws_event *ev);

#endif
