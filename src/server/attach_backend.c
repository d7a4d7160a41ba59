/*
 * attach_backend.c - the application's backend decides who comes in: it is asked, and its answer carried out. docs/hooks.md.
 */
#include "server/attach_impl.h"

#include "server/hook_answer.h"

enum { ASK_GRACE_MS = 1000 }; /* beyond the time that a request of the backend has */

void hf_attach_let_in_by(struct hf_conn *c, const struct hf_hook_answer *answer)
{
    c->hub->granted = answer;
    hf_attach_let_in(c);
    c->hub->granted = NULL;
}

/* What a browser cannot see of a refusal it is told by a close code: 4002 makes its client ask for a token, behind 4003 it stays away. */
static void reject_browser(struct hf_conn *c, enum hf_code code, const char *reason)
{
    hf_count(c->hub->counters, HF_COUNT_REFUSED_BACKEND, 1);
    hf_attach_accept(c);
    hf_conn_close(c, code == HF_CODE_UNAUTHORIZED ? HF_CLOSE_TOKEN_EXPIRED : HF_CLOSE_ENDED, reason);
}

static void reject(struct hf_conn *c, enum hf_code code, const char *reason, bool busy)
{
    bool for_now = code == HF_CODE_RATE_LIMITED || code == HF_CODE_LIMIT || code == HF_CODE_OVERLOADED ||
                   code == HF_CODE_UNAVAILABLE || code == HF_CODE_TIMEOUT;
    struct hf_refusal why = {busy ? HF_COUNT_REFUSED_HOOK : HF_COUNT_REFUSED_BACKEND,
                             code == HF_CODE_RATE_LIMITED ? 429 : 503, code, reason};

    if (busy || for_now)
        hf_attach_refuse(c, &why);
    else if (c->upgrade->from_browser)
        reject_browser(c, code, reason);
    else
        hf_conn_refuse(c, why.cause, code == HF_CODE_UNAUTHORIZED ? 401 : 403, code, reason, 0);
}

/* The end of ASKING. */
static void asked(struct hf_conn *c)
{
    if (c->phase != HF_CONN_TAKING)
        hf_attach_upgraded(c);
}

void hf_attach_admitted(struct hf_conn *c, const struct hf_hook_answer *answer)
{
    hf_attach_let_in_by(c, answer);
    asked(c);
    if (c->phase == HF_CONN_OPEN && c->generation == 1) /* A session that is resumed has its subscriptions. */
        hf_hooks_grant(c, answer);
    if (c->phase == HF_CONN_OPEN)
        hf_conn_resume_input(c);
}

void hf_attach_rejected(struct hf_conn *c, enum hf_code code, const char *reason, bool busy)
{
    reject(c, code, reason, busy);
    asked(c);
}

bool hf_attach_ask_backend(struct hf_conn *c, const struct hf_handshake *h, bool resume)
{
    enum hf_code code;
    const char *reason;

    switch (hf_hooks_connect(c, h, resume, &code, &reason)) {
    case HF_ASKED_ALLOWED:
        return true;
    case HF_ASKED_REFUSED:
        reject(c, code, reason, true);
        return false;
    case HF_ASKED_WAIT:
        break;
    }
    hf_young_end(c);
    c->phase = HF_CONN_ASKING;
    c->deadline_ms = c->hub->now.mono_ms + c->hub->config->hooks.timeout_ms + ASK_GRACE_MS;
    hf_conn_schedule(c);
    return false;
}
