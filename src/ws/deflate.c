#include "ws/deflate.h"

#include "base/assert.h"
#include "base/buf.h"
#include "ws/extension.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

/*
 * Section 7.2.1: a message ends with an empty block without compression, of which "4 octets (that are 0x00 0x00 0xff 0xff)" are
 * left out; section 7.2.2: the receiver puts them back.
 */
static const uint8_t tail[4] = {0x00, 0x00, 0xff, 0xff};

/* Negative: DEFLATE data without zlib's header and checksum. The size of the window is in extension.h, for the handshake. */
enum { RAW_WINDOW = -HF_WINDOW_BITS_MAX };

/* ---- Compressing ---- */

struct hf_deflate {
    z_stream stream;
    struct hf_buf frame;
};

struct hf_deflate *hf_deflate_new(int level, int memory)
{
    struct hf_deflate *z = calloc(1, sizeof(*z));

    if (z == NULL)
        return NULL;
    if (deflateInit2(&z->stream, level, Z_DEFLATED, RAW_WINDOW, memory, Z_DEFAULT_STRATEGY) != Z_OK) {
        free(z);
        return NULL;
    }
    hf_buf_init(&z->frame, UINT32_MAX);
    return z;
}

void hf_deflate_free(struct hf_deflate *z)
{
    if (z == NULL)
        return;
    (void)deflateEnd(&z->stream); /* It complains of data that was not fetched, and frees all the same. */
    hf_buf_release(&z->frame);
    free(z);
}

/* One message into `room` bytes. Returns how many it took without the tail; 0: it did not fit. */
static size_t squeeze(z_stream *s, const void *data, size_t len, uint8_t *out, size_t room)
{
    size_t made;

    hf_assert(deflateReset(s) == Z_OK);
    s->next_in = (Bytef *)(uintptr_t)data;
    s->avail_in = (uInt)len;
    s->next_out = out;
    s->avail_out = (uInt)room;
    /* zlib.h: where room is left, all has been flushed. */
    if (deflate(s, Z_SYNC_FLUSH) != Z_OK || s->avail_out == 0)
        return 0;
    made = room - s->avail_out;
    hf_assert(made > sizeof(tail) && memcmp(out + made - sizeof(tail), tail, sizeof(tail)) == 0);
    return made - sizeof(tail);
}

int hf_deflate_frame(struct hf_deflate *z, enum hf_ws_opcode opcode, uint8_t window_bits, const void *data,
                     size_t len, const uint8_t **frame)
{
    uint8_t header[HF_WS_HEADER_MAX], *body;
    size_t made, header_len;

    if (len == 0 || len > (size_t)1 << 30 ||
        (window_bits < HF_WINDOW_BITS_MAX && len > (size_t)1 << window_bits))
        return 0;
    hf_buf_reset(&z->frame);
    body = hf_buf_reserve(&z->frame, HF_WS_HEADER_MAX + len + sizeof(tail));
    if (body == NULL)
        return HF_ENOMEM;
    body += HF_WS_HEADER_MAX; /* The header goes right before it, when its length is known. */
    made = squeeze(&z->stream, data, len, body, len + sizeof(tail));
    if (made == 0 || made >= len)
        return 0;
    header_len = hf_ws_header(header, opcode, made, NULL);
    header[0] |= HF_WS_RSV1;
    memcpy(body - header_len, header, header_len);
    *frame = body - header_len;
    return (int)(header_len + made);
}

/* ---- Inflating ---- */

enum {
    /* zlib.h, data_type after a call of inflate(): unused bits of the last byte in the lowest six, 128 right behind a block's end. */
    UNUSED_BITS = 0x3f,
    BEHIND_BLOCK = 0x80,
    STEP_BYTES_MIN = 1024, /* room for the next step of a message; more where the message is longer */
};

struct hf_inflate {
    z_stream stream;
    struct hf_buf message;
};

struct hf_inflate *hf_inflate_new(size_t bytes_max)
{
    struct hf_inflate *z = calloc(1, sizeof(*z));

