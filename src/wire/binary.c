#include "wire/binary.h"

#include "base/assert.h"
#include "wire/binary_parts.h"

static const char *const fault_texts[HF_BINARY_FAULTS] = {[HF_BINARY_OK] = "",
#define FAULT_TEXT(name, key, text) [HF_BINARY_##name] = text,
                                                          HF_BINARY_FAULT_LIST(FAULT_TEXT)
#undef FAULT_TEXT
};

static const char *const fault_keys[HF_BINARY_FAULTS] = {[HF_BINARY_OK] = "",
#define FAULT_KEY(name, key, text) [HF_BINARY_##name] = key,
                                                         HF_BINARY_FAULT_LIST(FAULT_KEY)
#undef FAULT_KEY
};

const char *hf_binary_fault_text(enum hf_binary_fault fault)
{
    return fault < HF_BINARY_FAULTS ? fault_texts[fault] : "";
}

const char *hf_binary_fault_key(enum hf_binary_fault fault)
{
    return fault < HF_BINARY_FAULTS ? fault_keys[fault] : "";
}

/* ---- Varints ---- */

size_t hf_varint_bytes(uint64_t n)
{
    size_t bytes = 1;

    while (n >>= 7)
        bytes++;
    return bytes;
}

size_t hf_varint_put(uint8_t out[HF_VARINT_BYTES_MAX], uint64_t n)
{
    size_t bytes = 0;

    hf_assert(n <= HF_NUMBER_MAX);
    for (; n >= 0x80; n >>= 7)
        out[bytes++] = (uint8_t)(n | 0x80);
    out[bytes++] = (uint8_t)n;
    return bytes;
}

bool hf_varint_take(struct hf_str *rest, uint64_t *n)
{
    uint64_t sum = 0;

    for (size_t i = 0; i < rest->len && i < HF_VARINT_BYTES_MAX; i++) {
        uint8_t byte = (uint8_t)rest->data[i];

        sum |= (uint64_t)(byte & 0x7f) << (7 * i);
        if ((byte & 0x80) != 0)
            continue;
        /* "In the shortest form": a last byte of 0 adds nothing. */
        if ((byte == 0 && i > 0) || sum > HF_NUMBER_MAX)
            return false;
        *n = sum;
        *rest = (struct hf_str){rest->data + i + 1, rest->len - i - 1};
        return true;
    }
    return false;
}

/* ---- Tables ---- */

#define ALWAYS(id) (HF_MEMBER_##id | HF_BINARY_ALWAYS)
#define MAYBE(id) (HF_MEMBER_##id | HF_BINARY_MAYBE)
#define FLAG(id) (HF_MEMBER_##id | HF_BINARY_MAYBE)
#define NAMED (HF_MEMBER_CHANNEL | HF_BINARY_NAMED)
#define END HF_BINARY_PARTS_END

enum { PARTS_MAX = 14 };

