#include "session/client_session_impl.h"

#include "base/assert.h"
#include "wire/items.h"
#include "wire/json.h"
#include "ws/utf8.h"

#include <stdlib.h>

/* --- towards the server --- */

static void put_publish(struct hf_client_session *s, const struct hf_outbox_item *item)
{
    const struct hf_subscription *sub = hf_subscriptions_find(&s->subs, item->channel);
    struct hf_msg m = {.type = HF_MSG_DATA,
                       .has = HF_HAS_CHANNEL | HF_HAS_PAYLOAD | HF_HAS_SEQ,
                       .channel = item->channel,
                       .payload = item->payload,
                       .payload_raw = item->payload_raw,
                       .seq = hf_outbox_seq(&s->outbox, item)};

    if (sub != NULL && sub->state == HF_SUB_ACTIVE)
        m.cid = sub->cid; /* "use a cid while the channel is subscribed, and the name otherwise" */
    if (item->id.data != NULL) {
        m.has |= HF_HAS_ID;
        m.id = item->id;
    }
    hf_cs_put(s, &m);
}

void hf_cs_put_publishes(struct hf_client_session *s, uint64_t now_ms)
{
    const struct hf_outbox_item *item;
    uint64_t last;

    if (s->refuse_oldest)
        return; /* Which one that is, and so the numbers of all others, is known when the old ones are settled. */
    if (s->outbox.written == 0 && hf_outbox_next(&s->outbox) != NULL &&
        hf_heartbeat_sending(&s->heartbeat, now_ms))
        hf_cs_doubt(s, HF_BY_SENT_AFTER_SILENCE, now_ms);
    last = hf_cs_save(s, now_ms);
    while (s->links[s->live].out.len < HF_PUBLISHES_BELOW_BYTES && s->failed == NULL) {
        item = hf_outbox_next(&s->outbox);
        if (item == NULL || item->publish_id > last)
            return;
        put_publish(s, item);
        hf_outbox_wrote(&s->outbox);
        hf_cs_awaiting_answer(s, now_ms);
    }
}

int hf_cs_publish_check(struct hf_str channel, struct hf_str id, struct hf_str payload, bool raw,
                        struct hf_str *value)
{
    const char *reason;

    if (!hf_channel_name_valid(channel))
        return HF_EINVAL;
    if (id.data != NULL && (id.len > HF_LABEL_BYTES_MAX || !hf_utf8_valid((const uint8_t *)id.data, id.len)))
        return HF_EINVAL;
    *value = payload;
    return !raw && hf_json_check(payload, true, value, &reason) < 0 ? HF_EINVAL : 0;
}

static int publish_check(const struct hf_client_session *s, struct hf_str channel, struct hf_str id,
                         struct hf_str payload, bool raw, struct hf_str *value)
{
    int err = hf_cs_closing(s) ? HF_ESTATE : hf_cs_publish_check(channel, id, payload, raw, value);

    if (err < 0)
        return err;
    /* "A client refuses locally what is above it" (PROTOCOL.md, maxMessage). */
    if (s->payload_bytes_max > 0 && value->len > s->payload_bytes_max)
        return HF_ETOOLARGE;
    return 0;
}

int hf_client_session_publish(struct hf_client_session *s, struct hf_str channel, struct hf_str id,
                              struct hf_str payload, uint64_t *publish_id, uint64_t now_ms)
{
    return hf_client_session_publish_with(s, channel, id, payload, (struct hf_completion){NULL, NULL},
                                          publish_id, now_ms);
}

static int accept_publish(struct hf_client_session *s, struct hf_str channel, struct hf_str id,
                          struct hf_str payload, bool raw, struct hf_completion completion,
                          uint64_t *publish_id)
{
    struct hf_str value = {NULL, 0};
    struct hf_outbox_item *item;
    int err = publish_check(s, channel, id, payload, raw, &value);

    if (err == 0)
        err = hf_outbox_add(&s->outbox, channel, id, value, publish_id);
    if (err < 0)
        return err;
    item = hf_outbox_newest(&s->outbox);
    item->payload_raw = raw;
    err = hf_cs_store_put(s, item);
    if (err < 0) {
        hf_outbox_take_back(&s->outbox);
        return err;
    }
    item->completion = completion;
    return 0;
}

int hf_client_session_publish_with(struct hf_client_session *s, struct hf_str channel, struct hf_str id,
                                   struct hf_str payload, struct hf_completion completion,
                                   uint64_t *publish_id, uint64_t now_ms)
{
    (void)now_ms;
    return accept_publish(s, channel, id, payload, false, completion, publish_id);
}

