#include "session/link.h"

#include "base/assert.h"
#include "wire/json.h"

#include <string.h>

#define BIT(n) (1u << (n))

static const struct {
    const char *name;
    uint32_t may_follow;
} states[] = {
    [HF_LINK_IDLE] = {"idle", BIT(HF_LINK_DIALING)},
    [HF_LINK_DIALING] = {"dialing", BIT(HF_LINK_READY) | BIT(HF_LINK_IDLE)},
    [HF_LINK_READY] = {"ready", BIT(HF_LINK_OPENING) | BIT(HF_LINK_IDLE)},
    [HF_LINK_OPENING] = {"opening", BIT(HF_LINK_OPEN) | BIT(HF_LINK_CLOSING) | BIT(HF_LINK_IDLE)},
    [HF_LINK_OPEN] = {"open", BIT(HF_LINK_CLOSING) | BIT(HF_LINK_IDLE)},
    [HF_LINK_CLOSING] = {"closing", BIT(HF_LINK_IDLE)},
};

static void link_move(struct hf_link *l, enum hf_link_state to)
{
    hf_assert((states[l->state].may_follow & BIT(to)) != 0);
    l->state = to;
}

void hf_link_init(struct hf_link *l, size_t recv_bytes_max, size_t send_bytes_max)
{
    *l = (struct hf_link){.state = HF_LINK_IDLE};
    hf_buf_init(&l->head, HF_HTTP_HEAD_MAX);
    hf_buf_init(&l->out, send_bytes_max);
    hf_ws_init(&l->ws, HF_WS_CLIENT, recv_bytes_max);
}

void hf_link_release(struct hf_link *l)
{
    hf_buf_release(&l->head);
    hf_buf_release(&l->out);
    hf_ws_release(&l->ws);
}

void hf_link_dial(struct hf_link *l, uint32_t attempt)
{
    link_move(l, HF_LINK_DIALING);
    l->attempt = attempt;
}

static void fill(struct hf_rng *rng, uint8_t *out, size_t len)
{
    size_t at;

    for (at = 0; at < len; at += sizeof(uint64_t)) {
        uint64_t r = hf_rng_next(rng);

        memcpy(out + at, &r, len - at < sizeof(r) ? len - at : sizeof(r));
    }
}

void hf_link_connected(struct hf_link *l)
{
    link_move(l, HF_LINK_READY);
}

int hf_link_request(struct hf_link *l, struct hf_handshake_request *req, struct hf_rng *rng)
{
    uint8_t nonce[16];

    link_move(l, HF_LINK_OPENING);
    fill(rng, nonce, sizeof(nonce));
    req->nonce = nonce;
    return hf_handshake_put_request(&l->out, req, l->key);
}

/* A head that is too long, or no answer to our request: there is nothing to talk about on this connection. */
static void no_answer(struct hf_link *l, struct hf_link_event *ev, const char *reason)
{
    ev->type = HF_LINK_EV_REFUSED;
    ev->reason = reason;
    link_move(l, HF_LINK_CLOSING);
}

/* "the body {"code":CODE,"reason":REASON}" (ws/handshake.h); a proxy's page is none. */
static struct hf_str reason_in(struct hf_str body)
{
    struct hf_json_field reason = {.name = HF_STR("reason")};
    const char *wrong;
    struct hf_str value;
    char *place;
    int len;

    if (hf_json_check(body, true, &value, &wrong) < 0 || hf_json_fields(value, &reason, 1) < 0 ||
        hf_json_kind(reason.value) != HF_JSON_STRING)
        return HF_STR("");
    place = (char *)(uintptr_t)reason.value.data;
    len = hf_json_unquote(reason.value, place, reason.value.len);
    return (struct hf_str){place, len < 0 ? 0 : (size_t)len};
}

static void refused(struct hf_link *l, struct hf_link_event *ev)
{
    const struct hf_link_refusal *r = &l->refusal;
    struct hf_str reason = HF_STR("");

    if (r->whole > 0 && l->head.len == r->whole)
        reason = reason_in((struct hf_str){(const char *)l->head.data + r->body_at, r->whole - r->body_at});
    *ev = (struct hf_link_event){.type = HF_LINK_EV_REFUSED,
                                 .status = r->status,
                                 .retry_after_s = r->retry_after_s,
                                 .data = (char *)(uintptr_t)reason.data,
                                 .len = reason.len};
    link_move(l, HF_LINK_CLOSING);
}

