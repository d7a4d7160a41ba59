/*
 * test_watch.c - both kinds of watch against the kernel: first as the machine is, by what is true on every machine; then in a network
 * namespace of this process's own, where links, addresses and routes are made and taken away. That needs root, and Debian's iproute2.
 */
#include "client/watch.h"

#include "base/str.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <spawn.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { QUIET_MS = 100 };

static struct hf_watch *open_kind(const struct hf_watch_kind *kind)
{
    struct hf_watch *w = NULL;

    assert_int_equal(kind->open(&w), 0);
    assert_ptr_equal(w->kind, kind);
    return w;
}

static struct hf_place place(const char *text)
{
    struct hf_place p = {.interface = 0};

    assert_int_equal(hf_ip_parse(hf_str_from(text), &p.ip), 0);
    return p;
}

static struct hf_way way(struct hf_watch *w, const char *to)
{
    const struct hf_place p = place(to);
    struct hf_way found;

    hf_watch_way(w, &p, &found);
    return found;
}

static bool has(struct hf_watch *w, const char *own)
{
    const struct hf_place p = place(own);

    return hf_watch_has_address(w, &p);
}

static uint64_t key(struct hf_watch *w, const char *to)
{
    const struct hf_place p = place(to);

    return hf_watch_key(w, &p);
}

static bool is(const struct hf_ip *ip, const char *text)
{
    const struct hf_place p = place(text);

    return memcmp(ip, &p.ip, sizeof(*ip)) == 0;
}

/* --- on any machine --- */

static void loopback_of(const struct hf_watch_kind *kind)
{
    struct hf_watch *w = open_kind(kind);
    struct hf_way lo = way(w, "127.0.0.1");

    assert_true(lo.open);
    assert_true(is(&lo.source, "127.0.0.1"));
    assert_true(has(w, "127.0.0.1"));
    assert_false(has(w, "192.0.2.77")); /* RFC 5737: nobody's */
    assert_int_equal(key(w, "127.0.0.1"), 0);
    hf_watch_free(w);
}

static void loopback(void **state)
{
    (void)state;
    loopback_of(&hf_watch_rtnetlink);
    loopback_of(&hf_watch_poll);
}

static void the_best_kind_is_taken(void **state)
{
    struct hf_watch *w = hf_watch_new();

    (void)state;
    assert_non_null(w);
    assert_string_equal(w->kind->name, "rtnetlink");
    assert_true(w->fd >= 0);
    assert_int_equal(w->deadline_ms, UINT64_MAX);
    hf_watch_free(w);
    hf_watch_free(NULL);
}

static void polling_goes_by_time(void **state)
{
    struct hf_watch *w = open_kind(&hf_watch_poll);

    (void)state;
    assert_int_equal(w->fd, -1);
    assert_true(hf_watch_process(w, 1000));
    assert_int_equal(w->deadline_ms, 1000 + HF_WATCH_POLL_MS);
    assert_false(hf_watch_process(w, 1000 + HF_WATCH_POLL_MS - 1));
    assert_true(hf_watch_process(w, 1000 + HF_WATCH_POLL_MS));
    hf_watch_free(w);
}

/* --- in a namespace --- */

