#include "sim/asker.h"

#include "base/assert.h"
#include "server/presence_state.h"
#include "server/service.h"
#include "sim/oracle.h"
#include "sim/sim.h"

#include <stdlib.h>

enum { PACE_MS_MEAN = 300, SETTLING_PACE_MS = 20, ANSWER_BYTES_MAX = 1 << 20 };

static uint64_t pace(struct sim *sim)
{
    return sim->now_ms + (sim->settling ? SETTLING_PACE_MS : sim_spread(sim, PACE_MS_MEAN));
}

static void asker_act(struct sim *sim, void *self)
{
    struct sim_asker *a = self;
    struct sim_worker *w = &sim->workers[sim_between(sim, 0, sim->options.workers - 1)];

    if (w->phase != SIM_WORKER_RUNNING || w->hub == NULL || w->asked_presence != NULL) {
        a->actor.at_ms = pace(sim);
        return;
    }
    a->channel = (uint32_t)sim_between(sim, 0, sim->options.channels - 1);
    a->asked = w;
    w->asked_presence = a;
    a->actor.at_ms = SIM_NEVER;
    sim_worker_poke(w);
}

static void done(void *ctx, const struct hf_service_result *result)
{
    struct sim_asker *a = ctx;

    if (result->code != HF_CODE_NONE && result->code != HF_CODE_TIMEOUT &&
        result->code != HF_CODE_OVERLOADED && result->code != HF_CODE_UNAVAILABLE)
        sim_fail(a->sim, "a question about members is answered %d", (int)result->code);
    a->sim->stats->asked += result->code == HF_CODE_NONE;
    hf_buf_release(&a->answer);
    a->asked = NULL;
    a->actor.at_ms = pace(a->sim);
}

void sim_asker_ask(struct sim_asker *a, struct hf_hub *hub)
{
    hf_buf_init(&a->answer, ANSWER_BYTES_MAX);
    hf_service_presence(hub,
                        &(struct hf_presence_query){.channel = sim_channel_name(a->channel), .limit = 1000},
                        &a->answer, done, a);
}

void sim_asker_worker_died(struct sim *sim, const struct sim_worker *w)
{
    struct sim_asker *a = sim->asker;

    if (a == NULL || a->asked != w)
        return;
    hf_buf_init(&a->answer, ANSWER_BYTES_MAX); /* Its memory has gone with the worker's. */
    a->asked = NULL;
    a->actor.at_ms = pace(sim);
}

void sim_asker_start(struct sim *sim)
{
    struct sim_asker *a = calloc(1, sizeof(*a));

    hf_assert(a != NULL);
    a->sim = sim;
    sim_actor_add(sim, &a->actor, asker_act, a);
    a->actor.at_ms = pace(sim);
    sim->asker = a;
}

void sim_asker_free(struct sim *sim)
{
    if (sim->asker == NULL)
        return;
    sim_actor_remove(sim, &sim->asker->actor);
    free(sim->asker);
    sim->asker = NULL;
}

/* ---- The truth ---- */

static bool subscribed(const struct hf_sessions *t, const struct hf_session *s, hf_cid cid)
{
    struct hf_session_sub *cell;
    enum hf_session_phase phase = hf_state_phase(atomic_load(&s->state));
    uint32_t at = 0;

    if (phase != HF_SESSION_LIVE && phase != HF_SESSION_PARKED)
        return false;
    while ((cell = hf_session_sub_next(t, s, &at)) != NULL)
        if ((atomic_load(&cell->cid) & HF_SUB_CID) == cid)
            return true;
    return false;
}

static bool same_members(const struct hf_sessions *t, const struct hf_follow *f)
{
    const struct hf_session *s;
    uint64_t cursor = 0;
    uint32_t count = 0;

    while ((s = hf_sessions_next(t, &cursor)) != NULL) {
        if (!subscribed(t, s, f->cid))
            continue;
        if (hf_presence_get(&f->members, s->number) == NULL)
            return false;
        count++;
    }
    return count == f->members.count;
}

static bool worker_is_right(const struct sim *sim, const struct hf_hub *hub, const char **why)
{
    const struct hf_presence_state *p = hub->presence;

    for (uint32_t channel = 0; channel < sim->options.channels; channel++) {
        const struct hf_channel *c = hf_hub_find_channel(hub, sim_channel_name(channel));
        hf_cid cid = c == NULL ? 0 : atomic_load(&c->cid);
        const struct hf_follow *f = p == NULL || cid == 0 ? NULL : hf_map_ptr(&p->follows, cid);

        if (c == NULL)
            continue;
        *why = "a worker was not asked for the members of each channel";
        if (f == NULL)
            return false;
        *why = "a worker looks for members";
        if (f->needs > p->looks || !hf_list_empty(&f->ending))
            return false;
        *why = "a worker has other members of a channel than the session table";
        if (!same_members(&hub->sessions, f))
            return false;
    }
    return true;
}

bool sim_asker_settled(const struct sim *sim, const char **why)
{
    bool right = true;
    int64_t before;

    *why = "a question about members has no answer";
    if (sim->asker->asked != NULL)
        return false;
    before = sim_points_off();
    for (uint32_t slot = 0; slot < sim->options.workers && right; slot++)
        right = worker_is_right(sim, sim->workers[slot].hub, why);
    sim_points_on(before);
    return right;
}
