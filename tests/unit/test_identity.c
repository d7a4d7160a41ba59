/*
 * test_identity.c - who a token says its bearer is: server/identity.h.
 */
#include "server/identity.h"

#include "shm/sessions.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static int identity_of(const char *claims, struct hf_identity **out, const char **why)
{
    json_t *object = json_loads(claims, JSON_ALLOW_NUL, NULL);
    int err;

    assert_non_null(object);
    err = hf_identity_new(object, 12345, out, why);
    json_decref(object); /* The identity has a reference of its own. */
    return err;
}

static void user_info_and_claims_are_kept(void **state)
{
    struct hf_identity *identity;
    const char *why;

    (void)state;
    assert_int_equal(
        identity_of("{\"sub\":\"alice\",\"info\":{\"name\": \"A\", \"n\":[1, 2]},\"role\":\"admin\"}",
                    &identity, &why),
        0);
    assert_true(hf_str_eq(hf_identity_user(identity), HF_STR("alice")));
    assert_true(hf_str_eq(hf_identity_info(identity), HF_STR("{\"name\":\"A\",\"n\":[1,2]}")));
    assert_string_equal(json_string_value(json_object_get(identity->claims, "role")), "admin");
    assert_int_equal(identity->expires_ms, 12345);
    assert_null(why);
    hf_identity_drop(identity);
}

/* Two holders: the last one frees it. The sanitizer sees to it that it is then, and once. */
static void the_last_reference_frees_it(void **state)
{
    struct hf_identity *identity;
    const char *why;

    (void)state;
    assert_int_equal(identity_of("{\"sub\":\"bob\"}", &identity, &why), 0);
    assert_ptr_equal(hf_identity_hold(identity), identity);
    hf_identity_drop(identity);
    assert_true(hf_str_eq(identity->user, HF_STR("bob")));
    assert_int_equal(identity->info.len, 0);
    hf_identity_drop(identity);
    hf_identity_drop(NULL);
    assert_null(hf_identity_hold(NULL));
    assert_int_equal(hf_identity_user(NULL).len, 0);
    assert_int_equal(hf_identity_info(NULL).len, 0);
}

static void is_refused(const char *claims, const char *because)
{
    struct hf_identity *identity;
    const char *why;

    assert_int_equal(identity_of(claims, &identity, &why), HF_EINVAL);
    assert_null(identity);
    assert_non_null(strstr(why, because));
}

static void a_user_is_a_name(void **state)
{
    struct hf_identity *identity;
    char claims[600];
    const char *why;

    (void)state;
    is_refused("{}", "sub");
    is_refused("{\"sub\":\"\"}", "sub");
    is_refused("{\"sub\":7}", "sub");
    is_refused("{\"sub\":null}", "sub");
    is_refused("{\"sub\":[\"alice\"]}", "sub");
    is_refused("{\"sub\":\"a\\u0000b\"}", "sub");
    is_refused("{\"sub\":\"a\\nb\"}", "sub");
    is_refused("{\"sub\":\"a\\u007f\"}", "sub");
    is_refused("{\"sub\":\"\\u001f\"}", "sub");
    snprintf(claims, sizeof(claims), "{\"sub\":\"%0*d\"}", HF_USER_BYTES_MAX + 1, 1);
    is_refused(claims, "255");
    snprintf(claims, sizeof(claims), "{\"sub\":\"%0*d\"}", HF_USER_BYTES_MAX, 1);
    assert_int_equal(identity_of(claims, &identity, &why), 0);
    assert_int_equal(identity->user.len, HF_USER_BYTES_MAX);
    hf_identity_drop(identity);
}

/* Any JSON value, up to its bound as it is written out: the quotes count. */
static void an_info_has_its_bound(void **state)
{
    struct hf_identity *identity;
    char claims[HF_INFO_BYTES_MAX + 100];
    const char *why;

    (void)state;
    assert_int_equal(identity_of("{\"sub\":\"a\",\"info\":17}", &identity, &why), 0);
    assert_true(hf_str_eq(identity->info, HF_STR("17")));
    hf_identity_drop(identity);
    snprintf(claims, sizeof(claims), "{\"sub\":\"a\",\"info\":\"%0*d\"}", HF_INFO_BYTES_MAX - 2, 1);
    assert_int_equal(identity_of(claims, &identity, &why), 0);
    assert_int_equal(identity->info.len, HF_INFO_BYTES_MAX);
    hf_identity_drop(identity);
    snprintf(claims, sizeof(claims), "{\"sub\":\"a\",\"info\":\"%0*d\"}", HF_INFO_BYTES_MAX - 1, 1);
    is_refused(claims, "info");
}

static void a_token_ends_at_its_time(void **state)
{
    struct hf_identity *identity;
    const char *why;

    (void)state;
    assert_int_equal(identity_of("{\"sub\":\"a\"}", &identity, &why), 0);
    assert_false(hf_identity_ended(identity, 12344));
    assert_true(hf_identity_ended(identity, 12345));
    identity->expires_ms = 0;
    assert_false(hf_identity_ended(identity, UINT64_MAX));
    assert_false(hf_identity_ended(NULL, UINT64_MAX));
    hf_identity_drop(identity);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(user_info_and_claims_are_kept),
        cmocka_unit_test(the_last_reference_frees_it),
        cmocka_unit_test(a_user_is_a_name),
        cmocka_unit_test(an_info_has_its_bound),
        cmocka_unit_test(a_token_ends_at_its_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
