#include "holdfast/pool.h"

#include "base/assert.h"
#include "base/err.h"
#include "client/clock.h"
#include "client/options.h"
#include "client/pool_impl.h"
#include "client/url.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

static_assert((int)HF_POOL_MEMBERS_MAX == (int)HF_POOL_CORE_MEMBERS_MAX, "one bound");

enum {
    FLUSH_INTERVAL_MS_MAX = 60000,
    HANDED_A_TURN = 4096, /* publishes given to members between two looks at the network */
};

/* --- the thread: what others ask --- */

static void take_command(struct hf_pool *p, struct hf_command *c)
{
    switch (c->type) {
    case HF_COMMAND_PUBLISH:
        hf_pool_core_put(&p->core, &c->node, c->put_for, p->now_ms);
        return;
    case HF_COMMAND_HISTORY:
    case HF_COMMAND_PRESENCE:
    case HF_COMMAND_CALL:
    case HF_COMMAND_PING:
        hf_pool_ask_put(p, c);
        return;
    case HF_COMMAND_TOKEN:
        hf_pool_set_token_now(p, c);
        break;
    case HF_COMMAND_TOKEN_FAILED:
        hf_pool_token_failed_now(p, c->payload.data);
        break;
    case HF_COMMAND_SUBSCRIBE:
        hf_pool_subscribe_now(p, c);
        break;
    case HF_COMMAND_UNSUBSCRIBE:
        hf_pool_unsubscribe_now(p, c);
        break;
    }
    hf_list_add_tail(&p->done, &c->node);
}

static void close_members(struct hf_pool *p)
{
    uint32_t i;

    p->closed = true;
    hf_pool_core_close(&p->core);
    for (i = 0; i < p->options.members; i++)
        if (!p->members[i].ended)
            hf_client_close(p->members[i].client);
}

/* Returns whether to go on. */
static bool take_orders(struct hf_pool *p)
{
    struct hf_list commands, questions, *node;
    struct hf_mailbox_orders orders;

    hf_list_init(&commands);
    hf_list_init(&questions);
    orders = hf_mailbox_take(&p->mailbox, &commands, &questions);
    while ((node = hf_list_pop(&questions)) != NULL) {
        struct hf_question *q = HF_QUESTION_OF(node);

        hf_mailbox_answer(&p->mailbox, q, hf_pool_position_now(p, q));
    }
    while ((node = hf_list_pop(&commands)) != NULL)
        if (orders.close || orders.stop)
            hf_list_add_tail(&p->done, node);
        else
            take_command(p, HF_COMMAND_OF(node));
    if (orders.close && !p->closed)
        close_members(p);
    return !orders.stop;
}

/* --- the thread: members --- */

static void replace_members(struct hf_pool *p)
{
    uint32_t i;

    for (i = 0; i < p->options.members; i++)
        if (hf_pool_core_due(&p->core, i, p->now_ms))
            hf_pool_member_replace(&p->members[i]);
}

/* Returns whether more could go at once. */
static bool hand_out(struct hf_pool *p)
{
    struct hf_list *node;
    uint32_t member;
    unsigned handed;

    for (handed = 0; handed < HANDED_A_TURN; handed++) {
        node = p->closed ? NULL : hf_pool_core_next(&p->core, &member, p->now_ms);
        if (node == NULL)
            return false;
        if (hf_pool_member_publish(&p->members[member], HF_COMMAND_OF(node)) == HF_EAGAIN)
            hf_pool_core_full(&p->core, node, HF_COMMAND_OF(node)->put_for, member);
    }
    return true;
}

/* What may wait in the queue depends on whether the server can be reached; and places that have become free are given back. */
static void settle_mailbox(struct hf_pool *p)
{
    bool connected = p->core.connected_count > 0;

    hf_mailbox_done(&p->mailbox, &p->done);
    if (connected != p->was_connected)
        hf_mailbox_set_max(&p->mailbox, connected ? p->options.connected_queue_max : p->options.queue_max);
    p->was_connected = connected;
}

