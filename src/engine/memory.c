/*
 * memory.c - the engine over the shared logs. The log is the truth: everything else here (what is deduplicated, what is free) is an
 * index over it, private to the owner, made anew by recover().
 */
#include "engine/engine.h"

#include "base/assert.h"
#include "base/base64.h"
#include "base/buf.h"
#include "engine/dedupe.h"
#include "shm/crash.h"
#include "wire/binary.h"
#include "wire/json.h"
#include "ws/frame.h"

#include <stdlib.h>
#include <string.h>

enum {
    ENVELOPE_BYTES =
        8192, /* the members of a `data` object beside the payload: name and id of 255 bytes, escaped 6 times */
    FORGET_PER_TICK = 1024, /* channels looked at for idleness, per shard and tick */
};

struct shard {
    struct hf_log log;
    struct hf_channels channels;
    struct hf_dedupe dedupe;
    uint32_t number;
    uint32_t forget_at; /* where the search for idle channels goes on */
    bool ours;
};

struct memory_engine {
    struct hf_engine base;
    struct hf_engine_config config;
    struct shard *shards;   /* all; only own ones are open */
    struct hf_buf scratch;  /* the JSON frame being made */
    struct hf_buf head;     /* of the binary one: see shm/log.h */
    struct hf_carry *carry; /* what is carried over from a segment */
    uint32_t carry_cap;
};

static struct memory_engine *memory_engine(struct hf_engine *e)
{
    return HF_CONTAINER(e, struct memory_engine, base);
}

/* ---- Room in the log ---- */

struct eviction {
    struct memory_engine *engine;
    struct shard *shard;
    uint32_t count;
    bool overflow;
};

static void evict_record(void *ctx, struct hf_record *r, hf_ref ref)
{
    struct eviction *ev = ctx;
    struct memory_engine *e = ev->engine;
    uint32_t room = e->carry_cap - ev->count;
    uint32_t need =
        hf_dedupe_evict(&ev->shard->dedupe, e->config.sessions, r, ref, e->carry + ev->count, room);

    if (need > room)
        ev->overflow = true;
    else
        ev->count += need;
}

/* Put what the victim still has to say into the current segment. Returns false where there is no room for it. */
static bool carry_over(struct memory_engine *e, struct shard *s, uint32_t count)
{
    size_t size = sizeof(struct hf_record) + count * sizeof(struct hf_carry);
    struct hf_record *r;
    hf_ref ref;

    if (count == 0)
        return true;
    r = hf_log_reserve(&s->log, size, true, &ref);
    if (r == NULL)
        return false;
    r->kind = HF_RECORD_CARRY;
    memcpy(r + 1, e->carry, count * sizeof(struct hf_carry));
    hf_log_commit(&s->log, r, ref, size);
    hf_assert(hf_dedupe_learn(&s->dedupe, r, ref) == 0); /* See append(). */
    return true;
}

/* Recycle the oldest segment, so that there is a spare one. Where readers hold all of them, another turn will do it. */
static void make_spare(struct memory_engine *e, struct shard *s)
{
    struct eviction ev = {e, s, 0, false};
    int victim;

    victim = hf_log_victim(&s->log);
    if (victim < 0)
        return;
    hf_log_scan_segment(&s->log, (uint32_t)victim, evict_record, &ev);
    if (ev.overflow)
        return; /* More than a quarter of the segment: its keys must grow old first. */
    if (carry_over(e, s, ev.count) && hf_log_recycle(&s->log, (uint32_t)victim))
        hf_count(e->config.counters, HF_COUNT_SEGMENTS_RECYCLED, 1);
}

static struct hf_record *reserve(struct memory_engine *e, struct shard *s, size_t size, hf_ref *ref)
{
    struct hf_record *r;

    if (!hf_log_has_spare(&s->log))
        make_spare(e, s);
    r = hf_log_reserve(&s->log, size, false, ref);
    if (r == NULL)
        hf_count(e->config.counters, HF_COUNT_LOG_FULL, 1);
    return r;
}

/* ---- Channels ---- */

