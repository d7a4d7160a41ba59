/*
 * A large generated corpus, the same in every run: valid JSON, and what a few changed bytes make of it, against jansson;
 * publishes with any payload; messages of each type.
 */
#include "json_oracle.h"

#include "base/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum { VALUES = 200000, PUBLISHES = 60000, MESSAGES = 60000 };

static uint64_t below(struct hf_rng *rng, uint64_t n)
{
    return hf_rng_below(rng, n);
}

static bool one_in(struct hf_rng *rng, uint64_t n)
{
    return hf_rng_below(rng, n) == 0;
}

static void put_one_of(struct hf_rng *rng, struct hf_buf *out, const char *const *texts, size_t count)
{
    hf_buf_puts(out, texts[below(rng, count)]);
}

static void put_space(struct hf_rng *rng, struct hf_buf *out)
{
    static const char *const spaces[] = {" ", "\n", "\r\n", "\t", "   "};

    if (one_in(rng, 6))
        put_one_of(rng, out, spaces, COUNT(spaces));
}

static void put_digits(struct hf_rng *rng, struct hf_buf *out)
{
    uint64_t count = one_in(rng, 20) ? 40 : 1 + below(rng, 5);

    while (count-- > 0)
        hf_buf_putf(out, "%d", (int)below(rng, 10));
}

static void put_number(struct hf_rng *rng, struct hf_buf *out)
{
    static const char *const exponents[] = {"e", "E", "e-", "E+"};

    if (one_in(rng, 3))
        hf_buf_puts(out, "-");
    if (one_in(rng, 4)) {
        hf_buf_puts(out, "0");
    } else {
        hf_buf_putf(out, "%d", (int)(1 + below(rng, 9)));
        if (one_in(rng, 2))
            put_digits(rng, out);
    }
    if (one_in(rng, 4)) {
        hf_buf_puts(out, ".");
        put_digits(rng, out);
    }
    if (one_in(rng, 6)) {
        put_one_of(rng, out, exponents, COUNT(exponents));
        hf_buf_putf(out, "%d", (int)(one_in(rng, 30) ? 400 : below(rng, 90)));
    }
}

static void put_escape(struct hf_rng *rng, struct hf_buf *out)
{
    static const char *const escapes[] = {"\\\"", "\\\\", "\\/", "\\b",     "\\f",
                                          "\\n",  "\\r",  "\\t", "\\u2028", "\\u0001"};

    switch (one_in(rng, 60) ? 0 : 1 + below(rng, 3)) {
    case 0: /* any unit, which may be half a surrogate pair, or NUL */
        hf_buf_putf(out, "\\u%04x",
                    (unsigned)(one_in(rng, 4)   ? 0
                               : one_in(rng, 2) ? 0xd800 + below(rng, 0x800)
                                                : below(rng, 0x10000)));
        break;
    case 1:
        hf_buf_putf(out, "\\u%04X\\u%04x", (unsigned)(0xd800 + below(rng, 0x400)),
                    (unsigned)(0xdc00 + below(rng, 0x400)));
        break;
    case 2:
        hf_buf_putf(out, "\\u%04x", (unsigned)(1 + below(rng, 0xd7ff)));
        break;
    default:
        put_one_of(rng, out, escapes, COUNT(escapes));
    }
}

static void put_string(struct hf_rng *rng, struct hf_buf *out)
{
    static const char *const runs[] = {"a",
                                       "0123456789abcdef",
                                       "type",
                                       "}",
                                       "]",
                                       ",",
                                       ":",
                                       "{",
                                       " ",
                                       "\x7f",
                                       "\xc3\xa9",
                                       "\xe2\x80\xa8",
                                       "\xf0\x9f\x98\x80",
                                       "\xed\x9f\xbf",
                                       "\xf4\x8f\xbf\xbf",
                                       "'",
                                       "</script>"};

    hf_buf_puts(out, "\"");
    for (uint64_t pieces = below(rng, 5); pieces > 0; pieces--) {
        if (one_in(rng, 4))
            put_escape(rng, out);
        else
            put_one_of(rng, out, runs, COUNT(runs));
    }
    hf_buf_puts(out, "\"");
}

