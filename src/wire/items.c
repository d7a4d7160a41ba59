#include "wire/items.h"

#include "base/assert.h"
#include "wire/binary.h"
#include "wire/json.h"
#include "ws/utf8.h"

/* ---- Walking ---- */

bool hf_items_offset(struct hf_items *it, uint64_t *offset)
{
    struct hf_str value;

    if (it->encoding == HF_ENCODING_BINARY)
        return hf_varint_take(&it->rest, offset);
    if (!hf_json_next_element(&it->rest, &value))
        return false;
    if (hf_json_u53(value, offset) < 0)
        *offset = 0; /* null: the decoder has seen to it that it is nothing else. */
    return true;
}

uint64_t hf_items_offsets_left(struct hf_items it)
{
    uint64_t count = 0, offset;

    while (hf_items_offset(&it, &offset))
        count++;
    return count;
}

static bool json_ack(struct hf_items *it, struct hf_items_ack *ack)
{
    struct hf_str key, value;
    int len;

    if (!hf_json_next_member(&it->rest, &key, &value) || hf_json_u53(value, &ack->offset) < 0)
        return false;
    len = hf_json_unquote(key, ack->name, sizeof(ack->name));
    ack->channel = (struct hf_str){ack->name, len < 0 ? 0 : (size_t)len};
    return true;
}

bool hf_items_ack(struct hf_items *it, struct hf_items_ack *ack)
{
    ack->channel = HF_STR("");
    ack->cid = 0;
    if (it->encoding == HF_ENCODING_JSON)
        return json_ack(it, ack);
    return hf_varint_take(&it->rest, &ack->cid) && hf_varint_take(&it->rest, &ack->offset);
}

/* A text of the binary form. */
static bool take_text(struct hf_str *rest, struct hf_str *text)
{
    uint64_t len;

    if (!hf_varint_take(rest, &len) || len > rest->len)
        return false;
    *text = (struct hf_str){rest->data, len};
    *rest = (struct hf_str){rest->data + len, rest->len - len};
    return hf_utf8_valid((const uint8_t *)text->data, text->len);
}

/* The next element of a list whose elements may grow, and its flags. Returns 1, 0 at the end, HF_EBADMSG. */
static int take_element(struct hf_str *rest, struct hf_str *element, uint64_t *flags)
{
    uint64_t len;

    if (rest->len == 0)
        return 0;
    if (!hf_varint_take(rest, &len) || len > rest->len)
        return HF_EBADMSG;
    *element = (struct hf_str){rest->data, len};
    *rest = (struct hf_str){rest->data + len, rest->len - len};
    return hf_varint_take(element, flags) ? 1 : HF_EBADMSG;
}

static int binary_position(struct hf_items *it, struct hf_position *p)
{
    struct hf_str element;
    uint64_t flags;
    int found = take_element(&it->rest, &element, &flags);

    if (found <= 0)
        return found;
    if (!take_text(&element, &p->channel) || !hf_varint_take(&element, &p->cid) ||
        !take_text(&element, &p->epoch) || !hf_varint_take(&element, &p->offset) || p->cid == 0)
        return HF_EBADMSG;
    return 1;
}

static int json_position(struct hf_items *it, struct hf_position *p)
{
    struct hf_json_field fields[] = {
        {.name = HF_STR("channel")}, {.name = HF_STR("epoch")}, {.name = HF_STR("offset")}};
    char *epoch_at = p->scratch + HF_CHANNEL_BYTES_MAX;
    struct hf_str element;
    int channel, epoch;

    if (!hf_json_next_element(&it->rest, &element))
        return 0;
    if (hf_json_fields(element, fields, 3) < 0 || hf_json_kind(fields[0].value) != HF_JSON_STRING ||
        hf_json_kind(fields[1].value) != HF_JSON_STRING || hf_json_u53(fields[2].value, &p->offset) < 0)
        return HF_EBADMSG;
    channel = hf_json_unquote(fields[0].value, p->scratch, HF_CHANNEL_BYTES_MAX);
    epoch = hf_json_unquote(fields[1].value, epoch_at, HF_LABEL_BYTES_MAX);
    if (channel < 0 || epoch < 0)
        return HF_EBADMSG;
    p->channel = (struct hf_str){p->scratch, (size_t)channel};
    p->epoch = (struct hf_str){epoch_at, (size_t)epoch};
    p->cid = 0;
    return 1;
}

int hf_items_position(struct hf_items *it, struct hf_position *position)
{
    int found =
        it->encoding == HF_ENCODING_BINARY ? binary_position(it, position) : json_position(it, position);

    if (found == 1 && (!hf_channel_name_valid(position->channel) || position->epoch.len > HF_LABEL_BYTES_MAX))
        return HF_EBADMSG;
    return found;
}

static int binary_refusal(struct hf_items *it, struct hf_items_refusal *r)
{
    struct hf_str element;
    uint64_t flags;
    int found = take_element(&it->rest, &element, &flags);

    if (found <= 0)
        return found;
    return hf_varint_take(&element, &r->seq) && take_text(&element, &r->code) &&
                   take_text(&element, &r->reason)
               ? 1
               : HF_EBADMSG;
}

