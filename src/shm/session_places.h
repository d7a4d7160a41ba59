/*
 * session_places.h - where sessions lie: the table of places, its chunks, and which worker slot is whose home. For the files of sessions.h alone;
 * the structures are there.
 *
 * What a session is, this part does not know: of the one in a place it looks at the phase only, FREE or not. sessions.c says when a place is taken and given back,
 * and counts in `waiting` and `ended` of its chunk the phases that it moves through.
 *
 *   chunk of nobody    -> of a home    hf_places_take(), when no own chunk has a free place; by compare-and-swap
 *   chunk of a home    -> of nobody    hf_places_release_chunk(), when all its places are free
 *   place free         -> taken        hf_places_take()
 *   place taken        -> free         hf_places_give(), by its home, after the session's phase is FREE
 *
 * Own chunks are t->own[0 … own_count); a call that takes or releases one moves them. What a view knows of them is private to its process: a successor in
 * the slot finds the same out of `home`, `high` and the phases. One thread for each view.
 */
#ifndef HF_SHM_SESSION_PLACES_H
#define HF_SHM_SESSION_PLACES_H

#include "shm/sessions.h"

enum {
    HF_PLACES_STEP =
        64, /* places of a walk between two looks at where the used part of a chunk ends; see hf_places_skip() */
};

/* How many chunks a table for so many sessions has. */
uint32_t hf_places_chunks(uint32_t sessions_max, uint32_t workers);
/* Bytes of the header, homes, chunks and table together: what else the sessions need lies behind. A multiple of 64. */
size_t hf_places_bytes(uint32_t workers, uint32_t chunks);

/* Find the parts of t->shm, and the chunks whose home t->home is. Returns 0 or HF_ENOMEM; hf_places_release() in either case. */
int hf_places_open(struct hf_sessions *t) HF_MUST_CHECK;
void hf_places_release(struct hf_sessions *t);

/* A place with nothing in it, counted as taken; its phase is still FREE. NULL: all chunks have a home, or no memory. */
struct hf_session *hf_places_take(struct hf_sessions *t);
/* The place of s, which is in that own chunk and has become FREE. */
void hf_places_give(struct hf_sessions *t, struct hf_session_own *own, const struct hf_session *s);
/*
 * Give an empty chunk back, as long as a whole chunk of room is left. Returns whether it went: then *own is another one, or behind the last.
 */
bool hf_places_release_chunk(struct hf_sessions *t, struct hf_session_own *own);

/* Whichever home it has. */
struct hf_session_chunk *hf_places_chunk_of(const struct hf_sessions *t, const struct hf_session *s);
/*
 * For a walk, at a multiple of HF_PLACES_STEP: `cursor`, or the first place behind it where there may be a session; the end of the table where there is none.
 * idle_only: of chunks in which some may be PARKED or ENDED.
 */
uint64_t hf_places_skip(const struct hf_sessions *t, uint64_t cursor, bool idle_only);
/* One behind the last place of the table. */
static inline uint64_t hf_places_end(const struct hf_sessions *t)
{
    return (uint64_t)t->shm->chunks * HF_SESSIONS_PER_CHUNK;
}

#endif
