#include "client/client_impl.h"

#include "base/err.h"
#include "client/clock.h"
#include "client/handover.h"
#include "session/request.h"
#include "wire/json.h"
#include "ws/utf8.h"

static struct hf_str str(const char *data, size_t len)
{
    return (struct hf_str){data, len};
}

int hf_client_subscribe(struct hf_client *c, const char *channel, size_t channel_len,
                        const struct hf_client_start *start)
{
    struct hf_client_session_start from = {.since_epoch = {NULL, 0}};

    if (start != NULL) {
        from.since_epoch = hf_str_from(start->since_epoch);
        from.since_offset = start->since_offset;
        from.last = start->last;
        from.latest = start->latest;
        from.presence = start->presence;
    }
    return hf_client_session_subscribe(c->session, str(channel, channel_len), &from, hf_clock_ms());
}

int hf_client_unsubscribe(struct hf_client *c, const char *channel, size_t channel_len)
{
    return hf_client_session_unsubscribe(c->session, str(channel, channel_len), hf_clock_ms());
}

static int publish_now(struct hf_client *c, const struct hf_client_publication *p, uint64_t *publish_id)
{
    const struct hf_completion completion = {(void (*)(void))p->on_result, p->user};
    uint64_t ignored;

    return (p->bytes ? hf_client_session_publish_bytes : hf_client_session_publish_with)(
        c->session, str(p->channel, p->channel_len), hf_str_from(p->id), str(p->payload, p->payload_len),
        completion, publish_id == NULL ? &ignored : publish_id, hf_clock_ms());
}

/* One step of the wait for room; 1: there may be some. */
static int wait_for_room(struct hf_client *c, uint64_t until_ms)
{
    uint64_t now = hf_clock_ms();
    int running;

    if (atomic_load(&c->stopped))
        return HF_EAGAIN;
    if (now >= until_ms)
        return HF_ETIMEOUT;
    running = hf_client_step(c, (int)(until_ms - now < INT32_MAX ? until_ms - now : INT32_MAX));
    return running == 0 ? HF_ESTATE : running;
}

static int publish(struct hf_client *c, const struct hf_client_publication *p, uint64_t *publish_id)
{
    int err = publish_now(c, p, publish_id);
    uint64_t until_ms;

    if (err != HF_EAGAIN || c->options.outbox_block_ms == 0)
        return err;
    if (c->in_callback)
        return HF_ECALLBACK;
    until_ms = hf_clock_ms() + c->options.outbox_block_ms;
    while (err == HF_EAGAIN) {
        err = wait_for_room(c, until_ms);
        if (err < 0)
            return err;
        err = publish_now(c, p, publish_id);
    }
    return err;
}

/* The JSON string is written into the scratch, which is taken out for the call: a callback of a publish that waits may publish a text. */
static int publish_words(struct hf_client *c, const struct hf_client_publication *p, uint64_t *publish_id)
{
    struct hf_client_publication json = *p;
    struct hf_buf words = c->scratch;
    int err;

    if (!hf_utf8_valid((const uint8_t *)p->payload, p->payload_len))
        return HF_EINVAL;
    hf_buf_init(&c->scratch, HF_CLIENT_TEXT_BYTES_MAX);
    hf_buf_reset(&words);
    err = hf_json_put_string(&words, str(p->payload, p->payload_len));
    if (err == HF_ELIMIT)
        err = HF_ETOOLARGE;
    json.payload = (const char *)words.data;
    json.payload_len = words.len;
    if (err == 0)
        err = publish(c, &json, publish_id);
    hf_buf_release(&c->scratch);
    c->scratch = words;
    return err;
}

int hf_client_publish_with(struct hf_client *c, const struct hf_client_publication *p, uint64_t *publish_id)
{
    if (p->text && p->bytes)
        return HF_EINVAL;
    return p->text ? publish_words(c, p, publish_id) : publish(c, p, publish_id);
}

