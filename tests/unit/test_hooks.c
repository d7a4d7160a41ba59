/*
 * test_hooks.c - the breaker, what is a valid answer of the backend, and a hub that asks a fake one.
 */
#include "server/backend.h"
#include "server/breaker.h"
#include "server/hook_answer.h"

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

/* ---- The breaker ---- */

enum { FAILURES = 3, PAUSE_MS = 1000 };

static enum hf_breaker_change let_fail(struct hf_breaker *b, uint64_t now_ms)
{
    return hf_breaker_failed(b, FAILURES, PAUSE_MS, now_ms);
}

static void open_breaker(struct hf_breaker *b, uint64_t now_ms)
{
    *b = (struct hf_breaker){.state = HF_BREAKER_CLOSED};
    for (int i = 1; i < FAILURES; i++) {
        assert_true(hf_breaker_admit(b, now_ms));
        assert_int_equal(let_fail(b, now_ms), HF_BREAKER_SAME);
    }
    assert_true(hf_breaker_admit(b, now_ms));
    assert_int_equal(let_fail(b, now_ms), HF_BREAKER_OPENED);
}

static void a_breaker_opens_after_failures_in_a_row(void **state)
{
    struct hf_breaker b = {.state = HF_BREAKER_CLOSED};

    (void)state;
    let_fail(&b, 0);
    let_fail(&b, 0);
    assert_int_equal(hf_breaker_answered(&b), HF_BREAKER_SAME); /* "in a row" */
    let_fail(&b, 0);
    let_fail(&b, 0);
    assert_false(hf_breaker_refuses(&b, 0));
    open_breaker(&b, 500);
    assert_true(hf_breaker_refuses(&b, 500 + PAUSE_MS - 1));
    assert_false(hf_breaker_admit(&b, 500 + PAUSE_MS - 1));
}

static void one_request_tries_behind_the_pause(void **state)
{
    struct hf_breaker b;

    (void)state;
    open_breaker(&b, 0);
    assert_false(hf_breaker_refuses(&b, PAUSE_MS));
    assert_true(hf_breaker_admit(&b, PAUSE_MS));
    assert_false(hf_breaker_admit(&b, PAUSE_MS)); /* The others wait for what becomes of it. */
    assert_int_equal(let_fail(&b, PAUSE_MS), HF_BREAKER_SAME);
    assert_true(hf_breaker_refuses(&b, 2 * PAUSE_MS - 1));
    assert_true(hf_breaker_admit(&b, 2 * PAUSE_MS));
    assert_int_equal(hf_breaker_answered(&b), HF_BREAKER_HAS_CLOSED);
    assert_true(hf_breaker_admit(&b, 2 * PAUSE_MS));
    assert_true(hf_breaker_admit(&b, 2 * PAUSE_MS));
}

/* Requests that had begun before it opened come to their end while it is open. */
static void late_results_count_too(void **state)
{
    struct hf_breaker b;

    (void)state;
    open_breaker(&b, 0);
    assert_int_equal(let_fail(&b, 500), HF_BREAKER_SAME);
    assert_false(hf_breaker_refuses(&b, PAUSE_MS)); /* A failure does not make the pause longer. */
    assert_int_equal(hf_breaker_answered(&b), HF_BREAKER_HAS_CLOSED);
    assert_false(hf_breaker_refuses(&b, 0));
}

/* ---- Answers ---- */

struct answer_case {
    enum hf_hook hook;
    int status;
    const char *body;
    bool valid, allowed;
    const char *label;
};

