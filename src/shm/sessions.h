/*
 * sessions.h - the session table: what survives connections and workers.
 *
 * The table is cut into chunks. A worker slot takes a chunk that is nobody's when it needs room and is then its *home*; it gives the chunk back when
 * the last session in it has gone. So the bound is on all sessions together, however unevenly they fall on the workers. A session is made in a chunk of the
 * worker that accepts it, may then be taken over by any worker, and its place is given back by its home alone, when it has expired or ended.
 *
 * Phases (in `state`, with the owner's slot and the generation; moved by compare-and-swap only):
 *   FREE   -> LIVE    hf_sessions_add()      home
 *   LIVE   -> PARKED  hf_session_park()      its owner, when the connection is gone or taken over
 *   PARKED -> LIVE    hf_session_take()      any worker, with a valid ticket; generation + 1
 *   LIVE   -> LIVE    hf_session_take()      any worker, where the owner's process is dead; generation + 1
 *   LIVE   -> ENDED   hf_session_end()       its owner: bye, or ended by the backend
 *   PARKED -> ENDED   hf_session_end_parked(), hf_sessions_expire()
 *   ENDED  -> FREE    hf_sessions_expire()   home, after the tombstone is written
 *
 * Each chunk says how many of its sessions may be PARKED or ENDED: raised before the phase is entered, lowered after it is left, by whoever moves the
 * phase. A worker that dies between leaves the number too high, never too low: then a chunk is looked through in vain. 0 means that there is nothing.
 *
 * All other fields are written by the owner while it is LIVE, except `applied_seq`: shard owners raise it (compare-and-swap,
 * never lowered) when a publish of the session is in their log. A worker that dies leaves every field whole: each is one
 * store, and what belongs together is stored in an order that leaves either outcome valid.
 */
#ifndef HF_SHM_SESSIONS_H
#define HF_SHM_SESSIONS_H

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "shm/channels.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum hf_session_phase { HF_SESSION_FREE, HF_SESSION_LIVE, HF_SESSION_PARKED, HF_SESSION_ENDED };

enum {
    HF_SECRET_BYTES = 16,
    HF_TICKET_BYTES = 24, /* number and secret */
    HF_REFUSALS_MAX =
        32, /* PROTOCOL.md, welcome: "a nack follows for each of the session's last 32 refusals" */
    HF_SESSIONS_PER_CHUNK = 256,
    HF_SESSION_PLACE_BITS = 25,
    HF_SESSION_HOME_BITS = 8,
    HF_SESSIONS_GRACE = 16, /* sessions that a worker may make before it counts those of all again */
    HF_SUBS_INLINE = 2,     /* subscriptions in the session itself, the others in blocks */
    HF_SUBS_PER_BLOCK = 7,
    HF_REFUSALS_PER_BLOCK = 14,
    HF_WORDS_PER_BLOCK = 14,
    HF_USER_BYTES_MAX = 255,    /* of a user's name */
    HF_INFO_BYTES_MAX = 1024,   /* of what presence tells about him: JSON */
    HF_CLAIMS_BYTES_MAX = 1024, /* of what else the backend has said of him: JSON */
};

/* One subscription. cid 0: free. Stored acked first, then cid. */
struct hf_session_sub {
    _Atomic uint64_t cid;   /* with the flags below in the top bits */
    _Atomic uint64_t acked; /* the last offset that the client acknowledged */
};

#define HF_SUB_LATEST (UINT64_C(1) << 63)
#define HF_SUB_PRESENCE (UINT64_C(1) << 62)
#define HF_SUB_GRANTED (UINT64_C(1) << 61) /* the backend made it: no rule ends it */
#define HF_SUB_CID (HF_SUB_GRANTED - 1)

