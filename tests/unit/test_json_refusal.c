/*
 * What hf_json_decode refuses, with which reason, and what can be read of a message all the same. The tables here are
 * written from PROTOCOL.md alone, so that they check those in member.c.
 */
#include "wire/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define CUT "the JSON ends too early"

enum { CLIENTS, SERVERS };

static char *exact_copy(struct hf_str s)
{
    char *copy = malloc(s.len > 0 ? s.len : 1);

    assert_non_null(copy);
    memcpy(copy, s.data, s.len);
    return copy;
}

/* The reason why this is refused, or NULL where it is not. */
static const char *refusal(struct hf_str text, bool from_server)
{
    char *data = exact_copy(text);
    const char *reason = NULL;
    struct hf_msg m;
    int err = hf_json_decode(&m, data, text.len, from_server, &reason);

    free(data);
    assert_true(err == 0 ? reason == NULL : err == HF_EBADMSG && reason != NULL);
    return reason;
}

static void assert_refused(const char *text, bool from_server, const char *want)
{
    const char *reason = refusal(hf_str_from(text), from_server);

    if (reason == NULL || strcmp(reason, want) != 0)
        fail_msg("%s: %s, not %s", text, reason == NULL ? "accepted" : reason, want);
}

/* Each message with every member that it can have; `!` behind a name: required. */
static const struct {
    bool from_server;
    const char *type;
    const char *members;
} schemas[] = {
    {SERVERS, "welcome",
     "session!s ticket!s resumed!b lastSeq?n ttl!n serverId!s serverTime!n heartbeat!h lossSpread!n "
     "maxMessage!n "
     "address!s channels?a refusals?a"},
    {SERVERS, "subscribed", "channel!s epoch!s offset!n recovered!b"},
    {SERVERS, "unsubscribed", "channel!s code?s reason?s"},
    {SERVERS, "data", "channel!s offset!n id!s payload!v timestamp!n from?s"},
    {SERVERS, "gap", "channel!s epoch!s from?n to?n code!s"},
    {SERVERS, "ack", "seq!n offsets!a"},
    {SERVERS, "ack", "id!s offsets!a"},
    {SERVERS, "nack", "seq?n id?s code!s reason!s"},
    {SERVERS, "ping", ""},
    {SERVERS, "pong", "id?s serverTime!n serverId!s"},
    {SERVERS, "heartbeat", "interval!n"},
    {SERVERS, "reconnect", "after!w code!s url?s"},
    {SERVERS, "history", "id!s channel!s epoch!s offset!n messages!a"},
    {SERVERS, "presence", "id!s channel!s members!a"},
    {SERVERS, "join", "channel!s session!s user!s info?v"},
    {SERVERS, "leave", "channel!s session!s user!s info?v"},
    {SERVERS, "reply", "id!s payload!v"},
    {SERVERS, "reply", "id!s code!s reason!s"},
    {SERVERS, "error", "code!s reason!s re!s id?s channel?s expected?n"},
    {CLIENTS, "subscribe", "channel!s since?p last?n mode?m presence?b"},
    {CLIENTS, "unsubscribe", "channel!s"},
    {CLIENTS, "data", "channel!s payload!v seq?n id?s timestamp?n"},
    {CLIENTS, "ack", "channel!s offset!n"},
    {CLIENTS, "ack", "channel!s ackId!s"},
    {CLIENTS, "sync_request", "channel!s offset!n"},
    {CLIENTS, "ping", "id?s"},
    {CLIENTS, "pong", "acks?o"},
    {CLIENTS, "heartbeat", "interval!n"},
    {CLIENTS, "history", "id!s channel!s since?p limit?n reverse?b"},
    {CLIENTS, "presence", "id!s channel!s"},
    {CLIENTS, "call", "id!s method!s payload!v"},
    {CLIENTS, "refresh", "token!s"},
    {CLIENTS, "bye", ""},
};

