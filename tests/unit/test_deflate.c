/*
 * test_deflate.c - compressed messages (RFC 7692 sections 6 and 7.2) through the frame parser and the inflater, and the compressor
 * against zlib's own inflater. Each vector is fed whole, byte by byte and cut at every place, in heap blocks of the exact size.
 */
#include "base/rng.h"
#include "ws/deflate.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include <cmocka.h>

enum { MESSAGE_MAX = 300 };

static const uint8_t test_mask[4] = {0x37, 0xfa, 0x21, 0x3d};

struct frame {
    uint8_t first; /* FIN, RSV, opcode */
    const char *payload;
    size_t len;
};

#define F(first, literal)                                                                                    \
    {                                                                                                        \
        first, literal, sizeof(literal) - 1                                                                  \
    }

struct vector {
    const char *want; /* as render() writes it */
    struct frame frames[6];
};

static void render(struct hf_buf *out, const struct hf_ws_event *ev)
{
    static const char *const names[] = {"NONE", "TEXT", "BINARY", "PING", "PONG", "CLOSE", "ERROR"};

    hf_buf_putf(out, "%s%s(", out->len > 0 ? " " : "", names[ev->type]);
    if (ev->type == HF_WS_EV_CLOSE || ev->type == HF_WS_EV_ERROR)
        hf_buf_putf(out, "%u,", ev->close_code);
    for (size_t i = 0; i < ev->len; i++)
        hf_buf_putf(out, ev->data[i] >= 0x20 && ev->data[i] < 0x7f ? "%c" : "<%02x>", ev->data[i]);
    hf_buf_puts(out, ")");
}

static void feed(struct hf_ws *ws, struct hf_inflate *z, const uint8_t *bytes, size_t len, struct hf_buf *out)
{
    uint8_t *copy = malloc(len > 0 ? len : 1);
    struct hf_ws_event ev;
    size_t used = 0;

    assert_non_null(copy);
    memcpy(copy, bytes, len);
    do {
        used += hf_ws_recv(ws, copy + used, len - used, &ev);
        if (ev.compressed)
            hf_inflate_event(z, ws, &ev);
        assert_false(ev.compressed);
        if (ev.type != HF_WS_EV_NONE)
            render(out, &ev);
    } while (ev.type != HF_WS_EV_NONE || used < len);
    free(copy);
}

static void expect(enum hf_ws_role role, const uint8_t *bytes, size_t len, const size_t *cuts,
                   size_t cut_count, const char *want)
{
    struct hf_inflate *z = hf_inflate_new(MESSAGE_MAX);
    struct hf_ws ws;
    struct hf_buf out;
    size_t from = 0;

    assert_non_null(z);
    hf_ws_init(&ws, role, MESSAGE_MAX);
    hf_ws_allow_deflate(&ws);
    hf_buf_init(&out, 1 << 20);
    for (size_t i = 0; i < cut_count; i++) {
        feed(&ws, z, bytes + from, cuts[i] - from, &out);
        from = cuts[i];
    }
    feed(&ws, z, bytes + from, len - from, &out);
    assert_int_equal(hf_buf_put(&out, "", 1), 0);
    assert_string_equal((char *)out.data, want);
    hf_buf_release(&out);
    hf_ws_release(&ws);
    hf_inflate_free(z);
}

static void expect_however_cut(enum hf_ws_role role, const uint8_t *bytes, size_t len, const char *want)
{
    size_t *cuts = malloc(len * sizeof(*cuts));

    assert_non_null(cuts);
    expect(role, bytes, len, NULL, 0, want);
    for (size_t i = 0; i < len; i++)
        cuts[i] = i + 1;
    expect(role, bytes, len, cuts, len, want);
    for (size_t cut = 0; cut <= len; cut++)
        expect(role, bytes, len, &cut, 1, want);
    free(cuts);
}

