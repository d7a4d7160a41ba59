#include "client/socket.h"

#include "base/assert.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    READS_MAX = 16,
    WRITES_MAX = 16
}; /* of a turn, so that the other slot and the application have theirs */

#define BIT(n) (1u << (n))

static const uint32_t may_follow[] = {
    [HF_SOCKET_NONE] = BIT(HF_SOCKET_DIALING),
    [HF_SOCKET_DIALING] = BIT(HF_SOCKET_TUNNELING) | BIT(HF_SOCKET_GREETING) | BIT(HF_SOCKET_CARRYING),
    [HF_SOCKET_TUNNELING] = BIT(HF_SOCKET_GREETING) | BIT(HF_SOCKET_CARRYING),
    [HF_SOCKET_GREETING] = BIT(HF_SOCKET_CARRYING),
    [HF_SOCKET_CARRYING] = BIT(HF_SOCKET_ENDING),
    [HF_SOCKET_ENDING] = 0,
};

/* What holds in each stage. */
static void socket_check(const struct hf_socket *sock)
{
    hf_assert((sock->stage >= HF_SOCKET_TUNNELING) == (sock->fd >= 0));
    hf_assert((sock->stage == HF_SOCKET_TUNNELING) == (sock->tunnel != NULL));
    hf_assert((sock->stage == HF_SOCKET_DIALING) == (sock->dial.host != NULL));
    hf_assert(sock->stage != HF_SOCKET_GREETING || sock->tls != NULL);
}

/* Ends too are moves, by hf_socket_release(). */
static void socket_move(struct hf_socket *sock, enum hf_socket_stage to)
{
    hf_assert((may_follow[sock->stage] & BIT(to)) != 0);
    sock->stage = to;
    socket_check(sock);
}

void hf_socket_init(struct hf_socket *sock, unsigned slot)
{
    *sock = (struct hf_socket){.fd = -1, .slot = slot};
    hf_dial_init(&sock->dial);
}

void hf_socket_release(struct hf_socket *sock)
{
    hf_dial_end(&sock->dial);
    hf_tunnel_free(sock->tunnel);
    hf_tls_conn_free(sock->tls);
    if (sock->fd >= 0)
        (void)close(sock->fd);
    hf_socket_init(sock, sock->slot);
}

static void say(struct hf_socket *sock, const char *why)
{
    (void)snprintf(sock->why, sizeof(sock->why), "%s", why);
}

static void say_why(struct hf_socket *sock, const char *what, int error)
{
    char text[80];

    /* GNU's strerror_r() returns the text, wherever it lies. */
    (void)snprintf(sock->why, sizeof(sock->why), "%s: %s", what, strerror_r(error, text, sizeof(text)));
}

/* There will be no welcome on this connection. What comes after a welcome, or after the first such news, says nothing about the server. */
static void not_welcome(struct hf_socket *sock, const struct hf_socket_turn *turn)
{
    if (!sock->judged)
        hf_servers_failed(turn->servers, sock->server);
    sock->judged = true;
}

/*
 * Whether it was this machine that gave the connection up: nothing that was sent is acknowledged, nothing leads there any more, or somebody here has ended it. A peer that is there says
 * so with FIN or RST. (Linux tells the reason that it had last in place of ETIMEDOUT; what ends a socket from outside is `ss -K`, or a system that changes its network.)
 */
static bool given_up_here(int error)
{
    return error == ETIMEDOUT || error == EHOSTUNREACH || error == ENETUNREACH || error == EHOSTDOWN ||
           error == ENETDOWN || error == ECONNABORTED;
}

static void lost(struct hf_socket *sock, const struct hf_socket_turn *turn)
{
    bool here = given_up_here(sock->failed_errno);
    char why[sizeof(sock->why)];

    memcpy(why, sock->why, sizeof(why));
    not_welcome(sock, turn);
    hf_socket_release(sock);
    if (here)
        hf_client_session_given_up(turn->session, sock->slot, why, turn->now_ms);
    else
        hf_client_session_lost(turn->session, sock->slot, why, turn->now_ms);
}

static bool still_wanted(const struct hf_socket *sock, const struct hf_socket_turn *turn)
{
    struct hf_client_session_want want = hf_client_session_want(turn->session, sock->slot);

    return sock->stage != HF_SOCKET_NONE && want.attempt == sock->attempt && want.wish != HF_WISH_NONE;
}

