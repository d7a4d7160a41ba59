/*
 * tls.h - the client's end of TLS, by OpenSSL 3: whom it trusts, and one connection.
 *
 * The server's certificate is checked against the authorities of the system, or of one file, and against the name or address that the URL has. What
 * a server gave to resume with (session tickets) is kept for its host and port, in memory, so that the next handshake there needs no certificate: who can use it has proven before who it is. The
 * newest goes first, and none is used twice (RFC 8446 appendix C.4), unless the server never answered. Of each host 4 are kept, and of the 8 hosts that were last met; what is older is dropped.
 *
 * The socket never meets OpenSSL's writes: records wait in memory until the socket takes them, and nothing more is taken meanwhile.
 */
#ifndef HF_CLIENT_TLS_H
#define HF_CLIENT_TLS_H

#include "base/err.h"
#include "client/url.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hf_client_tls; /* shared by the connections of one client */
struct hf_tls_conn;

/* ca_file: PEM; NULL: the system's. Returns 0, HF_ENOMEM, HF_EIO with errno (the file cannot be read) or HF_ECERT (it has no certificate). */
int hf_client_tls_new(const char *ca_file, struct hf_client_tls **out) HF_MUST_CHECK;
/* NULL is allowed. */
void hf_client_tls_free(struct hf_client_tls *tls);

/* On a connected, non-blocking socket, which stays the caller's, to the server of url, which is read here only. NULL: no memory. */
struct hf_tls_conn *hf_tls_conn_new(struct hf_client_tls *tls, int fd, const struct hf_url *url);
/* NULL is allowed. */
void hf_tls_conn_free(struct hf_tls_conn *c);

/*
 * All but _why(): HF_EAGAIN where the socket must be waited for, HF_EPROTO or HF_ECLOSED where it is over, with _why().
 * _handshake(): 0 when it is complete. _read(): bytes, 0 at the server's close_notify. _write(): bytes taken, of len > 0. _flush(): 0 when no
 * record waits. _end(): close_notify, to be flushed.
 */
int hf_tls_conn_handshake(struct hf_tls_conn *c);
long hf_tls_conn_read(struct hf_tls_conn *c, uint8_t *buf, size_t cap);
long hf_tls_conn_write(struct hf_tls_conn *c, const void *data, size_t len);
int hf_tls_conn_flush(struct hf_tls_conn *c);
void hf_tls_conn_end(struct hf_tls_conn *c);
/* Whether records wait for the socket, and whether something can be read without waiting for it. */
bool hf_tls_conn_wants_write(const struct hf_tls_conn *c);
bool hf_tls_conn_has_pending(const struct hf_tls_conn *c);
/* What went wrong and what to do about it, in English; valid while c is. */
const char *hf_tls_conn_why(const struct hf_tls_conn *c);
/* The errno of the socket, where that is what failed; 0: it is not. */
int hf_tls_conn_errno(const struct hf_tls_conn *c);

#endif
