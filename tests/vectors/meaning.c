#include "meaning.h"

#include "base/assert.h"
#include "base/base64.h"
#include "wire/binary.h"
#include "wire/binary_parts.h"
#include "wire/items.h"

#include <stdlib.h>

/* ---- From a message ---- */

static json_t *text_of(struct hf_str s)
{
    json_t *text = json_stringn(s.data, s.len);

    hf_assert(text != NULL);
    return text;
}

static json_t *base64_of(struct hf_str bytes)
{
    char *text = malloc(hf_base64_chars(bytes.len) + 1);
    json_t *value;

    hf_assert(text != NULL);
    hf_base64_encode(text, bytes.data, bytes.len);
    value = json_stringn(text, hf_base64_chars(bytes.len));
    free(text);
    return value;
}

static json_t *number_of(uint64_t n)
{
    return json_integer((json_int_t)n);
}

static json_t *offsets_of(const struct hf_msg *m)
{
    struct hf_items it = hf_items(m, m->offsets);
    json_t *list = json_array();
    uint64_t offset;

    while (hf_items_offset(&it, &offset))
        json_array_append_new(list, offset == 0 ? json_null() : number_of(offset));
    return list;
}

static json_t *acks_of(const struct hf_msg *m)
{
    struct hf_items it = hf_items(m, m->acks);
    json_t *list = json_array();
    struct hf_items_ack ack;

    while (hf_items_ack(&it, &ack))
        json_array_append_new(
            list, json_pack("{sIsI}", "cid", (json_int_t)ack.cid, "offset", (json_int_t)ack.offset));
    return list;
}

/* An array to which an element could not be appended is no array. */
static json_t *whole(json_t *list, int found)
{
    if (found == 0)
        return list;
    json_decref(list);
    return NULL;
}

static json_t *channels_of(const struct hf_msg *m)
{
    struct hf_items it = hf_items(m, m->channels);
    json_t *list = json_array();
    struct hf_position p;
    int found;

    while ((found = hf_items_position(&it, &p)) == 1)
        json_array_append_new(list,
                              json_pack("{sosIsosI}", "channel", text_of(p.channel), "cid", (json_int_t)p.cid,
                                        "epoch", text_of(p.epoch), "offset", (json_int_t)p.offset));
    return whole(list, found);
}

static json_t *refusals_of(const struct hf_msg *m)
{
    struct hf_items it = hf_items(m, m->refusals);
    json_t *list = json_array();
    struct hf_items_refusal r;
    int found;

    while ((found = hf_items_refusal(&it, &r)) == 1)
        json_array_append_new(list, json_pack("{sIsoso}", "seq", (json_int_t)r.seq, "code", text_of(r.code),
                                              "reason", text_of(r.reason)));
    return whole(list, found);
}

static json_t *members_of(const struct hf_msg *m)
{
    struct hf_items it = hf_items(m, m->members);
    json_t *list = json_array(), *object;
    struct hf_items_member member;
    int found;

    while ((found = hf_items_member(&it, &member)) == 1) {
        object = json_pack("{soso}", "session", text_of(member.session), "user", text_of(member.user));
        if (member.info.data != NULL)
            json_object_set_new(object, "infoText", text_of(member.info));
        json_array_append_new(list, object);
    }
    return whole(list, found);
}

static json_t *messages_of(const struct hf_msg *m)
{
    struct hf_items it = hf_items(m, m->messages);
    json_t *list = json_array();
    struct hf_msg data;
    int found;

    while ((found = hf_items_message(&it, &data)) == 1)
        json_array_append_new(list, meaning_of(&data, true));
    return whole(list, found);
}

static json_t *since_of(const struct hf_msg *m)
{
    return json_pack("{sosI}", "epoch", text_of(m->epoch), "offset", (json_int_t)m->since_offset);
}

static json_t *heartbeat_of(const struct hf_msg *m)
{
    return json_pack("{sIsIsI}", "interval", (json_int_t)m->interval_ms, "min",
                     (json_int_t)m->heartbeat_min_ms, "max", (json_int_t)m->heartbeat_max_ms);
}

