/*
 * attach_answer.c - the answer to the upgrade request: 101, or why not, as whoever asked can see it.
 */
#include "server/attach_impl.h"

#include "server/token.h"
#include "ws/handshake.h"

static struct hf_str protocol_of(const struct hf_upgrade *u)
{
    if (!u->named)
        return (struct hf_str){0};
    return u->binary ? HF_STR(HF_PROTOCOL_BINARY) : HF_STR(HF_PROTOCOL_JSON);
}

void hf_attach_accept(struct hf_conn *c)
{
    const struct hf_upgrade *u = c->upgrade;

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

enum hf_gate_kind hf_attach_kind(const struct hf_conn *c)
{
    const struct hf_upgrade *u = c->upgrade;
    const struct hf_session *s = u->has_ticket ? hf_sessions_by_ticket(&c->hub->sessions, u->ticket) : NULL;

    return s != NULL && hf_state_phase(atomic_load(&s->state)) != HF_SESSION_ENDED ? HF_GATE_RESUME
                                                                                   : HF_GATE_NEW;
}

/* "to a client that sends Origin the server answers 429 and 503 as 101, reconnect {after, code} and close 1013" */
void hf_attach_refuse(struct hf_conn *c, const struct hf_refusal *why)
{
    bool draining = why->code == HF_CODE_DRAINING;
    uint32_t wait_ms = hf_admission_wait_ms(c, hf_attach_kind(c));
    struct hf_msg m = {.type = HF_MSG_RECONNECT,
                       .has = HF_HAS_CODE,
                       .code = hf_str_from(hf_code_name(draining ? HF_CODE_DRAINING : HF_CODE_OVERLOADED)),
                       .after_min_ms = wait_ms,
                       .after_max_ms = wait_ms + 1000};

    if (!c->upgrade->from_browser) {
        hf_conn_refuse(c, why->cause, why->status, draining ? HF_CODE_UNAVAILABLE : why->code, why->reason,
                       wait_ms / 1000);
        return;
    }
    hf_count(c->hub->counters, why->cause, 1);
    hf_attach_accept(c);
    hf_conn_send(c, &m);
    if (c->phase == HF_CONN_OPEN)
        hf_conn_close_as(c, HF_CLOSE_TRY_AGAIN_LATER, why->reason, HF_COUNT_DISCONNECT_REFUSED);
}

/*
 * "A browser cannot see" a 401, and would try for ever with what it has. So it is told by close code 4002, behind which a client "asks the application for a token
 * first", with the reason for whoever looks into the browser's tools.
 */
void hf_attach_refuse_token(struct hf_conn *c, const struct hf_token_verdict *no)
{
    if (no->fault == HF_TOKEN_NO_MEMORY) {
        hf_attach_refuse(c, &hf_refused_memory);
        return;
    }
    hf_token_count(c->hub, no->fault);
    if (!c->upgrade->from_browser) {
        hf_conn_refuse(c, HF_COUNT_REFUSED_TOKEN, 401, HF_CODE_UNAUTHORIZED, no->why, 0);
        return;
    }
    hf_count(c->hub->counters, HF_COUNT_REFUSED_TOKEN, 1);
    hf_attach_accept(c);
    hf_conn_close(c, HF_CLOSE_TOKEN_EXPIRED, no->why);
}
