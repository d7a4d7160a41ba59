/*
 * network.h - connections between clients and workers. Each has two pipes; what is written into one arrives later, in pieces of any size, as
 * long as nothing stands in its way.
 */
#ifndef SIM_NETWORK_H
#define SIM_NETWORK_H

#include "base/buf.h"
#include "sim/actor.h"

#include <stdbool.h>
#include <stdint.h>

struct hf_conn;
struct sim_client;
struct sim_worker;

enum sim_side { SIM_SERVER, SIM_CLIENT };

/* How a connection ends for one of its sides. */
enum sim_end { SIM_END_NONE, SIM_END_FIN, SIM_END_RESET };

/* One direction, named by the side that reads it. */
struct sim_pipe {
    struct hf_buf bytes; /* written and not read; the first `arrived` of them can be read */
    uint32_t arrived;
    uint32_t bytes_max; /* then the writer is blocked */
    uint64_t next_ms;   /* when the next piece arrives */
    uint64_t frozen_until_ms;
    uint64_t arrived_sum; /* since the beginning */
    uint64_t cut_at;      /* the connection breaks when so many have arrived */
    uint32_t rate;        /* bytes a piece has at most */
    bool blocked;         /* the writer was told that it is full */
    bool room_due;        /* and is to be told that it is not, any more */
    bool fin;             /* the writer has ended; so will the reader, behind the last byte */
    bool dead;            /* nothing arrives any more */
    bool paused;          /* the reader does not read */
    enum sim_end end;     /* what the reader will see */
    uint64_t end_at_ms;   /* and when; FIN: not before the last byte that arrived was read */
    bool end_told;
};

struct sim_conn {
    struct sim_actor actor;
    struct sim_pipe pipe[2];   /* to the server, to the client */
    struct sim_actor *peer;    /* who is poked when something comes for the client's side */
    struct sim_client *client; /* NULL: a follower's */
    struct sim_worker *worker; /* on whose port it lies */
    unsigned slot;             /* of the client's session */
    uint32_t attempt;
    uint64_t connect_at_ms; /* until then it is being made */
    bool refused;           /* and then refused */
    bool client_open;       /* the client has its socket */
    bool accepted;          /* the worker has it: hub_conn is set */
    bool server_open;       /* and has not closed it */
    struct hf_conn *hub_conn;
};

/* Connect to some worker's port. */
struct sim_conn *sim_connect(struct sim *sim, struct sim_client *client, unsigned slot, uint32_t attempt);
/* The same for somebody without a client's session; name: for the trace. */
struct sim_conn *sim_connect_by(struct sim *sim, struct sim_actor *peer, const char *name);
/* Write as socket calls do: returns how many bytes are taken, 0: none now, -1: the connection is broken. */
long sim_conn_write(struct sim *sim, struct sim_conn *c, enum sim_side side, const void *data, size_t len);
/* Whether there is something to read, and then its size. */
uint32_t sim_conn_readable(const struct sim *sim, const struct sim_conn *c, enum sim_side side);
/* Take the first bytes out. */
void sim_conn_read(struct sim *sim, struct sim_conn *c, enum sim_side side, void *data, uint32_t len);
/* What this side sees now, all that arrived having been read. */
enum sim_end sim_conn_end(const struct sim *sim, const struct sim_conn *c, enum sim_side side);
/* This side writes nothing more. */
void sim_conn_finish(struct sim *sim, struct sim_conn *c, enum sim_side side);
/* This side closes its socket. The connection is freed when both have. */
void sim_conn_close(struct sim *sim, struct sim_conn *c, enum sim_side side);
/* All connections that a worker had accepted end with its process. */
void sim_network_worker_died(struct sim *sim, const struct sim_worker *w);

/* Faults. */
void sim_network_cut(struct sim *sim);
void sim_network_freeze(struct sim *sim);
void sim_network_squeeze(struct sim *sim);
/* A client's connections are dead, and neither side hears of it; or nothing moves on them until then. */
void sim_network_forsake(struct sim *sim, const struct sim_client *client);
void sim_network_suspend(struct sim *sim, const struct sim_client *client, uint64_t until_ms);
/* The faults are over: what is frozen thaws, what is squeezed widens. */
void sim_network_heal(struct sim *sim);
void sim_network_free(struct sim *sim);

#endif
