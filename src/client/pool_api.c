/*
 * pool_api.c - what any thread may ask of a pool.
 */
#include "client/pool_impl.h"

#include "base/err.h"

#include <stdlib.h>

static struct hf_str str(const char *data, size_t len)
{
    return (struct hf_str){data, len};
}

/* Puts in what could be made, or frees it. */
static int put(struct hf_pool *p, int made, struct hf_command *command, uint64_t *id)
{
    uint64_t ignored;
    int err = made;

    if (err < 0)
        return err;
    err = hf_mailbox_put(&p->mailbox, command, id == NULL ? &ignored : id);
    if (err < 0)
        free(command);
    return err;
}

static int put_publish(struct hf_pool *p, int made, struct hf_command *command, const char *key,
                       uint64_t *publish_id)
{
    if (made == 0)
        command->put_for =
            key == NULL ? HF_POOL_CORE_ANY : hf_pool_core_member_of(&p->core, hf_str_from(key));
    return put(p, made, command, publish_id);
}

int hf_pool_publish(struct hf_pool *p, const char *key, const char *channel, size_t channel_len,
                    const char *payload, size_t payload_len, const char *id, uint64_t *publish_id)
{
    struct hf_command *command = NULL;
    int err = hf_command_publish(str(channel, channel_len), str(payload, payload_len), id,
                                 p->options.client.outbox_bytes_max, &command);

    return put_publish(p, err, command, key, publish_id);
}

int hf_pool_publish_text(struct hf_pool *p, const char *key, const char *channel, size_t channel_len,
                         const char *words, size_t words_len, const char *id, uint64_t *publish_id)
{
    struct hf_command *command = NULL;
    int err = hf_command_publish_text(str(channel, channel_len), str(words, words_len), id,
                                      p->options.client.outbox_bytes_max, &command);

    return put_publish(p, err, command, key, publish_id);
}

int hf_pool_publish_bytes(struct hf_pool *p, const char *key, const char *channel, size_t channel_len,
                          const void *bytes, size_t bytes_len, const char *id, uint64_t *publish_id)
{
    struct hf_command *command = NULL;
    int err = hf_command_publish_bytes(str(channel, channel_len), str(bytes, bytes_len), id,
                                       p->options.client.outbox_bytes_max, &command);

    return put_publish(p, err, command, key, publish_id);
}

uint32_t hf_pool_unanswered(struct hf_pool *p)
{
    return atomic_load(&p->mailbox.unanswered);
}

int hf_pool_subscribe(struct hf_pool *p, const char *channel, size_t channel_len,
                      const struct hf_client_start *start)
{
    struct hf_command *command = NULL;
    int err = hf_command_subscribe(str(channel, channel_len), start, &command);

    return put(p, err, command, NULL);
}

int hf_pool_unsubscribe(struct hf_pool *p, const char *channel, size_t channel_len)
{
    struct hf_command *command = NULL;
    int err = hf_command_unsubscribe(str(channel, channel_len), &command);

    return put(p, err, command, NULL);
}

int hf_pool_history(struct hf_pool *p, const char *channel, size_t channel_len,
                    const struct hf_client_history_query *query, uint64_t *request_id)
{
    struct hf_command *command = NULL;
    int err = hf_command_history(str(channel, channel_len), query, &command);

    return put(p, err, command, request_id);
}

int hf_pool_presence(struct hf_pool *p, const char *channel, size_t channel_len, uint64_t *request_id)
{
    struct hf_command *command = NULL;
    int err = hf_command_presence(str(channel, channel_len), &command);

    return put(p, err, command, request_id);
}

int hf_pool_call(struct hf_pool *p, const char *method, size_t method_len, const char *payload,
                 size_t payload_len, uint64_t *request_id)
{
    struct hf_command *command = NULL;
    int err = hf_command_call(str(method, method_len), str(payload, payload_len),
                              p->options.client.outbox_bytes_max, &command);

    return put(p, err, command, request_id);
}

int hf_pool_set_token(struct hf_pool *p, const char *token)
{
    struct hf_command *command = NULL;
    int err = hf_command_token(token, &command);

    return put(p, err, command, NULL);
}

int hf_pool_token_failed(struct hf_pool *p, const char *why)
{
    struct hf_command *command = NULL;
    int err = hf_command_token_failed(why, &command);

    return put(p, err, command, NULL);
}

int hf_pool_ping(struct hf_pool *p, uint32_t member, uint64_t *request_id)
{
    struct hf_command *command = NULL;
    int err = member < p->options.members ? hf_command_ping(&command) : HF_EINVAL;

    if (err == 0)
        command->put_for = member;
    return put(p, err, command, request_id);
}

bool hf_pool_position(struct hf_pool *p, const char *channel, size_t channel_len,
                      char epoch[HF_CLIENT_EPOCH_BYTES], uint64_t *offset)
{
    struct hf_question question = {
        .channel = str(channel, channel_len), .epoch = epoch, .epoch_bytes = HF_CLIENT_EPOCH_BYTES};
    bool found = hf_mailbox_is_mine(&p->mailbox) ? hf_pool_position_now(p, &question)
                                                 : hf_mailbox_ask(&p->mailbox, &question);

    if (found)
        *offset = question.offset;
    return found;
}

static struct hf_pool_statistics statistics_of(struct hf_pool_counters *c)
{
    struct hf_pool_statistics s;

    /* Results first: a publish is counted before its result, so that no difference is negative. */
    s.acknowledged = atomic_load(&c->acknowledged);
    s.refused = atomic_load(&c->refused);
    s.uncertain = atomic_load(&c->uncertain);
    s.published = atomic_load(&c->published);
    s.queued = s.published - s.acknowledged - s.refused - s.uncertain;
    s.connected = atomic_load(&c->connected);
    s.reconnects = atomic_load(&c->reconnects);
    s.replaced = atomic_load(&c->replaced);
    return s;
}

static void add(struct hf_pool_statistics *to, const struct hf_pool_statistics *s)
{
    to->connected += s->connected;
    to->published += s->published;
    to->acknowledged += s->acknowledged;
    to->refused += s->refused;
    to->uncertain += s->uncertain;
    to->reconnects += s->reconnects;
    to->replaced += s->replaced;
}

uint32_t hf_pool_statistics(struct hf_pool *p, struct hf_pool_statistics *members, uint32_t members_count,
                            struct hf_pool_statistics *all)
{
    struct hf_pool_statistics sum = {.queued = hf_pool_unanswered(p)};
    uint32_t i;

    for (i = 0; i < p->options.members; i++) {
        struct hf_pool_statistics one = statistics_of(&p->members[i].counters);

        add(&sum, &one);
        if (members != NULL && i < members_count)
            members[i] = one;
    }
    if (all != NULL)
        *all = sum;
    return p->options.members;
}

void hf_pool_close(struct hf_pool *p)
{
    hf_mailbox_close(&p->mailbox);
}

void hf_pool_stop(struct hf_pool *p)
{
    hf_mailbox_stop(&p->mailbox);
}
