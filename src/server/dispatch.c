/*
 * dispatch.c - what each message of a client does. PROTOCOL.md "Client to server".
 */
#include "server/hub_state.h"

#include "base/assert.h"
#include "server/history.h"
#include "server/presence.h"
#include "server/token.h"
#include "wire/items.h"
#include "wire/json.h"

#include <string.h>

enum {
    ACK_ID_SEARCH = 4096, /* messages looked through for an ackId: more than history holds by default */
    HISTORY_LIMIT = 100,  /* "limit (100, at most 1,000)" */
    HISTORY_LIMIT_MAX = 1000,
};

/* ---- Answers ---- */

void hf_send_error(struct hf_conn *c, const struct hf_msg *about, enum hf_code code, const char *reason)
{
    struct hf_msg m = {.type = HF_MSG_ERROR,
                       .has = HF_HAS_CODE | HF_HAS_REASON | HF_HAS_RE |
                              (about->has & (HF_HAS_ID | HF_HAS_CHANNEL)),
                       .code = hf_str_from(hf_code_name(code)),
                       .reason = hf_str_from(reason),
                       .re = hf_str_from(hf_msg_name(about->type)),
                       .id = about->id,
                       .channel = about->channel};

    if (about->type == HF_MSG_NONE)
        m.has &= ~(uint32_t)HF_HAS_RE;
    if (c->phase == HF_CONN_OPEN)
        hf_conn_send(c, &m);
}

/* ---- Subscribe ---- */

enum found { FOUND, FOUND_OPENING, FOUND_WAIT, FOUND_LIMIT };

/*
 * The topic of a channel by name, which is made where it does not exist. asks: its owner is asked to make it, and the answer is for what c has stalled; else it is left to the caller
 * (FOUND_WAIT).
 */
static enum found find_or_open(struct hf_conn *c, struct hf_str name, bool asks, struct hf_topic **out)
{
    struct hf_hub *hub = c->hub;
    uint64_t hash = hf_channel_hash(name);
    uint32_t shard = hf_channel_shard(hash, hub->shards), owner = hf_region_owner(hub->region, shard);
    struct hf_channel *channel = hf_channels_find(&hub->channels[shard], name, hash);
    int err = 0;

    if (channel == NULL && owner == hub->slot)
        err = hub->engine->ops->open(hub->engine, shard, name, hash, hub->now, &channel);
    if (err == HF_ELIMIT)
        return FOUND_LIMIT;
    if (channel == NULL && owner != hub->slot)
        return asks && hf_exchange_open(hub, owner, name, c->serial) ? FOUND_OPENING : FOUND_WAIT;
    if (channel == NULL || hf_topic_get(hub, atomic_load(&channel->cid), out) < 0)
        return FOUND_WAIT;
    if (!hf_str_eq(hf_topic_name(*out), name)) { /* The owner gave its place to another channel meanwhile. */
        hf_topic_release_idle(hub, *out);
        return FOUND_WAIT;
    }
    return FOUND;
}

static void send_gap(struct hf_conn *c, const struct hf_sub *s, enum hf_code code, uint64_t from, uint64_t to)
{
    char epoch[32];
    struct hf_msg m = {.type = HF_MSG_GAP,
                       .has = HF_HAS_CHANNEL | HF_HAS_EPOCH | HF_HAS_CODE,
                       .channel = hf_topic_name(s->topic),
                       .cid = hf_cid_to_wire(s->topic->cid),
                       .code = hf_str_from(hf_code_name(code)),
                       .from = from,
                       .to = to};

    if (code != HF_CODE_EPOCH)
        m.has |= HF_HAS_FROM | HF_HAS_TO;
    m.epoch = (struct hf_str){epoch, hf_region_epoch(c->hub->region, s->topic->cid, epoch)};
    hf_count(c->hub->counters, code == HF_CODE_EPOCH ? HF_COUNT_GAP_EPOCH : HF_COUNT_GAP_EVICTED,
             code == HF_CODE_EPOCH ? 1 : to - from + 1);
    hf_journal_gap(c, code == HF_CODE_EPOCH ? 0 : to - from + 1);
    hf_conn_send(c, &m);
}

