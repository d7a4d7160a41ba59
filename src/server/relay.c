#include "server/relay.h"

#include "server/hub_state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    MOVE_BYTES = HF_TLS_RECORD_BYTES, /* of one read on either side */
    MOVES_PER_TURN = 8,               /* of one relay, so that each has its share */
    HANDSHAKES_PER_TURN = 16,         /* as for clients */
};

/*
 * OPENING -> OPEN      the first byte has come: the API knows of it
 * OPEN    -> LINGERING the API has closed its end; close_notify is sent, and what comes is thrown away until the peer's end
 */
enum phase { OPENING, OPEN, LINGERING };

struct relay {
    struct hf_relays *all;
    struct hf_list node, due;
    struct hf_watch outer, inner; /* the peer's socket, and our end of the pair; inner.fd -1: not yet */
    struct hf_tls_stream *tls;
    struct sockaddr_storage address;
    enum phase phase;
    bool outer_readable, outer_ended, inner_readable;
    bool in_over;         /* the peer's end has been passed on */
    uint8_t *held;        /* read from the peer, not taken by the API */
    size_t held_len;      /* 0: nothing is held */
    uint64_t deadline_ms; /* while OPENING or LINGERING */
};

void hf_relays_init(struct hf_relays *r, struct hf_sockets *sockets, const struct hf_api_ops *ops, void *api,
                    uint32_t handshake_ms)
{
    *r = (struct hf_relays){
        .sockets = sockets, .ops = ops, .api = api, .handshake_ms = handshake_ms, .look_ms = UINT64_MAX};
    hf_list_init(&r->all);
    hf_list_init(&r->due);
}

static void relay_free(struct relay *c)
{
    hf_list_del(&c->node);
    hf_list_del(&c->due);
    c->all->count--;
    hf_loop_remove(c->all->sockets->loop, &c->outer);
    hf_tls_stream_free(c->tls);
    close(c->outer.fd);
    if (c->inner.fd >= 0) {
        hf_loop_remove(c->all->sockets->loop, &c->inner);
        close(c->inner.fd);
    }
    free(c->held);
    free(c);
}

static void is_due(struct relay *c)
{
    if (hf_list_empty(&c->due))
        hf_list_add_tail(&c->all->due, &c->due);
}

static void set_deadline(struct relay *c, uint64_t after_ms)
{
    c->deadline_ms = c->all->sockets->now->mono_ms + after_ms;
    if (c->deadline_ms < c->all->look_ms)
        c->all->look_ms = c->deadline_ms;
}

/* ---- What the loop says ---- */

static void outer_ready(struct hf_watch *watch, unsigned what)
{
    struct relay *c = HF_CONTAINER(watch, struct relay, outer);

    c->outer_readable |= (what & (HF_READY_READ | HF_READY_ENDED)) != 0;
    c->outer_ended |= (what & HF_READY_ENDED) != 0;
    is_due(c);
}

static void inner_ready(struct hf_watch *watch, unsigned what)
{
    struct relay *c = HF_CONTAINER(watch, struct relay, inner);

    c->inner_readable |= (what & (HF_READY_READ | HF_READY_ENDED)) != 0;
    is_due(c);
}

/* ---- From the peer to the API ---- */

/* The API meets the connection with its first byte. Returns false where it does not take it. */
static bool open_inner(struct relay *c)
{
    struct hf_relays *r = c->all;
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) < 0)
        return false;
    c->inner = (struct hf_watch){pair[0], inner_ready};
    if (hf_loop_add(r->sockets->loop, &c->inner, false) < 0) {
        c->inner.fd = -1;
        close(pair[0]);
        close(pair[1]);
        return false;
    }
    c->phase = OPEN;
    return r->ops->add(r->api, pair[1], &c->address) == 0;
}

static bool hold(struct relay *c, const uint8_t *data, size_t len)
{
    if (len == 0)
        return true;
    if (c->held == NULL)
        c->held = malloc(MOVE_BYTES);
    if (c->held == NULL)
        return false;
    memmove(c->held, data, len);
    c->held_len = len;
    return true;
}

/* Give the API what it takes and hold the rest. Returns false where it has closed its end. */
static bool give(struct relay *c, const uint8_t *data, size_t len)
{
    ssize_t n = send(c->inner.fd, data, len, MSG_NOSIGNAL);

    if (n < 0 && errno != EAGAIN && errno != EINTR && errno != ENOBUFS)
        return true; /* Its answer may still lie there; what it does not want is nobody's. */
    c->held_len = 0;
    return hold(c, data + (n > 0 ? n : 0), len - (size_t)(n > 0 ? n : 0));
}

