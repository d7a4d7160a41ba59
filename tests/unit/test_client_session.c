/*
 * test_client_session.c - the states of a client session: what changes them, what the application is told about it, and when attempts are
 * made. The table of what may follow what is walked in test_client_state.c.
 */
#include "client_session_fixture.h"

#include "session/backoff.h"

enum { PROBE_MS = 30000 };

/* A first connection, welcomed, quiet, and its states looked at. */
static void begin(struct fixture *f)
{
    live(f);
    MOVED(f, "waiting connecting started\nconnecting live welcomed\n");
}

static bool wanted(const struct fixture *f, unsigned slot)
{
    return hf_client_session_want(f->s, slot).wish != HF_WISH_NONE;
}

/* Wait until a connection is wanted; and it does not come about. */
static void dial_in_vain(struct fixture *f)
{
    unsigned turns;

    for (turns = 0; turns < 100 && wanted_slot(f) < 0; turns++) {
        uint64_t at = hf_client_session_deadline_ms(f->s);

        advance(f, at > f->now_ms ? at - f->now_ms : 0);
    }
    assert_true(wanted_slot(f) >= 0);
    hf_client_session_lost(f->s, (unsigned)wanted_slot(f), "no route", f->now_ms);
}

/* The next attempt is due between these two moments from now. */
static void next_attempt_in(struct fixture *f, uint64_t least_ms, uint64_t most_ms)
{
    assert_in_range(hf_client_session_deadline_ms(f->s), f->now_ms + least_ms, f->now_ms + most_ms);
    assert_int_equal(wanted_slot(f), -1);
}

static void resume(struct fixture *f)
{
    dial(f);
    accept_with(f, WELCOME("s1", "true", "0", ""));
    HEARD(f, "connected s1 resumed\n");
    collect(f);
    hf_buf_reset(&f->said);
}

/* --- causes --- */

TEST(a_loss_is_told_with_its_cause_and_the_time_of_the_next_attempt)
{
    begin(f);
    hf_client_session_lost(f->s, f->slot, "reset", f->now_ms);
    MOVED(f, "live waiting connection_lost\n");
    assert_int_equal(f->next_attempt_ms, hf_client_session_deadline_ms(f->s) - f->now_ms);
    HEARD(f, "disconnected 0\n");
    resume(f);
    MOVED(f, "waiting connecting due\nconnecting live welcomed\n");
    assert_int_equal(f->next_attempt_ms, UINT64_MAX);
}

/* That is the client's own evidence, as a heartbeat that is missed, and no loss whose herd is to be spread. */
TEST(a_connection_that_this_machine_gives_up_is_made_anew_at_once)
{
    begin(f);
    hf_client_session_given_up(f->s, f->slot, "receive: Connection timed out", f->now_ms);
    MOVED(f, "live waiting timed_out\n");
    HEARD(f, "disconnected 0\n");
    next_attempt_in(f, 0, 100);
    dial_in_vain(f);
    MOVED(f, "waiting connecting due\nconnecting waiting unreachable\n");
    advance(f, 30000);
    dial(f);
    advance(f, 8000); /* An attempt that has no answer in time is another matter. */
    hf_buf_reset(&f->moves);
    assert_true(f->next_attempt_ms >= 100);
}

TEST(close_codes_are_causes)
{
    static const struct {
        uint16_t code;
        const char *moved;
    } cases[] = {
        {1000, "live ended ended_by_server\n"},    {4003, "live ended ended_by_server\n"},
        {4001, "live ended superseded\n"},         {4002, "live ended token_expired\n"},
        {1001, "live waiting closed_by_server\n"}, {1012, "live waiting closed_by_server\n"},
        {4004, "live waiting heartbeat_missed\n"}, {4005, "live waiting closed_by_server\n"},
        {4006, "live waiting closed_by_server\n"},
    };
    bool drip = f->drip;
    unsigned i;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        teardown(f);
        setup(f, drip, f->encoding);
        begin(f);
        serve_close(f, cases[i].code);
        MOVED(f, cases[i].moved);
    }
}

TEST(refusals_are_causes)
{
    refuse(f, 503, 7);
    MOVED(f, "waiting connecting started\nconnecting waiting retry_after\n");
    assert_in_range(f->next_attempt_ms, 7000, 8000);
    refuse(f, 409, 0);
    MOVED(f, "waiting connecting due\nconnecting waiting refused\n");
    refuse(f, 401, 0);
    MOVED(f, "waiting connecting due\nconnecting ended refused\n");
}

