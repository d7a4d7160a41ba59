/*
 * stuck.h - whether what was written to a TCP connection arrives: what the kernel knows of it long before anybody waits for an answer.
 *
 * A connection is stuck where its retransmission timer has been doubled twice (RFC 6298 section 5.5: after that much silence), or
 * where for HF_STUCK_UNMOVED_MS nothing that waits has been acknowledged. That is a doubt, not a death: the session verifies. The judgement is
 * pure; hf_tcp_facts_read() is the reader. Looks are taken only while something written waits.
 */
#ifndef HF_CLIENT_STUCK_H
#define HF_CLIENT_STUCK_H

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    HF_STUCK_LOOK_MS =
        500, /* between two looks; two doublings take 600 ms at least, with TCP's least timer of 200 ms */
    HF_STUCK_UNMOVED_MS = 2000, /* research/protocol.md 2.5, as the next one */
    HF_STUCK_BACKOFF = 2,
};

/* Of one connection at one moment. */
struct hf_tcp_facts {
    uint32_t unacked_segments; /* on their way (tcpi_unacked) */
    uint32_t backoff;          /* how often the timer was doubled (tcpi_backoff) */
    uint64_t waiting_bytes;    /* in the socket and not acknowledged (SIOCOUTQ) */
    uint64_t acked_bytes;      /* by the peer, since it was opened (tcpi_bytes_acked) */
};

struct hf_stuck {
    uint64_t look_at_ms;  /* UINT64_MAX: nothing was written, as far as is known */
    uint64_t moved_at_ms; /* the first look of this wait, or the last at which it had moved */
    uint64_t acked_bytes; /* then */
    bool waits;           /* moved_at_ms and acked_bytes mean something */
    bool told;            /* that it is stuck; again only after it has moved */
};

void hf_stuck_init(struct hf_stuck *s);
/* Something was written. */
void hf_stuck_written(struct hf_stuck *s, uint64_t now_ms);
/* look_at_ms has passed, and this is what was seen. Returns true when it is found stuck, once until it moves. */
bool hf_stuck_look(struct hf_stuck *s, const struct hf_tcp_facts *facts, uint64_t now_ms);

/* HF_EIO: it is no TCP connection. */
int hf_tcp_facts_read(int fd, struct hf_tcp_facts *out) HF_MUST_CHECK;
/*
 * TCP_USER_TIMEOUT (RFC 5482): the kernel gives the connection up when something sent has not been acknowledged for so long, also where bytes
 * keep coming in.
 */
void hf_tcp_give_up_after(int fd, uint64_t ms);

#endif
