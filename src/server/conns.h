/*
 * conns.h - the connections of one worker: all of them, by the serial that letters to other workers carry, and by session.
 *
 * Two plain arrays take the place of hash tables, since a worker has many thousands of connections: a serial holds the connection's place, and sessions are numbered by their
 * place in the shared table, so that those of one worker lie close together.
 */
#ifndef HF_SERVER_CONNS_H
#define HF_SERVER_CONNS_H

#include "base/err.h"

#include <stdint.h>

struct hf_conn;

enum { HF_CONNS_MAX = 0xfffffe /* of one worker; a serial has 24 bits for the place */ };

/* Plain; zeroed but for `life` it is empty. Private to conns.c but for count. */
struct hf_conns {
    uint32_t count;
    uint16_t life;   /* how often a worker was started in this slot: serials of its predecessors differ */
    uint32_t opened; /* serials ever given */
    uintptr_t
        *table; /* a connection, or where no one is, the place + 1 of the next free one, times two plus one */
    uint32_t high, cap;  /* places ever used, and allocated */
    uint32_t free_first; /* place + 1 of the first free one, 0: none */
    uint32_t **chunks;   /* of session places: connection's place + 1, or 0; a chunk is made on first use */
    uint32_t chunk_count;
};

void hf_conns_release(struct hf_conns *t);
/* Give it a place and a serial (c->serial). Returns 0, HF_ENOMEM, or HF_ELIMIT at HF_CONNS_MAX. */
int hf_conns_add(struct hf_conns *t, struct hf_conn *c) HF_MUST_CHECK;
void hf_conns_remove(struct hf_conns *t, struct hf_conn *c);
/* A serial that no connection has, for letters about something else. */
uint64_t hf_conns_other_serial(struct hf_conns *t);
/* NULL where it is no serial, or its connection has gone. */
struct hf_conn *hf_conns_by_serial(const struct hf_conns *t, uint64_t serial);

/* The connection has this session from now on; only one has. Returns 0 or HF_ENOMEM. */
int hf_conns_bind(struct hf_conns *t, struct hf_conn *c, uint64_t session) HF_MUST_CHECK;
void hf_conns_unbind(struct hf_conns *t, uint64_t session);
struct hf_conn *hf_conns_by_session(const struct hf_conns *t, uint64_t session);

/* Walk through all: *at begins with 0. Returns NULL at the end. Any may be removed meanwhile. */
struct hf_conn *hf_conns_next(const struct hf_conns *t, uint32_t *at);

#endif
