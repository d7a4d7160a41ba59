/*
 * connection.c - one connection's bytes: the handshake, WebSocket events, control output, heartbeat and the ways to end.
 */
#include "server/admission.h"
#include "server/hub_state.h"
#include "server/token.h"

#include "base/assert.h"
#include "wire/binary.h"
#include "wire/json.h"
#include "ws/handshake.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MESSAGE_BYTES_LEAST = 4096, /* a control message must fit, however small payloads are held */
    OUT_BYTES_MAX =
        64u << 20, /* control output: bounded by HF_OUT_SOFT_BYTES and one answer; this is the last resort */
    HTTP_REQUEST_TIMEOUT = 408,
    EARLY_BYTES_MAX =
        4096, /* kept of what a client sends while the backend is asked whether it may come in */
};

/* ---- Life ---- */

size_t hf_conn_message_bytes_max(const struct hf_config *config)
{
    /* "A larger payload in a message of up to twice that is answered nack too_large; beyond, close 1009." */
    size_t twice = 2 * (size_t)config->message_bytes_max;

    return twice < MESSAGE_BYTES_LEAST ? MESSAGE_BYTES_LEAST : twice;
}

struct hf_conn *hf_hub_open(struct hf_hub *hub, const char *address, struct hf_now now)
{
    struct hf_conn *c = calloc(1, sizeof(*c) + hub->transport->socket_bytes);
    struct hf_upgrade *u = calloc(1, sizeof(*u));

    hub->now = now;
    if (c == NULL || u == NULL || hf_due_reserve(&hub->due, hub->conns.count + 1) < 0 ||
        hf_due_reserve(&hub->flushing, hub->conns.count + 1) < 0 || hf_conns_add(&hub->conns, c) < 0) {
        free(u);
        free(c);
        return NULL;
    }
    u->conn = c;
    u->began_ms = now.mono_ms;
    snprintf(u->address, sizeof(u->address), "%s", address);
    c->hub = hub;
    c->upgrade = u;
    c->phase = HF_CONN_HANDSHAKE;
    hf_timer_init(&c->timer);
    hf_young_begin(c);
    hf_ws_init(&c->ws, HF_WS_SERVER, hf_conn_message_bytes_max(hub->config));
    hf_buf_init(&c->out, OUT_BYTES_MAX);
    hf_window_init(&c->window, 1);
    c->heartbeat_ms = hub->config->heartbeat_interval_ms;
    c->received_ms = now.mono_ms;
    c->deadline_ms = now.mono_ms + hub->config->handshake_timeout_ms;
    hf_conn_schedule(c);
    return c;
}

/* An idle connection keeps no memory for input. */
static void free_input(struct hf_conn *c)
{
    if (c->in == NULL)
        return;
    hf_buf_release(c->in);
    free(c->in);
    c->in = NULL;
}

void hf_conn_free(struct hf_conn *c)
{
    hf_ws_release(&c->ws);
    free_input(c);
    hf_buf_reset(&c->out);
    hf_loan_return(&c->hub->loan, c);
    hf_window_release(&c->window);
    hf_identity_drop(c->identity);
    free(c->upgrade); /* Or c->told. */
    free(c);
}

void *hf_hub_socket(struct hf_conn *c)
{
    return hf_conn_socket(c);
}

struct hf_conn *hf_hub_conn(void *socket)
{
    return (struct hf_conn *)socket - 1;
}

static enum hf_counter close_counter(uint16_t code)
{
    switch (code) {
#define CASE(n)                                                                                              \
    case n:                                                                                                  \
        return HF_COUNT_CLOSE_##n;
        CASE(1000)
        CASE(1001)
        CASE(1002)
        CASE(1003)
        CASE(1006)
        CASE(1007)
        CASE(1008)
        CASE(1009)
        CASE(1011)
        CASE(1012)
        CASE(1013)
        CASE(4001)
        CASE(4002)
        CASE(4003)
        CASE(4004)
        CASE(4005)
#undef CASE
    default:
        return HF_COUNT_CLOSE_OTHER;
    }
}

