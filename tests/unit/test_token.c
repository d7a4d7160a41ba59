/*
 * test_token.c - tokens at the hub: the ways that they come in, the identity that they give, the session's user, refresh, and the end. Hubs in one process, in time
 * that the test makes.
 */
#include "server/token.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "hub_fixture.h"
#include "hub_peer.h"

/* ---- The place: two workers, one key ---- */

static struct place place;
static struct keys keys;

static int set_up(void **state)
{
    (void)state;
    place_init(&place, 2);
    keys_init(&keys, false);
    for (uint32_t slot = 0; slot < 2; slot++) {
        hub_start(&place, slot, &transport);
        hf_hub_set_auth(place.hub[slot], keys.auth);
    }
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    place_release(&place);
    keys_release(&keys);
    return 0;
}

static void pass_ms(uint64_t ms)
{
    place.now.mono_ms += ms;
    place.now.wall_ms += ms;
    settle(&place);
}

static const char *token_of(const char *user, unsigned seconds)
{
    return token_for(&keys, &place, user, seconds);
}

/* ---- Connections ---- */

static void come_by(struct peer *p, uint32_t slot, const char *target, const char *headers)
{
    peer_open_by(p, &place, slot, target, headers);
    settle(&place);
}

static void leave(struct peer *p)
{
    peer_end(p, &place);
}

static void forget(struct peer *p)
{
    hf_buf_reset(&p->got);
}

static void say(struct peer *p, const char *text)
{
    peer_say(&place, p, text);
    settle(&place);
}

/* With a token in the subprotocols, and a ticket where it is not empty. */
static void come(struct peer *p, uint32_t slot, const char *token, const char *ticket)
{
    char headers[2 * TOKEN_ROOM];

    snprintf(headers, sizeof(headers), "Sec-WebSocket-Protocol: " HF_PROTOCOL_JSON "%s%s%s%s\r\n",
             token == NULL ? "" : ", hf.token.", token == NULL ? "" : token,
             ticket[0] == '\0' ? "" : ", hf.resume.", ticket);
    come_by(p, slot, "/ws", headers);
}

static const char *refresh_with(const char *token)
{
    static char text[TOKEN_ROOM + 256];

    snprintf(text, sizeof(text), "{\"type\":\"refresh\",\"token\":\"%s\"}", token);
    return text;
}

/* ---- Coming in ---- */

static void a_token_comes_in_three_ways(void **state)
{
    char text[TOKEN_ROOM + 256];
    struct peer p;

    (void)state;
    come(&p, 0, token_of("alice", 0), "");
    assert_true(got(&p, "101 Switching") && got(&p, "\"welcome\""));
    assert_false(got(&p, "hf.token"));
    assert_true(hf_str_eq(p.conn->identity->user, HF_STR("alice")));
    leave(&p);
    snprintf(text, sizeof(text), "Authorization: bearer   %s\r\n", token_of("bob", 0));
    come_by(&p, 0, "/ws", text);
    assert_true(got(&p, "\"welcome\""));
    assert_true(hf_str_eq(p.conn->identity->user, HF_STR("bob")));
    leave(&p);
    snprintf(text, sizeof(text), "/ws?token=%s", token_of("carol", 0));
    come_by(&p, 0, text, "");
    assert_true(got(&p, "\"welcome\""));
    assert_true(hf_str_eq(p.conn->identity->user, HF_STR("carol")));
    leave(&p);
}

static void is_refused(struct peer *p, const char *reason, enum hf_counter cause)
{
    assert_true(got(p, "HTTP/1.1 401 "));
    assert_true(got(p, "WWW-Authenticate: Bearer"));
    assert_true(got(p, "\"unauthorized\""));
    assert_true(got(p, reason));
    assert_false(got(p, "welcome"));
    assert_int_equal(counted(&place, 0, cause), 1);
    assert_null(p->conn->session);
    leave(p);
}

