/* IP addresses as text and bytes. getaddrinfo's inet_pton() and inet_ntop() are the judges. */
#include "base/ip.h"

#include "base/rng.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const char *const v6_texts[] = {"::",
                                       "::1",
                                       "1::",
                                       "1::8",
                                       "1:2:3:4:5:6:7:8",
                                       "1:2:3:4:5:6:7::",
                                       "::2:3:4:5:6:7:8",
                                       "1::4:5:6:7",
                                       "fe80::1:2",
                                       "2001:DB8::abCD",
                                       "::1.2.3.4",
                                       "::ffff:1.2.3.4",
                                       "64:ff9b::1.2.3.4",
                                       "1:2:3:4:5:6:1.2.3.4",
                                       "0:0:1:0:0:0:1:0",
                                       "1:0:0:2:0:0:0:3",
                                       "0:1::",
                                       "a:b:c:d:e:f::",
                                       "1:2:3:4:5::1.2.3.4"};
static const char *const bad_texts[] = {"",
                                        "1",
                                        "1.2.3",
                                        "1.2.3.4.5",
                                        "1.2.3.256",
                                        "01.2.3.4",
                                        "1.2.3.4 ",
                                        " 1.2.3.4",
                                        "1.2.3.",
                                        ":",
                                        ":::",
                                        "1:",
                                        ":1",
                                        "1::2::3",
                                        "12345::",
                                        "1:2:3:4:5:6:7",
                                        "1:2:3:4:5:6:7:8:9",
                                        "::1%eth0",
                                        "g::",
                                        "1:2:3:4:5:6:7:1.2.3.4",
                                        "::1.2.3",
                                        "1.2.3.4::",
                                        "1:2:3:4::5:6:7:8:9",
                                        "::1:",
                                        "1.2.3.4\n"};

static void check_against_inet(const char *text)
{
    struct hf_ip ip;
    uint8_t want[16];
    int good = inet_pton(AF_INET6, text, want) == 1;

    assert_int_equal(hf_ip_parse(hf_str_from(text), &ip), good ? 0 : HF_EINVAL);
    if (good)
        assert_memory_equal(ip.bytes, want, sizeof(want));
}

static void texts_as_inet_reads_them(void **state)
{
    struct hf_ip ip;

    (void)state;
    for (size_t i = 0; i < sizeof(v6_texts) / sizeof(v6_texts[0]); i++) {
        check_against_inet(v6_texts[i]);
        assert_int_equal(hf_ip_parse(hf_str_from(v6_texts[i]), &ip), 0);
    }
    for (size_t i = 0; i < sizeof(bad_texts) / sizeof(bad_texts[0]); i++)
        assert_int_equal(hf_ip_parse(hf_str_from(bad_texts[i]), &ip), HF_EINVAL);
}

/* Each text with one character replaced, cut and doubled: whatever it is then, inet_pton() says the same. */
static void mangled_texts(void **state)
{
    static const char letters[] = "0:.1fg]";

    (void)state;
    for (size_t i = 0; i < sizeof(v6_texts) / sizeof(v6_texts[0]); i++) {
        for (size_t at = 0; at < strlen(v6_texts[i]); at++) {
            char text[64];

            for (const char *c = letters; *c != '\0'; c++) {
                snprintf(text, sizeof(text), "%s", v6_texts[i]);
                text[at] = *c;
                if (strchr(text, ':') != NULL)
                    check_against_inet(text);
            }
            snprintf(text, sizeof(text), "%.*s%s", (int)at, v6_texts[i], v6_texts[i] + at + 1);
            if (strchr(text, ':') != NULL)
                check_against_inet(text);
        }
    }
}

