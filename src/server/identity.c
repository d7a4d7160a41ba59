#include "server/identity.h"

#include "base/assert.h"
#include "shm/sessions.h"

#include <stdlib.h>
#include <string.h>

/* jansson has seen to it that it is UTF-8. */
static bool is_user(const json_t *sub)
{
    const char *text = json_string_value(sub);
    size_t len = json_string_length(sub);

    if (text == NULL || len == 0 || len > HF_USER_BYTES_MAX)
        return false;
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
            return false;
    return true;
}

/* One allocation: the struct, the user, the info. */
static struct hf_identity *put_together(json_t *claims, uint64_t expires_ms, struct hf_str user,
                                        struct hf_str info)
{
    struct hf_identity *identity = malloc(sizeof(*identity) + user.len + info.len);
    char *text = (char *)(identity + 1);

    if (identity == NULL)
        return NULL;
    memcpy(text, user.data, user.len);
    if (info.len > 0)
        memcpy(text + user.len, info.data, info.len);
    *identity = (struct hf_identity){.references = 1,
                                     .expires_ms = expires_ms,
                                     .user = {text, user.len},
                                     .info = {info.len > 0 ? text + user.len : NULL, info.len},
                                     .claims = json_incref(claims)};
    return identity;
}

int hf_identity_new(json_t *claims, uint64_t expires_ms, struct hf_identity **out, const char **why)
{
    json_t *sub = json_object_get(claims, "sub"), *about = json_object_get(claims, "info");
    char info[HF_INFO_BYTES_MAX];
    size_t info_len = 0;

    *out = NULL;
    *why = NULL;
    if (!is_user(sub)) {
        *why = "the token's sub must be the user: a string of 1 to 255 bytes without control characters";
        return HF_EINVAL;
    }
    if (about != NULL)
        info_len = json_dumpb(about, info, sizeof(info), JSON_COMPACT | JSON_ENCODE_ANY);
    if (info_len > sizeof(info) || (about != NULL && info_len == 0)) {
        *why = "the token's info is longer than 1,024 bytes of JSON";
        return HF_EINVAL;
    }
    *out = put_together(claims, expires_ms, (struct hf_str){json_string_value(sub), json_string_length(sub)},
                        (struct hf_str){info, info_len});
    return *out == NULL ? HF_ENOMEM : 0;
}

struct hf_identity *hf_identity_hold(struct hf_identity *identity)
{
    if (identity != NULL)
        identity->references++;
    return identity;
}

void hf_identity_revoke(struct hf_identity *identity, uint64_t at_ms)
{
    if (identity->revoked)
        return;
    identity->revoked = true;
    if (identity->expires_ms == 0 || identity->expires_ms > at_ms)
        identity->expires_ms = at_ms;
}

void hf_identity_drop(struct hf_identity *identity)
{
    if (identity == NULL)
        return;
    hf_assert(identity->references > 0);
    if (--identity->references > 0)
        return;
    json_decref(identity->claims);
    free(identity);
}
