/* The messages of PROTOCOL.md in JSON: each type in each direction there and back, and what is refused, with its reason. */
#include "wire/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* A heap copy without a byte to spare, so that the sanitizer sees any look beyond it. */
static char *exact_copy(const char *data, size_t len)
{
    char *copy = malloc(len > 0 ? len : 1);

    assert_non_null(copy);
    memcpy(copy, data, len);
    return copy;
}

struct message_vector {
    bool from_server;
    struct hf_msg m;
    const char *text;
};

#define S(literal)                                                                                           \
    {                                                                                                        \
        literal, sizeof(literal) - 1                                                                         \
    }

static const struct message_vector messages[] = {
    {true,
     {.type = HF_MSG_WELCOME,
      .has = HF_HAS_LAST_SEQ | HF_HAS_CHANNELS | HF_HAS_INTERVAL,
      .session = S("s1"),
      .ticket = S("t1"),
      .resumed = true,
      .last_seq = 7,
      .ttl_ms = 120000,
      .server_id = S("a"),
      .server_time = 1700000000000,
      .interval_ms = 25000,
      .heartbeat_min_ms = 10000,
      .heartbeat_max_ms = 60000,
      .loss_spread_ms = 500,
      .max_message = 65536,
      .address = S("127.0.0.1"),
      .channels = S("[{\"channel\":\"demo\",\"epoch\":\"e\",\"offset\":4}]"),
      .refusals = S("[{\"seq\":6,\"code\":\"too_large\",\"reason\":\"no\"}]")},
     "{\"type\":\"welcome\",\"session\":\"s1\",\"ticket\":\"t1\",\"resumed\":true,\"lastSeq\":7,\"ttl\":"
     "120000,"
     "\"serverId\":\"a\",\"serverTime\":1700000000000,\"heartbeat\":{\"interval\":25000,\"min\":10000,"
     "\"max\":"
     "60000},\"lossSpread\":500,\"maxMessage\":65536,\"address\":\"127.0.0.1\",\"channels\":[{\"channel\":"
     "\"demo\",\"epoch\":\"e\",\"offset\":4}],\"refusals\":[{\"seq\":6,\"code\":\"too_large\",\"reason\":"
     "\"no\"}]}"},
    {true,
     {.type = HF_MSG_SUBSCRIBED,
      .has = HF_HAS_CHANNEL | HF_HAS_EPOCH | HF_HAS_OFFSET,
      .channel = S("demo"),
      .epoch = S("e1"),
      .offset = 12,
      .recovered = true},
     "{\"type\":\"subscribed\",\"channel\":\"demo\",\"epoch\":\"e1\",\"offset\":12,\"recovered\":true}"},
    {true,
     {.type = HF_MSG_UNSUBSCRIBED, .has = HF_HAS_CHANNEL, .channel = S("demo")},
     "{\"type\":\"unsubscribed\",\"channel\":\"demo\"}"},
    {true,
     {.type = HF_MSG_UNSUBSCRIBED,
      .has = HF_HAS_CHANNEL | HF_HAS_CODE | HF_HAS_REASON,
      .channel = S("demo"),
      .code = S("forbidden"),
      .reason = S("by the backend")},
     "{\"type\":\"unsubscribed\",\"channel\":\"demo\",\"code\":\"forbidden\",\"reason\":\"by the backend\"}"},
    {true,
     {.type = HF_MSG_DATA,
      .has = HF_HAS_CHANNEL | HF_HAS_OFFSET | HF_HAS_ID | HF_HAS_TIMESTAMP | HF_HAS_FROM | HF_HAS_PAYLOAD,
      .channel = S("demo"),
      .offset = 9007199254740991,
      .id = S("e1-9"),
      .timestamp = 1700000000001,
      .from_user = S("ann"),
      .payload = S("{\"a\": [1, 2.50]}")},
     "{\"type\":\"data\",\"channel\":\"demo\",\"offset\":9007199254740991,\"id\":\"e1-9\",\"timestamp\":"
     "1700000000001,\"from\":\"ann\",\"payload\":{\"a\": [1, 2.50]}}"},
    {true,
     {.type = HF_MSG_DATA,
      .has = HF_HAS_CHANNEL | HF_HAS_OFFSET | HF_HAS_ID | HF_HAS_TIMESTAMP | HF_HAS_PAYLOAD64,
      .channel = S("demo"),
      .offset = 1,
      .id = S("x"),
      .timestamp = 2,
      .payload = S("AAEC/w==")},
     "{\"type\":\"data\",\"channel\":\"demo\",\"offset\":1,\"id\":\"x\",\"timestamp\":2,\"payloadBase64\":"
     "\"AAEC/w==\"}"},
    {true,
     {.type = HF_MSG_GAP,
      .has = HF_HAS_CHANNEL | HF_HAS_EPOCH | HF_HAS_FROM | HF_HAS_TO | HF_HAS_CODE,
      .channel = S("demo"),
      .epoch = S("e1"),
      .from = 3,
      .to = 5,
      .code = S("evicted")},
     "{\"type\":\"gap\",\"channel\":\"demo\",\"epoch\":\"e1\",\"from\":3,\"to\":5,\"code\":\"evicted\"}"},
    {true,
     {.type = HF_MSG_GAP,
      .has = HF_HAS_CHANNEL | HF_HAS_EPOCH | HF_HAS_CODE,
      .channel = S("demo"),
      .epoch = S("e2"),
      .code = S("epoch")},
     "{\"type\":\"gap\",\"channel\":\"demo\",\"epoch\":\"e2\",\"from\":null,\"to\":null,\"code\":\"epoch\"}"},
    {true,
     {.type = HF_MSG_ACK, .has = HF_HAS_SEQ | HF_HAS_OFFSETS, .seq = 9, .offsets = S("[7,null,8]")},
     "{\"type\":\"ack\",\"seq\":9,\"offsets\":[7,null,8]}"},
    {true,
     {.type = HF_MSG_ACK, .has = HF_HAS_ID | HF_HAS_OFFSETS, .id = S("k"), .offsets = S("[7]")},
     "{\"type\":\"ack\",\"offsets\":[7],\"id\":\"k\"}"},
    {true,
     {.type = HF_MSG_NACK,
      .has = HF_HAS_SEQ | HF_HAS_ID | HF_HAS_CODE | HF_HAS_REASON,
      .seq = 4,
      .id = S("k"),
      .code = S("too_large"),
      .reason = S("a \"quoted\" reason\n")},
     "{\"type\":\"nack\",\"seq\":4,\"id\":\"k\",\"code\":\"too_large\",\"reason\":\"a \\\"quoted\\\" "
     "reason\\n\"}"},
    {true, {.type = HF_MSG_PING}, "{\"type\":\"ping\"}"},
    {true,
     {.type = HF_MSG_PONG, .has = HF_HAS_ID, .id = S("p"), .server_time = 5, .server_id = S("a")},
     "{\"type\":\"pong\",\"id\":\"p\",\"serverTime\":5,\"serverId\":\"a\"}"},
    {true,
     {.type = HF_MSG_HEARTBEAT, .has = HF_HAS_INTERVAL, .interval_ms = 30000},
     "{\"type\":\"heartbeat\",\"interval\":30000}"},
    {true,
     {.type = HF_MSG_RECONNECT,
      .has = HF_HAS_CODE | HF_HAS_URL,
      .after_min_ms = 100,
      .after_max_ms = 2000,
      .code = S("draining"),
      .url = S("wss://b.example/ws")},
     "{\"type\":\"reconnect\",\"after\":[100,2000],\"code\":\"draining\",\"url\":\"wss://b.example/ws\"}"},
    {true,
     {.type = HF_MSG_HISTORY,
      .has = HF_HAS_ID | HF_HAS_CHANNEL | HF_HAS_EPOCH | HF_HAS_OFFSET | HF_HAS_MESSAGES,
      .id = S("h"),
      .channel = S("demo"),
      .epoch = S("e1"),
      .offset = 20,
      .messages = S("[{\"type\":\"data\"}]")},
     "{\"type\":\"history\",\"id\":\"h\",\"channel\":\"demo\",\"epoch\":\"e1\",\"offset\":20,\"messages\":"
     "[{\"type\":\"data\"}]}"},
    {true,
     {.type = HF_MSG_PRESENCE,
      .has = HF_HAS_ID | HF_HAS_CHANNEL | HF_HAS_MEMBERS,
      .id = S("q"),
      .channel = S("demo"),
      .members = S("[{\"session\":\"s\",\"user\":\"u\"}]")},
     "{\"type\":\"presence\",\"id\":\"q\",\"channel\":\"demo\",\"members\":[{\"session\":\"s\",\"user\":"
     "\"u\"}]}"},
    {true,
     {.type = HF_MSG_JOIN,
      .has = HF_HAS_CHANNEL | HF_HAS_INFO,
      .channel = S("demo"),
      .session = S("s"),
      .user = S("u"),
      .info = S("{\"n\":1}")},
     "{\"type\":\"join\",\"channel\":\"demo\",\"session\":\"s\",\"user\":\"u\",\"info\":{\"n\":1}}"},
    {true,
     {.type = HF_MSG_LEAVE, .has = HF_HAS_CHANNEL, .channel = S("demo"), .session = S("s"), .user = S("u")},
     "{\"type\":\"leave\",\"channel\":\"demo\",\"session\":\"s\",\"user\":\"u\"}"},
    {true,
     {.type = HF_MSG_REPLY, .has = HF_HAS_ID | HF_HAS_PAYLOAD, .id = S("c"), .payload = S("null")},
     "{\"type\":\"reply\",\"id\":\"c\",\"payload\":null}"},
    {true,
     {.type = HF_MSG_REPLY,
      .has = HF_HAS_ID | HF_HAS_CODE | HF_HAS_REASON,
      .id = S("c"),
      .code = S("timeout"),
      .reason = S("r")},
     "{\"type\":\"reply\",\"id\":\"c\",\"code\":\"timeout\",\"reason\":\"r\"}"},
    {true,
     {.type = HF_MSG_ERROR,
      .has = HF_HAS_CODE | HF_HAS_REASON | HF_HAS_RE | HF_HAS_ID | HF_HAS_CHANNEL | HF_HAS_EXPECTED,
      .code = S("bad_seq"),
      .reason = S("r"),
      .re = S("data"),
      .id = S("i"),
      .channel = S("demo"),
      .expected = 6},
     "{\"type\":\"error\",\"code\":\"bad_seq\",\"reason\":\"r\",\"re\":\"data\",\"id\":\"i\",\"channel\":"
     "\"demo\","
     "\"expected\":6}"},
    {false,
     {.type = HF_MSG_SUBSCRIBE, .has = HF_HAS_CHANNEL, .channel = S("demo")},
     "{\"type\":\"subscribe\",\"channel\":\"demo\"}"},
    {false,
     {.type = HF_MSG_SUBSCRIBE,
      .has = HF_HAS_CHANNEL | HF_HAS_SINCE | HF_HAS_LAST | HF_HAS_MODE | HF_HAS_PRESENCE,
      .channel = S("demo"),
      .epoch = S("e1"),
      .since_offset = 8,
      .last = 3,
      .mode = HF_MODE_LATEST,
      .presence = true},
     "{\"type\":\"subscribe\",\"channel\":\"demo\",\"since\":{\"epoch\":\"e1\",\"offset\":8},\"last\":3,"
     "\"mode\":"
     "\"latest\",\"presence\":true}"},
    {false,
     {.type = HF_MSG_SUBSCRIBE,
      .has = HF_HAS_CHANNEL | HF_HAS_MODE | HF_HAS_PRESENCE,
      .channel = S("demo"),
      .mode = HF_MODE_ALL},
     "{\"type\":\"subscribe\",\"channel\":\"demo\",\"mode\":\"all\",\"presence\":false}"},
    {false,
     {.type = HF_MSG_UNSUBSCRIBE, .has = HF_HAS_CHANNEL, .channel = S("demo")},
     "{\"type\":\"unsubscribe\",\"channel\":\"demo\"}"},
    {false,
     {.type = HF_MSG_DATA,
      .has = HF_HAS_CHANNEL | HF_HAS_PAYLOAD | HF_HAS_SEQ | HF_HAS_ID | HF_HAS_TIMESTAMP,
      .channel = S("demo"),
      .payload = S("\"\\u0000\\ud800\""),
      .seq = 1,
      .id = S("k"),
      .timestamp = 4},
     "{\"type\":\"data\",\"channel\":\"demo\",\"payload\":\"\\u0000\\ud800\",\"seq\":1,\"id\":\"k\","
     "\"timestamp\":4}"},
    {false,
     {.type = HF_MSG_DATA,
      .has = HF_HAS_CHANNEL | HF_HAS_PAYLOAD,
      .channel = S("demo"),
      .payload = S("-1234567890123456789012345678901234567890.5e+999")},
     "{\"type\":\"data\",\"channel\":\"demo\",\"payload\":-1234567890123456789012345678901234567890.5e+999}"},
    {false,
     {.type = HF_MSG_ACK, .has = HF_HAS_CHANNEL | HF_HAS_OFFSET, .channel = S("demo"), .offset = 3},
     "{\"type\":\"ack\",\"channel\":\"demo\",\"offset\":3}"},
    {false,
     {.type = HF_MSG_ACK, .has = HF_HAS_CHANNEL | HF_HAS_ACK_ID, .channel = S("demo"), .ack_id = S("k")},
     "{\"type\":\"ack\",\"channel\":\"demo\",\"ackId\":\"k\"}"},
    {false,
     {.type = HF_MSG_SYNC_REQUEST, .has = HF_HAS_CHANNEL | HF_HAS_OFFSET, .channel = S("demo"), .offset = 0},
     "{\"type\":\"sync_request\",\"channel\":\"demo\",\"offset\":0}"},
    {false, {.type = HF_MSG_PING}, "{\"type\":\"ping\"}"},
    {false, {.type = HF_MSG_PING, .has = HF_HAS_ID, .id = S("p")}, "{\"type\":\"ping\",\"id\":\"p\"}"},
    {false, {.type = HF_MSG_PONG}, "{\"type\":\"pong\"}"},
    {false,
     {.type = HF_MSG_PONG, .has = HF_HAS_ACKS, .acks = S("{\"a\":1,\"b\\n\":2}")},
     "{\"type\":\"pong\",\"acks\":{\"a\":1,\"b\\n\":2}}"},
    {false,
     {.type = HF_MSG_HEARTBEAT, .has = HF_HAS_INTERVAL, .interval_ms = 15000},
     "{\"type\":\"heartbeat\",\"interval\":15000}"},
    {false,
     {.type = HF_MSG_HISTORY,
      .has = HF_HAS_ID | HF_HAS_CHANNEL | HF_HAS_SINCE | HF_HAS_LIMIT,
      .id = S("h"),
      .channel = S("demo"),
      .epoch = S("e"),
      .since_offset = 2,
      .limit = 10,
      .reverse = true},
     "{\"type\":\"history\",\"id\":\"h\",\"channel\":\"demo\",\"since\":{\"epoch\":\"e\",\"offset\":2},"
     "\"limit\":10,"
     "\"reverse\":true}"},
    {false,
     {.type = HF_MSG_PRESENCE, .has = HF_HAS_ID | HF_HAS_CHANNEL, .id = S("q"), .channel = S("demo")},
     "{\"type\":\"presence\",\"id\":\"q\",\"channel\":\"demo\"}"},
    {false,
     {.type = HF_MSG_CALL,
      .has = HF_HAS_ID | HF_HAS_METHOD | HF_HAS_PAYLOAD,
      .id = S("c"),
      .method = S("sum"),
      .payload = S("[1,2]")},
     "{\"type\":\"call\",\"id\":\"c\",\"method\":\"sum\",\"payload\":[1,2]}"},
    {false,
     {.type = HF_MSG_REFRESH, .has = HF_HAS_TOKEN, .token = S("a.b.c")},
     "{\"type\":\"refresh\",\"token\":\"a.b.c\"}"},
    {false, {.type = HF_MSG_BYE}, "{\"type\":\"bye\"}"},
};

