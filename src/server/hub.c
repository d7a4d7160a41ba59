/*
 * hub.c - a worker's life and its turns.
 */
#include "server/hub.h"

#include "base/assert.h"
#include "server/admission.h"
#include "server/hub_state.h"
#include "server/presence.h"

#include <stdlib.h>
#include <string.h>

enum {
    SCRATCH_BYTES_MAX = 64u << 20, /* one control message; a long ack, a welcome with all subscriptions */
    EXPIRE_PER_UPKEEP =
        16384,           /* session places looked at in one go: some ten milliseconds when all have expired */
    EXPIRE_MORE_MS = 50, /* from one go to the next, when many have */
    CHANNEL_IDLE_MARGIN_MS = 60000,
    BUSY_POLL_MS = 5, /* something waits for room that nobody will report: look again */
    TIDY_PER_TURN =
        16384,        /* places looked at for what the predecessor left; a million take a third of a second */
    TIDY_POLL_MS = 5, /* from one such piece to the next, without other work */
    ADVISED_PER_TURN = 1024, /* of a drain; some 4 us each for the write */
    CACHE_LINE = 64,
    WRITES_PER_CLOCK = 32, /* of some 4 us each; reading it costs 25 ns */
};

/* A parked session may name a channel until it expires, so a channel stays longer than that. */
static uint32_t channel_idle_ms(const struct hf_config *config)
{
    uint32_t session_ms = config->session_ttl_ms + CHANNEL_IDLE_MARGIN_MS;
    uint32_t history_ms = hf_rules_history_age_max(config);

    return history_ms > session_ms ? history_ms : session_ms;
}

static bool open_views(struct hf_hub *hub)
{
    hub->logs = calloc(hub->shards, sizeof(*hub->logs));
    hub->channels = calloc(hub->shards, sizeof(*hub->channels));
    if (hub->logs == NULL || hub->channels == NULL)
        return false;
    for (uint32_t i = 0; i < hub->shards; i++) {
        hf_log_open(&hub->logs[i], hf_region_log(hub->region, i), hub->slot);
        hf_channels_open(&hub->channels[i], hf_region_channels(hub->region, i));
    }
    if (hf_sessions_open(&hub->sessions, hf_region_sessions(hub->region), hub->slot) < 0)
        return false;
    hub->sessions.life = atomic_load(&hub->self->starts) & 0xf;
    return true;
}

static bool open_engine(struct hf_hub *hub)
{
    const struct hf_config *config = hub->config;
    struct hf_engine_config ec = {.region = hub->region,
                                  .sessions = &hub->sessions,
                                  .counters = hub->counters,
                                  .slot = hub->slot,
                                  .message_bytes_max = config->message_bytes_max,
                                  .channels_max = config->channels_max,
                                  .channel_idle_ms = channel_idle_ms(config),
                                  .idempotency_age_ms = config->idempotency_age_ms,
                                  .idempotency_keys_max = config->idempotency_keys_max,
                                  .told = hf_exchange_told,
                                  .ctx = hub};

    hub->engine = hf_memory_engine_new(&ec);
    return hub->engine != NULL && hub->engine->ops->recover(hub->engine, hub->now) == 0;
}

/*
 * Our predecessor may have written letters and died before it had rung the bell, or had rung it and not yet woken him who sleeps. Before our
 * first turn: see hf_region_rung_ms(). Only those to whom it ever wrote: at the start of all workers that is nobody.
 */
static void ring_all_bells(struct hf_hub *hub)
{
    for (uint32_t other = 0; other < hub->workers; other++) {
        if (!hf_region_talks(hub->region, hub->slot, other))
            continue;
        (void)hf_region_ring_bell(hub->region, hub->slot, other);
        hub->transport->wake(hub->transport->ctx, other);
    }
}

