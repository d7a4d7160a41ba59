/*
 * test_session_binary.c - what a client session does in the binary form that JSON has not: numbers of channels, ids that are not written, bytes, several
 * records in a message; and which encoding it gets. Everything else is in test_session.c and test_client_session.c, which run in both.
 */
#include "client_session_fixture.h"

enum { CID = FIRST_CID }; /* of `demo`; c8 01 as a varint */

/* What the last message, or kept message, was told with. */
static char last_id[HF_LABEL_BYTES_MAX + 32];
static bool last_raw, last_base64;

static void note_message(struct fixture *f, const struct hf_client_session_event *ev)
{
    (void)f;
    if (ev->type != HF_CSE_MESSAGE && ev->type != HF_CSE_KEPT)
        return;
    (void)snprintf(last_id, sizeof(last_id), "%.*s", S(ev->id));
    last_raw = ev->payload_raw;
    last_base64 = ev->payload_base64;
}

static void begin(struct fixture *f, enum hf_encoding encoding)
{
    setup(f, false, encoding);
    f->in_callback = note_message;
    assert_int_equal(transcode_cid(&f->names, HF_STR("demo")), CID);
    last_id[0] = '\0';
    last_raw = last_base64 = false;
}

/* Records, as they are given, in one WebSocket message. */
static void serve_records(struct fixture *f, const struct hf_msg *messages, unsigned count)
{
    struct hf_buf records, out;

    hf_buf_init(&records, TEXT_MAX);
    hf_buf_init(&out, TEXT_MAX);
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(hf_binary_encode(&records, &messages[i]), 0);
    assert_int_equal(hf_ws_put_frame(&out, HF_WS_BINARY, records.data, records.len, NULL), 0);
    feed(f, out.data, out.len);
    hf_buf_release(&records);
    hf_buf_release(&out);
}

static void serve_record(struct fixture *f, const struct hf_msg *m)
{
    serve_records(f, m, 1);
}

static struct hf_msg data(uint64_t cid, uint64_t offset)
{
    return (struct hf_msg){.type = HF_MSG_DATA,
                           .has = HF_HAS_OFFSET,
                           .cid = cid,
                           .offset = offset,
                           .timestamp = 1,
                           .payload = HF_STR("1"),
                           .encoding = HF_ENCODING_BINARY};
}

static struct hf_msg subscribed(const char *channel, uint64_t cid, const char *epoch, uint64_t offset)
{
    return (struct hf_msg){.type = HF_MSG_SUBSCRIBED,
                           .channel = hf_str_from(channel),
                           .cid = cid,
                           .epoch = hf_str_from(epoch),
                           .offset = offset,
                           .recovered = true,
                           .encoding = HF_ENCODING_BINARY};
}

/* Follows `demo`, number CID, from e1:5. */
static void follow(struct fixture *f)
{
    struct hf_msg m = subscribed("demo", CID, "e1", 5);

    live(f);
    subscribe(f, "demo");
    said(f, "{\"type\":\"subscribe\",\"channel\":\"demo\"}\n");
    serve_record(f, &m);
    HEARD(f, "subscribed demo e1:5\n");
}

/* The bytes of what is said next, without the mask. */
static void said_bytes(struct fixture *f, const char *wanted, size_t len)
{
    struct hf_str out = hf_client_session_output(f->s, f->slot, f->now_ms);
    uint8_t *copy = malloc(out.len + 1);
    struct hf_ws_event ev;

    assert_non_null(copy);
    memcpy(copy, out.data, out.len);
    hf_client_session_sent(f->s, f->slot, out.len, f->now_ms);
    (void)hf_ws_recv(&f->server[f->slot], copy, out.len, &ev);
    assert_int_equal(ev.type, HF_WS_EV_BINARY);
    assert_int_equal(ev.len, len);
    assert_memory_equal(ev.data, wanted, len);
    free(copy);
}

/* --- which encoding --- */

