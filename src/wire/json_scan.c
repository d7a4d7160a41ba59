#include "wire/json_scan.h"

#include <endian.h>
#include <stdint.h>
#include <string.h>

/* Eight bytes are looked at together; EACH(c) is c in each of them. */
#define EACH(c) (UINT64_C(0x0101010101010101) * (c))

static const char ends_early[] = "the JSON ends too early";

/* The top bit of each byte of w that is below `limit` (at most 0x80). Only bits above a true one may be wrong, so that the lowest is right. */
static inline uint64_t bytes_below(uint64_t w, uint64_t limit)
{
    return (w - EACH(limit)) & ~w & EACH(0x80u);
}

/* RFC 8259 section 7: "All Unicode characters may be placed within the quotation marks, except for the characters that MUST be
 * escaped: quotation mark, reverse solidus, and the control characters (U+0000 through U+001F)." */
static inline bool is_plain(char c)
{
    return (unsigned char)c >= 0x20 && c != '"' && c != '\\';
}

const char *hf_json_plain_end(const char *at, const char *end)
{
    while (end - at >= 8) {
        uint64_t w, special;

        memcpy(&w, at, sizeof(w));
        w = le64toh(w); /* The first byte lowest. */
        special = bytes_below(w, 0x20) | bytes_below(w ^ EACH('"'), 1) | bytes_below(w ^ EACH('\\'), 1);
        if (special != 0)
            return at + __builtin_ctzll(special) / 8;
        at += 8;
    }
    while (at < end && is_plain(*at))
        at++;
    return at;
}

bool hf_json_scan_break(struct hf_json_scan *s, const char *fault)
{
    s->fault = s->at == s->end ? ends_early : fault;
    return false;
}

void hf_json_scan_space(struct hf_json_scan *s)
{
    while (s->at < s->end && (*s->at == ' ' || *s->at == '\n' || *s->at == '\r' || *s->at == '\t'))
        s->at++;
}

bool hf_json_scan_take(struct hf_json_scan *s, char c)
{
    if (s->at == s->end || *s->at != c)
        return false;
    s->at++;
    return true;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_hex(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* What stands behind a backslash. */
static bool scan_escape(struct hf_json_scan *s)
{
    if (s->at == s->end || memchr("\"\\/bfnrtu", *s->at, 9) == NULL)
        return hf_json_scan_break(s, "a string has an unknown escape");
    if (*s->at++ != 'u')
        return true;
    for (int i = 0; i < 4; i++, s->at++)
        if (s->at == s->end || !is_hex(*s->at))
            return hf_json_scan_break(s, "a \\u escape needs four hexadecimal digits");
    return true;
}

bool hf_json_scan_string(struct hf_json_scan *s)
{
    if (!hf_json_scan_take(s, '"'))
        return hf_json_scan_break(s, "a string was expected");
    for (;;) {
        s->at = hf_json_plain_end(s->at, s->end);
        if (hf_json_scan_take(s, '"'))
            return true;
        if (!hf_json_scan_take(s, '\\'))
            return hf_json_scan_break(s, "a string has an unescaped control character");
        if (!scan_escape(s))
            return false;
    }
}

/* One digit or more. */
static bool scan_digits(struct hf_json_scan *s)
{
    const char *begin = s->at;

    while (s->at < s->end && is_digit(*s->at))
        s->at++;
    return s->at > begin || hf_json_scan_break(s, "a number lacks a digit");
}

/* RFC 8259 section 6: number = [ minus ] int [ frac ] [ exp ], and "Leading zeros are not allowed": a digit behind a zero is
 * left standing, and is what breaks the text. */
static bool scan_number(struct hf_json_scan *s)
{
    if (!hf_json_scan_take(s, '-') && (s->at == s->end || !is_digit(*s->at)))
        return hf_json_scan_break(s, "a value was expected");
    if (!hf_json_scan_take(s, '0') && !scan_digits(s))
        return false;
    if (hf_json_scan_take(s, '.') && !scan_digits(s))
        return false;
    if (!hf_json_scan_take(s, 'e') && !hf_json_scan_take(s, 'E'))
        return true;
    if (!hf_json_scan_take(s, '-'))
        hf_json_scan_take(s, '+');
    return scan_digits(s);
}

static bool scan_word(struct hf_json_scan *s, const char *word)
{
    for (; *word != '\0'; word++)
        if (!hf_json_scan_take(s, *word))
            return hf_json_scan_break(s, "a value was expected");
    return true;
}

bool hf_json_scan_name(struct hf_json_scan *s)
{
    if (s->at == s->end || *s->at != '"')
        return hf_json_scan_break(s, "a member's name was expected");
    if (!hf_json_scan_string(s))
        return false;
    hf_json_scan_space(s);
    if (!hf_json_scan_take(s, ':'))
        return hf_json_scan_break(s, "a ':' was expected");
    hf_json_scan_space(s);
    return true;
}

static bool scan_object(struct hf_json_scan *s, unsigned depth_max)
{
    hf_json_scan_space(s);
    if (hf_json_scan_take(s, '}'))
        return true;
    do {
        hf_json_scan_space(s);
        if (!hf_json_scan_name(s) || !hf_json_scan_value(s, depth_max))
            return false;
        hf_json_scan_space(s);
    } while (hf_json_scan_take(s, ','));
    return hf_json_scan_take(s, '}') || hf_json_scan_break(s, "a ',' or '}' was expected");
}

static bool scan_array(struct hf_json_scan *s, unsigned depth_max)
{
    hf_json_scan_space(s);
    if (hf_json_scan_take(s, ']'))
        return true;
    do {
        hf_json_scan_space(s);
        if (!hf_json_scan_value(s, depth_max))
            return false;
        hf_json_scan_space(s);
    } while (hf_json_scan_take(s, ','));
    return hf_json_scan_take(s, ']') || hf_json_scan_break(s, "a ',' or ']' was expected");
}

bool hf_json_scan_value(struct hf_json_scan *s, unsigned depth_max)
{
    char c = s->at < s->end ? *s->at : '\0';

    if ((c == '{' || c == '[') && depth_max == 0)
        return hf_json_scan_break(s, "arrays and objects are nested too deeply");
    switch (c) {
    case '{':
        s->at++;
        return scan_object(s, depth_max - 1);
    case '[':
        s->at++;
        return scan_array(s, depth_max - 1);
    case '"':
        return hf_json_scan_string(s);
    case 't':
        return scan_word(s, "true");
    case 'f':
        return scan_word(s, "false");
    case 'n':
        return scan_word(s, "null");
    default:
        return scan_number(s);
    }
}