static void which_answers_are_valid(void **state)
{
    static const struct answer_case cases[] = {
        {HF_HOOK_PUBLISH, 200, "{\"allow\":true}", true, true, NULL},
        {HF_HOOK_PUBLISH, 200, " {\"more\":[1], \"\\u0061llow\" : true} ", true, true, NULL},
        {HF_HOOK_PUBLISH, 200, "{\"allow\":false}", true, false, "forbidden"},
        {HF_HOOK_PUBLISH, 200, "{\"allow\":false,\"code\":null,\"reason\":null}", true, false, "forbidden"},
        {HF_HOOK_PUBLISH, 200, "{\"allow\":false,\"code\":\"rate\\u005flimited\"}", true, false,
         "rate_limited"},
        {HF_HOOK_SUBSCRIBE, 200, "{\"allow\":false,\"code\":\"not_found\",\"reason\":\"x\"}", true, false,
         "not_found"},
        {HF_HOOK_SUBSCRIBE, 200, "{\"allow\":false,\"code\":\"my_own\"}", false, false, NULL},
        {HF_HOOK_SUBSCRIBE, 200, "{\"allow\":false,\"code\":\"evicted\"}", false, false, NULL},
        {HF_HOOK_SUBSCRIBE, 200, "{\"allow\":false,\"code\":5}", false, false, NULL},
        {HF_HOOK_SUBSCRIBE, 200, "{\"allow\":false,\"reason\":\"\"}", false, false, NULL},
        {HF_HOOK_SUBSCRIBE, 200, "{\"allow\":false,\"reason\":\"a\\u0000b\"}", false, false, NULL},
        {HF_HOOK_SUBSCRIBE, 200, "{\"allow\":\"true\"}", false, false, NULL},
        {HF_HOOK_SUBSCRIBE, 200, "{\"allow\":1}", false, false, NULL},
        {HF_HOOK_SUBSCRIBE, 200, "{\"allow\":null}", false, false, NULL},
        {HF_HOOK_SUBSCRIBE, 200, "{}", false, false, NULL},
        {HF_HOOK_SUBSCRIBE, 200, "true", false, false, NULL},
        {HF_HOOK_SUBSCRIBE, 200, "", false, false, NULL},
        {HF_HOOK_SUBSCRIBE, 200, "{\"allow\":true,\"allow\":true}", false, false, NULL},
        {HF_HOOK_SUBSCRIBE, 200, "{\"allow\":true", false, false, NULL},
        {HF_HOOK_SUBSCRIBE, 204, "{\"allow\":true}", false, false, NULL},
        {HF_HOOK_SUBSCRIBE, 500, "{\"allow\":true}", false, false, NULL},
        {HF_HOOK_CONNECT, 200,
         "{\"allow\":true,\"user\":\"a\",\"info\":{},\"claims\":{\"r\":1},\"channels\":[\"c\"]}", true, true,
         NULL},
        {HF_HOOK_CONNECT, 200, "{\"allow\":true,\"user\":\"\"}", false, false, NULL},
        {HF_HOOK_CONNECT, 200, "{\"allow\":true,\"user\":\"\\ud800\"}", false, false, NULL},
        {HF_HOOK_CONNECT, 200, "{\"allow\":true,\"claims\":[]}", false, false, NULL},
        {HF_HOOK_CONNECT, 200, "{\"allow\":true,\"channels\":\"c\"}", false, false, NULL},
        {HF_HOOK_CALL, 200, "{\"payload\":null}", true, true, NULL},
        {HF_HOOK_CALL, 200, "{\"code\":\"my_own\",\"reason\":\"r\"}", true, false, "my_own"},
        {HF_HOOK_CALL, 200, "{\"reason\":\"r\"}", false, false, NULL},
        {HF_HOOK_CALL, 200, "{\"payload\":1,\"code\":\"x\"}", false, false, NULL},
        {HF_HOOK_CALL, 200, "{\"payload\":1,\"code\":null}", true, true, NULL},
    };
    char body[256];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct answer_case *k = &cases[i];
        struct hf_hook_answer a;
        const char *why = NULL;
        int err;

        snprintf(body, sizeof(body), "%s", k->body);
        err = hf_hook_answer_read(&a, k->hook, k->status, hf_str_from(body), &why);
        if ((err == 0) != k->valid || (k->valid && a.allowed != k->allowed))
            fail_msg("%s: err %d, allowed %d, %s", k->body, err, a.allowed, why == NULL ? "" : why);
        if (!k->valid)
            assert_non_null(why);
        if (k->label != NULL)
            assert_true(hf_str_eq(a.label, hf_str_from(k->label)));
        if (k->valid && !k->allowed)
            assert_true(a.reason.len > 0);
    }
}

static void channels_of_an_answer(void **state)
{
    char body[] = "{\"allow\":true,\"channels\":[\"a\",\"\\u0062\",7]}";
    struct hf_hook_answer a;
    struct hf_str channel;
    const char *why;

    (void)state;
    assert_int_equal(hf_hook_answer_read(&a, HF_HOOK_CONNECT, 200, hf_str_from(body), &why), 0);
    assert_int_equal(hf_hook_answer_channel(&a.channels, &channel), 1);
    assert_true(hf_str_eq(channel, HF_STR("a")));
    assert_int_equal(hf_hook_answer_channel(&a.channels, &channel), 1);
    assert_true(hf_str_eq(channel, HF_STR("b")));
    assert_int_equal(hf_hook_answer_channel(&a.channels, &channel), HF_EBADMSG);
}

/* ---- A hub and a fake backend ---- */

enum { REQUESTS_MAX = 64, BODY_MAX = 512 };

/* Notes what it is asked, and answers when the test says so. */
static struct fake {
    enum hf_backend_outcome outcome; /* of start() */
    unsigned count, complaints;
    struct {
        enum hf_hook hook;
        uint64_t token;
        char body[BODY_MAX];
    } requests[REQUESTS_MAX];
} fake;

static enum hf_backend_outcome fake_start(void *ctx, const struct hf_backend_request *request)
{
    (void)ctx;
    assert_true(fake.count < REQUESTS_MAX && request->body.len < BODY_MAX);
    if (fake.outcome != HF_BACKEND_STARTED)
        return fake.outcome;
    fake.requests[fake.count].hook = request->hook;
    fake.requests[fake.count].token = request->token;
    snprintf(fake.requests[fake.count++].body, BODY_MAX, "%.*s", (int)request->body.len, request->body.data);
    return HF_BACKEND_STARTED;
}

static void fake_complain(void *ctx, enum hf_hook hook, const char *why)
{
    (void)ctx;
    (void)hook;
    assert_non_null(why);
    fake.complaints++;
}

static bool fake_has_room(void *ctx)
{
    (void)ctx;
    return true;
}

static const struct hf_backend fake_backend = {
    .start = fake_start, .has_room = fake_has_room, .complain = fake_complain};

static struct place place;