/* Why a connection ends that we close, or drop, with this code. */
static enum hf_counter cause_of(uint16_t code)
{
    switch (code) {
    case HF_CLOSE_NORMAL:
        return HF_COUNT_DISCONNECT_CLIENT;
    case HF_CLOSE_GOING_AWAY:
        return HF_COUNT_DISCONNECT_SHUTDOWN;
    case HF_CLOSE_ABNORMAL:
        return HF_COUNT_DISCONNECT_LOST;
    case HF_CLOSE_INTERNAL:
    case HF_CLOSE_TRY_AGAIN_LATER:
        return HF_COUNT_DISCONNECT_SERVER;
    case HF_CLOSE_SUPERSEDED:
        return HF_COUNT_DISCONNECT_SUPERSEDED;
    case HF_CLOSE_TOKEN_EXPIRED:
        return HF_COUNT_DISCONNECT_TOKEN;
    case HF_CLOSE_ENDED:
        return HF_COUNT_DISCONNECT_BACKEND;
    case HF_CLOSE_HEARTBEAT_MISSED:
        return HF_COUNT_DISCONNECT_HEARTBEAT;
    case HF_CLOSE_TOO_SLOW:
        return HF_COUNT_DISCONNECT_SLOW;
    case HF_CLOSE_SESSION_LIMIT:
        return HF_COUNT_DISCONNECT_REFUSED;
    default:
        return code < HF_CLOSE_SUPERSEDED ? HF_COUNT_DISCONNECT_PROTOCOL : HF_COUNT_DISCONNECT_OTHER;
    }
}

/* It was an open WebSocket, and is not one any more. */
static void count_close(struct hf_conn *c, uint16_t code, enum hf_counter cause)
{
    if (c->close_code != 0)
        return;
    c->close_code = code;
    hf_count(c->hub->counters, close_counter(code), 1);
    hf_count(c->hub->counters, cause, 1);
    hf_journal_closed(c, code,
                      cause == HF_COUNT_DISCONNECT_LOST     ? HF_JOURNAL_BY_PATH
                      : cause == HF_COUNT_DISCONNECT_CLIENT ? HF_JOURNAL_BY_PEER
                                                            : HF_JOURNAL_BY_SERVER);
    hf_measure(c->hub->counters, HF_MEASURE_LIFETIME, (uint32_t)c->hub->now.mono_ms - c->opened_ms);
    hf_admission_closed(c);
}

void hf_conn_set_blocked(struct hf_conn *c, bool blocked)
{
    if (c->blocked != blocked)
        hf_gauge_add(c->hub->counters, HF_GAUGE_BLOCKED, blocked ? 1 : -1);
    c->blocked = blocked;
    if (blocked)
        hf_busy_watch(c);
}

void hf_conn_drop(struct hf_conn *c, uint16_t code_for_statistics)
{
    struct hf_hub *hub = c->hub;

    if (c->phase == HF_CONN_DEAD)
        return;
    if (c->phase == HF_CONN_OPEN)
        count_close(c, code_for_statistics, cause_of(code_for_statistics));
    hf_conn_set_blocked(c, false);
    hf_busy_unwatch(c);
    hf_detach(c, false);
    hf_stall_free(c);
    hf_admission_left(c);
    hf_young_end(c);
    c->phase = HF_CONN_DEAD;
    hf_conns_remove(&hub->conns, c);
    hf_wheel_remove(&hub->wheel, &c->timer);
    hf_due_remove(&hub->due, c);
    hf_due_remove(&hub->flushing, c);
    hf_list_add_tail(&hub->dead,
                     &c->timer.link); /* Freed at the end of the turn: somebody above us may still hold it. */
    hub->transport->close(hub->transport->ctx, hf_conn_socket(c));
}

static void begin_closing(struct hf_conn *c)
{
    hf_young_end(c);
    hf_admission_left(c);
    c->phase = HF_CONN_CLOSING;
    hf_stall_free(c);
    c->deadline_ms = c->hub->now.mono_ms + HF_CLOSE_LINGER_MS;
    hf_conn_schedule(c);
    hf_conn_due(c);
    if (c->paused) { /* The peer's end must be seen. */
        c->paused = false;
        c->hub->transport->pause(c->hub->transport->ctx, hf_conn_socket(c), false);
    }
}

void hf_conn_close(struct hf_conn *c, uint16_t code, const char *reason)
{
    hf_conn_close_as(c, code, reason, cause_of(code));
}