    if (z == NULL)
        return NULL;
    if (inflateInit2(&z->stream, RAW_WINDOW) != Z_OK) {
        free(z);
        return NULL;
    }
    hf_buf_init(&z->message, bytes_max);
    return z;
}

void hf_inflate_free(struct hf_inflate *z)
{
    if (z == NULL)
        return;
    (void)inflateEnd(&z->stream);
    hf_buf_release(&z->message);
    free(z);
}

/*
 * Room for the next step, as far as the limit leaves some. At the limit one byte beside the message, only to see whether there would be more.
 * NULL without memory.
 */
static uint8_t *next_room(struct hf_buf *message, uint8_t *beyond, size_t *room)
{
    size_t left = message->bytes_max - message->len;

    *room = message->len < STEP_BYTES_MIN ? STEP_BYTES_MIN : message->len;
    if (left == 0) {
        *room = 1;
        return beyond;
    }
    if (*room > left)
        *room = left;
    return hf_buf_reserve(message, *room);
}

/* Inflate all of one piece. Returns 0 or a close code. */
static uint16_t inflate_piece(struct hf_inflate *z, const uint8_t *data, size_t len)
{
    z_stream *s = &z->stream;
    uint8_t beyond, *to;
    size_t room;
    int got;

    s->next_in = (Bytef *)(uintptr_t)data;
    s->avail_in = (uInt)len;
    do {
        to = next_room(&z->message, &beyond, &room);
        if (to == NULL)
            return HF_CLOSE_INTERNAL;
        s->next_out = to;
        s->avail_out = (uInt)room;
        got = inflate(s, Z_SYNC_FLUSH);
        if (to == &beyond && s->avail_out == 0)
            return HF_CLOSE_TOO_BIG;
        if (to != &beyond)
            hf_buf_commit(&z->message, room - s->avail_out);
        if (got == Z_MEM_ERROR)
            return HF_CLOSE_INTERNAL;
        /* Section 7.2.3.4: blocks with BFINAL end a stream within the message; what follows is another one. */
        if (got == Z_STREAM_END)
            hf_assert(inflateReset(s) == Z_OK);
        else if (got != Z_OK && got != Z_BUF_ERROR) /* The latter: no progress, for nothing is left to do. */
            return HF_CLOSE_INVALID_DATA;
    } while (s->avail_in > 0 || s->avail_out == 0);
    return 0;
}

/* Returns 0 with the message in z->message, or a close code. */
static uint16_t inflate_message(struct hf_inflate *z, const uint8_t *data, size_t len)
{
    uint16_t code;

    hf_assert(inflateReset(&z->stream) == Z_OK);
    hf_buf_reset(&z->message);
    code = inflate_piece(z, data, len);
    if (code == 0)
        code = inflate_piece(z, tail, sizeof(tail));
    if (code != 0)
        return code;
    /* With the tail the message has ended, if it ends as section 7.2.1 says: nothing begun, no bit left. */
    return (z->stream.data_type & (BEHIND_BLOCK | UNUSED_BITS)) == BEHIND_BLOCK ? 0 : HF_CLOSE_INVALID_DATA;
}

static const char *reason_of(uint16_t code)
{
    switch (code) {
    case HF_CLOSE_TOO_BIG:
        return "message too big";
    case HF_CLOSE_INVALID_DATA:
        return "malformed compressed message";
    default:
        return "out of memory";
    }
}

void hf_inflate_event(struct hf_inflate *z, struct hf_ws *ws, struct hf_ws_event *ev)
{
    uint16_t code;

    hf_assert(ev->compressed);
    code = inflate_message(z, ev->data, ev->len);
    if (code != 0) {
        hf_ws_fail(ws, ev, code, reason_of(code));
        return;
    }
    if (ev->type == HF_WS_EV_TEXT && !hf_utf8_valid(z->message.data, z->message.len)) {
        hf_ws_fail(ws, ev, HF_CLOSE_INVALID_DATA, "text is not UTF-8");
        return;
    }
    ev->compressed = false;
    ev->data = z->message.data;
    ev->len = z->message.len;
}
