#include "engine/engine.h"

#include "base/base64.h"
#include "fault_malloc.h"
#include "wire/binary.h"
#include "ws/frame.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "crash_point.h"

#include <jansson.h>

enum { SLOT = 0, OTHER = 1, SHARD = 0, SEGMENTS = 4, AGE_MS = 10000, IDLE_MS = 60000, KEYS_MAX = 1000 };

struct bench {
    struct hf_region region;
    struct hf_sessions sessions;
    struct hf_engine_config config;
    struct hf_engine *engine;
    struct hf_now now;
    uint64_t told; /* how often */
    struct hf_channel *told_of;
};

static void told(void *ctx, uint32_t shard, struct hf_channel *channel)
{
    struct bench *b = ctx;

    assert_int_equal(shard, SHARD);
    b->told++;
    b->told_of = channel;
}

/* A new engine over the same memory, as a new process makes it. */
static void recover(struct bench *b)
{
    if (b->engine != NULL)
        b->engine->ops->free(b->engine);
    b->engine = hf_memory_engine_new(&b->config);
    assert_non_null(b->engine);
    assert_int_equal(b->engine->ops->recover(b->engine, b->now), 0);
}

static void bench_init(struct bench *b, uint32_t segment_bytes)
{
    struct hf_region_config config = {.workers = 2,
                                      .shards = 2,
                                      .segment_bytes = segment_bytes,
                                      .segment_count = SEGMENTS,
                                      .channels_max = 20,
                                      .sessions_max = 20,
                                      .ring_bytes = 1024,
                                      .boot_id = UINT64_C(0x123456789abcdef0)};
    void *memory = hf_memory_map(hf_region_bytes(&config));

    assert_non_null(memory);
    memset(b, 0, sizeof(*b));
    hf_region_format(memory, &config);
    assert_int_equal(hf_region_open(&b->region, memory), 0);
    assert_int_equal(hf_sessions_open(&b->sessions, hf_region_sessions(&b->region), SLOT), 0);
    b->now = (struct hf_now){.mono_ms = 1000, .wall_ms = 1700000000000};
    b->config = (struct hf_engine_config){.region = &b->region,
                                          .sessions = &b->sessions,
                                          .counters = &b->region.slots[SLOT].counters,
                                          .slot = SLOT,
                                          .message_bytes_max = 100000,
                                          .channels_max = 5,
                                          .channel_idle_ms = IDLE_MS,
                                          .idempotency_age_ms = AGE_MS,
                                          .idempotency_keys_max = KEYS_MAX,
                                          .told = told,
                                          .ctx = b};
    recover(b);
}

static void bench_release(struct bench *b)
{
    b->engine->ops->free(b->engine);
    hf_sessions_release(&b->sessions);
    hf_memory_unmap(b->region.header, b->region.header->bytes);
}

static uint64_t count_of(const struct bench *b, enum hf_counter which)
{
    return atomic_load(&b->config.counters->counter[which]);
}

static struct hf_publish message(const char *channel, const char *payload)
{
    return (struct hf_publish){.channel = hf_str_from(channel), .payload = hf_str_from(payload)};
}

static int publish(struct bench *b, const struct hf_publish *p, struct hf_published *out)
{
    return b->engine->ops->publish(b->engine, SHARD, p, hf_channel_hash(p->channel), b->now, out);
}

/* A publish that is applied, now. Returns its offset. */
static uint64_t applied(struct bench *b, const struct hf_publish *p)
{
    struct hf_published out;
    uint64_t times = b->told;

    assert_int_equal(publish(b, p, &out), 0);
    assert_true(!out.repeated && !out.conflict && out.offset > 0 && out.cid != 0);
    assert_int_equal(b->told, times + 1);
    return out.offset;
}

static void is_repeat(struct bench *b, const struct hf_publish *p, uint64_t want_offset, bool want_conflict)
{
    struct hf_published out;
    uint64_t times = b->told;

    assert_int_equal(publish(b, p, &out), 0);
    assert_true(out.repeated);
    assert_int_equal(out.conflict, want_conflict);
    assert_int_equal(out.offset, want_offset);
    assert_int_equal(b->told, times);
}

static struct hf_channel *channel(struct bench *b, const char *name)
{
    struct hf_channel *c = NULL;
    struct hf_str n = hf_str_from(name);

    assert_int_equal(b->engine->ops->open(b->engine, SHARD, n, hf_channel_hash(n), b->now, &c), 0);
    return c;
}

static struct hf_log log_of(const struct bench *b)
{
    struct hf_log log;

    hf_log_open(&log, hf_region_log(&b->region, SHARD), OTHER);
    return log;
}

static struct hf_session *session(struct bench *b)
{
    static uint8_t n;
    uint8_t random[20];