static const struct hf_server *server_of(const struct hf_socket *sock, const struct hf_socket_turn *turn)
{
    return &turn->servers->list[sock->server];
}

/* --- connecting --- */

static void carry(struct hf_socket *sock, const struct hf_socket_turn *turn)
{
    const struct hf_url *url = &server_of(sock, turn)->url;
    int err = hf_client_session_set_server(turn->session, url->authority, url->target);

    if (err < 0) {
        say(sock, hf_strerror(err));
        lost(sock, turn);
        return;
    }
    socket_move(sock, HF_SOCKET_CARRYING);
    hf_client_session_connected(turn->session, sock->slot, turn->now_ms);
}

/* Go on with the handshake of TLS. */
static void greet(struct hf_socket *sock, const struct hf_socket_turn *turn)
{
    int err = hf_tls_conn_handshake(sock->tls);

    if (err == HF_EAGAIN)
        return;
    if (err < 0) {
        say(sock, hf_tls_conn_why(sock->tls));
        lost(sock, turn);
        return;
    }
    carry(sock, turn);
}

/* The way to the server stands. */
static void reached(struct hf_socket *sock, const struct hf_socket_turn *turn)
{
    const struct hf_url *url = &server_of(sock, turn)->url;

    if (!url->secure) {
        carry(sock, turn);
        return;
    }
    sock->tls = hf_tls_conn_new(turn->tls, sock->fd, url);
    if (sock->tls == NULL) {
        say(sock, "TLS: out of memory");
        lost(sock, turn);
        return;
    }
    socket_move(sock, HF_SOCKET_GREETING);
    greet(sock, turn);
}

/* Go on with asking the proxy. */
static void tunnel(struct hf_socket *sock, const struct hf_socket_turn *turn)
{
    int err = hf_tunnel_run(sock->tunnel, sock->fd);

    if (err == HF_EAGAIN)
        return;
    if (err < 0) {
        say(sock, hf_tunnel_why(sock->tunnel));
        lost(sock, turn);
        return;
    }
    hf_tunnel_free(sock->tunnel);
    sock->tunnel = NULL;
    reached(sock, turn);
}

/* The TCP connection stands: fd is ours. */
static void dialed(struct hf_socket *sock, int fd, const struct hf_socket_turn *turn)
{
    const struct hf_server *server = server_of(sock, turn);

    sock->fd = fd;
    if (server->proxy.host[0] == '\0') {
        reached(sock, turn);
        return;
    }
    sock->tunnel = hf_tunnel_new(&server->proxy, &server->url);
    if (sock->tunnel == NULL) {
        say(sock, hf_strerror(HF_ENOMEM));
        lost(sock, turn);
        return;
    }
    socket_move(sock, HF_SOCKET_TUNNELING);
    tunnel(sock, turn);
}

static void dial(struct hf_socket *sock, const struct hf_socket_turn *turn)
{
    int fd = hf_dial_step(&sock->dial, turn->now_ms);

    if (fd == HF_EAGAIN)
        return;
    if (fd >= 0) {
        dialed(sock, fd, turn);
        return;
    }
    say(sock, sock->dial.why);
    lost(sock, turn);
}

static void start(struct hf_socket *sock, const struct hf_client_session_want *want,
                  const struct hf_socket_turn *turn)
{
    struct hf_server *server = &turn->servers->list[turn->servers->next];

    sock->attempt = want->attempt;
    sock->begun_at_ms = turn->now_ms;
    sock->until_ms = want->until_ms;
    sock->server = turn->servers->next;
    sock->judged = sock->slot == HF_CLIENT_SESSION_PROBE_SLOT; /* Its end tells about the network. */
    if (server->wrong[0] != '\0') {
        say(sock, server->wrong);
        lost(sock, turn);
        return;
    }
    hf_dial_start(&sock->dial, &server->host, turn->servers->dns_servers, sock->until_ms, turn->now_ms);
    socket_move(sock, HF_SOCKET_DIALING);
    dial(sock, turn);
}

static void time_out(struct hf_socket *sock, const char *what, const struct hf_socket_turn *turn)
{
    const struct hf_proxy *proxy = &server_of(sock, turn)->proxy;

    if (sock->stage == HF_SOCKET_TUNNELING)
        (void)snprintf(sock->why, sizeof(sock->why), "the proxy %.200s:%s: timed out: %s", proxy->host,
                       proxy->port, what);
    else
        (void)snprintf(sock->why, sizeof(sock->why), "%.200s: timed out: %s",
                       server_of(sock, turn)->url.authority, what);
    lost(sock, turn);
}

