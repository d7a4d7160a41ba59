#include "ws/http_connect.h"

#include "ws/http_head.h"

enum { INTERIM_MAX = 8 }; /* answers 1xx ahead of the final one; nobody sends as many */

/* Visible ASCII, and spaces where they are allowed. */
static bool is_clean(struct hf_str s, bool spaces)
{
    for (size_t i = 0; i < s.len; i++)
        if ((unsigned char)s.data[i] <= (spaces ? 0x1f : 0x20) || (unsigned char)s.data[i] >= 0x7f)
            return false;
    return true;
}

int hf_http_connect_put(struct hf_buf *out, struct hf_str target, struct hf_str authorization)
{
    if (target.len == 0 || !is_clean(target, false) || !is_clean(authorization, true))
        return HF_EINVAL;
    /* "A client MUST send the port number even if the CONNECT request is based on a URI reference that contains an authority component with an elided port" */
    hf_buf_puts(out, "CONNECT ");
    hf_buf_put_str(out, target);
    /* RFC 9112 section 3.2: Host must be "identical to that authority component". */
    hf_buf_puts(out, " HTTP/1.1\r\nHost: ");
    hf_buf_put_str(out, target);
    if (authorization.len > 0) {
        hf_buf_puts(out, "\r\nProxy-Authorization: ");
        hf_buf_put_str(out, authorization);
    }
    hf_buf_puts(out, "\r\nUser-Agent: libholdfast\r\n\r\n");
    if (out->failed)
        return out->no_memory ? HF_ENOMEM : HF_ELIMIT;
    return 0;
}

/* One head, final or interim. Returns as hf_http_connect_parse(). */
static int parse_head(struct hf_http_head *head, int *status)
{
    struct hf_str line;
    bool http_1_1;
    int got;

    if (!hf_http_can_be_status_line(head->data, head->len))
        return hf_http_fail(head, 0, "not an HTTP answer");
    got = hf_http_line(head, &line);
    if (got <= 0)
        return got;
    *status = hf_http_read_status(line, &http_1_1);
    if (*status == 0)
        return hf_http_fail(head, 0, "malformed status line");
    /* "A client MUST ignore any Content-Length or Transfer-Encoding header fields received in a successful response to CONNECT." */
    got = hf_http_fields(head);
    return got <= 0 ? got : (int)head->pos;
}

int hf_http_connect_parse(char *data, size_t len, int *status, const char **reason)
{
    struct hf_http_head head;
    size_t taken = 0;
    unsigned interim;
    int got;

    for (interim = 0; interim <= INTERIM_MAX; interim++) {
        hf_http_init_within(&head, data + taken, len - taken, HF_HTTP_HEAD_MAX - taken, HF_HTTP_HEADERS_MAX);
        got = parse_head(&head, status);
        if (got < 0)
            *reason = head.status == 431 ? "too long an answer" : head.reason;
        if (got <= 0)
            return got;
        taken += (size_t)got;
        /* RFC 9110 section 15.2: "A client MUST be able to parse one or more 1xx responses received prior to a final response" */
        if (*status >= 200 || *status == 101)
            return (int)taken;
    }
    *reason = "interim answers without end";
    return HF_EBADMSG;
}
