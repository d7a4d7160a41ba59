/*
 * transport.h - how a hub reaches sockets, random bytes and the other workers. The worker gives it real ones, the simulation a virtual network.
 * `socket` is what hf_hub_socket() gives.
 */
#ifndef HF_SERVER_TRANSPORT_H
#define HF_SERVER_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct hf_transport {
    void *ctx;
    /* What the transport keeps of each socket, at most 8-aligned: the hub allocates it with the connection, zeroed; it goes some time after close(). */
    size_t socket_bytes;
    /* Gathered write. Returns bytes taken (0 to all), or HF_EAGAIN (nothing now: hf_hub_writable() will be called), or HF_ECLOSED. */
    long (*write)(void *ctx, void *socket, const struct iovec *iov, int count);
    /* No more reading until resumed. What came meanwhile is handed in after the resume. */
    void (*pause)(void *ctx, void *socket, bool paused);
    /* Nothing more will be written: tell the peer (FIN), and go on reading till its end. */
    void (*finish)(void *ctx, void *socket);
    /* The hub has done with this socket: close it. No call about it comes afterwards. */
    void (*close)(void *ctx, void *socket);
    /* No byte goes in or out for so long, and the peer is told nothing of it: for the demo's harm. Returns whether it is so now. NULL: it cannot. */
    bool (*freeze)(void *ctx, void *socket, uint32_t ms);
    /* Wake the worker in that slot. */
    void (*wake)(void *ctx, uint32_t slot);
    /* Bytes of a secure source. */
    void (*random)(void *ctx, uint8_t *out, size_t len);
    /* The monotonic time in microseconds, now and not at the turn's beginning: for what is measured. NULL: the turn's time stands for it. */
    uint64_t (*clock_us)(void);
};

#endif
