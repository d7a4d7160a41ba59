/*
 * socket.h - the client sockets of one worker: between the loop's edges and the hub's transport.
 *
 * A socket is read until it is empty, a bounded amount a turn, so that each has its share; a hub that wants no more input pauses it. What comes
 * between the bytes on the wire and those of the WebSocket has its place here. One thread; everything is freed by hf_socket_close().
 */
#ifndef HF_SERVER_SOCKET_H
#define HF_SERVER_SOCKET_H

#include "base/list.h"
#include "net/loop.h"
#include "server/config.h"
#include "server/hub.h"

#include <stdbool.h>
#include <sys/socket.h>
#include <sys/uio.h>

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
};

/* All are borrowed. Returns 0 or HF_ENOMEM. */
int hf_sockets_init(struct hf_sockets *s, struct hf_hub *hub, struct hf_loop *loop, const struct hf_now *now,
                    const struct hf_config *config) HF_MUST_CHECK;
void hf_sockets_release(struct hf_sockets *s);
/* An accepted, non-blocking descriptor, which is taken. Returns false where there is no memory for it: it has been closed. */
bool hf_sockets_open(struct hf_sockets *s, int fd, const struct sockaddr_storage *address);
/* For hf_hub_shed(): nothing of this socket waits to be read. */
bool hf_socket_idle(const void *socket);
/* Read once from each that is readable. */
void hf_sockets_read(struct hf_sockets *s);
/* Whether hf_sockets_read() has work left, so that the loop must not wait. */
bool hf_sockets_busy(const struct hf_sockets *s);

/* The socket calls of struct hf_transport; `ctx` is not used, `socket` is the one that hf_hub_open() was given. */
long hf_socket_write(void *ctx, void *socket, const struct iovec *iov, int count);
void hf_socket_pause(void *ctx, void *socket, bool paused);
void hf_socket_finish(void *ctx, void *socket);
void hf_socket_close(void *ctx, void *socket);

#endif
