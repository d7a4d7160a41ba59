/*
 * utf8.h - UTF-8 validation (RFC 3629), whole and in pieces.
 */
#ifndef HF_WS_UTF8_H
#define HF_WS_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What is still expected of a sequence that the input cut; all zero: at a boundary. */
struct hf_utf8 {
    uint8_t need; /* continuation bytes still to come */
    uint8_t low;  /* bounds of the next one */
    uint8_t high;
};

/* Returns false at the first byte that cannot be part of UTF-8. A sequence may go on in the next piece. */
bool hf_utf8_feed(struct hf_utf8 *u, const uint8_t *data, size_t len);
/* Whether no sequence is under way. */
bool hf_utf8_complete(const struct hf_utf8 *u);
/* One whole text. */
bool hf_utf8_valid(const uint8_t *data, size_t len);

#endif