static void offers_are_what_the_config_says(void **state)
{
    static const struct {
        enum hf_client_session_offer offer;
        const char *protocols;
        enum hf_encoding picked;
        bool taken;
    } cases[] = {
        {HF_OFFER_BOTH, "holdfast.v1.bin, holdfast.v1.json, hf.attempt.1", HF_ENCODING_BINARY, true},
        {HF_OFFER_BOTH, "holdfast.v1.bin, holdfast.v1.json, hf.attempt.1", HF_ENCODING_JSON, true},
        {HF_OFFER_JSON, "holdfast.v1.json, hf.attempt.1", HF_ENCODING_JSON, true},
        {HF_OFFER_JSON, "holdfast.v1.json, hf.attempt.1", HF_ENCODING_BINARY, false},
        {HF_OFFER_BINARY, "holdfast.v1.bin, hf.attempt.1", HF_ENCODING_BINARY, true},
        {HF_OFFER_BINARY, "holdfast.v1.bin, hf.attempt.1", HF_ENCODING_JSON, false},
    };
    struct hf_client_session_config config;
    struct fixture f;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        begin(&f, cases[i].picked);
        hf_client_session_free(f.s);
        config = config_of(&f);
        config.offer = cases[i].offer;
        begin_session(&f, &config, 0);
        dial(&f);
        accept_with(&f, WELCOME("s1", "false", "null", ""));
        assert_string_equal(f.protocols, cases[i].protocols);
        HEARD(&f, cases[i].taken ? "connected s1\n" : "ended 0 0\n");
        if (cases[i].taken)
            assert_int_equal(hf_client_session_is_binary(f.s), cases[i].picked == HF_ENCODING_BINARY);
        teardown(&f);
    }
}

/* "The other kind of message on either: close 1003." (PROTOCOL.md "Opening") */
static void the_other_kind_of_message_ends_the_connection(void **state)
{
    static const enum hf_encoding encodings[] = {HF_ENCODING_JSON, HF_ENCODING_BINARY};
    struct fixture f;

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        begin(&f, encodings[i]);
        live(&f);
        f.encoding = encodings[1 - i]; /* The server forgets what was agreed on. */
        serve(&f, PONG("7"));
        HEARD(&f, "disconnected 1003\n");
        said(&f, "close 1003\n");
        teardown(&f);
    }
}

/* --- records --- */

static void a_message_may_have_several_records(void **state)
{
    struct fixture f;
    struct hf_msg records[] = {data(CID, 6), data(CID, 7), {.type = HF_MSG_PING}, data(CID, 8)};

    (void)state;
    begin(&f, HF_ENCODING_BINARY);
    follow(&f);
    serve_records(&f, records, 4);
    HEARD(&f, "message demo 6 1\nmessage demo 7 1\nmessage demo 8 1\n");
    said(&f, "{\"type\":\"pong\",\"acks\":{\"demo\":7}}\n");
    teardown(&f);
}

static struct hf_msg welcome(struct hf_buf *channels)
{
    struct hf_msg m = {.type = HF_MSG_WELCOME,
                       .has = HF_HAS_CHANNELS | HF_HAS_LAST_SEQ,
                       .resumed = true,
                       .session = HF_STR("s1"),
                       .ticket = HF_STR("t-s1"),
                       .server_id = HF_STR("x"),
                       .interval_ms = 25000,
                       .heartbeat_min_ms = 10000,
                       .heartbeat_max_ms = 60000,
                       .max_message = 1000,
                       .address = HF_STR("a"),
                       .encoding = HF_ENCODING_BINARY};

    m.channels = hf_buf_str(channels);
    return m;
}

/* What was missed may follow the welcome in the same message. And a number is a connection's: on the next one it is another. */
static void numbers_are_a_connections_own(void **state)
{
    const struct hf_position at = {.channel = HF_STR("demo"), .epoch = HF_STR("e1"), .offset = 5, .cid = 300};
    struct hf_msg records[3], old = data(CID, 8);
    struct hf_buf channels;
    struct fixture f;

    (void)state;
    begin(&f, HF_ENCODING_BINARY);
    follow(&f);
    lose(&f);
    dial(&f);
    accept_with(&f, "");
    hf_buf_init(&channels, 1000);
    hf_items_put_position(&channels, HF_ENCODING_BINARY, &at);
    records[0] = welcome(&channels);
    records[1] = data(300, 6);
    records[2] = data(300, 7);
    serve_records(&f, records, 3);
    HEARD(&f, "connected s1 resumed\nmessage demo 6 1\nmessage demo 7 1\n");
    serve_record(&f, &old);
    HEARD(&f, "error bad_message\n");
    /* Also where the next one tells none. */
    lose(&f);
    dial(&f);
    accept_with(&f, WELCOME("s2", "false", "0", ""));
    old = data(300, 8);
    serve_record(&f, &old);
    HEARD(&f, "connected s2\nerror bad_message\n");
    hf_buf_release(&channels);
    teardown(&f);
}

