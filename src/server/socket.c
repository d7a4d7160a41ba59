#include "server/socket.h"

#include "net/listen.h"
#include "server/hub_state.h"
#include "server/logger.h"
#include "server/proxy_stage.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    HANDSHAKES_PER_TURN = 64, /* of some 50 us each: what those who are connected may notice */
    NOTSENT_LOWAT =
        16 *
        1024, /* research/protocol.md 4.2: what is not sent yet stays in the shared log, not in the kernel */
};

struct client {
    struct hf_watch watch;
    struct hf_sockets *all;
    struct hf_conn *conn;
    struct hf_list unread; /* in all->unread or all->young: readable, and not read to the end */
    bool paused, readable;
    bool proxied; /* its PROXY header has not come yet */
    bool ended;   /* the end stands behind what is unread, and has had its edge */
};

int hf_sockets_init(struct hf_sockets *s, struct hf_hub *hub, struct hf_loop *loop, const struct hf_now *now,
                    const struct hf_config *config)
{
    *s = (struct hf_sockets){.hub = hub, .loop = loop, .now = now, .config = config};
    hf_list_init(&s->young);
    hf_list_init(&s->unread);
    s->buffer = malloc(HF_READ_BYTES);
    return s->buffer == NULL ? HF_ENOMEM : 0;
}

void hf_sockets_release(struct hf_sockets *s)
{
    free(s->buffer);
}

/* ---- The transport ---- */

long hf_socket_write(void *ctx, void *socket, const struct iovec *iov, int count)
{
    struct client *c = socket;
    struct msghdr msg = {.msg_iov = (struct iovec *)(uintptr_t)iov, .msg_iovlen = (size_t)count};
    ssize_t n = sendmsg(c->watch.fd, &msg, MSG_NOSIGNAL);

    (void)ctx;
    if (n >= 0)
        return n;
    return errno == EAGAIN || errno == EINTR || errno == ENOBUFS || errno == ENOMEM ? HF_EAGAIN : HF_ECLOSED;
}

static void want_read(struct client *c)
{
    if (c->readable && !c->paused && hf_list_empty(&c->unread))
        hf_list_add_tail(hf_hub_young(c->conn) ? &c->all->young : &c->all->unread, &c->unread);
}

void hf_socket_pause(void *ctx, void *socket, bool paused)
{
    struct client *c = socket;

    (void)ctx;
    c->paused = paused;
    if (paused)
        hf_list_del(&c->unread);
    else
        want_read(c);
}

void hf_socket_finish(void *ctx, void *socket)
{
    struct client *c = socket;

    (void)ctx;
    shutdown(c->watch.fd, SHUT_WR);
}

void hf_socket_close(void *ctx, void *socket)
{
    struct client *c = socket;

    (void)ctx;
    hf_list_del(&c->unread);
    hf_loop_remove(c->all->loop, &c->watch);
    close(c->watch.fd);
    free(c);
}

/* ---- Reading ---- */

/* The PROXY header comes before all else. Returns whether what follows may be read now. */
static bool take_proxy_header(struct client *c)
{
    struct hf_proxy_header h;
    int got = hf_proxy_stage_take(c->watch.fd, &h);

    if (got == 1) {
        c->proxied = false;
        if (h.source != HF_PROXY_OWN)
            hf_hub_name(c->conn, h.source == HF_PROXY_CLIENT ? &h.client : NULL);
        return true;
    }
    c->readable = false; /* The rest is a new edge. */
    if (got == HF_EBADMSG) {
        hf_log(HF_LOG_DEBUG, "proxy_header", hf_kv_text("reason", h.reason));
        hf_hub_abort(c->conn, *c->all->now);
    } else if (got == HF_ECLOSED || c->ended) {
        hf_hub_lost(c->conn, false, *c->all->now);
    }
    return false;
}

static void read_once(struct client *c)
{
    struct hf_sockets *s = c->all;
    ssize_t n;

    if (c->proxied && !take_proxy_header(c))
        return;
    n = recv(c->watch.fd, s->buffer, HF_READ_BYTES, 0);

    if (n > 0) {
        /* Edge-triggered: a short read has emptied it, and what comes later is a new edge. */
        c->readable = (size_t)n == HF_READ_BYTES || c->ended;
        want_read(c);
        hf_hub_input(c->conn, s->buffer, (size_t)n, *s->now);
    } else if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        c->readable = errno == EINTR;
        want_read(c);
    } else {
        hf_hub_lost(c->conn, n < 0, *s->now);
    }
}

void hf_sockets_read(struct hf_sockets *s)
{
    struct hf_list now, *node;

    hf_list_init(&now);
    hf_list_splice(&now, &s->unread);
    while ((node = hf_list_pop(&now)) != NULL)
        read_once(HF_CONTAINER(node, struct client, unread));
    /* However many come at once, those who are connected have their turn in between. */
    for (int i = 0; i < HANDSHAKES_PER_TURN && (node = hf_list_pop(&s->young)) != NULL; i++)
        read_once(HF_CONTAINER(node, struct client, unread));
}

bool hf_socket_idle(const void *socket)
{
    return hf_list_empty(&((const struct client *)socket)->unread);
}

bool hf_sockets_busy(const struct hf_sockets *s)
{
    return !hf_list_empty(&s->unread) || !hf_list_empty(&s->young);
}

static void client_ready(struct hf_watch *watch, unsigned what)
{
    struct client *c = HF_CONTAINER(watch, struct client, watch);

    if (what & HF_READY_WRITE)
        hf_hub_writable(c->conn, *c->all->now); /* Never closes it. */
    if (what & (HF_READY_READ | HF_READY_ENDED)) {
        c->readable = true;
        c->ended |= (what & HF_READY_ENDED) != 0;
        want_read(c);
    }
}

/* ---- Beginning ---- */

static void set_options(int fd)
{
    int on = 1, lowat = NOTSENT_LOWAT;

    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &lowat, sizeof(lowat));
}

bool hf_sockets_open(struct hf_sockets *s, int fd, const struct sockaddr_storage *address)
{
    char text[HF_ADDRESS_BYTES];
    struct client *c = calloc(1, sizeof(*c));

    if (c == NULL)
        goto failed;
    set_options(fd);
    hf_address_format(address, text, sizeof(text));
    c->all = s;
    c->proxied = hf_proxy_stage_due(s->config, address);
    c->watch = (struct hf_watch){fd, client_ready};
    hf_list_init(&c->unread);
    if (hf_loop_add(s->loop, &c->watch, false) < 0)
        goto failed;
    c->conn = hf_hub_open(s->hub, c, text, *s->now);
    if (c->conn != NULL)
        return true;
    hf_loop_remove(s->loop, &c->watch);
failed:
    close(fd);
    free(c);
    return false;
}
