/*
 * servers.h - the servers that a client may go to, and to which one it goes next: where it was welcomed last, until an attempt there
 * fails; then to the others in their order, round and round.
 */
#ifndef HF_CLIENT_SERVERS_H
#define HF_CLIENT_SERVERS_H

#include "base/err.h"
#include "client/dial.h"
#include "client/proxy.h"
#include "client/url.h"

#include <stdbool.h>

enum { HF_SERVERS_MAX = 8 };

struct hf_server {
    struct hf_url url;
    struct hf_proxy proxy; /* through which it is reached; host empty: directly */
    char wrong
        [256]; /* what the environment has for a proxy is none: no attempt is made, and this is told. Empty: all is well. */
    struct hf_host host; /* whom to dial: the proxy or the server itself */
};

struct hf_servers {
    struct hf_server *list; /* NULL: none */
    unsigned count;
    unsigned next;     /* whom the next attempt is for */
    char *dns_servers; /* NULL: the system's */
};

/* Where to go, as the application says it; all is copied. */
struct hf_servers_config {
    const char *const *urls;
    unsigned count;
    const char
        *proxy; /* NULL: as the environment says, which is read now; "": none; else this one, for all */
    const char *dns_servers; /* as for hf_names_ask() */
};

/* HF_EINVAL: one of the URLs, their number, the proxy or the name servers make no sense; HF_EUNSUPPORTED: not that kind of proxy; HF_ENOMEM. */
int hf_servers_init(struct hf_servers *s, const struct hf_servers_config *config) HF_MUST_CHECK;
/* Also what is all zero, or half made. */
void hf_servers_release(struct hf_servers *s);

bool hf_servers_need_tls(const struct hf_servers *s);

/* An attempt there has failed before the welcome. Till then `next` stays. */
void hf_servers_failed(struct hf_servers *s, unsigned index);

#endif