/* 128 bytes of overflow: subscriptions, refusals, or the identity. */
struct hf_session_block {
    _Atomic uint64_t session; /* whose; 0: free */
    _Atomic uint32_t next;    /* number + 1 of the next block of the same chain */
    uint32_t unused;
    union {
        struct hf_session_sub subs[HF_SUBS_PER_BLOCK];
        _Atomic uint64_t refusals[HF_REFUSALS_PER_BLOCK]; /* code in the top 8 bits, seq below; 0: none */
        _Atomic uint64_t words[HF_WORDS_PER_BLOCK];       /* of the identity: session_identity.c */
    };
};

struct hf_session {
    _Atomic uint64_t state; /* phase (4 bits), owner's life (4) and slot (8), generation (48) */
    uint64_t
        number; /* nonce (30 bits), home (8), place (25); the public id is its hexadecimal form. Home, while FREE */
    uint8_t secret[HF_SECRET_BYTES]; /* home, while FREE */
    _Atomic uint64_t last_seq; /* every publish up to here is applied or refused, and may have been told so */
    _Atomic uint64_t applied_seq; /* the highest that is in a log: see above */
    _Atomic uint64_t parked_ms;   /* when it was parked; monotonic */
    _Atomic uint64_t attempt;     /* the highest hf.attempt that was taken */
    _Atomic uint32_t blocks;      /* number + 1 of the first block with subscriptions */
    _Atomic uint32_t refusals;    /* number + 1 of the first block with refusals */
    _Atomic uint32_t
        refused; /* how many refusals there have been: the next one's place, modulo HF_REFUSALS_MAX */
    _Atomic uint32_t taken;    /* the lower half of the highest seq that a connection has taken */
    _Atomic uint32_t identity; /* number + 1 of the first block with the identity; 0: anonymous */
    _Atomic uint32_t
        identities; /* how many it has had, here and in its place: tells a reader that one was replaced */
    struct hf_session_sub subs[HF_SUBS_INLINE];
};

/* What is kept of an expired session: session_tombs.h. Written by its home alone; number last. */
struct hf_tombstone {
    _Atomic uint64_t number; /* 0: free */
    _Atomic uint64_t secret[HF_SECRET_BYTES / sizeof(uint64_t)];
    _Atomic uint64_t last_seq;
    _Atomic uint64_t until_ms;
    _Atomic uint32_t refusals_at; /* the place of the first one in its home's ring */
    _Atomic uint32_t refusal_count;
};

/* One refusal of one of them. */
struct hf_tomb_refusal {
    _Atomic uint64_t number;  /* the session's */
    _Atomic uint64_t refusal; /* code in the top 8 bits, seq below */
};

struct hf_past_refusal {
    uint64_t seq;
    uint8_t code;
};

/* What is known of a session that has ended. */
struct hf_session_past {
    uint64_t last_seq;
    uint32_t refusal_count;
    struct hf_past_refusal
        refusals[HF_REFUSALS_MAX]; /* of those that last_seq covers, the last ones, oldest first */
};

struct hf_sessions_shm {
    uint32_t workers, sessions_max, chunks, blocks_per_home, tombs_per_home;
    _Alignas(64) uint8_t body[];
};

/* A run of places in the table. */
struct hf_session_chunk {
    _Atomic uint32_t
        home; /* slot + 1 by compare-and-swap from 0; 0 by the home, when all its places are FREE */
    _Atomic uint32_t high;     /* places ever used; the home */
    _Atomic uint32_t waiting;  /* at least as many are PARKED; whoever moves the phase */
    _Atomic uint32_t ended;    /* at least as many are ENDED; likewise */
    _Atomic uint32_t put_back; /* counts up behind each hf_session_put_back(); whoever did that */
};

/* Of each home, in shared memory so that a successor goes on there. Written by the home alone. */
struct hf_session_home {
    _Alignas(64) _Atomic uint32_t blocks_high;
    _Atomic uint32_t live;            /* sessions that are not FREE */
    _Atomic uint32_t refusals_buried; /* how far its ring of refusals is used; it goes round */
};

/* What a home knows of a chunk of its own. Heap. */
struct hf_session_own {
    uint32_t chunk, used;
    uint64_t
        oldest_ms;     /* no session in it has been PARKED since before then, but for those put back later: */
    uint32_t put_back; /* the chunk's, when that was found */
    uint64_t free[HF_SESSIONS_PER_CHUNK / 64];
};