static void without_a_good_token_nobody_comes_in(void **state)
{
    char text[TOKEN_ROOM + 256], header[TOKEN_ROOM + 256];
    struct peer p;

    (void)state;
    come(&p, 0, NULL, "");
    is_refused(&p, "no token", HF_COUNT_TOKEN_MISSING);
    come(&p, 0, "abc", "");
    is_refused(&p, "no JWT", HF_COUNT_TOKEN_MALFORMED);
    /* Somebody else's credentials are not ours. */
    come_by(&p, 0, "/ws", "Authorization: Basic YTpi\r\n");
    assert_true(got(&p, "no token"));
    leave(&p);
    snprintf(text, sizeof(text), "/ws?token=%s", token_of("alice", 0));
    snprintf(header, sizeof(header), "Authorization: Bearer %s\r\n", token_of("alice", 0));
    come_by(&p, 0, text, header);
    is_refused(&p, "more than one token", HF_COUNT_TOKEN_SEVERAL);
    come_by(&p, 0, "/ws?token=%zz", "");
    assert_true(got(&p, "the token in the query"));
    leave(&p);
    assert_int_equal(counted(&place, 0, HF_COUNT_REFUSED_TOKEN), 5);
    assert_int_equal(hf_sessions_live(&place.hub[0]->sessions), 0);
}

/* It cannot see a 401: it is told by the close code that asks for a token. */
static void a_browser_is_told_by_close_4002(void **state)
{
    struct peer p;

    (void)state;
    come_by(&p, 0, "/ws",
            "Sec-WebSocket-Protocol: " HF_PROTOCOL_JSON ", hf.token.abc\r\nOrigin: https://a.org\r\n");
    assert_true(got(&p, "101 Switching") && got(&p, "\x0f\xa2the token is no JWT")); /* 4002 */
    assert_false(got(&p, "welcome"));
    assert_null(p.conn->session);
    assert_int_equal(counted(&place, 0, HF_COUNT_REFUSED_TOKEN), 1);
    assert_int_equal(counted(&place, 0, HF_COUNT_TOKEN_MALFORMED), 1);
    assert_int_equal(counted(&place, 0, HF_COUNT_CLOSE_4002), 1);
    leave(&p);
}

static void a_page_of_another_origin_is_refused(void **state)
{
    char text[TOKEN_ROOM + 256], error[200];
    struct peer p;

    (void)state;
    assert_int_equal(
        hf_config_set(&place.config, "auth.origins=https://a.org", "--set", error, sizeof(error)), 0);
    snprintf(text, sizeof(text), "Origin: https://b.org\r\nAuthorization: Bearer %s\r\n",
             token_of("alice", 0));
    come_by(&p, 0, "/ws", text);
    assert_true(got(&p, "HTTP/1.1 403 ") && got(&p, "\"forbidden\""));
    assert_int_equal(counted(&place, 0, HF_COUNT_REFUSED_ORIGIN), 1);
    leave(&p);
    snprintf(text, sizeof(text), "Origin: https://a.org\r\nAuthorization: Bearer %s\r\n",
             token_of("alice", 0));
    come_by(&p, 0, "/ws", text);
    assert_true(got(&p, "welcome"));
    leave(&p);
}

static void an_echo_asks_for_a_token_too(void **state)
{
    char text[TOKEN_ROOM + 256];
    struct peer p;

    (void)state;
    place.config.echo = true;
    come_by(&p, 0, "/echo", "");
    is_refused(&p, "no token", HF_COUNT_TOKEN_MISSING);
    snprintf(text, sizeof(text), "Authorization: Bearer %s\r\n", token_of("alice", 5));
    come_by(&p, 0, "/echo", text);
    assert_true(got(&p, "101 Switching"));
    pass_ms(5000);
    assert_true(got(&p, "\x0f\xa2the token has expired"));
    leave(&p);
}