/* A value of each kind. A value of another letter is wrong for it, but for v, which takes all. */
static const struct {
    char kind;
    const char *text;
} values[] = {
    {'s', "\"x\""},      {'n', "7"},
    {'b', "false"},      {'a', "[]"},
    {'o', "{}"},         {'h', "{\"interval\":1,\"min\":2,\"max\":3}"},
    {'w', "[1,2]"},      {'p', "{\"epoch\":\"e\",\"offset\":0}"},
    {'m', "\"latest\""}, {'v', "-1.5e3"},
    {'-', "1.0"},        {'-', "1e3"},
    {'-', "-1"},         {'-', "9007199254740992"},
};

static const char *value_of(char kind)
{
    for (size_t i = 0; i < COUNT(values); i++)
        if (values[i].kind == kind)
            return values[i].text;
    return "";
}

/* What a member of kind `want` makes of a value of kind `given`: a mode is a string too, and so on. */
static bool fits(char want, char given)
{
    return want == 'v' || want == given || (want == 's' && given == 'm') || (want == 'o' && given == 'h');
}

/* Take the next "name!k" off a list. */
static bool next_spec(const char **list, struct hf_str *name, char *rule, char *kind)
{
    size_t len = strcspn(*list, "!?");

    if ((*list)[len] == '\0')
        return false;
    *name = (struct hf_str){*list, len};
    *rule = (*list)[len];
    *kind = (*list)[len + 1];
    *list += len + 2 + ((*list)[len + 2] == ' ');
    return true;
}

/* How the member at index `at` is written: as it should be, not at all, with this value, or twice. */
enum change { LEFT_OUT, GIVEN_AS, TWICE };

static void put_member(struct hf_buf *out, struct hf_str name, const char *value)
{
    hf_buf_putf(out, ",\"%.*s\":%s", (int)name.len, name.data, value);
}

/* The message of a schema with one member changed; at -1: with none changed. */
static struct hf_str changed(struct hf_buf *out, size_t schema, int at, enum change change, const char *as)
{
    const char *list = schemas[schema].members;
    struct hf_str name;
    char rule, kind;

    hf_buf_reset(out);
    hf_buf_putf(out, "{\"type\":\"%s\"", schemas[schema].type);
    for (int i = 0; next_spec(&list, &name, &rule, &kind); i++) {
        if (i != at || change == TWICE)
            put_member(out, name, value_of(kind));
        if (i == at && change != LEFT_OUT)
            put_member(out, name, change == GIVEN_AS ? as : value_of(kind));
    }
    hf_buf_puts(out, "}");
    assert_false(out->failed);
    return hf_buf_str(out);
}

static void assert_told(struct hf_str text, bool from_server, struct hf_str name, const char *what)
{
    const char *reason = refusal(text, from_server);

    if (reason == NULL || memmem(reason, strlen(reason), name.data, name.len) == NULL ||
        strstr(reason, what) == NULL)
        fail_msg("%.*s: %s", (int)text.len, text.data, reason == NULL ? "accepted" : reason);
}

static void assert_accepted(struct hf_str text, bool from_server)
{
    const char *reason = refusal(text, from_server);

    if (reason != NULL)
        fail_msg("%.*s: %s", (int)text.len, text.data, reason);
}

static void a_member_is_left_out(struct hf_buf *out, size_t schema, int at, struct hf_str name, char rule,
                                 char kind)
{
    bool from_server = schemas[schema].from_server;

    if (rule == '!')
        assert_told(changed(out, schema, at, LEFT_OUT, NULL), from_server, name, "missing");
    else
        assert_accepted(changed(out, schema, at, LEFT_OUT, NULL), from_server);
    /* "null" is the same, but for a payload, which it is the value of. */
    if (rule == '!' && kind != 'v')
        assert_told(changed(out, schema, at, GIVEN_AS, "null"), from_server, name, "missing");
    else
        assert_accepted(changed(out, schema, at, GIVEN_AS, "null"), from_server);
}

