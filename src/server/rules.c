#include "server/rules.h"

#include "base/rate.h"
#include "server/admission.h"
#include "server/claims.h"
#include "server/hub_state.h"
#include "server/presence.h"
#include "server/token.h"

#include <assert.h>

enum {
    SUBS_PER_TURN = 8192, /* looked at in one go after a change: some milliseconds */
    PACES_MAX = 1 << 20,
    SWEEP_MS = 1000,
};

static const struct hf_namespace *namespace_of(const struct hf_hub *hub, struct hf_str channel)
{
    return hf_namespaces_find(&hub->config->namespaces, channel);
}

/* ---- Rights ---- */

static struct hf_who who(const struct hf_conn *c)
{
    return (struct hf_who){.user = hf_identity_user(c->identity),
                           .claims = c->identity == NULL ? NULL : c->identity->claims,
                           .claim_allows = hf_claim_allows};
}

enum hf_verdict hf_rules_judge(const struct hf_conn *c, enum hf_right right, struct hf_str channel)
{
    struct hf_who w = who(c);

    return hf_namespace_judge(&c->hub->config->namespaces, namespace_of(c->hub, channel), right, &w, channel);
}

bool hf_rules_allow(const struct hf_conn *c, enum hf_right right, struct hf_str channel)
{
    return hf_rules_judge(c, right, channel) == HF_ALLOW;
}

void hf_rules_count_refusal(struct hf_hub *hub, enum hf_right right)
{
    static const enum hf_counter counters[HF_RIGHTS] = {[HF_RIGHT_SUBSCRIBE] = HF_COUNT_FORBIDDEN_SUBSCRIBE,
                                                        [HF_RIGHT_PUBLISH] = HF_COUNT_FORBIDDEN_PUBLISH,
                                                        [HF_RIGHT_HISTORY] = HF_COUNT_FORBIDDEN_HISTORY,
                                                        [HF_RIGHT_PRESENCE] = HF_COUNT_FORBIDDEN_PRESENCE};

    hf_count(hub->counters, counters[right], 1);
}

const char *hf_rules_reason(enum hf_right right)
{
    static const char *const reasons[HF_RIGHTS] = {
        [HF_RIGHT_SUBSCRIBE] = "this user may not subscribe to this channel",
        [HF_RIGHT_PUBLISH] = "this user may not publish into this channel",
        [HF_RIGHT_HISTORY] = "this user may not read the history of this channel",
        [HF_RIGHT_PRESENCE] = "this user may not see who is in this channel"};

    return reasons[right];
}

static void end_subscription(struct hf_conn *c, struct hf_sub *s)
{
    struct hf_msg m = {.type = HF_MSG_UNSUBSCRIBED,
                       .has = HF_HAS_CHANNEL | HF_HAS_CODE | HF_HAS_REASON,
                       .code = hf_str_from(hf_code_name(HF_CODE_FORBIDDEN)),
                       .reason = hf_str_from(hf_rules_reason(HF_RIGHT_SUBSCRIBE))};

    hf_count(c->hub->counters, HF_COUNT_SUBSCRIPTIONS_ENDED_RULES, 1);
    m.channel = hf_topic_name(s->topic);
    hf_conn_send(c, &m); /* The topic goes with its last subscription. */
    if (c->phase != HF_CONN_OPEN)
        return; /* Without memory for the message the connection has ended, and the subscription with it. */
    hf_conn_told(c, s->topic->cid); /* Until it hears of the end it may go on to use it. */
    hf_session_sub_remove(s->cell);
    hf_presence_changed(c->hub, s->topic->channel, s->topic->cid, c->session->number);
    hf_sub_remove(s);
}

/* The subscription may stay, but without joins and leaves. */
static bool may_watch(const struct hf_conn *c, const struct hf_sub *s)
{
    return hf_rules_judge(c, HF_RIGHT_PRESENCE, hf_topic_name(s->topic)) != HF_DENY;
}

/* Returns how many subscriptions were looked at. */
static uint32_t enforce(struct hf_conn *c)
{
    uint32_t looked = 0;

    for (struct hf_sub *s = c->subs, *next; s != NULL && c->phase == HF_CONN_OPEN; s = next) {
        next = s->next;
        looked++;
        if ((atomic_load(&s->cell->cid) & HF_SUB_GRANTED) == 0 &&
            hf_rules_judge(c, HF_RIGHT_SUBSCRIBE, hf_topic_name(s->topic)) == HF_DENY)
            end_subscription(c, s);
        else if (s->watches && !may_watch(c, s))
            hf_presence_forbid(s);
    }
    return looked;
}

void hf_rules_enforce(struct hf_conn *c)
{
    if (c->hub->config->namespaces.count > 0)
        (void)enforce(c);
}

void hf_rules_changed(struct hf_hub *hub)
{
    hub->rules_walk = (struct hf_rules_walk){.left = true};
}

static void walk(struct hf_hub *hub)
{
    uint32_t looked = 0;
    struct hf_conn *c = NULL;

    while (looked < SUBS_PER_TURN && (c = hf_conns_next(&hub->conns, &hub->rules_walk.at)) != NULL) {
        hf_token_enforce(c);
        looked += 1 + enforce(c);
    }
    hub->rules_walk.left = c != NULL;
}

/* ---- Paces ---- */

void hf_paces_init(struct hf_paces *p)
{
    hf_map_init(&p->full_us);
    p->sweep_ms = 0;
}

