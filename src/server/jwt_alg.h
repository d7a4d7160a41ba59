/*
 * jwt_alg.h - the algorithms that sign tokens (RFC 7518 section 3.1, RFC 8037), by their names. Tokens of others are refused, unsigned ones ("none") among them.
 */
#ifndef HF_SERVER_JWT_ALG_H
#define HF_SERVER_JWT_ALG_H

#include "base/err.h"
#include "base/str.h"

#include <stddef.h>

enum hf_jwt_alg {
    HF_JWT_HS256,
    HF_JWT_HS384,
    HF_JWT_HS512,
    HF_JWT_RS256,
    HF_JWT_ES256,
    HF_JWT_EDDSA,
    HF_JWT_ALGS
};

/* All names as a text: "HS256, HS384, …". */
#define HF_JWT_ALG_NAMES "HS256, HS384, HS512, RS256, ES256 or EdDSA"

/* The name in a token's header; static. */
const char *hf_jwt_alg_name(enum hf_jwt_alg alg);
/* Names are told apart by case. Returns 0 or HF_ENOTFOUND. */
int hf_jwt_alg_find(struct hf_str name, enum hf_jwt_alg *out) HF_MUST_CHECK;

/* Whether one secret signs and verifies (HS...). Its least bytes: 0 for the others. */
size_t hf_jwt_alg_secret_bytes(enum hf_jwt_alg alg);

#endif
