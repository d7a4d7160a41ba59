/*
 * attach.c - the way of an upgrade request to its session: path and Origin, room for it, whose it is, the backend's word. docs/protocol.md "Opening" and "Resuming".
 */
#include "server/attach_impl.h"

#include "base/assert.h"
#include "server/hook_answer.h"
#include "server/origin.h"
#include "server/token.h"
#include "ws/handshake.h"

#include <stdlib.h>
#include <string.h>

void hf_attach_upgraded(struct hf_conn *c)
{
    free(c->upgrade);
    c->told = NULL;
    if (c->hub->advice.newcomers_too)
        hf_hub_advise(c);
}

/* Whether there is room for it, and then whose it is: a token costs more to look at than a place. Returns false where it was told why not. */
static bool admit(struct hf_conn *c, const struct hf_handshake *h, enum hf_gate_kind kind)
{
    const struct hf_refusal *full = hf_admission_judge(c, kind);
    struct hf_token_verdict verdict;

    if (full != NULL) {
        hf_attach_refuse(c, full);
        return false;
    }
    verdict = hf_token_admit(c, h);
    if (verdict.fault != HF_TOKEN_GOOD)
        hf_attach_refuse_token(c, &verdict);
    return verdict.fault == HF_TOKEN_GOOD;
}

void hf_attach_let_in(struct hf_conn *c)
{
    if (!c->upgrade->ticket_given) {
        hf_attach_new(c, &(struct hf_welcome){0});
        return;
    }
    c->deadline_ms = c->hub->now.mono_ms + HF_TAKE_TIMEOUT_MS;
    hf_attach_resume(c);
}

/* Whether it resumes a session, as far as can be seen: with the ticket of another user's session a new one begins. Without a token the backend may say whose it is. */
static bool resumes(const struct hf_conn *c)
{
    const struct hf_upgrade *u = c->upgrade;
    const struct hf_session *s = u->has_ticket ? hf_sessions_by_ticket(&c->hub->sessions, u->ticket) : NULL;

    return s != NULL && hf_state_phase(atomic_load(&s->state)) != HF_SESSION_ENDED &&
           (c->identity == NULL || hf_token_owns(c, s));
}

static void attach(struct hf_conn *c, const struct hf_handshake *h)
{
    struct hf_upgrade *u = c->upgrade;
    const char *wrong;
    bool resume;

    hf_assert(h->key.len == HF_WS_KEY_LEN);
    memcpy(u->key, h->key.data, HF_WS_KEY_LEN);
    u->from_browser = h->origin.data != NULL;
    if (c->hub->config->compression_enabled && c->hub->compressed != NULL)
        u->deflate = h->deflate;
    hf_admission_name(c, h);
    if (!hf_origin_allowed(c->hub->config, h->origin)) {
        hf_conn_refuse(c, HF_COUNT_REFUSED_ORIGIN, 403, HF_CODE_FORBIDDEN,
                       "pages of this Origin may not connect: see auth.origins in the configuration", 0);
        return;
    }
    if (c->hub->config->echo && hf_str_eq(h->path, HF_STR("/echo"))) {
        c->echo = true;
        if (admit(c, h, HF_GATE_NEW))
            hf_attach_accept(c);
        return;
    }
    if (!hf_str_eq(h->path, HF_STR("/ws"))) {
        hf_conn_refuse(c, HF_COUNT_REFUSED_REQUEST, 404, HF_CODE_NOT_FOUND,
                       "there is nothing here: connect to /ws", 0);
        return;
    }
    wrong = hf_attach_read_request(c, h);
    if (wrong != NULL) {
        hf_conn_refuse(c, HF_COUNT_REFUSED_REQUEST, 400, HF_CODE_BAD_MESSAGE, wrong, 0);
        return;
    }
    if (!admit(c, h, hf_attach_kind(c)))
        return;
    resume = resumes(c);
    if (!hf_attach_ask_backend(c, h, resume))
        return;
    if (resume) /* No new session comes of it without its being asked for. */
        hf_attach_let_in(c);
    else
        hf_attach_let_in_by(c, &(struct hf_hook_answer){.allowed = true});
}

void hf_attach_begin(struct hf_conn *c, const struct hf_handshake *h)
{
    attach(c, h);
    if (c->phase != HF_CONN_TAKING && c->phase != HF_CONN_ASKING)
        hf_attach_upgraded(c);
}
