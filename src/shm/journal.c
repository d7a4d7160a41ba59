#include "shm/journal.h"

#include "shm/crash.h"

#include <assert.h>
#include <string.h>

enum word {
    SEQUENCE, /* place in the ring's life + 1; 0: being written, or never was */
    WALL,
    SESSION,
    SORT, /* kind (8 bits), by (8), code (16), silence_ms (32) */
    BEAT,
    AMOUNT,
    ADDRESS,
};

static_assert(ADDRESS + HF_JOURNAL_ADDRESS_BYTES / sizeof(uint64_t) == HF_JOURNAL_WORDS,
              "the address fills what is left");
static_assert((HF_JOURNAL_EVENTS & (HF_JOURNAL_EVENTS - 1)) == 0, "places are masked");

size_t hf_journal_bytes(void)
{
    return sizeof(struct hf_journal_shm);
}

static void pack(const struct hf_journal_event *e, uint64_t words[HF_JOURNAL_WORDS])
{
    words[WALL] = e->wall_ms;
    words[SESSION] = e->session;
    words[SORT] =
        (uint64_t)e->kind << 56 | (uint64_t)e->by << 48 | (uint64_t)e->code << 32 | (uint64_t)e->silence_ms;
    words[BEAT] = e->heartbeat_ms;
    words[AMOUNT] = e->amount;
    memcpy(&words[ADDRESS], e->address, sizeof(e->address));
}

static void unpack(const uint64_t words[HF_JOURNAL_WORDS], struct hf_journal_event *e)
{
    e->wall_ms = words[WALL];
    e->session = words[SESSION];
    e->kind = (enum hf_journal_kind)(words[SORT] >> 56);
    e->by = (enum hf_journal_by)(words[SORT] >> 48 & 0xff);
    e->code = (uint16_t)(words[SORT] >> 32);
    e->silence_ms = (uint32_t)words[SORT];
    e->heartbeat_ms = (uint32_t)words[BEAT];
    e->amount = words[AMOUNT];
    memcpy(e->address, &words[ADDRESS], sizeof(e->address));
    e->address[sizeof(e->address) - 1] = '\0';
}

void hf_journal_put(struct hf_journal_shm *j, const struct hf_journal_event *event)
{
    uint64_t n = atomic_load_explicit(&j->written, memory_order_relaxed);
    _Atomic uint64_t *to = j->words[n & (HF_JOURNAL_EVENTS - 1)];
    uint64_t words[HF_JOURNAL_WORDS];

    pack(event, words);
    atomic_store_explicit(&to[SEQUENCE], 0, memory_order_relaxed);
    atomic_thread_fence(memory_order_release); /* Whoever reads one of the new words finds the 0. */
    for (int i = SEQUENCE + 1; i < HF_JOURNAL_WORDS; i++)
        atomic_store_explicit(&to[i], words[i], memory_order_relaxed);
    HF_CRASH_POINT("journal:words");
    atomic_store_explicit(&to[SEQUENCE], n + 1, memory_order_release);
    HF_CRASH_POINT("journal:sequence"); /* The successor writes over it: one event is forgotten. */
    atomic_store_explicit(&j->written, n + 1, memory_order_release);
}

static bool read_whole(const struct hf_journal_shm *j, uint64_t n, uint64_t words[HF_JOURNAL_WORDS])
{
    const _Atomic uint64_t *from = j->words[n & (HF_JOURNAL_EVENTS - 1)];

    if (atomic_load_explicit(&from[SEQUENCE], memory_order_acquire) != n + 1)
        return false;
    for (int i = SEQUENCE + 1; i < HF_JOURNAL_WORDS; i++)
        words[i] = atomic_load_explicit(&from[i], memory_order_relaxed);
    atomic_thread_fence(memory_order_acquire);
    return atomic_load_explicit(&from[SEQUENCE], memory_order_relaxed) == n + 1;
}

bool hf_journal_older(const struct hf_journal_shm *j, uint64_t *cursor, struct hf_journal_event *out)
{
    uint64_t written = atomic_load_explicit(&j->written, memory_order_acquire);
    uint64_t oldest = written > HF_JOURNAL_EVENTS ? written - HF_JOURNAL_EVENTS : 0;
    uint64_t words[HF_JOURNAL_WORDS];

    if (*cursor > written)
        *cursor = written;
    while (*cursor > oldest) {
        --*cursor;
        if (read_whole(j, *cursor, words)) {
            unpack(words, out);
            return true;
        }
    }
    return false;
}
