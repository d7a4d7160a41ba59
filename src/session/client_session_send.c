#include "session/client_session_impl.h"

#include "wire/binary.h"
#include "wire/items.h"
#include "wire/json.h"

enum {
    OPTIONAL_BELOW_BYTES =
        256 * 1024,             /* acknowledgements and pongs wait above that: the server does not read */
    ACKS_BYTES_MAX = 32 * 1024, /* of one pong */
    ACK_MESSAGES = 256,         /* acknowledge after so many messages, */
    ACK_BYTES = 64 * 1024,      /* or bytes, */
    ACK_DELAY_MS = 1000,        /* or that long after something new came */
    SYNC_MS = 10000,            /* for the server to fill a hole; a guess */
};

static struct hf_link *live_link(struct hf_client_session *s)
{
    return s->live == HF_NO_SLOT ? NULL : &s->links[s->live];
}

static bool has_room(struct hf_client_session *s)
{
    return live_link(s) != NULL && live_link(s)->out.len < OPTIONAL_BELOW_BYTES;
}

int hf_cs_put_on(struct hf_client_session *s, struct hf_link *l, const struct hf_msg *m)
{
    int err;

    hf_buf_reset(&s->scratch);
    err =
        l->encoding == HF_ENCODING_BINARY ? hf_binary_encode(&s->scratch, m) : hf_json_encode(&s->scratch, m);
    return err < 0 ? err : hf_link_put_message(l, hf_buf_str(&s->scratch), &s->rng);
}

enum hf_encoding hf_cs_encoding(const struct hf_client_session *s)
{
    return s->live == HF_NO_SLOT ? HF_ENCODING_JSON : s->links[s->live].encoding;
}

void hf_cs_put(struct hf_client_session *s, const struct hf_msg *m)
{
    struct hf_link *l = live_link(s);

    if (l == NULL || l->state != HF_LINK_OPEN)
        return;
    if (hf_cs_put_on(s, l, m) < 0)
        hf_cs_fail(s, HF_CLOSE_INTERNAL, "no memory for what is to be sent");
}

bool hf_cs_closing(const struct hf_client_session *s)
{
    return s->state == HF_CLIENT_ENDED || s->state == HF_CLIENT_CLOSING || s->close_wanted;
}

/* --- the upgrade request --- */

static const char *const offers[] = {
    [HF_OFFER_BOTH] = HF_PROTOCOL_BINARY ", " HF_PROTOCOL_JSON,
    [HF_OFFER_JSON] = HF_PROTOCOL_JSON,
    [HF_OFFER_BINARY] = HF_PROTOCOL_BINARY,
};

int hf_cs_put_upgrade(struct hf_client_session *s, struct hf_link *l, bool resume)
{
    struct hf_handshake_request req = {.host = hf_str_from(s->config.host),
                                       .target = hf_str_from(s->config.target)};
    struct hf_buf *list = &s->scratch;
    int err;

    hf_cs_save_attempt(s);
    hf_buf_reset(list);
    err = hf_buf_puts(list, offers[s->config.offer]);
    if (s->config.token != NULL)
        err = hf_buf_putf(list, ", hf.token.%s", s->config.token);
    if (resume && s->ticket_len > 0) {
        hf_buf_puts(list, ", hf.resume.");
        hf_buf_put(list, s->ticket, s->ticket_len);
    }
    /* "numbers them (`hf.attempt.<n>`, rising)" (PROTOCOL.md "Resume" 4) */
    if (resume)
        err = hf_buf_putf(list, ", hf.attempt.%u", l->attempt);
    if (err < 0)
        return err;
    req.protocols = hf_buf_str(list);
    return hf_link_request(l, &req, &s->rng);
}

/* --- heartbeats and acknowledgements --- */

/*
 * The server ends silence of twice its interval, and pings after one of it: what it is asked for is the longest that the policy may come to,
 * once a connection, and not each interval in turn.
 */
void hf_cs_put_heartbeat(struct hf_client_session *s)
{
    struct hf_msg m = {.type = HF_MSG_HEARTBEAT, .has = HF_HAS_INTERVAL};

    m.interval_ms = s->config.heartbeat_interval_ms;
    if (s->config.heartbeat_policy != NULL)
        m.interval_ms = hf_heartbeat_policy_longest_ms(s->config.heartbeat_policy);
    if (m.interval_ms > 0 && m.interval_ms != s->heartbeat.server_interval_ms)
        hf_cs_put(s, &m);
}

/* Digits are 20 at most; the buffer's end is far. */
void hf_cs_put_ping(struct hf_client_session *s, uint64_t ping_id)
{
    char digits[20];
    struct hf_msg m = {.type = HF_MSG_PING, .has = HF_HAS_ID};

    m.id = (struct hf_str){digits, hf_u64_digits(digits, ping_id)};
    hf_cs_put(s, &m);
}

