#include "server/logger.h"

#include "base/assert.h"
#include "base/buf.h"
#include "ws/utf8.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static_assert(HF_LOG_LINE_MAX <= PIPE_BUF, "a line must be atomic on a pipe");

enum {
    TAIL_BYTES = 16, /* kept free for `,"cut":true}` and the end of the line */
    WAIT_MS = 20     /* how long a line may hold the loop up: below the 50 ms of a heartbeat batch; a guess */
};

static const char *const level_names[] = {"debug", "info", "warning", "error"};

enum hf_log_level hf_log_threshold = HF_LOG_INFO;

static struct logger {
    int fd;
    int own_fd; /* what hf_logger_open opened anew, or -1 */
    bool is_socket;
    bool stalled; /* the last line did not get through: do not wait for the next one */
    bool torn;    /* the last line went out in part: the next begins with a line end */
    enum hf_log_format format;
    int worker; /* -1: the supervisor */
    pid_t pid;
    uint64_t dropped; /* lines, since the last report of them */
    struct hf_buf line;
} logger = {.fd = STDERR_FILENO, .own_fd = -1, .worker = -1, .line.bytes_max = HF_LOG_LINE_MAX};

void hf_logger_close(void)
{
    if (logger.own_fd >= 0)
        close(logger.own_fd);
    hf_buf_release(&logger.line);
    logger =
        (struct logger){.fd = STDERR_FILENO, .own_fd = -1, .worker = -1, .line.bytes_max = HF_LOG_LINE_MAX};
    hf_log_threshold = HF_LOG_INFO;
}

/*
 * O_NONBLOCK belongs to the open file description, which standard error shares with the shell and others; a description of
 * our own comes from opening the pipe or terminal once more. A socket takes MSG_DONTWAIT instead, a regular file never blocks for long
 * (and must keep its shared offset). Where it cannot be opened, poll() before the write has to do.
 */
static void open_anew(void)
{
    char path[64];
    struct stat st;

    if (fstat(logger.fd, &st) < 0)
        return;
    logger.is_socket = S_ISSOCK(st.st_mode);
    if (!S_ISFIFO(st.st_mode) && !S_ISCHR(st.st_mode))
        return;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", logger.fd);
    logger.own_fd = open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (logger.own_fd >= 0)
        logger.fd = logger.own_fd;
}

void hf_logger_open(int fd, enum hf_log_level level, enum hf_log_format format)
{
    hf_logger_close();
    logger.fd = fd;
    logger.format = format;
    logger.pid = getpid();
    hf_log_threshold = level;
    open_anew();
}

void hf_logger_set(enum hf_log_level level, enum hf_log_format format)
{
    hf_log_threshold = level;
    logger.format = format;
}

void hf_logger_identify(int worker)
{
    logger.worker = worker;
    logger.pid = getpid();
}

/* Bytes of the UTF-8 sequence at s, or 0 where there is none. A control character of two bytes (C1, U+0080 to U+009F) is none to us: it
 * steers some terminals. */
static size_t sequence_bytes(struct hf_str s)
{
    const uint8_t *p = (const uint8_t *)s.data;
    size_t n = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;

    if (n > s.len || (p[0] == 0xc2 && p[1] < 0xa0) || !hf_utf8_valid(p, n))
        return 0;
    return n;
}

static void put_escape(struct hf_buf *out, uint8_t byte)
{
    static const char letters[] = {['\n'] = 'n', ['\r'] = 'r', ['\t'] = 't', ['"'] = '"', ['\\'] = '\\'};

    if (byte < sizeof(letters) && letters[byte] != '\0')
        hf_buf_putf(out, "\\%c", letters[byte]);
    else if (logger.format == HF_LOG_JSON)
        hf_buf_putf(out, "\\u%04x", byte < 0x80 ? byte : 0xfffd); /* RFC 8259 7 has no escape for a byte. */
    else
        hf_buf_putf(out, "\\x%02x", byte);
}

static void put_quoted(struct hf_buf *out, struct hf_str s)
{
    size_t n;

    hf_buf_puts(out, "\"");
    for (size_t i = 0; i < s.len; i += n) {
        uint8_t byte = (uint8_t)s.data[i];

        n = 1;
        if (byte >= 0x80)
            n = sequence_bytes((struct hf_str){s.data + i, s.len - i});
        if (byte < 0x20 || byte == 0x7f || byte == '"' || byte == '\\' || n == 0) {
            put_escape(out, byte);
            n = 1;
        } else {
            hf_buf_put(out, s.data + i, n);
        }
    }
    hf_buf_puts(out, "\"");
}

/* Whether logfmt may write it without quotes. */
static bool is_bare(struct hf_str s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.data[i];

        if (c <= ' ' || c >= 0x7f || c == '"' || c == '\\' || c == '=')
            return false;
    }
    return s.len > 0;
}

/* At most HF_LOG_VALUE_MAX bytes of s, not ending within a sequence. */
static struct hf_str cut_value(struct hf_str s)
{
    if (s.len <= HF_LOG_VALUE_MAX)
        return s;
    s.len = HF_LOG_VALUE_MAX;
    for (int i = 0; i < 3 && ((uint8_t)s.data[s.len] & 0xc0) == 0x80; i++)
        s.len--;
    return s;
}

