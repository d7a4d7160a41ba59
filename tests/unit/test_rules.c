/*
 * test_rules.c - namespaces at work in a hub: what each user gets and is told, the limits of a channel, and what happens to publishes and subscriptions when rules change.
 */
#include "server/hub.h"

#include "server/logger.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "hub_fixture.h"
#include "hub_peer.h"

static struct place place;

static struct hf_namespace *add(const char *pattern)
{
    struct hf_namespace *ns;
    const char *why;

    if (hf_namespaces_add(&place.config.namespaces, hf_str_from(pattern), &ns, &why) < 0)
        fail_msg("%s: %s", pattern, why);
    return ns;
}

static void allow(struct hf_namespace *ns, enum hf_right right, const char *rule)
{
    const char *why;

    if (hf_namespace_allow(&place.config.namespaces, ns, right, hf_str_from(rule), &why) < 0)
        fail_msg("%s: %s", rule, why);
}

static struct hf_namespace *add_open(const char *pattern)
{
    struct hf_namespace *ns = add(pattern);

    for (enum hf_right right = 0; right < HF_RIGHTS; right++)
        allow(ns, right, "all");
    return ns;
}

static int begin(void **state)
{
    (void)state;
    place_init(&place, 2);
    hub_start(&place, 0, &transport);
    hub_start(&place, 1, &transport);
    return 0;
}

static int end(void **state)
{
    (void)state;
    place_release(&place);
    return 0;
}

static void say(struct peer *p, const char *text)
{
    peer_say(&place, p, text);
    settle(&place);
}

static void ask(struct peer *p, const char *type, const char *channel, const char *more)
{
    char text[512];

    snprintf(text, sizeof(text), "{\"type\":\"%s\",\"channel\":\"%s\"%s}", type, channel, more);
    say(p, text);
}

static void take_identity(struct peer *p, const char *claims)
{
    json_error_t error;
    json_t *json = json_loads(claims, 0, &error);
    const char *why;

    assert_non_null(json);
    hf_identity_drop(p->conn->identity);
    if (hf_identity_new(json, 0, &p->conn->identity, &why) < 0)
        fail_msg("%s", why);
    json_decref(json);
}

/* A connection of that user at worker 0; claims NULL: anonymous. */
static void come(struct peer *p, const char *claims)
{
    peer_open(p, &place, 0, "");
    if (claims != NULL)
        take_identity(p, claims);
    hf_buf_reset(&p->got);
}

static void leave(struct peer *p)
{
    peer_end(p, &place);
}

static uint64_t counter(enum hf_counter which)
{
    return counted(&place, 0, which) + counted(&place, 1, which);
}

static bool channel_exists(const char *name)
{
    return hf_hub_find_channel(place.hub[0], hf_str_from(name)) != NULL;
}

static struct hf_hub *owner_of(const char *channel)
{
    return place
        .hub[hf_region_owner(&place.region, hf_channel_shard(hf_channel_hash(hf_str_from(channel)), 2))];
}

/* ---- Who may ---- */

