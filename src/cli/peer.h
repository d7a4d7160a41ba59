/*
 * peer.h - what `holdfast pub` and `holdfast sub` share: options, what they say about their connection on standard error, and
 * ending on a signal.
 */
#ifndef HF_CLI_PEER_H
#define HF_CLI_PEER_H

#include "holdfast/holdfast.h"

#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>

struct hf_peer {
    struct hf_client *client;
    bool subscribes; /* say how many messages were caught up */
    bool verbose;
    bool again;   /* there has been a connection before this one */
    bool resumed; /* this one resumed the session */
    bool connected;
    unsigned reconnects;
    uint64_t disconnected_at_ms; /* since when there has been no connection */
    bool failed;                 /* the session ended though we did not ask for it */
    char session[128];
};

/* Complain in one line about the command `name`; returns the exit status of a usage error. */
int hf_peer_usage(const char *name, const char *problem, const char *what);
/* The same for what getopt_long() did not know, returning '?' or ':'. */
int hf_peer_usage_option(const char *name, int found, char *const *argv);

/* Seconds, with a fraction where wanted, as milliseconds; at most a year. */
bool hf_peer_parse_seconds(const char *text, uint64_t *ms);
/* Digits only, below 2^53. */
bool hf_peer_parse_number(const char *text, uint64_t *number);

/* Set the callbacks about the connection; their `user` must begin with a struct hf_peer. */
void hf_peer_watch(struct hf_peer *peer, struct hf_client_options *options);
/* Make the client, and let SIGINT and SIGTERM ask for the end. Returns 0, or the exit status after having said what is wrong. */
int hf_peer_start(struct hf_peer *peer, const char *name, const struct hf_client_options *options);
void hf_peer_stop(struct hf_peer *peer);
/* Whether a signal has asked for the end. */
bool hf_peer_interrupted(void);
/* Milliseconds of a clock that never goes back. */
uint64_t hf_peer_now_ms(void);
/* Print one line on standard error: "holdfast: …". */
void hf_peer_say(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
