/*
 * Decoding walks the same tables as encoding. Two kinds of faults: one that ends the reading, because where the next field begins is not
 * known, and one of a value, after which the rest is still read, so that a publish with a readable seq can be refused by it.
 */
#include "wire/binary.h"
#include "wire/binary_parts.h"
#include "wire/items.h"
#include "wire/json.h"
#include "ws/utf8.h"

struct decoder {
    struct hf_msg *m;
    struct hf_str rest;
    bool from_server;
    enum hf_binary_fault fault; /* the first, or OK */
    bool broken;                /* nothing behind this place can be read */
};

/* ---- Records ---- */

void hf_binary_reader_init(struct hf_binary_reader *r, const void *data, size_t len)
{
    *r = (struct hf_binary_reader){.rest = {data, len}};
}

/* Take n bytes from the front. */
static struct hf_str split(struct hf_str *rest, size_t n)
{
    struct hf_str front = {rest->data, n};

    *rest = (struct hf_str){rest->data + n, rest->len - n};
    return front;
}

/* One record, known or not; its fault, or OK. */
static enum hf_binary_fault take_record(struct hf_str *rest, uint8_t *type, struct hf_str *body)
{
    uint64_t len;

    *type = (uint8_t)split(rest, 1).data[0];
    if ((*type & 0x80) != 0)
        return HF_BINARY_RESERVED;
    if (!hf_varint_take(rest, &len))
        return HF_BINARY_LENGTH;
    if (len > rest->len)
        return HF_BINARY_BEYOND;
    *body = split(rest, len);
    return HF_BINARY_OK;
}

static int framing_broken(struct hf_binary_reader *r, enum hf_binary_fault why, enum hf_binary_fault *fault)
{
    r->begun = true;
    r->rest.len = 0;
    *fault = why;
    return HF_EBADMSG;
}

int hf_binary_next(struct hf_binary_reader *r, struct hf_binary_record *record, enum hf_binary_fault *fault)
{
    enum hf_binary_fault why;
    uint8_t type;

    if (!r->begun && r->rest.len == 0)
        return framing_broken(r, HF_BINARY_EMPTY, fault);
    r->begun = true;
    while (r->rest.len > 0) {
        why = take_record(&r->rest, &type, &record->body);
        if (why != HF_BINARY_OK)
            return framing_broken(r, why, fault);
        record->type = (enum hf_msg_type)type;
        if (type != HF_MSG_NONE && type < HF_MSG_TYPES)
            return 1;
    }
    return 0;
}

/* ---- Fields ---- */

static void fault(struct decoder *d, enum hf_binary_fault why)
{
    if (d->fault == HF_BINARY_OK)
        d->fault = why;
}

static void broken(struct decoder *d, enum hf_binary_fault why)
{
    fault(d, why);
    d->broken = true;
}

static bool take_number(struct decoder *d, uint64_t *out)
{
    if (d->broken)
        return false;
    if (hf_varint_take(&d->rest, out))
        return true;
    /* A varint that the body's end cuts, or one that is none. */
    for (size_t i = 0; i < d->rest.len && i < HF_VARINT_BYTES_MAX; i++)
        if ((d->rest.data[i] & 0x80) == 0 || i == HF_VARINT_BYTES_MAX - 1)
            return broken(d, HF_BINARY_VARINT), false;
    broken(d, HF_BINARY_SHORT);
    return false;
}

static bool take_bytes(struct decoder *d, struct hf_str *out)
{
    uint64_t len;

    if (!take_number(d, &len))
        return false;
    if (len > d->rest.len) {
        broken(d, HF_BINARY_SHORT);
        return false;
    }
    *out = split(&d->rest, len);
    return true;
}

/* A value that is read, and no good. */
static bool refuse(struct decoder *d, enum hf_binary_fault why)
{
    fault(d, why);
    return false;
}

static bool take_text(struct decoder *d, struct hf_str *out)
{
    struct hf_str text;

    if (!take_bytes(d, &text))
        return false;
    if (!hf_utf8_valid((const uint8_t *)text.data, text.len))
        return refuse(d, HF_BINARY_UTF8);
    *out = text;
    return true;
}

