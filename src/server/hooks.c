/*
 * hooks.c - what is asked of the application's backend: what a request says, who waits for its answer, and what the answer does. docs/hooks.md.
 * Whoever waits is named by his connection's serial, so that an answer finds nobody where that has gone.
 */
#include "server/hub_state.h"

#include "base/assert.h"
#include "server/backend.h"
#include "server/hook_answer.h"
#include "wire/json.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum {
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

void hf_hub_backend_answered(struct hf_hub *hub, uint64_t token, const struct hf_backend_answer *raw,
                             struct hf_now now)
{
    struct hf_ask *a = hf_map_ptr(&hub->asks, token);
    struct hf_hook_answer answer;
    enum hf_backend_outcome outcome;
    struct hf_conn *c;

    hub->now = now;
    hf_assert(a != NULL);
    (void)hf_map_remove(&hub->asks, token);
    outcome = read_answer(hub, a->hook, raw, &answer);
    c = conn_of(hub, a);
    if (c == NULL || c->phase != HF_CONN_OPEN)
        hf_count(hub->counters, HF_COUNT_HOOK_LATE, 1);
    else if (a->hook == HF_HOOK_CALL)
        call_answered(c, (struct hf_str){a->id, a->id_len}, outcome, &answer);
    free(a);
}