struct hf_hub *hf_hub_new(struct hf_region *region, uint32_t slot, const struct hf_config *config,
                          const struct hf_transport *transport, struct hf_now now)
{
    struct hf_hub *hub = calloc(1, sizeof(*hub));

    if (hub == NULL)
        return NULL;
    hub->region = region;
    hub->config = config;
    hub->transport = transport;
    hub->slot = slot;
    hub->workers = region->config->workers;
    hub->shards = region->config->shards;
    hub->self = &region->slots[slot];
    hub->counters = &hub->self->counters;
    hub->journal = hf_region_journal(region, slot);
    hub->now = now;
    hub->slice_subs = HF_SLICE_SUBS;
    hub->search_left = HF_SEARCH_PER_TURN;
    /* Answers to our predecessor carry its numbers: ours must differ. */
    hub->conns.life = (uint16_t)atomic_load(&hub->self->starts);
    hf_admission_init(hub);
    hf_list_init(&hub->dirty_topics);
    hf_list_init(&hub->stalled);
    hf_list_init(&hub->pending);
    hf_list_init(&hub->dead);
    hf_wheel_init(&hub->wheel, now.mono_ms);
    hf_buf_init(&hub->scratch, SCRATCH_BYTES_MAX);
    hf_buf_init(&hub->items, SCRATCH_BYTES_MAX);
    hf_map_init(&hub->topics);
    hf_paces_init(&hub->paces);
    hf_map_init(&hub->asks);
    transport->random(transport->ctx, (uint8_t *)&hub->rng.state, sizeof(hub->rng.state));
    for (uint32_t other = 0; other < hub->workers;
         other++) /* Our predecessor may have left letters unread. */
        if (hf_region_talks(region, other, slot))
            hub->bells_heard[other / 64] |= UINT64_C(1) << (other % 64);
    hf_region_reset_worker(region, slot);
    hub->gather = hf_gather_new();
    if (config->compression_enabled)
        hub->compressed = hf_compressed_new(config, hf_conn_message_bytes_max(config), hub->counters);
    if (hub->gather == NULL || (config->compression_enabled && hub->compressed == NULL) || !open_views(hub) ||
        !open_engine(hub)) {
        hf_hub_free(hub);
        return NULL;
    }
    ring_all_bells(hub);
    hf_busy_begin(hub);
    hub->orphans_left = hub->interest_left = atomic_load(&hub->self->starts) > 1;
    return hub;
}

void hf_hub_serves(struct hf_hub *hub)
{
    atomic_store(&hub->self->state, HF_SLOT_RUNNING);
}

/* A compressor that was there once stays, for those who negotiated it. Returns false where memory is short: the old settings stay. */
static bool follow_compression(struct hf_hub *hub)
{
    if (hub->compressed != NULL)
        return hf_compressed_configure(&hub->compressed, hub->config);
    if (!hub->config->compression_enabled)
        return true;
    hub->compressed = hf_compressed_new(hub->config, hf_conn_message_bytes_max(hub->config), hub->counters);
    return hub->compressed != NULL;
}

bool hf_hub_reconfigured(struct hf_hub *hub, struct hf_now now)
{
    hub->now = now;
    hf_admission_configure(hub);
    hub->engine->ops->set_channel_idle(hub->engine, channel_idle_ms(hub->config));
    hub->engine->ops->set_idempotency(hub->engine, hub->config->idempotency_age_ms,
                                      hub->config->idempotency_keys_max);
    hf_rules_changed(hub);
    return follow_compression(hub);
}

static void free_dead(struct hf_hub *hub)
{
    struct hf_list *node;

    while ((node = hf_list_pop(&hub->dead)) != NULL)
        hf_conn_free(HF_CONTAINER(node, struct hf_conn, timer.link));
}

/* Private memory only: neither park nor unsubscribe, as if the process had died. */
static void forget_connections(struct hf_hub *hub)
{
    struct hf_list *node;
    struct hf_conn *c;
    uint32_t at = 0;

    while ((c = hf_conns_next(&hub->conns, &at)) != NULL) {
        while (c->subs != NULL) {
            struct hf_sub *s = c->subs;

            c->subs = s->next;
            free(s);
        }
        hf_stall_free(c);
        hub->transport->close(hub->transport->ctx, hf_conn_socket(c));
        hf_conn_free(c);
    }
    while ((node = hf_list_pop(&hub->pending)) != NULL) {
        struct hf_pending *p = HF_CONTAINER(node, struct hf_pending, link);

        if (p->job != NULL)
            p->job_free(p->job);
        free(p);
    }
}

