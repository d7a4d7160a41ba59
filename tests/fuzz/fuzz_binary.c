/*
 * fuzz_binary.c - any bytes as a WebSocket message in the binary form, from either side: decoding never crashes, and what was decoded is
 * encoded to what is decoded to the same again.
 */
#include "../vectors/meaning.h"

#include "base/assert.h"

#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    for (int from_server = 0; from_server <= 1; from_server++) {
        const char *wrong = meaning_check(data, size, from_server == 1);

        if (wrong != NULL)
            fprintf(stderr, "fuzz_binary: %s\n", wrong);
        hf_assert(wrong == NULL);
    }
    return 0;
}
