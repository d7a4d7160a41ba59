#include "server/complaints.h"

#include "server/logger.h"

enum { TELL_MS = 1000 };

static const struct {
    enum hf_counter counter;
    const char *event, *cause;
} rows[] = {
    {HF_COUNT_REFUSED_REQUEST, "handshakes_refused", "request"},
    {HF_COUNT_REFUSED_TIMEOUT, "handshakes_refused", "timeout"},
    {HF_COUNT_REFUSED_HANDSHAKES, "handshakes_refused", "handshakes"},
    {HF_COUNT_REFUSED_DRAINING, "handshakes_refused", "draining"},
    {HF_COUNT_REFUSED_CONNECTIONS, "handshakes_refused", "connections"},
    {HF_COUNT_REFUSED_DESCRIPTORS, "handshakes_refused", "descriptors"},
    {HF_COUNT_REFUSED_ADDRESS, "handshakes_refused", "address"},
    {HF_COUNT_REFUSED_RATE, "handshakes_refused", "rate"},
    {HF_COUNT_REFUSED_SESSIONS, "handshakes_refused", "sessions"},
    {HF_COUNT_REFUSED_MEMORY, "handshakes_refused", "memory"},
    {HF_COUNT_REFUSED_TAKEOVER, "handshakes_refused", "takeover"},
    {HF_COUNT_REFUSED_ATTEMPT, "handshakes_refused", "attempt"},
    {HF_COUNT_REFUSED_BACKEND, "handshakes_refused", "backend"},
    {HF_COUNT_REFUSED_HOOK, "handshakes_refused", "hook"},
    {HF_COUNT_REFUSED_PROXY_HEADER, "handshakes_refused", "proxy_header"},
    {HF_COUNT_REFUSED_ORIGIN, "handshakes_refused", "origin"},
    {HF_COUNT_TOKEN_MISSING, "tokens_refused", "missing"},
    {HF_COUNT_TOKEN_SEVERAL, "tokens_refused", "several"},
    {HF_COUNT_TOKEN_TOO_LONG, "tokens_refused", "too_long"},
    {HF_COUNT_TOKEN_MALFORMED, "tokens_refused", "malformed"},
    {HF_COUNT_TOKEN_UNSIGNED, "tokens_refused", "unsigned"},
    {HF_COUNT_TOKEN_KEY, "tokens_refused", "key"},
    {HF_COUNT_TOKEN_ALGORITHM, "tokens_refused", "algorithm"},
    {HF_COUNT_TOKEN_SIGNATURE, "tokens_refused", "signature"},
    {HF_COUNT_TOKEN_EXPIRED, "tokens_refused", "expired"},
    {HF_COUNT_TOKEN_NOT_YET, "tokens_refused", "not_yet"},
    {HF_COUNT_TOKEN_AUDIENCE, "tokens_refused", "audience"},
    {HF_COUNT_TOKEN_ISSUER, "tokens_refused", "issuer"},
    {HF_COUNT_TOKEN_CLAIMS, "tokens_refused", "claims"},
    {HF_COUNT_TOKEN_USER, "tokens_refused", "user"},
    {HF_COUNT_TOKEN_NO_MEMORY, "tokens_refused", "no_memory"},
    {HF_COUNT_TOKENS_REVOKED, "tokens_revoked", "key_gone"},
    {HF_COUNT_ADDRESSES_UNCOUNTED, "addresses_uncounted", "table_full"},
    {HF_COUNT_FORWARDED_MALFORMED, "forwarded_malformed", "header"},
    {HF_COUNT_PUBLISHES_RATE_LIMITED, "publishes_refused", "rate"},
    {HF_COUNT_SUBSCRIPTIONS_REFUSED_SESSION, "subscriptions_refused", "session"},
    {HF_COUNT_SUBSCRIPTIONS_REFUSED_CHANNELS, "subscriptions_refused", "channels"},
    {HF_COUNT_FORBIDDEN_SUBSCRIBE, "requests_forbidden", "subscribe"},
    {HF_COUNT_FORBIDDEN_PUBLISH, "requests_forbidden", "publish"},
    {HF_COUNT_FORBIDDEN_HISTORY, "requests_forbidden", "history"},
    {HF_COUNT_FORBIDDEN_PRESENCE, "requests_forbidden", "presence"},
    {HF_COUNT_SUBSCRIPTIONS_ENDED_RULES, "subscriptions_ended", "rules"},
    {HF_COUNT_INFLATE_TOO_BIG, "inflate_refused", "too_big"},
    {HF_COUNT_INFLATE_MALFORMED, "inflate_refused", "malformed"},
    {HF_COUNT_INFLATE_NO_MEMORY, "inflate_refused", "no_memory"},
    {HF_COUNT_HOOK_FAILED_FULL, "hook_requests_refused", "queue_full"},
    {HF_COUNT_HOOK_FAILED_PAUSED, "hook_requests_refused", "paused"},
    {HF_COUNT_HOOK_DISCONNECTS_LOST, "hook_disconnects_lost", "not_told"},
    {HF_COUNT_CALLS_REFUSED, "calls_refused", "connection"},
    {HF_COUNT_CLOSE_4005, "connections_ended", "too_slow"},
    {HF_COUNT_ACCEPT_ERRORS, "connections_refused", "accept"},
};

static uint64_t value(const struct hf_counters *counters, enum hf_counter which)
{
    return atomic_load_explicit(&counters->counter[which], memory_order_relaxed);
}

void hf_complaints_init(struct hf_complaints *k, const struct hf_counters *counters, uint64_t now_ms)
{
    k->next_ms = now_ms + TELL_MS;
    for (int i = 0; i < HF_COUNTERS; i++)
        k->told[i] = value(counters, (enum hf_counter)i);
}

void hf_complaints_tick(struct hf_complaints *k, const struct hf_counters *counters, uint64_t now_ms)
{
    if (now_ms < k->next_ms)
        return;
    k->next_ms = now_ms + TELL_MS;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint64_t n = value(counters, rows[i].counter), *told = &k->told[rows[i].counter];

        if (n != *told)
            hf_log(HF_LOG_WARNING, rows[i].event, hf_kv_text("cause", rows[i].cause),
                   hf_kv_u64("count", n - *told));
        *told = n;
    }
}