static void a_member_is_of_another_kind(struct hf_buf *out, size_t schema, int at, struct hf_str name,
                                        char kind)
{
    for (size_t i = 0; i < COUNT(values); i++) {
        struct hf_str text = changed(out, schema, at, GIVEN_AS, values[i].text);

        if (kind == 'a' && values[i].kind == 'w')
            continue; /* [1,2] is an array of offsets as well. */
        if (fits(kind, values[i].kind))
            assert_accepted(text, schemas[schema].from_server);
        else
            assert_told(text, schemas[schema].from_server, name, "must be");
    }
}

static void each_member_is_checked(void **state)
{
    struct hf_buf out;

    (void)state;
    hf_buf_init(&out, 4096);
    for (size_t s = 0; s < COUNT(schemas); s++) {
        const char *list = schemas[s].members;
        struct hf_str name;
        char rule, kind;

        assert_accepted(changed(&out, s, -1, LEFT_OUT, NULL), schemas[s].from_server);
        for (int at = 0; next_spec(&list, &name, &rule, &kind); at++) {
            a_member_is_left_out(&out, s, at, name, rule, kind);
            a_member_is_of_another_kind(&out, s, at, name, kind);
            assert_told(changed(&out, s, at, TWICE, NULL), schemas[s].from_server, name, "is given twice");
        }
    }
    hf_buf_release(&out);
}

static bool goes(const char *type, bool from_server)
{
    for (size_t i = 0; i < COUNT(schemas); i++)
        if (schemas[i].from_server == from_server && strcmp(schemas[i].type, type) == 0)
            return true;
    return false;
}

static void a_type_of_the_other_direction_is_refused(void **state)
{
    char text[64];

    (void)state;
    for (size_t i = 0; i < COUNT(schemas); i++) {
        snprintf(text, sizeof(text), "{\"type\":\"%s\"}", schemas[i].type);
        if (!goes(schemas[i].type, CLIENTS))
            assert_refused(text, CLIENTS, "a client sends no such type");
        if (!goes(schemas[i].type, SERVERS))
            assert_refused(text, SERVERS, "a server sends no such type");
    }
}

