/*
 * hooks.c - what is asked of the application's backend: what a request says, who waits for its answer, and what the answer does. docs/hooks.md.
 * Whoever waits is named by his connection's serial, so that an answer finds nobody where that has gone.
 */
#include "server/hub_state.h"

#include "base/assert.h"
#include "server/backend.h"
#include "server/hook_answer.h"
#include "wire/binary.h"
#include "wire/json.h"
#include "ws/handshake.h"
#include "ws/utf8.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    GRANTS_BYTES_MAX = 17u << 20, /* of an answer, in which a channel takes more than in our records */
    TOKEN_BYTES_MAX = 4096,
    BODY_BYTES_MAX = 16u << 20, /* the largest payload in base64, and what stands around it */
    SESSION_DIGITS = 16
};

/* A request that is not answered yet. */
struct hf_ask {
    enum hf_hook hook;
    uint64_t serial; /* of the connection that waits */
    size_t id_len;   /* CALL: the client's id */
    char id[];
};

static const char *const hook_names[HF_HOOKS] = {"connect", "subscribe", "publish", "call", "disconnect"};

const char *hf_hook_name(enum hf_hook hook)
{
    return hook_names[hook];
}

void hf_hub_set_backend(struct hf_hub *hub, const struct hf_backend *backend)
{
    hub->backend = backend;
}

static bool in_force(const struct hf_hub *hub, enum hf_hook hook)
{
    return hub->backend != NULL && hub->config->hooks.url[hook][0] != '\0';
}

/* ---- Who waits ---- */

static struct hf_ask *ask_new(struct hf_hub *hub, enum hf_hook hook, const struct hf_conn *c,
                              struct hf_str id)
{
    struct hf_ask *a = malloc(sizeof(*a) + id.len);

    if (a == NULL)
        return NULL;
    *a = (struct hf_ask){.hook = hook, .serial = c->serial, .id_len = id.len};
    if (id.len > 0)
        memcpy(a->id, id.data, id.len);
    if (hf_map_put(&hub->asks, ++hub->asks_begun, (uintptr_t)a, 0) == 0)
        return a;
    free(a);
    return NULL;
}

static struct hf_conn *conn_of(const struct hf_hub *hub, const struct hf_ask *a)
{
    return hf_conns_by_serial(&hub->conns, a->serial);
}

bool hf_hub_backend_wanted(const struct hf_hub *hub, uint64_t token)
{
    const struct hf_ask *a = hf_map_ptr(&hub->asks, token);

    return a != NULL && conn_of(hub, a) != NULL;
}

void hf_hooks_release(struct hf_hub *hub)
{
    for (size_t i = 0; i < hub->asks.cap; i++)
        if (hub->asks.table[i].key != 0)
            free((void *)(uintptr_t)hub->asks.table[i].a);
    hf_map_release(&hub->asks);
}

/* ---- What a request says ---- */

static int put_bytes(const char *data, size_t len, void *out)
{
    return hf_buf_put(out, data, len) == 0 ? 0 : -1;
}

static void put_text(struct hf_buf *out, const char *name, struct hf_str text)
{
    hf_buf_putf(out, ",\"%s\":", name);
    (void)hf_json_put_string(out, text);
}

static void put_raw(struct hf_buf *out, const char *name, struct hf_str json)
{
    hf_buf_putf(out, ",\"%s\":", name);
    hf_buf_put_str(out, json);
}

/* The id is unlike that of any other request, whichever worker or server sends it: a backend may know by it one that it has had. */
static void begin_body(const struct hf_hub *hub, struct hf_buf *out, enum hf_hook hook)
{
    hf_buf_init(out, BODY_BYTES_MAX);
    hf_buf_putf(out, "{\"hook\":\"%s\",\"id\":\"%016llx-%u-%u-%llu\",\"time\":%llu", hf_hook_name(hook),
                (unsigned long long)hub->region->config->boot_id, hub->slot, atomic_load(&hub->self->starts),
                (unsigned long long)hub->asks_begun + 1, (unsigned long long)hub->now.wall_ms);
}

