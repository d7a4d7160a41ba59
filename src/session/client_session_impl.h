/*
 * client_session_impl.h - what the files of the client session share; included by them alone, and by the simulation, which copies a ticket.
 *   client_session.c          making and freeing, entering and leaving, and what the application asks of the session as a whole
 *   client_session_driver.c   connections and bytes, as the driver brings and takes them
 *   client_session_clock.c    when something is due, and doing it then
 *   client_session_attempt.c  the state machine: when a connection is made, and when it is left
 *   client_session_ending.c   what ends a connection or an attempt, and what that means
 *   client_session_signal.c   doubts, and what the system says about the network
 *   client_session_publish.c  publishes and their answers
 *   client_session_channel.c  subscriptions and their messages
 *   client_session_presence.c joins and leaves of others
 *   client_session_probe.c    the third slot: how much silence the network bears
 *   client_session_recv.c     the welcome, and which of the others a message is for
 *   client_session_request.c  history, presence, calls and pings
 *   client_session_send.c     what is said to the server, and when
 *   client_session_store.c    what the outbox's store must know, and when
 */
#ifndef HF_SESSION_CLIENT_SESSION_IMPL_H
#define HF_SESSION_CLIENT_SESSION_IMPL_H

#include "session/backoff.h"
#include "session/client_session.h"
#include "session/heartbeat.h"
#include "session/link.h"
#include "session/outbox.h"
#include "session/request.h"
#include "session/subscription.h"
#include "wire/binary.h"
#include "wire/message.h"

enum {
    HF_TICKET_MAX = 512, /* bytes of a ticket that a client keeps; ours have 43. It must fit into a header */
    HF_SESSION_ID_MAX = 128, /* the same for a session's id */
    /* More publishes are put out when the socket has taken what lies there: one write's worth. */
    HF_PUBLISHES_BELOW_BYTES = 64 * 1024,
    HF_NO_SLOT = -1,
    HF_PREPARED_MAX = 3, /* connections that are made ahead, on doubt alone, in */
    HF_PREPARED_MS = 60 * 1000,
    HF_SPARE_MS = 5000,          /* such a one is kept after the doubt has proven unfounded */
    HF_OFFLINE_PROBE_MS = 30000, /* "one probe per 30 s because signals lie" (research/protocol.md 3.5) */
};

#define HF_NEVER UINT64_MAX

/* Where a probe is: client_session_probe.c. */
enum hf_cs_probe {
    HF_CS_PROBE_NONE,
    HF_CS_PROBE_DIALING,
    HF_CS_PROBE_ASKING,
    HF_CS_PROBE_SILENT,
    HF_CS_PROBE_PINGED,
    HF_CS_PROBE_JUDGING,
};

struct hf_client_session {
    enum hf_client_session_state state;
    struct hf_client_session_config config;
    struct hf_rng delay_rng; /* all delays, so that they are the same whatever is written: tests/vectors */
    struct hf_rng rng;       /* keys and masks */
    struct hf_backoff backoff;
    struct hf_heartbeat heartbeat;
    struct hf_outbox outbox;
    struct hf_subscriptions subs;
    struct hf_requests requests;
    struct hf_buf scratch; /* a message being encoded */

    struct hf_link links[HF_CLIENT_SESSION_SLOTS];
    uint64_t linger_until_ms[HF_CLIENT_SESSION_SLOTS]; /* a CLOSING link is dropped then */
    int live;                                          /* the slot it lives on, HF_NO_SLOT: none */
    int next;                                          /* the slot that shall follow, HF_NO_SLOT: none */
    bool next_held;    /* `next` is prepared only: the upgrade waits until the doubt is confirmed */
    uint32_t attempts; /* made so far; the last one's number */
    uint32_t given_up; /* the highest attempt whose request went out and whose answer was not waited for */
    uint64_t attempt_at_ms;                     /* WAITING, OFFLINE: when the next one is due */
    enum hf_client_session_cause attempt_cause; /* and why then */
    uint64_t
        told_until_ms; /* the server has named a time, which signals bring forward only within bounds; 0: it has not */
    uint64_t attempt_from_ms; /* `next`: when it was begun */
    uint64_t
        attempt_until_ms;   /* `next`: when it is given up; HF_NEVER: it is prepared, and the doubt stands */
    uint64_t request_at_ms; /* `next`: when its upgrade request was put out */
    uint64_t prepared_at_ms[HF_PREPARED_MAX]; /* the last ones made ahead */
    uint32_t prepared;
    uint64_t proof_ping;  /* DOUBTFUL: anything that comes after this ping was sent proves the connection */
    bool offline;         /* the system says so */
    uint64_t leave_at_ms; /* LIVE: when the server's `reconnect` is to be followed; HF_NEVER: there is none */
    uint64_t advice_min_ms, advice_max_ms; /* a `reconnect` on a connection that got no welcome; 0, 0: none */
    uint64_t close_until_ms;               /* CLOSING: the wait for the server's answer to `bye` */

