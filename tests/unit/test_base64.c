#include "base/base64.h"
#include "base/err.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* RFC 4648 section 10. */
static void the_test_vectors_of_the_rfc(void **state)
{
    static const struct {
        const char *bytes, *text;
    } cases[] = {{"", ""},
                 {"f", "Zg=="},
                 {"fo", "Zm8="},
                 {"foo", "Zm9v"},
                 {"foob", "Zm9vYg=="},
                 {"fooba", "Zm9vYmE="},
                 {"foobar", "Zm9vYmFy"}};

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        size_t len = strlen(cases[i].bytes);
        char text[16] = "";
        uint8_t bytes[16];

        assert_int_equal(hf_base64_chars(len), strlen(cases[i].text));
        hf_base64_encode(text, cases[i].bytes, len);
        assert_string_equal(text, cases[i].text);
        assert_int_equal(hf_base64_decode(hf_str_from(cases[i].text), bytes), len);
        assert_memory_equal(bytes, cases[i].bytes, len);
    }
}

/* Every byte at every place, there and back, also in the text's own place. */
static void all_bytes_come_back(void **state)
{
    uint8_t bytes[256 + 2];
    char text[352];

    (void)state;
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(i * 7);
    for (size_t from = 0; from < 3; from++) {
        size_t len = sizeof(bytes) - from;

        hf_base64_encode(text, bytes + from, len);
        assert_int_equal(hf_base64_decode((struct hf_str){text, hf_base64_chars(len)}, (uint8_t *)text), len);
        assert_memory_equal(text, bytes + from, len);
    }
}

static void one_sequence_of_bytes_has_one_text(void **state)
{
    static const char *const wrong[] = {
        "Z",        "Zg",   "Zg=",      "Zm9vY", "Zh==",  "Zm9=", "====",     "Z===",
        "Zg==Zg==", "Zm=v", "Zm9v====", " Zm9",  "Zm9\n", "Zm_-", "Zm9v Zm9", "\xc3\xa4Zm",
    };
    uint8_t bytes[16];

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_int_equal(hf_base64_decode(hf_str_from(wrong[i]), bytes), HF_EBADMSG);
    assert_int_equal(hf_base64_decode(HF_STR("+/+/"), bytes), 3);
    assert_memory_equal(bytes, "\xfb\xff\xbf", 3);
}

/* RFC 4648 section 5, without padding: RFC 7515 appendix C. */
static void base64url_has_no_padding(void **state)
{
    static const struct {
        const char *bytes, *text;
    } cases[] = {{"", ""},
                 {"f", "Zg"},
                 {"fo", "Zm8"},
                 {"foo", "Zm9v"},
                 {"foob", "Zm9vYg"},
                 {"\xfb\xff\xbf", "-_-_"},
                 {"\x03\xec\xff\xe0\xc1", "A-z_4ME"}};

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        size_t len = strlen(cases[i].bytes);
        char text[16] = "";
        uint8_t bytes[16];

        assert_int_equal(hf_base64url_chars(len), strlen(cases[i].text));
        hf_base64url_encode(text, cases[i].bytes, len);
        assert_string_equal(text, cases[i].text);
        assert_int_equal(hf_base64url_decode(hf_str_from(cases[i].text), bytes), len);
        assert_memory_equal(bytes, cases[i].bytes, len);
    }
}

static void base64url_has_one_text_too(void **state)
{
    static const char *const wrong[] = {"A",     "AAAAA", "Z",    "Zg==",  "Zg=",        "Zh",        "Zm9",
                                        "Zm9vY", "+/+/",  "Zm 9", "Zm9v.", "Zm9vYmFy\n", "\xc3\xa4Zm"};
    uint8_t bytes[16];

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_int_equal(hf_base64url_decode(hf_str_from(wrong[i]), bytes), HF_EBADMSG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_test_vectors_of_the_rfc),        cmocka_unit_test(all_bytes_come_back),
        cmocka_unit_test(one_sequence_of_bytes_has_one_text), cmocka_unit_test(base64url_has_no_padding),
        cmocka_unit_test(base64url_has_one_text_too),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
