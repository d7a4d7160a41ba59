/*
 * supervisor_impl.h - what the files of the supervisor share; included by them alone.
 *   supervisor.c              its life and its loop: signals, and what the service manager hears
 *   supervisor_start.c        all that must be good before a worker is started
 *   supervisor_inherit.c      the service manager, and the sockets that it hands over
 *   supervisor_sockets.c      the listening sockets of all slots
 *   supervisor_privileges.c   who the server is
 *   supervisor_memory.c       the shared memory
 *   supervisor_workers.c      the workers' processes
 *   supervisor_drain.c        the server stops
 *   supervisor_rolling.c      the workers are replaced one by one
 *   supervisor_reload.c       what is read anew while the server runs
 * All of it runs in the supervisor's one thread.
 */
#ifndef HF_SERVER_SUPERVISOR_IMPL_H
#define HF_SERVER_SUPERVISOR_IMPL_H

#include "base/err.h"
#include "net/inherit.h"
#include "net/loop.h"
#include "net/tls.h"
#include "server/auth.h"
#include "server/capacity.h"
#include "server/config.h"
#include "server/config_reload.h"
#include "server/hooks_tls.h"
#include "server/notify.h"
#include "server/privileges.h"
#include "server/rolling.h"
#include "server/supervisor.h"
#include "shm/region.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct hf_supervisor_slot {
    pid_t pid;                         /* 0: none */
    int listen_fds[2 * HF_LISTEN_MAX]; /* those without TLS, then those with */
    int api_fd;                        /* -1: none */
    uint64_t started_ms, start_at_ms;
    uint32_t failures; /* deaths in a row without a stable life between them */
    bool condemned;    /* the demo has killed it: that is no failure */
};

/* Times in ms are those of hf_mono_ms(). */
struct hf_supervisor {
    const struct hf_config *config; /* &planned */
    struct hf_config planned;       /* with the number of workers, and the addresses of inherited sockets */
    struct hf_config given;         /* as it was read; a reload is compared with it */
    const struct hf_config_source *source;
    struct hf_capacity capacity;
    const struct hf_api_ops *api; /* NULL: no API */
    hf_supervisor_ready *ready;   /* NULL: none */
    struct hf_region region;
    void *memory;
    size_t memory_bytes;
    struct hf_supervisor_slot slots[HF_WORKERS_MAX];
    int sockets_first; /* the first of the slots' sockets, which follow each other */
    uint32_t sockets_count;
    bool sockets_scattered;        /* they do not: whoever started us had closed some low descriptors */
    struct hf_inherited inherited; /* sockets that the service manager has opened */
    bool shared_sockets;           /* clients come by some of those */
    struct hf_notify notify;
    struct hf_privileges privileges;
    int wake_fds[HF_WORKERS_MAX];
    const char *unix_path; /* of the API's socket, once it is ours; NULL: none */
    int signal_fd;
    struct hf_tls *tls; /* what new workers inherit; NULL: no certificate is configured */
    uint8_t tls_secret[HF_TICKET_SECRET_BYTES];
    struct hf_auth *auth;          /* likewise; NULL: no key is configured */
    struct hf_hooks_tls hooks_tls; /* likewise */
    bool ready_said, draining;
    uint64_t drain_end_ms; /* when what is left of the workers is killed */
    uint64_t drain_count;  /* connections at its beginning */
    uint64_t progress_ms;  /* when it is told next */
    uint64_t status_ms;    /* when the service manager is told next how many connections there are */
    struct hf_rolling rolling;
    bool rolling_wanted; /* it was asked for before all workers served */
};

/* Now, in ms of the monotonic clock. */
static inline uint64_t hf_mono_ms(void)
{
    return hf_now_read().mono_ms;
}

/* ---- supervisor_start.c ---- */
/* Everything from the service manager to the signals. Returns 0, or the process's exit status: then it has been said why. */
int hf_supervisor_start(struct hf_supervisor *s) HF_MUST_CHECK;
/* One line on standard error: what cannot be done, the configuration's key ("": none), and why. Returns the process's exit status, 2. */
int hf_cannot_start(const char *what, const char *key, const char *why);

