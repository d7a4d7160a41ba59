/*
 * presence.c - the channels that this worker follows, and how it finds their members.
 */
#include "server/presence.h"

#include "base/assert.h"
#include "server/presence_state.h"
#include "shm/crash.h"
#include "wire/items.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    FOLLOW_BYTES = sizeof(struct hf_follow) + 48, /* with its place in a map that is half full */
    IDLEST =
        64, /* looked at for one that may give way: those that somebody waits for are not among the idlest for long */
    GROWN_PER_LOOK = 8, /* so many places of a table cost as much as a look at a session */
};

/* ---- Changes ---- */

/* The place that the channel has, or had. */
static const struct hf_channel *place_of(const struct hf_hub *hub, hf_cid cid)
{
    uint32_t shard = hf_cid_shard(cid), place = hf_cid_place(cid);

    if (cid == 0 || shard >= hub->shards || place >= hub->channels[shard].shm->capacity)
        return NULL;
    return &hub->channels[shard].table[place];
}

void hf_presence_changed(struct hf_hub *hub, const struct hf_channel *channel, hf_cid cid, uint64_t session)
{
    if (channel == NULL || atomic_load(&channel->followed) == 0)
        return;
    HF_CRASH_POINT("presence:changed");
    hf_hints_put(hf_region_hints(hub->region, hub->slot), cid, session);
    for (uint32_t word = 0; word < HF_WORKER_WORDS; word++)
        hub->bells[word] |= atomic_load(&channel->interest[word]);
    hub->bells[hub->slot / 64] &= ~(UINT64_C(1) << (hub->slot % 64)); /* We look without one. */
}

void hf_presence_session_changed(struct hf_hub *hub, const struct hf_session *s)
{
    uint64_t number = s->number;
    struct hf_session_sub *cell;
    uint32_t at = 0;

    if (atomic_load(&hub->region->header->followed) == 0)
        return;
    while ((cell = hf_session_sub_next(&hub->sessions, s, &at)) != NULL) {
        hf_cid cid = atomic_load(&cell->cid) & HF_SUB_CID;

        hf_presence_changed(hub, place_of(hub, cid), cid, number);
    }
}

/* ---- The truth ---- */

/* What belongs to this session's number, and to nobody who has had its place since. */
static bool still(const struct hf_session *s, uint64_t number)
{
    enum hf_session_phase phase;

    atomic_thread_fence(memory_order_acquire);
    phase = hf_state_phase(atomic_load(&s->state));
    return s->number == number && (phase == HF_SESSION_LIVE || phase == HF_SESSION_PARKED);
}

static bool has_cell(const struct hf_sessions *t, const struct hf_session *s, hf_cid cid)
{
    struct hf_session_sub *cell;
    uint32_t at = 0;

    while ((cell = hf_session_sub_next(t, s, &at)) != NULL)
        if ((atomic_load(&cell->cid) & HF_SUB_CID) == cid)
            return true;
    return false;
}

/* Whether it is a member; if so, whose it is stands in state->user and state->info. */
static bool is_member(struct hf_hub *hub, uint64_t number, hf_cid cid)
{
    struct hf_presence_state *p = hub->presence;
    const struct hf_session *s = hf_sessions_get(&hub->sessions, number);

    if (s == NULL || !has_cell(&hub->sessions, s, cid))
        return false;
    if (hf_session_identity(&hub->sessions, s, &p->user, &p->info) <
        0) { /* Nobody's, as far as can be known. */
        hf_buf_reset(&p->user);
        hf_buf_reset(&p->info);
    }
    return still(s, number);
}

/* ---- Members ---- */

const char *hf_presence_refusal(int err)
{
    return err == HF_ELIMIT ? "the channel has more members than the server follows"
                            : "the server follows as many members of channels as it may";
}

/* It has too many members: they are forgotten, and it is looked at again when nobody has asked for a while. */
static void refuse(struct hf_presence_state *p, struct hf_follow *f, int err)
{
    p->bytes -= f->members.bytes;
    hf_presence_release(&f->members);
    f->refused = err;
    hf_list_del(&f->ending);
    hf_presence_end_watch(f);
}

/*
 * is_member() has said so. hinted: it has come since we follow the channel; else it was found in a look, and in the first one nobody has been told of anybody yet.
 */
static void found(struct hf_hub *hub, struct hf_follow *f, uint64_t session, bool hinted)
{
    struct hf_presence_state *p = hub->presence;
    size_t before = f->members.bytes, cap = f->members.index.cap;
    struct hf_presence_member *m;
    int err = hf_presence_put(&f->members, session, hf_buf_str(&p->user), hf_buf_str(&p->info), &m);

    p->bytes += f->members.bytes - before;
    p->grown += f->members.index.cap != cap ? f->members.index.cap : 0;
    if (err >= 0 && p->bytes > HF_PRESENCE_BYTES_MAX)
        err = HF_ENOMEM;
    if (err < 0) {
        refuse(p, f, err);
        return;
    }
    hf_presence_see(&f->members, m);
    if (err == 1 && (hinted || f->whole))
        hf_presence_tell(hub, f, m, true);
}

