#include "cli/bench_protocol.h"

#include "base/err.h"

#include <stdlib.h>
#include <string.h>

static bool starts(struct hf_str s, struct hf_str with)
{
    return s.len >= with.len && memcmp(s.data, with.data, with.len) == 0;
}

/* --- payload --- */

/* Four bits a letter, 'a' to 'p': plain in JSON, and read back without a branch. */
static void put_letters(char *out, uint64_t n)
{
    for (int i = 15; i >= 0; i--) {
        out[i] = (char)('a' + (n & 15));
        n >>= 4;
    }
}

/* Eight letters at a time: the high nibbles fall away, and neighbours are joined in pairs, then fours, then eights. */
static uint32_t eight_letters(const char *in)
{
    uint64_t x;

    memcpy(&x, in, sizeof(x));
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    x = __builtin_bswap64(x);
#endif
    x -= UINT64_C(0x6161616161616161);
    x = (x | x >> 4) & UINT64_C(0x00ff00ff00ff00ff);
    x = (x | x >> 8) & UINT64_C(0x0000ffff0000ffff);
    return (uint32_t)(x | x >> 16);
}

void hf_bench_payload_write(char *out, size_t size, uint64_t time_ns, uint64_t number)
{
    out[0] = '"';
    put_letters(out + 1, time_ns);
    put_letters(out + 17, number);
    memset(out + 33, 'x', size - HF_BENCH_SIZE_MIN);
    out[size - 1] = '"';
}

void hf_bench_payload_read(struct hf_str payload, uint64_t *time_ns, uint64_t *number)
{
    *time_ns = (uint64_t)eight_letters(payload.data + 1) << 32 | eight_letters(payload.data + 9);
    *number = (uint64_t)eight_letters(payload.data + 17) << 32 | eight_letters(payload.data + 25);
}

/* --- Holdfast's --- */

/* json.h: "Its payload (or payloadBase64 in quotes) comes last, so that of the n bytes written the payload's are those before the final '}'". */
static enum hf_bench_kind classify_holdfast(struct hf_str m, size_t size, struct hf_str *payload)
{
    *payload = m;
    if (starts(m, HF_STR("{\"type\":\"data\""))) {
        if (m.len < size + 1 || m.data[m.len - 1 - size] != '"')
            return HF_BENCH_REFUSED;
        *payload = (struct hf_str){m.data + m.len - 1 - size, size};
        return HF_BENCH_DATA;
    }
    if (starts(m, HF_STR("{\"type\":\"ping\"")))
        return HF_BENCH_HEARTBEAT;
    if (starts(m, HF_STR("{\"type\":\"welcome\"")))
        return HF_BENCH_GREETING;
    if (starts(m, HF_STR("{\"type\":\"subscribed\"")))
        return HF_BENCH_JOINED;
    if (starts(m, HF_STR("{\"type\":\"reconnect\"")))
        return HF_BENCH_RECONNECT;
    if (starts(m, HF_STR("{\"type\":\"error\"")) || starts(m, HF_STR("{\"type\":\"nack\"")) ||
        starts(m, HF_STR("{\"type\":\"gap\"")) || starts(m, HF_STR("{\"type\":\"unsubscribed\"")))
        return HF_BENCH_REFUSED;
    return HF_BENCH_OTHER;
}

static void subscribe_holdfast(struct hf_buf *out, const char *channel)
{
    hf_buf_putf(out, "{\"type\":\"subscribe\",\"channel\":\"%s\"}", channel);
}

static void publish_holdfast(struct hf_buf *out, const char *channel, uint64_t seq, struct hf_str payload)
{
    hf_buf_putf(out, "{\"type\":\"data\",\"channel\":\"%s\",\"seq\":%llu,\"payload\":", channel,
                (unsigned long long)seq);
    hf_buf_put_str(out, payload);
    hf_buf_puts(out, "}");
}

/* --- plain messages: the payload is the message --- */

static enum hf_bench_kind classify_text(struct hf_str m, size_t size, struct hf_str *payload)
{
    *payload = m;
    return m.len == size ? HF_BENCH_DATA : HF_BENCH_OTHER;
}

static void publish_text(struct hf_buf *out, const char *channel, uint64_t seq, struct hf_str payload)
{
    (void)channel;
    (void)seq;
    hf_buf_put_str(out, payload);
}

/* --- socket.io 4: Engine.IO's packet type, then Socket.IO's, then an event and its arguments as JSON --- */

static enum hf_bench_kind classify_socket_io(struct hf_str m, size_t size, struct hf_str *payload)
{
    static const struct hf_str event = {"42[\"m\",", 7}, joined = {"42[\"joined\"]", 12};

    *payload = m;
    if (starts(m, event) && m.len == event.len + size + 1) {
        *payload = (struct hf_str){m.data + event.len, size};
        return HF_BENCH_DATA;
    }
    if (starts(m, HF_STR("2")) && m.len == 1)
        return HF_BENCH_HEARTBEAT;
    if (starts(m, HF_STR("40")))
        return HF_BENCH_GREETING;
    if (hf_str_eq(m, joined))
        return HF_BENCH_JOINED;
    return starts(m, HF_STR("44")) || starts(m, HF_STR("41")) ? HF_BENCH_REFUSED : HF_BENCH_OTHER;
}

