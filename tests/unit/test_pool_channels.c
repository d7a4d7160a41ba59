#include "session/pool_channels.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static struct hf_pool_channel *add(struct hf_pool_channels *t, const char *name)
{
    struct hf_pool_channel *channel = NULL;

    assert_int_equal(hf_pool_channels_add(t, hf_str_from(name), HF_POOL_CORE_ANY, NULL, &channel), 0);
    return channel;
}

static void channels_are_spread_over_the_members(void **state)
{
    struct hf_pool_channels t;
    char name[16];
    unsigned i;

    (void)state;
    hf_pool_channels_init(&t, 3, 100);
    for (i = 0; i < 30; i++) {
        (void)snprintf(name, sizeof(name), "room-%u", i);
        (void)add(&t, name);
    }
    for (i = 0; i < 3; i++)
        assert_int_equal(t.counts[i], 10);
    for (i = 0; i < 30; i++) {
        (void)snprintf(name, sizeof(name), "room-%u", i);
        assert_true(hf_str_eq(hf_pool_channels_find(&t, hf_str_from(name))->name, hf_str_from(name)));
    }
    hf_pool_channels_release(&t);
}

static void a_place_that_is_free_is_filled_first(void **state)
{
    struct hf_pool_channels t;
    uint32_t member;

    (void)state;
    hf_pool_channels_init(&t, 3, 100);
    (void)add(&t, "a");
    (void)add(&t, "b");
    (void)add(&t, "c");
    member = hf_pool_channels_find(&t, HF_STR("b"))->member;
    hf_pool_channels_remove(&t, hf_pool_channels_find(&t, HF_STR("b")));
    assert_null(hf_pool_channels_find(&t, HF_STR("b")));
    assert_int_equal(add(&t, "d")->member, member);
    hf_pool_channels_release(&t);
}

static void bounds_and_doubles_are_refused(void **state)
{
    struct hf_pool_channels t;
    struct hf_pool_channel *channel;

    (void)state;
    hf_pool_channels_init(&t, 2, 1);
    (void)add(&t, "a");
    assert_int_equal(hf_pool_channels_add(&t, HF_STR("a"), HF_POOL_CORE_ANY, NULL, &channel), HF_EEXIST);
    (void)add(&t, "b");
    assert_int_equal(hf_pool_channels_add(&t, HF_STR("c"), HF_POOL_CORE_ANY, NULL, &channel), HF_ELIMIT);
    hf_pool_channels_release(&t);
}

static void the_start_is_kept(void **state)
{
    struct hf_pool_channels t;
    struct hf_pool_channel *channel;
    char epoch[] = "e17", name[] = "quotes";
    const struct hf_pool_channel_start start = {
        .since_epoch = {epoch, 3}, .since_offset = 41, .last = 5, .latest = true};

    (void)state;
    hf_pool_channels_init(&t, 2, 10);
    assert_int_equal(hf_pool_channels_add(&t, hf_str_from(name), 1, &start, &channel), 0);
    epoch[0] = name[0] = '?';
    assert_int_equal(channel->member, 1);
    assert_string_equal(channel->name.data, "quotes");
    assert_string_equal(channel->start.since_epoch.data, "e17");
    assert_true(channel->start.since_offset == 41 && channel->start.last == 5 && channel->start.latest);
    channel = add(&t, "none");
    assert_null(channel->start.since_epoch.data);
    hf_pool_channels_release(&t);
}

/* Two names whose 64-bit FNV-1a is the same are hard to come by: the chain is made by hand. */
static void channels_of_one_hash_are_told_apart(void **state)
{
    struct hf_pool_channels t;
    struct hf_pool_channel *a, *b;
    struct hf_map_entry *entry;

    (void)state;
    hf_pool_channels_init(&t, 1, 10);
    a = add(&t, "a");
    b = add(&t, "b");
    entry = hf_map_get(&t.by_name, 0xaf63dc4c8601ec8cu); /* "a", from the authors' test vectors */
    assert_ptr_equal((void *)(uintptr_t)entry->a, a);
    assert_null(a->next);
    b->next = a;
    entry->a = (uintptr_t)b;
    assert_ptr_equal(hf_pool_channels_find(&t, HF_STR("a")), a);
    hf_pool_channels_remove(&t, a);
    assert_null(hf_pool_channels_find(&t, HF_STR("a")));
    assert_ptr_equal(hf_pool_channels_find(&t, HF_STR("b")), b);
    hf_pool_channels_release(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(channels_are_spread_over_the_members),
        cmocka_unit_test(a_place_that_is_free_is_filled_first),
        cmocka_unit_test(bounds_and_doubles_are_refused),
        cmocka_unit_test(the_start_is_kept),
        cmocka_unit_test(channels_of_one_hash_are_told_apart),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