/* Anonymous, Alice, Bob with a claim: for each a channel and what may be done there: s, p, h, each + or -. */
static void each_user_gets_what_the_rules_give(void **state)
{
    static const char *const claims[] = {
        NULL, "{\"sub\":\"alice\"}",
        "{\"sub\":\"bob\",\"channels\":{\"publish\":\"room:*\",\"history\":true}}"};
    static const struct {
        const char *channel, *rights[3];
    } rows[] = {
        {"open:1", {"+++", "+++", "+++"}},    {"closed:1", {"---", "---", "---"}},
        {"users:1", {"+--", "+++", "+++"}},   {"inbox:alice", {"---", "+-+", "---"}},
        {"inbox:bob", {"---", "---", "+-+"}}, {"inbox:bob:1", {"---", "---", "---"}},
        {"room:1", {"+--", "+--", "+++"}},    {"other", {"---", "---", "---"}},
        {"news", {"+-+", "+-+", "+-+"}},
    };
    struct hf_namespace *ns;

    (void)state;
    add_open("open:*");
    add("closed:*");
    ns = add("users:*");
    allow(ns, HF_RIGHT_SUBSCRIBE, "all");
    allow(ns, HF_RIGHT_PUBLISH, "user");
    allow(ns, HF_RIGHT_HISTORY, "user");
    ns = add("inbox:*");
    allow(ns, HF_RIGHT_SUBSCRIBE, "inbox:${user}");
    allow(ns, HF_RIGHT_HISTORY, "inbox:${user}");
    ns = add("room:*");
    allow(ns, HF_RIGHT_SUBSCRIBE, "all");
    allow(ns, HF_RIGHT_PUBLISH, "claim");
    allow(ns, HF_RIGHT_HISTORY, "claim:channels");
    ns = add("news");
    allow(ns, HF_RIGHT_SUBSCRIBE, "all");
    allow(ns, HF_RIGHT_HISTORY, "all");
    for (size_t user = 0; user < 3; user++)
        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
            char found[4] = "???";
            struct peer p;

            come(&p, claims[user]);
            ask(&p, "subscribe", rows[i].channel, "");
            found[0] = got(&p, "\"type\":\"subscribed\"") ? '+' : got(&p, "\"type\":\"error\"") ? '-' : '?';
            ask(&p, "data", rows[i].channel, ",\"seq\":1,\"payload\":1");
            found[1] = got(&p, "\"type\":\"nack\",\"seq\":1,\"code\":\"forbidden\"") ? '-'
                       : got(&p, "\"type\":\"ack\",\"seq\":1")                       ? '+'
                                                                                     : '?';
            ask(&p, "history", rows[i].channel, ",\"id\":\"h\"");
            found[2] = got(&p, "\"type\":\"history\"") ? '+' : got(&p, "\"re\":\"history\"") ? '-' : '?';
            if (strcmp(found, rows[i].rights[user]) != 0)
                fail_msg("user %zu, %s: %s\n%s", user, rows[i].channel, found, text_of(&p));
            assert_int_equal(times(&p, "\"code\":\"forbidden\""),
                             (found[0] == '-') + (found[1] == '-') + (found[2] == '-'));
            leave(&p);
        }
    assert_false(channel_exists("closed:1")); /* What is refused leaves nothing behind. */
    assert_false(channel_exists("other"));
    assert_true(counter(HF_COUNT_FORBIDDEN_SUBSCRIBE) > 0);
    assert_true(counter(HF_COUNT_FORBIDDEN_PUBLISH) > 0);
    assert_true(counter(HF_COUNT_FORBIDDEN_HISTORY) > 0);
}

/* Among the answers to the session's publishes each has its turn, whichever worker owns the channel. */
static void a_forbidden_publish_is_answered_in_its_turn(void **state)
{
    struct peer p;
    const char *at = NULL;
    char text[128];

    (void)state;
    add_open("open:*");
    come(&p, NULL);
    for (int seq = 1; seq <= 12; seq++) {
        snprintf(text, sizeof(text), "{\"type\":\"data\",\"channel\":\"%s:%d\",\"seq\":%d,\"payload\":1}",
                 seq % 3 == 0 ? "closed" : "open", seq, seq);
        peer_say(&place, &p, text);
    }
    settle(&place);
    for (int seq = 1; seq <= 12; seq++) {
        snprintf(text, sizeof(text), "{\"type\":\"nack\",\"seq\":%d,\"code\":\"forbidden\"", seq);
        assert_int_equal(times(&p, text), seq % 3 == 0);
        if (seq % 3 != 0)
            continue;
        assert_true(at == NULL ||
                    strstr(text_of(&p), text) > at); /* "A nack comes before the ack that covers it." */
        at = strstr(text_of(&p), text);
    }
    assert_non_null(strstr(at, "\"type\":\"ack\",\"seq\":12"));
    assert_int_equal(atomic_load(&p.conn->session->last_seq), 12);
    assert_int_equal(counter(HF_COUNT_PUBLISHES), 8);
    assert_int_equal(counter(HF_COUNT_PUBLISHES_REFUSED), 4);
    /* Sent again it counts as done. */
    ask(&p, "data", "closed:3", ",\"seq\":3,\"payload\":1");
    assert_int_equal(counter(HF_COUNT_PUBLISHES_REFUSED), 4);
    /* Without seq: a nack by its id, or an error. */
    ask(&p, "data", "closed:1", ",\"id\":\"x\",\"payload\":1");
    assert_true(got(&p, "\"type\":\"nack\",\"id\":\"x\",\"code\":\"forbidden\""));
    ask(&p, "data", "closed:1", ",\"payload\":1");
    assert_true(got(&p, "\"re\":\"data\""));
    assert_false(channel_exists("closed:1"));
    leave(&p);
}