static void gone(struct hf_hub *hub, struct hf_follow *f, uint64_t session)
{
    size_t before = f->members.bytes;
    struct hf_presence_member *m = hf_presence_take(&f->members, session);

    hub->presence->bytes += f->members.bytes - before;
    if (m != NULL)
        hf_presence_tell(hub, f, m, false);
    free(m);
}

static void look_at(struct hf_hub *hub, struct hf_follow *f, uint64_t session)
{
    if (f->refused != 0)
        return;
    if (is_member(hub, session, f->cid))
        found(hub, f, session, true);
    else
        gone(hub, f, session);
}

/* ---- Looks through the table ---- */

/* Whether a look has still to find its members. */
static bool is_looked_for(const struct hf_presence_state *p, const struct hf_follow *f)
{
    return f->refused == 0 && f->needs > p->looks;
}

static bool is_right(const struct hf_presence_state *p, const struct hf_follow *f)
{
    return f->needs <= p->looks && hf_list_empty(&f->ending);
}

/* What we have may be wrong: a whole look from now on. One that is under way has passed some. */
static void look_anew(struct hf_presence_state *p, struct hf_follow *f)
{
    f->needs = p->looks + 1 + (p->looking && p->look_at > 0);
    p->looking = true;
    hf_list_del(&f->ending);
    hf_presence_look_begin(&f->members);
}

/* All that there are have been seen: those who were not are to go. */
static void begin_end(struct hf_presence_state *p, struct hf_follow *f)
{
    hf_presence_unseen_begin(&f->members);
    hf_list_add_tail(&p->ending, &f->ending);
}

static void end_look(struct hf_presence_state *p)
{
    p->looks++;
    p->looking = false;
    p->look_at = 0;
    for (size_t i = 0; i < p->follows.cap; i++) {
        struct hf_follow *f = (struct hf_follow *)(uintptr_t)p->follows.table[i].a;

        if (p->follows.table[i].key == 0)
            continue;
        if (f->refused == 0 && f->needs == p->looks)
            begin_end(p, f);
        p->looking = p->looking || is_looked_for(p, f);
    }
}

/* A turn's share of the ends of looks. */
static void end_on(struct hf_hub *hub)
{
    struct hf_presence_state *p = hub->presence;
    uint32_t steps = HF_PRESENCE_END;

    while (steps > 0 && !hf_list_empty(&p->ending)) {
        struct hf_follow *f = HF_CONTAINER(p->ending.next, struct hf_follow, ending);
        const struct hf_presence_member *m = hf_presence_unseen(&f->members, &steps);

        if (m != NULL && !is_member(hub, m->session, f->cid))
            gone(hub, f, m->session);
        if (m != NULL || steps == 0)
            continue;
        f->whole = true;
        hf_list_del(&f->ending);
    }
}

/* A session of the table: is it in a channel that we look for? */
static void look_at_session(struct hf_hub *hub, const struct hf_session *s)
{
    struct hf_presence_state *p = hub->presence;
    uint64_t number = s->number;
    struct hf_session_sub *cell;
    uint32_t at = 0;

    while ((cell = hf_session_sub_next(&hub->sessions, s, &at)) != NULL) {
        hf_cid cid = atomic_load_explicit(&cell->cid, memory_order_relaxed) & HF_SUB_CID;
        struct hf_follow *f = cid == 0 ? NULL : hf_map_ptr(&p->follows, cid);

        if (f != NULL && is_looked_for(p, f) && is_member(hub, number, cid))
            found(hub, f, number, false);
    }
}

/* Channels that grow alike outgrow their tables together: what that takes is part of the turn's share. */
static void look_on(struct hf_hub *hub)
{
    struct hf_presence_state *p = hub->presence;

    p->grown = 0;
    for (size_t looked = 0; p->looking && looked + p->grown / GROWN_PER_LOOK < HF_PRESENCE_LOOK; looked++) {
        const struct hf_session *s = hf_sessions_next(&hub->sessions, &p->look_at);

        if (s == NULL)
            end_look(p);
        else
            look_at_session(hub, s);
    }
}

/* ---- Hints ---- */

static void look_anew_at_all(struct hf_presence_state *p)
{
    for (size_t i = 0; i < p->follows.cap; i++)
        if (p->follows.table[i].key != 0)
            look_anew(p, (struct hf_follow *)(uintptr_t)p->follows.table[i].a);
}

