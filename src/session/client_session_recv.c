#include "session/client_session_impl.h"

#include "base/assert.h"
#include "wire/json.h"

#include <stdlib.h>
#include <string.h>

enum {
    BAD_MESSAGES_MAX = 32, /* on a connection; as many as a server takes from a client */
    RESUB_MS_MIN =
        500, /* a subscribe that was refused for now is repeated after that, and a random part of as much again */
};

/* --- publishes --- */

/* A publish has left the outbox. */
static void done(struct hf_client_session *s, struct hf_outbox_item *item, uint64_t offset)
{
    struct hf_client_session_event ev = {
        .type = HF_CSE_ACKED, .publish_id = item->publish_id, .channel = item->channel, .offset = offset};

    hf_backoff_progressed(&s->backoff);
    if (!item->refused) /* Else the application knows. */
        hf_cs_emit(s, &ev);
    free(item);
}

static void emit_refused(struct hf_client_session *s, const struct hf_outbox_item *item, struct hf_str code,
                         struct hf_str reason)
{
    const struct hf_client_session_event ev = {.type = HF_CSE_REFUSED,
                                               .publish_id = item->publish_id,
                                               .channel = item->channel,
                                               .code = code,
                                               .reason = reason};

    hf_cs_emit(s, &ev);
}

/* "after 1009 takes its oldest unanswered publish for refused" (PROTOCOL.md "Client to server"). */
static void refuse_oldest(struct hf_client_session *s)
{
    struct hf_outbox_item *item;

    if (!s->refuse_oldest || s->settling)
        return;
    s->refuse_oldest = false;
    item = hf_outbox_pop_unused(&s->outbox);
    if (item == NULL)
        return;
    emit_refused(s, item, HF_STR("too_large"), HF_STR("the server ended the connection over it"));
    free(item);
}

void hf_cs_settle(struct hf_client_session *s, uint64_t seq)
{
    struct hf_outbox_item *item;

    while ((item = hf_outbox_pop(&s->outbox, seq)) != NULL)
        done(s, item, 0);
}

static uint64_t count_elements(struct hf_str array)
{
    struct hf_str value;
    uint64_t count = 0;

    while (hf_json_next_element(&array, &value))
        count++;
    return count;
}

/*
 * "The last of `offsets` belongs to `seq`, the one before to `seq`-1, and so on back to the ack before … null for a refused one and
 * where a repeated one's offset is no longer known." (PROTOCOL.md, ack)
 */
static void settle_with_offsets(struct hf_client_session *s, const struct hf_msg *m)
{
    struct hf_str rest = m->offsets;
    uint64_t count = count_elements(rest);
    uint64_t seq = m->seq - count;
    struct hf_str value;

    hf_cs_settle(s, seq);
    while (hf_json_next_element(&rest, &value)) {
        uint64_t offset = 0;
        struct hf_outbox_item *item = hf_outbox_pop(&s->outbox, ++seq);

        if (hf_json_kind(value) == HF_JSON_NUMBER && hf_json_u53(value, &offset) < 0)
            offset = 0;
        if (item != NULL)
            done(s, item, offset);
    }
}

static void on_ack(struct hf_client_session *s, struct hf_msg *m, uint64_t now_ms)
{
    if ((m->has & HF_HAS_SEQ) == 0)
        return; /* Of a publish without a number: this client makes none. */
    if (m->seq > hf_outbox_seq_sent(&s->outbox)) {
        hf_cs_fail(s, HF_CLOSE_POLICY, "the server acknowledged what it was not sent");
        return;
    }
    if ((m->has & HF_HAS_OFFSETS) == 0)
        m->offsets = HF_STR("[]");
    if (count_elements(m->offsets) > m->seq) {
        hf_cs_fail(s, HF_CLOSE_POLICY, "the server acknowledged more than it was sent");
        return;
    }
    if (s->settling && m->seq >= s->settle_seq)
        s->settling = false; /* "A `nack` comes before the ack that covers it": there is none to come. */
    settle_with_offsets(s, m);
    refuse_oldest(s);
    hf_cs_answered(s, now_ms);
}

static void emit_error(struct hf_client_session *s, struct hf_str code, struct hf_str reason,
                       struct hf_str channel)
{
    const struct hf_client_session_event ev = {
        .type = HF_CSE_ERROR, .code = code, .reason = reason, .channel = channel};

    hf_cs_emit(s, &ev);
}

