/*
 * pool_ask.c - history and pings: which member is asked, and what becomes of the answer. History is the same wherever it is asked for, so it goes to
 * the next connected member in turn, and to another where that one's connection breaks; an answer that comes twice is told once. A ping
 * is about its member, and waits for it.
 */
#include "client/pool_impl.h"

#include "base/assert.h"
#include "client/ask.h"

void hf_pool_ask_put(struct hf_pool *pool, struct hf_command *command)
{
    if (command->type == HF_COMMAND_HISTORY) {
        hf_list_add_tail(&pool->histories, &command->node);
        return;
    }
    hf_assert(command->put_for < pool->options.members);
    hf_list_add_tail(&pool->members[command->put_for].pings, &command->node);
}

/* Returns whether some member has taken it. */
static bool ask_history(struct hf_pool *pool, struct hf_command *command)
{
    const uint32_t count = pool->options.members;
    uint32_t i;

    for (i = 0; i < count; i++) {
        uint32_t member = (pool->history_turn + i) % count;
        struct hf_pool_member *m = &pool->members[member];

        if (pool->core.members[member].state != HF_POOL_UP || hf_ask(&m->asked, m->client, command) < 0)
            continue;
        pool->history_turn = (member + 1) % count;
        return true;
    }
    return false;
}

void hf_pool_ask_now(struct hf_pool *pool)
{
    struct hf_list *node;
    uint32_t i;

    if (pool->closed)
        return;
    for (i = 0; i < pool->options.members; i++)
        if (!pool->members[i].ended)
            hf_ask_waiting(&pool->members[i].asked, pool->members[i].client, &pool->members[i].pings);
    while ((node = hf_list_pop(&pool->histories)) != NULL)
        if (!ask_history(pool, HF_COMMAND_OF(node))) {
            hf_list_add_tail(pool->histories.next, node); /* before the first: to the front */
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
            hf_ask_again(&pool->members[i].asked, HF_COMMAND_HISTORY, &pool->histories);
}

void hf_pool_ask_ended(struct hf_pool_member *m)
{
    hf_ask_again(&m->asked, HF_COMMAND_HISTORY, &m->pool->histories);
    hf_ask_again(&m->asked, HF_COMMAND_PING, &m->pings);
}

void hf_pool_ask_drop(struct hf_pool *pool)
{
    uint32_t i;

    hf_list_splice(&pool->done, &pool->histories);
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
