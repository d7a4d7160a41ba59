/*
 * notify.h - what a service manager is told: sd_notify(3) and the watchdog of sd_watchdog_enabled(3), which are a few datagrams of text. They are our own, because libsystemd is
 * not wherever the server is, and brings more than that. For the supervisor.
 *
 * The environment says whether there is somebody to tell: NOTIFY_SOCKET, WATCHDOG_USEC, WATCHDOG_PID. Without it all of this does nothing.
 */
#ifndef HF_SERVER_NOTIFY_H
#define HF_SERVER_NOTIFY_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

/* Plain. */
struct hf_notify {
    int fd; /* -1: nobody listens */
    struct sockaddr_un address;
    socklen_t address_len;
    uint64_t watchdog_ms; /* a sign of life is wanted that often; 0: never */
    uint64_t due_ms;      /* the next one */
};

/*
 * Read the environment, and take it away, so that no child takes it for its own. Returns 0, or HF_EINVAL with one line in error: a NOTIFY_SOCKET that cannot be one must be
 * told, because its manager waits in vain.
 */
int hf_notify_open(struct hf_notify *n, char *error, size_t error_cap) HF_MUST_CHECK;
void hf_notify_close(struct hf_notify *n);

/* Lines of KEY=VALUE, as printf. A manager that does not take it is no reason to stop: it is left out. */
void hf_notify_say(const struct hf_notify *n, const char *format, ...) __attribute__((format(printf, 2, 3)));

/*
 * Give the manager a descriptor to keep while the server is restarted (FDSTORE); it comes back among those of LISTEN_FDS, with this name. What it has under that name
 * already is dropped. A manager that keeps none (FileDescriptorStoreMax=0) ignores it.
 */
void hf_notify_keep(const struct hf_notify *n, int fd, const char *name);

/*
 * A sign of life, if one is due and all is well; else none, and the manager will end us when it has missed some. To be called several times in watchdog_ms.
 */
void hf_notify_alive(struct hf_notify *n, bool well, uint64_t now_ms);

#endif
