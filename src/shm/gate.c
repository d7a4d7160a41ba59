#include "shm/gate.h"

#include "base/assert.h"
#include "shm/crash.h"

enum { NS_PER_MS = 1000000, COUNT_BITS = 20, PERCENT = 100 };

#define NS_PER_S UINT64_C(1000000000)
#define COUNT_MASK ((UINT64_C(1) << COUNT_BITS) - 1)

size_t hf_gate_bytes(uint32_t cells, uint32_t workers)
{
    return sizeof(struct hf_gate_shm) + ((size_t)workers + 1) * cells * sizeof(uint64_t);
}

void hf_gate_format(struct hf_gate_shm *g, uint32_t cells, uint32_t workers, uint64_t secret)
{
    hf_assert(cells == 0 ||
              (cells >= HF_GATE_WINDOW && (cells & (cells - 1)) == 0 && cells <= HF_GATE_CELLS_MAX));
    g->cells = cells;
    g->workers = workers;
    g->secret = secret;
}

/* ---- Handshakes ---- */

static uint32_t share(enum hf_gate_kind kind, uint64_t n)
{
    uint64_t percent = kind == HF_GATE_RESUME ? HF_GATE_RESUME_PERCENT : PERCENT - HF_GATE_RESUME_PERCENT;
    uint64_t part = n * percent / PERCENT;

    return part < 1 ? 1 : (uint32_t)part;
}

static uint64_t interval_ns(const struct hf_gate_config *c, enum hf_gate_kind kind)
{
    return NS_PER_S / share(kind, c->rate);
}

/* One token of that bucket, which must hold more than `keep` of its tokens. */
static bool take(struct hf_gate_shm *g, const struct hf_gate_config *c, enum hf_gate_kind kind, uint32_t keep,
                 uint64_t now_ns)
{
    uint64_t interval = interval_ns(c, kind), room = share(kind, c->burst) * interval - keep * interval;
    uint64_t full = atomic_load_explicit(&g->full_ns[kind], memory_order_relaxed), next;

    do {
        next = (full > now_ns ? full : now_ns) + interval;
        if (next - now_ns > room)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(&g->full_ns[kind], &full, next, memory_order_relaxed,
                                                    memory_order_relaxed));
    return true;
}

/*
 * What one kind leaves in the other's bucket. New ones take only what would be lost to resumes anyway, their bucket being all but full; resumes take half
 * of that of the new ones.
 */
static uint32_t kept(enum hf_gate_kind taker, uint32_t tokens)
{
    return taker == HF_GATE_NEW ? (uint32_t)((uint64_t)tokens * 7 / 8) : tokens / 2;
}

bool hf_gate_admit(struct hf_gate_shm *g, const struct hf_gate_config *c, enum hf_gate_kind kind,
                   uint64_t now_ms)
{
    enum hf_gate_kind other = kind == HF_GATE_NEW ? HF_GATE_RESUME : HF_GATE_NEW;
    uint64_t now_ns = now_ms * NS_PER_MS;

    if (c->rate == 0)
        return true;
    return take(g, c, kind, 0, now_ns) || take(g, c, other, kept(kind, share(other, c->burst)), now_ns);
}

uint32_t hf_gate_wait_ms(struct hf_gate_shm *g, const struct hf_gate_config *c, enum hf_gate_kind kind,
                         uint64_t now_ms)
{
    uint64_t now_ns = now_ms * NS_PER_MS, most = (uint64_t)HF_GATE_WAIT_MS_MAX * NS_PER_MS;
    uint64_t last = atomic_load_explicit(&g->line_ns[kind], memory_order_relaxed), mine;

    if (c->rate == 0)
        return 0;
    do {
        mine = (last > now_ns ? last : now_ns) + interval_ns(c, kind);
        if (mine - now_ns > most) /* The line is full: its end stands where it is. */
            return HF_GATE_WAIT_MS_MAX;
    } while (!atomic_compare_exchange_weak_explicit(&g->line_ns[kind], &last, mine, memory_order_relaxed,
                                                    memory_order_relaxed));
    return (uint32_t)((mine - now_ns + NS_PER_MS - 1) / NS_PER_MS);
}

/* ---- Connections ---- */

void hf_gate_opened(struct hf_gate_shm *g)
{
    atomic_fetch_add_explicit(&g->connections, 1, memory_order_relaxed);
}

void hf_gate_closed(struct hf_gate_shm *g)
{
    atomic_fetch_sub_explicit(&g->connections, 1, memory_order_relaxed);
}

uint64_t hf_gate_connections(const struct hf_gate_shm *g)
{
    int64_t n = atomic_load_explicit(&g->connections, memory_order_relaxed);

    return n > 0 ? (uint64_t)n : 0;
}

/* The finalizer of SplitMix64, as in base/rng.h. */
static uint64_t mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

