#include "client/tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    WRITE_BYTES = 64 * 1024, /* of one write: what waits for the socket is no more */
    TICKETS_MAX = 4,         /* of a host */
    RETURNS_MAX =
        4, /* so often a host's tickets come back unused until a handshake is complete: it may be the ticket that a server dies of */
    HOSTS_MAX = 8, /* as many as a client may have URLs */
};

/* What one server gave to resume with. */
struct tickets {
    char authority[sizeof(((struct hf_url *)NULL)->authority)]; /* empty: nobody's */
    uint64_t met;                                               /* the greater, the later */
    unsigned returns;                                           /* since the last complete handshake */
    unsigned count;
    SSL_SESSION *list[TICKETS_MAX]; /* the newest is the last */
};

struct hf_client_tls {
    SSL_CTX *ctx;
    uint64_t meetings;
    struct tickets hosts[HOSTS_MAX];
};

struct hf_tls_conn {
    SSL *ssl;
    struct hf_client_tls *tls;
    char authority[sizeof(((struct hf_url *)NULL)->authority)];
    SSL_SESSION *ticket; /* what it shall resume with; NULL: nothing, or the handshake is complete */
    BIO *out;            /* records on their way; the SSL owns it */
    int fd;
    int failed_errno; /* of the socket; 0: it has not failed */
    char why[320];
};

/* ---- What a client's connections share ---- */

static void forget(struct tickets *host)
{
    while (host->count > 0)
        SSL_SESSION_free(host->list[--host->count]);
    host->authority[0] = '\0';
}

/* The tickets of a server; where there are none yet, in the place of whom we have not met for the longest time. */
static struct tickets *tickets_of(struct hf_client_tls *tls, const char *authority)
{
    struct tickets *at = &tls->hosts[0];
    unsigned i;

    for (i = 0; i < HOSTS_MAX && strcmp(tls->hosts[i].authority, authority) != 0; i++)
        if (tls->hosts[i].met < at->met)
            at = &tls->hosts[i];
    if (i < HOSTS_MAX) {
        at = &tls->hosts[i];
    } else {
        forget(at);
        (void)snprintf(at->authority, sizeof(at->authority), "%s", authority);
    }
    at->met = ++tls->meetings;
    return at;
}

static void keep_ticket(struct tickets *host, SSL_SESSION *ticket)
{
    if (ticket == NULL) /* No memory: the next handshake is a full one. */
        return;
    if (host->count == TICKETS_MAX) {
        SSL_SESSION_free(host->list[0]);
        memmove(&host->list[0], &host->list[1], (TICKETS_MAX - 1) * sizeof(host->list[0]));
        host->count--;
    }
    host->list[host->count++] = ticket;
}

/* Where a ticket does not fit any more, the handshake is a full one. */
static void use_ticket(struct hf_tls_conn *c)
{
    struct tickets *host = tickets_of(c->tls, c->authority);
    SSL_SESSION *copy;

    if (host->count == 0)
        return;
    c->ticket = host->list[--host->count];
    copy = SSL_SESSION_dup(c->ticket); /* See on_new_session(): ours may be wanted once more. */
    if (copy != NULL)
        (void)SSL_set_session(c->ssl, copy);
    SSL_SESSION_free(copy);
}

static void ticket_used(struct hf_tls_conn *c)
{
    SSL_SESSION_free(c->ticket);
    c->ticket = NULL;
    tickets_of(c->tls, c->authority)->returns = 0;
}

/* The connection is given up. A ticket that nobody has answered to is as good as new: networks that break cost no full handshake. */
static void return_ticket(struct hf_tls_conn *c)
{
    struct tickets *host = c->ticket == NULL ? NULL : tickets_of(c->tls, c->authority);

    if (host != NULL && BIO_number_read(SSL_get_rbio(c->ssl)) == 0 && host->returns < RETURNS_MAX) {
        host->returns++;
        keep_ticket(host, c->ticket);
    } else {
        SSL_SESSION_free(c->ticket);
    }
    c->ticket = NULL;
}

static int on_new_session(SSL *ssl, SSL_SESSION *session)
{
    const struct hf_tls_conn *c = SSL_get_app_data(ssl);

    /* A copy: OpenSSL declares the session of a connection that broke unfit to resume, but a lost network says nothing against it. */
    keep_ticket(tickets_of(c->tls, c->authority), SSL_SESSION_dup(session));
    return 0; /* The original stays theirs. */
}

static int trust(SSL_CTX *ctx, const char *ca_file)
{
    if (ca_file == NULL)
        return SSL_CTX_set_default_verify_paths(ctx) == 1 ? 0 : HF_ENOMEM;
    if (access(ca_file, R_OK) < 0)
        return HF_EIO;
    return SSL_CTX_load_verify_file(ctx, ca_file) == 1 ? 0 : HF_ECERT;
}

