/*
 * bench_load.h - the connections of one client process of the load generator, over epoll.
 * It opens them, some at a time, upgrades them, subscribes where the mode wants it, takes the frames apart, answers heartbeats, and tells the
 * mode what comes. As little as possible is done for each message: on one machine the client takes time from the server.
 */
#ifndef HF_CLI_BENCH_LOAD_H
#define HF_CLI_BENCH_LOAD_H

#include "base/buf.h"
#include "base/rng.h"
#include "cli/bench_again.h"
#include "cli/bench_protocol.h"
#include "cli/bench_shared.h"
#include "cli/bench_stream.h"

#include <sys/socket.h>

/*
 * NONE -> CONNECTING      hf_bench_open()
 * CONNECTING -> UPGRADING the socket is connected
 * UPGRADING -> GREETING   101 is there, and the server has a first word to say
 * GREETING -> JOINING     it has come, and a subscription is asked for
 * any of these -> OPEN    what the connection needs is done; the mode hears opened()
 * any -> NONE             hf_bench_close(), hf_bench_lost(), hf_bench_fail()
 */
enum hf_bench_state {
    HF_BENCH_NONE,
    HF_BENCH_CONNECTING,
    HF_BENCH_UPGRADING,
    HF_BENCH_GREETS,
    HF_BENCH_JOINS,
    HF_BENCH_IS_OPEN
};

struct hf_bench_conn {
    struct hf_bench_stream stream;
    uint8_t state;  /* enum hf_bench_state */
    bool publishes; /* connects to publish_url, and subscribes to nothing */
    bool watches_output;
    bool closing;   /* a close frame has been sent */
    bool left;      /* … before its last end */
    uint32_t index; /* among those of all processes; publishers come first */
    uint32_t rest_len, rest_cap;
    uint8_t *rest;     /* the beginning of a frame or message that is not whole yet */
    struct hf_buf out; /* what the socket did not take yet */
    int64_t begun_ns;  /* when it was opened */
    char *ticket;      /* of the session to resume, or that was given; NULL: none */
};

struct hf_bench_load;

/* What a mode does. Any may be NULL, but name, unit and opened. */
struct hf_bench_mode {
    const char *unit; /* what counts in hf_bench_share.units, in the plural */
    int (*init)(struct hf_bench_load *load);
    void (*release)(struct hf_bench_load *load);
    void (*opened)(struct hf_bench_load *load, struct hf_bench_conn *c);
    void (*message)(struct hf_bench_load *load, struct hf_bench_conn *c, struct hf_str payload);
    /* The messages that one read has brought have all been told. */
    void (*read_done)(struct hf_bench_load *load, struct hf_bench_conn *c);
    /* A heartbeat was answered. */
    void (*heartbeat)(struct hf_bench_load *load, struct hf_bench_conn *c);
    /* The connection is gone, c is NONE again. Returns whether that was to be expected; if not, it counts as a failure. */
    bool (*ended)(struct hf_bench_load *load, struct hf_bench_conn *c, const char *why);
    /* The connection has failed, and is about to be closed: nothing that it owes will come. */
    void (*failed)(struct hf_bench_load *load, struct hf_bench_conn *c);
    /* Raw input in place of frames, of an upgraded or connected socket. Returns the bytes used, or a negative error. */
    ssize_t (*input)(struct hf_bench_load *load, struct hf_bench_conn *c, uint8_t *data, size_t len);
    /* The socket takes output again, and nothing of hf_bench_send() is left. */
    void (*writable)(struct hf_bench_load *load, struct hf_bench_conn *c);
    void (*phase)(struct hf_bench_load *load, enum hf_bench_phase phase);
    /* Once in each turn of the loop, after its events. Returns when it wants to be called again at the latest. */
    int64_t (*turn)(struct hf_bench_load *load);
    /* From STOP on (a storm: from MEASURE on): whether all has come that was under way. */
    bool (*finished)(struct hf_bench_load *load);
    bool ends_itself;     /* MEASURE ends when all processes are finished */
    bool counts_openings; /* share.opening is what is measured */
    bool opens;           /* it opens its connections itself */
    bool no_upgrade;      /* no WebSocket: open as soon as the socket is */
};

