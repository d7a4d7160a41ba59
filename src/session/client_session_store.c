#include "session/client_session_impl.h"

#include <string.h>

enum {
    AGAIN_MS = 1000,     /* after saving failed */
    ATTEMPTS_AHEAD = 64, /* so many attempts are saved at once */
};

/* --- what a predecessor left --- */

struct loading {
    struct hf_client_session *s;
    struct hf_store_state state; /* its ticket is copied before the first publish comes */
    bool begun;
};

static bool state_valid(const struct hf_store_state *state)
{
    return state->seq_base < state->first_id && state->first_id <= HF_NUMBER_MAX &&
           state->sent_id + 1 >= state->first_id && state->sent_id <= HF_NUMBER_MAX &&
           state->attempts <= UINT32_MAX - ATTEMPTS_AHEAD && state->ticket.len <= HF_TICKET_MAX &&
           hf_cs_ticket_valid(state->ticket);
}

static int begin(struct loading *l)
{
    struct hf_client_session *s = l->s;

    if (l->begun)
        return 0;
    if (!state_valid(&l->state))
        return HF_ECORRUPT;
    l->begun = true;
    if (l->state.ticket.len > 0)
        memcpy(s->ticket, l->state.ticket.data, l->state.ticket.len);
    s->ticket_len = l->state.ticket.len;
    hf_outbox_restore(&s->outbox, l->state.first_id, l->state.seq_base);
    return 0;
}

static int take(void *arg, const struct hf_store_publish *p)
{
    struct loading *l = arg;
    struct hf_str value;
    int err = begin(l);

    if (err < 0)
        return err;
    if (p->publish_id != l->s->outbox.first_id + l->s->outbox.count ||
        hf_cs_publish_check(p->channel, p->id, p->payload, p->payload_raw, &value) < 0)
        return HF_ECORRUPT;
    err = hf_outbox_restore_item(&l->s->outbox, p->channel, p->id, value, p->refusal);
    if (err == 0)
        hf_outbox_newest(&l->s->outbox)->payload_raw = p->payload_raw;
    return err;
}

int hf_cs_load(struct hf_client_session *s)
{
    struct loading l = {.s = s};
    uint64_t sent;
    int err;

    s->save_again_ms = HF_NEVER;
    if (s->config.store == NULL)
        return 0;
    err = s->config.store->load(s->config.store->ctx, &l.state, take, &l);
    if (err == 0)
        err = begin(&l);
    if (err < 0)
        return err;
    sent = l.state.sent_id + 1 - l.state.first_id;
    if (sent > s->outbox.count)
        return HF_ECORRUPT;
    hf_outbox_restore_sent(&s->outbox, (uint32_t)sent);
    /* Of a session that got nothing without an answer, nothing is wanted: a new one is cheaper, and nobody's subscriptions are in it. */
    if (sent == 0)
        s->ticket_len = 0;
    s->inherited = s->ticket_len > 0;
    s->attempts = (uint32_t)l.state.attempts;
    s->saved_first_id = l.state.first_id;
    s->saved_sent_id = l.state.sent_id;
    s->saved_attempts = l.state.attempts;
    return 0;
}

/* --- what a successor must know --- */

int hf_cs_store_put(struct hf_client_session *s, const struct hf_outbox_item *item)
{
    const struct hf_store_publish p = {.publish_id = item->publish_id,
                                       .channel = item->channel,
                                       .id = item->id,
                                       .payload = item->payload,
                                       .payload_raw = item->payload_raw};

    return s->config.store == NULL ? 0 : s->config.store->put(s->config.store->ctx, &p);
}

static int note_refusal(struct hf_client_session *s, const struct hf_outbox_item *item)
{
    return s->config.store->refuse(s->config.store->ctx, item->publish_id, hf_str_from(item->code));
}

void hf_cs_store_refuse(struct hf_client_session *s, const struct hf_outbox_item *item)
{
    if (s->config.store != NULL && note_refusal(s, item) < 0)
        s->unnoted = true; /* With the next save. */
}

static int note_refusals(struct hf_client_session *s)
{
    uint32_t i;
    int err = 0;

    for (i = 0; i < s->outbox.count && err == 0; i++)
        if (hf_outbox_at(&s->outbox, i)->refused)
            err = note_refusal(s, hf_outbox_at(&s->outbox, i));
    s->unnoted = err < 0;
    return err;
}

static int save(struct hf_client_session *s, uint64_t sent_id)
{
    const struct hf_store_state state = {.first_id = s->outbox.first_id,
                                         .sent_id = sent_id,
                                         .seq_base = s->outbox.seq_base,
                                         .attempts = (uint64_t)s->attempts + ATTEMPTS_AHEAD,
                                         .ticket = {s->ticket, s->ticket_len}};
    int err = s->unnoted ? note_refusals(s) : 0;

    if (err == 0)
        err = s->config.store->save(s->config.store->ctx, &state);
    if (err < 0)
        return err;
    s->saved_first_id = state.first_id;
    s->saved_sent_id = state.sent_id;
    s->saved_attempts = state.attempts;
    s->unsaved = false;
    s->save_again_ms = HF_NEVER;
    return 0;
}

static uint64_t max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static uint64_t sent_id(const struct hf_client_session *s)
{
    return s->outbox.first_id + s->outbox.sent - 1;
}

/* What the store knows to be on its way may go on its way. */
static uint64_t may_be_written(const struct hf_client_session *s)
{
    return s->unsaved ? 0 : s->saved_sent_id;
}

uint64_t hf_cs_save(struct hf_client_session *s, uint64_t now_ms)
{
    uint64_t ahead = max_u64(sent_id(s), hf_outbox_ahead(&s->outbox, HF_PUBLISHES_BELOW_BYTES));
    int err;

    if (s->config.store == NULL)
        return UINT64_MAX;
    if (!s->unsaved && !s->unnoted && s->saved_first_id == s->outbox.first_id && ahead <= s->saved_sent_id) {
        s->save_again_ms = HF_NEVER;
        return s->saved_sent_id;
    }
    if (s->save_again_ms != HF_NEVER && now_ms < s->save_again_ms)
        return may_be_written(s);
    err = save(s, ahead);
    if (err < 0) {
        bool told = s->save_again_ms != HF_NEVER;

        s->save_again_ms = now_ms + AGAIN_MS;
        if (!told)
            hf_cs_emit_error(s, HF_STR("outbox"), hf_str_from(hf_strerror(err)), HF_STR(""));
    }
    return may_be_written(s);
}

/* A successor whose attempts are not above ours would be refused with 409: no more than a delay, so that a failure is no matter. */
void hf_cs_save_attempt(struct hf_client_session *s)
{
    if (s->config.store != NULL && s->ticket_len > 0 && !s->unsaved && s->attempts > s->saved_attempts)
        (void)save(s, max_u64(sent_id(s), s->saved_sent_id));
}

/*
 * What was answered is not asked again, and what was saved ahead of its being sent, and was not, is not uncertain where the session is gone. Should that
 * fail, it is asked, and its answer is as good the second time.
 */
void hf_cs_save_last(struct hf_client_session *s)
{
    if (s->config.store != NULL && (s->unsaved || s->unnoted || s->saved_first_id != s->outbox.first_id ||
                                    s->saved_sent_id != sent_id(s)))
        (void)save(s, sent_id(s));
}
