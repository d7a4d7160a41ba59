/*
 * test_client_event.c - what an application may do in a callback that was told within another callback; and what it is told where there is no memory for an answer.
 */
#include "client/client_impl.h"
#include "fault_malloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

struct app {
    struct hf_client *client;
    unsigned told;
    int before,
        after; /* the outcome of a publish into the full outbox, before and after the inner callback */
};

static const struct hf_client_session_event problem = {
    .type = HF_CSE_ERROR, .code = {"outbox", 6}, .reason = {"no", 2}};

static int publish(struct hf_client *client)
{
    return hf_client_publish(client, "demo", 4, "1", 1, NULL, NULL);
}

static void on_problem(void *user, const struct hf_client_problem *what)
{
    struct app *app = user;

    (void)what;
    if (app->told++ > 0)
        return;
    app->before = publish(app->client);
    hf_client_tell(app->client, &problem);
    app->after = publish(app->client);
}

/* A publish that finds no room may not wait for it in a callback; it waits where there is none, in vain. */
static void the_outer_callback_goes_on_being_one(void **state)
{
    struct hf_client_options options;
    struct app app = {.told = 0};

    (void)state;
    hf_client_options_init(&options);
    options.url = "ws://127.0.0.1:1/ws";
    options.watch_network = false;
    options.outbox_messages_max = 1;
    options.outbox_block_ms = 1;
    options.on_problem = on_problem;
    options.user = &app;
    assert_int_equal(hf_client_new(&options, &app.client), 0);
    assert_int_equal(publish(app.client), 0);
    hf_client_tell(app.client, &problem);
    assert_int_equal(app.told, 2);
    assert_int_equal(app.before, HF_CLIENT_ECALLBACK);
    assert_int_equal(app.after, HF_CLIENT_ECALLBACK);
    assert_int_equal(publish(app.client), HF_CLIENT_ETIMEOUT);
    hf_client_free(app.client);
}

struct answer {
    uint32_t count, answers;
    char code[32], last[32];
};

static void on_members(void *user, const struct hf_client_members *members)
{
    struct answer *a = user;

    a->answers++;
    a->count = members->count;
    (void)snprintf(a->code, sizeof(a->code), "%.*s", (int)members->code.len,
                   members->code.len > 0 ? members->code.data : "");
    if (members->count > 0)
        (void)snprintf(a->last, sizeof(a->last), "%.*s",
                       (int)members->members[members->count - 1].session.len,
                       members->members[members->count - 1].session.data);
}

static void tell_members(struct hf_client *client, const char *code)
{
    const struct hf_client_session_event end = {.type = HF_CSE_MEMBERS, .code = hf_str_from(code)};
    static char names[100][4];
    unsigned i;

    for (i = 0; i < 100; i++) {
        const struct hf_client_session_event one = {.type = HF_CSE_MEMBER, .session = {names[i], 3}};

        (void)snprintf(names[i], sizeof(names[i]), "s%02u", i);
        hf_client_tell(client, &one);
    }
    hf_client_tell(client, &end);
}

/* One without all of its members would be a wrong one. */
static void an_answer_without_memory_is_refused(void **state)
{
    struct hf_client_options options;
    struct hf_client *client;
    struct answer a = {.count = 0};
    bool fired;
    unsigned n;

    (void)state;
    hf_client_options_init(&options);
    options.url = "ws://127.0.0.1:1/ws";
    options.watch_network = false;
    options.on_members = on_members;
    options.user = &a;
    assert_int_equal(hf_client_new(&options, &client), 0);
    for (n = 1, fired = true; fired; n++) {
        fault_arm(n);
        tell_members(client, NULL);
        fired = fault_disarm();
        assert_string_equal(a.code, fired ? "overloaded" : "");
        assert_int_equal(a.count, fired ? 0 : 100);
        assert_string_equal(a.last, fired ? "" : "s99");
    }
    assert_true(n > 3);
    tell_members(client, "limit"); /* The last answer has left nothing. */
    assert_int_equal(a.count, 0);
    assert_string_equal(a.code, "limit");
    assert_int_equal(a.answers, n);
    hf_client_free(client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_outer_callback_goes_on_being_one),
        cmocka_unit_test(an_answer_without_memory_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
