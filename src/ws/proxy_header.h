/*
 * proxy_header.h - the header of the PROXY protocol, version 2, with which a load balancer tells whose connection it passes on. It is
 * the first thing on the connection, before TLS and HTTP. https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt (2020/03/05 and later).
 *
 * Version 1 (a line of text) is not read: it has no length, and every proxy that knows it knows version 2 too.
 */
#ifndef HF_WS_PROXY_HEADER_H
#define HF_WS_PROXY_HEADER_H

#include "base/err.h"
#include "base/ip.h"

#include <stddef.h>
#include <stdint.h>

enum {
    HF_PROXY_HEADER_MIN = 16,
    HF_PROXY_HEADER_MAX =
        4096, /* section 2.2 asks a receiver for 536 + 16 at least; certificates in TLVs are longer. A guess */
};

/* Whose connection it is. */
enum hf_proxy_source {
    HF_PROXY_OWN,    /* LOCAL, or an unspecified protocol: the proxy's own; its address stands */
    HF_PROXY_CLIENT, /* TCP over IPv4 or IPv6: that of `client` */
    HF_PROXY_UNIX,   /* of a Unix socket on the proxy's machine: it has no address */
};

struct hf_proxy_header {
    enum hf_proxy_source source;
    struct hf_endpoint client;
    const char *reason; /* on HF_EBADMSG: what was wrong, for the log */
};

/*
 * Parse the beginning of a connection. Returns the bytes of the header, 0 where it is not whole yet, or HF_EBADMSG with reason set: no
 * signature, another version, a command or protocol that is not TCP, addresses that do not fit, TLVs that overrun it, a checksum that is
 * wrong, or longer than HF_PROXY_HEADER_MAX. What is wrong is found as early as the bytes show it, however they are cut.
 */
int hf_proxy_header_parse(struct hf_proxy_header *h, const uint8_t *data, size_t len) HF_MUST_CHECK;

#endif
