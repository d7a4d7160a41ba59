/*
 * test_alarm.c - the alarm by itself, and in a client whose loop waits without a timeout: as poll() does whose machine sleeps.
 */
#include "client/alarm.h"

#include "holdfast/holdfast.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { FOR_EVER_MS = 20000, SOON_MS = 30 };

static uint64_t now_ms(void)
{
    struct timespec t;

    assert_int_equal(clock_gettime(CLOCK_BOOTTIME, &t), 0);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static bool rings_within(const struct hf_alarm *a, int timeout_ms)
{
    struct pollfd fd = {.fd = a->fd, .events = POLLIN};

    return poll(&fd, 1, timeout_ms) == 1;
}

/* What the kernel says is left; 0: it is not armed, or has rung. */
static uint64_t left_ms(const struct hf_alarm *a)
{
    struct itimerspec left;

    assert_int_equal(timerfd_gettime(a->fd, &left), 0);
    return (uint64_t)left.it_value.tv_sec * 1000 + (uint64_t)(left.it_value.tv_nsec + 999999) / 1000000;
}

static void rings_in_its_time(void **state)
{
    struct hf_alarm a;
    uint64_t begin = now_ms();

    (void)state;
    hf_alarm_init(&a);
    assert_true(a.fd >= 0);
    assert_false(rings_within(&a, 0));
    hf_alarm_set(&a, begin + SOON_MS, begin);
    assert_true(rings_within(&a, FOR_EVER_MS));
    assert_true(now_ms() >= begin + SOON_MS);
    hf_alarm_set(&a, begin, now_ms()); /* What is overdue rings at once. */
    assert_true(rings_within(&a, FOR_EVER_MS));
    hf_alarm_set(&a, 0, now_ms());
    assert_true(rings_within(&a, FOR_EVER_MS));
    hf_alarm_release(&a);
    assert_int_equal(a.fd, -1);
}

/* Nobody reads it: one that rings would end each further wait. */
static void is_quiet_when_it_is_armed_anew(void **state)
{
    struct hf_alarm a;
    uint64_t now = now_ms();

    (void)state;
    hf_alarm_init(&a);
    hf_alarm_set(&a, now, now);
    assert_true(rings_within(&a, FOR_EVER_MS));
    hf_alarm_set(&a, now + FOR_EVER_MS, now_ms());
    assert_false(rings_within(&a, 0));
    assert_true(left_ms(&a) > 0);
    now = now_ms();
    hf_alarm_set(&a, now, now);
    assert_true(rings_within(&a, FOR_EVER_MS));
    hf_alarm_set(&a, now + HF_ALARM_EARLY_MS - 1, now); /* Also where the next time is near. */
    assert_false(rings_within(&a, 0));
    hf_alarm_set(&a, now, now_ms());
    assert_true(rings_within(&a, FOR_EVER_MS));
    hf_alarm_set(&a, UINT64_MAX, now_ms());
    assert_false(rings_within(&a, 0));
    assert_int_equal(left_ms(&a), 0);
    hf_alarm_release(&a);
}

/* Where the deadline goes ahead a little at a time the alarm stays, up to a second too early and never too late. */
static void is_armed_seldom(void **state)
{
    struct hf_alarm a;
    uint64_t now = now_ms(), at = now + FOR_EVER_MS, i, armed = 0, last = 0;

    (void)state;
    hf_alarm_init(&a);
    for (i = 0; i < 5000; i++) {
        hf_alarm_set(&a, at + i, now);
        assert_true(a.at_ms <= at + i && a.at_ms + HF_ALARM_EARLY_MS > at + i);
        armed += a.at_ms != last ? 1 : 0;
        last = a.at_ms;
    }
    assert_int_equal(armed, 5);
    hf_alarm_set(&a, now + 500, now); /* Sooner: at once. */
    assert_int_equal(a.at_ms, now + 500);
    assert_true(left_ms(&a) <= 500);
    hf_alarm_release(&a);
}

/* --- in a client --- */

struct told {
    unsigned failed;
};

static void on_disconnected(void *user, const struct hf_client_break *how)
{
    struct told *told = user;

    assert_true(how->attempt);
    told->failed++;
}

/* A port of this machine at which nobody listens: what connects there is refused at once. */
static int refusing_port(char *url, size_t cap)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    (void)snprintf(url, cap, "ws://127.0.0.1:%u/ws", (unsigned)ntohs(address.sin_port));
    return fd;
}

static void options_for(struct hf_client_options *options, const char *url, struct told *told)
{
    hf_client_options_init(options);
    options->url = url;
    options->watch_network = false; /* Nothing but the client's own deadlines is to end a wait. */
    options->on_disconnected = on_disconnected;
    options->user = told;
}

/* The backoff between two attempts is over in time, though the loop waits for ever. */
static void a_wait_without_end_ends_at_the_deadline(void **state)
{
    struct hf_client_options options;
    struct hf_client *client;
    struct pollfd fds[HF_CLIENT_POLL_MAX];
    struct told told = {0};
    char url[64];
    int port = refusing_port(url, sizeof(url)), timeout_ms, count, turns = 0;

    (void)state;
    options_for(&options, url, &told);
    assert_int_equal(hf_client_new(&options, &client), 0);
    while (told.failed < 4) {
        count = hf_client_prepare(client, fds, &timeout_ms);
        assert_true(count > 0 && count <= HF_CLIENT_POLL_MAX && timeout_ms >= 0);
        if (poll(fds, (nfds_t)count, FOR_EVER_MS) <= 0)
            fail_msg("the wait went on after its deadline of %d ms", timeout_ms);
        assert_int_equal(hf_client_process(client, fds, count), 1);
        turns++;
    }
    /* An attempt is three turns or four; an alarm that went on ringing would have made thousands. */
    assert_in_range(turns, 4, 40);
    hf_client_free(client);
    (void)close(port);
}

static int lowest_free_fd(void)
{
    int fd = dup(0);

    assert_true(fd >= 0);
    (void)close(fd);
    return fd;
}

/* The last descriptor is the wake-up's. Without an alarm the client works as well: the timeout ends its waits. */
static void without_a_descriptor_for_it(void **state)
{
    struct hf_client_options options;
    struct hf_client *client;
    struct pollfd fds[HF_CLIENT_POLL_MAX];
    struct told told = {0};
    struct rlimit before, few;
    char url[64];
    int port = refusing_port(url, sizeof(url)), timeout_ms, err;

    (void)state;
    options_for(&options, url, &told);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    few = before;
    few.rlim_cur = (rlim_t)lowest_free_fd() + 1;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    err = hf_client_new(&options, &client);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(err, 0);
    while (told.failed < 2)
        assert_int_equal(hf_client_step(client, -1), 1);
    assert_int_equal(hf_client_prepare(client, fds, &timeout_ms), 1);
    hf_client_free(client);
    (void)close(port);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rings_in_its_time),
        cmocka_unit_test(is_quiet_when_it_is_armed_anew),
        cmocka_unit_test(is_armed_seldom),
        cmocka_unit_test(a_wait_without_end_ends_at_the_deadline),
        cmocka_unit_test(without_a_descriptor_for_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
