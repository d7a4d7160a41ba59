/* The lists within messages: what is made in either encoding goes through encoder and decoder, and is walked to the same. */
#include "wire/binary.h"
#include "wire/items.h"
#include "wire/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* A message on its way: what it was encoded to, and what was decoded of that. */
struct way {
    struct hf_buf list, bytes;
    struct hf_msg m;
};

static void way_begin(struct way *w, enum hf_encoding encoding, enum hf_items_kind kind)
{
    hf_buf_init(&w->list, 1u << 16);
    hf_buf_init(&w->bytes, 1u << 16);
    hf_items_begin(&w->list, encoding, kind);
}

static void way_release(struct way *w)
{
    hf_buf_release(&w->list);
    hf_buf_release(&w->bytes);
}

static void go_binary(struct way *w, bool from_server)
{
    enum hf_binary_fault fault = HF_BINARY_OK;
    struct hf_binary_reader reader;
    struct hf_binary_record record;

    assert_int_equal(hf_binary_encode(&w->bytes, &w->m), 0);
    hf_binary_reader_init(&reader, w->bytes.data, w->bytes.len);
    assert_int_equal(hf_binary_next(&reader, &record, &fault), 1);
    assert_int_equal(hf_binary_decode(&w->m, &record, from_server, &fault), 0);
}

/* End the list, which `list` of w->m is to be, and send it. */
static void way_go(struct way *w, struct hf_str *list, enum hf_items_kind kind, bool from_server)
{
    const char *reason = NULL;

    hf_items_end(&w->list, w->m.encoding, kind);
    assert_false(w->list.failed);
    *list = hf_buf_str(&w->list);
    if (w->m.encoding == HF_ENCODING_BINARY) {
        go_binary(w, from_server);
        return;
    }
    assert_int_equal(hf_json_encode(&w->bytes, &w->m), 0);
    assert_int_equal(hf_json_decode(&w->m, (char *)w->bytes.data, w->bytes.len, from_server, &reason), 0);
}

static enum hf_encoding encoding_of(void **state)
{
    return *(enum hf_encoding *)*state;
}

static void offsets(void **state)
{
    static const uint64_t numbers[] = {7, 0, HF_NUMBER_MAX, 300};
    struct way w = {.m = {.type = HF_MSG_ACK,
                          .has = HF_HAS_SEQ | HF_HAS_OFFSETS,
                          .seq = 9,
                          .encoding = encoding_of(state)}};
    struct hf_items it;
    uint64_t offset;

    way_begin(&w, w.m.encoding, HF_ITEMS_ARRAY);
    for (size_t i = 0; i < 4; i++)
        hf_items_put_offset(&w.list, w.m.encoding, numbers[i]);
    way_go(&w, &w.m.offsets, HF_ITEMS_ARRAY, true);
    it = hf_items(&w.m, w.m.offsets);
    assert_int_equal(hf_items_offsets_left(it), 4);
    for (size_t i = 0; i < 4; i++) {
        assert_true(hf_items_offset(&it, &offset));
        assert_true(offset == numbers[i]);
    }
    assert_false(hf_items_offset(&it, &offset));
    assert_int_equal(hf_items_offsets_left(it), 0);
    way_release(&w);
}

static void no_offsets(void **state)
{
    struct way w = {.m = {.type = HF_MSG_ACK,
                          .has = HF_HAS_SEQ | HF_HAS_OFFSETS,
                          .seq = 9,
                          .encoding = encoding_of(state)}};
    struct hf_items it;
    uint64_t offset;

    way_begin(&w, w.m.encoding, HF_ITEMS_ARRAY);
    way_go(&w, &w.m.offsets, HF_ITEMS_ARRAY, true);
    it = hf_items(&w.m, w.m.offsets);
    assert_false(hf_items_offset(&it, &offset));
    way_release(&w);
}

static void acks(void **state)
{
    struct way w = {.m = {.type = HF_MSG_PONG, .has = HF_HAS_ACKS, .encoding = encoding_of(state)}};
    bool binary = w.m.encoding == HF_ENCODING_BINARY;
    struct hf_items_ack ack;
    struct hf_items it;

    way_begin(&w, w.m.encoding, HF_ITEMS_OBJECT);
    hf_items_put_ack(&w.list, w.m.encoding, HF_STR("a\"b\\"), 18, 5);
    hf_items_put_ack(&w.list, w.m.encoding, HF_STR("demo"), 70000, HF_NUMBER_MAX);
    way_go(&w, &w.m.acks, HF_ITEMS_OBJECT, false);
    it = hf_items(&w.m, w.m.acks);
    assert_true(hf_items_ack(&it, &ack));
    assert_true(ack.offset == 5 && ack.cid == (binary ? 18 : 0));
    assert_true(hf_str_eq(ack.channel, binary ? HF_STR("") : HF_STR("a\"b\\")));
    assert_true(hf_items_ack(&it, &ack));
    assert_true(ack.offset == HF_NUMBER_MAX && ack.cid == (binary ? 70000 : 0));
    assert_true(hf_str_eq(ack.channel, binary ? HF_STR("") : HF_STR("demo")));
    assert_false(hf_items_ack(&it, &ack));
    way_release(&w);
}