static void a_broken_record_spoils_itself_alone(void **state)
{
    static const char bytes[] = {HF_MSG_ACK, 0, HF_MSG_PING, 0, 99, 2, 'x', 'y', HF_MSG_PING, 1};
    struct hf_buf out;
    struct fixture f;

    (void)state;
    begin(&f, HF_ENCODING_BINARY);
    live(&f);
    hf_buf_init(&out, 100);
    assert_int_equal(hf_ws_put_frame(&out, HF_WS_BINARY, bytes, sizeof(bytes), NULL), 0);
    feed(&f, out.data, out.len);
    HEARD(&f, "error bad_message\nerror bad_message\n"); /* the ack, and the framing behind the ping */
    said(&f, "{\"type\":\"pong\"}\n");
    hf_buf_release(&out);
    teardown(&f);
}

/* --- numbers --- */

static void a_number_that_was_not_told_is_an_error(void **state)
{
    struct hf_msg strange = data(77, 1);
    struct fixture f;

    (void)state;
    begin(&f, HF_ENCODING_BINARY);
    follow(&f);
    for (int i = 0; i < 31; i++) {
        serve_record(&f, &strange);
        HEARD(&f, "error bad_message\n");
    }
    serve_record(&f, &strange);
    HEARD(&f, "error bad_message\ndisconnected 0\n");
    said(&f, "close 1008\n");
    teardown(&f);
}

/* It was told, but there was no room for what it is of. */
static void a_channel_without_room_is_no_error_again(void **state)
{
    static const char *const names[] = {"a", "b", "c", "d"};
    struct hf_msg m, strange = data(500, 1);
    struct fixture f;

    (void)state;
    begin(&f, HF_ENCODING_BINARY);
    live(&f);
    for (unsigned i = 0; i < 4; i++) {
        m = subscribed(names[i], 100 + i, "e1", 0);
        serve_record(&f, &m);
    }
    HEARD(&f, "subscribed a e1:0\nsubscribed b e1:0\nsubscribed c e1:0\nsubscribed d e1:0\n");
    m = subscribed("e", 500, "e1", 0);
    serve_record(&f, &m);
    HEARD(&f, "error limit\n");
    for (int i = 0; i < 40; i++)
        serve_record(&f, &strange);
    HEARD(&f, "");
    teardown(&f);
}

static void a_new_epoch_has_a_new_number(void **state)
{
    struct hf_msg gap = {.type = HF_MSG_GAP,
                         .channel = HF_STR("demo"),
                         .cid = 19,
                         .epoch = HF_STR("e2"),
                         .code = HF_STR("epoch")};
    struct hf_msg of_new = data(19, 1), of_old = data(CID, 2);
    struct fixture f;

    (void)state;
    begin(&f, HF_ENCODING_BINARY);
    follow(&f);
    serve_record(&f, &gap);
    HEARD(&f, "gap demo e2 0-0 epoch\n");
    serve_record(&f, &of_new);
    HEARD(&f, "message demo 1 1\n");
    serve_record(&f, &of_old);
    HEARD(&f, "error bad_message\n");
    teardown(&f);
}