static void send_subscribed(struct hf_conn *c, const struct hf_sub *s, uint64_t head, bool recovered)
{
    char epoch[32];
    struct hf_msg m = {.type = HF_MSG_SUBSCRIBED,
                       .has = HF_HAS_CHANNEL | HF_HAS_EPOCH | HF_HAS_OFFSET,
                       .channel = hf_topic_name(s->topic),
                       .cid = hf_cid_to_wire(s->topic->cid),
                       .offset = head,
                       .recovered = recovered};

    m.epoch = (struct hf_str){epoch, hf_region_epoch(c->hub->region, s->topic->cid, epoch)};
    hf_conn_send(c, &m);
}

/* To one who may not read the history it is empty. */
static uint64_t oldest_for(struct hf_conn *c, const struct hf_topic *t, uint64_t head)
{
    return hf_rules_allow(c, HF_RIGHT_HISTORY, hf_topic_name(t))
               ? hf_history_oldest(c->hub, t->channel, t->cid)
               : head + 1;
}

static struct hf_start_request start_request(struct hf_conn *c, const struct hf_msg *m,
                                             const struct hf_topic *t, bool latest)
{
    struct hf_start_request r = {.head = atomic_load(&t->channel->head)};
    char epoch[32];

    r.oldest = r.head + 1;
    if (m->has & HF_HAS_SINCE) {
        r.from = HF_START_SINCE;
        r.offset = m->since_offset;
        r.same_epoch =
            hf_str_eq(m->epoch, (struct hf_str){epoch, hf_region_epoch(c->hub->region, t->cid, epoch)});
        r.oldest = oldest_for(c, t, r.head);
    } else if (m->has & HF_HAS_LAST) {
        r.from = HF_START_LAST;
        r.last = m->last;
        r.oldest = oldest_for(c, t, r.head);
    } else if (latest) {
        r.from = HF_START_LATEST;
        /* Of the first message the record is known before the head. */
        if (r.head > 0 && hf_log_at(&c->hub->logs[t->shard], atomic_load(&t->channel->newest)) != NULL)
            r.oldest = r.head;
    }
    /* What was appended since head was read is newer than it. */
    if (r.oldest > r.head + 1)
        r.oldest = r.head + 1;
    return r;
}

static void start(struct hf_conn *c, struct hf_sub *s, const struct hf_start_request *r)
{
    struct hf_start_outcome outcome = hf_cursor_start(&s->cursor, r);

    s->last_ref = 0;
    s->catching_up = s->cursor.next_offset <= r->head;
    atomic_store(&s->cell->acked, s->cursor.next_offset - 1);
    hf_sub_due(s);
    /* Without memory for what it must be told the connection ends, and the subscription with it. */
    send_subscribed(c, s, r->head, outcome.recovered);
    if (outcome.new_epoch && c->phase == HF_CONN_OPEN)
        send_gap(c, s, HF_CODE_EPOCH, 0, 0);
    if (outcome.gap_from > 0 && c->phase == HF_CONN_OPEN)
        send_gap(c, s, HF_CODE_EVICTED, outcome.gap_from, outcome.gap_to);
}

/* "presence?: join and leave are told to subscribers that asked for presence events" */
static void watch(struct hf_sub *s, bool on)
{
    if (on)
        hf_presence_watch(s);
    else
        hf_presence_unwatch(s);
}

/* "Again on a subscribed channel: since or last move the cursor, mode and presence are replaced" */
static void subscribe_again(struct hf_conn *c, const struct hf_msg *m, struct hf_sub *s)
{
    struct hf_start_request r;

    if (m->has & HF_HAS_PRESENCE) {
        uint64_t cid = atomic_load(&s->cell->cid) & ~HF_SUB_PRESENCE;

        atomic_store(&s->cell->cid, cid | (m->presence ? HF_SUB_PRESENCE : 0));
    }
    if (m->has & HF_HAS_MODE) {
        uint64_t cid = atomic_load(&s->cell->cid) & ~HF_SUB_LATEST;

        s->latest = m->mode == HF_MODE_LATEST;
        atomic_store(&s->cell->cid, cid | (s->latest ? HF_SUB_LATEST : 0));
    }
    if (m->has & (HF_HAS_SINCE | HF_HAS_LAST)) {
        r = start_request(c, m, s->topic, s->latest);
        start(c, s, &r);
    } else {
        send_subscribed(c, s, atomic_load(&s->topic->channel->head), true);
    }
    if (c->phase == HF_CONN_OPEN && (m->has & HF_HAS_PRESENCE))
        watch(s, m->presence);
}

