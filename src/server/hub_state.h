/*
 * hub_state.h - what the files of the hub share: its structures, and the functions by which one part calls another.
 * Only for src/server/: hub.c (life and turns), connection.c (bytes in and out), inbound.c (messages that come), dispatch.c (what they do), attach*.c (how a connection gets its session: attach_impl.h),
 * topic.c (subscriptions), deliver.c (from the logs to the sockets), publish.c (towards the logs), exchange.c (other workers),
 * token.c (whose connection it is), rules.c (who may do what), service.c, history.c and inspect.c (requests of the backend), journal.c (what is written down about sessions).
 */
#ifndef HF_SERVER_HUB_STATE_H
#define HF_SERVER_HUB_STATE_H

#include "base/buf.h"
#include "base/list.h"
#include "base/map.h"
#include "base/rng.h"
#include "base/wheel.h"
#include "channel/cursor.h"
#include "engine/engine.h"
#include "server/backend.h"
#include "server/busy.h"
#include "server/compressed.h"
#include "server/conns.h"
#include "server/due.h"
#include "server/hub.h"
#include "server/identity.h"
#include "server/loan.h"
#include "server/reasons.h"
#include "server/rules.h"
#include "server/run.h"
#include "session/window.h"
#include "wire/message.h"
#include "ws/frame.h"
#include "ws/handshake.h"

#include <assert.h>
#include <stddef.h>

/* PROTOCOL.md "Opening": the names of the two encodings. */
#define HF_PROTOCOL_JSON "holdfast.v1.json"
#define HF_PROTOCOL_BINARY "holdfast.v1.bin"

enum {
    HF_READ_BYTES =
        256 * 1024, /* one read of the worker; also the most that waits unparsed on a stalled connection */
    HF_OUT_SOFT_BYTES =
        64 * 1024,             /* control output unsent beyond which a connection's requests are not read */
    HF_TAKE_TIMEOUT_MS = 3000, /* another worker does not hand a session over: 503 */
    HF_CLOSE_LINGER_MS = 2000, /* from our close frame to the peer's end of the connection */
    HF_SERVICE_TIMEOUT_MS = 10000, /* a backend's request waits so long for another worker */
    HF_SEARCH_PER_TURN =
        64 *
        1024, /* records looked through for acks by id in one turn: some milliseconds, whoever sends them */
    HF_TOLD_MAX =
        64, /* cids besides those of its subscriptions that a connection may name: docs/protocol.md */
    HF_RECORDS_PER_PIECE = 1024, /* records of one message carried out before the others have their turn */
    HF_BAD_MESSAGES_MAX = 32,    /* PROTOCOL.md: "after 32 of them on a connection close 1008" */
    HF_SLICE_SUBS = 256, /* at some 4 us for each write, small channels wait a millisecond at the most */
    HF_UPKEEP_MS = 250,  /* expiry of sessions, as long as some wait for it */
    HF_IDLE_MS = 1000,   /* a worker with nothing to do looks around that often; see hf_region_settled_ms() */
    HF_SETTLE_MS =
        50, /* how often a worker looks at all others' rung_ms; a millisecond more for each of them */
    HF_ADDRESS_BYTES = 64,
};

/*
 * HANDSHAKE -> ASKING   the application's backend is asked whether it may come in
 * HANDSHAKE, ASKING -> TAKING   the request names a session that another worker holds
 * HANDSHAKE, ASKING, TAKING -> OPEN     101 is in the output
 * any       -> CLOSING  the last bytes (a close frame, an HTTP refusal) are in the output; input is ignored
 * any       -> DEAD     the transport is closed; freed at the end of the turn
 */
enum hf_conn_phase {
    HF_CONN_HANDSHAKE,
    HF_CONN_ASKING,
    HF_CONN_TAKING,
    HF_CONN_OPEN,
    HF_CONN_CLOSING,
    HF_CONN_DEAD
};

struct hf_topic;
struct hf_presence_state;

