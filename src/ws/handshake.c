#include "ws/handshake.h"

#include "base/err.h"
#include "ws/http_head.h"

#include <string.h>

/* Cut s at its first `at`: *head gets what is before it, s what is behind. Returns false where there is none. */
static bool split(struct hf_str *s, char at, struct hf_str *head)
{
    const char *found = s->len == 0 ? NULL : memchr(s->data, at, s->len);

    if (found == NULL)
        return false;
    *head = (struct hf_str){s->data, (size_t)(found - s->data)};
    s->len -= head->len + 1;
    s->data = found + 1;
    return true;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_alnum(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/*
 * Whether the bytes so far can begin a request: token characters up to the first space. A TLS greeting or other noise is known by its
 * first byte, and need not be waited for.
 */
static bool can_be_method(const char *data, size_t len)
{
    size_t i = 0;

    while (i < len && hf_http_is_token_char(data[i]))
        i++;
    return i == len || (i > 0 && data[i] == ' ');
}

static int check_version(struct hf_http_head *head, struct hf_str version)
{
    if (version.len != 8 || memcmp(version.data, "HTTP/", 5) != 0 || !is_digit(version.data[5]) ||
        version.data[6] != '.' || !is_digit(version.data[7]))
        return hf_http_fail(head, 400, "malformed request line");
    if (version.data[5] != '1' || version.data[7] != '1')
        return hf_http_fail(head, 505, "HTTP/1.1 is needed");
    return 0;
}

/* RFC 9112 section 3.2.2: "A server MUST accept the absolute-form in requests". Its authority takes the Host field's place. */
static bool split_absolute(struct hf_handshake *h, struct hf_str target)
{
    struct hf_str scheme;
    size_t end = 0;

    if (!split(&target, ':', &scheme) ||
        !(hf_http_same(scheme, HF_STR("http")) || hf_http_same(scheme, HF_STR("https"))) || target.len < 3 ||
        memcmp(target.data, "//", 2) != 0)
        return false;
    target.data += 2;
    target.len -= 2;
    while (end < target.len && target.data[end] != '/' && target.data[end] != '?')
        end++;
    h->host = (struct hf_str){target.data, end};
    h->path = (struct hf_str){target.data + end, target.len - end};
    return end > 0;
}

static int take_target(struct hf_handshake *h, struct hf_http_head *head, struct hf_str target)
{
    /* RFC 6455 section 3: fragment identifiers "MUST NOT be used on these URIs". */
    for (size_t i = 0; i < target.len; i++) {
        if (target.data[i] <= ' ' || target.data[i] >= 0x7f || target.data[i] == '#')
            return hf_http_fail(head, 400, "malformed request target");
    }
    h->target = h->path = target;
    if ((target.len == 0 || target.data[0] != '/') && !split_absolute(h, target))
        return hf_http_fail(head, 400, "malformed request target");
    h->query = h->path;
    if (!split(&h->query, '?', &h->path))
        h->query = (struct hf_str){0};
    if (h->path.len == 0) /* "http://host" names the root. */
        h->path = HF_STR("/");
    return 0;
}

static int take_request_line(struct hf_handshake *h, struct hf_http_head *head, struct hf_str line)
{
    struct hf_str target;
    int err;

    if (!split(&line, ' ', &h->method) || !split(&line, ' ', &target))
        return hf_http_fail(head, 400, "malformed request line");
    err = check_version(head, line);
    if (err < 0)
        return err;
    if (!hf_str_eq(h->method, HF_STR("GET")))
        return hf_http_fail(head, 405, "only GET is served here");
    return take_target(h, head, target);
}

/* RFC 3986 section 3.2, host and port: no user information, and nothing that another parser might cut at. */
static bool is_host(struct hf_str host)
{
    for (size_t i = 0; i < host.len; i++) {
        if (!is_alnum(host.data[i]) &&
            (host.data[i] == '\0' || strchr("-._~:[]%!$&'()*+;=", host.data[i]) == NULL))
            return false;
    }
    return host.len > 0;
}

/* RFC 9112 section 3.2: 400 for a request without a Host, with more than one, or with an invalid one. */
static int check_host(struct hf_handshake *h, struct hf_http_head *head)
{
    struct hf_str field;

    if (hf_http_once(head, HF_STR("Host"), &field) < 0)
        return HF_EBADMSG;
    if (!is_host(field) || (h->host.data != NULL && !is_host(h->host)))
        return hf_http_fail(head, 400, "missing or malformed Host");
    if (h->host.data == NULL)
        h->host = field;
    return 0;
}

/* What follows the head is WebSocket. A body, or a hint that there is one, would be read as frames. */
static int check_no_body(struct hf_http_head *head)
{
    const struct hf_http_field *field;
    size_t index = 0;

    if (hf_http_find(head, HF_STR("Transfer-Encoding"), &index) != NULL)
        return hf_http_fail(head, 400, "request with a body");
    index = 0;
    while ((field = hf_http_find(head, HF_STR("Content-Length"), &index)) != NULL) {
        if (!hf_str_eq(field->value, HF_STR("0")))
            return hf_http_fail(head, 400, "request with a body");
    }
    return 0;
}

/* Section 4.2.1: the fields that make it an opening handshake of version 13. */
static int check_upgrade(struct hf_http_head *head)
{
    struct hf_str version;

    if (!hf_http_has_token(head, HF_STR("Upgrade"), HF_STR("websocket")))
        return hf_http_fail(head, 426, "this is a WebSocket endpoint");
    if (!hf_http_has_token(head, HF_STR("Connection"), HF_STR("upgrade")))
        return hf_http_fail(head, 400, "Connection does not name Upgrade");
    if (hf_http_once(head, HF_STR("Sec-WebSocket-Version"), &version) < 0)
        return HF_EBADMSG;
    /* Section 4.4: "the server MUST abort the WebSocket handshake ... and instead send an appropriate HTTP error code (such as 426
     * Upgrade Required) and a |Sec-WebSocket-Version| header field". */
    if (!hf_str_eq(version, HF_STR("13")))
        return hf_http_fail(head, 426, "WebSocket version 13 is needed");
    return 0;
}

/*
 * Section 4.2.1: "a base64-encoded value that, when decoded, is 16 bytes in length": 22 characters and two of padding. The four bits
 * that the last character has too many are not looked at: the key is not decoded, and clients exist that set them.
 */
static bool is_key(struct hf_str key)
{
    if (key.len != HF_WS_KEY_LEN || memcmp(key.data + HF_WS_KEY_LEN - 2, "==", 2) != 0)
        return false;
    for (size_t i = 0; i < HF_WS_KEY_LEN - 2; i++) {
        if (!is_alnum(key.data[i]) && key.data[i] != '+' && key.data[i] != '/')
            return false;
    }
    return true;
}

static int take_once_fields(struct hf_handshake *h, struct hf_http_head *head)
{
    const struct hf_http_field *cookie;
    size_t index = 0;

    if (hf_http_once(head, HF_STR("Sec-WebSocket-Key"), &h->key) < 0)
        return HF_EBADMSG;
    if (!is_key(h->key))
        return hf_http_fail(head, 400, "missing or malformed Sec-WebSocket-Key");
    if (hf_http_once(head, HF_STR("Origin"), &h->origin) < 0 ||
        hf_http_once(head, HF_STR("Authorization"), &h->authorization) < 0 ||
        hf_http_once(head, HF_STR("Holdfast-Resume"), &h->resume) < 0 ||
        hf_http_once(head, HF_STR("Holdfast-Attempt"), &h->attempt) < 0)
        return HF_EBADMSG;
    cookie = hf_http_find(head, HF_STR("Cookie"), &index);
    if (cookie != NULL)
        h->cookie = cookie->value;
    return 0;
}

/* RFC 6455 section 9.1: who receives a value that does not conform to the grammar "MUST immediately _Fail the WebSocket Connection_". */
static int take_extensions(struct hf_handshake *h, struct hf_http_head *head)
{
    if (hf_deflate_accept(hf_http_joined(head, HF_STR("Sec-WebSocket-Extensions")), &h->deflate) < 0)
        return hf_http_fail(head, 400, "malformed Sec-WebSocket-Extensions");
    return 0;
}

static int take_fields(struct hf_handshake *h, struct hf_http_head *head)
{
    int err;

    /* Joining moves what lies between the lines, and so comes before anything is remembered. A joined value stays where it is unless
     * the lines of one that is joined later lie around it: hence each is looked up again. */
    hf_http_joined(head, HF_STR("Sec-WebSocket-Protocol"));
    hf_http_joined(head, HF_STR("Sec-WebSocket-Extensions"));
    hf_http_joined(head, HF_STR("X-Forwarded-For"));
    h->forwarded = hf_http_joined(head, HF_STR("Forwarded"));
    h->forwarded_for = hf_http_joined(head, HF_STR("X-Forwarded-For"));
    h->protocols = hf_http_joined(head, HF_STR("Sec-WebSocket-Protocol"));
    err = check_host(h, head);
    if (err == 0)
        err = check_no_body(head);
    if (err == 0)
        err = check_upgrade(head);
    if (err == 0)
        err = take_extensions(h, head);
    return err < 0 ? err : take_once_fields(h, head);
}

static int parse(struct hf_handshake *h, struct hf_http_head *head)
{
    struct hf_str line;
    int got;

    if (!can_be_method(head->data, head->len))
        return hf_http_fail(head, 400, "not an HTTP request");
    got = hf_http_line(head, &line);
    /* RFC 9112 section 3: a target that is too long is 414; other parts of a head are 431. */
    if (got < 0 && head->status == 431)
        return hf_http_fail(head, 414, "request line too long");
    if (got <= 0)
        return got;
    got = take_request_line(h, head, line);
    if (got < 0)
        return got;
    got = hf_http_fields(head);
    if (got <= 0)
        return got;
    got = take_fields(h, head);
    return got < 0 ? got : (int)head->pos;
}

int hf_handshake_parse(struct hf_handshake *h, char *data, size_t len)
{
    return hf_handshake_parse_within(h, data, len, HF_HTTP_HEAD_MAX, HF_HTTP_HEADERS_MAX);
}

int hf_handshake_parse_within(struct hf_handshake *h, char *data, size_t len, size_t head_bytes_max,
                              size_t headers_max)
{
    struct hf_http_head head;
    int got;

    *h = (struct hf_handshake){0};
    hf_http_init_within(&head, data, len, head_bytes_max, headers_max);
    got = parse(h, &head);
    if (got < 0) {
        h->status = head.status;
        h->reason = head.reason;
    }
    return got;
}
