#include "shm/busy.h"

#include <string.h>

enum { TRIES = 8 }; /* of a reader: a write takes a microsecond, and comes once a second */

void hf_busy_write(struct hf_busy_shm *shm, const struct hf_busy_second *second)
{
    uint64_t version = atomic_load_explicit(&shm->version, memory_order_relaxed) | 1;
    uint64_t words[HF_BUSY_WORDS];

    memcpy(words, second, sizeof(words));
    atomic_store_explicit(&shm->version, version, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
    for (int i = 0; i < HF_BUSY_WORDS; i++)
        atomic_store_explicit(&shm->word[i], words[i], memory_order_relaxed);
    atomic_store_explicit(&shm->version, version + 1, memory_order_release);
}

static int read_once(struct hf_busy_shm *shm, struct hf_busy_second *second)
{
    uint64_t version = atomic_load_explicit(&shm->version, memory_order_acquire);
    uint64_t words[HF_BUSY_WORDS];

    for (int i = 0; i < HF_BUSY_WORDS; i++)
        words[i] = atomic_load_explicit(&shm->word[i], memory_order_relaxed);
    atomic_thread_fence(memory_order_acquire);
    if ((version & 1) != 0 || atomic_load_explicit(&shm->version, memory_order_relaxed) != version)
        return HF_EAGAIN;
    memcpy(second, words, sizeof(words));
    return 0;
}

int hf_busy_read(struct hf_busy_shm *shm, struct hf_busy_second *second)
{
    int err = HF_EAGAIN;

    for (int i = 0; i < TRIES && err != 0; i++)
        err = read_once(shm, second);
    if (err == 0 && second->channel_count > HF_BUSY_CHANNELS)
        second->channel_count = HF_BUSY_CHANNELS;
    if (err == 0 && second->slow_count > HF_BUSY_SLOW)
        second->slow_count = HF_BUSY_SLOW;
    return err;
}
