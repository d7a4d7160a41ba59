/*
 * thief.h - somebody who has got hold of a client's ticket, a copy of its process for one, and takes its session over. The client is superseded
 * (4001) and stays away, or takes the session back, as PROTOCOL.md says.
 */
#ifndef SIM_THIEF_H
#define SIM_THIEF_H

struct sim;

/* A thief appears, and takes the session of some client. */
void sim_thief_steal(struct sim *sim);
/* The faults are over: thieves say goodbye. */
void sim_thieves_settle(struct sim *sim);
void sim_thieves_free(struct sim *sim);

#endif