void hf_conn_close_as(struct hf_conn *c, uint16_t code, const char *reason, enum hf_counter cause)
{
    if (c->phase == HF_CONN_CLOSING || c->phase == HF_CONN_DEAD)
        return;
    hf_assert(c->phase == HF_CONN_OPEN);
    count_close(c, code == HF_CLOSE_NO_STATUS ? HF_CLOSE_NORMAL : code, cause);
    hf_detach(c, false);
    (void)hf_ws_put_close(hf_conn_out(c), code, hf_str_from(reason), NULL);
    begin_closing(c);
}

void hf_conn_refuse(struct hf_conn *c, enum hf_counter cause, int status, enum hf_code code,
                    const char *reason, unsigned retry_after_s)
{
    hf_count(c->hub->counters, cause, 1);
    (void)hf_handshake_put_refusal(hf_conn_out(c), status, hf_code_name(code), reason, retry_after_s);
    begin_closing(c);
}

/* ---- Output ---- */

struct hf_buf *hf_conn_out(struct hf_conn *c)
{
    return hf_loan_out(&c->hub->loan, c);
}

void hf_conn_due(struct hf_conn *c)
{
    if (c->due_at == 0 && !c->blocked)
        hf_due_add(&c->hub->due, c);
}

static int put_message(struct hf_conn *c, enum hf_ws_opcode opcode, const void *data, size_t len)
{
    if (c->window_bits > 0)
        return hf_compressed_put(c->hub->compressed, c->window_bits, hf_conn_out(c), opcode, data, len);
    return hf_ws_put_frame(hf_conn_out(c), opcode, data, len, NULL);
}

int hf_conn_encode(const struct hf_conn *c, struct hf_buf *out, const struct hf_msg *m)
{
    return c->binary ? hf_binary_encode(out, m) : hf_json_encode(out, m);
}

void hf_conn_send_encoded(struct hf_conn *c, struct hf_str message)
{
    if (put_message(c, hf_conn_opcode(c), message.data, message.len) < 0) {
        hf_conn_drop(c,
                     HF_CLOSE_INTERNAL); /* No memory for what it must be told: it comes back and resumes. */
        return;
    }
    hf_conn_due(c);
}

void hf_conn_send(struct hf_conn *c, const struct hf_msg *m)
{
    struct hf_buf *scratch = &c->hub->scratch;

    hf_buf_reset(scratch);
    if (hf_conn_encode(c, scratch, m) < 0) {
        hf_conn_drop(c, HF_CLOSE_INTERNAL);
        return;
    }
    hf_conn_send_encoded(c, hf_buf_str(scratch));
}

/* ---- Input ---- */

static void echo_message(struct hf_conn *c, const struct hf_ws_event *ev)
{
    enum hf_ws_opcode opcode = ev->type == HF_WS_EV_TEXT ? HF_WS_TEXT : HF_WS_BINARY;

    if (put_message(c, opcode, ev->data, ev->len) < 0)
        hf_conn_drop(c, HF_CLOSE_INTERNAL);
}

/*
 * "after 1009 [a client] takes its oldest unanswered publish for refused": so that this is the one that was too large, all that it
 * published before are answered first; hf_publish_ack() then closes.
 */
static void framing_broken(struct hf_conn *c, const struct hf_ws_event *ev)
{
    char reason[124];
    size_t len = ev->len < sizeof(reason) ? ev->len : sizeof(reason) - 1;

    c->too_big = ev->close_code == HF_CLOSE_TOO_BIG && hf_window_count(&c->window) > 0;
    if (c->too_big)
        return;
    memcpy(reason, ev->data, len);
    reason[len] = '\0';
    hf_conn_close(c, ev->close_code, reason);
}

