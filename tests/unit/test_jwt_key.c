/*
 * test_jwt_key.c - keys of tokens: what files are taken for one, and what they sign and verify. server/jwt_key.h.
 */
#include "server/jwt_key.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "token_maker.h"

#include <fcntl.h>
#include <unistd.h>

/* Returns the key of this text, or checks that it is refused with all of these words. */
static struct hf_jwt_key *parse(enum hf_jwt_alg alg, struct hf_str text, bool private_too,
                                const char *refused)
{
    char error[400] = "";
    struct hf_jwt_key *key;
    int err = hf_jwt_key_parse(alg, "the-file", text, private_too, &key, error, sizeof(error));

    if (refused == NULL) {
        assert_int_equal(err, 0);
        return key;
    }
    assert_int_equal(err, HF_EINVAL);
    assert_null(key);
    assert_int_equal(strncmp(error, "the-file: ", 10), 0);
    if (strstr(error, refused) == NULL)
        fail_msg("'%s' does not say '%s'", error, refused);
    return NULL;
}

static bool verifies(const struct hf_jwt_key *key, const char *text, const char *signature64)
{
    uint8_t signature[HF_JWT_SIGNATURE_MAX];
    int len = hf_base64url_decode(hf_str_from(signature64), signature);

    assert_true(len > 0);
    return hf_jwt_key_verify(key, hf_str_from(text), signature, (size_t)len);
}

/* RFC 7515 appendix A.1: HMAC SHA-256. */
static void the_example_of_the_rfc_for_hs256(void **state)
{
    static const char secret64[] =
        "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
    static const char text[] = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9."
                               "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFt"
                               "cGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    uint8_t secret[128];
    int len = hf_base64url_decode(HF_STR(secret64), secret);
    struct hf_jwt_key *key;

    (void)state;
    assert_int_equal(len, 64);
    key = parse(HF_JWT_HS256, (struct hf_str){(char *)secret, (size_t)len}, false, NULL);
    assert_true(verifies(key, text, "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"));
    assert_false(verifies(key, text, "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXg"));
    hf_jwt_key_free(key);
}

/* RFC 8037 appendix A.4: Ed25519, with its public key in the DER of RFC 8410. */
static void the_example_of_the_rfc_for_eddsa(void **state)
{
    static const uint8_t spki[] = {0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00};
    uint8_t der[sizeof(spki) + 34];
    char pem[256], der64[80] = "";
    struct hf_jwt_key *key;

    (void)state;
    memcpy(der, spki, sizeof(spki));
    assert_int_equal(
        hf_base64url_decode(HF_STR("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"), der + sizeof(spki)), 32);
    hf_base64_encode(der64, der, sizeof(spki) + 32);
    snprintf(pem, sizeof(pem), "-----BEGIN PUBLIC KEY-----\n%s\n-----END PUBLIC KEY-----\n", der64);
    key = token_pem_key(HF_JWT_EDDSA, pem, false);
    assert_true(
        verifies(key, "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc",
                 "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"));
    assert_false(
        verifies(key, "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmd",
                 "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"));
    hf_jwt_key_free(key);
}

/* Of each kind: what one key signs its public half verifies, nobody else's does, and no bit of text or signature may differ. */
static void each_algorithm_signs_and_verifies(void **state)
{
    static const enum hf_jwt_alg algs[] = {HF_JWT_RS256, HF_JWT_ES256, HF_JWT_EDDSA};
    struct token_pair pair, other;

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        struct hf_jwt_key *signer, *verifier, *stranger;
        uint8_t signature[HF_JWT_SIGNATURE_MAX];
        char text[] = "what is signed";
        int len;

        token_pair_make(algs[i], &pair);
        token_pair_make(algs[i], &other);
        signer = token_pem_key(algs[i], pair.private_pem, true);
        verifier = token_pem_key(algs[i], pair.public_pem, false);
        stranger = token_pem_key(algs[i], other.public_pem, false);
        len = hf_jwt_key_sign(signer, hf_str_from(text), signature);
        assert_int_equal(len, algs[i] == HF_JWT_RS256 ? 256 : 64);
        assert_true(hf_jwt_key_verify(verifier, hf_str_from(text), signature, (size_t)len));
        assert_true(hf_jwt_key_verify(signer, hf_str_from(text), signature, (size_t)len));
        assert_false(hf_jwt_key_verify(stranger, hf_str_from(text), signature, (size_t)len));
        assert_false(hf_jwt_key_verify(verifier, hf_str_from(text), signature, (size_t)len - 1));
        assert_false(hf_jwt_key_verify(verifier, hf_str_from(text), signature, 0));
        for (int at = 0; at < len; at += 7) {
            signature[at] ^= 1;
            assert_false(hf_jwt_key_verify(verifier, hf_str_from(text), signature, (size_t)len));
            signature[at] ^= 1;
        }
        text[3] ^= 1;
        assert_false(hf_jwt_key_verify(verifier, hf_str_from(text), signature, (size_t)len));
        assert_int_equal(hf_jwt_key_sign(verifier, hf_str_from(text), signature), HF_EINVAL);
        hf_jwt_key_free(signer);
        hf_jwt_key_free(verifier);
        hf_jwt_key_free(stranger);
    }
}

