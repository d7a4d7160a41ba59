/*
 * holdfast.h - libholdfast, the client library of the Holdfast realtime messaging server.
 *
 * A client keeps one session with a server through all breaks of its connection. What it subscribes to is delivered once and in
 * order, or a gap tells what cannot be had; what it publishes is applied once, or it is told what became of it.
 *
 *     static void on_message(void *user, const struct hf_client_message *m) { ... }
 *
 *     struct hf_client_options options;
 *     struct hf_client *client;
 *
 *     hf_client_options_init(&options);
 *     options.url = "ws://127.0.0.1:8000/ws";
 *     options.on_message = on_message;
 *     if (hf_client_new(&options, &client) == 0 && hf_client_subscribe(client, "demo", 4, NULL) == 0)
 *         hf_client_run(client);
 *     hf_client_free(client);
 *
 * Errors: functions that can fail return a negative enum hf_client_error; hf_client_strerror() names it.
 * Threads: a client belongs to the thread that runs it; only hf_client_stop() may be called from others. Clients share
 * nothing, so that each thread may have its own. For one that any thread may use see holdfast/threaded.h, for several as one holdfast/pool.h.
 * Callbacks: all come from within hf_client_run(), _step(), _prepare(), _process(), _close() or _set_background(), or a publish that waits for room.
 * In a callback the application may publish,
 * subscribe, unsubscribe, ask, give a token and close; it may not free, step or run the client. What they are given is borrowed until they return.
 * Signals: the library raises no SIGPIPE and handles no signal; EINTR ends a wait early.
 * Texts are UTF-8, with a length, and without a NUL at the end unless they are plain `const char *`. Times are milliseconds.
 * Nothing blocks but the wait itself: names are looked up by c-ares, beside the rest.
 */
#ifndef HOLDFAST_HOLDFAST_H
#define HOLDFAST_HOLDFAST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define HF_CLIENT_API __attribute__((visibility("default")))
#else
#define HF_CLIENT_API
#endif

enum hf_client_error {
    HF_CLIENT_OK = 0,
    HF_CLIENT_ENOMEM = -1,
    HF_CLIENT_ELIMIT = -2,        /* a limit of the options is reached */
    HF_CLIENT_EAGAIN = -3,        /* not now: the outbox is full */
    HF_CLIENT_EINVAL = -5,        /* an argument is not what it must be */
    HF_CLIENT_ENOTFOUND = -6,     /* not subscribed */
    HF_CLIENT_EEXIST = -8,        /* subscribed already */
    HF_CLIENT_ESTATE = -9,        /* the client is closing, or its session has ended */
    HF_CLIENT_ETOOLARGE = -10,    /* larger than the server or the outbox takes */
    HF_CLIENT_EIO = -12,          /* a system call failed: see errno */
    HF_CLIENT_ETIMEOUT = -13,     /* the outbox was full, and stayed so for outbox_block_ms */
    HF_CLIENT_EUNSUPPORTED = -16, /* another kind of proxy than an HTTP one */
    HF_CLIENT_ECERT = -17,        /* the CA file holds no certificate */
    HF_CLIENT_ENOSPACE = -18,     /* the disk with the outbox file is full */
    HF_CLIENT_EBUSY = -19,        /* another client has the outbox file */
    HF_CLIENT_ECORRUPT = -20,     /* the outbox file is damaged, or is no outbox file */
    HF_CLIENT_ECALLBACK = -21,    /* the outbox is full, and a callback cannot wait for room */
};

enum { HF_CLIENT_TOKEN_MAX = 4096 };

struct hf_client;

struct hf_client_text {
    const char *data;
    size_t len;
};

/* A connection was made and welcomed by the server. */
struct hf_client_connection {
    struct hf_client_text session; /* the session's id, the same as before where it was resumed */
    bool resumed;                  /* the session goes on; false also for the first one */
    unsigned connections;          /* so many until now, this one included */
};

/* A connection, or an attempt to make one, ended. */
struct hf_client_break {
    const char *why;              /* in English, never NULL */
    struct hf_client_text reason; /* what the server said about it; may be empty */
    unsigned close_code;          /* the WebSocket close code that was received; 0: none */
    unsigned http_status;         /* the HTTP answer in place of 101; 0: none */
    uint64_t
        retry_ms; /* the next attempt begins after that; 0: at once, or it is under way. Unused in on_ended */
    bool asked;   /* on_ended: hf_client_close() asked for it */
    bool attempt; /* it was an attempt, and not a connection that stood */
};

