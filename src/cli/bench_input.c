/*
 * bench_input.c - what a connection of the load generator receives: frames, and the messages in them. No more is checked than it takes to find
 * the next one.
 */
#include "cli/bench_load_impl.h"

#include "ws/frame.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

/* --- messages --- */

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

/* The welcome. The ticket is kept where sessions come back; hf_bench_greeted() subscribes only where there was none. */
static void greeting(struct hf_bench_load *load, struct hf_bench_conn *c, struct hf_str m)
{
    char *ticket;

    if (c->state != HF_BENCH_GREETS)
        return;
    if (!keeps_tickets(load)) {
        hf_bench_greeted(load, c);
        return;
    }
    ticket = copy_string_member(m, "\"ticket\":\"");
    if (c->ticket != NULL && memmem(m.data, m.len, "\"resumed\":true", 14) == NULL)
        HF_BENCH_ADD(load->share->not_resumed, 1);
    hf_bench_greeted(load, c);
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

    hf_bench_come_back_later(load, c, low, high > low ? high - low : 0);
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
            hf_bench_opened(load, c);
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
    hf_bench_lost(load, c, why);
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
    (void)hf_ws_put_frame(&load->frame, HF_WS_PONG, data, len, hf_bench_mask);
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
        used = hf_bench_recv_response(load, c, data, len);
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
        hf_bench_lost(load, c, hf_bench_stream_problem(&c->stream));
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

void hf_bench_conn_event(struct hf_bench_load *load, struct hf_bench_conn *c, uint32_t events)
{
    if (c->state == HF_BENCH_NONE)
        return;
    if (c->state == HF_BENCH_CONNECTING) {
        if ((events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) != 0)
            hf_bench_connect_ended(load, c);
        return;
    }
    if ((events & EPOLLOUT) != 0)
        hf_bench_flush(load, c);
    if (c->state != HF_BENCH_NONE && (events & (EPOLLIN | EPOLLERR | EPOLLHUP)) != 0)
        while (read_once(load, c))
            continue;
    /* TLS: the handshake goes on with the next write. */
    if (c->state != HF_BENCH_NONE && c->stream.ssl != NULL)
        hf_bench_watch_output(load, c, c->stream.wants_write);
    if (c->state != HF_BENCH_NONE && c->stream.ssl != NULL && c->out.len > 0)
        hf_bench_flush(load, c);
}
