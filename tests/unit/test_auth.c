/*
 * test_auth.c - whether a token is good: every fault that it can have, and what is said of it. server/auth.h.
 */
#include "server/auth.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "token_maker.h"

#define NOW_S 1700000000u
#define NOW_MS (NOW_S * UINT64_C(1000))
#define HS256 "{\"alg\":\"HS256\"}"

static struct token_text token;
static const struct hf_auth_rules no_rules = {.audience = "", .issuer = ""};

/* One key without a name: a secret of 'a'. */
static struct hf_auth *auth_of(const struct hf_auth_rules *rules)
{
    struct hf_auth *auth = hf_auth_new(rules);

    assert_non_null(auth);
    assert_int_equal(hf_auth_add(auth, "", token_secret(HF_JWT_HS256, 'a', 32)), 0);
    return auth;
}

static const char *made_with(char letter, const char *header, const char *payload)
{
    struct hf_jwt_key *key = token_secret(HF_JWT_HS256, letter, 32);

    (void)token_make(&token, key, header, payload);
    hf_jwt_key_free(key);
    return token.text;
}

static const char *made(const char *payload)
{
    return made_with('a', HS256, payload);
}

/* Is it refused for that, with that word among the reasons? Takes auth. */
static void refuses_at(struct hf_auth *auth, struct hf_str text, uint64_t now_ms, enum hf_token_fault fault,
                       const char *word)
{
    struct hf_identity *identity;
    struct hf_token_verdict verdict;

    assert_int_equal(hf_auth_check(auth, text, now_ms, &identity, &verdict), HF_EINVAL);
    assert_null(identity);
    if (verdict.fault != fault || strstr(verdict.why, word) == NULL)
        fail_msg("fault %d: '%s', and not %d: '%s'", verdict.fault, verdict.why, fault, word);
    assert_true(strlen(verdict.why) <= HF_AUTH_REASON_MAX);
    hf_auth_free(auth);
}

static void refuses(struct hf_auth *auth, const char *text, enum hf_token_fault fault, const char *word)
{
    refuses_at(auth, hf_str_from(text), NOW_MS, fault, word);
}

/* Is it taken, for that user, until then? Takes auth. */
static void takes_at(struct hf_auth *auth, const char *text, uint64_t now_ms, const char *user,
                     uint64_t expires_ms)
{
    struct hf_identity *identity;
    struct hf_token_verdict verdict;

    if (hf_auth_check(auth, hf_str_from(text), now_ms, &identity, &verdict) < 0)
        fail_msg("refused: %s", verdict.why);
    assert_int_equal(verdict.fault, HF_TOKEN_GOOD);
    assert_null(verdict.why);
    assert_true(hf_str_eq(identity->user, hf_str_from(user)));
    assert_int_equal(identity->expires_ms, expires_ms);
    hf_identity_drop(identity);
    hf_auth_free(auth);
}

static void takes(struct hf_auth *auth, const char *text)
{
    takes_at(auth, text, NOW_MS, "alice", 0);
}

/* ---- Form ---- */

static void a_good_token_tells_its_user(void **state)
{
    (void)state;
    takes(auth_of(&no_rules), made("{\"sub\":\"alice\"}"));
    takes_at(auth_of(&no_rules), made("{\"sub\":\"bob\",\"exp\":1700000060,\"role\":[1]}"), NOW_MS, "bob",
             UINT64_C(1700000060000));
}

static void what_is_no_jwt_is_malformed(void **state)
{
    static const char *const wrong[] = {"",
                                        ".",
                                        "..",
                                        "a",
                                        "a.b",
                                        "a.b.c.d",
                                        "...",
                                        "a.b.",
                                        "####.e30.AA",
                                        "e30",
                                        "e30=.e30=.AA==",
                                        "e30.e30",
                                        "W10.e30.AA" /* [] */};

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        refuses(auth_of(&no_rules), wrong[i], HF_TOKEN_MALFORMED, "the token");
    refuses_at(auth_of(&no_rules), (struct hf_str){NULL, 0}, NOW_MS, HF_TOKEN_MALFORMED, "no JWT");
    refuses(auth_of(&no_rules), made_with('a', "{\"alg\":\"HS256\"", "{\"sub\":\"alice\"}"),
            HF_TOKEN_MALFORMED, "first part");
    refuses(auth_of(&no_rules), made_with('a', "{\"typ\":\"JWT\"}", "{\"sub\":\"alice\"}"),
            HF_TOKEN_MALFORMED, "no alg");
    refuses(auth_of(&no_rules), made_with('a', "{\"alg\":5}", "{\"sub\":\"alice\"}"), HF_TOKEN_MALFORMED,
            "no alg");
    refuses(auth_of(&no_rules), made_with('a', "{\"alg\":\"HS256\",\"kid\":1}", "{\"sub\":\"alice\"}"),
            HF_TOKEN_MALFORMED, "kid");
}

