#include "client/mailbox.h"

#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

enum { HELD_MAX = 3, BYTES_MAX = 4096 };

static struct hf_command *publish_command(void)
{
    struct hf_command *c = NULL;

    assert_int_equal(hf_command_publish(HF_STR("demo"), HF_STR("1"), NULL, BYTES_MAX, &c), 0);
    return c;
}

static int put(struct hf_mailbox *m, uint64_t *id)
{
    struct hf_command *c = publish_command();
    int err = hf_mailbox_put(m, c, id);

    if (err < 0)
        free(c);
    return err;
}

static bool rings(const struct hf_mailbox *m)
{
    struct pollfd fd = {.fd = m->bell_fd, .events = POLLIN};

    return poll(&fd, 1, 0) == 1;
}

static void commands_are_numbered_and_keep_their_place_until_done(void **state)
{
    struct hf_mailbox m;
    struct hf_list commands, questions;
    uint64_t id = 0, i;

    (void)state;
    hf_list_init(&commands);
    hf_list_init(&questions);
    assert_int_equal(hf_mailbox_init(&m, HELD_MAX, BYTES_MAX, 0), 0);
    assert_false(rings(&m));
    for (i = 1; i <= HELD_MAX; i++) {
        assert_int_equal(put(&m, &id), 0);
        assert_int_equal(id, i);
    }
    assert_true(rings(&m));
    assert_int_equal(put(&m, &id), HF_EAGAIN);
    (void)hf_mailbox_take(&m, &commands, &questions);
    assert_false(rings(&m));
    assert_int_equal(HF_COMMAND_OF(commands.next)->publish_id, 1);
    assert_int_equal(put(&m, &id), HF_EAGAIN); /* taken is not done */
    hf_mailbox_done(&m, &commands);
    assert_int_equal(m.bytes, 0);
    assert_int_equal(put(&m, &id), 0);
    assert_int_equal(id, HELD_MAX + 1);
    assert_true(rings(&m));
    assert_int_equal(m.unanswered, HELD_MAX + 1);
    hf_mailbox_release(&m); /* frees the one that is in it */
}

static void bytes_are_bounded_too(void **state)
{
    struct hf_mailbox m;
    struct hf_command *c = publish_command();
    size_t bytes = c->bytes;
    uint64_t id;

    (void)state;
    free(c);
    assert_int_equal(hf_mailbox_init(&m, 100, 2 * bytes + 1, 0), 0);
    assert_int_equal(put(&m, &id), 0);
    assert_int_equal(put(&m, &id), 0);
    assert_int_equal(put(&m, &id), HF_EAGAIN);
    hf_mailbox_release(&m);
}

/* The bytes of a call count with those of publishes, its place with those of requests. */
static void a_call_is_bounded_by_its_bytes(void **state)
{
    struct hf_command *calls[3];
    struct hf_mailbox m;
    struct hf_list taken, asked;
    uint64_t id;
    unsigned i;

    (void)state;
    hf_list_init(&taken);
    hf_list_init(&asked);
    for (i = 0; i < 3; i++)
        assert_int_equal(hf_command_call(HF_STR("method"), HF_STR("[1, 2, 3]"), BYTES_MAX, &calls[i]), 0);
    assert_int_equal(hf_mailbox_init(&m, 1, 2 * calls[0]->bytes + 1, 0), 0);
    assert_int_equal(hf_mailbox_put(&m, calls[0], &id), 0);
    assert_int_equal(hf_mailbox_put(&m, calls[1], &id), 0);
    assert_int_equal(id, 2);
    assert_int_equal(hf_mailbox_put(&m, calls[2], &id), HF_EAGAIN);
    (void)hf_mailbox_take(&m, &taken, &asked);
    assert_int_equal(hf_mailbox_put(&m, calls[2], &id),
                     HF_EAGAIN); /* They keep their place until they are done. */
    hf_mailbox_done(&m, &taken);
    assert_int_equal(m.bytes, 0);
    assert_int_equal(m.requests, 0);
    assert_int_equal(hf_mailbox_put(&m, calls[2], &id), 0);
    hf_mailbox_release(&m);
}