/* flags: HF_SUB_LATEST and its kin */
static struct hf_sub *add_sub(struct hf_conn *c, struct hf_topic *t, uint64_t flags)
{
    struct hf_hub *hub = c->hub;
    struct hf_session_sub *cell =
        hf_session_sub_add(&hub->sessions, c->session, t->cid | flags | (c->granting ? HF_SUB_GRANTED : 0),
                           atomic_load(&t->channel->head), hub->now.mono_ms);
    struct hf_sub *s = cell == NULL ? NULL : hf_sub_add(c, t, cell, (flags & HF_SUB_LATEST) != 0);

    if (s == NULL && cell != NULL)
        hf_session_sub_remove(cell);
    if (s == NULL)
        hf_topic_release_idle(hub, t);
    else
        hf_presence_changed(hub, t->channel, t->cid, c->session->number);
    return s;
}

/* Tell a client that it lacks a right. */
static void send_forbidden(struct hf_conn *c, const struct hf_msg *about, enum hf_right right)
{
    hf_rules_count_refusal(c->hub, right);
    hf_send_error(c, about, HF_CODE_FORBIDDEN, hf_rules_reason(right));
}

/* Whether the backend allows a subscription; REFUSED: the client was told. */
static enum hf_asked ask_backend(struct hf_conn *c, const struct hf_msg *m)
{
    const char *reason;
    enum hf_code code;
    enum hf_asked asked = hf_hooks_ask(c, HF_HOOK_SUBSCRIBE, m, &code, &reason);

    if (asked == HF_ASKED_REFUSED)
        hf_send_error(c, m, code, reason);
    return asked;
}

/* Whether a subscription may be made, or made anew; REFUSED: the client was told. A standing one is ended when it may no longer be, and what the backend gives needs no right. */
static enum hf_asked may_subscribe(struct hf_conn *c, const struct hf_msg *m, const struct hf_sub *standing)
{
    enum hf_verdict verdict =
        standing != NULL || c->granting ? HF_ALLOW : hf_rules_judge(c, HF_RIGHT_SUBSCRIBE, m->channel);

    if (verdict == HF_DENY) {
        send_forbidden(c, m, HF_RIGHT_SUBSCRIBE);
        return HF_ASKED_REFUSED;
    }
    if ((m->has & HF_HAS_LAST) && !hf_rules_allow(c, HF_RIGHT_HISTORY, m->channel)) {
        send_forbidden(c, m, HF_RIGHT_HISTORY);
        return HF_ASKED_REFUSED;
    }
    if (m->presence && !hf_rules_allow(c, HF_RIGHT_PRESENCE, m->channel)) {
        send_forbidden(c, m, HF_RIGHT_PRESENCE);
        return HF_ASKED_REFUSED;
    }
    return verdict == HF_ASK_BACKEND ? ask_backend(c, m) : HF_ASKED_ALLOWED;
}

/* Returns false where it must wait: for room, for the backend, or (*opening) for the owner's answer. */
static bool subscribe(struct hf_conn *c, const struct hf_msg *m, bool *opening)
{
    struct hf_sub *s = hf_sub_find(c, m->channel);
    struct hf_start_request r;
    struct hf_topic *t;
    bool latest;

    switch (may_subscribe(c, m, s)) {
    case HF_ASKED_ALLOWED:
        break;
    case HF_ASKED_REFUSED:
        return true;
    case HF_ASKED_WAIT:
        return false;
    }
    if (s != NULL) {
        subscribe_again(c, m, s);
        return true;
    }
    if (c->sub_count >= c->hub->config->session_subscriptions_max) {
        hf_count(c->hub->counters, HF_COUNT_SUBSCRIPTIONS_REFUSED_SESSION, 1);
        hf_send_error(c, m, HF_CODE_LIMIT, "the session has as many subscriptions as it may");
        return true;
    }
    switch (find_or_open(c, m->channel, true, &t)) {
    case FOUND:
        break;
    case FOUND_OPENING:
        *opening = true;
        return false;
    case FOUND_WAIT:
        return false;
    case FOUND_LIMIT:
        hf_count(c->hub->counters, HF_COUNT_SUBSCRIPTIONS_REFUSED_CHANNELS, 1);
        hf_send_error(c, m, HF_CODE_LIMIT, "the server holds as many channels as it may");
        return true;
    }
    latest = m->has & HF_HAS_MODE ? m->mode == HF_MODE_LATEST : hf_rules_latest(c->hub, m->channel);
    s = add_sub(c, t, (latest ? HF_SUB_LATEST : 0) | (m->presence ? HF_SUB_PRESENCE : 0));
    if (s == NULL) {
        hf_send_error(c, m, HF_CODE_LIMIT, "the server has no memory for another subscription");
        return true;
    }
    r = start_request(c, m, t, latest);
    start(c, s, &r);
    if (c->phase == HF_CONN_OPEN && m->presence)
        hf_presence_watch(s);
    return true;
}

