/*
 * heartbeat_memory.h - what a client has learnt about the networks that it was in: how much silence each bears.
 * A small table, and its form as a file. Pure: src/client/heartbeat_file.h reads and writes files.
 *
 * The file is text, a line a network, so that a person can read it and delete a line:
 *
 *   holdfast-heartbeat 1
 *   KEY LO HI PROBED SEEN
 *
 * KEY in 16 hexadecimal digits, LO and HI in milliseconds, the times in Unix seconds. Of hostile or damaged input nothing is taken: a
 * wrong number here would cost connections or battery for a week.
 */
#ifndef HF_SESSION_HEARTBEAT_MEMORY_H
#define HF_SESSION_HEARTBEAT_MEMORY_H

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    HF_HEARTBEAT_NETWORKS_MAX =
        32, /* home, work, some trains and cafes; when full, the one longest unseen goes. A guess */
    HF_HEARTBEAT_GAP_MS_MAX =
        2 * 3600 * 1000, /* RFC 5382 REQ-5 lets a network forget after 2 h 4 min: none needs more */
    HF_HEARTBEAT_FORGET_MS =
        7 * 24 * 3600 * 1000, /* a network not seen for that long may be another one by now */
    HF_HEARTBEAT_FILE_BYTES_MAX = 4096,
};

/*
 * One network. Times are of the session's clock and may lie before its zero.
 * Invariant: lo_ms <= HF_HEARTBEAT_GAP_MS_MAX, and hi_ms is 0 or above lo_ms.
 */
struct hf_heartbeat_network {
    uint64_t key;         /* 0: not known */
    uint64_t lo_ms;       /* the longest silence that a connection has survived; 0: none yet */
    uint64_t hi_ms;       /* the shortest that has killed one; 0: none yet */
    int64_t probed_at_ms; /* when the last probe ended */
    int64_t seen_at_ms;   /* when something was last learnt, or confirmed */
};

/* No key is 0, none is there twice. */
struct hf_heartbeat_memory {
    struct hf_heartbeat_network networks[HF_HEARTBEAT_NETWORKS_MAX];
    unsigned count;
    bool changed; /* since this was last set to false: worth writing down */
};

void hf_heartbeat_memory_init(struct hf_heartbeat_memory *m);
/* What is known of a network, borrowed until the next change; NULL: nothing, or it was last seen too long ago. */
const struct hf_heartbeat_network *hf_heartbeat_memory_find(const struct hf_heartbeat_memory *m, uint64_t key,
                                                            uint64_t now_ms);
/* Remember it; its key is not 0. Sets `changed` if it says more than that the network was seen again within the hour. */
void hf_heartbeat_memory_put(struct hf_heartbeat_memory *m, const struct hf_heartbeat_network *network);
/* Forget it. */
void hf_heartbeat_memory_drop(struct hf_heartbeat_memory *m, uint64_t key);

/* Append the file's text. unix_ms is the wall clock at now_ms. HF_ENOMEM, HF_ELIMIT. */
int hf_heartbeat_memory_encode(const struct hf_heartbeat_memory *m, uint64_t now_ms, uint64_t unix_ms,
                               struct hf_buf *out) HF_MUST_CHECK;
/*
 * Replace all by what the text says. What is too old is left out; a time in the future (the wall clock was set) counts as now.
 * HF_EBADMSG: it is no such file, *reason says why, and nothing is remembered. `changed` is false either way.
 */
int hf_heartbeat_memory_decode(struct hf_heartbeat_memory *m, struct hf_str text, uint64_t now_ms,
                               uint64_t unix_ms, const char **reason) HF_MUST_CHECK;

#endif
