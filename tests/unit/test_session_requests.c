/*
 * test_session_requests.c - what a client session asks besides history, and how it shows tokens: presence and its events, calls, refusals with their reasons. The
 * stories that every client plays are in tests/vectors/session; here is what they leave out.
 */
#include "client_session_fixture.h"
#include "fault_malloc.h"

static void subscribe_with_presence(struct fixture *f, const char *channel)
{
    const struct hf_client_session_start start = {.presence = true};

    assert_int_equal(hf_client_session_subscribe(f->s, hf_str_from(channel), &start, f->now_ms), 0);
}

static uint64_t ask_presence(struct fixture *f, const char *channel)
{
    uint64_t id = 0;

    assert_int_equal(hf_client_session_presence(f->s, hf_str_from(channel), &id, f->now_ms), 0);
    return id;
}

static uint64_t call(struct fixture *f, const char *method, uint64_t timeout_ms)
{
    uint64_t id = 0;

    assert_int_equal(
        hf_client_session_call(f->s, hf_str_from(method), HF_STR("1"), timeout_ms, &id, f->now_ms), 0);
    return id;
}

/* A live session that follows `demo` with presence, from e1:5. */
static void watching(struct fixture *f)
{
    live(f);
    subscribe_with_presence(f, "demo");
    said(f, "{\"type\":\"subscribe\",\"channel\":\"demo\",\"presence\":true}\n");
    serve(f, SUBSCRIBED("demo", "e1", "5"));
    HEARD(f, "subscribed demo e1:5\n");
}

#define JOIN(channel, session)                                                                               \
    "{\"type\":\"join\",\"channel\":\"" channel "\",\"session\":\"" session                                  \
    "\",\"user\":\"bob\",\"info\":{\"a\":\"\\u00e9\"}}\n"
#define LEAVE(channel, session)                                                                              \
    "{\"type\":\"leave\",\"channel\":\"" channel "\",\"session\":\"" session "\",\"user\":\"\"}\n"

/* --- presence --- */

TEST(members_and_events_are_told_in_both_encodings)
{
    watching(f);
    assert_int_equal(ask_presence(f, "demo"), 1);
    said(f, "{\"type\":\"presence\",\"id\":\"r1\",\"channel\":\"demo\"}\n");
    serve(f, JOIN("demo",
                  "s2") "{\"type\":\"presence\",\"id\":\"r1\",\"channel\":\"demo\",\"members\":[{\"session\":"
                        "\"s2\",\"user\":\"bob\",\"info\":[1]},{\"session\":\"s3\",\"user\":\"\"}]}\n" LEAVE(
                            "demo", "s3"));
    HEARD(f, "join demo s2 bob {\"a\":\"\\u00e9\"}\n"
             "member 1 demo s2 bob [1]\nmember 1 demo s3  \nmembers 1 demo of 2 \nleave demo s3  \n");
}

TEST(members_that_cannot_be_understood_are_told)
{
    live(f);
    (void)ask_presence(f, "demo");
    collect(f);
    if (f->encoding ==
        HF_ENCODING_BINARY) /* What is no list in JSON cannot be made one here: fuzz_client_session does. */
        return;
    serve(f, "{\"type\":\"presence\",\"id\":\"r1\",\"channel\":\"demo\",\"members\":[{\"session\":1}]}\n");
    HEARD(f, "members 1 demo of 0 bad_message\n");
}

/* "what it knew of the members is out of date, and it asks again" (docs/protocol.md "Presence"). */
TEST(events_that_were_missed_are_told)
{
    watching(f);
    serve(f,
          "{\"type\":\"error\",\"code\":\"overloaded\",\"reason\":\"slow\",\"re\":\"presence\",\"channel\":"
          "\"demo\"}\n");
    HEARD(f, "presence missed demo\n");
    /* Who did not ask for events has missed none; that they will not be told any more is another thing. */
    serve(f,
          "{\"type\":\"error\",\"code\":\"overloaded\",\"reason\":\"slow\",\"re\":\"presence\",\"channel\":"
          "\"other\"}\n"
          "{\"type\":\"error\",\"code\":\"limit\",\"reason\":\"many\",\"re\":\"presence\",\"channel\":"
          "\"demo\"}\n");
    HEARD(f, "error overloaded\nerror limit\n");
    /* With an id it is the answer to a question. */
    (void)ask_presence(f, "demo");
    collect(f);
    serve(f,
          "{\"type\":\"error\",\"code\":\"overloaded\",\"reason\":\"busy\",\"re\":\"presence\",\"id\":\"r1\","
          "\"channel\":\"demo\"}\n");
    HEARD(f, "members 1 demo of 0 overloaded\n");
}

