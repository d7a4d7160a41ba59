/*
 * dedupe.h - which publishes a shard has applied: the index over its log that makes a repeat recognisable.
 * Everything in it stands in the log as well, in the message itself or in a carry record, and is found again by scanning.
 */
#ifndef HF_ENGINE_DEDUPE_H
#define HF_ENGINE_DEDUPE_H

#include "base/list.h"
#include "base/map.h"
#include "shm/log.h"
#include "shm/sessions.h"

#include <stdbool.h>
#include <stdint.h>

/* One idempotency key. Heap. */
struct hf_key {
    struct hf_list by_age;
    struct hf_key *same_slot; /* next with the same first hash word */
    uint64_t key[2], body_hash, cid, offset, used_ms;
    hf_ref ref; /* the record in which it stands now */
};

enum { HF_DEDUPE_TRIM_MAX = 4096 }; /* so that nobody waits for millions of them: a millisecond */

struct hf_dedupe {
    struct hf_map sessions;       /* session number -> a: highest seq, b: ref of the record that says so */
    struct hf_map keys;           /* key[0] -> struct hf_key * */
    struct hf_list by_age;        /* of keys, oldest first */
    uint32_t key_count, keys_max; /* more than the most only until it has been trimmed to fewer */
};

/* What a carry record holds behind its header: that many of these. */
struct hf_carry {
    uint64_t is_key; /* 0: session and seq; 1: key */
    uint64_t session, seq;
    uint64_t key[2], body_hash, used_ms;
    uint64_t cid, offset;
};

void hf_dedupe_init(struct hf_dedupe *d, uint32_t keys_max);
void hf_dedupe_release(struct hf_dedupe *d);
/* So many keys from now on; where there are more, the oldest are forgotten by hf_dedupe_expire(). */
void hf_dedupe_set_keys_max(struct hf_dedupe *d, uint32_t keys_max);

/* Learn what a record says (message or carry). Returns 0 or HF_ENOMEM. */
int hf_dedupe_learn(struct hf_dedupe *d, const struct hf_record *r, hf_ref ref) HF_MUST_CHECK;
/* Whether (session, seq) has been applied; *offset and *cid as far as the log still tells (0: no longer). */
bool hf_dedupe_applied(const struct hf_dedupe *d, const struct hf_log *log, uint64_t session, uint64_t seq,
                       uint64_t *cid, uint64_t *offset);
/* The record of the session's last publish, to be linked from its next; 0: none. */
hf_ref hf_dedupe_last_ref(const struct hf_dedupe *d, uint64_t session);
const struct hf_key *hf_dedupe_key(const struct hf_dedupe *d, const uint64_t key[2]);
/* Forget keys used before that time, and of those that are too many: at most HF_DEDUPE_TRIM_MAX, the oldest first. Returns whether there are more to forget. */
bool hf_dedupe_expire(struct hf_dedupe *d, uint64_t used_before_ms);

/*
 * A record is about to be recycled: what of it must be carried over? Fills at most `cap` entries of `out` and returns how many there are;
 * what needs no carrying is forgotten. A session's seq is carried as long as the session lives and has not settled it.
 */
uint32_t hf_dedupe_evict(struct hf_dedupe *d, const struct hf_sessions *sessions, const struct hf_record *r,
                         hf_ref ref, struct hf_carry *out, uint32_t cap);

static inline uint32_t hf_carry_count(const struct hf_record *r)
{
    return (uint32_t)((r->size - sizeof(*r)) / sizeof(struct hf_carry));
}

#endif
