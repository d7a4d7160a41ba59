/*
 * test_session.c - what a client session promises its application: publishes, subscriptions and their messages, through breaks. Its states
 * are tested in test_client_session.c.
 */
#include "client_session_fixture.h"

/* --- connecting --- */

TEST(the_first_connection_is_made_at_once)
{
    assert_int_equal(hf_client_session_state(f->s), HF_CLIENT_WAITING);
    assert_int_equal(hf_client_session_deadline_ms(f->s), f->now_ms);
    live(f);
    assert_string_equal(f->protocols, "holdfast.v1.bin, holdfast.v1.json, hf.attempt.1");
    assert_int_equal(hf_client_session_state(f->s), HF_CLIENT_LIVE);
}

TEST(a_lost_connection_resumes_its_session)
{
    live(f);
    lose(f);
    dial(f);
    accept_with(f, WELCOME("s1", "true", "0", ""));
    assert_string_equal(f->protocols, "holdfast.v1.bin, holdfast.v1.json, hf.resume.t-s1, hf.attempt.2");
    HEARD(f, "connected s1 resumed\n");
    assert_int_equal(hf_client_session_connections(f->s), 2);
}

TEST(refusals_are_obeyed)
{
    refuse(f, 503, 7); /* "the client adds a random part of a second" */
    HEARD(f, "retrying 503 7\n");
    assert_in_range(hf_client_session_deadline_ms(f->s), f->now_ms + 7000, f->now_ms + 8000);
    refuse(f, 409, 0);
    HEARD(f, "retrying 409 0\n");
    refuse(f, 401, 0);
    HEARD(f, "ended 0 401\n");
    assert_int_equal(hf_client_session_state(f->s), HF_CLIENT_ENDED);
    assert_int_equal(hf_client_session_deadline_ms(f->s), UINT64_MAX);
}

TEST(not_found_is_final_only_before_the_first_success)
{
    live(f);
    lose(f);
    refuse(f, 404, 0);
    HEARD(f, "retrying 404 0\n");
}

TEST(an_answer_that_is_none_is_tried_again)
{
    char key[HF_WS_KEY_LEN];

    dial(f);
    take_request(f, key);
    feed(f, "SSH-2.0-OpenSSH\r\n\r\n", 19);
    HEARD(f, "retrying 0 0\n");
    assert_int_equal(hf_client_session_want(f->s, f->slot).wish, HF_WISH_CLOSE);
}

TEST(an_attempt_that_gets_no_answer_is_given_up)
{
    dial(f);
    advance(f, 3999);
    HEARD(f, "");
    advance(f, 1);
    HEARD(f, "retrying 0 0\n");
    dial(f); /* the next one has more time */
    advance(f, 7999);
    HEARD(f, "");
    advance(f, 1);
    assert_int_equal(f->heard.len > 0, 1);
}

/* The driver has gone to another server: the upgrade names that one, and so do those that follow. */
TEST(an_attempt_may_go_to_another_server)
{
    static const char wanted[] = "GET /b?c HTTP/1.1\r\nHost: b:9\r\n";
    char too_long[302];
    struct hf_str out;

    memset(too_long, 'h', 301);
    too_long[301] = '\0';
    assert_int_equal(hf_client_session_set_server(f->s, too_long, "/"), HF_EINVAL);
    for (unsigned i = 0; i < 2; i++) {
        if (i == 0)
            assert_int_equal(hf_client_session_set_server(f->s, "b:9", "/b?c"), 0);
        dial(f);
        out = hf_client_session_output(f->s, f->slot, f->now_ms);
        assert_true(out.len > sizeof(wanted) && memcmp(out.data, wanted, sizeof(wanted) - 1) == 0);
        hf_client_session_lost(f->s, f->slot, "reset", f->now_ms);
    }
    HEARD(f, "retrying 0 0\nretrying 0 0\n");
}

/* The driver is told when an attempt will be given up: four seconds for the first, then eight. */
TEST(an_attempt_has_its_time)
{
    for (unsigned i = 0; i < 3; i++) {
        advance(f, hf_client_session_deadline_ms(f->s) - f->now_ms);
        assert_int_equal(hf_client_session_want(f->s, (unsigned)wanted_slot(f)).until_ms - f->now_ms,
                         i == 0 ? 4000 : 8000);
        hf_client_session_lost(f->s, (unsigned)wanted_slot(f), "refused", f->now_ms);
    }
    hf_buf_reset(&f->heard);
}

TEST(another_subprotocol_is_no_holdfast)
{
    char key[HF_WS_KEY_LEN];
    struct hf_buf out;

    dial(f);
    take_request(f, key);
    hf_buf_init(&out, 4096);
    assert_int_equal(
        hf_handshake_put_accept(&out, (struct hf_str){key, sizeof(key)}, (struct hf_str){NULL, 0}, NULL), 0);
    feed(f, out.data, out.len);
    hf_buf_release(&out);
    HEARD(f, "ended 0 0\n");
}

TEST(the_first_message_must_be_welcome)
{
    dial(f);
    accept_with(f, DATA("demo", "1"));
    HEARD(f, "retrying 0 0\n");
    said(f, "close 1008\n");
}

/* "to a client that sends `Origin` the server answers 429 and 503 as `101`, `reconnect {after, code}` and close 1013" */
TEST(a_busy_server_says_when_to_come_back)
{
    dial(f);
    accept_with(f, "{\"type\":\"reconnect\",\"after\":[9000,9000],\"code\":\"overloaded\"}\n");
    serve_close(f, 1013);
    HEARD(f, "retrying 0 9\n");
    assert_int_equal(hf_client_session_deadline_ms(f->s) > f->now_ms, 1);
}

/* --- publishing --- */

TEST(publishes_are_numbered_and_acked)
{
    live(f);
    publish(f, " {\"a\" : 1} ");
    publish(f, "2");
    publish(f, "3");
    said(f, SAID_DATA("demo", "{\"a\" : 1}", "1") SAID_DATA("demo", "2", "2") SAID_DATA("demo", "3", "3"));
    serve(f, "{\"type\":\"ack\",\"seq\":1,\"offsets\":[11]}\n");
    HEARD(f, "acked 1 at 11\n");
    serve(f, "{\"type\":\"ack\",\"seq\":3,\"offsets\":[12,null]}\n");
    HEARD(f, "acked 2 at 12\nacked 3 at 0\n");
    assert_int_equal(hf_client_session_unanswered(f->s), 0);
}

TEST(publishes_wait_for_a_connection)
{
    publish(f, "1");
    publish(f, "2");
    dial(f);
    accept_with(f, WELCOME("s1", "false", "null", ""));
    said(f, "{\"type\":\"ping\",\"id\":\"1\"}\n" SAID_DATA("demo", "1", "1") SAID_DATA("demo", "2", "2"));
}

TEST(a_nack_is_told_once)
{
    live(f);
    publish(f, "1");
    publish(f, "2");
    publish(f, "3");
    collect(f);
    serve(f, "{\"type\":\"nack\",\"seq\":2,\"code\":\"forbidden\",\"reason\":\"no\"}\n"
             "{\"type\":\"nack\",\"seq\":2,\"code\":\"forbidden\",\"reason\":\"no\"}\n");
    HEARD(f, "refused 2 forbidden\n");
    serve(f, "{\"type\":\"ack\",\"seq\":3,\"offsets\":[1,null,2]}\n");
    HEARD(f, "acked 1 at 1\nacked 3 at 2\n");
}

TEST(a_nack_alone_counts_as_done)
{
    live(f);
    publish(f, "1");
    collect(f);
    serve(f, "{\"type\":\"nack\",\"seq\":1,\"code\":\"rate_limited\",\"reason\":\"no\"}\n");
    HEARD(f, "refused 1 rate_limited\n");
    assert_int_equal(hf_client_session_unanswered(f->s), 0);
    publish(f, "2");
    hf_buf_reset(&f->said);
    said(f, SAID_DATA("demo", "2", "2"));
    serve(f, "{\"type\":\"ack\",\"seq\":2,\"offsets\":[null,5]}\n"); /* covers the refused one again */
    HEARD(f, "acked 2 at 5\n");
}

/* "The client drops what `lastSeq` covers and sends again, in order, every publish above it." */
TEST(a_resume_sends_again_what_is_above_last_seq)
{
    live(f);
    publish(f, "1");
    publish(f, "2");
    publish(f, "3");
    collect(f);
    lose(f);
    hf_buf_reset(&f->said);
    publish(f, "4");
    dial(f);
    accept_with(f, WELCOME("s1", "true", "2", ""));
    HEARD(f, "connected s1 resumed\n"); /* which of 1 and 2 were refused is not known yet */
    said(f, "{\"type\":\"ping\",\"id\":\"2\"}\n" SAID_DATA("demo", "3", "3") SAID_DATA("demo", "4", "4"));
    serve(f, "{\"type\":\"nack\",\"seq\":2,\"code\":\"forbidden\",\"reason\":\"no\"}\n");
    HEARD(f, "refused 2 forbidden\n");
    serve(f, PONG("2"));
    HEARD(f, "acked 1 at 0\ncaught up 0\n");
    serve(f, "{\"type\":\"ack\",\"seq\":4,\"offsets\":[7,8]}\n");
    HEARD(f, "acked 3 at 7\nacked 4 at 8\n");
}

/* "the new session's numbers begin at 1" */
TEST(a_new_session_with_a_known_last_seq_loses_nothing)
{
    live(f);
    publish(f, "1");
    publish(f, "2");
    collect(f);
    lose(f);
    hf_buf_reset(&f->said);
    dial(f);
    accept_with(f, WELCOME("s2", "false", "1", ""));
    HEARD(f, "connected s2\nacked 1 at 0\n");
    said(f, "{\"type\":\"ping\",\"id\":\"2\"}\n" SAID_DATA("demo", "2", "1"));
    serve(f, "{\"type\":\"ack\",\"seq\":1,\"offsets\":[9]}\n");
    HEARD(f, "acked 2 at 9\n");
}

#define NACK(seq) "{\"type\":\"nack\",\"seq\":" seq ",\"code\":\"forbidden\",\"reason\":\"no\"}\n"

/* It was told; the old session's lastSeq does not cover it, because one before it has no answer. */
TEST(what_was_refused_is_not_sent_in_the_next_session)
{
    live(f);
    for (unsigned i = 1; i <= 6; i++)
        publish(f, "7");
    collect(f);
    serve(f, NACK("3") NACK("4") NACK("6"));
    HEARD(f, "refused 3 forbidden\nrefused 4 forbidden\nrefused 6 forbidden\n");
    lose(f);
    hf_buf_reset(&f->said);
    dial(f);
    accept_with(f, WELCOME("s2", "false", "1", ""));
    HEARD(f, "connected s2\nacked 1 at 0\n");
    said(f, "{\"type\":\"ping\",\"id\":\"2\"}\n" SAID_DATA("demo", "7", "1"));
    serve(f, "{\"type\":\"ack\",\"seq\":1,\"offsets\":[9]}\n");
    HEARD(f, "acked 2 at 9\n");
    said(f, SAID_DATA("demo", "7", "2"));
    serve(f, "{\"type\":\"ack\",\"seq\":2,\"offsets\":[10]}\n");
    HEARD(f, "acked 5 at 10\n");
    assert_int_equal(hf_client_session_unanswered(f->s), 0);
    publish(f, "8");
    assert_int_equal(f->publish_id, 7);
    said(f, SAID_DATA("demo", "8", "3"));
}

