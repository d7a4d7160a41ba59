/*
 * test_api.c - the HTTP API over real sockets, in front of a hub of the test's own that records what it is asked.
 * One thread: the client's socket never blocks, and the API runs between its reads, as it does in a worker's loop.
 */
#include "api/api.h"

#include "api/access.h"
#include "server/logger.h"
#include "server/service.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

/* --- the hub --- */

enum { CALLS_MAX = 1100, TEXT_MAX = 1024 };

struct call {
    char channel[TEXT_MAX], id[TEXT_MAX], key[TEXT_MAX], session[TEXT_MAX];
    char *payload;
    bool has_id, raw;
    uint16_t close_code;
    hf_service_done *done;
    void *ctx;
};

struct hf_hub {
    bool deferred; /* calls wait for hub_answer() */
    bool not_ready;
    struct hf_service_result result; /* of calls that do not wait */
    struct call calls[CALLS_MAX];
    unsigned count;
    char history[TEXT_MAX], channels[TEXT_MAX]; /* what was asked */
    size_t history_bytes;                       /* of a long answer */
    bool harmed_enough, nobody_there;           /* what the demo is told */
    unsigned harm_asked;                        /* how often a turn to harm was asked for */
    char killed[TEXT_MAX];
};

static void copy(char out[TEXT_MAX], struct hf_str s)
{
    assert_true(s.len < TEXT_MAX);
    if (s.len > 0)
        memcpy(out, s.data, s.len);
    out[s.len] = '\0';
}

static void hub_answer(struct hf_hub *hub, unsigned index, const struct hf_service_result *result)
{
    hf_service_done *done = hub->calls[index].done;

    assert_non_null(done);
    hub->calls[index].done = NULL;
    done(hub->calls[index].ctx, result);
}

static struct call *hub_call(struct hf_hub *hub, hf_service_done *done, void *ctx)
{
    struct call *call = &hub->calls[hub->count++];

    assert_true(hub->count <= CALLS_MAX);
    call->done = done;
    call->ctx = ctx;
    return call;
}

void hf_service_publish(struct hf_hub *hub, const struct hf_service_publish *publish, hf_service_done *done,
                        void *ctx)
{
    struct call *call = hub_call(hub, done, ctx);
    unsigned index = hub->count - 1;

    copy(call->channel, publish->channel);
    copy(call->id, publish->id);
    copy(call->key, publish->key);
    call->has_id = publish->id.data != NULL;
    free(call->payload);
    call->payload = strndup(publish->payload.data, publish->payload.len);
    call->raw = publish->raw;
    if (!hub->deferred)
        hub_answer(hub, index, &hub->result);
}

void hf_service_disconnect(struct hf_hub *hub, struct hf_str session, uint16_t close_code,
                           hf_service_done *done, void *ctx)
{
    struct call *call = hub_call(hub, done, ctx);

    copy(call->session, session);
    call->close_code = close_code;
    if (!hub->deferred)
        hub_answer(hub, hub->count - 1, &hub->result);
}

/* What the order says stands in the call: the user in id, the act in payload. */
void hf_service_order(struct hf_hub *hub, const struct hf_service_order *order, hf_service_done *done,
                      void *ctx)
{
    static const char *const acts[] = {"subscribe", "unsubscribe", "disconnect"};
    struct call *call = hub_call(hub, done, ctx);

    copy(call->channel, order->channel);
    copy(call->id, order->user);
    copy(call->session, order->session);
    call->close_code = order->close_code;
    free(call->payload);
    call->payload = strdup(acts[order->act]);
    if (!hub->deferred)
        hub_answer(hub, hub->count - 1, &hub->result);
}

/* The question stands in the call: the limit in close_code, after in session. */
void hf_service_presence(struct hf_hub *hub, const struct hf_presence_query *query, struct hf_buf *out,
                         hf_service_done *done, void *ctx)
{
    struct call *call = hub_call(hub, done, ctx);

    copy(call->channel, query->channel);
    copy(call->session, query->after);
    call->close_code = (uint16_t)query->limit;
    hf_buf_puts(out, "\"members\":[],\"total\":0");
    for (size_t n = 0; n < hub->history_bytes; n += 1024)
        hf_buf_putf(out, ",\"%01020d\":1", 1);
    if (!hub->deferred)
        hub_answer(hub, hub->count - 1, &hub->result);
}

bool hf_service_may_harm(struct hf_hub *hub, unsigned kind)
{
    assert_true(kind <= HF_HARM_FREEZE);
    hub->harm_asked++;
    return !hub->harmed_enough;
}

bool hf_service_held(struct hf_hub *hub, struct hf_str session)
{
    (void)session;
    return !hub->nobody_there;
}

bool hf_service_kill_worker(struct hf_hub *hub, struct hf_str session)
{
    copy(hub->killed, session);
    return !hub->nobody_there;
}

uint32_t hf_service_slot(const struct hf_hub *hub)
{
    (void)hub;
    return 0;
}

int hf_service_history(struct hf_hub *hub, const struct hf_history_query *query, struct hf_buf *out)
{
    snprintf(
        hub->history, sizeof(hub->history), "%.*s since=%d %.*s:%" PRIu64 " limit=%" PRIu64 " reverse=%d",
        (int)query->channel.len, query->channel.data, query->has_since, (int)query->since_epoch.len,
        query->has_since ? query->since_epoch.data : "", query->since_offset, query->limit, query->reverse);
    hf_buf_puts(out, "\"epoch\":\"e\",\"offset\":3,\"messages\":[");
    for (size_t n = 0; n < hub->history_bytes; n += 1024) {
        if (hf_buf_putf(out, "%s%01020d", n == 0 ? "" : ",", 1) < 0)
            return HF_ELIMIT;
    }
    return hf_buf_puts(out, "]");
}

static const char *text_of(struct hf_str s)
{
    return s.data == NULL ? "" : s.data;
}

int hf_service_channels(struct hf_hub *hub, const struct hf_channels_query *q, struct hf_buf *out)
{
    snprintf(hub->channels, sizeof(hub->channels), "prefix=%.*s search=%.*s after=%s%.*s limit=%" PRIu64,
             (int)q->prefix.len, text_of(q->prefix), (int)q->search.len, text_of(q->search),
             q->after.data == NULL ? "none" : "", (int)q->after.len, text_of(q->after), q->limit);
    return hf_buf_puts(out, "{\"channels\":[]}");
}

int hf_service_sessions(struct hf_hub *hub, const struct hf_session_query *query, struct hf_buf *out)
{
    (void)hub;
    return hf_buf_putf(out, "{\"sessions\":[],\"limit\":%llu,\"after\":%llu,\"search\":\"%.*s\"}",
                       (unsigned long long)query->limit, (unsigned long long)query->after,
                       (int)query->search.len, query->search.data == NULL ? "" : query->search.data);
}

int hf_service_session_detail(struct hf_hub *hub, struct hf_str text, struct hf_buf *out)
{
    (void)hub;
    if (!hf_str_eq(text, HF_STR("known")))
        return HF_ENOTFOUND;
    return hf_buf_puts(out, "{\"session\":\"known\"}");
}

int hf_service_stats(struct hf_hub *hub, const struct hf_stats_query *query, struct hf_buf *out)
{
    (void)hub;
    if (query->has_worker && query->worker > 7)
        return HF_ENOTFOUND;
    if (query->brief || query->has_worker)
        return hf_buf_putf(out, "{\"brief\":%d,\"worker\":%d}", query->brief,
                           query->has_worker ? (int)query->worker : -1);
    return hf_buf_puts(out, "{\"workers\":[],\"total\":{}}");
}

int hf_service_top(struct hf_hub *hub, uint64_t limit, struct hf_buf *out)
{
    return hf_buf_putf(out, "{\"limit\":%u}", (unsigned)limit);
}

int hf_service_metrics(struct hf_hub *hub, struct hf_buf *out)
{
    return hf_buf_puts(out, "holdfast_connections 0\n");
}

bool hf_service_ready(struct hf_hub *hub)
{
    return !hub->not_ready;
}

/* --- the server and its clients --- */

struct fixture {
    struct hf_hub hub;
    struct hf_config config;
    void *api;
    int listen_fd;
    struct sockaddr_in addr;
};

static struct fixture *f;

static int set_up(void **state)
{
    socklen_t len = sizeof(f->addr);

    f = calloc(1, sizeof(*f));
    if (f == NULL)
        return -1;
    hf_logger_open(STDERR_FILENO, HF_LOG_ERROR, HF_LOG_LOGFMT);
    hf_config_default(&f->config);
    f->config.message_bytes_max = 1000;
    f->hub.result = (struct hf_service_result){.epoch = "e1", .offset = 42};
    f->addr = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    f->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (bind(f->listen_fd, (struct sockaddr *)&f->addr, len) < 0 || listen(f->listen_fd, 64) < 0 ||
        getsockname(f->listen_fd, (struct sockaddr *)&f->addr, &len) < 0)
        return -1;
    f->api = hf_api_http.start(&f->hub, &f->config, f->listen_fd);
    return f->api == NULL ? -1 : 0;
}

static int tear_down(void **state)
{
    if (f->api != NULL)
        hf_api_http.stop(f->api);
    for (unsigned i = 0; i < CALLS_MAX; i++)
        free(f->hub.calls[i].payload);
    close(f->listen_fd);
    free(f);
    hf_logger_close();
    return 0;
}

/* One turn of the loop: run the API when it has something to do, or wait_ms have passed. */
static void turn(int wait_ms)
{
    struct pollfd pfd = {.fd = hf_api_http.fd(f->api), .events = POLLIN};
    int timeout_ms = hf_api_http.timeout_ms(f->api);

    poll(&pfd, 1, timeout_ms < 0 || timeout_ms > wait_ms ? wait_ms : timeout_ms);
    hf_api_http.run(f->api);
}

static int client_open(void)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&f->addr, sizeof(f->addr)), 0);
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    return fd;
}

static void client_send(int fd, const char *data, size_t len)
{
    for (int turns = 0; len > 0 && turns < 20000; turns++) {
        ssize_t n = send(fd, data, len, MSG_NOSIGNAL);

        if (n > 0) {
            data += n;
            len -= (size_t)n;
        } else if (errno != EAGAIN) {
            return; /* The server has closed; its answer tells why. */
        }
        turn(1);
    }
    assert_int_equal(len, 0);
}

struct response {
    unsigned status;
    char head[2048];
    char *body;
    size_t body_len;
    json_t *json; /* NULL: the body is no JSON */
};

static char received[32 << 20];

