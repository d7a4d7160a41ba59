/* Requests that are handed to a client: what it takes, what waits, and which answer is whose. */
#include "client/ask.h"
#include "fault_malloc.h"

#include "holdfast/holdfast.h"
#include "session/request.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MORE = 6, ALL = HF_REQUESTS_MAX + MORE };

struct fixture {
    struct hf_client *client; /* of a server that is not there: it keeps what it is asked */
    struct hf_list waiting, asked, refused;
};

static bool is_history(const struct hf_command *command)
{
    return command->type == HF_COMMAND_HISTORY;
}

static bool is_ping(const struct hf_command *command)
{
    return command->type == HF_COMMAND_PING;
}

/* Commands 1, 2, 3 …: each third is a ping. */
static void setup(struct fixture *f)
{
    struct hf_client_options options;
    struct hf_command *c;
    uint64_t n;

    hf_list_init(&f->waiting);
    hf_list_init(&f->asked);
    hf_list_init(&f->refused);
    hf_client_options_init(&options);
    options.url = "ws://127.0.0.1:1/ws";
    assert_int_equal(hf_client_new(&options, &f->client), 0);
    for (n = 1; n <= ALL; n++) {
        assert_int_equal(n % 3 == 0 ? hf_command_ping(&c) : hf_command_history(HF_STR("room"), NULL, &c), 0);
        c->request_id = 1000 + n;
        hf_list_add_tail(&f->waiting, &c->node);
    }
    hf_ask_waiting(&f->asked, f->client, &f->waiting, &f->refused);
}

static void free_all(struct hf_list *list)
{
    struct hf_list *node;

    while ((node = hf_list_pop(list)) != NULL)
        free(HF_COMMAND_OF(node));
}

static void teardown(struct fixture *f)
{
    free_all(&f->waiting);
    free_all(&f->asked);
    assert_true(hf_list_empty(&f->refused));
    hf_client_free(f->client);
}

static unsigned count(struct hf_list *list)
{
    struct hf_list *node;
    unsigned n = 0;

    for (node = list->next; node != list; node = node->next)
        n++;
    return n;
}

static void check_order(struct hf_list *list, uint64_t first)
{
    struct hf_list *node;

    for (node = list->next; node != list; node = node->next)
        assert_int_equal(HF_COMMAND_OF(node)->request_id, first++);
}

static void a_client_takes_so_many_and_the_others_wait(void **state)
{
    struct fixture f;

    (void)state;
    setup(&f);
    assert_int_equal(count(&f.asked), HF_REQUESTS_MAX);
    assert_int_equal(count(&f.waiting), MORE);
    check_order(&f.asked, 1001);
    check_order(&f.waiting, 1001 + HF_REQUESTS_MAX);
    hf_ask_waiting(&f.asked, f.client, &f.waiting, &f.refused); /* It has no room still. */
    check_order(&f.waiting, 1001 + HF_REQUESTS_MAX);
    assert_int_equal(count(&f.waiting), MORE);
    teardown(&f);
}

static void an_answer_finds_its_command_once(void **state)
{
    struct hf_command *c;
    struct fixture f;

    (void)state;
    setup(&f);
    c = hf_ask_answered(&f.asked, 17); /* the client counts from 1 */
    assert_non_null(c);
    assert_int_equal(c->request_id, 1017);
    free(c);
    assert_null(hf_ask_answered(&f.asked, 17));
    assert_null(hf_ask_answered(&f.asked, ALL + 1));
    assert_int_equal(count(&f.asked), HF_REQUESTS_MAX - 1);
    teardown(&f);
}

static void what_is_taken_back_stands_in_front_in_its_order(void **state)
{
    struct hf_list *node;
    struct fixture f;
    uint64_t last = 0;

    (void)state;
    setup(&f);
    hf_ask_again(&f.asked, is_history, &f.waiting);
    assert_int_equal(count(&f.asked), HF_REQUESTS_MAX / 3);
    assert_int_equal(count(&f.waiting), ALL - HF_REQUESTS_MAX / 3);
    for (node = f.asked.next; node != &f.asked; node = node->next)
        assert_int_equal(HF_COMMAND_OF(node)->type, HF_COMMAND_PING);
    for (node = f.waiting.next; node != &f.waiting; node = node->next) {
        assert_true(HF_COMMAND_OF(node)->request_id > last);
        last = HF_COMMAND_OF(node)->request_id;
    }
    assert_int_equal(last, 1000 + ALL);
    hf_ask_again(&f.asked, is_ping, &f.waiting);
    assert_int_equal(count(&f.asked), 0);
    teardown(&f);
}

static void a_client_that_is_closed_takes_none(void **state)
{
    struct hf_command *c;
    struct fixture f;

    (void)state;
    setup(&f);
    hf_client_close(f.client);
    c = HF_COMMAND_OF(hf_list_pop(&f.waiting));
    assert_int_equal(hf_ask(&f.asked, f.client, c), HF_ESTATE);
    free(c);
    assert_int_equal(count(&f.asked), HF_REQUESTS_MAX);
    teardown(&f);
}