static void put_session(struct hf_buf *out, uint64_t number)
{
    hf_buf_putf(out, ",\"session\":\"%016llx\"", (unsigned long long)number);
}

/* The user of a connection without a token is the one that its session remembers, if any. */
static void put_remembered(const struct hf_hub *hub, const struct hf_session *s, struct hf_buf *out)
{
    struct hf_buf user, info;

    hf_buf_init(&user, HF_USER_BYTES_MAX);
    hf_buf_init(&info, HF_INFO_BYTES_MAX);
    if (hf_session_identity(&hub->sessions, s, &user, &info) == 0) {
        put_text(out, "user", hf_buf_str(&user));
        if (info.len > 0)
            put_raw(out, "info", hf_buf_str(&info));
    }
    hf_buf_release(&user);
    hf_buf_release(&info);
}

static void put_who(const struct hf_conn *c, struct hf_buf *out)
{
    const struct hf_identity *identity = c->identity;

    if (c->session != NULL)
        put_session(out, c->session->number);
    if (identity == NULL) {
        if (c->session != NULL)
            put_remembered(c->hub, c->session, out);
        return;
    }
    put_text(out, "user", identity->user);
    if (identity->info.len > 0)
        put_raw(out, "info", identity->info);
    if (identity->claims != NULL) {
        hf_buf_puts(out, ",\"claims\":");
        if (json_dump_callback(identity->claims, put_bytes, out, JSON_COMPACT) < 0)
            out->failed = true;
    }
}

static void put_payload(struct hf_buf *out, const struct hf_msg *m)
{
    if (!m->payload_raw) {
        put_raw(out, "payload", m->payload);
        return;
    }
    hf_buf_puts(out, ",\"payloadBase64\":");
    (void)hf_json_put_base64(out, m->payload);
}

/* Send a request, whose body is done, for this connection; id: as in hf_ask. The body is released. Returns STARTED, or why it cannot be: then nobody waits. */
static enum hf_backend_outcome ask(struct hf_conn *c, enum hf_hook hook, struct hf_str id,
                                   struct hf_buf *body)
{
    struct hf_hub *hub = c->hub;
    struct hf_ask *a = body->failed || hf_buf_puts(body, "}") < 0 ? NULL : ask_new(hub, hook, c, id);
    struct hf_backend_request request = {hook, hub->asks_begun, hf_buf_str(body)};
    enum hf_backend_outcome outcome =
        a == NULL ? HF_BACKEND_FULL : hub->backend->start(hub->backend->ctx, &request);

    hf_buf_release(body);
    if (a != NULL && outcome != HF_BACKEND_STARTED) {
        (void)hf_map_remove(&hub->asks, request.token);
        free(a);
    }
    return outcome;
}

/* ---- Calls ---- */

struct why {
    struct hf_str code, reason;
};

static struct why why(enum hf_code code, const char *reason)
{
    return (struct why){hf_str_from(hf_code_name(code)), hf_str_from(reason)};
}

static void refuse_call(struct hf_conn *c, struct hf_str id, struct why no)
{
    hf_conn_send(c, &(struct hf_msg){.type = HF_MSG_REPLY,
                                     .has = HF_HAS_ID | HF_HAS_CODE | HF_HAS_REASON,
                                     .id = id,
                                     .code = no.code,
                                     .reason = no.reason});
}

/* `unavailable` and `overloaded`: it was not carried out. `timeout`, `internal`: it may have been. */
static struct why why_unanswered(enum hf_backend_outcome outcome)
{
    switch (outcome) {
    case HF_BACKEND_DOWN:
        return why(HF_CODE_UNAVAILABLE, "the application's backend cannot be reached: try again later");
    case HF_BACKEND_BROKEN:
        return why(HF_CODE_TIMEOUT,
                   "the backend's connection broke before its answer: what became of it is unknown");
    case HF_BACKEND_TIMEOUT:
        return why(HF_CODE_TIMEOUT, "the backend did not answer in time: what became of it is unknown");
    case HF_BACKEND_FULL:
        return why(HF_CODE_OVERLOADED, "too many requests to the backend wait: try again later");
    default:
        return why(HF_CODE_INTERNAL, "the backend's answer is no valid one");
    }
}