static int set_up(struct hf_client_tls *tls, const char *ca_file)
{
    static const unsigned char alpn[] = "\x08http/1.1";

    tls->ctx = SSL_CTX_new(TLS_client_method());
    if (tls->ctx == NULL)
        return HF_ENOMEM;
    SSL_CTX_set_min_proto_version(tls->ctx, TLS1_2_VERSION);
    SSL_CTX_set_options(tls->ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_mode(tls->ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE);
    SSL_CTX_set_verify(tls->ctx, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_session_cache_mode(tls->ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(tls->ctx, on_new_session);
    if (SSL_CTX_set_alpn_protos(tls->ctx, alpn, sizeof(alpn) - 1) != 0)
        return HF_ENOMEM;
    return trust(tls->ctx, ca_file);
}

int hf_client_tls_new(const char *ca_file, struct hf_client_tls **out)
{
    struct hf_client_tls *tls = calloc(1, sizeof(*tls));
    int err = tls == NULL ? HF_ENOMEM : set_up(tls, ca_file), saved = errno;

    ERR_clear_error();
    if (err == 0) {
        *out = tls;
        return 0;
    }
    hf_client_tls_free(tls);
    errno = saved;
    return err;
}

void hf_client_tls_free(struct hf_client_tls *tls)
{
    unsigned i;

    if (tls == NULL)
        return;
    for (i = 0; i < HOSTS_MAX; i++)
        forget(&tls->hosts[i]);
    SSL_CTX_free(tls->ctx);
    free(tls);
}

/* ---- One connection ---- */

/* RFC 6066 3: "Literal IPv4 and IPv6 addresses are not permitted in 'HostName'." They are compared with the addresses in the certificate. */
static bool set_host(SSL *ssl, const char *host)
{
    uint8_t address[sizeof(struct in6_addr)];

    if (inet_pton(AF_INET, host, address) == 1 || inet_pton(AF_INET6, host, address) == 1)
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host) == 1;
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    /* SSL_set_tlsext_host_name(), whose cast takes away the const. */
    return SSL_set1_host(ssl, host) == 1 && SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME,
                                                     TLSEXT_NAMETYPE_host_name, (void *)(uintptr_t)host) == 1;
}

static bool set_bios(struct hf_tls_conn *c)
{
    BIO *in = BIO_new_socket(c->fd, BIO_NOCLOSE);

    c->out = BIO_new(BIO_s_mem());
    if (in == NULL || c->out == NULL) {
        BIO_free(in);
        BIO_free(c->out);
        return false;
    }
    SSL_set_bio(c->ssl, in, c->out);
    return true;
}

struct hf_tls_conn *hf_tls_conn_new(struct hf_client_tls *tls, int fd, const struct hf_url *url)
{
    struct hf_tls_conn *c = calloc(1, sizeof(*c));

    if (c == NULL)
        return NULL;
    ERR_clear_error();
    c->fd = fd;
    c->tls = tls;
    memcpy(c->authority, url->authority, sizeof(c->authority));
    c->ssl = SSL_new(tls->ctx);
    if (c->ssl == NULL || !set_bios(c) || !set_host(c->ssl, url->host)) {
        hf_tls_conn_free(c);
        return NULL;
    }
    SSL_set_app_data(c->ssl, c);
    SSL_set_connect_state(c->ssl);
    use_ticket(c);
    return c;
}

void hf_tls_conn_free(struct hf_tls_conn *c)
{
    if (c == NULL)
        return;
    return_ticket(c);
    SSL_free(c->ssl);
    free(c);
}

bool hf_tls_conn_wants_write(const struct hf_tls_conn *c)
{
    return BIO_ctrl_pending(c->out) > 0;
}

bool hf_tls_conn_has_pending(const struct hf_tls_conn *c)
{
    return SSL_pending(c->ssl) > 0; /* Without read-ahead it holds no further record, only the rest of one. */
}

const char *hf_tls_conn_why(const struct hf_tls_conn *c)
{
    return c->why;
}

int hf_tls_conn_errno(const struct hf_tls_conn *c)
{
    return c->failed_errno;
}

static void socket_failed(struct hf_tls_conn *c, const char *doing)
{
    char text[80];

    c->failed_errno = errno;
    snprintf(c->why, sizeof(c->why), "%s: %s", doing, strerror_r(errno, text, sizeof(text)));
}

int hf_tls_conn_flush(struct hf_tls_conn *c)
{
    uint8_t sent[4096];
    char *data;
    long len = BIO_get_mem_data(c->out, &data);
    ssize_t n = 0;

    if (len > 0)
        n = send(c->fd, data, (size_t)len, MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN && errno != EINTR) {
        socket_failed(c, "send");
        return HF_ECLOSED;
    }
    for (long gone = 0; gone < n;) /* Only reading takes bytes out of a memory BIO. */
        gone += BIO_read(c->out, sent, n - gone < (long)sizeof(sent) ? (int)(n - gone) : (int)sizeof(sent));
    return n < len ? HF_EAGAIN : 0;
}

/* Why the server's certificate was not taken, and what helps. */
static const char *advice(long verify)
{
    switch (verify) {
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
        return "the URL must name the server as its certificate does";
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
        return "its authority is not known here: give that one's certificate as the CA file";
    case X509_V_ERR_CERT_HAS_EXPIRED:
    case X509_V_ERR_CERT_NOT_YET_VALID:
        return "the server needs a new one, or this machine's clock is wrong";
    default:
        return "";
    }
}

static void say_why(struct hf_tls_conn *c, int error)
{
    long verify = SSL_get_verify_result(c->ssl);
    unsigned long last = ERR_peek_last_error();
    const char *reason = last == 0 ? NULL : ERR_reason_error_string(last);

    if (verify != X509_V_OK)
        snprintf(c->why, sizeof(c->why), "the server's certificate is not accepted: %s%s%s",
                 X509_verify_cert_error_string(verify), advice(verify)[0] == '\0' ? "" : "; ",
                 advice(verify));
    else if (ERR_GET_REASON(last) == SSL_R_WRONG_VERSION_NUMBER)
        snprintf(c->why, sizeof(c->why), "the server does not speak TLS on this port: ws:// may be meant");
    else if (error == SSL_ERROR_SYSCALL || ERR_GET_REASON(last) == SSL_R_UNEXPECTED_EOF_WHILE_READING)
        snprintf(c->why, sizeof(c->why), "TLS: the server ended the connection without a word");
    else
        snprintf(c->why, sizeof(c->why), "TLS: %s", reason == NULL ? "it failed" : reason);
}

static int stopped(struct hf_tls_conn *c, int result)
{
    int error = SSL_get_error(c->ssl, result);

    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE)
        return HF_EAGAIN;
    if (error == SSL_ERROR_ZERO_RETURN)
        return 0;
    if (error == SSL_ERROR_SYSCALL && errno != 0)
        socket_failed(c, "receive");
    else
        say_why(c, error);
    return HF_EPROTO;
}

