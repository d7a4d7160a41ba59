/* The section `namespaces` of the configuration: what is taken, and how what is not is told. */
#include "server/config_keys.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char path[64];
static char error[512];

static int load(struct hf_config *c, const char *text)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    assert_int_equal(fputs(text, f) >= 0, 1);
    assert_int_equal(fclose(f), 0);
    hf_config_default(c);
    error[0] = '\0';
    return hf_config_load(c, path, error, sizeof(error));
}

static void assert_fails(const char *text, const char *expected)
{
    struct hf_config c;
    char whole[512];

    assert_true(load(&c, text) == HF_EINVAL || hf_config_check(&c, error, sizeof(error)) == HF_EINVAL);
    snprintf(whole, sizeof(whole), "%s%s", path, expected);
    assert_string_equal(error, whole);
}

static const struct hf_namespace *of(const struct hf_config *c, const char *channel)
{
    return hf_namespaces_find(&c->namespaces, hf_str_from(channel));
}

static void assert_rule(const struct hf_config *c, const struct hf_rule *rule, enum hf_rule_kind kind,
                        const char *text)
{
    assert_int_equal(rule->kind, kind);
    assert_true(hf_str_eq(hf_rule_text(&c->namespaces, rule), hf_str_from(text)));
}

static void without_any_there_are_none(void **state)
{
    static const char *const texts[] = {"", "namespaces:\n", "namespaces: {}\n"};
    struct hf_config c;

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        assert_int_equal(load(&c, texts[i]), 0);
        assert_int_equal(c.namespaces.count, 0);
        assert_int_equal(hf_config_check(&c, error, sizeof(error)), 0);
    }
}

static void all_that_a_namespace_has_is_read(void **state)
{
    static const char text[] = "namespaces:\n"
                               "  \"*\": {allow: none}\n"
                               "  \"chat:*\":\n"
                               "    allow:\n"
                               "      subscribe: user\n"
                               "      publish: [\"chat:${user}:*\", claim, claim:moderates]\n"
                               "      history: all\n"
                               "    presence: false\n"
                               "    mode: latest\n"
                               "    history: {messages: 100, bytes: 64KiB, age: 1h}\n"
                               "    limits:\n"
                               "      message: 4KiB\n"
                               "      publish_rate: 5\n"
                               "      publish_burst: 20\n"
                               "  news:\n"
                               "    allow: all\n"
                               "    history.messages: 0\n"
                               "  empty:\n";
    struct hf_config c;
    const struct hf_namespace *ns;

    (void)state;
    assert_int_equal(load(&c, text), 0);
    assert_int_equal(hf_config_check(&c, error, sizeof(error)), 0);
    assert_int_equal(c.namespaces.count, 4);
    ns = of(&c, "chat:1");
    assert_int_equal(ns->line, 3);
    assert_rule(&c, &ns->allow[HF_RIGHT_SUBSCRIBE][0], HF_RULE_USER, "");
    assert_rule(&c, &ns->allow[HF_RIGHT_SUBSCRIBE][1], HF_RULE_NONE, "");
    assert_rule(&c, &ns->allow[HF_RIGHT_PUBLISH][0], HF_RULE_PATTERN, "chat:${user}:*");
    assert_rule(&c, &ns->allow[HF_RIGHT_PUBLISH][1], HF_RULE_CLAIM, "channels");
    assert_rule(&c, &ns->allow[HF_RIGHT_PUBLISH][2], HF_RULE_CLAIM, "moderates");
    assert_rule(&c, &ns->allow[HF_RIGHT_PUBLISH][3], HF_RULE_NONE, "");
    assert_rule(&c, &ns->allow[HF_RIGHT_HISTORY][0], HF_RULE_ALL, "");
    assert_rule(&c, &ns->allow[HF_RIGHT_PRESENCE][0], HF_RULE_NONE, "");
    assert_false(ns->presence);
    assert_int_equal(ns->mode, HF_NAMESPACE_LATEST);
    assert_int_equal(ns->history_messages, 100);
    assert_int_equal(ns->history_bytes, 65536);
    assert_int_equal(ns->history_age_ms, 3600000);
    assert_int_equal(ns->message_bytes_max, 4096);
    assert_int_equal(ns->publish_rate, 5);
    assert_int_equal(ns->publish_burst, 20);
    ns = of(&c, "news");
    for (int right = 0; right < HF_RIGHTS; right++)
        assert_rule(&c, &ns->allow[right][0], HF_RULE_ALL, "");
    assert_true(ns->presence);
    assert_int_equal(ns->mode, HF_NAMESPACE_ALL);
    assert_int_equal(ns->history_messages, 0);
    assert_int_equal(ns->history_bytes, HF_NAMESPACE_UNSET);
    assert_int_equal(ns->history_age_ms, HF_NAMESPACE_UNSET);
    assert_int_equal(ns->message_bytes_max, HF_NAMESPACE_UNSET);
    assert_int_equal(ns->publish_rate, 0);
    assert_int_equal(ns->publish_burst, 0);
    assert_rule(&c, &of(&c, "empty")->allow[HF_RIGHT_SUBSCRIBE][0], HF_RULE_NONE, "");
    assert_rule(&c, &of(&c, "other")->allow[HF_RIGHT_SUBSCRIBE][0], HF_RULE_NONE, "");
}

