#include "server/loan.h"

#include "server/hub_state.h"

#include <stdlib.h>

enum {
    LOAN_BYTES = 64 * 1024,      /* a turn's answers to one connection fit nearly always */
    LOAN_BYTES_MAX = 256 * 1024, /* one that grew beyond is not kept */
};

static void end(struct hf_loan *loan)
{
    struct hf_buf *out;
    uint8_t *data;
    size_t cap, len;

    if (loan->borrower == NULL)
        return;
    out = &loan->borrower->out;
    loan->borrower = NULL;
    len = out->len;
    data = hf_buf_detach(out, &cap);
    if (len > 0 && hf_buf_put(out, data, len) < 0) {
        hf_buf_reset(out);
        hf_buf_adopt(out, data, len,
                     cap); /* Without memory for a copy it keeps the buffer, and the next one gets another. */
        return;
    }
    if (cap > LOAN_BYTES_MAX) {
        free(data);
        return;
    }
    loan->data = data;
    loan->cap = cap;
}

struct hf_buf *hf_loan_out(struct hf_loan *loan, struct hf_conn *c)
{
    if (c->out.data != NULL || c->out.failed)
        return &c->out;
    end(loan);
    if (loan->data == NULL) {
        loan->data = malloc(LOAN_BYTES);
        loan->cap = LOAN_BYTES;
    }
    if (loan->data == NULL)
        return &c->out;
    hf_buf_adopt(&c->out, loan->data, 0, loan->cap);
    loan->data = NULL;
    loan->borrower = c;
    return &c->out;
}

void hf_loan_return(struct hf_loan *loan, struct hf_conn *c)
{
    if (loan->borrower == c)
        end(loan);
    else if (c->out.len == 0)
        hf_buf_release(&c->out);
}

void hf_loan_release(struct hf_loan *loan)
{
    free(loan->data);
    *loan = (struct hf_loan){0};
}
