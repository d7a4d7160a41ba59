/*
 * publish.c - from a client's `data` to the shard's owner and back: sequence, window, acks and nacks.
 */
#include "server/admission.h"
#include "server/hub_state.h"

#include "base/assert.h"
#include "wire/items.h"

#include <string.h>

const char *hf_refusal_reason(enum hf_code code)
{
    switch (code) {
    case HF_CODE_TOO_LARGE:
        return "the payload is larger than maxMessage, or than this channel's namespace takes";
    case HF_CODE_BAD_MESSAGE:
        return "the message was malformed";
    case HF_CODE_NOT_FOUND:
        return "no channel has this cid";
    case HF_CODE_LIMIT:
        return "the server holds as many channels as it may";
    case HF_CODE_RATE_LIMITED:
        return "this session publishes more than it may";
    case HF_CODE_FORBIDDEN:
        return hf_rules_reason(HF_RIGHT_PUBLISH);
    case HF_CODE_UNAVAILABLE:
        return "the application's backend, which is asked for this channel, cannot be reached";
    case HF_CODE_OVERLOADED:
        return "too many requests to the application's backend, which is asked for this channel, wait";
    case HF_CODE_INTERNAL:
        return "the application's backend, which is asked for this channel, gave no valid answer";
    default:
        return "refused";
    }
}

const char *hf_refusal_past_reason(const struct hf_hub *hub, enum hf_code code)
{
    bool by_us = code == HF_CODE_TOO_LARGE || code == HF_CODE_BAD_MESSAGE ||
                 hub->config->hooks.url[HF_HOOK_PUBLISH][0] == '\0';

    return by_us ? hf_refusal_reason(code)
                 : "it was refused when it came first; in which words is no longer known";
}

/* ---- Towards the shard ---- */

static enum hf_forward forward_here(struct hf_hub *hub, uint32_t shard, const struct hf_publish *p,
                                    uint64_t hash, struct hf_published *out)
{
    int err = hub->engine->ops->publish(hub->engine, shard, p, hash, hub->now, out);

    if (err == HF_ELIMIT)
        return HF_FORWARD_REFUSED;
    if (err == 0 && !out->repeated)
        hf_busy_count(&hub->busy, out->cid, HF_BUSY_PUBLISHES, 1);
    return err < 0 ? HF_FORWARD_WAIT : HF_FORWARD_DONE;
}

enum hf_forward hf_publish_forward(struct hf_hub *hub, const struct hf_publish *p, uint64_t token,
                                   uint64_t generation, struct hf_published *out)
{
    uint64_t hash = hf_channel_hash(p->channel);
    uint32_t shard = hf_channel_shard(hash, hub->shards), owner = hf_region_owner(hub->region, shard);
    struct hf_channel *channel = hf_channels_find(&hub->channels[shard], p->channel, hash);
    int err;

    if (owner == hub->slot) {
        err = hub->engine->ops->open(hub->engine, shard, p->channel, hash, hub->now, &channel);
        if (err < 0)
            return err == HF_ELIMIT ? HF_FORWARD_REFUSED : HF_FORWARD_WAIT;
        return forward_here(hub, shard, p, hash, out);
    }
    /* An owner refuses no publish: what could be refused is settled before it is sent, so that seq after seq is applied. */
    if (channel == NULL)
        return hf_exchange_open(hub, owner, p->channel, token) ? HF_FORWARD_OPENING : HF_FORWARD_WAIT;
    return hf_exchange_publish(hub, owner, p, token, generation) ? HF_FORWARD_SENT : HF_FORWARD_WAIT;
}

/* ---- Answers to the client ---- */

/* The offsets of an ack are put together in the hub's memory for lists. */
static struct hf_buf *begin_offsets(struct hf_conn *c)
{
    struct hf_buf *offsets = &c->hub->items;

    hf_buf_reset(offsets);
    hf_items_begin(offsets, hf_conn_encoding(c), HF_ITEMS_ARRAY);
    return offsets;
}

