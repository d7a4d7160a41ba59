#include "client/outbox_db.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    APPLICATION_ID = 0x48464f42, /* "HFOB", in the file's header: it is ours */
    FORMAT = 1,
    /* The log is copied into the file, and begun anew, when it has so many pages: a third of HF_OUTBOX_FILE_SPARE_BYTES. */
    LOG_PAGES = 700,
};

static const char *const sql[HF_OUTBOX_STATEMENTS] = {
    [HF_OUTBOX_PUT] = ("INSERT INTO publish (publish_id, channel, id, payload, raw)"
                       " VALUES (?1, ?2, ?3, ?4, ?5)"),
    [HF_OUTBOX_REFUSE] = "UPDATE publish SET refusal = ?2 WHERE publish_id = ?1 AND refusal IS NULL",
    [HF_OUTBOX_SAVE] =
        ("UPDATE session SET first_id = ?1, sent_id = ?2, seq_base = ?3, attempts = ?4, ticket = ?5,"
         " boot = ?6"),
    [HF_OUTBOX_FORGET] = "DELETE FROM publish WHERE publish_id < ?1",
    [HF_OUTBOX_TOUCH] = "UPDATE session SET boot = ?1",
    [HF_OUTBOX_STATE] = "SELECT first_id, sent_id, seq_base, attempts, ticket, boot FROM session",
    [HF_OUTBOX_PUBLISHES] = ("SELECT publish_id, channel, id, payload, raw, refusal FROM publish"
                             " ORDER BY publish_id"),
};

/* --- errors --- */

static int no_space_or_io(int code)
{
    errno = code;
    return code == ENOSPC || code == EDQUOT ? HF_ENOSPACE : HF_EIO;
}

/* What the system said when a call of SQLite's failed. */
static int system_err(const struct hf_outbox_db *d)
{
    return no_space_or_io(sqlite3_system_errno(d->db) != 0 ? sqlite3_system_errno(d->db) : EIO);
}

/* Whether the file and its log are there, and ours to read and write. */
static bool can_open_both(const struct hf_outbox_db *d)
{
    char *log = sqlite3_mprintf("%s-wal", d->path);
    int fd = log == NULL || access(d->path, R_OK | W_OK) < 0 ? -1 : open(log, O_RDWR | O_CLOEXEC);

    sqlite3_free(log);
    if (fd < 0)
        return false;
    (void)close(fd);
    return true;
}

int hf_outbox_db_err(const struct hf_outbox_db *d, int rc)
{
    switch (rc & 0xff) { /* without the extension */
    case SQLITE_OK:
    case SQLITE_ROW:
    case SQLITE_DONE:
        return 0;
    case SQLITE_NOMEM:
        return HF_ENOMEM;
    case SQLITE_FULL:
        errno = ENOSPC;
        return HF_ENOSPACE;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return HF_EBUSY;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
    case SQLITE_ERROR: /* A table or a column is not there. */
    case SQLITE_MISMATCH:
    case SQLITE_CONSTRAINT:
        return HF_ECORRUPT;
    case SQLITE_READONLY: /* The header names a later format than SQLite knows, unless the file system is to blame. */
        return access(d->path, W_OK) == 0 ? HF_ECORRUPT : no_space_or_io(errno);
    case SQLITE_TOOBIG:
        return HF_ETOOLARGE;
    case SQLITE_CANTOPEN: /* The log's header names a version that SQLite does not know, unless the system is to blame. */
        return can_open_both(d) ? HF_ECORRUPT : system_err(d);
    default:
        return system_err(d);
    }
}

/* --- statements --- */

int hf_outbox_db_execute(struct hf_outbox_db *d, const char *text)
{
    return hf_outbox_db_err(d, sqlite3_exec(d->db, text, NULL, NULL, NULL));
}

/* Run one that returns no rows. */
int hf_outbox_db_run(struct hf_outbox_db *d, enum hf_outbox_statement which)
{
    int err = hf_outbox_db_err(d, sqlite3_step(d->statements[which]));

    (void)sqlite3_reset(d->statements[which]); /* It tells the same error once more. */
    return err;
}

void hf_outbox_db_bind(struct hf_outbox_db *d, enum hf_outbox_statement which, int at, uint64_t number)
{
    (void)sqlite3_bind_int64(d->statements[which], at, (sqlite3_int64)number); /* There is that parameter. */
}

