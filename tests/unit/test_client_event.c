/*
 * test_client_event.c - what an application may do in a callback that was told within another callback.
 */
#include "client/client_impl.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_outer_callback_goes_on_being_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