static void on_nack(struct hf_client_session *s, struct hf_msg *m, uint64_t now_ms)
{
    struct hf_outbox_item *item;

    if ((m->has & HF_HAS_SEQ) == 0) {
        emit_error(s, m->code, m->reason, m->channel);
        return;
    }
    item = hf_outbox_find(&s->outbox, m->seq);
    if (item == NULL || item->refused)
        return; /* "a client drops those that it knows" (PROTOCOL.md, welcome) */
    item->refused = true;
    emit_refused(s, item, m->code, m->reason);
    while ((item = hf_outbox_pop_refused(&s->outbox)) != NULL)
        done(s, item, 0);
    hf_cs_answered(s, now_ms);
}

/* --- channels --- */

static void emit_subscribed(struct hf_client_session *s, struct hf_subscription *sub, bool recovered)
{
    const struct hf_client_session_event ev = {.type = HF_CSE_SUBSCRIBED,
                                               .channel = hf_subscription_channel(sub),
                                               .epoch = hf_inbox_epoch(&sub->inbox),
                                               .offset = hf_inbox_position(&sub->inbox),
                                               .recovered = recovered};

    sub->told = true;
    hf_cs_emit(s, &ev);
}

static void emit_gap(struct hf_client_session *s, struct hf_subscription *sub, struct hf_inbox_range range,
                     struct hf_str code)
{
    const struct hf_client_session_event ev = {.type = HF_CSE_GAP,
                                               .channel = hf_subscription_channel(sub),
                                               .epoch = hf_inbox_epoch(&sub->inbox),
                                               .from_offset = range.from,
                                               .to_offset = range.to,
                                               .code = code};

    hf_cs_emit(s, &ev);
}

/* The hole that a sync_request was sent for may have been filled. */
static void check_holes(struct hf_client_session *s)
{
    struct hf_list *node;

    if (s->sync_until_ms == HF_NEVER)
        return;
    for (node = s->subs.all.next; node != &s->subs.all; node = node->next)
        if (HF_SUBSCRIPTION_OF(node)->inbox.place == HF_INBOX_SYNCING)
            return;
    s->sync_until_ms = HF_NEVER;
}

static void remove_subscription(struct hf_client_session *s, struct hf_subscription *sub, struct hf_str code,
                                struct hf_str reason)
{
    char name[HF_CHANNEL_BYTES_MAX];
    struct hf_str channel = {name, sub->channel_len};
    const struct hf_client_session_event ev = {
        .type = HF_CSE_UNSUBSCRIBED, .channel = channel, .code = code, .reason = reason};

    memcpy(name, sub->channel, sub->channel_len);
    hf_subscriptions_remove(&s->subs, sub); /* First: the application may subscribe anew in the callback. */
    check_holes(s);
    hf_cs_emit(s, &ev);
}

/* What an inbox says about the server's answer. */
static void obey_inbox(struct hf_client_session *s, struct hf_subscription *sub, int verdict, uint64_t now_ms)
{
    if (verdict < 0)
        hf_cs_fail(s, HF_CLOSE_POLICY, "the server named a channel's epoch that is too long");
    else if (verdict == HF_INBOX_DELIVER)
        emit_gap(s, sub, (struct hf_inbox_range){0, 0}, HF_STR("epoch"));
    else if (verdict == HF_INBOX_SYNC)
        hf_cs_put_sync_request(s, sub, now_ms);
}

static bool leaving(const struct hf_subscription *sub)
{
    return sub->state == HF_SUB_LEAVING || sub->state == HF_SUB_LEFT;
}

static void request_answered(struct hf_client_session *s, uint64_t now_ms)
{
    if (s->asked > 0)
        s->asked--;
    hf_cs_answered(s, now_ms);
}

/* A subscription that the backend made, or forgot to end. */
static struct hf_subscription *subscription_of_backend(struct hf_client_session *s, struct hf_str channel)
{
    struct hf_subscription *sub = NULL;

    if (hf_subscriptions_add(&s->subs, channel, false, &sub) < 0) {
        emit_error(s, HF_STR("limit"), HF_STR("no room for a subscription that the backend made"), channel);
        return NULL;
    }
    return sub;
}