/* "What happened while the connection was broken is not told after the resume: ask `presence` again". */
TEST(a_break_is_time_missed)
{
    watching(f);
    subscribe(f, "plain");
    collect(f);
    serve(f, SUBSCRIBED("plain", "e1", "1"));
    HEARD(f, "subscribed plain e1:1\n");
    lose(f);
    dial(f);
    accept_with(f, WELCOME("s1", "true", "0",
                           "{\"channel\":\"demo\",\"epoch\":\"e1\",\"offset\":5},"
                           "{\"channel\":\"plain\",\"epoch\":\"e1\",\"offset\":1}"));
    HEARD(f, "connected s1 resumed\npresence missed demo\n");
    lose(f);
    dial(f);
    accept_with(f, WELCOME("s2", "false", "null", ""));
    HEARD(f, "connected s2\n");
    serve(f, SUBSCRIBED("demo", "e1", "5"));
    HEARD(f, "subscribed demo e1:5\npresence missed demo\n");
    serve(f, SUBSCRIBED("demo", "e1", "5")); /* That the server repeats it is no break. */
    HEARD(f, "subscribed demo e1:5\n");
}

TEST(no_event_comes_of_a_channel_that_was_left)
{
    watching(f);
    assert_int_equal(hf_client_session_unsubscribe(f->s, HF_STR("demo"), f->now_ms), 0);
    serve(f, JOIN("demo",
                  "s2") "{\"type\":\"error\",\"code\":\"overloaded\",\"reason\":\"slow\",\"re\":\"presence\","
                        "\"channel\":\"demo\"}\n");
    HEARD(f, "error overloaded\n");
    serve(f, "{\"type\":\"unsubscribed\",\"channel\":\"demo\"}\n");
    HEARD(f, "unsubscribed demo \n");
}

/* Else it would be asked again on each connection, and end each. */
TEST(members_too_many_for_this_client_are_not_asked_again)
{
    uint8_t head[HF_WS_HEADER_MAX];
    size_t len =
        hf_ws_header(head, f->encoding == HF_ENCODING_BINARY ? HF_WS_BINARY : HF_WS_TEXT, TEXT_MAX + 1, NULL);

    live(f);
    (void)ask_presence(f, "demo");
    collect(f);
    feed(f, head, len);
    HEARD(f, "members 1 demo of 0 too_large\ndisconnected 1009\n");
}

/* --- calls --- */

TEST(a_call_is_waited_for_so_long)
{
    live(f);
    assert_int_equal(call(f, "slow", 500), 1);
    assert_int_equal(call(f, "patient", 0), 2);
    assert_int_equal(call(f, "most patient", UINT64_MAX), 3);
    advance(f, 499);
    HEARD(f, "");
    advance(f, 1);
    HEARD(f, "reply 1 timeout\n");
    serve(f, "{\"type\":\"reply\",\"id\":\"r1\",\"payload\":1}\n");
    HEARD(f, "");
    serve(f, "{\"type\":\"reply\",\"id\":\"r2\",\"payload\":{\"x\":[1]}}\n");
    HEARD(f, "reply 2 {\"x\":[1]}\n");
    serve(f, "{\"type\":\"reply\",\"id\":\"r3\",\"payload\":3}\n");
    HEARD(f, "reply 3 3\n");
}

TEST(a_call_without_a_connection_is_given_up_in_its_time)
{
    assert_int_equal(call(f, "m", 60000), 1);
    assert_int_equal(call(f, "n", 100), 2);
    advance(f, 100);
    HEARD(f, "reply 2 timeout\n");
    advance(f, 59899);
    hf_buf_reset(&f->heard); /* of attempts in vain */
    advance(f, 1);
    HEARD(f, "reply 1 timeout\n");
}

static void call_again(struct fixture *f, const struct hf_client_session_event *ev)
{
    if (ev->type == HF_CSE_REPLY && ev->code.len > 0)
        (void)call(f, "again", 0);
}