/* docs/protocol.md "Records of the server" */
static const uint8_t from_server_parts[HF_MSG_TYPES][PARTS_MAX] = {
    [HF_MSG_WELCOME] = {FLAG(RESUMED), MAYBE(LAST_SEQ), ALWAYS(SESSION), ALWAYS(TICKET), ALWAYS(TTL),
                        ALWAYS(SERVER_ID), ALWAYS(SERVER_TIME), ALWAYS(HEARTBEAT), ALWAYS(LOSS_SPREAD),
                        ALWAYS(MAX_MESSAGE), ALWAYS(ADDRESS), ALWAYS(CHANNELS), MAYBE(REFUSALS), END},
    [HF_MSG_SUBSCRIBED] = {FLAG(RECOVERED), ALWAYS(CHANNEL), ALWAYS(CID), ALWAYS(EPOCH), ALWAYS(OFFSET), END},
    [HF_MSG_UNSUBSCRIBED] = {ALWAYS(CHANNEL), MAYBE(CODE), MAYBE(REASON), END},
    [HF_MSG_DATA] = {ALWAYS(CID), ALWAYS(OFFSET), ALWAYS(TIMESTAMP), MAYBE(ID), MAYBE(FROM),
                     FLAG(PAYLOAD_RAW), ALWAYS(PAYLOAD), END},
    [HF_MSG_GAP] = {ALWAYS(CHANNEL), ALWAYS(CID), ALWAYS(EPOCH), MAYBE(FROM_OFFSET), MAYBE(TO), ALWAYS(CODE),
                    END},
    [HF_MSG_ACK] = {MAYBE(SEQ), MAYBE(ID), ALWAYS(OFFSETS), END},
    [HF_MSG_NACK] = {MAYBE(SEQ), MAYBE(ID), ALWAYS(CODE), ALWAYS(REASON), END},
    [HF_MSG_PING] = {END},
    [HF_MSG_PONG] = {MAYBE(ID), ALWAYS(SERVER_TIME), ALWAYS(SERVER_ID), END},
    [HF_MSG_HEARTBEAT] = {ALWAYS(INTERVAL), END},
    [HF_MSG_RECONNECT] = {ALWAYS(AFTER), ALWAYS(CODE), MAYBE(URL), END},
    [HF_MSG_HISTORY] = {ALWAYS(ID), ALWAYS(CHANNEL), ALWAYS(CID), ALWAYS(EPOCH), ALWAYS(OFFSET),
                        ALWAYS(MESSAGES), END},
    [HF_MSG_PRESENCE] = {ALWAYS(ID), ALWAYS(CHANNEL), ALWAYS(MEMBERS), END},
    [HF_MSG_JOIN] = {ALWAYS(CID), ALWAYS(SESSION), ALWAYS(USER), MAYBE(INFO), END},
    [HF_MSG_LEAVE] = {ALWAYS(CID), ALWAYS(SESSION), ALWAYS(USER), MAYBE(INFO), END},
    [HF_MSG_REPLY] = {ALWAYS(ID), MAYBE(CODE), MAYBE(REASON), FLAG(PAYLOAD_RAW), MAYBE(PAYLOAD), END},
    [HF_MSG_ERROR] = {ALWAYS(CODE), ALWAYS(REASON), ALWAYS(RE), MAYBE(ID), MAYBE(CHANNEL), MAYBE(EXPECTED),
                      END},
};

/* docs/protocol.md "Records of the client" */
static const uint8_t from_client_parts[HF_MSG_TYPES][PARTS_MAX] = {
    [HF_MSG_SUBSCRIBE] = {ALWAYS(CHANNEL), MAYBE(SINCE), MAYBE(LAST), MAYBE(MODE), MAYBE(PRESENCE), END},
    [HF_MSG_UNSUBSCRIBE] = {NAMED, END},
    /* seq and id first, so that they are read even if what follows is broken. */
    [HF_MSG_DATA] = {MAYBE(SEQ), MAYBE(ID), NAMED, MAYBE(TIMESTAMP), FLAG(PAYLOAD_RAW), ALWAYS(PAYLOAD), END},
    [HF_MSG_ACK] = {NAMED, MAYBE(OFFSET), MAYBE(ACK_ID), END},
    [HF_MSG_SYNC_REQUEST] = {NAMED, ALWAYS(OFFSET), END},
    [HF_MSG_PING] = {MAYBE(ID), END},
    [HF_MSG_PONG] = {MAYBE(ACKS), END},
    [HF_MSG_HEARTBEAT] = {ALWAYS(INTERVAL), END},
    [HF_MSG_HISTORY] = {ALWAYS(ID), NAMED, MAYBE(SINCE), MAYBE(LIMIT), FLAG(REVERSE), END},
    [HF_MSG_PRESENCE] = {ALWAYS(ID), NAMED, END},
    [HF_MSG_CALL] = {ALWAYS(ID), ALWAYS(METHOD), FLAG(PAYLOAD_RAW), ALWAYS(PAYLOAD), END},
    [HF_MSG_REFRESH] = {ALWAYS(TOKEN), END},
    [HF_MSG_BYE] = {END},
};

const uint8_t *hf_binary_parts(enum hf_msg_type type, bool from_server)
{
    const uint8_t *parts;

    if (type >= HF_MSG_TYPES)
        return NULL;
    parts = from_server ? from_server_parts[type] : from_client_parts[type];
    return parts[0] == HF_MEMBER_NONE ? NULL : parts; /* A row that is not given is all zero. */
}
