/* Single JSON values: what is valid, walking arrays and objects, strings in and out, numbers. */
#include "wire/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* An initialiser of a struct hf_str. */
#define S(literal)                                                                                           \
    {                                                                                                        \
        literal, sizeof(literal) - 1                                                                         \
    }

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* A heap copy without a byte to spare, so that the sanitizer sees any look beyond it. */
static char *exact_copy(const char *data, size_t len)
{
    char *copy = malloc(len > 0 ? len : 1);

    assert_non_null(copy);
    memcpy(copy, data, len);
    return copy;
}

static int check(struct hf_str text, bool check_utf8, const char **reason)
{
    char *data = exact_copy(text.data, text.len);
    struct hf_str value;
    int err = hf_json_check((struct hf_str){data, text.len}, check_utf8, &value, reason);

    free(data);
    return err;
}

static void valid_values_pass(void **state)
{
    static const char *const good[] = {
        "0",
        "-0",
        "1",
        "-1.5",
        "1e5",
        "1E+5",
        "1e-05",
        "0.0",
        "0e0",
        "123456789012345678901234567890",
        "true",
        "false",
        "null",
        "\"\"",
        "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
        "\"\\u0000\\uD800\\udfff\"",
        "\"12345678\"",
        "\"123456789\\n12345678\"",
        "\"\x7f\"",
        "[]",
        "[ ]",
        "[1]",
        "[1,\t2\r\n, [3]]",
        "{}",
        "{ }",
        "{\"\":0}",
        "{\"a\":{\"a\":[]} , \"a\":null}",
        "\"\xf0\x9f\x98\x80\xe2\x80\xa8\"",
    };

    (void)state;
    for (size_t i = 0; i < COUNT(good); i++) {
        const char *reason = NULL;

        if (check(hf_str_from(good[i]), true, &reason) < 0)
            fail_msg("%s: %s", good[i], reason);
    }
}