static void take_event(struct hf_conn *c, const struct hf_ws_event *ev)
{
    switch (ev->type) {
    case HF_WS_EV_TEXT:
    case HF_WS_EV_BINARY:
        hf_count(c->hub->counters, HF_COUNT_MESSAGES_IN, !c->binary); /* Records are counted one by one. */
        if (c->echo)
            echo_message(c, ev);
        else if (c->binary == (ev->type == HF_WS_EV_BINARY))
            hf_dispatch(c, ev->data, ev->len);
        else /* PROTOCOL.md "Opening": "The other kind of message on either: close 1003." */
            hf_conn_close(c, HF_CLOSE_UNSUPPORTED,
                          c->binary ? "this connection speaks " HF_PROTOCOL_BINARY ": send binary messages"
                                    : "this connection speaks JSON: send text messages");
        break;
    case HF_WS_EV_PING:
        if (hf_ws_put_frame(hf_conn_out(c), HF_WS_PONG, ev->data, ev->len, NULL) == 0)
            hf_conn_due(c);
        break;
    case HF_WS_EV_CLOSE: /* RFC 6455 section 5.5.1: "the endpoint typically echos the status code it received". */
        hf_conn_close_as(c, ev->close_code, "", HF_COUNT_DISCONNECT_CLIENT);
        break;
    case HF_WS_EV_ERROR:
        framing_broken(c, ev);
        break;
    case HF_WS_EV_PONG: /* Its arrival is all it says. */
    case HF_WS_EV_NONE:
        break;
    }
}

/* Most of an echo's input in one go. Returns the bytes used. */
static size_t echo_small(struct hf_conn *c, const uint8_t *data, size_t len)
{
    struct hf_buf *out = hf_conn_out(c);
    uint8_t *room = hf_ws_idle(&c->ws) ? hf_buf_reserve(out, len) : NULL;
    size_t out_len, count, used;

    if (room == NULL)
        return 0;
    used = hf_ws_echo(&c->ws, data, len, room, &out_len, &count);
    hf_buf_commit(out, out_len);
    hf_count(c->hub->counters, HF_COUNT_MESSAGES_IN, count);
    return used;
}

/* Whether more input may be taken now. */
static bool takes_input(const struct hf_conn *c)
{
    return c->phase == HF_CONN_OPEN && c->stall == NULL && !c->too_big &&
           (c->out.len < HF_OUT_SOFT_BYTES ||
            (c->echo && !c->blocked)); /* An echo is flushed behind its input. */
}

/*
 * Returns the bytes used; the rest waits for the stall to end. The parser is asked until it says NONE, also with nothing left: only then
 * it gives back the memory of a message that was cut.
 */
static size_t take_frames(struct hf_conn *c, uint8_t *data, size_t len)
{
    struct hf_ws_event ev;
    size_t used = 0;

    while (takes_input(c)) {
        if (c->echo)
            used += echo_small(c, data + used, len - used);
        used += hf_ws_recv(&c->ws, data + used, len - used, &ev);
        if (ev.type == HF_WS_EV_NONE)
            break;
        if (ev.compressed)
            hf_compressed_inflate(c->hub->compressed, &c->ws, &ev);
        take_event(c, &ev);
    }
    if (c->echo && c->phase == HF_CONN_OPEN && c->out.len > 0 && !c->blocked)
        (void)hf_deliver_flush(c); /* Nothing else is sent to it that could go along. */
    return c->phase == HF_CONN_OPEN ? used : len;
}

static void set_paused(struct hf_conn *c, bool paused)
{
    if (c->paused == paused || c->phase == HF_CONN_DEAD)
        return;
    c->paused = paused;
    if (paused)
        hf_count(c->hub->counters, HF_COUNT_STALLS, 1);
    c->hub->transport->pause(c->hub->transport->ctx, hf_conn_socket(c), paused);
}

/* Where input waits; NULL without memory. */
static struct hf_buf *input_kept(struct hf_conn *c)
{
    if (c->in != NULL)
        return c->in;
    c->in = malloc(sizeof(*c->in));
    if (c->in != NULL)
        hf_buf_init(c->in, HF_READ_BYTES + hf_conn_message_bytes_max(c->hub->config));
    return c->in;
}

static void keep_rest(struct hf_conn *c, const uint8_t *data, size_t len)
{
    struct hf_buf *in;

    if (c->phase == HF_CONN_DEAD || c->phase == HF_CONN_CLOSING)
        return;
    in = input_kept(c);
    if (in == NULL || hf_buf_put(in, data, len) < 0)
        hf_conn_drop(c, HF_CLOSE_INTERNAL);
}

static void drop_waiting(struct hf_conn *c, size_t used)
{
    hf_buf_drop(c->in, used);
    if (c->in->len == 0)
        free_input(c);
}