/* One subscription of a connection. */
struct hf_sub {
    struct hf_conn *conn;
    struct hf_topic *topic;
    struct hf_session_sub *cell; /* in shared memory */
    struct hf_sub *next;         /* of the same connection */
    struct hf_sub *due_next;     /* of the connection's due subscriptions */
    struct hf_cursor cursor;
    hf_ref last_ref; /* the record before cursor.next_offset, 0: look it up */
    uint32_t index;  /* in topic->subs */
    bool due, latest;
    bool catching_up; /* what it is sent was there before it asked: no measure of how fast a delivery is */
    bool watches;     /* it is told of joins and leaves: presence.h */
};

static_assert(sizeof(struct hf_sub) <= 72, "with the allocator's 8 bytes 80: see docs/performance.md");

/* A channel that this worker has subscribers of. */
struct hf_topic {
    hf_cid cid;
    uint32_t shard;
    struct hf_channel *channel;
    struct hf_list dirty; /* in hub->dirty_topics while its head may have moved, or the walk is not over */
    struct hf_sub **subs;
    uint32_t count, cap;
    struct hf_tally *tally; /* where others read the count; NULL: there was no room */
    uint32_t at,
        left; /* the walk through subs, round and round: where it goes on, and how many it has to look at yet */
    bool moved; /* the head may have moved since the walk began */
};

/*
 * A message that could not be carried out yet. Nothing else of its connection is read until it is, also not what stands behind it in the same
 * WebSocket message. With msg.type NONE there is only that, and it waits for the connection's output to become less, or for the next turn.
 */
struct hf_stall {
    struct hf_list link; /* in hub->stalled; in no list where only output is waited for */
    struct hf_conn *conn;
    struct hf_msg msg;  /* its strings lie behind this struct */
    struct hf_str rest; /* the records behind it, in `kept` */
    char *kept; /* heap: handed on when one of them has to wait in its turn, so that they are copied once */
    bool seq_added;        /* the window has it already */
    bool opening;          /* the owner was asked to make the channel, and has not answered */
    int open_err;          /* its answer, if that was no */
    const char *malformed; /* it is to be refused, for this reason */
    uint64_t ask;          /* the request to the backend whose answer it waits for, in no list; 0: none */
    bool judged;           /* that has come: */
    enum hf_code refused;  /* NONE: it is allowed */
    char reason[HF_LABEL_BYTES_MAX + 1];
};

/* The cids that a client of the binary form was told last and has no subscription of: a ring. */
struct hf_told {
    hf_cid cids[HF_TOLD_MAX]; /* 0: none */
    uint32_t count;           /* of all that were ever put in */
};

/* What a connection needs until it is OPEN. It is freed then, so that an idle one does not carry it. */
struct hf_upgrade {
    struct hf_conn *conn;
    struct hf_list young;           /* in hub->young during the handshake */
    uint64_t began_ms;              /* accepted */
    char address[HF_ADDRESS_BYTES]; /* the client's, as far as it is known */
    /* What the request asks for. */
    char key[HF_WS_KEY_LEN];
    bool named, binary, from_browser, has_ticket, has_attempt;
    bool ticket_given; /* of whatever kind */
    bool
        remembered; /* its identity is what its session knows of its user, and no news: hf_hooks_remember() */
    uint8_t ticket[HF_TICKET_BYTES];
    uint64_t attempt;
    struct hf_deflate_terms deflate;
    uint32_t asked; /* TAKING: slot + 1 of the worker that was asked to hand the session over */
};

/*
 * One connection. A million of them are kept, and a broadcast walks through all of its subscribers': what a write needs stands in the first 64 bytes, what a read needs
 * behind them.
 */
