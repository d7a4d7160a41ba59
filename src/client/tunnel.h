/*
 * tunnel.h - a connected socket asks a proxy to connect it through to a server. The words are those of ws/http_connect.h.
 */
#ifndef HF_CLIENT_TUNNEL_H
#define HF_CLIENT_TUNNEL_H

#include "base/err.h"
#include "client/proxy.h"
#include "client/url.h"

#include <stdbool.h>

struct hf_tunnel;

/* To the server of url, through proxy. Both are borrowed until it is freed. NULL: no memory. */
struct hf_tunnel *hf_tunnel_new(const struct hf_proxy *proxy, const struct hf_url *url);
/* NULL is allowed. */
void hf_tunnel_free(struct hf_tunnel *t);

/*
 * Go on, on a socket that is connected to the proxy and does not block. 0: it stands, and what goes over the socket now is the server's. HF_EAGAIN: the socket must be waited
 * for. HF_ECLOSED: it is refused or broken, with hf_tunnel_why().
 */
int hf_tunnel_run(struct hf_tunnel *t, int fd) HF_MUST_CHECK;
/* Whether it waits for the socket to take something; else it waits for the answer. */
bool hf_tunnel_wants_write(const struct hf_tunnel *t);
/* What went wrong and what to do about it, in English; valid while t is. */
const char *hf_tunnel_why(const struct hf_tunnel *t);

#endif