static void a_smaller_bound_keeps_what_is_in(void **state)
{
    struct hf_mailbox m;
    struct hf_list commands, questions;
    uint64_t id;

    (void)state;
    hf_list_init(&commands);
    hf_list_init(&questions);
    assert_int_equal(hf_mailbox_init(&m, HELD_MAX, BYTES_MAX, 0), 0);
    assert_int_equal(put(&m, &id), 0);
    assert_int_equal(put(&m, &id), 0);
    hf_mailbox_set_max(&m, 1);
    assert_int_equal(put(&m, &id), HF_EAGAIN);
    (void)hf_mailbox_take(&m, &commands, &questions);
    hf_mailbox_done(&m, &commands);
    assert_int_equal(put(&m, &id), 0);
    hf_mailbox_release(&m);
}

static int put_subscribe(struct hf_mailbox *m)
{
    struct hf_command *c = NULL;
    uint64_t id = 0;
    int err = hf_command_subscribe(HF_STR("demo"), NULL, &c);

    assert_int_equal(err, 0);
    err = hf_mailbox_put(m, c, &id);
    assert_int_equal(id, 0);
    if (err < 0)
        free(c);
    return err;
}

/* A program begins with its subscribes, when the bound for publishes is that of a pool without a connection. */
static void requests_have_places_of_their_own(void **state)
{
    struct hf_mailbox m;
    struct hf_list commands, questions;
    uint64_t id;
    unsigned i;

    (void)state;
    hf_list_init(&commands);
    hf_list_init(&questions);
    assert_int_equal(hf_mailbox_init(&m, 1, BYTES_MAX, 0), 0);
    for (i = 0; i < HF_MAILBOX_REQUESTS_MAX; i++)
        assert_int_equal(put_subscribe(&m), 0);
    assert_int_equal(put_subscribe(&m), HF_EAGAIN);
    assert_int_equal(put(&m, &id), 0);
    assert_int_equal(put(&m, &id), HF_EAGAIN);
    (void)hf_mailbox_take(&m, &commands, &questions);
    hf_mailbox_done(&m, &commands);
    assert_int_equal(put_subscribe(&m), 0);
    assert_int_equal(put(&m, &id), 0);
    assert_int_equal(id, 2);
    hf_mailbox_release(&m);
}

static int put_ask(struct hf_mailbox *m, bool ping, uint64_t *id)
{
    struct hf_command *c = NULL;
    int err = ping ? hf_command_ping(&c) : hf_command_history(HF_STR("demo"), NULL, &c);

    assert_int_equal(err, 0);
    err = hf_mailbox_put(m, c, id);
    assert_true(err < 0 || c->request_id == *id);
    if (err < 0)
        free(c);
    return err;
}

/* They have one count, beside that of the publishes, and the places of subscribes. */
static void history_and_pings_have_numbers_of_their_own(void **state)
{
    struct hf_mailbox m;
    struct hf_list commands, questions;
    uint64_t id;
    unsigned i;

    (void)state;
    hf_list_init(&commands);
    hf_list_init(&questions);
    assert_int_equal(hf_mailbox_init(&m, 10, BYTES_MAX, 0), 0);
    assert_int_equal(put(&m, &id), 0);
    for (i = 1; i <= HF_MAILBOX_REQUESTS_MAX; i++) {
        assert_int_equal(put_ask(&m, i % 2 == 0, &id), 0);
        assert_int_equal(id, i);
    }
    assert_int_equal(put_ask(&m, true, &id), HF_EAGAIN);
    assert_int_equal(put_subscribe(&m), HF_EAGAIN);
    assert_int_equal(put(&m, &id), 0);
    assert_int_equal(id, 2);
    assert_int_equal(atomic_load(&m.unanswered), 2); /* of publishes */
    (void)hf_mailbox_take(&m, &commands, &questions);
    hf_mailbox_done(&m, &commands);
    assert_int_equal(put_ask(&m, false, &id), 0);
    assert_int_equal(id, HF_MAILBOX_REQUESTS_MAX + 1);
    hf_mailbox_release(&m);
}

static void closed_and_stopped_ones_take_nothing(void **state)
{
    void (*const ends[])(struct hf_mailbox *) = {hf_mailbox_close, hf_mailbox_stop, hf_mailbox_finish};
    struct hf_question q = {.channel = HF_STR("demo")};
    uint64_t id;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        struct hf_mailbox m;

        assert_int_equal(hf_mailbox_init(&m, HELD_MAX, BYTES_MAX, 0), 0);
        ends[i](&m);
        assert_int_equal(put(&m, &id), HF_ESTATE);
        if (ends[i] == hf_mailbox_finish)
            assert_false(hf_mailbox_ask(&m, &q));
        hf_mailbox_release(&m);
    }
}

