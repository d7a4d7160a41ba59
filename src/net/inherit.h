/*
 * inherit.h - listening sockets that whoever started us has opened: sd_listen_fds(3), "socket activation". They are the descriptors from 3 on; the environment tells how
 * many (LISTEN_FDS), for which process (LISTEN_PID), and what they are called (LISTEN_FDNAMES).
 */
#ifndef HF_NET_INHERIT_H
#define HF_NET_INHERIT_H

#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

enum {
    HF_INHERIT_FIRST = 3, /* SD_LISTEN_FDS_START */
    HF_INHERIT_MAX = 32,
    HF_INHERIT_NAME_MAX = 256, /* with its NUL: systemd's own limit is 255 */
    HF_INHERIT_TEXT_MAX = 128,
};

struct hf_inherited_socket {
    int fd;
    char name[HF_INHERIT_NAME_MAX];    /* "" where none is told */
    char address[HF_INHERIT_TEXT_MAX]; /* as the configuration writes it: ADDR:PORT or unix:PATH */
    bool taken;
};

/* What is kept over a restart comes back with the sockets, by this name: sd_notify(3), FDSTORE. */
#define HF_INHERIT_MEMORY "holdfast-memory"

struct hf_inherited {
    int memory_fd; /* -1: none */
    struct hf_inherited_socket sockets[HF_INHERIT_MAX];
    size_t count;
};

/*
 * Read the environment, and take it away. The sockets become non-blocking and close-on-exec. Returns 0 (with count 0 where nothing was handed over, or to another process), or
 * HF_EINVAL with one line in error: too many, or one is no listening stream socket.
 */
int hf_inherit(struct hf_inherited *in, char *error, size_t error_cap) HF_MUST_CHECK;

/* The socket on that address, which is taken then; NULL: there is none. */
struct hf_inherited_socket *hf_inherited_find(struct hf_inherited *in, const char *address);

#endif
