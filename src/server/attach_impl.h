/*
 * attach_impl.h - what the files share that give a connection its session; included by them alone. What others call is in hub_state.h.
 *   attach.c           the way of an upgrade request, step by step
 *   attach_request.c   what it asks for
 *   attach_backend.c   the application's backend decides
 *   attach_answer.c    101, or why not
 *   attach_session.c   a new session; and parting from one
 *   attach_resume.c    a session that was there before
 *   attach_welcome.c   what the connection hears first
 * All of it runs in the hub's one thread. c->upgrade lives until hf_attach_upgraded().
 */
#ifndef HF_SERVER_ATTACH_IMPL_H
#define HF_SERVER_ATTACH_IMPL_H

#include "server/admission.h"
#include "server/auth.h"
#include "server/hub_state.h"

#include <stdbool.h>
#include <stdint.h>

struct hf_handshake;
struct hf_hook_answer;

enum {
    HF_TICKET_TEXT = HF_TICKET_BYTES / 3 * 4, /* its characters in base64url */
};

/* What `welcome` says of the session. */
struct hf_welcome {
    bool resumed, last_seq_known;
    uint64_t last_seq;
    const struct hf_session_past *past; /* of a session that is gone; NULL: none is known */
};

/* ---- attach.c ---- */
/* Whoever may come in does: with the session that it names, or a new one. */
void hf_attach_let_in(struct hf_conn *c);
/* It has its answer: the rest of its life is without what only the handshake needs. */
void hf_attach_upgraded(struct hf_conn *c);

/* ---- attach_request.c ---- */
/* Read c->upgrade off the request. Returns NULL, or what is wrong with it (static). */
const char *hf_attach_read_request(struct hf_conn *c, const struct hf_handshake *h) HF_MUST_CHECK;

/* ---- attach_backend.c ---- */
/*
 * Ask the backend where it wants to be asked. Returns true where it need not be, or cannot be and that counts as yes; false where the connection waits for it, or has been refused.
 */
bool hf_attach_ask_backend(struct hf_conn *c, const struct hf_handshake *h, bool resume) HF_MUST_CHECK;
/* hf_attach_let_in() by the backend's word, which a new session needs. */
void hf_attach_let_in_by(struct hf_conn *c, const struct hf_hook_answer *answer);

/* ---- attach_answer.c ---- */
/* 101: it is OPEN from now on. */
void hf_attach_accept(struct hf_conn *c);
/* Its token is not good. */
void hf_attach_refuse_token(struct hf_conn *c, const struct hf_token_verdict *no);
/* Whether its request is for a session that there is. A ticket alone makes no resume: anybody could write one to be let in first. */
enum hf_gate_kind hf_attach_kind(const struct hf_conn *c);

/* ---- attach_session.c ---- */
/* Give it a new session, and answer; or say why not. */
void hf_attach_new(struct hf_conn *c, const struct hf_welcome *w);
/*
 * The connection and the session, which is ours now, belong together; its publishes go on behind last_seq. Returns false without memory: then the session is parked.
 */
bool hf_attach_bind(struct hf_conn *c, struct hf_session *s, uint64_t generation,
                    uint64_t last_seq) HF_MUST_CHECK;

/* ---- attach_resume.c ---- */
/*
 * Give it the session that its ticket names, or a new one where that has gone, and answer. Where another connection or worker has it, that one is asked and the connection is TAKING.
 */
void hf_attach_resume(struct hf_conn *c);

/* ---- attach_welcome.c ---- */
/* Send `welcome`, with the places of its subscriptions. */
void hf_attach_welcome(struct hf_conn *c, const struct hf_welcome *w);
/* Send the session's refusals that its window has behind it: the last connection may have missed them. */
void hf_attach_send_refusals(struct hf_conn *c);

#endif