static void broken_values_are_refused_and_the_reason_told(void **state)
{
    static const struct {
        struct hf_str text;
        const char *reason;
    } bad[] = {
        {S(""), "the JSON ends too early"},
        {S(" "), "the JSON ends too early"},
        {S("-"), "the JSON ends too early"},
        {S("+1"), "a value was expected"},
        {S(".5"), "a value was expected"},
        {S("01"), "something stands behind the JSON value"},
        {S("-01"), "something stands behind the JSON value"},
        {S("-x"), "a number lacks a digit"},
        {S("1."), "the JSON ends too early"},
        {S("1.e1"), "a number lacks a digit"},
        {S("[1.]"), "a number lacks a digit"},
        {S("[1e]"), "a number lacks a digit"},
        {S("[1e+]"), "a number lacks a digit"},
        {S("0x10"), "something stands behind the JSON value"},
        {S("NaN"), "a value was expected"},
        {S("Infinity"), "a value was expected"},
        {S("True"), "a value was expected"},
        {S("trux"), "a value was expected"},
        {S("truee"), "something stands behind the JSON value"},
        {S("nul"), "the JSON ends too early"},
        {S("'a'"), "a value was expected"},
        {S("\"a"), "the JSON ends too early"},
        {S("\"a\\\""), "the JSON ends too early"},
        {S("\"\\"), "the JSON ends too early"},
        {S("\"\\x\""), "a string has an unknown escape"},
        {S("\"\\\0\""), "a string has an unknown escape"},
        {S("\"\\u12g4\""), "a \\u escape needs four hexadecimal digits"},
        {S("\"\\u123\""), "a \\u escape needs four hexadecimal digits"},
        {S("\"\\u12"), "the JSON ends too early"},
        {S("\"a\nb\""), "a string has an unescaped control character"},
        {S("\"12345678\0\""), "a string has an unescaped control character"},
        {S("\"1234567\x1f\""), "a string has an unescaped control character"},
        {S("[1,]"), "a value was expected"},
        {S("[,1]"), "a value was expected"},
        {S("[1 2]"), "a ',' or ']' was expected"},
        {S("[1}"), "a ',' or ']' was expected"},
        {S("["), "the JSON ends too early"},
        {S("[1"), "the JSON ends too early"},
        {S("]"), "a value was expected"},
        {S("{1:2}"), "a member's name was expected"},
        {S("{a:2}"), "a member's name was expected"},
        {S("{\"a\":1,}"), "a member's name was expected"},
        {S("{\"a\"}"), "a ':' was expected"},
        {S("{\"a\",1}"), "a ':' was expected"},
        {S("{\"a\":}"), "a value was expected"},
        {S("{\"a\":1]"), "a ',' or '}' was expected"},
        {S("{\"a\":1 \"b\":2}"), "a ',' or '}' was expected"},
        {S("1 2"), "something stands behind the JSON value"},
        {S("{}}"), "something stands behind the JSON value"},
        {S("1,"), "something stands behind the JSON value"},
        {S("/* */1"), "a value was expected"},
        {S("\xef\xbb\xbf"
           "1"),
         "a value was expected"},
        {S("\v1"), "a value was expected"},
        {S("\xc2\xa0"
           "1"),
         "a value was expected"},
        {S("1\0"), "something stands behind the JSON value"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++) {
        const char *reason = "none";

        assert_int_equal(check(bad[i].text, false, &reason), HF_EBADMSG);
        if (strcmp(reason, bad[i].reason) != 0)
            fail_msg("%s: %s", bad[i].text.data, reason);
    }
}

static void utf8_is_checked_where_asked(void **state)
{
    const char *reason = NULL;

    (void)state;
    assert_int_equal(check(HF_STR("\"\xc3\xa9\""), true, &reason), 0);
    assert_int_equal(check(HF_STR("\"\xc3\""), false, &reason), 0);
    assert_int_equal(check(HF_STR("\"\xc3\""), true, &reason), HF_EBADMSG);
    assert_string_equal(reason, "the JSON is not valid UTF-8");
}

static void the_value_comes_without_the_space_around_it(void **state)
{
    struct hf_str value;
    const char *reason;

    (void)state;
    assert_int_equal(hf_json_check(HF_STR("\r\n\t [ 1 , 2 ] \n"), true, &value, &reason), 0);
    assert_true(hf_str_eq(value, HF_STR("[ 1 , 2 ]")));
}

/* open, open, … value …, close, close */
static int check_nested(const char *open, const char *value, const char *close, int depth,
                        const char **reason)
{
    struct hf_buf text;
    int err;

    hf_buf_init(&text, 65536);
    for (int i = 0; i < depth; i++)
        hf_buf_puts(&text, open);
    hf_buf_puts(&text, value);
    for (int i = 0; i < depth; i++)
        hf_buf_puts(&text, close);
    assert_false(text.failed);
    err = check(hf_buf_str(&text), true, reason);
    hf_buf_release(&text);
    return err;
}

static void nesting_has_a_limit(void **state)
{
    const char *reason = NULL;

    (void)state;
    assert_int_equal(check_nested("[", "1", "]", HF_JSON_DEPTH_MAX, &reason), 0);
    assert_int_equal(check_nested("{\"a\":", "1", "}", HF_JSON_DEPTH_MAX, &reason), 0);
    assert_int_equal(check_nested("[", "1", "]", HF_JSON_DEPTH_MAX + 1, &reason), HF_EBADMSG);
    assert_string_equal(reason, "arrays and objects are nested too deeply");
    assert_int_equal(check_nested("{\"a\":", "", "}", HF_JSON_DEPTH_MAX + 1, &reason), HF_EBADMSG);
    assert_string_equal(reason, "arrays and objects are nested too deeply");
}

static void kinds_are_told_by_the_first_byte(void **state)
{
    (void)state;
    assert_int_equal(hf_json_kind(HF_STR("null")), HF_JSON_NULL);
    assert_int_equal(hf_json_kind(HF_STR("true")), HF_JSON_BOOL);
    assert_int_equal(hf_json_kind(HF_STR("false")), HF_JSON_BOOL);
    assert_int_equal(hf_json_kind(HF_STR("-1")), HF_JSON_NUMBER);
    assert_int_equal(hf_json_kind(HF_STR("0")), HF_JSON_NUMBER);
    assert_int_equal(hf_json_kind(HF_STR("\"\"")), HF_JSON_STRING);
    assert_int_equal(hf_json_kind(HF_STR("[]")), HF_JSON_ARRAY);
    assert_int_equal(hf_json_kind(HF_STR("{}")), HF_JSON_OBJECT);
}

static void an_array_is_walked(void **state)
{
    static const char *const want[] = {"[ 1 ]", "\"a,]\"", "{\"x\":[]}", "null"};
    struct hf_str rest = HF_STR("[ [ 1 ] ,\"a,]\",{\"x\":[]}, null ]"), value;

    (void)state;
    for (size_t i = 0; i < COUNT(want); i++) {
        assert_true(hf_json_next_element(&rest, &value));
        assert_true(hf_str_eq(value, hf_str_from(want[i])));
    }
    assert_false(hf_json_next_element(&rest, &value));
    assert_false(hf_json_next_element(&rest, &value));
    rest = HF_STR("[ ]");
    assert_false(hf_json_next_element(&rest, &value));
}

static void an_object_is_walked(void **state)
{
    static const char *const want[][2] = {{"\"a\"", "{ }"}, {"\"\\\"b\"", "-1.5"}, {"\"\"", "[{}]"}};
    struct hf_str rest = HF_STR("{ \"a\" : { } ,\"\\\"b\":-1.5,\"\":[{}]}"), key, value;

    (void)state;
    for (size_t i = 0; i < COUNT(want); i++) {
        assert_true(hf_json_next_member(&rest, &key, &value));
        assert_true(hf_str_eq(key, hf_str_from(want[i][0])));
        assert_true(hf_str_eq(value, hf_str_from(want[i][1])));
    }
    assert_false(hf_json_next_member(&rest, &key, &value));
    assert_false(hf_json_next_member(&rest, &key, &value));
    rest = HF_STR("{}");
    assert_false(hf_json_next_member(&rest, &key, &value));
}

static void fields_are_found_by_name(void **state)
{
    struct hf_json_field fields[] = {{.name = HF_STR("a")}, {.name = HF_STR("bc")}};

    (void)state;
    assert_int_equal(hf_json_fields(HF_STR("{\"x\":0,\"\\u0062c\":[2],\"a\":1}"), fields, 2), 0);
    assert_true(hf_str_eq(fields[0].value, HF_STR("1")));
    assert_true(hf_str_eq(fields[1].value, HF_STR("[2]")));
    assert_int_equal(hf_json_fields(HF_STR("{\"a\":1}"), fields, 2), HF_EBADMSG);
    assert_int_equal(hf_json_fields(HF_STR("{\"a\":1,\"bc\":2,\"\\u0061\":1}"), fields, 2), HF_EBADMSG);
    assert_int_equal(hf_json_fields(HF_STR("[]"), fields, 2), HF_EBADMSG);
}

static void strings_are_unquoted(void **state)
{
    static const struct {
        const char *raw;
        struct hf_str want;
    } good[] = {
        {"\"\"", S("")},
        {"\"plain text, long enough\"", S("plain text, long enough")},
        {"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", S("\"\\/\b\f\n\r\t")},
        {"\"\\u0041\\u00e9\\u20ac\\u0000z\"", S("A\xc3\xa9\xe2\x82\xac\0z")},
        {"\"\\ud83d\\uDE00!\"", S("\xf0\x9f\x98\x80!")},
        {"\"\\uD800\\uDC00\\uDBFF\\uDFFF\"", S("\xf0\x90\x80\x80\xf4\x8f\xbf\xbf")},
        {"\"\\u007f\\u0080\\u07ff\\u0800\\uffff\"", S("\x7f\xc2\x80\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf")},
        {"\"\\ud7ff\\ue000\"", S("\xed\x9f\xbf\xee\x80\x80")},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(good); i++) {
        size_t len = strlen(good[i].raw);
        char *raw = exact_copy(good[i].raw, len), *out = exact_copy(good[i].raw, len - 2);

        assert_int_equal(hf_json_unquote((struct hf_str){raw, len}, out, len - 2), good[i].want.len);
        assert_memory_equal(out, good[i].want.data, good[i].want.len);
        if (good[i].want.len > 0)
            assert_int_equal(hf_json_unquote((struct hf_str){raw, len}, out, good[i].want.len - 1),
                             HF_ETOOLARGE);
        /* In its own place, too. */
        assert_int_equal(hf_json_unquote((struct hf_str){raw, len}, raw, len), good[i].want.len);
        assert_memory_equal(raw, good[i].want.data, good[i].want.len);
        free(raw);
        free(out);
    }
}

static void what_is_no_string_is_not_unquoted(void **state)
{
    static const char *const bad[] = {
        "",
        "\"",
        "x",
        "12",
        "\"\\ud800\"",
        "\"\\udc00\"",
        "\"\\ud800x\"",
        "\"\\ud800\\n\"",
        "\"\\ud800\\u0041\"",
        "\"\\ud800\\ud800\"",
        "\"\\udc00\\ud800\"",
        "\"\\udc00\\udc00\"",
        "\"\\u12\"",
        "\"\\uzzzz\"",
        "\"\\x\"",
        "\"\\\"",
        "\"a\"b\"",
    };
    char out[64];

    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++) {
        char *raw = exact_copy(bad[i], strlen(bad[i]));

        assert_int_equal(hf_json_unquote((struct hf_str){raw, strlen(bad[i])}, out, sizeof(out)), HF_EBADMSG);
        free(raw);
    }
}

