/*
 * pool.h - several Holdfast sessions that publish and subscribe as one, from any thread.
 *
 * For a backend that publishes more than one connection carries, or that must not stand still while one of them is being made anew. A server
 * with several workers gives the members to different ones.
 *
 *     struct hf_pool_options options;
 *     struct hf_pool *pool;
 *
 *     hf_pool_options_init(&options);
 *     options.client.url = "ws://127.0.0.1:8000/ws";
 *     options.on_result = on_result;
 *     if (hf_pool_start(&options, &pool) == 0) {
 *         hf_pool_publish(pool, "EURUSD", "quotes", 6, "1.0842", 6, NULL, NULL);
 *         ...
 *         hf_pool_close(pool);
 *         hf_pool_join(pool);
 *         hf_pool_free(pool);
 *     }
 *
 * Members: places 0, 1, 2 …, each with a session of its own, that lives through all breaks of its connection as in holdfast.h. If a session ends
 * for good (the backend ended it, the server refuses it), another is made in its place: at once after one that had been connected for ten
 * seconds, else after a pause that doubles from half a second to thirty.
 *
 * Publishes are applied exactly once, whichever member takes them. Which one that is:
 *   - with a key, the member that the key's hash names, for the life of the pool: publishes of one key are applied in the order in which they were made
 *     (by one thread, or by several that agree on it). While that member is away they wait in its outbox; while its session is being
 *     replaced, in the queue. They never go to another, or their order would be lost.
 *   - without a key, the next one in turn that is connected and has room. There is no order between two such publishes, not even of one thread.
 * With a refused publish its successors of the same key go on all the same: the application sees it by on_result.
 *
 * The queue: publishes wait in it for the pool's thread, and while no member is connected. Then it takes queue_max, and EAGAIN tells that the server
 * cannot be reached; every flush_interval_ms the pool looks whether it has come back, so that members which return together share
 * what has waited. While some member is connected the queue takes connected_queue_max, and EAGAIN tells that publishes are made faster
 * than they are sent. Their bytes are bounded by client.outbox_bytes_max. Besides, 4,096 subscribes, unsubscribes, tokens and requests (history, presence, calls, pings) may wait for the
 * pool's thread, requests until their answer.
 *
 * Subscriptions: a channel is on one member, so that its messages come in order; a new one goes to the member with the fewest. If that member's session is
 * replaced, the next one goes on behind the last message that was delivered (or a gap tells what cannot be had). One that the backend makes for each session of a user is kept on the member that hears of it
 * first, and ended on the others.
 *
 * Threads: all functions but hf_pool_free() may be called from any thread at the same time, callbacks included; hf_pool_free() is the last call.
 * hf_pool_join() and hf_pool_free() wait for the pool's thread and so may not be called in a callback. One thread serves all members.
 * Callbacks: all in the pool's thread, one at a time, with no lock of the library held. What they are given is borrowed until they return.
 * Waiting: only hf_pool_position(), _join() and _free() wait for the pool's thread, and where wait_ms is set all that asks for something: do not
 * call these while you hold a lock that one of your callbacks takes.
 * Signals: the pool's thread blocks all of them.
 * fork(): the child has no such thread; it may not use the pool, nor free it.
 */
#ifndef HOLDFAST_POOL_H
#define HOLDFAST_POOL_H

#include "holdfast/holdfast.h"
#include "holdfast/threaded.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct hf_pool;

enum { HF_POOL_MEMBERS_MAX = 64 };

/* Fill with hf_pool_options_init(), then change. Strings are copied by hf_pool_start(). */
struct hf_pool_options {
    /*
     * What each member's session is made with: URL, CA file, proxy, bounds (of each: three members have three outboxes). Its callbacks and user are not
     * used; those below are. outbox_path and outbox_block_ms must not be set: EINVAL.
     */
    struct hf_client_options client;
    /*
     * Where the members connect to, in place of client.url: member i to the URL i modulo their number, and after a session that was never connected
     * to the next one. All must lead to servers that share their channels. NULL, the default: client.urls where those
     * are given, spread likewise; else client.url for all.
     */
    const char *const *urls;
    size_t urls_count;
    uint32_t members;   /* 1 to HF_POOL_MEMBERS_MAX; default 3 */
    uint32_t queue_max; /* publishes taken while no member is connected; default 100 */
    uint32_t
        connected_queue_max; /* publishes that wait for the pool's thread, or for room in the outboxes; default 10,000 */
    uint64_t flush_interval_ms; /* 1 to 60,000; default 100 */
    /* How long publish, subscribe, unsubscribe, tokens and requests wait for room before they fail with EAGAIN; default 0: not at all. In a callback they never wait. */
    uint64_t wait_ms;

