/*
 * fuzz_http_connect.c - what comes from outside on the way through a proxy: its answer to CONNECT, and the URL by which it was named.
 *
 * The first byte says which one and where to cut. An answer must be judged alike whether it comes at once or in two pieces; what stands in a proxy's URL must fit into
 * the request without breaking out of its lines.
 */
#include "base/assert.h"
#include "client/proxy.h"
#include "ws/handshake.h"
#include "ws/http_connect.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* On a heap copy of exactly this size: parsing may write. */
static int parse(const uint8_t *data, size_t len, int *status)
{
    char *copy = malloc(len > 0 ? len : 1);
    const char *reason = NULL;
    int got;

    hf_assert(copy != NULL);
    memcpy(copy, data, len);
    got = hf_http_connect_parse(copy, len, status, &reason);
    hf_assert(got <= (int)len && got <= HF_HTTP_HEAD_MAX && (got >= 0) == (reason == NULL));
    hf_assert(got <= 0 || (*status >= 100 && *status <= 999));
    free(copy);
    return got;
}

static void check_answer(const uint8_t *data, size_t size, size_t cut)
{
    int status = 0, status_cut = 0;
    int got = parse(data, size, &status), got_cut = parse(data, cut, &status_cut);

    if (got_cut == 0)
        got_cut = parse(data, size, &status_cut);
    hf_assert(got == got_cut && (got <= 0 || status == status_cut));
}

static void check_proxy(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    struct hf_proxy proxy;
    struct hf_buf out;

    hf_assert(text != NULL);
    memcpy(text, data, size);
    text[size] = '\0';
    hf_buf_init(&out, 4096);
    if (hf_proxy_parse(&proxy, text) == 0) {
        hf_assert(proxy.host[0] != '\0' && proxy.port[0] != '\0');
        hf_assert(hf_http_connect_put(&out, hf_str_from(proxy.host), hf_str_from(proxy.authorization)) == 0);
        hf_assert(memmem(out.data, out.len, "\r\n\r\n", 4) == out.data + out.len - 4);
    } else {
        hf_assert(proxy.host[0] == '\0');
    }
    hf_buf_release(&out);
    free(text);
}

static void check_exclusions(const uint8_t *data, size_t size)
{
    static const char *const urls[] = {"ws://a.b.test", "ws://192.0.2.1", "ws://[2001:db8::1]"};
    struct hf_proxy_environment env = {.http = "proxy"};
    char *text = malloc(size + 1);

    hf_assert(text != NULL);
    memcpy(text, data, size);
    text[size] = '\0';
    env.none = text;
    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
        struct hf_proxy proxy;
        struct hf_url url;
        const char *which;

        hf_assert(hf_url_parse(&url, urls[i]) == 0);
        hf_assert(hf_proxy_choose(&proxy, &env, &url, &which) == 0);
    }
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t config;

    if (size < 1)
        return 0;
    config = data[0];
    data++;
    size--;
    switch (config & 3) {
    case 0:
        check_proxy(data, size);
        break;
    case 1:
        check_exclusions(data, size);
        break;
    default:
        check_answer(data, size, size * (config >> 2) / 64);
    }
    return 0;
}
