/*
 * link.h - one WebSocket connection as its client sees it: the upgrade request and its answer, frames in and out,
 * pings answered, the close handshake. It knows nothing of sessions and channels, no socket and no clock.
 *
 *   IDLE    -> DIALING  hf_link_dial()       the owner wants a connection; the driver makes it
 *   DIALING -> READY    hf_link_connected()  it stands, and nothing has been said on it
 *   READY   -> OPENING  hf_link_request()    the upgrade request is in the output
 *   OPENING -> OPEN     hf_link_recv()       the answer was 101
 *   OPEN    -> CLOSING  hf_link_close(), or hf_link_recv() of a close frame or of rubbish: a close frame is in the output
 *   any     -> IDLE     hf_link_drop()       the connection is gone, or its owner has lost interest
 *
 * However the input is cut, the events are the same.
 */
#ifndef HF_SESSION_LINK_H
#define HF_SESSION_LINK_H

#include "base/buf.h"
#include "base/rng.h"
#include "wire/message.h"
#include "ws/frame.h"
#include "ws/handshake.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The subprotocols of the two encodings (PROTOCOL.md "Opening"). */
#define HF_PROTOCOL_JSON "holdfast.v1.json"
#define HF_PROTOCOL_BINARY "holdfast.v1.bin"

enum hf_link_state {
    HF_LINK_IDLE,
    HF_LINK_DIALING,
    HF_LINK_READY,
    HF_LINK_OPENING,
    HF_LINK_OPEN,
    HF_LINK_CLOSING
};

enum hf_link_event_type {
    HF_LINK_EV_NONE,    /* the input is used up */
    HF_LINK_EV_OPENED,  /* 101: protocol is the chosen subprotocol */
    HF_LINK_EV_REFUSED, /* another HTTP answer: status, retry_after_s, and data and len the `reason` in its body, if there is one; status 0: no answer to our request at all, reason says why */
    HF_LINK_EV_MESSAGE, /* a message of the link's encoding, data and len; may be written to */
    HF_LINK_EV_CLOSED,  /* the server closed: close_code, and data and len its reason */
    HF_LINK_EV_BROKEN,  /* the server broke RFC 6455: close_code is what it has been told, reason says why */
};

/* An HTTP answer that is no 101, while its body is awaited. */
struct hf_link_refusal {
    int status;
    uint32_t retry_after_s;
    size_t body_at, whole; /* where the body begins, and ends, in the link's head; whole 0: none is awaited */
};

/* What it points to is borrowed until the next call. */
struct hf_link_event {
    enum hf_link_event_type type;
    int status;
    uint32_t retry_after_s;
    uint16_t close_code;
    struct hf_str protocol;
    const char *reason;
    char *data;
    size_t len;
};

struct hf_link {
    enum hf_link_state state;
    uint32_t attempt; /* the number of the connection that it carries; rising over all links of a session */
    enum hf_encoding
        encoding; /* OPEN: binary where the chosen subprotocol is HF_PROTOCOL_BINARY, else JSON */
    char key[HF_WS_KEY_LEN];
    struct hf_buf head; /* the answer's head as far as it has come, and the body of a refusal */
    struct hf_link_refusal refusal;
    struct hf_buf out; /* what the driver has still to write */
    struct hf_ws ws;
};

/* A message above recv_bytes_max is answered with close 1009. Output above send_bytes_max fails with HF_ELIMIT. */
void hf_link_init(struct hf_link *l, size_t recv_bytes_max, size_t send_bytes_max);
void hf_link_release(struct hf_link *l);

void hf_link_dial(struct hf_link *l, uint32_t attempt);
void hf_link_connected(struct hf_link *l);
/* Put the upgrade request into the output. The nonce comes from rng; the rest of *req is the owner's. */
int hf_link_request(struct hf_link *l, struct hf_handshake_request *req, struct hf_rng *rng) HF_MUST_CHECK;

/*
 * Take input until the first event; returns the bytes used. Call again with the rest until all is used and the event is NONE.
 * data is written to. Pings are answered here. Input after the end of the connection is used up and gives NONE.
 */
size_t hf_link_recv(struct hf_link *l, uint8_t *data, size_t len, struct hf_rng *rng,
                    struct hf_link_event *ev);

/*
 * The connection is gone, or its time is over: whether the answer was a refusal whose body has not come to its end, which then is *ev. The link is CLOSING afterwards.
 */
bool hf_link_refused_meanwhile(struct hf_link *l, struct hf_link_event *ev);

/* Put a message into the output: a text message, or a binary one, as the link's encoding is. */
int hf_link_put_message(struct hf_link *l, struct hf_str message, struct hf_rng *rng) HF_MUST_CHECK;
/* Put a close frame into the output; nothing goes out after it. Does nothing where the link is not OPEN. */
void hf_link_close(struct hf_link *l, uint16_t code, struct hf_rng *rng);
/* Back to IDLE, with all memory freed. */
void hf_link_drop(struct hf_link *l);

#endif
