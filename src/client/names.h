/*
 * names.h - a host's addresses, asked for without ever blocking: c-ares, joined to the caller's poll().
 *
 * Both families are asked for at the same time, and each answer can be had as soon as it is there (RFC 8305 section 3). As the system's resolver does, c-ares looks into
 * the hosts file first and then asks the servers of resolv.conf, with its search list. Both files are read anew for each question, so that a changed network is noticed.
 */
#ifndef HF_CLIENT_NAMES_H
#define HF_CLIENT_NAMES_H

#include "base/err.h"
#include "client/race.h"

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

enum {
    HF_NAMES_SERVERS_MAX = 3, /* name servers that are asked, as the C library does (resolv.conf(5), MAXNS) */
    HF_NAMES_FDS_MAX = 2 * HF_NAMES_SERVERS_MAX, /* UDP and TCP to each */
    HF_NAMES_ADDRESSES_MAX = 16,                 /* of a family; what else there is, is left out */
};

/* What became of the question for one family. */
struct hf_names_answer {
    bool there; /* there is an answer; till then nothing else holds */
    bool
        unanswered; /* there is none: the servers failed, or were silent. What was known before may still be true. */
    const char *why; /* count 0: English, without the name; static storage */
    unsigned count;
    uint32_t ttl_s; /* how long it holds */
    struct hf_race_address list[HF_NAMES_ADDRESSES_MAX];
};

struct ares_channeldata;

/* One question. c-ares knows its address: it must not move from _ask() to _end(). */
struct hf_names {
    struct ares_channeldata *channel; /* NULL: nothing is asked */
    unsigned fd_count;
    struct pollfd fds[HF_NAMES_FDS_MAX];
    struct hf_names_answer answers[HF_RACE_FAMILIES];
};

/* Whether a list "ADDRESS[:PORT],…" names 1 to HF_NAMES_SERVERS_MAX servers. Returns 0, HF_EINVAL or HF_ENOMEM. */
int hf_names_check_servers(const char *servers) HF_MUST_CHECK;

void hf_names_init(struct hf_names *n);
/* Ask for a name; servers: as above; NULL: those of the system. An answer may be there at once. HF_ENOMEM, or HF_EIO where c-ares cannot begin. */
int hf_names_ask(struct hf_names *n, const char *host, const char *servers) HF_MUST_CHECK;
/* Forget the question; the answers that are there stay. */
void hf_names_end(struct hf_names *n);

/* Fill in at most HF_NAMES_FDS_MAX descriptors to wait for; returns how many. */
int hf_names_prepare(const struct hf_names *n, struct pollfd *fds);
/* poll() has said so of one of them; others are ignored. */
void hf_names_ready(struct hf_names *n, const struct pollfd *fd);
/* In how many milliseconds to call hf_names_tick() at the latest; UINT64_MAX: never. */
uint64_t hf_names_wait_ms(const struct hf_names *n);
/* Repeat what has not been answered in time. */
void hf_names_tick(struct hf_names *n);

#endif
