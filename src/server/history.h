/*
 * history.h - what a channel's history gives: bounded by messages, bytes and age, whichever is reached first. The log usually holds more;
 * that is for live sessions that come back, not for those who arrive.
 */
#ifndef HF_SERVER_HISTORY_H
#define HF_SERVER_HISTORY_H

#include "base/buf.h"
#include "server/service.h"
#include "shm/channels.h"

#include <stdint.h>

struct hf_hub;

/* The oldest offset that the history of c, known as cid, gives now: head + 1 where there is nothing. O(log n). */
uint64_t hf_history_oldest(struct hf_hub *hub, const struct hf_channel *c, hf_cid cid);

/* The channel that a query is about. cid 0: there is none, epoch "" and offset 0. */
struct hf_history {
    const struct hf_channel *channel;
    hf_cid cid;
    char epoch[HF_EPOCH_MAX];
    uint64_t offset; /* the head */
};

void hf_history_find(struct hf_hub *hub, struct hf_str channel, struct hf_history *h);
/* Append the messages as the list of a message `history`, in that encoding. A fault is the buffer's. */
void hf_history_put(struct hf_hub *hub, const struct hf_history_query *q, const struct hf_history *h,
                    enum hf_encoding encoding, struct hf_buf *out);

#endif
