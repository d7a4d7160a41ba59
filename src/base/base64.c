#include "base/base64.h"

#include "base/err.h"

#include <stdbool.h>

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char url_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static void encode_four(char out[4], uint32_t three)
{
    for (int i = 0; i < 4; i++)
        out[i] = digits[three >> (18 - 6 * i) & 63];
}

void hf_base64_encode(char *out, const void *data, size_t len)
{
    const uint8_t *in = data;

    for (; len >= 3; in += 3, len -= 3, out += 4)
        encode_four(out, (uint32_t)in[0] << 16 | (uint32_t)in[1] << 8 | in[2]);
    if (len == 0)
        return;
    encode_four(out, (uint32_t)in[0] << 16 | (len == 2 ? (uint32_t)in[1] << 8 : 0));
    out[3] = '=';
    if (len == 1)
        out[2] = '=';
}

/* The six bits of a character, or -1. last: the alphabet's characters 62 and 63. */
static int digit_value(char c, const char *last)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == last[0] ? 62 : c == last[1] ? 63 : -1;
}

/* `count` characters, 2 to 4, are count - 1 bytes. Returns false where a character is none of ours, or bits are left over. */
static bool decode_some(uint8_t *out, const char *in, int count, const char *last)
{
    uint32_t bits = 0;
    bool valid = true;

    for (int i = 0; i < 4; i++) {
        int value = i < count ? digit_value(in[i], last) : 0;

        valid = valid && value >= 0;
        bits = bits << 6 | ((uint32_t)value & 63);
    }
    for (int i = 0; i < count - 1; i++)
        out[i] = (uint8_t)(bits >> (16 - 8 * i));
    return valid && (bits & ((UINT32_C(1) << 8 * (4 - count)) - 1)) == 0;
}

int hf_base64_decode(struct hf_str text, uint8_t *out)
{
    const char *in = text.data;
    size_t left = text.len, len = 0;
    int count = 4;

    if (left % 4 != 0)
        return HF_EBADMSG;
    for (; left > 0; in += 4, left -= 4, len += (size_t)count - 1) {
        if (left == 4)
            count = in[3] != '=' ? 4 : in[2] != '=' ? 3 : 2;
        if (!decode_some(out + len, in, count, digits + 62))
            return HF_EBADMSG;
    }
    return (int)len;
}

void hf_base64url_encode(char *out, const void *data, size_t len)
{
    const uint8_t *in = data;
    uint32_t bits = 0;
    int have = 0;

    for (size_t i = 0; i < len; i++) {
        bits = bits << 8 | in[i];
        for (have += 8; have >= 6; have -= 6)
            *out++ = url_digits[bits >> (have - 6) & 63];
    }
    if (have > 0)
        *out = url_digits[bits << (6 - have) & 63];
}

int hf_base64url_decode(struct hf_str text, uint8_t *out)
{
    size_t len = 0;

    if (text.len % 4 == 1)
        return HF_EBADMSG;
    for (size_t at = 0; at < text.len; at += 4) {
        int count = text.len - at < 4 ? (int)(text.len - at) : 4;

        if (!decode_some(out + len, text.data + at, count, url_digits + 62))
            return HF_EBADMSG;
        len += (size_t)count - 1;
    }
    return (int)len;
}
