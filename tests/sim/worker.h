/*
 * worker.h - worker processes and their supervisor, as src/server/worker.c and supervisor.c have them, over fibers.
 *
 * A worker is inside its hub only while its fiber runs. There it passes *points*: each HF_CRASH_POINT(), each basic block of the
 * server's code (the compiler calls __sanitizer_cov_trace_pc() there) and each call of the allocator. At a point it may die, or may be held up
 * while the other workers go on: so two of them meet in the middle of what they do to shared memory.
 */
#ifndef SIM_WORKER_H
#define SIM_WORKER_H

#include "base/now.h"
#include "server/backend.h"
#include "server/transport.h"
#include "sim/actor.h"
#include "sim/fiber.h"
#include "sim/memory.h"

#include <stdbool.h>
#include <stdint.h>

struct sim;
struct sim_asker;
struct sim_backend;
struct sim_orderer;

/*
 * DEAD    -> RUNNING  the supervisor starts a worker (its hub is made by its own fiber)
 * RUNNING -> ZOMBIE   it has died, and the supervisor has not noticed
 * ZOMBIE  -> DEAD     its slot is buried
 */
enum sim_worker_phase { SIM_WORKER_DEAD, SIM_WORKER_RUNNING, SIM_WORKER_ZOMBIE };

struct sim_worker {
    struct sim *sim;
    uint32_t slot;
    uint32_t life; /* how many there have been in this slot */
    enum sim_worker_phase phase;
    struct sim_actor actor, supervisor;
    struct sim_fiber fiber;
    struct sim_arena arena;
    struct hf_transport transport;
    struct hf_hub *hub;      /* NULL until it is made */
    struct hf_backend judge; /* whom it asks about clients' publishes */
    struct hf_now now;       /* as the worker has read it */
    bool waiting;            /* its fiber stands in the wait for events; else it was held up at a point */
    bool woken;              /* its eventfd is readable */
    bool dying;              /* ends when it is resumed */
    bool crash_named;        /* crash_in counts HF_CRASH_POINT()s of crash_class, not points */
    uint32_t crash_class;
    uint64_t crash_in; /* dies at that point from now on; 0: at none */
    uint64_t preempt_in;
    uint64_t stalled_until_ms;
    uint32_t drain_window_ms;
    bool drains, draining;            /* its hub is to tell its clients to leave; and has done so */
    bool closes, closed;              /* it is to close what is left; it was told so */
    struct sim_backend *asks;         /* of the backend: to be called in the next turn */
    struct sim_asker *asked_presence; /* likewise */
    struct sim_orderer *ordered;
};

void sim_workers_start(struct sim *sim);
/* Something came for it, to be looked at now or soon. */
void sim_worker_poke(struct sim_worker *w);
/* SIGKILL. */
void sim_worker_kill(struct sim_worker *w);
/* SIGTERM: its clients are told to leave within that time; then it closes the rest, and ends. */
void sim_worker_drain(struct sim_worker *w, uint32_t window_ms);
/* Kill it where it stands at some point further on. named: at one of the HF_CRASH_POINT()s. */
void sim_worker_arm(struct sim_worker *w, bool named, uint64_t points);
/* The schedule is over: free the hub in good order; a failure where memory is left. */
void sim_worker_finish(struct sim_worker *w);
/* A point: see above. */
void sim_point(void);
/* Between the two the simulation itself uses the server's code, and no point counts. */
int64_t sim_points_off(void);
void sim_points_on(int64_t before);
/* How often workers died at each of the HF_CRASH_POINT()s, over all schedules. Returns false at the end. */
bool sim_crash_place(uint32_t i, const char **place, uint64_t *passed, uint64_t *died);

#endif
