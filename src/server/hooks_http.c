#include "server/hooks_http.h"

#include "base/assert.h"
#include "base/buf.h"
#include "base/list.h"
#include "server/breaker.h"
#include "server/logger.h"

#include <curl/curl.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    /* Servers close what was idle for so long, Node.js and uvicorn after 5 s: a connection is not used again shortly before that. */
    IDLE_S_MAX = 4,
    QUEUE_LOOK_MS = 50, /* how often the queue is looked through for what has waited too long */
    LOG_EVERY_MS = 1000,
    HEADERS_BYTES_MAX = 256,
    ERROR_BYTES_MAX = CURL_ERROR_SIZE + 128,
};

/* One request, waiting or under way. */
struct request {
    struct hf_list link; /* in http->queue or http->running */
    struct hf_hooks_http *http;
    enum hf_hook hook;
    uint64_t token, deadline_ms;
    uint32_t epoch;       /* http->epochs[hook] when it was asked for */
    char url[HF_URL_MAX]; /* likewise: it goes there, also when another one is configured meanwhile */
    CURL *easy;           /* once it is under way */
    struct curl_slist *headers;
    struct hf_buf answer;
    bool too_large;
    char error[CURL_ERROR_SIZE];
    size_t len, sent; /* of the body */
    char body[];
};

/* One of libcurl's descriptors. */
struct watched {
    struct hf_watch watch;
    struct hf_hooks_http *http;
};

struct hf_hooks_http {
    struct hf_backend backend;
    struct hf_hub *hub;
    struct hf_loop *loop;
    const struct hf_now *now;
    struct hf_hooks_config config;
    struct hf_hooks_tls tls;
    struct hf_counters *counters;
    CURLM *multi;
    uint64_t timer_ms; /* libcurl's next moment */
    struct hf_list queue, running;
    uint32_t queued, under_way;
    uint64_t look_ms; /* when the queue is looked through */
    struct hf_breaker breakers[HF_HOOKS];
    uint32_t epochs[HF_HOOKS]; /* how often the hook's URL has changed: the breaker is of the newest */
    uint64_t log_again_ms[HF_HOOKS];
};

/* ---- Signature ---- */

bool hf_hooks_sign(const char *secret, uint64_t timestamp_s, struct hf_str body, char hex[65])
{
    uint8_t mac[EVP_MAX_MD_SIZE];
    char prefix[24];
    size_t mac_len = 0, prefix_len = (size_t)snprintf(prefix, sizeof(prefix), "%" PRIu64 ".", timestamp_s);
    EVP_PKEY *key =
        EVP_PKEY_new_raw_private_key(EVP_PKEY_HMAC, NULL, (const uint8_t *)secret, strlen(secret));
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool done;

    mac_len = sizeof(mac);
    done = key != NULL && ctx != NULL && EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key) == 1 &&
           EVP_DigestSignUpdate(ctx, prefix, prefix_len) == 1 &&
           EVP_DigestSignUpdate(ctx, body.data, body.len) == 1 &&
           EVP_DigestSignFinal(ctx, mac, &mac_len) == 1;
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(key);
    for (size_t i = 0; done && i < 32; i++)
        snprintf(hex + 2 * i, 3, "%02x", mac[i]);
    return done;
}

/* ---- Results ---- */

static void count_failure(struct hf_hooks_http *h, enum hf_backend_outcome outcome)
{
    switch (outcome) {
    case HF_BACKEND_DOWN:
        hf_count(h->counters, HF_COUNT_HOOK_FAILED_DOWN, 1);
        break;
    case HF_BACKEND_BROKEN:
        hf_count(h->counters, HF_COUNT_HOOK_FAILED_BROKEN, 1);
        break;
    case HF_BACKEND_TIMEOUT:
        hf_count(h->counters, HF_COUNT_HOOK_FAILED_TIMEOUT, 1);
        break;
    case HF_BACKEND_TOO_LARGE:
        hf_count(h->counters, HF_COUNT_HOOK_FAILED_TOO_LARGE, 1);
        break;
    case HF_BACKEND_FULL:
        hf_count(h->counters, HF_COUNT_HOOK_FAILED_FULL, 1);
        break;
    default:
        break;
    }
}

