/*
 * http_head.h - the head of an HTTP/1.1 message (RFC 9112): its lines and fields, strictly. Only for src/ws/handshake*.c and http_connect.c.
 * Nothing is copied: lines and fields point into the caller's buffer. Each call may see more of the same bytes; what is wrong is
 * found in the order of the bytes, so that the answer does not depend on how they arrive.
 */
#ifndef HF_WS_HTTP_HEAD_H
#define HF_WS_HTTP_HEAD_H

#include "base/str.h"
#include "ws/handshake.h"

#include <stdbool.h>
#include <stddef.h>

struct hf_http_field {
    struct hf_str name;
    struct hf_str value; /* without white space around it; data is never NULL */
};

struct hf_http_head {
    char *data;
    size_t len; /* bytes that are there, at most bytes_max */
    size_t pos; /* of these, taken */
    size_t bytes_max, fields_max;
    size_t field_count;
    struct hf_http_field fields[HF_HTTP_HEADERS_CEILING];
    int status; /* after HF_EBADMSG: what to answer, and why */
    const char *reason;
};

/* With the default bounds. */
void hf_http_init(struct hf_http_head *head, char *data, size_t len);
/* With these, up to the ceilings. */
void hf_http_init_within(struct hf_http_head *head, char *data, size_t len, size_t bytes_max,
                         size_t fields_max);

/* Set status and reason; returns HF_EBADMSG. */
int hf_http_fail(struct hf_http_head *head, int status, const char *reason);

/* Take the next line, without its CRLF. Returns 1, 0 where its end is not there yet, or HF_EBADMSG. */
int hf_http_line(struct hf_http_head *head, struct hf_str *line);

/* What speaks no HTTP/1 is known by its first bytes: whether these may begin a status line. */
bool hf_http_can_be_status_line(const char *data, size_t len);

/* RFC 9112 section 4: "HTTP/1.1 101 Switching Protocols"; the text may be missing. Returns the status, or 0. */
int hf_http_read_status(struct hf_str line, bool *http_1_1);

/* Take all fields and the empty line. Returns 1, 0 where it is not there yet, or HF_EBADMSG. */
int hf_http_fields(struct hf_http_head *head);

/* The first field of that name (any case) at or behind *index, which then stands behind it; NULL where there is none. */
const struct hf_http_field *hf_http_find(const struct hf_http_head *head, struct hf_str name, size_t *index);

/* The value of a field that may stand there only once; data NULL where it does not. Returns 0, or HF_EBADMSG for a second. */
int hf_http_once(struct hf_http_head *head, struct hf_str name, struct hf_str *value);

/*
 * The value of a list field. Several lines are joined with ", " (RFC 9110 section 5.3) in the buffer: the fields between
 * them move towards its end, so that values taken before are good no more.
 */
struct hf_str hf_http_joined(struct hf_http_head *head, struct hf_str name);

/* Whether one of the fields of that name has this token (any case) in its list. */
bool hf_http_has_token(const struct hf_http_head *head, struct hf_str name, struct hf_str token);

bool hf_http_is_token_char(char c);

/* Equal but for the case of ASCII letters, whatever the locale. */
bool hf_http_same(struct hf_str a, struct hf_str b);

#endif
