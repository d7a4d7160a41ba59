#include "server/config.h"

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

/* Load this text as a file. */
static int load(struct hf_config *c, const char *text, size_t len)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
    error[0] = '\0';
    return hf_config_load(c, path, error, sizeof(error));
}

/* The text fails to load, and the error is "FILE" followed by `expected`. */
static void assert_load_fails(const char *text, const char *expected)
{
    struct hf_config c;
    char whole[512];

    hf_config_default(&c);
    assert_int_equal(load(&c, text, strlen(text)), HF_EINVAL);
    snprintf(whole, sizeof(whole), "%s%s", path, expected);
    assert_string_equal(error, whole);
}

static void assert_set_fails(const char *assignment, const char *expected)
{
    struct hf_config c;

    hf_config_default(&c);
    assert_int_equal(hf_config_set(&c, assignment, "--set", error, sizeof(error)), HF_EINVAL);
    assert_string_equal(error, expected);
}

static void the_defaults_are_those_of_the_protocol(void **state)
{
    struct hf_config c;

    (void)state;
    hf_config_default(&c);
    assert_int_equal(c.listen_count, 1);
    assert_string_equal(c.listen[0], "127.0.0.1:8000");
    assert_string_equal(c.api_listen, "127.0.0.1:8001");
    assert_string_equal(c.api_key, "");
    assert_int_equal(c.workers, 0); /* auto */
    assert_false(c.echo);
    assert_int_equal(c.log_level, HF_LOG_INFO);
    assert_int_equal(c.log_format, HF_LOG_LOGFMT);
    /* PROTOCOL.md: "Defaults: interval 25 s, min 10 s, max 60 s." */
    assert_int_equal(c.heartbeat_interval_ms, 25000);
    assert_int_equal(c.heartbeat_min_ms, 10000);
    assert_int_equal(c.heartbeat_max_ms, 60000);
    /* "session kept 120 s after its connection · tombstone 24 h · channel history 1,024 messages, 1 MiB, 10 min" */
    assert_int_equal(c.session_ttl_ms, 120000);
    assert_int_equal(c.session_tombstone_ms, 86400000);
    assert_int_equal(c.history_messages, 1024);
    assert_int_equal(c.history_bytes, 1 << 20);
    assert_int_equal(c.history_age_ms, 600000);
    /* "256 subscriptions per session · … payload 64 KiB · idempotency keys 10 min, 100,000" */
    assert_int_equal(c.session_subscriptions_max, 256);
    assert_int_equal(c.message_bytes_max, 65536);
    assert_int_equal(c.idempotency_age_ms, 600000);
    assert_int_equal(c.idempotency_keys_max, 100000);
    assert_int_equal(c.drain_timeout_ms, 60000);
    assert_int_equal(hf_config_check(&c, error, sizeof(error)), 0);
}

static void a_file_nested_by_the_dots_is_read(void **state)
{
    static const char text[] = "# A comment\n"
                               "listen:\n"
                               "  - 127.0.0.1:9000\n"
                               "  - \"[::1]:9000\"\n"
                               "workers: 3\n"
                               "echo: true\n"
                               "api: {listen: none, key: s3cret}\n"
                               "heartbeat:\n"
                               "  interval: 5s\n"
                               "  min: 100\n"
                               "  max: 2m\n"
                               "session: # all of it commented out\n"
                               "log: {level: debug, format: json}\n"
                               "limits.message: 16KiB\n"
                               "history: &h\n"
                               "  bytes: 1GiB\n";
    struct hf_config c;

    (void)state;
    hf_config_default(&c);
    assert_int_equal(load(&c, text, strlen(text)), 0);
    assert_int_equal(c.listen_count, 2);
    assert_string_equal(c.listen[0], "127.0.0.1:9000");
    assert_string_equal(c.listen[1], "[::1]:9000");
    assert_int_equal(c.workers, 3);
    assert_true(c.echo);
    assert_string_equal(c.api_listen, "none");
    assert_string_equal(c.api_key, "s3cret");
    assert_int_equal(c.heartbeat_interval_ms, 5000);
    assert_int_equal(c.heartbeat_min_ms, 100);
    assert_int_equal(c.heartbeat_max_ms, 120000);
    assert_int_equal(c.log_level, HF_LOG_DEBUG);
    assert_int_equal(c.log_format, HF_LOG_JSON);
    assert_int_equal(c.message_bytes_max, 16384);
    assert_int_equal(c.history_bytes, 1 << 30);
    assert_int_equal(c.session_ttl_ms, 120000);
    assert_int_equal(hf_config_check(&c, error, sizeof(error)), 0);
}

static void an_empty_file_changes_nothing(void **state)
{
    static const char *const texts[] = {"", "\n\n", "# only this\n", "---\n", "--- \n...\n"};
    struct hf_config c, defaults;

    (void)state;
    hf_config_default(&defaults);
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        hf_config_default(&c);
        assert_int_equal(load(&c, texts[i], strlen(texts[i])), 0);
        assert_string_equal(c.path, path);
        c.path[0] = '\0';
        memset(c.path, 0, sizeof(c.path));
        assert_memory_equal(&c, &defaults, sizeof(c));
    }
}

