/*
 * str.h - a borrowed run of bytes. It owns nothing and need not end in NUL.
 * data may be NULL only where len is 0; a NULL data means "absent" where a header says so.
 */
#ifndef HF_BASE_STR_H
#define HF_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct hf_str {
    const char *data;
    size_t len;
};

#define HF_STR(literal) ((struct hf_str){(literal), sizeof(literal) - 1})

static inline struct hf_str hf_str_from(const char *c_string)
{
    return (struct hf_str){c_string, c_string == NULL ? 0 : strlen(c_string)};
}

static inline bool hf_str_eq(struct hf_str a, struct hf_str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

#endif
