/*
 * watch_rtnetlink.c - the watch of Linux, by two netlink sockets (netlink(7), rtnetlink(7)): one hears what changes, the other asks.
 * The kernel answers within the call that asks, so that no answer is waited for. Neither needs a privilege.
 */
#include "client/rtnetlink.h"
#include "client/watch.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    READ_BYTES =
        16 *
        1024, /* an interface of many parts tells some kilobytes; a longer message is cut, and taken for a change */
    READS_MAX = 64, /* of a turn; what is left is readable in the next */
};

struct rtnetlink {
    struct hf_watch base; /* first */
    int ask_fd;
    uint32_t seq;
    uint8_t buf[READ_BYTES];
};

static struct rtnetlink *of(struct hf_watch *w)
{
    return (struct rtnetlink *)w;
}

/* One datagram of the kernel. Bytes; 0: of somebody else, to be ignored; HF_EAGAIN: none is left; HF_EBADMSG: one was lost or cut. */
static int read_datagram(struct rtnetlink *r, int fd)
{
    struct sockaddr_nl from = {.nl_pid = 0};
    struct iovec iov = {r->buf, sizeof(r->buf)};
    struct msghdr msg = {.msg_name = &from, .msg_namelen = sizeof(from), .msg_iov = &iov, .msg_iovlen = 1};
    ssize_t n = recvmsg(fd, &msg, MSG_DONTWAIT);

    if (n < 0)
        return errno == ENOBUFS ? HF_EBADMSG
                                : HF_EAGAIN; /* ENOBUFS: more came than the socket had room for */
    if (msg.msg_namelen < sizeof(from) || from.nl_pid != 0)
        return 0; /* Any process may write to this socket; only the kernel is number 0. */
    return (msg.msg_flags & MSG_TRUNC) != 0 ? HF_EBADMSG : (int)n;
}

/* --- changes --- */

static bool is_change(const struct hf_rtnl_msg *m)
{
    return m->type == HF_RTNL_LINK || m->type == HF_RTNL_ADDRESS || m->type == HF_RTNL_ROUTE ||
           m->type == HF_RTNL_LOST;
}

/* What cannot be read may have been a change. */
static bool tells_change(const uint8_t *data, size_t len)
{
    struct hf_rtnl_msg m;
    int used;

    while ((used = hf_rtnl_next(data, len, &m)) > 0) {
        if (is_change(&m))
            return true;
        data += used;
        len -= (size_t)used;
    }
    return used < 0;
}

static bool rtnetlink_process(struct hf_watch *w, uint64_t now_ms)
{
    struct rtnetlink *r = of(w);
    bool changed = false;
    int turns;

    (void)now_ms;
    for (turns = 0; turns < READS_MAX; turns++) {
        int n = read_datagram(r, w->fd);

        if (n == HF_EAGAIN)
            break;
        changed = changed || n < 0 || tells_change(r->buf, (size_t)n);
    }
    return changed;
}

/* --- questions --- */

/* Read until the answer with this number. False: there is none. */
static bool answer(struct rtnetlink *r, struct hf_rtnl_msg *m)
{
    int turns;

    for (turns = 0; turns < READS_MAX; turns++) {
        int n = read_datagram(r, r->ask_fd);

        if (n == HF_EAGAIN)
            return false;
        if (n > 0 && hf_rtnl_next(r->buf, (size_t)n, m) > 0 && m->seq == r->seq)
            return true;
    }
    return false;
}

static bool ask(struct rtnetlink *r, const uint8_t *question, size_t len, struct hf_rtnl_msg *m)
{
    return send(r->ask_fd, question, len, MSG_DONTWAIT) == (ssize_t)len && answer(r, m);
}

static bool ask_route(struct rtnetlink *r, const struct hf_place *to, struct hf_rtnl_msg *m)
{
    uint8_t question[HF_RTNL_ASK_BYTES];

    return ask(r, question, hf_rtnl_ask_route(question, &to->ip, to->interface, ++r->seq), m);
}

static bool ask_link(struct rtnetlink *r, uint32_t interface, struct hf_rtnl_msg *m)
{
    uint8_t question[HF_RTNL_ASK_BYTES];

    return ask(r, question, hf_rtnl_ask_link(question, interface, ++r->seq), m) && m->type == HF_RTNL_LINK;
}

static bool ask_neighbour(struct rtnetlink *r, const struct hf_ip *ip, uint32_t interface,
                          struct hf_rtnl_msg *m)
{
    uint8_t question[HF_RTNL_ASK_BYTES];

