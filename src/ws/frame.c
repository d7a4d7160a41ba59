#include "ws/frame.h"

#include "base/assert.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

static_assert(sizeof(struct hf_ws) == 64, "one cache line for each connection");

/*
 * HEADER  -> PAYLOAD  its header is whole and allowed
 * PAYLOAD -> HEADER   the last byte of the payload is there
 * PAYLOAD -> CLOSED   it was a valid close frame
 * any     -> FAILED   the peer broke the protocol, or there was no memory
 */
enum state { STATE_HEADER, STATE_PAYLOAD, STATE_FAILED, STATE_CLOSED };

/* The bits of a frame's first two bytes (RFC 6455 section 5.2). */
enum { BIT_FIN = 0x80, BITS_RSV = 0x70, BITS_OPCODE = 0x0f, BIT_MASK = 0x80, BITS_LEN = 0x7f };

/* Values of the seven bits of length that announce two or eight more bytes of it. */
enum { LEN_16 = 126, LEN_64 = 127 };

/* hf_ws.deflate */
enum { DEFLATE_ALLOWED = 1, DEFLATE_MESSAGE = 2 };

/* The next bytes of the input. */
struct input {
    uint8_t *at;
    uint8_t *end;
};

static size_t input_left(const struct input *in)
{
    return (size_t)(in->end - in->at);
}

void hf_ws_init(struct hf_ws *ws, enum hf_ws_role role, size_t message_bytes_max)
{
    *ws = (struct hf_ws){.role = (uint8_t)role, .state = STATE_HEADER};
    hf_buf_init(&ws->message, message_bytes_max);
}

/* Give back what the last event lent, or what a message that will not be finished has gathered. */
static void drop_gathered(struct hf_ws *ws)
{
    hf_buf_release(&ws->message);
    free(ws->control);
    ws->control = NULL;
}

void hf_ws_release(struct hf_ws *ws)
{
    drop_gathered(ws);
}

static bool is_control(uint8_t opcode)
{
    return (opcode & 0x8) != 0;
}

static bool is_known(uint8_t opcode)
{
    return opcode <= HF_WS_BINARY || (opcode >= HF_WS_CLOSE && opcode <= HF_WS_PONG);
}

static void emit(struct hf_ws_event *ev, enum hf_ws_event_type type, uint8_t *data, size_t len)
{
    *ev = (struct hf_ws_event){.type = type, .data = data, .len = len};
}

/* The cast takes away a const that the header gives back in words. */
static void fail(struct hf_ws *ws, struct hf_ws_event *ev, uint16_t code, const char *reason)
{
    drop_gathered(ws);
    ws->state = STATE_FAILED;
    emit(ev, HF_WS_EV_ERROR, (uint8_t *)(uintptr_t)reason, strlen(reason));
    ev->close_code = code;
}

void hf_ws_allow_deflate(struct hf_ws *ws)
{
    ws->deflate |= DEFLATE_ALLOWED;
}

void hf_ws_fail(struct hf_ws *ws, struct hf_ws_event *ev, uint16_t code, const char *reason)
{
    fail(ws, ev, code, reason);
}

/*
 * Section 5.2: "MUST be 0 unless an extension is negotiated that defines meanings for non-zero values". RFC 7692 section 6.1: RSV1 is of
 * "the first fragment of a data message" alone.
 */
static bool rsv_allowed(const struct hf_ws *ws, uint8_t first)
{
    uint8_t opcode = first & BITS_OPCODE;

    return (first & BITS_RSV) == HF_WS_RSV1 && (ws->deflate & DEFLATE_ALLOWED) != 0 &&
           (opcode == HF_WS_TEXT || opcode == HF_WS_BINARY);
}

