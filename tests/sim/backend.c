#include "sim/backend.h"

#include "base/assert.h"
#include "server/service.h"
#include "sim/oracle.h"
#include "sim/sim.h"

#include <stdio.h>
#include <stdlib.h>

enum { REPEAT_MS_MAX = 300, WITH_KEY_PERCENT = 80 };

static void ask_somebody(struct sim_backend *b)
{
    struct sim *sim = b->sim;
    struct sim_worker *w = &sim->workers[sim_between(sim, 0, sim->options.workers - 1)];

    if (w->phase != SIM_WORKER_RUNNING || w->hub == NULL || w->asks != NULL) {
        b->actor.at_ms = sim->now_ms + sim_between(sim, 1, REPEAT_MS_MAX);
        return;
    }
    b->asked = w;
    w->asks = b;
    b->actor.at_ms = SIM_NEVER;
    sim_worker_poke(w);
}

static void begin(struct sim_backend *b)
{
    struct sim *sim = b->sim;

    b->published++;
    b->asking = true;
    b->with_key = sim_chance(sim, WITH_KEY_PERCENT);
    b->channel = (uint32_t)sim_between(sim, 0, sim->options.channels - 1);
    b->bytes = (uint32_t)sim_between(sim, 0, sim_chance(sim, 30) ? sim->options.pad_bytes : 64);
    sim_oracle_published(sim, b->publisher, b->published, b->channel, b->bytes);
}

static void backend_act(struct sim *sim, void *self)
{
    struct sim_backend *b = self;

    if (!b->asking) {
        b->actor.at_ms = SIM_NEVER;
        if (sim->settling || b->published + 1 >= SIM_PUBLISHES_MAX)
            return;
        begin(b);
    }
    ask_somebody(b);
}

static void rest(struct sim_backend *b)
{
    b->asking = false;
    b->asked = NULL;
    b->actor.at_ms = b->sim->now_ms + sim_spread(b->sim, b->sim->options.pace_mean_ms);
}

static void done(void *ctx, const struct hf_service_result *result)
{
    struct sim_backend *b = ctx;

    sim_tell(b->sim, "backend %u: publish %u: code %d, offset %llu", b->publisher, b->published,
             (int)result->code, (unsigned long long)result->offset);
    if (result->code == HF_CODE_NONE || !b->with_key) {
        sim_oracle_answered(b->sim, b->publisher, b->published, result);
        rest(b);
        return;
    }
    /* "only a repeat with the same key is safe" (service.h) */
    b->asked = NULL;
    b->actor.at_ms = b->sim->now_ms + sim_between(b->sim, 0, REPEAT_MS_MAX);
}

void sim_backend_ask(struct sim_backend *b, struct hf_hub *hub)
{
    char payload[SIM_PAYLOAD_MAX], key[32];
    struct hf_service_publish p = {.channel = sim_channel_name(b->channel)};

    p.payload =
        (struct hf_str){payload, sim_payload(b->publisher, b->published, b->channel, b->bytes, payload)};
    if (b->with_key)
        p.key = (struct hf_str){key, (size_t)snprintf(key, sizeof(key), "%u-%u", b->publisher, b->published)};
    hf_service_publish(hub, &p, done, b);
}

void sim_backends_worker_died(struct sim *sim, const struct sim_worker *w)
{
    for (uint32_t i = 0; i < sim->options.backends; i++) {
        struct sim_backend *b = sim->backends[i];

        if (b == NULL || b->asked != w)
            continue;
        if (b->with_key) {
            b->asked = NULL;
            b->actor.at_ms = sim->now_ms + sim_between(sim, 0, REPEAT_MS_MAX);
        } else {
            rest(b); /* Nobody knows whether it was published. */
        }
    }
}

void sim_backends_start(struct sim *sim)
{
    for (uint32_t i = 0; i < sim->options.backends; i++) {
        struct sim_backend *b = calloc(1, sizeof(*b));

        hf_assert(b != NULL);
        b->sim = sim;
        b->publisher = SIM_CLIENTS_MAX + i;
        sim_actor_add(sim, &b->actor, backend_act, b);
        b->actor.at_ms = sim->now_ms + sim_spread(sim, sim->options.pace_mean_ms);
        sim->backends[i] = b;
    }
}

bool sim_backend_settled(const struct sim_backend *b)
{
    return !b->asking;
}

void sim_backends_free(struct sim *sim)
{
    for (uint32_t i = 0; i < sim->options.backends; i++) {
        if (sim->backends[i] == NULL)
            continue;
        sim_actor_remove(sim, &sim->backends[i]->actor);
        free(sim->backends[i]);
        sim->backends[i] = NULL;
    }
}
