#include "channel/namespace.h"

#include "base/assert.h"

#include <assert.h>
#include <string.h>

static const char *const right_names[HF_RIGHTS] = {"subscribe", "publish", "history", "presence"};

#define USER_WORD HF_STR("${user}")

static_assert(HF_NAMESPACE_TEXT_MAX <= UINT16_MAX, "a rule's text_at");
static_assert(HF_RULE_TEXT_MAX <= UINT8_MAX, "a rule's text_len");

const char *hf_right_name(enum hf_right right)
{
    return right_names[right];
}

/* ---- Texts ---- */

static struct hf_str text_of(const struct hf_namespaces *n, uint16_t at, uint8_t len)
{
    return (struct hf_str){n->text + at, len};
}

struct hf_str hf_namespace_pattern(const struct hf_namespaces *n, const struct hf_namespace *ns)
{
    return text_of(n, ns->pattern_at, ns->pattern_len);
}

struct hf_str hf_rule_text(const struct hf_namespaces *n, const struct hf_rule *rule)
{
    return text_of(n, rule->text_at, rule->text_len);
}

static bool begins_with(struct hf_str s, struct hf_str beginning)
{
    return s.len >= beginning.len &&
           (beginning.len == 0 || memcmp(s.data, beginning.data, beginning.len) == 0);
}

static int text_add(struct hf_namespaces *n, struct hf_str text, uint16_t *at, uint8_t *len, const char **why)
{
    hf_assert(text.len <= HF_RULE_TEXT_MAX);
    if (text.len > sizeof(n->text) - n->text_bytes) {
        *why = "is too much: the patterns and rules of all namespaces may have 16384 bytes together";
        return HF_ELIMIT;
    }
    if (text.len > 0)
        memcpy(n->text + n->text_bytes, text.data, text.len);
    *at = (uint16_t)n->text_bytes;
    *len = (uint8_t)text.len;
    n->text_bytes += (uint32_t)text.len;
    return 0;
}

static bool has_control(struct hf_str s)
{
    for (size_t i = 0; i < s.len; i++)
        if ((uint8_t)s.data[i] < 0x20 || s.data[i] == 0x7f)
            return true;
    return false;
}

/* ---- Namespaces ---- */

/* Whether a namespace with this pattern is looked at before ns. */
static bool goes_before(struct hf_str pattern, bool is_prefix, const struct hf_namespace *ns)
{
    if (is_prefix != ns->is_prefix)
        return !is_prefix;
    return pattern.len > ns->pattern_len;
}

static const char *pattern_fault(struct hf_str pattern)
{
    if (pattern.len == 0)
        return "is empty; allowed is a channel's name, or the beginning of names and a *";
    if (pattern.len > HF_RULE_TEXT_MAX)
        return "is too long; a channel's name has up to 255 bytes";
    if (has_control(pattern))
        return "has a control character, which no channel's name has";
    if (memchr(pattern.data, '*', pattern.len - 1) != NULL)
        return "has a * that is not its end; allowed is a channel's name, or the beginning of names and a *";
    return NULL;
}

int hf_namespaces_add(struct hf_namespaces *n, struct hf_str pattern, struct hf_namespace **out,
                      const char **why)
{
    bool is_prefix = pattern.len > 0 && pattern.data[pattern.len - 1] == '*';
    struct hf_namespace ns = {.is_prefix = is_prefix,
                              .presence = true,
                              .history_messages = HF_NAMESPACE_UNSET,
                              .history_bytes = HF_NAMESPACE_UNSET,
                              .history_age_ms = HF_NAMESPACE_UNSET,
                              .message_bytes_max = HF_NAMESPACE_UNSET};
    uint32_t at = 0;
    int err;

    *why = pattern_fault(pattern);
    if (*why != NULL)
        return HF_EINVAL;
    if (n->count == HF_NAMESPACES_MAX) {
        *why = "is one too many: there may be 128 namespaces";
        return HF_ELIMIT;
    }
    pattern.len -= is_prefix;
    for (uint32_t i = 0; i < n->count; i++)
        if (n->list[i].is_prefix == is_prefix && hf_str_eq(hf_namespace_pattern(n, &n->list[i]), pattern)) {
            *why = "is given twice";
            return HF_EINVAL;
        }
    err = text_add(n, pattern, &ns.pattern_at, &ns.pattern_len, why);
    if (err < 0)
        return err;
    while (at < n->count && !goes_before(pattern, is_prefix, &n->list[at]))
        at++;
    memmove(&n->list[at + 1], &n->list[at], (n->count - at) * sizeof(n->list[0]));
    n->list[at] = ns;
    n->count++;
    *out = &n->list[at];
    return 0;
}

