#include "session/client_session_impl.h"

#include "base/assert.h"

enum { TOKEN_REFUSALS_MAX = 2 }; /* in a row, that do not end a session which can have another token */

/*
 * 4001: "stays away, unless it has an attempt of its own that is unanswered or was given up: then it resumes once more"
 * (PROTOCOL.md "Close codes").
 */
static bool superseded_by_ourselves(const struct hf_client_session *s, int slot)
{
    uint32_t attempt = s->links[slot].attempt;

    return (s->next != HF_NO_SLOT && s->next != slot && !s->next_held) || s->given_up > attempt;
}

/* The codes that mean something of their own; all others: the server closed the connection. */
static const struct close_code {
    uint16_t code;
    enum hf_client_session_cause cause;
    bool final;
    const char *why; /* NULL: what the cause says */
} close_codes[] = {
    {HF_CLOSE_NORMAL, HF_BY_ENDED_BY_SERVER, true, NULL},
    {HF_CLOSE_ENDED, HF_BY_ENDED_BY_SERVER, true, "the session was ended by the application's backend"},
    {HF_CLOSE_TOKEN_EXPIRED, HF_BY_TOKEN_EXPIRED, true, NULL},
    {HF_CLOSE_SUPERSEDED, HF_BY_SUPERSEDED, true, NULL},
    {HF_CLOSE_HEARTBEAT_MISSED, HF_BY_HEARTBEAT_MISSED, false, "the server missed our heartbeat"},
};

/*
 * The server does not take the token. Whether that is the end: where others can be had, two more are worth showing. Beside a connection that stands it is none, and nobody is told of it, so
 * that no other token has been asked for when the next attempt shows the same one.
 */
static bool token_refused_finally(struct hf_client_session *s, int slot)
{
    if (s->live != HF_NO_SLOT && slot != s->live && !s->superseded)
        return false;
    return !s->config.token_source || ++s->token_refusals > TOKEN_REFUSALS_MAX;
}

/* "What a client does next is told by the code alone" (PROTOCOL.md "Close codes"). */
static struct hf_ending close_ending(struct hf_client_session *s, int slot, const struct hf_link_event *lev)
{
    struct hf_ending e = {
        .cause = HF_BY_CLOSED_BY_SERVER, .close_code = lev->close_code, .reason = {lev->data, lev->len}};
    size_t i;

    for (i = 0; i < sizeof(close_codes) / sizeof(close_codes[0]); i++) {
        if (close_codes[i].code != lev->close_code)
            continue;
        e.cause = close_codes[i].cause;
        e.final = close_codes[i].final;
        e.why = close_codes[i].why;
    }
    if (e.cause == HF_BY_SUPERSEDED && superseded_by_ourselves(s, slot))
        e.final = false;
    if (e.cause == HF_BY_TOKEN_EXPIRED)
        e.final = token_refused_finally(s, slot);
    return e;
}

/* Only an attempt that the server has heard of can have taken the session over. */
static bool request_is_out(const struct hf_client_session *s)
{
    return s->next != HF_NO_SLOT && s->links[s->next].state >= HF_LINK_OPENING;
}

static void on_closed(struct hf_client_session *s, int slot, const struct hf_link_event *lev, uint64_t now_ms)
{
    struct hf_ending e = close_ending(s, slot, lev);

    if (slot == s->live && e.cause == HF_BY_SUPERSEDED && request_is_out(s)) {
        hf_cs_live_superseded(s);
        return;
    }
    if (slot == s->live) {
        s->refuse_oldest = s->refuse_oldest || lev->close_code == HF_CLOSE_TOO_BIG;
        if (s->leave_at_ms != HF_NEVER && e.cause == HF_BY_CLOSED_BY_SERVER)
            e.cause = HF_BY_SERVER_DRAIN; /* It had asked before. */
        hf_cs_live_ended(s, &e, now_ms);
        return;
    }
    if (s->advice_max_ms > 0) {
        e.cause = HF_BY_SERVER_DRAIN;
        e.why = "the server asked to come back later";
        e.min_ms = s->advice_min_ms;
        e.max_ms = s->advice_max_ms;
    }
    hf_cs_attempt_ended(s, &e, now_ms);
}

