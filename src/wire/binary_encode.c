/*
 * Encoding in two passes over the same code: the first only counts, so that a record's length can stand before its body.
 */
#include "base/assert.h"
#include "wire/binary.h"
#include "wire/binary_parts.h"
#include "ws/frame.h"

/* at is NULL while counting. */
struct writer {
    uint8_t *at;
    size_t len;
};

static void put_bytes(struct writer *w, const void *data, size_t n)
{
    if (w->at != NULL && n > 0)
        memcpy(w->at + w->len, data, n);
    w->len += n;
}

static void put_varint(struct writer *w, uint64_t n)
{
    if (w->at != NULL)
        w->len += hf_varint_put(w->at + w->len, n);
    else
        w->len += hf_varint_bytes(n);
}

static void put_text(struct writer *w, struct hf_str s)
{
    put_varint(w, s.len);
    put_bytes(w, s.data, s.len);
}

/* A name that has a number is its number; any other is 0 and the name. */
static void put_numbered(struct writer *w, unsigned number, struct hf_str name)
{
    put_varint(w, number);
    if (number == 0)
        put_text(w, name);
}

/* A member whose coding is told by what it is, and not by its kind in JSON. Returns false where there is no such coding. */
static bool put_special(struct writer *w, const struct hf_msg *m, enum hf_member_id id)
{
    switch (id) {
    case HF_MEMBER_CODE:
        put_numbered(w, hf_code_from(m->code), m->code);
        return true;
    case HF_MEMBER_RE:
        put_numbered(w, hf_msg_type(m->re), m->re);
        return true;
    case HF_MEMBER_SINCE:
        put_text(w, m->epoch);
        put_varint(w, m->since_offset);
        return true;
    case HF_MEMBER_MODE:
        put_varint(w, m->mode == HF_MODE_LATEST);
        return true;
    case HF_MEMBER_HEARTBEAT:
        put_varint(w, m->interval_ms);
        put_varint(w, m->heartbeat_min_ms);
        put_varint(w, m->heartbeat_max_ms);
        return true;
    case HF_MEMBER_AFTER:
        put_varint(w, m->after_min_ms);
        put_varint(w, m->after_max_ms);
        return true;
    default:
        return false;
    }
}

static void put_field(struct writer *w, const struct hf_msg *m, enum hf_member_id id)
{
    const struct hf_member *member = &hf_members[id];
    const void *field = (const char *)m + member->field;

    if (put_special(w, m, id))
        return;
    if (member->kind == HF_KIND_NUMBER)
        put_varint(w, *(const uint64_t *)field);
    else if (member->kind == HF_KIND_BOOL)
        put_varint(w, *(const bool *)field);
    else
        put_text(w, *(const struct hf_str *)field);
}

/* A member that is nothing but its bit in the flags. */
static bool is_bare(const struct hf_member *member)
{
    return member->kind == HF_KIND_BOOL && member->has == 0;
}

static bool flag_of(const struct hf_msg *m, uint8_t part)
{
    const struct hf_member *member = &hf_members[part & HF_BINARY_PART_MEMBER];

    if ((part & HF_BINARY_PART_RULE) == HF_BINARY_NAMED)
        return m->cid != 0;
    if (is_bare(member))
        return *(const bool *)((const char *)m + member->field);
    if (member->has == 0) /* refusals */
        return ((const struct hf_str *)(const void *)((const char *)m + member->field))->data != NULL;
    return (m->has & member->has) != 0;
}

static uint64_t flags_of(const struct hf_msg *m, const uint8_t *parts)
{
    uint64_t flags = 0, bit = 1;

    for (; *parts != HF_BINARY_PARTS_END; parts++) {
        if ((*parts & HF_BINARY_PART_RULE) == HF_BINARY_ALWAYS)
            continue;
        flags |= flag_of(m, *parts) ? bit : 0;
        bit <<= 1;
    }
    return flags;
}

static void put_part(struct writer *w, const struct hf_msg *m, uint8_t part)
{
    enum hf_member_id id = (enum hf_member_id)(part & HF_BINARY_PART_MEMBER);

    if ((part & HF_BINARY_PART_RULE) == HF_BINARY_NAMED)
        put_field(w, m, m->cid != 0 ? HF_MEMBER_CID : HF_MEMBER_CHANNEL);
    else if ((part & HF_BINARY_PART_RULE) == HF_BINARY_ALWAYS ||
             (!is_bare(&hf_members[id]) && flag_of(m, part)))
        put_field(w, m, id);
}