const struct hf_namespace *hf_namespaces_find(const struct hf_namespaces *n, struct hf_str channel)
{
    for (uint32_t i = 0; i < n->count; i++) {
        const struct hf_namespace *ns = &n->list[i];
        struct hf_str pattern = hf_namespace_pattern(n, ns);

        if (ns->is_prefix ? begins_with(channel, pattern) : hf_str_eq(channel, pattern))
            return ns;
    }
    return NULL;
}

/* ---- Rules' patterns ---- */

/*
 * What separates the parts of a name in some rules' patterns. A user whose name has one of them fits none of these patterns: else "a:b" could be taken for somebody in a part of
 * "a"'s channels, or "a" for the owner of "a:b"'s.
 */
struct separators {
    uint64_t bits[2]; /* of ASCII */
};

static bool is_separator(char ch)
{
    return (ch >= 0x20 && ch < '0') || (ch > '9' && ch < 'A') || (ch > 'Z' && ch < 'a') ||
           (ch > 'z' && ch < 0x7f);
}

static void separators_add(struct separators *s, char ch)
{
    if (is_separator(ch))
        s->bits[ch / 64] |= UINT64_C(1) << (ch % 64);
}

static bool separates(const struct separators *s, char ch)
{
    return is_separator(ch) && (s->bits[ch / 64] >> (ch % 64) & 1) != 0;
}

enum token { TOKEN_LETTER, TOKEN_USER, TOKEN_ANY };

/* Take the next token from the front of a pattern that is not empty. */
static enum token next_token(struct hf_str *pattern, char *letter)
{
    enum token token = begins_with(*pattern, USER_WORD) ? TOKEN_USER
                       : pattern->data[0] == '*'        ? TOKEN_ANY
                                                        : TOKEN_LETTER;
    size_t len = token == TOKEN_USER ? USER_WORD.len : 1;

    *letter = pattern->data[0];
    *pattern = (struct hf_str){pattern->data + len, pattern->len - len};
    return token;
}

static void collect_separators(struct separators *s, struct hf_str pattern)
{
    char letter;

    while (pattern.len > 0)
        if (next_token(&pattern, &letter) == TOKEN_LETTER)
            separators_add(s, letter);
}

/* "${user}" is the user's name; "*" in the midst is one part, between separators; "*" at the end is all the rest. None of them is empty. */
static bool pattern_fits(struct hf_str pattern, const struct separators *s, struct hf_str user,
                         struct hf_str channel)
{
    while (pattern.len > 0) {
        size_t len = 0;
        char letter;

        switch (next_token(&pattern, &letter)) {
        case TOKEN_LETTER:
            if (channel.len == 0 || channel.data[0] != letter)
                return false;
            len = 1;
            break;
        case TOKEN_USER:
            if (!begins_with(channel, user))
                return false;
            len = user.len;
            break;
        case TOKEN_ANY:
            while (len < channel.len && (pattern.len == 0 || !separates(s, channel.data[len])))
                len++;
            if (len == 0)
                return false;
            break;
        }
        channel = (struct hf_str){channel.data + len, channel.len - len};
    }
    return channel.len == 0;
}

/* All patterns of a right count together, so that what one makes a separator is one for the others. */
static struct separators separators_of(const struct hf_namespaces *n, const struct hf_rule *rules)
{
    struct separators s = {{0, 0}};

    for (int i = 0; i < HF_RULES_MAX; i++)
        if (rules[i].kind == HF_RULE_PATTERN)
            collect_separators(&s, hf_rule_text(n, &rules[i]));
    return s;
}