/* It was taken when it was allowed, and may be in its log: it is acknowledged, and applied once. */
static void what_was_taken_before_the_rules_changed_is_not_refused(void **state)
{
    struct peer p, again;
    char ticket[96] = "";
    const char *at;

    (void)state;
    for (int i = 1; i <= 6; i++) {
        char name[8];

        snprintf(name, sizeof(name), "c%d", i);
        publish_text(owner_of(name), name, "0");
    }
    peer_open(&p, &place, 0, "");
    at = strstr(text_of(&p), "\"ticket\":\"");
    assert_non_null(at);
    snprintf(ticket, sizeof(ticket), "%.*s", (int)strcspn(at + 10, "\""), at + 10);
    for (int seq = 1; seq <= 6; seq++) { /* Some go to the other worker, which has no turn. */
        char text[128];

        snprintf(text, sizeof(text), "{\"type\":\"data\",\"channel\":\"c%d\",\"seq\":%d,\"payload\":1}", seq,
                 seq);
        peer_say(&place, &p, text);
    }
    hf_hub_lost(p.conn, true, place.now);
    settle(&place);
    add_open("open:*"); /* All others are closed now. */
    hf_rules_changed(place.hub[0]);
    settle(&place);
    peer_open(&again, &place, 0, ticket);
    assert_true(got(&again, "\"resumed\":true"));
    for (int seq = 1; seq <= 7; seq++) {
        char text[128];

        snprintf(text, sizeof(text), "{\"type\":\"data\",\"channel\":\"c%d\",\"seq\":%d,\"payload\":1}", seq,
                 seq);
        say(&again, text);
    }
    assert_int_equal(counter(HF_COUNT_PUBLISHES), 6 + 6);
    assert_true(got(&again, "\"type\":\"ack\",\"seq\":6"));
    assert_int_equal(times(&again, "\"type\":\"nack\""), 1); /* 7, which is new */
    assert_true(got(&again, "\"type\":\"nack\",\"seq\":7,\"code\":\"forbidden\""));
    hf_buf_release(&p.got);
    leave(&again);
}

/* ---- What is past, without the right to it ---- */

