/*
 * ring.h - a one-way ring of records between two workers, single producer and single consumer.
 *
 * The counters never wrap; [tail, head) belongs to the consumer, the rest to the producer.
 *   head   written by the producer (release), read by the consumer (acquire)
 *   tail   written by the consumer (release), read by the producer (acquire)
 *   size   written by the producer, before its first record
 *   waits  set by a producer that found no room, cleared by the consumer when it has made some
 * A producer that dies before its store to head has published nothing; one that dies after it has published the record.
 * A consumer that dies before its store to tail leaves the record to its successor, so a record may be handled twice:
 * handling must be idempotent; hf_ring_position() names the record.
 * Records are 8-byte aligned and contiguous; one that would cross the end is preceded by a filler. So is one that finds everything consumed
 * and stands some way from the beginning: the ring goes on at its beginning, so that it only ever touches as much memory as a burst needs.
 * All zeros but for `size` is an empty ring; one that nobody has written to yet may be all zeros altogether.
 */
#ifndef HF_SHM_RING_H
#define HF_SHM_RING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    HF_RING_RECORD_EXTRA = 16,  /* header and padding of a record, at most */
    HF_RING_SMALL_BYTES = 1024, /* two records up to this length fit where one of twice the length did */
};

struct hf_ring {
    _Alignas(64) _Atomic uint64_t head;
    _Alignas(64) _Atomic uint64_t tail;
    _Atomic uint32_t waits;
    _Alignas(64) uint32_t size; /* bytes of data[], a power of two */
    _Alignas(64) uint8_t data[];
};

/* Bytes of memory for a ring whose data holds data_bytes (a power of two, at least 1,024). */
size_t hf_ring_bytes(size_t data_bytes);
/* Producer: make the ring of zeroed memory. Doing it again before the first commit changes nothing. */
void hf_ring_init(struct hf_ring *r, size_t data_bytes);

/* The longest record a ring takes: less than half, so that a filler never keeps it out for ever. */
size_t hf_ring_record_max(const struct hf_ring *r);

/*
 * Producer: room for a record of len bytes, or NULL where there is none now; then `waits` is set and the consumer will wake the
 * producer. Write it, then hf_ring_commit(). Reserving again without a commit gives up the first.
 */
void *hf_ring_reserve(struct hf_ring *r, size_t len);
void hf_ring_commit(struct hf_ring *r, size_t len);

/* Consumer: the oldest record, or NULL. It stays until hf_ring_consume(). */
void *hf_ring_peek(struct hf_ring *r, size_t *len);
void hf_ring_consume(struct hf_ring *r);
/* Consumer: where the record of the last peek stands, counted from the ring's beginning: rises with every record. */
uint64_t hf_ring_position(struct hf_ring *r);
/* Consumer: whether the producer waits for room and there is some now; clears the mark. The caller then wakes the producer. */
bool hf_ring_producer_due(struct hf_ring *r);
bool hf_ring_empty(struct hf_ring *r);
/* Bytes in use. */
uint64_t hf_ring_used(struct hf_ring *r);
/* Producer: the same without the way back to the beginning, which is no sign of a consumer that is behind. For statistics. */
uint64_t hf_ring_waiting(struct hf_ring *r);

#endif
