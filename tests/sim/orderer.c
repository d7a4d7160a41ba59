#include "sim/orderer.h"

#include "base/assert.h"
#include "server/service.h"
#include "sim/follower.h"
#include "sim/oracle.h"
#include "sim/sim.h"

#include <stdio.h>
#include <stdlib.h>

enum { PACE_MS_MEAN = 400, CLOSE_SOMETIMES = 1012 /* ends the connection only */ };

static void rest(struct sim_orderer *o)
{
    o->asked = NULL;
    o->actor.at_ms = o->sim->now_ms + sim_spread(o->sim, PACE_MS_MEAN);
}

static void orderer_act(struct sim *sim, void *self)
{
    struct sim_orderer *o = self;
    struct sim_worker *w = &sim->workers[sim_between(sim, 0, sim->options.workers - 1)];
    struct sim_follower *f = sim->followers[sim_between(sim, 0, sim->options.followers - 1)];

    if (sim->settling)
        return;
    if (w->phase != SIM_WORKER_RUNNING || w->hub == NULL || w->ordered != NULL || f->session == 0) {
        rest(o);
        return;
    }
    o->session = f->session;
    o->channel = (uint32_t)sim_between(sim, 0, sim->options.channels - 1);
    o->act = sim_chance(sim, 15)   ? HF_ACT_DISCONNECT
             : sim_chance(sim, 50) ? HF_ACT_SUBSCRIBE
                                   : HF_ACT_UNSUBSCRIBE;
    o->close_code = sim_chance(sim, 50) ? HF_CLOSE_ENDED : CLOSE_SOMETIMES;
    f->follows[o->channel].ordered = f->follows[o->channel].ordered || o->act != HF_ACT_DISCONNECT;
    o->asked = w;
    w->ordered = o;
    o->actor.at_ms = SIM_NEVER;
    sim_worker_poke(w);
}

static void done(void *ctx, const struct hf_service_result *result)
{
    struct sim_orderer *o = ctx;

    if (result->code != HF_CODE_NONE && result->code != HF_CODE_NOT_FOUND &&
        result->code != HF_CODE_TIMEOUT && result->code != HF_CODE_OVERLOADED &&
        result->code != HF_CODE_UNAVAILABLE)
        sim_fail(o->sim, "an order about a session is answered %d", (int)result->code);
    sim_tell(o->sim, "the order is answered %d", (int)result->code);
    o->sim->stats->orders += result->code == HF_CODE_NONE && result->sessions > 0;
    rest(o);
}

void sim_orderer_order(struct sim_orderer *o, struct hf_hub *hub)
{
    char session[17];

    (void)snprintf(session, sizeof(session), "%016llx", (unsigned long long)o->session);
    sim_tell(o->sim, "the backend orders %u of session %s, channel %u, code %u", o->act, session, o->channel,
             o->close_code);
    hf_service_order(hub,
                     &(struct hf_service_order){
                         .act = (enum hf_service_act)o->act,
                         .session = hf_str_from(session),
                         .channel = o->act == HF_ACT_DISCONNECT ? HF_STR("") : sim_channel_name(o->channel),
                         .close_code = o->close_code},
                     done, o);
}

void sim_orderer_worker_died(struct sim *sim, const struct sim_worker *w)
{
    if (sim->orderer != NULL && sim->orderer->asked == w)
        rest(sim->orderer);
}

void sim_orderer_start(struct sim *sim)
{
    struct sim_orderer *o = calloc(1, sizeof(*o));

    hf_assert(o != NULL);
    o->sim = sim;
    sim_actor_add(sim, &o->actor, orderer_act, o);
    rest(o);
    sim->orderer = o;
}

void sim_orderer_free(struct sim *sim)
{
    if (sim->orderer == NULL)
        return;
    sim_actor_remove(sim, &sim->orderer->actor);
    free(sim->orderer);
    sim->orderer = NULL;
}

bool sim_orderer_settled(const struct sim *sim, const char **why)
{
    *why = "an order of the backend has no answer";
    return sim->orderer->asked == NULL;
}
