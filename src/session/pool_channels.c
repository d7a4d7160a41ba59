#include "session/pool_channels.h"

#include "base/assert.h"

#include <stdlib.h>
#include <string.h>

void hf_pool_channels_init(struct hf_pool_channels *t, uint32_t members, uint32_t member_count_max)
{
    uint32_t i;

    hf_assert(members > 0 && members <= HF_POOL_CORE_MEMBERS_MAX);
    *t = (struct hf_pool_channels){.members_count = members, .member_count_max = member_count_max};
    hf_map_init(&t->by_name);
    for (i = 0; i < members; i++)
        hf_list_init(&t->of_member[i]);
}

void hf_pool_channels_release(struct hf_pool_channels *t)
{
    struct hf_list *node;
    uint32_t i;

    for (i = 0; i < t->members_count; i++)
        while ((node = hf_list_pop(&t->of_member[i])) != NULL)
            free(HF_POOL_CHANNEL_OF(node));
    hf_map_release(&t->by_name);
}

/* FNV-1a, 64 bits; never 0, which the map does not take. */
static uint64_t hash_of(struct hf_str name)
{
    uint64_t hash = 14695981039346656037u;
    size_t i;

    for (i = 0; i < name.len; i++)
        hash = (hash ^ (uint8_t)name.data[i]) * 1099511628211u;
    return hash == 0 ? 1 : hash;
}

struct hf_pool_channel *hf_pool_channels_find(const struct hf_pool_channels *t, struct hf_str name)
{
    struct hf_pool_channel *channel = hf_map_ptr(&t->by_name, hash_of(name));

    while (channel != NULL && !hf_str_eq(channel->name, name))
        channel = channel->next;
    return channel;
}

static uint32_t least_busy(const struct hf_pool_channels *t)
{
    uint32_t best = 0, i;

    for (i = 1; i < t->members_count; i++)
        if (t->counts[i] < t->counts[best])
            best = i;
    return best;
}

static struct hf_str keep(char **at, struct hf_str s)
{
    struct hf_str copy = {*at, s.len};

    if (s.data == NULL)
        return s;
    memcpy(*at, s.data, s.len);
    (*at)[s.len] = '\0';
    *at += s.len + 1;
    return copy;
}

static struct hf_pool_channel *channel_new(struct hf_str name, const struct hf_pool_channel_start *start)
{
    struct hf_pool_channel *channel = malloc(sizeof(*channel) + name.len + start->since_epoch.len + 2);
    char *at;

    if (channel == NULL)
        return NULL;
    at = channel->bytes;
    *channel = (struct hf_pool_channel){.start = *start};
    channel->name = keep(&at, name);
    channel->start.since_epoch = keep(&at, start->since_epoch);
    return channel;
}

int hf_pool_channels_add(struct hf_pool_channels *t, struct hf_str name, uint32_t member,
                         const struct hf_pool_channel_start *start, struct hf_pool_channel **out)
{
    const struct hf_pool_channel_start with_the_next = {.since_epoch = {NULL, 0}};
    struct hf_pool_channel *channel;
    uint64_t hash = hash_of(name);

    if (hf_pool_channels_find(t, name) != NULL)
        return HF_EEXIST;
    if (member == HF_POOL_CORE_ANY)
        member = least_busy(t);
    if (t->counts[member] >= t->member_count_max)
        return HF_ELIMIT;
    channel = channel_new(name, start == NULL ? &with_the_next : start);
    if (channel == NULL)
        return HF_ENOMEM;
    channel->member = member;
    channel->next = hf_map_ptr(&t->by_name, hash);
    if (hf_map_put(&t->by_name, hash, (uintptr_t)channel, 0) < 0) {
        free(channel);
        return HF_ENOMEM;
    }
    hf_list_add_tail(&t->of_member[member], &channel->all);
    t->counts[member]++;
    *out = channel;
    return 0;
}

void hf_pool_channels_remove(struct hf_pool_channels *t, struct hf_pool_channel *channel)
{
    struct hf_map_entry *entry = hf_map_get(&t->by_name, hash_of(channel->name));
    struct hf_pool_channel *before = (struct hf_pool_channel *)(uintptr_t)entry->a;

    if (before != channel) {
        while (before->next != channel)
            before = before->next;
        before->next = channel->next;
    } else if (channel->next != NULL) {
        entry->a = (uintptr_t)channel->next;
    } else {
        (void)hf_map_remove(&t->by_name, entry->key);
    }
    hf_list_del(&channel->all);
    t->counts[channel->member]--;
    free(channel);
}