static void end_sub(struct hf_sub *s)
{
    struct hf_conn *c = s->conn;

    hf_conn_told(c, s->topic->cid); /* Until it hears of the end it may go on to use it. */
    hf_session_sub_remove(s->cell);
    hf_presence_changed(c->hub, s->topic->channel, s->topic->cid, c->session->number);
    hf_sub_remove(s);
}

static void unsubscribe(struct hf_conn *c, const struct hf_msg *m)
{
    struct hf_sub *s = hf_sub_find(c, m->channel);

    if (s != NULL)
        end_sub(s);
    hf_conn_send(c,
                 &(struct hf_msg){.type = HF_MSG_UNSUBSCRIBED, .has = HF_HAS_CHANNEL, .channel = m->channel});
}

/* ---- By the backend's wish ---- */

int hf_dispatch_grant(struct hf_conn *c, struct hf_str channel)
{
    struct hf_msg m = {.type = HF_MSG_SUBSCRIBE, .has = HF_HAS_CHANNEL, .channel = channel};
    struct hf_start_request r;
    struct hf_topic *t;
    struct hf_sub *s = hf_sub_find(c, channel);
    bool latest = hf_rules_latest(c->hub, channel);

    if (s != NULL) {
        atomic_store(&s->cell->cid, atomic_load(&s->cell->cid) | HF_SUB_GRANTED);
        return 0;
    }
    if (c->sub_count >= c->hub->config->session_subscriptions_max)
        return HF_ELIMIT;
    /* Whoever ordered it has the channel made; an answer to us would be taken for one to what c has stalled. */
    switch (find_or_open(c, channel, false, &t)) {
    case FOUND:
        break;
    case FOUND_LIMIT:
        return HF_ELIMIT;
    default:
        return HF_EAGAIN;
    }
    s = add_sub(c, t, HF_SUB_GRANTED | (latest ? HF_SUB_LATEST : 0));
    if (s == NULL)
        return HF_ELIMIT;
    r = start_request(c, &m, t, latest);
    start(c, s, &r);
    return 0;
}

/* "unsubscribed: with code where the server decided" */
int hf_dispatch_revoke(struct hf_conn *c, struct hf_str channel)
{
    struct hf_sub *s = hf_sub_find(c, channel);

    if (s == NULL)
        return HF_ENOTFOUND;
    end_sub(s);
    hf_conn_send(c, &(struct hf_msg){.type = HF_MSG_UNSUBSCRIBED,
                                     .has = HF_HAS_CHANNEL | HF_HAS_CODE | HF_HAS_REASON,
                                     .channel = channel,
                                     .code = hf_str_from(hf_code_name(HF_CODE_FORBIDDEN)),
                                     .reason = HF_STR("ended by the backend")});
    return 0;
}

/* ---- Acknowledgements ---- */

/* cid: as the client has it; 0: by name */
static struct hf_sub *acked_sub(const struct hf_conn *c, struct hf_str channel, uint64_t cid)
{
    return cid != 0 ? hf_sub_of_cid(c, hf_cid_of_wire(cid)) : hf_sub_find(c, channel);
}

static void acknowledge(struct hf_conn *c, struct hf_sub *s, uint64_t offset)
{
    uint64_t acked;

    if (s != NULL) {
        acked = atomic_load(&s->cell->acked);
        if (hf_cursor_ack(&s->cursor, offset, &acked)) {
            atomic_store(&s->cell->acked, acked);
            return;
        }
    }
    hf_count(c->hub->counters, HF_COUNT_ACKS_IGNORED, 1);
}

/* The offset in an id of the form that we give: epoch-offset. */
static bool offset_of_default_id(const struct hf_sub *s, struct hf_str id, uint64_t *offset)
{
    char epoch[32];
    size_t len = hf_region_epoch(s->conn->hub->region, s->topic->cid, epoch);

    return id.len > len + 1 && memcmp(id.data, epoch, len) == 0 && id.data[len] == '-' &&
           hf_json_u53((struct hf_str){id.data + len + 1, id.len - len - 1}, offset) == 0;
}