static void an_unknown_key_is_named_with_the_nearest(void **state)
{
    (void)state;
    assert_load_fails("workers: 2\n\nheartbeat:\n  min: 3s\n\n  intervall: 25s\n",
                      ":6: heartbeat.intervall: unknown key; did you mean heartbeat.interval?");
    assert_load_fails("worker: 2\n", ":1: worker: unknown key; did you mean workers?");
    assert_load_fails("hearbeat: {max: 1}\n", ":1: hearbeat: unknown key; did you mean heartbeat?");
    assert_load_fails("interval: 5s\n", ":1: interval: unknown key; did you mean heartbeat.interval?");
    assert_load_fails("colour: blue\n", ":1: colour: unknown key; `holdfast serve --help` lists them all");
    assert_load_fails("\"two\\nlines\": 1\n",
                      ":1: two?lines: unknown key; `holdfast serve --help` lists them all");
    assert_load_fails("? [a]\n: 1\n", ":1: a key must be a plain word");
    assert_set_fails("heartbeat.intervall=5s",
                     "--set: heartbeat.intervall: unknown key; did you mean heartbeat.interval?");
    assert_set_fails("heartbeat=5s",
                     "--set: heartbeat: is a section, not a key; `holdfast serve --help` lists its keys");
    assert_set_fails("=5s", "--set: : unknown key; `holdfast serve --help` lists them all");
    assert_set_fails("workers", "--set: workers: has no '='; expected key=value");
}

static void a_value_of_the_wrong_kind_is_refused(void **state)
{
    static const char wants[] =
        "is not a duration such as 500ms, 25s, 10m, 24h or 7d; allowed is 100ms to 1h";
    char text[256];

    (void)state;
    snprintf(text, sizeof(text), ":2: heartbeat.interval: '25x' %s", wants);
    assert_load_fails("heartbeat:\n  interval: 25x\n", text);
    snprintf(text, sizeof(text), ":1: heartbeat.interval: '2.5s' %s", wants);
    assert_load_fails("heartbeat: {interval: 2.5s}\n", text);
    snprintf(text, sizeof(text), ":1: heartbeat.interval: '-1' %s", wants);
    assert_load_fails("heartbeat: {interval: -1}\n", text);
    assert_load_fails("workers: [1]\n",
                      ":1: workers: expected a single value, not a list; allowed is 1 to 256, or auto");
    assert_load_fails("workers: {a: 1}\n",
                      ":1: workers: expected a single value, not a mapping; allowed is 1 to 256, or auto");
    assert_load_fails("echo: maybe\n", ":1: echo: 'maybe' is neither true nor false");
    assert_load_fails("echo:\n", ":1: echo: has no value");
    assert_load_fails("heartbeat: 3\n",
                      ":1: heartbeat: is a section; expected keys in it, indented, one a line");
    assert_load_fails("- workers\n", ":1: expected `key: value` lines");
    assert_load_fails(
        "limits: {message: 64KB}\n",
        ":1: limits.message: '64KB' is not a size such as 4096, 64KiB, 1MiB or 1GiB; allowed is 16B to 4MiB");
    assert_load_fails("log: {level: chatty}\n",
                      ":1: log.level: 'chatty' is not known; allowed is debug, info, warning or error");
    assert_load_fails("listen: [[a]]\n", ":1: listen: expected a list of ADDR:PORT");
}

static void a_value_out_of_range_is_refused_and_the_bounds_are_not(void **state)
{
    struct hf_config c;

    (void)state;
    assert_load_fails("\nworkers: 257\n", ":2: workers: '257' is out of range; allowed is 1 to 256, or auto");
    assert_load_fails("workers: 0\n", ":1: workers: '0' is out of range; allowed is 1 to 256, or auto");
    assert_load_fails(
        "workers: 99999999999999999999999999\n",
        ":1: workers: '99999999999999999999999999' is out of range; allowed is 1 to 256, or auto");
    assert_set_fails("session.ttl=25h", "--set: session.ttl: '25h' is out of range; allowed is 100ms to 1d");
    /* Its product with the unit does not fit 64 bits. */
    assert_set_fails("session.ttl=18446744073709551615d",
                     "--set: session.ttl: '18446744073709551615d' is out of range; allowed is 100ms to 1d");
    /* 2^64 + 1024 bytes: what is left of it in 64 bits would be in range. */
    assert_set_fails("history.bytes=18014398509481985KiB",
                     "--set: history.bytes: '18014398509481985KiB' is out of range; allowed is 0 to 1GiB");
    assert_set_fails("history.bytes=1073741825",
                     "--set: history.bytes: '1073741825' is out of range; allowed is 0 to 1GiB");
    hf_config_default(&c);
    for (size_t i = 0; i < HF_CONFIG_KEYS; i++) {
        const struct hf_config_key *key = &hf_config_keys[i];
        const uint32_t bounds[] = {key->min, key->max};

        for (size_t b = 0; b < 2 && key->max > 0; b++) {
            char assignment[96];
            uint32_t got;

            snprintf(assignment, sizeof(assignment), "%s=%u", key->name, bounds[b]);
            assert_int_equal(hf_config_set(&c, assignment, "--set", error, sizeof(error)), 0);
            memcpy(&got, (char *)&c + key->offset, sizeof(got));
            assert_int_equal(got, bounds[b]);
        }
    }
}

