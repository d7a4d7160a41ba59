#include "session/client_session_impl.h"

#include "wire/items.h"

#include <stdlib.h>
#include <string.h>

/* A subscribe that was refused for now is repeated after that, and a random part of as much again. */
enum { RESUB_MS_MIN = 500 };

/* --- what the application asks for --- */

static void put_subscribe(struct hf_client_session *s, struct hf_subscription *sub)
{
    struct hf_msg m = {
        .type = HF_MSG_SUBSCRIBE, .has = HF_HAS_CHANNEL, .channel = hf_subscription_channel(sub)};

    if (sub->inbox.latest) {
        m.has |= HF_HAS_MODE;
        m.mode = HF_MODE_LATEST;
    } else if (hf_inbox_placed(&sub->inbox)) {
        m.has |= HF_HAS_SINCE;
        m.epoch = hf_inbox_epoch(&sub->inbox);
        m.since_offset = hf_inbox_position(&sub->inbox);
    } else if (sub->last > 0) {
        m.has |= HF_HAS_LAST;
        m.last = sub->last;
    }
    if (sub->presence) {
        m.has |= HF_HAS_PRESENCE;
        m.presence = true;
    }
    sub->watch_wanted = false;
    hf_cs_put(s, &m);
    hf_subscription_move(sub, HF_SUB_ASKED);
}

/* "Again on a subscribed channel: … `mode` and `presence` are replaced", and the cursor stays (PROTOCOL.md, subscribe). */
static void put_watch(struct hf_client_session *s, struct hf_subscription *sub)
{
    const struct hf_msg m = {.type = HF_MSG_SUBSCRIBE,
                             .has = HF_HAS_CHANNEL | HF_HAS_PRESENCE,
                             .channel = hf_subscription_channel(sub),
                             .presence = true};

    hf_cs_put(s, &m);
    sub->watch_wanted = false;
    sub->watching = true;
}

static void put_unsubscribe(struct hf_client_session *s, struct hf_subscription *sub)
{
    const struct hf_msg m = {
        .type = HF_MSG_UNSUBSCRIBE, .has = HF_HAS_CHANNEL, .channel = hf_subscription_channel(sub)};

    hf_cs_put(s, &m);
    hf_subscription_move(sub, HF_SUB_LEFT);
}

void hf_cs_put_requests(struct hf_client_session *s, uint64_t now_ms)
{
    struct hf_list *node;

    if (!hf_client_state_connected(s->state) || s->greeting)
        return;
    for (node = s->subs.all.next; node != &s->subs.all; node = node->next) {
        struct hf_subscription *sub = HF_SUBSCRIPTION_OF(node);

        if (sub->state == HF_SUB_WANTED && !sub->deferred)
            put_subscribe(s, sub);
        else if (sub->state == HF_SUB_LEAVING && !s->inherited) /* Whose end an answer means is clear then. */
            put_unsubscribe(s, sub);
        else if (sub->state == HF_SUB_ACTIVE && sub->watch_wanted)
            put_watch(s, sub);
        else
            continue;
        s->asked++;
        hf_cs_awaiting_answer(s, now_ms);
    }
}

void hf_cs_undefer(struct hf_client_session *s, uint64_t now_ms)
{
    struct hf_list *node;

    s->resub_at_ms = HF_NEVER;
    for (node = s->subs.all.next; node != &s->subs.all; node = node->next)
        HF_SUBSCRIPTION_OF(node)->deferred = false;
    hf_cs_put_requests(s, now_ms);
}

static int place(struct hf_subscription *sub, const struct hf_client_session_start *start)
{
    if (start->since_epoch.data != NULL)
        return hf_inbox_place(&sub->inbox, start->since_epoch, start->since_offset);
    if (start->last > HF_NUMBER_MAX)
        return HF_EINVAL;
    sub->last = start->last;
    if (start->last > 0 || start->latest)
        hf_inbox_float(&sub->inbox);
    return 0;
}

int hf_client_session_subscribe(struct hf_client_session *s, struct hf_str channel,
                                const struct hf_client_session_start *start, uint64_t now_ms)
{
    struct hf_subscription *sub;
    int err;

    if (hf_cs_closing(s))
        return HF_ESTATE;
    err = hf_subscriptions_add(&s->subs, channel, start->latest, &sub);
    if (err < 0)
        return err;
    err = place(sub, start);
    if (err < 0) {
        hf_subscriptions_remove(&s->subs, sub);
        return err;
    }
    sub->presence = start->presence;
    hf_cs_put_requests(s, now_ms);
    return 0;
}

static bool leaving(const struct hf_subscription *sub)
{
    return sub->state == HF_SUB_LEAVING || sub->state == HF_SUB_LEFT;
}

