/*
 * relay.h - TLS in front of the HTTP API: a connection of the API's port is ended here, and its plain bytes go to the API by a socket pair.
 *
 * Debian's libmicrohttpd speaks TLS by GnuTLS. Here the API has the same OpenSSL, the same certificates and the same reload as the clients' port
 * instead, at the price of one more copy through the kernel, which a backend's few connections do not feel.
 *
 * Bounded: relays (HF_RELAYS_MAX; more wait in the listen queue); what is held on the way in is one read that the API has not taken, on the
 * way out one write that the socket has not taken, and neither side is read meanwhile. A connection has until its deadline to finish its
 * handshake and send a first byte; from there on the API's own limits hold.
 */
#ifndef HF_SERVER_RELAY_H
#define HF_SERVER_RELAY_H

#include "server/capacity.h"
#include "server/socket.h"
#include "server/supervisor.h"

/* Each has three descriptors, and server/capacity.h counts on HF_API_RESERVE for the API. */
enum { HF_RELAYS_MAX = HF_API_RESERVE / 3 };

struct hf_relays {
    struct hf_sockets *sockets; /* its TLS, buffer, counters and log are shared */
    const struct hf_api_ops *ops;
    void *api;
    uint32_t handshake_ms;
    struct hf_list all, due; /* due: something can be moved */
    uint32_t count;
    uint64_t look_ms; /* no deadline is earlier than that */
};

void hf_relays_init(struct hf_relays *r, struct hf_sockets *sockets, const struct hf_api_ops *ops, void *api,
                    uint32_t handshake_ms);
/* Close all; what the API has answered goes out as far as the sockets take it. */
void hf_relays_release(struct hf_relays *r);
/* An accepted, non-blocking descriptor, which is taken. Returns false where it had to be closed for want of memory. */
bool hf_relays_open(struct hf_relays *r, int fd, const struct sockaddr_storage *address);
/* Whether another one may be opened. */
static inline bool hf_relays_room(const struct hf_relays *r)
{
    return r->count < HF_RELAYS_MAX;
}
/* Move what can be moved, and close what is over or overdue. */
void hf_relays_run(struct hf_relays *r);
/* When hf_relays_run() is due at the latest, monotonic ms: 0 at once, UINT64_MAX never. */
uint64_t hf_relays_deadline_ms(const struct hf_relays *r);

#endif
