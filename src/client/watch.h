/*
 * watch.h - what a client asks its machine about the network: when something may have changed, and then which way packets take.
 *
 * Changes are told by a descriptor, or by time; what changed is not told but looked up anew, by the ways to the addresses that
 * matter: the server's. So a message of the kernel that was lost, or whose meaning depends on others, can lead to no wrong picture,
 * nothing grows with the size of the routing table, and a change that does not concern the way to the server is seen to be none.
 *
 * Two kinds, the first that opens is taken:
 *   rtnetlink  Linux: links, addresses and routes are told as they change (watch_rtnetlink.c)
 *   poll       anywhere with sockets: a look every HF_WATCH_POLL_MS; it knows no interface and no network key (watch_poll.c)
 * A watch belongs to one thread. No call blocks, and none sends a packet. Without any the client works: its heartbeats find out later.
 */
#ifndef HF_CLIENT_WATCH_H
#define HF_CLIENT_WATCH_H

#include "base/err.h"
#include "base/ip.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

enum {
    HF_WATCH_POLL_MS = 5000, /* a guess between a late look and a machine kept awake */
};

/* An address, as a socket has it, without its port. */
struct hf_place {
    struct hf_ip ip;
    uint32_t interface; /* the scope of a link-local IPv6 address; 0: none */
};

/* How packets to a place leave, as far as this machine knows. */
struct hf_way {
    bool open;                /* there is a route, and its interface is up and has a carrier */
    uint32_t interface;       /* index; 0: not known */
    uint32_t carrier_changes; /* of the interface, so that a link which went and came back is seen */
    struct hf_ip source;      /* the address that a new connection would get; all 0: not known */
    struct hf_ip gateway;     /* all 0: none, or not known */
};

struct hf_watch;

struct hf_watch_kind {
    const char *name;
    int (*open)(struct hf_watch **out);
    void (*close)(struct hf_watch *w);
    bool (*process)(struct hf_watch *w, uint64_t now_ms);
    void (*way)(struct hf_watch *w, const struct hf_place *to, struct hf_way *way);
    bool (*has_address)(struct hf_watch *w, const struct hf_place *own);
    uint64_t (*key)(struct hf_watch *w, const struct hf_place *to);
};

/* What every kind begins with. */
struct hf_watch {
    const struct hf_watch_kind *kind;
    int fd;               /* to be polled for POLLIN; -1: there is none */
    uint64_t deadline_ms; /* when to call hf_watch_process() without it; UINT64_MAX: never */
};

extern const struct hf_watch_kind hf_watch_rtnetlink, hf_watch_poll;

/* The place of a socket's address. False: it is of no IP family. */
bool hf_place_of(const struct sockaddr_storage *address, struct hf_place *out);

/* The best kind that works here; NULL: none does. */
struct hf_watch *hf_watch_new(void);
/* NULL is allowed. */
void hf_watch_free(struct hf_watch *w);
/* The descriptor is readable, or the deadline has passed: returns whether anything may have changed. */
bool hf_watch_process(struct hf_watch *w, uint64_t now_ms);
/* Where nothing can be learned, *way says that it is open, and nothing else: a signal that is none must not stop a client. */
void hf_watch_way(struct hf_watch *w, const struct hf_place *to, struct hf_way *way);
/* Whether the address is (still) one of this machine's; true where it cannot be learned. */
bool hf_watch_has_address(struct hf_watch *w, const struct hf_place *own);
/*
 * Which network the way to a place leads into, the same whenever this machine is in it, today or in a year: a hash of the interface's type and
 * the gateway's link-layer address; or, where that is not known, of type, gateway (or, without one, own address) and the interface's name. 0: not known, or the place is on this machine.
 */
uint64_t hf_watch_key(struct hf_watch *w, const struct hf_place *to);

#endif
