/*
 * hub_fixture.h - real hubs in one process for the tests of src/server: one or two workers over one region, time that the test makes, and keys for tokens. Included by one file
 * of an executable, behind cmocka.h. hub_peer.h has their clients.
 *
 *     struct place p;
 *     place_init(&p, 2);
 *     ... change p.config ...
 *     hub_start(&p, 0, &transport);
 *     p.now.mono_ms += 50;
 *     hf_hub_turn(p.hub[0], p.now);
 *     place_release(&p);
 */
#ifndef HF_TESTS_HUB_FIXTURE_H
#define HF_TESTS_HUB_FIXTURE_H

#include "server/auth.h"
#include "server/hub_state.h"
#include "shm/memory.h"

#include "token_maker.h"

enum { HUBS_MAX = 2 };

struct place {
    struct hf_region_config layout;
    void *memory;
    struct hf_region region; /* the supervisor's view, and that of each hub */
    struct hf_config config; /* read when a hub is made, and while it lives */
    struct hf_hub *hub[HUBS_MAX];
    struct hf_now now;
};

static uint64_t random_calls; /* since place_init() */

/*
 * A transport's random(): never the same twice, as a session's place that is used again gets another number only by this; and the same with each place, so that what is
 * done again gives the same bytes.
 */
static inline void never_twice(void *ctx, uint8_t *out, size_t len)
{
    uint64_t n = ++random_calls;

    (void)ctx;
    memset(out, 7, len);
    for (size_t at = 0; at + sizeof(n) <= len; at += sizeof(n))
        memcpy(out + at, &n, sizeof(n));
    if (len >= 4)
        memcpy(out + len - 4, &(uint32_t){(uint32_t)n << 8}, 4);
}

static inline void place_init(struct place *p, uint32_t workers)
{
    *p = (struct place){.layout = {.workers = workers,
                                   .shards = workers,
                                   .segment_bytes = 1 << 20,
                                   .segment_count = 8,
                                   .channels_max = 64,
                                   .sessions_max = 1024,
                                   .ring_bytes = 1 << 16,
                                   .boot_id = 1},
                        .now = {.mono_ms = 1000000, .wall_ms = 1700000000000}};
    random_calls = 0;
    p->memory = hf_memory_map(hf_region_bytes(&p->layout));
    assert_non_null(p->memory);
    hf_region_format(p->memory, &p->layout);
    assert_int_equal(hf_region_open(&p->region, p->memory), 0);
    hf_config_default(&p->config);
    p->config.workers = p->config.shards = workers;
    p->config.segment_bytes = p->layout.segment_bytes;
    p->config.segments_per_shard = p->layout.segment_count;
    p->config.channels_max = p->layout.channels_max;
    p->config.sessions_max = p->layout.sessions_max;
}

/* As the supervisor and a new process of that slot. */
static inline void hub_start(struct place *p, uint32_t slot, const struct hf_transport *transport)
{
    atomic_fetch_add(&p->region.slots[slot].starts, 1);
    p->hub[slot] = hf_hub_new(&p->region, slot, &p->config, transport, p->now);
    assert_non_null(p->hub[slot]);
    hf_hub_serves(p->hub[slot]);
}

/* As a process that dies, and its successor. */
static inline void hub_restart(struct place *p, uint32_t slot, const struct hf_transport *transport)
{
    hf_hub_free(p->hub[slot]);
    p->hub[slot] = NULL;
    hf_region_bury_worker(&p->region, slot);
    hub_start(p, slot, transport);
}

static inline void place_release(struct place *p)
{
    for (uint32_t slot = 0; slot < HUBS_MAX; slot++)
        hf_hub_free(p->hub[slot]);
    hf_memory_unmap(p->memory, hf_region_bytes(&p->layout));
}

static inline uint64_t counted(const struct place *p, uint32_t slot, enum hf_counter which)
{
    return atomic_load(&p->region.slots[slot].counters.counter[which]);
}