    char ticket[HF_TICKET_MAX];
    size_t ticket_len; /* 0: there is no session to resume */
    char id[HF_SESSION_ID_MAX];
    size_t id_len;
    uint64_t loss_spread_ms;
    uint64_t payload_bytes_max; /* the server's maxMessage; 0: not known yet */
    uint32_t connections, retries;
    uint32_t token_refusals; /* in a row, for want of a good token */

    /* The live connection was closed in favour of `next`, as it seems: nothing is told until that is welcomed or fails. */
    bool superseded;
    bool greeting; /* a welcome is being looked at: requests wait until it has been */
    /* Publishes up to settle_seq are done; which of them were refused is known with the pong. */
    bool settling;
    bool unkept;        /* the server named a channel on this connection for which there was no room */
    bool refuse_oldest; /* "after 1009 takes its oldest unanswered publish for refused" */
    uint64_t settle_seq;

    uint64_t saved_first_id, saved_sent_id, saved_attempts; /* what the store knows */
    bool unsaved;           /* ticket or numbers are not what the store knows: no publish may be written */
    bool unnoted;           /* a refusal is not what the store knows */
    uint64_t save_again_ms; /* saving failed, and is tried again then; HF_NEVER: it did not */
    bool inherited; /* the session was another process's, and its subscriptions are not all ended yet */
    uint64_t welcome_ping; /* sent behind the welcome; its pong ends catching up and settling. 0: had */
    uint64_t caught_up_count;

    uint32_t unacked_messages;
    size_t unacked_bytes;
    uint64_t ack_at_ms;      /* when acknowledgements are due; HF_NEVER: nothing to acknowledge */
    uint64_t sync_until_ms;  /* a hole must be filled by then; HF_NEVER: none */
    uint64_t output_from_ms; /* output waits, and the socket has taken nothing since; HF_NEVER: none waits */
    uint64_t resub_at_ms;    /* deferred subscribes are due; HF_NEVER: none */
    uint64_t answer_from_ms; /* the last answer, or the first request without one; HF_NEVER: none waits */
    uint32_t asked;          /* subscribes and unsubscribes without an answer */
    uint32_t bad_messages;   /* on this connection */

    enum hf_cs_probe probe;
    uint32_t probes;       /* begun so far; the last one's number */
    uint64_t probe_gap_ms; /* its silence */
    uint64_t probe_at_ms;  /* when its state has lasted long enough; HF_NEVER: NONE */
    uint64_t probe_silent_from_ms;

    unsigned busy;      /* calls under way: a callback is possible */
    bool close_wanted;  /* _close() was called in one */
    const char *failed; /* the live connection cannot go on: why; NULL: it can */
    uint16_t failed_code;
    bool forget_session; /* and the session cannot, either */
};

/* Why the state changes: how a connection or an attempt ended, or what else happened. */
struct hf_ending {
    enum hf_client_session_cause cause;
    const char *why; /* NULL: what the cause says */
    uint16_t close_code;
    uint16_t http_status;
    struct hf_str reason;    /* of the close frame */
    uint64_t min_ms, max_ms; /* as of struct hf_backoff_end */
    bool asked;              /* by the application */
    bool final;              /* no further attempt would help */
};

