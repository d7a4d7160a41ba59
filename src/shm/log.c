#include "shm/log.h"

#include "base/assert.h"
#include "shm/crash.h"

#include <string.h>

enum { PLACE_BITS = 24, SLOT_BITS = 12, SEGNO_BITS = 28 };

static hf_ref ref_make(uint64_t segno, uint32_t slot, uint32_t at)
{
    return segno << (SLOT_BITS + PLACE_BITS) | (uint64_t)slot << PLACE_BITS | at / 8;
}

static uint64_t ref_segno(hf_ref ref)
{
    return ref >> (SLOT_BITS + PLACE_BITS);
}

static uint32_t ref_slot(hf_ref ref)
{
    return (uint32_t)(ref >> PLACE_BITS) & ((1u << SLOT_BITS) - 1);
}

static uint32_t ref_at(hf_ref ref)
{
    return ((uint32_t)ref & ((1u << PLACE_BITS) - 1)) * 8;
}

static size_t pins_at(uint32_t segment_count)
{
    return sizeof(struct hf_segment) * segment_count;
}

static size_t data_at(uint32_t segment_count, uint32_t workers)
{
    size_t end = sizeof(struct hf_log_shm) + pins_at(segment_count) + (size_t)workers * segment_count;

    return (end + 4095) &
           ~(size_t)4095; /* Data begins on a page, so that an unused segment costs no memory. */
}

size_t hf_log_bytes(uint32_t segment_bytes, uint32_t segment_count, uint32_t workers)
{
    return data_at(segment_count, workers) + (size_t)segment_bytes * segment_count;
}

void hf_log_format(struct hf_log_shm *shm, uint32_t segment_bytes, uint32_t segment_count, uint32_t workers)
{
    hf_assert(segment_bytes % 4096 == 0 && segment_bytes <= 8u << PLACE_BITS);
    hf_assert(segment_count >= 2 && segment_count < 1u << SLOT_BITS);
    shm->segment_bytes = segment_bytes;
    shm->segment_count = segment_count;
    shm->workers = workers;
    atomic_init(&shm->segno_last, 0);
}

void hf_log_open(struct hf_log *log, struct hf_log_shm *shm, uint32_t worker)
{
    *log = (struct hf_log){.shm = shm, .current = shm->segment_count, .spare = shm->segment_count};
    log->segments = (struct hf_segment *)(void *)shm->body;
    log->all_pins = (_Atomic uint8_t *)(void *)(shm->body + pins_at(shm->segment_count));
    log->my_pins = log->all_pins + (size_t)worker * shm->segment_count;
    log->data = (uint8_t *)shm + data_at(shm->segment_count, shm->workers);
}

void hf_log_clear_pins(struct hf_log_shm *shm, uint32_t worker)
{
    struct hf_log log;

    hf_log_open(&log, shm, worker);
    for (uint32_t slot = 0; slot < shm->segment_count; slot++)
        if (atomic_load(&log.my_pins[slot]) != 0)
            atomic_store(&log.my_pins[slot], 0);
}

static struct hf_record *record_in(const struct hf_log *log, uint32_t slot, uint32_t at)
{
    return (struct hf_record *)(void *)(log->data + (size_t)slot * log->shm->segment_bytes + at);
}

/* ---- Reading ---- */

static bool pinned_by_us(const struct hf_log *log, uint32_t slot)
{
    return atomic_load_explicit(&log->my_pins[slot], memory_order_relaxed) != 0;
}

static void pin(struct hf_log *log, uint32_t slot)
{
    atomic_store(&log->my_pins[slot], 1); /* Before the look at segno: see log.h. */
    if (log->pinned_count < sizeof(log->pinned) / sizeof(log->pinned[0]))
        log->pinned[log->pinned_count++] = (uint16_t)slot;
    else
        log->pinned_many = true;
}

struct hf_record *hf_log_at(struct hf_log *log, hf_ref ref)
{
    uint32_t slot = ref_slot(ref), at = ref_at(ref);
    struct hf_segment *segment;

    if (ref == 0)
        return NULL;
    hf_assert(slot < log->shm->segment_count);
    segment = &log->segments[slot];
    if (!pinned_by_us(log, slot))
        pin(log, slot);
    if (atomic_load(&segment->segno) != ref_segno(ref))
        return NULL; /* Recycled. The pin stays till the end of the turn: harmless. */
    hf_assert(at + sizeof(struct hf_record) <= atomic_load_explicit(&segment->used, memory_order_acquire));
    return record_in(log, slot, at);
}

