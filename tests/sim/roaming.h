/*
 * roaming.h - what happens to a client's machine: it moves to another network, has none for a while, sleeps, is put into a pocket; and
 * what its system says about that, late, wrong, or not at all.
 */
#ifndef SIM_ROAMING_H
#define SIM_ROAMING_H

#include <stdint.h>

struct sim;
struct sim_client;

void sim_roaming_start(struct sim_client *c);
/* Something of it happens to some client. */
void sim_roaming_fault(struct sim *sim);
/* The client's machine is asleep from now on. */
void sim_roaming_sleep(struct sim *sim, struct sim_client *c, uint64_t ms_mean);
/* In the driver's turn: tell the session what the system has said by now. */
void sim_roaming_hear(struct sim_client *c);
/* The faults are over: there is a network, and the application is in use; the system may yet say nothing. */
void sim_roaming_settle(struct sim_client *c);

#endif
