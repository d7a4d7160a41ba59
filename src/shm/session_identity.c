/*
 * session_identity.c - whose session it is, in blocks: sessions.h.
 *
 * A chain of blocks holds one run of bytes: the length of the user's name and that of the info (16 bits each), then both. It is written whole before the session names
 * it, and never changed; another identity is another chain. `identities` is raised before `identity` changes: so a reader who finds both as they were before he
 * read has read one identity, also where its blocks have been given back and taken again meanwhile.
 *
 * Who dies before `identity` is stored leaves the old identity and blocks that nobody knows, which are found when the session has gone.
 */
#include "shm/session_blocks.h"

#include "base/assert.h"
#include "shm/crash.h"

#include <string.h>

enum {
    BLOCK_BYTES = HF_WORDS_PER_BLOCK * 8,
    LENGTHS_BYTES = 4,
    TEXT_BYTES_MAX = LENGTHS_BYTES + HF_USER_BYTES_MAX + HF_INFO_BYTES_MAX,
    BLOCKS_MAX = (TEXT_BYTES_MAX + BLOCK_BYTES - 1) / BLOCK_BYTES,
    READS_MAX = 16, /* of an identity that is replaced each time: no client can be that fast */
};

/* As it lies in the blocks. */
struct text {
    uint8_t bytes[BLOCKS_MAX * BLOCK_BYTES];
    size_t len;
};

static void text_make(struct text *out, struct hf_str user, struct hf_str info)
{
    uint16_t lengths[2] = {(uint16_t)user.len, (uint16_t)info.len};

    memset(out, 0, sizeof(*out));
    memcpy(out->bytes, lengths, LENGTHS_BYTES);
    memcpy(out->bytes + LENGTHS_BYTES, user.data, user.len);
    if (info.len > 0)
        memcpy(out->bytes + LENGTHS_BYTES + user.len, info.data, info.len);
    out->len = LENGTHS_BYTES + user.len + info.len;
}

static struct hf_str text_user(const struct text *text)
{
    uint16_t lengths[2];

    memcpy(lengths, text->bytes, LENGTHS_BYTES);
    return (struct hf_str){(const char *)text->bytes + LENGTHS_BYTES, lengths[0]};
}

static struct hf_str text_info(const struct text *text)
{
    struct hf_str user = text_user(text);

    return (struct hf_str){user.data + user.len, text->len - LENGTHS_BYTES - user.len};
}

static void block_fill(struct hf_session_block *block, const uint8_t *bytes)
{
    uint64_t words[HF_WORDS_PER_BLOCK];

    memcpy(words, bytes, BLOCK_BYTES);
    for (int i = 0; i < HF_WORDS_PER_BLOCK; i++)
        atomic_store_explicit(&block->words[i], words[i], memory_order_relaxed);
}

static void block_read(const struct hf_session_block *block, uint8_t *bytes)
{
    uint64_t words[HF_WORDS_PER_BLOCK];

    for (int i = 0; i < HF_WORDS_PER_BLOCK; i++)
        words[i] = atomic_load_explicit(&block->words[i], memory_order_relaxed);
    memcpy(bytes, words, BLOCK_BYTES);
}

/* Returns false where the blocks are no whole identity: they belong to somebody else by now. */
static bool read_chain(const struct hf_sessions *t, const struct hf_session_block *block, struct text *out)
{
    uint16_t lengths[2];

    block_read(block, out->bytes);
    memcpy(lengths, out->bytes, LENGTHS_BYTES);
    if (lengths[0] > HF_USER_BYTES_MAX || lengths[1] > HF_INFO_BYTES_MAX)
        return false;
    out->len = LENGTHS_BYTES + (size_t)lengths[0] + lengths[1];
    for (size_t at = BLOCK_BYTES; at < out->len; at += BLOCK_BYTES) {
        block = hf_blocks_at(t, atomic_load(&block->next));
        if (block == NULL)
            return false;
        block_read(block, out->bytes + at);
    }
    return true;
}

