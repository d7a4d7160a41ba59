/*
 * test_compressed.c - the frames that a worker has compressed: shared, bounded, and in place until the turn ends.
 */
#include "fault_malloc.h"
#include "server/compressed.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { RING = 65536, MESSAGE_MAX = 100000, MIN = 100, HEAD = 20 /* of a binary record */ };

static struct hf_counters counters;

static unsigned long long counted(enum hf_counter which)
{
    return atomic_load(&counters.counter[which]);
}

static const struct hf_config config = {.compression_enabled = true,
                                        .compression_min = MIN,
                                        .compression_level = 1,
                                        .compression_memory = 5,
                                        .compression_cache_bytes = RING};

static struct hf_compressed *new_compressed(void)
{
    struct hf_compressed *z = hf_compressed_new(&config, MESSAGE_MAX, &counters);

    memset(&counters, 0, sizeof(counters));
    assert_non_null(z);
    return z;
}

/*
 * A record as the log has them: a binary frame's head, and the JSON frame with the object in it, which is the binary message's payload here. `seed` makes its text unlike
 * others'; noise does not get smaller.
 */
static struct hf_record *new_record(uint64_t cid, size_t len, unsigned seed, bool noise)
{
    uint8_t header[HF_WS_HEADER_MAX], binary_header[HF_WS_HEADER_MAX];
    size_t header_len = hf_ws_header(header, HF_WS_TEXT, len, NULL);
    size_t binary_len = hf_ws_header(binary_header, HF_WS_BINARY, HEAD + len, NULL);
    struct hf_record *r = calloc(1, sizeof(*r) + binary_len + HEAD + header_len + len);
    uint8_t *text;

    assert_non_null(r);
    r->cid = cid;
    r->head_len = (uint32_t)(binary_len + HEAD);
    r->frame_at = (uint32_t)(sizeof(*r) + r->head_len);
    r->frame_len = (uint32_t)(header_len + len);
    r->json_at = r->payload_at = (uint32_t)(r->frame_at + header_len);
    r->payload_len = (uint32_t)len;
    memcpy(r + 1, binary_header, binary_len);
    memset((uint8_t *)(r + 1) + binary_len, 'h', HEAD);
    memcpy((uint8_t *)r + r->frame_at, header, header_len);
    text = (uint8_t *)r + r->json_at;
    for (size_t i = 0; i < len; i++) {
        seed = seed * 1103515245 + 12345;
        text[i] = (uint8_t)(noise ? seed >> 16 : (seed >> 16) % 4 + 'a');
    }
    return r;
}

/* The frame for a JSON subscriber. */
static struct hf_str json_frame(struct hf_compressed *z, uint8_t window_bits, const struct hf_record *r,
                                hf_ref ref)
{
    return hf_compressed_frame(z, window_bits, false, r, ref).piece[0];
}

static bool is_plain(struct hf_str frame, const struct hf_record *r)
{
    return frame.data == (const char *)r + r->frame_at && frame.len == r->frame_len;
}

/* What a frame of ours says, by a parser and an inflater of its own. */
static void assert_says(struct hf_compressed *z, struct hf_str frame, const struct hf_record *r)
{
    uint8_t *copy = malloc(frame.len);
    struct hf_ws_event ev;
    struct hf_ws ws;

    assert_non_null(copy);
    memcpy(copy, frame.data, frame.len);
    hf_ws_init(&ws, HF_WS_CLIENT, MESSAGE_MAX);
    hf_ws_allow_deflate(&ws);
    assert_int_equal(hf_ws_recv(&ws, copy, frame.len, &ev), frame.len);
    assert_true(ev.compressed);
    hf_compressed_inflate(z, &ws, &ev);
    assert_int_equal(ev.type, HF_WS_EV_TEXT);
    assert_int_equal(ev.len, r->frame_at + r->frame_len - r->json_at);
    assert_memory_equal(ev.data, (const uint8_t *)r + r->json_at, ev.len);
    hf_ws_release(&ws);
    free(copy);
}

