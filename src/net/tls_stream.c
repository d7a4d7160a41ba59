#include "net/tls_stream.h"

#include "base/assert.h"

#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum {
    /*
     * The first record of a large write fills one TCP segment, so that the peer can open it before the rest has come. From there on records are as
     * large as can be: each costs 29 bytes and a tag.
     */
    FIRST_RECORD_BYTES = 1300,
    BULK_BYTES = 4096, /* what is smaller is one record: a guess, three segments */
    RECORD_OVERHEAD = 64,
    OUT_BYTES = HF_TLS_WRITE_BYTES + 32 * 1024, /* and a handshake's flight with a long chain */
    /* Messages that carry no data: so many, and one more for each 64 KiB received. A KeyUpdate costs 15 us and 22 bytes. */
    IDLE_MESSAGES = 32,
    BYTES_PER_IDLE_MESSAGE = 64 * 1024,
    /* RFC 8446 5.1: the type of the only record that may begin a connection, and the first byte of an alert. */
    RECORD_HANDSHAKE = 22,
    RECORD_ALERT = 21,
};

static const char plain_http_answer[] =
    "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n"
    "Content-Length: 75\r\n\r\nThis port speaks TLS: use https:// or wss://, or the port for plain HTTP.\r\n";

struct hf_tls_stream {
    struct hf_tls_tenant tenant;
    struct hf_tls *tls;
    struct hf_tls_io *io;
    uint8_t *rest; /* records that the socket did not take: rest_at to rest_len */
    uint32_t rest_len, rest_at;
    int fd;
    uint8_t state;      /* enum hf_tls_state */
    bool begun;         /* the first byte has come */
    bool finish;        /* FIN is due behind the rest */
    bool said_goodbye;  /* close_notify has been made */
    bool socket_broken; /* it takes nothing any more */
    uint16_t idle_messages;
    uint64_t received;
    const char *why;
};

/* Before each use of the SSL. False: it had to be given up for want of memory. */
static bool enter(struct hf_tls_stream *s)
{
    s->io->current = s;
    hf_tls_tenant_enter(&s->io->places, &s->tenant);
    if (ERR_peek_error() != 0) /* A look is cheap, clearing is not. */
        ERR_clear_error();
    if (s->tenant.ssl != NULL)
        return true;
    s->state = HF_TLS_BROKEN;
    s->why = "out of memory";
    return false;
}

/* ---- Between OpenSSL and the socket ---- */

/* Keep bytes behind the rest. False: no memory, or past the bound. */
static bool keep(struct hf_tls_stream *s, const uint8_t *data, size_t len)
{
    size_t left = s->rest_len - s->rest_at;
    uint8_t *grown;

    if (left + len > HF_TLS_REST_MAX)
        return false;
    if (s->rest_at > 0)
        memmove(s->rest, s->rest + s->rest_at, left);
    s->rest_at = 0;
    s->rest_len = (uint32_t)left;
    grown = realloc(s->rest, left + len);
    if (grown == NULL)
        return false;
    memcpy(grown + left, data, len);
    s->rest = grown;
    s->rest_len += (uint32_t)len;
    return true;
}

/* Returns the bytes that the socket took, 0 for none now, or HF_ECLOSED. */
static long push(struct hf_tls_stream *s, const uint8_t *data, size_t len)
{
    ssize_t n = s->socket_broken ? -1 : send(s->fd, data, len, MSG_NOSIGNAL);

    if (n >= 0)
        return n;
    if (!s->socket_broken && (errno == EAGAIN || errno == EINTR || errno == ENOBUFS || errno == ENOMEM))
        return 0;
    s->socket_broken = true;
    return HF_ECLOSED;
}

/* What OpenSSL wrote goes into the socket, or behind what waits already. Returns 0 or HF_ECLOSED. */
static int push_out(struct hf_tls_stream *s)
{
    struct hf_tls_io *io = s->io;
    size_t len = io->out_len;
    long n;

    io->out_len = 0;
    if (len == 0)
        return 0;
    n = s->rest_len > 0 ? 0 : push(s, io->out, len);
    if (n < 0)
        return HF_ECLOSED;
    if ((size_t)n == len || keep(s, io->out + n, len - (size_t)n))
        return 0;
    s->socket_broken = true; /* With records missing in the middle nothing can follow. */
    return HF_ECLOSED;
}

