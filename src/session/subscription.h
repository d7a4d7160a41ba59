/*
 * subscription.h - the channels that a client follows, and what has been asked of the server about each.
 *
 *   WANTED  -> ASKED    the `subscribe` has been sent
 *   ASKED   -> ACTIVE   `subscribed` has come, or a resume's welcome names the channel
 *   ACTIVE  -> WANTED   the session is gone, or it does not know of the channel: ask again, behind what the inbox has
 *   ASKED   -> WANTED   the answer was lost with its session
 *   any     -> LEAVING  the application wants it no more; `unsubscribe` is to be sent
 *   LEAVING -> LEFT     it has been sent
 *   LEFT    -> LEAVING  the answer was lost, and the session still has the channel
 * A subscription is freed when its end has been told by the server or follows from what it told.
 */
#ifndef HF_SESSION_SUBSCRIPTION_H
#define HF_SESSION_SUBSCRIPTION_H

#include "base/err.h"
#include "base/list.h"
#include "base/str.h"
#include "session/inbox.h"

#include <stdbool.h>
#include <stdint.h>

enum hf_subscription_state { HF_SUB_WANTED, HF_SUB_ASKED, HF_SUB_ACTIVE, HF_SUB_LEAVING, HF_SUB_LEFT };

struct hf_subscription {
    struct hf_list all;            /* in hf_subscriptions.all, in the order of subscribing */
    struct hf_subscription *chain; /* in its bucket */
    uint64_t cid; /* the channel's number on the present connection, in the binary form; 0: none */
    struct hf_subscription *cid_chain; /* in its bucket by cid, where that is not 0 */
    enum hf_subscription_state state;
    bool told;     /* the application has been told that it is subscribed */
    bool presence; /* the application wants to know who joins and leaves */
    bool
        watch_wanted; /* ACTIVE, but the server does not know that: the backend made the subscription before ours was asked for */
    bool watching; /* it has been told on this connection, and has not answered */
    bool deferred; /* WANTED, but the server asked to wait */
    bool named;    /* by the welcome that is being looked at */
    bool over;     /* to be removed; that welcome showed that it has ended */
    uint64_t last; /* asked for with `last`; 0: not */
    struct hf_inbox inbox;
    uint32_t hash;
    uint8_t channel_len;
    char channel[];
};

enum { HF_SUBSCRIPTION_BUCKETS = 256 };

struct hf_subscriptions {
    struct hf_list all;
    struct hf_subscription *buckets[HF_SUBSCRIPTION_BUCKETS];
    struct hf_subscription *cid_buckets[HF_SUBSCRIPTION_BUCKETS];
    uint32_t count, count_max;
};

void hf_subscriptions_init(struct hf_subscriptions *t, uint32_t count_max);
void hf_subscriptions_release(struct hf_subscriptions *t);

/* Add a channel, WANTED. HF_EEXIST, HF_ELIMIT: count_max is reached, HF_EINVAL: no hf_channel_name_valid(), HF_ENOMEM. */
int hf_subscriptions_add(struct hf_subscriptions *t, struct hf_str channel, bool latest,
                         struct hf_subscription **out) HF_MUST_CHECK;
struct hf_subscription *hf_subscriptions_find(struct hf_subscriptions *t, struct hf_str channel);
/* Take it out and free it. */
void hf_subscriptions_remove(struct hf_subscriptions *t, struct hf_subscription *sub);

/*
 * The server has named the channel's number on this connection, above 0. If another channel had it, that one has none from now on: a server that does
 * so is at fault.
 */
void hf_subscriptions_set_cid(struct hf_subscriptions *t, struct hf_subscription *sub, uint64_t cid);
/* The one that has it, or NULL. cid may be any number; 0 is nobody's. */
struct hf_subscription *hf_subscriptions_of_cid(struct hf_subscriptions *t, uint64_t cid);
/* Another connection: no channel has a number, and what was asked about presence is to be asked again. */
void hf_subscriptions_disconnected(struct hf_subscriptions *t);

struct hf_str hf_subscription_channel(const struct hf_subscription *sub);
void hf_subscription_move(struct hf_subscription *sub, enum hf_subscription_state to);

#define HF_SUBSCRIPTION_OF(node) HF_CONTAINER(node, struct hf_subscription, all)

#endif