void hf_log_unpin_all(struct hf_log *log)
{
    if (log->pinned_many)
        for (uint32_t slot = 0; slot < log->shm->segment_count; slot++)
            atomic_store_explicit(&log->my_pins[slot], 0, memory_order_release);
    else
        for (uint32_t i = 0; i < log->pinned_count; i++)
            atomic_store_explicit(&log->my_pins[log->pinned[i]], 0, memory_order_release);
    log->pinned_count = 0;
    log->pinned_many = false;
}

struct hf_record *hf_log_seek(struct hf_log *log, hf_ref newest,
                              bool (*keep)(const void *ctx, const struct hf_record *r), const void *ctx,
                              hf_ref *ref)
{
    struct hf_record *here = hf_log_at(log, newest);

    if (here == NULL || !keep(ctx, here))
        return NULL;
    *ref = newest;
    for (;;) {
        struct hf_record *back = hf_log_at(log, here->jump);
        hf_ref back_ref = here->jump;

        if (back == NULL || !keep(ctx, back)) {
            back_ref = here->prev;
            back = hf_log_at(log, back_ref);
        }
        if (back == NULL || !keep(ctx, back))
            return here;
        here = back;
        *ref = back_ref;
    }
}

static bool offset_at_least(const void *ctx, const struct hf_record *r)
{
    return r->offset >= *(const uint64_t *)ctx;
}

struct hf_record *hf_log_find(struct hf_log *log, hf_ref newest, uint64_t offset, hf_ref *ref)
{
    return hf_log_seek(log, newest, offset_at_least, &offset, ref);
}

/* ---- Writing: the shard's owner ---- */

struct hf_record *hf_log_own(const struct hf_log *log, hf_ref ref)
{
    if (ref == 0 ||
        atomic_load_explicit(&log->segments[ref_slot(ref)].segno, memory_order_relaxed) != ref_segno(ref))
        return NULL;
    return record_in(log, ref_slot(ref), ref_at(ref));
}

void hf_log_link(struct hf_log *log, struct hf_record *r, const struct hf_record *before, hf_ref before_ref)
{
    const struct hf_record *jump;

    if (before == NULL)
        return;
    r->prev = before_ref;
    r->bytes_before = before->bytes_before + before->payload_len;
    /* Myers: where the last two jumps are of equal length the next one spans both, else it is one step. */
    jump = hf_log_own(log, before->jump);
    if (jump != NULL && jump->jump != 0 &&
        before->offset - before->jump_offset == jump->offset - jump->jump_offset) {
        r->jump = jump->jump;
        r->jump_offset = jump->jump_offset;
    } else {
        r->jump = before_ref;
        r->jump_offset = before->offset;
    }
}

size_t hf_log_record_bytes_max(uint32_t segment_bytes)
{
    return segment_bytes - segment_bytes / 4;
}

static uint64_t segno_of(const struct hf_log *log, uint32_t slot)
{
    return atomic_load_explicit(&log->segments[slot].segno, memory_order_relaxed);
}

static bool pinned_by_anyone(const struct hf_log *log, uint32_t slot)
{
    for (uint32_t worker = 0; worker < log->shm->workers; worker++)
        if (atomic_load(&log->all_pins[(size_t)worker * log->shm->segment_count + slot]) != 0)
            return true;
    return false;
}

static uint32_t find_empty(const struct hf_log *log)
{
    uint32_t slot = 0;

    while (slot < log->shm->segment_count && (segno_of(log, slot) != 0 || slot == log->current))
        slot++;
    return slot;
}

bool hf_log_has_spare(const struct hf_log *log)
{
    return log->spare < log->shm->segment_count;
}

int hf_log_victim(const struct hf_log *log)
{
    int best = -1;
    uint64_t best_segno = UINT64_MAX;

    for (uint32_t slot = 0; slot < log->shm->segment_count; slot++) {
        uint64_t segno = segno_of(log, slot);

        if (slot == log->current || segno == 0 || segno >= best_segno || pinned_by_anyone(log, slot))
            continue;
        best = (int)slot;
        best_segno = segno;
    }
    return best;
}

bool hf_log_recycle(struct hf_log *log, uint32_t slot)
{
    struct hf_segment *segment = &log->segments[slot];
    uint64_t segno = segno_of(log, slot);

    atomic_store(&segment->segno, 0);
    HF_CRASH_POINT("log:taken");
    if (pinned_by_anyone(log, slot)) { /* A reader came between: it wins. */
        atomic_store(&segment->segno, segno);
        return false;
    }
    log->spare = slot;
    return true;
}