static void without_the_right_history_is_empty(void **state)
{
    struct hf_namespace *ns = add("quiet:*");
    struct peer p;

    (void)state;
    allow(ns, HF_RIGHT_SUBSCRIBE, "all");
    for (int i = 0; i < 5; i++)
        publish_text(owner_of("quiet:1"), "quiet:1", "\"secret\"");
    come(&p, NULL);
    ask(&p, "subscribe", "quiet:1", ",\"last\":3");
    assert_true(got(&p, "\"code\":\"forbidden\""));
    assert_false(got(&p, "subscribed"));
    /* "since": it is subscribed, and told what it cannot have. */
    ask(&p, "subscribe", "quiet:1", ",\"since\":{\"epoch\":\"x\",\"offset\":2}");
    assert_true(got(&p, "\"type\":\"subscribed\""));
    assert_true(got(&p, "\"recovered\":false"));
    assert_false(got(&p, "secret"));
    ask(&p, "sync_request", "quiet:1", ",\"offset\":0");
    assert_false(got(&p, "secret"));
    ask(&p, "subscribe", "quiet:1", ",\"since\":{\"epoch\":\"x\",\"offset\":0}");
    ask(&p, "subscribe", "quiet:1", ",\"last\":1");
    assert_false(got(&p, "secret"));
    /* What comes now is for it, and may be asked for again until it is acknowledged. */
    publish_text(owner_of("quiet:1"), "quiet:1", "\"new\"");
    settle(&place);
    assert_int_equal(times(&p, "\"new\""), 1);
    ask(&p, "sync_request", "quiet:1", ",\"offset\":0");
    assert_int_equal(times(&p, "\"new\""), 2);
    ask(&p, "ack", "quiet:1", ",\"offset\":6");
    ask(&p, "sync_request", "quiet:1", ",\"offset\":0");
    assert_int_equal(times(&p, "\"new\""), 2);
    assert_false(got(&p, "secret"));
    leave(&p);
}

static void with_the_right_it_is_not(void **state)
{
    struct peer p;

    (void)state;
    add_open("*");
    for (int i = 0; i < 5; i++)
        publish_text(owner_of("a"), "a", "\"told\"");
    come(&p, NULL);
    ask(&p, "subscribe", "a", ",\"last\":3");
    assert_int_equal(times(&p, "\"told\""), 3);
    ask(&p, "sync_request", "a", ",\"offset\":0");
    assert_int_equal(times(&p, "\"told\""), 3 + 5);
    leave(&p);
}

/* ---- Limits and options ---- */

static void each_namespace_has_its_own_history(void **state)
{
    struct peer p;

    (void)state;
    place.config.history_messages = 4;
    add_open("few:*")->history_messages = 2;
    add_open("many:*")->history_messages = 8;
    add_open("small:*")->history_bytes = 9; /* three of three bytes */
    add_open("none:*")->history_messages = 0;
    add_open("short:*")->history_age_ms = 1000;
    add_open("*");
    come(&p, NULL);
    for (int i = 0; i < 10; i++) {
        static const char *const names[] = {"few:1", "many:1", "small:1", "none:1", "short:1", "else"};

        if (i == 7)
            place.now.wall_ms += 1500;
        settle(&place);
        for (size_t n = 0; n < sizeof(names) / sizeof(names[0]); n++)
            publish_text(owner_of(names[n]), names[n], "999");
    }
    settle(&place);
    hf_buf_reset(&p.got);
    ask(&p, "history", "few:1", ",\"id\":\"h\"");
    assert_int_equal(times(&p, "\"payload\":999"), 2);
    ask(&p, "history", "many:1", ",\"id\":\"h\"");
    assert_int_equal(times(&p, "\"payload\":999"), 2 + 8);
    ask(&p, "history", "small:1", ",\"id\":\"h\"");
    assert_int_equal(times(&p, "\"payload\":999"), 10 + 3);
    ask(&p, "history", "none:1", ",\"id\":\"h\"");
    assert_int_equal(times(&p, "\"payload\":999"), 13);
    ask(&p, "history", "short:1", ",\"id\":\"h\"");
    assert_int_equal(times(&p, "\"payload\":999"), 13 + 3);
    ask(&p, "history", "else", ",\"id\":\"h\"");
    assert_int_equal(times(&p, "\"payload\":999"), 16 + 4);
    ask(&p, "subscribe", "few:1", ",\"last\":5");
    assert_int_equal(times(&p, "\"payload\":999"), 20 + 2);
    assert_int_equal(hf_rules_history_age_max(&place.config), 600000);
    add("old:*")->history_age_ms = 3600000;
    assert_int_equal(hf_rules_history_age_max(&place.config), 3600000);
    leave(&p);
}