struct hf_bench_address {
    struct sockaddr_storage at;
    socklen_t len;
};

/* Set by the steering process, before it forks. */
struct hf_bench_target {
    struct hf_bench_address address, publish_address;
    struct hf_buf request, publish_request; /* the upgrade requests, without the empty line that ends them */
    char key[24];
    struct ssl_ctx_st *tls;
};

struct hf_bench_load {
    const struct hf_bench_options *options;
    const struct hf_bench_protocol *protocol;
    const struct hf_bench_mode *mode;
    const struct hf_bench_target *target;
    struct hf_bench_shared *shared;
    struct hf_bench_share *share;
    unsigned process;
    int epoll;
    enum hf_bench_phase phase;
    struct hf_bench_conn *conns;
    uint32_t conns_count;
    uint32_t publishers_count; /* conns[0 …] */
    uint32_t next_to_open;     /* all below have been opened once */
    uint32_t opening;          /* handshakes under way */
    uint32_t opening_max;
    uint32_t open; /* connections that are OPEN */
    uint8_t *input;
    size_t input_bytes;
    struct hf_buf text, frame;   /* scratch of hf_bench_say() */
    struct hf_bench_again again; /* those that were refused, or will come back */
    uint64_t attempts;           /* opened so far: spreads the source addresses */
    struct hf_rng rng;
    int64_t now_ns;       /* read anew for each read of a socket */
    int64_t deadline_ns;  /* of the mode's next turn */
    bool bell_rung;       /* in this turn */
    bool opens_by_itself; /* the load opens the connections one after the other; a mode may take that over */
    void *data;           /* the mode's own */
};

int64_t hf_bench_now_ns(void);

/* One process's part, from OPEN to END; then the process ends. Returns 0, or HF_ENOMEM or HF_EIO with a reason in the share. */
int hf_bench_load_run(struct hf_bench_load *load);

/* For modes. */

void hf_bench_open(struct hf_bench_load *load, struct hf_bench_conn *c);
/* Send bytes as they are. What the socket does not take is kept, up to 64 MiB; beyond, the connection has failed. */
void hf_bench_send(struct hf_bench_load *load, struct hf_bench_conn *c, const void *data, size_t len);
/* Send one message: text, framed as the protocol wants it. */
void hf_bench_say(struct hf_bench_load *load, struct hf_bench_conn *c, struct hf_str text);
/* Append what hf_bench_say() would send. */
void hf_bench_put_message(const struct hf_bench_protocol *protocol, struct hf_buf *out, struct hf_str text);
/* Ask to be told by writable(). */
void hf_bench_watch_output(struct hf_bench_load *load, struct hf_bench_conn *c, bool on);
/* Read nothing more from it. */
void hf_bench_stop_reading(struct hf_bench_load *load, struct hf_bench_conn *c);
/* Send a close frame; ended() follows when the server has closed. */
void hf_bench_leave(struct hf_bench_load *load, struct hf_bench_conn *c);
/* End it now; ended() is not called. */
void hf_bench_close(struct hf_bench_load *load, struct hf_bench_conn *c, bool abrupt);
/* End it and count it as failed, for this reason. */
void hf_bench_fail(struct hf_bench_load *load, struct hf_bench_conn *c, const char *why);
/* Note the reason of a failure, if it is the first. */
void hf_bench_complain(struct hf_bench_load *load, const char *fmt, ...) HF_PRINTF(2, 3);
/* The name of a channel: options->channel-NUMBER. */
void hf_bench_channel_name(const struct hf_bench_load *load, uint64_t number, char out[96]);
/* Wake a process, so that its turn() is called. */
void hf_bench_ring(int bell);

extern const struct hf_bench_mode hf_bench_echo, hf_bench_fanout, hf_bench_rate, hf_bench_idle,
    hf_bench_churn, hf_bench_storm, hf_bench_publish;

#endif