static uint32_t mark_and_free(struct hf_jwt_key *key)
{
    uint32_t mark = hf_jwt_key_mark(key);

    assert_int_not_equal(mark, 0);
    hf_jwt_key_free(key);
    return mark;
}

static void a_mark_is_of_the_key(void **state)
{
    static const enum hf_jwt_alg algs[] = {HF_JWT_RS256, HF_JWT_ES256, HF_JWT_EDDSA};
    uint32_t mark = mark_and_free(token_secret(HF_JWT_HS256, 'a', 64));
    struct token_pair pair, other;

    (void)state;
    assert_int_equal(mark_and_free(token_secret(HF_JWT_HS256, 'a', 64)), mark);
    assert_int_not_equal(mark_and_free(token_secret(HF_JWT_HS256, 'b', 64)), mark);
    assert_int_not_equal(mark_and_free(token_secret(HF_JWT_HS256, 'a', 63)), mark);
    /* A token that HS256 has made is none of HS512. */
    assert_int_not_equal(mark_and_free(token_secret(HF_JWT_HS512, 'a', 64)), mark);
    for (unsigned i = 0; i < 3; i++) {
        token_pair_make(algs[i], &pair);
        token_pair_make(algs[i], &other);
        mark = mark_and_free(token_pem_key(algs[i], pair.public_pem, false));
        assert_int_equal(mark_and_free(token_pem_key(algs[i], pair.private_pem, true)), mark);
        assert_int_not_equal(mark_and_free(token_pem_key(algs[i], other.public_pem, false)), mark);
    }
}

/* All of the hash, and not only its beginning, which would be guessed sooner. */
static void a_hash_is_whole(void **state)
{
    static const enum hf_jwt_alg algs[] = {HF_JWT_HS256, HF_JWT_HS384, HF_JWT_HS512};

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        struct hf_jwt_key *key = token_secret(algs[i], 's', 64);
        uint8_t signature[HF_JWT_SIGNATURE_MAX] = {0};
        int len = hf_jwt_key_sign(key, HF_STR("text"), signature);

        assert_int_equal(len, 32 + 16 * i);
        assert_true(hf_jwt_key_verify(key, HF_STR("text"), signature, (size_t)len));
        assert_false(hf_jwt_key_verify(key, HF_STR("text"), signature, (size_t)len + 1));
        assert_false(hf_jwt_key_verify(key, HF_STR("texts"), signature, (size_t)len));
        while (--len >= 0)
            assert_false(hf_jwt_key_verify(key, HF_STR("text"), signature, (size_t)len));
        hf_jwt_key_free(key);
    }
}

/* RFC 7518 section 3.4: 64 bytes, and not the DER that OpenSSL makes. A value of the curve that is 0, or too large, is none. */
static void a_signature_of_es256_has_one_form(void **state)
{
    struct token_pair pair;
    struct hf_jwt_key *key;
    uint8_t signature[HF_JWT_SIGNATURE_MAX] = {0};

    (void)state;
    token_pair_make(HF_JWT_ES256, &pair);
    key = token_pem_key(HF_JWT_ES256, pair.public_pem, false);
    assert_false(hf_jwt_key_verify(key, HF_STR("x"), signature, 64));
    memset(signature, 0xff, sizeof(signature));
    assert_false(hf_jwt_key_verify(key, HF_STR("x"), signature, 64));
    assert_false(hf_jwt_key_verify(key, HF_STR("x"), signature, 72));
    hf_jwt_key_free(key);
}

/* RFC 7518 section 3.2: "A key of the same size as the hash output … or larger MUST be used" */
static void a_secret_has_its_least_length(void **state)
{
    char secret[65];

    (void)state;
    memset(secret, 's', sizeof(secret));
    parse(HF_JWT_HS256, (struct hf_str){secret, 31}, false, "needs 32");
    hf_jwt_key_free(parse(HF_JWT_HS256, (struct hf_str){secret, 32}, false, NULL));
    parse(HF_JWT_HS384, (struct hf_str){secret, 47}, false, "needs 48");
    hf_jwt_key_free(parse(HF_JWT_HS384, (struct hf_str){secret, 48}, false, NULL));
    parse(HF_JWT_HS512, (struct hf_str){secret, 63}, false, "needs 64");
    hf_jwt_key_free(parse(HF_JWT_HS512, (struct hf_str){secret, 64}, false, NULL));
    parse(HF_JWT_HS256, HF_STR(""), false, "openssl rand");
    secret[31] = '\n'; /* An editor's line end is not of it. */
    parse(HF_JWT_HS256, (struct hf_str){secret, 32}, false, "31 bytes");
}