static void assert_same_str(struct hf_str a, struct hf_str b)
{
    assert_int_equal(a.len, b.len);
    if (a.len > 0)
        assert_memory_equal(a.data, b.data, a.len);
}

static void assert_same_strings(const struct hf_msg *a, const struct hf_msg *b)
{
    assert_same_str(a->channel, b->channel);
    assert_same_str(a->id, b->id);
    assert_same_str(a->epoch, b->epoch);
    assert_same_str(a->code, b->code);
    assert_same_str(a->reason, b->reason);
    assert_same_str(a->re, b->re);
    assert_same_str(a->payload, b->payload);
    assert_same_str(a->from_user, b->from_user);
    assert_same_str(a->ack_id, b->ack_id);
    assert_same_str(a->method, b->method);
    assert_same_str(a->token, b->token);
    assert_same_str(a->url, b->url);
    assert_same_str(a->offsets, b->offsets);
    assert_same_str(a->acks, b->acks);
    assert_same_str(a->messages, b->messages);
    assert_same_str(a->channels, b->channels);
    assert_same_str(a->refusals, b->refusals);
    assert_same_str(a->session, b->session);
    assert_same_str(a->ticket, b->ticket);
    assert_same_str(a->server_id, b->server_id);
    assert_same_str(a->address, b->address);
    assert_same_str(a->user, b->user);
    assert_same_str(a->info, b->info);
    assert_same_str(a->members, b->members);
}

