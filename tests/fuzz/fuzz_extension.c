/*
 * fuzz_extension.c - Sec-WebSocket-Extensions, as a server reads offers and a client the answer. Whatever is made of an offer, our own
 * client's reading of our answer to it must come to the same terms, if our client could have made it.
 */
#include "base/assert.h"
#include "ws/extension.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_terms(int got, const struct hf_deflate_terms *terms)
{
    hf_assert(got == 1 || got == 0 || got == HF_EBADMSG);
    if (got != 1) {
        hf_assert(terms->server_window_bits == 0);
        return;
    }
    hf_assert(terms->server_window_bits >= HF_WINDOW_BITS_MIN &&
              terms->server_window_bits <= HF_WINDOW_BITS_MAX);
    hf_assert(terms->server_bits_asked || terms->server_window_bits == HF_WINDOW_BITS_MAX);
}

/* "Never an answer that was not offered": the words of the extension stand in what came. */
static void check_offered(struct hf_str offers, const struct hf_deflate_terms *terms)
{
    static const char name[] = "permessage-deflate", bits[] = "server_max_window_bits";

    hf_assert(memmem(offers.data, offers.len, name, sizeof(name) - 1) != NULL);
    hf_assert(!terms->server_bits_asked || memmem(offers.data, offers.len, bits, sizeof(bits) - 1) != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct hf_str value = {size > 0 ? (const char *)data : "", size};
    struct hf_deflate_terms terms, seen;
    char out[HF_DEFLATE_ANSWER_MAX];
    struct hf_str answer;
    int got = hf_deflate_accept(value, &terms);

    check_terms(got, &terms);
    answer = hf_deflate_answer(&terms, out);
    hf_assert((answer.data != NULL) == (got == 1));
    if (got == 1) {
        check_offered(value, &terms);
        hf_assert(hf_deflate_accepted(answer, &seen) == 1);
        hf_assert(seen.server_window_bits == terms.server_window_bits);
    }
    check_terms(hf_deflate_accepted(value, &seen), &seen);
    return 0;
}