/* A hub that asks for these hooks. */
static void begin(unsigned hooks)
{
    place_init(&place, 1);
    fake = (struct fake){.outcome = HF_BACKEND_STARTED};
    for (int hook = 0; hook < HF_HOOKS; hook++)
        if (hooks & 1u << hook)
            snprintf(place.config.hooks.url[hook], HF_URL_MAX, "http://backend/");
    hub_start(&place, 0, &transport);
    hf_hub_set_backend(place.hub[0], &fake_backend);
}

/* A connection; ticket "": without one. What the one before it in this place got is forgotten. */
static void come(struct peer *p, const char *ticket)
{
    hf_buf_release(&p->got);
    peer_open(p, &place, 0, ticket);
}

static void say(struct peer *p, const char *text)
{
    peer_say(&place, p, text);
    turn(&place, 0);
}

static void answer(unsigned request, enum hf_backend_outcome outcome, const char *body)
{
    char text[BODY_MAX];
    struct hf_backend_answer a = {outcome, 200, {NULL, 0}};

    snprintf(text, sizeof(text), "%s", body);
    a.body = hf_str_from(text);
    hf_hub_backend_answered(place.hub[0], fake.requests[request].token, &a, place.now);
    turn(&place, 0);
}

#define ONLY(hook) (1u << HF_HOOK_##hook)

static void calls_are_answered_in_any_order(void **state)
{
    static struct peer p;

    (void)state;
    begin(ONLY(CALL));
    come(&p, "");
    say(&p, "{\"type\":\"call\",\"id\":\"a\",\"method\":\"m\",\"payload\":[1.50]}");
    say(&p, "{\"type\":\"call\",\"id\":\"b\",\"method\":\"m\",\"payload\":2}");
    assert_int_equal(fake.count, 2);
    assert_non_null(strstr(fake.requests[0].body, ",\"method\":\"m\",\"payload\":[1.50]}"));
    assert_non_null(strstr(fake.requests[0].body, "{\"hook\":\"call\",\"id\":\""));
    assert_int_equal(p.conn->calls, 2);
    answer(1, HF_BACKEND_ANSWERED, "{\"payload\":\"two\"}");
    assert_true(got(&p, "{\"type\":\"reply\",\"id\":\"b\",\"payload\":\"two\"}"));
    assert_false(got(&p, "\"id\":\"a\""));
    answer(0, HF_BACKEND_ANSWERED, "{\"payload\":\"one\"}");
    assert_true(got(&p, "{\"type\":\"reply\",\"id\":\"a\",\"payload\":\"one\"}"));
    assert_int_equal(p.conn->calls, 0);
    place_release(&place);
}

static void what_a_call_is_told_where_the_backend_fails(void **state)
{
    static const struct {
        enum hf_backend_outcome outcome;
        const char *body, *code;
    } cases[] = {{HF_BACKEND_DOWN, "", "unavailable"},          {HF_BACKEND_BROKEN, "", "timeout"},
                 {HF_BACKEND_TIMEOUT, "", "timeout"},           {HF_BACKEND_FULL, "", "overloaded"},
                 {HF_BACKEND_TOO_LARGE, "", "internal"},        {HF_BACKEND_ANSWERED, "nonsense", "internal"},
                 {HF_BACKEND_ANSWERED, "{\"code\":\"x\"}", "x"}};
    static struct peer p;

    (void)state;
    begin(ONLY(CALL));
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char want[64];

        come(&p, "");
        say(&p, "{\"type\":\"call\",\"id\":\"a\",\"method\":\"m\",\"payload\":1}");
        answer(i, cases[i].outcome, cases[i].body);
        snprintf(want, sizeof(want), "\"id\":\"a\",\"code\":\"%s\",\"reason\":\"", cases[i].code);
        assert_true(got(&p, want));
        assert_int_equal(p.conn->calls, 0);
    }
    assert_int_equal(fake.complaints, 1);
    fake.outcome = HF_BACKEND_FULL;
    say(&p, "{\"type\":\"call\",\"id\":\"z\",\"method\":\"m\",\"payload\":1}");
    assert_true(got(&p, "\"id\":\"z\",\"code\":\"overloaded\""));
    assert_int_equal(p.conn->calls, 0);
    place_release(&place);
}

static void nobody_waits_when_the_connection_has_gone(void **state)
{
    static struct peer p;

    (void)state;
    begin(ONLY(CALL));
    come(&p, "");
    say(&p, "{\"type\":\"call\",\"id\":\"a\",\"method\":\"m\",\"payload\":1}");
    assert_true(hf_hub_backend_wanted(place.hub[0], fake.requests[0].token));
    hf_hub_lost(p.conn, true, place.now);
    turn(&place, 0);
    assert_false(hf_hub_backend_wanted(place.hub[0], fake.requests[0].token));
    answer(0, HF_BACKEND_ANSWERED, "{\"payload\":1}");
    assert_int_equal(counted(&place, 0, HF_COUNT_HOOK_LATE), 1);
    place_release(&place);
}

/* A hub that ends while it waits leaves nothing behind: the sanitizer looks. */
static void a_hub_may_end_while_it_waits(void **state)
{
    static struct peer p;

    (void)state;
    begin(ONLY(CALL));
    come(&p, "");
    say(&p, "{\"type\":\"call\",\"id\":\"a\",\"method\":\"m\",\"payload\":1}");
    assert_int_equal(fake.count, 1);
    place_release(&place);
}

