/*
 * threaded.h - a Holdfast client that runs in a thread of its own and may be used from any.
 * A layer above holdfast.h: who runs a client in one thread pays nothing for it.
 *
 *     struct hf_threaded_options options;
 *     struct hf_threaded *client;
 *
 *     hf_threaded_options_init(&options);
 *     options.client.url = "ws://127.0.0.1:8000/ws";
 *     options.client.on_result = on_result;
 *     if (hf_threaded_start(&options, &client) == 0) {
 *         hf_threaded_publish(client, "demo", 4, "\"hello\"", 7, NULL, NULL);
 *         ...
 *         hf_threaded_close(client);
 *         hf_threaded_join(client);
 *         hf_threaded_free(client);
 *     }
 *
 * How it works: what is asked for goes into a bounded queue and wakes the client's thread, which does it. So it is done in the order in which it was
 * asked for by each thread, and what only that thread can know is told by a callback.
 *
 * Threads: all functions but hf_threaded_free() may be called from any thread at the same time, callbacks included; hf_threaded_free() is the last call.
 * hf_threaded_join() and hf_threaded_free() wait for the client's thread and so may not be called in a callback.
 * Callbacks: those of holdfast.h, all in the client's thread, one at a time, with no lock of the library held. While one runs, the client does
 * not: it should hand long work on.
 * Waiting: only hf_threaded_position(), _join() and _free() wait for the client's thread, and where wait_ms is set all that asks for something: do
 * not call these while you hold a lock that one of your callbacks takes.
 * Signals: the client's thread blocks all of them.
 * fork(): the child has no such thread; it may not use the client, nor free it.
 */
#ifndef HOLDFAST_THREADED_H
#define HOLDFAST_THREADED_H

#include "holdfast/holdfast.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct hf_threaded;

/* Fill with hf_threaded_options_init(), then change. Strings are copied by hf_threaded_start(). */
struct hf_threaded_options {
    struct hf_client_options
        client; /* as for hf_client_new(), callbacks and user included; outbox_path and outbox_block_ms must not be set: EINVAL */
    /*
     * Publishes that wait for the client's thread, or for room in its outbox, at most; default 1,000. Their bytes are bounded by
     * client.outbox_bytes_max, once more beside the outbox. Besides, 4,096 subscribes, unsubscribes, tokens and requests (history, presence, calls, pings) may wait, requests until their answer.
     */
    uint32_t queue_max;
    /* How long publish, subscribe, unsubscribe, tokens and requests wait for room before they fail with EAGAIN; default 0: not at all. In a callback they never wait. */
    uint64_t wait_ms;
};

/* Fill with the defaults. Whoever sets options begins with this, so that options of later versions have theirs. */
HF_CLIENT_API void hf_threaded_options_init(struct hf_threaded_options *options);

/*
 * Make a client and start its thread; it connects at once, and a callback may come before this returns. Errors are those of hf_client_new(), also EINVAL where queue_max is 0, and EAGAIN where
 * the system has no thread left. *out is set before the first callback; NULL after an error.
 */
HF_CLIENT_API int hf_threaded_start(const struct hf_threaded_options *options, struct hf_threaded **out);

/*
 * Publish one JSON value, or a text; returns at once. *publish_id (may be NULL) gets 1, 2, 3 …: on_result names it, and may do so before this
 * returns. A larger message than the server takes, or want of memory, is told by on_result: refused, with the code too_large or internal.
 * EAGAIN: the queue is full; ETOOLARGE: larger than the outbox; EINVAL: no valid channel, id, JSON or text; ENOMEM; ESTATE: closed or ended.
 */
HF_CLIENT_API int hf_threaded_publish(struct hf_threaded *client, const char *channel, size_t channel_len,
                                      const char *payload, size_t payload_len, const char *id,
                                      uint64_t *publish_id);
HF_CLIENT_API int hf_threaded_publish_text(struct hf_threaded *client, const char *channel,
                                           size_t channel_len, const char *text, size_t text_len,
                                           const char *id, uint64_t *publish_id);
/* The same for any bytes: see payload_raw of struct hf_client_message. */
HF_CLIENT_API int hf_threaded_publish_bytes(struct hf_threaded *client, const char *channel,
                                            size_t channel_len, const void *bytes, size_t bytes_len,
                                            const char *id, uint64_t *publish_id);