/*
 * Where the session stands. It begins WAITING; see docs/reconnect.md for what may follow what, and for the delays.
 * The numbers may grow new members at their ends; their names (hf_client_state_name(), hf_client_cause_name()) stay.
 */
enum hf_client_state {
    HF_CLIENT_STATE_WAITING,    /* there is no connection; the time of the next attempt is known */
    HF_CLIENT_STATE_CONNECTING, /* one is being made */
    HF_CLIENT_STATE_LIVE,       /* the server has welcomed it */
    HF_CLIENT_STATE_DOUBTFUL, /* it may be dead and is being verified; messages that come are delivered all the same */
    HF_CLIENT_STATE_OFFLINE, /* no connection, and the system says that there is no way to make one */
    HF_CLIENT_STATE_CLOSING, /* hf_client_close() has said goodbye, and waits for the answer */
    HF_CLIENT_STATE_ENDED,   /* for ever */
};

/* Why it changed. */
enum hf_client_cause {
    HF_CLIENT_CAUSE_NONE,     /* none: no change has it */
    HF_CLIENT_CAUSE_STARTED,  /* the first attempt */
    HF_CLIENT_CAUSE_DUE,      /* the time of the next attempt has come */
    HF_CLIENT_CAUSE_PROBE,    /* offline: an attempt against the word of the system, which may be wrong */
    HF_CLIENT_CAUSE_WELCOMED, /* the server has welcomed the connection */
    HF_CLIENT_CAUSE_PROVEN,   /* the doubt was unfounded: something came from the server */
    HF_CLIENT_CAUSE_NETWORK_CHANGED,    /* addresses, links or routes changed */
    HF_CLIENT_CAUSE_ADDRESS_GONE,       /* the connection's own address is not this machine's any more */
    HF_CLIENT_CAUSE_OFFLINE,            /* the system says that there is no way to the server */
    HF_CLIENT_CAUSE_WOKE_UP,            /* the machine slept */
    HF_CLIENT_CAUSE_FOREGROUND,         /* hf_client_set_background(client, false) */
    HF_CLIENT_CAUSE_HEARTBEAT_LATE,     /* no answer to a heartbeat by the soft deadline */
    HF_CLIENT_CAUSE_HEARTBEAT_MISSED,   /* none by the hard one; or the server says so (close code 4004) */
    HF_CLIENT_CAUSE_SENT_AFTER_SILENCE, /* something is sent on a connection long silent */
    HF_CLIENT_CAUSE_ANSWER_LATE,        /* an acknowledgement, or another answer, is overdue */
    HF_CLIENT_CAUSE_OUTPUT_STUCK,       /* what was written does not leave this machine */
    HF_CLIENT_CAUSE_CONNECTION_LOST,    /* it ended without a word */
    HF_CLIENT_CAUSE_UNREACHABLE,        /* it could not be made, or ended before there was an answer */
    HF_CLIENT_CAUSE_TIMED_OUT,          /* there was no answer in time, or TCP has given the connection up */
    HF_CLIENT_CAUSE_REFUSED,            /* an HTTP answer in place of 101: see http_status */
    HF_CLIENT_CAUSE_RETRY_AFTER,        /* one that says when to come back */
    HF_CLIENT_CAUSE_SERVER_DRAIN,       /* the server's `reconnect` */
    HF_CLIENT_CAUSE_CLOSED_BY_SERVER,   /* see close_code */
    HF_CLIENT_CAUSE_SUPERSEDED, /* another connection took the session over (4001). Unless it was one of our own, the session has ended here */
    HF_CLIENT_CAUSE_TOKEN_EXPIRED,   /* 4002 */
    HF_CLIENT_CAUSE_ENDED_BY_SERVER, /* 1000; or 4003: the application's backend ended it */
    HF_CLIENT_CAUSE_PROTOCOL_ERROR,  /* the server, or what stands in its place, broke the protocol */
    HF_CLIENT_CAUSE_NO_MEMORY,
    HF_CLIENT_CAUSE_CLOSED, /* hf_client_close() */
};

#define HF_CLIENT_NO_ATTEMPT UINT64_MAX

