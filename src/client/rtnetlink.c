#include "client/rtnetlink.h"

#include "base/assert.h"

#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <string.h>

/* An attribute, and what lies behind it. */
struct attribute {
    uint16_t type;
    const uint8_t *data;
    size_t len;
};

/* RTA_ALIGN() and NLMSG_ALIGN() without their signed arithmetic. */
static size_t padded(size_t len)
{
    return (len + 3) & ~(size_t)3;
}

/* --- reading --- */

/*
 * Take the first attribute of *data. Returns 1, 0 at the end, or HF_EBADMSG. Fewer bytes than a header has are padding; the last attribute may
 * go without its own.
 */
static int next_attribute(const uint8_t **data, size_t *len, struct attribute *a)
{
    struct rtattr head;
    size_t whole;

    if (*len < sizeof(head))
        return 0;
    memcpy(&head, *data, sizeof(head));
    if (head.rta_len < sizeof(head) || head.rta_len > *len)
        return HF_EBADMSG;
    a->type = head.rta_type & NLA_TYPE_MASK;
    a->data = *data + sizeof(head);
    a->len = head.rta_len - sizeof(head);
    whole = padded(head.rta_len);
    if (whole > *len)
        whole = *len;
    *data += whole;
    *len -= whole;
    return 1;
}

static int read_u32(const struct attribute *a, uint32_t *out)
{
    if (a->len < sizeof(*out))
        return HF_EBADMSG;
    memcpy(out, a->data, sizeof(*out));
    return 0;
}

static int read_ip(const uint8_t *data, size_t len, struct hf_ip *out)
{
    if (len != 4 && len != HF_IP_BYTES)
        return HF_EBADMSG;
    if (len == 4)
        *out = hf_ip_v4(data);
    else
        memcpy(out->bytes, data, HF_IP_BYTES);
    return 0;
}

static int read_name(const struct attribute *a, char out[HF_RTNL_NAME_BYTES])
{
    size_t len = strnlen((const char *)a->data, a->len);

    if (len == 0 || len >= HF_RTNL_NAME_BYTES)
        return HF_EBADMSG;
    memcpy(out, a->data, len);
    out[len] = '\0';
    return 0;
}

static int link_attribute(struct hf_rtnl_msg *m, const struct attribute *a)
{
    switch (a->type) {
    case IFLA_IFNAME:
        return read_name(a, m->name);
    case IFLA_CARRIER_CHANGES:
        return read_u32(a, &m->carrier_changes);
    default:
        return 0;
    }
}

/* struct rtvia: a family of 2 bytes, and the address. */
static int read_via(const struct attribute *a, struct hf_ip *out)
{
    return a->len < 2 ? HF_EBADMSG : read_ip(a->data + 2, a->len - 2, out);
}

static int route_attribute(struct hf_rtnl_msg *m, const struct attribute *a)
{
    switch (a->type) {
    case RTA_OIF:
        return read_u32(a, &m->interface);
    case RTA_GATEWAY:
        m->gateway = true;
        return read_ip(a->data, a->len, &m->gateway_ip);
    case RTA_VIA:
        m->gateway = true;
        return read_via(a, &m->gateway_ip);
    case RTA_PREFSRC:
        return read_ip(a->data, a->len, &m->source_ip);
    default:
        return 0;
    }
}

static int neighbour_attribute(struct hf_rtnl_msg *m, const struct attribute *a)
{
    if (a->type != NDA_LLADDR)
        return 0;
    if (a->len > HF_RTNL_HARDWARE_BYTES)
        return HF_EBADMSG;
    memcpy(m->hardware, a->data, a->len);
    m->hardware_bytes = a->len;
    return 0;
}

static int no_attribute(struct hf_rtnl_msg *m, const struct attribute *a)
{
    (void)m;
    (void)a;
    return 0;
}

/* The bodies. Their attributes begin behind them; all have sizes that need no padding. */

