/*
 * dispatch.c - what each message of a client does. PROTOCOL.md "Client to server".
 */
#include "server/hub_state.h"

#include "base/assert.h"
#include "server/history.h"
#include "wire/binary.h"
#include "wire/items.h"
#include "wire/json.h"

#include <stdlib.h>
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

/* ---- Stalls ---- */

static struct hf_str copy_text(char **at, struct hf_str s)
{
    struct hf_str copy = {s.data == NULL ? NULL : *at, s.len};

    if (s.len > 0)
        memcpy(*at, s.data, s.len);
    *at += s.len;
    return copy;
}

/* Records of a WebSocket message: those that have not been handled, and the heap memory that they lie in. kept NULL: the input, which will not stay. */
struct records {
    struct hf_str rest;
    char *kept;
};

static bool keep_records(struct hf_stall *s, struct records *records)
{
    s->rest = records->rest;
    s->kept = records->kept;
    records->kept = NULL;
    if (s->kept != NULL || s->rest.len == 0)
        return true;
    s->kept = malloc(s->rest.len);
    if (s->kept == NULL)
        return false;
    memcpy(s->kept, s->rest.data, s->rest.len);
    s->rest.data = s->kept;
    return true;
}

/* Keep a message for later, and what is behind it. Returns NULL without memory: the connection is closed. */
static struct hf_stall *stall(struct hf_conn *c, const struct hf_msg *m, struct records *records)
{
    struct hf_stall *s = calloc(1, sizeof(*s) + m->channel.len + m->id.len + m->epoch.len + m->payload.len);
    char *at = (char *)(s + 1);

    if (s == NULL || !keep_records(s, records)) {
        free(s);
        hf_conn_close(c, HF_CLOSE_TRY_AGAIN_LATER, "the server is short of memory");
        return NULL;
    }
    s->conn = c;
    s->msg = *m;
    s->msg.channel = copy_text(&at, m->channel);
    s->msg.id = copy_text(&at, m->id);
    s->msg.epoch = copy_text(&at, m->epoch);
    s->msg.payload = copy_text(&at, m->payload);
    hf_list_init(&s->link);
    c->stall = s;
    return s;
}

/* Parted from its connection. */
static struct hf_stall *stall_detach(struct hf_conn *c)
{
    struct hf_stall *s = c->stall;

    hf_list_del(&s->link);
    c->stall = NULL;
    return s;
}

void hf_stall_free(struct hf_conn *c)
{
    struct hf_stall *s;

    if (c->stall == NULL)
        return;
    s = stall_detach(c);
    free(s->kept);
    free(s);
}

bool hf_stall_on_output(const struct hf_stall *s)
{
    return s->msg.type == HF_MSG_NONE;
}

/* ---- Subscribe ---- */

enum found { FOUND, FOUND_OPENING, FOUND_WAIT, FOUND_LIMIT };

/* The topic of a channel by name, which is made where it does not exist. */
static enum found find_or_open(struct hf_conn *c, struct hf_str name, struct hf_topic **out)
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
        return hf_exchange_open(hub, owner, name, c->serial) ? FOUND_OPENING : FOUND_WAIT;
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

