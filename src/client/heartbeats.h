/*
 * heartbeats.h - the heartbeat policy of a client, as its options choose it, and the file in which that remembers networks.
 * The file is a cache: what cannot be read is as good as nothing, and what cannot be written is learnt again. Neither ends a client; both are
 * told, once.
 */
#ifndef HF_CLIENT_HEARTBEATS_H
#define HF_CLIENT_HEARTBEATS_H

#include "base/err.h"
#include "holdfast/holdfast.h"
#include "session/heartbeat_adaptive.h"
#include "session/heartbeat_classic.h"

#include <stdint.h>

enum {
    HF_HEARTBEATS_SAVE_MS = 10 * 1000
}; /* between two writes: while a network is new, it changes after each probe */

struct hf_heartbeats {
    struct hf_heartbeat_policy *policy; /* one of the two below; NULL: the heartbeat is fixed */
    struct hf_heartbeat_adaptive adaptive;
    struct hf_heartbeat_classic classic;
    struct hf_heartbeat_memory memory;
    char *path; /* of the file; NULL: none */
    uint64_t save_at_ms;
    char problem[320]; /* what is wrong with the file, with what to do, until it is told; empty: nothing */
    bool told;         /* that it cannot be written */
};

/*
 * Choose the policy and read the file. HF_EINVAL: the options make no sense; HF_ENOMEM. A file that cannot be used leaves `problem`.
 * Policy and memory lie in *h, which must not move.
 */
int hf_heartbeats_init(struct hf_heartbeats *h, const struct hf_client_options *options, uint64_t seed,
                       uint64_t now_ms) HF_MUST_CHECK;
/* Write what has changed, and free all. Of zeroes it is allowed, too. */
void hf_heartbeats_release(struct hf_heartbeats *h, uint64_t now_ms);
/* HF_EINVAL, HF_ESTATE as of hf_client_set_tolerance(). */
int hf_heartbeats_set_tolerance(struct hf_heartbeats *h, uint64_t tolerance_ms) HF_MUST_CHECK;
/* Write the file, if something has changed and the last time is long enough ago. The file is there in its old form or in its new one. */
void hf_heartbeats_save(struct hf_heartbeats *h, uint64_t now_ms);

#endif
