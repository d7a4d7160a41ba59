/*
 * run.h - messages of one channel laid end to end, once, for all subscribers that stand at the same place.
 *
 * In the log a record's header stands before each message, so a connection that is due many messages would need as many pieces in its gathered write, and the kernel
 * would walk them for every subscriber. Most subscribers of a channel stand at the same offset, so the bytes are brought together for the first of them and the others
 * send the same memory. A run that holds one message in JSON is no copy: it points into the log. Each encoding has runs of its own.
 *
 * A run is good for the turn in which it was made: its segments are pinned as long.
 */
#ifndef HF_SERVER_RUN_H
#define HF_SERVER_RUN_H

#include "shm/channels.h"
#include "shm/log.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hf_hub;
struct hf_topic;

enum {
    HF_RUNS = 8,             /* kept at a time, for as many channels or places, in either encoding; a guess */
    HF_RUN_MESSAGES = 128,   /* of one run */
    HF_RUN_BYTES = 32 * 1024 /* likewise; a longer message is sent from the log as ever */
};

struct hf_run {
    hf_cid cid;     /* of the channel; 0: none */
    bool lent;      /* to the write that is being gathered: it stays as it is */
    bool binary;    /* the encoding of its messages */
    uint64_t from;  /* offset of its first message */
    uint32_t count; /* of messages, each offset above the one before by one */
    hf_ref last;    /* the last message's record */
    const uint8_t *data;
    uint32_t end[HF_RUN_MESSAGES];         /* behind each message, in bytes from data */
    uint64_t received_us[HF_RUN_MESSAGES]; /* of each message: see struct hf_record */
    uint8_t *copy;                         /* heap, HF_RUN_BYTES, made on first use */
};

struct hf_runs {
    struct hf_run run[HF_RUNS];
    uint32_t next; /* the one to be replaced, unless it is lent */
};

/*
 * The messages behind `from`, as many as fit and are there. `before` is the record before it, or 0. Returns NULL where the message is not in the log, or too long,
 * or memory is short, or all runs are lent: then the subscriber is served from the log alone. It is lent until hf_runs_take_back().
 */
const struct hf_run *hf_run_get(struct hf_hub *hub, struct hf_topic *t, bool binary, uint64_t from,
                                hf_ref before);
/* The write that they were lent to is over. */
void hf_runs_take_back(struct hf_runs *runs);
/* At the end of a turn. */
void hf_runs_forget(struct hf_runs *runs);
void hf_runs_release(struct hf_runs *runs);

#endif