/* Signed, and yet none: JSON that has two readings, or is none. */
static void a_payload_must_be_one_object(void **state)
{
    static const char *const wrong[] = {"",
                                        "null",
                                        "[]",
                                        "\"sub\"",
                                        "{\"sub\":\"alice\"",
                                        "{\"sub\":\"alice\"} x",
                                        "{\"sub\":\"alice\",\"sub\":\"bob\"}",
                                        "{\"sub\":\"\xff\"}",
                                        "{'sub':'alice'}"};

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        refuses(auth_of(&no_rules), made(wrong[i]), HF_TOKEN_MALFORMED, "second part");
    refuses(auth_of(&no_rules),
            made_with('a', "{\"alg\":\"HS256\",\"alg\":\"HS256\"}", "{\"sub\":\"alice\"}"),
            HF_TOKEN_MALFORMED, "first part");
}

/* RFC 7515 section 4.1.11: "If any of the listed extension Header Parameters are not understood and supported by the recipient, then the JWS is invalid." */
static void an_extension_that_must_be_understood_is_not(void **state)
{
    (void)state;
    refuses(auth_of(&no_rules),
            made_with('a', "{\"alg\":\"HS256\",\"crit\":[\"b64\"],\"b64\":false}", "{\"sub\":\"a\"}"),
            HF_TOKEN_MALFORMED, "crit");
}

static void a_token_has_its_greatest_length(void **state)
{
    static char payload[4096];
    struct hf_auth *auth;
    size_t len;

    (void)state;
    memset(payload, ' ', sizeof(payload));
    for (len = 2900; len < sizeof(payload) - 1; len++) {
        snprintf(payload, len, "{\"sub\":\"alice\"}%*s", (int)(len - 16), "");
        if (strlen(made(payload)) > HF_TOKEN_BYTES_MAX)
            break;
        auth = auth_of(&no_rules);
        if (strlen(token.text) == HF_TOKEN_BYTES_MAX || len % 50 == 0)
            takes(auth, token.text);
        else
            hf_auth_free(auth);
    }
    assert_true(strlen(token.text) > HF_TOKEN_BYTES_MAX && strlen(token.text) < HF_TOKEN_BYTES_MAX + 3);
    refuses(auth_of(&no_rules), token.text, HF_TOKEN_TOO_LONG, "4,096");
}

/* ---- Signature ---- */

static void an_unsigned_token_is_refused(void **state)
{
    (void)state;
    refuses(auth_of(&no_rules), token_make(&token, NULL, "{\"alg\":\"none\"}", "{\"sub\":\"alice\"}"),
            HF_TOKEN_UNSIGNED, "not signed");
    refuses(auth_of(&no_rules), token_make(&token, NULL, "{\"alg\":\"NoNe\"}", "{\"sub\":\"alice\"}"),
            HF_TOKEN_UNSIGNED, "not signed");
    refuses(auth_of(&no_rules), made_with('a', "{\"alg\":\"none\"}", "{\"sub\":\"alice\"}"),
            HF_TOKEN_UNSIGNED, "not signed");
    refuses(auth_of(&no_rules), token_make(&token, NULL, HS256, "{\"sub\":\"alice\"}"), HF_TOKEN_UNSIGNED,
            "not signed");
}

static void another_key_signs_in_vain(void **state)
{
    (void)state;
    refuses(auth_of(&no_rules), made_with('b', HS256, "{\"sub\":\"alice\"}"), HF_TOKEN_SIGNATURE,
            "signature");
}

/* Each character of a good token, changed: of its first two parts another text is signed, of the last it is another signature. */
static void a_changed_token_is_refused(void **state)
{
    struct hf_auth *auth = auth_of(&no_rules);
    size_t len = strlen(made("{\"sub\":\"alice\",\"exp\":1800000000}"));

    (void)state;
    for (size_t at = 0; at < len; at++) {
        struct hf_identity *identity;
        struct hf_token_verdict verdict;
        char was = token.text[at];

        token.text[at] = was == 'A' ? 'B' : 'A';
        assert_int_equal(hf_auth_check(auth, hf_str_from(token.text), NOW_MS, &identity, &verdict),
                         HF_EINVAL);
        assert_true(verdict.fault == HF_TOKEN_SIGNATURE || verdict.fault == HF_TOKEN_MALFORMED ||
                    verdict.fault == HF_TOKEN_ALGORITHM);
        token.text[at] = was;
    }
    takes_at(auth, token.text, NOW_MS, "alice", UINT64_C(1800000000000));
}