/* What is wrong with a frame's first two bytes, or NULL. */
static const char *start_error(const struct hf_ws *ws, const uint8_t *h)
{
    uint8_t opcode = h[0] & BITS_OPCODE;
    bool masked = (h[1] & BIT_MASK) != 0;

    if ((h[0] & BITS_RSV) != 0 && !rsv_allowed(ws, h[0]))
        return "reserved bit set";
    if (!is_known(opcode))
        return "reserved opcode";
    /* Section 5.1: "The server MUST close the connection upon receiving a frame that is not masked"; "A client MUST close a
     * connection if it detects a masked frame." */
    if (masked != (ws->role == HF_WS_SERVER))
        return masked ? "masked frame from a server" : "unmasked frame from a client";
    if (is_control(opcode)) {
        /* Section 5.5: "All control frames MUST have a payload length of 125 bytes or less and MUST NOT be fragmented." */
        if ((h[0] & BIT_FIN) == 0)
            return "fragmented control frame";
        return (h[1] & BITS_LEN) > HF_WS_CONTROL_MAX ? "control frame longer than 125 bytes" : NULL;
    }
    if (opcode == HF_WS_CONTINUATION)
        return ws->msg_opcode == 0 ? "continuation of no message" : NULL;
    return ws->msg_opcode != 0 ? "new message within a fragmented one" : NULL;
}

static size_t header_size(const uint8_t *h)
{
    size_t ext = (h[1] & BITS_LEN) == LEN_16 ? 2 : (h[1] & BITS_LEN) == LEN_64 ? 8 : 0;

    return 2 + ext + ((h[1] & BIT_MASK) != 0 ? 4 : 0);
}

/* The payload length of a whole header. Returns what is wrong with it, or NULL. */
static const char *read_length(const uint8_t *h, uint64_t *len)
{
    size_t ext = (h[1] & BITS_LEN) == LEN_16 ? 2 : (h[1] & BITS_LEN) == LEN_64 ? 8 : 0;

    *len = ext == 0 ? h[1] & BITS_LEN : 0;
    for (size_t i = 0; i < ext; i++)
        *len = *len << 8 | h[2 + i];
    /* Section 5.2: "the most significant bit MUST be 0"; "the minimal number of bytes MUST be used to encode the length". */
    if (*len >> 63 != 0)
        return "length with its top bit set";
    if ((ext == 2 && *len < LEN_16) || (ext == 8 && *len <= UINT16_MAX))
        return "length not in its shortest form";
    return NULL;
}

/* A whole, allowed header. */
static void begin_frame(struct hf_ws *ws, const uint8_t *h, uint32_t len)
{
    ws->opcode = h[0] & BITS_OPCODE;
    if (ws->opcode == HF_WS_TEXT || ws->opcode == HF_WS_BINARY) {
        ws->msg_opcode = ws->opcode;
        ws->deflate =
            (uint8_t)((ws->deflate & DEFLATE_ALLOWED) | ((h[0] & HF_WS_RSV1) != 0 ? DEFLATE_MESSAGE : 0));
    }
    ws->fin = (h[0] & BIT_FIN) != 0;
    ws->frame_len = len;
    ws->frame_done = 0;
    if (ws->role == HF_WS_SERVER)
        memmove(ws->header, h + header_size(h) - 4, 4); /* h may be ws->header itself. */
    ws->header_len = 0;
    ws->state = STATE_PAYLOAD;
}

static void take_header(struct hf_ws *ws, const uint8_t *h, struct hf_ws_event *ev)
{
    uint64_t len;
    const char *wrong = read_length(h, &len);

    if (wrong != NULL)
        fail(ws, ev, HF_CLOSE_PROTOCOL_ERROR, wrong);
    else if (!is_control(h[0] & BITS_OPCODE) && len > ws->message.bytes_max - ws->message.len)
        fail(ws, ev, HF_CLOSE_TOO_BIG, "message too big");
    else
        begin_frame(ws, h, (uint32_t)len); /* Not above bytes_max, which is 32 bits wide. */
}

/* Move bytes of a cut header from the input until it has `size` of them. Returns whether it has. */
static bool gather_header(struct hf_ws *ws, struct input *in, size_t size)
{
    size_t n = size - ws->header_len;

    if (n > input_left(in))
        n = input_left(in);
    memcpy(ws->header + ws->header_len, in->at, n);
    ws->header_len = (uint8_t)(ws->header_len + n);
    in->at += n;
    return ws->header_len == size;
}

