/*
 * rules.h - the namespaces of the configuration at work in one worker: what a connection may do with a channel, and the limits of the channel it does it with.
 * The rules themselves are channel/namespace.h; here the identity of a connection meets them.
 */
#ifndef HF_SERVER_RULES_H
#define HF_SERVER_RULES_H

#include "base/map.h"
#include "base/str.h"
#include "channel/namespace.h"
#include "wire/message.h"

#include <stdbool.h>
#include <stdint.h>

struct hf_hub;
struct hf_conn;
struct hf_config;

/* How fast sessions publish into namespaces that have a rate. Only those are in it that may not make a whole burst now. */
struct hf_paces {
    struct hf_map full_us; /* connection and namespace -> when its bucket is full again, as in base/rate.h */
    uint64_t sweep_ms;     /* when the full ones are looked for again */
};

/* A hub's walk through its connections after the rules, or the keys of tokens, have changed. */
struct hf_rules_walk {
    uint32_t at; /* of hf_conns_next() */
    bool left;   /* it has not come to its end */
};

/* ---- Rights ---- */

/* Whether the user of c has this right in the channel. */
enum hf_verdict hf_rules_judge(const struct hf_conn *c, enum hf_right right, struct hf_str channel);

/* The same where nobody can be asked: HF_ASK_BACKEND is no. */
bool hf_rules_allow(const struct hf_conn *c, enum hf_right right, struct hf_str channel);

/* Count that somebody was refused for want of this right. */
void hf_rules_count_refusal(struct hf_hub *hub, enum hf_right right);

/* What tells a client that it has not this right; static. */
const char *hf_rules_reason(enum hf_right right);

/*
 * The identity of c, or the rules, have changed: each subscription that is no longer allowed ends with `unsubscribed` and code forbidden. What the backend decides, and what it
 * has made itself, stays.
 */
void hf_rules_enforce(struct hf_conn *c);

/* The hub's configuration has other rules now, or its tokens other keys: all its connections are looked through, in the next turns. */
void hf_rules_changed(struct hf_hub *hub);

/* A piece of that, each turn, and the upkeep of the paces. */
void hf_rules_tick(struct hf_hub *hub);

/* ---- Limits ---- */

struct hf_history_limits {
    uint32_t messages, bytes, age_ms;
};
struct hf_history_limits hf_rules_history(const struct hf_hub *hub, struct hf_str channel);

/* The longest history.age there is: of the server or of any namespace, ms. */
uint32_t hf_rules_history_age_max(const struct hf_config *config);

/* Bytes of a payload for this channel, whoever publishes it. */
uint32_t hf_rules_message_bytes_max(const struct hf_hub *hub, struct hf_str channel);

/* What a subscription gets that names no mode. */
bool hf_rules_latest(const struct hf_hub *hub, struct hf_str channel);

/*
 * A client's publish, which is to be applied now: HF_CODE_NONE, or the code of its refusal (`forbidden`, `too_large`, `rate_limited`), which is counted but for what
 * hf_publish_refuse() counts. It takes a token of the rates. *ask: it is for the backend to say whether it is allowed (unchanged where it is not).
 */
enum hf_code hf_rules_publish(struct hf_conn *c, const struct hf_msg *m, bool *ask);

/* The same without the rates, and without `rate_limited`: of one that an earlier connection of the session has taken. */
enum hf_code hf_rules_publish_right(const struct hf_conn *c, const struct hf_msg *m, bool *ask);

void hf_paces_init(struct hf_paces *p);
void hf_paces_release(struct hf_paces *p);

#endif