static void a_message_is_compressed_once_and_shared(void **state)
{
    struct hf_compressed *z = new_compressed();
    struct hf_record *r = new_record(7, 1000, 1, false);
    struct hf_str first = json_frame(z, 15, r, 99), again;

    (void)state;
    assert_false(is_plain(first, r));
    assert_true(first.len < r->frame_len);
    assert_says(z, first, r);
    for (int turn = 0; turn < 3; turn++) {
        for (int i = 0; i < 10; i++) {
            again = json_frame(z, (uint8_t)(10 + i % 6), r, 99);
            assert_ptr_equal(again.data, first.data);
            assert_int_equal(again.len, first.len);
        }
        assert_true(is_plain(json_frame(z, 0, r, 99), r)); /* It was not negotiated. */
        hf_compressed_turn_ended(z);
    }
    assert_int_equal(counted(HF_COUNT_DEFLATED), 1);
    assert_int_equal(counted(HF_COUNT_DEFLATE_SHARED), 31);
    assert_int_equal(counted(HF_COUNT_DEFLATE_BYTES_PLAIN), 1000);
    assert_int_equal(counted(HF_COUNT_DEFLATE_BYTES_PACKED), first.len);
    hf_compressed_free(z);
    free(r);
}

/* Each encoding has a frame of its own for the same record. */
static void a_message_is_compressed_for_each_encoding(void **state)
{
    struct hf_compressed *z = new_compressed();
    struct hf_record *r = new_record(7, 1000, 1, false), *small = new_record(7, MIN - HEAD - 1, 2, false);
    uint8_t want[HEAD + 1000], copy[HEAD + 1100];
    struct hf_ws_event ev;
    struct hf_pieces frame;
    struct hf_ws ws;

    (void)state;
    memset(want, 'h', HEAD);
    memcpy(want + HEAD, (uint8_t *)r + r->payload_at, 1000);
    for (int i = 0; i < 3; i++) {
        assert_says(z, json_frame(z, 15, r, 99), r);
        frame = hf_compressed_frame(z, 15, true, r, 99);
        assert_int_equal(frame.piece[1].len, 0);
        memcpy(copy, frame.piece[0].data, frame.piece[0].len);
        hf_ws_init(&ws, HF_WS_CLIENT, MESSAGE_MAX);
        hf_ws_allow_deflate(&ws);
        assert_int_equal(hf_ws_recv(&ws, copy, frame.piece[0].len, &ev), frame.piece[0].len);
        assert_true(ev.compressed);
        hf_compressed_inflate(z, &ws, &ev);
        assert_int_equal(ev.type, HF_WS_EV_BINARY);
        assert_int_equal(ev.len, sizeof(want));
        assert_memory_equal(ev.data, want, sizeof(want));
        hf_ws_release(&ws);
    }
    assert_int_equal(counted(HF_COUNT_DEFLATED), 2);
    frame = hf_compressed_frame(z, 0, true, r, 99); /* It was not negotiated. */
    assert_ptr_equal(frame.piece[0].data, r + 1);
    assert_ptr_equal(frame.piece[1].data, (char *)r + r->payload_at);
    frame = hf_compressed_frame(z, 15, true, small, 100);
    assert_ptr_equal(frame.piece[0].data, small + 1);
    assert_int_equal(frame.piece[1].len, MIN - HEAD - 1);
    hf_compressed_free(z);
    free(small);
    free(r);
}

static void small_ones_and_small_windows_stay_plain(void **state)
{
    struct hf_compressed *z = new_compressed();
    struct hf_record *small = new_record(1, MIN - 1, 1, false), *least = new_record(1, MIN, 1, false);
    struct hf_record *r256 = new_record(1, 256, 1, false), *r257 = new_record(1, 257, 1, false);

    (void)state;
    assert_true(is_plain(json_frame(z, 15, small, 1), small));
    assert_false(is_plain(json_frame(z, 15, least, 2), least));
    assert_false(is_plain(json_frame(z, 8, r256, 3), r256));
    assert_true(is_plain(json_frame(z, 8, r257, 4), r257));
    assert_false(is_plain(json_frame(z, 9, r257, 4), r257));
    hf_compressed_free(z);
    free(small);
    free(least);
    free(r256);
    free(r257);
}

