#include "server/socket.h"

#include "net/listen.h"
#include "server/hub_state.h"
#include "server/logger.h"
#include "server/proxy_stage.h"

#include <assert.h>
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
    TLS_HANDSHAKE_WORK = 4, /* one of TLS counts as so many of them */
    TLS_LOG_MS = 1000,      /* a log line about failed handshakes at most so often */
    TLS_RECORD_HANDSHAKE = 22,
};

/* What the hub keeps with its connection for us: see hf_hub_conn(). */
struct client {
    struct hf_watch watch;
    struct hf_sockets *all;
    struct hf_list unread;     /* in all->unread or all->young: readable, and not read to the end */
    struct hf_tls_stream *tls; /* NULL: plain */
    bool begun;                /* the first byte has come */
    bool paused, readable;
    bool frozen;  /* in all->frozen */
    bool proxied; /* its PROXY header has not come yet */
    bool ended;   /* the end stands behind what is unread, and has had its edge */
};

static_assert(sizeof(struct client) <= HF_SOCKET_BYTES, "it has no more room");
static_assert(sizeof(struct hf_conn) + HF_SOCKET_BYTES + sizeof(size_t) <= 320,
              "what the allocator takes for a connection: see docs/performance.md");

int hf_sockets_init(struct hf_sockets *s, struct hf_hub *hub, struct hf_loop *loop, const struct hf_now *now,
                    struct hf_counters *counters, const struct hf_config *config, struct hf_tls *tls)
{
    *s = (struct hf_sockets){.hub = hub, .loop = loop, .now = now, .counters = counters, .config = config};
    hf_list_init(&s->young);
    hf_list_init(&s->unread);
    s->buffer = malloc(HF_READ_BYTES);
    if (s->buffer == NULL)
        return HF_ENOMEM;
    if (tls == NULL)
        return 0;
    s->tls = hf_tls_hold(tls);
    return hf_tls_io_init(&s->tls_io, counters);
}

void hf_sockets_release(struct hf_sockets *s)
{
    free(s->buffer);
    hf_tls_drop(s->tls);
    hf_tls_io_release(&s->tls_io);
}

void hf_sockets_set_tls(struct hf_sockets *s, struct hf_tls *tls)
{
    hf_tls_drop(s->tls);
    s->tls = hf_tls_hold(tls);
}

/* ---- The stages ---- */

static long read_plain(struct client *c, uint8_t *buf, size_t cap, bool *more)
{
    ssize_t n = recv(c->watch.fd, buf, cap, 0);

    if (n > 0 && !c->begun && buf[0] == TLS_RECORD_HANDSHAKE) /* What it is told is the hub's affair. */
        hf_count(c->all->counters, HF_COUNT_TLS_ON_PLAIN, 1);
    c->begun |= n > 0;
    /* Edge-triggered: a short read has emptied it, and what comes later is a new edge. */
    *more = n > 0 ? (size_t)n == cap || c->ended : n < 0 && errno == EINTR;
    if (n > 0)
        return n;
    if (n == 0)
        return HF_ECLOSED;
    return errno == EAGAIN || errno == EINTR ? HF_EAGAIN : HF_EIO;
}

/* A refused or failed handshake is logged with its cause, one a second; the others are counted. */
static void log_tls(struct hf_sockets *s, const struct hf_tls_stream *tls, int fd)
{
    char text[HF_ADDRESS_BYTES] = "gone";
    struct sockaddr_storage address;
    socklen_t len = sizeof(address);

    s->tls_failures++;
    if (s->tls_logged_ms != 0 && s->now->mono_ms < s->tls_logged_ms + TLS_LOG_MS)
        return;
    if (getpeername(fd, (struct sockaddr *)&address, &len) == 0)
        hf_address_format(&address, text, sizeof(text));
    hf_log(HF_LOG_INFO, "tls_failed", hf_kv_text("why", hf_tls_stream_why(tls)), hf_kv_text("address", text),
           hf_kv_u64("count", s->tls_failures));
    s->tls_failures = 0;
    s->tls_logged_ms = s->now->mono_ms;
}