TEST(an_attempt_fails_in_other_ways)
{
    char key[HF_WS_KEY_LEN];

    dial(f);
    hf_client_session_lost(f->s, f->slot, "connection refused", f->now_ms);
    MOVED(f, "waiting connecting started\nconnecting waiting unreachable\n");
    dial(f);
    advance(f, 8000);
    MOVED(f, "waiting connecting due\nconnecting waiting timed_out\n");
    dial(f);
    take_request(f, key);
    feed(f, "SSH-2.0-OpenSSH\r\n\r\n", 19);
    MOVED(f, "waiting connecting due\nconnecting waiting protocol_error\n");
}

/* The first attempt has 4 s up to its welcome, those after a failure have 8. */
TEST(the_second_attempt_has_more_time)
{
    dial(f);
    advance(f, 3999);
    assert_true(wanted(f, f->slot));
    advance(f, 1);
    assert_false(wanted(f, f->slot));
    dial(f);
    advance(f, 7999);
    assert_true(wanted(f, f->slot));
    advance(f, 1);
    assert_false(wanted(f, f->slot));
}

TEST(a_server_that_breaks_the_protocol_is_left)
{
    begin(f);
    serve(f, "{\"type\":\"ack\",\"seq\":7,\"offsets\":[7]}\n");
    MOVED(f, "live waiting protocol_error\n");
}

/* A browser's way to be told: 101, `reconnect`, 1013. */
TEST(an_attempt_that_is_told_to_come_later_does)
{
    dial(f);
    accept_with(f, "{\"type\":\"reconnect\",\"after\":[5000,9000],\"code\":\"overloaded\"}\n");
    serve_close(f, 1013);
    hf_client_session_lost(f->s, f->slot, "closed", f->now_ms);
    MOVED(f, "waiting connecting started\nconnecting waiting server_drain\n");
    next_attempt_in(f, 5000, 9000);
}

TEST(closing_and_ending_are_told)
{
    begin(f);
    hf_client_session_close(f->s, f->now_ms);
    MOVED(f, "live closing closed\n");
    serve_close(f, 1000);
    MOVED(f, "closing ended closed\n");
    network(f, true, HF_PATH_GONE); /* and nothing afterwards */
    hf_client_session_woke_up(f->s, f->now_ms);
    hf_client_session_background(f->s, false, f->now_ms);
    MOVED(f, "");
}

/* --- doubt --- */

TEST(a_heartbeat_goes_through_doubt_to_death)
{
    begin(f);
    advance(f, 25000); /* the ping */
    MOVED(f, "");
    advance(f, 1000);
    MOVED(f, "live doubtful heartbeat_late\n");
    assert_int_equal(f->next_attempt_ms, UINT64_MAX);
    advance(f, 2000); /* the prepared connection has not come about, and is still being made */
    MOVED(f, "doubtful connecting heartbeat_missed\n");
    assert_int_equal(f->next_attempt_ms, 0);
}

TEST(any_byte_ends_the_doubt)
{
    begin(f);
    advance(f, 26000);
    serve(f, "{\"type\":\"ping\"}\n");
    MOVED(f, "live doubtful heartbeat_late\ndoubtful live proven\n");
}

TEST(each_trigger_verifies_at_once)
{
    begin(f);
    collect(f);
    hf_buf_reset(&f->said);
    network(f, false, HF_PATH_SAME);
    MOVED(f, "live doubtful network_changed\n");
    advance(f, 0);
    said(f, "{\"type\":\"ping\",\"id\":\"2\"}\n");
    serve(f, PONG("2"));
    MOVED(f, "doubtful live proven\n");

    hf_client_session_woke_up(f->s, f->now_ms);
    advance(f, 0);
    said(f, "{\"type\":\"ping\",\"id\":\"3\"}\n");
    serve(f, PONG("3"));
    MOVED(f, "live doubtful woke_up\ndoubtful live proven\n");

    hf_client_session_output_stuck(f->s, f->slot, f->now_ms);
    advance(f, 0);
    said(f, "{\"type\":\"ping\",\"id\":\"4\"}\n");
    serve(f, PONG("4"));
    MOVED(f, "live doubtful output_stuck\ndoubtful live proven\n");

    publish(f, "1");
    said(f, SAID_DATA("demo", "1", "1"));
    advance(f, 1000);
    said(f, "{\"type\":\"ping\",\"id\":\"5\"}\n");
    serve(f, PONG("5") "{\"type\":\"ack\",\"seq\":1,\"offsets\":[1]}\n");
    MOVED(f, "live doubtful answer_late\ndoubtful live proven\n");

    advance(f, 10000);
    publish(f, "2");
    said(f, SAID_DATA("demo", "2", "2"));
    MOVED(f, "live doubtful sent_after_silence\n");
    advance(f, 0);
    said(f, "{\"type\":\"ping\",\"id\":\"6\"}\n");
}

