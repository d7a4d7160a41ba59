/*
 * tls_stream.h - the server's end of one TLS connection on a non-blocking socket: bytes of the application on one side, records on the other.
 *
 * OpenSSL never meets the socket's limits: what it writes goes into a buffer that all streams of a worker share and from there into the socket,
 * once for each call; what the socket does not take is kept by the stream, encrypted, until it does. So a write is either taken whole or
 * not begun, and the caller may come with other bytes next time: no record is ever made twice. A stream with such a rest takes no more.
 *
 * HANDSHAKE -> OPEN     the handshake is complete
 * HANDSHAKE -> REFUSED  what came is no TLS; the answer is sent, and what comes is thrown away until the peer's end
 * HANDSHAKE -> BROKEN   the handshake failed; the alert is sent
 * OPEN      -> ENDED    the peer's close_notify
 * OPEN      -> BROKEN   a bad record, too many messages that only cost time, or the end without close_notify
 *
 * Bounded: the rest (HF_TLS_REST_MAX; past it the stream is broken), messages after the handshake (KeyUpdate, refused renegotiation) against
 * the bytes received. Time is the caller's: what does not finish its handshake is closed by whoever has a clock.
 */
#ifndef HF_NET_TLS_STREAM_H
#define HF_NET_TLS_STREAM_H

#include "net/tls.h"
#include "net/tls_place.h"
#include "shm/counters.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

enum {
    HF_TLS_RECORD_BYTES = 16 * 1024, /* RFC 8446 5.1: "The length MUST NOT exceed 2^14 bytes." */
    HF_TLS_WRITE_BYTES = 64 * 1024,  /* of one write to the socket: four records */
    HF_TLS_REST_MAX = 128 * 1024,    /* one such write, and a handshake's flight or answers to the peer */
};

/* What the streams of one worker share. */
struct hf_tls_io {
    struct hf_counters *counters; /* borrowed */
    struct bio_method_st *method;
    struct hf_tls_places places;
    struct hf_tls_stream *current; /* whose SSL is being called */
    uint8_t *plain;                /* what a record is made of, gathered */
    uint8_t *out;                  /* records on their way into the socket */
    size_t out_len;
    bool drained, ended; /* of the current read: the socket is empty; its end has been announced */
};

enum hf_tls_state { HF_TLS_HANDSHAKE, HF_TLS_OPEN, HF_TLS_REFUSED, HF_TLS_ENDED, HF_TLS_BROKEN };

struct hf_tls_stream;

/* Returns 0 or HF_ENOMEM; counters are borrowed. */
int hf_tls_io_init(struct hf_tls_io *io, struct hf_counters *counters) HF_MUST_CHECK;
void hf_tls_io_release(struct hf_tls_io *io);

/* A stream on an accepted socket, which stays the caller's. Holds tls. Returns NULL where memory is short. */
struct hf_tls_stream *hf_tls_stream_new(struct hf_tls_io *io, struct hf_tls *tls, int fd);
/* Says close_notify where that is still due and possible at once, and counts a handshake that never ended. NULL is allowed. */
void hf_tls_stream_free(struct hf_tls_stream *s);

/*
 * Go on with the handshake, or read. `ended`: the socket has announced its end, so that it is read until it shows.
 * Returns the bytes read, HF_EAGAIN (none now), HF_ECLOSED (the peer's end, properly) or HF_EPROTO (broken: hf_tls_stream_why()).
 * *more: there is more to read at once, without a new edge.
 */
long hf_tls_stream_read(struct hf_tls_stream *s, uint8_t *buf, size_t cap, bool ended, bool *more);

/*
 * Write. Returns the bytes taken; HF_EAGAIN: none while the rest of before waits; hf_tls_stream_flush() will say when. HF_ECLOSED: it cannot any
 * more. Less than all is taken only with a rest left, so that the socket will become writable. Before the handshake is complete,
 * and after it failed, there is nobody to tell: all is taken and thrown away.
 */
long hf_tls_stream_write(struct hf_tls_stream *s, const struct iovec *iov, int count);

/* The socket is writable: send the rest. Returns 0 when there is none, HF_EAGAIN, or HF_ECLOSED. */
int hf_tls_stream_flush(struct hf_tls_stream *s);

/* Nothing more will be written: close_notify and FIN, behind the rest. Reading goes on. */
void hf_tls_stream_finish(struct hf_tls_stream *s);

enum hf_tls_state hf_tls_stream_state(const struct hf_tls_stream *s);
/* Why it was refused or broken, in English; valid while the stream is. */
const char *hf_tls_stream_why(const struct hf_tls_stream *s);

#endif
