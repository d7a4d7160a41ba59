/*
 * pool_ask.c - history, presence, calls and pings: which member is asked, and what becomes of the answer. History and presence are the same wherever they are asked for, so they go to
 * the next connected member in turn, and to another where that one's connection breaks; an answer that comes twice is told once. A call goes to one member and is never repeated; it waits for a
 * connected one as long as it may wait for its answer. A ping is about its member, and waits for it.
 */
#include "client/pool_impl.h"

#include "base/assert.h"
#include "client/ask.h"

static bool is_anybodys(const struct hf_command *command)
{
    return command->type == HF_COMMAND_HISTORY || command->type == HF_COMMAND_PRESENCE;
}

static bool is_ping(const struct hf_command *command)
{
    return command->type == HF_COMMAND_PING;
}

static bool is_call(const struct hf_command *command)
{
    return command->type == HF_COMMAND_CALL;
}

void hf_pool_ask_put(struct hf_pool *pool, struct hf_command *command)
{
    const uint64_t timeout_ms = pool->options.client.call_timeout_ms;
    bool for_ever = !is_call(command) || timeout_ms == 0 || timeout_ms > UINT64_MAX - pool->now_ms;

    if (!is_ping(command)) {
        command->until_ms = for_ever ? UINT64_MAX : pool->now_ms + timeout_ms;
        hf_list_add_tail(&pool->questions, &command->node);
        return;
    }
    hf_assert(command->put_for < pool->options.members);
    hf_list_add_tail(&pool->members[command->put_for].pings, &command->node);
}

/* Of a call that no member has, or has any more. */
static void refuse_call(struct hf_pool *pool, struct hf_command *command, int err)
{
    const struct hf_client_reply reply = hf_ask_refused(command, err);

    hf_list_add_tail(&pool->done, &command->node);
    if (pool->options.on_reply != NULL)
        pool->options.on_reply(pool->options.user, &reply);
}

/* The call that has waited longest for a member, which is the first of them. */
static struct hf_command *first_call(struct hf_pool *pool)
{
    struct hf_list *node;

    for (node = pool->questions.next; node != &pool->questions; node = node->next)
        if (is_call(HF_COMMAND_OF(node)))
            return HF_COMMAND_OF(node);
    return NULL;
}

uint64_t hf_pool_ask_deadline_ms(struct hf_pool *pool)
{
    const struct hf_command *call = pool->closed ? NULL : first_call(pool);

    return call == NULL ? UINT64_MAX : call->until_ms;
}

static void end_waits(struct hf_pool *pool)
{
    struct hf_command *call;

    while ((call = first_call(pool)) != NULL && pool->now_ms >= call->until_ms) {
        hf_list_del(&call->node);
        refuse_call(pool, call, HF_ETIMEOUT);
    }
}

/* Returns whether some member has taken it, or it is refused. */
static bool ask_any(struct hf_pool *pool, struct hf_command *command)
{
    const uint32_t count = pool->options.members;
    uint32_t i;

    for (i = 0; i < count; i++) {
        uint32_t member = (pool->question_turn + i) % count;
        struct hf_pool_member *m = &pool->members[member];
        bool up = pool->core.members[member].state == HF_POOL_UP;
        int err = up ? hf_ask(&m->asked, m->client, command) : HF_EAGAIN;

        if (err == HF_ETOOLARGE)
            refuse_call(pool, command, err);
        else if (err < 0)
            continue;
        pool->question_turn = (member + 1) % count;
        return true;
    }
    return false;
}

void hf_pool_ask_now(struct hf_pool *pool)
{
    struct hf_list none, *node;
    uint32_t i;

    if (pool->closed)
        return;
    end_waits(pool);
    hf_list_init(&none); /* No ping is refused. */
    for (i = 0; i < pool->options.members; i++)
        if (!pool->members[i].ended)
            hf_ask_waiting(&pool->members[i].asked, pool->members[i].client, &pool->members[i].pings, &none);
    while ((node = hf_list_pop(&pool->questions)) != NULL)
        if (!ask_any(pool, HF_COMMAND_OF(node))) {
            hf_list_add_tail(pool->questions.next, node); /* before the first: to the front */
            return;
        }
}

void hf_pool_ask_moved(struct hf_pool *pool)
{
    uint32_t i;

    if (pool->core.connected_count == 0)
        return; /* Whichever comes back first: until then each session keeps what it was asked. */
    for (i = 0; i < pool->options.members; i++)
        if (pool->core.members[i].state != HF_POOL_UP)
            hf_ask_again(&pool->members[i].asked, is_anybodys, &pool->questions);
}

void hf_pool_ask_ended(struct hf_pool_member *m)
{
    struct hf_list calls, *node;

    hf_list_init(&calls);
    hf_ask_again(&m->asked, is_anybodys, &m->pool->questions);
    hf_ask_again(&m->asked, is_ping, &m->pings);
    if (m->pool->closed)
        return; /* "Only the pool's end leaves one without an answer." */
    hf_ask_again(&m->asked, is_call, &calls);
    while ((node = hf_list_pop(&calls)) != NULL)
        refuse_call(m->pool, HF_COMMAND_OF(node), HF_ESTATE);
}

void hf_pool_ask_drop(struct hf_pool *pool)
{
    uint32_t i;

    hf_list_splice(&pool->done, &pool->questions);
    for (i = 0; i < pool->options.members; i++) {
        hf_list_splice(&pool->done, &pool->members[i].pings);
        hf_list_splice(&pool->done, &pool->members[i].asked);
    }
}

void hf_pool_on_history(void *user, const struct hf_client_history *history)
{
    struct hf_pool_member *m = user;
    const struct hf_pool_options *o = &m->pool->options;
    struct hf_command *command = hf_ask_answered(&m->asked, history->request_id);
    struct hf_client_history mine = *history;

    if (command == NULL)
        return; /* Another member was asked as well, while this one had no connection. */
    mine.request_id = command->request_id;
    hf_list_add_tail(&m->pool->done, &command->node);
    if (o->on_history != NULL)
        o->on_history(o->user, &mine);
}

void hf_pool_on_members(void *user, const struct hf_client_members *members)
{
    struct hf_pool_member *m = user;
    const struct hf_pool_options *o = &m->pool->options;
    struct hf_command *command = hf_ask_answered(&m->asked, members->request_id);
    struct hf_client_members mine = *members;

    if (command == NULL)
        return; /* As of history. */
    mine.request_id = command->request_id;
    hf_list_add_tail(&m->pool->done, &command->node);
    if (o->on_members != NULL)
        o->on_members(o->user, &mine);
}

void hf_pool_on_reply(void *user, const struct hf_client_reply *reply)
{
    struct hf_pool_member *m = user;
    const struct hf_pool_options *o = &m->pool->options;
    struct hf_command *command = hf_ask_answered(&m->asked, reply->request_id);
    struct hf_client_reply mine = *reply;

    hf_assert(command != NULL);
    mine.request_id = command->request_id;
    hf_list_add_tail(&m->pool->done, &command->node);
    if (o->on_reply != NULL)
        o->on_reply(o->user, &mine);
}

void hf_pool_on_pong(void *user, const struct hf_client_pong *pong)
{
    struct hf_pool_member *m = user;
    const struct hf_pool_options *o = &m->pool->options;
    struct hf_command *command = hf_ask_answered(&m->asked, pong->request_id);
    struct hf_client_pong mine = *pong;

    hf_assert(command != NULL);
    mine.request_id = command->request_id;
    hf_list_add_tail(&m->pool->done, &command->node);
    if (o->on_pong != NULL)
        o->on_pong(o->user, m->index, &mine);
}