/* The soft deadline of a slow path is longer than that: no answer is late yet. */
TEST(output_that_no_socket_takes_is_a_doubt)
{
    struct hf_str out;

    dial(f);
    advance(f, 3000); /* the upgrade's round trip */
    accept_with(f, WELCOME("s1", "false", "null", ""));
    collect(f);
    serve(f, PONG("1"));
    hf_buf_reset(&f->moves);
    publish(f, "1");
    out = hf_client_session_output(f->s, f->slot, f->now_ms);
    assert_true(out.len > 10);
    advance(f, 1500);
    hf_client_session_sent(f->s, f->slot, 1, f->now_ms); /* it moves */
    advance(f, 1999);
    MOVED(f, "");
    advance(f, 1);
    MOVED(f, "live doubtful output_stuck\n");
    advance(f, 0); /* the ping lies behind it */
    out = hf_client_session_output(f->s, f->slot, f->now_ms);
    hf_client_session_sent(f->s, f->slot, out.len, f->now_ms);
    serve(f, PONG("2") "{\"type\":\"ack\",\"seq\":1,\"offsets\":[1]}\n");
    advance(f, 20000);
    MOVED(f, "doubtful live proven\n");
}

/* What was on its way before the question was asked answers nothing. */
TEST(only_what_comes_after_the_ping_proves)
{
    following(f);
    MOVED(f, "waiting connecting started\nconnecting live welcomed\n");
    network(f, false, HF_PATH_SAME);
    serve(f, DATA("demo", "6"));
    HEARD(f, "message demo 6 6\n"); /* doubtful as it is, it delivers */
    MOVED(f, "live doubtful network_changed\n");
    advance(f, 0);
    serve(f, DATA("demo", "7"));
    HEARD(f, "message demo 7 7\n");
    MOVED(f, "doubtful live proven\n");
}

/* Doubt holds nothing back: neither requests nor publishes. */
TEST(in_doubt_work_goes_on)
{
    begin(f);
    network(f, false, HF_PATH_SAME);
    subscribe(f, "demo");
    publish(f, "1");
    collect(f);
    assert_int_equal(hf_client_session_state(f->s), HF_CLIENT_DOUBTFUL);
    expect(&f->said, "{\"type\":\"subscribe\",\"channel\":\"demo\"}\n" SAID_DATA("demo", "1", "1"));
}

/* --- make before break --- */

TEST(a_spare_connection_is_kept_for_a_while)
{
    unsigned live_slot, spare;

    begin(f);
    live_slot = f->slot;
    advance(f, 26000);
    dial(f); /* it stands, and says nothing */
    spare = f->slot;
    advance(f, 1500);
    f->slot = live_slot;
    serve(f, PONG("2"));
    advance(f, 4999);
    assert_true(wanted(f, spare));
    advance(f, 1);
    assert_false(wanted(f, spare));
    MOVED(f, "live doubtful heartbeat_late\ndoubtful live proven\n");
}

TEST(a_spare_connection_serves_the_next_doubt)
{
    unsigned live_slot, spare;

    begin(f);
    live_slot = f->slot;
    advance(f, 26000);
    dial(f);
    spare = f->slot;
    f->slot = live_slot;
    serve(f, PONG("2"));
    publish(f, "1");
    collect(f);
    advance(f, 1600); /* an answer is late: the silence counts from its question, and the spare is wanted */
    MOVED(f, "live doubtful heartbeat_late\ndoubtful live proven\nlive doubtful answer_late\n");
    advance(f, 1600);
    MOVED(f, "doubtful connecting heartbeat_missed\n");
    HEARD(f, "disconnected 0\n");
    f->slot = spare;
    accept_with(f, WELCOME("s1", "true", "0", ""));
    HEARD(f, "connected s1 resumed\n");
    MOVED(f, "connecting live welcomed\n");
}

/* A server waits for a request for so long, and then answers 408; half of that must not be taken for the answer to a request. */
TEST(a_spare_connection_that_the_server_gives_up_is_gone)
{
    unsigned live_slot, spare;

    begin(f);
    live_slot = f->slot;
    advance(f, 26000);
    dial(f);
    spare = f->slot;
    feed(f, "HTTP/1.1 408 Request Timeout\r\n", 30);
    assert_false(wanted(f, spare));
    assert_true(wanted(f, live_slot));
    advance(f, 2000);
    MOVED(f, "live doubtful heartbeat_late\ndoubtful waiting heartbeat_missed\n");
}

/* On what was the network it is worth nothing on the one that is. */
TEST(a_spare_connection_does_not_outlive_its_network)
{
    unsigned spare;

    begin(f);
    advance(f, 26000);
    spare = (unsigned)wanted_slot(f);
    network(f, false, HF_PATH_SAME);
    assert_true(wanted(f, spare)); /* It is on the way that there is. */
    f->slot = spare;
    network(f, false, HF_PATH_MOVED);
    assert_false(wanted(f, spare));
}

