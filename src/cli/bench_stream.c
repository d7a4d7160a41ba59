#include "cli/bench_stream.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>

/* The newest session, or ticket for one, in place of the one before. Returns 1: it is ours now. */
static int keep_session(SSL *ssl, SSL_SESSION *session)
{
    SSL_CTX *tls = SSL_get_SSL_CTX(ssl);

    SSL_SESSION_free(SSL_CTX_get_app_data(tls));
    (void)SSL_CTX_set_app_data(tls, session);
    return 1;
}

struct ssl_ctx_st *hf_bench_tls_new(const struct hf_bench_options *o, char problem[HF_BENCH_TEXT_MAX])
{
    SSL_CTX *tls = SSL_CTX_new(TLS_client_method());
    bool believes;

    if (tls == NULL) {
        (void)snprintf(problem, HF_BENCH_TEXT_MAX, "out of memory for TLS");
        return NULL;
    }
    /* An idle connection then keeps no buffers of 34 KiB; and a write may be repeated from another place. */
    SSL_CTX_set_mode(tls, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                              SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    /* Else each connection is measured as a first one. */
    SSL_CTX_set_session_cache_mode(tls, o->tls_resume ? SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL
                                                      : SSL_SESS_CACHE_OFF);
    if (o->tls_resume)
        SSL_CTX_sess_set_new_cb(tls, keep_session);
    SSL_CTX_set_options(tls, SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_verify(tls, o->insecure ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
    believes = o->insecure || (o->ca != NULL ? SSL_CTX_load_verify_locations(tls, o->ca, NULL) == 1
                                             : SSL_CTX_set_default_verify_paths(tls) == 1);
    if (!believes) {
        (void)snprintf(problem, HF_BENCH_TEXT_MAX, "no certificates can be read from %.100s",
                       o->ca != NULL ? o->ca : "the system's store");
        SSL_CTX_free(tls);
        return NULL;
    }
    return tls;
}

void hf_bench_tls_free(struct ssl_ctx_st *tls)
{
    if (tls != NULL)
        SSL_SESSION_free(SSL_CTX_get_app_data(tls));
    SSL_CTX_free(tls);
}

/* A copy, because OpenSSL uses a session of TLS 1.3 once only. Returns false for want of memory. */
static bool resume_session(SSL *ssl, SSL_CTX *tls)
{
    SSL_SESSION *kept = SSL_CTX_get_app_data(tls), *copy = kept == NULL ? NULL : SSL_SESSION_dup(kept);
    bool set = kept == NULL || (copy != NULL && SSL_set_session(ssl, copy) == 1);

    SSL_SESSION_free(copy);
    return set;
}

int hf_bench_stream_secure(struct hf_bench_stream *s, struct ssl_ctx_st *tls, const char *name)
{
    bool is_address = strchr(name, ':') != NULL || name[strspn(name, "0123456789.")] == '\0';
    X509_VERIFY_PARAM *param;

    s->ssl = SSL_new(tls);
    if (s->ssl == NULL || SSL_set_fd(s->ssl, s->fd) != 1)
        return HF_ENOMEM;
    SSL_set_connect_state(s->ssl);
    if (!resume_session(s->ssl, tls))
        return HF_ENOMEM;
    param = SSL_get0_param(s->ssl);
    /* RFC 6066 section 3: "Literal IPv4 and IPv6 addresses are not permitted in HostName." */
    if (is_address)
        return X509_VERIFY_PARAM_set1_ip_asc(param, name) == 1 ? 0 : HF_ENOMEM;
    /* SSL_set_tlsext_host_name(), whose cast takes away the const. */
    return SSL_ctrl(s->ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
                    (void *)(uintptr_t)name) == 1 &&
                   SSL_set1_host(s->ssl, name) == 1
               ? 0
               : HF_ENOMEM;
}

bool hf_bench_stream_resumed(const struct hf_bench_stream *s)
{
    return s->ssl != NULL && SSL_session_reused(s->ssl) == 1;
}

static ssize_t tls_result(struct hf_bench_stream *s, int result)
{
    int error;

    s->wants_write = false;
    if (result > 0)
        return result;
    error = SSL_get_error(s->ssl, result);
    if (error == SSL_ERROR_WANT_READ)
        return HF_EAGAIN;
    if (error == SSL_ERROR_WANT_WRITE) {
        s->wants_write = true;
        return HF_EAGAIN;
    }
    return HF_ECLOSED;
}

static ssize_t plain_result(ssize_t n)
{
    if (n > 0)
        return n;
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return HF_EAGAIN;
    if (n == 0)
        errno = 0;
    return HF_ECLOSED;
}

ssize_t hf_bench_stream_read(struct hf_bench_stream *s, void *data, size_t len)
{
    if (s->ssl == NULL)
        return plain_result(recv(s->fd, data, len, 0));
    ERR_clear_error();
    return tls_result(s, SSL_read(s->ssl, data, len > INT32_MAX ? INT32_MAX : (int)len));
}

ssize_t hf_bench_stream_write(struct hf_bench_stream *s, const void *data, size_t len)
{
    if (s->ssl == NULL)
        return plain_result(send(s->fd, data, len, MSG_NOSIGNAL));
    ERR_clear_error();
    return tls_result(s, SSL_write(s->ssl, data, len > INT32_MAX ? INT32_MAX : (int)len));
}

const char *hf_bench_stream_problem(const struct hf_bench_stream *s)
{
    unsigned long error = s->ssl == NULL ? 0 : ERR_peek_last_error();
    bool checked = s->ssl != NULL && SSL_get_verify_mode(s->ssl) != SSL_VERIFY_NONE;
    long verified = checked ? SSL_get_verify_result(s->ssl) : X509_V_OK;

    if (verified != X509_V_OK) /* Whatever came of it: the server may have hung up before we could say so. */
        return X509_verify_cert_error_string(verified);
    if (error != 0 && ERR_reason_error_string(error) != NULL)
        return ERR_reason_error_string(error);
    return errno == 0 ? "the server ended the connection" : strerror(errno);
}

void hf_bench_stream_close(struct hf_bench_stream *s, bool abrupt)
{
    const struct linger at_once = {.l_onoff = 1, .l_linger = 0};

    /* OpenSSL would take its session for a bad one, and never resume it, if it were freed without having been closed. */
    if (s->ssl != NULL)
        SSL_set_shutdown(s->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(s->ssl);
    s->ssl = NULL;
    s->wants_write = false;
    if (s->fd < 0)
        return;
    if (abrupt)
        (void)setsockopt(s->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    (void)close(s->fd);
    s->fd = -1;
}