/* --- bytes --- */

/* Of a read or a write that has just been tried: what receive() and transmit() return. */
static long outcome(struct hf_socket *sock, long n, const char *doing)
{
    if (n >= 0 || n == HF_EAGAIN)
        return n;
    if (sock->tls == NULL && (errno == EAGAIN || errno == EINTR))
        return HF_EAGAIN;
    sock->failed_errno = sock->tls != NULL ? hf_tls_conn_errno(sock->tls) : errno;
    if (sock->tls != NULL)
        say(sock, hf_tls_conn_why(sock->tls));
    else
        say_why(sock, doing, errno);
    return HF_ECLOSED;
}

/* Both: bytes, 0 at the end (of reading), HF_EAGAIN, or another error with why set. */
static long receive(struct hf_socket *sock, uint8_t *buf, size_t cap)
{
    long n = sock->tls != NULL ? hf_tls_conn_read(sock->tls, buf, cap) : recv(sock->fd, buf, cap, 0);

    return outcome(sock, n, "receive");
}

static long transmit(struct hf_socket *sock, struct hf_str out)
{
    long n = sock->tls != NULL ? hf_tls_conn_write(sock->tls, out.data, out.len)
                               : send(sock->fd, out.data, out.len, MSG_NOSIGNAL);

    return outcome(sock, n, "send");
}

static void take(struct hf_socket *sock, size_t len, const struct hf_socket_turn *turn)
{
    uint32_t welcomes = hf_client_session_connections(turn->session);

    hf_client_session_recv(turn->session, sock->slot, turn->buf, len, turn->now_ms);
    if (hf_client_session_connections(turn->session) != welcomes)
        sock->judged = true;
}

static void read_some(struct hf_socket *sock, const struct hf_socket_turn *turn)
{
    unsigned turns;

    for (turns = 0; turns < READS_MAX && still_wanted(sock, turn); turns++) {
        long n = receive(sock, turn->buf, HF_READ_BYTES);

        if (n == HF_EAGAIN)
            return;
        if (n < 0) {
            lost(sock, turn);
            return;
        }
        if (n == 0) {
            say(sock, "the server ended the connection without a word");
            lost(sock, turn);
            return;
        }
        take(sock, (size_t)n, turn);
        if ((size_t)n < HF_READ_BYTES)
            return; /* That was all: poll() will tell of more. */
    }
}

/* Returns false when the socket takes no more for now, or is gone. */
static bool write_some(struct hf_socket *sock, const struct hf_socket_turn *turn)
{
    unsigned turns;

    for (turns = 0; turns < WRITES_MAX; turns++) {
        struct hf_str out = hf_client_session_output(turn->session, sock->slot, turn->now_ms);
        long n;

        if (out.len == 0)
            return true;
        n = transmit(sock, out);
        if (n == HF_EAGAIN)
            return false;
        if (n < 0) {
            /* What the server said before it closed may still lie in the socket; reading will meet the end. */
            if (!given_up_here(sock->failed_errno))
                read_some(sock, turn);
            if (still_wanted(sock, turn))
                lost(sock, turn);
            return false;
        }
        sock->wrote = true;
        hf_client_session_sent(turn->session, sock->slot, (size_t)n, turn->now_ms);
        if ((size_t)n < out.len)
            return false;
    }
    return false;
}

/*
 * The close frame is written; but a close() with unread input would reset the connection and might take it away from the
 * server. So only our side ends, until the server's does, or the session has waited long enough.
 */
static void end_write(struct hf_socket *sock, const struct hf_socket_turn *turn)
{
    if (sock->stage != HF_SOCKET_CARRYING || !write_some(sock, turn) || sock->fd < 0)
        return;
    if (sock->tls != NULL) {
        hf_tls_conn_end(sock->tls); /* It says so once, however often it is asked to. */
        if (hf_tls_conn_flush(sock->tls) == HF_EAGAIN)
            return;
    }
    (void)shutdown(sock->fd, SHUT_WR);
    socket_move(sock, HF_SOCKET_ENDING);
}

/* --- the interface --- */

/* What is under way is not wanted any more. */
static void give_up(struct hf_socket *sock, const struct hf_socket_turn *turn)
{
    /* With a connection that lives the attempt was dropped because it is not needed. */
    if (hf_client_session_state(turn->session) == HF_CLIENT_WAITING)
        not_welcome(sock, turn);
    hf_socket_release(sock);
}

