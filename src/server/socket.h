/*
 * socket.h - the client sockets of one worker: between the loop's edges and the hub's transport.
 *
 * A socket is read until it is empty, a bounded amount a turn, so that each has its share; a hub that wants no more input pauses it. What comes
 * between the bytes on the wire and those of the WebSocket has its place here, as stages that a read or a write passes: now TLS.
 * TLS handshakes take their turns among themselves, so that a crowd of them does not hold up those who are connected. One thread; what a socket holds is
 * freed by hf_socket_close(), and itself with the hub's connection, behind which it lies.
 */
#ifndef HF_SERVER_SOCKET_H
#define HF_SERVER_SOCKET_H

#include "base/list.h"
#include "net/loop.h"
#include "net/tls_stream.h"
#include "server/config.h"
#include "server/hub.h"

#include <stdbool.h>
#include <sys/socket.h>
#include <sys/uio.h>

enum { HF_FROZEN_MAX = 16 }; /* sockets of a worker at a time; one more is not frozen */

struct hf_frozen {
    void *socket;
    uint64_t until_ms;
};

/* What all sockets of a worker share. */
struct hf_sockets {
    struct hf_hub *hub;
    struct hf_loop *loop;
    const struct hf_now *now; /* the worker's */
    const struct hf_config *config;
    struct hf_list unread; /* readable, and not read to the end */
    struct hf_list
        young;       /* the same, and still in their handshake: they come behind the others, some a turn */
    uint8_t *buffer; /* one read of any of them */
    struct hf_counters *counters;
    struct hf_tls *tls; /* what new connections on a port with TLS take; NULL: there is none. Held. */
    struct hf_tls_io tls_io;
    uint64_t tls_failures, tls_logged_ms; /* since the last log line about them, and when it was */
    struct hf_frozen frozen[HF_FROZEN_MAX];
    unsigned frozen_count;
};

/* All are borrowed but tls, which may be NULL and is held. Returns 0 or HF_ENOMEM. */
int hf_sockets_init(struct hf_sockets *s, struct hf_hub *hub, struct hf_loop *loop, const struct hf_now *now,
                    struct hf_counters *counters, const struct hf_config *config,
                    struct hf_tls *tls) HF_MUST_CHECK;
void hf_sockets_release(struct hf_sockets *s);
/* New connections take this one from now on; those that stand go on with theirs. */
void hf_sockets_set_tls(struct hf_sockets *s, struct hf_tls *tls);
/* An accepted, non-blocking descriptor, which is taken; `secure`: of a port with TLS. Returns false where there is no memory for it: it has been closed. */
bool hf_sockets_open(struct hf_sockets *s, int fd, const struct sockaddr_storage *address, bool secure);
/* For hf_hub_shed(): nothing of this socket waits to be read. */
bool hf_socket_idle(const void *socket);
/* Thaw those whose time is over, and read once from each that is readable. A worker turns once a second at least, which is exact enough for frozen ones. */
void hf_sockets_read(struct hf_sockets *s);
/* Whether hf_sockets_read() has work left, so that the loop must not wait. */
bool hf_sockets_busy(const struct hf_sockets *s);

/* For other sockets with TLS: read by hf_tls_stream_read(), and log, seldom, why a handshake was refused or failed. */
long hf_sockets_read_tls(struct hf_sockets *s, struct hf_tls_stream *tls, int fd, uint8_t *buf, size_t cap,
                         bool ended, bool *more);
/* What every connection's socket is set to. */
void hf_socket_set_options(int fd);

/* The socket calls of struct hf_transport, and its socket_bytes; `ctx` is not used. */
enum { HF_SOCKET_BYTES = 56 };
long hf_socket_write(void *ctx, void *socket, const struct iovec *iov, int count);
void hf_socket_pause(void *ctx, void *socket, bool paused);
void hf_socket_finish(void *ctx, void *socket);
void hf_socket_close(void *ctx, void *socket);
bool hf_socket_freeze(void *ctx, void *socket, uint32_t ms);

#endif
