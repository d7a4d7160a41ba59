#include "server/capacity.h"

#include "base/assert.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
    DEVIATIONS = 6,        /* see capacity.h */
    BACKLOG_WANTED = 4096, /* net/listen.c asks for that much */
    OWN_FILES = 16,        /* of a worker: its loop, its sockets, the API's */
};

/* ---- The system ---- */

/* The n-th number of a file of /proc/sys, from 0; `unknown` where it cannot be read. */
static uint64_t read_sys(const char *path, unsigned n, uint64_t unknown)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    char text[128], *at = text, *end;
    ssize_t len = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    uint64_t value = unknown;

    if (fd >= 0)
        close(fd);
    if (len <= 0)
        return unknown;
    text[len] = '\0';
    for (unsigned i = 0; i <= n; i++, at = end) {
        value = strtoull(at, &end, 10);
        if (end == at)
            return unknown;
    }
    return value;
}

static uint64_t count_local_ports(void)
{
    static const char path[] = "/proc/sys/net/ipv4/ip_local_port_range";
    uint64_t first = read_sys(path, 0, 0), last = read_sys(path, 1, 0);

    return first == 0 || last < first ? 0 : last - first + 1;
}

void hf_limits_read(struct hf_limits *limits)
{
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    struct rlimit files;

    *limits = (struct hf_limits){.cpus = cpus < 1                ? 1
                                         : cpus > HF_WORKERS_MAX ? HF_WORKERS_MAX
                                                                 : (uint32_t)cpus,
                                 .descriptors = UINT64_MAX,
                                 .nr_open = read_sys("/proc/sys/fs/nr_open", 0, UINT64_MAX),
                                 .file_max = read_sys("/proc/sys/fs/file-max", 0, UINT64_MAX),
                                 .backlog = read_sys("/proc/sys/net/core/somaxconn", 0, UINT64_MAX),
                                 .tcp_pages = read_sys("/proc/sys/net/ipv4/tcp_mem", 2, 0)};
    limits->conntrack = read_sys("/proc/sys/net/netfilter/nf_conntrack_max", 0, 0);
    limits->local_ports = count_local_ports();
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_max != RLIM_INFINITY)
        limits->descriptors = files.rlim_max;
}

/* ---- The arithmetic ---- */

uint64_t hf_capacity_room(uint32_t workers, uint64_t descriptors)
{
    uint64_t api = descriptors / 8 < HF_API_RESERVE ? descriptors / 8 : HF_API_RESERVE;
    uint64_t reserve = HF_DESCRIPTORS_RESERVE + api + workers; /* A wake-up descriptor of each worker. */

    return descriptors > reserve ? descriptors - reserve : 0;
}

/* Whether `workers` with that much room each hold so many connections. */
static bool holds(uint32_t workers, uint64_t room, uint64_t connections)
{
    uint64_t mean = (connections + workers - 1) / workers, above;

    if (workers == 1 || room < mean)
        return room >= mean;
    above = room - mean < UINT32_MAX ? room - mean : UINT32_MAX;
    return above * above >= (uint64_t)DEVIATIONS * DEVIATIONS * mean;
}

static uint32_t workers_for(const struct hf_limits *limits, uint64_t connections)
{
    uint32_t workers = limits->cpus;

    while (workers < HF_WORKERS_MAX &&
           !holds(workers, hf_capacity_room(workers, limits->descriptors), connections))
        workers++;
    return workers;
}

