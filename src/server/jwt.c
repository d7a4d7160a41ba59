#include "server/jwt.h"

#include "base/base64.h"

#include <stdlib.h>
#include <string.h>

static const char malformed[] =
    "the token is no JWT: three parts of base64url with dots between them are expected";

/* Text of base64url into an object; *out is the caller's. */
static int read_object(struct hf_str text, json_t **out)
{
    uint8_t bytes[HF_TOKEN_BYTES_MAX];
    json_error_t error;
    int len = hf_base64url_decode(text, bytes);

    *out = NULL;
    if (len < 0)
        return HF_EBADMSG;
    /* RFC 7515 section 4: "The Header Parameter names within the JOSE Header MUST be unique"; RFC 7519 section 4 says so of claims. */
    *out = json_loadb((const char *)bytes, (size_t)len, JSON_REJECT_DUPLICATES, &error);
    if (*out == NULL)
        return json_error_code(&error) == json_error_out_of_memory ? HF_ENOMEM : HF_EBADMSG;
    if (json_is_object(*out))
        return 0;
    json_decref(*out);
    *out = NULL;
    return HF_EBADMSG;
}

/* Returns NULL, or what is wrong with the header. */
static const char *read_header(struct hf_jwt *jwt)
{
    const json_t *alg = json_object_get(jwt->header, "alg"), *kid = json_object_get(jwt->header, "kid");

    if (!json_is_string(alg))
        return "the token's header has no alg";
    if (kid != NULL && !json_is_string(kid))
        return "the kid in the token's header is no string";
    if (json_object_get(jwt->header, "crit") != NULL)
        return "the token's header has crit: extensions that must be understood, and are not";
    jwt->alg = json_string_value(alg);
    jwt->kid = json_string_value(kid);
    return NULL;
}

/* The three parts. Returns false where there are more or less. */
static bool split(struct hf_jwt *jwt, struct hf_str token, struct hf_str *header, struct hf_str *signature)
{
    const char *end = token.data + token.len;
    const char *first = token.len == 0 ? NULL : memchr(token.data, '.', token.len);
    const char *second = first == NULL ? NULL : memchr(first + 1, '.', (size_t)(end - first - 1));

    if (second == NULL || memchr(second + 1, '.', (size_t)(end - second - 1)) != NULL)
        return false;
    *header = (struct hf_str){token.data, (size_t)(first - token.data)};
    jwt->payload = (struct hf_str){first + 1, (size_t)(second - first - 1)};
    jwt->signed_text = (struct hf_str){token.data, (size_t)(second - token.data)};
    *signature = (struct hf_str){second + 1, (size_t)(end - second - 1)};
    return true;
}

/* Returns 0 or HF_EBADMSG. */
static int read_signature(struct hf_jwt *jwt, struct hf_str text)
{
    uint8_t bytes[HF_TOKEN_BYTES_MAX];
    int len = hf_base64url_decode(text, bytes);

    if (len < 0 || len > HF_JWT_SIGNATURE_MAX)
        return HF_EBADMSG;
    memcpy(jwt->signature, bytes, (size_t)len);
    jwt->signature_len = (size_t)len;
    return 0;
}

int hf_jwt_parse(struct hf_jwt *jwt, struct hf_str token, const char **why)
{
    struct hf_str header, signature;
    int err;

    *jwt = (struct hf_jwt){.header = NULL};
    *why = "the token is longer than 4,096 bytes";
    if (token.len > HF_TOKEN_BYTES_MAX)
        return HF_ETOOLARGE;
    *why = malformed;
    if (!split(jwt, token, &header, &signature) || read_signature(jwt, signature) < 0)
        return HF_EBADMSG;
    *why = "the token's first part is no JSON object in base64url";
    err = read_object(header, &jwt->header);
    if (err < 0)
        return err;
    *why = read_header(jwt);
    if (*why == NULL)
        return 0;
    hf_jwt_release(jwt);
    return HF_EBADMSG;
}

int hf_jwt_claims(const struct hf_jwt *jwt, json_t **out, const char **why)
{
    *why = "the token's second part is no JSON object in base64url";
    return read_object(jwt->payload, out);
}

void hf_jwt_release(struct hf_jwt *jwt)
{
    json_decref(jwt->header);
    jwt->header = NULL;
    jwt->alg = jwt->kid = NULL;
}

/* ---- Making ---- */

static void put_base64url(struct hf_buf *out, const void *data, size_t len)
{
    size_t chars = hf_base64url_chars(len);
    uint8_t *room = hf_buf_reserve(out, chars);

    if (room == NULL)
        return;
    hf_base64url_encode((char *)room, data, len);
    hf_buf_commit(out, chars);
}

/* Returns 0 or HF_ENOMEM. */
static int put_object(struct hf_buf *out, const json_t *object)
{
    char *text = json_dumps(object, JSON_COMPACT);

    if (text == NULL)
        return HF_ENOMEM;
    put_base64url(out, text, strlen(text));
    free(text);
    return 0;
}

static int put_header(struct hf_buf *out, const struct hf_jwt_key *key, const char *kid)
{
    json_t *header = json_pack("{s:s, s:s}", "alg", hf_jwt_alg_name(hf_jwt_key_alg(key)), "typ", "JWT");
    int err = header == NULL ? HF_ENOMEM : 0;

    if (err == 0 && kid != NULL && kid[0] != '\0' && json_object_set_new(header, "kid", json_string(kid)) < 0)
        err = HF_ENOMEM;
    if (err == 0)
        err = put_object(out, header);
    json_decref(header);
    return err;
}

int hf_jwt_make(const struct hf_jwt_key *key, const char *kid, const json_t *claims, struct hf_buf *out)
{
    uint32_t begin = out->len;
    uint8_t signature[HF_JWT_SIGNATURE_MAX];
    int len, err = put_header(out, key, kid);

    if (err == 0) {
        hf_buf_put(out, ".", 1);
        err = put_object(out, claims);
    }
    if (err < 0)
        return err;
    if (out->failed)
        return out->no_memory ? HF_ENOMEM : HF_ELIMIT;
    len = hf_jwt_key_sign(key, (struct hf_str){(const char *)out->data + begin, out->len - begin}, signature);
    if (len < 0)
        return len;
    hf_buf_put(out, ".", 1);
    put_base64url(out, signature, (size_t)len);
    if (out->failed)
        return out->no_memory ? HF_ENOMEM : HF_ELIMIT;
    return 0;
}
