/* Pools and threaded clients without a server: what starting refuses, what they take meanwhile, and how they end. */
#include "fault_malloc.h"
#include "holdfast/pool.h"
#include "holdfast/threaded.h"
#include "session/pool_channels.h"

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define NOBODY "ws://127.0.0.1:1/ws" /* nothing listens there */

static int start_pool(void (*change)(struct hf_pool_options *o), struct hf_pool **pool)
{
    struct hf_pool_options o;

    hf_pool_options_init(&o);
    o.client.url = NOBODY;
    change(&o);
    return hf_pool_start(&o, pool);
}

static void no_members(struct hf_pool_options *o)
{
    o->members = 0;
}

static void many_members(struct hf_pool_options *o)
{
    o->members = HF_POOL_MEMBERS_MAX + 1;
}

static void an_outbox_file(struct hf_pool_options *o)
{
    o->client.outbox_path = "/nonexistent/outbox";
}

static void a_wait_of_its_own(struct hf_pool_options *o)
{
    o->client.outbox_block_ms = 1;
}

static void no_queue(struct hf_pool_options *o)
{
    o->queue_max = 0;
}

static void no_connected_queue(struct hf_pool_options *o)
{
    o->connected_queue_max = 0;
}

static void no_interval(struct hf_pool_options *o)
{
    o->flush_interval_ms = 0;
}

static void long_interval(struct hf_pool_options *o)
{
    o->flush_interval_ms = 60001;
}

static void urls_without_a_count(struct hf_pool_options *o)
{
    static const char *const urls[] = {NOBODY};

    o->urls = urls;
}

static void count_without_urls(struct hf_pool_options *o)
{
    o->urls_count = 1;
}

/* One that no member would have come to for hours. */
static void bad_last_url(struct hf_pool_options *o)
{
    static const char *const urls[] = {NOBODY, NOBODY, NOBODY, "http://nobody"};

    o->urls = urls;
    o->urls_count = 4;
}

static void no_url(struct hf_pool_options *o)
{
    o->client.url = NULL;
}

static void no_outbox(struct hf_pool_options *o)
{
    o->client.outbox_messages_max = 0;
}

static void options_that_make_no_sense_are_refused(void **state)
{
    void (*const changes[])(struct hf_pool_options *) = {
        no_members,    many_members,         no_queue,           no_connected_queue, no_interval,
        long_interval, urls_without_a_count, count_without_urls, bad_last_url,       no_url,
        no_outbox,     an_outbox_file,       a_wait_of_its_own};
    struct hf_threaded_options t;
    struct hf_threaded *client = NULL;
    struct hf_pool *pool = NULL;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(changes) / sizeof(changes[0]); i++)
        assert_int_equal(start_pool(changes[i], &pool), HF_CLIENT_EINVAL);
    assert_null(pool);
    hf_threaded_options_init(&t);
    t.queue_max = 0;
    assert_int_equal(hf_threaded_start(&t, &client), HF_CLIENT_EINVAL);
    hf_threaded_options_init(&t);
    t.client.outbox_path = "/nonexistent/outbox";
    assert_int_equal(hf_threaded_start(&t, &client), HF_CLIENT_EINVAL);
    hf_threaded_options_init(&t);
    t.client.url = "nonsense";
    assert_int_equal(hf_threaded_start(&t, &client), HF_CLIENT_EINVAL);
    assert_null(client);
    hf_pool_free(NULL);
    hf_threaded_free(NULL);
}

static void on_ended(void *user)
{
    atomic_int *ended = user;

    atomic_fetch_add(ended, 1);
}

static int publish(struct hf_pool *pool, const char *key)
{
    return hf_pool_publish(pool, key, "demo", 4, "1", 1, NULL, NULL);
}

