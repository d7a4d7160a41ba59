/*
 * test_dial.c - dials over real sockets on loopback, with a clock of the test's own: it stands still but where a test moves it, so that no deadline comes by
 * chance.
 */
#include "client/dial.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum { START_MS = 1000000, UNTIL_MS = START_MS + 4000 };

/* Listeners on 127.0.0.1 and 127.0.0.2, with the same port; and a name server that never answers. */
struct network {
    int fds[2], dns_fd;
    char port[6], dns[32];
};

static int bound(int type, uint8_t last_byte, uint16_t *port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(*port)};
    socklen_t len = sizeof(a);
    int fd = socket(AF_INET, type, 0);

    assert_true(fd >= 0);
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK - 1 + last_byte);
    assert_int_equal(bind(fd, (const struct sockaddr *)&a, sizeof(a)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
    *port = ntohs(a.sin_port);
    return fd;
}

static struct network network(void)
{
    struct network n;
    uint16_t port = 0, dns_port = 0;

    n.fds[0] = bound(SOCK_STREAM, 1, &port);
    n.fds[1] = bound(SOCK_STREAM, 2, &port);
    n.dns_fd = bound(SOCK_DGRAM, 1, &dns_port);
    assert_int_equal(listen(n.fds[0], 8) | listen(n.fds[1], 8), 0);
    (void)snprintf(n.port, sizeof(n.port), "%u", port);
    (void)snprintf(n.dns, sizeof(n.dns), "127.0.0.1:%u", dns_port);
    return n;
}

static void network_close(struct network *n)
{
    (void)close(n->fds[0]);
    (void)close(n->fds[1]);
    (void)close(n->dns_fd);
}

static struct hf_race_address loopback(uint8_t last_byte)
{
    return (struct hf_race_address){.ip = hf_ip_v4((const uint8_t[4]){127, 0, 0, last_byte})};
}

/* A host whose two addresses are known. */
static struct hf_host known_host(const struct network *n, uint64_t fresh_until_ms)
{
    struct hf_host host = {.name = "server.test", .port = n->port, .fresh_until_ms = fresh_until_ms};

    host.known[HF_RACE_V6].there = host.known[HF_RACE_V4].there = true;
    host.known[HF_RACE_V4].count = 2;
    host.known[HF_RACE_V4].list[0] = loopback(1);
    host.known[HF_RACE_V4].list[1] = loopback(2);
    return host;
}

/* Let the sockets do what they do while the clock stands at now_ms: until it has ended, or a quarter of a second of silence. */
static int run(struct hf_dial *d, uint64_t now_ms)
{
    struct pollfd fds[HF_DIAL_FDS_MAX];
    int result, count, i;

    while ((result = hf_dial_step(d, now_ms)) == HF_EAGAIN) {
        count = hf_dial_prepare(d, fds);
        assert_in_range(count, 0, HF_DIAL_FDS_MAX);
        if (poll(fds, (nfds_t)count, 250) <= 0)
            return HF_EAGAIN;
        for (i = 0; i < count; i++)
            hf_dial_ready(d, &fds[i], now_ms);
    }
    assert_null(d->host);
    assert_int_equal(hf_dial_deadline_ms(d, now_ms), UINT64_MAX);
    return result;
}

static uint8_t last_byte_of_peer(int fd)
{
    struct sockaddr_in a;
    socklen_t len = sizeof(a);

    assert_int_equal(getpeername(fd, (struct sockaddr *)&a, &len), 0);
    return (uint8_t)ntohl(a.sin_addr.s_addr);
}

static void a_number_is_connected_to(void **state)
{
    struct network n = network();
    struct hf_host host = {.name = "127.0.0.2", .port = n.port, .losses = 3};
    struct hf_dial d;
    int fd, on = 0;
    socklen_t len = sizeof(on);

    (void)state;
    hf_dial_init(&d);
    hf_dial_start(&d, &host, n.dns, UNTIL_MS, START_MS);
    fd = run(&d, START_MS);
    assert_true(fd >= 0);
    assert_int_equal(last_byte_of_peer(fd), 2);
    assert_true((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0 && (fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
    assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, &len), 0);
    assert_int_not_equal(on, 0);
    assert_true(host.has_last_good && host.rtt_ms == 1 && host.losses == 0);
    assert_int_equal(host.last_good.ip.bytes[HF_IP_BYTES - 1], 2);
    (void)close(fd);
    network_close(&n);
}

/* What is fresh is not asked for; what worked last time comes first; a host that refuses all must be looked for anew. */
static void what_is_known_is_used(void **state)
{
    struct network n = network();
    struct hf_host host = known_host(&n, START_MS + 1);
    struct hf_dial d;
    int fd;

    (void)state;
    hf_dial_init(&d);
    for (uint8_t last = 1; last <= 2; last++) {
        host.has_last_good = true;
        host.last_good = loopback(last);
        hf_dial_start(&d, &host, n.dns, UNTIL_MS, START_MS);
        fd = run(&d, START_MS);
        assert_true(fd >= 0);
        assert_int_equal(last_byte_of_peer(fd), last);
        (void)close(fd);
    }
    network_close(&n);
    hf_dial_start(&d, &host, n.dns, UNTIL_MS, START_MS);
    assert_int_equal(run(&d, START_MS), HF_ECLOSED);
    assert_non_null(strstr(d.why, "connect to server.test: 127.0.0."));
    assert_non_null(strstr(d.why, " and 1 more: Connection refused"));
    assert_true(!host.has_last_good && host.fresh_until_ms == 0 && host.losses == 1);
}

/* Name servers that are silent keep nobody away who knows the addresses; whoever does not is told. */
static void silent_name_servers_are_waited_for_as_long_as_need_be(void **state)
{
    struct network n = network();
    struct hf_host host = known_host(&n, START_MS), unknown = {.name = "server.test", .port = n.port};
    struct hf_dial d;
    int fd;

    (void)state;
    hf_dial_init(&d);
    hf_dial_start(&d, &host, n.dns, UNTIL_MS, START_MS);
    assert_int_equal(run(&d, START_MS + 499), HF_EAGAIN);
    assert_true(hf_dial_deadline_ms(&d, START_MS + 499) <= START_MS + 500);
    fd = run(&d, START_MS + 500);
    assert_true(fd >= 0);
    (void)close(fd);
    hf_dial_start(&d, &unknown, n.dns, UNTIL_MS, START_MS);
    assert_int_equal(run(&d, UNTIL_MS - 1), HF_EAGAIN);
    assert_int_equal(run(&d, UNTIL_MS), HF_ECLOSED);
    assert_string_equal(d.why, "look-up of server.test: no name server answered");
    network_close(&n);
}

static void silent_addresses_are_given_up(void **state)
{
    struct network n = network();
    struct hf_host host = known_host(&n, UINT64_MAX);
    struct pollfd fds[HF_DIAL_FDS_MAX];
    struct hf_dial d;

    (void)state;
    hf_dial_init(&d);
    hf_dial_start(&d, &host, n.dns, UNTIL_MS, START_MS);
    assert_int_equal(hf_dial_step(&d, START_MS), HF_EAGAIN); /* and we do not look at its sockets */
    assert_int_equal(hf_dial_deadline_ms(&d, START_MS), START_MS + HF_RACE_STAGGER_MS);
    assert_int_equal(hf_dial_prepare(&d, fds), 1);
    assert_int_equal(hf_dial_step(&d, START_MS + 250), HF_EAGAIN);
    assert_int_equal(hf_dial_prepare(&d, fds), 2);
    assert_int_equal(hf_dial_step(&d, UNTIL_MS), HF_ECLOSED);
    assert_non_null(strstr(d.why, "connect to server.test: timed out: no answer from 127.0.0.1:"));
    assert_non_null(strstr(d.why, " and 1 more within 4.0 s"));
    for (int i = 0; i < 2; i++)
        assert_true(fcntl(fds[i].fd, F_GETFD) < 0 && errno == EBADF);
    network_close(&n);
}

/* Giving up closes all, those of the look-up as well; and the winner's socket is the only one that is left. */
static void nothing_is_left_open(void **state)
{
    struct network n = network();
    struct hf_host host = known_host(&n, START_MS);
    struct pollfd fds[HF_DIAL_FDS_MAX];
    struct hf_dial d;
    int count, fd;

    (void)state;
    hf_dial_init(&d);
    hf_dial_start(&d, &host, n.dns, UNTIL_MS, START_MS);
    assert_int_equal(hf_dial_step(&d, START_MS), HF_EAGAIN);
    count = hf_dial_prepare(&d, fds);
    assert_true(count > 0);
    hf_dial_end(&d);
    for (int i = 0; i < count; i++)
        assert_true(fcntl(fds[i].fd, F_GETFD) < 0 && errno == EBADF);
    host.fresh_until_ms = UINT64_MAX;
    hf_dial_start(&d, &host, n.dns, UNTIL_MS, START_MS);
    assert_int_equal(hf_dial_step(&d, START_MS), HF_EAGAIN);
    assert_int_equal(hf_dial_step(&d, START_MS + 250), HF_EAGAIN);
    assert_int_equal(hf_dial_prepare(&d, fds), 2);
    fd = run(&d, START_MS + 250);
    assert_true(fd == fds[0].fd || fd == fds[1].fd);
    assert_true(fcntl(fds[fd == fds[0].fd].fd, F_GETFD) < 0 && errno == EBADF);
    (void)close(fd);
    network_close(&n);
}

static void addresses_that_need_no_server(void **state)
{
    static const struct {
        const char *name;
        unsigned count;
        bool v6;
    } cases[] = {
        {"127.0.0.1", 1, false}, {"::1", 1, true},           {"::ffff:127.0.0.1", 1, false},
        {"fe80::1%lo", 1, true}, {"fe80::1%1", 1, true},     {"localhost", 2, true},
        {"LOCALHOST.", 2, true}, {"a.b.localhost", 2, true},
    };
    struct hf_dial d;

    (void)state;
    hf_dial_init(&d);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct hf_host host = {.name = cases[i].name, .port = "9"};

        hf_dial_start(&d, &host, "127.0.0.1:1", UNTIL_MS, START_MS);
        assert_null(d.names.channel);
        assert_int_equal(d.race.count, cases[i].count);
        assert_int_equal(d.race.racers[0].family, cases[i].v6 ? HF_RACE_V6 : HF_RACE_V4);
        /* Whoever watches the network looks for the host there as well. */
        assert_int_equal(host.known[HF_RACE_V6].count + host.known[HF_RACE_V4].count, cases[i].count);
        if (strchr(cases[i].name, '%') != NULL)
            assert_int_equal(d.race.racers[0].address.scope, if_nametoindex("lo"));
        hf_dial_end(&d);
    }
}

static void others_do_need_one(void **state)
{
    static const char *const names[] = {"nolocalhost", "localhost.test", "127.1",
                                        "fe80::1%no-such-interface"};
    struct hf_dial d;

    (void)state;
    hf_dial_init(&d);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct network n = network();
        struct hf_host host = {.name = names[i], .port = "9"};

        hf_dial_start(&d, &host, n.dns, UNTIL_MS, START_MS);
        assert_int_equal(d.race.count, 0);
        hf_dial_end(&d);
        network_close(&n);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_number_is_connected_to),
        cmocka_unit_test(what_is_known_is_used),
        cmocka_unit_test(silent_name_servers_are_waited_for_as_long_as_need_be),
        cmocka_unit_test(silent_addresses_are_given_up),
        cmocka_unit_test(nothing_is_left_open),
        cmocka_unit_test(addresses_that_need_no_server),
        cmocka_unit_test(others_do_need_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
