/*
 * presence_watch.c - telling subscribers who has come and who has gone.
 *
 * A round goes through the watchers of a channel and gives each the events from its place on. A connection whose socket or output is full is passed over: the next round comes by there
 * again. Between two rounds events gather, so that a crowd that comes together costs each watcher one write.
 */
#include "server/presence_state.h"

#include "wire/binary.h"
#include "wire/json.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    WATCHERS_FIRST = 4,
    EVENT_BYTES_MAX = 64 << 10, /* one message: a name, a user, an info of a kilobyte, each byte escaped */
    EVENTS_BYTES = HF_PRESENCE_EVENTS * sizeof(struct hf_presence_event),
    WATCHER_BYTES = sizeof(struct hf_presence_watcher) + 48, /* with its place in a map that is half full */
};

/* ---- Events ---- */

static void event_clear(struct hf_presence_state *p, struct hf_presence_event *e)
{
    for (int encoding = 0; encoding < 2; encoding++) {
        p->bytes -= e->message[encoding].len;
        hf_buf_release(&e->message[encoding]);
    }
}

static void event_make(const struct hf_hub *hub, const struct hf_follow *f, struct hf_presence_event *e,
                       const struct hf_presence_member *member, bool joined)
{
    char session[17];
    struct hf_str info = hf_presence_info(member);
    struct hf_msg m = {.type = joined ? HF_MSG_JOIN : HF_MSG_LEAVE,
                       .has = HF_HAS_CHANNEL | (info.data != NULL ? HF_HAS_INFO : 0),
                       .channel = hf_topic_name(hf_topic_of(hub, f->cid)),
                       .cid = hf_cid_to_wire(f->cid),
                       .user = hf_presence_user(member),
                       .info = info};

    snprintf(session, sizeof(session), "%016llx", (unsigned long long)member->session);
    m.session = hf_str_from(session);
    e->session = member->session;
    for (int encoding = 0; encoding < 2; encoding++)
        hf_buf_init(&e->message[encoding], EVENT_BYTES_MAX);
    (void)hf_json_encode(&e->message[HF_ENCODING_JSON], &m);
    (void)hf_binary_encode(&e->message[HF_ENCODING_BINARY], &m);
    hub->presence->bytes += e->message[0].len + e->message[1].len;
    if (hub->presence->bytes <= HF_PRESENCE_BYTES_MAX)
        return;
    event_clear(hub->presence, e); /* As without memory. */
    e->message[0].failed = true;
}

static void to_be_told(struct hf_presence_state *p, struct hf_follow *f)
{
    if (hf_list_empty(&f->telling))
        hf_list_add_tail(&p->telling, &f->telling);
}

void hf_presence_tell(struct hf_hub *hub, struct hf_follow *f, const struct hf_presence_member *m,
                      bool joined)
{
    struct hf_presence_event *e;

    if (f->watcher_count == 0)
        return;
    e = &f->events[++f->newest % HF_PRESENCE_EVENTS];
    event_clear(hub->presence, e);
    event_make(hub, f, e, m, joined);
    to_be_told(hub->presence, f);
}

/* ---- Watchers ---- */

/* Events that were left out, or will not come any more. `error` with `re` "presence" and no `id`: docs/protocol.md. */
static void complain(struct hf_sub *s, enum hf_code code, const char *reason)
{
    hf_send_error(
        s->conn,
        &(struct hf_msg){.type = HF_MSG_PRESENCE, .has = HF_HAS_CHANNEL, .channel = hf_topic_name(s->topic)},
        code, reason);
}

static int watchers_grow(struct hf_hub *hub, struct hf_follow *f)
{
    uint32_t cap = f->watcher_cap == 0 ? WATCHERS_FIRST : f->watcher_cap * 2;
    struct hf_presence_watcher *more;

    if (!hf_presence_room(hub, WATCHER_BYTES + (f->events == NULL ? EVENTS_BYTES : 0)))
        return HF_ENOMEM;
    if (f->events == NULL) {
        f->events = calloc(HF_PRESENCE_EVENTS, sizeof(*f->events));
        hub->presence->bytes += f->events == NULL ? 0 : EVENTS_BYTES;
    }
    if (f->events == NULL)
        return HF_ENOMEM;
    if (f->watcher_count < f->watcher_cap)
        return 0;
    more = realloc(f->watchers, cap * sizeof(*more));
    if (more == NULL)
        return HF_ENOMEM;
    f->watchers = more;
    f->watcher_cap = cap;
    return 0;
}

