/*
 * test_heartbeat_memory.c - what is remembered of networks, and its form as a file.
 */
#include "session/heartbeat_memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#define NOW_MS UINT64_C(5000000)
#define UNIX_MS UINT64_C(1790000000000)
#define DAY_MS (INT64_C(24) * 3600 * 1000)

static struct hf_heartbeat_network network(uint64_t key, int64_t seen_at_ms)
{
    return (struct hf_heartbeat_network){
        .key = key, .lo_ms = 58000, .hi_ms = 64000, .probed_at_ms = 3000000, .seen_at_ms = seen_at_ms};
}

static int decode(struct hf_heartbeat_memory *m, const char *text)
{
    const char *reason = NULL;
    int err = hf_heartbeat_memory_decode(m, hf_str_from(text), NOW_MS, UNIX_MS, &reason);

    assert_true((err == 0) == (reason == NULL));
    return err;
}

static void it_comes_back_as_it_was_written(void **state)
{
    const struct hf_heartbeat_network a = network(0xdeadbeef01234567u, 4000000);
    struct hf_heartbeat_network b = network(1, -3600000); /* seen before the machine was started */
    struct hf_heartbeat_memory m, back;
    struct hf_buf text;

    (void)state;
    b.hi_ms = 0;
    hf_heartbeat_memory_init(&m);
    hf_heartbeat_memory_put(&m, &a);
    hf_heartbeat_memory_put(&m, &b);
    hf_buf_init(&text, HF_HEARTBEAT_FILE_BYTES_MAX);
    assert_int_equal(hf_heartbeat_memory_encode(&m, NOW_MS, UNIX_MS, &text), 0);
    assert_int_equal(hf_buf_put(&text, "", 1), 0);
    assert_string_equal((const char *)text.data, "holdfast-heartbeat 1\n"
                                                 "deadbeef01234567 58000 64000 1789998000 1789999000\n"
                                                 "0000000000000001 58000 0 1789998000 1789991400\n");
    assert_int_equal(decode(&back, (const char *)text.data), 0);
    assert_int_equal(back.count, 2);
    assert_false(back.changed);
    assert_memory_equal(hf_heartbeat_memory_find(&back, a.key, NOW_MS), &a, sizeof(a));
    assert_memory_equal(hf_heartbeat_memory_find(&back, b.key, NOW_MS), &b, sizeof(b));
    assert_null(hf_heartbeat_memory_find(&back, 2, NOW_MS));
    hf_buf_release(&text);
}

/* The machine was started anew, and its clock is another one; the wall clock has gone on. */
static void times_hold_over_a_restart(void **state)
{
    struct hf_heartbeat_memory m;
    const char *reason;

    (void)state;
    assert_int_equal(hf_heartbeat_memory_decode(
                         &m, HF_STR("holdfast-heartbeat 1\n0000000000000001 58000 0 1790000000 1790000000\n"),
                         1000, UNIX_MS + 5 * DAY_MS, &reason),
                     0);
    assert_int_equal(m.networks[0].seen_at_ms, 1000 - 5 * DAY_MS);
    assert_non_null(hf_heartbeat_memory_find(&m, 1, 1000 + 2 * DAY_MS));
    assert_null(hf_heartbeat_memory_find(&m, 1, 1001 + 2 * DAY_MS));
}

static void what_is_old_is_left_out_and_the_future_is_now(void **state)
{
    struct hf_heartbeat_memory m;
    char text[256];

    (void)state;
    (void)snprintf(text, sizeof(text),
                   "holdfast-heartbeat 1\n0000000000000001 58000 0 0 %llu\n0000000000000002 58000 0 0 %llu\n",
                   (unsigned long long)(UNIX_MS / 1000 - 7 * 24 * 3600 - 1),
                   (unsigned long long)(UNIX_MS / 1000 + 1000000));
    assert_int_equal(decode(&m, text), 0);
    assert_int_equal(m.count, 1);
    assert_int_equal(m.networks[0].key, 2);
    assert_int_equal(m.networks[0].seen_at_ms, NOW_MS);
}

