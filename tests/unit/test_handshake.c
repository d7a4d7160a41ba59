/*
 * test_handshake.c - the opening handshake, both sides. Each request and each answer is parsed whole and after every prefix of it, in
 * heap blocks of the exact size; the verdict must be the same whenever it comes.
 */
#include "base/err.h"
#include "ws/handshake.h"
#include "ws/http_head.h"

#include <jansson.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define RFC_KEY "dGhlIHNhbXBsZSBub25jZQ==" /* RFC 6455 section 1.3 */
#define RFC_ACCEPT "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

#define HOST "Host: example.com\r\n"
#define UPGRADE "Upgrade: websocket\r\nConnection: Upgrade\r\n"
#define KEY "Sec-WebSocket-Key: " RFC_KEY "\r\n"
#define VERSION "Sec-WebSocket-Version: 13\r\n"
#define LINE "GET /ws HTTP/1.1\r\n"
#define ALL HOST UPGRADE KEY VERSION
#define END "\r\n"

/* A request that literals cannot hold otherwise: with a NUL, or made at run time. */
static char *copy_of(const char *data, size_t len)
{
    char *copy = malloc(len > 0 ? len : 1);

    assert_non_null(copy);
    memcpy(copy, data, len);
    return copy;
}

static int parse_prefix(const char *request, size_t len, struct hf_handshake *h, char **data)
{
    *data = copy_of(request, len);
    return hf_handshake_parse(h, *data, len);
}

/* A refusal may come before the end, but from there on it stays the same one. */
static void expect_refusal_of(const char *request, size_t len, int status, const char *reason)
{
    bool refused = false;
    struct hf_handshake h;
    char *data;

    for (size_t n = 0; n <= len; n++) {
        int got = parse_prefix(request, n, &h, &data);

        free(data);
        if (got == 0 && !refused)
            continue;
        refused = true;
        if (got != HF_EBADMSG || h.status != status || strcmp(h.reason, reason) != 0)
            fail_msg("%zu bytes of \"%.60s\": %d, %d %s instead of %d %s", n, request, got, h.status,
                     got < 0 ? h.reason : "", status, reason);
    }
    if (!refused)
        fail_msg("not refused: %s", request);
}

static void expect_refusal(const char *request, int status, const char *reason)
{
    expect_refusal_of(request, strlen(request), status, reason);
}

/* Parses the request, which nothing may be wrong with, and each prefix, which is not whole. *data is the caller's to free. */
static void accept_request(const char *request, struct hf_handshake *h, char **data)
{
    size_t len = strlen(request);

    for (size_t n = 0; n < len; n++) {
        int got = parse_prefix(request, n, h, data);

        if (got != 0)
            fail_msg("%zu bytes of \"%s\": %d %s", n, request, got, got < 0 ? h->reason : "");
        /* The same buffer is parsed again when more is there, so it must be as it was. */
        assert_memory_equal(*data, request, n);
        free(*data);
    }
    if (parse_prefix(request, len, h, data) != (int)len)
        fail_msg("\"%s\": %d %s", request, h->status, h->reason);
}

static void assert_str(struct hf_str got, const char *want)
{
    if (want == NULL) {
        assert_null(got.data);
        return;
    }
    assert_non_null(got.data);
    if (!hf_str_eq(got, hf_str_from(want)))
        fail_msg("\"%.*s\" instead of \"%s\"", (int)got.len, got.data, want);
}

/* RFC 6455 section 1.2. */
static void the_request_of_the_rfc(void **state)
{
    struct hf_handshake h;
    char *data;

    (void)state;
    accept_request("GET /chat HTTP/1.1\r\n"
                   "Host: server.example.com\r\n"
                   "Upgrade: websocket\r\n"
                   "Connection: Upgrade\r\n"
                   "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                   "Origin: http://example.com\r\n"
                   "Sec-WebSocket-Protocol: chat, superchat\r\n"
                   "Sec-WebSocket-Version: 13\r\n"
                   "\r\n",
                   &h, &data);
    assert_str(h.method, "GET");
    assert_str(h.target, "/chat");
    assert_str(h.path, "/chat");
    assert_str(h.query, NULL);
    assert_str(h.host, "server.example.com");
    assert_str(h.origin, "http://example.com");
    assert_str(h.key, RFC_KEY);
    assert_str(h.protocols, "chat, superchat");
    assert_str(h.authorization, NULL);
    assert_str(h.resume, NULL);
    assert_str(h.attempt, NULL);
    assert_str(h.forwarded_for, NULL);
    free(data);
}

/* Names and tokens in any case, lists over several lines, white space, and what other software adds. */
static void a_request_in_other_clothes(void **state)
{
    struct hf_handshake h;
    char *data;

    (void)state;
    accept_request("GET /a/%2e?token=x&y=? HTTP/1.1\r\n"
                   "hOST:example.com:8000\r\n"
                   "UPGRADE: h2c\r\n"
                   "Upgrade: foo/1 ,,\tWebSocket\t\r\n"
                   "Connection: keep-alive\r\n"
                   "Connection: close, upgRADE\r\n"
                   "Content-Length: 0\r\n"
                   "X-Empty:\r\n"
                   "X-Bytes: \xc3\xa4\xff\r\n"
                   "Authorization:\t Bearer a.b.c \t\r\n"
                   "Holdfast-Resume: ticket\r\n"
                   "Holdfast-Attempt: 7\r\n"
                   "X-Forwarded-For: 10.0.0.1, 10.0.0.2\r\n" KEY VERSION END,
                   &h, &data);
    assert_str(h.target, "/a/%2e?token=x&y=?");
    assert_str(h.path, "/a/%2e");
    assert_str(h.query, "token=x&y=?");
    assert_str(h.host, "example.com:8000");
    assert_str(h.authorization, "Bearer a.b.c");
    assert_str(h.resume, "ticket");
    assert_str(h.attempt, "7");
    assert_str(h.forwarded_for, "10.0.0.1, 10.0.0.2");
    assert_str(h.protocols, NULL);
    free(data);
}

