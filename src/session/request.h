/*
 * request.h - what a client has asked the server and has no answer to yet: history, presence, calls, and pings of the application's own.
 * A request lives until it is answered, through as many connections as that takes: "Requests without an answer are asked again after the resume; a `call` is
 * reported as uncertain" (PROTOCOL.md "Resume" 6). Its id on the wire is 'r' and its number, so that it is never taken for a heartbeat's.
 */
#ifndef HF_SESSION_REQUEST_H
#define HF_SESSION_REQUEST_H

#include "base/err.h"
#include "base/list.h"
#include "base/str.h"
#include "wire/message.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    HF_REQUESTS_MAX = 64,   /* without an answer at a time */
    HF_REQUEST_ID_MAX = 21, /* bytes of an id on the wire */
    HF_HISTORY_LIMIT = 100, /* where none is given: PROTOCOL.md, history: "limit (100, …)" */
    HF_HISTORY_LIMIT_MAX = 1000,
};

struct hf_request {
    struct hf_list link;
    uint64_t id;           /* 1, 2, 3 … */
    uint64_t stamp;        /* PING: the caller's own */
    uint64_t until_ms;     /* CALL: when its answer is waited for no longer; UINT64_MAX: never */
    enum hf_msg_type type; /* HF_MSG_PING, HF_MSG_HISTORY, HF_MSG_PRESENCE or HF_MSG_CALL */
    bool asked;            /* on the present connection */
    bool since, reverse;   /* HISTORY: since_offset and epoch are given */
    uint64_t since_offset, limit;
    char name[HF_REQUEST_ID_MAX]; /* the id on the wire */
    uint8_t name_len;
    struct hf_str channel, epoch;  /* in bytes, as the next */
    struct hf_str method, payload; /* CALL: of the payload, one JSON value */
    char bytes[];
};

struct hf_requests {
    struct hf_list all;  /* in the order of asking */
    struct hf_list lost; /* calls that were asked on a connection that is gone: hf_requests_take_lost() */
    uint32_t count;      /* of all; those that are lost do not count */
    uint32_t calls;      /* of these */
    uint32_t asked;      /* of these, on the present connection */
    uint64_t last_id;
};

void hf_requests_init(struct hf_requests *t);
void hf_requests_release(struct hf_requests *t);
/*
 * Not valid: no valid channel; of history an epoch of 0 or more than HF_LABEL_BYTES_MAX bytes, an offset that is none, or a limit that is not from 1 to
 * HF_HISTORY_LIMIT_MAX; of a call a method that is no UTF-8 of 1 to HF_LABEL_BYTES_MAX bytes. That a payload is one JSON value the caller sees to.
 */
bool hf_request_valid(const struct hf_request *r);
/* Keep a request like this one, whose strings are copied; *id gets its number. HF_EAGAIN: HF_REQUESTS_MAX wait already; HF_EINVAL: it is not valid; HF_ENOMEM. */
int hf_requests_add(struct hf_requests *t, const struct hf_request *like, uint64_t *id) HF_MUST_CHECK;
/* The next one that has not been asked on this connection, which it is from now on; NULL: none. */
struct hf_request *hf_requests_next(struct hf_requests *t);
/* The message that asks; borrows from the request. */
struct hf_msg hf_request_message(const struct hf_request *r);
/* The one of this type that was asked on this connection under this id, or NULL. */
struct hf_request *hf_requests_find(struct hf_requests *t, enum hf_msg_type type, struct hf_str name);
/* The oldest question about a channel, history or presence, that was asked on this connection, or NULL. */
struct hf_request *hf_requests_oldest_question(struct hf_requests *t);
/* It is answered: out of the list; the caller frees it. */
void hf_requests_take(struct hf_requests *t, struct hf_request *r);
/* The connection is gone: all are to be asked again, but for the calls that were asked on it, which are lost. */
void hf_requests_disconnected(struct hf_requests *t);
/* Take the oldest call that was lost, which the caller frees; NULL: none. */
struct hf_request *hf_requests_take_lost(struct hf_requests *t);
/* The call whose time is over first, or NULL. */
struct hf_request *hf_requests_first_due(const struct hf_requests *t);

#endif
