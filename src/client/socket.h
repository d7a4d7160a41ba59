/*
 * socket.h - one slot's connection: the TCP connection (dial.h), a proxy's tunnel (tunnel.h) and TLS where they are wanted, reading, writing, ending it. Nothing blocks.
 * It obeys what the session wants of its slot (session/client_session.h) and tells it what happened.
 *
 *   NONE      -> DIALING    hf_socket_obey(): a connection is wanted
 *   DIALING   -> TUNNELING  one address of the race has won; the server is behind a proxy
 *   DIALING, TUNNELING -> GREETING   the way to the server stands; the URL is wss
 *   DIALING, TUNNELING, GREETING -> CARRYING   the session is told that it is connected
 *   CARRYING  -> ENDING     all is written and our end told: what comes in is thrown away
 *   any       -> NONE       it failed, has ended, or is not wanted any more
 */
#ifndef HF_CLIENT_SOCKET_H
#define HF_CLIENT_SOCKET_H

#include "client/dial.h"
#include "client/servers.h"
#include "client/tls.h"
#include "client/tunnel.h"
#include "session/client_session.h"

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

enum { HF_READ_BYTES = 64 * 1024, HF_SOCKET_FDS_MAX = HF_DIAL_FDS_MAX };

enum hf_socket_stage {
    HF_SOCKET_NONE,
    HF_SOCKET_DIALING,
    HF_SOCKET_TUNNELING,
    HF_SOCKET_GREETING,
    HF_SOCKET_CARRYING,
    HF_SOCKET_ENDING,
};

struct hf_socket {
    enum hf_socket_stage stage;
    unsigned slot;
    uint32_t attempt;         /* of the session, that all this is for */
    uint64_t begun_at_ms;     /* when it was begun */
    uint64_t until_ms;        /* when the attempt is given up */
    unsigned server;          /* which one of the servers it goes to */
    bool judged;              /* it was welcomed, or hf_servers knows that it will not be */
    int fd;                   /* -1: none, or the dial's */
    struct hf_dial dial;      /* DIALING */
    struct hf_tunnel *tunnel; /* TUNNELING; NULL otherwise */
    struct hf_tls_conn *tls;  /* from GREETING on; NULL: plain */
    int failed_errno;         /* of the socket that carried; 0: it has not failed */
    bool wrote;               /* some bytes, since stuck.h has last been told */
    char why[384];            /* how it ended */
};

struct hf_socket_turn {
    struct hf_client_session *session;
    struct hf_servers *servers; /* the slots of a client share them */
    struct hf_client_tls *tls;  /* NULL: no server is wss */
    uint8_t *buf;               /* HF_READ_BYTES */
    uint64_t now_ms;
    bool hold; /* no connection is begun, though one is wanted */
};

void hf_socket_init(struct hf_socket *sock, unsigned slot);
void hf_socket_release(struct hf_socket *sock);
/* Obey: close what is not wanted any more, begin what is, go on with what is due, write what there is. */
void hf_socket_obey(struct hf_socket *sock, const struct hf_socket_turn *turn);
/* What to wait for: fills in at most HF_SOCKET_FDS_MAX; returns how many. */
int hf_socket_prepare(const struct hf_socket *sock, const struct hf_socket_turn *turn, struct pollfd *fds);
/* poll() has said so of one of them; others are ignored. */
void hf_socket_ready(struct hf_socket *sock, const struct pollfd *fd, const struct hf_socket_turn *turn);
/* When to call hf_socket_tick() at the latest; UINT64_MAX: never. */
uint64_t hf_socket_deadline_ms(const struct hf_socket *sock, uint64_t now_ms);
/* Time has passed. Before the session is told so: here is known what the time was spent on. */
void hf_socket_tick(struct hf_socket *sock, const struct hf_socket_turn *turn);

#endif
