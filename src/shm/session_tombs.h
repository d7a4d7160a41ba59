/*
 * session_tombs.h - tombstones: what is kept of a session that has ended, for as long as its client may come back and ask. For the files of sessions.h
 * alone, which has the structures and hf_sessions_tombstone().
 *
 * Each worker slot has a slice: a table of buckets, and a ring of refusals that all its tombstones share. A tombstone names its refusals by their
 * place in the ring, so that one without costs nothing. The oldest refusals are overwritten first: a cell that has another session's number is
 * one that is no longer known.
 *
 *   writer   the home alone: the refusals, how far the ring is used, the tombstone, and its number last. Who dies before that begins anew
 *            with the next cells of the ring; the others are found by nobody
 *   reader   any worker: what it has read counts if the number is the same before and afterwards. A seqlock, so all fields are atomic, and two fences keep them
 *            between the two looks on every processor
 */
#ifndef HF_SHM_SESSION_TOMBS_H
#define HF_SHM_SESSION_TOMBS_H

#include "shm/sessions.h"

/* Bytes of all slices, by a slot's share of the sessions. A multiple of 64. */
size_t hf_tombs_bytes(uint32_t share, uint32_t workers);
void hf_tombs_format(struct hf_sessions_shm *shm, uint32_t share);
/* Find them at `base`. */
void hf_tombs_open(struct hf_sessions *t, uint8_t *base);

/* Home: write the tombstone of a session whose publishes have settled. */
void hf_tombs_bury(struct hf_sessions *t, const struct hf_session *s, uint64_t until_ms);
/* What is known of a session that is not freed, or may be freed meanwhile. */
void hf_tombs_gather(const struct hf_sessions *t, const struct hf_session *s, struct hf_session_past *past);

/* Takes the same time wherever the first difference is. */
bool hf_secret_eq(const uint8_t a[HF_SECRET_BYTES], const uint8_t b[HF_SECRET_BYTES]);

#endif