/* ---- Connecting ---- */

static void a_connection_waits_for_the_backend(void **state)
{
    static struct peer p;

    (void)state;
    begin(ONLY(CONNECT));
    come(&p, "");
    assert_int_equal(p.got.len, 0);
    assert_int_equal(p.conn->phase, HF_CONN_ASKING);
    assert_non_null(strstr(fake.requests[0].body, "\"resume\":false,\"address\":\"127.0.0.1:1\""));
    say(&p, "{\"type\":\"ping\",\"id\":\"p\"}"); /* It may say something already. */
    assert_int_equal(p.got.len, 0);
    answer(0, HF_BACKEND_ANSWERED,
           "{\"allow\":true,\"user\":\"ann\",\"info\":{\"n\":1},\"channels\":[\"a\",\"b\"]}");
    assert_true(got(&p, "HTTP/1.1 101"));
    assert_true(got(&p, "\"type\":\"welcome\""));
    assert_true(got(&p, "\"type\":\"subscribed\",\"channel\":\"a\""));
    assert_true(got(&p, "\"type\":\"subscribed\",\"channel\":\"b\""));
    assert_true(got(&p, "\"type\":\"pong\",\"id\":\"p\""));
    assert_false(p.conn->granting);
    assert_true(hf_str_eq(p.conn->identity->user, HF_STR("ann")));
    place_release(&place);
}

static void who_is_refused_hears_why(void **state)
{
    static const struct {
        enum hf_backend_outcome outcome;
        const char *body, *status;
    } cases[] = {
        {HF_BACKEND_ANSWERED, "{\"allow\":false}", "HTTP/1.1 403"},
        {HF_BACKEND_ANSWERED, "{\"allow\":false,\"code\":\"unauthorized\"}", "HTTP/1.1 401"},
        {HF_BACKEND_ANSWERED, "{\"allow\":false,\"code\":\"rate_limited\"}", "HTTP/1.1 429"},
        {HF_BACKEND_ANSWERED, "{\"allow\":true,\"channels\":[7]}", "HTTP/1.1 503"},
        {HF_BACKEND_ANSWERED, "{\"allow\":true,\"claims\":{}}", "HTTP/1.1 503"},
        {HF_BACKEND_ANSWERED, "{\"allow\":true,\"user\":\"a\",\"claims\":{\"n\":1e999}}", "HTTP/1.1 503"},
        {HF_BACKEND_ANSWERED, "nonsense", "HTTP/1.1 503"},
        {HF_BACKEND_DOWN, "", "HTTP/1.1 503"},
        {HF_BACKEND_TIMEOUT, "", "HTTP/1.1 503"},
        {HF_BACKEND_FULL, "", "HTTP/1.1 503"}};
    static struct peer p;

    (void)state;
    begin(ONLY(CONNECT));
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        come(&p, "");
        answer(i, cases[i].outcome, cases[i].body);
        assert_true(got(&p, cases[i].status));
        hf_hub_lost(p.conn, true, place.now);
        turn(&place, 0);
    }
    assert_int_equal(fake.complaints, 4);
    place_release(&place);
}

/* `fail: open` counts where the backend is down, and neither for nonsense nor for a crowd. */
static void a_gate_that_fails_open(void **state)
{
    static struct peer p;

    (void)state;
    begin(ONLY(CONNECT));
    place.config.hooks.fail[HF_HOOK_CONNECT] = HF_HOOK_FAIL_OPEN;
    come(&p, "");
    answer(0, HF_BACKEND_DOWN, "");
    assert_true(got(&p, "\"type\":\"welcome\""));
    come(&p, "");
    answer(1, HF_BACKEND_ANSWERED, "nonsense");
    assert_true(got(&p, "HTTP/1.1 503"));
    fake.outcome = HF_BACKEND_FULL;
    come(&p, "");
    assert_true(got(&p, "HTTP/1.1 503"));
    fake.outcome = HF_BACKEND_DOWN;
    come(&p, "");
    assert_true(got(&p, "\"type\":\"welcome\""));
    place_release(&place);
}

/* A ticket is no way round the backend for one whose session it is not. */
static void with_anothers_ticket_a_user_is_asked_for(void **state)
{
    static struct peer p, q, again;
    struct keys keys;
    const char *token;
    char ticket[TICKET_CHARS + 1], query[TOKEN_ROOM];

    (void)state;
    begin(ONLY(CONNECT));
    keys_init(&keys, true);
    hf_hub_set_auth(place.hub[0], keys.auth);
    token = token_for(&keys, &place, "bob", 0);
    come(&p, "");
    answer(0, HF_BACKEND_ANSWERED, "{\"allow\":true}");
    peer_ticket(&p, ticket);
    snprintf(query, sizeof(query), "%s&token=%s", ticket, token);
    come(&q, query);
    assert_int_equal(fake.count, 2);
    assert_int_equal(q.conn->phase, HF_CONN_ASKING);
    assert_non_null(strstr(fake.requests[1].body, "\"user\":\"bob\""));
    assert_non_null(strstr(fake.requests[1].body, "\"resume\":false"));
    answer(1, HF_BACKEND_ANSWERED, "{\"allow\":true}");
    assert_true(got(&q, "\"resumed\":false"));
    /* With his own he resumes, and nobody is asked. */
    peer_ticket(&q, ticket);
    snprintf(query, sizeof(query), "%s&token=%s", ticket, token);
    come(&again, query);
    assert_int_equal(fake.count, 2);
    assert_true(got(&again, "\"resumed\":true"));
    place_release(&place);
    keys_release(&keys);
}