/* One line a second for each hook; the counters have them all. */
static bool may_log(struct hf_hooks_http *h, enum hf_hook hook)
{
    if (h->now->mono_ms < h->log_again_ms[hook])
        return false;
    h->log_again_ms[hook] = h->now->mono_ms + LOG_EVERY_MS;
    return true;
}

static void log_change(struct hf_hooks_http *h, enum hf_hook hook, enum hf_breaker_change change,
                       const char *error)
{
    if (change == HF_BREAKER_OPENED) {
        hf_count(h->counters, HF_COUNT_HOOK_PAUSES, 1);
        hf_log(HF_LOG_WARNING, "hook_paused", hf_kv_text("hook", hf_hook_name(hook)),
               hf_kv_u64("failures", h->config.failures), hf_kv_u64("pause_ms", h->config.pause_ms),
               hf_kv_text("error", error));
    } else if (change == HF_BREAKER_HAS_CLOSED) {
        hf_log(HF_LOG_WARNING, "hook_resumed", hf_kv_text("hook", hf_hook_name(hook)));
    }
}

/* ---- The breaker ---- */

/* Whether the breaker of its hook is that of the URL it goes to. */
static bool is_current(const struct request *r)
{
    return r->epoch == r->http->epochs[r->hook];
}

static void breaker_answered(const struct request *r)
{
    if (is_current(r))
        log_change(r->http, r->hook, hf_breaker_answered(&r->http->breakers[r->hook]), "");
}

/* Returns whether the failure has begun a pause, which has been logged with the error. */
static bool breaker_failed(const struct request *r, const char *error)
{
    struct hf_hooks_http *h = r->http;
    enum hf_breaker_change change;

    if (!is_current(r))
        return false;
    change =
        hf_breaker_failed(&h->breakers[r->hook], h->config.failures, h->config.pause_ms, h->now->mono_ms);
    log_change(h, r->hook, change, error);
    return change == HF_BREAKER_OPENED;
}

/* ---- Ends ---- */

static void request_free(struct request *r)
{
    if (r->easy != NULL)
        curl_easy_cleanup(r->easy);
    curl_slist_free_all(r->headers);
    hf_buf_release(&r->answer);
    free(r);
}

/* It is in no list any more. */
static void tell(struct request *r, enum hf_backend_outcome outcome, int status)
{
    struct hf_hooks_http *h = r->http;
    struct hf_backend_answer answer = {outcome, status, hf_buf_str(&r->answer)};

    if (outcome != HF_BACKEND_ANSWERED)
        count_failure(h, outcome);
    if (r->token != 0)
        hf_hub_backend_answered(h->hub, r->token, &answer, *h->now);
    else if (outcome != HF_BACKEND_ANSWERED || status / 100 != 2)
        hf_count(h->counters, HF_COUNT_HOOK_DISCONNECTS_LOST, 1);
    request_free(r);
}

/* The codes by which a gateway says that what is behind it is down (RFC 9110 15.6.3 to 15.6.5). */
static bool gateway_says_down(long status)
{
    return status == 502 || status == 503 || status == 504;
}

static enum hf_backend_outcome outcome_of(struct request *r, CURLcode code, long status)
{
    if (code == CURLE_OK)
        return gateway_says_down(status) ? HF_BACKEND_DOWN : HF_BACKEND_ANSWERED;
    if (r->too_large)
        return HF_BACKEND_TOO_LARGE;
    if (r->sent == 0)
        return HF_BACKEND_DOWN;
    return code == CURLE_OPERATION_TIMEDOUT ? HF_BACKEND_TIMEOUT : HF_BACKEND_BROKEN;
}

