/*
 * test_presence.c - the members of a channel as somebody has found them.
 */
#include "channel/presence.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define NOBODY ((struct hf_str){0})

static struct hf_presence_member *put(struct hf_presence *p, uint64_t session, int want)
{
    char user[16];
    struct hf_presence_member *m = NULL;

    snprintf(user, sizeof(user), "u%u", (unsigned)session);
    assert_int_equal(hf_presence_put(p, session, hf_str_from(user), NOBODY, &m), want);
    return m;
}

static void take(struct hf_presence *p, uint64_t session)
{
    struct hf_presence_member *m = hf_presence_take(p, session);

    assert_non_null(m);
    assert_int_equal(m->session, session);
    free(m);
}

static void each_session_is_one_member(void **state)
{
    struct hf_presence p;
    struct hf_presence_member *m;

    (void)state;
    hf_presence_init(&p, 3);
    m = put(&p, 7, 1);
    assert_int_not_equal(m->look, p.look);
    hf_presence_see(&p, m);
    m = put(&p, 7, 0);
    assert_int_equal(m->look, p.look);
    assert_int_equal(p.count, 1);
    assert_int_equal(hf_presence_put(&p, 7, HF_STR("u7"), HF_STR("{\"a\":1}"), &m), 0);
    assert_int_equal(m->look, p.look);
    assert_true(hf_str_eq(hf_presence_info(m), HF_STR("{\"a\":1}")));
    assert_true(hf_str_eq(hf_presence_user(m), HF_STR("u7")));
    assert_ptr_equal(hf_presence_get(&p, 7), m);
    (void)put(&p, 8, 1);
    (void)put(&p, 9, 1);
    (void)put(&p, 10, HF_ELIMIT);
    assert_int_equal(p.count, 3);
    take(&p, 7);
    assert_null(hf_presence_take(&p, 7));
    assert_null(hf_presence_get(&p, 7));
    assert_null(hf_presence_info(put(&p, 10, 1)).data);
    take(&p, 8);
    take(&p, 9);
    take(&p, 10);
    assert_int_equal(p.bytes, 0);
    hf_presence_release(&p);
}

/*
 * However members go while the unseen are walked through, those that have come or others, and however few are looked at in a piece, each unseen one comes once unless it goes before, and
 * no seen one.
 */
static void the_unseen_come_once(void **state)
{
    (void)state;
    for (unsigned taken = 0; taken < 1u << 8; taken++) {
        for (uint32_t most = 1; most < 10; most++) {
            struct hf_presence p;
            unsigned came = 0, gone = 0, other = taken * 2654435761u >> 29;
            uint32_t steps = most;

            hf_presence_init(&p, 100);
            for (uint64_t n = 1; n <= 8; n++)
                hf_presence_see(&p, put(&p, n, 1));
            hf_presence_look_begin(&p);
            hf_presence_see(&p, put(&p, 3, 0));
            hf_presence_see(&p, put(&p, 8, 0));
            hf_presence_unseen_begin(&p);
            for (int n = 0; n < 100; n++) {
                struct hf_presence_member *m = hf_presence_unseen(&p, &steps);

                if (m == NULL && steps > 0)
                    break;
                if (m == NULL) { /* Between two pieces one goes that may have come, or not. */
                    if (hf_presence_get(&p, other + 1) != NULL) {
                        take(&p, other + 1);
                        gone |= 1u << other;
                    }
                    steps = most;
                    continue;
                }
                assert_int_equal(came & 1u << (m->session - 1), 0);
                came |= 1u << (m->session - 1);
                if (taken & 1u << (m->session - 1))
                    take(&p, m->session);
            }
            assert_int_equal(came & (1u << 2 | 1u << 7), 0);
            assert_int_equal((came | gone) & (0xff & ~(1u << 2 | 1u << 7)), 0xff & ~(1u << 2 | 1u << 7));
            assert_true(steps > 0);
            for (uint32_t i = 0; i < p.count; i++)
                assert_ptr_equal(hf_presence_get(&p, p.list[i]->session), p.list[i]);
            hf_presence_release(&p);
        }
    }
}

static void pages_are_sorted_and_whole(void **state)
{
    const struct hf_presence_member *page[64];

    (void)state;
    for (uint32_t cap = 1; cap <= 40; cap++) {
        struct hf_presence p;
        uint64_t after = 0, seen = 0;
        uint32_t count;

        hf_presence_init(&p, 100);
        for (uint64_t n = 0; n < 37; n++)
            (void)put(&p, 1 + n * 23 % 37, 1);
        while ((count = hf_presence_page(&p, after, page, cap)) > 0) {
            assert_true(count <= cap);
            for (uint32_t i = 0; i < count; i++)
                assert_int_equal(page[i]->session, ++seen);
            after = page[count - 1]->session;
        }
        assert_int_equal(seen, 37);
        hf_presence_release(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_session_is_one_member),
        cmocka_unit_test(the_unseen_come_once),
        cmocka_unit_test(pages_are_sorted_and_whole),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
