/*
 * shared.h - what must hold in shared memory whatever has died.
 */
#ifndef SIM_SHARED_H
#define SIM_SHARED_H

#include <stdbool.h>
#include <stdint.h>

struct sim;
struct sim_worker;

/* After a worker's turn: it has pinned nothing, and the channels of its shards name their newest records. */
void sim_shared_check_turn(struct sim *sim, const struct sim_worker *w);
/* Nothing is under way between the workers, or within one. why: what is, where it returns false. */
bool sim_shared_settled(const struct sim *sim, const char **why);
/* At the end: the logs are whole, the sessions are the clients'. */
void sim_shared_finish(struct sim *sim);

#endif
