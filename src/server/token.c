/*
 * token.c - what the hub does with tokens: it takes one off a request, puts an identity into the connection, takes a fresh one meanwhile, and ends the connection with
 * the last. Whether a token is good is decided by auth.h.
 */
#include "server/token.h"

#include "server/jwt.h"
#include "server/presence.h"
#include "shm/sessions.h"
#include "ws/handshake.h"

#include <string.h>
#include <strings.h>

static const enum hf_counter counters[] = {
#define COUNTER(name, label) [HF_TOKEN_##name] = HF_COUNT_TOKEN_##name,
    HF_TOKEN_FAULT_LIST(COUNTER)
#undef COUNTER
};

/* ---- The token of a request ---- */

/* Those that a request shows. One is enough. */
struct shown {
    struct hf_str token;
    unsigned count;
};

static void show(struct shown *s, struct hf_str token)
{
    s->token = token;
    s->count++;
}

static void show_protocols(struct shown *s, struct hf_str protocols)
{
    static const struct hf_str prefix = {"hf.token.", 9};
    struct hf_str token;

    while (protocols.data != NULL && hf_handshake_next_token(&protocols, &token))
        if (token.len >= prefix.len && memcmp(token.data, prefix.data, prefix.len) == 0)
            show(s, (struct hf_str){token.data + prefix.len, token.len - prefix.len});
}

/* RFC 6750 section 2.1. Another scheme is somebody else's: a proxy's, for instance. */
static void show_authorization(struct shown *s, struct hf_str value)
{
    static const struct hf_str scheme = {"Bearer ", 7};

    if (value.len < scheme.len || strncasecmp(value.data, scheme.data, scheme.len) != 0)
        return;
    for (value.data += scheme.len, value.len -= scheme.len; value.len > 0 && value.data[0] == ' ';
         value.len--)
        value.data++;
    show(s, value);
}

static struct hf_token_verdict no(enum hf_token_fault fault, const char *why)
{
    return (struct hf_token_verdict){fault, why};
}

struct hf_token_verdict hf_token_admit(struct hf_conn *c, const struct hf_handshake *h)
{
    const struct hf_auth *auth = c->hub->auth;
    char query[HF_TOKEN_BYTES_MAX];
    struct shown s = {.count = 0};
    struct hf_token_verdict verdict = {HF_TOKEN_GOOD, NULL};
    int len;

    if (auth == NULL)
        return verdict;
    show_protocols(&s, h->protocols);
    show_authorization(&s, h->authorization);
    len = hf_query_get(h->query, "token", query, sizeof(query));
    if (len >= 0)
        show(&s, (struct hf_str){query, (size_t)len});
    else if (len != HF_ENOTFOUND)
        return no(HF_TOKEN_MALFORMED, "the token in the query is malformed, or longer than 4,096 bytes");
    if (s.count > 1)
        return no(HF_TOKEN_SEVERAL, "the request has more than one token: which counts?");
    if (s.count == 0 && hf_auth_anonymous(auth))
        return verdict;
    if (s.count == 0)
        return no(HF_TOKEN_MISSING,
                  "no token: send hf.token.JWT as a subprotocol, Authorization: Bearer JWT, or ?token=JWT");
    if (hf_auth_check(auth, s.token, c->hub->now.wall_ms, &c->identity, &verdict) == HF_ENOMEM)
        return no(HF_TOKEN_NO_MEMORY, "the server is short of memory");
    return verdict;
}

void hf_token_count(const struct hf_hub *hub, enum hf_token_fault fault)
{
    hf_count(hub->counters, counters[fault], 1);
}

/* ---- The session's user ---- */

bool hf_token_owns(const struct hf_conn *c, const struct hf_session *s)
{
    return hf_session_is_of(&c->hub->sessions, s, hf_identity_user(c->identity));
}

/*
 * What only the backend has said is known to nobody when the session is resumed without its being asked: so it is kept, where there is room, and noted as lost where there is none. A token
 * comes again with each connection. claims: room of its own.
 */
static void keep_claims(const struct hf_conn *c, const struct hf_identity *identity,
                        char claims[HF_CLAIMS_BYTES_MAX], struct hf_session_whose *whose)
{
    json_t *others;
    size_t len = 0;

    if (c->hub->auth != NULL || identity == NULL)
        return;
    others = json_copy(identity->claims);
    (void)json_object_del(others, "sub"); /* Both are kept anyway; "info" may not be there. */
    (void)json_object_del(others, "info");
    if (others == NULL || json_object_size(others) > 0) {
        len = json_dumpb(others, claims, HF_CLAIMS_BYTES_MAX, JSON_COMPACT);
        whose->claims_lost = len == 0 || len > HF_CLAIMS_BYTES_MAX;
        whose->claims = (struct hf_str){claims, whose->claims_lost ? 0 : len};
    }
    json_decref(others);
}