/* Returns false where it was refused. */
static bool may_call(struct hf_conn *c, const struct hf_msg *m)
{
    if (m->method.len == 0 || m->method.len > HF_LABEL_BYTES_MAX) {
        refuse_call(c, m->id, why(HF_CODE_BAD_MESSAGE, "method must have 1 to 255 bytes"));
        return false;
    }
    if (m->payload.len > c->hub->config->message_bytes_max) {
        refuse_call(c, m->id, why(HF_CODE_TOO_LARGE, hf_refusal_reason(HF_CODE_TOO_LARGE)));
        return false;
    }
    if (c->calls >= c->hub->config->hooks.calls_max) {
        hf_count(c->hub->counters, HF_COUNT_CALLS_REFUSED, 1);
        refuse_call(c, m->id,
                    why(HF_CODE_LIMIT, "as many calls of this connection as may be wait for their replies"));
        return false;
    }
    return true;
}

void hf_hooks_call(struct hf_conn *c, const struct hf_msg *m)
{
    enum hf_backend_outcome outcome;
    struct hf_buf body;

    if (!in_force(c->hub, HF_HOOK_CALL)) {
        hf_send_error(c, m, HF_CODE_NOT_FOUND, "this server does not offer that");
        return;
    }
    if (!may_call(c, m))
        return;
    begin_body(c->hub, &body, HF_HOOK_CALL);
    put_who(c, &body);
    put_text(&body, "method", m->method);
    put_payload(&body, m);
    outcome = ask(c, HF_HOOK_CALL, m->id, &body);
    if (outcome == HF_BACKEND_STARTED)
        c->calls++;
    else
        refuse_call(c, m->id, why_unanswered(outcome));
}

static void call_answered(struct hf_conn *c, struct hf_str id, enum hf_backend_outcome outcome,
                          const struct hf_hook_answer *answer)
{
    c->calls--;
    if (outcome != HF_BACKEND_ANSWERED)
        refuse_call(c, id, why_unanswered(outcome));
    else if (!answer->allowed)
        refuse_call(c, id, (struct why){answer->label, answer->reason});
    else
        hf_conn_send(c, &(struct hf_msg){.type = HF_MSG_REPLY,
                                         .has = HF_HAS_ID | HF_HAS_PAYLOAD,
                                         .id = id,
                                         .payload = answer->payload});
}

/* ---- Messages that have to be allowed ---- */

/* What is answered where the backend cannot say it. Returns HF_CODE_NONE where that counts as yes. */
static enum hf_code code_unanswered(const struct hf_hub *hub, enum hf_hook hook,
                                    enum hf_backend_outcome outcome)
{
    switch (outcome) {
    case HF_BACKEND_FULL: /* Never open: or whoever sends enough at a time would be allowed everything. */
        return HF_CODE_OVERLOADED;
    case HF_BACKEND_TOO_LARGE:
        return HF_CODE_INTERNAL;
    default:
        return hub->config->hooks.fail[hook] == HF_HOOK_FAIL_OPEN ? HF_CODE_NONE : HF_CODE_UNAVAILABLE;
    }
}

static const char *reason_unanswered(enum hf_code code)
{
    switch (code) {
    case HF_CODE_OVERLOADED:
        return "too many requests to the application's backend wait: try again later";
    case HF_CODE_INTERNAL:
        return "the application's backend gave no valid answer";
    default:
        return "the application's backend cannot be reached: try again later";
    }
}

