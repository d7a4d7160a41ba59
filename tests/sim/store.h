/*
 * store.h - what a client's outbox leaves behind when its process dies: a session/store.h in memory, outside of the process.
 * The process may die in any call of it, before or after the call has done its work. From then on it is as if nothing of the process were there: the store
 * does nothing more, and the client (client.c) sees to it that nothing is sent or told.
 */
#ifndef SIM_STORE_H
#define SIM_STORE_H

#include "session/store.h"

#include <stdbool.h>
#include <stdint.h>

struct sim;
struct sim_kept;

struct sim_store {
    struct hf_store store;
    struct sim *sim;
    struct hf_store_state state;
    char ticket[512];
    struct sim_kept **kept; /* in the order of their ids */
    uint32_t count, cap;
    uint32_t die_in; /* calls, the last of which kills the process; 0: none will */
    bool dead;
};

void sim_store_init(struct sim_store *s, struct sim *sim);
void sim_store_release(struct sim_store *s);
/* The id of the last publish that was ever put. */
uint64_t sim_store_last_id(const struct sim_store *s);

#endif