/* Borrowed until the statement has run. A text that is not there is NULL, an empty one is not. */
void hf_outbox_db_bind_bytes(struct hf_outbox_db *d, enum hf_outbox_statement which, int at,
                             struct hf_str bytes)
{
    if (bytes.data == NULL)
        (void)sqlite3_bind_null(d->statements[which], at);
    else
        (void)sqlite3_bind_blob64(d->statements[which], at, bytes.data, bytes.len, SQLITE_STATIC);
}

struct hf_str hf_outbox_db_bytes(sqlite3_stmt *s, int column)
{
    const char *data = sqlite3_column_blob(s, column);
    size_t len = (size_t)sqlite3_column_bytes(s, column);

    if (data == NULL && sqlite3_column_type(s, column) != SQLITE_NULL)
        data = "";
    return (struct hf_str){data, len};
}

/* The one number that a text asks for. */
int hf_outbox_db_ask(struct hf_outbox_db *d, const char *text, int64_t *number)
{
    sqlite3_stmt *s = NULL;
    int rc = sqlite3_prepare_v2(d->db, text, -1, &s, NULL);

    if (rc == SQLITE_OK)
        rc = sqlite3_step(s);
    if (rc == SQLITE_ROW)
        *number = sqlite3_column_int64(s, 0);
    (void)sqlite3_finalize(s);
    return hf_outbox_db_err(d, rc);
}

static int ask_word(struct hf_outbox_db *d, const char *text, const char *wanted)
{
    sqlite3_stmt *s = NULL;
    int rc = sqlite3_prepare_v2(d->db, text, -1, &s, NULL);
    int err;

    if (rc == SQLITE_OK)
        rc = sqlite3_step(s);
    err = hf_outbox_db_err(d, rc);
    if (rc == SQLITE_ROW && strcmp((const char *)sqlite3_column_text(s, 0), wanted) != 0)
        err = HF_ECORRUPT;
    (void)sqlite3_finalize(s);
    return err;
}

int hf_outbox_db_undo(struct hf_outbox_db *d, int err)
{
    int saved = errno;

    if (sqlite3_get_autocommit(d->db) == 0)
        (void)hf_outbox_db_execute(d, "ROLLBACK");
    errno = saved;
    return err;
}

/* How far the next commits go: to the kernel, or to the disk with all that came before them. */
int hf_outbox_db_sync(struct hf_outbox_db *d, bool sync)
{
    return hf_outbox_db_execute(d, sync ? "PRAGMA synchronous = FULL" : "PRAGMA synchronous = NORMAL");
}

/* --- opening and closing --- */

static int has_content(const char *path, const char *suffix, bool *has)
{
    struct stat file;
    char *name;

    if (asprintf(&name, "%s%s", path, suffix) < 0)
        return HF_ENOMEM;
    *has = stat(name, &file) == 0 && file.st_size > 0;
    free(name);
    return 0;
}

/*
 * What SQLite does not look at: a file of no length is a new one, but beside a log it has lost its content, and the log would be dropped as well; and a file
 * ends with a whole page, unless a process died in writing it, which left a log or a journal to repair it from.
 */
static int check_length(const char *path, const struct stat *file)
{
    bool log = false, journal = false;
    int err = has_content(path, "-wal", &log);

    if (err == 0)
        err = has_content(path, "-journal", &journal);
    if (err < 0)
        return err;
    if (!S_ISREG(file->st_mode))
        return HF_EINVAL;
    if (file->st_size == 0)
        return log ? HF_ECORRUPT : 0;
    return file->st_size % HF_OUTBOX_DB_PAGE_BYTES != 0 && !log && !journal ? HF_ECORRUPT : 0;
}

/*
 * Make the file where it is not there, for its owner only. An existing one is not opened here: closing it would take away the lock of another client of
 * this process (fcntl(2), "record locks are … released when the process closes any file descriptor").
 */
static int make_file(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOCTTY, 0600);
    struct stat file;

    if (fd >= 0) {
        (void)close(fd);
        return 0;
    }
    if (errno != EEXIST || stat(path, &file) < 0)
        return no_space_or_io(errno);
    return check_length(path, &file);
}

/* To SQLite a name may mean something else than a file, unless it begins with a dot or a slash. */
static char *plain_path(const char *path)
{
    char *plain;

    return asprintf(&plain, "%s%s", path[0] == '/' ? "" : "./", path) < 0 ? NULL : plain;
}

static int mark_format(struct hf_outbox_db *d)
{
    char text[64];

    (void)snprintf(text, sizeof(text), "PRAGMA user_version = %d", FORMAT);
    return hf_outbox_db_execute(d, text);
}

