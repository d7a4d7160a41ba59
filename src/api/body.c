#include "api/body.h"

#include "wire/json.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static int refuse(char reason[HF_API_REASON_MAX], const char *fmt, ...) HF_PRINTF(2, 3);

static int refuse(char reason[HF_API_REASON_MAX], const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    vsnprintf(reason, HF_API_REASON_MAX, fmt, args);
    va_end(args);
    return HF_EBADMSG;
}

static const char *const kind_names[] = {
    [HF_API_TEXT] = "a string",      [HF_API_NUMBER] = "an integer from 0 to 2^53-1",
    [HF_API_BOOL] = "true or false", [HF_API_ARRAY] = "an array",
    [HF_API_OBJECT] = "an object",   [HF_API_ANY] = "a value",
};

static const enum hf_json_kind json_kinds[] = {
    [HF_API_TEXT] = HF_JSON_STRING, [HF_API_NUMBER] = HF_JSON_NUMBER, [HF_API_BOOL] = HF_JSON_BOOL,
    [HF_API_ARRAY] = HF_JSON_ARRAY, [HF_API_OBJECT] = HF_JSON_OBJECT,
};

/* Unescape a text in its own place, which the walk has left behind by now. */
static int read_text(struct hf_api_member *m, char reason[HF_API_REASON_MAX])
{
    char *place = (char *)(uintptr_t)m->value.data;
    int len = hf_json_unquote(m->value, place, m->value.len);

    if (len < 0)
        return refuse(reason, "%s: has half a surrogate pair", m->name);
    m->value = (struct hf_str){place, (size_t)len};
    if (m->bytes_max > 0 && (m->value.len == 0 || m->value.len > m->bytes_max))
        return refuse(reason, "%s: must have 1 to %zu bytes", m->name, m->bytes_max);
    return 0;
}

static int read_value(struct hf_api_member *m, char reason[HF_API_REASON_MAX])
{
    bool fits = m->kind == HF_API_ANY || hf_json_kind(m->value) == json_kinds[m->kind];

    if (fits && m->kind == HF_API_NUMBER)
        fits = hf_json_u53(m->value, &m->number) == 0;
    if (!fits)
        return refuse(reason, "%s: must be %s", m->name, kind_names[m->kind]);
    if (m->kind == HF_API_BOOL)
        m->number = m->value.data[0] == 't';
    return m->kind == HF_API_TEXT ? read_text(m, reason) : 0;
}

static struct hf_api_member *find(struct hf_api_member *members, size_t count, struct hf_str key)
{
    for (size_t i = 0; i < count; i++) {
        if (hf_json_name_is(key, hf_str_from(members[i].name)))
            return &members[i];
    }
    return NULL;
}

/* First the walk, which needs the text as it was sent; the values are read afterwards. */
static int collect(struct hf_str object, struct hf_api_member *members, size_t count,
                   char reason[HF_API_REASON_MAX])
{
    struct hf_str key, value;

    for (size_t i = 0; i < count; i++)
        members[i].value = (struct hf_str){NULL, 0};
    while (hf_json_next_member(&object, &key, &value)) {
        struct hf_api_member *m = find(members, count, key);

        if (m != NULL && m->value.data != NULL)
            return refuse(reason, "%s: is given twice", m->name);
        if (m != NULL)
            m->value = value;
    }
    return 0;
}

int hf_api_members_read(struct hf_str object, struct hf_api_member *members, size_t count,
                        char reason[HF_API_REASON_MAX])
{
    int err;

    if (hf_json_kind(object) != HF_JSON_OBJECT)
        return refuse(reason, "must be a JSON object");
    err = collect(object, members, count, reason);
    for (size_t i = 0; i < count && err == 0; i++) {
        struct hf_api_member *m = &members[i];

        m->present =
            m->value.data != NULL && (m->kind == HF_API_ANY || hf_json_kind(m->value) != HF_JSON_NULL);
        if (m->present)
            err = read_value(m, reason);
        else if (m->required)
            err = refuse(reason, "%s: is missing", m->name);
        else
            m->value = (struct hf_str){NULL, 0};
    }
    return err;
}

int hf_api_body_read(struct hf_str body, struct hf_api_member *members, size_t count,
                     char reason[HF_API_REASON_MAX])
{
    struct hf_str object;
    const char *what;

    if (body.len == 0)
        return refuse(reason, "the body is empty; it must be a JSON object");
    if (hf_json_check(body, true, &object, &what) < 0)
        return refuse(reason, "the body is not JSON: %s", what);
    if (hf_json_kind(object) != HF_JSON_OBJECT)
        return refuse(reason, "the body must be a JSON object");
    return hf_api_members_read(object, members, count, reason);
}