static void on_subscribed(struct hf_client_session *s, struct hf_msg *m, uint64_t now_ms)
{
    struct hf_subscription *sub = hf_subscriptions_find(&s->subs, m->channel);

    if (sub == NULL)
        sub = subscription_of_backend(s, m->channel);
    if (sub == NULL || leaving(sub))
        return;
    if (sub->state == HF_SUB_ASKED)
        request_answered(s, now_ms);
    if (sub->state != HF_SUB_ACTIVE)
        hf_subscription_move(sub, HF_SUB_ACTIVE);
    obey_inbox(s, sub, hf_inbox_subscribed(&sub->inbox, m->epoch, m->offset), now_ms);
    if (!leaving(sub) && s->failed == NULL)
        emit_subscribed(s, sub, m->recovered);
}

static void on_unsubscribed(struct hf_client_session *s, struct hf_msg *m, uint64_t now_ms)
{
    struct hf_subscription *sub = hf_subscriptions_find(&s->subs, m->channel);
    bool decided_by_server = (m->has & HF_HAS_CODE) != 0;

    if (sub == NULL)
        return;
    if (sub->state == HF_SUB_LEFT || sub->state == HF_SUB_ASKED)
        request_answered(s, now_ms);
    if (leaving(sub) || decided_by_server)
        remove_subscription(s, sub, m->code, m->reason);
}

static void on_data(struct hf_client_session *s, struct hf_msg *m, uint64_t now_ms)
{
    struct hf_subscription *sub = hf_subscriptions_find(&s->subs, m->channel);
    struct hf_client_session_event ev = {.type = HF_CSE_MESSAGE,
                                         .channel = m->channel,
                                         .offset = m->offset,
                                         .id = m->id,
                                         .timestamp_ms = m->timestamp,
                                         .from_user = m->from_user,
                                         .payload = m->payload,
                                         .payload_base64 = (m->has & HF_HAS_PAYLOAD64) != 0};

    if (sub == NULL || leaving(sub) || s->state != HF_CLIENT_LIVE || s->close_wanted)
        return;
    switch (hf_inbox_data(&sub->inbox, m->offset)) {
    case HF_INBOX_DELIVER:
        break;
    case HF_INBOX_SYNC:
        hf_cs_put_sync_request(s, sub, now_ms);
        return;
    case HF_INBOX_DUPLICATE:
    case HF_INBOX_IGNORE:
        return;
    }
    check_holes(s);
    s->caught_up_count++;
    hf_backoff_progressed(&s->backoff);
    ev.epoch = hf_inbox_epoch(&sub->inbox);
    hf_cs_emit(s, &ev);
    hf_cs_delivered(s, m->payload.len, now_ms);
}

static void on_gap(struct hf_client_session *s, struct hf_msg *m, uint64_t now_ms)
{
    struct hf_subscription *sub = hf_subscriptions_find(&s->subs, m->channel);
    struct hf_inbox_range range = {0, 0};
    int verdict;

    if (sub == NULL || leaving(sub) || s->state != HF_CLIENT_LIVE)
        return;
    if (hf_code_from(m->code) == HF_CODE_EPOCH) {
        obey_inbox(s, sub, hf_inbox_new_epoch(&sub->inbox, m->epoch), now_ms);
        check_holes(s);
        return;
    }
    verdict = hf_inbox_gap(&sub->inbox, m->from, m->to, &range);
    if (verdict == HF_INBOX_DELIVER) {
        check_holes(s);
        emit_gap(s, sub, range, m->code);
        hf_cs_delivered(s, 0, now_ms);
    } else {
        obey_inbox(s, sub, verdict, now_ms);
    }
}

/* --- refusals --- */

static bool refused_for_now(struct hf_str code)
{
    switch (hf_code_from(code)) {
    case HF_CODE_OVERLOADED:
    case HF_CODE_UNAVAILABLE:
    case HF_CODE_RATE_LIMITED:
    case HF_CODE_TIMEOUT:
        return true;
    default:
        return false;
    }
}

static void subscribe_refused(struct hf_client_session *s, struct hf_subscription *sub, struct hf_msg *m,
                              uint64_t now_ms)
{
    request_answered(s, now_ms);
    if (!refused_for_now(m->code)) {
        remove_subscription(s, sub, m->code, m->reason);
        return;
    }
    hf_subscription_move(sub, HF_SUB_WANTED);
    sub->deferred = true;
    if (s->resub_at_ms == HF_NEVER)
        s->resub_at_ms = now_ms + RESUB_MS_MIN + hf_rng_below(&s->rng, RESUB_MS_MIN);
}

/*
 * "one beyond the next by `error bad_seq` with `expected`, not applied" (PROTOCOL.md, data). On one connection that cannot happen to us; so
 * something is broken that a resume mends, unless the server has lost count of what it acknowledged: then the session is lost.
 */
