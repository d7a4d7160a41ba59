/*
 * threaded.c - a client in a thread of its own: its loop, and what other threads ask of it (mailbox.h).
 */
#include "holdfast/threaded.h"

#include "base/assert.h"
#include "base/err.h"
#include "client/command.h"
#include "client/mailbox.h"
#include "client/options.h"
#include "client/publish_ids.h"
#include "client/runner.h"
#include "wire/message.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static_assert((int)HF_CLIENT_EPOCH_BYTES > (int)HF_LABEL_BYTES_MAX, "an epoch is a label");

enum { QUEUE_MAX_DEFAULT = 1000 };

struct hf_threaded {
    struct hf_client_options app; /* the application's, copied: its callbacks are called */
    struct hf_client *client;     /* its thread's alone, once that runs */
    struct hf_publish_ids ids;
    struct hf_list backlog; /* commands taken and not yet done: the first waits for room in the outbox */
    bool closed;
    atomic_bool connected;
    size_t publish_bytes_max;
    struct hf_mailbox mailbox;
    struct hf_runner runner;
};

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

/* The application's options with our callbacks in front of its own, where it has some. */
static struct hf_client_options with_our_callbacks(struct hf_threaded *t)
{
    struct hf_client_options options = hf_client_options_plain(&t->app);

    options.user = t;
    options.on_connected = on_connected;
    options.on_disconnected = on_disconnected;
    options.on_ended = on_ended;
    options.on_result = on_result;
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

static bool position_of(struct hf_threaded *t, struct hf_question *q)
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

        hf_mailbox_answer(&t->mailbox, q, position_of(t, q));
    }
}

static int ask_client(struct hf_threaded *t, const struct hf_command *c)
{
    switch (c->type) {
    case HF_COMMAND_PUBLISH:
        return hf_publish_ids_publish(&t->ids, t->client, c->channel, c->payload, c->id, c->publish_id);
    case HF_COMMAND_SUBSCRIBE:
        return hf_client_subscribe(t->client, c->channel.data, c->channel.len, &c->start);
    case HF_COMMAND_UNSUBSCRIBE:
        return hf_client_unsubscribe(t->client, c->channel.data, c->channel.len);
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

/* In their order, as far as the outbox has room. */
static void do_commands(struct hf_threaded *t)
{
    struct hf_list done;

    hf_list_init(&done);
    while (!t->closed && !hf_list_empty(&t->backlog)) {
        struct hf_command *c = HF_COMMAND_OF(t->backlog.next);
        int err = ask_client(t, c);

        if (err == HF_EAGAIN || err == HF_ESTATE)
            break; /* At the end what is left is dropped: "gets no result". */
        hf_list_del(&c->node);
        hf_list_add_tail(&done, &c->node);
        if (err < 0)
            tell_failed(t, c, err);
    }
    hf_mailbox_done(&t->mailbox, &done);
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
        orders = hf_mailbox_take(&t->mailbox, &t->backlog, &questions);
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
    hf_mailbox_done(&t->mailbox, &t->backlog);
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

    if (options->queue_max == 0 || !hf_client_options_shared_valid(&options->client))
        return HF_EINVAL;
    t = calloc(1, sizeof(*t));
    if (t == NULL)
        return HF_ENOMEM;
    t->publish_bytes_max = options->client.outbox_bytes_max;
    hf_list_init(&t->backlog);
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
    if (err == 0)
        err = hf_runner_start(&t->runner, run, t);
    if (err == 0) {
        *out = t;
        return 0;
    }
    saved = errno;
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

/* --- for any thread --- */

static struct hf_str str(const char *data, size_t len)
{
    return (struct hf_str){data, len};
}

/* Puts in what could be made, or frees it. */
static int put(struct hf_threaded *t, int made, struct hf_command *command, uint64_t *publish_id)
{
    uint64_t ignored;
    int err = made;

    if (err < 0)
        return err;
    err = hf_mailbox_put(&t->mailbox, command, publish_id == NULL ? &ignored : publish_id);
    if (err < 0)
        free(command);
    return err;
}

int hf_threaded_publish(struct hf_threaded *t, const char *channel, size_t channel_len, const char *payload,
                        size_t payload_len, const char *id, uint64_t *publish_id)
{
    struct hf_command *command = NULL;
    int err = hf_command_publish(str(channel, channel_len), str(payload, payload_len), id,
                                 t->publish_bytes_max, &command);

    return put(t, err, command, publish_id);
}

int hf_threaded_publish_text(struct hf_threaded *t, const char *channel, size_t channel_len,
                             const char *words, size_t words_len, const char *id, uint64_t *publish_id)
{
    struct hf_command *command = NULL;
    int err = hf_command_publish_text(str(channel, channel_len), str(words, words_len), id,
                                      t->publish_bytes_max, &command);

    return put(t, err, command, publish_id);
}

uint32_t hf_threaded_unanswered(struct hf_threaded *t)
{
    return atomic_load(&t->mailbox.unanswered);
}

int hf_threaded_subscribe(struct hf_threaded *t, const char *channel, size_t channel_len,
                          const struct hf_client_start *start)
{
    struct hf_command *command = NULL;
    int err = hf_command_subscribe(str(channel, channel_len), start, &command);

    return put(t, err, command, NULL);
}

int hf_threaded_unsubscribe(struct hf_threaded *t, const char *channel, size_t channel_len)
{
    struct hf_command *command = NULL;
    int err = hf_command_unsubscribe(str(channel, channel_len), &command);

    return put(t, err, command, NULL);
}

bool hf_threaded_position(struct hf_threaded *t, const char *channel, size_t channel_len,
                          char epoch[HF_CLIENT_EPOCH_BYTES], uint64_t *offset)
{
    struct hf_question question = {
        .channel = str(channel, channel_len), .epoch = epoch, .epoch_bytes = HF_CLIENT_EPOCH_BYTES};
    bool found =
        hf_mailbox_is_mine(&t->mailbox) ? position_of(t, &question) : hf_mailbox_ask(&t->mailbox, &question);

    if (found)
        *offset = question.offset;
    return found;
}

bool hf_threaded_connected(struct hf_threaded *t)
{
    return atomic_load(&t->connected);
}

void hf_threaded_close(struct hf_threaded *t)
{
    hf_mailbox_close(&t->mailbox);
}

void hf_threaded_stop(struct hf_threaded *t)
{
    hf_mailbox_stop(&t->mailbox);
}
