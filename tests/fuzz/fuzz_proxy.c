/*
 * fuzz_proxy.c - what a proxy says of its client: the PROXY header, and the headers Forwarded and X-Forwarded-For.
 *
 * The first byte says which one and where to cut. A PROXY header must be judged alike whether it comes at once or in pieces; an address that was
 * taken must be the same when it is written and read again.
 */
#include "base/assert.h"
#include "ws/forwarded.h"
#include "ws/proxy_header.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_endpoint(const struct hf_endpoint *e)
{
    char text[HF_IP_TEXT_BYTES];
    struct hf_endpoint back;
    size_t len = hf_endpoint_format(e, text);

    hf_assert(len == strlen(text) && hf_endpoint_parse((struct hf_str){text, len}, &back) == 0);
    hf_assert(memcmp(&back.ip, &e->ip, sizeof(e->ip)) == 0 && back.port == e->port);
}

static void check_header(const uint8_t *data, size_t size, size_t cut)
{
    struct hf_proxy_header h, h_cut;
    uint8_t *part = malloc(cut > 0 ? cut : 1);
    int got = hf_proxy_header_parse(&h, data, size), got_cut;

    hf_assert(part != NULL);
    memcpy(part, data, cut);
    got_cut = hf_proxy_header_parse(&h_cut, part, cut);
    free(part);
    if (got_cut == 0)
        got_cut = hf_proxy_header_parse(&h_cut, data, size);
    hf_assert(got == got_cut && got <= (int)size && got <= HF_PROXY_HEADER_MAX);
    hf_assert(got >= 0 || h.reason != NULL);
    if (got > 0 && h.source == HF_PROXY_CLIENT)
        check_endpoint(&h.client);
}

static void check_forwarded(enum hf_forwarded_form form, const uint8_t *data, size_t size)
{
    struct hf_network trusted;
    struct hf_endpoint client = {.port = 0};

    hf_assert(hf_network_parse(HF_STR("10.0.0.0/8"), &trusted) == 0);
    if (hf_forwarded_client(form, (struct hf_str){(const char *)data, size}, &trusted, 1, &client) == 1)
        check_endpoint(&client);
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
        check_forwarded(HF_FORWARDED_RFC7239, data, size);
        break;
    case 1:
        check_forwarded(HF_FORWARDED_X_FORWARDED_FOR, data, size);
        break;
    default:
        check_header(data, size, size * (config >> 2) / 64);
    }
    return 0;
}