/* The times of an expiry: see hf_sessions_expire(). */
struct hf_session_expiry {
    uint64_t now_ms, expired_before_ms, settled_ms, tombstone_until_ms;
};

/* One process's view; worker `home` is the caller's own slot. */
struct hf_sessions {
    struct hf_sessions_shm *shm;
    struct hf_session_home *homes;
    struct hf_session_chunk *chunks;
    struct hf_session *table;
    struct hf_session_block *blocks;
    struct hf_tombstone *tombs;
    struct hf_tomb_refusal *tomb_refusals;
    uint32_t home;
    uint32_t
        life; /* of this process in its slot, modulo 16; 0 until the caller says otherwise, before anything is made or taken */
    struct hf_session_own *own;
    uint32_t own_count, own_cap;
    uint32_t free_count; /* places in own chunks */
    uint32_t room_at;    /* the first own chunk that may have a free one */
    uint32_t chunk_at;   /* where the search for one that is nobody's begins */
    uint32_t grace;      /* sessions that may be made before all are counted again */
    uint32_t *free_blocks, free_block_count, free_block_cap;
    uint64_t block_sweep_ms; /* when the slice was last searched for free blocks */
    uint32_t expire_at;      /* the own chunk where the incremental search for expired sessions goes on */
};

size_t hf_sessions_bytes(uint32_t sessions_max, uint32_t workers);
void hf_sessions_format(struct hf_sessions_shm *shm, uint32_t sessions_max, uint32_t workers);
/* Also finds the chunks of this slot and the free places in them. Returns 0 or HF_ENOMEM. */
int hf_sessions_open(struct hf_sessions *t, struct hf_sessions_shm *shm, uint32_t home) HF_MUST_CHECK;
void hf_sessions_release(struct hf_sessions *t);

static inline enum hf_session_phase hf_state_phase(uint64_t state)
{
    return (enum hf_session_phase)(state >> 60);
}
static inline uint32_t hf_state_owner(uint64_t state)
{
    return (uint32_t)(state >> 48) & ((1u << HF_SESSION_HOME_BITS) - 1);
}
/* Which of the processes that its slot has had owns it, modulo 16. */
static inline uint32_t hf_state_life(uint64_t state)
{
    return (uint32_t)(state >> (48 + HF_SESSION_HOME_BITS)) & 0xf;
}
static inline uint64_t hf_state_generation(uint64_t state)
{
    return state & ((UINT64_C(1) << 48) - 1);
}

/*
 * Make a session, LIVE, owned by this worker, generation 1. random: 20 bytes of a secure source. Returns NULL where there are sessions_max
 * already (up to HF_SESSIONS_GRACE more a worker may get in while others do), or no memory.
 */
struct hf_session *hf_sessions_add(struct hf_sessions *t, const uint8_t random[20]);

/* The place that a session with this number has in the table. */
static inline uint32_t hf_session_place(uint64_t number)
{
    return (uint32_t)number & ((1u << HF_SESSION_PLACE_BITS) - 1);
}
static inline uint64_t hf_session_nonce(uint64_t number)
{
    return number >> (HF_SESSION_HOME_BITS + HF_SESSION_PLACE_BITS);
}
/* The worker slot that made it. */
static inline uint32_t hf_session_home(uint64_t number)
{
    return (uint32_t)(number >> HF_SESSION_PLACE_BITS) & ((1u << HF_SESSION_HOME_BITS) - 1);
}
/* The session with this number, whatever its phase but FREE; NULL where there is none (any more). number may come from anywhere. */
struct hf_session *hf_sessions_get(const struct hf_sessions *t, uint64_t number);
/* The session that a ticket names, with the secret compared in constant time; NULL otherwise. */
struct hf_session *hf_sessions_by_ticket(const struct hf_sessions *t, const uint8_t ticket[HF_TICKET_BYTES]);
void hf_session_ticket(const struct hf_session *s, uint8_t out[HF_TICKET_BYTES]);
/*
 * The tombstone of an expired session: 0 with *past filled, or HF_ENOTFOUND. Where many sessions with refusals have expired, the refusals of the oldest ones
 * are forgotten before their tombstones are.
 */
