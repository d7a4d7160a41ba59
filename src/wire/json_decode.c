/*
 * Decoding in two steps: the scanner steps over the whole message and notes where each known member's value lies; then the table of the message's
 * type is walked, and what it names is read from there. So a member may come before the `type` that gives it its meaning.
 */
#include "base/base64.h"
#include "wire/json.h"
#include "wire/json_scan.h"
#include "wire/member.h"

#include <string.h>

struct decoder {
    struct hf_msg *m;
    char *data;         /* the message, to be unescaped in place */
    const char *reason; /* the first fault, or NULL */
    uint64_t seen;      /* a bit for each enum hf_member_id */
    uint64_t twice;
    struct hf_str raw[HF_MEMBERS]; /* those seen */
};

static uint64_t bit_of(enum hf_member_id id)
{
    return UINT64_C(1) << id;
}

static void fault(struct decoder *d, const char *reason)
{
    if (d->reason == NULL)
        d->reason = reason;
}

/* The member that a raw name stands for. Names may be escaped as any string. */
static enum hf_member_id find_member(struct hf_str raw)
{
    char plain[32];
    int len;

    if (memchr(raw.data, '\\', raw.len) == NULL)
        return hf_member_find((struct hf_str){raw.data + 1, raw.len - 2});
    len = hf_json_unquote(raw, plain, sizeof(plain));
    return len < 0 ? HF_MEMBER_NONE : hf_member_find((struct hf_str){plain, (size_t)len});
}

static void note_member(struct decoder *d, enum hf_member_id id, struct hf_str raw)
{
    if (id == HF_MEMBER_NONE)
        return;
    d->twice |= d->seen & bit_of(id);
    d->seen |= bit_of(id);
    d->raw[id] = raw;
}

/* One member; it is noted only when what stands behind it proves that it ends there. */
static bool scan_member(struct decoder *d, struct hf_json_scan *s, unsigned depth_max)
{
    const char *name, *name_end, *value, *value_end;

    hf_json_scan_space(s);
    name = s->at;
    if (!hf_json_scan_name(s))
        return false;
    value = s->at;
    /* Between the name and its value are only the colon and white space. */
    for (name_end = value; name_end[-1] != '"';)
        name_end--;
    if (!hf_json_scan_value(s, depth_max))
        return false;
    value_end = s->at;
    hf_json_scan_space(s);
    if (s->at == s->end || (*s->at != ',' && *s->at != '}'))
        return hf_json_scan_break(s, "a ',' or '}' was expected");
    note_member(d, find_member((struct hf_str){name, (size_t)(name_end - name)}),
                (struct hf_str){value, (size_t)(value_end - value)});
    return true;
}

static bool scan_message(struct decoder *d, struct hf_json_scan *s, unsigned depth_max)
{
    hf_json_scan_space(s);
    if (!hf_json_scan_take(s, '{'))
        return hf_json_scan_break(s, "a message must be a JSON object");
    hf_json_scan_space(s);
    if (!hf_json_scan_take(s, '}')) {
        do {
            if (!scan_member(d, s, depth_max))
                return false;
        } while (hf_json_scan_take(s, ','));
        s->at++; /* The member has seen to it that this is the '}'. */
    }
    hf_json_scan_space(s);
    return s->at == s->end || hf_json_scan_break(s, "something stands behind the message");
}

/* A string of the envelope, unescaped in its place where it needs that. */
static bool read_string(struct decoder *d, struct hf_str raw, struct hf_str *out)
{
    char *place = d->data + (raw.data - d->data) + 1;
    int len = (int)(raw.len - 2);

    if (hf_json_kind(raw) != HF_JSON_STRING || raw.len > INT32_MAX)
        return false;
    if (memchr(place, '\\', raw.len - 2) != NULL)
        len = hf_json_unquote(raw, place, raw.len - 2);
    if (len < 0)
        return false;
    *out = (struct hf_str){place, (size_t)len};
    return true;
}

static bool read_label(struct decoder *d, struct hf_str raw, struct hf_str *out)
{
    struct hf_str label;

    if (!read_string(d, raw, &label) || label.len > HF_LABEL_BYTES_MAX)
        return false;
    *out = label;
    return true;
}

static bool read_channel(struct decoder *d, struct hf_str raw, struct hf_str *out)
{
    struct hf_str name;

    if (!read_string(d, raw, &name) || !hf_channel_name_valid(name))
        return false;
    *out = name;
    return true;
}

static bool read_bool(struct hf_str raw, bool *out)
{
    if (hf_json_kind(raw) != HF_JSON_BOOL)
        return false;
    *out = raw.data[0] == 't';
    return true;
}

