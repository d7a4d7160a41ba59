/*
 * heartbeat_policy.h - how long a connection may be silent before a ping is due, behind one interface.
 * A policy is told what became of the pings and answers with the next interval. It owns no connection and no clock: what sends the
 * pings is heartbeat.h, and the simulator bench/heartbeat runs the same code. The policies:
 *   heartbeat_classic.h    grows and halves, on what its own connection tells; the reference
 *   heartbeat_adaptive.h   what the application tolerates and what the network has proven, kept apart; the library's default
 * Times are milliseconds of one clock that never goes back.
 */
#ifndef HF_SESSION_HEARTBEAT_POLICY_H
#define HF_SESSION_HEARTBEAT_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A ping, as its policy sees it. */
struct hf_heartbeat_beat {
    uint64_t
        gap_ms; /* the silence, both ways, that it ended; 0: not known, it was not the first packet after it */
    bool scheduled; /* it was sent because the interval was over, and not, or not only, for a doubt */
};

/* What a probe, a ping after a long silence on a connection that may be lost, has come to. */
enum hf_heartbeat_probe {
    HF_HEARTBEAT_PROBE_ALIVE, /* it was answered */
    HF_HEARTBEAT_PROBE_DEAD, /* it was not, or the connection was cut in the silence, while the network was good */
    HF_HEARTBEAT_PROBE_UNKNOWN, /* it could not be made, or something else came between */
};

struct hf_heartbeat_policy {
    const struct hf_heartbeat_policy_ops *ops;
};

/* Each may be NULL where it says so, and then means nothing to the policy. */
struct hf_heartbeat_policy_ops {
    uint64_t (*interval_ms)(const struct hf_heartbeat_policy *p);
    uint64_t (*longest_ms)(const struct hf_heartbeat_policy *p);
    void (*record_success)(struct hf_heartbeat_policy *p, const struct hf_heartbeat_beat *beat,
                           uint64_t now_ms);
    void (*record_failure)(struct hf_heartbeat_policy *p, const struct hf_heartbeat_beat *beat,
                           uint64_t now_ms);
    void (*reset)(struct hf_heartbeat_policy *p);
    void (*connected)(struct hf_heartbeat_policy *p, uint64_t now_ms);                 /* NULL */
    void (*disturbed)(struct hf_heartbeat_policy *p);                                  /* NULL */
    void (*set_network)(struct hf_heartbeat_policy *p, uint64_t key, uint64_t now_ms); /* NULL */
    void (*set_bound)(struct hf_heartbeat_policy *p, uint64_t bound_ms);               /* NULL */
    uint64_t (*probe_gap_ms)(const struct hf_heartbeat_policy *p, uint64_t now_ms);    /* NULL */
    void (*probe_ended)(struct hf_heartbeat_policy *p, uint64_t gap_ms, enum hf_heartbeat_probe outcome,
                        uint64_t now_ms); /* NULL */
};

/* The silence after which the next ping is due. It changes with the facts told, never by itself. */
static inline uint64_t hf_heartbeat_policy_interval_ms(const struct hf_heartbeat_policy *p)
{
    return p->ops->interval_ms(p);
}

/* The longest interval that the policy may come to: what the server is to bear. */
static inline uint64_t hf_heartbeat_policy_longest_ms(const struct hf_heartbeat_policy *p)
{
    return p->ops->longest_ms(p);
}

/* The ping was answered. */
static inline void hf_heartbeat_policy_record_success(struct hf_heartbeat_policy *p,
                                                      const struct hf_heartbeat_beat *beat, uint64_t now_ms)
{
    p->ops->record_success(p, beat, now_ms);
}

/* It was not, and its connection is given up, or was reset. */
static inline void hf_heartbeat_policy_record_failure(struct hf_heartbeat_policy *p,
                                                      const struct hf_heartbeat_beat *beat, uint64_t now_ms)
{
    p->ops->record_failure(p, beat, now_ms);
}

/* Begin anew, as if nothing had been told. What is remembered of other networks stays. */
static inline void hf_heartbeat_policy_reset(struct hf_heartbeat_policy *p)
{
    p->ops->reset(p);
}

/* A connection has been welcomed by the server, be it the first one or the next. */
static inline void hf_heartbeat_policy_connected(struct hf_heartbeat_policy *p, uint64_t now_ms)
{
    if (p->ops->connected != NULL)
        p->ops->connected(p, now_ms);
}

/*
 * Something happened that can end a connection by itself: the network changed, the machine woke up, the server asked its clients to
 * leave. What dies around that time says nothing about intervals.
 */
static inline void hf_heartbeat_policy_disturbed(struct hf_heartbeat_policy *p)
{
    if (p->ops->disturbed != NULL)
        p->ops->disturbed(p);
}

/* The network in use has this key, whatever it is made of; 0: it is not known, and nothing about it is remembered. */
static inline void hf_heartbeat_policy_set_network(struct hf_heartbeat_policy *p, uint64_t key,
                                                   uint64_t now_ms)
{
    if (p->ops->set_network != NULL)
        p->ops->set_network(p, key, now_ms);
}

/* The server does not bear more silence than that, and pings itself; 0: it has no bound. */
static inline void hf_heartbeat_policy_set_bound(struct hf_heartbeat_policy *p, uint64_t bound_ms)
{
    if (p->ops->set_bound != NULL)
        p->ops->set_bound(p, bound_ms);
}

/*
 * The silence that a probe should keep before its ping, on a second connection that carries nothing; 0: no probe is wanted now.
 * Whoever can carry probes asks from time to time while none is under way, and tells how each ended. Where nobody does, the policy
 * stays with what is known to be safe.
 */
static inline uint64_t hf_heartbeat_policy_probe_gap_ms(const struct hf_heartbeat_policy *p, uint64_t now_ms)
{
    return p->ops->probe_gap_ms == NULL ? 0 : p->ops->probe_gap_ms(p, now_ms);
}

/* The probe of this gap has ended. A connection that was cut in mid-silence: DEAD, with the silence it had. */
static inline void hf_heartbeat_policy_probe_ended(struct hf_heartbeat_policy *p, uint64_t gap_ms,
                                                   enum hf_heartbeat_probe outcome, uint64_t now_ms)
{
    if (p->ops->probe_ended != NULL)
        p->ops->probe_ended(p, gap_ms, outcome, now_ms);
}

#endif
