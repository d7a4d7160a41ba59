#include "server/reasons.h"

#include "base/assert.h"
#include "wire/message.h"

#include <stdlib.h>
#include <string.h>

struct hf_reason {
    uint64_t serial, seq; /* serial 0: none was put in yet */
    char text[HF_LABEL_BYTES_MAX + 1];
};

void hf_reasons_release(struct hf_reasons *r)
{
    free(r->ring);
    *r = (struct hf_reasons){.ring = NULL};
}

uint32_t hf_reasons_put(struct hf_reasons *r, uint64_t serial, uint64_t seq, const char *text)
{
    struct hf_reason *at;
    size_t len = strlen(text);

    hf_assert(serial != 0 && len <= HF_LABEL_BYTES_MAX);
    if (r->ring == NULL)
        r->ring = calloc(HF_REASONS_MAX, sizeof(*r->ring));
    if (r->ring == NULL)
        return 0;
    at = &r->ring[r->next];
    at->serial = serial;
    at->seq = seq;
    memcpy(at->text, text, len + 1);
    r->next = (r->next + 1) % HF_REASONS_MAX;
    return (uint32_t)(at - r->ring) + 1;
}

const char *hf_reasons_get(const struct hf_reasons *r, uint32_t place, uint64_t serial, uint64_t seq)
{
    const struct hf_reason *at;

    if (place == 0 || place > HF_REASONS_MAX || r->ring == NULL)
        return NULL;
    at = &r->ring[place - 1];
    return at->serial == serial && at->seq == seq ? at->text : NULL;
}
