/*
 * due.h - the connections that are to be written to, in the order in which they became due.
 *
 * A plain array of pointers: adding one touches no other connection's memory, and whoever walks it sees far enough ahead to fetch what comes next into the
 * cache. A connection stands in it once; `due_at` in the connection is its place + 1. One that is dropped leaves a hole (NULL).
 */
#ifndef HF_SERVER_DUE_H
#define HF_SERVER_DUE_H

#include "base/err.h"

#include <stdint.h>

struct hf_conn;

struct hf_due {
    struct hf_conn **conns;
    uint32_t count; /* places in use, holes included */
    uint32_t cap;
};

/* Make sure that `conns` connections find room without more memory. Returns 0 or HF_ENOMEM. */
int hf_due_reserve(struct hf_due *d, uint32_t conns) HF_MUST_CHECK;
void hf_due_release(struct hf_due *d);
/* Add one that stands in no such array. There is room: see hf_due_reserve(). */
void hf_due_add(struct hf_due *d, struct hf_conn *c);
/* Leave a hole where it stands, if it stands in this one. */
void hf_due_remove(struct hf_due *d, struct hf_conn *c);

#endif