int hf_token_sign_session(struct hf_conn *c, const struct hf_identity *identity)
{
    struct hf_session_whose whose = {.user = hf_identity_user(identity), .info = hf_identity_info(identity)};
    char claims[HF_CLAIMS_BYTES_MAX];
    int err;

    keep_claims(c, identity, claims, &whose);
    err = hf_session_whose_set(&c->hub->sessions, c->session, &whose, c->hub->now.mono_ms);
    if (err < 0 && whose.claims.len > 0) {
        whose.claims_lost = true;
        err = hf_session_whose_set(&c->hub->sessions, c->session, &whose, c->hub->now.mono_ms);
    }
    if (err == 0)
        hf_presence_session_changed(c->hub, c->session);
    return err;
}

/* ---- A fresh token ---- */

static void refuse(struct hf_conn *c, const struct hf_msg *m, const struct hf_token_verdict *verdict)
{
    hf_token_count(c->hub, verdict->fault);
    hf_send_error(c, m, verdict->fault == HF_TOKEN_NO_MEMORY ? HF_CODE_UNAVAILABLE : HF_CODE_UNAUTHORIZED,
                  verdict->why);
}

static void take(struct hf_conn *c, const struct hf_msg *m, struct hf_identity *fresh)
{
    if (hf_token_sign_session(c, fresh) < 0) {
        hf_identity_drop(fresh);
        hf_send_error(c, m, HF_CODE_LIMIT,
                      "the server has no room for what the token says: the old one stays");
        return;
    }
    hf_identity_drop(c->identity);
    c->identity = fresh;
    hf_count(c->hub->counters, HF_COUNT_TOKENS_REFRESHED, 1);
    hf_conn_schedule(c);
    hf_rules_enforce(c);
}

void hf_token_refresh(struct hf_conn *c, const struct hf_msg *m)
{
    struct hf_token_verdict verdict;
    struct hf_identity *fresh;

    if (c->hub->auth == NULL) {
        hf_send_error(c, m, HF_CODE_NOT_FOUND, "this server asks for no tokens");
        return;
    }
    if (hf_auth_check(c->hub->auth, m->token, c->hub->now.wall_ms, &fresh, &verdict) == HF_ENOMEM)
        verdict = no(HF_TOKEN_NO_MEMORY, "the server is short of memory");
    if (fresh != NULL && !hf_str_eq(fresh->user, hf_identity_user(c->identity))) {
        hf_identity_drop(fresh);
        fresh = NULL;
        verdict =
            no(HF_TOKEN_USER, "the token is another user's: end the session, and begin another one with it");
    }
    if (fresh == NULL)
        refuse(c, m, &verdict);
    else
        take(c, m, fresh);
}

/* ---- The end ---- */

uint64_t hf_token_deadline_ms(const struct hf_conn *c)
{
    const struct hf_now *now = &c->hub->now;

    if (c->identity == NULL || c->identity->expires_ms == 0)
        return UINT64_MAX;
    return c->identity->expires_ms <= now->wall_ms ? now->mono_ms
                                                   : now->mono_ms + (c->identity->expires_ms - now->wall_ms);
}

void hf_token_over(struct hf_conn *c)
{
    bool revoked = c->identity->revoked;

    if (revoked)
        hf_count(c->hub->counters, HF_COUNT_TOKENS_REVOKED, 1);
    hf_conn_close(c, HF_CLOSE_TOKEN_EXPIRED,
                  revoked ? "the key that has signed the token is no longer in use: get a fresh one"
                          : "the token has expired (exp): get a fresh one");
}

/* ---- Keys that are taken away ---- */

void hf_token_enforce(struct hf_conn *c)
{
    struct hf_hub *hub = c->hub;

    if (c->identity == NULL || c->identity->key == 0 || c->identity->revoked ||
        hf_auth_has_key(hub->auth, c->identity->key))
        return;
    hf_identity_revoke(c->identity, hub->now.wall_ms + hf_rng_below(&hub->rng, HF_REVOKED_SPREAD_MS));
    if (c->phase == HF_CONN_OPEN) /* Another one is scheduled when it is. */
        hf_conn_schedule(c);
}

void hf_hub_set_auth(struct hf_hub *hub, const struct hf_auth *auth)
{
    hub->auth = auth;
    hf_rules_changed(hub);
}
