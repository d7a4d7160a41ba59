/*
 * bench_protocol.h - what is spoken over a connection of the load generator: Holdfast's protocol, and as little of the others' as it
 * takes to subscribe, publish and stay. As cheap as can be: nothing is parsed that need not be.
 */
#ifndef HF_CLI_BENCH_PROTOCOL_H
#define HF_CLI_BENCH_PROTOCOL_H

#include "base/buf.h"
#include "base/str.h"
#include "cli/bench_options.h"

#include <stdbool.h>
#include <stdint.h>

struct hf_bench_load;
struct hf_bench_conn;

/* What a received message is to the load. */
enum hf_bench_kind {
    HF_BENCH_OTHER,     /* nothing of interest */
    HF_BENCH_DATA,      /* a message; *payload is its payload */
    HF_BENCH_GREETING,  /* the server's first word, after which may be subscribed and published */
    HF_BENCH_JOINED,    /* the answer to the subscription */
    HF_BENCH_HEARTBEAT, /* to be answered with `pong` */
    HF_BENCH_RECONNECT, /* the server asks to leave; *payload is its whole message */
    HF_BENCH_REFUSED,   /* the server says that something was wrong; *payload is its whole message */
};

struct hf_bench_protocol {
    const char *subprotocols; /* for the request; NULL: none */
    bool framed;              /* over WebSocket frames; else bytes alone */
    bool stream; /* messages do not end where frames do: the bytes of all frames are one stream */
    bool greets; /* the server speaks first */
    bool answers_subscribe;
    struct hf_str pong; /* the answer to a heartbeat: a message's text */
    /* What a message is. size is the payload's expected size. */
    enum hf_bench_kind (*classify)(struct hf_str message, size_t size, struct hf_str *payload);
    /* Of a stream: the length of the first message in it, 0 where it is not whole, HF_EBADMSG. */
    ssize_t (*message_len)(struct hf_str stream);
    /* Append the text of the first word after the upgrade, of the subscription, of a publish. NULL: there is none. */
    void (*put_hello)(struct hf_buf *out);
    void (*put_subscribe)(struct hf_buf *out, const char *channel);
    void (*put_publish)(struct hf_buf *out, const char *channel, uint64_t seq, struct hf_str payload);
};

const struct hf_bench_protocol *hf_bench_protocol(enum hf_bench_protocol_id id);

/*
 * The payload of a flow's message: a JSON string of exactly `size` bytes with its quotes, which holds a time and a number.
 * HF_BENCH_SIZE_MIN <= size.
 */
void hf_bench_payload_write(char *out, size_t size, uint64_t time_ns, uint64_t number);
void hf_bench_payload_read(struct hf_str payload, uint64_t *time_ns, uint64_t *number);

#endif
