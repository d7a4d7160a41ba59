/*
 * journal.h - what happened to sessions lately, for whoever asks why one was disconnected: of each worker a ring with its newest events.
 *
 * A ring is written by its worker alone, and by its successor, who goes on where it stopped; anybody reads it meanwhile. An event is a fixed number of
 * words, the first of them a sequence number that is 0 while the others are written: a reader that finds the same number before and after has read a whole
 * event (H.-J. Boehm, "Can seqlocks get along with programming language memory models?", MSPC 2012). A worker that dies while it writes leaves one event that
 * nobody reads. An event costs two cache lines and no system call; it is written where a connection begins or ends, never for a message.
 */
#ifndef HF_SHM_JOURNAL_H
#define HF_SHM_JOURNAL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    HF_JOURNAL_EVENTS = 4096, /* of each worker; a power of two */
    HF_JOURNAL_ADDRESS_BYTES = 48,
};

enum hf_journal_kind {
    HF_JOURNAL_STARTED = 1, /* a session began; address, heartbeat_ms */
    HF_JOURNAL_RESUMED,     /* a connection took it over; address, heartbeat_ms, attempt */
    HF_JOURNAL_CLOSED,      /* its connection is gone; code, by, silence_ms, heartbeat_ms, waiting_bytes */
    HF_JOURNAL_HEARTBEAT,   /* the client asked for another interval; heartbeat_ms */
    HF_JOURNAL_GAP,         /* messages could not be had; missed */
    HF_JOURNAL_ENDED,       /* by `bye` or the backend; code */
    HF_JOURNAL_EXPIRED,     /* nobody came back in time */
};

/* Who ended a connection. */
enum hf_journal_by {
    HF_JOURNAL_BY_SERVER,
    HF_JOURNAL_BY_PEER, /* with a close frame */
    HF_JOURNAL_BY_PATH, /* without a word: the socket broke, or its end came */
};

/* What the words of an event mean; plain, as it is written and read. */
struct hf_journal_event {
    uint64_t wall_ms;
    uint64_t session; /* its number */
    enum hf_journal_kind kind;
    enum hf_journal_by by;
    uint16_t code;                          /* close code */
    uint32_t silence_ms;                    /* since the last byte from the client */
    uint32_t heartbeat_ms;                  /* the interval in force */
    uint64_t amount;                        /* attempt, missed messages, or bytes that waited to be taken */
    char address[HF_JOURNAL_ADDRESS_BYTES]; /* with NUL; "" where there is none, cut where it is longer */
};

enum { HF_JOURNAL_WORDS = 12 };

struct hf_journal_shm {
    _Alignas(64) _Atomic uint64_t written; /* how many ever were, over all processes of the slot */
    _Alignas(64) _Atomic uint64_t words[HF_JOURNAL_EVENTS][HF_JOURNAL_WORDS];
};

size_t hf_journal_bytes(void);

/* The ring's worker. */
void hf_journal_put(struct hf_journal_shm *j, const struct hf_journal_event *event);

/*
 * Anybody: the newest event that is older than *cursor (UINT64_MAX at first), which it becomes. Returns false where the ring has no more. What is
 * being written or overwritten meanwhile is passed over.
 */
bool hf_journal_older(const struct hf_journal_shm *j, uint64_t *cursor, struct hf_journal_event *out);

#endif
