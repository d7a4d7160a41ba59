/*
 * outbox.h - a client's publishes, kept until the server has answered for them.
 * A publish has two numbers: its publish id, 1, 2, 3 … for as long as the outbox lives, which the application knows, and its
 * `seq` in the present session, which is the publish id less a base that changes with the session. Items leave at the
 * front only, in order, so that both numbers stay contiguous. Where a store keeps the outbox (store.h), it lives longer than its process.
 *
 *      |  covered, settling  |  written, unanswered  |  not written on this connection  |
 *    front                            written ^                                  front + count
 *      |  sent on some connection of this session ........ sent ^        |  never sent  |
 *
 * An item that was refused behind others without an answer, and whose session then ended, is not sent in the next one: it has no number there. It is
 * known by being refused and not sent. Nothing behind it is written until it has come to the front and left, whereupon those behind it move up.
 *
 * Invariant: written <= sent or nothing of what is between is unsent; sent <= count; bytes is the sum of the items' bytes.
 * Items are single allocations, because a callback that is told of one may publish the next.
 */
#ifndef HF_SESSION_OUTBOX_H
#define HF_SESSION_OUTBOX_H

#include "base/err.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What the publisher wants to hear of one publish. The session passes it on and looks at nothing of it. */
struct hf_completion {
    void (*done)(void); /* of whatever type the application's side knows; NULL: none */
    void *user;
};

enum { HF_OUTBOX_CODE_BYTES = 14 }; /* those of PROTOCOL.md have 12 at most */

struct hf_outbox_item {
    uint64_t publish_id;
    struct hf_completion completion;
    struct hf_str channel;
    struct hf_str id; /* data NULL: none */
    struct hf_str payload;
    bool payload_raw;                /* payload is bytes, and no JSON; set by whoever added it */
    bool refused;                    /* a nack has come: never applied, so never sent in another session */
    bool told;                       /* and the application has been told, by this process */
    char code[HF_OUTBOX_CODE_BYTES]; /* the nack's; "" where it does not fit */
    char bytes[];                    /* what the three strings point to */
};

struct hf_outbox {
    struct hf_outbox_item **slots; /* a ring; slots_cap is 0 or a power of two */
    uint32_t slots_cap, head, count;
    uint32_t messages_max, window;
    size_t bytes, bytes_max;
    uint64_t first_id; /* publish id of the item at the front, or the next one's where there is none */
    uint64_t seq_base; /* seq = publish id - seq_base */
    uint32_t written;  /* items from the front that need not be written on this connection (any more) */
    uint32_t sent;     /* items from the front that may have reached the server in this session */
};

/* window: how many may be unanswered on the connection at once. */
void hf_outbox_init(struct hf_outbox *o, uint32_t messages_max, size_t bytes_max, uint32_t window);
void hf_outbox_release(struct hf_outbox *o);

/*
 * Keep a copy of a publish. id with data NULL: none. *publish_id gets its number.
 * HF_EAGAIN: full for now; HF_ETOOLARGE: it would not fit into the empty outbox; HF_ENOMEM.
 */
int hf_outbox_add(struct hf_outbox *o, struct hf_str channel, struct hf_str id, struct hf_str payload,
                  uint64_t *publish_id) HF_MUST_CHECK;

/* The item that was added last; there is one. */
struct hf_outbox_item *hf_outbox_newest(struct hf_outbox *o);
/* The newest item was not accepted after all. Nothing of it may have been written. */
void hf_outbox_take_back(struct hf_outbox *o);

/*
 * For an outbox that outlived its process: it goes on with these numbers (0 <= seq_base < first_id), and nothing in it. Then the items are
 * added, which is done whatever the bounds say, and last how many of them may have been sent. refusal: the code with which one was refused; data NULL: it was not.
 */
void hf_outbox_restore(struct hf_outbox *o, uint64_t first_id, uint64_t seq_base);
int hf_outbox_restore_item(struct hf_outbox *o, struct hf_str channel, struct hf_str id,
                           struct hf_str payload, struct hf_str refusal) HF_MUST_CHECK;
/* Note that it was refused with this code. */
void hf_outbox_refused(struct hf_outbox_item *item, struct hf_str code);
void hf_outbox_restore_sent(struct hf_outbox *o, uint32_t sent);

/*
 * The next item to write on this connection, or NULL: nothing to write, the window is full, or it is one without a number. Borrowed until it is
 * popped.
 */
const struct hf_outbox_item *hf_outbox_next(const struct hf_outbox *o);
/* It has been put into the connection's output. */
void hf_outbox_wrote(struct hf_outbox *o);
/*
 * The publish id of the last item that might be written next within so many bytes of output; that of the item before the next one where
 * there is nothing to write.
 */
uint64_t hf_outbox_ahead(const struct hf_outbox *o, size_t bytes);
/* The seq of an item in the present session. */
uint64_t hf_outbox_seq(const struct hf_outbox *o, const struct hf_outbox_item *item);
/* The highest seq that this session may have got; 0: none. */
uint64_t hf_outbox_seq_sent(const struct hf_outbox *o);
/* The item with this seq, sent and not yet popped, or NULL. It stays in the outbox. */
struct hf_outbox_item *hf_outbox_find(struct hf_outbox *o, uint64_t seq);

/*
 * Take the item at the front, if it has been sent and its seq is not above `seq`; NULL otherwise.
 * The caller owns it (free()). Called until it gives NULL, it takes all that an ack covers.
 */
struct hf_outbox_item *hf_outbox_pop(struct hf_outbox *o, uint64_t seq) HF_MUST_CHECK;
/* The same for an item at the front that has been refused: "counts as done" (PROTOCOL.md, nack). */
struct hf_outbox_item *hf_outbox_pop_refused(struct hf_outbox *o) HF_MUST_CHECK;
/* Take the item at the front, if it has no number in this session. Those behind it move up by one number: none of them has been sent. */
struct hf_outbox_item *hf_outbox_pop_unnumbered(struct hf_outbox *o) HF_MUST_CHECK;
/* The item at this index, from the front. */
const struct hf_outbox_item *hf_outbox_at(const struct hf_outbox *o, uint32_t index);

/* The connection is gone: all that is left is to be written again, for the server drops what it knows. */
void hf_outbox_disconnected(struct hf_outbox *o);
/*
 * The next connection has resumed the session: what is not above last_seq need not be written, it only waits to be popped.
 * HF_EPROTO: last_seq contradicts what the server has acknowledged, or what it was sent.
 */
int hf_outbox_resumed(struct hf_outbox *o, uint64_t last_seq) HF_MUST_CHECK;

/*
 * A new session has begun: what is left in the outbox gets the numbers 1, 2, 3 … and is written anew, but for what has been refused. The caller has popped
 * before what the old session is known to have applied, and what is uncertain.
 */
void hf_outbox_renewed(struct hf_outbox *o);

/*
 * Take the item at the front out of the numbering, its seq not having been used: the items behind it move up by one number.
 * For a publish that the server refused by ending the connection (close 1009). Nothing may be written and unanswered.
 */
struct hf_outbox_item *hf_outbox_pop_unused(struct hf_outbox *o) HF_MUST_CHECK;

/*
 * The session is over for good: take the item at the front if it is one that the server may have got (sent), or one that it cannot have got
 * (not sent); NULL where the front is of the other kind, or the outbox is empty. The caller owns it (free()).
 */
struct hf_outbox_item *hf_outbox_take(struct hf_outbox *o, bool sent) HF_MUST_CHECK;

#endif
