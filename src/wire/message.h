/*
 * message.h - the messages of PROTOCOL.md as one C struct, whatever their encoding.
 * One struct serves both directions: what a type has not is absent. Strings and raw values are borrowed from
 * the bytes that were decoded (or from the caller, when encoding).
 */
#ifndef HF_WIRE_MESSAGE_H
#define HF_WIRE_MESSAGE_H

#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * name in C, name on the wire. A type's place in the list, counted from 1, is its number in the binary form: add at the end only.
 */
#define HF_MSG_LIST(X)                                                                                       \
    X(WELCOME, "welcome")                                                                                    \
    X(SUBSCRIBE, "subscribe")                                                                                \
    X(SUBSCRIBED, "subscribed")                                                                              \
    X(UNSUBSCRIBE, "unsubscribe")                                                                            \
    X(UNSUBSCRIBED, "unsubscribed")                                                                          \
    X(DATA, "data")                                                                                          \
    X(GAP, "gap")                                                                                            \
    X(ACK, "ack")                                                                                            \
    X(NACK, "nack")                                                                                          \
    X(SYNC_REQUEST, "sync_request")                                                                          \
    X(PING, "ping")                                                                                          \
    X(PONG, "pong")                                                                                          \
    X(HEARTBEAT, "heartbeat")                                                                                \
    X(RECONNECT, "reconnect")                                                                                \
    X(HISTORY, "history")                                                                                    \
    X(PRESENCE, "presence")                                                                                  \
    X(JOIN, "join")                                                                                          \
    X(LEAVE, "leave")                                                                                        \
    X(CALL, "call")                                                                                          \
    X(REPLY, "reply")                                                                                        \
    X(ERROR, "error")                                                                                        \
    X(REFRESH, "refresh")                                                                                    \
    X(BYE, "bye")

enum hf_msg_type {
    HF_MSG_NONE,
#define HF_MSG_ENUM(name, text) HF_MSG_##name,
    HF_MSG_LIST(HF_MSG_ENUM)
#undef HF_MSG_ENUM
        HF_MSG_TYPES
};

/* The wire name; "" for NONE. */
const char *hf_msg_name(enum hf_msg_type type);
/* The type with this wire name, or HF_MSG_NONE. */
enum hf_msg_type hf_msg_type(struct hf_str name);

/*
 * Codes in error, nack, unsubscribed (PROTOCOL.md "Limits"), and in gap and reconnect. A code's place in the list, counted from 1, is its
 * number in the binary form: add at the end only.
 */
#define HF_CODE_LIST(X)                                                                                      \
    X(BAD_MESSAGE, "bad_message")                                                                            \
    X(BAD_SEQ, "bad_seq")                                                                                    \
    X(UNAUTHORIZED, "unauthorized")                                                                          \
    X(FORBIDDEN, "forbidden")                                                                                \
    X(NOT_FOUND, "not_found")                                                                                \
    X(TOO_LARGE, "too_large")                                                                                \
    X(RATE_LIMITED, "rate_limited")                                                                          \
    X(LIMIT, "limit")                                                                                        \
    X(OVERLOADED, "overloaded")                                                                              \
    X(UNAVAILABLE, "unavailable")                                                                            \
    X(TIMEOUT, "timeout")                                                                                    \
    X(INTERNAL, "internal")                                                                                  \
    X(EVICTED, "evicted")                                                                                    \
    X(SLOW, "slow")                                                                                          \
    X(EPOCH, "epoch")                                                                                        \
    X(DRAINING, "draining")                                                                                  \
    X(REBALANCE, "rebalance")                                                                                \
    X(MAX_AGE, "max_age")

enum hf_code {
    HF_CODE_NONE,
#define HF_CODE_ENUM(name, text) HF_CODE_##name,
    HF_CODE_LIST(HF_CODE_ENUM)
#undef HF_CODE_ENUM
        HF_CODES
};

const char *hf_code_name(enum hf_code code);   /* "" for NONE */
enum hf_code hf_code_from(struct hf_str name); /* HF_CODE_NONE where unknown */

/* PROTOCOL.md "Limits": "channel name 255 bytes of UTF-8 without control characters". */
enum {
    HF_CHANNEL_BYTES_MAX = 255,
    HF_LABEL_BYTES_MAX =
        255 /* of id, ackId and epoch; a choice, so that an id fits where a channel name does */
};

/* Whether this may name a channel: 1 to HF_CHANNEL_BYTES_MAX bytes of UTF-8 without U+0000-U+001F, U+007F-U+009F. */
bool hf_channel_name_valid(struct hf_str name);

