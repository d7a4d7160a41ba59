/*
 * store.h - where an outbox is kept so that it outlives its process: what the session asks of it.
 * The session says when something must be safe, the store how: src/client/outbox_file.c is one in a file, the simulation has one in memory.
 * "Safe" is: it survives the death of the process at any later instruction. What survives the death of the machine is the store's affair.
 *
 * The order of things makes each instruction a good place to die at:
 *   _put()   before a publish is accepted: what was accepted is there, what was not is at most there unasked
 *   _save()  before a publish goes on the wire: its session's ticket, its number and that it may have been sent are known, so that the
 *            successor resumes the same session with the same numbers, and the server drops what it has ("lastSeq", PROTOCOL.md "Resume" 3)
 *   _refuse()  before the application is told of a refusal while older publishes have no answer: what was told as refused is never sent in another session
 *   _save()  some time after a publish was answered: until then the successor sends it again, or is told that it is done, and is
 *            told its result a second time
 */
#ifndef HF_SESSION_STORE_H
#define HF_SESSION_STORE_H

#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

struct hf_store_publish {
    uint64_t publish_id;
    struct hf_str channel;
    struct hf_str id; /* data NULL: none */
    struct hf_str payload;
    bool payload_raw;      /* payload is bytes, and no JSON */
    struct hf_str refusal; /* the code with which it was refused; data NULL: it was not */
};

/* Invariant: seq_base < first_id <= sent_id + 1. A new store has first_id 1 and else nothing. */
struct hf_store_state {
    uint64_t
        first_id; /* the oldest publish without an answer, or the next one's id: the store forgets all below it */
    uint64_t sent_id;     /* publishes up to here may have been sent in this session */
    uint64_t seq_base;    /* seq = publish id - seq_base */
    uint64_t attempts;    /* no attempt of this session has had a higher number */
    struct hf_str ticket; /* of the session; empty: there is none */
};

struct hf_store {
    void *ctx;
    /*
     * Give what is there: first *state, whose ticket is borrowed until the next call, then each publish in the order of its id, by take(), whose
     * strings are borrowed for the call. An error of take() ends it, and is returned. Called once, before the others.
     */
    int (*load)(void *ctx, struct hf_store_state *state,
                int (*take)(void *arg, const struct hf_store_publish *publish), void *arg);
    /* Keep one publish, whose id is one above the last's. A negative enum hf_err: it is not kept. */
    int (*put)(void *ctx, const struct hf_store_publish *publish);
    /* A publish that it has was refused, with this code; it may know that. A negative enum hf_err: it is not noted. */
    int (*refuse)(void *ctx, uint64_t publish_id, struct hf_str code);
    /* Replace the state, and forget the publishes below first_id, both or neither. A negative enum hf_err: neither. */
    int (*save)(void *ctx, const struct hf_store_state *state);
};

#endif
