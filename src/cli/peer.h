/*
 * peer.h - what the commands that are a server's clients share (pub, sub, history, presence, call, ping): options, what they say about their connection on standard error, and
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
    uint64_t timeout_ms;         /* of --timeout; 0: never. What it is about is the command's own */
    char session[128];
    const char *token_command;            /* NULL: none */
    const char *urls[HF_CLIENT_URLS_MAX]; /* as they were given; the options' urls point here */
};

/* Options that all of them have: rows for getopt_long(), and their lines in the help. */
enum {
    HF_PEER_URL = 1000,
    HF_PEER_PROXY,
    HF_PEER_DNS,
    HF_PEER_CA,
    HF_PEER_TOKEN,
    HF_PEER_TOKEN_COMMAND,
    HF_PEER_ENCODING,
    HF_PEER_TIMEOUT,
    HF_PEER_TOLERANCE,
    HF_PEER_MEMORY,
    HF_PEER_NO_WATCH,
};
#define HF_PEER_OPTIONS                                                                                      \
    {"url", required_argument, NULL, HF_PEER_URL}, {"proxy", required_argument, NULL, HF_PEER_PROXY},        \
        {"dns-servers", required_argument, NULL, HF_PEER_DNS}, {"ca", required_argument, NULL, HF_PEER_CA},  \
        {"token", required_argument, NULL, HF_PEER_TOKEN},                                                   \
        {"token-command", required_argument, NULL, HF_PEER_TOKEN_COMMAND},                                   \
        {"encoding", required_argument, NULL, HF_PEER_ENCODING},                                             \
        {"timeout", required_argument, NULL, HF_PEER_TIMEOUT}, {"verbose", no_argument, NULL, 'v'},          \
    {                                                                                                        \
        "help", no_argument, NULL, 'h'                                                                       \
    }
#define HF_PEER_HELP                                                                                         \
    "  --url URL              the server (ws://127.0.0.1:8000/ws); again: where to go when that one fails\n" \
    "  --proxy URL            the HTTP proxy, and not that of the environment; '' is none\n"                 \
    "  --dns-servers LIST     ask these for names, ADDRESS[:PORT],…, and not those of the system\n"        \
    "  --ca FILE              with wss://, trust these authorities (PEM), and not those of the system\n"     \
    "  --token TOKEN          show this token to the server\n"                                               \
    "  --token-command CMD    show what this command of the shell writes; asked again before a token ends\n" \
    "  --encoding NAME        write on the wire in binary or json, and not as the server prefers (auto)\n"

/* The same of those that stay connected for long, pub and sub: how they know that their connection lives. */
#define HF_PEER_LONG_OPTIONS                                                                                 \
    {"heartbeat-tolerance", required_argument, NULL, HF_PEER_TOLERANCE},                                     \
        {"heartbeat-memory", required_argument, NULL, HF_PEER_MEMORY},                                       \
    {                                                                                                        \
        "no-watch-network", no_argument, NULL, HF_PEER_NO_WATCH                                              \
    }
#define HF_PEER_LONG_HELP                                                                                    \
    "  --heartbeat-tolerance SECONDS\n"                                                                      \
    "                         how long a break of a silent connection may go unseen (30)\n"                  \
    "  --heartbeat-memory FILE\n"                                                                            \
    "                         remember there how much silence each network bears\n"                          \
    "  --no-watch-network     do not listen to what the system tells about links, addresses and routes\n"

/*
 * Take one of HF_PEER_OPTIONS or HF_PEER_LONG_OPTIONS, but help; getopt_long() has left its value in optarg. Returns -1, or the exit status; HF_PEER_NOT_MINE: it is
 * none of them.
 */
enum { HF_PEER_NOT_MINE = -2 };
int hf_peer_take_option(struct hf_peer *peer, const char *name, int option,
                        struct hf_client_options *options);

/* One more server. Returns -1, or the exit status where there are too many. */
int hf_peer_add_url(struct hf_peer *peer, const char *name, struct hf_client_options *options,
                    const char *url);

/* Complain in one line about the command `name`; returns the exit status of a usage error. */
int hf_peer_usage(const char *name, const char *problem, const char *what);
/* The same for what getopt_long() did not know, returning '?' or ':'. */
int hf_peer_usage_option(const char *name, int found, char *const *argv);

/* Seconds, with a fraction where wanted, as milliseconds; at most a year. */
bool hf_peer_parse_seconds(const char *text, uint64_t *ms);
/* Digits only, below 2^53. */
bool hf_peer_parse_number(const char *text, uint64_t *number);

/* EPOCH:OFFSET; the epoch ends at the last colon, where the text is cut. */
bool hf_peer_parse_position(char *text, const char **epoch, uint64_t *offset);

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
