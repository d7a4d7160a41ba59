#include "session/client_state.h"

#include <stddef.h>
#include <stdint.h>

#define BIT(state) (1u << HF_CLIENT_##state)
/* What may come after a connection that stands. */
#define AFTER_LIVE (BIT(WAITING) | BIT(OFFLINE) | BIT(CONNECTING) | BIT(CLOSING) | BIT(ENDED))

static const struct {
    const char *name;
    uint32_t may_follow;
} states[HF_CLIENT_STATE_COUNT] = {
    [HF_CLIENT_WAITING] = {"waiting", BIT(CONNECTING) | BIT(OFFLINE) | BIT(ENDED)},
    [HF_CLIENT_CONNECTING] = {"connecting", BIT(LIVE) | BIT(WAITING) | BIT(OFFLINE) | BIT(ENDED)},
    [HF_CLIENT_LIVE] = {"live", BIT(DOUBTFUL) | AFTER_LIVE},
    [HF_CLIENT_DOUBTFUL] = {"doubtful", BIT(LIVE) | AFTER_LIVE},
    [HF_CLIENT_OFFLINE] = {"offline", BIT(WAITING) | BIT(CONNECTING) | BIT(ENDED)},
    [HF_CLIENT_CLOSING] = {"closing", BIT(ENDED)},
    [HF_CLIENT_ENDED] = {"ended", 0},
};

static const struct {
    const char *name, *text;
} causes[] = {
#define X(cause, name, text) [HF_BY_##cause] = {name, text},
    HF_CLIENT_CAUSES(X)
#undef X
};

bool hf_client_state_may_follow(enum hf_client_session_state from, enum hf_client_session_state to)
{
    return (states[from].may_follow & (1u << to)) != 0;
}

bool hf_client_state_connected(enum hf_client_session_state state)
{
    return state == HF_CLIENT_LIVE || state == HF_CLIENT_DOUBTFUL;
}

const char *hf_client_session_state_name(enum hf_client_session_state state)
{
    return (size_t)state < sizeof(states) / sizeof(states[0]) ? states[state].name : "?";
}

static size_t cause_index(enum hf_client_session_cause cause)
{
    return (size_t)cause < sizeof(causes) / sizeof(causes[0]) ? (size_t)cause : HF_BY_NONE;
}

const char *hf_client_session_cause_name(enum hf_client_session_cause cause)
{
    return causes[cause_index(cause)].name;
}

const char *hf_client_session_cause_text(enum hf_client_session_cause cause)
{
    return causes[cause_index(cause)].text;
}
