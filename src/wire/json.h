/*
 * json.h - the JSON form of PROTOCOL.md: a strict one-pass scanner (RFC 8259) for the envelope, and the encoder.
 * Pure, no allocation: strings of the envelope are unescaped in place, payloads are never touched.
 */
#ifndef HF_WIRE_JSON_H
#define HF_WIRE_JSON_H

#include "base/buf.h"
#include "wire/message.h"

/*
 * Nesting of arrays and objects in one value; deeper: HF_EBADMSG. A guess; jansson allows 2048.
 * In hf_json_decode it bounds the value of each member, and not the message, so that a payload that was accepted once is not too deep
 * for the `data` that carries it, nor for the `history` that carries that.
 */
enum { HF_JSON_DEPTH_MAX = 128 };

/*
 * Decode one message (the whole of one WebSocket text message, valid UTF-8 already). data is written to: escaped strings of the
 * envelope are unescaped in place. Fills *m, whose strings point into data. Unknown members are ignored (but must be valid
 * JSON); a known member of a wrong type, or given twice, a missing required member (per type and direction), broken JSON or an unknown
 * type are HF_EBADMSG with *reason set to static English text that says what was wrong. Even then m->type, and for `data` m->seq, m->id and
 * their has bits, and m->channel, are set if they could be read before or after the fault, so that a nack can be sent: a first
 * pass checks the syntax of the whole; where the syntax is broken only what stands before the break counts.
 * "Known" is a member that this type has in this direction. One that is given twice could not be read, and one counts as read only when the ',' or '}' behind it
 * was seen (a number cut short is another number).
 * Numbers must be integers in [0, 2^53); -0, 1.0 and 1e3 are refused. A string with a lone surrogate escape is refused in the envelope (but passes in a
 * payload). null for an optional member is "absent"; a payload may be null, and then is the value null.
 * A client's `data` may have payloadBase64 in place of payload: it is decoded in its place, and given as HF_HAS_PAYLOAD with payload_raw.
 * channel must be hf_channel_name_valid(); id, ackId and epoch at most HF_LABEL_BYTES_MAX bytes. offsets, acks are checked to the last element; messages and
 * channels are some array, whose elements the walkers of wire/items.h check.
 * from_server: decode what a server sends (a client's use), else what a client sends.
 */
int hf_json_decode(struct hf_msg *m, char *data, size_t len, bool from_server,
                   const char **reason) HF_MUST_CHECK;

/*
 * Append a message: `type`, then the members that the type always has and those that m->has names, in PROTOCOL.md's order, without white
 * space. Returns 0 or the buffer's error. Strings must be UTF-8 and are escaped; payload, offsets, acks, messages, channels, members, info are copied
 * raw and must be valid JSON. Where a type goes both ways, it is the server's form if m has what only that form has: `data` OFFSET, `ack` OFFSETS,
 * `history` MESSAGES, `presence` MEMBERS, `pong` a server_id.
 */
int hf_json_encode(struct hf_buf *out, const struct hf_msg *m);

/*
 * What hf_json_encode appends for a `data` from the server. Its payload (or payloadBase64 in quotes) comes last, so that of the n bytes written the payload's
 * are those before the final '}': with HF_HAS_PAYLOAD they lie at n - 1 - m->payload.len. With payload_raw, payload is bytes, and they are written as payloadBase64.
 */
int hf_json_put_data(struct hf_buf *out, const struct hf_msg *m);

/* Append a JSON string, with quotes. s must be UTF-8. Also escapes U+2028, U+2029 and '/' is left alone. */
int hf_json_put_string(struct hf_buf *out, struct hf_str s);
/* Append bytes as a JSON string of base64, with quotes: payloadBase64. Returns 0 or the buffer's error. */
int hf_json_put_base64(struct hf_buf *out, struct hf_str bytes);

/*
 * Check that data is exactly one JSON value, with optional white space around it. On success *value is the value without that
 * white space. UTF-8 is checked too where check_utf8. Returns 0 or HF_EBADMSG with *reason.
 */
int hf_json_check(struct hf_str data, bool check_utf8, struct hf_str *value,
                  const char **reason) HF_MUST_CHECK;

/* Kinds of a raw value, told by its first byte. */
enum hf_json_kind {
    HF_JSON_NULL,
    HF_JSON_BOOL,
    HF_JSON_NUMBER,
    HF_JSON_STRING,
    HF_JSON_ARRAY,
    HF_JSON_OBJECT
};
enum hf_json_kind hf_json_kind(struct hf_str value);

/*
 * Walk a raw, valid array or object (borrowed, as hf_json_check or a message gives it): start with *rest = the raw text. Each call gives the
 * next element; for objects *key is the raw key with its quotes (hf_json_unquote reads it). Returns false at the end.
 */
bool hf_json_next_element(struct hf_str *rest, struct hf_str *value);
bool hf_json_next_member(struct hf_str *rest, struct hf_str *key, struct hf_str *value);

/* Unescape a raw string into out (cap bytes; never longer than raw.len - 2). Returns the length, HF_EBADMSG for a lone surrogate,
 * HF_ETOOLARGE. out may be the raw string's own place. */
int hf_json_unquote(struct hf_str raw, char *out, size_t cap);

/* A raw number as an integer in [0, 2^53). Returns 0 or HF_EBADMSG. */
int hf_json_u53(struct hf_str raw, uint64_t *n) HF_MUST_CHECK;

/* Whether a raw member name (with its quotes) is this one, escaped or not. name is shorter than 32 bytes. */
bool hf_json_name_is(struct hf_str raw, struct hf_str name);

/*
 * Find members of a raw, valid object by name: each field's value is set to the raw value. Other members are passed over. Returns 0, or HF_EBADMSG where
 * it is no object, or one of the names is missing or given twice.
 */
struct hf_json_field {
    struct hf_str name;
    struct hf_str value;
};
int hf_json_fields(struct hf_str object, struct hf_json_field *fields, unsigned count) HF_MUST_CHECK;

#endif