static void a_namespaces_mode_is_that_of_whoever_names_none(void **state)
{
    struct peer p;

    (void)state;
    add_open("quotes:*")->mode = HF_NAMESPACE_LATEST;
    add_open("*");
    publish_text(owner_of("quotes:1"), "quotes:1", "1");
    publish_text(owner_of("quotes:2"), "quotes:2", "2");
    come(&p, NULL);
    ask(&p, "subscribe", "quotes:1", "");
    assert_true(hf_sub_find(p.conn, HF_STR("quotes:1"))->latest);
    assert_true(atomic_load(&hf_sub_find(p.conn, HF_STR("quotes:1"))->cell->cid) & HF_SUB_LATEST);
    assert_true(got(&p, "\"payload\":1")); /* "the newest value at once" */
    ask(&p, "subscribe", "quotes:2", ",\"mode\":\"all\"");
    assert_false(hf_sub_find(p.conn, HF_STR("quotes:2"))->latest);
    assert_false(got(&p, "\"payload\":2"));
    ask(&p, "subscribe", "quotes:2", ""); /* Asked again without a mode it keeps the one it has. */
    assert_false(hf_sub_find(p.conn, HF_STR("quotes:2"))->latest);
    ask(&p, "subscribe", "other", "");
    assert_false(hf_sub_find(p.conn, HF_STR("other"))->latest);
    leave(&p);
}

static void note(void *ctx, const struct hf_service_result *result)
{
    *(struct hf_service_result *)ctx = *result;
}

static enum hf_code backend_publishes(const char *channel, const char *payload)
{
    struct hf_service_result result = {.code = HF_CODE_TIMEOUT};

    hf_service_publish(
        owner_of(channel),
        &(struct hf_service_publish){.channel = hf_str_from(channel), .payload = hf_str_from(payload)}, note,
        &result);
    return result.code;
}

static void a_namespace_bounds_the_size_of_messages(void **state)
{
    struct peer p;

    (void)state;
    add_open("small:*")->message_bytes_max = 16;
    add_open("*");
    add("closed:*");
    come(&p, NULL);
    ask(&p, "data", "small:1", ",\"seq\":1,\"payload\":\"12345678901234\"");
    assert_true(got(&p, "\"type\":\"ack\",\"seq\":1"));
    ask(&p, "data", "small:1", ",\"seq\":2,\"payload\":\"123456789012345\"");
    assert_true(got(&p, "\"type\":\"nack\",\"seq\":2,\"code\":\"too_large\""));
    ask(&p, "data", "other", ",\"seq\":3,\"payload\":\"123456789012345\"");
    assert_false(got(&p, "\"type\":\"nack\",\"seq\":3"));
    assert_int_equal(backend_publishes("small:1", "\"12345678901234\""), HF_CODE_NONE);
    assert_int_equal(backend_publishes("small:1", "\"123456789012345\""), HF_CODE_TOO_LARGE);
    assert_int_equal(backend_publishes("closed:1", "1"), HF_CODE_NONE); /* Rules bind clients only. */
    leave(&p);
}

/* Publish so often in each of two channels; how many of each are refused? */
static void publish_both(struct peer *p, uint64_t *seq, const char *a, const char *b, int count)
{
    for (int i = 0; i < 2 * count; i++) {
        char text[128];

        snprintf(text, sizeof(text), "{\"type\":\"data\",\"channel\":\"%s\",\"seq\":%llu,\"payload\":1}",
                 i % 2 == 0 ? a : b, (unsigned long long)++*seq);
        peer_say(&place, p, text);
    }
    settle(&place);
}

