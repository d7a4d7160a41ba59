#include "client/mailbox.h"

#include "base/assert.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

static void lock(struct hf_mailbox *m)
{
    int err = pthread_mutex_lock(&m->lock);

    hf_assert(err == 0);
}

static void unlock(struct hf_mailbox *m)
{
    int err = pthread_mutex_unlock(&m->lock);

    hf_assert(err == 0);
}

/* Waits are measured by a clock that nobody sets. */
static void init_condition(pthread_cond_t *condition)
{
    pthread_condattr_t attributes;
    int err = pthread_condattr_init(&attributes);

    if (err == 0)
        err = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    if (err == 0)
        err = pthread_cond_init(condition, &attributes);
    hf_assert(err == 0); /* On Linux they cannot fail. */
    (void)pthread_condattr_destroy(&attributes);
}

int hf_mailbox_init(struct hf_mailbox *m, uint32_t held_max, size_t bytes_max, uint64_t wait_ms)
{
    int err;

    *m = (struct hf_mailbox){.held_max = held_max, .bytes_max = bytes_max, .wait_ms = wait_ms};
    hf_list_init(&m->commands);
    hf_list_init(&m->questions);
    m->bell_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (m->bell_fd < 0)
        return HF_EIO;
    err = pthread_mutex_init(&m->lock, NULL);
    hf_assert(err == 0); /* On Linux it cannot fail. */
    init_condition(&m->room);
    init_condition(&m->answered);
    return 0;
}

static void free_all(struct hf_list *commands)
{
    struct hf_list *node;

    while ((node = hf_list_pop(commands)) != NULL)
        free(HF_COMMAND_OF(node));
}

void hf_mailbox_release(struct hf_mailbox *m)
{
    free_all(&m->commands);
    (void)close(m->bell_fd);
    (void)pthread_cond_destroy(&m->answered);
    (void)pthread_cond_destroy(&m->room);
    (void)pthread_mutex_destroy(&m->lock);
}

/* --- any thread --- */

static bool is_mine(const struct hf_mailbox *m)
{
    return m->owned && pthread_equal(m->owner, pthread_self()) != 0;
}

bool hf_mailbox_is_mine(struct hf_mailbox *m)
{
    bool mine;

    lock(m);
    mine = is_mine(m);
    unlock(m);
    return mine;
}

static void ring(struct hf_mailbox *m)
{
    const uint64_t one = 1;
    ssize_t written;

    if (m->rung)
        return;
    m->rung = true;
    written = write(m->bell_fd, &one, sizeof(one));
    (void)written; /* It can only fail where the counter is full, and then the bell rings. */
}

static bool shut(const struct hf_mailbox *m)
{
    return m->closing || m->stopping || m->over;
}

static bool has_room(const struct hf_mailbox *m, const struct hf_command *command)
{
    if (hf_command_is_heavy(command) && m->bytes + command->bytes > m->bytes_max)
        return false;
    return command->type == HF_COMMAND_PUBLISH ? m->held < m->held_max
                                               : m->requests < HF_MAILBOX_REQUESTS_MAX;
}

static struct timespec after_ms(uint64_t ms)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += (time_t)(ms / 1000);
    t.tv_nsec += (long)(ms % 1000) * 1000000;
    if (t.tv_nsec >= 1000000000) {
        t.tv_nsec -= 1000000000;
        t.tv_sec++;
    }
    return t;
}

static void wait_for_room(struct hf_mailbox *m, const struct hf_command *command)
{
    const struct timespec until = after_ms(m->wait_ms);
    int err = 0;

    m->waiting++;
    while (err == 0 && !shut(m) && !has_room(m, command))
        err = pthread_cond_timedwait(&m->room, &m->lock, &until);
    m->waiting--;
}

static void enter(struct hf_mailbox *m, struct hf_command *command, uint64_t *id)
{
    if (command->type == HF_COMMAND_PUBLISH) {
        command->publish_id = ++m->publishes;
        atomic_fetch_add(&m->unanswered, 1);
        *id = command->publish_id;
        m->held++;
    } else {
        m->requests++;
    }
    if (hf_command_is_heavy(command))
        m->bytes += command->bytes;
    if (hf_command_asks(command))
        *id = command->request_id = ++m->asks;
    hf_list_add_tail(&m->commands, &command->node);
    ring(m);
}