/* What arrived behind a request head belongs to the WebSocket, or waits until there is one. */
static void take_handshake(struct hf_conn *c)
{
    struct hf_handshake h;
    int used = hf_handshake_parse_within(&h, (char *)c->in->data, c->in->len,
                                         c->hub->config->header_bytes_max, c->hub->config->headers_max);

    if (used == 0 && !hf_hub_memory_left()) /* It will hold memory for as long as it likes. */
        hf_conn_refuse(c, HF_COUNT_REFUSED_MEMORY, 503, HF_CODE_OVERLOADED, hf_refused_memory.reason, 1);
    if (used == 0)
        return;
    if (used < 0) {
        hf_conn_refuse(c, HF_COUNT_REFUSED_REQUEST, h.status, HF_CODE_BAD_MESSAGE, h.reason, 0);
        return;
    }
    hf_attach_begin(c, &h);
    if (c->phase == HF_CONN_OPEN || c->phase == HF_CONN_TAKING || c->phase == HF_CONN_ASKING)
        drop_waiting(c, (size_t)used);
    if (c->phase == HF_CONN_OPEN)
        hf_conn_resume_input(c);
    else if (c->phase == HF_CONN_TAKING)
        set_paused(c, true);
}

void hf_conn_resume_input(struct hf_conn *c)
{
    if (c->stall != NULL && hf_stall_on_output(c->stall) && !hf_dispatch_retry(c))
        return;
    if (c->in != NULL && takes_input(c)) {
        size_t used = take_frames(c, c->in->data, c->in->len);

        if (c->phase != HF_CONN_OPEN)
            return;
        drop_waiting(c, used);
    }
    if (c->phase == HF_CONN_OPEN)
        set_paused(c, !takes_input(c));
}

/* Something came, which proves the way as well as the answer does that was asked for. */
static void pong_received(struct hf_conn *c)
{
    c->pinged = false;
    hf_measure(c->hub->counters, HF_MEASURE_HEARTBEAT_RTT, (uint32_t)hf_now_us(c->hub->now) - c->pinged_us);
}

void hf_hub_input(struct hf_conn *c, uint8_t *data, size_t len, struct hf_now now)
{
    size_t used;

    c->hub->now = now;
    c->received_ms = now.mono_ms;
    if (c->pinged)
        pong_received(c);
    hf_count(c->hub->counters, HF_COUNT_BYTES_IN, len);
    switch (c->phase) {
    case HF_CONN_HANDSHAKE:
        keep_rest(c, data, len);
        if (c->phase == HF_CONN_HANDSHAKE)
            take_handshake(c);
        return;
    case HF_CONN_OPEN:
        if (c->in != NULL) { /* Something waits already: this comes behind it. */
            keep_rest(c, data, len);
            if (c->phase == HF_CONN_OPEN)
                hf_conn_resume_input(c);
            return;
        }
        used = take_frames(c, data, len);
        if (c->phase != HF_CONN_OPEN)
            return;
        if (used < len)
            keep_rest(c, data + used, len - used);
        set_paused(c, !takes_input(c));
        return;
    case HF_CONN_ASKING: /* It is read on, so that its end is seen; not much of it. */
        keep_rest(c, data, len);
        if (c->phase == HF_CONN_ASKING && c->in->len > EARLY_BYTES_MAX)
            set_paused(c, true);
        return;
    case HF_CONN_TAKING:
        keep_rest(c, data, len);
        return;
    default: /* CLOSING: we have said our last word. */
        return;
    }
}

void hf_hub_lost(struct hf_conn *c, bool broken, struct hf_now now)
{
    c->hub->now = now;
    (void)broken;
    hf_conn_drop(c, HF_CLOSE_ABNORMAL);
}

void hf_hub_writable(struct hf_conn *c, struct hf_now now)
{
    c->hub->now = now;
    if (c->phase == HF_CONN_DEAD || !c->blocked)
        return;
    hf_conn_set_blocked(c, false);
    hf_conn_due(c);
}

/* ---- Time ---- */