struct hf_conn {
    struct hf_hub *hub;
    struct hf_sub *due_subs;
    struct hf_stall *stall;
    struct hf_buf
        out; /* control output, and the rest of a message that was written in part; see hf_conn_out() */
    union {
        uint64_t
            progress_ms; /* OPEN: when the last of what waits to be written was taken; 0: nothing waits */
        uint64_t deadline_ms; /* any other phase: the end of patience */
    };
    uint32_t due_at;     /* place + 1 in hub->due or hub->flushing; 0: not due */
    uint8_t phase;       /* enum hf_conn_phase */
    uint8_t window_bits; /* of compressed messages to it, 8 to 15; 0: compression was not negotiated */
    bool blocked : 1;    /* the socket took less than it was given */
    bool paused : 1;     /* not read */
    bool acks_due : 1;   /* the window has answers */
    bool binary : 1;     /* it speaks holdfast.v1.bin, else JSON */
    uint8_t calls;       /* without their answer yet */

    struct hf_ws ws;
    uint64_t received_ms; /* last byte from the peer */
    struct hf_window window;
    struct hf_sub *subs;
    uint16_t sub_count; /* session.subscriptions is at most 65,535 */
    bool echo : 1;      /* on /echo: no protocol */
    bool named : 1;     /* asked for a Holdfast subprotocol: understands its messages */
    bool pinged : 1;    /* a heartbeat went out since the last receipt */
    bool too_big : 1;   /* a message beyond all bounds came: close 1009 follows the last answer */
    bool finished : 1;  /* finish() was called */
    bool granting : 1;  /* what is carried out are the subscriptions that the backend has given it */
    bool spread : 1;    /* spread_ms holds, and there has been no heartbeat yet */
    bool watched : 1;   /* in hub->busy */
    uint8_t bad_messages;
    uint32_t heartbeat_ms;
    uint32_t opened_ms; /* the low bits of when it became OPEN */
    union {
        uint32_t spread_ms; /* the first heartbeat goes out that much earlier */
        uint32_t pinged_us; /* the low bits of when the last one went out */
    };
    uint64_t publish_full_us; /* base/rate.h, for limits.publish_rate */
    uint64_t counted_under;   /* hf_gate_address(), 0: not counted */
    struct hf_timer timer;    /* in hub->wheel; in hub->dead in the end */
    struct hf_session *session;
    struct hf_identity *identity; /* of its present token; NULL: anonymous */
    uint64_t generation : 48;     /* of the session, when it became this connection's */
    uint64_t close_code : 16;     /* for the statistics: 0 until it is known */
    uint64_t serial;              /* unlike any other of this server's life */
    struct hf_buf *in; /* a request head that is not whole; what waits behind a stall; NULL: nothing */
    union {
        struct hf_upgrade *upgrade; /* HANDSHAKE, TAKING */
        struct hf_told *told;       /* once its request has had its answer; NULL: nothing */
    };
};

static_assert(offsetof(struct hf_conn, ws) == 64, "a write looks at so much of a connection");
static_assert(sizeof(struct hf_conn) <= 256, "an idle session has its price: see docs/performance.md");

/* How much earlier than after an interval its next heartbeat goes out. */
static inline uint32_t hf_conn_spread_ms(const struct hf_conn *c)
{
    return c->spread ? c->spread_ms : 0;
}

/* The transport's part lies behind it, in the same allocation: hf_hub_socket() for the hub's own files. */
static inline void *hf_conn_socket(struct hf_conn *c)
{
    return c + 1;
}

/* A request of the backend that waits for another worker, or for room. */
struct hf_pending {
    struct hf_list link; /* in hub->pending */
    uint64_t token;
    uint64_t deadline_ms;
    hf_service_done *done;
    void *ctx;
    struct hf_publish publish; /* a publish that has not been sent; its strings lie behind this struct */
    bool unsent, opening;
    int open_err;
    void (*again)(struct hf_hub *hub, struct hf_pending *p); /* how to go on with it; NULL: the publish */
    void (*job_free)(void *job);
    void *job; /* what `again` works on; NULL: nothing */
};

