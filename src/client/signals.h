/*
 * signals.h - what the machine knows about a client's connections and does not say on them: the watch of the network (watch.h) and the
 * state of TCP (stuck.h), looked at in each turn of the client and told to its session.
 */
#ifndef HF_CLIENT_SIGNALS_H
#define HF_CLIENT_SIGNALS_H

#include "client/news.h"
#include "client/socket.h"
#include "client/stuck.h"
#include "client/watch.h"
#include "session/client_session.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    HF_SIGNALS_REST_MS =
        20, /* between two looks, however fast changes come; a look costs some 10 system calls */
};

struct hf_signals {
    struct hf_watch *watch; /* NULL: there is none */
    struct hf_news news;
    bool readable;         /* the watch's descriptor, poll() said */
    bool look_due;         /* something may have changed since the last look */
    uint64_t looked_at_ms; /* the last look; 0: none yet */
    uint32_t connections;  /* of the session, and addresses of its server, when last looked: */
    unsigned addresses;    /* with others the ways are other ones */
    uint64_t key;          /* of the network, as the session was told */
    struct hf_stuck stuck; /* of the live connection, */
    int stuck_fd;          /* which is this one; -1: none */
    uint64_t give_up_ms;   /* that it was told to give up after; 0: not told */
};

/* Borrowed for the call. */
struct hf_signals_turn {
    struct hf_client_session *session;
    struct hf_socket *sockets; /* HF_CLIENT_SESSION_SLOTS of them */
    const struct hf_servers *servers;
    uint64_t now_ms;
};

/* watch: whether to watch the network; where that is not possible it is done without. */
void hf_signals_init(struct hf_signals *g, bool watch);
void hf_signals_release(struct hf_signals *g);
/* To be polled for POLLIN; -1: none. */
int hf_signals_fd(const struct hf_signals *g);
/* poll() has said that it is readable. */
void hf_signals_ready(struct hf_signals *g);
/* When to call hf_signals_process() at the latest; UINT64_MAX: never. */
uint64_t hf_signals_deadline_ms(const struct hf_signals *g);
/* In each turn, after the sockets have been read and before they are written. */
void hf_signals_process(struct hf_signals *g, const struct hf_signals_turn *turn);

#endif
