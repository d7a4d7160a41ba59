/*
 * service.h - what a worker offers to the HTTP API that runs beside it in the same process and loop.
 * All functions are called from the worker's own thread, between turns of its loop. Strings are borrowed for the call.
 */
#ifndef HF_SERVER_SERVICE_H
#define HF_SERVER_SERVICE_H

#include "base/buf.h"
#include "base/str.h"
#include "wire/message.h"

#include <stdbool.h>
#include <stdint.h>

struct hf_hub;

enum { HF_EPOCH_MAX = 32 }; /* bytes of an epoch's text, with NUL */

/* How a publish by the backend ended. */
struct hf_service_result {
    enum hf_code code;        /* HF_CODE_NONE: applied */
    int conflict;             /* the idempotency key was used with another body: answer 409 */
    const char *reason;       /* with a code: English, static */
    char epoch[HF_EPOCH_MAX]; /* of the channel */
    uint64_t offset;          /* of the message */
    uint32_t sessions;        /* of an order: with how many sessions it was done */
    uint32_t refused;         /* and how many could have no more subscriptions */
};

typedef void hf_service_done(void *ctx, const struct hf_service_result *result);

struct hf_service_publish {
    struct hf_str channel; /* valid by hf_channel_name_valid() */
    struct hf_str id;      /* data NULL: none */
    struct hf_str payload; /* raw JSON value, or any bytes; at most the configured size */
    struct hf_str key;     /* idempotency key, 1 to 255 bytes; data NULL: none */
    bool raw;              /* payload is bytes, and no JSON */
};

/*
 * Publish. done() is called once, at once or in a later turn, also when it fails (`limit`, `overloaded`, `too_large`,
 * `timeout`: no answer from the shard's owner in time, so the outcome is unknown and only a repeat with the same key is safe).
 */
void hf_service_publish(struct hf_hub *hub, const struct hf_service_publish *publish, hf_service_done *done,
                        void *ctx);

/* Parameters of a history request, as the message `history` and POST /api/history share them. */
struct hf_history_query {
    struct hf_str channel;
    bool has_since;
    struct hf_str since_epoch;
    uint64_t since_offset;
    uint64_t limit; /* 1 to 1,000 */
    bool reverse;
};

/*
 * Append `"epoch":...,"offset":...,"messages":[...]` (no braces). A channel that does not exist has epoch "", offset 0
 * and no messages. Returns 0 or the buffer's error.
 */
int hf_service_history(struct hf_hub *hub, const struct hf_history_query *query, struct hf_buf *out);

/* What to list of the channels: those that fit all of it. */
struct hf_channels_query {
    struct hf_str prefix; /* of the name; empty: any */
    struct hf_str search; /* part of the name; empty: any */
    struct hf_str after;  /* only names behind this one; data NULL: from the first */
    uint64_t limit;       /* 1 to 1,000 */
};

/* Append the whole answer of GET /api/channels, sorted by name. Returns 0, HF_ENOMEM or the buffer's error. All channels are looked at, within this turn. */
int hf_service_channels(struct hf_hub *hub, const struct hf_channels_query *query, struct hf_buf *out);

/*
 * End a session (close_code 4003 or 1000: the session itself; another: only its connection). done(): HF_CODE_NONE, or NOT_FOUND where there is
 * no such session (or no connection to be harmed), UNAVAILABLE where its worker did not answer in time, RATE_LIMITED where no more connections are frozen.
 */
void hf_service_disconnect(struct hf_hub *hub, struct hf_str session, uint16_t close_code,
                           hf_service_done *done, void *ctx);

/* ---- Presence: presence.h ---- */

struct hf_presence_query {
    struct hf_str channel;
    struct hf_str after; /* a session's text: those behind it only; data NULL: from the first */
    uint64_t limit;      /* from 1 on */
};

/*
 * Append `"members":[...],"total":...` (no braces), sorted by session, and `,"next":SESSION` where there are more behind the last one. out is written before done() is called, at
 * once or in a later turn, and must live until then. done(): HF_CODE_NONE, or LIMIT, OVERLOADED, TIMEOUT.
 */
void hf_service_presence(struct hf_hub *hub, const struct hf_presence_query *query, struct hf_buf *out,
                         hf_service_done *done, void *ctx);

/* ---- Orders about sessions ---- */

enum hf_service_act { HF_ACT_SUBSCRIBE, HF_ACT_UNSUBSCRIBE, HF_ACT_DISCONNECT };