/* Lines of a list are joined in place, and what lies between them moves without harm. */
static void list_lines_are_joined(void **state)
{
    struct hf_handshake h;
    char *data;

    (void)state;
    accept_request(LINE "Sec-WebSocket-Protocol: holdfast.v1.json\r\n"
                        "X-Forwarded-For: 10.0.0.1\r\n" KEY HOST "sec-websocket-protocol: \r\n"
                        "Origin: https://a.example\r\n"
                        "Sec-WebSocket-Protocol:hf.token.abc , hf.resume.t \r\n"
                        "X-Forwarded-For: 10.0.0.2\r\n" UPGRADE "Holdfast-Resume: ticket\r\n"
                        "Sec-WebSocket-Protocol: hf.attempt.3\r\n" VERSION
                        "X-Forwarded-For: 10.0.0.3\r\n" END,
                   &h, &data);
    assert_str(h.protocols, "holdfast.v1.json, , hf.token.abc , hf.resume.t, hf.attempt.3");
    assert_str(h.forwarded_for, "10.0.0.1, 10.0.0.2, 10.0.0.3");
    assert_str(h.key, RFC_KEY);
    assert_str(h.host, "example.com");
    assert_str(h.origin, "https://a.example");
    assert_str(h.resume, "ticket");
    free(data);
}

/* Lists whose lines lie within one another's, the first of the later-joined one ahead. */
static void list_lines_that_lie_crosswise(void **state)
{
    struct hf_handshake h;
    char *data;

    (void)state;
    accept_request(LINE "X-Forwarded-For: one\r\n"
                        "Sec-WebSocket-Protocol: a\r\n"
                        "Sec-WebSocket-Protocol: b\r\n"
                        "Sec-WebSocket-Protocol: c\r\n"
                        "X-Forwarded-For: two\r\n" ALL "Sec-WebSocket-Protocol: d\r\n" END,
                   &h, &data);
    assert_str(h.protocols, "a, b, c, d");
    assert_str(h.forwarded_for, "one, two");
    assert_str(h.host, "example.com");
    free(data);
}

/* RFC 9112 section 3.2.2: the target's authority stands in for the Host field. */
/* RFC 6455 section 9.1: several lines of extensions are as one, and lie among the other lists. */
static void extensions_of_several_lines(void **state)
{
    struct hf_handshake h;
    char *data;

    (void)state;
    accept_request(LINE ALL END, &h, &data);
    assert_int_equal(h.deflate.server_window_bits, 0);
    free(data);
    accept_request(LINE "Sec-WebSocket-Extensions: x-unknown\r\nX-Forwarded-For: one\r\n"
                        "Sec-WebSocket-Protocol: a\r\nsec-websocket-extensions: permessage-deflate; x\r\n"
                        "Sec-WebSocket-Protocol: b\r\nX-Forwarded-For: two\r\n" ALL
                        "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=12\r\n" END,
                   &h, &data);
    assert_int_equal(h.deflate.server_window_bits, 12);
    assert_str(h.protocols, "a, b");
    assert_str(h.forwarded_for, "one, two");
    free(data);
    accept_request(LINE "Sec-WebSocket-Extensions:\r\n" ALL
                        "Sec-WebSocket-Extensions: permessage-deflate\r\n" END,
                   &h, &data);
    assert_int_equal(h.deflate.server_window_bits, 15);
    free(data);
    expect_refusal(LINE ALL "Sec-WebSocket-Extensions:\r\n" END, 400, "malformed Sec-WebSocket-Extensions");
    expect_refusal(LINE ALL
                   "Sec-WebSocket-Extensions: permessage-deflate\r\nSec-WebSocket-Extensions: x y\r\n" END,
                   400, "malformed Sec-WebSocket-Extensions");
    expect_refusal(LINE ALL "Sec-WebSocket-Extensions: permessage-deflate;\r\n" END, 400,
                   "malformed Sec-WebSocket-Extensions");
}

static void targets_in_absolute_form(void **state)
{
    struct hf_handshake h;
    char *data;

    (void)state;
    accept_request("GET http://a.example:81/ws?x HTTP/1.1\r\n" ALL END, &h, &data);
    assert_str(h.host, "a.example:81");
    assert_str(h.path, "/ws");
    assert_str(h.query, "x");
    assert_str(h.target, "http://a.example:81/ws?x");
    free(data);
    accept_request("GET HTTPS://a.example?x HTTP/1.1\r\n" ALL END, &h, &data);
    assert_str(h.host, "a.example");
    assert_str(h.path, "/");
    assert_str(h.query, "x");
    free(data);
    expect_refusal("GET http:///ws HTTP/1.1\r\n" ALL END, 400, "malformed request target");
    expect_refusal("GET http://u:p@a.example/ws HTTP/1.1\r\n" ALL END, 400, "missing or malformed Host");
    expect_refusal("GET ftp://a.example/ws HTTP/1.1\r\n" ALL END, 400, "malformed request target");
    expect_refusal("GET http:/ws HTTP/1.1\r\n" ALL END, 400, "malformed request target");
}

/* What follows the head belongs to the connection, and is not counted. */
static void bytes_behind_the_head_are_left(void **state)
{
    static const char request[] = LINE ALL END "\x81\x80"
                                               "mask";
    struct hf_handshake h;
    char *data = copy_of(request, sizeof(request) - 1);

    (void)state;
    assert_int_equal(hf_handshake_parse(&h, data, sizeof(request) - 1), sizeof(request) - 1 - 6);
    assert_memory_equal(data + sizeof(request) - 1 - 6, "\x81\x80mask", 6);
    free(data);
}

