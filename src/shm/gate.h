/*
 * gate.h - what the workers share to decide who may come in: two buckets of tokens for handshakes, how many connections are open, and
 * how many of them each address has.
 *
 * The buckets. Each is one number, the time at which it will be full again ("theoretical arrival time" of the GCRA, ITU-T I.371
 * annex A): taking a token moves it on by one interval, with a compare-and-swap; nobody refills it. So there is nothing to divide
 * between the workers, however unevenly connections reach them, and a worker that dies has either taken a token or not. It costs
 * one contended cache line per handshake, of some 50 us of work.
 *
 * 70 % of the rate belong to resumes, 30 % to new sessions. Either kind may take of the other's bucket what is above a mark (its middle for resumes, seven eighths
 * for new ones): alone it has the whole rate, and when both are too many each has its share. research/protocol.md "Admission".
 *
 * The line. Who is refused is told when to come back: his place in a line that moves at the rate of his kind.
 *
 * The addresses. A table of counts, and for each worker one of its own part, so that a dead worker's connections can be taken off by its
 * successor. An address has its cell within a short window of places; where the window is full it is not counted, and comes in.
 *   buckets, line, connections, total cells   any worker, by compare-and-swap or addition
 *   a worker's own cells                      that worker; its successor takes them off the total and clears them
 * A worker that dies between the two stores of one count leaves the total one too low; never too high, so that no place is lost for ever.
 */
#ifndef HF_SHM_GATE_H
#define HF_SHM_GATE_H

#include "base/ip.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    HF_GATE_RESUME_PERCENT = 70,
    HF_GATE_WINDOW = 16,         /* places of the address table that one address may have: two cache lines */
    HF_GATE_WAIT_MS_MAX = 60000, /* nobody is sent away for longer */
    HF_GATE_ADDRESS_MAX = 0xfffff, /* connections that one cell can count */
    HF_GATE_CELLS_MAX = 1 << 20,   /* of one table: a place and a cell together make a hash */
};

enum hf_gate_kind { HF_GATE_NEW, HF_GATE_RESUME, HF_GATE_KINDS };

struct hf_gate_config {
    uint32_t rate;  /* handshakes a second, 1 to 1,000,000; 0: all are admitted */
    uint32_t burst; /* tokens of both buckets together, at least 2 */
};

struct hf_gate_shm {
    _Alignas(64) _Atomic uint64_t full_ns[HF_GATE_KINDS]; /* when each bucket is full */
    _Alignas(64) _Atomic uint64_t line_ns[HF_GATE_KINDS]; /* the time of the last place in each line */
    _Alignas(64) _Atomic int64_t connections;             /* open WebSockets of all workers */
    uint32_t cells; /* of each table, a power of two, or 0; the supervisor */
    uint32_t workers;
    _Atomic uint32_t counting;            /* some address has been counted: any worker, once */
    uint64_t secret;                      /* so that nobody can choose which addresses share a window */
    _Alignas(64) _Atomic uint64_t cell[]; /* (workers + 1) * cells: the total, then each worker's own */
};

size_t hf_gate_bytes(uint32_t cells, uint32_t workers);
/* In zeroed memory. cells: 0 or a power of two from HF_GATE_WINDOW to HF_GATE_CELLS_MAX. */
void hf_gate_format(struct hf_gate_shm *g, uint32_t cells, uint32_t workers, uint64_t secret);

/* ---- Handshakes ---- */

/* Take a token. Returns whether there was one. now_ms: monotonic; it may be a little behind that of other workers. */
bool hf_gate_admit(struct hf_gate_shm *g, const struct hf_gate_config *c, enum hf_gate_kind kind,
                   uint64_t now_ms);
/* A place in the line: in how many ms to come back, at most HF_GATE_WAIT_MS_MAX. */
uint32_t hf_gate_wait_ms(struct hf_gate_shm *g, const struct hf_gate_config *c, enum hf_gate_kind kind,
                         uint64_t now_ms);

/* ---- Connections ---- */

/* One more, or one less. */
void hf_gate_opened(struct hf_gate_shm *g);
void hf_gate_closed(struct hf_gate_shm *g);
/* How many are open: exact but for what other workers do at this moment, and for workers that died between two stores. */
uint64_t hf_gate_connections(const struct hf_gate_shm *g);

/* What an address is counted under: a hash of its prefix, never 0. */
uint64_t hf_gate_address(const struct hf_gate_shm *g, const struct hf_ip *prefix);
/* Connections of that address, in all workers. */
uint32_t hf_gate_address_count(const struct hf_gate_shm *g, uint64_t address);
/* Count one more. Returns false where there is no room in its window: it is not counted, and must not be taken off. */
bool hf_gate_address_add(struct hf_gate_shm *g, uint32_t slot, uint64_t address);
void hf_gate_address_remove(struct hf_gate_shm *g, uint32_t slot, uint64_t address);

/* A new worker in this slot, before it serves: take off what its predecessor had, of which `connections` were open. Where no address was ever counted the tables are not looked at: that would bring them into memory. */
void hf_gate_reset_worker(struct hf_gate_shm *g, uint32_t slot, uint64_t connections);

#endif
