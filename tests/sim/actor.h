/*
 * actor.h - what acts in the simulation, and when it does next.
 */
#ifndef SIM_ACTOR_H
#define SIM_ACTOR_H

#include <stdint.h>

struct sim;

struct sim_actor {
    uint64_t at_ms; /* UINT64_MAX: not until it is poked */
    void (*act)(struct sim *sim, void *self);
    void *self;
};

#endif
