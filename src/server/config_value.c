/*
 * config_value.c - the values of the configuration: from text into struct hf_config, and what is allowed as text.
 */
#include "base/assert.h"
#include "server/config_keys.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct unit {
    const char *name;
    uint32_t factor;
};

/* Ascending; the first is that of a number without unit. */
static const struct unit duration_units[] = {
    {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
static const struct unit byte_units[] = {{"B", 1}, {"KiB", 1u << 10}, {"MiB", 1u << 20}, {"GiB", 1u << 30}};
static const struct unit no_units[] = {{"", 1}};

struct units {
    const struct unit *list;
    size_t count;
    const char *example;
};

static struct units units_of(enum hf_config_kind kind)
{
    if (kind == HF_CONFIG_DURATION)
        return (struct units){duration_units, 5, "a duration such as 500ms, 25s, 10m, 24h or 7d"};
    if (kind == HF_CONFIG_BYTES)
        return (struct units){byte_units, 4, "a size such as 4096, 64KiB, 1MiB or 1GiB"};
    return (struct units){no_units, 1, "a whole number"};
}

void hf_config_number_text(enum hf_config_kind kind, uint32_t n, char *out, size_t cap)
{
    struct units units = units_of(kind);
    size_t i = units.count - 1;

    while (i > 0 && (n < units.list[i].factor || n % units.list[i].factor != 0))
        i--;
    snprintf(out, cap, "%u%s", n / units.list[i].factor, n == 0 ? "" : units.list[i].name);
}

void hf_config_key_allowed(const struct hf_config_key *key, char *out, size_t cap)
{
    char low[24], high[24];
    size_t used = 0;

    switch (key->kind) {
    case HF_CONFIG_COUNT:
    case HF_CONFIG_DURATION:
    case HF_CONFIG_BYTES:
        hf_config_number_text(key->kind, key->min, low, sizeof(low));
        hf_config_number_text(key->kind, key->max, high, sizeof(high));
        snprintf(out, cap, "%s to %s%s%s", low, high, key->zero == NULL ? "" : ", or ",
                 key->zero == NULL ? "" : key->zero);
        break;
    case HF_CONFIG_BOOL:
        snprintf(out, cap, "true or false");
        break;
    case HF_CONFIG_CHOICE:
        for (size_t i = 0; key->names[i] != NULL && used < cap; i++)
            used += (size_t)snprintf(out + used, cap - used, "%s%s",
                                     i == 0                      ? ""
                                     : key->names[i + 1] == NULL ? " or "
                                                                 : ", ",
                                     key->names[i]);
        break;
    case HF_CONFIG_ADDRESS:
        snprintf(out, cap, "ADDR:PORT such as 127.0.0.1:8001 or [::1]:8001, unix:PATH, or none");
        break;
    case HF_CONFIG_ADDRESSES:
        snprintf(out, cap, "ADDR:PORT such as 127.0.0.1:8000 or [::1]:8000");
        break;
    case HF_CONFIG_AUTH_KEYS:
        snprintf(out, cap, "KID=ALG:FILE with " HF_JWT_ALG_NAMES " for ALG, up to 16; or none");
        break;
    case HF_CONFIG_API_KEYS:
        snprintf(out, cap, "NAME=full:SHA256 or NAME=read:SHA256, up to 32; or none");
        break;
    case HF_CONFIG_ORIGINS:
        snprintf(out, cap, "origins such as https://example.org or https://*.example.org, up to 32; or none");
        break;
    case HF_CONFIG_URL:
        snprintf(out, cap, "http:// or https:// with a host, up to 255 bytes, or none");
        break;
    case HF_CONFIG_TEXT:
        snprintf(out, cap, "up to 255 printable ASCII characters without spaces");
        break;
    case HF_CONFIG_CERTIFICATES:
        snprintf(out, cap, "CERTIFICATE:KEY, paths of PEM files; or {certificate, key} in the file");
        break;
    case HF_CONFIG_NETWORKS:
        snprintf(out, cap, "ADDR/BITS such as 10.0.0.0/8 or 2001:db8::/32, or none");
        break;
    case HF_CONFIG_SECRET:
        snprintf(out, cap, "up to 255 printable ASCII characters without spaces");
        break;
    case HF_CONFIG_NAMESPACES:
        snprintf(out, cap, "up to 128 patterns such as chat:* with their keys; in the file only");
        break;
    case HF_CONFIG_RULES:
        snprintf(out, cap, "none, all, user, claim, claim:NAME, a pattern with ${user}, backend, or a list");
        break;
    }
}

struct hf_config_shown hf_config_show(struct hf_str value)
{
    struct hf_config_shown s = {""};
    size_t n = value.len < sizeof(s.text) - 4 ? value.len : sizeof(s.text) - 4;

    for (size_t i = 0; i < n; i++)
        s.text[i] = (uint8_t)value.data[i] < 0x20 || value.data[i] == 0x7f ? '?' : value.data[i];
    memcpy(s.text + n, value.len > n ? "..." : "", value.len > n ? 4 : 1);
    return s;
}

static int refuse(char *error, size_t cap, const char *fmt, ...) HF_PRINTF(3, 4);

static int refuse(char *error, size_t cap, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    vsnprintf(error, cap, fmt, args);
    va_end(args);
    return HF_EINVAL;
}

/* Read digits from the front of *value. Returns 0 with *n, which stops at UINT64_MAX, or HF_EINVAL where there are none. */
static int read_digits(struct hf_str *value, uint64_t *n)
{
    size_t i = 0;

    *n = 0;
    for (; i < value->len && value->data[i] >= '0' && value->data[i] <= '9'; i++) {
        if (__builtin_mul_overflow(*n, 10u, n) ||
            __builtin_add_overflow(*n, (uint64_t)(value->data[i] - '0'), n))
            *n = UINT64_MAX;
    }
    *value = (struct hf_str){value->data + i, value->len - i};
    return i == 0 ? HF_EINVAL : 0;
}

/* Digits and a unit. As above. */
static int read_number(struct units units, struct hf_str value, uint64_t *n)
{
    int err = read_digits(&value, n);

    if (err < 0)
        return err;
    for (size_t u = 0; u < units.count; u++) {
        if (value.len == 0 || hf_str_eq(value, hf_str_from(units.list[u].name))) {
            if (__builtin_mul_overflow(*n, (uint64_t)units.list[u].factor, n))
                *n = UINT64_MAX;
            return 0;
        }
    }
    return HF_EINVAL;
}

static int parse_number(const struct hf_config_key *key, uint32_t *to, struct hf_str value, char *error,
                        size_t cap)
{
    struct units units = units_of(key->kind);
    char allowed[64];
    uint64_t n;

    if (key->zero != NULL && hf_str_eq(value, hf_str_from(key->zero))) {
        *to = 0;
        return 0;
    }
    hf_config_key_allowed(key, allowed, sizeof(allowed));
    if (read_number(units, value, &n) < 0)
        return refuse(error, cap, "'%s' is not %s; allowed is %s", hf_config_show(value).text, units.example,
                      allowed);
    if (n < key->min || n > key->max)
        return refuse(error, cap, "'%s' is out of range; allowed is %s", hf_config_show(value).text, allowed);
    *to = (uint32_t)n;
    return 0;
}

static int parse_bool(bool *to, struct hf_str value, char *error, size_t cap)
{
    *to = hf_str_eq(value, HF_STR("true"));
    if (*to || hf_str_eq(value, HF_STR("false")))
        return 0;
    return refuse(error, cap, "'%s' is neither true nor false", hf_config_show(value).text);
}

static int parse_choice(const struct hf_config_key *key, void *to, struct hf_str value, char *error,
                        size_t cap)
{
    char allowed[64];

    for (int i = 0; key->names[i] != NULL; i++) {
        if (hf_str_eq(value, hf_str_from(key->names[i]))) {
            memcpy(to, &i, sizeof(i));
            return 0;
        }
    }
    hf_config_key_allowed(key, allowed, sizeof(allowed));
    return refuse(error, cap, "'%s' is not known; allowed is %s", hf_config_show(value).text, allowed);
}

static_assert(sizeof(enum hf_log_level) == sizeof(int) && sizeof(enum hf_log_format) == sizeof(int) &&
                  sizeof(enum hf_tls_version) == sizeof(int) && sizeof(enum hf_socket_mode) == sizeof(int) &&
                  sizeof(enum hf_proxy_says) == sizeof(int) &&
                  sizeof(enum hf_namespace_mode) == sizeof(int) && sizeof(enum hf_hook_fail) == sizeof(int),
              "parse_choice() writes an int");

static bool port_valid(const char *text)
{
    uint64_t n;

    return strlen(text) <= 5 && read_number(units_of(HF_CONFIG_COUNT), hf_str_from(text), &n) == 0 &&
           n >= 1 && n <= 65535; /* 0 would give each worker another port. */
}

static bool host_valid(char *host, size_t len)
{
    struct in6_addr addr;

    if (len > 2 && host[0] == '[' && host[len - 1] == ']') {
        host[len - 1] = '\0';
        return inet_pton(AF_INET6, host + 1, &addr) == 1;
    }
    return inet_pton(AF_INET, host, &addr) == 1;
}

/* Names are not looked up: what a server listens on must not depend on a resolver. "localhost" alone is understood. */
static int parse_address(char to[HF_ADDRESS_MAX], struct hf_str value, char *error, size_t cap)
{
    const struct hf_str localhost = HF_STR("localhost:");
    char text[HF_ADDRESS_MAX] = "", host[HF_ADDRESS_MAX];
    char *colon;
    int n;

    if (value.len > localhost.len && memcmp(value.data, localhost.data, localhost.len) == 0)
        n = snprintf(text, sizeof(text), "127.0.0.1:%.*s", (int)(value.len - localhost.len),
                     value.data + localhost.len);
    else
        n = snprintf(text, sizeof(text), "%.*s", (int)value.len, value.data);
    if (n >= HF_ADDRESS_MAX || strlen(text) != (size_t)n)
        return refuse(error, cap, "'%s' is no address; allowed is ADDR:PORT", hf_config_show(value).text);
    memcpy(host, text, sizeof(host));
    colon = strrchr(host, ':');
    if (colon == NULL || !port_valid(colon + 1))
        return refuse(error, cap, "'%s' has no port from 1 to 65535; allowed is ADDR:PORT",
                      hf_config_show(value).text);
    *colon = '\0';
    if (!host_valid(host, (size_t)(colon - host)))
        return refuse(
            error, cap,
            "'%s' has no numeric address; allowed is ADDR:PORT, such as 127.0.0.1:%s, 0.0.0.0:%s or [::]:%s",
            hf_config_show(value).text, colon + 1, colon + 1, colon + 1);
    memcpy(to, text, (size_t)n + 1);
    return 0;
}

size_t *hf_config_list_count(const struct hf_config_key *key, struct hf_config *c)
{
    return (size_t *)(void *)((char *)c + key->count_offset);
}

static int append_address(const struct hf_config_key *key, struct hf_config *c, struct hf_str value,
                          char *error, size_t cap)
{
    char(*list)[HF_ADDRESS_MAX] = (void *)((char *)c + key->offset);
    size_t *count = hf_config_list_count(key, c);
    int err;

    if (*count == HF_LISTEN_MAX)
        return refuse(error, cap, "more than %d addresses", HF_LISTEN_MAX);
    err = parse_address(list[*count], value, error, cap);
    if (err < 0)
        return err;
    ++*count;
    return 0;
}

/* unix:/PATH. sockaddr_un has room for 107 bytes. */
static int parse_unix(char to[HF_ADDRESS_MAX], struct hf_str value, char *error, size_t cap)
{
    enum { SCHEME = sizeof("unix:") - 1, PATH_BYTES_MAX = 107 };

    if (value.len <= SCHEME || value.data[SCHEME] != '/' || value.len > SCHEME + PATH_BYTES_MAX ||
        memchr(value.data, '\0', value.len) != NULL)
        return refuse(error, cap,
                      "'%s' is no Unix socket; allowed is unix: with an absolute path of up to %d bytes",
                      hf_config_show(value).text, PATH_BYTES_MAX);
    memcpy(to, value.data, value.len);
    to[value.len] = '\0';
    return 0;
}

static int parse_address_or_none(char to[HF_ADDRESS_MAX], struct hf_str value, char *error, size_t cap)
{
    if (value.len >= 5 && memcmp(value.data, "unix:", 5) == 0)
        return parse_unix(to, value, error, cap);
    if (!hf_str_eq(value, HF_STR("none")))
        return parse_address(to, value, error, cap);
    memcpy(to, "none", sizeof("none"));
    return 0;
}

int hf_config_network_append(struct hf_config *c, struct hf_str value, char *error, size_t cap)
{
    if (c->proxy_trusted_count == HF_NETWORKS_MAX)
        return refuse(error, cap, "more than %d networks", HF_NETWORKS_MAX);
    if (hf_network_parse(value, &c->proxy_trusted[c->proxy_trusted_count]) < 0)
        return refuse(error, cap,
                      "'%s' is no network; allowed is ADDR/BITS with all bits behind the first BITS 0, such "
                      "as 10.0.0.0/8 or "
                      "2001:db8::/32",
                      hf_config_show(value).text);
    c->proxy_trusted_count++;
    return 0;
}

static int copy_path(char to[HF_CONFIG_PATH_MAX], struct hf_str path, char *error, size_t cap)
{
    if (path.len >= HF_CONFIG_PATH_MAX || memchr(path.data, '\0', path.len) != NULL)
        return refuse(error, cap, "'%s' is no path of up to %d bytes", hf_config_show(path).text,
                      HF_CONFIG_PATH_MAX - 1);
    memcpy(to, path.data, path.len);
    to[path.len] = '\0';
    return 0;
}

int hf_config_certificate_append(struct hf_config *c, struct hf_str certificate, struct hf_str key,
                                 char *error, size_t cap)
{
    struct hf_certificate_files *files = &c->certificates[c->certificate_count];
    int err;

    if (c->certificate_count == HF_CERTIFICATES_MAX)
        return refuse(error, cap, "more than %d certificates", HF_CERTIFICATES_MAX);
    if (certificate.len == 0)
        return refuse(error, cap, "has no certificate; allowed is CERTIFICATE:KEY, paths of PEM files");
    err = copy_path(files->certificate, certificate, error, cap);
    if (err == 0)
        err = copy_path(files->key, key, error, cap);
    c->certificate_count += err == 0;
    return err;
}

/* "CERTIFICATE:KEY"; without a colon both are in one file. */
static int append_certificate(struct hf_config *c, struct hf_str value, char *error, size_t cap)
{
    const char *colon = memchr(value.data, ':', value.len);
    size_t len = colon == NULL ? value.len : (size_t)(colon - value.data);
    struct hf_str key = {value.data + len, 0};

    if (colon != NULL)
        key = (struct hf_str){colon + 1, value.len - len - 1};
    return hf_config_certificate_append(c, (struct hf_str){value.data, len}, key, error, cap);
}

int hf_config_list_append(const struct hf_config_key *key, struct hf_config *c, struct hf_str value,
                          char *error, size_t cap)
{
    switch (key->kind) {
    case HF_CONFIG_CERTIFICATES:
        return append_certificate(c, value, error, cap);
    case HF_CONFIG_NETWORKS:
        return hf_config_network_append(c, value, error, cap);
    case HF_CONFIG_AUTH_KEYS:
        return hf_config_auth_key_append(c, value, error, cap);
    case HF_CONFIG_API_KEYS:
        return hf_config_api_key_append(c, value, error, cap);
    case HF_CONFIG_ORIGINS:
        return hf_config_origin_append(c, value, error, cap);
    default:
        return append_address(key, c, value, error, cap);
    }
}

static int parse_list(const struct hf_config_key *key, struct hf_config *c, struct hf_str value, char *error,
                      size_t cap)
{
    *hf_config_list_count(key, c) = 0;
    if (hf_str_eq(value, HF_STR("none")))
        return 0;
    for (;;) {
        const char *comma = memchr(value.data, ',', value.len);
        size_t len = comma == NULL ? value.len : (size_t)(comma - value.data);
        int err = hf_config_list_append(key, c, (struct hf_str){value.data, len}, error, cap);

        if (err < 0 || comma == NULL)
            return err;
        value = (struct hf_str){comma + 1, value.len - len - 1};
    }
}

static int parse_secret(char to[256], struct hf_str value, char *error, size_t cap)
{
    bool printable = true;

    for (size_t i = 0; i < value.len; i++)
        printable = printable && value.data[i] > ' ' && value.data[i] < 0x7f;
    if (!printable || value.len > 255)
        return refuse(error, cap, "must be up to 255 printable ASCII characters without spaces");
    memcpy(to, value.data, value.len);
    to[value.len] = '\0';
    return 0;
}

int hf_config_scalar_parse(const struct hf_config_key *key, void *to, struct hf_str value, char *error,
                           size_t cap)
{
    switch (key->kind) {
    case HF_CONFIG_BOOL:
        return parse_bool(to, value, error, cap);
    case HF_CONFIG_CHOICE:
        return parse_choice(key, to, value, error, cap);
    default:
        return parse_number(key, to, value, error, cap);
    }
}

int hf_config_rule_append(const struct hf_config_key *key, struct hf_config *c, struct hf_namespace *ns,
                          struct hf_str rule, char *error, size_t cap)
{
    const char *why;

    for (int right = 0; right < HF_RIGHTS; right++) {
        bool is_meant = strcmp(key->name, "allow") == 0 ||
                        strcmp(key->name + sizeof("allow.") - 1, hf_right_name((enum hf_right)right)) == 0;

        if (is_meant && hf_namespace_allow(&c->namespaces, ns, (enum hf_right)right, rule, &why) < 0)
            return refuse(error, cap, "'%s' %s", hf_config_show(rule).text, why);
    }
    return 0;
}

static bool printable_url(struct hf_str value)
{
    for (size_t i = 0; i < value.len; i++)
        if (value.data[i] <= ' ' || value.data[i] >= 0x7f || value.data[i] == '#')
            return false;
    return value.len < HF_URL_MAX;
}

/* RFC 3986 3.2: "The authority component is preceded by a double slash and is terminated by the next slash, question mark, …" */
static struct hf_str authority_of(struct hf_str url)
{
    static const struct hf_str schemes[] = {{"http://", 7}, {"https://", 8}};
    struct hf_str rest = {NULL, 0};

    for (size_t i = 0; i < 2; i++)
        if (url.len > schemes[i].len && memcmp(url.data, schemes[i].data, schemes[i].len) == 0)
            rest = (struct hf_str){url.data + schemes[i].len, url.len - schemes[i].len};
    for (size_t i = 0; i < rest.len; i++)
        if (rest.data[i] == '/' || rest.data[i] == '?')
            rest.len = i;
    return rest;
}

static int parse_url(char to[HF_URL_MAX], struct hf_str value, char *error, size_t cap)
{
    struct hf_str authority = authority_of(value);
    bool none = hf_str_eq(value, HF_STR("none"));

    if (!none && authority.len > 0 && memchr(authority.data, '@', authority.len) != NULL)
        return refuse(error, cap,
                      "has a user or password in it; requests are signed with hooks.secret instead");
    if (!none && (authority.len == 0 || authority.data[0] == ':' || !printable_url(value)))
        return refuse(error, cap,
                      "'%s' is no URL; allowed is http:// or https:// with a host, up to %d bytes",
                      hf_config_show(value).text, HF_URL_MAX - 1);
    snprintf(to, HF_URL_MAX, "%.*s", none ? 0 : (int)value.len, value.data);
    return 0;
}

int hf_config_key_parse(const struct hf_config_key *key, struct hf_config *c, struct hf_str value,
                        char *error, size_t cap)
{
    void *to = (char *)c + key->offset;

    switch (key->kind) {
    case HF_CONFIG_COUNT:
    case HF_CONFIG_DURATION:
    case HF_CONFIG_BYTES:
    case HF_CONFIG_BOOL:
    case HF_CONFIG_CHOICE:
        return hf_config_scalar_parse(key, to, value, error, cap);
    case HF_CONFIG_ADDRESS:
        return parse_address_or_none(to, value, error, cap);
    case HF_CONFIG_ADDRESSES:
    case HF_CONFIG_CERTIFICATES:
    case HF_CONFIG_NETWORKS:
    case HF_CONFIG_AUTH_KEYS:
    case HF_CONFIG_API_KEYS:
    case HF_CONFIG_ORIGINS:
        return parse_list(key, c, value, error, cap);
    case HF_CONFIG_URL:
        return parse_url(to, value, error, cap);
    case HF_CONFIG_TEXT:
    case HF_CONFIG_SECRET:
        return parse_secret(to, value, error, cap);
    case HF_CONFIG_NAMESPACES:
        return refuse(error, cap, "can be set in the file only, which `holdfast serve --config FILE` reads");
    case HF_CONFIG_RULES: /* A namespace's, and no key of the server. */
        break;
    }
    hf_assert(false);
    return HF_EINVAL;
}