static void a_pool_without_a_server_takes_what_its_queue_holds(void **state)
{
    struct hf_pool_options o;
    struct hf_pool_statistics members[2], all;
    struct hf_pool *pool;
    atomic_int ended = 0;
    char epoch[HF_CLIENT_EPOCH_BYTES];
    uint64_t offset, id = 0;
    unsigned i;

    (void)state;
    hf_pool_options_init(&o);
    o.client.url = NOBODY;
    o.user = &ended;
    o.on_ended = on_ended;
    assert_int_equal(hf_pool_start(&o, &pool), 0);
    for (i = 0; i < o.queue_max; i++)
        assert_int_equal(publish(pool, i % 2 == 0 ? NULL : "key"), 0);
    assert_int_equal(publish(pool, NULL), HF_CLIENT_EAGAIN);
    assert_int_equal(publish(pool, "key"), HF_CLIENT_EAGAIN);
    assert_int_equal(hf_pool_publish(pool, NULL, "", 0, "1", 1, NULL, NULL), HF_CLIENT_EINVAL);
    assert_int_equal(hf_pool_subscribe(pool, "demo", 4, NULL), 0);
    assert_false(hf_pool_position(pool, "demo", 4, epoch, &offset));
    assert_int_equal(hf_pool_history(pool, "demo", 4, NULL, &id), 0);
    assert_int_equal(id, 1);
    assert_int_equal(hf_pool_ping(pool, 2, &id), 0);
    assert_int_equal(id, 2);
    assert_int_equal(hf_pool_history(pool, "demo", 4, NULL, NULL), 0);
    assert_int_equal(hf_pool_history(pool, "", 0, NULL, &id), HF_CLIENT_EINVAL);
    assert_int_equal(hf_pool_ping(pool, 3, &id), HF_CLIENT_EINVAL);
    assert_int_equal(hf_pool_unanswered(pool), o.queue_max);
    assert_int_equal(hf_pool_statistics(pool, members, 2, &all), 3); /* of three, two are wanted */
    assert_true(all.connected == 0 && all.published == 0 && all.queued == o.queue_max);
    hf_pool_close(pool);
    assert_int_equal(hf_pool_join(pool), 0);
    assert_int_equal(hf_pool_join(pool), 0);
    assert_int_equal(ended, 1);
    assert_int_equal(publish(pool, NULL), HF_CLIENT_ESTATE);
    assert_int_equal(hf_pool_subscribe(pool, "demo", 4, NULL), HF_CLIENT_ESTATE);
    assert_int_equal(hf_pool_history(pool, "demo", 4, NULL, &id), HF_CLIENT_ESTATE);
    assert_int_equal(hf_pool_ping(pool, 0, &id), HF_CLIENT_ESTATE);
    assert_false(hf_pool_position(pool, "demo", 4, epoch, &offset));
    hf_pool_free(pool);
}

static void a_pool_that_is_stopped_says_nothing_more(void **state)
{
    struct hf_pool_options o;
    struct hf_pool *pool;
    atomic_int ended = 0;

    (void)state;
    hf_pool_options_init(&o);
    o.client.url = NOBODY;
    o.user = &ended;
    o.on_ended = on_ended;
    assert_int_equal(hf_pool_start(&o, &pool), 0);
    assert_int_equal(publish(pool, NULL), 0);
    hf_pool_stop(pool);
    assert_int_equal(hf_pool_join(pool), 1);
    assert_int_equal(ended, 0);
    hf_pool_free(pool);
    /* And one that is freed as it runs. */
    assert_int_equal(hf_pool_start(&o, &pool), 0);
    hf_pool_free(pool);
    assert_int_equal(ended, 0);
}

static void a_threaded_client_without_a_server_takes_what_fits(void **state)
{
    struct hf_threaded_options o;
    struct hf_threaded *client;
    const struct hf_client_history_query too_many = {.limit = 1001};
    uint64_t id = 0;
    unsigned taken, asked;
    int err;

    (void)state;
    hf_threaded_options_init(&o);
    o.client.url = NOBODY;
    o.client.outbox_messages_max = 5;
    o.queue_max = 3;
    o.wait_ms = 20; /* so that the client's thread has moved what its outbox takes */
    assert_int_equal(hf_threaded_start(&o, &client), 0);
    for (taken = 0; (err = hf_threaded_publish(client, "demo", 4, "1", 1, NULL, &id)) == 0; taken++)
        assert_int_equal(id, taken + 1);
    assert_int_equal(err, HF_CLIENT_EAGAIN);
    assert_in_range(taken, 3, 8);
    assert_int_equal(hf_threaded_unanswered(client), taken);
    assert_false(hf_threaded_connected(client));
    /* They do not wait behind the publishes, nor these for them. */
    for (asked = 1; (err = hf_threaded_ping(client, &id)) == 0; asked++)
        assert_int_equal(id, asked);
    assert_int_equal(err, HF_CLIENT_EAGAIN);
    assert_int_equal(asked, 4096 + 1);
    assert_int_equal(hf_threaded_history(client, "demo", 4, NULL, &id), HF_CLIENT_EAGAIN);
    assert_int_equal(hf_threaded_history(client, "demo", 4, &too_many, &id), HF_CLIENT_EINVAL);
    hf_threaded_stop(client);
    assert_int_equal(hf_threaded_join(client), 1);
    assert_int_equal(hf_threaded_publish(client, "demo", 4, "1", 1, NULL, &id), HF_CLIENT_ESTATE);
    hf_threaded_free(client);
}

/* --- want of memory --- */