static void put_text(struct hf_buf *out, struct hf_str s)
{
    s = cut_value(s);
    if (logger.format == HF_LOG_LOGFMT && is_bare(s))
        hf_buf_put_str(out, s);
    else
        put_quoted(out, s);
}

static void put_value(struct hf_buf *out, const struct hf_log_field *f)
{
    switch (f->kind) {
    case HF_LOG_KIND_TEXT:
        put_text(out, f->text);
        break;
    case HF_LOG_KIND_SIGNED:
        hf_buf_putf(out, "%" PRId64, f->i64);
        break;
    case HF_LOG_KIND_UNSIGNED:
        hf_buf_put_u64(out, f->u64);
        break;
    case HF_LOG_KIND_BOOL:
        hf_buf_puts(out, f->yes ? "true" : "false");
        break;
    }
}

static void put_field(struct hf_buf *out, const struct hf_log_field *f)
{
    if (logger.format == HF_LOG_JSON)
        hf_buf_putf(out, ",\"%s\":", f->key);
    else
        hf_buf_putf(out, " %s=", f->key);
    put_value(out, f);
}

static void put_head(struct hf_buf *out, enum hf_log_level level, const char *event)
{
    bool json = logger.format == HF_LOG_JSON;
    char when[32];
    struct timespec now;
    struct tm utc;

    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%S", &utc);
    hf_buf_putf(out, json ? "{\"time\":\"%s.%03ldZ\",\"level\":\"%s\"" : "time=%s.%03ldZ level=%s", when,
                now.tv_nsec / 1000000, level_names[level]);
    if (logger.worker >= 0)
        put_field(out, &(struct hf_log_field){"worker", HF_LOG_KIND_SIGNED, {.i64 = logger.worker}});
    put_field(out, &(struct hf_log_field){"pid", HF_LOG_KIND_SIGNED, {.i64 = logger.pid}});
    hf_buf_putf(out, json ? ",\"event\":\"%s\"" : " event=%s", event);
}

/* Fields go in whole or not at all. */
static void put_fields(struct hf_buf *out, const struct hf_log_field *fields, size_t count)
{
    bool cut = false;

    out->bytes_max = HF_LOG_LINE_MAX - TAIL_BYTES;
    for (size_t i = 0; i < count; i++) {
        uint32_t before = out->len;

        put_field(out, &fields[i]);
        if (out->failed) {
            out->len = before;
            out->failed = false;
            cut = true;
        }
    }
    out->bytes_max = HF_LOG_LINE_MAX;
    if (cut)
        put_field(out, &(struct hf_log_field){"cut", HF_LOG_KIND_BOOL, {.yes = true}});
}

/* Returns how many of the bytes went out. */
static size_t write_some(const uint8_t *data, size_t len)
{
    struct pollfd pfd = {.fd = logger.fd, .events = POLLOUT};
    ssize_t n;

    if (poll(&pfd, 1, logger.stalled ? 0 : WAIT_MS) != 1)
        return 0;
    n = logger.is_socket ? send(logger.fd, data, len, MSG_DONTWAIT | MSG_NOSIGNAL)
                         : write(logger.fd, data, len);
    return n < 0 ? 0 : (size_t)n;
}

static bool send_line(void)
{
    struct hf_buf *line = &logger.line;
    size_t sent;

    if (line->failed)
        return false;
    if (logger.torn && write_some((const uint8_t *)"\n", 1) != 1)
        return false;
    logger.torn = false;
    sent = write_some(line->data, line->len);
    if (sent > 0 && sent < line->len) /* Not on a pipe. */
        sent += write_some(line->data + sent, line->len - sent);
    logger.torn = sent > 0 && sent < line->len;
    return sent == line->len;
}

static bool write_line(enum hf_log_level level, const char *event, const struct hf_log_field *fields,
                       size_t count)
{
    hf_buf_reset(&logger.line);
    put_head(&logger.line, level, event);
    put_fields(&logger.line, fields, count);
    hf_buf_puts(&logger.line, logger.format == HF_LOG_JSON ? "}\n" : "\n");
    logger.stalled = !send_line();
    return !logger.stalled;
}

static bool report_dropped(void)
{
    const struct hf_log_field lines = {"lines", HF_LOG_KIND_UNSIGNED, {.u64 = logger.dropped}};

    if (logger.dropped > 0 && !write_line(HF_LOG_WARNING, "log_lines_dropped", &lines, 1))
        return false;
    logger.dropped = 0;
    return true;
}

void hf_log_write(enum hf_log_level level, const char *event, const struct hf_log_field *fields, size_t count)
{
    hf_assert(level <= HF_LOG_ERROR);
    if (logger.pid == 0)
        logger.pid = getpid();
    if (!report_dropped() || !write_line(level, event, fields, count))
        logger.dropped++;
}

struct hf_log_field hf_kv_errno(const char *key, int number)
{
    const char *text = strerrordesc_np(number); /* Static storage, unlike strerror(). */

    return hf_kv_text(key, text == NULL ? "unknown error" : text);
}

struct hf_log_field hf_kv_err(const char *key, int err)
{
    return hf_kv_text(key, hf_strerror(err));
}