/* Returns 0, HF_ENOTFOUND for an anonymous session, or HF_EAGAIN where another identity was put in meanwhile. */
static int read_text(const struct hf_sessions *t, const struct hf_session *s, struct text *out)
{
    uint32_t identities = atomic_load(&s->identities);
    const struct hf_session_block *first = hf_blocks_at(t, atomic_load(&s->identity));
    bool whole;

    if (first == NULL)
        return HF_ENOTFOUND;
    whole = read_chain(t, first, out);
    atomic_thread_fence(memory_order_acquire);
    if (hf_blocks_at(t, atomic_load(&s->identity)) != first || atomic_load(&s->identities) != identities)
        return HF_EAGAIN;
    return whole ? 0 : HF_ENOTFOUND;
}

/* The same, again where it was replaced meanwhile. Returns 0 or HF_ENOTFOUND. */
static int read_settled(const struct hf_sessions *t, const struct hf_session *s, struct text *out)
{
    int err = HF_EAGAIN;

    for (int i = 0; err == HF_EAGAIN && i < READS_MAX; i++)
        err = read_text(t, s, out);
    return err < 0 ? HF_ENOTFOUND : 0;
}

bool hf_session_is_of(const struct hf_sessions *t, const struct hf_session *s, struct hf_str user)
{
    struct text text;

    if (read_settled(t, s, &text) < 0)
        return user.len == 0;
    return hf_str_eq(text_user(&text), user);
}

int hf_session_identity(const struct hf_sessions *t, const struct hf_session *s, struct hf_buf *out_user,
                        struct hf_buf *out_info)
{
    struct text text;
    struct hf_str user, info;

    hf_buf_reset(out_user);
    if (out_info != NULL)
        hf_buf_reset(out_info);
    if (read_settled(t, s, &text) < 0)
        return HF_ENOTFOUND;
    user = text_user(&text);
    info = text_info(&text);
    if (hf_buf_put(out_user, user.data, user.len) < 0 ||
        (out_info != NULL && hf_buf_put(out_info, info.data, info.len) < 0))
        return HF_ENOMEM;
    return 0;
}

/* Blocks with this text, linked among themselves. Returns the first one's number + 1, or 0. */
static uint32_t make_chain(struct hf_sessions *t, const struct hf_session *s, const struct text *text,
                           uint64_t now_ms)
{
    _Atomic uint32_t first = 0;
    _Atomic uint32_t *link = &first;

    for (size_t at = 0; at < text->len; at += BLOCK_BYTES) {
        uint32_t taken = hf_blocks_take(t, s, now_ms);

        if (taken == 0) {
            hf_blocks_free_chain(t, &first);
            return 0;
        }
        block_fill(hf_blocks_at(t, taken), text->bytes + at);
        atomic_store(link, taken);
        link = &hf_blocks_at(t, taken)->next;
    }
    return first;
}

int hf_session_identity_set(struct hf_sessions *t, struct hf_session *s, struct hf_str user,
                            struct hf_str info, uint64_t now_ms)
{
    _Atomic uint32_t old;
    struct text text, before;
    uint32_t made = 0;

    if (user.len > HF_USER_BYTES_MAX || info.len > HF_INFO_BYTES_MAX)
        return HF_ELIMIT;
    if (user.len > 0) {
        text_make(&text, user, info);
        /* Whoever resumes brings the same again, nearly always. */
        if (read_text(t, s, &before) == 0 && before.len == text.len &&
            memcmp(before.bytes, text.bytes, text.len) == 0)
            return 0;
        made = make_chain(t, s, &text, now_ms);
        if (made == 0)
            return HF_ELIMIT;
    }
    atomic_fetch_add(&s->identities, 1);
    HF_CRASH_POINT("identity:raised");
    atomic_init(&old, atomic_exchange(&s->identity, made));
    HF_CRASH_POINT("identity:stored");
    hf_blocks_free_chain(t, &old);
    return 0;
}