static void a_key_given_twice_is_refused(void **state)
{
    (void)state;
    assert_load_fails("workers: 1\nworkers: 2\n", ":2: workers: is given twice; first in line 1");
    assert_load_fails("log:\n  level: info\nlog.level: debug\n",
                      ":3: log.level: is given twice; first in line 2");
}

static void what_is_no_yaml_is_told_with_its_line(void **state)
{
    struct hf_config c;

    (void)state;
    assert_load_fails("echo: true\nheartbeat:\n  min: \"a\n",
                      ":4: not valid YAML: found unexpected end of stream, while scanning a quoted scalar");
    assert_load_fails("a: b: c\n", ":1: not valid YAML: mapping values are not allowed in this context");
    assert_load_fails("workers: 1\n---\nworkers: 2\n", ":3: a second document begins here; one is expected");
    assert_load_fails("workers: *none\n", ":1: not valid YAML: found undefined alias");
    assert_load_fails("echo: true\nlog: {level: \xff}\n", ":2: not valid YAML: invalid leading UTF-8 octet");
    hf_config_default(&c);
    assert_int_equal(load(&c, "echo: true\n\0\n", 13), HF_EINVAL);
    assert_non_null(strstr(error, ":2: not valid YAML: control characters are not allowed"));
}

static void a_file_that_cannot_be_read_is_told(void **state)
{
    struct hf_config c;

    (void)state;
    hf_config_default(&c);
    assert_int_equal(hf_config_load(&c, "/nonexistent/holdfast.yaml", error, sizeof(error)), HF_EINVAL);
    assert_string_equal(error, "/nonexistent/holdfast.yaml: cannot be read: No such file or directory");
    assert_int_equal(hf_config_load(&c, "/", error, sizeof(error)), HF_EINVAL);
    assert_string_equal(error, "/: cannot be read: Is a directory");
    assert_int_equal(hf_config_load(&c, "/dev/zero", error, sizeof(error)), HF_EINVAL);
    assert_string_equal(error, "/dev/zero: cannot be read: File too large");
}

static void addresses_are_numeric_with_a_port(void **state)
{
    struct hf_config c;

    (void)state;
    hf_config_default(&c);
    assert_int_equal(
        hf_config_set(&c, "listen=localhost:80,0.0.0.0:1,[::]:65535", "--set", error, sizeof(error)), 0);
    assert_int_equal(c.listen_count, 3);
    assert_string_equal(c.listen[0], "127.0.0.1:80");
    assert_string_equal(c.listen[1], "0.0.0.0:1");
    assert_string_equal(c.listen[2], "[::]:65535");
    assert_int_equal(hf_config_add_listen(&c, "127.0.0.1:81", "--listen", error, sizeof(error)), 0);
    assert_int_equal(c.listen_count, 4);
    assert_int_equal(hf_config_add_listen(&c, "8000", "--listen", error, sizeof(error)), HF_EINVAL);
    assert_string_equal(error, "--listen: '8000' has no port from 1 to 65535; allowed is ADDR:PORT");
    assert_set_fails("listen=1.2.3.4:65536",
                     "--set: listen: '1.2.3.4:65536' has no port from 1 to 65535; allowed is ADDR:PORT");
    assert_set_fails("listen=1.2.3.4:",
                     "--set: listen: '1.2.3.4:' has no port from 1 to 65535; allowed is ADDR:PORT");
    assert_set_fails("listen=", "--set: listen: '' has no port from 1 to 65535; allowed is ADDR:PORT");
    assert_set_fails("listen=:80",
                     "--set: listen: ':80' has no numeric address; allowed is ADDR:PORT, such as "
                     "127.0.0.1:80, 0.0.0.0:80 or [::]:80");
    assert_set_fails("listen=::1:80",
                     "--set: listen: '::1:80' has no numeric address; allowed is ADDR:PORT, such as "
                     "127.0.0.1:80, 0.0.0.0:80 or [::]:80");
    hf_config_default(&c);
    for (int i = 0; i < HF_LISTEN_MAX - 1; i++)
        assert_int_equal(hf_config_add_listen(&c, "127.0.0.1:1", "--listen", error, sizeof(error)), 0);
    assert_int_equal(hf_config_add_listen(&c, "127.0.0.1:1", "--listen", error, sizeof(error)), HF_EINVAL);
    assert_string_equal(error, "--listen: more than 8 addresses");
}

