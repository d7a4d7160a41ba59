/*
 * attach.c - how a connection gets its session: a new one, its own again (resume), or one that another connection or worker still holds
 * (takeover). PROTOCOL.md "Opening" and "Resume".
 */
#include "server/admission.h"
#include "server/hook_answer.h"
#include "server/hub_state.h"
#include "server/origin.h"
#include "server/presence.h"
#include "server/token.h"

#include "base/assert.h"
#include "wire/items.h"
#include "wire/json.h"
#include "ws/handshake.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    TICKET_TEXT = HF_TICKET_BYTES / 3 * 4, /* base64url without padding */
    TAKE_POLL_MS = 50,                     /* how often a session that is asked for is looked at */
    SESSION_TEXT = 16,
    ASK_GRACE_MS = 1000,
    REFUSALS_BYTES_MAX = 8192, /* 32 of some 130 bytes */
};

/* ---- Tickets ---- */

static const char base64url[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static void ticket_write(const uint8_t ticket[HF_TICKET_BYTES], char out[TICKET_TEXT])
{
    for (int i = 0; i < HF_TICKET_BYTES / 3; i++) {
        uint32_t three = (uint32_t)ticket[3 * i] << 16 | (uint32_t)ticket[3 * i + 1] << 8 | ticket[3 * i + 2];

        for (int k = 0; k < 4; k++)
            out[4 * i + k] = base64url[three >> (18 - 6 * k) & 63];
    }
}

/* Anything that is no ticket of ours gives false: to the client it is the same as a session that has gone. */
static bool ticket_read(struct hf_str text, uint8_t ticket[HF_TICKET_BYTES])
{
    if (text.len != TICKET_TEXT)
        return false;
    for (int i = 0; i < HF_TICKET_BYTES / 3; i++) {
        uint32_t three = 0;

        for (int k = 0; k < 4; k++) {
            const char *digit = memchr(base64url, text.data[4 * i + k], 64);

            if (digit == NULL)
                return false;
            three = three << 6 | (uint32_t)(digit - base64url);
        }
        ticket[3 * i] = (uint8_t)(three >> 16);
        ticket[3 * i + 1] = (uint8_t)(three >> 8);
        ticket[3 * i + 2] = (uint8_t)three;
    }
    return true;
}

/* ---- What the request asks for ---- */

static bool strip_prefix(struct hf_str *s, const char *prefix)
{
    size_t len = strlen(prefix);

    if (s->len < len || memcmp(s->data, prefix, len) != 0)
        return false;
    s->data += len;
    s->len -= len;
    return true;
}

static const char *take_attempt(struct hf_upgrade *u, struct hf_str text)
{
    return hf_json_u53(text, &u->attempt) == 0 ? (u->has_attempt = true, NULL)
                                               : "the attempt is not a number";
}

static void take_ticket(struct hf_upgrade *u, struct hf_str text, bool *given)
{
    *given = true;
    u->has_ticket = ticket_read(text, u->ticket);
}

/* "The server picks one of the two": binary where it is offered at all, for it costs both sides less. Returns whether the token was one of them. */
static bool take_encoding(struct hf_upgrade *u, struct hf_str token)
{
    bool binary = hf_str_eq(token, HF_STR(HF_PROTOCOL_BINARY));

    if (!binary && !hf_str_eq(token, HF_STR(HF_PROTOCOL_JSON)))
        return false;
    u->named = true;
    u->binary = u->binary || binary;
    return true;
}

/* Returns NULL, or what is wrong with it. *given: a ticket was given, of whatever kind. */
static const char *read_protocols(struct hf_upgrade *u, const struct hf_handshake *h, bool *given)
{
    struct hf_str rest = h->protocols, token;
    const char *wrong = NULL;

    if (h->protocols.data == NULL)
        return NULL;
    while (wrong == NULL && hf_handshake_next_token(&rest, &token)) {
        if (take_encoding(u, token))
            continue;
        if (strip_prefix(&token, "hf.resume."))
            take_ticket(u, token, given);
        else if (strip_prefix(&token, "hf.attempt."))
            wrong = take_attempt(u, token);
    }
    if (wrong == NULL && !u->named)
        wrong = "Sec-WebSocket-Protocol must offer " HF_PROTOCOL_BINARY " or " HF_PROTOCOL_JSON;
    return wrong;
}

static const char *read_request(struct hf_upgrade *u, const struct hf_handshake *h, bool *given)
{
    char value[256];
    const char *wrong = read_protocols(u, h, given);
    int len;

    if (wrong == NULL && h->resume.data != NULL)
        take_ticket(u, h->resume, given);
    if (wrong == NULL && h->attempt.data != NULL)
        wrong = take_attempt(u, h->attempt);
    len = hf_query_get(h->query, "resume", value, sizeof(value));
    if (len >= 0)
        take_ticket(u, (struct hf_str){value, (size_t)len}, given);
    else if (wrong == NULL && len != HF_ENOTFOUND)
        wrong = "the value of resume in the query is malformed";
    len = hf_query_get(h->query, "attempt", value, sizeof(value));
    if (wrong == NULL && len >= 0)
        wrong = take_attempt(u, (struct hf_str){value, (size_t)len});
    else if (wrong == NULL && len != HF_ENOTFOUND)
        wrong = "the value of attempt in the query is malformed";
    return wrong;
}

/* ---- Answers ---- */

static struct hf_str protocol_of(const struct hf_upgrade *u)
{
    if (!u->named)
        return (struct hf_str){0};
    return u->binary ? HF_STR(HF_PROTOCOL_BINARY) : HF_STR(HF_PROTOCOL_JSON);
}

static void accept_upgrade(struct hf_conn *c, const struct hf_upgrade *u)
{
    (void)hf_handshake_put_accept(hf_conn_out(c), (struct hf_str){u->key, HF_WS_KEY_LEN}, protocol_of(u),
                                  &u->deflate);
    c->named = u->named;
    c->binary = u->binary;
    if (c->binary)
        hf_count(c->hub->counters, HF_COUNT_BINARY_CONNECTIONS, 1);
    c->window_bits = u->deflate.server_window_bits;
    if (c->window_bits > 0) {
        hf_ws_allow_deflate(&c->ws);
        hf_count(c->hub->counters, HF_COUNT_DEFLATE_CONNECTIONS, 1);
    }
    hf_young_end(c);
    c->phase = HF_CONN_OPEN;
    c->progress_ms = 0;
    c->opened_ms = (uint32_t)c->hub->now.mono_ms;
    hf_admission_opened(c);
    /* Phases are spread, so that connections that came together are not asked together for ever. */
    c->spread = true;
    c->spread_ms = (uint32_t)hf_rng_below(&c->hub->rng, c->heartbeat_ms / 10 + 1);
    hf_conn_schedule(c);
    hf_conn_due(c);
}

/* A ticket alone makes no resume: anybody could write one to be let in first. */
static enum hf_gate_kind kind_of(const struct hf_conn *c, const struct hf_upgrade *u)
{
    const struct hf_session *s = u->has_ticket ? hf_sessions_by_ticket(&c->hub->sessions, u->ticket) : NULL;

    return s != NULL && hf_state_phase(atomic_load(&s->state)) != HF_SESSION_ENDED ? HF_GATE_RESUME
                                                                                   : HF_GATE_NEW;
}

/* "to a client that sends Origin the server answers 429 and 503 as 101, reconnect {after, code} and close 1013" */
static void refuse_busy(struct hf_conn *c, const struct hf_upgrade *u, const struct hf_refusal *why)
{
    bool draining = why->code == HF_CODE_DRAINING;
    uint32_t wait_ms = hf_admission_wait_ms(c, kind_of(c, u));
    struct hf_msg m = {.type = HF_MSG_RECONNECT,
                       .has = HF_HAS_CODE,
                       .code = hf_str_from(hf_code_name(draining ? HF_CODE_DRAINING : HF_CODE_OVERLOADED)),
                       .after_min_ms = wait_ms,
                       .after_max_ms = wait_ms + 1000};

    if (!u->from_browser) {
        hf_conn_refuse(c, why->cause, why->status, draining ? HF_CODE_UNAVAILABLE : why->code, why->reason,
                       wait_ms / 1000);
        return;
    }
    hf_count(c->hub->counters, why->cause, 1);
    accept_upgrade(c, u);
    hf_conn_send(c, &m);
    if (c->phase == HF_CONN_OPEN)
        hf_conn_close_as(c, HF_CLOSE_TRY_AGAIN_LATER, why->reason, HF_COUNT_DISCONNECT_REFUSED);
}

/*
 * "A browser cannot see" a 401, and would try for ever with what it has. So it is told by close code 4002, behind which a client "asks the application for a token
 * first", with the reason for whoever looks into the browser's tools.
 */
static void refuse_token(struct hf_conn *c, const struct hf_upgrade *u, const struct hf_token_verdict *no)
{
    if (no->fault == HF_TOKEN_NO_MEMORY) {
        refuse_busy(c, u, &hf_refused_memory);
        return;
    }
    hf_token_count(c->hub, no->fault);
    if (!u->from_browser) {
        hf_conn_refuse(c, HF_COUNT_REFUSED_TOKEN, 401, HF_CODE_UNAUTHORIZED, no->why, 0);
        return;
    }
    hf_count(c->hub->counters, HF_COUNT_REFUSED_TOKEN, 1);
    accept_upgrade(c, u);
    hf_conn_close(c, HF_CLOSE_TOKEN_EXPIRED, no->why);
}

void hf_attach_refuse(struct hf_conn *c, const struct hf_refusal *why)
{
    refuse_busy(c, c->upgrade, why);
}

static void put_position(struct hf_buf *out, const struct hf_conn *c, const struct hf_sub *s)
{
    char epoch[32];
    struct hf_position position = {.channel = hf_topic_name(s->topic),
                                   .offset = atomic_load(&s->cell->acked),
                                   .cid = hf_cid_to_wire(s->topic->cid)};

    position.epoch = (struct hf_str){epoch, hf_region_epoch(c->hub->region, s->topic->cid, epoch)};
    hf_items_put_position(out, hf_conn_encoding(c), &position);
}

struct welcome {
    bool resumed, last_seq_known;
    uint64_t last_seq;
    const struct hf_session_past *past; /* of a session that is gone; NULL: none is known */
};

/* "refusals: of the old session's last 32 refusals those that lastSeq covers" (docs/protocol.md) */
static void put_refusals(struct hf_buf *out, enum hf_encoding encoding, const struct hf_session_past *past)
{
    hf_items_begin(out, encoding, HF_ITEMS_ARRAY);
    for (uint32_t i = 0; i < past->refusal_count; i++) {
        enum hf_code code = (enum hf_code)past->refusals[i].code;
        struct hf_items_refusal refusal = {.seq = past->refusals[i].seq,
                                           .code = hf_str_from(hf_code_name(code)),
                                           .reason = hf_str_from(hf_refusal_reason(code))};

        hf_items_put_refusal(out, encoding, &refusal);
    }
    hf_items_end(out, encoding, HF_ITEMS_ARRAY);
}

static void send_welcome(struct hf_conn *c, const struct welcome *w)
{
    struct hf_hub *hub = c->hub;
    const struct hf_config *config = hub->config;
    uint8_t ticket[HF_TICKET_BYTES];
    char ticket_text[TICKET_TEXT], session_text[SESSION_TEXT + 1], server_id[SESSION_TEXT + 1];
    struct hf_buf *channels = &hub->items, refusals;
    struct hf_msg m = {.type = HF_MSG_WELCOME,
                       .encoding = hf_conn_encoding(c),
                       .has = HF_HAS_CHANNELS | (w->last_seq_known ? HF_HAS_LAST_SEQ : 0),
                       .resumed = w->resumed,
                       .last_seq = w->last_seq,
                       .ttl_ms = config->session_ttl_ms,
                       .server_time = hub->now.wall_ms,
                       .interval_ms = c->heartbeat_ms,
                       .heartbeat_min_ms = config->heartbeat_min_ms,
                       .heartbeat_max_ms = config->heartbeat_max_ms,
                       .loss_spread_ms = hf_admission_spread_ms(hub),
                       .max_message = config->message_bytes_max,
                       .address = hf_str_from(c->upgrade->address)};

    hf_session_ticket(c->session, ticket);
    ticket_write(ticket, ticket_text);
    snprintf(session_text, sizeof(session_text), "%016llx", (unsigned long long)c->session->number);
    snprintf(server_id, sizeof(server_id), "%016llx", (unsigned long long)hub->region->config->boot_id);
    m.ticket = (struct hf_str){ticket_text, sizeof(ticket_text)};
    m.session = hf_str_from(session_text);
    m.server_id = hf_str_from(server_id);
    hf_buf_reset(channels);
    hf_items_begin(channels, m.encoding, HF_ITEMS_ARRAY);
    for (const struct hf_sub *s = c->subs; s != NULL; s = s->next)
        put_position(channels, c, s);
    hf_items_end(channels, m.encoding, HF_ITEMS_ARRAY);
    m.channels = hf_buf_str(channels);
    hf_buf_init(&refusals, REFUSALS_BYTES_MAX);
    if (w->past != NULL && w->past->refusal_count > 0) {
        put_refusals(&refusals, m.encoding, w->past);
        m.refusals = hf_buf_str(&refusals);
    }
    if (channels->failed || refusals.failed)
        hf_conn_drop(c, HF_CLOSE_INTERNAL);
    else
        hf_conn_send(c, &m);
    hf_buf_release(&refusals);
}

/* ---- Attaching ---- */

/* The connection and the session, which is ours now, belong together. Returns false without memory. */
static bool bind_session(struct hf_conn *c, struct hf_session *s, uint64_t generation, uint64_t last_seq)
{
    struct hf_hub *hub = c->hub;

    if (hf_conns_bind(&hub->conns, c, s->number) < 0) {
        hf_session_park(&hub->sessions, s, generation, hub->now.mono_ms);
        return false;
    }
    c->session = s;
    hf_gauge_add(hub->counters, HF_GAUGE_ATTACHED, 1);
    c->generation = generation;
    hf_window_release(&c->window);
    hf_window_init(&c->window, last_seq + 1);
    return true;
}

static const struct hf_refusal refused_meanwhile = {
    HF_COUNT_REFUSED_HOOK, 503, HF_CODE_UNAVAILABLE,
    "the session has ended meanwhile, and the application was not asked for a new one"};

static void attach_new(struct hf_conn *c, const struct hf_upgrade *u, const struct welcome *w)
{
    struct hf_hub *hub = c->hub;
    uint8_t random[20];
    struct hf_session *s;

    if (hub->granted == NULL && hf_hooks_guard(hub)) {
        refuse_busy(c, u, &refused_meanwhile);
        return;
    }
    hub->transport->random(hub->transport->ctx, random, sizeof(random));
    s = hf_sessions_add(&hub->sessions, random);
    if (s == NULL || !bind_session(c, s, 1, 0)) {
        refuse_busy(c, u, &hf_refused_sessions);
        return;
    }
    if (c->identity != NULL && hf_token_sign_session(c, c->identity) < 0) {
        hf_detach(c, true);
        refuse_busy(c, u, &hf_refused_sessions);
        return;
    }
    if (u->has_attempt)
        atomic_store(&s->attempt, u->attempt);
    accept_upgrade(c, u);
    hf_journal_attached(c, false);
    send_welcome(c, w);
}

/* The session's subscriptions in this worker: each goes on behind the last acknowledged offset. */
static bool restore_subs(struct hf_conn *c)
{
    struct hf_hub *hub = c->hub;
    struct hf_session_sub *cell;
    uint32_t cursor = 0;

    while ((cell = hf_session_sub_next(&hub->sessions, c->session, &cursor)) != NULL) {
        uint64_t cid = atomic_load(&cell->cid), head;
        bool latest = (cid & HF_SUB_LATEST) != 0;
        struct hf_topic *t;
        struct hf_sub *s;
        int err = hf_topic_get(hub, cid & HF_SUB_CID, &t);

        if (err == HF_EAGAIN) { /* The channel has been forgotten: not while a session that names it lives. */
            hf_session_sub_remove(cell);
            continue;
        }
        s = err < 0 ? NULL : hf_sub_add(c, t, cell, latest);
        if (s == NULL)
            return false;
        head = atomic_load(&t->channel->head);
        hf_cursor_resume(&s->cursor, atomic_load(&cell->acked), latest, head);
        s->catching_up = s->cursor.next_offset <= head;
        if (s->catching_up)
            hf_sub_due(s);
        if ((cid & HF_SUB_PRESENCE) != 0)
            hf_presence_watch(s);
    }
    return true;
}

static void send_refusals(struct hf_conn *c)
{
    uint64_t seq;
    uint8_t code;

    for (uint32_t i = 0;
         c->session != NULL && hf_session_refusal(&c->hub->sessions, c->session, i, &seq, &code); i++) {
        struct hf_msg nack = {.type = HF_MSG_NACK,
                              .has = HF_HAS_SEQ | HF_HAS_CODE | HF_HAS_REASON,
                              .seq = seq,
                              .code = hf_str_from(hf_code_name((enum hf_code)code)),
                              .reason = hf_str_from(hf_refusal_reason((enum hf_code)code))};

        if (seq < c->window.first_seq)
            hf_conn_send(c, &nack);
    }
}

static void attach_resumed(struct hf_conn *c, const struct hf_upgrade *u, struct hf_session *s,
                           uint64_t generation, bool settled)
{
    struct welcome w = {.resumed = true, .last_seq_known = true, .last_seq = hf_session_last_seq(s, settled)};

    atomic_store(&s->last_seq, w.last_seq);
    if (!bind_session(c, s, generation, w.last_seq)) {
        refuse_busy(c, u, &hf_refused_memory);
        return;
    }
    if (c->identity != NULL && hf_token_sign_session(c, c->identity) < 0) {
        hf_detach(c, false);
        refuse_busy(c, u, &hf_refused_sessions);
        return;
    }
    if (u->has_attempt)
        atomic_store(&s->attempt, u->attempt);
    accept_upgrade(c, u);
    hf_journal_attached(c, true);
    if (!restore_subs(c)) {
        hf_conn_close(c, HF_CLOSE_TRY_AGAIN_LATER, "the server is short of memory");
        return;
    }
    hf_count(c->hub->counters, HF_COUNT_RESUMES_OK, 1);
    send_welcome(c, &w);
    send_refusals(c);
    hf_rules_enforce(c); /* Its token, or the rules, may be others now. */
}

/* What is known of the session that a ticket named once. */
static bool find_past(struct hf_conn *c, const struct hf_upgrade *u, const struct hf_session *ended,
                      struct hf_session_past *past)
{
    const struct hf_sessions *t = &c->hub->sessions;
    uint64_t number;

    if (!u->has_ticket)
        return false;
    memcpy(&number, u->ticket, sizeof(number));
    return (ended != NULL && hf_session_ended_past(t, ended, number, past)) ||
           hf_sessions_tombstone(t, u->ticket, c->hub->now.mono_ms, past) == 0;
}

/* "It does not (expired, server lost it, another machine, not a ticket of this server at all): resumed:false" */
static void attach_instead(struct hf_conn *c, const struct hf_upgrade *u, const struct hf_session *ended)
{
    struct hf_session_past past = {.last_seq = 0};
    struct welcome w = {.last_seq_known = find_past(c, u, ended, &past)};

    if (w.last_seq_known) {
        w.last_seq = past.last_seq;
        w.past = &past;
    }
    hf_count(c->hub->counters, w.last_seq_known ? HF_COUNT_RESUMES_TOMBSTONE : HF_COUNT_RESUMES_EXPIRED, 1);
    attach_new(c, u, &w);
}

/* The session stays with whom it belongs to, and what was published in it may still be on its way: lastSeq is null. */
static void attach_stranger(struct hf_conn *c, const struct hf_upgrade *u)
{
    hf_count(c->hub->counters, HF_COUNT_RESUMES_OTHER_USER, 1);
    attach_new(c, u, &(struct welcome){0});
}

/* Whether the session can be taken now; if not, whoever holds it has been asked. */
static bool free_to_take(struct hf_conn *c, struct hf_upgrade *u, const struct hf_session *s, uint64_t state)
{
    struct hf_hub *hub = c->hub;
    uint32_t owner = hf_state_owner(state);

    if (hf_state_phase(state) == HF_SESSION_PARKED)
        return true;
    if (owner == hub->slot) {
        struct hf_conn *old = hf_conns_by_session(&hub->conns, s->number);

        if (old != NULL)
            hf_attach_supersede(old);
        return old == NULL || hf_state_phase(atomic_load(&s->state)) == HF_SESSION_PARKED;
    }
    if (!hf_region_lives(hub->region, owner, hf_state_life(state)))
        return true; /* Its process is dead. */
    if (u->asked != owner + 1 &&
        hf_exchange_take(hub, owner, s->number, u->has_attempt ? u->attempt : 0, c->serial))
        u->asked = owner + 1;
    return false;
}

static void try_resume(struct hf_conn *c)
{
    struct hf_hub *hub = c->hub;
    struct hf_upgrade *u = c->upgrade;
    struct hf_session *s = u->has_ticket ? hf_sessions_by_ticket(&hub->sessions, u->ticket) : NULL;
    uint64_t state, generation;

    if (s == NULL || hf_state_phase(atomic_load(&s->state)) == HF_SESSION_ENDED) {
        attach_instead(c, u, s);
        return;
    }
    hf_hooks_remember(c, s);
    if (!hf_token_owns(c, s)) {
        attach_stranger(c, u);
        return;
    }
    /* "the server takes none that is not above the session's last" */
    if (u->has_attempt && atomic_load(&s->attempt) >= u->attempt) {
        hf_count(hub->counters, HF_COUNT_RESUMES_STALE, 1);
        hf_conn_refuse(c, HF_COUNT_REFUSED_ATTEMPT, 409, HF_CODE_BAD_SEQ,
                       "a newer attempt of this session has been taken", 0);
        return;
    }
    if (free_to_take(c, u, s, atomic_load(&s->state))) {
        bool settled;

        state = atomic_load(&s->state); /* After a local takeover it has changed. */
        settled = hf_state_phase(state) == HF_SESSION_PARKED &&
                  atomic_load(&s->parked_ms) < hf_region_settled_ms(hub->region, hub->now.mono_ms);
        generation = hf_session_take(&hub->sessions, s, state);
        if (generation != 0) {
            attach_resumed(c, u, s, generation, settled);
            return;
        }
    }
    hf_young_end(c);
    c->phase = HF_CONN_TAKING; /* Asked, or somebody was faster: look again soon. */
    hf_wheel_add(&hub->wheel, &c->timer, hub->now.mono_ms + TAKE_POLL_MS);
}

/* It has its answer: the rest of its life is without what only the handshake needs. */
static void upgraded(struct hf_conn *c)
{
    free(c->upgrade);
    c->told = NULL;
    if (c->hub->advice.newcomers_too)
        hf_hub_advise(c);
}

void hf_attach_taken(struct hf_conn *c)
{
    if (c->phase != HF_CONN_TAKING)
        return;
    try_resume(c);
    if (c->phase == HF_CONN_TAKING)
        return;
    upgraded(c);
    if (c->phase == HF_CONN_OPEN)
        hf_conn_resume_input(c);
}

/* Whether there is room for it, and then whose it is: a token costs more to look at than a place. Returns false where it was told why not. */
static bool admit(struct hf_conn *c, const struct hf_handshake *h, enum hf_gate_kind kind)
{
    const struct hf_refusal *full = hf_admission_judge(c, kind);
    struct hf_token_verdict verdict;

    if (full != NULL) {
        refuse_busy(c, c->upgrade, full);
        return false;
    }
    verdict = hf_token_admit(c, h);
    if (verdict.fault != HF_TOKEN_GOOD)
        refuse_token(c, c->upgrade, &verdict);
    return verdict.fault == HF_TOKEN_GOOD;
}

/* Whoever may come in does. */
static void let_in(struct hf_conn *c)
{
    if (!c->upgrade->ticket_given) {
        attach_new(c, c->upgrade, &(struct welcome){0});
        return;
    }
    c->deadline_ms = c->hub->now.mono_ms + HF_TAKE_TIMEOUT_MS;
    try_resume(c);
}

static void let_in_by(struct hf_conn *c, const struct hf_hook_answer *answer)
{
    c->hub->granted = answer;
    let_in(c);
    c->hub->granted = NULL;
}

/* What a browser cannot see of a refusal it is told by a close code: 4002 makes its client ask for a token, behind 4003 it stays away. */
static void reject_browser(struct hf_conn *c, enum hf_code code, const char *reason)
{
    hf_count(c->hub->counters, HF_COUNT_REFUSED_BACKEND, 1);
    accept_upgrade(c, c->upgrade);
    /* RFC 6455 section 5.5: control frames "MUST have a payload length of 125 bytes or less". */
    hf_conn_close(c, code == HF_CODE_UNAUTHORIZED ? HF_CLOSE_TOKEN_EXPIRED : HF_CLOSE_ENDED,
                  strlen(reason) <= 123 ? reason : "refused by the application");
}

static void reject(struct hf_conn *c, enum hf_code code, const char *reason, bool busy)
{
    bool for_now = code == HF_CODE_RATE_LIMITED || code == HF_CODE_LIMIT || code == HF_CODE_OVERLOADED ||
                   code == HF_CODE_UNAVAILABLE || code == HF_CODE_TIMEOUT;
    struct hf_refusal why = {busy ? HF_COUNT_REFUSED_HOOK : HF_COUNT_REFUSED_BACKEND,
                             code == HF_CODE_RATE_LIMITED ? 429 : 503, code, reason};

    if (busy || for_now)
        refuse_busy(c, c->upgrade, &why);
    else if (c->upgrade->from_browser)
        reject_browser(c, code, reason);
    else
        hf_conn_refuse(c, why.cause, code == HF_CODE_UNAUTHORIZED ? 401 : 403, code, reason, 0);
}

/* The end of ASKING. */
static void asked(struct hf_conn *c)
{
    if (c->phase != HF_CONN_TAKING)
        upgraded(c);
}

void hf_attach_admitted(struct hf_conn *c, const struct hf_hook_answer *answer)
{
    let_in_by(c, answer);
    asked(c);
    if (c->phase == HF_CONN_OPEN && c->generation == 1) /* A session that is resumed has its subscriptions. */
        hf_hooks_grant(c, answer);
    if (c->phase == HF_CONN_OPEN)
        hf_conn_resume_input(c);
}

void hf_attach_rejected(struct hf_conn *c, enum hf_code code, const char *reason, bool busy)
{
    reject(c, code, reason, busy);
    asked(c);
}

/* Whether it resumes a session, as far as can be seen: with the ticket of another user's session a new one begins. Without a token the backend may say whose it is. */
static bool resumes(const struct hf_conn *c)
{
    const struct hf_upgrade *u = c->upgrade;
    const struct hf_session *s = u->has_ticket ? hf_sessions_by_ticket(&c->hub->sessions, u->ticket) : NULL;

    return s != NULL && hf_state_phase(atomic_load(&s->state)) != HF_SESSION_ENDED &&
           (c->identity == NULL || hf_token_owns(c, s));
}

/* Ask the backend where it wants to be asked. Returns true where it need not be, or cannot be and that counts as yes. */
static bool ask_backend(struct hf_conn *c, const struct hf_handshake *h, bool resume)
{
    enum hf_code code;
    const char *reason;

    switch (hf_hooks_connect(c, h, resume, &code, &reason)) {
    case HF_ASKED_ALLOWED:
        return true;
    case HF_ASKED_REFUSED:
        reject(c, code, reason, true);
        return false;
    case HF_ASKED_WAIT:
        break;
    }
    hf_young_end(c);
    c->phase = HF_CONN_ASKING;
    c->deadline_ms = c->hub->now.mono_ms + c->hub->config->hooks.timeout_ms + ASK_GRACE_MS;
    hf_conn_schedule(c);
    return false;
}

static void attach(struct hf_conn *c, const struct hf_handshake *h)
{
    struct hf_upgrade *u = c->upgrade;
    const char *wrong;
    bool resume;

    hf_assert(h->key.len == HF_WS_KEY_LEN);
    memcpy(u->key, h->key.data, HF_WS_KEY_LEN);
    u->from_browser = h->origin.data != NULL;
    if (c->hub->compressed != NULL)
        u->deflate = h->deflate;
    hf_admission_name(c, h);
    if (!hf_origin_allowed(c->hub->config, h->origin)) {
        hf_conn_refuse(c, HF_COUNT_REFUSED_ORIGIN, 403, HF_CODE_FORBIDDEN,
                       "pages of this Origin may not connect: see auth.origins in the configuration", 0);
        return;
    }
    if (c->hub->config->echo && hf_str_eq(h->path, HF_STR("/echo"))) {
        c->echo = true;
        if (admit(c, h, HF_GATE_NEW))
            accept_upgrade(c, u);
        return;
    }
    if (!hf_str_eq(h->path, HF_STR("/ws"))) {
        hf_conn_refuse(c, HF_COUNT_REFUSED_REQUEST, 404, HF_CODE_NOT_FOUND,
                       "there is nothing here: connect to /ws", 0);
        return;
    }
    wrong = read_request(u, h, &u->ticket_given);
    if (wrong != NULL) {
        hf_conn_refuse(c, HF_COUNT_REFUSED_REQUEST, 400, HF_CODE_BAD_MESSAGE, wrong, 0);
        return;
    }
    if (!admit(c, h, kind_of(c, u)))
        return;
    resume = resumes(c);
    if (!ask_backend(c, h, resume))
        return;
    if (resume) /* No new session comes of it without its being asked for. */
        let_in(c);
    else
        let_in_by(c, &(struct hf_hook_answer){.allowed = true});
}

void hf_attach_begin(struct hf_conn *c, const struct hf_handshake *h)
{
    attach(c, h);
    if (c->phase != HF_CONN_TAKING && c->phase != HF_CONN_ASKING)
        upgraded(c);
}

/* ---- Parting ---- */

void hf_detach(struct hf_conn *c, bool end)
{
    struct hf_hub *hub = c->hub;

    while (c->subs != NULL)
        hf_sub_remove(c->subs);
    if (c->session == NULL)
        return;
    hf_conns_unbind(&hub->conns, c->session->number);
    if (end && hf_session_end(&hub->sessions, c->session, c->generation, hub->now.mono_ms))
        hf_presence_session_changed(hub, c->session);
    if (!end)
        hf_session_park(&hub->sessions, c->session, c->generation, hub->now.mono_ms);
    c->session = NULL;
    hf_gauge_add(hub->counters, HF_GAUGE_ATTACHED, -1);
    c->acks_due = false;
    hf_window_release(&c->window);
}

void hf_attach_orphan(struct hf_hub *hub, struct hf_session *s)
{
    uint64_t state = atomic_load(&s->state);

    if (hf_state_phase(state) == HF_SESSION_LIVE && hf_state_owner(state) == hub->slot &&
        hf_conns_by_session(&hub->conns, s->number) == NULL)
        (void)hf_session_park_orphan(&hub->sessions, s, state, hub->now.mono_ms);
}

void hf_attach_supersede(struct hf_conn *c)
{
    /* "Its older connection, if any, gets its output flushed as far as the socket takes it and is closed with 4001." */
    if (!c->blocked && !hf_deliver_flush(c))
        return;
    hf_conn_close(c, HF_CLOSE_SUPERSEDED, "the session has a new connection");
}