static void request_lines_that_are_refused(void **state)
{
    static const struct {
        const char *line;
        int status;
        const char *reason;
    } cases[] = {
        {"GET /ws HTTP/1.0\r\n", 505, "HTTP/1.1 is needed"},
        {"GET /ws HTTP/2.0\r\n", 505, "HTTP/1.1 is needed"},
        {"GET /ws HTTP/2.1\r\n", 505, "HTTP/1.1 is needed"},
        {"PRI * HTTP/2.0\r\n", 505, "HTTP/1.1 is needed"},
        {"GET /ws HTTP/1.10\r\n", 400, "malformed request line"},
        {"GET /ws http/1.1\r\n", 400, "malformed request line"},
        {"GET /ws HTTP/1.1 \r\n", 400, "malformed request line"},
        {"GET /ws\r\n", 400, "malformed request line"},
        {"GET  /ws HTTP/1.1\r\n", 400, "malformed request line"},
        {"GET /w s HTTP/1.1\r\n", 400, "malformed request line"},
        {"GET\t/ws HTTP/1.1\r\n", 400, "not an HTTP request"},
        {"GET\r\n", 400, "not an HTTP request"},
        {" GET /ws HTTP/1.1\r\n", 400, "not an HTTP request"},
        {"\r\n", 400, "not an HTTP request"},
        {"\n", 400, "not an HTTP request"},
        {"\x16\x03\x01\x02", 400, "not an HTTP request"}, /* TLS */
        {"G\xc3\x8bT /ws HTTP/1.1\r\n", 400, "not an HTTP request"},
        {"POST /ws HTTP/1.1\r\n", 405, "only GET is served here"},
        {"get /ws HTTP/1.1\r\n", 405, "only GET is served here"},
        {"OPTIONS * HTTP/1.1\r\n", 405, "only GET is served here"},
        {"CONNECT a:80 HTTP/1.1\r\n", 405, "only GET is served here"},
        {"GET ws HTTP/1.1\r\n", 400, "malformed request target"},
        {"GET * HTTP/1.1\r\n", 400, "malformed request target"},
        {"GET /ws#top HTTP/1.1\r\n", 400, "malformed request target"},
        {"GET /w\xc3\xa4 HTTP/1.1\r\n", 400, "malformed request target"},
        {"GET /w\ts HTTP/1.1\r\n", 400, "malformed request target"},
        {"GET /w\rs HTTP/1.1\r\n", 400, "malformed request target"},
        {"GET /w\x7fs HTTP/1.1\r\n", 400, "malformed request target"},
        {"GET /ws HTTP/1.1\n", 400, "line feed without carriage return"},
    };
    char request[512];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        snprintf(request, sizeof(request), "%s%s", cases[i].line, ALL END);
        expect_refusal(request, cases[i].status, cases[i].reason);
    }
    /* What cannot begin a request is refused with its first byte. */
    expect_refusal("\x16", 400, "not an HTTP request");
}

static void fields_that_are_refused(void **state)
{
    static const char twice[] = "header given twice that may stand only once";
    static const struct {
        const char *fields;
        int status;
        const char *reason;
    } cases[] = {
        {UPGRADE KEY VERSION, 400, "missing or malformed Host"},
        {HOST HOST UPGRADE KEY VERSION, 400, twice},
        {"Host:\r\n" UPGRADE KEY VERSION, 400, "missing or malformed Host"},
        {"Host: a b\r\n" UPGRADE KEY VERSION, 400, "missing or malformed Host"},
        {"Host: a,b\r\n" UPGRADE KEY VERSION, 400, "missing or malformed Host"},
        {"Host: u@a\r\n" UPGRADE KEY VERSION, 400, "missing or malformed Host"},
        {"Host: a/b\r\n" UPGRADE KEY VERSION, 400, "missing or malformed Host"},
        {HOST, 426, "this is a WebSocket endpoint"},
        {HOST "Connection: Upgrade\r\n" KEY VERSION, 426, "this is a WebSocket endpoint"},
        {HOST "Upgrade: websockets\r\nConnection: Upgrade\r\n" KEY VERSION, 426,
         "this is a WebSocket endpoint"},
        {HOST "Upgrade: websocket\r\n" KEY VERSION, 400, "Connection does not name Upgrade"},
        {HOST "Upgrade: websocket\r\nConnection: keep-alive\r\n" KEY VERSION, 400,
         "Connection does not name Upgrade"},
        {HOST UPGRADE KEY, 426, "WebSocket version 13 is needed"},
        {HOST UPGRADE KEY "Sec-WebSocket-Version: 8\r\n", 426, "WebSocket version 13 is needed"},
        {HOST UPGRADE KEY "Sec-WebSocket-Version: 13, 8\r\n", 426, "WebSocket version 13 is needed"},
        {HOST UPGRADE KEY "Sec-WebSocket-Version: 013\r\n", 426, "WebSocket version 13 is needed"},
        {HOST UPGRADE KEY VERSION VERSION, 400, twice},
        {HOST UPGRADE VERSION, 400, "missing or malformed Sec-WebSocket-Key"},
        {HOST UPGRADE VERSION KEY KEY, 400, twice},
        {HOST UPGRADE VERSION "Sec-WebSocket-Key:\r\n", 400, "missing or malformed Sec-WebSocket-Key"},
        {HOST UPGRADE VERSION "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=\r\n", 400,
         "missing or malformed Sec-WebSocket-Key"},
        {HOST UPGRADE VERSION "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQA=\r\n", 400,
         "missing or malformed Sec-WebSocket-Key"},
        {HOST UPGRADE VERSION "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25-ZQ==\r\n", 400,
         "missing or malformed Sec-WebSocket-Key"},
        {HOST UPGRADE VERSION "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==A\r\n", 400,
         "missing or malformed Sec-WebSocket-Key"},
        {ALL "Origin: a\r\nOrigin: b\r\n", 400, twice},
        {ALL "Authorization: Bearer a\r\nAuthorization: Bearer b\r\n", 400, twice},
        {ALL "Holdfast-Resume: a\r\nHoldfast-Resume: b\r\n", 400, twice},
        {ALL "Holdfast-Attempt: 1\r\nHoldfast-Attempt: 2\r\n", 400, twice},
    };
    char request[1024];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        snprintf(request, sizeof(request), LINE "%s" END, cases[i].fields);
        expect_refusal(request, cases[i].status, cases[i].reason);
    }
}

