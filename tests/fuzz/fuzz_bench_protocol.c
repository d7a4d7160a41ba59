/*
 * fuzz_bench_protocol.c - what the load generator makes of a server's messages, and of NATS's stream. The first byte names the protocol, the
 * second the size of a payload.
 */
#include "base/assert.h"
#include "cli/bench_protocol.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct hf_bench_protocol *p, struct hf_str message, size_t payload_size)
{
    struct hf_str payload;
    uint64_t time_ns, number;
    enum hf_bench_kind kind = p->classify(message, payload_size, &payload);

    hf_assert(payload.data >= message.data && payload.len <= message.len);
    hf_assert(payload.data + payload.len <= message.data + message.len);
    if (kind != HF_BENCH_DATA || p->classify == hf_bench_protocol(HF_BENCH_BYTES)->classify)
        return;
    hf_assert(payload.len == payload_size);
    hf_bench_payload_read(payload, &time_ns, &number);
}

static void check_stream(const struct hf_bench_protocol *p, struct hf_str stream, size_t payload_size)
{
    while (stream.len > 0) {
        ssize_t n = p->message_len(stream);

        hf_assert(n <= (ssize_t)stream.len);
        if (n <= 0)
            return;
        check(p, (struct hf_str){stream.data, (size_t)n}, payload_size);
        stream.data += n;
        stream.len -= (size_t)n;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct hf_bench_protocol *p;
    size_t payload_size;
    char *copy;

    if (size < 3)
        return 0;
    p = hf_bench_protocol((enum hf_bench_protocol_id)(data[0] % HF_BENCH_PROTOCOLS));
    payload_size = HF_BENCH_SIZE_MIN + data[1] % 8;
    copy = malloc(size - 2); /* of exactly its size, so that a sanitizer sees a read beyond it */
    if (copy == NULL)
        return 0;
    memcpy(copy, data + 2, size - 2);
    if (p->message_len != NULL)
        check_stream(p, (struct hf_str){copy, size - 2}, payload_size);
    else
        check(p, (struct hf_str){copy, size - 2}, payload_size);
    free(copy);
    return 0;
}