TEST(a_spare_connection_does_not_outlive_a_sleep)
{
    unsigned spare;

    begin(f);
    advance(f, 26000);
    spare = (unsigned)wanted_slot(f);
    hf_client_session_woke_up(f->s, f->now_ms);
    assert_false(wanted(f, spare));
}

/* --- another way --- */

/* It is known, and not doubted: what bounds the connections that a doubt prepares does not bound these. */
TEST(each_way_is_taken_at_once)
{
    unsigned i, old;

    begin(f);
    old = f->slot;
    for (i = 0; i < 6; i++) {
        f->slot = old;
        network(f, false, HF_PATH_MOVED);
        assert_true(wanted_slot(f) >= 0);
        hf_client_session_lost(f->s, (unsigned)wanted_slot(f), "refused", f->now_ms);
    }
    MOVED(f, "live doubtful network_changed\n");
    assert_true(wanted(f, old));
    f->slot = old;
    network(f, false, HF_PATH_MOVED);
    resume(f);
    MOVED(f, "doubtful live welcomed\n");
}

/* An attempt of which nothing can come back is not waited for, even if its request is out. */
TEST(an_attempt_whose_address_is_gone_is_not_waited_for)
{
    uint32_t first;

    dial(f);
    first = f->attempt;
    network(f, true, HF_PATH_GONE);
    MOVED(f, "waiting connecting started\nconnecting offline address_gone\n");
    assert_in_range(f->next_attempt_ms, PROBE_MS, PROBE_MS + 1000);
    network(f, false, HF_PATH_SAME);
    dial(f);
    assert_true(f->attempt > first);
    accept_with(f, WELCOME("s1", "false", "null", ""));
    MOVED(f,
          "offline waiting network_changed\nwaiting connecting network_changed\nconnecting live welcomed\n");
}

/* A prepared connection that stands is there when the hard deadline comes, however late that is. */
TEST(a_slow_path_has_its_spare_connection_at_the_hard_deadline)
{
    unsigned live_slot, spare;

    dial(f);
    advance(f, 3000); /* the upgrade's round trip: the soft deadline is at its most, 4 s */
    accept_with(f, WELCOME("s1", "false", "null", ""));
    collect(f);
    live_slot = f->slot;
    serve(f, PONG("1"));
    HEARD(f, "connected s1\ncaught up 0\n");
    hf_buf_reset(&f->moves);
    advance(f, 25000 + 3900);
    assert_int_equal(wanted_slot(f), -1);
    dial(f);
    spare = f->slot;
    advance(f, 3999);
    assert_true(wanted(f, live_slot) && wanted(f, spare));
    advance(f, 101);
    assert_false(wanted(f, live_slot));
    assert_true(wanted(f, spare));
    MOVED(f, "live doubtful heartbeat_late\ndoubtful connecting heartbeat_missed\n");
}

/* Doubt the connection; whether another was prepared for it, which is lost before the doubt ends. */
static bool prepares(struct fixture *f, unsigned live_slot, unsigned ping_id)
{
    unsigned waited_ms;
    bool prepared;
    char pong[100];

    network(f, false, HF_PATH_SAME);
    for (waited_ms = 0; waited_ms < 5000 && wanted_slot(f) < 0; waited_ms += 50)
        advance(f, 50);
    prepared = wanted_slot(f) >= 0;
    if (prepared)
        hf_client_session_lost(f->s, (unsigned)wanted_slot(f), "refused", f->now_ms);
    f->slot = live_slot;
    (void)snprintf(pong, sizeof(pong), PONG("%u"), ping_id);
    serve(f, pong);
    assert_int_equal(hf_client_session_state(f->s), HF_CLIENT_LIVE);
    return prepared;
}

/* "Rate-limit: 3 pre-dials/min" */
TEST(three_connections_a_minute_are_prepared)
{
    unsigned live_slot;

    begin(f);
    live_slot = f->slot;
    assert_true(prepares(f, live_slot, 2));
    assert_true(prepares(f, live_slot, 3));
    assert_true(prepares(f, live_slot, 4));
    assert_false(prepares(f, live_slot, 5));
    assert_false(prepares(f, live_slot, 6));
    f->now_ms += 60000; /* the machine slept */
    assert_true(prepares(f, live_slot, 7));
}

/* --- signals --- */

TEST(a_signal_ends_a_wait)
{
    unsigned i;

    for (i = 0; i < 8; i++) {
        dial(f);
        hf_client_session_lost(f->s, f->slot, "refused", f->now_ms);
    }
    hf_buf_reset(&f->moves);
    network(f, false, HF_PATH_SAME);
    next_attempt_in(f, 0, 100);
    dial(f);
    MOVED(f, "waiting connecting network_changed\n");
}

