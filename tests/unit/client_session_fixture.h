/*
 * client_session_fixture.h - a client session against a server played by the test: it answers the upgrade and speaks JSON, or the same in the
 * binary form (transcode.h), through the real handshake, frame and message code. Every TEST() runs four times: in both encodings, with the server's
 * bytes in one piece and one by one.
 */
#ifndef HF_TESTS_CLIENT_SESSION_FIXTURE_H
#define HF_TESTS_CLIENT_SESSION_FIXTURE_H

#include "base/buf.h"
#include "session/client_session.h"
#include "session/heartbeat_adaptive.h"
#include "session/link.h"
#include "wire/json.h"
#include "ws/frame.h"
#include "ws/handshake.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "memory_store.h"
#include "transcode.h"

enum { TEXT_MAX = 1 << 20 };

struct fixture {
    struct hf_client_session *s;
    uint64_t now_ms;
    bool drip;                 /* feed byte by byte */
    enum hf_encoding encoding; /* what the server picks */
    struct transcode_names names;
    struct hf_buf heard;      /* what the application was told, a line an event */
    struct hf_buf moves;      /* its states, a line a change: "live doubtful heartbeat_late" */
    uint64_t next_attempt_ms; /* of the last one */
    struct hf_buf said;       /* what the server was told, a line a message */
    struct hf_ws server[HF_CLIENT_SESSION_SLOTS];
    char protocols[512]; /* of the last upgrade request */
    unsigned slot;       /* of the connection that the test talks on */
    uint32_t attempt;    /* its number */
    void (*in_callback)(struct fixture *f, const struct hf_client_session_event *ev);
    uint64_t publish_id;
    struct memory_store store; /* of those tests whose outbox outlives its process */
};

/* --- the application --- */

#define PUT(f, ...) assert_int_equal(hf_buf_putf(&(f)->heard, __VA_ARGS__), 0)
#define S(str) (int)(str).len, (str).len > 0 ? (str).data : ""

static inline void note_state(struct fixture *f, const struct hf_client_session_event *ev)
{
    assert_int_equal(hf_buf_putf(&f->moves, "%s %s %s\n", hf_client_session_state_name(ev->from),
                                 hf_client_session_state_name(ev->to),
                                 hf_client_session_cause_name(ev->cause)),
                     0);
    assert_true(ev->why != NULL && ev->why[0] != '\0');
    f->next_attempt_ms = ev->delay_ms;
}