void hf_hub_free(struct hf_hub *hub)
{
    if (hub == NULL)
        return;
    forget_connections(hub);
    free_dead(hub);
    hf_presence_free(hub);
    hf_hooks_release(hub);
    hf_reasons_release(&hub->reasons);
    hf_topics_free(hub);
    if (hub->engine != NULL)
        hub->engine->ops->free(hub->engine);
    hf_sessions_release(&hub->sessions);
    hf_conns_release(&hub->conns);
    hf_buf_release(&hub->scratch);
    hf_buf_release(&hub->items);
    hf_gather_free(hub->gather);
    hf_compressed_free(hub->compressed);
    hf_runs_release(&hub->runs);
    hf_loan_release(&hub->loan);
    hf_paces_release(&hub->paces);
    hf_due_release(&hub->due);
    hf_due_release(&hub->flushing);
    free(hub->retell);
    free(hub->logs);
    free(hub->channels);
    free(hub);
}

/* ---- Turns ---- */

static void session_gone(void *ctx, struct hf_session *s)
{
    struct hf_hub *hub = ctx;

    hf_presence_session_changed(hub, s);
    hf_hooks_ended(hub, s);
    hf_count(hub->counters, HF_COUNT_SESSIONS_EXPIRED, 1);
    /* One that was ended before was written down then. */
    if (hub->now.mono_ms - atomic_load(&s->parked_ms) >= hub->config->session_ttl_ms)
        hf_journal_session_over(hub, s, 0);
}

static void upkeep(struct hf_hub *hub)
{
    uint64_t now_ms = hub->now.mono_ms, ttl_ms = hub->config->session_ttl_ms;
    struct hf_session_expiry when;
    uint32_t most;

    if (now_ms < hub->upkeep_ms)
        return;
    hub->engine->ops->tick(hub->engine, hub->now);
    if (!hf_hooks_room(
            hub)) { /* The backend is being told of those that ended before: the others are kept so long. */
        hub->upkeep_ms = now_ms + EXPIRE_MORE_MS;
        return;
    }
    when = (struct hf_session_expiry){.now_ms = now_ms,
                                      .expired_before_ms = now_ms > ttl_ms ? now_ms - ttl_ms : 0,
                                      .settled_ms = hf_region_settled_ms(hub->region, now_ms),
                                      .tombstone_until_ms = now_ms + hub->config->session_tombstone_ms};
    most = hf_hooks_tells_ends(hub) ? HF_SESSIONS_PER_CHUNK : EXPIRE_PER_UPKEEP;
    if (hf_sessions_expire(&hub->sessions, most, &when, session_gone, hub) >= most / 2)
        hub->upkeep_ms = now_ms + EXPIRE_MORE_MS;
    else
        hub->upkeep_ms = now_ms + (hf_sessions_expiring(&hub->sessions) ? HF_UPKEEP_MS : HF_IDLE_MS);
}

static bool holds_session(void *ctx, uint64_t number)
{
    return hf_conns_by_session(&((struct hf_hub *)ctx)->conns, number) != NULL;
}

static bool has_topic(void *ctx, hf_cid cid)
{
    return hf_topic_of(ctx, cid) != NULL;
}

/* What our predecessor left is put in order beside the work: who asks for one of these sessions gets it at once. */
static void tidy_up(struct hf_hub *hub)
{
    if (hub->orphans_left)
        hub->orphans_left = hf_sessions_park_orphans(&hub->sessions, &hub->orphans_at, TIDY_PER_TURN,
                                                     hub->now.mono_ms, holds_session, hub);
    else if (hub->interest_left)
        hub->interest_left = hf_region_forget_interest(hub->region, hub->slot, hub->now.mono_ms,
                                                       &hub->interest_at, TIDY_PER_TURN, has_topic, hub);
}

static void run_timers(struct hf_hub *hub)
{
    struct hf_timer *t;

    while ((t = hf_wheel_pop(&hub->wheel, hub->now.mono_ms)) != NULL)
        hf_conn_timer(HF_CONTAINER(t, struct hf_conn, timer));
}

