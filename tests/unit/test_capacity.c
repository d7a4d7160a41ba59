#include "server/capacity.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static const struct hf_limits machine = {.cpus = 2,
                                         .descriptors = 20000,
                                         .nr_open = 1048576,
                                         .file_max = 2400000,
                                         .backlog = 4096,
                                         .tcp_pages = 575796};

static struct hf_config config_of(uint32_t workers, uint32_t connections)
{
    struct hf_config c;

    hf_config_default(&c);
    c.workers = workers;
    c.connections_max = connections;
    return c;
}

static struct hf_capacity plan_of(uint32_t workers, uint32_t connections, const struct hf_limits *limits)
{
    struct hf_config c = config_of(workers, connections);

    return hf_capacity_plan(&c, limits);
}

/* "one per CPU, and as many more as config->connections_max needs" */
static void auto_is_one_per_cpu_or_what_is_needed(void **state)
{
    struct hf_capacity p;

    (void)state;
    assert_int_equal(plan_of(0, 0, &machine).workers, 2);
    assert_int_equal(plan_of(0, 30000, &machine).workers, 2);
    assert_int_equal(plan_of(0, 50000, &machine).workers, 3);
    p = plan_of(0, 1000000, &machine);
    assert_in_range(p.workers, 51, 60);
    assert_true(p.within_descriptors && p.within_files && p.descriptors <= 20000);
    assert_int_equal(plan_of(7, 0, &machine).workers, 7);
}

/* The mean and six deviations fit into each, and one worker less would not do. */
static void no_worker_is_exceeded_by_chance(void **state)
{
    (void)state;
    for (uint32_t connections = 20000; connections <= 4000000; connections += 99999) {
        struct hf_capacity p = plan_of(0, connections, &machine);
        uint64_t room = hf_capacity_room(p.workers, 20000), mean = connections / p.workers + 1;

        assert_true(p.within_descriptors);
        assert_true(room > mean && (room - mean) * (room - mean) >= 36 * (mean - 1));
        assert_true(p.connections >= connections);
        assert_false(plan_of(p.workers - 1, connections, &machine).within_descriptors);
    }
}

/* "(connections) that these workers can be relied upon to hold": so many are within the plan, one more is not. */
static void what_is_promised_is_what_fits(void **state)
{
    (void)state;
    for (uint32_t workers = 1; workers <= 256; workers *= 2) {
        struct hf_capacity p = plan_of(workers, 1, &machine);

        assert_true(plan_of(workers, (uint32_t)p.connections, &machine).within_descriptors);
        assert_false(plan_of(workers, (uint32_t)p.connections + workers, &machine).within_descriptors);
    }
}

static void lacks(uint32_t workers, uint32_t connections, const struct hf_limits *limits, const char *words)
{
    struct hf_config c = config_of(workers, connections);
    struct hf_capacity p = hf_capacity_plan(&c, limits);
    char text[512];

    assert_false(p.within_descriptors && p.within_files);
    hf_capacity_lacks(&c, limits, &p, text, sizeof(text));
    if (strstr(text, words) == NULL)
        fail_msg("'%s' does not tell '%s'", text, words);
    assert_null(strchr(text, '\n'));
}

/* "What is missing and how to get it": with what it says, the start succeeds. */
static void what_is_missing_is_told(void **state)
{
    struct hf_limits few = machine, files = machine, none = machine;
    struct hf_capacity p = plan_of(4, 1000000, &machine);
    struct hf_limits raised = machine;
    char words[64];

    (void)state;
    snprintf(words, sizeof(words), "start %u workers", plan_of(0, 1000000, &machine).workers);
    lacks(4, 1000000, &machine, words);
    snprintf(words, sizeof(words), "descriptors to %llu", (unsigned long long)p.descriptors);
    lacks(4, 1000000, &machine, words);
    raised.descriptors = p.descriptors;
    assert_true(plan_of(4, 1000000, &raised).within_descriptors);
    raised.descriptors--;
    assert_false(plan_of(4, 1000000, &raised).within_descriptors);
    lacks(0, 9000000, &machine, "256 workers");
    few.nr_open = 30000;
    lacks(0, 9000000, &few, "sysctl fs.nr_open");
    few.descriptors = 200;
    lacks(100, 0, &few, "the sockets of 100 workers");
    none.descriptors = 12;
    lacks(1, 0, &none, "leaves none for connections");
    files.file_max = 100000;
    lacks(0, 200000, &files, "fs.file-max");
}

static void advice_is_given_where_it_works_and_is_tight(void **state)
{
    struct hf_config c = config_of(0, 1000000);
    struct hf_limits tight = machine;
    char text[512];

    (void)state;
    assert_true(hf_capacity_advice(&c, &machine, 0, text, sizeof(text)));
    assert_non_null(strstr(text, "tcp_mem"));
    assert_false(hf_capacity_advice(&c, &machine, 1, text, sizeof(text)));
    tight.backlog = 128;
    assert_true(hf_capacity_advice(&c, &tight, 0, text, sizeof(text)));
    assert_non_null(strstr(text, "somaxconn is 128"));
    assert_true(hf_capacity_advice(&c, &tight, 1, text, sizeof(text)));
    assert_false(hf_capacity_advice(&c, &tight, 2, text, sizeof(text)));
    c.connections_max = 0;
    assert_false(hf_capacity_advice(&c, &machine, 0, text, sizeof(text)));
}

static void the_machine_is_read(void **state)
{
    struct hf_limits limits;

    (void)state;
    hf_limits_read(&limits);
    assert_in_range(limits.cpus, 1, HF_WORKERS_MAX);
    assert_true(limits.descriptors >= 3 && limits.nr_open >= 3 && limits.file_max >= 3 &&
                limits.backlog >= 1);
}

/* "connections that the packet filter can follow", "ports that this machine has" */
static void the_ways_to_the_server_are_looked_at(void **state)
{
    struct hf_limits limits = machine;
    struct hf_config c = config_of(2, 100000);
    char text[512];

    (void)state;
    limits.conntrack = 125000;
    limits.local_ports = 28232;
    assert_false(hf_capacity_advice(&c, &limits, 0, text, sizeof(text)));
    limits.conntrack--;
    assert_true(hf_capacity_advice(&c, &limits, 0, text, sizeof(text)));
    assert_non_null(strstr(text, "nf_conntrack_max=125000"));
    /* Ports are scarce for a proxy alone, and each address to listen on has them once. */
    c.proxy_trusted_count = 1;
    assert_true(hf_capacity_advice(&c, &limits, 1, text, sizeof(text)));
    assert_non_null(strstr(text, "28232 ports"));
    assert_false(hf_capacity_advice(&c, &limits, 2, text, sizeof(text)));
    c.listen_count = 4;
    assert_false(hf_capacity_advice(&c, &limits, 1, text, sizeof(text)));
    c = config_of(2, 0);
    assert_false(hf_capacity_advice(&c, &limits, 0, text, sizeof(text)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(auto_is_one_per_cpu_or_what_is_needed),
        cmocka_unit_test(no_worker_is_exceeded_by_chance),
        cmocka_unit_test(what_is_promised_is_what_fits),
        cmocka_unit_test(what_is_missing_is_told),
        cmocka_unit_test(advice_is_given_where_it_works_and_is_tight),
        cmocka_unit_test(the_ways_to_the_server_are_looked_at),
        cmocka_unit_test(the_machine_is_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
