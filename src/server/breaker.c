#include "server/breaker.h"

bool hf_breaker_refuses(const struct hf_breaker *b, uint64_t now_ms)
{
    return b->state == HF_BREAKER_HALF_OPEN || (b->state == HF_BREAKER_OPEN && now_ms < b->until_ms);
}

bool hf_breaker_admit(struct hf_breaker *b, uint64_t now_ms)
{
    if (hf_breaker_refuses(b, now_ms))
        return false;
    if (b->state == HF_BREAKER_OPEN)
        b->state = HF_BREAKER_HALF_OPEN;
    return true;
}

enum hf_breaker_change hf_breaker_answered(struct hf_breaker *b)
{
    bool was_closed = b->state == HF_BREAKER_CLOSED;

    *b = (struct hf_breaker){.state = HF_BREAKER_CLOSED};
    return was_closed ? HF_BREAKER_SAME : HF_BREAKER_HAS_CLOSED;
}

enum hf_breaker_change hf_breaker_failed(struct hf_breaker *b, uint32_t failures_max, uint32_t pause_ms,
                                         uint64_t now_ms)
{
    bool was_closed = b->state == HF_BREAKER_CLOSED;

    if (b->state == HF_BREAKER_OPEN || (was_closed && ++b->failures < failures_max))
        return HF_BREAKER_SAME;
    b->state = HF_BREAKER_OPEN;
    b->until_ms = now_ms + pause_ms;
    return was_closed ? HF_BREAKER_OPENED : HF_BREAKER_SAME;
}
