/*
 * client_state.h - the states of a client session as its application sees them, what may follow what, and what makes it change.
 *
 *   WAITING    -> CONNECTING  the time of the next attempt has come: DUE, or a signal brought it forward (the first: STARTED)
 *   WAITING    -> OFFLINE     the system says that there is no way to the server
 *   CONNECTING -> LIVE        `welcome` has come
 *   CONNECTING -> WAITING     the attempt failed; backoff.h says for how long
 *   CONNECTING -> OFFLINE     the same, while there is no way to the server
 *   LIVE       -> DOUBTFUL    the connection is being verified, or a heartbeat's soft deadline has passed
 *   DOUBTFUL   -> LIVE        something came from the server (PROVEN), or the next connection was welcomed
 *   LIVE, DOUBTFUL -> WAITING     the connection is lost, or dead
 *   LIVE, DOUBTFUL -> OFFLINE     the same, while there is no way to the server
 *   LIVE, DOUBTFUL -> CONNECTING  the same, while the connection that shall follow it is already on its way
 *   LIVE, DOUBTFUL -> CLOSING     hf_client_session_close(): `bye` is out
 *   OFFLINE    -> WAITING     the system says that there is a way again: the next attempt is due in at most 100 ms
 *   OFFLINE    -> CONNECTING  the rare probe, because signals lie
 *   any        -> ENDED       a close code or a refusal that no repetition changes, or the end of CLOSING
 *
 * A session begins WAITING. Every other pair is forbidden, a state after itself too.
 */
#ifndef HF_SESSION_CLIENT_STATE_H
#define HF_SESSION_CLIENT_STATE_H

#include <stdbool.h>

enum hf_client_session_state {
    HF_CLIENT_WAITING,    /* there is no connection; the time of the next attempt is known */
    HF_CLIENT_CONNECTING, /* one is being made, up to the server's `welcome` */
    HF_CLIENT_LIVE,
    HF_CLIENT_DOUBTFUL, /* there is one, and it may be dead: it is being asked */
    HF_CLIENT_OFFLINE,  /* no connection, and no way to make one: waits for the system's signal */
    HF_CLIENT_CLOSING,  /* the goodbye is said; its answer is awaited for two seconds at most */
    HF_CLIENT_ENDED,
};

enum { HF_CLIENT_STATE_COUNT = HF_CLIENT_ENDED + 1 };

/* Cause, its name (part of the public interface), and what is said where nothing more is known. No change has the cause NONE. */
#define HF_CLIENT_CAUSES(X)                                                                                  \
    X(NONE, "none", "")                                                                                      \
    X(STARTED, "started", "the first attempt")                                                               \
    X(DUE, "due", "the time of the next attempt has come")                                                   \
    X(PROBE, "probe", "a rare attempt, though the system says that there is no way")                         \
    X(WELCOMED, "welcomed", "the server has welcomed the connection")                                        \
    X(PROVEN, "proven", "something came from the server")                                                    \
    X(NETWORK_CHANGED, "network_changed", "the network changed")                                             \
    X(ADDRESS_GONE, "address_gone", "the connection's own address is gone")                                  \
    X(OFFLINE, "offline", "the system says that there is no way to the server")                              \
    X(WOKE_UP, "woke_up", "the machine slept")                                                               \
    X(FOREGROUND, "foreground", "the application is in use again")                                           \
    X(HEARTBEAT_LATE, "heartbeat_late", "no answer to a heartbeat yet")                                      \
    X(HEARTBEAT_MISSED, "heartbeat_missed", "no answer to a heartbeat")                                      \
    X(SENT_AFTER_SILENCE, "sent_after_silence", "the first send after a long silence")                       \
    X(ANSWER_LATE, "answer_late", "an answer of the server is late")                                         \
    X(OUTPUT_STUCK, "output_stuck", "what was written does not leave this machine")                          \
    X(CONNECTION_LOST, "connection_lost", "the connection ended without a word")                             \
    X(UNREACHABLE, "unreachable", "the connection could not be made")                                        \
    X(TIMED_OUT, "timed_out", "no answer in time")                                                           \
    X(REFUSED, "refused", "the server refused the connection")                                               \
    X(RETRY_AFTER, "retry_after", "the server says when to come back")                                       \
    X(SERVER_DRAIN, "server_drain", "the server asked for a new connection")                                 \
    X(CLOSED_BY_SERVER, "closed_by_server", "the server closed the connection")                              \
    X(SUPERSEDED, "superseded", "the session was taken over by another connection")                          \
    X(TOKEN_EXPIRED, "token_expired", "the token has expired")                                               \
    X(ENDED_BY_SERVER, "ended_by_server", "the server ended the session")                                    \
    X(PROTOCOL_ERROR, "protocol_error", "the server broke the protocol")                                     \
    X(NO_MEMORY, "no_memory", "out of memory")                                                               \
    X(CLOSED, "closed", "closed by the application")

enum hf_client_session_cause {
#define X(cause, name, text) HF_BY_##cause,
    HF_CLIENT_CAUSES(X)
#undef X
};

/* Whether a state may come after another. */
bool hf_client_state_may_follow(enum hf_client_session_state from, enum hf_client_session_state to);
/* Whether there is a connection that the server has welcomed. */
bool hf_client_state_connected(enum hf_client_session_state state);
/* "waiting", "network_changed" and so on; "?" and "none" for what is none. Static storage. */
const char *hf_client_session_state_name(enum hf_client_session_state state);
const char *hf_client_session_cause_name(enum hf_client_session_cause cause);
/* In English. */
const char *hf_client_session_cause_text(enum hf_client_session_cause cause);

#endif
