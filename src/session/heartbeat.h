/*
 * heartbeat.h - a client's doubt about its connection.
 * Any byte received proves the path, so a ping is due an interval after the last receipt, or at once where something makes
 * the path doubtful. After a ping, silence up to the soft deadline is suspicious (a second connection is prepared), up
 * to the hard one it is death. The deadlines follow the measured round trip as RFC 6298 does for TCP.
 * How long the interval is says a policy (heartbeat_policy.h), which is told what became of the pings, within what the server
 * bears; without one it is the server's.
 * Pure: the caller sends the pings and tells what happened.
 */
#ifndef HF_SESSION_HEARTBEAT_H
#define HF_SESSION_HEARTBEAT_H

#include "session/heartbeat_policy.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    HF_HEARTBEAT_INTERVAL_MS =
        25000, /* PROTOCOL.md "Heartbeats"; the floor of mobile carriers' NAT timers is near 30 s */
    HF_HEARTBEAT_SOFT_MS_MIN = 1000,
    HF_HEARTBEAT_SOFT_MS_MAX = 4000,
    HF_HEARTBEAT_HARD_MS_MIN = 3000,
    HF_HEARTBEAT_HARD_MS_MAX = 10000,
    HF_HEARTBEAT_SLACK_MS = 400,   /* room for one retransmission of TCP, whose timer is at least 200 ms */
    HF_HEARTBEAT_QUIET_MS = 10000, /* the first send after that much silence is a doubt */
    HF_HEARTBEAT_PROBE_MS_MAX = 30000, /* bytes keep coming, but no pong: the way out must be dead. A guess */
};

enum hf_heartbeat_due {
    HF_HEARTBEAT_OK,      /* nothing to do */
    HF_HEARTBEAT_PING,    /* send a ping; it is taken as sent */
    HF_HEARTBEAT_SUSPECT, /* told once per ping: the soft deadline has passed in silence */
    HF_HEARTBEAT_DEAD,    /* the hard deadline has passed in silence */
};

struct hf_heartbeat {
    struct hf_heartbeat_policy *policy; /* borrowed; NULL: none, the interval is the server's */
    uint64_t server_interval_ms;        /* the one in force there: more silence it ends */
    uint64_t received_at_ms;            /* the last receipt of anything */
    uint64_t sent_at_ms;                /* the last time the socket took something */
    struct hf_heartbeat_beat beat;      /* the last ping sent, as the policy is told */
    uint64_t pinged_at_ms;              /* the ping without a pong; 0: none is under way */
    uint64_t asked_at_ms;               /* doubt: since when something waits for an answer; 0: nothing does */
    /* The last sign of life since the ping, be it a receipt or output that moved; else the ping's time, or asked_at_ms before it. */
    uint64_t silent_from_ms;
    uint64_t ping_id;            /* of the last ping sent */
    uint32_t srtt_ms, rttvar_ms; /* 0, 0: nothing measured yet */
    bool measured;
    bool doubt;     /* ping at the next tick */
    bool suspected; /* SUSPECT has been told for this silence */
};

/* policy is borrowed as long as this is used; NULL: none. */
void hf_heartbeat_init(struct hf_heartbeat *h, struct hf_heartbeat_policy *policy);
/* The server's interval from now on; 0 is ignored. A policy may ask for less, and gets no more. */
void hf_heartbeat_set_interval(struct hf_heartbeat *h, uint64_t interval_ms);
/* The silence after which a ping is due. */
uint64_t hf_heartbeat_interval_ms(const struct hf_heartbeat *h);
/* A connection has opened; the round trips measured on others stay as a first guess. */
void hf_heartbeat_opened(struct hf_heartbeat *h, uint64_t now_ms);
/* A round trip was measured otherwise (the upgrade's). */
void hf_heartbeat_measured(struct hf_heartbeat *h, uint64_t rtt_ms);
/* The connection has ended without our doing and without a word: with a ping on its way, as if that had got no answer. */
void hf_heartbeat_lost(struct hf_heartbeat *h, uint64_t now_ms);
/* Bytes have come in. */
void hf_heartbeat_data_received(struct hf_heartbeat *h, uint64_t now_ms);
/*
 * The socket has taken some of a backlog of output. A ping may lie behind megabytes on a slow line: while they move, the
 * line is slow, not dead.
 */
void hf_heartbeat_output_moved(struct hf_heartbeat *h, uint64_t now_ms);
/* The socket has taken bytes. */
void hf_heartbeat_data_sent(struct hf_heartbeat *h, uint64_t now_ms);
/* The network changed, the machine woke up, or the server asked for a move: what ends now says nothing about intervals. */
void hf_heartbeat_disturbed(struct hf_heartbeat *h);
/* Something makes the path doubtful: an acknowledgement is late, the clock jumped, the network changed. */
void hf_heartbeat_doubted(struct hf_heartbeat *h);
/*
 * A request that was put out at asked_at_ms has had no answer for the soft deadline. It was a ping in all but name: the silence that ends in
 * death counts from there, and not from the ping that follows now.
 */
void hf_heartbeat_answer_late(struct hf_heartbeat *h, uint64_t asked_at_ms);
/* The application sends something: whether that is a doubt, after so long a silence. */
bool hf_heartbeat_sending(const struct hf_heartbeat *h, uint64_t now_ms);
/* A pong with this id has come. */
void hf_heartbeat_pong_received(struct hf_heartbeat *h, uint64_t ping_id, uint64_t now_ms);

uint64_t hf_heartbeat_soft_ms(const struct hf_heartbeat *h);
uint64_t hf_heartbeat_hard_ms(const struct hf_heartbeat *h);
/* When hf_heartbeat_tick() has something to say; 0: at once. */
uint64_t hf_heartbeat_deadline_ms(const struct hf_heartbeat *h);
enum hf_heartbeat_due hf_heartbeat_tick(struct hf_heartbeat *h, uint64_t now_ms);

#endif
