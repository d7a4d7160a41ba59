/*
 * news.h - whether what a look at the network shows is news for the session, and when it is to be told. Pure: looks and times come in.
 *
 * Changes of a network come in bursts, half of which are undone by the other half: a renewed lease takes an address away and gives it
 * back, a moved default route is gone for some milliseconds. What makes things better (a way where there was none, another way than
 * the connection takes) is told at once, because a new connection can be made on it; all else when HF_NEWS_DEBOUNCE_MS have passed since
 * it was first seen, if it is still so then. Two tellings are that far apart as well.
 *
 * That a connection would be made from another address now is believed once. Where one that was made after that was told has the same address again, the kernel's
 * answer is not what counts for this connection (rules that look at ports or marks, which the question does not have), and would be the same of each further one: such a move is taken
 * back until the ways change.
 */
#ifndef HF_CLIENT_NEWS_H
#define HF_CLIENT_NEWS_H

#include "base/ip.h"
#include "session/client_session.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    HF_NEWS_DEBOUNCE_MS = 300, /* research/protocol.md 3.5, Signals */
    HF_NEWS_MOVES_MAX = 8,     /* remembered; with more of them on unchanged ways, none is believed */
};

/* Of a connection whose path is HF_PATH_MOVED. */
struct hf_move {
    struct hf_ip own;     /* its address */
    struct hf_ip source;  /* the one that it would get now */
    uint64_t begun_at_ms; /* when it was begun to be made */
};

struct hf_look {
    struct hf_network_facts facts;
    struct hf_move moves[HF_CLIENT_SESSION_SLOTS];
    uint64_t print; /* of the ways to the server: another one where any of them has changed */
};

/* A move that the session has been told. */
struct hf_news_move {
    struct hf_ip own, source;
    uint64_t told_at_ms;
};

struct hf_news {
    struct hf_look told;
    bool has_told;          /* told_at_ms means something */
    uint64_t told_at_ms;    /* the last telling */
    bool waits;             /* a difference was seen and has not been told */
    uint64_t differs_at_ms; /* waits: since when there is a difference */
    uint64_t tell_at_ms;    /* waits: when to look again and tell */
    struct hf_news_move moves[HF_NEWS_MOVES_MAX];
    unsigned moves_count; /* since the ways have changed */
};

void hf_news_init(struct hf_news *n);
/* The ways are those of other connections, or to other addresses, from now on: their print alone is no news, and what was told of a slot's connection holds for its next one no more. */
void hf_news_rebase(struct hf_news *n, uint64_t print);
/* A look was taken. Returns whether its facts are to be told to the session now; moves that are not believed are taken out of them. */
bool hf_news_look(struct hf_news *n, struct hf_look *look, uint64_t now_ms);
/* When to take another look, whatever the watch says; UINT64_MAX: no need. */
uint64_t hf_news_deadline_ms(const struct hf_news *n);

#endif