static const struct {
    bool from_server;
    const char *text;
    const char *reason;
} bad[] = {
    {CLIENTS, "", CUT},
    {CLIENTS, "  ", CUT},
    {CLIENTS, "[]", "a message must be a JSON object"},
    {CLIENTS, "\"ping\"", "a message must be a JSON object"},
    {CLIENTS, "null", "a message must be a JSON object"},
    {CLIENTS, "{}", "type is missing"},
    {CLIENTS, "{\"channel\":\"a\"}", "type is missing"},
    {CLIENTS, "{\"type\":null}", "type is missing"},
    {CLIENTS, "{\"type\":1}", "type must be a string"},
    {CLIENTS, "{\"type\":\"\\ud800\"}", "type must be a string"},
    {CLIENTS, "{\"type\":\"Ping\"}", "type is unknown"},
    {CLIENTS, "{\"type\":\"\"}", "type is unknown"},
    {CLIENTS, "{\"type\":\"ping\",\"type\":\"ping\"}", "type is given twice"},
    {CLIENTS, "{\"type\":\"ping\",\"\\u0074ype\":\"ping\"}", "type is given twice"},
    {CLIENTS, "{\"type\":\"ping\"}x", "something stands behind the message"},
    {CLIENTS, "{\"type\":\"ping\"}{\"type\":\"ping\"}", "something stands behind the message"},
    {CLIENTS, "{\"type\":\"ping\",}", "a member's name was expected"},
    {CLIENTS, "{\"type\":\"ping\"]", "a ',' or '}' was expected"},
    {CLIENTS, "{\"type\" \"ping\"}", "a ':' was expected"},
    {CLIENTS, "{,}", "a member's name was expected"},
    {CLIENTS, "{\"type\":\"ping\",\"x\":01}", "a ',' or '}' was expected"},
    {CLIENTS, "{\"type\":\"ping\",\"x\":\"\t\"}", "a string has an unescaped control character"},
    {CLIENTS, "{\"type\":\"ping\",\"x\":[{\"y\":tru}]}", "a value was expected"},
    {CLIENTS, "{\"type\":\"ping\",\"id\":\"\\ud800\"}", "id must be a string of at most 255 bytes"},
    {CLIENTS, "{\"type\":\"refresh\",\"token\":\"\\udc00x\"}", "token must be a string"},
    {CLIENTS, "{\"type\":\"unsubscribe\",\"channel\":\"\"}",
     "channel must be 1 to 255 bytes of UTF-8 without control characters"},
    {CLIENTS, "{\"type\":\"unsubscribe\",\"channel\":\"a\\u0000\"}",
     "channel must be 1 to 255 bytes of UTF-8 without control characters"},
    {CLIENTS, "{\"type\":\"unsubscribe\",\"channel\":\"a\\u0085\"}",
     "channel must be 1 to 255 bytes of UTF-8 without control characters"},
    {CLIENTS, "{\"type\":\"subscribe\",\"channel\":\"a\",\"mode\":\"newest\"}",
     "mode must be \"all\" or \"latest\""},
    {CLIENTS, "{\"type\":\"subscribe\",\"channel\":\"a\",\"since\":{\"epoch\":\"e\"}}",
     "since must be an object with epoch and offset"},
    {CLIENTS, "{\"type\":\"subscribe\",\"channel\":\"a\",\"since\":{\"epoch\":1,\"offset\":1}}",
     "since must be an object with epoch and offset"},
    {CLIENTS, "{\"type\":\"subscribe\",\"channel\":\"a\",\"since\":{\"epoch\":\"e\",\"offset\":1.0}}",
     "since must be an object with epoch and offset"},
    {CLIENTS,
     "{\"type\":\"subscribe\",\"channel\":\"a\",\"since\":{\"epoch\":\"e\",\"offset\":1,\"offset\":1}}",
     "since must be an object with epoch and offset"},
    {CLIENTS, "{\"type\":\"ack\",\"channel\":\"a\"}", "offset is missing, and so is ackId"},
    {CLIENTS, "{\"type\":\"pong\",\"acks\":{\"a\":\"1\"}}", "acks must be an object of channels and offsets"},
    {CLIENTS, "{\"type\":\"pong\",\"acks\":{\"a\":1,\"b\":-1}}",
     "acks must be an object of channels and offsets"},
    {CLIENTS, "{\"type\":\"pong\",\"acks\":{\"\\ud83d\":1}}",
     "acks must be an object of channels and offsets"},
    {SERVERS, "{\"type\":\"ack\",\"seq\":1,\"offsets\":[1,\"2\"]}",
     "offsets must be an array of offsets and nulls"},
    {SERVERS, "{\"type\":\"ack\",\"seq\":1,\"offsets\":[null,2.5]}",
     "offsets must be an array of offsets and nulls"},
    {SERVERS, "{\"type\":\"ack\",\"offsets\":[1]}", "seq is missing, and so is id"},
    {SERVERS, "{\"type\":\"reply\",\"id\":\"a\",\"code\":\"x\"}",
     "payload is missing, and so is code or reason"},
    {SERVERS, "{\"type\":\"reconnect\",\"code\":\"x\",\"after\":[1]}", "after must be [min,max]"},
    {SERVERS, "{\"type\":\"reconnect\",\"code\":\"x\",\"after\":[1,2,3]}", "after must be [min,max]"},
    {SERVERS, "{\"type\":\"reconnect\",\"code\":\"x\",\"after\":[2,1]}", "after must be [min,max]"},
    {SERVERS, "{\"type\":\"reconnect\",\"code\":\"x\",\"after\":[\"1\",2]}", "after must be [min,max]"},
    {SERVERS, "{\"type\":\"data\",\"channel\":\"a\",\"offset\":1,\"id\":\"i\",\"timestamp\":1}",
     "payload is missing"},
    {SERVERS,
     "{\"type\":\"data\",\"channel\":\"a\",\"offset\":1,\"id\":\"i\",\"timestamp\":1,\"payload\":1,"
     "\"payloadBase64\":"
     "\"AA==\"}",
     "payload and payloadBase64 are both given"},
    {CLIENTS, "{\"type\":\"data\",\"channel\":\"a\"}", "payload is missing"},
    {CLIENTS, "{\"type\":\"data\",\"channel\":\"a\",\"payload\":1,\"payloadBase64\":\"AA==\"}",
     "payload and payloadBase64 are both given"},
    {CLIENTS, "{\"type\":\"data\",\"channel\":\"a\",\"payloadBase64\":\"AA\"}",
     "payloadBase64 must be base64 with padding (RFC 4648 section 4)"},
    {CLIENTS, "{\"type\":\"data\",\"channel\":\"a\",\"payloadBase64\":1}", "payloadBase64 must be a string"},
};

