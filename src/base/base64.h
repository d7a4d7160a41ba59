/*
 * base64.h - base64 as RFC 4648 section 4 has it: the alphabet with '+' and '/', padded with '='; and base64url as RFC 7515 (JWS) uses section 5: the alphabet
 * with '-' and '_', without padding.
 */
#ifndef HF_BASE_BASE64_H
#define HF_BASE_BASE64_H

#include "base/str.h"

#include <stddef.h>
#include <stdint.h>

/* Characters that stand for len bytes. */
static inline size_t hf_base64_chars(size_t len)
{
    return (len + 2) / 3 * 4;
}

/* Write hf_base64_chars(len) characters, without NUL. */
void hf_base64_encode(char *out, const void *data, size_t len);

/*
 * Read text into out, which has room for its length / 4 * 3 bytes and may be the text's own place. Returns the number of bytes, or HF_EBADMSG: not
 * a multiple of four characters, another character, padding elsewhere than at the end, or bits behind the last byte that are not 0. So every
 * sequence of bytes has one text.
 */
int hf_base64_decode(struct hf_str text, uint8_t *out);

/* Characters that stand for len bytes in base64url. */
static inline size_t hf_base64url_chars(size_t len)
{
    return (len * 4 + 2) / 3;
}

/* Write hf_base64url_chars(len) characters, without NUL. */
void hf_base64url_encode(char *out, const void *data, size_t len);

/*
 * Read base64url into out, which has room for text.len / 4 * 3 + 2 bytes. Returns the number of bytes, or HF_EBADMSG: another character (padding is one), a length
 * that no bytes have, or bits behind the last byte that are not 0. So every sequence of bytes has one text.
 */
int hf_base64url_decode(struct hf_str text, uint8_t *out);

#endif