static void certificates_are_a_list_of_pairs(void **state)
{
    static const char text[] = "listen: []\n"
                               "tls:\n"
                               "  listen: [127.0.0.1:8443, \"[::1]:8443\"]\n"
                               "  certificates:\n"
                               "    - {certificate: /etc/a.pem, key: /etc/a.key}\n"
                               "    - certificate: /etc/b.pem\n"
                               "    - /etc/c.pem:/etc/c.key\n"
                               "  min_version: \"1.3\"\n"
                               "  ciphers: ECDHE+AESGCM:!SHA1\n"
                               "  ticket_rotation: 1h\n"
                               "api: {tls: true}\n";
    struct hf_config c;

    (void)state;
    hf_config_default(&c);
    assert_int_equal(c.tls_listen_count, 0);
    assert_int_equal(c.certificate_count, 0);
    assert_int_equal(c.tls_min_version, HF_TLS_1_2);
    assert_int_equal(c.ticket_rotation_ms, 12 * 3600000);
    assert_false(c.api_tls);
    assert_int_equal(load(&c, text, strlen(text)), 0);
    assert_int_equal(c.listen_count, 0);
    assert_int_equal(c.tls_listen_count, 2);
    assert_string_equal(c.tls_listen[1], "[::1]:8443");
    assert_int_equal(c.certificate_count, 3);
    assert_string_equal(c.certificates[0].certificate, "/etc/a.pem");
    assert_string_equal(c.certificates[0].key, "/etc/a.key");
    assert_string_equal(c.certificates[1].certificate, "/etc/b.pem");
    assert_string_equal(c.certificates[1].key, "");
    assert_string_equal(c.certificates[2].key, "/etc/c.key");
    assert_int_equal(c.tls_min_version, HF_TLS_1_3);
    assert_string_equal(c.tls_ciphers, "ECDHE+AESGCM:!SHA1");
    assert_int_equal(c.ticket_rotation_ms, 3600000);
    assert_true(c.api_tls);
    assert_int_equal(hf_config_check(&c, error, sizeof(error)), 0);
    assert_int_equal(hf_config_set(&c, "tls.certificates=x.pem:x.key,y.pem", "--set", error, sizeof(error)),
                     0);
    assert_int_equal(c.certificate_count, 2);
    assert_string_equal(c.certificates[0].key, "x.key");
    assert_string_equal(c.certificates[1].certificate, "y.pem");
    assert_string_equal(c.certificates[1].key, "");
    assert_int_equal(hf_config_set(&c, "tls.certificates=none", "--set", error, sizeof(error)), 0);
    assert_int_equal(hf_config_check(&c, error, sizeof(error)), HF_EINVAL);
    assert_non_null(strstr(error, ":3: tls.listen: needs a certificate: set tls.certificates"));
    assert_int_equal(hf_config_set(&c, "tls.listen=none", "--set", error, sizeof(error)), 0);
    assert_int_equal(hf_config_set(&c, "listen=127.0.0.1:1", "--set", error, sizeof(error)), 0);
    assert_int_equal(hf_config_check(&c, error, sizeof(error)), HF_EINVAL);
    assert_non_null(strstr(error, ":11: api.tls: needs a certificate: set tls.certificates"));
}

static void what_is_wrong_with_certificates_is_told(void **state)
{
    char assignment[400] = "tls.certificates=";
    struct hf_config c;

    (void)state;
    assert_load_fails("tls:\n  certificates:\n    - {key: a}\n",
                      ":3: tls.certificates: has no `certificate`");
    assert_load_fails("tls:\n  certificates:\n    - {certificate: a, kay: b}\n",
                      ":3: tls.certificates: expected `certificate` and `key` here");
    assert_load_fails("tls:\n  certificates:\n    - certificate: a\n      certificate: b\n",
                      ":4: tls.certificates: `certificate` is given twice");
    assert_load_fails("tls:\n  certificates:\n    - {certificate: [a]}\n",
                      ":3: tls.certificates: expected the path of a file");
    assert_load_fails("tls:\n  certificates:\n    - {certificate: }\n",
                      ":3: tls.certificates: expected the path of a file");
    assert_load_fails("tls:\n  certificates:\n    - [a]\n",
                      ":3: tls.certificates: expected a list of {certificate: FILE, key: FILE}");
    assert_load_fails("tls:\n  certificates: {certificate: a}\n",
                      ":2: tls.certificates: expected a single value, not a mapping; allowed is "
                      "CERTIFICATE:KEY, paths of PEM "
                      "files; or {certificate, key} in the file");
    assert_load_fails("tls: {listen: [{a: b}]}\n", ":1: tls.listen: expected a list of ADDR:PORT");
    assert_load_fails("tls: {min_version: 1.1}\n",
                      ":1: tls.min_version: '1.1' is not known; allowed is 1.2 or 1.3");
    assert_set_fails(
        "tls.certificates=:a",
        "--set: tls.certificates: has no certificate; allowed is CERTIFICATE:KEY, paths of PEM files");
    assert_set_fails("tls.ciphers=a b",
                     "--set: tls.ciphers: must be up to 255 printable ASCII characters without spaces");
    memset(assignment + strlen(assignment), 'x', HF_CONFIG_PATH_MAX);
    hf_config_default(&c);
    assert_int_equal(hf_config_set(&c, assignment, "--set", error, sizeof(error)), HF_EINVAL);
    assert_non_null(strstr(error, "is no path of up to 255 bytes"));
    snprintf(assignment, sizeof(assignment), "tls.certificates=a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a");
    assert_int_equal(hf_config_set(&c, assignment, "--set", error, sizeof(error)), 0);
    assert_int_equal(c.certificate_count, HF_CERTIFICATES_MAX);
    memcpy(assignment + strlen(assignment), ",a", 3);
    assert_int_equal(hf_config_set(&c, assignment, "--set", error, sizeof(error)), HF_EINVAL);
    assert_string_equal(error, "--set: tls.certificates: more than 16 certificates");
}

