#include "net/listen.h"

#include "base/assert.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    BACKLOG = 4096, /* the kernel holds it to net.core.somaxconn */
    MEMBERS_MAX = 1024,
};

static int port_parse(const char *text, in_port_t *port)
{
    char *end;
    long n = strtol(text, &end, 10);

    if (end == text || *end != '\0' || n < 1 || n > 65535)
        return HF_EINVAL;
    *port = htons((in_port_t)n);
    return 0;
}

static int parse_v6(const char *text, struct sockaddr_in6 *out)
{
    const char *end = strchr(text, ']');
    char name[INET6_ADDRSTRLEN];
    size_t len = end == NULL ? sizeof(name) : (size_t)(end - text - 1);

    if (len >= sizeof(name) || end[1] != ':')
        return HF_EINVAL;
    memcpy(name, text + 1, len);
    name[len] = '\0';
    out->sin6_family = AF_INET6;
    return inet_pton(AF_INET6, name, &out->sin6_addr) == 1 ? port_parse(end + 2, &out->sin6_port) : HF_EINVAL;
}

static int parse_v4(const char *text, struct sockaddr_in *out)
{
    const char *colon = strchr(text, ':');
    char name[INET_ADDRSTRLEN];
    size_t len = colon == NULL ? sizeof(name) : (size_t)(colon - text);

    if (len >= sizeof(name))
        return HF_EINVAL;
    memcpy(name, text, len);
    name[len] = '\0';
    out->sin_family = AF_INET;
    return inet_pton(AF_INET, name, &out->sin_addr) == 1 ? port_parse(colon + 1, &out->sin_port) : HF_EINVAL;
}

int hf_address_parse(const char *text, struct sockaddr_storage *out, socklen_t *len)
{
    memset(out, 0, sizeof(*out));
    if (text[0] == '[') {
        *len = sizeof(struct sockaddr_in6);
        return parse_v6(text, (struct sockaddr_in6 *)(void *)out);
    }
    *len = sizeof(struct sockaddr_in);
    return parse_v4(text, (struct sockaddr_in *)(void *)out);
}

void hf_address_format(const struct sockaddr_storage *address, char *out, size_t cap)
{
    const struct sockaddr_in *v4 = (const void *)address;
    const struct sockaddr_in6 *v6 = (const void *)address;
    char name[INET6_ADDRSTRLEN] = "?";

    if (address->ss_family == AF_INET) {
        inet_ntop(AF_INET, &v4->sin_addr, name, sizeof(name));
        snprintf(out, cap, "%s:%u", name, ntohs(v4->sin_port));
    } else if (address->ss_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr)) {
        inet_ntop(AF_INET, &v6->sin6_addr.s6_addr[12], name, sizeof(name));
        snprintf(out, cap, "%s:%u", name, ntohs(v6->sin6_port));
    } else if (address->ss_family == AF_INET6) {
        inet_ntop(AF_INET6, &v6->sin6_addr, name, sizeof(name));
        snprintf(out, cap, "[%s]:%u", name, ntohs(v6->sin6_port));
    } else {
        snprintf(out, cap, "unknown");
    }
}

static int open_one(const struct sockaddr_storage *address, socklen_t len, int reuse_port)
{
    int fd = socket(address->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1, saved;

    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (reuse_port)
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
    if (address->ss_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
    if (bind(fd, (const struct sockaddr *)address, len) == 0 && listen(fd, BACKLOG) == 0)
        return fd;
    saved = errno;
    close(fd);
    errno = saved;
    return -1;
}

int hf_listen_many(const struct sockaddr_storage *address, socklen_t len, int *fds, size_t count)
{
    int probe = open_one(address, len, 0);

    if (probe < 0)
        return HF_EIO;
    close(probe);
    for (size_t i = 0; i < count; i++) {
        fds[i] = open_one(address, len, 1);
        if (fds[i] < 0) {
            int saved = errno;

            while (i > 0)
                close(fds[--i]);
            errno = saved;
            return HF_EIO;
        }
    }
    return 0;
}

/* ---- Steering ---- */

static_assert(2 + 2 * MEMBERS_MAX <= BPF_MAXINSNS, "the program fits");

/* In the kernel, for each SYN: draw a number below `count`, and return the member that it stands for. */
int hf_listen_steer(int fd, const uint32_t *members, uint32_t count)
{
    struct sock_filter code[2 + 2 * MEMBERS_MAX];
    struct sock_fprog program = {.filter = code};
    int unused = 0;

    hf_assert(count <= MEMBERS_MAX);
    if (count == 0) /* ENOENT: there was no program. */
        return setsockopt(fd, SOL_SOCKET, SO_DETACH_REUSEPORT_BPF, &unused, sizeof(unused)) == 0 ||
                       errno == ENOENT
                   ? 0
                   : HF_EIO;
    code[program.len++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, SKF_AD_OFF + SKF_AD_RANDOM);
    code[program.len++] = (struct sock_filter)BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, count);
    for (uint32_t i = 0; i < count; i++) {
        /* Not equal: over the return to the next comparison; behind the last one there is none. */
        code[program.len++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, i, 0, i + 1 < count);
        code[program.len++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, members[i]);
    }
    return setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof(program)) == 0 ? 0 : HF_EIO;
}