static int create_tables(struct hf_outbox_db *d)
{
    char text[64];
    int err;

    (void)snprintf(text, sizeof(text), "PRAGMA application_id = %d", APPLICATION_ID);
    err = hf_outbox_db_execute(d, text);
    if (err == 0)
        err = mark_format(d);
    if (err < 0)
        return err;
    return hf_outbox_db_execute(
        d, "CREATE TABLE publish (publish_id INTEGER PRIMARY KEY, channel BLOB NOT NULL, id BLOB,"
           " payload BLOB NOT NULL, raw INTEGER NOT NULL, refusal BLOB);"
           "CREATE TABLE session (only_one INTEGER PRIMARY KEY CHECK (only_one = 1),"
           " first_id INTEGER NOT NULL, sent_id INTEGER NOT NULL, seq_base INTEGER NOT NULL,"
           " attempts INTEGER NOT NULL, ticket BLOB NOT NULL, boot BLOB NOT NULL);"
           "INSERT INTO session VALUES (1, 1, 0, 0, 0, x'', x'')");
}

static int check_ours(struct hf_outbox_db *d)
{
    int64_t application = 0, format = 0;
    int err = hf_outbox_db_ask(d, "PRAGMA application_id", &application);

    if (err == 0)
        err = hf_outbox_db_ask(d, "PRAGMA user_version", &format);
    if (err == 0 && (application != APPLICATION_ID || format != FORMAT))
        err = HF_ECORRUPT;
    return err;
}

/*
 * Lock the file and look whose it is. A file that is not ours is not written to: it is not even tidied up when it is closed.
 * The first transaction is of the rollback kind, so that a process that dies in it leaves a file of no length.
 */
static int take_file(struct hf_outbox_db *d)
{
    struct stat file;
    int err;

    (void)sqlite3_db_config(d->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    (void)sqlite3_db_config(d->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    (void)sqlite3_db_config(d->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    (void)sqlite3_db_config(d->db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
    err =
        hf_outbox_db_execute(d, "PRAGMA page_size = 4096; PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE");
    if (err == 0 && stat(d->path, &file) < 0)
        err = no_space_or_io(errno);
    if (err == 0)
        err = file.st_size == 0 ? create_tables(d) : check_ours(d);
    if (err == 0)
        err = hf_outbox_db_execute(d, "COMMIT");
    return err < 0 ? hf_outbox_db_undo(d, err) : 0;
}

static int prepare_statements(struct hf_outbox_db *d)
{
    int rc = SQLITE_OK;
    unsigned i;

    for (i = 0; i < HF_OUTBOX_STATEMENTS && rc == SQLITE_OK; i++)
        rc = sqlite3_prepare_v3(d->db, sql[i], -1, SQLITE_PREPARE_PERSISTENT, &d->statements[i], NULL);
    return hf_outbox_db_err(d, rc);
}

/* Whether all pages are what they must be: a damaged file is seen now, and not when its messages have half been sent. */
static int make_ready(struct hf_outbox_db *d)
{
    char text[64];
    int err = ask_word(d, "PRAGMA journal_mode = WAL", "wal");

    if (err == 0)
        err = ask_word(d, "PRAGMA quick_check(1)", "ok");
    (void)snprintf(text, sizeof(text), "PRAGMA wal_autocheckpoint = %d", LOG_PAGES);
    if (err == 0)
        err = hf_outbox_db_execute(d, text);
    if (err == 0)
        err = hf_outbox_db_sync(d, false);
    if (err == 0)
        err = prepare_statements(d);
    if (err == 0)
        (void)sqlite3_db_config(d->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 0, NULL);
    return err;
}

int hf_outbox_db_open(struct hf_outbox_db *d, const char *path)
{
    int err;

    d->path = plain_path(path);
    if (d->path == NULL)
        return HF_ENOMEM;
    err = make_file(d->path);
    if (err == 0)
        err = hf_outbox_db_err(
            d, sqlite3_open_v2(d->path, &d->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL));
    if (err == 0)
        err = take_file(d);
    return err < 0 ? err : make_ready(d);
}

void hf_outbox_db_close(struct hf_outbox_db *d)
{
    unsigned i;

    for (i = 0; i < HF_OUTBOX_STATEMENTS; i++)
        (void)sqlite3_finalize(d->statements[i]);
    (void)sqlite3_close(d->db); /* No statement is left that could keep it open. */
    free(d->path);
}