TEST(what_was_refused_does_not_wait_at_the_front)
{
    live(f);
    publish(f, "1");
    publish(f, "2");
    publish(f, "3");
    collect(f);
    serve(f, NACK("2"));
    HEARD(f, "refused 2 forbidden\n");
    lose(f);
    hf_buf_reset(&f->said);
    dial(f);
    accept_with(f, WELCOME("s2", "false", "1", ""));
    HEARD(f, "connected s2\nacked 1 at 0\n");
    said(f, "{\"type\":\"ping\",\"id\":\"2\"}\n" SAID_DATA("demo", "3", "1"));
}

#define WITH_REFUSALS(welcome, refusals) "{\"refusals\":[" refusals "]," welcome

/* "refusals: of a session that is gone": with its numbers, whatever the new session's are. */
TEST(what_the_old_session_refused_is_told_as_refused)
{
    live(f);
    for (unsigned i = 1; i <= 5; i++)
        publish(f, "7");
    collect(f);
    serve(f, NACK("2"));
    HEARD(f, "refused 2 forbidden\n");
    lose(f);
    hf_buf_reset(&f->said);
    dial(f);
    accept_with(f, WITH_REFUSALS(WELCOME_BODY("s2", "false", "4", ""),
                                 "{\"seq\":1,\"code\":\"too_large\",\"reason\":\"more than 9\"},"
                                 "{\"seq\":2,\"code\":\"forbidden\",\"reason\":\"no\"},"
                                 "{\"seq\":4,\"code\":\"rate_limited\",\"reason\":\"\",\"new\":1},"
                                 "{\"seq\":99,\"code\":\"limit\",\"reason\":\"\"}"));
    HEARD(f, "connected s2\nrefused 1 too_large\nrefused 4 rate_limited\nacked 3 at 0\n");
    said(f, "{\"type\":\"ping\",\"id\":\"2\"}\n" SAID_DATA("demo", "7", "1"));
    serve(f, "{\"type\":\"ack\",\"seq\":1,\"offsets\":[9]}\n");
    HEARD(f, "acked 5 at 9\n");
}

TEST(refusals_that_cannot_be_read_are_told_and_harm_nothing)
{
    live(f);
    publish(f, "1");
    publish(f, "2");
    collect(f);
    lose(f);
    hf_buf_reset(&f->said);
    dial(f);
    accept_with(f, WITH_REFUSALS(WELCOME_BODY("s2", "false", "1", ""), "{\"seq\":1,\"code\":7}"));
    HEARD(f, "connected s2\nerror bad_message\nacked 1 at 0\n");
    said(f, "{\"type\":\"ping\",\"id\":\"2\"}\n" SAID_DATA("demo", "2", "1"));
}

/* In the same session its number is wanted: those behind it have theirs. */
TEST(what_was_refused_keeps_its_number_in_its_session)
{
    live(f);
    publish(f, "1");
    publish(f, "2");
    publish(f, "3");
    collect(f);
    serve(f, NACK("2"));
    HEARD(f, "refused 2 forbidden\n");
    lose(f);
    hf_buf_reset(&f->said);
    dial(f);
    accept_with(f, WELCOME("s1", "true", "0", ""));
    HEARD(f, "connected s1 resumed\n");
    said(f, "{\"type\":\"ping\",\"id\":\"2\"}\n" SAID_DATA("demo", "1", "1") SAID_DATA("demo", "2", "2")
                SAID_DATA("demo", "3", "3"));
}

/* "if `lastSeq` is null though publishes had been sent unacknowledged, those are *uncertain*" */
TEST(what_may_have_been_applied_is_not_sent_again)
{
    live(f);
    publish(f, "1");
    publish(f, "2");
    collect(f);
    lose(f);
    hf_buf_reset(&f->said);
    publish(f, "3");
    dial(f);
    accept_with(f, WELCOME("s2", "false", "null", ""));
    HEARD(f, "connected s2\nuncertain 1 1\nuncertain 2 2\n");
    said(f, "{\"type\":\"ping\",\"id\":\"2\"}\n" SAID_DATA("demo", "3", "1"));
}

/* "after 1009 takes its oldest unanswered publish for refused" */
TEST(after_1009_the_oldest_unanswered_publish_is_refused)
{
    live(f);
    publish(f, "1");
    publish(f, "2");
    publish(f, "3");
    collect(f);
    hf_buf_reset(&f->said);
    serve_close(f, 1009);
    HEARD(f, "disconnected 1009\n");
    hf_client_session_lost(f->s, f->slot, "closed", f->now_ms);
    dial(f);
    accept_with(f, WELCOME("s1", "true", "1", ""));
    said(f, "{\"type\":\"ping\",\"id\":\"2\"}\n");
    serve(f, PONG("2"));
    HEARD(f, "connected s1 resumed\nacked 1 at 0\nrefused 2 too_large\ncaught up 0\n");
    said(f, SAID_DATA("demo", "3", "2")); /* the number was not used */
}

TEST(bounds_are_told)
{
    char large[1100];
    unsigned i;

    live(f);
    memset(large, '1', sizeof(large));
    assert_int_equal(hf_client_session_publish(f->s, HF_STR("demo"), (struct hf_str){NULL, 0},
                                               (struct hf_str){large, 1001}, &f->publish_id, f->now_ms),
                     HF_ETOOLARGE);
    assert_int_equal(hf_client_session_publish(f->s, HF_STR("demo"), (struct hf_str){NULL, 0}, HF_STR("{"),
                                               &f->publish_id, f->now_ms),
                     HF_EINVAL);
    assert_int_equal(hf_client_session_publish(f->s, HF_STR(""), (struct hf_str){NULL, 0}, HF_STR("1"),
                                               &f->publish_id, f->now_ms),
                     HF_EINVAL);
    for (i = 0; i < 100; i++)
        publish(f, "1");
    assert_int_equal(hf_client_session_publish(f->s, HF_STR("demo"), (struct hf_str){NULL, 0}, HF_STR("1"),
                                               &f->publish_id, f->now_ms),
                     HF_EAGAIN);
    for (i = 0; i < 4; i++)
        subscribe(f, (const char *[]){"a", "b", "c", "d"}[i]);
    assert_int_equal(
        hf_client_session_subscribe(f->s, HF_STR("a"), &(struct hf_client_session_start){.last = 0}, 0),
        HF_EEXIST);
    assert_int_equal(
        hf_client_session_subscribe(f->s, HF_STR("e"), &(struct hf_client_session_start){.last = 0}, 0),
        HF_ELIMIT);
}

TEST(an_impossible_ack_ends_the_connection)
{
    live(f);
    publish(f, "1");
    collect(f);
    hf_buf_reset(&f->said);
    serve(f, "{\"type\":\"ack\",\"seq\":2,\"offsets\":[1,2]}\n");
    HEARD(f, "disconnected 0\n");
    said(f, "close 1008\n");
    dial(f);
    accept_with(f, WELCOME("s1", "true", "1", ""));
    serve(f, PONG("2"));
    HEARD(f, "connected s1 resumed\nacked 1 at 0\ncaught up 0\n");
}

/* A server that forgets what it acknowledged: numbers would be used twice, so the session is given up. */
static void expect_new_session(struct fixture *f)
{
    dial(f);
    accept_with(f, WELCOME("s2", "false", "null", ""));
    assert_string_equal(f->protocols, "holdfast.v1.bin, holdfast.v1.json, hf.attempt.3");
    HEARD(f, "connected s2\nuncertain 2 2\n");
}

TEST(a_server_that_has_lost_count_is_not_resumed)
{
    live(f);
    publish(f, "1");
    publish(f, "2");
    collect(f);
    serve(f, "{\"type\":\"ack\",\"seq\":1,\"offsets\":[1]}\n");
    HEARD(f, "acked 1 at 1\n");
    lose(f);
    dial(f);
    accept_with(f, WELCOME("s1", "true", "0", ""));
    HEARD(f, "connected s1 resumed\ndisconnected 0\n");
    hf_client_session_lost(f->s, f->slot, "closed", f->now_ms);
    expect_new_session(f);
}

TEST(bad_seq_resumes_where_that_helps)
{
    live(f);
    publish(f, "1");
    publish(f, "2");
    collect(f);
    serve(f, "{\"type\":\"error\",\"code\":\"bad_seq\",\"reason\":\"no\",\"re\":\"data\",\"expected\":1}\n");
    HEARD(f, "disconnected 0\n");
    dial(f);
    accept_with(f, WELCOME("s1", "true", "0", ""));
    assert_string_equal(f->protocols, "holdfast.v1.bin, holdfast.v1.json, hf.resume.t-s1, hf.attempt.2");
    hf_buf_reset(&f->said);
    said(f, "{\"type\":\"ping\",\"id\":\"2\"}\n" SAID_DATA("demo", "1", "1") SAID_DATA("demo", "2", "2"));
}

/* --- channels --- */

/* In the binary form a message of a channel that is not followed has a number that says nothing, which only a faulty server sends. */
static const char *of_a_stranger(const struct fixture *f)
{
    return f->encoding == HF_ENCODING_JSON ? "" : "error bad_message\n";
}

TEST(messages_come_once_and_in_order)
{
    following(f);
    serve(f, DATA("demo", "6") DATA("demo", "6") DATA("demo", "7"));
    HEARD(f, "message demo 6 6\nmessage demo 7 7\n");
    serve(f, DATA("other", "1"));
    HEARD(f, of_a_stranger(f));
}

TEST(acks_are_lazy)
{
    following(f);
    serve(f, DATA("demo", "6") DATA("demo", "7"));
    said(f, "");
    advance(f, 999);
    said(f, "");
    advance(f, 1);
    said(f, "{\"type\":\"ack\",\"channel\":\"demo\",\"offset\":7}\n");
    serve(f, DATA("demo", "8"));
    serve(f, "{\"type\":\"ping\"}\n");
    said(f, "{\"type\":\"pong\",\"acks\":{\"demo\":8}}\n");
    advance(f, 5000);
    said(f, "");
    serve(f, "{\"type\":\"ping\"}\n");
    said(f, "{\"type\":\"pong\"}\n");
}

TEST(many_messages_are_acked_at_once)
{
    char line[200];
    unsigned offset;

    following(f);
    for (offset = 6; offset < 6 + 256; offset++) {
        said(f, "");
        (void)snprintf(line, sizeof(line),
                       "{\"type\":\"data\",\"channel\":\"demo\",\"offset\":%u,\"id\":\"i\",\"payload\":0,"
                       "\"timestamp\":1}",
                       offset);
        serve(f, line);
    }
    said(f, "{\"type\":\"ack\",\"channel\":\"demo\",\"offset\":261}\n");
}

TEST(a_resume_goes_on_behind_what_was_had)
{
    following(f);
    serve(f, DATA("demo", "6") DATA("demo", "7"));
    HEARD(f, "message demo 6 6\nmessage demo 7 7\n");
    lose(f);
    dial(f);
    accept_with(f, WELCOME("s1", "true", "0", "{\"channel\":\"demo\",\"epoch\":\"e1\",\"offset\":5}")
                       DATA("demo", "6") DATA("demo", "7") DATA("demo", "8"));
    said(f, "{\"type\":\"ping\",\"id\":\"2\"}\n");
    serve(f, PONG("2"));
    HEARD(f, "connected s1 resumed\nmessage demo 8 8\ncaught up 1\n");
    advance(f, 1000); /* the lost acknowledgement is made good */
    said(f, "{\"type\":\"ack\",\"channel\":\"demo\",\"offset\":8}\n");
}

