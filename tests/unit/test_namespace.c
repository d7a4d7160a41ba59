#include "channel/namespace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static struct hf_namespaces names; /* 30 KiB */

static struct hf_namespace *add(const char *pattern)
{
    struct hf_namespace *ns;
    const char *why;

    if (hf_namespaces_add(&names, hf_str_from(pattern), &ns, &why) < 0)
        fail_msg("%s: %s", pattern, why);
    return ns;
}

static void allow(struct hf_namespace *ns, enum hf_right right, const char *rule)
{
    const char *why;

    if (hf_namespace_allow(&names, ns, right, hf_str_from(rule), &why) < 0)
        fail_msg("%s: %s", rule, why);
}

static int begin(void **state)
{
    (void)state;
    memset(&names, 0, sizeof(names));
    return 0;
}

/* ---- Which namespace ---- */

/* The pattern of the channel's namespace, as it was written. */
static const char *namespace_of(const char *channel)
{
    static char text[HF_RULE_TEXT_MAX + 2];
    const struct hf_namespace *ns = hf_namespaces_find(&names, hf_str_from(channel));
    struct hf_str pattern;

    if (ns == NULL)
        return "";
    pattern = hf_namespace_pattern(&names, ns);
    snprintf(text, sizeof(text), "%.*s%s", (int)pattern.len, pattern.data, ns->is_prefix ? "*" : "");
    return text;
}

static void the_most_specific_namespace_is_the_channels(void **state)
{
    (void)state;
    add("chat:*");
    add("*");
    add("chat:staff");
    add("chat:staff:*");
    add("chat:staff*");
    assert_string_equal(namespace_of("chat:staff"), "chat:staff"); /* An exact name before any prefix. */
    assert_string_equal(namespace_of("chat:staff:1"), "chat:staff:*");
    assert_string_equal(namespace_of("chat:staffers"), "chat:staff*");
    assert_string_equal(namespace_of("chat:stafF"), "chat:*");
    assert_string_equal(namespace_of("chat:"), "chat:*"); /* Not the default one's, which may allow more. */
    assert_string_equal(namespace_of("chat"), "*");
    assert_string_equal(namespace_of("Chat:staff"), "*");
    assert_string_equal(namespace_of("*"), "*");
}

static void without_a_default_a_channel_may_have_no_namespace(void **state)
{
    (void)state;
    add("chat:*");
    add("news");
    assert_string_equal(namespace_of("news"), "news");
    assert_string_equal(namespace_of("news:1"), "");
    assert_string_equal(namespace_of("new"), "");
    assert_string_equal(namespace_of(""), "");
}

/* However they are given, the order in which they are looked at is the same. */
static void the_order_of_adding_does_not_matter(void **state)
{
    static const char *const patterns[] = {"*", "a*", "a:b*", "a:b:*", "a:b:c", "a:b", "a"};
    enum { COUNT = sizeof(patterns) / sizeof(patterns[0]) };

    (void)state;
    for (unsigned seed = 0; seed < 200; seed++) {
        const char *order[COUNT];

        memcpy(order, patterns, sizeof(order));
        begin(NULL);
        for (unsigned i = COUNT; i > 0; i--) {
            unsigned at = (seed * 2654435761u >> (i + 3)) % i;

            add(order[at]);
            order[at] = order[i - 1];
        }
        assert_string_equal(namespace_of("a:b:c"), "a:b:c");
        assert_string_equal(namespace_of("a:b:cd"), "a:b:*");
        assert_string_equal(namespace_of("a:b"), "a:b");
        assert_string_equal(namespace_of("a:bc"), "a:b*");
        assert_string_equal(namespace_of("a"), "a");
        assert_string_equal(namespace_of("ab"), "a*");
        assert_string_equal(namespace_of("b"), "*");
    }
}