static json_t *value_of(const struct hf_msg *m, const struct hf_member *member)
{
    const void *field = (const char *)m + member->field;

    switch (member->kind) {
    case HF_KIND_STRING:
    case HF_KIND_LABEL:
    case HF_KIND_CHANNEL:
    case HF_KIND_INFO:
        return text_of(*(const struct hf_str *)field);
    case HF_KIND_VALUE:
        return m->payload_raw ? base64_of(m->payload) : text_of(m->payload);
    case HF_KIND_NUMBER:
        return number_of(*(const uint64_t *)field);
    case HF_KIND_BOOL:
        return json_boolean(*(const bool *)field);
    case HF_KIND_ARRAY:
        return field == &m->channels   ? channels_of(m)
               : field == &m->refusals ? refusals_of(m)
               : field == &m->members  ? members_of(m)
                                       : messages_of(m);
    case HF_KIND_OFFSETS:
        return offsets_of(m);
    case HF_KIND_ACKS:
        return acks_of(m);
    case HF_KIND_SINCE:
        return since_of(m);
    case HF_KIND_MODE:
        return json_string(m->mode == HF_MODE_LATEST ? "latest" : "all");
    case HF_KIND_HEARTBEAT:
        return heartbeat_of(m);
    case HF_KIND_WINDOW:
        return json_pack("[II]", (json_int_t)m->after_min_ms, (json_int_t)m->after_max_ms);
    }
    return NULL;
}

/* The name in a meaning. */
static const char *name_in_meaning(const struct hf_msg *m, enum hf_member_id id)
{
    if (id == HF_MEMBER_PAYLOAD)
        return m->payload_raw ? "payloadBase64" : "payloadText";
    return id == HF_MEMBER_INFO ? "infoText" : hf_members[id].name.data;
}

/* Members that PROTOCOL.md shows as null. */
static bool is_nullable(enum hf_member_id id)
{
    return id == HF_MEMBER_LAST_SEQ || id == HF_MEMBER_FROM_OFFSET || id == HF_MEMBER_TO;
}

/* Returns false where a value cannot be told. */
static bool tell_part(json_t *object, const struct hf_msg *m, uint8_t part)
{
    enum hf_member_id id = (enum hf_member_id)(part & HF_BINARY_PART_MEMBER);
    uint8_t rule = part & HF_BINARY_PART_RULE;
    const struct hf_member *member;
    json_t *value;

    if (rule == HF_BINARY_NAMED && m->cid != 0)
        id = HF_MEMBER_CID;
    member = &hf_members[id];
    if (id == HF_MEMBER_PAYLOAD_RAW || (id == HF_MEMBER_REVERSE && !m->reverse) ||
        (id == HF_MEMBER_REFUSALS && m->refusals.data == NULL))
        return true;
    if (rule == HF_BINARY_MAYBE && member->has != 0 && (m->has & member->has) == 0)
        return !is_nullable(id) || json_object_set_new(object, member->name.data, json_null()) == 0;
    value = value_of(m, member);
    return value != NULL && json_object_set_new(object, name_in_meaning(m, id), value) == 0;
}

json_t *meaning_of(const struct hf_msg *m, bool from_server)
{
    const uint8_t *parts = hf_binary_parts(m->type, from_server);
    json_t *object = json_pack("{ss}", "type", hf_msg_name(m->type));

    for (; *parts != HF_BINARY_PARTS_END; parts++) {
        if (!tell_part(object, m, *parts)) {
            json_decref(object);
            return NULL;
        }
    }
    return object;
}

/* ---- To a message ---- */

void meaning_room_init(struct meaning_room *room)
{
    hf_buf_init(&room->list, 1u << 30);
    hf_buf_init(&room->bytes, 1u << 30);
}

void meaning_room_release(struct meaning_room *room)
{
    hf_buf_release(&room->list);
    hf_buf_release(&room->bytes);
}

static bool read_text(json_t *value, struct hf_str *out)
{
    if (!json_is_string(value))
        return false;
    *out = (struct hf_str){json_string_value(value), json_string_length(value)};
    return true;
}

static bool read_number(json_t *value, uint64_t *out)
{
    if (!json_is_integer(value) || json_integer_value(value) < 0 ||
        (uint64_t)json_integer_value(value) > HF_NUMBER_MAX)
        return false;
    *out = (uint64_t)json_integer_value(value);
    return true;
}

