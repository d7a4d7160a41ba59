#include "client/command.h"

#include "base/buf.h"
#include "session/client_session.h"
#include "session/request.h"
#include "wire/json.h"
#include "wire/message.h"
#include "ws/utf8.h"

#include <stdlib.h>
#include <string.h>

/* --- making --- */

static struct hf_str keep(char **at, struct hf_str s)
{
    struct hf_str copy = {*at, s.len};

    if (s.data == NULL)
        return s;
    if (s.len > 0)
        memcpy(*at, s.data, s.len);
    (*at)[s.len] = '\0';
    *at += s.len + 1;
    return copy;
}

/* second: the id of a publish, or the epoch of a subscribe or of history. */
static struct hf_command *command_new(enum hf_command_type type, struct hf_str channel, struct hf_str second,
                                      struct hf_str payload)
{
    size_t bytes = sizeof(struct hf_command) + channel.len + second.len + payload.len + 3;
    struct hf_command *command = malloc(bytes);
    char *at;

    if (command == NULL)
        return NULL;
    at = command->texts;
    *command = (struct hf_command){.type = type, .bytes = bytes};
    hf_list_init(&command->node);
    command->channel = keep(&at, channel);
    command->id = keep(&at, second);
    command->payload = keep(&at, payload);
    return command;
}

static bool id_valid(struct hf_str id)
{
    return id.data == NULL ||
           (id.len <= HF_LABEL_BYTES_MAX && hf_utf8_valid((const uint8_t *)id.data, id.len));
}

int hf_command_publish_bytes(struct hf_str channel, struct hf_str bytes, const char *id, size_t bytes_max,
                             struct hf_command **out)
{
    struct hf_str label = hf_str_from(id);
    struct hf_command *command;

    if (bytes.len > bytes_max)
        return HF_ETOOLARGE;
    if (!hf_channel_name_valid(channel) || !id_valid(label))
        return HF_EINVAL;
    command = command_new(HF_COMMAND_PUBLISH, channel, label, bytes);
    if (command == NULL)
        return HF_ENOMEM;
    if (command->bytes > bytes_max) {
        free(command);
        return HF_ETOOLARGE;
    }
    command->payload_raw = true;
    *out = command;
    return 0;
}

int hf_command_publish(struct hf_str channel, struct hf_str payload, const char *id, size_t bytes_max,
                       struct hf_command **out)
{
    struct hf_str value = {NULL, 0};
    const char *reason;
    int err;

    if (payload.len > bytes_max)
        return HF_ETOOLARGE;
    if (hf_json_check(payload, true, &value, &reason) < 0)
        return HF_EINVAL;
    err = hf_command_publish_bytes(channel, value, id, bytes_max, out);
    if (err == 0)
        (*out)->payload_raw = false;
    return err;
}

int hf_command_publish_text(struct hf_str channel, struct hf_str words, const char *id, size_t bytes_max,
                            struct hf_command **out)
{
    struct hf_buf json;
    int err;

    if (words.len > bytes_max)
        return HF_ETOOLARGE;
    if (!hf_utf8_valid((const uint8_t *)words.data, words.len))
        return HF_EINVAL;
    hf_buf_init(&json, bytes_max);
    err = hf_json_put_string(&json, words);
    if (err == HF_ELIMIT)
        err = HF_ETOOLARGE;
    if (err >= 0)
        err = hf_command_publish(channel, hf_buf_str(&json), id, bytes_max, out);
    hf_buf_release(&json);
    return err;
}

int hf_command_subscribe(struct hf_str channel, const struct hf_client_start *start, struct hf_command **out)
{
    struct hf_command *command;

    if (!hf_channel_name_valid(channel))
        return HF_EINVAL;
    command = command_new(HF_COMMAND_SUBSCRIBE, channel,
                          hf_str_from(start == NULL ? NULL : start->since_epoch), (struct hf_str){NULL, 0});
    if (command == NULL)
        return HF_ENOMEM;
    if (start != NULL)
        command->start = *start;
    command->start.since_epoch = command->id.data;
    *out = command;
    return 0;
}

int hf_command_unsubscribe(struct hf_str channel, struct hf_command **out)
{
    struct hf_command *command;

    if (!hf_channel_name_valid(channel))
        return HF_EINVAL;
    command =
        command_new(HF_COMMAND_UNSUBSCRIBE, channel, (struct hf_str){NULL, 0}, (struct hf_str){NULL, 0});
    if (command == NULL)
        return HF_ENOMEM;
    *out = command;
    return 0;
}

