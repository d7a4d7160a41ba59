/*
 * fuzz_frame.c - the frame parser and encoder.
 *
 * The first byte chooses the role and the limit, the next two how the stream is cut. The rest is taken twice: as a stream,
 * fed whole and in pieces, which must give the same events; and as a payload, which must survive being encoded and parsed.
 */
#include "base/assert.h"
#include "base/rng.h"
#include "ws/frame.h"

#include <stdlib.h>
#include <string.h>

/* What an input may make the events' log grow to: every event tells at most its input's bytes and a few more. */
enum { PREFIX_BYTES = 3, LOG_BYTES_MAX = 1 << 24 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_event(const struct hf_ws_event *ev, size_t bytes_max)
{
    if (ev->type == HF_WS_EV_TEXT || ev->type == HF_WS_EV_CLOSE || ev->type == HF_WS_EV_ERROR)
        hf_assert(hf_utf8_valid(ev->data, ev->len));
    if (ev->type == HF_WS_EV_TEXT || ev->type == HF_WS_EV_BINARY)
        hf_assert(ev->len <= bytes_max);
    if (ev->type == HF_WS_EV_PING || ev->type == HF_WS_EV_PONG)
        hf_assert(ev->len <= HF_WS_CONTROL_MAX);
    if (ev->type == HF_WS_EV_CLOSE)
        hf_assert(ev->close_code == HF_CLOSE_NO_STATUS || hf_ws_close_code_valid(ev->close_code));
    if (ev->type == HF_WS_EV_ERROR)
        hf_assert(hf_ws_close_code_valid(ev->close_code) && ev->close_code != HF_CLOSE_INTERNAL);
}

static void log_event(struct hf_buf *log, const struct hf_ws_event *ev)
{
    hf_assert(hf_buf_putf(log, "%d %u %zu ", ev->type, ev->close_code, ev->len) == 0);
    hf_assert(hf_buf_put(log, ev->data, ev->len) == 0);
    memset(ev->data, 0xaa, ev->type == HF_WS_EV_ERROR ? 0 : ev->len); /* "may be written to" */
}

/* One piece, in a block of its exact size. */
static void feed(struct hf_ws *ws, const uint8_t *data, size_t len, struct hf_buf *log)
{
    uint8_t *piece = malloc(len > 0 ? len : 1);
    struct hf_ws_event ev;
    size_t used = 0;

    hf_assert(piece != NULL);
    memcpy(piece, data, len);
    do {
        used += hf_ws_recv(ws, piece + used, len - used, &ev);
        hf_assert(used <= len);
        if (ev.type == HF_WS_EV_NONE) {
            hf_assert(used == len);
            continue;
        }
        check_event(&ev, ws->message.bytes_max);
        log_event(log, &ev);
    } while (ev.type != HF_WS_EV_NONE || used < len);
    free(piece);
}

/* Feed the stream in pieces of 1 to piece_max bytes; piece_max 0: whole. */
static void run(struct hf_buf *log, uint8_t config, const uint8_t *data, size_t len, uint64_t seed,
                size_t piece_max)
{
    static const size_t limits[] = {65536, 1000, 125, 7};
    struct hf_rng rng = {seed};
    struct hf_ws ws;

    hf_buf_init(log, LOG_BYTES_MAX);
    hf_ws_init(&ws, (config & 1) != 0 ? HF_WS_CLIENT : HF_WS_SERVER, limits[(config >> 1) & 3]);
    while (len > 0) {
        size_t n = piece_max == 0 ? len : 1 + hf_rng_below(&rng, piece_max);

        if (n > len)
            n = len;
        feed(&ws, data, n, log);
        data += n;
        len -= n;
    }
    hf_ws_release(&ws);
}

static void check_cuts(const uint8_t *data, size_t size)
{
    static const size_t piece_max[] = {1, 4, 20, 200};
    uint64_t seed = (uint64_t)data[1] << 8 | data[2];
    struct hf_buf whole, cut;

    run(&whole, data[0], data + PREFIX_BYTES, size - PREFIX_BYTES, 0, 0);
    run(&cut, data[0], data + PREFIX_BYTES, size - PREFIX_BYTES, seed, piece_max[data[1] & 3]);
    hf_assert(hf_str_eq(hf_buf_str(&whole), hf_buf_str(&cut)));
    hf_buf_release(&whole);
    hf_buf_release(&cut);
}

static void check_round_trip(const uint8_t *data, size_t size)
{
    const uint8_t *mask = (data[0] & 1) != 0 ? NULL : data; /* Any four bytes are a mask. */
    struct hf_ws_event ev;
    struct hf_ws ws;
    struct hf_buf b;

    hf_buf_init(&b, size + HF_WS_HEADER_MAX);
    hf_assert(hf_ws_put_frame(&b, HF_WS_BINARY, data, size, mask) == 0);
    hf_ws_init(&ws, mask == NULL ? HF_WS_CLIENT : HF_WS_SERVER, size);
    hf_assert(hf_ws_recv(&ws, b.data, b.len, &ev) == b.len);
    hf_assert(ev.type == HF_WS_EV_BINARY && ev.len == size && memcmp(ev.data, data, size) == 0);
    hf_ws_release(&ws);
    hf_buf_release(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < PREFIX_BYTES + 1)
        return 0;
    check_cuts(data, size);
    check_round_trip(data, size);
    return 0;
}
