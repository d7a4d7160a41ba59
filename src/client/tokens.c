#include "client/tokens.h"

#include "base/base64.h"
#include "session/client_session.h"
#include "wire/json.h"

#include <stdlib.h>
#include <string.h>

static uint64_t max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* A NumericDate of RFC 7519 section 2: seconds, a fraction allowed. */
static uint64_t date_ms(struct hf_str number)
{
    char text[64];
    double seconds;

    if (hf_json_kind(number) != HF_JSON_NUMBER || number.len >= sizeof(text))
        return UINT64_MAX;
    memcpy(text, number.data, number.len);
    text[number.len] = '\0';
    seconds = strtod(text, NULL);
    if (!(seconds < 9e12)) /* Beyond the numbers of our times; NaN cannot be written. */
        return UINT64_MAX;
    return seconds > 0 ? (uint64_t)(seconds * 1000) : 0;
}

/* RFC 7519 section 3: the second of the parts, in base64url, is the JSON object of the claims. */
uint64_t hf_token_end_ms(const char *token)
{
    uint8_t claims[HF_TOKEN_MAX];
    struct hf_json_field exp = {.name = HF_STR("exp")};
    const char *begin = strchr(token, '.'), *reason;
    struct hf_str object;
    size_t chars = begin == NULL ? 0 : strcspn(begin + 1, ".");
    int len;

    if (chars == 0 || chars > HF_TOKEN_MAX)
        return UINT64_MAX;
    len = hf_base64url_decode((struct hf_str){begin + 1, chars}, claims);
    if (len <= 0)
        return UINT64_MAX;
    if (hf_json_check((struct hf_str){(const char *)claims, (size_t)len}, true, &object, &reason) < 0 ||
        hf_json_fields(object, &exp, 1) < 0)
        return UINT64_MAX;
    return date_ms(exp.value);
}

static void keep(struct hf_tokens *t, const char *token, uint64_t unix_ms)
{
    uint64_t left;

    t->have = true;
    t->end_ms = hf_token_end_ms(token);
    t->renew_at_ms = UINT64_MAX;
    if (t->end_ms == UINT64_MAX || t->end_ms <= unix_ms + HF_TOKEN_MARGIN_MS)
        return; /* What has ended already by our clock is not renewed by it: the server will tell. */
    left = t->end_ms - unix_ms;
    t->renew_at_ms =
        unix_ms +
        max_u64(HF_TOKEN_RENEW_AFTER_MS,
                max_u64(left / 2, left > HF_TOKEN_RENEW_BEFORE_MS ? left - HF_TOKEN_RENEW_BEFORE_MS : 0));
}

static bool has_ended(const struct hf_tokens *t, uint64_t unix_ms)
{
    return t->end_ms != UINT64_MAX && unix_ms + HF_TOKEN_MARGIN_MS >= t->end_ms;
}

void hf_tokens_init(struct hf_tokens *t, const char *token, bool source, uint64_t unix_ms)
{
    *t = (struct hf_tokens){.source = source,
                            .reason = HF_CLIENT_TOKEN_FIRST,
                            .end_ms = UINT64_MAX,
                            .renew_at_ms = UINT64_MAX,
                            .asked_until_ms = UINT64_MAX};
    if (token != NULL)
        keep(t, token, unix_ms);
}

bool hf_tokens_missing(const struct hf_tokens *t, uint64_t unix_ms)
{
    return t->source && !(t->have && (t->untried || !has_ended(t, unix_ms)));
}

void hf_tokens_shown(struct hf_tokens *t)
{
    t->untried = false;
}

void hf_tokens_refused(struct hf_tokens *t)
{
    t->have = false;
    t->reason = HF_CLIENT_TOKEN_EXPIRED;
}

void hf_tokens_taken(struct hf_tokens *t, const char *token, bool shown, uint64_t unix_ms)
{
    t->asked_until_ms = UINT64_MAX;
    keep(t, token, unix_ms);
    t->untried = !shown && has_ended(t, unix_ms);
}

bool hf_tokens_failed(struct hf_tokens *t)
{
    bool asked = t->asked_until_ms != UINT64_MAX;

    t->asked_until_ms = UINT64_MAX;
    return asked;
}

bool hf_tokens_ask(struct hf_tokens *t, uint32_t attempt, uint64_t now_ms,
                   enum hf_client_token_reason *reason)
{
    if (t->have) /* It has ended by the clock. */
        hf_tokens_refused(t);
    if (t->asked_until_ms != UINT64_MAX || t->asked_for == attempt || attempt == 0)
        return false;
    t->asked_for = attempt;
    t->asked_until_ms = now_ms + HF_TOKEN_ANSWER_MS;
    *reason = t->reason;
    return true;
}

uint64_t hf_tokens_renew_in_ms(const struct hf_tokens *t, uint64_t unix_ms)
{
    if (!t->source || !t->have || t->renew_at_ms == UINT64_MAX || t->asked_until_ms != UINT64_MAX)
        return UINT64_MAX;
    return t->renew_at_ms > unix_ms ? t->renew_at_ms - unix_ms : 0;
}

void hf_tokens_renewing(struct hf_tokens *t, uint64_t now_ms)
{
    t->renew_at_ms = UINT64_MAX;
    t->asked_until_ms = now_ms + HF_TOKEN_ANSWER_MS;
}

bool hf_tokens_timed_out(struct hf_tokens *t, uint64_t now_ms)
{
    return now_ms >= t->asked_until_ms && t->asked_until_ms != UINT64_MAX && hf_tokens_failed(t);
}