static void bad_namespaces_are_refused_with_a_reason(void **state)
{
    static const struct {
        const char *pattern, *why;
    } bad[] = {
        {"", "is empty; allowed is a channel's name, or the beginning of names and a *"},
        {"chat:*", "is given twice"},
        {"news", "is given twice"},
        {"a*b",
         "has a * that is not its end; allowed is a channel's name, or the beginning of names and a *"},
        {"**", "has a * that is not its end; allowed is a channel's name, or the beginning of names and a *"},
        {"a\nb", "has a control character, which no channel's name has"}};
    struct hf_namespace *ns;
    const char *why;
    char text[300];

    (void)state;
    add("chat:*");
    add("news");
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(hf_namespaces_add(&names, hf_str_from(bad[i].pattern), &ns, &why), HF_EINVAL);
        assert_string_equal(why, bad[i].why);
    }
    memset(text, 'x', sizeof(text));
    assert_int_equal(hf_namespaces_add(&names, (struct hf_str){text, 256}, &ns, &why), HF_EINVAL);
    assert_int_equal(hf_namespaces_add(&names, (struct hf_str){text, 255}, &ns, &why), 0);
    assert_int_equal(names.count, 3);
}

static void their_number_and_their_text_are_bounded(void **state)
{
    struct hf_namespace *ns = NULL;
    const char *why;
    char text[256];
    int err = 0;

    (void)state;
    for (int i = 0; i < HF_NAMESPACES_MAX; i++) {
        snprintf(text, sizeof(text), "n%d", i);
        ns = add(text);
    }
    assert_int_equal(hf_namespaces_add(&names, HF_STR("more"), &ns, &why), HF_ELIMIT);
    assert_string_equal(why, "is one too many: there may be 128 namespaces");
    assert_int_equal(names.count, HF_NAMESPACES_MAX);
    begin(NULL);
    memset(text, 'x', sizeof(text));
    for (int i = 0; i < HF_NAMESPACES_MAX && err == 0; i++) {
        snprintf(text, sizeof(text), "%03d", i);
        text[3] = 'x';
        err = hf_namespaces_add(&names, (struct hf_str){text, 255}, &ns, &why);
    }
    assert_int_equal(err, HF_ELIMIT);
    assert_int_equal(names.count, HF_NAMESPACE_TEXT_MAX / 255);
    assert_true(names.text_bytes <= HF_NAMESPACE_TEXT_MAX);
}

/* ---- The truth table: each kind of rule, for each right, and each kind of user ---- */

/* A token's claims for this test: the one named `moderates` grants rooms that begin with "room:m", and only to subscribe and publish. */
static const char claims_of_bob[] = "bob's";

static bool claim_allows(const void *claims, struct hf_str name, enum hf_right right, struct hf_str channel)
{
    assert_ptr_equal(claims, claims_of_bob);
    return (hf_str_eq(name, HF_STR("moderates")) &&
            (right == HF_RIGHT_SUBSCRIBE || right == HF_RIGHT_PUBLISH) &&
            hf_grant_matches(HF_STR("room:m*"), channel)) ||
           (hf_str_eq(name, HF_STR("channels")) && hf_grant_matches(HF_STR("room:c"), channel));
}

enum { ANONYMOUS, ALICE, BOB, NAMELESS, USERS };

static const struct hf_who users[USERS] = {
    [ANONYMOUS] = {.user = {NULL, 0}},
    [ALICE] = {.user = {"alice", 5}}, /* named, without claims */
    [BOB] = {.user = {"bob", 3}, .claims = claims_of_bob, .claim_allows = claim_allows},
    [NAMELESS] = {.user = {"", 0},
                  .claims = claims_of_bob,
                  .claim_allows = claim_allows}, /* a token without sub */
};

static enum hf_verdict judge(enum hf_right right, const struct hf_who *who, const char *channel)
{
    struct hf_str name = hf_str_from(channel);

    return hf_namespace_judge(&names, hf_namespaces_find(&names, name), right, who, name);
}

/*
 * For each channel four letters, of the anonymous, Alice, Bob, and one with Bob's claims and no name: + allowed, - denied, ? the backend is asked.
 */
struct truth {
    const char *rules[HF_RULES_MAX];
    const char *verdicts[4]; /* for room:alice, room:bob, room:m1, room:c */
};

static const char *const channels[4] = {"room:alice", "room:bob", "room:m1", "room:c"};