static void retry_stalled(struct hf_hub *hub)
{
    struct hf_list again;

    hf_list_init(&again);
    hf_list_splice(&again, &hub->stalled);
    hub->set_aside = false;
    while (!hf_list_empty(&again)) {
        struct hf_stall *s = HF_CONTAINER(again.next, struct hf_stall, link);
        struct hf_conn *c = s->conn;

        hf_list_del(&s->link);
        hf_list_add_tail(&hub->stalled, &s->link); /* Before it may be freed. */
        if (hf_dispatch_retry(c) && c->phase == HF_CONN_OPEN)
            hf_conn_resume_input(c);
    }
}

/* What the flush will touch of the connections a few places ahead. */
static void fetch_ahead(const struct hf_due *d, uint32_t i)
{
    const struct hf_conn *far = i + 6 < d->count ? d->conns[i + 6] : NULL;
    const struct hf_conn *near = i + 3 < d->count ? d->conns[i + 3] : NULL;

    if (far != NULL) {
        __builtin_prefetch(far);
        __builtin_prefetch((const char *)far + CACHE_LINE); /* It may begin within a line. */
    }
    if (near != NULL) {
        __builtin_prefetch(near + 1);
        __builtin_prefetch(near->due_subs);
    }
}

/* When a message is written it is measured how long it took; a look at the clock now and then among the writes is exact enough. */
static void read_clock(struct hf_hub *hub, uint32_t i)
{
    if (i % WRITES_PER_CLOCK == 0)
        hub->write_us = hub->transport->clock_us != NULL ? hub->transport->clock_us() : hf_now_us(hub->now);
}

/* Write to each connection that is due, once. What becomes due meanwhile waits for the next turn, so that none starves the others. */
static void flush_due(struct hf_hub *hub)
{
    struct hf_due none = hub->flushing;

    hub->flushing = hub->due;
    hub->due = none;
    for (uint32_t i = 0; i < hub->flushing.count; i++) {
        struct hf_conn *c = hub->flushing.conns[i];
        bool held_back;

        fetch_ahead(&hub->flushing, i);
        read_clock(hub, i);
        if (c == NULL)
            continue;
        c->due_at = 0;
        held_back = c->paused && (c->stall == NULL || hf_stall_on_output(c->stall));
        if (hf_deliver_flush(c) && held_back && c->phase == HF_CONN_OPEN)
            hf_conn_resume_input(c); /* It was not read because its output had grown. */
    }
    hub->flushing.count = 0;
    hub->write_us = 0;
}

void hf_hub_advise(struct hf_conn *c)
{
    const struct hf_hub *hub = c->hub;
    struct hf_msg m = {
        .type = HF_MSG_RECONNECT, .has = HF_HAS_CODE, .code = hf_str_from(hf_code_name(hub->advice.code))};

    if (c->phase != HF_CONN_OPEN || c->echo || hub->advice.code == HF_CODE_NONE)
        return;
    /* "leave this connection at a random time in that window": whoever hears of it later has less of it. */
    m.after_max_ms = hub->advice.until_ms > hub->now.mono_ms ? hub->advice.until_ms - hub->now.mono_ms : 0;
    hf_conn_send(c, &m);
}

/* In pieces, so that a drain of many connections does not stop the traffic. */
static void advise_some(struct hf_hub *hub)
{
    for (uint32_t i = 0; i < ADVISED_PER_TURN && hub->advice.left > 0; i++) {
        struct hf_conn *c = hf_conns_next(&hub->conns, &hub->advice.at);

        if (c == NULL) {
            hub->advice.left = 0;
            break;
        }
        if (c->phase == HF_CONN_OPEN && !c->echo && hub->advice.left != UINT32_MAX)
            hub->advice.left--;
        hf_hub_advise(c);
    }
}

static void unpin(struct hf_hub *hub)
{
    for (uint32_t i = 0; i < hub->shards; i++)
        if (hub->logs[i].pinned_count > 0)
            hf_log_unpin_all(&hub->logs[i]);
}

void hf_hub_set_now(struct hf_hub *hub, struct hf_now now)
{
    hub->now = now;
}

