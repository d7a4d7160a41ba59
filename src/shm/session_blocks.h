/*
 * session_blocks.h - blocks of 128 bytes for what does not fit into a session: its further subscriptions, its refusals and its identity, a chain of blocks
 * each. For the files of sessions.h alone, which has the structures and the functions of subscriptions, refusals and identity.
 *
 * Each worker slot has a slice of the blocks and takes from it alone, whichever worker's chunk the session lies in. Whoever frees a session gives its blocks
 * back by a store of 0 into `session`; to whom they belong finds them when his slice has been used up.
 *
 *   free  -> taken    hf_session_sub_add(), hf_session_refuse(), hf_session_identity_set(): `session` is stored, then the block is linked. Who dies between leaves a block that its
 *                     session does not know, and that is found when the session has gone
 *   taken -> free     hf_blocks_free_chain()
 */
#ifndef HF_SHM_SESSION_BLOCKS_H
#define HF_SHM_SESSION_BLOCKS_H

#include "shm/sessions.h"

/* How many a slot has, by its share of the sessions. */
uint32_t hf_blocks_per_home(uint32_t share);
/* The block with this number + 1; 0: NULL. */
struct hf_session_block *hf_blocks_at(const struct hf_sessions *t, uint32_t number_plus_1);
/* A zeroed block of our slice for this session, linked nowhere; returns its number + 1, or 0 where there is none. */
uint32_t hf_blocks_take(struct hf_sessions *t, const struct hf_session *s, uint64_t now_ms);
/* Give back a chain; *head becomes 0 first. */
void hf_blocks_free_chain(struct hf_sessions *t, _Atomic uint32_t *head);
/* The view's private memory; may be called again. */
void hf_blocks_release(struct hf_sessions *t);

#endif