static void each_fault_has_its_reason_and_stays_one_when_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(bad); i++) {
        assert_refused(bad[i].text, bad[i].from_server, bad[i].reason);
        for (size_t len = 0; len < strlen(bad[i].text); len++) {
            struct hf_str cut = {bad[i].text, len};

            /* One is a whole message with something behind it. */
            if (strcmp(bad[i].reason, "something stands behind the message") != 0 || len < 15)
                assert_non_null(refusal(cut, bad[i].from_server));
            else
                refusal(cut, bad[i].from_server);
        }
    }
}

static void what_is_not_known_is_ignored(void **state)
{
    static const char *const good[] = {
        " \r\n{ \"type\" : \"ping\" , \"x\" : [ ] }\t",
        "{\"x\":{\"type\":5},\"type\":\"ping\",\"x\":1,\"x\":2}",
        "{\"type\":\"ping\",\"channel\":5,\"payload\":{},\"seq\":\"x\",\"seq\":1}", /* no members of a ping */
        "{\"t\\u0079pe\":\"p\\u0069ng\",\"\\ud800\":\"\\ud800\"}",
        "{\"type\":\"ping\",\"\":0,\"a name longer than any that is known\":0,\"a n\\u0061me longer than any "
        "that\":0}",
        "{\"type\":\"subscribe\",\"channel\":\"a\",\"since\":{\"offset\":1,\"x\":[],\"epoch\":\"e\"}}",
        "{\"type\":\"subscribe\",\"channel\":\"a\",\"since\":null,\"mode\":null,\"last\":null,\"presence\":"
        "null}",
    };

    (void)state;
    for (size_t i = 0; i < COUNT(good); i++)
        assert_accepted(hf_str_from(good[i]), CLIENTS);
}

/* A text of a member with len bytes of name. */
static const char *refusal_of_length(const char *head, size_t len, const char *tail)
{
    struct hf_buf out;
    const char *reason;

    hf_buf_init(&out, 4096);
    hf_buf_puts(&out, head);
    for (size_t i = 0; i < len; i++)
        hf_buf_puts(&out, "a");
    hf_buf_puts(&out, tail);
    reason = refusal(hf_buf_str(&out), CLIENTS);
    hf_buf_release(&out);
    return reason;
}

static void names_have_a_longest(void **state)
{
    (void)state;
    assert_null(refusal_of_length("{\"type\":\"unsubscribe\",\"channel\":\"", 255, "\"}"));
    assert_string_equal(refusal_of_length("{\"type\":\"unsubscribe\",\"channel\":\"", 256, "\"}"),
                        "channel must be 1 to 255 bytes of UTF-8 without control characters");
    assert_null(refusal_of_length("{\"type\":\"ping\",\"id\":\"", 255, "\"}"));
    assert_string_equal(refusal_of_length("{\"type\":\"ping\",\"id\":\"", 256, "\"}"),
                        "id must be a string of at most 255 bytes");
    assert_null(refusal_of_length("{\"type\":\"ack\",\"channel\":\"c\",\"ackId\":\"", 255, "\"}"));
    assert_string_equal(refusal_of_length("{\"type\":\"ack\",\"channel\":\"c\",\"ackId\":\"", 256, "\"}"),
                        "ackId must be a string of at most 255 bytes");
    assert_null(refusal_of_length("{\"type\":\"subscribe\",\"channel\":\"c\",\"since\":{\"epoch\":\"", 255,
                                  "\",\"offset\":1}}"));
    assert_string_equal(refusal_of_length("{\"type\":\"subscribe\",\"channel\":\"c\",\"since\":{\"epoch\":\"",
                                          256, "\",\"offset\":1}}"),
                        "since must be an object with epoch and offset");
    /* An escape is longer than what it stands for: 255 bytes in 1,275. */
    assert_null(refusal_of_length("{\"type\":\"ping\",\"id\":\"\\u0061", 254, "\"}"));
}

