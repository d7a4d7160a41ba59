/*
 * service.c - requests of the backend, which come through the HTTP API of this worker: publish, disconnect.
 * What needs another worker waits in hub->pending for its answer.
 */
#include "server/service.h"

#include "base/assert.h"
#include "server/hub_state.h"
#include "server/presence.h"
#include "wire/json.h"

#include <stdlib.h>
#include <string.h>

/* ---- Pending requests ---- */

struct hf_pending *hf_pending_find(struct hf_hub *hub, uint64_t token)
{
    for (struct hf_list *node = hub->pending.next; node != &hub->pending; node = node->next) {
        struct hf_pending *p = HF_CONTAINER(node, struct hf_pending, link);

        if (p->token == token)
            return p;
    }
    return NULL;
}

struct hf_pending *hf_pending_new(struct hf_hub *hub, hf_service_done *done, void *ctx, size_t text_len)
{
    struct hf_pending *p = calloc(1, sizeof(*p) + text_len);

    if (p == NULL)
        return NULL;
    p->token = hf_conns_other_serial(&hub->conns);
    p->deadline_ms = hub->now.mono_ms + HF_SERVICE_TIMEOUT_MS;
    p->done = done;
    p->ctx = ctx;
    hf_list_add_tail(&hub->pending, &p->link);
    return p;
}

void hf_pending_end(struct hf_pending *p, const struct hf_service_result *result)
{
    hf_list_del(&p->link);
    p->done(p->ctx, result);
    if (p->job != NULL)
        p->job_free(p->job);
    free(p);
}

static struct hf_service_result failure(enum hf_code code, const char *reason)
{
    return (struct hf_service_result){.code = code, .reason = reason};
}

void hf_pending_fail(struct hf_pending *p, enum hf_code code, const char *reason)
{
    struct hf_service_result result = failure(code, reason);

    hf_pending_end(p, &result);
}

/* ---- Publish ---- */

static struct hf_service_result published(struct hf_hub *hub, const struct hf_published *p)
{
    struct hf_service_result result = {.conflict = p->conflict, .offset = p->offset};

    hf_region_epoch(hub->region, p->cid, result.epoch);
    return result;
}

/* Two independent 64-bit hashes of a key: a collision would make one publish look like a repeat of another. */
static void hash_key(struct hf_str key, uint64_t out[2])
{
    uint64_t a = hf_channel_hash(key), b = 0x9ae16a3b2f90404fu;

    for (size_t i = 0; i < key.len; i++) {
        b = (b ^ (uint8_t)key.data[i]) * 0xc2b2ae3d27d4eb4fu;
        b ^= b >> 29;
    }
    out[0] = a | 1; /* A map's key is never 0. */
    out[1] = b;
}

static uint64_t hash_body(const struct hf_service_publish *p)
{
    uint64_t pair[2];
    uint64_t h = hf_channel_hash(p->payload);

    hash_key(p->id, pair);
    return (h ^ pair[1]) * 0xc2b2ae3d27d4eb4fu ^ hf_channel_hash(p->channel) ^ p->raw;
}

static struct hf_publish publish_of(const struct hf_service_publish *sp)
{
    struct hf_publish p = {.channel = sp->channel,
                           .payload = sp->payload,
                           .raw = sp->raw,
                           .id = sp->id,
                           .has_key = sp->key.data != NULL};

    if (p.has_key) {
        hash_key(sp->key, p.key);
        p.body_hash = hash_body(sp);
    }
    return p;
}

static struct hf_str keep(char **at, struct hf_str s)
{
    struct hf_str copy = {s.data == NULL ? NULL : *at, s.len};

    if (s.len > 0)
        memcpy(*at, s.data, s.len);
    *at += s.len;
    return copy;
}