static uint32_t channels_in_all(const struct memory_engine *e)
{
    uint32_t sum = 0;

    for (uint32_t i = 0; i < e->config.region->config->shards; i++)
        sum += atomic_load_explicit(&hf_region_channels(e->config.region, i)->live, memory_order_relaxed);
    return sum;
}

static int memory_open(struct hf_engine *base, uint32_t shard, struct hf_str name, uint64_t hash,
                       struct hf_now now, struct hf_channel **out)
{
    struct memory_engine *e = memory_engine(base);
    struct shard *s = &e->shards[shard];

    hf_assert(s->ours);
    *out = hf_channels_find(&s->channels, name, hash);
    if (*out != NULL)
        return 0;
    if (channels_in_all(e) >= e->config.channels_max)
        return HF_ELIMIT;
    return hf_channels_add(&s->channels, name, hash, now.mono_ms, out);
}

/* ---- Publishing ---- */

/* The frame as every JSON subscriber gets it, into scratch; m gets the id that it has there. *json_at: where the object begins. */
static int encode_json(struct memory_engine *e, struct hf_msg *m, hf_cid cid, size_t *frame_at,
                       size_t *json_at)
{
    char default_id[64];
    uint8_t header[HF_WS_HEADER_MAX];
    size_t header_len;

    if (!(m->has & HF_HAS_ID)) { /* "id: the publisher's, else epoch-offset" */
        size_t len = hf_region_epoch(e->config.region, cid, default_id);

        default_id[len++] = '-';
        len += hf_u64_digits(default_id + len, m->offset);
        m->id = (struct hf_str){default_id, len};
    }
    hf_buf_reset(&e->scratch);
    if (hf_buf_reserve(&e->scratch, HF_WS_HEADER_MAX) == NULL)
        return HF_ENOMEM;
    hf_buf_commit(&e->scratch,
                  HF_WS_HEADER_MAX); /* The header is put right before the object when its length is known. */
    if (hf_json_put_data(&e->scratch, m) < 0)
        return HF_ENOMEM;
    header_len = hf_ws_header(header, HF_WS_TEXT, e->scratch.len - HF_WS_HEADER_MAX, NULL);
    *frame_at = HF_WS_HEADER_MAX - header_len;
    *json_at = HF_WS_HEADER_MAX;
    memcpy(e->scratch.data + *frame_at, header, header_len);
    return 0;
}

/* The message in both encodings: encode_json(), and of the binary one the head. */
static int encode(struct memory_engine *e, struct hf_channel *c, const struct hf_publish *p, uint64_t offset,
                  struct hf_now now, size_t *frame_at, size_t *json_at)
{
    hf_cid cid = atomic_load_explicit(&c->cid, memory_order_relaxed);
    struct hf_msg m = {.type = HF_MSG_DATA,
                       .has = HF_HAS_CHANNEL | HF_HAS_OFFSET | HF_HAS_TIMESTAMP | HF_HAS_PAYLOAD,
                       .channel = p->channel,
                       .cid = hf_cid_to_wire(cid),
                       .offset = offset,
                       .timestamp = p->has_timestamp ? p->timestamp : now.wall_ms,
                       .payload = p->payload,
                       .payload_raw = p->raw,
                       .id = p->id};

    if (p->id.data != NULL)
        m.has |= HF_HAS_ID;
    if (p->from.len > 0) {
        m.has |= HF_HAS_FROM;
        m.from_user = p->from;
    }
    hf_buf_reset(&e->head);
    if (hf_binary_put_data_head(&e->head, &m, true) < 0)
        return HF_ENOMEM;
    return encode_json(e, &m, cid, frame_at, json_at);
}

/* Where it is in the frame it stands last, before the brace. */
static void put_payload(struct hf_record *r, const struct hf_publish *p)
{
    r->payload_len = (uint32_t)p->payload.len;
    r->payload_at = r->frame_at + r->frame_len - 1 - r->payload_len;
    if (!p->raw)
        return;
    r->payload_at = r->id_at + r->id_len;
    if (p->payload.len > 0)
        memcpy((uint8_t *)r + r->payload_at, p->payload.data, p->payload.len);
}

