#include "base/map.h"

#include "base/rng.h"
#include "fault_malloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* The model: an array over a small space of keys. */
enum { KEYS = 700, STEPS = 60000 };

struct model {
    uint64_t a[KEYS], b[KEYS];
    bool there[KEYS];
    size_t count;
};

/* Few keys that differ in high bits only, few that lie side by side: so that runs of probes are long and wrap round. */
static uint64_t key_of(unsigned i)
{
    return i % 2 == 0 ? (uint64_t)i + 1 : ((uint64_t)i + 1) << 40;
}

static void same_as_model(const struct hf_map *m, const struct model *model)
{
    assert_int_equal(m->count, model->count);
    for (unsigned i = 0; i < KEYS; i++) {
        const struct hf_map_entry *e = hf_map_get(m, key_of(i));

        assert_int_equal(e != NULL, model->there[i]);
        if (e != NULL) {
            assert_int_equal(e->key, key_of(i));
            assert_int_equal(e->a, model->a[i]);
            assert_int_equal(e->b, model->b[i]);
        }
    }
}

static void step(struct hf_map *m, struct model *model, struct hf_rng *rng, unsigned put_percent)
{
    unsigned i = (unsigned)hf_rng_below(rng, KEYS);

    if (hf_rng_below(rng, 100) < put_percent) {
        model->a[i] = hf_rng_next(rng);
        model->b[i] = hf_rng_next(rng);
        model->count += !model->there[i];
        model->there[i] = true;
        assert_int_equal(hf_map_put(m, key_of(i), model->a[i], model->b[i]), 0);
    } else {
        assert_int_equal(hf_map_remove(m, key_of(i)), model->there[i]);
        model->count -= model->there[i];
        model->there[i] = false;
    }
}

/* Filling, holding and emptying, against a model that cannot be wrong. */
static void random_operations_agree_with_a_plain_array(void **state)
{
    static struct model model;
    struct hf_rng rng = {1};
    struct hf_map m;

    (void)state;
    memset(&model, 0, sizeof(model));
    hf_map_init(&m);
    for (unsigned n = 0; n < STEPS; n++) {
        step(&m, &model, &rng, n % 3000 < 1500 ? 70 : 30);
        if (n % 100 == 0)
            same_as_model(&m, &model);
    }
    for (unsigned i = 0; i < KEYS; i++)
        (void)hf_map_remove(&m, key_of(i));
    assert_int_equal(m.count, 0);
    hf_map_release(&m);
}

static void an_empty_map_has_no_memory_and_finds_nothing(void **state)
{
    struct hf_map m;

    (void)state;
    hf_map_init(&m);
    assert_null(m.table);
    assert_null(hf_map_get(&m, 1));
    assert_false(hf_map_remove(&m, 1));
    assert_null(hf_map_ptr(&m, 1));
    hf_map_release(&m);
}

/* "Set, or replace." */
static void a_put_of_a_known_key_replaces_it(void **state)
{
    struct hf_map m;

    (void)state;
    hf_map_init(&m);
    assert_int_equal(hf_map_put(&m, 7, 1, 2), 0);
    assert_int_equal(hf_map_put(&m, 7, 3, 4), 0);
    assert_int_equal(m.count, 1);
    assert_int_equal(hf_map_get(&m, 7)->a, 3);
    assert_int_equal(hf_map_get(&m, 7)->b, 4);
    assert_ptr_equal(hf_map_ptr(&m, 7), (void *)3);
    hf_map_release(&m);
}

/* "Grows by doubling; never shrinks", and is never so full that a search has no end. */
static void it_grows_and_never_fills_up(void **state)
{
    struct hf_map m;

    (void)state;
    hf_map_init(&m);
    for (uint64_t key = 1; key <= 10000; key++) {
        assert_int_equal(hf_map_put(&m, key * 64, key, 0), 0);
        assert_true((m.cap & (m.cap - 1)) == 0 && m.count * 4 <= m.cap * 3 + 4);
    }
    assert_int_equal(m.count, 10000);
    for (uint64_t key = 1; key <= 10000; key++)
        assert_int_equal(hf_map_get(&m, key * 64)->a, key);
    assert_null(hf_map_get(&m, 65));
    hf_map_release(&m);
}

/* "Returns 0 or HF_ENOMEM (then nothing has changed)." */
static void a_put_without_memory_changes_nothing(void **state)
{
    struct hf_map m;
    unsigned refused = 0;

    (void)state;
    hf_map_init(&m);
    for (uint64_t key = 1; key <= 1000; key++) {
        size_t count = m.count;
        int err;

        fault_arm(1);
        err = hf_map_put(&m, key, key * 2, key * 3);
        if (fault_disarm()) {
            refused++;
            assert_int_equal(err, HF_ENOMEM);
            assert_int_equal(m.count, count);
            assert_null(hf_map_get(&m, key));
            for (uint64_t old = 1; old < key; old++)
                assert_int_equal(hf_map_get(&m, old)->b, old * 3);
            err = hf_map_put(&m, key, key * 2, key * 3);
        }
        assert_int_equal(err, 0);
        assert_int_equal(m.count, count + 1);
    }
    assert_int_equal(refused, 6); /* 64, 128, 256, 512, 1,024, 2,048. */
    hf_map_release(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_operations_agree_with_a_plain_array),
        cmocka_unit_test(an_empty_map_has_no_memory_and_finds_nothing),
        cmocka_unit_test(a_put_of_a_known_key_replaces_it),
        cmocka_unit_test(it_grows_and_never_fills_up),
        cmocka_unit_test(a_put_without_memory_changes_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