/* Written as RFC 6455 section 5.2 draws it, not by the encoder under test. */
static void put_frame(struct hf_buf *out, const struct frame *f, bool masked)
{
    uint8_t head[8] = {f->first}, mask_bit = masked ? 0x80 : 0;
    size_t n = 2;

    head[1] = (uint8_t)(mask_bit | (f->len > 125 ? 126 : f->len));
    if (f->len > 125) {
        head[n++] = (uint8_t)(f->len >> 8);
        head[n++] = (uint8_t)f->len;
    }
    if (masked)
        memcpy(head + n, test_mask, 4);
    hf_buf_put(out, head, n + (masked ? 4 : 0));
    for (size_t i = 0; i < f->len; i++) {
        uint8_t b = (uint8_t)f->payload[i] ^ (masked ? test_mask[i % 4] : 0);

        hf_buf_put(out, &b, 1);
    }
}

static void check_vector(const struct vector *v, enum hf_ws_role role)
{
    struct hf_buf bytes;

    hf_buf_init(&bytes, 1 << 20);
    for (size_t i = 0; i < sizeof(v->frames) / sizeof(v->frames[0]) && v->frames[i].payload != NULL; i++)
        put_frame(&bytes, &v->frames[i], role == HF_WS_SERVER);
    expect_however_cut(role, bytes.data, bytes.len, v->want);
    hf_buf_release(&bytes);
}

static void check_vectors(const struct vector *v, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        check_vector(&v[i], HF_WS_SERVER);
        check_vector(&v[i], HF_WS_CLIENT);
    }
}

#define CHECK(vectors) check_vectors(vectors, sizeof(vectors) / sizeof(vectors[0]))

#define HELLO "\xf2\x48\xcd\xc9\xc9\x07\x00"

/* The messages of RFC 7692 section 7.2.3 and their like. */
static void messages(void **state)
{
    static const struct vector v[] = {
        {"TEXT(Hello)", {F(0xc1, HELLO)}},
        {"BINARY(Hello)", {F(0xc2, HELLO)}},
        {"TEXT(Hello)", {F(0x41, "\xf2\x48\xcd"), F(0x80, "\xc9\xc9\x07\x00")}}, /* 7.2.3.1, two frames */
        {"TEXT(Hello)", {F(0x41, ""), F(0x00, HELLO), F(0x80, "")}},
        {"TEXT(Hello) TEXT(Hello)", {F(0xc1, HELLO), F(0xc1, HELLO)}},
        {"TEXT(Hello)",
         {F(0xc1, "\x00\x05\x00\xfa\xff\x48\x65\x6c\x6c\x6f\x00")}},    /* 7.2.3.3, no compression */
        {"TEXT(Hello)", {F(0xc1, "\xf3\x48\xcd\xc9\xc9\x07\x00\x00")}}, /* 7.2.3.4, BFINAL */
        {"TEXT(HelloHello)",
         {F(0xc1, "\xf3\x48\xcd\xc9\xc9\x07\x00\xf3\x48\xcd\xc9\xc9\x07\x00\x00")}}, /* two streams */
        {"TEXT(HelloHello)", {F(0xc1, "\xf3\x48\xcd\xc9\xc9\x07\x00" HELLO)}},
        {"TEXT(Hello)",
         {F(0xc1, "\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00")}}, /* 7.2.3.5, two blocks */
        {"TEXT()", {F(0xc1, "\x00")}},                                       /* 7.2.3.6, an empty message */
        {"TEXT()", {F(0xc1, "\x02\x00")}},
        {"TEXT(Hello)", {F(0xc1, HELLO "\x00\x00\xff\xff\x00")}}, /* an empty block more */
        {"TEXT(<e2><82><ac>uro)", {F(0xc1, "\x7a\xd4\xb4\xa6\xb4\x28\x1f\x00")}},
        {"BINARY(caf<e9>)", {F(0xc2, "\x4a\x4e\x4c\x7b\x09\x00")}},
        /* Control frames between, and plain messages among, compressed ones. */
        {"PING(p) PONG() TEXT(Hello)",
         {F(0x41, "\xf2\x48"), F(0x89, "p"), F(0x00, "\xcd"), F(0x8a, ""), F(0x80, "\xc9\xc9\x07\x00")}},
        {"TEXT(plain) TEXT(Hello) TEXT(plain) BINARY(<ff>) TEXT(Hello)",
         {F(0x81, "plain"), F(0xc1, HELLO), F(0x01, "pla"), F(0x80, "in"), F(0x82, "\xff"), F(0xc1, HELLO)}},
        {"CLOSE(1000,)", {F(0x41, "\xf2\x48"), F(0x88, "\x03\xe8")}},
    };

    (void)state;
    CHECK(v);
}

