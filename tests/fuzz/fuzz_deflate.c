/*
 * fuzz_deflate.c - compressed messages through the frame parser and the inflater, and the compressor.
 *
 * The first byte chooses the role and the limit, the next how the stream is cut. The rest is taken three times: as a stream of frames, fed
 * whole and in pieces, which must give the same events; as one compressed message, of which whatever comes out must come out again after it
 * was compressed by us; and as a message to compress.
 */
#include "base/assert.h"
#include "base/rng.h"
#include "ws/deflate.h"
#include "ws/extension.h"

#include <stdlib.h>
#include <string.h>

enum { PREFIX_BYTES = 2, LOG_BYTES_MAX = 1 << 26, LIMIT_MAX = 1 << 16 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* One of each, as in a worker: an input that leaves something behind harms the next. */
static struct hf_deflate *compressor;
static struct hf_inflate *inflaters[4];
static const size_t limits[4] = {LIMIT_MAX, 5000, 300, 7};

static void make_once(void)
{
    if (compressor != NULL)
        return;
    compressor = hf_deflate_new(6, 5);
    hf_assert(compressor != NULL);
    for (int i = 0; i < 4; i++) {
        inflaters[i] = hf_inflate_new(limits[i]);
        hf_assert(inflaters[i] != NULL);
    }
}

static void check_event(const struct hf_ws_event *ev, size_t limit)
{
    hf_assert(!ev->compressed);
    if (ev->type == HF_WS_EV_TEXT || ev->type == HF_WS_EV_ERROR)
        hf_assert(hf_utf8_valid(ev->data, ev->len));
    if (ev->type == HF_WS_EV_TEXT || ev->type == HF_WS_EV_BINARY)
        hf_assert(ev->len <= limit);
    if (ev->type == HF_WS_EV_ERROR)
        hf_assert(hf_ws_close_code_valid(ev->close_code) && ev->close_code != HF_CLOSE_INTERNAL);
}

/* One piece, in a block of its exact size. */
static void feed(struct hf_ws *ws, int which, const uint8_t *data, size_t len, struct hf_buf *log)
{
    uint8_t *piece = malloc(len > 0 ? len : 1);
    struct hf_ws_event ev;
    size_t used = 0;

    hf_assert(piece != NULL);
    memcpy(piece, data, len);
    do {
        used += hf_ws_recv(ws, piece + used, len - used, &ev);
        if (ev.compressed)
            hf_inflate_event(inflaters[which], ws, &ev);
        if (ev.type == HF_WS_EV_NONE)
            continue;
        check_event(&ev, limits[which]);
        hf_assert(hf_buf_putf(log, "%d %u %zu ", ev.type, ev.close_code, ev.len) == 0);
        hf_assert(hf_buf_put(log, ev.data, ev.len) == 0);
    } while (ev.type != HF_WS_EV_NONE || used < len);
    free(piece);
}

/* Feed the stream in pieces of 1 to piece_max bytes; piece_max 0: whole. */
static void run(struct hf_buf *log, uint8_t config, const uint8_t *data, size_t len, uint64_t seed,
                size_t piece_max)
{
    int which = (config >> 1) & 3;
    struct hf_rng rng = {seed};
    struct hf_ws ws;

    hf_buf_init(log, LOG_BYTES_MAX);
    hf_ws_init(&ws, (config & 1) != 0 ? HF_WS_CLIENT : HF_WS_SERVER, limits[which]);
    hf_ws_allow_deflate(&ws);
    while (len > 0) {
        size_t n = piece_max == 0 ? len : 1 + hf_rng_below(&rng, piece_max);

        if (n > len)
            n = len;
        feed(&ws, which, data, n, log);
        data += n;
        len -= n;
    }
    hf_ws_release(&ws);
}

static void check_cuts(const uint8_t *data, size_t size)
{
    static const size_t piece_max[] = {1, 4, 20, 200};
    struct hf_buf whole, cut;

    run(&whole, data[0], data + PREFIX_BYTES, size - PREFIX_BYTES, 0, 0);
    run(&cut, data[0], data + PREFIX_BYTES, size - PREFIX_BYTES, data[1], piece_max[data[1] & 3]);
    hf_assert(hf_str_eq(hf_buf_str(&whole), hf_buf_str(&cut)));
    hf_buf_release(&whole);
    hf_buf_release(&cut);
}

/* Compress it; what was compressed must come back through the parser. */
static void check_round_trip(uint8_t config, const uint8_t *data, size_t len)
{
    uint8_t bits = (uint8_t)(HF_WINDOW_BITS_MIN + config % 8);
    const uint8_t *frame;
    struct hf_ws_event ev;
    struct hf_ws ws;
    uint8_t *copy;
    int size = hf_deflate_frame(compressor, HF_WS_BINARY, bits, data, len, &frame);

    hf_assert(size >= 0);
    if (size == 0)
        return;
    copy = malloc((size_t)size);
    hf_assert(copy != NULL && (size_t)size < len + HF_WS_HEADER_MAX);
    memcpy(copy, frame, (size_t)size);
    hf_ws_init(&ws, HF_WS_CLIENT, LIMIT_MAX);
    hf_ws_allow_deflate(&ws);
    hf_assert(hf_ws_recv(&ws, copy, (size_t)size, &ev) == (size_t)size && ev.compressed);
    hf_inflate_event(inflaters[0], &ws, &ev);
    hf_assert(ev.type == HF_WS_EV_BINARY && ev.len == len && memcmp(ev.data, data, len) == 0);
    hf_ws_release(&ws);
    free(copy);
}

static void check_message(uint8_t config, const uint8_t *data, size_t len)
{
    struct hf_ws_event ev = {.type = HF_WS_EV_BINARY, .compressed = true, .len = len};
    struct hf_ws ws;
    uint8_t *message;

    ev.data = (uint8_t *)(uintptr_t)data;
    hf_ws_init(&ws, HF_WS_SERVER, LIMIT_MAX);
    hf_inflate_event(inflaters[0], &ws, &ev);
    check_event(&ev, LIMIT_MAX);
    if (ev.type == HF_WS_EV_BINARY && ev.len > 0) {
        message = malloc(ev.len);
        hf_assert(message != NULL);
        memcpy(message, ev.data, ev.len);
        check_round_trip(config, message, ev.len);
        free(message);
    }
    hf_ws_release(&ws);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < PREFIX_BYTES + 1)
        return 0;
    make_once();
    check_cuts(data, size);
    check_message(data[0], data + PREFIX_BYTES, size - PREFIX_BYTES);
    if (size - PREFIX_BYTES <= LIMIT_MAX)
        check_round_trip(data[0], data + PREFIX_BYTES, size - PREFIX_BYTES);
    return 0;
}