static void assert_same_message(const struct hf_msg *a, const struct hf_msg *b)
{
    assert_int_equal(a->type, b->type);
    assert_int_equal(a->has, b->has);
    assert_same_strings(a, b);
    assert_int_equal(a->seq, b->seq);
    assert_int_equal(a->offset, b->offset);
    assert_int_equal(a->since_offset, b->since_offset);
    assert_int_equal(a->last, b->last);
    assert_int_equal(a->limit, b->limit);
    assert_int_equal(a->timestamp, b->timestamp);
    assert_int_equal(a->from, b->from);
    assert_int_equal(a->to, b->to);
    assert_int_equal(a->expected, b->expected);
    assert_int_equal(a->interval_ms, b->interval_ms);
    assert_int_equal(a->last_seq, b->last_seq);
    assert_int_equal(a->mode, b->mode);
    assert_int_equal(a->presence, b->presence);
    assert_int_equal(a->reverse, b->reverse);
    assert_int_equal(a->recovered, b->recovered);
    assert_int_equal(a->resumed, b->resumed);
    assert_int_equal(a->ttl_ms, b->ttl_ms);
    assert_int_equal(a->server_time, b->server_time);
    assert_int_equal(a->heartbeat_min_ms, b->heartbeat_min_ms);
    assert_int_equal(a->heartbeat_max_ms, b->heartbeat_max_ms);
    assert_int_equal(a->loss_spread_ms, b->loss_spread_ms);
    assert_int_equal(a->max_message, b->max_message);
    assert_int_equal(a->after_min_ms, b->after_min_ms);
    assert_int_equal(a->after_max_ms, b->after_max_ms);
}

