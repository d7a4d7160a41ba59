/* Whose connection a proxy passes on: the PROXY header, and the headers Forwarded and X-Forwarded-For. */
#include "ws/forwarded.h"
#include "ws/proxy_header.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- PROXY, version 2 ---- */

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define TCP4 SIGNATURE "\x21\x11\0\x0c\xc0\0\2\1\x0a\0\0\1\x12\x67\x1f\x40"
#define TCP6                                                                                                 \
    SIGNATURE "\x21\x21\0\x24\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\2"   \
              "\x12\x67\x1f\x40"

/* A header and what is expected of it; size without the literal's NUL. */
struct proxy_case {
    const char *data;
    size_t len;
    int source; /* or HF_EBADMSG */
    const char *client;
};

#define CASE(text, source, client)                                                                           \
    {                                                                                                        \
        text, sizeof(text) - 1, source, client                                                               \
    }

static const struct proxy_case proxy_cases[] = {
    CASE(TCP4, HF_PROXY_CLIENT, "192.0.2.1:4711"),
    CASE(TCP6, HF_PROXY_CLIENT, "[2001:db8::1]:4711"),
    CASE(SIGNATURE "\x20\0\0\0", HF_PROXY_OWN, NULL),
    /* LOCAL: "the receiver must ... discard the protocol block including the family which is ignored" */
    CASE(SIGNATURE "\x20\x99\0\3abc", HF_PROXY_OWN, NULL),
    CASE(SIGNATURE "\x21\0\0\0", HF_PROXY_OWN, NULL),
    CASE(SIGNATURE "\x21\x11\0\x14\xc0\0\2\1\x0a\0\0\1\x12\x67\x1f\x40\x04\0\5abcde", HF_PROXY_CLIENT,
         "192.0.2.1:4711"),
    CASE(SIGNATURE "\x21\x11\0\x13\xc0\0\2\1\x0a\0\0\1\x12\x67\x1f\x40\3\0\4\0\0\0\0", HF_EBADMSG, NULL),
    CASE(SIGNATURE "\x21\x11\0\x12\xc0\0\2\1\x0a\0\0\1\x12\x67\x1f\x40\3\0\3\0\0\0", HF_EBADMSG, NULL),
    CASE(SIGNATURE "\x21\x11\0\x0e\xc0\0\2\1\x0a\0\0\1\x12\x67\x1f\x40\4\0", HF_EBADMSG, NULL),
    CASE(SIGNATURE "\x21\x11\0\x10\xc0\0\2\1\x0a\0\0\1\x12\x67\x1f\x40\4\0\2a", HF_EBADMSG, NULL),
    CASE(SIGNATURE "\x21\x11\0\x0b\xc0\0\2\1\x0a\0\0\1\x12\x67\x1f", HF_EBADMSG, NULL),
    CASE(SIGNATURE "\x21\x12\0\x0c\xc0\0\2\1\x0a\0\0\1\x12\x67\x1f\x40", HF_EBADMSG, NULL),
    CASE(SIGNATURE "\x22\x11\0\x0c\xc0\0\2\1\x0a\0\0\1\x12\x67\x1f\x40", HF_EBADMSG, NULL),
    CASE(SIGNATURE "\x11\x11\0\x0c\xc0\0\2\1\x0a\0\0\1\x12\x67\x1f\x40", HF_EBADMSG, NULL),
    CASE(SIGNATURE "\x21\x11\xff\xff", HF_EBADMSG, NULL),
    CASE("GET / HTTP/1.1\r\n", HF_EBADMSG, NULL),
    CASE("PROXY TCP4 192.0.2.1 10.0.0.1 4711 8000\r\n", HF_EBADMSG, NULL),
    CASE("\x16\3\1\2\0", HF_EBADMSG, NULL),
};

static int parse_copy(struct hf_proxy_header *h, const char *data, size_t len)
{
    uint8_t *copy = malloc(len > 0 ? len : 1); /* Of exactly that size, for the sanitizers. */
    int got;

    assert_non_null(copy);
    memcpy(copy, data, len);
    got = hf_proxy_header_parse(h, copy, len);
    free(copy);
    return got;
}

static void check_source(const struct hf_proxy_header *h, int got, const struct proxy_case *c)
{
    char text[HF_IP_TEXT_BYTES];

    if (c->source < 0) {
        assert_int_equal(got, HF_EBADMSG);
        assert_non_null(h->reason);
        return;
    }
    assert_int_equal(got, c->len);
    assert_int_equal(h->source, c->source);
    if (c->client != NULL) {
        (void)hf_endpoint_format(&h->client, text);
        assert_string_equal(text, c->client);
    }
}

/* Whole; then cut at every place: until the end it is either unknown or found bad already; then with what comes behind it. */
static void headers(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(proxy_cases) / sizeof(proxy_cases[0]); i++) {
        const struct proxy_case *c = &proxy_cases[i];
        struct hf_proxy_header h;
        char longer[256];

        check_source(&h, parse_copy(&h, c->data, c->len), c);
        for (size_t len = 0; len < c->len; len++) {
            int got = parse_copy(&h, c->data, len);

            assert_true(got == 0 || (got == HF_EBADMSG && c->source < 0));
        }
        memcpy(longer, c->data, c->len);
        memset(longer + c->len, 'G', 20);
        check_source(&h, parse_copy(&h, longer, c->len + 20), c);
    }
}

