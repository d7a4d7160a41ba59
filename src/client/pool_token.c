/*
 * pool_token.c - tokens: all members show the same one, so the application is asked once, whichever of them needs another first.
 */
#include "client/pool_impl.h"

#include "base/err.h"
#include "client/handover.h"
#include "client/tokens.h"

#include <stdlib.h>
#include <string.h>

void hf_pool_on_token_needed(void *user, enum hf_client_token_reason reason)
{
    const struct hf_pool_member *m = user;
    struct hf_pool *pool = m->pool;

    if (pool->token_asked_until_ms != UINT64_MAX && pool->now_ms < pool->token_asked_until_ms)
        return; /* Its answer is for this member as well. */
    pool->token_asked_until_ms = pool->now_ms + HF_TOKEN_ANSWER_MS;
    pool->options.on_token_needed(pool->options.user, reason);
}

/* Sessions that are made later begin with it, too. */
static int keep(struct hf_pool *pool, struct hf_str token)
{
    char *copy = malloc(token.len + 1);

    if (copy == NULL)
        return HF_ENOMEM;
    memcpy(copy, token.data, token.len);
    copy[token.len] = '\0';
    free((char *)(uintptr_t)pool->options.client.token);
    pool->options.client.token = copy;
    return 0;
}

void hf_pool_set_token_now(struct hf_pool *pool, const struct hf_command *command)
{
    int err = keep(pool, command->payload);
    uint32_t i;

    pool->token_asked_until_ms = UINT64_MAX;
    for (i = 0; err == 0 && i < pool->options.members; i++)
        if (!pool->members[i].ended)
            err = hf_client_set_token(pool->members[i].client, command->payload.data);
    if (err == HF_ENOMEM)
        hf_pool_token_failed_now(pool, hf_strerror(err));
}

void hf_pool_token_failed_now(struct hf_pool *pool, const char *why)
{
    uint32_t i;

    pool->token_asked_until_ms = UINT64_MAX;
    for (i = 0; i < pool->options.members; i++)
        if (!pool->members[i].ended && hf_client_token_asked(pool->members[i].client)) {
            hf_client_token_failed(pool->members[i].client, why);
            why = NULL; /* It is told once. */
        }
}