static void link_body(struct hf_rtnl_msg *m, const uint8_t *body)
{
    struct ifinfomsg b;

    memcpy(&b, body, sizeof(b));
    m->interface = (uint32_t)b.ifi_index;
    m->link_type = b.ifi_type;
    m->running = (b.ifi_flags & IFF_UP) != 0 && (b.ifi_flags & IFF_RUNNING) != 0;
}

static void address_body(struct hf_rtnl_msg *m, const uint8_t *body)
{
    struct ifaddrmsg b;

    memcpy(&b, body, sizeof(b));
    m->interface = b.ifa_index;
}

static void route_body(struct hf_rtnl_msg *m, const uint8_t *body)
{
    struct rtmsg b;

    memcpy(&b, body, sizeof(b));
    m->own = b.rtm_type == RTN_LOCAL;
    m->leads = b.rtm_type == RTN_UNICAST || m->own;
}

static void neighbour_body(struct hf_rtnl_msg *m, const uint8_t *body)
{
    struct ndmsg b;

    memcpy(&b, body, sizeof(b));
    m->interface = (uint32_t)b.ndm_ifindex;
}

static const struct form {
    uint16_t first, last; /* RTM_NEW… to RTM_GET… */
    enum hf_rtnl_type type;
    size_t body_bytes;
    void (*body)(struct hf_rtnl_msg *m, const uint8_t *body);
    int (*attribute)(struct hf_rtnl_msg *m, const struct attribute *a);
} forms[] = {
    {RTM_NEWLINK, RTM_GETLINK, HF_RTNL_LINK, sizeof(struct ifinfomsg), link_body, link_attribute},
    {RTM_NEWADDR, RTM_GETADDR, HF_RTNL_ADDRESS, sizeof(struct ifaddrmsg), address_body, no_attribute},
    {RTM_NEWROUTE, RTM_GETROUTE, HF_RTNL_ROUTE, sizeof(struct rtmsg), route_body, route_attribute},
    {RTM_NEWNEIGH, RTM_GETNEIGH, HF_RTNL_NEIGHBOUR, sizeof(struct ndmsg), neighbour_body,
     neighbour_attribute},
};

static int read_form(struct hf_rtnl_msg *m, const struct form *form, const uint8_t *data, size_t len)
{
    struct attribute a;
    int more;

    if (len < form->body_bytes)
        return HF_EBADMSG;
    m->type = form->type;
    form->body(m, data);
    data += form->body_bytes;
    len -= form->body_bytes;
    while ((more = next_attribute(&data, &len, &a)) > 0) {
        int err = form->attribute(m, &a);

        if (err < 0)
            return err;
    }
    return more;
}

/* struct nlmsgerr: a negative errno, and the head of the question. */
static int read_error(struct hf_rtnl_msg *m, const uint8_t *data, size_t len)
{
    int32_t error;

    if (len < sizeof(error))
        return HF_EBADMSG;
    memcpy(&error, data, sizeof(error));
    if (error > 0 || error == INT32_MIN)
        return HF_EBADMSG;
    m->type = HF_RTNL_ERROR;
    m->error = -error;
    return 0;
}

static int read_message(struct hf_rtnl_msg *m, uint16_t type, const uint8_t *data, size_t len)
{
    size_t i;

    if (type == NLMSG_ERROR)
        return read_error(m, data, len);
    if (type == NLMSG_OVERRUN)
        m->type = HF_RTNL_LOST;
    for (i = 0; i < sizeof(forms) / sizeof(forms[0]); i++)
        if (type >= forms[i].first && type <= forms[i].last)
            return read_form(m, &forms[i], data, len);
    return 0;
}