/* That it does not pay is found out once too. */
static void what_does_not_get_smaller_is_plain(void **state)
{
    struct hf_compressed *z = new_compressed();
    struct hf_record *r = new_record(1, 5000, 1, true);

    (void)state;
    for (int i = 0; i < 5; i++)
        assert_true(is_plain(json_frame(z, 15, r, 1), r));
    assert_int_equal(counted(HF_COUNT_DEFLATE_USELESS), 1);
    assert_int_equal(counted(HF_COUNT_DEFLATED) + counted(HF_COUNT_DEFLATE_SHARED), 0);
    hf_compressed_free(z);
    free(r);
}

/* Shards number their records alike: the same place in two of them is two messages. */
static void records_of_two_shards_are_told_apart(void **state)
{
    struct hf_compressed *z = new_compressed();
    struct hf_record *a = new_record(1, 500, 1, false), *b = new_record(2, 500, 2, false);

    (void)state;
    for (int i = 0; i < 3; i++) {
        assert_says(z, json_frame(z, 15, a, 1), a);
        assert_says(z, json_frame(z, 15, b, 1), b);
    }
    hf_compressed_free(z);
    free(a);
    free(b);
}

/* Sizes of all kinds go round the ring many times; within a turn each frame keeps saying what it said. */
static void frames_stay_until_the_turn_ends(void **state)
{
    enum { PER_TURN = 20 };
    struct hf_compressed *z = new_compressed();
    struct hf_record *records[PER_TURN];
    struct hf_str frames[PER_TURN];
    unsigned seed = 1;

    (void)state;
    for (int turn = 0; turn < 200; turn++) {
        for (unsigned i = 0; i < PER_TURN; i++, seed++) {
            size_t len = seed % 17 == 0 ? 9000 : MIN + seed * 37 % 3000;

            records[i] = new_record(1, len, seed, seed % 5 == 0);
            frames[i] = json_frame(z, 15, records[i], seed);
        }
        for (int i = 0; i < PER_TURN; i++) {
            if (!is_plain(frames[i], records[i]))
                assert_says(z, frames[i], records[i]);
            free(records[i]);
        }
        hf_compressed_turn_ended(z);
    }
    assert_int_equal(counted(HF_COUNT_DEFLATE_NO_ROOM), 0);
    assert_true(counted(HF_COUNT_DEFLATE_BYTES_PACKED) > 10 * (unsigned long long)RING);
    hf_compressed_free(z);
}

/* One turn brings more than the ring holds: the rest goes out plain, what was handed out stays, and the next turn has room again. */
static void a_full_ring_sends_plain(void **state)
{
    enum { MANY = 200 };
    struct hf_compressed *z = new_compressed();
    struct hf_record *records[MANY];
    struct hf_str frames[MANY];
    int plain = 0;

    (void)state;
    for (unsigned i = 0; i < MANY; i++) {
        records[i] = new_record(1, 4000, i, false);
        frames[i] = json_frame(z, 15, records[i], i + 1);
        plain += is_plain(frames[i], records[i]);
    }
    assert_true(plain > MANY / 2 && plain < MANY);
    assert_int_equal(counted(HF_COUNT_DEFLATE_NO_ROOM), plain);
    for (unsigned i = 0; i < MANY; i++)
        if (!is_plain(frames[i], records[i]))
            assert_says(z, frames[i], records[i]);
    hf_compressed_turn_ended(z);
    assert_false(is_plain(json_frame(z, 15, records[MANY - 1], MANY), records[MANY - 1]));
    for (unsigned i = 0; i < MANY; i++)
        free(records[i]);
    hf_compressed_free(z);
}

