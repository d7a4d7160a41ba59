/*
 * inbox.h - where a client stands in one channel: what of it has been delivered to the application.
 * It judges each message and gap that the server sends, so that the application sees every offset once and in order, or
 * is told by a gap which ones it cannot have. It owns nothing; channel names are its owner's business.
 */
#ifndef HF_SESSION_INBOX_H
#define HF_SESSION_INBOX_H

#include "base/err.h"
#include "base/str.h"
#include "wire/message.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum hf_inbox_place {
    HF_INBOX_NOWHERE,  /* nothing is known: the server's answer will say */
    HF_INBOX_FLOATING, /* `last` n was asked: the first message tells where it begins */
    HF_INBOX_PLACED,   /* next_offset holds */
    HF_INBOX_SYNCING,  /* next_offset holds, and the server has been asked to send again from there */
};

enum hf_inbox_verdict {
    HF_INBOX_DELIVER,   /* give it to the application; the inbox has moved behind it */
    HF_INBOX_DUPLICATE, /* had already */
    HF_INBOX_SYNC,   /* offsets are missing and no gap told so: send `sync_request` for hf_inbox_position() */
    HF_INBOX_IGNORE, /* of no use: a sync_request is under way, or it belongs to no position */
};

struct hf_inbox {
    enum hf_inbox_place place;
    bool latest; /* mode `latest`: "What `latest` skips is no gap" (PROTOCOL.md, gap) */
    uint8_t epoch_len;
    char epoch[HF_LABEL_BYTES_MAX];
    uint64_t next_offset;  /* the next one to deliver, 1 … */
    uint64_t acked_offset; /* told to the server on any connection */
};

/* The beginning, and the range that a gap leaves after what the inbox has is taken off it. */
struct hf_inbox_range {
    uint64_t from, to; /* 0, 0: none (a new epoch) */
};

void hf_inbox_init(struct hf_inbox *in, bool latest);
/* Stand behind an offset of an epoch (`since`). HF_EINVAL: the epoch is longer than HF_LABEL_BYTES_MAX, or the offset above 2^53. */
int hf_inbox_place(struct hf_inbox *in, struct hf_str epoch, uint64_t offset) HF_MUST_CHECK;
/* Begin with the first message that comes (`last`). */
void hf_inbox_float(struct hf_inbox *in);

struct hf_str hf_inbox_epoch(const struct hf_inbox *in);
/* Whether there is a position to ask `since`. */
bool hf_inbox_placed(const struct hf_inbox *in);
/* The last offset that the application has, 0: none. */
uint64_t hf_inbox_position(const struct hf_inbox *in);

/* Judge a message. */
enum hf_inbox_verdict hf_inbox_data(struct hf_inbox *in, uint64_t offset);

/* Judge a gap of offsets. DELIVER: report *left, the inbox stands behind it. */
enum hf_inbox_verdict hf_inbox_gap(struct hf_inbox *in, uint64_t from, uint64_t to,
                                   struct hf_inbox_range *left);
/* Judge a gap of code `epoch`. DELIVER: report it, the inbox stands before offset 1 of the new epoch. HF_EPROTO: a bad epoch. */
int hf_inbox_new_epoch(struct hf_inbox *in, struct hf_str epoch);

/*
 * The answer to a subscribe: the channel's epoch and head. Returns HF_INBOX_DELIVER where the epoch is not the one that was
 * asked for and no gap told so: report the new epoch; HF_INBOX_IGNORE where there is nothing to report; HF_EPROTO: a bad epoch.
 */
int hf_inbox_subscribed(struct hf_inbox *in, struct hf_str epoch, uint64_t head);

/*
 * The session was resumed, and the server goes on behind `offset`. Returns as hf_inbox_subscribed(), or HF_INBOX_SYNC where
 * that is beyond what the inbox has: a gap or a new epoch was told on the lost connection only.
 */
int hf_inbox_resumed(struct hf_inbox *in, struct hf_str epoch, uint64_t offset);

/* The session is gone; a sync_request that was under way has no answer. */
void hf_inbox_lost(struct hf_inbox *in);

/* Whether there is something to acknowledge, and that it has been. */
bool hf_inbox_unacked(const struct hf_inbox *in);
void hf_inbox_acked(struct hf_inbox *in);

#endif
