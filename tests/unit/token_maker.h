/*
 * token_maker.h - keys and tokens for tests, good ones and bad ones: header and payload are taken as they are given. Included by one file of an executable that links
 * server_lib, behind cmocka.h.
 */
#ifndef HF_TESTS_TOKEN_MAKER_H
#define HF_TESTS_TOKEN_MAKER_H

#include "base/base64.h"
#include "base/buf.h"
#include "server/auth.h"
#include "server/jwt.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TOKEN_ROOM = 16384 };

struct token_text {
    char text[TOKEN_ROOM];
};

static inline void token_put64(struct token_text *t, const void *data, size_t len)
{
    size_t at = strlen(t->text);

    assert_true(at + hf_base64url_chars(len) < sizeof(t->text));
    hf_base64url_encode(t->text + at, data, len);
    t->text[at + hf_base64url_chars(len)] = '\0';
}

static inline void token_put_dot(struct token_text *t)
{
    size_t at = strlen(t->text);

    assert_true(at + 1 < sizeof(t->text));
    t->text[at] = '.';
    t->text[at + 1] = '\0';
}

/* HEADER.PAYLOAD, signed by that key; NULL: with an empty signature. */
static inline void token_make_raw(struct token_text *t, const struct hf_jwt_key *key, const char *header,
                                  const void *payload, size_t payload_len)
{
    uint8_t signature[HF_JWT_SIGNATURE_MAX];
    int len = 0;

    t->text[0] = '\0';
    token_put64(t, header, strlen(header));
    token_put_dot(t);
    token_put64(t, payload, payload_len);
    if (key != NULL)
        len = hf_jwt_key_sign(key, hf_str_from(t->text), signature);
    assert_true(len >= 0);
    token_put_dot(t);
    token_put64(t, signature, (size_t)len);
}

static inline const char *token_make(struct token_text *t, const struct hf_jwt_key *key, const char *header,
                                     const char *payload)
{
    token_make_raw(t, key, header, payload, strlen(payload));
    return t->text;
}

/* A secret of that many letters. */
static inline struct hf_jwt_key *token_secret(enum hf_jwt_alg alg, char letter, size_t len)
{
    char text[256], error[256];
    struct hf_jwt_key *key;

    memset(text, letter, len);
    assert_int_equal(
        hf_jwt_key_parse(alg, "secret", (struct hf_str){text, len}, true, &key, error, sizeof(error)), 0);
    return key;
}

/* A fresh pair in PEM. */
struct token_pair {
    char private_pem[8192], public_pem[2048];
};

static inline void token_put_pem(BIO *bio, char *out, size_t cap)
{
    int len = BIO_read(bio, out, (int)cap - 1);

    assert_true(len > 0);
    out[len] = '\0';
    BIO_free(bio);
}

static inline void token_pair_of(EVP_PKEY *pkey, struct token_pair *pair)
{
    BIO *bio = BIO_new(BIO_s_mem());

    assert_non_null(pkey);
    assert_int_equal(PEM_write_bio_PUBKEY(bio, pkey), 1);
    token_put_pem(bio, pair->public_pem, sizeof(pair->public_pem));
    bio = BIO_new(BIO_s_mem());
    assert_int_equal(PEM_write_bio_PKCS8PrivateKey(bio, pkey, NULL, NULL, 0, NULL, NULL), 1);
    token_put_pem(bio, pair->private_pem, sizeof(pair->private_pem));
    EVP_PKEY_free(pkey);
}

static inline void token_pair_make(enum hf_jwt_alg alg, struct token_pair *pair)
{
    token_pair_of(alg == HF_JWT_RS256   ? EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048)
                  : alg == HF_JWT_ES256 ? EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256")
                                        : EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"),
                  pair);
}

static inline struct hf_jwt_key *token_pem_key(enum hf_jwt_alg alg, const char *pem, bool private_too)
{
    char error[256] = "";
    struct hf_jwt_key *key;

    assert_int_equal(hf_jwt_key_parse(alg, "pem", hf_str_from(pem), private_too, &key, error, sizeof(error)),
                     0);
    return key;
}

#endif
