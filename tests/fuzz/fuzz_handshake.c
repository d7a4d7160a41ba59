/*
 * fuzz_handshake.c - both sides' parsers of the opening handshake.
 *
 * The first byte says which one and where to cut. A head must be judged alike whether it comes at once or in pieces; what
 * was accepted must lie in its buffer and keep its promises.
 */
#include "base/assert.h"
#include "ws/handshake.h"

#include <stdlib.h>
#include <string.h>

static const char key[HF_WS_KEY_LEN + 1] = "dGhlIHNhbXBsZSBub25jZQ=="; /* that of RFC 6455 section 1.3 */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *copy_of(const uint8_t *data, size_t len)
{
    char *copy = malloc(len > 0 ? len : 1);

    hf_assert(copy != NULL);
    memcpy(copy, data, len);
    return copy;
}

static void check_inside(struct hf_str s, const char *data, size_t len)
{
    if (s.data != NULL)
        hf_assert(s.data >= data && s.len <= len && s.data + s.len <= data + len);
}

static void check_accepted(const struct hf_handshake *h, const char *data, size_t len)
{
    const struct hf_str parts[] = {h->method, h->target,  h->query,        h->host,
                                   h->origin, h->key,     h->protocols,    h->authorization,
                                   h->resume, h->attempt, h->forwarded_for};

    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        check_inside(parts[i], data, len);
        /* No value can carry a line's end into a log or an answer. */
        hf_assert(parts[i].len == 0 || (memchr(parts[i].data, '\n', parts[i].len) == NULL &&
                                        memchr(parts[i].data, '\r', parts[i].len) == NULL &&
                                        memchr(parts[i].data, '\0', parts[i].len) == NULL));
    }
    hf_assert(hf_str_eq(h->method, HF_STR("GET")) && h->path.len > 0 && h->path.data[0] == '/');
    hf_assert(h->key.len == HF_WS_KEY_LEN && h->host.len > 0);
    hf_assert(len >= 4 && memcmp(data + len - 4, "\r\n\r\n", 4) == 0);
}

static void check_answers(const struct hf_handshake *h)
{
    struct hf_handshake_response r;
    struct hf_str rest = h->protocols, token = {0};
    char text[64];
    struct hf_buf b;

    hf_buf_init(&b, 4 * HF_HTTP_HEAD_MAX);
    while (hf_handshake_next_token(&rest, &token))
        hf_assert(token.len > 0 && memchr(token.data, ',', token.len) == NULL);
    hf_assert(hf_query_get(h->query, "token", text, sizeof(text)) <= (int)sizeof(text));
    hf_assert(hf_handshake_put_accept(&b, h->key, token, NULL) == 0);
    hf_assert(hf_handshake_parse_response(&r, (char *)b.data, b.len, h->key.data, false) == (int)b.len);
    hf_assert(r.status == 101 && hf_str_eq(r.protocol, token));
    hf_buf_release(&b);
}

static void check_request(const uint8_t *data, size_t size, size_t cut)
{
    char *whole = copy_of(data, size), *pieces = copy_of(data, size), *part = copy_of(data, cut);
    struct hf_handshake h, h_cut;
    int got = hf_handshake_parse(&h, whole, size);
    int got_cut = hf_handshake_parse(&h_cut, part, cut);

    if (got_cut == 0)
        got_cut = hf_handshake_parse(&h_cut, pieces, size);
    hf_assert(got == got_cut && got <= (int)size);
    if (got < 0) {
        hf_assert(h.status >= 400 && h.status == h_cut.status && h.reason == h_cut.reason);
    } else if (got > 0) {
        check_accepted(&h, whole, (size_t)got);
        check_answers(&h);
    }
    free(whole);
    free(pieces);
    free(part);
}

static void check_response(const uint8_t *data, size_t size, size_t cut)
{
    char *whole = copy_of(data, size), *pieces = copy_of(data, size), *part = copy_of(data, cut);
    struct hf_handshake_response r, r_cut;
    int got = hf_handshake_parse_response(&r, whole, size, key, false);
    int got_cut = hf_handshake_parse_response(&r_cut, part, cut, key, false);

    if (got_cut == 0)
        got_cut = hf_handshake_parse_response(&r_cut, pieces, size, key, false);
    hf_assert(got == got_cut && got <= (int)size);
    if (got != 0)
        hf_assert(r.status == r_cut.status && r.reason == r_cut.reason &&
                  r.retry_after_s == r_cut.retry_after_s);
    if (got > 0)
        check_inside(r.protocol, whole, (size_t)got);
    free(whole);
    free(pieces);
    free(part);
}

/* No word of the fuzzer's may get into a request as anything but what it was given as. */
static void check_put_request(const uint8_t *data, size_t size, size_t cut)
{
    struct hf_handshake_request req = {
        .host = {(const char *)data, cut},
        .target = HF_STR("/ws"),
        .nonce = (const uint8_t *)key,
        .protocols = {(const char *)data + cut, size - cut},
    };
    char key_out[HF_WS_KEY_LEN];
    struct hf_handshake h;
    struct hf_buf b;
    int got;

    hf_buf_init(&b, 2 * size + HF_HTTP_HEAD_MAX);
    if (hf_handshake_put_request(&b, &req, key_out) == 0) {
        got = hf_handshake_parse(&h, (char *)b.data, b.len);
        hf_assert(got < 0 || got == (int)b.len);
        hf_assert(got < 0 || hf_str_eq(h.host, req.host));
    }
    hf_buf_release(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t config;
    size_t cut;

    if (size < 2)
        return 0;
    config = data[0];
    data++;
    size--;
    cut = size * (config >> 2) / 64;
    switch (config & 3) {
    case 0:
        check_response(data, size, cut);
        break;
    case 1:
        check_put_request(data, size, cut);
        break;
    default:
        check_request(data, size, cut);
    }
    return 0;
}
