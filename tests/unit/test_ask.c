/* History and pings that are handed to a client: what it takes, what waits, and which answer is whose. */
#include "client/ask.h"

#include "holdfast/holdfast.h"
#include "session/request.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

enum { MORE = 6, ALL = HF_REQUESTS_MAX + MORE };

struct fixture {
    struct hf_client *client; /* of a server that is not there: it keeps what it is asked */
    struct hf_list waiting, asked;
};

/* Commands 1, 2, 3 …: each third is a ping. */
static void setup(struct fixture *f)
{
    struct hf_client_options options;
    struct hf_command *c;
    uint64_t n;

    hf_list_init(&f->waiting);
    hf_list_init(&f->asked);
    hf_client_options_init(&options);
    options.url = "ws://127.0.0.1:1/ws";
    assert_int_equal(hf_client_new(&options, &f->client), 0);
    for (n = 1; n <= ALL; n++) {
        assert_int_equal(n % 3 == 0 ? hf_command_ping(&c) : hf_command_history(HF_STR("room"), NULL, &c), 0);
        c->request_id = 1000 + n;
        hf_list_add_tail(&f->waiting, &c->node);
    }
    hf_ask_waiting(&f->asked, f->client, &f->waiting);
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
    hf_ask_waiting(&f.asked, f.client, &f.waiting); /* It has no room still. */
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
    hf_ask_again(&f.asked, HF_COMMAND_HISTORY, &f.waiting);
    assert_int_equal(count(&f.asked), HF_REQUESTS_MAX / 3);
    assert_int_equal(count(&f.waiting), ALL - HF_REQUESTS_MAX / 3);
    for (node = f.asked.next; node != &f.asked; node = node->next)
        assert_int_equal(HF_COMMAND_OF(node)->type, HF_COMMAND_PING);
    for (node = f.waiting.next; node != &f.waiting; node = node->next) {
        assert_true(HF_COMMAND_OF(node)->request_id > last);
        last = HF_COMMAND_OF(node)->request_id;
    }
    assert_int_equal(last, 1000 + ALL);
    hf_ask_again(&f.asked, HF_COMMAND_PING, &f.waiting);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_client_takes_so_many_and_the_others_wait),
        cmocka_unit_test(an_answer_finds_its_command_once),
        cmocka_unit_test(what_is_taken_back_stands_in_front_in_its_order),
        cmocka_unit_test(a_client_that_is_closed_takes_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