bool hf_link_refused_meanwhile(struct hf_link *l, struct hf_link_event *ev)
{
    if (l->state != HF_LINK_OPENING || l->refusal.whole == 0)
        return false;
    refused(l, ev);
    return true;
}

/* Gather the body of a refusal; what is behind it nobody asked for. */
static void recv_body(struct hf_link *l, const uint8_t *data, size_t len, struct hf_link_event *ev)
{
    size_t room = l->refusal.whole - l->head.len;

    if (hf_buf_put(&l->head, data, len < room ? len : room) < 0 || l->head.len == l->refusal.whole)
        refused(l, ev);
}

/* The answer is another than 101, and its head takes head_len bytes. A body that is too long for the buffer is not waited for. */
static void begin_refusal(struct hf_link *l, const struct hf_handshake_response *r, size_t head_len,
                          struct hf_link_event *ev)
{
    l->refusal =
        (struct hf_link_refusal){.status = r->status, .retry_after_s = r->retry_after_s, .body_at = head_len};
    if (r->body_len > 0 && r->body_len <= HF_HTTP_HEAD_MAX - head_len)
        l->refusal.whole = head_len + (size_t)r->body_len;
    if (l->refusal.whole > 0 && l->head.len < l->refusal.whole)
        return;
    if (l->refusal.whole > 0)
        l->head.len = (uint32_t)l->refusal.whole;
    refused(l, ev);
}

/*
 * Gather the answer's head. It may end in the middle of the input: what is behind it are the first frames, and stays unused.
 */
static size_t recv_head(struct hf_link *l, const uint8_t *data, size_t len, struct hf_link_event *ev)
{
    struct hf_handshake_response r;
    size_t had = l->head.len;
    size_t room = HF_HTTP_HEAD_MAX - had;
    size_t taken = len < room ? len : room;
    int head_len;

    if (l->refusal.whole > 0) {
        recv_body(l, data, len, ev);
        return len;
    }
    if (hf_buf_put(&l->head, data, taken) < 0) {
        no_answer(l, ev, "out of memory");
        return len;
    }
    head_len = hf_handshake_parse_response(&r, (char *)l->head.data, l->head.len, l->key, false);
    if (head_len == 0 && l->head.len < HF_HTTP_HEAD_MAX)
        return taken;
    if (head_len <= 0) {
        no_answer(l, ev, head_len == 0 ? "the head of the HTTP answer is too long" : r.reason);
        return len;
    }
    if (r.status != 101) {
        begin_refusal(l, &r, (size_t)head_len, ev);
        return len;
    }
    ev->status = r.status;
    ev->protocol = r.protocol;
    l->encoding = hf_str_eq(r.protocol, HF_STR(HF_PROTOCOL_BINARY)) ? HF_ENCODING_BINARY : HF_ENCODING_JSON;
    ev->type = HF_LINK_EV_OPENED;
    link_move(l, HF_LINK_OPEN);
    return (size_t)head_len - had;
}

static const uint8_t *new_mask(struct hf_rng *rng, uint8_t mask[4])
{
    fill(rng, mask, 4);
    return mask;
}

/*
 * RFC 6455 section 5.5.3: "A Pong frame sent in response to a Ping frame must have identical "Application data"". One that finds the output
 * full is left out: the server that does not read needs no proof that we live.
 */
static void answer_ping(struct hf_link *l, const struct hf_ws_event *wev, struct hf_rng *rng)
{
    uint8_t mask[4];

    if (l->state == HF_LINK_OPEN && l->out.len + wev->len + HF_WS_HEADER_MAX <= l->out.bytes_max)
        (void)hf_ws_put_frame(&l->out, HF_WS_PONG, wev->data, wev->len, new_mask(rng, mask));
}

/* RFC 6455 section 5.5.1: the answer to a close frame "typically echos the status code it received". */
static void ended(struct hf_link *l, const struct hf_ws_event *wev, struct hf_rng *rng,
                  struct hf_link_event *ev)
{
    ev->close_code = wev->close_code;
    ev->data = (char *)wev->data;
    ev->len = wev->len;
    ev->type = HF_LINK_EV_CLOSED;
    hf_link_close(l, wev->close_code, rng);
}