/* All that starting allocates comes before the thread does: so a start that fails has left nothing, and one that works ends the walk. */
static void starting_survives_want_of_memory(void **state)
{
    struct hf_pool_options o;
    struct hf_threaded_options t;
    struct hf_threaded *client;
    struct hf_pool *pool;
    unsigned n;
    int err;

    (void)state;
    hf_pool_options_init(&o);
    o.client.url = NOBODY;
    for (n = 1;; n++) {
        fault_arm(n);
        err = hf_pool_start(&o, &pool);
        if (err == 0)
            break;
        assert_true(fault_disarm());
        assert_int_equal(err, HF_CLIENT_ENOMEM);
    }
    hf_pool_free(pool);
    (void)fault_disarm();
    assert_in_range(n, 5, 100);
    hf_threaded_options_init(&t);
    t.client.url = NOBODY;
    for (n = 1;; n++) {
        fault_arm(n);
        err = hf_threaded_start(&t, &client);
        if (err == 0)
            break;
        assert_true(fault_disarm());
        assert_int_equal(err, HF_CLIENT_ENOMEM);
    }
    hf_threaded_free(client);
    (void)fault_disarm();
    assert_in_range(n, 3, 100);
}

static void channels_survive_want_of_memory(void **state)
{
    struct hf_pool_channels channels;
    struct hf_pool_channel *channel = NULL;
    unsigned n;
    int err;

    (void)state;
    hf_pool_channels_init(&channels, 2, 10);
    for (n = 1;; n++) {
        fault_arm(n);
        err = hf_pool_channels_add(&channels, HF_STR("demo"), HF_POOL_CORE_ANY, NULL, &channel);
        if (!fault_disarm())
            break;
        assert_int_equal(err, HF_ENOMEM);
        assert_null(hf_pool_channels_find(&channels, HF_STR("demo")));
    }
    assert_int_equal(err, 0);
    assert_true(n > 2);
    hf_pool_channels_release(&channels);
}

/* --- a server that lets nobody in --- */

struct porter {
    int listener;
    atomic_bool closing;
    pthread_t thread;
    struct hf_pool *pool;
    atomic_uint ended; /* sessions */
};

static void *refuse_all(void *arg)
{
    static const char answer[] = "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n";
    struct porter *p = arg;

    while (!atomic_load(&p->closing)) {
        struct pollfd fd = {.fd = p->listener, .events = POLLIN};
        char request[4096];
        int link = poll(&fd, 1, 20) > 0 ? accept(p->listener, NULL, NULL) : -1;

        if (link < 0)
            continue;
        if (recv(link, request, sizeof(request), 0) > 0)
            (void)!write(link, answer, sizeof(answer) - 1);
        (void)close(link);
    }
    return NULL;
}

static void count_ends(void *user, uint32_t member, const struct hf_client_break *how)
{
    struct porter *p = user;

    (void)member;
    assert_int_equal(how->http_status, 401);
    atomic_fetch_add(&p->ended, 1);
}

/*
 * It was closed when all its members were between two sessions, where nobody is left to ring its bell. And the strings of its options are its own when the second
 * session is made.
 */
static void a_pool_is_closed_while_all_its_members_are_away(void **state)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    char epoch[HF_CLIENT_EPOCH_BYTES];
    uint64_t offset;
    struct porter p = {.listener = socket(AF_INET, SOCK_STREAM, 0)};
    char *memory = strdup("/nonexistent/heartbeats"), url[64];
    struct hf_pool_options o;

    (void)state;
    assert_int_equal(bind(p.listener, (struct sockaddr *)&address, len), 0);
    assert_int_equal(listen(p.listener, 16), 0);
    assert_int_equal(getsockname(p.listener, (struct sockaddr *)&address, &len), 0);
    (void)snprintf(url, sizeof(url), "ws://127.0.0.1:%u/ws", ntohs(address.sin_port));
    hf_pool_options_init(&o);
    o.client.url = url;
    o.client.heartbeat_memory = memory;
    o.members = 1;
    o.user = &p;
    o.on_member_ended = count_ends;
    assert_int_equal(hf_pool_start(&o, &p.pool), 0);
    memset(memory, 'x', strlen(memory));
    free(memory);
    assert_int_equal(pthread_create(&p.thread, NULL, refuse_all, &p), 0);
    while (atomic_load(&p.ended) < 2)
        (void)poll(NULL, 0, 1);
    /* Its thread answers: it has seen the end, and waits to make the third one. */
    assert_false(hf_pool_position(p.pool, "room", 4, epoch, &offset));
    assert_false(hf_pool_position(p.pool, "room", 4, epoch, &offset));
    hf_pool_close(p.pool);
    assert_int_equal(hf_pool_join(p.pool), 0);
    assert_int_equal(atomic_load(&p.ended), 2);
    hf_pool_free(p.pool);
    atomic_store(&p.closing, true);
    assert_int_equal(pthread_join(p.thread, NULL), 0);
    (void)close(p.listener);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_that_make_no_sense_are_refused),
        cmocka_unit_test(a_pool_without_a_server_takes_what_its_queue_holds),
        cmocka_unit_test(a_pool_that_is_stopped_says_nothing_more),
        cmocka_unit_test(a_threaded_client_without_a_server_takes_what_fits),
        cmocka_unit_test(a_pool_is_closed_while_all_its_members_are_away),
        cmocka_unit_test(starting_survives_want_of_memory),
        cmocka_unit_test(channels_survive_want_of_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