static bool read_offsets(json_t *value, struct hf_buf *list)
{
    uint64_t offset;
    json_t *item;
    size_t i;

    json_array_foreach(value, i, item)
    {
        offset = 0;
        if (!json_is_null(item) && !read_number(item, &offset))
            return false;
        hf_items_put_offset(list, HF_ENCODING_BINARY, offset);
    }
    return json_is_array(value);
}

static bool read_acks(json_t *value, struct hf_buf *list)
{
    uint64_t cid, offset;
    json_t *item;
    size_t i;

    json_array_foreach(value, i, item)
    {
        if (!read_number(json_object_get(item, "cid"), &cid) || cid == 0 ||
            !read_number(json_object_get(item, "offset"), &offset))
            return false;
        hf_items_put_ack(list, HF_ENCODING_BINARY, HF_STR(""), cid, offset);
    }
    return json_is_array(value);
}

static bool read_channels(json_t *value, struct hf_buf *list)
{
    struct hf_position p;
    json_t *item;
    size_t i;

    json_array_foreach(value, i, item)
    {
        if (!read_text(json_object_get(item, "channel"), &p.channel) ||
            !read_text(json_object_get(item, "epoch"), &p.epoch) ||
            !read_number(json_object_get(item, "cid"), &p.cid) || p.cid == 0 ||
            !read_number(json_object_get(item, "offset"), &p.offset))
            return false;
        hf_items_put_position(list, HF_ENCODING_BINARY, &p);
    }
    return json_is_array(value);
}

static bool read_refusals(json_t *value, struct hf_buf *list)
{
    struct hf_items_refusal r;
    json_t *item;
    size_t i;

    json_array_foreach(value, i, item)
    {
        if (!read_number(json_object_get(item, "seq"), &r.seq) ||
            !read_text(json_object_get(item, "code"), &r.code) ||
            !read_text(json_object_get(item, "reason"), &r.reason))
            return false;
        hf_items_put_refusal(list, HF_ENCODING_BINARY, &r);
    }
    return json_is_array(value);
}

static bool read_members(json_t *value, struct hf_buf *list)
{
    struct hf_items_member member;
    json_t *item;
    size_t i;

    json_array_foreach(value, i, item)
    {
        member.info = (struct hf_str){NULL, 0};
        if (!read_text(json_object_get(item, "session"), &member.session) ||
            !read_text(json_object_get(item, "user"), &member.user))
            return false;
        if (json_object_get(item, "infoText") != NULL &&
            !read_text(json_object_get(item, "infoText"), &member.info))
            return false;
        hf_items_put_member(list, HF_ENCODING_BINARY, &member);
    }
    return json_is_array(value);
}

static bool read_messages(json_t *value, struct hf_buf *list)
{
    struct meaning_room room;
    struct hf_msg data;
    json_t *item;
    bool good = true;
    size_t i;

    json_array_foreach(value, i, item)
    {
        meaning_room_init(&room);
        good = good && meaning_read(item, true, &room, &data) == NULL && data.type == HF_MSG_DATA;
        if (good)
            hf_items_put_message(list, HF_ENCODING_BINARY, &data);
        meaning_room_release(&room);
    }
    return good && json_is_array(value);
}

static bool read_since(json_t *value, struct hf_msg *m)
{
    return read_text(json_object_get(value, "epoch"), &m->epoch) &&
           read_number(json_object_get(value, "offset"), &m->since_offset);
}

static bool read_heartbeat(json_t *value, struct hf_msg *m)
{
    return read_number(json_object_get(value, "interval"), &m->interval_ms) &&
           read_number(json_object_get(value, "min"), &m->heartbeat_min_ms) &&
           read_number(json_object_get(value, "max"), &m->heartbeat_max_ms);
}

static bool read_base64(json_t *value, struct hf_buf *bytes, struct hf_str *out)
{
    struct hf_str text;
    uint8_t *at;
    int len;

    if (!read_text(value, &text))
        return false;
    at = hf_buf_reserve(bytes, text.len + 1);
    hf_assert(at != NULL);
    len = hf_base64_decode(text, at);
    *out = (struct hf_str){(char *)at, len < 0 ? 0 : (size_t)len};
    return len >= 0;
}

