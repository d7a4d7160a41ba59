/*
 * backoff.h - when a client tries again after its connection ended, or an attempt failed.
 * The cause decides the first delay; after failures comes full jitter: U(0, 0.5 s * 2^n), n counting the failures, up
 * to 30 s, or 300 s in the background. Of all ways to spread a herd, full jitter needs the fewest attempts (AWS, "Exponential Backoff And Jitter").
 *
 * What counts as a failure: an attempt that reached no `welcome`, and a connection that ended before it had been of any
 * use (no message delivered, no publish acknowledged). A connection that was of use leaves the count as it is, and
 * clears it once it has also been stable for 30 s: so a server that accepts and dies cannot be hammered, and a
 * client that moves its messages through a bad hour is not slowed down for it.
 */
#ifndef HF_SESSION_BACKOFF_H
#define HF_SESSION_BACKOFF_H

#include "base/rng.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    HF_BACKOFF_BASE_MS = 500,
    HF_BACKOFF_CAP_MS = 30000,
    HF_BACKOFF_FLOOR_MS = 100,    /* after the first failure; keeps U(0, x) from being no pause at all */
    HF_BACKOFF_STABLE_MS = 30000, /* a connection that old, and of use, clears the count */
    HF_BACKOFF_BACKGROUND_CAP_MS = 300000,
    HF_BACKOFF_LOSS_MS_MAX = 60000, /* a server names no more */
    HF_BACKOFF_OWN_MS_MAX = 100,
    HF_BACKOFF_RANDOM_MS_MAX = 1000, /* "the client adds a random part of a second" (PROTOCOL.md "Opening") */
    HF_BACKOFF_ADVICE_MS_MAX = 3600 * 1000, /* a server that asks for more is taken for this; a guess */
};

enum hf_backoff_cause {
    HF_CAUSE_SIGNAL,  /* the network changed or the machine woke up: what was before says nothing about now */
    HF_CAUSE_OWN,     /* own evidence otherwise: the hard deadline passed */
    HF_CAUSE_LOSS,    /* the connection ended and nobody said why */
    HF_CAUSE_ADVICE,  /* the server's `reconnect {after:[min,max]}` */
    HF_CAUSE_RETRY,   /* an HTTP refusal with Retry-After */
    HF_CAUSE_REFUSED, /* any other failed attempt */
};

/* What is known about the end of a connection or attempt. */
struct hf_backoff_end {
    enum hf_backoff_cause cause;
    bool attempt_failed;     /* there was no `welcome` */
    uint64_t loss_spread_ms; /* LOSS: the last welcome's lossSpread */
    uint64_t min_ms, max_ms; /* ADVICE: the window; RETRY: min_ms is the Retry-After */
};

struct hf_backoff {
    uint64_t cap_ms;
    uint32_t failures;        /* n of the formula */
    bool connected;           /* a welcome has come, and its connection stands */
    bool useful;              /* on this connection, a message was delivered or acknowledged */
    uint64_t connected_at_ms; /* when the welcome came */
};

void hf_backoff_init(struct hf_backoff *b);
/* Whether nobody is looking: see the caps. Foreground at first. */
void hf_backoff_background(struct hf_backoff *b, bool background);
/* The welcome has come. */
void hf_backoff_connected(struct hf_backoff *b, uint64_t now_ms);
/* A message was delivered, or a publish acknowledged. */
void hf_backoff_progressed(struct hf_backoff *b);
/* The connection or attempt has ended: returns how many milliseconds to wait before the next attempt. */
uint64_t hf_backoff_ended(struct hf_backoff *b, const struct hf_backoff_end *end, struct hf_rng *rng,
                          uint64_t now_ms);
/* The delay of an attempt that a signal brings forward. */
uint64_t hf_backoff_signal_ms(struct hf_rng *rng);

#endif
