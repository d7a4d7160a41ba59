#include "server/jwt_key.h"

#include "base/assert.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    RSA_BITS_LEAST = 2048, /* RFC 7518 section 3.3: "A key of size 2048 bits or larger MUST be used" */
    RSA_BITS_MOST = 8 * HF_JWT_SIGNATURE_MAX,
    P256_BYTES = 32,
};

struct hf_jwt_key {
    enum hf_jwt_alg alg;
    uint32_t mark;
    EVP_PKEY *pkey; /* NULL: a secret */
    bool is_private;
    size_t secret_len;
    uint8_t secret[];
};

/* ---- Reading ---- */

static int refuse(char *error, size_t cap, const char *fmt, ...) HF_PRINTF(3, 4);

static int refuse(char *error, size_t cap, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    vsnprintf(error, cap, fmt, args);
    va_end(args);
    return HF_EINVAL;
}

static int no_memory(const char *name, char *error, size_t cap)
{
    snprintf(error, cap, "%s: no memory for it", name);
    return HF_ENOMEM;
}

/* An editor ends the last line: that is not of the secret. */
static struct hf_str without_line_end(struct hf_str text)
{
    if (text.len > 0 && text.data[text.len - 1] == '\n')
        text.len--;
    if (text.len > 0 && text.data[text.len - 1] == '\r')
        text.len--;
    return text;
}

/* By the algorithm and what the key is: the secret, or the public half. Returns false without memory. */
static bool mark_key(struct hf_jwt_key *key, const void *what, size_t len)
{
    const char *name = hf_jwt_alg_name(key->alg);
    uint8_t hash[EVP_MAX_MD_SIZE];

    if (HMAC(EVP_sha256(), name, (int)strlen(name), what, len, hash, NULL) == NULL)
        return false;
    key->mark = ((uint32_t)hash[0] << 24 | (uint32_t)hash[1] << 16 | (uint32_t)hash[2] << 8 | hash[3]) | 1;
    OPENSSL_cleanse(hash, sizeof(hash));
    return true;
}

static int secret_parse(enum hf_jwt_alg alg, const char *name, struct hf_str text, struct hf_jwt_key **out,
                        char *error, size_t cap)
{
    static const char pem[] = "-----BEGIN ";
    struct hf_jwt_key *key;

    text = without_line_end(text);
    /* Whoever takes a public key for a secret lets everybody sign who has read it. */
    if (text.len >= sizeof(pem) - 1 && memcmp(text.data, pem, sizeof(pem) - 1) == 0)
        return refuse(error, cap,
                      "%s: is a PEM file, and %s takes a secret; name its algorithm, or make a secret: "
                      "openssl rand -hex 32",
                      name, hf_jwt_alg_name(alg));
    if (text.len < hf_jwt_alg_secret_bytes(alg))
        return refuse(
            error, cap,
            "%s: is a secret of %zu bytes, and %s needs %zu at least; make one: openssl rand -hex 32", name,
            text.len, hf_jwt_alg_name(alg), hf_jwt_alg_secret_bytes(alg));
    key = malloc(sizeof(*key) + text.len);
    if (key == NULL)
        return no_memory(name, error, cap);
    *key = (struct hf_jwt_key){.alg = alg, .is_private = true, .secret_len = text.len};
    memcpy(key->secret, text.data, text.len);
    if (!mark_key(key, key->secret, key->secret_len)) {
        hf_jwt_key_free(key);
        return no_memory(name, error, cap);
    }
    *out = key;
    return 0;
}

/* Nobody is asked for a passphrase. */
static int no_passphrase(char *buf, int size, int writing, void *ctx)
{
    (void)buf;
    (void)size;
    (void)writing;
    (void)ctx;
    return -1;
}

/* NULL where it is neither. */
static EVP_PKEY *read_pem(struct hf_str text, bool *is_private)
{
    BIO *bio = BIO_new_mem_buf(text.data, (int)text.len);
    EVP_PKEY *pkey = bio == NULL ? NULL : PEM_read_bio_PUBKEY(bio, NULL, no_passphrase, NULL);

    *is_private = false;
    if (pkey == NULL && bio != NULL) {
        BIO_free(bio);
        bio = BIO_new_mem_buf(text.data, (int)text.len);
        pkey = bio == NULL ? NULL : PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);
        *is_private = pkey != NULL;
    }
    BIO_free(bio);
    ERR_clear_error();
    return pkey;
}