/* One of many that take the same room when they are compressed, so that they meet in the ring without a byte between them. */
static struct hf_record *record_alike(unsigned n)
{
    struct hf_record *r = new_record(1, 1500, 1, false);

    for (unsigned i = 0; i < 8; i++)
        ((char *)r)[r->json_at + i] = (char)('a' + (n >> 2 * i & 3));
    return r;
}

/* Old frames are asked for again while new ones go round: each says what it did, or was made anew, and stays within the turn. */
static void ask_again(bool alike)
{
    enum { KEPT = 256, PER_TURN = 6 };
    struct hf_compressed *z = new_compressed();
    struct hf_record *records[KEPT] = {NULL};
    struct hf_str old[KEPT];
    unsigned n = 0;

    for (int turn = 0; turn < 400; turn++) {
        for (unsigned i = 0; i < KEPT && records[i] != NULL; i++) {
            bool asked = (i * 7 + (unsigned)turn) % 5 == 0;

            old[i] = asked ? json_frame(z, 15, records[i], n - (n - 1 - i) % KEPT) : (struct hf_str){0};
        }
        for (unsigned i = 0; i < KEPT && records[i] != NULL; i++)
            if (old[i].data != NULL && !is_plain(old[i], records[i]))
                assert_says(z, old[i], records[i]);
        hf_compressed_turn_ended(z);
        for (int i = 0; i < PER_TURN; i++, n++) {
            struct hf_record **place = &records[n % KEPT];

            free(*place);
            *place =
                alike ? record_alike(n) : new_record(1, n % 23 == 0 ? 12000 : MIN + n * 37 % 3000, n, false);
            assert_says(z, json_frame(z, 15, *place, n + 1), *place);
        }
        hf_compressed_turn_ended(z);
    }
    for (unsigned i = 0; i < KEPT; i++)
        free(records[i]);
    hf_compressed_free(z);
}

static void old_frames_are_asked_for_again(void **state)
{
    (void)state;
    ask_again(false);
    ask_again(true);
}

/* Two records whose keys in the map are the same: the second goes plain, and never as the first. */
static void keys_that_meet(void **state)
{
    const uint64_t ref = 0x123456789, a_cid = 1, b_cid = 2;
    struct hf_compressed *z = new_compressed();
    struct hf_record *a = new_record(a_cid, 500, 1, false), *b = new_record(b_cid, 500, 2, false);

    (void)state;
    assert_says(z, json_frame(z, 15, a, ref), a);
    assert_true(is_plain(json_frame(z, 15, b, ref ^ a_cid << 32 ^ b_cid << 32), b));
    hf_compressed_free(z);
    free(a);
    free(b);
}

/* The number of entries is bounded as well as their bytes, and a message longer than the ring is none of its. */
static void entries_are_bounded(void **state)
{
    struct hf_compressed *z = new_compressed();
    struct hf_record *noise = new_record(1, MIN, 1, true), *huge = new_record(1, RING + 1, 1, false);

    (void)state;
    for (unsigned i = 1; i <= 5000; i++)
        assert_true(is_plain(json_frame(z, 15, noise, i), noise));
    assert_int_equal(counted(HF_COUNT_DEFLATE_NO_ROOM), 0); /* Entries without bytes are handed to nobody. */
    assert_int_equal(counted(HF_COUNT_DEFLATE_USELESS), 5000);
    hf_compressed_turn_ended(z);
    assert_true(is_plain(json_frame(z, 15, huge, 9000), huge));
    hf_compressed_free(z);
    free(noise);
    free(huge);
}