static void an_address_is_used_once(void **state)
{
    struct hf_config c;

    (void)state;
    hf_config_default(&c);
    assert_int_equal(hf_config_set(&c, "tls.certificates=a", "--set", error, sizeof(error)), 0);
    assert_int_equal(hf_config_set(&c, "tls.listen=127.0.0.1:8000", "--set", error, sizeof(error)), 0);
    assert_int_equal(hf_config_check(&c, error, sizeof(error)), HF_EINVAL);
    assert_string_equal(error, "tls.listen: 127.0.0.1:8000 is given twice");
    assert_int_equal(hf_config_set(&c, "tls.listen=127.0.0.1:8001", "--set", error, sizeof(error)), 0);
    assert_int_equal(hf_config_check(&c, error, sizeof(error)), HF_EINVAL);
    assert_string_equal(error, "api.listen: 127.0.0.1:8001 is an address for clients (tls.listen) already");
}

static void proxies_are_networks(void **state)
{
    struct hf_config c;

    (void)state;
    hf_config_default(&c);
    assert_int_equal(c.admission_rate % HF_ADMISSION_PER_CPU, 0); /* Of each CPU, so many as there are. */
    assert_true(c.admission_rate >= HF_ADMISSION_PER_CPU);
    assert_int_equal(c.proxy_trusted_count, 0);
    assert_int_equal(
        hf_config_set(&c, "proxy.trusted=10.0.0.0/8,::1,2001:db8::/32", "--set", error, sizeof(error)), 0);
    assert_int_equal(c.proxy_trusted_count, 3);
    assert_int_equal(c.proxy_trusted[0].bits, 104);
    assert_int_equal(hf_config_set(&c, "proxy.trusted=none", "--set", error, sizeof(error)), 0);
    assert_int_equal(c.proxy_trusted_count, 0);
    assert_set_fails("proxy.trusted=10.0.0.1/8", "--set: proxy.trusted: '10.0.0.1/8' is no network; allowed "
                                                 "is ADDR/BITS with all bits behind the first "
                                                 "BITS 0, such as 10.0.0.0/8 or 2001:db8::/32");
    for (int i = 0; i < HF_NETWORKS_MAX; i++)
        assert_int_equal(hf_config_network_append(&c, HF_STR("::1"), error, sizeof(error)), 0);
    assert_int_equal(hf_config_network_append(&c, HF_STR("::1"), error, sizeof(error)), HF_EINVAL);
    assert_string_equal(error, "more than 32 networks");
    hf_config_default(&c);
    assert_int_equal(hf_config_set(&c, "proxy.protocol=true", "--set", error, sizeof(error)), 0);
    assert_int_equal(hf_config_check(&c, error, sizeof(error)), HF_EINVAL);
    assert_string_equal(error,
                        "proxy.protocol: needs proxy.trusted: the proxies that may send the PROXY header");
    assert_int_equal(hf_config_set(&c, "proxy.trusted=::1", "--set", error, sizeof(error)), 0);
    assert_int_equal(hf_config_check(&c, error, sizeof(error)), 0);
}

static void assert_demo_check(const char *const *set, const char *want)
{
    struct hf_config c;

    error[0] = '\0';
    hf_config_default(&c);
    for (; *set != NULL; set++)
        assert_int_equal(hf_config_set(&c, *set, "--set", error, sizeof(error)), 0);
    assert_int_equal(hf_config_check(&c, error, sizeof(error)), want[0] == '\0' ? 0 : HF_EINVAL);
    assert_string_equal(error, want);
}

/* "on a non-loopback address without any auth the server refuses to start unless told to" */
static void nobody_serves_others_without_saying_so(void **state)
{
    static const char why[] =
        "auth.keys: none, so that everybody who reaches 10.0.0.1:2 could read and publish "
        "everything: set the keys that sign tokens, or auth.anonymous=true to allow it, or "
        "listen on 127.0.0.1";

    (void)state;
    assert_demo_check((const char *[]){"listen=127.0.0.1:1,[::1]:1", NULL}, "");
    assert_demo_check((const char *[]){"listen=127.0.0.1:1,10.0.0.1:2", NULL}, why);
    assert_demo_check(
        (const char *[]){"listen=none", "tls.listen=10.0.0.1:2", "tls.certificates=a.pem", NULL}, why);
    assert_demo_check((const char *[]){"listen=10.0.0.1:2", "demo.remote=true", NULL}, why);
    assert_demo_check((const char *[]){"listen=10.0.0.1:2", "auth.anonymous=true", NULL}, "");
    assert_demo_check((const char *[]){"listen=10.0.0.1:2", "auth.keys=HS256:/a", NULL}, "");
}