/* A header, or the part of it that is in this piece. */
static void recv_header(struct hf_ws *ws, struct input *in, struct hf_ws_event *ev)
{
    bool cut = ws->header_len > 0 || input_left(in) < 2 || input_left(in) < header_size(in->at);
    bool checked = ws->header_len >= 2; /* It was cut behind its start, which has been looked at. */
    const uint8_t *h = cut ? ws->header : in->at;
    const char *wrong;

    if (cut && !checked && !gather_header(ws, in, 2))
        return;
    wrong = checked ? NULL : start_error(ws, h);
    if (wrong != NULL) {
        fail(ws, ev, HF_CLOSE_PROTOCOL_ERROR, wrong);
        return;
    }
    if (cut && !gather_header(ws, in, header_size(h)))
        return;
    if (!cut)
        in->at += header_size(h);
    take_header(ws, h, ev);
}

/* Section 7.4.2: which codes may be in a close frame. 1012 to 1014 were registered with IANA later. */
bool hf_ws_close_code_valid(uint16_t code)
{
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) || (code >= 3000 && code <= 4999);
}

/* What is wrong with a close frame's payload, or NULL. Section 5.5.1: "the first two bytes of the body MUST be a 2-byte
 * unsigned integer"; the reason behind them is UTF-8. */
static const char *close_error(const uint8_t *data, size_t len, uint16_t *answer)
{
    *answer = HF_CLOSE_PROTOCOL_ERROR;
    if (len == 0)
        return NULL;
    if (len == 1)
        return "close payload of one byte";
    if (!hf_ws_close_code_valid((uint16_t)(data[0] << 8 | data[1])))
        return "close code that may not be sent";
    *answer = HF_CLOSE_INVALID_DATA;
    return hf_utf8_valid(data + 2, len - 2) ? NULL : "close reason is not UTF-8";
}

static void end_close(struct hf_ws *ws, uint8_t *data, size_t len, struct hf_ws_event *ev)
{
    uint16_t answer;
    const char *wrong = close_error(data, len, &answer);

    if (wrong != NULL) {
        fail(ws, ev, answer, wrong);
        return;
    }
    hf_buf_release(&ws->message); /* The reason may lie in control, which stays until the next call. */
    ws->state = STATE_CLOSED;
    if (len == 0) {
        emit(ev, HF_WS_EV_CLOSE, data, 0);
        ev->close_code = HF_CLOSE_NO_STATUS;
    } else {
        emit(ev, HF_WS_EV_CLOSE, data + 2, len - 2);
        ev->close_code = (uint16_t)(data[0] << 8 | data[1]);
    }
}

static void end_control(struct hf_ws *ws, uint8_t *data, size_t len, struct hf_ws_event *ev)
{
    ws->state = STATE_HEADER;
    if (ws->opcode == HF_WS_CLOSE)
        end_close(ws, data, len, ev);
    else
        emit(ev, ws->opcode == HF_WS_PING ? HF_WS_EV_PING : HF_WS_EV_PONG, data, len);
}

/* A control frame, or the part of it that is in this piece. */
static void recv_control(struct hf_ws *ws, uint8_t *data, size_t len, struct hf_ws_event *ev)
{
    if (len == ws->frame_len) {
        end_control(ws, data, len, ev);
        return;
    }
    if (ws->control == NULL)
        ws->control = malloc(HF_WS_CONTROL_MAX);
    if (ws->control == NULL) {
        fail(ws, ev, HF_CLOSE_INTERNAL, "out of memory");
        return;
    }
    memcpy(ws->control + ws->frame_done, data, len);
    ws->frame_done += (uint32_t)len;
    if (ws->frame_done == ws->frame_len)
        end_control(ws, ws->control, ws->frame_len, ev);
}