/* The server knows its load; but after a change of the network it may not have been the server. */
TEST(a_signal_does_not_overrule_the_server)
{
    refuse(f, 503, 20);
    hf_client_session_woke_up(f->s, f->now_ms);
    next_attempt_in(f, 20000, 21000);
    refuse(f, 503, 3000);
    network(f, false, HF_PATH_SAME);
    next_attempt_in(f, 30000, 30000);
}

TEST(an_attempt_that_hangs_is_made_anew_on_a_signal)
{
    advance(f, 0);
    assert_true(wanted_slot(f) >= 0); /* it is being made */
    network(f, false, HF_PATH_SAME);
    assert_true(wanted_slot(f) >= 0); /* has only begun */
    advance(f, 1000);
    network(f, false, HF_PATH_SAME);
    MOVED(f, "waiting connecting started\nconnecting waiting network_changed\n");
    next_attempt_in(f, 0, 100);
}

/* "local address of our socket gone -> dead now" */
TEST(without_its_address_a_connection_is_dead)
{
    begin(f);
    network(f, false, HF_PATH_GONE);
    MOVED(f, "live waiting address_gone\n");
    next_attempt_in(f, 0, 100);
    HEARD(f, "disconnected 0\n");
    dial(f); /* its upgrade is out */
    MOVED(f, "waiting connecting due\n");
    network(f, false, HF_PATH_GONE);
    MOVED(f, "connecting waiting address_gone\n");
    next_attempt_in(f, 0, 100);
}

TEST(the_background_waits_longer_and_the_foreground_comes_at_once)
{
    uint64_t longest = 0;
    unsigned i;

    hf_client_session_background(f->s, true, f->now_ms);
    for (i = 0; i < 60; i++) {
        dial(f);
        hf_client_session_lost(f->s, f->slot, "refused", f->now_ms);
        longest = f->next_attempt_ms > longest ? f->next_attempt_ms : longest;
    }
    assert_in_range(longest, 100000, 300000);
    hf_buf_reset(&f->moves);
    hf_client_session_background(f->s, false, f->now_ms);
    next_attempt_in(f, 0, 100);
    dial(f);
    MOVED(f, "waiting connecting foreground\n");
}

/* --- offline --- */

TEST(offline_there_is_a_probe_each_half_minute)
{
    unsigned i;

    begin(f);
    network(f, true, HF_PATH_SAME);
    MOVED(f, "live doubtful offline\n"); /* it may be to this machine */
    advance(f, 2900);
    assert_int_equal(wanted_slot(f), -1); /* nothing is prepared where there is no way */
    advance(f, 1500);
    MOVED(f, "doubtful offline heartbeat_missed\n");
    for (i = 0; i < 5; i++) {
        assert_in_range(f->next_attempt_ms, PROBE_MS, PROBE_MS + 1000);
        dial_in_vain(f);
        MOVED(f, "offline connecting probe\nconnecting offline unreachable\n");
    }
    network(f, false, HF_PATH_SAME);
    MOVED(f, "offline waiting network_changed\n");
    next_attempt_in(f, 0, 100);
    dial(f);
    hf_client_session_lost(f->s, f->slot, "refused", f->now_ms);
    MOVED(f, "waiting connecting network_changed\nconnecting waiting unreachable\n");
    assert_in_range(f->next_attempt_ms, 0, 1000); /* what failed offline does not count */
}

TEST(a_waiting_session_goes_offline_but_tries_once)
{
    network(f, true, HF_PATH_SAME);
    next_attempt_in(f, 0, 0); /* a first attempt is always made */
    dial_in_vain(f);
    MOVED(f, "waiting connecting started\nconnecting offline unreachable\n");
    network(f, false, HF_PATH_SAME);
    MOVED(f, "offline waiting network_changed\n");
    network(f, true, HF_PATH_SAME);
    MOVED(f, "waiting offline offline\n");
    network(f, true, HF_PATH_SAME); /* is no news */
    hf_client_session_woke_up(f->s, f->now_ms);
    MOVED(f, "");
    next_attempt_in(f, PROBE_MS, PROBE_MS + 1000);
}

TEST(a_connection_proves_the_system_wrong)
{
    network(f, true, HF_PATH_SAME);
    begin(f);
    hf_client_session_lost(f->s, f->slot, "reset", f->now_ms);
    MOVED(f, "live waiting connection_lost\n");
}

/* A server that refuses has been reached: it is tried as any other, and not each half minute. */
TEST(a_refusal_proves_the_system_wrong)
{
    network(f, true, HF_PATH_SAME);
    refuse(f, 409, 0);
    MOVED(f, "waiting connecting started\nconnecting waiting refused\n");
    next_attempt_in(f, 0, 500);
}