static void send_offsets(struct hf_conn *c, struct hf_msg *ack, struct hf_buf *offsets)
{
    hf_items_end(offsets, hf_conn_encoding(c), HF_ITEMS_ARRAY);
    ack->encoding = hf_conn_encoding(c);
    ack->offsets = hf_buf_str(offsets);
    if (offsets->failed)
        hf_conn_drop(c, HF_CLOSE_INTERNAL);
    else
        hf_conn_send(c, ack);
}

static void send_ack(struct hf_conn *c, const struct hf_msg *about, const struct hf_published *result)
{
    struct hf_buf *offsets = begin_offsets(c);
    struct hf_msg ack = {.type = HF_MSG_ACK,
                         .has = HF_HAS_OFFSETS | (about->has & (HF_HAS_SEQ | HF_HAS_ID)),
                         .seq = about->seq,
                         .id = about->id};

    hf_items_put_offset(offsets, hf_conn_encoding(c), result->offset);
    send_offsets(c, &ack, offsets);
}

static void send_nack(struct hf_conn *c, uint32_t has, uint64_t seq, struct hf_str id, enum hf_code code,
                      const char *reason)
{
    struct hf_msg nack = {.type = HF_MSG_NACK,
                          .has = has | HF_HAS_CODE | HF_HAS_REASON,
                          .seq = seq,
                          .id = id,
                          .code = hf_str_from(hf_code_name(code)),
                          .reason = hf_str_from(reason)};

    hf_conn_send(c, &nack);
}

/* What the window holds of a refused publish: its code, and behind it the place of its reason, if that is another than the code's own. */
enum { CODE_BITS = 8 };

static uint64_t window_refusal(struct hf_conn *c, uint64_t seq, enum hf_code code, const char *reason)
{
    uint64_t place = strcmp(reason, hf_refusal_reason(code)) == 0
                         ? 0
                         : hf_reasons_put(&c->hub->reasons, c->serial, seq, reason);

    return HF_WINDOW_REFUSED | place << CODE_BITS | (uint64_t)code;
}

static void send_refusal(struct hf_conn *c, uint64_t seq, uint64_t refusal)
{
    enum hf_code code = (enum hf_code)(refusal & ((1u << CODE_BITS) - 1));
    uint32_t place = (uint32_t)((refusal & ~HF_WINDOW_REFUSED) >> CODE_BITS);
    const char *reason = hf_reasons_get(&c->hub->reasons, place, c->serial, seq);

    send_nack(c, HF_HAS_SEQ, seq, (struct hf_str){0}, code,
              reason != NULL ? reason : hf_refusal_reason(code));
}

/*
 * Acks are cumulative: what is done leaves in the order of seq, one ack for all that is ready in this turn. The session's record is
 * brought up to date before the client can read of it.
 */
void hf_publish_ack(struct hf_conn *c)
{
    struct hf_msg ack = {.type = HF_MSG_ACK, .has = HF_HAS_SEQ | HF_HAS_OFFSETS};
    struct hf_buf *offsets;
    uint64_t offset;

    c->acks_due = false;
    if (c->session == NULL || !hf_window_ready(&c->window))
        return;
    offsets = begin_offsets(c);
    while (c->session != NULL && hf_window_pop(&c->window, &ack.seq, &offset)) {
        hf_items_put_offset(offsets, hf_conn_encoding(c),
                            offset & (HF_WINDOW_REFUSED | HF_WINDOW_UNKNOWN) ? 0 : offset);
        atomic_store(&c->session->last_seq, ack.seq);
        if (offset & HF_WINDOW_REFUSED) /* "A nack comes before the ack that covers it." */
            send_refusal(c, ack.seq, offset);
    }
    if (c->phase == HF_CONN_OPEN)
        send_offsets(c, &ack, offsets);
    if (c->too_big && c->phase == HF_CONN_OPEN && hf_window_count(&c->window) == 0)
        hf_conn_close(c, HF_CLOSE_TOO_BIG, "the message is larger than the server takes");
}