/* --- with a second thread --- */

struct other {
    struct hf_mailbox *m;
    int err;
    bool found;
    struct hf_question question;
};

static void *other_put(void *ctx)
{
    struct other *o = ctx;
    uint64_t id;

    o->err = put(o->m, &id);
    return NULL;
}

static void *other_ask(void *ctx)
{
    struct other *o = ctx;

    o->found = hf_mailbox_ask(o->m, &o->question);
    return NULL;
}

static uint32_t waiting(struct hf_mailbox *m)
{
    uint32_t count;

    (void)pthread_mutex_lock(&m->lock);
    count = m->waiting;
    (void)pthread_mutex_unlock(&m->lock);
    return count;
}

static void fill(struct hf_mailbox *m, uint64_t wait_ms)
{
    uint64_t id;

    assert_int_equal(hf_mailbox_init(m, 1, BYTES_MAX, wait_ms), 0);
    assert_int_equal(put(m, &id), 0);
}

static void who_waits_gets_the_place_that_becomes_free(void **state)
{
    struct hf_mailbox m;
    struct hf_list commands, questions;
    struct other o = {.m = &m, .err = 1};
    pthread_t thread;

    (void)state;
    hf_list_init(&commands);
    hf_list_init(&questions);
    fill(&m, 60000);
    assert_int_equal(pthread_create(&thread, NULL, other_put, &o), 0);
    while (waiting(&m) == 0)
        (void)poll(NULL, 0, 1);
    (void)hf_mailbox_take(&m, &commands, &questions);
    hf_mailbox_done(&m, &commands);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(o.err, 0);
    hf_mailbox_release(&m);
}

static void who_waits_is_told_of_the_end(void **state)
{
    struct hf_mailbox m;
    struct other o = {.m = &m};
    pthread_t thread;

    (void)state;
    fill(&m, 60000);
    assert_int_equal(pthread_create(&thread, NULL, other_put, &o), 0);
    while (waiting(&m) == 0)
        (void)poll(NULL, 0, 1);
    hf_mailbox_close(&m);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(o.err, HF_ESTATE);
    hf_mailbox_release(&m);
}

/* It would wait for itself. */
static void the_owner_never_waits(void **state)
{
    struct hf_mailbox m;
    uint64_t id;

    (void)state;
    fill(&m, 600000);
    hf_mailbox_adopt(&m);
    assert_true(hf_mailbox_is_mine(&m));
    assert_int_equal(put(&m, &id), HF_EAGAIN);
    hf_mailbox_release(&m);
}

static void a_wait_ends(void **state)
{
    struct hf_mailbox m;
    uint64_t id;

    (void)state;
    fill(&m, 30);
    assert_int_equal(put(&m, &id), HF_EAGAIN);
    hf_mailbox_release(&m);
}

