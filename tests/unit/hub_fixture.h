/*
 * hub_fixture.h - real hubs in one process for the tests of src/server: one or two workers over one region, and time that the test makes. Included by one file of an
 * executable, behind cmocka.h.
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

#include "server/hub_state.h"
#include "shm/memory.h"

enum { HUBS_MAX = 2 };

struct place {
    struct hf_region_config layout;
    void *memory;
    struct hf_region region; /* the supervisor's view, and that of each hub */
    struct hf_config config; /* read when a hub is made, and while it lives */
    struct hf_hub *hub[HUBS_MAX];
    struct hf_now now;
};

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

/* And its request; ticket "": none. */
static inline size_t put_request_for(char *out, size_t cap, const char *protocol, const char *ticket)
{
    int len = snprintf(out, cap,
                       "GET /ws%s%s HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                       "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
                       "Sec-WebSocket-Protocol: %s\r\n\r\n",
                       ticket[0] == '\0' ? "" : "?resume=", ticket, protocol);

    assert_true(len > 0 && (size_t)len < cap);
    return (size_t)len;
}

static inline size_t put_request(char *out, size_t cap, const char *ticket)
{
    return put_request_for(out, cap, HF_PROTOCOL_JSON, ticket);
}

#endif
