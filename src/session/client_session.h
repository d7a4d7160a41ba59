/*
 * client_session.h - the reliable session as a client keeps it: one pure state machine over the connections that break.
 * No socket and no clock: a driver makes the connections, carries the bytes and says what time it is. The library's driver is
 * src/client/; the simulation is another.
 *
 * Its states, what may follow what, and the causes are in client_state.h.
 *
 * A session has two slots for connections: the one it lives on, and one that is being made to follow it (make before
 * break), or that is being closed. A third one is for probes of the network, where a heartbeat policy wants them. How a driver uses it:
 *
 *   for each slot, after every call, obey hf_client_session_want(s, slot):
 *     - its socket in that slot has another attempt number: close that socket at once, and report nothing;
 *     - HF_WISH_CONNECT and no socket yet: start one; then report _connected() or _lost();
 *     - HF_WISH_CARRY: when readable _recv(), when writable write _output() and report _sent(); on its end _lost();
 *     - HF_WISH_CLOSE: write what _output() has, as far as it goes, close the socket, report _lost();
 *   when hf_client_session_deadline_ms() has passed, read what is readable first, then call hf_client_session_tick().
 *
 * Everything told to the application comes by the callback, during one of these calls. In it the application may call
 * _publish(), _subscribe(), _unsubscribe(), the requests, _set_token() and _close(), and nothing else of this header that changes the session.
 * Times are milliseconds of one clock that never goes back and goes on while the machine sleeps (CLOCK_BOOTTIME).
 */
#ifndef HF_SESSION_CLIENT_SESSION_H
#define HF_SESSION_CLIENT_SESSION_H

#include "base/err.h"
#include "base/str.h"
#include "session/client_state.h"
#include "session/heartbeat_policy.h"
#include "session/outbox.h"
#include "session/store.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The last slot is for probes of the network. */
enum { HF_CLIENT_SESSION_SLOTS = 3, HF_CLIENT_SESSION_PROBE_SLOT = 2, HF_TOKEN_MAX = 4096 };

enum hf_client_session_event_type {
    HF_CSE_CONNECTED, /* resumed, session, retry_count: attempts that failed before */
    HF_CSE_CAUGHT_UP, /* what was missed while away has come: count messages since CONNECTED */
    HF_CSE_DISCONNECTED, /* the live connection ended: why, code, delay_ms until the next attempt (0 also: one is under way) */
    HF_CSE_RETRYING,     /* an attempt failed: the same */
    HF_CSE_ENDED,        /* the last event: the same, and whether the application asked for it */
    HF_CSE_SUBSCRIBED,   /* channel, epoch, offset: of the application's position; recovered */
    HF_CSE_UNSUBSCRIBED, /* channel, reason; code is empty where the application asked for it */
    HF_CSE_MESSAGE,      /* channel, offset, id, payload, timestamp_ms, from_user */
    HF_CSE_GAP,          /* channel, epoch, from_offset, to_offset, code; for `epoch` the offsets are 0 */
    HF_CSE_ACKED,        /* publish_id; offset, or 0 where it is not known (any more) */
    HF_CSE_REFUSED,      /* publish_id, code, reason */
    HF_CSE_UNCERTAIN, /* publish_id, channel, id, payload, payload_raw: it may have been applied; it is not sent again */
    HF_CSE_PONG, /* request_id, stamp: a ping of the application's has been answered */
    HF_CSE_KEPT, /* as MESSAGE, and request_id: one message of the answer to a history request, HISTORY comes behind the last. What it lends is good until then */
    HF_CSE_HISTORY, /* request_id, channel; epoch, offset (the head), count; or code, reason: it cannot be had */
    HF_CSE_MEMBER, /* request_id, channel, session, user, info: one of the answer to a presence request, MEMBERS comes behind the last. What it lends is good until then */
    HF_CSE_MEMBERS, /* request_id, channel, count; or code, reason: they cannot be had */
    HF_CSE_REPLY, /* request_id, payload (payload_raw); or code, reason: the call was refused. `uncertain`: it may have reached the backend; `timeout` */
    HF_CSE_JOIN,  /* channel, session, user, info: somebody has subscribed */
    HF_CSE_LEAVE, /* and has left; both only where the subscription asked for it */
    HF_CSE_PRESENCE_MISSED, /* channel: joins and leaves were missed, by a break or because there were too many: who is there must be asked anew */
    HF_CSE_ERROR,           /* code, reason, channel: a request was refused, or the server sent nonsense */
    HF_CSE_STATE, /* from, to, cause, why; delay_ms; close_code, http_status, reason as below. It comes first where others follow */
};