static int on_bio_write(BIO *bio, const char *data, int len)
{
    struct hf_tls_io *io = BIO_get_data(bio);

    BIO_clear_retry_flags(bio);
    if (len <= 0)
        return len;
    if (io->out_len + (size_t)len > OUT_BYTES && push_out(io->current) < 0)
        return -1;
    if ((size_t)len > OUT_BYTES)
        return -1;
    memcpy(io->out + io->out_len, data, (size_t)len);
    io->out_len += (size_t)len;
    return len;
}

/* The first byte tells whether it is TLS at all. */
static bool begins_well(struct hf_tls_stream *s, uint8_t first)
{
    s->begun = true;
    if (first == RECORD_HANDSHAKE || first == RECORD_ALERT)
        return true;
    s->state = HF_TLS_REFUSED;
    if (first < 'A' || first > 'Z') {
        s->why = "what came is not TLS";
        hf_count(s->io->counters, HF_COUNT_TLS_FAILED_GARBAGE, 1);
        return false;
    }
    s->why = "plain HTTP on a port for TLS";
    hf_count(s->io->counters, HF_COUNT_TLS_FAILED_PLAIN, 1);
    (void)push(s, (const uint8_t *)plain_http_answer, sizeof(plain_http_answer) - 1);
    return false;
}

static int on_bio_read(BIO *bio, char *data, int len)
{
    struct hf_tls_io *io = BIO_get_data(bio);
    struct hf_tls_stream *s = io->current;
    ssize_t n = -1;

    BIO_clear_retry_flags(bio);
    if (len <= 0)
        return 0;
    if (!io->drained) {
        n = recv(s->fd, data, (size_t)len, 0);
        /* Edge-triggered: a short read has emptied it, and what comes later is a new edge. */
        io->drained = n < len && !io->ended && !(n < 0 && errno == EINTR);
        if (n > 0 && !s->begun && !begins_well(s, (uint8_t)data[0]))
            return -1;
        if (n >= 0)
            return (int)n;
        s->socket_broken = errno != EAGAIN && errno != EINTR;
        io->drained |= errno == EAGAIN;
    }
    if (!s->socket_broken)
        BIO_set_retry_read(bio);
    return -1;
}

static long on_bio_ctrl(BIO *bio, int command, long number, void *pointer)
{
    (void)bio;
    (void)number;
    (void)pointer;
    return command == BIO_CTRL_FLUSH || command == BIO_CTRL_DUP;
}

/* Handshake messages behind the handshake are KeyUpdate and attempts to renegotiate: each costs more than it says. */
static void on_message(int write, int version, int type, const void *data, size_t len, SSL *ssl, void *arg)
{
    struct hf_tls_stream *s = arg;

    (void)version;
    (void)data;
    (void)len;
    (void)ssl;
    if (write == 0 && (type == SSL3_RT_HANDSHAKE || type == SSL3_RT_ALERT) && s->state == HF_TLS_OPEN &&
        s->idle_messages < UINT16_MAX)
        s->idle_messages++;
}

/* ---- What all share ---- */

int hf_tls_io_init(struct hf_tls_io *io, struct hf_counters *counters)
{
    *io = (struct hf_tls_io){.counters = counters};
    io->method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "holdfast stream");
    io->plain = malloc(HF_TLS_RECORD_BYTES);
    io->out = malloc(OUT_BYTES);
    if (hf_tls_places_init(&io->places) < 0 || io->method == NULL || io->plain == NULL || io->out == NULL) {
        hf_tls_io_release(io);
        return HF_ENOMEM;
    }
    BIO_meth_set_write(io->method, on_bio_write);
    BIO_meth_set_read(io->method, on_bio_read);
    BIO_meth_set_ctrl(io->method, on_bio_ctrl);
    return 0;
}

void hf_tls_io_release(struct hf_tls_io *io)
{
    hf_tls_places_release(&io->places);
    BIO_meth_free(io->method);
    free(io->plain);
    free(io->out);
    *io = (struct hf_tls_io){0};
}

/* ---- Life ---- */

