#include "base/ip.h"

#include <stdio.h>
#include <string.h>

enum { GROUPS = 8 /* of 16 bits, in IPv6's text */ };

static const uint8_t v4_prefix[12] = {[10] = 0xff, [11] = 0xff};

struct hf_ip hf_ip_v4(const uint8_t bytes[4])
{
    struct hf_ip ip;

    memcpy(ip.bytes, v4_prefix, sizeof(v4_prefix));
    memcpy(ip.bytes + sizeof(v4_prefix), bytes, 4);
    return ip;
}

bool hf_ip_is_v4(const struct hf_ip *ip)
{
    return memcmp(ip->bytes, v4_prefix, sizeof(v4_prefix)) == 0;
}

/* ---- Reading ---- */

/* Digits off the front of *text. Returns their value, or HF_EINVAL: none, more than digits_max, or a leading zero. */
static int take_decimal(struct hf_str *text, size_t digits_max)
{
    size_t i = 0;
    int n = 0;

    while (i < text->len && i < digits_max && text->data[i] >= '0' && text->data[i] <= '9')
        n = n * 10 + (text->data[i++] - '0');
    /* A leading zero means octal to some readers, and decimal to others. */
    if (i == 0 || (i > 1 && text->data[0] == '0'))
        return HF_EINVAL;
    text->data += i;
    text->len -= i;
    return n;
}

static bool take_char(struct hf_str *text, char c)
{
    if (text->len == 0 || text->data[0] != c)
        return false;
    text->data++;
    text->len--;
    return true;
}

