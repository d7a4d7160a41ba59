#include "channel/cursor.h"

#include "base/assert.h"

static void stand_at(struct hf_cursor *c, uint64_t next_offset)
{
    c->next_offset = next_offset;
    c->sent_offset = next_offset - 1;
}

/* "since: from behind that offset (one above the head counts as another epoch)" */
static struct hf_start_outcome start_since(struct hf_cursor *c, const struct hf_start_request *r)
{
    struct hf_start_outcome out = {.recovered = true};
    uint64_t want = r->offset + 1;

    if (!r->same_epoch || r->offset > r->head) {
        /* "the channel was begun anew … delivery goes on from its offset 1, and a second gap tells what of that is evicted" */
        out.recovered = false;
        out.new_epoch = true;
        want = 1;
    }
    if (want < r->oldest) {
        out.recovered = false;
        out.gap_from = want;
        out.gap_to = r->oldest - 1;
        want = r->oldest;
    }
    stand_at(c, want);
    return out;
}

struct hf_start_outcome hf_cursor_start(struct hf_cursor *c, const struct hf_start_request *r)
{
    hf_assert(r->oldest >= 1 && r->oldest <= r->head + 1);
    switch (r->from) {
    case HF_START_SINCE:
        return start_since(c, r);
    case HF_START_LAST: {
        uint64_t first = r->last < r->head ? r->head - r->last + 1 : 1;

        stand_at(c, first > r->oldest ? first : r->oldest);
        break;
    }
    case HF_START_LATEST:
        stand_at(c, r->head > 0 && r->oldest <= r->head ? r->head : r->head + 1);
        break;
    case HF_START_HEAD:
        stand_at(c, r->head + 1);
        break;
    }
    return (struct hf_start_outcome){.recovered = true};
}

void hf_cursor_resume(struct hf_cursor *c, uint64_t acked_offset, bool latest, uint64_t head)
{
    stand_at(c, acked_offset + 1);
    if (latest && head > 0) {
        /* "latest: the newest value at once, also on a resume" */
        c->next_offset = head;
    }
}

bool hf_cursor_ack(const struct hf_cursor *c, uint64_t offset, uint64_t *acked)
{
    if (offset > c->sent_offset)
        return false;
    if (offset > *acked)
        *acked = offset;
    return true;
}

void hf_cursor_sync(struct hf_cursor *c, uint64_t offset)
{
    if (offset < c->next_offset - 1)
        c->next_offset = offset + 1;
}

void hf_cursor_sent(struct hf_cursor *c, uint64_t offset)
{
    c->next_offset = offset + 1;
    if (offset > c->sent_offset)
        c->sent_offset = offset;
}