/* It has no watcher: it may give way, and what watchers needed is free. */
static void be_idle(struct hf_presence_state *p, struct hf_follow *f)
{
    for (int i = 0; f->events != NULL && i < HF_PRESENCE_EVENTS; i++)
        event_clear(p, &f->events[i]);
    p->bytes -= f->events == NULL ? 0 : EVENTS_BYTES;
    free(f->events);
    f->events = NULL;
    hf_list_del(&f->idle);
    hf_list_add_tail(&p->idle, &f->idle);
}

/* Returns 0, or why it cannot be. */
static int begin_watch(struct hf_sub *s)
{
    struct hf_hub *hub = s->conn->hub;
    struct hf_follow *f;
    int err = hf_presence_follow(hub, s->topic->cid, &f);

    if (err == 0)
        err = f->refused;
    if (err < 0)
        return err;
    hf_list_del(&f->idle); /* It must not give way to itself. */
    if (watchers_grow(hub, f) < 0 || hf_map_put(&f->places, (uintptr_t)s, f->watcher_count, 0) < 0) {
        if (f->watcher_count == 0)
            be_idle(hub->presence, f);
        return HF_ENOMEM;
    }
    f->watchers[f->watcher_count++] = (struct hf_presence_watcher){s, f->newest + 1};
    hub->presence->bytes += WATCHER_BYTES;
    s->watches = true;
    return 0;
}

static void complain_of(struct hf_sub *s, int err)
{
    complain(s, err == HF_ELIMIT ? HF_CODE_LIMIT : HF_CODE_OVERLOADED, hf_presence_refusal(err));
}

void hf_presence_watch(struct hf_sub *s)
{
    int err = s->watches ? 0 : begin_watch(s);

    if (err < 0)
        complain_of(s, err);
}

/* Nobody watches any more: what there is to tell is told to nobody. */
static void watch_ended(struct hf_hub *hub, struct hf_follow *f)
{
    hf_list_del(&f->telling);
    f->left = 0;
    f->behind = false;
    f->asked_ms = hub->now.mono_ms;
    be_idle(hub->presence, f);
}

void hf_presence_unwatch(struct hf_sub *s)
{
    struct hf_hub *hub = s->conn->hub;
    struct hf_follow *f;
    uint32_t place;

    if (!s->watches)
        return;
    s->watches = false;
    f = hf_map_ptr(&hub->presence->follows, s->topic->cid);
    place = (uint32_t)hf_map_get(&f->places, (uintptr_t)s)->a;
    hf_map_remove(&f->places, (uintptr_t)s);
    f->watchers[place] = f->watchers[--f->watcher_count];
    hub->presence->bytes -= WATCHER_BYTES;
    if (place < f->watcher_count) {
        hf_map_get(&f->places, (uintptr_t)f->watchers[place].sub)->a = place;
        f->behind = f->behind || place < f->at; /* The round may have passed that place. */
    }
    if (f->watcher_count == 0)
        watch_ended(hub, f);
}

void hf_presence_end_watch(struct hf_follow *f)
{
    while (f->watcher_count > 0) {
        struct hf_sub *s = f->watchers[f->watcher_count - 1].sub;

        hf_presence_unwatch(s);
        complain_of(s, f->refused);
    }
}

void hf_presence_forbid(struct hf_sub *s)
{
    hf_presence_unwatch(s);
    atomic_fetch_and(&s->cell->cid, ~HF_SUB_PRESENCE);
    hf_rules_count_refusal(s->conn->hub, HF_RIGHT_PRESENCE);
    complain(s, HF_CODE_FORBIDDEN, hf_rules_reason(HF_RIGHT_PRESENCE));
}

void hf_presence_caught_up(struct hf_sub *s)
{
    struct hf_follow *f;

    if (!s->watches)
        return;
    f = hf_map_ptr(&s->conn->hub->presence->follows, s->topic->cid);
    f->watchers[hf_map_get(&f->places, (uintptr_t)s)->a].next = f->newest + 1;
}

void hf_presence_free_watch(struct hf_presence_state *p, struct hf_follow *f)
{
    for (int i = 0; f->events != NULL && i < HF_PRESENCE_EVENTS; i++)
        event_clear(p, &f->events[i]);
    p->bytes -= (f->events == NULL ? 0 : EVENTS_BYTES) + (size_t)f->watcher_count * WATCHER_BYTES;
    free(f->events);
    free(f->watchers);
    hf_map_release(&f->places);
    hf_list_del(&f->telling);
}

/* ---- Rounds ---- */

