/* What a server answers: the 101 and the refusals. */
#include "ws/handshake.h"

#include "base/assert.h"
#include "ws/utf8.h"

#include <openssl/evp.h>
#include <openssl/sha.h>

void hf_handshake_accept_key(struct hf_str key, char out[HF_WS_ACCEPT_LEN])
{
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    uint8_t joined[HF_WS_KEY_LEN + sizeof(guid) - 1], digest[SHA_DIGEST_LENGTH] = {0};
    uint8_t text[HF_WS_ACCEPT_LEN + 1]; /* EVP_EncodeBlock() writes a NUL. */

    hf_assert(key.len == HF_WS_KEY_LEN);
    memcpy(joined, key.data, HF_WS_KEY_LEN);
    memcpy(joined + HF_WS_KEY_LEN, guid, sizeof(guid) - 1);
    SHA1(joined, sizeof(joined), digest);
    EVP_EncodeBlock(text, digest, sizeof(digest));
    memcpy(out, text, HF_WS_ACCEPT_LEN);
}

bool hf_handshake_works(void)
{
    static const char key[] = "dGhlIHNhbXBsZSBub25jZQ==", want[] = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
    char accept[HF_WS_ACCEPT_LEN];

    hf_handshake_accept_key((struct hf_str){key, HF_WS_KEY_LEN}, accept);
    return memcmp(accept, want, HF_WS_ACCEPT_LEN) == 0;
}

/* Whether the buffer took all that was appended. */
static int result(const struct hf_buf *out)
{
    return out->failed ? HF_ELIMIT : 0;
}

int hf_handshake_put_accept(struct hf_buf *out, struct hf_str key, struct hf_str protocol,
                            const struct hf_deflate_terms *deflate)
{
    char accept[HF_WS_ACCEPT_LEN], text[HF_DEFLATE_ANSWER_MAX];
    struct hf_str extensions = {0};

    hf_handshake_accept_key(key, accept);
    hf_buf_puts(out, "HTTP/1.1 101 Switching Protocols\r\n"
                     "Upgrade: websocket\r\n"
                     "Connection: Upgrade\r\n"
                     "Sec-WebSocket-Accept: ");
    hf_buf_put(out, accept, sizeof(accept));
    if (protocol.data != NULL) {
        hf_buf_puts(out, "\r\nSec-WebSocket-Protocol: ");
        hf_buf_put_str(out, protocol);
    }
    if (deflate != NULL)
        extensions = hf_deflate_answer(deflate, text);
    if (extensions.data != NULL) {
        hf_buf_puts(out, "\r\nSec-WebSocket-Extensions: ");
        hf_buf_put_str(out, extensions);
    }
    hf_buf_puts(out, "\r\n\r\n");
    return result(out);
}

/* RFC 9110 section 15 and RFC 6585. */
static const char *status_text(int status)
{
    static const struct {
        int status;
        const char *text;
    } texts[] = {
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {414, "URI Too Long"},
        {426, "Upgrade Required"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {503, "Service Unavailable"},
        {505, "HTTP Version Not Supported"},
    };

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (texts[i].status == status)
            return texts[i].text;
    }
    return "Error";
}

/* A reason may quote what a peer sent: what is not UTF-8 as a whole loses all that is not ASCII. */
static void put_json_string(struct hf_buf *out, const char *s)
{
    bool utf8 = hf_utf8_valid((const uint8_t *)s, strlen(s));

    hf_buf_puts(out, "\"");
    for (; *s != '\0'; s++) {
        uint8_t c = (uint8_t)*s;

        if (c == '"' || c == '\\')
            hf_buf_putf(out, "\\%c", c);
        else if (c < 0x20)
            hf_buf_putf(out, "\\u%04x", c);
        else
            hf_buf_put(out, c >= 0x80 && !utf8 ? "?" : s, 1);
    }
    hf_buf_puts(out, "\"");
}

static void put_refusal_head(struct hf_buf *out, int status, size_t body_bytes, unsigned retry_after_s)
{
    hf_buf_putf(out,
                "HTTP/1.1 %d %s\r\n"
                "Content-Type: application/json\r\n"
                "Content-Length: %zu\r\n",
                status, status_text(status), body_bytes);
    if (status == 426)
        hf_buf_puts(out, "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n");
    if (status == 405)
        hf_buf_puts(out, "Allow: GET\r\n");
    /* RFC 9110 section 15.5.2: a 401 "MUST send a WWW-Authenticate header field". */
    if (status == 401)
        hf_buf_puts(out, "WWW-Authenticate: Bearer\r\n");
    if (retry_after_s > 0)
        hf_buf_putf(out, "Retry-After: %u\r\n", retry_after_s);
    /* RFC 9110 section 7.8: "A sender of Upgrade MUST also send an "Upgrade" connection option". */
    hf_buf_puts(out, status == 426 ? "Connection: close, Upgrade\r\n\r\n" : "Connection: close\r\n\r\n");
}

int hf_handshake_put_refusal(struct hf_buf *out, int status, const char *code, const char *reason,
                             unsigned retry_after_s)
{
    struct hf_buf body;

    hf_buf_init(&body, out->bytes_max);
    hf_buf_puts(&body, "{\"code\":");
    put_json_string(&body, code);
    hf_buf_puts(&body, ",\"reason\":");
    put_json_string(&body, reason);
    hf_buf_puts(&body, "}");
    put_refusal_head(out, status, body.len, retry_after_s);
    hf_buf_put_str(out, hf_buf_str(&body));
    if (body.failed)
        out->failed = true;
    hf_buf_release(&body);
    return result(out);
}
