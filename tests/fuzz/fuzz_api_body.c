/*
 * fuzz_api_body.c - any bytes as the body of an API request: refused with a reason, or each member is what its table says, lies within
 * the body, and is what jansson reads there. The payload is still the JSON value that was sent.
 */
#include "api/body.h"
#include "base/assert.h"
#include "wire/json.h"
#include "ws/utf8.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ID_MAX = 8, MEMBERS = 6 };

static void check_text(const struct hf_api_member *m, const json_t *reference)
{
    hf_assert(m->bytes_max == 0 || (m->value.len > 0 && m->value.len <= m->bytes_max));
    hf_assert(hf_utf8_valid((const uint8_t *)m->value.data, m->value.len));
    hf_assert(json_string_length(reference) == m->value.len &&
              memcmp(json_string_value(reference), m->value.data, m->value.len) == 0);
}

/* reference: what jansson found, NULL where it does not take the body at all (lone surrogates, numbers beyond a double). */
static void check_member(const struct hf_api_member *m, struct hf_str body, json_t *reference)
{
    struct hf_str value;
    const char *reason;

    hf_assert(m->present || !m->required);
    if (!m->present)
        return;
    hf_assert(m->value.data >= body.data && m->value.data + m->value.len <= body.data + body.len);
    if (m->kind == HF_API_TEXT && reference != NULL)
        check_text(m, reference);
    if (m->kind == HF_API_NUMBER)
        hf_assert(m->number <= HF_NUMBER_MAX);
    if (m->kind == HF_API_NUMBER && reference != NULL)
        hf_assert((uint64_t)json_integer_value(reference) == m->number);
    if (m->kind == HF_API_BOOL)
        hf_assert(m->number <= 1 && (reference == NULL || json_is_true(reference) == (int)m->number));
    if (m->kind == HF_API_ANY || m->kind == HF_API_ARRAY || m->kind == HF_API_OBJECT)
        hf_assert(hf_json_check(m->value, true, &value, &reason) == 0 && value.len == m->value.len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct hf_api_member m[MEMBERS] = {
        {.name = "channel", .kind = HF_API_TEXT, .required = true},
        {.name = "payload", .kind = HF_API_ANY},
        {.name = "id", .kind = HF_API_TEXT, .bytes_max = ID_MAX},
        {.name = "limit", .kind = HF_API_NUMBER},
        {.name = "reverse", .kind = HF_API_BOOL},
        {.name = "since", .kind = HF_API_OBJECT},
    };
    char reason[HF_API_REASON_MAX] = "", *copy = malloc(size + 1);
    struct hf_str body = {copy, size};
    json_t *reference;

    hf_assert(copy != NULL);
    if (size > 0)
        memcpy(copy, data, size);
    reference = json_loadb(copy, size, JSON_ALLOW_NUL, NULL);
    if (hf_api_body_read(body, m, MEMBERS, reason) < 0) {
        hf_assert(reason[0] != '\0' && strlen(reason) < sizeof(reason));
    } else {
        for (size_t i = 0; i < MEMBERS; i++)
            check_member(&m[i], body, json_object_get(reference, m[i].name));
    }
    json_decref(reference);
    free(copy);
    return 0;
}
