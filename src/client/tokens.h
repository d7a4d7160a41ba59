/*
 * tokens.h - when a client's application is asked for a token, and why (holdfast.h, on_token_needed): sdk/js/src/tokens.ts once more.
 * Pure: it knows no token but by its end, and what time it is comes in: unix_ms is the wall clock's, by which tokens end; now_ms is that of the session.
 *
 * A token that ends within HF_TOKEN_MARGIN_MS is not shown any more. Another one is asked for when HF_TOKEN_RENEW_BEFORE_MS of its time are left, or half of it where that is less;
 * but not sooner than HF_TOKEN_RENEW_AFTER_MS after it came, because a source may keep its tokens and give the same one as long as it is good.
 */
#ifndef HF_CLIENT_TOKENS_H
#define HF_CLIENT_TOKENS_H

#include "holdfast/holdfast.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    HF_TOKEN_MARGIN_MS = 5000,
    HF_TOKEN_RENEW_BEFORE_MS = 30000,
    HF_TOKEN_RENEW_AFTER_MS = 5000,
    HF_TOKEN_ANSWER_MS = 30000, /* what was asked for is waited for so long; a guess */
};

struct hf_tokens {
    bool source; /* there is somebody to ask */
    bool have;   /* a token that the server has not refused */
    /*
     * It had ended by our clock when it was given, and has not been shown since. Our clock may be wrong, and another one would be no better: the server decides
     * about each token that the source gives.
     */
    bool untried;
    enum hf_client_token_reason reason; /* of the next question, but for a renewal */
    uint64_t end_ms, renew_at_ms;       /* Unix; UINT64_MAX: never */
    uint64_t asked_until_ms; /* a question waits for its answer until then; UINT64_MAX: none does */
    uint32_t asked_for;      /* the attempt that was last asked for; 0: none */
};

/* The Unix time at which a JWT ends, from its `exp`; UINT64_MAX: it does not say, or is none. Only the server can tell whether it is good. */
uint64_t hf_token_end_ms(const char *token);

/* token: NULL where the application has given none. */
void hf_tokens_init(struct hf_tokens *t, const char *token, bool source, uint64_t unix_ms);
/* Whether another one must be had before the next connection is made. */
bool hf_tokens_missing(const struct hf_tokens *t, uint64_t unix_ms);
/* A connection is being made with the one that is there. */
void hf_tokens_shown(struct hf_tokens *t);
/* The server does not take it. */
void hf_tokens_refused(struct hf_tokens *t);
/* The application has given one; shown: on the connection that stands. What waited is answered. */
void hf_tokens_taken(struct hf_tokens *t, const char *token, bool shown, uint64_t unix_ms);
/* It cannot give one. Returns whether it had been asked. */
bool hf_tokens_failed(struct hf_tokens *t);

/*
 * One is missing for this attempt: whether to ask for it now, with *reason. It is asked for once for an attempt, never for attempt 0, and not while a question waits for its answer.
 */
bool hf_tokens_ask(struct hf_tokens *t, uint32_t attempt, uint64_t now_ms,
                   enum hf_client_token_reason *reason);
/* How long until the one that is shown on a connection is to be renewed; 0: now, UINT64_MAX: it is not. */
uint64_t hf_tokens_renew_in_ms(const struct hf_tokens *t, uint64_t unix_ms);
/* It is asked for: once, because the next attempt will ask where this fails. */
void hf_tokens_renewing(struct hf_tokens *t, uint64_t now_ms);
/* Whether a question has waited in vain; it waits no more then. */
bool hf_tokens_timed_out(struct hf_tokens *t, uint64_t now_ms);

#endif
