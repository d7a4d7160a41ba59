/*
 * bench_options.h - what `holdfast bench` was asked to do.
 * Pure: arguments come in, options or one line of complaint come out; bench.c prints it.
 */
#ifndef HF_CLI_BENCH_OPTIONS_H
#define HF_CLI_BENCH_OPTIONS_H

#include "client/url.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum hf_bench_mode_id {
    HF_BENCH_ECHO,
    HF_BENCH_FANOUT,
    HF_BENCH_RATE,
    HF_BENCH_IDLE,
    HF_BENCH_CHURN,
    HF_BENCH_STORM,
    HF_BENCH_PUBLISH,
    HF_BENCH_MODES
};

/* What is spoken over the connection; bench_protocol.h. */
enum hf_bench_protocol_id {
    HF_BENCH_HOLDFAST,
    HF_BENCH_TEXT,
    HF_BENCH_SOCKET_IO,
    HF_BENCH_NATS,
    HF_BENCH_BYTES,
    HF_BENCH_PROTOCOLS
};

enum {
    HF_BENCH_SERVER_PIDS_MAX = 16,
    HF_BENCH_PROCESSES_MAX = 256,
    HF_BENCH_WINDOW_MAX = 1024,
    HF_BENCH_PIPELINE_MAX = 64,
    HF_BENCH_CHANNELS_MAX = 65536,
    HF_BENCH_SIZE_MIN = 34, /* a message of a flow holds a time and a number, in quotes */
    HF_BENCH_PROCESS_CONNECTIONS =
        18000, /* where a process may have 20,000 descriptors, some are needed for other things */
    /*
     * Linux gives an address 28,232 ports by default, but connect() looks through one half of them, the odd or the even ones, before it
     * takes one of the other: beyond some 14,000 each connect() would search them all.
     */
    HF_BENCH_SOURCE_CONNECTIONS = 12000,
    HF_BENCH_TEXT_MAX = 160,
};

struct hf_bench_options {
    enum hf_bench_mode_id mode;
    enum hf_bench_protocol_id protocol;
    struct hf_url url;
    struct hf_url publish_url; /* where the publishers connect; the same as url unless it was given */
    bool tls, publish_tls;     /* wss:// */
    bool tls_resume;           /* resume the TLS session of an earlier connection */
    bool insecure;             /* take any certificate */
    const char *ca;            /* file of certificates to believe, NULL: those of the system */
    const char *header;        /* one more line of each request, "Name: value"; NULL: none */
    const char *channel;       /* name, or what the names begin with */
    uint64_t connections;      /* echo, idle, churn, storm, publish; fanout and rate: the subscribers */
    uint64_t publishers, channels;
    uint64_t stuck_percent; /* of a flow's subscribers: they stop reading when all are there */
    uint64_t size, inflight, window, pipeline;
    double rate; /* per second, of all processes; 0: as fast as it goes */
    bool one;    /* each message by itself */
    bool shared; /* idle: one channel for all */
    bool bare;   /* churn: no subscription */
    bool origin; /* the requests carry an Origin, as a browser's do */
    uint64_t seconds_ms, warmup_ms, timeout_ms, settle_ms;
    uint64_t processes;   /* 0: as many as the connections need */
    uint64_t sources;     /* 0: likewise */
    uint64_t opening_max; /* handshakes under way at a time in all processes */
    pid_t server_pids[HF_BENCH_SERVER_PIDS_MAX];
    unsigned server_pids_count;
    bool resume; /* idle: a connection that breaks resumes its session */
    bool json, watch;
};

enum hf_bench_parsed { HF_BENCH_RUN, HF_BENCH_HELP, HF_BENCH_WRONG };

/*
 * argv[0] is "bench". On WRONG, problem holds one line without its end. The options borrow from argv.
 */
enum hf_bench_parsed hf_bench_options_parse(struct hf_bench_options *o, int argc, char **argv,
                                            char problem[HF_BENCH_TEXT_MAX]);

/* The whole of --help. */
const char *hf_bench_options_help(void);

/* Whether it has publishers and subscribers. */
bool hf_bench_is_flow(const struct hf_bench_options *o);
/* Connections of all kinds. */
uint64_t hf_bench_connections(const struct hf_bench_options *o);

const char *hf_bench_mode_name(enum hf_bench_mode_id mode);
const char *hf_bench_protocol_name(enum hf_bench_protocol_id protocol);

#endif
