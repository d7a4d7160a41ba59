#include "net/tls.h"

#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <time.h>

enum {
    NAME_BYTES_MAX = 255,
    EXPIRES_SOON_S = 14 * 24 * 3600, /* a guess: who renews by machine has done so by then */
    /* One ticket for each connection: a client needs one for its next, and a ticket costs 5 us and 250 bytes. */
    TICKETS_PER_CONNECTION = 1,
};

/* RFC 9325 4.2: "implementations SHOULD NOT negotiate cipher suites that do not offer forward secrecy"; and of those, AEAD only. */
static const char ciphers_1_2[] = "ECDHE+AESGCM:ECDHE+CHACHA20";
/* The strength of a P-256 certificate is that of AES-128, and its SHA-256 makes handshakes cheaper and sessions smaller. */
static const char ciphers_1_3[] =
    "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";
static const char groups[] = "X25519:P-256:P-384";

struct certificate {
    SSL_CTX *ctx;
    char **names;
    size_t name_count;
};

struct hf_tls {
    unsigned holders; /* One thread: no atomic. */
    struct hf_ticket_keys tickets;
    EVP_CIPHER *ticket_cipher; /* fetched once: OpenSSL 3.0 looks it up by name at each use otherwise */
    size_t count;
    struct certificate certificates[HF_TLS_CERTIFICATES_MAX];
};

/* ---- Errors ---- */

/* What a step of making one needs to say what went wrong. */
struct making {
    const struct hf_tls_policy *policy;
    char *error;
    size_t error_cap;
};

static int fail(const struct making *m, const char *file, const char *fmt, ...) HF_PRINTF(3, 4);

static int fail(const struct making *m, const char *file, const char *fmt, ...)
{
    int n = snprintf(m->error, m->error_cap, "%s%s", file, file[0] == '\0' ? "" : ": ");
    va_list args;

    va_start(args, fmt);
    if (n >= 0 && (size_t)n < m->error_cap)
        vsnprintf(m->error + n, m->error_cap - (size_t)n, fmt, args);
    va_end(args);
    ERR_clear_error();
    return HF_EINVAL;
}

static const char *openssl_reason(void)
{
    unsigned long error = ERR_peek_error(); /* What went wrong; those behind it tell who passed it on. */
    const char *reason = ERR_GET_LIB(error) == ERR_LIB_SYS ? strerrordesc_np(ERR_GET_REASON(error))
                                                           : ERR_reason_error_string(error);

    return reason == NULL ? "no reason given" : reason;
}

static void warn(const struct making *m, const char *file, const char *what)
{
    if (m->policy->warn != NULL)
        m->policy->warn(file, what);
}

/* ---- Names ---- */

bool hf_tls_name_matches(const char *pattern, const char *name)
{
    const char *rest;

    if (strncmp(pattern, "*.", 2) != 0)
        return strcasecmp(pattern, name) == 0;
    rest = strchr(name, '.');
    return rest != NULL && rest != name && strchr(rest + 1, '.') != NULL &&
           strcasecmp(pattern + 1, rest) == 0;
}

static bool certificate_has(const struct certificate *c, const char *name, bool wildcard)
{
    for (size_t i = 0; i < c->name_count; i++)
        if ((c->names[i][0] == '*') == wildcard && hf_tls_name_matches(c->names[i], name))
            return true;
    return false;
}

size_t hf_tls_select(const struct hf_tls *tls, const char *name)
{
    for (int wildcard = 0; wildcard < 2; wildcard++)
        for (size_t i = 0; i < tls->count; i++)
            if (certificate_has(&tls->certificates[i], name, wildcard == 1))
                return i;
    return 0;
}

/* Keep one name. False: no memory. What is no plain name (with a NUL inside, too long, too many) is passed over: it is never matched. */
static bool keep_name(struct certificate *c, const ASN1_STRING *text)
{
    const unsigned char *data = ASN1_STRING_get0_data(text);
    size_t len = (size_t)ASN1_STRING_length(text);
    char *copy;

    if (len == 0 || len > NAME_BYTES_MAX || memchr(data, '\0', len) != NULL ||
        c->name_count == HF_TLS_NAMES_MAX)
        return true;
    copy = strndup((const char *)data, len);
    if (copy == NULL)
        return false;
    c->names[c->name_count++] = copy;
    return true;
}

static bool keep_common_name(struct certificate *c, const X509 *x)
{
    const X509_NAME *subject = X509_get_subject_name(x);
    int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);

    return at < 0 || keep_name(c, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
}

/* RFC 6125 6.4.4: the common name counts only where the certificate has no DNS name. */
static bool keep_names(struct certificate *c, const X509 *x)
{
    GENERAL_NAMES *all = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
    bool ok = true;

    c->names = calloc(HF_TLS_NAMES_MAX, sizeof(*c->names));
    if (c->names == NULL)
        ok = false;
    for (int i = 0; ok && i < sk_GENERAL_NAME_num(all); i++) {
        const GENERAL_NAME *one = sk_GENERAL_NAME_value(all, i);

        if (one->type == GEN_DNS)
            ok = keep_name(c, one->d.dNSName);
    }
    GENERAL_NAMES_free(all);
    return ok && (c->name_count > 0 || keep_common_name(c, x));
}

