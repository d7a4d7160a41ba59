/* When an application is asked for a token: before the first, before the end, after a refusal; never twice for the same. */
#include "client/tokens.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/base64.h"
#include "session/client_session.h"

enum { NOW = 1000000, UNIX = 1000000000 }; /* of the session's clock, and the wall's */

/* A JWT with these claims, as far as a client looks at it. */
static const char *jwt(const char *claims)
{
    static char token[HF_TOKEN_MAX + 1];
    size_t len = strlen(claims), chars = hf_base64url_chars(len);

    memcpy(token, "e30.", 4);
    hf_base64url_encode(token + 4, claims, len);
    memcpy(token + 4 + chars, ".AA", 4);
    return token;
}

static const char *ends_in(int64_t ms)
{
    char claims[100];

    (void)snprintf(claims, sizeof(claims), "{\"sub\":\"a\",\"exp\":%.3f}", (double)(UNIX + ms) / 1000);
    return jwt(claims);
}

static void the_end_is_read_where_a_token_says_it(void **state)
{
    char long_token[HF_TOKEN_MAX + 1];

    (void)state;
    assert_int_equal(hf_token_end_ms(jwt("{\"exp\":1700000000}")), UINT64_C(1700000000000));
    assert_int_equal(hf_token_end_ms(jwt("{\"exp\":1700000000.5,\"x\":{}}")), UINT64_C(1700000000500));
    assert_int_equal(hf_token_end_ms(jwt("{\"exp\":1.7e9}")), UINT64_C(1700000000000));
    assert_int_equal(hf_token_end_ms(jwt("{\"exp\":-1}")), 0);
    assert_int_equal(hf_token_end_ms(jwt("{\"exp\":\"1700000000\"}")), UINT64_MAX);
    assert_int_equal(hf_token_end_ms(jwt("{\"exp\":1e300}")), UINT64_MAX);
    assert_int_equal(hf_token_end_ms(jwt("{}")), UINT64_MAX);
    assert_int_equal(hf_token_end_ms(jwt("[1]")), UINT64_MAX);
    assert_int_equal(hf_token_end_ms(jwt("{\"exp\":1")), UINT64_MAX);
    assert_int_equal(hf_token_end_ms("opaque"), UINT64_MAX);
    assert_int_equal(hf_token_end_ms("a..b"), UINT64_MAX);
    assert_int_equal(hf_token_end_ms("a.$$$$.b"), UINT64_MAX);
    assert_int_equal(hf_token_end_ms(""), UINT64_MAX);
    memset(long_token, 'A', HF_TOKEN_MAX);
    long_token[0] = '.';
    long_token[HF_TOKEN_MAX] = '\0';
    assert_int_equal(hf_token_end_ms(long_token), UINT64_MAX);
}

static void asked(struct hf_tokens *t, uint32_t attempt, uint64_t now_ms,
                  enum hf_client_token_reason expected)
{
    enum hf_client_token_reason reason = (enum hf_client_token_reason)99;

    assert_true(hf_tokens_ask(t, attempt, now_ms, &reason));
    assert_int_equal(reason, expected);
}

static void not_asked(struct hf_tokens *t, uint32_t attempt, uint64_t now_ms)
{
    enum hf_client_token_reason reason;

    assert_false(hf_tokens_ask(t, attempt, now_ms, &reason));
}

static void without_one_it_is_asked_for_once_an_attempt(void **state)
{
    struct hf_tokens t;

    (void)state;
    hf_tokens_init(&t, NULL, true, UNIX);
    assert_true(hf_tokens_missing(&t, UNIX));
    not_asked(&t, 0, NOW);
    asked(&t, 1, NOW, HF_CLIENT_TOKEN_FIRST);
    not_asked(&t, 1, NOW);
    not_asked(&t, 2, NOW + 1); /* It waits for the answer. */
    assert_true(hf_tokens_failed(&t));
    assert_false(hf_tokens_failed(&t));
    not_asked(&t, 1, NOW + 2);
    asked(&t, 2, NOW + 2, HF_CLIENT_TOKEN_FIRST);
    assert_false(hf_tokens_timed_out(&t, NOW + 1 + HF_TOKEN_ANSWER_MS));
    assert_true(hf_tokens_timed_out(&t, NOW + 2 + HF_TOKEN_ANSWER_MS));
    assert_false(hf_tokens_timed_out(&t, NOW + 2 + HF_TOKEN_ANSWER_MS));
    asked(&t, 3, NOW, HF_CLIENT_TOKEN_FIRST);
    hf_tokens_taken(&t, "opaque", false, UNIX);
    assert_false(hf_tokens_missing(&t, UINT64_MAX / 2));
    assert_int_equal(hf_tokens_renew_in_ms(&t, UNIX), UINT64_MAX);
}

