/*
 * options.h - the client's options as their owner keeps them, and as who stands between it and the application hands them on.
 */
#ifndef HF_CLIENT_OPTIONS_H
#define HF_CLIENT_OPTIONS_H

#include "base/err.h"
#include "holdfast/holdfast.h"

#include <stddef.h>
#include <string.h>

/* Every string of struct hf_client_options; `urls` is the only list of them. A test compares this with the header. */
#define HF_CLIENT_OPTION_STRINGS(X)                                                                          \
    X(url) X(proxy) X(dns_servers) X(ca_file) X(token) X(outbox_path) X(heartbeat_memory)

/*
 * Copy options with all their strings, which belong to *to until it is released. HF_EINVAL: urls_count without urls; HF_ENOMEM. After a failure *to
 * holds nothing, and may be released all the same.
 */
int hf_client_options_copy(struct hf_client_options *to, const struct hf_client_options *from) HF_MUST_CHECK;
/* Free the strings; what is left has none. Of zeroes it is allowed, too. */
void hf_client_options_release(struct hf_client_options *options);

/*
 * All that stands before `user`, where the callbacks begin; no user and no callback. One that is unknown here would get another's user. The strings
 * are borrowed.
 */
static inline struct hf_client_options hf_client_options_plain(const struct hf_client_options *from)
{
    struct hf_client_options options = {.user = NULL};

    memcpy(&options, from, offsetof(struct hf_client_options, user));
    return options;
}

/* Whether a thread or a pool can run a client with these: it has its own way to wait, and its own publish ids, which end with the process. */
static inline bool hf_client_options_shared_valid(const struct hf_client_options *options)
{
    return options->outbox_path == NULL && options->outbox_block_ms == 0;
}

#endif