/* Begin to write the spare segment. */
static void rotate(struct hf_log *log)
{
    struct hf_segment *segment = &log->segments[log->spare];
    uint64_t segno = atomic_load_explicit(&log->shm->segno_last, memory_order_relaxed) + 1;

    hf_assert(segno < UINT64_C(1) << SEGNO_BITS);
    atomic_store_explicit(&segment->used, 0, memory_order_relaxed);
    atomic_store_explicit(&log->shm->segno_last, segno, memory_order_relaxed);
    HF_CRASH_POINT("log:emptied");
    atomic_store(&segment->segno, segno); /* Also orders `used` before itself, for readers. */
    HF_CRASH_POINT("log:rotated");
    log->current = log->spare;
    log->spare = find_empty(log);
}

static bool has_room(const struct hf_log *log, size_t size, bool carry)
{
    size_t limit = log->shm->segment_bytes;

    if (log->current == log->shm->segment_count)
        return false;
    if (!hf_log_has_spare(log) && !carry)
        limit = hf_log_record_bytes_max(log->shm->segment_bytes);
    return atomic_load_explicit(&log->segments[log->current].used, memory_order_relaxed) + size <= limit;
}

struct hf_record *hf_log_reserve(struct hf_log *log, size_t size, bool carry, hf_ref *ref)
{
    struct hf_record *r;
    uint32_t used;

    size = (size + 7) & ~(size_t)7;
    hf_assert(size >= sizeof(struct hf_record) && size <= hf_log_record_bytes_max(log->shm->segment_bytes));
    if (!has_room(log, size, carry)) {
        if (!hf_log_has_spare(log))
            return NULL;
        rotate(log);
    }
    used = atomic_load_explicit(&log->segments[log->current].used, memory_order_relaxed);
    r = record_in(log, log->current, used);
    memset(r, 0, sizeof(*r));
    *ref = ref_make(segno_of(log, log->current), log->current, used);
    return r;
}

void hf_log_commit(struct hf_log *log, struct hf_record *r, hf_ref ref, size_t size)
{
    struct hf_segment *segment = &log->segments[ref_slot(ref)];

    size = (size + 7) & ~(size_t)7;
    r->size = (uint32_t)size;
    HF_CRASH_POINT("log:written");
    atomic_store_explicit(&segment->used, ref_at(ref) + (uint32_t)size, memory_order_release);
    HF_CRASH_POINT("log:committed");
}

void hf_log_recover(struct hf_log *log)
{
    uint64_t newest = 0;

    log->current = log->shm->segment_count;
    for (uint32_t slot = 0; slot < log->shm->segment_count; slot++) {
        if (segno_of(log, slot) > newest) {
            newest = segno_of(log, slot);
            log->current = slot;
        }
    }
    log->spare = find_empty(log);
}

void hf_log_scan_segment(struct hf_log *log, uint32_t slot,
                         void (*each)(void *ctx, struct hf_record *r, hf_ref ref), void *ctx)
{
    uint32_t used = atomic_load_explicit(&log->segments[slot].used, memory_order_acquire);
    uint64_t segno = segno_of(log, slot);

    for (uint32_t at = 0; at < used;) {
        struct hf_record *r = record_in(log, slot, at);

        hf_assert(r->size >= sizeof(*r) && r->size % 8 == 0 && r->size <= used - at);
        each(ctx, r, ref_make(segno, slot, at));
        at += r->size;
    }
}

void hf_log_scan(struct hf_log *log, void (*each)(void *ctx, struct hf_record *r, hf_ref ref), void *ctx)
{
    uint64_t done = 0;

    for (;;) { /* Next higher number each time: segments are few, and this runs once in an owner's life. */
        uint32_t slot = log->shm->segment_count;
        uint64_t next = UINT64_MAX;

        for (uint32_t i = 0; i < log->shm->segment_count; i++) {
            uint64_t segno = atomic_load(&log->segments[i].segno);

            if (segno > done && segno < next) {
                next = segno;
                slot = i;
            }
        }
        if (slot == log->shm->segment_count)
            return;
        hf_log_scan_segment(log, slot, each, ctx);
        done = next;
    }
}

uint64_t hf_log_used_bytes(const struct hf_log *log)
{
    uint64_t sum = 0;

    for (uint32_t slot = 0; slot < log->shm->segment_count; slot++)
        if (atomic_load_explicit(&log->segments[slot].segno, memory_order_relaxed) != 0)
            sum += atomic_load_explicit(&log->segments[slot].used, memory_order_relaxed);
    return sum;
}
