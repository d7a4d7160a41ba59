/*
 * test_frame.c - the frame parser and the encoder, both roles. Each vector is fed whole, byte by byte and cut at every
 * place, in heap blocks of the exact size that are freed as soon as their events were read, so that ASan sees both a read
 * beyond the input and a message that still points into an old one.
 */
#include "ws/frame.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MESSAGE_MAX = 300 };

static const uint8_t test_mask[4] = {0x37, 0xfa, 0x21, 0x3d}; /* the one of RFC 6455 section 5.7 */

/* How many bytes say the length, where it is not the shortest form. */
enum form { SHORTEST, FORCE_16, FORCE_64 };

struct frame {
    uint8_t first; /* FIN, RSV, opcode */
    enum form form;
    const char *payload;
    size_t len;
};

/* A frame of a string literal, which may hold NULs. */
#define F(first, literal)                                                                                    \
    {                                                                                                        \
        first, SHORTEST, literal, sizeof(literal) - 1                                                        \
    }
#define LONG_F(first, form, literal)                                                                         \
    {                                                                                                        \
        first, form, literal, sizeof(literal) - 1                                                            \
    }

#define A25 "aaaaaaaaaaaaaaaaaaaaaaaaa"
#define A125 A25 A25 A25 A25 A25

struct vector {
    const char *want; /* as render() writes it */
    struct frame frames[6];
};

/* Events */

static void render_data(struct hf_buf *out, const uint8_t *data, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (data[i] >= 0x20 && data[i] < 0x7f)
            hf_buf_put(out, data + i, 1);
        else
            hf_buf_putf(out, "<%02x>", data[i]);
    }
}

static void render(struct hf_buf *out, const struct hf_ws_event *ev)
{
    static const char *const names[] = {"NONE", "TEXT", "BINARY", "PING", "PONG", "CLOSE", "ERROR"};

    hf_buf_putf(out, "%s%s(", out->len > 0 ? " " : "", names[ev->type]);
    if (ev->type == HF_WS_EV_CLOSE || ev->type == HF_WS_EV_ERROR)
        hf_buf_putf(out, "%u,", ev->close_code);
    render_data(out, ev->data, ev->len);
    hf_buf_puts(out, ")");
}

/* Feed one piece until it is used up, and check what recv promises about each step. */
static void feed(struct hf_ws *ws, const uint8_t *bytes, size_t len, struct hf_buf *out)
{
    uint8_t *copy = malloc(len > 0 ? len : 1);
    struct hf_ws_event ev;
    size_t used = 0;

    assert_non_null(copy);
    memcpy(copy, bytes, len);
    do {
        used += hf_ws_recv(ws, copy + used, len - used, &ev);
        assert_true(used <= len);
        if (ev.type != HF_WS_EV_NONE)
            render(out, &ev);
        else
            assert_int_equal(used, len);
    } while (ev.type != HF_WS_EV_NONE || used < len);
    free(copy);
}

static char *string_of(struct hf_buf *out)
{
    assert_int_equal(hf_buf_put(out, "", 1), 0);
    return (char *)out->data;
}

static void expect(enum hf_ws_role role, size_t bytes_max, const uint8_t *bytes, size_t len,
                   const size_t *cuts, size_t cut_count, const char *want)
{
    struct hf_ws ws;
    struct hf_buf out;
    size_t from = 0;

    hf_ws_init(&ws, role, bytes_max);
    hf_buf_init(&out, 1 << 20);
    for (size_t i = 0; i < cut_count; i++) {
        feed(&ws, bytes + from, cuts[i] - from, &out);
        from = cuts[i];
    }
    feed(&ws, bytes + from, len - from, &out);
    assert_string_equal(string_of(&out), want);
    hf_buf_release(&out);
    hf_ws_release(&ws);
}

static void expect_however_cut(enum hf_ws_role role, const uint8_t *bytes, size_t len, const char *want)
{
    size_t *cuts = malloc(len * sizeof(*cuts));

    assert_non_null(cuts);
    expect(role, MESSAGE_MAX, bytes, len, NULL, 0, want);
    for (size_t i = 0; i < len; i++)
        cuts[i] = i + 1;
    expect(role, MESSAGE_MAX, bytes, len, cuts, len, want);
    for (size_t cut = 0; cut <= len; cut++)
        expect(role, MESSAGE_MAX, bytes, len, &cut, 1, want);
    free(cuts);
}

/* Frames, written byte by byte as section 5.2 draws them and not by the encoder under test. */