/* Each of these has been used to make two servers in a row see different requests. */
static void smuggled_requests(void **state)
{
    static const struct {
        const char *fields;
        const char *reason;
    } cases[] = {
        {"Content-Length: 5\r\n", "request with a body"},
        {"Content-Length: 00\r\n", "request with a body"},
        {"Content-Length: +0\r\n", "request with a body"},
        {"Content-Length: 0, 0\r\n", "request with a body"},
        {"Content-Length:\r\n", "request with a body"},
        {"Content-Length: 0\r\nContent-Length: 5\r\n", "request with a body"},
        {"Transfer-Encoding: chunked\r\n", "request with a body"},
        {"transfer-encoding: identity\r\n", "request with a body"},
        {"Content-Length: 0\r\nTransfer-Encoding: \r\n", "request with a body"},
        {"Transfer-Encoding : chunked\r\n", "malformed header name"},
        {"Content-Length\t: 5\r\n", "malformed header name"},
        {"Transfer-Encoding\r\n", "malformed header name"},
        {": empty\r\n", "malformed header name"},
        {"X(Y): comment\r\n", "malformed header name"},
        {"X\xc3\xa4: y\r\n", "malformed header name"},
        {"\rX: y\r\n", "malformed header name"},
        {"X: y\r\n Transfer-Encoding: chunked\r\n", "folded header line"},
        {"X: y\r\n\tz\r\n", "folded header line"},
        {" \r\n", "folded header line"},
        {"X: y\nTransfer-Encoding: chunked\r\n", "line feed without carriage return"},
        {"X: y\n", "line feed without carriage return"},
        {"\n", "line feed without carriage return"},
        {"X: y\rTransfer-Encoding: chunked\r\n", "control character in a header"},
        {"X: y\r\r\n", "control character in a header"},
        {"X: \x01\r\n", "control character in a header"},
        {"X: \x7f\r\n", "control character in a header"},
    };
    static const char nul_in_value[] = LINE HOST "X: a\0b\r\n" UPGRADE KEY VERSION END;
    static const char nul_in_name[] = LINE HOST "X\0: ab\r\n" UPGRADE KEY VERSION END;
    static const char nul_in_target[] = "GET /\0 HTTP/1.1\r\n" ALL END;
    char request[1024];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        snprintf(request, sizeof(request), LINE HOST "%s" UPGRADE KEY VERSION END, cases[i].fields);
        expect_refusal(request, 400, cases[i].reason);
    }
    expect_refusal_of(nul_in_value, sizeof(nul_in_value) - 1, 400, "control character in a header");
    expect_refusal_of(nul_in_name, sizeof(nul_in_name) - 1, 400, "malformed header name");
    expect_refusal_of(nul_in_target, sizeof(nul_in_target) - 1, 400, "malformed request target");
}

/* Writes a request whose head has exactly `bytes` bytes. */
static void request_of(char *out, size_t bytes)
{
    static const char before[] = LINE ALL "X: ", after[] = "\r\n\r\n";

    memset(out, 'x', bytes);
    memcpy(out, before, sizeof(before) - 1);
    memcpy(out + bytes - (sizeof(after) - 1), after, sizeof(after)); /* with its NUL */
}

static void long_heads(void **state)
{
    static char request[HF_HTTP_HEAD_MAX + 1000];
    struct hf_handshake h;
    char *data;

    (void)state;
    request_of(request, HF_HTTP_HEAD_MAX);
    assert_int_equal(parse_prefix(request, HF_HTTP_HEAD_MAX - 1, &h, &data), 0);
    free(data);
    assert_int_equal(parse_prefix(request, HF_HTTP_HEAD_MAX, &h, &data), HF_HTTP_HEAD_MAX);
    free(data);
    /* One more is too many, also where it is all there at once, and where its end will never come. */
    request_of(request, HF_HTTP_HEAD_MAX + 1);
    for (size_t len = HF_HTTP_HEAD_MAX; len <= HF_HTTP_HEAD_MAX + 1; len++) {
        assert_int_equal(parse_prefix(request, len, &h, &data), HF_EBADMSG);
        free(data);
        assert_int_equal(h.status, 431);
    }
    memset(request, 'x', sizeof(request));
    memcpy(request, "GET /", 5);
    assert_int_equal(parse_prefix(request, HF_HTTP_HEAD_MAX - 1, &h, &data), 0);
    free(data);
    assert_int_equal(parse_prefix(request, sizeof(request), &h, &data), HF_EBADMSG);
    free(data);
    assert_int_equal(h.status, 414);
}

static void many_headers(void **state)
{
    char request[4096];
    struct hf_handshake h;
    size_t len;
    char *data;

    (void)state;
    len = (size_t)snprintf(request, sizeof(request), LINE ALL); /* five fields */
    for (int i = 5; i < HF_HTTP_HEADERS_MAX; i++)
        len += (size_t)snprintf(request + len, sizeof(request) - len, "X: %d\r\n", i);
    snprintf(request + len, sizeof(request) - len, END);
    assert_int_equal(parse_prefix(request, len + 2, &h, &data), len + 2);
    free(data);
    snprintf(request + len, sizeof(request) - len, "X: one more\r\n" END);
    expect_refusal(request, 431, "too many headers");
}

