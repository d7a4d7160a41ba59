#include "client/client_impl.h"

#include <stdlib.h>

static struct hf_client_member member_of(const struct hf_client_session_event *ev)
{
    return (struct hf_client_member){.session = hf_client_text(ev->session),
                                     .user = hf_client_text(ev->user),
                                     .info = hf_client_text(ev->info)};
}

/* The answer is told when it is whole: what the session lends for each member is good until then. */
void hf_client_tell_member(struct hf_client *c, const struct hf_client_session_event *ev)
{
    struct hf_client_member *more =
        hf_client_grow(c->members, c->members_count, &c->members_cap, sizeof(*c->members));

    c->members_failed = c->members_failed || more == NULL;
    if (more == NULL)
        return;
    c->members = more;
    c->members[c->members_count++] = member_of(ev);
}

void hf_client_tell_members(struct hf_client *c, const struct hf_client_session_event *ev)
{
    struct hf_client_members answer = {.request_id = ev->request_id,
                                       .channel = hf_client_text(ev->channel),
                                       .members = c->members,
                                       .count = c->members_count,
                                       .code = hf_client_text(ev->code),
                                       .reason = hf_client_text(ev->reason)};

    if (c->members_failed) {
        answer.code = hf_client_text(HF_STR("overloaded"));
        answer.reason = hf_client_text(HF_STR("the answer does not fit into this client's memory"));
    }
    if (answer.code.len > 0)
        answer.count = 0;
    if (c->options.on_members != NULL)
        c->options.on_members(c->options.user, &answer);
    free(c->members);
    c->members = NULL;
    c->members_count = c->members_cap = 0;
    c->members_failed = false;
}

void hf_client_tell_presence(const struct hf_client *c, const struct hf_client_session_event *ev)
{
    struct hf_client_presence_event told = {
        .kind = HF_CLIENT_PRESENCE_MISSED, .channel = hf_client_text(ev->channel), .member = member_of(ev)};

    if (ev->type != HF_CSE_PRESENCE_MISSED)
        told.kind = ev->type == HF_CSE_JOIN ? HF_CLIENT_PRESENCE_JOIN : HF_CLIENT_PRESENCE_LEAVE;
    if (c->options.on_presence != NULL)
        c->options.on_presence(c->options.user, &told);
}
