#include "shm/region.h"

#include "base/assert.h"

#include <stdio.h>

#define REGION_MAGIC UINT64_C(0x686f6c6466617374) /* "holdfast" */

static uint64_t page_up(uint64_t n)
{
    return (n + 4095) & ~UINT64_C(4095);
}

/* Names do not spread evenly, so each table has room for twice its share; the sum is held to the limit by the engine. */
static uint32_t channels_per_shard(const struct hf_region_config *c)
{
    uint64_t share = (c->channels_max + c->shards - 1) / c->shards;
    uint64_t capacity = share * 2 + 64;

    return (uint32_t)(capacity < 0xffffff ? capacity : 0xffffff);
}

static struct hf_region_header layout(const struct hf_region_config *c)
{
    struct hf_region_header h = {.magic = REGION_MAGIC, .config = *c};

    h.slots_at = page_up(sizeof(h));
    h.rings_at = page_up(h.slots_at + (uint64_t)c->workers * sizeof(struct hf_slot));
    h.ring_stride = page_up(hf_ring_bytes(c->ring_bytes));
    h.shards_at = h.rings_at + h.ring_stride * HF_RING_CLASSES * c->workers * c->workers;
    h.log_bytes = page_up(hf_log_bytes(c->segment_bytes, c->segment_count, c->workers));
    h.channels_at = h.shards_at + h.log_bytes * c->shards;
    h.channels_bytes = page_up(hf_channels_bytes(channels_per_shard(c)));
    h.sessions_at = h.channels_at + h.channels_bytes * c->shards;
    h.gate_at = h.sessions_at + page_up(hf_sessions_bytes(c->sessions_max, c->workers));
    h.bytes = h.gate_at + page_up(hf_gate_bytes(c->address_cells, c->workers));
    return h;
}

size_t hf_region_bytes(const struct hf_region_config *config)
{
    return layout(config).bytes;
}

void hf_region_format(void *memory, const struct hf_region_config *config)
{
    struct hf_region_header *h = memory;
    struct hf_region r;

    *h = layout(config);
    hf_assert(hf_region_open(&r, memory) == 0);
    for (uint32_t from = 0; from < config->workers; from++)
        for (uint32_t to = 0; to < config->workers; to++)
            for (int class = 0; class < HF_RING_CLASSES; class ++)
                if (from != to)
                    hf_ring_init(hf_region_ring(&r, (enum hf_ring_class) class, from, to),
                                 config->ring_bytes);
    for (uint32_t shard = 0; shard < config->shards; shard++) {
        hf_log_format(hf_region_log(&r, shard), config->segment_bytes, config->segment_count,
                      config->workers);
        hf_channels_format(hf_region_channels(&r, shard), shard, channels_per_shard(config));
    }
    hf_sessions_format(hf_region_sessions(&r), config->sessions_max, config->workers);
    hf_gate_format(hf_region_gate(&r), config->address_cells, config->workers, config->gate_secret);
}

int hf_region_open(struct hf_region *r, void *memory)
{
    struct hf_region_header *h = memory;

    if (h->magic != REGION_MAGIC)
        return HF_EBADMSG;
    *r = (struct hf_region){.header = h, .config = &h->config};
    r->slots = (struct hf_slot *)(void *)((uint8_t *)memory + h->slots_at);
    return 0;
}

static void *at(const struct hf_region *r, uint64_t place)
{
    return (uint8_t *)r->header + place;
}

struct hf_ring *hf_region_ring(const struct hf_region *r, enum hf_ring_class class, uint32_t from,
                               uint32_t to)
{
    uint64_t n = ((uint64_t)from * r->config->workers + to) * HF_RING_CLASSES + class;

    return at(r, r->header->rings_at + n * r->header->ring_stride);
}

struct hf_log_shm *hf_region_log(const struct hf_region *r, uint32_t shard)
{
    return at(r, r->header->shards_at + r->header->log_bytes * shard);
}

struct hf_channels_shm *hf_region_channels(const struct hf_region *r, uint32_t shard)
{
    return at(r, r->header->channels_at + r->header->channels_bytes * shard);
}

struct hf_sessions_shm *hf_region_sessions(const struct hf_region *r)
{
    return at(r, r->header->sessions_at);
}

struct hf_gate_shm *hf_region_gate(const struct hf_region *r)
{
    return at(r, r->header->gate_at);
}