#define HF_NUMBER_MAX ((UINT64_C(1) << 53) - 1) /* "Both stay below 2^53." */

/* Which members a message has. One bit each; the comment names the member on the wire. */
enum hf_msg_has {
    HF_HAS_CHANNEL = 1 << 0,    /* channel */
    HF_HAS_ID = 1 << 1,         /* id */
    HF_HAS_SEQ = 1 << 2,        /* seq */
    HF_HAS_OFFSET = 1 << 3,     /* offset */
    HF_HAS_SINCE = 1 << 4,      /* since {epoch, offset}: fields epoch and since_offset */
    HF_HAS_LAST = 1 << 5,       /* last */
    HF_HAS_MODE = 1 << 6,       /* mode */
    HF_HAS_PAYLOAD = 1 << 7,    /* payload, raw */
    HF_HAS_TIMESTAMP = 1 << 8,  /* timestamp */
    HF_HAS_FROM = 1 << 9,       /* data: from (a user); gap: from (an offset), null is absent */
    HF_HAS_TO = 1 << 10,        /* gap: to */
    HF_HAS_EPOCH = 1 << 11,     /* epoch (not that of since) */
    HF_HAS_CODE = 1 << 12,      /* code */
    HF_HAS_REASON = 1 << 13,    /* reason */
    HF_HAS_OFFSETS = 1 << 14,   /* ack: offsets, raw array of numbers and nulls */
    HF_HAS_ACKS = 1 << 15,      /* pong: acks, raw object of channel: offset */
    HF_HAS_ACK_ID = 1 << 16,    /* ack: ackId */
    HF_HAS_INTERVAL = 1 << 17,  /* heartbeat: interval */
    HF_HAS_LIMIT = 1 << 18,     /* history: limit */
    HF_HAS_MESSAGES = 1 << 19,  /* history: messages, raw array of data objects */
    HF_HAS_CHANNELS = 1 << 20,  /* welcome: channels, raw array */
    HF_HAS_LAST_SEQ = 1 << 21,  /* welcome: lastSeq; absent is null */
    HF_HAS_EXPECTED = 1 << 22,  /* error: expected */
    HF_HAS_RE = 1 << 23,        /* error: re */
    HF_HAS_METHOD = 1 << 24,    /* call: method */
    HF_HAS_TOKEN = 1 << 25,     /* refresh: token */
    HF_HAS_URL = 1 << 26,       /* reconnect: url */
    HF_HAS_PAYLOAD64 = 1 << 27, /* data: payloadBase64 (string, still base64) in place of payload */
    HF_HAS_PRESENCE = 1 << 28,  /* subscribe: presence was given */
    HF_HAS_INFO = 1 << 29,      /* join, leave: info, raw */
    HF_HAS_MEMBERS = 1 << 30,   /* presence, the answer: members, raw array */
};

enum hf_sub_mode { HF_MODE_ALL, HF_MODE_LATEST };

/* The two forms on the wire: `holdfast.v1.json`, `holdfast.v1.bin`. */
enum hf_encoding { HF_ENCODING_JSON, HF_ENCODING_BINARY };

struct hf_msg {
    enum hf_msg_type type;
    uint32_t has; /* bits of enum hf_msg_has */
    struct hf_str channel, id, epoch, code, reason, re;
    struct hf_str payload; /* raw JSON value, as written; any bytes where payload_raw */
    struct hf_str from_user, ack_id, method, token, url;
    /* As on the wire: see wire/items.h. welcome.refusals: data NULL where it has none. */
    struct hf_str offsets, acks, messages, channels, refusals;
    uint64_t seq, offset, since_offset, last, limit, timestamp, from, to, expected, interval_ms, last_seq;
    enum hf_sub_mode mode;
    bool presence, reverse, recovered, resumed;
    enum hf_encoding encoding; /* which form the lists are in: offsets, acks, messages, channels, members */
    /* The binary form alone has these two. */
    uint64_t cid;     /* the channel's number, 0: none. From a client: in place of channel */
    bool payload_raw; /* payload is bytes, and no JSON */
    /* welcome, pong (a pong of the server's is told by server_id.data, which a client's pong has not) */
    struct hf_str session, ticket, server_id, address;
    /* join, leave: session above, and these; members is presence's answer */
    struct hf_str user, info, members;
    uint64_t ttl_ms, server_time, heartbeat_min_ms, heartbeat_max_ms, loss_spread_ms, max_message;
    /* reconnect: after [min,max] */
    uint64_t after_min_ms, after_max_ms;
};

#endif
