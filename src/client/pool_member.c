#include "client/pool_impl.h"

#include "base/assert.h"
#include "client/handover.h"
#include "client/options.h"
#include "wire/message.h"

#include <stdlib.h>
#include <string.h>

static struct hf_client_text text_of(struct hf_str s)
{
    return (struct hf_client_text){s.data, s.len};
}

static struct hf_str str_of(struct hf_client_text text)
{
    return (struct hf_str){text.data, text.len};
}

/* --- results --- */

static void tell_result(struct hf_pool_member *m, const struct hf_client_result *result)
{
    const struct hf_pool_options *o = &m->pool->options;
    atomic_ullong *const counts[] = {[HF_CLIENT_ACKED] = &m->counters.acknowledged,
                                     [HF_CLIENT_REFUSED] = &m->counters.refused,
                                     [HF_CLIENT_UNCERTAIN] = &m->counters.uncertain};

    atomic_fetch_add(counts[result->outcome], 1);
    atomic_fetch_sub(&m->pool->mailbox.unanswered, 1);
    if (o->on_result != NULL)
        o->on_result(o->user, result);
}

static void on_result(void *user, const struct hf_client_result *result)
{
    struct hf_pool_member *m = user;
    struct hf_client_result mine = *result;

    mine.publish_id = hf_publish_ids_take(&m->ids, result->publish_id);
    hf_pool_core_room(&m->pool->core, m->index);
    tell_result(m, &mine);
}

/* --- connections --- */

static void on_connected(void *user, const struct hf_client_connection *connection)
{
    struct hf_pool_member *m = user;
    const struct hf_pool_options *o = &m->pool->options;

    hf_pool_core_connected(&m->pool->core, m->index, m->pool->now_ms);
    hf_pool_ask_moved(m->pool);
    atomic_store(&m->counters.connected, 1);
    if (m->connections++ > 0)
        atomic_fetch_add(&m->counters.reconnects, 1);
    if (o->on_connected != NULL)
        o->on_connected(o->user, m->index, connection);
}

static void on_disconnected(void *user, const struct hf_client_break *how)
{
    struct hf_pool_member *m = user;
    const struct hf_pool_options *o = &m->pool->options;

    /* An attempt that failed may have been meant to follow a connection that stands; or there was none before, either. */
    if (!how->attempt) {
        hf_pool_core_disconnected(&m->pool->core, m->index, m->pool->now_ms);
        hf_pool_ask_moved(m->pool);
        atomic_store(&m->counters.connected, 0);
    }
    if (o->on_disconnected != NULL)
        o->on_disconnected(o->user, m->index, how);
}

static void on_ended(void *user, const struct hf_client_break *how)
{
    struct hf_pool_member *m = user;
    const struct hf_pool_options *o = &m->pool->options;
    struct hf_client_break told = *how;

    m->ended = true;
    hf_pool_ask_ended(m);
    atomic_store(&m->counters.connected, 0);
    told.retry_ms = hf_pool_core_ended(&m->pool->core, m->index, m->pool->now_ms);
    if (m->pool->closed)
        hf_pool_core_close(&m->pool->core);
    else if (o->on_member_ended != NULL)
        o->on_member_ended(o->user, m->index, &told);
}

static void on_state(void *user, const struct hf_client_state_change *change)
{
    const struct hf_pool_member *m = user;

    if (m->pool->options.on_state != NULL)
        m->pool->options.on_state(m->pool->options.user, m->index, change);
}

static void on_caught_up(void *user, uint64_t messages)
{
    const struct hf_pool_member *m = user;

    if (m->pool->options.on_caught_up != NULL)
        m->pool->options.on_caught_up(m->pool->options.user, m->index, messages);
}

/* --- messages and channels --- */

/* The channel, if this member is the one that follows it: of what another has besides nothing is told, or it would be told twice. */
static struct hf_pool_channel *own_channel(const struct hf_pool_member *m, struct hf_client_text name)
{
    struct hf_pool_channel *channel = hf_pool_channels_find(&m->pool->channels, str_of(name));

    return channel != NULL && channel->member == m->index ? channel : NULL;
}

static void on_message(void *user, const struct hf_client_message *message)
{
    const struct hf_pool_member *m = user;

    if (m->pool->options.on_message != NULL && own_channel(m, message->channel) != NULL)
        m->pool->options.on_message(m->pool->options.user, message);
}

