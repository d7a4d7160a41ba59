#include "api/request.h"

#include "api/api.h"
#include "api/routes.h"
#include "base/assert.h"
#include "server/logger.h"
#include "wire/json.h"

#include <ctype.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/eventfd.h>
#include <time.h>

enum {
    ENVELOPE_BYTES =
        64 << 10, /* of a body, besides the payload: channel, id, key, members that we do not know */
    DROPPED_BYTES_MAX =
        16 << 20, /* of a body that is refused; a guess: more than a client's honest mistake */
    RETRY_AFTER_SECONDS =
        1, /* for 503: a hub that was overloaded has got further by then; the client adds a random part */
    REFUSED_LOG_MS = 1000, /* at most one line in that time about callers without the right */
};

unsigned hf_api_status(enum hf_code code)
{
    switch (code) {
    case HF_CODE_NONE:
        return MHD_HTTP_OK;
    case HF_CODE_BAD_MESSAGE:
        return MHD_HTTP_BAD_REQUEST;
    case HF_CODE_UNAUTHORIZED:
        return MHD_HTTP_UNAUTHORIZED;
    case HF_CODE_FORBIDDEN:
        return MHD_HTTP_FORBIDDEN;
    case HF_CODE_NOT_FOUND:
        return MHD_HTTP_NOT_FOUND;
    case HF_CODE_TOO_LARGE:
        return MHD_HTTP_CONTENT_TOO_LARGE;
    case HF_CODE_RATE_LIMITED:
        return MHD_HTTP_TOO_MANY_REQUESTS;
    case HF_CODE_LIMIT: /* A table of ours is full, whoever asks and however slowly: not 429. */
        return MHD_HTTP_INSUFFICIENT_STORAGE;
    case HF_CODE_OVERLOADED:
    case HF_CODE_UNAVAILABLE:
        return MHD_HTTP_SERVICE_UNAVAILABLE;
    case HF_CODE_TIMEOUT:
        return MHD_HTTP_GATEWAY_TIMEOUT;
    default:
        return MHD_HTTP_INTERNAL_SERVER_ERROR;
    }
}

/* Which state may follow which; the list of transitions is in request.h. */
static void request_move(struct hf_api_request *r, enum hf_api_state to)
{
    hf_assert(to > r->state);
    r->state = to;
}

static void hold(struct hf_api_request *r, size_t bytes)
{
    r->held_bytes += bytes;
    if (r->api != NULL)
        r->api->held_bytes += bytes;
}

static void let_go(struct hf_api_request *r)
{
    if (r->api != NULL)
        r->api->held_bytes -= r->held_bytes;
    r->held_bytes = 0;
}

static bool may_hold(const struct hf_api_request *r, size_t bytes)
{
    return r->api->held_bytes + bytes <= HF_API_HELD_BYTES_MAX;
}

/* Free it when both of its owners have let go. */
static void request_unref(struct hf_api_request *r)
{
    hf_assert(r->connection == NULL);
    if (r->pending > 0)
        return;
    let_go(r);
    hf_buf_release(&r->body);
    hf_buf_release(&r->answer);
    free(r->work);
    free(r);
}

static struct hf_api_request *request_new(struct hf_api *api, struct MHD_Connection *connection)
{
    struct hf_api_request *r = calloc(1, sizeof(*r));

    if (r == NULL)
        return NULL;
    r->api = api;
    r->connection = connection;
    r->content_type = "application/json";
    r->body_bytes_max = 2 * (size_t)api->config->message_bytes_max + ENVELOPE_BYTES;
    hf_buf_init(&r->answer, HF_API_ANSWER_BYTES_MAX + 2 * (size_t)api->config->message_bytes_max);
    hf_list_add_tail(&api->requests, &r->node);
    return r;
}

/* --- answers --- */

void hf_api_answer(struct hf_api_request *r, unsigned status)
{
    if (r->answer.failed) {
        hf_buf_reset(&r->answer);
        hf_buf_puts(&r->answer, "{\"code\":\"internal\",\"reason\":\"out of memory\"}");
        status = MHD_HTTP_INTERNAL_SERVER_ERROR;
    }
    r->status = status;
    request_move(r, HF_API_ANSWERED);
    hold(r, r->answer.len);
}

