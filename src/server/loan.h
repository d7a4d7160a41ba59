/*
 * loan.h - the memory into which connections write control output: one large buffer of the hub, lent to the connection that is being served.
 *
 * Most output is written and sent within one turn, so it needs no memory of its own and stays in the cache. When another connection begins to write, or the socket
 * did not take all, the borrower keeps what it has in memory of just that size, and the buffer comes back.
 */
#ifndef HF_SERVER_LOAN_H
#define HF_SERVER_LOAN_H

#include "base/buf.h"

#include <stddef.h>
#include <stdint.h>

struct hf_conn;

struct hf_loan {
    uint8_t *data; /* NULL: lent, or not made yet */
    size_t cap;
    struct hf_conn *borrower;
};

/* The connection's output buffer, to be appended to at once. */
struct hf_buf *hf_loan_out(struct hf_loan *loan, struct hf_conn *c);
/* What could be sent of the connection's output has been sent, or the connection ends. */
void hf_loan_return(struct hf_loan *loan, struct hf_conn *c);
void hf_loan_release(struct hf_loan *loan);

#endif