static void random_addresses_go_round(void **state)
{
    struct hf_rng rng = {7};

    (void)state;
    for (int i = 0; i < 20000; i++) {
        struct hf_endpoint e = {.port = 0}, back;
        char text[HF_IP_TEXT_BYTES], want[64];

        for (int k = 0; k < 16; k++) /* Many zeros. */
            e.ip.bytes[k] = hf_rng_below(&rng, 3) == 0 ? (uint8_t)hf_rng_next(&rng) : 0;
        e.ip.bytes[0] |= 0x20; /* inet_ntop() writes ::a.b.c.d in a form of its own. */
        inet_ntop(AF_INET6, e.ip.bytes, want, sizeof(want));
        (void)hf_endpoint_format(&e, text);
        assert_string_equal(text, want);
        e.port = (uint16_t)hf_rng_below(&rng, 65536);
        (void)hf_endpoint_format(&e, text);
        assert_int_equal(hf_endpoint_parse(hf_str_from(text), &back), 0);
        assert_memory_equal(&back.ip, &e.ip, sizeof(e.ip));
        assert_int_equal(back.port, e.port);
    }
}

static void endpoints(void **state)
{
    static const struct {
        const char *text, *canonical;
        int port;
    } good[] = {{"192.0.2.1", "192.0.2.1", 0},
                {"192.0.2.1:80", "192.0.2.1:80", 80},
                {"[2001:db8::1]", "2001:db8::1", 0},
                {"[2001:db8::1]:65535", "[2001:db8::1]:65535", 65535},
                {"2001:db8::1", "2001:db8::1", 0},
                {"::ffff:192.0.2.1", "192.0.2.1", 0},
                {"[::ffff:192.0.2.1]:7", "192.0.2.1:7", 7}};
    static const char *const bad[] = {"192.0.2.1:", "192.0.2.1:65536", "192.0.2.1:08", "[192.0.2.1]:80",
                                      "[::1]80",    "[::1]:",          "[::1",         "::1]:80",
                                      "unknown",    "_hidden",         ":80",          "[]:80",
                                      "["};
    struct hf_endpoint e;
    char text[HF_IP_TEXT_BYTES];

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_int_equal(hf_endpoint_parse(hf_str_from(good[i].text), &e), 0);
        assert_int_equal(e.port, good[i].port);
        assert_int_equal(hf_endpoint_format(&e, text), strlen(good[i].canonical));
        assert_string_equal(text, good[i].canonical);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(hf_endpoint_parse(hf_str_from(bad[i]), &e), HF_EINVAL);
}

static bool in_network(const char *network, const char *address)
{
    struct hf_network n;
    struct hf_ip ip;

    assert_int_equal(hf_network_parse(hf_str_from(network), &n), 0);
    assert_int_equal(hf_ip_parse(hf_str_from(address), &ip), 0);
    return hf_network_any(&n, 1, &ip);
}

static void networks(void **state)
{
    static const char *const bad[] = {"10.0.0.0/33", "10.0.0.1/8",  "::/129", "2001:db8::1/64",
                                      "10.0.0.0/",   "10.0.0.0/08", "/8",     "10.0.0.0/8/8",
                                      "unix"};
    struct hf_network n;

    (void)state;
    assert_true(in_network("10.0.0.0/8", "10.255.0.1"));
    assert_true(in_network("10.0.0.0/8", "::ffff:10.1.2.3"));
    assert_false(in_network("10.0.0.0/8", "11.0.0.0"));
    assert_false(in_network("10.0.0.0/8", "a00::"));
    assert_true(in_network("0.0.0.0/0", "1.2.3.4"));
    assert_false(in_network("0.0.0.0/0", "::1"));
    assert_true(in_network("::/0", "1.2.3.4"));
    assert_true(in_network("192.0.2.7", "192.0.2.7"));
    assert_false(in_network("192.0.2.7", "192.0.2.6"));
    assert_true(in_network("2001:db8:0:8000::/49", "2001:db8:0:ffff::1"));
    assert_false(in_network("2001:db8:0:8000::/49", "2001:db8:0:7fff::1"));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(hf_network_parse(hf_str_from(bad[i]), &n), HF_EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_as_inet_reads_them),
        cmocka_unit_test(mangled_texts),
        cmocka_unit_test(random_addresses_go_round),
        cmocka_unit_test(endpoints),
        cmocka_unit_test(networks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