    /* Any of these may be NULL. */
    void *user; /* passed to each */
    void (*on_connected)(void *user, uint32_t member, const struct hf_client_connection *connection);
    void (*on_disconnected)(void *user, uint32_t member, const struct hf_client_break *how);
    /*
     * A member's session is over. After how->retry_ms another is made in its place. What the server may have got of its publishes and has not
     * answered is told as uncertain; what it cannot have got goes on with the next session.
     */
    void (*on_member_ended)(void *user, uint32_t member, const struct hf_client_break *how);
    /* The pool has been closed, and nothing comes after it. */
    void (*on_ended)(void *user);
    void (*on_message)(void *user, const struct hf_client_message *message);
    void (*on_gap)(void *user, const struct hf_client_gap *gap);
    /* Comes again when the channel's member has got another session. */
    void (*on_subscribed)(void *user, const struct hf_client_subscription *subscription);
    void (*on_unsubscribed)(void *user, const struct hf_client_subscription *subscription);
    /* Each publish gets exactly one; in the order of publishing for those of one key, but for refusals, which may come before others. */
    void (*on_result)(void *user, const struct hf_client_result *result);
    void (*on_problem)(void *user, const struct hf_client_problem *problem);
    /* Every change of a member's state, as of a client's. After ENDED its next session begins WAITING, without a word. */
    void (*on_state)(void *user, uint32_t member, const struct hf_client_state_change *change);
    /* After a member's on_connected: all that it had missed has been delivered. */
    void (*on_caught_up)(void *user, uint32_t member, uint64_t messages);
    void (*on_history)(void *user, const struct hf_client_history *history);
    void (*on_pong)(void *user, uint32_t member, const struct hf_client_pong *pong);
    void (*on_members)(void *user, const struct hf_client_members *members);
    void (*on_presence)(void *user, const struct hf_client_presence_event *event);
    void (*on_reply)(void *user, const struct hf_client_reply *reply);
    /* As in holdfast.h; asked once for all members, which show the same token. */
    void (*on_token_needed)(void *user, enum hf_client_token_reason reason);
};

/* Fill with the defaults. Whoever sets options begins with this, so that options of later versions have theirs. */
HF_CLIENT_API void hf_pool_options_init(struct hf_pool_options *options);

/*
 * Make a pool and start its thread; the members connect at once, and a callback may come before this returns. EINVAL: a URL or a bound makes no
 * sense; EAGAIN: the system has no thread left; ENOMEM, EIO, ECERT as hf_client_new(). *out is set before the first callback; NULL after an error.
 */
HF_CLIENT_API int hf_pool_start(const struct hf_pool_options *options, struct hf_pool **out);

/*
 * Publish one JSON value, or a text, exactly once; returns at once. key: NULL for none, else a text that names what must keep its order, a user or an
 * instrument. *publish_id (may be NULL) gets 1, 2, 3 …: on_result names it, and may do so before this returns. A message larger
 * than the server takes, or want of memory, is told by on_result: refused, with the code too_large or internal.
 * EAGAIN: the queue is full; ETOOLARGE: larger than a member's outbox; EINVAL: no valid channel, id, JSON or text; ENOMEM; ESTATE: closed.
 */
HF_CLIENT_API int hf_pool_publish(struct hf_pool *pool, const char *key, const char *channel,
                                  size_t channel_len, const char *payload, size_t payload_len, const char *id,
                                  uint64_t *publish_id);
HF_CLIENT_API int hf_pool_publish_text(struct hf_pool *pool, const char *key, const char *channel,
                                       size_t channel_len, const char *text, size_t text_len, const char *id,
                                       uint64_t *publish_id);
/* The same for any bytes: see payload_raw of struct hf_client_message. */
HF_CLIENT_API int hf_pool_publish_bytes(struct hf_pool *pool, const char *key, const char *channel,
                                        size_t channel_len, const void *bytes, size_t bytes_len,
                                        const char *id, uint64_t *publish_id);
/* Publishes that have no result yet. */
HF_CLIENT_API uint32_t hf_pool_unanswered(struct hf_pool *pool);

/*
 * Subscribe, and unsubscribe, each channel once. on_subscribed and on_unsubscribed tell the answer; on_problem tells what could not be asked for, with
 * the channel and the code exists, limit (members × client.subscriptions_max), not_found, bad_message (`since`) or internal. Between
 * hf_pool_unsubscribe() and its on_unsubscribed messages may still come.
 * EINVAL: no valid name; EAGAIN; ENOMEM; ESTATE.
 */
