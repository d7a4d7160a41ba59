/*
 * attach_welcome.c - what a connection hears of its session first: `welcome` with the places in its channels, and the refusals that it may not know.
 */
#include "server/attach_impl.h"

#include "base/base64.h"
#include "wire/items.h"

#include <stdio.h>

enum {
    SESSION_TEXT = 16,
    REFUSALS_BYTES_MAX = 8192, /* 32 of some 130 bytes */
};

static void put_position(struct hf_buf *out, const struct hf_conn *c, const struct hf_sub *s)
{
    char epoch[32];
    struct hf_position position = {.channel = hf_topic_name(s->topic),
                                   .offset = atomic_load(&s->cell->acked),
                                   .cid = hf_cid_to_wire(s->topic->cid)};

    position.epoch = (struct hf_str){epoch, hf_region_epoch(c->hub->region, s->topic->cid, epoch)};
    hf_items_put_position(out, hf_conn_encoding(c), &position);
}

static void put_positions(struct hf_buf *out, const struct hf_conn *c)
{
    hf_items_begin(out, hf_conn_encoding(c), HF_ITEMS_ARRAY);
    for (const struct hf_sub *s = c->subs; s != NULL; s = s->next)
        put_position(out, c, s);
    hf_items_end(out, hf_conn_encoding(c), HF_ITEMS_ARRAY);
}

/* "refusals: of the old session's last 32 refusals those that lastSeq covers" (docs/protocol.md) */
static void put_refusals(struct hf_buf *out, const struct hf_hub *hub, enum hf_encoding encoding,
                         const struct hf_session_past *past)
{
    hf_items_begin(out, encoding, HF_ITEMS_ARRAY);
    for (uint32_t i = 0; i < past->refusal_count; i++) {
        enum hf_code code = (enum hf_code)past->refusals[i].code;
        struct hf_items_refusal refusal = {.seq = past->refusals[i].seq,
                                           .code = hf_str_from(hf_code_name(code)),
                                           .reason = hf_str_from(hf_refusal_past_reason(hub, code))};

        hf_items_put_refusal(out, encoding, &refusal);
    }
    hf_items_end(out, encoding, HF_ITEMS_ARRAY);
}

void hf_attach_welcome(struct hf_conn *c, const struct hf_welcome *w)
{
    struct hf_hub *hub = c->hub;
    const struct hf_config *config = hub->config;
    uint8_t ticket[HF_TICKET_BYTES];
    char ticket_text[HF_TICKET_TEXT], session_text[SESSION_TEXT + 1], server_id[SESSION_TEXT + 1];
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
    hf_base64url_encode(ticket_text, ticket, sizeof(ticket));
    snprintf(session_text, sizeof(session_text), "%016llx", (unsigned long long)c->session->number);
    snprintf(server_id, sizeof(server_id), "%016llx", (unsigned long long)hub->region->config->boot_id);
    m.ticket = (struct hf_str){ticket_text, sizeof(ticket_text)};
    m.session = hf_str_from(session_text);
    m.server_id = hf_str_from(server_id);
    hf_buf_reset(channels);
    put_positions(channels, c);
    m.channels = hf_buf_str(channels);
    hf_buf_init(&refusals, REFUSALS_BYTES_MAX);
    if (w->past != NULL && w->past->refusal_count > 0) {
        put_refusals(&refusals, c->hub, m.encoding, w->past);
        m.refusals = hf_buf_str(&refusals);
    }
    if (channels->failed || refusals.failed)
        hf_conn_drop(c, HF_CLOSE_INTERNAL);
    else
        hf_conn_send(c, &m);
    hf_buf_release(&refusals);
}

void hf_attach_send_refusals(struct hf_conn *c)
{
    uint64_t seq;
    uint8_t code;

    for (uint32_t i = 0;
         c->session != NULL && hf_session_refusal(&c->hub->sessions, c->session, i, &seq, &code); i++) {
        struct hf_msg nack = {.type = HF_MSG_NACK,
                              .has = HF_HAS_SEQ | HF_HAS_CODE | HF_HAS_REASON,
                              .seq = seq,
                              .code = hf_str_from(hf_code_name((enum hf_code)code)),
                              .reason = hf_str_from(hf_refusal_past_reason(c->hub, (enum hf_code)code))};

        if (seq < c->window.first_seq)
            hf_conn_send(c, &nack);
    }
}
