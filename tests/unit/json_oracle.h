/*
 * json_oracle.h - what must hold of any bytes whatever, with jansson as the judge of JSON.
 * For the generated corpus and for the fuzz target. Each check returns NULL, or static English text on what went wrong.
 *
 * Legitimate differences, on which jansson's word is no judgement (RFC 8259 leaves all of these to the parser):
 *   - a \u escape that is a lone surrogate: jansson refuses it. We pass it on in payloads, as PROTOCOL.md says.
 *   - \u0000 in a member's name: jansson refuses it, even with JSON_ALLOW_NUL.
 *   - a number beyond a double's range: jansson refuses it. To us a number is only text.
 *   - nesting: jansson's limit is 2048, ours HF_JSON_DEPTH_MAX.
 * And a mistake of jansson's: it overlooks a byte of zero behind a word or a number. No JSON text has one anywhere.
 */
#ifndef HF_TESTS_JSON_ORACLE_H
#define HF_TESTS_JSON_ORACLE_H

#include "base/assert.h"
#include "wire/json.h"
#include "ws/utf8.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { ORACLE_FLAGS = JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL };

enum oracle_verdict { ORACLE_VALID, ORACLE_BROKEN, ORACLE_UNDECIDED };

/* A heap copy without a byte to spare, so that the sanitizer sees any look beyond it. */
static inline char *oracle_copy(struct hf_str s)
{
    char *copy = malloc(s.len > 0 ? s.len : 1);

    hf_assert(copy != NULL);
    if (s.len > 0)
        memcpy(copy, s.data, s.len);
    return copy;
}

/* What jansson says; *value is new, or NULL. */
static inline enum oracle_verdict oracle_parse(struct hf_str text, json_t **value)
{
    json_error_t error;

    *value = NULL;
    if (text.len > 0 && memchr(text.data, '\0', text.len) != NULL)
        return ORACLE_BROKEN;
    *value = json_loadb(text.data, text.len, ORACLE_FLAGS, &error);
    if (*value != NULL)
        return ORACLE_VALID;
    if (json_error_code(&error) == json_error_numeric_overflow ||
        json_error_code(&error) == json_error_null_byte_in_key ||
        strstr(error.text, "invalid Unicode") != NULL)
        return ORACLE_UNDECIDED;
    return ORACLE_BROKEN;
}

static inline unsigned oracle_depth(json_t *value)
{
    unsigned deepest = 0, depth;
    const char *key;
    json_t *item;
    size_t i;

    if (!json_is_object(value) && !json_is_array(value))
        return 0;
    json_object_foreach(value, key, item)
    {
        depth = oracle_depth(item);
        deepest = depth > deepest ? depth : deepest;
    }
    json_array_foreach(value, i, item)
    {
        depth = oracle_depth(item);
        deepest = depth > deepest ? depth : deepest;
    }
    return deepest + 1;
}

/* A raw string as jansson's, through hf_json_unquote; and through hf_json_put_string back again. */
static inline json_t *oracle_string(struct hf_str raw)
{
    char *text = oracle_copy(raw);
    int len = hf_json_unquote(raw, text, raw.len - 2);
    json_t *value, *again;
    struct hf_buf out;

    hf_assert(len >= 0);
    value = json_stringn(text, (size_t)len);
    hf_buf_init(&out, 1 << 20);
    hf_assert(hf_json_put_string(&out, (struct hf_str){text, (size_t)len}) == 0);
    hf_assert(oracle_parse(hf_buf_str(&out), &again) == ORACLE_VALID && json_equal(value, again));
    json_decref(again);
    hf_buf_release(&out);
    free(text);
    return value;
}

static inline json_t *oracle_tree(struct hf_str raw);

static inline json_t *oracle_object(struct hf_str raw)
{
    json_t *object = json_object(), *name;
    struct hf_str rest = raw, key, value;

    while (hf_json_next_member(&rest, &key, &value)) {
        name = oracle_string(key);
        hf_assert(json_object_setn_new(object, json_string_value(name), json_string_length(name),
                                       oracle_tree(value)) == 0);
        json_decref(name);
    }
    return object;
}

static inline json_t *oracle_array(struct hf_str raw)
{
    json_t *array = json_array();
    struct hf_str rest = raw, value;

    while (hf_json_next_element(&rest, &value))
        hf_assert(json_array_append_new(array, oracle_tree(value)) == 0);
    return array;
}

/* The value as our walkers see it; only numbers and words are left to jansson. */
static inline json_t *oracle_tree(struct hf_str raw)
{
    json_t *value;

    switch (hf_json_kind(raw)) {
    case HF_JSON_OBJECT:
        return oracle_object(raw);
    case HF_JSON_ARRAY:
        return oracle_array(raw);
    case HF_JSON_STRING:
        return oracle_string(raw);
    default:
        hf_assert(oracle_parse(raw, &value) == ORACLE_VALID);
        return value;
    }
}