static void on_gap(void *user, const struct hf_client_gap *gap)
{
    const struct hf_pool_member *m = user;

    if (m->pool->options.on_gap != NULL && own_channel(m, gap->channel) != NULL)
        m->pool->options.on_gap(m->pool->options.user, gap);
}

static void on_presence(void *user, const struct hf_client_presence_event *event)
{
    const struct hf_pool_member *m = user;

    if (m->pool->options.on_presence != NULL && own_channel(m, event->channel) != NULL)
        m->pool->options.on_presence(m->pool->options.user, event);
}

static void tell_unkept(struct hf_pool *pool, struct hf_client_text channel, int err)
{
    const char *code = err == HF_ELIMIT ? "limit" : "internal";
    const char *reason = "no room for a subscription that the backend made";
    const struct hf_client_problem problem = {
        .code = {code, strlen(code)}, .reason = {reason, strlen(reason)}, .channel = channel};

    if (pool->options.on_problem != NULL)
        pool->options.on_problem(pool->options.user, &problem);
}

/* A subscription that the backend made: for each of the user's sessions, where one is enough. Returns whether this member is to have it. */
static bool take_subscription(struct hf_pool_member *m, struct hf_client_text name)
{
    struct hf_pool_channel *channel = hf_pool_channels_find(&m->pool->channels, str_of(name));
    int err = 0;

    if (channel == NULL)
        err = hf_pool_channels_add(&m->pool->channels, str_of(name), m->index, NULL, &channel);
    if (err == 0 && channel->member == m->index)
        return true;
    if (err < 0)
        tell_unkept(m->pool, name, err);
    (void)hf_client_unsubscribe(m->client, name.data, name.len); /* Where that is under way already, well. */
    return false;
}

static void on_subscribed(void *user, const struct hf_client_subscription *subscription)
{
    struct hf_pool_member *m = user;

    if (take_subscription(m, subscription->channel) && m->pool->options.on_subscribed != NULL)
        m->pool->options.on_subscribed(m->pool->options.user, subscription);
}

static void on_unsubscribed(void *user, const struct hf_client_subscription *subscription)
{
    const struct hf_pool_member *m = user;
    struct hf_pool_channel *channel = own_channel(m, subscription->channel);

    if (channel == NULL)
        return;
    hf_pool_channels_remove(&m->pool->channels, channel);
    if (m->pool->options.on_unsubscribed != NULL)
        m->pool->options.on_unsubscribed(m->pool->options.user, subscription);
}

static void on_problem(void *user, const struct hf_client_problem *problem)
{
    const struct hf_pool_member *m = user;

    if (m->pool->options.on_problem != NULL)
        m->pool->options.on_problem(m->pool->options.user, problem);
}

static void tell_problem(struct hf_pool *pool, const struct hf_command *command, int err)
{
    const struct hf_client_problem problem = hf_command_failed(command, err);

    if (pool->options.on_problem != NULL)
        pool->options.on_problem(pool->options.user, &problem);
}

/* Ends a channel that no session has. */
static void tell_unsubscribed(struct hf_pool *pool, struct hf_pool_channel *channel, const char *code,
                              const char *reason)
{
    char name[HF_CHANNEL_BYTES_MAX];
    const struct hf_client_subscription subscription = {.channel = {name, channel->name.len},
                                                        .code = {code, strlen(code)},
                                                        .reason = {reason, strlen(reason)}};

    hf_assert(channel->name.len <= sizeof(name));
    memcpy(name, channel->name.data, channel->name.len);
    hf_pool_channels_remove(&pool->channels, channel);
    if (pool->options.on_unsubscribed != NULL)
        pool->options.on_unsubscribed(pool->options.user, &subscription);
}

static bool has_session(const struct hf_pool_member *m)
{
    return !m->ended;
}

static int subscribe(struct hf_pool_member *m, const struct hf_pool_channel *channel)
{
    const struct hf_client_start start = {.since_epoch = channel->start.since_epoch.data,
                                          .since_offset = channel->start.since_offset,
                                          .last = channel->start.last,
                                          .latest = channel->start.latest,
                                          .presence = channel->start.presence};

    return hf_client_subscribe(m->client, channel->name.data, channel->name.len, &start);
}

