/*
 * test_utf8.c - the validator against a reference that decodes by arithmetic, over all short sequences and any cut.
 */
#include "base/rng.h"
#include "ws/utf8.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct text {
    const char *bytes;
    size_t len;
};

#define TEXT(literal)                                                                                        \
    {                                                                                                        \
        literal, sizeof(literal) - 1                                                                         \
    }

/* The first and last character of each length (RFC 3629 section 4), and those around the surrogates. */
static const struct text good[] = {
    TEXT(""),
    TEXT("\x00"),
    TEXT("\x7f"),
    TEXT("\xc2\x80"),
    TEXT("\xdf\xbf"),
    TEXT("\xe0\xa0\x80"),
    TEXT("\xed\x9f\xbf"),
    TEXT("\xee\x80\x80"),
    TEXT("\xef\xbf\xbf"),
    TEXT("\xf0\x90\x80\x80"),
    TEXT("\xf4\x8f\xbf\xbf"),
    TEXT("\xef\xbb\xbfwith a byte order mark"),
    TEXT("\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5"), /* the Greek word of Autobahn's 6.x cases */
};

static const struct text bad[] = {
    TEXT("\x80"),                     /* a tail without a head */
    TEXT("\xbf"),                     /* the same */
    TEXT("\xc0\x80"),                 /* overlong NUL */
    TEXT("\xc1\xbf"),                 /* overlong DEL */
    TEXT("\xe0\x80\x80"),             /* overlong, three bytes */
    TEXT("\xe0\x9f\xbf"),             /* overlong, three bytes */
    TEXT("\xf0\x80\x80\x80"),         /* overlong, four bytes */
    TEXT("\xf0\x8f\xbf\xbf"),         /* overlong, four bytes */
    TEXT("\xed\xa0\x80"),             /* U+D800 */
    TEXT("\xed\xbf\xbf"),             /* U+DFFF */
    TEXT("\xed\xa0\xbd\xed\xb8\x80"), /* a surrogate pair (CESU-8) */
    TEXT("\xf4\x90\x80\x80"),         /* U+110000 */
    TEXT("\xf5\x80\x80\x80"),         /* beyond */
    TEXT("\xf8\x88\x80\x80\x80"),     /* five bytes */
    TEXT("\xfe"),
    TEXT("\xff"),
    TEXT("\xc2"),         /* cut, two bytes */
    TEXT("\xe1\x80"),     /* cut, three bytes */
    TEXT("\xf1\x80\x80"), /* cut, four bytes */
    TEXT("\xc2\x41"),
    TEXT("\xe1\x80\x41"),
    TEXT("\xe1\xc2\x80"),
    TEXT("\xf1\x80\x80\x41"),
};

/* The character's bytes, or 0 where there is none. Decodes first and looks at the number then. */
static size_t decode(const uint8_t *data, size_t len)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t n = data[0] < 0x80       ? 1
               : data[0] >> 5 == 6  ? 2
               : data[0] >> 4 == 14 ? 3
               : data[0] >> 3 == 30 ? 4
                                    : 0;
    uint32_t c;

    if (n < 2)
        return n;
    if (n > len)
        return 0;
    c = data[0] & (0x7fu >> n);
    for (size_t i = 1; i < n; i++) {
        if (data[i] >> 6 != 2)
            return 0;
        c = c << 6 | (data[i] & 0x3f);
    }
    return c < least[n] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff) ? 0 : n;
}

static bool reference(const uint8_t *data, size_t len)
{
    while (len > 0) {
        size_t n = decode(data, len);

        if (n == 0)
            return false;
        data += n;
        len -= n;
    }
    return true;
}

static bool in_two(const uint8_t *data, size_t len, size_t cut)
{
    struct hf_utf8 u = {0};

    return hf_utf8_feed(&u, data, cut) && hf_utf8_feed(&u, data + cut, len - cut) && hf_utf8_complete(&u);
}

