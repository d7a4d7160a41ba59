/*
 * transcode.h - a message of one encoding as the same message of the other, so that a test that is written in JSON runs in the binary form as well.
 * A channel's number is its place in a list of names, counted from FIRST_CID, which both directions share.
 */
#ifndef HF_TESTS_TRANSCODE_H
#define HF_TESTS_TRANSCODE_H

#include "base/assert.h"
#include "wire/binary.h"
#include "wire/items.h"
#include "wire/json.h"

#include <stdlib.h>
#include <string.h>

enum { TRANSCODE_NAMES_MAX = 64, FIRST_CID = 200 /* two bytes */ };

struct transcode_names {
    char name[TRANSCODE_NAMES_MAX][HF_CHANNEL_BYTES_MAX];
    size_t len[TRANSCODE_NAMES_MAX];
    unsigned count;
};

static inline uint64_t transcode_cid(struct transcode_names *n, struct hf_str channel)
{
    for (unsigned i = 0; i < n->count; i++)
        if (hf_str_eq((struct hf_str){n->name[i], n->len[i]}, channel))
            return FIRST_CID + i;
    if (n->count == TRANSCODE_NAMES_MAX)
        return FIRST_CID + TRANSCODE_NAMES_MAX; /* for all others, which only a fuzzer comes to */
    memcpy(n->name[n->count], channel.data, channel.len);
    n->len[n->count] = channel.len;
    return FIRST_CID + n->count++;
}

static inline struct hf_str transcode_name(const struct transcode_names *n, uint64_t cid)
{
    hf_assert(cid >= FIRST_CID && cid < FIRST_CID + n->count);
    return (struct hf_str){n->name[cid - FIRST_CID], n->len[cid - FIRST_CID]};
}

static inline void transcode_offsets(const struct hf_msg *m, enum hf_encoding to, struct hf_buf *list)
{
    struct hf_items it = hf_items(m, m->offsets);
    uint64_t offset;

    hf_items_begin(list, to, HF_ITEMS_ARRAY);
    while (hf_items_offset(&it, &offset))
        hf_items_put_offset(list, to, offset);
    hf_items_end(list, to, HF_ITEMS_ARRAY);
}

static inline void transcode_acks(struct transcode_names *n, const struct hf_msg *m, enum hf_encoding to,
                                  struct hf_buf *list)
{
    struct hf_items it = hf_items(m, m->acks);
    struct hf_items_ack ack;

    hf_items_begin(list, to, HF_ITEMS_OBJECT);
    while (hf_items_ack(&it, &ack)) {
        struct hf_str channel = ack.cid != 0 ? transcode_name(n, ack.cid) : ack.channel;

        hf_items_put_ack(list, to, channel, transcode_cid(n, channel), ack.offset);
    }
    hf_items_end(list, to, HF_ITEMS_OBJECT);
}

/* Returns false where an element is none. */
static inline bool transcode_channels(struct transcode_names *n, const struct hf_msg *m, enum hf_encoding to,
                                      struct hf_buf *list)
{
    struct hf_items it = hf_items(m, m->channels);
    struct hf_position p;
    int found;

    hf_items_begin(list, to, HF_ITEMS_ARRAY);
    while ((found = hf_items_position(&it, &p)) == 1) {
        p.cid = transcode_cid(n, p.channel);
        hf_items_put_position(list, to, &p);
    }
    hf_items_end(list, to, HF_ITEMS_ARRAY);
    return found == 0;
}

/* Each refusal's texts may lie in its scratch: it is put into the list before the next one is read. One that is none becomes one of no bytes. */
static inline void transcode_refusals(const struct hf_msg *m, enum hf_encoding to, struct hf_buf *list)
{
    struct hf_items it = hf_items(m, m->refusals);
    struct hf_items_refusal refusal;
    int found;

    hf_items_begin(list, to, HF_ITEMS_ARRAY);
    while ((found = hf_items_refusal(&it, &refusal)) == 1)
        hf_items_put_refusal(list, to, &refusal);
    if (found < 0)
        hf_assert(hf_buf_put(list, "", 1) == 0);
    hf_items_end(list, to, HF_ITEMS_ARRAY);
}

/* An element that is none becomes one that is none in the other encoding, either: a `ping`. */
static inline void transcode_messages(struct transcode_names *n, const struct hf_msg *m, enum hf_encoding to,
                                      struct hf_buf *list)
{
    struct hf_items it = hf_items(m, m->messages);
    struct hf_msg data;
    int found;

