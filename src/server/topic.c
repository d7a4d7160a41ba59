/*
 * topic.c - the channels that this worker has subscribers of, and the subscriptions between them and connections.
 */
#include "server/hub_state.h"

#include "base/assert.h"
#include "server/presence.h"

#include <stdlib.h>

enum { SUBS_FIRST = 4 };

struct hf_str hf_topic_name(const struct hf_topic *t)
{
    return hf_channel_name(t->channel);
}

struct hf_topic *hf_topic_of(const struct hf_hub *hub, hf_cid cid)
{
    return hf_map_ptr(&hub->topics, cid);
}

struct hf_channel *hf_hub_find_channel(const struct hf_hub *hub, struct hf_str name)
{
    uint64_t hash = hf_channel_hash(name);

    return hf_channels_find(&hub->channels[hf_channel_shard(hash, hub->shards)], name, hash);
}

/* ---- How many there are, for others to read ---- */

static struct hf_tally *tally_take(struct hf_hub *hub, hf_cid cid)
{
    struct hf_tally *tallies = hf_region_tallies(hub->region, hub->slot), *tally;
    uint32_t used = atomic_load_explicit(&hub->self->tallies, memory_order_relaxed);

    if (hub->tally_free == 0 && used == hub->region->config->channels_max)
        return NULL;
    if (hub->tally_free != 0) {
        tally = &tallies[hub->tally_free - 1];
        hub->tally_free = (uint32_t)atomic_load_explicit(&tally->subscribers, memory_order_relaxed);
    } else {
        tally = &tallies[used];
        atomic_store_explicit(&tally->cid, 0, memory_order_relaxed); /* A predecessor's. */
        atomic_store_explicit(&hub->self->tallies, used + 1, memory_order_release);
    }
    atomic_store_explicit(&tally->subscribers, 0, memory_order_relaxed);
    atomic_store_explicit(&tally->cid, cid, memory_order_release);
    return tally;
}

static void tally_give(struct hf_hub *hub, struct hf_tally *tally)
{
    if (tally == NULL)
        return;
    atomic_store_explicit(&tally->cid, 0, memory_order_release);
    atomic_store_explicit(&tally->subscribers, hub->tally_free, memory_order_release);
    hub->tally_free = (uint32_t)(tally - hf_region_tallies(hub->region, hub->slot)) + 1;
}

static void tally(struct hf_topic *t)
{
    if (t->tally != NULL)
        atomic_store_explicit(&t->tally->subscribers, t->count, memory_order_relaxed);
}

/* ---- Topics ---- */

int hf_topic_get(struct hf_hub *hub, hf_cid cid, struct hf_topic **out)
{
    uint32_t shard = hf_cid_shard(cid);
    struct hf_topic *t = hf_topic_of(hub, cid);
    struct hf_channel *channel;

    *out = t;
    if (t != NULL)
        return 0;
    if (cid == 0 || shard >= hub->shards)
        return HF_EAGAIN;
    channel = hf_channels_get(&hub->channels[shard], cid);
    if (channel == NULL || !hf_channel_want(channel, cid, hub->slot))
        return HF_EAGAIN;
    t = calloc(1, sizeof(*t));
    if (t == NULL || hf_map_put(&hub->topics, cid, (uintptr_t)t, 0) < 0) {
        hf_channel_unwant(channel, hub->slot, hub->now.mono_ms);
        free(t);
        return HF_ENOMEM;
    }
    hf_channel_clear_told(
        channel, hub->slot); /* A notice may have come while there was no topic; nobody acted on it. */
    t->cid = cid;
    t->shard = shard;
    t->channel = channel;
    t->tally = tally_take(hub, cid);
    hf_list_init(&t->dirty);
    *out = t;
    return 0;
}

void hf_topic_dirty(struct hf_hub *hub, struct hf_topic *t)
{
    t->moved = true;
    if (hf_list_empty(&t->dirty))
        hf_list_add_tail(&hub->dirty_topics, &t->dirty);
}

static void topic_free(struct hf_topic *t)
{
    hf_list_del(&t->dirty);
    free(t->subs);
    free(t);
}