static bool user_fits(const struct hf_namespaces *n, const struct hf_rule *rules, const struct hf_rule *rule,
                      struct hf_str user, struct hf_str channel)
{
    struct separators s = separators_of(n, rules);

    for (size_t i = 0; i < user.len; i++)
        if (separates(&s, user.data[i]))
            return false;
    return user.len > 0 && pattern_fits(hf_rule_text(n, rule), &s, user, channel);
}

/* ---- Rules ---- */

static const char not_delimited[] = "has a ${user} or a * beside a letter, a digit, or another one of them; "
                                    "allowed is one between separators, "
                                    "such as dm:${user}:*";

static const char *rule_pattern_fault(struct hf_str pattern)
{
    bool delimited = true, found = false;
    enum token token;
    char letter;

    if (has_control(pattern))
        return "has a control character, which no channel's name has";
    while (pattern.len > 0) {
        token = next_token(&pattern, &letter);
        found = found || token == TOKEN_USER;
        if (token == TOKEN_LETTER && letter == '$' && pattern.len > 0 && pattern.data[0] == '{')
            return "has a ${...} that is not ${user}";
        if (token != TOKEN_LETTER &&
            (!delimited || (pattern.len > 0 && (pattern.data[0] == '*' || !is_separator(pattern.data[0])))))
            return not_delimited;
        delimited = token == TOKEN_LETTER && is_separator(letter);
    }
    return found ? NULL
                 : "is no rule; allowed is none, all, user, claim, claim:NAME, backend, or a pattern with "
                   "${user}";
}

/* What comes before the first "${user}" or "*". */
static struct hf_str fixed_beginning(struct hf_str pattern)
{
    struct hf_str rest = pattern, before = pattern;
    char letter;

    while (rest.len > 0) {
        before = rest;
        if (next_token(&rest, &letter) != TOKEN_LETTER)
            break;
        before = rest;
    }
    return (struct hf_str){pattern.data, pattern.len - before.len};
}

/* A rule that fits no channel of its namespace is a mistake: its writer thinks that it allows something. */
static bool can_fit(const struct hf_namespaces *n, const struct hf_namespace *ns, struct hf_str pattern)
{
    struct hf_str name = hf_namespace_pattern(n, ns), fixed = fixed_beginning(pattern);
    size_t len = name.len < fixed.len ? name.len : fixed.len;

    return len == 0 || memcmp(name.data, fixed.data, len) == 0;
}

static const char *claim_fault(struct hf_str name)
{
    bool plain = name.len > 0;

    for (size_t i = 0; i < name.len; i++)
        plain = plain && name.data[i] > ' ' && name.data[i] < 0x7f;
    return plain ? NULL
                 : "has no claim's name: printable ASCII characters without spaces, as in claim:channels";
}

/* What kind of rule this is; *text becomes its text. */
static enum hf_rule_kind kind_of(struct hf_str *text)
{
    static const struct {
        const char *word;
        enum hf_rule_kind kind;
    } words[] = {
        {"none", HF_RULE_NONE}, {"all", HF_RULE_ALL}, {"user", HF_RULE_USER}, {"backend", HF_RULE_BACKEND}};
    const struct hf_str claim = HF_STR("claim"), claim_of = HF_STR("claim:");

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (hf_str_eq(*text, hf_str_from(words[i].word))) {
            text->len = 0;
            return words[i].kind;
        }
    if (hf_str_eq(*text, claim)) {
        *text = HF_STR("channels");
        return HF_RULE_CLAIM;
    }
    if (begins_with(*text, claim_of)) {
        *text = (struct hf_str){text->data + claim_of.len, text->len - claim_of.len};
        return HF_RULE_CLAIM;
    }
    return HF_RULE_PATTERN;
}

static const char *rule_fault(const struct hf_namespaces *n, const struct hf_namespace *ns,
                              enum hf_right right, enum hf_rule_kind kind, struct hf_str text)
{
    const char *fault = NULL;

