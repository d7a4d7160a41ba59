#include "session/client_session.h"

#include "base/assert.h"
#include "session/client_session_impl.h"
#include "ws/http_head.h"

#include <stdlib.h>
#include <string.h>

enum {
    LINGER_MS = 1000, /* for the driver to write a close frame */
    BYE_MS = 2000,
    OUTPUT_STUCK_MS = 2000, /* "unmoved 2 s" (research/protocol.md 2.5) */
    /* Requests, acknowledgements and pongs find room beside a full backlog of publishes. */
    SEND_BYTES_BASE = 512 * 1024,
    SEND_BYTES_PER_SUBSCRIPTION = 3072, /* a subscribe whose name and epoch are all escapes */
};

static uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

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
    if (!hf_client_state_connected(s->state)) {
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

static bool token_valid(const char *token)
{
    size_t len = 0;

    if (token == NULL)
        return true;
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
    return server_valid(c->host, c->target) && c->on_event != NULL && token_valid(c->token) &&
           c->outbox_messages_max > 0 && c->outbox_messages_max <= UINT32_MAX / 2 &&
           c->outbox_bytes_max > 0 && c->outbox_bytes_max <= UINT32_MAX / 4 && c->window > 0 &&
           c->recv_bytes_max > 0 && c->recv_bytes_max <= UINT32_MAX / 2 && c->subscriptions_max <= 100000;
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
    s->rng.state = config->seed;
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

/* --- for the driver --- */

struct hf_client_session_want hf_client_session_want(const struct hf_client_session *s, unsigned slot)
{
    static const enum hf_client_session_wish wishes[] = {
        [HF_LINK_IDLE] = HF_WISH_NONE,   [HF_LINK_DIALING] = HF_WISH_CONNECT,
        [HF_LINK_READY] = HF_WISH_CARRY, [HF_LINK_OPENING] = HF_WISH_CARRY,
        [HF_LINK_OPEN] = HF_WISH_CARRY,  [HF_LINK_CLOSING] = HF_WISH_CLOSE,
    };
    const struct hf_link *l = &s->links[slot];
    uint64_t until_ms = slot == HF_CLIENT_SESSION_PROBE_SLOT ? s->probe_at_ms : s->attempt_until_ms;

    return (struct hf_client_session_want){wishes[l->state], l->attempt, until_ms};
}

void hf_client_session_connected(struct hf_client_session *s, unsigned slot, uint64_t now_ms)
{
    hf_assert(s->busy == 0);
    if (slot == HF_CLIENT_SESSION_PROBE_SLOT)
        hf_cs_probe_connected(s, now_ms);
    if ((int)slot != s->next || s->links[slot].state != HF_LINK_DIALING)
        return;
    hf_cs_enter(s);
    s->offline = false; /* There is a way: the system was wrong. */
    hf_link_connected(&s->links[slot]);
    if (!s->next_held)
        hf_cs_request_upgrade(s, now_ms);
    else
        s->attempt_until_ms = s->state == HF_CLIENT_DOUBTFUL ? HF_NEVER : now_ms + HF_SPARE_MS;
    hf_cs_leave(s, now_ms);
}

void hf_client_session_lost(struct hf_client_session *s, unsigned slot, const char *why, uint64_t now_ms)
{
    struct hf_ending e = {.cause = HF_BY_CONNECTION_LOST, .why = why};
    struct hf_link *l = &s->links[slot];

    hf_assert(s->busy == 0);
    if (l->state == HF_LINK_IDLE)
        return;
    hf_cs_enter(s);
    if ((int)slot == s->live) {
        hf_heartbeat_lost(&s->heartbeat, now_ms);
        hf_cs_live_ended(s, &e, now_ms);
    } else if ((int)slot == s->next) {
        e.cause = HF_BY_UNREACHABLE;
        hf_cs_give_up_next(s, &e, now_ms);
    } else {
        if (slot == HF_CLIENT_SESSION_PROBE_SLOT)
            hf_cs_probe_lost(s, now_ms);
        hf_link_drop(l);
    }
    hf_cs_leave(s, now_ms);
}

void hf_client_session_recv(struct hf_client_session *s, unsigned slot, uint8_t *data, size_t len,
                            uint64_t now_ms)
{
    struct hf_link *l = &s->links[slot];
    struct hf_link_event lev;
    size_t used;

    hf_assert(s->busy == 0);
    /* Nothing has been said on a prepared connection: what comes is the server's word that it has waited long enough. */
    if ((int)slot == s->next && l->state == HF_LINK_READY)
        hf_cs_drop_next(s);
    if (l->state < HF_LINK_OPENING || l->state == HF_LINK_CLOSING)
        return;
    hf_cs_enter(s);
    if (slot == HF_CLIENT_SESSION_PROBE_SLOT) {
        hf_cs_probe_recv(s, data, len, now_ms);
        hf_cs_leave(s, now_ms);
        return;
    }
    if ((int)slot == s->live) {
        hf_heartbeat_data_received(&s->heartbeat, now_ms);
        hf_cs_proven(s, now_ms);
    }
    do {
        used = hf_link_recv(l, data, len, &s->rng, &lev);
        data += used;
        len -= used;
        hf_cs_on_link_event(s, (int)slot, &lev, now_ms);
    } while ((len > 0 || lev.type != HF_LINK_EV_NONE) && s->failed == NULL && l->state >= HF_LINK_OPENING);
    hf_cs_leave(s, now_ms);
}

struct hf_str hf_client_session_output(struct hf_client_session *s, unsigned slot, uint64_t now_ms)
{
    struct hf_link *l = &s->links[slot];

    hf_assert(s->busy == 0);
    hf_cs_enter(s);
    if ((int)slot == s->live && hf_client_state_connected(s->state))
        hf_cs_put_publishes(s, now_ms);
    if ((int)slot == s->live && l->out.len > 0 && s->output_from_ms == HF_NEVER)
        s->output_from_ms = now_ms;
    hf_cs_leave(s, now_ms);
    return hf_buf_str(&l->out);
}

void hf_client_session_sent(struct hf_client_session *s, unsigned slot, size_t len, uint64_t now_ms)
{
    struct hf_link *l = &s->links[slot];

    hf_assert(len <= l->out.len);
    hf_buf_drop(&l->out, len);
    if ((int)slot != s->live)
        return;
    if (len > 0)
        hf_heartbeat_data_sent(&s->heartbeat, now_ms);
    s->output_from_ms = l->out.len > 0 ? now_ms : HF_NEVER;
    if (l->out.len > 0)
        hf_heartbeat_output_moved(&s->heartbeat, now_ms);
}

/* --- time --- */

/* When the oldest request has waited so long for its answer that the path is doubtful. */
static uint64_t answer_late_ms(const struct hf_client_session *s)
{
    if (s->answer_from_ms == HF_NEVER)
        return HF_NEVER;
    return s->answer_from_ms + hf_heartbeat_soft_ms(&s->heartbeat);
}

/* When the socket has taken nothing for so long that the same is true. */
static uint64_t output_stuck_ms(const struct hf_client_session *s)
{
    return s->output_from_ms == HF_NEVER ? HF_NEVER : s->output_from_ms + OUTPUT_STUCK_MS;
}

static uint64_t live_deadline(const struct hf_client_session *s)
{
    uint64_t at = hf_heartbeat_deadline_ms(&s->heartbeat);

    at = min_u64(at, s->ack_at_ms);
    at = min_u64(at, s->sync_until_ms);
    at = min_u64(at, s->resub_at_ms);
    at = min_u64(at, s->leave_at_ms);
    at = min_u64(at, output_stuck_ms(s));
    at = min_u64(at, s->save_again_ms);
    return min_u64(at, answer_late_ms(s));
}

uint64_t hf_client_session_deadline_ms(const struct hf_client_session *s)
{
    uint64_t at = s->probe_at_ms;
    unsigned slot;

    for (slot = 0; slot < HF_CLIENT_SESSION_SLOTS; slot++)
        at = min_u64(at, s->linger_until_ms[slot]);
    if (s->state == HF_CLIENT_WAITING || s->state == HF_CLIENT_OFFLINE)
        at = min_u64(at, s->attempt_at_ms);
    if (hf_client_state_connected(s->state))
        at = min_u64(at, live_deadline(s));
    if (s->state == HF_CLIENT_CLOSING)
        at = min_u64(at, s->close_until_ms);
    if (s->next != HF_NO_SLOT)
        at = min_u64(at, s->attempt_until_ms);
    return at;
}

static void tick_heartbeat(struct hf_client_session *s, uint64_t now_ms)
{
    const struct hf_ending dead = {.cause = HF_BY_HEARTBEAT_MISSED};

    switch (hf_heartbeat_tick(&s->heartbeat, now_ms)) {
    case HF_HEARTBEAT_OK:
        break;
    case HF_HEARTBEAT_PING:
        hf_cs_put_ping(s, s->heartbeat.ping_id);
        break;
    case HF_HEARTBEAT_SUSPECT:
        hf_cs_suspect(s, now_ms);
        break;
    case HF_HEARTBEAT_DEAD:
        hf_cs_live_ended(s, &dead, now_ms);
        break;
    }
}

static void tick_live(struct hf_client_session *s, uint64_t now_ms)
{
    if (now_ms >= answer_late_ms(s)) {
        hf_heartbeat_answer_late(&s->heartbeat, s->answer_from_ms);
        s->answer_from_ms = now_ms;
        hf_cs_doubt(s, HF_BY_ANSWER_LATE, now_ms);
    }
    if (now_ms >= output_stuck_ms(s)) {
        s->output_from_ms = now_ms;
        hf_cs_doubt(s, HF_BY_OUTPUT_STUCK, now_ms);
    }
    if (now_ms >= s->ack_at_ms)
        hf_cs_put_acks(s, now_ms);
    if (now_ms >= s->resub_at_ms)
        hf_cs_undefer(s, now_ms);
    if (now_ms >= s->sync_until_ms)
        hf_cs_fail(s, HF_CLOSE_POLICY, "the server left out messages without telling");
    if (now_ms >= s->save_again_ms)
        (void)hf_cs_save(s, now_ms);
    if (now_ms >= s->leave_at_ms) {
        s->leave_at_ms = HF_NEVER;
        if (s->next == HF_NO_SLOT)
            hf_cs_start_attempt(s, false, now_ms);
        else
            hf_cs_release_next(s, now_ms);
    }
    tick_heartbeat(s, now_ms);
}

static void tick_next(struct hf_client_session *s, uint64_t now_ms)
{
    const struct hf_ending late = {.cause = HF_BY_TIMED_OUT};

    if (now_ms < s->attempt_until_ms)
        return;
    if (s->next_held)
        hf_cs_drop_next(s); /* A spare that was not needed, or does not get through either. */
    else
        hf_cs_give_up_next(s, &late, now_ms);
}

void hf_client_session_tick(struct hf_client_session *s, uint64_t now_ms)
{
    const struct hf_ending unanswered = {.cause = HF_BY_CLOSED, .asked = true};
    unsigned slot;

    hf_assert(s->busy == 0);
    hf_cs_enter(s);
    for (slot = 0; slot < HF_CLIENT_SESSION_SLOTS; slot++)
        if (s->links[slot].state == HF_LINK_CLOSING && now_ms >= s->linger_until_ms[slot])
            hf_link_drop(&s->links[slot]);
    if (s->next != HF_NO_SLOT)
        tick_next(s, now_ms);
    if (hf_client_state_connected(s->state))
        tick_live(s, now_ms);
    hf_cs_probe_tick(s, now_ms);
    if (s->state == HF_CLIENT_CLOSING && now_ms >= s->close_until_ms)
        hf_cs_end(s, &unanswered, now_ms);
    if ((s->state == HF_CLIENT_WAITING || s->state == HF_CLIENT_OFFLINE) && now_ms >= s->attempt_at_ms)
        hf_cs_start_attempt(s, false, now_ms);
    hf_cs_leave(s, now_ms);
}
