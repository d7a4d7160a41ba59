#include "engine/dedupe.h"

#include <stdlib.h>
#include <string.h>

void hf_dedupe_init(struct hf_dedupe *d, uint32_t keys_max)
{
    *d = (struct hf_dedupe){.keys_max = keys_max};
    hf_map_init(&d->sessions);
    hf_map_init(&d->keys);
    hf_list_init(&d->by_age);
}

static void key_forget(struct hf_dedupe *d, struct hf_key *k)
{
    struct hf_map_entry *entry = hf_map_get(&d->keys, k->key[0]);
    struct hf_key *first = (struct hf_key *)(uintptr_t)entry->a;

    if (first == k) {
        if (k->same_slot == NULL)
            hf_map_remove(&d->keys, k->key[0]);
        else
            entry->a = (uintptr_t)k->same_slot;
    } else {
        while (first->same_slot != k)
            first = first->same_slot;
        first->same_slot = k->same_slot;
    }
    hf_list_del(&k->by_age);
    d->key_count--;
    free(k);
}

void hf_dedupe_release(struct hf_dedupe *d)
{
    while (!hf_list_empty(&d->by_age))
        key_forget(d, HF_CONTAINER(d->by_age.next, struct hf_key, by_age));
    hf_map_release(&d->sessions);
    hf_map_release(&d->keys);
}

void hf_dedupe_set_keys_max(struct hf_dedupe *d, uint32_t keys_max)
{
    d->keys_max = keys_max;
}

static struct hf_key *key_find(const struct hf_dedupe *d, const uint64_t key[2])
{
    struct hf_key *k = hf_map_ptr(&d->keys, key[0]);

    while (k != NULL && k->key[1] != key[1])
        k = k->same_slot;
    return k;
}

const struct hf_key *hf_dedupe_key(const struct hf_dedupe *d, const uint64_t key[2])
{
    return key_find(d, key);
}

/* Oldest first. Mostly it goes to the end; only a carry record that is read again tells of older ones. */
static void sort_in(struct hf_dedupe *d, struct hf_key *k)
{
    struct hf_list *behind = &d->by_age;

    while (behind->prev != &d->by_age &&
           HF_CONTAINER(behind->prev, struct hf_key, by_age)->used_ms > k->used_ms)
        behind = behind->prev;
    hf_list_add_tail(behind, &k->by_age);
}

static int learn_key(struct hf_dedupe *d, const struct hf_carry *said, hf_ref ref)
{
    struct hf_key *k = key_find(d, said->key);

    if (k != NULL && k->cid == said->cid && k->offset == said->offset) {
        k->ref = ref; /* Carried over: it now stands further ahead. */
        return 0;
    }
    if (k != NULL) /* Read again: after it had been forgotten, the key was used anew. */
        key_forget(d, k);
    k = calloc(1, sizeof(*k));
    if (k == NULL)
        return HF_ENOMEM;
    *k = (struct hf_key){.key = {said->key[0], said->key[1]},
                         .body_hash = said->body_hash,
                         .cid = said->cid,
                         .offset = said->offset,
                         .used_ms = said->used_ms,
                         .ref = ref};
    k->same_slot = hf_map_ptr(&d->keys, said->key[0]);
    if (hf_map_put(&d->keys, said->key[0], (uintptr_t)k, 0) < 0) {
        free(k);
        return HF_ENOMEM;
    }
    sort_in(d, k);
    if (++d->key_count > d->keys_max)
        key_forget(d, HF_CONTAINER(d->by_age.next, struct hf_key, by_age));
    return 0;
}

static int learn_seq(struct hf_dedupe *d, uint64_t session, uint64_t seq, hf_ref ref)
{
    const struct hf_map_entry *known = hf_map_get(&d->sessions, session);

    if (known != NULL && known->a > seq)
        return 0;
    return hf_map_put(&d->sessions, session, seq, ref);
}

static const struct hf_carry *carries_of(const struct hf_record *r)
{
    return (const struct hf_carry *)(const void *)(r + 1);
}

static struct hf_carry key_said(const struct hf_record *r)
{
    return (struct hf_carry){.is_key = 1,
                             .key = {r->key[0], r->key[1]},
                             .body_hash = r->body_hash,
                             .used_ms = r->appended_ms,
                             .cid = r->cid,
                             .offset = r->offset};
}

