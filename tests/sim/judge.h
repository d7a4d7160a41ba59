/*
 * judge.h - the application's backend, of whom workers ask whether a client's publish may be (src/server/hooks.c): it answers late, not at all, or nonsense, and is down now and then; what it
 * answers comes when the connection, or the worker, may have gone. It says of one publish always the same, so that what it has refused may be in no log.
 */
#ifndef SIM_JUDGE_H
#define SIM_JUDGE_H

#include "sim/actor.h"

#include <stdbool.h>
#include <stdint.h>

struct sim;
struct sim_worker;

/* Whether clients' publishes are left to it in this schedule: it is drawn, and the configuration says so then. */
void sim_judge_start(struct sim *sim);
void sim_judge_free(struct sim *sim);
/* A worker has its hub: it asks here. */
void sim_judge_serve(struct sim_worker *w);
/* Whether an answer is due for it; and in its turn: give it those that are. */
bool sim_judge_due(const struct sim_worker *w);
void sim_judge_answer(struct sim_worker *w);
void sim_judge_worker_died(const struct sim_worker *w);
/* What it says of a publisher's n-th message. */
bool sim_judge_allows(const struct sim *sim, uint32_t publisher, uint32_t n);
/* Whether nobody waits for an answer. */
bool sim_judge_settled(const struct sim *sim, const char **why);

#endif
