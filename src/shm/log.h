/*
 * log.h - the shared log of one shard: fixed-size segments of records, one writer, any number of readers.
 *
 * Who writes what in shared memory:
 *   segment.segno, segment.used, record bytes, record.next   the shard's owner alone
 *   pin[worker][segment]                                     that worker alone; cleared by the supervisor when it died
 *
 * A record is in the log from the moment when `used` of its segment covers it; what stands behind `used` does not exist. A reader
 * pins a segment before it looks at its segno; the owner takes segno away before it looks at the pins and recycles. With sequentially consistent order one of the two sees the other.
 *
 * Records of a channel are linked: `prev`, `next`, and one `jump` further back as in Myers' random-access stack ("An applicative
 * random-access stack", Information Processing Letters 17, 1983), so that any offset is found from the newest record in
 * O(log n) steps and the log needs no index beside itself.
 */
#ifndef HF_SHM_LOG_H
#define HF_SHM_LOG_H

#include "base/err.h"
#include "base/str.h"
#include "ws/frame.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A record's place: segment number (28 bits), segment slot (12), place in units of 8 bytes (24). 0: none. */
typedef uint64_t hf_ref;

enum hf_record_kind {
    HF_RECORD_MESSAGE = 1,
    HF_RECORD_CARRY = 2, /* what a recycled message still has to say for deduplication */
};

enum hf_record_flag {
    HF_RECORD_HAS_SEQ = 1, /* session and seq are set */
    HF_RECORD_HAS_KEY = 2, /* key, body_hash are set */
};

/*
 * One record. Sizes and places in bytes from the record's start. A message's JSON `data` object stands there as one whole unmasked
 * WebSocket text frame: frame_at, frame_len; the object without the frame's header from json_at to the frame's end.
 *
 * The message in binary is two pieces, so that its payload need not be there twice: its head, which is a WebSocket frame's header and the record
 * up to the payload, lies right before the JSON frame, head_len bytes long; the payload lies in the JSON object, or behind all else where it
 * is bytes that are no JSON, and the object has it in base64.
 */
struct hf_record {
    uint32_t size; /* of the whole record, a multiple of 8; written last but one, before `used` */
    uint16_t kind;
    uint16_t flags;
    uint32_t frame_at, frame_len, json_at;
    uint32_t payload_at, payload_len; /* the payload as the publisher wrote it: see above */
    uint32_t id_at, id_len;           /* the publisher's id, unescaped, behind the frame; id_len 0: none */
    uint32_t head_len;
    uint64_t cid;
    uint64_t offset;
    hf_ref prev; /* offset - 1 */
    hf_ref jump;
    uint64_t jump_offset;
    _Atomic hf_ref next;   /* offset + 1; 0 as long as this is the newest */
    uint64_t bytes_before; /* payload bytes of all earlier messages of the channel */
    uint64_t appended_ms;  /* wall clock of the owner */
    uint64_t received_us;  /* monotonic: when a worker began to handle the publish; 0: not known */
    uint64_t session, seq; /* publisher; see flags */
    hf_ref publisher_prev; /* the same session's record before this one in this shard */
    uint64_t key[2];       /* hash of the idempotency key */
    uint64_t body_hash;
};

/* A message's frame in one of its encodings, as it lies in the log: the pieces in their order; the second of JSON is empty. */
struct hf_pieces {
    struct hf_str piece[2];
};

static inline struct hf_pieces hf_record_frame(const struct hf_record *r, bool binary)
{
    const char *start = (const char *)r;

    if (binary)
        return (struct hf_pieces){
            {{start + r->frame_at - r->head_len, r->head_len}, {start + r->payload_at, r->payload_len}}};
    return (struct hf_pieces){{{start + r->frame_at, r->frame_len}}};
}

/* The message that a frame carries: the same without the frame's header. */
static inline struct hf_pieces hf_pieces_message(struct hf_pieces frame)
{
    size_t header_len = hf_ws_header_len((const uint8_t *)frame.piece[0].data);

    frame.piece[0].data += header_len;
    frame.piece[0].len -= header_len;
    return frame;
}

static inline size_t hf_pieces_len(const struct hf_pieces *p)
{
    return p->piece[0].len + p->piece[1].len;
}

struct hf_segment {
    _Atomic uint64_t segno; /* 0: empty, or being recycled */
    _Atomic uint32_t used;  /* bytes of whole records */
};

/* The log's part of shared memory. Followed by segments' data; see hf_log_bytes(). */
struct hf_log_shm {
    uint32_t segment_bytes, segment_count, workers, unused;
    _Atomic uint64_t segno_last; /* the highest number ever given; owner */
    _Alignas(64) uint8_t
        body[]; /* struct hf_segment[segment_count], _Atomic uint8_t pin[workers][segment_count], data */
};