/* Returns NULL where the key is one for this algorithm, or what it should be. */
static const char *misfit(enum hf_jwt_alg alg, const EVP_PKEY *pkey)
{
    char curve[32] = "";
    int bits = EVP_PKEY_get_bits(pkey);

    switch (alg) {
    case HF_JWT_RS256:
        return EVP_PKEY_is_a(pkey, "RSA") && bits >= RSA_BITS_LEAST && bits <= RSA_BITS_MOST
                   ? NULL
                   : "an RSA key of 2,048 to 8,192 bits";
    case HF_JWT_ES256:
        return EVP_PKEY_is_a(pkey, "EC") &&
                       EVP_PKEY_get_utf8_string_param(pkey, OSSL_PKEY_PARAM_GROUP_NAME, curve, sizeof(curve),
                                                      NULL) == 1 &&
                       strcmp(curve, "prime256v1") == 0
                   ? NULL
                   : "a key of the curve P-256";
    default:
        return EVP_PKEY_is_a(pkey, "ED25519") ? NULL : "an Ed25519 key";
    }
}

/* By its public half, as SubjectPublicKeyInfo (RFC 5280 section 4.1). */
static bool mark_pair(struct hf_jwt_key *key)
{
    uint8_t *der = NULL;
    int len = i2d_PUBKEY(key->pkey, &der);
    bool marked = len > 0 && mark_key(key, der, (size_t)len);

    OPENSSL_free(der);
    return marked;
}

static int pem_parse(enum hf_jwt_alg alg, const char *name, struct hf_str text, bool private_too,
                     struct hf_jwt_key **out, char *error, size_t cap)
{
    bool is_private;
    EVP_PKEY *pkey = read_pem(text, &is_private);
    const char *should;
    int err = 0;

    if (pkey == NULL)
        return refuse(
            error, cap,
            "%s: holds no public key in PEM; make one of the private key: openssl pkey -in KEY -pubout",
            name);
    should = misfit(alg, pkey);
    if (should != NULL)
        err = refuse(error, cap, "%s: %s needs %s, and this is another", name, hf_jwt_alg_name(alg), should);
    else if (is_private && !private_too)
        err = refuse(
            error, cap,
            "%s: is the private key, and the server needs the public one alone: openssl pkey -in KEY -pubout",
            name);
    if (err == 0) {
        *out = malloc(sizeof(**out));
        err = *out == NULL ? no_memory(name, error, cap) : 0;
    }
    if (err == 0) {
        **out = (struct hf_jwt_key){.alg = alg, .pkey = pkey, .is_private = is_private};
        pkey = NULL;
        if (!mark_pair(*out)) {
            hf_jwt_key_free(*out);
            *out = NULL;
            err = no_memory(name, error, cap);
        }
    }
    EVP_PKEY_free(pkey);
    return err;
}

int hf_jwt_key_parse(enum hf_jwt_alg alg, const char *name, struct hf_str text, bool private_too,
                     struct hf_jwt_key **out, char *error, size_t error_cap)
{
    *out = NULL;
    if (text.len > HF_JWT_KEY_FILE_MAX)
        return refuse(error, error_cap, "%s: is longer than %d bytes, and no key", name, HF_JWT_KEY_FILE_MAX);
    return hf_jwt_alg_secret_bytes(alg) > 0 ? secret_parse(alg, name, text, out, error, error_cap)
                                            : pem_parse(alg, name, text, private_too, out, error, error_cap);
}

/* Returns the bytes, one more than the most that are allowed where there are more, or -1 with errno set. */
static ssize_t read_file(const char *path, uint8_t *out)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), error;
    ssize_t len = 0, n = -1;

    if (fd < 0)
        return -1;
    while (len <= HF_JWT_KEY_FILE_MAX &&
           (n = read(fd, out + len, (size_t)(HF_JWT_KEY_FILE_MAX + 1 - len))) > 0)
        len += n;
    error = errno;
    close(fd);
    errno = error;
    return n < 0 ? -1 : len;
}

int hf_jwt_key_load(enum hf_jwt_alg alg, const char *path, bool private_too, struct hf_jwt_key **out,
                    char *error, size_t error_cap)
{
    uint8_t text[HF_JWT_KEY_FILE_MAX + 1];
    ssize_t len = read_file(path, text);
    int err;

    *out = NULL;
    if (len < 0)
        return refuse(error, error_cap, "%s: cannot be read: %s", path, strerrordesc_np(errno));
    err = hf_jwt_key_parse(alg, path, (struct hf_str){(const char *)text, (size_t)len}, private_too, out,
                           error, error_cap);
    OPENSSL_cleanse(text, sizeof(text));
    return err;
}

void hf_jwt_key_free(struct hf_jwt_key *key)
{
    if (key == NULL)
        return;
    EVP_PKEY_free(key->pkey);
    OPENSSL_cleanse(key->secret, key->secret_len);
    free(key);
}

enum hf_jwt_alg hf_jwt_key_alg(const struct hf_jwt_key *key)
{
    return key->alg;
}

uint32_t hf_jwt_key_mark(const struct hf_jwt_key *key)
{
    return key->mark;
}

/* ---- Signing and verifying ---- */

static const EVP_MD *digest_of(enum hf_jwt_alg alg)
{
    switch (alg) {
    case HF_JWT_HS384:
        return EVP_sha384();
    case HF_JWT_HS512:
        return EVP_sha512();
    case HF_JWT_EDDSA: /* It hashes itself. */
        return NULL;
    default:
        return EVP_sha256();
    }
}