/* What the log says of a failure; of a certificate that is not accepted, what to do about it. */
static void describe(const struct request *r, CURLcode code, long status, enum hf_backend_outcome outcome,
                     char *text, size_t cap)
{
    const char *why = r->error[0] != '\0' ? r->error : curl_easy_strerror(code);

    if (outcome == HF_BACKEND_TOO_LARGE)
        snprintf(text, cap, "the answer is longer than hooks.answer");
    else if (code == CURLE_OK)
        snprintf(text, cap, "HTTP status %ld", status);
    else if (code == CURLE_PEER_FAILED_VERIFICATION)
        snprintf(text, cap, "%s: the certificate must name the URL's host and be signed by a CA of %s", why,
                 r->http->config.tls_ca[0] != '\0' ? "hooks.tls.ca" : "the system, or of hooks.tls.ca");
    else
        snprintf(text, cap, "%s", why);
}

static void log_failure(const struct request *r, const char *error)
{
    if (may_log(r->http, r->hook))
        hf_log(HF_LOG_WARNING, "hook_failed", hf_kv_text("hook", hf_hook_name(r->hook)),
               hf_kv_text("error", error));
}

static void finished(struct request *r, CURLcode code)
{
    struct hf_hooks_http *h = r->http;
    enum hf_backend_outcome outcome;
    char error[ERROR_BYTES_MAX];
    long status = 0;

    curl_easy_getinfo(r->easy, CURLINFO_RESPONSE_CODE, &status);
    outcome = outcome_of(r, code, status);
    describe(r, code, status, outcome, error, sizeof(error));
    if (outcome == HF_BACKEND_ANSWERED || outcome == HF_BACKEND_TOO_LARGE) {
        if (outcome == HF_BACKEND_TOO_LARGE)
            log_failure(r, error);
        breaker_answered(r);
    } else if (!breaker_failed(r, error)) {
        log_failure(r, error);
    }
    hf_list_del(&r->link);
    h->under_way--;
    tell(r, outcome, (int)status);
}

/* ---- A request under way ---- */

static size_t take_answer(char *data, size_t size, size_t count, void *ctx)
{
    struct request *r = ctx;

    if (hf_buf_put(&r->answer, data, size * count) == 0)
        return size * count;
    r->too_large = true;
    return 0; /* "This will abort the transfer", CURLOPT_WRITEFUNCTION(3). */
}

static size_t give_body(char *room, size_t size, size_t count, void *ctx)
{
    struct request *r = ctx;
    size_t left = r->len - r->sent, n = size * count < left ? size * count : left;

    memcpy(room, r->body + r->sent, n);
    r->sent += n;
    return n;
}

/* libcurl wants to send it again, on another connection, because the one it had kept was closed before an answer came. */
static int rewind_body(void *ctx, curl_off_t offset, int origin)
{
    struct request *r = ctx;

    if (r->hook == HF_HOOK_CALL || r->hook == HF_HOOK_DISCONNECT || offset != 0 || origin != SEEK_SET)
        return CURL_SEEKFUNC_FAIL;
    r->sent = 0;
    return CURL_SEEKFUNC_OK;
}

static bool add_header(struct request *r, const char *text)
{
    struct curl_slist *longer = curl_slist_append(r->headers, text);

    if (longer != NULL)
        r->headers = longer;
    return longer != NULL;
}

static bool make_headers(struct request *r)
{
    uint64_t timestamp_s = r->http->now->wall_ms / 1000;
    char text[HEADERS_BYTES_MAX], hex[65];

    if (!hf_hooks_sign(r->http->config.secret, timestamp_s, (struct hf_str){r->body, r->len}, hex))
        return false;
    snprintf(text, sizeof(text), "Holdfast-Timestamp: %" PRIu64, timestamp_s);
    if (!add_header(r, text))
        return false;
    snprintf(text, sizeof(text), "Holdfast-Signature: %s", hex);
    return add_header(r, text) && add_header(r, "Content-Type: application/json") &&
           add_header(r, "Expect:"); /* No round trip before the body, however long that is. */
}

/*
 * What every request has. QUICK_EXIT: a look-up whose time is over is left behind; else curl would wait for its thread, and the worker with it. No proxy of the environment's, no
 * redirect, nothing but HTTP: a request goes where the configuration says, or nowhere. HTTP/1.1: one request a connection, so that hooks.concurrency means what it says.
 */
