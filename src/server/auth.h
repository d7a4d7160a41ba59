/*
 * auth.h - whether a token is good: who signed it, for whom, and for how long. PROTOCOL.md "Opening": "401 bad or missing token".
 *
 * The keys are configured (auth.keys), each with its algorithm and, where there are several, its `kid`. A token's header only chooses among them: its `kid` names the
 * key, and its `alg` must be that key's. The order of the checks: form, key, algorithm, signature, and only then what the token says.
 *
 * An object does not change once it is in use; a reload makes another one (hf_hub_set_auth).
 */
#ifndef HF_SERVER_AUTH_H
#define HF_SERVER_AUTH_H

#include "base/str.h"
#include "server/config.h"
#include "server/identity.h"
#include "server/jwt_key.h"

/* Why a token is refused: name in C, its label in holdfast_tokens_refused_total. */
#define HF_TOKEN_FAULT_LIST(X)                                                                               \
    X(MISSING, "missing") /* there is none, and nobody comes in without */                                   \
    X(SEVERAL, "several") /* more than one */                                                                \
    X(TOO_LONG, "too_long")                                                                                  \
    X(MALFORMED, "malformed") /* no JWT, or broken base64url or JSON */                                      \
    X(UNSIGNED, "unsigned")   /* alg none, or no signature */                                                \
    X(KEY, "key")             /* its kid names no key of ours */                                             \
    X(ALGORITHM, "algorithm") /* its alg is not that of its key */                                           \
    X(SIGNATURE, "signature")                                                                                \
    X(EXPIRED, "expired") /* exp */                                                                          \
    X(NOT_YET, "not_yet") /* nbf */                                                                          \
    X(AUDIENCE, "audience")                                                                                  \
    X(ISSUER, "issuer")                                                                                      \
    X(CLAIMS, "claims")       /* sub, info, or a time is not what it should be */                            \
    X(USER, "user")           /* a refresh with the token of another user */                                 \
    X(NO_MEMORY, "no_memory") /* to look at it */

enum hf_token_fault {
    HF_TOKEN_GOOD,
#define HF_TOKEN_FAULT_ENUM(name, label) HF_TOKEN_##name,
    HF_TOKEN_FAULT_LIST(HF_TOKEN_FAULT_ENUM)
#undef HF_TOKEN_FAULT_ENUM
};

/* What was found; why: a static text for the developer, which tells nothing secret and fits into a close frame. */
struct hf_token_verdict {
    enum hf_token_fault fault;
    const char *why; /* NULL where it is good */
};

enum {
    HF_AUTH_REASON_MAX = 123
}; /* RFC 6455 section 5.5: a control frame's 125 bytes, less the close code */

struct hf_auth;

/* What a token must say. Strings are borrowed for the call; "" is: not asked for. */
struct hf_auth_rules {
    const char *audience, *issuer;
    uint32_t leeway_ms; /* by which clocks may differ */
    bool anonymous;     /* who has no token may come in too */
};

/* Without a key yet; NULL without memory. */
struct hf_auth *hf_auth_new(const struct hf_auth_rules *rules);
void hf_auth_free(struct hf_auth *auth); /* and its keys; NULL is allowed */
/*
 * Add a key, which is taken. kid: "": for tokens without kid, and those whose kid is no other key's. Returns 0, HF_EEXIST where there is one of that name, HF_ELIMIT
 * where there are HF_AUTH_KEYS_MAX: then the key is still the caller's.
 */
int hf_auth_add(struct hf_auth *auth, const char *kid, struct hf_jwt_key *key) HF_MUST_CHECK;

/*
 * All of it by the configuration, with the keys' files read anew. Returns 0 with *out (NULL where auth.keys is empty: nobody is asked for a token), or HF_EINVAL, HF_ENOMEM
 * with one line in error.
 */
int hf_auth_load(const struct hf_config *config, struct hf_auth **out, char *error,
                 size_t error_cap) HF_MUST_CHECK;

/* Whether the key with this mark (hf_jwt_key_mark()) is among them. auth NULL: yes, for nobody is asked. */
bool hf_auth_has_key(const struct hf_auth *auth, uint32_t mark);

/* Whether one without a token may come in. auth NULL: yes. */
bool hf_auth_anonymous(const struct hf_auth *auth);

/*
 * Is it good at that time (wall clock)? Returns 0 with *out, an identity of the caller's; HF_EINVAL with *verdict; or HF_ENOMEM.
 * identity.expires_ms has the leeway in it: until then the token would be found good.
 */
int hf_auth_check(const struct hf_auth *auth, struct hf_str token, uint64_t wall_ms, struct hf_identity **out,
                  struct hf_token_verdict *verdict) HF_MUST_CHECK;

#endif
