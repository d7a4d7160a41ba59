/*
 * fuzz_config.c - any text as a configuration file: it is refused in one line that begins with the file's name, or every number is within its
 * bounds and the address list within its own, and the namespaces are such as can be asked.
 */
#include "base/assert.h"
#include "server/config_keys.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_error(const char *error, const char *path)
{
    hf_assert(strncmp(error, path, strlen(path)) == 0 && error[strlen(path)] == ':');
    for (const char *c = error; *c != '\0'; c++)
        hf_assert((uint8_t)*c >= 0x20 && *c != 0x7f);
}

/* Sorted, all texts in their memory; and who asks of any channel gets an answer. */
static void check_namespaces(const struct hf_namespaces *n)
{
    static const struct hf_who anybody = {.user = {"al:ice*", 7}};

    hf_assert(n->count <= HF_NAMESPACES_MAX && n->text_bytes <= HF_NAMESPACE_TEXT_MAX);
    for (uint32_t i = 0; i < n->count; i++) {
        const struct hf_namespace *ns = &n->list[i], *before = i > 0 ? ns - 1 : ns;
        struct hf_str name = hf_namespace_pattern(n, ns);

        hf_assert((size_t)ns->pattern_at + ns->pattern_len <= n->text_bytes);
        hf_assert(before->is_prefix < ns->is_prefix ||
                  (before->is_prefix == ns->is_prefix && before->pattern_len >= ns->pattern_len));
        /* Its own beginning is its own. */
        hf_assert(ns->is_prefix || hf_namespaces_find(n, name) == ns);
        for (int right = 0; right < HF_RIGHTS; right++) {
            for (int rule = 0; rule < HF_RULES_MAX; rule++)
                hf_assert((size_t)ns->allow[right][rule].text_at + ns->allow[right][rule].text_len <=
                          n->text_bytes);
            (void)hf_namespace_judge(n, ns, (enum hf_right)right, &anybody, name);
        }
    }
}

static void check_values(const struct hf_config *c)
{
    for (size_t i = 0; i < HF_CONFIG_KEYS; i++) {
        const struct hf_config_key *key = &hf_config_keys[i];
        uint32_t n;

        memcpy(&n, (const char *)c + key->offset, sizeof(n));
        if (key->kind == HF_CONFIG_COUNT || key->kind == HF_CONFIG_DURATION || key->kind == HF_CONFIG_BYTES)
            hf_assert((n >= key->min && n <= key->max) || (n == 0 && key->zero != NULL));
    }
    hf_assert(c->listen_count <= HF_LISTEN_MAX);
    for (size_t i = 0; i < c->listen_count; i++)
        hf_assert(strrchr(c->listen[i], ':') != NULL);
    hf_assert(c->tls_listen_count <= HF_LISTEN_MAX && c->certificate_count <= HF_CERTIFICATES_MAX);
    for (size_t i = 0; i < c->tls_listen_count; i++)
        hf_assert(strrchr(c->tls_listen[i], ':') != NULL);
    for (size_t i = 0; i < c->certificate_count; i++)
        hf_assert(c->certificates[i].certificate[0] != '\0' &&
                  strlen(c->certificates[i].key) < HF_CONFIG_PATH_MAX);
    hf_assert(strlen(c->api_key) < sizeof(c->api_key));
    check_namespaces(&c->namespaces);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[32], error[512] = "";
    struct hf_config c;
    int fd = memfd_create("config", MFD_CLOEXEC);

    hf_assert(fd >= 0 && (size == 0 || write(fd, data, size) == (ssize_t)size));
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    hf_config_default(&c);
    if (hf_config_load(&c, path, error, sizeof(error)) < 0) {
        check_error(error, path);
    } else {
        check_values(&c);
        if (hf_config_check(&c, error, sizeof(error)) == 0)
            hf_assert(c.heartbeat_min_ms <= c.heartbeat_max_ms && c.listen_count + c.tls_listen_count > 0 &&
                      (c.tls_listen_count == 0 || c.certificate_count > 0));
    }
    close(fd);
    return 0;
}