/* All strings are borrowed for the callback. */
struct hf_client_session_event {
    enum hf_client_session_event_type type;
    bool resumed, recovered, asked;
    bool payload_base64;  /* payload is base64 text of a binary payload, without quotes */
    bool payload_raw;     /* payload is the bytes of a binary payload; else (neither): raw JSON */
    uint16_t close_code;  /* DISCONNECTED, RETRYING, ENDED: the close code, 0: none was received */
    uint16_t http_status; /* RETRYING, ENDED: the HTTP refusal, 0: none */
    const char *why;      /* DISCONNECTED, RETRYING, ENDED, STATE: English, never NULL */
    enum hf_client_session_state from, to;
    enum hf_client_session_cause cause; /* STATE, DISCONNECTED, RETRYING, ENDED: never HF_BY_NONE */
    struct hf_str session, channel, epoch, id, payload, from_user, code, reason;
    struct hf_str user, info; /* of a member; info: raw JSON, data NULL where there is none */
    uint64_t offset, from_offset, to_offset, timestamp_ms;
    uint64_t publish_id, count;
    struct hf_completion completion; /* ACKED, REFUSED, UNCERTAIN: what was given with the publish */
    uint64_t request_id, stamp;
    /*
     * Until the next attempt. STATE: 0 for CONNECTING, which is one; UINT64_MAX where none is planned. A signal of the system's may bring
     * an attempt forward.
     */
    uint64_t delay_ms;
};

/* Which subprotocols a connection offers; the server picks. */
enum hf_client_session_offer {
    HF_OFFER_BOTH, /* the binary form preferred */
    HF_OFFER_JSON,
    HF_OFFER_BINARY,
};

/* Strings are copied. */
struct hf_client_session_config {
    const char *host;   /* for the Host header: "name:port" */
    const char *target; /* "/ws" */
    const char *token;  /* NULL: none; else as hf_http_is_token_char() allows, up to HF_TOKEN_MAX bytes */
    /*
     * Whether another token can be had, which the driver gives by hf_client_session_set_token() before it makes the connection that is wanted: then close 4002 and
     * HTTP 401 do not end the session, up to two of them in a row.
     */
    bool token_source;
    uint32_t outbox_messages_max; /* publishes kept until they are answered */
    size_t outbox_bytes_max;      /* and their bytes; also the largest publish */
    uint32_t window;              /* publishes written and unanswered on a connection */
    uint32_t subscriptions_max;
    size_t recv_bytes_max; /* the largest message taken from the server */
    uint64_t
        heartbeat_interval_ms; /* to ask of the server; 0: the server's own, or what the policy may need */
    struct hf_heartbeat_policy
        *heartbeat_policy; /* borrowed as long as the session; NULL: always the server's interval */
    bool background;       /* see hf_client_session_background() */
    enum hf_client_session_offer offer;
    /*
     * Seeds jitter, keys and masks. RFC 6455 section 10.3 wants masks that the application cannot predict: give 64 bits from the
     * system's random source, except in a simulation.
     */
    uint64_t seed;
    /* Keeps the outbox beyond the process; borrowed until the session is freed. NULL: nothing does. */
    const struct hf_store *store;
    void (*on_event)(void *ctx, const struct hf_client_session_event *ev);
    void *ctx;
};

struct hf_client_session;