/* hf_json_check agrees with jansson, and the walkers see the same value. */
static inline const char *oracle_check_value(struct hf_str text, enum oracle_verdict *verdict)
{
    char *data = oracle_copy(text);
    const char *reason = NULL, *wrong = NULL;
    struct hf_str value = {NULL, 0};
    json_t *want, *seen;
    bool accepted;

    *verdict = oracle_parse(text, &want);
    accepted = hf_json_check((struct hf_str){data, text.len}, true, &value, &reason) == 0;
    if (accepted == (reason != NULL)) {
        wrong = "a reason goes with a refusal, and with nothing else";
    } else if (*verdict == ORACLE_BROKEN) {
        wrong = accepted ? "accepted, but broken" : NULL;
    } else if (*verdict == ORACLE_VALID && oracle_depth(want) > HF_JSON_DEPTH_MAX) {
        wrong = accepted ? "accepted, but nested too deeply" : NULL;
    } else if (*verdict == ORACLE_VALID && !accepted) {
        wrong = reason;
    } else if (*verdict == ORACLE_VALID) {
        seen = oracle_tree(value);
        wrong = json_equal(seen, want) ? NULL : "walked to another value";
        json_decref(seen);
    }
    json_decref(want);
    free(data);
    return wrong;
}

/* What was decoded is encoded to a message that is decoded to the same. */
static inline const char *oracle_check_message(struct hf_str text, bool from_server)
{
    char *data = oracle_copy(text), *again = NULL;
    const char *reason = NULL, *wrong = NULL;
    struct hf_buf first, second;
    struct hf_msg m;

    hf_buf_init(&first, 1 << 24);
    hf_buf_init(&second, 1 << 24);
    if (hf_json_decode(&m, data, text.len, from_server, &reason) < 0) {
        wrong = reason == NULL ? "refused without a reason" : NULL;
        goto done;
    }
    hf_assert(hf_json_encode(&first, &m) == 0);
    again = oracle_copy(hf_buf_str(&first));
    if (hf_json_decode(&m, again, first.len, from_server, &reason) < 0) {
        wrong = reason;
        goto done;
    }
    hf_assert(hf_json_encode(&second, &m) == 0);
    if (!hf_str_eq(hf_buf_str(&first), hf_buf_str(&second)))
        wrong = "encoded to something else the second time";
done:
    hf_buf_release(&first);
    hf_buf_release(&second);
    free(again);
    free(data);
    return wrong;
}

/* The `data` that a server makes of an accepted publish: our decoder finds in it just what was put there. */
static inline const char *oracle_decode_back(struct hf_str sent, const struct hf_msg *m)
{
    char *data = oracle_copy(sent);
    const char *reason = NULL, *wrong = NULL;
    struct hf_msg back;

    if (hf_json_decode(&back, data, sent.len, true, &reason) < 0)
        wrong = reason;
    else if (!hf_str_eq(back.payload, m->payload) || !hf_str_eq(back.channel, m->channel) ||
             !hf_str_eq(back.id, m->id) || back.offset != m->offset || back.timestamp != m->timestamp)
        wrong = "a subscriber reads something else";
    else if (back.payload.data + back.payload.len + 1 != data + sent.len)
        wrong = "the payload is not the last member";
    free(data);
    return wrong;
}

/* And so does jansson: the members that the server gave it, no more, and the publisher's value as payload. */
static inline const char *oracle_compare(struct hf_str publish, struct hf_str sent, const struct hf_msg *m)
{
    json_t *given, *got;
    enum oracle_verdict of_given = oracle_parse(publish, &given), of_got = oracle_parse(sent, &got);
    const char *wrong = NULL;

    if (of_given == ORACLE_BROKEN || of_got == ORACLE_BROKEN)
        wrong = "a message that jansson finds broken";
    else if (of_got == ORACLE_VALID && json_object_size(got) != 7)
        wrong = "another number of members";
    else if (of_got == ORACLE_VALID &&
             (json_number_value(json_object_get(got, "offset")) != (double)m->offset ||
              !json_is_string(json_object_get(got, "from"))))
        wrong = "a payload broke out of its place";
    else if (of_given == ORACLE_VALID && of_got == ORACLE_VALID &&
             (!json_equal(json_object_get(given, "payload"), json_object_get(got, "payload")) ||
              !json_equal(json_object_get(given, "channel"), json_object_get(got, "channel"))))
        wrong = "a payload became another value";
    json_decref(given);
    json_decref(got);
    return wrong;
}

/* PROTOCOL.md: "payload is any JSON value and is passed on as written". *accepted tells whether it was a publish. */
static inline const char *oracle_check_publish(struct hf_str text, bool *accepted)
{
    char *data = oracle_copy(text);
    const char *reason = NULL, *wrong;
    struct hf_buf out;
    struct hf_msg m;

    *accepted = hf_json_decode(&m, data, text.len, false, &reason) == 0 && m.type == HF_MSG_DATA &&
                !m.payload_raw && hf_utf8_valid((const uint8_t *)text.data, text.len);
    if (!*accepted) {
        free(data);
        return NULL;
    }
    m.offset = 42;
    m.timestamp = 1700000000000;
    m.from_user = HF_STR("ann");
    m.has |= HF_HAS_OFFSET | HF_HAS_FROM;
    hf_buf_init(&out, 1 << 24);
    hf_assert(hf_json_put_data(&out, &m) == 0);
    wrong = oracle_decode_back(hf_buf_str(&out), &m);
    if (wrong == NULL)
        wrong = oracle_compare(text, hf_buf_str(&out), &m);
    hf_buf_release(&out);
    free(data);
    return wrong;
}

#endif