/* Whether all events from w->next on are still there. */
static bool has_all(const struct hf_follow *f, const struct hf_presence_watcher *w)
{
    if (f->newest - w->next >= HF_PRESENCE_EVENTS)
        return false;
    for (uint64_t n = w->next; n <= f->newest; n++)
        if (f->events[n % HF_PRESENCE_EVENTS].message[0].failed ||
            f->events[n % HF_PRESENCE_EVENTS].message[1].failed)
            return false;
    return true;
}

static void send_events(const struct hf_follow *f, struct hf_conn *c, uint64_t from)
{
    for (uint64_t n = from; n <= f->newest && c->phase == HF_CONN_OPEN; n++) {
        const struct hf_presence_event *e = &f->events[n % HF_PRESENCE_EVENTS];

        /* "never about themselves" */
        if (c->session != NULL && e->session != c->session->number)
            hf_conn_send_encoded(c, hf_buf_str(&e->message[hf_conn_encoding(c)]));
    }
}

/* Returns whether it has all now. The connection may have ended in the end, and the watcher gone. */
static bool tell_watcher(struct hf_follow *f, struct hf_presence_watcher *w)
{
    struct hf_sub *s = w->sub;
    uint64_t from = w->next;

    if (from > f->newest)
        return true;
    if (s->conn->blocked || s->conn->out.len >= HF_OUT_SOFT_BYTES)
        return false;
    w->next = f->newest + 1;
    if (has_all(f, &(struct hf_presence_watcher){s, from})) {
        send_events(f, s->conn, from);
        return true;
    }
    hf_count(s->conn->hub->counters, HF_COUNT_PRESENCE_MISSED, 1);
    complain(s, HF_CODE_OVERLOADED, "joins and leaves were left out: ask for presence again");
    return true;
}

/* Go on with the round, for at most `most` watchers; returns how many it were. */
static uint32_t round_on(struct hf_follow *f, uint32_t most)
{
    uint32_t told = 0;

    while (f->left > 0 && f->at < f->watcher_count && told < most) {
        const struct hf_sub *s = f->watchers[f->at].sub;

        f->left--;
        told++;
        if (!tell_watcher(f, &f->watchers[f->at]))
            f->behind = true;
        if (f->watcher_count > 0 && f->at < f->watcher_count && f->watchers[f->at].sub == s)
            f->at++; /* Else another one has its place. */
    }
    return told;
}

static bool round_over(const struct hf_follow *f)
{
    return f->left == 0 || f->at >= f->watcher_count;
}

static void round_begin(struct hf_hub *hub, struct hf_follow *f)
{
    f->at = 0;
    f->left = f->watcher_count;
    f->behind = false;
    f->round_ms = hub->now.mono_ms + HF_PRESENCE_ROUND_MS + f->watcher_count / HF_PRESENCE_ROUND_WATCHERS;
}

/* Whether somebody is still to be told something. */
static bool is_due(const struct hf_follow *f, uint64_t told_up_to)
{
    return f->behind || f->newest > told_up_to;
}

void hf_presence_rounds(struct hf_hub *hub)
{
    struct hf_presence_state *p = hub->presence;
    struct hf_list now;
    uint32_t left = HF_PRESENCE_TELL;

    hf_list_init(&now);
    hf_list_splice(&now, &p->telling);
    while (!hf_list_empty(&now)) {
        struct hf_follow *f = HF_CONTAINER(now.next, struct hf_follow, telling);

        hf_list_del(&f->telling);
        hf_list_add_tail(&p->telling, &f->telling);
        if (round_over(f) && (left == 0 || f->round_ms > hub->now.mono_ms))
            continue;
        if (round_over(f)) {
            round_begin(hub, f);
            f->round_newest = f->newest;
        }
        left -= round_on(f, left);
        if (round_over(f) && f->watcher_count > 0 && !is_due(f, f->round_newest))
            hf_list_del(&f->telling);
    }
}

uint64_t hf_presence_round_ms(const struct hf_hub *hub)
{
    const struct hf_presence_state *p = hub->presence;
    uint64_t at = UINT64_MAX;

    for (const struct hf_list *node = p->telling.next; node != &p->telling; node = node->next) {
        const struct hf_follow *f =
            (const struct hf_follow *)(const void *)((const char *)node -
                                                     offsetof(struct hf_follow, telling));
        uint64_t theirs = round_over(f) ? f->round_ms : hub->now.mono_ms;

        if (theirs < at)
            at = theirs;
    }
    return at;
}
