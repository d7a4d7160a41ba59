/*
 * publish.c - publish, broadcast and disconnect: requests whose answer comes from the hub, at once or in a later turn.
 */
#include "api/api.h"
#include "api/routes.h"
#include "base/assert.h"
#include "base/base64.h"
#include "wire/json.h"
#include "ws/frame.h"

#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>

enum {
    SESSION_BYTES_MAX = 128, /* of a session's id */
    CLOSE_ENDED = 4003,      /* PROTOCOL.md, "Close codes": "4003 ended by the backend" */
};

/* One call of the hub and its result. */
struct piece {
    struct hf_api_request *request;
    struct hf_str channel; /* in the request's body */
    struct hf_service_result result;
};

struct pieces {
    size_t count;
    struct piece list[];
};

static struct pieces *pieces_new(struct hf_api_request *r, size_t count)
{
    struct pieces *p = calloc(1, sizeof(*p) + count * sizeof(p->list[0]));

    if (p == NULL)
        return NULL;
    p->count = count;
    for (size_t i = 0; i < count; i++)
        p->list[i].request = r;
    r->work = p;
    return p;
}

/* hf_service_done of every call. */
static void piece_done(void *ctx, const struct hf_service_result *result)
{
    struct piece *piece = ctx;

    piece->result = *result;
    hf_api_work_done(piece->request);
}

static const char *reason_of(const struct hf_service_result *result)
{
    return result->reason == NULL ? "" : result->reason;
}

/* "a repeat gets the first answer, with another body 409" */
static const char conflict_reason[] = "the key was used with another body";

/* --- publish --- */

static void put_position(struct hf_buf *out, const struct piece *piece)
{
    hf_buf_puts(out, "{\"channel\":");
    hf_json_put_string(out, piece->channel);
    hf_buf_puts(out, ",\"epoch\":");
    hf_json_put_string(out, hf_str_from(piece->result.epoch));
    hf_buf_puts(out, ",\"offset\":");
    hf_buf_put_u64(out, piece->result.offset);
    hf_buf_puts(out, "}");
}

static void finish_publish(struct hf_api_request *r)
{
    const struct piece *piece = &((struct pieces *)r->work)->list[0];

    if (piece->result.conflict) {
        hf_api_answer_status(r, MHD_HTTP_CONFLICT, "conflict", conflict_reason);
    } else if (piece->result.code != HF_CODE_NONE) {
        hf_api_answer_error(r, piece->result.code, reason_of(&piece->result));
    } else {
        put_position(&r->answer, piece);
        hf_api_answer_written(r, 0);
    }
}

static void begin_publish(struct hf_api_request *r, struct piece *piece,
                          const struct hf_service_publish *publish)
{
    piece->channel = publish->channel;
    hf_api_work_begin(r);
    hf_service_publish(r->api->hub, publish, piece_done, piece);
}

/*
 * "payloadBase64 in place of payload": bytes, decoded where their text lies. Returns whether there is one of the two; else the request is
 * answered.
 */
static bool choose_payload(struct hf_api_request *r, const struct hf_api_member *json,
                           const struct hf_api_member *base64, struct hf_str *payload, bool *raw)
{
    uint8_t *bytes = (uint8_t *)(uintptr_t)base64->value.data;
    int len;

    *raw = base64->present;
    *payload = json->value;
    if (json->present == base64->present) {
        hf_api_answer_error(r, HF_CODE_BAD_MESSAGE,
                            json->present ? "payload and payloadBase64 are both given: give one of them"
                                          : "payload: is missing, and so is payloadBase64");
        return false;
    }
    if (!base64->present)
        return true;
    len = hf_base64_decode(base64->value, bytes);
    *payload = (struct hf_str){(const char *)bytes, len < 0 ? 0 : (size_t)len};
    if (len < 0)
        hf_api_answer_error(r, HF_CODE_BAD_MESSAGE,
                            "payloadBase64: must be base64 (RFC 4648 section 4), with its padding");
    return len >= 0;
}

/* Returns whether the payload may be published; else the request is answered. */
static bool check_payload(struct hf_api_request *r, struct hf_str payload)
{
    if (payload.len <= r->api->config->message_bytes_max)
        return true;
    hf_api_answer_error(r, HF_CODE_TOO_LARGE, "the payload is larger than limits.message");
    return false;
}

static const char channel_reason[] = "channel: must be 1 to 255 bytes without control characters";