static int json_refusal(struct hf_items *it, struct hf_items_refusal *r)
{
    struct hf_json_field fields[] = {
        {.name = HF_STR("seq")}, {.name = HF_STR("code")}, {.name = HF_STR("reason")}};
    char *reason_at = r->scratch + HF_LABEL_BYTES_MAX;
    struct hf_str element;
    int code, reason;

    if (!hf_json_next_element(&it->rest, &element))
        return 0;
    if (hf_json_fields(element, fields, 3) < 0 || hf_json_u53(fields[0].value, &r->seq) < 0 ||
        hf_json_kind(fields[1].value) != HF_JSON_STRING || hf_json_kind(fields[2].value) != HF_JSON_STRING)
        return HF_EBADMSG;
    code = hf_json_unquote(fields[1].value, r->scratch, HF_LABEL_BYTES_MAX);
    reason = hf_json_unquote(fields[2].value, reason_at, HF_LABEL_BYTES_MAX);
    if (code < 0 || reason == HF_EBADMSG)
        return HF_EBADMSG;
    r->code = (struct hf_str){r->scratch, (size_t)code};
    r->reason = (struct hf_str){reason_at, reason < 0 ? 0 : (size_t)reason};
    return 1;
}

int hf_items_refusal(struct hf_items *it, struct hf_items_refusal *refusal)
{
    return it->encoding == HF_ENCODING_BINARY ? binary_refusal(it, refusal) : json_refusal(it, refusal);
}

/* "messages: a run of records, as in a WebSocket message" */
static int binary_message(struct hf_items *it, struct hf_msg *m)
{
    struct hf_binary_reader reader = {.rest = it->rest, .begun = true};
    struct hf_binary_record record;
    enum hf_binary_fault fault;
    int found = hf_binary_next(&reader, &record, &fault);

    it->rest = reader.rest;
    if (found <= 0)
        return found;
    return record.type == HF_MSG_DATA && hf_binary_decode(m, &record, true, &fault) == 0 ? 1 : HF_EBADMSG;
}

static int json_message(struct hf_items *it, struct hf_msg *m)
{
    const char *reason;
    struct hf_str element;

    if (!hf_json_next_element(&it->rest, &element))
        return 0;
    /* The element lies in the bytes of the message, which belong to the receiver. */
    if (hf_json_decode(m, (char *)(uintptr_t)element.data, element.len, true, &reason) < 0)
        return HF_EBADMSG;
    return m->type == HF_MSG_DATA ? 1 : HF_EBADMSG;
}

int hf_items_message(struct hf_items *it, struct hf_msg *m)
{
    return it->encoding == HF_ENCODING_BINARY ? binary_message(it, m) : json_message(it, m);
}

static int binary_member(struct hf_items *it, struct hf_items_member *member)
{
    const char *reason;
    struct hf_str element;
    uint64_t flags;
    int found = take_element(&it->rest, &element, &flags);

    if (found <= 0)
        return found;
    if (!take_text(&element, &member->session) || !take_text(&element, &member->user))
        return HF_EBADMSG;
    member->info = (struct hf_str){NULL, 0};
    if ((flags & 1) == 0)
        return 1;
    if (!take_text(&element, &member->info) || hf_json_check(member->info, false, &member->info, &reason) < 0)
        return HF_EBADMSG;
    return 1;
}

/* A string, unescaped in its place. */
static bool unquote_in_place(struct hf_str raw, struct hf_str *out)
{
    char *place = (char *)(uintptr_t)raw.data + 1;
    int len;

    if (hf_json_kind(raw) != HF_JSON_STRING)
        return false;
    len = hf_json_unquote(raw, place, raw.len - 2);
    *out = (struct hf_str){place, len < 0 ? 0 : (size_t)len};
    return len >= 0;
}

static int json_member(struct hf_items *it, struct hf_items_member *member)
{
    struct hf_json_field fields[] = {{.name = HF_STR("session")}, {.name = HF_STR("user")}};
    struct hf_str element, rest, key, value;

    if (!hf_json_next_element(&it->rest, &element))
        return 0;
    if (hf_json_fields(element, fields, 2) < 0)
        return HF_EBADMSG;
    member->info = (struct hf_str){NULL, 0};
    for (rest = element; hf_json_next_member(&rest, &key, &value);)
        if (hf_json_name_is(key, HF_STR("info")) && hf_json_kind(value) != HF_JSON_NULL)
            member->info = value;
    return unquote_in_place(fields[0].value, &member->session) &&
                   unquote_in_place(fields[1].value, &member->user)
               ? 1
               : HF_EBADMSG;
}

int hf_items_member(struct hf_items *it, struct hf_items_member *member)
{
    return it->encoding == HF_ENCODING_BINARY ? binary_member(it, member) : json_member(it, member);
}

/* ---- Making ---- */

void hf_items_begin(struct hf_buf *out, enum hf_encoding encoding, enum hf_items_kind kind)
{
    if (encoding == HF_ENCODING_JSON)
        hf_buf_puts(out, kind == HF_ITEMS_ARRAY ? "[" : "{");
    else
        (void)hf_buf_reserve(out, 1); /* So that an empty list is one, too: its data is not NULL. */
}