void hf_topic_release_idle(struct hf_hub *hub, struct hf_topic *t)
{
    if (t->count > 0)
        return;
    hf_channel_unwant(t->channel, hub->slot, hub->now.mono_ms);
    hf_map_remove(&hub->topics, t->cid);
    tally_give(hub, t->tally);
    topic_free(t);
}

void hf_topics_free(struct hf_hub *hub)
{
    for (size_t i = 0; i < hub->topics.cap; i++)
        if (hub->topics.table[i].key != 0)
            topic_free((struct hf_topic *)(uintptr_t)hub->topics.table[i].a);
    hf_map_release(&hub->topics);
}

/* ---- Subscriptions ---- */

struct hf_sub *hf_sub_find(const struct hf_conn *c, struct hf_str channel)
{
    struct hf_sub *s = c->subs;

    while (s != NULL && !hf_str_eq(hf_topic_name(s->topic), channel))
        s = s->next;
    return s;
}

struct hf_sub *hf_sub_of_cid(const struct hf_conn *c, hf_cid cid)
{
    struct hf_sub *s = c->subs;

    while (s != NULL && s->topic->cid != cid)
        s = s->next;
    return s;
}

static int topic_append(struct hf_topic *t, struct hf_sub *s)
{
    if (t->count == t->cap) {
        uint32_t cap = t->cap == 0 ? SUBS_FIRST : t->cap * 2;
        struct hf_sub **more = realloc(t->subs, cap * sizeof(*more));

        if (more == NULL)
            return HF_ENOMEM;
        t->subs = more;
        t->cap = cap;
    }
    s->index = t->count;
    t->subs[t->count++] = s;
    tally(t);
    t->left += t->left > 0; /* The walk comes by there as well. */
    return 0;
}

struct hf_sub *hf_sub_add(struct hf_conn *c, struct hf_topic *t, struct hf_session_sub *cell, bool latest)
{
    struct hf_sub *s = calloc(1, sizeof(*s));

    if (s == NULL || topic_append(t, s) < 0) {
        free(s);
        return NULL;
    }
    s->conn = c;
    s->topic = t;
    s->cell = cell;
    s->latest = latest;
    s->next = c->subs;
    c->subs = s;
    c->sub_count++;
    hf_gauge_add(c->hub->counters, HF_GAUGE_SUBSCRIPTIONS, 1);
    return s;
}

static void unlink_due(struct hf_sub *s)
{
    struct hf_sub **link = &s->conn->due_subs;

    if (!s->due)
        return;
    while (*link != s)
        link = &(*link)->due_next;
    *link = s->due_next;
    s->due = false;
}

/*
 * In the midst of a walk the last subscription has come to this place, where the walk may have been already: it is looked at now. What is left of the
 * walk still covers all others; where it goes round the end, by one more than it must.
 */
static void walk_goes_on(struct hf_topic *t, uint32_t index)
{
    if (index < t->count && t->subs[index]->cursor.next_offset <= atomic_load(&t->channel->head))
        hf_sub_due(t->subs[index]);
    if (t->left > t->count)
        t->left = t->count;
}

void hf_sub_remove(struct hf_sub *s)
{
    struct hf_conn *c = s->conn;
    struct hf_topic *t = s->topic;
    struct hf_sub **link = &c->subs;

    hf_presence_unwatch(s);
    unlink_due(s);
    while (*link != s)
        link = &(*link)->next;
    *link = s->next;
    c->sub_count--;
    t->subs[s->index] = t->subs[--t->count];
    tally(t);
    t->subs[s->index]->index = s->index;
    if (t->left > 0)
        walk_goes_on(t, s->index);
    free(s);
    hf_gauge_add(c->hub->counters, HF_GAUGE_SUBSCRIPTIONS, -1);
    hf_topic_release_idle(c->hub, t);
}

void hf_sub_due(struct hf_sub *s)
{
    if (!s->due) {
        s->due = true;
        s->due_next = s->conn->due_subs;
        s->conn->due_subs = s;
    }
    hf_conn_due(s->conn);
}