static void bad_data_is_1007(void **state)
{
    static const struct vector v[] = {
        {"ERROR(1007,malformed compressed message)", {F(0xc1, "")}}, /* 7.2.3.6 has one byte for it */
        {"ERROR(1007,malformed compressed message)", {F(0xc1, "\xff\xff\xff")}}, /* the reserved block type */
        {"ERROR(1007,malformed compressed message)", {F(0xc1, "Hello")}},
        {"ERROR(1007,malformed compressed message)", {F(0xc1, "\xf2\x48\xcd\xc9\xc9\x07")}}, /* cut */
        {"ERROR(1007,malformed compressed message)", {F(0xc1, "\xf2\x48\xcd\xc9")}},
        {"ERROR(1007,malformed compressed message)", {F(0xc1, "\xf2")}},
        {"ERROR(1007,malformed compressed message)",
         {F(0xc1, HELLO "\x00\x00\xff\xff")}}, /* the tail is left in */
        {"ERROR(1007,malformed compressed message)", {F(0xc1, HELLO "\x00\x00\xff")}},
        {"ERROR(1007,malformed compressed message)",
         {F(0xc1, "\xf3\x48\xcd\xc9\xc9\x07\x00")}}, /* no block behind BFINAL */
        {"ERROR(1007,malformed compressed message)",
         {F(0xc1, "\x00\x05\x00\xfb\xff\x48\x65\x6c\x6c\x6f\x00")}}, /* LEN is not NLEN's complement */
        {"ERROR(1007,malformed compressed message)",
         {F(0xc1, "\x00\x50\x00\xaf\xff\x48\x65\x6c\x6c\x6f\x00")}},
        {"ERROR(1007,malformed compressed message)",
         {F(0xc2, "\x78\x9c\xf2\x48\xcd\xc9\xc9\x07\x00")}}, /* zlib's header */
        /* 7.2.3.2: the second message of a pair that shares a window. Here none is kept. */
        {"TEXT(Hello) ERROR(1007,malformed compressed message)",
         {F(0xc1, HELLO), F(0xc1, "\xf2\x00\x11\x00\x00")}},
        {"TEXT(Hello) ERROR(1007,malformed compressed message)",
         {F(0xc1, HELLO), F(0xc1, "\xff"), F(0xc1, HELLO)}}, /* nothing is taken after an error */
        {"ERROR(1007,text is not UTF-8)", {F(0xc1, "\x4a\x4e\x4c\x7b\x09\x00")}},
        {"ERROR(1007,text is not UTF-8)", {F(0xc1, "\x7a\xd4\x04\x00")}}, /* cut within a character */
        {"TEXT(Hello) ERROR(1007,text is not UTF-8)", {F(0xc1, HELLO), F(0x81, "\xff")}}, /* plain again */
    };

    (void)state;
    CHECK(v);
}

static void reserved_bits_are_1002(void **state)
{
    static const struct vector v[] = {
        {"ERROR(1002,reserved bit set)", {F(0xa1, HELLO)}},
        {"ERROR(1002,reserved bit set)", {F(0x91, HELLO)}},
        {"ERROR(1002,reserved bit set)", {F(0xe1, HELLO)}},
        {"ERROR(1002,reserved bit set)", {F(0xd2, HELLO)}},
        {"ERROR(1002,reserved bit set)", {F(0xf1, HELLO)}},
        {"ERROR(1002,reserved bit set)", {F(0xc9, "")}},
        {"ERROR(1002,reserved bit set)", {F(0xca, "")}},
        {"ERROR(1002,reserved bit set)", {F(0xc8, "\x03\xe8")}},
        {"ERROR(1002,reserved bit set)", {F(0xc3, "")}},
        {"ERROR(1002,reserved bit set)", {F(0xc0, HELLO)}},
        {"ERROR(1002,reserved bit set)", {F(0x41, "\xf2\x48\xcd"), F(0xc0, "\xc9\xc9\x07\x00")}},
        {"ERROR(1002,reserved bit set)", {F(0x01, "a"), F(0xc0, HELLO)}},
        {"ERROR(1002,reserved bit set)", {F(0x41, "\xf2\x48\xcd"), F(0xc9, "")}},
        {"ERROR(1002,new message within a fragmented one)", {F(0x41, "\xf2\x48\xcd"), F(0xc1, HELLO)}},
        {"TEXT(Hello) ERROR(1002,continuation of no message)", {F(0xc1, HELLO), F(0x80, HELLO)}},
    };

    (void)state;
    CHECK(v);
}

