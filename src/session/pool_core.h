/*
 * pool_core.h - which member of a pool takes what, and when. A member is a place with a number, in which one session follows another.
 * Pure: no socket, no clock, no memory. The driver is src/client/pool.c; a publish is to this file a node in a list, which its owner
 * put in and gets back.
 *
 * A member:
 *   VACANT -> AWAY    hf_pool_core_replaced()      a session has been made in its place
 *   AWAY   -> UP      hf_pool_core_connected()     the server has welcomed it
 *   UP     -> AWAY    hf_pool_core_disconnected()  it comes back by itself; what it has been given waits with it
 *   any    -> VACANT  hf_pool_core_ended()         its session is over; another is made in its place at replace_at_ms, when the ended one's
 *                     hf_pool_core_gone()          connections are closed as well
 *
 * A publish with a key belongs to the member that the key's hash names, for as long as the pool lives, also while that member is away
 * or its session is being replaced: so publishes of one key keep their order. One without a key goes to the next connected member that has
 * room, in turn.
 *
 * The queue: what cannot go to a member now waits here, in one list for each member and one for those without a key. Its bound is kept by whoever
 * puts in. While no member is connected nothing goes; from the first publish on that waits for this, the pool looks every flush_interval_ms
 * whether one is. So members that come back together after an outage share what has gathered, where the first to come would have got it all.
 * (A look that can find nothing is not made: the deadline says so.)
 */
#ifndef HF_SESSION_POOL_CORE_H
#define HF_SESSION_POOL_CORE_H

#include "base/list.h"
#include "base/rng.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    HF_POOL_CORE_MEMBERS_MAX = 64,
    HF_POOL_CORE_ANY = 0xffff, /* in place of a member: no key */
    /* After a session's end: at once for one that had been connected that long; else a pause that doubles from the one to the other. Guesses. */
    HF_POOL_CORE_STABLE_MS = 10000,
    HF_POOL_CORE_REPLACE_MS_MIN = 500,
    HF_POOL_CORE_REPLACE_MS_MAX = 30000,
};

enum hf_pool_core_state { HF_POOL_VACANT, HF_POOL_AWAY, HF_POOL_UP };

struct hf_pool_core_member {
    enum hf_pool_core_state state;
    bool full;                /* its outbox takes no more until hf_pool_core_room() */
    struct hf_list waiting;   /* publishes with a key, for this member */
    bool lingers;             /* VACANT: the ended session still has a connection to close */
    uint64_t connected_at_ms; /* of the present session, the first time; UINT64_MAX: never */
    uint64_t replace_at_ms; /* VACANT: when a session is to be made; UINT64_MAX: never, the pool is closing */
    uint32_t short_lives;   /* sessions in a row that ended without having been stable */
};

struct hf_pool_core {
    struct hf_pool_core_member members[HF_POOL_CORE_MEMBERS_MAX];
    uint32_t members_count, connected_count;
    uint32_t keyed_turn, any_turn; /* where the next round of each begins */
    struct hf_list waiting;        /* publishes without a key */
    uint64_t flush_interval_ms;
    uint64_t
        queued_at_ms; /* since then something waits for a connection; UINT64_MAX: nothing waits for that */
    uint64_t flush_at_ms; /* when the next look is due that can find something; UINT64_MAX: none */
    struct hf_rng rng;
};

/* All members are VACANT and due at once. 1 to HF_POOL_CORE_MEMBERS_MAX of them; flush_interval_ms from 1 on. */
void hf_pool_core_init(struct hf_pool_core *p, uint32_t members, uint64_t flush_interval_ms, uint64_t seed,
                       uint64_t now_ms);

/* The member of a key; the same for the same key and number of members, always and everywhere (FNV-1a, 64 bits). */
uint32_t hf_pool_core_member_of(const struct hf_pool_core *p, struct hf_str key);

/* --- what happens to members --- */

void hf_pool_core_connected(struct hf_pool_core *p, uint32_t member, uint64_t now_ms);
void hf_pool_core_disconnected(struct hf_pool_core *p, uint32_t member, uint64_t now_ms);
/* Its session is over. Returns how many milliseconds to wait before the next is made; it is not made before _gone(), either. */
uint64_t hf_pool_core_ended(struct hf_pool_core *p, uint32_t member, uint64_t now_ms);
/* Of the session that has ended nothing is left to do. */
void hf_pool_core_gone(struct hf_pool_core *p, uint32_t member);
/* A session stands in its place. */
void hf_pool_core_replaced(struct hf_pool_core *p, uint32_t member);
/* No session is made in a vacant place any more. */
void hf_pool_core_close(struct hf_pool_core *p);
/* Whether a session is to be made in its place now. */
bool hf_pool_core_due(const struct hf_pool_core *p, uint32_t member, uint64_t now_ms);

/* --- publishes --- */

/* Put one in: for a member, or HF_POOL_CORE_ANY. The node stays the caller's, and in the pool until _next() or _drop(). */
void hf_pool_core_put(struct hf_pool_core *p, struct hf_list *node, uint32_t member, uint64_t now_ms);
/*
 * Take the next one that can go now, and the member that it goes to; NULL where none can. If that member turns out to be full, it is given back by
 * _full() before anything else.
 */
struct hf_list *hf_pool_core_next(struct hf_pool_core *p, uint32_t *member, uint64_t now_ms);
/* The member had no room for the publish that _next() gave: it goes back to where it was (for: as it was put in). */
void hf_pool_core_full(struct hf_pool_core *p, struct hf_list *node, uint32_t put_for, uint32_t member);
/* The member has room again. */
void hf_pool_core_room(struct hf_pool_core *p, uint32_t member);
/* Take out any one, to free it; NULL: there is none. */
struct hf_list *hf_pool_core_drop(struct hf_pool_core *p);

/* When something is due by the clock: a flush, or a place to be filled; UINT64_MAX: nothing. */
uint64_t hf_pool_core_deadline_ms(const struct hf_pool_core *p);

#endif