struct hf_hub {
    struct hf_region *region;
    const struct hf_config *config;
    const struct hf_transport *transport;
    const struct hf_auth *auth; /* NULL: tokens are not asked for */
    uint32_t slot, workers, shards;
    struct hf_slot *self;
    struct hf_counters *counters;
    struct hf_journal_shm *journal; /* of this slot */
    struct hf_engine *engine;
    struct hf_sessions sessions;
    struct hf_log *logs;          /* of all shards */
    struct hf_channels *channels; /* of all shards */
    struct hf_rng rng;
    struct hf_now now;
    struct hf_wheel wheel;
    struct hf_gate_shm *gate;
    struct hf_gate_config gate_config;
    struct hf_list young; /* connections in their handshake, the oldest first */
    uint32_t young_count, young_max;
    bool short_of_memory;
    uint32_t room;                    /* connections that the descriptors allow; 0: unknown */
    const struct hf_backend *backend; /* NULL: there is none */
    const struct hf_hook_answer
        *granted;       /* of the connection that is being let in; NULL: none was asked for */
    uint64_t asked;     /* what the present message has to wait for; 0: nothing */
    struct hf_map asks; /* token -> struct hf_ask *, of hooks.c */
    uint64_t asks_begun;
    struct hf_reasons reasons; /* of refused publishes */
    struct hf_list dirty_topics, stalled, pending, dead;
    struct hf_conns conns;
    struct hf_due due,
        flushing; /* connections to be written to in this or the next turn, and those of the flush under way */
    struct hf_map topics; /* cid -> struct hf_topic * */
    uint32_t
        tally_free; /* place + 1 of the first free tally; a free one's `subscribers` is the next; 0: none */
    uint64_t bells[HF_WORKER_WORDS];       /* workers to be told at the end of the turn */
    uint64_t bells_heard[HF_WORKER_WORDS]; /* workers whose rings hold something for us */
    struct {
        hf_cid cid;
        uint32_t slot;
    } * retell; /* notices that found a ring full */
    uint32_t retell_count, retell_cap;
    uint64_t upkeep_ms, settle_ms;    /* when they are due */
    uint64_t orphans_at;              /* where the search for our predecessor's sessions goes on */
    uint64_t interest_at;             /* the same for its interest in channels */
    bool orphans_left, interest_left; /* they have not come to their end */
    uint64_t write_us; /* while the due connections are written to: the time, read now and then; else 0 */
    bool draining;
    struct {
        enum hf_code code;  /* what connections are told that are to leave; NONE: they stay */
        uint64_t until_ms;  /* the end of the window */
        uint32_t at, left;  /* the walk through conns, and how many are to be told yet */
        bool newcomers_too; /* whoever opens a connection is told as well */
    } advice;
    bool set_aside;                         /* records wait for the next turn, which is to come at once */
    uint32_t search_left;                   /* of this turn's HF_SEARCH_PER_TURN */
    struct hf_buf scratch;                  /* a message being encoded */
    struct hf_buf items;                    /* a list in it */
    char channel_name[HF_CHANNEL_NAME_MAX]; /* of the channel that the present message names by its cid */
    struct hf_gather *gather;               /* deliver.c's */
    struct hf_compressed *compressed;       /* NULL: compression is off */
    struct hf_presence_state *presence;     /* presence.c's; NULL until somebody asks for it */
    struct hf_runs runs;
    struct hf_loan loan;
    struct hf_paces paces;
    struct hf_rules_walk rules_walk;
    struct hf_busy busy;
    uint32_t
        slice_subs; /* how many subscribers of large channels are made due in one turn: HF_SLICE_SUBS, less in tests */
};

