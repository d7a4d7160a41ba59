/*
 * logger.h - structured log lines of a process, to standard error: logfmt, or one JSON object a line.
 * A line has the time (RFC 3339, UTC, milliseconds), the level, the worker (not in the supervisor), the process id, the event, and the
 * caller's fields:
 *
 *     time=2026-05-01T12:00:00.123Z level=info worker=2 pid=4711 event=ring_full peer=3 waited_ms=12
 *
 *     hf_log(HF_LOG_INFO, "ring_full", hf_kv_u64("peer", peer), hf_kv_u64("waited_ms", waited_ms));
 *     hf_log_event(HF_LOG_INFO, "draining");
 *
 * Event and keys are literals of a-z, 0-9 and '_'. Values may be anything a peer sent: they are escaped, so that no value can end its
 * line, forge a field or steer a terminal; a long one is cut (HF_LOG_VALUE_MAX). A line is at most HF_LOG_LINE_MAX bytes and goes out in one
 * write, which a pipe keeps whole among the lines of other processes; fields that do not fit are left out, and `cut=true` says so.
 *
 * Logging never stops the loop: where the reader of standard error does not keep up, a line is dropped after a short wait, and
 * the next line that gets through is preceded by a warning, event=log_lines_dropped, with their number.
 *
 * The state is one per process and unguarded: used from one thread, set up once at the start and identified after a fork.
 */
#ifndef HF_SERVER_LOGGER_H
#define HF_SERVER_LOGGER_H

#include "base/str.h"
#include "server/config.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    HF_LOG_LINE_MAX = 4096, /* PIPE_BUF of Linux: "writes of n bytes or less are atomic", pipe(7) */
    HF_LOG_VALUE_MAX =
        512, /* bytes of a text value before it is cut; a guess: enough for a path or an error of a library */
};

enum hf_log_kind { HF_LOG_KIND_TEXT, HF_LOG_KIND_SIGNED, HF_LOG_KIND_UNSIGNED, HF_LOG_KIND_BOOL };

/* One key=value pair; made by the hf_kv_ functions. Borrowed for the call. */
struct hf_log_field {
    const char *key;
    enum hf_log_kind kind;
    union {
        struct hf_str text;
        int64_t i64;
        uint64_t u64;
        bool yes;
    };
};

/*
 * Write to fd from now on (borrowed; STDERR_FILENO outside tests), what is of `level` or above. Before the first call: standard error, info, logfmt.
 * A pipe or terminal is opened anew, so that O_NONBLOCK is not set for those who share it; may be called again.
 */
void hf_logger_open(int fd, enum hf_log_level level, enum hf_log_format format);

/* Level and form from now on, to where it writes already. */
void hf_logger_set(enum hf_log_level level, enum hf_log_format format);

/* Close what hf_logger_open opened; back to the state before the first call. */
void hf_logger_close(void);

/* Who writes: slot of the worker, or -1 for the supervisor. To be called after each fork, in the child: the pid is taken here. */
void hf_logger_identify(int worker);

extern enum hf_log_level
    hf_log_threshold; /* read by hf_log_enabled() only, written by hf_logger_open() and _set() */

static inline bool hf_log_enabled(enum hf_log_level level)
{
    return level >= hf_log_threshold;
}

/* Write a line; usually through the macros, which evaluate the fields only where the level is enabled. */
void hf_log_write(enum hf_log_level level, const char *event, const struct hf_log_field *fields,
                  size_t count);

#define hf_log(level, event, ...)                                                                            \
    do {                                                                                                     \
        if (hf_log_enabled(level)) {                                                                         \
            const struct hf_log_field hf_log_fields_[] = {__VA_ARGS__};                                      \
            hf_log_write((level), (event), hf_log_fields_,                                                   \
                         sizeof(hf_log_fields_) / sizeof(hf_log_fields_[0]));                                \
        }                                                                                                    \
    } while (0)

/* An event without fields (ISO C wants at least one argument for "..."). */
#define hf_log_event(level, event)                                                                           \
    do {                                                                                                     \
        if (hf_log_enabled(level))                                                                           \
            hf_log_write((level), (event), NULL, 0);                                                         \
    } while (0)

static inline struct hf_log_field hf_kv_str(const char *key, struct hf_str text)
{
    return (struct hf_log_field){.key = key, .kind = HF_LOG_KIND_TEXT, .text = text};
}

/* A C string; NULL is written as empty text. */
static inline struct hf_log_field hf_kv_text(const char *key, const char *text)
{
    return hf_kv_str(key, hf_str_from(text));
}

static inline struct hf_log_field hf_kv_i64(const char *key, int64_t n)
{
    return (struct hf_log_field){.key = key, .kind = HF_LOG_KIND_SIGNED, .i64 = n};
}

static inline struct hf_log_field hf_kv_u64(const char *key, uint64_t n)
{
    return (struct hf_log_field){.key = key, .kind = HF_LOG_KIND_UNSIGNED, .u64 = n};
}

static inline struct hf_log_field hf_kv_bool(const char *key, bool yes)
{
    return (struct hf_log_field){.key = key, .kind = HF_LOG_KIND_BOOL, .yes = yes};
}

/* The text of an errno value, and of an enum hf_err. */
struct hf_log_field hf_kv_errno(const char *key, int number);
struct hf_log_field hf_kv_err(const char *key, int err);

#endif