/* The session may have changed its mind: what was prepared on doubt is wanted now, and has longer; or the doubt is gone, and it has not. */
static void take_time(struct hf_socket *sock, const struct hf_client_session_want *want)
{
    sock->until_ms = want->until_ms;
    if (sock->stage == HF_SOCKET_DIALING)
        hf_dial_set_until(&sock->dial, want->until_ms);
}

void hf_socket_obey(struct hf_socket *sock, const struct hf_socket_turn *turn)
{
    struct hf_client_session_want want = hf_client_session_want(turn->session, sock->slot);

    if (sock->stage != HF_SOCKET_NONE && !still_wanted(sock, turn))
        give_up(sock, turn);
    switch (want.wish) {
    case HF_WISH_NONE:
        break;
    case HF_WISH_CONNECT:
        if (sock->stage == HF_SOCKET_NONE && turn->hold)
            break;
        if (sock->stage == HF_SOCKET_NONE) {
            start(sock, &want, turn);
            break;
        }
        take_time(sock, &want);
        if (sock->stage == HF_SOCKET_DIALING)
            dial(sock, turn);
        break;
    case HF_WISH_CARRY:
        (void)write_some(sock, turn);
        break;
    case HF_WISH_CLOSE:
        not_welcome(sock, turn);
        end_write(sock, turn);
        break;
    }
}

/* Of sock->fd. */
static short events(const struct hf_socket *sock, const struct hf_socket_turn *turn)
{
    if (sock->stage == HF_SOCKET_TUNNELING)
        return hf_tunnel_wants_write(sock->tunnel) ? POLLOUT : POLLIN;
    if (sock->stage == HF_SOCKET_GREETING)
        return hf_tls_conn_wants_write(sock->tls) ? POLLIN | POLLOUT : POLLIN;
    /* What OpenSSL has read already no poll() tells of; that the socket can be written to it tells at once. */
    if (sock->tls != NULL && (hf_tls_conn_has_pending(sock->tls) || hf_tls_conn_wants_write(sock->tls)))
        return POLLIN | POLLOUT;
    if (sock->stage == HF_SOCKET_ENDING ||
        hf_client_session_output(turn->session, sock->slot, turn->now_ms).len == 0)
        return POLLIN;
    return POLLIN | POLLOUT;
}

int hf_socket_prepare(const struct hf_socket *sock, const struct hf_socket_turn *turn, struct pollfd *fds)
{
    if (sock->stage == HF_SOCKET_NONE)
        return 0;
    if (sock->stage == HF_SOCKET_DIALING)
        return hf_dial_prepare(&sock->dial, fds);
    fds[0] = (struct pollfd){.fd = sock->fd, .events = events(sock, turn)};
    return 1;
}

void hf_socket_ready(struct hf_socket *sock, const struct pollfd *fd, const struct hf_socket_turn *turn)
{
    if (fd->revents == 0 || !still_wanted(sock, turn))
        return;
    if (sock->stage == HF_SOCKET_DIALING)
        hf_dial_ready(&sock->dial, fd, turn->now_ms); /* What it leads to is seen when it is obeyed. */
    else if (fd->fd != sock->fd)
        return;
    else if (sock->stage == HF_SOCKET_TUNNELING)
        tunnel(sock, turn);
    else if (sock->stage == HF_SOCKET_GREETING)
        greet(sock, turn);
    else
        read_some(sock, turn);
}

uint64_t hf_socket_deadline_ms(const struct hf_socket *sock, uint64_t now_ms)
{
    if (sock->stage == HF_SOCKET_DIALING)
        return hf_dial_deadline_ms(&sock->dial, now_ms);
    return sock->stage == HF_SOCKET_TUNNELING || sock->stage == HF_SOCKET_GREETING ? sock->until_ms
                                                                                   : UINT64_MAX;
}

void hf_socket_tick(struct hf_socket *sock, const struct hf_socket_turn *turn)
{
    if (!still_wanted(sock, turn))
        return;
    if (sock->stage == HF_SOCKET_DIALING)
        dial(sock, turn);
    if (turn->now_ms < sock->until_ms)
        return;
    if (sock->stage == HF_SOCKET_TUNNELING)
        time_out(sock, "no answer to CONNECT", turn);
    else if (sock->stage == HF_SOCKET_GREETING)
        time_out(sock, "the TLS handshake did not end", turn);
}