static void broken(struct hf_link *l, uint16_t code, const char *reason, struct hf_rng *rng,
                   struct hf_link_event *ev)
{
    ev->type = HF_LINK_EV_BROKEN;
    ev->close_code = code;
    ev->reason = reason;
    hf_link_close(l, code, rng);
}

/* "The other kind of message on either: close 1003." (PROTOCOL.md "Opening") */
static void message(struct hf_link *l, const struct hf_ws_event *wev, enum hf_encoding encoding,
                    struct hf_rng *rng, struct hf_link_event *ev)
{
    if (encoding != l->encoding) {
        broken(l, HF_CLOSE_UNSUPPORTED,
               encoding == HF_ENCODING_BINARY ? "a binary message where JSON was agreed on"
                                              : "a text message where the binary form was agreed on",
               rng, ev);
        return;
    }
    ev->type = HF_LINK_EV_MESSAGE;
    ev->data = (char *)wev->data;
    ev->len = wev->len;
}

/* Translate what the frame parser says; false: nothing for the owner. */
static bool frame_event(struct hf_link *l, const struct hf_ws_event *wev, struct hf_rng *rng,
                        struct hf_link_event *ev)
{
    switch (wev->type) {
    case HF_WS_EV_NONE:
    case HF_WS_EV_PONG:
        return false;
    case HF_WS_EV_PING:
        answer_ping(l, wev, rng);
        return false;
    case HF_WS_EV_TEXT:
        message(l, wev, HF_ENCODING_JSON, rng, ev);
        return true;
    case HF_WS_EV_BINARY:
        message(l, wev, HF_ENCODING_BINARY, rng, ev);
        return true;
    case HF_WS_EV_CLOSE:
        ended(l, wev, rng, ev);
        return true;
    case HF_WS_EV_ERROR:
        broken(l, wev->close_code, "the server broke the WebSocket protocol", rng, ev);
        return true;
    }
    return false;
}

static size_t recv_frames(struct hf_link *l, uint8_t *data, size_t len, struct hf_rng *rng,
                          struct hf_link_event *ev)
{
    struct hf_ws_event wev;
    size_t used = 0;

    hf_buf_release(&l->head); /* The owner has seen what it needed of it. */
    do {
        used += hf_ws_recv(&l->ws, data + used, len - used, &wev);
        if (frame_event(l, &wev, rng, ev))
            return used;
    } while (used < len || wev.type != HF_WS_EV_NONE);
    return used;
}

size_t hf_link_recv(struct hf_link *l, uint8_t *data, size_t len, struct hf_rng *rng,
                    struct hf_link_event *ev)
{
    *ev = (struct hf_link_event){.type = HF_LINK_EV_NONE};
    if (l->state == HF_LINK_OPENING)
        return recv_head(l, data, len, ev);
    if (l->state == HF_LINK_OPEN)
        return recv_frames(l, data, len, rng, ev);
    return len;
}

int hf_link_put_message(struct hf_link *l, struct hf_str message, struct hf_rng *rng)
{
    enum hf_ws_opcode opcode = l->encoding == HF_ENCODING_BINARY ? HF_WS_BINARY : HF_WS_TEXT;
    uint8_t mask[4];

    if (l->state != HF_LINK_OPEN)
        return HF_ESTATE;
    return hf_ws_put_frame(&l->out, opcode, message.data, message.len, new_mask(rng, mask));
}

void hf_link_close(struct hf_link *l, uint16_t code, struct hf_rng *rng)
{
    uint8_t mask[4];

    if (l->state != HF_LINK_OPEN)
        return;
    if (l->out.len + HF_WS_HEADER_MAX + HF_WS_CONTROL_MAX <= l->out.bytes_max)
        (void)hf_ws_put_close(&l->out, code, HF_STR(""), new_mask(rng, mask));
    link_move(l, HF_LINK_CLOSING);
}

void hf_link_drop(struct hf_link *l)
{
    size_t recv_bytes_max = l->ws.message.bytes_max;
    size_t send_bytes_max = l->out.bytes_max;

    if (l->state != HF_LINK_IDLE)
        link_move(l, HF_LINK_IDLE);
    hf_link_release(l);
    hf_link_init(l, recv_bytes_max, send_bytes_max);
}
