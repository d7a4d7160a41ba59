#include "wire/member.h"

/* What a value of each kind must be, for the reasons. */
#define MUST_BE_STRING "must be a string"
#define MUST_BE_LABEL "must be a string of at most 255 bytes"
#define MUST_BE_CHANNEL "must be 1 to 255 bytes of UTF-8 without control characters"
#define MUST_BE_NUMBER "must be an integer from 0 to 2^53-1"
#define MUST_BE_BOOL "must be true or false"
#define MUST_BE_VALUE "must be a JSON value"
#define MUST_BE_INFO "must be a JSON value"
#define MUST_BE_ARRAY "must be an array"
#define MUST_BE_OFFSETS "must be an array of offsets and nulls"
#define MUST_BE_ACKS "must be an object of channels and offsets"
#define MUST_BE_SINCE "must be an object with epoch and offset"
#define MUST_BE_MODE "must be \"all\" or \"latest\""
#define MUST_BE_HEARTBEAT "must be an object with interval, min and max"
#define MUST_BE_WINDOW "must be [min,max]"

const struct hf_member hf_members[HF_MEMBERS] = {
#define MEMBER(id_, text, kind_, field_, has_)                                                               \
    [HF_MEMBER_##id_] = {                                                                                    \
        .name = {text, sizeof(text) - 1},                                                                    \
        .opening = {",\"" text "\":", sizeof(",\"" text "\":") - 1},                                         \
        .kind = HF_KIND_##kind_,                                                                             \
        .found_as = HF_MEMBER_##id_ == HF_MEMBER_FROM_OFFSET ? HF_MEMBER_FROM : HF_MEMBER_##id_,             \
        .field = offsetof(struct hf_msg, field_),                                                            \
        .has = has_,                                                                                         \
        .wrong = text " " MUST_BE_##kind_,                                                                   \
        .missing = text " is missing",                                                                       \
        .twice = text " is given twice",                                                                     \
    },
    HF_MEMBER_LIST(MEMBER)
#undef MEMBER
};

enum { NAME_BYTES_MAX = 13, SAME_LENGTH_MAX = 9 };

/* The members by the length of their names, the frequent ones first; each row ends with HF_MEMBER_NONE. */
static const uint8_t by_length[NAME_BYTES_MAX + 1][SAME_LENGTH_MAX + 1] = {
    [2] = {HF_MEMBER_ID, HF_MEMBER_TO, HF_MEMBER_RE},
    [3] = {HF_MEMBER_SEQ, HF_MEMBER_URL, HF_MEMBER_TTL},
    [4] = {HF_MEMBER_TYPE, HF_MEMBER_LAST, HF_MEMBER_MODE, HF_MEMBER_FROM, HF_MEMBER_CODE, HF_MEMBER_ACKS,
           HF_MEMBER_USER, HF_MEMBER_INFO},
    [5] = {HF_MEMBER_SINCE, HF_MEMBER_EPOCH, HF_MEMBER_ACK_ID, HF_MEMBER_LIMIT, HF_MEMBER_TOKEN,
           HF_MEMBER_AFTER},
    [6] = {HF_MEMBER_OFFSET, HF_MEMBER_REASON, HF_MEMBER_METHOD, HF_MEMBER_TICKET},
    [7] = {HF_MEMBER_CHANNEL, HF_MEMBER_PAYLOAD, HF_MEMBER_OFFSETS, HF_MEMBER_REVERSE, HF_MEMBER_LAST_SEQ,
           HF_MEMBER_RESUMED, HF_MEMBER_SESSION, HF_MEMBER_ADDRESS, HF_MEMBER_MEMBERS},
    [8] = {HF_MEMBER_INTERVAL, HF_MEMBER_MESSAGES, HF_MEMBER_CHANNELS, HF_MEMBER_EXPECTED, HF_MEMBER_PRESENCE,
           HF_MEMBER_SERVER_ID, HF_MEMBER_REFUSALS},
    [9] = {HF_MEMBER_TIMESTAMP, HF_MEMBER_RECOVERED, HF_MEMBER_HEARTBEAT},
    [10] = {HF_MEMBER_SERVER_TIME, HF_MEMBER_LOSS_SPREAD, HF_MEMBER_MAX_MESSAGE},
    [13] = {HF_MEMBER_PAYLOAD64},
};

enum hf_member_id hf_member_find(struct hf_str name)
{
    if (name.len > NAME_BYTES_MAX)
        return HF_MEMBER_NONE;
    for (const uint8_t *id = by_length[name.len]; *id != HF_MEMBER_NONE; id++) {
        const char *known = hf_members[*id].name.data;

        if (known[0] == name.data[0] && memcmp(known, name.data, name.len) == 0)
            return (enum hf_member_id)(*id);
    }
    return HF_MEMBER_NONE;
}

/* Entries of the tables below. */
#define ALWAYS(id) (HF_MEMBER_##id | HF_PART_ALWAYS)
#define NULLABLE(id) (HF_MEMBER_##id | HF_PART_NULLABLE)
#define MAYBE(id) (HF_MEMBER_##id | HF_PART_OPTIONAL)
#define END HF_PARTS_END

enum { PARTS_MAX = 14 };