    memset(random, ++n, sizeof(random));
    return hf_sessions_add(&b->sessions, random);
}

/* The channel's chain from its first message that is left to the newest: nothing missing, nothing twice. Returns the oldest offset. */
static uint64_t chain_is_whole(struct bench *b, const char *name)
{
    struct hf_channel *c = channel(b, name);
    struct hf_log log = log_of(b);
    hf_ref ref = 0, newest = atomic_load(&c->newest);
    const struct hf_record *r = hf_log_find(&log, newest, 1, &ref);
    uint64_t oldest = r == NULL ? 0 : r->offset, next = oldest;

    for (; r != NULL; next++) {
        assert_int_equal(r->offset, next);
        assert_int_equal(r->cid, atomic_load(&c->cid));
        if (next == atomic_load(&c->head)) {
            assert_true(ref == newest && atomic_load(&r->next) == 0);
            break;
        }
        ref = atomic_load(&r->next);
        r = hf_log_at(&log, ref);
        assert_non_null(r);
    }
    hf_log_unpin_all(&log);
    return oldest;
}

/* Publish so much to another channel that every segment is written anew. */
static void turn_over(struct bench *b)
{
    struct hf_publish p = message("bulk", "\"0123456789012345678901234567890123456789\"");
    uint64_t before = count_of(b, HF_COUNT_SEGMENTS_RECYCLED);

    while (count_of(b, HF_COUNT_SEGMENTS_RECYCLED) < before + SEGMENTS + 1)
        (void)applied(b, &p);
}

/* ---- A message as it stands in the log ---- */

static const char *text_of(const json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name));
}

/* What a frame carries; copy has room for it. */
static struct hf_str unframe(struct hf_ws *ws, const struct hf_pieces *frame, enum hf_ws_event_type want,
                             uint8_t *copy)
{
    struct hf_ws_event ev;

    memcpy(copy, frame->piece[0].data, frame->piece[0].len);
    if (frame->piece[1].len > 0)
        memcpy(copy + frame->piece[0].len, frame->piece[1].data, frame->piece[1].len);
    hf_ws_init(ws, HF_WS_CLIENT, 400000);
    assert_int_equal(hf_ws_recv(ws, copy, hf_pieces_len(frame), &ev), hf_pieces_len(frame));
    assert_int_equal(ev.type, want);
    return (struct hf_str){(const char *)ev.data, ev.len};
}

/* The pieces of the binary form are one frame with one record, which says the same. */
static void binary_frame_is(struct bench *b, const struct hf_publish *p, const struct hf_record *r)
{
    struct hf_pieces frame = hf_record_frame(r, true), bare = hf_pieces_message(frame);
    uint8_t *copy = malloc(hf_pieces_len(&frame));
    struct hf_binary_reader reader;
    struct hf_binary_record record;
    enum hf_binary_fault why;
    struct hf_str message;
    struct hf_ws ws;
    struct hf_msg m;

    assert_non_null(copy);
    message = unframe(&ws, &frame, HF_WS_EV_BINARY, copy);
    assert_int_equal(message.len, hf_pieces_len(&bare));
    hf_binary_reader_init(&reader, message.data, message.len);
    assert_int_equal(hf_binary_next(&reader, &record, &why), 1);
    assert_int_equal(reader.rest.len, 0);
    assert_int_equal(record.type, HF_MSG_DATA);
    assert_int_equal(hf_binary_decode(&m, &record, true, &why), 0);
    assert_int_equal(hf_cid_of_wire(m.cid), r->cid);
    assert_int_equal(m.offset, r->offset);
    assert_int_equal(m.timestamp, p->has_timestamp ? p->timestamp : b->now.wall_ms);
    assert_int_equal((m.has & HF_HAS_ID) != 0, p->id.data != NULL);
    assert_true(p->id.data == NULL || hf_str_eq(m.id, p->id));
    assert_int_equal(m.payload_raw, p->raw);
    assert_true(hf_str_eq(m.payload, p->payload));
    hf_ws_release(&ws);
    free(copy);
}

