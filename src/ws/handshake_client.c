/* The client's side: the request, and what is made of the answer. */
#include "ws/handshake.h"

#include "ws/http_head.h"

#include <openssl/evp.h>

/* Nothing that could end the line or the word that it is put into. */
static bool is_word(struct hf_str s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (s.data[i] <= ' ' || s.data[i] >= 0x7f)
            return false;
    }
    return s.len > 0;
}

static bool is_line(struct hf_str s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (s.data[i] < ' ' || s.data[i] >= 0x7f)
            return false;
    }
    return true;
}

/* Whole lines, none of them empty: an empty one would end the head. */
static bool are_lines(struct hf_str s)
{
    if (s.len == 0)
        return true;
    return s.len > 2 && s.data[0] != '\r' && memcmp(s.data + s.len - 2, "\r\n", 2) == 0 &&
           memmem(s.data, s.len, "\r\n\r\n", 4) == NULL;
}

static void make_key(const uint8_t *nonce, char key[HF_WS_KEY_LEN])
{
    uint8_t text[HF_WS_KEY_LEN + 1]; /* EVP_EncodeBlock() writes a NUL. */

    EVP_EncodeBlock(text, nonce, 16);
    memcpy(key, text, HF_WS_KEY_LEN);
}

int hf_handshake_put_request(struct hf_buf *out, const struct hf_handshake_request *req,
                             char key_out[HF_WS_KEY_LEN])
{
    if (!is_word(req->host) || !is_word(req->target) || !is_line(req->protocols) ||
        !are_lines(req->extra_headers))
        return HF_EINVAL;
    make_key(req->nonce, key_out);
    hf_buf_puts(out, "GET ");
    hf_buf_put_str(out, req->target);
    hf_buf_puts(out, " HTTP/1.1\r\nHost: ");
    hf_buf_put_str(out, req->host);
    hf_buf_puts(
        out,
        "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ");
    hf_buf_put(out, key_out, HF_WS_KEY_LEN);
    if (req->protocols.data != NULL) {
        hf_buf_puts(out, "\r\nSec-WebSocket-Protocol: ");
        hf_buf_put_str(out, req->protocols);
    }
    if (req->deflate)
        hf_buf_puts(out, "\r\nSec-WebSocket-Extensions: " HF_DEFLATE_OFFER);
    hf_buf_puts(out, "\r\n");
    hf_buf_put_str(out, req->extra_headers);
    hf_buf_puts(out, "\r\n");
    return out->failed ? HF_ELIMIT : 0;
}

/* Section 4.1: an extension "that was not present in the client's handshake" fails the connection. Returns what is wrong, or NULL. */
static const char *take_extensions(struct hf_http_head *head, struct hf_handshake_response *r,
                                   bool deflate_offered)
{
    struct hf_str answer = hf_http_joined(head, HF_STR("Sec-WebSocket-Extensions"));

    if (answer.data != NULL && !deflate_offered)
        return "101 with an extension that was not asked for";
    return hf_deflate_accepted(answer, &r->deflate) < 0
               ? "101 with an extension on other terms than asked for"
               : NULL;
}

/* Section 4.1, the client's checks of a 101. Returns what is wrong, or NULL. */
static const char *accept_error(struct hf_http_head *head, struct hf_handshake_response *r, const char *key,
                                bool deflate_offered)
{
    const char *wrong = take_extensions(head, r, deflate_offered); /* First, for joining moves the others. */
    struct hf_str accept;
    char want[HF_WS_ACCEPT_LEN];

    if (!hf_http_has_token(head, HF_STR("Upgrade"), HF_STR("websocket")))
        return "101 without Upgrade: websocket";
    if (!hf_http_has_token(head, HF_STR("Connection"), HF_STR("upgrade")))
        return "101 without Connection: Upgrade";
    hf_handshake_accept_key((struct hf_str){key, HF_WS_KEY_LEN}, want);
    if (hf_http_once(head, HF_STR("Sec-WebSocket-Accept"), &accept) < 0 ||
        !hf_str_eq(accept, (struct hf_str){want, sizeof(want)}))
        return "101 with a wrong Sec-WebSocket-Accept";
    if (wrong != NULL)
        return wrong;
    if (hf_http_once(head, HF_STR("Sec-WebSocket-Protocol"), &r->protocol) < 0)
        return "101 with two subprotocols";
    return NULL;
}

/*
 * A field that is a number, at most UINT32_MAX; 0 where it is none, or missing. Of Retry-After so its other form, a date, counts as none, and more than 32 bits
 * hold is "very late" all the same.
 */
static uint32_t number_of(struct hf_http_head *head, struct hf_str name)
{
    struct hf_str value;
    uint64_t number = 0;

    if (hf_http_once(head, name, &value) < 0)
        return 0;
    for (size_t i = 0; i < value.len; i++) {
        if (value.data[i] < '0' || value.data[i] > '9')
            return 0;
        number = number * 10 + (uint64_t)(value.data[i] - '0');
        if (number > UINT32_MAX)
            number = UINT32_MAX;
    }
    return (uint32_t)number;
}

/* One head. Returns as hf_handshake_parse_response(). */
static int parse_head(struct hf_handshake_response *r, struct hf_http_head *head, const char *key,
                      bool deflate_offered)
{
    struct hf_str line;
    bool http_1_1 = false;
    int got, status;

    if (!hf_http_can_be_status_line(head->data, head->len))
        return hf_http_fail(head, 0, "not an HTTP response");
    got = hf_http_line(head, &line);
    if (got <= 0)
        return got;
    status = hf_http_read_status(line, &http_1_1);
    if (status == 0 || (status == 101 && !http_1_1))
        return hf_http_fail(head, 0, "malformed status line");
    got = hf_http_fields(head);
    if (got <= 0)
        return got;
    r->status = status;
    if (status == 101) {
        head->reason = accept_error(head, r, key, deflate_offered);
    } else {
        r->retry_after_s = number_of(head, HF_STR("Retry-After"));
        r->body_len = number_of(head, HF_STR("Content-Length"));
    }
    return status == 101 && head->reason != NULL ? HF_EBADMSG : (int)head->pos;
}

int hf_handshake_parse_response(struct hf_handshake_response *r, char *data, size_t len,
                                const char key[HF_WS_KEY_LEN], bool deflate_offered)
{
    struct hf_http_head head;
    size_t taken = 0;
    int got;

    /* RFC 9110 section 15.2: a client must be able to take 1xx answers ahead of the final one; a 101 is final here. */
    do {
        *r = (struct hf_handshake_response){0};
        hf_http_init(&head, data + taken, len - taken);
        got = parse_head(r, &head, key, deflate_offered);
        if (got < 0)
            r->reason = head.reason;
        if (got <= 0)
            return got;
        taken += (size_t)got;
    } while (r->status < 200 && r->status != 101);
    return (int)taken;
}