static size_t content_length(const char *head)
{
    const char *line = strcasestr(head, "\r\nContent-Length: ");

    assert_non_null(line);
    return strtoul(line + strlen("\r\nContent-Length: "), NULL, 10);
}

/* Read one response; what comes behind it must not be there. */
static struct response client_read(int fd, bool has_body)
{
    struct response response = {0};
    size_t len = 0, need = SIZE_MAX;
    char *end = NULL;

    for (int turns = 0; len < need && turns < 20000; turns++) {
        ssize_t n = recv(fd, received + len, sizeof(received) - len - 1, 0);

        if (n == 0)
            break;
        len += n < 0 ? 0 : (size_t)n;
        received[len] = '\0';
        end = strstr(received, "\r\n\r\n");
        if (end != NULL && need == SIZE_MAX)
            need = (size_t)(end + 4 - received) + (has_body ? content_length(received) : 0);
        turn(1);
    }
    assert_int_equal(len, need);
    assert_true((size_t)(end - received) < sizeof(response.head));
    memcpy(response.head, received, (size_t)(end - received));
    response.status = (unsigned)strtoul(received + strlen("HTTP/1.1 "), NULL, 10);
    response.body = end + 4;
    response.body_len = len - (size_t)(response.body - received);
    response.json = json_loadb(response.body, response.body_len, 0, NULL);
    return response;
}

static struct response exchange(const char *request, size_t len)
{
    struct response response;
    int fd = client_open();

    client_send(fd, request, len);
    response = client_read(fd, strncmp(request, "HEAD", 4) != 0);
    close(fd);
    return response;
}

static size_t write_request(char *out, size_t cap, const char *method, const char *path, const char *headers,
                            const char *body)
{
    int n = snprintf(out, cap, "%s %s HTTP/1.1\r\nHost: localhost\r\n%sContent-Length: %zu\r\n\r\n%s", method,
                     path, headers, strlen(body), body);

    assert_true(n > 0 && (size_t)n < cap);
    return (size_t)n;
}

static struct response request(const char *method, const char *path, const char *headers, const char *body)
{
    size_t cap = strlen(body) + 1024;
    char *text = malloc(cap);
    struct response response;

    assert_non_null(text);
    response = exchange(text, write_request(text, cap, method, path, headers, body));
    free(text);
    return response;
}

static struct response post(const char *path, const char *body)
{
    return request("POST", path, "", body);
}

static const char *member(const struct response *r, const char *name)
{
    const char *text = json_string_value(json_object_get(r->json, name));

    return text == NULL ? "" : text;
}

static void assert_body(struct response r, unsigned status, const char *body)
{
    assert_int_equal(r.status, status);
    assert_int_equal(r.body_len, strlen(body));
    assert_memory_equal(r.body, body, r.body_len);
    json_decref(r.json);
}

static void assert_error(struct response r, unsigned status, const char *code, const char *reason)
{
    assert_int_equal(r.status, status);
    assert_string_equal(member(&r, "code"), code);
    if (strstr(member(&r, "reason"), reason) == NULL)
        assert_string_equal(member(&r, "reason"), reason);
    assert_true(strlen(member(&r, "reason")) > 0);
    json_decref(r.json);
}

static void assert_status(struct response r, unsigned status)
{
    assert_int_equal(r.status, status);
    json_decref(r.json);
}

/* --- publish --- */

static void a_publish_reaches_the_hub_and_its_answer_the_client(void **state)
{
    (void)state;
    assert_body(post("/api/publish", "{\"channel\":\"demo\",\"payload\":{\"a\":1}}"), 200,
                "{\"channel\":\"demo\",\"epoch\":\"e1\",\"offset\":42}");
    assert_string_equal(f->hub.calls[0].channel, "demo");
    assert_string_equal(f->hub.calls[0].payload, "{\"a\":1}");
    assert_false(f->hub.calls[0].has_id);
    assert_string_equal(f->hub.calls[0].key, "");
    f->hub.result.offset = (UINT64_C(1) << 53) - 1;
    assert_body(post("/api/publish",
                     " {\"ch\\u0061nnel\": \"caf\\u00e9 \\\"x\\\"\", \"id\":\"i1\", \"key\":\"k\\u0031\", "
                     "\"later\":[{}], \"payload\":null, \"more\": 1 } "),
                200, "{\"channel\":\"caf\xc3\xa9 \\\"x\\\"\",\"epoch\":\"e1\",\"offset\":9007199254740991}");
    assert_string_equal(f->hub.calls[1].channel, "caf\xc3\xa9 \"x\"");
    assert_string_equal(f->hub.calls[1].payload, "null");
    assert_string_equal(f->hub.calls[1].id, "i1");
    assert_string_equal(f->hub.calls[1].key, "k1");
}

/* PROTOCOL.md: "`payload` is any JSON value and is passed on as written but for white space (numbers of any length, `\u0000`, all of it)". */
static void a_payload_is_passed_on_as_written(void **state)
{
    static const char *const payloads[] = {
        "123456789012345678901234567890.000000000000000000010e+400",
        "\"\\u0000 \\ud800 \\/ \xf0\x9f\x98\x80\"",
        "[1,2,{\"a\":[]},true,false,null]",
        "{\"channel\":\"not this one\",\"channel\":2}",
        "-0",
    };
    char body[256];

    (void)state;
    for (unsigned i = 0; i < sizeof(payloads) / sizeof(payloads[0]); i++) {
        snprintf(body, sizeof(body), "{\"payload\": %s ,\"channel\":\"demo\"}", payloads[i]);
        assert_body(post("/api/publish", body), 200, "{\"channel\":\"demo\",\"epoch\":\"e1\",\"offset\":42}");
        assert_string_equal(f->hub.calls[i].payload, payloads[i]);
    }
}

