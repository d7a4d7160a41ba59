#include "cli/bench_protocol.h"

#include "base/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void payload_is_read_as_written(void **state)
{
    static const uint64_t edges[] = {0, 1, 15, 16, 0xffffffff, 0x100000000, 0x123456789abcdef0, UINT64_MAX};
    struct hf_rng rng = {.state = 1};
    char payload[HF_BENCH_SIZE_MIN + 10];

    (void)state;
    for (unsigned i = 0; i < 1000; i++) {
        uint64_t time_ns = i < 8 ? edges[i] : hf_rng_next(&rng),
                 number = i < 8 ? edges[7 - i] : hf_rng_next(&rng);
        size_t size = HF_BENCH_SIZE_MIN + i % 11;
        uint64_t got_ns, got;

        memset(payload, '!', sizeof(payload));
        hf_bench_payload_write(payload, size, time_ns, number);
        assert_int_equal(payload[0], '"');
        assert_int_equal(payload[size - 1], '"');
        for (size_t k = 1; k < size - 1; k++)
            assert_true((payload[k] >= 'a' && payload[k] <= 'p') || (payload[k] == 'x' && k >= 33));
        hf_bench_payload_read((struct hf_str){payload, size}, &got_ns, &got);
        assert_true(got_ns == time_ns && got == number);
    }
}

static enum hf_bench_kind classify(enum hf_bench_protocol_id id, const char *message, size_t size,
                                   struct hf_str *payload)
{
    /* A copy of exactly its size, so that a sanitizer sees a read beyond it. */
    static char *copy;
    size_t len = strlen(message);

    free(copy);
    copy = malloc(len == 0 ? 1 : len);
    assert_non_null(copy);
    memcpy(copy, message, len);
    return hf_bench_protocol(id)->classify((struct hf_str){copy, len}, size, payload);
}

static void assert_payload(struct hf_str payload, const char *want)
{
    assert_int_equal(payload.len, strlen(want));
    assert_memory_equal(payload.data, want, payload.len);
}

static void holdfast_messages_are_told_apart(void **state)
{
    static const struct {
        const char *message;
        enum hf_bench_kind kind;
    } cases[] = {
        {"{\"type\":\"welcome\",\"session\":\"a\"}", HF_BENCH_GREETING},
        {"{\"type\":\"subscribed\",\"channel\":\"a\"}", HF_BENCH_JOINED},
        {"{\"type\":\"ping\"}", HF_BENCH_HEARTBEAT},
        {"{\"type\":\"reconnect\",\"after\":[0,1]}", HF_BENCH_RECONNECT},
        {"{\"type\":\"error\",\"code\":\"limit\"}", HF_BENCH_REFUSED},
        {"{\"type\":\"nack\",\"seq\":1}", HF_BENCH_REFUSED},
        {"{\"type\":\"gap\",\"channel\":\"a\"}", HF_BENCH_REFUSED},
        {"{\"type\":\"ack\",\"seq\":1}", HF_BENCH_OTHER},
        {"{}", HF_BENCH_OTHER},
        {"", HF_BENCH_OTHER},
        {"{\"type\":\"data\"", HF_BENCH_REFUSED},                     /* shorter than a payload */
        {"{\"type\":\"data\",\"payload\":123456}", HF_BENCH_REFUSED}, /* another's message */
    };
    struct hf_str payload;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_int_equal(classify(HF_BENCH_HOLDFAST, cases[i].message, 34, &payload), cases[i].kind);
    assert_int_equal(
        classify(HF_BENCH_HOLDFAST, "{\"type\":\"data\",\"channel\":\"a\",\"payload\":\"bcd\"}", 5, &payload),
        HF_BENCH_DATA);
    assert_payload(payload, "\"bcd\"");
}

static void socket_io_messages_are_told_apart(void **state)
{
    struct hf_str payload;

    (void)state;
    assert_int_equal(classify(HF_BENCH_SOCKET_IO, "42[\"m\",\"bcd\"]", 5, &payload), HF_BENCH_DATA);
    assert_payload(payload, "\"bcd\"");
    assert_int_equal(classify(HF_BENCH_SOCKET_IO, "42[\"m\",\"bcde\"]", 5, &payload), HF_BENCH_OTHER);
    assert_int_equal(classify(HF_BENCH_SOCKET_IO, "0{\"sid\":\"a\"}", 5, &payload), HF_BENCH_OTHER);
    assert_int_equal(classify(HF_BENCH_SOCKET_IO, "40{\"sid\":\"a\"}", 5, &payload), HF_BENCH_GREETING);
    assert_int_equal(classify(HF_BENCH_SOCKET_IO, "42[\"joined\"]", 5, &payload), HF_BENCH_JOINED);
    assert_int_equal(classify(HF_BENCH_SOCKET_IO, "2", 5, &payload), HF_BENCH_HEARTBEAT);
    assert_int_equal(classify(HF_BENCH_SOCKET_IO, "44{}", 5, &payload), HF_BENCH_REFUSED);
}

/* A stream cut at each place: a message is whole, or not yet. */
static void nats_stream_is_cut_into_messages(void **state)
{
    static const char stream[] = "MSG bench-0 1 5\r\n\"bcd\"\r\n";
    const struct hf_bench_protocol *nats = hf_bench_protocol(HF_BENCH_NATS);
    struct hf_str payload;

    (void)state;
    for (size_t len = 1; len < sizeof(stream) - 1; len++)
        assert_int_equal(nats->message_len((struct hf_str){stream, len}), 0);
    assert_int_equal(nats->message_len((struct hf_str){stream, sizeof(stream) - 1}), sizeof(stream) - 1);
    assert_int_equal(nats->message_len(HF_STR("PING\r\nMSG")), 6);
    assert_int_equal(nats->message_len(HF_STR("INFO {}\r\n")), 9);
    assert_int_equal(classify(HF_BENCH_NATS, stream, 5, &payload), HF_BENCH_DATA);
    assert_payload(payload, "\"bcd\"");
    assert_int_equal(classify(HF_BENCH_NATS, "PING\r\n", 5, &payload), HF_BENCH_HEARTBEAT);
    assert_int_equal(classify(HF_BENCH_NATS, "PONG\r\n", 5, &payload), HF_BENCH_JOINED);
    assert_int_equal(classify(HF_BENCH_NATS, "-ERR 'x'\r\n", 5, &payload), HF_BENCH_REFUSED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(payload_is_read_as_written),
        cmocka_unit_test(holdfast_messages_are_told_apart),
        cmocka_unit_test(socket_io_messages_are_told_apart),
        cmocka_unit_test(nats_stream_is_cut_into_messages),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