struct hf_client_state_change {
    enum hf_client_state from, to;
    enum hf_client_cause cause;   /* never NONE */
    const char *evidence;         /* in English, never NULL: what the cause was seen by */
    struct hf_client_text reason; /* what the server said about it; may be empty */
    unsigned close_code;          /* the WebSocket close code that was received; 0: none */
    unsigned http_status;         /* the HTTP answer in place of 101; 0: none */
    /*
     * Until the next attempt, from now; CONNECTING: 0, it is under way; HF_CLIENT_NO_ATTEMPT: none is planned. It comes no sooner, unless
     * the network changes, the machine wakes up or the application comes to the foreground.
     */
    uint64_t next_attempt_ms;
};

struct hf_client_message {
    struct hf_client_text channel;
    struct hf_client_text epoch;
    uint64_t offset; /* its place in the channel, within the epoch */
    struct hf_client_text id;
    /* One JSON value; or bytes, which were published as such: themselves (payload_raw), or in base64 (payload_base64), where the connection speaks JSON. */
    struct hf_client_text payload;
    bool payload_base64;
    bool payload_raw;
    uint64_t timestamp_ms;      /* Unix time of the publish */
    struct hf_client_text from; /* the publisher's user; empty where there is none */
};

/* Messages that cannot be had. */
struct hf_client_gap {
    struct hf_client_text channel;
    struct hf_client_text epoch;
    uint64_t from_offset,
        to_offset; /* 0, 0 with the code `epoch`: the channel was begun anew, from offset 1 of this epoch on */
    struct hf_client_text code; /* evicted, slow, epoch */
};

/* A subscription began, or ended. */
struct hf_client_subscription {
    struct hf_client_text channel;
    struct hf_client_text
        epoch; /* began: the position behind which messages follow, to be kept for `since` */
    uint64_t offset;
    bool recovered;             /* began: all since the asked position follows */
    struct hf_client_text code; /* ended: the server's reason; empty where the application asked for it */
    struct hf_client_text reason;
};

enum hf_client_outcome {
    HF_CLIENT_ACKED,     /* applied, once */
    HF_CLIENT_REFUSED,   /* not applied: code and reason say why */
    HF_CLIENT_UNCERTAIN, /* the server has lost the session: perhaps applied. It is not sent again */
};

/*
 * What became of a publish. Each gets exactly one, in the order of publishing, but for refusals, which may come before others. With an outbox
 * file, a process that dies between telling a result and noting it leaves that result to be told once more by the next one.
 */
struct hf_client_result {
    uint64_t publish_id;
    enum hf_client_outcome outcome;
    struct hf_client_text channel;
    uint64_t offset;                   /* ACKED: the message's; 0: not known any more */
    struct hf_client_text code;        /* REFUSED */
    struct hf_client_text reason;      /* REFUSED */
    struct hf_client_text id, payload; /* UNCERTAIN: as they were published */
    bool payload_raw;                  /* UNCERTAIN: as bytes */
};

/* The server refused a request, or sent what cannot be understood. `heartbeat_memory`: the file of that option cannot be used. */
struct hf_client_problem {
    struct hf_client_text code;
    struct hf_client_text reason;
    struct hf_client_text channel; /* may be empty */
};

/* The answer to hf_client_history(). */
struct hf_client_history {
    uint64_t request_id;
    struct hf_client_text channel;
    struct hf_client_text epoch;              /* the channel's */
    uint64_t head;                            /* the channel's newest offset; 0: none yet */
    const struct hf_client_message *messages; /* in the order that was asked for */
    uint32_t count;
    struct hf_client_text code; /* why it cannot be had, and no message is here; empty: it is here */
    struct hf_client_text reason;
};

/* A subscriber of a channel: one session. */
struct hf_client_member {
    struct hf_client_text session;
    struct hf_client_text user; /* of its token; empty: anonymous */
    struct hf_client_text info; /* of its token: one JSON value; empty: none */
};

/* The answer to hf_client_presence(). */
struct hf_client_members {
    uint64_t request_id;
    struct hf_client_text channel;
    const struct hf_client_member *members; /* one entry per session, in no order */
    uint32_t count;
    struct hf_client_text code; /* why they cannot be had, and none is here; empty: they are here */
    struct hf_client_text reason;
};