/* The limit is that of the message, not of its compressed form: 300 bytes pass, 301 do not. */
static void expansion_is_bounded(void **state)
{
    static const struct vector v[] = {
        {"ERROR(1009,message too big)", {F(0xc2, "\x4a\x4c\x1c\x05\x44\x03\x00\x00")}},
        {"ERROR(1009,message too big)", {F(0x42, "\x4a\x4c\x1c\x05"), F(0x80, "\x44\x03\x00\x00")}},
    };
    static const uint8_t fits[] = {0xc2, 8, 0x4a, 0x4c, 0x1c, 0x05, 0xc4, 0x02, 0x00, 0x00};
    char want[MESSAGE_MAX + sizeof("BINARY()")] = "BINARY(";

    (void)state;
    CHECK(v);
    memset(want + strlen(want), 'a', MESSAGE_MAX);
    want[MESSAGE_MAX + 7] = ')';
    expect_however_cut(HF_WS_CLIENT, fits, sizeof(fits), want);
}

/* What zlib makes of a message in one call, as another implementation would. */
static size_t zlib_deflate(const uint8_t *data, size_t len, uint8_t *out, size_t cap, int level)
{
    z_stream s = {0};
    size_t made;

    assert_int_equal(deflateInit2(&s, level, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY), Z_OK);
    s.next_in = (Bytef *)(uintptr_t)data;
    s.avail_in = (uInt)len;
    s.next_out = out;
    s.avail_out = (uInt)cap;
    assert_int_equal(deflate(&s, Z_SYNC_FLUSH), Z_OK);
    assert_true(s.avail_out > 0);
    made = cap - s.avail_out - 4;
    deflateEnd(&s);
    return made;
}

/* 64 MiB of zeros in 64 KiB or so: refused when the limit is reached, with no more memory than that. */
static void bomb(void **state)
{
    enum { BOMB_BYTES = 1 << 20, LIMIT = 1 << 16 };
    struct hf_inflate *z = hf_inflate_new(LIMIT);
    uint8_t *plain = calloc(1, 1 << 26), *packed = malloc(2 * BOMB_BYTES);
    struct hf_ws ws;
    struct hf_ws_event ev = {.type = HF_WS_EV_BINARY, .compressed = true, .data = packed};

    (void)state;
    assert_true(z != NULL && plain != NULL && packed != NULL);
    ev.len = zlib_deflate(plain, 1 << 26, packed, 2 * BOMB_BYTES, 1);
    free(plain);
    hf_ws_init(&ws, HF_WS_SERVER, 2 * BOMB_BYTES);
    hf_ws_allow_deflate(&ws);
    hf_inflate_event(z, &ws, &ev);
    assert_int_equal(ev.type, HF_WS_EV_ERROR);
    assert_int_equal(ev.close_code, HF_CLOSE_TOO_BIG);
    hf_inflate_free(z);
    free(packed);
}