static void each_message_is_encoded(void **state)
{
    struct hf_buf out;

    (void)state;
    hf_buf_init(&out, 4096);
    for (size_t i = 0; i < COUNT(messages); i++) {
        hf_buf_reset(&out);
        assert_int_equal(hf_json_encode(&out, &messages[i].m), 0);
        assert_int_equal(hf_buf_put(&out, "", 1), 0);
        assert_string_equal((const char *)out.data, messages[i].text);
    }
    hf_buf_release(&out);
}

static void each_message_is_decoded(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(messages); i++) {
        const struct message_vector *v = &messages[i];
        size_t len = strlen(v->text);
        char *data = exact_copy(v->text, len);
        const char *reason = NULL;
        struct hf_msg m;

        if (hf_json_decode(&m, data, len, v->from_server, &reason) < 0)
            fail_msg("%s: %s", v->text, reason);
        assert_same_message(&m, &v->m);
        free(data);
    }
}

static void a_message_cut_anywhere_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(messages); i++) {
        const struct message_vector *v = &messages[i];

        for (size_t len = 0; len < strlen(v->text); len++) {
            char *data = exact_copy(v->text, len);
            const char *reason = NULL;
            struct hf_msg m;

            assert_int_equal(hf_json_decode(&m, data, len, v->from_server, &reason), HF_EBADMSG);
            assert_string_equal(reason, "the JSON ends too early");
            free(data);
        }
    }
}

