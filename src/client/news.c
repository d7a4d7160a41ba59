#include "client/news.h"

#include <string.h>

void hf_news_init(struct hf_news *n)
{
    *n = (struct hf_news){.has_told = false};
}

void hf_news_rebase(struct hf_news *n, uint64_t print)
{
    unsigned slot;

    n->told.print = print;
    for (slot = 0; slot < HF_CLIENT_SESSION_SLOTS; slot++)
        n->told.facts.paths[slot] = HF_PATH_SAME;
}

/* Whether a connection's way has become worse or another one; that it is good again comes of a new connection, and is no news. */
static bool path_differs(const struct hf_news *n, const struct hf_look *look)
{
    unsigned slot;

    for (slot = 0; slot < HF_CLIENT_SESSION_SLOTS; slot++)
        if (look->facts.paths[slot] != HF_PATH_SAME && look->facts.paths[slot] != n->told.facts.paths[slot])
            return true;
    return false;
}

static bool differs(const struct hf_news *n, const struct hf_look *look)
{
    return look->print != n->told.print || look->facts.offline != n->told.facts.offline ||
           path_differs(n, look);
}

static bool is_good(const struct hf_news *n, const struct hf_look *look)
{
    return !look->facts.offline && (n->told.facts.offline || path_differs(n, look));
}

static uint64_t tell_at(const struct hf_news *n, const struct hf_look *look)
{
    uint64_t at = is_good(n, look) ? n->differs_at_ms : n->differs_at_ms + HF_NEWS_DEBOUNCE_MS;

    if (n->has_told && at < n->told_at_ms + HF_NEWS_DEBOUNCE_MS)
        return n->told_at_ms + HF_NEWS_DEBOUNCE_MS;
    return at;
}

static void forget_what_is_good_again(struct hf_news *n, const struct hf_look *look)
{
    unsigned slot;

    for (slot = 0; slot < HF_CLIENT_SESSION_SLOTS; slot++)
        if (look->facts.paths[slot] == HF_PATH_SAME)
            n->told.facts.paths[slot] = HF_PATH_SAME;
}

/* --- moves --- */

static bool same_ip(const struct hf_ip *a, const struct hf_ip *b)
{
    return memcmp(a, b, sizeof(*a)) == 0;
}

static const struct hf_news_move *find_move(const struct hf_news *n, const struct hf_move *move)
{
    unsigned i;

    for (i = 0; i < n->moves_count; i++)
        if (same_ip(&n->moves[i].own, &move->own) && same_ip(&n->moves[i].source, &move->source))
            return &n->moves[i];
    return NULL;
}

/* A connection that was on its way when the move was told is no evidence: it may be the next one to be lived on, and has to be left as well. */
static bool is_believed(const struct hf_news *n, const struct hf_move *move)
{
    const struct hf_news_move *told = find_move(n, move);

    if (told == NULL)
        return n->moves_count < HF_NEWS_MOVES_MAX;
    return move->begun_at_ms < told->told_at_ms;
}

static void judge_moves(struct hf_news *n, struct hf_look *look)
{
    unsigned slot;

    if (look->print != n->told.print)
        n->moves_count = 0;
    for (slot = 0; slot < HF_CLIENT_SESSION_SLOTS; slot++)
        if (look->facts.paths[slot] == HF_PATH_MOVED && !is_believed(n, &look->moves[slot]))
            look->facts.paths[slot] = HF_PATH_SAME;
}

static void remember_moves(struct hf_news *n, const struct hf_look *look, uint64_t now_ms)
{
    unsigned slot;

    for (slot = 0; slot < HF_CLIENT_SESSION_SLOTS; slot++) {
        const struct hf_move *move = &look->moves[slot];

        if (look->facts.paths[slot] == HF_PATH_MOVED && find_move(n, move) == NULL &&
            n->moves_count < HF_NEWS_MOVES_MAX)
            n->moves[n->moves_count++] = (struct hf_news_move){move->own, move->source, now_ms};
    }
}

bool hf_news_look(struct hf_news *n, struct hf_look *look, uint64_t now_ms)
{
    judge_moves(n, look);
    forget_what_is_good_again(n, look);
    if (!differs(n, look)) {
        n->waits = false;
        return false;
    }
    if (!n->waits)
        n->differs_at_ms = now_ms;
    n->waits = true;
    n->tell_at_ms = tell_at(n, look);
    if (now_ms < n->tell_at_ms)
        return false;
    n->waits = false;
    n->told = *look;
    n->has_told = true;
    n->told_at_ms = now_ms;
    remember_moves(n, look, now_ms);
    return true;
}

uint64_t hf_news_deadline_ms(const struct hf_news *n)
{
    return n->waits ? n->tell_at_ms : UINT64_MAX;
}