/* A probe comes no sooner than the server wanted it. */
TEST(offline_the_word_of_the_server_holds_too)
{
    refuse(f, 503, 50);
    network(f, true, HF_PATH_SAME);
    next_attempt_in(f, 50000, 51000);
    network(f, false, HF_PATH_SAME);
    next_attempt_in(f, 29000, 51000);
}

/* --- superseded --- */

/* Another way: the next connection is wanted at once, and not made yet. */
static void dial_in_doubt(struct fixture *f)
{
    network(f, false, HF_PATH_MOVED);
    assert_true(wanted_slot(f) >= 0);
}

/* "stays away, unless it has an attempt of its own that is unanswered or was given up: then it resumes once more" */
TEST(superseded_by_an_attempt_of_its_own_it_resumes)
{
    unsigned old;

    begin(f);
    serve(f, "{\"type\":\"reconnect\",\"after\":[0,0],\"code\":\"rebalance\"}\n");
    old = f->slot;
    dial(f);
    advance(f, 10000); /* given up */
    MOVED(f, "");
    f->slot = old;
    serve_close(f, 4001);
    MOVED(f, "live waiting superseded\n");
    assert_in_range(f->next_attempt_ms, 0, 100); /* and not lossSpread */
    HEARD(f, "disconnected 4001\n");
    resume(f);
    MOVED(f, "waiting connecting due\nconnecting live welcomed\n");
    serve_close(f, 4001);
    MOVED(f, "live ended superseded\n");
}

/* The server has taken the next connection, and what it says on the old one is here before its welcome on the new one. Returns the old one's slot; the test talks on the new one. */
static unsigned superseded(struct fixture *f)
{
    unsigned old, next;

    begin(f);
    serve(f, "{\"type\":\"reconnect\",\"after\":[0,0],\"code\":\"rebalance\"}\n");
    old = f->slot;
    dial(f);
    next = f->slot;
    f->slot = old;
    serve_close(f, 4001);
    f->slot = next;
    HEARD(f, "");
    MOVED(f, "");
    return old;
}

/* Make before break: for the application nothing was broken, and what it asked for meanwhile is asked for on the new connection. */
TEST(superseded_before_the_welcome_nothing_is_told)
{
    unsigned old = superseded(f);

    assert_int_equal(hf_client_session_want(f->s, old).wish, HF_WISH_CLOSE);
    publish(f, "1");
    subscribe(f, "demo");
    f->slot = old;
    said(f, "close 4001\n"); /* and nothing behind it */
    f->slot = 1 - old;
    advance(f, 2500); /* Nothing of the old connection is due any more, but its end. */
    assert_int_equal(hf_client_session_want(f->s, old).wish, HF_WISH_NONE);
    hf_client_session_lost(f->s, old, "closed", f->now_ms);
    accept_with(f, WELCOME("s1", "true", "0", ""));
    HEARD(f, "connected s1 resumed\n");
    MOVED(f, "");
    said(f, "{\"type\":\"subscribe\",\"channel\":\"demo\"}\n{\"type\":\"ping\",\"id\":\"2\"}\n" SAID_DATA(
                "demo", "1", "1"));
    serve(f, PONG("2") SUBSCRIBED("demo", "e1", "5") "{\"type\":\"ack\",\"seq\":1,\"offsets\":[6]}\n");
    HEARD(f, "caught up 0\nsubscribed demo e1:5\nacked 1 at 6\n");
    advance(f, 29500); /* Its heartbeats go on as on any. */
    MOVED(f, "live doubtful heartbeat_late\n");
}

/* The driver tells of the old connection's end in its own time. */
TEST(superseded_the_end_of_the_old_connection_is_no_news)
{
    unsigned old = superseded(f);

    hf_client_session_lost(f->s, old, "closed", f->now_ms);
    HEARD(f, "");
    MOVED(f, "");
    accept_with(f, WELCOME("s1", "true", "0", ""));
    HEARD(f, "connected s1 resumed\n");
    MOVED(f, "");
}

TEST(superseded_by_an_attempt_that_fails_it_is_told)
{
    char key[HF_WS_KEY_LEN];
    struct hf_buf out;

    (void)superseded(f);
    take_request(f, key);
    hf_buf_init(&out, TEXT_MAX);
    assert_int_equal(hf_handshake_put_refusal(&out, 503, "unavailable", "no", 7), 0);
    feed(f, out.data, out.len);
    hf_buf_release(&out);
    MOVED(f, "live connecting superseded\nconnecting waiting retry_after\n");
    HEARD(f, "disconnected 4001\nretrying 503 7\n");
}

