/*
 * rtnetlink.h - the few messages of Linux's rtnetlink that tell how packets leave this machine: asked for, and read from bytes. Pure.
 *
 * Follows RFC 3549 sections 2.3 and 3.1, and the manual pages netlink(7) and rtnetlink(7): a message is a header of 16 bytes, a body of fixed size and
 * attributes, all numbers in the machine's byte order, all parts padded to 4 bytes. What is not known is skipped, so that a newer
 * kernel is understood; a length that cannot be is an error, whoever sent it.
 */
#ifndef HF_CLIENT_RTNETLINK_H
#define HF_CLIENT_RTNETLINK_H

#include "base/err.h"
#include "base/ip.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    HF_RTNL_ASK_BYTES =
        64, /* of the longest question: header 16, body 12, two attributes of at most 20 and 8 */
    HF_RTNL_NAME_BYTES = 16,
    HF_RTNL_HARDWARE_BYTES = 32, /* MAX_ADDR_LEN of the kernel; Ethernet has 6 */
};

enum hf_rtnl_type {
    HF_RTNL_OTHER, /* of no interest here */
    HF_RTNL_LINK,
    HF_RTNL_ADDRESS, /* that one came or went, no more */
    HF_RTNL_ROUTE,
    HF_RTNL_NEIGHBOUR,
    HF_RTNL_ERROR, /* the answer to a question that could not be answered; 0: an acknowledgement */
    HF_RTNL_LOST,  /* the kernel has left out messages */
};

/* What a message says. Fields that are not of its type, or that it does not have, are 0. */
struct hf_rtnl_msg {
    enum hf_rtnl_type type;
    uint32_t seq;       /* of the question that it answers; 0: told unasked */
    int error;          /* ERROR: an errno, positive */
    uint32_t interface; /* index. ROUTE: by which packets leave */
    /* LINK */
    uint16_t link_type;       /* ARPHRD_ of <net/if_arp.h>: 1 Ethernet, 772 loopback … */
    bool running;             /* up, and with a carrier */
    uint32_t carrier_changes; /* since the interface was made */
    char name[HF_RTNL_NAME_BYTES];
    /* ROUTE */
    bool
        leads; /* packets go out (unicast), or to this machine itself (local); else they are refused or dropped */
    bool own;     /* the destination is an address of this machine */
    bool gateway; /* there is one, in gateway_ip: IPv6 also for IPv4 (RFC 5549) */
    struct hf_ip gateway_ip;
    struct hf_ip source_ip; /* that packets get where their sender chose none; all 0: not said */
    /* NEIGHBOUR */
    uint8_t hardware[HF_RTNL_HARDWARE_BYTES]; /* its link-layer address */
    size_t hardware_bytes;                    /* 0: not known (yet) */
};

/*
 * Read the first message of data. Returns the bytes that it takes, its padding included, at most len; 0 where len is 0; or HF_EBADMSG:
 * a length is wrong, and where the next message begins is not known.
 */
int hf_rtnl_next(const uint8_t *data, size_t len, struct hf_rtnl_msg *out) HF_MUST_CHECK;

/* Questions, each answered by one message with the same seq; return their length. interface 0: any. */
size_t hf_rtnl_ask_route(uint8_t out[HF_RTNL_ASK_BYTES], const struct hf_ip *to, uint32_t interface,
                         uint32_t seq);
size_t hf_rtnl_ask_link(uint8_t out[HF_RTNL_ASK_BYTES], uint32_t interface, uint32_t seq);
size_t hf_rtnl_ask_neighbour(uint8_t out[HF_RTNL_ASK_BYTES], const struct hf_ip *neighbour,
                             uint32_t interface, uint32_t seq);

#endif