enum hf_asked hf_hooks_ask(struct hf_conn *c, enum hf_hook hook, const struct hf_msg *m, enum hf_code *code,
                           const char **reason)
{
    enum hf_backend_outcome outcome;
    struct hf_buf body;

    if (c->stall != NULL && c->stall->judged) {
        *code = c->stall->refused;
        *reason = c->stall->reason;
        return *code == HF_CODE_NONE ? HF_ASKED_ALLOWED : HF_ASKED_REFUSED;
    }
    if (!in_force(c->hub,
                  hook)) { /* The configuration was checked: this is a worker that is just being set up. */
        *code = HF_CODE_UNAVAILABLE;
        *reason = reason_unanswered(*code);
        return HF_ASKED_REFUSED;
    }
    begin_body(c->hub, &body, hook);
    put_who(c, &body);
    put_text(&body, "channel", m->channel);
    if (hook == HF_HOOK_PUBLISH) {
        if (m->has & HF_HAS_ID)
            put_text(&body, "messageId", m->id);
        put_payload(&body, m);
    }
    outcome = ask(c, hook, (struct hf_str){0}, &body);
    if (outcome == HF_BACKEND_STARTED) {
        c->hub->asked = c->hub->asks_begun;
        return HF_ASKED_WAIT;
    }
    *code = code_unanswered(c->hub, hook, outcome);
    *reason = reason_unanswered(*code);
    return *code == HF_CODE_NONE ? HF_ASKED_ALLOWED : HF_ASKED_REFUSED;
}

/* The message that waits is tried again, and finds the answer. */
static void message_answered(struct hf_conn *c, const struct hf_ask *a, enum hf_backend_outcome outcome,
                             const struct hf_hook_answer *answer)
{
    struct hf_stall *s = c->stall;
    bool answered = outcome == HF_BACKEND_ANSWERED;
    const char *own;

    s->ask = 0;
    s->judged = true;
    s->refused = !answered         ? code_unanswered(c->hub, a->hook, outcome)
                 : answer->allowed ? HF_CODE_NONE
                                   : answer->code;
    if (s->refused == HF_CODE_FORBIDDEN)
        hf_rules_count_refusal(c->hub, a->hook == HF_HOOK_PUBLISH ? HF_RIGHT_PUBLISH : HF_RIGHT_SUBSCRIBE);
    own = reason_unanswered(s->refused);
    if (answered)
        snprintf(s->reason, sizeof(s->reason), "%.*s", (int)answer->reason.len, answer->reason.data);
    else
        snprintf(s->reason, sizeof(s->reason), "%s", own);
    hf_list_add_tail(&c->hub->stalled, &s->link);
}

/* ---- Connections ---- */

bool hf_hooks_guard(const struct hf_hub *hub)
{
    return in_force(hub, HF_HOOK_CONNECT);
}

/* What is kept of a session's identity, as the claims of a token. NULL: it is anonymous, or memory is short. */
static json_t *kept_claims(const struct hf_sessions *t, const struct hf_session *s, struct hf_buf *scratch)
{
    json_t *claims = NULL, *info = NULL;
    struct hf_buf about;
    bool lost;

    if (hf_session_claims(t, s, scratch, &lost) < 0)
        return NULL;
    claims =
        scratch->len == 0 ? json_object() : json_loadb((const char *)scratch->data, scratch->len, 0, NULL);
    hf_buf_init(&about, HF_INFO_BYTES_MAX);
    if (hf_session_identity(t, s, scratch, &about) < 0 ||
        json_object_set_new(claims, "sub", json_stringn((const char *)scratch->data, scratch->len)) < 0 ||
        (about.len > 0 &&
         ((info = json_loadb((const char *)about.data, about.len, JSON_DECODE_ANY, NULL)) == NULL ||
          json_object_set_new(claims, "info", info) < 0))) {
        json_decref(claims);
        claims = NULL;
    }
    hf_buf_release(&about);
    return claims;
}