static bool set_options(struct request *r, long timeout_ms)
{
    CURL *e = r->easy;
    bool ok = curl_easy_setopt(e, CURLOPT_URL, r->url) == CURLE_OK;

    ok = ok && curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK;
    ok = ok && curl_easy_setopt(e, CURLOPT_PROXY, "") == CURLE_OK;
    ok = ok && curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L) == CURLE_OK;
    ok = ok && curl_easy_setopt(e, CURLOPT_QUICK_EXIT, 1L) == CURLE_OK;
    ok = ok && curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK;
    ok = ok && curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1) == CURLE_OK;
    ok = ok && curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, timeout_ms) == CURLE_OK;
    ok = ok && curl_easy_setopt(e, CURLOPT_MAXAGE_CONN, (long)IDLE_S_MAX) == CURLE_OK;
    ok = ok && curl_easy_setopt(e, CURLOPT_USERAGENT, "holdfast/" HF_VERSION) == CURLE_OK;
    ok = ok && curl_easy_setopt(e, CURLOPT_ERRORBUFFER, r->error) == CURLE_OK;
    ok = ok && curl_easy_setopt(e, CURLOPT_PRIVATE, r) == CURLE_OK;
    ok = ok && curl_easy_setopt(e, CURLOPT_HTTPHEADER, r->headers) == CURLE_OK;
    ok = ok && curl_easy_setopt(e, CURLOPT_POST, 1L) == CURLE_OK;
    ok = ok && curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)r->len) == CURLE_OK;
    ok = ok && curl_easy_setopt(e, CURLOPT_READFUNCTION, give_body) == CURLE_OK;
    ok = ok && curl_easy_setopt(e, CURLOPT_READDATA, r) == CURLE_OK;
    ok = ok && curl_easy_setopt(e, CURLOPT_SEEKFUNCTION, rewind_body) == CURLE_OK;
    ok = ok && curl_easy_setopt(e, CURLOPT_SEEKDATA, r) == CURLE_OK;
    ok = ok && curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, take_answer) == CURLE_OK;
    return ok && curl_easy_setopt(e, CURLOPT_WRITEDATA, r) == CURLE_OK;
}

static bool set_blob(CURL *e, CURLoption option, const struct hf_hooks_pem *pem)
{
    struct curl_blob blob = {pem->data, pem->len, CURL_BLOB_COPY};

    return pem->data == NULL || curl_easy_setopt(e, option, &blob) == CURLE_OK;
}

/*
 * Whom an https backend is believed by, and who we are. libcurl keeps a connection for requests with the same blobs only. Without CAPATH the system's store does not count beside
 * hooks.tls.ca.
 */
static bool set_tls(struct request *r)
{
    const struct hf_hooks_tls *tls = &r->http->tls;
    CURL *e = r->easy;
    bool ok = tls->ca.data == NULL || curl_easy_setopt(e, CURLOPT_CAPATH, NULL) == CURLE_OK;

    ok = ok && set_blob(e, CURLOPT_CAINFO_BLOB, &tls->ca);
    ok = ok && set_blob(e, CURLOPT_SSLCERT_BLOB, &tls->certificate);
    return ok && set_blob(e, CURLOPT_SSLKEY_BLOB, &tls->key);
}

static void paused(struct hf_hooks_http *h)
{
    hf_count(h->counters, HF_COUNT_HOOK_FAILED_PAUSED, 1);
}

/* libcurl's part is made for the first request: a worker that asks nobody has not its descriptors. */
static bool set_up_multi(struct hf_hooks_http *h);

/* Returns STARTED, or why it cannot be. */
static enum hf_backend_outcome launch(struct request *r)
{
    struct hf_hooks_http *h = r->http;

    if (is_current(r) && !hf_breaker_admit(&h->breakers[r->hook], h->now->mono_ms)) {
        paused(h);
        return HF_BACKEND_DOWN;
    }
    r->easy = curl_easy_init();
    if (r->easy == NULL || !make_headers(r) || !set_options(r, (long)(r->deadline_ms - h->now->mono_ms)) ||
        !set_tls(r) || !set_up_multi(h) || curl_multi_add_handle(h->multi, r->easy) != CURLM_OK) {
        (void)breaker_failed(r, "memory is short");
        return HF_BACKEND_FULL;
    }
    hf_count(h->counters, (enum hf_counter)(HF_COUNT_HOOK_REQUESTS_CONNECT + (int)r->hook), 1);
    hf_list_add_tail(&h->running, &r->link);
    h->under_way++;
    return HF_BACKEND_STARTED;
}

