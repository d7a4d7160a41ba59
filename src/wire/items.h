/*
 * items.h - the lists within messages, in either encoding: one set of walkers and one of makers, so that who uses them need not know
 * which form a connection speaks.
 * A walker stands on the bytes of a decoded message and is good as long as they are. Start it with hf_items() from the message and one of
 * its lists: hf_items(&m, m.offsets).
 */
#ifndef HF_WIRE_ITEMS_H
#define HF_WIRE_ITEMS_H

#include "base/buf.h"
#include "wire/message.h"

struct hf_items {
    struct hf_str rest;
    enum hf_encoding encoding;
};

static inline struct hf_items hf_items(const struct hf_msg *m, struct hf_str list)
{
    return (struct hf_items){list, m->encoding};
}

/* ack.offsets: the next one, 0 for null. Returns false at the end. */
bool hf_items_offset(struct hf_items *it, uint64_t *offset);
/* How many are left. */
uint64_t hf_items_offsets_left(struct hf_items it);

/* welcome.refusals. Strings are unescaped into scratch where they need that; a reason that is too long is "". */
struct hf_items_refusal {
    uint64_t seq;
    struct hf_str code, reason;
    char scratch[2 * HF_LABEL_BYTES_MAX];
};
/* Returns 1, 0 at the end, HF_EBADMSG for an element that is none. */
int hf_items_refusal(struct hf_items *it, struct hf_items_refusal *refusal) HF_MUST_CHECK;

/* pong.acks: an element names its channel by name or, in the binary form, by cid. */
struct hf_items_ack {
    struct hf_str channel; /* "" where cid names it, or the name is too long for a channel's */
    uint64_t cid;          /* 0: by name */
    uint64_t offset;
    char name[HF_CHANNEL_BYTES_MAX]; /* where channel lies, if it had to be unescaped */
};
bool hf_items_ack(struct hf_items *it, struct hf_items_ack *ack);

/* welcome.channels. Strings are unescaped into scratch where they need that. */
struct hf_position {
    struct hf_str channel, epoch;
    uint64_t offset;
    uint64_t cid; /* 0 in JSON */
    char scratch[HF_CHANNEL_BYTES_MAX + HF_LABEL_BYTES_MAX];
};
/* Returns 1, 0 at the end, HF_EBADMSG for an element that is none. */
int hf_items_position(struct hf_items *it, struct hf_position *position) HF_MUST_CHECK;

/*
 * history.messages: the next `data`, decoded. JSON is unescaped in its place. Returns 1, 0 at the end, HF_EBADMSG. In the
 * binary form m has a cid and perhaps no id, see hf_binary_decode().
 */
int hf_items_message(struct hf_items *it, struct hf_msg *m) HF_MUST_CHECK;

/* presence.members, JSON is unescaped in its place. Returns 1, 0 at the end, HF_EBADMSG. */
struct hf_items_member {
    struct hf_str session, user;
    struct hf_str info; /* a raw JSON value; data is NULL where there is none */
};
int hf_items_member(struct hf_items *it, struct hf_items_member *member) HF_MUST_CHECK;

/*
 * Making a list for a message of this encoding, behind what the buffer has: begin, put as many as there are, end. In a buffer of its own the list is then
 * hf_buf_str(out), and the message's encoding must be set. A fault is the buffer's: look at `failed` after the end.
 */
enum hf_items_kind { HF_ITEMS_ARRAY, HF_ITEMS_OBJECT /* acks */ };
void hf_items_begin(struct hf_buf *out, enum hf_encoding encoding, enum hf_items_kind kind);
void hf_items_end(struct hf_buf *out, enum hf_encoding encoding, enum hf_items_kind kind);

/* offset 0: null */
void hf_items_put_offset(struct hf_buf *out, enum hf_encoding encoding, uint64_t offset);
/* By name in JSON, by cid in the binary form. */
void hf_items_put_ack(struct hf_buf *out, enum hf_encoding encoding, struct hf_str channel, uint64_t cid,
                      uint64_t offset);
void hf_items_put_position(struct hf_buf *out, enum hf_encoding encoding, const struct hf_position *position);
void hf_items_put_refusal(struct hf_buf *out, enum hf_encoding encoding,
                          const struct hf_items_refusal *refusal);
/* info.data NULL: none */
void hf_items_put_member(struct hf_buf *out, enum hf_encoding encoding, const struct hf_items_member *member);
/* A server's `data`, for history. Where its bytes are at hand already: hf_items_separate(), then append them (JSON object, binary record). */
void hf_items_put_message(struct hf_buf *out, enum hf_encoding encoding, const struct hf_msg *m);
void hf_items_separate(struct hf_buf *out, enum hf_encoding encoding);

#endif