/* "one whole unmasked WebSocket text frame", whose object has the fields of a `data` */
static void frame_is(struct bench *b, const struct hf_publish *p, uint64_t offset)
{
    struct hf_channel *c = channel(b, p->channel.data);
    struct hf_log log = log_of(b);
    const struct hf_record *r = hf_log_at(&log, atomic_load(&c->newest));
    const char *at = (const char *)r;
    struct hf_ws ws;
    struct hf_ws_event ev;
    uint8_t *copy = malloc(r->frame_len);
    json_t *object, *payload;
    char epoch[32], id[64];

    assert_non_null(copy);
    memcpy(copy, at + r->frame_at, r->frame_len);
    hf_ws_init(&ws, HF_WS_CLIENT, 200000);
    assert_int_equal(hf_ws_recv(&ws, copy, r->frame_len, &ev), r->frame_len);
    assert_int_equal(ev.type, HF_WS_EV_TEXT);
    assert_int_equal(ev.len, r->frame_at + r->frame_len - r->json_at);
    assert_memory_equal(ev.data, at + r->json_at, ev.len);
    object = json_loadb((const char *)ev.data, ev.len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
    assert_non_null(object);
    assert_string_equal(text_of(object, "type"), "data");
    assert_string_equal(text_of(object, "channel"), p->channel.data);
    assert_int_equal(json_integer_value(json_object_get(object, "offset")), offset);
    assert_int_equal(json_integer_value(json_object_get(object, "timestamp")),
                     p->has_timestamp ? p->timestamp : b->now.wall_ms);
    (void)hf_region_epoch(&b->region, atomic_load(&c->cid), epoch);
    (void)snprintf(id, sizeof(id), "%s-%llu", epoch, (unsigned long long)offset);
    assert_string_equal(text_of(object, "id"),
                        p->id.data == NULL ? id : p->id.data); /* "else epoch-offset" */
    payload = json_loadb(p->payload.data, p->payload.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    assert_true(json_equal(json_object_get(object, "payload"), payload));
    assert_int_equal(json_object_size(object), 6);
    assert_int_equal(r->payload_len, p->payload.len);
    assert_memory_equal(at + r->payload_at, p->payload.data, p->payload.len);
    assert_int_equal(r->id_len, p->id.len);
    assert_true(p->id.len == 0 || memcmp(at + r->id_at, p->id.data, p->id.len) == 0);
    assert_true(r->kind == HF_RECORD_MESSAGE && r->cid == atomic_load(&c->cid) && r->offset == offset);
    assert_int_equal(r->appended_ms, b->now.wall_ms);
    binary_frame_is(b, p, r);
    json_decref(payload);
    json_decref(object);
    hf_ws_release(&ws);
    free(copy);
    hf_log_unpin_all(&log);
}

static void a_message_stands_in_the_log_as_a_frame(void **state)
{
    static const char *const channels[] = {"demo", "with \"quotes\" and \\",
                                           "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"};
    static const char *const payloads[] = {"1", "null", "\"\\u0000}\"", "{\"a\":[1,2,{\"b\":\"}\"}]}", "[]"};
    static const char *const ids[] = {NULL, "i1", "a\"b\\c/\xe2\x80\xa8"};
    struct bench b;

    (void)state;
    bench_init(&b, 65536);
    for (unsigned c = 0; c < 3; c++)
        for (unsigned i = 0; i < 15; i++) {
            struct hf_publish p = message(channels[c], payloads[i % 5]);

            p.id = hf_str_from(ids[i % 3]);
            p.has_timestamp = i % 2 == 0;
            p.timestamp = 1234567 + i;
            assert_int_equal(applied(&b, &p), i + 1);
            frame_is(&b, &p, i + 1);
        }
    assert_int_equal(count_of(&b, HF_COUNT_PUBLISHES), 45);
    bench_release(&b);
}

/* RFC 6455 section 5.2: the length takes 1, 3 or 9 bytes. */
static void every_length_of_frame_header_is_right(void **state)
{
    static char payload[80001];
    struct bench b;
    uint64_t offset = 0;

    (void)state;
    bench_init(&b, 1 << 18);
    for (size_t len = 2; len < 80000; len += len < 300 ? 1 : len > 65000 && len < 65700 ? 1 : 4999) {
        struct hf_publish p;

        memset(payload, 'x', len);
        payload[0] = payload[len - 1] = '"';
        payload[len] = '\0';
        p = message("demo", payload);
        (void)applied(&b, &p);
        frame_is(&b, &p, ++offset);
        if (len == 300)
            len = 64999;
    }
    bench_release(&b);
}

/* ---- Once ---- */

/* "a publish with (session, seq) … is applied once, however often it is given"; "after recover() all … is known again" */
/* Bytes that are no JSON: whole for who speaks binary, in base64 for who does not, however many there are. */
static void bytes_stand_in_the_log_in_both_forms(void **state)
{
    struct bench b;
    uint8_t bytes[1000];

    (void)state;
    bench_init(&b, 65536);
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(i * 31);
    for (size_t len = 0; len <= sizeof(bytes); len = len < 5 ? len + 1 : len * 5) {
        struct hf_publish p = message("demo", "");
        struct hf_log log;
        const struct hf_record *r;
        uint8_t copy[4096];
        char text[2000];
        struct hf_str object;
        struct hf_pieces frame;
        json_t *json;
        struct hf_ws ws;

        p.payload = (struct hf_str){(const char *)bytes, len};
        p.raw = true;
        p.id = len % 2 == 0 ? (struct hf_str){0} : HF_STR("mine");
        (void)applied(&b, &p);
        log = log_of(&b);
        r = hf_log_at(&log, atomic_load(&channel(&b, "demo")->newest));
        assert_int_equal(r->payload_len, len);
        binary_frame_is(&b, &p, r);
        frame = hf_record_frame(r, false);
        object = unframe(&ws, &frame, HF_WS_EV_TEXT, copy);
        json = json_loadb(object.data, object.len, JSON_REJECT_DUPLICATES, NULL);
        assert_non_null(json);
        hf_base64_encode(text, bytes, len);
        text[hf_base64_chars(len)] = '\0';
        assert_string_equal(text_of(json, "payloadBase64"), text);
        assert_null(json_object_get(json, "payload"));
        assert_true(p.id.data == NULL || strcmp(text_of(json, "id"), "mine") == 0);
        json_decref(json);
        hf_ws_release(&ws);
        hf_log_unpin_all(&log);
    }
    bench_release(&b);
}

/* The largest payload that limits.message may allow for a segment, in the form that takes most room: more than half of it. */
static void the_largest_bytes_fit_a_segment(void **state)
{
    enum { MESSAGE_BYTES_MAX = 100000, PAGE = 4096 };
    struct bench b;
    uint32_t segment_bytes = 4 * MESSAGE_BYTES_MAX + (64 << 10); /* config.c, check_segment() */
    uint8_t *bytes = malloc(MESSAGE_BYTES_MAX);
    struct hf_publish p = message("demo", "");

    (void)state;
    assert_non_null(bytes);
    memset(bytes, 0xff, MESSAGE_BYTES_MAX);
    bench_init(&b, (segment_bytes + PAGE - 1) / PAGE * PAGE);
    assert_int_equal(b.config.message_bytes_max, MESSAGE_BYTES_MAX);
    p.payload = (struct hf_str){(const char *)bytes, MESSAGE_BYTES_MAX};
    p.raw = true;
    for (uint64_t n = 1; n <= 3 * SEGMENTS; n++) /* Room is made for each, again and again. */
        assert_int_equal(applied(&b, &p), n);
    bench_release(&b);
    free(bytes);
}

static void a_repeated_seq_is_answered_and_not_applied(void **state)
{
    struct bench b;
    struct hf_publish p = message("demo", "1");
    struct hf_session *s;

    (void)state;
    bench_init(&b, 16384);
    s = session(&b);
    p.session = s->number;
    for (p.seq = 1; p.seq <= 10; p.seq++)
        assert_int_equal(applied(&b, &p), p.seq);
    assert_int_equal(hf_session_last_seq(s, true), 10);
    for (unsigned i = 0; i < 3; i++) {
        for (p.seq = 1; p.seq <= 10; p.seq++)
            is_repeat(&b, &p, p.seq, false);
        recover(&b);
    }
    assert_int_equal(count_of(&b, HF_COUNT_PUBLISHES), 10);
    assert_int_equal(count_of(&b, HF_COUNT_PUBLISHES_REPEATED), 30);
    p.seq = 11;
    assert_int_equal(applied(&b, &p), 11);
    bench_release(&b);
}

/* The segment of a session's last publish is recycled before its owner has heard of the ack: it is known all the same. */
static void an_unsettled_publish_outlives_its_segment(void **state)
{
    struct bench b;
    struct hf_publish p = message("demo", "1");
    struct hf_session *s;

    (void)state;
    bench_init(&b, 16384);
    s = session(&b);
    p.session = s->number;
    for (p.seq = 1; p.seq <= 3; p.seq++)
        (void)applied(&b, &p);
    for (unsigned i = 0; i < 4; i++) {
        turn_over(&b);
        p.seq = 3;
        is_repeat(&b, &p, 3, false);
        p.seq = 2;
        is_repeat(&b, &p, 0, false); /* "applied once before, the offset is no longer known" */
        if (i % 2 == 1)
            recover(&b);
    }
    atomic_store(&s->last_seq, 3);
    turn_over(&b);
    p.seq = 4;
    assert_int_equal(applied(&b, &p), 4);
    is_repeat(&b, &p, 4, false);
    bench_release(&b);
}

static struct hf_publish with_key(uint64_t key, uint64_t body_hash)
{
    struct hf_publish p = message("demo", "1");

    p.has_key = true;
    p.key[0] = p.key[1] = key;
    p.body_hash = body_hash;
    return p;
}

/* "key: idempotency key: a repeat gets the first answer, with another body 409" */
static void a_repeated_key_gets_the_first_answer(void **state)
{
    struct bench b;
    struct hf_publish p;

    (void)state;
    bench_init(&b, 16384);
    for (uint64_t key = 1; key <= 5; key++) {
        p = with_key(key, 100);
        assert_int_equal(applied(&b, &p), key);
    }
    for (unsigned i = 0; i < 3; i++) {
        p = with_key(3, 100);
        is_repeat(&b, &p, 3, false);
        p = with_key(3, 101);
        is_repeat(&b, &p, 3, true);
        if (i == 0)
            turn_over(&b);
        else
            recover(&b);
    }
    bench_release(&b);
}

/* "idempotency keys 10 min": then a key may be used anew, and its second use counts, also for a successor. */
static void an_old_key_may_be_used_again(void **state)
{
    struct bench b;
    struct hf_publish p = with_key(3, 100);

    (void)state;
    bench_init(&b, 16384);
    assert_int_equal(applied(&b, &p), 1);
    b.now.wall_ms += AGE_MS;
    b.engine->ops->tick(b.engine, b.now);
    is_repeat(&b, &p, 1, false);
    b.now.wall_ms += 1;
    b.engine->ops->tick(b.engine, b.now);
    p = with_key(3, 200);
    assert_int_equal(applied(&b, &p), 2);
    recover(&b);
    is_repeat(&b, &p, 2, false);
    p = with_key(3, 100);
    is_repeat(&b, &p, 2, true);
    b.now.wall_ms += AGE_MS + 1;
    recover(&b); /* What is too old is not known to the successor either. */
    assert_int_equal(applied(&b, &p), 3);
    bench_release(&b);
}

/* Forgetting them is a matter of several ticks, where many are too old at once. */
static void a_key_that_is_too_old_does_not_count(void **state)
{
    struct bench b;
    struct hf_publish p = with_key(3, 100);

    (void)state;
    bench_init(&b, 16384);
    assert_int_equal(applied(&b, &p), 1);
    b.now.wall_ms += 1000;
    is_repeat(&b, &p, 1, false);
    b.engine->ops->set_idempotency(b.engine, 999, KEYS_MAX);
    assert_int_equal(applied(&b, &p), 2);
    is_repeat(&b, &p, 2, false);
    bench_release(&b);
}

/* "idempotency keys …, 100,000" at most: of the configured number each shard keeps its share. */
static void the_number_of_keys_is_bounded(void **state)
{
    struct bench b;
    struct hf_publish p;
    uint64_t kept = KEYS_MAX / 2 + 1;

    (void)state;
    bench_init(&b, 1 << 18);
    for (uint64_t key = 1; key <= 2 * kept; key++) {
        p = with_key(key, 1);
        (void)applied(&b, &p);
    }
    p = with_key(kept + 1, 1);
    is_repeat(&b, &p, kept + 1, false);
    p = with_key(kept, 1);
    (void)applied(&b, &p);
    bench_release(&b);
}

/* ---- Limits ---- */

/* "HF_ELIMIT: the channel … cannot be made"; an idle one makes room. */
static void idle_channels_make_room_for_others(void **state)
{
    static const char *const names[] = {"a", "b", "c", "d", "e"};
    struct bench b;
    struct hf_channel *c;
    hf_cid cid;
    uint64_t hash = hf_channel_hash(HF_STR("f"));

    (void)state;
    bench_init(&b, 16384);
    for (unsigned i = 0; i < 5; i++)
        assert_ptr_equal(channel(&b, names[i]), channel(&b, names[i]));
    assert_int_equal(b.engine->ops->open(b.engine, SHARD, HF_STR("f"), hash, b.now, &c), HF_ELIMIT);
    c = channel(&b, "b");
    cid = atomic_load(&c->cid);
    assert_true(hf_channel_want(c, cid, OTHER));
    b.now.mono_ms += IDLE_MS - 1;
    b.now.wall_ms += 10 * IDLE_MS; /* Somebody has set the clock: that makes no channel older. */
    b.engine->ops->tick(b.engine, b.now);
    assert_int_equal(count_of(&b, HF_COUNT_CHANNELS_REMOVED), 0);
    (void)applied(&b, &(struct hf_publish){.channel = HF_STR("d"), .payload = HF_STR("1")});
    b.now.mono_ms += 1;
    b.engine->ops->tick(b.engine, b.now);
    assert_int_equal(count_of(&b, HF_COUNT_CHANNELS_REMOVED),
                     3); /* Not the wanted one, nor that with a message. */
    assert_int_equal(atomic_load(&channel(&b, "b")->cid), cid);
    assert_int_equal(atomic_load(&channel(&b, "d")->head), 1);
    assert_int_equal(b.engine->ops->open(b.engine, SHARD, HF_STR("f"), hash, b.now, &c), 0);
    hf_channel_unwant(channel(&b, "b"), OTHER, b.now.mono_ms);
    b.now.mono_ms += IDLE_MS - 1;
    b.engine->ops->tick(b.engine, b.now);
    assert_int_equal(atomic_load(&channel(&b, "b")->cid), cid); /* Parked sessions may still name it. */
    bench_release(&b);
}

/* A message of a channel that was begun anew counts from 1 and has another epoch. */
static void a_forgotten_channel_begins_anew(void **state)
{
    struct bench b;
    struct hf_publish p = message("demo", "1");
    hf_cid cid;

    (void)state;
    bench_init(&b, 16384);
    (void)applied(&b, &p);
    assert_int_equal(applied(&b, &p), 2);
    cid = atomic_load(&b.told_of->cid);
    b.now.mono_ms += IDLE_MS;
    b.engine->ops->tick(b.engine, b.now);
    assert_int_equal(applied(&b, &p), 1);
    assert_true(atomic_load(&b.told_of->cid) != cid);
    frame_is(&b, &p, 1);
    recover(&b); /* The old incarnation's records are still in the log, and no longer its. */
    assert_int_equal(atomic_load(&channel(&b, "demo")->head), 1);
    assert_int_equal(applied(&b, &p), 2);
    bench_release(&b);
}

/* "HF_EAGAIN where the log has no room now: the caller keeps the publish and tries again in a later turn." */
static void a_log_that_readers_hold_takes_no_more_until_they_let_go(void **state)
{
    struct bench b;
    struct hf_publish p = message("demo", "\"0123456789\"");
    struct hf_published out;
    struct hf_log reader;
    uint64_t offset = 0;
    struct hf_session *s;

    (void)state;
    bench_init(&b, 16384);
    s = session(&b);
    p.session = s->number;
    reader = log_of(&b);
    for (p.seq = 1; publish(&b, &p, &out) == 0; p.seq++) {
        assert_int_equal(out.offset, ++offset);
        assert_non_null(hf_log_at(&reader, atomic_load(&b.told_of->newest)));
    }
    assert_true(offset > 50);
    for (unsigned i = 0; i < 10; i++)
        assert_int_equal(publish(&b, &p, &out), HF_EAGAIN);
    assert_int_equal(count_of(&b, HF_COUNT_LOG_FULL), 11);
    assert_int_equal(atomic_load(&b.told_of->head), offset);
    assert_int_equal(hf_session_last_seq(s, true), offset);
    hf_log_unpin_all(&reader);
    assert_int_equal(applied(&b, &p), offset + 1);
    is_repeat(&b, &p, offset + 1, false);
    for (p.seq++; p.seq < 1000; p.seq++)
        assert_int_equal(applied(&b, &p), p.seq);
    bench_release(&b);
}

/* Room for a message may be made where the channel's newest one stood, and be used at once. */
static void making_room_may_evict_the_message_before(void **state)
{
    static char long_payload[5000];
    struct bench b;
    struct hf_publish first = message("demo", "1"), bulk = message("bulk", "\"0123456789\""), second;
    struct hf_published out;
    struct hf_log reader;
    const struct hf_record *r;

    (void)state;
    memset(long_payload, 'x', sizeof(long_payload) - 1);
    long_payload[0] = long_payload[sizeof(long_payload) - 2] = '"';
    bench_init(&b, 16384);
    reader = log_of(&b);
    (void)applied(&b, &first);
    while (publish(&b, &bulk, &out) ==
           0) /* Until all segments are pinned, and the last is too full for the long one. */
        assert_non_null(hf_log_at(&reader, atomic_load(&b.told_of->newest)));
    hf_log_unpin_all(&reader);
    second = message("demo", long_payload);
    assert_int_equal(applied(&b, &second), 2);
    r = hf_log_at(&reader, atomic_load(&b.told_of->newest));
    assert_true(r->prev == 0 && r->jump == 0 && atomic_load(&r->next) == 0 && r->bytes_before == 0);
    hf_log_unpin_all(&reader);
    frame_is(&b, &second, 2);
    assert_int_equal(chain_is_whole(&b, "demo"), 2);
    (void)applied(&b, &first);
    assert_int_equal(chain_is_whole(&b, "demo"), 2);
    bench_release(&b);
}

/* More keys than a quarter of a segment holds: publishers wait until the keys have grown old. */
static void too_many_keys_hold_the_log_back_until_they_are_old(void **state)
{
    struct bench b;
    struct hf_publish p;
    struct hf_published out;
    uint64_t key = 1;

    (void)state;
    bench_init(&b, 16384);
    for (;; key++) {
        p = with_key(key, 1);
        if (publish(&b, &p, &out) == HF_EAGAIN)
            break;
        assert_int_equal(out.offset, key);
        assert_true(key < 5000);
    }
    b.now.wall_ms += AGE_MS + 1;
    b.engine->ops->tick(b.engine, b.now);
    assert_int_equal(applied(&b, &p), key);
    bench_release(&b);
}

/* ---- Death ---- */

struct work {
    struct bench *b;
    struct hf_publish p;
};

static void work_publish(void *ctx)
{
    struct work *w = ctx;
    struct hf_published out;

    if (publish(w->b, &w->p, &out) < 0)
        _exit(1);
}

/* The owner dies at each place of a publish, of which the `before`-th of a full log may have to recycle a segment first. */
static void dies_publishing(unsigned before, unsigned places)
{
    bool was_applied = false, was_not = false;

    for (unsigned n = 1;; n++) {
        struct bench b;
        struct work w = {&b, message("demo", "\"0123456789\"")};
        struct hf_published out;
        struct hf_session *s, *early;
        struct hf_publish old;
        uint64_t head;
        bool died;

        bench_init(&b, 16384);
        s = session(&b);
        early = session(&b);
        old = w.p;
        old.session = early->number;
        old.seq = 1;
        (void)applied(&b, &old); /* To be carried over. */
        w.p.session = s->number;
        for (w.p.seq = 1; w.p.seq <= before; w.p.seq++)
            (void)applied(&b, &w.p);
        head = before + 1;
        died = dies_at(n, work_publish, &w);
        recover(&b);
        assert_ptr_equal(b.told_of, channel(&b, "demo")); /* "every interested worker is to be told" */
        assert_int_equal(publish(&b, &w.p, &out), 0);
        assert_int_equal(out.offset, head + 1);
        if (died)
            *(out.repeated ? &was_applied : &was_not) = true;
        else
            assert_true(out.repeated);
        assert_int_equal(hf_session_last_seq(s, true), w.p.seq);
        (void)chain_is_whole(&b, "demo");
        assert_int_equal(atomic_load(&channel(&b, "demo")->head), head + 1);
        is_repeat(&b, &old, 1, false);
        is_repeat(&b, &w.p, head + 1, false);
        w.p.seq++;
        assert_int_equal(applied(&b, &w.p), head + 2);
        bench_release(&b);
        if (!died) {
            assert_true(n > places);
            break;
        }
    }
    assert_true(was_applied && was_not);
}

/* "deduplication and append are one step, so that a death at any moment leaves both or neither" */
static void an_owner_dies_at_each_place_of_a_publish(void **state)
{
    struct bench b;
    struct hf_publish p = message("demo", "\"0123456789\"");
    unsigned before = 0;

    (void)state;
    bench_init(&b, 16384);
    (void)applied(&b, &p);
    p.session = session(&b)->number;
    for (p.seq = 1; count_of(&b, HF_COUNT_SEGMENTS_RECYCLED) == 0; p.seq++, before++)
        (void)applied(&b, &p);
    bench_release(&b);
    dies_publishing(1, 5);
    dies_publishing(before - 2, 5); /* Begins the last segment. */
    dies_publishing(before - 1, 7); /* Carries over and recycles. */
}

/* A predecessor died between commit and advance: its record is in the log and nobody has been told. */
static void recovery_finishes_what_was_committed(void **state)
{
    struct bench b;
    struct hf_publish p = message("demo", "1");
    struct hf_channel *c;
    struct hf_log log;
    struct hf_record *before, *last;
    struct hf_session *s;

    (void)state;
    bench_init(&b, 16384);
    s = session(&b);
    p.session = s->number;
    for (p.seq = 1; p.seq <= 5; p.seq++)
        (void)applied(&b, &p);
    c = channel(&b, "demo");
    log = log_of(&b);
    last = hf_log_at(&log, atomic_load(&c->newest));
    before = hf_log_at(&log, last->prev);
    atomic_store(&before->next, 0);
    atomic_store(&c->newest, last->prev);
    atomic_store(&c->head, 4);
    atomic_store(&s->applied_seq, 4);
    hf_log_unpin_all(&log);
    b.told = 0;
    recover(&b);
    assert_int_equal(b.told, 1);
    assert_int_equal(atomic_load(&c->head), 5);
    assert_int_equal(hf_session_last_seq(s, true), 5);
    assert_int_equal(chain_is_whole(&b, "demo"), 1);
    p.seq = 5;
    is_repeat(&b, &p, 5, false);
    p.seq = 6;
    assert_int_equal(applied(&b, &p), 6);
    assert_int_equal(chain_is_whole(&b, "demo"), 1);
    bench_release(&b);
}

static void work_recover(void *ctx)
{
    struct work *w = ctx;

    recover(w->b);
}

/* A successor may die as well, while it takes up what was left: the next one finds it no worse. */
static void a_successor_dies_at_each_place_of_its_recovery(void **state)
{
    bool died = true;

    (void)state;
    for (unsigned n = 1; died; n++) {
        struct bench b;
        struct work w = {&b, message("demo", "1")};
        struct hf_session *s;

        bench_init(&b, 16384);
        s = session(&b);
        w.p.session = s->number;
        for (w.p.seq = 1; w.p.seq <= 5; w.p.seq++)
            (void)applied(&b, &w.p);
        for (unsigned place = 1;;
             place++) { /* The predecessor dies with its record committed and not yet known. */
            assert_true(dies_at(place, work_publish, &w));
            if (strcmp(crash_place(), "log:committed") == 0)
                break;
        }
        died = dies_at(n, work_recover, &w);
        recover(&b);
        assert_int_equal(chain_is_whole(&b, "demo"), 1);
        assert_int_equal(atomic_load(&channel(&b, "demo")->head), 6);
        is_repeat(&b, &w.p, 6, false);
        bench_release(&b);
        assert_true(died || n > 1);
    }
}

/* ---- Memory ---- */

static void making_an_engine_without_memory_leaves_nothing(void **state)
{
    struct bench b;
    struct hf_publish p = with_key(1, 1);
    unsigned n;

    (void)state;
    bench_init(&b, 16384);
    p.session = session(&b)->number;
    p.seq = 1;
    (void)applied(&b, &p);
    for (n = 1;; n++) {
        struct hf_engine *e;
        int err = HF_ENOMEM;

        fault_arm(n);
        e = hf_memory_engine_new(&b.config);
        if (e != NULL)
            err = e->ops->recover(e, b.now);
        if (e != NULL)
            e->ops->free(e);
        if (!fault_disarm()) {
            assert_int_equal(err, 0);
            break;
        }
        assert_int_equal(err, HF_ENOMEM);
    }
    assert_int_equal(n, 7); /* The engine, room to carry, the shards; then two tables and a key. */
    is_repeat(&b, &p, 1, false);
    bench_release(&b);
}

/* A publish of which one allocation fails is refused for now, or in the log with its worker gone: never half of it, never twice. */
static void a_publish_without_memory_is_applied_once_in_the_end(void **state)
{
    unsigned again = 0, ended = 0;
    int status = 1;

    (void)state;
    for (unsigned n = 1; status != 0; n++) {
        struct bench b;
        struct hf_publish p = with_key(1, 1);
        struct hf_published out;
        pid_t child;

        bench_init(&b, 16384);
        p.session = session(&b)->number;
        p.seq = 1;
        child = fork_child();
        if (child == 0) {
            (void)!freopen("/dev/null", "w", stderr); /* The assertion's last words. */
            fault_arm(n);
            _exit(publish(&b, &p, &out) == HF_EAGAIN ? 1 : fault_disarm() ? 2 : 0);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status) ? WTERMSIG(status) == SIGABRT : WEXITSTATUS(status) <= 1);
        *(WIFSIGNALED(status) ? &ended : &again) += status != 0;
        recover(&b);
        assert_int_equal(publish(&b, &p, &out), 0);
        assert_int_equal(out.offset, 1);
        assert_true(out.repeated == (WIFSIGNALED(status) || status == 0));
        assert_int_equal(chain_is_whole(&b, "demo"), 1);
        bench_release(&b);
    }
    assert_true(again == 2 && ended == 3); /* The head and the frame; two tables and a key. */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_stands_in_the_log_as_a_frame),
        cmocka_unit_test(every_length_of_frame_header_is_right),
        cmocka_unit_test(bytes_stand_in_the_log_in_both_forms),
        cmocka_unit_test(the_largest_bytes_fit_a_segment),
        cmocka_unit_test(a_repeated_seq_is_answered_and_not_applied),
        cmocka_unit_test(an_unsettled_publish_outlives_its_segment),
        cmocka_unit_test(a_repeated_key_gets_the_first_answer),
        cmocka_unit_test(an_old_key_may_be_used_again),
        cmocka_unit_test(a_key_that_is_too_old_does_not_count),
        cmocka_unit_test(the_number_of_keys_is_bounded),
        cmocka_unit_test(idle_channels_make_room_for_others),
        cmocka_unit_test(a_forgotten_channel_begins_anew),
        cmocka_unit_test(a_log_that_readers_hold_takes_no_more_until_they_let_go),
        cmocka_unit_test(making_room_may_evict_the_message_before),
        cmocka_unit_test(too_many_keys_hold_the_log_back_until_they_are_old),
        cmocka_unit_test(an_owner_dies_at_each_place_of_a_publish),
        cmocka_unit_test(recovery_finishes_what_was_committed),
        cmocka_unit_test(a_successor_dies_at_each_place_of_its_recovery),
        cmocka_unit_test(making_an_engine_without_memory_leaves_nothing),
        cmocka_unit_test(a_publish_without_memory_is_applied_once_in_the_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