/* A server that gives one number to two channels is at fault; what it sends goes to the last, and the first can still be unsubscribed. */
static void a_number_given_twice_is_the_last_ones(void **state)
{
    struct hf_msg first = subscribed("a", CID, "e1", 0), second = subscribed("b", CID, "e1", 0),
                  m = data(CID, 1);
    struct fixture f;

    (void)state;
    begin(&f, HF_ENCODING_BINARY);
    live(&f);
    serve_record(&f, &first);
    m = data(CID, 1);
    serve_record(&f, &m);
    serve_record(&f, &second);
    serve_record(&f, &m);
    HEARD(&f, "subscribed a e1:0\nmessage a 1 1\nsubscribed b e1:0\nmessage b 1 1\n");
    m = (struct hf_msg){.type = HF_MSG_PING};
    serve_record(&f, &m); /* Only what has a number can be acknowledged with the pong. */
    said_bytes(&f, "\x0c\x05\x01\x03\xc8\x01\x01", 7);
    assert_int_equal(hf_client_session_unsubscribe(f.s, HF_STR("a"), f.now_ms), 0);
    teardown(&f);
}

static void publishes_and_acks_name_a_subscribed_channel_by_its_number(void **state)
{
    struct hf_msg m = data(CID, 6);
    struct fixture f;

    (void)state;
    begin(&f, HF_ENCODING_BINARY);
    live(&f);
    publish(&f, "1"); /* not subscribed: flags 1 (seq), seq 1, "demo", 1 byte of payload */
    said_bytes(&f,
               "\x06\x09\x01\x01\x04"
               "demo"
               "\x01"
               "1",
               11);
    subscribe(&f, "demo");
    said(&f, "{\"type\":\"subscribe\",\"channel\":\"demo\"}\n");
    m = subscribed("demo", CID, "e1", 5);
    serve_record(&f, &m);
    publish(&f, "1"); /* flags 5 (seq, cid) */
    said_bytes(&f,
               "\x06\x06\x05\x02\xc8\x01\x01"
               "1",
               8);
    m = data(CID, 6);
    serve_record(&f, &m);
    advance(&f, 1000);
    said_bytes(&f, "\x08\x04\x03\xc8\x01\x06", 6);
    teardown(&f);
}

/* --- ids --- */

static void an_id_that_is_not_written_is_epoch_and_offset(void **state)
{
    struct hf_msg m = data(CID, 6);
    struct fixture f;

    (void)state;
    begin(&f, HF_ENCODING_BINARY);
    follow(&f);
    serve_record(&f, &m);
    assert_string_equal(last_id, "e1-6");
    m = data(CID, 7);
    m.has |= HF_HAS_ID;
    m.id = HF_STR("mine");
    serve_record(&f, &m);
    assert_string_equal(last_id, "mine");
    teardown(&f);
}

static void a_historys_ids_are_of_its_epoch(void **state)
{
    struct hf_msg kept = data(40, 9), m = {.type = HF_MSG_HISTORY,
                                           .has = HF_HAS_MESSAGES,
                                           .id = HF_STR("r1"),
                                           .channel = HF_STR("demo"),
                                           .cid = 40,
                                           .epoch = HF_STR("e7"),
                                           .offset = 9,
                                           .encoding = HF_ENCODING_BINARY};
    const struct hf_client_session_history what = {.limit = 10};
    struct hf_buf list;
    struct fixture f;
    uint64_t id;

    (void)state;
    begin(&f, HF_ENCODING_BINARY);
    live(&f);
    assert_int_equal(hf_client_session_history(f.s, HF_STR("demo"), &what, &id, f.now_ms), 0);
    said(&f, "{\"type\":\"history\",\"id\":\"r1\",\"channel\":\"demo\",\"limit\":10}\n");
    hf_buf_init(&list, TEXT_MAX);
    hf_items_put_message(&list, HF_ENCODING_BINARY, &kept);
    m.messages = hf_buf_str(&list);
    serve_record(&f, &m);
    HEARD(&f, "kept 1 demo 9 1\nhistory 1 demo e7:9 of 1 \n");
    assert_string_equal(last_id, "e7-9");

    /* More than anybody may ask for. */
    assert_int_equal(hf_client_session_history(f.s, HF_STR("demo"), &what, &id, f.now_ms), 0);
    for (int i = 0; i < 1000; i++)
        hf_items_put_message(&list, HF_ENCODING_BINARY, &kept);
    m.id = HF_STR("r2");
    m.messages = hf_buf_str(&list);
    f.heard.failed = false;
    serve_record(&f, &m);
    assert_int_equal(hf_buf_put(&f.heard, "", 1), 0);
    assert_non_null(strstr((const char *)f.heard.data, "history 2 demo e7:9 of 1000 bad_message\n"));
    hf_buf_release(&list);
    teardown(&f);
}