static void anonymous_ones_come_in_where_it_is_said(void **state)
{
    struct keys open;
    struct peer p;

    (void)state;
    keys_init(&open, true);
    hf_hub_set_auth(place.hub[0], open.auth);
    come(&p, 0, NULL, "");
    assert_true(got(&p, "welcome"));
    assert_null(p.conn->identity);
    leave(&p);
    come(&p, 0, "abc", "");
    assert_true(got(&p, "401"));
    leave(&p);
    come(&p, 0, token_of("alice", 0), "");
    assert_true(hf_str_eq(p.conn->identity->user, HF_STR("alice")));
    leave(&p);
    hf_hub_set_auth(place.hub[0], NULL); /* Without keys whatever is shown is not looked at. */
    come(&p, 0, "abc", "");
    assert_true(got(&p, "welcome"));
    assert_null(p.conn->identity);
    say(&p, refresh_with("abc"));
    assert_true(got(&p, "\"code\":\"not_found\""));
    leave(&p);
    keys_release(&open);
}

/* ---- The end, and a fresh one ---- */

static void a_connection_ends_with_its_token(void **state)
{
    struct peer p;

    (void)state;
    come(&p, 0, token_of("alice", 5), "");
    pass_ms(4999);
    assert_false(got(&p, "expired"));
    pass_ms(1);
    assert_true(got(&p, "\x0f\xa2the token has expired"));
    assert_int_equal(counted(&place, 0, HF_COUNT_CLOSE_4002), 1);
    leave(&p);
}

/* The wall clock may be set: what counts is what it says when the time has come. */
static void a_clock_that_is_set_back_gives_time(void **state)
{
    struct peer p;

    (void)state;
    come(&p, 0, token_of("alice", 5), "");
    place.now.wall_ms -= 3000;
    pass_ms(5000);
    assert_false(got(&p, "expired"));
    pass_ms(3000);
    assert_true(got(&p, "expired"));
    leave(&p);
}

static void a_fresh_token_takes_the_old_ones_place(void **state)
{
    struct peer p;

    (void)state;
    come(&p, 0, token_of("alice", 5), "");
    pass_ms(4000);
    forget(&p);
    say(&p, refresh_with(token_of("alice", 10)));
    assert_int_equal(p.got.len, 0);
    assert_int_equal(counted(&place, 0, HF_COUNT_TOKENS_REFRESHED), 1);
    pass_ms(9999);
    assert_false(got(&p, "expired"));
    pass_ms(1);
    assert_true(got(&p, "\x0f\xa2the token has expired"));
    leave(&p);
}

/* Also a shorter one counts; one without end ends the waiting. */
static void the_last_token_counts(void **state)
{
    struct peer p;

    (void)state;
    come(&p, 0, token_of("alice", 20), "");
    say(&p, refresh_with(token_of("alice", 5)));
    pass_ms(5000);
    assert_true(got(&p, "expired"));
    leave(&p);
    come(&p, 0, token_of("alice", 5), "");
    say(&p, refresh_with(token_of("alice", 0)));
    pass_ms(15000);
    assert_false(got(&p, "expired"));
    leave(&p);
}

static void a_bad_fresh_token_leaves_the_old_one(void **state)
{
    struct peer p;

    (void)state;
    come(&p, 0, token_of("alice", 10), "");
    forget(&p);
    say(&p, refresh_with("abc"));
    assert_true(got(&p, "\"error\"") && got(&p, "\"unauthorized\"") && got(&p, "\"re\":\"refresh\""));
    assert_int_equal(counted(&place, 0, HF_COUNT_TOKEN_MALFORMED), 1);
    forget(&p);
    say(&p, refresh_with(token_of("bob", 100)));
    assert_true(got(&p, "\"unauthorized\"") && got(&p, "another user"));
    assert_int_equal(counted(&place, 0, HF_COUNT_TOKEN_USER), 1);
    assert_int_equal(counted(&place, 0, HF_COUNT_TOKENS_REFRESHED), 0);
    assert_true(hf_str_eq(p.conn->identity->user, HF_STR("alice")));
    pass_ms(9999);
    assert_false(got(&p, "expired"));
    pass_ms(1);
    assert_true(got(&p, "expired"));
    leave(&p);
}

/* ---- Keys that are taken away ---- */

/* Other keys for slot 0: the secret of 32 such bytes under this kid. */
static struct hf_auth *use_key(const char *kid, char byte)
{
    struct hf_auth *other = hf_auth_new(&(struct hf_auth_rules){.audience = "", .issuer = ""});

