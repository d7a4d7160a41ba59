/*
 * session_identity.c - whose session it is, in blocks: sessions.h.
 *
 * A chain of blocks holds one run of bytes: the lengths of the user's name, the info and the claims (16 bits each), then all three. It is written whole before the session names
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
    PARTS = 3,
    LENGTHS_BYTES = 2 * PARTS,
    LOST = 0xffff, /* in place of the claims' length: they are not kept */
    TEXT_BYTES_MAX = LENGTHS_BYTES + HF_USER_BYTES_MAX + HF_INFO_BYTES_MAX + HF_CLAIMS_BYTES_MAX,
    BLOCKS_MAX = (TEXT_BYTES_MAX + BLOCK_BYTES - 1) / BLOCK_BYTES,
    READS_MAX = 16, /* of an identity that is replaced each time: no client can be that fast */
};

/* As it lies in the blocks. */
struct text {
    uint8_t bytes[BLOCKS_MAX * BLOCK_BYTES];
    size_t len;
};

static void text_put(struct text *out, struct hf_str part)
{
    if (part.len > 0)
        memcpy(out->bytes + out->len, part.data, part.len);
    out->len += part.len;
}

static void text_make(struct text *out, const struct hf_session_whose *whose)
{
    uint16_t lengths[PARTS] = {(uint16_t)whose->user.len, (uint16_t)whose->info.len,
                               whose->claims_lost ? LOST : (uint16_t)whose->claims.len};

    memset(out, 0, sizeof(*out));
    text_put(out, (struct hf_str){(const char *)lengths, LENGTHS_BYTES});
    text_put(out, whose->user);
    text_put(out, whose->info);
    if (!whose->claims_lost)
        text_put(out, whose->claims);
}

/* The parts lie in the text. */
static struct hf_session_whose text_parts(const struct text *text)
{
    const char *at = (const char *)text->bytes + LENGTHS_BYTES;
    uint16_t lengths[PARTS];

    memcpy(lengths, text->bytes, LENGTHS_BYTES);
    return (struct hf_session_whose){
        .user = {at, lengths[0]},
        .info = {at + lengths[0], lengths[1]},
        .claims = {at + lengths[0] + lengths[1], lengths[2] == LOST ? 0 : lengths[2]},
        .claims_lost = lengths[2] == LOST};
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
    struct hf_session_whose parts;

    block_read(block, out->bytes);
    parts = text_parts(out);
    if (parts.user.len > HF_USER_BYTES_MAX || parts.info.len > HF_INFO_BYTES_MAX ||
        parts.claims.len > HF_CLAIMS_BYTES_MAX)
        return false;
    out->len = LENGTHS_BYTES + parts.user.len + parts.info.len + parts.claims.len;
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
    return hf_str_eq(text_parts(&text).user, user);
}

int hf_session_identity(const struct hf_sessions *t, const struct hf_session *s, struct hf_buf *out_user,
                        struct hf_buf *out_info)
{
    struct hf_session_whose parts;
    struct text text;

    hf_buf_reset(out_user);
    if (out_info != NULL)
        hf_buf_reset(out_info);
    if (read_settled(t, s, &text) < 0)
        return HF_ENOTFOUND;
    parts = text_parts(&text);
    if (hf_buf_put_str(out_user, parts.user) < 0 ||
        (out_info != NULL && hf_buf_put_str(out_info, parts.info) < 0))
        return HF_ENOMEM;
    return 0;
}

int hf_session_claims(const struct hf_sessions *t, const struct hf_session *s, struct hf_buf *out, bool *lost)
{
    struct hf_session_whose parts;
    struct text text;

    hf_buf_reset(out);
    *lost = false;
    if (read_settled(t, s, &text) < 0)
        return HF_ENOTFOUND;
    parts = text_parts(&text);
    *lost = parts.claims_lost;
    return hf_buf_put_str(out, parts.claims) < 0 ? HF_ENOMEM : 0;
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

int hf_session_whose_set(struct hf_sessions *t, struct hf_session *s, const struct hf_session_whose *whose,
                         uint64_t now_ms)
{
    _Atomic uint32_t old;
    struct text text, before;
    uint32_t made = 0;

    if (whose->user.len > HF_USER_BYTES_MAX || whose->info.len > HF_INFO_BYTES_MAX ||
        (!whose->claims_lost && whose->claims.len > HF_CLAIMS_BYTES_MAX))
        return HF_ELIMIT;
    if (whose->user.len > 0) {
        text_make(&text, whose);
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