static void without_a_source_nothing_is_asked(void **state)
{
    struct hf_tokens t;

    (void)state;
    hf_tokens_init(&t, ends_in(60000), false, UNIX);
    assert_int_equal(hf_tokens_renew_in_ms(&t, UNIX), UINT64_MAX);
    assert_false(hf_tokens_missing(&t, UNIX + 100000));
    hf_tokens_init(&t, NULL, false, UNIX);
    assert_false(hf_tokens_missing(&t, UNIX));
}

static void it_is_renewed_before_its_end(void **state)
{
    static const struct {
        int64_t left_ms;
        uint64_t in_ms;
    } cases[] = {{3600000, 3570000}, {60000, 30000}, {40000, 20000},     {12000, 6000},
                 {8000, 5000},       {5001, 5000},   {5000, UINT64_MAX}, {-1000, UINT64_MAX}};
    struct hf_tokens t;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        hf_tokens_init(&t, ends_in(cases[i].left_ms), true, UNIX);
        assert_int_equal(hf_tokens_renew_in_ms(&t, UNIX), cases[i].in_ms);
    }
    hf_tokens_init(&t, ends_in(60000), true, UNIX);
    assert_int_equal(hf_tokens_renew_in_ms(&t, UNIX + 29000), 1000);
    assert_int_equal(hf_tokens_renew_in_ms(&t, UNIX + 40000), 0);
    hf_tokens_renewing(&t, NOW);
    assert_int_equal(hf_tokens_renew_in_ms(&t, UNIX + 40000), UINT64_MAX);
    hf_tokens_failed(&t);
    assert_int_equal(hf_tokens_renew_in_ms(&t, UNIX + 40000), UINT64_MAX); /* The next attempt will ask. */
    hf_tokens_taken(&t, ends_in(160000), true, UNIX + 50000);
    assert_int_equal(hf_tokens_renew_in_ms(&t, UNIX + 50000), 80000);
}

static void one_that_ends_is_not_shown_any_more(void **state)
{
    struct hf_tokens t;

    (void)state;
    hf_tokens_init(&t, ends_in(60000), true, UNIX);
    assert_false(hf_tokens_missing(&t, UNIX + 54999));
    assert_true(hf_tokens_missing(&t, UNIX + 55000));
    asked(&t, 1, NOW, HF_CLIENT_TOKEN_EXPIRED);
    hf_tokens_taken(&t, ends_in(120000), false, UNIX + 55000);
    assert_false(hf_tokens_missing(&t, UNIX + 55000));
    hf_tokens_refused(&t);
    assert_true(hf_tokens_missing(&t, UNIX + 55000));
    asked(&t, 2, NOW, HF_CLIENT_TOKEN_EXPIRED);
}

/* Our clock may be wrong: each token that the source gives is shown once, whatever its end. */
static void what_has_ended_by_our_clock_is_tried_once(void **state)
{
    struct hf_tokens t;

    (void)state;
    hf_tokens_init(&t, NULL, true, UNIX);
    asked(&t, 1, NOW, HF_CLIENT_TOKEN_FIRST);
    hf_tokens_taken(&t, ends_in(-1000), false, UNIX);
    assert_false(hf_tokens_missing(&t, UNIX));
    assert_int_equal(hf_tokens_renew_in_ms(&t, UNIX), UINT64_MAX);
    hf_tokens_shown(&t);
    assert_true(hf_tokens_missing(&t, UNIX));
    asked(&t, 2, NOW, HF_CLIENT_TOKEN_EXPIRED);
    hf_tokens_taken(&t, ends_in(-1000), true, UNIX); /* on a connection that stands: it has been shown */
    assert_true(hf_tokens_missing(&t, UNIX));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_end_is_read_where_a_token_says_it),
        cmocka_unit_test(without_one_it_is_asked_for_once_an_attempt),
        cmocka_unit_test(without_a_source_nothing_is_asked),
        cmocka_unit_test(it_is_renewed_before_its_end),
        cmocka_unit_test(one_that_ends_is_not_shown_any_more),
        cmocka_unit_test(what_has_ended_by_our_clock_is_tried_once),
    };

    return cmocka_run_group_tests_name("tokens", tests, NULL, NULL);
}
