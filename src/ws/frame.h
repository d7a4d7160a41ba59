/*
 * frame.h - the frames of RFC 6455: a strict incremental parser and the encoder, for both roles.
 * Pure: bytes come in, events come out, however the input is cut.
 *
 * A message that lies whole in one input is unmasked in place and handed out without a copy; only a message
 * that is cut or fragmented is gathered in `message`, which owns memory only meanwhile.
 */
#ifndef HF_WS_FRAME_H
#define HF_WS_FRAME_H

#include "base/buf.h"
#include "ws/utf8.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum hf_ws_role {
    HF_WS_SERVER, /* takes masked frames only */
    HF_WS_CLIENT, /* takes unmasked frames only */
};

/* RFC 6455 section 5.2, opcodes. */
enum hf_ws_opcode {
    HF_WS_CONTINUATION = 0x0,
    HF_WS_TEXT = 0x1,
    HF_WS_BINARY = 0x2,
    HF_WS_CLOSE = 0x8,
    HF_WS_PING = 0x9,
    HF_WS_PONG = 0xa,
};

/* RFC 6455 section 7.4.1 and PROTOCOL.md "Close codes". */
enum hf_ws_close_code {
    HF_CLOSE_NORMAL = 1000,
    HF_CLOSE_GOING_AWAY = 1001,
    HF_CLOSE_PROTOCOL_ERROR = 1002,
    HF_CLOSE_UNSUPPORTED = 1003,
    HF_CLOSE_NO_STATUS = 1005, /* never on the wire: "the close frame carried no code" */
    HF_CLOSE_ABNORMAL = 1006,  /* never on the wire: "the connection ended without a close frame" */
    HF_CLOSE_INVALID_DATA = 1007,
    HF_CLOSE_POLICY = 1008,
    HF_CLOSE_TOO_BIG = 1009,
    HF_CLOSE_INTERNAL = 1011,
    HF_CLOSE_SERVICE_RESTART = 1012, /* these two: IANA, "WebSocket Close Code Number Registry" */
    HF_CLOSE_TRY_AGAIN_LATER = 1013,
    HF_CLOSE_SUPERSEDED = 4001,
    HF_CLOSE_TOKEN_EXPIRED = 4002,
    HF_CLOSE_ENDED = 4003,
    HF_CLOSE_HEARTBEAT_MISSED = 4004,
    HF_CLOSE_TOO_SLOW = 4005,
    HF_CLOSE_SESSION_LIMIT = 4006,
};

enum {
    HF_WS_HEADER_MAX = 14,
    HF_WS_CONTROL_MAX = 125,
    HF_WS_RSV1 = 0x40, /* of a frame's first byte; RFC 7692 section 6: "the "Per-Message Compressed" bit" */
};

enum hf_ws_event_type {
    HF_WS_EV_NONE,   /* the input is used up; nothing is complete */
    HF_WS_EV_TEXT,   /* a whole text message, valid UTF-8 */
    HF_WS_EV_BINARY, /* a whole binary message */
    HF_WS_EV_PING,   /* data is what the pong must carry */
    HF_WS_EV_PONG,
    HF_WS_EV_CLOSE, /* close_code (HF_CLOSE_NO_STATUS where none), data is the reason */
    HF_WS_EV_ERROR, /* the peer broke the protocol: send close_code, then drop the connection; data is an English reason */
};

struct hf_ws_event {
    enum hf_ws_event_type type;
    uint16_t close_code; /* CLOSE and ERROR */
    bool compressed; /* TEXT and BINARY: data is as it came, not looked at; hf_inflate_event() comes next */
    uint8_t *
        data; /* borrowed until the next hf_ws_recv() or change of the input; may be written to, but ERROR's */
    size_t len;
};

/*
 * Open for embedding in a connection; fields are frame.c's own. One cache line, because a server has a million of them.
 * Invariant: frame_done <= frame_len; control and header_len are set only within a frame; message has memory only while
 * msg_opcode is set or the last event lent it.
 */
