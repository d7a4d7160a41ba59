/*
 * inspect_channels.c - channels for those who run the server: a list by name, with search. Read from shared memory: any worker answers for all.
 * All channels are looked at for a page, because they lie in no order; what is held meanwhile is two pages.
 */
#include "server/hub_state.h"
#include "server/service.h"
#include "wire/json.h"

#include <stdlib.h>
#include <string.h>

struct listed {
    struct hf_channel *channel;
    hf_cid cid;
    uint64_t subscribers;
};

static int by_name(const void *a, const void *b)
{
    struct hf_str x = hf_channel_name(((const struct listed *)a)->channel),
                  y = hf_channel_name(((const struct listed *)b)->channel);
    size_t len = x.len < y.len ? x.len : y.len;
    int order = memcmp(x.data, y.data, len);

    return order != 0 ? order : (x.len > y.len) - (x.len < y.len);
}

static bool behind(struct hf_str name, struct hf_str after)
{
    size_t len = name.len < after.len ? name.len : after.len;
    int order = after.data == NULL ? 1 : memcmp(name.data, after.data, len);

    return order > 0 || (order == 0 && name.len > after.len);
}

static bool has_prefix(struct hf_str name, struct hf_str prefix)
{
    return name.len >= prefix.len && (prefix.len == 0 || memcmp(name.data, prefix.data, prefix.len) == 0);
}

/* The first `keep` of what is added, by name. */
struct page {
    struct listed *list; /* room for twice as many */
    uint32_t count, keep;
    bool full; /* list[keep - 1] is the last of the first `keep` so far: none behind it belongs here */
};

static void page_sort(struct page *p)
{
    qsort(p->list, p->count, sizeof(*p->list), by_name);
    if (p->count >= p->keep) {
        p->count = p->keep;
        p->full = true;
    }
}

static void page_add(struct page *p, struct hf_channel *channel, hf_cid cid)
{
    struct listed one = {channel, cid, 0};

    if (p->full && by_name(&one, &p->list[p->keep - 1]) >= 0)
        return;
    p->list[p->count++] = one;
    if (p->count == 2 * p->keep)
        page_sort(p);
}

static bool wanted(struct hf_str name, const struct hf_channels_query *q)
{
    return has_prefix(name, q->prefix) && behind(name, q->after) &&
           (q->search.len == 0 || memmem(name.data, name.len, q->search.data, q->search.len) != NULL);
}

static void list_channels(struct hf_hub *hub, const struct hf_channels_query *q, struct page *p)
{
    for (uint32_t shard = 0; shard < hub->shards; shard++) {
        struct hf_channels *t = &hub->channels[shard];
        uint32_t high = atomic_load(&t->shm->high);

        for (uint32_t place = 0; place < high; place++) {
            struct hf_channel *c = &t->table[place];
            hf_cid cid = atomic_load(&c->cid);

            if (cid != 0 && wanted(hf_channel_name(c), q))
                page_add(p, c, cid);
        }
    }
    page_sort(p);
}

static void add_subscribers(const struct hf_map *index, struct listed *list, hf_cid cid, uint64_t count)
{
    struct hf_map_entry *e = cid == 0 ? NULL : hf_map_get(index, cid);

    if (e != NULL)
        list[e->a].subscribers += count;
}

static void add_connected(struct hf_hub *hub, const struct hf_map *index, struct listed *list)
{
    for (uint32_t slot = 0; slot < hub->workers; slot++) {
        const struct hf_tally *tallies = hf_region_tallies(hub->region, slot);
        uint32_t used = atomic_load_explicit(&hub->region->slots[slot].tallies, memory_order_acquire);

        for (uint32_t i = 0; i < used; i++) {
            hf_cid cid = atomic_load_explicit(&tallies[i].cid, memory_order_acquire);
            uint64_t count = atomic_load_explicit(&tallies[i].subscribers, memory_order_acquire);

            if (atomic_load_explicit(&tallies[i].cid, memory_order_relaxed) == cid) /* Not just given back. */
                add_subscribers(index, list, cid, count);
        }
    }
}

static void add_waiting(struct hf_hub *hub, const struct hf_map *index, struct listed *list)
{
    struct hf_session *s;
    uint64_t cursor = 0;

    while ((s = hf_sessions_next_idle(&hub->sessions, &cursor)) != NULL) {
        struct hf_session_sub *sub;
        uint32_t at = 0;

        if (hf_state_phase(atomic_load(&s->state)) != HF_SESSION_PARKED)
            continue;
        while ((sub = hf_session_sub_next(&hub->sessions, s, &at)) != NULL)
            add_subscribers(index, list, atomic_load(&sub->cid) & HF_SUB_CID, 1);
    }
}

/*
 * Sessions, not connections: a subscriber whose connection is just broken still counts. Each worker keeps the number of its connected ones at hand; the
 * others are those that wait. What changes hands at this moment may be counted twice or not at all.
 */
static void count_subscribers(struct hf_hub *hub, struct listed *list, uint32_t count)
{
    struct hf_map index;

    hf_map_init(&index);
    for (uint32_t i = 0; i < count; i++)
        if (hf_map_put(&index, list[i].cid, i, 0) < 0)
            break;
    add_connected(hub, &index, list);
    add_waiting(hub, &index, list);
    hf_map_release(&index);
}

static void put_channel(struct hf_hub *hub, const struct listed *one, struct hf_buf *out)
{
    char epoch[HF_EPOCH_MAX];

    hf_buf_puts(out, "{\"channel\":");
    hf_json_put_string(out, hf_channel_name(one->channel));
    hf_region_epoch(hub->region, one->cid, epoch);
    hf_buf_putf(out, ",\"epoch\":\"%s\",\"offset\":%llu,\"subscribers\":%llu}", epoch,
                (unsigned long long)atomic_load(&one->channel->head), (unsigned long long)one->subscribers);
}

int hf_service_channels(struct hf_hub *hub, const struct hf_channels_query *query, struct hf_buf *out)
{
    struct page page = {.keep =
                            (uint32_t)query->limit + 1}; /* One more tells whether there is a next page. */
    uint32_t count;

    page.list = calloc(2 * (size_t)page.keep, sizeof(*page.list));
    if (page.list == NULL)
        return HF_ENOMEM;
    list_channels(hub, query, &page);
    count = page.full ? page.keep - 1 : page.count;
    count_subscribers(hub, page.list, count);
    hf_buf_puts(out, "{\"channels\":[");
    for (uint32_t i = 0; i < count; i++) {
        if (i > 0)
            hf_buf_puts(out, ",");
        put_channel(hub, &page.list[i], out);
    }
    hf_buf_puts(out, "]");
    if (page.full) {
        hf_buf_puts(out, ",\"next\":");
        hf_json_put_string(out, hf_channel_name(page.list[count - 1].channel));
    }
    hf_buf_puts(out, "}");
    free(page.list);
    return out->failed ? HF_ELIMIT : 0;
}
