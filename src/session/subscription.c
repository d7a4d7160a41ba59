#include "session/subscription.h"

#include "base/assert.h"
#include "wire/message.h"

#include <stdlib.h>
#include <string.h>

#define BIT(n) (1u << (n))

static const uint32_t may_follow[] = {
    [HF_SUB_WANTED] = BIT(HF_SUB_ASKED) | BIT(HF_SUB_ACTIVE) | BIT(HF_SUB_LEAVING),
    [HF_SUB_ASKED] = BIT(HF_SUB_ACTIVE) | BIT(HF_SUB_WANTED) | BIT(HF_SUB_LEAVING),
    [HF_SUB_ACTIVE] = BIT(HF_SUB_WANTED) | BIT(HF_SUB_LEAVING),
    [HF_SUB_LEAVING] = BIT(HF_SUB_LEFT),
    [HF_SUB_LEFT] = BIT(HF_SUB_LEAVING),
};

void hf_subscription_move(struct hf_subscription *sub, enum hf_subscription_state to)
{
    hf_assert((may_follow[sub->state] & BIT(to)) != 0);
    sub->state = to;
    sub->deferred = false;
}

void hf_subscriptions_init(struct hf_subscriptions *t, uint32_t count_max)
{
    memset(t, 0, sizeof(*t));
    hf_list_init(&t->all);
    t->count_max = count_max;
}

void hf_subscriptions_release(struct hf_subscriptions *t)
{
    while (!hf_list_empty(&t->all))
        hf_subscriptions_remove(t, HF_SUBSCRIPTION_OF(t->all.next));
}

/* FNV-1a. The names are the application's own, or a server's that it trusts: nobody floods a bucket. */
static uint32_t hash_of(struct hf_str s)
{
    uint32_t hash = 2166136261u;
    size_t i;

    for (i = 0; i < s.len; i++)
        hash = (hash ^ (uint8_t)s.data[i]) * 16777619u;
    return hash;
}

static struct hf_subscription **bucket_of(struct hf_subscriptions *t, uint32_t hash)
{
    return &t->buckets[hash % HF_SUBSCRIPTION_BUCKETS];
}

int hf_subscriptions_add(struct hf_subscriptions *t, struct hf_str channel, bool latest,
                         struct hf_subscription **out)
{
    struct hf_subscription *sub;
    struct hf_subscription **bucket;

    if (!hf_channel_name_valid(channel))
        return HF_EINVAL;
    if (hf_subscriptions_find(t, channel) != NULL)
        return HF_EEXIST;
    if (t->count == t->count_max)
        return HF_ELIMIT;
    sub = calloc(1, sizeof(*sub) + channel.len);
    if (sub == NULL)
        return HF_ENOMEM;
    sub->state = HF_SUB_WANTED;
    sub->hash = hash_of(channel);
    sub->channel_len = (uint8_t)channel.len;
    memcpy(sub->channel, channel.data, channel.len);
    hf_inbox_init(&sub->inbox, latest);
    bucket = bucket_of(t, sub->hash);
    sub->chain = *bucket;
    *bucket = sub;
    hf_list_add_tail(&t->all, &sub->all);
    t->count++;
    *out = sub;
    return 0;
}

struct hf_subscription *hf_subscriptions_find(struct hf_subscriptions *t, struct hf_str channel)
{
    uint32_t hash = hash_of(channel);
    struct hf_subscription *sub;

    for (sub = *bucket_of(t, hash); sub != NULL; sub = sub->chain)
        if (sub->hash == hash && hf_str_eq(hf_subscription_channel(sub), channel))
            return sub;
    return NULL;
}

/* ---- Numbers ---- */

/* They are small and differ in their low bits (shm/channels.h), and a server that floods a bucket slows down its own client only. */
static struct hf_subscription **cid_bucket_of(struct hf_subscriptions *t, uint64_t cid)
{
    return &t->cid_buckets[cid % HF_SUBSCRIPTION_BUCKETS];
}

struct hf_subscription *hf_subscriptions_of_cid(struct hf_subscriptions *t, uint64_t cid)
{
    struct hf_subscription *sub = *cid_bucket_of(t, cid);

    while (sub != NULL && sub->cid != cid)
        sub = sub->cid_chain;
    return sub;
}

static void take_cid(struct hf_subscriptions *t, struct hf_subscription *sub)
{
    struct hf_subscription **at = cid_bucket_of(t, sub->cid);

    if (sub->cid == 0)
        return;
    while (*at != sub)
        at = &(*at)->cid_chain;
    *at = sub->cid_chain;
    sub->cid_chain = NULL;
    sub->cid = 0;
}

void hf_subscriptions_set_cid(struct hf_subscriptions *t, struct hf_subscription *sub, uint64_t cid)
{
    struct hf_subscription *other = hf_subscriptions_of_cid(t, cid);
    struct hf_subscription **bucket = cid_bucket_of(t, cid);

    hf_assert(cid != 0);
    if (other == sub)
        return;
    if (other != NULL)
        take_cid(t, other);
    take_cid(t, sub);
    sub->cid = cid;
    sub->cid_chain = *bucket;
    *bucket = sub;
}

void hf_subscriptions_disconnected(struct hf_subscriptions *t)
{
    struct hf_list *node;

    for (node = t->all.next; node != &t->all; node = node->next) {
        struct hf_subscription *sub = HF_SUBSCRIPTION_OF(node);

        sub->cid = 0;
        sub->cid_chain = NULL;
        sub->watch_wanted = sub->watch_wanted || sub->watching;
        sub->watching = false;
    }
    memset(t->cid_buckets, 0, sizeof(t->cid_buckets));
}

void hf_subscriptions_remove(struct hf_subscriptions *t, struct hf_subscription *sub)
{
    struct hf_subscription **at = bucket_of(t, sub->hash);

    while (*at != sub)
        at = &(*at)->chain;
    *at = sub->chain;
    take_cid(t, sub);
    hf_list_del(&sub->all);
    t->count--;
    free(sub);
}

struct hf_str hf_subscription_channel(const struct hf_subscription *sub)
{
    return (struct hf_str){sub->channel, sub->channel_len};
}