/* A name that is longer than any channel's is nobody's: its ack is seen, and the one behind it too. */
static void an_ack_for_a_name_that_is_too_long(void **state)
{
    struct hf_buf list;
    struct hf_msg m = {.type = HF_MSG_PONG, .has = HF_HAS_ACKS};
    struct hf_items_ack ack;
    struct hf_items it;
    char name[HF_CHANNEL_BYTES_MAX + 1];

    (void)state;
    memset(name, 'n', sizeof(name));
    hf_buf_init(&list, 1u << 16);
    hf_items_begin(&list, HF_ENCODING_JSON, HF_ITEMS_OBJECT);
    hf_items_put_ack(&list, HF_ENCODING_JSON, (struct hf_str){name, sizeof(name)}, 0, 5);
    hf_items_put_ack(&list, HF_ENCODING_JSON, HF_STR("demo"), 0, 6);
    hf_items_end(&list, HF_ENCODING_JSON, HF_ITEMS_OBJECT);
    it = hf_items(&m, hf_buf_str(&list));
    assert_true(hf_items_ack(&it, &ack));
    assert_int_equal(ack.channel.len, 0);
    assert_true(hf_items_ack(&it, &ack));
    assert_true(hf_str_eq(ack.channel, HF_STR("demo")));
    assert_false(hf_items_ack(&it, &ack));
    hf_buf_release(&list);
}

static void positions(void **state)
{
    const struct hf_position first = {
        .channel = HF_STR("r\xc3\xa4ume/\"1\""), .epoch = HF_STR("e\\1"), .offset = 0, .cid = 18};
    const struct hf_position second = {
        .channel = HF_STR("demo"), .epoch = HF_STR("e2"), .offset = HF_NUMBER_MAX, .cid = 300};
    struct way w = {.m = {.type = HF_MSG_WELCOME,
                          .has = HF_HAS_CHANNELS,
                          .session = HF_STR("s"),
                          .ticket = HF_STR("t"),
                          .server_id = HF_STR("i"),
                          .address = HF_STR("a"),
                          .encoding = encoding_of(state)}};
    bool binary = w.m.encoding == HF_ENCODING_BINARY;
    struct hf_position p;
    struct hf_items it;

    way_begin(&w, w.m.encoding, HF_ITEMS_ARRAY);
    hf_items_put_position(&w.list, w.m.encoding, &first);
    hf_items_put_position(&w.list, w.m.encoding, &second);
    way_go(&w, &w.m.channels, HF_ITEMS_ARRAY, true);
    it = hf_items(&w.m, w.m.channels);
    assert_int_equal(hf_items_position(&it, &p), 1);
    assert_true(hf_str_eq(p.channel, first.channel) && hf_str_eq(p.epoch, first.epoch) && p.offset == 0);
    assert_true(p.cid == (binary ? 18 : 0));
    assert_int_equal(hf_items_position(&it, &p), 1);
    assert_true(hf_str_eq(p.channel, second.channel) && hf_str_eq(p.epoch, second.epoch) &&
                p.offset == HF_NUMBER_MAX);
    assert_true(p.cid == (binary ? 300 : 0));
    assert_int_equal(hf_items_position(&it, &p), 0);
    way_release(&w);
}

