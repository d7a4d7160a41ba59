/*
 * pool_channels.h - the channels that a pool follows, and which member follows each.
 * A channel is on one member, so that its messages come in order, and stays there while the pool lives, whatever becomes of that
 * member's sessions. A new one goes to the member with the fewest.
 * Pure, like pool_core.h.
 */
#ifndef HF_SESSION_POOL_CHANNELS_H
#define HF_SESSION_POOL_CHANNELS_H

#include "base/err.h"
#include "base/list.h"
#include "base/map.h"
#include "base/str.h"
#include "session/pool_core.h"

#include <stdbool.h>
#include <stdint.h>

/* Where a channel begins, as the application asked; a position that is known later takes its place. */
struct hf_pool_channel_start {
    struct hf_str since_epoch; /* data NULL: no `since` */
    uint64_t since_offset;
    uint64_t last;
    bool latest;
    bool presence;
};

struct hf_pool_channel {
    struct hf_list all;           /* in its member's list */
    struct hf_pool_channel *next; /* with the same hash */
    uint32_t member;
    bool leaving; /* the application wants it no more; the member has been told */
    struct hf_pool_channel_start start;
    struct hf_str name;
    char bytes[]; /* what name and start.since_epoch point to; each ends with a NUL, which does not count */
};

#define HF_POOL_CHANNEL_OF(node) HF_CONTAINER(node, struct hf_pool_channel, all)

struct hf_pool_channels {
    struct hf_map by_name; /* hash of the name -> the first struct hf_pool_channel of that hash */
    struct hf_list of_member[HF_POOL_CORE_MEMBERS_MAX];
    uint32_t counts[HF_POOL_CORE_MEMBERS_MAX];
    uint32_t members_count, member_count_max;
};

/* Each member may follow member_count_max channels. */
void hf_pool_channels_init(struct hf_pool_channels *t, uint32_t members, uint32_t member_count_max);
void hf_pool_channels_release(struct hf_pool_channels *t);

/*
 * Add a channel. member: HF_POOL_CORE_ANY, or the one that follows it already. HF_EEXIST; HF_ELIMIT: each member has its fill; HF_ENOMEM.
 * start may be NULL: with the next message.
 */
int hf_pool_channels_add(struct hf_pool_channels *t, struct hf_str name, uint32_t member,
                         const struct hf_pool_channel_start *start,
                         struct hf_pool_channel **out) HF_MUST_CHECK;
/* NULL: not followed. */
struct hf_pool_channel *hf_pool_channels_find(const struct hf_pool_channels *t, struct hf_str name);
/* Take it out and free it. */
void hf_pool_channels_remove(struct hf_pool_channels *t, struct hf_pool_channel *channel);

#endif