/* ---- connection.c ---- */
/* Bytes of a client's message beyond which its connection is closed with 1009. */
size_t hf_conn_message_bytes_max(const struct hf_config *config);
/* Where control output is appended to, at once. */
struct hf_buf *hf_conn_out(struct hf_conn *c);
/* How the connection's messages are encoded. */
static inline enum hf_encoding hf_conn_encoding(const struct hf_conn *c)
{
    return c->binary ? HF_ENCODING_BINARY : HF_ENCODING_JSON;
}
static inline enum hf_ws_opcode hf_conn_opcode(const struct hf_conn *c)
{
    return c->binary ? HF_WS_BINARY : HF_WS_TEXT;
}
/* Append a message in the connection's encoding; of its lists it must have them already. Returns 0 or the buffer's error. */
int hf_conn_encode(const struct hf_conn *c, struct hf_buf *out, const struct hf_msg *m) HF_MUST_CHECK;
/* Encode a message into the connection's output and make it due. */
void hf_conn_send(struct hf_conn *c, const struct hf_msg *m);
/* The same for one that is encoded already. */
void hf_conn_send_encoded(struct hf_conn *c, struct hf_str message);
void hf_conn_due(struct hf_conn *c);
/* Say goodbye and end the connection; its session is parked. */
void hf_conn_close(struct hf_conn *c, uint16_t code, const char *reason);
/* The same where the code does not tell who is the cause: one of HF_COUNT_DISCONNECT_…. */
void hf_conn_close_as(struct hf_conn *c, uint16_t code, const char *reason, enum hf_counter cause);
/* Whether its socket takes nothing more now. */
void hf_conn_set_blocked(struct hf_conn *c, bool blocked);
/* End it without a word. */
void hf_conn_drop(struct hf_conn *c, uint16_t code_for_statistics);
void hf_conn_refuse(struct hf_conn *c, enum hf_counter cause, int status, enum hf_code code,
                    const char *reason, unsigned retry_after_s);
/* Go on with what waits in c->in. */
void hf_conn_resume_input(struct hf_conn *c);
/* Set the timer to the connection's next deadline. */
void hf_conn_schedule(struct hf_conn *c);
void hf_conn_timer(struct hf_conn *c);
void hf_conn_free(struct hf_conn *c);

/* ---- hub.c ---- */
/* A connection has opened: where all are to leave, it is told too. */
void hf_hub_advise(struct hf_conn *c);

/* ---- journal.c ---- */
/* Write down what happened to the connection's session; of those without one, as on /echo, nothing. See shm/journal.h for what each kind tells. */
void hf_journal_attached(struct hf_conn *c, bool resumed);
void hf_journal_closed(struct hf_conn *c, uint16_t code, enum hf_journal_by by);
void hf_journal_heartbeat(struct hf_conn *c);
void hf_journal_gap(struct hf_conn *c, uint64_t missed);
/* A session ended (code: the close code that told it), or expired (0). */
void hf_journal_session_over(struct hf_hub *hub, const struct hf_session *s, uint16_t code);

/* ---- attach.c, attach_*.c ---- */
/* A valid upgrade request: attach a session, or answer why not. */
void hf_attach_begin(struct hf_conn *c, const struct hf_handshake *h);
/* Another worker has given the session up (or cannot be asked any more). */
void hf_attach_taken(struct hf_conn *c);
struct hf_refusal;
struct hf_hook_answer;
/* The backend lets the connection in; or it does not, or cannot be asked (busy). */
void hf_attach_admitted(struct hf_conn *c, const struct hf_hook_answer *answer);
void hf_attach_rejected(struct hf_conn *c, enum hf_code code, const char *reason, bool busy);
/* Not now: 429 or 503 and when to come again, in the form that its client can see. While it is in HANDSHAKE, ASKING or TAKING. */
void hf_attach_refuse(struct hf_conn *c, const struct hf_refusal *why);
/* Part from the session: it is parked, or ended for good. */
void hf_detach(struct hf_conn *c, bool end);
/* Give a session up to another worker: flush, close with 4001. */
void hf_attach_supersede(struct hf_conn *c);
/* Park a session that our slot's last process held, if it is one, so that what is asked of it can be done. */
void hf_attach_orphan(struct hf_hub *hub, struct hf_session *s);

/* ---- inbound.c ---- */
/* A message in the connection's encoding; text is valid UTF-8. data may be written to. */
void hf_dispatch(struct hf_conn *c, uint8_t *data, size_t len);
/* Subscribe to these channels, for the backend has said so: records of `subscribe`, borrowed. Before anything of the client's. */
void hf_dispatch_granted(struct hf_conn *c, struct hf_str records);
/* Try the stalled message again, and go on with what is behind it. Returns whether nothing waits any more. */
bool hf_dispatch_retry(struct hf_conn *c);
/* The client knows the cid of a channel that it is not (any more) subscribed to. Not remembered where memory is short: it is then `not_found`. */
void hf_conn_told(struct hf_conn *c, hf_cid cid);
/* Whether no message of it has to be tried again: it waits until the connection's output has become less, or for the next turn. */
bool hf_stall_on_output(const struct hf_stall *s);
void hf_stall_free(struct hf_conn *c);