/* ---- The queue ---- */

/* The next one whose turn it is. What nobody waits for any more is not sent. NULL: none. */
static struct request *next_queued(struct hf_hooks_http *h)
{
    while (!hf_list_empty(&h->queue)) {
        struct request *r = HF_CONTAINER(h->queue.next, struct request, link);

        hf_list_del(&r->link);
        h->queued--;
        if (r->token == 0 || hf_hub_backend_wanted(h->hub, r->token))
            return r;
        hf_hub_backend_answered(h->hub, r->token, &(struct hf_backend_answer){.outcome = HF_BACKEND_FULL},
                                *h->now);
        request_free(r);
    }
    return NULL;
}

static void pump(struct hf_hooks_http *h)
{
    struct request *r;

    while (h->under_way < h->config.concurrency && (r = next_queued(h)) != NULL) {
        enum hf_backend_outcome outcome = r->deadline_ms <= h->now->mono_ms ? HF_BACKEND_FULL : launch(r);

        if (outcome != HF_BACKEND_STARTED)
            tell(r, outcome, 0);
    }
}

/* What has waited too long was never sent. */
static void expire_queue(struct hf_hooks_http *h)
{
    struct hf_list late;
    struct hf_list *next;

    if (hf_list_empty(&h->queue) || h->now->mono_ms < h->look_ms)
        return;
    h->look_ms = h->now->mono_ms + QUEUE_LOOK_MS;
    hf_list_init(&late);
    for (struct hf_list *node = h->queue.next; node != &h->queue; node = next) {
        next = node->next;
        if (HF_CONTAINER(node, struct request, link)->deadline_ms > h->now->mono_ms)
            continue;
        hf_list_del(node);
        hf_list_add_tail(&late, node);
        h->queued--;
    }
    while ((next = hf_list_pop(&late)) != NULL)
        tell(HF_CONTAINER(next, struct request, link), HF_BACKEND_FULL, 0);
}

static uint32_t timeout_of(const struct hf_hooks_http *h, enum hf_hook hook)
{
    return hook == HF_HOOK_CALL ? h->config.call_timeout_ms : h->config.timeout_ms;
}

static enum hf_backend_outcome refuse_at_once(struct hf_hooks_http *h, enum hf_backend_outcome outcome)
{
    count_failure(h, outcome);
    return outcome;
}

static enum hf_backend_outcome start(void *ctx, const struct hf_backend_request *request)
{
    struct hf_hooks_http *h = ctx;
    bool at_once = hf_list_empty(&h->queue) && h->under_way < h->config.concurrency;
    enum hf_backend_outcome outcome = HF_BACKEND_STARTED;
    struct request *r;

    if (hf_breaker_refuses(&h->breakers[request->hook], h->now->mono_ms)) {
        paused(h);
        return HF_BACKEND_DOWN;
    }
    if (!at_once && h->queued >= h->config.queue_max)
        return refuse_at_once(h, HF_BACKEND_FULL);
    r = calloc(1, sizeof(*r) + request->body.len);
    if (r == NULL)
        return refuse_at_once(h, HF_BACKEND_FULL);
    r->http = h;
    r->hook = request->hook;
    r->token = request->token;
    r->epoch = h->epochs[r->hook];
    snprintf(r->url, sizeof(r->url), "%s", h->config.url[r->hook]);
    r->deadline_ms = h->now->mono_ms + timeout_of(h, r->hook);
    hf_buf_init(&r->answer, h->config.answer_bytes_max);
    r->len = request->body.len;
    memcpy(r->body, request->body.data, r->len);
    if (at_once) {
        outcome = launch(r);
    } else {
        hf_list_add_tail(&h->queue, &r->link);
        h->queued++;
    }
    if (outcome == HF_BACKEND_STARTED)
        return outcome;
    request_free(r);
    return outcome == HF_BACKEND_FULL ? refuse_at_once(h, outcome) : outcome;
}

