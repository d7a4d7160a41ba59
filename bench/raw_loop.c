/*
 * raw_loop.c - `raw_loop echo|fanout PORT`: what the kernel alone takes, as the limit to measure against: an epoll loop on 127.0.0.1 that moves the
 * same bytes as a server would, without WebSocket, protocol, sessions or checks.
 *
 * echo:   one recv() and one send() for each event.
 * fanout: what any connection sends goes to all the others. All that has come in one turn of the loop is sent in one send() for each of them.
 *
 * A socket that takes no more is waited for: this is no server.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVENTS = 512, BUFFER = 4 << 20, READ_MAX = 64 * 1024, DESCRIPTORS = 1 << 20 };

struct loop {
    int epoll, listener;
    bool echoes;
    int members[DESCRIPTORS]; /* the connections, dense */
    int place[DESCRIPTORS];   /* by descriptor: its place in members[] */
    unsigned members_count;
    size_t due; /* bytes in buffer */
    int from;   /* who sent them last */
    char buffer[BUFFER];
};

static struct loop loop;

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static void watch(int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

    if (epoll_ctl(loop.epoll, EPOLL_CTL_ADD, fd, &event) < 0)
        die("epoll_ctl");
}

static void listen_on(unsigned port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    const int on = 1;

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    loop.listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (loop.listener < 0 || setsockopt(loop.listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
        bind(loop.listener, (struct sockaddr *)&address, sizeof(address)) < 0 ||
        listen(loop.listener, 4096) < 0)
        die("listen");
    watch(loop.listener);
}

static void accept_all(void)
{
    const int on = 1;
    int fd;

    while ((fd = accept4(loop.listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        if (fd >= DESCRIPTORS)
            die("too many connections");
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        loop.place[fd] = (int)loop.members_count;
        loop.members[loop.members_count++] = fd;
        watch(fd);
    }
}

static void forget(int fd)
{
    int last = loop.members[--loop.members_count];

    loop.members[loop.place[fd]] = last;
    loop.place[last] = loop.place[fd];
    (void)close(fd);
}

static void send_all(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t n = send(fd, data, len, MSG_NOSIGNAL);
        struct pollfd room = {.fd = fd, .events = POLLOUT};

        if (n < 0 && errno == EAGAIN)
            (void)poll(&room, 1, 1000);
        else if (n < 0)
            return; /* It is gone; its own event will tell. */
        else {
            data += n;
            len -= (size_t)n;
        }
    }
}

static void receive(int fd)
{
    size_t room = BUFFER - loop.due;
    ssize_t n = recv(fd, loop.buffer + loop.due, room < READ_MAX ? room : READ_MAX, 0);

    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0) {
        forget(fd);
    } else if (loop.echoes) {
        send_all(fd, loop.buffer, (size_t)n);
    } else {
        loop.due += (size_t)n;
        loop.from = fd;
    }
}

/* What has come in this turn, to all but who sent it: there is one publisher. */
static void send_due(void)
{
    if (loop.due == 0)
        return;
    for (unsigned i = 0; i < loop.members_count; i++)
        if (loop.members[i] != loop.from)
            send_all(loop.members[i], loop.buffer, loop.due);
    loop.due = 0;
}

int main(int argc, char **argv)
{
    static struct epoll_event events[EVENTS];
    struct rlimit limit;

    if (argc != 3 || (strcmp(argv[1], "echo") != 0 && strcmp(argv[1], "fanout") != 0)) {
        fprintf(stderr, "usage: raw_loop echo|fanout PORT\n");
        return 2;
    }
    loop.echoes = strcmp(argv[1], "echo") == 0;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
    loop.epoll = epoll_create1(0);
    listen_on((unsigned)strtoul(argv[2], NULL, 10));
    printf("ready\n");
    fflush(stdout);
    for (;;) {
        int count = epoll_wait(loop.epoll, events, EVENTS, -1);

        for (int i = 0; i < count; i++) {
            if (events[i].data.fd == loop.listener)
                accept_all();
            else
                receive(events[i].data.fd);
        }
        send_due();
    }
}