/* ---- dispatch.c ---- */
/*
 * Carry a message out; its channel has its name, but that of an `ack` may have its cid. stalled: it was tried before. Returns false where it must wait: *seq_added, *opening
 * say what has been done already.
 */
bool hf_carry_out(struct hf_conn *c, const struct hf_msg *m, struct hf_stall *stalled, bool *seq_added,
                  bool *opening);
/* A subscription by the backend's wish, from the head on; one that is there stays as it is. Returns 0, HF_ELIMIT or HF_EAGAIN: see hf_grant(). */
int hf_dispatch_grant(struct hf_conn *c, struct hf_str channel) HF_MUST_CHECK;
/* Its end. Returns 0 or HF_ENOTFOUND. */
int hf_dispatch_revoke(struct hf_conn *c, struct hf_str channel) HF_MUST_CHECK;
void hf_send_error(struct hf_conn *c, const struct hf_msg *about, enum hf_code code, const char *reason);

/* ---- topic.c ---- */
struct hf_str hf_topic_name(const struct hf_topic *t);
/* The topic of a channel, made where there is none, with this worker's interest set. NULL with HF_EAGAIN where the channel has just gone, else HF_ENOMEM. */
int hf_topic_get(struct hf_hub *hub, hf_cid cid, struct hf_topic **out) HF_MUST_CHECK;
struct hf_topic *hf_topic_of(const struct hf_hub *hub, hf_cid cid);
void hf_topic_dirty(struct hf_hub *hub, struct hf_topic *t);
/* A channel by name, wherever it lives; NULL: not found here. */
struct hf_channel *hf_hub_find_channel(const struct hf_hub *hub, struct hf_str name);
struct hf_sub *hf_sub_find(const struct hf_conn *c, struct hf_str channel);
struct hf_sub *hf_sub_of_cid(const struct hf_conn *c, hf_cid cid);
/* Add a subscription whose cell stands in the session already. Returns NULL without memory. */
struct hf_sub *hf_sub_add(struct hf_conn *c, struct hf_topic *t, struct hf_session_sub *cell, bool latest);
/* Remove it from connection and topic; the cell stays. */
void hf_sub_remove(struct hf_sub *s);
void hf_sub_due(struct hf_sub *s);
/* A topic without subscribers goes. */
void hf_topic_release_idle(struct hf_hub *hub, struct hf_topic *t);
/* Everything of all topics, at the hub's end. */
void hf_topics_free(struct hf_hub *hub);

/* ---- deliver.c ---- */
struct hf_gather *hf_gather_new(void);
void hf_gather_free(struct hf_gather *g);
/* The record with that offset, or the oldest behind it that is left; NULL: none. before: the record before it, or 0. Pins. */
struct hf_record *hf_topic_record(struct hf_hub *hub, struct hf_topic *t, uint64_t offset, hf_ref before,
                                  hf_ref *ref);
/* Make due what stands behind the head of dirty topics; of large ones a slice in each turn. */
void hf_deliver_mark(struct hf_hub *hub);
/* One gathered write. Returns false where the connection is gone. */
bool hf_deliver_flush(struct hf_conn *c);

/* ---- publish.c ---- */
enum hf_forward { HF_FORWARD_DONE, HF_FORWARD_SENT, HF_FORWARD_WAIT, HF_FORWARD_OPENING, HF_FORWARD_REFUSED };
/*
 * Bring a publish to its shard. DONE: applied here, *out is set; SENT: an answer with this token will come (unless token is 0); WAIT: no room now;
 * OPENING: the channel must be made first, hf_exchange_open() was called with the token; REFUSED: limit. may_open: false for the second try after OPENING.
 */
