#include "client/client_impl.h"

#include "client/clock.h"

#include <stdlib.h>
#include <string.h>

enum { KEPT_FIRST = 32 };

static void tell_connected(const struct hf_client *c, const struct hf_client_session_event *ev)
{
    const struct hf_client_connection connection = {.session = hf_client_text(ev->session),
                                                    .resumed = ev->resumed,
                                                    .connections = hf_client_session_connections(c->session)};

    if (c->options.on_connected != NULL)
        c->options.on_connected(c->options.user, &connection);
}

static void tell_break(const struct hf_client *c, const struct hf_client_session_event *ev)
{
    const struct hf_client_break how = {.why = ev->why,
                                        .reason = hf_client_text(ev->reason),
                                        .close_code = ev->close_code,
                                        .http_status = ev->http_status,
                                        .retry_ms = ev->delay_ms,
                                        .asked = ev->asked,
                                        .attempt = ev->type == HF_CSE_RETRYING};
    void (*tell)(void *, const struct hf_client_break *) =
        ev->type == HF_CSE_ENDED ? c->options.on_ended : c->options.on_disconnected;

    if (tell != NULL)
        tell(c->options.user, &how);
}

static struct hf_client_message message_of(const struct hf_client_session_event *ev)
{
    return (struct hf_client_message){.channel = hf_client_text(ev->channel),
                                      .epoch = hf_client_text(ev->epoch),
                                      .offset = ev->offset,
                                      .id = hf_client_text(ev->id),
                                      .payload = hf_client_text(ev->payload),
                                      .payload_base64 = ev->payload_base64,
                                      .payload_raw = ev->payload_raw,
                                      .timestamp_ms = ev->timestamp_ms,
                                      .from = hf_client_text(ev->from_user)};
}

static void tell_message(const struct hf_client *c, const struct hf_client_session_event *ev)
{
    const struct hf_client_message message = message_of(ev);

    if (c->options.on_message != NULL)
        c->options.on_message(c->options.user, &message);
}

static void tell_gap(const struct hf_client *c, const struct hf_client_session_event *ev)
{
    const struct hf_client_gap gap = {.channel = hf_client_text(ev->channel),
                                      .epoch = hf_client_text(ev->epoch),
                                      .from_offset = ev->from_offset,
                                      .to_offset = ev->to_offset,
                                      .code = hf_client_text(ev->code)};

    if (c->options.on_gap != NULL)
        c->options.on_gap(c->options.user, &gap);
}

static void tell_subscription(const struct hf_client *c, const struct hf_client_session_event *ev)
{
    const struct hf_client_subscription subscription = {.channel = hf_client_text(ev->channel),
                                                        .epoch = hf_client_text(ev->epoch),
                                                        .offset = ev->offset,
                                                        .recovered = ev->recovered,
                                                        .code = hf_client_text(ev->code),
                                                        .reason = hf_client_text(ev->reason)};
    void (*tell)(void *, const struct hf_client_subscription *) =
        ev->type == HF_CSE_SUBSCRIBED ? c->options.on_subscribed : c->options.on_unsubscribed;

    if (tell != NULL)
        tell(c->options.user, &subscription);
}

typedef void (*on_result)(void *user, const struct hf_client_result *result);

static void tell_result(const struct hf_client *c, const struct hf_client_session_event *ev,
                        enum hf_client_outcome outcome)
{
    const struct hf_client_result result = {.publish_id = ev->publish_id,
                                            .outcome = outcome,
                                            .channel = hf_client_text(ev->channel),
                                            .offset = ev->offset,
                                            .code = hf_client_text(ev->code),
                                            .reason = hf_client_text(ev->reason),
                                            .id = hf_client_text(ev->id),
                                            .payload = hf_client_text(ev->payload),
                                            .payload_raw = ev->payload_raw};

    on_result one = (on_result)ev->completion.done;

    if (one != NULL)
        one(ev->completion.user, &result);
    if (c->options.on_result != NULL)
        c->options.on_result(c->options.user, &result);
}

static void tell_problem(const struct hf_client *c, const struct hf_client_session_event *ev)
{
    const struct hf_client_problem problem = {.code = hf_client_text(ev->code),
                                              .reason = hf_client_text(ev->reason),
                                              .channel = hf_client_text(ev->channel)};

    if (c->options.on_problem != NULL)
        c->options.on_problem(c->options.user, &problem);
}

void *hf_client_grow(void *list, uint32_t count, uint32_t *cap, size_t bytes)
{
    uint32_t more = *cap == 0 ? KEPT_FIRST : *cap * 2;
    void *grown;

    if (count < *cap)
        return list;
    grown = realloc(list, more * bytes);
    if (grown != NULL)
        *cap = more;
    return grown;
}

/* The answer is told when it is whole: what the session lends for each message is good until then. */
static void keep(struct hf_client *c, const struct hf_client_session_event *ev)
{
    struct hf_client_message *more = hf_client_grow(c->kept, c->kept_count, &c->kept_cap, sizeof(*c->kept));

    c->kept_failed = c->kept_failed || more == NULL;
    if (more == NULL)
        return;
    c->kept = more;
    c->kept[c->kept_count++] = message_of(ev);
}