    hf_items_begin(list, to, HF_ITEMS_ARRAY);
    while ((found = hf_items_message(&it, &data)) == 1) {
        data.cid = transcode_cid(n, data.channel);
        data.encoding = to;
        hf_items_put_message(list, to, &data);
    }
    if (found < 0)
        hf_assert(hf_binary_encode(list, &(struct hf_msg){.type = HF_MSG_PING}) == 0);
    hf_items_end(list, to, HF_ITEMS_ARRAY);
}

/* Make the lists that a message has lists of the other encoding; they lie in `list` and `more`. Returns false where one cannot be read. */
static inline void transcode_members(const struct hf_msg *m, enum hf_encoding to, struct hf_buf *list)
{
    struct hf_items it = hf_items(m, m->members);
    struct hf_items_member member;

    hf_items_begin(list, to, HF_ITEMS_ARRAY);
    while (hf_items_member(&it, &member) == 1)
        hf_items_put_member(list, to, &member);
    hf_items_end(list, to, HF_ITEMS_ARRAY);
}

static inline bool transcode_lists(struct transcode_names *n, struct hf_msg *m, enum hf_encoding to,
                                   struct hf_buf *list, struct hf_buf *more)
{
    bool good = true;

    if (m->refusals.data != NULL) { /* beside channels */
        transcode_refusals(m, to, more);
        m->refusals = hf_buf_str(more);
    }
    if ((m->has & HF_HAS_OFFSETS) != 0) {
        transcode_offsets(m, to, list);
        m->offsets = hf_buf_str(list);
    } else if ((m->has & HF_HAS_ACKS) != 0) {
        transcode_acks(n, m, to, list);
        m->acks = hf_buf_str(list);
    } else if ((m->has & HF_HAS_CHANNELS) != 0) {
        good = transcode_channels(n, m, to, list);
        m->channels = hf_buf_str(list);
    } else if ((m->has & HF_HAS_MESSAGES) != 0) {
        transcode_messages(n, m, to, list);
        m->messages = hf_buf_str(list);
    } else if ((m->has & HF_HAS_MEMBERS) != 0) {
        transcode_members(m, to, list);
        m->members = hf_buf_str(list);
    }
    m->encoding = to;
    return good;
}

/*
 * A server's message in JSON: append it as a record. What is no message in JSON, is not one in the binary form either: a `data` without a body.
 */
static inline void transcode_to_binary(struct transcode_names *n, const char *json, size_t len,
                                       struct hf_buf *out)
{
    static const uint8_t broken[] = {HF_MSG_DATA, 0};
    char *copy = malloc(len + 1);
    const char *reason = "";
    struct hf_buf list, more;
    struct hf_msg m;

    hf_assert(copy != NULL);
    memcpy(copy, json, len);
    hf_buf_init(&list, 1u << 24);
    hf_buf_init(&more, 1u << 24);
    if (hf_json_decode(&m, copy, len, true, &reason) == 0 &&
        transcode_lists(n, &m, HF_ENCODING_BINARY, &list, &more)) {
        if (m.type == HF_MSG_SUBSCRIBED || m.type == HF_MSG_DATA || m.type == HF_MSG_GAP ||
            m.type == HF_MSG_HISTORY || m.type == HF_MSG_JOIN || m.type == HF_MSG_LEAVE)
            m.cid = transcode_cid(n, m.channel);
        hf_assert(hf_binary_encode(out, &m) == 0);
    } else {
        hf_assert(hf_buf_put(out, broken, sizeof(broken)) == 0);
    }
    hf_buf_release(&list);
    hf_buf_release(&more);
    free(copy);
}

/* A client's record: append it as JSON. */
static inline void transcode_to_json(struct transcode_names *n, const struct hf_binary_record *record,
                                     struct hf_buf *out)
{
    enum hf_binary_fault fault = HF_BINARY_OK;
    struct hf_buf list, more;
    struct hf_msg m;

    hf_buf_init(&list, 1u << 24);
    hf_buf_init(&more, 1u << 24);
    hf_assert(hf_binary_decode(&m, record, false, &fault) == 0);
    if (m.cid != 0) {
        m.channel = transcode_name(n, m.cid);
        m.has |= HF_HAS_CHANNEL;
    }
    hf_assert(transcode_lists(n, &m, HF_ENCODING_JSON, &list, &more));
    hf_assert(hf_json_encode(out, &m) == 0);
    hf_buf_release(&list);
    hf_buf_release(&more);
}

#endif