/* An acknowledgement that was lost with its connection is made good though nothing new comes. */
TEST(a_resume_repeats_lost_acks)
{
    following(f);
    serve(f, DATA("demo", "6"));
    advance(f, 1000);
    said(f, "{\"type\":\"ack\",\"channel\":\"demo\",\"offset\":6}\n");
    HEARD(f, "message demo 6 6\n");
    lose(f);
    dial(f);
    accept_with(f, WELCOME("s1", "true", "0", "{\"channel\":\"demo\",\"epoch\":\"e1\",\"offset\":5}"));
    said(f, "{\"type\":\"ping\",\"id\":\"2\"}\n");
    serve(f, PONG("2"));
    advance(f, 1000);
    said(f, "{\"type\":\"ack\",\"channel\":\"demo\",\"offset\":6}\n");
}

TEST(a_lost_session_is_subscribed_to_again)
{
    following(f);
    serve(f, DATA("demo", "6"));
    HEARD(f, "message demo 6 6\n");
    lose(f);
    dial(f);
    accept_with(f, WELCOME("s2", "false", "0", ""));
    said(f, "{\"type\":\"subscribe\",\"channel\":\"demo\",\"since\":{\"epoch\":\"e1\",\"offset\":6}}\n"
            "{\"type\":\"ping\",\"id\":\"2\"}\n");
    serve(
        f,
        "{\"type\":\"gap\",\"channel\":\"demo\",\"epoch\":\"e1\",\"from\":7,\"to\":9,\"code\":\"evicted\"}\n"
        "{\"type\":\"subscribed\",\"channel\":\"demo\",\"epoch\":\"e1\",\"offset\":10,\"recovered\":false}"
        "\n" DATA("demo", "10"));
    HEARD(f, "connected s2\ngap demo e1 7-9 evicted\nsubscribed demo e1:9\nmessage demo 10 10\n");
}

TEST(an_unanswered_subscribe_is_asked_again)
{
    live(f);
    subscribe(f, "demo");
    collect(f);
    lose(f);
    hf_buf_reset(&f->said);
    dial(f);
    accept_with(f, WELCOME("s1", "true", "0", ""));
    said(f, "{\"type\":\"subscribe\",\"channel\":\"demo\"}\n{\"type\":\"ping\",\"id\":\"2\"}\n");
}

/* "A subscription whose `subscribed` was lost is in `welcome.channels`, and begins at that offset." */
TEST(a_lost_subscribed_is_made_good_by_the_welcome)
{
    live(f);
    subscribe(f, "demo");
    collect(f);
    lose(f);
    hf_buf_reset(&f->said);
    dial(f);
    accept_with(f, WELCOME("s1", "true", "0", "{\"channel\":\"demo\",\"epoch\":\"e1\",\"offset\":3}")
                       DATA("demo", "4"));
    HEARD(f, "connected s1 resumed\nsubscribed demo e1:3\nmessage demo 4 4\n");
    said(f, "{\"type\":\"ping\",\"id\":\"2\"}\n");
}

TEST(the_backend_may_subscribe)
{
    live(f);
    serve(f, SUBSCRIBED("news", "e1", "2") DATA("news", "3"));
    HEARD(f, "subscribed news e1:2\nmessage news 3 3\n");
    serve(f,
          "{\"type\":\"unsubscribed\",\"channel\":\"news\",\"code\":\"forbidden\",\"reason\":\"no\"}\n" DATA(
              "news", "4"));
    HEARD(f, f->encoding == HF_ENCODING_JSON ? "unsubscribed news forbidden\n"
                                             : "unsubscribed news forbidden\nerror bad_message\n");
}

TEST(an_unsubscribe_is_asked_until_it_is_answered)
{
    following(f);
    assert_int_equal(hf_client_session_unsubscribe(f->s, HF_STR("demo"), f->now_ms), 0);
    said(f, "{\"type\":\"unsubscribe\",\"channel\":\"demo\"}\n");
    serve(f, DATA("demo", "6"));
    lose(f);
    dial(f);
    accept_with(f, WELCOME("s1", "true", "0", "{\"channel\":\"demo\",\"epoch\":\"e1\",\"offset\":5}"));
    said(f, "{\"type\":\"unsubscribe\",\"channel\":\"demo\"}\n{\"type\":\"ping\",\"id\":\"2\"}\n");
    serve(f, "{\"type\":\"unsubscribed\",\"channel\":\"demo\"}\n");
    HEARD(f, "connected s1 resumed\nunsubscribed demo \n");
    subscribe(f, "demo");
}

TEST(an_unsubscribe_is_done_when_its_session_is_gone)
{
    following(f);
    assert_int_equal(hf_client_session_unsubscribe(f->s, HF_STR("demo"), f->now_ms), 0);
    lose(f);
    dial(f);
    accept_with(f, WELCOME("s2", "false", "null", ""));
    HEARD(f, "connected s2\nunsubscribed demo \n");
}

TEST(a_hole_is_asked_for_and_must_be_filled)
{
    following(f);
    serve(f, DATA("demo", "8") DATA("demo", "9"));
    said(f, "{\"type\":\"sync_request\",\"channel\":\"demo\",\"offset\":5}\n");
    serve(f, DATA("demo", "6") DATA("demo", "7") DATA("demo", "8"));
    HEARD(f, "message demo 6 6\nmessage demo 7 7\nmessage demo 8 8\n");
    advance(f, 15000);
    HEARD(f, "");
    serve(f, DATA("demo", "20"));
    advance(f, 9999);
    HEARD(f, "");
    advance(f, 1);
    HEARD(f, "disconnected 0\n");
}

TEST(a_new_epoch_is_told_once)
{
    following(f);
    serve(f, "{\"type\":\"gap\",\"channel\":\"demo\",\"epoch\":\"e2\",\"from\":null,\"to\":null,\"code\":"
             "\"epoch\"}\n"
             "{\"type\":\"gap\",\"channel\":\"demo\",\"epoch\":\"e2\",\"from\":1,\"to\":2,\"code\":"
             "\"evicted\"}\n" DATA("demo", "3"));
    HEARD(f, "gap demo e2 0-0 epoch\ngap demo e2 1-2 evicted\nmessage demo 3 3\n");
    lose(f);
    dial(f);
    accept_with(
        f,
        WELCOME(
            "s1", "true", "0",
            "{\"channel\":\"demo\",\"epoch\":\"e3\",\"offset\":0}") "{\"type\":\"gap\",\"channel\":\"demo\","
                                                                    "\"epoch\":\"e3\",\"from\":null,\"to\":"
                                                                    "null,\"code\":\"epoch\"}\n" DATA("demo",
                                                                                                      "1"));
    HEARD(f, "connected s1 resumed\ngap demo e3 0-0 epoch\nmessage demo 1 1\n");
}

TEST(a_refused_subscribe_is_told_or_repeated)
{
    live(f);
    subscribe(f, "a");
    subscribe(f, "b");
    collect(f);
    hf_buf_reset(&f->said);
    serve(f, "{\"type\":\"error\",\"code\":\"forbidden\",\"reason\":\"no\",\"re\":\"subscribe\",\"channel\":"
             "\"a\"}\n"
             "{\"type\":\"error\",\"code\":\"unavailable\",\"reason\":\"no\",\"re\":\"subscribe\","
             "\"channel\":\"b\"}\n");
    HEARD(f, "unsubscribed a forbidden\n");
    said(f, "");
    advance(f, 1000);
    said(f, "{\"type\":\"subscribe\",\"channel\":\"b\"}\n");
}

/* --- heartbeats --- */

TEST(a_silent_connection_is_asked_then_prepared_for_then_left)
{
    unsigned old = 0;

    live(f);
    old = f->slot;
    advance(f, 24999);
    said(f, "");
    advance(f, 1);
    said(f, "{\"type\":\"ping\",\"id\":\"2\"}\n");
    advance(f, 1000);
    assert_true(wanted_slot(f) >= 0); /* the first doubt: a connection is prepared */
    dial(f);
    assert_int_equal(hf_client_session_output(f->s, f->slot, f->now_ms).len, 0); /* and says nothing */
    HEARD(f, "");
    advance(f, 2000);
    HEARD(f, "disconnected 0\n");
    assert_int_equal(hf_client_session_want(f->s, old).wish, HF_WISH_NONE);
    accept_with(f, WELCOME("s1", "true", "0", "")); /* the upgrade goes out as the old one is left */
    HEARD(f, "connected s1 resumed\n");
}

TEST(an_unfounded_doubt_costs_the_spare_connection_only)
{
    unsigned spare;

    live(f);
    advance(f, 26000);
    spare = (unsigned)wanted_slot(f);
    serve(f, PONG("2"));
    assert_int_equal(hf_client_session_want(f->s, spare).wish, HF_WISH_CONNECT);
    advance(f, 4000); /* the time that an attempt has; see test_client_session.c for one that stands */
    assert_int_equal(hf_client_session_want(f->s, spare).wish, HF_WISH_NONE);
    advance(f, 10000);
    HEARD(f, "");
}

TEST(a_late_answer_is_a_doubt)
{
    live(f);
    publish(f, "1");
    said(f, SAID_DATA("demo", "1", "1"));
    advance(f, 1000);
    said(f, "{\"type\":\"ping\",\"id\":\"2\"}\n");
    assert_true(wanted_slot(f) >= 0); /* it has been silent for the soft deadline already, */
    advance(f, 1999);
    HEARD(f, "");
    advance(f, 1); /* and is dead a hard one after the publish */
    HEARD(f, "disconnected 0\n");
}

/* A session with the adaptive policy, live and idle. The server is asked for the most that the policy may need and the server allows. */
static void live_adaptive(struct fixture *f, struct hf_heartbeat_adaptive *a)
{
    hf_heartbeat_adaptive_init(a, HF_ADAPTIVE_IDLE_MS, NULL, 1);
    setup_with(f, false, HF_ENCODING_BINARY, &a->base);
    dial(f);
    accept_with(f, WELCOME("s1", "false", "null", ""));
    said(f, "{\"type\":\"heartbeat\",\"interval\":60000}\n{\"type\":\"ping\",\"id\":\"1\"}\n");
    serve(f, "{\"type\":\"heartbeat\",\"interval\":60000}\n" PONG("1"));
    a->jitter_permille = 0;
}

static void a_policy_says_when_to_ping(void **state)
{
    struct hf_heartbeat_adaptive a;
    struct fixture f;

    (void)state;
    live_adaptive(&f, &a);
    a.net.lo_ms = 59000;
    advance(&f, 53099);
    said(&f, "");
    advance(&f, 1);
    said(&f, "{\"type\":\"ping\",\"id\":\"2\"}\n");
    serve(&f, PONG("2"));
    assert_true(a.idle); /* it was told of the answer, */
    hf_heartbeat_adaptive_set_tolerance(&a, HF_ADAPTIVE_FOREGROUND_MS);
    hf_client_session_heartbeat_changed(f.s, f.now_ms);
    said(&f, "{\"type\":\"heartbeat\",\"interval\":30000}\n");
    teardown(&f);
}

