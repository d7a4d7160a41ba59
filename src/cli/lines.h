/*
 * lines.h - the lines of a file descriptor, read as they come, with a bound on their length.
 */
#ifndef HF_CLI_LINES_H
#define HF_CLI_LINES_H

#include "base/buf.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hf_lines {
    int fd;
    struct hf_buf buf; /* what has been read; its bytes_max is the longest line and its end */
    size_t start;      /* of the present line in buf */
    uint64_t line;     /* number of the present line, 1 … */
    bool skipping;     /* the present line is too long; its rest is being thrown away */
    bool eof;
};

enum hf_lines_result {
    HF_LINES_LINE,     /* *line is the present line, without its end; borrowed until the next call */
    HF_LINES_TOO_LONG, /* the present line is too long, and is passed over */
    HF_LINES_MORE,     /* read more */
    HF_LINES_END,
};

void hf_lines_init(struct hf_lines *l, int fd, size_t line_bytes_max);
void hf_lines_release(struct hf_lines *l);
/* Read once; blocks where the descriptor does. Returns 0, HF_ENOMEM, or HF_EIO with errno set. */
int hf_lines_read(struct hf_lines *l) HF_MUST_CHECK;
/* Look at the present line. LINE: the same again until hf_lines_next(). */
enum hf_lines_result hf_lines_get(struct hf_lines *l, struct hf_str *line);
/* Done with the line, or with having told that it is too long. */
void hf_lines_next(struct hf_lines *l, struct hf_str line);

#endif
