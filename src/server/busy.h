/*
 * busy.h - a worker's view of its present second: which channels are busiest, which connections are furthest behind, how full its rings came to be. At the second's end
 * it is told to all workers through the slot (shm/busy.h), and GET /api/top puts together what all have told.
 *
 * The work is bounded: counting a message looks at four keys (base/busiest.h); of connections whose socket took less than it was given the first HF_BUSY_WATCHED are
 * watched, until they have caught up or gone, and only these are looked at, once a second. For the files of the hub.
 */
#ifndef HF_SERVER_BUSY_H
#define HF_SERVER_BUSY_H

#include "base/busiest.h"

#include <stdbool.h>
#include <stdint.h>

struct hf_conn;
struct hf_hub;

enum { HF_BUSY_WATCHED = 64 };
enum hf_busy_thing { HF_BUSY_PUBLISHES, HF_BUSY_DELIVERIES };

struct hf_busy {
    struct hf_busiest channels;
    struct hf_conn *watched[HF_BUSY_WATCHED]; /* each has conn->watched set */
    uint32_t watched_count;
    uint64_t ring_peak_bytes;
    uint64_t began_ms;
};

/* A hub begins: what the slot's last process told is void. */
void hf_busy_begin(struct hf_hub *hub);
static inline void hf_busy_count(struct hf_busy *b, uint64_t cid, enum hf_busy_thing thing, uint64_t times)
{
    if (cid != 0)
        hf_busiest_count(&b->channels, cid, thing, times);
}
/* The connection's socket takes nothing more. */
void hf_busy_watch(struct hf_conn *c);
/* It goes. */
void hf_busy_unwatch(struct hf_conn *c);
/* So many bytes wait in a ring at the end of a turn. */
static inline void hf_busy_ring(struct hf_busy *b, uint64_t bytes)
{
    if (bytes > b->ring_peak_bytes)
        b->ring_peak_bytes = bytes;
}
/* Once a turn: when a second is over, tell of it. */
void hf_busy_turn(struct hf_hub *hub);

#endif