/* "a `call` is reported as uncertain" (PROTOCOL.md "Resume" 6); the application may make another at once. */
TEST(a_call_that_is_lost_may_be_made_again)
{
    live(f);
    (void)call(f, "one", 0);
    (void)call(f, "two", 0);
    collect(f);
    hf_buf_reset(&f->said);
    f->in_callback = call_again;
    hf_client_session_lost(f->s, f->slot, "reset", f->now_ms);
    HEARD(f, "disconnected 0\nreply 1 uncertain\nreply 2 uncertain\n");
    dial(f);
    accept_with(f, WELCOME("s1", "true", "0", ""));
    HEARD(f, "connected s1 resumed\n");
    said(f, "{\"type\":\"call\",\"id\":\"r3\",\"method\":\"again\",\"payload\":1}\n"
            "{\"type\":\"call\",\"id\":\"r4\",\"method\":\"again\",\"payload\":1}\n"
            "{\"type\":\"ping\",\"id\":\"2\"}\n");
}

TEST(at_the_end_of_the_session_no_call_is_told)
{
    live(f);
    (void)call(f, "one", 1000);
    collect(f);
    serve_close(f, 4003);
    HEARD(f, "ended 4003 0\n");
    advance(f, 2000);
    HEARD(f, "");
}

TEST(what_is_no_call_is_refused)
{
    static char large[100001];
    uint64_t id;

    memset(large, '1', sizeof(large));
    assert_int_equal(hf_client_session_call(f->s, HF_STR(""), HF_STR("1"), 0, &id, f->now_ms), HF_EINVAL);
    assert_int_equal(hf_client_session_call(f->s, HF_STR("\xc3"), HF_STR("1"), 0, &id, f->now_ms), HF_EINVAL);
    assert_int_equal(
        hf_client_session_call(f->s, (struct hf_str){large, 256}, HF_STR("1"), 0, &id, f->now_ms), HF_EINVAL);
    assert_int_equal(hf_client_session_call(f->s, HF_STR("m"), HF_STR("1 2"), 0, &id, f->now_ms), HF_EINVAL);
    assert_int_equal(
        hf_client_session_call(f->s, HF_STR("m"), (struct hf_str){large, sizeof(large)}, 0, &id, f->now_ms),
        HF_ETOOLARGE);
    live(f); /* The server takes 1,000 bytes. */
    assert_int_equal(
        hf_client_session_call(f->s, HF_STR("m"), (struct hf_str){large, 1001}, 0, &id, f->now_ms),
        HF_ETOOLARGE);
    assert_int_equal(hf_client_session_presence(f->s, HF_STR("\n"), &id, f->now_ms), HF_EINVAL);
    hf_client_session_close(f->s, f->now_ms);
    assert_int_equal(hf_client_session_call(f->s, HF_STR("m"), HF_STR("1"), 0, &id, f->now_ms), HF_ESTATE);
}

/* Sixty-four of a hundred thousand bytes are more than the output may hold: they go as the socket takes them. */
TEST(large_calls_wait_for_room_in_the_output)
{
    static char large[90000];
    struct hf_str payload = {large, sizeof(large)};
    uint64_t id;
    unsigned i;

    memset(large, '1', sizeof(large));
    for (i = 0; i < 64; i++)
        assert_int_equal(hf_client_session_call(f->s, HF_STR("m"), payload, 0, &id, f->now_ms), 0);
    dial(f);
    accept_with(f, WELCOME("s1", "false", "null", ""));
    HEARD(f, "connected s1\n");
    for (i = 0; i < 64; i++) {
        collect(f);
        assert_true(f->said.len <= 3 * sizeof(large));
        hf_buf_reset(&f->said);
    }
    said(f, "");
    HEARD(f, "");
}

/* --- what is refused --- */

static void note_reason(struct fixture *f, const struct hf_client_session_event *ev)
{
    if (ev->type == HF_CSE_RETRYING || ev->type == HF_CSE_ENDED)
        PUT(f, "reason \"%.*s\"\n", S(ev->reason));
}

/* The server's answer in place of 101, as it stands; then the connection ends, or its time is over. */
static void answer(struct fixture *f, const char *text, bool times_out)
{
    char key[HF_WS_KEY_LEN];

    f->in_callback = note_reason;
    dial(f);
    take_request(f, key);
    feed(f, text, strlen(text));
    if (times_out)
        advance(f, 8000);
    else
        hf_client_session_lost(f->s, f->slot, "closed", f->now_ms);
}

#define REFUSAL(status, len, body) "HTTP/1.1 " status " No\r\nContent-Length: " len "\r\n\r\n" body