static void acks_flushed(struct hf_client_session *s, bool all)
{
    s->unacked_messages = 0;
    s->unacked_bytes = 0;
    if (all)
        s->ack_at_ms = HF_NEVER;
}

static void put_ack(struct hf_client_session *s, struct hf_subscription *sub)
{
    const struct hf_msg m = {.type = HF_MSG_ACK,
                             .has = HF_HAS_CHANNEL | HF_HAS_OFFSET,
                             .channel = hf_subscription_channel(sub),
                             .cid = sub->cid,
                             .offset = hf_inbox_position(&sub->inbox)};

    hf_cs_put(s, &m);
    hf_inbox_acked(&sub->inbox);
}

/* In the binary form only what has a number can stand in a list of acks; a server that took it away is at fault, and gets none. */
static bool ack_due(const struct hf_client_session *s, const struct hf_subscription *sub)
{
    return sub->state == HF_SUB_ACTIVE && hf_inbox_unacked(&sub->inbox) &&
           (sub->cid != 0 || hf_cs_encoding(s) == HF_ENCODING_JSON);
}

void hf_cs_put_acks(struct hf_client_session *s, uint64_t now_ms)
{
    struct hf_list *node;

    for (node = s->subs.all.next; node != &s->subs.all; node = node->next) {
        if (!has_room(s)) {
            s->ack_at_ms = now_ms + ACK_DELAY_MS;
            return;
        }
        if (ack_due(s, HF_SUBSCRIPTION_OF(node)))
            put_ack(s, HF_SUBSCRIPTION_OF(node));
    }
    acks_flushed(s, true);
}

/* Gather (channel, offset)…, as far as it goes into one pong; what is left is acknowledged in its time. */
static bool gather_acks(struct hf_client_session *s, struct hf_buf *acks)
{
    struct hf_list *node;

    for (node = s->subs.all.next; node != &s->subs.all; node = node->next) {
        struct hf_subscription *sub = HF_SUBSCRIPTION_OF(node);

        if (!ack_due(s, sub))
            continue;
        if (acks->len > ACKS_BYTES_MAX)
            return false;
        hf_items_put_ack(acks, hf_cs_encoding(s), hf_subscription_channel(sub), sub->cid,
                         hf_inbox_position(&sub->inbox));
        hf_inbox_acked(&sub->inbox);
    }
    return true;
}

/* "answer to a heartbeat, with acks on board" (PROTOCOL.md, pong). */
void hf_cs_put_pong(struct hf_client_session *s)
{
    struct hf_msg m = {.type = HF_MSG_PONG, .encoding = hf_cs_encoding(s)};
    struct hf_buf acks;

    if (!has_room(s))
        return;
    hf_buf_init(&acks, (size_t)2 * ACKS_BYTES_MAX);
    if (s->ack_at_ms != HF_NEVER) {
        hf_items_begin(&acks, m.encoding, HF_ITEMS_OBJECT);
        acks_flushed(s, gather_acks(s, &acks));
        hf_items_end(&acks, m.encoding, HF_ITEMS_OBJECT);
        m.has = HF_HAS_ACKS;
        m.acks = hf_buf_str(&acks);
    }
    if (acks.failed)
        hf_cs_fail(s, HF_CLOSE_INTERNAL, "no memory for what is to be sent");
    else
        hf_cs_put(s, &m);
    hf_buf_release(&acks);
}

void hf_cs_delivered(struct hf_client_session *s, size_t bytes, uint64_t now_ms)
{
    s->unacked_messages++;
    s->unacked_bytes += bytes;
    if (s->ack_at_ms == HF_NEVER)
        s->ack_at_ms = now_ms + ACK_DELAY_MS;
    if (s->unacked_messages >= ACK_MESSAGES || s->unacked_bytes >= ACK_BYTES)
        hf_cs_put_acks(s, now_ms);
}

void hf_cs_put_sync_request(struct hf_client_session *s, const struct hf_subscription *sub, uint64_t now_ms)
{
    const struct hf_msg m = {.type = HF_MSG_SYNC_REQUEST,
                             .has = HF_HAS_CHANNEL | HF_HAS_OFFSET,
                             .channel = hf_subscription_channel(sub),
                             .cid = sub->cid,
                             .offset = hf_inbox_position(&sub->inbox)};

    hf_cs_put(s, &m);
    if (s->sync_until_ms == HF_NEVER)
        s->sync_until_ms = now_ms + SYNC_MS;
}

/* --- waiting for answers --- */

void hf_cs_answered(struct hf_client_session *s, uint64_t now_ms)
{
    s->answer_from_ms = s->outbox.written > 0 || s->asked > 0 || s->requests.asked > 0 ? now_ms : HF_NEVER;
}

void hf_cs_awaiting_answer(struct hf_client_session *s, uint64_t now_ms)
{
    if (s->answer_from_ms == HF_NEVER)
        s->answer_from_ms = now_ms;
}
