#include "session/client_session_impl.h"

#include "base/assert.h"
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
    else if (!hf_cs_request_refused(s, m, now_ms) && !hf_cs_question_refused(s, m, now_ms))
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
