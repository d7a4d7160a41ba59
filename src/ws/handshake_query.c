#include "ws/handshake.h"

#include "base/err.h"

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* RFC 3986 section 2.1. A plus sign stays one: what rides in our queries is base64url and never has spaces. */
static int percent_decode(struct hf_str in, char *out, size_t cap)
{
    size_t len = 0;

    for (size_t i = 0; i < in.len; i++, len++) {
        char c = in.data[i];

        if (len == cap)
            return HF_EBADMSG;
        if (c == '%') {
            int high = in.len - i > 2 ? hex_digit(in.data[i + 1]) : -1;
            int low = in.len - i > 2 ? hex_digit(in.data[i + 2]) : -1;

            if (high < 0 || low < 0)
                return HF_EBADMSG;
            c = (char)(high << 4 | low);
            i += 2;
        }
        out[len] = c;
    }
    return (int)len;
}

int hf_query_get(struct hf_str query, const char *key, char *out, size_t cap)
{
    struct hf_str want = hf_str_from(key);

    while (query.len > 0) {
        const char *amp = memchr(query.data, '&', query.len);
        size_t len = amp == NULL ? query.len : (size_t)(amp - query.data);

        if (len > want.len && query.data[want.len] == '=' && memcmp(query.data, want.data, want.len) == 0)
            return percent_decode((struct hf_str){query.data + want.len + 1, len - want.len - 1}, out, cap);
        query.len -= amp == NULL ? len : len + 1;
        query.data += amp == NULL ? len : len + 1;
    }
    return HF_ENOTFOUND;
}
