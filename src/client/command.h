/*
 * command.h - what one thread asks of another that runs a client or a pool: a publish, a subscribe, an unsubscribe, history, presence, a call, a ping, a token, with copies of
 * all its texts in one allocation. Arguments are checked where they are given, so that a mistake is answered at once; what only the
 * running thread can know is told by a callback, and the words for that are here too.
 */
#ifndef HF_CLIENT_COMMAND_H
#define HF_CLIENT_COMMAND_H

#include "base/err.h"
#include "base/list.h"
#include "base/str.h"
#include "holdfast/holdfast.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum hf_command_type {
    HF_COMMAND_PUBLISH,
    HF_COMMAND_SUBSCRIBE,
    HF_COMMAND_UNSUBSCRIBE,
    HF_COMMAND_HISTORY,
    HF_COMMAND_PING,
    HF_COMMAND_PRESENCE,
    HF_COMMAND_CALL,
    HF_COMMAND_TOKEN,        /* there is one: payload */
    HF_COMMAND_TOKEN_FAILED, /* there is none: payload says why, data NULL: it does not */
};

struct hf_command {
    struct hf_list node;
    enum hf_command_type type;
    uint32_t
        put_for; /* through a pool: PUBLISH: the member of its key, or HF_POOL_CORE_ANY; PING: the member */
    uint64_t publish_id;   /* PUBLISH: given by the mailbox */
    uint64_t request_id;   /* HISTORY, PRESENCE, CALL, PING: the same */
    uint64_t client_id;    /* and once it was asked, the client's own: ask.h */
    uint64_t until_ms;     /* CALL, through a pool: until then it waits for a member; UINT64_MAX: for ever */
    struct hf_str channel; /* CALL: the method */
    struct hf_str id;      /* PUBLISH; data NULL: none. Ends with a NUL, which does not count */
    struct hf_str payload; /* PUBLISH, CALL: one JSON value, or bytes. Ends likewise */
    bool payload_raw;      /* PUBLISH: bytes */
    struct hf_client_start start;         /* SUBSCRIBE */
    struct hf_client_history_query query; /* HISTORY */
    size_t bytes;                         /* of all of it */
    char texts[];
};

/* Whether it asks the server for an answer of its own. */
static inline bool hf_command_asks(const struct hf_command *command)
{
    return command->type == HF_COMMAND_HISTORY || command->type == HF_COMMAND_PING ||
           command->type == HF_COMMAND_PRESENCE || command->type == HF_COMMAND_CALL;
}

/* Whether its bytes count where those of publishes do. */
static inline bool hf_command_is_heavy(const struct hf_command *command)
{
    return command->type == HF_COMMAND_PUBLISH || command->type == HF_COMMAND_CALL;
}

/*
 * Make a command; the caller frees it (free()). HF_EINVAL: no valid channel, id, JSON or text; HF_ETOOLARGE: above bytes_max;
 * HF_ENOMEM. id and start may be NULL.
 */
int hf_command_publish(struct hf_str channel, struct hf_str payload, const char *id, size_t bytes_max,
                       struct hf_command **out) HF_MUST_CHECK;
/* The same for a text, which becomes a JSON string. */
int hf_command_publish_text(struct hf_str channel, struct hf_str words, const char *id, size_t bytes_max,
                            struct hf_command **out) HF_MUST_CHECK;
/* The same for any bytes, which are published as such. */
int hf_command_publish_bytes(struct hf_str channel, struct hf_str bytes, const char *id, size_t bytes_max,
                             struct hf_command **out) HF_MUST_CHECK;
int hf_command_subscribe(struct hf_str channel, const struct hf_client_start *start,
                         struct hf_command **out) HF_MUST_CHECK;
int hf_command_unsubscribe(struct hf_str channel, struct hf_command **out) HF_MUST_CHECK;
/* HF_EINVAL: also of a query that asks for what there cannot be. query may be NULL. */
int hf_command_history(struct hf_str channel, const struct hf_client_history_query *query,
                       struct hf_command **out) HF_MUST_CHECK;
int hf_command_ping(struct hf_command **out) HF_MUST_CHECK;
int hf_command_presence(struct hf_str channel, struct hf_command **out) HF_MUST_CHECK;
int hf_command_call(struct hf_str method, struct hf_str payload, size_t bytes_max,
                    struct hf_command **out) HF_MUST_CHECK;
/* HF_EINVAL: no token. */
int hf_command_token(const char *token, struct hf_command **out) HF_MUST_CHECK;
/* why may be NULL. */
int hf_command_token_failed(const char *why, struct hf_command **out) HF_MUST_CHECK;

/* What the application is told of a publish that the running thread could not take (err < 0, and not HF_EAGAIN). */
struct hf_client_result hf_command_refused(const struct hf_command *command, int err);
/* The same of a subscribe or an unsubscribe. */
struct hf_client_problem hf_command_failed(const struct hf_command *command, int err);

#define HF_COMMAND_OF(n) HF_CONTAINER(n, struct hf_command, node)

#endif
