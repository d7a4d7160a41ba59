/*
 * backend.h - the application's backend, publishing through a worker's HTTP API: a request with an idempotency key is repeated until it is
 * answered, at any worker; one without is sent once.
 */
#ifndef SIM_BACKEND_H
#define SIM_BACKEND_H

#include "sim/actor.h"

#include <stdbool.h>
#include <stdint.h>

struct sim;
struct sim_worker;
struct hf_hub;

struct sim_backend {
    struct sim *sim;
    uint32_t publisher; /* its number as a publisher */
    struct sim_actor actor;
    uint32_t published;
    bool asking; /* `published` has no answer yet */
    bool with_key;
    uint32_t channel, bytes;
    struct sim_worker *asked; /* whom; NULL: nobody now */
};

void sim_backends_start(struct sim *sim);
/* In a worker's turn: the request reaches its hub. */
void sim_backend_ask(struct sim_backend *b, struct hf_hub *hub);
/* The worker that was asked has died. */
void sim_backends_worker_died(struct sim *sim, const struct sim_worker *w);
bool sim_backend_settled(const struct sim_backend *b);
void sim_backends_free(struct sim *sim);

#endif
