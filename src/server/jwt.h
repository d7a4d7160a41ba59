/*
 * jwt.h - tokens as they travel: JWT (RFC 7519) in the compact form of a JWS (RFC 7515 section 7.1), HEADER.PAYLOAD.SIGNATURE in base64url. Strict: what has two
 * readings is refused. Who signed it, and whether it is good now, is for auth.h.
 */
#ifndef HF_SERVER_JWT_H
#define HF_SERVER_JWT_H

#include "base/buf.h"
#include "base/str.h"
#include "server/jwt_key.h"

#include <jansson.h>
#include <stdbool.h>

enum { HF_TOKEN_BYTES_MAX = 4096 }; /* as the clients take it: HF_CLIENT_TOKEN_MAX in holdfast.h */

struct hf_jwt {
    struct hf_str signed_text; /* HEADER.PAYLOAD, borrowed from the token */
    struct hf_str payload;     /* still base64url, likewise */
    json_t *header;            /* an object */
    const char *alg, *kid;     /* of it; kid NULL: it has none */
    uint8_t signature[HF_JWT_SIGNATURE_MAX];
    size_t signature_len; /* 0: the token is not signed */
};

/*
 * Take a token apart. Nothing of it has been verified then. Returns 0 (release it), or with *why, a static text, HF_ETOOLARGE, HF_EBADMSG, HF_ENOMEM: then there is
 * nothing to release. A header with "crit" is refused: we know no extension (RFC 7515 section 4.1.11).
 */
int hf_jwt_parse(struct hf_jwt *jwt, struct hf_str token, const char **why) HF_MUST_CHECK;
/* Its claims: an object, the caller's. As above; to be read when the signature has been found right. */
int hf_jwt_claims(const struct hf_jwt *jwt, json_t **out, const char **why) HF_MUST_CHECK;
void hf_jwt_release(struct hf_jwt *jwt);

/* Append a token with these claims, signed by a key that can. kid: "" or NULL: none. Returns 0, HF_EINVAL where the key is a public one, HF_ENOMEM or HF_ELIMIT. */
int hf_jwt_make(const struct hf_jwt_key *key, const char *kid, const json_t *claims,
                struct hf_buf *out) HF_MUST_CHECK;

#endif