/* ---- Bells ---- */

bool hf_region_ring_bell(struct hf_region *r, uint32_t from, uint32_t to)
{
    struct hf_slot *slot = &r->slots[to];

    atomic_fetch_or(&slot->pending[from / 64], UINT64_C(1) << (from % 64));
    /* Sequentially consistent against hf_region_sleep(): either it sees our bit, or we see that it sleeps. */
    return atomic_load(&slot->sleeping) != 0 && atomic_exchange(&slot->sleeping, 0) != 0;
}

uint64_t hf_region_take_bells(struct hf_region *r, uint32_t slot, uint32_t word)
{
    _Atomic uint64_t *bells = &r->slots[slot].pending[word];

    return atomic_load_explicit(bells, memory_order_relaxed) == 0 ? 0 : atomic_exchange(bells, 0);
}

bool hf_region_sleep(struct hf_region *r, uint32_t slot)
{
    atomic_store(&r->slots[slot].sleeping, 1);
    for (int word = 0; word < HF_WORKER_WORDS; word++)
        if (atomic_load(&r->slots[slot].pending[word]) != 0)
            return false;
    return true;
}

void hf_region_awake(struct hf_region *r, uint32_t slot)
{
    atomic_store_explicit(&r->slots[slot].sleeping, 0, memory_order_relaxed);
}

/* ---- A worker's beginning and end ---- */

void hf_region_bury_worker(struct hf_region *r, uint32_t slot)
{
    for (uint32_t shard = 0; shard < r->config->shards; shard++)
        hf_log_clear_pins(hf_region_log(r, shard), slot);
    atomic_store(&r->slots[slot].sleeping, 0);
    atomic_store(&r->slots[slot].state, HF_SLOT_DEAD);
}

void hf_region_reset_worker(struct hf_region *r, uint32_t slot, uint64_t wall_ms)
{
    hf_gate_reset_worker(hf_region_gate(r), slot,
                         atomic_load(&r->slots[slot].counters.gauge[HF_GAUGE_CONNECTIONS]));
    for (int i = 0; i < HF_GAUGES; i++)
        atomic_store(&r->slots[slot].counters.gauge[i], 0);
    atomic_store(&r->slots[slot].settled_ms, 0);
    for (uint32_t shard = 0; shard < r->config->shards; shard++) {
        struct hf_channels t;
        uint32_t high;

        hf_channels_open(&t, hf_region_channels(r, shard));
        high = atomic_load(&t.shm->high);
        for (uint32_t place = 0; place < high; place++) {
            hf_channel_clear_told(&t.table[place], slot);
            if (hf_channel_wanted(&t.table[place], slot))
                hf_channel_unwant(&t.table[place], slot, wall_ms);
        }
    }
}

/*
 * A dead worker's time stands still: what it put into a ring in its last turn is announced by its successor, before that one's
 * first own time.
 */
uint64_t hf_region_rung_ms(const struct hf_region *r)
{
    uint64_t rung = UINT64_MAX;

    for (uint32_t slot = 0; slot < r->config->workers; slot++) {
        uint64_t theirs = atomic_load(&r->slots[slot].rung_ms);

        if (theirs < rung)
            rung = theirs;
    }
    return rung;
}

uint64_t hf_region_settled_ms(const struct hf_region *r, uint64_t now_ms)
{
    uint64_t settled = now_ms;

    for (uint32_t slot = 0; slot < r->config->workers; slot++) {
        uint64_t theirs = atomic_load(&r->slots[slot].settled_ms);

        if (atomic_load(&r->slots[slot].state) != HF_SLOT_RUNNING)
            return 0;
        if (theirs < settled)
            settled = theirs;
    }
    return settled;
}

size_t hf_region_epoch(const struct hf_region *r, hf_cid cid, char out[32])
{
    static const char digits[] = "0123456789abcdefghijklmnopqrstuvwxyz";
    uint64_t part[2] = {r->config->boot_id >> 24, cid};
    size_t len = 0;

    for (int i = 0; i < 2; i++) {
        char reversed[16];
        size_t n = 0;

        do {
            reversed[n++] = digits[part[i] % 36];
            part[i] /= 36;
        } while (part[i] > 0);
        while (n > 0)
            out[len++] = reversed[--n];
        if (i == 0)
            out[len++] = 'x';
    }
    out[len] = '\0';
    return len;
}