static void own_messages_are_compressed_where_it_pays(void **state)
{
    static const char tiny[] = "{\"type\":\"ping\"}";
    struct hf_compressed *z = new_compressed();
    struct hf_record *r = new_record(1, 1000, 1, false), *noise = new_record(1, 1000, 1, true);
    struct hf_buf out;

    (void)state;
    hf_buf_init(&out, 2000);
    assert_int_equal(hf_compressed_put(z, 15, &out, HF_WS_TEXT, tiny, sizeof(tiny) - 1), 0);
    assert_int_equal(out.data[0], 0x81);
    hf_buf_reset(&out);
    assert_int_equal(hf_compressed_put(z, 15, &out, HF_WS_TEXT, (uint8_t *)r + r->json_at, 4 * MIN - 1), 0);
    assert_int_equal(out.data[0], 0x81);
    hf_buf_reset(&out);
    assert_int_equal(hf_compressed_put(z, 15, &out, HF_WS_TEXT, (uint8_t *)r + r->json_at, 4 * MIN), 0);
    assert_int_equal(out.data[0], 0xc1);
    hf_buf_reset(&out);
    assert_int_equal(hf_compressed_put(z, 15, &out, HF_WS_TEXT, (uint8_t *)r + r->json_at, 1000), 0);
    assert_int_equal(out.data[0], 0xc1);
    assert_says(z, hf_buf_str(&out), r);
    hf_buf_reset(&out);
    assert_int_equal(hf_compressed_put(z, 9, &out, HF_WS_TEXT, (uint8_t *)r + r->json_at, 1000), 0);
    assert_int_equal(out.data[0], 0x81);
    hf_buf_reset(&out);
    assert_int_equal(hf_compressed_put(z, 15, &out, HF_WS_BINARY, (uint8_t *)noise + noise->json_at, 1000),
                     0);
    assert_int_equal(out.data[0], 0x82);
    assert_int_equal(hf_compressed_put(z, 15, &out, HF_WS_BINARY, (uint8_t *)noise + noise->json_at, 1000),
                     HF_ELIMIT);
    hf_buf_release(&out);
    hf_compressed_free(z);
    free(r);
    free(noise);
}

static void what_comes_in_is_counted(void **state)
{
    static const struct {
        const char *data;
        size_t len;
        enum hf_counter counter;
    } rows[] = {
        {"\xf2\x48\xcd\xc9\xc9\x07\x00", 7, HF_COUNT_INFLATED},
        {"\xff", 1, HF_COUNT_INFLATE_MALFORMED},
        {"\x7a\xd4\x04\x00", 4, HF_COUNT_INFLATE_MALFORMED}, /* no UTF-8 */
    };
    struct hf_compressed *z = new_compressed();
    struct hf_ws ws;

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        unsigned long long before = counted(rows[i].counter);
        struct hf_ws_event ev = {.type = HF_WS_EV_TEXT, .compressed = true, .len = rows[i].len};

        ev.data = (uint8_t *)(uintptr_t)rows[i].data;
        hf_ws_init(&ws, HF_WS_SERVER, MESSAGE_MAX);
        hf_compressed_inflate(z, &ws, &ev);
        assert_int_equal(counted(rows[i].counter), before + 1);
    }
    assert_int_equal(counted(HF_COUNT_INFLATE_BYTES_PACKED), 7);
    assert_int_equal(counted(HF_COUNT_INFLATE_BYTES_PLAIN), 5);
    hf_compressed_free(z);
}