/* A rule for whoever has the claim `vip`, in all rights. */
static void leave_to_vips(void)
{
    const char *why;
    struct hf_namespace *ns;

    assert_int_equal(hf_namespaces_add(&place.config.namespaces, HF_STR("*"), &ns, &why), 0);
    for (int each = 0; each < HF_RIGHTS; each++)
        assert_int_equal(
            hf_namespace_allow(&place.config.namespaces, ns, (enum hf_right)each, HF_STR("claim:vip"), &why),
            0);
}

/* "A session keeps user, info and claims when it is resumed" */
static void a_resume_has_the_claims_again(void **state)
{
    static struct peer p, again;
    char ticket[TICKET_CHARS + 1];

    (void)state;
    begin(ONLY(CONNECT));
    leave_to_vips();
    come(&p, "");
    answer(0, HF_BACKEND_ANSWERED,
           "{\"allow\":true,\"user\":\"ann\",\"info\":[7],\"claims\":{\"vip\":true,\"sub\":\"x\"}}");
    say(&p, "{\"type\":\"subscribe\",\"channel\":\"c\"}");
    assert_true(got(&p, "\"type\":\"subscribed\",\"channel\":\"c\""));
    peer_ticket(&p, ticket);
    hf_hub_lost(p.conn, true, place.now);
    turn(&place, 0);
    come(&again, ticket);
    assert_int_equal(fake.count, 1);
    assert_true(got(&again, "\"resumed\":true"));
    assert_false(got(&again, "unsubscribed"));
    assert_true(hf_str_eq(again.conn->identity->user, HF_STR("ann")));
    assert_true(hf_str_eq(again.conn->identity->info, HF_STR("[7]")));
    say(&again, "{\"type\":\"data\",\"channel\":\"c\",\"payload\":1,\"seq\":1}");
    assert_true(got(&again, "{\"type\":\"ack\",\"seq\":1,\"offsets\":[1]}"));
    place_release(&place);
}

/* "of claims that are longer the backend is asked again" */
static void claims_that_do_not_fit_are_asked_for(void **state)
{
    static struct peer p, again;
    static char body[HF_CLAIMS_BYTES_MAX + 256];
    struct hf_backend_answer a = {HF_BACKEND_ANSWERED, 200, {NULL, 0}};
    char ticket[TICKET_CHARS + 1];
    int len =
        snprintf(body, sizeof(body), "{\"allow\":true,\"user\":\"ann\",\"claims\":{\"vip\":true,\"x\":\"");

    (void)state;
    memset(body + len, 'x', HF_CLAIMS_BYTES_MAX);
    snprintf(body + len + HF_CLAIMS_BYTES_MAX, 8, "\"}}");
    begin(ONLY(CONNECT));
    leave_to_vips();
    come(&p, "");
    a.body = hf_str_from(body);
    hf_hub_backend_answered(place.hub[0], fake.requests[0].token, &a, place.now);
    turn(&place, 0);
    say(&p, "{\"type\":\"subscribe\",\"channel\":\"c\"}");
    assert_true(got(&p, "\"type\":\"subscribed\",\"channel\":\"c\""));
    peer_ticket(&p, ticket);
    hf_hub_lost(p.conn, true, place.now);
    turn(&place, 0);
    come(&again, ticket);
    assert_int_equal(fake.count, 2);
    assert_non_null(strstr(fake.requests[1].body, "\"resume\":true"));
    answer(1, HF_BACKEND_ANSWERED, "{\"allow\":true,\"user\":\"ann\",\"claims\":{\"vip\":\"c\"}}");
    assert_true(got(&again, "\"resumed\":true"));
    assert_false(got(&again, "unsubscribed"));
    place_release(&place);
}

/* A resume while the backend is down, and that counts as yes, does not make its claims those of none. */
static void claims_that_do_not_fit_are_asked_for_until_they_come(void **state)
{
    static struct peer p, again, third;
    static char body[HF_CLAIMS_BYTES_MAX + 256];
    struct hf_backend_answer a = {HF_BACKEND_ANSWERED, 200, {NULL, 0}};
    char ticket[TICKET_CHARS + 1];

    (void)state;
    begin(ONLY(CONNECT));
    place.config.hooks.fail[HF_HOOK_CONNECT] = HF_HOOK_FAIL_OPEN;
    come(&p, "");
    snprintf(body, sizeof(body), "{\"allow\":true,\"user\":\"ann\",\"claims\":{\"x\":\"%0*d\"}}",
             HF_CLAIMS_BYTES_MAX, 0);
    a.body = hf_str_from(body);
    hf_hub_backend_answered(place.hub[0], fake.requests[0].token, &a, place.now);
    turn(&place, 0);
    peer_ticket(&p, ticket);
    hf_hub_lost(p.conn, true, place.now);
    turn(&place, 0);
    come(&again, ticket);
    assert_int_equal(fake.count, 2);
    answer(1, HF_BACKEND_DOWN, "");
    assert_true(got(&again, "\"resumed\":true"));
    assert_true(hf_str_eq(again.conn->identity->user, HF_STR("ann")));
    hf_hub_lost(again.conn, true, place.now);
    turn(&place, 0);
    come(&third, ticket);
    assert_int_equal(fake.count, 3);
    answer(2, HF_BACKEND_ANSWERED, "{\"allow\":true,\"user\":\"ann\",\"claims\":{\"x\":1}}");
    assert_true(got(&third, "\"resumed\":true"));
    assert_int_equal(json_integer_value(json_object_get(third.conn->identity->claims, "x")), 1);
    place_release(&place);
}