static int shorter(int a, uint64_t at_ms, uint64_t now_ms)
{
    uint64_t ms = at_ms <= now_ms ? 0 : at_ms - now_ms;

    if (at_ms == UINT64_MAX || (a >= 0 && (uint64_t)a <= ms))
        return a;
    return ms < INT32_MAX ? (int)ms : INT32_MAX;
}

/* Fill the poll set. Returns how many entries it has. */
static int prepare(struct hf_pool *p, int *timeout_ms)
{
    int count = 0;
    uint32_t i;

    *timeout_ms = shorter(-1, hf_pool_core_deadline_ms(&p->core), p->now_ms);
    *timeout_ms = shorter(*timeout_ms, hf_pool_ask_deadline_ms(p), p->now_ms);
    p->fds[count++] = (struct pollfd){.fd = p->mailbox.bell_fd, .events = POLLIN};
    for (i = 0; i < p->options.members; i++) {
        struct hf_pool_member *m = &p->members[i];
        int wait;

        m->fds_count = 0;
        if (m->over)
            continue;
        m->fds_first = count;
        m->fds_count = hf_client_prepare(m->client, &p->fds[count], &wait);
        count += m->fds_count;
        if (wait >= 0 && (*timeout_ms < 0 || wait < *timeout_ms))
            *timeout_ms = wait;
    }
    if (p->closed && count == 1) /* The bell alone: all members are over, and nobody will ring. */
        *timeout_ms = 0;
    return count;
}

static bool process(struct hf_pool *p, bool polled)
{
    bool running = false;
    uint32_t i;

    for (i = 0; i < p->options.members; i++) {
        struct hf_pool_member *m = &p->members[i];

        if (m->over)
            continue;
        if (hf_client_process(m->client, &p->fds[m->fds_first], polled ? m->fds_count : 0) == 0)
            hf_pool_member_over(m);
        else
            running = true;
    }
    return running || !p->closed;
}

/* One turn of the loop: 1, 0 where all has ended, 2 where it was stopped, or HF_EIO. */
static int turn(struct hf_pool *p)
{
    int timeout, count;
    bool more, polled;

    p->now_ms = hf_clock_ms();
    if (!take_orders(p))
        return 2;
    replace_members(p);
    more = hand_out(p);
    hf_pool_ask_now(p);
    settle_mailbox(p);
    count = prepare(p, &timeout);
    polled = poll(p->fds, (nfds_t)count, more ? 0 : timeout) >= 0;
    if (!polled && errno != EINTR)
        return HF_EIO;
    p->now_ms = hf_clock_ms();
    return process(p, polled) ? 1 : 0;
}

static void drop_queue(struct hf_pool *p)
{
    struct hf_list *node;

    while ((node = hf_pool_core_drop(&p->core)) != NULL)
        hf_list_add_tail(&p->done, node);
    hf_pool_ask_drop(p);
    hf_mailbox_done(&p->mailbox, &p->done);
}

static int run(void *ctx)
{
    struct hf_pool *p = ctx;
    int running = 1;

    hf_mailbox_adopt(&p->mailbox);
    while (running == 1)
        running = turn(p);
    drop_queue(p);
    if (running == 0 && p->options.on_ended != NULL)
        p->options.on_ended(p->options.user);
    hf_mailbox_finish(&p->mailbox);
    return running == 2 ? 1 : running;
}

/* --- making and freeing --- */

void hf_pool_options_init(struct hf_pool_options *options)
{
    *options = (struct hf_pool_options){
        .members = 3, .queue_max = 100, .connected_queue_max = 10000, .flush_interval_ms = 100};
    hf_client_options_init(&options->client);
}

static bool options_valid(const struct hf_pool_options *o)
{
    return o->members >= 1 && o->members <= HF_POOL_MEMBERS_MAX && o->queue_max >= 1 &&
           o->connected_queue_max >= 1 && o->flush_interval_ms >= 1 &&
           o->flush_interval_ms <= FLUSH_INTERVAL_MS_MAX && (o->urls == NULL) == (o->urls_count == 0) &&
           o->urls_count <= UINT32_MAX;
}