static inline void on_event(void *ctx, const struct hf_client_session_event *ev)
{
    struct fixture *f = ctx;

    switch (ev->type) {
    case HF_CSE_CONNECTED:
        PUT(f, "connected %.*s%s\n", S(ev->session), ev->resumed ? " resumed" : "");
        break;
    case HF_CSE_CAUGHT_UP:
        PUT(f, "caught up %u\n", (unsigned)ev->count);
        break;
    case HF_CSE_DISCONNECTED:
        PUT(f, "disconnected %u\n", ev->close_code);
        break;
    case HF_CSE_RETRYING:
        PUT(f, "retrying %u %u\n", ev->http_status, (unsigned)(ev->delay_ms / 1000));
        break;
    case HF_CSE_ENDED:
        PUT(f, "ended %u %u%s\n", ev->close_code, ev->http_status, ev->asked ? " asked" : "");
        break;
    case HF_CSE_SUBSCRIBED:
        PUT(f, "subscribed %.*s %.*s:%u\n", S(ev->channel), S(ev->epoch), (unsigned)ev->offset);
        break;
    case HF_CSE_UNSUBSCRIBED:
        PUT(f, "unsubscribed %.*s %.*s\n", S(ev->channel), S(ev->code));
        break;
    case HF_CSE_MESSAGE:
        PUT(f, "message %.*s %u %.*s\n", S(ev->channel), (unsigned)ev->offset, S(ev->payload));
        break;
    case HF_CSE_GAP:
        PUT(f, "gap %.*s %.*s %u-%u %.*s\n", S(ev->channel), S(ev->epoch), (unsigned)ev->from_offset,
            (unsigned)ev->to_offset, S(ev->code));
        break;
    case HF_CSE_ACKED:
        PUT(f, "acked %u at %u\n", (unsigned)ev->publish_id, (unsigned)ev->offset);
        break;
    case HF_CSE_REFUSED:
        PUT(f, "refused %u %.*s\n", (unsigned)ev->publish_id, S(ev->code));
        break;
    case HF_CSE_UNCERTAIN:
        PUT(f, "uncertain %u %.*s\n", (unsigned)ev->publish_id, S(ev->payload));
        break;
    case HF_CSE_PONG:
        PUT(f, "pong %u %u\n", (unsigned)ev->request_id, (unsigned)ev->stamp);
        break;
    case HF_CSE_KEPT:
        PUT(f, "kept %u %.*s %u %.*s\n", (unsigned)ev->request_id, S(ev->channel), (unsigned)ev->offset,
            S(ev->payload));
        break;
    case HF_CSE_HISTORY:
        PUT(f, "history %u %.*s %.*s:%u of %u %.*s\n", (unsigned)ev->request_id, S(ev->channel), S(ev->epoch),
            (unsigned)ev->offset, (unsigned)ev->count, S(ev->code));
        break;
    case HF_CSE_MEMBER:
        PUT(f, "member %u %.*s %.*s %.*s %.*s\n", (unsigned)ev->request_id, S(ev->channel), S(ev->session),
            S(ev->user), S(ev->info));
        break;
    case HF_CSE_MEMBERS:
        PUT(f, "members %u %.*s of %u %.*s\n", (unsigned)ev->request_id, S(ev->channel), (unsigned)ev->count,
            S(ev->code));
        break;
    case HF_CSE_REPLY:
        PUT(f, "reply %u %.*s%.*s\n", (unsigned)ev->request_id, S(ev->payload), S(ev->code));
        break;
    case HF_CSE_JOIN:
    case HF_CSE_LEAVE:
        PUT(f, "%s %.*s %.*s %.*s %.*s\n", ev->type == HF_CSE_JOIN ? "join" : "leave", S(ev->channel),
            S(ev->session), S(ev->user), S(ev->info));
        break;
    case HF_CSE_PRESENCE_MISSED:
        PUT(f, "presence missed %.*s\n", S(ev->channel));
        break;
    case HF_CSE_ERROR:
        PUT(f, "error %.*s\n", S(ev->code));
        break;
    case HF_CSE_STATE:
        note_state(f, ev);
        break;
    }
    if (f->in_callback != NULL)
        f->in_callback(f, ev);
}

static inline void expect(struct hf_buf *got, const char *wanted)
{
    assert_int_equal(hf_buf_put(got, "", 1), 0);
    assert_string_equal((const char *)got->data, wanted);
    hf_buf_reset(got);
}

#define HEARD(f, text) expect(&(f)->heard, text)
#define MOVED(f, text) expect(&(f)->moves, text)

/* --- the network --- */

/* What it says in JSON is as it should be. */
static inline void collect_text(struct fixture *f, const struct hf_ws_event *ev)
{
    const char *reason = "";
    char *twin = malloc(ev->len + 1);
    struct hf_msg m;

    assert_int_equal(f->encoding, HF_ENCODING_JSON);
    assert_int_equal(hf_buf_putf(&f->said, "%.*s\n", (int)ev->len, (const char *)ev->data), 0);
    memcpy(twin, ev->data, ev->len);
    assert_int_equal(hf_json_decode(&m, twin, ev->len, false, &reason), 0);
    free(twin);
}

/* What it says in the binary form is noted as JSON. */
static inline void collect_binary(struct fixture *f, const struct hf_ws_event *ev)
{
    enum hf_binary_fault fault = HF_BINARY_OK;
    struct hf_binary_reader reader;
    struct hf_binary_record record;
    int found;

    assert_int_equal(f->encoding, HF_ENCODING_BINARY);
    hf_binary_reader_init(&reader, ev->data, ev->len);
    while ((found = hf_binary_next(&reader, &record, &fault)) == 1) {
        transcode_to_json(&f->names, &record, &f->said);
        assert_int_equal(hf_buf_puts(&f->said, "\n"), 0);
    }
    assert_int_equal(found, 0);
}