/* --- bytes --- */

static void publish_bytes(struct fixture *f, struct hf_str bytes)
{
    assert_int_equal(hf_client_session_publish_bytes(f->s, HF_STR("demo"), (struct hf_str){NULL, 0}, bytes,
                                                     (struct hf_completion){NULL, NULL}, &f->publish_id,
                                                     f->now_ms),
                     0);
}

TEST(bytes_are_published_in_both_encodings)
{
    live(f);
    publish_bytes(f, (struct hf_str){"\xff{", 2});
    publish_bytes(f, (struct hf_str){NULL, 0});
    publish(f, "2");
    said(f, "{\"type\":\"data\",\"channel\":\"demo\",\"payloadBase64\":\"/3s=\",\"seq\":1}\n"
            "{\"type\":\"data\",\"channel\":\"demo\",\"payloadBase64\":\"\",\"seq\":2}\n" SAID_DATA(
                "demo", "2", "3"));
}

static void bytes_arrive_as_bytes(void **state)
{
    struct hf_msg m = data(CID, 6);
    struct fixture f;

    (void)state;
    begin(&f, HF_ENCODING_BINARY);
    follow(&f);
    m.payload = HF_STR("\xff{");
    m.payload_raw = true;
    serve_record(&f, &m);
    HEARD(&f, "message demo 6 \xff{\n");
    assert_true(last_raw && !last_base64);
    m = data(CID, 7);
    serve_record(&f, &m);
    assert_true(!last_raw && !last_base64);
    teardown(&f);
    begin(&f, HF_ENCODING_JSON);
    following(&f);
    serve(&f, "{\"type\":\"data\",\"channel\":\"demo\",\"offset\":6,\"id\":\"i\",\"payloadBase64\":\"/"
              "3s=\",\"timestamp\":1}\n");
    HEARD(&f, "message demo 6 /3s=\n");
    assert_true(!last_raw && last_base64);
    teardown(&f);
}

/* The next process sends as bytes what its predecessor was given as bytes, be there none of them. */
TEST(bytes_outlive_their_process)
{
    hf_client_session_free(f->s);
    begin_durable(f, 0);
    publish_bytes(f, (struct hf_str){"\xff{", 2});
    publish_bytes(f, HF_STR(""));
    publish(f, "3");
    hf_client_session_free(f->s);
    begin_durable(f, 0);
    f->attempt = 0;
    dial(f);
    accept_with(f, WELCOME("s1", "false", "null", ""));
    said(f, "{\"type\":\"ping\",\"id\":\"1\"}\n"
            "{\"type\":\"data\",\"channel\":\"demo\",\"payloadBase64\":\"/3s=\",\"seq\":1}\n"
            "{\"type\":\"data\",\"channel\":\"demo\",\"payloadBase64\":\"\",\"seq\":2}\n" SAID_DATA(
                "demo", "3", "3"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(offers_are_what_the_config_says),
        cmocka_unit_test(the_other_kind_of_message_ends_the_connection),
        cmocka_unit_test(a_message_may_have_several_records),
        cmocka_unit_test(numbers_are_a_connections_own),
        cmocka_unit_test(a_broken_record_spoils_itself_alone),
        cmocka_unit_test(a_number_that_was_not_told_is_an_error),
        cmocka_unit_test(a_channel_without_room_is_no_error_again),
        cmocka_unit_test(a_new_epoch_has_a_new_number),
        cmocka_unit_test(a_number_given_twice_is_the_last_ones),
        cmocka_unit_test(publishes_and_acks_name_a_subscribed_channel_by_its_number),
        cmocka_unit_test(an_id_that_is_not_written_is_epoch_and_offset),
        cmocka_unit_test(a_historys_ids_are_of_its_epoch),
        cmocka_unit_test(bytes_are_published_in_both_encodings),
        cmocka_unit_test(bytes_arrive_as_bytes),
        cmocka_unit_test(bytes_outlive_their_process),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