int hf_client_session_publish_bytes(struct hf_client_session *s, struct hf_str channel, struct hf_str id,
                                    struct hf_str bytes, struct hf_completion completion,
                                    uint64_t *publish_id, uint64_t now_ms)
{
    (void)now_ms;
    if (bytes.data == NULL)
        bytes = HF_STR(""); /* None is a payload, too, and not the want of one. */
    return accept_publish(s, channel, id, bytes, true, completion, publish_id);
}

struct hf_outbox_item *hf_client_session_take_unanswered(struct hf_client_session *s, bool sent)
{
    hf_assert(s->state == HF_CLIENT_ENDED);
    return hf_outbox_take(&s->outbox, sent);
}

/* --- answers --- */

static void emit_refused(struct hf_client_session *s, const struct hf_outbox_item *item, struct hf_str code,
                         struct hf_str reason)
{
    const struct hf_client_session_event ev = {.type = HF_CSE_REFUSED,
                                               .publish_id = item->publish_id,
                                               .channel = item->channel,
                                               .code = code,
                                               .reason = reason,
                                               .completion = item->completion};

    hf_cs_emit(s, &ev);
}

/* The process that was told died before it noted the result, or before its application heard of it. */
static void tell_inherited(struct hf_client_session *s, const struct hf_outbox_item *item)
{
    if (item->refused && !item->told)
        emit_refused(s, item, hf_str_from(item->code), HF_STR("the server told a process before this one"));
}

/* A publish has left the outbox. */
static void done(struct hf_client_session *s, struct hf_outbox_item *item, uint64_t offset)
{
    struct hf_client_session_event ev = {
        .type = HF_CSE_ACKED, .publish_id = item->publish_id, .channel = item->channel, .offset = offset};
    ev.completion = item->completion;
    hf_backoff_progressed(&s->backoff);
    if (item->refused)
        tell_inherited(s, item);
    else
        hf_cs_emit(s, &ev);
    free(item);
}

void hf_cs_drop_refused(struct hf_client_session *s)
{
    struct hf_outbox_item *item;

    while ((item = hf_outbox_pop_refused(&s->outbox)) != NULL)
        done(s, item, 0);
    while ((item = hf_outbox_pop_unnumbered(&s->outbox)) != NULL) {
        s->unsaved = true; /* The others have moved up. */
        done(s, item, 0);
    }
}

/* "after 1009 takes its oldest unanswered publish for refused" (PROTOCOL.md "Client to server"). */
static void refuse_oldest(struct hf_client_session *s)
{
    struct hf_outbox_item *item;

    if (!s->refuse_oldest || s->settling)
        return;
    s->refuse_oldest = false;
    hf_cs_drop_refused(s);
    item = hf_outbox_pop_unused(&s->outbox);
    if (item == NULL)
        return;
    s->unsaved = true; /* The others have moved up. */
    emit_refused(s, item, HF_STR("too_large"), HF_STR("the server ended the connection over it"));
    free(item);
    hf_cs_drop_refused(s);
}

static void settle(struct hf_client_session *s, uint64_t seq)
{
    struct hf_outbox_item *item;

    while ((item = hf_outbox_pop(&s->outbox, seq)) != NULL)
        done(s, item, 0);
}

/*
 * "The last of `offsets` belongs to `seq`, the one before to `seq`-1, and so on back to the ack before … null for a refused one and
 * where a repeated one's offset is no longer known." (PROTOCOL.md, ack)
 */
static void settle_with_offsets(struct hf_client_session *s, const struct hf_msg *m)
{
    struct hf_items it = hf_items(m, m->offsets);
    uint64_t seq = m->seq - hf_items_offsets_left(it), offset;

    settle(s, seq);
    while (hf_items_offset(&it, &offset)) {
        struct hf_outbox_item *item = hf_outbox_pop(&s->outbox, ++seq);

        if (item != NULL)
            done(s, item, offset);
    }
}

void hf_cs_on_ack(struct hf_client_session *s, struct hf_msg *m, uint64_t now_ms)
{
    if ((m->has & HF_HAS_SEQ) == 0)
        return; /* Of a publish without a number: this client makes none. */
    if (m->seq > hf_outbox_seq_sent(&s->outbox)) {
        hf_cs_fail(s, HF_CLOSE_POLICY, "the server acknowledged what it was not sent");
        return;
    }
    if (hf_items_offsets_left(hf_items(m, m->offsets)) > m->seq) {
        hf_cs_fail(s, HF_CLOSE_POLICY, "the server acknowledged more than it was sent");
        return;
    }
    if (s->settling && m->seq >= s->settle_seq)
        s->settling = false; /* "A `nack` comes before the ack that covers it": there is none to come. */
    settle_with_offsets(s, m);
    hf_cs_drop_refused(s);
    refuse_oldest(s);
    hf_cs_answered(s, now_ms);
}

/* The item with this seq, which is refused now; NULL where the application knows that, or there is none. */
static struct hf_outbox_item *find_refused(struct hf_client_session *s, uint64_t seq, struct hf_str code)
{
    struct hf_outbox_item *item = hf_outbox_find(&s->outbox, seq);

