/* What of a configuration that is read anew takes effect, and how the changes are told; and the environment, which is read with it. */
#include "server/config_reload.h"

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

static struct hf_config running, wanted;
static char told[4096];

static void tell(void *ctx, const char *key, const char *from, const char *to, bool live)
{
    size_t used = strlen(told);

    (void)ctx;
    snprintf(told + used, sizeof(told) - used, "%s: %s -> %s%s\n", key, from, to, live ? "" : " (restart)");
}

static int begin(void **state)
{
    (void)state;
    hf_config_default(&running);
    hf_config_default(&wanted);
    told[0] = '\0';
    return 0;
}

static void want(const char *assignment)
{
    char error[512];

    if (hf_config_set(&wanted, assignment, "--set", error, sizeof(error)) < 0)
        fail_msg("%s", error);
}

static void assert_changes(uint32_t taken, uint32_t need_restart, const char *text)
{
    struct hf_config_changes changes = hf_config_take_over(&running, &wanted, tell, NULL);

    assert_string_equal(told, text);
    assert_int_equal(changes.taken, taken);
    assert_int_equal(changes.need_restart, need_restart);
}

static struct hf_namespace *add(struct hf_config *c, const char *pattern, const char *rule)
{
    struct hf_namespace *ns;
    const char *why;

    assert_int_equal(hf_namespaces_add(&c->namespaces, hf_str_from(pattern), &ns, &why), 0);
    for (enum hf_right right = 0; right < HF_RIGHTS; right++)
        assert_int_equal(hf_namespace_allow(&c->namespaces, ns, right, hf_str_from(rule), &why), 0);
    return ns;
}

static void what_is_the_same_is_not_told(void **state)
{
    (void)state;
    wanted.lines[3] = 7;
    assert_changes(0, 0, "");
}

static void what_may_change_is_taken_and_what_may_not_stays(void **state)
{
    (void)state;
    want("heartbeat.interval=20s");
    want("memory.shards=8");
    want("api.key=secret");
    want("proxy.trusted=10.0.0.0/8,2001:db8::/32");
    want("listen=127.0.0.1:1,127.0.0.1:2");
    want("workers=3");
    assert_changes(3, 3,
                   "listen: 127.0.0.1:8000 -> 127.0.0.1:1,127.0.0.1:2 (restart)\n"
                   "workers: auto -> 3 (restart)\n"
                   "api.key: none -> (hidden)\n"
                   "proxy.trusted: none -> 10.0.0.0/8,2001:db8::/32\n"
                   "heartbeat.interval: 25s -> 20s\n"
                   "memory.shards: 16 -> 8 (restart)\n");
    assert_int_equal(running.heartbeat_interval_ms, 20000);
    assert_string_equal(running.api_key, "secret");
    assert_int_equal(running.proxy_trusted_count, 2);
    assert_int_equal(running.shards, 16);
    assert_int_equal(running.listen_count, 1);
    assert_int_equal(running.workers, 0);
    /* What needs a restart is told each time. */
    told[0] = '\0';
    assert_changes(0, 3,
                   "listen: 127.0.0.1:8000 -> 127.0.0.1:1,127.0.0.1:2 (restart)\n"
                   "workers: auto -> 3 (restart)\n"
                   "memory.shards: 16 -> 8 (restart)\n");
}

static void keys_are_told_as_they_are_written(void **state)
{
    (void)state;
    want("auth.keys=main=HS256:/a,RS256:/b");
    assert_changes(1, 0, "auth.keys: none -> main=HS256:/a,RS256:/b\n");
}

/* A secret's change is told, though its text is not. */
static void a_secret_that_changes_is_told_and_not_shown(void **state)
{
    (void)state;
    snprintf(running.api_key, sizeof(running.api_key), "one");
    want("api.key=two");
    assert_changes(1, 0, "api.key: (hidden) -> (hidden)\n");
    assert_string_equal(running.api_key, "two");
}

/* What lay behind a shorter text or list before is no change. */
static void what_lies_behind_a_value_is_no_change(void **state)
{
    (void)state;
    want("proxy.trusted=10.0.0.0/8,192.168.0.0/16");
    want("proxy.trusted=none");
    want("tls.ciphers=ECDHE+AESGCM");
    want("tls.ciphers=");
    assert_changes(0, 0, "");
}