void hf_paces_release(struct hf_paces *p)
{
    hf_map_release(&p->full_us);
}

/*
 * Forget the buckets that are full. A removal moves others up in the table, also from its beginning to its end: what is missed or looked at twice for that does no harm.
 */
static void sweep(struct hf_hub *hub)
{
    struct hf_map *m = &hub->paces.full_us;
    uint64_t now_us = hub->now.mono_ms * 1000;

    if (hub->now.mono_ms < hub->paces.sweep_ms)
        return;
    hub->paces.sweep_ms = hub->now.mono_ms + SWEEP_MS;
    for (size_t i = 0; m->count > 0 && i < m->cap; i++)
        while (m->table[i].key != 0 && m->table[i].a <= now_us)
            (void)hf_map_remove(m, m->table[i].key);
}

static_assert(HF_NAMESPACES_MAX <= 128, "pace_key() has 7 bits for the namespace");

/*
 * The number of a namespace is its place in the list; after a reload it may be another's, which then begins with that one's bucket. The bits that a serial loses are those of
 * the process's number, the same in all of one process.
 */
static uint64_t pace_key(const struct hf_conn *c, const struct hf_namespace *ns)
{
    return c->serial << 7 | (uint64_t)(ns - c->hub->config->namespaces.list);
}

/* Take a token of the namespace's rate. Returns false where there is none, or no room to remember that one was taken. */
static bool within_pace(struct hf_conn *c, const struct hf_namespace *ns)
{
    struct hf_map *m = &c->hub->paces.full_us;
    uint32_t burst = ns->publish_burst != 0 ? ns->publish_burst : ns->publish_rate;
    uint64_t key = pace_key(c, ns), full_us = 0;
    const struct hf_map_entry *e;

    if (ns->publish_rate == 0)
        return true;
    e = hf_map_get(m, key);
    if (e != NULL)
        full_us = e->a;
    if (!hf_rate_take(&full_us, ns->publish_rate, burst, c->hub->now.mono_ms))
        return false;
    return (e != NULL || m->count < PACES_MAX) && hf_map_put(m, key, full_us, 0) == 0;
}

void hf_rules_tick(struct hf_hub *hub)
{
    if (hub->rules_walk.left)
        walk(hub);
    sweep(hub);
}

/* ---- Limits ---- */

static uint32_t limit(uint32_t own, uint32_t of_server)
{
    return own == HF_NAMESPACE_UNSET ? of_server : own;
}

struct hf_history_limits hf_rules_history(const struct hf_hub *hub, struct hf_str channel)
{
    const struct hf_config *config = hub->config;
    const struct hf_namespace *ns = namespace_of(hub, channel);
    struct hf_history_limits limits = {config->history_messages, config->history_bytes,
                                       config->history_age_ms};

    if (ns == NULL)
        return limits;
    return (struct hf_history_limits){limit(ns->history_messages, limits.messages),
                                      limit(ns->history_bytes, limits.bytes),
                                      limit(ns->history_age_ms, limits.age_ms)};
}

uint32_t hf_rules_history_age_max(const struct hf_config *config)
{
    uint32_t most = config->history_age_ms;

    for (uint32_t i = 0; i < config->namespaces.count; i++) {
        uint32_t age_ms = limit(config->namespaces.list[i].history_age_ms, 0);

        most = age_ms > most ? age_ms : most;
    }
    return most;
}

static uint32_t message_bytes_max(const struct hf_config *config, const struct hf_namespace *ns)
{
    uint32_t own = ns == NULL ? HF_NAMESPACE_UNSET : ns->message_bytes_max;

    return own < config->message_bytes_max ? own : config->message_bytes_max;
}

uint32_t hf_rules_message_bytes_max(const struct hf_hub *hub, struct hf_str channel)
{
    return message_bytes_max(hub->config, namespace_of(hub, channel));
}

bool hf_rules_latest(const struct hf_hub *hub, struct hf_str channel)
{
    const struct hf_namespace *ns = namespace_of(hub, channel);

    return ns != NULL && ns->mode == HF_NAMESPACE_LATEST;
}

enum hf_code hf_rules_publish_right(const struct hf_conn *c, const struct hf_msg *m, bool *ask)
{
    const struct hf_config *config = c->hub->config;
    const struct hf_namespace *ns = namespace_of(c->hub, m->channel);
    struct hf_who w = who(c);

    switch (hf_namespace_judge(&config->namespaces, ns, HF_RIGHT_PUBLISH, &w, m->channel)) {
    case HF_ALLOW:
        break;
    case HF_ASK_BACKEND:
        *ask = true;
        break;
    case HF_DENY:
        hf_rules_count_refusal(c->hub, HF_RIGHT_PUBLISH);
        return HF_CODE_FORBIDDEN;
    }
    return m->payload.len > message_bytes_max(config, ns) ? HF_CODE_TOO_LARGE : HF_CODE_NONE;
}

enum hf_code hf_rules_publish(struct hf_conn *c, const struct hf_msg *m, bool *ask)
{
    const struct hf_namespace *ns = namespace_of(c->hub, m->channel);
    enum hf_code code = hf_rules_publish_right(c, m, ask);

    if (code != HF_CODE_NONE)
        return code;
    if (ns != NULL && !within_pace(c, ns))
        return HF_CODE_RATE_LIMITED;
    return hf_limits_publish(c) ? HF_CODE_NONE : HF_CODE_RATE_LIMITED;
}
