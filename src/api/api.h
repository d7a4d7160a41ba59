/*
 * api.h - the HTTP API of a worker ("HTTP API" in PROTOCOL.md) as the worker's loop sees it.
 *
 * libmicrohttpd runs without threads on the worker's own loop, joined by its epoll descriptor. A request that needs another worker (publish,
 * broadcast, disconnect) is suspended until the hub has answered; every other one is answered within the turn.
 *
 * What is bounded, and what happens there: connections (HF_API_CONNECTIONS_MAX; more wait in the listen queue), a request's body (413), the bytes
 * of all bodies and answers held at a time (HF_API_HELD_BYTES_MAX; 503 with Retry-After), the channels of a broadcast (400).
 */
#ifndef HF_API_API_H
#define HF_API_API_H

#include "server/supervisor.h"

enum {
    HF_API_CONNECTIONS_MAX = 256, /* of one worker; a guess: backends keep few connections and reuse them */
    HF_API_IDLE_SECONDS = 60, /* a connection without a byte for so long is closed, a suspended one is not */
    HF_API_HELD_BYTES_MAX =
        64 << 20, /* of one worker; a guess: a thousand requests of the default payload's size */
    HF_API_ANSWER_BYTES_MAX =
        16 << 20, /* of one answer, and a payload more: a history that is longer must be asked for in parts */
    HF_API_BROADCAST_CHANNELS_MAX = 1000, /* as many as one history request gives messages */
};

/*
 * start() duplicates listen_fd; the caller keeps its own. Of what comes by add() the daemon counts as of its own connections.
 * stop() answers what waits for the hub with 503; the hub may answer it later, or never.
 */
extern const struct hf_api_ops hf_api_http;

#endif