static void token_characters(void **state)
{
    (void)state;
    for (int c = 0; c < 256; c++) {
        bool letter = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');

        assert_int_equal(hf_http_is_token_char((char)c),
                         letter || (c != 0 && strchr("!#$%&'*+-.^_`|~", c) != NULL));
    }
}

static void tokens_are_walked(void **state)
{
    struct hf_str rest = HF_STR(" , a,\tb c ,,d\t,"), token;

    (void)state;
    assert_true(hf_handshake_next_token(&rest, &token));
    assert_str(token, "a");
    assert_true(hf_handshake_next_token(&rest, &token));
    assert_str(token, "b c");
    assert_true(hf_handshake_next_token(&rest, &token));
    assert_str(token, "d");
    assert_false(hf_handshake_next_token(&rest, &token));
    rest = (struct hf_str){0};
    assert_false(hf_handshake_next_token(&rest, &token));
}

static void query_values(void **state)
{
    static const struct {
        const char *query, *key, *want; /* want NULL: err */
        int err;
    } cases[] = {
        {"token=abc", "token", "abc", 0},
        {"x=1&token=abc&y=2", "token", "abc", 0},
        {"token=a%20b%2F%c3%A4", "token", "a b/\xc3\xa4", 0},
        {"token=a+b", "token", "a+b", 0},
        {"token=", "token", "", 0},
        {"token=a&token=b", "token", "a", 0},
        {"token=a=b", "token", "a=b", 0},
        {"atoken=1&token", "token", NULL, HF_ENOTFOUND},
        {"tokens=1", "token", NULL, HF_ENOTFOUND},
        {"", "token", NULL, HF_ENOTFOUND},
        {"&&", "token", NULL, HF_ENOTFOUND},
        {"token=%", "token", NULL, HF_EBADMSG},
        {"token=%4", "token", NULL, HF_EBADMSG},
        {"token=%4&token=41", "token", NULL, HF_EBADMSG},
        {"token=%4g", "token", NULL, HF_EBADMSG},
        {"token=%g4", "token", NULL, HF_EBADMSG},
        {"token=12345678", "token", "12345678", 0},
        {"token=123456789", "token", NULL, HF_EBADMSG},
    };
    char out[8];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        size_t len = strlen(cases[i].query);
        char *query = copy_of(cases[i].query, len);
        int got = hf_query_get((struct hf_str){query, len}, cases[i].key, out, sizeof(out));

        if (cases[i].want == NULL) {
            assert_int_equal(got, cases[i].err);
        } else {
            assert_int_equal(got, strlen(cases[i].want));
            assert_memory_equal(out, cases[i].want, (size_t)got);
        }
        free(query);
    }
}

static void the_accept_key_of_the_rfc(void **state)
{
    char accept[HF_WS_ACCEPT_LEN];

    (void)state;
    hf_handshake_accept_key(HF_STR(RFC_KEY), accept);
    assert_memory_equal(accept, RFC_ACCEPT, HF_WS_ACCEPT_LEN);
    assert_true(hf_handshake_works());
}

static void assert_buf(struct hf_buf *b, const char *want)
{
    assert_int_equal(hf_buf_put(b, "", 1), 0);
    assert_string_equal((char *)b->data, want);
    hf_buf_release(b);
}

static void answers_that_accept(void **state)
{
    struct hf_buf b;

    (void)state;
    hf_buf_init(&b, 4096);
    assert_int_equal(hf_handshake_put_accept(&b, HF_STR(RFC_KEY), (struct hf_str){0}, NULL), 0);
    assert_buf(&b, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                   "Sec-WebSocket-Accept: " RFC_ACCEPT "\r\n\r\n");
    assert_int_equal(hf_handshake_put_accept(&b, HF_STR(RFC_KEY), HF_STR("chat"), NULL), 0);
    assert_buf(&b, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                   "Sec-WebSocket-Accept: " RFC_ACCEPT "\r\nSec-WebSocket-Protocol: chat\r\n\r\n");
    assert_int_equal(
        hf_handshake_put_accept(&b, HF_STR(RFC_KEY), (struct hf_str){0}, &(struct hf_deflate_terms){0}), 0);
    assert_buf(&b, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                   "Sec-WebSocket-Accept: " RFC_ACCEPT "\r\n\r\n");
    assert_int_equal(
        hf_handshake_put_accept(&b, HF_STR(RFC_KEY), HF_STR("chat"), &(struct hf_deflate_terms){10, true}),
        0);
    assert_buf(&b, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                   "Sec-WebSocket-Accept: " RFC_ACCEPT "\r\nSec-WebSocket-Protocol: chat\r\n"
                   "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; "
                   "client_no_context_takeover; "
                   "server_max_window_bits=10\r\n\r\n");
    hf_buf_init(&b, 100);
    assert_int_equal(hf_handshake_put_accept(&b, HF_STR(RFC_KEY), HF_STR("chat"), NULL), HF_ELIMIT);
    hf_buf_release(&b);
}

