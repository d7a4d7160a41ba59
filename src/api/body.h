/*
 * body.h - the members of a JSON request body, described by a table.
 * Nothing is converted that need not be: a payload stays the bytes that were sent.
 */
#ifndef HF_API_BODY_H
#define HF_API_BODY_H

#include "base/err.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum hf_api_kind {
    HF_API_TEXT,   /* a string; `value` is the unescaped text */
    HF_API_NUMBER, /* an integer in [0, 2^53); `number` */
    HF_API_BOOL,   /* `number` is 0 or 1 */
    HF_API_ARRAY,  /* `value` is the raw array */
    HF_API_OBJECT, /* `value` is the raw object */
    HF_API_ANY,    /* `value` is the raw value, null too */
};

/* One member: filled by the caller up to bytes_max, by hf_api_members_read behind it. */
struct hf_api_member {
    const char *name;
    enum hf_api_kind kind;
    bool required;
    size_t bytes_max; /* of a text, which then has at least one byte; 0: no bound, and none needed */

    bool present; /* an optional member that is null is absent */
    struct hf_str value;
    uint64_t number;
};

/* Bytes of a reason, which names a member and says what is wrong with it. */
enum { HF_API_REASON_MAX = 160 };

/*
 * Read the members of a raw, valid object. Unknown ones are passed over. text is written to: escaped strings are unescaped in place, and values point
 * into it. Returns 0, or HF_EBADMSG with what is wrong in reason: no object, a member missing, given twice or of a wrong kind.
 */
int hf_api_members_read(struct hf_str object, struct hf_api_member *members, size_t count,
                        char reason[HF_API_REASON_MAX]) HF_MUST_CHECK;

/* As above, of a whole body, whose syntax and UTF-8 are checked first. */
int hf_api_body_read(struct hf_str body, struct hf_api_member *members, size_t count,
                     char reason[HF_API_REASON_MAX]) HF_MUST_CHECK;

#endif
