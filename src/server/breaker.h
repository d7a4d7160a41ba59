/*
 * breaker.h - a circuit breaker: who fails again and again is left alone for a while, then tried with one request.
 *
 * CLOSED    -> OPEN       `failures` requests in a row have failed
 * OPEN      -> HALF_OPEN  the pause is over and a request is let through to try
 * HALF_OPEN -> CLOSED     it was answered
 * HALF_OPEN -> OPEN       it failed, or never went out
 * OPEN      -> CLOSED     one that had begun before was answered after all
 */
#ifndef HF_SERVER_BREAKER_H
#define HF_SERVER_BREAKER_H

#include <stdbool.h>
#include <stdint.h>

enum hf_breaker_state { HF_BREAKER_CLOSED, HF_BREAKER_OPEN, HF_BREAKER_HALF_OPEN };

/* Zeroed it is closed. */
struct hf_breaker {
    enum hf_breaker_state state;
    uint32_t failures; /* in a row */
    uint64_t until_ms; /* OPEN: the end of the pause */
};

/* What a result has changed. */
enum hf_breaker_change { HF_BREAKER_SAME, HF_BREAKER_OPENED, HF_BREAKER_HAS_CLOSED };

/* Whether a request would be refused now. */
bool hf_breaker_refuses(const struct hf_breaker *b, uint64_t now_ms);
/* A request is about to go out. Returns false where it may not; true behind a pause makes it the one that tries. */
bool hf_breaker_admit(struct hf_breaker *b, uint64_t now_ms);
/* A request that was admitted has been answered. */
enum hf_breaker_change hf_breaker_answered(struct hf_breaker *b);
/* A request that was admitted has failed, or could not be sent. */
enum hf_breaker_change hf_breaker_failed(struct hf_breaker *b, uint32_t failures_max, uint32_t pause_ms,
                                         uint64_t now_ms);

#endif