static void fill_identity(struct hf_record *r, const struct shard *s, const struct hf_publish *p)
{
    if (p->seq != 0) {
        r->flags |= HF_RECORD_HAS_SEQ;
        r->session = p->session;
        r->seq = p->seq;
        r->publisher_prev = hf_dedupe_last_ref(&s->dedupe, p->session);
    }
    if (p->has_key) {
        r->flags |= HF_RECORD_HAS_KEY;
        r->key[0] = p->key[0];
        r->key[1] = p->key[1];
        r->body_hash = p->body_hash;
    }
}

static int append(struct memory_engine *e, struct shard *s, struct hf_channel *c, const struct hf_publish *p,
                  struct hf_now now, uint64_t *offset)
{
    hf_ref before_ref = atomic_load_explicit(&c->newest, memory_order_relaxed), ref;
    struct hf_record *before = hf_log_own(&s->log, before_ref), *r;
    size_t frame_at, json_at, frame_len, head_len, size;

    *offset = atomic_load_explicit(&c->head, memory_order_relaxed) + 1;
    if (encode(e, c, p, *offset, now, &frame_at, &json_at) < 0)
        return HF_EAGAIN; /* No memory now: as with a full log, the publisher waits. */
    frame_len = e->scratch.len - frame_at;
    head_len = e->head.len;
    size = sizeof(*r) + head_len + frame_len + p->id.len + (p->raw ? p->payload.len : 0);
    r = reserve(e, s, size, &ref);
    if (r == NULL)
        return HF_EAGAIN;
    before = hf_log_own(&s->log, before_ref); /* Making room may have recycled it. */
    r->kind = HF_RECORD_MESSAGE;
    r->cid = atomic_load_explicit(&c->cid, memory_order_relaxed);
    r->offset = *offset;
    r->appended_ms = now.wall_ms;
    r->received_us = p->received_us;
    r->head_len = (uint32_t)head_len;
    r->frame_at = (uint32_t)(sizeof(*r) + head_len);
    r->frame_len = (uint32_t)frame_len;
    r->json_at = (uint32_t)(r->frame_at + json_at - frame_at);
    r->id_at = (uint32_t)(r->frame_at + frame_len);
    r->id_len = (uint32_t)p->id.len;
    memcpy(r + 1, e->head.data, head_len);
    memcpy((uint8_t *)r + r->frame_at, e->scratch.data + frame_at, frame_len);
    if (p->id.len > 0)
        memcpy((uint8_t *)r + r->id_at, p->id.data, p->id.len);
    put_payload(r, p);
    fill_identity(r, s, p);
    hf_log_link(&s->log, r, before, before_ref);
    hf_log_commit(&s->log, r, ref, size);
    hf_channel_advance(c, before, r, ref, now.mono_ms);
    /* It is in the log and cannot be taken back. Without memory for its index this worker ends; the next one scans the log. */
    hf_assert(hf_dedupe_learn(&s->dedupe, r, ref) == 0);
    return 0;
}

/* Keys that were used before that time do not count any more, forgotten or not. Wall clock. */
static uint64_t keys_since_ms(const struct memory_engine *e, struct hf_now now)
{
    uint64_t age = e->config.idempotency_age_ms;

    return now.wall_ms > age ? now.wall_ms - age : 0;
}

static bool repeated(const struct memory_engine *e, const struct shard *s, const struct hf_publish *p,
                     struct hf_now now, struct hf_published *out)
{
    const struct hf_key *key;

    if (p->seq != 0 && hf_dedupe_applied(&s->dedupe, &s->log, p->session, p->seq, &out->cid, &out->offset)) {
        out->repeated = true;
        return true;
    }
    if (!p->has_key)
        return false;
    key = hf_dedupe_key(&s->dedupe, p->key);
    if (key == NULL || key->used_ms < keys_since_ms(e, now))
        return false;
    out->repeated = true;
    out->conflict = key->body_hash != p->body_hash;
    out->cid = key->cid;
    out->offset = key->offset;
    return true;
}

static void mark_applied(struct memory_engine *e, const struct hf_publish *p)
{
    struct hf_session *session = p->seq == 0 ? NULL : hf_sessions_get(e->config.sessions, p->session);

    if (session != NULL)
        hf_session_applied(session, p->seq);
}

