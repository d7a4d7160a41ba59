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

#endif
