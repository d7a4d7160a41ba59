#include "server/claims.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

/* What the claim `channels` of this value grants in the channel "chat:a", for each right: + or -. */
static void assert_grants(const char *value, const char *expected)
{
    json_error_t error;
    json_t *claims = json_object(), *claim = json_loads(value, JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
    char got[HF_RIGHTS + 1] = "";

    assert_non_null(claim);
    assert_int_equal(json_object_set_new(claims, "channels", claim), 0);
    for (enum hf_right right = 0; right < HF_RIGHTS; right++)
        got[right] = hf_claim_allows(claims, HF_STR("channels"), right, HF_STR("chat:a")) ? '+' : '-';
    if (strcmp(got, expected) != 0)
        fail_msg("%s: %s", value, got);
    json_decref(claims);
}

static void what_a_claim_grants(void **state)
{
    (void)state;
    assert_grants("true", "++++");
    assert_grants("\"*\"", "++++");
    assert_grants("\"chat:*\"", "++++");
    assert_grants("\"chat:a\"", "++++");
    assert_grants("[\"x\", 7, \"chat:a\"]", "++++");
    /* By right: subscribe, publish, history, presence. */
    assert_grants("{\"subscribe\": \"chat:a\"}", "+---");
    assert_grants("{\"publish\": [\"chat:*\"], \"history\": true}", "-++-");
    assert_grants("{\"presence\": [\"b\", \"chat:a\"], \"subscribe\": \"b\"}", "---+");
}

static void what_is_anything_else_grants_nothing(void **state)
{
    static const char *const values[] = {"false",
                                         "null",
                                         "1",
                                         "\"\"",
                                         "\"chat\"",
                                         "\"true\"",
                                         "[]",
                                         "{}",
                                         "[true]",
                                         "[[\"*\"]]",
                                         "{\"*\": true}",
                                         "{\"subscribe\": {\"publish\": \"*\"}}",
                                         "\"${user}\"",
                                         "\"chat:a\\u0000\"",
                                         "{\"all\": \"*\"}",
                                         "{\"subscribe\": false, \"publish\": [true]}"};

    (void)state;
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
        assert_grants(values[i], "----");
}

static void another_claim_grants_nothing(void **state)
{
    json_t *claims = json_pack("{s:s, s:b}", "channels", "*", "admin", 1), *no_object = json_true();
    char long_name[300];

    (void)state;
    memset(long_name, 'x', sizeof(long_name));
    assert_true(hf_claim_allows(claims, HF_STR("admin"), HF_RIGHT_PUBLISH, HF_STR("a")));
    assert_true(hf_claim_allows(claims, HF_STR("channels"), HF_RIGHT_PUBLISH, HF_STR("a")));
    assert_false(hf_claim_allows(claims, HF_STR("channel"), HF_RIGHT_PUBLISH, HF_STR("a")));
    assert_false(hf_claim_allows(claims, HF_STR("channelsx"), HF_RIGHT_PUBLISH, HF_STR("a")));
    assert_false(hf_claim_allows(claims, (struct hf_str){long_name, sizeof(long_name)}, HF_RIGHT_PUBLISH,
                                 HF_STR("a")));
    assert_false(hf_claim_allows(no_object, HF_STR("admin"), HF_RIGHT_PUBLISH, HF_STR("a")));
    json_decref(claims);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_claim_grants),
        cmocka_unit_test(what_is_anything_else_grants_nothing),
        cmocka_unit_test(another_claim_grants_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
