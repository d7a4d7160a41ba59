#include "server/hooks_tls.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Where an error is told. */
struct telling {
    const char *key, *file;
    char *error;
    size_t cap;
};

static int fail(const struct telling *t, const char *fmt, ...) HF_PRINTF(2, 3);

static int fail(const struct telling *t, const char *fmt, ...)
{
    int n = snprintf(t->error, t->cap, "%s: %s: ", t->key, t->file);
    va_list args;

    va_start(args, fmt);
    if (n >= 0 && (size_t)n < t->cap)
        vsnprintf(t->error + n, t->cap - (size_t)n, fmt, args);
    va_end(args);
    ERR_clear_error();
    return HF_EINVAL;
}

/* ---- Files ---- */

static void pem_release(struct hf_hooks_pem *pem)
{
    if (pem->data != NULL)
        OPENSSL_cleanse(pem->data, pem->len);
    free(pem->data);
    *pem = (struct hf_hooks_pem){NULL, 0};
}

/* Returns how many bytes were read, at most cap, or -1 with errno. */
static ssize_t read_all(int fd, uint8_t *to, size_t cap)
{
    size_t have = 0;

    while (have < cap) {
        ssize_t n = read(fd, to + have, cap - have);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -1 : (ssize_t)have;
        have += (size_t)n;
    }
    return (ssize_t)have;
}

static int pem_read(const struct telling *t, struct hf_hooks_pem *out)
{
    int fd = open(t->file, O_RDONLY | O_CLOEXEC | O_NONBLOCK), error;
    ssize_t len;

    if (fd < 0)
        return fail(t, "cannot be read: %s", strerrordesc_np(errno));
    out->len = HF_HOOKS_TLS_FILE_MAX + 1;
    out->data = calloc(1, out->len);
    len = out->data == NULL ? -1 : read_all(fd, out->data, out->len);
    error = errno;
    close(fd);
    if (len < 0)
        return fail(t, "cannot be read: %s", strerrordesc_np(error));
    if (len > HF_HOOKS_TLS_FILE_MAX)
        return fail(t, "is longer than 256 KiB; it must be PEM, and have only what is needed");
    out->len = (size_t)len;
    return 0;
}

/* ---- What is in them ---- */

static BIO *bio_of(const struct hf_hooks_pem *pem)
{
    return BIO_new_mem_buf(pem->data, (int)pem->len);
}

/* A question for a passphrase would wait for a terminal. *ctx is told that it was asked. */
static int no_passphrase(char *room, int size, int writing, void *ctx)
{
    (void)room;
    (void)size;
    (void)writing;
    *(bool *)ctx = true;
    return -1;
}

/* The first certificate, which is the caller's, and how many there are; one that is broken counts as none, with all of the file. */
static X509 *read_certificates(const struct hf_hooks_pem *pem, unsigned *count)
{
    BIO *bio = bio_of(pem);
    X509 *first = NULL, *next;

    *count = 0;
    while (bio != NULL && (next = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL) {
        if (first == NULL)
            first = next;
        else
            X509_free(next);
        ++*count;
    }
    BIO_free(bio);
    /* "no start line" is how the end of the file is told. */
    if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
        *count = 0;
    ERR_clear_error();
    return first;
}

static int check_ca(const struct telling *t, const struct hf_hooks_pem *pem)
{
    unsigned count;

    X509_free(read_certificates(pem, &count));
    return count > 0
               ? 0
               : fail(t, "has no certificate that can be read; it must be PEM: those of the CAs that sign "
                         "the backend's certificate");
}

static int check_pair(const struct telling *t, const struct hf_hooks_tls *tls, const char *key_file)
{
    unsigned count;
    X509 *certificate = read_certificates(&tls->certificate, &count);
    BIO *bio = bio_of(&tls->key);
    bool asked = false;
    EVP_PKEY *key = bio == NULL ? NULL : PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, &asked);
    int err = 0;

    if (count == 0)
        err = fail(t, "has no certificate that can be read; it must be PEM, with its chain behind it");
    else if (asked)
        err = fail(t, "its private key in %s is protected by a passphrase; it must be stored without",
                   key_file);
    else if (key == NULL)
        err = fail(t, "no private key can be read from %s; it must be PEM", key_file);
    else if (X509_check_private_key(certificate, key) != 1)
        err = fail(t, "the private key in %s does not belong to it", key_file);
    X509_free(certificate);
    EVP_PKEY_free(key);
    BIO_free(bio);
    ERR_clear_error();
    return err;
}

/* ---- All ---- */

static int load_ca(const struct hf_hooks_config *config, struct hf_hooks_tls *out, char *error, size_t cap)
{
    struct telling t = {"hooks.tls.ca", config->tls_ca, error, cap};
    int err = config->tls_ca[0] == '\0' ? 0 : pem_read(&t, &out->ca);

    return err < 0 || out->ca.data == NULL ? err : check_ca(&t, &out->ca);
}

static int load_pair(const struct hf_hooks_config *config, struct hf_hooks_tls *out, char *error, size_t cap)
{
    const char *key_file = config->tls_key[0] != '\0' ? config->tls_key : config->tls_certificate;
    struct telling of_certificate = {"hooks.tls.certificate", config->tls_certificate, error, cap};
    struct telling of_key = {"hooks.tls.key", key_file, error, cap};
    int err;

    if (config->tls_certificate[0] == '\0')
        return 0; /* hf_config_check() has seen to it that there is no key then. */
    err = pem_read(&of_certificate, &out->certificate);
    if (err == 0)
        err = pem_read(&of_key, &out->key);
    return err < 0 ? err : check_pair(&of_certificate, out, key_file);
}

int hf_hooks_tls_load(const struct hf_hooks_config *config, struct hf_hooks_tls *out, char *error, size_t cap)
{
    int err = load_ca(config, out, error, cap);

    if (err == 0)
        err = load_pair(config, out, error, cap);
    if (err < 0)
        hf_hooks_tls_release(out);
    return err;
}

void hf_hooks_tls_release(struct hf_hooks_tls *tls)
{
    pem_release(&tls->ca);
    pem_release(&tls->certificate);
    pem_release(&tls->key);
}