void hf_hub_turn(struct hf_hub *hub, struct hf_now now)
{
    hub->now = now;
    hub->search_left = HF_SEARCH_PER_TURN;
    atomic_store_explicit(&hub->self->alive_ms, now.mono_ms, memory_order_relaxed);
    hf_exchange_receive(hub);
    run_timers(hub);
    tidy_up(hub);
    hf_rules_tick(hub);
    upkeep(hub);
    hf_presence_turn(hub);
    hf_service_tick(hub);
    retry_stalled(hub);
    advise_some(hub);
    hf_deliver_mark(hub);
    flush_due(hub);
    hf_runs_forget(&hub->runs);
    hf_busy_turn(hub);
    unpin(hub);
    hf_compressed_turn_ended(hub->compressed);
    hf_exchange_ring_bells(hub);
    free_dead(hub);
}

static bool waits_for_room(const struct hf_hub *hub)
{
    for (struct hf_list *node = hub->pending.next; node != &hub->pending; node = node->next)
        if (HF_CONTAINER(node, struct hf_pending, link)->unsent)
            return true;
    return !hf_list_empty(&hub->stalled) || hf_exchange_busy(hub);
}

uint64_t hf_hub_deadline_ms(const struct hf_hub *hub, struct hf_now now)
{
    uint64_t at;

    if (hub->due.count > 0 || hub->set_aside || hub->advice.left > 0 || hub->rules_walk.left ||
        !hf_list_empty(&hub->dirty_topics))
        return now.mono_ms;
    at = hf_wheel_deadline_ms(&hub->wheel, now.mono_ms, HF_IDLE_MS);
    if (at > hf_presence_deadline_ms(hub))
        at = hf_presence_deadline_ms(hub);
    if (at > hub->upkeep_ms)
        at = hub->upkeep_ms;
    if ((hub->orphans_left || hub->interest_left) && at > now.mono_ms + TIDY_POLL_MS)
        at = now.mono_ms + TIDY_POLL_MS;
    if (waits_for_room(hub) && at > now.mono_ms + BUSY_POLL_MS)
        at = now.mono_ms + BUSY_POLL_MS;
    return at;
}

/* ---- The end ---- */

static void begin_advice(struct hf_hub *hub, enum hf_code code, uint32_t count, uint32_t window_ms,
                         struct hf_now now)
{
    hub->now = now;
    hub->advice.code = code;
    hub->advice.until_ms = now.mono_ms + window_ms;
    hub->advice.at = 0;
    hub->advice.left = count;
    hub->advice.newcomers_too = count == UINT32_MAX;
}

void hf_hub_drain(struct hf_hub *hub, uint32_t window_ms, struct hf_now now)
{
    hub->draining = true;
    begin_advice(hub, HF_CODE_DRAINING, UINT32_MAX, window_ms, now);
}

void hf_hub_rebalance(struct hf_hub *hub, uint32_t count, uint32_t window_ms, struct hf_now now)
{
    hf_assert(!hub->draining);
    begin_advice(hub, HF_CODE_REBALANCE, count, window_ms, now);
}

void hf_hub_close_all(struct hf_hub *hub, struct hf_now now)
{
    struct hf_conn *c;
    uint32_t at = 0;

    hub->now = now;
    if (hub->advice.code != HF_CODE_REBALANCE) /* Else the backend's requests are served to the end. */
        hf_service_end_all(hub);
    while ((c = hf_conns_next(&hub->conns, &at)) != NULL) {
        if (c->phase == HF_CONN_OPEN && hub->advice.code == HF_CODE_REBALANCE)
            hf_conn_close(c, HF_CLOSE_SERVICE_RESTART, "this worker is being replaced");
        else if (c->phase == HF_CONN_OPEN)
            hf_conn_close(c, HF_CLOSE_GOING_AWAY, "the server is shutting down");
        else if (c->phase != HF_CONN_CLOSING)
            hf_conn_drop(c, HF_CLOSE_GOING_AWAY);
    }
}

uint32_t hf_hub_connections(const struct hf_hub *hub)
{
    return hub->conns.count;
}
