/*
 * meaning.h - messages of the binary form as JSON objects for tests, and back: the language that the golden vectors and codec_peer.c speak.
 *
 * A meaning is the JSON message of PROTOCOL.md, with these differences:
 *   - `cid` where the binary form has it, in place of `channel` where that names the channel alone;
 *   - a payload is `payloadText`, a string with the text of the JSON value, or `payloadBase64`, the bytes of a raw one; `info` is `infoText`;
 *   - `acks` is an array of {cid, offset}; elements of `channels` have a cid; `messages` are meanings of `data`, each with its cid;
 *   - `data` has an id only where the publisher gave one; `reverse` is there where it is true.
 */
#ifndef HF_TESTS_MEANING_H
#define HF_TESTS_MEANING_H

#include "base/buf.h"
#include "wire/message.h"

#include <jansson.h>

/* The meaning of a decoded message; new. NULL where an element of a list is malformed. */
json_t *meaning_of(const struct hf_msg *m, bool from_server);

/*
 * Fill *m from a meaning, which must outlive it. Texts and lists that are not in the meaning as they are needed go into room, which
 * the caller has initialised and releases later. Returns NULL, or static text on what is wrong with the meaning.
 */
struct meaning_room {
    struct hf_buf list;
    struct hf_buf bytes;
};
void meaning_room_init(struct meaning_room *room);
void meaning_room_release(struct meaning_room *room);
const char *meaning_read(json_t *meaning, bool from_server, struct meaning_room *room, struct hf_msg *m);

/*
 * All records of one WebSocket message, as an array: {"message": MEANING}, {"error": KEY, "type", "seq"?, "id"?} for a malformed
 * record, and {"framing": KEY} as the last where the framing is broken. New.
 */
json_t *meaning_of_records(const void *data, size_t len, bool from_server);

/*
 * What must hold of any bytes whatever: decoding does not crash, and what was decoded is encoded to a record that is decoded to the same message
 * and encoded to the same bytes. Returns NULL, or static text on what went wrong.
 */
const char *meaning_check(const void *data, size_t len, bool from_server);

#endif
