/*
 * tls.h - what all TLS connections of a worker share: certificates, policy and ticket keys, by OpenSSL 3.
 *
 * One is made of files and a policy and never changes; a reload makes another one, which new connections take. It is counted: the owner holds it
 * once, and so does each connection, so that those of before the reload go on with what they began with.
 *
 * Policy: TLS 1.2 (forward-secret AEAD suites) and 1.3, X25519 first, no renegotiation, no compression, no early data, no session cache: what
 * resumes brings a ticket. ALPN knows http/1.1 only. The first certificate is the default; another is taken where it names the server that the
 * client asks for (SNI).
 */
#ifndef HF_NET_TLS_H
#define HF_NET_TLS_H

#include "base/err.h"
#include "net/tls_ticket.h"

#include <openssl/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    HF_TLS_CERTIFICATES_MAX = 16,
    HF_TLS_NAMES_MAX = 256, /* of one certificate; a guess: those of public authorities have up to 100 */
};

struct hf_tls;

/* PEM files: the certificate with its chain, and its private key. An empty key is in the certificate's file. */
struct hf_tls_files {
    const char *certificate, *key;
};

/* All is borrowed for the call of hf_tls_new(). */
struct hf_tls_policy {
    const struct hf_tls_files *files;
    size_t count;        /* 1 to HF_TLS_CERTIFICATES_MAX */
    bool only_1_3;       /* no TLS 1.2 */
    const char *ciphers; /* of TLS 1.2, in OpenSSL's notation; "": ours */
    uint64_t ticket_rotation_ms;
    uint8_t ticket_secret[HF_TICKET_SECRET_BYTES];
    /* What does not keep it from working but should be known: an expired certificate, a key that others may read. May be NULL. */
    void (*warn)(const char *file, const char *what);
};

/*
 * Read and check the files. Returns 0, or HF_EINVAL with one line that names the file and what is wrong with it, or HF_ENOMEM.
 * *out is held once by the caller.
 */
int hf_tls_new(const struct hf_tls_policy *policy, struct hf_tls **out, char *error,
               size_t error_cap) HF_MUST_CHECK;
struct hf_tls *hf_tls_hold(struct hf_tls *tls);
/* NULL is allowed. */
void hf_tls_drop(struct hf_tls *tls);

/*
 * Which certificate serves this name: its index. One that has the name itself goes before one with a wildcard; 0 where none has it.
 */
size_t hf_tls_select(const struct hf_tls *tls, const char *name);

/*
 * Whether a name in a certificate stands for `name`, without regard to case. RFC 6125 6.4.3: a wildcard is the whole leftmost label, and stands for
 * one label; here it also needs two labels behind it.
 */
bool hf_tls_name_matches(const char *pattern, const char *name);

/* What a connection begins with. For tls_stream.c. */
SSL_CTX *hf_tls_context(const struct hf_tls *tls);

#endif
