/*
 * token.h - tokens of the hub's connections. For the files of the hub; hub.h has hf_hub_set_auth().
 */
#ifndef HF_SERVER_TOKEN_H
#define HF_SERVER_TOKEN_H

#include "server/auth.h"
#include "server/hub_state.h"

struct hf_handshake;

/* Over which connections end whose key was taken away; a guess: soon, and not all in one moment. */
enum { HF_REVOKED_SPREAD_MS = 5000 };

/*
 * Whose connection is it, by its request? PROTOCOL.md "Opening": the token is in the subprotocols, in Authorization, or in the query. c->identity is set where it has a good
 * one, and stays NULL (anonymous) where it has none and may come in so.
 */
struct hf_token_verdict hf_token_admit(struct hf_conn *c, const struct hf_handshake *h);
/* A token was refused. */
void hf_token_count(const struct hf_hub *hub, enum hf_token_fault fault);

/* Whether the session is that of the connection's user. */
bool hf_token_owns(const struct hf_conn *c, const struct hf_session *s);
/* Write a user into the connection's session. Returns 0, or HF_ELIMIT where there is no room: then nothing has changed. */
int hf_token_sign_session(struct hf_conn *c, const struct hf_identity *identity) HF_MUST_CHECK;

/* Message `refresh`. What is refused is told by `error`, and the old token stays; otherwise there is no answer. */
void hf_token_refresh(struct hf_conn *c, const struct hf_msg *m);

/* The keys have changed: the connection ends within HF_REVOKED_SPREAD_MS if its token's key is no longer among them, unless it shows a better token before. */
void hf_token_enforce(struct hf_conn *c);
/* Its token has ended: so does the connection. */
void hf_token_over(struct hf_conn *c);

/* When the connection's token ends, monotonic ms, by the present wall clock; UINT64_MAX: never. */
uint64_t hf_token_deadline_ms(const struct hf_conn *c);

#endif