static const struct truth truths[] = {
    {{NULL}, {"----", "----", "----", "----"}},
    {{"none"}, {"----", "----", "----", "----"}},
    {{"all"}, {"++++", "++++", "++++", "++++"}},
    {{"user"}, {"-++-", "-++-", "-++-", "-++-"}},
    {{"claim"}, {"----", "----", "----", "--++"}},
    {{"claim:channels"}, {"----", "----", "----", "--++"}},
    {{"claim:moderates"}, {"----", "----", "--++", "----"}}, /* of history and presence: "----", see below */
    {{"claim:nothing"}, {"----", "----", "----", "----"}},
    {{"room:${user}"}, {"-+--", "--+-", "----", "----"}},
    {{"backend"}, {"????", "????", "????", "????"}},
    {{"user", "backend"}, {"?++?", "?++?", "?++?", "?++?"}},
    {{"backend", "user"}, {"?++?", "?++?", "?++?", "?++?"}},
    {{"claim", "room:${user}"}, {"-+--", "--+-", "----", "--++"}},
    {{"claim:moderates", "room:${user}", "claim", "claim:nothing"}, {"-+--", "--+-", "--++", "--++"}},
    {{"none", "none"}, {"----", "----", "----", "----"}},
    {{"all", "user"}, {"++++", "++++", "++++", "++++"}},
};

static bool is_for_backend(const struct truth *t)
{
    return strcmp(t->rules[0] == NULL ? "" : t->rules[0], "backend") == 0 ||
           (t->rules[1] != NULL && strcmp(t->rules[1], "backend") == 0);
}

static char letter(enum hf_verdict verdict)
{
    return verdict == HF_ALLOW ? '+' : verdict == HF_DENY ? '-' : '?';
}

static void check_truth(const struct truth *t, enum hf_right right)
{
    struct hf_namespace *ns;

    begin(NULL);
    ns = add("room:*");
    for (int i = 0; i < HF_RULES_MAX && t->rules[i] != NULL; i++)
        allow(ns, right, t->rules[i]);
    for (int channel = 0; channel < 4; channel++) {
        char got[USERS + 1] = "";
        bool no_claim = strcmp(t->rules[0] == NULL ? "" : t->rules[0], "claim:moderates") == 0 &&
                        right >= HF_RIGHT_HISTORY && channel == 2;

        for (int user = 0; user < USERS; user++)
            got[user] = letter(judge(right, &users[user], channels[channel]));
        if (strcmp(got, no_claim ? "----" : t->verdicts[channel]) != 0)
            fail_msg("%s %s of %s: %s", t->rules[0], hf_right_name(right), channels[channel], got);
        /* The other rights have got no rule, and stay closed. */
        for (enum hf_right other = 0; other < HF_RIGHTS; other++)
            for (int user = 0; user < USERS; user++)
                assert_true(other == right || judge(other, &users[user], channels[channel]) == HF_DENY);
    }
}

static void each_rule_for_each_right_and_each_user(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(truths) / sizeof(truths[0]); i++)
        for (enum hf_right right = 0; right < HF_RIGHTS; right++)
            if (right < HF_RIGHT_HISTORY || !is_for_backend(&truths[i]))
                check_truth(&truths[i], right);
}

static void without_namespaces_everything_is_allowed(void **state)
{
    (void)state;
    for (enum hf_right right = 0; right < HF_RIGHTS; right++)
        for (int user = 0; user < USERS; user++)
            assert_int_equal(judge(right, &users[user], "room:alice"), HF_ALLOW);
}

static void with_one_namespace_all_other_channels_are_closed(void **state)
{
    (void)state;
    for (enum hf_right right = 0; right < HF_RIGHTS; right++) {
        begin(NULL);
        allow(add("chat:*"), right, "all");
        assert_int_equal(judge(right, &users[ANONYMOUS], "chat:1"), HF_ALLOW);
        for (int user = 0; user < USERS; user++)
            assert_int_equal(judge(right, &users[user], "room:1"), HF_DENY);
    }
}

