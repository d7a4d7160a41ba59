#include "client/outbox_file.h"

#include "client/outbox_db.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum {
    LOOK_EVERY_BYTES = 64 * 1024, /* written by publishes between two looks at the free space */
    BOOT_BYTES = 40,
    TICKET_BYTES = 1024, /* more than a session keeps */
    CODE_BYTES = 40,     /* of a refusal; a longer one is not kept */
};

struct hf_outbox_file {
    struct hf_store store;
    struct hf_outbox_db db;
    bool synced;
    bool unsynced_puts;        /* synced: there are some, or refusals */
    size_t put_since_look;     /* bytes since the free space was looked at */
    uint64_t first_id;         /* as saved */
    uint64_t seq_base;         /* as saved: another one, or another ticket, is another session */
    bool loaded;               /* what is in it is known, and so it may be written to */
    char boot[BOOT_BYTES];     /* this boot's id */
    char ticket[TICKET_BYTES]; /* as saved */
    size_t ticket_len;
};

/* --- the store --- */

/* The boot that the file depends on: none where all that matters is on the disk. */
static struct hf_str mark(const struct hf_outbox_file *f)
{
    return hf_str_from(f->synced ? "" : f->boot);
}

static int write_state(struct hf_outbox_file *f, const struct hf_store_state *state)
{
    int err = hf_outbox_db_execute(&f->db, "BEGIN IMMEDIATE");

    hf_outbox_db_bind(&f->db, HF_OUTBOX_SAVE, 1, state->first_id);
    hf_outbox_db_bind(&f->db, HF_OUTBOX_SAVE, 2, state->sent_id);
    hf_outbox_db_bind(&f->db, HF_OUTBOX_SAVE, 3, state->seq_base);
    hf_outbox_db_bind(&f->db, HF_OUTBOX_SAVE, 4, state->attempts);
    hf_outbox_db_bind_bytes(&f->db, HF_OUTBOX_SAVE, 5, state->ticket.len > 0 ? state->ticket : HF_STR(""));
    hf_outbox_db_bind_bytes(&f->db, HF_OUTBOX_SAVE, 6, mark(f));
    if (err == 0)
        err = hf_outbox_db_run(&f->db, HF_OUTBOX_SAVE);
    if (err == 0 && state->first_id != f->first_id) {
        hf_outbox_db_bind(&f->db, HF_OUTBOX_FORGET, 1, state->first_id);
        err = hf_outbox_db_run(&f->db, HF_OUTBOX_FORGET);
    }
    if (err == 0)
        err = hf_outbox_db_execute(&f->db, "COMMIT");
    return err < 0 ? hf_outbox_db_undo(&f->db, err) : 0;
}

static void note_saved(struct hf_outbox_file *f, const struct hf_store_state *state)
{
    f->first_id = state->first_id;
    f->seq_base = state->seq_base;
    f->ticket_len = state->ticket.len;
    if (state->ticket.len > 0)
        memmove(f->ticket, state->ticket.data, state->ticket.len); /* It may be our own, just loaded. */
}

static int save_synced(struct hf_outbox_file *f, const struct hf_store_state *state)
{
    int err = hf_outbox_db_sync(&f->db, true);
    int back;

    if (err == 0)
        err = write_state(f, state);
    back = hf_outbox_db_sync(&f->db, false);
    if (err == 0) {
        note_saved(f, state);
        f->unsynced_puts = false;
    }
    return err < 0 ? err : back;
}

/* What the file says of its boot. */
enum boot { BOOT_AS_MARKED, BOOT_THIS_OR_NONE, BOOT_ANOTHER };

static enum boot judge_boot(const struct hf_outbox_file *f, struct hf_str boot)
{
    if (hf_str_eq(boot, mark(f)))
        return BOOT_AS_MARKED;
    return boot.len == 0 || hf_str_eq(boot, hf_str_from(f->boot)) ? BOOT_THIS_OR_NONE : BOOT_ANOTHER;
}

