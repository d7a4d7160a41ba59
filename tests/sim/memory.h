/*
 * memory.h - the simulation's allocator: malloc() and its kin, wrapped by the linker (-Wl,--wrap), for everything in the test
 * program. Every block belongs to the arena that was entered when it was made, or to none.
 * So the memory of a worker that dies between two instructions is given back at once, as the kernel would; and an arena that
 * still has blocks after its owner was freed in good order is a leak, in every build, with or without a sanitizer.
 */
#ifndef SIM_MEMORY_H
#define SIM_MEMORY_H

#include "base/list.h"

#include <stdbool.h>
#include <stddef.h>

struct sim_arena {
    struct hf_list blocks;
    size_t count; /* of blocks */
    bool points;  /* each call of the allocator is a place where its owner may die: see worker.h */
};

void sim_arena_init(struct sim_arena *a, bool points);
/* Blocks are made in this arena from now on; NULL: in none. Returns the one before. */
struct sim_arena *sim_arena_enter(struct sim_arena *a);
/* Free all that is left. */
void sim_arena_wipe(struct sim_arena *a);

#endif