static void each_namespace_has_its_own_rate(void **state)
{
    struct hf_namespace *ns = add_open("slow:*");
    struct peer p, q;
    uint64_t seq = 0, seq_q = 0;

    (void)state;
    ns->publish_rate = 1;
    ns->publish_burst = 3;
    add_open("*");
    add_open("fast:*")->publish_rate = 10;
    come(&p, NULL);
    publish_both(&p, &seq, "slow:1", "other", 8);
    assert_int_equal(times(&p, "rate_limited"), 5); /* of slow:1 */
    publish_both(&p, &seq, "slow:2", "fast:1", 10); /* The bucket is the namespace's, not the channel's. */
    assert_int_equal(times(&p, "rate_limited"), 5 + 10);
    come(&q, NULL); /* And the session's. */
    publish_both(&q, &seq_q, "slow:1", "other", 4);
    assert_int_equal(times(&q, "rate_limited"), 1);
    place.now.mono_ms += 2000;
    settle(&place);
    publish_both(&p, &seq, "slow:1", "fast:1", 3);
    assert_int_equal(times(&p, "rate_limited"), 15 + 1); /* Two tokens in two seconds. */
    assert_true(place.hub[0]->paces.full_us.count > 0);
    place.now.mono_ms += 10000;
    settle(&place);
    assert_int_equal(place.hub[0]->paces.full_us.count, 0);
    leave(&p);
    leave(&q);
}

/*
 * Under the seq of a publish that an earlier connection has taken nothing comes in that is forbidden: that it is the same publish only the client says. Whichever worker owns the channel,
 * it is refused where its shard has not applied it, and what is behind it goes on.
 */
static void a_taken_seq_opens_no_closed_channel(void **state)
{
    struct peer p, again;
    char ticket[96] = "", text[128];
    const char *at;

    (void)state;
    add_open("open:*");
    peer_open(&p, &place, 0, "");
    at = strstr(text_of(&p), "\"ticket\":\"");
    assert_non_null(at);
    snprintf(ticket, sizeof(ticket), "%.*s", (int)strcspn(at + 10, "\""), at + 10);
    hf_session_take_seq(p.conn->session, 6); /* Taken, and lost on the way to their shards. */
    hf_hub_lost(p.conn, true, place.now);
    settle(&place);
    peer_open(&again, &place, 0, ticket);
    assert_true(got(&again, "\"resumed\":true"));
    for (int seq = 1; seq <= 6; seq++) {
        snprintf(text, sizeof(text), "{\"type\":\"data\",\"channel\":\"%s:%d\",\"seq\":%d,\"payload\":1}",
                 seq < 6 ? "closed" : "open", seq, seq);
        say(&again, text);
    }
    assert_int_equal(counter(HF_COUNT_PUBLISHES), 1);
    assert_int_equal(times(&again, "\"type\":\"nack\""), 5);
    assert_true(got(&again, "\"type\":\"ack\",\"seq\":6,\"offsets\":[1]"));
    for (int seq = 1; seq <= 5; seq++) {
        snprintf(text, sizeof(text), "closed:%d", seq);
        assert_false(channel_exists(text));
    }
    hf_buf_release(&p.got);
    leave(&again);
}

/* ---- Changes ---- */

static void replace_rules(const char *open)
{
    memset(&place.config.namespaces, 0, sizeof(place.config.namespaces));
    add_open(open);
    hf_rules_changed(place.hub[0]);
    hf_rules_changed(place.hub[1]);
}

