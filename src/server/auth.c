#include "server/auth.h"

#include "base/assert.h"
#include "server/jwt.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct named_key {
    char kid[HF_KID_MAX + 1];
    struct hf_jwt_key *key;
};

struct hf_auth {
    struct named_key keys[HF_AUTH_KEYS_MAX];
    size_t key_count;
    char audience[HF_CONFIG_TEXT_MAX], issuer[HF_CONFIG_TEXT_MAX];
    uint64_t leeway_ms;
    bool anonymous;
};

/* ---- Making ---- */

struct hf_auth *hf_auth_new(const struct hf_auth_rules *rules)
{
    struct hf_auth *auth = calloc(1, sizeof(*auth));

    if (auth == NULL)
        return NULL;
    snprintf(auth->audience, sizeof(auth->audience), "%s", rules->audience);
    snprintf(auth->issuer, sizeof(auth->issuer), "%s", rules->issuer);
    auth->leeway_ms = rules->leeway_ms;
    auth->anonymous = rules->anonymous;
    return auth;
}

void hf_auth_free(struct hf_auth *auth)
{
    if (auth == NULL)
        return;
    for (size_t i = 0; i < auth->key_count; i++)
        hf_jwt_key_free(auth->keys[i].key);
    free(auth);
}

static const struct named_key *find_key(const struct hf_auth *auth, const char *kid)
{
    for (size_t i = 0; i < auth->key_count; i++)
        if (strcmp(auth->keys[i].kid, kid) == 0)
            return &auth->keys[i];
    return NULL;
}

int hf_auth_add(struct hf_auth *auth, const char *kid, struct hf_jwt_key *key)
{
    struct named_key *at = &auth->keys[auth->key_count];

    if (find_key(auth, kid) != NULL)
        return HF_EEXIST;
    if (auth->key_count == HF_AUTH_KEYS_MAX)
        return HF_ELIMIT;
    hf_assert(strlen(kid) <= HF_KID_MAX);
    snprintf(at->kid, sizeof(at->kid), "%s", kid);
    at->key = key;
    auth->key_count++;
    return 0;
}

static int load_key(struct hf_auth *auth, const struct hf_auth_key_file *file, char *error, size_t cap)
{
    struct hf_jwt_key *key;
    int err = hf_jwt_key_load(file->alg, file->path, false, &key, error, cap);

    if (err < 0)
        return err;
    err = hf_auth_add(auth, file->kid, key);
    if (err < 0) { /* hf_config_check() has seen to it that it does not happen. */
        hf_jwt_key_free(key);
        snprintf(error, cap, "%s: two keys with the kid '%s'", file->path, file->kid);
    }
    return err;
}

int hf_auth_load(const struct hf_config *config, struct hf_auth **out, char *error, size_t error_cap)
{
    struct hf_auth *auth;
    int err = 0;

    *out = NULL;
    if (config->auth_key_count == 0)
        return 0;
    auth = hf_auth_new(&(struct hf_auth_rules){.audience = config->auth_audience,
                                               .issuer = config->auth_issuer,
                                               .leeway_ms = config->auth_leeway_ms,
                                               .anonymous = config->auth_anonymous});
    if (auth == NULL) {
        snprintf(error, error_cap, "no memory for the keys");
        return HF_ENOMEM;
    }
    for (size_t i = 0; err == 0 && i < config->auth_key_count; i++)
        err = load_key(auth, &config->auth_keys[i], error, error_cap);
    if (err < 0) {
        hf_auth_free(auth);
        return err;
    }
    *out = auth;
    return 0;
}

bool hf_auth_has_key(const struct hf_auth *auth, uint32_t mark)
{
    bool found = auth == NULL;

    for (size_t i = 0; !found && i < auth->key_count; i++)
        found = hf_jwt_key_mark(auth->keys[i].key) == mark;
    return found;
}

bool hf_auth_anonymous(const struct hf_auth *auth)
{
    return auth == NULL || auth->anonymous;
}

/* ---- Checking ---- */

static int no(struct hf_token_verdict *verdict, enum hf_token_fault fault, const char *why)
{
    *verdict = (struct hf_token_verdict){fault, why};
    return HF_EINVAL;
}

/* The key that a token names: by its kid; without one the key without a name, or the only one. */
static const struct named_key *key_of(const struct hf_auth *auth, const struct hf_jwt *jwt)
{
    const struct named_key *named = jwt->kid == NULL ? NULL : find_key(auth, jwt->kid);

    if (named != NULL)
        return named;
    if (jwt->kid == NULL && auth->key_count == 1)
        return &auth->keys[0];
    return find_key(auth, "");
}

/* *mark: of the key that has signed it. */
static int check_signature(const struct hf_auth *auth, const struct hf_jwt *jwt, uint32_t *mark,
                           struct hf_token_verdict *verdict)
{
    const struct named_key *named;

    /* RFC 8725 section 3.2: libraries "MUST NOT … [accept none] unless explicitly requested by the caller". Nobody can. */
    if (strcasecmp(jwt->alg, "none") == 0 || jwt->signature_len == 0)
        return no(verdict, HF_TOKEN_UNSIGNED,
                  "the token is not signed: sign it with one of the keys in auth.keys");
    named = key_of(auth, jwt);
    if (named == NULL)
        return no(verdict, HF_TOKEN_KEY,
                  jwt->kid == NULL
                      ? "the token's header has no kid, and auth.keys has several keys: name one of them"
                      : "the kid in the token's header is that of no key in auth.keys");
    if (strcmp(jwt->alg, hf_jwt_alg_name(hf_jwt_key_alg(named->key))) != 0)
        return no(verdict, HF_TOKEN_ALGORITHM,
                  "the alg in the token's header is not the one that auth.keys has for its key");
    if (!hf_jwt_key_verify(named->key, jwt->signed_text, jwt->signature, jwt->signature_len))
        return no(verdict, HF_TOKEN_SIGNATURE,
                  "the token's signature is wrong: another key has made it, or it was changed");
    *mark = hf_jwt_key_mark(named->key);
    return 0;
}