static void without_presence_nobody_sees_it(void **state)
{
    struct hf_namespace *ns = add("*");

    (void)state;
    allow(ns, HF_RIGHT_PRESENCE, "all");
    allow(ns, HF_RIGHT_SUBSCRIBE, "all");
    assert_int_equal(judge(HF_RIGHT_PRESENCE, &users[BOB], "a"), HF_ALLOW);
    ns->presence = false;
    assert_int_equal(judge(HF_RIGHT_PRESENCE, &users[BOB], "a"), HF_DENY);
    assert_int_equal(judge(HF_RIGHT_SUBSCRIBE, &users[BOB], "a"), HF_ALLOW);
}

/* ---- Patterns with ${user} ---- */

/* Up to four rules, of a namespace for all; may this user subscribe to this channel? */
static bool fits(const char *rules, const char *user, const char *channel)
{
    struct hf_who who = {.user = hf_str_from(user)};
    struct hf_namespace *ns;
    char text[256];

    begin(NULL);
    ns = add("*");
    snprintf(text, sizeof(text), "%s", rules);
    for (char *rest = text, *rule; rest != NULL && (rule = strsep(&rest, " ")) != NULL;)
        allow(ns, HF_RIGHT_SUBSCRIBE, rule);
    return judge(HF_RIGHT_SUBSCRIBE, &who, channel) == HF_ALLOW;
}

