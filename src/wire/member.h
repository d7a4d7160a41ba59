/*
 * member.h - the tables of PROTOCOL.md: which members a message has, what each is, and where struct hf_msg keeps it.
 * The one place that knows them; decoding and encoding walk these tables.
 */
#ifndef HF_WIRE_MEMBER_H
#define HF_WIRE_MEMBER_H

#include "wire/message.h"

#include <assert.h>
#include <stddef.h>

/* What a member is. */
enum hf_member_kind {
    HF_KIND_STRING,
    HF_KIND_LABEL,
    HF_KIND_CHANNEL,
    HF_KIND_NUMBER,
    HF_KIND_BOOL,
    HF_KIND_VALUE, /* null is a value like others */
    HF_KIND_INFO,  /* null is "none" */
    HF_KIND_ARRAY,
    HF_KIND_OFFSETS,
    HF_KIND_ACKS,
    HF_KIND_SINCE,
    HF_KIND_MODE,
    HF_KIND_HEARTBEAT,
    HF_KIND_WINDOW,
};

/*
 * name in C, name on the wire, kind, (first) field of struct hf_msg, bit of enum hf_msg_has or 0.
 * `from` means two things: FROM_OFFSET is the gap's, and is found under FROM's name. CID and PAYLOAD_RAW are in the binary form only:
 * no message in JSON has such a member.
 */
#define HF_MEMBER_LIST(X)                                                                                    \
    X(TYPE, "type", STRING, type, 0)                                                                         \
    X(CHANNEL, "channel", CHANNEL, channel, HF_HAS_CHANNEL)                                                  \
    X(ID, "id", LABEL, id, HF_HAS_ID)                                                                        \
    X(SEQ, "seq", NUMBER, seq, HF_HAS_SEQ)                                                                   \
    X(OFFSET, "offset", NUMBER, offset, HF_HAS_OFFSET)                                                       \
    X(SINCE, "since", SINCE, epoch, HF_HAS_SINCE)                                                            \
    X(LAST, "last", NUMBER, last, HF_HAS_LAST)                                                               \
    X(MODE, "mode", MODE, mode, HF_HAS_MODE)                                                                 \
    X(PAYLOAD, "payload", VALUE, payload, HF_HAS_PAYLOAD)                                                    \
    X(PAYLOAD64, "payloadBase64", STRING, payload, HF_HAS_PAYLOAD64)                                         \
    X(TIMESTAMP, "timestamp", NUMBER, timestamp, HF_HAS_TIMESTAMP)                                           \
    X(FROM, "from", STRING, from_user, HF_HAS_FROM)                                                          \
    X(FROM_OFFSET, "from", NUMBER, from, HF_HAS_FROM)                                                        \
    X(TO, "to", NUMBER, to, HF_HAS_TO)                                                                       \
    X(EPOCH, "epoch", LABEL, epoch, HF_HAS_EPOCH)                                                            \
    X(CODE, "code", STRING, code, HF_HAS_CODE)                                                               \
    X(REASON, "reason", STRING, reason, HF_HAS_REASON)                                                       \
    X(OFFSETS, "offsets", OFFSETS, offsets, HF_HAS_OFFSETS)                                                  \
    X(ACKS, "acks", ACKS, acks, HF_HAS_ACKS)                                                                 \
    X(ACK_ID, "ackId", LABEL, ack_id, HF_HAS_ACK_ID)                                                         \
    X(INTERVAL, "interval", NUMBER, interval_ms, HF_HAS_INTERVAL)                                            \
    X(LIMIT, "limit", NUMBER, limit, HF_HAS_LIMIT)                                                           \
    X(REVERSE, "reverse", BOOL, reverse, 0)                                                                  \
    X(MESSAGES, "messages", ARRAY, messages, HF_HAS_MESSAGES)                                                \
    X(CHANNELS, "channels", ARRAY, channels, HF_HAS_CHANNELS)                                                \
    X(LAST_SEQ, "lastSeq", NUMBER, last_seq, HF_HAS_LAST_SEQ)                                                \
    X(REFUSALS, "refusals", ARRAY, refusals, 0)                                                              \
    X(EXPECTED, "expected", NUMBER, expected, HF_HAS_EXPECTED)                                               \
    X(RE, "re", STRING, re, HF_HAS_RE)                                                                       \
    X(METHOD, "method", STRING, method, HF_HAS_METHOD)                                                       \
    X(TOKEN, "token", STRING, token, HF_HAS_TOKEN)                                                           \
    X(URL, "url", STRING, url, HF_HAS_URL)                                                                   \
    X(PRESENCE, "presence", BOOL, presence, HF_HAS_PRESENCE)                                                 \
    X(RECOVERED, "recovered", BOOL, recovered, 0)                                                            \
    X(RESUMED, "resumed", BOOL, resumed, 0)                                                                  \
    X(SESSION, "session", STRING, session, 0)                                                                \
    X(TICKET, "ticket", STRING, ticket, 0)                                                                   \
    X(SERVER_ID, "serverId", STRING, server_id, 0)                                                           \
    X(SERVER_TIME, "serverTime", NUMBER, server_time, 0)                                                     \
    X(ADDRESS, "address", STRING, address, 0)                                                                \
    X(TTL, "ttl", NUMBER, ttl_ms, 0)                                                                         \
    X(HEARTBEAT, "heartbeat", HEARTBEAT, interval_ms, HF_HAS_INTERVAL)                                       \
    X(LOSS_SPREAD, "lossSpread", NUMBER, loss_spread_ms, 0)                                                  \
    X(MAX_MESSAGE, "maxMessage", NUMBER, max_message, 0)                                                     \
    X(AFTER, "after", WINDOW, after_min_ms, 0)                                                               \
    X(USER, "user", STRING, user, 0)                                                                         \
    X(INFO, "info", INFO, info, HF_HAS_INFO)                                                                 \
    X(MEMBERS, "members", ARRAY, members, HF_HAS_MEMBERS)                                                    \
    X(CID, "cid", NUMBER, cid, 0)                                                                            \
    X(PAYLOAD_RAW, "payloadRaw", BOOL, payload_raw, 0)

