/*
 * http_connect.h - asking an HTTP proxy for a tunnel: the request CONNECT and its answer (RFC 9110 section 9.3.6). What
 * follows the answer's head is the tunnel's.
 */
#ifndef HF_WS_HTTP_CONNECT_H
#define HF_WS_HTTP_CONNECT_H

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

#include <stddef.h>

/*
 * Append the request. target: "host:port", with the port in any case. authorization: the value of Proxy-Authorization
 * (RFC 9110 section 11.7.2); empty: none. HF_EINVAL where one of them would break out of its line; HF_ELIMIT, HF_ENOMEM.
 */
int hf_http_connect_put(struct hf_buf *out, struct hf_str target, struct hf_str authorization) HF_MUST_CHECK;

/*
 * Parse the answer, as far as it is there: each call sees the same bytes and perhaps more; it makes no difference how they come.
 * Returns the bytes of its head with *status set (2xx: the tunnel stands), 0 where more are needed, or HF_EBADMSG with *reason: it is
 * no such answer, or above HF_HTTP_HEAD_MAX bytes or HF_HTTP_HEADERS_MAX fields. Interim answers (1xx) are passed over; 101 counts as final, and as no tunnel.
 */
int hf_http_connect_parse(char *data, size_t len, int *status, const char **reason) HF_MUST_CHECK;

#endif