int hf_tls_conn_handshake(struct hf_tls_conn *c)
{
    int result, err;

    ERR_clear_error();
    result = SSL_do_handshake(c->ssl);
    err = result == 1 ? 0 : stopped(c, result);
    if (result == 1)
        ticket_used(c);
    if (err != HF_EPROTO && hf_tls_conn_flush(c) == HF_ECLOSED)
        return HF_ECLOSED;
    if (err == HF_EPROTO)
        (void)hf_tls_conn_flush(c); /* The alert. */
    return result == 1 ? 0 : err == 0 ? HF_EPROTO : err;
}

long hf_tls_conn_read(struct hf_tls_conn *c, uint8_t *buf, size_t cap)
{
    size_t used = 0;
    long err = 0;

    ERR_clear_error();
    while (used < cap) {
        int n = SSL_read(c->ssl, buf + used, (int)(cap - used));

        if (n <= 0) {
            err = stopped(c, n);
            break;
        }
        used += (size_t)n;
    }
    if (hf_tls_conn_flush(c) == HF_ECLOSED && used == 0 && err == HF_EAGAIN)
        return HF_ECLOSED;
    /* An end behind what was read shows again with the next call. */
    return used > 0 ? (long)used : err;
}

long hf_tls_conn_write(struct hf_tls_conn *c, const void *data, size_t len)
{
    size_t taken = 0;
    int err = hf_tls_conn_flush(c);

    if (err < 0)
        return err;
    ERR_clear_error();
    while (taken < len && taken < WRITE_BYTES) {
        int n = SSL_write(c->ssl, (const char *)data + taken,
                          (int)(len - taken < WRITE_BYTES ? len - taken : WRITE_BYTES));

        if (n <= 0) {
            (void)stopped(c, n);
            return HF_EPROTO; /* A memory BIO takes all. */
        }
        taken += (size_t)n;
    }
    err = hf_tls_conn_flush(c);
    return err == HF_ECLOSED ? HF_ECLOSED : (long)taken;
}

void hf_tls_conn_end(struct hf_tls_conn *c)
{
    ERR_clear_error();
    if (SSL_is_init_finished(c->ssl))
        (void)SSL_shutdown(c->ssl);
}