/* The hook is taken out of the configuration: the sessions that it has let in stay whose they are. */
static void sessions_outlive_the_hook(void **state)
{
    static struct peer p, again;
    char ticket[TICKET_CHARS + 1];

    (void)state;
    begin(ONLY(CONNECT));
    come(&p, "");
    answer(0, HF_BACKEND_ANSWERED, "{\"allow\":true,\"user\":\"ann\"}");
    peer_ticket(&p, ticket);
    place.config.hooks.url[HF_HOOK_CONNECT][0] = '\0';
    hf_hub_reconfigured(place.hub[0], place.now);
    come(&again, ticket);
    assert_true(got(&again, "\"resumed\":true"));
    assert_true(hf_str_eq(again.conn->identity->user, HF_STR("ann")));
    place_release(&place);
}

/* Its session ends while another worker has been asked for it: what was remembered of its user goes with it. */
static void who_was_known_by_a_session_that_is_gone_is_a_stranger(void **state)
{
    static struct peer p, again;
    char ticket[TICKET_CHARS + 1];

    (void)state;
    place_init(&place, 2);
    fake = (struct fake){.outcome = HF_BACKEND_STARTED};
    snprintf(place.config.hooks.url[HF_HOOK_CONNECT], HF_URL_MAX, "http://backend/");
    for (uint32_t slot = 0; slot < 2; slot++)
        hub_start(&place, slot, &transport);
    hf_hub_set_backend(place.hub[0], &fake_backend);
    come(&p, "");
    answer(0, HF_BACKEND_ANSWERED, "{\"allow\":true,\"user\":\"ann\"}");
    peer_ticket(&p, ticket);
    place.config.hooks.url[HF_HOOK_CONNECT][0] = '\0';
    for (uint32_t slot = 0; slot < 2; slot++)
        hf_hub_reconfigured(place.hub[slot], place.now);
    peer_open(&again, &place, 1, ticket);
    assert_int_equal(again.conn->phase, HF_CONN_TAKING);
    say(&p, "{\"type\":\"bye\"}");
    place.now.mono_ms += 1000;
    settle(&place);
    assert_true(got(&again, "\"resumed\":false"));
    assert_null(again.conn->identity);
    hf_buf_release(&again.got);
    place_release(&place);
}

/* ---- Messages that have to be allowed ---- */

static void leave_to_the_backend(enum hf_right right)
{
    const char *why;
    struct hf_namespace *ns;

    assert_int_equal(hf_namespaces_add(&place.config.namespaces, HF_STR("*"), &ns, &why), 0);
    for (int each = 0; each < HF_RIGHTS; each++)
        assert_int_equal(hf_namespace_allow(&place.config.namespaces, ns, (enum hf_right)each,
                                            each == (int)right ? HF_STR("backend") : HF_STR("all"), &why),
                         0);
}

static void publishes_wait_and_keep_their_order(void **state)
{
    static struct peer p, other;

    (void)state;
    begin(ONLY(PUBLISH));
    leave_to_the_backend(HF_RIGHT_PUBLISH);
    come(&p, "");
    come(&other, "");
    say(&p, "{\"type\":\"data\",\"channel\":\"c\",\"payload\":1,\"seq\":1}");
    say(&p, "{\"type\":\"data\",\"channel\":\"c\",\"payload\":2,\"seq\":2}");
    say(&other, "{\"type\":\"data\",\"channel\":\"c\",\"payload\":\"o\",\"seq\":1}");
    assert_int_equal(fake.count, 2); /* One of each connection. */
    turn(&place, 0);
    assert_true(hf_hub_deadline_ms(place.hub[0], place.now) > place.now.mono_ms + 5); /* Nobody polls. */
    assert_non_null(strstr(fake.requests[0].body, "\"channel\":\"c\",\"payload\":1}"));
    answer(1, HF_BACKEND_ANSWERED, "{\"allow\":true}");
    assert_true(got(&other, "{\"type\":\"ack\",\"seq\":1,\"offsets\":[1]}"));
    answer(0, HF_BACKEND_ANSWERED, "{\"allow\":true}");
    assert_true(got(&p, "{\"type\":\"ack\",\"seq\":1,\"offsets\":[2]}"));
    assert_int_equal(fake.count, 3);
    answer(2, HF_BACKEND_ANSWERED, "{\"allow\":false,\"code\":\"rate_limited\"}");
    assert_true(got(&p, "{\"type\":\"nack\",\"seq\":2,\"code\":\"rate_limited\""));
    say(&p, "{\"type\":\"data\",\"channel\":\"c\",\"payload\":3,\"seq\":3}");
    answer(3, HF_BACKEND_DOWN, "");
    assert_true(got(&p, "{\"type\":\"nack\",\"seq\":3,\"code\":\"unavailable\""));
    place_release(&place);
}

