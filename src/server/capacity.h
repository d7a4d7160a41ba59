/*
 * capacity.h - how many workers the configured connections need, given what the system lets a process have.
 *
 * The kernel spreads new connections over the workers by hash, so of L connections over N workers one gets L/N on the average and more or less by the
 * root of that (a binomial spread). A worker is counted as enough for its share when it has room for six such deviations above the average: then
 * of 256 workers one is exceeded by chance less than once in a million starts. Pure but for hf_limits_read().
 */
#ifndef HF_SERVER_CAPACITY_H
#define HF_SERVER_CAPACITY_H

#include "server/config.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    HF_DESCRIPTORS_RESERVE =
        64, /* of a worker: log, loop, listening sockets, the API's own; a guess on the high side */
    HF_API_RESERVE =
        256, /* the API's connections: HF_API_CONNECTIONS_MAX in api/api.h; but an eighth of all at most */
};

/* What the system allows. */
struct hf_limits {
    uint32_t cpus;
    uint64_t descriptors; /* RLIMIT_NOFILE of a process, the hard limit */
    uint64_t nr_open;     /* fs.nr_open: what that limit can be raised to */
    uint64_t file_max;    /* fs.file-max: open files of the whole system */
    uint64_t backlog;     /* net.core.somaxconn */
    uint64_t
        conntrack; /* net.netfilter.nf_conntrack_max: connections that the packet filter can follow; 0: it follows none, or unknown */
    uint64_t
        local_ports; /* net.ipv4.ip_local_port_range: ports that this machine has for connections that it opens; 0: unknown */
    uint64_t tcp_pages; /* net.ipv4.tcp_mem, the last: pages that all sockets' buffers may take; 0: unknown */
};

/* What is not known is read as unlimited. */
void hf_limits_read(struct hf_limits *limits);

struct hf_capacity {
    uint32_t workers;
    uint64_t descriptors; /* that each of them needs for what is configured */
    uint64_t files;       /* that all need together */
    uint64_t
        connections; /* that these workers can be relied upon to hold with the descriptors that a process may have */
    bool within_descriptors; /* of each */
    bool within_files;       /* of the system */
};

/* Connections that a worker among `workers` has room for with so many descriptors. */
uint64_t hf_capacity_room(uint32_t workers, uint64_t descriptors);
/*
 * Plan: config->workers, or where that is 0 (auto) one per CPU, and as many more as config->connections_max needs. Where not even HF_WORKERS_MAX are
 * enough, that many with within_descriptors false.
 */
struct hf_capacity hf_capacity_plan(const struct hf_config *config, const struct hf_limits *limits);
/* What is missing and how to get it, in one line, for a plan that is not within the limits. */
void hf_capacity_lacks(const struct hf_config *config, const struct hf_limits *limits,
                       const struct hf_capacity *plan, char *out, size_t cap);
/* Advice for the i-th thing that works but will be slow or tight, from 0; false where there is none any more. */
bool hf_capacity_advice(const struct hf_config *config, const struct hf_limits *limits, unsigned i, char *out,
                        size_t cap);

#endif