TEST(superseded_by_an_attempt_without_an_answer_it_is_told)
{
    uint64_t begun_ms;

    (void)superseded(f);
    begun_ms = f->now_ms;
    while (hf_client_session_state(f->s) == HF_CLIENT_LIVE && f->now_ms < begun_ms + 10000)
        advance(f, 1);
    assert_in_range(f->now_ms - begun_ms, 3900, 4000);
    MOVED(f, "live connecting superseded\nconnecting waiting timed_out\n");
    HEARD(f, "disconnected 4001\nretrying 0 0\n");
    resume(f);
}

TEST(superseded_by_an_attempt_whose_address_is_gone_it_is_told)
{
    (void)superseded(f);
    network(f, false, HF_PATH_MOVED); /* It may yet be answered. */
    hf_client_session_woke_up(f->s, f->now_ms);
    hf_client_session_output_stuck(f->s, 1 - f->slot, f->now_ms);
    MOVED(f, "");
    network(f, false, HF_PATH_GONE);
    MOVED(f, "live connecting superseded\nconnecting waiting address_gone\n");
    HEARD(f, "disconnected 4001\nretrying 0 0\n");
}

/* Nobody got what was published on the connection that was closed: a server that has forgotten the session leaves no doubt about it. */
TEST(superseded_it_sends_nothing_on_the_old_connection)
{
    unsigned old = superseded(f);

    publish(f, "1");
    f->slot = old;
    said(f, "close 4001\n");
    f->slot = 1 - old;
    hf_client_session_lost(f->s, f->slot, "reset", f->now_ms);
    HEARD(f, "disconnected 4001\nretrying 0 0\n");
    MOVED(f, "live connecting superseded\nconnecting waiting unreachable\n");
    dial(f);
    accept_with(f, WELCOME("s2", "false", "null", ""));
    HEARD(f, "connected s2\n");
    said(f, "{\"type\":\"ping\",\"id\":\"2\"}\n" SAID_DATA("demo", "1", "1"));
}

/* A ping on the old connection gets no answer, and no death follows from that. */
TEST(superseded_in_doubt_it_waits_as_well)
{
    unsigned old, next;

    begin(f);
    old = f->slot;
    network(f, false, HF_PATH_MOVED);
    collect(f);
    dial(f);
    next = f->slot;
    f->slot = old;
    serve_close(f, 4001);
    advance(f, 3900); /* past the hard deadline */
    f->slot = next;
    accept_with(f, WELCOME("s1", "true", "0", ""));
    HEARD(f, "connected s1 resumed\n");
    MOVED(f, "live doubtful network_changed\ndoubtful live welcomed\n");
}

/* There is no connection to say goodbye on, and none is waited for. */
TEST(superseded_it_can_be_closed)
{
    (void)superseded(f);
    hf_client_session_close(f->s, f->now_ms);
    MOVED(f, "live ended closed\n");
    HEARD(f, "ended 0 0 asked\n");
}

/* 4001 has another reason than an attempt of which the server knows nothing yet. */
TEST(superseded_while_an_attempt_is_dialling_it_is_told)
{
    unsigned old;

    begin(f);
    old = f->slot;
    dial_in_doubt(f);
    f->slot = old;
    serve_close(f, 4001);
    MOVED(f, "live doubtful network_changed\ndoubtful connecting superseded\n");
    HEARD(f, "disconnected 4001\n");
}

TEST(a_drained_connection_that_is_closed_waits_as_advised)
{
    begin(f);
    serve(f, "{\"type\":\"reconnect\",\"after\":[60000,60000],\"code\":\"draining\"}\n");
    serve_close(f, 1001);
    MOVED(f, "live waiting server_drain\n");
    assert_int_equal(f->next_attempt_ms, 60000);
}

/* --- an application that acts on what it is told --- */

static void act_on_states(struct fixture *f, const struct hf_client_session_event *ev)
{
    if (ev->type == HF_CSE_STATE && ev->to != HF_CLIENT_CLOSING && ev->to != HF_CLIENT_ENDED)
        publish(f, "1");
}

TEST(every_change_is_a_moment_to_publish)
{
    f->in_callback = act_on_states;
    dial(f);
    accept_with(f, WELCOME("s1", "false", "null", ""));
    assert_int_equal(hf_client_session_unanswered(f->s), 2); /* connecting, live */
    said(f, "{\"type\":\"ping\",\"id\":\"1\"}\n" SAID_DATA("demo", "1", "1") SAID_DATA("demo", "1", "2"));
    serve(f, PONG("1") "{\"type\":\"ack\",\"seq\":2,\"offsets\":[1,2]}\n");
    advance(f, 10000);
    publish(f, "2");
    said(f, SAID_DATA("demo", "2", "3") SAID_DATA("demo", "1", "4")); /* doubtful: after silence */
    hf_client_session_lost(f->s, f->slot, "reset", f->now_ms);
    assert_int_equal(hf_client_session_unanswered(f->s), 3);
}