void hf_conn_schedule(struct hf_conn *c)
{
    uint64_t at, write_at, token_at;

    if (c->phase != HF_CONN_OPEN) {
        hf_wheel_add(&c->hub->wheel, &c->timer, c->deadline_ms);
        return;
    }
    at =
        c->received_ms + (c->pinged ? 2 * (uint64_t)c->heartbeat_ms : c->heartbeat_ms - hf_conn_spread_ms(c));
    write_at = hf_limits_write_deadline_ms(c);
    token_at = hf_token_deadline_ms(c);
    at = at < write_at ? at : write_at;
    hf_wheel_add(&c->hub->wheel, &c->timer, at < token_at ? at : token_at);
}

/* "Heartbeats": "After one interval without a byte received the server sends ping; after two it ends the connection with 4004." */
static void heartbeat(struct hf_conn *c)
{
    uint64_t idle_ms;

    if (c->stall != NULL &&
        c->stall->ask != 0) { /* It is not read while the backend is asked: the silence is ours. */
        c->received_ms = c->hub->now.mono_ms;
        c->pinged = false;
    }
    idle_ms = c->hub->now.mono_ms - c->received_ms;
    if (idle_ms >= 2 * (uint64_t)c->heartbeat_ms) {
        hf_count(c->hub->counters, HF_COUNT_HEARTBEATS_MISSED, 1);
        hf_conn_close(c, HF_CLOSE_HEARTBEAT_MISSED, "nothing received for two heartbeat intervals");
        return;
    }
    if (idle_ms >= c->heartbeat_ms - hf_conn_spread_ms(c) && !c->pinged) {
        c->pinged = true;
        c->spread = false;
        c->pinged_us = (uint32_t)hf_now_us(c->hub->now);
        hf_count(c->hub->counters, HF_COUNT_HEARTBEATS_SENT, 1);
        if (!c->echo)
            hf_conn_send(c, &(struct hf_msg){.type = HF_MSG_PING});
        if (!c->named &&
            c->phase == HF_CONN_OPEN) { /* A client that may not know our protocol knows RFC 6455's ping. */
            (void)hf_ws_put_frame(hf_conn_out(c), HF_WS_PING, NULL, 0, NULL);
            hf_conn_due(c);
        }
    } else if (!c->pinged && c->progress_ms == 0) /* Else the timer may have come for limits.write. */
        hf_count(c->hub->counters, HF_COUNT_HEARTBEATS_SAVED, 1);
    if (c->phase == HF_CONN_OPEN)
        hf_conn_schedule(c);
}

void hf_conn_timer(struct hf_conn *c)
{
    if (c->phase == HF_CONN_OPEN && c->hub->now.mono_ms >= hf_limits_write_deadline_ms(c)) {
        hf_conn_close(c, HF_CLOSE_TOO_SLOW, "nothing of what waits was taken for too long");
        return;
    }
    if (c->phase == HF_CONN_OPEN && hf_identity_ended(c->identity, c->hub->now.wall_ms)) {
        hf_token_over(c);
        return;
    }
    if (c->phase == HF_CONN_OPEN) {
        heartbeat(c);
        return;
    }
    if (c->hub->now.mono_ms < c->deadline_ms) {
        if (c->phase == HF_CONN_TAKING)
            hf_attach_taken(c); /* It looks again, and asks whoever has not been asked. */
        else
            hf_conn_schedule(c);
        return;
    }
    switch (c->phase) {
    case HF_CONN_HANDSHAKE:
        hf_count(c->hub->counters, HF_COUNT_HANDSHAKES_TIMED_OUT, 1);
        hf_conn_refuse(c, HF_COUNT_REFUSED_TIMEOUT, HTTP_REQUEST_TIMEOUT, HF_CODE_TIMEOUT,
                       "the upgrade request was not complete in time", 0);
        break;
    case HF_CONN_ASKING: /* The backend's answer comes earlier, whatever it is: this is the last resort. */
        hf_attach_rejected(c, HF_CODE_UNAVAILABLE, "the application's backend did not answer in time", true);
        break;
    case HF_CONN_TAKING:
        hf_count(c->hub->counters, HF_COUNT_RESUMES_FAILED, 1);
        hf_attach_refuse(c, &hf_refused_takeover);
        break;
    default:
        hf_conn_drop(c, HF_CLOSE_ABNORMAL);
        break;
    }
}