static void a_wrong_body_is_refused_with_a_reason(void **state)
{
    static const struct {
        const char *body, *reason;
    } cases[] = {
        {"", "the body is empty"},
        {"{", "the body is not JSON"},
        {"{\"channel\":\"a\",\"payload\":1}x", "the body is not JSON"},
        {"{\"channel\":\"a\",\"payload\":01}", "the body is not JSON"},
        {"{\"channel\":\"a\",\"payload\":\"\xff\"}", "the body is not JSON"},
        {"[]", "the body must be a JSON object"},
        {"{}", "channel: is missing"},
        {"{\"channel\":null,\"payload\":1}", "channel: is missing"},
        {"{\"channel\":\"a\"}", "payload: is missing"},
        {"{\"channel\":1,\"payload\":1}", "channel: must be a string"},
        {"{\"channel\":\"a\",\"payload\":1,\"channel\":\"a\"}", "channel: is given twice"},
        {"{\"channel\":\"a\",\"payload\":1,\"p\\u0061yload\":1}", "payload: is given twice"},
        {"{\"channel\":\"\",\"payload\":1}", "channel: must be 1 to 255 bytes without control characters"},
        {"{\"channel\":\"a\\u0000\",\"payload\":1}",
         "channel: must be 1 to 255 bytes without control characters"},
        {"{\"channel\":\"\\ud800\",\"payload\":1}", "channel: has half a surrogate pair"},
        {"{\"channel\":\"a\",\"payload\":1,\"id\":7}", "id: must be a string"},
        {"{\"channel\":\"a\",\"payload\":1,\"id\":\"\"}", "id: must have 1 to 255 bytes"},
        {"{\"channel\":\"a\",\"payload\":1,\"key\":\"\"}", "key: must have 1 to 255 bytes"},
        {"{\"channel\":\"a\",\"payload\":1,\"key\":{}}", "key: must be a string"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_error(post("/api/publish", cases[i].body), 400, "bad_message", cases[i].reason);
    assert_int_equal(f->hub.count, 0);
    assert_body(post("/api/publish", "{\"channel\":\"a\",\"payload\":1,\"id\":null,\"key\":null}"), 200,
                "{\"channel\":\"a\",\"epoch\":\"e1\",\"offset\":42}");
    assert_false(f->hub.calls[0].has_id);
}

static void names_and_keys_end_at_255_bytes(void **state)
{
    char body[1024];

    (void)state;
    snprintf(body, sizeof(body), "{\"channel\":\"%0255d\",\"payload\":1,\"key\":\"%0255d\"}", 1, 2);
    assert_status(post("/api/publish", body), 200);
    snprintf(body, sizeof(body), "{\"channel\":\"%0256d\",\"payload\":1}", 1);
    assert_error(post("/api/publish", body), 400, "bad_message", "channel: must be 1 to 255 bytes");
    snprintf(body, sizeof(body), "{\"channel\":\"a\",\"payload\":1,\"key\":\"%0256d\"}", 1);
    assert_error(post("/api/publish", body), 400, "bad_message", "key: must have 1 to 255 bytes");
}

static void each_code_has_its_status(void **state)
{
    static const struct {
        enum hf_code code;
        unsigned status;
        const char *name;
    } cases[] = {
        {HF_CODE_BAD_MESSAGE, 400, "bad_message"},   {HF_CODE_FORBIDDEN, 403, "forbidden"},
        {HF_CODE_NOT_FOUND, 404, "not_found"},       {HF_CODE_TOO_LARGE, 413, "too_large"},
        {HF_CODE_RATE_LIMITED, 429, "rate_limited"}, {HF_CODE_LIMIT, 507, "limit"},
        {HF_CODE_OVERLOADED, 503, "overloaded"},     {HF_CODE_UNAVAILABLE, 503, "unavailable"},
        {HF_CODE_TIMEOUT, 504, "timeout"},           {HF_CODE_INTERNAL, 500, "internal"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct response r;

        f->hub.result = (struct hf_service_result){.code = cases[i].code, .reason = "because \"so\""};
        r = post("/api/publish", "{\"channel\":\"a\",\"payload\":1}");
        assert_int_equal(strstr(r.head, "\r\nRetry-After: 1") != NULL, cases[i].status == 503);
        assert_error(r, cases[i].status, cases[i].name, "because \"so\"");
    }
    f->hub.result = (struct hf_service_result){.conflict = 1};
    assert_error(post("/api/publish", "{\"channel\":\"a\",\"payload\":1}"), 409, "conflict",
                 "the key was used with another body");
}

static void what_is_too_large_is_refused(void **state)
{
    static char body[80000];
    struct response r;

    (void)state;
    snprintf(body, sizeof(body), "{\"channel\":\"a\",\"payload\":%01000d}", 0);
    memset(strchr(body, '0'), '1', 1000);
    assert_status(post("/api/publish", body), 200);
    snprintf(body, sizeof(body), "{\"channel\":\"a\",\"payload\":%01001d}", 0);
    memset(strchr(body, '0'), '1', 1001);
    assert_error(post("/api/publish", body), 413, "too_large", "the payload is larger than limits.message");
    assert_int_equal(f->hub.count, 1);

    /* 2 x 1,000 for the payload and 64 KiB for what surrounds it. */
    memset(body, ' ', sizeof(body));
    memcpy(body, "{\"channel\":\"a\",\"payload\":1}", 27);
    body[2000 + 65536] = '\0';
    assert_status(post("/api/publish", body), 200);
    body[2000 + 65536] = ' ';
    body[2000 + 65537] = '\0';
    assert_error(post("/api/publish", body), 413, "too_large", "the body is longer than a message may be");
    /* It is answered before the body is there. */
    r = exchange("POST /api/publish HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9999999999\r\n\r\n", 75);
    assert_error(r, 413, "too_large", "the body is longer than a message may be");
    assert_int_equal(f->hub.count, 2);
}

/* A body without a length: it is bounded too, and one that does not end ends with its connection. */
static void a_chunked_body_is_bounded(void **state)
{
    static const char head[] =
        "POST /api/publish HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
    static char text[1 << 18], chunk[0x10000 + 9];
    size_t len = sizeof(head) - 1;
    int fd;

    (void)state;
    len = (size_t)snprintf(text, sizeof(text),
                           "%s10\r\n{\"channel\":\"a\", \r\nb\r\n\"payload\":1\r\n1\r\n}\r\n0\r\n\r\n", head);
    assert_body(exchange(text, len), 200, "{\"channel\":\"a\",\"epoch\":\"e1\",\"offset\":42}");

    memcpy(chunk, "10000\r\n", 7);
    memset(chunk + 7, ' ', 0x10000);
    memcpy(chunk + 7 + 0x10000, "\r\n", 2);
    len = (size_t)snprintf(text, sizeof(text), "%s", head);
    for (int i = 0; i < 2; i++, len += sizeof(chunk))
        memcpy(text + len, chunk, sizeof(chunk));
    memcpy(text + len, "0\r\n\r\n", 5);
    assert_error(exchange(text, len + 5), 413, "too_large", "the body is longer than a message may be");

    fd = client_open();
    client_send(fd, head, sizeof(head) - 1);
    for (size_t sent = 0; sent < 64 << 20;) {
        ssize_t n =
            send(fd, chunk + sent % sizeof(chunk), sizeof(chunk) - sent % sizeof(chunk), MSG_NOSIGNAL);

        if (n < 0 && errno != EAGAIN)
            break;
        sent += n < 0 ? 0 : (size_t)n;
        turn(1);
        assert_true(sent < 32 << 20);
    }
    close(fd);
    assert_int_equal(f->hub.count, 1);
}

/* A client that sends a body which is too long, and looks for the answer only then, gets it. */
static void a_long_body_is_read_before_it_is_refused(void **state)
{
    enum { LONG = 5000000 };
    char *text = malloc(LONG + 1024);
    size_t len;
    int fd = client_open();

    (void)state;
    assert_non_null(text);
    len = (size_t)snprintf(
        text, 1024, "POST /api/publish HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n", LONG);
    memset(text + len, 'x', LONG);
    client_send(fd, text, len + LONG);
    assert_error(client_read(fd, true), 413, "too_large", "the body is longer than a message may be");
    /* One that asks first is told before; and the connection went on. */
    len = (size_t)snprintf(
        text, 1024,
        "POST /api/publish HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n");
    client_send(fd, text, len);
    assert_error(client_read(fd, true), 403, "forbidden", "Host must be");
    close(fd);
    free(text);
}

/* What is no HTTP, and what ends within its head, leaves nothing behind. */
static void a_broken_head_leaves_nothing(void **state)
{
    static const char *const heads[] = {
        "GET /healthz HTTP/1.1\r\nHo",
        "\x16\x03\x01",
        "GET\r\n\r\n",
        "GET /a%zz HTTP/1.1\r\n",
        "POST /api/publish HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n",
        "POST /api/publish HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{"};
    int fds[6];

    (void)state;
    for (int again = 0; again < 2; again++) {
        for (int i = 0; i < 6; i++) {
            fds[i] = client_open();
            client_send(fds[i], heads[i], strlen(heads[i]));
        }
        for (int i = 0; i < 5; i++)
            turn(1);
        for (int i = 0; i < 6 && again == 0; i++)
            close(fds[i]);
    }
    assert_status(request("GET", "/healthz", "", ""), 200);
    hf_api_http.stop(f->api); /* It asserts that no request is left. */
    f->api = NULL;
    for (int i = 0; i < 6; i++)
        close(fds[i]);
}

/* However a request is cut, the answer is the same. */
static void a_request_may_be_cut_anywhere(void **state)
{
    char text[512];
    size_t len = write_request(text, sizeof(text), "POST", "/api/publish", "",
                               "{\"channel\":\"demo\",\"payload\":[\"x\"]}");

    (void)state;
    for (size_t cut = 1; cut < len; cut++) {
        int fd = client_open();

        client_send(fd, text, cut);
        turn(0);
        client_send(fd, text + cut, len - cut);
        assert_body(client_read(fd, true), 200, "{\"channel\":\"demo\",\"epoch\":\"e1\",\"offset\":42}");
        assert_string_equal(f->hub.calls[cut - 1].payload, "[\"x\"]");
        close(fd);
    }
}

static void one_connection_serves_many_requests(void **state)
{
    char text[512];
    size_t len =
        write_request(text, sizeof(text), "POST", "/api/publish", "", "{\"channel\":\"a\",\"payload\":1}");
    int fd = client_open();

    (void)state;
    for (unsigned i = 0; i < 20; i++) {
        f->hub.deferred = i % 2 == 1;
        client_send(fd, text, len);
        if (f->hub.deferred)
            hub_answer(&f->hub, i, &f->hub.result);
        assert_body(client_read(fd, true), 200, "{\"channel\":\"a\",\"epoch\":\"e1\",\"offset\":42}");
    }
    close(fd);
}

/* --- what waits for the hub --- */

static int begin(const char *path, const char *body)
{
    static char text[1 << 16];
    unsigned count = f->hub.count;
    int fd = client_open();

    f->hub.deferred = true;
    client_send(fd, text, write_request(text, sizeof(text), "POST", path, "", body));
    for (int turns = 0; f->hub.count == count && turns < 1000; turns++)
        turn(1);
    assert_true(f->hub.count > count);
    return fd;
}

static void nothing_received(int fd)
{
    char byte;

    for (int i = 0; i < 5; i++)
        turn(1);
    assert_int_equal(recv(fd, &byte, 1, 0), -1);
    assert_int_equal(errno, EAGAIN);
}

static void a_publish_waits_for_the_hub_and_others_do_not(void **state)
{
    static const struct hf_service_result first = {.epoch = "e", .offset = 1},
                                          second = {.epoch = "e", .offset = 2};
    int a, b;

    (void)state;
    a = begin("/api/publish", "{\"channel\":\"a\",\"payload\":1}");
    b = begin("/api/publish", "{\"channel\":\"b\",\"payload\":2}");
    nothing_received(a);
    assert_status(request("GET", "/healthz", "", ""), 200);
    hub_answer(&f->hub, 1, &second);
    assert_body(client_read(b, true), 200, "{\"channel\":\"b\",\"epoch\":\"e\",\"offset\":2}");
    nothing_received(a);
    hub_answer(&f->hub, 0, &first);
    assert_body(client_read(a, true), 200, "{\"channel\":\"a\",\"epoch\":\"e\",\"offset\":1}");
    close(a);
    close(b);
}

/* A loop that sleeps in epoll learns from the descriptor alone that an answer is due. */
static void an_answer_makes_the_descriptor_readable(void **state)
{
    struct pollfd pfd = {.fd = hf_api_http.fd(f->api), .events = POLLIN};

    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        int fd = begin("/api/publish", "{\"channel\":\"a\",\"payload\":1}");

        nothing_received(fd);
        assert_int_equal(poll(&pfd, 1, 0), 0);
        assert_int_not_equal(hf_api_http.timeout_ms(f->api), 0);
        hub_answer(&f->hub, i, &f->hub.result);
        assert_int_equal(poll(&pfd, 1, 0), 1);
        assert_body(client_read(fd, true), 200, "{\"channel\":\"a\",\"epoch\":\"e1\",\"offset\":42}");
        for (int turns = 0; turns < 5; turns++)
            turn(1);
        assert_int_equal(poll(&pfd, 1, 0), 0);
        close(fd);
        for (int turns = 0; turns < 5; turns++)
            turn(1);
    }
}

/* The client goes away, politely or not, while its publish is under way; the hub answers before and after the API has noticed. */
static void a_client_may_go_away_while_the_hub_works(void **state)
{
    const struct linger reset = {1, 0};

    (void)state;
    for (unsigned i = 0; i < 8; i++) {
        int fd = begin("/api/publish", "{\"channel\":\"a\",\"payload\":1}");

        if (i & 1)
            setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
        close(fd);
        for (unsigned turns = 0; turns < (i & 2 ? 5 : 0); turns++)
            turn(1);
        hub_answer(&f->hub, i, &f->hub.result);
        for (unsigned turns = 0; turns < (i & 4 ? 5 : 0); turns++)
            turn(1);
    }
    f->hub.deferred = false;
    assert_status(post("/api/publish", "{\"channel\":\"a\",\"payload\":1}"), 200);
}

/* The API is gone; what it sent is there. */
static void assert_stopped(int fd, const char *reason)
{
    struct pollfd pfd = {.fd = fd, .events = POLLIN};
    char expected[256];
    ssize_t n;

    assert_int_equal(poll(&pfd, 1, 1000), 1);
    n = recv(fd, received, sizeof(received) - 1, 0);
    assert_true(n > 0);
    received[n] = '\0';
    assert_int_equal(strncmp(received, "HTTP/1.1 503 ", 13), 0);
    snprintf(expected, sizeof(expected), "{\"code\":\"unavailable\",\"reason\":\"%s\"}", reason);
    assert_non_null(strstr(received, expected));
}

static void a_stop_answers_what_waits_and_survives_late_answers(void **state)
{
    int one = begin("/api/publish", "{\"channel\":\"a\",\"payload\":1}");
    int many = begin("/api/broadcast", "{\"channels\":[\"a\",\"b\"],\"payload\":1}");
    int idle = client_open(), late = client_open();
    char text[512];
    size_t len =
        write_request(text, sizeof(text), "POST", "/api/publish", "", "{\"channel\":\"c\",\"payload\":1}");

    (void)state;
    assert_int_equal(f->hub.count, 3);
    hub_answer(&f->hub, 1, &f->hub.result);
    turn(1);
    assert_int_equal(send(late, text, len, MSG_NOSIGNAL), len); /* The API has not read it yet. */
    hf_api_http.stop(f->api);
    f->api = NULL;
    assert_int_equal(f->hub.count, 3);
    hub_answer(&f->hub, 2, &f->hub.result);
    hub_answer(&f->hub, 0, &f->hub.result);
    assert_stopped(one, "the server stops; whether it was done is not known");
    assert_stopped(many, "the server stops; whether it was done is not known");
    assert_stopped(late, "the server stops");
    close(one);
    close(many);
    close(late);
    close(idle);
}

/* --- broadcast --- */

static void a_broadcast_answers_in_order_whatever_comes_first(void **state)
{
    static const unsigned order[] = {2, 0, 3, 1};
    int fd =
        begin("/api/broadcast", "{\"channels\":[\"d\",\"c\",\"b\\u0061\",\"a\"],\"payload\":{\"x\":1.50}}");

    (void)state;
    assert_int_equal(f->hub.count, 4);
    for (unsigned i = 0; i < 4; i++) {
        struct hf_service_result result = {.epoch = "e", .offset = order[i] + 1};

        nothing_received(fd);
        assert_string_equal(f->hub.calls[i].payload, "{\"x\":1.50}");
        assert_string_equal(f->hub.calls[i].key, "");
        if (order[i] == 3)
            result = (struct hf_service_result){.code = HF_CODE_LIMIT, .reason = "no room"};
        hub_answer(&f->hub, order[i], &result);
    }
    assert_body(client_read(fd, true), 200,
                "{\"results\":[{\"channel\":\"d\",\"epoch\":\"e\",\"offset\":1},{\"channel\":\"c\",\"epoch\":"
                "\"e\",\"offset\":2},"
                "{\"channel\":\"ba\",\"epoch\":\"e\",\"offset\":3},"
                "{\"channel\":\"a\",\"code\":\"limit\",\"reason\":\"no room\"}]}");
    close(fd);
}

static void a_broadcast_has_1_to_1000_channels(void **state)
{
    static char body[8192];
    size_t n = 0;
    struct response r;

    (void)state;
    n += (size_t)snprintf(body, sizeof(body), "{\"payload\":1,\"channels\":[\"c0\"");
    for (unsigned i = 1; i < 1000; i++)
        n += (size_t)snprintf(body + n, sizeof(body) - n, ",\"c%u\"", i);
    snprintf(body + n, sizeof(body) - n, "]}");
    r = post("/api/broadcast", body);
    assert_int_equal(json_array_size(json_object_get(r.json, "results")), 1000);
    assert_status(r, 200);
    assert_int_equal(f->hub.count, 1000);
    assert_string_equal(f->hub.calls[999].channel, "c999");
    snprintf(body + n, sizeof(body) - n, ",\"c\"]}");
    assert_error(post("/api/broadcast", body), 400, "bad_message", "channels: must have 1 to 1000 channels");
    assert_error(post("/api/broadcast", "{\"channels\":[],\"payload\":1}"), 400, "bad_message",
                 "channels: must have 1 to 1000 channels");
    assert_error(post("/api/broadcast", "{\"channels\":[\"a\",1],\"payload\":1}"), 400, "bad_message",
                 "channels: each must be a string");
    assert_error(post("/api/broadcast", "{\"channels\":\"a\",\"payload\":1}"), 400, "bad_message",
                 "channels: must be an array");
    assert_int_equal(f->hub.count, 1000);
}

/* Bytes in place of JSON, as with publish: decoded once, the same for every channel. */
static void a_broadcast_may_have_bytes(void **state)
{
    static const char results[] = "{\"results\":[{\"channel\":\"a\",\"epoch\":\"e1\",\"offset\":42},"
                                  "{\"channel\":\"b\",\"epoch\":\"e1\",\"offset\":42}]}";

    (void)state;
    assert_body(post("/api/broadcast", "{\"channels\":[\"a\",\"b\"],\"payloadBase64\":\"aGk/\"}"), 200,
                results);
    assert_int_equal(f->hub.count, 2);
    for (unsigned i = 0; i < 2; i++) {
        assert_string_equal(f->hub.calls[i].payload, "hi?");
        assert_true(f->hub.calls[i].raw);
    }
    assert_body(post("/api/broadcast", "{\"channels\":[\"a\",\"b\"],\"payload\":\"aGk/\"}"), 200, results);
    assert_string_equal(f->hub.calls[3].payload, "\"aGk/\"");
    assert_false(f->hub.calls[3].raw);
    assert_error(post("/api/broadcast", "{\"channels\":[\"a\"],\"payloadBase64\":\"aGk\"}"), 400,
                 "bad_message", "payloadBase64: must be base64");
    assert_error(post("/api/broadcast", "{\"channels\":[\"a\"],\"payloadBase64\":\"aGk/\",\"payload\":1}"),
                 400, "bad_message", "payload and payloadBase64 are both given");
    assert_error(post("/api/broadcast", "{\"channels\":[\"a\"]}"), 400, "bad_message", "payload: is missing");
    assert_int_equal(f->hub.count, 4);
}

/* PROTOCOL.md: "`{results[]}` in their order, each `{channel,epoch,offset}` or `{channel,code,reason}`". */
static void a_broadcast_tells_which_name_is_none(void **state)
{
    (void)state;
    assert_body(post("/api/broadcast", "{\"channels\":[\"a\",\"\",\"b\\n\",\"c\"],\"payload\":1}"), 200,
                "{\"results\":[{\"channel\":\"a\",\"epoch\":\"e1\",\"offset\":42},"
                "{\"channel\":\"\",\"code\":\"bad_message\",\"reason\":\"channel: must be 1 to 255 bytes "
                "without control characters\"},"
                "{\"channel\":\"b\\n\",\"code\":\"bad_message\",\"reason\":\"channel: must be 1 to 255 bytes "
                "without control characters\"},"
                "{\"channel\":\"c\",\"epoch\":\"e1\",\"offset\":42}]}");
    assert_int_equal(f->hub.count, 2);
    /* Nothing is left to wait for. */
    f->hub.deferred = true;
    assert_status(post("/api/broadcast", "{\"channels\":[\"\"],\"payload\":1}"), 200);
    assert_int_equal(f->hub.count, 2);
}

static void a_broadcasts_key_counts_per_channel(void **state)
{
    static const char body[] = "{\"channels\":[\"a\",\"b\"],\"payload\":1,\"key\":\"k\"}";

    (void)state;
    assert_status(post("/api/broadcast", body), 200);
    assert_status(post("/api/broadcast", body), 200);
    assert_int_equal(strlen(f->hub.calls[0].key), 64);
    assert_string_not_equal(f->hub.calls[0].key, f->hub.calls[1].key);
    assert_string_equal(f->hub.calls[0].key, f->hub.calls[2].key);
    assert_string_equal(f->hub.calls[1].key, f->hub.calls[3].key);
    f->hub.result = (struct hf_service_result){.conflict = 1};
    assert_body(
        post("/api/broadcast", body), 409,
        "{\"code\":\"conflict\",\"reason\":\"the key was used with another body\",\"results\":["
        "{\"channel\":\"a\",\"code\":\"conflict\",\"reason\":\"the key was used with another body\"},"
        "{\"channel\":\"b\",\"code\":\"conflict\",\"reason\":\"the key was used with another body\"}]}");
}

/* What is held for all requests together is bounded, and given back. */
static void bodies_and_answers_are_bounded_together(void **state)
{
    enum { PAYLOAD = 4 << 20, FIT = HF_API_HELD_BYTES_MAX / PAYLOAD };
    char *text = malloc(PAYLOAD + 1024);
    int fds[FIT];
    size_t len;

    (void)state;
    assert_non_null(text);
    f->config.message_bytes_max = PAYLOAD;
    len = (size_t)snprintf(text, 1024,
                           "POST /api/publish HTTP/1.1\r\nHost: localhost\r\nContent-Length: "
                           "%d\r\n\r\n{\"channel\":\"a\",\"payload\":\"",
                           PAYLOAD);
    memset(text + len, 'x', PAYLOAD - 26);
    memcpy(text + len + PAYLOAD - 28, "\"}", 2);
    len += PAYLOAD - 26;
    f->hub.deferred = true;
    for (unsigned i = 0; i < FIT; i++) {
        fds[i] = client_open();
        client_send(fds[i], text, len);
        for (int turns = 0; f->hub.count == i && turns < 1000; turns++)
            turn(1);
        assert_int_equal(f->hub.count, i + 1);
    }
    assert_error(post("/api/publish", "{\"channel\":\"a\",\"payload\":1}"), 503, "overloaded",
                 "too many requests");
    for (unsigned i = 0; i < FIT; i++) {
        hub_answer(&f->hub, i, &f->hub.result);
        assert_status(client_read(fds[i], true), 200);
        close(fds[i]);
    }
    f->hub.deferred = false;
    assert_status(post("/api/publish", "{\"channel\":\"a\",\"payload\":1}"), 200);
    free(text);
}

/* Nor can clients that do not read their answers make it hold more; probes are answered all the same. */
static void answers_that_are_not_read_are_bounded(void **state)
{
    static const char body[] = "{\"channel\":\"a\"}";
    char text[512];
    size_t len = write_request(text, sizeof(text), "POST", "/api/history", "", body);
    int fds[5];

    (void)state;
    f->hub.history_bytes = 15 << 20;
    for (int i = 0; i < 5; i++) {
        fds[i] = client_open();
        client_send(fds[i], text, len);
    }
    assert_error(request("GET", "/api/channels", "", ""), 503, "overloaded", "too many requests");
    assert_status(request("GET", "/healthz", "", ""), 200);
    for (int i = 0; i < 5; i++)
        close(fds[i]);
    for (int i = 0; i < 10; i++)
        turn(1);
    assert_status(request("GET", "/api/channels", "", ""), 200);
}

/* --- the other requests --- */

static void history_is_asked_for_as_in_the_protocol(void **state)
{
    (void)state;
    assert_body(post("/api/history", "{\"channel\":\"demo\"}"), 200,
                "{\"epoch\":\"e\",\"offset\":3,\"messages\":[]}");
    assert_string_equal(f->hub.history, "demo since=0 :0 limit=100 reverse=0");
    assert_status(post("/api/history",
                       "{\"channel\":\"demo\",\"since\":{\"epoch\":\"e\\u0031\",\"offset\":7},\"limit\":1000,"
                       "\"reverse\":true}"),
                  200);
    assert_string_equal(f->hub.history, "demo since=1 e1:7 limit=1000 reverse=1");
    assert_status(post("/api/history", "{\"channel\":\"demo\",\"since\":null,\"limit\":1,\"reverse\":false}"),
                  200);
    assert_string_equal(f->hub.history, "demo since=0 :0 limit=1 reverse=0");
    assert_error(post("/api/history", "{\"channel\":\"a\",\"limit\":0}"), 400, "bad_message",
                 "limit: must be 1 to 1000");
    assert_error(post("/api/history", "{\"channel\":\"a\",\"limit\":1001}"), 400, "bad_message",
                 "limit: must be 1 to 1000");
    assert_error(post("/api/history", "{\"channel\":\"a\",\"limit\":1.0}"), 400, "bad_message",
                 "limit: must be an integer");
    assert_error(post("/api/history", "{\"channel\":\"a\",\"reverse\":1}"), 400, "bad_message",
                 "reverse: must be true or false");
    assert_error(post("/api/history", "{\"channel\":\"a\",\"since\":7}"), 400, "bad_message",
                 "since: must be an object");
    assert_error(post("/api/history", "{\"channel\":\"a\",\"since\":{\"offset\":7}}"), 400, "bad_message",
                 "epoch: is missing");
    assert_error(post("/api/history", "{\"channel\":\"a\",\"since\":{\"epoch\":\"e\",\"offset\":-7}}"), 400,
                 "bad_message", "offset: must be an integer");
    assert_error(post("/api/history", "{}"), 400, "bad_message", "channel: is missing");
}

static void a_history_beyond_the_bound_is_refused_and_below_is_whole(void **state)
{
    struct response r;

    (void)state;
    f->hub.history_bytes = 15 << 20;
    r = post("/api/history", "{\"channel\":\"a\"}");
    assert_true(r.body_len > 14 << 20);
    assert_int_equal(r.body[r.body_len - 1], '}');
    assert_status(r, 200);
    f->hub.history_bytes = 17 << 20;
    assert_error(post("/api/history", "{\"channel\":\"a\"}"), 413, "too_large", "ask for it in parts");
}

static void channels_are_listed_by_the_query(void **state)
{
    (void)state;
    assert_body(request("GET", "/api/channels", "", ""), 200, "{\"channels\":[]}");
    assert_string_equal(f->hub.channels, "prefix= search= after=none limit=100");
    assert_status(request("GET", "/api/channels?prefix=a%2Fb%26&after=x%20y&limit=1000", "", ""), 200);
    assert_string_equal(f->hub.channels, "prefix=a/b& search= after=x y limit=1000");
    assert_status(request("GET", "/api/channels?after=", "", ""), 200);
    assert_string_equal(f->hub.channels, "prefix= search= after= limit=100");
    assert_status(request("GET", "/api/channels?after&search=b%26c", "", ""), 200);
    assert_string_equal(f->hub.channels, "prefix= search=b&c after= limit=100");
    assert_error(request("GET", "/api/channels?search=%ff", "", ""), 400, "bad_message", "must be UTF-8");
    assert_error(request("GET", "/api/channels?limit=0", "", ""), 400, "bad_message",
                 "limit: must be 1 to 1000");
    assert_error(request("GET", "/api/channels?limit=1001", "", ""), 400, "bad_message",
                 "limit: must be 1 to 1000");
    assert_error(request("GET", "/api/channels?limit=", "", ""), 400, "bad_message",
                 "limit: must be 1 to 1000");
    assert_error(request("GET", "/api/channels?limit=ten", "", ""), 400, "bad_message",
                 "limit: must be 1 to 1000");
    assert_error(request("GET", "/api/channels?prefix=%ff", "", ""), 400, "bad_message", "must be UTF-8");
    assert_error(request("GET", "/api/channels?prefix=%zz", "", ""), 400, "bad_message",
                 "two hexadecimal digits");
    assert_error(request("GET", "/api/channels?prefix=%4", "", ""), 400, "bad_message",
                 "two hexadecimal digits");
    assert_error(request("GET", "/api/channels?prefix=%", "", ""), 400, "bad_message",
                 "two hexadecimal digits");
}

static void a_session_is_disconnected_by_the_hub(void **state)
{
    (void)state;
    assert_body(post("/api/disconnect", "{\"session\":\"s1\"}"), 200, "{\"disconnected\":1}");
    assert_string_equal(f->hub.calls[0].session, "s1");
    assert_int_equal(f->hub.calls[0].close_code, 4003);
    assert_status(post("/api/disconnect", "{\"session\":\"s1\",\"code\":1012}"), 200);
    assert_int_equal(f->hub.calls[1].close_code, 1012);
    assert_error(post("/api/disconnect", "{}"), 400, "bad_message", "either session or user");
    assert_error(post("/api/disconnect", "{\"user\":\"u\",\"session\":\"s\"}"), 400, "bad_message",
                 "either session or user");
    assert_error(post("/api/disconnect", "{\"session\":\"s\",\"code\":1006}"), 400, "bad_message",
                 "code: must be a close code");
    assert_error(post("/api/disconnect", "{\"session\":\"s\",\"code\":69539}"), 400, "bad_message",
                 "code: must be a close code");
    assert_error(post("/api/disconnect", "{\"session\":\"s\",\"code\":\"4003\"}"), 400, "bad_message",
                 "code: must be an integer");
    assert_int_equal(f->hub.count, 2);
    f->hub.result = (struct hf_service_result){.code = HF_CODE_NOT_FOUND, .reason = "no such session"};
    assert_error(post("/api/disconnect", "{\"session\":\"s\"}"), 404, "not_found", "no such session");
}

static void all_sessions_of_a_user_are_disconnected(void **state)
{
    (void)state;
    f->hub.result.sessions = 3;
    assert_body(post("/api/disconnect", "{\"user\":\"u\",\"code\":1012}"), 200, "{\"disconnected\":3}");
    assert_string_equal(f->hub.calls[0].payload, "disconnect");
    assert_string_equal(f->hub.calls[0].id, "u");
    assert_string_equal(f->hub.calls[0].session, "");
    assert_int_equal(f->hub.calls[0].close_code, 1012);
    f->hub.result = (struct hf_service_result){.code = HF_CODE_TIMEOUT, .reason = "too slow"};
    assert_error(post("/api/disconnect", "{\"user\":\"u\"}"), 504, "timeout", "too slow");
}

static void sessions_are_subscribed_and_unsubscribed(void **state)
{
    (void)state;
    f->hub.result.sessions = 2;
    assert_body(post("/api/subscribe", "{\"user\":\"u\",\"channel\":\"c\"}"), 200, "{\"subscribed\":2}");
    assert_string_equal(f->hub.calls[0].payload, "subscribe");
    assert_string_equal(f->hub.calls[0].id, "u");
    assert_string_equal(f->hub.calls[0].channel, "c");
    f->hub.result.refused = 1;
    assert_body(post("/api/subscribe", "{\"user\":\"u\",\"channel\":\"c\"}"), 200,
                "{\"subscribed\":2,\"refused\":1}");
    f->hub.result = (struct hf_service_result){.sessions = 1};
    assert_body(post("/api/unsubscribe", "{\"session\":\"s\",\"channel\":\"c\"}"), 200,
                "{\"unsubscribed\":1}");
    assert_string_equal(f->hub.calls[2].payload, "unsubscribe");
    assert_string_equal(f->hub.calls[2].session, "s");
    f->hub.result = (struct hf_service_result){.code = HF_CODE_NOT_FOUND, .reason = "no such session"};
    assert_error(post("/api/subscribe", "{\"session\":\"s\",\"channel\":\"c\"}"), 404, "not_found",
                 "no such session");
    assert_int_equal(f->hub.count, 4);
    assert_error(post("/api/subscribe", "{\"channel\":\"c\"}"), 400, "bad_message", "either session or user");
    assert_error(post("/api/subscribe", "{\"session\":\"s\"}"), 400, "bad_message", "channel");
    assert_error(post("/api/unsubscribe", "{\"session\":\"s\",\"channel\":\"\"}"), 400, "bad_message",
                 "channel: must be 1 to 255 bytes");
    assert_error(post("/api/unsubscribe", "{\"user\":\"\",\"channel\":\"c\"}"), 400, "bad_message", "user");
    assert_error(post("/api/unsubscribe", "[1]"), 400, "bad_message", "object");
    assert_int_equal(f->hub.count, 4);
}

static void members_are_asked_for(void **state)
{
    (void)state;
    assert_body(post("/api/presence", "{\"channel\":\"c\"}"), 200, "{\"members\":[],\"total\":0}");
    assert_string_equal(f->hub.calls[0].channel, "c");
    assert_string_equal(f->hub.calls[0].session, "");
    assert_int_equal(f->hub.calls[0].close_code, 1000);
    assert_status(post("/api/presence", "{\"channel\":\"c\",\"limit\":10000,\"after\":\"x\"}"), 200);
    assert_string_equal(f->hub.calls[1].session, "x");
    assert_int_equal(f->hub.calls[1].close_code, 10000);
    f->hub.result = (struct hf_service_result){.code = HF_CODE_OVERLOADED, .reason = "no memory"};
    assert_error(post("/api/presence", "{\"channel\":\"c\"}"), 503, "overloaded", "no memory");
    assert_int_equal(f->hub.count, 3);
    assert_error(post("/api/presence", "{}"), 400, "bad_message", "channel: is missing");
    assert_error(post("/api/presence", "{\"channel\":\"\"}"), 400, "bad_message",
                 "channel: must be 1 to 255");
    assert_error(post("/api/presence", "{\"channel\":\"c\",\"limit\":0}"), 400, "bad_message", "limit");
    assert_error(post("/api/presence", "{\"channel\":\"c\",\"limit\":10001}"), 400, "bad_message", "limit");
    assert_int_equal(f->hub.count, 3);
    f->hub.result.code = HF_CODE_NONE;
    f->hub.history_bytes = 64 << 20;
    assert_error(post("/api/presence", "{\"channel\":\"c\"}"), 413, "too_large", "lower limit");
}

static void operation_is_told(void **state)
{
    struct response r;

    (void)state;
    assert_body(request("GET", "/api/stats", "", ""), 200, "{\"workers\":[],\"total\":{}}");
    assert_body(request("GET", "/api/stats?workers=brief", "", ""), 200, "{\"brief\":1,\"worker\":-1}");
    assert_body(request("GET", "/api/stats?workers=brief&worker=7", "", ""), 200,
                "{\"brief\":1,\"worker\":7}");
    assert_body(request("GET", "/api/stats?worker=0", "", ""), 200, "{\"brief\":0,\"worker\":0}");
    assert_error(request("GET", "/api/stats?worker=8", "", ""), 400, "bad_message", "the slot of a worker");
    assert_error(request("GET", "/api/stats?worker=-1", "", ""), 400, "bad_message", "the slot of a worker");
    assert_error(request("GET", "/api/stats?worker=", "", ""), 400, "bad_message", "the slot of a worker");
    assert_error(request("GET", "/api/stats?workers=short", "", ""), 400, "bad_message", "must be brief");
    assert_error(request("GET", "/api/stats?workers", "", ""), 400, "bad_message", "must be brief");
    assert_body(request("GET", "/api/top", "", ""), 200, "{\"limit\":10}");
    assert_body(request("GET", "/api/top?limit=100", "", ""), 200, "{\"limit\":100}");
    r = request("GET", "/metrics", "", "");
    assert_non_null(strstr(r.head, "Content-Type: text/plain; version=0.0.4"));
    assert_body(r, 200, "holdfast_connections 0\n");
    assert_body(request("GET", "/healthz", "", ""), 200, "{\"status\":\"ok\"}");
    assert_body(request("GET", "/readyz", "", ""), 200, "{\"status\":\"ok\"}");
    f->hub.not_ready = true;
    assert_body(request("GET", "/healthz", "", ""), 200, "{\"status\":\"ok\"}");
    assert_error(request("GET", "/readyz", "", ""), 503, "unavailable", "draining");
}

static void a_path_or_method_that_is_not_served_is_refused(void **state)
{
    struct response r;

    (void)state;
    assert_error(request("GET", "/nothing", "", ""), 404, "not_found", "nothing at this path");
    assert_error(request("GET", "/api/publish/", "", ""), 404, "not_found", "nothing at this path");
    r = request("GET", "/api/publish", "", "");
    assert_non_null(strstr(r.head, "\r\nAllow: POST\r\n"));
    assert_error(r, 405, "bad_message", "see Allow");
    r = request("DELETE", "/api/channels", "", "");
    assert_non_null(strstr(r.head, "\r\nAllow: GET, HEAD\r\n"));
    assert_error(r, 405, "bad_message", "see Allow");
    r = request("HEAD", "/healthz", "", "");
    assert_int_equal(r.status, 200);
    assert_non_null(strstr(r.head, "\r\nContent-Length: 15"));
    assert_int_equal(r.body_len, 0);
}

/* --- access --- */

static void a_key_is_asked_for_where_one_is_configured(void **state)
{
    static const char body[] = "{\"channel\":\"a\",\"payload\":1}";
    static const char *const wrong[] = {"",
                                        "Authorization: Bearer s3cre\r\n",
                                        "Authorization: Bearer s3crett\r\n",
                                        "Authorization: Bearer S3cret\r\n",
                                        "Authorization: Bearer \r\n",
                                        "Authorization: Bearers3cret\r\n",
                                        "Authorization: Basic s3cret\r\n",
                                        "Authorization: s3cret\r\n"};
    struct response r;

    (void)state;
    memcpy(f->config.api_key, "s3cret", 7);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        r = request("POST", "/api/publish", wrong[i], body);
        assert_non_null(strstr(r.head, "\r\nWWW-Authenticate: Bearer"));
        assert_error(r, 401, "unauthorized",
                     wrong[i][0] == '\0' ? "is missing" : "is not the configured one");
        assert_error(request("GET", "/metrics", wrong[i], ""), 401, "unauthorized", "");
        assert_error(request("GET", "/nothing", wrong[i], ""), 401, "unauthorized", "");
        assert_status(request("GET", "/healthz", wrong[i], ""), 200);
        assert_status(request("GET", "/readyz", wrong[i], ""), 200);
    }
    assert_int_equal(f->hub.count, 0);
    assert_status(request("POST", "/api/publish", "Authorization: Bearer s3cret\r\n", body), 200);
    assert_status(
        request("POST", "/api/publish", "Authorization: bearer  s3cret\r\nOrigin: https://x\r\n", body), 200);
    assert_status(request("GET", "/metrics", "Authorization: BEARER s3cret\r\n", ""), 200);
}

/* SHA-256 of "reads" and "does-all", by sha256sum. */
static void use_two_keys(void)
{
    char error[256];

    assert_int_equal(hf_config_set(&f->config,
                                   "api.keys=grafana=read:"
                                   "3566cf23ecb6f832d67d1439e0cb3d05eb7f4ad702c6f478aa96f19812f18e8c,"
                                   "backend=full:"
                                   "2915ae28f3b0aa6301f034ee83132ef607b2cd11f046392f3f00af87656405d2",
                                   "--set", error, sizeof(error)),
                     0);
}

/* "several, named, hashed at rest …, read-only or full" */
static void a_key_of_the_list_may_what_it_may(void **state)
{
    static const char body[] = "{\"channel\":\"a\",\"payload\":1}", channel[] = "{\"channel\":\"a\"}";
    struct response r;

    (void)state;
    use_two_keys();
    assert_status(request("GET", "/metrics", "Authorization: Bearer reads\r\n", ""), 200);
    assert_status(request("GET", "/api/stats", "Authorization: Bearer reads\r\n", ""), 200);
    assert_status(request("GET", "/api/channels", "Authorization: Bearer reads\r\n", ""), 200);
    assert_status(request("POST", "/api/history", "Authorization: Bearer reads\r\n", channel), 200);
    assert_error(request("GET", "/nothing", "Authorization: Bearer reads\r\n", ""), 404, "not_found", "");
    assert_error(request("POST", "/api/publish", "Authorization: Bearer reads\r\n", body), 403, "forbidden",
                 "read only");
    assert_error(request("POST", "/api/broadcast", "Authorization: Bearer reads\r\n", body), 403, "forbidden",
                 "read only");
    assert_error(request("POST", "/api/disconnect", "Authorization: Bearer reads\r\n", body), 403,
                 "forbidden", "read only");
    assert_int_equal(f->hub.count, 0);
    assert_status(request("POST", "/api/publish", "Authorization: Bearer does-all\r\n", body), 200);
    assert_status(request("GET", "/metrics", "Authorization: Bearer does-all\r\n", ""), 200);
    r = request("POST", "/api/publish", "Authorization: Bearer does-al\r\n", body);
    assert_error(r, 401, "unauthorized", "is not the configured one");
    /* Its hash is no key. */
    assert_error(
        request("GET", "/metrics",
                "Authorization: Bearer 3566cf23ecb6f832d67d1439e0cb3d05eb7f4ad702c6f478aa96f19812f18e8c\r\n",
                ""),
        401, "unauthorized", "");
    assert_error(request("GET", "/metrics", "", ""), 401, "unauthorized", "is missing");
    /* The one key stays as it is, beside them. */
    memcpy(f->config.api_key, "s3cret", 7);
    assert_status(request("POST", "/api/publish", "Authorization: Bearer s3cret\r\n", body), 200);
    assert_status(request("GET", "/metrics", "Authorization: Bearer reads\r\n", ""), 200);
}

/* Of a peer by its address, or "unix". */
static struct hf_api_verdict verdict(const char *peer, const char *host, const char *origin)
{
    struct sockaddr_storage addr = {.ss_family = strcmp(peer, "unix") == 0 ? AF_UNIX : AF_UNSPEC};
    struct hf_api_caller caller = {(struct sockaddr *)&addr, NULL, host, origin};

    if (inet_pton(AF_INET, peer, &((struct sockaddr_in *)&addr)->sin_addr) == 1)
        addr.ss_family = AF_INET;
    else if (inet_pton(AF_INET6, peer, &((struct sockaddr_in6 *)&addr)->sin6_addr) == 1)
        addr.ss_family = AF_INET6;
    return hf_api_access(&f->config, false, &caller);
}

static void without_a_key_only_this_machine_is_served(void **state)
{
    static const char *const peers[] = {"10.0.0.1",        "128.0.0.1", "::2",
                                        "::ffff:10.0.0.1", "fe80::1",   "nobody"};
    static const char *const local_peers[] = {"127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1"};
    static const char *const hosts[] = {"evil.example",
                                        "localhost.evil.example",
                                        "127.0.0.1.evil.example",
                                        "[::2]:1",
                                        "[::1",
                                        "",
                                        "128.0.0.1",
                                        "[127.0.0.1]",
                                        "10.0.0.1:80",
                                        "127.1",
                                        "localhost:80@evil.example",
                                        "localhost:x",
                                        "[::1]evil.example",
                                        "[::1]:x",
                                        "localhost.",
                                        "localhost/"};
    static const char *const local_hosts[] = {
        "localhost", "LocalHost:8001", "127.0.0.1", "127.0.0.1:8001", "127.200.0.1:1", "[::1]", "[::1]:8001"};

    (void)state;
    for (size_t i = 0; i < sizeof(peers) / sizeof(peers[0]); i++)
        assert_int_equal(verdict(peers[i], "localhost", NULL).code, HF_CODE_UNAUTHORIZED);
    for (size_t i = 0; i < sizeof(local_peers) / sizeof(local_peers[0]); i++)
        assert_int_equal(verdict(local_peers[i], "localhost", NULL).code, HF_CODE_NONE);
    for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
        assert_int_equal(verdict("127.0.0.1", hosts[i], NULL).code, HF_CODE_FORBIDDEN);
        assert_int_equal(verdict("unix", hosts[i], NULL).code, HF_CODE_FORBIDDEN);
    }
    for (size_t i = 0; i < sizeof(local_hosts) / sizeof(local_hosts[0]); i++)
        assert_int_equal(verdict("127.0.0.1", local_hosts[i], NULL).code, HF_CODE_NONE);
    assert_int_equal(verdict("127.0.0.1", NULL, NULL).code, HF_CODE_NONE); /* HTTP/1.0 */
    assert_int_equal(hf_api_access(&f->config, true, &(struct hf_api_caller){NULL, NULL, NULL, NULL}).code,
                     HF_CODE_UNAUTHORIZED);
}

