#include "client/ask.h"

#include "base/assert.h"
#include "holdfast/holdfast.h"

#include <string.h>

static int put(struct hf_client *client, struct hf_command *c)
{
    switch (c->type) {
    case HF_COMMAND_PING:
        return hf_client_ping(client, &c->client_id);
    case HF_COMMAND_PRESENCE:
        return hf_client_presence(client, c->channel.data, c->channel.len, &c->client_id);
    case HF_COMMAND_CALL:
        return hf_client_call(client, c->channel.data, c->channel.len, c->payload.data, c->payload.len,
                              &c->client_id);
    default:
        return hf_client_history(client, c->channel.data, c->channel.len, &c->query, &c->client_id);
    }
}

int hf_ask(struct hf_list *asked, struct hf_client *client, struct hf_command *command)
{
    int err;

    hf_assert(hf_command_asks(command));
    err = put(client, command);
    /* The command was checked when it was made. */
    hf_assert(err != HF_EINVAL);
    if (err == 0)
        hf_list_add_tail(asked, &command->node);
    return err;
}

static void put_first(struct hf_list *list, struct hf_list *node)
{
    hf_list_add_tail(list->next, node);
}

void hf_ask_waiting(struct hf_list *asked, struct hf_client *client, struct hf_list *waiting,
                    struct hf_list *refused)
{
    struct hf_list *node;

    while ((node = hf_list_pop(waiting)) != NULL) {
        int err = hf_ask(asked, client, HF_COMMAND_OF(node));

        if (err == HF_ETOOLARGE) {
            hf_list_add_tail(refused, node);
        } else if (err < 0) {
            put_first(waiting, node);
            return;
        }
    }
}

static struct hf_client_text text(const char *words)
{
    return (struct hf_client_text){words, strlen(words)};
}

struct hf_client_reply hf_ask_refused(const struct hf_command *command, int err)
{
    struct hf_client_reply reply = {.request_id = command->request_id, .code = text("uncertain")};

    reply.reason =
        text("the session ended before the answer: the call may have reached the backend. Make it again "
             "only if twice does no harm");
    if (err == HF_ETOOLARGE) {
        reply.code = text("too_large");
        reply.reason = text("larger than the server takes");
    } else if (err == HF_ETIMEOUT) {
        reply.code = text("timeout");
        reply.reason = text("there was no connection in time: the call was not made");
    }
    return reply;
}

struct hf_command *hf_ask_answered(struct hf_list *asked, uint64_t client_id)
{
    struct hf_list *node;

    for (node = asked->next; node != asked; node = node->next)
        if (HF_COMMAND_OF(node)->client_id == client_id) {
            hf_list_del(node);
            return HF_COMMAND_OF(node);
        }
    return NULL;
}

void hf_ask_again(struct hf_list *asked, bool (*fits)(const struct hf_command *command),
                  struct hf_list *waiting)
{
    struct hf_list *node, *before;

    for (node = asked->prev; node != asked; node = before) {
        before = node->prev;
        if (!fits(HF_COMMAND_OF(node)))
            continue;
        hf_list_del(node);
        put_first(waiting, node);
    }
}
