#include "session/client_session.h"

#include "base/assert.h"
#include "session/client_session_impl.h"
#include "ws/http_head.h"

#include <stdlib.h>
#include <string.h>

enum {
    LINGER_MS = 1000, /* for the driver to write a close frame */
    BYE_MS = 2000,
    /* Requests, acknowledgements and pongs find room beside a full backlog of publishes. */
    SEND_BYTES_BASE = 512 * 1024,
    SEND_BYTES_PER_SUBSCRIPTION = 3072, /* a subscribe whose name and epoch are all escapes */
};

void hf_cs_emit(struct hf_client_session *s, const struct hf_client_session_event *ev)
{
    hf_assert(s->busy > 0);
    s->config.on_event(s->config.ctx, ev);
}

void hf_cs_fail(struct hf_client_session *s, uint16_t close_code, const char *why)
{
    if (s->failed != NULL)
        return;
    s->failed = why;
    s->failed_code = close_code;
}

/* --- entering and leaving --- */

static void begin_close(struct hf_client_session *s, uint64_t now_ms)
{
    const struct hf_ending e = {.cause = HF_BY_CLOSED, .asked = true};

    s->close_wanted = false;
    if (s->state == HF_CLIENT_ENDED || s->state == HF_CLIENT_CLOSING)
        return;
    if (!hf_client_state_connected(s->state) ||
        s->superseded) { /* There is no connection to say goodbye on. */
        hf_cs_end(s, &e, now_ms);
        return;
    }
    if (s->next != HF_NO_SLOT)
        hf_cs_drop_next(s);
    hf_cs_put(s, &(struct hf_msg){.type = HF_MSG_BYE});
    hf_cs_probe_abandon(s, now_ms);
    s->close_until_ms = now_ms + BYE_MS;
    hf_cs_move(s, HF_CLIENT_CLOSING, &e, now_ms);
}

/* Something on the live connection went wrong in a way that a new connection, or a new session, mends. */
static void end_failed(struct hf_client_session *s, uint64_t now_ms)
{
    const struct hf_ending e = {
        .cause = s->failed_code == HF_CLOSE_INTERNAL ? HF_BY_NO_MEMORY : HF_BY_PROTOCOL_ERROR,
        .why = s->failed,
    };

    if (s->forget_session)
        s->ticket_len = 0;
    s->forget_session = false;
    hf_link_close(&s->links[s->live], s->failed_code, &s->rng);
    hf_cs_live_ended(s, &e, now_ms);
}

void hf_cs_enter(struct hf_client_session *s)
{
    s->busy++;
}

void hf_cs_leave(struct hf_client_session *s, uint64_t now_ms)
{
    unsigned slot;

    if (s->busy == 1) {
        if (s->failed != NULL && s->live != HF_NO_SLOT)
            end_failed(s, now_ms);
        hf_cs_tell_lost_calls(s);
        if (s->close_wanted)
            begin_close(s, now_ms);
        for (slot = 0; slot < HF_CLIENT_SESSION_SLOTS; slot++)
            if (s->links[slot].state != HF_LINK_CLOSING)
                s->linger_until_ms[slot] = HF_NEVER;
            else if (s->linger_until_ms[slot] == HF_NEVER)
                s->linger_until_ms[slot] = now_ms + LINGER_MS;
    }
    s->busy--;
}

/* --- making and freeing --- */

static char *copy_string(const char *from)
{
    size_t len = strlen(from) + 1;
    char *copy = malloc(len);

    if (copy != NULL)
        memcpy(copy, from, len);
    return copy;
}

static size_t send_bytes_max(const struct hf_client_session_config *c)
{
    return SEND_BYTES_BASE + (size_t)c->subscriptions_max * SEND_BYTES_PER_SUBSCRIPTION + c->outbox_bytes_max;
}

bool hf_client_session_token_valid(const char *token)
{
    size_t len = 0;

    while (hf_http_is_token_char(token[len]))
        len++;
    return token[len] == '\0' && len > 0 && len <= HF_TOKEN_MAX;
}

static bool server_valid(const char *host, const char *target)
{
    return host != NULL && target != NULL && strlen(host) <= 300 && strlen(target) <= 2048;
}

static bool config_valid(const struct hf_client_session_config *c)
{
    return server_valid(c->host, c->target) && c->on_event != NULL &&
           (c->token == NULL || hf_client_session_token_valid(c->token)) && c->outbox_messages_max > 0 &&
           c->outbox_messages_max <= UINT32_MAX / 2 && c->outbox_bytes_max > 0 &&
           c->outbox_bytes_max <= UINT32_MAX / 4 && c->window > 0 && c->recv_bytes_max > 0 &&
           c->recv_bytes_max <= UINT32_MAX / 2 && c->subscriptions_max <= 100000;
}

int hf_client_session_new(const struct hf_client_session_config *config, uint64_t now_ms,
                          struct hf_client_session **out)
{
    struct hf_client_session *s;
    unsigned slot;
    int err;