static bool take_label(struct decoder *d, struct hf_str *out)
{
    struct hf_str label;

    if (!take_text(d, &label))
        return false;
    if (label.len > HF_LABEL_BYTES_MAX)
        return refuse(d, HF_BINARY_LABEL);
    *out = label;
    return true;
}

static bool take_channel(struct decoder *d, struct hf_str *out)
{
    struct hf_str name;

    if (!take_bytes(d, &name))
        return false;
    if (!hf_channel_name_valid(name))
        return refuse(d, HF_BINARY_CHANNEL);
    *out = name;
    return true;
}

static bool take_cid(struct decoder *d)
{
    uint64_t cid;

    if (!take_number(d, &cid))
        return false;
    /* A server's history of a channel that there is not has none. */
    if (cid == 0 && !(d->from_server && d->m->type == HF_MSG_HISTORY))
        return refuse(d, HF_BINARY_CID);
    d->m->cid = cid;
    return true;
}

static bool take_choice(struct decoder *d, bool *out)
{
    uint64_t n;

    if (!take_number(d, &n))
        return false;
    if (n > 1)
        return refuse(d, HF_BINARY_CHOICE);
    *out = n != 0;
    return true;
}

static bool take_json(struct decoder *d, enum hf_binary_fault why, struct hf_str *out)
{
    const char *reason;
    struct hf_str text;

    if (!take_bytes(d, &text))
        return false;
    return hf_json_check(text, true, out, &reason) == 0 || refuse(d, why);
}

/* A number that stands for a name; 0: the name follows. */
static bool take_numbered(struct decoder *d, const char *(*name_of)(unsigned), struct hf_str *out)
{
    uint64_t n;

    if (!take_number(d, &n))
        return false;
    if (n == 0)
        return take_text(d, out);
    *out = hf_str_from(name_of(n <= UINT8_MAX ? (unsigned)n : UINT8_MAX));
    if (out->len == 0) /* A later version's. */
        *out = HF_STR("unknown");
    return true;
}

static const char *code_name(unsigned n)
{
    return hf_code_name((enum hf_code)n);
}

static const char *type_name(unsigned n)
{
    return hf_msg_name((enum hf_msg_type)n);
}

static bool take_mode(struct decoder *d)
{
    bool latest = false;

    if (!take_choice(d, &latest))
        return false;
    d->m->mode = latest ? HF_MODE_LATEST : HF_MODE_ALL;
    return true;
}

static bool take_since(struct decoder *d)
{
    bool label = take_label(d, &d->m->epoch);

    return take_number(d, &d->m->since_offset) && label;
}

static bool take_heartbeat(struct decoder *d)
{
    return take_number(d, &d->m->interval_ms) && take_number(d, &d->m->heartbeat_min_ms) &&
           take_number(d, &d->m->heartbeat_max_ms);
}

static bool take_window(struct decoder *d)
{
    if (!take_number(d, &d->m->after_min_ms) || !take_number(d, &d->m->after_max_ms))
        return false;
    return d->m->after_min_ms <= d->m->after_max_ms || refuse(d, HF_BINARY_WINDOW);
}

/* Lists of bare numbers, `together` of them an element: offsets one, acks two (cid, offset). */
static bool take_numbers(struct decoder *d, unsigned together, struct hf_str *out)
{
    struct hf_str rest;
    uint64_t n;
    size_t count = 0;

    if (!take_bytes(d, out))
        return false;
    for (rest = *out; rest.len > 0; count++)
        if (!hf_varint_take(&rest, &n))
            return refuse(d, HF_BINARY_LIST);
    return count % together == 0 || refuse(d, HF_BINARY_LIST);
}