enum hf_client_presence_kind {
    HF_CLIENT_PRESENCE_JOIN,   /* a session has subscribed */
    HF_CLIENT_PRESENCE_LEAVE,  /* it has unsubscribed, or ended; a break of its connection is neither */
    HF_CLIENT_PRESENCE_MISSED, /* some were missed, by a break of this connection, or because it was too slow: hf_client_presence() tells anew who is there */
};

/* Somebody else has come to a channel, or gone, whose subscription asked for that (hf_client_start, presence). */
struct hf_client_presence_event {
    enum hf_client_presence_kind kind;
    struct hf_client_text channel;
    struct hf_client_member member; /* MISSED: nobody */
};

/* The answer to hf_client_call(). */
struct hf_client_reply {
    uint64_t request_id;
    struct hf_client_text payload; /* one JSON value, or bytes (payload_raw) */
    bool payload_raw;
    /*
     * Why there is none; empty: there is. Of the backend's own making, or one of the protocol's, or: `uncertain`: the connection broke before the answer; `timeout`: there was none within
     * options.call_timeout_ms. In both the call may have reached the backend; it is not made again.
     */
    struct hf_client_text code;
    struct hf_client_text reason;
};

/* Why a token is asked for. */
enum hf_client_token_reason {
    HF_CLIENT_TOKEN_FIRST,   /* there is none yet */
    HF_CLIENT_TOKEN_RENEWAL, /* the one that is shown ends soon; the connection stands, and is to go on */
    HF_CLIENT_TOKEN_EXPIRED, /* the server does not take the last one any more (close 4002, HTTP 401), or it has ended by this machine's clock */
};

/* The answer to hf_client_ping(). */
struct hf_client_pong {
    uint64_t request_id;
    uint64_t rtt_us; /* since hf_client_ping(), whatever broke in between included; microseconds */
};

/* How long a silent connection waits before it is asked whether it lives: docs/heartbeats.md compares them. */
enum hf_client_heartbeat {
    /* As long as the application tolerates (heartbeat_tolerance_ms) and the network has been found to bear. */
    HF_CLIENT_HEARTBEAT_ADAPTIVE,
    HF_CLIENT_HEARTBEAT_CLASSIC, /* 25 s, growing and halving between 10 s and 60 s */
    HF_CLIENT_HEARTBEAT_FIXED,   /* heartbeat_interval_ms, or what the server says */
};

/* How messages are written on the connection. What arrives is the same, but for how bytes are told: see hf_client_message. */
enum hf_client_encoding {
    HF_CLIENT_ENCODING_AUTO,   /* what the server prefers: the binary form, where it knows it */
    HF_CLIENT_ENCODING_JSON,   /* easy to watch on the way, and larger */
    HF_CLIENT_ENCODING_BINARY, /* or no connection at all */
};

enum { HF_CLIENT_URLS_MAX = 8 };