void hf_hooks_remember(struct hf_conn *c, const struct hf_session *s)
{
    const char *ignored;
    struct hf_buf scratch;
    json_t *claims;

    if (c->identity != NULL || c->hub->auth != NULL)
        return;
    hf_buf_init(&scratch, HF_CLAIMS_BYTES_MAX);
    claims = kept_claims(&c->hub->sessions, s, &scratch);
    if (claims != NULL) /* Without memory it is a stranger: a new session begins. */
        (void)!hf_identity_new(claims, 0, &c->identity, &ignored);
    c->upgrade->remembered = c->identity != NULL;
    json_decref(claims);
    hf_buf_release(&scratch);
}

/* Whether there are claims of this session that only the backend knows. */
static bool claims_lost(const struct hf_conn *c)
{
    const struct hf_sessions *t = &c->hub->sessions;
    const struct hf_session *s = c->upgrade->has_ticket ? hf_sessions_by_ticket(t, c->upgrade->ticket) : NULL;
    struct hf_buf scratch;
    bool lost = false;

    hf_buf_init(&scratch, HF_CLAIMS_BYTES_MAX);
    if (s != NULL)
        (void)!hf_session_claims(t, s, &scratch, &lost);
    hf_buf_release(&scratch);
    return lost;
}

/*
 * Of a resume the backend is asked where it wants to be, or where its claims did not fit beside the session. And where tokens count, a session that has its user from the backend is anybody's
 * without a token of his: so it is asked for anew.
 */
static bool asks_for_resume(const struct hf_conn *c)
{
    const struct hf_hub *hub = c->hub;

    if (hub->config->hooks.connect_resumes || (hub->auth != NULL && c->identity == NULL))
        return true;
    return hub->auth == NULL && claims_lost(c);
}

static void put_header(struct hf_buf *out, const char *name, struct hf_str value)
{
    if (value.data != NULL && hf_utf8_valid((const uint8_t *)value.data, value.len))
        put_text(out, name, value);
}

/* The token that the client shows, of whatever kind, where no tokens are checked here. */
static void put_token(struct hf_buf *out, const struct hf_handshake *h)
{
    static const struct hf_str in_list = {"hf.token.", 9}, bearer = {"Bearer ", 7};
    struct hf_str rest = h->protocols, token = {NULL, 0}, one;
    char query[TOKEN_BYTES_MAX];
    int len = hf_query_get(h->query, "token", query, sizeof(query));

    if (len >= 0)
        token = (struct hf_str){query, (size_t)len};
    if (h->authorization.len > bearer.len && memcmp(h->authorization.data, bearer.data, bearer.len) == 0)
        token = (struct hf_str){h->authorization.data + bearer.len, h->authorization.len - bearer.len};
    while (rest.data != NULL && hf_handshake_next_token(&rest, &one))
        if (one.len > in_list.len && memcmp(one.data, in_list.data, in_list.len) == 0)
            token = (struct hf_str){one.data + in_list.len, one.len - in_list.len};
    put_header(out, "token", token);
}

enum hf_asked hf_hooks_connect(struct hf_conn *c, const struct hf_handshake *h, bool resume,
                               enum hf_code *code, const char **reason)
{
    const struct hf_hub *hub = c->hub;
    enum hf_backend_outcome outcome;
    struct hf_buf body;

    if (!hf_hooks_guard(hub) || (resume && !asks_for_resume(c)))
        return HF_ASKED_ALLOWED;
    begin_body(hub, &body, HF_HOOK_CONNECT);
    put_who(c, &body);
    hf_buf_puts(&body, resume ? ",\"resume\":true" : ",\"resume\":false");
    put_text(&body, "address", hf_str_from(c->upgrade->address));
    put_header(&body, "origin", h->origin);
    put_header(&body, "cookie", h->cookie);
    if (hub->auth == NULL)
        put_token(&body, h);
    outcome = ask(c, HF_HOOK_CONNECT, (struct hf_str){0}, &body);
    if (outcome == HF_BACKEND_STARTED)
        return HF_ASKED_WAIT;
    *code = code_unanswered(hub, HF_HOOK_CONNECT, outcome);
    *reason = reason_unanswered(*code);
    return *code == HF_CODE_NONE ? HF_ASKED_ALLOWED : HF_ASKED_REFUSED;
}