static void namespaces_are_told_one_by_one(void **state)
{
    struct hf_namespace *ns;

    (void)state;
    add(&running, "gone", "all");
    add(&running, "same:*", "user");
    add(&running, "other:*", "claim");
    add(&wanted, "other:*", "none"); /* In another order, with other places of their texts, in other lines. */
    ns = add(&wanted, "new:*", "new:${user}");
    ns->mode = HF_NAMESPACE_LATEST;
    ns->history_messages = 0;
    ns->publish_rate = 5;
    add(&wanted, "same:*", "user")->line = 9;
    assert_changes(
        3, 0,
        "namespaces.gone: {allow: {subscribe: all, publish: all, history: all, presence: all}, presence: "
        "true, mode: all} -> none\n"
        "namespaces.other:*: {allow: {subscribe: claim:channels, publish: claim:channels, history: "
        "claim:channels, presence: "
        "claim:channels}, presence: true, mode: all} -> {allow: {subscribe: none, publish: none, history: "
        "none, presence: none}, "
        "presence: true, mode: all}\n"
        "namespaces.new:*: none -> {allow: {subscribe: \"new:${user}\", publish: \"new:${user}\", history: "
        "\"new:${user}\", presence: "
        "\"new:${user}\"}, presence: true, mode: latest, history.messages: 0, limits.publish_rate: 5}\n");
    assert_memory_equal(&running.namespaces, &wanted.namespaces, sizeof(running.namespaces));
}

/* Every key has its size, and none that others depend on from the start is live. */
static void each_key_is_whole(void **state)
{
    static const char *const restart[] = {
        "listen",        "workers",        "api.listen",      "tls.listen",     "session.max",
        "memory.shards", "memory.segment", "memory.segments", "limits.message", "limits.channels"};

    (void)state;
    for (size_t i = 0; i < HF_CONFIG_KEYS; i++) {
        assert_true(hf_config_keys[i].size > 0);
        assert_true(hf_config_keys[i].offset + hf_config_keys[i].size <= sizeof(struct hf_config));
    }
    for (size_t i = 0; i < sizeof(restart) / sizeof(restart[0]); i++)
        assert_false(hf_config_key_find(hf_str_from(restart[i]))->live);
}

/* What is printed for a value is taken as that value. */
static void a_text_of_a_value_is_that_value(void **state)
{
    (void)state;
    want("heartbeat.max=90s");
    want("history.bytes=64KiB");
    want("log.format=json");
    want("workers=auto");
    want("proxy.trusted=10.0.0.0/8,2001:db8::/32");
    for (size_t i = 0; i < HF_CONFIG_KEYS; i++) {
        const struct hf_config_key *key = &hf_config_keys[i];
        struct hf_config again = wanted;
        char what[512];
        struct hf_buf text;

        if (!hf_config_is_shown(key) || key->kind == HF_CONFIG_NAMESPACES)
            continue;
        hf_buf_init(&text, 4096);
        hf_config_key_put(key, &wanted, &text);
        if (key->kind != HF_CONFIG_TEXT &&
            (hf_config_key_parse(key, &again, hf_buf_str(&text), what, sizeof(what)) < 0 ||
             memcmp((char *)&again + key->offset, (char *)&wanted + key->offset, key->size) != 0))
            fail_msg("%s: %.*s", key->name, (int)text.len, (char *)text.data);
        hf_buf_release(&text);
    }
}

/* ---- The example ---- */

/* packaging/holdfast.example.yaml is what `holdfast check --example` prints; without its #s it is a file that sets every key to its default. */
static void the_example_is_current_and_loads(void **state)
{
    char path[512], error[512], *text = NULL, name[] = "/tmp/hf-test-example-XXXXXX";
    const char *root = getenv("HF_SOURCE_ROOT");
    struct hf_buf expected;
    FILE *f, *out;
    size_t len = 0;
    int fd;

    (void)state;
    assert_non_null(root);
    snprintf(path, sizeof(path), "%s/packaging/holdfast.example.yaml", root);
    f = fopen(path, "r");
    assert_non_null(f);
    assert_true(getdelim(&text, &len, '\0', f) > 0);
    fclose(f);
    hf_buf_init(&expected, 1 << 20);
    hf_config_example(&expected);
    hf_buf_put(&expected, "", 1);
    assert_false(expected.failed);
    assert_string_equal(text, (const char *)expected.data);
    hf_buf_release(&expected);
    fd = mkstemp(name);
    assert_true(fd >= 0);
    out = fdopen(fd, "w");
    assert_non_null(out);
    for (char *rest = text, *line; rest != NULL && (line = strsep(&rest, "\n")) != NULL;) {
        bool is_key =
            line[0] == '#' && ((line[1] >= 'a' && line[1] <= 'z') || (line[1] == ' ' && line[2] == ' '));

        fprintf(out, "%s\n", line + is_key);
    }
    fclose(out);
    if (hf_config_load(&wanted, name, error, sizeof(error)) < 0)
        fail_msg("%s", error);
    unlink(name);
    free(text);
    for (size_t i = 0; i < HF_CONFIG_KEYS; i++)
        if (wanted.lines[i] == 0)
            fail_msg("it has no %s", hf_config_keys[i].name);
    wanted.admission_rate = running.admission_rate; /* That of this machine's CPUs. */
    memset(&wanted.namespaces, 0, sizeof(wanted.namespaces));
    assert_changes(0, 0, "");
}