int hf_rtnl_next(const uint8_t *data, size_t len, struct hf_rtnl_msg *out)
{
    struct nlmsghdr head;
    size_t whole;
    int err;

    *out = (struct hf_rtnl_msg){.type = HF_RTNL_OTHER};
    if (len == 0)
        return 0;
    if (len < sizeof(head) || len > INT32_MAX)
        return HF_EBADMSG;
    memcpy(&head, data, sizeof(head));
    if (head.nlmsg_len < sizeof(head) || head.nlmsg_len > len)
        return HF_EBADMSG;
    out->seq = head.nlmsg_seq;
    err = read_message(out, head.nlmsg_type, data + sizeof(head), head.nlmsg_len - sizeof(head));
    if (err < 0)
        return err;
    whole = padded(head.nlmsg_len);
    return (int)(whole < len ? whole : len);
}

/* --- asking --- */

static size_t put(uint8_t *out, size_t at, const void *data, size_t len)
{
    hf_assert(at + padded(len) <= HF_RTNL_ASK_BYTES);
    memset(out + at, 0, padded(len));
    memcpy(out + at, data, len);
    return at + padded(len);
}

static size_t put_attribute(uint8_t *out, size_t at, uint16_t type, const void *data, size_t len)
{
    struct rtattr head = {.rta_len = (unsigned short)(sizeof(head) + len), .rta_type = type};

    return put(out, put(out, at, &head, sizeof(head)), data, len);
}

/* An address as the kernel wants it: 4 bytes of IPv4, or 16. */
static size_t put_ip(uint8_t *out, size_t at, uint16_t type, const struct hf_ip *ip)
{
    size_t skip = hf_ip_is_v4(ip) ? HF_IP_BYTES - 4 : 0;

    return put_attribute(out, at, type, ip->bytes + skip, HF_IP_BYTES - skip);
}

static unsigned char family_of(const struct hf_ip *ip)
{
    return hf_ip_is_v4(ip) ? AF_INET : AF_INET6;
}

static size_t begin(uint8_t *out, const void *body, size_t len)
{
    return put(out, sizeof(struct nlmsghdr), body, len);
}

/* The head, when the length is known. */
static size_t end(uint8_t *out, size_t len, uint16_t type, uint32_t seq)
{
    struct nlmsghdr head = {
        .nlmsg_len = (uint32_t)len, .nlmsg_type = type, .nlmsg_flags = NLM_F_REQUEST, .nlmsg_seq = seq};

    (void)put(out, 0, &head, sizeof(head));
    return len;
}

size_t hf_rtnl_ask_route(uint8_t out[HF_RTNL_ASK_BYTES], const struct hf_ip *to, uint32_t interface,
                         uint32_t seq)
{
    struct rtmsg body = {.rtm_family = family_of(to), .rtm_dst_len = hf_ip_is_v4(to) ? 32 : 128};
    size_t len = begin(out, &body, sizeof(body));

    len = put_ip(out, len, RTA_DST, to);
    if (interface != 0)
        len = put_attribute(out, len, RTA_OIF, &interface, sizeof(interface));
    return end(out, len, RTM_GETROUTE, seq);
}

size_t hf_rtnl_ask_link(uint8_t out[HF_RTNL_ASK_BYTES], uint32_t interface, uint32_t seq)
{
    struct ifinfomsg body = {.ifi_family = AF_UNSPEC, .ifi_index = (int)interface};
    const uint32_t wanted = RTEXT_FILTER_SKIP_STATS;
    size_t len = begin(out, &body, sizeof(body));

    len = put_attribute(out, len, IFLA_EXT_MASK, &wanted, sizeof(wanted));
    return end(out, len, RTM_GETLINK, seq);
}

size_t hf_rtnl_ask_neighbour(uint8_t out[HF_RTNL_ASK_BYTES], const struct hf_ip *neighbour,
                             uint32_t interface, uint32_t seq)
{
    struct ndmsg body = {.ndm_family = family_of(neighbour), .ndm_ifindex = (int)interface};
    size_t len = begin(out, &body, sizeof(body));

    len = put_ip(out, len, NDA_DST, neighbour);
    return end(out, len, RTM_GETNEIGH, seq);
}