/* After a refused message the inflater serves other connections as if nothing had been. */
static void an_error_leaves_no_trace(void **state)
{
    static uint8_t bad[] = {0x4a, 0x4c, 0x1c, 0x05, 0x44}, good[] = HELLO;
    struct hf_inflate *z = hf_inflate_new(MESSAGE_MAX);
    struct hf_ws ws;

    (void)state;
    assert_non_null(z);
    for (size_t len = 1; len <= sizeof(bad); len++) {
        struct hf_ws_event ev = {.type = HF_WS_EV_TEXT, .compressed = true, .data = bad, .len = len};

        hf_ws_init(&ws, HF_WS_SERVER, MESSAGE_MAX);
        hf_inflate_event(z, &ws, &ev);
        assert_int_equal(ev.type, HF_WS_EV_ERROR);
        ev = (struct hf_ws_event){
            .type = HF_WS_EV_TEXT, .compressed = true, .data = good, .len = sizeof(good) - 1};
        hf_ws_init(&ws, HF_WS_SERVER, MESSAGE_MAX);
        hf_inflate_event(z, &ws, &ev);
        assert_int_equal(ev.type, HF_WS_EV_TEXT);
        assert_memory_equal(ev.data, "Hello", 5);
    }
    hf_inflate_free(z);
}

/* ---- The compressor ---- */

/* Inflate a frame of ours by zlib with no larger a window than was agreed on. Returns the message's length. */
static size_t read_back(const uint8_t *frame, size_t size, int window_bits, uint8_t *out, size_t cap)
{
    static const uint8_t tail[] = {0x00, 0x00, 0xff, 0xff};
    size_t head = (frame[1] & 0x7f) == 127 ? 10 : (frame[1] & 0x7f) == 126 ? 4 : 2;
    z_stream s = {0};

    assert_int_equal(inflateInit2(&s, -window_bits), Z_OK);
    s.next_out = out;
    s.avail_out = (uInt)cap;
    s.next_in = (Bytef *)(uintptr_t)(frame + head);
    s.avail_in = (uInt)(size - head);
    assert_int_equal(inflate(&s, Z_SYNC_FLUSH), Z_OK);
    s.next_in = (Bytef *)(uintptr_t)tail;
    s.avail_in = sizeof(tail);
    (void)inflate(&s, Z_SYNC_FLUSH);
    assert_int_equal(s.avail_in, 0);
    cap -= s.avail_out;
    inflateEnd(&s);
    return cap;
}

/* Text that repeats itself now and then, also from afar. */
static void fill_text(struct hf_rng *rng, uint8_t *data, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        bool again = i > 20 && hf_rng_below(rng, 4) > 0;

        data[i] = again ? data[i - 1 - hf_rng_below(rng, i - 1)] : (uint8_t)('a' + hf_rng_below(rng, 26));
        if (again && i > 300 && hf_rng_below(rng, 8) == 0)
            for (size_t from = hf_rng_below(rng, i - 250), n = 0; n < 40 && i + 1 < len; n++)
                data[++i] = data[from++];
    }
}

static void check_frame(struct hf_deflate *z, const uint8_t *data, size_t len, uint8_t bits)
{
    const uint8_t *frame;
    uint8_t *out = malloc(len + 1);
    int size = hf_deflate_frame(z, HF_WS_TEXT, bits, data, len, &frame);

    assert_non_null(out);
    assert_true(size >= 0);
    if (bits < 15 && len > (size_t)1 << bits)
        assert_int_equal(size, 0);
    if (size > 0) {
        assert_true((size_t)size < len + (len < 126 ? 2 : len < 65536 ? 4 : 10));
        assert_int_equal(frame[0], 0xc1);
        assert_int_equal(read_back(frame, (size_t)size, bits, out, len + 1), len);
        assert_memory_equal(out, data, len);
    }
    free(out);
}

static void what_is_compressed_comes_back(void **state)
{
    static const size_t sizes[] = {1,     2,     10,    100,   125,   126,   127,    255,
                                   256,   257,   511,   512,   513,   1024,  4097,   16384,
                                   16385, 32768, 32769, 65535, 65536, 65537, 100000, 300000};
    struct hf_rng rng = {7};
    uint8_t *data = malloc(300000);

    (void)state;
    assert_non_null(data);
    for (int level = 1; level <= 9; level += 4) {
        struct hf_deflate *z = hf_deflate_new(level, level == 5 ? 5 : 9);

        assert_non_null(z);
        for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
            fill_text(&rng, data, sizes[i]);
            for (uint8_t bits = 8; bits <= 15; bits++)
                check_frame(z, data, sizes[i], bits);
        }
        hf_deflate_free(z);
    }
    free(data);
}