/* The algorithm is the key's. A public key that is known to everybody does not become the secret of an HMAC. */
static void the_algorithm_is_not_taken_from_the_token(void **state)
{
    struct token_pair pair;
    struct hf_jwt_key *secret, *signer;
    struct hf_auth *auth;
    char text[4096];

    (void)state;
    refuses(auth_of(&no_rules), made_with('a', "{\"alg\":\"HS512\"}", "{\"sub\":\"alice\"}"),
            HF_TOKEN_ALGORITHM, "alg");
    refuses(auth_of(&no_rules), made_with('a', "{\"alg\":\"hs256\"}", "{\"sub\":\"alice\"}"),
            HF_TOKEN_ALGORITHM, "alg");
    token_pair_make(HF_JWT_RS256, &pair);
    auth = hf_auth_new(&no_rules);
    assert_int_equal(hf_auth_add(auth, "", token_pem_key(HF_JWT_RS256, pair.public_pem, false)), 0);
    /* As a library would that takes what is configured for whatever alg says. */
    snprintf(text, sizeof(text), " %s", pair.public_pem);
    assert_int_equal(
        hf_jwt_key_parse(HF_JWT_HS256, "x", hf_str_from(text), true, &secret, text, sizeof(text)), 0);
    refuses(auth, token_make(&token, secret, HS256, "{\"sub\":\"alice\"}"), HF_TOKEN_ALGORITHM, "alg");
    auth = hf_auth_new(&no_rules);
    assert_int_equal(hf_auth_add(auth, "", token_pem_key(HF_JWT_RS256, pair.public_pem, false)), 0);
    refuses(auth, token_make(&token, secret, "{\"alg\":\"RS256\"}", "{\"sub\":\"alice\"}"),
            HF_TOKEN_SIGNATURE, "signature");
    auth = hf_auth_new(&no_rules);
    assert_int_equal(hf_auth_add(auth, "", token_pem_key(HF_JWT_RS256, pair.public_pem, false)), 0);
    signer = token_pem_key(HF_JWT_RS256, pair.private_pem, true);
    takes(auth, token_make(&token, signer, "{\"alg\":\"RS256\"}", "{\"sub\":\"alice\"}"));
    hf_jwt_key_free(secret);
    hf_jwt_key_free(signer);
}

/* ---- Keys by name ---- */

/* a and b by name, and c without, if asked for. */
static struct hf_auth *rotation(bool with_unnamed)
{
    struct hf_auth *auth = hf_auth_new(&no_rules);

    assert_int_equal(hf_auth_add(auth, "old", token_secret(HF_JWT_HS256, 'a', 32)), 0);
    assert_int_equal(hf_auth_add(auth, "new", token_secret(HF_JWT_HS256, 'b', 32)), 0);
    if (with_unnamed)
        assert_int_equal(hf_auth_add(auth, "", token_secret(HF_JWT_HS256, 'c', 32)), 0);
    return auth;
}

static void a_kid_names_the_key(void **state)
{
    static const char old[] = "{\"alg\":\"HS256\",\"kid\":\"old\"}",
                      new[] = "{\"alg\":\"HS256\",\"kid\":\"new\"}",
                      other[] = "{\"alg\":\"HS256\",\"kid\":\"other\"}", alice[] = "{\"sub\":\"alice\"}";

    (void)state;
    takes(rotation(false), made_with('a', old, alice));
    takes(rotation(false), made_with('b', new, alice));
    refuses(rotation(false), made_with('a', new, alice), HF_TOKEN_SIGNATURE, "signature");
    refuses(rotation(false), made_with('b', old, alice), HF_TOKEN_SIGNATURE, "signature");
    refuses(rotation(false), made_with('a', other, alice), HF_TOKEN_KEY, "kid");
    refuses(rotation(false), made_with('a', HS256, alice), HF_TOKEN_KEY, "no kid");
    /* "for tokens without kid, and those whose kid is no other key's" */
    takes(rotation(true), made_with('c', HS256, alice));
    takes(rotation(true), made_with('c', other, alice));
    takes(rotation(true), made_with('b', new, alice));
    refuses(rotation(true), made_with('c', new, alice), HF_TOKEN_SIGNATURE, "signature");
    /* The only key needs no name in a token. */
    takes(auth_of(&no_rules), made_with('a', other, alice));
}