/* The last process in that slot may have died behind a change and before its hint. */
static void notice_start(struct hf_hub *hub, uint32_t slot)
{
    struct hf_presence_state *p = hub->presence;
    uint32_t starts = atomic_load(&hub->region->slots[slot].starts);

    if (p->feeds[slot].starts == starts)
        return;
    p->feeds[slot].starts = starts;
    look_anew_at_all(p);
}

/* Returns whether all of that worker's hints are read. */
static bool read_hints(struct hf_hub *hub, uint32_t slot)
{
    struct hf_presence_state *p = hub->presence;
    const struct hf_hints *hints = hf_region_hints(hub->region, slot);
    uint64_t session;
    hf_cid cid;
    int got = 0;

    notice_start(hub, slot);
    for (int n = 0; n < HF_PRESENCE_HINTS; n++) {
        struct hf_follow *f;

        got = hf_hints_read(hints, &p->feeds[slot].next, &cid, &session);
        if (got == 0)
            return true;
        if (got < 0) {
            look_anew_at_all(p);
            continue;
        }
        f = cid == 0 ? NULL : hf_map_ptr(&p->follows, cid);
        if (f != NULL)
            look_at(hub, f, session);
    }
    return false;
}

static bool read_all_hints(struct hf_hub *hub)
{
    bool all = true;

    for (uint32_t slot = 0; slot < hub->workers; slot++)
        all = read_hints(hub, slot) && all;
    return all;
}

/* Only what comes from now on concerns us. */
static void begin_hints(struct hf_hub *hub)
{
    for (uint32_t slot = 0; slot < hub->workers; slot++) {
        hub->presence->feeds[slot].starts = atomic_load(&hub->region->slots[slot].starts);
        hub->presence->feeds[slot].next = atomic_load(&hf_region_hints(hub->region, slot)->head);
    }
}

/* ---- Follows ---- */

static struct hf_presence_state *state_new(const struct hf_hub *hub)
{
    struct hf_presence_state *p = calloc(1, sizeof(*p));

    if (p != NULL)
        p->feeds = calloc(hub->workers, sizeof(*p->feeds));
    if (p == NULL || p->feeds == NULL) {
        free(p);
        return NULL;
    }
    hf_map_init(&p->follows);
    hf_list_init(&p->idle);
    hf_list_init(&p->telling);
    hf_list_init(&p->ending);
    hf_list_init(&p->questions);
    hf_map_init(&p->asking);
    hf_buf_init(&p->user, HF_USER_BYTES_MAX);
    hf_buf_init(&p->info, HF_INFO_BYTES_MAX);
    return p;
}

static void follow_free(struct hf_presence_state *p, struct hf_follow *f)
{
    p->bytes -= f->members.bytes + FOLLOW_BYTES;
    hf_presence_release(&f->members);
    hf_presence_free_watch(p, f);
    hf_list_del(&f->idle);
    hf_list_del(&f->ending);
    free(f);
}

static void unfollow(struct hf_presence_state *p, struct hf_follow *f)
{
    hf_map_remove(&p->follows, f->cid);
    follow_free(p, f);
}

/* The one that nobody has asked about for the longest time; NULL: all are watched. */
static struct hf_follow *idlest(const struct hf_presence_state *p)
{
    return hf_list_empty(&p->idle) ? NULL : HF_CONTAINER(p->idle.next, struct hf_follow, idle);
}

/* The idlest that may give way: not one whose members are being looked for, or two that wait would take each other's room and begin anew for ever. NULL: there is none. */
static struct hf_follow *dispensable(const struct hf_presence_state *p)
{
    struct hf_list *node = p->idle.next;

    for (int looked = 0; node != &p->idle && looked < IDLEST; looked++, node = node->next) {
        struct hf_follow *f = HF_CONTAINER(node, struct hf_follow, idle);

        if (f->refused != 0 || is_right(p, f))
            return f;
    }
    return NULL;
}

bool hf_presence_room(struct hf_hub *hub, size_t bytes)
{
    struct hf_presence_state *p = hub->presence;
    struct hf_follow *f;

    while (p->bytes + bytes > HF_PRESENCE_BYTES_MAX && (f = dispensable(p)) != NULL)
        unfollow(p, f);
    return p->bytes + bytes <= HF_PRESENCE_BYTES_MAX;
}

static void forget_idle(struct hf_hub *hub)
{
    struct hf_follow *f;

    while ((f = idlest(hub->presence)) != NULL && f->asked_ms + HF_PRESENCE_IDLE_MS <= hub->now.mono_ms)
        unfollow(hub->presence, f);
}

static struct hf_follow *follow_new(struct hf_hub *hub, hf_cid cid)
{
    struct hf_presence_state *p = hub->presence;
    struct hf_channel *channel = (struct hf_channel *)(uintptr_t)place_of(hub, cid);
    struct hf_follow *f = hf_presence_room(hub, FOLLOW_BYTES) ? calloc(1, sizeof(*f)) : NULL;