long hf_sockets_read_tls(struct hf_sockets *s, struct hf_tls_stream *tls, int fd, uint8_t *buf, size_t cap,
                         bool ended, bool *more)
{
    enum hf_tls_state before = hf_tls_stream_state(tls), after;
    long n = hf_tls_stream_read(tls, buf, cap, ended, more);

    after = hf_tls_stream_state(tls);
    if (before != after && (after == HF_TLS_REFUSED || after == HF_TLS_BROKEN))
        log_tls(s, tls, fd);
    return n;
}

static long read_stages(struct client *c, uint8_t *buf, size_t cap, bool *more)
{
    return c->tls != NULL ? hf_sockets_read_tls(c->all, c->tls, c->watch.fd, buf, cap, c->ended, more)
                          : read_plain(c, buf, cap, more);
}

static long write_plain(struct client *c, const struct iovec *iov, int count)
{
    struct msghdr msg = {.msg_iov = (struct iovec *)(uintptr_t)iov, .msg_iovlen = (size_t)count};
    ssize_t n = count == 1
                    ? send(c->watch.fd, iov->iov_base, iov->iov_len, MSG_NOSIGNAL) /* the shorter way in */
                    : sendmsg(c->watch.fd, &msg, MSG_NOSIGNAL);

    if (n >= 0)
        return n;
    return errno == EAGAIN || errno == EINTR || errno == ENOBUFS || errno == ENOMEM ? HF_EAGAIN : HF_ECLOSED;
}

/* ---- The transport ---- */

long hf_socket_write(void *ctx, void *socket, const struct iovec *iov, int count)
{
    struct client *c = socket;

    (void)ctx;
    if (c->frozen)
        return HF_EAGAIN;
    return c->tls != NULL ? hf_tls_stream_write(c->tls, iov, count) : write_plain(c, iov, count);
}

static void want_read(struct client *c)
{
    if (c->readable && !c->paused && !c->frozen && hf_list_empty(&c->unread))
        hf_list_add_tail(hf_hub_young(hf_hub_conn(c)) ? &c->all->young : &c->all->unread, &c->unread);
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
    if (c->tls != NULL)
        hf_tls_stream_finish(c->tls);
    else
        shutdown(c->watch.fd, SHUT_WR);
}

bool hf_socket_freeze(void *ctx, void *socket, uint32_t ms)
{
    struct client *c = socket;
    struct hf_sockets *s = c->all;

    (void)ctx;
    if (c->frozen || s->frozen_count == HF_FROZEN_MAX)
        return c->frozen;
    c->frozen = true;
    hf_list_del(&c->unread);
    s->frozen[s->frozen_count++] = (struct hf_frozen){c, s->now->mono_ms + ms};
    return true;
}

static void thaw(struct client *c)
{
    struct hf_sockets *s = c->all;
    unsigned i = 0;

    while (s->frozen[i].socket != c)
        i++;
    s->frozen[i] = s->frozen[--s->frozen_count];
    c->frozen = false;
}

void hf_socket_close(void *ctx, void *socket)
{
    struct client *c = socket;

    (void)ctx;
    if (c->frozen)
        thaw(c);
    hf_list_del(&c->unread);
    hf_loop_remove(c->all->loop, &c->watch);
    hf_tls_stream_free(c->tls);
    close(c->watch.fd);
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
            hf_hub_name(hf_hub_conn(c), h.source == HF_PROXY_CLIENT ? &h.client : NULL);
        return true;
    }
    c->readable = false; /* The rest is a new edge. */
    if (got == HF_EBADMSG) {
        hf_log(HF_LOG_DEBUG, "proxy_header", hf_kv_text("reason", h.reason));
        hf_hub_abort(hf_hub_conn(c), *c->all->now);
    } else if (got == HF_ECLOSED || c->ended) {
        hf_hub_lost(hf_hub_conn(c), false, *c->all->now);
    }
    return false;
}