int hf_command_history(struct hf_str channel, const struct hf_client_history_query *query,
                       struct hf_command **out)
{
    const struct hf_client_history_query all = {.limit = HF_HISTORY_LIMIT};
    const struct hf_client_history_query *q = query == NULL ? &all : query;
    const struct hf_request like = {.type = HF_MSG_HISTORY,
                                    .channel = channel,
                                    .since = q->since_epoch != NULL,
                                    .epoch = hf_str_from(q->since_epoch),
                                    .since_offset = q->since_offset,
                                    .limit = q->limit == 0 ? HF_HISTORY_LIMIT : q->limit};
    struct hf_command *command;

    if (!hf_request_valid(&like))
        return HF_EINVAL;
    command = command_new(HF_COMMAND_HISTORY, channel, like.epoch, (struct hf_str){NULL, 0});
    if (command == NULL)
        return HF_ENOMEM;
    command->query = *q;
    command->query.since_epoch = command->id.data;
    *out = command;
    return 0;
}

int hf_command_ping(struct hf_command **out)
{
    *out = command_new(HF_COMMAND_PING, (struct hf_str){NULL, 0}, (struct hf_str){NULL, 0},
                       (struct hf_str){NULL, 0});
    return *out == NULL ? HF_ENOMEM : 0;
}

int hf_command_presence(struct hf_str channel, struct hf_command **out)
{
    if (!hf_channel_name_valid(channel))
        return HF_EINVAL;
    *out = command_new(HF_COMMAND_PRESENCE, channel, (struct hf_str){NULL, 0}, (struct hf_str){NULL, 0});
    return *out == NULL ? HF_ENOMEM : 0;
}

int hf_command_call(struct hf_str method, struct hf_str payload, size_t bytes_max, struct hf_command **out)
{
    const struct hf_request like = {.type = HF_MSG_CALL, .method = method};
    struct hf_str value;
    const char *reason;
    struct hf_command *command;

    if (payload.len > bytes_max)
        return HF_ETOOLARGE;
    if (!hf_request_valid(&like) || hf_json_check(payload, true, &value, &reason) < 0)
        return HF_EINVAL;
    command = command_new(HF_COMMAND_CALL, method, (struct hf_str){NULL, 0}, value);
    if (command == NULL)
        return HF_ENOMEM;
    if (command->bytes > bytes_max) {
        free(command);
        return HF_ETOOLARGE;
    }
    *out = command;
    return 0;
}

int hf_command_token(const char *token, struct hf_command **out)
{
    if (token == NULL || !hf_client_session_token_valid(token))
        return HF_EINVAL;
    *out = command_new(HF_COMMAND_TOKEN, HF_STR(""), (struct hf_str){NULL, 0}, hf_str_from(token));
    return *out == NULL ? HF_ENOMEM : 0;
}

int hf_command_token_failed(const char *why, struct hf_command **out)
{
    *out = command_new(HF_COMMAND_TOKEN_FAILED, HF_STR(""), (struct hf_str){NULL, 0}, hf_str_from(why));
    return *out == NULL ? HF_ENOMEM : 0;
}

/* --- what is told of one that failed --- */

static struct hf_client_text text(const char *words)
{
    return (struct hf_client_text){words, strlen(words)};
}

static struct hf_client_text text_of(struct hf_str s)
{
    return (struct hf_client_text){s.data, s.len};
}

struct hf_client_result hf_command_refused(const struct hf_command *command, int err)
{
    return (struct hf_client_result){
        .publish_id = command->publish_id,
        .outcome = HF_CLIENT_REFUSED,
        .channel = text_of(command->channel),
        .code = text(err == HF_ETOOLARGE ? "too_large" : "internal"),
        .reason = text(err == HF_ETOOLARGE ? "larger than the server takes" : hf_strerror(err)),
    };
}

static const char *code_of(int err)
{
    switch (err) {
    case HF_EEXIST:
        return "exists";
    case HF_ELIMIT:
        return "limit";
    case HF_ENOTFOUND:
        return "not_found";
    case HF_EINVAL:
        return "bad_message";
    default:
        return "internal";
    }
}

static const char *reason_of(const struct hf_command *command, int err)
{
    switch (err) {
    case HF_EEXIST:
        return "subscribed already, or the end of an earlier subscription has not been confirmed yet";
    case HF_ELIMIT:
        return "as many channels as subscriptions_max allows are subscribed to";
    case HF_ENOTFOUND:
        return "not subscribed";
    case HF_EINVAL:
        return command->type == HF_COMMAND_SUBSCRIBE ? "no position where a subscription can begin"
                                                     : "invalid";
    default:
        return hf_strerror(err);
    }
}

struct hf_client_problem hf_command_failed(const struct hf_command *command, int err)
{
    return (struct hf_client_problem){.code = text(code_of(err)),
                                      .reason = text(reason_of(command, err)),
                                      .channel = text_of(command->channel)};
}
