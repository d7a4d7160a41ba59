#include "client/servers.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char *const three[] = {"ws://a.test", "wss://b.test:9/x", "ws://c.test"};

static int without_environment(void **state)
{
    static const char *const names[] = {"http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy",
                                        "ALL_PROXY",  "no_proxy",    "NO_PROXY"};

    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (unsetenv(names[i]) < 0)
            return -1;
    return 0;
}

static void a_failure_moves_on(void **state)
{
    const struct hf_servers_config config = {.urls = three, .count = 3};
    struct hf_servers s;

    (void)state;
    assert_int_equal(hf_servers_init(&s, &config), 0);
    assert_int_equal(s.next, 0);
    hf_servers_failed(&s, 0);
    assert_int_equal(s.next, 1);
    hf_servers_failed(&s, 0); /* an old attempt's end is news of nothing */
    assert_int_equal(s.next, 1);
    hf_servers_failed(&s, 1);
    hf_servers_failed(&s, 2);
    assert_int_equal(s.next, 0);
    assert_true(hf_servers_need_tls(&s));
    hf_servers_release(&s);
}

static void one_server_is_always_the_next(void **state)
{
    const struct hf_servers_config config = {.urls = three, .count = 1, .proxy = ""};
    struct hf_servers s;

    (void)state;
    assert_int_equal(hf_servers_init(&s, &config), 0);
    hf_servers_failed(&s, 0);
    assert_int_equal(s.next, 0);
    assert_false(hf_servers_need_tls(&s));
    hf_servers_release(&s);
}

static void whom_to_dial(void **state)
{
    struct hf_servers_config config = {.urls = three, .count = 3};
    struct hf_servers s;

    (void)state;
    assert_int_equal(setenv("https_proxy", "http://proxy.test:3128", 1), 0);
    assert_int_equal(hf_servers_init(&s, &config), 0);
    assert_string_equal(s.list[0].host.name, "a.test");
    assert_string_equal(s.list[0].host.port, "80");
    assert_string_equal(s.list[1].host.name, "proxy.test");
    assert_string_equal(s.list[1].host.port, "3128");
    assert_string_equal(s.list[1].url.host, "b.test");
    hf_servers_release(&s);
    config.proxy = "other.test"; /* for all, whatever the environment says */
    assert_int_equal(hf_servers_init(&s, &config), 0);
    for (unsigned i = 0; i < 3; i++)
        assert_string_equal(s.list[i].host.name, "other.test");
    hf_servers_release(&s);
    config.proxy = "";
    assert_int_equal(hf_servers_init(&s, &config), 0);
    assert_string_equal(s.list[1].host.name, "b.test");
    hf_servers_release(&s);
}

/* An application cannot help what its user's environment says: that is told when it matters, and without the password. */
static void a_wrong_environment_is_told_by_the_attempt(void **state)
{
    const struct hf_servers_config config = {.urls = three, .count = 2};
    struct hf_servers s;

    (void)state;
    assert_int_equal(setenv("all_proxy", "socks5://user:secret@proxy.test", 1), 0);
    assert_int_equal(setenv("https_proxy", "user:secret@", 1), 0);
    assert_int_equal(hf_servers_init(&s, &config), 0);
    assert_string_equal(s.list[0].wrong, "all_proxy names another kind of proxy than an HTTP one: it must be "
                                         "http://[USER:PASSWORD@]HOST[:PORT]");
    assert_string_equal(s.list[1].wrong,
                        "https_proxy names no valid proxy: it must be http://[USER:PASSWORD@]HOST[:PORT]");
    hf_servers_release(&s);
}

static void what_makes_no_sense_is_refused(void **state)
{
    static const char *const bad[] = {"ws://a.test", "http://b.test"};
    static const char *const none[] = {NULL};
    static const char *const nine[] = {"ws://a", "ws://a", "ws://a", "ws://a", "ws://a",
                                       "ws://a", "ws://a", "ws://a", "ws://a"};
    static const struct {
        struct hf_servers_config config;
        int err;
    } cases[] = {
        {{.urls = bad, .count = 2}, HF_EINVAL},
        {{.urls = none, .count = 1}, HF_EINVAL},
        {{.urls = three, .count = 0}, HF_EINVAL},
        {{.urls = nine, .count = 9}, HF_EINVAL},
        {{.urls = nine, .count = 8}, 0},
        {{.urls = three, .count = 1, .proxy = "http://a:b:c@"}, HF_EINVAL},
        {{.urls = three, .count = 1, .proxy = "socks5://a"}, HF_EUNSUPPORTED},
        {{.urls = three, .count = 1, .dns_servers = ""}, HF_EINVAL},
        {{.urls = three, .count = 1, .dns_servers = "a.test"}, HF_EINVAL},
        {{.urls = three, .count = 1, .dns_servers = "192.0.2.1:x"}, HF_EINVAL},
        {{.urls = three, .count = 1, .dns_servers = "192.0.2.1,192.0.2.2,192.0.2.3,192.0.2.4"}, HF_EINVAL},
        {{.urls = three, .count = 1, .dns_servers = "192.0.2.1:5353,[2001:db8::1]:53,2001:db8::2"}, 0},
    };
    struct hf_servers s;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int err = hf_servers_init(&s, &cases[i].config);

        if (err != cases[i].err)
            fail_msg("case %zu: %d", i, err);
        hf_servers_release(&s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_failure_moves_on, without_environment),
        cmocka_unit_test_setup(one_server_is_always_the_next, without_environment),
        cmocka_unit_test_setup(whom_to_dial, without_environment),
        cmocka_unit_test_setup(a_wrong_environment_is_told_by_the_attempt, without_environment),
        cmocka_unit_test_setup(what_makes_no_sense_is_refused, without_environment),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
