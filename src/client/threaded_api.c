/*
 * threaded_api.c - what any thread may ask of a threaded client: it goes through the mailbox.
 */
#include "client/threaded_impl.h"

#include "base/err.h"
#include "client/command.h"

#include <stdlib.h>

static struct hf_str str(const char *data, size_t len)
{
    return (struct hf_str){data, len};
}

/* Puts in what could be made, or frees it. */
static int put(struct hf_threaded *t, int made, struct hf_command *command, uint64_t *id)
{
    uint64_t ignored;
    int err = made;

    if (err < 0)
        return err;
    err = hf_mailbox_put(&t->mailbox, command, id == NULL ? &ignored : id);
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

int hf_threaded_publish_bytes(struct hf_threaded *t, const char *channel, size_t channel_len,
                              const void *bytes, size_t bytes_len, const char *id, uint64_t *publish_id)
{
    struct hf_command *command = NULL;
    int err = hf_command_publish_bytes(str(channel, channel_len), str(bytes, bytes_len), id,
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

int hf_threaded_history(struct hf_threaded *t, const char *channel, size_t channel_len,
                        const struct hf_client_history_query *query, uint64_t *request_id)
{
    struct hf_command *command = NULL;
    int err = hf_command_history(str(channel, channel_len), query, &command);

    return put(t, err, command, request_id);
}

int hf_threaded_ping(struct hf_threaded *t, uint64_t *request_id)
{
    struct hf_command *command = NULL;
    int err = hf_command_ping(&command);

    return put(t, err, command, request_id);
}

int hf_threaded_presence(struct hf_threaded *t, const char *channel, size_t channel_len, uint64_t *request_id)
{
    struct hf_command *command = NULL;
    int err = hf_command_presence(str(channel, channel_len), &command);

    return put(t, err, command, request_id);
}

int hf_threaded_call(struct hf_threaded *t, const char *method, size_t method_len, const char *payload,
                     size_t payload_len, uint64_t *request_id)
{
    struct hf_command *command = NULL;
    int err =
        hf_command_call(str(method, method_len), str(payload, payload_len), t->publish_bytes_max, &command);

    return put(t, err, command, request_id);
}

int hf_threaded_set_token(struct hf_threaded *t, const char *token)
{
    struct hf_command *command = NULL;
    int err = hf_command_token(token, &command);

    return put(t, err, command, NULL);
}

int hf_threaded_token_failed(struct hf_threaded *t, const char *why)
{
    struct hf_command *command = NULL;
    int err = hf_command_token_failed(why, &command);

    return put(t, err, command, NULL);
}

bool hf_threaded_position(struct hf_threaded *t, const char *channel, size_t channel_len,
                          char epoch[HF_CLIENT_EPOCH_BYTES], uint64_t *offset)
{
    struct hf_question question = {
        .channel = str(channel, channel_len), .epoch = epoch, .epoch_bytes = HF_CLIENT_EPOCH_BYTES};
    bool found = hf_mailbox_is_mine(&t->mailbox) ? hf_threaded_position_now(t, &question)
                                                 : hf_mailbox_ask(&t->mailbox, &question);

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
