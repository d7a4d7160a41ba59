/*
 * cursor.h - where one subscriber stands in a channel: the rules of PROTOCOL.md for subscribe, ack, sync_request and resume.
 * A cursor owns no message and knows no log: it is two offsets; what the channel has comes in as arguments. The third, up to which all has arrived, has its only
 * place in the session's record (struct hf_session_sub), since it outlives the connection.
 * Invariant: acked <= sent_offset; acked never goes back but by a new subscribe; next_offset >= 1.
 */
#ifndef HF_CHANNEL_CURSOR_H
#define HF_CHANNEL_CURSOR_H

#include <stdbool.h>
#include <stdint.h>

struct hf_cursor {
    uint64_t next_offset; /* the next message to send */
    uint64_t sent_offset; /* the highest that this connection was sent, or was told not to wait for */
};

enum hf_start {
    HF_START_HEAD,   /* from the head on */
    HF_START_SINCE,  /* from behind an offset */
    HF_START_LAST,   /* the newest n */
    HF_START_LATEST, /* the newest value at once, then the newest only */
};

/* What a subscriber asks for, and what the channel has. */
struct hf_start_request {
    enum hf_start from;
    bool same_epoch; /* SINCE: the epoch given is the channel's */
    uint64_t offset; /* SINCE */
    uint64_t last;   /* LAST: n */
    uint64_t head;   /* the channel's newest offset, 0: none yet */
    uint64_t oldest; /* the oldest that history still gives; head + 1: nothing */
};

/* What the subscriber has to be told. */
struct hf_start_outcome {
    bool recovered;            /* all since the asked position follows */
    bool new_epoch;            /* tell gap "epoch" first: the channel was begun anew */
    uint64_t gap_from, gap_to; /* then tell gap "evicted" of these; gap_from 0: none */
};

/* All before next_offset then counts as acknowledged. */
struct hf_start_outcome hf_cursor_start(struct hf_cursor *c, const struct hf_start_request *r);
/* A resume goes on behind the last acknowledged offset; `latest` with the newest value. */
void hf_cursor_resume(struct hf_cursor *c, uint64_t acked_offset, bool latest, uint64_t head);
/*
 * "One above what this connection was sent is ignored": returns false for such a one; else *acked (0: nothing yet) is raised to it. An older one than the last is
 * no fault.
 */
bool hf_cursor_ack(const struct hf_cursor *c, uint64_t offset, uint64_t *acked);
/* sync_request: send again what follows offset; never beyond what is next anyway. */
void hf_cursor_sync(struct hf_cursor *c, uint64_t offset);
/* A message with this offset has been handed to the connection. */
void hf_cursor_sent(struct hf_cursor *c, uint64_t offset);

#endif