static void put_body(struct writer *w, const struct hf_msg *m, const uint8_t *parts)
{
    uint64_t flags = flags_of(m, parts);
    size_t before = w->len;

    put_varint(w, flags);
    for (; *parts != HF_BINARY_PARTS_END; parts++)
        put_part(w, m, *parts);
    /* "A body without a field, whose flags are 0, is empty." */
    if (w->len == before + 1 && flags == 0)
        w->len = before;
}

static int buf_error(const struct hf_buf *b)
{
    return b->no_memory ? HF_ENOMEM : HF_ELIMIT;
}

/* ---- A server's data ---- */

/* Its body up to the payload's bytes. */
static void put_data_fields(struct writer *w, const struct hf_msg *m)
{
    bool id = (m->has & HF_HAS_ID) != 0, from = (m->has & HF_HAS_FROM) != 0;

    put_varint(w, (unsigned)id | (unsigned)from << 1 | (unsigned)m->payload_raw << 2);
    put_varint(w, m->cid);
    put_varint(w, m->offset);
    put_varint(w, m->timestamp);
    if (id)
        put_text(w, m->id);
    if (from)
        put_text(w, m->from_user);
    put_varint(w, m->payload.len);
}

static void put_data_head(struct writer *w, const struct hf_msg *m, size_t body_bytes, bool with_frame)
{
    uint8_t header[HF_WS_HEADER_MAX];

    if (with_frame) {
        size_t record_bytes = 1 + hf_varint_bytes(body_bytes) + body_bytes;

        put_bytes(w, header, hf_ws_header(header, HF_WS_BINARY, record_bytes, NULL));
    }
    put_varint(w, HF_MSG_DATA);
    put_varint(w, body_bytes);
    put_data_fields(w, m);
}

size_t hf_binary_data_head_bytes(const struct hf_msg *m, bool with_frame)
{
    struct writer fields = {NULL, 0}, head = {NULL, 0};

    put_data_fields(&fields, m);
    put_data_head(&head, m, fields.len + m->payload.len, with_frame);
    return head.len;
}

int hf_binary_put_data_head(struct hf_buf *out, const struct hf_msg *m, bool with_frame)
{
    struct writer fields = {NULL, 0}, head = {NULL, 0};

    hf_assert(m->cid != 0);
    put_data_fields(&fields, m);
    head.at = hf_buf_reserve(out, HF_WS_HEADER_MAX + 1 + HF_VARINT_BYTES_MAX + fields.len);
    if (head.at == NULL)
        return buf_error(out);
    put_data_head(&head, m, fields.len + m->payload.len, with_frame);
    hf_buf_commit(out, head.len);
    return 0;
}

/* ---- Any message ---- */

/* What the callers of hf_binary_encode must see to. */
static void check_encodable(const struct hf_msg *m, const uint8_t *parts)
{
    const uint32_t lists = HF_HAS_OFFSETS | HF_HAS_ACKS | HF_HAS_MESSAGES | HF_HAS_CHANNELS | HF_HAS_MEMBERS;

    hf_assert(parts != NULL);
    hf_assert(((m->has & lists) == 0 && m->refusals.data == NULL) || m->encoding == HF_ENCODING_BINARY);
    hf_assert((m->has & HF_HAS_PAYLOAD64) == 0); /* Bytes go as they are, with payload_raw. */
}

int hf_binary_encode(struct hf_buf *out, const struct hf_msg *m)
{
    const uint8_t *parts = hf_binary_parts(m->type, hf_msg_is_from_server(m));
    struct writer counted = {NULL, 0}, w = {NULL, 0};
    size_t bytes;

    check_encodable(m, parts);
    put_body(&counted, m, parts);
    bytes = 1 + hf_varint_bytes(counted.len) + counted.len;
    w.at = hf_buf_reserve(out, bytes);
    if (w.at == NULL)
        return buf_error(out);
    put_varint(&w, (uint64_t)m->type);
    put_varint(&w, counted.len);
    if (counted.len > 0)
        put_body(&w, m, parts);
    hf_buf_commit(out, bytes);
    return 0;
}