/* PROTOCOL.md "Server to client". */
static const uint8_t from_server_parts[HF_MSG_TYPES][PARTS_MAX] = {
    [HF_MSG_WELCOME] = {ALWAYS(SESSION), ALWAYS(TICKET), ALWAYS(RESUMED), NULLABLE(LAST_SEQ), ALWAYS(TTL),
                        ALWAYS(SERVER_ID), ALWAYS(SERVER_TIME), ALWAYS(HEARTBEAT), ALWAYS(LOSS_SPREAD),
                        ALWAYS(MAX_MESSAGE), ALWAYS(ADDRESS), NULLABLE(CHANNELS), MAYBE(REFUSALS), END},
    [HF_MSG_SUBSCRIBED] = {ALWAYS(CHANNEL), ALWAYS(EPOCH), ALWAYS(OFFSET), ALWAYS(RECOVERED), END},
    [HF_MSG_UNSUBSCRIBED] = {ALWAYS(CHANNEL), MAYBE(CODE), MAYBE(REASON), END},
    [HF_MSG_DATA] = {ALWAYS(CHANNEL), ALWAYS(OFFSET), ALWAYS(ID), ALWAYS(TIMESTAMP), MAYBE(FROM),
                     MAYBE(PAYLOAD), MAYBE(PAYLOAD64), END},
    [HF_MSG_GAP] = {ALWAYS(CHANNEL), ALWAYS(EPOCH), NULLABLE(FROM_OFFSET), NULLABLE(TO), ALWAYS(CODE), END},
    [HF_MSG_ACK] = {MAYBE(SEQ), ALWAYS(OFFSETS), MAYBE(ID), END},
    [HF_MSG_NACK] = {MAYBE(SEQ), MAYBE(ID), ALWAYS(CODE), ALWAYS(REASON), END},
    [HF_MSG_PING] = {END},
    [HF_MSG_PONG] = {MAYBE(ID), ALWAYS(SERVER_TIME), ALWAYS(SERVER_ID), END},
    [HF_MSG_HEARTBEAT] = {ALWAYS(INTERVAL), END},
    [HF_MSG_RECONNECT] = {ALWAYS(AFTER), ALWAYS(CODE), MAYBE(URL), END},
    [HF_MSG_HISTORY] = {ALWAYS(ID), ALWAYS(CHANNEL), ALWAYS(EPOCH), ALWAYS(OFFSET), ALWAYS(MESSAGES), END},
    [HF_MSG_PRESENCE] = {ALWAYS(ID), ALWAYS(CHANNEL), ALWAYS(MEMBERS), END},
    [HF_MSG_JOIN] = {ALWAYS(CHANNEL), ALWAYS(SESSION), ALWAYS(USER), MAYBE(INFO), END},
    [HF_MSG_LEAVE] = {ALWAYS(CHANNEL), ALWAYS(SESSION), ALWAYS(USER), MAYBE(INFO), END},
    [HF_MSG_REPLY] = {ALWAYS(ID), MAYBE(PAYLOAD), MAYBE(CODE), MAYBE(REASON), END},
    [HF_MSG_ERROR] = {ALWAYS(CODE), ALWAYS(REASON), ALWAYS(RE), MAYBE(ID), MAYBE(CHANNEL), MAYBE(EXPECTED),
                      END},
};

/* PROTOCOL.md "Client to server". */
static const uint8_t from_client_parts[HF_MSG_TYPES][PARTS_MAX] = {
    [HF_MSG_SUBSCRIBE] = {ALWAYS(CHANNEL), MAYBE(SINCE), MAYBE(LAST), MAYBE(MODE), MAYBE(PRESENCE), END},
    [HF_MSG_UNSUBSCRIBE] = {ALWAYS(CHANNEL), END},
    [HF_MSG_DATA] = {ALWAYS(CHANNEL), MAYBE(PAYLOAD), MAYBE(PAYLOAD64), MAYBE(SEQ), MAYBE(ID),
                     MAYBE(TIMESTAMP), END},
    [HF_MSG_ACK] = {ALWAYS(CHANNEL), MAYBE(OFFSET), MAYBE(ACK_ID), END},
    [HF_MSG_SYNC_REQUEST] = {ALWAYS(CHANNEL), ALWAYS(OFFSET), END},
    [HF_MSG_PING] = {MAYBE(ID), END},
    [HF_MSG_PONG] = {MAYBE(ACKS), END},
    [HF_MSG_HEARTBEAT] = {ALWAYS(INTERVAL), END},
    [HF_MSG_HISTORY] = {ALWAYS(ID), ALWAYS(CHANNEL), MAYBE(SINCE), MAYBE(LIMIT), MAYBE(REVERSE), END},
    [HF_MSG_PRESENCE] = {ALWAYS(ID), ALWAYS(CHANNEL), END},
    [HF_MSG_CALL] = {ALWAYS(ID), ALWAYS(METHOD), ALWAYS(PAYLOAD), END},
    [HF_MSG_REFRESH] = {ALWAYS(TOKEN), END},
    [HF_MSG_BYE] = {END},
};

const uint8_t *hf_msg_parts(enum hf_msg_type type, bool from_server)
{
    const uint8_t *parts;

    if (type >= HF_MSG_TYPES)
        return NULL;
    parts = from_server ? from_server_parts[type] : from_client_parts[type];
    return parts[0] == HF_MEMBER_NONE ? NULL : parts; /* A row that is not given is all zero. */
}

bool hf_msg_is_from_server(const struct hf_msg *m)
{
    switch (m->type) {
    case HF_MSG_DATA:
        return (m->has & HF_HAS_OFFSET) != 0;
    case HF_MSG_ACK:
        return (m->has & HF_HAS_OFFSETS) != 0;
    case HF_MSG_HISTORY:
        return (m->has & HF_HAS_MESSAGES) != 0;
    case HF_MSG_PRESENCE:
        return (m->has & HF_HAS_MEMBERS) != 0;
    case HF_MSG_PONG:
        return m->server_id.data != NULL;
    case HF_MSG_PING:
        return false; /* The client's may have an id, and is the server's without it. */
    default:
        return hf_msg_parts(m->type, true) != NULL;
    }
}
