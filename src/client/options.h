/*
 * options.h - the client's options as who stands between it and the application hands them on.
 */
#ifndef HF_CLIENT_OPTIONS_H
#define HF_CLIENT_OPTIONS_H

#include "holdfast/holdfast.h"

#include <stddef.h>
#include <string.h>

/*
 * All that stands before `user`, where the callbacks begin; no user and no callback. One that is unknown here would get another's user.
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