static void a_line_end_is_not_of_the_secret(void **state)
{
    char text[] = "0123456789abcdef0123456789abcdef\r\n";
    struct hf_jwt_key *with = parse(HF_JWT_HS256, hf_str_from(text), true, NULL), *without;
    uint8_t signature[HF_JWT_SIGNATURE_MAX];
    int len = hf_jwt_key_sign(with, HF_STR("text"), signature);

    (void)state;
    without = parse(HF_JWT_HS256, (struct hf_str){text, 32}, false, NULL);
    assert_int_equal(len, 32);
    assert_true(hf_jwt_key_verify(without, HF_STR("text"), signature, 32));
    hf_jwt_key_free(with);
    hf_jwt_key_free(without);
}

/* What would make a public key a secret, or let the private one lie about, or be guessed. */
static void a_key_of_another_kind_is_refused(void **state)
{
    struct token_pair rsa, ec, ed, small, p384;

    (void)state;
    token_pair_make(HF_JWT_RS256, &rsa);
    token_pair_make(HF_JWT_ES256, &ec);
    token_pair_make(HF_JWT_EDDSA, &ed);
    token_pair_of(EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)1024), &small);
    token_pair_of(EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-384"), &p384);
    parse(HF_JWT_HS256, hf_str_from(rsa.public_pem), false, "PEM");
    parse(HF_JWT_RS256, hf_str_from(ec.public_pem), false, "RSA key");
    parse(HF_JWT_RS256, hf_str_from(small.public_pem), false, "2,048");
    parse(HF_JWT_ES256, hf_str_from(rsa.public_pem), false, "P-256");
    parse(HF_JWT_ES256, hf_str_from(p384.public_pem), false, "P-256");
    parse(HF_JWT_EDDSA, hf_str_from(ec.public_pem), false, "Ed25519");
    parse(HF_JWT_RS256, hf_str_from(rsa.private_pem), false, "private key");
    parse(HF_JWT_ES256, hf_str_from(ec.private_pem), false, "private key");
    parse(HF_JWT_EDDSA, hf_str_from(ed.private_pem), false, "private key");
    parse(HF_JWT_RS256, HF_STR("no PEM at all"), false, "no public key");
    parse(HF_JWT_RS256, HF_STR(""), false, "no public key");
    rsa.public_pem[200] = '!';
    parse(HF_JWT_RS256, hf_str_from(rsa.public_pem), false, "no public key");
}

static void a_file_is_read_or_the_error_says_why_not(void **state)
{
    char path[] = "/tmp/hf_test_key_XXXXXX", error[400];
    char text[HF_JWT_KEY_FILE_MAX + 100];
    struct hf_jwt_key *key;
    int fd = mkstemp(path);

    (void)state;
    assert_true(fd >= 0);
    memset(text, 'k', sizeof(text));
    assert_int_equal(write(fd, text, 40), 40);
    assert_int_equal(hf_jwt_key_load(HF_JWT_HS256, path, false, &key, error, sizeof(error)), 0);
    assert_int_equal(hf_jwt_key_alg(key), HF_JWT_HS256);
    hf_jwt_key_free(key);
    assert_int_equal(write(fd, text, sizeof(text)), sizeof(text));
    assert_int_equal(hf_jwt_key_load(HF_JWT_HS256, path, false, &key, error, sizeof(error)), HF_EINVAL);
    assert_non_null(strstr(error, "longer than"));
    close(fd);
    unlink(path);
    assert_int_equal(hf_jwt_key_load(HF_JWT_HS256, path, false, &key, error, sizeof(error)), HF_EINVAL);
    assert_non_null(strstr(error, path));
    assert_non_null(strstr(error, "No such file"));
    assert_int_equal(hf_jwt_key_load(HF_JWT_HS256, "/", false, &key, error, sizeof(error)), HF_EINVAL);
    assert_non_null(strstr(error, "directory"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_example_of_the_rfc_for_hs256),
        cmocka_unit_test(the_example_of_the_rfc_for_eddsa),
        cmocka_unit_test(each_algorithm_signs_and_verifies),
        cmocka_unit_test(a_mark_is_of_the_key),
        cmocka_unit_test(a_hash_is_whole),
        cmocka_unit_test(a_signature_of_es256_has_one_form),
        cmocka_unit_test(a_secret_has_its_least_length),
        cmocka_unit_test(a_line_end_is_not_of_the_secret),
        cmocka_unit_test(a_key_of_another_kind_is_refused),
        cmocka_unit_test(a_file_is_read_or_the_error_says_why_not),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