enum hf_forward hf_publish_forward(struct hf_hub *hub, const struct hf_publish *p, uint64_t token,
                                   uint64_t generation, struct hf_published *out);
/* Message `data` from a client. Returns false where it must wait: the connection is to be stalled. */
bool hf_publish_data(struct hf_conn *c, const struct hf_msg *m, struct hf_stall *stall, bool *seq_added,
                     bool *opening);
/*
 * A `data` that is refused before it gets anywhere. Returns as hf_publish_data(): it waits for a full window, and for room among the session's refusals,
 * of which none may go that the client has not been told of.
 */
bool hf_publish_refuse(struct hf_conn *c, const struct hf_msg *m, enum hf_code code, const char *reason,
                       bool seq_added);
/*
 * A `data` whose channel's number nobody knows: refused, but where an earlier connection had taken it, its shard is asked first whether it was applied when the
 * channel was there. Returns as hf_publish_data().
 */
bool hf_publish_unnamed(struct hf_conn *c, const struct hf_msg *m, hf_cid cid, bool *seq_added);
/* The owner's answer to a publish; err HF_ELIMIT, HF_ENOTFOUND: it was refused. */
void hf_publish_answered(struct hf_hub *hub, uint64_t session, uint64_t generation, uint64_t seq,
                         struct hf_str id, uint64_t token, int err, const struct hf_published *result);
/* Send acks and nacks that are due. */
void hf_publish_ack(struct hf_conn *c);
const char *hf_refusal_reason(enum hf_code code);
/* The same of a refusal of which nothing is known but its code: the words of a backend that is asked may have been others. */
const char *hf_refusal_past_reason(const struct hf_hub *hub, enum hf_code code);

/* ---- exchange.c ---- */
/* Handle everything in the rings. Sets settled_ms. */
void hf_exchange_receive(struct hf_hub *hub);
/* Ask the owner to make a channel; the answer goes to the connection or pending request with that token. false: ring full. */
bool hf_exchange_open(struct hf_hub *hub, uint32_t to, struct hf_str name, uint64_t token);
bool hf_exchange_publish(struct hf_hub *hub, uint32_t to, const struct hf_publish *p, uint64_t token,
                         uint64_t generation);
/* Ask the holder of a session for it. attempt: that of the connection which wants it, 0: it has none; a newer one keeps the session. */
bool hf_exchange_take(struct hf_hub *hub, uint32_t to, uint64_t session, uint64_t attempt, uint64_t token);
bool hf_exchange_disconnect(struct hf_hub *hub, uint32_t to, uint64_t session, uint16_t code, uint64_t token);
/* The engine's told(): the channel has a new head. */
void hf_exchange_told(void *hub, uint32_t shard, struct hf_channel *channel);
/* At the end of a turn: wake those for whom something was put into a ring; tell again what found no room. */
void hf_exchange_ring_bells(struct hf_hub *hub);
bool hf_exchange_busy(const struct hf_hub *hub);

bool hf_exchange_order(struct hf_hub *hub, uint32_t to, uint64_t session, uint8_t act, uint16_t close_code,
                       struct hf_str channel, uint64_t token);

/* ---- service.c ---- */
/* A request of the backend, in hub->pending until it is ended. text_len bytes lie behind it. NULL without memory. */
struct hf_pending *hf_pending_new(struct hf_hub *hub, hf_service_done *done, void *ctx, size_t text_len);
/* NULL: there is no such request (any more). */
struct hf_pending *hf_pending_find(struct hf_hub *hub, uint64_t token);
/* Tell its caller, and free it. */
void hf_pending_end(struct hf_pending *p, const struct hf_service_result *result);
void hf_pending_fail(struct hf_pending *p, enum hf_code code, const char *reason);
void hf_service_opened(struct hf_hub *hub, uint64_t token, int err);
void hf_service_published(struct hf_hub *hub, uint64_t token, const struct hf_published *result);
/* err: what hf_service_end_local() returned at the session's worker. */
void hf_service_disconnected(struct hf_hub *hub, uint64_t token, int err);
/* Retry what waits for room, end what waited too long. */
void hf_service_tick(struct hf_hub *hub);
void hf_service_end_all(struct hf_hub *hub);
/* Whether a disconnect with this close code is the end of the session too. */
bool hf_service_ends_session(uint16_t code);
/* The number in a session's text, 0 where it is none. */
uint64_t hf_service_session(struct hf_str text);
/*
 * End a session held here, or do it harm. Returns 0, HF_EAGAIN where it is not here, HF_ENOTFOUND where it has no connection that could be harmed, HF_ELIMIT
 * where that is too much harm.
 */
