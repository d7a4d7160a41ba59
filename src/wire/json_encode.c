#include "wire/json.h"

#include "base/assert.h"
#include "base/base64.h"
#include "wire/json_scan.h"
#include "wire/member.h"

#include <string.h>

/* The escape of a character that a JSON string cannot hold as it is. */
static int put_escape(struct hf_buf *out, unsigned char c)
{
    static const char hex[] = "0123456789abcdef";
    static const char plain[] = "\"\\\b\f\n\r\t", names[] = "\"\\bfnrt";
    const char *known = memchr(plain, c, sizeof(plain) - 1);
    char escape[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};

    if (known == NULL)
        return hf_buf_put(out, escape, 6);
    escape[1] = names[known - plain];
    return hf_buf_put(out, escape, 2);
}

/* U+2028 and U+2029 (E2 80 A8, E2 80 A9) end a line in old JavaScript, so that a string with one was no program text. */
static const char *line_separator(const char *at, const char *end)
{
    while ((at = memchr(at, 0xe2, (size_t)(end - at))) != NULL) {
        if (end - at >= 3 && (unsigned char)at[1] == 0x80 && ((unsigned char)at[2] & 0xfe) == 0xa8)
            return at;
        at++;
    }
    return end;
}

/* A run without quotation marks, backslashes and control characters. */
static int put_plain(struct hf_buf *out, const char *at, const char *end)
{
    int err = 0;

    while (at < end && err == 0) {
        const char *separator = line_separator(at, end);

        err = hf_buf_put(out, at, (size_t)(separator - at));
        if (separator == end)
            break;
        err = hf_buf_puts(out, (unsigned char)separator[2] == 0xa8 ? "\\u2028" : "\\u2029");
        at = separator + 3;
    }
    return err;
}

int hf_json_put_string(struct hf_buf *out, struct hf_str s)
{
    const char *at = s.data, *end = s.data + s.len;

    hf_buf_put(out, "\"", 1);
    while (at < end && !out->failed) {
        const char *plain_end = hf_json_plain_end(at, end);

        put_plain(out, at, plain_end);
        at = plain_end;
        if (at < end)
            put_escape(out, (unsigned char)*at++);
    }
    return hf_buf_put(out, "\"", 1);
}

static int put_raw(struct hf_buf *out, struct hf_str raw)
{
    hf_assert(raw.len > 0); /* An empty value would leave a message that is no JSON. */
    return hf_buf_put_str(out, raw);
}

static int put_named_u64(struct hf_buf *out, const char *opening, uint64_t n)
{
    hf_buf_puts(out, opening);
    return hf_buf_put_u64(out, n);
}

static int put_since(struct hf_buf *out, const struct hf_msg *m)
{
    hf_buf_puts(out, "{\"epoch\":");
    hf_json_put_string(out, m->epoch);
    put_named_u64(out, ",\"offset\":", m->since_offset);
    return hf_buf_puts(out, "}");
}

static int put_heartbeat(struct hf_buf *out, const struct hf_msg *m)
{
    put_named_u64(out, "{\"interval\":", m->interval_ms);
    put_named_u64(out, ",\"min\":", m->heartbeat_min_ms);
    put_named_u64(out, ",\"max\":", m->heartbeat_max_ms);
    return hf_buf_puts(out, "}");
}

static int put_window(struct hf_buf *out, const struct hf_msg *m)
{
    put_named_u64(out, "[", m->after_min_ms);
    put_named_u64(out, ",", m->after_max_ms);
    return hf_buf_puts(out, "]");
}

static int put_value(struct hf_buf *out, const struct hf_msg *m, const struct hf_member *member)
{
    const void *field = (const char *)m + member->field;

    switch (member->kind) {
    case HF_KIND_STRING:
    case HF_KIND_LABEL:
    case HF_KIND_CHANNEL:
        return hf_json_put_string(out, *(const struct hf_str *)field);
    case HF_KIND_NUMBER:
        return hf_buf_put_u64(out, *(const uint64_t *)field);
    case HF_KIND_BOOL:
        return hf_buf_puts(out, *(const bool *)field ? "true" : "false");
    case HF_KIND_VALUE:
    case HF_KIND_INFO:
    case HF_KIND_ARRAY:
    case HF_KIND_OFFSETS:
    case HF_KIND_ACKS:
        return put_raw(out, *(const struct hf_str *)field);
    case HF_KIND_SINCE:
        return put_since(out, m);
    case HF_KIND_MODE:
        return hf_buf_puts(out, m->mode == HF_MODE_LATEST ? "\"latest\"" : "\"all\"");
    case HF_KIND_HEARTBEAT:
        return put_heartbeat(out, m);
    case HF_KIND_WINDOW:
        return put_window(out, m);
    }
    return HF_EINVAL;
}

