/*
 * proxy.h - whether a server is reached through an HTTP proxy, and which one: from the environment, by the rules that curl(1) has, or as the application says.
 *
 *   https_proxy, HTTPS_PROXY   for wss:// URLs
 *   http_proxy                 for ws:// URLs; in lower case only, since a CGI program gets its client's header "Proxy" as HTTP_PROXY
 *   all_proxy, ALL_PROXY       for both, where the one above is not set
 *   no_proxy, NO_PROXY         servers that are reached directly: names, which stand for what ends in them as well (with or without a dot in front), addresses
 *                              and networks (192.0.2.0/24), with commas or spaces between them; * is all
 *
 * An empty variable counts as not set; of two that are set, the one in lower case counts. Other than with curl, this machine (localhost, 127.0.0.0/8, ::1) is never asked
 * for from a proxy of the environment: the proxy would not find our machine there, but its own.
 *
 * A proxy is "[http://][USER[:PASSWORD]@]HOST[:PORT]", user and password percent-encoded where they have to be; without a port it is 1080, as with curl. The
 * connection to the proxy itself has no TLS; the one through it does, from end to end, where the URL is wss.
 */
#ifndef HF_CLIENT_PROXY_H
#define HF_CLIENT_PROXY_H

#include "base/err.h"
#include "client/url.h"

enum { HF_PROXY_USER_MAX = 256, HF_PROXY_AUTHORIZATION_MAX = 1024 };

/* What the environment says; NULL: not set. */
struct hf_proxy_environment {
    const char *http, *https, *all, *none;
};

struct hf_proxy {
    char host[HF_URL_HOST_MAX]; /* empty: none, the server is reached directly */
    char port[6];
    char authorization[HF_PROXY_AUTHORIZATION_MAX]; /* the value of Proxy-Authorization; empty: none */
};

/* Read the variables. What they point to is the environment's. */
void hf_proxy_read_environment(struct hf_proxy_environment *env);

/* HF_EINVAL: no such proxy. HF_EUNSUPPORTED: of another kind than http://. */
int hf_proxy_parse(struct hf_proxy *p, const char *text) HF_MUST_CHECK;

/* The proxy for a server. As hf_proxy_parse(); *text then gets what is wrong, borrowed from env. */
int hf_proxy_choose(struct hf_proxy *p, const struct hf_proxy_environment *env, const struct hf_url *url,
                    const char **text) HF_MUST_CHECK;

#endif