/* Returns the bytes, or 0. */
static unsigned authenticate(const struct hf_jwt_key *key, struct hf_str text, uint8_t out[EVP_MAX_MD_SIZE])
{
    unsigned len = 0;

    return HMAC(digest_of(key->alg), key->secret, (int)key->secret_len, (const uint8_t *)text.data, text.len,
                out, &len) == NULL
               ? 0
               : len;
}

static bool verify_secret(const struct hf_jwt_key *key, struct hf_str text, const uint8_t *signature,
                          size_t len)
{
    uint8_t right[EVP_MAX_MD_SIZE];
    unsigned right_len = authenticate(key, text, right);

    return right_len > 0 && len == right_len && CRYPTO_memcmp(right, signature, len) == 0;
}

/* RFC 7518 section 3.4: "The JWS Signature value MUST be a 64-octet sequence": R and S, where OpenSSL has them in DER. Returns its bytes, or 0. */
static int der_of(const uint8_t *signature, size_t len, uint8_t **out)
{
    ECDSA_SIG *sig = len == 2 * P256_BYTES ? ECDSA_SIG_new() : NULL;
    BIGNUM *r = sig == NULL ? NULL : BN_bin2bn(signature, P256_BYTES, NULL);
    BIGNUM *s = sig == NULL ? NULL : BN_bin2bn(signature + P256_BYTES, P256_BYTES, NULL);
    int der_len = 0;

    *out = NULL;
    if (r != NULL && s != NULL && ECDSA_SIG_set0(sig, r, s) == 1) {
        r = s = NULL; /* They are the signature's now. */
        der_len = i2d_ECDSA_SIG(sig, out);
    }
    BN_free(r);
    BN_free(s);
    ECDSA_SIG_free(sig);
    return der_len > 0 ? der_len : 0;
}

/* The other way. Returns whether it went. */
static bool from_der(const uint8_t *der, size_t der_len, uint8_t out[2 * P256_BYTES])
{
    ECDSA_SIG *sig = d2i_ECDSA_SIG(NULL, &der, (long)der_len);
    bool done = sig != NULL && BN_bn2binpad(ECDSA_SIG_get0_r(sig), out, P256_BYTES) == P256_BYTES &&
                BN_bn2binpad(ECDSA_SIG_get0_s(sig), out + P256_BYTES, P256_BYTES) == P256_BYTES;

    ECDSA_SIG_free(sig);
    return done;
}

static bool verify_pkey(const struct hf_jwt_key *key, struct hf_str text, const uint8_t *signature,
                        size_t len)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool good = ctx != NULL && EVP_DigestVerifyInit(ctx, NULL, digest_of(key->alg), NULL, key->pkey) == 1 &&
                EVP_DigestVerify(ctx, signature, len, (const uint8_t *)text.data, text.len) == 1;

    EVP_MD_CTX_free(ctx);
    ERR_clear_error(); /* What it says of a bad signature, TLS would take for its own. */
    return good;
}

bool hf_jwt_key_verify(const struct hf_jwt_key *key, struct hf_str text, const uint8_t *signature, size_t len)
{
    uint8_t *der;
    int der_len;
    bool good;

    if (key->pkey == NULL)
        return verify_secret(key, text, signature, len);
    if (key->alg != HF_JWT_ES256)
        return verify_pkey(key, text, signature, len);
    der_len = der_of(signature, len, &der);
    good = der_len > 0 && verify_pkey(key, text, der, (size_t)der_len);
    OPENSSL_free(der);
    return good;
}

static int sign_pkey(const struct hf_jwt_key *key, struct hf_str text, uint8_t out[HF_JWT_SIGNATURE_MAX])
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    size_t len = HF_JWT_SIGNATURE_MAX;
    bool done = ctx != NULL && EVP_DigestSignInit(ctx, NULL, digest_of(key->alg), NULL, key->pkey) == 1 &&
                EVP_DigestSign(ctx, out, &len, (const uint8_t *)text.data, text.len) == 1;

    EVP_MD_CTX_free(ctx);
    return done ? (int)len : HF_ENOMEM;
}

int hf_jwt_key_sign(const struct hf_jwt_key *key, struct hf_str text, uint8_t out[HF_JWT_SIGNATURE_MAX])
{
    uint8_t der[HF_JWT_SIGNATURE_MAX];
    unsigned secret_len;
    int len;

    if (!key->is_private)
        return HF_EINVAL;
    if (key->pkey == NULL) {
        secret_len = authenticate(key, text, out);
        return secret_len == 0 ? HF_ENOMEM : (int)secret_len;
    }
    if (key->alg != HF_JWT_ES256)
        return sign_pkey(key, text, out);
    len = sign_pkey(key, text, der);
    if (len < 0)
        return len;
    return from_der(der, (size_t)len, out) ? 2 * P256_BYTES : HF_ENOMEM;
}