struct hf_ws {
    uint8_t role;       /* enum hf_ws_role */
    uint8_t state;      /* header, payload, failed, closed */
    uint8_t opcode;     /* of the frame under way */
    uint8_t msg_opcode; /* of the data message under way; 0: none */
    bool fin;           /* of the frame under way */
    uint8_t header_len; /* bytes of a cut header in header[] */
    struct hf_utf8 utf8;
    uint8_t
        deflate; /* enum in frame.c: whether messages may be compressed, and whether the one under way is */
    uint8_t header[HF_WS_HEADER_MAX]; /* a cut header; within a payload its first four bytes are the mask */
    uint32_t frame_len;               /* payload length of the frame under way */
    uint32_t frame_done;              /* of these, received */
    struct hf_buf message; /* a cut or fragmented data message; bytes_max is the limit on every message */
    uint8_t *control;      /* heap, HF_WS_CONTROL_MAX bytes, only while a control frame is cut */
};

/* message_bytes_max: a longer message is answered with HF_CLOSE_TOO_BIG, as soon as its length is known. Below 2^32. */
void hf_ws_init(struct hf_ws *ws, enum hf_ws_role role, size_t message_bytes_max);
void hf_ws_release(struct hf_ws *ws);

/*
 * permessage-deflate was agreed on: RSV1 may stand in the first frame of a message. The limit then holds for a message's compressed form here,
 * and for the other in hf_inflate_event().
 */
void hf_ws_allow_deflate(struct hf_ws *ws);

/*
 * Take input until the first event. Returns the number of bytes used; call again with the rest while the event
 * is not NONE or bytes are left: NONE means that all is used, and that nothing lent before is kept in memory. data is unmasked
 * in place. A message that cannot be gathered for want of memory is an ERROR with HF_CLOSE_INTERNAL. After ERROR or CLOSE nothing more is taken: every further
 * call uses all its input and gives NONE.
 * Strict, each with its reason: reserved bits and opcodes, unmasked (or, as a client, masked) frames, fragmented or long
 * control frames, a continuation without a beginning and a new message within one, non-minimal lengths, lengths with
 * the top bit set, close payloads of one byte, close codes that may not be sent (section 7.4), reasons and text that are no UTF-8.
 */
size_t hf_ws_recv(struct hf_ws *ws, uint8_t *data, size_t len, struct hf_ws_event *ev);

/* Whether no message is under way, and none is lent. */
bool hf_ws_idle(const struct hf_ws *ws);

/*
 * A server's echo of the small messages that lie whole at the beginning of the input of an idle parser: they are unmasked straight into the frames
 * that answer them. out has room for len bytes; *out_len are written, for *count messages. Returns the bytes of input used; what is left, and every other message, is for
 * hf_ws_recv().
 */
size_t hf_ws_echo(struct hf_ws *ws, const uint8_t *data, size_t len, uint8_t *out, size_t *out_len,
                  size_t *count);

/* What an extension found wrong with a message: *ev becomes ERROR, and nothing more is taken. reason: a literal. */
void hf_ws_fail(struct hf_ws *ws, struct hf_ws_event *ev, uint16_t code, const char *reason);

/*
 * Write a frame header for a payload of len bytes, with FIN set, unmasked where mask is NULL. Returns its size (2 to 14).
 */
size_t hf_ws_header(uint8_t out[HF_WS_HEADER_MAX], enum hf_ws_opcode opcode, uint64_t len,
                    const uint8_t mask[4]);

/* The size of the unmasked header of well-formed length that stands at data: 2, 4 or 10. */
static inline size_t hf_ws_header_len(const uint8_t *data)
{
    return data[1] < 126 ? 2 : data[1] == 126 ? 4 : 10;
}

/* XOR len bytes with the mask; phase is the number of payload bytes already masked before these. In place. */
void hf_ws_mask(uint8_t *data, size_t len, const uint8_t mask[4], uint64_t phase);

/*
 * The same from phase 0, in one pass with a look at the outcome: returns whether every byte of it is ASCII, and so the text valid UTF-8.
 */
bool hf_ws_unmask_ascii(uint8_t *data, size_t len, const uint8_t mask[4]);

/* Append one whole frame. mask NULL: a server's. Returns 0 or the buffer's error. */
int hf_ws_put_frame(struct hf_buf *out, enum hf_ws_opcode opcode, const void *data, size_t len,
                    const uint8_t mask[4]);

/* Append a close frame; reason is cut at 123 bytes, on a UTF-8 boundary. code 0 or NO_STATUS: without a payload,
 * every other code must be valid. */
int hf_ws_put_close(struct hf_buf *out, uint16_t code, struct hf_str reason, const uint8_t mask[4]);

/* Whether a peer may put this code into a close frame (RFC 6455 section 7.4.2, and the IANA registry's 1012-1014). */
bool hf_ws_close_code_valid(uint16_t code);

#endif
