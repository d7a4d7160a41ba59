/*
 * outbox_db.h - the SQLite database in an outbox's file: opened, locked, checked, and its statements. What it is for is said in outbox_file.h.
 * Errors are as there; errno is set with HF_EIO and HF_ENOSPACE.
 */
#ifndef HF_CLIENT_OUTBOX_DB_H
#define HF_CLIENT_OUTBOX_DB_H

#include "base/err.h"
#include "base/str.h"

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

enum { HF_OUTBOX_DB_PAGE_BYTES = 4096 };

enum hf_outbox_statement {
    HF_OUTBOX_PUT,       /* publish_id, channel, id, payload, raw */
    HF_OUTBOX_REFUSE,    /* publish_id, code */
    HF_OUTBOX_SAVE,      /* first_id, sent_id, seq_base, attempts, ticket, boot */
    HF_OUTBOX_FORGET,    /* the publish id below which all go */
    HF_OUTBOX_TOUCH,     /* boot */
    HF_OUTBOX_STATE,     /* gives what SAVE takes, in one row */
    HF_OUTBOX_PUBLISHES, /* gives what PUT takes, in the order of publish_id */
    HF_OUTBOX_STATEMENTS,
};

struct hf_outbox_db {
    sqlite3 *db;
    sqlite3_stmt *statements[HF_OUTBOX_STATEMENTS];
    char *path; /* such that SQLite takes it for a file's name */
};

/* Open the file, or make it. *d must be all zero; it is to be closed in any case. Errors as of hf_outbox_file_open(). */
int hf_outbox_db_open(struct hf_outbox_db *d, const char *path) HF_MUST_CHECK;
void hf_outbox_db_close(struct hf_outbox_db *d);

/* What a result of SQLite's means; 0: no error. */
int hf_outbox_db_err(const struct hf_outbox_db *d, int result);
/* Run a text, or a statement, that gives no rows. */
int hf_outbox_db_execute(struct hf_outbox_db *d, const char *text);
int hf_outbox_db_run(struct hf_outbox_db *d, enum hf_outbox_statement which);
/* The one number that a text asks for. */
int hf_outbox_db_ask(struct hf_outbox_db *d, const char *text, int64_t *number);
/* Undo what a failed transaction has done, and give its error back. errno stays. */
int hf_outbox_db_undo(struct hf_outbox_db *d, int err);
/* How far the next commits go: to the kernel; or to the disk, with all that came before them. */
int hf_outbox_db_sync(struct hf_outbox_db *d, bool sync);

/* A statement's parameters, from 1. Bytes are borrowed until the statement has run; data NULL is NULL. */
void hf_outbox_db_bind(struct hf_outbox_db *d, enum hf_outbox_statement which, int at, uint64_t number);
void hf_outbox_db_bind_bytes(struct hf_outbox_db *d, enum hf_outbox_statement which, int at,
                             struct hf_str bytes);
/* A row's column, from 0; borrowed until the next row. NULL is data NULL. */
struct hf_str hf_outbox_db_bytes(sqlite3_stmt *row, int column);

#endif