int hf_mailbox_put(struct hf_mailbox *m, struct hf_command *command, uint64_t *id)
{
    int err = 0;

    lock(m);
    if (m->wait_ms > 0 && !has_room(m, command) && !is_mine(m))
        wait_for_room(m, command);
    if (shut(m))
        err = HF_ESTATE;
    else if (!has_room(m, command))
        err = HF_EAGAIN;
    else
        enter(m, command, id);
    unlock(m);
    return err;
}

bool hf_mailbox_ask(struct hf_mailbox *m, struct hf_question *question)
{
    question->found = question->answered = false;
    lock(m);
    hf_assert(!is_mine(m)); /* It would wait for itself. */
    if (!m->over) {
        hf_list_add_tail(&m->questions, &question->node);
        ring(m);
        while (!question->answered)
            (void)pthread_cond_wait(&m->answered, &m->lock);
    }
    unlock(m);
    return question->found;
}

static void order(struct hf_mailbox *m, bool *which)
{
    lock(m);
    *which = true;
    (void)pthread_cond_broadcast(&m->room);
    ring(m);
    unlock(m);
}

void hf_mailbox_close(struct hf_mailbox *m)
{
    order(m, &m->closing);
}

void hf_mailbox_stop(struct hf_mailbox *m)
{
    order(m, &m->stopping);
}

/* --- the owner --- */

void hf_mailbox_adopt(struct hf_mailbox *m)
{
    lock(m);
    m->owner = pthread_self();
    m->owned = true;
    unlock(m);
}

struct hf_mailbox_orders hf_mailbox_take(struct hf_mailbox *m, struct hf_list *commands,
                                         struct hf_list *questions)
{
    struct hf_mailbox_orders orders;
    uint64_t rings;

    lock(m);
    if (m->rung && read(m->bell_fd, &rings, sizeof(rings)) == (ssize_t)sizeof(rings))
        m->rung = false;
    hf_list_splice(commands, &m->commands);
    hf_list_splice(questions, &m->questions);
    orders = (struct hf_mailbox_orders){.close = m->closing, .stop = m->stopping};
    unlock(m);
    return orders;
}

void hf_mailbox_done(struct hf_mailbox *m, struct hf_list *commands)
{
    struct hf_list *node;
    uint32_t publishes = 0, requests = 0;
    size_t bytes = 0;

    if (hf_list_empty(commands))
        return;
    for (node = commands->next; node != commands; node = node->next) {
        const struct hf_command *command = HF_COMMAND_OF(node);

        if (command->type == HF_COMMAND_PUBLISH)
            publishes++;
        else
            requests++;
        if (hf_command_is_heavy(command))
            bytes += command->bytes;
    }
    lock(m);
    m->held -= publishes;
    m->bytes -= bytes;
    m->requests -= requests;
    if (m->waiting > 0)
        (void)pthread_cond_broadcast(&m->room);
    unlock(m);
    free_all(commands);
}

void hf_mailbox_set_max(struct hf_mailbox *m, uint32_t held_max)
{
    lock(m);
    m->held_max = held_max;
    (void)pthread_cond_broadcast(&m->room);
    unlock(m);
}

static void answer(struct hf_mailbox *m, struct hf_question *question, bool found)
{
    question->found = found;
    question->answered = true;
    (void)pthread_cond_broadcast(&m->answered);
}

void hf_mailbox_answer(struct hf_mailbox *m, struct hf_question *question, bool found)
{
    lock(m);
    answer(m, question, found);
    unlock(m);
}

void hf_mailbox_finish(struct hf_mailbox *m)
{
    struct hf_list *node;

    lock(m);
    m->over = true;
    while ((node = hf_list_pop(&m->questions)) != NULL)
        answer(m, HF_QUESTION_OF(node), false);
    (void)pthread_cond_broadcast(&m->room);
    unlock(m);
}
