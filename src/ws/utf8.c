#include "ws/utf8.h"

#include <string.h>

/* Skip whole blocks of ASCII, 32 bytes at a time: most text is nothing else. Returns where the first other byte may be. */
static const uint8_t *skip_ascii(const uint8_t *at, const uint8_t *end)
{
    uint64_t w[4];

    while (end - at >= 32) {
        memcpy(w, at, sizeof(w));
        if (((w[0] | w[1] | w[2] | w[3]) & 0x8080808080808080u) != 0)
            break;
        at += 32;
    }
    while (end - at >= 8) {
        memcpy(w, at, 8);
        if ((w[0] & 0x8080808080808080u) != 0)
            break;
        at += 8;
    }
    while (at < end && *at < 0x80)
        at++;
    return at;
}

/*
 * Begin a sequence with its first byte, which is no ASCII. RFC 3629 section 4 gives the ranges: the second byte's bounds
 * keep out overlong forms (e0, f0), surrogates (ed) and what lies above U+10FFFF (f4).
 */
static bool begin(struct hf_utf8 *u, uint8_t first)
{
    *u = (struct hf_utf8){.low = 0x80, .high = 0xbf};
    if (first >= 0xc2 && first <= 0xdf) {
        u->need = 1;
    } else if (first >= 0xe0 && first <= 0xef) {
        u->need = 2;
        if (first == 0xe0)
            u->low = 0xa0;
        if (first == 0xed)
            u->high = 0x9f;
    } else if (first >= 0xf0 && first <= 0xf4) {
        u->need = 3;
        if (first == 0xf0)
            u->low = 0x90;
        if (first == 0xf4)
            u->high = 0x8f;
    } else {
        return false;
    }
    return true;
}

static bool go_on(struct hf_utf8 *u, uint8_t next)
{
    if (next < u->low || next > u->high)
        return false;
    *u = u->need == 1 ? (struct hf_utf8){0}
                      : (struct hf_utf8){.need = (uint8_t)(u->need - 1), .low = 0x80, .high = 0xbf};
    return true;
}

static bool is_tail(uint8_t c)
{
    return (c & 0xc0) == 0x80;
}

/*
 * The sequences of two and three bytes that need no special bounds, in a run: most text that is no ASCII. Stops before all
 * else, valid or not, for the careful path to look at.
 */
static const uint8_t *skip_common(const uint8_t *at, const uint8_t *end)
{
    while (end - at >= 3) {
        if (at[0] >= 0xe1 && at[0] <= 0xec && is_tail(at[1]) && is_tail(at[2]))
            at += 3;
        else if (at[0] >= 0xc2 && at[0] <= 0xdf && is_tail(at[1]))
            at += 2;
        else
            break;
    }
    return at;
}

bool hf_utf8_feed(struct hf_utf8 *u, const uint8_t *data, size_t len)
{
    const uint8_t *at = data, *end;
    struct hf_utf8 now = *u;

    if (len == 0) /* data may be NULL then, to which nothing may be added. */
        return true;
    end = data + len;
    while (at < end) {
        if (now.need > 0) {
            if (!go_on(&now, *at++))
                return false;
            continue;
        }
        at = skip_common(skip_ascii(at, end), end);
        if (at < end && *at >= 0x80 && !begin(&now, *at++))
            return false;
    }
    *u = now;
    return true;
}

bool hf_utf8_complete(const struct hf_utf8 *u)
{
    return u->need == 0;
}

bool hf_utf8_valid(const uint8_t *data, size_t len)
{
    struct hf_utf8 u = {0};

    return hf_utf8_feed(&u, data, len) && hf_utf8_complete(&u);
}
