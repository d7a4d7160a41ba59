/*
 * hooks_http.h - requests to the application's backend over HTTP, by libcurl's multi interface in the worker's loop: a struct hf_backend. docs/hooks.md.
 *
 * Nothing here waits. libcurl says which descriptors and which moment it waits for, and the loop has them; names are looked up by a thread of libcurl's
 * (getaddrinfo), which is left behind when its time is over. So a worker has threads for that long, of which none touches anything of ours.
 *
 * Bounded: hooks.concurrency requests are under way, hooks.queue wait, each for as long as its hook allows (from the start to the last byte). A circuit breaker per hook
 * (breaker.h) spares a backend that is down. Connections are kept for the next request.
 *
 * Sent twice: a kept connection may turn out to be closed by the backend when a request has gone out on it. Of connect, subscribe and publish libcurl then sends it
 * again, under the same id: they only ask. A call or disconnect is never sent again once a byte of its body has been taken.
 *
 * One thread. All functions are called between those of the hub.
 */
#ifndef HF_SERVER_HOOKS_HTTP_H
#define HF_SERVER_HOOKS_HTTP_H

#include "net/loop.h"
#include "server/backend.h"
#include "server/hooks_tls.h"
#include "shm/counters.h"

struct hf_hooks_http;

/*
 * All but the configuration, of which it has its own copy, are borrowed; now: the worker's. Until hf_hooks_http_set_tls() the system's certificates count. Returns NULL where memory is short, or libcurl cannot begin. Give hf_hooks_http_backend() to the hub.
 */
struct hf_hooks_http *hf_hooks_http_new(struct hf_hub *hub, struct hf_loop *loop, const struct hf_now *now,
                                        const struct hf_hooks_config *config, struct hf_counters *counters);
/* What is under way is given up, without answers: the hub is not asked any more. NULL is allowed. */
void hf_hooks_http_free(struct hf_hooks_http *h);
const struct hf_backend *hf_hooks_http_backend(struct hf_hooks_http *h);

/*
 * The configuration is another one. Requests that are under way, or wait, end as they began: with the URL and the time that they were asked for with; those that wait are signed with the new
 * secret. A hook's breaker stays as it is where its URL stays, and begins anew where that is another. Where more may be under way, they begin now.
 */
void hf_hooks_http_configure(struct hf_hooks_http *h, const struct hf_hooks_config *config);
/* These certificates count for connections that begin from now on; what is in *tls is taken over. A kept connection that began with others is not used again. */
void hf_hooks_http_set_tls(struct hf_hooks_http *h, struct hf_hooks_tls *tls);

/* Once a turn: what is due by the time. */
void hf_hooks_http_run(struct hf_hooks_http *h);
/* When the next is, monotonic ms; UINT64_MAX: nothing waits for a moment. */
uint64_t hf_hooks_http_deadline_ms(const struct hf_hooks_http *h);

/*
 * The two headers that sign a body: "Holdfast-Timestamp: <s>" and "Holdfast-Signature: <hex>", the HMAC-SHA256 with this secret over the timestamp's digits, a dot
 * and the body. hex gets 64 digits and NUL. Returns false where OpenSSL fails.
 */
bool hf_hooks_sign(const char *secret, uint64_t timestamp_s, struct hf_str body, char hex[65]);

#endif
