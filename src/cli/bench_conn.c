/*
 * bench_conn.c - one connection of the load generator: opening it, what it sends, and its end. See bench_load.h for its states.
 */
#include "cli/bench_load_impl.h"

#include "ws/frame.h"
#include "ws/handshake.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

enum { OUT_BYTES_MAX = 64 << 20 };

/* "The masking key needs to be unpredictable" (RFC 6455 section 10.3) only where scripts choose the payload; here it may be prepared. */
const uint8_t hf_bench_mask[4] = {0x37, 0xfa, 0x21, 0x3d};

/* --- the end --- */

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
void hf_bench_lost(struct hf_bench_load *load, struct hf_bench_conn *c, const char *why)
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
void hf_bench_flush(struct hf_bench_load *load, struct hf_bench_conn *c)
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
        (void)hf_ws_put_frame(out, protocol->stream ? HF_WS_BINARY : HF_WS_TEXT, text.data, text.len,
                              hf_bench_mask);
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
    (void)hf_ws_put_close(&load->frame, HF_CLOSE_NORMAL, (struct hf_str){0}, hf_bench_mask);
    hf_bench_send(load, c, load->frame.data, load->frame.len);
}

/* --- opening --- */

void hf_bench_opened(struct hf_bench_load *load, struct hf_bench_conn *c)
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

static uint64_t channel_of(const struct hf_bench_load *load, const struct hf_bench_conn *c)
{
    const struct hf_bench_options *o = load->options;

    if (hf_bench_is_flow(o))
        return (c->index - o->publishers) % o->channels;
    return o->shared ? 0 : c->index;
}

static void subscribe(struct hf_bench_load *load, struct hf_bench_conn *c)
{
    char channel[96];

    hf_bench_channel_name(load, channel_of(load, c), channel);
    hf_buf_reset(&load->text);
    load->protocol->put_subscribe(&load->text, channel);
    hf_bench_say(load, c, hf_buf_str(&load->text));
}

/* The upgrade is done and the server has said its first word, if it has one. */
void hf_bench_greeted(struct hf_bench_load *load, struct hf_bench_conn *c)
{
    if (!subscribes(load, c)) {
        hf_bench_opened(load, c);
        return;
    }
    c->state = HF_BENCH_JOINS;
    subscribe(load, c);
    if (c->state == HF_BENCH_JOINS && !load->protocol->answers_subscribe)
        hf_bench_opened(load, c);
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
        hf_bench_greeted(load, c);
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
        hf_bench_opened(load, c);
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
void hf_bench_connect_ended(struct hf_bench_load *load, struct hf_bench_conn *c)
{
    int error = 0;
    socklen_t len = sizeof(error);

    if (getsockopt(c->stream.fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
        error = errno;
    if (error != 0) {
        hf_bench_lost(load, c, open_problem(error));
        return;
    }
    hf_bench_watch_output(load, c, false);
    connected(load, c);
}

/* 429, 503 or `reconnect`. A random part of a second is added, as PROTOCOL.md asks of clients. */
void hf_bench_come_back_later(struct hf_bench_load *load, struct hf_bench_conn *c, uint64_t delay_ms,
                              uint64_t spread_ms)
{
    int64_t again_ns =
        load->now_ns + (int64_t)((delay_ms * 1000 + hf_rng_below(&load->rng, spread_ms * 1000 + 1)) * 1000);

    HF_BENCH_ADD(load->share->refused, 1);
    hf_bench_close(load, c, false);
    hf_bench_again_at(load, c, again_ns);
}

/* The answer to the upgrade request. Returns the bytes taken, 0 where it is not whole, or a negative number where the connection is gone. */
ssize_t hf_bench_recv_response(struct hf_bench_load *load, struct hf_bench_conn *c, uint8_t *data, size_t len)
{
    struct hf_handshake_response response;
    char why[64];
    int used = hf_handshake_parse_response(&response, (char *)data, len, load->target->key, false);

    if (used == 0)
        return len > HF_HTTP_HEAD_MAX ? (hf_bench_fail(load, c, "an endless HTTP head"), -1) : 0;
    if (used < 0) {
        hf_bench_fail(load, c, response.reason);
        return -1;
    }
    if (response.status == 503 || response.status == 429) {
        hf_bench_come_back_later(load, c, (uint64_t)response.retry_after_s * 1000, 1000);
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