static bool read_list(json_t *value, const struct hf_member *member, struct hf_msg *m, struct hf_buf *list)
{
    struct hf_str *field = (struct hf_str *)(void *)((char *)m + member->field);
    bool good;

    hf_items_begin(list, HF_ENCODING_BINARY, HF_ITEMS_ARRAY);
    if (member->kind == HF_KIND_OFFSETS)
        good = read_offsets(value, list);
    else if (member->kind == HF_KIND_ACKS)
        good = read_acks(value, list);
    else if (field == &m->channels)
        good = read_channels(value, list);
    else if (field == &m->refusals)
        good = read_refusals(value, list);
    else if (field == &m->members)
        good = read_members(value, list);
    else
        good = read_messages(value, list);
    hf_items_end(list, HF_ENCODING_BINARY, HF_ITEMS_ARRAY);
    *field = hf_buf_str(list);
    return good && !list->failed;
}

static bool read_value(json_t *value, const struct hf_member *member, struct hf_msg *m,
                       struct meaning_room *room)
{
    void *field = (char *)m + member->field;

    switch (member->kind) {
    case HF_KIND_STRING:
    case HF_KIND_LABEL:
    case HF_KIND_CHANNEL:
    case HF_KIND_INFO:
        return read_text(value, field);
    case HF_KIND_VALUE:
        return m->payload_raw ? read_base64(value, &room->bytes, field) : read_text(value, field);
    case HF_KIND_NUMBER:
        return read_number(value, field);
    case HF_KIND_BOOL:
        *(bool *)field = json_is_true(value);
        return json_is_boolean(value);
    case HF_KIND_SINCE:
        return read_since(value, m);
    case HF_KIND_MODE:
        m->mode = strcmp(json_is_string(value) ? json_string_value(value) : "", "latest") == 0
                      ? HF_MODE_LATEST
                      : HF_MODE_ALL;
        return json_is_string(value);
    case HF_KIND_HEARTBEAT:
        return read_heartbeat(value, m);
    case HF_KIND_WINDOW:
        return read_number(json_array_get(value, 0), &m->after_min_ms) &&
               read_number(json_array_get(value, 1), &m->after_max_ms);
    default:
        return read_list(value, member, m, &room->list);
    }
}

/* Returns false where the value has not the member's kind, or is missing. */
static bool read_part(json_t *meaning, uint8_t part, struct hf_msg *m, struct meaning_room *room)
{
    enum hf_member_id id = (enum hf_member_id)(part & HF_BINARY_PART_MEMBER);
    uint8_t rule = part & HF_BINARY_PART_RULE;
    json_t *value;

    if (rule == HF_BINARY_NAMED && json_object_get(meaning, "cid") != NULL)
        id = HF_MEMBER_CID;
    if (id == HF_MEMBER_PAYLOAD_RAW) {
        m->payload_raw = json_object_get(meaning, "payloadBase64") != NULL;
        return true;
    }
    value = json_object_get(meaning, name_in_meaning(m, id));
    if (value == NULL || json_is_null(value))
        return rule == HF_BINARY_MAYBE;
    m->has |= hf_members[id].has;
    return read_value(value, &hf_members[id], m, room);
}

const char *meaning_read(json_t *meaning, bool from_server, struct meaning_room *room, struct hf_msg *m)
{
    struct hf_str name;
    const uint8_t *parts;

    *m = (struct hf_msg){.encoding = HF_ENCODING_BINARY};
    if (!read_text(json_object_get(meaning, "type"), &name))
        return "no type";
    m->type = hf_msg_type(name);
    parts = hf_binary_parts(m->type, from_server);
    if (parts == NULL)
        return "no such type in this direction";
    for (; *parts != HF_BINARY_PARTS_END; parts++)
        if (!read_part(meaning, *parts, m, room))
            return hf_members[*parts & HF_BINARY_PART_MEMBER].wrong;
    return NULL;
}

/* ---- Records ---- */

