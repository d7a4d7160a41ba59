#include "shm/region.h"

#include "base/assert.h"
#include "shm/crash.h"

#include <stdio.h>

#define REGION_MAGIC UINT64_C(0x686f6c6466617374) /* "holdfast" */

/*
 * Raise it when something in the memory means something else than before, also what workers write to each other: a newer program then does not take an older one's memory over.
 * Sizes are looked at besides.
 */
/* 2: identities have claims; a channel's times are monotonic. */
enum { REGION_FORMAT = 2 };

static uint64_t magic(void)
{
    static const uint64_t sizes[] = {REGION_FORMAT,
                                     sizeof(struct hf_region_header),
                                     sizeof(struct hf_slot),
                                     sizeof(struct hf_counters),
                                     sizeof(struct hf_session),
                                     sizeof(struct hf_session_block),
                                     sizeof(struct hf_session_chunk),
                                     sizeof(struct hf_tombstone),
                                     sizeof(struct hf_channel)};
    uint64_t m = REGION_MAGIC;

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
        m = (m ^ sizes[i]) * UINT64_C(0x100000001b3); /* FNV-1a's prime */
    return m;
}

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
    struct hf_region_header h = {.magic = magic(), .config = *c};

    h.slots_at = page_up(sizeof(h));
    h.rings_at = page_up(h.slots_at + (uint64_t)c->workers * sizeof(struct hf_slot));
    h.ring_stride = page_up(hf_ring_bytes(c->ring_bytes));
    h.tallies_at = h.rings_at + h.ring_stride * HF_RING_CLASSES * c->workers * c->workers;
    h.tallies_stride = page_up((uint64_t)c->channels_max * sizeof(struct hf_tally));
    h.shards_at = h.tallies_at + h.tallies_stride * c->workers;
    h.log_bytes = page_up(hf_log_bytes(c->segment_bytes, c->segment_count, c->workers));
    h.channels_at = h.shards_at + h.log_bytes * c->shards;
    h.channels_bytes = page_up(hf_channels_bytes(channels_per_shard(c)));
    h.sessions_at = h.channels_at + h.channels_bytes * c->shards;
    h.gate_at = h.sessions_at + page_up(hf_sessions_bytes(c->sessions_max, c->workers));
    h.handout_at = h.gate_at + page_up(hf_gate_bytes(c->address_cells, c->workers));
    h.journals_at = h.handout_at + page_up(hf_handout_bytes(c->handout_bytes));
    h.journal_stride = page_up(hf_journal_bytes());
    h.hints_at = h.journals_at + h.journal_stride * c->workers;
    h.bytes = h.hints_at + page_up(sizeof(struct hf_hints)) * c->workers;
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
    for (uint32_t shard = 0; shard < config->shards; shard++) {
        hf_log_format(hf_region_log(&r, shard), config->segment_bytes, config->segment_count,
                      config->workers);
        hf_channels_format(hf_region_channels(&r, shard), shard, channels_per_shard(config));
    }
    hf_sessions_format(hf_region_sessions(&r), config->sessions_max, config->workers);
    hf_gate_format(hf_region_gate(&r), config->address_cells, config->workers, config->gate_secret);
    hf_handout_format(hf_region_handout(&r), config->handout_bytes);
}

int hf_region_open(struct hf_region *r, void *memory)
{
    struct hf_region_header *h = memory;

    if (h->magic != magic())
        return HF_EBADMSG;
    *r = (struct hf_region){.header = h, .config = &h->config};
    r->slots = (struct hf_slot *)(void *)((uint8_t *)memory + h->slots_at);
    return 0;
}

static bool same_layout(const struct hf_region_header *h, const struct hf_region_config *c)
{
    const struct hf_region_config *is = &h->config;

    return is->workers == c->workers && is->shards == c->shards && is->segment_bytes == c->segment_bytes &&
           is->segment_count == c->segment_count && is->channels_max == c->channels_max &&
           is->sessions_max == c->sessions_max && is->ring_bytes == c->ring_bytes &&
           is->address_cells == c->address_cells && h->bytes == layout(c).bytes;
}

