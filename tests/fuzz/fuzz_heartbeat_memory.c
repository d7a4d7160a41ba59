/*
 * fuzz_heartbeat_memory.c - the file of what a client remembers of networks.
 * What is taken keeps the invariants, comes back the same when it is written and read again, and gives a policy that asks for an interval
 * within its bounds. Of what is not taken nothing stays.
 */
#include "base/assert.h"
#include "session/heartbeat_adaptive.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define NOW_MS UINT64_C(1000000)
#define UNIX_MS UINT64_C(1790000000000)

static void check_network(const struct hf_heartbeat_network *n)
{
    hf_assert(n->key != 0 && n->lo_ms <= HF_HEARTBEAT_GAP_MS_MAX && n->hi_ms <= HF_HEARTBEAT_GAP_MS_MAX);
    hf_assert(n->hi_ms == 0 || n->hi_ms > n->lo_ms);
    hf_assert(n->seen_at_ms <= (int64_t)NOW_MS && n->probed_at_ms <= (int64_t)NOW_MS);
}

static void check_interval(struct hf_heartbeat_memory *m, uint64_t key)
{
    struct hf_heartbeat_adaptive a;
    uint64_t interval_ms, gap_ms;

    hf_heartbeat_adaptive_init(&a, HF_ADAPTIVE_BACKGROUND_MS, m, key);
    hf_heartbeat_policy_set_network(&a.base, key, NOW_MS);
    interval_ms = hf_heartbeat_policy_interval_ms(&a.base);
    hf_assert(interval_ms >= HF_ADAPTIVE_FLOOR_MS * 9 / 10 && interval_ms <= HF_ADAPTIVE_BACKGROUND_MS);
    gap_ms = hf_heartbeat_policy_probe_gap_ms(&a.base, NOW_MS);
    hf_assert(gap_ms <= HF_ADAPTIVE_BACKGROUND_MS * 10 / 9 + 1);
}

static void check_again(const struct hf_heartbeat_memory *m)
{
    struct hf_heartbeat_memory back;
    struct hf_buf text;
    const char *reason;
    unsigned i;

    hf_buf_init(&text, HF_HEARTBEAT_FILE_BYTES_MAX);
    hf_assert(hf_heartbeat_memory_encode(m, NOW_MS, UNIX_MS, &text) == 0);
    hf_assert(hf_heartbeat_memory_decode(&back, hf_buf_str(&text), NOW_MS, UNIX_MS, &reason) == 0);
    hf_assert(back.count == m->count);
    for (i = 0; i < m->count; i++)
        hf_assert(memcmp(&back.networks[i], &m->networks[i], sizeof(back.networks[i])) == 0);
    hf_buf_release(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct hf_heartbeat_memory m;
    const char *reason = NULL;
    unsigned i;
    int err =
        hf_heartbeat_memory_decode(&m, (struct hf_str){(const char *)data, size}, NOW_MS, UNIX_MS, &reason);

    hf_assert(err == 0 || (err == HF_EBADMSG && reason != NULL && m.count == 0));
    hf_assert(m.count <= HF_HEARTBEAT_NETWORKS_MAX && !m.changed);
    for (i = 0; i < m.count; i++)
        check_network(&m.networks[i]);
    check_again(&m);
    for (i = 0; i < m.count; i++)
        check_interval(&m, m.networks[i].key);
    return 0;
}