uint64_t hf_gate_address(const struct hf_gate_shm *g, const struct hf_ip *prefix)
{
    uint64_t hash = g->secret;

    for (int half = 0; half < 2; half++) {
        uint64_t word = 0;

        for (int i = 0; i < 8; i++)
            word = word << 8 | prefix->bytes[8 * half + i];
        hash = mix(hash + word + 0x9e3779b97f4a7c15u);
    }
    return hash == 0 ? 1 : hash;
}

/*
 * A cell: the upper bits of the hash, and a count. One of count 0 is free whatever else is in it. Two workers may make a cell each for
 * one address at the same time: a reader adds up all that it finds in the window.
 */
static bool is_of(uint64_t cell, uint64_t address)
{
    return (cell & COUNT_MASK) != 0 && cell >> COUNT_BITS == address >> COUNT_BITS;
}

static _Atomic uint64_t *window(const struct hf_gate_shm *g, uint32_t table, uint64_t address, uint32_t i)
{
    /* A window begins at a whole cache line, so that it does not lie across the table's end. */
    uint64_t first = (address & (g->cells - 1)) & ~(uint64_t)(HF_GATE_WINDOW - 1);

    return (_Atomic uint64_t *)(uintptr_t)&g->cell[(uint64_t)table * g->cells + first + i];
}

uint32_t hf_gate_address_count(const struct hf_gate_shm *g, uint64_t address)
{
    uint64_t count = 0;

    for (uint32_t i = 0; g->cells > 0 && i < HF_GATE_WINDOW; i++) {
        uint64_t cell = atomic_load_explicit(window(g, 0, address, i), memory_order_relaxed);

        count += is_of(cell, address) ? cell & COUNT_MASK : 0;
    }
    return (uint32_t)count;
}

static bool cell_add(const struct hf_gate_shm *g, uint32_t table, uint64_t address, bool fresh)
{
    for (uint32_t i = 0; i < HF_GATE_WINDOW; i++) {
        _Atomic uint64_t *cell = window(g, table, address, i);
        uint64_t was = atomic_load_explicit(cell, memory_order_relaxed);

        while (fresh ? (was & COUNT_MASK) == 0
                     : is_of(was, address) && (was & COUNT_MASK) < HF_GATE_ADDRESS_MAX) {
            uint64_t next = fresh ? (address & ~COUNT_MASK) | 1 : was + 1;

            if (atomic_compare_exchange_weak_explicit(cell, &was, next, memory_order_relaxed,
                                                      memory_order_relaxed))
                return true;
        }
    }
    return false;
}

static bool table_add(const struct hf_gate_shm *g, uint32_t table, uint64_t address)
{
    return cell_add(g, table, address, false) || cell_add(g, table, address, true);
}

static void table_remove(const struct hf_gate_shm *g, uint32_t table, uint64_t address, uint64_t count)
{
    for (uint32_t i = 0; i < HF_GATE_WINDOW && count > 0; i++) {
        _Atomic uint64_t *cell = window(g, table, address, i);
        uint64_t was = atomic_load_explicit(cell, memory_order_relaxed), off = 0;

        while (is_of(was, address)) {
            off = (was & COUNT_MASK) < count ? was & COUNT_MASK : count;
            if (atomic_compare_exchange_weak_explicit(cell, &was, was - off, memory_order_relaxed,
                                                      memory_order_relaxed))
                break;
            off = 0;
        }
        count -= off;
    }
}

bool hf_gate_address_add(struct hf_gate_shm *g, uint32_t slot, uint64_t address)
{
    if (g->cells == 0)
        return false;
    if (atomic_load_explicit(&g->counting, memory_order_relaxed) == 0) /* First, so that a successor looks. */
        atomic_store_explicit(&g->counting, 1, memory_order_seq_cst);
    if (!table_add(g, slot + 1, address))
        return false;
    /* Death here: our successor takes one off the total that was never put there. */
    HF_CRASH_POINT("gate:added");
    if (table_add(g, 0, address))
        return true;
    table_remove(g, slot + 1, address, 1);
    return false;
}

void hf_gate_address_remove(struct hf_gate_shm *g, uint32_t slot, uint64_t address)
{
    table_remove(g, 0, address, 1);
    /* Death here: our successor takes the same one off once more. */
    HF_CRASH_POINT("gate:removed");
    table_remove(g, slot + 1, address, 1);
}

void hf_gate_reset_worker(struct hf_gate_shm *g, uint32_t slot, uint64_t connections)
{
    atomic_fetch_sub_explicit(&g->connections, (int64_t)connections, memory_order_relaxed);
    if (atomic_load(&g->counting) == 0)
        return;
    for (uint32_t i = 0; i < g->cells; i++) {
        _Atomic uint64_t *own = &g->cell[(uint64_t)(slot + 1) * g->cells + i];
        uint64_t cell = atomic_load_explicit(own, memory_order_relaxed);

        if ((cell & COUNT_MASK) != 0) {
            /* Which window it is in is told by its place: the hash's low bits are not in the cell. */
            table_remove(g, 0, (cell & ~COUNT_MASK) | (i & COUNT_MASK), cell & COUNT_MASK);
            atomic_store_explicit(own, 0, memory_order_relaxed);
        }
    }
}