void hf_api_publish(struct hf_api_request *r)
{
    struct hf_api_member m[] = {
        {.name = "channel", .kind = HF_API_TEXT, .required = true},
        {.name = "payload", .kind = HF_API_ANY},
        {.name = "id", .kind = HF_API_TEXT, .bytes_max = HF_LABEL_BYTES_MAX},
        {.name = "key", .kind = HF_API_TEXT, .bytes_max = HF_LABEL_BYTES_MAX},
        {.name = "payloadBase64", .kind = HF_API_TEXT},
    };
    struct hf_service_publish publish = {0};
    char reason[HF_API_REASON_MAX];
    struct pieces *pieces;

    if (hf_api_body_read(hf_buf_str(&r->body), m, 5, reason) < 0) {
        hf_api_answer_error(r, HF_CODE_BAD_MESSAGE, reason);
        return;
    }
    if (!hf_channel_name_valid(m[0].value)) {
        hf_api_answer_error(r, HF_CODE_BAD_MESSAGE, channel_reason);
        return;
    }
    if (!choose_payload(r, &m[1], &m[4], &publish.payload, &publish.raw) ||
        !check_payload(r, publish.payload))
        return;
    pieces = pieces_new(r, 1);
    if (pieces == NULL) {
        hf_api_answer_error(r, HF_CODE_INTERNAL, "out of memory");
        return;
    }
    r->finish = finish_publish;
    publish.channel = m[0].value;
    publish.id = m[2].value;
    publish.key = m[3].value;
    begin_publish(r, &pieces->list[0], &publish);
}

/* --- broadcast --- */

static void put_result(struct hf_buf *out, const struct piece *piece)
{
    const struct hf_service_result *result = &piece->result;

    if (result->code == HF_CODE_NONE && !result->conflict) {
        put_position(out, piece);
        return;
    }
    hf_buf_puts(out, "{\"channel\":");
    hf_json_put_string(out, piece->channel);
    hf_buf_puts(out, ",\"code\":");
    hf_json_put_string(out, hf_str_from(result->conflict ? "conflict" : hf_code_name(result->code)));
    hf_buf_puts(out, ",\"reason\":");
    hf_json_put_string(out, hf_str_from(result->conflict ? conflict_reason : reason_of(result)));
    hf_buf_puts(out, "}");
}

/* 200 whatever became of the single channels: each result tells. Only a conflicting key is told by the status, together with what was done. */
static void finish_broadcast(struct hf_api_request *r)
{
    const struct pieces *pieces = r->work;
    bool conflict = false;

    for (size_t i = 0; i < pieces->count; i++)
        conflict = conflict || pieces->list[i].result.conflict;
    hf_buf_puts(&r->answer, "{");
    if (conflict) {
        hf_buf_puts(&r->answer, "\"code\":\"conflict\",\"reason\":");
        hf_json_put_string(&r->answer, hf_str_from(conflict_reason));
        hf_buf_puts(&r->answer, ",");
    }
    hf_buf_puts(&r->answer, "\"results\":[");
    for (size_t i = 0; i < pieces->count; i++) {
        if (i > 0)
            hf_buf_puts(&r->answer, ",");
        put_result(&r->answer, &pieces->list[i]);
    }
    hf_buf_puts(&r->answer, "]}");
    hf_api_answer(r, conflict ? MHD_HTTP_CONFLICT : MHD_HTTP_OK);
}

/*
 * Read the texts of the array into pieces. Returns 0, or HF_EBADMSG or HF_ENOMEM with *reason. Two passes: the first
 * counts, so that the pieces never move.
 */
static int read_channels(struct hf_api_request *r, struct hf_str array, const char **reason)
{
    struct hf_str rest = array, value;
    struct pieces *pieces;
    size_t count = 0;

    while (hf_json_next_element(&rest, &value) && count <= HF_API_BROADCAST_CHANNELS_MAX)
        count++;
    *reason = "channels: must have 1 to 1000 channels";
    if (count == 0 || count > HF_API_BROADCAST_CHANNELS_MAX)
        return HF_EBADMSG;
    pieces = pieces_new(r, count);
    *reason = "out of memory";
    if (pieces == NULL)
        return HF_ENOMEM;
    *reason = "channels: each must be a string, without half a surrogate pair";
    rest = array;
    for (size_t i = 0; hf_json_next_element(&rest, &value); i++) {
        char *place = (char *)(uintptr_t)value.data;
        int len =
            hf_json_kind(value) == HF_JSON_STRING ? hf_json_unquote(value, place, value.len) : HF_EBADMSG;

        if (len < 0)
            return HF_EBADMSG;
        pieces->list[i].channel = (struct hf_str){place, (size_t)len};
    }
    return 0;
}

/*
 * The key of a broadcast counts per channel, so that a repeat finds the first answer of each: what the hub is given is a hash of
 * both. A single publish cannot have the same key by chance, since a NUL separates the two.
 */
static void channel_key(struct hf_str key, struct hf_str channel, char out[SHA256_DIGEST_LENGTH * 2])
{
    static const char digits[] = "0123456789abcdef";
    unsigned char text[HF_LABEL_BYTES_MAX + 1 + HF_CHANNEL_BYTES_MAX], hash[SHA256_DIGEST_LENGTH];

    hf_assert(key.len <= HF_LABEL_BYTES_MAX && channel.len <= HF_CHANNEL_BYTES_MAX);
    memcpy(text, key.data, key.len);
    text[key.len] = '\0';
    memcpy(text + key.len + 1, channel.data, channel.len);
    SHA256(text, key.len + 1 + channel.len, hash);
    for (size_t i = 0; i < SHA256_DIGEST_LENGTH; i++) {
        out[2 * i] = digits[hash[i] >> 4];
        out[2 * i + 1] = digits[hash[i] & 15];
    }
}