int hf_service_end_local(struct hf_hub *hub, uint64_t session, uint16_t code) HF_MUST_CHECK;

/* ---- service_sessions.c ---- */
/* The answer of the session's worker to hf_exchange_order(). */
void hf_service_ordered(struct hf_hub *hub, uint64_t token, uint64_t session, int err);

/* ---- grant.c ---- */
/*
 * What the backend orders (enum hf_service_act), carried out at this worker: for a session that is held here, for one that nobody holds, and for one that this slot's last process held.
 * Returns 0, HF_ENOTFOUND: there is no such session, or (unsubscribe) it has not that subscription; HF_ELIMIT: it has as many as it may, or there is no memory; HF_EAGAIN: another
 * worker holds it, or it is changing hands, or the channel must be made first.
 */
int hf_grant(struct hf_hub *hub, uint64_t session, uint8_t act, uint16_t close_code,
             struct hf_str channel) HF_MUST_CHECK;

/* ---- hooks.c ---- */
/* Message `call`: it is sent to the backend, and its answer will be a `reply`. Nothing waits for it but the client. */
void hf_hooks_call(struct hf_conn *c, const struct hf_msg *m);
enum hf_asked { HF_ASKED_ALLOWED, HF_ASKED_REFUSED, HF_ASKED_WAIT };
/*
 * Ask the backend whether a connection may come in, if it wants to be asked. WAIT: hf_attach_admitted() or hf_attach_rejected() will be called. REFUSED: it cannot be asked,
 * *code and *reason (static) say why.
 */
enum hf_asked hf_hooks_connect(struct hf_conn *c, const struct hf_handshake *h, bool resume,
                               enum hf_code *code, const char **reason);
/* Whether a new session needs the backend's word. */
bool hf_hooks_guard(const struct hf_hub *hub);
/* The user, info and claims that the backend has given a session are its connection's too, where tokens do not say whose it is. */
void hf_hooks_remember(struct hf_conn *c, const struct hf_session *s);
/* Subscribe a new session to the channels that the backend has named. */
void hf_hooks_grant(struct hf_conn *c, const struct hf_hook_answer *answer);
/*
 * Ask the backend whether a message of c may be carried out: a `subscribe` (HF_HOOK_SUBSCRIBE) or a `data` (HF_HOOK_PUBLISH). WAIT: the message is to wait, as for room; when it is
 * tried again, the same call gives the answer. REFUSED: *code, and *reason (good until the next message), say why.
 */
enum hf_asked hf_hooks_ask(struct hf_conn *c, enum hf_hook hook, const struct hf_msg *m, enum hf_code *code,
                           const char **reason);
/* A session has ended, and is about to be forgotten: its backend is told. */
void hf_hooks_ended(struct hf_hub *hub, const struct hf_session *s);
/* Whether the backend is told of ended sessions. */
bool hf_hooks_tells_ends(const struct hf_hub *hub);
/* Whether there is room to tell of some hundred, if it is. */
bool hf_hooks_room(const struct hf_hub *hub);
/* Everything that is asked, at the hub's end. */
void hf_hooks_release(struct hf_hub *hub);

/* ---- harm.c ---- */
/* Whether a close code is one of enum hf_harm. */
bool hf_harm_known(uint16_t code);
/* Returns 0, or HF_ELIMIT where no more connections are frozen. */
int hf_harm_apply(struct hf_conn *c, uint16_t harm);

#endif
