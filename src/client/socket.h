/*
 * socket.h - one slot's TCP connection, with TLS on it where the URL is wss: making it, reading, writing, ending it. All without blocking, but for the lookup of names.
 * It obeys what the session wants of its slot (session/client_session.h) and tells it what happened.
 */
#ifndef HF_CLIENT_SOCKET_H
#define HF_CLIENT_SOCKET_H

#include "client/tls.h"
#include "client/url.h"
#include "session/client_session.h"

#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

enum { HF_ADDRESSES_MAX = 8, HF_READ_BYTES = 64 * 1024 };

/* Where the server is. The slots of a client share it, so that an attempt goes on where the last one gave up. */
struct hf_addresses {
    const struct hf_url *url;
    struct {
        struct sockaddr_storage address;
        socklen_t len;
        int family;
    } list[HF_ADDRESSES_MAX];
    unsigned count;
    unsigned
        first; /* the one to try first: the last that worked, or the one behind the last that did not answer */
};

struct hf_socket {
    int fd;           /* -1: none */
    uint32_t attempt; /* of the session, that fd belongs to */
    unsigned slot;
    unsigned tried;          /* addresses tried for this attempt */
    unsigned address;        /* the one being tried */
    struct hf_tls_conn *tls; /* NULL: plain, or not connected yet */
    bool connecting;
    bool greeting;    /* the TLS handshake is under way */
    bool wrote;       /* some bytes, since stuck.h has last been told */
    bool write_ended; /* everything is written, and the end told: what comes in is thrown away */
    char why[384];    /* how it ended */
};

struct hf_socket_turn {
    struct hf_client_session *session;
    struct hf_addresses *addresses;
    struct hf_client_tls *tls; /* NULL: plain */
    uint8_t *buf;              /* HF_READ_BYTES */
    uint64_t now_ms;
};

void hf_socket_init(struct hf_socket *sock, unsigned slot);
void hf_socket_release(struct hf_socket *sock);
/* Obey: close what is not wanted any more, begin what is, write what there is. */
void hf_socket_obey(struct hf_socket *sock, const struct hf_socket_turn *turn);
/* Which events to wait for; 0: none, and no descriptor. */
short hf_socket_events(const struct hf_socket *sock, const struct hf_socket_turn *turn);
/* poll() has said so. */
void hf_socket_ready(struct hf_socket *sock, short revents, const struct hf_socket_turn *turn);

#endif