static void an_encoder_without_room_says_so(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(messages); i++) {
        struct hf_buf out;

        for (size_t room = 0; room < strlen(messages[i].text); room++) {
            hf_buf_init(&out, room);
            assert_int_equal(hf_json_encode(&out, &messages[i].m), HF_ELIMIT);
            hf_buf_release(&out);
        }
    }
}

/* "payloadBase64" in a client's `data`: bytes, in its place; a server's stays the text that it is. */
static void bytes_are_base64_in_json(void **state)
{
    static const struct {
        struct hf_str bytes;
        const char *base64;
    } vectors[] = {{S(""), ""}, {S("\xff"), "/w=="}, {S("\xff{"), "/3s="}, {S("\0\1\2\xff"), "AAEC/w=="}};
    struct hf_buf out, want;

    (void)state;
    hf_buf_init(&out, 4096);
    hf_buf_init(&want, 4096);
    for (size_t i = 0; i < COUNT(vectors); i++) {
        struct hf_msg m = {.type = HF_MSG_DATA,
                           .has = HF_HAS_CHANNEL | HF_HAS_PAYLOAD | HF_HAS_SEQ,
                           .channel = S("demo"),
                           .seq = 1,
                           .payload = vectors[i].bytes,
                           .payload_raw = true};
        const char *reason = NULL;

        hf_buf_reset(&out);
        hf_buf_reset(&want);
        assert_int_equal(hf_json_encode(&out, &m), 0);
        hf_buf_puts(&want, "{\"type\":\"data\",\"channel\":\"demo\",\"payloadBase64\":\"");
        hf_buf_puts(&want, vectors[i].base64);
        hf_buf_puts(&want, "\",\"seq\":1}");
        assert_int_equal(out.len, want.len);
        assert_memory_equal(out.data, want.data, want.len);
        assert_int_equal(hf_json_decode(&m, (char *)out.data, out.len, false, &reason), 0);
        assert_true(m.payload_raw && hf_str_eq(m.payload, vectors[i].bytes));
        assert_int_equal(m.has, HF_HAS_CHANNEL | HF_HAS_PAYLOAD | HF_HAS_SEQ);
        /* And so it goes on to those who speak JSON. */
        m.has |= HF_HAS_OFFSET;
        m.offset = 1;
        hf_buf_reset(&want);
        assert_int_equal(hf_json_put_data(&want, &m), 0);
        assert_int_equal(hf_buf_put(&want, "", 1), 0);
        assert_non_null(strstr((const char *)want.data, vectors[i].base64));
        assert_int_equal(hf_json_decode(&m, (char *)want.data, want.len - 1, true, &reason), 0);
        assert_true(!m.payload_raw && hf_str_eq(m.payload, hf_str_from(vectors[i].base64)));
    }
    hf_buf_release(&out);
    hf_buf_release(&want);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_message_is_encoded),
        cmocka_unit_test(each_message_is_decoded),
        cmocka_unit_test(a_message_cut_anywhere_is_refused),
        cmocka_unit_test(an_encoder_without_room_says_so),
        cmocka_unit_test(bytes_are_base64_in_json),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
