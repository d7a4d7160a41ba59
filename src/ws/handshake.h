/*
 * handshake.h - the opening handshake of RFC 6455 section 4, both sides, over HTTP/1.1 (RFC 9112).
 * Pure: a request or response lies in the caller's buffer and is parsed in place; results are borrowed from it.
 */
#ifndef HF_WS_HANDSHAKE_H
#define HF_WS_HANDSHAKE_H

#include "base/buf.h"
#include "base/str.h"
#include "ws/extension.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    HF_HTTP_HEAD_MAX = 8192, /* bytes of a request head; longer: 431. As nginx's and HAProxy's defaults */
    HF_HTTP_HEADERS_MAX = 100,
    HF_HTTP_HEAD_CEILING = 64 * 1024, /* what they may be raised to */
    HF_HTTP_HEADERS_CEILING = 256,
    HF_WS_KEY_LEN = 24,    /* base64 of 16 bytes */
    HF_WS_ACCEPT_LEN = 28, /* base64 of a SHA-1 */
};

/* A client's request, as far as an upgrade needs it. Absent strings have data NULL. Header values are trimmed. */
struct hf_handshake {
    struct hf_str method, target, path, query; /* query without '?'; path is not decoded */
    struct hf_str host, origin, key, cookie;   /* cookie: the first line of Cookie */
    struct hf_str protocols; /* all Sec-WebSocket-Protocol lines, joined with ", " in place or the only one */
    struct hf_str authorization; /* the whole value, "Bearer ..." */
    struct hf_str resume;        /* Holdfast-Resume */
    struct hf_str attempt;       /* Holdfast-Attempt */
    struct hf_str forwarded_for; /* X-Forwarded-For, joined likewise */
    struct hf_str forwarded;     /* Forwarded (RFC 7239), joined likewise */
    struct hf_deflate_terms
        deflate;        /* what can be agreed on of Sec-WebSocket-Extensions; the server may go without */
    int status;         /* on HF_EBADMSG: the HTTP status to answer with: 400, 405, 414, 426, 431, 505 */
    const char *reason; /* on HF_EBADMSG: what was wrong, for the answer's body */
};

/*
 * Parse a request head. Returns the number of bytes it takes (up to and with the empty line), 0 where it is not
 * whole yet, or HF_EBADMSG with status and reason set. data may be written to (joining and trimming).
 * Checked: request line, HTTP/1.1, GET, Host (exactly one), Upgrade and Connection tokens, key (16 bytes in base64, exactly
 * one), version 13 (else 426), no body (Content-Length other than 0, Transfer-Encoding: 400), no bare CR or LF, no NUL, no
 * folded lines, no white space before the colon, token characters in names, size and number of headers, the grammar of extensions. A request that does not ask
 * for a WebSocket upgrade at all is 426 with reason; what is certainly no HTTP (first bytes no token) is refused without waiting for its end.
 */
int hf_handshake_parse(struct hf_handshake *h, char *data, size_t len);
/* The same with other bounds than HF_HTTP_HEAD_MAX and HF_HTTP_HEADERS_MAX, up to the ceilings. */
int hf_handshake_parse_within(struct hf_handshake *h, char *data, size_t len, size_t head_bytes_max,
                              size_t headers_max);

/*
 * Walk a comma-separated list of tokens: take the next one off *rest. Returns false at the end. Empty elements are skipped.
 */
bool hf_handshake_next_token(struct hf_str *rest, struct hf_str *token);

/* The first value of a key in a query string ("a=1&b=2"), percent-decoded (a plus sign stays one) into out (cap bytes, no
 * NUL). Returns its length, HF_ENOTFOUND, or HF_EBADMSG (bad escape, longer than cap). */
int hf_query_get(struct hf_str query, const char *key, char *out, size_t cap);

/* Sec-WebSocket-Accept for a key: base64(SHA-1(key + GUID)), section 4.2.2. */
void hf_handshake_accept_key(struct hf_str key, char out[HF_WS_ACCEPT_LEN]);

/*
 * Whether OpenSSL gives the right answer to section 1.3's example: it does not where its configuration withholds SHA-1. Asked before a server forks, it
 * makes the library ready for all of its processes, which then share that memory.
 */
bool hf_handshake_works(void);

/* Append the 101 answer. protocol with data NULL: none is named. deflate: the terms that both keep from now on; NULL: no extension. */
int hf_handshake_put_accept(struct hf_buf *out, struct hf_str key, struct hf_str protocol,
                            const struct hf_deflate_terms *deflate);

/*
 * Append a whole refusal: status line, `Content-Type: application/json`, `Content-Length`, `Connection: close`, for 426 also
 * `Upgrade: websocket` and `Sec-WebSocket-Version: 13`, for 405 `Allow: GET`, for 401
 * `WWW-Authenticate: Bearer`, `Retry-After` where retry_after_s > 0, and the body
 * {"code":CODE,"reason":REASON} (reason JSON-escaped).
 */
int hf_handshake_put_refusal(struct hf_buf *out, int status, const char *code, const char *reason,
                             unsigned retry_after_s);

/* What a client asks for. All borrowed. */
struct hf_handshake_request {
    struct hf_str host;          /* "name:port" as for the Host header */
    struct hf_str target;        /* "/ws" */
    const uint8_t *nonce;        /* 16 random bytes for the key */
    struct hf_str protocols;     /* value of Sec-WebSocket-Protocol; data NULL: none */
    bool deflate;                /* offer HF_DEFLATE_OFFER */
    struct hf_str extra_headers; /* complete lines with CRLF, or empty */
};

/* Append the request; key_out gets the key, to be checked in the response. HF_EINVAL where a part would end its line or the
 * head, so that nothing from outside can add to the request. */
int hf_handshake_put_request(struct hf_buf *out, const struct hf_handshake_request *req,
                             char key_out[HF_WS_KEY_LEN]);

struct hf_handshake_response {
    int status;             /* 101, or why not */
    struct hf_str protocol; /* the chosen subprotocol, data NULL: none */
    struct hf_deflate_terms deflate;
    uint32_t retry_after_s; /* 0: none given */
    uint64_t body_len; /* of another answer than 101: its Content-Length; 0: none, or none that is a number */
    const char *reason; /* on HF_EBADMSG: what was wrong */
};

/*
 * Parse a response head. Returns its bytes, 0 where it is not whole yet, HF_EBADMSG where it is no answer to our request:
 * a 101 without the right Sec-WebSocket-Accept, Upgrade, Connection, or with an extension that was not asked for, or not so.
 * Whether the subprotocol is one of those asked for is the caller's to check. Interim answers (1xx but 101) are skipped.
 * Any other status is no error: status says it; retry_after_s is set from a Retry-After in seconds, and body_len tells what follows the head.
 */
int hf_handshake_parse_response(struct hf_handshake_response *r, char *data, size_t len,
                                const char key[HF_WS_KEY_LEN], bool deflate_offered);

#endif
