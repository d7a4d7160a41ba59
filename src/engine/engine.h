/*
 * engine.h - who gives messages their offsets and keeps them, seen by the worker that owns shards.
 * One engine object serves all shards of one worker process; it is used by that process's thread alone.
 *
 * What every engine promises: a publish with (session, seq) or with a key is applied once, however often it is given; deduplication
 * and append are one step, so that a death at any moment leaves both or neither; after recover() all that a predecessor had
 * applied is known again, and every interested worker is to be told (see told()).
 */
#ifndef HF_ENGINE_ENGINE_H
#define HF_ENGINE_ENGINE_H

#include "base/err.h"
#include "base/now.h"
#include "base/str.h"
#include "shm/region.h"

#include <stdbool.h>
#include <stdint.h>

struct hf_publish {
    struct hf_str
        channel; /* valid name; empty: nobody knows it any more, and it is only asked whether this has been applied */
    hf_cid cid;            /* then the channel's number, which tells the shard */
    struct hf_str payload; /* raw JSON value; any bytes where `raw` */
    bool raw;
    struct hf_str id;   /* data NULL: none */
    struct hf_str from; /* the publisher's user; empty: he is anonymous, or the backend */
    bool has_timestamp;
    uint64_t timestamp; /* the publisher's; else the server's time stands in the message */
    uint64_t session;   /* number; 0: none, and no seq */
    uint64_t seq;       /* 0: none */
    bool has_key;
    uint64_t key[2], body_hash; /* hashes of idempotency key and body */
    uint64_t received_us;       /* monotonic: when the worker that took it began to handle it; 0: not known */
};

struct hf_published {
    hf_cid cid;      /* the channel's */
    uint64_t offset; /* 0: applied once before, the offset is no longer known */
    bool repeated;   /* it had been applied before */
    bool conflict;   /* its key was used with another body: nothing was applied */
};

struct hf_engine;

struct hf_engine_config {
    struct hf_region *region;
    struct hf_sessions *sessions; /* the worker's view */
    struct hf_counters *counters;
    uint32_t slot;
    uint32_t message_bytes_max;
    uint32_t channels_max;
    /* Without message and interest for so long, a channel is forgotten. No session may be parked for as long. */
    uint32_t channel_idle_ms;
    uint32_t idempotency_age_ms, idempotency_keys_max;
    /* A channel has a new newest message: called for each append, and by recover() for each channel. */
    void (*told)(void *ctx, uint32_t shard, struct hf_channel *channel);
    void *ctx;
};

struct hf_engine_ops {
    /* Take up the worker's shards where a predecessor left them. Once, before all else. */
    int (*recover)(struct hf_engine *e, struct hf_now now);
    /* Find a channel of an own shard, or make it. Returns 0, HF_ELIMIT or HF_ENOMEM. */
    int (*open)(struct hf_engine *e, uint32_t shard, struct hf_str name, uint64_t hash, struct hf_now now,
                struct hf_channel **out);
    /*
     * Apply a publish to a channel of an own shard (made where it does not exist). Returns 0 with *out set, or HF_EAGAIN where the log has no
     * room now: the caller keeps the publish and tries again in a later turn. HF_ELIMIT: the channel does not exist and cannot be made.
     * HF_ENOTFOUND: it has no name, and this has not been applied.
     */
    int (*publish)(struct hf_engine *e, uint32_t shard, const struct hf_publish *p, uint64_t hash,
                   struct hf_now now, struct hf_published *out);
    /* Now and then, a bounded piece of work: forget idle channels and old keys. */
    void (*tick)(struct hf_engine *e, struct hf_now now);
    /* The configuration has changed: hf_engine_config.channel_idle_ms is this now. */
    void (*set_channel_idle)(struct hf_engine *e, uint32_t channel_idle_ms);
    /* Likewise idempotency_age_ms and idempotency_keys_max. What is known too long, or too much, is forgotten by the next calls of tick(). */
    void (*set_idempotency)(struct hf_engine *e, uint32_t age_ms, uint32_t keys_max);
    void (*free)(struct hf_engine *e);
};

/* What every engine begins with. */
struct hf_engine {
    const struct hf_engine_ops *ops;
};

/* The engine that keeps messages in shared memory: they survive every worker, not the supervisor. Returns NULL without memory. */
struct hf_engine *hf_memory_engine_new(const struct hf_engine_config *config);

#endif
