/*
 * hook_answer.h - what the application's backend answers to a hook, read strictly. docs/hooks.md "Answers".
 * Pure. Unknown members are passed over; what is missing, of a wrong kind or too long makes the whole answer invalid: nothing is guessed.
 */
#ifndef HF_SERVER_HOOK_ANSWER_H
#define HF_SERVER_HOOK_ANSWER_H

#include "base/err.h"
#include "base/str.h"
#include "server/config.h"
#include "wire/message.h"

#include <stdbool.h>

/* Strings lie in the body that was read. */
struct hf_hook_answer {
    bool allowed;      /* CONNECT, SUBSCRIBE, PUBLISH: `allow`; CALL: there is a payload */
    enum hf_code code; /* refused: `code`; where it is not one of PROTOCOL.md's (of a call: anything) NONE */
    struct hf_str label;   /* refused: `code` as it was written, else the default's name */
    struct hf_str reason;  /* refused: never empty */
    struct hf_str granted; /* for hooks.c: the channels as records; empty where there are none */
    struct hf_str payload; /* CALL: raw JSON value */
    struct hf_str user, info, claims,
        channels; /* CONNECT: data NULL where absent; info any raw JSON value, claims a raw object, channels a raw array */
};

/*
 * Read an answer. body is written to: strings are unescaped in place. Returns 0, or HF_EBADMSG with *why, static English. A DISCONNECT's answer is never read.
 */
int hf_hook_answer_read(struct hf_hook_answer *out, enum hf_hook hook, int status, struct hf_str body,
                        const char **why) HF_MUST_CHECK;

/* The next of `channels`, unescaped in place; start with *rest = channels. Returns 1, 0 at the end, or HF_EBADMSG where it names no channel. */
int hf_hook_answer_channel(struct hf_str *rest, struct hf_str *channel) HF_MUST_CHECK;

#endif