static uint32_t reference_crc32c(const uint8_t *data, size_t len)
{
    uint32_t crc = 0xffffffffu;

    for (size_t i = 0; i < len; i++) {
        crc ^= data[i];
        for (int k = 0; k < 8; k++)
            crc = (crc >> 1) ^ (0x82f63b78u & (0u - (crc & 1)));
    }
    return ~crc;
}

/* The vector of RFC 3720 appendix B.4 tells that this reference is right: 32 bytes of zeros. A checksum is good as it is, and with any bit changed it is not. */
static void checksums(void **state)
{
    static const char head[] = SIGNATURE "\x21\x11\0\x13\xc0\0\2\1\x0a\0\0\1\x12\x67\x1f\x40\3\0\4\0\0\0\0";
    uint8_t zeros[32] = {0}, data[sizeof(head) - 1];
    size_t len = sizeof(data);
    struct hf_proxy_header h;
    uint32_t crc;

    (void)state;
    assert_int_equal(reference_crc32c(zeros, sizeof(zeros)), 0x8a9136aa);
    memcpy(data, head, len);
    crc = reference_crc32c(data, len);
    for (int i = 0; i < 4; i++)
        data[len - 4 + (size_t)i] = (uint8_t)(crc >> (24 - 8 * i));
    assert_int_equal(hf_proxy_header_parse(&h, data, len), len);
    for (size_t bit = 8 * HF_PROXY_HEADER_MIN; bit < 8 * len; bit++) {
        if (bit / 8 == len - 7)
            continue; /* The TLV's type: then it is none of a checksum. */
        data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(hf_proxy_header_parse(&h, data, len), HF_EBADMSG);
        data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

static void unix_sources(void **state)
{
    uint8_t data[HF_PROXY_HEADER_MIN + 216] = SIGNATURE "\x21\x31\0\xd8/run/proxy";
    struct hf_proxy_header h;

    (void)state;
    assert_int_equal(hf_proxy_header_parse(&h, data, sizeof(data)), sizeof(data));
    assert_int_equal(h.source, HF_PROXY_UNIX);
    assert_int_equal(hf_proxy_header_parse(&h, data, sizeof(data) - 1), 0);
}

static void longest_header(void **state)
{
    static uint8_t data[HF_PROXY_HEADER_MAX + 1] = SIGNATURE "\x20\0";
    struct hf_proxy_header h;
    size_t rest = HF_PROXY_HEADER_MAX - HF_PROXY_HEADER_MIN;

    (void)state;
    data[14] = (uint8_t)(rest >> 8);
    data[15] = (uint8_t)rest;
    assert_int_equal(hf_proxy_header_parse(&h, data, sizeof(data)), HF_PROXY_HEADER_MAX);
    data[15]++;
    assert_int_equal(hf_proxy_header_parse(&h, data, HF_PROXY_HEADER_MIN), HF_EBADMSG);
}

/* ---- Forwarded, X-Forwarded-For ---- */

static const struct forwarded_case {
    enum hf_forwarded_form form;
    const char *value;
    int result;
    const char *client; /* NULL: nobody named */
} forwarded_cases[] = {
    {HF_FORWARDED_X_FORWARDED_FOR, NULL, 0, NULL},
    {HF_FORWARDED_NONE, "192.0.2.1", 0, NULL},
    {HF_FORWARDED_X_FORWARDED_FOR, "192.0.2.1", 1, "192.0.2.1"},
    {HF_FORWARDED_X_FORWARDED_FOR, "6.6.6.6, 192.0.2.1", 1, "192.0.2.1"},
    {HF_FORWARDED_X_FORWARDED_FOR, "6.6.6.6, 192.0.2.1, 10.0.0.1", 1, "192.0.2.1"},
    {HF_FORWARDED_X_FORWARDED_FOR, "6.6.6.6, 192.0.2.1 ,10.0.0.1:80,, 10.9.9.9", 1, "192.0.2.1"},
    {HF_FORWARDED_X_FORWARDED_FOR, "10.0.0.1, 10.0.0.2", 1, "10.0.0.1"},
    {HF_FORWARDED_X_FORWARDED_FOR, "2001:db8::1", 1, "2001:db8::1"},
    {HF_FORWARDED_X_FORWARDED_FOR, "[2001:db8::1]:99, 10.0.0.1", 1, "[2001:db8::1]:99"},
    {HF_FORWARDED_X_FORWARDED_FOR, "192.0.2.1, unknown", 0, NULL},
    {HF_FORWARDED_X_FORWARDED_FOR, "192.0.2.1, unknown, 10.0.0.1", 0, "10.0.0.1"},
    {HF_FORWARDED_X_FORWARDED_FOR, "", 0, NULL},
    {HF_FORWARDED_X_FORWARDED_FOR,
     "192.0.2.1, 1.2.3.4.5.6.7.8.9.10.11.12.13.14.15.16.17.18.19.20.21.22.23.24.25.26.27.28", 0, NULL},
    {HF_FORWARDED_RFC7239, "for=192.0.2.1", 1, "192.0.2.1"},
    {HF_FORWARDED_RFC7239, "For=\"[2001:db8:cafe::17]:4711\"", 1, "[2001:db8:cafe::17]:4711"},
    {HF_FORWARDED_RFC7239, "for=192.0.2.43, for=198.51.100.17;by=203.0.113.60;proto=http;host=example.com", 1,
     "198.51.100.17"},
    {HF_FORWARDED_RFC7239, "for=192.0.2.43;proto=https, for=10.0.0.1", 1, "192.0.2.43"},
    {HF_FORWARDED_RFC7239, "proto=http ; for=\"192.0.2.4\\3:80\"", 1, "192.0.2.43:80"},
    {HF_FORWARDED_RFC7239, "by=\"a, b; for=6.6.6.6\";for=192.0.2.1", 1, "192.0.2.1"},
    {HF_FORWARDED_RFC7239, "for=192.0.2.1, by=10.0.0.1", 0, NULL},
    {HF_FORWARDED_RFC7239, "for=_hidden", 0, NULL},
    {HF_FORWARDED_RFC7239, "for=_hidden, for=10.0.0.1", 0, "10.0.0.1"},
    {HF_FORWARDED_RFC7239, "", 0, NULL},
    {HF_FORWARDED_RFC7239, "for=192.0.2.1;for=192.0.2.2", HF_EBADMSG, NULL},
    {HF_FORWARDED_RFC7239, "for=\"192.0.2.1", HF_EBADMSG, NULL},
    {HF_FORWARDED_RFC7239, "for=\"192.0.2.1\\", HF_EBADMSG, NULL},
    {HF_FORWARDED_RFC7239, "for", HF_EBADMSG, NULL},
    {HF_FORWARDED_RFC7239, "for=", HF_EBADMSG, NULL},
    {HF_FORWARDED_RFC7239, "192.0.2.1", HF_EBADMSG, NULL},
    {HF_FORWARDED_RFC7239, "for=192.0.2.1 for=192.0.2.2", HF_EBADMSG, NULL},
    {HF_FORWARDED_RFC7239, "for=2001:db8::1", HF_EBADMSG, NULL},
    {HF_FORWARDED_RFC7239, "for=192.0.2.1, \"", HF_EBADMSG, NULL},
};

static int ask(enum hf_forwarded_form form, const char *value, size_t len, struct hf_endpoint *client)
{
    struct hf_network trusted[2];
    char *copy = value == NULL ? NULL : malloc(len > 0 ? len : 1);
    int got;

    assert_int_equal(hf_network_parse(HF_STR("10.0.0.0/8"), &trusted[0]), 0);
    assert_int_equal(hf_network_parse(HF_STR("::1"), &trusted[1]), 0);
    if (copy != NULL)
        memcpy(copy, value, len);
    got = hf_forwarded_client(form, (struct hf_str){copy, len}, trusted, 2, client);
    free(copy);
    return got;
}

static void forwarded_headers(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(forwarded_cases) / sizeof(forwarded_cases[0]); i++) {
        const struct forwarded_case *c = &forwarded_cases[i];
        struct hf_endpoint client = {.port = 1};
        size_t len = c->value == NULL ? 0 : strlen(c->value);
        char text[HF_IP_TEXT_BYTES];

        assert_int_equal(ask(c->form, c->value, len, &client), c->result);
        (void)hf_endpoint_format(&client, text);
        assert_string_equal(text, c->client == NULL ? "[::]:1" : c->client);
        for (size_t cut = 0; c->value != NULL && cut < len; cut++)
            (void)!ask(c->form, c->value, cut, &client); /* Nothing is read behind its end. */
    }
}

/* However many a client writes in front, it is the last that count. */
static void long_lists(void **state)
{
    static char list[20000];
    struct hf_endpoint client;
    char text[HF_IP_TEXT_BYTES];
    size_t used = 0;

    (void)state;
    for (int i = 0; i < 1000; i++)
        used += (size_t)snprintf(list + used, sizeof(list) - used, "6.6.6.6,");
    used += (size_t)snprintf(list + used, sizeof(list) - used, "192.0.2.9,10.0.0.7");
    assert_int_equal(ask(HF_FORWARDED_X_FORWARDED_FOR, list, used, &client), 1);
    (void)hf_endpoint_format(&client, text);
    assert_string_equal(text, "192.0.2.9");
    used = 0;
    for (int i = 0; i < 1000; i++) /* A chain of proxies without an end names nobody. */
        used += (size_t)snprintf(list + used, sizeof(list) - used, "10.0.0.7,");
    assert_int_equal(ask(HF_FORWARDED_X_FORWARDED_FOR, list, used, &client), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(headers),        cmocka_unit_test(checksums),         cmocka_unit_test(unix_sources),
        cmocka_unit_test(longest_header), cmocka_unit_test(forwarded_headers), cmocka_unit_test(long_lists),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