/*
 * It begins WAITING with its first attempt due at once. HF_ENOMEM, or HF_EINVAL where a bound is 0 or a text too long. With a store: it has
 * what the store has, and resumes the session of the process that left it there if something of it may have been sent; that session's
 * subscriptions are not taken over. Also what the store's load() returns, or HF_ECORRUPT: what it says cannot be.
 */
int hf_client_session_new(const struct hf_client_session_config *config, uint64_t now_ms,
                          struct hf_client_session **out) HF_MUST_CHECK;
/* Frees all; no event comes. NULL is allowed. Not in a callback. */
void hf_client_session_free(struct hf_client_session *s);

/* --- for the application --- */

/*
 * Publish payload, one JSON value, to a channel, exactly once. id with data NULL: none. *publish_id gets the number by which ACKED,
 * REFUSED or UNCERTAIN will name it, each publish exactly one of them, in order. HF_EAGAIN: the outbox is full, try again after the
 * next such event. HF_ETOOLARGE: above the server's limit, or the outbox's. HF_EINVAL: no valid channel name, id or JSON.
 * HF_ESTATE: the session is closing or has ended. With a store also what its put() returns.
 * What a store cannot save is told as an ERROR of code `outbox`, once; nothing is sent until it can.
 */
int hf_client_session_publish(struct hf_client_session *s, struct hf_str channel, struct hf_str id,
                              struct hf_str payload, uint64_t *publish_id, uint64_t now_ms) HF_MUST_CHECK;
/* The same; the publish's one event will have this completion. */
int hf_client_session_publish_with(struct hf_client_session *s, struct hf_str channel, struct hf_str id,
                                   struct hf_str payload, struct hf_completion completion,
                                   uint64_t *publish_id, uint64_t now_ms) HF_MUST_CHECK;
/* The same with any bytes instead of a JSON value: subscribers get them as bytes, or in base64 where they speak JSON. */
int hf_client_session_publish_bytes(struct hf_client_session *s, struct hf_str channel, struct hf_str id,
                                    struct hf_str bytes, struct hf_completion completion,
                                    uint64_t *publish_id, uint64_t now_ms) HF_MUST_CHECK;

/* Where to begin. All zero: with the next message. */
struct hf_client_session_start {
    struct hf_str since_epoch; /* data NULL: no `since` */
    uint64_t since_offset;     /* begin behind this one */
    uint64_t last;             /* 0: not; else with the newest n messages */
    bool latest;               /* only the newest value matters */
    bool presence;             /* tell JOIN and LEAVE */
};

/* HF_EEXIST: subscribed, or the end of an earlier subscription has not been confirmed. HF_EINVAL, HF_ELIMIT, HF_ENOMEM, HF_ESTATE. */
int hf_client_session_subscribe(struct hf_client_session *s, struct hf_str channel,
                                const struct hf_client_session_start *start, uint64_t now_ms) HF_MUST_CHECK;
/* No message of the channel comes after this call; UNSUBSCRIBED follows. HF_ENOTFOUND. */
int hf_client_session_unsubscribe(struct hf_client_session *s, struct hf_str channel,
                                  uint64_t now_ms) HF_MUST_CHECK;

/* What a channel keeps. limit: from 1 to HF_HISTORY_LIMIT_MAX. */
struct hf_client_session_history {
    struct hf_str since_epoch; /* data NULL: from the oldest kept on, or from the newest down */
    uint64_t since_offset;     /* exclusive */
    uint64_t limit;
    bool reverse; /* newest first */
};

/*
 * Ask for a channel's history, or for a pong; HISTORY or PONG will name *request_id. A request is asked again on the next connection where this one breaks, so that
 * only the end of the session leaves one without its answer. HF_EAGAIN: HF_REQUESTS_MAX (request.h) wait already; HF_EINVAL, HF_ENOMEM, HF_ESTATE.
 */
int hf_client_session_history(struct hf_client_session *s, struct hf_str channel,
                              const struct hf_client_session_history *what, uint64_t *request_id,
                              uint64_t now_ms) HF_MUST_CHECK;