static void put_value(struct hf_rng *rng, struct hf_buf *out, unsigned levels);

static void put_array(struct hf_rng *rng, struct hf_buf *out, unsigned levels)
{
    hf_buf_puts(out, "[");
    put_space(rng, out);
    for (uint64_t i = below(rng, 4); i > 0; i--) {
        put_value(rng, out, levels - 1);
        hf_buf_puts(out, i > 1 ? "," : "");
    }
    hf_buf_puts(out, "]");
}

static void put_object(struct hf_rng *rng, struct hf_buf *out, unsigned levels)
{
    hf_buf_puts(out, "{");
    put_space(rng, out);
    for (uint64_t i = below(rng, 4); i > 0; i--) {
        put_space(rng, out);
        put_string(rng, out);
        put_space(rng, out);
        hf_buf_puts(out, ":");
        put_value(rng, out, levels - 1);
        hf_buf_puts(out, i > 1 ? "," : "");
    }
    hf_buf_puts(out, "}");
}

/* Around the limit. */
static void put_deep(struct hf_rng *rng, struct hf_buf *out)
{
    uint64_t depth = HF_JSON_DEPTH_MAX - 4 + below(rng, 8), objects = below(rng, 2);

    for (uint64_t i = 0; i < depth; i++)
        hf_buf_puts(out, objects ? "{\"a\":" : "[");
    hf_buf_puts(out, "1");
    for (uint64_t i = 0; i < depth; i++)
        hf_buf_puts(out, objects ? "}" : "]");
}

static void put_value(struct hf_rng *rng, struct hf_buf *out, unsigned levels)
{
    static const char *const words[] = {"true", "false", "null"};

    put_space(rng, out);
    switch (below(rng, levels == 0 ? 4 : 8)) {
    case 0:
        put_one_of(rng, out, words, COUNT(words));
        break;
    case 1:
        put_number(rng, out);
        break;
    case 2:
    case 3:
        put_string(rng, out);
        break;
    case 4:
    case 5:
        put_array(rng, out, levels);
        break;
    default:
        put_object(rng, out, levels);
    }
    put_space(rng, out);
}

/* One changed, added, missing or doubled byte, or a missing end. */
static void mutate(struct hf_rng *rng, struct hf_buf *out)
{
    static const char odd[] = "{}[]\",:\\0123456789+-.eEutrnfalsbx/ \n\t\x00\x1f\x7f\x80\xc3\xe2\xed\xf0\xff";
    char byte = odd[below(rng, sizeof(odd) - 1)];
    size_t at = below(rng, out->len + 1);
    uint8_t *rest;

    if (hf_buf_reserve(out, 1) == NULL)
        return;
    rest = out->data + at;
    switch (at == out->len ? 0 : below(rng, 6)) {
    case 0:
    case 1:
        memmove(rest + 1, rest, out->len - at);
        *rest = (uint8_t)byte;
        out->len++;
        break;
    case 2:
        memmove(rest, rest + 1, out->len - at - 1);
        out->len--;
        break;
    case 3:
        memmove(rest + 1, rest, out->len - at);
        out->len++;
        break;
    case 4:
        out->len = (uint32_t)at;
        break;
    default:
        *rest = (uint8_t)byte;
    }
}

static void put_document(struct hf_rng *rng, struct hf_buf *out)
{
    if (one_in(rng, 200))
        put_deep(rng, out);
    else
        put_value(rng, out, 4);
    if (one_in(rng, 2))
        for (uint64_t changes = 1 + below(rng, 3); changes > 0; changes--)
            mutate(rng, out);
}

static void fail_on(const char *wrong, const struct hf_buf *text)
{
    if (wrong != NULL)
        fail_msg("%s: %.*s", wrong, (int)text->len, (const char *)text->data);
}