static void hello_socket_io(struct hf_buf *out)
{
    hf_buf_puts(out, "40");
}

static void subscribe_socket_io(struct hf_buf *out, const char *channel)
{
    hf_buf_putf(out, "42[\"join\",\"%s\"]", channel);
}

static void publish_socket_io(struct hf_buf *out, const char *channel, uint64_t seq, struct hf_str payload)
{
    (void)seq;
    hf_buf_putf(out, "42[\"publish\",\"%s\",", channel);
    hf_buf_put_str(out, payload);
    hf_buf_puts(out, "]");
}

/* --- NATS: lines, and payloads of a length that the line before tells --- */

static size_t nats_line(struct hf_str s)
{
    const char *end = memchr(s.data, '\n', s.len);

    return end == NULL ? 0 : (size_t)(end - s.data) + 1;
}

/* "MSG subject id bytes": the last number of the line. */
static size_t nats_payload(struct hf_str line)
{
    size_t len = 0, unit = 1, at = line.len - 2;

    while (at > 0 && line.data[at - 1] >= '0' && line.data[at - 1] <= '9') {
        len += (size_t)(line.data[--at] - '0') * unit;
        unit *= 10;
    }
    return len;
}

static ssize_t nats_len(struct hf_str s)
{
    size_t line = nats_line(s), whole;

    if (line == 0)
        return s.len > 64 * 1024 ? HF_EBADMSG : 0;
    if (!starts(s, HF_STR("MSG ")) || line < 6)
        return (ssize_t)line;
    whole = line + nats_payload((struct hf_str){s.data, line}) + 2;
    return whole <= s.len ? (ssize_t)whole : 0;
}

static enum hf_bench_kind classify_nats(struct hf_str m, size_t size, struct hf_str *payload)
{
    *payload = m;
    if (starts(m, HF_STR("MSG ")) && m.len > size + 2) {
        *payload = (struct hf_str){m.data + m.len - 2 - size, size};
        return HF_BENCH_DATA;
    }
    if (starts(m, HF_STR("INFO ")))
        return HF_BENCH_GREETING;
    if (starts(m, HF_STR("PONG"))) /* to the PING behind the subscription */
        return HF_BENCH_JOINED;
    if (starts(m, HF_STR("PING")))
        return HF_BENCH_HEARTBEAT;
    return starts(m, HF_STR("-ERR")) ? HF_BENCH_REFUSED : HF_BENCH_OTHER;
}

static void hello_nats(struct hf_buf *out)
{
    hf_buf_puts(out, "CONNECT {\"verbose\":false,\"pedantic\":false}\r\n");
}

static void subscribe_nats(struct hf_buf *out, const char *channel)
{
    hf_buf_putf(out, "SUB %s 1\r\nPING\r\n", channel);
}

static void publish_nats(struct hf_buf *out, const char *channel, uint64_t seq, struct hf_str payload)
{
    (void)seq;
    hf_buf_putf(out, "PUB %s %zu\r\n", channel, payload.len);
    hf_buf_put_str(out, payload);
    hf_buf_puts(out, "\r\n");
}

/* --- bytes alone: messages of one size --- */

static enum hf_bench_kind classify_bytes(struct hf_str m, size_t size, struct hf_str *payload)
{
    (void)size;
    *payload = m;
    return HF_BENCH_DATA;
}

static const struct hf_bench_protocol protocols[HF_BENCH_PROTOCOLS] = {
    [HF_BENCH_HOLDFAST] = {.subprotocols = "holdfast.v1.json",
                           .framed = true,
                           .greets = true,
                           .answers_subscribe = true,
                           .pong = {"{\"type\":\"pong\"}", 15},
                           .classify = classify_holdfast,
                           .put_subscribe = subscribe_holdfast,
                           .put_publish = publish_holdfast},
    [HF_BENCH_TEXT] = {.framed = true, .classify = classify_text, .put_publish = publish_text},
    [HF_BENCH_SOCKET_IO] = {.framed = true,
                            .greets = true,
                            .answers_subscribe = true,
                            .pong = {"3", 1},
                            .classify = classify_socket_io,
                            .put_hello = hello_socket_io,
                            .put_subscribe = subscribe_socket_io,
                            .put_publish = publish_socket_io},
    [HF_BENCH_NATS] = {.framed = true,
                       .stream = true,
                       .greets = true,
                       .answers_subscribe = true,
                       .pong = {"PONG\r\n", 6},
                       .classify = classify_nats,
                       .message_len = nats_len,
                       .put_hello = hello_nats,
                       .put_subscribe = subscribe_nats,
                       .put_publish = publish_nats},
    [HF_BENCH_BYTES] = {.stream = true, .classify = classify_bytes, .put_publish = publish_text},
};

const struct hf_bench_protocol *hf_bench_protocol(enum hf_bench_protocol_id id)
{
    return &protocols[id];
}