    assert_int_equal(hf_auth_add(other, kid, token_secret(HF_JWT_HS256, byte, 32)), 0);
    hf_hub_set_auth(place.hub[0], other);
    settle(&place);
    return other;
}

enum { MANY = 40 };

static unsigned closed_for_their_key(struct peer peers[MANY])
{
    unsigned count = 0;

    for (int i = 0; i < MANY; i++)
        count += got(&peers[i], "\x0f\xa2the key that has signed");
    return count;
}

/* They have five seconds, and end spread over them; so does the one that is on the echo. */
static void connections_of_a_key_that_is_gone_end(void **state)
{
    struct peer peers[MANY], elsewhere, backends;
    struct hf_auth *other;
    char echo[TOKEN_ROOM + 64];

    (void)state;
    place.config.echo = true;
    for (int i = 0; i < MANY - 1; i++)
        come(&peers[i], 0, token_of("alice", i % 2 == 0 ? 0 : 3600), "");
    snprintf(echo, sizeof(echo), "Authorization: Bearer %s\r\n", token_of("alice", 0));
    come_by(&peers[MANY - 1], 0, "/echo", echo);
    come(&elsewhere, 1, token_of("alice", 0), "");
    come(&backends, 0, token_of("alice", 0), "");
    backends.conn->identity->key = 0; /* As of a user whom the backend has told. */
    other = use_key("", 'b');
    assert_in_range(closed_for_their_key(peers), 0, MANY / 4);
    pass_ms(HF_REVOKED_SPREAD_MS / 2);
    assert_in_range(closed_for_their_key(peers), MANY / 4, MANY * 3 / 4);
    pass_ms(HF_REVOKED_SPREAD_MS / 2);
    assert_int_equal(closed_for_their_key(peers), MANY);
    assert_int_equal(counted(&place, 0, HF_COUNT_TOKENS_REVOKED), MANY);
    assert_int_equal(counted(&place, 0, HF_COUNT_CLOSE_4002), MANY);
    assert_false(got(&elsewhere, "the key that has signed")); /* Its hub has not been told. */
    assert_false(got(&backends, "the key that has signed"));
    for (int i = 0; i < MANY; i++)
        leave(&peers[i]);
    leave(&elsewhere);
    leave(&backends);
    hf_hub_set_auth(place.hub[0], keys.auth);
    hf_auth_free(other);
}

static void a_key_that_is_still_there_ends_nobody(void **state)
{
    struct peer p, late;
    struct hf_auth *renamed, *other;

    (void)state;
    come(&p, 0, token_of("alice", 0), "");
    renamed = use_key("another-name", 'a');
    pass_ms(2 * HF_REVOKED_SPREAD_MS);
    assert_false(got(&p, "the key that has signed"));
    /* Where nobody is asked for a token, nobody is ended; what counts is what is asked next. */
    hf_hub_set_auth(place.hub[0], NULL);
    hf_auth_free(renamed);
    settle(&place);
    pass_ms(2 * HF_REVOKED_SPREAD_MS);
    assert_false(got(&p, "the key that has signed"));
    hf_hub_set_auth(place.hub[0], keys.auth);
    come(&late, 0, token_of("alice", 1), "");
    other = use_key("", 'b');
    pass_ms(1000); /* Its own end came first, or at the same time. */
    assert_true(got(&late, "\x0f\xa2"));
    pass_ms(HF_REVOKED_SPREAD_MS);
    assert_true(got(&p, "\x0f\xa2the key that has signed"));
    leave(&p);
    leave(&late);
    hf_hub_set_auth(place.hub[0], keys.auth);
    hf_auth_free(other);
}

