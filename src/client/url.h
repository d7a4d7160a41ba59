/*
 * url.h - the address of a server, as "ws://HOST[:PORT][/PATH[?QUERY]]" or "wss://…" names it.
 */
#ifndef HF_CLIENT_URL_H
#define HF_CLIENT_URL_H

#include "base/err.h"

#include <stdbool.h>

enum { HF_URL_HOST_MAX = 256, HF_URL_PATH_MAX = 2048 };

struct hf_url {
    bool secure;                /* wss */
    char host[HF_URL_HOST_MAX]; /* a name or address, IPv6 without its brackets */
    char port[6];               /* digits */
    char authority
        [HF_URL_HOST_MAX +
         10]; /* as for the Host header: brackets, and the port where it is not the usual one: 80, or 443 with wss */
    char target[HF_URL_PATH_MAX]; /* begins with '/' */
};

/*
 * HF_EINVAL: no such URL, or too long. A user part, a fragment, white space and control characters are refused:
 * none of them has a place in the request.
 */
int hf_url_parse(struct hf_url *u, const char *text) HF_MUST_CHECK;

#endif
