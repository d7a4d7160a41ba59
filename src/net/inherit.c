#include "net/inherit.h"

#include "net/listen.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

static int complain(char *error, size_t cap, int fd, const char *what)
{
    snprintf(error, cap, "LISTEN_FDS: descriptor %d %s", fd, what);
    return HF_EINVAL;
}

static bool is_listening_stream(int fd)
{
    int type = 0, listens = 0;
    socklen_t len = sizeof(int);

    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0 || type != SOCK_STREAM)
        return false;
    len = sizeof(int);
    return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) == 0 && listens != 0;
}

static bool describe(struct hf_inherited_socket *s)
{
    struct sockaddr_storage address = {0};
    const struct sockaddr_un *local = (const void *)&address;
    socklen_t len = sizeof(address);

    if (getsockname(s->fd, (struct sockaddr *)&address, &len) < 0)
        return false;
    if (address.ss_family == AF_UNIX)
        return local->sun_path[0] == '/' &&
               (size_t)snprintf(s->address, sizeof(s->address), "unix:%.*s", (int)sizeof(local->sun_path),
                                local->sun_path) < sizeof(s->address);
    hf_address_format(&address, s->address, sizeof(s->address));
    return address.ss_family == AF_INET || address.ss_family == AF_INET6;
}

/* The next of the names, which colons separate. */
static void take_name(const char **names, char out[HF_INHERIT_NAME_MAX])
{
    size_t len = strcspn(*names, ":");

    snprintf(out, HF_INHERIT_NAME_MAX, "%.*s", (int)len, *names);
    *names += len + ((*names)[len] == ':');
}

static int take(struct hf_inherited_socket *s, char *error, size_t cap)
{
    if (!is_listening_stream(s->fd))
        return complain(error, cap, s->fd, "is no listening stream socket (ListenStream=, Accept=no)");
    if (!describe(s))
        return complain(error, cap, s->fd, "is of a family that is not served");
    if (fcntl(s->fd, F_SETFD, FD_CLOEXEC) < 0 ||
        fcntl(s->fd, F_SETFL, fcntl(s->fd, F_GETFL) | O_NONBLOCK) < 0)
        return complain(error, cap, s->fd, strerror(errno));
    return 0;
}

static int take_all(struct hf_inherited *in, long count, const char *names, char *error, size_t cap)
{
    if (count < 0 || count > HF_INHERIT_MAX) {
        snprintf(error, cap, "LISTEN_FDS: %ld sockets are handed over, and at most %d are taken", count,
                 HF_INHERIT_MAX);
        return HF_EINVAL;
    }
    for (long i = 0; i < count; i++) {
        struct hf_inherited_socket *s = &in->sockets[in->count];
        int err;

        s->fd = HF_INHERIT_FIRST + (int)i;
        take_name(&names, s->name);
        if (strcmp(s->name, HF_INHERIT_MEMORY) == 0) {
            in->memory_fd = s->fd;
            (void)fcntl(s->fd, F_SETFD, FD_CLOEXEC);
            continue;
        }
        err = take(s, error, cap);
        if (err < 0)
            return err;
        in->count++;
    }
    return 0;
}

int hf_inherit(struct hf_inherited *in, char *error, size_t error_cap)
{
    const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS"), *names = getenv("LISTEN_FDNAMES");
    int err = 0;

    *in = (struct hf_inherited){.memory_fd = -1};
    if (pid != NULL && count != NULL && strtol(pid, NULL, 10) == (long)getpid())
        err = take_all(in, strtol(count, NULL, 10), names != NULL ? names : "", error, error_cap);
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
    return err;
}

struct hf_inherited_socket *hf_inherited_find(struct hf_inherited *in, const char *address)
{
    for (size_t i = 0; i < in->count; i++) {
        struct hf_inherited_socket *s = &in->sockets[i];

        if (s->taken || strcmp(s->address, address) != 0)
            continue;
        s->taken = true;
        return s;
    }
    return NULL;
}