/* All URLs are looked at now: a member may come to the last of them only after hours. */
static int copy_options(struct hf_pool *p, const struct hf_pool_options *from)
{
    struct hf_client_options client = from->client;
    struct hf_url parsed;
    unsigned i;
    int err;

    if (from->urls != NULL) {
        client.urls = from->urls;
        client.urls_count = (unsigned)from->urls_count;
    } else if (client.urls_count == 0) {
        client.urls = &from->client.url;
        client.urls_count = 1;
    }
    p->options = *from;
    p->options.urls = NULL;
    p->options.urls_count = 0;
    err = hf_client_options_copy(&p->options.client, &client);
    for (i = 0; err == 0 && i < client.urls_count; i++)
        err = client.urls[i] == NULL ? HF_EINVAL : hf_url_parse(&parsed, client.urls[i]);
    return err;
}

/* The first sessions are made here, so that what is wrong with the options is told to the caller. */
static int make_members(struct hf_pool *p)
{
    uint64_t seed;
    uint32_t i;

    if (getrandom(&seed, sizeof(seed), 0) != (ssize_t)sizeof(seed))
        return HF_EIO;
    p->now_ms = hf_clock_ms();
    hf_pool_core_init(&p->core, p->options.members, p->options.flush_interval_ms, seed, p->now_ms);
    for (i = 0; i < p->options.members; i++) {
        struct hf_pool_member *m = &p->members[i];
        int err;

        m->pool = p;
        m->index = i;
        hf_list_init(&m->pings);
        hf_list_init(&m->asked);
        m->url = i % p->options.client.urls_count;
        hf_publish_ids_init(&m->ids);
        err = hf_pool_member_start(m);
        if (err < 0)
            return err;
    }
    return 0;
}

static int pool_fill(struct hf_pool *p, const struct hf_pool_options *options)
{
    int err = copy_options(p, options);

    if (err < 0)
        return err;
    p->fds = calloc((size_t)options->members * HF_CLIENT_POLL_MAX + 1, sizeof(*p->fds));
    if (p->fds == NULL)
        return HF_ENOMEM;
    err = make_members(p);
    return err < 0 ? err : hf_runner_start(&p->runner, run, p);
}

int hf_pool_start(const struct hf_pool_options *options, struct hf_pool **out)
{
    struct hf_pool *p;
    int err, saved;

    *out = NULL;
    if (!options_valid(options) || !hf_client_options_shared_valid(&options->client))
        return HF_EINVAL;
    p = calloc(1, sizeof(*p));
    if (p == NULL)
        return HF_ENOMEM;
    hf_list_init(&p->done);
    hf_list_init(&p->questions);
    p->token_asked_until_ms = UINT64_MAX;
    hf_pool_channels_init(&p->channels, options->members, options->client.subscriptions_max);
    err =
        hf_mailbox_init(&p->mailbox, options->queue_max, options->client.outbox_bytes_max, options->wait_ms);
    if (err < 0) {
        free(p);
        return err;
    }
    *out = p; /* First: a callback may need it before this returns. */
    err = pool_fill(p, options);
    if (err == 0)
        return 0;
    saved = errno;
    *out = NULL;
    hf_pool_free(p);
    errno = saved;
    return err;
}

void hf_pool_free(struct hf_pool *p)
{
    uint32_t i;

    if (p == NULL)
        return;
    if (p->runner.started) {
        hf_assert(!hf_mailbox_is_mine(&p->mailbox)); /* It would wait for itself. */
        hf_mailbox_stop(&p->mailbox);
    }
    hf_runner_release(&p->runner);
    for (i = 0; i < p->options.members; i++)
        hf_pool_member_release(&p->members[i]);
    hf_pool_channels_release(&p->channels);
    hf_client_options_release(&p->options.client);
    free(p->fds);
    hf_mailbox_release(&p->mailbox);
    free(p);
}

int hf_pool_join(struct hf_pool *p)
{
    hf_assert(!hf_mailbox_is_mine(&p->mailbox));
    return hf_runner_join(&p->runner);
}