static void refusals(void **state)
{
    const struct hf_items_refusal first = {
        .seq = 7, .code = HF_STR("too_large"), .reason = HF_STR("more \"than\" 9")};
    const struct hf_items_refusal second = {
        .seq = HF_NUMBER_MAX, .code = HF_STR("limit"), .reason = HF_STR("")};
    struct way w = {.m = {.type = HF_MSG_WELCOME,
                          .has = HF_HAS_LAST_SEQ,
                          .session = HF_STR("s"),
                          .ticket = HF_STR("t"),
                          .server_id = HF_STR("x"),
                          .address = HF_STR("a"),
                          .encoding = encoding_of(state)}};
    struct hf_items_refusal r;
    struct hf_items it;

    way_begin(&w, w.m.encoding, HF_ITEMS_ARRAY);
    hf_items_put_refusal(&w.list, w.m.encoding, &first);
    hf_items_put_refusal(&w.list, w.m.encoding, &second);
    way_go(&w, &w.m.refusals, HF_ITEMS_ARRAY, true);
    it = hf_items(&w.m, w.m.refusals);
    assert_int_equal(hf_items_refusal(&it, &r), 1);
    assert_true(r.seq == 7 && hf_str_eq(r.code, first.code) && hf_str_eq(r.reason, first.reason));
    assert_int_equal(hf_items_refusal(&it, &r), 1);
    assert_true(r.seq == HF_NUMBER_MAX && hf_str_eq(r.code, second.code) && r.reason.len == 0);
    assert_int_equal(hf_items_refusal(&it, &r), 0);
    way_release(&w);
}

static void a_refusal_is_read_whole(void **state)
{
    static const char *const bad[] = {
        "[1]",
        "[{}]",
        "[{\"seq\":1,\"code\":\"c\"}]",
        "[{\"seq\":-1,\"code\":\"c\",\"reason\":\"r\"}]",
        "[{\"seq\":1,\"code\":2,\"reason\":\"r\"}]",
        "[{\"seq\":1,\"code\":\"c\",\"reason\":null}]",
        "[{\"seq\":1,\"code\":\"c\",\"reason\":\"\\ud800\"}]",
        "[{\"seq\":1,\"seq\":2,\"code\":\"c\",\"reason\":\"r\"}]",
    };
    static const char *const broken[] = {"\x01", "\x01\x00", "\x02\x00\x01", "\x04\x00\x01\x02z",
                                         "\x05\x00\x01\x01z\x01"};
    struct hf_items_refusal r;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct hf_items it = {hf_str_from(bad[i]), HF_ENCODING_JSON};

        assert_int_equal(hf_items_refusal(&it, &r), HF_EBADMSG);
    }
    for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
        struct hf_items it = {{broken[i], i == 1   ? 2
                                          : i == 0 ? 1
                                                   : (size_t)broken[i][0] + 1},
                              HF_ENCODING_BINARY};

        assert_int_equal(hf_items_refusal(&it, &r), HF_EBADMSG);
    }
}

static void members(void **state)
{
    const struct hf_items_member first = {
        .session = HF_STR("s\n1"), .user = HF_STR("ann"), .info = HF_STR("{\"away\":true}")};
    const struct hf_items_member second = {.session = HF_STR("s2"), .user = HF_STR("")};
    struct way w = {.m = {.type = HF_MSG_PRESENCE,
                          .has = HF_HAS_MEMBERS,
                          .id = HF_STR("p"),
                          .channel = HF_STR("demo"),
                          .encoding = encoding_of(state)}};
    struct hf_items_member member;
    struct hf_items it;

    way_begin(&w, w.m.encoding, HF_ITEMS_ARRAY);
    hf_items_put_member(&w.list, w.m.encoding, &first);
    hf_items_put_member(&w.list, w.m.encoding, &second);
    way_go(&w, &w.m.members, HF_ITEMS_ARRAY, true);
    it = hf_items(&w.m, w.m.members);
    assert_int_equal(hf_items_member(&it, &member), 1);
    assert_true(hf_str_eq(member.session, first.session) && hf_str_eq(member.user, first.user));
    assert_true(hf_str_eq(member.info, first.info));
    assert_int_equal(hf_items_member(&it, &member), 1);
    assert_true(hf_str_eq(member.session, second.session) && member.user.len == 0);
    assert_null(member.info.data);
    assert_int_equal(hf_items_member(&it, &member), 0);
    way_release(&w);
}

static void messages(void **state)
{
    const struct hf_msg data = {.type = HF_MSG_DATA,
                                .has = HF_HAS_CHANNEL | HF_HAS_OFFSET | HF_HAS_ID | HF_HAS_PAYLOAD |
                                       HF_HAS_TIMESTAMP,
                                .channel = HF_STR("demo"),
                                .cid = 18,
                                .offset = 3,
                                .timestamp = 1000,
                                .id = HF_STR("a\"b"),
                                .payload = HF_STR("[1, 2]")};
    struct way w = {.m = {.type = HF_MSG_HISTORY,
                          .has = HF_HAS_MESSAGES,
                          .id = HF_STR("h"),
                          .channel = HF_STR("demo"),
                          .cid = 18,
                          .epoch = HF_STR("e1"),
                          .offset = 3,
                          .encoding = encoding_of(state)}};
    struct hf_items it;
    struct hf_msg m;

    way_begin(&w, w.m.encoding, HF_ITEMS_ARRAY);
    hf_items_put_message(&w.list, w.m.encoding, &data);
    hf_items_put_message(&w.list, w.m.encoding, &data);
    way_go(&w, &w.m.messages, HF_ITEMS_ARRAY, true);
    it = hf_items(&w.m, w.m.messages);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(hf_items_message(&it, &m), 1);
        assert_true(m.offset == 3 && m.timestamp == 1000 && hf_str_eq(m.id, data.id) &&
                    hf_str_eq(m.payload, data.payload));
    }
    assert_int_equal(hf_items_message(&it, &m), 0);
    way_release(&w);
}