void hf_items_end(struct hf_buf *out, enum hf_encoding encoding, enum hf_items_kind kind)
{
    if (encoding == HF_ENCODING_JSON)
        hf_buf_puts(out, kind == HF_ITEMS_ARRAY ? "]" : "}");
}

void hf_items_separate(struct hf_buf *out, enum hf_encoding encoding)
{
    uint8_t last = out->len == 0 ? '[' : out->data[out->len - 1];

    if (encoding == HF_ENCODING_JSON && last != '[' && last != '{') /* No value ends with one of these. */
        hf_buf_puts(out, ",");
}

static void put_varint(struct hf_buf *out, uint64_t n)
{
    uint8_t *at = hf_buf_reserve(out, HF_VARINT_BYTES_MAX);

    if (at != NULL)
        hf_buf_commit(out, hf_varint_put(at, n));
}

static void put_text(struct hf_buf *out, struct hf_str text)
{
    put_varint(out, text.len);
    hf_buf_put_str(out, text);
}

static size_t text_bytes(struct hf_str text)
{
    return hf_varint_bytes(text.len) + text.len;
}

void hf_items_put_offset(struct hf_buf *out, enum hf_encoding encoding, uint64_t offset)
{
    hf_items_separate(out, encoding);
    if (encoding == HF_ENCODING_BINARY)
        put_varint(out, offset);
    else if (offset == 0)
        hf_buf_puts(out, "null");
    else
        hf_buf_put_u64(out, offset);
}

void hf_items_put_ack(struct hf_buf *out, enum hf_encoding encoding, struct hf_str channel, uint64_t cid,
                      uint64_t offset)
{
    hf_items_separate(out, encoding);
    if (encoding == HF_ENCODING_BINARY) {
        hf_assert(cid != 0);
        put_varint(out, cid);
        put_varint(out, offset);
    } else {
        hf_json_put_string(out, channel);
        hf_buf_puts(out, ":");
        hf_buf_put_u64(out, offset);
    }
}

void hf_items_put_position(struct hf_buf *out, enum hf_encoding encoding, const struct hf_position *p)
{
    hf_items_separate(out, encoding);
    if (encoding == HF_ENCODING_BINARY) {
        hf_assert(p->cid != 0);
        put_varint(out, 1 + text_bytes(p->channel) + hf_varint_bytes(p->cid) + text_bytes(p->epoch) +
                            hf_varint_bytes(p->offset));
        put_varint(out, 0); /* flags */
        put_text(out, p->channel);
        put_varint(out, p->cid);
        put_text(out, p->epoch);
        put_varint(out, p->offset);
    } else {
        hf_buf_puts(out, "{\"channel\":");
        hf_json_put_string(out, p->channel);
        hf_buf_puts(out, ",\"epoch\":");
        hf_json_put_string(out, p->epoch);
        hf_buf_puts(out, ",\"offset\":");
        hf_buf_put_u64(out, p->offset);
        hf_buf_puts(out, "}");
    }
}

void hf_items_put_refusal(struct hf_buf *out, enum hf_encoding encoding, const struct hf_items_refusal *r)
{
    hf_items_separate(out, encoding);
    if (encoding == HF_ENCODING_BINARY) {
        put_varint(out, 1 + hf_varint_bytes(r->seq) + text_bytes(r->code) + text_bytes(r->reason));
        put_varint(out, 0); /* flags */
        put_varint(out, r->seq);
        put_text(out, r->code);
        put_text(out, r->reason);
    } else {
        hf_buf_puts(out, "{\"seq\":");
        hf_buf_put_u64(out, r->seq);
        hf_buf_puts(out, ",\"code\":");
        hf_json_put_string(out, r->code);
        hf_buf_puts(out, ",\"reason\":");
        hf_json_put_string(out, r->reason);
        hf_buf_puts(out, "}");
    }
}

void hf_items_put_member(struct hf_buf *out, enum hf_encoding encoding, const struct hf_items_member *m)
{
    bool info = m->info.data != NULL;

    hf_items_separate(out, encoding);
    if (encoding == HF_ENCODING_BINARY) {
        put_varint(out, 1 + text_bytes(m->session) + text_bytes(m->user) + (info ? text_bytes(m->info) : 0));
        put_varint(out, info); /* flags */
        put_text(out, m->session);
        put_text(out, m->user);
        if (info)
            put_text(out, m->info);
    } else {
        hf_buf_puts(out, "{\"session\":");
        hf_json_put_string(out, m->session);
        hf_buf_puts(out, ",\"user\":");
        hf_json_put_string(out, m->user);
        if (info) {
            hf_buf_puts(out, ",\"info\":");
            hf_buf_put_str(out, m->info);
        }
        hf_buf_puts(out, "}");
    }
}

void hf_items_put_message(struct hf_buf *out, enum hf_encoding encoding, const struct hf_msg *m)
{
    hf_items_separate(out, encoding);
    if (encoding == HF_ENCODING_BINARY)
        (void)hf_binary_encode(out, m);
    else
        (void)hf_json_put_data(out, m);
}
