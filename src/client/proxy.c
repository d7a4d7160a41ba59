#include "client/proxy.h"

#include "base/ip.h"
#include "base/str.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* --- the environment --- */

static const char *variable(const char *lower, const char *upper)
{
    const char *value = getenv(lower);

    if ((value == NULL || *value == '\0') && upper != NULL)
        value = getenv(upper);
    return value == NULL || *value == '\0' ? NULL : value;
}

void hf_proxy_read_environment(struct hf_proxy_environment *env)
{
    env->http = variable("http_proxy", NULL);
    env->https = variable("https_proxy", "HTTPS_PROXY");
    env->all = variable("all_proxy", "ALL_PROXY");
    env->none = variable("no_proxy", "NO_PROXY");
}

/* --- one proxy --- */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* RFC 3986 section 2.1. Returns the length, or -1: no such text, too long, or with a control character. */
static int decode_percent(struct hf_str from, char *to, size_t cap)
{
    size_t len = 0, i;

    for (i = 0; i < from.len && len < cap; i++) {
        int high, low;

        to[len] = from.data[i];
        if (from.data[i] == '%') {
            high = i + 2 < from.len ? hex_digit(from.data[i + 1]) : -1;
            low = i + 2 < from.len ? hex_digit(from.data[i + 2]) : -1;
            if (high < 0 || low < 0)
                return -1;
            to[len] = (char)(high * 16 + low);
            i += 2;
        }
        if ((unsigned char)to[len] < 0x20 || to[len] == 0x7f)
            return -1;
        len++;
    }
    return i == from.len ? (int)len : -1;
}

/* RFC 7617 section 2: base64 of "user:password"; "a user-id containing a colon character is invalid". */
static bool put_authorization(struct hf_proxy *p, struct hf_str user, struct hf_str password)
{
    char both[2 * HF_PROXY_USER_MAX + 1];
    int user_len = decode_percent(user, both, HF_PROXY_USER_MAX), password_len;
    size_t len;

    if (user_len < 0 || memchr(both, ':', (size_t)user_len) != NULL)
        return false;
    both[user_len] = ':';
    password_len = decode_percent(password, both + user_len + 1, HF_PROXY_USER_MAX);
    if (password_len < 0)
        return false;
    len = (size_t)snprintf(p->authorization, sizeof(p->authorization), "Basic ");
    (void)EVP_EncodeBlock((unsigned char *)p->authorization + len, (const unsigned char *)both,
                          user_len + 1 + password_len);
    return true;
}

static bool take_user(struct hf_proxy *p, struct hf_str user)
{
    const char *colon = memchr(user.data, ':', user.len);
    size_t name_len = colon == NULL ? user.len : (size_t)(colon - user.data);
    struct hf_str password = {"", 0};

    if (colon != NULL)
        password = (struct hf_str){colon + 1, user.len - name_len - 1};
    return put_authorization(p, (struct hf_str){user.data, name_len}, password);
}

static bool has_port(struct hf_str authority)
{
    const char *bracket = memchr(authority.data, ']', authority.len);
    const char *from =
        bracket == NULL ? authority.data : bracket; /* the colons of an IPv6 address are no port's */

    return memchr(from, ':', authority.len - (size_t)(from - authority.data)) != NULL;
}

/* The rest is as the authority of a URL of ours. */
static bool take_host(struct hf_proxy *p, const char *authority)
{
    char text[HF_URL_HOST_MAX + 32];
    struct hf_url url;
    size_t len = strcspn(authority, "/");
    const char *behind = authority + len;

    if (len > HF_URL_HOST_MAX || (behind[0] == '/' && behind[1] != '\0'))
        return false;
    (void)snprintf(text, sizeof(text), "ws://%.*s%s", (int)len, authority,
                   has_port((struct hf_str){authority, len}) ? "" : ":1080");
    if (hf_url_parse(&url, text) < 0 || url.target[1] != '\0')
        return false;
    memcpy(p->host, url.host, sizeof(p->host));
    memcpy(p->port, url.port, sizeof(p->port));
    return true;
}

int hf_proxy_parse(struct hf_proxy *p, const char *text)
{
    const char *scheme_end = strstr(text, "://"), *at;

    memset(p, 0, sizeof(*p));
    if (scheme_end != NULL && strncasecmp(text, "http://", 7) != 0)
        return HF_EUNSUPPORTED;
    if (scheme_end != NULL)
        text = scheme_end + 3;
    at = strrchr(text, '@');
    if (at != NULL && !take_user(p, (struct hf_str){text, (size_t)(at - text)}))
        goto invalid;
    if (take_host(p, at == NULL ? text : at + 1))
        return 0;
invalid:
    memset(p, 0, sizeof(*p));
    return HF_EINVAL;
}

/* --- which one --- */

static struct hf_str without_dots_behind(struct hf_str name)
{
    while (name.len > 0 && name.data[name.len - 1] == '.')
        name.len--;
    return name;
}

static bool name_matches(struct hf_str pattern, struct hf_str name)
{
    pattern = without_dots_behind(pattern);
    if (pattern.len > 0 && pattern.data[0] == '.') {
        pattern.data++;
        pattern.len--;
    }
    if (pattern.len == 0 || pattern.len > name.len)
        return false;
    return strncasecmp(name.data + name.len - pattern.len, pattern.data, pattern.len) == 0 &&
           (name.len == pattern.len || name.data[name.len - pattern.len - 1] == '.');
}

static bool address_matches(struct hf_str pattern, const struct hf_ip *ip)
{
    struct hf_network network;

    if (pattern.len > 2 && pattern.data[0] == '[' && pattern.data[pattern.len - 1] == ']')
        pattern = (struct hf_str){pattern.data + 1, pattern.len - 2};
    return hf_network_parse(pattern, &network) == 0 && hf_network_any(&network, 1, ip);
}

static bool matches(struct hf_str pattern, const char *host)
{
    struct hf_ip ip;

    if (hf_str_eq(pattern, HF_STR("*")))
        return true;
    if (hf_ip_parse(hf_str_from(host), &ip) == 0)
        return address_matches(pattern, &ip);
    return name_matches(pattern, without_dots_behind(hf_str_from(host)));
}

static bool excluded(const char *none, const char *host)
{
    static const char between[] = ", \t";

    while (none != NULL && *(none += strspn(none, between)) != '\0') {
        struct hf_str pattern = {none, strcspn(none, between)};

        if (matches(pattern, host))
            return true;
        none += pattern.len;
    }
    return false;
}

static bool is_this_machine(const char *host)
{
    return excluded("localhost 127.0.0.0/8 ::1", host);
}

int hf_proxy_choose(struct hf_proxy *p, const struct hf_proxy_environment *env, const struct hf_url *url,
                    const char **text)
{
    *text = url->secure ? env->https : env->http;
    if (*text == NULL)
        *text = env->all;
    if (*text == NULL || is_this_machine(url->host) || excluded(env->none, url->host)) {
        memset(p, 0, sizeof(*p));
        return 0;
    }
    return hf_proxy_parse(p, *text);
}
