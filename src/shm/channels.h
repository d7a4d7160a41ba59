/*
 * channels.h - the channel table of one shard: names, heads, and which workers want to hear of them.
 *
 * The shard's owner alone creates, changes and takes away channels. Every worker may look a name up without asking; what it
 * finds counts only after it has set its interest bit and seen that `cid` is still the same, because the owner takes a channel away
 * only after it has seen no interest. `cid` reads 0 for a moment while the owner finds out that a channel is wanted: who holds
 * one keeps the number that it was held by. A look-up may miss a channel that the owner is just moving: the worker then asks the owner.
 *
 *   name, name_len, next, state, cid        the owner, before others can see the channel
 *   head, newest, used_ms                   the owner, in this order after a record is in the log: newest, then head
 *   interest[w]                             bit of worker w: set and cleared by that worker (and by its successor)
 *   followed                                set by any worker, cleared by the owner, before others can see the channel
 *   notified[w]                             bit of worker w: set by the owner after it told w, cleared by w before it looks
 */
#ifndef HF_SHM_CHANNELS_H
#define HF_SHM_CHANNELS_H

#include "base/str.h"
#include "shm/log.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum { HF_CHANNEL_NAME_MAX = 255, HF_WORKER_WORDS = 4 /* 64 workers each */ };

/*
 * A channel's incarnation, unique in the server's life: incarnation (21 bits), shard (8), place in the table (24). Below 2^53.
 * 0: none.
 */
typedef uint64_t hf_cid;

static inline uint32_t hf_cid_shard(hf_cid cid)
{
    return (uint32_t)(cid >> 24) & 0xff;
}
/* No channel's: it says nothing but the shard. */
static inline hf_cid hf_cid_of_shard(uint32_t shard)
{
    return (hf_cid)shard << 24;
}
static inline uint32_t hf_cid_place(hf_cid cid)
{
    return (uint32_t)cid & 0xffffff;
}

/*
 * The number that clients see in the binary form ("cid" in docs/protocol.md): the same bits in another order, the ones that are set first in front, so that
 * it is written in few bytes as long as incarnation and place are small: 2 bytes with shards below 128, places below 32 and an incarnation below 4, 3 with
 * places below 1,024 and an incarnation below 8. 0 stays 0, and no two numbers become one. hf_cid_of_wire() is the way back; what comes from a client may be
 * any number below 2^53.
 */
uint64_t hf_cid_to_wire(hf_cid cid);
hf_cid hf_cid_of_wire(uint64_t number);

struct hf_channel {
    _Atomic uint64_t cid;     /* 0: free */
    _Atomic uint64_t head;    /* offset of the newest message, 0: none yet */
    _Atomic hf_ref newest;    /* its record */
    _Atomic uint64_t used_ms; /* monotonic: when that was appended, or the channel was made */
    _Atomic uint64_t left_ms; /* monotonic: when a worker last lost interest; that worker */
    _Atomic uint64_t interest[HF_WORKER_WORDS];
    _Atomic uint64_t notified[HF_WORKER_WORDS];
    _Atomic uint32_t next;        /* place + 1 of the next in the same bucket */
    _Atomic uint32_t incarnation; /* how often this place was used; the owner, while it is free */
    _Atomic uint32_t followed;    /* changes of its subscribers are told by hints: shm/hints.h */
    uint16_t name_len;
    char name[HF_CHANNEL_NAME_MAX];
};

struct hf_channels_shm {
    uint32_t shard, capacity, buckets, unused; /* buckets: a power of two */
    _Atomic uint32_t high;                     /* places ever used; owner */
    _Atomic uint32_t live;                     /* channels; owner */
    _Alignas(64) uint8_t body[]; /* _Atomic uint32_t bucket[buckets], struct hf_channel[capacity] */
};

/* One process's view. */
struct hf_channels {
    struct hf_channels_shm *shm;
    _Atomic uint32_t *bucket;
    struct hf_channel *table;
    uint32_t *free_places; /* owner: stack of places below `high` that are free; heap */
    uint32_t free_count, free_cap;
};

size_t hf_channels_bytes(uint32_t capacity);
void hf_channels_format(struct hf_channels_shm *shm, uint32_t shard, uint32_t capacity);
void hf_channels_open(struct hf_channels *t, struct hf_channels_shm *shm);
void hf_channels_release(struct hf_channels *t);

/* Where a name lives: the same for every process of a server. */
uint64_t hf_channel_hash(struct hf_str name);
uint32_t hf_channel_shard(uint64_t hash, uint32_t shards);

/* Find a channel by name, or NULL. See the file's head for what a find is worth. */
struct hf_channel *hf_channels_find(const struct hf_channels *t, struct hf_str name, uint64_t hash);
/* The channel with this number, or NULL where it has gone. cid may come from anywhere. */
struct hf_channel *hf_channels_get(const struct hf_channels *t, hf_cid cid);
struct hf_str hf_channel_name(const struct hf_channel *c);
/* The number of the channel that has this place, or had it last: the same while `cid` reads 0 for a moment. */
hf_cid hf_channel_last_cid(const struct hf_channels *t, const struct hf_channel *c);

/* Owner: make a channel. Returns 0, HF_ELIMIT (table full) or HF_ENOMEM. */
int hf_channels_add(struct hf_channels *t, struct hf_str name, uint64_t hash, uint64_t mono_ms,
                    struct hf_channel **out) HF_MUST_CHECK;
/* Owner: take a channel away unless a worker is interested; returns whether it went. */
bool hf_channels_remove(struct hf_channels *t, struct hf_channel *c);
/* Owner, at start: link what a predecessor left unlinked, find free places. Returns 0 or HF_ENOMEM. */
int hf_channels_recover(struct hf_channels *t) HF_MUST_CHECK;

/* Worker: say that messages of c concern this worker. Returns false where c is no longer cid: look the name up again. */
bool hf_channel_want(struct hf_channel *c, hf_cid cid, uint32_t worker);
/* The opposite. mono_ms: parked sessions may still name the channel, so it must stay for a while. */
void hf_channel_unwant(struct hf_channel *c, uint32_t worker, uint64_t mono_ms);
bool hf_channel_wanted(const struct hf_channel *c, uint32_t worker);
/* Owner: whether w is still to be told (its bit is not set). */
bool hf_channel_untold(const struct hf_channel *c, uint32_t worker);
void hf_channel_set_told(struct hf_channel *c, uint32_t worker);
/* Owner, at start: its predecessor may have set bits and died before the notices were in the rings. */
void hf_channel_clear_all_told(struct hf_channel *c);
/* Worker: before looking at head. */
void hf_channel_clear_told(struct hf_channel *c, uint32_t worker);

/* Owner: publish a record that is in the log as the channel's newest. */
void hf_channel_advance(struct hf_channel *c, struct hf_record *before, const struct hf_record *r, hf_ref ref,
                        uint64_t mono_ms);

#endif
