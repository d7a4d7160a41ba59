/*
 * jwt_key.h - a key that signs tokens, or only verifies them: read from a file, used for the one algorithm that it was configured for.
 * Which algorithm that is, is never taken from a token: a public key must not become the secret of an HMAC because somebody writes so.
 * Uses OpenSSL alone. After it was read a key does not change, and may be used by several threads.
 */
#ifndef HF_SERVER_JWT_KEY_H
#define HF_SERVER_JWT_KEY_H

#include "base/str.h"
#include "server/jwt_alg.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    HF_JWT_SIGNATURE_MAX = 1024, /* bytes: an RSA key of 8,192 bits */
    HF_JWT_KEY_FILE_MAX = 16384, /* bytes */
};

struct hf_jwt_key;

/*
 * Read a key. For HS256, HS384 and HS512 the file is the secret, but for one line end behind it. For the others it is PEM: a public key; a private one only where
 * private_too (to sign). Returns 0, HF_EINVAL with one line in error ("FILE: what is wrong; what to do", which tells nothing of the key), or HF_ENOMEM likewise.
 */
int hf_jwt_key_load(enum hf_jwt_alg alg, const char *path, bool private_too, struct hf_jwt_key **out,
                    char *error, size_t error_cap) HF_MUST_CHECK;
/* The same of a file's content; name stands for the file in errors. */
int hf_jwt_key_parse(enum hf_jwt_alg alg, const char *name, struct hf_str text, bool private_too,
                     struct hf_jwt_key **out, char *error, size_t error_cap) HF_MUST_CHECK;
void hf_jwt_key_free(struct hf_jwt_key *key); /* NULL is allowed */

enum hf_jwt_alg hf_jwt_key_alg(const struct hf_jwt_key *key);

/*
 * A number that the same key has each time it is read, whatever its file is called, and another key has not, but by a chance of one in 2^31. Never 0. It tells nothing of the key, and
 * is for this server's own memory: no protocol, no log.
 */
uint32_t hf_jwt_key_mark(const struct hf_jwt_key *key);

/* Whether this is the key's signature under that text. A secret's is compared in constant time. */
bool hf_jwt_key_verify(const struct hf_jwt_key *key, struct hf_str text, const uint8_t *signature,
                       size_t len);
/* Sign. Returns the bytes of the signature, or HF_EINVAL where the key is a public one, HF_ENOMEM. */
int hf_jwt_key_sign(const struct hf_jwt_key *key, struct hf_str text,
                    uint8_t out[HF_JWT_SIGNATURE_MAX]) HF_MUST_CHECK;

#endif