/* ---- The environment ---- */

static void note_unknown(void *ctx, struct hf_str name, const char *nearest)
{
    size_t used = strlen(told);

    (void)ctx;
    snprintf(told + used, sizeof(told) - used, "%.*s (%s)\n", (int)name.len, name.data, nearest);
}

static void variables_are_keys(void **state)
{
    char *const environment[] = {(char[]){"PATH=/bin"},
                                 (char[]){"HOLDFAST_HEARTBEAT_INTERVAL=5s"},
                                 (char[]){"HOLDFAST_LIMITS_CONNECTIONS_PER_ADDRESS=7"},
                                 (char[]){"HOLDFAST_LISTEN=127.0.0.1:1,[::1]:2"},
                                 (char[]){"HOLDFAST_PORT=tcp://10.0.0.1:80"},
                                 (char[]){"HOLDFAST_HEARTBET_INTERVAL=6s"},
                                 (char[]){"HOLDFASTX=1"},
                                 (char[]){"HOLDFAST_heartbeat_min=1s"},
                                 NULL};
    char *const bad[] = {(char[]){"HOLDFAST_WORKERS=many"}, NULL};
    char *const in_file[] = {(char[]){"HOLDFAST_NAMESPACES=a"}, NULL};
    char error[512];

    (void)state;
    assert_int_equal(hf_config_environment(&wanted, environment, error, sizeof(error)), 0);
    assert_int_equal(wanted.heartbeat_interval_ms, 5000);
    assert_int_equal(wanted.heartbeat_min_ms, 10000);
    assert_int_equal(wanted.address_connections_max, 7);
    assert_int_equal(wanted.listen_count, 2);
    hf_config_environment_unknown(environment, note_unknown, NULL);
    assert_string_equal(told, "HOLDFAST_PORT ()\n"
                              "HOLDFAST_HEARTBET_INTERVAL (HOLDFAST_HEARTBEAT_INTERVAL)\n"
                              "HOLDFAST_heartbeat_min (HOLDFAST_HEARTBEAT_MIN)\n");
    assert_int_equal(hf_config_environment(&wanted, bad, error, sizeof(error)), HF_EINVAL);
    assert_string_equal(
        error, "environment: HOLDFAST_WORKERS: 'many' is not a whole number; allowed is 1 to 256, or auto");
    assert_int_equal(hf_config_environment(&wanted, in_file, error, sizeof(error)), HF_EINVAL);
}

static void no_two_keys_have_one_variable(void **state)
{
    (void)state;
    for (size_t i = 0; i < HF_CONFIG_KEYS; i++)
        for (size_t j = 0; j < i; j++) {
            char a[64], b[64];

            hf_config_variable(hf_config_keys[i].name, a, sizeof(a));
            hf_config_variable(hf_config_keys[j].name, b, sizeof(b));
            assert_string_not_equal(a, b);
            assert_true(strlen(a) < sizeof(a) - 1);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(what_is_the_same_is_not_told, begin),
        cmocka_unit_test_setup(what_may_change_is_taken_and_what_may_not_stays, begin),
        cmocka_unit_test_setup(keys_are_told_as_they_are_written, begin),
        cmocka_unit_test_setup(a_secret_that_changes_is_told_and_not_shown, begin),
        cmocka_unit_test_setup(what_lies_behind_a_value_is_no_change, begin),
        cmocka_unit_test_setup(namespaces_are_told_one_by_one, begin),
        cmocka_unit_test_setup(each_key_is_whole, begin),
        cmocka_unit_test_setup(a_text_of_a_value_is_that_value, begin),
        cmocka_unit_test_setup(the_example_is_current_and_loads, begin),
        cmocka_unit_test_setup(variables_are_keys, begin),
        cmocka_unit_test_setup(no_two_keys_have_one_variable, begin),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