void hf_api_answer_status(struct hf_api_request *r, unsigned status, const char *code, const char *reason)
{
    hf_buf_reset(&r->answer);
    hf_buf_puts(&r->answer, "{\"code\":");
    hf_json_put_string(&r->answer, hf_str_from(code));
    hf_buf_puts(&r->answer, ",\"reason\":");
    hf_json_put_string(&r->answer, hf_str_from(reason));
    hf_buf_puts(&r->answer, "}");
    r->content_type = "application/json";
    hf_api_answer(r, status);
}

void hf_api_answer_error(struct hf_api_request *r, enum hf_code code, const char *reason)
{
    hf_api_answer_status(r, hf_api_status(code), hf_code_name(code), reason);
}

void hf_api_answer_written(struct hf_api_request *r, int err)
{
    if (err == 0 && !r->answer.failed)
        hf_api_answer(r, MHD_HTTP_OK);
    else if (err == HF_ELIMIT)
        hf_api_answer_error(r, HF_CODE_TOO_LARGE,
                            "the answer would be too large; ask for it in parts, with a lower limit");
    else
        hf_api_answer_error(r, HF_CODE_INTERNAL, hf_strerror(err));
}

void hf_api_answer_file(struct hf_api_request *r, const char *type, struct hf_str file)
{
    r->content_type = type;
    hf_api_answer_written(r, hf_buf_put(&r->answer, file.data, file.len));
}

/* What keeps answers from pages of others, and a page of ours from frames of others, whatever such a page may try. */
static void add_browser_headers(const struct hf_api_request *r, struct MHD_Response *response)
{
    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    /* Fetch, 3.7: pages of another origin cannot load it as a script, a picture or a style either. */
    MHD_add_response_header(response, "Cross-Origin-Resource-Policy", "same-origin");
    if (r->content_policy == NULL || r->status != MHD_HTTP_OK)
        return;
    MHD_add_response_header(response, "Content-Security-Policy", r->content_policy);
    MHD_add_response_header(response, "X-Frame-Options",
                            "DENY"); /* for browsers that do not know frame-ancestors */
    MHD_add_response_header(response, "Cross-Origin-Opener-Policy", "same-origin");
    MHD_add_response_header(response, "Referrer-Policy", "no-referrer");
}

static enum MHD_Result queue_answer(struct hf_api_request *r)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(r->answer.len, r->answer.data, MHD_RESPMEM_PERSISTENT);
    enum MHD_Result result;

    if (response == NULL)
        return MHD_NO;
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, r->content_type);
    MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    add_browser_headers(r, response);
    if (r->allow != NULL)
        MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, r->allow);
    if (r->location != NULL && r->status == MHD_HTTP_FOUND)
        MHD_add_response_header(response, MHD_HTTP_HEADER_LOCATION, r->location);
    /* RFC 9110 15.5.2: "The server generating a 401 response MUST send a WWW-Authenticate header field". */
    if (r->status == MHD_HTTP_UNAUTHORIZED)
        MHD_add_response_header(response, MHD_HTTP_HEADER_WWW_AUTHENTICATE, "Bearer realm=\"holdfast\"");
    if (r->status == MHD_HTTP_SERVICE_UNAVAILABLE) {
        char seconds[12];

        snprintf(seconds, sizeof(seconds), "%d", RETRY_AFTER_SECONDS);
        MHD_add_response_header(response, MHD_HTTP_HEADER_RETRY_AFTER, seconds);
    }
    result = MHD_queue_response(r->connection, r->status, response);
    MHD_destroy_response(response);
    return result;
}

/* --- work under way --- */

/* libmicrohttpd goes on with the connection in the next hf_api_ops.run(), which is due now. */
static void resume(struct hf_api_request *r)
{
    MHD_resume_connection(r->connection);
    if (!r->api->woken)
        eventfd_write(r->api->wake_fd, 1);
    r->api->woken = true;
}

void hf_api_work_begin(struct hf_api_request *r)
{
    r->pending++;
}