int hf_client_session_unsubscribe(struct hf_client_session *s, struct hf_str channel, uint64_t now_ms)
{
    struct hf_subscription *sub = hf_subscriptions_find(&s->subs, channel);

    if (sub == NULL || sub->state == HF_SUB_LEAVING || sub->state == HF_SUB_LEFT)
        return HF_ENOTFOUND;
    if (hf_cs_closing(s))
        return HF_ESTATE;
    if ((sub->state == HF_SUB_ASKED || sub->watching) && s->asked > 0)
        s->asked--; /* Its answer is not waited for any more; that of the unsubscribe is. */
    sub->watch_wanted = sub->watching = false;
    hf_subscription_move(sub, HF_SUB_LEAVING);
    hf_cs_put_requests(s, now_ms);
    return 0;
}

bool hf_client_session_position(struct hf_client_session *s, struct hf_str channel, struct hf_str *epoch,
                                uint64_t *offset)
{
    const struct hf_subscription *sub = hf_subscriptions_find(&s->subs, channel);

    if (sub == NULL || !hf_inbox_placed(&sub->inbox))
        return false;
    *epoch = hf_inbox_epoch(&sub->inbox);
    *offset = hf_inbox_position(&sub->inbox);
    return true;
}

/* --- what the application is told --- */

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

/* --- what the server says --- */

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
        s->unkept = true;
        hf_cs_emit_error(s, HF_STR("limit"), HF_STR("no room for a subscription that the backend made"),
                         channel);
        return NULL;
    }
    return sub;
}

/* The channel's number on this connection; 0 in JSON, which has none. */
static void number_told(struct hf_client_session *s, struct hf_subscription *sub, uint64_t cid)
{
    if (cid != 0)
        hf_subscriptions_set_cid(&s->subs, sub, cid);
}

void hf_cs_on_subscribed(struct hf_client_session *s, struct hf_msg *m, uint64_t now_ms)
{
    struct hf_subscription *sub = hf_subscriptions_find(&s->subs, m->channel);
    bool goes_on;

    if (sub == NULL)
        sub = subscription_of_backend(s, m->channel);
    if (sub == NULL)
        return;
    number_told(s, sub, m->cid);
    if (leaving(sub))
        return;
    goes_on = sub->told && sub->state != HF_SUB_ACTIVE;
    if (sub->state == HF_SUB_ASKED || sub->watching)
        request_answered(s, now_ms);
    sub->watching = false;
    if (sub->state == HF_SUB_WANTED) /* The backend made it, and knows nothing of that. */
        sub->watch_wanted = sub->presence;
    if (sub->state != HF_SUB_ACTIVE)
        hf_subscription_move(sub, HF_SUB_ACTIVE);
    obey_inbox(s, sub, hf_inbox_subscribed(&sub->inbox, m->epoch, m->offset), now_ms);
    if (sub->watch_wanted)
        hf_cs_put_requests(s, now_ms); /* Before what the application asks when it is told. */
    if (leaving(sub) || s->failed != NULL)
        return;
    emit_subscribed(s, sub, m->recovered);
    if (goes_on)
        hf_cs_presence_missed(s, sub);
}

void hf_cs_on_unsubscribed(struct hf_client_session *s, struct hf_msg *m, uint64_t now_ms)
{
    struct hf_subscription *sub = hf_subscriptions_find(&s->subs, m->channel);
    bool decided_by_server = (m->has & HF_HAS_CODE) != 0;

    if (sub == NULL || (s->inherited && !decided_by_server))
        return; /* It was another process's. */
    if (sub->state == HF_SUB_LEFT || sub->state == HF_SUB_ASKED)
        request_answered(s, now_ms);
    if (leaving(sub) || decided_by_server)
        remove_subscription(s, sub, m->code, m->reason);
}

void hf_cs_on_data(struct hf_client_session *s, struct hf_msg *m, uint64_t now_ms)
{
    struct hf_subscription *sub =
        m->cid != 0 ? hf_subscriptions_of_cid(&s->subs, m->cid) : hf_subscriptions_find(&s->subs, m->channel);
    char default_id[HF_CS_ID_MAX];
    struct hf_client_session_event ev = {.type = HF_CSE_MESSAGE,
                                         .offset = m->offset,
                                         .id = m->id,
                                         .timestamp_ms = m->timestamp,
                                         .from_user = m->from_user,
                                         .payload = m->payload,
                                         .payload_base64 = (m->has & HF_HAS_PAYLOAD64) != 0,
                                         .payload_raw = m->payload_raw};

    if (sub == NULL || leaving(sub) || !hf_client_state_connected(s->state) || s->close_wanted)
        return;
    if (s->inherited && sub->state != HF_SUB_ACTIVE)
        return; /* from where another process stood */
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
    ev.channel = hf_subscription_channel(sub);
    ev.epoch = hf_inbox_epoch(&sub->inbox);
    if ((m->has & HF_HAS_ID) == 0)
        ev.id = hf_cs_default_id(default_id, ev.epoch, m->offset);
    hf_cs_emit(s, &ev);
    hf_cs_delivered(s, m->payload.len, now_ms);
}