static void a_question_is_answered(void **state)
{
    struct hf_mailbox m;
    struct hf_list commands, questions;
    struct other o = {.m = &m, .question = {.channel = HF_STR("demo")}};
    struct hf_question *q;
    pthread_t thread;

    (void)state;
    hf_list_init(&commands);
    hf_list_init(&questions);
    assert_int_equal(hf_mailbox_init(&m, HELD_MAX, BYTES_MAX, 0), 0);
    assert_int_equal(pthread_create(&thread, NULL, other_ask, &o), 0);
    while (hf_list_empty(&questions)) {
        (void)poll(&(struct pollfd){.fd = m.bell_fd, .events = POLLIN}, 1, 1000);
        (void)hf_mailbox_take(&m, &commands, &questions);
    }
    q = HF_QUESTION_OF(hf_list_pop(&questions));
    q->offset = 17;
    hf_mailbox_answer(&m, q, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(o.found);
    assert_int_equal(o.question.offset, 17);
    hf_mailbox_release(&m);
}

/* --- commands --- */

static void bad_arguments_are_refused_at_once(void **state)
{
    const struct hf_client_history_query too_many = {.limit = 1001}, no_epoch = {.since_epoch = ""};
    struct hf_command *c = NULL;

    (void)state;
    assert_int_equal(hf_command_publish(HF_STR(""), HF_STR("1"), NULL, BYTES_MAX, &c), HF_EINVAL);
    assert_int_equal(hf_command_publish(HF_STR("a"), HF_STR("{"), NULL, BYTES_MAX, &c), HF_EINVAL);
    assert_int_equal(hf_command_publish(HF_STR("a"), HF_STR("1"), "\xff", BYTES_MAX, &c), HF_EINVAL);
    assert_int_equal(hf_command_publish(HF_STR("a"), HF_STR("1"), NULL, 20, &c), HF_ETOOLARGE);
    assert_int_equal(hf_command_publish_text(HF_STR("a"), HF_STR("\xff"), NULL, BYTES_MAX, &c), HF_EINVAL);
    assert_int_equal(hf_command_publish_text(HF_STR("a"), HF_STR("123456789"), NULL, 9, &c), HF_ETOOLARGE);
    assert_int_equal(hf_command_publish_bytes(HF_STR(""), HF_STR("\xff"), NULL, BYTES_MAX, &c), HF_EINVAL);
    assert_int_equal(hf_command_publish_bytes(HF_STR("a"), HF_STR("123456789"), NULL, 8, &c), HF_ETOOLARGE);
    assert_int_equal(hf_command_subscribe(HF_STR("\x01"), NULL, &c), HF_EINVAL);
    assert_int_equal(hf_command_unsubscribe(HF_STR(""), &c), HF_EINVAL);
    assert_int_equal(hf_command_history(HF_STR(""), NULL, &c), HF_EINVAL);
    assert_int_equal(hf_command_history(HF_STR("a"), &too_many, &c), HF_EINVAL);
    assert_int_equal(hf_command_history(HF_STR("a"), &no_epoch, &c), HF_EINVAL);
    assert_null(c);
}

static void texts_are_copied(void **state)
{
    char channel[] = "demo", words[] = "say \"hi\"", id[] = "i1", epoch[] = "e1";
    const struct hf_client_start start = {.since_epoch = epoch, .since_offset = 4, .last = 2, .latest = true};
    const struct hf_client_history_query query = {
        .since_epoch = epoch, .since_offset = 7, .limit = 5, .reverse = true};
    struct hf_command *c = NULL;

    (void)state;
    assert_int_equal(hf_command_publish_text(hf_str_from(channel), hf_str_from(words), id, BYTES_MAX, &c), 0);
    channel[0] = words[0] = id[0] = '?';
    assert_string_equal(c->channel.data, "demo");
    assert_string_equal(c->payload.data, "\"say \\\"hi\\\"\"");
    assert_string_equal(c->id.data, "i1");
    assert_false(c->payload_raw);
    free(c);
    assert_int_equal(
        hf_command_publish_bytes(HF_STR("a"), (struct hf_str){"\xff\0{", 3}, NULL, BYTES_MAX, &c), 0);
    assert_true(c->payload_raw && c->payload.len == 3 && memcmp(c->payload.data, "\xff\0{", 3) == 0);
    free(c);
    assert_int_equal(hf_command_subscribe(hf_str_from(channel), &start, &c), 0);
    epoch[0] = '?';
    assert_string_equal(c->start.since_epoch, "e1");
    assert_true(c->start.since_offset == 4 && c->start.last == 2 && c->start.latest);
    free(c);
    assert_int_equal(hf_command_subscribe(hf_str_from(channel), NULL, &c), 0);
    assert_null(c->start.since_epoch);
    free(c);
    epoch[0] = 'e';
    assert_int_equal(hf_command_history(hf_str_from(channel), &query, &c), 0);
    epoch[0] = '?';
    assert_string_equal(c->query.since_epoch, "e1");
    assert_true(c->query.since_offset == 7 && c->query.limit == 5 && c->query.reverse);
    free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commands_are_numbered_and_keep_their_place_until_done),
        cmocka_unit_test(bytes_are_bounded_too),
        cmocka_unit_test(a_call_is_bounded_by_its_bytes),
        cmocka_unit_test(a_smaller_bound_keeps_what_is_in),
        cmocka_unit_test(requests_have_places_of_their_own),
        cmocka_unit_test(history_and_pings_have_numbers_of_their_own),
        cmocka_unit_test(closed_and_stopped_ones_take_nothing),
        cmocka_unit_test(who_waits_gets_the_place_that_becomes_free),
        cmocka_unit_test(who_waits_is_told_of_the_end),
        cmocka_unit_test(the_owner_never_waits),
        cmocka_unit_test(a_wait_ends),
        cmocka_unit_test(a_question_is_answered),
        cmocka_unit_test(bad_arguments_are_refused_at_once),
        cmocka_unit_test(texts_are_copied),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