/* Fill with hf_client_options_init(), then change. Strings are copied by hf_client_new(). */
struct hf_client_options {
    const char *url; /* ws:// or wss://HOST[:PORT][/PATH]; default ws://127.0.0.1:8000/ws */
    /*
     * Several servers instead, up to HF_CLIENT_URLS_MAX; urls_count 0, the default: url is the one. They must serve the same sessions, or be able to stand
     * in for each other. The client begins with the first. An attempt that fails moves on to the next one, after the usual pause, and behind the last comes the first; a
     * broken connection is tried again where it was, first. A refusal that no repetition changes (HTTP 401, 403; 400, 404 and 426 to the first connection) ends the session, whatever
     * other URLs there are. Each wss URL's certificate must be for its own host.
     */
    const char *const *urls;
    unsigned urls_count;
    /*
     * An HTTP proxy that is asked (CONNECT) for the connection to the server, with ws:// too: "[http://][USER[:PASSWORD]@]HOST[:PORT]", the port being 1080 by default. NULL, the
     * default: as the environment says when the client is made: https_proxy for wss, http_proxy for ws, all_proxy for both, and no_proxy, as curl(1) reads them; this
     * machine's own addresses are never asked for from a proxy of the environment. "": none. Given here, it serves all URLs, whatever no_proxy says.
     */
    const char *proxy;
    /*
     * Up to three servers to ask for names, "ADDRESS[:PORT],…" in numbers, IPv6 in brackets where there is a port; NULL, the default: those of the system. The hosts file is looked
     * into in any case.
     */
    const char *dns_servers;
    /*
     * With wss://, whom to trust: a PEM file of authorities' certificates; NULL, the default: those of the system. The server's certificate is
     * checked in any case, and must be for the name or address in the URL.
     */
    const char *ca_file;
    /*
     * Shown to the server with every connection; NULL, the default: none. Letters, digits and !#$%&'*+-.^_`|~ only, as in a JWT, at most
     * HF_CLIENT_TOKEN_MAX of them: others are EINVAL. Where tokens end while the client runs, see on_token_needed.
     */
    const char *token;
    uint32_t outbox_messages_max; /* publishes kept until they are answered; default 10,000 */
    size_t outbox_bytes_max;      /* and their bytes; default 16 MiB, at most 1 GiB */
    /*
     * At that limit: 0, the default: a publish is refused with EAGAIN. Else it runs the client, callbacks and all, until there is room, for at most
     * so many milliseconds (then ETIMEOUT), or until hf_client_stop() (then EAGAIN). In a callback it cannot wait, and returns ECALLBACK.
     */
    uint32_t outbox_block_ms;
    /*
     * A file that keeps the outbox; it is made where it is not there. NULL, the default: memory does. What hf_client_publish() has accepted then
     * survives the process, whatever kills it, and the next client with this file sends it, exactly once: it resumes the session in which the
     * publishes may have been sent, and what the server does not know any more is told as UNCERTAIN, once its process is connected. Publish ids go
     * on where they ended. Results of such publishes come by on_result. Subscriptions are not kept.
     * Beside it lies FILE-wal while the file is in use, or was not closed; move, copy or remove both or none. They hold a secret.
     * Not for a file system that several machines share.
     */
    const char *outbox_path;
    /*
     * What survives the machine's crash. False, the default: what was accepted long before. What was accepted in the last moments may be lost, and all
     * that is left without a result is told as UNCERTAIN. True: all that was accepted before the last hf_client_step() or hf_client_process() ended;
     * all publishes of a step share one sync, without which nothing of them is sent.
     */
    bool outbox_sync;
    uint32_t window;                    /* publishes on their way at once; default 1,000 */
    uint32_t subscriptions_max;         /* default 256, the server's own */
    enum hf_client_encoding encoding;   /* default AUTO */
    size_t message_bytes_max;           /* the largest message taken from the server; default 16 MiB */
    enum hf_client_heartbeat heartbeat; /* default ADAPTIVE */
    uint64_t heartbeat_interval_ms; /* to ask of the server; default 0; another makes the heartbeat FIXED */
    /*
     * ADAPTIVE: how long a break of a silent connection may go unseen; 1 ms to 1 h. The default, 30 s, is for an application that somebody
     * looks at; for one that is idle or hidden 120 s, for a device in a pocket 300 s, saves most of the heartbeats.
     */
    uint64_t heartbeat_tolerance_ms;
    /*
     * ADAPTIVE: a file in which to remember what networks bear, made if it is not there; NULL, the default: none. A good place is
     * $XDG_STATE_HOME/NAME/heartbeat. Each client that uses it writes what it knows: give clients that run at once their own. Networks are told
     * apart by what the system says of them: without watch_network there is nothing to remember.
     */
    const char *heartbeat_memory;
    /*
     * Listen to what the system tells about links, addresses and routes; default true. So a connection whose network is gone is left at once, another way
     * is taken before the old one breaks, and attempts wait while there is no way to the server. It takes two descriptors; where the system allows none of
     * this the client works without.
     */
    bool watch_network;
    bool background; /* begin as after hf_client_set_background(client, true); default false */
    uint64_t
        call_timeout_ms; /* how long hf_client_call() waits for its answer; default 30,000; 0: as long as the connection stands */

