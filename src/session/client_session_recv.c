#include "session/client_session_impl.h"

#include "base/assert.h"
#include "wire/binary.h"
#include "wire/json.h"

#include <string.h>

enum { BAD_MESSAGES_MAX = 32 }; /* on a connection; as many as a server takes from a client */

void hf_cs_emit_error(struct hf_client_session *s, struct hf_str code, struct hf_str reason,
                      struct hf_str channel)
{
    const struct hf_client_session_event ev = {
        .type = HF_CSE_ERROR, .code = code, .reason = reason, .channel = channel};

    hf_cs_emit(s, &ev);
}

static void on_error(struct hf_client_session *s, struct hf_msg *m, uint64_t now_ms)
{
    if (hf_code_from(m->code) == HF_CODE_BAD_SEQ)
        hf_cs_on_bad_seq(s, m);
    else if (!hf_cs_request_refused(s, m, now_ms) && !hf_cs_question_refused(s, m, now_ms) &&
             !hf_cs_is_presence_missed(s, m))
        hf_cs_emit_error(s, m->code, m->reason, m->channel);
}

/* --- the connection --- */

static void caught_up(struct hf_client_session *s, uint64_t now_ms)
{
    const struct hf_client_session_event ev = {.type = HF_CSE_CAUGHT_UP, .count = s->caught_up_count};

    s->welcome_ping = 0;
    if (s->inherited) { /* What was sent before that ping has been obeyed. */
        s->inherited = false;
        hf_cs_put_requests(s, now_ms);
    }
    hf_cs_settled(s, now_ms);
    hf_cs_emit(s, &ev);
}

static void on_pong(struct hf_client_session *s, struct hf_msg *m, uint64_t now_ms)
{
    uint64_t ping_id;

    if (hf_cs_on_app_pong(s, m, now_ms))
        return;
    if ((m->has & HF_HAS_ID) == 0 || hf_json_u53(m->id, &ping_id) < 0)
        return;
    hf_heartbeat_pong_received(&s->heartbeat, ping_id, now_ms);
    hf_cs_probe_network_good(s, now_ms);
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

    hf_heartbeat_disturbed(&s->heartbeat);
    s->leave_at_ms = now_ms + min + hf_rng_below(&s->delay_rng, spread + 1);
}

/* --- welcome --- */

static bool fits(struct hf_str text, size_t cap)
{
    return text.len > 0 && text.len <= cap;
}

static void keep_text(struct hf_str from, char *to, size_t *len)
{
    memcpy(to, from.data, from.len);
    *len = from.len;
}

/* The ticket goes into a header: nothing but the characters of a token (RFC 9110 section 5.6.2) may get there. */
bool hf_cs_ticket_valid(struct hf_str ticket)
{
    size_t i;

    for (i = 0; i < ticket.len; i++)
        if (ticket.data[i] <= 0x20 || ticket.data[i] >= 0x7f ||
            strchr("\"(),/:;<=>?@[\\]{}", ticket.data[i]) != NULL)
            return false;
    return true;
}

/* All of them, or none: what is not welcomed leaves ticket and name of the session as they are. */
static bool take_facts(struct hf_client_session *s, const struct hf_msg *m)
{
    if (!hf_cs_ticket_valid(m->ticket) || !fits(m->ticket, sizeof(s->ticket)) ||
        !fits(m->session, sizeof(s->id)))
        return false;
    keep_text(m->ticket, s->ticket, &s->ticket_len);
    keep_text(m->session, s->id, &s->id_len);
    s->loss_spread_ms = m->loss_spread_ms;
    s->payload_bytes_max = m->max_message;
    hf_heartbeat_set_interval(&s->heartbeat, m->interval_ms);
    if (s->config.heartbeat_policy != NULL)
        hf_heartbeat_policy_set_bound(s->config.heartbeat_policy, m->heartbeat_max_ms);
    return true;
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
    hf_cs_put_heartbeat(s);
    hf_cs_put_requests(s, now_ms);
    hf_cs_put_questions(s, now_ms);
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
    emit_connected(s, resumed);
    if (!resumed)
        hf_cs_outbox_renewed(s, m);
    else if (!hf_cs_outbox_resumed(s, m))
        return;
    if (resumed)
        hf_cs_name_channels(s, m, now_ms);
    if (s->failed != NULL)
        return;
    hf_cs_sort_channels(s);
    s->greeting = false;
    speak_first(s, now_ms);
}

/* --- dispatch --- */

static void bad_message(struct hf_client_session *s, const char *reason)
{
    hf_cs_emit_error(s, HF_STR("bad_message"), hf_str_from(reason), HF_STR(""));
    if (++s->bad_messages >= BAD_MESSAGES_MAX)
        hf_cs_fail(s, HF_CLOSE_POLICY, "the server sends what cannot be understood");
}