/* ... and of deaths, of what explains them, and of the network. */
static void a_policy_is_told_of_deaths_and_their_causes(void **state)
{
    struct hf_heartbeat_memory memory;
    struct hf_heartbeat_adaptive a;
    struct fixture f;

    (void)state;
    live_adaptive(&f, &a);
    hf_heartbeat_memory_init(&memory);
    a.memory = &memory;
    hf_client_session_set_network(f.s, 7, f.now_ms);
    assert_int_equal(a.net.key, 7);
    a.disturbed = false; /* another network is a disturbance, too */
    serve(&f, "{\"type\":\"reconnect\",\"after\":[3600000,3600000],\"code\":\"max_age\"}\n");
    assert_true(a.disturbed);
    a.disturbed = false;
    advance(&f, 25000);
    collect(&f); /* the ping goes out, and is answered by a reset */
    hf_client_session_lost(f.s, f.slot, "reset", f.now_ms);
    assert_int_equal(a.dead_gap_ms, 25000);
    network(&f, false, HF_PATH_SAME);
    assert_int_equal(a.dead_gap_ms, 0);
    dial(&f);
    accept_with(&f, WELCOME("s1", "true", "0", ""));
    assert_int_equal(a.net.hi_ms, 0);
    teardown(&f);
}

/* --- probes --- */

enum { PROBE = HF_CLIENT_SESSION_PROBE_SLOT };

static void answer_live(struct fixture *f, const char *pong)
{
    f->slot = 0;
    hf_buf_reset(&f->said);
    collect(f);
    hf_buf_reset(&f->said);
    serve(f, pong);
}

/* After the first scheduled ping's answer a probe is wanted; its connection is made, and it is silent. */
static void probe_silent(struct fixture *f, struct hf_heartbeat_adaptive *a)
{
    live_adaptive(f, a);
    assert_int_equal(hf_client_session_want(f->s, PROBE).wish, HF_WISH_NONE);
    advance(f, 25000);
    answer_live(f, PONG("2"));
    assert_int_equal(hf_client_session_want(f->s, PROBE).wish, HF_WISH_CONNECT);
    hf_ws_release(&f->server[PROBE]);
    hf_ws_init(&f->server[PROBE], HF_WS_SERVER, TEXT_MAX);
    f->slot = PROBE;
    hf_client_session_connected(f->s, PROBE, f->now_ms);
    accept_with(f, WELCOME("probe", "false", "null", ""));
    assert_string_equal(f->protocols, "holdfast.v1.bin, holdfast.v1.json"); /* it resumes nothing */
    said(f, "{\"type\":\"heartbeat\",\"interval\":41000}\n");
    serve(f, "{\"type\":\"heartbeat\",\"interval\":41000}\n");
    said(f, "");
}

/* Until the probe is over the live connection is answered whenever it asks. */
static void wait_for_probe(struct fixture *f, uint64_t ms)
{
    uint64_t until = f->now_ms + ms;

    while (f->now_ms < until) {
        uint64_t at = hf_client_session_deadline_ms(f->s);
        char pong[128];

        if (at > f->now_ms)
            f->now_ms = at < until ? at : until;
        hf_client_session_tick(f->s, f->now_ms);
        f->slot = 0;
        collect(f);
        if (f->said.len > 0) {
            (void)snprintf(pong, sizeof(pong), PONG("%.*s"), (int)strcspn((char *)f->said.data + 21, "\""),
                           (char *)f->said.data + 21);
            hf_buf_reset(&f->said);
            serve(f, pong);
        }
    }
    f->slot = PROBE;
}

static void a_probe_that_is_answered_proves_its_gap(void **state)
{
    struct hf_heartbeat_adaptive a;
    struct fixture f;
    uint64_t silent_ms;

    (void)state;
    probe_silent(&f, &a);
    wait_for_probe(&f, 39999);
    said(&f, "");
    wait_for_probe(&f, 1);
    said(&f, "{\"type\":\"ping\",\"id\":\"1\"}\n");
    serve(&f,
          "{\"type\":\"ping\"}\n"); /* the server's own came just then: it says nothing about the way there */
    serve(&f, PONG("1"));
    assert_int_equal(a.net.lo_ms, 40000);
    said(&f, "{\"type\":\"bye\"}\nclose 1000\n");
    assert_int_equal(hf_client_session_want(f.s, PROBE).wish, HF_WISH_CLOSE);
    wait_for_probe(&f, 1000);
    assert_int_equal(hf_client_session_want(f.s, PROBE).wish, HF_WISH_NONE);
    silent_ms = f.now_ms;
    while (hf_client_session_want(f.s, PROBE).wish == HF_WISH_NONE && f.now_ms < silent_ms + 36000)
        wait_for_probe(&f, 1000);
    assert_int_equal(hf_client_session_want(f.s, PROBE).wish, HF_WISH_CONNECT); /* the next one */
    HEARD(&f, "connected s1\ncaught up 0\n"); /* the application hears nothing of it */
    teardown(&f);
}

static void a_probe_that_is_not_answered_is_judged_by_the_live_connection(void **state)
{
    struct hf_heartbeat_adaptive a;
    struct fixture f;

    (void)state;
    probe_silent(&f, &a);
    wait_for_probe(&f, 40000);
    said(&f, "{\"type\":\"ping\",\"id\":\"1\"}\n");
    advance(&f, 3000); /* the hard deadline, in which nobody asked the live connection */
    assert_int_equal(hf_client_session_want(f.s, PROBE).wish, HF_WISH_NONE);
    assert_int_equal(a.net.hi_ms, 0);
    wait_for_probe(&f, 10);
    assert_int_equal(a.net.hi_ms, 40000);
    teardown(&f);
}

static void a_probe_that_dies_with_the_network_proves_nothing(void **state)
{
    struct hf_heartbeat_adaptive a;
    struct fixture f;

    (void)state;
    probe_silent(&f, &a);
    wait_for_probe(&f, 40000);
    said(&f, "{\"type\":\"ping\",\"id\":\"1\"}\n");
    advance(&f, 8000); /* the live connection has had no answer, either */
    assert_true(hf_client_session_state(f.s) != HF_CLIENT_LIVE);
    assert_int_equal(a.net.hi_ms, 0);
    assert_true(a.no_probe_until_ms > f.now_ms);
    teardown(&f);
}

/* What ends a probe in its silence: a cut is a wall at the silence that it had, all else proves nothing. */
static void a_probe_that_is_cut_in_its_silence(void **state)
{
    struct hf_heartbeat_adaptive a;
    struct fixture f;

    (void)state;
    probe_silent(&f, &a);
    wait_for_probe(&f, 33000);
    hf_client_session_lost(f.s, PROBE, "reset", f.now_ms);
    assert_int_equal(a.net.hi_ms, 0);
    wait_for_probe(&f, 10);
    assert_int_equal(a.net.hi_ms, 33000);
    teardown(&f);

    probe_silent(&f, &a);
    wait_for_probe(&f, 33000);
    serve_close(&f, 1012);
    wait_for_probe(&f, 10000);
    assert_int_equal(a.net.hi_ms, 0);
    teardown(&f);

    probe_silent(&f, &a);
    wait_for_probe(&f, 33000);
    network(&f, false, HF_PATH_SAME);
    assert_int_equal(hf_client_session_want(f.s, PROBE).wish, HF_WISH_NONE);
    wait_for_probe(&f, 10000);
    assert_int_equal(a.net.hi_ms, 0);
    teardown(&f);
}

static void a_probe_that_the_server_does_not_bear_is_given_up(void **state)
{
    struct hf_heartbeat_adaptive a;
    struct fixture f;

    (void)state;
    live_adaptive(&f, &a);
    advance(&f, 25000);
    answer_live(&f, PONG("2"));
    f.slot = PROBE;
    hf_client_session_connected(f.s, PROBE, f.now_ms);
    accept_with(&f, WELCOME("probe", "false", "null", ""));
    serve(&f, "{\"type\":\"heartbeat\",\"interval\":30000}\n");
    assert_int_equal(hf_client_session_want(f.s, PROBE).wish, HF_WISH_NONE);
    assert_true(a.no_probe_until_ms > f.now_ms);
    hf_client_session_close(f.s, f.now_ms);
    teardown(&f);
}

/* --- what a watcher knows --- */

TEST(a_change_that_leaves_the_way_is_a_doubt)
{
    live(f);
    network(f, false, HF_PATH_SAME);
    advance(f, 0);
    said(f, "{\"type\":\"ping\",\"id\":\"2\"}\n");
    assert_int_equal(wanted_slot(f), -1);
    hf_client_session_output_stuck(f->s, f->slot, f->now_ms);
    advance(f, 0);
    said(f, ""); /* One ping is under way already. */
    serve(f, PONG("2"));
    hf_client_session_output_stuck(f->s, f->slot, f->now_ms);
    advance(f, 0);
    said(f, "{\"type\":\"ping\",\"id\":\"3\"}\n");
}

TEST(a_connection_whose_address_is_gone_is_dead)
{
    live(f);
    network(f, false, HF_PATH_GONE);
    HEARD(f, "disconnected 0\n");
    assert_in_range(hf_client_session_deadline_ms(f->s), f->now_ms, f->now_ms + 100);
    dial(f);
    accept_with(f, WELCOME("s1", "true", "0", ""));
    HEARD(f, "connected s1 resumed\n");
}

TEST(what_is_prepared_on_a_good_way_follows_one_whose_address_is_gone)
{
    live(f);
    advance(f, 26000);
    assert_true(wanted_slot(f) >= 0);
    network(f, false, HF_PATH_GONE);
    HEARD(f, "disconnected 0\n");
    assert_int_equal(hf_client_session_state(f->s), HF_CLIENT_CONNECTING);
    dial(f);
    accept_with(f, WELCOME("s1", "true", "0", ""));
    HEARD(f, "connected s1 resumed\n");
}

TEST(another_way_is_taken_before_the_old_one_breaks)
{
    unsigned old;

    live(f);
    old = f->slot;
    network(f, false, HF_PATH_MOVED);
    dial(f);
    assert_int_equal(hf_client_session_want(f->s, old).wish, HF_WISH_CARRY);
    accept_with(f, WELCOME("s1", "true", "0", ""));
    HEARD(f, "connected s1 resumed\n"); /* and nothing of a break */
    assert_int_equal(hf_client_session_want(f->s, old).wish, HF_WISH_NONE);
}

TEST(a_proof_of_life_does_not_keep_it_on_the_old_way)
{
    unsigned old, new;

    live(f);
    old = f->slot;
    network(f, false, HF_PATH_MOVED);
    dial(f);
    new = f->slot;
    f->slot = old;
    serve(f, "{\"type\":\"ping\"}\n");
    assert_int_equal(hf_client_session_want(f->s, new).wish, HF_WISH_CARRY);
}

TEST(an_attempt_on_an_old_way_is_begun_anew)
{
    uint32_t first;

    advance(f, 0);
    f->slot = (unsigned)wanted_slot(f);
    first = hf_client_session_want(f->s, f->slot).attempt;
    network(f, false, HF_PATH_SAME);
    assert_int_equal(hf_client_session_want(f->s, f->slot).attempt, first);
    network(f, false, HF_PATH_MOVED);
    HEARD(f, "");
    assert_int_equal(hf_client_session_state(f->s), HF_CLIENT_CONNECTING);
    dial(f);
    assert_true(f->attempt > first);
    accept_with(f, WELCOME("s1", "false", "null", ""));
    HEARD(f, "connected s1\n");
}

TEST(an_attempt_whose_request_is_out_is_waited_for)
{
    dial(f);
    network(f, false, HF_PATH_MOVED);
    assert_int_equal(hf_client_session_want(f->s, f->slot).attempt, f->attempt);
    accept_with(f, WELCOME("s1", "false", "null", ""));
    HEARD(f, "connected s1\n");
}

