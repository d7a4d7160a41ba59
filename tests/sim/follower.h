/*
 * follower.h - a client that follows who is in its channels: it subscribes with presence, asks for the members, and applies the joins and leaves that come behind the answer, as
 * docs/protocol.md "Presence" says. It speaks the protocol by itself (session/link.h), so that nothing of a client's library stands between it and what the server says.
 *
 * What it is told must have happened (members.h): each member of an answer, and each one that is missing there, since it was asked; each join and leave since the one before. So a
 * session that comes back within its grace is never told to have left. At rest, what it has been told must add up to the members that there are.
 */
#ifndef SIM_FOLLOWER_H
#define SIM_FOLLOWER_H

#include "session/link.h"
#include "sim/actor.h"
#include "sim/members.h"
#include "sim/sim.h"

#include <stdbool.h>
#include <stdint.h>

struct sim_conn;

enum sim_follow_wish { SIM_FOLLOW_NOT, SIM_FOLLOW_MEMBER, SIM_FOLLOW_WATCH };

/* What it knows of one channel. */
struct sim_follow {
    enum sim_follow_wish wish;
    bool subscribed;       /* as the server has said last */
    bool based;            /* it has been told the members: joins and leaves are changes to them */
    bool ordered;          /* the backend had a hand in it */
    bool confirmed;        /* its newest subscribe was answered */
    uint32_t answers_left; /* subscribes of this connection without their `subscribed` */
    uint64_t asked_id;     /* its newest question without an answer; 0: none */
    uint64_t cid;          /* as the wire has it; 0: not told */
    uint32_t known
        [SIM_TRACKS_MAX]; /* changes of each session that it knows of; while asked_id: those that the answer must know of */
};

struct sim_follower {
    struct sim *sim;
    uint32_t index;
    struct sim_actor actor;
    struct hf_link link;
    struct hf_rng rng;
    struct sim_conn *conn;
    bool connect_told, binary, welcome, leaving;
    uint64_t dial_at_ms, application_at_ms, heard_ms, reads_from_ms;
    char ticket[128];
    size_t ticket_len;
    uint64_t session; /* its number; 0: none */
    uint64_t ids;     /* questions asked so far */
    struct sim_follow follows[SIM_CHANNELS_MAX];
};

void sim_followers_start(struct sim *sim);
void sim_followers_free(struct sim *sim);
/* The faults are over: it reads, comes back, and begins nothing more. */
void sim_followers_settle(struct sim *sim);
/* Whether each is connected, has been told all it asked, and knows exactly those members that there are. */
bool sim_followers_settled(const struct sim *sim, const char **why);
/* Connected ones, for those who count connections, sessions and subscriptions. */
uint32_t sim_followers_connected(const struct sim *sim);
uint32_t sim_followers_subscriptions(const struct sim *sim);

#endif
