/*
 * fuzz_token.c - tokens as strangers write them. The first byte says what the rest is: a whole token, the claims of one that is signed as it should be, or the header of one.
 *
 * Whatever is taken for good must have been signed by the key, by the key's algorithm, have a user and not be over; whatever is refused must be told why, in a text that fits into
 * a close frame.
 */
#include "base/assert.h"
#include "base/base64.h"
#include "server/auth.h"
#include "server/jwt.h"
#include "shm/sessions.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PART_BYTES_MAX = 2048, NOW_S = 1700000000 };

static const char secret[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

static struct hf_jwt_key *new_key(void)
{
    char error[256];
    struct hf_jwt_key *key;
    int err = hf_jwt_key_parse(HF_JWT_HS256, "secret", hf_str_from(secret), true, &key, error, sizeof(error));

    hf_assert(err == 0);
    return key;
}

static struct hf_auth *new_auth(void)
{
    struct hf_auth *auth = hf_auth_new(&(struct hf_auth_rules){.audience = "chat", .issuer = ""});

    hf_assert(auth != NULL && hf_auth_add(auth, "k", new_key()) == 0);
    return auth;
}

/* Is its signature ours? By the text, without the parser. */
static bool is_signed(const struct hf_jwt_key *key, struct hf_str token)
{
    const char *dot = memrchr(token.data, '.', token.len);
    uint8_t signature[HF_TOKEN_BYTES_MAX];
    struct hf_str text = {token.data, (size_t)(dot - token.data)};
    int len = hf_base64url_decode((struct hf_str){dot + 1, token.len - text.len - 1}, signature);

    return len > 0 && hf_jwt_key_verify(key, text, signature, (size_t)len);
}

static bool is_good(const struct hf_auth *auth, const struct hf_jwt_key *key, struct hf_str token)
{
    struct hf_token_verdict verdict;
    struct hf_identity *identity;
    int err = hf_auth_check(auth, token, NOW_S * UINT64_C(1000), &identity, &verdict);

    hf_assert((err == 0) == (identity != NULL) && (err == 0 || err == HF_EINVAL));
    if (err < 0) {
        hf_assert(verdict.fault != HF_TOKEN_GOOD && strlen(verdict.why) <= HF_AUTH_REASON_MAX);
        return false;
    }
    hf_assert(verdict.fault == HF_TOKEN_GOOD && is_signed(key, token));
    hf_assert(identity->user.len > 0 && identity->user.len <= HF_USER_BYTES_MAX);
    hf_assert(identity->info.len <= HF_INFO_BYTES_MAX && json_is_object(identity->claims));
    hf_assert(!hf_identity_ended(identity, NOW_S * UINT64_C(1000)));
    hf_identity_drop(identity);
    return true;
}

static size_t put64(char *out, const void *data, size_t len)
{
    hf_base64url_encode(out, data, len);
    return hf_base64url_chars(len);
}

/* HEADER.PAYLOAD.SIGNATURE; out has room for all. Returns its length. */
static size_t sign(char *out, const struct hf_jwt_key *key, struct hf_str header, struct hf_str payload)
{
    uint8_t signature[HF_JWT_SIGNATURE_MAX];
    size_t len = put64(out, header.data, header.len);
    int signature_len;

    out[len++] = '.';
    len += put64(out + len, payload.data, payload.len);
    signature_len = hf_jwt_key_sign(key, (struct hf_str){out, len}, signature);
    hf_assert(signature_len == 32);
    out[len++] = '.';
    return len + put64(out + len, signature, (size_t)signature_len);
}

/* The header of what was found good names our algorithm. */
static void check_header(struct hf_str text)
{
    json_t *header = json_loadb(text.data, text.len, 0, NULL);
    const char *alg = json_string_value(json_object_get(header, "alg"));

    hf_assert(alg != NULL && strcmp(alg, "HS256") == 0);
    json_decref(header);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct hf_auth *auth;
    static struct hf_jwt_key *key;
    static char token[4 * PART_BYTES_MAX];
    struct hf_str text = {(const char *)data + 1, size - 1};

    if (size < 1)
        return 0;
    if (auth == NULL) {
        auth = new_auth();
        key = new_key();
    }
    if (data[0] % 3 == 0) {
        (void)is_good(auth, key, text);
    } else if (text.len <= PART_BYTES_MAX && data[0] % 3 == 1) {
        (void)is_good(auth, key,
                      (struct hf_str){token, sign(token, key, HF_STR("{\"alg\":\"HS256\"}"), text)});
    } else if (text.len <= PART_BYTES_MAX) {
        size_t len = sign(token, key, text, HF_STR("{\"sub\":\"alice\",\"aud\":\"chat\"}"));

        if (is_good(auth, key, (struct hf_str){token, len}))
            check_header(text);
    }
    return 0;
}