static bool has_room(void *ctx)
{
    const struct hf_hooks_http *h = ctx;

    return h->queued <= h->config.queue_max / 2;
}

static void complain(void *ctx, enum hf_hook hook, const char *why)
{
    struct hf_hooks_http *h = ctx;

    hf_count(h->counters, HF_COUNT_HOOK_FAILED_INVALID, 1);
    if (may_log(h, hook))
        hf_log(HF_LOG_WARNING, "hook_answer_invalid", hf_kv_text("hook", hf_hook_name(hook)),
               hf_kv_text("why", why));
}

/* ---- libcurl and the loop ---- */

/* Take what has come to its end. */
static void collect(struct hf_hooks_http *h)
{
    CURLMsg *message;
    int left;

    while (h->multi != NULL && (message = curl_multi_info_read(h->multi, &left)) != NULL) {
        CURL *easy = message->easy_handle;
        CURLcode code = message->data.result;
        char *r = NULL;

        if (message->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(easy, CURLINFO_PRIVATE, &r);
        curl_multi_remove_handle(h->multi, easy);
        finished((struct request *)(void *)r, code);
    }
    pump(h);
}

static void socket_ready(struct hf_watch *watch, unsigned what)
{
    struct hf_hooks_http *h = HF_CONTAINER(watch, struct watched, watch)->http;
    int bits = (what & HF_READY_READ ? CURL_CSELECT_IN : 0) | (what & HF_READY_WRITE ? CURL_CSELECT_OUT : 0) |
               (what & HF_READY_ENDED ? CURL_CSELECT_ERR : 0);
    int running;

    curl_multi_socket_action(h->multi, watch->fd, bits, &running); /* watch may be gone behind it. */
    collect(h);
}

static void unwatch(struct hf_hooks_http *h, struct watched *w)
{
    if (w == NULL)
        return;
    hf_loop_remove(h->loop, &w->watch);
    free(w);
}

/* CURLMOPT_SOCKETFUNCTION(3). */
static int watch_socket(CURL *easy, curl_socket_t fd, int what, void *ctx, void *assigned)
{
    struct hf_hooks_http *h = ctx;
    struct watched *w = assigned;
    bool added = w != NULL;
    unsigned bits = (what & CURL_POLL_IN ? HF_READY_READ : 0u) | (what & CURL_POLL_OUT ? HF_READY_WRITE : 0u);

    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        unwatch(h, w);
        curl_multi_assign(h->multi, fd, NULL);
        return 0;
    }
    if (w == NULL)
        w = calloc(1, sizeof(*w));
    if (w == NULL)
        return -1; /* "On error, … all transfers in progress will be stopped" */
    w->http = h;
    w->watch.fd = fd;
    w->watch.ready = socket_ready;
    if (hf_loop_want(h->loop, &w->watch, bits, added) < 0) {
        if (!added)
            free(w);
        return -1;
    }
    curl_multi_assign(h->multi, fd, w);
    return 0;
}

/* CURLMOPT_TIMERFUNCTION(3). */
static int set_timer(CURLM *multi, long timeout_ms, void *ctx)
{
    struct hf_hooks_http *h = ctx;

    (void)multi;
    h->timer_ms = timeout_ms < 0 ? UINT64_MAX : hf_now_read().mono_ms + (uint64_t)timeout_ms;
    return 0;
}