    /* Callbacks, any of which may be NULL. What is no callback stands above. */
    void *user; /* passed to each */
    void (*on_connected)(void *user, const struct hf_client_connection *connection);
    /* After on_connected: all that was missed has been delivered, `messages` in number. */
    void (*on_caught_up)(void *user, uint64_t messages);
    void (*on_disconnected)(void *user, const struct hf_client_break *how);
    /* The session is over, and nothing comes after it. */
    void (*on_ended)(void *user, const struct hf_client_break *how);
    void (*on_message)(void *user, const struct hf_client_message *message);
    void (*on_gap)(void *user, const struct hf_client_gap *gap);
    void (*on_subscribed)(void *user, const struct hf_client_subscription *subscription);
    void (*on_unsubscribed)(void *user, const struct hf_client_subscription *subscription);
    void (*on_result)(void *user, const struct hf_client_result *result);
    void (*on_history)(void *user, const struct hf_client_history *history);
    void (*on_pong)(void *user, const struct hf_client_pong *pong);
    void (*on_problem)(void *user, const struct hf_client_problem *problem);
    /* Every change of the state, each once; where one of the above tells of the same, it comes after this. */
    void (*on_state)(void *user, const struct hf_client_state_change *change);
    void (*on_members)(void *user, const struct hf_client_members *members);
    void (*on_presence)(void *user, const struct hf_client_presence_event *event);
    void (*on_reply)(void *user, const struct hf_client_reply *reply);
    /*
     * A token is needed. Answer by hf_client_set_token(), at once or later, or by hf_client_token_failed(). It comes
     *   - before the first connection, where options.token is NULL;
     *   - while a connection stands, before the `exp` of its token, a JWT, is there: when 30 s are left, or half of its time where that is less, and 5 s after the token came at the soonest. The new
     *     one is shown on that connection (`refresh`), which goes on;
     *   - before a connection is made, if the last one was refused or has ended, or will within 5 s.
     * The connection is not made before there is one; the attempt ends at its deadline, and the next one asks again, unless a question still waits. One that has waited for 30 s is
     * given up, and told as a problem with the code `unauthorized`. With this callback close 4002 and HTTP 401 do not end the session: it goes on by a resume with the next token, and ends where three in a
     * row are refused. Without it both end it.
     */
    void (*on_token_needed)(void *user, enum hf_client_token_reason reason);
};

/* Fill with the defaults. Whoever sets options begins with this, so that options of later versions have theirs. */
HF_CLIENT_API void hf_client_options_init(struct hf_client_options *options);

/*
 * Make a client; it connects as soon as it runs. EINVAL: a URL, their number, the proxy, the name servers, a bound, the encoding or the heartbeat make no sense; EUNSUPPORTED: the proxy's
 * URL begins with something else than http://; EIO: also where the CA file cannot be read; ECERT: it holds no certificate; ENOMEM.
 * With an outbox file also EBUSY; ECORRUPT: the file is left as it is; ENOSPACE; EIO: it cannot be opened, see errno; EINVAL: it is no file.
 * *out is set on success only.
 */
HF_CLIENT_API int hf_client_new(const struct hf_client_options *options, struct hf_client **out);
/*
 * Free all, and close the connection without a word: the session expires. What has no result yet gets none; what is in an outbox file
 * stays there for the next client. NULL is allowed.
 */
HF_CLIENT_API void hf_client_free(struct hf_client *client);

/* Where a subscription begins; all zero, or NULL in its place: with the next message. */
struct hf_client_start {
    const char *since_epoch; /* begin behind since_offset of this epoch; NULL: not */
    uint64_t since_offset;
    uint64_t last; /* else begin with the newest n messages; 0: not */
    bool latest;   /* only the newest value matters: what a slow connection misses is skipped without a gap */
    bool
        presence; /* on_presence tells who joins and leaves. To know who is there: on_subscribed, then hf_client_presence() */
};

/*
 * Subscribe to a channel; on_subscribed, or on_unsubscribed with a code, tells the answer. It may be called before there is a connection.
 * EINVAL: no valid name (1 to 255 bytes without control characters); EEXIST; ELIMIT; ENOMEM; ESTATE.
 */
HF_CLIENT_API int hf_client_subscribe(struct hf_client *client, const char *channel, size_t channel_len,
                                      const struct hf_client_start *start);
/* No message comes after this call; on_unsubscribed tells when the channel may be subscribed to again. ENOTFOUND, ESTATE. */
HF_CLIENT_API int hf_client_unsubscribe(struct hf_client *client, const char *channel, size_t channel_len);