static void put_frame(struct hf_buf *out, const struct frame *f, bool masked)
{
    uint8_t mask_bit = masked ? 0x80 : 0, b;
    size_t ext = f->form == FORCE_64 || f->len > 65535 ? 8 : f->form == FORCE_16 || f->len > 125 ? 2 : 0;

    hf_buf_put(out, &f->first, 1);
    b = (uint8_t)(mask_bit | (ext == 8 ? 127 : ext == 2 ? 126 : f->len));
    hf_buf_put(out, &b, 1);
    for (size_t i = ext; i > 0; i--) {
        b = (uint8_t)((uint64_t)f->len >> 8 * (i - 1));
        hf_buf_put(out, &b, 1);
    }
    if (masked)
        hf_buf_put(out, test_mask, 4);
    for (size_t i = 0; i < f->len; i++) {
        b = (uint8_t)f->payload[i] ^ (masked ? test_mask[i % 4] : 0);
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

static void well_formed(void **state)
{
    static const struct vector v[] = {
        {"TEXT(Hello)", {F(0x81, "Hello")}},
        {"TEXT()", {F(0x81, "")}},
        {"BINARY(<00><ff><80>)", {F(0x82, "\x00\xff\x80")}},
        {"TEXT(Hello)", {F(0x01, "Hel"), F(0x80, "lo")}},
        {"TEXT(Hello)", {F(0x01, ""), F(0x00, ""), F(0x00, "Hello"), F(0x80, "")}},
        {"TEXT(Hello)", {F(0x01, ""), F(0x80, "Hello")}},
        {"TEXT()", {F(0x01, ""), F(0x80, "")}},
        {"PING(Hello)", {F(0x89, "Hello")}},
        {"PING()", {F(0x89, "")}},
        {"PONG(Hello)", {F(0x8a, "Hello")}},
        {"PING(" A125 ")", {F(0x89, A125)}},
        {"TEXT(" A125 ")", {F(0x81, A125)}},
        {"TEXT(" A125 "a)", {F(0x81, A125 "a")}},
        /* Section 5.4: "Control frames MAY be injected in the middle of a fragmented message." */
        {"PING(x) PONG() BINARY(abc)", {F(0x02, "a"), F(0x89, "x"), F(0x00, "b"), F(0x8a, ""), F(0x80, "c")}},
        {"TEXT(a) BINARY(b) PING(c) TEXT(d)", {F(0x81, "a"), F(0x82, "b"), F(0x89, "c"), F(0x81, "d")}},
        {"TEXT(one) TEXT(two)", {F(0x01, "o"), F(0x80, "ne"), F(0x01, "tw"), F(0x80, "o")}},
        {"TEXT(<e2><82><ac><f0><9f><98><80>)",
         {F(0x01, "\xe2\x82"), F(0x00, "\xac\xf0\x9f"), F(0x80, "\x98\x80")}},
        /* A binary message may look like anything, also in front of a text. */
        {"BINARY(<ff><c0>) TEXT(a)", {F(0x02, "\xff"), F(0x80, "\xc0"), F(0x81, "a")}},
        {"CLOSE(1005,)", {F(0x88, "")}},
        {"CLOSE(1000,)", {F(0x88, "\x03\xe8")}},
        {"CLOSE(4001,by<e2><82><ac>)",
         {F(0x88, "\x0f\xa1"
                  "by\xe2\x82\xac")}},
        /* Section 5.5.1: nothing may follow a close frame, and whatever does is not looked at. */
        {"CLOSE(1001,)", {F(0x88, "\x03\xe9"), F(0x81, "late"), F(0xff, "")}},
        {"CLOSE(1000,)", {F(0x01, "unfinished"), F(0x88, "\x03\xe8")}},
    };

    (void)state;
    CHECK(v);
}

static void malformed(void **state)
{
    static const struct vector v[] = {
        {"ERROR(1002,reserved bit set)", {F(0xc1, "a")}},
        {"ERROR(1002,reserved bit set)", {F(0xa1, "a")}},
        {"ERROR(1002,reserved bit set)", {F(0x91, "a")}},
        {"ERROR(1002,reserved bit set)", {F(0x99, "a")}},
        {"ERROR(1002,reserved opcode)", {F(0x83, "a")}},
        {"ERROR(1002,reserved opcode)", {F(0x84, "")}},
        {"ERROR(1002,reserved opcode)", {F(0x87, "")}},
        {"ERROR(1002,reserved opcode)", {F(0x8b, "")}},
        {"ERROR(1002,reserved opcode)", {F(0x8f, "a")}},
        {"ERROR(1002,fragmented control frame)", {F(0x09, "a")}},
        {"ERROR(1002,fragmented control frame)", {F(0x08, "")}},
        {"ERROR(1002,fragmented control frame)", {F(0x0a, "")}},
        {"ERROR(1002,control frame longer than 125 bytes)", {F(0x89, A125 "a")}},
        {"ERROR(1002,control frame longer than 125 bytes)", {F(0x88, "\x03\xe8" A125)}},
        {"ERROR(1002,continuation of no message)", {F(0x80, "a")}},
        {"ERROR(1002,continuation of no message)", {F(0x00, "a")}},
        {"TEXT(a) ERROR(1002,continuation of no message)", {F(0x81, "a"), F(0x80, "b")}},
        {"TEXT(ab) ERROR(1002,continuation of no message)", {F(0x01, "a"), F(0x80, "b"), F(0x80, "c")}},
        {"ERROR(1002,new message within a fragmented one)", {F(0x01, "a"), F(0x81, "b")}},
        {"PING() ERROR(1002,new message within a fragmented one)", {F(0x02, "a"), F(0x89, ""), F(0x01, "b")}},
        {"ERROR(1002,length not in its shortest form)", {LONG_F(0x81, FORCE_16, "")}},
        {"ERROR(1002,length not in its shortest form)", {LONG_F(0x82, FORCE_16, A125)}},
        {"ERROR(1002,length not in its shortest form)", {LONG_F(0x81, FORCE_64, "a")}},
        {"ERROR(1002,length not in its shortest form)", {LONG_F(0x81, FORCE_64, A125 "a")}},
        {"ERROR(1002,close payload of one byte)", {F(0x88, "\x03")}},
        /* What follows a refused close frame is not looked at either. */
        {"ERROR(1002,close payload of one byte)", {F(0x88, "\x03"), F(0x81, "a"), F(0x89, "b")}},
        {"ERROR(1002,close code that may not be sent)", {F(0x88, "\x03\xed")}},
        {"ERROR(1002,close code that may not be sent)", {F(0x88, "\x00\x00why")}},
        {"ERROR(1007,close reason is not UTF-8)", {F(0x88, "\x03\xe8\xff")}},
        {"ERROR(1007,close reason is not UTF-8)",
         {F(0x88, "\x03\xe8"
                  "cut \xe2\x82")}},
        {"ERROR(1007,text is not UTF-8)", {F(0x81, "a\xc0\xaf")}},
        {"ERROR(1007,text is not UTF-8)", {F(0x81, "\xe2\x82")}},
        {"ERROR(1007,text is not UTF-8)", {F(0x01, "\xe2\x82"), F(0x80, "")}},
        {"ERROR(1007,text is not UTF-8)", {F(0x01, "\xe2\x82"), F(0x80, "a")}},
        {"ERROR(1007,text is not UTF-8)", {F(0x01, "\xed"), F(0x80, "\xa0\x80")}},
        /* What is wrong in a first fragment is not hidden by what follows: a ping behind it is not seen any more. */
        {"ERROR(1007,text is not UTF-8)", {F(0x01, "a\xffz"), F(0x89, "x"), F(0x80, "b")}},
        {"PING(x) ERROR(1007,text is not UTF-8)", {F(0x01, "a\xc3"), F(0x89, "x"), F(0x80, "b")}},
    };

    (void)state;
    CHECK(v);
}

/* The examples of RFC 6455 section 5.7, as they stand there. */
static void the_examples_of_the_rfc(void **state)
{
    static const uint8_t text[] = {0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f};
    static const uint8_t masked[] = {0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58};
    static const uint8_t parts[] = {0x01, 0x03, 0x48, 0x65, 0x6c, 0x80, 0x02, 0x6c, 0x6f};
    static const uint8_t ping[] = {0x89, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f};
    static const uint8_t pong[] = {0x8a, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58};
    static const uint8_t head_256[] = {0x82, 0x7e, 0x01, 0x00};
    static const uint8_t head_64k[] = {0x82, 0x7f, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x00, 0x00};
    uint8_t out[HF_WS_HEADER_MAX];

    (void)state;
    expect_however_cut(HF_WS_CLIENT, text, sizeof(text), "TEXT(Hello)");
    expect_however_cut(HF_WS_SERVER, masked, sizeof(masked), "TEXT(Hello)");
    expect_however_cut(HF_WS_CLIENT, parts, sizeof(parts), "TEXT(Hello)");
    expect_however_cut(HF_WS_CLIENT, ping, sizeof(ping), "PING(Hello)");
    expect_however_cut(HF_WS_SERVER, pong, sizeof(pong), "PONG(Hello)");
    assert_int_equal(hf_ws_header(out, HF_WS_BINARY, 256, NULL), sizeof(head_256));
    assert_memory_equal(out, head_256, sizeof(head_256));
    assert_int_equal(hf_ws_header(out, HF_WS_BINARY, 65536, NULL), sizeof(head_64k));
    assert_memory_equal(out, head_64k, sizeof(head_64k));
}

/* Section 5.1, each role with the frames of its own side. */
static void masked_where_it_must_not_be_and_the_reverse(void **state)
{
    static const struct frame hello = F(0x81, "Hello"), ping = F(0x89, "");
    struct hf_buf masked, plain;

    (void)state;
    hf_buf_init(&masked, 64);
    hf_buf_init(&plain, 64);
    put_frame(&masked, &hello, true);
    put_frame(&plain, &ping, false);
    expect_however_cut(HF_WS_CLIENT, masked.data, masked.len, "ERROR(1002,masked frame from a server)");
    expect_however_cut(HF_WS_SERVER, plain.data, plain.len, "ERROR(1002,unmasked frame from a client)");
    hf_buf_release(&masked);
    hf_buf_release(&plain);
}

/* Lengths that no test could send: the header alone decides. */
static void huge_lengths(void **state)
{
    static const struct {
        uint8_t header[10];
        const char *want;
    } cases[] = {
        {{0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0}, "ERROR(1002,length with its top bit set)"},
        {{0x82, 127, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
         "ERROR(1002,length with its top bit set)"},
        {{0x82, 127, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, "ERROR(1009,message too big)"},
        {{0x82, 127, 0, 0, 0, 1, 0, 0, 0, 1}, "ERROR(1009,message too big)"}, /* 1 in its lower 32 bits */
        {{0x82, 127, 0, 0, 0, 0, 0, 0, 0xff, 0xff}, "ERROR(1002,length not in its shortest form)"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        expect_however_cut(HF_WS_CLIENT, cases[i].header, 10, cases[i].want);
}

/* MESSAGE_MAX bytes are taken and one more is refused with its header, in one frame and over fragments. */
static void the_limit_holds_for_the_message(void **state)
{
    char payload[MESSAGE_MAX + 1];
    struct frame whole = {0x82, SHORTEST, payload, MESSAGE_MAX};
    struct frame first = {0x02, SHORTEST, payload, MESSAGE_MAX - 1};
    struct frame last = {0x80, SHORTEST, payload, 1};
    struct hf_ws_event ev;
    struct hf_ws ws;
    struct hf_buf b;

    (void)state;
    memset(payload, 'p', sizeof(payload));
    hf_buf_init(&b, 4096);
    hf_ws_init(&ws, HF_WS_CLIENT, MESSAGE_MAX);
    put_frame(&b, &whole, false);
    put_frame(&b, &first, false);
    put_frame(&b, &last, false);
    for (size_t used = 0; used < b.len;) {
        used += hf_ws_recv(&ws, b.data + used, b.len - used, &ev);
        assert_int_equal(ev.type, HF_WS_EV_BINARY);
        assert_int_equal(ev.len, MESSAGE_MAX);
    }
    hf_buf_reset(&b);
    last.len = 2;
    put_frame(&b, &first, false);
    put_frame(&b, &last, false);
    assert_int_equal(hf_ws_recv(&ws, b.data, b.len - 2, &ev), b.len - 2);
    assert_int_equal(ev.type, HF_WS_EV_ERROR);
    assert_int_equal(ev.close_code, HF_CLOSE_TOO_BIG);
    hf_ws_release(&ws);

    hf_buf_reset(&b);
    whole.len = MESSAGE_MAX + 1;
    put_frame(&b, &whole, false);
    hf_ws_init(&ws, HF_WS_CLIENT, MESSAGE_MAX);
    assert_int_equal(hf_ws_recv(&ws, b.data, 4, &ev), 4); /* The header alone. */
    assert_int_equal(ev.close_code, HF_CLOSE_TOO_BIG);
    hf_ws_release(&ws);
    hf_buf_release(&b);
}

/* A text that cannot become UTF-8 any more is refused with that byte, not at the message's end. */
static void bad_text_is_refused_at_once(void **state)
{
    uint8_t bytes[] = {0x81, 100, 'a', 0xe2, 0x82, 'b'};
    struct hf_ws_event ev;
    struct hf_ws ws;

    (void)state;
    hf_ws_init(&ws, HF_WS_CLIENT, MESSAGE_MAX);
    assert_int_equal(hf_ws_recv(&ws, bytes, 5, &ev), 5);
    assert_int_equal(ev.type, HF_WS_EV_NONE);
    assert_int_equal(hf_ws_recv(&ws, bytes + 5, 1, &ev), 1);
    assert_int_equal(ev.type, HF_WS_EV_ERROR);
    assert_int_equal(ev.close_code, HF_CLOSE_INVALID_DATA);
    hf_ws_release(&ws);
}

/* "A whole message in one input costs no copy and no allocation", also behind a header that was cut off. */
static void whole_messages_are_lent_from_the_input(void **state)
{
    uint8_t bytes[] = {0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58};
    uint8_t again[sizeof(bytes)];
    struct hf_ws_event ev;
    struct hf_ws ws;

    (void)state;
    memcpy(again, bytes, sizeof(bytes));
    hf_ws_init(&ws, HF_WS_SERVER, MESSAGE_MAX);
    assert_int_equal(hf_ws_recv(&ws, bytes, sizeof(bytes), &ev), sizeof(bytes));
    assert_ptr_equal(ev.data, bytes + 6);
    assert_memory_equal(ev.data, "Hello", 5);
    assert_null(ws.message.data);
    assert_int_equal(hf_ws_recv(&ws, again, 3, &ev), 3);
    assert_int_equal(hf_ws_recv(&ws, again + 3, sizeof(again) - 3, &ev), sizeof(again) - 3);
    assert_ptr_equal(ev.data, again + 6);
    assert_null(ws.message.data);
    hf_ws_release(&ws);
}

/* "message owns memory only meanwhile": the call that gives NONE has taken back what was lent before. */
static void memory_goes_back_after_the_event(void **state)
{
    static const struct frame ping = F(0x89, "ping"), text = F(0x81, "text");
    struct hf_ws_event ev;
    struct hf_ws ws;
    struct hf_buf b;

    (void)state;
    hf_buf_init(&b, 64);
    hf_ws_init(&ws, HF_WS_SERVER, MESSAGE_MAX);
    put_frame(&b, &ping, true);
    put_frame(&b, &text, true);
    assert_int_equal(hf_ws_recv(&ws, b.data, 8, &ev), 8);
    assert_non_null(ws.control);
    assert_int_equal(hf_ws_recv(&ws, b.data + 8, b.len - 8 - 1, &ev), 2);
    assert_int_equal(ev.type, HF_WS_EV_PING);
    assert_int_equal(hf_ws_recv(&ws, b.data + 10, 8, &ev), 8);
    assert_null(ws.control);
    assert_non_null(ws.message.data);
    assert_int_equal(hf_ws_recv(&ws, b.data + 18, 2, &ev), 2);
    assert_int_equal(ev.type, HF_WS_EV_TEXT);
    assert_ptr_equal(ev.data, ws.message.data);
    assert_int_equal(hf_ws_recv(&ws, NULL, 0, &ev), 0);
    assert_int_equal(ev.type, HF_WS_EV_NONE);
    assert_null(ws.message.data);
    hf_ws_release(&ws);
    hf_buf_release(&b);
}

/* A connection may end anywhere: release gives back a message and a ping that were under way. */
static void release_in_the_middle(void **state)
{
    static const struct frame first = F(0x01, "first"), ping = F(0x89, "ping");
    struct hf_ws_event ev;
    struct hf_ws ws;
    struct hf_buf b;

    (void)state;
    hf_buf_init(&b, 64);
    hf_ws_init(&ws, HF_WS_SERVER, MESSAGE_MAX);
    put_frame(&b, &first, true);
    put_frame(&b, &ping, true);
    assert_int_equal(hf_ws_recv(&ws, b.data, b.len - 1, &ev), b.len - 1);
    assert_non_null(ws.message.data);
    assert_non_null(ws.control);
    hf_ws_release(&ws); /* LeakSanitizer sees what is left. */
    hf_buf_release(&b);
}

/* Control frames have their own limit and no part in the message's. */
static void a_ping_fits_beside_a_full_message(void **state)
{
    static const struct vector v = {"PING(" A125 ") BINARY(" A125 A125 A25 A25 ")",
                                    {F(0x02, A125 A125 A25 A25), F(0x89, A125), F(0x80, "")}};

    (void)state;
    check_vector(&v, HF_WS_SERVER);
    check_vector(&v, HF_WS_CLIENT);
}

/* A closing handshake may take a while, in which the message that it broke off needs no memory. */
static void close_gives_a_broken_message_back(void **state)
{
    uint8_t bytes[] = {0x01, 1, 'a', 0x88, 0};
    struct hf_ws_event ev;
    struct hf_ws ws;

    (void)state;
    hf_ws_init(&ws, HF_WS_CLIENT, MESSAGE_MAX);
    hf_ws_recv(&ws, bytes, sizeof(bytes), &ev);
    assert_int_equal(ev.type, HF_WS_EV_CLOSE);
    assert_null(ws.message.data);
    hf_ws_release(&ws);
}

/* The buffer is made to refuse, as it does when there is no memory. */
static void want_of_memory_ends_the_connection(void **state)
{
    uint8_t bytes[] = {0x82, 5, 'H', 'e', 'l'};
    struct hf_ws_event ev;
    struct hf_ws ws;

    (void)state;
    hf_ws_init(&ws, HF_WS_CLIENT, MESSAGE_MAX);
    ws.message.failed = true;
    hf_ws_recv(&ws, bytes, sizeof(bytes), &ev);
    assert_int_equal(ev.type, HF_WS_EV_ERROR);
    assert_int_equal(ev.close_code, HF_CLOSE_INTERNAL);
    hf_ws_release(&ws);
}

/* A text of all kinds of characters, in two fragments cut at every byte, each again cut at every byte of the stream. */
static void text_is_checked_across_fragments(void **state)
{
    static const char text[] = "h\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80.";
    static const char bad[] = "h\xc3\xa4\xe2\x82\xf0\x9f\x98\x80.";

    (void)state;
    for (size_t cut = 0; cut <= sizeof(text) - 1; cut++) {
        struct vector v = {
            "TEXT(h<c3><a4><e2><82><ac><f0><9f><98><80>.)",
            {{0x01, SHORTEST, text, cut}, {0x80, SHORTEST, text + cut, sizeof(text) - 1 - cut}}};

        check_vectors(&v, 1);
    }
    for (size_t cut = 0; cut <= sizeof(bad) - 1; cut++) {
        struct vector v = {"ERROR(1007,text is not UTF-8)",
                           {{0x01, SHORTEST, bad, cut}, {0x80, SHORTEST, bad + cut, sizeof(bad) - 1 - cut}}};

        check_vectors(&v, 1);
    }
}

/* Section 7.4: the whole range, against the list as one reads it there and in IANA's registry. */
static void close_codes(void **state)
{
    static const uint16_t low[] = {1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014};

    (void)state;
    for (uint32_t code = 0; code <= UINT16_MAX; code++) {
        bool want = code >= 3000 && code < 5000;

        for (size_t i = 0; i < sizeof(low) / sizeof(low[0]); i++)
            want = want || code == low[i];
        if (hf_ws_close_code_valid((uint16_t)code) != want)
            fail_msg("close code %u", code);
    }
}

static void masking_at_every_length_place_and_phase(void **state)
{
    uint8_t data[96], want[96];

    (void)state;
    for (size_t len = 0; len <= 72; len++) {
        for (size_t at = 0; at < 16; at++) {
            for (uint64_t phase = 0; phase < 8; phase++) {
                for (size_t i = 0; i < sizeof(data); i++)
                    data[i] = want[i] = (uint8_t)(i * 7 + 1);
                for (size_t i = 0; i < len; i++)
                    want[at + i] ^= test_mask[(phase + i) % 4];
                hf_ws_mask(data + at, len, test_mask, phase);
                assert_memory_equal(data, want, sizeof(data));
            }
        }
    }
}

/* Each form of the length at its limits, read back by the parser where it can be. */
static void headers_take_the_shortest_form(void **state)
{
    static const struct {
        uint64_t len;
        size_t size;
        uint8_t ext[8];
    } cases[] = {
        {0, 2, {0}},
        {125, 2, {0}},
        {126, 4, {0, 126}},
        {65535, 4, {0xff, 0xff}},
        {65536, 10, {0, 0, 0, 0, 0, 1, 0, 0}},
        {INT64_MAX, 10, {0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}},
    };
    uint8_t out[HF_WS_HEADER_MAX];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        size_t size = cases[i].size;
        uint8_t first_len = (uint8_t)(size == 2 ? cases[i].len : size == 4 ? 126 : 127);

        assert_int_equal(hf_ws_header(out, HF_WS_TEXT, cases[i].len, NULL), size);
        assert_int_equal(out[0], 0x81);
        assert_int_equal(out[1], first_len);
        assert_memory_equal(out + 2, cases[i].ext, size - 2);
        assert_int_equal(hf_ws_header(out, HF_WS_PONG, cases[i].len, test_mask), size + 4);
        assert_int_equal(out[0], 0x8a);
        assert_int_equal(out[1], 0x80 | first_len);
        assert_memory_equal(out + size, test_mask, 4);
    }
}

static void check_round_trip(size_t len, const uint8_t *mask)
{
    struct hf_ws_event ev;
    struct hf_ws ws;
    struct hf_buf b;
    uint8_t *payload = malloc(len + 1);

    assert_non_null(payload);
    for (size_t i = 0; i < len; i++)
        payload[i] = (uint8_t)(i * 31 >> 3);
    hf_buf_init(&b, 1 << 20);
    assert_int_equal(hf_ws_put_frame(&b, HF_WS_BINARY, payload, len, mask), 0);
    /* The one-byte cut puts the message through the gathering path too. */
    for (size_t cut = 0; cut <= 1; cut++) {
        struct hf_buf copy;

        hf_buf_init(&copy, 1 << 20);
        assert_int_equal(hf_buf_put(&copy, b.data, b.len), 0);
        hf_ws_init(&ws, mask == NULL ? HF_WS_CLIENT : HF_WS_SERVER, 1 << 20);
        if (cut > 0 && len > 0) {
            assert_int_equal(hf_ws_recv(&ws, copy.data, b.len - 1, &ev), b.len - 1);
            assert_int_equal(hf_ws_recv(&ws, copy.data + b.len - 1, 1, &ev), 1);
        } else {
            assert_int_equal(hf_ws_recv(&ws, copy.data, b.len, &ev), b.len);
        }
        assert_int_equal(ev.type, HF_WS_EV_BINARY);
        assert_int_equal(ev.len, len);
        assert_memory_equal(ev.data, payload, len);
        hf_ws_release(&ws);
        hf_buf_release(&copy);
    }
    hf_buf_release(&b);
    free(payload);
}

static void what_is_encoded_can_be_read(void **state)
{
    static const size_t lens[] = {0, 1, 7, 8, 125, 126, 127, 1000, 65535, 65536, 70000};

    (void)state;
    for (size_t i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
        check_round_trip(lens[i], NULL);
        check_round_trip(lens[i], test_mask);
    }
}

static void a_full_buffer_refuses_a_whole_frame(void **state)
{
    struct hf_buf b;

    (void)state;
    hf_buf_init(&b, 6);
    assert_int_equal(hf_ws_put_frame(&b, HF_WS_TEXT, "Hello", 5, NULL), HF_ELIMIT);
    assert_int_equal(b.len, 0);
    hf_buf_release(&b);
}

static void check_close(uint16_t code, const char *reason, const uint8_t *mask, const char *want)
{
    struct hf_buf b;

    hf_buf_init(&b, 256);
    assert_int_equal(hf_ws_put_close(&b, code, hf_str_from(reason), mask), 0);
    expect_however_cut(mask == NULL ? HF_WS_CLIENT : HF_WS_SERVER, b.data, b.len, want);
    hf_buf_release(&b);
}

/* Section 5.5: a control frame has at most 125 bytes, and two of them are the code. */
static void close_frames(void **state)
{
    (void)state;
    check_close(0, NULL, NULL, "CLOSE(1005,)");
    check_close(HF_CLOSE_NO_STATUS, "unheard", test_mask, "CLOSE(1005,)");
    check_close(1000, NULL, test_mask, "CLOSE(1000,)");
    check_close(4001, "another connection", NULL, "CLOSE(4001,another connection)");
    /* 122 bytes of letters at most, and then what ends at 123, 124 or 125: only the first may stay. */
    check_close(1011, A25 A25 A25 A25 "aaaaaaaaaaaaaaaaaaaaaab", NULL,
                "CLOSE(1011," A25 A25 A25 A25 "aaaaaaaaaaaaaaaaaaaaaab)");
    check_close(1011, A25 A25 A25 A25 "aaaaaaaaaaaaaaaaaaaaaabc", NULL,
                "CLOSE(1011," A25 A25 A25 A25 "aaaaaaaaaaaaaaaaaaaaaab)");
    check_close(1011, A25 A25 A25 A25 "aaaaaaaaaaaaaaaaaaaaaa\xc3\xa4", NULL,
                "CLOSE(1011," A25 A25 A25 A25 "aaaaaaaaaaaaaaaaaaaaaa)");
    check_close(1011, A25 A25 A25 A25 "aaaaaaaaaaaaaaaaaaaaa\xc3\xa4", NULL,
                "CLOSE(1011," A25 A25 A25 A25 "aaaaaaaaaaaaaaaaaaaaa<c3><a4>)");
    check_close(1011, A25 A25 A25 A25 "aaaaaaaaaaaaaaaaaaaa\xf0\x9f\x98\x80", test_mask,
                "CLOSE(1011," A25 A25 A25 A25 "aaaaaaaaaaaaaaaaaaaa)");
}

/* Every length around the size of a block, every place of a byte that is no ASCII, blocks of exact size on the heap. */
static void unmasking_sees_what_is_no_ascii(void **state)
{
    (void)state;
    for (size_t len = 0; len <= 130; len++) {
        for (size_t place = 0; place <= len; place++) { /* place == len: none */
            uint8_t *data = malloc(len + 1), *want = malloc(len + 1);

            assert_non_null(data);
            assert_non_null(want);
            for (size_t i = 0; i < len; i++)
                want[i] = (uint8_t)(i == place ? 0x80 | i : i * 7 % 128);
            data = realloc(data, len > 0 ? len : 1);
            memcpy(data, want, len);
            hf_ws_mask(data, len, test_mask, 0);
            assert_int_equal(hf_ws_unmask_ascii(data, len, test_mask), place == len);
            assert_memory_equal(data, want, len);
            free(data);
            free(want);
        }
    }
}

/* What the echo takes by itself, and what it leaves to the parser: cut at every place, the answers are those of a parser with an encoder behind it. */
static void the_echo_answers_what_is_small_and_whole(void **state)
{
    static const struct frame frames[] = {{0x81, SHORTEST, "hello", 5},
                                          {0x82, SHORTEST, "\x80\xff\0", 3},
                                          {0x81, SHORTEST, "", 0},
                                          {0x81, SHORTEST, A25 A25 A25 A25 A25, 125},
                                          {0x82, SHORTEST, A25, 17}};
    struct hf_buf in, want;
    size_t ends[5], count = sizeof(frames) / sizeof(frames[0]);

    (void)state;
    hf_buf_init(&in, 1000);
    hf_buf_init(&want, 1000);
    for (size_t i = 0; i < count; i++) {
        enum hf_ws_opcode opcode = (enum hf_ws_opcode)(frames[i].first & 0xf);

        assert_int_equal(hf_ws_put_frame(&in, opcode, frames[i].payload, frames[i].len, test_mask), 0);
        assert_int_equal(hf_ws_put_frame(&want, opcode, frames[i].payload, frames[i].len, NULL), 0);
        ends[i] = in.len;
    }
    for (size_t cut = 0; cut <= in.len; cut++) {
        uint8_t *part = malloc(cut + 1), *out = malloc(cut + 1);
        size_t out_len, messages, used, whole = 0;
        struct hf_ws ws;

        while (whole < count && ends[whole] <= cut)
            whole++;
        assert_non_null(part);
        assert_non_null(out);
        memcpy(part, in.data, cut);
        hf_ws_init(&ws, HF_WS_SERVER, MESSAGE_MAX);
        assert_true(hf_ws_idle(&ws));
        used = hf_ws_echo(&ws, part, cut, out, &out_len, &messages);
        assert_int_equal(messages, whole);
        assert_int_equal(used, whole == 0 ? 0 : ends[whole - 1]);
        assert_int_equal(out_len, used - 4 * whole);
        assert_memory_equal(out, want.data, out_len);
        free(part);
        free(out);
    }
    hf_buf_release(&in);
    hf_buf_release(&want);
}

/* Everything else is left where it is, right or wrong. */
static void the_echo_leaves_the_rest_to_the_parser(void **state)
{
    static const char *const left[] = {
        "\x81\x82\0\0\0\0\xc3\xa4", /* text that is no ASCII */
        "\x89\x80\0\0\0\0\0\0",     /* a ping */
        "\x01\x82\0\0\0\0hi",       /* a fragment */
        "\xc1\x82\0\0\0\0hi",       /* a reserved bit */
        "\x81\x02hi\0\0\0\0",       /* unmasked */
        "\x81\xfe\0\x02\0\0\0\0",   /* a length of 16 bits */
        "\x81\xfd\0\0\0\0hi",       /* not all of it is there */
    };

    (void)state;
    for (size_t i = 0; i < sizeof(left) / sizeof(left[0]); i++) {
        uint8_t out[8];
        size_t out_len, messages;
        struct hf_ws ws;

        hf_ws_init(&ws, HF_WS_SERVER, MESSAGE_MAX);
        assert_int_equal(hf_ws_echo(&ws, (const uint8_t *)left[i], 8, out, &out_len, &messages), 0);
        assert_int_equal(out_len, 0);
        assert_int_equal(messages, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(well_formed),
        cmocka_unit_test(malformed),
        cmocka_unit_test(the_examples_of_the_rfc),
        cmocka_unit_test(masked_where_it_must_not_be_and_the_reverse),
        cmocka_unit_test(huge_lengths),
        cmocka_unit_test(the_limit_holds_for_the_message),
        cmocka_unit_test(bad_text_is_refused_at_once),
        cmocka_unit_test(whole_messages_are_lent_from_the_input),
        cmocka_unit_test(memory_goes_back_after_the_event),
        cmocka_unit_test(release_in_the_middle),
        cmocka_unit_test(a_ping_fits_beside_a_full_message),
        cmocka_unit_test(close_gives_a_broken_message_back),
        cmocka_unit_test(want_of_memory_ends_the_connection),
        cmocka_unit_test(text_is_checked_across_fragments),
        cmocka_unit_test(close_codes),
        cmocka_unit_test(masking_at_every_length_place_and_phase),
        cmocka_unit_test(unmasking_sees_what_is_no_ascii),
        cmocka_unit_test(the_echo_answers_what_is_small_and_whole),
        cmocka_unit_test(the_echo_leaves_the_rest_to_the_parser),
        cmocka_unit_test(headers_take_the_shortest_form),
        cmocka_unit_test(what_is_encoded_can_be_read),
        cmocka_unit_test(a_full_buffer_refuses_a_whole_frame),
        cmocka_unit_test(close_frames),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
