/*
 * grant.c - what the backend orders about a session, at the worker that can carry it out.
 *
 * A session that nobody holds is taken for the moment of the change and parked again, since when it was parked before: so the owner alone writes, and its time goes on. Whoever wants
 * it in that moment asks us for it, finds it parked, and takes it. Where we die meanwhile it is LIVE with a dead owner, as after any take.
 */
#include "server/hub_state.h"
#include "server/presence.h"

static struct hf_session_sub *cell_of(const struct hf_sessions *t, const struct hf_session *s, hf_cid cid,
                                      uint32_t *count)
{
    struct hf_session_sub *cell;
    uint32_t at = 0;

    for (*count = 0; (cell = hf_session_sub_next(t, s, &at)) != NULL; ++*count)
        if ((atomic_load(&cell->cid) & HF_SUB_CID) == cid)
            return cell;
    return NULL;
}

/* For a session that is ours, without a connection. */
static int add_cell(struct hf_hub *hub, struct hf_session *s, const struct hf_topic *t)
{
    uint64_t latest = hf_rules_latest(hub, hf_topic_name(t)) ? HF_SUB_LATEST : 0;
    uint32_t count;
    struct hf_session_sub *cell = cell_of(&hub->sessions, s, t->cid, &count);

    if (cell != NULL) {
        atomic_fetch_or(&cell->cid, HF_SUB_GRANTED);
        return 0;
    }
    if (count >= hub->config->session_subscriptions_max ||
        hf_session_sub_add(&hub->sessions, s, t->cid | HF_SUB_GRANTED | latest,
                           atomic_load(&t->channel->head), hub->now.mono_ms) == NULL)
        return HF_ELIMIT;
    hf_presence_changed(hub, t->channel, t->cid, s->number);
    return 0;
}

static int remove_cell(struct hf_hub *hub, const struct hf_session *s, const struct hf_topic *t)
{
    uint32_t count;
    struct hf_session_sub *cell = cell_of(&hub->sessions, s, t->cid, &count);

    if (cell == NULL)
        return HF_ENOTFOUND;
    hf_session_sub_remove(cell);
    hf_presence_changed(hub, t->channel, t->cid, s->number);
    return 0;
}

static int change_parked(struct hf_hub *hub, struct hf_session *s, uint64_t state, uint8_t act,
                         const struct hf_topic *t)
{
    uint64_t parked_ms = atomic_load(&s->parked_ms), generation = hf_session_take(&hub->sessions, s, state);
    int err;

    if (generation == 0)
        return HF_EAGAIN;
    err = act == HF_ACT_SUBSCRIBE ? add_cell(hub, s, t) : remove_cell(hub, s, t);
    (void)hf_session_put_back(&hub->sessions, s, generation, parked_ms);
    return err;
}

/* The channel's topic, held for the moment. HF_ENOTFOUND: there is no such channel. */
static int topic_of_name(struct hf_hub *hub, struct hf_str name, struct hf_topic **out)
{
    const struct hf_channel *channel = hf_hub_find_channel(hub, name);
    hf_cid cid = channel == NULL ? 0 : atomic_load(&channel->cid);

    if (channel == NULL)
        return HF_ENOTFOUND;
    if (cid == 0 || hf_topic_get(hub, cid, out) < 0)
        return HF_EAGAIN;
    if (hf_str_eq(hf_topic_name(*out), name))
        return 0;
    hf_topic_release_idle(hub, *out); /* Its place was given to another channel meanwhile. */
    return HF_EAGAIN;
}

static int subscribe_parked(struct hf_hub *hub, struct hf_session *s, uint64_t state, uint8_t act,
                            struct hf_str channel)
{
    struct hf_topic *t;
    int err = topic_of_name(hub, channel, &t);

    if (err == HF_ENOTFOUND && act == HF_ACT_SUBSCRIBE)
        return HF_EAGAIN; /* It has been forgotten: to be made once more. */
    if (err < 0)
        return err;
    err = change_parked(hub, s, state, act, t);
    hf_topic_release_idle(hub, t);
    return err;
}

static int for_connected(struct hf_conn *c, uint8_t act, struct hf_str channel)
{
    if (c->phase != HF_CONN_OPEN)
        return HF_EAGAIN;
    return act == HF_ACT_SUBSCRIBE ? hf_dispatch_grant(c, channel) : hf_dispatch_revoke(c, channel);
}

int hf_grant(struct hf_hub *hub, uint64_t session, uint8_t act, uint16_t close_code, struct hf_str channel)
{
    struct hf_conn *c = hf_conns_by_session(&hub->conns, session);
    struct hf_session *s;
    uint64_t state;

    if (c != NULL && act != HF_ACT_DISCONNECT)
        return for_connected(c, act, channel);
    s = hf_sessions_get(&hub->sessions, session);
    if (s == NULL || hf_state_phase(atomic_load(&s->state)) == HF_SESSION_ENDED)
        return HF_ENOTFOUND;
    if (act == HF_ACT_DISCONNECT)
        return hf_service_end_local(hub, session, close_code);
    hf_attach_orphan(hub, s);
    state = atomic_load(&s->state);
    switch (hf_state_phase(state)) {
    case HF_SESSION_PARKED:
        return subscribe_parked(hub, s, state, act, channel);
    case HF_SESSION_LIVE:
        return HF_EAGAIN;
    default:
        return HF_ENOTFOUND;
    }
}
