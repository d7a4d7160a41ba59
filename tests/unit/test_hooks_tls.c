#include "server/hooks_tls.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tls_certificate.h"

static char folder[] = "/tmp/holdfast-test-XXXXXX";

static void put_file(const char *name, const void *data, size_t len)
{
    char path[300];
    FILE *f;

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, len, f), len);
    fclose(f);
}

/* A key that asks for a passphrase. */
static void make_locked_key(const char *name)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    char path[300], passphrase[] = "secret";
    FILE *f;

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    f = fopen(path, "w");
    assert_true(f != NULL && key != NULL);
    assert_int_equal(PEM_write_PrivateKey(f, key, EVP_aes_128_cbc(), (unsigned char *)passphrase,
                                          (int)strlen(passphrase), NULL, NULL),
                     1);
    fclose(f);
    EVP_PKEY_free(key);
}

static int make_files(void **state)
{
    static char long_one[HF_HOOKS_TLS_FILE_MAX + 1];

    (void)state;
    if (mkdtemp(folder) == NULL)
        return -1;
    make_certificate(folder, "one", "one.test", "DNS:one.test", 3600);
    make_certificate(folder, "two", "two.test", "DNS:two.test", 3600);
    memset(long_one, '#', sizeof(long_one));
    put_file("long.pem", long_one, sizeof(long_one));
    put_file("empty.pem", "", 0);
    put_file("broken.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", 58);
    make_locked_key("locked.key");
    return 0;
}

static int remove_files(void **state)
{
    static const char *const names[] = {"one.pem",   "one.key",    "two.pem",    "two.key", "long.pem",
                                        "empty.pem", "broken.pem", "locked.key", "both.pem"};
    char path[300];

    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", folder, names[i]);
        (void)unlink(path);
    }
    return rmdir(folder);
}

static void set_path(char out[HF_CONFIG_TEXT_MAX], const char *name)
{
    snprintf(out, HF_CONFIG_TEXT_MAX, "%s%s%s", name[0] == '\0' ? "" : folder, name[0] == '\0' ? "" : "/",
             name);
}

static int load(const char *ca, const char *certificate, const char *key, struct hf_hooks_tls *out,
                char error[512])
{
    static struct hf_hooks_config config;

    set_path(config.tls_ca, ca);
    set_path(config.tls_certificate, certificate);
    set_path(config.tls_key, key);
    memset(out, 0, sizeof(*out));
    return hf_hooks_tls_load(&config, out, error, 512);
}

static void what_is_good_is_loaded(void **state)
{
    struct hf_hooks_tls tls;
    char error[512];

    (void)state;
    assert_int_equal(load("", "", "", &tls, error), 0);
    assert_null(tls.ca.data);
    assert_null(tls.certificate.data);
    assert_int_equal(load("one.pem", "two.pem", "two.key", &tls, error), 0);
    assert_memory_equal(tls.ca.data, "-----BEGIN CERTIFICATE-----", 27);
    assert_memory_equal(tls.key.data, "-----BEGIN PRIVATE KEY-----", 27);
    hf_hooks_tls_release(&tls);
    assert_null(tls.key.data);
}

static void a_key_may_be_in_its_certificates_file(void **state)
{
    struct hf_hooks_tls tls;
    char both[8192], error[512];
    size_t len;

    (void)state;
    assert_int_equal(load("", "one.pem", "one.key", &tls, error), 0);
    len = tls.certificate.len + tls.key.len;
    assert_true(len <= sizeof(both));
    memcpy(both, tls.certificate.data, tls.certificate.len);
    memcpy(both + tls.certificate.len, tls.key.data, tls.key.len);
    hf_hooks_tls_release(&tls);
    put_file("both.pem", both, len);
    assert_int_equal(load("", "both.pem", "", &tls, error), 0);
    assert_int_equal(tls.key.len, len);
    hf_hooks_tls_release(&tls);
}

static void what_is_wrong_is_told(void **state)
{
    static const struct {
        const char *ca, *certificate, *key, *says, *of;
    } cases[] = {
        {"nowhere.pem", "", "", "hooks.tls.ca: ", "/nowhere.pem: cannot be read: No such file or directory"},
        {"empty.pem", "", "", "hooks.tls.ca: ", "/empty.pem: has no certificate"},
        {"broken.pem", "", "", "hooks.tls.ca: ", "/broken.pem: has no certificate"},
        {"one.key", "", "", "hooks.tls.ca: ", "/one.key: has no certificate"},
        {"long.pem", "", "", "hooks.tls.ca: ", "is longer than 256 KiB"},
        {"", "nowhere.pem", "one.key", "hooks.tls.certificate: ", "cannot be read"},
        {"", "one.pem", "nowhere.key", "hooks.tls.key: ", "/nowhere.key: cannot be read"},
        {"", "one.pem", "two.key", "hooks.tls.certificate: ", "/two.key does not belong to it"},
        {"", "one.pem", "", "hooks.tls.certificate: ", "no private key can be read from"},
        {"", "one.pem", "locked.key", "hooks.tls.certificate: ", "is protected by a passphrase"},
        {"", "one.key", "one.key", "hooks.tls.certificate: ", "has no certificate"},
        {"one.pem", "one.pem", "two.key", "hooks.tls.certificate: ", "does not belong"},
    };
    struct hf_hooks_tls tls;
    char error[512];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(load(cases[i].ca, cases[i].certificate, cases[i].key, &tls, error), HF_EINVAL);
        if (strncmp(error, cases[i].says, strlen(cases[i].says)) != 0 || strstr(error, cases[i].of) == NULL)
            fail_msg("case %zu: %s", i, error);
        assert_null(tls.ca.data);
        assert_null(tls.certificate.data);
        assert_null(tls.key.data);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_good_is_loaded),
        cmocka_unit_test(a_key_may_be_in_its_certificates_file),
        cmocka_unit_test(what_is_wrong_is_told),
    };

    return cmocka_run_group_tests(tests, make_files, remove_files);
}
