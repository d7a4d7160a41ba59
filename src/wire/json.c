#include "wire/json.h"

#include "wire/json_scan.h"
#include "ws/utf8.h"

#include <string.h>

/* For text that was checked already: deeper than what any check lets pass. */
enum { WALK_DEPTH_MAX = HF_JSON_DEPTH_MAX + 2 };

static struct hf_json_scan scan_of(struct hf_str text)
{
    return (struct hf_json_scan){text.data, text.data + text.len, NULL};
}

int hf_json_check(struct hf_str data, bool check_utf8, struct hf_str *value, const char **reason)
{
    struct hf_json_scan s = scan_of(data);
    const char *begin, *end;

    hf_json_scan_space(&s);
    begin = s.at;
    if (!hf_json_scan_value(&s, HF_JSON_DEPTH_MAX)) {
        *reason = s.fault;
        return HF_EBADMSG;
    }
    end = s.at;
    hf_json_scan_space(&s);
    if (s.at != s.end) {
        *reason = "something stands behind the JSON value";
        return HF_EBADMSG;
    }
    *value = (struct hf_str){begin, (size_t)(end - begin)};
    if (check_utf8 && !hf_utf8_valid((const uint8_t *)value->data, value->len)) {
        *reason = "the JSON is not valid UTF-8";
        return HF_EBADMSG;
    }
    return 0;
}

enum hf_json_kind hf_json_kind(struct hf_str value)
{
    switch (value.len > 0 ? value.data[0] : 'n') {
    case '{':
        return HF_JSON_OBJECT;
    case '[':
        return HF_JSON_ARRAY;
    case '"':
        return HF_JSON_STRING;
    case 't':
    case 'f':
        return HF_JSON_BOOL;
    case 'n':
        return HF_JSON_NULL;
    default:
        return HF_JSON_NUMBER;
    }
}

/*
 * Step to the next item of a list. *rest begins with `open` before the first item and with ',' before each further one, so
 * that the place needs no more memory than *rest itself.
 */
static bool next_item(struct hf_json_scan *s, char open, char close)
{
    hf_json_scan_space(s);
    if (!hf_json_scan_take(s, open) && !hf_json_scan_take(s, ','))
        return false;
    hf_json_scan_space(s);
    return s->at < s->end && *s->at != close;
}

/* Scan the value that begins here, and leave *rest behind it. */
static bool walk_value(struct hf_json_scan *s, struct hf_str *rest, struct hf_str *value)
{
    const char *begin = s->at;

    if (!hf_json_scan_value(s, WALK_DEPTH_MAX))
        return false;
    *value = (struct hf_str){begin, (size_t)(s->at - begin)};
    *rest = (struct hf_str){s->at, (size_t)(s->end - s->at)};
    return true;
}

bool hf_json_next_element(struct hf_str *rest, struct hf_str *value)
{
    struct hf_json_scan s = scan_of(*rest);

    return next_item(&s, '[', ']') && walk_value(&s, rest, value);
}

bool hf_json_next_member(struct hf_str *rest, struct hf_str *key, struct hf_str *value)
{
    struct hf_json_scan s = scan_of(*rest);
    const char *begin;

    if (!next_item(&s, '{', '}'))
        return false;
    begin = s.at;
    if (!hf_json_scan_string(&s))
        return false;
    *key = (struct hf_str){begin, (size_t)(s.at - begin)};
    s.at = begin;
    return hf_json_scan_name(&s) && walk_value(&s, rest, value);
}

int hf_json_u53(struct hf_str raw, uint64_t *n)
{
    uint64_t sum = 0;

    /* 2^53 - 1 has 16 digits, so that no sum of as many overflows. */
    if (raw.len == 0 || raw.len > 16 || (raw.data[0] == '0' && raw.len > 1))
        return HF_EBADMSG;
    for (size_t i = 0; i < raw.len; i++) {
        if (raw.data[i] < '0' || raw.data[i] > '9')
            return HF_EBADMSG;
        sum = sum * 10 + (uint64_t)(raw.data[i] - '0');
    }
    if (sum > HF_NUMBER_MAX)
        return HF_EBADMSG;
    *n = sum;
    return 0;
}

bool hf_json_name_is(struct hf_str raw, struct hf_str name)
{
    char plain[32];
    int len;

    if (raw.len == name.len + 2)
        return memcmp(raw.data + 1, name.data, name.len) == 0;
    if (raw.len < name.len + 2 || memchr(raw.data, '\\', raw.len) == NULL)
        return false;
    len = hf_json_unquote(raw, plain, sizeof(plain));
    return len >= 0 && hf_str_eq((struct hf_str){plain, (size_t)len}, name);
}

int hf_json_fields(struct hf_str object, struct hf_json_field *fields, unsigned count)
{
    struct hf_str rest = object, key, value;

    if (hf_json_kind(object) != HF_JSON_OBJECT)
        return HF_EBADMSG;
    for (unsigned i = 0; i < count; i++)
        fields[i].value = (struct hf_str){NULL, 0};
    while (hf_json_next_member(&rest, &key, &value)) {
        for (unsigned i = 0; i < count; i++) {
            if (!hf_json_name_is(key, fields[i].name))
                continue;
            if (fields[i].value.data != NULL)
                return HF_EBADMSG;
            fields[i].value = value;
        }
    }
    for (unsigned i = 0; i < count; i++)
        if (fields[i].value.data == NULL)
            return HF_EBADMSG;
    return 0;
}