/* Each allocation fails once: there is no compressor, or a message goes out plain, and all is well with the next. */
/* Other settings count at once; what was negotiated stays readable, also where compression is off. */
static void settings_may_change(void **state)
{
    struct hf_compressed *z = new_compressed(), *before = z;
    struct hf_record *r = new_record(7, 1000, 1, false);
    struct hf_config other = config;

    (void)state;
    assert_says(z, json_frame(z, 15, r, 99), r);
    hf_compressed_turn_ended(z);
    other.compression_min = 1001;
    assert_true(hf_compressed_configure(&z, &other));
    assert_ptr_equal(z, before);
    assert_true(is_plain(json_frame(z, 15, r, 100), r));
    hf_compressed_turn_ended(z);
    other.compression_min = MIN;
    other.compression_level = 9;
    other.compression_memory = 1;
    other.compression_cache_bytes = 2 * RING;
    assert_true(hf_compressed_configure(&z, &other));
    assert_says(z, json_frame(z, 15, r, 99), r); /* Compressed anew: the old frame has gone with its ring. */
    assert_int_equal(counted(HF_COUNT_DEFLATED), 2);
    hf_compressed_turn_ended(z);
    other.compression_enabled = false;
    assert_true(hf_compressed_configure(&z, &other));
    assert_true(is_plain(json_frame(z, 15, r, 101), r));
    hf_compressed_turn_ended(z);
    other.compression_level = 1;
    assert_true(hf_compressed_configure(&z, &other));
    assert_true(is_plain(json_frame(z, 15, r, 102), r));
    hf_compressed_turn_ended(z);
    fault_arm(1);
    other.compression_level = 2;
    before = z;
    assert_false(hf_compressed_configure(&z, &other));
    fault_disarm();
    assert_ptr_equal(z, before);
    hf_compressed_free(z);
    free(r);
}

static void without_memory(void **state)
{
    struct hf_record *r = new_record(1, 1000, 1, false);
    bool failed = true;

    (void)state;
    for (unsigned n = 1; failed; n++) {
        struct hf_compressed *z;
        struct hf_str frame;

        fault_arm(n);
        z = hf_compressed_new(&config, MESSAGE_MAX, &counters);
        frame = z == NULL ? (struct hf_str){0} : json_frame(z, 15, r, 1);
        failed = fault_disarm();
        if (z == NULL)
            continue;
        assert_int_equal(is_plain(frame, r), failed);
        assert_says(z, json_frame(z, 15, r, 2), r);
        hf_compressed_free(z);
    }
    free(r);
}

/* A message that cannot be inflated for want of memory ends its connection alone. */
static void inflating_without_memory(void **state)
{
    static const char hello[] = "\xf2\x48\xcd\xc9\xc9\x07\x00";
    struct hf_compressed *z = new_compressed();

    (void)state;
    for (int i = 0; i < 2; i++) {
        struct hf_ws_event ev = {.type = HF_WS_EV_TEXT, .compressed = true, .len = sizeof(hello) - 1};
        struct hf_ws ws;

        ev.data = (uint8_t *)(uintptr_t)hello;
        hf_ws_init(&ws, HF_WS_SERVER, MESSAGE_MAX);
        fault_arm(i == 0 ? 1 : 0);
        hf_compressed_inflate(z, &ws, &ev);
        assert_int_equal(fault_disarm(), i == 0);
        assert_int_equal(ev.type, i == 0 ? HF_WS_EV_ERROR : HF_WS_EV_TEXT);
        assert_int_equal(ev.close_code, i == 0 ? HF_CLOSE_INTERNAL : 0);
    }
    assert_int_equal(counted(HF_COUNT_INFLATE_NO_MEMORY), 1);
    hf_compressed_free(z);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_is_compressed_once_and_shared),
        cmocka_unit_test(a_message_is_compressed_for_each_encoding),
        cmocka_unit_test(small_ones_and_small_windows_stay_plain),
        cmocka_unit_test(what_does_not_get_smaller_is_plain),
        cmocka_unit_test(records_of_two_shards_are_told_apart),
        cmocka_unit_test(frames_stay_until_the_turn_ends),
        cmocka_unit_test(a_full_ring_sends_plain),
        cmocka_unit_test(old_frames_are_asked_for_again),
        cmocka_unit_test(keys_that_meet),
        cmocka_unit_test(entries_are_bounded),
        cmocka_unit_test(own_messages_are_compressed_where_it_pays),
        cmocka_unit_test(what_comes_in_is_counted),
        cmocka_unit_test(settings_may_change),
        cmocka_unit_test(without_memory),
        cmocka_unit_test(inflating_without_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