static void end_message(struct hf_ws *ws, uint8_t *data, size_t len, struct hf_ws_event *ev)
{
    enum hf_ws_event_type type = ws->msg_opcode == HF_WS_TEXT ? HF_WS_EV_TEXT : HF_WS_EV_BINARY;
    bool compressed = (ws->deflate & DEFLATE_MESSAGE) != 0;

    /* Section 8.1: a text that ends within a character is as bad as one with a wrong byte. */
    if (type == HF_WS_EV_TEXT && !compressed && !hf_utf8_complete(&ws->utf8)) {
        fail(ws, ev, HF_CLOSE_INVALID_DATA, "text is not UTF-8");
        return;
    }
    ws->msg_opcode = 0;
    emit(ev, type, data, len);
    ev->compressed = compressed;
}

/* A data frame, or the part of it that is in this piece. */
static void recv_data(struct hf_ws *ws, uint8_t *data, size_t len, struct hf_ws_event *ev)
{
    bool whole = ws->fin && len == ws->frame_len && ws->message.len == 0;
    bool text = ws->msg_opcode == HF_WS_TEXT && (ws->deflate & DEFLATE_MESSAGE) == 0;

    if (text && !hf_utf8_feed(&ws->utf8, data, len)) {
        fail(ws, ev, HF_CLOSE_INVALID_DATA, "text is not UTF-8");
        return;
    }
    if (!whole && len > 0 && hf_buf_put(&ws->message, data, len) < 0) {
        fail(ws, ev, HF_CLOSE_INTERNAL, "out of memory");
        return;
    }
    ws->frame_done += (uint32_t)len;
    if (ws->frame_done < ws->frame_len)
        return;
    ws->state = STATE_HEADER;
    if (whole)
        end_message(ws, data, len, ev);
    else if (ws->fin)
        end_message(ws, ws->message.data, ws->message.len, ev);
}

static void recv_payload(struct hf_ws *ws, struct input *in, struct hf_ws_event *ev)
{
    uint8_t *data = in->at;
    size_t len = ws->frame_len - ws->frame_done;

    if (len > input_left(in))
        len = input_left(in);
    if (len == 0 && ws->frame_len > 0) /* The input ended with the header. */
        return;
    in->at += len;
    if (ws->role == HF_WS_SERVER)
        hf_ws_mask(data, len, ws->header, ws->frame_done);
    if (is_control(ws->opcode))
        recv_control(ws, data, len, ev);
    else
        recv_data(ws, data, len, ev);
}

/* ---- Small messages ---- */

typedef uint8_t block
    __attribute__((vector_size(16))); /* one SSE2 or NEON register; gcc and clang know it everywhere */

static block load_block(const uint8_t *from)
{
    block b;

    memcpy(&b, from, sizeof(b));
    return b;
}

static bool has_high_bit(block b)
{
    uint64_t half[2];

    memcpy(half, &b, sizeof(b));
    return ((half[0] | half[1]) & 0x8080808080808080u) != 0;
}

/* The mask as often as it goes into a block, beginning at that payload byte. */
static block mask_block(const uint8_t mask[4], size_t phase)
{
    uint32_t key;
    block b;

    memcpy(&key, mask, sizeof(key));
    for (size_t i = 0; i < sizeof(b) / sizeof(key); i++)
        memcpy((uint8_t *)&b + i * sizeof(key), &key, sizeof(key));
    if (phase % 4 != 0)
        for (size_t i = 0; i < sizeof(b); i++)
            b[i] = mask[(phase + i) % 4];
    return b;
}

/* Less than a block. Returns as unmask_ascii(). */
static bool unmask_few(uint8_t *to, const uint8_t *from, size_t len, const uint8_t mask[4])
{
    uint8_t all = 0;

    for (size_t i = 0; i < len; i++) {
        to[i] = from[i] ^ mask[i % 4];
        all |= to[i];
    }
    return all < 0x80;
}

/* hf_ws_unmask_ascii(), also to another place. */
static inline bool unmask_ascii(uint8_t *to, const uint8_t *from, size_t len, const uint8_t mask[4])
{
    block key, seen, last, b;

    if (len < sizeof(b))
        return unmask_few(to, from, len, mask);
    /* The last block overlaps the one before where the length is no multiple of its size: it is read before any is written. */
    key = mask_block(mask, 0);
    last = load_block(from + len - sizeof(b)) ^ mask_block(mask, len - sizeof(b));
    seen = last;
    for (size_t i = 0; i + sizeof(b) <= len; i += sizeof(b)) {
        b = load_block(from + i) ^ key;
        seen |= b;
        memcpy(to + i, &b, sizeof(b));
    }
    memcpy(to + len - sizeof(b), &last, sizeof(b));
    return !has_high_bit(seen);
}