static void numbers_are_whole_and_below_two_to_the_53(void **state)
{
    static const char *const bad[] = {"",
                                      "-1",
                                      "-0",
                                      "01",
                                      "1.0",
                                      "1e3",
                                      "9007199254740992",
                                      "99999999999999999999",
                                      "a",
                                      "\"1\"",
                                      " 1",
                                      "1 ",
                                      "null",
                                      "18446744073709551617"};
    uint64_t n;

    (void)state;
    assert_int_equal(hf_json_u53(HF_STR("0"), &n), 0);
    assert_int_equal(n, 0);
    assert_int_equal(hf_json_u53(HF_STR("9007199254740991"), &n), 0);
    assert_int_equal(n, HF_NUMBER_MAX);
    for (size_t i = 0; i < COUNT(bad); i++)
        assert_int_equal(hf_json_u53(hf_str_from(bad[i]), &n), HF_EBADMSG);
}

static void strings_are_put_in_quotes(void **state)
{
    static const struct {
        struct hf_str s;
        const char *want;
    } puts[] = {
        {S(""), "\"\""},
        {S("plain / text"), "\"plain / text\""},
        {S("\"\\\b\f\n\r\t\0\x1f\x7f"), "\"\\\"\\\\\\b\\f\\n\\r\\t\\u0000\\u001f\x7f\""},
        {S("\xe2\x80\xa8\xe2\x80\xa9\xe2\x80\xaa\xe2\x82\xac"), "\"\\u2028\\u2029\xe2\x80\xaa\xe2\x82\xac\""},
        {S("a\xe2\x80\xa8"), "\"a\\u2028\""},
    };
    struct hf_buf out;

    (void)state;
    hf_buf_init(&out, 256);
    for (size_t i = 0; i < COUNT(puts); i++) {
        hf_buf_reset(&out);
        assert_int_equal(hf_json_put_string(&out, puts[i].s), 0);
        assert_int_equal(out.len, strlen(puts[i].want));
        assert_memory_equal(out.data, puts[i].want, out.len);
    }
    hf_buf_release(&out);
}

