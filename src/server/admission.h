/*
 * admission.h - who may come in, under which address, and for how long a connection may stand still. Between the hub and shm/gate.h,
 * which all workers share. For the files of the hub; worker*.c and socket.c use the part of hub.h.
 *
 *   request      the head is malformed, too large, or for something that is not here      4xx
 *   timeout      it was not whole in time                                                408
 *   handshakes   too many connections in their handshake, and this one's client slow     503
 *   draining, connections, descriptors, rate, sessions, memory, takeover                 503, Retry-After
 *   address      its address has as many connections as it may                           429, Retry-After
 *   attempt      a newer attempt of the session was taken                                409
 *   backend      the application's backend does not want it                               401, 403, or as it says
 *   hook         that could not be asked                                                  503, Retry-After
 *   proxy_header a proxy's header is malformed                                           the end, without a word
 * Each cause is a label of holdfast_handshakes_refused_total. PROTOCOL.md: "to a client that sends Origin the server answers
 * 429 and 503 as 101, reconnect {after, code} and close 1013".
 */
#ifndef HF_SERVER_ADMISSION_H
#define HF_SERVER_ADMISSION_H

#include "server/hub_state.h"

struct hf_handshake;

/* Why not, and what is answered. */
struct hf_refusal {
    enum hf_counter cause; /* HF_COUNT_REFUSED_… */
    int status;
    enum hf_code code;
    const char *reason;
};

extern const struct hf_refusal hf_refused_draining, hf_refused_sessions, hf_refused_memory,
    hf_refused_takeover;

/* The hub's part of the gate, at its start. */
void hf_admission_init(struct hf_hub *hub);
/* Again from the configuration, which has changed. */
void hf_admission_configure(struct hf_hub *hub);

/* A valid request: what a trusted proxy says of its client becomes the connection's address. */
void hf_admission_name(struct hf_conn *c, const struct hf_handshake *h);
/*
 * May it come in? kind: a resume of a session that exists, or anything else. Returns NULL when it may: then its address has been counted,
 * until hf_admission_left(). Decided before any work for a session is done.
 */
const struct hf_refusal *hf_admission_judge(struct hf_conn *c, enum hf_gate_kind kind);
/* When a refused one should come back: its place in the line, in ms, at least a second, with a random part. */
uint32_t hf_admission_wait_ms(struct hf_conn *c, enum hf_gate_kind kind);
/* The time over which the server's connections, were all lost at once, should come back. */
uint32_t hf_admission_spread_ms(const struct hf_hub *hub);

/* It is an open WebSocket now; it is one no more. */
void hf_admission_opened(struct hf_conn *c);
void hf_admission_closed(struct hf_conn *c);
/* It has gone, or goes: its address is free. May be called again. */
void hf_admission_left(struct hf_conn *c);

/* The connection's handshake begins, and is over (whatever became of it). To be called before its phase is changed. */
void hf_young_begin(struct hf_conn *c);
void hf_young_end(struct hf_conn *c);

/* A write took so many bytes, and c->blocked is set: for limits.write. */
void hf_limits_wrote(struct hf_conn *c, size_t written);
/* OPEN: when limits.write will be reached; UINT64_MAX: nothing waits, or there is no limit. */
uint64_t hf_limits_write_deadline_ms(const struct hf_conn *c);
/* Whether the session may publish another message now; takes a token. */
bool hf_limits_publish(struct hf_conn *c);

#endif
