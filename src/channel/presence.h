/*
 * presence.h - the members of one channel, as somebody has found them: sessions with their user and info.
 *
 * It knows nothing of where they are found. Who looks through all sessions anew calls hf_presence_look_begin(), puts and sees each member that he finds, and takes away what
 * hf_presence_unseen() gives, if it is none any more. All but that and hf_presence_page() costs the same however many there are.
 * Invariant: index maps the session of list[i] to i, for all i below count; unseen_at is at most count.
 */
#ifndef HF_CHANNEL_PRESENCE_H
#define HF_CHANNEL_PRESENCE_H

#include "base/err.h"
#include "base/map.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One member. Heap; never changed but for its mark. */
struct hf_presence_member {
    uint64_t session;
    uint32_t user_len, info_len;
    uint32_t look; /* the last one in which it was seen: struct hf_presence.look */
    char text[];
};

static inline struct hf_str hf_presence_user(const struct hf_presence_member *m)
{
    return (struct hf_str){m->text, m->user_len};
}

/* A raw JSON value; data NULL: none. */
static inline struct hf_str hf_presence_info(const struct hf_presence_member *m)
{
    return (struct hf_str){m->info_len == 0 ? NULL : m->text + m->user_len, m->info_len};
}

struct hf_presence {
    struct hf_map index;
    struct hf_presence_member **list; /* in no order */
    uint32_t count, cap, count_max;
    size_t bytes;       /* about what it takes on the heap */
    uint32_t look;      /* goes up by one with each that begins */
    uint32_t unseen_at; /* where the walk through the unseen goes on */
};

void hf_presence_init(struct hf_presence *p, uint32_t count_max);
/* Empty and without memory; it may be used on. */
void hf_presence_release(struct hf_presence *p);

/* NULL: no member. Good until the next put or remove of this session. */
struct hf_presence_member *hf_presence_get(const struct hf_presence *p, uint64_t session);
/*
 * A member was found. Returns 1 with *out where it is new, and then not seen; 0 where it was there already: *out has the user and info given now, and the mark it had;
 * HF_ELIMIT beyond count_max, HF_ENOMEM: nothing has changed.
 */
int hf_presence_put(struct hf_presence *p, uint64_t session, struct hf_str user, struct hf_str info,
                    struct hf_presence_member **out) HF_MUST_CHECK;
/* Take it out: the caller frees it. NULL: it was none. */
struct hf_presence_member *hf_presence_take(struct hf_presence *p, uint64_t session);

/* Nobody is seen. */
void hf_presence_look_begin(struct hf_presence *p);
/* This member is. */
static inline void hf_presence_see(const struct hf_presence *p, struct hf_presence_member *m)
{
    m->look = p->look;
}
/*
 * The end of a look: the next one that is not seen. It is then seen, so that each comes once; it, and others, may be put and taken out before the next call. Begin with
 * hf_presence_unseen_begin(). At most *steps members are looked at, which are taken off it. NULL with *steps above 0: there are no more.
 */
void hf_presence_unseen_begin(struct hf_presence *p);
struct hf_presence_member *hf_presence_unseen(struct hf_presence *p, uint32_t *steps);

/*
 * A page of the members by their sessions' numbers, ascending: those above `after`, at most cap, into out[]. Returns how many. O(count).
 */
uint32_t hf_presence_page(const struct hf_presence *p, uint64_t after, const struct hf_presence_member **out,
                          uint32_t cap);

#endif
