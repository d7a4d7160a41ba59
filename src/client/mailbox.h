/*
 * mailbox.h - the way from any thread to the one that runs a client or a pool: a bounded queue of commands, questions that wait for their
 * answer, and the two words "close" and "stop". Its owner, the running thread, has mailbox.bell_fd in its poll set.
 *
 * One lock, held for a few list operations and at most one write to the bell, never while anything of the application runs.
 * A command keeps its place from hf_mailbox_put() until its owner calls hf_mailbox_done(): the bounds cover also what the owner has taken and not
 * yet handed on, history and pings until their answer. All but publishes have places of their own, so that a program may begin with a thousand subscribes however
 * few publishes may wait.
 */
#ifndef HF_CLIENT_MAILBOX_H
#define HF_CLIENT_MAILBOX_H

#include "base/err.h"
#include "base/list.h"
#include "base/str.h"
#include "client/command.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { HF_MAILBOX_REQUESTS_MAX = 4096 }; /* all but publishes; a guess, some 2 MiB with the longest names */

/* A question for a channel's position; it lies on the stack of the thread that waits. */
struct hf_question {
    struct hf_list node;
    struct hf_str channel;
    char *epoch; /* gets epoch_bytes at most, a NUL included */
    size_t epoch_bytes;
    uint64_t offset;
    bool found, answered;
};

struct hf_mailbox {
    int bell_fd; /* constant; readable while there is something to take */
    uint64_t wait_ms;
    atomic_uint unanswered; /* publishes without a result; the owner counts down */

    pthread_mutex_t lock; /* of all that follows */
    pthread_cond_t room;  /* places have become free, or none ever will */
    pthread_cond_t answered;
    struct hf_list commands, questions;
    uint32_t held, held_max; /* publishes */
    size_t bytes, bytes_max; /* theirs, and those of calls */
    uint32_t requests;       /* all but publishes */
    uint64_t publishes;      /* ids given so far */
    uint64_t asks;           /* the same for history and pings */
    uint32_t waiting;        /* threads that wait for room */
    bool rung, closing, stopping, over;
    bool owned; /* owner is set */
    pthread_t owner;
};

/* Bounds for publishes; wait_ms: how long _put() waits for room at most. HF_EIO: no descriptor. */
int hf_mailbox_init(struct hf_mailbox *m, uint32_t held_max, size_t bytes_max,
                    uint64_t wait_ms) HF_MUST_CHECK;
/* Nobody may use it any more. Frees the commands that are in it. */
void hf_mailbox_release(struct hf_mailbox *m);

/* --- for any thread --- */

/*
 * Put a command in; it belongs to the mailbox from then on, unless this fails. A publish gets the next number, in *id; history and pings get theirs from a count of their own.
 * HF_EAGAIN: no room, also after wait_ms; the owner itself never waits. HF_ESTATE: closed, stopped or over.
 */
int hf_mailbox_put(struct hf_mailbox *m, struct hf_command *command, uint64_t *id) HF_MUST_CHECK;
/* Ask and wait for the answer; false: the channel has no position, or the owner has ended. Not for the owner. */
bool hf_mailbox_ask(struct hf_mailbox *m, struct hf_question *question);
void hf_mailbox_close(struct hf_mailbox *m);
void hf_mailbox_stop(struct hf_mailbox *m);
/* Whether the calling thread is the owner. */
bool hf_mailbox_is_mine(struct hf_mailbox *m);

/* --- for the owner --- */

/* The calling thread is the owner from now on. */
void hf_mailbox_adopt(struct hf_mailbox *m);

struct hf_mailbox_orders {
    bool close, stop;
};

/* Take all commands and questions, to the ends of the two lists, and silence the bell. */
struct hf_mailbox_orders hf_mailbox_take(struct hf_mailbox *m, struct hf_list *commands,
                                         struct hf_list *questions);
/* These commands have been handed on or dropped: their places are free. Frees them; the list is empty afterwards. */
void hf_mailbox_done(struct hf_mailbox *m, struct hf_list *commands);
/* Another bound for publishes; what is in beyond it stays. */
void hf_mailbox_set_max(struct hf_mailbox *m, uint32_t held_max);
void hf_mailbox_answer(struct hf_mailbox *m, struct hf_question *question, bool found);
/* The owner goes: nothing is taken any more, and nobody waits. */
void hf_mailbox_finish(struct hf_mailbox *m);

#define HF_QUESTION_OF(n) HF_CONTAINER(n, struct hf_question, node)

#endif
