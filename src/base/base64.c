#include "base/base64.h"

#include "base/err.h"

#include <stdbool.h>

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

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

/* The six bits of a character, or -1. */
static int digit_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* `count` characters, 2 to 4, are count - 1 bytes. Returns false where a character is none of ours, or bits are left over. */
static bool decode_some(uint8_t *out, const char *in, int count)
{
    uint32_t bits = 0;
    bool valid = true;

    for (int i = 0; i < 4; i++) {
        int value = i < count ? digit_value(in[i]) : 0;

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
        if (!decode_some(out + len, in, count))
            return HF_EBADMSG;
    }
    return (int)len;
}