/* One process's view. Plain; init it, no release needed but hf_log_unpin_all(). */
struct hf_log {
    struct hf_log_shm *shm;
    struct hf_segment *segments;
    _Atomic uint8_t *my_pins;  /* pin[worker] */
    _Atomic uint8_t *all_pins; /* pin[0] */
    uint8_t *data;
    uint16_t pinned[16]; /* segments pinned by us; more: pinned_many */
    uint32_t pinned_count;
    bool pinned_many; /* more than the list holds: unpin by walking all */
    uint32_t current; /* owner: slot of the segment that is written; segment_count: none */
    uint32_t spare;   /* owner: slot of an empty segment; segment_count: none */
};

size_t hf_log_bytes(uint32_t segment_bytes, uint32_t segment_count, uint32_t workers);
/* The memory is zero already, and stays untouched but for the head. */
void hf_log_format(struct hf_log_shm *shm, uint32_t segment_bytes, uint32_t segment_count, uint32_t workers);
void hf_log_open(struct hf_log *log, struct hf_log_shm *shm, uint32_t worker);
/* Take away a dead worker's pins. Supervisor only, after the process has gone. */
void hf_log_clear_pins(struct hf_log_shm *shm, uint32_t worker);

/* The longest record: what always finds room in an empty segment, see hf_log_reserve(). */
size_t hf_log_record_bytes_max(uint32_t segment_bytes);

/*
 * Owner: room for a record of `size` bytes (rounded up to 8), header zeroed, in the current segment or, where it is full, in the
 * spare one. Returns NULL where neither has room: try again later. *ref is its place. Fill it and commit it; reserving again
 * without a commit gives it up. As long as there is no spare segment, a quarter of the current one is kept free for carry records
 * (`carry` true may use it): see hf_log_victim().
 */
struct hf_record *hf_log_reserve(struct hf_log *log, size_t size, bool carry, hf_ref *ref);
/* Owner: put it into the log. r->size is set here. */
void hf_log_commit(struct hf_log *log, struct hf_record *r, hf_ref ref, size_t size);

/*
 * Owner: one empty segment is always kept as the spare, so that nothing is recycled before what has to be carried over from it is
 * in the log again. Where there is no spare: take hf_log_victim(), walk it with hf_log_scan_segment(), append carry records for
 * what must survive, then hf_log_recycle() it.
 */
bool hf_log_has_spare(const struct hf_log *log);
/* The oldest segment that nobody has pinned, or -1. */
int hf_log_victim(const struct hf_log *log);
void hf_log_scan_segment(struct hf_log *log, uint32_t slot,
                         void (*each)(void *ctx, struct hf_record *r, hf_ref ref), void *ctx);
/* Returns false where a reader pinned it meanwhile: it stays as it was. */
bool hf_log_recycle(struct hf_log *log, uint32_t slot);

/* Owner: the record at ref without a pin, which only the one who recycles may do. NULL where it is evicted. */
struct hf_record *hf_log_own(const struct hf_log *log, hf_ref ref);
/* Owner, at start: take up the newest segment where the last owner left it. */
void hf_log_recover(struct hf_log *log);
/* Owner: walk all records, oldest segment first. */
void hf_log_scan(struct hf_log *log, void (*each)(void *ctx, struct hf_record *r, hf_ref ref), void *ctx);

/*
 * The record at ref, or NULL where it is evicted (or ref is 0). Its segment is pinned until hf_log_unpin_all(), so the
 * pointer and all pointers into it stay good until then.
 */
struct hf_record *hf_log_at(struct hf_log *log, hf_ref ref);
void hf_log_unpin_all(struct hf_log *log);

/*
 * Going back from `newest`: the oldest record for which keep() holds, where keep() holds for all newer ones as soon as it holds for one
 * (monotone). Stops at what is evicted. *ref is its place. NULL where keep() fails for the newest itself or that is evicted.
 */
struct hf_record *hf_log_seek(struct hf_log *log, hf_ref newest,
                              bool (*keep)(const void *ctx, const struct hf_record *r), const void *ctx,
                              hf_ref *ref);
/* hf_log_seek() for "offset at least this". */
struct hf_record *hf_log_find(struct hf_log *log, hf_ref newest, uint64_t offset, hf_ref *ref);

/* Set prev, jump, jump_offset, bytes_before of r from the record before it (NULL: r is the channel's first, or all before it is evicted). */
void hf_log_link(struct hf_log *log, struct hf_record *r, const struct hf_record *before, hf_ref before_ref);

/* Bytes of segments in use, for statistics. */
uint64_t hf_log_used_bytes(const struct hf_log *log);

#endif