void hf_hooks_http_run(struct hf_hooks_http *h)
{
    int running;

    if (h->now->mono_ms >= h->timer_ms) {
        h->timer_ms = UINT64_MAX;
        curl_multi_socket_action(h->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    }
    expire_queue(h);
    collect(h);
}

uint64_t hf_hooks_http_deadline_ms(const struct hf_hooks_http *h)
{
    return !hf_list_empty(&h->queue) && h->look_ms < h->timer_ms ? h->look_ms : h->timer_ms;
}

/* ---- Life ---- */

static bool bound_connections(struct hf_hooks_http *h)
{
    return curl_multi_setopt(h->multi, CURLMOPT_MAXCONNECTS, (long)h->config.concurrency) == CURLM_OK;
}

static bool set_multi_options(struct hf_hooks_http *h)
{
    return curl_multi_setopt(h->multi, CURLMOPT_SOCKETFUNCTION, watch_socket) == CURLM_OK &&
           curl_multi_setopt(h->multi, CURLMOPT_SOCKETDATA, h) == CURLM_OK &&
           curl_multi_setopt(h->multi, CURLMOPT_TIMERFUNCTION, set_timer) == CURLM_OK &&
           curl_multi_setopt(h->multi, CURLMOPT_TIMERDATA, h) == CURLM_OK &&
           curl_multi_setopt(h->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING) == CURLM_OK &&
           bound_connections(h);
}

/* Returns whether it is there. */
static bool set_up_multi(struct hf_hooks_http *h)
{
    if (h->multi != NULL)
        return true;
    h->multi = curl_multi_init();
    if (h->multi == NULL || set_multi_options(h))
        return h->multi != NULL;
    curl_multi_cleanup(h->multi);
    h->multi = NULL;
    return false;
}

struct hf_hooks_http *hf_hooks_http_new(struct hf_hub *hub, struct hf_loop *loop, const struct hf_now *now,
                                        const struct hf_hooks_config *config, struct hf_counters *counters)
{
    struct hf_hooks_http *h;

    if (curl_global_init(CURL_GLOBAL_ALL) != CURLE_OK)
        return NULL;
    h = calloc(1, sizeof(*h));
    if (h == NULL)
        return NULL;
    h->backend = (struct hf_backend){.ctx = h, .start = start, .has_room = has_room, .complain = complain};
    h->hub = hub;
    h->loop = loop;
    h->now = now;
    h->config = *config;
    h->counters = counters;
    h->timer_ms = UINT64_MAX;
    hf_list_init(&h->queue);
    hf_list_init(&h->running);
    return h;
}

/* Another backend has failed nobody yet. */
static void begin_epoch(struct hf_hooks_http *h, enum hf_hook hook)
{
    h->epochs[hook]++;
    if (h->breakers[hook].state != HF_BREAKER_CLOSED)
        log_change(h, hook, HF_BREAKER_HAS_CLOSED, "");
    h->breakers[hook] = (struct hf_breaker){.state = HF_BREAKER_CLOSED};
}

void hf_hooks_http_configure(struct hf_hooks_http *h, const struct hf_hooks_config *config)
{
    for (int hook = 0; hook < HF_HOOKS; hook++)
        if (strcmp(h->config.url[hook], config->url[hook]) != 0)
            begin_epoch(h, (enum hf_hook)hook);
    h->config = *config;
    if (h->multi != NULL)
        (void)bound_connections(h); /* Else as many as before are kept. */
    pump(h);
}

void hf_hooks_http_set_tls(struct hf_hooks_http *h, struct hf_hooks_tls *tls)
{
    hf_hooks_tls_release(&h->tls);
    h->tls = *tls;
    *tls = (struct hf_hooks_tls){.ca = {NULL, 0}};
}

static void give_up(struct hf_hooks_http *h, struct hf_list *list)
{
    struct hf_list *node;

    while ((node = hf_list_pop(list)) != NULL) {
        struct request *r = HF_CONTAINER(node, struct request, link);

        if (r->token == 0)
            hf_count(h->counters, HF_COUNT_HOOK_DISCONNECTS_LOST, 1);
        if (r->easy != NULL)
            curl_multi_remove_handle(h->multi, r->easy);
        request_free(r);
    }
}

void hf_hooks_http_free(struct hf_hooks_http *h)
{
    if (h == NULL)
        return;
    give_up(h, &h->queue);
    give_up(h, &h->running);
    if (h->multi != NULL)
        curl_multi_cleanup(h->multi);
    curl_global_cleanup();
    hf_hooks_tls_release(&h->tls);
    free(h);
}

const struct hf_backend *hf_hooks_http_backend(struct hf_hooks_http *h)
{
    return &h->backend;
}