static void a_second_file_replaces_them(void **state)
{
    struct hf_config c;
    FILE *f;

    (void)state;
    assert_int_equal(load(&c, "namespaces: {a: {allow: all}, b: {allow: all}}\n"), 0);
    f = fopen(path, "w");
    assert_non_null(f);
    fputs("namespaces: {c: {allow: user}}\n", f);
    fclose(f);
    assert_int_equal(hf_config_load(&c, path, error, sizeof(error)), 0);
    assert_int_equal(c.namespaces.count, 1);
    assert_null(of(&c, "a"));
}

static void what_is_wrong_with_a_pattern_is_told(void **state)
{
    (void)state;
    assert_fails(
        "namespaces: [chat]\n",
        ":1: namespaces: expected patterns of channel names, indented, one a line, each with its keys");
    assert_fails(
        "namespaces: chat\n",
        ":1: namespaces: expected patterns of channel names, indented, one a line, each with its keys");
    assert_fails("namespaces:\n  a:\n  b: 1\n",
                 ":3: namespaces.b: expected keys such as `allow`, indented, one a line");
    assert_fails("namespaces:\n  a:\n  ? [b]\n  : {}\n",
                 ":3: namespaces: expected a channel's name, or the beginning of names and a *");
    assert_fails("namespaces:\n  \"a*\": {}\n  \"a*\": {}\n", ":3: namespaces.a*: is given twice");
    assert_fails("namespaces:\n  \"a*b\": {}\n",
                 ":2: namespaces.a*b: has a * that is not its end; allowed is a channel's name, or the "
                 "beginning of names and a *");
    assert_fails("namespaces:\n  \"\": {}\n",
                 ":2: namespaces.: is empty; allowed is a channel's name, or the beginning of names and a *");
    assert_fails("namespaces:\n  \"a\\nb\": {}\n",
                 ":2: namespaces.a?b: has a control character, which no channel's name has");
    assert_fails("namespaces: {}\nnamespaces: {}\n", ":2: namespaces: is given twice; first in line 1");
    assert_fails("namespace: {}\n", ":1: namespace: unknown key; did you mean namespaces?");
}