/* The longest payload that a header of two bytes can announce. */
enum { SMALL_MAX = 125 };

/* Whether it is one, and whole. At least six bytes. */
static inline bool is_small(const struct hf_ws *ws, const uint8_t *data, size_t len)
{
    size_t payload = data[1] ^ BIT_MASK; /* More than 125 also where the mask bit is not set. */

    return (data[0] == (BIT_FIN | HF_WS_TEXT) || data[0] == (BIT_FIN | HF_WS_BINARY)) &&
           payload <= SMALL_MAX && len >= 2 + 4 + payload && payload <= ws->message.bytes_max;
}

/*
 * What most input is: a masked text or binary message in one whole, small frame, with nothing under way. One look at its first bytes, one pass over the
 * payload. Returns the bytes used, or 0 where it is anything else, right or wrong, for the careful path to take.
 */
static size_t recv_small(struct hf_ws *ws, uint8_t *data, size_t len, struct hf_ws_event *ev)
{
    size_t payload = data[1] ^ BIT_MASK;
    uint8_t *text = data + 2 + 4;

    if (!is_small(ws, data, len))
        return 0;
    if (!unmask_ascii(text, text, payload, data + 2) && data[0] == (BIT_FIN | HF_WS_TEXT) &&
        !hf_utf8_valid(text, payload)) {
        fail(ws, ev, HF_CLOSE_INVALID_DATA, "text is not UTF-8");
        return 2 + 4 + payload;
    }
    emit(ev, data[0] == (BIT_FIN | HF_WS_TEXT) ? HF_WS_EV_TEXT : HF_WS_EV_BINARY, text, payload);
    return 2 + 4 + payload;
}

bool hf_ws_idle(const struct hf_ws *ws)
{
    return ws->state == STATE_HEADER && ws->header_len == 0 && ws->msg_opcode == 0 &&
           ws->message.data == NULL && ws->control == NULL;
}

size_t hf_ws_echo(struct hf_ws *ws, const uint8_t *data, size_t len, uint8_t *out, size_t *out_len,
                  size_t *count)
{
    const uint8_t *at = data, *end = data + len;
    uint8_t *to = out;
    size_t messages = 0;

    while (end - at >= 2 + 4 && is_small(ws, at, (size_t)(end - at))) {
        size_t payload = at[1] ^ BIT_MASK;

        if (!unmask_ascii(to + 2, at + 2 + 4, payload, at + 2) && at[0] == (BIT_FIN | HF_WS_TEXT))
            break; /* The careful path says whether it is UTF-8. */
        to[0] = at[0];
        to[1] = (uint8_t)payload;
        to += 2 + payload;
        at += 2 + 4 + payload;
        messages++;
    }
    *out_len = (size_t)(to - out);
    *count = messages;
    return (size_t)(at - data);
}

/* Between frames what the last event lent goes back; a fragmented message under way stays. */
static void take_back(struct hf_ws *ws)
{
    if (ws->state == STATE_PAYLOAD)
        return;
    if (ws->control != NULL) {
        free(ws->control);
        ws->control = NULL;
    }
    if (ws->msg_opcode == 0 && ws->message.data != NULL)
        hf_buf_release(&ws->message);
}

size_t hf_ws_recv(struct hf_ws *ws, uint8_t *data, size_t len, struct hf_ws_event *ev)
{
    struct input in;

    if (len >= 2 + 4 && ws->role == HF_WS_SERVER && hf_ws_idle(ws)) {
        size_t used = recv_small(ws, data, len, ev);

        if (used > 0)
            return used;
    }
    emit(ev, HF_WS_EV_NONE, NULL, 0);
    take_back(ws);
    if (len == 0 || ws->state == STATE_FAILED || ws->state == STATE_CLOSED)
        return len;
    in = (struct input){data, data + len};
    while (in.at < in.end && ev->type == HF_WS_EV_NONE) {
        if (ws->state == STATE_HEADER)
            recv_header(ws, &in, ev);
        if (ws->state == STATE_PAYLOAD)
            recv_payload(ws, &in, ev);
    }
    return (size_t)(in.at - data);
}

