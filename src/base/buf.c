#include "base/buf.h"

#include "base/assert.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The first allocation: big enough for a short control message, so that most buffers allocate once. */
enum { FIRST_BYTES = 256 };

void hf_buf_init(struct hf_buf *b, size_t bytes_max)
{
    hf_assert(bytes_max <= UINT32_MAX);
    *b = (struct hf_buf){.bytes_max = (uint32_t)bytes_max};
}

void hf_buf_release(struct hf_buf *b)
{
    free(b->data);
    *b = (struct hf_buf){.bytes_max = b->bytes_max};
}

void hf_buf_reset(struct hf_buf *b)
{
    b->len = 0;
    b->failed = b->no_memory = false;
}

static int grow(struct hf_buf *b, size_t need)
{
    size_t cap = b->cap == 0 ? FIRST_BYTES : b->cap;
    uint8_t *data;

    while (cap < need)
        cap *= 2;
    if (cap > b->bytes_max)
        cap = b->bytes_max;
    data = realloc(b->data, cap);
    if (data == NULL)
        return HF_ENOMEM;
    b->data = data;
    b->cap = (uint32_t)cap;
    return 0;
}

uint8_t *hf_buf_reserve(struct hf_buf *b, size_t n)
{
    if (b->failed)
        return NULL;
    if (n > (size_t)b->bytes_max - b->len) {
        b->failed = true;
        return NULL;
    }
    if (b->len + n > b->cap || b->data == NULL) {
        if (grow(b, b->len + n) < 0) {
            b->failed = b->no_memory = true;
            return NULL;
        }
    }
    return b->data + b->len;
}

static int why_failed(const struct hf_buf *b)
{
    return b->no_memory ? HF_ENOMEM : HF_ELIMIT;
}

void hf_buf_commit(struct hf_buf *b, size_t n)
{
    hf_assert(n <= (size_t)b->cap - b->len);
    b->len += (uint32_t)n;
}

int hf_buf_put(struct hf_buf *b, const void *data, size_t n)
{
    uint8_t *to = hf_buf_reserve(b, n);

    if (to == NULL)
        return why_failed(b);
    if (n > 0)
        memcpy(to, data, n);
    b->len += (uint32_t)n;
    return 0;
}

int hf_buf_puts(struct hf_buf *b, const char *c_string)
{
    return hf_buf_put(b, c_string, strlen(c_string));
}

int hf_buf_put_str(struct hf_buf *b, struct hf_str s)
{
    return hf_buf_put(b, s.data, s.len);
}

size_t hf_u64_digits(char *out, uint64_t n)
{
    char reversed[20];
    size_t count = 0;

    do {
        reversed[count++] = (char)('0' + n % 10);
        n /= 10;
    } while (n > 0);
    for (size_t i = 0; i < count; i++)
        out[i] = reversed[count - 1 - i];
    return count;
}

int hf_buf_put_u64(struct hf_buf *b, uint64_t n)
{
    char digits[20];

    return hf_buf_put(b, digits, hf_u64_digits(digits, n));
}

int hf_buf_putf(struct hf_buf *b, const char *fmt, ...)
{
    va_list args;
    int need;
    uint8_t *to;

    va_start(args, fmt);
    need = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    hf_assert(need >= 0);
    to = hf_buf_reserve(b, (size_t)need + 1); /* vsnprintf writes a NUL behind the text. */
    if (to == NULL)
        return why_failed(b);
    va_start(args, fmt);
    vsnprintf((char *)to, (size_t)need + 1, fmt, args);
    va_end(args);
    b->len += (uint32_t)need;
    return 0;
}

void hf_buf_adopt(struct hf_buf *b, uint8_t *data, size_t len, size_t cap)
{
    hf_assert(b->data == NULL && len <= cap && len <= b->bytes_max && cap <= UINT32_MAX);
    b->data = data;
    b->len = (uint32_t)len;
    b->cap = (uint32_t)cap;
}

uint8_t *hf_buf_detach(struct hf_buf *b, size_t *cap)
{
    uint8_t *data = b->data;

    *cap = b->cap;
    *b = (struct hf_buf){.bytes_max = b->bytes_max};
    return data;
}

void hf_buf_drop(struct hf_buf *b, size_t n)
{
    hf_assert(n <= b->len);
    b->len -= (uint32_t)n;
    if (b->len > 0)
        memmove(b->data, b->data + n, b->len);
}