int hf_sessions_tombstone(const struct hf_sessions *t, const uint8_t ticket[HF_TICKET_BYTES], uint64_t now_ms,
                          struct hf_session_past *past);
/* The same of a session with this number that was found ENDED. False: its home has freed it meanwhile, and there is a tombstone. */
bool hf_session_ended_past(const struct hf_sessions *t, const struct hf_session *s, uint64_t number,
                           struct hf_session_past *past);

/*
 * Take a session over for this worker: from `seen`, the state that the caller has read and found PARKED, or LIVE with a dead
 * owner. Returns the new generation, or 0 where somebody else was faster or the session has ended.
 */
uint64_t hf_session_take(struct hf_sessions *t, struct hf_session *s, uint64_t seen);
/* Owner of this generation: park or end it. Returns false where it is no longer ours. */
bool hf_session_park(struct hf_sessions *t, struct hf_session *s, uint64_t generation, uint64_t now_ms);
/*
 * The same for one that was PARKED since parked_ms and was taken for a moment: its time goes on. Its home, which may have looked meanwhile, looks once more. Where we die between the
 * two it may expire late, by up to the time that sessions are kept.
 */
bool hf_session_put_back(struct hf_sessions *t, struct hf_session *s, uint64_t generation,
                         uint64_t parked_ms);
bool hf_session_end(struct hf_sessions *t, struct hf_session *s, uint64_t generation, uint64_t now_ms);
/* Park a session that was found LIVE in the state `seen`, whose owner was an earlier process of this slot. */
bool hf_session_park_orphan(struct hf_sessions *t, struct hf_session *s, uint64_t seen, uint64_t now_ms);
/* End a parked session that nobody holds (the backend ended it), in the state `seen`. Returns whether it has ended, now or before. */
bool hf_session_end_parked(const struct hf_sessions *t, struct hf_session *s, uint64_t seen);
/*
 * A new process in this slot: park what its predecessor held, piece by piece beside its work. Looks at up to `most` places from *cursor (0 at first) on;
 * held(ctx, number) tells whether this process holds the session itself. Returns whether there is more to look at.
 */
bool hf_sessions_park_orphans(struct hf_sessions *t, uint64_t *cursor, uint32_t most, uint64_t now_ms,
                              bool (*held)(void *ctx, uint64_t number), void *ctx);

/*
 * Home: look at about `most` places, of chunks where something can be due; for each session that is PARKED since before expired_before_ms, or ENDED, write
 * its tombstone and free it and its blocks. settled_ms: all publishes made before that time have reached their logs, so that a session parked later must wait, because its
 * last sequence number is not final. Calls gone(ctx, s) for each, before it goes. Returns how many went.
 */
uint32_t hf_sessions_expire(struct hf_sessions *t, uint32_t most, const struct hf_session_expiry *when,
                            void (*gone)(void *ctx, struct hf_session *s), void *ctx);
/* Whether sessions of this home wait for their end or have come to it. */
bool hf_sessions_expiring(const struct hf_sessions *t);

/* The highest seq that is certainly done: exact when the session's publishes have settled (see above). */
uint64_t hf_session_last_seq(const struct hf_session *s, bool settled);
/*
 * Owner: a publish is about to be forwarded or refused. What a connection has taken may be in a log, or on the way to it, when the next one is sent it again.
 */
void hf_session_take_seq(struct hf_session *s, uint64_t seq);
/* The highest of them, or one at most as high as last_seq. */
uint64_t hf_session_taken_seq(const struct hf_session *s);
/* Shard owner: a publish of this session is in the log. */
void hf_session_applied(struct hf_session *s, uint64_t seq);

