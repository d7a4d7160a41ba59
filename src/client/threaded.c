#include "holdfast/threaded.h"

#include "base/assert.h"
#include "base/err.h"
#include "client/ask.h"
#include "client/options.h"
#include "client/threaded_impl.h"
#include "wire/message.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

static_assert((int)HF_CLIENT_EPOCH_BYTES > (int)HF_LABEL_BYTES_MAX, "an epoch is a label");

enum { QUEUE_MAX_DEFAULT = 1000 };

/* --- what the client tells --- */

static void on_connected(void *user, const struct hf_client_connection *connection)
{
    struct hf_threaded *t = user;

    atomic_store(&t->connected, true);
    if (t->app.on_connected != NULL)
        t->app.on_connected(t->app.user, connection);
}

static void on_disconnected(void *user, const struct hf_client_break *how)
{
    struct hf_threaded *t = user;

    if (!how->attempt) /* Else it may have been meant to follow a connection that stands. */
        atomic_store(&t->connected, false);
    if (t->app.on_disconnected != NULL)
        t->app.on_disconnected(t->app.user, how);
}

static void on_ended(void *user, const struct hf_client_break *how)
{
    struct hf_threaded *t = user;

    atomic_store(&t->connected, false);
    if (t->app.on_ended != NULL)
        t->app.on_ended(t->app.user, how);
}

static void tell_result(struct hf_threaded *t, const struct hf_client_result *result)
{
    atomic_fetch_sub(&t->mailbox.unanswered, 1);
    if (t->app.on_result != NULL)
        t->app.on_result(t->app.user, result);
}

static void on_result(void *user, const struct hf_client_result *result)
{
    struct hf_threaded *t = user;
    struct hf_client_result mine = *result;

    mine.publish_id = hf_publish_ids_take(&t->ids, result->publish_id);
    tell_result(t, &mine);
}

static void on_caught_up(void *user, uint64_t messages)
{
    const struct hf_threaded *t = user;

    t->app.on_caught_up(t->app.user, messages);
}

static void on_message(void *user, const struct hf_client_message *message)
{
    const struct hf_threaded *t = user;

    t->app.on_message(t->app.user, message);
}

static void on_gap(void *user, const struct hf_client_gap *gap)
{
    const struct hf_threaded *t = user;

    t->app.on_gap(t->app.user, gap);
}

static void on_subscribed(void *user, const struct hf_client_subscription *subscription)
{
    const struct hf_threaded *t = user;

    t->app.on_subscribed(t->app.user, subscription);
}

static void on_unsubscribed(void *user, const struct hf_client_subscription *subscription)
{
    const struct hf_threaded *t = user;

    t->app.on_unsubscribed(t->app.user, subscription);
}

static void on_problem(void *user, const struct hf_client_problem *problem)
{
    const struct hf_threaded *t = user;

    t->app.on_problem(t->app.user, problem);
}

static void on_state(void *user, const struct hf_client_state_change *change)
{
    const struct hf_threaded *t = user;

    t->app.on_state(t->app.user, change);
}

static void on_history(void *user, const struct hf_client_history *history)
{
    struct hf_threaded *t = user;
    struct hf_command *command = hf_ask_answered(&t->asked, history->request_id);
    struct hf_client_history mine = *history;

    hf_assert(command != NULL);
    mine.request_id = command->request_id;
    hf_list_add_tail(&t->done, &command->node);
    if (t->app.on_history != NULL)
        t->app.on_history(t->app.user, &mine);
}

static void on_pong(void *user, const struct hf_client_pong *pong)
{
    struct hf_threaded *t = user;
    struct hf_command *command = hf_ask_answered(&t->asked, pong->request_id);
    struct hf_client_pong mine = *pong;

    hf_assert(command != NULL);
    mine.request_id = command->request_id;
    hf_list_add_tail(&t->done, &command->node);
    if (t->app.on_pong != NULL)
        t->app.on_pong(t->app.user, &mine);
}

static void on_members(void *user, const struct hf_client_members *members)
{
    struct hf_threaded *t = user;
    struct hf_command *command = hf_ask_answered(&t->asked, members->request_id);
    struct hf_client_members mine = *members;

    hf_assert(command != NULL);
    mine.request_id = command->request_id;
    hf_list_add_tail(&t->done, &command->node);
    if (t->app.on_members != NULL)
        t->app.on_members(t->app.user, &mine);
}

static void on_reply(void *user, const struct hf_client_reply *reply)
{
    struct hf_threaded *t = user;
    struct hf_command *command = hf_ask_answered(&t->asked, reply->request_id);
    struct hf_client_reply mine = *reply;

    hf_assert(command != NULL);
    mine.request_id = command->request_id;
    hf_list_add_tail(&t->done, &command->node);
    if (t->app.on_reply != NULL)
        t->app.on_reply(t->app.user, &mine);
}

static void on_presence(void *user, const struct hf_client_presence_event *event)
{
    const struct hf_threaded *t = user;

    t->app.on_presence(t->app.user, event);
}