TEST(offline_it_waits_for_the_signal)
{
    live(f);
    lose(f);
    network(f, true, HF_PATH_SAME);
    assert_in_range(hf_client_session_deadline_ms(f->s), f->now_ms + 30000, f->now_ms + 31000);
    advance(f, 29999);
    assert_int_equal(wanted_slot(f), -1);
    network(f, false, HF_PATH_SAME);
    assert_in_range(hf_client_session_deadline_ms(f->s), f->now_ms, f->now_ms + 100);
}

TEST(offline_it_tries_every_30_s_because_signals_lie)
{
    unsigned i;

    network(f, true, HF_PATH_SAME);
    for (i = 0; i < 5; i++) {
        advance(f, i == 0 ? 0 : 1001); /* The first is made in any case: it may be to this machine. */
        f->slot = (unsigned)wanted_slot(f);
        hf_client_session_lost(f->s, f->slot, "no route", f->now_ms);
        HEARD(f, "retrying 0 30\n");
        advance(f, 29999);
        assert_int_equal(wanted_slot(f), -1);
    }
    dial(f);
    accept_with(f, WELCOME("s1", "false", "null", ""));
    HEARD(f, "connected s1\n");
}

TEST(back_online_a_standing_connection_is_followed_at_once)
{
    live(f);
    network(f, true, HF_PATH_SAME);
    assert_int_equal(hf_client_session_state(f->s), HF_CLIENT_DOUBTFUL);
    advance(f, 2000);
    assert_int_equal(wanted_slot(f), -1);
    network(f, false, HF_PATH_SAME);
    assert_true(wanted_slot(f) >= 0);
    dial(f);
    accept_with(f, WELCOME("s1", "true", "0", ""));
    HEARD(f, "connected s1 resumed\n");
}

TEST(a_live_connection_that_dies_offline_waits)
{
    live(f);
    network(f, true, HF_PATH_SAME);
    network(f, true, HF_PATH_GONE);
    HEARD(f, "disconnected 0\n");
    assert_in_range(hf_client_session_deadline_ms(f->s), f->now_ms + 30000, f->now_ms + 31000);
}

TEST(protocol_pings_are_answered)
{
    struct hf_buf out;

    live(f);
    hf_buf_init(&out, 100);
    assert_int_equal(hf_ws_put_frame(&out, HF_WS_PING, "abc", 3, NULL), 0);
    feed(f, out.data, out.len);
    hf_buf_release(&out);
    said(f, "wspong abc\n");
}

/* Each of them is answered, so that the output grows though nothing is published. */
static void fill_output_with_pongs(struct fixture *f, unsigned bytes)
{
    uint8_t ping[HF_WS_CONTROL_MAX];
    struct hf_buf out;
    unsigned at;

    memset(ping, 'p', sizeof(ping));
    hf_buf_init(&out, TEXT_MAX);
    for (at = 0; at < bytes; at += sizeof(ping))
        assert_int_equal(hf_ws_put_frame(&out, HF_WS_PING, ping, sizeof(ping), NULL), 0);
    feed(f, out.data, out.len);
    hf_buf_release(&out);
}

/* The driver comes seconds late, and the server does not read: the acknowledgement is due a second from then, and not at once, time and again. */
TEST(an_acknowledgement_without_room_waits_from_now)
{
    following(f);
    serve(f, DATA("demo", "6"));
    HEARD(f, "message demo 6 6\n");
    fill_output_with_pongs(f, 300 * 1024);
    f->now_ms += 10000;
    hf_client_session_tick(f->s, f->now_ms);
    assert_int_equal(hf_client_session_deadline_ms(f->s), f->now_ms + 1000);
    collect(f);
    hf_buf_reset(&f->said);
    advance(f, 1000);
    said(f, "{\"type\":\"ack\",\"channel\":\"demo\",\"offset\":6}\n");
}

/* --- leaving --- */

/* "leave this connection at a random time in that window, make before break" */
TEST(a_drained_connection_is_left_for_one_that_stands)
{
    unsigned old;

    following(f);
    serve(f, "{\"type\":\"reconnect\",\"after\":[2000,3000],\"code\":\"draining\"}\n");
    old = f->slot;
    advance(f, 1999);
    assert_int_equal(wanted_slot(f), -1);
    dial(f);
    assert_int_equal(hf_client_session_want(f->s, old).wish, HF_WISH_CARRY);
    accept_with(f, WELCOME("s1", "true", "0", "{\"channel\":\"demo\",\"epoch\":\"e1\",\"offset\":5}")
                       DATA("demo", "6"));
    HEARD(f, "connected s1 resumed\nmessage demo 6 6\n"); /* and no disconnect */
    assert_int_equal(hf_client_session_want(f->s, old).wish, HF_WISH_NONE);
}

/* "if the new attempt is refused, stay until closed" */
TEST(a_refused_move_changes_nothing)
{
    unsigned old;

    live(f);
    serve(f, "{\"type\":\"reconnect\",\"after\":[2000,2000],\"code\":\"rebalance\"}\n");
    old = f->slot;
    refuse(f, 503, 5);
    HEARD(f, "");
    f->slot = old;
    advance(f, 20000);
    assert_int_equal(wanted_slot(f), -1);
    serve_close(f, 1012);
    HEARD(f, "disconnected 1012\n");
}

/* "All others: reconnects and resumes, after the delay of the last `reconnect`, if there was one." */
TEST(a_close_after_advice_waits_as_advised)
{
    live(f);
    serve(f, "{\"type\":\"reconnect\",\"after\":[60000,60000],\"code\":\"draining\"}\n");
    serve_close(f, 1001);
    hf_client_session_lost(f->s, f->slot, "closed", f->now_ms);
    assert_int_equal(hf_client_session_deadline_ms(f->s), f->now_ms + 60000);
}

TEST(close_codes_tell_what_to_do)
{
    static const struct {
        uint16_t code;
        const char *heard;
    } cases[] = {
        {1000, "ended 1000 0\n"},      {4003, "ended 4003 0\n"},      {4001, "ended 4001 0\n"},
        {4002, "ended 4002 0\n"},      {1001, "disconnected 1001\n"}, {1011, "disconnected 1011\n"},
        {1012, "disconnected 1012\n"}, {4004, "disconnected 4004\n"}, {4005, "disconnected 4005\n"},
        {4006, "disconnected 4006\n"}, {4999, "disconnected 4999\n"},
    };
    bool drip = f->drip;
    unsigned i;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        teardown(f);
        setup(f, drip, f->encoding);
        live(f);
        serve_close(f, cases[i].code);
        HEARD(f, cases[i].heard);
        collect(f);
        assert_int_equal(hf_client_session_want(f->s, f->slot).wish, HF_WISH_CLOSE);
    }
}

/* "4001: stays away, unless it has an attempt of its own that is unanswered or was given up: then it resumes once more." */
TEST(superseded_by_its_own_attempt_it_resumes)
{
    unsigned old;

    live(f);
    serve(f, "{\"type\":\"reconnect\",\"after\":[0,0],\"code\":\"rebalance\"}\n");
    old = f->slot;
    dial(f);
    advance(f, 10000); /* no answer: given up */
    f->slot = old;
    serve_close(f, 4001);
    HEARD(f, "disconnected 4001\n");
    hf_client_session_lost(f->s, f->slot, "closed", f->now_ms);
    dial(f);
    accept_with(f, WELCOME("s1", "true", "0", ""));
    HEARD(f, "connected s1 resumed\n");
    serve_close(f, 4001); /* now it is somebody else */
    HEARD(f, "ended 4001 0\n");
}

/* The server took the attempt, closed the old connection, and its answer is still on the way. */
TEST(superseded_while_its_own_attempt_is_under_way_it_waits_for_that)
{
    unsigned old, next;

    live(f);
    serve(f, "{\"type\":\"reconnect\",\"after\":[0,0],\"code\":\"rebalance\"}\n");
    old = f->slot;
    dial(f);
    next = f->slot;
    f->slot = old;
    serve_close(f, 4001);
    HEARD(f, "");
    f->slot = next;
    accept_with(f, WELCOME("s1", "true", "0", ""));
    HEARD(f, "connected s1 resumed\n");
}

TEST(goodbye_is_said_and_answered)
{
    live(f);
    hf_client_session_close(f->s, f->now_ms);
    said(f, "{\"type\":\"bye\"}\n");
    assert_int_equal(hf_client_session_publish(f->s, HF_STR("demo"), (struct hf_str){NULL, 0}, HF_STR("1"),
                                               &f->publish_id, f->now_ms),
                     HF_ESTATE);
    serve_close(f, 1000);
    HEARD(f, "ended 1000 0 asked\n");
    said(f, "close 1000\n");
    hf_client_session_lost(f->s, f->slot, "closed", f->now_ms);
    assert_int_equal(hf_client_session_want(f->s, f->slot).wish, HF_WISH_NONE);
}

TEST(goodbye_without_an_answer_ends_by_deadline)
{
    live(f);
    hf_client_session_close(f->s, f->now_ms);
    advance(f, 2000);
    HEARD(f, "ended 1000 0 asked\n");
}

TEST(goodbye_while_waiting_ends_at_once)
{
    hf_client_session_close(f->s, f->now_ms);
    HEARD(f, "ended 0 0 asked\n");
}

/* --- a callback may do what the application may do --- */

static void act_in_callback(struct fixture *f, const struct hf_client_session_event *ev)
{
    if (ev->type == HF_CSE_MESSAGE && ev->offset == 6)
        publish(f, "1");
    if (ev->type == HF_CSE_MESSAGE && ev->offset == 7)
        assert_int_equal(hf_client_session_unsubscribe(f->s, ev->channel, f->now_ms), 0);
    if (ev->type == HF_CSE_UNSUBSCRIBED)
        subscribe(f, "other");
    if (ev->type == HF_CSE_SUBSCRIBED && ev->channel.len == 5)
        hf_client_session_close(f->s, f->now_ms);
}

TEST(a_callback_may_publish_unsubscribe_subscribe_and_close)
{
    following(f);
    f->in_callback = act_in_callback;
    serve(f, DATA("demo", "6") DATA("demo", "7") DATA("demo", "8"));
    HEARD(f, "message demo 6 6\nmessage demo 7 7\n");
    said(f, "{\"type\":\"unsubscribe\",\"channel\":\"demo\"}\n" SAID_DATA("demo", "1", "1"));
    serve(f, "{\"type\":\"unsubscribed\",\"channel\":\"demo\"}\n");
    said(f, "{\"type\":\"subscribe\",\"channel\":\"other\"}\n");
    serve(f, SUBSCRIBED("other", "e1", "0") DATA("other", "1"));
    HEARD(f, "unsubscribed demo \nsubscribed other e1:0\n");
    said(f, "{\"type\":\"bye\"}\n");
}

static void subscribe_when_connected(struct fixture *f, const struct hf_client_session_event *ev)
{
    if (ev->type == HF_CSE_CONNECTED)
        subscribe(f, "news");
}

TEST(a_subscribe_in_the_midst_of_a_welcome_is_asked_once)
{
    following(f);
    lose(f);
    f->in_callback = subscribe_when_connected;
    dial(f);
    accept_with(f, WELCOME("s2", "false", "0", ""));
    said(f, "{\"type\":\"subscribe\",\"channel\":\"demo\",\"since\":{\"epoch\":\"e1\",\"offset\":5}}\n"
            "{\"type\":\"subscribe\",\"channel\":\"news\"}\n"
            "{\"type\":\"ping\",\"id\":\"2\"}\n");
}