void hf_pool_subscribe_now(struct hf_pool *pool, struct hf_command *command)
{
    const struct hf_pool_channel_start start = {.since_epoch = hf_str_from(command->start.since_epoch),
                                                .since_offset = command->start.since_offset,
                                                .last = command->start.last,
                                                .latest = command->start.latest,
                                                .presence = command->start.presence};
    struct hf_pool_channel *channel;
    int err = hf_pool_channels_add(&pool->channels, command->channel, HF_POOL_CORE_ANY, &start, &channel);

    if (err == 0 && has_session(&pool->members[channel->member])) {
        err = subscribe(&pool->members[channel->member], channel);
        if (err < 0)
            hf_pool_channels_remove(&pool->channels, channel);
    }
    if (err < 0)
        tell_problem(pool, command, err);
}

void hf_pool_unsubscribe_now(struct hf_pool *pool, struct hf_command *command)
{
    struct hf_pool_channel *channel = hf_pool_channels_find(&pool->channels, command->channel);
    struct hf_pool_member *m;
    int err;

    if (channel == NULL || channel->leaving) {
        tell_problem(pool, command, HF_ENOTFOUND);
        return;
    }
    m = &pool->members[channel->member];
    if (!has_session(m)) {
        tell_unsubscribed(pool, channel, "", "");
        return;
    }
    channel->leaving = true;
    err = hf_client_unsubscribe(m->client, channel->name.data, channel->name.len);
    if (err < 0) {
        channel->leaving = false;
        tell_problem(pool, command, err);
    }
}

bool hf_pool_position_now(struct hf_pool *pool, struct hf_question *q)
{
    const struct hf_pool_channel *channel = hf_pool_channels_find(&pool->channels, q->channel);
    struct hf_client_text epoch;

    if (channel == NULL || channel->leaving ||
        !hf_client_position(pool->members[channel->member].client, q->channel.data, q->channel.len, &epoch,
                            &q->offset))
        return false;
    hf_assert(epoch.len < q->epoch_bytes);
    memcpy(q->epoch, epoch.data, epoch.len);
    q->epoch[epoch.len] = '\0';
    return true;
}

/* --- publishes --- */

int hf_pool_member_publish(struct hf_pool_member *m, struct hf_command *c)
{
    int err = hf_publish_ids_publish(&m->ids, m->client, c->channel, c->payload, c->payload_raw, c->id,
                                     c->publish_id);

    if (err == HF_EAGAIN)
        return err;
    /* HF_ESTATE: the pool is closing, "what has no result yet gets none". */
    if (err != HF_ESTATE)
        atomic_fetch_add(&m->counters.published, 1);
    if (err < 0 && err != HF_ESTATE) {
        const struct hf_client_result result = hf_command_refused(c, err);

        tell_result(m, &result);
    }
    hf_list_add_tail(&m->pool->done, &c->node);
    return 0;
}

/* --- sessions --- */

/* What the server may have got and has not answered. */
static void tell_uncertain(struct hf_pool_member *m)
{
    struct hf_outbox_item *item;

    while ((item = hf_client_take_unanswered(m->client, true)) != NULL) {
        if (!item->refused) { /* Else the application knows, and so does the map. */
            const struct hf_client_result result = {.publish_id =
                                                        hf_publish_ids_take(&m->ids, item->publish_id),
                                                    .outcome = HF_CLIENT_UNCERTAIN,
                                                    .channel = text_of(item->channel),
                                                    .id = text_of(item->id),
                                                    .payload = text_of(item->payload),
                                                    .payload_raw = item->payload_raw};

            tell_result(m, &result);
        }
        free(item);
    }
}

void hf_pool_member_over(struct hf_pool_member *m)
{
    m->over = true;
    hf_pool_core_gone(&m->pool->core, m->index);
    if (!m->pool->closed)
        tell_uncertain(m);
}

/* The old session's last words: what it never sent goes into the next one's outbox, before anything else does. */
static void move_unsent(struct hf_pool_member *m, struct hf_client *old, struct hf_publish_ids *old_ids)
{
    struct hf_outbox_item *item;

    while ((item = hf_client_take_unanswered(old, false)) != NULL) {
        char id[HF_LABEL_BYTES_MAX + 1] = "";
        struct hf_str label = {item->id.data == NULL ? NULL : id, item->id.len};
        uint64_t publish_id;
        int err;

        if (item->refused) { /* It has been told already. */
            free(item);
            continue;
        }
        publish_id = hf_publish_ids_take(old_ids, item->publish_id);
        if (item->id.len > 0)
            memcpy(id, item->id.data, item->id.len);
        err = hf_publish_ids_publish(&m->ids, m->client, item->channel, item->payload, item->payload_raw,
                                     label, publish_id);
        if (err < 0) {
            const struct hf_command lost = {.publish_id = publish_id, .channel = item->channel};
            const struct hf_client_result result = hf_command_refused(&lost, err);

            tell_result(m, &result);
        }
        free(item);
    }
}