/* Each kind of command asks for what it says; a call that the client finds too large waits no more. */
static void each_command_asks_for_its_own(void **state)
{
    static char large[2000];
    struct hf_client_options options;
    struct hf_command *c[4];
    struct fixture f;
    unsigned i;

    (void)state;
    hf_list_init(&f.waiting);
    hf_list_init(&f.asked);
    hf_list_init(&f.refused);
    hf_client_options_init(&options);
    options.url = "ws://127.0.0.1:1/ws";
    options.outbox_bytes_max = 1000;
    assert_int_equal(hf_client_new(&options, &f.client), 0);
    memset(large, '1', sizeof(large));
    assert_int_equal(hf_command_presence(HF_STR("room"), &c[0]), 0);
    assert_int_equal(hf_command_call(HF_STR("add"), HF_STR(" [1, 2] "), 1000, &c[1]), 0);
    assert_true(hf_str_eq(c[1]->payload, HF_STR("[1, 2]")));
    assert_int_equal(hf_command_call(HF_STR("add"), (struct hf_str){large, sizeof(large)}, 4000, &c[2]), 0);
    assert_int_equal(hf_command_ping(&c[3]), 0);
    for (i = 0; i < 4; i++)
        hf_list_add_tail(&f.waiting, &c[i]->node);
    hf_ask_waiting(&f.asked, f.client, &f.waiting, &f.refused);
    assert_int_equal(count(&f.asked), 3);
    assert_true(hf_list_empty(&f.waiting));
    assert_ptr_equal(f.refused.next, &c[2]->node);
    c[2]->request_id = 7;
    assert_string_equal(hf_ask_refused(c[2], HF_ETOOLARGE).code.data, "too_large");
    assert_string_equal(hf_ask_refused(c[2], HF_ESTATE).code.data, "uncertain");
    assert_string_equal(hf_ask_refused(c[2], HF_ETIMEOUT).code.data, "timeout");
    assert_int_equal(hf_ask_refused(c[2], HF_ESTATE).request_id, 7);
    free_all(&f.refused);
    teardown(&f);
}

static void a_command_is_checked_when_it_is_made(void **state)
{
    static char long_token[HF_CLIENT_TOKEN_MAX + 2];
    struct hf_command *c;

    (void)state;
    memset(long_token, 'a', sizeof(long_token) - 1);
    assert_int_equal(hf_command_presence(HF_STR(""), &c), HF_EINVAL);
    assert_int_equal(hf_command_call(HF_STR(""), HF_STR("1"), 1000, &c), HF_EINVAL);
    assert_int_equal(hf_command_call(HF_STR("\xff"), HF_STR("1"), 1000, &c), HF_EINVAL);
    assert_int_equal(hf_command_call(HF_STR("m"), HF_STR("1 2"), 1000, &c), HF_EINVAL);
    assert_int_equal(hf_command_call(HF_STR("m"), HF_STR("1234"), 3, &c), HF_ETOOLARGE);
    assert_int_equal(hf_command_call(HF_STR("m"), HF_STR("1234"), 4, &c),
                     HF_ETOOLARGE); /* with all around it */
    assert_int_equal(hf_command_token(NULL, &c), HF_EINVAL);
    assert_int_equal(hf_command_token("", &c), HF_EINVAL);
    assert_int_equal(hf_command_token("a b", &c), HF_EINVAL);
    assert_int_equal(hf_command_token(long_token, &c), HF_EINVAL);
    assert_int_equal(hf_command_token(long_token + 1, &c), 0);
    free(c);
    assert_int_equal(hf_command_token_failed(NULL, &c), 0);
    assert_null(c->payload.data);
    free(c);
}

static void a_command_without_memory_is_none(void **state)
{
    struct hf_command *c = NULL;
    int errs[5], i;

    (void)state;
    for (i = 0; i < 5; i++) {
        fault_arm(1);
        errs[i] = i == 0   ? hf_command_presence(HF_STR("room"), &c)
                  : i == 1 ? hf_command_call(HF_STR("m"), HF_STR("1"), 1000, &c)
                  : i == 2 ? hf_command_token("t", &c)
                  : i == 3 ? hf_command_token_failed("why", &c)
                           : hf_command_ping(&c);
        assert_true(fault_disarm());
        assert_int_equal(errs[i], HF_ENOMEM);
        assert_null(c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_client_takes_so_many_and_the_others_wait),
        cmocka_unit_test(each_command_asks_for_its_own),
        cmocka_unit_test(a_command_is_checked_when_it_is_made),
        cmocka_unit_test(a_command_without_memory_is_none),
        cmocka_unit_test(an_answer_finds_its_command_once),
        cmocka_unit_test(what_is_taken_back_stands_in_front_in_its_order),
        cmocka_unit_test(a_client_that_is_closed_takes_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
