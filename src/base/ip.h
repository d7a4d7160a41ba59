/*
 * ip.h - IP addresses and networks as bytes and as text. Pure: what getnameinfo() does with sockets is done here with strings.
 *
 * An IPv4 address is held in its IPv6 form (::ffff:a.b.c.d, RFC 4291 section 2.5.5.2), so that a peer on a socket of either
 * family is one and the same address.
 */
#ifndef HF_BASE_IP_H
#define HF_BASE_IP_H

#include "base/err.h"
#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    HF_IP_BYTES = 16,
    HF_IP_BITS = 128,
    HF_IP_V4_BITS = 96,    /* of the prefix that all IPv4 addresses have in common */
    HF_IP_TEXT_BYTES = 56, /* the longest text with brackets, port and NUL: 39 + 2 + 6 + 1, rounded up */
};

struct hf_ip {
    uint8_t bytes[HF_IP_BYTES];
};

/* An address as a peer has it. port 0: not known. */
struct hf_endpoint {
    struct hf_ip ip;
    uint16_t port;
};

/* All addresses that have the first `bits` in common with ip, whose other bits are 0. */
struct hf_network {
    struct hf_ip ip;
    uint8_t bits; /* of the IPv6 form: an IPv4 /24 has 96 + 24 */
};

/* Four bytes of IPv4. */
struct hf_ip hf_ip_v4(const uint8_t bytes[4]);
bool hf_ip_is_v4(const struct hf_ip *ip);

/* Read "192.0.2.1" or "2001:db8::1" (RFC 4291 section 2.2, all three forms; no zone, no leading zeros in IPv4). Returns 0 or HF_EINVAL. */
int hf_ip_parse(struct hf_str text, struct hf_ip *out) HF_MUST_CHECK;
/* The same with or without a port: "192.0.2.1:80", "[2001:db8::1]:80", "[2001:db8::1]". */
int hf_endpoint_parse(struct hf_str text, struct hf_endpoint *out) HF_MUST_CHECK;
/* Write it as RFC 5952 asks: "192.0.2.1:80", "[2001:db8::1]:80", without a port the address alone. Returns the length. */
size_t hf_endpoint_format(const struct hf_endpoint *e, char out[HF_IP_TEXT_BYTES]);

/* The first `bits` of the IPv6 form; the rest becomes 0. */
struct hf_ip hf_ip_prefix(const struct hf_ip *ip, unsigned bits);
/* Read "10.0.0.0/8", "2001:db8::/32", or an address alone. HF_EINVAL also where a bit behind the prefix is set. */
int hf_network_parse(struct hf_str text, struct hf_network *out) HF_MUST_CHECK;
/* Whether one of the networks has it. */
bool hf_network_any(const struct hf_network *networks, size_t count, const struct hf_ip *ip);

#endif