/* RFC 7519 section 2, NumericDate: seconds since 1970, also with a fraction. Returns 0, HF_ENOTFOUND, or HF_EBADMSG. */
static int read_time(const json_t *claims, const char *name, uint64_t *ms)
{
    const json_t *value = json_object_get(claims, name);
    double seconds;

    if (value == NULL)
        return HF_ENOTFOUND;
    seconds = json_number_value(value);
    if (!json_is_number(value) || seconds < 0 || seconds > 9e12) /* In ms still below 2^53. */
        return HF_EBADMSG;
    *ms = (uint64_t)(seconds * 1000);
    return 0;
}

static int check_times(const struct hf_auth *auth, const json_t *claims, uint64_t wall_ms,
                       uint64_t *expires_ms, struct hf_token_verdict *verdict)
{
    uint64_t exp_ms = 0, nbf_ms = 0;
    int exp = read_time(claims, "exp", &exp_ms), nbf = read_time(claims, "nbf", &nbf_ms);

    if (exp == HF_EBADMSG || nbf == HF_EBADMSG)
        return no(verdict, HF_TOKEN_CLAIMS, "the token's exp and nbf must be numbers: seconds since 1970");
    *expires_ms = exp == 0 ? exp_ms + auth->leeway_ms : 0;
    if (exp == 0 && wall_ms >= *expires_ms)
        return no(verdict, HF_TOKEN_EXPIRED, "the token has expired (exp): get a fresh one");
    if (nbf == 0 && wall_ms + auth->leeway_ms < nbf_ms)
        return no(verdict, HF_TOKEN_NOT_YET,
                  "the token is not good yet (nbf): compare the clocks, or raise auth.leeway");
    return 0;
}

static bool is_text(const json_t *value, const char *text)
{
    return json_is_string(value) && json_string_length(value) == strlen(text) &&
           strcmp(json_string_value(value), text) == 0;
}

/* RFC 7519 section 4.1.3: a string, or an array of them; who is not among them "MUST" reject the token, so also who has no name. */
static int check_audience(const struct hf_auth *auth, const json_t *claims, struct hf_token_verdict *verdict)
{
    const json_t *aud = json_object_get(claims, "aud"), *one;
    bool meant = is_text(aud, auth->audience);
    size_t i;

    if (auth->audience[0] == '\0') {
        if (aud == NULL)
            return 0;
        return no(verdict, HF_TOKEN_AUDIENCE,
                  "the token is for somebody (aud), and no auth.audience says that it is for this server");
    }
    json_array_foreach(aud, i, one) meant = meant || is_text(one, auth->audience);
    return meant ? 0
                 : no(verdict, HF_TOKEN_AUDIENCE,
                      "the token is not for this server: its aud must be, or contain, auth.audience");
}

static int check_issuer(const struct hf_auth *auth, const json_t *claims, struct hf_token_verdict *verdict)
{
    if (auth->issuer[0] == '\0' || is_text(json_object_get(claims, "iss"), auth->issuer))
        return 0;
    return no(verdict, HF_TOKEN_ISSUER, "the token's iss is not auth.issuer");
}

static int check_claims(const struct hf_auth *auth, json_t *claims, uint64_t wall_ms,
                        struct hf_identity **out, struct hf_token_verdict *verdict)
{
    uint64_t expires_ms;
    const char *why;
    int err = check_audience(auth, claims, verdict);

    if (err == 0)
        err = check_issuer(auth, claims, verdict);
    if (err == 0)
        err = check_times(auth, claims, wall_ms, &expires_ms, verdict);
    if (err < 0)
        return err;
    err = hf_identity_new(claims, expires_ms, out, &why);
    return err == HF_EINVAL ? no(verdict, HF_TOKEN_CLAIMS, why) : err;
}

static int malformed(int err, const char *why, struct hf_token_verdict *verdict)
{
    if (err == HF_ENOMEM)
        return err;
    return no(verdict, err == HF_ETOOLARGE ? HF_TOKEN_TOO_LONG : HF_TOKEN_MALFORMED, why);
}

int hf_auth_check(const struct hf_auth *auth, struct hf_str token, uint64_t wall_ms, struct hf_identity **out,
                  struct hf_token_verdict *verdict)
{
    struct hf_jwt jwt;
    json_t *claims = NULL;
    const char *why;
    uint32_t mark = 0;
    int err = hf_jwt_parse(&jwt, token, &why);

    *out = NULL;
    *verdict = (struct hf_token_verdict){HF_TOKEN_GOOD, NULL};
    if (err < 0)
        return malformed(err, why, verdict);
    err = check_signature(auth, &jwt, &mark, verdict);
    if (err == 0) {
        err = hf_jwt_claims(&jwt, &claims, &why);
        err = err < 0 ? malformed(err, why, verdict) : check_claims(auth, claims, wall_ms, out, verdict);
    }
    if (*out != NULL)
        (*out)->key = mark;
    json_decref(claims);
    hf_jwt_release(&jwt);
    return err;
}