    return ask(r, question, hf_rtnl_ask_neighbour(question, ip, interface, ++r->seq), m) &&
           m->type == HF_RTNL_NEIGHBOUR && m->hardware_bytes > 0;
}

/* Of the errors only those that speak of the route do; that this process may not ask says nothing of the way. */
static bool says_no_way(const struct hf_rtnl_msg *m)
{
    if (m->type == HF_RTNL_ROUTE)
        return !m->leads;
    return m->type == HF_RTNL_ERROR &&
           (m->error == ENETUNREACH || m->error == EHOSTUNREACH || m->error == ENETDOWN);
}

static void rtnetlink_way(struct hf_watch *w, const struct hf_place *to, struct hf_way *way)
{
    struct rtnetlink *r = of(w);
    struct hf_rtnl_msg route, link;

    *way = (struct hf_way){.open = true};
    if (!ask_route(r, to, &route))
        return;
    if (route.type != HF_RTNL_ROUTE || !route.leads) {
        way->open = !says_no_way(&route);
        return;
    }
    way->interface = route.interface;
    way->source = route.source_ip;
    way->gateway = route.gateway_ip;
    if (!ask_link(r, route.interface, &link))
        return;
    way->open = link.running;
    way->carrier_changes = link.carrier_changes;
}

static bool rtnetlink_has_address(struct hf_watch *w, const struct hf_place *own)
{
    struct hf_rtnl_msg route;

    if (!ask_route(of(w), own, &route))
        return true;
    return route.type == HF_RTNL_ROUTE ? route.own : !says_no_way(&route);
}

/* --- the network's key --- */

/* FNV-1a of 64 bits (draft-eastlake-fnv): the key is kept in files, so it may hang on no seed. */
static uint64_t hash(uint64_t h, const void *data, size_t len)
{
    const uint8_t *bytes = data;
    size_t i;

    for (i = 0; i < len; i++)
        h = (h ^ bytes[i]) * UINT64_C(0x100000001b3);
    return h;
}

static uint64_t key_of(struct rtnetlink *r, const struct hf_rtnl_msg *route, const struct hf_rtnl_msg *link)
{
    uint64_t h = hash(UINT64_C(0xcbf29ce484222325), &link->link_type, sizeof(link->link_type));
    struct hf_rtnl_msg neighbour;

    if (route->gateway && ask_neighbour(r, &route->gateway_ip, route->interface, &neighbour))
        return hash(h, neighbour.hardware, neighbour.hardware_bytes);
    h = hash(h, route->gateway ? route->gateway_ip.bytes : route->source_ip.bytes, HF_IP_BYTES);
    return hash(h, link->name, strlen(link->name));
}

static uint64_t rtnetlink_key(struct hf_watch *w, const struct hf_place *to)
{
    struct rtnetlink *r = of(w);
    struct hf_rtnl_msg route, link;
    uint64_t key;

    if (!ask_route(r, to, &route) || route.type != HF_RTNL_ROUTE || !route.leads || route.own ||
        !ask_link(r, route.interface, &link))
        return 0;
    key = key_of(r, &route, &link);
    return key == 0 ? 1 : key;
}

/* --- opening and closing --- */

static int open_socket(uint32_t groups)
{
    struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = groups};
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);

    if (fd >= 0 && bind(fd, (const struct sockaddr *)&address, sizeof(address)) < 0) {
        (void)close(fd);
        fd = -1;
    }
    return fd;
}

static void rtnetlink_close(struct hf_watch *w)
{
    struct rtnetlink *r = of(w);

    if (w->fd >= 0)
        (void)close(w->fd);
    if (r->ask_fd >= 0)
        (void)close(r->ask_fd);
    free(r);
}

static int rtnetlink_open(struct hf_watch **out)
{
    struct rtnetlink *r = calloc(1, sizeof(*r));

    if (r == NULL)
        return HF_ENOMEM;
    r->base = (struct hf_watch){.kind = &hf_watch_rtnetlink, .deadline_ms = UINT64_MAX};
    r->base.fd = open_socket(RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR | RTMGRP_IPV4_ROUTE |
                             RTMGRP_IPV6_ROUTE);
    r->ask_fd = open_socket(0);
    if (r->base.fd < 0 || r->ask_fd < 0) {
        rtnetlink_close(&r->base);
        return HF_EIO;
    }
    *out = &r->base;
    return 0;
}

const struct hf_watch_kind hf_watch_rtnetlink = {.name = "rtnetlink",
                                                 .open = rtnetlink_open,
                                                 .close = rtnetlink_close,
                                                 .process = rtnetlink_process,
                                                 .way = rtnetlink_way,
                                                 .has_address = rtnetlink_has_address,
                                                 .key = rtnetlink_key};
