#include "session/inbox.h"

#include <string.h>

#define OFFSET_MAX ((UINT64_C(1) << 53) - 1) /* "Both stay below 2^53" (PROTOCOL.md "Two numbers") */

void hf_inbox_init(struct hf_inbox *in, bool latest)
{
    *in = (struct hf_inbox){.latest = latest};
}

static int set_epoch(struct hf_inbox *in, struct hf_str epoch)
{
    if (epoch.len > sizeof(in->epoch))
        return HF_EINVAL;
    if (epoch.len > 0)
        memcpy(in->epoch, epoch.data, epoch.len);
    in->epoch_len = (uint8_t)epoch.len;
    return 0;
}

int hf_inbox_place(struct hf_inbox *in, struct hf_str epoch, uint64_t offset)
{
    if (offset > OFFSET_MAX || set_epoch(in, epoch) < 0)
        return HF_EINVAL;
    in->next_offset = offset + 1;
    in->acked_offset = offset;
    in->place = HF_INBOX_PLACED;
    return 0;
}

void hf_inbox_float(struct hf_inbox *in)
{
    in->place = HF_INBOX_FLOATING;
    in->next_offset = 0;
    in->acked_offset = 0;
}

struct hf_str hf_inbox_epoch(const struct hf_inbox *in)
{
    return (struct hf_str){in->epoch, in->epoch_len};
}

bool hf_inbox_placed(const struct hf_inbox *in)
{
    return in->place == HF_INBOX_PLACED || in->place == HF_INBOX_SYNCING;
}

uint64_t hf_inbox_position(const struct hf_inbox *in)
{
    return in->next_offset == 0 ? 0 : in->next_offset - 1;
}

static void stand_behind(struct hf_inbox *in, uint64_t offset)
{
    in->next_offset = offset + 1;
    in->place = HF_INBOX_PLACED;
}

static enum hf_inbox_verdict ask_again(struct hf_inbox *in)
{
    if (in->place == HF_INBOX_SYNCING)
        return HF_INBOX_IGNORE;
    in->place = HF_INBOX_SYNCING;
    return HF_INBOX_SYNC;
}

enum hf_inbox_verdict hf_inbox_data(struct hf_inbox *in, uint64_t offset)
{
    if (in->place == HF_INBOX_NOWHERE || offset == 0)
        return HF_INBOX_IGNORE;
    if (in->place != HF_INBOX_FLOATING) {
        if (offset < in->next_offset)
            return HF_INBOX_DUPLICATE;
        if (offset > in->next_offset && !in->latest)
            return ask_again(in);
    }
    stand_behind(in, offset);
    return HF_INBOX_DELIVER;
}

/* "it counts only above the client's own position" (PROTOCOL.md, gap). */
enum hf_inbox_verdict hf_inbox_gap(struct hf_inbox *in, uint64_t from, uint64_t to,
                                   struct hf_inbox_range *left)
{
    if (in->place == HF_INBOX_NOWHERE || from == 0 || from > to)
        return HF_INBOX_IGNORE;
    if (in->place != HF_INBOX_FLOATING) {
        if (to < in->next_offset)
            return HF_INBOX_DUPLICATE;
        if (from > in->next_offset && !in->latest)
            return ask_again(in);
        if (from < in->next_offset)
            from = in->next_offset;
    }
    *left = (struct hf_inbox_range){from, to};
    stand_behind(in, to);
    return HF_INBOX_DELIVER;
}

/*
 * "the channel was begun anew, `epoch` is the new one …, delivery goes on from its offset 1" (PROTOCOL.md, gap). One that the inbox
 * has already comes again after a resume, when nothing of the new epoch had been acknowledged.
 */
int hf_inbox_new_epoch(struct hf_inbox *in, struct hf_str epoch)
{
    if (in->place != HF_INBOX_NOWHERE && hf_str_eq(epoch, hf_inbox_epoch(in)))
        return HF_INBOX_DUPLICATE;
    if (set_epoch(in, epoch) < 0)
        return HF_EPROTO;
    stand_behind(in, 0);
    in->acked_offset = 0;
    return HF_INBOX_DELIVER;
}

/* Take over the epoch that the server names; a change is to be reported where the application had a position in the old one. */
static int enter_epoch(struct hf_inbox *in, struct hf_str epoch)
{
    if (hf_inbox_placed(in))
        return hf_inbox_new_epoch(in, epoch);
    return set_epoch(in, epoch) < 0 ? HF_EPROTO : HF_INBOX_DUPLICATE;
}

int hf_inbox_subscribed(struct hf_inbox *in, struct hf_str epoch, uint64_t head)
{
    int verdict = enter_epoch(in, epoch);

    if (verdict < 0 || verdict == HF_INBOX_DELIVER)
        return verdict;
    if (in->place == HF_INBOX_NOWHERE && in->latest)
        in->place =
            HF_INBOX_FLOATING; /* "the newest value at once": it has the head's offset, and follows. */
    if (in->place == HF_INBOX_NOWHERE) {
        stand_behind(in, head);
        in->acked_offset = head;
    }
    return HF_INBOX_IGNORE;
}

void hf_inbox_lost(struct hf_inbox *in)
{
    if (in->place == HF_INBOX_SYNCING)
        in->place = HF_INBOX_PLACED;
}

int hf_inbox_resumed(struct hf_inbox *in, struct hf_str epoch, uint64_t offset)
{
    int verdict;

    hf_inbox_lost(in); /* The next hole asks anew. */
    verdict = enter_epoch(in, epoch);
    if (verdict != HF_INBOX_DUPLICATE)
        return verdict;
    if (in->latest) {
        if (!hf_inbox_placed(in))
            in->place = HF_INBOX_FLOATING;
        return HF_INBOX_IGNORE;
    }
    if (!hf_inbox_placed(in))
        stand_behind(in, offset);
    if (offset <= hf_inbox_position(in))
        in->acked_offset = offset; /* What the server knows; an acknowledgement above it was lost. */
    return offset > hf_inbox_position(in) ? (int)ask_again(in) : HF_INBOX_IGNORE;
}

bool hf_inbox_unacked(const struct hf_inbox *in)
{
    return hf_inbox_placed(in) && hf_inbox_position(in) > in->acked_offset;
}

void hf_inbox_acked(struct hf_inbox *in)
{
    in->acked_offset = hf_inbox_position(in);
}