/* What the session has to say, decoded by a server's own code, a line a message. */
static inline void collect(struct fixture *f)
{
    struct hf_str out = hf_client_session_output(f->s, f->slot, f->now_ms);
    uint8_t *copy = malloc(out.len + 1);
    size_t at = 0, len = out.len;
    struct hf_ws_event ev;

    assert_non_null(copy);
    memcpy(copy, out.data == NULL ? "" : out.data, len);
    hf_client_session_sent(f->s, f->slot, len, f->now_ms);
    do {
        at += hf_ws_recv(&f->server[f->slot], copy + at, len - at, &ev);
        assert_int_not_equal(ev.type, HF_WS_EV_ERROR);
        if (ev.type == HF_WS_EV_TEXT) {
            collect_text(f, &ev);
        } else if (ev.type == HF_WS_EV_BINARY) {
            collect_binary(f, &ev);
        } else if (ev.type == HF_WS_EV_CLOSE) {
            assert_int_equal(hf_buf_putf(&f->said, "close %u\n", ev.close_code), 0);
        } else if (ev.type == HF_WS_EV_PONG) {
            assert_int_equal(hf_buf_putf(&f->said, "wspong %.*s\n", (int)ev.len, (char *)ev.data), 0);
        }
    } while (at < len || ev.type != HF_WS_EV_NONE);
    free(copy);
}

static inline void said(struct fixture *f, const char *wanted)
{
    collect(f);
    expect(&f->said, wanted);
}

static inline void feed(struct fixture *f, const void *data, size_t len)
{
    uint8_t *copy = malloc(len + 1);
    size_t at;

    assert_non_null(copy);
    memcpy(copy, data, len);
    if (!f->drip)
        hf_client_session_recv(f->s, f->slot, copy, len, f->now_ms);
    else
        for (at = 0; at < len; at++)
            hf_client_session_recv(f->s, f->slot, copy + at, 1, f->now_ms);
    free(copy);
}

/* Server messages, a line each, a WebSocket message each. */
static inline void put_lines(struct fixture *f, const char *lines, struct hf_buf *out)
{
    struct hf_buf record;

    hf_buf_init(&record, TEXT_MAX);
    while (*lines != '\0') {
        size_t len = strcspn(lines, "\n");

        hf_buf_reset(&record);
        if (f->encoding == HF_ENCODING_BINARY) {
            transcode_to_binary(&f->names, lines, len, &record);
            assert_int_equal(hf_ws_put_frame(out, HF_WS_BINARY, record.data, record.len, NULL), 0);
        } else {
            assert_int_equal(hf_ws_put_frame(out, HF_WS_TEXT, lines, len, NULL), 0);
        }
        lines += len + (lines[len] == '\n');
    }
    hf_buf_release(&record);
}

/* Server messages, a line each, in one flight. */
static inline void serve(struct fixture *f, const char *lines)
{
    struct hf_buf out;

    hf_buf_init(&out, TEXT_MAX);
    put_lines(f, lines, &out);
    feed(f, out.data, out.len);
    hf_buf_release(&out);
}

static inline void serve_close(struct fixture *f, uint16_t code)
{
    struct hf_buf out;

    hf_buf_init(&out, TEXT_MAX);
    assert_int_equal(hf_ws_put_close(&out, code, HF_STR(""), NULL), 0);
    feed(f, out.data, out.len);
    hf_buf_release(&out);
}

static inline void advance(struct fixture *f, uint64_t ms)
{
    uint64_t until = f->now_ms + ms;
    uint64_t at;

    while ((at = hf_client_session_deadline_ms(f->s)) <= until) {
        f->now_ms = at > f->now_ms ? at : f->now_ms;
        hf_client_session_tick(f->s, f->now_ms);
    }
    f->now_ms = until;
}

/* The slot whose connection is wanted, or -1. */
static inline int wanted_slot(const struct fixture *f)
{
    unsigned slot;

    for (slot = 0; slot < HF_CLIENT_SESSION_SLOTS; slot++)
        if (hf_client_session_want(f->s, slot).wish == HF_WISH_CONNECT)
            return (int)slot;
    return -1;
}

/* Wait until a connection is wanted, and make it. */
static inline void dial(struct fixture *f)
{
    unsigned turns;

    for (turns = 0; turns < 1000 && wanted_slot(f) < 0; turns++) {
        uint64_t at = hf_client_session_deadline_ms(f->s);

        assert_int_not_equal(at, UINT64_MAX);
        advance(f, at > f->now_ms ? at - f->now_ms : 0);
    }
    assert_true(wanted_slot(f) >= 0);
    f->slot = (unsigned)wanted_slot(f);
    assert_true(hf_client_session_want(f->s, f->slot).attempt > f->attempt);
    f->attempt = hf_client_session_want(f->s, f->slot).attempt;
    hf_ws_release(&f->server[f->slot]);
    hf_ws_init(&f->server[f->slot], HF_WS_SERVER, TEXT_MAX);
    hf_client_session_connected(f->s, f->slot, f->now_ms);
}