static bool read_mode(struct decoder *d, struct hf_str raw, enum hf_sub_mode *out)
{
    struct hf_str name;

    if (!read_string(d, raw, &name))
        return false;
    *out = hf_str_eq(name, HF_STR("latest")) ? HF_MODE_LATEST : HF_MODE_ALL;
    return *out == HF_MODE_LATEST || hf_str_eq(name, HF_STR("all"));
}

/* since {epoch, offset} */
static bool read_since(struct decoder *d, struct hf_str raw, struct hf_msg *m)
{
    struct hf_json_field fields[] = {{.name = HF_STR("epoch")}, {.name = HF_STR("offset")}};

    return hf_json_fields(raw, fields, 2) == 0 && hf_json_u53(fields[1].value, &m->since_offset) == 0 &&
           read_label(d, fields[0].value, &m->epoch);
}

/* heartbeat {interval, min, max} */
static bool read_heartbeat(struct hf_str raw, struct hf_msg *m)
{
    struct hf_json_field fields[] = {
        {.name = HF_STR("interval")}, {.name = HF_STR("min")}, {.name = HF_STR("max")}};

    return hf_json_fields(raw, fields, 3) == 0 && hf_json_u53(fields[0].value, &m->interval_ms) == 0 &&
           hf_json_u53(fields[1].value, &m->heartbeat_min_ms) == 0 &&
           hf_json_u53(fields[2].value, &m->heartbeat_max_ms) == 0;
}

/* after [min,max] */
static bool read_window(struct hf_str raw, struct hf_msg *m)
{
    struct hf_str rest = raw, value;

    if (hf_json_kind(raw) != HF_JSON_ARRAY)
        return false;
    if (!hf_json_next_element(&rest, &value) || hf_json_u53(value, &m->after_min_ms) < 0)
        return false;
    if (!hf_json_next_element(&rest, &value) || hf_json_u53(value, &m->after_max_ms) < 0)
        return false;
    return !hf_json_next_element(&rest, &value) && m->after_min_ms <= m->after_max_ms;
}

/* offsets [n or null, …] */
static bool offsets_valid(struct hf_str raw)
{
    struct hf_str rest = raw, value;
    uint64_t offset;

    if (hf_json_kind(raw) != HF_JSON_ARRAY)
        return false;
    while (hf_json_next_element(&rest, &value))
        if (hf_json_kind(value) != HF_JSON_NULL && hf_json_u53(value, &offset) < 0)
            return false;
    return true;
}

/* Whether a raw string has an unescaped form, that is, no lone surrogate. */
static bool string_valid(struct hf_str raw)
{
    char channel[HF_CHANNEL_BYTES_MAX];
    int len;

    if (memchr(raw.data, '\\', raw.len) == NULL)
        return true;
    /* A longer one names no channel, and is as little known as any other that the receiver does not have. */
    len = hf_json_unquote(raw, channel, sizeof(channel));
    return len >= 0 || len == HF_ETOOLARGE;
}

/* acks {channel: offset, …} */
static bool acks_valid(struct hf_str raw)
{
    struct hf_str rest = raw, key, value;
    uint64_t offset;

    if (hf_json_kind(raw) != HF_JSON_OBJECT)
        return false;
    while (hf_json_next_member(&rest, &key, &value))
        if (!string_valid(key) || hf_json_u53(value, &offset) < 0)
            return false;
    return true;
}

/* Keep a value as it is written. */
static bool read_raw(struct hf_str raw, bool valid, struct hf_str *out)
{
    if (valid)
        *out = raw;
    return valid;
}

/* Read a value into its field. Returns false where it is not of the member's kind; the field is then undefined unless it is a string. */
static bool read_value(struct decoder *d, const struct hf_member *member, struct hf_str raw)
{
    void *field = (char *)d->m + member->field;

    switch (member->kind) {
    case HF_KIND_STRING:
        return read_string(d, raw, field);
    case HF_KIND_LABEL:
        return read_label(d, raw, field);
    case HF_KIND_CHANNEL:
        return read_channel(d, raw, field);
    case HF_KIND_NUMBER:
        return hf_json_u53(raw, field) == 0;
    case HF_KIND_BOOL:
        return read_bool(raw, field);
    case HF_KIND_VALUE:
    case HF_KIND_INFO:
        return read_raw(raw, true, field);
    case HF_KIND_ARRAY:
        return read_raw(raw, hf_json_kind(raw) == HF_JSON_ARRAY, field);
    case HF_KIND_OFFSETS:
        return read_raw(raw, offsets_valid(raw), field);
    case HF_KIND_ACKS:
        return read_raw(raw, acks_valid(raw), field);
    case HF_KIND_SINCE:
        return read_since(d, raw, d->m);
    case HF_KIND_MODE:
        return read_mode(d, raw, field);
    case HF_KIND_HEARTBEAT:
        return read_heartbeat(raw, d->m);
    case HF_KIND_WINDOW:
        return read_window(raw, d->m);
    }
    return false;
}

