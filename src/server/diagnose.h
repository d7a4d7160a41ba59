/*
 * diagnose.h - what the recent events of one session say about its network and its client, for people. Pure.
 */
#ifndef HF_SERVER_DIAGNOSE_H
#define HF_SERVER_DIAGNOSE_H

#include "base/buf.h"
#include "shm/journal.h"

#include <stddef.h>

/* What one event was, as text and static: "resumed", "cut without a word", "heartbeat missed" … */
const char *hf_diagnose_event(const struct hf_journal_event *e);

/*
 * Append a JSON array of findings, the weightiest first, each {"finding":…,"advice":…}, of one session's events, newest first. Empty where nothing is
 * out of the ordinary. Returns 0 or the buffer's error.
 */
int hf_diagnose_session(const struct hf_journal_event *events, size_t count, struct hf_buf *out);

#endif