static void a_token_of_a_key_that_counts_saves_the_connection(void **state)
{
    struct hf_jwt_key *old = keys.key;
    struct peer p, q;
    struct hf_auth *other;

    (void)state;
    come(&p, 0, token_of("alice", 0), "");
    come(&q, 0, token_of("bob", 0), "");
    other = use_key("", 'b');
    forget(&p);
    say(&p, refresh_with(token_of("alice", 0))); /* of the key that is gone */
    assert_true(got(&p, "\"unauthorized\""));
    keys.key = token_secret(HF_JWT_HS256, 'b', 32);
    forget(&p);
    say(&p, refresh_with(token_of("alice", 0)));
    assert_int_equal(p.got.len, 0);
    pass_ms(2 * HF_REVOKED_SPREAD_MS);
    assert_false(got(&p, "the key that has signed"));
    assert_true(got(&q, "the key that has signed"));
    assert_int_equal(counted(&place, 0, HF_COUNT_TOKENS_REVOKED), 1);
    leave(&p);
    leave(&q);
    hf_hub_set_auth(place.hub[0], keys.auth);
    hf_auth_free(other);
    hf_jwt_key_free(old);
}

/* ---- The session's user ---- */

static void a_session_is_resumed_by_its_user_alone(void **state)
{
    char ticket[TICKET_CHARS + 1];
    struct peer p, q;

    (void)state;
    for (uint32_t slot = 0; slot < 2; slot++) { /* By its own worker, and by the other one. */
        come(&p, 0, token_of("alice", 0), "");
        peer_ticket(&p, ticket);
        leave(&p);
        come(&q, slot, token_of("bob", 0), ticket);
        assert_true(got(&q, "\"resumed\":false") && got(&q, "\"lastSeq\":null"));
        assert_false(got(&q, ticket));
        leave(&q);
        come(&q, slot, token_of("alice", 0), ticket);
        assert_true(got(&q, "\"resumed\":true"));
        assert_true(hf_str_eq(q.conn->identity->user, HF_STR("alice")));
        leave(&q);
        assert_int_equal(counted(&place, slot, HF_COUNT_RESUMES_OTHER_USER), 1);
    }
}

/* A stranger with the ticket does not throw its user out either. */
static void a_stranger_takes_nobodys_connection(void **state)
{
    char ticket[TICKET_CHARS + 1];
    struct peer p, q;

    (void)state;
    come(&p, 0, token_of("alice", 0), "");
    peer_ticket(&p, ticket);
    for (uint32_t slot = 0; slot < 2; slot++) {
        come(&q, slot, token_of("bob", 0), ticket);
        assert_true(got(&q, "\"resumed\":false"));
        leave(&q);
    }
    assert_int_equal(p.conn->phase, HF_CONN_OPEN);
    come(&q, 1, token_of("alice", 0), ticket);
    assert_true(got(&q, "\"resumed\":true"));
    assert_true(got(&p, "\x0f\xa1")); /* 4001 */
    leave(&p);
    leave(&q);
}

/* One who was anonymous becomes nobody's user by a ticket, and the other way round. */
static void nobody_changes_who_he_is_by_a_resume(void **state)
{
    struct keys open;
    char ticket[TICKET_CHARS + 1];
    struct peer p;

    (void)state;
    keys_init(&open, true);
    hf_hub_set_auth(place.hub[0], open.auth);
    come(&p, 0, NULL, "");
    peer_ticket(&p, ticket);
    leave(&p);
    come(&p, 0, token_of("alice", 0), ticket);
    assert_true(got(&p, "\"resumed\":false"));
    leave(&p);
    come(&p, 0, NULL, ticket);
    assert_true(got(&p, "\"resumed\":true"));
    leave(&p);
    come(&p, 0, token_of("alice", 0), "");
    peer_ticket(&p, ticket);
    leave(&p);
    come(&p, 0, NULL, ticket);
    assert_true(got(&p, "\"resumed\":false"));
    leave(&p);
    hf_hub_set_auth(place.hub[0], keys.auth);
    keys_release(&open);
}

/* What a token tells about its user can be read by each worker, and a fresh one replaces it. */
static void the_session_remembers_user_and_info(void **state)
{
    struct hf_session *s;
    struct hf_buf user, info;
    struct peer p;

    (void)state;
    hf_buf_init(&user, 1000);
    hf_buf_init(&info, 2000);
    come(&p, 0, token_with(&keys, "{\"sub\":\"alice\",\"info\":{\"n\": 1}}"), "");
    s = p.conn->session;
    assert_int_equal(hf_session_identity(&place.hub[1]->sessions, s, &user, &info), 0);
    assert_true(hf_str_eq(hf_buf_str(&user), HF_STR("alice")));
    assert_true(hf_str_eq(hf_buf_str(&info), HF_STR("{\"n\":1}")));
    say(&p, refresh_with(token_with(&keys, "{\"sub\":\"alice\",\"info\":2}")));
    assert_int_equal(hf_session_identity(&place.hub[1]->sessions, s, &user, &info), 0);
    assert_true(hf_str_eq(hf_buf_str(&info), HF_STR("2")));
    leave(&p);
    hf_buf_release(&user);
    hf_buf_release(&info);
}