static void on_bad_seq(struct hf_client_session *s, const struct hf_msg *m)
{
    s->forget_session = (m->has & HF_HAS_EXPECTED) == 0 || hf_outbox_find(&s->outbox, m->expected) == NULL;
    hf_cs_fail(s, HF_CLOSE_POLICY, "the server has lost count of our publishes");
}

static void on_error(struct hf_client_session *s, struct hf_msg *m, uint64_t now_ms)
{
    struct hf_subscription *sub = hf_subscriptions_find(&s->subs, m->channel);
    enum hf_msg_type re = hf_msg_type(m->re);

    if (hf_code_from(m->code) == HF_CODE_BAD_SEQ) {
        on_bad_seq(s, m);
        return;
    }
    if (re == HF_MSG_SUBSCRIBE && sub != NULL && sub->state == HF_SUB_ASKED) {
        subscribe_refused(s, sub, m, now_ms);
        return;
    }
    if (re == HF_MSG_UNSUBSCRIBE && sub != NULL && sub->state == HF_SUB_LEFT) {
        request_answered(s, now_ms);
        remove_subscription(s, sub, HF_STR(""), HF_STR(""));
        return;
    }
    emit_error(s, m->code, m->reason, m->channel);
}

/* --- the connection --- */

static void caught_up(struct hf_client_session *s, uint64_t now_ms)
{
    const struct hf_client_session_event ev = {.type = HF_CSE_CAUGHT_UP, .count = s->caught_up_count};

    s->welcome_ping = 0;
    if (s->settling) {
        s->settling = false;
        hf_cs_settle(s, s->settle_seq);
        refuse_oldest(s);
        hf_cs_answered(s, now_ms);
    }
    hf_cs_emit(s, &ev);
}

static void on_pong(struct hf_client_session *s, struct hf_msg *m, uint64_t now_ms)
{
    uint64_t ping_id;

    if ((m->has & HF_HAS_ID) == 0 || hf_json_u53(m->id, &ping_id) < 0)
        return;
    hf_heartbeat_pong_received(&s->heartbeat, ping_id, now_ms);
    if (s->welcome_ping != 0 && ping_id == s->welcome_ping)
        caught_up(s, now_ms);
}

static void on_ping(struct hf_client_session *s, struct hf_msg *m, uint64_t now_ms)
{
    (void)m;
    (void)now_ms;
    hf_cs_put_pong(s);
}

static void on_heartbeat(struct hf_client_session *s, struct hf_msg *m, uint64_t now_ms)
{
    (void)now_ms;
    hf_heartbeat_set_interval(&s->heartbeat, m->interval_ms);
}

/* "leave this connection at a random time in that window" (PROTOCOL.md, reconnect). */
static void on_reconnect(struct hf_client_session *s, struct hf_msg *m, uint64_t now_ms)
{
    uint64_t min = m->after_min_ms < HF_BACKOFF_ADVICE_MS_MAX ? m->after_min_ms : HF_BACKOFF_ADVICE_MS_MAX;
    uint64_t max = m->after_max_ms < HF_BACKOFF_ADVICE_MS_MAX ? m->after_max_ms : HF_BACKOFF_ADVICE_MS_MAX;
    uint64_t spread = max > min ? max - min : 0;

    s->leave_at_ms = now_ms + min + hf_rng_below(&s->rng, spread + 1);
}

/* --- welcome --- */

static bool keep_text(struct hf_str from, char *to, size_t cap, size_t *len)
{
    if (from.len == 0 || from.len > cap)
        return false;
    memcpy(to, from.data, from.len);
    *len = from.len;
    return true;
}

/* The ticket goes into a header: nothing but the characters of a token (RFC 9110 section 5.6.2) may get there. */
static bool ticket_valid(struct hf_str ticket)
{
    size_t i;

    for (i = 0; i < ticket.len; i++)
        if (ticket.data[i] <= 0x20 || ticket.data[i] >= 0x7f ||
            strchr("\"(),/:;<=>?@[\\]{}", ticket.data[i]) != NULL)
            return false;
    return true;
}

static bool take_facts(struct hf_client_session *s, const struct hf_msg *m)
{
    if (!ticket_valid(m->ticket) || !keep_text(m->ticket, s->ticket, sizeof(s->ticket), &s->ticket_len) ||
        !keep_text(m->session, s->id, sizeof(s->id), &s->id_len))
        return false;
    s->loss_spread_ms = m->loss_spread_ms;
    s->payload_bytes_max = m->max_message;
    hf_heartbeat_set_interval(&s->heartbeat, m->interval_ms);
    return true;
}