static void answers_that_refuse(void **state)
{
    struct hf_buf b;

    (void)state;
    hf_buf_init(&b, 4096);
    assert_int_equal(hf_handshake_put_refusal(&b, 426, "bad_message", "no upgrade", 0), 0);
    assert_buf(&b, "HTTP/1.1 426 Upgrade Required\r\nContent-Type: application/json\r\nContent-Length: 44\r\n"
                   "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nConnection: close, Upgrade\r\n\r\n"
                   "{\"code\":\"bad_message\",\"reason\":\"no upgrade\"}");
    assert_int_equal(hf_handshake_put_refusal(&b, 405, "c", "r", 0), 0);
    assert_buf(&b,
               "HTTP/1.1 405 Method Not Allowed\r\nContent-Type: application/json\r\nContent-Length: 25\r\n"
               "Allow: GET\r\nConnection: close\r\n\r\n{\"code\":\"c\",\"reason\":\"r\"}");
    assert_int_equal(hf_handshake_put_refusal(&b, 503, "c", "r", 12), 0);
    assert_buf(&b,
               "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nContent-Length: 25\r\n"
               "Retry-After: 12\r\nConnection: close\r\n\r\n{\"code\":\"c\",\"reason\":\"r\"}");
    assert_int_equal(hf_handshake_put_refusal(&b, 401, "c", "r", 0), 0);
    assert_buf(&b, "HTTP/1.1 401 Unauthorized\r\nContent-Type: application/json\r\nContent-Length: 25\r\n"
                   "WWW-Authenticate: Bearer\r\nConnection: close\r\n\r\n{\"code\":\"c\",\"reason\":\"r\"}");
    hf_buf_init(&b, 60); /* The body fits, the whole does not. */
    assert_int_equal(hf_handshake_put_refusal(&b, 503, "c", "r", 12), HF_ELIMIT);
    hf_buf_release(&b);
}

/* Whatever a reason quotes, the body is JSON that says it, checked with another JSON reader. */
static void reasons_are_escaped(void **state)
{
    static const struct {
        const char *reason, *read;
    } cases[] = {
        {"say \"no\" \\ \n\t\x01\x1f", "say \"no\" \\ \n\t\x01\x1f"},
        {"gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f"},
        {"\xff\"broken\xc3", "?\"broken?"},
    };
    struct hf_buf b;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *body;
        json_t *json;

        hf_buf_init(&b, 4096);
        assert_int_equal(hf_handshake_put_refusal(&b, 400, "bad_message", cases[i].reason, 0), 0);
        assert_int_equal(hf_buf_put(&b, "", 1), 0);
        body = strstr((char *)b.data, "\r\n\r\n") + 4;
        json = json_loads(body, 0, NULL);
        assert_non_null(json);
        assert_string_equal(json_string_value(json_object_get(json, "reason")), cases[i].read);
        assert_int_equal(strtoul(strstr((char *)b.data, "Content-Length: ") + 16, NULL, 10), strlen(body));
        json_decref(json);
        hf_buf_release(&b);
    }
}

/* The client */

static struct hf_handshake_request rfc_request(void)
{
    return (struct hf_handshake_request){
        .host = HF_STR("server.example.com:8000"),
        .target = HF_STR("/ws?x=1"),
        .nonce = (const uint8_t *)"the sample nonce", /* RFC_KEY decoded */
        .protocols = HF_STR("holdfast.v1.json, hf.resume.t"),
        .extra_headers = HF_STR("Holdfast-Attempt: 2\r\nOrigin: http://a\r\n"),
    };
}

/* The request is one that our own server takes, and says what was asked for. */
static void requests_are_put_and_parsed(void **state)
{
    struct hf_handshake_request req = rfc_request();
    char key[HF_WS_KEY_LEN];
    struct hf_handshake h;
    struct hf_buf b;

    (void)state;
    hf_buf_init(&b, 4096);
    assert_int_equal(hf_handshake_put_request(&b, &req, key), 0);
    assert_memory_equal(key, RFC_KEY, HF_WS_KEY_LEN);
    assert_int_equal(hf_handshake_parse(&h, (char *)b.data, b.len), b.len);
    assert_str(h.target, "/ws?x=1");
    assert_str(h.host, "server.example.com:8000");
    assert_str(h.key, RFC_KEY);
    assert_str(h.protocols, "holdfast.v1.json, hf.resume.t");
    assert_str(h.attempt, "2");
    assert_str(h.origin, "http://a");
    assert_int_equal(h.deflate.server_window_bits, 0);
    hf_buf_reset(&b);
    req.protocols = req.extra_headers = (struct hf_str){0};
    req.deflate = true;
    assert_int_equal(hf_handshake_put_request(&b, &req, key), 0);
    assert_int_equal(hf_handshake_parse(&h, (char *)b.data, b.len), b.len);
    assert_str(h.protocols, NULL);
    assert_int_equal(h.deflate.server_window_bits, 15);
    hf_buf_release(&b);
}

static void nothing_is_smuggled_into_our_request(void **state)
{
    static const char *const bad_words[] = {"", "a b", "a\r\nX: y", "a\tb", "\x7f", "\xc3\xa4"};
    static const char *const bad_lines[] = {"a\r\nX: y", "a\nb", "\x7f"};
    static const char *const bad_extra[] = {"X: y", "\r\n", "\r\nX: y\r\n", "X: y\r\n\r\nGET / HTTP/1.1\r\n",
                                            "X: y\n"};
    struct hf_handshake_request req;
    char key[HF_WS_KEY_LEN];
    struct hf_buf b;

    (void)state;
    hf_buf_init(&b, 4096);
    for (size_t i = 0; i < sizeof(bad_words) / sizeof(bad_words[0]); i++) {
        req = rfc_request();
        req.host = hf_str_from(bad_words[i]);
        assert_int_equal(hf_handshake_put_request(&b, &req, key), HF_EINVAL);
        req = rfc_request();
        req.target = hf_str_from(bad_words[i]);
        assert_int_equal(hf_handshake_put_request(&b, &req, key), HF_EINVAL);
    }
    for (size_t i = 0; i < sizeof(bad_lines) / sizeof(bad_lines[0]); i++) {
        req = rfc_request();
        req.protocols = hf_str_from(bad_lines[i]);
        assert_int_equal(hf_handshake_put_request(&b, &req, key), HF_EINVAL);
    }
    for (size_t i = 0; i < sizeof(bad_extra) / sizeof(bad_extra[0]); i++) {
        req = rfc_request();
        req.extra_headers = hf_str_from(bad_extra[i]);
        assert_int_equal(hf_handshake_put_request(&b, &req, key), HF_EINVAL);
    }
    assert_int_equal(b.len, 0);
    hf_buf_release(&b);
}