/* Owner: subscriptions. hf_session_sub_add() returns the cell, filled, or NULL where blocks are exhausted. */
struct hf_session_sub *hf_session_sub_add(struct hf_sessions *t, struct hf_session *s, uint64_t cid_and_flags,
                                          uint64_t acked, uint64_t now_ms);
/* Walk: start with *cursor = 0; returns the next cell in use, or NULL at the end. */
struct hf_session_sub *hf_session_sub_next(const struct hf_sessions *t, const struct hf_session *s,
                                           uint32_t *cursor);
static inline void hf_session_sub_remove(struct hf_session_sub *sub)
{
    atomic_store(&sub->cid, 0);
}

/*
 * Owner: remember a refusal, before anything that depends on it is sent; the oldest of HF_REFUSALS_MAX is forgotten for it. Returns 0, or HF_ELIMIT where blocks
 * are exhausted: then nothing has changed.
 */
int hf_session_refuse(struct hf_sessions *t, struct hf_session *s, uint64_t seq, uint8_t code,
                      uint64_t now_ms) HF_MUST_CHECK;
/* The i-th of the last HF_REFUSALS_MAX refusals, oldest first, i from 0. Returns false at the end. */
bool hf_session_refusal(const struct hf_sessions *t, const struct hf_session *s, uint32_t i, uint64_t *seq,
                        uint8_t *code);

/* Whose session it is, by the token of its connection or the backend's word. */
struct hf_session_whose {
    struct hf_str user; /* empty: nobody's, anonymous; all else is ignored */
    struct hf_str info; /* what presence tells about him: JSON; empty: nothing */
    struct hf_str
        claims; /* what rules may ask for when no token says it: JSON, an object; empty: none are kept */
    bool claims_lost; /* there are some, and no room for them */
};

/*
 * Owner: whose it is. Replaces what was there. Returns 0, or HF_ELIMIT where blocks are exhausted, or a part is longer than HF_USER_BYTES_MAX, HF_INFO_BYTES_MAX, HF_CLAIMS_BYTES_MAX: then
 * nothing has changed.
 */
int hf_session_whose_set(struct hf_sessions *t, struct hf_session *s, const struct hf_session_whose *whose,
                         uint64_t now_ms) HF_MUST_CHECK;
/* The same without claims. */
HF_MUST_CHECK static inline int hf_session_identity_set(struct hf_sessions *t, struct hf_session *s,
                                                        struct hf_str user, struct hf_str info,
                                                        uint64_t now_ms)
{
    return hf_session_whose_set(t, s, &(struct hf_session_whose){.user = user, .info = info}, now_ms);
}
/*
 * Any worker: the same, as it was put in whole. Both buffers are emptied and filled; out_info may be NULL. Returns 0, HF_ENOTFOUND where the session is anonymous, or
 * HF_ENOMEM. A caller that does not own the session looks afterwards whether it still is the one that he meant: hf_sessions_get() with its number.
 */
int hf_session_identity(const struct hf_sessions *t, const struct hf_session *s, struct hf_buf *out_user,
                        struct hf_buf *out_info) HF_MUST_CHECK;

/* Any worker: the claims that were put in with it, out is emptied and filled; *lost: there were some, which are not kept. Returns as hf_session_identity(). */
int hf_session_claims(const struct hf_sessions *t, const struct hf_session *s, struct hf_buf *out,
                      bool *lost) HF_MUST_CHECK;

/* Any worker: whether the session is this user's; empty: whether it is anonymous. */
bool hf_session_is_of(const struct hf_sessions *t, const struct hf_session *s, struct hf_str user);

/* Walk all sessions of all homes that are not FREE: start with *cursor = 0. */
struct hf_session *hf_sessions_next(const struct hf_sessions *t, uint64_t *cursor);
/* The same for those chunks only in which some may be PARKED or ENDED: all that are, and some others. */
struct hf_session *hf_sessions_next_idle(const struct hf_sessions *t, uint64_t *cursor);
/* How many are not FREE. */
uint32_t hf_sessions_live(const struct hf_sessions *t);

#endif