int hf_client_session_ping(struct hf_client_session *s, uint64_t stamp, uint64_t *request_id,
                           uint64_t now_ms) HF_MUST_CHECK;

/* Ask who is subscribed to a channel; MEMBERS will name *request_id. In all else like history. */
int hf_client_session_presence(struct hf_client_session *s, struct hf_str channel, uint64_t *request_id,
                               uint64_t now_ms) HF_MUST_CHECK;

/*
 * Ask the application's backend: method is of 1 to HF_LABEL_BYTES_MAX bytes of UTF-8, payload one JSON value. REPLY will name *request_id. A call whose connection breaks before
 * its answer is not repeated: it is `uncertain`, told behind what ended the connection. One without an answer after timeout_ms (0: for ever) is told as `timeout`. Only the end of the session leaves it
 * without a word. Errors are those of history; also HF_ETOOLARGE: above the server's limit, or outbox_bytes_max.
 */
int hf_client_session_call(struct hf_client_session *s, struct hf_str method, struct hf_str payload,
                           uint64_t timeout_ms, uint64_t *request_id, uint64_t now_ms) HF_MUST_CHECK;

/* Whether it may be shown: of the characters of hf_http_is_token_char(), 1 to HF_TOKEN_MAX. */
bool hf_client_session_token_valid(const char *token);
/* Show this token from now on, copied; the connection that stands gets it at once. HF_EINVAL: not what config.token may be; HF_ENOMEM: the old one stays; HF_ESTATE. */
int hf_client_session_set_token(struct hf_client_session *s, const char *token,
                                uint64_t now_ms) HF_MUST_CHECK;

/* Say goodbye: the server forgets the session. ENDED follows, at the latest after two seconds. */
void hf_client_session_close(struct hf_client_session *s, uint64_t now_ms);

/*
 * Whether nobody is looking (false at first, unless the config says so): then delays after failures grow up to 300 s and not to 30 s.
 * Coming to the foreground is a signal as those below.
 */
void hf_client_session_background(struct hf_client_session *s, bool background, uint64_t now_ms);

/*
 * The network in use has this key (0: not known), for the policy; a driver that can tell says so before the first attempt, and before
 * _network() at each change.
 */
void hf_client_session_set_network(struct hf_client_session *s, uint64_t key, uint64_t now_ms);
/* The policy was given another tolerance: the server is asked anew. */
void hf_client_session_heartbeat_changed(struct hf_client_session *s, uint64_t now_ms);

/* What a watcher knows of the way that a slot's connection takes. */
enum hf_session_path {
    HF_PATH_SAME,  /* a new connection would take the same, or there is no connection */
    HF_PATH_MOVED, /* a new connection would take another: another interface, or own address */
    HF_PATH_GONE,  /* its own address is not this machine's any more: nothing can arrive on it */
};

struct hf_network_facts {
    bool offline; /* there is no way to the server at all */
    enum hf_session_path paths[HF_CLIENT_SESSION_SLOTS];
};

/*
 * Something on the way to the server changed, and this is how things stand now: a signal. It verifies a connection that stands, by a ping with a deadline of the
 * round trip's size, and brings a waiting attempt forward to within 100 ms; only where the server had named the time, to 30 s at the soonest.
 *   offline         attempts rest, but for a probe each 30 s, because such signals lie. It holds until told otherwise, or a connection comes about
 *   GONE            the connection is dead
 *   MOVED           another one is made on the new way, and lives on when it is welcome (make before break)
 *   offline before  the same, because what waits on the old connection waits for TCP's next retransmission
 * Not in a callback.
 */
void hf_client_session_network(struct hf_client_session *s, const struct hf_network_facts *facts,
                               uint64_t now_ms);
/* The machine slept: a signal. */
void hf_client_session_woke_up(struct hf_client_session *s, uint64_t now_ms);
/*
 * What the slot's socket has taken does not leave the machine, or is not acknowledged by its peer's (client/stuck.h): a doubt. That the socket takes
 * nothing for 2 s, though there is output, the session sees itself.
 */