static bool take_field(struct decoder *d, enum hf_member_id id)
{
    const struct hf_member *member = &hf_members[id];
    void *field = (char *)d->m + member->field;

    switch (id) {
    case HF_MEMBER_CODE:
        return take_numbered(d, code_name, field);
    case HF_MEMBER_RE:
        return take_numbered(d, type_name, field);
    case HF_MEMBER_CID:
        return take_cid(d);
    default:
        break;
    }
    switch (member->kind) {
    case HF_KIND_STRING:
        return take_text(d, field);
    case HF_KIND_LABEL:
        return take_label(d, field);
    case HF_KIND_CHANNEL:
        return take_channel(d, field);
    case HF_KIND_NUMBER:
        return take_number(d, field);
    case HF_KIND_BOOL:
        return take_choice(d, field);
    case HF_KIND_VALUE:
        return d->m->payload_raw ? take_bytes(d, field) : take_json(d, HF_BINARY_PAYLOAD, field);
    case HF_KIND_INFO:
        return take_json(d, HF_BINARY_INFO, field);
    case HF_KIND_ARRAY:
        return take_bytes(d, field);
    case HF_KIND_OFFSETS:
        return take_numbers(d, 1, field);
    case HF_KIND_ACKS:
        return take_numbers(d, 2, field);
    case HF_KIND_SINCE:
        return take_since(d);
    case HF_KIND_MODE:
        return take_mode(d);
    case HF_KIND_HEARTBEAT:
        return take_heartbeat(d);
    case HF_KIND_WINDOW:
        return take_window(d);
    }
    return false;
}

/* One part of the table; `set`: its bit in the flags. */
static void take_part(struct decoder *d, uint8_t part, bool set)
{
    enum hf_member_id id = (enum hf_member_id)(part & HF_BINARY_PART_MEMBER);
    uint8_t rule = part & HF_BINARY_PART_RULE;
    const struct hf_member *member;

    if (rule == HF_BINARY_NAMED)
        id = set ? HF_MEMBER_CID : HF_MEMBER_CHANNEL;
    else if (rule == HF_BINARY_MAYBE && !set)
        return;
    member = &hf_members[id];
    if (member->kind == HF_KIND_BOOL && member->has == 0)
        *(bool *)((char *)d->m + member->field) = true;
    else if (take_field(d, id))
        d->m->has |= member->has;
}

/* What is needed in one of two forms. */
static bool gives_neither(const struct decoder *d)
{
    uint32_t has = d->m->has;

    switch (d->m->type) {
    case HF_MSG_ACK:
        return (has & (d->from_server ? HF_HAS_SEQ | HF_HAS_ID : HF_HAS_OFFSET | HF_HAS_ACK_ID)) == 0;
    case HF_MSG_REPLY:
        return (has & HF_HAS_PAYLOAD) == 0 && (~has & (HF_HAS_CODE | HF_HAS_REASON)) != 0;
    default:
        return false;
    }
}

static void take_body(struct decoder *d, const uint8_t *parts)
{
    uint64_t flags = 0;

    if (d->rest.len > 0 && !take_number(d, &flags))
        return;
    for (; *parts != HF_BINARY_PARTS_END && !d->broken; parts++) {
        take_part(d, *parts, (flags & 1) != 0);
        if ((*parts & HF_BINARY_PART_RULE) != HF_BINARY_ALWAYS)
            flags >>= 1;
    }
    if (d->fault == HF_BINARY_OK && gives_neither(d))
        fault(d, HF_BINARY_NEITHER);
}

int hf_binary_decode(struct hf_msg *m, const struct hf_binary_record *record, bool from_server,
                     enum hf_binary_fault *fault_out)
{
    struct decoder d = {.m = m, .rest = record->body, .from_server = from_server};
    const uint8_t *parts = hf_binary_parts(record->type, from_server);

    *m = (struct hf_msg){.type = record->type, .encoding = HF_ENCODING_BINARY};
    if (parts == NULL)
        fault(&d, HF_BINARY_DIRECTION);
    else
        take_body(&d, parts);
    if (d.fault == HF_BINARY_OK)
        return 0;
    *fault_out = d.fault;
    return HF_EBADMSG;
}