/* Publishes that have no result yet. */
HF_CLIENT_API uint32_t hf_threaded_unanswered(struct hf_threaded *client);

/*
 * Subscribe, and unsubscribe. on_subscribed and on_unsubscribed tell the answer, as with hf_client_subscribe(); on_problem tells what could not be asked
 * for, with the channel and the code exists, limit, not_found, bad_message (`since`) or internal. Between the call of hf_threaded_unsubscribe() and its
 * on_unsubscribed messages may still come.
 * EINVAL: no valid name; EAGAIN; ENOMEM; ESTATE.
 */
HF_CLIENT_API int hf_threaded_subscribe(struct hf_threaded *client, const char *channel, size_t channel_len,
                                        const struct hf_client_start *start);
HF_CLIENT_API int hf_threaded_unsubscribe(struct hf_threaded *client, const char *channel,
                                          size_t channel_len);

/*
 * As hf_client_history() and hf_client_ping(): on_history and on_pong answer, each once, naming *request_id (may be NULL), and may do so before this returns. Sixty-four are asked
 * of the server at once, the others wait; a ping's time counts from then. Only the end of the session leaves one without an answer.
 * EAGAIN: 4,096 wait; EINVAL: no valid channel, epoch, offset or limit; ENOMEM; ESTATE.
 */
HF_CLIENT_API int hf_threaded_history(struct hf_threaded *client, const char *channel, size_t channel_len,
                                      const struct hf_client_history_query *query, uint64_t *request_id);
HF_CLIENT_API int hf_threaded_ping(struct hf_threaded *client, uint64_t *request_id);

/*
 * As hf_client_presence() and hf_client_call(), by on_members and on_reply; in all else as above. The time of a call counts from when the client's thread takes it. What only that knows, that a payload is larger than
 * the server takes, is told by on_reply with the code too_large. ETOOLARGE: larger than the outbox; its bytes count with those of publishes.
 */
HF_CLIENT_API int hf_threaded_presence(struct hf_threaded *client, const char *channel, size_t channel_len,
                                       uint64_t *request_id);
HF_CLIENT_API int hf_threaded_call(struct hf_threaded *client, const char *method, size_t method_len,
                                   const char *payload, size_t payload_len, uint64_t *request_id);
/*
 * As hf_client_set_token() and hf_client_token_failed(): the answers to on_token_needed, from within it or later by any thread. They go before all that waits. EINVAL: no token; EAGAIN: 4,096 requests wait; ENOMEM;
 * ESTATE.
 */
HF_CLIENT_API int hf_threaded_set_token(struct hf_threaded *client, const char *token);
HF_CLIENT_API int hf_threaded_token_failed(struct hf_threaded *client, const char *why);

/* The room that an epoch takes at most, with the NUL at its end. */
enum { HF_CLIENT_EPOCH_BYTES = 256 };
/*
 * The position in a channel behind the last message whose callback has been called. Waits until the client's thread answers, between two callbacks; in a
 * callback it answers at once. False: not subscribed, not known yet, or the client has ended.
 */
HF_CLIENT_API bool hf_threaded_position(struct hf_threaded *client, const char *channel, size_t channel_len,
                                        char epoch[HF_CLIENT_EPOCH_BYTES], uint64_t *offset);

/* Whether there is a connection that the server has welcomed, when last looked. */
HF_CLIENT_API bool hf_threaded_connected(struct hf_threaded *client);

/* As hf_client_close(): end the session. What has been asked for before and is still in the queue is not done any more, and gets no result. */
HF_CLIENT_API void hf_threaded_close(struct hf_threaded *client);
/* Make the thread end without ending the session: no callback comes, and the connection is closed by hf_threaded_free(). */
HF_CLIENT_API void hf_threaded_stop(struct hf_threaded *client);
/* Wait for the thread's end: 0, the session has ended; 1, it was stopped; EIO. May be called again. */
HF_CLIENT_API int hf_threaded_join(struct hf_threaded *client);
/* Stop and join, unless that has happened, and free all. NULL is allowed. After hf_threaded_close() wait for the goodbye by hf_threaded_join(). */
HF_CLIENT_API void hf_threaded_free(struct hf_threaded *client);

#ifdef __cplusplus
}
#endif

#endif