static int load_state(struct hf_outbox_file *f, struct hf_store_state *state, enum boot *boot)
{
    sqlite3_stmt *s = f->db.statements[HF_OUTBOX_STATE];
    int rc = sqlite3_step(s);
    int err = rc == SQLITE_DONE ? HF_ECORRUPT : hf_outbox_db_err(&f->db, rc);
    struct hf_str ticket = {NULL, 0};

    if (err == 0)
        ticket = hf_outbox_db_bytes(s, 4);
    if (err == 0 && ticket.len > sizeof(f->ticket))
        err = HF_ECORRUPT;
    if (err == 0) {
        state->first_id = f->first_id = (uint64_t)sqlite3_column_int64(s, 0);
        state->sent_id = (uint64_t)sqlite3_column_int64(s, 1);
        state->seq_base = f->seq_base = (uint64_t)sqlite3_column_int64(s, 2);
        state->attempts = (uint64_t)sqlite3_column_int64(s, 3);
        f->ticket_len = ticket.len;
        if (ticket.len > 0)
            memcpy(f->ticket, ticket.data, ticket.len);
        state->ticket = (struct hf_str){f->ticket, f->ticket_len};
        *boot = judge_boot(f, hf_outbox_db_bytes(s, 5));
    }
    (void)sqlite3_reset(s);
    return err;
}

/* The machine crashed: which session was the last, and what was sent in it, is not known for sure. */
static int forget_session(struct hf_outbox_file *f, struct hf_store_state *state)
{
    int64_t last = 0;
    int err = hf_outbox_db_ask(&f->db, "SELECT max(publish_id) FROM publish", &last);

    state->ticket.len = 0;
    if ((uint64_t)last >= state->first_id)
        state->sent_id = (uint64_t)last;
    return err;
}

static int load(void *ctx, struct hf_store_state *state,
                int (*take)(void *arg, const struct hf_store_publish *publish), void *arg)
{
    struct hf_outbox_file *f = ctx;
    sqlite3_stmt *s = f->db.statements[HF_OUTBOX_PUBLISHES];
    enum boot boot = BOOT_AS_MARKED;
    int rc = SQLITE_OK;
    int err = load_state(f, state, &boot);

    if (err == 0 && boot == BOOT_ANOTHER)
        err = forget_session(f, state);
    while (err == 0 && (rc = sqlite3_step(s)) == SQLITE_ROW) {
        const struct hf_store_publish p = {.publish_id = (uint64_t)sqlite3_column_int64(s, 0),
                                           .channel = hf_outbox_db_bytes(s, 1),
                                           .id = hf_outbox_db_bytes(s, 2),
                                           .payload = hf_outbox_db_bytes(s, 3),
                                           .payload_raw = sqlite3_column_int(s, 4) != 0,
                                           .refusal = hf_outbox_db_bytes(s, 5)};

        err = take(arg, &p);
    }
    if (err == 0)
        err = hf_outbox_db_err(&f->db, rc);
    (void)sqlite3_reset(s);
    f->loaded = err == 0;
    return err == 0 && boot != BOOT_AS_MARKED ? save_synced(f, state) : err;
}

static bool has_free(const struct hf_outbox_file *f, uint64_t bytes)
{
    struct statvfs v;

    return statvfs(f->db.path, &v) < 0 || (uint64_t)v.f_bavail * v.f_frsize >= bytes;
}

/* Put the log's content into the file and give its room back; what is free within the file counts as well. */
static bool makes_free(struct hf_outbox_file *f, uint64_t bytes)
{
    int64_t pages = 0;
    uint64_t within;

    if (hf_outbox_db_execute(&f->db, "PRAGMA wal_checkpoint(TRUNCATE)") < 0 ||
        hf_outbox_db_ask(&f->db, "PRAGMA freelist_count", &pages) < 0)
        return false;
    within = (uint64_t)pages * HF_OUTBOX_DB_PAGE_BYTES;
    return has_free(f, bytes > within ? bytes - within : 0);
}

/* Whether there is room for so many bytes, and for what is needed to get rid of them again. */
static int look_for_room(struct hf_outbox_file *f, size_t bytes)
{
    uint64_t wanted = HF_OUTBOX_FILE_SPARE_BYTES + 2 * (uint64_t)bytes;

    f->put_since_look += bytes + HF_OUTBOX_DB_PAGE_BYTES; /* The smallest one writes a page. */
    if (f->put_since_look < LOOK_EVERY_BYTES)
        return 0;
    if (!has_free(f, wanted) && !makes_free(f, wanted)) {
        errno = ENOSPC;
        return HF_ENOSPACE; /* The next one looks again. */
    }
    f->put_since_look = 0;
    return 0;
}