    if (f == NULL || hf_map_put(&p->follows, cid, (uintptr_t)f, 0) < 0) {
        free(f);
        return NULL;
    }
    if (p->follows.count == 1)
        begin_hints(hub);
    p->bytes += FOLLOW_BYTES;
    f->cid = cid;
    hf_presence_init(&f->members, HF_PRESENCE_MEMBERS_MAX);
    hf_map_init(&f->places);
    hf_list_init(&f->telling);
    hf_list_init(&f->ending);
    hf_list_init(&f->idle);
    hf_list_add_tail(&p->idle, &f->idle);
    atomic_store(&hub->region->header->followed, 1);
    atomic_store(&channel->followed, 1); /* From here on its changes are told: look at the table behind it. */
    look_anew(p, f);
    return f;
}

int hf_presence_follow(struct hf_hub *hub, hf_cid cid, struct hf_follow **out)
{
    struct hf_follow *f;

    hf_assert(place_of(hub, cid) != NULL);
    if (hub->presence == NULL)
        hub->presence = state_new(hub);
    if (hub->presence == NULL)
        return HF_ENOMEM;
    f = hf_map_ptr(&hub->presence->follows, cid);
    if (f == NULL && hub->presence->follows.count >= HF_PRESENCE_FOLLOWS_MAX &&
        dispensable(hub->presence) != NULL)
        unfollow(hub->presence, dispensable(hub->presence));
    if (f == NULL)
        f = follow_new(hub, cid);
    if (f == NULL)
        return HF_ENOMEM;
    f->asked_ms = hub->now.mono_ms;
    if (f->watcher_count == 0) {
        hf_list_del(&f->idle);
        hf_list_add_tail(&hub->presence->idle, &f->idle);
    }
    *out = f;
    return 0;
}

void hf_presence_put_member(struct hf_buf *out, enum hf_encoding encoding, const struct hf_presence_member *m)
{
    char session[17];
    struct hf_items_member item = {.user = hf_presence_user(m), .info = hf_presence_info(m)};

    snprintf(session, sizeof(session), "%016llx", (unsigned long long)m->session);
    item.session = hf_str_from(session);
    hf_items_put_member(out, encoding, &item);
}

int hf_presence_members(struct hf_hub *hub, hf_cid cid, enum hf_presence_asker asker,
                        const struct hf_presence **members)
{
    struct hf_follow *f;
    int err = hf_presence_follow(hub, cid, &f);

    if (err < 0)
        return err;
    if (!read_all_hints(hub))
        return HF_EAGAIN;
    if (f->refused != 0)
        return f->refused;
    if (!is_right(hub->presence, f) || hub->presence->listed[asker] >= HF_PRESENCE_LISTED)
        return HF_EAGAIN;
    hub->presence->listed[asker] += f->members.count;
    *members = &f->members;
    return 0;
}

/* ---- The hub's ---- */

uint32_t hf_presence_followed(const struct hf_hub *hub)
{
    return hub->presence == NULL ? 0 : (uint32_t)hub->presence->follows.count;
}

void hf_presence_turn(struct hf_hub *hub)
{
    struct hf_presence_state *p = hub->presence;

    if (p == NULL)
        return;
    p->listed[HF_PRESENCE_CLIENT] = p->listed[HF_PRESENCE_BACKEND] = 0;
    if (p->follows.count > 0) {
        (void)read_all_hints(hub);
        look_on(hub);
        end_on(hub);
        hf_presence_rounds(hub);
        forget_idle(hub);
    }
    hf_presence_answer(hub);
}

uint64_t hf_presence_deadline_ms(const struct hf_hub *hub)
{
    const struct hf_presence_state *p = hub->presence;
    uint64_t rounds_ms, answers_ms;

    if (p == NULL)
        return UINT64_MAX;
    answers_ms = hf_presence_answer_ms(hub);
    if (p->follows.count == 0)
        return answers_ms;
    if (p->looking || !hf_list_empty(&p->ending) ||
        p->feeds[hub->slot].next != atomic_load(&hf_region_hints(hub->region, hub->slot)->head))
        return hub->now.mono_ms;
    rounds_ms = hf_presence_round_ms(hub);
    return rounds_ms < answers_ms ? rounds_ms : answers_ms;
}

void hf_presence_free(struct hf_hub *hub)
{
    struct hf_presence_state *p = hub->presence;

    if (p == NULL)
        return;
    for (size_t i = 0; i < p->follows.cap; i++)
        if (p->follows.table[i].key != 0)
            follow_free(p, (struct hf_follow *)(uintptr_t)p->follows.table[i].a);
    hf_map_release(&p->follows);
    hf_presence_free_questions(p);
    hf_buf_release(&p->user);
    hf_buf_release(&p->info);
    free(p->feeds);
    free(p);
    hub->presence = NULL;
}