/* ---- Callbacks of OpenSSL ---- */

static int on_server_name(SSL *ssl, int *alert, void *arg)
{
    struct hf_tls *tls = arg;
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    size_t which = name == NULL || tls->count == 1 ? 0 : hf_tls_select(tls, name);

    (void)alert;
    if (which > 0)
        SSL_set_SSL_CTX(ssl, tls->certificates[which].ctx);
    return SSL_TLSEXT_ERR_OK;
}

/* RFC 7301 3.2: "In the event that the server supports no protocols that the client advertises, then the server SHALL respond with a fatal
 * 'no_application_protocol' alert." */
static int on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len, const unsigned char *in,
                   unsigned in_len, void *arg)
{
    static const char ours[] = "http/1.1";

    (void)ssl;
    (void)arg;
    for (unsigned at = 0; at < in_len && at + 1 + in[at] <= in_len; at += 1u + in[at]) {
        if (in[at] == sizeof(ours) - 1 && memcmp(in + at + 1, ours, sizeof(ours) - 1) == 0) {
            *out = in + at + 1;
            *out_len = in[at];
            return SSL_TLSEXT_ERR_OK;
        }
    }
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

static uint64_t wall_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static bool use_key(const struct hf_tls *tls, const struct hf_ticket_key *key, const unsigned char *iv,
                    EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int encrypt)
{
    static char digest[] = "SHA256";
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, (void *)(uintptr_t)key->mac, sizeof(key->mac)),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0), OSSL_PARAM_construct_end()};

    return EVP_CipherInit_ex(cipher, tls->ticket_cipher, NULL, key->cipher, iv, encrypt) == 1 &&
           EVP_MAC_CTX_set_params(mac, params) == 1;
}

/* SSL_CTX_set_tlsext_ticket_key_evp_cb(3): "0: no ticket", "1: as it is", "2: opened, and to be replaced by a new one". */
static int on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                     EVP_MAC_CTX *mac, int encrypt)
{
    struct hf_tls *tls = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    const struct hf_ticket_key *key;
    bool renew = false;

    if (encrypt) {
        key = hf_ticket_keys_current(&tls->tickets, wall_ms());
        if (key == NULL || RAND_bytes(iv, EVP_CIPHER_get_iv_length(tls->ticket_cipher)) != 1)
            return 0;
        memcpy(name, key->name, sizeof(key->name));
    } else {
        key = hf_ticket_keys_find(&tls->tickets, name, wall_ms(), &renew);
        if (key == NULL)
            return 0;
        /* RFC 8446 appendix C.4: "Clients SHOULD NOT reuse a ticket for multiple connections." So each resumption brings the next one. */
        renew = renew || SSL_version(ssl) >= TLS1_3_VERSION;
    }
    if (!use_key(tls, key, iv, cipher, mac, encrypt))
        return -1;
    return renew ? 2 : 1;
}

/* A server has nobody to ask for a passphrase. */
static int no_passphrase(char *buf, int size, int writing, void *asked)
{
    (void)buf;
    (void)size;
    (void)writing;
    *(bool *)asked = true;
    return -1;
}

/* ---- Making ---- */

static void check_times(const struct making *m, const char *file, const X509 *x)
{
    time_t soon = time(NULL) + EXPIRES_SOON_S;

    if (X509_cmp_current_time(X509_get0_notBefore(x)) > 0)
        warn(m, file, "the certificate is not valid yet");
    if (X509_cmp_current_time(X509_get0_notAfter(x)) < 0)
        warn(m, file, "the certificate has expired");
    else if (X509_cmp_time(X509_get0_notAfter(x), &soon) < 0)
        warn(m, file, "the certificate expires within 14 days");
}

static int load_certificate(const struct making *m, struct certificate *c, const char *file)
{
    const X509 *x;

    if (SSL_CTX_use_certificate_chain_file(c->ctx, file) != 1)
        return fail(m, file, "no certificate can be read from it: %s", openssl_reason());
    x = SSL_CTX_get0_certificate(c->ctx);
    check_times(m, file, x);
    return keep_names(c, x) ? 0 : HF_ENOMEM;
}

static void check_rights(const struct making *m, const char *file)
{
    struct stat st;

    if (stat(file, &st) == 0 && (st.st_mode & S_IROTH) != 0)
        warn(m, file, "the private key can be read by everybody: chmod o-r");
}

