/*
 * outbox_file.h - a store for the outbox (session/store.h) in one file, by SQLite.
 *
 * The file serves one client at a time, and is locked while it does. Beside it lies PATH-wal while it is in use or after its process has died; the two
 * belong together. Both hold the session's ticket, which is a secret: they are readable by their owner only.
 *
 *   put()    is one transaction: what it has taken is with the kernel, and survives the process
 *   refuse() is one as well
 *   save()   is one transaction; it is synced where the session has changed, because two sessions' numbers must never be mixed up
 *   synced:  every save() is synced, and hf_outbox_file_flush() syncs what put() and refuse() have taken since: one sync for all
 *   not:     after a crash of the machine the file is whole, but what was done in the last moments may be undone. It knows that by the
 *            boot's id, and then gives all that is left as sent in a session that nobody knows: uncertain
 *
 * SQLite and not LMDB, because this runs in other people's processes: LMDB reads its file through a mapping, so that a file which is
 * truncated, or cannot grow on a full disk, ends the process with SIGBUS, where SQLite returns an error; its file needs no size
 * beforehand; and a second process is refused, where LMDB lets it write as well.
 */
#ifndef HF_CLIENT_OUTBOX_FILE_H
#define HF_CLIENT_OUTBOX_FILE_H

#include "base/err.h"
#include "session/store.h"

#include <stdbool.h>

enum {
    /*
     * put() leaves so much of the disk free, for what must be written to get rid of what is there: as much as the write-ahead log and
     * the file may grow by until the log is begun anew.
     */
    HF_OUTBOX_FILE_SPARE_BYTES = 8 * 1024 * 1024,
};

struct hf_outbox_file;

/*
 * Open a file, or make it. HF_EBUSY: another client has it; HF_ECORRUPT: it is damaged, or none of ours, and is left as it is; HF_ENOSPACE; HF_EIO: it
 * cannot be opened, see errno; HF_EINVAL: it is no regular file; HF_ENOMEM.
 */
int hf_outbox_file_open(const char *path, bool synced, struct hf_outbox_file **out) HF_MUST_CHECK;
/* Close it, after the session that uses it was freed. NULL is allowed. */
void hf_outbox_file_close(struct hf_outbox_file *f);

/* The store, which lives as long as the file is open. Its put(), refuse() and save() return HF_ENOSPACE, HF_EIO, HF_ECORRUPT or HF_ENOMEM. */
const struct hf_store *hf_outbox_file_store(const struct hf_outbox_file *f);
/* Synced: let the machine's crash leave what put() has taken. Else, and where nothing was put, it does nothing. */
int hf_outbox_file_flush(struct hf_outbox_file *f) HF_MUST_CHECK;

#endif