/* --- nonsense --- */

TEST(nothing_is_resumed_where_there_was_no_session)
{
    dial(f);
    accept_with(f, WELCOME("s1", "true", "5", ""));
    HEARD(f, "connected s1\n");
    publish(f, "1");
    said(f, "{\"type\":\"ping\",\"id\":\"1\"}\n" SAID_DATA("demo", "1", "1"));
}

TEST(what_cannot_be_understood_is_told_and_bounded)
{
    unsigned i;

    following(f);
    serve(f, "{\"type\":\"weather\"}\n{\n" DATA("demo", "6"));
    HEARD(f, "error bad_message\nerror bad_message\nmessage demo 6 6\n");
    for (i = 0; i < 29; i++)
        serve(f, "[]");
    assert_int_equal(hf_client_session_state(f->s), HF_CLIENT_LIVE);
    serve(f, "[]");
    assert_int_equal(hf_client_session_state(f->s), HF_CLIENT_WAITING);
}

TEST(broken_frames_end_the_connection)
{
    live(f);
    feed(f, "\x81\x80\x00\x00\x00\x00",
         6); /* RFC 6455 section 5.1: "A client MUST close a connection if it detects a masked frame." */
    said(f, "close 1002\n");
    HEARD(f, "disconnected 1002\n");
}

TEST(a_ticket_that_would_break_the_header_is_refused)
{
    dial(f);
    accept_with(f,
                "{\"type\":\"welcome\",\"session\":\"s\",\"ticket\":\"a, "
                "b\",\"resumed\":false,\"lastSeq\":null,\"ttl\":1,"
                "\"serverId\":\"x\",\"serverTime\":1,\"heartbeat\":{\"interval\":25000,\"min\":1,\"max\":2},"
                "\"lossSpread\":1,\"maxMessage\":1,\"address\":\"a\",\"channels\":[]}\n");
    HEARD(f, "retrying 0 0\n");
}

/* A resume that is answered with a welcome whose session is named by so many letters. */
static void welcomed_by_name(struct fixture *f, unsigned letters)
{
    char name[256], lines[1024];

    assert_true(letters < sizeof(name));
    memset(name, 'x', letters);
    name[letters] = '\0';
    (void)snprintf(lines, sizeof(lines),
                   "{\"type\":\"welcome\",\"session\":\"%s\",\"ticket\":\"t-other\",\"resumed\":false,"
                   "\"lastSeq\":null,\"ttl\":1,\"serverId\":\"x\",\"serverTime\":1,"
                   "\"heartbeat\":{\"interval\":25000,\"min\":1,\"max\":2},\"lossSpread\":1,"
                   "\"maxMessage\":1,\"address\":\"a\",\"channels\":[]}\n",
                   name);
    dial(f);
    accept_with(f, lines);
}

TEST(a_welcome_is_taken_whole_or_not_at_all)
{
    live(f);
    lose(f);
    welcomed_by_name(f, 0);
    HEARD(f, "retrying 0 0\n");
    welcomed_by_name(f, 129);
    assert_non_null(strstr(f->protocols, "hf.resume.t-s1"));
    assert_true(hf_client_session_state(f->s) == HF_CLIENT_WAITING);
    hf_buf_reset(&f->heard);
    welcomed_by_name(f, 128); /* The ticket goes on as it was until this one, which is welcome. */
    assert_non_null(strstr(f->protocols, "hf.resume.t-s1"));
    assert_true(hf_client_session_state(f->s) == HF_CLIENT_LIVE);
}

/* Each schedule of losses ends with everything acknowledged once: a small storm, before the simulation's large ones. */
TEST(nothing_is_lost_however_often_it_breaks)
{
    unsigned round, acked = 0;

    live(f);
    for (round = 1; round <= 40; round++) {
        char line[64], welcome[1024];

        publish(f, "1");
        publish(f, "1");
        collect(f);
        if (round % 2 == 0) {
            (void)snprintf(line, sizeof(line), "{\"type\":\"ack\",\"seq\":%u,\"offsets\":[1]}",
                           2 * round - 1);
            serve(f, line);
        }
        hf_client_session_lost(f->s, f->slot, "reset", f->now_ms);
        dial(f);
        (void)snprintf(welcome, sizeof(welcome), WELCOME("s1", "true", "%u", ""), 2 * round);
        accept_with(f, welcome);
        (void)snprintf(line, sizeof(line), PONG("%u"), round + 1);
        serve(f, line);
        assert_int_equal(hf_client_session_unanswered(f->s), 0);
    }
    assert_int_equal(hf_buf_put(&f->heard, "", 1), 0);
    for (const char *at = (const char *)f->heard.data; (at = strstr(at, "acked ")) != NULL; at++)
        acked++;
    assert_int_equal(acked, 80);
}

/* --- questions --- */

static uint64_t ask_history(struct fixture *f, const char *channel, uint64_t limit)
{
    const struct hf_client_session_history what = {.limit = limit};
    uint64_t id = 0;

    assert_int_equal(hf_client_session_history(f->s, hf_str_from(channel), &what, &id, f->now_ms), 0);
    return id;
}

TEST(history_is_asked_until_it_is_answered)
{
    const struct hf_client_session_history behind = {
        .since_epoch = HF_STR("e1"), .since_offset = 4, .limit = 2, .reverse = true};
    uint64_t id;

    assert_int_equal(ask_history(f, "demo", 100), 1);
    dial(f);
    accept_with(f, WELCOME("s1", "false", "null", ""));
    HEARD(f, "connected s1\n");
    said(f, "{\"type\":\"history\",\"id\":\"r1\",\"channel\":\"demo\",\"limit\":100}\n"
            "{\"type\":\"ping\",\"id\":\"1\"}\n");
    lose(f);
    dial(f);
    accept_with(f, WELCOME("s1", "true", "0", ""));
    HEARD(f, "connected s1 resumed\n");
    said(f, "{\"type\":\"history\",\"id\":\"r1\",\"channel\":\"demo\",\"limit\":100}\n"
            "{\"type\":\"ping\",\"id\":\"2\"}\n");
    serve(f, "{\"type\":\"history\",\"id\":\"r1\",\"channel\":\"demo\",\"epoch\":\"e1\",\"offset\":7,"
             "\"messages\":[" DATA_OBJECT("demo", "6") "," DATA_OBJECT("demo", "7") "]}");
    HEARD(f, "kept 1 demo 6 6\nkept 1 demo 7 7\nhistory 1 demo e1:7 of 2 \n");
    serve(f, "{\"type\":\"history\",\"id\":\"r1\",\"channel\":\"demo\",\"epoch\":\"e1\",\"offset\":7,"
             "\"messages\":[]}\n" PONG("2"));
    HEARD(f, "caught up 0\n"); /* An answer comes once. */
    assert_int_equal(hf_client_session_history(f->s, HF_STR("demo"), &behind, &id, f->now_ms), 0);
    said(f, "{\"type\":\"history\",\"id\":\"r2\",\"channel\":\"demo\",\"since\":{\"epoch\":\"e1\",\"offset\":"
            "4},\"limit\":2,"
            "\"reverse\":true}\n");
    serve(f,
          "{\"type\":\"error\",\"code\":\"forbidden\",\"reason\":\"no\",\"re\":\"history\",\"id\":\"r2\"}\n");
    HEARD(f, "history 2 demo :0 of 0 forbidden\n");
}

TEST(history_that_cannot_be_understood_is_told)
{
    live(f);
    (void)ask_history(f, "demo", 1);
    collect(f);
    serve(f, "{\"type\":\"history\",\"id\":\"r1\",\"channel\":\"demo\",\"epoch\":\"e1\",\"offset\":7,"
             "\"messages\":[{}]}\n");
    HEARD(f, "history 1 demo e1:7 of 0 bad_message\n");
}

/* Else it would be asked again on each connection, and end each. */
TEST(history_too_large_for_this_client_is_not_asked_again)
{
    uint8_t head[HF_WS_HEADER_MAX];
    size_t len = hf_ws_header(head, HF_WS_TEXT, TEXT_MAX + 1, NULL);

    live(f);
    (void)ask_history(f, "one", 1000);
    (void)ask_history(f, "two", 1000);
    collect(f);
    feed(f, head, len);
    HEARD(f, "history 1 one :0 of 0 too_large\ndisconnected 1009\n");
    dial(f);
    hf_buf_reset(&f->said);
    accept_with(f, WELCOME("s1", "true", "0", ""));
    said(f, "{\"type\":\"history\",\"id\":\"r2\",\"channel\":\"two\",\"limit\":1000}\n"
            "{\"type\":\"ping\",\"id\":\"2\"}\n");
    hf_buf_reset(&f->heard);
}

TEST(a_ping_of_the_application_is_no_heartbeat)
{
    uint64_t id;

    live(f);
    assert_int_equal(hf_client_session_ping(f->s, 77, &id, f->now_ms), 0);
    said(f, "{\"type\":\"ping\",\"id\":\"r1\"}\n");
    serve(f, PONG("1"));
    HEARD(f, "");
    serve(f, PONG("r1"));
    HEARD(f, "pong 1 77\n");
    serve(f, PONG("r1"));
    HEARD(f, "");
}

TEST(questions_are_bounded_and_checked)
{
    const struct hf_client_session_history none = {.limit = 0}, many = {.limit = 1001}, one = {.limit = 1};
    const struct hf_client_session_history nowhere = {.limit = 1, .since_epoch = HF_STR("")};
    uint64_t id;
    unsigned i;

    assert_int_equal(hf_client_session_history(f->s, HF_STR("demo"), &none, &id, f->now_ms), HF_EINVAL);
    assert_int_equal(hf_client_session_history(f->s, HF_STR("demo"), &many, &id, f->now_ms), HF_EINVAL);
    assert_int_equal(hf_client_session_history(f->s, HF_STR("demo"), &nowhere, &id, f->now_ms), HF_EINVAL);
    assert_int_equal(hf_client_session_history(f->s, HF_STR("\n"), &one, &id, f->now_ms), HF_EINVAL);
    for (i = 1; i <= 64; i++) {
        assert_int_equal(hf_client_session_ping(f->s, i, &id, f->now_ms), 0);
        assert_int_equal(id, i);
    }
    assert_int_equal(hf_client_session_ping(f->s, 0, &id, f->now_ms), HF_EAGAIN);
    hf_client_session_close(f->s, f->now_ms);
    assert_int_equal(hf_client_session_ping(f->s, 0, &id, f->now_ms), HF_ESTATE);
    HEARD(f, "ended 0 0 asked\n");
}

/* --- token --- */

TEST(a_token_goes_with_every_connection)
{
    struct hf_client_session_config config = config_of(f);

    hf_client_session_free(f->s);
    f->s = NULL;
    config.token = "a b";
    assert_int_equal(hf_client_session_new(&config, f->now_ms, &f->s), HF_EINVAL);
    config.token = "";
    assert_int_equal(hf_client_session_new(&config, f->now_ms, &f->s), HF_EINVAL);
    config.token = "head.claims.sign-_";
    assert_int_equal(hf_client_session_new(&config, f->now_ms, &f->s), 0);
    live(f);
    assert_string_equal(f->protocols,
                        "holdfast.v1.bin, holdfast.v1.json, hf.token.head.claims.sign-_, hf.attempt.1");
    lose(f);
    dial(f);
    accept_with(f, WELCOME("s1", "true", "0", ""));
    assert_string_equal(
        f->protocols,
        "holdfast.v1.bin, holdfast.v1.json, hf.token.head.claims.sign-_, hf.resume.t-s1, hf.attempt.2");
    hf_buf_reset(&f->heard);
}