static bool outbox_resumed(struct hf_client_session *s, const struct hf_msg *m)
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

/*
 * "The client drops what `lastSeq` covers … if `lastSeq` is null though publishes had been sent unacknowledged, those are *uncertain*: the
 * application is told, and decides" (PROTOCOL.md "Resume" 3).
 */
static void outbox_renewed(struct hf_client_session *s, const struct hf_msg *m)
{
    bool has_last = (m->has & HF_HAS_LAST_SEQ) != 0;
    struct hf_client_session_event ev = {.type = HF_CSE_UNCERTAIN};
    struct hf_outbox_item *item;

    if (has_last) {
        hf_cs_settle(s, m->last_seq);
        refuse_oldest(s);
    }
    while (!has_last && (item = hf_outbox_pop(&s->outbox, UINT64_MAX)) != NULL) {
        ev.publish_id = item->publish_id;
        ev.channel = item->channel;
        ev.id = item->id;
        ev.payload = item->payload;
        if (!item->refused)
            hf_cs_emit(s, &ev);
        free(item);
    }
    s->refuse_oldest = false;
    hf_outbox_renewed(&s->outbox);
}

/* One of welcome.channels: the server goes on there, whatever we know of it. */
static void channel_named(struct hf_client_session *s, const struct hf_json_position *at, uint64_t now_ms)
{
    struct hf_subscription *sub = hf_subscriptions_find(&s->subs, at->channel);

    if (sub == NULL)
        sub = subscription_of_backend(s, at->channel);
    if (sub == NULL)
        return;
    sub->named = true;
    if (sub->state == HF_SUB_LEFT)
        hf_subscription_move(sub,
                             HF_SUB_LEAVING); /* "asked again after the resume" (PROTOCOL.md "Resume" 6) */
    if (leaving(sub))
        return;
    if (sub->state != HF_SUB_ACTIVE)
        hf_subscription_move(sub, HF_SUB_ACTIVE);
    obey_inbox(s, sub, hf_inbox_resumed(&sub->inbox, at->epoch, at->offset), now_ms);
    if (!sub->told && !leaving(sub))
        emit_subscribed(s, sub, true);
    if (s->ack_at_ms == HF_NEVER && hf_inbox_unacked(&sub->inbox))
        hf_cs_delivered(s, 0, now_ms);
}

static void name_channels(struct hf_client_session *s, const struct hf_msg *m, uint64_t now_ms)
{
    char scratch[2 * (HF_CHANNEL_BYTES_MAX + HF_LABEL_BYTES_MAX)];
    struct hf_json_position at;
    struct hf_str rest = m->channels, element;

    if ((m->has & HF_HAS_CHANNELS) == 0)
        return;
    while (hf_json_next_element(&rest, &element)) {
        char *room = element.len <= sizeof(scratch) ? scratch : malloc(element.len);

        if (room == NULL || hf_json_position(element, room, element.len, &at) < 0)
            hf_cs_fail(s, HF_CLOSE_POLICY, "the server named a channel in a way that cannot be read");
        else
            channel_named(s, &at, now_ms);
        if (room != scratch)
            free(room);
        if (s->failed != NULL)
            return;
    }
}

/* The session does not have it: it begins again, or is at its end. */
static void not_named(struct hf_subscription *sub)
{
    if (leaving(sub)) {
        sub->over = true;
        return;
    }
    if (sub->state != HF_SUB_WANTED)
        hf_subscription_move(sub, HF_SUB_WANTED);
    hf_inbox_lost(&sub->inbox);
    sub->deferred = false;
}

static struct hf_subscription *find_over(struct hf_client_session *s)
{
    struct hf_list *node;

    for (node = s->subs.all.next; node != &s->subs.all; node = node->next)
        if (HF_SUBSCRIPTION_OF(node)->over)
            return HF_SUBSCRIPTION_OF(node);
    return NULL;
}

/* Two walks, because a callback may change the list. */
static void sort_channels(struct hf_client_session *s)
{
    struct hf_subscription *sub;
    struct hf_list *node;

    for (node = s->subs.all.next; node != &s->subs.all; node = node->next) {
        sub = HF_SUBSCRIPTION_OF(node);
        if (!sub->named)
            not_named(sub);
        sub->named = false;
    }
    while ((sub = find_over(s)) != NULL)
        remove_subscription(s, sub, HF_STR(""), HF_STR(""));
}