static void on_token_needed(void *user, enum hf_client_token_reason reason)
{
    const struct hf_threaded *t = user;

    t->app.on_token_needed(t->app.user, reason);
}

/* The application's options with our callbacks in front of its own, where it has some. */
static struct hf_client_options with_our_callbacks(struct hf_threaded *t)
{
    struct hf_client_options options = hf_client_options_plain(&t->app);

    options.user = t;
    options.on_connected = on_connected;
    options.on_disconnected = on_disconnected;
    options.on_ended = on_ended;
    options.on_result = on_result;
    options.on_history = on_history;
    options.on_pong = on_pong;
    options.on_members = on_members;
    options.on_reply = on_reply;
    options.on_presence = t->app.on_presence == NULL ? NULL : on_presence;
    options.on_token_needed = t->app.on_token_needed == NULL ? NULL : on_token_needed;
    options.on_caught_up = t->app.on_caught_up == NULL ? NULL : on_caught_up;
    options.on_message = t->app.on_message == NULL ? NULL : on_message;
    options.on_gap = t->app.on_gap == NULL ? NULL : on_gap;
    options.on_subscribed = t->app.on_subscribed == NULL ? NULL : on_subscribed;
    options.on_unsubscribed = t->app.on_unsubscribed == NULL ? NULL : on_unsubscribed;
    options.on_problem = t->app.on_problem == NULL ? NULL : on_problem;
    options.on_state = t->app.on_state == NULL ? NULL : on_state;
    return options;
}

/* --- what others ask --- */

bool hf_threaded_position_now(struct hf_threaded *t, struct hf_question *q)
{
    struct hf_client_text epoch;

    if (!hf_client_position(t->client, q->channel.data, q->channel.len, &epoch, &q->offset))
        return false;
    hf_assert(epoch.len < q->epoch_bytes);
    memcpy(q->epoch, epoch.data, epoch.len);
    q->epoch[epoch.len] = '\0';
    return true;
}

static void answer_all(struct hf_threaded *t, struct hf_list *questions)
{
    struct hf_list *node;

    while ((node = hf_list_pop(questions)) != NULL) {
        struct hf_question *q = HF_QUESTION_OF(node);

        hf_mailbox_answer(&t->mailbox, q, hf_threaded_position_now(t, q));
    }
}

static int ask_client(struct hf_threaded *t, const struct hf_command *c)
{
    switch (c->type) {
    case HF_COMMAND_PUBLISH:
        return hf_publish_ids_publish(&t->ids, t->client, c->channel, c->payload, c->payload_raw, c->id,
                                      c->publish_id);
    case HF_COMMAND_SUBSCRIBE:
        return hf_client_subscribe(t->client, c->channel.data, c->channel.len, &c->start);
    case HF_COMMAND_UNSUBSCRIBE:
        return hf_client_unsubscribe(t->client, c->channel.data, c->channel.len);
    case HF_COMMAND_HISTORY:
    case HF_COMMAND_PRESENCE:
    case HF_COMMAND_CALL:
    case HF_COMMAND_PING:
    case HF_COMMAND_TOKEN:
    case HF_COMMAND_TOKEN_FAILED:
        break; /* They do not wait in this list. */
    }
    return HF_EINVAL;
}

static void tell_failed(struct hf_threaded *t, const struct hf_command *c, int err)
{
    if (c->type == HF_COMMAND_PUBLISH) {
        const struct hf_client_result result = hf_command_refused(c, err);

        tell_result(t, &result);
    } else if (t->app.on_problem != NULL) {
        const struct hf_client_problem problem = hf_command_failed(c, err);

        t->app.on_problem(t->app.user, &problem);
    }
}

/* A token waits behind nothing: without it there may be no connection for what waits. */
static void take_token(struct hf_threaded *t, struct hf_command *c)
{
    int err = 0;

    if (c->type == HF_COMMAND_TOKEN_FAILED)
        hf_client_token_failed(t->client, c->payload.data);
    else
        err = hf_client_set_token(t->client, c->payload.data);
    if (err == HF_ENOMEM)
        hf_client_token_failed(t->client, hf_strerror(err));
    hf_list_add_tail(&t->done, &c->node);
}

static void take_command(struct hf_threaded *t, struct hf_command *c)
{
    if (c->type == HF_COMMAND_TOKEN || c->type == HF_COMMAND_TOKEN_FAILED)
        take_token(t, c);
    else
        hf_list_add_tail(hf_command_asks(c) ? &t->asking : &t->backlog, &c->node);
}

/* The mailbox's commands, to where they wait. */
static struct hf_mailbox_orders take_commands(struct hf_threaded *t, struct hf_list *questions)
{
    struct hf_mailbox_orders orders;
    struct hf_list taken, *node;

    hf_list_init(&taken);
    orders = hf_mailbox_take(&t->mailbox, &taken, questions);
    while ((node = hf_list_pop(&taken)) != NULL)
        take_command(t, HF_COMMAND_OF(node));
    return orders;
}

