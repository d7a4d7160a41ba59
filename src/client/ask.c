#include "client/ask.h"

#include "base/assert.h"
#include "holdfast/holdfast.h"

int hf_ask(struct hf_list *asked, struct hf_client *client, struct hf_command *command)
{
    int err;

    hf_assert(hf_command_asks(command));
    if (command->type == HF_COMMAND_PING)
        err = hf_client_ping(client, &command->client_id);
    else
        err = hf_client_history(client, command->channel.data, command->channel.len, &command->query,
                                &command->client_id);
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

void hf_ask_waiting(struct hf_list *asked, struct hf_client *client, struct hf_list *waiting)
{
    struct hf_list *node;

    while ((node = hf_list_pop(waiting)) != NULL)
        if (hf_ask(asked, client, HF_COMMAND_OF(node)) < 0) {
            put_first(waiting, node);
            return;
        }
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

void hf_ask_again(struct hf_list *asked, enum hf_command_type type, struct hf_list *waiting)
{
    struct hf_list *node, *before;

    for (node = asked->prev; node != asked; node = before) {
        before = node->prev;
        if (HF_COMMAND_OF(node)->type != type)
            continue;
        hf_list_del(node);
        put_first(waiting, node);
    }
}