/* The least that satisfies holds(), by halving. */
static uint64_t descriptors_for(uint32_t workers, uint64_t connections)
{
    uint64_t low = 0, high = UINT32_MAX;

    while (low < high) {
        uint64_t middle = (low + high) / 2;

        if (holds(workers, hf_capacity_room(workers, middle), connections))
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

static uint64_t connections_for(uint32_t workers, uint64_t room)
{
    uint64_t low = 0, high = (room < UINT32_MAX ? room : UINT32_MAX) * workers;

    while (low < high) {
        uint64_t middle = (low + high + 1) / 2;

        if (holds(workers, room, middle))
            low = middle;
        else
            high = middle - 1;
    }
    return low;
}

struct hf_capacity hf_capacity_plan(const struct hf_config *config, const struct hf_limits *limits)
{
    /* Without a bound that is configured, one connection is what a worker must be able to hold. */
    uint64_t connections = config->connections_max > 0 ? config->connections_max : 1;
    struct hf_capacity plan = {.workers =
                                   config->workers > 0 ? config->workers : workers_for(limits, connections)};
    uint64_t sockets = plan.workers * (config->listen_count + config->tls_listen_count + 1);

    plan.descriptors = descriptors_for(plan.workers, connections);
    if (plan.descriptors < sockets + plan.workers + HF_DESCRIPTORS_RESERVE)
        plan.descriptors =
            sockets + plan.workers + HF_DESCRIPTORS_RESERVE; /* The supervisor has all of them. */
    plan.files = connections + sockets + (uint64_t)plan.workers * OWN_FILES;
    plan.connections = connections_for(plan.workers, hf_capacity_room(plan.workers, limits->descriptors));
    plan.within_descriptors = plan.descriptors <= limits->descriptors;
    plan.within_files = plan.files <= limits->file_max;
    return plan;
}

/* ---- What is said ---- */

/* Appends; what does not fit is cut. */
static void put_raise(const struct hf_limits *limits, uint64_t need, char *out, size_t cap)
{
    size_t used = strlen(out);

    snprintf(out + used, cap - used,
             "raise the limit on descriptors to %llu (ulimit -Hn, LimitNOFILE= in a systemd unit%s)",
             (unsigned long long)need, need > limits->nr_open ? ", and before that sysctl fs.nr_open" : "");
}

static void put_descriptors(const struct hf_config *config, const struct hf_limits *limits,
                            const struct hf_capacity *plan, char *out, size_t cap)
{
    uint32_t enough = workers_for(limits, config->connections_max);
    bool more_help = plan->workers < enough &&
                     holds(enough, hf_capacity_room(enough, limits->descriptors), config->connections_max);
    char instead[64] = "";

    if (more_help)
        snprintf(instead, sizeof(instead), "start %u workers (workers: auto does), or ", enough);
    if (plan->connections >= config->connections_max && plan->connections > 0)
        snprintf(out, cap,
                 "the sockets of %u workers take %llu descriptors, and a process may have %llu: start fewer "
                 "workers, or ",
                 plan->workers, (unsigned long long)plan->descriptors,
                 (unsigned long long)limits->descriptors);
    else if (config->connections_max == 0)
        snprintf(out, cap, "a process may have %llu descriptors, which leaves none for connections: ",
                 (unsigned long long)limits->descriptors);
    else
        snprintf(out, cap,
                 "limits.connections: %u worker%s with %llu descriptors each can be relied upon to hold %llu "
                 "connections, and %u are asked for: %s",
                 plan->workers, plan->workers == 1 ? "" : "s", (unsigned long long)limits->descriptors,
                 (unsigned long long)plan->connections, config->connections_max, instead);
    put_raise(limits, plan->descriptors, out, cap);
}

void hf_capacity_lacks(const struct hf_config *config, const struct hf_limits *limits,
                       const struct hf_capacity *plan, char *out, size_t cap)
{
    if (!plan->within_descriptors)
        put_descriptors(config, limits, plan, out, cap);
    else
        snprintf(
            out, cap,
            "limits.connections: %llu files would be open, and the whole system may have %llu: sysctl -w "
            "fs.file-max=%llu, or lower limits.connections",
            (unsigned long long)plan->files, (unsigned long long)limits->file_max,
            (unsigned long long)(plan->files + plan->files / 4));
}

static bool advise_backlog(const struct hf_config *config, const struct hf_limits *limits, char *out,
                           size_t cap)
{
    (void)config;
    if (limits->backlog >= BACKLOG_WANTED)
        return false;
    snprintf(out, cap,
             "net.core.somaxconn is %llu: of clients that come at once more than that many per worker wait "
             "for a repeated "
             "SYN; %d is what a worker asks for",
             (unsigned long long)limits->backlog, BACKLOG_WANTED);
    return true;
}

/* An idle connection has no buffers; but one message to all of them leaves a page in each until it is acknowledged. */
static bool advise_memory(const struct hf_config *config, const struct hf_limits *limits, char *out,
                          size_t cap)
{
    if (limits->tcp_pages == 0 || config->connections_max <= limits->tcp_pages)
        return false;
    snprintf(out, cap,
             "net.ipv4.tcp_mem lets all sockets have %llu pages, and limits.connections is %u: a message to "
             "all of them may "
             "meet a kernel that is short of buffers; raise the third number above it",
             (unsigned long long)limits->tcp_pages, config->connections_max);
    return true;
}

/* Behind a packet filter that follows connections, one that finds no place in its table is dropped without a word. */
static bool advise_conntrack(const struct hf_config *config, const struct hf_limits *limits, char *out,
                             size_t cap)
{
    uint64_t wanted = config->connections_max + (uint64_t)config->connections_max / 4;

    if (limits->conntrack == 0 || wanted <= limits->conntrack)
        return false;
    snprintf(out, cap,
             "net.netfilter.nf_conntrack_max is %llu, and limits.connections is %u: beyond it the packet "
             "filter drops "
             "new connections without a word; sysctl -w net.netfilter.nf_conntrack_max=%llu, or do not "
             "follow those to "
             "the server's ports (notrack)",
             (unsigned long long)limits->conntrack, config->connections_max, (unsigned long long)wanted);
    return true;
}

/* A connection of a proxy takes a port of its own for each address that it connects to. */
static bool advise_ports(const struct hf_config *config, const struct hf_limits *limits, char *out,
                         size_t cap)
{
    uint64_t room = limits->local_ports * (config->listen_count + config->tls_listen_count);

    if (limits->local_ports == 0 || config->proxy_trusted_count == 0 || config->connections_max <= room)
        return false;
    snprintf(out, cap,
             "net.ipv4.ip_local_port_range has %llu ports: a proxy that is set like this machine opens at "
             "most %llu "
             "connections to the addresses of listen, and limits.connections is %u; widen it (1024 65535) "
             "where the "
             "proxy runs, or give the server more addresses to listen on",
             (unsigned long long)limits->local_ports, (unsigned long long)room, config->connections_max);
    return true;
}

typedef bool advise(const struct hf_config *config, const struct hf_limits *limits, char *out, size_t cap);

bool hf_capacity_advice(const struct hf_config *config, const struct hf_limits *limits, unsigned i, char *out,
                        size_t cap)
{
    static advise *const all[] = {advise_backlog, advise_memory, advise_conntrack, advise_ports};

    for (size_t k = 0; k < sizeof(all) / sizeof(all[0]); k++)
        if (all[k](config, limits, out, cap) && i-- == 0)
            return true;
    return false;
}