/* One that cannot be a channel's name has its result at once; the others are published all the same. */
static void begin_one(struct hf_api_request *r, struct piece *piece, struct hf_service_publish publish,
                      struct hf_str key)
{
    char hashed[SHA256_DIGEST_LENGTH * 2];

    publish.channel = piece->channel;
    if (!hf_channel_name_valid(piece->channel)) {
        piece->result = (struct hf_service_result){.code = HF_CODE_BAD_MESSAGE, .reason = channel_reason};
        return;
    }
    if (key.data != NULL) {
        channel_key(key, publish.channel, hashed);
        publish.key = (struct hf_str){hashed, sizeof(hashed)};
    }
    begin_publish(r, piece, &publish);
}

void hf_api_broadcast(struct hf_api_request *r)
{
    struct hf_api_member m[] = {
        {.name = "channels", .kind = HF_API_ARRAY, .required = true},
        {.name = "payload", .kind = HF_API_ANY},
        {.name = "key", .kind = HF_API_TEXT, .bytes_max = HF_LABEL_BYTES_MAX},
        {.name = "payloadBase64", .kind = HF_API_TEXT},
    };
    struct hf_service_publish publish = {0};
    char reason[HF_API_REASON_MAX];
    struct pieces *pieces;
    const char *why;
    int err;

    if (hf_api_body_read(hf_buf_str(&r->body), m, 4, reason) < 0) {
        hf_api_answer_error(r, HF_CODE_BAD_MESSAGE, reason);
        return;
    }
    if (!choose_payload(r, &m[1], &m[3], &publish.payload, &publish.raw) ||
        !check_payload(r, publish.payload))
        return;
    err = read_channels(r, m[0].value, &why);
    if (err < 0) {
        hf_api_answer_error(r, err == HF_ENOMEM ? HF_CODE_INTERNAL : HF_CODE_BAD_MESSAGE, why);
        return;
    }
    r->finish = finish_broadcast;
    pieces = r->work;
    for (size_t i = 0; i < pieces->count; i++)
        begin_one(r, &pieces->list[i], publish, m[2].value);
}

/* --- disconnect --- */

static void finish_disconnect(struct hf_api_request *r)
{
    const struct hf_service_result *result = &((struct pieces *)r->work)->list[0].result;

    if (result->code != HF_CODE_NONE) {
        hf_api_answer_error(r, result->code, reason_of(result));
        return;
    }
    hf_buf_puts(&r->answer, "{\"disconnected\":1}");
    hf_api_answer_written(r, 0);
}

static void begin_disconnect(struct hf_api_request *r, struct hf_str session, uint16_t code)
{
    struct pieces *pieces = pieces_new(r, 1);

    if (pieces == NULL) {
        hf_api_answer_error(r, HF_CODE_INTERNAL, "out of memory");
        return;
    }
    r->finish = finish_disconnect;
    hf_api_work_begin(r);
    hf_service_disconnect(r->api->hub, session, code, piece_done, &pieces->list[0]);
}

void hf_api_disconnect(struct hf_api_request *r)
{
    struct hf_api_member m[] = {
        {.name = "session", .kind = HF_API_TEXT, .bytes_max = SESSION_BYTES_MAX},
        {.name = "user", .kind = HF_API_TEXT, .bytes_max = HF_LABEL_BYTES_MAX},
        {.name = "code", .kind = HF_API_NUMBER},
    };
    char reason[HF_API_REASON_MAX];
    uint64_t code;

    if (hf_api_body_read(hf_buf_str(&r->body), m, 3, reason) < 0) {
        hf_api_answer_error(r, HF_CODE_BAD_MESSAGE, reason);
        return;
    }
    code = m[2].present ? m[2].number : CLOSE_ENDED;
    if (m[0].present == m[1].present) {
        hf_api_answer_error(r, HF_CODE_BAD_MESSAGE, "either session or user must be given");
    } else if (code > UINT16_MAX || !hf_ws_close_code_valid((uint16_t)code)) {
        hf_api_answer_error(r, HF_CODE_BAD_MESSAGE,
                            "code: must be a close code that may be sent, such as 4003");
    } else if (m[1].present) {
        hf_api_order(r,
                     &(struct hf_service_order){
                         .act = HF_ACT_DISCONNECT, .user = m[1].value, .close_code = (uint16_t)code},
                     "disconnected");
    } else {
        begin_disconnect(r, m[0].value, (uint16_t)code);
    }
}