int hf_dedupe_learn(struct hf_dedupe *d, const struct hf_record *r, hf_ref ref)
{
    int err = 0;

    if (r->kind == HF_RECORD_CARRY) {
        const struct hf_carry *carry = carries_of(r);

        for (uint32_t i = 0; i < hf_carry_count(r) && err == 0; i++)
            err = carry[i].is_key ? learn_key(d, &carry[i], ref)
                                  : learn_seq(d, carry[i].session, carry[i].seq, ref);
        return err;
    }
    if (r->flags & HF_RECORD_HAS_SEQ)
        err = learn_seq(d, r->session, r->seq, ref);
    if (err == 0 && (r->flags & HF_RECORD_HAS_KEY)) {
        struct hf_carry said = key_said(r);

        err = learn_key(d, &said, ref);
    }
    return err;
}

hf_ref hf_dedupe_last_ref(const struct hf_dedupe *d, uint64_t session)
{
    const struct hf_map_entry *known = hf_map_get(&d->sessions, session);

    return known == NULL ? 0 : known->b;
}

bool hf_dedupe_applied(const struct hf_dedupe *d, const struct hf_log *log, uint64_t session, uint64_t seq,
                       uint64_t *cid, uint64_t *offset)
{
    const struct hf_map_entry *known = hf_map_get(&d->sessions, session);
    hf_ref ref;

    *cid = *offset = 0;
    if (known == NULL || seq > known->a)
        return false;
    /* Back along the session's own records, for the offset; at a carry record the trail ends. */
    for (ref = known->b; ref != 0;) {
        const struct hf_record *r = hf_log_own(log, ref);

        if (r == NULL)
            break;
        if (r->kind == HF_RECORD_CARRY) {
            const struct hf_carry *carry = carries_of(r);

            for (uint32_t i = 0; i < hf_carry_count(r); i++)
                if (!carry[i].is_key && carry[i].session == session && carry[i].seq == seq) {
                    *cid = carry[i].cid;
                    *offset = carry[i].offset;
                }
            break;
        }
        if (r->seq <= seq) {
            if (r->seq == seq) {
                *cid = r->cid;
                *offset = r->offset;
            }
            break;
        }
        ref = r->publisher_prev;
    }
    return true;
}

bool hf_dedupe_expire(struct hf_dedupe *d, uint64_t used_before_ms)
{
    for (uint32_t i = 0; !hf_list_empty(&d->by_age); i++) {
        struct hf_key *oldest = HF_CONTAINER(d->by_age.next, struct hf_key, by_age);

        if (oldest->used_ms >= used_before_ms && d->key_count <= d->keys_max)
            break;
        if (i == HF_DEDUPE_TRIM_MAX)
            return true;
        key_forget(d, oldest);
    }
    return false;
}

/* ---- Recycling ---- */

/* Whether the session may still send this seq again and not find it settled in its own record. */
static bool seq_needed(const struct hf_sessions *sessions, uint64_t session, uint64_t seq)
{
    const struct hf_session *s = hf_sessions_get(sessions, session);

    return s != NULL && seq > atomic_load(&s->last_seq);
}

static bool evict_seq(struct hf_dedupe *d, const struct hf_sessions *sessions, const struct hf_carry *said,
                      hf_ref ref)
{
    const struct hf_map_entry *known = hf_map_get(&d->sessions, said->session);

    if (known == NULL || known->b != ref || known->a != said->seq)
        return false; /* A later record speaks for this session. */
    if (seq_needed(sessions, said->session, said->seq))
        return true;
    hf_map_remove(&d->sessions, said->session);
    return false;
}

static bool evict_key(const struct hf_dedupe *d, const struct hf_carry *said, hf_ref ref)
{
    const struct hf_key *k = key_find(d, said->key);

    return k != NULL && k->ref == ref;
}

uint32_t hf_dedupe_evict(struct hf_dedupe *d, const struct hf_sessions *sessions, const struct hf_record *r,
                         hf_ref ref, struct hf_carry *out, uint32_t cap)
{
    uint32_t count = 0;
    struct hf_carry said[2];
    const struct hf_carry *all = said;
    uint32_t all_count = 0;

    if (r->kind == HF_RECORD_CARRY) {
        all = carries_of(r);
        all_count = hf_carry_count(r);
    } else {
        if (r->flags & HF_RECORD_HAS_SEQ)
            said[all_count++] =
                (struct hf_carry){.session = r->session, .seq = r->seq, .cid = r->cid, .offset = r->offset};
        if (r->flags & HF_RECORD_HAS_KEY)
            said[all_count++] = key_said(r);
    }
    for (uint32_t i = 0; i < all_count; i++) {
        bool carry = all[i].is_key ? evict_key(d, &all[i], ref) : evict_seq(d, sessions, &all[i], ref);

        if (carry && count < cap)
            out[count] = all[i];
        count += carry;
    }
    return count;
}
