#include "client/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    READS_MAX = 16,
    WRITES_MAX = 16
}; /* of a turn, so that the other slot and the application have theirs */

void hf_socket_init(struct hf_socket *sock, unsigned slot)
{
    *sock = (struct hf_socket){.fd = -1, .slot = slot};
}

void hf_socket_release(struct hf_socket *sock)
{
    hf_tls_conn_free(sock->tls);
    if (sock->fd >= 0)
        (void)close(sock->fd);
    hf_socket_init(sock, sock->slot);
}

static void say_why(struct hf_socket *sock, const char *what, int error)
{
    char text[80];

    /* GNU's strerror_r() returns the text, wherever it lies. */
    (void)snprintf(sock->why, sizeof(sock->why), "%s: %s", what, strerror_r(error, text, sizeof(text)));
}

static void lost(struct hf_socket *sock, const struct hf_socket_turn *turn)
{
    char why[sizeof(sock->why)];

    memcpy(why, sock->why, sizeof(why));
    hf_socket_release(sock);
    hf_client_session_lost(turn->session, sock->slot, why, turn->now_ms);
}

/* --- connecting --- */

static bool look_up(struct hf_socket *sock, struct hf_addresses *a)
{
    const struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *found = NULL, *at;
    int err = getaddrinfo(a->url->host, a->url->port, &hints, &found);

    if (err != 0) {
        (void)snprintf(sock->why, sizeof(sock->why), "%.200s: %s", a->url->host, gai_strerror(err));
        return false;
    }
    a->count = 0;
    for (at = found; at != NULL && a->count < HF_ADDRESSES_MAX; at = at->ai_next) {
        memcpy(&a->list[a->count].address, at->ai_addr, at->ai_addrlen);
        a->list[a->count].len = at->ai_addrlen;
        a->list[a->count].family = at->ai_family;
        a->count++;
    }
    freeaddrinfo(found);
    return a->count > 0;
}

