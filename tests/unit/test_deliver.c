/*
 * test_deliver.c - the walk from a channel's head to its subscribers, in slices: everybody is visited, however the channels take turns and whoever comes and goes meanwhile.
 */
#include "server/hub_state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SLICE = 4, SUBS_MAX = 32 };

struct fixture {
    struct hf_hub hub;
    struct hf_counters counters;
};

/* A channel with its subscribers, each of a connection of its own. */
struct crowd {
    struct hf_channel channel;
    struct hf_topic topic;
    struct hf_sub *subs[SUBS_MAX]; /* the topic's array */
    struct hf_conn conns[SUBS_MAX];
};

static void fixture_init(struct fixture *f)
{
    memset(f, 0, sizeof(*f));
    f->hub.counters = &f->counters;
    f->hub.slice_subs = SLICE;
    hf_list_init(&f->hub.dirty_topics);
    assert_int_equal(hf_due_reserve(&f->hub.due, 4 * SUBS_MAX), 0);
}

static void crowd_init(struct crowd *crowd, struct fixture *f, uint32_t count)
{
    memset(crowd, 0, sizeof(*crowd));
    hf_list_init(&crowd->topic.dirty);
    crowd->topic.channel = &crowd->channel;
    crowd->topic.subs = crowd->subs;
    crowd->topic.cap = SUBS_MAX;
    crowd->topic.count = count;
    for (uint32_t i = 0; i < count; i++) {
        struct hf_sub *s = calloc(1, sizeof(*s));

        assert_non_null(s);
        crowd->conns[i].hub = &f->hub;
        crowd->conns[i].subs = s;
        crowd->conns[i].sub_count = 1;
        *s = (struct hf_sub){
            .conn = &crowd->conns[i], .topic = &crowd->topic, .index = i, .cursor = {.next_offset = 1}};
        crowd->subs[i] = s;
    }
}

static void publish(struct crowd *crowd, struct fixture *f)
{
    atomic_fetch_add(&crowd->channel.head, 1);
    hf_topic_dirty(&f->hub, &crowd->topic);
}

/* All that is due is written, as a flush would. Returns how many it was. */
static uint32_t flush(struct fixture *f)
{
    uint32_t count = f->hub.due.count;

    for (uint32_t i = 0; i < count; i++) {
        struct hf_conn *c = f->hub.due.conns[i];

        c->due_at = 0;
        while (c->due_subs != NULL) {
            struct hf_sub *s = c->due_subs;

            c->due_subs = s->due_next;
            s->due = false;
            hf_cursor_sent(&s->cursor, atomic_load(&s->topic->channel->head));
        }
    }
    f->hub.due.count = 0;
    return count;
}

static uint32_t behind(const struct crowd *crowd)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < crowd->topic.count; i++)
        count += crowd->topic.subs[i]->cursor.next_offset <= atomic_load(&crowd->channel.head);
    return count;
}

static void release(struct crowd *crowd)
{
    for (uint32_t i = 0; i < crowd->topic.count; i++)
        free(crowd->topic.subs[i]);
}

static void a_mass_fan_out_is_walked_in_slices(void **state)
{
    static struct crowd mass;
    struct fixture f;

    (void)state;
    fixture_init(&f);
    crowd_init(&mass, &f, 10);
    publish(&mass, &f);
    for (uint32_t want = 10; want > 0;) {
        uint32_t slice = want < SLICE ? want : SLICE;

        hf_deliver_mark(&f.hub);
        assert_int_equal(flush(&f), slice);
        want -= slice;
        assert_int_equal(behind(&mass), want);
    }
    assert_true(hf_list_empty(&mass.topic.dirty));
    release(&mass);
    hf_due_release(&f.hub.due);
}

/* Its subscribers are served in every turn, whatever a mass fan-out beside it does. */
static void a_small_channel_never_waits(void **state)
{
    static struct crowd mass, few;
    struct fixture f;

    (void)state;
    fixture_init(&f);
    crowd_init(&mass, &f, 20);
    crowd_init(&few, &f, SLICE);
    for (int i = 0; i < 10; i++) {
        publish(&mass, &f);
        publish(&few, &f);
        hf_deliver_mark(&f.hub);
        (void)flush(&f);
        assert_int_equal(behind(&few), 0);
    }
    release(&mass);
    release(&few);
    hf_due_release(&f.hub.due);
}

/* One of them is published all the time, so that its walk never ends: the other one gets its share all the same. */
static void two_mass_fan_outs_take_turns(void **state)
{
    static struct crowd busy, other;
    struct fixture f;

    (void)state;
    fixture_init(&f);
    crowd_init(&busy, &f, 20);
    crowd_init(&other, &f, 20);
    publish(&busy, &f);
    publish(&other, &f);
    for (int i = 0; i < 2 * 20 / SLICE + 2; i++) {
        publish(&busy, &f);
        hf_deliver_mark(&f.hub);
        (void)flush(&f);
    }
    assert_int_equal(behind(&other), 0);
    release(&busy);
    release(&other);
    hf_due_release(&f.hub.due);
}

/* Somebody leaves in every turn: the others are all visited, and the walk takes no longer for it. */
static void who_leaves_in_the_midst_of_a_walk_costs_nobody_his_turn(void **state)
{
    static struct crowd mass;

    (void)state;
    for (uint32_t leaver = 0; leaver < 16; leaver++) {
        struct fixture f;

        fixture_init(&f);
        crowd_init(&mass, &f, 20);
        publish(&mass, &f);
        for (int turn = 0; turn < 20 / SLICE + 1; turn++) {
            struct hf_sub *s;

            hf_deliver_mark(&f.hub);
            (void)flush(&f);
            if (turn < 3) {
                s = mass.topic.subs[(leaver * 7 + (uint32_t)turn) % mass.topic.count];
                hf_sub_remove(s);
            }
        }
        (void)flush(&f);
        assert_int_equal(mass.topic.count, 17);
        assert_int_equal(behind(&mass), 0);
        assert_true(hf_list_empty(&mass.topic.dirty));
        release(&mass);
        hf_due_release(&f.hub.due);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_mass_fan_out_is_walked_in_slices),
        cmocka_unit_test(a_small_channel_never_waits),
        cmocka_unit_test(two_mass_fan_outs_take_turns),
        cmocka_unit_test(who_leaves_in_the_midst_of_a_walk_costs_nobody_his_turn),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