/*
 * Publish one JSON value to a channel, exactly once. It is copied into the outbox and sent when there is a connection.
 * id: the message's own id, up to 255 bytes; NULL: none. *publish_id (may be NULL) gets 1, 2, 3 …: on_result names it.
 * EAGAIN: the outbox is full, try again after the next on_result, or see outbox_block_ms: ETIMEOUT, ECALLBACK; ETOOLARGE; EINVAL: no valid
 * channel, id or JSON; ENOMEM; ESTATE. With an outbox file also ENOSPACE, or EIO: it is not accepted, and what was accepted is not touched.
 */
HF_CLIENT_API int hf_client_publish(struct hf_client *client, const char *channel, size_t channel_len,
                                    const char *payload, size_t payload_len, const char *id,
                                    uint64_t *publish_id);
/* The same for a text, which is published as a JSON string. EINVAL also where it is no UTF-8. */
HF_CLIENT_API int hf_client_publish_text(struct hf_client *client, const char *channel, size_t channel_len,
                                         const char *text, size_t text_len, const char *id,
                                         uint64_t *publish_id);
/* One publish with all there is to say about it. What is not set is 0 or NULL. */
struct hf_client_publication {
    const char *channel;
    size_t channel_len;
    const char *payload; /* one JSON value; with `text` a text, with `bytes` any bytes (both: EINVAL) */
    size_t payload_len;
    bool text;
    bool bytes;     /* subscribers get them as bytes: see hf_client_message */
    const char *id; /* as of hf_client_publish() */
    /* Told what became of this publish, just before options.on_result is told the same; it is a callback like that. Not told by another process. */
    void (*on_result)(void *user, const struct hf_client_result *result);
    void *user; /* passed to it */
};
/* Publish as hf_client_publish() and hf_client_publish_text(). The publication and its strings are needed for the call only. */
HF_CLIENT_API int hf_client_publish_with(struct hf_client *client,
                                         const struct hf_client_publication *publication,
                                         uint64_t *publish_id);
/*
 * The publish id that the next publish gets: one above the number of all that were accepted. With an outbox file that is of all its clients, so that who
 * publishes from a file or a queue goes on there after it was killed, and leaves out or doubles nothing.
 */
HF_CLIENT_API uint64_t hf_client_next_id(const struct hf_client *client);
/* What to give of a channel's history. All zero, or NULL in its place: the oldest 100 messages that the server keeps. */
struct hf_client_history_query {
    const char *
        since_epoch; /* those behind since_offset of this epoch; with `reverse`, those before it. NULL: from the end */
    uint64_t since_offset;
    uint32_t limit; /* at most so many, up to 1,000; 0: 100 */
    bool reverse;   /* the newest first */
};

/*
 * Ask what a channel keeps, whether it is subscribed to or not; on_history answers, once, naming *request_id (may be NULL). It may be called before there is a connection, and
 * is asked again where one breaks: only the end of the session leaves it without an answer.
 * EAGAIN: 64 requests wait already; EINVAL: no valid channel, epoch, offset or limit; ENOMEM; ESTATE.
 */
HF_CLIENT_API int hf_client_history(struct hf_client *client, const char *channel, size_t channel_len,
                                    const struct hf_client_history_query *query, uint64_t *request_id);
/*
 * Ask who is subscribed to a channel, whether this client is or not; on_members answers, with up to 10,000 of them (more: the code `limit`). In all else like hf_client_history(). What on_presence tells behind the
 * answer are changes to it, and what it told before is in it. EAGAIN, EINVAL, ENOMEM, ESTATE.
 */
HF_CLIENT_API int hf_client_presence(struct hf_client *client, const char *channel, size_t channel_len,
                                     uint64_t *request_id);
/*
 * Ask the application's backend (docs/hooks.md): a method, up to 255 bytes of UTF-8, and a payload, one JSON value; on_reply answers, once, naming *request_id (may be NULL). It may be called before there is a
 * connection, and is made at most once: see hf_client_reply. Only the end of the session leaves it without an answer.
 * EAGAIN: 64 requests wait already; EINVAL: no valid method or JSON; ETOOLARGE: larger than the server takes, or outbox_bytes_max; ENOMEM; ESTATE.
 */
HF_CLIENT_API int hf_client_call(struct hf_client *client, const char *method, size_t method_len,
                                 const char *payload, size_t payload_len, uint64_t *request_id);
/*
 * Show this token from now on, on the connection that stands as well: the answer to on_token_needed, or without having been asked. It is copied. EINVAL: it is no token, see options.token, and a question still waits; ENOMEM;
 * ESTATE: the session has ended.
 */