static void window_answer(struct hf_conn *c, uint64_t seq, uint64_t offset)
{
    hf_window_done(&c->window, seq, offset);
    c->acks_due = true;
    hf_conn_due(c);
}

static uint64_t window_offset(const struct hf_published *result)
{
    return result->offset == 0 ? HF_WINDOW_UNKNOWN : result->offset;
}

/* ---- Refusals ---- */

static void count_refusal(struct hf_conn *c, enum hf_code code)
{
    hf_count(c->hub->counters, HF_COUNT_PUBLISHES_REFUSED, 1);
    if (code == HF_CODE_RATE_LIMITED)
        hf_count(c->hub->counters, HF_COUNT_PUBLISHES_RATE_LIMITED, 1);
}

/*
 * The session's record keeps its last HF_REFUSALS_MAX refusals, and the next one takes the place of the oldest. One that the client has not been told of must
 * not go: after a resume its publish would be acknowledged as one that was applied. Returns its seq, or 0 where there is room.
 */
static uint64_t refusal_in_the_way(const struct hf_conn *c)
{
    uint64_t seq;
    uint8_t code;

    if (atomic_load(&c->session->refused) < HF_REFUSALS_MAX ||
        !hf_session_refusal(&c->hub->sessions, c->session, 0, &seq, &code))
        return 0;
    return seq >= c->window.first_seq ? seq : 0;
}

/* The publish is neither applied nor refused: the client sends it again when it has come back. */
static void no_room_for_refusal(struct hf_conn *c)
{
    hf_conn_close(c, HF_CLOSE_TRY_AGAIN_LATER, "the server has no room to note another refused publish");
}

/* In shared memory first: whoever takes the session over knows that this seq is done. */
static void record_refusal(struct hf_conn *c, uint64_t seq, enum hf_code code, const char *reason)
{
    if (hf_session_refuse(&c->hub->sessions, c->session, seq, (uint8_t)code, c->hub->now.mono_ms) < 0) {
        no_room_for_refusal(c);
        return;
    }
    count_refusal(c, code);
    window_answer(c, seq, window_refusal(c, seq, code, reason));
}

/* The channel was forgotten while the publish was on its way, and there is no room for it any more; or nobody knows its name. */
static void refused_by_owner(struct hf_conn *c, uint64_t seq, struct hf_str id, enum hf_code code)
{
    if (seq == 0) {
        count_refusal(c, code);
        send_nack(c, HF_HAS_ID, 0, id, code, hf_refusal_reason(code));
    } else if (refusal_in_the_way(c) != 0) {
        no_room_for_refusal(c); /* The message is no longer here, and cannot wait. */
    } else {
        record_refusal(c, seq, code, hf_refusal_reason(code));
    }
}

void hf_publish_answered(struct hf_hub *hub, uint64_t session, uint64_t generation, uint64_t seq,
                         struct hf_str id, uint64_t token, int err, const struct hf_published *result)
{
    struct hf_conn *c =
        seq != 0 ? hf_conns_by_session(&hub->conns, session) : hf_conns_by_serial(&hub->conns, token);

    if (c == NULL || c->phase != HF_CONN_OPEN)
        return; /* It has gone; its session's record says what was applied. */
    if (seq != 0 && c->generation != generation)
        return;
    if (err < 0)
        refused_by_owner(c, seq, id, err == HF_ENOTFOUND ? HF_CODE_NOT_FOUND : HF_CODE_LIMIT);
    else if (seq == 0)
        send_ack(c, &(struct hf_msg){.has = HF_HAS_ID, .id = id}, result);
    else
        window_answer(c, seq, window_offset(result));
}

/* ---- A client's publish ---- */

enum sequence { SEQUENCE_NEXT, SEQUENCE_WAIT, SEQUENCE_ANSWERED };

/* "The next seq is always answered …; one applied already by ack again; one beyond the next by error bad_seq with expected" */
static enum sequence take_seq(struct hf_conn *c, const struct hf_msg *m)
{
    uint64_t next = hf_window_next_seq(&c->window);