int hf_region_adopt(void *memory, const struct hf_region_config *config)
{
    struct hf_region r;

    if (hf_region_open(&r, memory) < 0 || !same_layout(r.header, config))
        return HF_EBADMSG;
    for (uint32_t slot = 0; slot < config->workers; slot++) {
        hf_region_bury_worker(&r, slot);
        atomic_store(&r.slots[slot].pid, 0);
        atomic_store(&r.slots[slot].draining, 0);
        atomic_store(&r.slots[slot].condemned, 0);
        atomic_store(&r.slots[slot].shed, 0);
        atomic_store(&r.slots[slot].full, 0);
    }
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

bool hf_region_talks(const struct hf_region *r, uint32_t from, uint32_t to)
{
    return (atomic_load(&r->slots[from].talks[to / 64]) & UINT64_C(1) << (to % 64)) != 0;
}

struct hf_ring *hf_region_ring_to(struct hf_region *r, enum hf_ring_class class, uint32_t from, uint32_t to)
{
    if (!hf_region_talks(r, from, to)) {
        for (int each = 0; each < HF_RING_CLASSES; each++)
            hf_ring_init(hf_region_ring(r, (enum hf_ring_class)each, from, to), r->config->ring_bytes);
        HF_CRASH_POINT("rings:made"); /* Nothing has been put in: the successor makes them once more. */
        atomic_fetch_or(&r->slots[from].talks[to / 64], UINT64_C(1) << (to % 64));
    }
    return hf_region_ring(r, class, from, to);
}

struct hf_tally *hf_region_tallies(const struct hf_region *r, uint32_t slot)
{
    return at(r, r->header->tallies_at + r->header->tallies_stride * slot);
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

struct hf_handout *hf_region_handout(const struct hf_region *r)
{
    return at(r, r->header->handout_at);
}

struct hf_gate_shm *hf_region_gate(const struct hf_region *r)
{
    return at(r, r->header->gate_at);
}

struct hf_journal_shm *hf_region_journal(const struct hf_region *r, uint32_t slot)
{
    return at(r, r->header->journals_at + r->header->journal_stride * slot);
}

struct hf_hints *hf_region_hints(const struct hf_region *r, uint32_t slot)
{
    return at(r, r->header->hints_at + page_up(sizeof(struct hf_hints)) * slot);
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

bool hf_region_lives(const struct hf_region *r, uint32_t slot, uint32_t life)
{
    return slot < r->config->workers && atomic_load(&r->slots[slot].state) == HF_SLOT_RUNNING &&
           (atomic_load(&r->slots[slot].starts) & 0xf) == life;
}

void hf_region_bury_worker(struct hf_region *r, uint32_t slot)
{
    for (uint32_t shard = 0; shard < r->config->shards; shard++)
        hf_log_clear_pins(hf_region_log(r, shard), slot);
    atomic_store(&r->slots[slot].sleeping, 0);
    atomic_store(&r->slots[slot].state, HF_SLOT_DEAD);
}

void hf_region_reset_worker(struct hf_region *r, uint32_t slot)
{
    /* The first process of a slot finds nothing, and looking would bring the whole table into memory. */
    if (atomic_load(&r->slots[slot].starts) != 1)
        hf_gate_reset_worker(hf_region_gate(r), slot,
                             atomic_load(&r->slots[slot].counters.gauge[HF_GAUGE_CONNECTIONS]));
    for (int i = 0; i < HF_GAUGES; i++)
        atomic_store(&r->slots[slot].counters.gauge[i], 0);
    atomic_store(&r->slots[slot].settled_ms, 0);
    atomic_store(&r->slots[slot].full, 0);
    atomic_store(&r->slots[slot].tallies, 0);
}

bool hf_region_forget_interest(struct hf_region *r, uint32_t slot, uint64_t mono_ms, uint64_t *cursor,
                               uint32_t most, bool (*held)(void *ctx, hf_cid cid), void *ctx)
{
    while (*cursor >> 32 < r->config->shards) {
        struct hf_channels t;

        hf_channels_open(&t, hf_region_channels(r, (uint32_t)(*cursor >> 32)));
        for (; (uint32_t)*cursor < atomic_load(&t.shm->high); ++*cursor) {
            struct hf_channel *c = &t.table[(uint32_t)*cursor];

            if (most-- == 0)
                return true;
            if (hf_channel_wanted(c, slot) && !held(ctx, hf_channel_last_cid(&t, c)))
                hf_channel_unwant(c, slot, mono_ms);
        }
        *cursor = ((*cursor >> 32) + 1) << 32;
    }
    return false;
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