static int load_key(const struct making *m, struct certificate *c, const struct hf_tls_files *files)
{
    const char *file = files->key[0] != '\0' ? files->key : files->certificate;
    bool asked = false;

    SSL_CTX_set_default_passwd_cb(c->ctx, no_passphrase);
    SSL_CTX_set_default_passwd_cb_userdata(c->ctx, &asked);
    if (SSL_CTX_use_PrivateKey_file(c->ctx, file, SSL_FILETYPE_PEM) != 1) {
        if (asked)
            return fail(m, file, "the private key is protected by a passphrase; it must be stored without");
        if (ERR_GET_REASON(ERR_peek_last_error()) == X509_R_KEY_VALUES_MISMATCH ||
            ERR_GET_REASON(ERR_peek_last_error()) == X509_R_KEY_TYPE_MISMATCH)
            return fail(m, file, "the private key does not belong to the certificate %s", files->certificate);
        return fail(m, file, "no private key can be read from it: %s", openssl_reason());
    }
    SSL_CTX_set_default_passwd_cb_userdata(c->ctx, NULL);
    if (SSL_CTX_check_private_key(c->ctx) != 1)
        return fail(m, file, "the private key does not belong to the certificate %s", files->certificate);
    check_rights(m, file);
    return 0;
}

static void set_options(SSL_CTX *ctx, struct hf_tls *tls)
{
    static const unsigned char context[] = "holdfast";

    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                              SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(ctx, 1);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_session_id_context(ctx, context, sizeof(context) - 1);
    SSL_CTX_set_app_data(ctx, tls);
    SSL_CTX_set_tlsext_servername_callback(ctx, on_server_name);
    SSL_CTX_set_tlsext_servername_arg(ctx, tls);
    SSL_CTX_set_alpn_select_cb(ctx, on_alpn, NULL);
    SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, on_ticket);
    SSL_CTX_set_num_tickets(ctx, TICKETS_PER_CONNECTION);
}

static int set_policy(const struct making *m, SSL_CTX *ctx)
{
    const struct hf_tls_policy *p = m->policy;
    const char *ciphers = p->ciphers[0] != '\0' ? p->ciphers : ciphers_1_2;
    uint64_t lifetime_s = p->ticket_rotation_ms / 1000;

    /* The last is SSL_CTX_set1_groups_list(), whose cast takes away the const. */
    if (SSL_CTX_set_min_proto_version(ctx, p->only_1_3 ? TLS1_3_VERSION : TLS1_2_VERSION) != 1 ||
        SSL_CTX_set_ciphersuites(ctx, ciphers_1_3) != 1 ||
        SSL_CTX_ctrl(ctx, SSL_CTRL_SET_GROUPS_LIST, 0, (void *)(uintptr_t)groups) != 1)
        return fail(m, "", "OpenSSL refuses the TLS versions, suites or groups: %s", openssl_reason());
    if (SSL_CTX_set_cipher_list(ctx, ciphers) != 1)
        return fail(m, "", "tls.ciphers: OpenSSL knows no cipher in '%s'", ciphers);
    /* A ticket of an epoch's last moment is taken for one rotation more. */
    SSL_CTX_set_timeout(ctx, lifetime_s > 0 ? (long)lifetime_s : 1);
    return 0;
}

static int add(const struct making *m, struct hf_tls *tls, const struct hf_tls_files *files)
{
    struct certificate *c = &tls->certificates[tls->count];
    int err;

    c->ctx = SSL_CTX_new(TLS_server_method());
    if (c->ctx == NULL)
        return HF_ENOMEM;
    tls->count++;
    set_options(c->ctx, tls);
    err = set_policy(m, c->ctx);
    if (err == 0)
        err = load_certificate(m, c, files->certificate);
    return err == 0 ? load_key(m, c, files) : err;
}

int hf_tls_new(const struct hf_tls_policy *policy, struct hf_tls **out, char *error, size_t error_cap)
{
    struct making m = {policy, error, error_cap};
    struct hf_tls *tls = calloc(1, sizeof(*tls));
    int err = tls == NULL ? HF_ENOMEM : 0;

    if (err < 0)
        goto done;
    ERR_clear_error();
    tls->holders = 1;
    hf_ticket_keys_init(&tls->tickets, policy->ticket_secret, policy->ticket_rotation_ms);
    tls->ticket_cipher = EVP_CIPHER_fetch(NULL, "AES-256-CBC", NULL);
    err = tls->ticket_cipher == NULL ? HF_ENOMEM : 0;
    for (size_t i = 0; i < policy->count && err == 0; i++)
        err = add(&m, tls, &policy->files[i]);
    if (err < 0)
        goto done;
    *out = tls;
    tls = NULL; /* The caller owns it now. */
done:
    if (err == HF_ENOMEM)
        snprintf(error, error_cap, "out of memory");
    hf_tls_drop(tls);
    return err;
}

struct hf_tls *hf_tls_hold(struct hf_tls *tls)
{
    tls->holders++;
    return tls;
}

void hf_tls_drop(struct hf_tls *tls)
{
    if (tls == NULL || --tls->holders > 0)
        return;
    for (size_t i = 0; i < tls->count; i++) {
        struct certificate *c = &tls->certificates[i];

        for (size_t k = 0; k < c->name_count; k++)
            free(c->names[k]);
        free(c->names);
        SSL_CTX_free(c->ctx);
    }
    EVP_CIPHER_free(tls->ticket_cipher);
    hf_ticket_keys_release(&tls->tickets);
    free(tls);
}

SSL_CTX *hf_tls_context(const struct hf_tls *tls)
{
    return tls->certificates[0].ctx;
}