/* "from: the publisher's user", whichever worker owns the channel, and only of those who have one. */
static void what_is_published_says_from_whom(void **state)
{
    struct peer p;

    (void)state;
    for (char name = 'a'; name < 'i'; name++) { /* Of eight channels both workers have some. */
        char text[128], want[64];

        come(&p, 0, token_of("al\\\"ice", 0), "");
        snprintf(text, sizeof(text), "{\"type\":\"subscribe\",\"channel\":\"%c\"}", name);
        say(&p, text);
        snprintf(text, sizeof(text),
                 "{\"type\":\"data\",\"channel\":\"%c\",\"payload\":1,\"seq\":1,\"id\":\"x\"}", name);
        say(&p, text);
        snprintf(want, sizeof(want), "\"from\":\"al\\\"ice\"");
        assert_true(got(&p, want) && got(&p, "\"id\":\"x\"") && got(&p, "\"payload\":1"));
        forget(&p);
        if (hf_region_owner(&place.region, hf_channel_shard(hf_channel_hash((struct hf_str){&name, 1}), 2)) ==
            0) {
            char channel[2] = {name, '\0'};

            publish_text(place.hub[0], channel, "2");
            settle(&place);
            assert_true(got(&p, "\"payload\":2"));
            assert_false(got(&p, "\"from\""));
        }
        leave(&p);
    }
}

/* Where there is no room for another user, he is told to come again, and no session is left over. */
static void without_room_for_its_user_a_session_is_not_made(void **state)
{
    struct hf_sessions *t = &place.hub[0]->sessions;
    uint8_t random[20] = {1};
    struct hf_session *greedy = hf_sessions_add(t, random);
    struct peer p;

    (void)state;
    for (uint64_t cid = 1; hf_session_sub_add(t, greedy, cid, 0, place.now.mono_ms) != NULL; cid++)
        continue;
    come(&p, 0, token_of("alice", 0), "");
    assert_true(got(&p, "HTTP/1.1 503 "));
    assert_int_equal(counted(&place, 0, HF_COUNT_REFUSED_SESSIONS), 1);
    leave(&p);
    for (uint64_t cursor = 0;;) {
        struct hf_session *s = hf_sessions_next(t, &cursor);

        if (s == NULL)
            break;
        assert_true(s == greedy || hf_state_phase(atomic_load(&s->state)) == HF_SESSION_ENDED);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_token_comes_in_three_ways),
        TEST(without_a_good_token_nobody_comes_in),
        TEST(a_browser_is_told_by_close_4002),
        TEST(a_page_of_another_origin_is_refused),
        TEST(an_echo_asks_for_a_token_too),
        TEST(anonymous_ones_come_in_where_it_is_said),
        TEST(a_connection_ends_with_its_token),
        TEST(a_clock_that_is_set_back_gives_time),
        TEST(a_fresh_token_takes_the_old_ones_place),
        TEST(the_last_token_counts),
        TEST(a_bad_fresh_token_leaves_the_old_one),
        TEST(connections_of_a_key_that_is_gone_end),
        TEST(a_key_that_is_still_there_ends_nobody),
        TEST(a_token_of_a_key_that_counts_saves_the_connection),
        TEST(a_session_is_resumed_by_its_user_alone),
        TEST(a_stranger_takes_nobodys_connection),
        TEST(nobody_changes_who_he_is_by_a_resume),
        TEST(the_session_remembers_user_and_info),
        TEST(what_is_published_says_from_whom),
        TEST(without_room_for_its_user_a_session_is_not_made),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