static void a_pattern_fits_the_users_own_channels_only(void **state)
{
    static const struct {
        const char *rule, *user, *channel;
        bool fits;
    } rows[] = {
        {"dm:${user}", "al", "dm:al", true},
        {"dm:${user}", "al", "dm:ali", false},
        {"dm:${user}", "ali", "dm:al", false},
        {"dm:${user}", "al", "dm:al:x", false},
        {"dm:${user}", "al", "dm:", false},
        {"dm:${user}", "al", "dm", false},
        {"dm:${user}", "al", "DM:al", false},
        {"dm:${user}", "AL", "dm:al", false},
        {"dm:${user}", "al", "xdm:al", false},
        {"dm:${user}", "", "dm:", false},
        {"${user}", "al", "al", true},
        {"${user}", "", "", false},
        {"dm:${user}:*", "al", "dm:al:x", true},
        {"dm:${user}:*", "al", "dm:al:x:y", true},
        {"dm:${user}:*", "al", "dm:al:", false},
        {"dm:${user}:*", "al", "dm:al", false},
        {"dm:${user}:*", "al", "dm:bo:al:x", false},
        {"dm:*:${user}", "al", "dm:x:al", true},
        {"dm:*:${user}", "al", "dm:x:y:al", false}, /* One part; else "y:al" would be let in as well. */
        {"dm:*:${user}", "al", "dm::al", false},
        {"dm:*:${user}:*", "al", "dm:x:al:y:z", true},
        {"dm:*:${user}:*", "al", "dm:x:y:al:z", false},
        {"${user}/${user}", "al", "al/al", true},
        {"${user}/${user}", "al", "al/bo", false},
        {"pair-${user}-*", "al", "pair-al-bo", true},
        {"pair-${user}-*", "al", "pair-al", false},
        {"dm:${user}", "al.b@c", "dm:al.b@c", true}, /* None of these separates anything here. */
        {"dm:${user}", "zo\xc3\xab", "dm:zo\xc3\xab", true},
        {"dm:${user}", "auth0|7", "dm:auth0|7", true},
        {"dm:${user}:* all", "al", "x", true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (fits(rows[i].rule, rows[i].user, rows[i].channel) != rows[i].fits)
            fail_msg("%s, %s: %s", rows[i].rule, rows[i].user, rows[i].channel);
}

/* Whatever a user calls himself, he gets no more than others. */
static void a_users_name_does_not_widen_a_pattern(void **state)
{
    static const struct {
        const char *rule, *user, *channel;
    } rows[] = {
        {"dm:${user}", "*", "dm:al"},
        {"dm:${user}:*", "*", "dm:al:x"},
        {"dm:${user}", "a*", "dm:al"},
        {"dm:${user}", "${user}", "dm:al"},
        {"dm:${user} dm:${user}:*", "al:x", "dm:al:x"}, /* one of al's own channels */
        {"dm:${user}:*", "al:x", "dm:al:x:y"},
        {"dm:${user}:inbox", "al:x", "dm:al:x:inbox"},
        {"dm:*:${user}", "x:al", "dm:y:x:al"},
        {"pair-${user}-*", "al-bo", "pair-al-bo-x"},
        {"dm:${user} mail/${user}/in", "al/in",
         "dm:al/in"}, /* what separates in one rule does in the others */
        {"dm:${user}", ":", "dm::"},
        {"dm:${user}", "", "dm:"},
        {"${user}:*", "", ":x"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (fits(rows[i].rule, rows[i].user, rows[i].channel))
            fail_msg("%s, %s: %s", rows[i].rule, rows[i].user, rows[i].channel);
    assert_true(fits("dm:${user}", "*", "dm:*")); /* It is a letter of his name. */
}

/* Of all short names no two users fit the same channel, by any of these rules. */
static void no_channel_is_two_users(void **state)
{
    static const char *const rules[] = {
        "${user}",           "${user}:*",   "*:${user}",           "*:${user}:*",
        "${user} ${user}:*", "${user}:*:a", "${user}-* a:${user}", "a:${user}:* ${user}:a"};
    static const char letters[] = "ab:-*";
    enum { LETTERS = sizeof(letters) - 1, USERS_MAX = LETTERS + LETTERS * LETTERS, LONGEST = 5 };
    char names_of[USERS_MAX][3], channel[LONGEST + 1];
    int count = 0, owned = 0;

    (void)state;
    for (int a = 0; a < LETTERS; a++) {
        snprintf(names_of[count++], 3, "%c", letters[a]);
        for (int b = 0; b < LETTERS; b++)
            snprintf(names_of[count++], 3, "%c%c", letters[a], letters[b]);
    }
    for (size_t r = 0; r < sizeof(rules) / sizeof(rules[0]); r++) {
        (void)fits(rules[r], "a", "a"); /* Which makes the namespace. */
        for (int n = 0; n < LETTERS * LETTERS * LETTERS * LETTERS * LETTERS; n++) {
            int owner = -1;

            for (int i = 0, rest = n; i < LONGEST; i++, rest /= LETTERS)
                channel[i] = letters[rest % LETTERS];
            for (size_t len = 1; len <= LONGEST; len++) {
                struct hf_str name = {channel, len};

                owner = -1;
                for (int user = 0; user < count; user++) {
                    struct hf_who who = {.user = hf_str_from(names_of[user])};

                    if (hf_namespace_judge(&names, &names.list[0], HF_RIGHT_SUBSCRIBE, &who, name) !=
                        HF_ALLOW)
                        continue;
                    if (owner >= 0)
                        fail_msg("%s: %.*s is of %s and %s", rules[r], (int)len, channel, names_of[owner],
                                 names_of[user]);
                    owner = user;
                }
                owned += owner >= 0;
            }
        }
    }
    assert_true(owned > 1000);
}

static void bad_rules_are_refused_with_a_reason(void **state)
{
    static const char no_rule[] =
        "is no rule; allowed is none, all, user, claim, claim:NAME, backend, or a pattern with ${user}";
    static const char beside[] = "has a ${user} or a * beside a letter, a digit, or another one of them; "
                                 "allowed is one between separators, "
                                 "such as dm:${user}:*";
    static const char claim[] =
        "has no claim's name: printable ASCII characters without spaces, as in claim:channels";
    static const struct {
        const char *rule, *why;
    } bad[] = {
        {"", no_rule},
        {"everybody", no_rule},
        {"All", no_rule},
        {"chat:*", no_rule}, /* It would be the same for everybody. */
        {"chat:${users}", "has a ${...} that is not ${user}"},
        {"chat:${user}${channel}", "has a ${...} that is not ${user}"},
        {"chat:x${user}", beside},
        {"chat:${user}x", beside},
        {"chat:${user}*", beside},
        {"chat:*${user}", beside},
        {"chat:**:${user}", beside},
        {"chat:1*:${user}", beside},
        {"chat:${user}${user}", beside},
        {"claim:", claim},
        {"claim:a b", claim},
        {"news:${user}", "fits no channel of this namespace: begin the pattern as the namespace begins"},
        {"c:${user}", "fits no channel of this namespace: begin the pattern as the namespace begins"},
        {"chat:${user}\n", "has a control character, which no channel's name has"},
    };
    struct hf_namespace *ns = add("chat:*");
    const char *why;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        int err = hf_namespace_allow(&names, ns, HF_RIGHT_PUBLISH, hf_str_from(bad[i].rule), &why);

        if (err != HF_EINVAL || strcmp(why, bad[i].why) != 0)
            fail_msg("%s: %d %s", bad[i].rule, err, why);
    }
    assert_int_equal(ns->allow[HF_RIGHT_PUBLISH][0].kind, HF_RULE_NONE);
    assert_int_equal(hf_namespace_allow(&names, ns, HF_RIGHT_HISTORY, HF_STR("backend"), &why), HF_EINVAL);
    assert_int_equal(hf_namespace_allow(&names, ns, HF_RIGHT_PRESENCE, HF_STR("backend"), &why), HF_EINVAL);
    allow(ns, HF_RIGHT_PUBLISH, "user");
    assert_int_equal(hf_namespace_allow(&names, ns, HF_RIGHT_PUBLISH, HF_STR("none"), &why), HF_EINVAL);
    allow(ns, HF_RIGHT_PUBLISH, "claim");
    allow(ns, HF_RIGHT_PUBLISH, "*:${user}"); /* It may fit: "*" is a part of the name. */
    allow(ns, HF_RIGHT_PUBLISH, "backend");
    assert_int_equal(hf_namespace_allow(&names, ns, HF_RIGHT_PUBLISH, HF_STR("all"), &why), HF_ELIMIT);
    assert_true(hf_namespaces_ask_backend(&names));
}

static void only_a_backend_rule_asks_the_backend(void **state)
{
    struct hf_namespace *ns = add("chat:*");

    (void)state;
    for (enum hf_right right = 0; right < HF_RIGHTS; right++)
        allow(ns, right, "all");
    assert_false(hf_namespaces_ask_backend(&names));
    allow(add("news"), HF_RIGHT_SUBSCRIBE, "backend");
    assert_true(hf_namespaces_ask_backend(&names));
}

/* ---- Patterns in tokens ---- */

static void a_grant_is_a_name_or_the_beginning_of_names(void **state)
{
    static const struct {
        const char *pattern, *channel;
        bool matches;
    } rows[] = {{"chat:a", "chat:a", true}, {"chat:a", "chat:ab", false},
                {"chat:a", "chat:", false}, {"chat:*", "chat:a", true},
                {"chat:*", "chat:", true},  {"chat:*", "chat", false},
                {"*", "anything", true},    {"*", "", true},
                {"a*c", "abc", false},      {"a*c", "a*c", true},
                {"", "a", false},           {"${user}", "bob", false}};

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_int_equal(hf_grant_matches(hf_str_from(rows[i].pattern), hf_str_from(rows[i].channel)),
                         rows[i].matches);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(the_most_specific_namespace_is_the_channels, begin),
        cmocka_unit_test_setup(without_a_default_a_channel_may_have_no_namespace, begin),
        cmocka_unit_test_setup(the_order_of_adding_does_not_matter, begin),
        cmocka_unit_test_setup(bad_namespaces_are_refused_with_a_reason, begin),
        cmocka_unit_test_setup(their_number_and_their_text_are_bounded, begin),
        cmocka_unit_test_setup(each_rule_for_each_right_and_each_user, begin),
        cmocka_unit_test_setup(without_namespaces_everything_is_allowed, begin),
        cmocka_unit_test_setup(with_one_namespace_all_other_channels_are_closed, begin),
        cmocka_unit_test_setup(without_presence_nobody_sees_it, begin),
        cmocka_unit_test_setup(a_pattern_fits_the_users_own_channels_only, begin),
        cmocka_unit_test_setup(a_users_name_does_not_widen_a_pattern, begin),
        cmocka_unit_test_setup(no_channel_is_two_users, begin),
        cmocka_unit_test_setup(bad_rules_are_refused_with_a_reason, begin),
        cmocka_unit_test_setup(only_a_backend_rule_asks_the_backend, begin),
        cmocka_unit_test_setup(a_grant_is_a_name_or_the_beginning_of_names, begin),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