/* --- client_session.c --- */
/* Around each call that may tell the application something. */
void hf_cs_enter(struct hf_client_session *s);
void hf_cs_leave(struct hf_client_session *s, uint64_t now_ms);
void hf_cs_emit(struct hf_client_session *s, const struct hf_client_session_event *ev);
/* The live connection must be ended after the call under way, with this close code. */
void hf_cs_fail(struct hf_client_session *s, uint16_t close_code, const char *why);

/* --- client_session_attempt.c --- */
/* Change the state, and tell the application: everything else has been set before. */
void hf_cs_move(struct hf_client_session *s, enum hf_client_session_state to, const struct hf_ending *e,
                uint64_t now_ms);
/* Begin to make a connection; held: only prepare it, its upgrade waits for hf_cs_release_next(). */
void hf_cs_start_attempt(struct hf_client_session *s, bool held, uint64_t now_ms);
void hf_cs_request_upgrade(struct hf_client_session *s, uint64_t now_ms);
void hf_cs_release_next(struct hf_client_session *s, uint64_t now_ms);
/* `next` is not wanted any more. */
void hf_cs_drop_next(struct hf_client_session *s);
/* The same, after its request may have reached the server. */
void hf_cs_give_up_next(struct hf_client_session *s, const struct hf_ending *e, uint64_t now_ms);
/* `next` has failed. Its link is CLOSING already, or is dropped. */
void hf_cs_attempt_ended(struct hf_client_session *s, const struct hf_ending *e, uint64_t now_ms);
/* The connection under way said something else than `welcome`. */
void hf_cs_fail_next(struct hf_client_session *s, const char *why, uint64_t now_ms);
/* `next` has got its welcome: it is the live one now. */
void hf_cs_adopt_next(struct hf_client_session *s, uint64_t now_ms);
/* The live connection is no more. Its link is CLOSING already, or is dropped. */
void hf_cs_live_ended(struct hf_client_session *s, const struct hf_ending *e, uint64_t now_ms);
/* The server has closed it with 4001, and `next` has its request out. Its link is CLOSING. */
void hf_cs_live_superseded(struct hf_client_session *s);
/* Nothing of what was going on on a connection goes on. */
void hf_cs_reset_connection(struct hf_client_session *s);
/* The session is over. */
void hf_cs_end(struct hf_client_session *s, const struct hf_ending *e, uint64_t now_ms);

/* --- client_session_ending.c --- */
void hf_cs_on_link_event(struct hf_client_session *s, int slot, struct hf_link_event *lev, uint64_t now_ms);

/* --- client_session_signal.c --- */
/* Something makes the connection doubtful: it is verified. Does nothing where there is none. */
void hf_cs_doubt(struct hf_client_session *s, enum hf_client_session_cause cause, uint64_t now_ms);
/* Bytes have come on it. */
void hf_cs_proven(struct hf_client_session *s, uint64_t now_ms);
/* The soft deadline of a heartbeat has passed. */
void hf_cs_suspect(struct hf_client_session *s, uint64_t now_ms);
/* The next attempt is a probe. */
void hf_cs_await_network(struct hf_client_session *s, uint64_t now_ms);

/* --- client_session_publish.c --- */
/* Whether this can be published at all: HF_EINVAL. *value is the payload, if it is JSON without white space around it. */
int hf_cs_publish_check(struct hf_str channel, struct hf_str id, struct hf_str payload, bool raw,
                        struct hf_str *value) HF_MUST_CHECK;
/* Publishes at the front that were refused leave. Of those that another process was told of the application is told now. */
void hf_cs_drop_refused(struct hf_client_session *s);
/* Put out what the window and the output have room for. */
void hf_cs_put_publishes(struct hf_client_session *s, uint64_t now_ms);
void hf_cs_on_ack(struct hf_client_session *s, struct hf_msg *m, uint64_t now_ms);
void hf_cs_on_nack(struct hf_client_session *s, struct hf_msg *m, uint64_t now_ms);
void hf_cs_on_bad_seq(struct hf_client_session *s, const struct hf_msg *m);
/* What lastSeq says of what was sent; false: it cannot be, and the connection fails. */
bool hf_cs_outbox_resumed(struct hf_client_session *s, const struct hf_msg *m);
void hf_cs_outbox_renewed(struct hf_client_session *s, const struct hf_msg *m);
/* All nacks that follow a welcome have come: what lastSeq covers is settled. */
void hf_cs_settled(struct hf_client_session *s, uint64_t now_ms);

