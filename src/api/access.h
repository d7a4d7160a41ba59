/*
 * access.h - who may use the HTTP API. Pure: what a request says about itself comes in, the verdict goes out.
 *
 * With keys (api.key, api.keys), whoever shows one in `Authorization: Bearer KEY` may. A web page of somebody else cannot make a browser send that header: it would
 * have to ask first (CORS), and the API allows nothing.
 *
 * Without a key, only this machine may, and whoever may open the API's Unix socket. But a browser on this machine sends requests for any web page that it shows (and
 * `ssh -L PORT:/run/holdfast/api` puts a browser in front of the socket too), and two guards stand against that:
 *   - the `Host` must name this machine by a loopback address or as "localhost": a page whose name was rebound to 127.0.0.1 in the DNS has
 *     its own name there, although the browser holds it for the same origin;
 *   - a request with an `Origin` header is refused unless that is http:// or https:// and this very Host, with its port: the admin page's own. A browser sets Origin on every
 *     request that a page makes to another place and that could change something (Fetch, 3.2 "Origin header": all methods but GET and HEAD, and the
 *     API's GETs change nothing).
 */
#ifndef HF_API_ACCESS_H
#define HF_API_ACCESS_H

#include "server/config.h"
#include "wire/message.h"

#include <stdbool.h>
#include <sys/socket.h>

/* What counts about a request; strings are NULL where the header is missing. */
struct hf_api_caller {
    const struct sockaddr *peer;
    const char *authorization;
    const char *host;
    const char *origin;
};

struct hf_api_verdict {
    enum hf_code code;  /* HF_CODE_NONE: may; UNAUTHORIZED (401), FORBIDDEN (403) */
    const char *reason; /* with a code: static English text */
    bool full;          /* without a code: may do all, and not read alone */
    const char *
        key; /* without a code: the name in api.keys, borrowed from the configuration; NULL: it was api.key, or none is asked for */
};

/*
 * By api.key and api.keys of the configuration. reads: what is asked for changes nothing, so that a key which may only read is enough. How long it takes tells the length of
 * api.key at most, and nothing of the others, which are compared by their hashes.
 */
struct hf_api_verdict hf_api_access(const struct hf_config *config, bool reads,
                                    const struct hf_api_caller *caller);

/*
 * The same for the demo's page and its buttons, which need no key: whoever opens the page may press them, and the page's own origin is welcome. A page of
 * somebody else is not: its Origin is not the Host that it asks. `remote`: other machines may too; else Host must be a loopback address as above.
 */
struct hf_api_verdict hf_api_access_demo(bool remote, const struct hf_api_caller *caller);

#endif
