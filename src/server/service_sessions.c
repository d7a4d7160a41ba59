/*
 * service_sessions.c - the backend's orders about sessions: subscribe, unsubscribe, disconnect; of one, or of all that a user has.
 *
 * A user's sessions are looked for in the table, in pieces beside the work. Then each is done here, or by the worker that holds it; what changes hands meanwhile is tried again, and a
 * channel that is to be subscribed to and is not there is made in between.
 */
#include "server/hub_state.h"

#include "base/assert.h"

#include <stdlib.h>
#include <string.h>

enum { LOOK_PER_TURN = 4096 /* sessions whose user is read in one go */ };

enum state { TO_DO, ASKED, DONE, ABSENT, REFUSED };

struct target {
    uint64_t session;
    enum state state;
};

struct order {
    enum hf_service_act act;
    uint16_t close_code;
    bool of_user, looked; /* looked: targets has all of them */
    uint64_t look_at;
    struct target *targets;    /* ascending, when all are found */
    uint32_t count, cap, open; /* open: those that are TO_DO or ASKED */
    uint32_t counts[REFUSED + 1];
    struct hf_str user, channel; /* behind this struct */
};

static void order_free(void *job)
{
    free(((struct order *)job)->targets);
    free(job);
}

/* ---- Looking ---- */

static int add_target(struct order *o, uint64_t session)
{
    if (o->count == HF_ORDER_SESSIONS_MAX)
        return HF_ELIMIT;
    if (o->count == o->cap) {
        uint32_t cap = o->cap == 0 ? 4 : o->cap * 2;
        struct target *more = realloc(o->targets, cap * sizeof(*more));

        if (more == NULL)
            return HF_ENOMEM;
        o->targets = more;
        o->cap = cap;
    }
    o->targets[o->count++] = (struct target){session, TO_DO};
    return 0;
}

static bool is_of(struct hf_hub *hub, const struct hf_session *s, struct hf_str user)
{
    enum hf_session_phase phase = hf_state_phase(atomic_load(&s->state));

    return (phase == HF_SESSION_LIVE || phase == HF_SESSION_PARKED) &&
           hf_session_identity(&hub->sessions, s, &hub->scratch, NULL) == 0 &&
           hf_str_eq(hf_buf_str(&hub->scratch), user);
}

/* Returns 1: all are found, 0: there is more to look at, HF_ELIMIT or HF_ENOMEM. */
static int look_on(struct hf_hub *hub, struct order *o)
{
    for (int looked = 0; looked < LOOK_PER_TURN; looked++) {
        const struct hf_session *s = hf_sessions_next(&hub->sessions, &o->look_at);
        uint64_t number = s == NULL ? 0 : s->number;
        int err;

        if (s == NULL)
            return 1;
        if (!is_of(hub, s, o->user) || hf_sessions_get(&hub->sessions, number) != s)
            continue;
        err = add_target(o, number);
        if (err < 0)
            return err;
    }
    return 0;
}

/* ---- Doing ---- */

static int by_session(const void *a, const void *b)
{
    uint64_t x = ((const struct target *)a)->session, y = ((const struct target *)b)->session;

    return (x > y) - (x < y);
}

static void all_found(struct order *o)
{
    if (o->count > 1)
        qsort(o->targets, o->count, sizeof(*o->targets), by_session);
    o->open = o->count;
    o->looked = true;
}

/* err: as of hf_grant(). */
static void conclude(struct order *o, struct target *t, int err)
{
    if (err == HF_EAGAIN) {
        t->state = TO_DO;
        return;
    }
    t->state = err == 0 ? DONE : err == HF_ENOTFOUND ? ABSENT : REFUSED;
    o->counts[t->state]++;
    o->open--;
}

/* The worker that holds it must be asked; where it has just let go of it, it is tried again. */
static void ask(struct hf_hub *hub, const struct hf_pending *p, const struct order *o, struct target *t)
{
    const struct hf_session *s = hf_sessions_get(&hub->sessions, t->session);
    uint64_t state = s == NULL ? 0 : atomic_load(&s->state);
    uint32_t owner = hf_state_owner(state);

    if (hf_state_phase(state) == HF_SESSION_LIVE && owner != hub->slot && owner < hub->workers &&
        hf_exchange_order(hub, owner, t->session, (uint8_t)o->act, o->close_code, o->channel, p->token))
        t->state = ASKED;
}

/* Returns whether some must be tried again. */
static bool try_all(struct hf_hub *hub, const struct hf_pending *p, struct order *o)
{
    bool there = o->act == HF_ACT_DISCONNECT || hf_hub_find_channel(hub, o->channel) != NULL, again = false;

    for (uint32_t i = 0; i < o->count; i++) {
        struct target *t = &o->targets[i];

        if (t->state == TO_DO)
            conclude(o, t, hf_grant(hub, t->session, (uint8_t)o->act, o->close_code, o->channel));
        if (t->state == TO_DO && (there || o->act == HF_ACT_UNSUBSCRIBE))
            ask(hub, p, o, t);
        again = again || t->state == TO_DO;
    }
    return again;
}