/* Elements that no decoder has looked at yet. */
static void an_element_that_is_none_is_refused(void **state)
{
    static const char *const bad[] = {
        "[1]",
        "[{}]",
        "[{\"channel\":\"c\",\"epoch\":\"e\"}]",
        "[{\"channel\":\"c\",\"epoch\":\"e\",\"offset\":null}]",
        "[{\"channel\":\"\",\"epoch\":\"e\",\"offset\":1}]",
        "[{\"channel\":\"\\n\",\"epoch\":\"e\",\"offset\":1}]",
        "[{\"channel\":\"\\ud800\",\"epoch\":\"e\",\"offset\":1}]",
        "[{\"channel\":1,\"epoch\":\"e\",\"offset\":1}]",
        "[{\"channel\":\"c\",\"epoch\":2,\"offset\":1}]",
        "[{\"channel\":\"c\",\"epoch\":\"e\",\"offset\":1,\"offset\":2}]",
    };
    struct hf_position p;
    struct hf_items_member member;
    struct hf_msg m;

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char *text = strdup(bad[i]);
        struct hf_items it = {hf_str_from(text), HF_ENCODING_JSON};

        assert_non_null(text);
        assert_int_equal(hf_items_position(&it, &p), HF_EBADMSG);
        it.rest = hf_str_from(text);
        assert_int_equal(hf_items_member(&it, &member), HF_EBADMSG);
        it.rest = hf_str_from(text);
        assert_int_equal(hf_items_message(&it, &m), HF_EBADMSG);
        free(text);
    }
}

/* An epoch of `bytes` bytes, all of them escaped, which makes it six times as long on the wire. */
static int position_with_epoch(unsigned bytes)
{
    struct hf_position p;
    struct hf_items it = {.encoding = HF_ENCODING_JSON};
    struct hf_buf text;
    int found;

    hf_buf_init(&text, 1u << 16);
    hf_buf_puts(&text, "[{\"x\":[],\"offset\":4,\"channel\":\"c\\u00e9\",\"epoch\":\"");
    for (unsigned i = 0; i < bytes; i++)
        hf_buf_puts(&text, "\\u0065");
    assert_int_equal(hf_buf_puts(&text, "\"}]"), 0);
    it.rest = hf_buf_str(&text);
    found = hf_items_position(&it, &p);
    if (found == 1)
        assert_true(hf_str_eq(p.channel, HF_STR("c\xc3\xa9")) && p.epoch.len == bytes &&
                    p.epoch.data[0] == 'e');
    hf_buf_release(&text);
    return found;
}

static void a_position_may_be_escaped_and_is_bounded(void **state)
{
    (void)state;
    assert_int_equal(position_with_epoch(1), 1);
    assert_int_equal(position_with_epoch(HF_LABEL_BYTES_MAX), 1);
    assert_int_equal(position_with_epoch(HF_LABEL_BYTES_MAX + 1), HF_EBADMSG);
}

int main(void)
{
    static enum hf_encoding json = HF_ENCODING_JSON, binary = HF_ENCODING_BINARY;
#define IN_BOTH(test)                                                                                        \
    {#test " in JSON", test, NULL, NULL, &json},                                                             \
    {                                                                                                        \
#test " in binary", test, NULL, NULL, &binary                                                        \
    }
    const struct CMUnitTest tests[] = {
        IN_BOTH(offsets),
        IN_BOTH(no_offsets),
        IN_BOTH(acks),
        cmocka_unit_test(an_ack_for_a_name_that_is_too_long),
        IN_BOTH(positions),
        IN_BOTH(refusals),
        cmocka_unit_test(a_refusal_is_read_whole),
        IN_BOTH(members),
        IN_BOTH(messages),
        cmocka_unit_test(an_element_that_is_none_is_refused),
        cmocka_unit_test(a_position_may_be_escaped_and_is_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