/* In the window it waits for the answer of the one before, which another worker may have; after a resume only the code is known. */
static void a_refused_publish_is_told_in_the_backends_words(void **state)
{
    static struct peer p, again;
    char ticket[TICKET_CHARS + 1], body[BODY_MAX], want[BODY_MAX], reason[256];

    (void)state;
    begin(ONLY(PUBLISH));
    leave_to_the_backend(HF_RIGHT_PUBLISH);
    come(&p, "");
    peer_ticket(&p, ticket);
    say(&p, "{\"type\":\"data\",\"channel\":\"c\",\"payload\":1,\"seq\":1}");
    for (int i = 0; i < 127; i++) /* the longest that is taken, of two bytes a letter */
        memcpy(reason + 2 * i, "ü", 2);
    snprintf(reason + 254, 2, "!");
    snprintf(body, sizeof(body), "{\"allow\":false,\"code\":\"limit\",\"reason\":\"%s\"}", reason);
    answer(0, HF_BACKEND_ANSWERED, body);
    snprintf(want, sizeof(want), "{\"type\":\"nack\",\"seq\":1,\"code\":\"limit\",\"reason\":\"%s\"}",
             reason);
    assert_true(got(&p, want));
    say(&p, "{\"type\":\"data\",\"channel\":\"c\",\"payload\":1,\"id\":\"i\"}");
    answer(1, HF_BACKEND_ANSWERED, "{\"allow\":false,\"reason\":\"not\\u0020you\"}");
    assert_true(got(&p, "{\"type\":\"nack\",\"id\":\"i\",\"code\":\"forbidden\",\"reason\":\"not you\"}"));
    say(&p, "{\"type\":\"data\",\"channel\":\"c\",\"payload\":1,\"seq\":2}");
    answer(2, HF_BACKEND_ANSWERED, "{\"allow\":false}");
    assert_true(got(&p, "\"seq\":2,\"code\":\"forbidden\",\"reason\":\"refused by the application\"}"));
    say(&p, "{\"type\":\"data\",\"channel\":\"c\",\"payload\":1,\"seq\":3}");
    answer(3, HF_BACKEND_DOWN, "");
    assert_true(
        got(&p, "\"seq\":3,\"code\":\"unavailable\",\"reason\":\"the application's backend cannot be"));
    come(&again, ticket);
    assert_true(got(&again, "\"resumed\":true,\"lastSeq\":3"));
    assert_true(
        got(&again, "{\"type\":\"nack\",\"seq\":1,\"code\":\"limit\",\"reason\":\"it was refused when"));
    place_release(&place);
}

/* Allowed once, a publish that comes again after a resume is not asked for again: it may be in the log. */
static void a_repeated_publish_is_not_asked_for_again(void **state)
{
    static struct peer p, again;
    char ticket[TICKET_CHARS + 1];

    (void)state;
    begin(ONLY(PUBLISH));
    leave_to_the_backend(HF_RIGHT_PUBLISH);
    come(&p, "");
    peer_ticket(&p, ticket);
    say(&p, "{\"type\":\"data\",\"channel\":\"c\",\"payload\":1,\"seq\":1}");
    answer(0, HF_BACKEND_ANSWERED, "{\"allow\":true}");
    say(&p, "{\"type\":\"data\",\"channel\":\"c\",\"payload\":2,\"seq\":2}");
    assert_int_equal(fake.count, 2);
    come(&again, ticket);
    assert_true(got(&again, "\"resumed\":true,\"lastSeq\":1"));
    answer(1, HF_BACKEND_ANSWERED, "{\"allow\":true}"); /* For the connection that has gone. */
    assert_int_equal(counted(&place, 0, HF_COUNT_HOOK_LATE), 1);
    say(&again, "{\"type\":\"data\",\"channel\":\"c\",\"payload\":1,\"seq\":1}");
    assert_int_equal(fake.count, 2);
    say(&again, "{\"type\":\"data\",\"channel\":\"c\",\"payload\":2,\"seq\":2}");
    assert_int_equal(fake.count, 3); /* That one had not been allowed. */
    answer(2, HF_BACKEND_ANSWERED, "{\"allow\":true}");
    assert_true(got(&again, "{\"type\":\"ack\",\"seq\":2,\"offsets\":[2]}"));
    place_release(&place);
}

/* It is not read meanwhile: that nothing comes says nothing of the client. */
static void a_slow_backend_costs_no_connection(void **state)
{
    static struct peer p;
    uint64_t interval_ms;

    (void)state;
    begin(ONLY(PUBLISH));
    leave_to_the_backend(HF_RIGHT_PUBLISH);
    come(&p, "");
    interval_ms = p.conn->heartbeat_ms;
    say(&p, "{\"type\":\"data\",\"channel\":\"c\",\"payload\":1,\"seq\":1}");
    assert_int_equal(fake.count, 1);
    for (int i = 0; i < 5; i++) {
        place.now.mono_ms += interval_ms;
        turn(&place, 0);
    }
    assert_int_equal(p.conn->phase, HF_CONN_OPEN);
    answer(0, HF_BACKEND_ANSWERED, "{\"allow\":true}");
    assert_true(got(&p, "{\"type\":\"ack\",\"seq\":1"));
    for (int i = 0; i < 5; i++) { /* From now on it is the client's. */
        place.now.mono_ms += interval_ms;
        turn(&place, 0);
    }
    assert_true(p.closed || p.conn->phase != HF_CONN_OPEN);
    place_release(&place);
}

