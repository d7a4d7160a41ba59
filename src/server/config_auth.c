/*
 * config_auth.c - the values of the configuration that say who may come in: keys of tokens, keys of the API, origins.
 */
#include "server/config_keys.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static int refuse(char *error, size_t cap, const char *fmt, ...) HF_PRINTF(3, 4);

static int refuse(char *error, size_t cap, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    vsnprintf(error, cap, fmt, args);
    va_end(args);
    return HF_EINVAL;
}

/* What stands in front of the first such character comes off. Returns false where there is none. */
static bool take_until(struct hf_str *rest, char end, struct hf_str *out)
{
    const char *at = rest->len == 0 ? NULL : memchr(rest->data, end, rest->len);

    if (at == NULL)
        return false;
    *out = (struct hf_str){rest->data, (size_t)(at - rest->data)};
    *rest = (struct hf_str){at + 1, rest->len - out->len - 1};
    return true;
}

static bool is_label(struct hf_str text, size_t most)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.data[i] <= ' ' || text.data[i] >= 0x7f)
            return false;
    return text.len <= most;
}

static void copy(char *to, struct hf_str text)
{
    if (text.len > 0)
        memcpy(to, text.data, text.len);
    to[text.len] = '\0';
}

/* ---- auth.keys ---- */

/* ALG:FILE, or KID=ALG:FILE; a kid may have '=' and ':' in it, so that the first place where an algorithm's name follows counts. */
static bool split_key(struct hf_str value, struct hf_str *kid, enum hf_jwt_alg *alg, struct hf_str *path)
{
    for (size_t begin = 0; begin < value.len; begin++) {
        struct hf_str rest = {value.data + begin, value.len - begin}, name;

        if (begin > 0 && value.data[begin - 1] != '=')
            continue;
        if (take_until(&rest, ':', &name) && hf_jwt_alg_find(name, alg) == 0) {
            *kid = (struct hf_str){value.data, begin == 0 ? 0 : begin - 1};
            *path = rest;
            return true;
        }
    }
    return false;
}

int hf_config_auth_key_append(struct hf_config *c, struct hf_str value, char *error, size_t cap)
{
    struct hf_auth_key_file *file = &c->auth_keys[c->auth_key_count];
    struct hf_str kid, path;
    enum hf_jwt_alg alg;

    if (c->auth_key_count == HF_AUTH_KEYS_MAX)
        return refuse(error, cap, "more than %d keys", HF_AUTH_KEYS_MAX);
    if (!split_key(value, &kid, &alg, &path))
        return refuse(error, cap, "expected KID=ALG:FILE, with one of " HF_JWT_ALG_NAMES " for ALG");
    if (!is_label(kid, HF_KID_MAX))
        return refuse(error, cap, "the kid must be up to %d printable ASCII characters without spaces",
                      HF_KID_MAX);
    if (path.len == 0 || path.len >= HF_CONFIG_PATH_MAX || memchr(path.data, '\0', path.len) != NULL)
        return refuse(error, cap, "the key's file must be a path of 1 to %d bytes", HF_CONFIG_PATH_MAX - 1);
    for (size_t i = 0; i < c->auth_key_count; i++)
        if (hf_str_eq(kid, hf_str_from(c->auth_keys[i].kid)))
            return refuse(error, cap,
                          kid.len == 0 ? "two keys have no kid; name them: KID=ALG:FILE"
                                       : "two keys have the kid '%.*s'",
                          (int)kid.len, kid.data);
    file->alg = alg;
    copy(file->kid, kid);
    copy(file->path, path);
    c->auth_key_count++;
    return 0;
}

/* ---- api.keys ---- */

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

static bool read_hash(struct hf_str text, uint8_t out[HF_API_HASH_BYTES])
{
    if (text.len != 2 * HF_API_HASH_BYTES)
        return false;
    for (size_t i = 0; i < HF_API_HASH_BYTES; i++) {
        int high = hex_digit(text.data[2 * i]), low = hex_digit(text.data[2 * i + 1]);

        if (high < 0 || low < 0)
            return false;
        out[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

int hf_config_api_key_append(struct hf_config *c, struct hf_str value, char *error, size_t cap)
{
    struct hf_api_key *key = &c->api_keys[c->api_key_count];
    struct hf_str name, role;
    bool full;

    if (c->api_key_count == HF_API_KEYS_MAX)
        return refuse(error, cap, "more than %d keys", HF_API_KEYS_MAX);
    if (!take_until(&value, '=', &name) || !take_until(&value, ':', &role))
        return refuse(
            error, cap,
            "expected NAME=full:HASH or NAME=read:HASH, as `holdfast token api-key NAME` prints it");
    if (name.len == 0 || !is_label(name, HF_API_NAME_MAX))
        return refuse(error, cap, "the name must be 1 to %d printable ASCII characters without spaces",
                      HF_API_NAME_MAX);
    full = hf_str_eq(role, HF_STR("full"));
    if (!full && !hf_str_eq(role, HF_STR("read")))
        return refuse(error, cap, "'%.*s' may be full or read, and nothing else", (int)name.len, name.data);
    if (!read_hash(value, key->hash))
        return refuse(error, cap,
                      "'%.*s' needs the SHA-256 of its key in 64 hexadecimal digits; the key itself does not "
                      "belong here",
                      (int)name.len, name.data);
    for (size_t i = 0; i < c->api_key_count; i++)
        if (hf_str_eq(name, hf_str_from(c->api_keys[i].name)))
            return refuse(error, cap, "two keys have the name '%.*s'", (int)name.len, name.data);
    copy(key->name, name);
    key->full = full;
    c->api_key_count++;
    return 0;
}

/* ---- auth.origins ---- */

/* RFC 6454 section 6.2: scheme "://" host [ ":" port ]. No path, no user; the one star may stand for the host's first labels. */
static bool is_origin(struct hf_str text)
{
    static const struct hf_str wild = {"*.", 2};
    const char *host = text.len > 3 ? memmem(text.data, text.len, "://", 3) : NULL;
    size_t scheme_len = host == NULL ? 0 : (size_t)(host - text.data);
    struct hf_str rest;

    if (scheme_len == 0 || !is_label(text, HF_ADDRESS_MAX - 1))
        return false;
    rest = (struct hf_str){host + 3, text.len - scheme_len - 3};
    if (rest.len > wild.len && memcmp(rest.data, wild.data, wild.len) == 0)
        rest = (struct hf_str){rest.data + wild.len, rest.len - wild.len};
    return rest.len > 0 && memchr(text.data, '/', text.len) == text.data + scheme_len + 1 &&
           memchr(rest.data, '/', rest.len) == NULL && memchr(rest.data, '*', rest.len) == NULL &&
           memchr(rest.data, '@', rest.len) == NULL;
}

int hf_config_origin_append(struct hf_config *c, struct hf_str value, char *error, size_t cap)
{
    if (c->auth_origin_count == HF_ORIGINS_MAX)
        return refuse(error, cap, "more than %d origins", HF_ORIGINS_MAX);
    if (!is_origin(value))
        return refuse(error, cap,
                      "expected an origin as browsers send it, such as https://example.org or "
                      "https://*.example.org: no path, no slash at its end");
    copy(c->auth_origins[c->auth_origin_count++], value);
    return 0;
}