static int parse_answer(const char *answer, size_t len, struct hf_handshake_response *r, char **data)
{
    *data = copy_of(answer, len);
    return hf_handshake_parse_response(r, *data, len, RFC_KEY, false);
}

static void accept_answer(const char *answer, int status, const char *protocol, uint32_t retry_after_s)
{
    struct hf_handshake_response r;
    size_t len = strlen(answer);
    char *data;

    for (size_t n = 0; n < len; n++) {
        if (parse_answer(answer, n, &r, &data) != 0)
            fail_msg("%zu bytes of \"%s\": %s", n, answer, r.reason == NULL ? "taken" : r.reason);
        free(data);
    }
    if (parse_answer(answer, len, &r, &data) != (int)len)
        fail_msg("\"%s\": %s", answer, r.reason == NULL ? "not whole" : r.reason);
    assert_int_equal(r.status, status);
    assert_str(r.protocol, protocol);
    assert_int_equal(r.retry_after_s, retry_after_s);
    free(data);
}

static void refuse_answer(const char *answer, const char *reason)
{
    struct hf_handshake_response r;
    bool refused = false;
    char *data;

    for (size_t n = 0; n <= strlen(answer); n++) {
        int got = parse_answer(answer, n, &r, &data);

        free(data);
        if (got == 0 && !refused)
            continue;
        refused = true;
        if (got != HF_EBADMSG || strcmp(r.reason, reason) != 0)
            fail_msg("%zu bytes of \"%s\": %d %s", n, answer, got, got < 0 ? r.reason : "");
    }
    if (!refused)
        fail_msg("not refused: %s", answer);
}

#define S101 "HTTP/1.1 101 Switching Protocols\r\n"
#define ACCEPT "Sec-WebSocket-Accept: " RFC_ACCEPT "\r\n"

static void answers_that_are_taken(void **state)
{
    (void)state;
    accept_answer(S101 UPGRADE ACCEPT END, 101, NULL, 0);
    accept_answer(S101 UPGRADE ACCEPT "Sec-WebSocket-Protocol: holdfast.v1.json\r\n" END, 101,
                  "holdfast.v1.json", 0);
    accept_answer("HTTP/1.1 101\r\nconnection: keep-alive, upgrade\r\nupgrade: WebSocket\r\n" ACCEPT END, 101,
                  NULL, 0);
    accept_answer("HTTP/1.1 503 Service Unavailable\r\nRetry-After: 7\r\n" END, 503, NULL, 7);
    accept_answer("HTTP/1.0 503 \r\n" END, 503, NULL, 0);
    accept_answer("HTTP/1.1 429 x\r\nRetry-After: Fri, 31 Dec 1999 23:59:59 GMT\r\n" END, 429, NULL, 0);
    accept_answer("HTTP/1.1 429 x\r\nRetry-After: 99999999999999999999999\r\n" END, 429, NULL, UINT32_MAX);
    accept_answer("HTTP/1.1 429 x\r\nRetry-After: -1\r\n" END, 429, NULL, 0);
    accept_answer("HTTP/1.1 200 OK\r\nSec-WebSocket-Accept: no\r\n" END, 200, NULL, 0);
    /* RFC 9110 section 15.2: interim answers come before the final one. */
    accept_answer(
        "HTTP/1.1 103 Early Hints\r\nRetry-After: 5\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n" S101 UPGRADE ACCEPT
            END,
        101, NULL, 0);
}

static void answers_that_are_refused(void **state)
{
    (void)state;
    refuse_answer(S101 "Connection: Upgrade\r\n" ACCEPT END, "101 without Upgrade: websocket");
    refuse_answer(S101 "Upgrade: h2c\r\nConnection: Upgrade\r\n" ACCEPT END,
                  "101 without Upgrade: websocket");
    refuse_answer(S101 "Upgrade: websocket\r\n" ACCEPT END, "101 without Connection: Upgrade");
    refuse_answer(S101 UPGRADE END, "101 with a wrong Sec-WebSocket-Accept");
    refuse_answer(S101 UPGRADE ACCEPT ACCEPT END, "101 with a wrong Sec-WebSocket-Accept");
    refuse_answer(S101 UPGRADE "Sec-WebSocket-Accept: S3PPLMBITXAQ9KYGZZHZRBK+XOO=\r\n" END,
                  "101 with a wrong Sec-WebSocket-Accept");
    refuse_answer(S101 UPGRADE ACCEPT "Sec-WebSocket-Extensions: permessage-deflate\r\n" END,
                  "101 with an extension that was not asked for");
    refuse_answer(S101 UPGRADE ACCEPT "Sec-WebSocket-Extensions: x\r\n" END,
                  "101 with an extension that was not asked for");
    refuse_answer(S101 UPGRADE ACCEPT "Sec-WebSocket-Protocol: a\r\nSec-WebSocket-Protocol: b\r\n" END,
                  "101 with two subprotocols");
    refuse_answer("HTTP/1.0 101 x\r\n" UPGRADE ACCEPT END, "malformed status line");
    refuse_answer("HTTP/1.1 1010 x\r\n" UPGRADE ACCEPT END, "malformed status line");
    refuse_answer("HTTP/1.1 099 x\r\n" END, "malformed status line");
    refuse_answer("HTTP/1.1  503 x\r\n" END, "malformed status line");
    refuse_answer("HTTP/1.x 503 x\r\n" END, "malformed status line");
    refuse_answer("HTTP/1.1 20\r\n" END, "malformed status line");
    refuse_answer("HTTP/2 200\r\n" END, "not an HTTP response");
    refuse_answer("SSH-2.0-OpenSSH\r\n", "not an HTTP response");
    refuse_answer("HTTP/1.1 503 x\nX: y\r\n" END, "line feed without carriage return");
    refuse_answer("HTTP/1.1 503 x\r\nX : y\r\n" END, "malformed header name");
}