enum hf_member_id {
    HF_MEMBER_NONE,
#define HF_MEMBER_ENUM(id, name, kind, field, has) HF_MEMBER_##id,
    HF_MEMBER_LIST(HF_MEMBER_ENUM)
#undef HF_MEMBER_ENUM
        HF_MEMBERS
};

struct hf_member {
    struct hf_str name;
    struct hf_str opening; /* ,"name": */
    enum hf_member_kind kind;
    enum hf_member_id found_as; /* itself, or the member of the same name that hf_member_find gives */
    size_t field;               /* offset in struct hf_msg */
    uint32_t has;
    const char *wrong, *missing, *twice; /* reasons */
};

extern const struct hf_member hf_members[HF_MEMBERS];

static_assert(HF_MEMBERS <= 63, "a member's id and rule share a byte, a set of members a word");

/* The member with this name (unescaped), or HF_MEMBER_NONE. */
enum hf_member_id hf_member_find(struct hf_str name);

/*
 * A message's table: its members in PROTOCOL.md's order, one byte each (an id and a rule), and HF_PARTS_END behind the last.
 */
enum hf_part {
    HF_PART_OPTIONAL = 0,    /* there, or not */
    HF_PART_ALWAYS = 1 << 6, /* a message without it is refused */
    HF_PART_NULLABLE =
        2 << 6, /* always written: null (an array: empty) where there is nothing to tell. Read as optional */
    HF_PART_MEMBER = (1 << 6) - 1,
    HF_PARTS_END = HF_MEMBERS
};

/* The table of this type in this direction; NULL where there is no such message. */
const uint8_t *hf_msg_parts(enum hf_msg_type type, bool from_server);

/* Which of its two forms a message that goes both ways has, as hf_json_encode() tells; else who sends the type. */
bool hf_msg_is_from_server(const struct hf_msg *m);

#endif
