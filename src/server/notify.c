#include "server/notify.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SAID_MAX = 512 };

/* sd_notify(3): "The supplied path must be absolute, or begin with @, for the abstract namespace". */
static int read_socket(struct hf_notify *n, const char *path, char *error, size_t cap)
{
    size_t len = strlen(path);

    if ((path[0] != '/' && path[0] != '@') || len < 2 || len >= sizeof(n->address.sun_path)) {
        snprintf(error, cap, "NOTIFY_SOCKET is neither an absolute path nor @NAME of at most %zu bytes",
                 sizeof(n->address.sun_path) - 1);
        return HF_EINVAL;
    }
    n->address.sun_family = AF_UNIX;
    memcpy(n->address.sun_path, path, len);
    if (path[0] == '@')
        n->address.sun_path[0] = '\0';
    n->address_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
    n->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (n->fd >= 0)
        return 0;
    snprintf(error, cap, "NOTIFY_SOCKET: %s", strerror(errno));
    return HF_EINVAL;
}

/* sd_watchdog_enabled(3): WATCHDOG_PID names the process that is meant. */
static uint64_t read_watchdog_ms(void)
{
    const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");

    if (usec == NULL || (pid != NULL && strtol(pid, NULL, 10) != (long)getpid()))
        return 0;
    return strtoull(usec, NULL, 10) / 1000;
}

int hf_notify_open(struct hf_notify *n, char *error, size_t error_cap)
{
    const char *path = getenv("NOTIFY_SOCKET");
    int err = 0;

    *n = (struct hf_notify){.fd = -1};
    if (path != NULL && path[0] != '\0')
        err = read_socket(n, path, error, error_cap);
    if (n->fd >= 0)
        n->watchdog_ms = read_watchdog_ms();
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
    return err;
}

void hf_notify_close(struct hf_notify *n)
{
    if (n->fd >= 0)
        close(n->fd);
    n->fd = -1;
}

void hf_notify_say(const struct hf_notify *n, const char *format, ...)
{
    char text[SAID_MAX];
    va_list values;
    int len;

    if (n->fd < 0)
        return;
    va_start(values, format);
    len = vsnprintf(text, sizeof(text), format, values);
    va_end(values);
    if (len > 0 && (size_t)len < sizeof(text))
        (void)!sendto(n->fd, text, (size_t)len, MSG_NOSIGNAL, (const struct sockaddr *)&n->address,
                      n->address_len);
}

void hf_notify_keep(const struct hf_notify *n, int fd, const char *name)
{
    char text[SAID_MAX];
    struct iovec part = {.iov_base = text};
    union {
        struct cmsghdr head;
        char space[CMSG_SPACE(sizeof(int))];
    } control = {.space = {0}};
    struct msghdr m = {.msg_namelen = n->address_len,
                       .msg_iov = &part,
                       .msg_iovlen = 1,
                       .msg_control = &control,
                       .msg_controllen = sizeof(control)};
    struct sockaddr_un address = n->address;

    if (n->fd < 0)
        return;
    hf_notify_say(n, "FDSTOREREMOVE=1\nFDNAME=%s", name);
    m.msg_name = &address;
    part.iov_len = (size_t)snprintf(text, sizeof(text), "FDSTORE=1\nFDNAME=%s", name);
    control.head = (struct cmsghdr){
        .cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(&control.head), &fd, sizeof(fd));
    (void)!sendmsg(n->fd, &m, MSG_NOSIGNAL);
}

void hf_notify_alive(struct hf_notify *n, bool well, uint64_t now_ms)
{
    if (n->watchdog_ms == 0 || !well || now_ms < n->due_ms)
        return;
    n->due_ms = now_ms + n->watchdog_ms / 3; /* sd_watchdog_enabled(3) asks for a half. */
    hf_notify_say(n, "WATCHDOG=1");
}