/* A channel to be subscribed to is made, or its owner asked to, where it is not there. */
static void open_channel(struct hf_hub *hub, struct hf_pending *p, const struct order *o)
{
    uint64_t hash = hf_channel_hash(o->channel);
    uint32_t shard = hf_channel_shard(hash, hub->shards), owner = hf_region_owner(hub->region, shard);
    struct hf_channel *channel = hf_channels_find(&hub->channels[shard], o->channel, hash);

    if (channel == NULL && owner == hub->slot)
        p->open_err = hub->engine->ops->open(hub->engine, shard, o->channel, hash, hub->now, &channel);
    else if (channel == NULL)
        p->opening = hf_exchange_open(hub, owner, o->channel, p->token);
}

static struct hf_service_result outcome(const struct order *o)
{
    struct hf_service_result result = {.sessions = o->counts[DONE], .refused = o->counts[REFUSED]};

    if (o->of_user || o->counts[DONE] > 0)
        return result;
    if (o->counts[REFUSED] > 0) {
        result.code = HF_CODE_LIMIT;
        result.reason =
            "the session has as many subscriptions as it may, or the server has no room for another";
    } else if (o->act != HF_ACT_UNSUBSCRIBE) {
        result.code = HF_CODE_NOT_FOUND;
        result.reason = "there is no such session";
    }
    return result;
}

static void end_if_done(struct hf_pending *p, const struct order *o)
{
    struct hf_service_result result = outcome(o);

    if (o->open == 0)
        hf_pending_end(p, &result);
}

/* ---- Steering ---- */

/* Returns whether all sessions are known; else it is to be called again, or the request has ended. */
static bool find_targets(struct hf_hub *hub, struct hf_pending *p, struct order *o)
{
    int found = o->looked ? 1 : look_on(hub, o);

    if (found < 0)
        hf_pending_fail(p, found == HF_ELIMIT ? HF_CODE_LIMIT : HF_CODE_OVERLOADED,
                        found == HF_ELIMIT ? "the user has more sessions than one order may be about"
                                           : "the server is short of memory");
    if (found == 1 && !o->looked)
        all_found(o);
    return found == 1;
}

static void order_on(struct hf_hub *hub, struct hf_pending *p)
{
    struct order *o = p->job;

    p->unsent = true;
    if (!find_targets(hub, p, o))
        return;
    if (p->open_err < 0) {
        hf_pending_fail(p, HF_CODE_LIMIT, hf_refusal_reason(HF_CODE_LIMIT));
        return;
    }
    p->unsent = try_all(hub, p, o);
    if (p->unsent && o->act == HF_ACT_SUBSCRIBE)
        open_channel(hub, p, o);
    end_if_done(p, o);
}

void hf_service_ordered(struct hf_hub *hub, uint64_t token, uint64_t session, int err)
{
    struct hf_pending *p = hf_pending_find(hub, token);
    struct order *o = p == NULL ? NULL : p->job;
    struct target *t = o == NULL || o->count == 0 ? NULL
                                                  : bsearch(&(struct target){.session = session}, o->targets,
                                                            o->count, sizeof(*o->targets), by_session);

    if (t == NULL || t->state != ASKED)
        return;
    conclude(o, t, err);
    p->unsent = p->unsent || t->state == TO_DO;
    end_if_done(p, o);
}

static struct hf_str keep(char **at, struct hf_str s)
{
    struct hf_str copy = {*at, s.len};

    if (s.len > 0)
        memcpy(*at, s.data, s.len);
    *at += s.len;
    return copy;
}

static struct order *order_new(const struct hf_service_order *from)
{
    struct order *o = calloc(1, sizeof(*o) + from->user.len + from->channel.len);
    uint64_t session = hf_service_session(from->session);
    char *at = (char *)(o + 1);

    if (o == NULL)
        return NULL;
    o->act = from->act;
    o->close_code = from->close_code;
    o->of_user = from->session.data == NULL;
    o->user = keep(&at, from->user);
    o->channel = keep(&at, from->channel);
    if (!o->of_user && session != 0 && add_target(o, session) < 0) {
        free(o);
        return NULL;
    }
    if (!o->of_user)
        all_found(o);
    return o;
}

void hf_service_order(struct hf_hub *hub, const struct hf_service_order *order, hf_service_done *done,
                      void *ctx)
{
    struct order *o = order_new(order);
    struct hf_pending *p = o == NULL ? NULL : hf_pending_new(hub, done, ctx, 0);

    if (p == NULL) {
        if (o != NULL)
            order_free(o);
        done(ctx, &(struct hf_service_result){.code = HF_CODE_OVERLOADED,
                                              .reason = "the server is short of memory"});
        return;
    }
    p->job = o;
    p->job_free = order_free;
    p->again = order_on;
    order_on(hub, p);
}