static int memory_publish(struct hf_engine *base, uint32_t shard, const struct hf_publish *p, uint64_t hash,
                          struct hf_now now, struct hf_published *out)
{
    struct memory_engine *e = memory_engine(base);
    struct shard *s = &e->shards[shard];
    struct hf_channel *c;
    int err;

    *out = (struct hf_published){0};
    if (repeated(e, s, p, now, out)) {
        hf_count(e->config.counters, HF_COUNT_PUBLISHES_REPEATED, 1);
        return 0;
    }
    if (p->channel.len == 0)
        return HF_ENOTFOUND;
    /* The limit on channels was held when the publish was taken; here the channel can only have been forgotten meanwhile. */
    c = hf_channels_find(&s->channels, p->channel, hash);
    err = c == NULL ? hf_channels_add(&s->channels, p->channel, hash, now.mono_ms, &c) : 0;
    if (err < 0)
        return err == HF_ENOMEM ? HF_EAGAIN : err;
    err = append(e, s, c, p, now, &out->offset);
    if (err < 0)
        return HF_EAGAIN;
    out->cid = atomic_load_explicit(&c->cid, memory_order_relaxed);
    mark_applied(e, p);
    hf_count(e->config.counters, HF_COUNT_PUBLISHES, 1);
    e->config.told(e->config.ctx, shard, c);
    return 0;
}

/* ---- Recovery ---- */

struct recovery {
    struct memory_engine *engine;
    struct shard *shard;
    uint64_t mono_ms; /* of the recovery */
    int err;
};

/* In the order of the log: what a predecessor had committed and not yet made known. */
static void recover_record(void *ctx, struct hf_record *r, hf_ref ref)
{
    struct recovery *rec = ctx;
    struct hf_channel *c;
    struct hf_session *session;

    if (hf_dedupe_learn(&rec->shard->dedupe, r, ref) < 0)
        rec->err = HF_ENOMEM;
    if (r->kind != HF_RECORD_MESSAGE)
        return;
    if (r->flags & HF_RECORD_HAS_SEQ) {
        session = hf_sessions_get(rec->engine->config.sessions, r->session);
        if (session != NULL)
            hf_session_applied(session, r->seq);
    }
    c = hf_channels_get(&rec->shard->channels, r->cid);
    if (c != NULL && r->offset > atomic_load(&c->head))
        hf_channel_advance(c, hf_log_own(&rec->shard->log, r->prev), r, ref, rec->mono_ms);
}

static int recover_shard(struct memory_engine *e, struct shard *s, struct hf_now now)
{
    struct recovery rec = {e, s, now.mono_ms, 0};
    uint32_t high;
    int err;

    hf_log_open(&s->log, hf_region_log(e->config.region, s->number), e->config.slot);
    hf_log_recover(&s->log);
    hf_channels_open(&s->channels, hf_region_channels(e->config.region, s->number));
    err = hf_channels_recover(&s->channels);
    if (err < 0)
        return err;
    hf_log_scan(&s->log, recover_record, &rec);
    if (rec.err < 0)
        return rec.err;
    high = atomic_load(&s->channels.shm->high);
    for (uint32_t place = 0; place < high; place++) {
        struct hf_channel *c = &s->channels.table[place];

        if (atomic_load(&c->cid) == 0)
            continue;
        hf_channel_clear_all_told(c);
        e->config.told(e->config.ctx, s->number, c);
    }
    return 0;
}

/* A bounded piece of it. Returns whether there is more. */
static bool forget_old_keys(struct memory_engine *e, struct hf_now now)
{
    bool more = false;

    for (uint32_t i = 0; i < e->config.region->config->shards; i++)
        if (e->shards[i].ours)
            more = hf_dedupe_expire(&e->shards[i].dedupe, keys_since_ms(e, now)) || more;
    return more;
}

static int memory_recover(struct hf_engine *base, struct hf_now now)
{
    struct memory_engine *e = memory_engine(base);

    for (uint32_t i = 0; i < e->config.region->config->shards; i++) {
        int err = e->shards[i].ours ? recover_shard(e, &e->shards[i], now) : 0;

        if (err < 0)
            return err;
    }
    while (forget_old_keys(e, now)) /* Their messages may still be in the log. */
        ;
    return 0;
}

