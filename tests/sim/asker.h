/*
 * asker.h - somebody who asks workers for the members of channels, through their HTTP API, so that they follow them; and what must be true of what they keep.
 */
#ifndef SIM_ASKER_H
#define SIM_ASKER_H

#include "base/buf.h"
#include "sim/actor.h"

#include <stdbool.h>
#include <stdint.h>

struct sim;
struct sim_worker;
struct hf_hub;

struct sim_asker {
    struct sim *sim;
    struct sim_actor actor;
    struct sim_worker *asked; /* whom; NULL: nobody now */
    uint32_t channel;
    struct hf_buf answer; /* of the asked worker's memory */
    uint64_t answered;
};

void sim_asker_start(struct sim *sim);
void sim_asker_free(struct sim *sim);
/* In a worker's turn: the request reaches its hub. */
void sim_asker_ask(struct sim_asker *a, struct hf_hub *hub);
void sim_asker_worker_died(struct sim *sim, const struct sim_worker *w);
/*
 * Whether it waits for nothing, and each worker follows each channel that there is and has exactly those members that the session table has: so the joins and leaves that it told of,
 * which are the changes of what it has, add up to them.
 */
bool sim_asker_settled(const struct sim *sim, const char **why);

#endif
