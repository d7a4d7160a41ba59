/*
 * proxy_stage.h - the first stage of a client's socket, before TLS and HTTP: the PROXY header of those proxies that are configured.
 * Nothing is held for it: the header stays in the socket until it is whole (MSG_PEEK), and is then taken off.
 */
#ifndef HF_SERVER_PROXY_STAGE_H
#define HF_SERVER_PROXY_STAGE_H

#include "base/ip.h"
#include "server/config.h"
#include "ws/proxy_header.h"

#include <stdbool.h>
#include <sys/socket.h>

/* The IP address and port of a peer. Returns false where it has none (another family): *out is all zeros. */
bool hf_endpoint_of_sockaddr(const struct sockaddr_storage *address, struct hf_endpoint *out);

/* Whether a connection from there begins with a PROXY header: proxy.protocol is on, and the peer in proxy.trusted. */
bool hf_proxy_stage_due(const struct hf_config *config, const struct sockaddr_storage *peer);

/*
 * Take the header off a readable socket. Returns 1 with *h set; 0 where it is not whole yet: wait for more; HF_EBADMSG with h->reason where what comes is none;
 * HF_ECLOSED at the end of the connection. May be called again after 0 only.
 */
int hf_proxy_stage_take(int fd, struct hf_proxy_header *h) HF_MUST_CHECK;

#endif