/* Whose page may ask without a key: the server's own, on this machine and under a name of this machine. */
static void without_a_key_only_the_servers_own_page_is_served(void **state)
{
    static const struct {
        const char *peer, *host, *origin;
        enum hf_code code;
    } rows[] = {
        {"127.0.0.1", "localhost:8001", "http://localhost:8001", HF_CODE_NONE},
        {"127.0.0.1", "localhost:8001", "https://localhost:8001", HF_CODE_NONE}, /* TLS ends in front of us */
        {"127.0.0.1", "LOCALHOST:8001", "http://localhost:8001", HF_CODE_NONE},
        {"127.0.0.1", "127.0.0.1:8001", "http://127.0.0.1:8001", HF_CODE_NONE},
        {"::1", "[::1]:8001", "http://[::1]:8001", HF_CODE_NONE},
        {"127.0.0.1", "localhost", "http://localhost", HF_CODE_NONE},
        {"unix", "localhost:9000", "http://localhost:9000", HF_CODE_NONE}, /* ssh -L 9000:/run/holdfast/api */
        /* Another page of this machine: another port, or another name for it. */
        {"127.0.0.1", "localhost:8001", "http://localhost:3000", HF_CODE_FORBIDDEN},
        {"127.0.0.1", "localhost:8001", "http://localhost", HF_CODE_FORBIDDEN},
        {"127.0.0.1", "localhost", "http://localhost:8001", HF_CODE_FORBIDDEN},
        {"127.0.0.1", "localhost:8001", "http://127.0.0.1:8001", HF_CODE_FORBIDDEN},
        {"unix", "localhost:9000", "http://localhost:3000", HF_CODE_FORBIDDEN},
        /* A page from elsewhere. */
        {"127.0.0.1", "localhost:8001", "https://evil.example", HF_CODE_FORBIDDEN},
        {"127.0.0.1", "localhost:8001", "http://localhost:8001.evil.example", HF_CODE_FORBIDDEN},
        {"127.0.0.1", "localhost:8001", "http://evil.example/://localhost:8001", HF_CODE_FORBIDDEN},
        {"unix", "localhost:9000", "https://evil.example", HF_CODE_FORBIDDEN},
        /* One whose name was rebound to this machine: Origin and Host agree, and are its own. */
        {"127.0.0.1", "evil.example:8001", "http://evil.example:8001", HF_CODE_FORBIDDEN},
        {"unix", "evil.example:9000", "http://evil.example:9000", HF_CODE_FORBIDDEN},
        {"unix", "evil.example:9000", NULL, HF_CODE_FORBIDDEN},
        /* A sandboxed frame, a file, an extension; nothing; no Host to compare with. */
        {"127.0.0.1", "localhost:8001", "null", HF_CODE_FORBIDDEN},
        {"127.0.0.1", "localhost:8001", "file://", HF_CODE_FORBIDDEN},
        {"127.0.0.1", "localhost:8001", "chrome-extension://localhost:8001", HF_CODE_FORBIDDEN},
        {"127.0.0.1", "localhost:8001", "localhost:8001", HF_CODE_FORBIDDEN},
        {"127.0.0.1", "localhost:8001", "", HF_CODE_FORBIDDEN},
        {"127.0.0.1", NULL, "http://localhost:8001", HF_CODE_FORBIDDEN},
        {"127.0.0.1", "", "http://", HF_CODE_FORBIDDEN},
        /* Another machine, whatever it says. */
        {"10.0.0.1", "localhost:8001", "http://localhost:8001", HF_CODE_UNAUTHORIZED},
        {"10.0.0.1", "10.0.0.2:8001", "http://10.0.0.2:8001", HF_CODE_UNAUTHORIZED},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct hf_api_verdict v = verdict(rows[i].peer, rows[i].host, rows[i].origin);

        if (v.code != rows[i].code)
            fail_msg("row %zu: %s", i, v.reason == NULL ? "served" : v.reason);
        if (v.code == HF_CODE_NONE)
            assert_true(v.full && v.key == NULL);
    }
    /* With a key the page is anybody's: a browser sends Authorization for no page that the API did not allow, and it allows none. */
    memcpy(f->config.api_key, "s3cret", 7);
    assert_int_equal(verdict("127.0.0.1", "localhost:8001", "http://localhost:8001").code,
                     HF_CODE_UNAUTHORIZED);
    assert_int_equal(verdict("unix", "localhost", NULL).code, HF_CODE_UNAUTHORIZED);
    assert_status(request("POST", "/api/publish",
                          "Authorization: Bearer s3cret\r\nOrigin: https://ops.example\r\n",
                          "{\"channel\":\"a\",\"payload\":1}"),
                  200);
}

