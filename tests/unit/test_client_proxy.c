#include "client/proxy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void a_proxy_is_read(void **state)
{
    static const struct {
        const char *text, *host, *port, *authorization;
    } cases[] = {
        {"proxy.example", "proxy.example", "1080", ""},
        {"proxy.example:3128", "proxy.example", "3128", ""},
        {"http://proxy.example:3128", "proxy.example", "3128", ""},
        {"HTTP://proxy.example:80/", "proxy.example", "80", ""},
        {"http://192.0.2.1", "192.0.2.1", "1080", ""},
        {"http://[2001:db8::1]", "2001:db8::1", "1080", ""},
        {"http://[2001:db8::1]:3128/", "2001:db8::1", "3128", ""},
        /* RFC 7617 section 2's own example. */
        {"http://Aladdin:open%20sesame@proxy.example:1", "proxy.example", "1",
         "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="},
        {"user@proxy.example", "proxy.example", "1080", "Basic dXNlcjo="},
        {"u:a%40b@c@proxy.example", "proxy.example", "1080", "Basic dTphQGJAYw=="},
        {"u:p:q@[::1]:8", "::1", "8", "Basic dTpwOnE="},
    };
    struct hf_proxy p;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(hf_proxy_parse(&p, cases[i].text), 0);
        assert_string_equal(p.host, cases[i].host);
        assert_string_equal(p.port, cases[i].port);
        assert_string_equal(p.authorization, cases[i].authorization);
    }
}

static void what_is_no_proxy_is_refused(void **state)
{
    static const struct {
        const char *text;
        int err;
    } cases[] = {
        {"", HF_EINVAL},
        {"http://", HF_EINVAL},
        {"http://:80", HF_EINVAL},
        {"http://a:0", HF_EINVAL},
        {"http://a:65536", HF_EINVAL},
        {"http://a:", HF_EINVAL},
        {"http://a/path", HF_EINVAL},
        {"http://a?x", HF_EINVAL},
        {"http://a b", HF_EINVAL},
        {"http://a\r\nX: y", HF_EINVAL},
        {"::1", HF_EINVAL},
        {"http://u%3av:p@a", HF_EINVAL},   /* a colon in the user */
        {"http://u:p%0d%0a@a", HF_EINVAL}, /* a control character */
        {"http://u:p%4@a", HF_EINVAL},
        {"http://u:p%zz@a", HF_EINVAL},
        {"https://a:3128", HF_EUNSUPPORTED},
        {"socks5://a:1080", HF_EUNSUPPORTED},
        {"socks5h://a", HF_EUNSUPPORTED},
    };
    struct hf_proxy p;
    char longest[2 * HF_PROXY_USER_MAX + 64];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_int_equal(hf_proxy_parse(&p, cases[i].text), cases[i].err);
    memset(longest, 'u', HF_PROXY_USER_MAX);
    memcpy(longest + HF_PROXY_USER_MAX, ":p@a", sizeof(":p@a"));
    assert_int_equal(hf_proxy_parse(&p, longest), 0);
    memcpy(longest + HF_PROXY_USER_MAX, "u:p@a", sizeof("u:p@a"));
    assert_int_equal(hf_proxy_parse(&p, longest), HF_EINVAL);
    assert_string_equal(p.host, "");
    assert_string_equal(p.authorization, "");
}

