#include "client/client_impl.h"

#include "base/err.h"
#include "client/clock.h"
#include "client/handover.h"

#include <stdio.h>

/* The application is asked within a callback, like any other. */
static void ask(struct hf_client *c, enum hf_client_token_reason reason)
{
    bool outer = c->in_callback;

    c->in_callback = true;
    c->options.on_token_needed(c->options.user, reason);
    c->in_callback = outer;
}

static void tell_problem(struct hf_client *c, const char *reason)
{
    const struct hf_client_session_event ev = {
        .type = HF_CSE_ERROR, .code = HF_STR("unauthorized"), .reason = hf_str_from(reason)};

    hf_client_tell(c, &ev);
}

bool hf_client_token_missing(struct hf_client *c, uint32_t attempt, uint64_t now_ms)
{
    enum hf_client_token_reason reason;

    if (hf_tokens_missing(&c->tokens, hf_clock_unix_ms()) &&
        hf_tokens_ask(&c->tokens, attempt, now_ms, &reason))
        ask(c, reason);
    if (hf_tokens_missing(&c->tokens, hf_clock_unix_ms())) /* The answer may have come at once. */
        return true;
    hf_tokens_shown(&c->tokens);
    return false;
}

uint64_t hf_client_token_deadline_ms(const struct hf_client *c, uint64_t now_ms)
{
    uint64_t wait_ms = hf_tokens_renew_in_ms(&c->tokens, hf_clock_unix_ms());

    if (hf_client_session_state(c->session) == HF_CLIENT_ENDED)
        return UINT64_MAX;
    if (c->tokens.asked_until_ms != UINT64_MAX)
        return c->tokens.asked_until_ms;
    return wait_ms == UINT64_MAX || !hf_client_connected(c) ? UINT64_MAX : now_ms + wait_ms;
}

/* Attempts whose time is over, and that no connection was begun for. */
static void end_waits(struct hf_client *c, uint64_t now_ms)
{
    unsigned slot;

    for (slot = 0; slot < HF_CLIENT_SESSION_PROBE_SLOT; slot++) {
        const struct hf_client_session_want want = hf_client_session_want(c->session, slot);

        if (want.wish == HF_WISH_CONNECT && c->sockets[slot].stage == HF_SOCKET_NONE &&
            now_ms >= want.until_ms && hf_tokens_missing(&c->tokens, hf_clock_unix_ms()))
            hf_client_session_lost(c->session, slot, "no token to show was given in time", now_ms);
    }
}

void hf_client_token_tick(struct hf_client *c, uint64_t now_ms)
{
    char reason[80];

    end_waits(c, now_ms);
    if (hf_client_token_deadline_ms(c, now_ms) > now_ms)
        return;
    if (hf_tokens_timed_out(&c->tokens, now_ms)) {
        (void)snprintf(reason, sizeof(reason), "on_token_needed has not been answered within %d s",
                       HF_TOKEN_ANSWER_MS / 1000);
        tell_problem(c, reason);
        return;
    }
    hf_tokens_renewing(&c->tokens, now_ms);
    ask(c, HF_CLIENT_TOKEN_RENEWAL);
}

void hf_client_token_noted(struct hf_client *c, const struct hf_client_session_event *ev)
{
    if (ev->cause == HF_BY_TOKEN_EXPIRED || ev->http_status == 401)
        hf_tokens_refused(&c->tokens);
}

int hf_client_set_token(struct hf_client *c, const char *token)
{
    int err = hf_client_session_set_token(c->session, token, hf_clock_ms());

    if (err == 0)
        hf_tokens_taken(&c->tokens, token, hf_client_connected(c), hf_clock_unix_ms());
    return err;
}

void hf_client_token_failed(struct hf_client *c, const char *why)
{
    char reason[512];

    if (!hf_tokens_failed(&c->tokens) || why == NULL)
        return;
    (void)snprintf(reason, sizeof(reason), "no token: %s", why);
    tell_problem(c, reason);
}

bool hf_client_token_asked(const struct hf_client *c)
{
    return c->tokens.asked_until_ms != UINT64_MAX;
}