static void tell_history(struct hf_client *c, const struct hf_client_session_event *ev)
{
    struct hf_client_history history = {.request_id = ev->request_id,
                                        .channel = hf_client_text(ev->channel),
                                        .epoch = hf_client_text(ev->epoch),
                                        .head = ev->offset,
                                        .messages = c->kept,
                                        .count = c->kept_count,
                                        .code = hf_client_text(ev->code),
                                        .reason = hf_client_text(ev->reason)};
    uint32_t i;

    if (c->kept_failed) {
        history.code = hf_client_text(HF_STR("overloaded"));
        history.reason = hf_client_text(HF_STR("the answer does not fit into this client's memory"));
    }
    for (i = 0; i < c->kept_count; i++)
        c->kept[i].epoch = history.epoch;
    if (history.code.len > 0)
        history.count = 0;
    if (c->options.on_history != NULL)
        c->options.on_history(c->options.user, &history);
    free(c->kept);
    c->kept = NULL;
    c->kept_count = c->kept_cap = 0;
    c->kept_failed = false;
}

static void tell_pong(const struct hf_client *c, const struct hf_client_session_event *ev)
{
    const struct hf_client_pong pong = {.request_id = ev->request_id, .rtt_us = hf_clock_us() - ev->stamp};

    if (c->options.on_pong != NULL)
        c->options.on_pong(c->options.user, &pong);
}

static void tell_reply(const struct hf_client *c, const struct hf_client_session_event *ev)
{
    const struct hf_client_reply reply = {.request_id = ev->request_id,
                                          .payload = hf_client_text(ev->payload),
                                          .payload_raw = ev->payload_raw,
                                          .code = hf_client_text(ev->code),
                                          .reason = hf_client_text(ev->reason)};

    if (c->options.on_reply != NULL)
        c->options.on_reply(c->options.user, &reply);
}

static void tell_state(const struct hf_client *c, const struct hf_client_session_event *ev)
{
    const struct hf_client_state_change change = {.from = (enum hf_client_state)ev->from,
                                                  .to = (enum hf_client_state)ev->to,
                                                  .cause = (enum hf_client_cause)ev->cause,
                                                  .evidence = ev->why,
                                                  .reason = hf_client_text(ev->reason),
                                                  .close_code = ev->close_code,
                                                  .http_status = ev->http_status,
                                                  .next_attempt_ms = ev->delay_ms};

    if (c->options.on_state != NULL)
        c->options.on_state(c->options.user, &change);
}

static void tell(struct hf_client *c, const struct hf_client_session_event *ev)
{
    switch (ev->type) {
    case HF_CSE_CONNECTED:
        tell_connected(c, ev);
        break;
    case HF_CSE_CAUGHT_UP:
        if (c->options.on_caught_up != NULL)
            c->options.on_caught_up(c->options.user, ev->count);
        break;
    case HF_CSE_DISCONNECTED:
    case HF_CSE_RETRYING:
    case HF_CSE_ENDED:
        tell_break(c, ev);
        break;
    case HF_CSE_SUBSCRIBED:
    case HF_CSE_UNSUBSCRIBED:
        tell_subscription(c, ev);
        break;
    case HF_CSE_MESSAGE:
        tell_message(c, ev);
        break;
    case HF_CSE_GAP:
        tell_gap(c, ev);
        break;
    case HF_CSE_ACKED:
        tell_result(c, ev, HF_CLIENT_ACKED);
        break;
    case HF_CSE_REFUSED:
        tell_result(c, ev, HF_CLIENT_REFUSED);
        break;
    case HF_CSE_UNCERTAIN:
        tell_result(c, ev, HF_CLIENT_UNCERTAIN);
        break;
    case HF_CSE_PONG:
        tell_pong(c, ev);
        break;
    case HF_CSE_KEPT:
        keep(c, ev);
        break;
    case HF_CSE_HISTORY:
        tell_history(c, ev);
        break;
    case HF_CSE_MEMBER:
        hf_client_tell_member(c, ev);
        break;
    case HF_CSE_MEMBERS:
        hf_client_tell_members(c, ev);
        break;
    case HF_CSE_REPLY:
        tell_reply(c, ev);
        break;
    case HF_CSE_JOIN:
    case HF_CSE_LEAVE:
    case HF_CSE_PRESENCE_MISSED:
        hf_client_tell_presence(c, ev);
        break;
    case HF_CSE_ERROR:
        tell_problem(c, ev);
        break;
    case HF_CSE_STATE:
        hf_client_token_noted(c, ev); /* First: the callback may give the next one. */
        tell_state(c, ev);
        break;
    }
}

void hf_client_tell(void *ctx, const struct hf_client_session_event *ev)
{
    struct hf_client *c = ctx;
    bool outer = c->in_callback; /* What a callback asks for may be told within it. */

    c->in_callback = true;
    tell(c, ev);
    c->in_callback = outer;
}

void hf_client_tell_heartbeats(struct hf_client *c)
{
    char reason[sizeof(c->heartbeats.problem)];
    const struct hf_client_session_event ev = {.type = HF_CSE_ERROR,
                                               .code = HF_STR("heartbeat_memory"),
                                               .reason = {reason, strlen(c->heartbeats.problem)}};

    if (c->heartbeats.problem[0] == '\0')
        return;
    memcpy(reason, c->heartbeats.problem, sizeof(reason));
    c->heartbeats.problem[0] = '\0'; /* First: the application may call us. */
    hf_client_tell(c, &ev);
}