static bool attach(struct hf_tls_stream *s)
{
    BIO *bio;

    if (!hf_tls_tenant_new(&s->io->places, &s->tenant, hf_tls_context(s->tls)))
        return false;
    SSL_set_accept_state(s->tenant.ssl);
    bio = BIO_new(s->io->method);
    if (bio == NULL)
        return false;
    BIO_set_data(bio, s->io);
    BIO_set_init(bio, 1);
    SSL_set_bio(s->tenant.ssl, bio, bio);
    SSL_set_msg_callback(s->tenant.ssl, on_message);
    SSL_set_msg_callback_arg(s->tenant.ssl, s);
    return true;
}

struct hf_tls_stream *hf_tls_stream_new(struct hf_tls_io *io, struct hf_tls *tls, int fd)
{
    struct hf_tls_stream *s = calloc(1, sizeof(*s));

    if (s == NULL)
        return NULL;
    *s = (struct hf_tls_stream){.tls = hf_tls_hold(tls), .io = io, .fd = fd, .why = ""};
    ERR_clear_error();
    if (attach(s))
        return s;
    s->state = HF_TLS_BROKEN; /* It is no failed handshake. */
    hf_tls_stream_free(s);
    return NULL;
}

/* Make close_notify, once; it goes out with the next push. */
static void say_goodbye(struct hf_tls_stream *s)
{
    if (s->said_goodbye || (s->state != HF_TLS_OPEN && s->state != HF_TLS_ENDED))
        return;
    s->said_goodbye = true;
    if (!enter(s))
        return;
    (void)SSL_shutdown(s->tenant.ssl);
    (void)push_out(s);
}

void hf_tls_stream_free(struct hf_tls_stream *s)
{
    if (s == NULL)
        return;
    if (s->state == HF_TLS_HANDSHAKE)
        hf_count(s->io->counters, HF_COUNT_TLS_FAILED_UNFINISHED, 1);
    if (s->rest_len == 0 && !s->socket_broken)
        say_goodbye(s);
    hf_tls_tenant_free(&s->io->places, &s->tenant);
    hf_tls_drop(s->tls);
    free(s->rest);
    free(s);
}

enum hf_tls_state hf_tls_stream_state(const struct hf_tls_stream *s)
{
    return s->state;
}

const char *hf_tls_stream_why(const struct hf_tls_stream *s)
{
    return s->why;
}

/* ---- Reading ---- */

static enum hf_counter handshake_counter(const SSL *ssl)
{
    if (SSL_version(ssl) == TLS1_3_VERSION)
        return SSL_session_reused(ssl) ? HF_COUNT_TLS_1_3_RESUMED : HF_COUNT_TLS_1_3_FULL;
    return SSL_session_reused(ssl) ? HF_COUNT_TLS_1_2_RESUMED : HF_COUNT_TLS_1_2_FULL;
}

static enum hf_counter failure_counter(int reason)
{
    switch (reason) {
    case SSL_R_NO_SHARED_CIPHER:
    case SSL_R_NO_SUITABLE_KEY_SHARE:
    case SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM:
    case SSL_R_NO_SHARED_GROUPS:
        return HF_COUNT_TLS_FAILED_CIPHER;
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_VERSION_TOO_LOW:
    case SSL_R_WRONG_VERSION_NUMBER:
    case SSL_R_INAPPROPRIATE_FALLBACK:
        return HF_COUNT_TLS_FAILED_VERSION;
    case SSL_R_NO_APPLICATION_PROTOCOL:
        return HF_COUNT_TLS_FAILED_ALPN;
    case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
    case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
    case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
    case SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE:
        return HF_COUNT_TLS_FAILED_CERTIFICATE;
    default:
        return HF_COUNT_TLS_FAILED_OTHER;
    }
}

static void broken(struct hf_tls_stream *s, enum hf_counter counter, const char *why)
{
    s->state = HF_TLS_BROKEN;
    s->why = why;
    hf_count(s->io->counters, counter, 1);
}