HF_CLIENT_API int hf_client_set_token(struct hf_client *client, const char *token);
/* There is none: the other answer to on_token_needed. on_problem is told, with the code `unauthorized` and why (UTF-8; NULL: on_problem is told nothing). Where nothing was asked it does nothing. */
HF_CLIENT_API void hf_client_token_failed(struct hf_client *client, const char *why);
/* Ask the server for a sign of life; on_pong tells how long it took. In all else like hf_client_history(). EAGAIN, ENOMEM, ESTATE. */
HF_CLIENT_API int hf_client_ping(struct hf_client *client, uint64_t *request_id);

/* Publishes that have no result yet; from the start with those that an outbox file has. */
HF_CLIENT_API uint32_t hf_client_unanswered(const struct hf_client *client);

/* The application's position in a channel, to be kept for `since`. False: not subscribed, or not known yet. */
HF_CLIENT_API bool hf_client_position(struct hf_client *client, const char *channel, size_t channel_len,
                                      struct hf_client_text *epoch, uint64_t *offset);

/*
 * The application has come to the foreground, or left it: options.heartbeat_tolerance_ms from now on. EINVAL: not 1 ms to 1 h; ESTATE: the
 * heartbeat is not ADAPTIVE.
 */
HF_CLIENT_API int hf_client_set_tolerance(struct hf_client *client, uint64_t tolerance_ms);

/* Whether there is a connection that the server has welcomed: LIVE or DOUBTFUL. */
HF_CLIENT_API bool hf_client_connected(const struct hf_client *client);
HF_CLIENT_API enum hf_client_state hf_client_state(const struct hf_client *client);
/* "live", "network_changed" and so on; never NULL, static storage. */
HF_CLIENT_API const char *hf_client_state_name(enum hf_client_state state);
HF_CLIENT_API const char *hf_client_cause_name(enum hf_client_cause cause);

/*
 * Say whether nobody is looking: a device with its screen off, a window that is hidden. Delays after failed attempts then grow up to 300 s
 * instead of 30 s. Coming back verifies the connection at once, or makes a waiting attempt at once.
 */
HF_CLIENT_API void hf_client_set_background(struct hf_client *client, bool background);

/*
 * End the session: the server forgets it, and what has no result yet gets none; in an outbox file it stays for the next client. on_ended follows, within two
 * seconds while the client is run.
 */
HF_CLIENT_API void hf_client_close(struct hf_client *client);

/* Run until the session has ended, returning 0, or until hf_client_stop(), returning 1; or EIO. */
HF_CLIENT_API int hf_client_run(struct hf_client *client);
/* Wait for at most timeout_ms (-1: as long as nothing happens) and do what is due. Returns 1, 0 when the session has ended, or EIO. */
HF_CLIENT_API int hf_client_step(struct hf_client *client, int timeout_ms);
/* Make a run or a wait in another thread return. May be called from any thread, and from a signal handler. */
HF_CLIENT_API void hf_client_stop(struct hf_client *client);

/*
 * For a poll loop of one's own: what to wait for, and what to do with what poll() said. Both at each turn of the loop.
 * hf_client_prepare() fills at most HF_CLIENT_POLL_MAX entries, returns how many, and sets *timeout_ms to what poll() takes. The
 * entries are those of `struct pollfd`, which is not named here to keep <poll.h> out. One of them is an alarm that becomes readable when that time is over, or up to a second
 * before: unlike the timeout of poll() it goes on while the machine sleeps, so that what became due then is done at the wake-up. Only where the process has no descriptor left
 * for it is there none, and the timeout alone ends the wait.
 * hf_client_process() takes them back and returns as hf_client_step().
 */
enum { HF_CLIENT_POLL_MAX = 45 };
struct pollfd;
HF_CLIENT_API int hf_client_prepare(struct hf_client *client, struct pollfd *fds, int *timeout_ms);
HF_CLIENT_API int hf_client_process(struct hf_client *client, const struct pollfd *fds, int fds_count);

/* The English text of an error; static storage. */
HF_CLIENT_API const char *hf_client_strerror(int error);
/* The library's version, "0.1.0". */
HF_CLIENT_API const char *hf_client_version(void);

#ifdef __cplusplus
}
#endif

#endif
