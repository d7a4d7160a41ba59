#include "server/busy.h"

#include "base/assert.h"
#include "server/hub_state.h"

#include <stdlib.h>
#include <string.h>

enum { SECOND_MS = 1000 };

void hf_busy_begin(struct hf_hub *hub)
{
    static const struct hf_busy_second none;

    hub->busy.began_ms = hub->now.mono_ms;
    hf_busy_write(&hub->self->busy, &none);
}

/* ---- Who is behind ---- */

void hf_busy_watch(struct hf_conn *c)
{
    struct hf_busy *b = &c->hub->busy;

    if (c->watched || c->session == NULL || b->watched_count == HF_BUSY_WATCHED)
        return;
    c->watched = true;
    b->watched[b->watched_count++] = c;
}

void hf_busy_unwatch(struct hf_conn *c)
{
    struct hf_busy *b = &c->hub->busy;
    uint32_t i = 0;

    if (!c->watched)
        return;
    while (b->watched[i] != c)
        i++;
    b->watched[i] = b->watched[--b->watched_count];
    c->watched = false;
}

/* How long ago the next message appeared that the subscription has not been sent; of those that are still there. */
static uint64_t lag_ms(struct hf_hub *hub, const struct hf_sub *s)
{
    hf_ref ref;
    const struct hf_record *r = hf_topic_record(hub, s->topic, s->cursor.next_offset, s->last_ref, &ref);

    return r != NULL && hub->now.wall_ms > r->appended_ms ? hub->now.wall_ms - r->appended_ms : 0;
}

static struct hf_busy_slow look_at(struct hf_conn *c)
{
    struct hf_hub *hub = c->hub;
    struct hf_busy_slow slow = {.session = c->session == NULL ? 0 : c->session->number};
    const struct hf_sub *furthest = NULL;
    uint64_t most = 0;

    for (const struct hf_sub *s = c->subs; s != NULL; s = s->next) {
        uint64_t head = atomic_load(&s->topic->channel->head);
        uint64_t behind = head >= s->cursor.next_offset ? head + 1 - s->cursor.next_offset : 0;

        if (s->latest && behind > 1)
            behind = 1; /* It wants no more than the newest. */
        slow.behind += behind;
        if (behind > most) {
            most = behind;
            furthest = s;
        }
    }
    if (furthest != NULL) {
        slow.cid = furthest->topic->cid;
        slow.lag_ms = lag_ms(hub, furthest);
    }
    if (c->blocked && c->progress_ms != 0 && c->phase == HF_CONN_OPEN)
        slow.blocked_ms = hub->now.mono_ms - c->progress_ms;
    return slow;
}

static int slowest_first(const void *a, const void *b)
{
    const struct hf_busy_slow *x = a, *y = b;

    if (x->lag_ms != y->lag_ms)
        return x->lag_ms > y->lag_ms ? -1 : 1;
    return x->behind > y->behind ? -1 : x->behind < y->behind;
}

static void list_slow(struct hf_hub *hub, struct hf_busy_second *second)
{
    struct hf_busy *b = &hub->busy;
    struct hf_busy_slow slow[HF_BUSY_WATCHED];
    uint32_t count = 0;

    for (uint32_t i = b->watched_count; i-- > 0;) {
        struct hf_conn *c = b->watched[i];
        struct hf_busy_slow one = look_at(c);

        if (one.session == 0 || (one.behind == 0 && !c->blocked))
            hf_busy_unwatch(c); /* What comes into its place has been looked at. */
        else
            slow[count++] = one;
    }
    qsort(slow, count, sizeof(slow[0]), slowest_first);
    second->slow_count = count < HF_BUSY_SLOW ? count : HF_BUSY_SLOW;
    memcpy(second->slow, slow, second->slow_count * sizeof(slow[0]));
}

/* ---- What is busy ---- */

static void list_channels(const struct hf_busy *b, struct hf_busy_second *second)
{
    struct hf_busiest_key key[HF_BUSY_CHANNELS];

    second->channel_count = hf_busiest_list(&b->channels, key, HF_BUSY_CHANNELS);
    for (uint64_t i = 0; i < second->channel_count; i++)
        second->channel[i] = (struct hf_busy_channel){.cid = key[i].key,
                                                      .publishes = key[i].count[HF_BUSY_PUBLISHES],
                                                      .deliveries = key[i].count[HF_BUSY_DELIVERIES]};
}

void hf_busy_turn(struct hf_hub *hub)
{
    struct hf_busy *b = &hub->busy;
    struct hf_busy_second second = {.ended_ms = hub->now.mono_ms,
                                    .length_ms = hub->now.mono_ms - b->began_ms,
                                    .ring_peak_bytes = b->ring_peak_bytes};

    if (second.length_ms < SECOND_MS)
        return;
    list_channels(b, &second);
    list_slow(hub, &second);
    hf_busy_write(&hub->self->busy, &second);
    hf_busiest_reset(&b->channels);
    b->ring_peak_bytes = 0;
    b->began_ms = hub->now.mono_ms;
}
