#include "client/tunnel.h"

#include "base/buf.h"
#include "ws/handshake.h"
#include "ws/http_connect.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { REQUEST_BYTES_MAX = 4096 }; /* twice an authority, and a proxy's credentials */

struct hf_tunnel {
    const struct hf_proxy *proxy;
    const struct hf_url *url;
    struct hf_buf request; /* what is left of it */
    size_t answer_len;
    char answer[HF_HTTP_HEAD_MAX];
    char why[384];
};

static int put_request(struct hf_tunnel *t)
{
    char target[sizeof(t->url->host) + sizeof(t->url->port) + 3];
    bool v6 = strchr(t->url->host, ':') != NULL;

    (void)snprintf(target, sizeof(target), "%s%s%s:%s", v6 ? "[" : "", t->url->host, v6 ? "]" : "",
                   t->url->port);
    return hf_http_connect_put(&t->request, hf_str_from(target), hf_str_from(t->proxy->authorization));
}

struct hf_tunnel *hf_tunnel_new(const struct hf_proxy *proxy, const struct hf_url *url)
{
    struct hf_tunnel *t = calloc(1, sizeof(*t));

    if (t == NULL)
        return NULL;
    t->proxy = proxy;
    t->url = url;
    hf_buf_init(&t->request, REQUEST_BYTES_MAX);
    if (put_request(t) < 0) {
        hf_tunnel_free(t);
        return NULL;
    }
    return t;
}

void hf_tunnel_free(struct hf_tunnel *t)
{
    if (t == NULL)
        return;
    hf_buf_release(&t->request);
    free(t);
}

bool hf_tunnel_wants_write(const struct hf_tunnel *t)
{
    return t->request.len > 0;
}

const char *hf_tunnel_why(const struct hf_tunnel *t)
{
    return t->why;
}

static int broken(struct hf_tunnel *t, const char *how)
{
    (void)snprintf(t->why, sizeof(t->why), "the proxy %.200s:%s: %s", t->proxy->host, t->proxy->port, how);
    return HF_ECLOSED;
}

/* What a status says, and what helps. */
static const char *advice(const struct hf_tunnel *t, int status)
{
    if (status == 407)
        return t->proxy->authorization[0] != '\0'
                   ? ": it does not accept the user and password of its URL"
                   : ": it asks for a user and password: http://USER:PASSWORD@HOST:PORT";
    if (status == 403 || status == 405)
        return ": its rules do not allow this server or port";
    if (status >= 502 && status <= 504)
        return ": it cannot reach the server";
    return "";
}

static int refused(struct hf_tunnel *t, int status)
{
    char how[160];

    (void)snprintf(how, sizeof(how), "it refused the tunnel to the server with HTTP %d%s", status,
                   advice(t, status));
    return broken(t, how);
}

static int read_answer(struct hf_tunnel *t)
{
    const char *reason = NULL;
    int status = 0, got = hf_http_connect_parse(t->answer, t->answer_len, &status, &reason);

    if (got == 0)
        return HF_EAGAIN;
    if (got < 0)
        return broken(t, reason);
    if (status < 200 || status > 299)
        return refused(t, status);
    /* In both of our protocols the client speaks first. */
    if ((size_t)got < t->answer_len)
        return broken(t, "it sent something behind its answer, which no server of ours does");
    return 0;
}

static int send_request(struct hf_tunnel *t, int fd)
{
    ssize_t n = send(fd, t->request.data, t->request.len, MSG_NOSIGNAL);
    char text[80];

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return HF_EAGAIN;
    if (n < 0)
        return broken(t, strerror_r(errno, text, sizeof(text)));
    hf_buf_drop(&t->request, (size_t)n);
    return t->request.len > 0 ? HF_EAGAIN : 0;
}

static int receive(struct hf_tunnel *t, int fd)
{
    ssize_t n = recv(fd, t->answer + t->answer_len, sizeof(t->answer) - t->answer_len, 0);
    char text[80];

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return HF_EAGAIN;
    if (n < 0)
        return broken(t, strerror_r(errno, text, sizeof(text)));
    if (n == 0)
        return broken(t, "it ended the connection without an answer");
    t->answer_len += (size_t)n;
    return 0;
}

int hf_tunnel_run(struct hf_tunnel *t, int fd)
{
    int err = t->request.len > 0 ? send_request(t, fd) : 0;

    if (err == 0)
        err = receive(t, fd);
    return err == 0 ? read_answer(t) : err;
}