void hf_api_work_done(struct hf_api_request *r)
{
    bool suspended;

    hf_assert(r->pending > 0);
    if (--r->pending > 0)
        return;
    if (r->connection == NULL) {
        request_unref(r);
        return;
    }
    suspended = r->state == HF_API_WAITING;
    r->finish(r);
    if (suspended)
        resume(r);
}

void hf_api_request_abandon(struct hf_api_request *r)
{
    if (r->state == HF_API_WAITING) {
        hf_api_answer_error(r, HF_CODE_UNAVAILABLE, "the server stops; whether it was done is not known");
        resume(r);
    }
}

static void run_handler(struct hf_api_request *r)
{
    r->pending = 1; /* So that work which is done at once does not finish the request within the handler. */
    r->route->handle(r);
    if (r->state == HF_API_ANSWERED)
        r->pending--;
    else
        hf_api_work_done(r);
    if (r->state == HF_API_READING) {
        request_move(r, HF_API_WAITING);
        MHD_suspend_connection(r->connection);
    }
}

/* --- reading --- */

static const char *header(const struct hf_api_request *r, const char *name)
{
    return MHD_lookup_connection_value(r->connection, MHD_HEADER_KIND, name);
}

static uint64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* One line a second at most, however often somebody knocks. */
static void log_refused(struct hf_api *api, const struct sockaddr *peer, const char *reason)
{
    uint64_t now = now_ms();
    char name[NI_MAXHOST] = "unix";

    api->refused++;
    if (api->refused_logged_ms != 0 && now - api->refused_logged_ms < REFUSED_LOG_MS)
        return;
    if (peer != NULL && peer->sa_family != AF_UNIX)
        getnameinfo(peer,
                    peer->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in),
                    name, sizeof(name), NULL, 0, NI_NUMERICHOST);
    hf_log(HF_LOG_WARNING, "api_refused", hf_kv_text("peer", name), hf_kv_text("reason", reason),
           hf_kv_u64("requests", api->refused));
    api->refused = 0;
    api->refused_logged_ms = now;
}

static struct hf_api_caller caller_of(const struct hf_api_request *r)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(r->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);

    return (struct hf_api_caller){info == NULL ? NULL : info->client_addr,
                                  header(r, MHD_HTTP_HEADER_AUTHORIZATION), header(r, MHD_HTTP_HEADER_HOST),
                                  header(r, MHD_HTTP_HEADER_ORIGIN)};
}

struct hf_api_verdict hf_api_request_access(const struct hf_api_request *r)
{
    const struct hf_api_caller caller = caller_of(r);

    return hf_api_access(r->api->config, true, &caller);
}

static void check_access(struct hf_api_request *r, enum hf_api_right right)
{
    const struct hf_api_caller caller = caller_of(r);
    const struct hf_config *c = r->api->config;
    struct hf_api_verdict verdict = right == HF_API_DEMO ? hf_api_access_demo(c->demo_remote, &caller)
                                                         : hf_api_access(c, right == HF_API_READ, &caller);

    if (verdict.code == HF_CODE_NONE)
        return;
    log_refused(r->api, caller.peer, verdict.reason);
    hf_api_answer_error(r, verdict.code, verdict.reason);
}

static void find_route(struct hf_api_request *r, const char *url, const char *method)
{
    r->route = hf_api_route_find(url, method, r->api->config, &r->allow);
    if (r->route != NULL)
        r->body_bytes_max += r->route->extra_bytes;
    else if (r->allow != NULL)
        hf_api_answer_status(r, MHD_HTTP_METHOD_NOT_ALLOWED, "bad_message",
                             "this path has another method: see Allow");
    else
        hf_api_answer_error(r, HF_CODE_NOT_FOUND, "there is nothing at this path");
}

/* Whether the client waits for our word before it sends its body (RFC 9110 10.1.1). */
static bool expects_continue(const struct hf_api_request *r)
{
    const char *expect = header(r, MHD_HTTP_HEADER_EXPECT);

    return expect != NULL && strcasecmp(expect, "100-continue") == 0;
}

/*
 * The head has come. What is refused is answered when its body has been read and dropped, because a client that still sends
 * would see a reset in place of the answer; it is answered at once where the body would be too long for that, or has not been sent yet.
 */