int hf_client_publish(struct hf_client *c, const char *channel, size_t channel_len, const char *payload,
                      size_t payload_len, const char *id, uint64_t *publish_id)
{
    const struct hf_client_publication p = {.channel = channel,
                                            .channel_len = channel_len,
                                            .payload = payload,
                                            .payload_len = payload_len,
                                            .id = id};

    return publish(c, &p, publish_id);
}

int hf_client_publish_text(struct hf_client *c, const char *channel, size_t channel_len, const char *words,
                           size_t words_len, const char *id, uint64_t *publish_id)
{
    const struct hf_client_publication p = {
        .channel = channel, .channel_len = channel_len, .payload = words, .payload_len = words_len, .id = id};

    return publish_words(c, &p, publish_id);
}

uint64_t hf_client_next_id(const struct hf_client *c)
{
    return hf_client_session_next_id(c->session);
}

int hf_client_history(struct hf_client *c, const char *channel, size_t channel_len,
                      const struct hf_client_history_query *query, uint64_t *request_id)
{
    struct hf_client_session_history what = {.limit = HF_HISTORY_LIMIT};
    uint64_t ignored;

    if (query != NULL) {
        what.since_epoch = hf_str_from(query->since_epoch);
        what.since_offset = query->since_offset;
        what.limit = query->limit == 0 ? HF_HISTORY_LIMIT : query->limit;
        what.reverse = query->reverse;
    }
    return hf_client_session_history(c->session, str(channel, channel_len), &what,
                                     request_id == NULL ? &ignored : request_id, hf_clock_ms());
}

int hf_client_presence(struct hf_client *c, const char *channel, size_t channel_len, uint64_t *request_id)
{
    uint64_t ignored;

    return hf_client_session_presence(c->session, str(channel, channel_len),
                                      request_id == NULL ? &ignored : request_id, hf_clock_ms());
}

int hf_client_call(struct hf_client *c, const char *method, size_t method_len, const char *payload,
                   size_t payload_len, uint64_t *request_id)
{
    uint64_t ignored;

    return hf_client_session_call(c->session, str(method, method_len), str(payload, payload_len),
                                  c->options.call_timeout_ms, request_id == NULL ? &ignored : request_id,
                                  hf_clock_ms());
}

int hf_client_ping(struct hf_client *c, uint64_t *request_id)
{
    uint64_t ignored;

    return hf_client_session_ping(c->session, hf_clock_us(), request_id == NULL ? &ignored : request_id,
                                  hf_clock_ms());
}

uint32_t hf_client_unanswered(const struct hf_client *c)
{
    return hf_client_session_unanswered(c->session);
}

bool hf_client_position(struct hf_client *c, const char *channel, size_t channel_len,
                        struct hf_client_text *epoch, uint64_t *offset)
{
    struct hf_str name;

    if (!hf_client_session_position(c->session, str(channel, channel_len), &name, offset))
        return false;
    *epoch = hf_client_text(name);
    return true;
}

int hf_client_set_tolerance(struct hf_client *c, uint64_t tolerance_ms)
{
    int err = hf_heartbeats_set_tolerance(&c->heartbeats, tolerance_ms);

    if (err == 0)
        hf_client_session_heartbeat_changed(c->session, hf_clock_ms());
    return err;
}

bool hf_client_connected(const struct hf_client *c)
{
    return hf_client_state_connected(hf_client_session_state(c->session));
}

enum hf_client_state hf_client_state(const struct hf_client *c)
{
    return (enum hf_client_state)hf_client_session_state(c->session);
}

const char *hf_client_state_name(enum hf_client_state state)
{
    return hf_client_session_state_name((enum hf_client_session_state)state);
}

const char *hf_client_cause_name(enum hf_client_cause cause)
{
    return hf_client_session_cause_name((enum hf_client_session_cause)cause);
}

void hf_client_set_background(struct hf_client *c, bool background)
{
    hf_client_session_background(c->session, background, hf_clock_ms());
}

void hf_client_close(struct hf_client *c)
{
    hf_client_session_close(c->session, hf_clock_ms());
}

struct hf_outbox_item *hf_client_take_unanswered(struct hf_client *c, bool sent)
{
    return hf_client_session_take_unanswered(c->session, sent);
}