static void a_web_page_is_refused_without_a_key(void **state)
{
    static const char body[] = "{\"channel\":\"a\",\"payload\":1}";
    static const char rebound[] = "GET /api/channels HTTP/1.1\r\nHost: evil.example\r\n\r\n";

    (void)state;
    assert_error(request("POST", "/api/publish", "Origin: http://evil.example\r\n", body), 403, "forbidden",
                 "with Origin");
    assert_error(exchange(rebound, sizeof(rebound) - 1), 403, "forbidden", "Host must be localhost");
    assert_int_equal(f->hub.count, 0);
    assert_status(request("POST", "/api/publish", "Origin: http://localhost\r\n", body), 200);
}

/* --- the admin page --- */

static void the_admin_page_serves_its_own_files(void **state)
{
    static const struct {
        const char *path, *type, *has;
    } files[] = {
        {"/admin/", "text/html; charset=utf-8", "<!doctype html>"},
        {"/admin/style.css", "text/css; charset=utf-8", "{"},
        {"/admin/page.js", "text/javascript; charset=utf-8", "Authorization"},
        {"/admin/icon.svg", "image/svg+xml", "<svg"},
    };
    static const char *const page_headers[] = {
        "\r\nContent-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; ",
        " frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'\r\n",
        "\r\nX-Frame-Options: DENY\r\n", "\r\nReferrer-Policy: no-referrer\r\n",
        "\r\nCross-Origin-Opener-Policy: same-origin\r\n"};
    struct response r;

    (void)state;
    memcpy(f->config.api_key, "s3cret", 7); /* The files need no key: they are in every binary. */
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        r = request("GET", files[i].path, "Origin: https://evil.example\r\n", "");
        assert_int_equal(r.status, 200);
        assert_non_null(strstr(r.head, files[i].type));
        assert_non_null(strstr(r.head, "\r\nCross-Origin-Resource-Policy: same-origin\r\n"));
        assert_non_null(strstr(r.head, "\r\nX-Content-Type-Options: nosniff\r\n"));
        assert_non_null(memmem(r.body, r.body_len, files[i].has, strlen(files[i].has)));
        for (size_t h = 0; h < sizeof(page_headers) / sizeof(page_headers[0]); h++)
            assert_int_equal(strstr(r.head, page_headers[h]) != NULL, i == 0);
        assert_null(strstr(r.head, "Access-Control-Allow"));
        json_decref(r.json);
    }
    assert_error(request("POST", "/admin/", "", ""), 405, "bad_message", "");
    assert_error(request("GET", "/admin/nothing", "", ""), 401, "unauthorized", "");
}

