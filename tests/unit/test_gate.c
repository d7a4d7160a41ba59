/* The gate: tokens for handshakes, resumes first; the line of those who must wait; connections by address. */
#include "shm/gate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "crash_point.h"

enum { CELLS = 64, WORKERS = 3, T0 = 1000000 };

static struct hf_gate_shm *gate_new(void)
{
    size_t bytes = (hf_gate_bytes(CELLS, WORKERS) + 63) & ~(size_t)63;
    struct hf_gate_shm *g = aligned_alloc(64, bytes);

    assert_non_null(g);
    memset(g, 0, bytes);
    hf_gate_format(g, CELLS, WORKERS, 42);
    return g;
}

static unsigned admitted(struct hf_gate_shm *g, const struct hf_gate_config *c, enum hf_gate_kind kind,
                         unsigned tries, uint64_t now_ms)
{
    unsigned n = 0;

    for (unsigned i = 0; i < tries; i++)
        n += hf_gate_admit(g, c, kind, now_ms);
    return n;
}

/* A rested gate gives its burst, of which a kind alone leaves half of the other's. */
static void burst_is_bounded(void **state)
{
    struct hf_gate_config c = {.rate = 1000, .burst = 100};
    struct hf_gate_shm *g = gate_new();

    (void)state;
    assert_int_equal(admitted(g, &c, HF_GATE_RESUME, 1000, T0), 70 + 15);
    assert_int_equal(admitted(g, &c, HF_GATE_NEW, 1000, T0), 15);
    assert_int_equal(admitted(g, &c, HF_GATE_RESUME, 1000, T0), 0);
    free(g);
}

/* Alone a kind has the whole rate. */
static void whole_rate_alone(void **state)
{
    for (enum hf_gate_kind kind = HF_GATE_NEW; kind < HF_GATE_KINDS; kind++) {
        struct hf_gate_config c = {.rate = 1000, .burst = 100};
        struct hf_gate_shm *g = gate_new();
        unsigned n;

        (void)state;
        (void)admitted(g, &c, kind, 1000, T0);
        n = 0;
        for (uint64_t ms = 1; ms <= 10000; ms++)
            n += admitted(g, &c, kind, 5, T0 + ms);
        assert_in_range(n, 9990, 10010);
        free(g);
    }
}

/* When both are too many, 70 % are resumes, whoever asks first. */
static void resumes_first(void **state)
{
    struct hf_gate_config c = {.rate = 1000, .burst = 100};
    struct hf_gate_shm *g = gate_new();
    unsigned new_ones = 0, resumes = 0;

    (void)state;
    (void)admitted(g, &c, HF_GATE_NEW, 1000, T0);
    (void)admitted(g, &c, HF_GATE_RESUME, 1000, T0);
    for (uint64_t ms = 1; ms <= 10000; ms++) {
        new_ones += admitted(g, &c, HF_GATE_NEW, 20, T0 + ms);
        resumes += admitted(g, &c, HF_GATE_RESUME, 20, T0 + ms);
    }
    assert_in_range(new_ones, 2990, 3060);
    assert_in_range(resumes, 6940, 7010);
    free(g);
}

/* Few resumes among many new ones: all of them come in. */
static void few_resumes_all_come_in(void **state)
{
    struct hf_gate_config c = {.rate = 1000, .burst = 100};
    struct hf_gate_shm *g = gate_new();
    unsigned new_ones = 0, resumes = 0;

    (void)state;
    for (uint64_t ms = 1; ms <= 10000; ms++) {
        new_ones += admitted(g, &c, HF_GATE_NEW, 20, T0 + ms);
        if (ms % 2 == 0)
            resumes += admitted(g, &c, HF_GATE_RESUME, 1, T0 + ms);
    }
    assert_int_equal(resumes, 5000);
    assert_in_range(new_ones, 4900, 5110); /* What the resumes leave of the rate. */
    free(g);
}

/* A worker whose clock is read a little earlier neither gains nor breaks anything. */
static void clocks_that_lag(void **state)
{
    struct hf_gate_config c = {.rate = 1000, .burst = 100};
    struct hf_gate_shm *g = gate_new();

    (void)state;
    (void)admitted(g, &c, HF_GATE_RESUME, 1000, T0);
    assert_int_equal(admitted(g, &c, HF_GATE_RESUME, 1000, T0 - 50), 0);
    assert_in_range(admitted(g, &c, HF_GATE_RESUME, 1000, T0 + 10), 9, 11);
    free(g);
}

static void no_rate_admits_all(void **state)
{
    struct hf_gate_config c = {.rate = 0, .burst = 2};
    struct hf_gate_shm *g = gate_new();

    (void)state;
    assert_int_equal(admitted(g, &c, HF_GATE_NEW, 5000, T0), 5000);
    assert_int_equal(hf_gate_wait_ms(g, &c, HF_GATE_NEW, T0), 0);
    free(g);
}

