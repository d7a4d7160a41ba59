/*
 * journal.c - what a worker writes down about its sessions: shm/journal.h.
 */
#include "server/hub_state.h"

#include <string.h>

static struct hf_journal_event event(const struct hf_conn *c, enum hf_journal_kind kind)
{
    return (struct hf_journal_event){.wall_ms = c->hub->now.wall_ms,
                                     .session = c->session->number,
                                     .kind = kind,
                                     .heartbeat_ms = c->heartbeat_ms};
}

void hf_journal_attached(struct hf_conn *c, bool resumed)
{
    struct hf_journal_event e = event(c, resumed ? HF_JOURNAL_RESUMED : HF_JOURNAL_STARTED);

    if (c->upgrade->has_attempt)
        e.amount = c->upgrade->attempt;
    memcpy(e.address, c->upgrade->address, strnlen(c->upgrade->address, sizeof(e.address) - 1));
    hf_journal_put(c->hub->journal, &e);
}

static uint32_t silence_ms(const struct hf_conn *c)
{
    uint64_t ms = c->hub->now.mono_ms - c->received_ms;

    return ms < UINT32_MAX ? (uint32_t)ms : UINT32_MAX;
}

void hf_journal_closed(struct hf_conn *c, uint16_t code, enum hf_journal_by by)
{
    struct hf_journal_event e;

    if (c->session == NULL)
        return;
    e = event(c, HF_JOURNAL_CLOSED);
    e.code = code;
    e.by = by;
    e.silence_ms = silence_ms(c);
    e.amount = c->out.len;
    hf_journal_put(c->hub->journal, &e);
}

void hf_journal_heartbeat(struct hf_conn *c)
{
    struct hf_journal_event e = event(c, HF_JOURNAL_HEARTBEAT);

    hf_journal_put(c->hub->journal, &e);
}

void hf_journal_gap(struct hf_conn *c, uint64_t missed)
{
    struct hf_journal_event e = event(c, HF_JOURNAL_GAP);

    e.amount = missed;
    hf_journal_put(c->hub->journal, &e);
}

void hf_journal_session_over(struct hf_hub *hub, const struct hf_session *s, uint16_t code)
{
    struct hf_journal_event e = {.wall_ms = hub->now.wall_ms,
                                 .session = s->number,
                                 .kind = code == 0 ? HF_JOURNAL_EXPIRED : HF_JOURNAL_ENDED,
                                 .code = code};

    hf_journal_put(hub->journal, &e);
}