static void what_is_wrong_with_a_key_is_told(void **state)
{
    (void)state;
    assert_fails("namespaces:\n  a:\n    allows: all\n",
                 ":3: namespaces.a.allows: unknown key; did you mean allow?");
    assert_fails("namespaces:\n  a:\n    allow: {publsh: all}\n",
                 ":3: namespaces.a.allow.publsh: unknown key; did you mean allow.publish?");
    assert_fails("namespaces:\n  a:\n    subscribe: all\n",
                 ":3: namespaces.a.subscribe: unknown key; did you mean allow.subscribe?");
    assert_fails("namespaces:\n  a:\n    workers: 1\n",
                 ":3: namespaces.a.workers: unknown key; `holdfast serve --help` lists them all");
    assert_fails("namespaces:\n  a:\n    mode: newest\n",
                 ":3: namespaces.a.mode: 'newest' is not known; allowed is all or latest");
    assert_fails("namespaces:\n  a:\n    presence: 1\n",
                 ":3: namespaces.a.presence: '1' is neither true nor false");
    assert_fails("namespaces:\n  a:\n    history:\n      age: 25h\n",
                 ":4: namespaces.a.history.age: '25h' is out of range; allowed is 1s to 1d");
    assert_fails("namespaces:\n  a:\n    history: 5\n",
                 ":3: namespaces.a.history: is a section; expected keys in it, indented, one a line");
    assert_fails(
        "namespaces:\n  a:\n    limits: {message: [1]}\n",
        ":3: namespaces.a.limits.message: expected a single value, not a list; allowed is 16B to 4MiB");
    assert_fails("namespaces:\n  a:\n    limits: {message: }\n",
                 ":3: namespaces.a.limits.message: has no value");
    assert_fails("namespaces:\n  a:\n    mode: all\n    mode: all\n",
                 ":4: namespaces.a.mode: is given twice; first in line 3");
    assert_fails("namespaces:\n  a:\n    limits: {message: 65537}\n",
                 ":2: namespaces.a.limits.message: 65537B is more than limits.message (64KiB), which no "
                 "message may exceed");
}

static void what_is_wrong_with_a_rule_is_told(void **state)
{
    (void)state;
    assert_fails("namespaces:\n  a:\n    allow: everybody\n",
                 ":3: namespaces.a.allow: 'everybody' is no rule; allowed is none, all, user, claim, "
                 "claim:NAME, backend, or a pattern with ${user}");
    assert_fails("namespaces:\n  a:\n    allow:\n      publish: [user, [all]]\n",
                 ":4: namespaces.a.allow.publish: expected a list of rules");
    assert_fails("namespaces:\n  a:\n    allow:\n      publish: []\n",
                 ":4: namespaces.a.allow.publish: has no rule; write `none` where nobody may");
    assert_fails("namespaces:\n  a:\n    allow:\n      publish:\n",
                 ":4: namespaces.a.allow.publish: has no value");
    assert_fails("namespaces:\n  a:\n    allow:\n      publish: [none, all]\n",
                 ":4: namespaces.a.allow.publish: 'none' contradicts the rules beside it: it stands alone");
    assert_fails("namespaces:\n  a:\n    allow:\n      publish: [all, none]\n",
                 ":4: namespaces.a.allow.publish: 'none' contradicts the rules beside it: it stands alone");
    assert_fails("namespaces:\n  a:\n    allow: user\n    allow.publish: none\n",
                 ":4: namespaces.a.allow.publish: contradicts allow in line 3; write one of them");
    assert_fails("namespaces:\n  a:\n    allow.publish: none\n    allow: user\n",
                 ":4: namespaces.a.allow: contradicts allow.publish in line 3; write one of them");
    assert_fails("namespaces:\n  a:\n    allow: [user, claim, claim:b, claim:c, claim:d]\n",
                 ":3: namespaces.a.allow: 'claim:d' is one too many: a right may have 4 rules, of which any "
                 "suffices");
    assert_fails("namespaces:\n  \"b:*\":\n    allow:\n      publish: \"a:${user}\"\n",
                 ":4: namespaces.b:*.allow.publish: 'a:${user}' fits no channel of this namespace: begin the "
                 "pattern as the namespace begins");
    assert_fails("namespaces:\n  a:\n    allow:\n      history: backend\n",
                 ":4: namespaces.a.allow.history: 'backend' cannot be left to the backend, which is asked "
                 "about subscribe and publish only");
    assert_fails("namespaces:\n  a:\n    allow: backend\n",
                 ":3: namespaces.a.allow: 'backend' cannot be left to the backend, which is asked about "
                 "subscribe and publish only");
}

