/*
 * fiber.h - a worker's own stack. A fiber runs until it yields, and goes on there when it is resumed. One that is never resumed has
 * died in the middle of whatever it was doing, as a process dies of SIGKILL.
 */
#ifndef SIM_FIBER_H
#define SIM_FIBER_H

#include <stdbool.h>
#include <stddef.h>
#include <ucontext.h>

struct sim_fiber {
    ucontext_t inside, outside;
    void *stack; /* mapped at the first start, kept for the next ones */
    void (*run)(void *ctx);
    void *ctx;
    bool alive;
    const void *main_stack; /* its bounds, likewise for AddressSanitizer */
    size_t main_stack_bytes;
};

/* Zeroed memory is a fiber that has not been started. */
void sim_fiber_start(struct sim_fiber *f, void (*run)(void *ctx), void *ctx);
/* Let it run until it yields or ends; returns whether it is still alive. */
bool sim_fiber_resume(struct sim_fiber *f);
/* From within. */
void sim_fiber_yield(struct sim_fiber *f);
_Noreturn void sim_fiber_end(struct sim_fiber *f);

#endif