TEST(a_refusal_is_told_with_its_reason)
{
    answer(f,
           REFUSAL("401", "61", "{\"code\":\"unauthorized\",\"reason\":\"the token \\\"x\\\" is expired\"}"),
           false);
    HEARD(f, "ended 0 401\nreason \"the token \"x\" is expired\"\n");
}

TEST(a_refusal_whose_body_is_cut_is_told_without)
{
    answer(f, REFUSAL("403", "500", "{\"code\":\"forbidden\",\"rea"), false);
    HEARD(f, "ended 0 403\nreason \"\"\n");
}

TEST(a_refusal_whose_body_does_not_come_is_told_in_time)
{
    answer(f, REFUSAL("401", "500", ""), true);
    HEARD(f, "ended 0 401\nreason \"\"\n");
}

TEST(what_a_proxy_says_is_no_reason)
{
    answer(f, REFUSAL("502", "24", "<html>Bad Gateway</html>"), false);
    HEARD(f, "retrying 502 0\nreason \"\"\n");
    answer(f, REFUSAL("503", "14", "{\"reason\":123}"), false);
    hf_buf_reset(&f->heard);
    answer(f, REFUSAL("503", "20000", "{\"reason\":\"long\"}"), false); /* more than is waited for */
    hf_buf_reset(&f->heard);
    answer(f, "HTTP/1.1 403 No\r\n\r\n{\"reason\":\"without a length\"}", false);
    HEARD(f, "ended 0 403\nreason \"\"\n");
}

/* --- tokens --- */

static void begin_with_source(struct fixture *f)
{
    struct hf_client_session_config config = config_of(f);

    hf_client_session_free(f->s);
    config.token = "old";
    config.token_source = true;
    begin_session(f, &config, 0);
}

TEST(a_token_is_shown_at_once_and_from_then_on)
{
    begin_with_source(f);
    live(f);
    assert_int_equal(hf_client_session_set_token(f->s, "a b", f->now_ms), HF_EINVAL);
    assert_int_equal(hf_client_session_set_token(f->s, "", f->now_ms), HF_EINVAL);
    assert_int_equal(hf_client_session_set_token(f->s, NULL, f->now_ms), HF_EINVAL);
    said(f, "");
    assert_int_equal(hf_client_session_set_token(f->s, "new", f->now_ms), 0);
    said(f, "{\"type\":\"refresh\",\"token\":\"new\"}\n");
    lose(f);
    assert_int_equal(hf_client_session_set_token(f->s, "newer", f->now_ms), 0);
    dial(f);
    accept_with(f, WELCOME("s1", "true", "0", ""));
    assert_non_null(strstr(f->protocols, "hf.token.newer"));
    HEARD(f, "connected s1 resumed\n");
    hf_client_session_close(f->s, f->now_ms);
    assert_int_equal(hf_client_session_set_token(f->s, "newest", f->now_ms), HF_ESTATE);
}

static void answer_with_token(struct fixture *f, const struct hf_client_session_event *ev)
{
    if (ev->type == HF_CSE_DISCONNECTED)
        assert_int_equal(hf_client_session_set_token(f->s, "fresh", f->now_ms), 0);
}

TEST(a_token_may_be_given_in_a_callback)
{
    begin_with_source(f);
    live(f);
    f->in_callback = answer_with_token;
    serve_close(f, 4002);
    HEARD(f, "disconnected 4002\n");
    dial(f);
    accept_with(f, WELCOME("s1", "true", "0", ""));
    assert_non_null(strstr(f->protocols, "hf.token.fresh"));
    HEARD(f, "connected s1 resumed\n");
}

/* The connection that stands needs none, and nobody has been asked for another since. */
TEST(a_token_that_is_refused_beside_a_connection_that_stands_does_not_count)
{
    unsigned old, i;

    begin_with_source(f);
    live(f);
    old = f->slot;
    for (i = 0; i < 4; i++) {
        f->slot = old;
        serve(f, "{\"type\":\"reconnect\",\"after\":[0,0],\"code\":\"rebalance\"}\n");
        refuse(f, 401, 0);
        HEARD(f, "");
    }
    f->slot = old;
    serve_close(f, 1012);
    HEARD(f, "disconnected 1012\n");
    hf_client_session_lost(f->s, f->slot, "closed", f->now_ms);
    refuse(f, 401, 0);
    assert_int_equal(hf_client_session_state(f->s), HF_CLIENT_WAITING);
}