/* --- client_session_store.c --- */
/* Take over what the store has. */
int hf_cs_load(struct hf_client_session *s) HF_MUST_CHECK;
/* Keep a publish that the outbox has just got. */
int hf_cs_store_put(struct hf_client_session *s, const struct hf_outbox_item *item) HF_MUST_CHECK;
/* A publish that is in the outbox still was refused. */
void hf_cs_store_refuse(struct hf_client_session *s, const struct hf_outbox_item *item);
/* Let the store know what it must before publishes are written. Returns the publish id up to which they may be. */
uint64_t hf_cs_save(struct hf_client_session *s, uint64_t now_ms);
/* An attempt is about to be made. */
void hf_cs_save_attempt(struct hf_client_session *s);
/* The session will be freed. */
void hf_cs_save_last(struct hf_client_session *s);

/* --- client_session_channel.c --- */
/* Put out the subscribes and unsubscribes that are due. */
void hf_cs_put_requests(struct hf_client_session *s, uint64_t now_ms);
/* Subscribes that the server put off are due. */
void hf_cs_undefer(struct hf_client_session *s, uint64_t now_ms);
void hf_cs_on_subscribed(struct hf_client_session *s, struct hf_msg *m, uint64_t now_ms);
void hf_cs_on_unsubscribed(struct hf_client_session *s, struct hf_msg *m, uint64_t now_ms);
void hf_cs_on_data(struct hf_client_session *s, struct hf_msg *m, uint64_t now_ms);
void hf_cs_on_gap(struct hf_client_session *s, struct hf_msg *m, uint64_t now_ms);
/* Whether an `error` is the answer to a request about a channel, which it then was. */
bool hf_cs_request_refused(struct hf_client_session *s, struct hf_msg *m, uint64_t now_ms);
/* Take over welcome.channels; or, where another process asked for them, end those that this one has not. */
void hf_cs_name_channels(struct hf_client_session *s, const struct hf_msg *m, uint64_t now_ms);
/* What was not named begins again, or has ended. */
void hf_cs_sort_channels(struct hf_client_session *s);

/* --- client_session_presence.c --- */
void hf_cs_on_presence_event(struct hf_client_session *s, struct hf_msg *m, uint64_t now_ms);
/* What the application knows of the members is out of date, where it wants to know of them. */
void hf_cs_presence_missed(struct hf_client_session *s, const struct hf_subscription *sub);
/* Whether an `error` says so. */
bool hf_cs_is_presence_missed(struct hf_client_session *s, const struct hf_msg *m);

/* --- client_session_probe.c --- */
/* The live connection has been answered: a probe is judged, or begins if one is wanted. */
void hf_cs_probe_network_good(struct hf_client_session *s, uint64_t now_ms);
/* Its connection stands; bytes of it have come; it is gone; its time has come. */
void hf_cs_probe_connected(struct hf_client_session *s, uint64_t now_ms);
void hf_cs_probe_recv(struct hf_client_session *s, uint8_t *data, size_t len, uint64_t now_ms);
void hf_cs_probe_lost(struct hf_client_session *s, uint64_t now_ms);
void hf_cs_probe_tick(struct hf_client_session *s, uint64_t now_ms);
/* Nothing will be known of it; does nothing where there is none. */
void hf_cs_probe_abandon(struct hf_client_session *s, uint64_t now_ms);