/* Begin to connect to one address. False: it failed at once, with why set. */
static bool try_address(struct hf_socket *sock, const struct hf_addresses *a)
{
    const int on = 1;

    sock->address = (a->first + sock->tried) % a->count;
    sock->tried++;
    sock->fd = socket(a->list[sock->address].family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (sock->fd < 0) {
        say_why(sock, "socket", errno);
        return false;
    }
    /* Many small messages, gathered by us: nothing is won by waiting for an acknowledgement of TCP's. */
    (void)setsockopt(sock->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    sock->connecting = true;
    if (connect(sock->fd, (const struct sockaddr *)&a->list[sock->address].address,
                a->list[sock->address].len) == 0 ||
        errno == EINPROGRESS || errno == EINTR)
        return true;
    say_why(sock, "connect", errno);
    (void)close(sock->fd);
    sock->fd = -1;
    return false;
}

/* Try the addresses that are left, until one connects or may yet. */
static void try_addresses(struct hf_socket *sock, const struct hf_socket_turn *turn)
{
    while (sock->tried < turn->addresses->count)
        if (try_address(sock, turn->addresses))
            return;
    lost(sock, turn);
}

static void start(struct hf_socket *sock, uint32_t attempt, const struct hf_socket_turn *turn)
{
    sock->attempt = attempt;
    sock->tried = 0;
    if (look_up(sock, turn->addresses))
        try_addresses(sock, turn);
    else
        lost(sock, turn);
}

/* Go on with the handshake of TLS. */
static void greet(struct hf_socket *sock, const struct hf_socket_turn *turn)
{
    int err = hf_tls_conn_handshake(sock->tls);

    if (err == HF_EAGAIN)
        return;
    if (err < 0) {
        (void)snprintf(sock->why, sizeof(sock->why), "%s", hf_tls_conn_why(sock->tls));
        lost(sock, turn);
        return;
    }
    sock->greeting = false;
    hf_client_session_connected(turn->session, sock->slot, turn->now_ms);
}

static void begin_tls(struct hf_socket *sock, const struct hf_socket_turn *turn)
{
    sock->tls = hf_tls_conn_new(turn->tls, sock->fd, turn->addresses->url->host);
    sock->greeting = true;
    if (sock->tls != NULL) {
        greet(sock, turn);
        return;
    }
    (void)snprintf(sock->why, sizeof(sock->why), "TLS: out of memory");
    lost(sock, turn);
}

static void connect_ended(struct hf_socket *sock, const struct hf_socket_turn *turn)
{
    int error = 0;
    socklen_t len = sizeof(error);

    if (getsockopt(sock->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
        error = errno;
    if (error != 0) {
        say_why(sock, "connect", error);
        (void)close(sock->fd);
        sock->fd = -1;
        try_addresses(sock, turn);
        return;
    }
    sock->connecting = false;
    turn->addresses->first = sock->address;
    if (turn->tls != NULL)
        begin_tls(sock, turn);
    else
        hf_client_session_connected(turn->session, sock->slot, turn->now_ms);
}

/* --- bytes --- */

/* Of a read or a write that has just been tried: what receive() and transmit() return. */
static long outcome(struct hf_socket *sock, long n, const char *doing)
{
    if (n >= 0 || n == HF_EAGAIN)
        return n;
    if (sock->tls == NULL && (errno == EAGAIN || errno == EINTR))
        return HF_EAGAIN;
    if (sock->tls != NULL)
        (void)snprintf(sock->why, sizeof(sock->why), "%s", hf_tls_conn_why(sock->tls));
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

static bool still_wanted(const struct hf_socket *sock, const struct hf_socket_turn *turn)
{
    struct hf_client_session_want want = hf_client_session_want(turn->session, sock->slot);

    return sock->fd >= 0 && want.attempt == sock->attempt && want.wish != HF_WISH_NONE;
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
            (void)snprintf(sock->why, sizeof(sock->why), "the server ended the connection without a word");
            lost(sock, turn);
            return;
        }
        hf_client_session_recv(turn->session, sock->slot, turn->buf, (size_t)n, turn->now_ms);
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
    if (sock->write_ended || !write_some(sock, turn) || sock->fd < 0)
        return;
    if (sock->tls != NULL) {
        hf_tls_conn_end(sock->tls); /* It says so once, however often it is asked to. */
        if (hf_tls_conn_flush(sock->tls) == HF_EAGAIN)
            return;
    }
    (void)shutdown(sock->fd, SHUT_WR);
    sock->write_ended = true;
}

/* --- the interface --- */

void hf_socket_obey(struct hf_socket *sock, const struct hf_socket_turn *turn)
{
    struct hf_client_session_want want = hf_client_session_want(turn->session, sock->slot);

    if (sock->fd >= 0 && (want.wish == HF_WISH_NONE || want.attempt != sock->attempt)) {
        if (sock->connecting) /* It did not answer in time: the next attempt begins with another address. */
            turn->addresses->first = sock->address + 1;
        hf_socket_release(sock);
    }
    switch (want.wish) {
    case HF_WISH_NONE:
        break;
    case HF_WISH_CONNECT:
        if (sock->fd < 0)
            start(sock, want.attempt, turn);
        break;
    case HF_WISH_CARRY:
        (void)write_some(sock, turn);
        break;
    case HF_WISH_CLOSE:
        end_write(sock, turn);
        break;
    }
}

short hf_socket_events(const struct hf_socket *sock, const struct hf_socket_turn *turn)
{
    if (sock->fd < 0)
        return 0;
    if (sock->connecting)
        return POLLOUT;
    if (sock->greeting)
        return hf_tls_conn_wants_write(sock->tls) ? POLLIN | POLLOUT : POLLIN;
    /* What OpenSSL has read already no poll() tells of; that the socket can be written to it tells at once. */
    if (sock->tls != NULL && (hf_tls_conn_has_pending(sock->tls) || hf_tls_conn_wants_write(sock->tls)))
        return POLLIN | POLLOUT;
    if (sock->write_ended || hf_client_session_output(turn->session, sock->slot, turn->now_ms).len == 0)
        return POLLIN;
    return POLLIN | POLLOUT;
}

void hf_socket_ready(struct hf_socket *sock, short revents, const struct hf_socket_turn *turn)
{
    if (revents == 0 || !still_wanted(sock, turn))
        return;
    if (sock->connecting)
        connect_ended(sock, turn);
    else if (sock->greeting)
        greet(sock, turn);
    else
        read_some(sock, turn);
}
