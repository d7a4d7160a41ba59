/*
 * watch_poll.c - the watch of a machine of which only sockets are known. An unconnected UDP socket that is connected sends nothing, but the machine
 * must find a route for it, and an address: so it tells whether there is a way. One that is bound tells whether an address is ours.
 */
#include "client/watch.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { DISCARD_PORT = 9 }; /* RFC 863; nothing is sent to it */

static socklen_t address_of(const struct hf_place *p, uint16_t port, struct sockaddr_storage *out)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 v6 = {
        .sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_scope_id = p->interface};

    memset(out, 0, sizeof(*out));
    if (hf_ip_is_v4(&p->ip)) {
        memcpy(&v4.sin_addr, p->ip.bytes + HF_IP_BYTES - 4, 4);
        memcpy(out, &v4, sizeof(v4));
        return sizeof(v4);
    }
    memcpy(&v6.sin6_addr, p->ip.bytes, HF_IP_BYTES);
    memcpy(out, &v6, sizeof(v6));
    return sizeof(v6);
}

/* Only what says that there is no route counts; that there is no descriptor left, or no IPv6, says nothing of the way. */
static bool says_no_way(int error)
{
    return error == ENETUNREACH || error == EHOSTUNREACH || error == ENETDOWN || error == EADDRNOTAVAIL;
}

static void poll_way(struct hf_watch *w, const struct hf_place *to, struct hf_way *way)
{
    struct sockaddr_storage address, own;
    socklen_t len = address_of(to, DISCARD_PORT, &address), own_len = sizeof(own);
    int fd = socket(address.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct hf_place source;

    (void)w;
    *way = (struct hf_way){.open = true};
    if (fd < 0)
        return;
    if (connect(fd, (const struct sockaddr *)&address, len) < 0)
        way->open = !says_no_way(errno);
    else if (getsockname(fd, (struct sockaddr *)&own, &own_len) == 0 && hf_place_of(&own, &source))
        way->source = source.ip;
    (void)close(fd);
}

static bool poll_has_address(struct hf_watch *w, const struct hf_place *own)
{
    struct sockaddr_storage address;
    socklen_t len = address_of(own, 0, &address);
    int fd = socket(address.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool has;

    (void)w;
    if (fd < 0)
        return true;
    has = bind(fd, (const struct sockaddr *)&address, len) == 0 || errno != EADDRNOTAVAIL;
    (void)close(fd);
    return has;
}

static bool poll_process(struct hf_watch *w, uint64_t now_ms)
{
    if (now_ms < w->deadline_ms)
        return false;
    w->deadline_ms = now_ms + HF_WATCH_POLL_MS;
    return true;
}

static uint64_t poll_key(struct hf_watch *w, const struct hf_place *to)
{
    (void)w;
    (void)to;
    return 0;
}

static void poll_close(struct hf_watch *w)
{
    free(w);
}

static int poll_open(struct hf_watch **out)
{
    struct hf_watch *w = calloc(1, sizeof(*w));

    if (w == NULL)
        return HF_ENOMEM;
    *w = (struct hf_watch){.kind = &hf_watch_poll, .fd = -1};
    *out = w;
    return 0;
}

const struct hf_watch_kind hf_watch_poll = {.name = "poll",
                                            .open = poll_open,
                                            .close = poll_close,
                                            .process = poll_process,
                                            .way = poll_way,
                                            .has_address = poll_has_address,
                                            .key = poll_key};
