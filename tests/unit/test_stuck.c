/* Whether what was written arrives: the judgement by numbers, and the reader on a real connection. */
#include "client/stuck.h"

#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static bool look(struct hf_stuck *s, uint32_t unacked, uint32_t backoff, uint64_t waiting, uint64_t acked,
                 uint64_t now)
{
    const struct hf_tcp_facts facts = {
        .unacked_segments = unacked, .backoff = backoff, .waiting_bytes = waiting, .acked_bytes = acked};

    return hf_stuck_look(s, &facts, now);
}

static struct hf_stuck written(uint64_t now)
{
    struct hf_stuck s;

    hf_stuck_init(&s);
    assert_int_equal(s.look_at_ms, UINT64_MAX);
    hf_stuck_written(&s, now);
    assert_int_equal(s.look_at_ms, now + HF_STUCK_LOOK_MS);
    hf_stuck_written(&s, now + 100); /* Writing on does not put the look off. */
    assert_int_equal(s.look_at_ms, now + HF_STUCK_LOOK_MS);
    return s;
}

static void what_has_arrived_needs_no_more_looks(void **state)
{
    struct hf_stuck s = written(1000);

    (void)state;
    assert_false(look(&s, 0, 0, 0, 10, 1500));
    assert_int_equal(s.look_at_ms, UINT64_MAX);
}

static void a_timer_doubled_twice_is_stuck(void **state)
{
    struct hf_stuck s = written(1000);

    (void)state;
    assert_false(look(&s, 1, 1, 10, 0, 1500));
    assert_int_equal(s.look_at_ms, 2000);
    assert_true(look(&s, 1, 2, 10, 0, 2000));
    assert_false(look(&s, 1, 3, 10, 0, 2500)); /* once */
    assert_false(look(&s, 1, 0, 10, 5, 3000)); /* It moves, */
    assert_true(look(&s, 1, 2, 10, 5, 3500));  /* and is stuck again. */
}

/* A window that stays shut lets the timer of retransmissions rest. */
static void what_does_not_move_for_2_s_is_stuck(void **state)
{
    struct hf_stuck s = written(1000);

    (void)state;
    assert_false(look(&s, 0, 0, 500, 70, 1500));
    assert_false(look(&s, 0, 0, 900, 80, 2000)); /* moved, though more waits than before */
    assert_false(look(&s, 0, 0, 900, 80, 3999));
    assert_true(look(&s, 0, 0, 900, 80, 4000));
}

static void a_backoff_of_nothing_is_none(void **state)
{
    struct hf_stuck s = written(1000);

    (void)state;
    assert_false(look(&s, 0, 5, 10, 0, 1500));
}

/* A connection on loopback; the server's end takes at most little. */
static void connect_pair(int *client, int *server)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(at);
    const int little = 4096;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(listener >= 0);
    assert_int_equal(setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &little, sizeof(little)), 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&at, &len), 0);
    *client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(*client, (struct sockaddr *)&at, sizeof(at)), 0);
    *server = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    assert_true(*server >= 0);
    (void)close(listener);
}

static struct hf_tcp_facts facts_of(int fd)
{
    struct hf_tcp_facts facts;

    assert_int_equal(hf_tcp_facts_read(fd, &facts), 0);
    return facts;
}

static void the_kernel_tells_what_waits(void **state)
{
    static uint8_t bytes[64 * 1024];
    struct hf_tcp_facts facts;
    int client, server, tries;
    size_t sent = 0, got = 0;
    ssize_t n;

    (void)state;
    connect_pair(&client, &server);
    facts = facts_of(client);
    assert_int_equal(facts.waiting_bytes, 0);
    assert_int_equal(facts.backoff, 0);
    while ((n = send(client, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0)
        sent += (size_t)n;
    facts = facts_of(client);
    assert_true(facts.waiting_bytes > 0 && facts.waiting_bytes <= sent);
    for (tries = 0; got < sent && (n = recv(server, bytes, sizeof(bytes), 0)) > 0; tries++)
        got += (size_t)n;
    assert_int_equal(got, sent);
    for (tries = 0; tries < 1000 && facts_of(client).waiting_bytes > 0; tries++)
        (void)poll(NULL, 0, 10); /* for the last acknowledgement */
    facts = facts_of(client);
    assert_int_equal(facts.waiting_bytes, 0);
    assert_true(facts.acked_bytes >= sent);
    (void)close(client);
    (void)close(server);
}

static void what_is_no_tcp_is_told(void **state)
{
    struct hf_tcp_facts facts;
    int pair[2];

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    assert_int_equal(hf_tcp_facts_read(pair[0], &facts), HF_EIO);
    (void)close(pair[0]);
    (void)close(pair[1]);
}

static void the_user_timeout_is_set(void **state)
{
    enum { USER_TIMEOUT = 18 }; /* TCP_USER_TIMEOUT, whose header goes not with <netinet/tcp.h>'s */
    unsigned ms = 0;
    socklen_t len = sizeof(ms);
    int client, server;

    (void)state;
    connect_pair(&client, &server);
    hf_tcp_give_up_after(client, 3000);
    assert_int_equal(getsockopt(client, IPPROTO_TCP, USER_TIMEOUT, &ms, &len), 0);
    assert_int_equal(ms, 3000);
    (void)close(client);
    (void)close(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_has_arrived_needs_no_more_looks),
        cmocka_unit_test(a_timer_doubled_twice_is_stuck),
        cmocka_unit_test(what_does_not_move_for_2_s_is_stuck),
        cmocka_unit_test(a_backoff_of_nothing_is_none),
        cmocka_unit_test(the_kernel_tells_what_waits),
        cmocka_unit_test(what_is_no_tcp_is_told),
        cmocka_unit_test(the_user_timeout_is_set),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