static void subscriptions_end_when_the_rules_allow_them_no_longer(void **state)
{
    struct peer p, q;

    (void)state;
    come(&p, NULL);
    come(&q, NULL);
    ask(&p, "subscribe", "a:1", "");
    ask(&p, "subscribe", "b:1", "");
    ask(&p, "subscribe", "b:2", "");
    ask(&q, "subscribe", "b:1", "");
    atomic_fetch_or(&hf_sub_find(p.conn, HF_STR("b:2"))->cell->cid,
                    HF_SUB_GRANTED); /* as the backend makes one */
    replace_rules("a:*");
    settle(&place);
    assert_int_equal(times(&p, "{\"type\":\"unsubscribed\",\"channel\":\"b:1\",\"code\":\"forbidden\""), 1);
    assert_int_equal(times(&q, "{\"type\":\"unsubscribed\",\"channel\":\"b:1\",\"code\":\"forbidden\""), 1);
    assert_int_equal(times(&p, "unsubscribed"), 1);
    assert_int_equal(p.conn->sub_count, 2);
    assert_int_equal(q.conn->sub_count, 0);
    assert_int_equal(backend_publishes("b:1", "\"to nobody\""), HF_CODE_NONE);
    assert_int_equal(backend_publishes("b:2", "\"to p\""), HF_CODE_NONE);
    assert_int_equal(backend_publishes("a:1", "\"to p too\""), HF_CODE_NONE);
    settle(&place);
    assert_false(got(&p, "to nobody") || got(&q, "to nobody"));
    assert_true(got(&p, "to p") && got(&p, "to p too"));
    assert_int_equal(counter(HF_COUNT_SUBSCRIPTIONS_ENDED_RULES), 2);
    /* Without namespaces all is open again; what has ended stays so until it is asked for. */
    memset(&place.config.namespaces, 0, sizeof(place.config.namespaces));
    hf_rules_changed(place.hub[0]);
    settle(&place);
    assert_int_equal(p.conn->sub_count, 2);
    ask(&q, "subscribe", "b:1", "");
    assert_int_equal(q.conn->sub_count, 1);
    leave(&p);
    leave(&q);
}

static void another_identity_ends_what_it_does_not_give(void **state)
{
    struct peer p;
    struct hf_namespace *ns = add("*");

    (void)state;
    allow(ns, HF_RIGHT_SUBSCRIBE, "claim");
    come(&p, "{\"sub\":\"al\",\"channels\":[\"a\",\"b\"]}");
    ask(&p, "subscribe", "a", "");
    ask(&p, "subscribe", "b", "");
    assert_int_equal(p.conn->sub_count, 2);
    take_identity(&p, "{\"sub\":\"al\",\"channels\":\"b\"}");
    hf_rules_enforce(p.conn);
    settle(&place);
    assert_int_equal(times(&p, "{\"type\":\"unsubscribed\",\"channel\":\"a\",\"code\":\"forbidden\""), 1);
    assert_int_equal(p.conn->sub_count, 1);
    leave(&p);
}

/* A session that waits finds out when it comes back, after its welcome and before any message. */
static void a_resumed_session_keeps_what_is_still_allowed(void **state)
{
    struct peer p, again;
    char ticket[96] = "";
    const char *at, *welcome, *ended;

    (void)state;
    peer_open(&p, &place, 0, "");
    at = strstr(text_of(&p), "\"ticket\":\"");
    assert_non_null(at);
    snprintf(ticket, sizeof(ticket), "%.*s", (int)strcspn(at + 10, "\""), at + 10);
    ask(&p, "subscribe", "a:1", "");
    ask(&p, "subscribe", "b:1", "");
    hf_hub_lost(p.conn, true, place.now);
    settle(&place);
    hf_buf_release(&p.got);
    replace_rules("a:*");
    settle(&place);
    assert_int_equal(backend_publishes("b:1", "\"secret\""), HF_CODE_NONE);
    assert_int_equal(backend_publishes("a:1", "\"missed\""), HF_CODE_NONE);
    peer_open(&again, &place, 0, ticket);
    settle(&place);
    welcome = strstr(text_of(&again), "\"resumed\":true");
    ended = strstr(text_of(&again), "{\"type\":\"unsubscribed\",\"channel\":\"b:1\",\"code\":\"forbidden\"");
    assert_non_null(welcome);
    assert_true(ended > welcome);
    assert_true(got(&again, "missed"));
    assert_false(got(&again, "secret"));
    assert_int_equal(again.conn->sub_count, 1);
    /* It is gone from the session too. */
    hf_hub_lost(again.conn, true, place.now);
    settle(&place);
    hf_buf_release(&again.got);
    peer_open(&again, &place, 0, ticket);
    assert_false(got(&again, "b:1"));
    leave(&again);
}