static void assert_redirected(const char *path)
{
    struct response r = request("GET", path, "", "");

    assert_int_equal(r.status, 302);
    assert_non_null(strstr(r.head, "\r\nLocation: admin/\r\n"));
    json_decref(r.json);
}

static void other_ways_lead_to_the_admin_page(void **state)
{
    struct response r;

    (void)state;
    assert_redirected("/");
    assert_redirected("/admin");
    f->config.demo = true; /* It has the first place. */
    r = request("GET", "/", "", "");
    assert_int_equal(r.status, 200);
    json_decref(r.json);
    assert_redirected("/admin");
}

static void without_the_admin_page_nothing_of_it_is_there(void **state)
{
    static const char *const paths[] = {
        "/", "/admin", "/admin/", "/admin/style.css", "/admin/page.js", "/admin/icon.svg"};
    struct response r;

    (void)state;
    f->config.api_admin = false;
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
        assert_error(request("GET", paths[i], "", ""), 404, "not_found", "nothing at this path");
    assert_status(request("GET", "/api/access", "", ""), 200);
    f->config.demo = true;
    r = request("GET", "/", "", "");
    assert_int_equal(r.status, 200);
    json_decref(r.json);
}

static void a_caller_is_told_what_he_may(void **state)
{
    static const char all[] =
        "{\"right\":\"full\",\"key\":null,\"version\":\"" HF_VERSION "\",\"workers\":3}";

    (void)state;
    f->config.workers = 3;
    assert_body(request("GET", "/api/access", "", ""), 200, all);
    assert_body(request("GET", "/api/access", "Origin: http://localhost\r\n", ""), 200, all);
    assert_error(request("GET", "/api/access", "Origin: http://evil.example\r\n", ""), 403, "forbidden", "");
    assert_error(request("POST", "/api/access", "", ""), 405, "bad_message", "");
    use_two_keys();
    assert_error(request("GET", "/api/access", "", ""), 401, "unauthorized", "is missing");
    assert_body(request("GET", "/api/access", "Authorization: Bearer reads\r\n", ""), 200,
                "{\"right\":\"read\",\"key\":\"grafana\",\"version\":\"" HF_VERSION "\",\"workers\":3}");
    assert_body(request("GET", "/api/access", "Authorization: Bearer does-all\r\n", ""), 200,
                "{\"right\":\"full\",\"key\":\"backend\",\"version\":\"" HF_VERSION "\",\"workers\":3}");
    memcpy(f->config.api_key, "s3cret", 7); /* It has no name. */
    assert_body(request("GET", "/api/access", "Authorization: Bearer s3cret\r\n", ""), 200, all);
}