static void the_environment_chooses_by_scheme_and_host(void **state)
{
    static const struct {
        const char *http, *https, *all, *none, *url, *host;
    } cases[] = {
        {NULL, NULL, NULL, NULL, "ws://a.test", ""},
        {"h", "s", NULL, NULL, "ws://a.test", "h"},
        {"h", "s", NULL, NULL, "wss://a.test", "s"},
        {"h", NULL, "all", NULL, "wss://a.test", "all"},
        {NULL, "s", "all", NULL, "ws://a.test", "all"},
        {"h", NULL, NULL, NULL, "wss://a.test", ""},
        /* no_proxy: names */
        {"h", NULL, NULL, "a.test", "ws://a.test", ""},
        {"h", NULL, NULL, "A.Test", "ws://a.tesT", ""},
        {"h", NULL, NULL, "test", "ws://a.test", ""},
        {"h", NULL, NULL, ".test", "ws://a.test", ""},
        {"h", NULL, NULL, ".a.test", "ws://a.test", ""},
        {"h", NULL, NULL, "a.test.", "ws://a.test", ""},
        {"h", NULL, NULL, "a.test", "ws://a.test.", ""},
        {"h", NULL, NULL, "est", "ws://a.test", "h"},
        {"h", NULL, NULL, "b.a.test", "ws://a.test", "h"},
        {"h", NULL, NULL, "x, y,,\tz a.test", "ws://a.test", ""},
        {"h", NULL, NULL, "x,y", "ws://a.test", "h"},
        {"h", NULL, NULL, "*", "ws://a.test", ""},
        {"h", NULL, NULL, "*.test", "ws://a.test", "h"}, /* as with curl: * is no pattern but alone */
        {"h", NULL, NULL, ".", "ws://a.test", "h"},
        /* no_proxy: addresses and networks */
        {"h", NULL, NULL, "192.0.2.1", "ws://192.0.2.1", ""},
        {"h", NULL, NULL, "192.0.2.0/24", "ws://192.0.2.1", ""},
        {"h", NULL, NULL, "192.0.3.0/24", "ws://192.0.2.1", "h"},
        {"h", NULL, NULL, "2.1", "ws://192.0.2.1", "h"}, /* not the end of a name */
        {"h", NULL, NULL, "2001:db8::/32", "ws://[2001:db8:0:1::9]:80", ""},
        {"h", NULL, NULL, "[2001:db8::9]", "ws://[2001:db8::9]", ""},
        {"h", NULL, NULL, "192.0.2.0/24", "ws://a.test", "h"},
        /* this machine */
        {"h", NULL, NULL, NULL, "ws://127.0.0.1:8000/ws", ""},
        {"h", NULL, NULL, NULL, "ws://127.3.2.1", ""},
        {"h", NULL, NULL, NULL, "ws://[::1]", ""},
        {"h", NULL, NULL, NULL, "ws://localhost", ""},
        {"h", NULL, NULL, NULL, "ws://a.localhost.", ""},
        {"h", NULL, NULL, NULL, "ws://nolocalhost", "h"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct hf_proxy_environment env = {
            .http = cases[i].http, .https = cases[i].https, .all = cases[i].all, .none = cases[i].none};
        struct hf_proxy p;
        struct hf_url url;
        const char *text;

        assert_int_equal(hf_url_parse(&url, cases[i].url), 0);
        assert_int_equal(hf_proxy_choose(&p, &env, &url, &text), 0);
        if (strcmp(p.host, cases[i].host) != 0)
            fail_msg("no_proxy %s, %s: %s, not %s", cases[i].none, cases[i].url, p.host, cases[i].host);
    }
}

static void what_is_wrong_in_the_environment_is_told(void **state)
{
    const struct hf_proxy_environment env = {.http = "socks5://a", .all = "b:x"};
    struct hf_proxy p;
    struct hf_url url;
    const char *text;

    (void)state;
    assert_int_equal(hf_url_parse(&url, "ws://a.test"), 0);
    assert_int_equal(hf_proxy_choose(&p, &env, &url, &text), HF_EUNSUPPORTED);
    assert_ptr_equal(text, env.http);
    assert_int_equal(hf_url_parse(&url, "wss://a.test"), 0);
    assert_int_equal(hf_proxy_choose(&p, &env, &url, &text), HF_EINVAL);
    assert_ptr_equal(text, env.all);
}

static void the_variables_are_those_of_curl(void **state)
{
    static const char *const names[] = {"http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY",
                                        "all_proxy",  "ALL_PROXY",  "no_proxy",    "NO_PROXY"};
    struct hf_proxy_environment env;

    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        assert_int_equal(setenv(names[i], names[i], 1), 0);
    hf_proxy_read_environment(&env);
    assert_string_equal(env.http, "http_proxy");
    assert_string_equal(env.https, "https_proxy");
    assert_string_equal(env.all, "all_proxy");
    assert_string_equal(env.none, "no_proxy");
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i += 2)
        assert_int_equal(setenv(names[i], "", 1), 0);
    hf_proxy_read_environment(&env);
    assert_null(env.http); /* HTTP_PROXY may be a request's header. */
    assert_string_equal(env.https, "HTTPS_PROXY");
    assert_string_equal(env.all, "ALL_PROXY");
    assert_string_equal(env.none, "NO_PROXY");
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        assert_int_equal(unsetenv(names[i]), 0);
    hf_proxy_read_environment(&env);
    assert_true(env.http == NULL && env.https == NULL && env.all == NULL && env.none == NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_proxy_is_read),
        cmocka_unit_test(what_is_no_proxy_is_refused),
        cmocka_unit_test(the_environment_chooses_by_scheme_and_host),
        cmocka_unit_test(what_is_wrong_in_the_environment_is_told),
        cmocka_unit_test(the_variables_are_those_of_curl),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