static void the_keys_of_tokens_are_a_list(void **state)
{
    struct hf_config c;

    (void)state;
    hf_config_default(&c);
    assert_int_equal(c.auth_key_count, 0);
    assert_int_equal(c.auth_leeway_ms, 10000);
    assert_int_equal(
        hf_config_set(&c, "auth.keys=RS256:/a:b,k1=HS512:c,a=b:c==EdDSA:d", "--set", error, sizeof(error)),
        0);
    assert_int_equal(c.auth_key_count, 3);
    assert_string_equal(c.auth_keys[0].kid, "");
    assert_int_equal(c.auth_keys[0].alg, HF_JWT_RS256);
    assert_string_equal(c.auth_keys[0].path, "/a:b");
    assert_string_equal(c.auth_keys[1].kid, "k1");
    assert_int_equal(c.auth_keys[1].alg, HF_JWT_HS512);
    assert_string_equal(c.auth_keys[2].kid, "a=b:c=");
    assert_int_equal(c.auth_keys[2].alg, HF_JWT_EDDSA);
    assert_string_equal(c.auth_keys[2].path, "d");
    assert_set_fails(
        "auth.keys=none:/a",
        "--set: auth.keys: expected KID=ALG:FILE, with one of HS256, HS384, HS512, RS256, ES256 or "
        "EdDSA for ALG");
    assert_set_fails(
        "auth.keys=HS256",
        "--set: auth.keys: expected KID=ALG:FILE, with one of HS256, HS384, HS512, RS256, ES256 or "
        "EdDSA for ALG");
    assert_set_fails("auth.keys=HS256:", "--set: auth.keys: the key's file must be a path of 1 to 255 bytes");
    assert_set_fails("auth.keys=a b=HS256:/a",
                     "--set: auth.keys: the kid must be up to 64 printable ASCII characters without spaces");
    assert_set_fails("auth.keys=k=HS256:/a,k=HS256:/b", "--set: auth.keys: two keys have the kid 'k'");
    assert_set_fails("auth.keys=HS256:/a,HS384:/b",
                     "--set: auth.keys: two keys have no kid; name them: KID=ALG:FILE");
    hf_config_default(&c);
    for (int i = 0; i < HF_AUTH_KEYS_MAX; i++) {
        char key[32];

        snprintf(key, sizeof(key), "%d=HS256:/a", i);
        assert_int_equal(hf_config_auth_key_append(&c, hf_str_from(key), error, sizeof(error)), 0);
    }
    assert_int_equal(hf_config_auth_key_append(&c, HF_STR("x=HS256:/a"), error, sizeof(error)), HF_EINVAL);
    assert_string_equal(error, "more than 16 keys");
}

#define HASH "00112233445566778899aabbccddeeffFFEEDDCCBBAA99887766554433221100"

static void the_keys_of_the_api_are_hashes(void **state)
{
    struct hf_config c;

    (void)state;
    hf_config_default(&c);
    assert_int_equal(c.api_key_count, 0);
    assert_int_equal(
        hf_config_set(&c, "api.keys=backend=full:" HASH ",grafana=read:" HASH, "--set", error, sizeof(error)),
        0);
    assert_int_equal(c.api_key_count, 2);
    assert_string_equal(c.api_keys[0].name, "backend");
    assert_true(c.api_keys[0].full);
    assert_string_equal(c.api_keys[1].name, "grafana");
    assert_false(c.api_keys[1].full);
    assert_memory_equal(c.api_keys[1].hash,
                        "\x00\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb\xcc\xdd\xee\xff"
                        "\xff\xee\xdd\xcc\xbb\xaa\x99\x88\x77\x66\x55\x44\x33\x22\x11\x00",
                        HF_API_HASH_BYTES);
    assert_set_fails("api.keys=a=full:" HASH ",a=read:" HASH, "--set: api.keys: two keys have the name 'a'");
    assert_set_fails("api.keys=a=write:" HASH, "--set: api.keys: 'a' may be full or read, and nothing else");
    assert_set_fails("api.keys=a=full:0123",
                     "--set: api.keys: 'a' needs the SHA-256 of its key in 64 hexadecimal "
                     "digits; the key itself does not belong here");
    assert_set_fails("api.keys=a=full:g" HASH,
                     "--set: api.keys: 'a' needs the SHA-256 of its key in 64 hexadecimal "
                     "digits; the key itself does not belong here");
    assert_set_fails("api.keys==full:" HASH,
                     "--set: api.keys: the name must be 1 to 64 printable ASCII characters without spaces");
    assert_set_fails("api.keys=secret",
                     "--set: api.keys: expected NAME=full:HASH or NAME=read:HASH, as `holdfast "
                     "token api-key NAME` prints it");
}

static void the_demo_stays_on_this_machine_unless_told_otherwise(void **state)
{
    (void)state;
    assert_demo_check((const char *[]){"demo.enabled=true", NULL}, "");
    assert_demo_check((const char *[]){"demo.enabled=true", "listen=localhost:1,[::1]:1", NULL}, "");
    assert_demo_check((const char *[]){"demo.enabled=true", "listen=127.0.0.1:1,10.0.0.1:2", NULL},
                      "demo.enabled: lets everybody who reaches 10.0.0.1:2 cut connections and kill workers; "
                      "listen on 127.0.0.1, or set demo.remote=true to allow it");
    assert_demo_check((const char *[]){"demo.enabled=true", "api.listen=[::]:2", "api.key=k", NULL},
                      "demo.enabled: lets everybody who reaches [::]:2 cut connections and kill workers; "
                      "listen on 127.0.0.1, or set demo.remote=true to allow it");
    assert_demo_check((const char *[]){"demo.enabled=true", "demo.remote=true", "listen=0.0.0.0:1",
                                       "api.listen=0.0.0.0:2", NULL},
                      "");
    assert_demo_check(
        (const char *[]){"listen=0.0.0.0:1", "api.listen=0.0.0.0:2", "auth.anonymous=true", NULL}, "");
    for (int i = 0; i < 2; i++)
        assert_demo_check(
            (const char *[]){"demo.enabled=true", i == 0 ? "api.listen=none" : "api.listen=unix:/tmp/a",
                             NULL},
            "demo.enabled: needs a port for its page: set api.listen to ADDR:PORT, such as 127.0.0.1:8001");
    assert_demo_check(
        (const char *[]){"demo.enabled=true", "api.tls=true", "tls.certificates=a.pem:a.key", NULL},
        "demo.enabled: needs tls.listen with api.tls: a page that came by TLS may connect by "
        "TLS only");
}