    if (m->seq > next) {
        struct hf_msg error = {.type = HF_MSG_ERROR,
                               .has = HF_HAS_CODE | HF_HAS_REASON | HF_HAS_RE | HF_HAS_EXPECTED,
                               .code = hf_str_from(hf_code_name(HF_CODE_BAD_SEQ)),
                               .reason = HF_STR("this is not the session's next publish"),
                               .re = HF_STR("data"),
                               .expected = next};

        hf_conn_send(c, &error);
        return SEQUENCE_ANSWERED;
    }
    if (m->seq < next) {
        if (m->seq < c->window.first_seq) /* Else its answer is under way. */
            send_ack(c, &(struct hf_msg){.has = HF_HAS_SEQ, .seq = m->seq}, &(struct hf_published){0});
        return SEQUENCE_ANSWERED;
    }
    if (hf_window_add(&c->window, c->hub->config->inflight_max) < 0)
        return SEQUENCE_WAIT;
    hf_session_take_seq(c->session, m->seq);
    return SEQUENCE_NEXT;
}

/* Whether an earlier connection of the session has taken this publish: it was forwarded then, or refused. */
static bool taken_before(const struct hf_conn *c, const struct hf_msg *m)
{
    return (m->has & HF_HAS_SEQ) && m->seq == hf_window_next_seq(&c->window) &&
           m->seq <= hf_session_taken_seq(c->session);
}

/*
 * A publish that an earlier connection refused, whose answer waited behind others and was lost, comes again: its refusal stands. Those behind it may be
 * applied already, and then its shard would take it for a repeated one, and have it acknowledged without its being in the log.
 */
static enum hf_code refused_before(const struct hf_conn *c, const struct hf_msg *m)
{
    uint64_t seq;
    uint8_t code;

    if (!taken_before(c, m))
        return HF_CODE_NONE;
    for (uint32_t i = 0; hf_session_refusal(&c->hub->sessions, c->session, i, &seq, &code); i++)
        if (seq == m->seq)
            return (enum hf_code)code;
    return HF_CODE_NONE;
}

static void refuse_unnumbered(struct hf_conn *c, const struct hf_msg *m, enum hf_code code,
                              const char *reason)
{
    count_refusal(c, code);
    if (m->has & HF_HAS_ID)
        send_nack(c, HF_HAS_ID, 0, m->id, code, reason);
    else
        hf_send_error(c, m, code, reason);
}

bool hf_publish_refuse(struct hf_conn *c, const struct hf_msg *m, enum hf_code code, const char *reason,
                       bool seq_added)
{
    bool is_next = seq_added || m->seq == hf_window_next_seq(&c->window);
    enum hf_code before;
    uint64_t in_the_way;

    if (!(m->has & HF_HAS_SEQ)) {
        refuse_unnumbered(c, m, code, reason);
        return true;
    }
    before = seq_added ? HF_CODE_NONE : refused_before(c, m);
    in_the_way = is_next && before == HF_CODE_NONE ? refusal_in_the_way(c) : 0;
    if (in_the_way > m->seq) { /* That is told only after this one: to wait for it would be for ever. */
        no_room_for_refusal(c);
        return true;
    }
    if (in_the_way != 0)
        return false;
    if (!seq_added) {
        enum sequence sequence = take_seq(c, m);

        if (sequence != SEQUENCE_NEXT)
            return sequence == SEQUENCE_ANSWERED;
    }
    if (before != HF_CODE_NONE) /* It stands in the record, and would push another one out. */
        window_answer(c, m->seq, window_refusal(c, m->seq, before, hf_refusal_past_reason(c->hub, before)));
    else
        record_refusal(c, m->seq, code, reason);
    return true;
}