/* Send on, or send again, a publish that waits. */
static void pending_forward(struct hf_hub *hub, struct hf_pending *p)
{
    struct hf_published result;
    struct hf_service_result answer;

    p->unsent = p->opening = false;
    if (p->open_err < 0) {
        hf_pending_fail(p, HF_CODE_LIMIT, hf_refusal_reason(HF_CODE_LIMIT));
        return;
    }
    switch (hf_publish_forward(hub, &p->publish, p->token, 0, &result)) {
    case HF_FORWARD_DONE:
        answer = published(hub, &result);
        hf_pending_end(p, &answer);
        break;
    case HF_FORWARD_SENT:
        break;
    case HF_FORWARD_REFUSED:
        hf_pending_fail(p, HF_CODE_LIMIT, hf_refusal_reason(HF_CODE_LIMIT));
        break;
    case HF_FORWARD_OPENING:
        p->unsent = p->opening = true;
        break;
    case HF_FORWARD_WAIT:
        p->unsent = true;
        break;
    }
}

void hf_service_publish(struct hf_hub *hub, const struct hf_service_publish *sp, hf_service_done *done,
                        void *ctx)
{
    struct hf_publish publish = publish_of(sp);
    struct hf_service_result result;
    struct hf_pending *p;
    char *at;

    publish.received_us = hf_now_us(hub->now);
    if (sp->payload.len > hf_rules_message_bytes_max(hub, sp->channel)) {
        result = failure(HF_CODE_TOO_LARGE, hf_refusal_reason(HF_CODE_TOO_LARGE));
        done(ctx, &result);
        return;
    }
    p = hf_pending_new(hub, done, ctx, sp->channel.len + sp->payload.len + sp->id.len);
    if (p == NULL) {
        result = failure(HF_CODE_OVERLOADED, "the server is short of memory");
        done(ctx, &result);
        return;
    }
    at = (char *)(p + 1);
    p->publish = publish;
    p->publish.channel = keep(&at, publish.channel);
    p->publish.payload = keep(&at, publish.payload);
    p->publish.id = keep(&at, publish.id);
    pending_forward(hub, p);
}

void hf_service_opened(struct hf_hub *hub, uint64_t token, int err)
{
    struct hf_pending *p = hf_pending_find(hub, token);

    if (p == NULL || !p->opening)
        return;
    p->opening = false;
    p->open_err = err == HF_ELIMIT ? err : 0;
}

void hf_service_published(struct hf_hub *hub, uint64_t token, const struct hf_published *result)
{
    struct hf_pending *p = hf_pending_find(hub, token);
    struct hf_service_result answer;

    if (p == NULL)
        return;
    if (result == NULL) {
        hf_pending_fail(p, HF_CODE_LIMIT, hf_refusal_reason(HF_CODE_LIMIT));
        return;
    }
    answer = published(hub, result);
    hf_pending_end(p, &answer);
}

void hf_service_tick(struct hf_hub *hub)
{
    for (struct hf_list *node = hub->pending.next, *next; node != &hub->pending; node = next) {
        struct hf_pending *p = HF_CONTAINER(node, struct hf_pending, link);

        next = node->next;
        if (p->deadline_ms <= hub->now.mono_ms)
            hf_pending_fail(p, p->unsent ? HF_CODE_OVERLOADED : HF_CODE_TIMEOUT,
                            p->unsent ? "there was no room for it in time"
                                      : "no answer in time: the outcome is unknown");
        else if (p->unsent && !p->opening && p->again != NULL)
            p->again(hub, p);
        else if (p->unsent && !p->opening)
            pending_forward(hub, p);
    }
}

void hf_service_end_all(struct hf_hub *hub)
{
    while (!hf_list_empty(&hub->pending))
        hf_pending_fail(HF_CONTAINER(hub->pending.next, struct hf_pending, link), HF_CODE_UNAVAILABLE,
                        "the server is shutting down");
}

/* ---- Disconnect ---- */

/* "4003 by default, which ends the session; another code ends the connection only" - 1000 too tells the client to stay away. */
bool hf_service_ends_session(uint16_t code)
{
    return code == HF_CLOSE_ENDED || code == HF_CLOSE_NORMAL;
}

/* A session without a connection. */
static int end_parked(struct hf_hub *hub, struct hf_session *s, uint64_t state, uint16_t code)
{
    if (hf_harm_known(code))
        return HF_ENOTFOUND;
    if (!hf_service_ends_session(code))
        return 0;
    if (!hf_session_end_parked(&hub->sessions, s, state))
        return HF_EAGAIN;
    hf_presence_session_changed(hub, s);
    hf_journal_session_over(hub, s, code);
    return 0;
}