enum { HF_ORDER_SESSIONS_MAX = 10000 }; /* sessions of one user that one order is about; a guess */

struct hf_service_order {
    enum hf_service_act act;
    struct hf_str session; /* data NULL: those of user */
    struct hf_str user;    /* 1 to HF_LABEL_BYTES_MAX bytes */
    struct hf_str channel; /* not of a disconnect; valid by hf_channel_name_valid() */
    uint16_t close_code;   /* of a disconnect: as of hf_service_disconnect() */
};

/*
 * Subscribe sessions to a channel, unsubscribe them, or disconnect them: one session, or all that a user has when it is called, on all workers, connected or within their
 * grace. done(): HF_CODE_NONE with `sessions` and `refused`; of a session NOT_FOUND where it is not there, LIMIT where it can have no more subscriptions; of a user LIMIT where he has
 * more than HF_ORDER_SESSIONS_MAX sessions (then nothing is done); TIMEOUT: some worker did not answer in time, and what it did is unknown: a repeat does no harm.
 */
void hf_service_order(struct hf_hub *hub, const struct hf_service_order *order, hf_service_done *done,
                      void *ctx);

/*
 * Harm that the demo does to a session's connection: given to hf_service_disconnect() in place of a close code, below all of them.
 * RFC 6455 7.4.2: "Status codes in the range 0-999 are not used."
 */
enum hf_harm {
    HF_HARM_DROP = 1,   /* the connection is closed without a word */
    HF_HARM_FREEZE = 2, /* nothing goes in or out for HF_HARM_FREEZE_MS, as on a path that swallows packets */
};
enum { HF_HARM_FREEZE_MS = 20000 };

/* Whether a worker holds this session now, that is, whether there is a connection to be harmed. */
bool hf_service_held(struct hf_hub *hub, struct hf_str session);
/* Whether harm of this kind is due again, whichever worker did the last; 0: a kill. True takes the turn. */
bool hf_service_may_harm(struct hf_hub *hub, unsigned kind);
/* The worker that holds this session is killed by the supervisor within a fifth of a second. Returns false where nobody holds it. */
bool hf_service_kill_worker(struct hf_hub *hub, struct hf_str session);

/* Which of the worker slots this one is, from 0. */
uint32_t hf_service_slot(const struct hf_hub *hub);

/* Append GET /api/top: of the busiest channels and the slowest connections at most limit each. Returns 0, HF_ENOMEM or the buffer's error. */
int hf_service_top(struct hf_hub *hub, uint64_t limit, struct hf_buf *out);

/* How much to tell of each worker; of all together everything is told. */
struct hf_stats_query {
    bool
        brief; /* of each worker what a table of them shows, and no histograms: with 256 of them a tenth of the bytes */
    bool has_worker; /* one worker is told in full, with the buckets of its histograms, */
    uint64_t worker; /* this slot */
};

/*
 * Append GET /api/stats, {"workers":[{"slot":0,"pid":...,...}],"total":{...}}, and GET /metrics. Return 0, the buffer's error, or HF_ENOTFOUND where there is no such worker.
 */
int hf_service_stats(struct hf_hub *hub, const struct hf_stats_query *query, struct hf_buf *out);
int hf_service_metrics(struct hf_hub *hub, struct hf_buf *out);

/* What to list of the sessions. */
struct hf_session_query {
    struct hf_str search; /* the beginning of a session's id, or part of its user's name; empty: all */
    uint64_t after;       /* `next` of the page before; 0: from the first */
    uint64_t limit;       /* 1 to 1,000 */
};

/*
 * Append GET /api/sessions, {"sessions":[{"session":…,"user":…?,"state":"attached" or "waiting","worker":…,"subscriptions":…}],"next":…?}, and
 * GET /api/session, that and positions, events and findings of one (text: its id). A page may be short of its limit: no more than HF_SESSIONS_LOOKED_AT sessions are
 * looked at for it. Return 0, the buffer's error, or HF_ENOTFOUND where there is neither such a session nor any event of it.
 */
enum { HF_SESSIONS_LOOKED_AT = 65536 };
int hf_service_sessions(struct hf_hub *hub, const struct hf_session_query *query, struct hf_buf *out);
int hf_service_session_detail(struct hf_hub *hub, struct hf_str text, struct hf_buf *out);

/* Whether this worker takes new connections (not draining). */
bool hf_service_ready(struct hf_hub *hub);

#endif