/* --- the demo --- */

static const char drop_body[] = "{\"session\":\"00000000000000aa\"}";

static void without_the_demo_nothing_of_it_is_there(void **state)
{
    static const char *const posts[] = {"/demo/drop", "/demo/freeze", "/demo/kill-worker"};

    (void)state;
    assert_error(request("GET", "/demo/page.js", "", ""), 404, "not_found", "nothing at this path");
    for (size_t i = 0; i < sizeof(posts) / sizeof(posts[0]); i++)
        assert_error(post(posts[i], drop_body), 404, "not_found", "nothing at this path");
    for (int i = 0; i < 100; i++)
        turn(1);
    assert_int_equal(f->hub.count, 0); /* no feed */
    assert_string_equal(f->hub.killed, "");
}

static void the_demo_serves_its_own_files(void **state)
{
    static const struct {
        const char *path, *type, *has;
    } files[] = {
        {"/", "text/html; charset=utf-8", "<!doctype html>"},
        {"/demo/style.css", "text/css; charset=utf-8", "prefers-color-scheme"},
        {"/demo/page.js", "text/javascript; charset=utf-8", "WebSocket"},
        {"/demo/icon.svg", "image/svg+xml", "<svg"},
    };
    struct response r;

    (void)state;
    f->config.demo = true;
    memcpy(f->config.api_key, "s3cret", 7); /* The page has no key, and needs none. */
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        r = request("GET", files[i].path, "", "");
        assert_int_equal(r.status, 200);
        assert_non_null(strstr(r.head, files[i].type));
        assert_non_null(memmem(r.body, r.body_len, files[i].has, strlen(files[i].has)));
        /* "own assets only": the browser loads nothing from elsewhere, and the page names nothing. */
        assert_int_equal(
            strstr(r.head, "\r\nContent-Security-Policy: default-src 'none'; script-src 'self';") != NULL,
            i == 0);
        json_decref(r.json);
    }
    assert_error(request("GET", "/metrics", "", ""), 401, "unauthorized", "");
    assert_error(request("POST", "/", "", ""), 405, "bad_message", "");
}

