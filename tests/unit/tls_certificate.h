/*
 * tls_certificate.h - certificates of a test's own. Included by one file of an executable, behind cmocka.h.
 */
#ifndef HF_TESTS_TLS_CERTIFICATE_H
#define HF_TESTS_TLS_CERTIFICATE_H

#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <sys/stat.h>

static inline void add_names(X509 *x, const char *names)
{
    X509V3_CTX ctx;
    X509_EXTENSION *extension;

    X509V3_set_ctx(&ctx, x, x, NULL, NULL, 0);
    extension = X509V3_EXT_conf_nid(NULL, &ctx, NID_subject_alt_name, names);
    assert_non_null(extension);
    assert_int_equal(X509_add_ext(x, extension, -1), 1);
    X509_EXTENSION_free(extension);
}

/* Write FOLDER/NAME.pem and FOLDER/NAME.key: self-signed, valid from now for `seconds`; names: "DNS:a,DNS:b", or NULL. */
static inline void make_certificate(const char *folder, const char *name, const char *common,
                                    const char *names, long seconds)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = X509_new();
    char file[256];
    FILE *f;

    assert_non_null(key);
    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
    X509_gmtime_adj(X509_getm_notBefore(x), seconds < 0 ? seconds * 2 : -60);
    X509_gmtime_adj(X509_getm_notAfter(x), seconds);
    X509_set_pubkey(x, key);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC, (const unsigned char *)common,
                               -1, -1, 0);
    X509_set_issuer_name(x, X509_get_subject_name(x));
    if (names != NULL)
        add_names(x, names);
    assert_true(X509_sign(x, key, EVP_sha256()) > 0);
    snprintf(file, sizeof(file), "%s/%s.pem", folder, name);
    f = fopen(file, "w");
    assert_non_null(f);
    assert_int_equal(PEM_write_X509(f, x), 1);
    fclose(f);
    snprintf(file, sizeof(file), "%s/%s.key", folder, name);
    f = fopen(file, "w");
    assert_non_null(f);
    assert_int_equal(fchmod(fileno(f), 0600), 0);
    assert_int_equal(PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL), 1);
    fclose(f);
    X509_free(x);
    EVP_PKEY_free(key);
}

#endif
