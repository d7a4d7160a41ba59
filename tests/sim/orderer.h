/*
 * orderer.h - the backend's orders about sessions, through workers' HTTP APIs: followers (follower.h) are subscribed, unsubscribed and disconnected, connected or not.
 */
#ifndef SIM_ORDERER_H
#define SIM_ORDERER_H

#include "sim/actor.h"

#include <stdbool.h>
#include <stdint.h>

struct sim;
struct sim_worker;
struct hf_hub;

struct sim_orderer {
    struct sim *sim;
    struct sim_actor actor;
    struct sim_worker *asked; /* whom; NULL: nobody now */
    uint64_t session;
    uint32_t act, channel; /* act: enum hf_service_act */
    uint16_t close_code;
};

void sim_orderer_start(struct sim *sim);
void sim_orderer_free(struct sim *sim);
/* In a worker's turn: the request reaches its hub. */
void sim_orderer_order(struct sim_orderer *o, struct hf_hub *hub);
void sim_orderer_worker_died(struct sim *sim, const struct sim_worker *w);
bool sim_orderer_settled(const struct sim *sim, const char **why);

#endif