/* ---- Upkeep ---- */

static void forget_idle_channels(struct memory_engine *e, struct shard *s, struct hf_now now)
{
    uint32_t high = atomic_load(&s->channels.shm->high);

    for (uint32_t i = 0; i < FORGET_PER_TICK && i < high; i++) {
        struct hf_channel *c;

        if (s->forget_at >= high)
            s->forget_at = 0;
        c = &s->channels.table[s->forget_at++];
        if (atomic_load(&c->cid) == 0 || atomic_load(&c->used_ms) + e->config.channel_idle_ms > now.mono_ms ||
            atomic_load(&c->left_ms) + e->config.channel_idle_ms > now.mono_ms)
            continue;
        if (hf_channels_remove(&s->channels, c))
            hf_count(e->config.counters, HF_COUNT_CHANNELS_REMOVED, 1);
    }
}

static void memory_tick(struct hf_engine *base, struct hf_now now)
{
    struct memory_engine *e = memory_engine(base);

    (void)forget_old_keys(e, now);
    for (uint32_t i = 0; i < e->config.region->config->shards; i++)
        if (e->shards[i].ours)
            forget_idle_channels(e, &e->shards[i], now);
}

static void memory_set_channel_idle(struct hf_engine *base, uint32_t channel_idle_ms)
{
    memory_engine(base)->config.channel_idle_ms = channel_idle_ms;
}

/* Each shard's part of idempotency.keys. */
static uint32_t keys_of_shard(const struct hf_engine_config *config)
{
    return config->idempotency_keys_max / config->region->config->shards + 1;
}

static void memory_set_idempotency(struct hf_engine *base, uint32_t age_ms, uint32_t keys_max)
{
    struct memory_engine *e = memory_engine(base);

    e->config.idempotency_age_ms = age_ms;
    e->config.idempotency_keys_max = keys_max;
    for (uint32_t i = 0; i < e->config.region->config->shards; i++)
        hf_dedupe_set_keys_max(&e->shards[i].dedupe, keys_of_shard(&e->config));
}

static void memory_free(struct hf_engine *base)
{
    struct memory_engine *e = memory_engine(base);

    for (uint32_t i = 0; i < e->config.region->config->shards; i++) {
        if (!e->shards[i].ours)
            continue;
        hf_dedupe_release(&e->shards[i].dedupe);
        hf_channels_release(&e->shards[i].channels);
    }
    hf_buf_release(&e->scratch);
    hf_buf_release(&e->head);
    free(e->carry);
    free(e->shards);
    free(e);
}

static const struct hf_engine_ops memory_ops = {
    .recover = memory_recover,
    .open = memory_open,
    .publish = memory_publish,
    .tick = memory_tick,
    .set_channel_idle = memory_set_channel_idle,
    .set_idempotency = memory_set_idempotency,
    .free = memory_free,
};

struct hf_engine *hf_memory_engine_new(const struct hf_engine_config *config)
{
    uint32_t shards = config->region->config->shards;
    struct memory_engine *e = calloc(1, sizeof(*e));

    if (e == NULL)
        return NULL;
    e->base.ops = &memory_ops;
    e->config = *config;
    hf_buf_init(&e->scratch, hf_base64_chars(config->message_bytes_max) + ENVELOPE_BYTES);
    hf_buf_init(&e->head, ENVELOPE_BYTES);
    /* hf_log_reserve() keeps a quarter of a segment free for these. */
    e->carry_cap = (config->region->config->segment_bytes / 4 - (uint32_t)sizeof(struct hf_record)) /
                   (uint32_t)sizeof(struct hf_carry);
    e->carry = calloc(e->carry_cap, sizeof(*e->carry));
    e->shards = calloc(shards, sizeof(*e->shards));
    if (e->carry == NULL || e->shards == NULL) {
        free(e->carry);
        free(e->shards);
        free(e);
        return NULL;
    }
    for (uint32_t i = 0; i < shards; i++) {
        e->shards[i].number = i;
        e->shards[i].ours = hf_region_owner(config->region, i) == config->slot;
        hf_dedupe_init(&e->shards[i].dedupe, keys_of_shard(config));
    }
    return &e->base;
}