/*
 * "A record of the server with a cid that was not told is an error of the server." Not where it was told for a channel that this session has not: another
 * process's, or one for which there was no room.
 */
static bool is_of_unknown_channel(struct hf_client_session *s, const struct hf_msg *m)
{
    bool is_of_subscription = m->type == HF_MSG_DATA || m->type == HF_MSG_JOIN || m->type == HF_MSG_LEAVE;

    if (!is_of_subscription || hf_subscriptions_of_cid(&s->subs, m->cid) != NULL)
        return false;
    if (!s->inherited && !s->unkept)
        bad_message(s, "the server sent a message of a channel whose number it had not told");
    return true;
}

static void recv_live(struct hf_client_session *s, struct hf_msg *m, uint64_t now_ms)
{
    static void (*const handlers[HF_MSG_TYPES])(struct hf_client_session *, struct hf_msg *, uint64_t) = {
        [HF_MSG_SUBSCRIBED] = hf_cs_on_subscribed,
        [HF_MSG_UNSUBSCRIBED] = hf_cs_on_unsubscribed,
        [HF_MSG_DATA] = hf_cs_on_data,
        [HF_MSG_GAP] = hf_cs_on_gap,
        [HF_MSG_ACK] = hf_cs_on_ack,
        [HF_MSG_NACK] = hf_cs_on_nack,
        [HF_MSG_PING] = on_ping,
        [HF_MSG_PONG] = on_pong,
        [HF_MSG_HEARTBEAT] = on_heartbeat,
        [HF_MSG_RECONNECT] = on_reconnect,
        [HF_MSG_HISTORY] = hf_cs_on_history,
        [HF_MSG_PRESENCE] = hf_cs_on_presence,
        [HF_MSG_REPLY] = hf_cs_on_reply,
        [HF_MSG_JOIN] = hf_cs_on_presence_event,
        [HF_MSG_LEAVE] = hf_cs_on_presence_event,
        [HF_MSG_ERROR] = on_error,
    };

    if (m->cid != 0 && is_of_unknown_channel(s, m))
        return;
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

/* One message, or what is wrong with it. */
static void recv_one(struct hf_client_session *s, int slot, struct hf_msg *m, const char *wrong,
                     uint64_t now_ms)
{
    if (slot == s->next && wrong != NULL)
        hf_cs_fail_next(s, wrong, now_ms);
    else if (slot == s->next)
        recv_first(s, m, now_ms);
    else if (wrong != NULL)
        bad_message(s, wrong);
    else
        recv_live(s, m, now_ms);
}

void hf_cs_messages_init(struct hf_cs_messages *in, enum hf_encoding encoding, char *data, size_t len)
{
    *in = (struct hf_cs_messages){.encoding = encoding, .data = data, .len = len};
    hf_binary_reader_init(&in->reader, data, len);
}

static int next_record(struct hf_cs_messages *in, struct hf_msg *m, const char **reason)
{
    enum hf_binary_fault fault = HF_BINARY_OK;
    struct hf_binary_record record;
    int found = hf_binary_next(&in->reader, &record, &fault);

    if (found == 1 && hf_binary_decode(m, &record, true, &fault) < 0)
        found = HF_EBADMSG;
    *reason = hf_binary_fault_text(fault);
    return found;
}

int hf_cs_next_message(struct hf_cs_messages *in, struct hf_msg *m, const char **reason)
{
    char *data = in->data;

    if (in->encoding == HF_ENCODING_BINARY)
        return next_record(in, m, reason);
    in->data = NULL;
    if (data == NULL)
        return 0;
    return hf_json_decode(m, data, in->len, true, reason) < 0 ? HF_EBADMSG : 1;
}

void hf_cs_recv_message(struct hf_client_session *s, int slot, char *data, size_t len, uint64_t now_ms)
{
    struct hf_cs_messages in;
    struct hf_msg m;
    const char *reason = "";
    int found;

    hf_assert(slot == s->next || slot == s->live);
    hf_cs_messages_init(&in, s->links[slot].encoding, data, len);
    /* Behind the welcome the slot is the live one. What ends the connection ends the reading: nothing of the rest counts. */
    while ((slot == s->next || slot == s->live) && s->links[slot].state == HF_LINK_OPEN &&
           s->failed == NULL) {
        found = hf_cs_next_message(&in, &m, &reason);
        if (found == 0)
            return;
        recv_one(s, slot, &m, found < 0 ? reason : NULL, now_ms);
    }
}