static struct hf_publish publish_of(const struct hf_conn *c, const struct hf_msg *m)
{
    return (struct hf_publish){.channel = m->channel,
                               .payload = m->payload,
                               .raw = m->payload_raw,
                               .id = m->has & HF_HAS_ID ? m->id : (struct hf_str){0},
                               .from = hf_identity_user(c->identity),
                               .has_timestamp = (m->has & HF_HAS_TIMESTAMP) != 0,
                               .timestamp = m->timestamp,
                               .session = m->has & HF_HAS_SEQ ? c->session->number : 0,
                               .seq = m->has & HF_HAS_SEQ ? m->seq : 0,
                               .received_us = hf_now_us(c->hub->now)};
}

static void applied_here(struct hf_conn *c, const struct hf_msg *m, const struct hf_published *result)
{
    if (m->has & HF_HAS_SEQ)
        window_answer(c, m->seq, window_offset(result));
    else if (m->has & HF_HAS_ID)
        send_ack(c, m, result);
}

/*
 * Only what would be applied now is judged by the rules: not a repeated seq or one beyond the next, not one that finds the window full and comes again, and not one that waits
 * for room already.
 */
static bool is_fresh(const struct hf_conn *c, const struct hf_msg *m, const struct hf_stall *stall,
                     bool seq_added)
{
    return m->has & HF_HAS_SEQ ? !seq_added && m->seq == hf_window_next_seq(&c->window) &&
                                     hf_window_count(&c->window) < c->hub->config->inflight_max
                               : stall == NULL;
}

/* What the backend says of a publish that the rules leave to it. */
static enum hf_code ask_backend(struct hf_conn *c, const struct hf_msg *m, const char **reason, bool *wait)
{
    enum hf_code code = HF_CODE_NONE;

    *wait = hf_hooks_ask(c, HF_HOOK_PUBLISH, m, &code, reason) == HF_ASKED_WAIT;
    return code;
}

/* Why it is refused; HF_CODE_NONE: it is not, or has to wait for the backend. *reason is set only where that is not the code's own; borrowed from the stall. */
static enum hf_code refusal_of(struct hf_conn *c, const struct hf_msg *m, const struct hf_stall *stall,
                               bool seq_added, const char **reason, bool *wait)
{
    enum hf_code code;
    bool ask = false;

    if (m->payload.len > c->hub->config->message_bytes_max)
        return HF_CODE_TOO_LARGE;
    if (stall != NULL && stall->open_err < 0)
        return HF_CODE_LIMIT;
    if (stall != NULL && stall->judged) { /* It has had its tokens of the rates. */
        *reason = stall->reason;
        return stall->refused;
    }
    if (!is_fresh(c, m, stall, seq_added))
        return HF_CODE_NONE;
    /* What an earlier connection has taken has had its tokens of the rates. Whether this is the same publish only its sender knows. */
    code = taken_before(c, m) ? hf_rules_publish_right(c, m, &ask) : hf_rules_publish(c, m, &ask);
    return ask && code == HF_CODE_NONE ? ask_backend(c, m, reason, wait) : code;
}

/*
 * A publish that an earlier connection has taken and that is not allowed now: if its shard has applied it, it is acknowledged; else it is refused. Its seq is added only when nothing is left to wait
 * for, so that it comes back here where something is. Returns as hf_publish_data().
 */
static bool refuse_unless_applied(struct hf_conn *c, const struct hf_msg *m, enum hf_code code,
                                  const char *reason)
{
    struct hf_hub *hub = c->hub;
    uint32_t shard = hf_channel_shard(hf_channel_hash(m->channel), hub->shards);
    uint32_t owner = hf_region_owner(hub->region, shard);
    struct hf_publish p = {.cid = hf_cid_of_shard(shard),
                           .session = c->session->number,
                           .seq = m->seq}; /* No name: a question. */
    struct hf_published result;

    if (hf_window_count(&c->window) >= hub->config->inflight_max)
        return false;
    if (owner != hub->slot) {
        if (!hf_exchange_publish(hub, owner, &p, c->serial, c->generation))
            return false;
    } else if (hub->engine->ops->publish(hub->engine, shard, &p, 0, hub->now, &result) < 0) {
        return hf_publish_refuse(c, m, code, reason, false);
    }
    if (take_seq(c, m) != SEQUENCE_NEXT)
        hf_conn_close(c, HF_CLOSE_TRY_AGAIN_LATER, "the server is short of memory");
    else if (owner == hub->slot)
        applied_here(c, m, &result);
    return true;
}