static void values_are_judged_as_jansson_judges_them(void **state)
{
    struct hf_rng rng = {1};
    struct hf_buf text;
    unsigned told[3] = {0};

    (void)state;
    hf_buf_init(&text, 1 << 16);
    for (int i = 0; i < VALUES; i++) {
        enum oracle_verdict verdict;

        hf_buf_reset(&text);
        put_document(&rng, &text);
        fail_on(oracle_check_value(hf_buf_str(&text), &verdict), &text);
        told[verdict]++;
    }
    hf_buf_release(&text);
    /* A corpus that is all valid, all broken or undecided would show nothing. */
    print_message("# %u valid, %u broken, %u undecided\n", told[ORACLE_VALID], told[ORACLE_BROKEN],
                  told[ORACLE_UNDECIDED]);
    assert_in_range(told[ORACLE_VALID], VALUES / 3, VALUES);
    assert_in_range(told[ORACLE_BROKEN], VALUES / 4, VALUES);
    assert_in_range(told[ORACLE_UNDECIDED], 1, VALUES / 10);
}

static void any_payload_stays_in_its_place(void **state)
{
    static const char *const tails[] = {"}", ",\"seq\":1}", " , \"id\":\"k\\u00e9\",\"x\":[{}]}"};
    struct hf_rng rng = {2};
    struct hf_buf text;
    unsigned accepted = 0;

    (void)state;
    hf_buf_init(&text, 1 << 16);
    for (int i = 0; i < PUBLISHES; i++) {
        bool taken;

        hf_buf_reset(&text);
        hf_buf_puts(&text, "{\"type\":\"data\",\"channel\":\"c\\u00e9\\\"\",\"payload\":");
        put_document(&rng, &text);
        put_one_of(&rng, &text, tails, COUNT(tails));
        fail_on(oracle_check_publish(hf_buf_str(&text), &taken), &text);
        accepted += taken;
    }
    hf_buf_release(&text);
    assert_in_range(accepted, PUBLISHES / 3, PUBLISHES - PUBLISHES / 5);
}

/* A value that fits one member or another, often enough. */
static void put_member_value(struct hf_rng *rng, struct hf_buf *out)
{
    static const char *const fitting[] = {"\"demo\"",
                                          "\"x\"",
                                          "7",
                                          "0",
                                          "true",
                                          "null",
                                          "[1,null]",
                                          "{\"a\":1}",
                                          "[1,2]",
                                          "{\"epoch\":\"e\",\"offset\":1}",
                                          "{\"interval\":1,\"min\":2,\"max\":3}",
                                          "\"latest\"",
                                          "[]"};

    if (one_in(rng, 8))
        put_value(rng, out, 2);
    else
        put_one_of(rng, out, fitting, COUNT(fitting));
}

static void put_message(struct hf_rng *rng, struct hf_buf *out)
{
    static const char *const names[] = {
        "channel", "id",      "seq",      "offset",   "since",     "last",    "mode", "payload", "timestamp",
        "from",    "to",      "epoch",    "code",     "reason",    "offsets", "acks", "ackId",   "interval",
        "limit",   "reverse", "messages", "presence", "recovered", "after",   "user", "session", "members"};

    hf_buf_putf(out, "{\"type\":\"%s\"", hf_msg_name((enum hf_msg_type)below(rng, HF_MSG_TYPES)));
    for (size_t i = 0; i < COUNT(names); i++) {
        if (one_in(rng, 4))
            continue;
        hf_buf_putf(out, ",\"%s\":", names[i]);
        put_member_value(rng, out);
    }
    hf_buf_puts(out, "}");
    if (one_in(rng, 3))
        mutate(rng, out);
}

static void any_message_is_the_same_there_and_back(void **state)
{
    struct hf_rng rng = {3};
    struct hf_buf text;

    (void)state;
    hf_buf_init(&text, 1 << 16);
    for (int i = 0; i < MESSAGES; i++) {
        hf_buf_reset(&text);
        put_message(&rng, &text);
        fail_on(oracle_check_message(hf_buf_str(&text), false), &text);
        fail_on(oracle_check_message(hf_buf_str(&text), true), &text);
    }
    hf_buf_release(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_judged_as_jansson_judges_them),
        cmocka_unit_test(any_payload_stays_in_its_place),
        cmocka_unit_test(any_message_is_the_same_there_and_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
