#include "client/news.h"

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

bool hf_news_look(struct hf_news *n, const struct hf_look *look, uint64_t now_ms)
{
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
    return true;
}

uint64_t hf_news_deadline_ms(const struct hf_news *n)
{
    return n->waits ? n->tell_at_ms : UINT64_MAX;
}