HF_CLIENT_API int hf_pool_subscribe(struct hf_pool *pool, const char *channel, size_t channel_len,
                                    const struct hf_client_start *start);
HF_CLIENT_API int hf_pool_unsubscribe(struct hf_pool *pool, const char *channel, size_t channel_len);
/* As hf_threaded_position(). */
HF_CLIENT_API bool hf_pool_position(struct hf_pool *pool, const char *channel, size_t channel_len,
                                    char epoch[HF_CLIENT_EPOCH_BYTES], uint64_t *offset);

/*
 * Ask what a channel keeps, as hf_client_history(); on_history answers, once, naming *request_id (may be NULL), and may do so before this returns. The next connected member in turn is
 * asked, and another where that one's connection breaks; while none is connected it waits. Answers come in any order. Only the pool's end leaves one without an answer.
 * EAGAIN: 4,096 wait; EINVAL: no valid channel, epoch, offset or limit; ENOMEM; ESTATE.
 */
HF_CLIENT_API int hf_pool_history(struct hf_pool *pool, const char *channel, size_t channel_len,
                                  const struct hf_client_history_query *query, uint64_t *request_id);
/* As hf_client_presence(), by on_members; in all else as hf_pool_history(). Each member that follows a channel is one of its members. */
HF_CLIENT_API int hf_pool_presence(struct hf_pool *pool, const char *channel, size_t channel_len,
                                   uint64_t *request_id);
/*
 * As hf_client_call(), by on_reply: given to one member, the next connected one in turn, for which it waits no longer than client.call_timeout_ms, and never repeated. What only the pool's thread knows, that a payload is larger than the server takes, is told by on_reply with the code
 * too_large. ETOOLARGE: larger than a member's outbox; its bytes count with those of publishes.
 */
HF_CLIENT_API int hf_pool_call(struct hf_pool *pool, const char *method, size_t method_len,
                               const char *payload, size_t payload_len, uint64_t *request_id);
/*
 * As hf_client_set_token() and hf_client_token_failed(), for all members: the answers to on_token_needed, from within it or later by any thread. Sessions that are made later begin with that token. EINVAL: no token; EAGAIN:
 * 4,096 requests wait; ENOMEM; ESTATE.
 */
HF_CLIENT_API int hf_pool_set_token(struct hf_pool *pool, const char *token);
HF_CLIENT_API int hf_pool_token_failed(struct hf_pool *pool, const char *why);
/*
 * Ask for a sign of life on a member's own connection; on_pong tells how long it took since this was asked of the session that answers. While the member has no connection, or no
 * session, it waits. In all else as hf_pool_history(); EINVAL: there is no such member.
 */
HF_CLIENT_API int hf_pool_ping(struct hf_pool *pool, uint32_t member, uint64_t *request_id);

/* Counted since the start, of one member or of all; times are not in it. */
struct hf_pool_statistics {
    uint32_t connected;    /* of a member: 0 or 1; of all: how many are */
    uint64_t published;    /* given to a member's session */
    uint64_t acknowledged; /* results, by outcome */
    uint64_t refused;
    uint64_t uncertain;
    uint64_t
        queued; /* now without a result. Of a member: those it was given; of all: those that wait in the queue as well */
    uint64_t reconnects; /* connections but the first of each session */
    uint64_t replaced;   /* sessions but the first */
};

/*
 * What the pool has done. members (may be NULL) gets at most members_count entries; all (may be NULL) the sums. Returns the number of members. Each
 * number is right by itself; two may be from different moments.
 */
HF_CLIENT_API uint32_t hf_pool_statistics(struct hf_pool *pool, struct hf_pool_statistics *members,
                                          uint32_t members_count, struct hf_pool_statistics *all);

/* End all sessions: the server forgets them, and what has no result yet gets none. on_ended follows, within some two seconds. */
HF_CLIENT_API void hf_pool_close(struct hf_pool *pool);
/* Make the thread end without ending the sessions: no callback comes, and the connections are closed by hf_pool_free(). */
HF_CLIENT_API void hf_pool_stop(struct hf_pool *pool);
/* Wait for the thread's end: 0, all sessions have ended; 1, it was stopped; EIO. May be called again. */
HF_CLIENT_API int hf_pool_join(struct hf_pool *pool);
/* Stop and join, unless that has happened, and free all. NULL is allowed. After hf_pool_close() wait for the goodbyes by hf_pool_join(). */
HF_CLIENT_API void hf_pool_free(struct hf_pool *pool);

#ifdef __cplusplus
}
#endif

#endif