static void the_only_key_is_meant_without_kid(void **state)
{
    struct hf_auth *auth = hf_auth_new(&no_rules);

    (void)state;
    assert_int_equal(hf_auth_add(auth, "only", token_secret(HF_JWT_HS256, 'a', 32)), 0);
    takes(auth, made("{\"sub\":\"alice\"}"));
    auth = hf_auth_new(&no_rules);
    assert_int_equal(hf_auth_add(auth, "only", token_secret(HF_JWT_HS256, 'a', 32)), 0);
    refuses(auth, made_with('a', "{\"alg\":\"HS256\",\"kid\":\"other\"}", "{\"sub\":\"alice\"}"),
            HF_TOKEN_KEY, "kid");
}

static void keys_have_their_bounds(void **state)
{
    struct hf_auth *auth = hf_auth_new(&no_rules);
    struct hf_jwt_key *key = token_secret(HF_JWT_HS256, 'z', 32);

    (void)state;
    for (int i = 0; i < HF_AUTH_KEYS_MAX; i++) {
        char kid[16];

        snprintf(kid, sizeof(kid), "%d", i);
        assert_int_equal(hf_auth_add(auth, kid, token_secret(HF_JWT_HS256, 'a', 32)), 0);
        assert_int_equal(hf_auth_add(auth, kid, key), HF_EEXIST);
    }
    assert_int_equal(hf_auth_add(auth, "more", key), HF_ELIMIT);
    hf_jwt_key_free(key);
    hf_auth_free(auth);
}

/* ---- Claims ---- */

static void it_ends_at_exp_and_the_leeway(void **state)
{
    const struct hf_auth_rules rules = {.audience = "", .issuer = "", .leeway_ms = 5000};
    const char *text = made("{\"sub\":\"alice\",\"exp\":1700000000.5}");

    (void)state;
    takes_at(auth_of(&no_rules), text, NOW_MS + 499, "alice", NOW_MS + 500);
    refuses_at(auth_of(&no_rules), hf_str_from(text), NOW_MS + 500, HF_TOKEN_EXPIRED, "exp");
    takes_at(auth_of(&rules), text, NOW_MS + 5499, "alice", NOW_MS + 5500);
    refuses_at(auth_of(&rules), hf_str_from(text), NOW_MS + 5500, HF_TOKEN_EXPIRED, "fresh");
}

static void it_begins_at_nbf_less_the_leeway(void **state)
{
    const struct hf_auth_rules rules = {.audience = "", .issuer = "", .leeway_ms = 5000};
    const char *text = made("{\"sub\":\"alice\",\"nbf\":1700000000}");

    (void)state;
    refuses_at(auth_of(&no_rules), hf_str_from(text), NOW_MS - 1, HF_TOKEN_NOT_YET, "nbf");
    takes_at(auth_of(&no_rules), text, NOW_MS, "alice", 0);
    refuses_at(auth_of(&rules), hf_str_from(text), NOW_MS - 5001, HF_TOKEN_NOT_YET, "leeway");
    takes_at(auth_of(&rules), text, NOW_MS - 5000, "alice", 0);
}

static void times_are_numbers(void **state)
{
    static const char *const wrong[] = {"\"1700000060\"", "null",  "true",         "-1",
                                        "[1700000060]",   "1e300", "9000000000001"};
    char payload[128];

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        snprintf(payload, sizeof(payload), "{\"sub\":\"alice\",\"exp\":%s}", wrong[i]);
        refuses(auth_of(&no_rules), made(payload), HF_TOKEN_CLAIMS, "numbers");
        snprintf(payload, sizeof(payload), "{\"sub\":\"alice\",\"nbf\":%s}", wrong[i]);
        refuses(auth_of(&no_rules), made(payload), HF_TOKEN_CLAIMS, "numbers");
    }
    takes_at(auth_of(&no_rules), made("{\"sub\":\"alice\",\"exp\":9000000000000}"), NOW_MS, "alice",
             UINT64_C(9000000000000000));
}

/* RFC 7519 section 4.1.3: "In the general case, the "aud" value is an array of case-sensitive strings" */
static void it_is_for_this_server(void **state)
{
    const struct hf_auth_rules rules = {.audience = "chat", .issuer = ""};
    static const char *const wrong[] = {"\"Chat\"",   "\"chat2\"", "\"cha\"",      "[]",
                                        "[\"mail\"]", "7",         "{\"chat\":1}", "[[\"chat\"]]"};
    char payload[128];

    (void)state;
    takes(auth_of(&rules), made("{\"sub\":\"alice\",\"aud\":\"chat\"}"));
    takes(auth_of(&rules), made("{\"sub\":\"alice\",\"aud\":[\"mail\",\"chat\"]}"));
    takes(auth_of(&rules), made("{\"sub\":\"alice\",\"aud\":[\"chat\",\"mail\"]}"));
    refuses(auth_of(&rules), made("{\"sub\":\"alice\"}"), HF_TOKEN_AUDIENCE, "aud");
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        snprintf(payload, sizeof(payload), "{\"sub\":\"alice\",\"aud\":%s}", wrong[i]);
        refuses(auth_of(&rules), made(payload), HF_TOKEN_AUDIENCE, "aud");
        refuses(auth_of(&no_rules), made(payload), HF_TOKEN_AUDIENCE, "auth.audience");
    }
}