/* --- client_session_request.c --- */
/* Put out the requests that have not been asked on this connection. */
void hf_cs_put_questions(struct hf_client_session *s, uint64_t now_ms);
void hf_cs_on_history(struct hf_client_session *s, struct hf_msg *m, uint64_t now_ms);
void hf_cs_on_presence(struct hf_client_session *s, struct hf_msg *m, uint64_t now_ms);
void hf_cs_on_reply(struct hf_client_session *s, struct hf_msg *m, uint64_t now_ms);
/* Whether a pong answers a ping of the application's. */
bool hf_cs_on_app_pong(struct hf_client_session *s, const struct hf_msg *m, uint64_t now_ms);
/* A message larger than this client takes came: it is taken for the answer to the oldest question about a channel, which is not asked again. */
void hf_cs_question_too_large(struct hf_client_session *s);
/* Tell of the calls that the end of a connection has left without an answer. */
void hf_cs_tell_lost_calls(struct hf_client_session *s);
/* When the time of a call is over, HF_NEVER: of none; and telling so. */
uint64_t hf_cs_calls_deadline_ms(const struct hf_client_session *s);
void hf_cs_tick_calls(struct hf_client_session *s, uint64_t now_ms);
/* Whether an `error` is the answer to one of them. */
bool hf_cs_question_refused(struct hf_client_session *s, const struct hf_msg *m, uint64_t now_ms);

/* --- client_session_recv.c --- */
/* Whether it may stand in a header. */
bool hf_cs_ticket_valid(struct hf_str ticket);
void hf_cs_recv_message(struct hf_client_session *s, int slot, char *data, size_t len, uint64_t now_ms);
/*
 * The messages of one WebSocket message, in either encoding: init, then hf_cs_next_message() until it does not return 1. 0: the end; HF_EBADMSG: *reason says
 * what is wrong, and the next call goes on behind it.
 */
struct hf_cs_messages {
    enum hf_encoding encoding;
    char *data; /* JSON: NULL when it has been read */
    size_t len;
    struct hf_binary_reader reader;
};
void hf_cs_messages_init(struct hf_cs_messages *in, enum hf_encoding encoding, char *data, size_t len);
int hf_cs_next_message(struct hf_cs_messages *in, struct hf_msg *m, const char **reason) HF_MUST_CHECK;
/* "Otherwise the id is epoch-offset" (docs/protocol.md "What is different from JSON"). Room: HF_CS_ID_MAX bytes. */
enum { HF_CS_ID_MAX = HF_LABEL_BYTES_MAX + 1 + 20 };
struct hf_str hf_cs_default_id(char *room, struct hf_str epoch, uint64_t offset);
void hf_cs_emit_error(struct hf_client_session *s, struct hf_str code, struct hf_str reason,
                      struct hf_str channel);

/* --- client_session_send.c --- */
/* Put a message into the live connection's output; does nothing where there is none. */
void hf_cs_put(struct hf_client_session *s, const struct hf_msg *m);
/* The same into the output of any link that is OPEN; what hf_link_put_message() returns. */
int hf_cs_put_on(struct hf_client_session *s, struct hf_link *l, const struct hf_msg *m) HF_MUST_CHECK;
/* The live connection's. */
enum hf_encoding hf_cs_encoding(const struct hf_client_session *s);
/* Ask for the interval that is wanted, unless the server has it already. */
void hf_cs_put_heartbeat(struct hf_client_session *s);
void hf_cs_put_ping(struct hf_client_session *s, uint64_t ping_id);
void hf_cs_put_pong(struct hf_client_session *s);
void hf_cs_put_acks(struct hf_client_session *s, uint64_t now_ms);
void hf_cs_put_sync_request(struct hf_client_session *s, const struct hf_subscription *sub, uint64_t now_ms);
/* resume: as an attempt of this session; else as a new session of the same user. */
int hf_cs_put_upgrade(struct hf_client_session *s, struct hf_link *l, bool resume) HF_MUST_CHECK;
/* Something new was delivered, and is to be acknowledged in its time. */
void hf_cs_delivered(struct hf_client_session *s, size_t bytes, uint64_t now_ms);
/* Whether the application has asked for the end, or it has come. */
bool hf_cs_closing(const struct hf_client_session *s);
/* A request waits for its answer; one has been answered, and others, or none, wait. */
void hf_cs_awaiting_answer(struct hf_client_session *s, uint64_t now_ms);
void hf_cs_answered(struct hf_client_session *s, uint64_t now_ms);

#endif