/* --- an outbox that outlives its process --- */

/* The process dies, where the store does what it is told no more, and another follows it. */
static void follow(struct fixture *f)
{
    f->store.fail = HF_EIO;
    hf_client_session_free(f->s);
    f->store.fail = 0;
    f->attempt = 0;
    hf_buf_reset(&f->heard);
    hf_buf_reset(&f->said);
    begin_durable(f, 0);
}

static void publish_refused(struct fixture *f, int err)
{
    uint64_t id;

    assert_int_equal(hf_client_session_publish(f->s, HF_STR("demo"), (struct hf_str){NULL, 0}, HF_STR("2"),
                                               &id, f->now_ms),
                     err);
}

/* A durable session that has sent 1, 2, 3, of which 1 is acknowledged, and has 4 in its outbox. */
static void durable(struct fixture *f)
{
    follow(f);
    live(f);
    publish(f, "1");
    publish(f, "2");
    publish(f, "3");
    said(f, SAID_DATA("demo", "1", "1") SAID_DATA("demo", "2", "2") SAID_DATA("demo", "3", "3"));
    serve(f, "{\"type\":\"ack\",\"seq\":1,\"offsets\":[11]}\n");
    HEARD(f, "acked 1 at 11\n");
    f->store.fail = HF_ENOSPACE;
    said(f, "");
    HEARD(f, "error outbox\n");
    f->store.fail = 0;
    publish(f, "4");
}

TEST(a_successor_resumes_the_session_and_its_numbers)
{
    durable(f);
    follow(f);
    assert_int_equal(hf_client_session_unanswered(f->s), 4);
    dial(f);
    accept_with(f, WELCOME("s1", "true", "2", ""));
    assert_string_equal(f->protocols, "holdfast.v1.bin, holdfast.v1.json, hf.resume.t-s1, hf.attempt.66");
    HEARD(f, "connected s1 resumed\n");
    said(f, "{\"type\":\"ping\",\"id\":\"1\"}\n" SAID_DATA("demo", "3", "3") SAID_DATA("demo", "4", "4"));
    serve(f, PONG("1"));
    HEARD(f, "acked 1 at 0\nacked 2 at 0\ncaught up 0\n");
    publish(f, "5");
    assert_int_equal(f->publish_id, 5);
    said(f, SAID_DATA("demo", "5", "5"));
    serve(f, "{\"type\":\"ack\",\"seq\":5,\"offsets\":[13,14,15]}\n");
    HEARD(f, "acked 3 at 13\nacked 4 at 14\nacked 5 at 15\n");
    said(f, "");
    assert_int_equal(f->store.count, 0);
}

/* "if `lastSeq` is null though publishes had been sent unacknowledged, those are *uncertain*", and the others are not. */
TEST(a_successor_tells_as_uncertain_what_had_been_sent)
{
    durable(f);
    follow(f);
    dial(f);
    accept_with(f, WELCOME("s2", "false", "null", ""));
    HEARD(f, "connected s2\nuncertain 1 1\nuncertain 2 2\nuncertain 3 3\n");
    said(f, "{\"type\":\"ping\",\"id\":\"1\"}\n" SAID_DATA("demo", "4", "1"));
    /* And the one that follows this one, before anything was answered, has its session. */
    follow(f);
    assert_int_equal(hf_client_session_unanswered(f->s), 1);
    dial(f);
    accept_with(f, WELCOME("s2", "true", "1", ""));
    assert_non_null(strstr(f->protocols, "hf.resume.t-s2"));
    said(f, "{\"type\":\"ping\",\"id\":\"1\"}\n");
    serve(f, PONG("1"));
    HEARD(f, "connected s2 resumed\nacked 4 at 0\ncaught up 0\n");
}

TEST(a_successor_believes_the_tombstone)
{
    durable(f);
    follow(f);
    dial(f);
    accept_with(f, WELCOME("s2", "false", "2", ""));
    HEARD(f, "connected s2\nacked 1 at 0\nacked 2 at 0\n");
    said(f, "{\"type\":\"ping\",\"id\":\"1\"}\n" SAID_DATA("demo", "3", "1") SAID_DATA("demo", "4", "2"));
}

/* Whichever process was told so. */
TEST(a_successor_does_not_send_what_was_refused)
{
    durable(f);
    advance(f, 1000);
    publish(f, "5");
    said(f, "{\"type\":\"ping\",\"id\":\"2\"}\n" SAID_DATA("demo", "4", "4") SAID_DATA("demo", "5", "5"));
    serve(f, NACK("3") NACK("4"));
    HEARD(f, "refused 3 forbidden\nrefused 4 forbidden\n");
    assert_int_equal(f->store.refusals, 2);
    follow(f);
    dial(f);
    accept_with(f, WELCOME("s2", "false", "1", ""));
    HEARD(f, "connected s2\n"); /* 1 was noted as done */
    said(f, "{\"type\":\"ping\",\"id\":\"1\"}\n" SAID_DATA("demo", "2", "1"));
    /* And the next one, which has that session. */
    follow(f);
    assert_int_equal(hf_client_session_next_id(f->s), 6);
    dial(f);
    accept_with(f, WELCOME("s2", "true", "0", ""));
    HEARD(f, "connected s2 resumed\n");
    said(f, "{\"type\":\"ping\",\"id\":\"1\"}\n" SAID_DATA("demo", "2", "1"));
    serve(f, PONG("1") "{\"type\":\"ack\",\"seq\":1,\"offsets\":[8]}\n");
    /* That they were told is not known for sure: the first process might have died before it said so. */
    HEARD(f, "caught up 0\nacked 2 at 8\nrefused 3 forbidden\nrefused 4 forbidden\n");
    said(f, SAID_DATA("demo", "5", "2"));
    follow(f);
    dial(f);
    accept_with(f, WELCOME("s2", "true", "2", ""));
    serve(f, PONG("1"));
    HEARD(f, "connected s2 resumed\nacked 5 at 0\ncaught up 0\n");
    said(f, "{\"type\":\"ping\",\"id\":\"1\"}\n");
    assert_int_equal(f->store.count, 0);
}

TEST(a_refusal_that_cannot_be_noted_is_noted_before_anything_is_sent)
{
    durable(f);
    advance(f, 1000);
    said(f, "{\"type\":\"ping\",\"id\":\"2\"}\n" SAID_DATA("demo", "4", "4"));
    f->store.fail = HF_EIO;
    serve(f, NACK("3"));
    HEARD(f, "refused 3 forbidden\n");
    publish_refused(f, HF_EIO);
    said(f, "");
    HEARD(f, "error outbox\n");
    f->store.fail = 0;
    publish(f, "5");
    advance(f, 1000);
    said(f, SAID_DATA("demo", "5", "5"));
    follow(f);
    dial(f);
    accept_with(f, WELCOME("s2", "false", "1", ""));
    HEARD(f, "connected s2\n");
    said(f, "{\"type\":\"ping\",\"id\":\"1\"}\n" SAID_DATA("demo", "2", "1"));
}

/* Though nothing goes out that had not gone out before: it has another number now. */
TEST(a_new_session_is_saved_before_its_first_publish)
{
    follow(f);
    live(f);
    publish(f, "1");
    said(f, SAID_DATA("demo", "1", "1"));
    lose(f);
    dial(f);
    accept_with(f, WELCOME("s2", "false", "0", ""));
    HEARD(f, "connected s2\n");
    said(f, "{\"type\":\"ping\",\"id\":\"2\"}\n" SAID_DATA("demo", "1", "1"));
    assert_true(hf_str_eq(f->store.state.ticket, HF_STR("t-s2")));
}

static void note_done(void)
{
}

static void note_completion(struct fixture *f, const struct hf_client_session_event *ev)
{
    bool own = ev->completion.done == note_done && ev->completion.user == f;

    PUT(f, "%s\n", own ? "with its own" : ev->completion.done == NULL ? "with none" : "with another's");
}

/* What was given with a publish comes with its one event, and with no other. */
TEST(each_event_brings_what_was_given_with_its_publish)
{
    struct hf_completion mine = {note_done, f};

    live(f);
    publish(f, "1");
    assert_int_equal(hf_client_session_publish_with(f->s, HF_STR("demo"), (struct hf_str){NULL, 0},
                                                    HF_STR("2"), mine, &f->publish_id, f->now_ms),
                     0);
    collect(f);
    hf_buf_reset(&f->said);
    f->in_callback = note_completion;
    serve(f, "{\"type\":\"nack\",\"seq\":2,\"code\":\"forbidden\",\"reason\":\"no\"}\n"
             "{\"type\":\"ack\",\"seq\":2,\"offsets\":[11,null]}\n");
    HEARD(f, "refused 2 forbidden\nwith its own\nacked 1 at 11\nwith none\n");
}

TEST(nothing_is_sent_that_the_store_does_not_know)
{
    follow(f);
    live(f);
    publish(f, "1");
    f->store.fail = HF_ENOSPACE;
    publish_refused(f, HF_ENOSPACE);
    said(f, "");
    HEARD(f, "error outbox\n");
    advance(f, 900);
    said(f, "");
    HEARD(f, ""); /* told once */
    f->store.fail = 0;
    advance(f, 200);
    assert_int_equal(f->store.state.sent_id, 1);
    said(f, SAID_DATA("demo", "1", "1"));
    publish(f, "2");
    assert_int_equal(f->publish_id, 2);
    said(f, SAID_DATA("demo", "2", "2"));
    assert_int_equal(f->store.state.sent_id, 2);
}

TEST(many_publishes_cost_one_save)
{
    unsigned before;

    follow(f);
    live(f);
    before = f->store.saves;
    for (unsigned i = 0; i < 40; i++)
        publish(f, "7");
    collect(f);
    assert_int_equal(f->store.saves, before + 1);
    serve(f, "{\"type\":\"ack\",\"seq\":40,\"offsets\":[40]}\n");
    collect(f);
    assert_int_equal(f->store.saves, before + 2);
    assert_int_equal(f->store.count, 0);
}

/* What the other process followed is ended; what this one follows as well is asked for behind that, and heard when it is answered. */
TEST(subscriptions_are_not_inherited)
{
    durable(f);
    follow(f);
    subscribe(f, "both");
    dial(f);
    accept_with(f, WELCOME("s1", "true", "3",
                           "{\"channel\":\"both\",\"epoch\":\"e\",\"offset\":3},"
                           "{\"channel\":\"theirs\",\"epoch\":\"e\",\"offset\":1}"));
    said(f, "{\"type\":\"unsubscribe\",\"channel\":\"both\"}\n"
            "{\"type\":\"unsubscribe\",\"channel\":\"theirs\"}\n"
            "{\"type\":\"subscribe\",\"channel\":\"both\"}\n"
            "{\"type\":\"ping\",\"id\":\"1\"}\n" SAID_DATA("demo", "4", "4"));
    serve(f, DATA("both", "4")
                 DATA("theirs", "2") "{\"type\":\"unsubscribed\",\"channel\":\"both\"}\n" SUBSCRIBED("both",
                                                                                                     "e", "4")
                     DATA("both", "5") "{\"type\":\"unsubscribed\",\"channel\":\"theirs\"}\n" PONG("1"));
    HEARD(f, "connected s1 resumed\nsubscribed both e:4\nmessage both 5 5\nacked 1 at 0\nacked 2 at 0\nacked "
             "3 at 0\n"
             "caught up 1\n");
}