/* user, info and claims of an answer as the claims of a token; NULL: it has something that jansson does not take. */
static json_t *claims_of(const struct hf_hook_answer *answer)
{
    json_t *claims = answer->claims.data == NULL
                         ? json_object()
                         : json_loadb(answer->claims.data, answer->claims.len, JSON_REJECT_DUPLICATES, NULL);
    json_t *user = json_stringn(answer->user.data, answer->user.len);
    json_t *info = answer->info.data == NULL ? NULL
                                             : json_loadb(answer->info.data, answer->info.len,
                                                          JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, NULL);
    bool good = claims != NULL && json_object_set_new(claims, "sub", user) == 0 &&
                (answer->info.data == NULL || json_object_set_new(claims, "info", info) == 0);

    if (claims == NULL) {
        json_decref(user);
        json_decref(info);
    }
    if (good)
        return claims;
    json_decref(claims);
    return NULL;
}

/* Whose connection it is, by the backend's word, unless its token says so. Returns NULL, or what is wrong with the answer. */
static const char *take_identity(struct hf_conn *c, const struct hf_hook_answer *answer)
{
    const char *wrong = "claims or info cannot be read";
    json_t *claims;

    if (answer->user.data == NULL)
        return answer->info.data != NULL || answer->claims.data != NULL ? "info and claims need a user"
                                                                        : NULL;
    if (c->identity != NULL)
        return hf_str_eq(answer->user, c->identity->user) ? NULL : "the user is not the token's";
    claims = claims_of(answer);
    if (claims != NULL && hf_identity_new(claims, 0, &c->identity, &wrong) == HF_ENOMEM)
        wrong = "the server is short of memory";
    json_decref(claims);
    return c->identity == NULL ? wrong : NULL;
}

/* The channels as records of `subscribe`. Returns what is wrong with them, or NULL. */
static const char *put_grants(struct hf_buf *out, struct hf_str channels)
{
    struct hf_str name;
    int got = 0;

    hf_buf_init(out, GRANTS_BYTES_MAX);
    while (channels.data != NULL && (got = hf_hook_answer_channel(&channels, &name)) == 1)
        (void)hf_binary_encode(
            out, &(struct hf_msg){.type = HF_MSG_SUBSCRIBE, .has = HF_HAS_CHANNEL, .channel = name});
    if (got < 0)
        return "channels has something that names no channel";
    return out->failed ? "the server is short of memory" : NULL;
}

void hf_hooks_grant(struct hf_conn *c, const struct hf_hook_answer *answer)
{
    struct hf_str records = answer->granted;

    if (records.len > 0)
        hf_dispatch_granted(c, records);
}

static void connect_answered(struct hf_conn *c, enum hf_backend_outcome outcome,
                             struct hf_hook_answer *answer)
{
    static const struct hf_hook_answer open = {.allowed = true};
    enum hf_code code =
        outcome == HF_BACKEND_ANSWERED ? HF_CODE_NONE : code_unanswered(c->hub, HF_HOOK_CONNECT, outcome);
    char reason[HF_LABEL_BYTES_MAX + 1];
    const char *wrong = NULL;
    struct hf_buf grants;

