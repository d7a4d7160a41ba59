/*
 * fuzz_rtnetlink.c - messages of rtnetlink, of which any may be malformed. All that is read must lie within the input; each message takes some of it,
 * and what it says keeps to the bounds of the header.
 */
#include "base/assert.h"
#include "client/rtnetlink.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_message(const struct hf_rtnl_msg *m)
{
    hf_assert(m->hardware_bytes <= HF_RTNL_HARDWARE_BYTES);
    hf_assert(strnlen(m->name, sizeof(m->name)) < sizeof(m->name));
    hf_assert(m->error >= 0 && (m->error == 0 || m->type == HF_RTNL_ERROR));
    hf_assert(m->leads || !m->own);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct hf_rtnl_msg m;
    int used;

    while ((used = hf_rtnl_next(data, size, &m)) > 0) {
        hf_assert((size_t)used <= size && used >= 16);
        check_message(&m);
        data += used;
        size -= (size_t)used;
    }
    hf_assert(used == (size == 0 ? 0 : HF_EBADMSG));
    return 0;
}