/* Take the upgrade request, and leave the key in *key. */
static inline void take_request(struct fixture *f, char key[HF_WS_KEY_LEN])
{
    struct hf_str out = hf_client_session_output(f->s, f->slot, f->now_ms);
    struct hf_handshake h;
    char head[4096];

    assert_in_range(out.len, 1, sizeof(head));
    memcpy(head, out.data, out.len);
    assert_int_equal(hf_handshake_parse(&h, head, out.len), (int)out.len);
    assert_true(hf_str_eq(h.target, HF_STR("/ws")) && hf_str_eq(h.host, HF_STR("server:8000")));
    (void)snprintf(f->protocols, sizeof(f->protocols), "%.*s", S(h.protocols));
    memcpy(key, h.key.data, HF_WS_KEY_LEN);
    hf_client_session_sent(f->s, f->slot, out.len, f->now_ms);
}

/* Answer the upgrade, with messages in the same flight. */
static inline void accept_with(struct fixture *f, const char *lines)
{
    char key[HF_WS_KEY_LEN];
    struct hf_buf out;

    take_request(f, key);
    hf_buf_init(&out, TEXT_MAX);
    assert_int_equal(hf_handshake_put_accept(&out, (struct hf_str){key, sizeof(key)},
                                             f->encoding == HF_ENCODING_BINARY ? HF_STR(HF_PROTOCOL_BINARY)
                                                                               : HF_STR(HF_PROTOCOL_JSON),
                                             NULL),
                     0);
    put_lines(f, lines, &out);
    feed(f, out.data, out.len);
    hf_buf_release(&out);
}

static inline void refuse(struct fixture *f, int status, unsigned retry_after_s)
{
    char key[HF_WS_KEY_LEN];
    struct hf_buf out;

    dial(f);
    take_request(f, key);
    hf_buf_init(&out, TEXT_MAX);
    assert_int_equal(hf_handshake_put_refusal(&out, status, "unavailable", "no", retry_after_s), 0);
    feed(f, out.data, out.len);
    hf_buf_release(&out);
    hf_client_session_lost(f->s, f->slot, "closed", f->now_ms);
}

#define WELCOME(session, resumed, last_seq, channels) "{" WELCOME_BODY(session, resumed, last_seq, channels)
#define WELCOME_BODY(session, resumed, last_seq, channels)                                                   \
    "\"type\":\"welcome\",\"session\":\"" session "\",\"ticket\":\"t-" session "\",\"resumed\":" resumed     \
    ",\"lastSeq\":" last_seq                                                                                 \
    ",\"ttl\":120000,\"serverId\":\"x\",\"serverTime\":1,\"heartbeat\":{\"interval\":25000,"                 \
    "\"min\":10000,\"max\":60000},\"lossSpread\":1000,\"maxMessage\":1000,\"address\":\"::1\",\"channels\":" \
    "[" channels "]}\n"

#define PONG(id) "{\"type\":\"pong\",\"id\":\"" id "\",\"serverTime\":1,\"serverId\":\"x\"}\n"
#define DATA_OBJECT(channel, offset)                                                                         \
    "{\"type\":\"data\",\"channel\":\"" channel "\",\"offset\":" offset ",\"id\":\"i\",\"payload\":" offset  \
    ",\"timestamp\":1}"
#define DATA(channel, offset) DATA_OBJECT(channel, offset) "\n"
#define SUBSCRIBED(channel, epoch, offset)                                                                   \
    "{\"type\":\"subscribed\",\"channel\":\"" channel "\",\"epoch\":\"" epoch "\",\"offset\":" offset        \
    ",\"recovered\":true}\n"
#define SAID_DATA(channel, payload, seq)                                                                     \
    "{\"type\":\"data\",\"channel\":\"" channel "\",\"payload\":" payload ",\"seq\":" seq "}\n"

/* A first connection, welcomed and quiet. */
static inline void live(struct fixture *f)
{
    dial(f);
    accept_with(f, WELCOME("s1", "false", "null", ""));
    HEARD(f, "connected s1\n");
    said(f, "{\"type\":\"ping\",\"id\":\"1\"}\n");
    serve(f, PONG("1"));
    HEARD(f, "caught up 0\n");
}