    if (outcome != HF_BACKEND_ANSWERED && code == HF_CODE_NONE) {
        hf_attach_admitted(c, &open);
        return;
    }
    if (outcome != HF_BACKEND_ANSWERED) {
        hf_attach_rejected(c, code, reason_unanswered(code), true);
        return;
    }
    if (!answer->allowed) {
        snprintf(reason, sizeof(reason), "%.*s", (int)answer->reason.len, answer->reason.data);
        hf_attach_rejected(c, answer->code, reason, false);
        return;
    }
    wrong = put_grants(&grants, answer->channels);
    if (wrong == NULL)
        wrong = take_identity(c, answer);
    if (wrong == NULL) {
        answer->granted = hf_buf_str(&grants);
        hf_attach_admitted(c, answer);
    } else {
        c->hub->backend->complain(c->hub->backend->ctx, HF_HOOK_CONNECT, wrong);
        hf_attach_rejected(c, HF_CODE_INTERNAL, reason_unanswered(HF_CODE_INTERNAL), true);
    }
    hf_buf_release(&grants);
}

/* ---- Ends ---- */

bool hf_hooks_tells_ends(const struct hf_hub *hub)
{
    return in_force(hub, HF_HOOK_DISCONNECT);
}

bool hf_hooks_room(const struct hf_hub *hub)
{
    return !hf_hooks_tells_ends(hub) || hub->backend->has_room(hub->backend->ctx);
}

void hf_hooks_ended(struct hf_hub *hub, const struct hf_session *s)
{
    struct hf_backend_request request = {.hook = HF_HOOK_DISCONNECT};
    struct hf_buf body;

    if (!in_force(hub, HF_HOOK_DISCONNECT))
        return;
    begin_body(hub, &body, HF_HOOK_DISCONNECT);
    hub->asks_begun++; /* Its id is its own, though nobody waits. */
    put_session(&body, s->number);
    put_remembered(hub, s, &body);
    hf_buf_puts(&body, "}");
    request.body = hf_buf_str(&body);
    if (body.failed || hub->backend->start(hub->backend->ctx, &request) != HF_BACKEND_STARTED)
        hf_count(hub->counters, HF_COUNT_HOOK_DISCONNECTS_LOST, 1);
    hf_buf_release(&body);
}

/* ---- Answers ---- */

/* What became of a request; an answer that is none is told as TOO_LARGE is: the backend is there, and what it says cannot be used. */
static enum hf_backend_outcome read_answer(struct hf_hub *hub, enum hf_hook hook,
                                           const struct hf_backend_answer *raw, struct hf_hook_answer *answer)
{
    const char *what;

    if (raw->outcome != HF_BACKEND_ANSWERED)
        return raw->outcome;
    if (hf_hook_answer_read(answer, hook, raw->status, raw->body, &what) == 0)
        return HF_BACKEND_ANSWERED;
    hub->backend->complain(hub->backend->ctx, hook, what);
    return HF_BACKEND_TOO_LARGE;
}

/* Whether the connection is still where the answer finds it. */
static bool waits(const struct hf_conn *c, const struct hf_ask *a, uint64_t token)
{
    switch (a->hook) {
    case HF_HOOK_CONNECT:
        return c->phase == HF_CONN_ASKING;
    case HF_HOOK_CALL:
        return c->phase == HF_CONN_OPEN;
    default:
        return c->stall != NULL && c->stall->ask == token;
    }
}

void hf_hub_backend_answered(struct hf_hub *hub, uint64_t token, const struct hf_backend_answer *raw,
                             struct hf_now now)
{
    struct hf_ask *a = hf_map_ptr(&hub->asks, token);
    struct hf_hook_answer answer = {.allowed = false};
    enum hf_backend_outcome outcome;
    struct hf_conn *c;

    hub->now = now;
    hf_assert(a != NULL);
    (void)hf_map_remove(&hub->asks, token);
    outcome = read_answer(hub, a->hook, raw, &answer);
    c = conn_of(hub, a);
    if (c == NULL || !waits(c, a, token))
        hf_count(hub->counters, HF_COUNT_HOOK_LATE, 1);
    else if (a->hook == HF_HOOK_CONNECT)
        connect_answered(c, outcome, &answer);
    else if (a->hook == HF_HOOK_CALL)
        call_answered(c, (struct hf_str){a->id, a->id_len}, outcome, &answer);
    else
        message_answered(c, a, outcome, &answer);
    free(a);
}