static void the_demo_tells_where_clients_connect(void **state)
{
    (void)state;
    f->config.demo = true;
    f->config.workers = 3;
    assert_body(request("GET", "/demo/server", "", ""), 200,
                "{\"scheme\":\"ws\",\"host\":\"127.0.0.1\",\"port\":8000,\"workers\":3,\"freezeMs\":20000,"
                "\"version\":\"" HF_VERSION "\"}");
    snprintf(f->config.listen[0], HF_ADDRESS_MAX, "0.0.0.0:81");
    assert_body(request("GET", "/demo/server", "", ""), 200,
                "{\"scheme\":\"ws\",\"host\":\"\",\"port\":81,\"workers\":3,\"freezeMs\":20000,"
                "\"version\":\"" HF_VERSION "\"}");
    f->config.api_tls = true;
    snprintf(f->config.tls_listen[0], HF_ADDRESS_MAX, "[::1]:82");
    f->config.tls_listen_count = 1;
    assert_body(request("GET", "/demo/server", "", ""), 200,
                "{\"scheme\":\"wss\",\"host\":\"[::1]\",\"port\":82,\"workers\":3,\"freezeMs\":20000,"
                "\"version\":\"" HF_VERSION "\"}");
}

static void the_demos_harm_reaches_the_hub(void **state)
{
    (void)state;
    f->config.demo = true;
    f->hub.result = (struct hf_service_result){0};
    assert_body(post("/demo/drop", drop_body), 200, "{\"done\":true}");
    assert_string_equal(f->hub.calls[0].session, "00000000000000aa");
    assert_int_equal(f->hub.calls[0].close_code, HF_HARM_DROP);
    assert_body(post("/demo/freeze", drop_body), 200, "{\"done\":true}");
    assert_int_equal(f->hub.calls[1].close_code, HF_HARM_FREEZE);
    assert_body(post("/demo/kill-worker", drop_body), 200, "{\"done\":true}");
    assert_string_equal(f->hub.killed, "00000000000000aa");
    f->hub.nobody_there = true;
    assert_int_equal(f->hub.harm_asked, 3);
    assert_error(post("/demo/kill-worker", drop_body), 404, "not_found", "no worker holds such a session");
    assert_error(post("/demo/drop", drop_body), 404, "not_found", "no worker holds such a session");
    assert_error(post("/demo/freeze", drop_body), 404, "not_found", "no worker holds such a session");
    assert_int_equal(f->hub.harm_asked, 3); /* "Nobody's turn goes to a session that is not there." */
    f->hub.nobody_there = false;
    f->hub.result = (struct hf_service_result){.code = HF_CODE_NOT_FOUND, .reason = "no such"};
    assert_error(post("/demo/drop", drop_body), 404, "not_found", "no such");
    assert_error(post("/demo/drop", "{}"), 400, "bad_message", "session: is missing");
    f->hub.harmed_enough = true;
    assert_error(post("/demo/freeze", drop_body), 429, "rate_limited", "wait a moment");
    assert_error(post("/demo/kill-worker", drop_body), 429, "rate_limited", "within the last three seconds");
    assert_int_equal(f->hub.count, 3);
}

static void the_demos_harm_is_not_for_other_pages(void **state)
{
    static const char rebound[] = "POST /demo/drop HTTP/1.1\r\nHost: evil.example\r\nOrigin: "
                                  "http://evil.example\r\nContent-Length: 0\r\n\r\n";

    (void)state;
    f->config.demo = true;
    assert_error(request("POST", "/demo/drop", "Origin: http://evil.example\r\n", drop_body), 403,
                 "forbidden", "for its own page only");
    assert_error(request("POST", "/demo/kill-worker", "Origin: null\r\n", drop_body), 403, "forbidden",
                 "for its own page only");
    assert_error(exchange(rebound, sizeof(rebound) - 1), 403, "forbidden", "must be localhost");
    assert_int_equal(f->hub.count, 0);
    assert_string_equal(f->hub.killed, "");
    assert_status(request("POST", "/demo/drop", "Origin: http://localhost\r\n", drop_body), 200);
}

static struct hf_api_verdict demo_verdict(bool remote, const char *peer, const char *host, const char *origin)
{
    struct sockaddr_in addr = {.sin_family = AF_INET};

    assert_int_equal(inet_pton(AF_INET, peer, &addr.sin_addr), 1);
    return hf_api_access_demo(remote, &(struct hf_api_caller){(struct sockaddr *)&addr, NULL, host, origin});
}

static void the_demo_is_for_this_machine_unless_told_otherwise(void **state)
{
    (void)state;
    assert_int_equal(demo_verdict(false, "127.0.0.1", "127.0.0.1:1", "http://127.0.0.1:1").code,
                     HF_CODE_NONE);
    assert_int_equal(demo_verdict(false, "127.0.0.1", "localhost:1", NULL).code, HF_CODE_NONE);
    assert_int_equal(demo_verdict(false, "10.0.0.1", "localhost:1", NULL).code, HF_CODE_FORBIDDEN);
    assert_int_equal(demo_verdict(false, "127.0.0.1", NULL, NULL).code, HF_CODE_FORBIDDEN);
    assert_int_equal(demo_verdict(false, "127.0.0.1", "localhost:1", "http://localhost:2").code,
                     HF_CODE_FORBIDDEN);
    assert_int_equal(demo_verdict(true, "10.0.0.1", "demo.example", "https://demo.example").code,
                     HF_CODE_NONE);
    assert_int_equal(demo_verdict(true, "10.0.0.1", "demo.example", "https://evil.example").code,
                     HF_CODE_FORBIDDEN);
    assert_int_equal(demo_verdict(true, "10.0.0.1", NULL, "https://evil.example").code, HF_CODE_FORBIDDEN);
}

static void the_demos_feed_goes_on(void **state)
{
    json_t *payload;
    double before = 0;

    (void)state;
    f->config.demo = true;
    hf_api_http.stop(f->api);
    f->api = hf_api_http.start(&f->hub, &f->config, f->listen_fd);
    assert_non_null(f->api);
    for (int i = 0; i < 2000 && f->hub.count < 5; i++)
        turn(50);
    assert_int_equal(f->hub.count, 5);
    for (unsigned i = 0; i < 5; i++) {
        assert_string_equal(f->hub.calls[i].channel, "demo.chart");
        payload = json_loads(f->hub.calls[i].payload, 0, NULL);
        assert_true(json_number_value(json_object_get(payload, "at")) > before);
        before = json_number_value(json_object_get(payload, "at"));
        assert_true(json_real_value(json_object_get(payload, "value")) > 75);
        assert_true(json_real_value(json_object_get(payload, "value")) < 125);
        json_decref(payload);
    }
}

#define API_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        API_TEST(a_publish_reaches_the_hub_and_its_answer_the_client),
        API_TEST(a_payload_is_passed_on_as_written),
        API_TEST(a_wrong_body_is_refused_with_a_reason),
        API_TEST(names_and_keys_end_at_255_bytes),
        API_TEST(each_code_has_its_status),
        API_TEST(what_is_too_large_is_refused),
        API_TEST(a_chunked_body_is_bounded),
        API_TEST(a_long_body_is_read_before_it_is_refused),
        API_TEST(a_broken_head_leaves_nothing),
        API_TEST(a_request_may_be_cut_anywhere),
        API_TEST(one_connection_serves_many_requests),
        API_TEST(a_publish_waits_for_the_hub_and_others_do_not),
        API_TEST(an_answer_makes_the_descriptor_readable),
        API_TEST(a_client_may_go_away_while_the_hub_works),
        API_TEST(a_stop_answers_what_waits_and_survives_late_answers),
        API_TEST(a_broadcast_answers_in_order_whatever_comes_first),
        API_TEST(a_broadcast_has_1_to_1000_channels),
        API_TEST(a_broadcast_may_have_bytes),
        API_TEST(a_broadcast_tells_which_name_is_none),
        API_TEST(a_broadcasts_key_counts_per_channel),
        API_TEST(bodies_and_answers_are_bounded_together),
        API_TEST(answers_that_are_not_read_are_bounded),
        API_TEST(history_is_asked_for_as_in_the_protocol),
        API_TEST(a_history_beyond_the_bound_is_refused_and_below_is_whole),
        API_TEST(channels_are_listed_by_the_query),
        API_TEST(a_session_is_disconnected_by_the_hub),
        API_TEST(all_sessions_of_a_user_are_disconnected),
        API_TEST(sessions_are_subscribed_and_unsubscribed),
        API_TEST(members_are_asked_for),
        API_TEST(operation_is_told),
        API_TEST(a_path_or_method_that_is_not_served_is_refused),
        API_TEST(a_key_is_asked_for_where_one_is_configured),
        API_TEST(a_key_of_the_list_may_what_it_may),
        API_TEST(without_a_key_only_this_machine_is_served),
        API_TEST(without_a_key_only_the_servers_own_page_is_served),
        API_TEST(a_web_page_is_refused_without_a_key),
        API_TEST(the_admin_page_serves_its_own_files),
        API_TEST(other_ways_lead_to_the_admin_page),
        API_TEST(without_the_admin_page_nothing_of_it_is_there),
        API_TEST(a_caller_is_told_what_he_may),
        API_TEST(without_the_demo_nothing_of_it_is_there),
        API_TEST(the_demo_serves_its_own_files),
        API_TEST(the_demo_tells_where_clients_connect),
        API_TEST(the_demos_harm_reaches_the_hub),
        API_TEST(the_demos_harm_is_not_for_other_pages),
        cmocka_unit_test(the_demo_is_for_this_machine_unless_told_otherwise),
        API_TEST(the_demos_feed_goes_on),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