/* ---- The steps of the start: each returns as hf_supervisor_start(). ---- */
/* supervisor_inherit.c: open the way to the service manager, and take what it hands over. */
int hf_supervisor_meet_manager(struct hf_supervisor *s) HF_MUST_CHECK;
/* Sockets that are named for a key of the configuration take the place of its addresses, and must go together with the rest as those did. */
int hf_supervisor_take_named_sockets(struct hf_supervisor *s) HF_MUST_CHECK;
/* supervisor_privileges.c: look up process.user, and try the filter of system calls where it must work. */
int hf_supervisor_find_privileges(struct hf_supervisor *s) HF_MUST_CHECK;
/* The API's socket belongs to whom we become, as if he had made it. */
int hf_supervisor_drop_privileges(struct hf_supervisor *s) HF_MUST_CHECK;
/* supervisor_sockets.c: bind every address for every slot. */
int hf_supervisor_open_sockets(struct hf_supervisor *s) HF_MUST_CHECK;
/* supervisor_memory.c: adopt what the last server has left, or make it anew. */
int hf_supervisor_map_memory(struct hf_supervisor *s) HF_MUST_CHECK;

/* ---- supervisor_inherit.c ---- */
/*
 * The same socket for every slot, into fds. Returns 1 with the descriptors, 0 where none was handed over for this address, or -1 with errno.
 */
int hf_supervisor_share_inherited(struct hf_supervisor *s, const char *address, int *fds) HF_MUST_CHECK;
/* One that nobody accepts from would hold clients for ever. Returns as hf_supervisor_start(). */
int hf_supervisor_check_all_taken(const struct hf_supervisor *s) HF_MUST_CHECK;

/* ---- supervisor_sockets.c ---- */
/* Sockets that were just opened, of each slot one: see hf_supervisor_close_sockets_of_others(). */
void hf_supervisor_note_sockets(struct hf_supervisor *s, const int *fds);
/* How many each slot has for clients. */
size_t hf_supervisor_listener_count(const struct hf_supervisor *s);
/* In a new worker: keep those of its own slot alone. */
void hf_supervisor_close_sockets_of_others(const struct hf_supervisor *s, uint32_t slot);

/* ---- supervisor_workers.c ---- */
/* Start those whose time has come, unless the server stops. */
void hf_supervisor_start_due(struct hf_supervisor *s);
/* Those that have ended: clear up behind them, and say when they start again. */
void hf_supervisor_reap(struct hf_supervisor *s);
/* Kill all. */
void hf_supervisor_kill_workers(struct hf_supervisor *s);
/* Kill those whose loop does not turn. */
void hf_supervisor_kill_stuck(struct hf_supervisor *s);
/* Kill those that the demo asks for. */
void hf_supervisor_kill_condemned(struct hf_supervisor *s);
/* They look at their slots at once. */
void hf_supervisor_wake(struct hf_supervisor *s, uint32_t slot);
void hf_supervisor_wake_all(struct hf_supervisor *s);
/* Workers that serve; that have a process. */
uint32_t hf_supervisor_count_running(const struct hf_supervisor *s);
uint32_t hf_supervisor_count_alive(const struct hf_supervisor *s);
/* Connections of all workers. */
uint64_t hf_supervisor_count_connections(const struct hf_supervisor *s);

/* ---- supervisor_drain.c ---- */
/* The server is to stop, by this signal: sets draining, which is not undone. */
void hf_supervisor_begin_drain(struct hf_supervisor *s, int signal_number);
/* While it drains: say how far it is, once a second. */
void hf_supervisor_tell_progress(struct hf_supervisor *s);

/* ---- supervisor_rolling.c ---- */
/* Replace all workers: now, or once all serve. Not done, with a line in the log, where the server stops or one is under way. */
void hf_supervisor_begin_rolling(struct hf_supervisor *s);
/* The next step. Returns whether there may be more to do at once. */
bool hf_supervisor_roll(struct hf_supervisor *s);

/* ---- supervisor_reload.c ---- */
/*
 * Read the configuration, the certificates and the keys anew. Whatever is wrong with one of them changes nothing, and is logged; what is good is told to the workers, and those that
 * start later inherit it. The service manager hears of the beginning and the end.
 */
void hf_supervisor_reload(struct hf_supervisor *s);

#endif