static void subscriptions_are_asked_for(void **state)
{
    static struct peer p;

    (void)state;
    begin(ONLY(SUBSCRIBE));
    leave_to_the_backend(HF_RIGHT_SUBSCRIBE);
    come(&p, "");
    say(&p, "{\"type\":\"subscribe\",\"channel\":\"c\"}");
    say(&p, "{\"type\":\"ping\",\"id\":\"behind\"}");
    assert_false(got(&p, "behind"));
    answer(0, HF_BACKEND_ANSWERED, "{\"allow\":true}");
    assert_true(got(&p, "\"type\":\"subscribed\",\"channel\":\"c\""));
    assert_true(got(&p, "behind"));
    say(&p, "{\"type\":\"subscribe\",\"channel\":\"c\"}"); /* It has it. */
    assert_int_equal(fake.count, 1);
    say(&p, "{\"type\":\"subscribe\",\"channel\":\"d\"}");
    answer(1, HF_BACKEND_ANSWERED, "{\"allow\":false,\"code\":\"not_found\",\"reason\":\"no such room\"}");
    assert_true(
        got(&p, "\"code\":\"not_found\",\"reason\":\"no such room\",\"re\":\"subscribe\",\"channel\":\"d\""));
    say(&p, "{\"type\":\"subscribe\",\"channel\":\"e\"}");
    answer(2, HF_BACKEND_TIMEOUT, "");
    assert_true(got(&p, "\"code\":\"unavailable\""));
    place.config.hooks.fail[HF_HOOK_SUBSCRIBE] = HF_HOOK_FAIL_OPEN;
    say(&p, "{\"type\":\"subscribe\",\"channel\":\"e\"}");
    answer(3, HF_BACKEND_TIMEOUT, "");
    assert_true(got(&p, "\"type\":\"subscribed\",\"channel\":\"e\""));
    place_release(&place);
}

/* ---- Ends ---- */

static void the_end_of_a_session_is_told_once(void **state)
{
    static struct peer p;

    (void)state;
    begin(ONLY(DISCONNECT));
    come(&p, "");
    say(&p, "{\"type\":\"bye\"}");
    hf_hub_lost(p.conn, false, place.now);
    for (int i = 0; i < 20; i++) {
        place.now.mono_ms += 500;
        turn(&place, 0);
    }
    assert_int_equal(fake.count, 1);
    assert_int_equal(fake.requests[0].hook, HF_HOOK_DISCONNECT);
    assert_int_equal(fake.requests[0].token, 0);
    assert_non_null(strstr(fake.requests[0].body, "\"session\":\""));
    come(&p, "");
    hf_hub_lost(p.conn, true, place.now); /* A break is no end. */
    for (int i = 0; i < 20; i++) {
        place.now.mono_ms += 500;
        turn(&place, 0);
    }
    assert_int_equal(fake.count, 1);
    place.now.mono_ms += place.config.session_ttl_ms;
    fake.outcome = HF_BACKEND_DOWN;
    for (int i = 0; i < 20; i++) {
        place.now.mono_ms += 500;
        turn(&place, 0);
    }
    assert_int_equal(counted(&place, 0, HF_COUNT_HOOK_DISCONNECTS_LOST), 1);
    place_release(&place);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_breaker_opens_after_failures_in_a_row),
        cmocka_unit_test(one_request_tries_behind_the_pause),
        cmocka_unit_test(late_results_count_too),
        cmocka_unit_test(which_answers_are_valid),
        cmocka_unit_test(channels_of_an_answer),
        cmocka_unit_test(calls_are_answered_in_any_order),
        cmocka_unit_test(what_a_call_is_told_where_the_backend_fails),
        cmocka_unit_test(nobody_waits_when_the_connection_has_gone),
        cmocka_unit_test(a_hub_may_end_while_it_waits),
        cmocka_unit_test(a_connection_waits_for_the_backend),
        cmocka_unit_test(who_is_refused_hears_why),
        cmocka_unit_test(a_gate_that_fails_open),
        cmocka_unit_test(with_anothers_ticket_a_user_is_asked_for),
        cmocka_unit_test(a_resume_has_the_claims_again),
        cmocka_unit_test(claims_that_do_not_fit_are_asked_for),
        cmocka_unit_test(claims_that_do_not_fit_are_asked_for_until_they_come),
        cmocka_unit_test(sessions_outlive_the_hook),
        cmocka_unit_test(who_was_known_by_a_session_that_is_gone_is_a_stranger),
        cmocka_unit_test(publishes_wait_and_keep_their_order),
        cmocka_unit_test(a_refused_publish_is_told_in_the_backends_words),
        cmocka_unit_test(a_repeated_publish_is_not_asked_for_again),
        cmocka_unit_test(a_slow_backend_costs_no_connection),
        cmocka_unit_test(subscriptions_are_asked_for),
        cmocka_unit_test(the_end_of_a_session_is_told_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
