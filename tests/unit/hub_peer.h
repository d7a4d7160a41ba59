/*
 * hub_peer.h - clients for the tests of whole hubs: the other end of a connection, over a transport that writes into memory. Included by one file of an executable, behind
 * hub_fixture.h.
 *
 *     struct peer p;
 *     peer_open(&p, &place, 0, "");
 *     peer_subscribe(&place, 0, &p, "room");
 *     ...
 *     hf_buf_release(&p.got);
 */
#ifndef HF_TESTS_HUB_PEER_H
#define HF_TESTS_HUB_PEER_H

#include "hub_fixture.h"

enum { GOT_BYTES_MAX = 8 << 20, TICKET_CHARS = 32 };

struct peer {
    struct hf_conn *conn; /* NULL once it is closed */
    struct hf_buf got;    /* all that was written to it; ends in NUL when it is looked at */
    bool deaf;            /* it takes nothing */
    size_t takes;         /* so many bytes of a write at the most; 0: all */
    bool closed;
    uint32_t slot; /* the worker that it came to */
    /* What peer_welcomed() has noted, for when the connection has gone. */
    uint64_t session;
    char ticket[TICKET_CHARS + 1];
};

/* What the hub keeps for us with a connection is where its peer is. */
static inline struct peer *peer_of(void *socket)
{
    return *(struct peer **)socket;
}

static inline long peer_write(void *ctx, void *socket, const struct iovec *iov, int count)
{
    struct peer *p = peer_of(socket);
    long written = 0;

    (void)ctx;
    if (p->deaf)
        return HF_EAGAIN;
    for (int i = 0; i < count; i++) {
        size_t left = p->takes == 0 ? SIZE_MAX : p->takes - (size_t)written;
        size_t len = iov[i].iov_len < left ? iov[i].iov_len : left;

        assert_int_equal(hf_buf_put(&p->got, iov[i].iov_base, len), 0);
        written += (long)len;
    }
    return written;
}

static inline void peer_pause(void *ctx, void *socket, bool paused)
{
    (void)ctx;
    (void)socket;
    (void)paused;
}

static inline void peer_finish(void *ctx, void *socket)
{
    (void)ctx;
    (void)socket;
}

static inline void peer_close(void *ctx, void *socket)
{
    (void)ctx;
    peer_of(socket)->closed = true;
    peer_of(socket)->conn = NULL;
}

static inline void wake_nobody(void *ctx, uint32_t slot)
{
    (void)ctx;
    (void)slot;
}

static const struct hf_transport transport = {.socket_bytes = sizeof(struct peer *),
                                              .write = peer_write,
                                              .pause = peer_pause,
                                              .finish = peer_finish,
                                              .close = peer_close,
                                              .wake = wake_nobody,
                                              .random = never_twice};

/* All that it got. */
static inline const char *text_of(struct peer *p)
{
    assert_int_equal(hf_buf_put(&p->got, "", 1), 0);
    p->got.len--;
    return (const char *)p->got.data;
}

/* How often a word stands in what it got. */
static inline unsigned times(struct peer *p, const char *word)
{
    unsigned count = 0;

    for (const char *at = text_of(p); at < (const char *)p->got.data + p->got.len; at++) {
        at = memmem(at, (size_t)((const char *)p->got.data + p->got.len - at), word, strlen(word));
        if (at == NULL)
            break;
        count++;
    }
    return count;
}

static inline bool got(struct peer *p, const char *word)
{
    return times(p, word) > 0;
}

/* The ticket in its `welcome`. */
static inline void peer_ticket(struct peer *p, char out[TICKET_CHARS + 1])
{
    static const char member[] = "\"ticket\":\"";
    const char *at = memmem(text_of(p), p->got.len, member, strlen(member));

    assert_non_null(at);
    snprintf(out, TICKET_CHARS + 1, "%s", at + strlen(member));
}

static inline void turn(struct place *p, uint32_t slot)
{
    hf_hub_turn(p->hub[slot], p->now);
}

/* All workers, until nothing is on its way between them. */
static inline void settle(struct place *p)
{
    for (int i = 0; i < 4; i++)
        for (uint32_t slot = 0; slot < p->layout.workers; slot++)
            turn(p, slot);
}

/* Its `welcome` has come: note what it says. */
static inline void peer_welcomed(struct peer *p)
{
    p->session = p->conn->session->number;
    peer_ticket(p, p->ticket);
}

static inline void peer_say(struct place *place, struct peer *p, const char *text)
{
    uint8_t frame[TOKEN_ROOM + 512];

    hf_hub_input(p->conn, frame, put_text(frame, text), place->now);
}

/* Connect to a worker and send the request; what becomes of it shows in the worker's next turns. */
static inline void peer_connect(struct peer *p, struct place *place, uint32_t slot, char *request, size_t len)
{
    *p = (struct peer){.slot = slot};
    hf_buf_init(&p->got, GOT_BYTES_MAX);
    p->conn = hf_hub_open(place->hub[slot], "127.0.0.1:1", place->now);
    assert_non_null(p->conn);
    *(struct peer **)hf_hub_socket(p->conn) = p;
    hf_hub_input(p->conn, (uint8_t *)request, len, place->now);
    if (!p->closed)
        turn(place, slot);
}

static inline void peer_open_by(struct peer *p, struct place *place, uint32_t slot, const char *target,
                                const char *headers)
{
    char request[3 * TOKEN_ROOM];

    peer_connect(p, place, slot, request, put_request_by(request, sizeof(request), target, headers));
}

static inline void peer_open_for(struct peer *p, struct place *place, uint32_t slot, const char *protocol,
                                 const char *ticket)
{
    char request[3 * TOKEN_ROOM];

    peer_connect(p, place, slot, request, put_request_for(request, sizeof(request), protocol, ticket));
}

static inline void peer_open(struct peer *p, struct place *place, uint32_t slot, const char *ticket)
{
    peer_open_for(p, place, slot, HF_PROTOCOL_JSON, ticket);
}

static inline void peer_subscribe(struct place *place, uint32_t slot, struct peer *p, const char *channel)
{
    char text[256];

    snprintf(text, sizeof(text), "{\"type\":\"subscribe\",\"channel\":\"%s\"}", channel);
    peer_say(place, p, text);
    turn(place, slot);
    snprintf(text, sizeof(text), "\"type\":\"subscribed\",\"channel\":\"%s\"", channel);
    assert_int_equal(times(p, text), 1);
}

/* Its connection breaks, where it stands yet, and what it got is forgotten. */
static inline void peer_end(struct peer *p, struct place *place)
{
    if (!p->closed)
        hf_hub_lost(p->conn, true, place->now);
    settle(place);
    hf_buf_release(&p->got);
}

#endif