bool hf_ws_unmask_ascii(uint8_t *data, size_t len, const uint8_t mask[4])
{
    return unmask_ascii(data, data, len, mask);
}

/* Word by word; gcc and clang make wider vectors of this loop. */
void hf_ws_mask(uint8_t *data, size_t len, const uint8_t mask[4], uint64_t phase)
{
    uint8_t turned[8];
    uint64_t key, word;
    size_t words = len / sizeof(word);

    for (size_t i = 0; i < sizeof(turned); i++)
        turned[i] = mask[(phase + i) % 4];
    memcpy(&key, turned, sizeof(key));
    for (size_t i = 0; i < words; i++) {
        memcpy(&word, data + i * sizeof(word), sizeof(word));
        word ^= key;
        memcpy(data + i * sizeof(word), &word, sizeof(word));
    }
    for (size_t i = words * sizeof(word); i < len; i++)
        data[i] ^= turned[i % sizeof(turned)];
}

size_t hf_ws_header(uint8_t out[HF_WS_HEADER_MAX], enum hf_ws_opcode opcode, uint64_t len,
                    const uint8_t mask[4])
{
    size_t ext = len < LEN_16 ? 0 : len <= UINT16_MAX ? 2 : 8;
    size_t size = 2 + ext;

    out[0] = (uint8_t)(BIT_FIN | opcode);
    out[1] = (uint8_t)(ext == 0 ? len : ext == 2 ? LEN_16 : LEN_64);
    for (size_t i = 0; i < ext; i++)
        out[2 + i] = (uint8_t)(len >> 8 * (ext - 1 - i));
    if (mask != NULL) {
        out[1] |= BIT_MASK;
        memcpy(out + size, mask, 4);
        size += 4;
    }
    return size;
}

int hf_ws_put_frame(struct hf_buf *out, enum hf_ws_opcode opcode, const void *data, size_t len,
                    const uint8_t mask[4])
{
    uint8_t header[HF_WS_HEADER_MAX];
    size_t size = hf_ws_header(header, opcode, len, mask);
    uint8_t *to;

    hf_assert(!is_control((uint8_t)opcode) || len <= HF_WS_CONTROL_MAX);
    to = len > SIZE_MAX - size ? NULL : hf_buf_reserve(out, size + len);
    if (to == NULL)
        return HF_ELIMIT;
    memcpy(to, header, size);
    if (len > 0)
        memcpy(to + size, data, len);
    if (mask != NULL)
        hf_ws_mask(to + size, len, mask, 0);
    hf_buf_commit(out, size + len);
    return 0;
}

/* How much of a UTF-8 text fits into bytes_max without cutting a character. */
static size_t cut_text(struct hf_str s, size_t bytes_max)
{
    size_t len = s.len;

    if (len <= bytes_max)
        return len;
    len = bytes_max;
    while (len > 0 && ((uint8_t)s.data[len] & 0xc0) == 0x80)
        len--;
    return len;
}

int hf_ws_put_close(struct hf_buf *out, uint16_t code, struct hf_str reason, const uint8_t mask[4])
{
    uint8_t payload[HF_WS_CONTROL_MAX];
    size_t len = cut_text(reason, sizeof(payload) - 2);

    if (code == 0 || code == HF_CLOSE_NO_STATUS)
        return hf_ws_put_frame(out, HF_WS_CLOSE, NULL, 0, mask);
    hf_assert(hf_ws_close_code_valid(code));
    payload[0] = (uint8_t)(code >> 8);
    payload[1] = (uint8_t)code;
    if (len > 0)
        memcpy(payload + 2, reason.data, len);
    return hf_ws_put_frame(out, HF_WS_CLOSE, payload, 2 + len, mask);
}