/* "broken JSON, a wrong field type: error bad_message (a data with a readable seq: nack)" */
static void what_can_be_read_of_a_broken_publish_is(void **state)
{
    enum { SEQ = HF_HAS_SEQ, ID = HF_HAS_ID, CHANNEL = HF_HAS_CHANNEL };
    static const struct {
        const char *text;
        enum hf_msg_type type;
        uint32_t has;
    } broken[] = {
        /* The fault stands before, within or behind what can be read. */
        {"{\"channel\":5,\"type\":\"data\",\"payload\":1,\"seq\":77,\"id\":\"k\"}", HF_MSG_DATA, SEQ | ID},
        {"{\"type\":\"data\",\"channel\":\"c\",\"seq\":77}", HF_MSG_DATA, SEQ | CHANNEL},
        {"{\"type\":\"data\",\"channel\":\"c\",\"payload\":1,\"seq\":77,\"id\":[]}", HF_MSG_DATA,
         SEQ | CHANNEL},
        {"{\"type\":\"data\",\"channel\":\"c\",\"payload\":1,\"id\":\"k\",\"seq\":\"77\"}", HF_MSG_DATA,
         ID | CHANNEL},
        {"{\"type\":\"data\",\"channel\":\"c\",\"payload\":1,\"seq\":77,\"timestamp\":-1}", HF_MSG_DATA,
         SEQ | CHANNEL},
        {"{\"type\":\"data\",\"channel\":\"c\",\"channel\":\"c\",\"payload\":1,\"seq\":77}", HF_MSG_DATA,
         SEQ},
        {"{\"type\":\"data\",\"channel\":\"c\",\"payload\":1,\"seq\":77,\"seq\":77}", HF_MSG_DATA, CHANNEL},
        /* The syntax breaks: what stands before counts. */
        {"{\"type\":\"data\",\"seq\":77,\"channel\":\"c\",\"payload\":tru}", HF_MSG_DATA, SEQ | CHANNEL},
        {"{\"type\":\"data\",\"seq\":77,\"channel\":\"c\",\"payload\":\"", HF_MSG_DATA, SEQ | CHANNEL},
        {"{\"type\":\"data\",\"seq\":77 \"channel\":\"c\"}", HF_MSG_DATA, 0},
        {"{\"type\":\"data\",\"channel\":\"c\",\"seq\":77", HF_MSG_DATA, CHANNEL}, /* of 77 or 770? */
        {"{\"type\":\"data\",\"channel\":\"c\",\"seq\":77.", HF_MSG_DATA, CHANNEL},
        {"{\"type\":\"data\",\"payload\":tru,\"seq\":77,\"channel\":\"c\"}", HF_MSG_DATA, 0},
        {"{\"seq\":77,\"payload\":tru,\"type\":\"data\"}", HF_MSG_NONE, 0},
        {"{\"type\":\"data\",\"seq\":77,\"channel\":\"c\",\"payload\":1}}", HF_MSG_DATA, SEQ | CHANNEL},
        /* Which of both it is, nobody knows. */
        {"{\"type\":\"data\",\"type\":\"data\",\"seq\":77}", HF_MSG_NONE, 0},
        /* The type alone. */
        {"{\"type\":\"call\",\"payload\":}", HF_MSG_CALL, 0},
        {"{\"type\":\"welcome\",\"seq\":77}", HF_MSG_WELCOME, 0},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(broken); i++) {
        struct hf_str text = hf_str_from(broken[i].text);
        char *data = exact_copy(text);
        const char *reason = NULL;
        struct hf_msg m;

        assert_int_equal(hf_json_decode(&m, data, text.len, CLIENTS, &reason), HF_EBADMSG);
        if (m.type != broken[i].type || (m.has & (SEQ | ID | CHANNEL)) != broken[i].has)
            fail_msg("%s: type %s, has %#x (%s)", broken[i].text, hf_msg_name(m.type), m.has, reason);
        if ((m.has & SEQ) != 0)
            assert_int_equal(m.seq, 77);
        if ((m.has & ID) != 0)
            assert_true(hf_str_eq(m.id, HF_STR("k")));
        if ((m.has & CHANNEL) != 0)
            assert_true(hf_str_eq(m.channel, HF_STR("c")));
        free(data);
    }
}