static int put(void *ctx, const struct hf_store_publish *p)
{
    struct hf_outbox_file *f = ctx;
    int err = look_for_room(f, p->channel.len + p->id.len + p->payload.len);

    if (err < 0)
        return err;
    hf_outbox_db_bind(&f->db, HF_OUTBOX_PUT, 1, p->publish_id);
    hf_outbox_db_bind_bytes(&f->db, HF_OUTBOX_PUT, 2, p->channel);
    hf_outbox_db_bind_bytes(&f->db, HF_OUTBOX_PUT, 3, p->id);
    hf_outbox_db_bind_bytes(&f->db, HF_OUTBOX_PUT, 4, p->payload);
    hf_outbox_db_bind(&f->db, HF_OUTBOX_PUT, 5, p->payload_raw);
    err = hf_outbox_db_run(&f->db, HF_OUTBOX_PUT);
    if (err < 0)
        return hf_outbox_db_undo(&f->db, err);
    f->unsynced_puts = f->synced;
    return 0;
}

static int refuse(void *ctx, uint64_t publish_id, struct hf_str code)
{
    struct hf_outbox_file *f = ctx;
    int err;

    hf_outbox_db_bind(&f->db, HF_OUTBOX_REFUSE, 1, publish_id);
    hf_outbox_db_bind_bytes(&f->db, HF_OUTBOX_REFUSE, 2,
                            code.data == NULL || code.len > CODE_BYTES ? HF_STR("") : code);
    err = hf_outbox_db_run(&f->db, HF_OUTBOX_REFUSE);
    if (err < 0)
        return hf_outbox_db_undo(&f->db, err);
    f->unsynced_puts = f->synced;
    return 0;
}

static int save(void *ctx, const struct hf_store_state *state)
{
    struct hf_outbox_file *f = ctx;
    bool renewed = state->seq_base != f->seq_base ||
                   !hf_str_eq(state->ticket, (struct hf_str){f->ticket, f->ticket_len});
    int err;

    if (state->ticket.len > sizeof(f->ticket))
        return HF_ETOOLARGE;
    if (renewed || f->synced)
        return save_synced(f, state);
    err = write_state(f, state);
    if (err == 0)
        note_saved(f, state);
    return err;
}

const struct hf_store *hf_outbox_file_store(const struct hf_outbox_file *f)
{
    return &f->store;
}

/* A write that syncs all that was written before it. */
static int sync_with_mark(struct hf_outbox_file *f, struct hf_str boot)
{
    int err = hf_outbox_db_sync(&f->db, true);
    int back;

    hf_outbox_db_bind_bytes(&f->db, HF_OUTBOX_TOUCH, 1, boot);
    if (err == 0)
        err = hf_outbox_db_run(&f->db, HF_OUTBOX_TOUCH);
    back = hf_outbox_db_sync(&f->db, false);
    if (err == 0)
        f->unsynced_puts = false;
    return err < 0 ? hf_outbox_db_undo(&f->db, err) : back;
}

int hf_outbox_file_flush(struct hf_outbox_file *f)
{
    return f->unsynced_puts ? sync_with_mark(f, mark(f)) : 0;
}

static void read_boot(struct hf_outbox_file *f)
{
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? 0 : read(fd, f->boot, sizeof(f->boot) - 1);

    if (fd >= 0)
        (void)close(fd);
    f->boot[got < 0 ? 0 : got] = '\0';
    f->boot[strcspn(f->boot, "\n")] = '\0';
    if (f->boot[0] == '\0')
        memcpy(f->boot, "unknown", sizeof("unknown")); /* All boots are one then. */
}

int hf_outbox_file_open(const char *path, bool synced, struct hf_outbox_file **out)
{
    struct hf_outbox_file *f = calloc(1, sizeof(*f));
    int saved, err;

    if (f == NULL)
        return HF_ENOMEM;
    f->store = (struct hf_store){.ctx = f, .load = load, .put = put, .refuse = refuse, .save = save};
    f->synced = synced;
    f->put_since_look = LOOK_EVERY_BYTES;
    read_boot(f);
    err = hf_outbox_db_open(&f->db, path);
    if (err < 0)
        goto done;
    *out = f;
    f = NULL; /* The caller owns it now. */
done:
    saved = errno;
    hf_outbox_file_close(f);
    errno = saved;
    return err;
}

void hf_outbox_file_close(struct hf_outbox_file *f)
{
    if (f == NULL)
        return;
    if (f->loaded && !f->synced)
        (void)sync_with_mark(f, HF_STR("")); /* If that fails, it depends on the boot as before. */
    hf_outbox_db_close(&f->db);
    free(f);
}