/* A channel goes on behind what the old session's client has delivered. */
static void move_channel(struct hf_pool_member *m, struct hf_client *old, struct hf_pool_channel *channel)
{
    struct hf_client_text epoch;
    uint64_t offset;
    char since[HF_LABEL_BYTES_MAX + 1] = "";
    struct hf_client_start start = {.since_epoch = since, .presence = channel->start.presence};
    int err;

    if (channel->leaving) {
        tell_unsubscribed(m->pool, channel, "", "");
        return;
    }
    if (!channel->start.latest &&
        hf_client_position(old, channel->name.data, channel->name.len, &epoch, &offset)) {
        memcpy(since, epoch.data, epoch.len);
        start.since_offset = offset;
        err = hf_client_subscribe(m->client, channel->name.data, channel->name.len, &start);
    } else {
        err = subscribe(m, channel);
    }
    if (err < 0)
        tell_unsubscribed(m->pool, channel, err == HF_EINVAL ? "bad_message" : "internal",
                          "the next session could not take the channel over");
}

static void move_channels(struct hf_pool_member *m, struct hf_client *old)
{
    struct hf_list *node = m->pool->channels.of_member[m->index].next, *next;

    for (; node != &m->pool->channels.of_member[m->index]; node = next) {
        next = node->next;
        move_channel(m, old, HF_POOL_CHANNEL_OF(node));
    }
}

static int client_new(struct hf_pool_member *m, struct hf_client **out)
{
    struct hf_client_options options = hf_client_options_plain(&m->pool->options.client);

    options.url = m->pool->options.client.urls[m->url];
    options.urls = NULL;
    options.urls_count = 0;
    /* A file is for one client, and what the first one learns of the network holds for all of a later start. */
    if (m->index > 0)
        options.heartbeat_memory = NULL;
    options.user = m;
    options.on_connected = on_connected;
    options.on_disconnected = on_disconnected;
    options.on_ended = on_ended;
    options.on_message = on_message;
    options.on_gap = on_gap;
    options.on_subscribed = on_subscribed;
    options.on_unsubscribed = on_unsubscribed;
    options.on_result = on_result;
    options.on_problem = on_problem;
    options.on_state = on_state;
    options.on_caught_up = on_caught_up;
    options.on_history = hf_pool_on_history;
    options.on_pong = hf_pool_on_pong;
    options.on_members = hf_pool_on_members;
    options.on_presence = on_presence;
    options.on_reply = hf_pool_on_reply;
    options.on_token_needed = m->pool->options.on_token_needed == NULL ? NULL : hf_pool_on_token_needed;
    return hf_client_new(&options, out);
}

int hf_pool_member_start(struct hf_pool_member *m)
{
    struct hf_client *client;
    int err = client_new(m, &client);

    if (err < 0)
        return err;
    hf_pool_core_replaced(&m->pool->core, m->index);
    hf_publish_ids_init(&m->ids);
    m->client = client;
    m->ended = m->over = false;
    m->connections = 0;
    return 0;
}

void hf_pool_member_replace(struct hf_pool_member *m)
{
    struct hf_client *old = m->client;
    struct hf_publish_ids old_ids = m->ids;

    if (m->connections == 0)
        m->url = (m->url + 1) % m->pool->options.client.urls_count;
    if (hf_pool_member_start(m) < 0) {
        (void)hf_pool_core_ended(&m->pool->core, m->index, m->pool->now_ms);
        hf_pool_core_gone(&m->pool->core, m->index);
        return;
    }
    atomic_fetch_add(&m->counters.replaced, 1);
    move_unsent(m, old, &old_ids);
    move_channels(m, old);
    hf_publish_ids_release(&old_ids);
    hf_client_free(old);
}

void hf_pool_member_release(struct hf_pool_member *m)
{
    hf_client_free(m->client);
    hf_publish_ids_release(&m->ids);
}