/* A rule that asks somebody who is not there would refuse everybody, and look like one that does not. */
static void a_backend_that_cannot_be_asked_is_told(void **state)
{
    (void)state;
    assert_fails("namespaces:\n  b: {allow: all}\n  a:\n    allow: {publish: backend}\n",
                 ":3: namespaces.a.allow.publish: 'backend' has nobody to ask: set hooks.publish.url");
}

static void only_a_file_can_set_them(void **state)
{
    struct hf_config c;

    (void)state;
    hf_config_default(&c);
    assert_int_equal(hf_config_set(&c, "namespaces=a", "--set", error, sizeof(error)), HF_EINVAL);
    assert_string_equal(error,
                        "--set: namespaces: can be set in the file only, which `holdfast serve --config "
                        "FILE` reads");
}

static void their_number_is_bounded(void **state)
{
    struct hf_config c;
    char *text = NULL;
    size_t len = 0;
    FILE *f = open_memstream(&text, &len);

    (void)state;
    assert_non_null(f);
    fputs("namespaces:\n", f);
    for (int i = 0; i < HF_NAMESPACES_MAX; i++)
        fprintf(f, "  n%d: {allow: user}\n", i);
    fflush(f);
    assert_int_equal(load(&c, text), 0);
    assert_int_equal(c.namespaces.count, HF_NAMESPACES_MAX);
    fputs("  more: {}\n", f);
    fclose(f);
    assert_fails(text, ":130: namespaces.more: is one too many: there may be 128 namespaces");
    free(text);
}

static void the_bounds_of_each_number_are_those_of_the_table(void **state)
{
    (void)state;
    for (size_t i = 0; i < HF_CONFIG_NAMESPACE_KEYS; i++) {
        const struct hf_config_key *key = &hf_config_namespace_keys[i];
        struct hf_config c;
        char text[128];
        uint32_t got;

        if (key->max == 0)
            continue;
        snprintf(text, sizeof(text), "namespaces: {a: {%s: %u}}\n", key->name, key->max);
        assert_int_equal(load(&c, text), 0);
        memcpy(&got, (const char *)of(&c, "a") + key->offset, sizeof(got));
        assert_int_equal(got, key->max);
        snprintf(text, sizeof(text), "namespaces: {a: {%s: %u}}\n", key->name, key->max + 1);
        assert_int_equal(load(&c, text), HF_EINVAL);
    }
}

static int make_file(void **state)
{
    int fd;

    (void)state;
    snprintf(path, sizeof(path), "/tmp/hf-test-config-XXXXXX");
    fd = mkstemp(path);
    if (fd >= 0)
        close(fd);
    return fd < 0 ? -1 : 0;
}

static int remove_file(void **state)
{
    (void)state;
    return unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_any_there_are_none),
        cmocka_unit_test(all_that_a_namespace_has_is_read),
        cmocka_unit_test(a_second_file_replaces_them),
        cmocka_unit_test(what_is_wrong_with_a_pattern_is_told),
        cmocka_unit_test(what_is_wrong_with_a_key_is_told),
        cmocka_unit_test(what_is_wrong_with_a_rule_is_told),
        cmocka_unit_test(a_backend_that_cannot_be_asked_is_told),
        cmocka_unit_test(only_a_file_can_set_them),
        cmocka_unit_test(their_number_is_bounded),
        cmocka_unit_test(the_bounds_of_each_number_are_those_of_the_table),
    };

    return cmocka_run_group_tests(tests, make_file, remove_file);
}