/* The exit status of `ip` with these words; -1: it cannot be run. */
static int run_ip(const char *words)
{
    enum { WORDS_MAX = 20 };
    char copy[256], name[] = "ip", *argv[WORDS_MAX + 2] = {name}, *at = copy;
    int count = 1, status;
    pid_t pid;

    assert_in_range(snprintf(copy, sizeof(copy), "%s", words), 1, sizeof(copy) - 1);
    while (*at != '\0' && count <= WORDS_MAX) {
        argv[count++] = at;
        at += strcspn(at, " ");
        if (*at == ' ')
            *at++ = '\0';
    }
    if (posix_spawnp(&pid, name, NULL, NULL, argv, environ) != 0 || waitpid(pid, &status, 0) != pid)
        return -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void ip(const char *words)
{
    assert_int_equal(run_ip(words), 0);
}

/* No address comes up by itself: what is told later would be taken for what a test did. */
static void no_own_addresses(void)
{
    static const char path[] = "/proc/sys/net/ipv6/conf/default/addr_gen_mode";
    int fd = open(path, O_WRONLY | O_CLOEXEC);

    if (fd < 0)
        return; /* This machine has no IPv6. */
    assert_int_equal(write(fd, "1", 1), 1);
    (void)close(fd);
}

/* Two interfaces with a carrier; what is at their other ends answers nothing. */
static void make_interfaces(void)
{
    no_own_addresses();
    ip("link set lo up");
    ip("link add out type veth peer name out-end");
    ip("link add other type veth peer name other-end");
    ip("link set out-end up");
    ip("link set other-end up");
    ip("link set out up");
    ip("link set other up");
    ip("addr add 10.7.0.2/24 dev out");
    ip("addr add 2001:db8:7::2/64 dev out nodad");
    ip("addr add 10.8.0.2/24 dev other");
}

/* Whether something is told within that time. */
static bool changed(struct hf_watch *w, int wait_ms)
{
    struct pollfd fd = {.fd = w->fd, .events = POLLIN};

    return poll(&fd, 1, wait_ms) == 1 && hf_watch_process(w, 0);
}

/* A carrier, and what follows from it, is told some time after the link was set up: until nothing more comes. */
static void wait_quiet(struct hf_watch *w)
{
    int turns = 0;

    while (changed(w, QUIET_MS))
        assert_true(++turns < 1000);
}

static struct hf_watch *open_quiet(void)
{
    struct hf_watch *w = open_kind(&hf_watch_rtnetlink);

    wait_quiet(w);
    return w;
}

/* The kernel sees to carriers in its own time. */
static struct hf_way wait_open(struct hf_watch *w, const char *to, bool open)
{
    struct hf_way found = way(w, to);
    int turns;

    for (turns = 0; turns < 1000 && found.open != open; turns++) {
        (void)poll(NULL, 0, 10);
        found = way(w, to);
    }
    assert_int_equal(found.open, open);
    return found;
}

/* With the first test that needs it the process goes over into an empty network, for good. */
static void in_own_network(void)
{
    static enum { UNTRIED, THERE, IMPOSSIBLE } network;

    if (network == UNTRIED) {
        network = run_ip("-batch /dev/null") == 0 && unshare(CLONE_NEWNET) == 0 ? THERE : IMPOSSIBLE;
        if (network == THERE)
            make_interfaces();
        else
            fprintf(stderr, "test_watch: no network namespace can be made here: not root, or no iproute2\n");
    }
    if (network == IMPOSSIBLE)
        skip();
}

static void routes_of(const struct hf_watch_kind *kind)
{
    struct hf_watch *w = open_kind(kind);
    struct hf_way found;

    assert_false(way(w, "192.0.2.1").open);
    ip("route add default via 10.7.0.1");
    found = wait_open(w, "192.0.2.1", true);
    assert_true(is(&found.source, "10.7.0.2"));
    ip("route replace default via 10.8.0.1");
    found = wait_open(w, "192.0.2.1", true);
    assert_true(is(&found.source, "10.8.0.2"));
    assert_true(has(w, "10.8.0.2"));
    ip("addr del 10.8.0.2/24 dev other");
    assert_false(has(w, "10.8.0.2"));
    assert_false(way(w, "192.0.2.1").open); /* The route has gone with it. */
    ip("addr add 10.8.0.2/24 dev other");
    assert_true(has(w, "2001:db8:7::2"));
    assert_true(is(&(struct hf_ip[]){way(w, "2001:db8:7::3").source}[0], "2001:db8:7::2"));
    hf_watch_free(w);
}

static void ways_follow_the_routes(void **state)
{
    (void)state;
    in_own_network();
    routes_of(&hf_watch_rtnetlink);
    routes_of(&hf_watch_poll);
}

static void changes_are_told(void **state)
{
    static const char *const doings[] = {
        "addr add 10.7.0.9/24 dev out",
        "addr add 2001:db8:7::9/64 dev out nodad",
        "route add 198.51.100.0/24 via 10.7.0.1",
        "-6 route add 2001:db8:9::/64 via 2001:db8:7::1",
        "link set other down",
        "link set other up",
    };
    struct hf_watch *w;
    size_t i;

    (void)state;
    in_own_network();
    w = open_quiet();
    for (i = 0; i < sizeof(doings) / sizeof(doings[0]); i++) {
        ip(doings[i]);
        assert_true(changed(w, 1000));
        wait_quiet(w); /* What is told about it later (a carrier) belongs to it. */
    }
    hf_watch_free(w);
}

/* A neighbour is nothing that the client waits for. */
static void other_changes_are_not_told(void **state)
{
    struct hf_watch *w;

    (void)state;
    in_own_network();
    w = open_quiet();
    ip("neigh add 10.7.0.77 lladdr 02:00:00:00:00:77 nud permanent dev out");
    assert_false(changed(w, QUIET_MS));
    hf_watch_free(w);
}

/* More messages than the socket holds: the kernel says that some are lost, which is a change, and after it all is as before. */
static void an_overrun_is_a_change(void **state)
{
    struct hf_watch *w;
    char words[64];
    int i, batch;

    (void)state;
    in_own_network();
    w = open_quiet();
    batch = memfd_create("batch", 0); /* which `ip` inherits */
    assert_true(batch >= 0);
    for (i = 0; i < 2000; i++)
        assert_true(dprintf(batch, "addr add 10.9.%d.%d/32 dev other\naddr del 10.9.%d.%d/32 dev other\n",
                            i / 250, 1 + i % 250, i / 250, 1 + i % 250) > 0);
    (void)snprintf(words, sizeof(words), "-batch /proc/self/fd/%d", batch);
    ip(words);
    (void)close(batch);
    assert_true(changed(w, 0));
    wait_quiet(w);
    ip("addr add 10.7.0.10/24 dev out");
    assert_true(changed(w, 0));
    hf_watch_free(w);
}

static void a_link_that_is_down_is_no_way(void **state)
{
    struct hf_watch *w;
    struct hf_way before, after;

    (void)state;
    in_own_network();
    w = open_quiet();
    ip("link add near type veth peer name far");
    ip("addr add 10.6.0.2/24 dev near");
    ip("link set near up");
    ip("link set far up");
    before = wait_open(w, "10.6.0.1", true);
    ip("link set far down");
    (void)wait_open(w, "10.6.0.1", false); /* The route stands, the carrier is gone. */
    ip("link set far up");
    after = wait_open(w, "10.6.0.1", true);
    assert_true(after.carrier_changes != before.carrier_changes);
    ip("link del near");
    hf_watch_free(w);
}

static void the_key_names_the_network(void **state)
{
    struct hf_watch *w;
    uint64_t by_address, by_hardware, elsewhere;

    (void)state;
    in_own_network();
    w = open_quiet();
    ip("route flush default");
    assert_int_equal(key(w, "192.0.2.1"), 0);
    ip("route replace default via 10.7.0.1");
    by_address = key(w, "192.0.2.1");
    ip("neigh replace 10.7.0.1 lladdr 02:00:00:00:00:01 nud permanent dev out");
    by_hardware = key(w, "192.0.2.1");
    assert_true(by_address != 0 && by_hardware != 0 && by_address != by_hardware);
    /* The same gateway by another interface and at another address: the same network. */
    ip("neigh replace 10.8.0.1 lladdr 02:00:00:00:00:01 nud permanent dev other");
    ip("route replace default via 10.8.0.1");
    assert_int_equal(key(w, "192.0.2.1"), by_hardware);
    ip("neigh replace 10.8.0.1 lladdr 02:00:00:00:00:02 nud permanent dev other");
    elsewhere = key(w, "192.0.2.1");
    assert_true(elsewhere != 0 && elsewhere != by_hardware);
    assert_int_equal(key(w, "10.7.0.2"), 0); /* This machine itself. */
    hf_watch_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loopback),
        cmocka_unit_test(the_best_kind_is_taken),
        cmocka_unit_test(polling_goes_by_time),
        cmocka_unit_test(ways_follow_the_routes),
        cmocka_unit_test(changes_are_told),
        cmocka_unit_test(other_changes_are_not_told),
        cmocka_unit_test(an_overrun_is_a_change),
        cmocka_unit_test(a_link_that_is_down_is_no_way),
        cmocka_unit_test(the_key_names_the_network),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
