#include "cli/bench_load.h"

#include "ws/frame.h"
#include "ws/handshake.h"

#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

enum {
    EVENTS = 512, /* of one epoll_wait() */
    READ_BYTES = 256 * 1024,
    OUT_BYTES_MAX = 64 << 20,
    OPENED_A_TURN = 64,
    TURN_NS_MAX = 100 * 1000 * 1000, /* a turn comes at least this often */
    BELL = UINT32_MAX, /* what epoll tells of the bell, where a connection's number stands else */
};

/* "The masking key needs to be unpredictable" (RFC 6455 section 10.3) only where scripts choose the payload; here it may be prepared. */
static const uint8_t mask[4] = {0x37, 0xfa, 0x21, 0x3d};

int64_t hf_bench_now_ns(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

void hf_bench_ring(int bell)
{
    const uint64_t one = 1;

    /* It fails only where the bell has been rung 2^64 times. */
    if (write(bell, &one, sizeof(one)) < 0)
        return;
}

void hf_bench_complain(struct hf_bench_load *load, const char *fmt, ...)
{
    va_list args;

    if (load->share->problem[0] != '\0')
        return;
    va_start(args, fmt);
    (void)vsnprintf(load->share->problem, sizeof(load->share->problem), fmt, args);
    va_end(args);
}

void hf_bench_channel_name(const struct hf_bench_load *load, uint64_t number, char out[96])
{
    (void)snprintf(out, 96, "%s-%" PRIu64, load->options->channel, number);
}

/* --- the end of a connection --- */

static bool is_opening(const struct hf_bench_conn *c)
{
    return c->state != HF_BENCH_NONE && c->state != HF_BENCH_IS_OPEN;
}

void hf_bench_close(struct hf_bench_load *load, struct hf_bench_conn *c, bool abrupt)
{
    load->opening -= is_opening(c);
    load->open -= c->state == HF_BENCH_IS_OPEN;
    hf_bench_stream_close(&c->stream, abrupt);
    hf_buf_release(&c->out);
    free(c->rest);
    c->rest = NULL;
    c->rest_len = c->rest_cap = 0;
    c->watches_output = c->closing = false;
    c->state = HF_BENCH_NONE;
}

void hf_bench_fail(struct hf_bench_load *load, struct hf_bench_conn *c, const char *why)
{
    static const char *const when[] = {"",
                                       "while connecting: ",
                                       "in the handshake: ",
                                       "before the server's first word: ",
                                       "while subscribing: ",
                                       ""};

    hf_bench_complain(load, "%s%s", when[c->state], why);
    HF_BENCH_ADD(load->share->failed, 1);
    if (load->mode->failed != NULL)
        load->mode->failed(load, c);
    hf_bench_close(load, c, false);
}

/* The server has ended it, or it broke. */
static void lost(struct hf_bench_load *load, struct hf_bench_conn *c, const char *why)
{
    uint8_t state = c->state;

    c->left = c->closing;
    hf_bench_close(load, c, false);
    if (load->mode->ended != NULL && load->mode->ended(load, c, why))
        return;
    c->state = state == HF_BENCH_IS_OPEN ? HF_BENCH_NONE : state; /* for the complaint */
    load->opening += is_opening(c);
    hf_bench_fail(load, c, why);
}

/* --- output --- */

static void watch(struct hf_bench_load *load, struct hf_bench_conn *c, int operation, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.u32 = (uint32_t)(c - load->conns)};

    if (epoll_ctl(load->epoll, operation, c->stream.fd, &event) < 0)
        hf_bench_fail(load, c, strerror(errno));
}