/* Of many subscriptions a part is looked at in each turn, so that messages go on; and the hub asks for turns until all are. */
static void many_subscriptions_are_looked_at_piece_by_piece(void **state)
{
    enum { PEERS = 200, CHANNELS = 60 };
    static struct peer peers[PEERS];
    uint32_t left = 0, turns = 0;

    (void)state;
    for (int i = 0; i < PEERS; i++) {
        come(&peers[i], NULL);
        for (int k = 0; k < CHANNELS; k++) {
            char text[64];

            snprintf(text, sizeof(text), "{\"type\":\"subscribe\",\"channel\":\"c%d\"}", k);
            peer_say(&place, &peers[i], text);
        }
    }
    for (int i = 0; i < CHANNELS; i++)
        settle(&place); /* A channel of the other worker is asked for one after the other. */
    for (int i = 0; i < PEERS; i++)
        assert_int_equal(peers[i].conn->sub_count, CHANNELS);
    replace_rules("a:*");
    turn(&place, 0);
    for (int i = 0; i < PEERS; i++)
        left += peers[i].conn->sub_count;
    assert_true(left > 0 && left < PEERS * CHANNELS);
    assert_true(hf_hub_deadline_ms(place.hub[0], place.now) == place.now.mono_ms);
    while (place.hub[0]->rules_walk.left && turns++ < 10)
        turn(&place, 0);
    assert_true(turns < 10);
    for (int i = 0; i < PEERS; i++) {
        assert_int_equal(peers[i].conn->sub_count, 0);
        turn(&place, 0);
        assert_int_equal(times(&peers[i], "\"code\":\"forbidden\""), CHANNELS);
        leave(&peers[i]);
    }
}

static int log_errors(void **state)
{
    (void)state;
    hf_logger_open(STDERR_FILENO, HF_LOG_ERROR, HF_LOG_LOGFMT);
    return 0;
}

static int close_log(void **state)
{
    (void)state;
    hf_logger_close();
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_user_gets_what_the_rules_give, begin, end),
        cmocka_unit_test_setup_teardown(a_forbidden_publish_is_answered_in_its_turn, begin, end),
        cmocka_unit_test_setup_teardown(what_was_taken_before_the_rules_changed_is_not_refused, begin, end),
        cmocka_unit_test_setup_teardown(a_taken_seq_opens_no_closed_channel, begin, end),
        cmocka_unit_test_setup_teardown(without_the_right_history_is_empty, begin, end),
        cmocka_unit_test_setup_teardown(with_the_right_it_is_not, begin, end),
        cmocka_unit_test_setup_teardown(each_namespace_has_its_own_history, begin, end),
        cmocka_unit_test_setup_teardown(a_namespaces_mode_is_that_of_whoever_names_none, begin, end),
        cmocka_unit_test_setup_teardown(a_namespace_bounds_the_size_of_messages, begin, end),
        cmocka_unit_test_setup_teardown(each_namespace_has_its_own_rate, begin, end),
        cmocka_unit_test_setup_teardown(subscriptions_end_when_the_rules_allow_them_no_longer, begin, end),
        cmocka_unit_test_setup_teardown(another_identity_ends_what_it_does_not_give, begin, end),
        cmocka_unit_test_setup_teardown(a_resumed_session_keeps_what_is_still_allowed, begin, end),
        cmocka_unit_test_setup_teardown(many_subscriptions_are_looked_at_piece_by_piece, begin, end),
    };

    return cmocka_run_group_tests(tests, log_errors, close_log);
}