static void emit_connected(struct hf_client_session *s, bool resumed)
{
    const struct hf_client_session_event ev = {
        .type = HF_CSE_CONNECTED, .resumed = resumed, .session = {s->id, s->id_len}, .count = s->retries};

    s->retries = 0;
    s->caught_up_count = 0;
    hf_cs_emit(s, &ev);
}

/* What is said first: requests without an answer, and the ping whose pong ends the catching up. */
static void speak_first(struct hf_client_session *s, uint64_t now_ms)
{
    struct hf_msg m = {.type = HF_MSG_HEARTBEAT, .has = HF_HAS_INTERVAL};

    m.interval_ms = s->config.heartbeat_interval_ms;
    if (m.interval_ms > 0 && m.interval_ms != s->heartbeat.interval_ms)
        hf_cs_put(s, &m);
    hf_cs_put_requests(s, now_ms);
    hf_heartbeat_doubted(&s->heartbeat);
    if (hf_heartbeat_tick(&s->heartbeat, now_ms) == HF_HEARTBEAT_PING)
        hf_cs_put_ping(s, s->heartbeat.ping_id);
    s->welcome_ping = s->heartbeat.ping_id;
}

static void on_welcome(struct hf_client_session *s, struct hf_msg *m, uint64_t now_ms)
{
    bool resumed = m->resumed && s->ticket_len > 0;

    if (!take_facts(s, m)) {
        hf_cs_fail_next(s, "the server's ticket cannot be used", now_ms);
        return;
    }
    hf_cs_adopt_next(s, now_ms);
    s->greeting = true;
    emit_connected(s, resumed);
    if (!resumed)
        outbox_renewed(s, m);
    else if (!outbox_resumed(s, m))
        return;
    if (resumed)
        name_channels(s, m, now_ms);
    if (s->failed != NULL)
        return;
    sort_channels(s);
    s->greeting = false;
    speak_first(s, now_ms);
}

/* --- dispatch --- */

static void bad_message(struct hf_client_session *s, const char *reason)
{
    emit_error(s, HF_STR("bad_message"), hf_str_from(reason), HF_STR(""));
    if (++s->bad_messages >= BAD_MESSAGES_MAX)
        hf_cs_fail(s, HF_CLOSE_POLICY, "the server sends what cannot be understood");
}

static void recv_live(struct hf_client_session *s, struct hf_msg *m, uint64_t now_ms)
{
    static void (*const handlers[HF_MSG_TYPES])(struct hf_client_session *, struct hf_msg *, uint64_t) = {
        [HF_MSG_SUBSCRIBED] = on_subscribed,
        [HF_MSG_UNSUBSCRIBED] = on_unsubscribed,
        [HF_MSG_DATA] = on_data,
        [HF_MSG_GAP] = on_gap,
        [HF_MSG_ACK] = on_ack,
        [HF_MSG_NACK] = on_nack,
        [HF_MSG_PING] = on_ping,
        [HF_MSG_PONG] = on_pong,
        [HF_MSG_HEARTBEAT] = on_heartbeat,
        [HF_MSG_RECONNECT] = on_reconnect,
        [HF_MSG_ERROR] = on_error,
    };

    if (handlers[m->type] != NULL) /* The others answer what this client does not ask. */
        handlers[m->type](s, m, now_ms);
}

/* "`welcome`: first message of every connection", or the advice to come later. */
static void recv_first(struct hf_client_session *s, struct hf_msg *m, uint64_t now_ms)
{
    if (m->type == HF_MSG_WELCOME) {
        on_welcome(s, m, now_ms);
    } else if (m->type == HF_MSG_RECONNECT) {
        s->advice_min_ms = m->after_min_ms;
        s->advice_max_ms = m->after_max_ms;
    } else {
        hf_cs_fail_next(s, "the server's first message was no welcome", now_ms);
    }
}

void hf_cs_recv_message(struct hf_client_session *s, int slot, char *data, size_t len, uint64_t now_ms)
{
    struct hf_msg m;
    const char *reason = "";
    int err = hf_json_decode(&m, data, len, true, &reason);

    if (slot == s->next) {
        if (err < 0)
            hf_cs_fail_next(s, reason, now_ms);
        else
            recv_first(s, &m, now_ms);
        return;
    }
    hf_assert(slot == s->live);
    if (err < 0)
        bad_message(s, reason);
    else
        recv_live(s, &m, now_ms);
}
