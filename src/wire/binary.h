/*
 * binary.h - the binary form of PROTOCOL.md, `holdfast.v1.bin`: docs/protocol.md "The binary form" is its specification.
 * A WebSocket message is a run of records, a record one protocol message. Pure, no allocation, and nothing is written to what is decoded:
 * all strings of a message are borrowed from its bytes.
 */
#ifndef HF_WIRE_BINARY_H
#define HF_WIRE_BINARY_H

#include "base/buf.h"
#include "wire/message.h"

/* "A varint has at most 8 bytes": 56 bits, of which 53 may be used. */
enum { HF_VARINT_BYTES_MAX = 8 };

/*
 * What can be wrong: name in C, key (as in the vectors under tests/vectors/binary), text for people. The first four are of the framing: what
 * stands behind the record cannot be found, so that the rest of the WebSocket message is lost. The others are of one record alone.
 */
#define HF_BINARY_FAULT_LIST(X)                                                                              \
    X(EMPTY, "empty", "a message must hold at least one record")                                             \
    X(RESERVED, "reserved", "the high bit of a record's type must be 0")                                     \
    X(LENGTH, "length", "a record's length must be a varint in its shortest form")                           \
    X(BEYOND, "beyond", "a record must not end beyond its message")                                          \
    X(DIRECTION, "direction", "the other side sends this type, and not this one")                            \
    X(SHORT, "short", "a field ends beyond its record, or is missing")                                       \
    X(VARINT, "varint", "a number must be a varint below 2^53 in its shortest form")                         \
    X(UTF8, "utf8", "a text is not valid UTF-8")                                                             \
    X(CHANNEL, "channel", "a channel's name must be 1 to 255 bytes of UTF-8 without control characters")     \
    X(LABEL, "label", "id, ackId and epoch must be at most 255 bytes")                                       \
    X(CID, "cid", "a cid must be above 0")                                                                   \
    X(CHOICE, "choice", "mode and presence must be 0 or 1")                                                  \
    X(WINDOW, "window", "after must be a minimum and a maximum that is not below it")                        \
    X(PAYLOAD, "payload", "a payload that is not marked as raw must be one JSON value in UTF-8")             \
    X(INFO, "info", "info must be one JSON value in UTF-8")                                                  \
    X(LIST, "list", "a list's elements must be whole, and end where the list ends")                          \
    X(NEITHER, "neither", "of members that stand for each other none is given")

enum hf_binary_fault {
    HF_BINARY_OK,
#define HF_BINARY_FAULT_ENUM(name, key, text) HF_BINARY_##name,
    HF_BINARY_FAULT_LIST(HF_BINARY_FAULT_ENUM)
#undef HF_BINARY_FAULT_ENUM
        HF_BINARY_FAULTS
};

const char *hf_binary_fault_text(enum hf_binary_fault fault); /* "" for OK */
const char *hf_binary_fault_key(enum hf_binary_fault fault);  /* "" for OK */

/*
 * Reading the records of one WebSocket message: init with its bytes, then call hf_binary_next() until it does not return 1. Records of a type
 * that is not known are passed over.
 */
struct hf_binary_reader {
    struct hf_str rest;
    bool begun;
};

struct hf_binary_record {
    enum hf_msg_type type; /* never HF_MSG_NONE */
    struct hf_str body;
};

void hf_binary_reader_init(struct hf_binary_reader *r, const void *data, size_t len);

/*
 * The next record. Returns 1, 0 at the message's end, or HF_EBADMSG with *fault: the framing is broken, and the rest of the
 * message is lost. It then goes on returning 0.
 */
int hf_binary_next(struct hf_binary_reader *r, struct hf_binary_record *record,
                   enum hf_binary_fault *fault) HF_MUST_CHECK;

/*
 * Decode one record into *m. from_server: what a server sends (a client's use), else what a client sends. Returns 0 or HF_EBADMSG with
 * *fault. Even then m->type, and of a client's `data` m->seq, m->id with their has bits, m->channel and m->cid are set if they stand before the place at
 * which reading became impossible. What is wrong in itself (a channel's name, a payload that is no JSON) does not end the reading.
 *
 * Differences to what hf_json_decode gives:
 *   - a server's `data`, `join` and `leave` have m->cid and no channel; `data` has an id only where the publisher gave one (HF_HAS_ID): else
 *     it is epoch-offset, which the receiver knows;
 *   - a client names a channel by m->channel (HF_HAS_CHANNEL), or by m->cid where that is not 0;
 *   - a code or `re` whose number is not known reads "unknown";
 *   - m->encoding is HF_ENCODING_BINARY: use wire/items.h for the lists, which are checked to their last element here.
 * A JSON payload is without the white space around it, as with hf_json_decode.
 */
int hf_binary_decode(struct hf_msg *m, const struct hf_binary_record *record, bool from_server,
                     enum hf_binary_fault *fault) HF_MUST_CHECK;

/*
 * Append m as one record, in the one form that the specification calls canonical. Returns 0 or the buffer's error. Which of its two
 * forms a message that goes both ways has is told as by hf_json_encode; a server's `data` is made with m->cid, a client's channel by m->cid where
 * that is not 0, else by m->channel. Lists must be in the binary form (m->encoding).
 */
int hf_binary_encode(struct hf_buf *out, const struct hf_msg *m);

/*
 * Everything of a server's `data` up to its payload: the header of a WebSocket binary frame (where with_frame) and the record's head, for
 * m->payload.len bytes of payload to be sent behind it. So the bytes of frame header, head and payload are one frame, the same for every subscriber.
 * Of m: cid, offset, timestamp, payload's length, payload_raw, and id (HF_HAS_ID), from_user (HF_HAS_FROM).
 * Returns 0 or the buffer's error.
 */
int hf_binary_put_data_head(struct hf_buf *out, const struct hf_msg *m, bool with_frame);

/* How many bytes hf_binary_put_data_head() appends. */
size_t hf_binary_data_head_bytes(const struct hf_msg *m, bool with_frame);

/* Bytes of n as a varint, and n written so; n <= HF_NUMBER_MAX. hf_varint_put returns the size. */
size_t hf_varint_bytes(uint64_t n);
size_t hf_varint_put(uint8_t out[HF_VARINT_BYTES_MAX], uint64_t n);

/* Read a varint from the front of *rest, which moves behind it. Returns false where it is cut, not in its shortest form, or above HF_NUMBER_MAX. */
bool hf_varint_take(struct hf_str *rest, uint64_t *n);

#endif