static void strings_of_the_envelope_are_unescaped_and_the_payload_is_not(void **state)
{
    char data[] =
        "{\"\\u0074\\u0079pe\":\"d\\u0061ta\",\"channel\":\"\\ud83d\\ude00\\u00e9\\/\",\"payload\": "
        "[\"\\ud83d\\ude00\", \"\\u0000\\ud800\" ] ,\"id\":\"\\\"\\\\\\n\\u0000\"}";
    const char *reason = NULL;
    struct hf_msg m;

    (void)state;
    assert_int_equal(hf_json_decode(&m, data, sizeof(data) - 1, CLIENTS, &reason), 0);
    assert_int_equal(m.type, HF_MSG_DATA);
    assert_true(hf_str_eq(m.channel, HF_STR("\xf0\x9f\x98\x80\xc3\xa9/")));
    assert_true(hf_str_eq(m.id, HF_STR("\"\\\n\0")));
    assert_true(hf_str_eq(m.payload, HF_STR("[\"\\ud83d\\ude00\", \"\\u0000\\ud800\" ]")));
    assert_in_range((uintptr_t)m.channel.data, (uintptr_t)data, (uintptr_t)(data + sizeof(data)));
}

/* The deepest payload that is accepted reaches a subscriber live and in a history. */
static void a_payload_is_never_too_deep_for_what_carries_it(void **state)
{
    struct hf_buf text, data;
    const char *reason = NULL;
    struct hf_msg m;

    (void)state;
    for (int depth = HF_JSON_DEPTH_MAX; depth <= HF_JSON_DEPTH_MAX + 1; depth++) {
        hf_buf_init(&text, 4096);
        hf_buf_init(&data, 4096);
        hf_buf_puts(&text, "{\"type\":\"data\",\"channel\":\"c\",\"payload\":");
        for (int i = 0; i < depth; i++)
            hf_buf_puts(&text, "[");
        for (int i = 0; i < depth; i++)
            hf_buf_puts(&text, "]");
        hf_buf_puts(&text, "}");
        if (depth > HF_JSON_DEPTH_MAX) {
            assert_string_equal(refusal(hf_buf_str(&text), CLIENTS),
                                "arrays and objects are nested too deeply");
        } else {
            assert_int_equal(hf_json_decode(&m, (char *)text.data, text.len, CLIENTS, &reason), 0);
            m.id = HF_STR("e-1");
            assert_int_equal(
                hf_buf_puts(&data, "{\"type\":\"history\",\"id\":\"h\",\"channel\":\"c\",\"epoch\":\"e\","
                                   "\"offset\":1,\"messages\":["),
                0);
            assert_int_equal(hf_json_put_data(&data, &m), 0);
            assert_int_equal(hf_buf_puts(&data, "]}"), 0);
            assert_accepted(hf_buf_str(&data), SERVERS);
        }
        hf_buf_release(&text);
        hf_buf_release(&data);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_member_is_checked),
        cmocka_unit_test(a_type_of_the_other_direction_is_refused),
        cmocka_unit_test(each_fault_has_its_reason_and_stays_one_when_cut),
        cmocka_unit_test(what_is_not_known_is_ignored),
        cmocka_unit_test(names_have_a_longest),
        cmocka_unit_test(what_can_be_read_of_a_broken_publish_is),
        cmocka_unit_test(strings_of_the_envelope_are_unescaped_and_the_payload_is_not),
        cmocka_unit_test(a_payload_is_never_too_deep_for_what_carries_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
