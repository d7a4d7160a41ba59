#include "client/url.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

#include <cmocka.h>

static void parts_are_found_and_filled_in(void **state)
{
    static const struct {
        const char *url, *host, *port, *authority, *target;
    } cases[] = {
        {"ws://127.0.0.1:8000/ws", "127.0.0.1", "8000", "127.0.0.1:8000", "/ws"},
        {"ws://example.org", "example.org", "80", "example.org", "/"},
        {"WS://example.org:80/a/b?c=d&e", "example.org", "80", "example.org", "/a/b?c=d&e"},
        {"ws://example.org?c=d", "example.org", "80", "example.org", "/?c=d"},
        {"ws://[::1]:9/", "::1", "9", "[::1]:9", "/"},
        {"ws://[fe80::1]", "fe80::1", "80", "[fe80::1]", "/"},
        {"wss://example.org", "example.org", "443", "example.org", "/"},
        {"Wss://example.org:443/ws", "example.org", "443", "example.org", "/ws"},
        {"wss://example.org:80/", "example.org", "80", "example.org:80", "/"},
        {"ws://example.org:443/", "example.org", "443", "example.org:443", "/"},
    };
    struct hf_url u;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(hf_url_parse(&u, cases[i].url), 0);
        assert_int_equal(u.secure, strncasecmp(cases[i].url, "wss", 3) == 0);
        assert_string_equal(u.host, cases[i].host);
        assert_string_equal(u.port, cases[i].port);
        assert_string_equal(u.authority, cases[i].authority);
        assert_string_equal(u.target, cases[i].target);
    }
}

/* What would break out of the request line or the Host header is refused with the rest. */
static void what_is_no_such_url_is_refused(void **state)
{
    static const char *const cases[] = {
        "wss:/a",           "wsss://a/", "",          "http://a/",     "ws:/a",           "ws://",
        "ws:///ws",         "ws://a:/",  "ws://a:0/", "ws://a:65536/", "ws://a:8x/",      "ws://[::1",
        "ws://[::1]x/",     "ws://u@a/", "ws://a/#f", "ws://a/b c",    "ws://a/\r\nX: y", "ws://a/\xc3\xa4",
        "ws://a:00000080/",
    };
    struct hf_url u;
    char longest[HF_URL_PATH_MAX + 32] = "ws://a/";
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_int_equal(hf_url_parse(&u, cases[i]), HF_EINVAL);
    memset(longest + 7, 'x', HF_URL_PATH_MAX - 2);
    assert_int_equal(hf_url_parse(&u, longest), 0);
    longest[7 + HF_URL_PATH_MAX - 2] = 'x';
    assert_int_equal(hf_url_parse(&u, longest), HF_EINVAL);
    memset(longest, 0, sizeof(longest));
    memcpy(longest, "ws://", 5);
    memset(longest + 5, 'h', HF_URL_HOST_MAX);
    assert_int_equal(hf_url_parse(&u, longest), HF_EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_are_found_and_filled_in),
        cmocka_unit_test(what_is_no_such_url_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