void hf_bench_watch_output(struct hf_bench_load *load, struct hf_bench_conn *c, bool on)
{
    if (c->watches_output == on || c->state == HF_BENCH_NONE)
        return;
    c->watches_output = on;
    watch(load, c, EPOLL_CTL_MOD, on ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

void hf_bench_stop_reading(struct hf_bench_load *load, struct hf_bench_conn *c)
{
    if (c->state != HF_BENCH_NONE)
        watch(load, c, EPOLL_CTL_MOD, 0);
}

static void keep_output(struct hf_bench_load *load, struct hf_bench_conn *c, const char *data, size_t len)
{
    if (hf_buf_put(&c->out, data, len) < 0) {
        hf_bench_fail(load, c, "the server takes no more, and 64 MiB are waiting for it");
        return;
    }
    hf_bench_watch_output(load, c, true);
}

void hf_bench_send(struct hf_bench_load *load, struct hf_bench_conn *c, const void *data, size_t len)
{
    ssize_t n = HF_EAGAIN;

    if (c->out.len == 0 && !c->stream.wants_write)
        n = hf_bench_stream_write(&c->stream, data, len);
    if (n == (ssize_t)len)
        return;
    if (n < 0 && n != HF_EAGAIN) {
        /* What the server said before it closed may still lie in the socket: reading meets the end. */
        return;
    }
    if (n < 0)
        n = 0;
    keep_output(load, c, (const char *)data + n, len - (size_t)n);
}

/* The socket takes output. */
static void flush(struct hf_bench_load *load, struct hf_bench_conn *c)
{
    while (c->out.len > 0) {
        ssize_t n = hf_bench_stream_write(&c->stream, c->out.data, c->out.len);

        if (n < 0)
            return;
        hf_buf_drop(&c->out, (size_t)n);
    }
    hf_buf_release(&c->out);
    hf_bench_watch_output(load, c, false);
    if (load->mode->writable != NULL && c->state == HF_BENCH_IS_OPEN)
        load->mode->writable(load, c);
}

void hf_bench_put_message(const struct hf_bench_protocol *protocol, struct hf_buf *out, struct hf_str text)
{
    if (!protocol->framed)
        hf_buf_put_str(out, text);
    else
        (void)hf_ws_put_frame(out, protocol->stream ? HF_WS_BINARY : HF_WS_TEXT, text.data, text.len, mask);
}

void hf_bench_say(struct hf_bench_load *load, struct hf_bench_conn *c, struct hf_str text)
{
    hf_buf_reset(&load->frame);
    hf_bench_put_message(load->protocol, &load->frame, text);
    hf_bench_send(load, c, load->frame.data, load->frame.len);
}

void hf_bench_leave(struct hf_bench_load *load, struct hf_bench_conn *c)
{
    c->closing = true;
    hf_buf_reset(&load->frame);
    (void)hf_ws_put_close(&load->frame, HF_CLOSE_NORMAL, (struct hf_str){0}, mask);
    hf_bench_send(load, c, load->frame.data, load->frame.len);
}

/* --- opening --- */

static void opened(struct hf_bench_load *load, struct hf_bench_conn *c)
{
    load->opening--;
    load->open++;
    c->state = HF_BENCH_IS_OPEN;
    HF_BENCH_ADD(load->share->opened, 1);
    if (load->options->tls_resume)
        HF_BENCH_ADD(load->share->tls_resumed, hf_bench_stream_resumed(&c->stream));
    hf_histogram_record(&load->share->opening, (uint64_t)(load->now_ns - c->begun_ns));
    load->mode->opened(load, c);
}

static bool subscribes(const struct hf_bench_load *load, const struct hf_bench_conn *c)
{
    const struct hf_bench_options *o = load->options;

    return load->protocol->put_subscribe != NULL && !c->publishes && !o->bare && o->mode != HF_BENCH_ECHO &&
           c->ticket == NULL;
}

static void subscribe(struct hf_bench_load *load, struct hf_bench_conn *c)
{
    const struct hf_bench_options *o = load->options;
    bool flow = o->mode == HF_BENCH_FANOUT || o->mode == HF_BENCH_RATE;
    char channel[96];

    hf_bench_channel_name(load,
                          flow        ? (c->index - o->publishers) % o->channels
                          : o->shared ? 0
                                      : c->index,
                          channel);
    hf_buf_reset(&load->text);
    load->protocol->put_subscribe(&load->text, channel);
    hf_bench_say(load, c, hf_buf_str(&load->text));
}

/* The upgrade is done and the server has said its first word, if it has one. */
static void greeted(struct hf_bench_load *load, struct hf_bench_conn *c)
{
    if (!subscribes(load, c)) {
        opened(load, c);
        return;
    }
    c->state = HF_BENCH_JOINS;
    subscribe(load, c);
    if (c->state == HF_BENCH_JOINS && !load->protocol->answers_subscribe)
        opened(load, c);
}

static void upgraded(struct hf_bench_load *load, struct hf_bench_conn *c)
{
    c->state = HF_BENCH_GREETS;
    if (load->protocol->put_hello != NULL) {
        hf_buf_reset(&load->text);
        load->protocol->put_hello(&load->text);
        hf_bench_say(load, c, hf_buf_str(&load->text));
    }
    if (c->state == HF_BENCH_GREETS && !load->protocol->greets)
        greeted(load, c);
}

static void send_request(struct hf_bench_load *load, struct hf_bench_conn *c)
{
    const struct hf_buf *request = c->publishes ? &load->target->publish_request : &load->target->request;

    hf_buf_reset(&load->frame);
    hf_buf_put(&load->frame, request->data, request->len);
    if (c->ticket != NULL)
        hf_buf_putf(&load->frame, "Holdfast-Resume: %s\r\n", c->ticket);
    hf_buf_puts(&load->frame, "\r\n");
    hf_bench_send(load, c, load->frame.data, load->frame.len);
}

static void connected(struct hf_bench_load *load, struct hf_bench_conn *c)
{
    const struct hf_bench_options *o = load->options;

    if (c->publishes ? o->publish_tls : o->tls) {
        if (hf_bench_stream_secure(&c->stream, load->target->tls,
                                   c->publishes ? o->publish_url.host : o->url.host) < 0) {
            hf_bench_fail(load, c, "out of memory for TLS");
            return;
        }
    }
    c->state = HF_BENCH_UPGRADING;
    if (load->mode->no_upgrade || !load->protocol->framed)
        opened(load, c);
    else
        send_request(load, c);
}

/* 127.0.0.1, 127.0.0.2 …: one address has only so many ports. */
static bool bind_source(struct hf_bench_load *load, struct hf_bench_conn *c,
                        const struct hf_bench_address *to)
{
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)&to->at;
    struct sockaddr_in from = {.sin_family = AF_INET};
    uint64_t sources = load->options->sources;
    const int on = 1;

    if (sources <= 1 || to->at.ss_family != AF_INET || ntohl(v4->sin_addr.s_addr) >> 24 != IN_LOOPBACKNET)
        return true;
    from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + (uint32_t)((load->attempts + load->process) % sources));
    /* ip(7): with it the port is chosen at connect(), so that it need only be free towards this server. */
    return setsockopt(c->stream.fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on)) == 0 &&
           bind(c->stream.fd, (const struct sockaddr *)&from, sizeof(from)) == 0;
}