static void read_once(struct client *c)
{
    struct hf_sockets *s = c->all;
    bool more;
    long n;

    if (c->proxied && !take_proxy_header(c))
        return;
    n = read_stages(c, s->buffer, HF_READ_BYTES, &more);

    if (n < 0 && n != HF_EAGAIN) {
        hf_hub_lost(hf_hub_conn(c), n != HF_ECLOSED, *s->now);
        return;
    }
    c->readable = more;
    want_read(c);
    if (n > 0)
        hf_hub_input(hf_hub_conn(c), s->buffer, (size_t)n, *s->now);
}

static bool in_handshake(const struct client *c)
{
    return c->tls != NULL && hf_tls_stream_state(c->tls) == HF_TLS_HANDSHAKE;
}

static void take_writable(struct client *c)
{
    int flushed = c->tls == NULL ? 0 : hf_tls_stream_flush(c->tls);

    if (flushed == 0)
        hf_hub_writable(hf_hub_conn(c), *c->all->now); /* Never closes it. */
    else if (flushed == HF_EAGAIN)
        hf_hub_progress(hf_hub_conn(c), *c->all->now);
    /* Else the rest of a record cannot be sent any more, and reading meets the end. */
}

/* What came and went by in its time had its edges then. */
static void thaw_due(struct hf_sockets *s)
{
    for (unsigned i = s->frozen_count; i-- > 0;) {
        struct client *c = s->frozen[i].socket;

        if (s->frozen[i].until_ms > s->now->mono_ms)
            continue;
        thaw(c);
        want_read(c);
        take_writable(c);
    }
}

void hf_sockets_read(struct hf_sockets *s)
{
    struct hf_list now, *node;
    unsigned work = 0;

    thaw_due(s);
    hf_list_init(&now);
    hf_list_splice(&now, &s->unread);
    while ((node = hf_list_pop(&now)) != NULL)
        read_once(HF_CONTAINER(node, struct client, unread));
    /* However many come at once, those who are connected have their turn in between. */
    while (work < HANDSHAKES_PER_TURN && (node = hf_list_pop(&s->young)) != NULL) {
        struct client *c = HF_CONTAINER(node, struct client, unread);

        work += in_handshake(c) ? TLS_HANDSHAKE_WORK : 1;
        read_once(c);
    }
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

    if ((what & HF_READY_WRITE) && !c->frozen)
        take_writable(c);
    if (what & (HF_READY_READ | HF_READY_ENDED)) {
        c->readable = true;
        c->ended |= (what & HF_READY_ENDED) != 0;
        want_read(c);
    }
}

/* ---- Beginning ---- */

void hf_socket_set_options(int fd)
{
    int on = 1, lowat = NOTSENT_LOWAT;

    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &lowat, sizeof(lowat));
}

bool hf_sockets_open(struct hf_sockets *s, int fd, const struct sockaddr_storage *address, bool secure)
{
    char text[HF_ADDRESS_BYTES];
    struct hf_tls_stream *tls = secure ? hf_tls_stream_new(&s->tls_io, s->tls, fd) : NULL;
    struct hf_conn *conn;
    struct client *c;

    hf_address_format(address, text, sizeof(text));
    conn = secure && tls == NULL ? NULL : hf_hub_open(s->hub, text, *s->now);
    if (conn == NULL) {
        hf_tls_stream_free(tls);
        close(fd);
        return false;
    }
    c = hf_conn_socket(conn);
    c->watch = (struct hf_watch){fd, client_ready};
    c->all = s;
    c->proxied = hf_proxy_stage_due(s->config, address);
    c->tls = tls;
    hf_list_init(&c->unread);
    hf_socket_set_options(fd);
    if (hf_loop_add(s->loop, &c->watch, false) == 0)
        return true;
    hf_hub_lost(conn, true, *s->now);
    return false;
}