/* A session that our slot's last process held, and nobody has taken over since. */
static int end_orphan(struct hf_hub *hub, uint64_t session, uint16_t code)
{
    struct hf_session *s = hf_sessions_get(&hub->sessions, session);
    uint64_t state;

    if (s == NULL)
        return HF_EAGAIN;
    hf_attach_orphan(hub, s);
    state = atomic_load(&s->state);
    return hf_state_phase(state) == HF_SESSION_LIVE ? HF_EAGAIN : end_parked(hub, s, state, code);
}

int hf_service_end_local(struct hf_hub *hub, uint64_t session, uint16_t code)
{
    struct hf_conn *c = hf_conns_by_session(&hub->conns, session);

    if (c == NULL)
        return end_orphan(hub, session, code);
    if (hf_harm_known(code))
        return hf_harm_apply(c, code);
    if (hf_service_ends_session(code)) {
        hf_journal_session_over(hub, c->session, code);
        hf_detach(c, true);
    }
    hf_conn_close_as(c, code, "ended by the backend", HF_COUNT_DISCONNECT_BACKEND);
    return 0;
}

/* Returns as hf_service_end_local(); HF_EAGAIN: *owner must be asked, unless that is ourselves. */
static int disconnect_here(struct hf_hub *hub, struct hf_session *s, uint16_t code, uint32_t *owner)
{
    uint64_t state = atomic_load(&s->state);

    *owner = hf_state_owner(state);
    if (hf_state_phase(state) != HF_SESSION_LIVE)
        return end_parked(hub, s, state, code);
    return *owner == hub->slot ? hf_service_end_local(hub, s->number, code) : HF_EAGAIN;
}

static struct hf_service_result disconnected(int err)
{
    switch (err) {
    case 0:
        return failure(HF_CODE_NONE, NULL);
    case HF_ENOTFOUND:
        return failure(HF_CODE_NOT_FOUND, "the session has no connection now");
    case HF_ELIMIT:
        return failure(HF_CODE_RATE_LIMITED,
                       "as many connections are frozen as may be at a time: wait a moment");
    default:
        return failure(HF_CODE_UNAVAILABLE, "the session is changing hands: try again");
    }
}

uint64_t hf_service_session(struct hf_str text)
{
    uint64_t n = 0;

    if (text.len != 16)
        return 0;
    for (size_t i = 0; i < text.len; i++) {
        char ch = text.data[i];

        if (!((ch >= '0' && ch <= '9') || (ch >= 'a' && ch <= 'f')))
            return 0;
        n = n << 4 | (uint64_t)(ch <= '9' ? ch - '0' : ch - 'a' + 10);
    }
    return n;
}

void hf_service_disconnect(struct hf_hub *hub, struct hf_str session, uint16_t close_code,
                           hf_service_done *done, void *ctx)
{
    struct hf_session *s = hf_sessions_get(&hub->sessions, hf_service_session(session));
    struct hf_service_result result = failure(HF_CODE_NOT_FOUND, "there is no such session");
    struct hf_pending *p;
    uint32_t owner;
    int err;

    if (s == NULL || hf_state_phase(atomic_load(&s->state)) == HF_SESSION_ENDED) {
        done(ctx, &result);
        return;
    }
    err = disconnect_here(hub, s, close_code, &owner);
    if (err != HF_EAGAIN) {
        result = disconnected(err);
        done(ctx, &result);
        return;
    }
    p = owner == hub->slot ? NULL : hf_pending_new(hub, done, ctx, 0);
    if (p != NULL && hf_exchange_disconnect(hub, owner, s->number, close_code, p->token))
        return;
    if (p != NULL) {
        hf_pending_fail(p, HF_CODE_OVERLOADED, "the session's worker takes no more requests now");
        return;
    }
    result = disconnected(err);
    done(ctx, &result);
}

void hf_service_disconnected(struct hf_hub *hub, uint64_t token, int err)
{
    struct hf_pending *p = hf_pending_find(hub, token);
    struct hf_service_result result = disconnected(err);

    if (p != NULL)
        hf_pending_end(p, &result);
}

bool hf_service_ready(struct hf_hub *hub)
{
    return !hub->draining;
}