static enum MHD_Result read_head(struct hf_api_request *r, const char *url, const char *method)
{
    const char *length = header(r, MHD_HTTP_HEADER_CONTENT_LENGTH);
    unsigned long long body_bytes = length == NULL ? 0 : strtoull(length, NULL, 10);
    enum hf_api_right right = hf_api_path_right(url, r->api->config);

    if (r->state == HF_API_READING && right != HF_API_OPEN && right != HF_API_ADMIN)
        check_access(r, right);
    if (r->state == HF_API_READING)
        find_route(r, url, method);
    hf_buf_init(&r->body, r->body_bytes_max);
    if (r->state == HF_API_READING && body_bytes > r->body_bytes_max)
        hf_api_answer_error(r, HF_CODE_TOO_LARGE, "the body is longer than a message may be");
    if (r->state == HF_API_READING && r->route->right != HF_API_OPEN && !may_hold(r, 0))
        hf_api_answer_error(r, HF_CODE_OVERLOADED, "too many requests are under way");
    if (r->state == HF_API_ANSWERED && (body_bytes > DROPPED_BYTES_MAX || expects_continue(r)))
        return queue_answer(r);
    return MHD_YES;
}

static void keep_body(struct hf_api_request *r, const char *data, size_t len)
{
    if (!may_hold(r, len)) {
        hf_api_answer_error(r, HF_CODE_OVERLOADED, "too many requests are under way");
    } else if (len > r->body_bytes_max - r->body.len) {
        hf_api_answer_error(r, HF_CODE_TOO_LARGE, "the body is longer than a message may be");
    } else {
        hold(r, len);
        if (hf_buf_put(&r->body, data, len) < 0)
            hf_api_answer_error(r, HF_CODE_INTERNAL, "out of memory");
    }
}

/* Returns MHD_NO, which ends the connection, where a body that nobody wants does not end. */
static enum MHD_Result read_body(struct hf_api_request *r, const char *data, size_t len)
{
    if (r->state == HF_API_READING) {
        keep_body(r, data, len);
        return MHD_YES;
    }
    r->dropped_bytes += len;
    return r->dropped_bytes <= DROPPED_BYTES_MAX ? MHD_YES : MHD_NO;
}

static enum MHD_Result read_end(struct hf_api_request *r)
{
    if (r->state == HF_API_READING && r->api->stopping)
        hf_api_answer_error(r, HF_CODE_UNAVAILABLE, "the server stops");
    if (r->state == HF_API_READING)
        run_handler(r);
    return r->state == HF_API_ANSWERED ? queue_answer(r) : MHD_YES;
}

/* RFC 3986 2.1: pct-encoded = "%" HEXDIG HEXDIG. libmicrohttpd passes anything else on as it is. */
static bool escapes_valid(const char *uri)
{
    for (; *uri != '\0'; uri++) {
        if (*uri == '%' && (!isxdigit((unsigned char)uri[1]) || !isxdigit((unsigned char)uri[2])))
            return false;
    }
    return true;
}

void *hf_api_on_uri(void *context, const char *uri, struct MHD_Connection *connection)
{
    struct hf_api_request *r = request_new(context, connection);

    if (r != NULL && !escapes_valid(uri))
        hf_api_answer_error(r, HF_CODE_BAD_MESSAGE,
                            "a % in the address is not followed by two hexadecimal digits");
    return r;
}

enum MHD_Result hf_api_on_request(void *context, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *upload_data,
                                  size_t *upload_data_size, void **request)
{
    struct hf_api_request *r = *request;
    size_t len = *upload_data_size;

    if (r == NULL) /* There was no memory for it. */
        return MHD_NO;
    if (!r->head_read) {
        r->head_read = true;
        return read_head(r, url, method);
    }
    if (len == 0)
        return read_end(r);
    *upload_data_size = 0;
    return read_body(r, upload_data, len);
}

void hf_api_on_completed(void *context, struct MHD_Connection *connection, void **request,
                         enum MHD_RequestTerminationCode why)
{
    struct hf_api_request *r = *request;

    if (r == NULL)
        return;
    *request = NULL;
    hf_list_del(&r->node);
    r->connection = NULL;
    let_go(r);
    r->api = NULL;
    request_unref(r);
}
