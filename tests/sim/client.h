/*
 * client.h - a client: the real session core, the driver that carries its bytes, and an application that publishes, subscribes and
 * checks nothing itself: what it is told goes to the oracle.
 */
#ifndef SIM_CLIENT_H
#define SIM_CLIENT_H

#include "session/client_session.h"
#include "sim/actor.h"
#include "sim/states.h"
#include "sim/store.h"

#include <stdbool.h>
#include <stdint.h>

struct sim;
struct sim_conn;

/* What the system says about the network, at the time when it is heard. */
struct sim_news {
    uint64_t at_ms; /* SIM_NEVER: nothing */
    bool offline, woke_up;
    enum hf_session_path
        path; /* of its connections up to this attempt; later ones are on the way that there is */
    uint32_t up_to_attempt;
};

struct sim_client {
    struct sim *sim;
    uint32_t index;                    /* also its number as a publisher */
    struct hf_client_session *session; /* NULL: its process is dead, and the next one not yet there */
    struct hf_client_session_config config;
    bool durable;           /* its outbox outlives its process, which may die */
    struct sim_store store; /* what it leaves behind */
    uint64_t reborn_at_ms;
    struct sim_conn *socket[HF_CLIENT_SESSION_SLOTS];
    bool connect_told[HF_CLIENT_SESSION_SLOTS];
    bool write_ended[HF_CLIENT_SESSION_SLOTS];
    struct sim_actor driver, application;
    uint64_t reads_from_ms;        /* it reads nothing before: a slow reader */
    uint64_t unreachable_until_ms; /* no connection of it can be made */
    struct sim_news news;
    uint64_t asleep_until_ms; /* the whole machine sleeps, or is out of reach: nothing of it runs */
    bool publishes, closes, in_callback;
    struct sim_states states;
    uint32_t published; /* so far; the next one's number is one above */
    bool ended;
    bool background;
    bool robbed; /* somebody else has its ticket */
};

/* One more, without an application: who is told is on_event, with it as context. */
struct sim_client *sim_client_new(struct sim *sim, uint32_t index,
                                  void (*on_event)(void *, const struct hf_client_session_event *));
void sim_client_free(struct sim_client *c);

/* Its process dies, now or in one of the next calls of its store; does nothing where it is not durable. */
void sim_client_kill(struct sim_client *c);
void sim_clients_start(struct sim *sim);
/* Something came for it. */
void sim_client_poke(struct sim *sim, struct sim_client *c);
/* The faults are over: it reads and wakes; no more is begun, and those that are to close do so. */
void sim_clients_settle(struct sim *sim);
/* Nothing of it is under way: everything is answered and acknowledged. */
bool sim_client_settled(const struct sim_client *c);
void sim_clients_free(struct sim *sim);

#endif