/* Returns whether it can go on at once. *broken: it is over. */
static bool move_in(struct relay *c, bool *broken)
{
    struct hf_sockets *s = c->all->sockets;
    long n;

    if (c->held_len > 0 && !give(c, c->held, c->held_len))
        *broken = true;
    if (*broken || c->held_len > 0 || c->in_over || !c->outer_readable)
        return false;
    n = hf_sockets_read_tls(s, c->tls, c->outer.fd, s->buffer, MOVE_BYTES, c->outer_ended,
                            &c->outer_readable);
    if (n == HF_EAGAIN)
        return c->outer_readable;
    *broken = n < 0 && (n != HF_ECLOSED || c->phase != OPEN);
    if (n == HF_ECLOSED && c->phase == OPEN) {
        c->in_over = true;
        (void)shutdown(c->inner.fd, SHUT_WR);
    }
    if (n < 0 || c->phase == LINGERING)
        return c->outer_readable && !c->in_over && !*broken;
    *broken = (c->phase == OPENING && !open_inner(c)) || !give(c, s->buffer, (size_t)n);
    return c->outer_readable;
}

/* ---- From the API to the peer ---- */

static void begin_lingering(struct relay *c)
{
    hf_tls_stream_finish(c->tls);
    c->phase = LINGERING;
    c->held_len = 0;
    set_deadline(c, HF_CLOSE_LINGER_MS);
}

static bool move_out(struct relay *c, bool *broken)
{
    uint8_t *buffer = c->all->sockets->buffer;
    int flushed = hf_tls_stream_flush(c->tls);
    struct iovec iov;
    ssize_t n;

    *broken = flushed == HF_ECLOSED || (flushed == 0 && c->phase == LINGERING && c->in_over);
    if (flushed < 0 || c->phase != OPEN || !c->inner_readable)
        return false;
    n = recv(c->inner.fd, buffer, MOVE_BYTES, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        c->inner_readable = errno == EINTR;
        return c->inner_readable;
    }
    if (n <= 0) {
        begin_lingering(c);
        return false;
    }
    iov = (struct iovec){buffer, (size_t)n};
    *broken = hf_tls_stream_write(c->tls, &iov, 1) != n; /* Nothing waits, so that it takes all. */
    return !*broken;
}

/* ---- A turn ---- */

static bool in_handshake(const struct relay *c)
{
    return hf_tls_stream_state(c->tls) == HF_TLS_HANDSHAKE;
}

static void run_one(struct relay *c)
{
    bool broken = false, again = true;

    for (int i = 0; i < MOVES_PER_TURN && again && !broken; i++) {
        again = move_in(c, &broken);
        if (!broken)
            again |= move_out(c, &broken);
    }
    if (broken)
        relay_free(c);
    else if (again)
        is_due(c);
}

static void close_overdue(struct hf_relays *r)
{
    struct hf_list *next;

    if (r->sockets->now->mono_ms < r->look_ms)
        return;
    r->look_ms = UINT64_MAX;
    for (struct hf_list *node = r->all.next; node != &r->all; node = next) {
        struct relay *c = HF_CONTAINER(node, struct relay, node);

        next = node->next;
        if (c->phase == OPEN)
            continue;
        if (c->deadline_ms <= r->sockets->now->mono_ms) {
            if (c->phase == OPENING)
                hf_count(r->sockets->counters, HF_COUNT_HANDSHAKES_TIMED_OUT, 1);
            relay_free(c);
        } else if (c->deadline_ms < r->look_ms) {
            r->look_ms = c->deadline_ms;
        }
    }
}

void hf_relays_run(struct hf_relays *r)
{
    struct hf_list now, *node;
    unsigned handshakes = 0;

    hf_list_init(&now);
    hf_list_splice(&now, &r->due);
    while ((node = hf_list_pop(&now)) != NULL) {
        struct relay *c = HF_CONTAINER(node, struct relay, due);

        if (in_handshake(c) && ++handshakes > HANDSHAKES_PER_TURN)
            is_due(c);
        else
            run_one(c);
    }
    close_overdue(r);
}

uint64_t hf_relays_deadline_ms(const struct hf_relays *r)
{
    return hf_list_empty(&r->due) ? r->look_ms : 0;
}

/* ---- Beginning and end ---- */

bool hf_relays_open(struct hf_relays *r, int fd, const struct sockaddr_storage *address)
{
    struct hf_sockets *s = r->sockets;
    struct relay *c = calloc(1, sizeof(*c));

    if (c == NULL)
        goto failed;
    c->all = r;
    c->address = *address;
    c->outer = (struct hf_watch){fd, outer_ready};
    c->inner.fd = -1;
    hf_list_init(&c->due);
    hf_socket_set_options(fd);
    c->tls = hf_tls_stream_new(&s->tls_io, s->tls, fd);
    if (c->tls == NULL || hf_loop_add(s->loop, &c->outer, false) < 0)
        goto failed;
    hf_list_add_tail(&r->all, &c->node);
    r->count++;
    set_deadline(c, r->handshake_ms);
    return true;
failed:
    if (c != NULL)
        hf_tls_stream_free(c->tls);
    close(fd);
    free(c);
    return false;
}

void hf_relays_release(struct hf_relays *r)
{
    while (!hf_list_empty(&r->all)) {
        struct relay *c = HF_CONTAINER(r->all.next, struct relay, node);
        bool broken = false;

        c->inner_readable = c->inner.fd >= 0;
        while (!broken && move_out(c, &broken))
            ;
        relay_free(c);
    }
}