static json_t *meaning_of_error(const struct hf_msg *m, enum hf_binary_fault fault)
{
    json_t *error = json_pack("{ssss}", "error", hf_binary_fault_key(fault), "type", hf_msg_name(m->type));

    if (m->type == HF_MSG_DATA && (m->has & HF_HAS_SEQ) != 0)
        json_object_set_new(error, "seq", number_of(m->seq));
    if (m->type == HF_MSG_DATA && (m->has & HF_HAS_ID) != 0)
        json_object_set_new(error, "id", text_of(m->id));
    return error;
}

static json_t *meaning_of_record(const struct hf_binary_record *record, bool from_server)
{
    enum hf_binary_fault fault = HF_BINARY_OK;
    struct hf_msg m;
    json_t *meaning;

    if (hf_binary_decode(&m, record, from_server, &fault) < 0)
        return meaning_of_error(&m, fault);
    meaning = meaning_of(&m, from_server);
    if (meaning == NULL) /* An element of its list; the walkers look at those. */
        return meaning_of_error(&m, HF_BINARY_LIST);
    return json_pack("{so}", "message", meaning);
}

json_t *meaning_of_records(const void *data, size_t len, bool from_server)
{
    enum hf_binary_fault fault = HF_BINARY_OK;
    struct hf_binary_reader reader;
    struct hf_binary_record record;
    json_t *list = json_array();
    int found;

    hf_binary_reader_init(&reader, data, len);
    while ((found = hf_binary_next(&reader, &record, &fault)) == 1)
        json_array_append_new(list, meaning_of_record(&record, from_server));
    if (found < 0)
        json_array_append_new(list, json_pack("{ss}", "framing", hf_binary_fault_key(fault)));
    return list;
}

/* ---- Any bytes ---- */

static const char *check_again(const struct hf_msg *m, bool from_server, struct hf_buf *first,
                               struct hf_buf *second)
{
    enum hf_binary_fault fault = HF_BINARY_OK;
    struct hf_binary_reader reader;
    struct hf_binary_record record;
    json_t *meaning, *meaning_again;
    const char *wrong = NULL;
    struct hf_msg again;

    if (hf_binary_encode(first, m) < 0)
        return "what was decoded is not encoded";
    hf_binary_reader_init(&reader, first->data, first->len);
    if (hf_binary_next(&reader, &record, &fault) != 1 || reader.rest.len > 0)
        return "what was encoded is not one record";
    if (hf_binary_decode(&again, &record, from_server, &fault) < 0)
        return "what was encoded is not decoded";
    if (hf_binary_encode(second, &again) < 0 || !hf_str_eq(hf_buf_str(first), hf_buf_str(second)))
        return "encoded to something else the second time";
    meaning = meaning_of(m, from_server);
    meaning_again = meaning_of(&again, from_server);
    if ((meaning == NULL) != (meaning_again == NULL) ||
        (meaning != NULL && !json_equal(meaning, meaning_again)))
        wrong = "decoded to something else the second time";
    json_decref(meaning);
    json_decref(meaning_again);
    return wrong;
}

static const char *check_record(const struct hf_binary_record *record, bool from_server)
{
    enum hf_binary_fault fault = HF_BINARY_OK;
    struct hf_buf first, second;
    struct hf_msg m;
    const char *wrong;

    if (hf_binary_decode(&m, record, from_server, &fault) < 0)
        return fault == HF_BINARY_OK ? "refused without a fault" : NULL;
    hf_buf_init(&first, 1u << 24);
    hf_buf_init(&second, 1u << 24);
    wrong = check_again(&m, from_server, &first, &second);
    hf_buf_release(&first);
    hf_buf_release(&second);
    return wrong;
}

const char *meaning_check(const void *data, size_t len, bool from_server)
{
    enum hf_binary_fault fault = HF_BINARY_OK;
    struct hf_binary_reader reader;
    struct hf_binary_record record;
    const char *wrong = NULL;
    int found = 0;

    hf_binary_reader_init(&reader, data, len);
    while (wrong == NULL && (found = hf_binary_next(&reader, &record, &fault)) == 1)
        wrong = check_record(&record, from_server);
    if (wrong == NULL && found < 0 && fault == HF_BINARY_OK)
        wrong = "broken without a fault";
    return wrong;
}