/* Whether the message has this member at all. */
static bool is_given(const struct decoder *d, const struct hf_member *member)
{
    return (d->seen & bit_of(member->found_as)) != 0 &&
           (member->kind == HF_KIND_VALUE || hf_json_kind(d->raw[member->found_as]) != HF_JSON_NULL);
}

static void read_member(struct decoder *d, uint8_t part)
{
    const struct hf_member *member = &hf_members[part & HF_PART_MEMBER];

    if ((d->twice & bit_of(member->found_as)) != 0) {
        fault(d, member->twice);
    } else if (!is_given(d, member)) {
        if ((part & HF_PART_ALWAYS) != 0)
            fault(d, member->missing);
    } else if (!read_value(d, member, d->raw[member->found_as])) {
        fault(d, member->wrong);
    } else {
        d->m->has |= member->has;
    }
}

/*
 * A client's payloadBase64 is bytes from here on, as if they had come in the binary form. A server's stays text: its receiver may want it so, and pays
 * nothing where not.
 */
static void read_bytes(struct decoder *d)
{
    char *place = d->data + (d->m->payload.data - d->data);
    int len;

    if (d->reason != NULL || (d->m->has & HF_HAS_PAYLOAD64) == 0)
        return;
    len = hf_base64_decode(d->m->payload, (uint8_t *)place);
    if (len < 0) {
        fault(d, "payloadBase64 must be base64 with padding (RFC 4648 section 4)");
        return;
    }
    d->m->payload.len = (size_t)len;
    d->m->payload_raw = true;
    d->m->has ^= HF_HAS_PAYLOAD64 | HF_HAS_PAYLOAD;
}

static void read_type(struct decoder *d)
{
    const struct hf_member *member = &hf_members[HF_MEMBER_TYPE];
    struct hf_str name;

    if ((d->twice & bit_of(HF_MEMBER_TYPE)) != 0) {
        fault(d, member->twice);
    } else if (!is_given(d, member)) {
        fault(d, member->missing);
    } else if (!read_string(d, d->raw[HF_MEMBER_TYPE], &name)) {
        fault(d, member->wrong);
    } else {
        d->m->type = hf_msg_type(name);
        if (d->m->type == HF_MSG_NONE)
            fault(d, "type is unknown");
    }
}

/* What is needed in one of two forms. */
static const char *alternative_fault(const struct hf_msg *m, bool from_server)
{
    uint32_t has = m->has;

    if ((has & (HF_HAS_PAYLOAD | HF_HAS_PAYLOAD64)) == (HF_HAS_PAYLOAD | HF_HAS_PAYLOAD64))
        return "payload and payloadBase64 are both given";
    if (m->type == HF_MSG_DATA && (has & (HF_HAS_PAYLOAD | HF_HAS_PAYLOAD64)) == 0)
        return "payload is missing";
    if (m->type == HF_MSG_ACK && from_server && (has & (HF_HAS_SEQ | HF_HAS_ID)) == 0)
        return "seq is missing, and so is id";
    if (m->type == HF_MSG_ACK && !from_server && (has & (HF_HAS_OFFSET | HF_HAS_ACK_ID)) == 0)
        return "offset is missing, and so is ackId";
    if (m->type == HF_MSG_REPLY && (has & HF_HAS_PAYLOAD) == 0 && (~has & (HF_HAS_CODE | HF_HAS_REASON)) != 0)
        return "payload is missing, and so is code or reason";
    return NULL;
}

static void read_message(struct decoder *d, bool from_server)
{
    const uint8_t *parts;

    read_type(d);
    if (d->m->type == HF_MSG_NONE)
        return;
    parts = hf_msg_parts(d->m->type, from_server);
    if (parts == NULL) {
        fault(d, from_server ? "a server sends no such type" : "a client sends no such type");
        return;
    }
    for (; *parts != HF_PARTS_END; parts++)
        read_member(d, *parts);
    if (d->reason == NULL)
        d->reason = alternative_fault(d->m, from_server);
    if (!from_server)
        read_bytes(d);
}

int hf_json_decode(struct hf_msg *m, char *data, size_t len, bool from_server, const char **reason)
{
    struct hf_json_scan s = {data, data + len, NULL};
    struct decoder d;

    /* Not the rest: raw[] is large, and only what is in `seen` is looked at. */
    d.m = m;
    d.data = data;
    d.reason = NULL;
    d.seen = d.twice = 0;
    *m = (struct hf_msg){.type = HF_MSG_NONE};
    /* A message of the server's may carry payloads two levels down: history has an array of data. */
    if (!scan_message(&d, &s, from_server ? HF_JSON_DEPTH_MAX + 2 : HF_JSON_DEPTH_MAX))
        d.reason = s.fault;
    read_message(&d, from_server);
    if (d.reason == NULL)
        return 0;
    *reason = d.reason;
    return HF_EBADMSG;
}