static struct hf_start_request start_request(struct hf_conn *c, const struct hf_msg *m,
                                             const struct hf_topic *t)
{
    struct hf_start_request r = {.head = atomic_load(&t->channel->head)};
    char epoch[32];

    r.oldest = r.head + 1;
    if (m->has & HF_HAS_SINCE) {
        r.from = HF_START_SINCE;
        r.offset = m->since_offset;
        r.same_epoch =
            hf_str_eq(m->epoch, (struct hf_str){epoch, hf_region_epoch(c->hub->region, t->cid, epoch)});
        r.oldest = hf_history_oldest(c->hub, t->channel, t->cid);
    } else if (m->has & HF_HAS_LAST) {
        r.from = HF_START_LAST;
        r.last = m->last;
        r.oldest = hf_history_oldest(c->hub, t->channel, t->cid);
    } else if (m->mode == HF_MODE_LATEST) {
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
    atomic_store(&s->cell->acked, s->cursor.next_offset - 1);
    hf_sub_due(s);
    /* Without memory for what it must be told the connection ends, and the subscription with it. */
    send_subscribed(c, s, r->head, outcome.recovered);
    if (outcome.new_epoch && c->phase == HF_CONN_OPEN)
        send_gap(c, s, HF_CODE_EPOCH, 0, 0);
    if (outcome.gap_from > 0 && c->phase == HF_CONN_OPEN)
        send_gap(c, s, HF_CODE_EVICTED, outcome.gap_from, outcome.gap_to);
}

/* "Again on a subscribed channel: since or last move the cursor, mode and presence are replaced" */
static void subscribe_again(struct hf_conn *c, const struct hf_msg *m, struct hf_sub *s)
{
    struct hf_start_request r;

    if (m->has & HF_HAS_MODE) {
        uint64_t cid = atomic_load(&s->cell->cid) & ~HF_SUB_LATEST;

        s->latest = m->mode == HF_MODE_LATEST;
        atomic_store(&s->cell->cid, cid | (s->latest ? HF_SUB_LATEST : 0));
    }
    if (m->has & (HF_HAS_SINCE | HF_HAS_LAST)) {
        r = start_request(c, m, s->topic);
        start(c, s, &r);
    } else {
        send_subscribed(c, s, atomic_load(&s->topic->channel->head), true);
    }
}

static struct hf_sub *add_sub(struct hf_conn *c, const struct hf_msg *m, struct hf_topic *t)
{
    struct hf_hub *hub = c->hub;
    bool latest = m->mode == HF_MODE_LATEST;
    struct hf_session_sub *cell =
        hf_session_sub_add(&hub->sessions, c->session, t->cid | (latest ? HF_SUB_LATEST : 0),
                           atomic_load(&t->channel->head), hub->now.mono_ms);
    struct hf_sub *s = cell == NULL ? NULL : hf_sub_add(c, t, cell, latest);

    if (s == NULL && cell != NULL)
        hf_session_sub_remove(cell);
    if (s == NULL)
        hf_topic_release_idle(hub, t);
    return s;
}

/* Returns false where it must wait; *opening: for the owner's answer. */
static bool subscribe(struct hf_conn *c, const struct hf_msg *m, bool *opening)
{
    struct hf_sub *s = hf_sub_find(c, m->channel);
    struct hf_start_request r;
    struct hf_topic *t;

    if (s != NULL) {
        subscribe_again(c, m, s);
        return true;
    }
    if (c->sub_count >= c->hub->config->session_subscriptions_max) {
        hf_count(c->hub->counters, HF_COUNT_SUBSCRIPTIONS_REFUSED_SESSION, 1);
        hf_send_error(c, m, HF_CODE_LIMIT, "the session has as many subscriptions as it may");
        return true;
    }
    switch (find_or_open(c, m->channel, &t)) {
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
    s = add_sub(c, m, t);
    if (s == NULL) {
        hf_send_error(c, m, HF_CODE_LIMIT, "the server has no memory for another subscription");
        return true;
    }
    r = start_request(c, m, t);
    start(c, s, &r);
    return true;
}

static void unsubscribe(struct hf_conn *c, const struct hf_msg *m)
{
    struct hf_sub *s = hf_sub_find(c, m->channel);

    if (s != NULL) {
        hf_session_sub_remove(s->cell);
        hf_sub_remove(s);
    }
    hf_conn_send(c,
                 &(struct hf_msg){.type = HF_MSG_UNSUBSCRIBED, .has = HF_HAS_CHANNEL, .channel = m->channel});
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

/* "ackId (a received message's id) may stand in place of offset": looked for among what was sent and is not acknowledged. */
static bool offset_of_id(const struct hf_sub *s, struct hf_str id, uint64_t *offset)
{
    struct hf_log *log = &s->conn->hub->logs[s->topic->shard];
    hf_ref ref;
    struct hf_record *r;

    if (offset_of_default_id(s, id, offset))
        return true;
    r = hf_log_find(log, atomic_load(&s->topic->channel->newest), atomic_load(&s->cell->acked) + 1, &ref);
    for (int looked = 0; r != NULL && r->offset <= s->cursor.sent_offset && looked < ACK_ID_SEARCH;
         looked++) {
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

    if (s == NULL) {
        hf_send_error(c, m, HF_CODE_NOT_FOUND, "the session is not subscribed to this channel");
        return;
    }
    hf_cursor_sync(&s->cursor, m->offset);
    s->last_ref = 0;
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
    c->spread_ms = 0;
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
        hf_conn_send_encoded(c, hf_buf_str(&out));
    }
    hf_buf_release(&messages);
    hf_buf_release(&out);
}

static void bye(struct hf_conn *c)
{
    if (!c->blocked && !hf_deliver_flush(c)) /* Answers that are due come before the end. */
        return;
    hf_detach(c, true);
    hf_conn_close(c, HF_CLOSE_NORMAL, "bye");
}

/* ---- Dispatch ---- */

/*
 * Carry a message out; its channel has its name. Returns false where it must wait: *seq_added, *opening say what has been done
 * already.
 */
static bool carry_out(struct hf_conn *c, const struct hf_msg *m, struct hf_stall *stalled, bool *seq_added,
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
    case HF_MSG_BYE:
        bye(c);
        break;
    default: /* presence, call, refresh: there is no presence, no backend and no token here. */
        hf_send_error(c, m, HF_CODE_NOT_FOUND, "this server does not offer that");
        break;
    }
    return true;
}

/* "Unknown type, broken JSON, a wrong field type: error bad_message (a data with a readable seq: nack); after 32 … close 1008" */
static bool bad_message(struct hf_conn *c, const struct hf_msg *m, const char *reason, bool again)
{
    if (!again) {
        hf_count(c->hub->counters, HF_COUNT_BAD_MESSAGES, 1);
        c->bad_messages++;
    }
    if (m->type == HF_MSG_DATA && (m->has & HF_HAS_SEQ)) {
        if (!hf_publish_refuse(c, m, HF_CODE_BAD_MESSAGE, reason, false))
            return false;
    } else {
        hf_send_error(c, m, HF_CODE_BAD_MESSAGE, reason);
    }
    if (c->bad_messages >= HF_BAD_MESSAGES_MAX && c->phase == HF_CONN_OPEN)
        hf_conn_close(c, HF_CLOSE_POLICY, "too many malformed messages");
    return true;
}

/* ---- Channels by number ---- */

/* The name of a channel that a client names by its cid: one of its subscriptions, or another that lives. */
static bool name_of_cid(struct hf_conn *c, hf_cid cid, struct hf_str *name)
{
    struct hf_hub *hub = c->hub;
    const struct hf_sub *s = hf_sub_of_cid(c, cid);
    uint32_t shard = hf_cid_shard(cid);
    const struct hf_channel *channel = s != NULL ? s->topic->channel : NULL;

    if (channel == NULL && shard < hub->shards)
        channel = hf_channels_get(&hub->channels[shard], cid);
    if (channel == NULL)
        return false;
    *name = hf_channel_name(channel);
    memcpy(hub->channel_name, name->data, name->len);
    name->data = hub->channel_name;
    /* Its place may have gone to another while the name was read. */
    return s != NULL || hf_channel_last_cid(&hub->channels[shard], channel) == cid;
}

/* carry_out() for a message whose channel has a number in place of its name. An `ack` has no need of the name. */
static bool carry_out_by_cid(struct hf_conn *c, const struct hf_msg *m, struct hf_stall *stalled,
                             bool *seq_added, bool *opening)
{
    struct hf_msg named = *m;

    if (m->type == HF_MSG_ACK)
        return carry_out(c, m, stalled, seq_added, opening);
    named.cid = 0;
    if (name_of_cid(c, hf_cid_of_wire(m->cid), &named.channel)) {
        named.has |= HF_HAS_CHANNEL;
        return carry_out(c, &named, stalled, seq_added, opening);
    }
    if (m->type == HF_MSG_DATA)
        return hf_publish_refuse(c, m, HF_CODE_NOT_FOUND, hf_refusal_reason(HF_CODE_NOT_FOUND), *seq_added);
    hf_send_error(c, m, HF_CODE_NOT_FOUND, hf_refusal_reason(HF_CODE_NOT_FOUND));
    return true;
}

/* ---- Messages ---- */

/* Whether a message is carried out, or refused, and does not have to wait. malformed: why it is to be refused; NULL: it is not. */
static bool handle(struct hf_conn *c, const struct hf_msg *m, const char *malformed, struct hf_stall *stalled,
                   bool *seq_added, bool *opening)
{
    if (malformed != NULL)
        return bad_message(c, m, malformed, stalled != NULL);
    if (m->cid != 0)
        return carry_out_by_cid(c, m, stalled, seq_added, opening);
    return carry_out(c, m, stalled, seq_added, opening);
}

/* A message, and the records behind it. Returns whether these may be taken now. */
static bool take(struct hf_conn *c, const struct hf_msg *m, const char *malformed, struct records *records)
{
    bool seq_added = false, opening = false;
    struct hf_stall *s;

    if (handle(c, m, malformed, NULL, &seq_added, &opening) || c->phase != HF_CONN_OPEN)
        return c->phase == HF_CONN_OPEN;
    s = stall(c, m, records);
    if (s == NULL)
        return false;
    s->seq_added = seq_added;
    s->opening = opening;
    s->malformed = malformed;
    hf_list_add_tail(&c->hub->stalled, &s->link);
    return false;
}

/* "seq: a publish's place in its session, 1, 2, 3 …" */
static const char *check_seq(struct hf_msg *m)
{
    if (!(m->has & HF_HAS_SEQ) || m->seq > 0)
        return NULL;
    m->has &= ~(uint32_t)HF_HAS_SEQ;
    return "seq begins at 1";
}

static void take_text(struct hf_conn *c, char *data, size_t len)
{
    struct hf_msg m;
    const char *malformed = NULL;

    if (hf_json_decode(&m, data, len, false, &malformed) == 0)
        malformed = check_seq(&m);
    (void)take(c, &m, malformed, &(struct records){0});
}

/*
 * Records, each like a message in JSON. Their answers are bounded as those of messages are: where too much of them waits, the next record waits
 * too. Otherwise a message full of small requests would bring a thousand times its size.
 */
static void take_records(struct hf_conn *c, struct records *records)
{
    struct hf_binary_reader reader;
    struct hf_binary_record record;
    enum hf_binary_fault fault;

    hf_binary_reader_init(&reader, records->rest.data, records->rest.len);
    for (;;) {
        const char *malformed;
        struct hf_msg m;
        int got;

        if (c->out.len >= HF_OUT_SOFT_BYTES && records->rest.len > 0) {
            (void)stall(c, &(struct hf_msg){0}, records);
            return;
        }
        got = hf_binary_next(&reader, &record, &fault);
        records->rest = reader.rest;
        if (got == 0)
            return;
        hf_count(c->hub->counters, HF_COUNT_MESSAGES_IN, 1);
        if (got < 0)
            m = (struct hf_msg){0};
        if (got < 0 || hf_binary_decode(&m, &record, false, &fault) < 0)
            malformed = hf_binary_fault_text(fault);
        else
            malformed = check_seq(&m);
        if (!take(c, &m, malformed, records))
            return;
    }
}

void hf_dispatch(struct hf_conn *c, uint8_t *data, size_t len)
{
    if (c->binary)
        take_records(c, &(struct records){.rest = {(const char *)data, len}});
    else
        take_text(c, (char *)data, len);
}

/* The stalled message is done: go on with what is behind it. Returns whether nothing waits any more. */
static bool go_on(struct hf_conn *c)
{
    struct hf_stall *s = stall_detach(c);
    struct records records = {s->rest, s->kept};

    if (records.rest.len > 0 && c->phase == HF_CONN_OPEN)
        take_records(c, &records);
    free(records.kept);
    free(s);
    return c->stall == NULL;
}

bool hf_dispatch_retry(struct hf_conn *c)
{
    struct hf_stall *s = c->stall;
    bool seq_added = s->seq_added, opening = false, done;

    if (hf_stall_on_output(s))
        return c->out.len < HF_OUT_SOFT_BYTES && go_on(c);
    if (s->opening)
        return false;
    done = handle(c, &s->msg, s->malformed, s, &seq_added, &opening);
    if (c->stall != s)
        return true; /* The connection has ended meanwhile, and the stall with it. */
    s->seq_added = seq_added;
    s->opening = opening;
    return done && go_on(c);
}