static void the_api_may_be_a_unix_socket(void **state)
{
    struct hf_config c;

    (void)state;
    hf_config_default(&c);
    assert_int_equal(hf_config_set(&c, "api.listen=unix:/run/holdfast/api", "--set", error, sizeof(error)),
                     0);
    assert_string_equal(c.api_listen, "unix:/run/holdfast/api");
    assert_set_fails("api.listen=unix:api", "--set: api.listen: 'unix:api' is no Unix socket; allowed is "
                                            "unix: with an absolute path of up to 107 bytes");
    assert_set_fails(
        "listen=unix:/run/holdfast/ws",
        "--set: listen: 'unix:/run/holdfast/ws' has no port from 1 to 65535; allowed is ADDR:PORT");
    assert_set_fails("listen=127.0.0.1:0",
                     "--set: listen: '127.0.0.1:0' has no port from 1 to 65535; allowed is ADDR:PORT");
}

static void a_secret_is_not_shown(void **state)
{
    struct hf_config c;
    char assignment[300] = "api.key=";

    (void)state;
    assert_set_fails("api.key=not for eyes",
                     "--set: api.key: must be up to 255 printable ASCII characters without spaces");
    memset(assignment + 8, 'k', 255);
    hf_config_default(&c);
    assert_int_equal(hf_config_set(&c, assignment, "--set", error, sizeof(error)), 0);
    assert_int_equal(strlen(c.api_key), 255);
    assignment[8 + 255] = 'k';
    assert_int_equal(hf_config_set(&c, assignment, "--set", error, sizeof(error)), HF_EINVAL);
}

static void what_does_not_go_together_is_told_with_its_place(void **state)
{
    struct hf_config c;
    char expected[256];

    (void)state;
    hf_config_default(&c);
    assert_int_equal(load(&c, "heartbeat:\n  interval: 5s\n", 26), 0);
    assert_int_equal(hf_config_check(&c, error, sizeof(error)), HF_EINVAL);
    snprintf(expected, sizeof(expected),
             "%s:2: heartbeat.interval: 5s is not between heartbeat.min (10s) and heartbeat.max (1m)", path);
    assert_string_equal(error, expected);
    assert_int_equal(hf_config_set(&c, "heartbeat.interval=2m", "--set", error, sizeof(error)), 0);
    assert_int_equal(hf_config_check(&c, error, sizeof(error)), HF_EINVAL);
    assert_string_equal(error,
                        "heartbeat.interval: 2m is not between heartbeat.min (10s) and heartbeat.max (1m)");

    hf_config_default(&c);
    assert_int_equal(hf_config_set(&c, "limits.message=240KiB", "--set", error, sizeof(error)), 0);
    assert_int_equal(hf_config_check(&c, error, sizeof(error)), 0);
    assert_int_equal(hf_config_set(&c, "limits.message=245761", "--set", error, sizeof(error)), 0);
    assert_int_equal(hf_config_check(&c, error, sizeof(error)), HF_EINVAL);
    assert_string_equal(
        error, "memory.segment: 1MiB is too small; with this limits.message it must be at least 1048580B");

    hf_config_default(&c);
    assert_int_equal(hf_config_add_listen(&c, "127.0.0.1:8000", "--listen", error, sizeof(error)), 0);
    assert_int_equal(hf_config_check(&c, error, sizeof(error)), HF_EINVAL);
    assert_string_equal(error, "listen: 127.0.0.1:8000 is given twice");
    assert_int_equal(hf_config_set(&c, "listen=127.0.0.1:8001", "--set", error, sizeof(error)), 0);
    assert_int_equal(hf_config_check(&c, error, sizeof(error)), HF_EINVAL);
    assert_string_equal(error, "api.listen: 127.0.0.1:8001 is an address for clients (listen) already");
    c.listen_count = 0;
    assert_int_equal(hf_config_check(&c, error, sizeof(error)), HF_EINVAL);
}