/* OpenSSL gave up: find out why. The alert, where there is one, lies in the buffer already. */
static void failed(struct hf_tls_stream *s, int error)
{
    unsigned long last = ERR_peek_error();
    const char *text = last == 0 ? NULL : ERR_reason_error_string(last);
    bool eof = error == SSL_ERROR_SYSCALL || ERR_GET_REASON(last) == SSL_R_UNEXPECTED_EOF_WHILE_READING;

    if (s->state == HF_TLS_REFUSED)
        return;
    if (s->state == HF_TLS_OPEN && eof)
        broken(s, HF_COUNT_TLS_TRUNCATED, "the connection ended without close_notify");
    else if (s->state == HF_TLS_OPEN)
        broken(s, HF_COUNT_TLS_BROKEN, text == NULL ? "a bad record" : text);
    else if (eof)
        broken(s, HF_COUNT_TLS_FAILED_UNFINISHED, "the peer ended the connection in mid-handshake");
    else
        broken(s, failure_counter(ERR_GET_REASON(last)), text == NULL ? "it failed" : text);
}

static void stopped(struct hf_tls_stream *s, int result)
{
    int error = SSL_get_error(s->tenant.ssl, result);

    if (error == SSL_ERROR_ZERO_RETURN)
        s->state = HF_TLS_ENDED;
    else if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE)
        failed(s, error);
}

static void look_at_handshake(struct hf_tls_stream *s)
{
    if (s->state != HF_TLS_HANDSHAKE || !SSL_is_init_finished(s->tenant.ssl))
        return;
    s->state = HF_TLS_OPEN;
    s->idle_messages = 0;
    hf_count(s->io->counters, handshake_counter(s->tenant.ssl), 1);
}

static bool costs_too_much(const struct hf_tls_stream *s)
{
    return s->idle_messages > IDLE_MESSAGES + s->received / BYTES_PER_IDLE_MESSAGE;
}

static size_t read_records(struct hf_tls_stream *s, uint8_t *buf, size_t cap)
{
    size_t used = 0;

    while (used < cap && (s->state == HF_TLS_HANDSHAKE || s->state == HF_TLS_OPEN)) {
        int n = SSL_read(s->tenant.ssl, buf + used, (int)(cap - used));

        look_at_handshake(s);
        if (n <= 0) {
            stopped(s, n);
            break;
        }
        used += (size_t)n;
        s->received += (uint64_t)n;
        if (costs_too_much(s))
            broken(s, HF_COUNT_TLS_FLOODED, "too many KeyUpdates or attempts to renegotiate");
    }
    if (s->state == HF_TLS_OPEN && costs_too_much(s))
        broken(s, HF_COUNT_TLS_FLOODED, "too many KeyUpdates or attempts to renegotiate");
    return used;
}

/* Throw away what comes, so that the answer to what was refused is not lost by a reset. */
static long swallow(struct hf_tls_stream *s, uint8_t *buf, size_t cap, bool *more)
{
    ssize_t n = recv(s->fd, buf, cap, 0);

    *more = n > 0 || (n < 0 && errno == EINTR);
    if (n == 0)
        return HF_ECLOSED;
    return n > 0 || errno == EAGAIN || errno == EINTR ? HF_EAGAIN : HF_EPROTO;
}

long hf_tls_stream_read(struct hf_tls_stream *s, uint8_t *buf, size_t cap, bool ended, bool *more)
{
    struct hf_tls_io *io = s->io;
    size_t used;

    hf_assert(cap <= INT32_MAX);
    *more = false;
    if (s->state == HF_TLS_REFUSED)
        return swallow(s, buf, cap, more);
    if (!enter(s))
        return HF_EPROTO;
    io->drained = false;
    io->ended = ended;
    used = read_records(s, buf, cap);
    if (push_out(s) < 0 && s->state == HF_TLS_OPEN)
        broken(s, HF_COUNT_TLS_TRUNCATED, "the connection broke");
    /* Full, or at an end that is told with the next call. */
    *more = used == cap || s->state != HF_TLS_OPEN || !io->drained;
    if (used > 0)
        return (long)used;
    if (s->state == HF_TLS_REFUSED) {
        (void)shutdown(s->fd, SHUT_WR);
        return swallow(s, buf, cap, more);
    }
    if (s->state == HF_TLS_ENDED)
        return HF_ECLOSED;
    if (s->state == HF_TLS_BROKEN)
        return HF_EPROTO;
    *more = !io->drained;
    return HF_EAGAIN;
}