/*
 * "ackId (a received message's id) may stand in place of offset": looked for among what was sent and is not acknowledged. An ack of six bytes may ask for a long search, so
 * a turn has so many steps for all of them together; what comes behind them is as if it were not found, and the next ack makes good for it.
 */
static bool offset_of_id(const struct hf_sub *s, struct hf_str id, uint64_t *offset)
{
    struct hf_hub *hub = s->conn->hub;
    struct hf_log *log = &hub->logs[s->topic->shard];
    hf_ref ref;
    struct hf_record *r;

    if (offset_of_default_id(s, id, offset))
        return true;
    if (hub->search_left == 0)
        return false;
    hub->search_left--; /* To find the first one costs as well. */
    r = hf_log_find(log, atomic_load(&s->topic->channel->newest), atomic_load(&s->cell->acked) + 1, &ref);
    for (int looked = 0;
         r != NULL && r->offset <= s->cursor.sent_offset && looked < ACK_ID_SEARCH && hub->search_left > 0;
         looked++, hub->search_left--) {
        if (hf_str_eq((struct hf_str){(const char *)r + r->id_at, r->id_len}, id)) {
            *offset = r->offset;
            return true;
        }
        r = hf_log_at(log, atomic_load_explicit(&r->next, memory_order_acquire));
    }
    return false;
}

static void ack(struct hf_conn *c, const struct hf_msg *m)
{
    struct hf_sub *s = acked_sub(c, m->channel, m->cid);
    uint64_t offset = m->offset;

    if (m->has & HF_HAS_OFFSET || (s != NULL && offset_of_id(s, m->ack_id, &offset)))
        acknowledge(c, s, offset);
    else
        hf_count(c->hub->counters, HF_COUNT_ACKS_IGNORED, 1);
}

static void pong(struct hf_conn *c, const struct hf_msg *m)
{
    struct hf_items acks = hf_items(m, m->acks);
    struct hf_items_ack ack;

    if (!(m->has & HF_HAS_ACKS))
        return;
    while (hf_items_ack(&acks, &ack))
        acknowledge(c, acked_sub(c, ack.channel, ack.cid), ack.offset);
}

static void sync_request(struct hf_conn *c, const struct hf_msg *m)
{
    struct hf_sub *s = hf_sub_find(c, m->channel);
    uint64_t offset = m->offset, acked;

    if (s == NULL) {
        hf_send_error(c, m, HF_CODE_NOT_FOUND, "the session is not subscribed to this channel");
        return;
    }
    /* One who may not read the history gets again what was sent to him, and it counts as received up to here. */
    acked = atomic_load(&s->cell->acked);
    if (offset < acked && !hf_rules_allow(c, HF_RIGHT_HISTORY, m->channel))
        offset = acked;
    hf_cursor_sync(&s->cursor, offset);
    s->last_ref = 0;
    s->catching_up = true;
    hf_sub_due(s);
}

/* ---- The others ---- */

static void ping(struct hf_conn *c, const struct hf_msg *m)
{
    char server_id[17];
    struct hf_msg answer = {
        .type = HF_MSG_PONG, .has = m->has & HF_HAS_ID, .id = m->id, .server_time = c->hub->now.wall_ms};
    struct hf_str id = {server_id, 0};

    static const char digits[] = "0123456789abcdef";
    for (int i = 60; i >= 0; i -= 4)
        server_id[id.len++] = digits[c->hub->region->config->boot_id >> i & 15];
    answer.server_id = id;
    hf_conn_send(c, &answer);
}

static void heartbeat(struct hf_conn *c, const struct hf_msg *m)
{
    const struct hf_config *config = c->hub->config;
    uint64_t interval_ms = m->interval_ms;

    if (interval_ms < config->heartbeat_min_ms)
        interval_ms = config->heartbeat_min_ms;
    if (interval_ms > config->heartbeat_max_ms)
        interval_ms = config->heartbeat_max_ms;
    c->heartbeat_ms = (uint32_t)interval_ms;
    c->spread = false;
    hf_journal_heartbeat(c);
    hf_conn_schedule(c);
    hf_conn_send(
        c, &(struct hf_msg){.type = HF_MSG_HEARTBEAT, .has = HF_HAS_INTERVAL, .interval_ms = interval_ms});
}