/* A string is UTF-8 by contract; one that is not (here: cut within U+2028) must not be read beyond its end. */
static void a_cut_string_is_not_read_beyond_its_end(void **state)
{
    char *cut = exact_copy("a\xe2\x80", 3);
    struct hf_buf out;

    (void)state;
    hf_buf_init(&out, 64);
    for (size_t len = 0; len <= 3; len++)
        assert_int_equal(hf_json_put_string(&out, (struct hf_str){cut + 3 - len, len}), 0);
    hf_buf_release(&out);
    free(cut);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(valid_values_pass),
        cmocka_unit_test(broken_values_are_refused_and_the_reason_told),
        cmocka_unit_test(utf8_is_checked_where_asked),
        cmocka_unit_test(the_value_comes_without_the_space_around_it),
        cmocka_unit_test(nesting_has_a_limit),
        cmocka_unit_test(kinds_are_told_by_the_first_byte),
        cmocka_unit_test(an_array_is_walked),
        cmocka_unit_test(an_object_is_walked),
        cmocka_unit_test(fields_are_found_by_name),
        cmocka_unit_test(strings_are_unquoted),
        cmocka_unit_test(what_is_no_string_is_not_unquoted),
        cmocka_unit_test(numbers_are_whole_and_below_two_to_the_53),
        cmocka_unit_test(strings_are_put_in_quotes),
        cmocka_unit_test(a_cut_string_is_not_read_beyond_its_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