bool hf_publish_data(struct hf_conn *c, const struct hf_msg *m, struct hf_stall *stall, bool *seq_added,
                     bool *opening)
{
    struct hf_publish p = publish_of(c, m);
    struct hf_published result;
    enum hf_code code, before;
    const char *reason = NULL;
    bool wait = false;

    *seq_added = stall != NULL && stall->seq_added;
    *opening = false;
    before = *seq_added ? HF_CODE_NONE : refused_before(c, m);
    code = before;
    if (code == HF_CODE_NONE)
        code = refusal_of(c, m, stall, *seq_added, &reason, &wait);
    if (wait)
        return false;
    if (reason == NULL)
        reason = hf_refusal_reason(code);
    if (code != HF_CODE_NONE && before == HF_CODE_NONE && !*seq_added && taken_before(c, m) &&
        m->payload.len <= c->hub->config->message_bytes_max) /* Beyond it it is another one. */
        return refuse_unless_applied(c, m, code, reason);
    if (code != HF_CODE_NONE)
        return hf_publish_refuse(c, m, code, reason, *seq_added);
    if ((m->has & HF_HAS_SEQ) && !*seq_added) {
        enum sequence sequence = take_seq(c, m);

        if (sequence != SEQUENCE_NEXT)
            return sequence == SEQUENCE_ANSWERED;
        *seq_added = true;
    }
    switch (hf_publish_forward(c->hub, &p, c->serial, c->generation, &result)) {
    case HF_FORWARD_DONE:
        applied_here(c, m, &result);
        return true;
    case HF_FORWARD_SENT:
        return true;
    case HF_FORWARD_REFUSED:
        return hf_publish_refuse(c, m, HF_CODE_LIMIT, hf_refusal_reason(HF_CODE_LIMIT), *seq_added);
    case HF_FORWARD_OPENING:
        *opening = true;
        return false;
    case HF_FORWARD_WAIT:
        break;
    }
    return false;
}

/* Of a publish whose channel has no name any more: whether its shard has applied it. Returns as hf_publish_data(). */
static bool ask_shard(struct hf_conn *c, const struct hf_msg *m, hf_cid cid, bool *seq_added)
{
    struct hf_hub *hub = c->hub;
    struct hf_publish p = {.cid = cid, .session = c->session->number, .seq = m->seq};
    uint32_t shard = hf_cid_shard(cid), owner = hf_region_owner(hub->region, shard);
    struct hf_published result;

    if (!*seq_added) {
        enum sequence sequence = take_seq(c, m);

        if (sequence != SEQUENCE_NEXT)
            return sequence == SEQUENCE_ANSWERED;
        *seq_added = true;
    }
    if (owner != hub->slot)
        return hf_exchange_publish(hub, owner, &p, c->serial, c->generation);
    if (hub->engine->ops->publish(hub->engine, shard, &p, 0, hub->now, &result) < 0)
        return hf_publish_refuse(c, m, HF_CODE_NOT_FOUND, hf_refusal_reason(HF_CODE_NOT_FOUND), true);
    applied_here(c, m, &result);
    return true;
}

bool hf_publish_unnamed(struct hf_conn *c, const struct hf_msg *m, hf_cid cid, bool *seq_added)
{
    bool may_be_applied = *seq_added || (taken_before(c, m) && refused_before(c, m) == HF_CODE_NONE);

    if (may_be_applied && hf_cid_shard(cid) < c->hub->shards)
        return ask_shard(c, m, cid, seq_added);
    return hf_publish_refuse(c, m, HF_CODE_NOT_FOUND, hf_refusal_reason(HF_CODE_NOT_FOUND), *seq_added);
}