/* A publish of the backend to a channel whose shard this hub owns. */
static inline void note_offset(void *ctx, const struct hf_service_result *result)
{
    *(struct hf_service_result *)ctx = *result;
}

static inline void publish_text(struct hf_hub *hub, const char *channel, const char *payload)
{
    struct hf_service_result result = {.code = HF_CODE_TIMEOUT};

    hf_service_publish(
        hub, &(struct hf_service_publish){.channel = hf_str_from(channel), .payload = hf_str_from(payload)},
        note_offset, &result);
    assert_int_equal(result.code, HF_CODE_NONE);
}

/* What a client sends: a message in one masked frame. */
static inline size_t put_message(uint8_t *out, enum hf_ws_opcode opcode, const void *data, size_t len)
{
    static const uint8_t mask[4] = {1, 2, 3, 4};
    size_t header = hf_ws_header(out, opcode, len, mask);

    memcpy(out + header, data, len);
    hf_ws_mask(out + header, len, mask, 0);
    return header + len;
}

static inline size_t put_text(uint8_t *out, const char *text)
{
    return put_message(out, HF_WS_TEXT, text, strlen(text));
}

/* And its request: what for, and what headers it has beside those of every WebSocket; each ends in CR LF. */
static inline size_t put_request_by(char *out, size_t cap, const char *target, const char *headers)
{
    int len = snprintf(out, cap,
                       "GET %s HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                       "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n%s\r\n",
                       target, headers);

    assert_true(len > 0 && (size_t)len < cap);
    return (size_t)len;
}

/* ticket "": none. */
static inline size_t put_request_for(char *out, size_t cap, const char *protocol, const char *ticket)
{
    char target[2 * TOKEN_ROOM], headers[128];

    snprintf(target, sizeof(target), "/ws%s%s", ticket[0] == '\0' ? "" : "?resume=", ticket);
    snprintf(headers, sizeof(headers), "Sec-WebSocket-Protocol: %s\r\n", protocol);
    return put_request_by(out, cap, target, headers);
}

static inline size_t put_request(char *out, size_t cap, const char *ticket)
{
    return put_request_for(out, cap, HF_PROTOCOL_JSON, ticket);
}

/* ---- Identities ---- */

/* A key, and what judges the tokens that it signs: for hf_hub_set_auth(). */
struct keys {
    struct hf_auth *auth;
    struct hf_jwt_key *key;
};

/* The same key each time. anonymous: who shows no token may come in. */
static inline void keys_init(struct keys *k, bool anonymous)
{
    const struct hf_auth_rules rules = {.audience = "", .issuer = "", .anonymous = anonymous};

    k->key = token_secret(HF_JWT_HS256, 'a', 32);
    k->auth = hf_auth_new(&rules);
    assert_int_equal(hf_auth_add(k->auth, "", token_secret(HF_JWT_HS256, 'a', 32)), 0);
}

/* Not while a hub has them. */
static inline void keys_release(struct keys *k)
{
    hf_auth_free(k->auth);
    hf_jwt_key_free(k->key);
}

/* A token with this payload, good until the next one is made. */
static inline const char *token_with(const struct keys *k, const char *payload)
{
    static struct token_text token;

    return token_make(&token, k->key, "{\"alg\":\"HS256\"}", payload);
}

/* A token of this user that ends in so many seconds from now; 0: never. */
static inline const char *token_for(const struct keys *k, const struct place *p, const char *user,
                                    unsigned seconds)
{
    char payload[256];
    int len = snprintf(payload, sizeof(payload), "{\"sub\":\"%s\"", user);

    if (seconds > 0)
        len += snprintf(payload + len, sizeof(payload) - (size_t)len, ",\"exp\":%llu",
                        (unsigned long long)(p->now.wall_ms / 1000 + seconds));
    snprintf(payload + len, sizeof(payload) - (size_t)len, "}");
    return token_with(k, payload);
}

#endif