void hf_cs_on_gap(struct hf_client_session *s, struct hf_msg *m, uint64_t now_ms)
{
    struct hf_subscription *sub = hf_subscriptions_find(&s->subs, m->channel);
    struct hf_inbox_range range = {0, 0};
    int verdict;

    if (sub != NULL)
        number_told(s, sub, m->cid);
    if (sub == NULL || leaving(sub) || !hf_client_state_connected(s->state) ||
        (s->inherited && sub->state != HF_SUB_ACTIVE))
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
        s->resub_at_ms = now_ms + RESUB_MS_MIN + hf_rng_below(&s->delay_rng, RESUB_MS_MIN);
}

bool hf_cs_request_refused(struct hf_client_session *s, struct hf_msg *m, uint64_t now_ms)
{
    struct hf_subscription *sub = hf_subscriptions_find(&s->subs, m->channel);
    enum hf_msg_type re = hf_msg_type(m->re);

    if (re == HF_MSG_SUBSCRIBE && sub != NULL && sub->state == HF_SUB_ASKED) {
        subscribe_refused(s, sub, m, now_ms);
        return true;
    }
    if (re == HF_MSG_SUBSCRIBE && sub != NULL && sub->watching) {
        sub->watching = false;
        request_answered(s, now_ms);
        return false; /* Joins and leaves will not be told: the application is. */
    }
    if (re == HF_MSG_UNSUBSCRIBE && sub != NULL && sub->state == HF_SUB_LEFT) {
        request_answered(s, now_ms);
        remove_subscription(s, sub, HF_STR(""), HF_STR(""));
        return true;
    }
    return false;
}

/* --- what a welcome says --- */

/*
 * A subscription of the process that had the session before us is ended, also where this one subscribes to the channel as well: its mode and its cursor
 * would stay where ours names none. Ours is asked for behind that.
 */
static void end_inherited(struct hf_client_session *s, struct hf_str channel)
{
    const struct hf_msg m = {.type = HF_MSG_UNSUBSCRIBE, .has = HF_HAS_CHANNEL, .channel = channel};

    hf_cs_put(s, &m);
}

/* One of welcome.channels: the server goes on there, whatever we know of it. */
static void channel_named(struct hf_client_session *s, const struct hf_position *at, uint64_t now_ms)
{
    struct hf_subscription *sub = hf_subscriptions_find(&s->subs, at->channel);

    if (s->inherited) {
        end_inherited(s, at->channel);
        return;
    }
    if (sub == NULL)
        sub = subscription_of_backend(s, at->channel);
    if (sub == NULL)
        return;
    number_told(s, sub, at->cid);
    sub->named = true;
    if (sub->state == HF_SUB_LEFT)
        hf_subscription_move(sub,
                             HF_SUB_LEAVING); /* "asked again after the resume" (PROTOCOL.md "Resume" 6) */
    if (leaving(sub))
        return;
    if (sub->state == HF_SUB_WANTED) /* As in hf_cs_on_subscribed(). */
        sub->watch_wanted = sub->presence;
    if (sub->state != HF_SUB_ACTIVE)
        hf_subscription_move(sub, HF_SUB_ACTIVE);
    obey_inbox(s, sub, hf_inbox_resumed(&sub->inbox, at->epoch, at->offset), now_ms);
    if (!sub->told && !leaving(sub))
        emit_subscribed(s, sub, true);
    else
        hf_cs_presence_missed(s, sub);
    if (s->ack_at_ms == HF_NEVER && hf_inbox_unacked(&sub->inbox))
        hf_cs_delivered(s, 0, now_ms);
}

void hf_cs_name_channels(struct hf_client_session *s, const struct hf_msg *m, uint64_t now_ms)
{
    struct hf_items it = hf_items(m, m->channels);
    struct hf_position at;
    int found = 0;

    if ((m->has & HF_HAS_CHANNELS) == 0)
        return;
    while (s->failed == NULL && (found = hf_items_position(&it, &at)) == 1)
        channel_named(s, &at, now_ms);
    if (found < 0)
        hf_cs_fail(s, HF_CLOSE_POLICY, "the server named a channel in a way that cannot be read");
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
void hf_cs_sort_channels(struct hf_client_session *s)
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
