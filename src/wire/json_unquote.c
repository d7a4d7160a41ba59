/* Strings out of JSON: escapes become UTF-8. */
#include "wire/json.h"
#include "wire/json_scan.h"

/* Where unescaped bytes go: never beyond cap, and when in place never beyond what was read. */
struct unquote {
    const char *at, *end; /* the raw string without its quotes */
    char *out;
    size_t len, cap;
};

static int put_bytes(struct unquote *u, const char *bytes, size_t len)
{
    if (len > u->cap - u->len)
        return HF_ETOOLARGE;
    if (len > 0)
        memmove(u->out + u->len, bytes, len); /* The same place, or further to the front. */
    u->len += len;
    return 0;
}

/* RFC 3629 section 3. */
static int put_code_point(struct unquote *u, uint32_t c)
{
    char b[4];

    if (c < 0x80) {
        b[0] = (char)c;
        return put_bytes(u, b, 1);
    }
    if (c < 0x800) {
        b[0] = (char)(0xc0 | c >> 6);
        b[1] = (char)(0x80 | (c & 0x3f));
        return put_bytes(u, b, 2);
    }
    if (c < 0x10000) {
        b[0] = (char)(0xe0 | c >> 12);
        b[1] = (char)(0x80 | (c >> 6 & 0x3f));
        b[2] = (char)(0x80 | (c & 0x3f));
        return put_bytes(u, b, 3);
    }
    b[0] = (char)(0xf0 | c >> 18);
    b[1] = (char)(0x80 | (c >> 12 & 0x3f));
    b[2] = (char)(0x80 | (c >> 6 & 0x3f));
    b[3] = (char)(0x80 | (c & 0x3f));
    return put_bytes(u, b, 4);
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The four digits of a \u escape. */
static int read_unit(struct unquote *u, uint32_t *unit)
{
    if (u->end - u->at < 4)
        return HF_EBADMSG;
    *unit = 0;
    for (int i = 0; i < 4; i++) {
        int digit = hex_digit(*u->at++);

        if (digit < 0)
            return HF_EBADMSG;
        *unit = *unit << 4 | (uint32_t)digit;
    }
    return 0;
}

/*
 * RFC 8259 section 7: "To escape an extended character that is not in the Basic Multilingual Plane, the character is represented
 * as a 12-character sequence, encoding the UTF-16 surrogate pair." Half a pair has no UTF-8.
 */
static int unquote_unicode(struct unquote *u)
{
    uint32_t unit, low;
    int err = read_unit(u, &unit);

    if (err < 0)
        return err;
    if (unit < 0xd800 || unit > 0xdfff)
        return put_code_point(u, unit);
    if (unit > 0xdbff || u->end - u->at < 2 || u->at[0] != '\\' || u->at[1] != 'u')
        return HF_EBADMSG;
    u->at += 2;
    err = read_unit(u, &low);
    if (err < 0)
        return err;
    if (low < 0xdc00 || low > 0xdfff)
        return HF_EBADMSG;
    return put_code_point(u, 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00));
}

static int unquote_escape(struct unquote *u)
{
    static const char names[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
    const char *name;

    if (u->at == u->end)
        return HF_EBADMSG;
    if (*u->at == 'u') {
        u->at++;
        return unquote_unicode(u);
    }
    name = memchr(names, *u->at++, sizeof(names) - 1);
    return name == NULL ? HF_EBADMSG : put_bytes(u, meanings + (name - names), 1);
}

int hf_json_unquote(struct hf_str raw, char *out, size_t cap)
{
    struct unquote u = {.out = out, .cap = cap};

    if (raw.len < 2 || raw.data[0] != '"' || raw.data[raw.len - 1] != '"' || raw.len > INT32_MAX)
        return HF_EBADMSG;
    u.at = raw.data + 1;
    u.end = raw.data + raw.len - 1;
    while (u.at < u.end) {
        const char *plain = hf_json_plain_end(u.at, u.end);
        int err = put_bytes(&u, u.at, (size_t)(plain - u.at));

        u.at = plain;
        if (err == 0 && u.at < u.end)
            err = *u.at++ == '\\' ? unquote_escape(&u) : HF_EBADMSG;
        if (err < 0)
            return err;
    }
    return (int)u.len;
}