static void close_on_doubt(struct fixture *f, const struct hf_client_session_event *ev)
{
    if (ev->type == HF_CSE_STATE && (ev->to == HF_CLIENT_DOUBTFUL || ev->to == HF_CLIENT_WAITING))
        hf_client_session_close(f->s, f->now_ms);
}

TEST(every_change_is_a_moment_to_close)
{
    bool drip = f->drip;

    f->in_callback = close_on_doubt;
    begin(f);
    network(f, false, HF_PATH_SAME);
    MOVED(f, "live doubtful network_changed\ndoubtful closing closed\n");
    teardown(f);
    setup(f, drip, f->encoding);
    f->in_callback = close_on_doubt;
    begin(f);
    hf_client_session_lost(f->s, f->slot, "reset", f->now_ms);
    MOVED(f, "live waiting connection_lost\nwaiting ended closed\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_loss_is_told_with_its_cause_and_the_time_of_the_next_attempt),
        cmocka_unit_test(a_connection_that_this_machine_gives_up_is_made_anew_at_once),
        cmocka_unit_test(close_codes_are_causes),
        cmocka_unit_test(refusals_are_causes),
        cmocka_unit_test(an_attempt_fails_in_other_ways),
        cmocka_unit_test(the_second_attempt_has_more_time),
        cmocka_unit_test(a_server_that_breaks_the_protocol_is_left),
        cmocka_unit_test(an_attempt_that_is_told_to_come_later_does),
        cmocka_unit_test(closing_and_ending_are_told),
        cmocka_unit_test(a_heartbeat_goes_through_doubt_to_death),
        cmocka_unit_test(any_byte_ends_the_doubt),
        cmocka_unit_test(each_trigger_verifies_at_once),
        cmocka_unit_test(output_that_no_socket_takes_is_a_doubt),
        cmocka_unit_test(only_what_comes_after_the_ping_proves),
        cmocka_unit_test(in_doubt_work_goes_on),
        cmocka_unit_test(a_spare_connection_is_kept_for_a_while),
        cmocka_unit_test(a_spare_connection_serves_the_next_doubt),
        cmocka_unit_test(a_spare_connection_that_the_server_gives_up_is_gone),
        cmocka_unit_test(a_spare_connection_does_not_outlive_its_network),
        cmocka_unit_test(a_spare_connection_does_not_outlive_a_sleep),
        cmocka_unit_test(each_way_is_taken_at_once),
        cmocka_unit_test(an_attempt_whose_address_is_gone_is_not_waited_for),
        cmocka_unit_test(a_slow_path_has_its_spare_connection_at_the_hard_deadline),
        cmocka_unit_test(three_connections_a_minute_are_prepared),
        cmocka_unit_test(a_signal_ends_a_wait),
        cmocka_unit_test(a_signal_does_not_overrule_the_server),
        cmocka_unit_test(an_attempt_that_hangs_is_made_anew_on_a_signal),
        cmocka_unit_test(without_its_address_a_connection_is_dead),
        cmocka_unit_test(the_background_waits_longer_and_the_foreground_comes_at_once),
        cmocka_unit_test(offline_there_is_a_probe_each_half_minute),
        cmocka_unit_test(a_waiting_session_goes_offline_but_tries_once),
        cmocka_unit_test(a_connection_proves_the_system_wrong),
        cmocka_unit_test(a_refusal_proves_the_system_wrong),
        cmocka_unit_test(offline_the_word_of_the_server_holds_too),
        cmocka_unit_test(superseded_by_an_attempt_of_its_own_it_resumes),
        cmocka_unit_test(superseded_before_the_welcome_nothing_is_told),
        cmocka_unit_test(superseded_the_end_of_the_old_connection_is_no_news),
        cmocka_unit_test(superseded_by_an_attempt_that_fails_it_is_told),
        cmocka_unit_test(superseded_by_an_attempt_without_an_answer_it_is_told),
        cmocka_unit_test(superseded_by_an_attempt_whose_address_is_gone_it_is_told),
        cmocka_unit_test(superseded_it_sends_nothing_on_the_old_connection),
        cmocka_unit_test(superseded_in_doubt_it_waits_as_well),
        cmocka_unit_test(superseded_it_can_be_closed),
        cmocka_unit_test(superseded_while_an_attempt_is_dialling_it_is_told),
        cmocka_unit_test(a_drained_connection_that_is_closed_waits_as_advised),
        cmocka_unit_test(every_change_is_a_moment_to_publish),
        cmocka_unit_test(every_change_is_a_moment_to_close),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