/* A session that got nothing without an answer is of no use to a successor. */
TEST(a_settled_session_is_not_resumed)
{
    follow(f);
    live(f);
    publish(f, "1");
    said(f, SAID_DATA("demo", "1", "1"));
    serve(f, "{\"type\":\"ack\",\"seq\":1,\"offsets\":[11]}\n");
    said(f, "");
    publish(f, "2");
    follow(f);
    dial(f);
    accept_with(f, WELCOME("s2", "false", "null", ""));
    assert_string_equal(f->protocols, "holdfast.v1.bin, holdfast.v1.json, hf.attempt.66");
    HEARD(f, "connected s2\n");
    said(f, "{\"type\":\"ping\",\"id\":\"1\"}\n" SAID_DATA("demo", "2", "1"));
}

/* A session that ends in good order leaves what it has sent, and not what it might have sent next: the rest is not uncertain. */
TEST(a_clean_end_leaves_as_sent_what_was_sent)
{
    struct hf_client_session_config config = config_of(f);
    char payload[1000];
    uint64_t sent_id;

    config.store = &f->store.store;
    config.window = 100;
    hf_client_session_free(f->s);
    begin_session(f, &config, 0);
    live(f);
    memset(payload, '7', sizeof(payload));
    for (unsigned i = 0; i < 80; i++)
        assert_int_equal(hf_client_session_publish(f->s, HF_STR("demo"), (struct hf_str){NULL, 0},
                                                   (struct hf_str){payload, sizeof(payload)}, &f->publish_id,
                                                   f->now_ms),
                         0);
    /* The socket takes nothing: what may be sent is saved ahead of what lies in the output. */
    (void)hf_client_session_output(f->s, f->slot, f->now_ms);
    (void)hf_client_session_output(f->s, f->slot, f->now_ms);
    assert_int_equal(f->store.state.sent_id, 80);
    hf_client_session_free(f->s);
    sent_id = f->store.state.sent_id;
    assert_in_range(sent_id, 1, 79);
    f->attempt = 0;
    begin_session(f, &config, 0);
    dial(f);
    accept_with(f, WELCOME("s2", "false", "null", ""));
    collect(f);
    assert_int_equal(hf_client_session_unanswered(f->s), 80 - sent_id);
    assert_non_null(strstr((const char *)f->said.data, "\"seq\":1}"));
    hf_buf_reset(&f->said);
    hf_buf_reset(&f->heard);
}

TEST(what_a_store_cannot_have_is_refused)
{
    static const struct hf_store_state wrong[] = {
        {.first_id = 0},
        {.first_id = 1, .seq_base = 1},
        {.first_id = 5, .sent_id = 3},
        {.first_id = 5, .sent_id = 5}, /* of none */
        {.first_id = UINT64_MAX},
        {.first_id = 1, .attempts = UINT64_MAX},
        {.first_id = 1, .ticket = {"a b", 3}},
    };

    hf_client_session_free(f->s);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        f->s = NULL;
        f->store.state = wrong[i];
        begin_durable(f, HF_ECORRUPT);
        assert_int_equal(f->store.saves, 0);
    }
    f->store.state = (struct hf_store_state){.first_id = 3};
    assert_int_equal(f->store.store.put(&f->store,
                                        &(struct hf_store_publish){
                                            4, HF_STR("demo"), {NULL, 0}, HF_STR("1"), false, {NULL, 0}}),
                     0); /* 3 is missing */
    begin_durable(f, HF_ECORRUPT);
    assert_int_equal(f->store.count, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_connection_is_made_at_once),
        cmocka_unit_test(a_lost_connection_resumes_its_session),
        cmocka_unit_test(refusals_are_obeyed),
        cmocka_unit_test(not_found_is_final_only_before_the_first_success),
        cmocka_unit_test(an_answer_that_is_none_is_tried_again),
        cmocka_unit_test(an_attempt_that_gets_no_answer_is_given_up),
        cmocka_unit_test(an_attempt_may_go_to_another_server),
        cmocka_unit_test(an_attempt_has_its_time),
        cmocka_unit_test(another_subprotocol_is_no_holdfast),
        cmocka_unit_test(the_first_message_must_be_welcome),
        cmocka_unit_test(a_busy_server_says_when_to_come_back),
        cmocka_unit_test(publishes_are_numbered_and_acked),
        cmocka_unit_test(publishes_wait_for_a_connection),
        cmocka_unit_test(a_nack_is_told_once),
        cmocka_unit_test(a_nack_alone_counts_as_done),
        cmocka_unit_test(a_resume_sends_again_what_is_above_last_seq),
        cmocka_unit_test(a_new_session_with_a_known_last_seq_loses_nothing),
        cmocka_unit_test(what_was_refused_is_not_sent_in_the_next_session),
        cmocka_unit_test(what_was_refused_does_not_wait_at_the_front),
        cmocka_unit_test(what_the_old_session_refused_is_told_as_refused),
        cmocka_unit_test(refusals_that_cannot_be_read_are_told_and_harm_nothing),
        cmocka_unit_test(what_was_refused_keeps_its_number_in_its_session),
        cmocka_unit_test(what_may_have_been_applied_is_not_sent_again),
        cmocka_unit_test(after_1009_the_oldest_unanswered_publish_is_refused),
        cmocka_unit_test(bounds_are_told),
        cmocka_unit_test(an_impossible_ack_ends_the_connection),
        cmocka_unit_test(a_server_that_has_lost_count_is_not_resumed),
        cmocka_unit_test(bad_seq_resumes_where_that_helps),
        cmocka_unit_test(messages_come_once_and_in_order),
        cmocka_unit_test(acks_are_lazy),
        cmocka_unit_test(many_messages_are_acked_at_once),
        cmocka_unit_test(a_resume_goes_on_behind_what_was_had),
        cmocka_unit_test(a_resume_repeats_lost_acks),
        cmocka_unit_test(a_lost_session_is_subscribed_to_again),
        cmocka_unit_test(an_unanswered_subscribe_is_asked_again),
        cmocka_unit_test(a_lost_subscribed_is_made_good_by_the_welcome),
        cmocka_unit_test(the_backend_may_subscribe),
        cmocka_unit_test(an_unsubscribe_is_asked_until_it_is_answered),
        cmocka_unit_test(an_unsubscribe_is_done_when_its_session_is_gone),
        cmocka_unit_test(a_hole_is_asked_for_and_must_be_filled),
        cmocka_unit_test(a_new_epoch_is_told_once),
        cmocka_unit_test(a_refused_subscribe_is_told_or_repeated),
        cmocka_unit_test(a_silent_connection_is_asked_then_prepared_for_then_left),
        cmocka_unit_test(an_unfounded_doubt_costs_the_spare_connection_only),
        cmocka_unit_test(a_late_answer_is_a_doubt),
        cmocka_unit_test(a_policy_says_when_to_ping),
        cmocka_unit_test(a_policy_is_told_of_deaths_and_their_causes),
        cmocka_unit_test(a_probe_that_is_answered_proves_its_gap),
        cmocka_unit_test(a_probe_that_is_not_answered_is_judged_by_the_live_connection),
        cmocka_unit_test(a_probe_that_dies_with_the_network_proves_nothing),
        cmocka_unit_test(a_probe_that_is_cut_in_its_silence),
        cmocka_unit_test(a_probe_that_the_server_does_not_bear_is_given_up),
        cmocka_unit_test(a_change_that_leaves_the_way_is_a_doubt),
        cmocka_unit_test(a_connection_whose_address_is_gone_is_dead),
        cmocka_unit_test(what_is_prepared_on_a_good_way_follows_one_whose_address_is_gone),
        cmocka_unit_test(another_way_is_taken_before_the_old_one_breaks),
        cmocka_unit_test(a_proof_of_life_does_not_keep_it_on_the_old_way),
        cmocka_unit_test(an_attempt_on_an_old_way_is_begun_anew),
        cmocka_unit_test(an_attempt_whose_request_is_out_is_waited_for),
        cmocka_unit_test(offline_it_waits_for_the_signal),
        cmocka_unit_test(offline_it_tries_every_30_s_because_signals_lie),
        cmocka_unit_test(back_online_a_standing_connection_is_followed_at_once),
        cmocka_unit_test(a_live_connection_that_dies_offline_waits),
        cmocka_unit_test(protocol_pings_are_answered),
        cmocka_unit_test(an_acknowledgement_without_room_waits_from_now),
        cmocka_unit_test(a_drained_connection_is_left_for_one_that_stands),
        cmocka_unit_test(a_refused_move_changes_nothing),
        cmocka_unit_test(a_close_after_advice_waits_as_advised),
        cmocka_unit_test(close_codes_tell_what_to_do),
        cmocka_unit_test(superseded_by_its_own_attempt_it_resumes),
        cmocka_unit_test(superseded_while_its_own_attempt_is_under_way_it_waits_for_that),
        cmocka_unit_test(goodbye_is_said_and_answered),
        cmocka_unit_test(goodbye_without_an_answer_ends_by_deadline),
        cmocka_unit_test(goodbye_while_waiting_ends_at_once),
        cmocka_unit_test(a_callback_may_publish_unsubscribe_subscribe_and_close),
        cmocka_unit_test(a_subscribe_in_the_midst_of_a_welcome_is_asked_once),
        cmocka_unit_test(nothing_is_resumed_where_there_was_no_session),
        cmocka_unit_test(what_cannot_be_understood_is_told_and_bounded),
        cmocka_unit_test(broken_frames_end_the_connection),
        cmocka_unit_test(a_ticket_that_would_break_the_header_is_refused),
        cmocka_unit_test(a_welcome_is_taken_whole_or_not_at_all),
        cmocka_unit_test(history_is_asked_until_it_is_answered),
        cmocka_unit_test(history_that_cannot_be_understood_is_told),
        cmocka_unit_test(history_too_large_for_this_client_is_not_asked_again),
        cmocka_unit_test(a_ping_of_the_application_is_no_heartbeat),
        cmocka_unit_test(questions_are_bounded_and_checked),
        cmocka_unit_test(a_token_goes_with_every_connection),
        cmocka_unit_test(nothing_is_lost_however_often_it_breaks),
        cmocka_unit_test(a_successor_resumes_the_session_and_its_numbers),
        cmocka_unit_test(a_successor_tells_as_uncertain_what_had_been_sent),
        cmocka_unit_test(a_successor_believes_the_tombstone),
        cmocka_unit_test(a_successor_does_not_send_what_was_refused),
        cmocka_unit_test(a_refusal_that_cannot_be_noted_is_noted_before_anything_is_sent),
        cmocka_unit_test(a_new_session_is_saved_before_its_first_publish),
        cmocka_unit_test(each_event_brings_what_was_given_with_its_publish),
        cmocka_unit_test(nothing_is_sent_that_the_store_does_not_know),
        cmocka_unit_test(many_publishes_cost_one_save),
        cmocka_unit_test(subscriptions_are_not_inherited),
        cmocka_unit_test(a_settled_session_is_not_resumed),
        cmocka_unit_test(a_clean_end_leaves_as_sent_what_was_sent),
        cmocka_unit_test(what_a_store_cannot_have_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