/* What a client that offered compression makes of the answer. */
static void answers_to_an_offer(void **state)
{
    static const struct {
        const char *lines;
        int bits; /* HF_EBADMSG: refused */
    } rows[] = {
        {"", 0},
        {"Sec-WebSocket-Extensions: " HF_DEFLATE_OFFER "\r\n", 15},
        {"Sec-WebSocket-Extensions: " HF_DEFLATE_OFFER "; server_max_window_bits=9\r\n", 9},
        {"Sec-WebSocket-Extensions: permessage-deflate\r\n", HF_EBADMSG},
        {"Sec-WebSocket-Extensions: x\r\n", HF_EBADMSG},
        {"Sec-WebSocket-Extensions:\r\n", HF_EBADMSG},
        {"Sec-WebSocket-Extensions: " HF_DEFLATE_OFFER "\r\nSec-WebSocket-Extensions: x\r\n", HF_EBADMSG},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct hf_handshake_response r;
        char text[512];
        int len = snprintf(text, sizeof(text), S101 "%s" UPGRADE ACCEPT END, rows[i].lines);
        int got = hf_handshake_parse_response(&r, text, (size_t)len, RFC_KEY, true);

        assert_int_equal(got, rows[i].bits < 0 ? rows[i].bits : len);
        if (got > 0)
            assert_int_equal(r.deflate.server_window_bits, rows[i].bits);
        else
            assert_string_equal(r.reason, "101 with an extension on other terms than asked for");
    }
}

static void long_answers(void **state)
{
    static char answer[HF_HTTP_HEAD_MAX + 10];
    struct hf_handshake_response r;
    char *data;

    (void)state;
    memset(answer, 'x', sizeof(answer));
    memcpy(answer, "HTTP/1.1 503 ", 13);
    assert_int_equal(parse_answer(answer, HF_HTTP_HEAD_MAX - 1, &r, &data), 0);
    free(data);
    assert_int_equal(parse_answer(answer, sizeof(answer), &r, &data), HF_EBADMSG);
    free(data);
}

/* limits.header_bytes and limits.headers: at the bound it is taken, one beyond it is not. */
static void heads_within_other_bounds(void **state)
{
    static const char request[] = LINE ALL "A: 1\r\nB: 2\r\n" END;
    size_t len = sizeof(request) - 1;
    struct hf_handshake h;
    char *copy;

    (void)state;
    for (int less = 0; less < 2; less++) {
        copy = copy_of(request, len);
        assert_int_equal(hf_handshake_parse_within(&h, copy, len, len - (size_t)less, 7),
                         less ? HF_EBADMSG : (int)len);
        assert_int_equal(h.status, less ? 431 : 0);
        free(copy);
        copy = copy_of(request, len);
        assert_int_equal(hf_handshake_parse_within(&h, copy, len, len, 7 - (size_t)less),
                         less ? HF_EBADMSG : (int)len);
        assert_int_equal(h.status, less ? 431 : 0);
        free(copy);
    }
}

/* Three lists whose lines lie among each other: each is joined in its order. */
static void three_lists_among_each_other(void **state)
{
    static const char request[] =
        LINE "Forwarded: for=1\r\nX-Forwarded-For: a\r\nSec-WebSocket-Protocol: p\r\n" ALL
             "Forwarded: for=2\r\nSec-WebSocket-Protocol: q\r\nX-Forwarded-For: b\r\n"
             "Forwarded: for=3\r\n" END;
    struct hf_handshake h;
    char *copy = copy_of(request, sizeof(request) - 1);

    (void)state;
    assert_int_equal(hf_handshake_parse(&h, copy, sizeof(request) - 1), sizeof(request) - 1);
    assert_str(h.forwarded, "for=1, for=2, for=3");
    assert_str(h.forwarded_for, "a, b");
    assert_str(h.protocols, "p, q");
    assert_str(h.key, RFC_KEY);
    free(copy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(heads_within_other_bounds),
        cmocka_unit_test(three_lists_among_each_other),
        cmocka_unit_test(the_request_of_the_rfc),
        cmocka_unit_test(a_request_in_other_clothes),
        cmocka_unit_test(list_lines_are_joined),
        cmocka_unit_test(extensions_of_several_lines),
        cmocka_unit_test(answers_to_an_offer),
        cmocka_unit_test(list_lines_that_lie_crosswise),
        cmocka_unit_test(targets_in_absolute_form),
        cmocka_unit_test(bytes_behind_the_head_are_left),
        cmocka_unit_test(request_lines_that_are_refused),
        cmocka_unit_test(fields_that_are_refused),
        cmocka_unit_test(smuggled_requests),
        cmocka_unit_test(long_heads),
        cmocka_unit_test(many_headers),
        cmocka_unit_test(token_characters),
        cmocka_unit_test(tokens_are_walked),
        cmocka_unit_test(query_values),
        cmocka_unit_test(the_accept_key_of_the_rfc),
        cmocka_unit_test(answers_that_accept),
        cmocka_unit_test(answers_that_refuse),
        cmocka_unit_test(reasons_are_escaped),
        cmocka_unit_test(requests_are_put_and_parsed),
        cmocka_unit_test(nothing_is_smuggled_into_our_request),
        cmocka_unit_test(answers_that_are_taken),
        cmocka_unit_test(answers_that_are_refused),
        cmocka_unit_test(long_answers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
