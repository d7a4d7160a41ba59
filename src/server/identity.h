/*
 * identity.h - who a connection's user is, as its token says. What it says of the user never changes; counted references within one process, of one thread.
 * An anonymous connection has none: NULL stands for that wherever an identity is taken.
 */
#ifndef HF_SERVER_IDENTITY_H
#define HF_SERVER_IDENTITY_H

#include "base/err.h"
#include "base/str.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

struct hf_identity {
    uint32_t references : 31;
    uint32_t
        revoked : 1; /* the key of its token was taken away: expires_ms is earlier than the token has it */
    uint32_t key;    /* hf_jwt_key_mark() of that key; 0: there is no token, the backend has said who it is */
    uint64_t expires_ms; /* wall clock; 0: never */
    struct hf_str user;  /* claim "sub": 1 to HF_USER_BYTES_MAX bytes of UTF-8 without control characters */
    struct hf_str
        info; /* claim "info" as compact JSON, for presence; empty: none; at most HF_INFO_BYTES_MAX bytes */
    json_t *claims; /* all claims: an object, for rules */
};

/*
 * An identity with these claims of a token that was found good, with one reference, the caller's. claims: borrowed, and kept by a reference of its own: nobody may change
 * them afterwards. Returns 0, HF_EINVAL with *why (static) where "sub" or "info" is not as above, or HF_ENOMEM.
 */
int hf_identity_new(json_t *claims, uint64_t expires_ms, struct hf_identity **out,
                    const char **why) HF_MUST_CHECK;
/* One reference more; returns the same. NULL is allowed. */
struct hf_identity *hf_identity_hold(struct hf_identity *identity);
/* One less; the last one frees it. NULL is allowed. */
void hf_identity_drop(struct hf_identity *identity);

/* The key of its token is no longer there: the token ends at that time (wall clock), or when it would have. A second time changes nothing. */
void hf_identity_revoke(struct hf_identity *identity, uint64_t at_ms);

/* The user; empty for an anonymous one (NULL). Borrowed. */
static inline struct hf_str hf_identity_user(const struct hf_identity *identity)
{
    return identity == NULL ? (struct hf_str){0} : identity->user;
}
/* Likewise, what presence tells about him. */
static inline struct hf_str hf_identity_info(const struct hf_identity *identity)
{
    return identity == NULL ? (struct hf_str){0} : identity->info;
}
/* Whether his token has ended. */
static inline bool hf_identity_ended(const struct hf_identity *identity, uint64_t wall_ms)
{
    return identity != NULL && identity->expires_ms != 0 && wall_ms >= identity->expires_ms;
}

#endif
