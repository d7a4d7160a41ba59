#include "session/client_session_impl.h"

static bool wants_presence(const struct hf_subscription *sub)
{
    return sub->presence && sub->state != HF_SUB_LEAVING && sub->state != HF_SUB_LEFT;
}

void hf_cs_on_presence_event(struct hf_client_session *s, struct hf_msg *m, uint64_t now_ms)
{
    const struct hf_subscription *sub =
        m->cid != 0 ? hf_subscriptions_of_cid(&s->subs, m->cid) : hf_subscriptions_find(&s->subs, m->channel);
    struct hf_client_session_event ev = {.type = m->type == HF_MSG_JOIN ? HF_CSE_JOIN : HF_CSE_LEAVE,
                                         .session = m->session,
                                         .user = m->user,
                                         .info = m->info};

    (void)now_ms;
    if (sub == NULL || !wants_presence(sub) || !hf_client_state_connected(s->state) || s->close_wanted)
        return;
    if ((m->has & HF_HAS_INFO) == 0)
        ev.info = (struct hf_str){NULL, 0};
    ev.channel = hf_subscription_channel(sub);
    hf_cs_emit(s, &ev);
}

void hf_cs_presence_missed(struct hf_client_session *s, const struct hf_subscription *sub)
{
    const struct hf_client_session_event ev = {.type = HF_CSE_PRESENCE_MISSED,
                                               .channel = hf_subscription_channel(sub)};

    if (wants_presence(sub))
        hf_cs_emit(s, &ev);
}

/* "`error {code: "overloaded", re: "presence", channel}` without an `id`": who is there is to be asked anew (docs/protocol.md "Presence"). */
bool hf_cs_is_presence_missed(struct hf_client_session *s, const struct hf_msg *m)
{
    const struct hf_subscription *sub = hf_subscriptions_find(&s->subs, m->channel);

    if (hf_msg_type(m->re) != HF_MSG_PRESENCE || (m->has & HF_HAS_ID) != 0 ||
        hf_code_from(m->code) != HF_CODE_OVERLOADED || sub == NULL || !wants_presence(sub))
        return false;
    hf_cs_presence_missed(s, sub);
    return true;
}