/* The same message gives the same bytes whatever came before: no context is taken over. */
static void each_message_stands_alone(void **state)
{
    static const char text[] = "{\"type\":\"data\",\"channel\":\"room\",\"payload\":\"room room data data\"}";
    struct hf_deflate *z = hf_deflate_new(6, 8);
    uint8_t first[sizeof(text) + 16];
    const uint8_t *frame;
    int size = hf_deflate_frame(z, HF_WS_TEXT, 15, text, sizeof(text) - 1, &frame);

    (void)state;
    assert_true(size > 0 && (size_t)size < sizeof(first));
    memcpy(first, frame, (size_t)size);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(hf_deflate_frame(z, HF_WS_TEXT, 15, text, sizeof(text) - 1, &frame), size);
        assert_memory_equal(frame, first, (size_t)size);
    }
    hf_deflate_free(z);
}

static void what_does_not_pay_is_left_plain(void **state)
{
    struct hf_deflate *z = hf_deflate_new(6, 8);
    struct hf_rng rng = {3};
    uint8_t noise[5000];
    const uint8_t *frame;

    (void)state;
    for (size_t i = 0; i < sizeof(noise); i++)
        noise[i] = (uint8_t)hf_rng_next(&rng);
    assert_int_equal(hf_deflate_frame(z, HF_WS_BINARY, 15, noise, 0, &frame), 0);
    assert_int_equal(hf_deflate_frame(z, HF_WS_BINARY, 15, "ab", 2, &frame), 0);
    assert_int_equal(hf_deflate_frame(z, HF_WS_BINARY, 15, noise, sizeof(noise), &frame), 0);
    memset(noise, 'a', sizeof(noise)); /* One that did not fit is forgotten whole. */
    assert_true(hf_deflate_frame(z, HF_WS_BINARY, 15, noise, sizeof(noise), &frame) > 0);
    assert_int_equal(frame[0], 0xc2);
    hf_deflate_free(z);
}

/* Our compressor into our inflater, both shared by two connections in turn. */
static void round_trip_by_our_own(void **state)
{
    enum { BYTES = 70000 };
    struct hf_deflate *d = hf_deflate_new(1, 6);
    struct hf_inflate *z = hf_inflate_new(BYTES);
    uint8_t *data = malloc(BYTES), *copy = malloc(BYTES);
    struct hf_rng rng = {11};
    struct hf_ws ws[2];

    (void)state;
    assert_true(d != NULL && z != NULL && data != NULL && copy != NULL);
    for (int i = 0; i < 2; i++) {
        hf_ws_init(&ws[i], HF_WS_CLIENT, BYTES);
        hf_ws_allow_deflate(&ws[i]);
    }
    for (int i = 0; i < 40; i++) {
        size_t len = 100 + hf_rng_below(&rng, i % 4 == 0 ? BYTES - 100 : 1000);
        const uint8_t *frame;
        struct hf_ws_event ev;
        int size;

        fill_text(&rng, data, len);
        size = hf_deflate_frame(d, HF_WS_TEXT, 15, data, len, &frame);
        assert_true(size > 0);
        memcpy(copy, frame, (size_t)size);
        assert_int_equal(hf_ws_recv(&ws[i & 1], copy, (size_t)size, &ev), size);
        assert_true(ev.compressed);
        hf_inflate_event(z, &ws[i & 1], &ev);
        assert_int_equal(ev.type, HF_WS_EV_TEXT);
        assert_int_equal(ev.len, len);
        assert_memory_equal(ev.data, data, len);
    }
    hf_deflate_free(d);
    hf_inflate_free(z);
    free(data);
    free(copy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages),
        cmocka_unit_test(bad_data_is_1007),
        cmocka_unit_test(reserved_bits_are_1002),
        cmocka_unit_test(expansion_is_bounded),
        cmocka_unit_test(bomb),
        cmocka_unit_test(an_error_leaves_no_trace),
        cmocka_unit_test(what_is_compressed_comes_back),
        cmocka_unit_test(each_message_stands_alone),
        cmocka_unit_test(what_does_not_pay_is_left_plain),
        cmocka_unit_test(round_trip_by_our_own),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