static bool byte_by_byte(const uint8_t *data, size_t len)
{
    struct hf_utf8 u = {0};

    for (size_t i = 0; i < len; i++) {
        if (!hf_utf8_feed(&u, data + i, 1))
            return false;
    }
    return hf_utf8_complete(&u);
}

/* The bytes lie in a block of their exact size, so that ASan sees a look beyond them. */
static void check(const uint8_t *bytes, size_t len, bool want)
{
    uint8_t *data = malloc(len > 0 ? len : 1);
    bool ok;

    assert_non_null(data);
    memcpy(data, bytes, len);
    ok = hf_utf8_valid(data, len) == want && byte_by_byte(data, len) == want;

    for (size_t cut = 0; ok && cut <= len; cut++)
        ok = in_two(data, len, cut) == want;
    free(data);
    if (ok)
        return;
    for (size_t i = 0; i < len; i++)
        fprintf(stderr, "%02x ", bytes[i]);
    fail_msg("should be %s", want ? "valid" : "invalid");
}

/* Each vector alone, and behind every length of ASCII from 0 to 40, so that it meets every place of a block. */
static void check_shifted(struct text t, bool want)
{
    uint8_t data[128];

    for (size_t before = 0; before <= 40; before++) {
        memset(data, 'a', sizeof(data));
        memcpy(data + before, t.bytes, t.len);
        check(data, before + t.len, want);
        check(data, before + t.len + 40, want);
    }
}

static void vectors(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        check_shifted(good[i], true);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        check_shifted(bad[i], false);
}

static void every_sequence_of_one_two_and_three_bytes(void **state)
{
    (void)state;
    for (uint32_t c = 0; c < 1u << 24; c++) {
        uint8_t data[3] = {(uint8_t)(c >> 16), (uint8_t)(c >> 8), (uint8_t)c};

        if (hf_utf8_valid(data, 3) != reference(data, 3) || byte_by_byte(data, 3) != reference(data, 3))
            check(data, 3, reference(data, 3));
        if (c < 1u << 16)
            check(data + 1, 2, reference(data + 1, 2));
        if (c < 1u << 8)
            check(data + 2, 1, reference(data + 2, 1));
    }
}

/* Bytes near the limits come more often than others, or hardly any sequence would get beyond its second byte. */
static uint8_t likely_byte(struct hf_rng *rng, size_t place)
{
    static const uint8_t heads[] = {0xc1, 0xc2, 0xdf, 0xe0, 0xe1, 0xec, 0xed,
                                    0xee, 0xef, 0xf0, 0xf1, 0xf3, 0xf4, 0xf5};
    static const uint8_t tails[] = {0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0};

    if (hf_rng_below(rng, 8) == 0)
        return (uint8_t)hf_rng_next(rng);
    return place == 0 ? heads[hf_rng_below(rng, sizeof(heads))] : tails[hf_rng_below(rng, sizeof(tails))];
}

static void sampled_sequences_of_four_bytes_and_more(void **state)
{
    struct hf_rng rng = {4};
    uint8_t data[8];

    (void)state;
    for (int i = 0; i < 1000000; i++) {
        size_t len = 4 + hf_rng_below(&rng, 5);

        for (size_t k = 0; k < len; k++)
            data[k] = likely_byte(&rng, k % 4);
        check(data, len, reference(data, len));
    }
}

/* "Returns false at the first byte that cannot be part of UTF-8": not only at the end of the sequence. */
static void the_first_impossible_byte_is_refused(void **state)
{
    struct hf_utf8 u = {0};

    (void)state;
    assert_true(hf_utf8_feed(&u, (const uint8_t *)"abc\xf4", 4));
    assert_false(hf_utf8_complete(&u));
    assert_false(hf_utf8_feed(&u, (const uint8_t *)"\x90", 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors),
        cmocka_unit_test(every_sequence_of_one_two_and_three_bytes),
        cmocka_unit_test(sampled_sequences_of_four_bytes_and_more),
        cmocka_unit_test(the_first_impossible_byte_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