static int parse_v4(struct hf_str text, uint8_t out[4])
{
    for (int i = 0; i < 4; i++) {
        int n;

        if (i > 0 && !take_char(&text, '.'))
            return HF_EINVAL;
        n = take_decimal(&text, 3);
        if (n < 0 || n > 255)
            return HF_EINVAL;
        out[i] = (uint8_t)n;
    }
    return text.len == 0 ? 0 : HF_EINVAL;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static int take_group(struct hf_str *text)
{
    int n = 0, i = 0;

    while ((size_t)i < text->len && i < 4 && hex_digit(text->data[i]) >= 0)
        n = n << 4 | hex_digit(text->data[i++]);
    text->data += i;
    text->len -= (size_t)i;
    return i == 0 ? HF_EINVAL : n;
}

/* What has been read of an IPv6 address: groups as they came, and where "::" stood. */
struct v6 {
    uint8_t bytes[HF_IP_BYTES];
    int groups, gap; /* gap -1: none */
};

static int add_group(struct v6 *v, struct hf_str *text)
{
    int n = take_group(text);

    if (n < 0 || v->groups == GROUPS)
        return HF_EINVAL;
    v->bytes[2 * v->groups] = (uint8_t)(n >> 8);
    v->bytes[2 * v->groups + 1] = (uint8_t)n;
    v->groups++;
    return 0;
}

/* "the six high-order 16-bit pieces ... and the 'd's are the decimal values": the tail as IPv4. */
static int add_v4(struct v6 *v, struct hf_str text)
{
    if (v->groups > GROUPS - 2)
        return HF_EINVAL;
    v->groups += 2;
    return parse_v4(text, v->bytes + 2 * v->groups - 4);
}

static bool take_gap(struct hf_str *text)
{
    if (text->len < 2 || memcmp(text->data, "::", 2) != 0)
        return false;
    text->data += 2;
    text->len -= 2;
    return true;
}

/* Whether the next piece, up to a colon or the end, has a dot. */
static bool dotted(struct hf_str text)
{
    const char *colon = text.len == 0 ? NULL : memchr(text.data, ':', text.len);
    size_t len = colon == NULL ? text.len : (size_t)(colon - text.data);

    return len > 0 && memchr(text.data, '.', len) != NULL;
}

static int take_pieces(struct v6 *v, struct hf_str text)
{
    bool first = true;

    while (text.len > 0) {
        if (take_gap(&text)) {
            if (v->gap >= 0)
                return HF_EINVAL;
            v->gap = v->groups;
            if (text.len == 0)
                return 0;
        } else if (!first && !take_char(&text, ':')) {
            return HF_EINVAL;
        }
        first = false;
        if (dotted(text))
            return add_v4(v, text);
        if (add_group(v, &text) < 0)
            return HF_EINVAL;
    }
    return first ? HF_EINVAL : 0;
}

static int parse_v6(struct hf_str text, struct hf_ip *out)
{
    struct v6 v = {.gap = -1};
    size_t before, behind;

    if (take_pieces(&v, text) < 0)
        return HF_EINVAL;
    /* "::" stands for one group of zeros at least (RFC 5952 section 4.2.2 says why more is better style). */
    if (v.gap < 0 ? v.groups != GROUPS : v.groups == GROUPS)
        return HF_EINVAL;
    before = v.gap < 0 ? HF_IP_BYTES : 2 * (size_t)v.gap;
    behind = 2 * (size_t)v.groups - before;
    memset(out, 0, sizeof(*out));
    memcpy(out->bytes, v.bytes, v.gap < 0 ? HF_IP_BYTES : before);
    if (v.gap >= 0)
        memcpy(out->bytes + HF_IP_BYTES - behind, v.bytes + before, behind);
    return 0;
}

int hf_ip_parse(struct hf_str text, struct hf_ip *out)
{
    uint8_t v4[4];

    if (text.len == 0)
        return HF_EINVAL;
    if (memchr(text.data, ':', text.len) != NULL)
        return parse_v6(text, out);
    if (parse_v4(text, v4) < 0)
        return HF_EINVAL;
    *out = hf_ip_v4(v4);
    return 0;
}

static int parse_port(struct hf_str text, uint16_t *port)
{
    int n = take_decimal(&text, 5);

    if (n < 0 || n > 65535 || text.len > 0)
        return HF_EINVAL;
    *port = (uint16_t)n;
    return 0;
}

static int parse_bracketed(struct hf_str text, struct hf_endpoint *out)
{
    const char *end = memchr(text.data, ']', text.len);
    size_t inside = end == NULL ? 0 : (size_t)(end - text.data - 1);
    struct hf_str rest;

    if (end == NULL || memchr(text.data + 1, ':', inside) == NULL ||
        hf_ip_parse((struct hf_str){text.data + 1, inside}, &out->ip) < 0)
        return HF_EINVAL;
    rest = (struct hf_str){end + 1, text.len - inside - 2};
    if (rest.len == 0)
        return 0;
    return take_char(&rest, ':') ? parse_port(rest, &out->port) : HF_EINVAL;
}

int hf_endpoint_parse(struct hf_str text, struct hf_endpoint *out)
{
    const char *colon;

    out->port = 0;
    if (text.len == 0)
        return HF_EINVAL;
    if (text.data[0] == '[')
        return parse_bracketed(text, out);
    colon = memchr(text.data, ':', text.len);
    if (colon == NULL || memchr(colon + 1, ':', text.len - (size_t)(colon + 1 - text.data)) != NULL)
        return hf_ip_parse(text, &out->ip);
    if (hf_ip_parse((struct hf_str){text.data, (size_t)(colon - text.data)}, &out->ip) < 0)
        return HF_EINVAL;
    return parse_port((struct hf_str){colon + 1, text.len - (size_t)(colon + 1 - text.data)}, &out->port);
}

/* ---- Writing ---- */

static unsigned group(const struct hf_ip *ip, int i)
{
    return (unsigned)ip->bytes[2 * i] << 8 | ip->bytes[2 * i + 1];
}

/* RFC 5952 section 4.2: the longest run of zeros, the first of equals, and never a single group. Returns its length. */
static int longest_zeros(const struct hf_ip *ip, int *at)
{
    int best = 1, run = 0;

    *at = -1;
    for (int i = 0; i < GROUPS; i++) {
        run = group(ip, i) == 0 ? run + 1 : 0;
        if (run > best) {
            best = run;
            *at = i - run + 1;
        }
    }
    return best;
}

static size_t format_v6(const struct hf_ip *ip, char *out, size_t cap)
{
    int at, zeros = longest_zeros(ip, &at);
    size_t used = 0;

    for (int i = 0; i < GROUPS; i++) {
        if (i == at) {
            used += (size_t)snprintf(out + used, cap - used, "::");
            i += zeros - 1;
            continue;
        }
        used += (size_t)snprintf(out + used, cap - used, "%s%x",
                                 i == 0 || (at >= 0 && i == at + zeros) ? "" : ":", group(ip, i));
    }
    return used;
}

size_t hf_endpoint_format(const struct hf_endpoint *e, char out[HF_IP_TEXT_BYTES])
{
    const uint8_t *b = e->ip.bytes + 12;
    char name[HF_IP_TEXT_BYTES];
    bool v4 = hf_ip_is_v4(&e->ip);

    if (v4)
        snprintf(name, sizeof(name), "%u.%u.%u.%u", b[0], b[1], b[2], b[3]);
    else
        (void)format_v6(&e->ip, name, sizeof(name));
    if (e->port == 0)
        return (size_t)snprintf(out, HF_IP_TEXT_BYTES, "%.39s", name);
    return (size_t)snprintf(out, HF_IP_TEXT_BYTES, v4 ? "%.39s:%u" : "[%.39s]:%u", name, e->port);
}

/* ---- Networks ---- */

struct hf_ip hf_ip_prefix(const struct hf_ip *ip, unsigned bits)
{
    struct hf_ip p = *ip;

    for (unsigned i = 0; i < HF_IP_BYTES; i++) {
        unsigned keep = bits > 8 * i ? bits - 8 * i : 0;

        if (keep < 8)
            p.bytes[i] &= (uint8_t)(0xff00u >> keep);
    }
    return p;
}

int hf_network_parse(struct hf_str text, struct hf_network *out)
{
    const char *slash = text.len == 0 ? NULL : memchr(text.data, '/', text.len);
    struct hf_str address = {text.data, slash == NULL ? text.len : (size_t)(slash - text.data)};
    struct hf_ip prefix;
    int bits = HF_IP_BITS;

    if (hf_ip_parse(address, &out->ip) < 0)
        return HF_EINVAL;
    if (slash != NULL) {
        struct hf_str rest = {slash + 1, text.len - address.len - 1};
        bool v4 = memchr(address.data, ':', address.len) == NULL;

        bits = take_decimal(&rest, 3);
        if (bits < 0 || rest.len > 0 || bits > (v4 ? HF_IP_BITS - HF_IP_V4_BITS : HF_IP_BITS))
            return HF_EINVAL;
        bits += v4 ? HF_IP_V4_BITS : 0;
    }
    out->bits = (uint8_t)bits;
    prefix = hf_ip_prefix(&out->ip, out->bits);
    return memcmp(&prefix, &out->ip, sizeof(prefix)) == 0 ? 0 : HF_EINVAL;
}

bool hf_network_any(const struct hf_network *networks, size_t count, const struct hf_ip *ip)
{
    for (size_t i = 0; i < count; i++) {
        struct hf_ip prefix = hf_ip_prefix(ip, networks[i].bits);

        if (memcmp(&prefix, &networks[i].ip, sizeof(prefix)) == 0)
            return true;
    }
    return false;
}