/* Who is refused gets a place: as many a second as are admitted, and none beyond a minute. */
static void line_moves_at_the_rate(void **state)
{
    struct hf_gate_config c = {.rate = 1000, .burst = 100};
    struct hf_gate_shm *g = gate_new();
    uint32_t wait = 0;

    (void)state;
    for (int i = 0; i < 700; i++)
        wait = hf_gate_wait_ms(g, &c, HF_GATE_RESUME, T0);
    assert_in_range(wait, 999, 1001);
    for (int i = 0; i < 300; i++)
        wait = hf_gate_wait_ms(g, &c, HF_GATE_NEW, T0);
    assert_in_range(wait, 999, 1001);
    assert_in_range(hf_gate_wait_ms(g, &c, HF_GATE_RESUME, T0 + 500), 500, 503);
    assert_in_range(hf_gate_wait_ms(g, &c, HF_GATE_RESUME, T0 + 90000), 1, 2);
    for (int i = 0; i < 100000; i++)
        wait = hf_gate_wait_ms(g, &c, HF_GATE_RESUME, T0 + 90000);
    assert_int_equal(wait, HF_GATE_WAIT_MS_MAX);
    assert_in_range(hf_gate_wait_ms(g, &c, HF_GATE_RESUME, T0 + 150000), 1, 3);
    free(g);
}

static uint64_t address_of(const struct hf_gate_shm *g, uint32_t n)
{
    uint8_t bytes[4] = {10, (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n};
    struct hf_ip ip = hf_ip_v4(bytes);

    return hf_gate_address(g, &ip);
}

/* Counts of several workers add up; each can be taken off again. */
static void addresses_are_counted(void **state)
{
    struct hf_gate_shm *g = gate_new();
    uint64_t a = address_of(g, 1), b = address_of(g, 2);

    (void)state;
    assert_int_not_equal(a, b);
    for (uint32_t slot = 0; slot < WORKERS; slot++)
        for (int i = 0; i < 5; i++)
            assert_true(hf_gate_address_add(g, slot, a));
    assert_true(hf_gate_address_add(g, 0, b));
    assert_int_equal(hf_gate_address_count(g, a), 15);
    assert_int_equal(hf_gate_address_count(g, b), 1);
    hf_gate_address_remove(g, 1, a);
    assert_int_equal(hf_gate_address_count(g, a), 14);
    hf_gate_address_remove(g, 0, b);
    assert_int_equal(hf_gate_address_count(g, b), 0);
    hf_gate_reset_worker(g, 2, 0);
    assert_int_equal(hf_gate_address_count(g, a), 9);
    hf_gate_reset_worker(g, 2, 0);
    assert_int_equal(hf_gate_address_count(g, a), 9);
    free(g);
}

/* More addresses than the table has room for: those that found none are not counted, and nothing else is wrong. */
static void full_table_lets_in(void **state)
{
    struct hf_gate_shm *g = gate_new();
    bool counted[4 * CELLS];
    unsigned count = 0;

    (void)state;
    for (uint32_t i = 0; i < 4 * CELLS; i++) {
        counted[i] = hf_gate_address_add(g, 0, address_of(g, i));
        count += counted[i];
    }
    assert_in_range(count, CELLS / 2, CELLS);
    for (uint32_t i = 0; i < 4 * CELLS; i++) {
        assert_int_equal(hf_gate_address_count(g, address_of(g, i)), counted[i]);
        if (counted[i])
            hf_gate_address_remove(g, 0, address_of(g, i));
    }
    for (uint32_t i = 0; i < 4 * CELLS; i++)
        assert_int_equal(hf_gate_address_count(g, address_of(g, i)), 0);
    assert_true(hf_gate_address_add(g, 0, address_of(g, 4 * CELLS)));
    free(g);
}

static void connections_add_up(void **state)
{
    struct hf_gate_shm *g = gate_new();

    (void)state;
    for (int i = 0; i < 10; i++)
        hf_gate_opened(g);
    hf_gate_closed(g);
    assert_int_equal(hf_gate_connections(g), 9);
    hf_gate_reset_worker(g, 0, 4);
    assert_int_equal(hf_gate_connections(g), 5);
    hf_gate_reset_worker(g, 1, 7); /* It died between two stores: one too few, never a huge number. */
    assert_int_equal(hf_gate_connections(g), 0);
    free(g);
}

static void come_and_go(void *ctx)
{
    struct hf_gate_shm *g = ctx;
    uint64_t a = address_of(g, 7);

    for (int i = 0; i < 2; i++)
        (void)hf_gate_address_add(g, 1, a);
    for (int i = 0; i < 2; i++)
        hf_gate_address_remove(g, 1, a);
}

/* A worker dies at each place in turn: when its successor has begun, no count of its is left. */
static void deaths_leave_no_count(void **state)
{
    size_t bytes = hf_gate_bytes(CELLS, WORKERS);
    struct hf_gate_shm *g = NULL;
    unsigned deaths = 0;
    bool died = true;

    (void)state;
    for (unsigned n = 1; died; n++) {
        g = hf_memory_map(bytes);
        assert_non_null(g);
        hf_gate_format(g, CELLS, WORKERS, 42);
        for (int i = 0; i < 5; i++)
            assert_true(hf_gate_address_add(g, 0, address_of(g, 7)));
        died = dies_at(n, come_and_go, g);
        deaths += died;
        hf_gate_reset_worker(g, 1, 0);
        assert_in_range(hf_gate_address_count(g, address_of(g, 7)), died ? 4 : 5, 5);
        hf_memory_unmap(g, bytes);
    }
    assert_int_equal(deaths, 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(burst_is_bounded),       cmocka_unit_test(whole_rate_alone),
        cmocka_unit_test(resumes_first),          cmocka_unit_test(few_resumes_all_come_in),
        cmocka_unit_test(clocks_that_lag),        cmocka_unit_test(no_rate_admits_all),
        cmocka_unit_test(line_moves_at_the_rate), cmocka_unit_test(addresses_are_counted),
        cmocka_unit_test(full_table_lets_in),     cmocka_unit_test(connections_add_up),
        cmocka_unit_test(deaths_leave_no_count),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
