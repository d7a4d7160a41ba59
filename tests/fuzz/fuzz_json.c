/*
 * fuzz_json.c - any bytes as a JSON value against jansson, as a message in both directions, and as the payload of a publish,
 * which must come out as the same value and in its place.
 */
#include "../unit/json_oracle.h"

#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void judge(const char *wrong)
{
    if (wrong != NULL)
        fprintf(stderr, "fuzz_json: %s\n", wrong);
    hf_assert(wrong == NULL);
}

static void publish(struct hf_str payload)
{
    struct hf_buf text;
    bool accepted;

    hf_buf_init(&text, 1 << 24);
    hf_buf_puts(&text, "{\"type\":\"data\",\"channel\":\"c\",\"seq\":1,\"payload\":");
    hf_buf_put_str(&text, payload);
    hf_assert(hf_buf_puts(&text, "}") == 0);
    judge(oracle_check_publish(hf_buf_str(&text), &accepted));
    hf_buf_release(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct hf_str text = {(const char *)data, size};
    enum oracle_verdict verdict;
    bool accepted;

    judge(oracle_check_value(text, &verdict));
    judge(oracle_check_message(text, false));
    judge(oracle_check_message(text, true));
    judge(oracle_check_publish(text, &accepted));
    publish(text);
    return 0;
}