    if (kind == HF_RULE_CLAIM)
        return claim_fault(text);
    if (kind == HF_RULE_BACKEND && right != HF_RIGHT_SUBSCRIBE && right != HF_RIGHT_PUBLISH)
        return "cannot be left to the backend, which is asked about subscribe and publish only";
    if (kind == HF_RULE_PATTERN) {
        fault = rule_pattern_fault(text);
        if (fault == NULL && !can_fit(n, ns, text))
            fault = "fits no channel of this namespace: begin the pattern as the namespace begins";
    }
    return fault;
}

int hf_namespace_allow(struct hf_namespaces *n, struct hf_namespace *ns, enum hf_right right,
                       struct hf_str rule, const char **why)
{
    struct hf_rule *rules = ns->allow[right];
    enum hf_rule_kind kind;
    int at = 0, err;

    if (rule.len > HF_RULE_TEXT_MAX) {
        *why = "is too long; a rule has up to 255 bytes";
        return HF_EINVAL;
    }
    kind = kind_of(&rule);
    *why = rule_fault(n, ns, right, kind, rule);
    if (*why != NULL)
        return HF_EINVAL;
    while (at < HF_RULES_MAX && rules[at].kind != HF_RULE_NONE)
        at++;
    if (kind == HF_RULE_NONE) {
        *why = "contradicts the rules beside it: none stands alone";
        return at == 0 ? 0 : HF_EINVAL;
    }
    if (at == HF_RULES_MAX) {
        *why = "is one too many: a right may have 4 rules, of which any suffices";
        return HF_ELIMIT;
    }
    err = text_add(n, rule, &rules[at].text_at, &rules[at].text_len, why);
    if (err == 0)
        rules[at].kind = (uint8_t)kind;
    return err;
}

static enum hf_verdict judge_rule(const struct hf_namespaces *n, const struct hf_rule *rules,
                                  const struct hf_rule *rule, enum hf_right right, const struct hf_who *who,
                                  struct hf_str channel)
{
    bool allowed = false;

    switch ((enum hf_rule_kind)rule->kind) {
    case HF_RULE_NONE:
        break;
    case HF_RULE_ALL:
        allowed = true;
        break;
    case HF_RULE_USER:
        allowed = who->user.len > 0;
        break;
    case HF_RULE_CLAIM:
        allowed =
            who->claims != NULL && who->claim_allows(who->claims, hf_rule_text(n, rule), right, channel);
        break;
    case HF_RULE_PATTERN:
        allowed = user_fits(n, rules, rule, who->user, channel);
        break;
    case HF_RULE_BACKEND:
        return HF_ASK_BACKEND;
    }
    return allowed ? HF_ALLOW : HF_DENY;
}

enum hf_verdict hf_namespace_judge(const struct hf_namespaces *n, const struct hf_namespace *ns,
                                   enum hf_right right, const struct hf_who *who, struct hf_str channel)
{
    enum hf_verdict verdict = HF_DENY;

    if (n->count == 0)
        return HF_ALLOW;
    if (ns == NULL || (right == HF_RIGHT_PRESENCE && !ns->presence))
        return HF_DENY;
    for (int i = 0; i < HF_RULES_MAX; i++) {
        enum hf_verdict one = judge_rule(n, ns->allow[right], &ns->allow[right][i], right, who, channel);

        if (one == HF_ALLOW)
            return HF_ALLOW; /* Nobody need be asked. */
        if (one == HF_ASK_BACKEND)
            verdict = HF_ASK_BACKEND;
    }
    return verdict;
}

bool hf_grant_matches(struct hf_str pattern, struct hf_str channel)
{
    if (pattern.len > 0 && pattern.data[pattern.len - 1] == '*')
        return begins_with(channel, (struct hf_str){pattern.data, pattern.len - 1});
    return hf_str_eq(pattern, channel);
}

bool hf_namespaces_ask_backend(const struct hf_namespaces *n)
{
    for (uint32_t i = 0; i < n->count; i++)
        for (int right = 0; right < HF_RIGHTS; right++)
            for (int rule = 0; rule < HF_RULES_MAX; rule++)
                if (n->list[i].allow[right][rule].kind == HF_RULE_BACKEND)
                    return true;
    return false;
}
