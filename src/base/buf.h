/*
 * buf.h - a growable byte buffer with a maximum.
 * Born empty, it owns no memory until the first append. Appending beyond bytes_max fails with HF_ELIMIT and
 * an allocation failure with HF_ENOMEM; either sets `failed`, and every later append fails too, so that a
 * caller may append many pieces and look once, at the end. Content is [data, data+len).
 * Any append may move data: pointers into it are good only until the next append.
 */
#ifndef HF_BASE_BUF_H
#define HF_BASE_BUF_H

#include "base/err.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hf_buf {
    uint8_t *data;
    uint32_t len;       /* bytes in use */
    uint32_t cap;       /* bytes allocated */
    uint32_t bytes_max; /* len never goes above this */
    bool failed;        /* an append did not fit; cleared by reset and release */
    bool no_memory;     /* … for want of memory, not because of bytes_max */
};

void hf_buf_init(struct hf_buf *b, size_t bytes_max);
/* Free the memory; the buffer is empty and may be used again with the same maximum. */
void hf_buf_release(struct hf_buf *b);
/* Empty it and keep the memory. */
void hf_buf_reset(struct hf_buf *b);
/*
 * Make room for n more bytes and return where they go, or NULL (HF_ELIMIT, HF_ENOMEM: `failed` is set).
 * Follow with hf_buf_commit(b, k), k <= n.
 */
uint8_t *hf_buf_reserve(struct hf_buf *b, size_t n);
void hf_buf_commit(struct hf_buf *b, size_t n);
int hf_buf_put(struct hf_buf *b, const void *data, size_t n);
int hf_buf_puts(struct hf_buf *b, const char *c_string);
int hf_buf_put_str(struct hf_buf *b, struct hf_str s);
int hf_buf_put_u64(struct hf_buf *b, uint64_t n); /* decimal digits */
/* Also needs room for one byte more: vsnprintf() ends the text with a NUL, which does not count. */
int hf_buf_putf(struct hf_buf *b, const char *fmt, ...) HF_PRINTF(2, 3);
/* Give an empty buffer without memory `len` bytes of content in `cap` bytes of heap memory, which is its own from now on. */
void hf_buf_adopt(struct hf_buf *b, uint8_t *data, size_t len, size_t cap);
/* The other way: the memory with its content goes to the caller, and the buffer is as released. */
uint8_t *hf_buf_detach(struct hf_buf *b, size_t *cap);
/* Drop the first n bytes (n <= len); what is behind them moves to the front. */
void hf_buf_drop(struct hf_buf *b, size_t n);

static inline struct hf_str hf_buf_str(const struct hf_buf *b)
{
    return (struct hf_str){(const char *)b->data, b->len};
}

/* Write n as decimal digits without NUL; out holds at least 20 bytes. Returns the number of digits. */
size_t hf_u64_digits(char *out, uint64_t n);

#endif
