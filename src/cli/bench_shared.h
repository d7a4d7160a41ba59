/*
 * bench_shared.h - what the processes of a load have in common: one anonymous mapping, made before they are forked.
 * The steering process writes `phase` and the times; each client process writes its own struct hf_bench_share, and nothing else but
 * its bell. Numbers are read by the others while they are written: each is whole, and may lag behind.
 */
#ifndef HF_CLI_BENCH_SHARED_H
#define HF_CLI_BENCH_SHARED_H

#include "base/histogram.h"
#include "cli/bench_options.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * OPEN -> WARMUP   every process has opened what it should, or given up
 * WARMUP -> MEASURE, MEASURE -> STOP   the time is over; a storm's MEASURE ends when all processes are done
 * STOP -> END      all processes have got what was under way, or nothing moves any more
 */
enum hf_bench_phase { HF_BENCH_OPEN, HF_BENCH_WARMUP, HF_BENCH_MEASURE, HF_BENCH_STOP, HF_BENCH_END };

enum { HF_BENCH_CURVE_SECONDS = 600 };

/* Plain loads and stores, and no atomic addition: each has one writer. */
#define HF_BENCH_ADD(counter, n)                                                                             \
    atomic_store_explicit(&(counter), atomic_load_explicit(&(counter), memory_order_relaxed) + (n),          \
                          memory_order_relaxed)
#define HF_BENCH_READ(counter) atomic_load_explicit(&(counter), memory_order_relaxed)

/* Written by one client process. */
struct hf_bench_share {
    _Alignas(64) _Atomic uint64_t
        opened; /* connections whose handshake, and subscription, are done; opened again counts again */
    _Atomic uint64_t units; /* what the mode counts: echoes, deliveries, handshakes, publishes, heartbeats */
    _Atomic uint64_t published;   /* messages of a flow */
    _Atomic uint64_t bytes;       /* received */
    _Atomic uint64_t failed;      /* connections and requests */
    _Atomic uint64_t lost;        /* messages that never came */
    _Atomic uint64_t duplicated;  /* that came again, or out of order */
    _Atomic uint64_t refused;     /* told to come back later */
    _Atomic uint64_t not_resumed; /* came back, but to a new session */
    _Atomic uint64_t complete; /* of a flow with a window: every subscriber here has all up to this message */
    _Atomic uint64_t tls_resumed; /* handshakes */
    _Atomic uint64_t broken;      /* connections that were to stay, and come back */
    _Atomic uint64_t messages;    /* idle: that came to a subscriber, each counted once */
    _Atomic uint64_t open_now;
    _Atomic bool ready;          /* all is open that will open */
    _Atomic bool cut;            /* a storm: all sockets are gone */
    _Atomic bool done;           /* nothing is under way any more */
    struct hf_histogram latency; /* of what was measured */
    struct hf_histogram opening; /* from connect() to the end of the handshake, or of the subscription */
    uint32_t curve[HF_BENCH_CURVE_SECONDS]; /* a storm: how many came back in which second */
    char problem[HF_BENCH_TEXT_MAX];        /* the first failure's reason */
};

struct hf_bench_shared {
    _Atomic int phase;                                    /* enum hf_bench_phase */
    _Atomic int64_t measured_ns;                          /* when MEASURE began */
    _Atomic uint64_t channel_sent[HF_BENCH_CHANNELS_MAX]; /* messages of each channel, by the first process */
    unsigned processes;
    int parent_bell; /* eventfd: a process has become ready or done */
    int bells
        [HF_BENCH_PROCESSES_MAX]; /* eventfds: the phase has changed, or a flow's window has moved (first process only) */
    struct hf_bench_share shares[];
};

#endif