/* Whether m has an optional member. One without a bit is a flag, which is left out where it is false, or an array, where there is none. */
static bool has_member(const struct hf_msg *m, const struct hf_member *member)
{
    if (member->has != 0)
        return (m->has & member->has) != 0;
    if (member->kind == HF_KIND_ARRAY)
        return ((const struct hf_str *)(const void *)((const char *)m + member->field))->data != NULL;
    return member->kind == HF_KIND_BOOL && *(const bool *)((const char *)m + member->field);
}

int hf_json_put_base64(struct hf_buf *out, struct hf_str bytes)
{
    size_t chars = hf_base64_chars(bytes.len);
    uint8_t *at;

    hf_buf_puts(out, "\"");
    at = hf_buf_reserve(out, chars);
    if (at != NULL) {
        hf_base64_encode((char *)at, bytes.data, bytes.len);
        hf_buf_commit(out, chars);
    }
    return hf_buf_puts(out, "\"");
}

static void put_part(struct hf_buf *out, const struct hf_msg *m, uint8_t part)
{
    const struct hf_member *member = &hf_members[part & HF_PART_MEMBER];
    bool given = (part & HF_PART_ALWAYS) != 0 || has_member(m, member);

    if (member->kind == HF_KIND_VALUE && given && m->payload_raw) {
        hf_buf_put_str(out, hf_members[HF_MEMBER_PAYLOAD64].opening);
        hf_json_put_base64(out, m->payload);
        return;
    }

    if (!given && (part & HF_PART_NULLABLE) == 0)
        return;
    hf_buf_put_str(out, member->opening);
    if (given)
        put_value(out, m, member);
    else
        hf_buf_puts(out, member->kind == HF_KIND_ARRAY ? "[]" : "null");
}

int hf_json_put_data(struct hf_buf *out, const struct hf_msg *m)
{
    hf_buf_puts(out, "{\"type\":\"data\",\"channel\":");
    hf_json_put_string(out, m->channel);
    put_named_u64(out, ",\"offset\":", m->offset);
    hf_buf_puts(out, ",\"id\":");
    hf_json_put_string(out, m->id);
    put_named_u64(out, ",\"timestamp\":", m->timestamp);
    if ((m->has & HF_HAS_FROM) != 0) {
        hf_buf_puts(out, ",\"from\":");
        hf_json_put_string(out, m->from_user);
    }
    if (m->payload_raw) {
        hf_buf_puts(out, ",\"payloadBase64\":");
        hf_json_put_base64(out, m->payload);
    } else if ((m->has & HF_HAS_PAYLOAD64) != 0) {
        hf_buf_puts(out, ",\"payloadBase64\":");
        hf_json_put_string(out, m->payload);
    } else {
        hf_buf_puts(out, ",\"payload\":");
        put_raw(out, m->payload);
    }
    return hf_buf_puts(out, "}");
}

int hf_json_encode(struct hf_buf *out, const struct hf_msg *m)
{
    bool from_server = hf_msg_is_from_server(m);
    const uint8_t *parts = hf_msg_parts(m->type, from_server);

    hf_assert(parts != NULL && m->encoding == HF_ENCODING_JSON);
    if (m->type == HF_MSG_DATA && from_server)
        return hf_json_put_data(out, m);
    hf_assert(!m->payload_raw || m->type == HF_MSG_DATA); /* The others have no form for bytes. */
    hf_buf_puts(out, "{\"type\":\"");
    hf_buf_puts(out, hf_msg_name(m->type));
    hf_buf_puts(out, "\"");
    for (; *parts != HF_PARTS_END; parts++)
        put_part(out, m, *parts);
    return hf_buf_puts(out, "}");
}
