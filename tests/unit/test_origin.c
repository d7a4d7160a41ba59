/*
 * test_origin.c - which web pages may connect: server/origin.h.
 */
#include "server/origin.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct hf_config config_with(const char *origins)
{
    static struct hf_config c;
    char assignment[512], error[256];

    hf_config_default(&c);
    snprintf(assignment, sizeof(assignment), "auth.origins=%s", origins);
    assert_int_equal(hf_config_set(&c, assignment, "--set", error, sizeof(error)), 0);
    return c;
}

static bool allowed(const struct hf_config *c, const char *origin)
{
    return hf_origin_allowed(c, hf_str_from(origin));
}

static void without_a_list_any_may(void **state)
{
    struct hf_config c = config_with("none");

    (void)state;
    assert_true(allowed(&c, "https://example.org"));
    assert_true(allowed(&c, "null"));
    assert_true(allowed(&c, ""));
    assert_true(allowed(&c, NULL));
}

/* RFC 6454 section 5: scheme, host and port are the same. */
static void an_origin_is_scheme_host_and_port(void **state)
{
    struct hf_config c = config_with("https://example.org,http://localhost:5173");

    (void)state;
    assert_true(allowed(&c, NULL)); /* No page. */
    assert_true(allowed(&c, "https://example.org"));
    assert_true(allowed(&c, "HTTPS://Example.ORG"));
    assert_true(allowed(&c, "http://localhost:5173"));
    assert_false(allowed(&c, "http://example.org"));
    assert_false(allowed(&c, "https://example.org:8443"));
    assert_false(allowed(&c, "https://example.org/"));
    assert_false(allowed(&c, "https://example.org.evil.org"));
    assert_false(allowed(&c, "https://www.example.org"));
    assert_false(allowed(&c, "http://localhost"));
    assert_false(allowed(&c, "http://localhost:51733"));
    assert_false(allowed(&c, "null"));
    assert_false(allowed(&c, ""));
}

static void a_star_is_one_label_or_more(void **state)
{
    struct hf_config c = config_with("https://*.example.org,http://*.test:8080");

    (void)state;
    assert_true(allowed(&c, "https://www.example.org"));
    assert_true(allowed(&c, "https://a.b.EXAMPLE.org"));
    assert_true(allowed(&c, "http://app.test:8080"));
    assert_false(allowed(&c, "https://example.org"));
    assert_false(allowed(&c, "https://.example.org"));
    assert_false(allowed(&c, "https://..example.org"));
    assert_false(allowed(&c, "https://evilexample.org"));
    assert_false(allowed(&c, "https://evil.org/.example.org"));
    assert_false(allowed(&c, "https://evil.org:1.example.org"));
    assert_false(allowed(&c, "https://evil.org@.example.org"));
    assert_false(allowed(&c, "https://evil.org?.example.org"));
    assert_false(allowed(&c, "http://www.example.org"));
    assert_false(allowed(&c, "https://www.example.org:8443"));
    assert_false(allowed(&c, "http://app.test"));
}

static void what_is_no_origin_is_refused_in_the_configuration(void **state)
{
    static const char *const wrong[] = {"example.org",
                                        "https://",
                                        "https://example.org/",
                                        "https://example.org/a",
                                        "*",
                                        "https://*",
                                        "https://a.*.org",
                                        "https://*.*.org",
                                        "https://u@h",
                                        "://example.org",
                                        "https://exa mple.org",
                                        "null",
                                        "https://*.",
                                        "https:///example.org"};
    struct hf_config c;
    char assignment[512], error[512];

    (void)state;
    hf_config_default(&c);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        snprintf(assignment, sizeof(assignment), "auth.origins=https://good.org,%s", wrong[i]);
        if (hf_config_set(&c, assignment, "--set", error, sizeof(error)) == 0)
            fail_msg("'%s' was taken", wrong[i]);
        assert_non_null(strstr(error, "https://example.org"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_list_any_may),
        cmocka_unit_test(an_origin_is_scheme_host_and_port),
        cmocka_unit_test(a_star_is_one_label_or_more),
        cmocka_unit_test(what_is_no_origin_is_refused_in_the_configuration),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
