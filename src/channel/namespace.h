/*
 * namespace.h - who may do what with which channels: patterns of channel names, and for each its rules and options.
 *
 * A channel belongs to one namespace, the most specific that fits its name; what that one does not allow is forbidden. Where there is no namespace at all
 * everything is allowed. All of it is plain memory without a pointer, so that one process can hand it to another. Who the user is and what his token claims come in as
 * arguments.
 *
 * Invariant: list[0..count) is sorted, exact names before prefixes and longer ones before shorter ones, no two alike; all texts lie in text[0..text_bytes).
 */
#ifndef HF_CHANNEL_NAMESPACE_H
#define HF_CHANNEL_NAMESPACE_H

#include "base/err.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    HF_NAMESPACES_MAX = 128,
    HF_NAMESPACE_TEXT_MAX = 16384, /* all patterns and the texts of all rules */
    HF_RULES_MAX = 4,              /* of one right; any of them suffices */
    HF_RULE_TEXT_MAX = 255,        /* bytes: no channel name is longer */
};

enum hf_right { HF_RIGHT_SUBSCRIBE, HF_RIGHT_PUBLISH, HF_RIGHT_HISTORY, HF_RIGHT_PRESENCE, HF_RIGHTS };

/* "subscribe", "publish", "history", "presence" */
const char *hf_right_name(enum hf_right right);

enum hf_verdict {
    HF_ALLOW,
    HF_DENY,
    HF_ASK_BACKEND /* the application decides: server/hooks.h */
};

enum hf_rule_kind {
    HF_RULE_NONE,    /* nobody; also a place that is not used */
    HF_RULE_ALL,     /* everybody, anonymous ones too */
    HF_RULE_USER,    /* who has a name */
    HF_RULE_CLAIM,   /* whose token says so in the claim of that name */
    HF_RULE_PATTERN, /* whose name stands in the channel's: "dm:${user}:*" */
    HF_RULE_BACKEND  /* whom the application allows */
};

struct hf_rule {
    uint8_t kind;     /* enum hf_rule_kind */
    uint8_t text_len; /* the claim's name, or the pattern */
    uint16_t text_at;
};

/* What a subscription that names no mode gets. */
enum hf_namespace_mode { HF_NAMESPACE_ALL, HF_NAMESPACE_LATEST };

/* A limit of a namespace that is not set: the server's own holds. */
#define HF_NAMESPACE_UNSET UINT32_MAX

struct hf_namespace {
    uint16_t pattern_at;
    uint8_t pattern_len; /* without the "*" of a prefix */
    bool is_prefix;
    bool presence; /* members are kept and told of, to those who may see them */
    enum hf_namespace_mode mode;
    uint32_t line; /* in the file that it was read from, for errors; 0: unknown */
    uint32_t history_messages, history_bytes, history_age_ms; /* or HF_NAMESPACE_UNSET, as the next */
    uint32_t message_bytes_max;
    uint32_t publish_rate,
        publish_burst; /* of one session, in this namespace; rate 0: no bound; burst 0: those of one second */
    struct hf_rule allow[HF_RIGHTS][HF_RULES_MAX];
};

struct hf_namespaces {
    uint32_t count, text_bytes;
    struct hf_namespace list[HF_NAMESPACES_MAX];
    char text[HF_NAMESPACE_TEXT_MAX];
};

/* Who asks. */
struct hf_who {
    struct hf_str user; /* empty: anonymous */
    const void *claims; /* for claim_allows; NULL: there are none */
    /* Whether the claim of that name grants this; with hf_grant_matches() for the patterns in it. */
    bool (*claim_allows)(const void *claims, struct hf_str name, enum hf_right right, struct hf_str channel);
};

/* ---- Making them ---- */

/*
 * Add a namespace for "chat:room" (that name), "chat:*" (names that begin so) or "*" (all others). It allows nothing and sets nothing yet; *out is valid until the next add.
 * Returns 0, or HF_EINVAL with *why (static, what is wrong and what is allowed), HF_ELIMIT likewise where there is no room.
 */
int hf_namespaces_add(struct hf_namespaces *n, struct hf_str pattern, struct hf_namespace **out,
                      const char **why) HF_MUST_CHECK;

/*
 * Add a rule to a right: "none", "all", "user", "backend", "claim" (the claim `channels`), "claim:NAME", or a pattern with "${user}". "none" is alone. Of patterns see
 * docs/namespaces.md: "${user}" and "*" stand between separators (ASCII, neither letter nor digit) or at an end. Errors as above.
 */
int hf_namespace_allow(struct hf_namespaces *n, struct hf_namespace *ns, enum hf_right right,
                       struct hf_str rule, const char **why) HF_MUST_CHECK;

/* ---- Using them ---- */

/* The namespace of a channel; NULL: none fits. */
const struct hf_namespace *hf_namespaces_find(const struct hf_namespaces *n, struct hf_str channel);

/* ns: as hf_namespaces_find() gave it for this channel. Touches no memory but its arguments', so any thread may ask. */
enum hf_verdict hf_namespace_judge(const struct hf_namespaces *n, const struct hf_namespace *ns,
                                   enum hf_right right, const struct hf_who *who, struct hf_str channel);

/* Whether a pattern of a token, "chat:room", "chat:*" or "*", grants this channel. A "*" in its midst is a letter as any other. */
bool hf_grant_matches(struct hf_str pattern, struct hf_str channel);

/* The text of a namespace's pattern without its "*", and of a rule: the claim's name or the pattern. Borrowed from n. */
struct hf_str hf_namespace_pattern(const struct hf_namespaces *n, const struct hf_namespace *ns);
struct hf_str hf_rule_text(const struct hf_namespaces *n, const struct hf_rule *rule);

/* Whether a namespace leaves anything to the application. */
bool hf_namespaces_ask_backend(const struct hf_namespaces *n);

#endif
