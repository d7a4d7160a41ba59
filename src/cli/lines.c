#include "cli/lines.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

enum { READ_BYTES = 64 * 1024 };

void hf_lines_init(struct hf_lines *l, int fd, size_t line_bytes_max)
{
    *l = (struct hf_lines){.fd = fd, .line = 1};
    hf_buf_init(&l->buf, line_bytes_max + READ_BYTES);
}

void hf_lines_release(struct hf_lines *l)
{
    hf_buf_release(&l->buf);
}

int hf_lines_read(struct hf_lines *l)
{
    uint8_t *room;
    ssize_t n;

    hf_buf_drop(&l->buf, l->start);
    l->start = 0;
    room = hf_buf_reserve(&l->buf, READ_BYTES);
    if (room == NULL)
        return HF_ENOMEM;
    n = read(l->fd, room, READ_BYTES);
    if (n < 0)
        return errno == EINTR || errno == EAGAIN ? 0 : HF_EIO;
    hf_buf_commit(&l->buf, (size_t)n);
    l->eof = n == 0;
    return 0;
}

static size_t line_bytes_max(const struct hf_lines *l)
{
    return l->buf.bytes_max - READ_BYTES;
}

/* Throw away what there is of a line that is too long. */
static enum hf_lines_result skip(struct hf_lines *l, const uint8_t *end)
{
    if (end == NULL) {
        l->start = l->buf.len;
        return l->eof ? HF_LINES_END : HF_LINES_MORE;
    }
    l->start = (size_t)(end - l->buf.data) + 1;
    l->skipping = false;
    l->line++;
    return HF_LINES_MORE;
}

enum hf_lines_result hf_lines_get(struct hf_lines *l, struct hf_str *line)
{
    for (;;) {
        size_t left = l->buf.len - l->start;
        const uint8_t *from = left > 0 ? l->buf.data + l->start : NULL;
        const uint8_t *end = left > 0 ? memchr(from, '\n', left) : NULL;
        size_t len = end == NULL ? left : (size_t)(end - from);

        if (l->skipping) {
            if (skip(l, end) != HF_LINES_MORE)
                return HF_LINES_END;
            if (end == NULL)
                return HF_LINES_MORE;
            continue;
        }
        if (len > line_bytes_max(l))
            return HF_LINES_TOO_LONG;
        if (end == NULL && !l->eof)
            return HF_LINES_MORE;
        if (end == NULL && left == 0)
            return HF_LINES_END;
        *line = (struct hf_str){(const char *)from, len};
        return HF_LINES_LINE;
    }
}

void hf_lines_next(struct hf_lines *l, struct hf_str line)
{
    if (line.data == NULL) {
        l->skipping = true;
        return;
    }
    l->start += line.len;
    if (l->start < l->buf.len)
        l->start++; /* its end; the last line may have none */
    l->line++;
}