/* --- want of memory --- */

TEST(without_memory_nothing_is_asked)
{
    uint64_t id = 0;
    int err;

    fault_arm(1);
    err = hf_client_session_presence(f->s, HF_STR("demo"), &id, f->now_ms);
    assert_true(fault_disarm());
    assert_int_equal(err, HF_ENOMEM);
    fault_arm(1);
    err = hf_client_session_call(f->s, HF_STR("m"), HF_STR("1"), 0, &id, f->now_ms);
    assert_true(fault_disarm());
    assert_int_equal(err, HF_ENOMEM);
    live(f); /* It says nothing but its ping. */
    assert_int_equal(call(f, "m", 0), 1);
    said(f, "{\"type\":\"call\",\"id\":\"r1\",\"method\":\"m\",\"payload\":1}\n");
}

TEST(without_memory_the_old_token_stays)
{
    int err;

    begin_with_source(f);
    fault_arm(1);
    err = hf_client_session_set_token(f->s, "new", f->now_ms);
    assert_true(fault_disarm());
    assert_int_equal(err, HF_ENOMEM);
    dial(f);
    accept_with(f, WELCOME("s1", "false", "null", ""));
    assert_non_null(strstr(f->protocols, "hf.token.old"));
    HEARD(f, "connected s1\n");
}

/* Whatever allocation fails while the answer comes, an attempt that was refused has failed, or the session has ended. */
TEST(without_memory_a_refusal_is_one_all_the_same)
{
    static const char text[] = REFUSAL("401", "16", "{\"reason\":\"why\"}");
    bool fired = true;
    unsigned n;

    for (n = 1; fired; n++) {
        struct hf_client_session_config config = config_of(f);
        char key[HF_WS_KEY_LEN];
        uint8_t copy[sizeof(text)];
        size_t at;

        hf_client_session_free(f->s);
        f->s = NULL;
        f->attempt = 0;
        begin_session(f, &config, 0);
        dial(f);
        take_request(f, key);
        memcpy(copy, text, sizeof(text));
        fault_arm(n);
        for (at = 0; at + 1 < sizeof(text); at++)
            hf_client_session_recv(f->s, f->slot, copy + at, 1, f->now_ms);
        fired = fault_disarm();
        hf_client_session_lost(f->s, f->slot, "closed", f->now_ms);
        assert_true(hf_client_session_state(f->s) == HF_CLIENT_ENDED ||
                    hf_client_session_state(f->s) == HF_CLIENT_WAITING);
        assert_true(fired || hf_client_session_state(f->s) == HF_CLIENT_ENDED);
        hf_buf_reset(&f->heard);
    }
    assert_true(n > 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_and_events_are_told_in_both_encodings),
        cmocka_unit_test(members_that_cannot_be_understood_are_told),
        cmocka_unit_test(events_that_were_missed_are_told),
        cmocka_unit_test(a_break_is_time_missed),
        cmocka_unit_test(no_event_comes_of_a_channel_that_was_left),
        cmocka_unit_test(members_too_many_for_this_client_are_not_asked_again),
        cmocka_unit_test(a_call_is_waited_for_so_long),
        cmocka_unit_test(a_call_without_a_connection_is_given_up_in_its_time),
        cmocka_unit_test(a_call_that_is_lost_may_be_made_again),
        cmocka_unit_test(at_the_end_of_the_session_no_call_is_told),
        cmocka_unit_test(what_is_no_call_is_refused),
        cmocka_unit_test(large_calls_wait_for_room_in_the_output),
        cmocka_unit_test(a_refusal_is_told_with_its_reason),
        cmocka_unit_test(a_refusal_whose_body_is_cut_is_told_without),
        cmocka_unit_test(a_refusal_whose_body_does_not_come_is_told_in_time),
        cmocka_unit_test(what_a_proxy_says_is_no_reason),
        cmocka_unit_test(a_token_is_shown_at_once_and_from_then_on),
        cmocka_unit_test(a_token_may_be_given_in_a_callback),
        cmocka_unit_test(a_token_that_is_refused_beside_a_connection_that_stands_does_not_count),
        cmocka_unit_test(without_memory_nothing_is_asked),
        cmocka_unit_test(without_memory_the_old_token_stays),
        cmocka_unit_test(without_memory_a_refusal_is_one_all_the_same),
    };

    return cmocka_run_group_tests_name("session requests", tests, NULL, NULL);
}