    if (!config_valid(config))
        return HF_EINVAL;
    s = calloc(1, sizeof(*s));
    if (s == NULL)
        return HF_ENOMEM;
    s->config = *config;
    s->delay_rng.state = config->seed;
    s->rng.state = ~config->seed;
    s->rng.state = hf_rng_next(&s->rng); /* Else it would be the other one's sequence, somewhere else. */
    hf_backoff_init(&s->backoff);
    hf_backoff_background(&s->backoff, config->background);
    hf_heartbeat_init(&s->heartbeat, config->heartbeat_policy);
    hf_outbox_init(&s->outbox, config->outbox_messages_max, config->outbox_bytes_max, config->window);
    hf_subscriptions_init(&s->subs, config->subscriptions_max);
    hf_requests_init(&s->requests);
    hf_buf_init(&s->scratch, send_bytes_max(config));
    for (slot = 0; slot < HF_CLIENT_SESSION_SLOTS; slot++) {
        hf_link_init(&s->links[slot], config->recv_bytes_max, send_bytes_max(config));
        s->linger_until_ms[slot] = HF_NEVER;
    }
    s->live = s->next = HF_NO_SLOT;
    s->attempt_at_ms = now_ms;
    s->attempt_cause = HF_BY_STARTED;
    s->leave_at_ms = HF_NEVER;
    s->probe_at_ms = HF_NEVER;
    hf_cs_reset_connection(s);
    s->config.host = copy_string(config->host);
    s->config.target = copy_string(config->target);
    s->config.token = config->token == NULL ? NULL : copy_string(config->token);
    if (s->config.host == NULL || s->config.target == NULL ||
        (config->token != NULL && s->config.token == NULL))
        err = HF_ENOMEM;
    else
        err = hf_cs_load(s);
    if (err < 0) {
        s->config.store = NULL; /* It stays as it is. */
        hf_client_session_free(s);
        return err;
    }
    *out = s;
    return 0;
}

static void free_string(const char *string)
{
    free((char *)(uintptr_t)string);
}

int hf_client_session_set_server(struct hf_client_session *s, const char *host, const char *target)
{
    char *host_copy, *target_copy;

    if (!server_valid(host, target))
        return HF_EINVAL;
    host_copy = copy_string(host);
    target_copy = copy_string(target);
    if (host_copy == NULL || target_copy == NULL) {
        free(host_copy);
        free(target_copy);
        return HF_ENOMEM;
    }
    free_string(s->config.host);
    free_string(s->config.target);
    s->config.host = host_copy;
    s->config.target = target_copy;
    return 0;
}

void hf_client_session_free(struct hf_client_session *s)
{
    unsigned slot;

    if (s == NULL)
        return;
    hf_assert(s->busy == 0);
    hf_cs_save_last(s);
    for (slot = 0; slot < HF_CLIENT_SESSION_SLOTS; slot++)
        hf_link_release(&s->links[slot]);
    hf_outbox_release(&s->outbox);
    hf_subscriptions_release(&s->subs);
    hf_requests_release(&s->requests);
    hf_buf_release(&s->scratch);
    free_string(s->config.host);
    free_string(s->config.target);
    free_string(s->config.token);
    free(s);
}

/* --- for the application --- */

int hf_client_session_set_token(struct hf_client_session *s, const char *token, uint64_t now_ms)
{
    const struct hf_msg m = {.type = HF_MSG_REFRESH, .has = HF_HAS_TOKEN, .token = hf_str_from(token)};
    char *copy;

    if (token == NULL || !hf_client_session_token_valid(token))
        return HF_EINVAL;
    if (hf_cs_closing(s))
        return HF_ESTATE;
    copy = copy_string(token);
    if (copy == NULL)
        return HF_ENOMEM;
    hf_cs_enter(s);
    if (hf_client_state_connected(s->state))
        hf_cs_put(s, &m);
    free_string(s->config.token); /* Only now: it may be the one that was given. */
    s->config.token = copy;
    hf_cs_leave(s, now_ms);
    return 0;
}

void hf_client_session_close(struct hf_client_session *s, uint64_t now_ms)
{
    hf_cs_enter(s);
    s->close_wanted = true; /* In a callback the call that it came from is finished first. */
    hf_cs_leave(s, now_ms);
}

void hf_client_session_set_network(struct hf_client_session *s, uint64_t key, uint64_t now_ms)
{
    if (s->config.heartbeat_policy != NULL)
        hf_heartbeat_policy_set_network(s->config.heartbeat_policy, key, now_ms);
    hf_cs_probe_abandon(s, now_ms);
}

void hf_client_session_heartbeat_changed(struct hf_client_session *s, uint64_t now_ms)
{
    hf_cs_enter(s);
    if (hf_client_state_connected(s->state))
        hf_cs_put_heartbeat(s);
    hf_cs_leave(s, now_ms);
}

enum hf_client_session_state hf_client_session_state(const struct hf_client_session *s)
{
    return s->state;
}

uint64_t hf_client_session_next_id(const struct hf_client_session *s)
{
    return s->outbox.first_id + s->outbox.count;
}

uint32_t hf_client_session_unanswered(const struct hf_client_session *s)
{
    return s->outbox.count;
}

uint32_t hf_client_session_connections(const struct hf_client_session *s)
{
    return s->connections;
}

bool hf_client_session_is_binary(const struct hf_client_session *s)
{
    return hf_cs_encoding(s) == HF_ENCODING_BINARY;
}