void hf_client_session_output_stuck(struct hf_client_session *s, unsigned slot, uint64_t now_ms);

enum hf_client_session_state hf_client_session_state(const struct hf_client_session *s);
/* The publish id that the next publish gets. */
uint64_t hf_client_session_next_id(const struct hf_client_session *s);
/* Publishes that have no answer yet. */
uint32_t hf_client_session_unanswered(const struct hf_client_session *s);
/* Connections that were welcomed. */
uint32_t hf_client_session_connections(const struct hf_client_session *s);
/* Whether the live connection speaks the binary form. */
bool hf_client_session_is_binary(const struct hf_client_session *s);
/* The application's position in a channel, to be kept for a later `since`. False: not subscribed, or not known yet. */
bool hf_client_session_position(struct hf_client_session *s, struct hf_str channel, struct hf_str *epoch,
                                uint64_t *offset);

/*
 * ENDED: take the oldest publish without an answer, if the server may have got it (sent), or cannot have got it (not sent); NULL otherwise. All
 * that was sent comes before all that was not. The caller owns it (free()); `refused` ones have been told.
 */
struct hf_outbox_item;
struct hf_outbox_item *hf_client_session_take_unanswered(struct hf_client_session *s,
                                                         bool sent) HF_MUST_CHECK;

/* --- for the driver --- */

enum hf_client_session_wish {
    HF_WISH_NONE,    /* no connection is wanted in this slot */
    HF_WISH_CONNECT, /* make one */
    HF_WISH_CARRY,   /* carry bytes */
    HF_WISH_CLOSE,   /* write the rest of the output, and close it */
};

struct hf_client_session_want {
    enum hf_client_session_wish wish;
    uint32_t attempt; /* which connection is meant; 0 with NONE */
    uint64_t
        until_ms; /* CONNECT: then the session gives it up; a driver that does so itself can say what it waited for */
};

struct hf_client_session_want hf_client_session_want(const struct hf_client_session *s, unsigned slot);
/*
 * For the upgrade of the connection that is reported next: another server than the config's, by its Host header and target; copied.
 * HF_EINVAL: too long; HF_ENOMEM.
 */
int hf_client_session_set_server(struct hf_client_session *s, const char *host,
                                 const char *target) HF_MUST_CHECK;
/* The wanted connection stands. */
void hf_client_session_connected(struct hf_client_session *s, unsigned slot, uint64_t now_ms);
/* It could not be made, or has ended; why is English, for the application. */
void hf_client_session_lost(struct hf_client_session *s, unsigned slot, const char *why, uint64_t now_ms);
/* The same where this machine has given it up, and not the peer: what was sent is not acknowledged (ETIMEDOUT), or nothing leads there. Of the server that says as little as a heartbeat that was missed. */
void hf_client_session_given_up(struct hf_client_session *s, unsigned slot, const char *why, uint64_t now_ms);
/* Bytes received. data is written to. */
void hf_client_session_recv(struct hf_client_session *s, unsigned slot, uint8_t *data, size_t len,
                            uint64_t now_ms);
/* What is to be written, borrowed until the next call; empty: nothing. */
struct hf_str hf_client_session_output(struct hf_client_session *s, unsigned slot, uint64_t now_ms);
/* The socket has taken the first `len` bytes of it. */
void hf_client_session_sent(struct hf_client_session *s, unsigned slot, size_t len, uint64_t now_ms);
/* The slot that the session lives on; -1: none. */
int hf_client_session_live_slot(const struct hf_client_session *s);
/* After so much silence behind a ping a connection is dead; it follows the measured round trip. */
uint64_t hf_client_session_hard_ms(const struct hf_client_session *s);
/* When to call _tick(), or UINT64_MAX. */
uint64_t hf_client_session_deadline_ms(const struct hf_client_session *s);
void hf_client_session_tick(struct hf_client_session *s, uint64_t now_ms);

#endif