static void it_comes_from_the_issuer(void **state)
{
    const struct hf_auth_rules rules = {.audience = "", .issuer = "https://id.example.org"};

    (void)state;
    takes(auth_of(&rules), made("{\"sub\":\"alice\",\"iss\":\"https://id.example.org\"}"));
    refuses(auth_of(&rules), made("{\"sub\":\"alice\",\"iss\":\"https://id.example.org/\"}"), HF_TOKEN_ISSUER,
            "iss");
    refuses(auth_of(&rules), made("{\"sub\":\"alice\",\"iss\":[\"https://id.example.org\"]}"),
            HF_TOKEN_ISSUER, "iss");
    refuses(auth_of(&rules), made("{\"sub\":\"alice\"}"), HF_TOKEN_ISSUER, "iss");
    takes(auth_of(&no_rules), made("{\"sub\":\"alice\",\"iss\":\"anybody\"}"));
}

static void it_has_a_user(void **state)
{
    (void)state;
    refuses(auth_of(&no_rules), made("{}"), HF_TOKEN_CLAIMS, "sub");
    refuses(auth_of(&no_rules), made("{\"sub\":\"\"}"), HF_TOKEN_CLAIMS, "sub");
}

static void without_keys_and_where_it_is_said_nobody_is_asked(void **state)
{
    const struct hf_auth_rules open = {.audience = "", .issuer = "", .anonymous = true};
    struct hf_auth *auth = auth_of(&open), *closed = auth_of(&no_rules);

    (void)state;
    assert_true(hf_auth_anonymous(NULL));
    assert_true(hf_auth_anonymous(auth));
    assert_false(hf_auth_anonymous(closed));
    /* But a token that is shown must be good. */
    refuses(auth, made_with('b', HS256, "{\"sub\":\"alice\"}"), HF_TOKEN_SIGNATURE, "signature");
    hf_auth_free(closed);
}

/* What hf_jwt_make() makes is taken, with the kid that it was given. */
static void what_we_make_is_good(void **state)
{
    struct hf_jwt_key *key = token_secret(HF_JWT_HS256, 'b', 32);
    json_t *claims = json_pack("{s:s}", "sub", "alice");
    struct hf_buf out;

    (void)state;
    hf_buf_init(&out, HF_TOKEN_BYTES_MAX);
    assert_int_equal(hf_jwt_make(key, "new", claims, &out), 0);
    hf_buf_put(&out, "", 1);
    takes(rotation(false), (const char *)out.data);
    hf_buf_release(&out);
    hf_buf_init(&out, 40);
    assert_int_equal(hf_jwt_make(key, "new", claims, &out), HF_ELIMIT);
    hf_buf_release(&out);
    json_decref(claims);
    hf_jwt_key_free(key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_token_tells_its_user),
        cmocka_unit_test(what_is_no_jwt_is_malformed),
        cmocka_unit_test(a_payload_must_be_one_object),
        cmocka_unit_test(an_extension_that_must_be_understood_is_not),
        cmocka_unit_test(a_token_has_its_greatest_length),
        cmocka_unit_test(an_unsigned_token_is_refused),
        cmocka_unit_test(another_key_signs_in_vain),
        cmocka_unit_test(a_changed_token_is_refused),
        cmocka_unit_test(the_algorithm_is_not_taken_from_the_token),
        cmocka_unit_test(a_kid_names_the_key),
        cmocka_unit_test(the_only_key_is_meant_without_kid),
        cmocka_unit_test(keys_have_their_bounds),
        cmocka_unit_test(it_ends_at_exp_and_the_leeway),
        cmocka_unit_test(it_begins_at_nbf_less_the_leeway),
        cmocka_unit_test(times_are_numbers),
        cmocka_unit_test(it_is_for_this_server),
        cmocka_unit_test(it_comes_from_the_issuer),
        cmocka_unit_test(it_has_a_user),
        cmocka_unit_test(without_keys_and_where_it_is_said_nobody_is_asked),
        cmocka_unit_test(what_we_make_is_good),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