static void of_bad_input_nothing_is_taken(void **state)
{
#define HEAD "holdfast-heartbeat 1\n"
#define GOOD "0000000000000007 58000 64000 1789998000 1789999000\n"
    static const char *const bad[] = {
        "",
        "holdfast-heartbeat 1",
        "holdfast-heartbeat 2\n" GOOD,
        HEAD GOOD "\n",
        HEAD GOOD "0000000000000001 58000 64000 1789998000 1789999000",
        HEAD GOOD "0000000000000001 58000 64000 1789998000\n",
        HEAD GOOD "0000000000000001 58000 64000 1789998000 1789999000 1\n",
        HEAD GOOD "0000000000000001  58000 64000 1789998000 1789999000\n",
        HEAD GOOD "0000000000000001 58000 64000 1789998000 1789999000\r\n",
        HEAD GOOD "0000000000000000 58000 64000 1789998000 1789999000\n",
        HEAD GOOD "00000000000000001 58000 64000 1789998000 1789999000\n",
        HEAD GOOD "000000000000000G 58000 64000 1789998000 1789999000\n",
        HEAD GOOD "0000000000000001 -5800 64000 1789998000 1789999000\n",
        HEAD GOOD "0000000000000001 5f000 64000 1789998000 1789999000\n",
        HEAD GOOD "0000000000000001 64000 64000 1789998000 1789999000\n",
        HEAD GOOD "0000000000000001 58000 7200001 1789998000 1789999000\n",
        HEAD GOOD "0000000000000001 7200001 0 1789998000 1789999000\n",
        HEAD GOOD "0000000000000001 580000000 0 1789998000 1789999000\n",
        HEAD GOOD "0000000000000001 58000 64000 1789998000 1789999000000\n",
        HEAD GOOD GOOD,
    };
    struct hf_heartbeat_memory m;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(decode(&m, bad[i]), HF_EBADMSG);
        assert_int_equal(m.count, 0);
    }
    assert_int_equal(decode(&m, HEAD GOOD), 0);
    assert_int_equal(m.count, 1);
    assert_int_equal(decode(&m, HEAD), 0);
    assert_int_equal(m.count, 0);
}

static void the_longest_unseen_makes_room(void **state)
{
    struct hf_heartbeat_memory m;
    struct hf_heartbeat_network n;
    struct hf_buf text;
    uint64_t key;

    (void)state;
    hf_heartbeat_memory_init(&m);
    for (key = 1; key <= HF_HEARTBEAT_NETWORKS_MAX; key++) {
        n = network(key, key == 5 ? 1 : (int64_t)NOW_MS);
        hf_heartbeat_memory_put(&m, &n);
    }
    n = network(99, (int64_t)NOW_MS);
    hf_heartbeat_memory_put(&m, &n);
    assert_int_equal(m.count, HF_HEARTBEAT_NETWORKS_MAX);
    assert_null(hf_heartbeat_memory_find(&m, 5, NOW_MS));
    assert_non_null(hf_heartbeat_memory_find(&m, 99, NOW_MS));
    hf_buf_init(&text, HF_HEARTBEAT_FILE_BYTES_MAX);
    assert_int_equal(hf_heartbeat_memory_encode(&m, NOW_MS, UNIX_MS, &text), 0); /* a full one fits */
    hf_buf_release(&text);
    hf_heartbeat_memory_drop(&m, 1);
    assert_int_equal(m.count, HF_HEARTBEAT_NETWORKS_MAX - 1);
    assert_null(hf_heartbeat_memory_find(&m, 1, NOW_MS));
}

/* A beat a minute is no reason to write a file a minute. */
static void only_news_are_a_change(void **state)
{
    struct hf_heartbeat_memory m;
    struct hf_heartbeat_network n = network(1, 1000);

    (void)state;
    hf_heartbeat_memory_init(&m);
    hf_heartbeat_memory_put(&m, &n);
    assert_true(m.changed);
    m.changed = false;
    n.seen_at_ms += 3600 * 1000 - 1;
    hf_heartbeat_memory_put(&m, &n);
    assert_false(m.changed);
    n.seen_at_ms++;
    hf_heartbeat_memory_put(&m, &n);
    assert_true(m.changed);
    m.changed = false;
    n.hi_ms--;
    hf_heartbeat_memory_put(&m, &n);
    assert_true(m.changed);
    assert_int_equal(m.count, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_comes_back_as_it_was_written),
        cmocka_unit_test(times_hold_over_a_restart),
        cmocka_unit_test(what_is_old_is_left_out_and_the_future_is_now),
        cmocka_unit_test(of_bad_input_nothing_is_taken),
        cmocka_unit_test(the_longest_unseen_makes_room),
        cmocka_unit_test(only_news_are_a_change),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