/* However a file is cut, it is loaded or refused in one line. */
static void hooks_go_to_urls_and_are_signed(void **state)
{
    static const char *const bad[] = {"ftp://a/", "http:///x",  "http://:80/", "http://", "a",
                                      "",         "http://a /", "http://a/#b", "HTTP://a"};
    struct hf_config c;
    char assignment[400];

    (void)state;
    hf_config_default(&c);
    assert_string_equal(c.hooks.url[HF_HOOK_CALL], "");
    assert_int_equal(hf_config_set(&c, "hooks.call.url=https://[::1]:9/x?y=@", "--set", error, sizeof(error)),
                     0);
    assert_string_equal(c.hooks.url[HF_HOOK_CALL], "https://[::1]:9/x?y=@");
    assert_int_equal(hf_config_check(&c, error, sizeof(error)), HF_EINVAL);
    assert_string_equal(
        error, "hooks.secret: is missing: the backend knows by its signature that a request is ours");
    assert_int_equal(hf_config_set(&c, "hooks.secret=0123456789abcde", "--set", error, sizeof(error)), 0);
    assert_int_equal(hf_config_check(&c, error, sizeof(error)), HF_EINVAL);
    assert_string_equal(error, "hooks.secret: is too short; it must have 16 characters at least");
    assert_int_equal(hf_config_set(&c, "hooks.secret=0123456789abcdef", "--set", error, sizeof(error)), 0);
    assert_int_equal(hf_config_check(&c, error, sizeof(error)), 0);
    assert_int_equal(hf_config_set(&c, "hooks.call.url=none", "--set", error, sizeof(error)), 0);
    assert_string_equal(c.hooks.url[HF_HOOK_CALL], "");
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        snprintf(assignment, sizeof(assignment), "hooks.call.url=%s", bad[i]);
        assert_int_equal(hf_config_set(&c, assignment, "--set", error, sizeof(error)), HF_EINVAL);
        assert_non_null(strstr(error, "is no URL; allowed is http:// or https:// with a host"));
    }
    assert_set_fails(
        "hooks.call.url=http://user:word@host/",
        "--set: hooks.call.url: has a user or password in it; requests are signed with hooks.secret instead");
    assert_set_fails("hooks.connect.fail=maybe",
                     "--set: hooks.connect.fail: 'maybe' is not known; allowed is closed or open");
    snprintf(assignment, sizeof(assignment), "hooks.call.url=http://%0*d", HF_URL_MAX - 1 - 7, 0);
    assert_int_equal(hf_config_set(&c, assignment, "--set", error, sizeof(error)), 0);
    snprintf(assignment, sizeof(assignment), "hooks.call.url=http://%0*d", HF_URL_MAX - 7, 0);
    assert_int_equal(hf_config_set(&c, assignment, "--set", error, sizeof(error)), HF_EINVAL);
}

static void a_file_cut_anywhere_is_loaded_or_refused_in_one_line(void **state)
{
    static const char text[] = "listen: [127.0.0.1:9000, \"[::1]:9000\"]\nheartbeat:\n  interval: 15s\n"
                               "log: {level: 'debug'}\n? api.key\n: |\n  a\n";

    (void)state;
    for (size_t len = 0; len < sizeof(text); len++) {
        struct hf_config c;

        hf_config_default(&c);
        if (load(&c, text, len) < 0) {
            assert_memory_equal(error, path, strlen(path));
            assert_null(strchr(error, '\n'));
        }
    }
}

/* docs/configuration.md is what `holdfast serve --config-reference` prints. */
static void the_reference_is_current(void **state)
{
    const char *root = getenv("HF_SOURCE_ROOT");
    char name[512];
    struct hf_buf expected;
    char *text;
    size_t len;
    FILE *f;

    (void)state;
    assert_non_null(root);
    hf_buf_init(&expected, 1 << 20);
    hf_config_describe(&expected);
    assert_false(expected.failed);
    snprintf(name, sizeof(name), "%s/docs/configuration.md", root);
    f = fopen(name, "r");
    assert_non_null(f);
    text = malloc(expected.len + 1);
    assert_non_null(text);
    len = fread(text, 1, expected.len + 1, f);
    fclose(f);
    assert_int_equal(len, expected.len);
    assert_memory_equal(text, expected.data, len);
    free(text);
    hf_buf_release(&expected);
}

static void the_help_names_every_key(void **state)
{
    struct hf_buf help;

    (void)state;
    hf_buf_init(&help, 1 << 20);
    hf_config_help(&help);
    hf_buf_put(&help, "", 1);
    for (size_t i = 0; i < HF_CONFIG_KEYS; i++)
        assert_non_null(strstr((char *)help.data, hf_config_keys[i].name));
    hf_buf_release(&help);
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
        cmocka_unit_test(the_defaults_are_those_of_the_protocol),
        cmocka_unit_test(a_file_nested_by_the_dots_is_read),
        cmocka_unit_test(an_empty_file_changes_nothing),
        cmocka_unit_test(an_unknown_key_is_named_with_the_nearest),
        cmocka_unit_test(a_value_of_the_wrong_kind_is_refused),
        cmocka_unit_test(a_value_out_of_range_is_refused_and_the_bounds_are_not),
        cmocka_unit_test(a_key_given_twice_is_refused),
        cmocka_unit_test(what_is_no_yaml_is_told_with_its_line),
        cmocka_unit_test(a_file_that_cannot_be_read_is_told),
        cmocka_unit_test(addresses_are_numeric_with_a_port),
        cmocka_unit_test(certificates_are_a_list_of_pairs),
        cmocka_unit_test(what_is_wrong_with_certificates_is_told),
        cmocka_unit_test(an_address_is_used_once),
        cmocka_unit_test(proxies_are_networks),
        cmocka_unit_test(the_api_may_be_a_unix_socket),
        cmocka_unit_test(a_secret_is_not_shown),
        cmocka_unit_test(what_does_not_go_together_is_told_with_its_place),
        cmocka_unit_test(hooks_go_to_urls_and_are_signed),
        cmocka_unit_test(a_file_cut_anywhere_is_loaded_or_refused_in_one_line),
        cmocka_unit_test(the_reference_is_current),
        cmocka_unit_test(the_help_names_every_key),
        cmocka_unit_test(the_demo_stays_on_this_machine_unless_told_otherwise),
        cmocka_unit_test(nobody_serves_others_without_saying_so),
        cmocka_unit_test(the_keys_of_tokens_are_a_list),
        cmocka_unit_test(the_keys_of_the_api_are_hashes),
    };

    return cmocka_run_group_tests(tests, make_file, remove_file);
}
