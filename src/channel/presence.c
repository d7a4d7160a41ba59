#include "channel/presence.h"

#include "base/assert.h"

#include <stdlib.h>
#include <string.h>

enum { LIST_FIRST = 8, MAP_ENTRY_BYTES = 48 /* of a map that is half full */ };

void hf_presence_init(struct hf_presence *p, uint32_t count_max)
{
    *p = (struct hf_presence){.count_max = count_max};
    hf_map_init(&p->index);
}

void hf_presence_release(struct hf_presence *p)
{
    for (uint32_t i = 0; i < p->count; i++)
        free(p->list[i]);
    free(p->list);
    hf_map_release(&p->index);
    hf_presence_init(p, p->count_max);
}

struct hf_presence_member *hf_presence_get(const struct hf_presence *p, uint64_t session)
{
    const struct hf_map_entry *e = hf_map_get(&p->index, session);

    return e == NULL ? NULL : p->list[e->a];
}

static size_t bytes_of(const struct hf_presence_member *m)
{
    return sizeof(*m) + m->user_len + m->info_len + sizeof(m) + MAP_ENTRY_BYTES;
}

static struct hf_presence_member *member_new(uint64_t session, struct hf_str user, struct hf_str info)
{
    struct hf_presence_member *m = malloc(sizeof(*m) + user.len + info.len);

    if (m == NULL)
        return NULL;
    *m = (struct hf_presence_member){
        .session = session, .user_len = (uint32_t)user.len, .info_len = (uint32_t)info.len};
    if (user.len > 0)
        memcpy(m->text, user.data, user.len);
    if (info.len > 0)
        memcpy(m->text + user.len, info.data, info.len);
    return m;
}

/* Returns 0 or HF_ENOMEM. */
static int append(struct hf_presence *p, struct hf_presence_member *m)
{
    if (p->count == p->cap) {
        uint32_t cap = p->cap == 0 ? LIST_FIRST : p->cap * 2;
        struct hf_presence_member **more = realloc(p->list, cap * sizeof(struct hf_presence_member *));

        if (more == NULL)
            return HF_ENOMEM;
        p->list = more;
        p->cap = cap;
    }
    if (hf_map_put(&p->index, m->session, p->count, 0) < 0)
        return HF_ENOMEM;
    p->list[p->count++] = m;
    p->bytes += bytes_of(m);
    return 0;
}

static bool same(const struct hf_presence_member *m, struct hf_str user, struct hf_str info)
{
    return hf_str_eq(hf_presence_user(m), user) && m->info_len == info.len &&
           (info.len == 0 || memcmp(m->text + m->user_len, info.data, info.len) == 0);
}

/* Its user or info have changed: another one in its place, with the same mark. */
static int replace(struct hf_presence *p, struct hf_presence_member **place, struct hf_str user,
                   struct hf_str info)
{
    struct hf_presence_member *m = member_new((*place)->session, user, info);

    if (m == NULL)
        return HF_ENOMEM;
    m->look = (*place)->look;
    p->bytes += bytes_of(m) - bytes_of(*place);
    free(*place);
    *place = m;
    return 0;
}

int hf_presence_put(struct hf_presence *p, uint64_t session, struct hf_str user, struct hf_str info,
                    struct hf_presence_member **out)
{
    const struct hf_map_entry *e = hf_map_get(&p->index, session);
    struct hf_presence_member *m;

    if (e != NULL) {
        uint64_t place = e->a;
        int err = same(p->list[place], user, info) ? 0 : replace(p, &p->list[place], user, info);

        *out = p->list[place];
        return err;
    }
    if (p->count >= p->count_max)
        return HF_ELIMIT;
    m = member_new(session, user, info);
    if (m == NULL || append(p, m) < 0) {
        free(m);
        return HF_ENOMEM;
    }
    m->look = p->look - 1;
    *out = m;
    return 1;
}

static void move(struct hf_presence *p, uint32_t from, uint32_t to)
{
    p->list[to] = p->list[from];
    hf_map_get(&p->index, p->list[to]->session)->a = to;
}

struct hf_presence_member *hf_presence_take(struct hf_presence *p, uint64_t session)
{
    const struct hf_map_entry *e = hf_map_get(&p->index, session);
    struct hf_presence_member *m;
    uint32_t place;

    if (e == NULL)
        return NULL;
    place = (uint32_t)e->a;
    m = p->list[place];
    hf_map_remove(&p->index, session);
    if (place < p->unseen_at) { /* What the walk has not come to must not get behind it. */
        p->unseen_at--;
        if (place != p->unseen_at)
            move(p, p->unseen_at, place);
        place = p->unseen_at;
    }
    p->count--;
    if (place != p->count)
        move(p, p->count, place);
    p->bytes -= bytes_of(m);
    return m;
}

/* ---- Looking anew ---- */

void hf_presence_look_begin(struct hf_presence *p)
{
    p->look++;
}

void hf_presence_unseen_begin(struct hf_presence *p)
{
    p->unseen_at = 0;
}

struct hf_presence_member *hf_presence_unseen(struct hf_presence *p, uint32_t *steps)
{
    for (; p->unseen_at<p->count && * steps> 0; --*steps) {
        struct hf_presence_member *m = p->list[p->unseen_at++];

        if (m->look != p->look) {
            --*steps;
            hf_presence_see(p, m);
            return m;
        }
    }
    return NULL;
}

/* ---- Pages ---- */

static int by_session(const void *a, const void *b)
{
    const struct hf_presence_member *x = *(const struct hf_presence_member *const *)a,
                                    *y = *(const struct hf_presence_member *const *)b;

    return (x->session > y->session) - (x->session < y->session);
}

/* Restore the heap's order below place i; the largest session is at its top. */
static void sift_down(const struct hf_presence_member **heap, uint32_t count, uint32_t i)
{
    for (;;) {
        uint32_t largest = i, left = 2 * i + 1, right = 2 * i + 2;
        const struct hf_presence_member *m = heap[i];

        if (left < count && heap[left]->session > heap[largest]->session)
            largest = left;
        if (right < count && heap[right]->session > heap[largest]->session)
            largest = right;
        if (largest == i)
            return;
        heap[i] = heap[largest];
        heap[largest] = m;
        i = largest;
    }
}

/* The smallest ones, in a heap of those that are kept: the largest of them goes when a smaller one comes. */
uint32_t hf_presence_page(const struct hf_presence *p, uint64_t after, const struct hf_presence_member **out,
                          uint32_t cap)
{
    uint32_t count = 0;

    hf_assert(cap > 0);
    for (uint32_t i = 0; i < p->count; i++) {
        const struct hf_presence_member *m = p->list[i];

        if (m->session <= after)
            continue;
        if (count < cap) {
            out[count++] = m;
            if (count == cap)
                for (uint32_t at = cap / 2; at-- > 0;)
                    sift_down(out, cap, at);
        } else if (m->session < out[0]->session) {
            out[0] = m;
            sift_down(out, cap, 0);
        }
    }
    qsort(out, count, sizeof(struct hf_presence_member *), by_session);
    return count;
}