static void history(struct hf_conn *c, const struct hf_msg *m)
{
    struct hf_history_query q = {.channel = m->channel,
                                 .has_since = (m->has & HF_HAS_SINCE) != 0,
                                 .since_epoch = m->epoch,
                                 .since_offset = m->since_offset,
                                 .limit = m->has & HF_HAS_LIMIT ? m->limit : HISTORY_LIMIT,
                                 .reverse = m->reverse};
    struct hf_msg answer = {.type = HF_MSG_HISTORY,
                            .has =
                                HF_HAS_ID | HF_HAS_CHANNEL | HF_HAS_EPOCH | HF_HAS_OFFSET | HF_HAS_MESSAGES,
                            .encoding = hf_conn_encoding(c),
                            .id = m->id,
                            .channel = m->channel};
    struct hf_history h;
    struct hf_buf messages, out;

    if (!hf_rules_allow(c, HF_RIGHT_HISTORY, m->channel)) {
        send_forbidden(c, m, HF_RIGHT_HISTORY);
        return;
    }
    if (q.limit < 1 || q.limit > HISTORY_LIMIT_MAX) {
        hf_send_error(c, m, HF_CODE_BAD_MESSAGE, "limit must be 1 to 1000");
        return;
    }
    hf_history_find(c->hub, m->channel, &h);
    answer.cid = hf_cid_to_wire(h.cid);
    answer.epoch = hf_str_from(h.epoch);
    answer.offset = h.offset;
    hf_buf_init(&messages, UINT32_MAX);
    hf_buf_init(&out, UINT32_MAX);
    hf_history_put(c->hub, &q, &h, answer.encoding, &messages);
    answer.messages = hf_buf_str(&messages);
    if (messages.failed || hf_conn_encode(c, &out, &answer) < 0) {
        hf_send_error(c, m, HF_CODE_OVERLOADED, "the answer does not fit into memory now");
    } else {
        hf_buf_release(&messages);
        hf_conn_told(c, h.cid);
        hf_conn_send_encoded(c, hf_buf_str(&out));
    }
    hf_buf_release(&messages);
    hf_buf_release(&out);
}

static void bye(struct hf_conn *c)
{
    if (!c->blocked && !hf_deliver_flush(c)) /* Answers that are due come before the end. */
        return;
    hf_journal_session_over(c->hub, c->session, HF_CLOSE_NORMAL);
    hf_detach(c, true);
    hf_conn_close(c, HF_CLOSE_NORMAL, "bye");
}

/* ---- Dispatch ---- */

bool hf_carry_out(struct hf_conn *c, const struct hf_msg *m, struct hf_stall *stalled, bool *seq_added,
                  bool *opening)
{
    switch (m->type) {
    case HF_MSG_SUBSCRIBE:
        if (stalled != NULL && stalled->open_err < 0) {
            hf_count(c->hub->counters, HF_COUNT_SUBSCRIPTIONS_REFUSED_CHANNELS, 1);
            hf_send_error(c, m, HF_CODE_LIMIT, "the server holds as many channels as it may");
            return true;
        }
        return subscribe(c, m, opening);
    case HF_MSG_DATA:
        return hf_publish_data(c, m, stalled, seq_added, opening);
    case HF_MSG_UNSUBSCRIBE:
        unsubscribe(c, m);
        break;
    case HF_MSG_ACK:
        ack(c, m);
        break;
    case HF_MSG_SYNC_REQUEST:
        sync_request(c, m);
        break;
    case HF_MSG_PING:
        ping(c, m);
        break;
    case HF_MSG_PONG:
        pong(c, m);
        break;
    case HF_MSG_HEARTBEAT:
        heartbeat(c, m);
        break;
    case HF_MSG_HISTORY:
        history(c, m);
        break;
    case HF_MSG_PRESENCE:
        return hf_presence_question(c, m);
    case HF_MSG_BYE:
        bye(c);
        break;
    case HF_MSG_CALL:
        hf_hooks_call(c, m);
        break;
    case HF_MSG_REFRESH:
        hf_token_refresh(c, m);
        break;
    default: /* Nothing of a client comes here. */
        hf_send_error(c, m, HF_CODE_NOT_FOUND, "this server does not offer that");
        break;
    }
    return true;
}