static const char *open_problem(int error)
{
    if (error == EMFILE || error == ENFILE)
        return "no more file descriptors for this process: use more --processes";
    if (error == EADDRNOTAVAIL)
        return "no more ports for this source address: use more --sources";
    return strerror(error);
}

void hf_bench_open(struct hf_bench_load *load, struct hf_bench_conn *c)
{
    const struct hf_bench_address *to =
        c->publishes ? &load->target->publish_address : &load->target->address;
    const int on = 1;
    int result;

    c->state = HF_BENCH_CONNECTING;
    c->begun_ns = load->now_ns;
    load->opening++;
    load->attempts++;
    hf_buf_init(&c->out, OUT_BYTES_MAX);
    c->stream = (struct hf_bench_stream){
        .fd = socket(to->at.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)};
    if (c->stream.fd < 0 || !bind_source(load, c, to)) {
        hf_bench_fail(load, c, open_problem(errno));
        return;
    }
    (void)setsockopt(c->stream.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    result = connect(c->stream.fd, (const struct sockaddr *)&to->at, to->len);
    if (result < 0 && errno != EINPROGRESS) {
        hf_bench_fail(load, c, open_problem(errno));
        return;
    }
    c->watches_output = result < 0;
    watch(load, c, EPOLL_CTL_ADD, result < 0 ? EPOLLIN | EPOLLOUT : EPOLLIN);
    if (result == 0 && c->state == HF_BENCH_CONNECTING)
        connected(load, c);
}

/* It connects, or has failed to. */
static void connect_ended(struct hf_bench_load *load, struct hf_bench_conn *c)
{
    int error = 0;
    socklen_t len = sizeof(error);

    if (getsockopt(c->stream.fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
        error = errno;
    if (error != 0) {
        lost(load, c, open_problem(error));
        return;
    }
    hf_bench_watch_output(load, c, false);
    connected(load, c);
}

/* 429, 503 or `reconnect`. A random part of a second is added, as PROTOCOL.md asks of clients. */
static void come_back_later(struct hf_bench_load *load, struct hf_bench_conn *c, uint64_t delay_ms,
                            uint64_t spread_ms)
{
    int64_t again_ns =
        load->now_ns + (int64_t)((delay_ms * 1000 + hf_rng_below(&load->rng, spread_ms * 1000 + 1)) * 1000);

    HF_BENCH_ADD(load->share->refused, 1);
    hf_bench_close(load, c, false);
    hf_bench_again_at(load, c, again_ns);
}

/* The answer to the upgrade request. Returns the bytes taken, 0 where it is not whole, or a negative number where the connection is gone. */
static ssize_t recv_response(struct hf_bench_load *load, struct hf_bench_conn *c, uint8_t *data, size_t len)
{
    struct hf_handshake_response response;
    char why[64];
    int used = hf_handshake_parse_response(&response, (char *)data, len, load->target->key);

    if (used == 0)
        return len > HF_HTTP_HEAD_MAX ? (hf_bench_fail(load, c, "an endless HTTP head"), -1) : 0;
    if (used < 0) {
        hf_bench_fail(load, c, response.reason);
        return -1;
    }
    if (response.status == 503 || response.status == 429) {
        come_back_later(load, c, (uint64_t)response.retry_after_s * 1000, 1000);
        return -1;
    }
    if (response.status != 101) {
        (void)snprintf(why, sizeof(why), "the server answers HTTP %d", response.status);
        hf_bench_fail(load, c, why);
        return -1;
    }
    upgraded(load, c);
    return c->state == HF_BENCH_NONE ? -1 : used;
}

/* --- input --- */

/* Copy the value of a member like "ticket":"…" out of a message of which no more need be known. NULL: there is none, or no memory. */
static char *copy_string_member(struct hf_str m, const char *opening)
{
    const char *at = memmem(m.data, m.len, opening, strlen(opening));
    const char *end;

    if (at == NULL)
        return NULL;
    at += strlen(opening);
    end = memchr(at, '"', (size_t)(m.data + m.len - at));
    return end == NULL ? NULL : strndup(at, (size_t)(end - at));
}

static bool keeps_tickets(const struct hf_bench_load *load)
{
    return load->options->mode == HF_BENCH_STORM || load->options->resume;
}

/* The welcome. The ticket is kept where sessions come back; greeted() subscribes only where there was none. */
static void greeting(struct hf_bench_load *load, struct hf_bench_conn *c, struct hf_str m)
{
    char *ticket;

    if (c->state != HF_BENCH_GREETS)
        return;
    if (!keeps_tickets(load)) {
        greeted(load, c);
        return;
    }
    ticket = copy_string_member(m, "\"ticket\":\"");
    if (c->ticket != NULL && memmem(m.data, m.len, "\"resumed\":true", 14) == NULL)
        HF_BENCH_ADD(load->share->not_resumed, 1);
    greeted(load, c);
    free(c->ticket);
    c->ticket = ticket;
}

static void refusal(struct hf_bench_load *load, struct hf_bench_conn *c, struct hf_str m)
{
    char why[HF_BENCH_TEXT_MAX];

    (void)snprintf(why, sizeof(why), "the server says %.*s", (int)(m.len < 120 ? m.len : 120), m.data);
    hf_bench_fail(load, c, why);
}

/* The next run of digits; *at moves behind it. */
static uint64_t next_number(const char **at, const char *end)
{
    uint64_t n = 0;

    while (*at < end && (**at < '0' || **at > '9'))
        ++*at;
    while (*at < end && **at >= '0' && **at <= '9')
        n = n * 10 + (uint64_t)(*(*at)++ - '0');
    return n;
}

/* "after":[min,max], in milliseconds. */
static void reconnect(struct hf_bench_load *load, struct hf_bench_conn *c, struct hf_str m)
{
    const char *end = m.data + m.len, *at = memmem(m.data, m.len, "\"after\":[", 9);
    uint64_t low = at == NULL ? 0 : next_number(&at, end), high = at == NULL ? 0 : next_number(&at, end);

    come_back_later(load, c, low, high > low ? high - low : 0);
}

static void heartbeat(struct hf_bench_load *load, struct hf_bench_conn *c)
{
    hf_bench_say(load, c, load->protocol->pong);
    if (load->mode->heartbeat != NULL && c->state == HF_BENCH_IS_OPEN)
        load->mode->heartbeat(load, c);
}

/* A whole message. */
static void recv_message(struct hf_bench_load *load, struct hf_bench_conn *c, struct hf_str m)
{
    struct hf_str payload;

    switch (load->protocol->classify(m, load->options->size, &payload)) {
    case HF_BENCH_DATA:
        if (load->mode->message != NULL && c->state == HF_BENCH_IS_OPEN)
            load->mode->message(load, c, payload);
        return;
    case HF_BENCH_GREETING:
        greeting(load, c, payload);
        return;
    case HF_BENCH_JOINED:
        if (c->state == HF_BENCH_JOINS)
            opened(load, c);
        return;
    case HF_BENCH_HEARTBEAT:
        heartbeat(load, c);
        return;
    case HF_BENCH_RECONNECT:
        reconnect(load, c, payload);
        return;
    case HF_BENCH_REFUSED:
        refusal(load, c, payload);
        return;
    case HF_BENCH_OTHER:
        return;
    }
}

/* Whole messages out of a stream. Returns the bytes used, or a negative number where the connection is gone. */
static ssize_t recv_stream(struct hf_bench_load *load, struct hf_bench_conn *c, const uint8_t *data,
                           size_t len)
{
    size_t used = 0, size = load->options->size;

    while (used < len) {
        struct hf_str rest = {(const char *)data + used, len - used};
        ssize_t n = load->protocol->message_len == NULL ? (rest.len >= size ? (ssize_t)size : 0)
                                                        : load->protocol->message_len(rest);

        if (n == 0)
            break;
        if (n < 0) {
            hf_bench_fail(load, c, "what the server sends is not the protocol");
            return -1;
        }
        recv_message(load, c, (struct hf_str){rest.data, (size_t)n});
        if (c->state == HF_BENCH_NONE)
            return -1;
        used += (size_t)n;
    }
    return (ssize_t)used;
}

static void recv_close(struct hf_bench_load *load, struct hf_bench_conn *c, const uint8_t *data, size_t len)
{
    unsigned code = len >= 2 ? (unsigned)(data[0] << 8 | data[1]) : HF_CLOSE_NO_STATUS;
    char why[HF_BENCH_TEXT_MAX];

    (void)snprintf(why, sizeof(why), "the server closed the connection with %u %.*s", code,
                   len > 2 ? (int)len - 2 : 0, len > 2 ? (const char *)data + 2 : "");
    lost(load, c, why);
}

/* Control frames. Returns false where the connection is gone. */
static bool recv_control(struct hf_bench_load *load, struct hf_bench_conn *c, unsigned opcode,
                         const uint8_t *data, size_t len)
{
    if (opcode == HF_WS_CLOSE) {
        recv_close(load, c, data, len);
        return false;
    }
    if (opcode != HF_WS_PING)
        return true;
    hf_buf_reset(&load->frame);
    (void)hf_ws_put_frame(&load->frame, HF_WS_PONG, data, len, mask);
    hf_bench_send(load, c, load->frame.data, load->frame.len);
    if (load->mode->heartbeat != NULL && c->state == HF_BENCH_IS_OPEN)
        load->mode->heartbeat(load, c);
    return c->state != HF_BENCH_NONE;
}

/* The payload's length, and *header bytes before it. Returns false where the header is not whole. */
static bool frame_len(const uint8_t *data, size_t len, size_t *header, uint64_t *payload)
{
    if (len < 2)
        return false;
    *payload = data[1] & 0x7f;
    *header = *payload < 126 ? 2 : *payload == 126 ? 4 : 10;
    if (len < *header)
        return false;
    if (*payload == 126)
        *payload = (uint64_t)data[2] << 8 | data[3];
    else if (*payload == 127) {
        *payload = 0;
        for (unsigned i = 2; i < 10; i++)
            *payload = *payload << 8 | data[i];
    }
    return true;
}

/* What a data frame brings. Returns false where the connection is gone. */
static bool recv_data(struct hf_bench_load *load, struct hf_bench_conn *c, uint8_t *data, size_t len)
{
    ssize_t used;

    if (!load->protocol->stream) {
        recv_message(load, c, (struct hf_str){(const char *)data, len});
        return c->state != HF_BENCH_NONE;
    }
    used = recv_stream(load, c, data, len);
    if (used < 0)
        return false;
    if ((size_t)used < len) {
        hf_bench_fail(load, c, "a message is spread over two frames, which this program cannot put together");
        return false;
    }
    return true;
}

/*
 * Frames as a server sends them, with no more checks than it takes to find the next one. Returns the bytes used, or a negative number where
 * the connection is gone.
 */
static ssize_t recv_frames(struct hf_bench_load *load, struct hf_bench_conn *c, uint8_t *data, size_t len)
{
    size_t used = 0, header;
    uint64_t payload;

    while (frame_len(data + used, len - used, &header, &payload) && payload <= len - used - header) {
        unsigned opcode = data[used] & 0x0f;
        bool whole =
            (data[used] & 0xf0) == 0x80 && (data[used + 1] & 0x80) == 0 && opcode != HF_WS_CONTINUATION;
        uint8_t *at = data + used + header;

        if (!whole) {
            hf_bench_fail(load, c, "the server sends a fragmented, compressed or masked frame");
            return -1;
        }
        if (opcode >= HF_WS_CLOSE ? !recv_control(load, c, opcode, at, payload)
                                  : !recv_data(load, c, at, payload))
            return -1;
        used += header + payload;
    }
    return (ssize_t)used;
}

/* Take what can be taken. Returns as recv_frames(). */
static ssize_t take_input(struct hf_bench_load *load, struct hf_bench_conn *c, uint8_t *data, size_t len)
{
    ssize_t used = 0, n;

    if (c->state == HF_BENCH_UPGRADING) {
        used = recv_response(load, c, data, len);
        if (used <= 0)
            return used;
    }
    if (load->mode->input != NULL && c->state == HF_BENCH_IS_OPEN)
        n = load->mode->input(load, c, data + used, len - (size_t)used);
    else if (load->protocol->framed)
        n = recv_frames(load, c, data + used, len - (size_t)used);
    else
        n = recv_stream(load, c, data + used, len - (size_t)used);
    return n < 0 ? n : used + n;
}

/* Keep the beginning of what is not whole. */
static void keep_rest(struct hf_bench_load *load, struct hf_bench_conn *c, const uint8_t *data, size_t len)
{
    if (len > c->rest_cap) {
        uint8_t *bigger = realloc(c->rest, len);

        if (bigger == NULL) {
            hf_bench_fail(load, c, "out of memory");
            return;
        }
        c->rest = bigger;
        c->rest_cap = (uint32_t)len;
    }
    if (len > 0)
        memcpy(c->rest, data, len);
    c->rest_len = (uint32_t)len;
}

/* One read. Returns whether there may be more that epoll does not tell of. */
static bool read_once(struct hf_bench_load *load, struct hf_bench_conn *c)
{
    size_t have = c->rest_len;
    ssize_t n, used;

    if (have >= load->input_bytes) {
        hf_bench_fail(load, c, "a message larger than was to be expected");
        return false;
    }
    n = hf_bench_stream_read(&c->stream, load->input + have, load->input_bytes - have);
    load->now_ns = hf_bench_now_ns();
    if (n == HF_EAGAIN)
        return false;
    if (n < 0) {
        lost(load, c, hf_bench_stream_problem(&c->stream));
        return false;
    }
    if (have > 0)
        memcpy(load->input, c->rest, have);
    HF_BENCH_ADD(load->share->bytes, (uint64_t)n);
    used = take_input(load, c, load->input, have + (size_t)n);
    if (used < 0 || c->state == HF_BENCH_NONE)
        return false;
    keep_rest(load, c, load->input + used, have + (size_t)n - (size_t)used);
    if (load->mode->read_done != NULL && c->state == HF_BENCH_IS_OPEN)
        load->mode->read_done(load, c);
    return c->stream.ssl != NULL && c->state != HF_BENCH_NONE;
}

static void conn_event(struct hf_bench_load *load, struct hf_bench_conn *c, uint32_t events)
{
    if (c->state == HF_BENCH_NONE)
        return;
    if (c->state == HF_BENCH_CONNECTING) {
        if ((events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) != 0)
            connect_ended(load, c);
        return;
    }
    if ((events & EPOLLOUT) != 0)
        flush(load, c);
    if (c->state != HF_BENCH_NONE && (events & (EPOLLIN | EPOLLERR | EPOLLHUP)) != 0)
        while (read_once(load, c))
            continue;
    /* TLS: the handshake goes on with the next write. */
    if (c->state != HF_BENCH_NONE && c->stream.ssl != NULL)
        hf_bench_watch_output(load, c, c->stream.wants_write);
    if (c->state != HF_BENCH_NONE && c->stream.ssl != NULL && c->out.len > 0)
        flush(load, c);
}

/* --- the loop --- */

static void open_more(struct hf_bench_load *load)
{
    unsigned turn;

    for (turn = 0;
         turn < OPENED_A_TURN && load->next_to_open < load->conns_count && load->opening < load->opening_max;
         turn++) {
        /* The publishers come last, when all are there to hear them. */
        uint32_t i = (load->next_to_open + load->publishers_count) % load->conns_count;

        if (load->conns[i].publishes && load->opening > 0)
            return;
        load->next_to_open++;
        load->now_ns = hf_bench_now_ns();
        hf_bench_open(load, &load->conns[i]);
    }
}

static void tell_state(struct hf_bench_load *load)
{
    bool ready = load->next_to_open == load->conns_count && load->opening == 0 && load->again.waiting == 0;
    bool may_end =
        load->phase == HF_BENCH_STOP || (load->phase == HF_BENCH_MEASURE && load->mode->ends_itself);
    bool done = may_end && (load->mode->finished == NULL || load->mode->finished(load));

    if (load->phase == HF_BENCH_OPEN && load->opens_by_itself && ready && !atomic_load(&load->share->ready)) {
        atomic_store(&load->share->ready, true);
        hf_bench_ring(load->shared->parent_bell);
    }
    if (done && !atomic_load(&load->share->done)) {
        atomic_store(&load->share->done, true);
        hf_bench_ring(load->shared->parent_bell);
    }
}

static void enter(struct hf_bench_load *load, enum hf_bench_phase phase)
{
    load->phase = phase;
    load->now_ns = hf_bench_now_ns();
    if (phase == HF_BENCH_MEASURE)
        hf_histogram_reset(&load->share->latency);
    if (phase == HF_BENCH_MEASURE && load->mode->counts_openings)
        hf_histogram_reset(&load->share->opening);
    if (load->mode->phase != NULL)
        load->mode->phase(load, phase);
}

/* A phase may be over before it is heard of: none is left out. */
static void hear_bell(struct hf_bench_load *load)
{
    uint64_t rung;
    int now;

    if (read(load->shared->bells[load->process], &rung, sizeof(rung)) < 0)
        return;
    now = atomic_load(&load->shared->phase);
    while ((int)load->phase < now)
        enter(load, (enum hf_bench_phase)(load->phase + 1));
}

static void wait_for_events(struct hf_bench_load *load, struct epoll_event *events, int *count)
{
    int64_t left = load->deadline_ns - hf_bench_now_ns();
    struct timespec timeout;

    if (left > TURN_NS_MAX)
        left = TURN_NS_MAX;
    if (load->next_to_open < load->conns_count && load->opening < load->opening_max)
        left = 0;
    if (left < 0)
        left = 0;
    timeout = (struct timespec){.tv_sec = 0, .tv_nsec = left};
    *count = epoll_pwait2(load->epoll, events, EVENTS, &timeout, NULL);
    if (*count < 0 && errno == ENOSYS) /* before Linux 5.11 */
        *count = epoll_wait(load->epoll, events, EVENTS, (int)((left + 999999) / 1000000));
}

static void turn(struct hf_bench_load *load, struct epoll_event *events)
{
    int count, i;

    wait_for_events(load, events, &count);
    load->now_ns = hf_bench_now_ns();
    for (i = 0; i < count; i++) {
        if (events[i].data.u32 == BELL)
            hear_bell(load);
        else
            conn_event(load, &load->conns[events[i].data.u32], events[i].events);
    }
    if (load->opens_by_itself)
        open_more(load);
    load->now_ns = hf_bench_now_ns();
    load->deadline_ns = load->phase < HF_BENCH_STOP ? hf_bench_again_turn(load) : INT64_MAX;
    if (load->mode->turn != NULL) {
        int64_t deadline_ns = load->mode->turn(load);

        load->deadline_ns = deadline_ns < load->deadline_ns ? deadline_ns : load->deadline_ns;
    }
    atomic_store_explicit(&load->share->open_now, load->open, memory_order_relaxed);
    tell_state(load);
}

/* --- start and end --- */

static int prepare(struct hf_bench_load *load)
{
    struct epoll_event bell = {.events = EPOLLIN, .data.u32 = BELL};

    load->input_bytes = READ_BYTES + 2 * load->options->size;
    load->input = malloc(load->input_bytes);
    load->epoll = epoll_create1(EPOLL_CLOEXEC);
    hf_buf_init(&load->text, OUT_BYTES_MAX);
    hf_buf_init(&load->frame, OUT_BYTES_MAX);
    if (load->input == NULL || hf_bench_again_init(&load->again, load->conns_count) < 0)
        return HF_ENOMEM;
    if (load->epoll < 0 ||
        epoll_ctl(load->epoll, EPOLL_CTL_ADD, load->shared->bells[load->process], &bell) < 0)
        return HF_EIO;
    /* Sends at fixed times need it; by default Linux may be 50 µs late. */
    (void)prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
    return load->mode->init != NULL ? load->mode->init(load) : 0;
}

static void release(struct hf_bench_load *load)
{
    if (load->mode->release != NULL)
        load->mode->release(load);
    for (uint32_t i = 0; i < load->conns_count; i++) {
        hf_bench_close(load, &load->conns[i], false);
        free(load->conns[i].ticket);
    }
    if (load->epoll >= 0)
        (void)close(load->epoll);
    hf_bench_again_release(&load->again);
    hf_buf_release(&load->text);
    hf_buf_release(&load->frame);
    free(load->input);
}

int hf_bench_load_run(struct hf_bench_load *load)
{
    struct epoll_event *events = calloc(EVENTS, sizeof(*events));
    int err = events == NULL ? HF_ENOMEM : prepare(load);

    if (err < 0)
        hf_bench_complain(load, "%s", err == HF_EIO ? strerror(errno) : hf_strerror(err));
    while (err == 0 && load->phase != HF_BENCH_END)
        turn(load, events);
    release(load);
    free(events);
    return err;
}
