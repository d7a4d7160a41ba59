#include "session/heartbeat_memory.h"

#include "base/assert.h"

#include <inttypes.h>

enum { SEEN_AGAIN_MS = 3600 * 1000 };

static const char head[] = "holdfast-heartbeat 1\n";

void hf_heartbeat_memory_init(struct hf_heartbeat_memory *m)
{
    *m = (struct hf_heartbeat_memory){.count = 0};
}

/* Its index, or count. */
static unsigned index_of(const struct hf_heartbeat_memory *m, uint64_t key)
{
    unsigned i;

    for (i = 0; i < m->count && m->networks[i].key != key; i++)
        ;
    return i;
}

const struct hf_heartbeat_network *hf_heartbeat_memory_find(const struct hf_heartbeat_memory *m, uint64_t key,
                                                            uint64_t now_ms)
{
    unsigned i = index_of(m, key);

    if (i == m->count || (int64_t)now_ms - m->networks[i].seen_at_ms > HF_HEARTBEAT_FORGET_MS)
        return NULL;
    return &m->networks[i];
}

/* Where a new one goes: behind the others, or into the place of the one longest unseen. */
static unsigned new_place(struct hf_heartbeat_memory *m)
{
    unsigned i, oldest = 0;

    if (m->count < HF_HEARTBEAT_NETWORKS_MAX)
        return m->count++;
    for (i = 1; i < m->count; i++)
        if (m->networks[i].seen_at_ms < m->networks[oldest].seen_at_ms)
            oldest = i;
    return oldest;
}

static bool same_news(const struct hf_heartbeat_network *a, const struct hf_heartbeat_network *b)
{
    return a->lo_ms == b->lo_ms && a->hi_ms == b->hi_ms && a->probed_at_ms == b->probed_at_ms &&
           b->seen_at_ms - a->seen_at_ms < SEEN_AGAIN_MS;
}

void hf_heartbeat_memory_put(struct hf_heartbeat_memory *m, const struct hf_heartbeat_network *network)
{
    unsigned i = index_of(m, network->key);

    hf_assert(network->key != 0 && network->lo_ms <= HF_HEARTBEAT_GAP_MS_MAX);
    hf_assert(network->hi_ms == 0 || network->hi_ms > network->lo_ms);
    if (i < m->count && same_news(&m->networks[i], network))
        return;
    if (i == m->count)
        i = new_place(m);
    m->networks[i] = *network;
    m->changed = true;
}

void hf_heartbeat_memory_drop(struct hf_heartbeat_memory *m, uint64_t key)
{
    unsigned i = index_of(m, key);

    if (i == m->count)
        return;
    m->networks[i] = m->networks[--m->count];
    m->changed = true;
}

/* --- as a file --- */

/* 0 where the time lies before 1970: the wall clock was never set. */
static uint64_t unix_seconds(int64_t at_ms, uint64_t now_ms, uint64_t unix_ms)
{
    int64_t unix_at_ms = (int64_t)unix_ms - ((int64_t)now_ms - at_ms);

    return unix_at_ms < 0 ? 0 : (uint64_t)unix_at_ms / 1000;
}

int hf_heartbeat_memory_encode(const struct hf_heartbeat_memory *m, uint64_t now_ms, uint64_t unix_ms,
                               struct hf_buf *out)
{
    int err = hf_buf_puts(out, head);
    unsigned i;

    for (i = 0; err == 0 && i < m->count; i++) {
        const struct hf_heartbeat_network *n = &m->networks[i];

        err = hf_buf_putf(out, "%016" PRIx64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", n->key,
                          n->lo_ms, n->hi_ms, unix_seconds(n->probed_at_ms, now_ms, unix_ms),
                          unix_seconds(n->seen_at_ms, now_ms, unix_ms));
    }
    return err;
}

/* Digits of the base, at least one and at most digits_max, and the character behind them; they are cut off the text. */
static bool take_number(struct hf_str *text, unsigned base, size_t digits_max, char end, uint64_t *number)
{
    static const char digits[] = "0123456789abcdef";
    size_t i;

    *number = 0;
    for (i = 0; i < text->len && text->data[i] != end; i++) {
        const char *digit = memchr(digits, text->data[i], base);

        if (digit == NULL || i == digits_max)
            return false;
        *number = *number * base + (uint64_t)(digit - digits);
    }
    if (i == 0 || i == text->len)
        return false;
    text->data += i + 1;
    text->len -= i + 1;
    return true;
}

/* A time that the file tells in Unix seconds, on the session's clock. */
static int64_t session_time(uint64_t at_s, uint64_t now_ms, uint64_t unix_ms)
{
    int64_t age_ms = (int64_t)unix_ms - (int64_t)at_s * 1000;

    return (int64_t)now_ms - (age_ms < 0 ? 0 : age_ms);
}

/* One line. Numbers have too few digits to overflow: 8 make 27 hours, 12 make 31,000 years. */
static bool take_line(struct hf_str *text, struct hf_heartbeat_network *n, uint64_t now_ms, uint64_t unix_ms)
{
    uint64_t probed_s, seen_s;

    if (!take_number(text, 16, 16, ' ', &n->key) || !take_number(text, 10, 8, ' ', &n->lo_ms) ||
        !take_number(text, 10, 8, ' ', &n->hi_ms) || !take_number(text, 10, 12, ' ', &probed_s) ||
        !take_number(text, 10, 12, '\n', &seen_s))
        return false;
    n->probed_at_ms = session_time(probed_s, now_ms, unix_ms);
    n->seen_at_ms = session_time(seen_s, now_ms, unix_ms);
    return n->key != 0 && n->lo_ms <= HF_HEARTBEAT_GAP_MS_MAX && n->hi_ms <= HF_HEARTBEAT_GAP_MS_MAX &&
           (n->hi_ms == 0 || n->hi_ms > n->lo_ms);
}

static const char *take_lines(struct hf_heartbeat_memory *m, struct hf_str text, uint64_t now_ms,
                              uint64_t unix_ms)
{
    struct hf_heartbeat_network n;
    unsigned lines;

    for (lines = 0; text.len > 0; lines++) {
        if (lines == HF_HEARTBEAT_NETWORKS_MAX)
            return "it holds too many networks";
        if (!take_line(&text, &n, now_ms, unix_ms))
            return "a line is not KEY LO HI PROBED SEEN, or its numbers make no sense";
        if (index_of(m, n.key) < m->count)
            return "a network is there twice";
        if ((int64_t)now_ms - n.seen_at_ms <= HF_HEARTBEAT_FORGET_MS)
            m->networks[m->count++] = n;
    }
    return NULL;
}

int hf_heartbeat_memory_decode(struct hf_heartbeat_memory *m, struct hf_str text, uint64_t now_ms,
                               uint64_t unix_ms, const char **reason)
{
    const size_t head_len = sizeof(head) - 1;

    hf_heartbeat_memory_init(m);
    if (text.len < head_len || memcmp(text.data, head, head_len) != 0) {
        *reason = "it does not begin with \"holdfast-heartbeat 1\"";
        return HF_EBADMSG;
    }
    text.data += head_len;
    text.len -= head_len;
    *reason = take_lines(m, text, now_ms, unix_ms);
    if (*reason == NULL)
        return 0;
    hf_heartbeat_memory_init(m);
    return HF_EBADMSG;
}