/* ---- Writing ---- */

/* Where a gathered write has got to. */
struct source {
    const struct iovec *iov;
    int count;
    size_t at; /* in iov[0] */
};

static size_t left_of(const struct source *from, size_t most)
{
    size_t sum = 0;

    for (int i = 0; i < from->count && sum < most; i++)
        sum += from->iov[i].iov_len - (i == 0 ? from->at : 0);
    return sum < most ? sum : most;
}

/* The next len bytes in one piece: where they are, if they lie so, else copied together. */
static const uint8_t *piece(struct source *from, uint8_t *scratch, size_t len)
{
    const uint8_t *data = (const uint8_t *)from->iov->iov_base + from->at;
    size_t used = 0;

    if (from->iov->iov_len - from->at >= len) {
        from->at += len;
        return data;
    }
    while (used < len) {
        size_t n = from->iov->iov_len - from->at;

        n = n < len - used ? n : len - used;
        if (n > 0)
            memcpy(scratch + used, (const uint8_t *)from->iov->iov_base + from->at, n);
        used += n;
        from->at += n;
        if (from->at == from->iov->iov_len) {
            from->iov++;
            from->count--;
            from->at = 0;
        }
    }
    return scratch;
}

static void skip_empty(struct source *from)
{
    while (from->count > 0 && from->at == from->iov->iov_len) {
        from->iov++;
        from->count--;
        from->at = 0;
    }
}

/* As many records as make one write to the socket. Returns the bytes taken, or HF_ECLOSED. */
static long write_batch(struct hf_tls_stream *s, struct source *from, bool first)
{
    size_t taken = 0, record = first && left_of(from, BULK_BYTES) == BULK_BYTES ? FIRST_RECORD_BYTES
                                                                                : HF_TLS_RECORD_BYTES;

    for (skip_empty(from); from->count > 0 && taken + record <= HF_TLS_WRITE_BYTES; skip_empty(from)) {
        size_t len = left_of(from, record);
        const uint8_t *data = piece(from, s->io->plain, len);

        /* The BIO takes all, so that no write is ever half done. */
        if (SSL_write(s->tenant.ssl, data, (int)len) != (int)len)
            return HF_ECLOSED;
        taken += len;
        record = HF_TLS_RECORD_BYTES;
    }
    return push_out(s) < 0 ? HF_ECLOSED : (long)taken;
}

static long write_all(struct hf_tls_stream *s, struct source *from)
{
    long taken = 0;

    do {
        long n = write_batch(s, from, taken == 0);

        if (n < 0)
            return HF_ECLOSED;
        taken += n;
        skip_empty(from);
    } while (from->count > 0 && s->rest_len == 0);
    return taken;
}

long hf_tls_stream_write(struct hf_tls_stream *s, const struct iovec *iov, int count)
{
    struct source from = {iov, count, 0};

    if (s->state != HF_TLS_OPEN && s->state != HF_TLS_ENDED)
        return (long)left_of(&from, SIZE_MAX);
    if (s->said_goodbye || s->socket_broken)
        return HF_ECLOSED;
    if (hf_tls_stream_flush(s) < 0)
        return s->socket_broken ? HF_ECLOSED : HF_EAGAIN;
    return enter(s) ? write_all(s, &from) : HF_ECLOSED;
}

int hf_tls_stream_flush(struct hf_tls_stream *s)
{
    long n;

    if (s->rest_len == 0)
        return 0;
    n = push(s, s->rest + s->rest_at, s->rest_len - s->rest_at);
    if (n < 0)
        return HF_ECLOSED;
    s->rest_at += (uint32_t)n;
    if (s->rest_at < s->rest_len)
        return HF_EAGAIN;
    free(s->rest);
    s->rest = NULL;
    s->rest_len = s->rest_at = 0;
    if (s->finish)
        (void)shutdown(s->fd, SHUT_WR);
    return 0;
}

void hf_tls_stream_finish(struct hf_tls_stream *s)
{
    say_goodbye(s);
    s->finish = true;
    if (s->rest_len == 0)
        (void)shutdown(s->fd, SHUT_WR);
}
