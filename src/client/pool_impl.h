/*
 * pool_impl.h - what the files of the pool share; included by them alone.
 *   pool.c          making and freeing, and the pool's thread
 *   pool_api.c      what any thread may ask
 *   pool_ask.c      history, presence, calls and pings
 *   pool_token.c    tokens, which all members share
 *   pool_member.c   a member: its sessions one after the other, its publishes and channels, what its client tells
 */
#ifndef HF_CLIENT_POOL_IMPL_H
#define HF_CLIENT_POOL_IMPL_H

#include "client/command.h"
#include "client/mailbox.h"
#include "client/publish_ids.h"
#include "client/runner.h"
#include "holdfast/pool.h"
#include "session/pool_channels.h"
#include "session/pool_core.h"

#include <poll.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* Written by the pool's thread alone, read by any. */
struct hf_pool_counters {
    atomic_uint connected;
    atomic_ullong published, acknowledged, refused, uncertain, reconnects, replaced;
};

/*
 * A client whose session has ended stays until the next is made: it holds what that goes on with, its unsent publishes and its channels'
 * positions.
 */
struct hf_pool_member {
    struct hf_pool *pool;
    uint32_t index;
    struct hf_client *client;
    bool ended;   /* on_ended has come */
    bool over;    /* and its sockets are closed: it need not be run any more */
    unsigned url; /* of options.client.urls */
    uint32_t connections;
    struct hf_publish_ids ids;
    struct hf_list pings; /* that wait for its session */
    struct hf_list asked; /* requests that its session has, and has no answer to yet */
    struct hf_pool_counters counters;
    int fds_first, fds_count; /* its part of the poll set in this turn */
};

/* Everything but mailbox, runner, counters and what is constant after hf_pool_start() is its thread's alone. */
struct hf_pool {
    struct hf_pool_options
        options; /* constant but for client.token; `client` is a copy, strings and all, whose urls are those of the pool, one at least */
    struct hf_pool_member members[HF_POOL_MEMBERS_MAX];
    struct hf_pool_core core;
    struct hf_pool_channels channels;
    struct hf_list questions;      /* requests that wait for a connected member */
    uint32_t question_turn;        /* the member that is looked at first for the next one */
    uint64_t token_asked_until_ms; /* the application has been asked for a token; UINT64_MAX: it has not */
    struct pollfd *fds;
    struct hf_list done; /* commands whose places are to be given back at the end of the turn */
    bool closed;
    bool was_connected; /* the mailbox has the bound for that */
    uint64_t now_ms;    /* of this turn */
    struct hf_mailbox mailbox;
    struct hf_runner runner;
};

/* Make a member's first session. Errors are those of hf_client_new(). */
int hf_pool_member_start(struct hf_pool_member *m) HF_MUST_CHECK;
/* Make the next one in place of one that is over; failing that, the place stays vacant and it is tried again later. */
void hf_pool_member_replace(struct hf_pool_member *m);
/* Its session has ended and its sockets are closed: tell what is uncertain. */
void hf_pool_member_over(struct hf_pool_member *m);
void hf_pool_member_release(struct hf_pool_member *m);

/* Returns HF_EAGAIN where the member has no room; the command is done with otherwise. */
int hf_pool_member_publish(struct hf_pool_member *m, struct hf_command *command) HF_MUST_CHECK;
void hf_pool_subscribe_now(struct hf_pool *pool, struct hf_command *command);
void hf_pool_unsubscribe_now(struct hf_pool *pool, struct hf_command *command);
bool hf_pool_position_now(struct hf_pool *pool, struct hf_question *question);

/* A member asks for a token; and the application's answers, for all of them. */
void hf_pool_on_token_needed(void *user, enum hf_client_token_reason reason);
void hf_pool_set_token_now(struct hf_pool *pool, const struct hf_command *command);
void hf_pool_token_failed_now(struct hf_pool *pool, const char *why);

/* Take over a command that asks for an answer. */
void hf_pool_ask_put(struct hf_pool *pool, struct hf_command *command);
/* Ask members for what waits. */
void hf_pool_ask_now(struct hf_pool *pool);
/* When the time of a call that waits for a member is over; UINT64_MAX: of none. */
uint64_t hf_pool_ask_deadline_ms(struct hf_pool *pool);
/* A member has got a connection, or has lost it: what waits with one that has none, and any can answer, is asked of one that has. */
void hf_pool_ask_moved(struct hf_pool *pool);
/* Its session is over: nothing that it was asked comes any more. */
void hf_pool_ask_ended(struct hf_pool_member *m);
/* The pool ends: nothing is answered any more. */
void hf_pool_ask_drop(struct hf_pool *pool);
/* Callbacks of a member's client. */
void hf_pool_on_history(void *user, const struct hf_client_history *history);
void hf_pool_on_pong(void *user, const struct hf_client_pong *pong);
void hf_pool_on_members(void *user, const struct hf_client_members *members);
void hf_pool_on_reply(void *user, const struct hf_client_reply *reply);

#endif