/* The server, or what stands in its place, does not speak our language. */
static void on_broken(struct hf_client_session *s, int slot, const struct hf_link_event *lev, uint64_t now_ms)
{
    struct hf_ending e = {.cause = HF_BY_PROTOCOL_ERROR, .why = lev->reason, .close_code = lev->close_code};

    if (slot != s->live) {
        hf_cs_attempt_ended(s, &e, now_ms);
        return;
    }
    if (lev->close_code == HF_CLOSE_TOO_BIG)
        hf_cs_question_too_large(s);
    hf_cs_live_ended(s, &e, now_ms);
}

/*
 * Whether repeating the request cannot help. After a success a 400, 404 or 426 is more likely a proxy in the midst of a
 * deployment than the truth.
 */
static bool refusal_is_final(struct hf_client_session *s, int status)
{
    if (status == 401)
        return token_refused_finally(s, s->next);
    if (status == 403)
        return true;
    return s->connections == 0 && (status == 400 || status == 404 || status == 426);
}

static void on_refused(struct hf_client_session *s, const struct hf_link_event *lev, uint64_t now_ms)
{
    /* Status 0: what came was no HTTP. */
    struct hf_ending e = {.cause = lev->status == 0 ? HF_BY_PROTOCOL_ERROR : HF_BY_REFUSED,
                          .why = lev->reason,
                          .reason = {lev->data, lev->len},
                          .http_status = (uint16_t)lev->status,
                          .final = refusal_is_final(s, lev->status)};

    if (lev->retry_after_s > 0) {
        e.cause = HF_BY_RETRY_AFTER;
        e.min_ms = (uint64_t)lev->retry_after_s * 1000;
    }
    hf_cs_attempt_ended(s, &e, now_ms);
}

static void on_opened(struct hf_client_session *s, int slot, const struct hf_link_event *lev, uint64_t now_ms)
{
    static const char *const wrong[] = {
        [HF_OFFER_BOTH] = "the server speaks neither " HF_PROTOCOL_BINARY " nor " HF_PROTOCOL_JSON,
        [HF_OFFER_JSON] = "the server does not speak " HF_PROTOCOL_JSON,
        [HF_OFFER_BINARY] = "the server does not speak " HF_PROTOCOL_BINARY,
    };
    struct hf_ending e = {.cause = HF_BY_PROTOCOL_ERROR, .why = wrong[s->config.offer]};

    if (s->config.offer != HF_OFFER_BINARY && hf_str_eq(lev->protocol, HF_STR(HF_PROTOCOL_JSON)))
        return;
    if (s->config.offer != HF_OFFER_JSON && hf_str_eq(lev->protocol, HF_STR(HF_PROTOCOL_BINARY)))
        return;
    e.final = s->connections == 0;
    hf_link_close(&s->links[slot], HF_CLOSE_PROTOCOL_ERROR, &s->rng);
    hf_cs_attempt_ended(s, &e, now_ms);
}

void hf_cs_on_link_event(struct hf_client_session *s, int slot, struct hf_link_event *lev, uint64_t now_ms)
{
    switch (lev->type) {
    case HF_LINK_EV_NONE:
        break;
    case HF_LINK_EV_OPENED:
        on_opened(s, slot, lev, now_ms);
        break;
    case HF_LINK_EV_REFUSED:
        on_refused(s, lev, now_ms);
        break;
    case HF_LINK_EV_MESSAGE:
        hf_cs_recv_message(s, slot, lev->data, lev->len, now_ms);
        break;
    case HF_LINK_EV_CLOSED:
        on_closed(s, slot, lev, now_ms);
        break;
    case HF_LINK_EV_BROKEN:
        on_broken(s, slot, lev, now_ms);
        break;
    }
}