static void ask(struct hf_threaded *t)
{
    struct hf_list refused, *node;

    hf_list_init(&refused);
    hf_ask_waiting(&t->asked, t->client, &t->asking, &refused);
    while ((node = hf_list_pop(&refused)) != NULL) {
        const struct hf_client_reply reply = hf_ask_refused(HF_COMMAND_OF(node), HF_ETOOLARGE);

        hf_list_add_tail(&t->done, node);
        if (t->app.on_reply != NULL)
            t->app.on_reply(t->app.user, &reply);
    }
}

/* In their order, as far as the outbox has room. */
static void do_commands(struct hf_threaded *t)
{
    while (!t->closed && !hf_list_empty(&t->backlog)) {
        struct hf_command *c = HF_COMMAND_OF(t->backlog.next);
        int err = ask_client(t, c);

        if (err == HF_EAGAIN || err == HF_ESTATE)
            break; /* At the end what is left is dropped: "gets no result". */
        hf_list_del(&c->node);
        hf_list_add_tail(&t->done, &c->node);
        if (err < 0)
            tell_failed(t, c, err);
    }
    if (!t->closed)
        ask(t);
    hf_mailbox_done(&t->mailbox, &t->done);
}

/* --- the thread --- */

static int poll_once(struct hf_threaded *t)
{
    struct pollfd fds[HF_CLIENT_POLL_MAX + 1];
    int timeout, count = hf_client_prepare(t->client, fds, &timeout);

    fds[count] = (struct pollfd){.fd = t->mailbox.bell_fd, .events = POLLIN};
    if (poll(fds, (nfds_t)count + 1, timeout) < 0) {
        if (errno != EINTR)
            return HF_EIO;
        count = 0;
    }
    return hf_client_process(t->client, fds, count);
}

static int run(void *ctx)
{
    struct hf_threaded *t = ctx;
    struct hf_mailbox_orders orders;
    struct hf_list questions;
    int running = 1;

    hf_list_init(&questions);
    hf_mailbox_adopt(&t->mailbox);
    while (running > 0) {
        orders = take_commands(t, &questions);
        answer_all(t, &questions);
        if (orders.stop)
            break;
        if (orders.close && !t->closed)
            hf_client_close(t->client);
        t->closed = orders.close;
        do_commands(t);
        running = poll_once(t);
    }
    atomic_store(&t->connected, false);
    hf_list_splice(&t->done, &t->backlog);
    hf_list_splice(&t->done, &t->asking);
    hf_list_splice(&t->done, &t->asked);
    hf_mailbox_done(&t->mailbox, &t->done);
    hf_mailbox_finish(&t->mailbox);
    return running;
}

/* --- making and freeing --- */

void hf_threaded_options_init(struct hf_threaded_options *options)
{
    *options = (struct hf_threaded_options){.queue_max = QUEUE_MAX_DEFAULT};
    hf_client_options_init(&options->client);
}

int hf_threaded_start(const struct hf_threaded_options *options, struct hf_threaded **out)
{
    struct hf_threaded *t;
    struct hf_client_options client_options;
    int err, saved;

    *out = NULL;
    if (options->queue_max == 0 || !hf_client_options_shared_valid(&options->client))
        return HF_EINVAL;
    t = calloc(1, sizeof(*t));
    if (t == NULL)
        return HF_ENOMEM;
    t->publish_bytes_max = options->client.outbox_bytes_max;
    hf_list_init(&t->backlog);
    hf_list_init(&t->asking);
    hf_list_init(&t->asked);
    hf_list_init(&t->done);
    hf_publish_ids_init(&t->ids);
    err = hf_mailbox_init(&t->mailbox, options->queue_max, t->publish_bytes_max, options->wait_ms);
    if (err < 0) {
        free(t);
        return err;
    }
    err = hf_client_options_copy(&t->app, &options->client);
    if (err == 0) {
        client_options = with_our_callbacks(t);
        err = hf_client_new(&client_options, &t->client);
    }
    if (err == 0) {
        *out = t; /* First: a callback may need it before this returns. */
        err = hf_runner_start(&t->runner, run, t);
    }
    if (err == 0)
        return 0;
    saved = errno;
    *out = NULL;
    hf_threaded_free(t);
    errno = saved;
    return err;
}

void hf_threaded_free(struct hf_threaded *t)
{
    if (t == NULL)
        return;
    if (t->runner.started) {
        hf_assert(!hf_mailbox_is_mine(&t->mailbox)); /* It would wait for itself. */
        hf_mailbox_stop(&t->mailbox);
    }
    hf_runner_release(&t->runner);
    hf_client_free(t->client);
    hf_publish_ids_release(&t->ids);
    hf_mailbox_release(&t->mailbox);
    hf_client_options_release(&t->app);
    free(t);
}

int hf_threaded_join(struct hf_threaded *t)
{
    hf_assert(!hf_mailbox_is_mine(&t->mailbox));
    return hf_runner_join(&t->runner);
}
