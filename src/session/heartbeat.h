/*
 * heartbeat.h - a client's doubt about its connection.
 * Any byte received proves the path, so a ping is due an interval after the last receipt, or at once where something makes
 * the path doubtful. After a ping, silence up to the soft deadline is suspicious (a second connection is prepared), up
 * to the hard one it is death. The deadlines follow the measured round trip as RFC 6298 does for TCP.
 * Pure: the caller sends the pings and tells what happened.
 */
#ifndef HF_SESSION_HEARTBEAT_H
#define HF_SESSION_HEARTBEAT_H

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
    uint64_t interval_ms;
    uint64_t received_at_ms;     /* the last receipt of anything */
    uint64_t pinged_at_ms;       /* the ping without a pong; 0: none is under way */
    uint64_t silent_from_ms;     /* the ping's time, or the last receipt or output progress after it */
    uint64_t ping_id;            /* of the last ping sent */
    uint32_t srtt_ms, rttvar_ms; /* 0, 0: nothing measured yet */
    bool measured;
    bool doubt;     /* ping at the next tick */
    bool suspected; /* SUSPECT has been told for this silence */
};

void hf_heartbeat_init(struct hf_heartbeat *h);
/* The interval from now on; 0 is ignored. */
void hf_heartbeat_set_interval(struct hf_heartbeat *h, uint64_t interval_ms);
/* A connection has opened; the round trips measured on others stay as a first guess. */
void hf_heartbeat_opened(struct hf_heartbeat *h, uint64_t now_ms);
/* A round trip was measured otherwise (the upgrade's). */
void hf_heartbeat_measured(struct hf_heartbeat *h, uint64_t rtt_ms);
/* Bytes have come in. */
void hf_heartbeat_data_received(struct hf_heartbeat *h, uint64_t now_ms);
/*
 * The socket has taken some of a backlog of output. A ping may lie behind megabytes on a slow line: while they move, the
 * line is slow, not dead.
 */
void hf_heartbeat_output_moved(struct hf_heartbeat *h, uint64_t now_ms);
/* Something makes the path doubtful: an acknowledgement is late, the clock jumped, the network changed. */
void hf_heartbeat_doubted(struct hf_heartbeat *h);
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