    if (item == NULL || item->told)
        return NULL; /* "a client drops those that it knows" (PROTOCOL.md, welcome) */
    hf_outbox_refused(item, code);
    item->told = true;
    hf_backoff_progressed(&s->backoff);
    return item;
}

void hf_cs_on_nack(struct hf_client_session *s, struct hf_msg *m, uint64_t now_ms)
{
    struct hf_outbox_item *item;

    if ((m->has & HF_HAS_SEQ) == 0) {
        hf_cs_emit_error(s, m->code, m->reason, m->channel);
        return;
    }
    item = find_refused(s, m->seq, m->code);
    if (item == NULL)
        return;
    if (item->publish_id > s->outbox.first_id)
        hf_cs_store_refuse(s, item);
    emit_refused(s, item, m->code, m->reason);
    hf_cs_drop_refused(s);
    hf_cs_answered(s, now_ms);
}

/*
 * "one beyond the next by `error bad_seq` with `expected`, not applied" (PROTOCOL.md, data). On one connection that cannot happen to us; so
 * something is broken that a resume mends, unless the server has lost count of what it acknowledged: then the session is lost.
 */
void hf_cs_on_bad_seq(struct hf_client_session *s, const struct hf_msg *m)
{
    s->forget_session = (m->has & HF_HAS_EXPECTED) == 0 || hf_outbox_find(&s->outbox, m->expected) == NULL;
    hf_cs_fail(s, HF_CLOSE_POLICY, "the server has lost count of our publishes");
}

/* --- what a welcome says --- */

bool hf_cs_outbox_resumed(struct hf_client_session *s, const struct hf_msg *m)
{
    bool has_last = (m->has & HF_HAS_LAST_SEQ) != 0;

    if (has_last && hf_outbox_resumed(&s->outbox, m->last_seq) < 0) {
        s->forget_session = true;
        hf_cs_fail(s, HF_CLOSE_POLICY, "the server has lost count of our publishes");
        return false;
    }
    /* "a `nack` follows for each of the session's last 32 refusals": until our ping is answered nothing is known as accepted. */
    s->settling = has_last && s->outbox.written > 0;
    s->settle_seq = m->last_seq;
    if (!s->settling)
        refuse_oldest(s);
    return true;
}

void hf_cs_settled(struct hf_client_session *s, uint64_t now_ms)
{
    if (!s->settling)
        return;
    s->settling = false;
    settle(s, s->settle_seq);
    hf_cs_drop_refused(s);
    refuse_oldest(s);
    hf_cs_answered(s, now_ms);
}

/*
 * "refusals: of a session that is gone": the seqs are those of the old session, in which the outbox still is. They need not be noted: until the new session is saved,
 * a successor is told the same.
 */
static bool take_refusals(struct hf_client_session *s, const struct hf_msg *m)
{
    struct hf_items it = hf_items(m, m->refusals);
    struct hf_items_refusal refusal;
    int found = 0;

    while (m->refusals.data != NULL && (found = hf_items_refusal(&it, &refusal)) == 1) {
        struct hf_outbox_item *item = find_refused(s, refusal.seq, refusal.code);

        if (item != NULL)
            emit_refused(s, item, refusal.code, refusal.reason);
    }
    return found == 0;
}

/*
 * "The client drops what `lastSeq` covers … if `lastSeq` is null though publishes had been sent unacknowledged, those are *uncertain*: the
 * application is told, and decides" (PROTOCOL.md "Resume" 3).
 */
void hf_cs_outbox_renewed(struct hf_client_session *s, const struct hf_msg *m)
{
    bool has_last = (m->has & HF_HAS_LAST_SEQ) != 0;
    struct hf_client_session_event ev = {.type = HF_CSE_UNCERTAIN};
    struct hf_outbox_item *item;

    if (has_last) {
        if (!take_refusals(s, m))
            hf_cs_emit_error(s, HF_STR("bad_message"), HF_STR("refusals cannot be read"), HF_STR(""));
        settle(s, m->last_seq);
        hf_cs_drop_refused(s);
        refuse_oldest(s);
    }
    while (!has_last && (item = hf_outbox_pop(&s->outbox, UINT64_MAX)) != NULL) {
        ev.publish_id = item->publish_id;
        ev.channel = item->channel;
        ev.id = item->id;
        ev.payload = item->payload;
        ev.payload_raw = item->payload_raw;
        ev.completion = item->completion;
        if (item->refused)
            tell_inherited(s, item);
        else
            hf_cs_emit(s, &ev);
        free(item);
    }
    s->refuse_oldest = false;
    s->inherited = false;
    s->unsaved = true;
    hf_outbox_renewed(&s->outbox);
    hf_cs_drop_refused(s);
}
