/*
 * fuzz_utf8.c - the validator against a slow decoder by arithmetic, whole and in two pieces. The first byte says where to cut.
 */
#include "base/assert.h"
#include "ws/utf8.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The bytes of the character at data, or 0. Decodes first and looks at the number then, unlike the code under test. */
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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct hf_utf8 u = {0};
    size_t cut;
    bool want;

    if (size == 0)
        return 0;
    cut = data[0] % size;
    data++;
    size--;
    want = reference(data, size);
    hf_assert(hf_utf8_valid(data, size) == want);
    hf_assert((hf_utf8_feed(&u, data, cut) && hf_utf8_feed(&u, data + cut, size - cut) &&
               hf_utf8_complete(&u)) == want);
    return 0;
}