static inline void lose(struct fixture *f)
{
    hf_client_session_lost(f->s, f->slot, "reset", f->now_ms);
    HEARD(f, "disconnected 0\n");
}

static inline void publish(struct fixture *f, const char *payload)
{
    assert_int_equal(hf_client_session_publish(f->s, HF_STR("demo"), (struct hf_str){NULL, 0},
                                               hf_str_from(payload), &f->publish_id, f->now_ms),
                     0);
}

static inline void subscribe(struct fixture *f, const char *channel)
{
    const struct hf_client_session_start start = {.last = 0};

    assert_int_equal(hf_client_session_subscribe(f->s, hf_str_from(channel), &start, f->now_ms), 0);
}

/* A live session that follows `demo` from e1:5. */
static inline void following(struct fixture *f)
{
    live(f);
    subscribe(f, "demo");
    said(f, "{\"type\":\"subscribe\",\"channel\":\"demo\"}\n");
    serve(f, SUBSCRIBED("demo", "e1", "5"));
    HEARD(f, "subscribed demo e1:5\n");
}

static inline struct hf_client_session_config config_of(struct fixture *f)
{
    return (struct hf_client_session_config){.host = "server:8000",
                                             .target = "/ws",
                                             .outbox_messages_max = 100,
                                             .outbox_bytes_max = 100000,
                                             .window = 50,
                                             .subscriptions_max = 4,
                                             .recv_bytes_max = TEXT_MAX,
                                             .seed = 1,
                                             .on_event = on_event,
                                             .ctx = f};
}

static inline void begin_session(struct fixture *f, const struct hf_client_session_config *config,
                                 int expected)
{
    assert_int_equal(hf_client_session_new(config, f->now_ms, &f->s), expected);
}

static inline void begin_durable(struct fixture *f, int expected)
{
    struct hf_client_session_config config = config_of(f);

    config.store = &f->store.store;
    begin_session(f, &config, expected);
}

static inline void setup_with(struct fixture *f, bool drip, enum hf_encoding encoding,
                              struct hf_heartbeat_policy *policy)
{
    struct hf_client_session_config config = config_of(f);
    unsigned slot;

    config.heartbeat_policy = policy;
    *f = (struct fixture){.now_ms = 1000000, .drip = drip, .encoding = encoding};
    hf_buf_init(&f->heard, TEXT_MAX);
    hf_buf_init(&f->moves, TEXT_MAX);
    hf_buf_init(&f->said, TEXT_MAX);
    for (slot = 0; slot < HF_CLIENT_SESSION_SLOTS; slot++)
        hf_ws_init(&f->server[slot], HF_WS_SERVER, TEXT_MAX);
    memory_store_init(&f->store);
    begin_session(f, &config, 0);
}

/* Something about the network has changed: whether there is a way to the server, and that of the connection that the test talks on. */
static inline void network(struct fixture *f, bool offline, enum hf_session_path path)
{
    struct hf_network_facts facts = {.offline = offline};

    facts.paths[f->slot] = path;
    hf_client_session_network(f->s, &facts, f->now_ms);
}

static inline void setup(struct fixture *f, bool drip, enum hf_encoding encoding)
{
    setup_with(f, drip, encoding, NULL);
}

static inline void teardown(struct fixture *f)
{
    unsigned slot;

    hf_client_session_free(f->s);
    memory_store_release(&f->store);
    hf_buf_release(&f->heard);
    hf_buf_release(&f->moves);
    hf_buf_release(&f->said);
    for (slot = 0; slot < HF_CLIENT_SESSION_SLOTS; slot++)
        hf_ws_release(&f->server[slot]);
}

static inline void in_all_ways(void (*test)(struct fixture *f))
{
    static const enum hf_encoding encodings[] = {HF_ENCODING_JSON, HF_ENCODING_BINARY};
    struct fixture f;

    for (unsigned way = 0; way < 4; way++) {
        setup(&f, way % 2 == 1, encodings[way / 2]);
        test(&f);
        teardown(&f);
    }
}

#define TEST(name)                                                                                           \
    static void name##_run(struct fixture *f);                                                               \
    static void name(void **state)                                                                           \
    {                                                                                                        \
        (void)state;                                                                                         \
        in_all_ways(name##_run);                                                                             \
    }                                                                                                        \
    static void name##_run(struct fixture *f)

#endif
