/*
 * dial.h - making one TCP connection to a host: its name is looked up (names.h), its addresses race (race.h), and one socket comes out. Nothing blocks.
 *
 * What has been found out about a host is kept in struct hf_host, which is the caller's, and several dials may share: its addresses for as long as their TTL says, at most a minute; longer only
 * for when the name servers do not answer; the address that worked, and how far it is.
 */
#ifndef HF_CLIENT_DIAL_H
#define HF_CLIENT_DIAL_H

#include "base/err.h"
#include "client/names.h"
#include "client/race.h"

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

enum { HF_DIAL_FDS_MAX = HF_RACE_ADDRESSES_MAX + HF_NAMES_FDS_MAX };

/* Born as {.name = …, .port = …}; the rest is filled in by dials. */
struct hf_host {
    const char
        *name; /* or an address; IPv6 without brackets, with "%INTERFACE" where it is link-local. Borrowed. */
    const char *port;                               /* digits; borrowed */
    struct hf_names_answer known[HF_RACE_FAMILIES]; /* the last good answers */
    uint64_t fresh_until_ms;                        /* till then they need not be asked for again */
    bool has_last_good;
    struct hf_race_address last_good; /* the address of the last connection */
    uint32_t rtt_ms;                  /* what it took to make it; 0: not known */
    uint32_t losses;                  /* dials in a row that led to nothing */
};

struct hf_dial {
    struct hf_host *host; /* NULL: nothing is under way */
    struct hf_names names;
    struct hf_race race;
    int fds[HF_RACE_ADDRESSES_MAX]; /* by the race's index; -1: none */
    uint64_t begun_at_ms[HF_RACE_ADDRESSES_MAX];
    uint64_t began_at_ms;
    uint64_t stale_at_ms;  /* when what was known has to do; UINT64_MAX: nothing is known */
    unsigned failed_index; /* of the address that failed last */
    int failed_errno;      /* 0: none failed */
    char why[384];         /* after HF_ECLOSED: what went wrong and what to do about it, in English */
};

void hf_dial_init(struct hf_dial *d);
/*
 * Begin. until_ms: when it has failed. dns_servers: as for hf_names_ask(). Both pointers are borrowed until the end. It cannot fail: that shows in hf_dial_step(),
 * which must be called next.
 */
void hf_dial_start(struct hf_dial *d, struct hf_host *host, const char *dns_servers, uint64_t until_ms,
                   uint64_t now_ms);
/* It has another time than it began with. Does nothing where nothing is under way. */
void hf_dial_set_until(struct hf_dial *d, uint64_t until_ms);
/* Give up: all is closed. */
void hf_dial_end(struct hf_dial *d);

/* What to wait for: fills in at most HF_DIAL_FDS_MAX; returns how many. */
int hf_dial_prepare(const struct hf_dial *d, struct pollfd *fds);
/* poll() has said so of one of them; others are ignored. */
void hf_dial_ready(struct hf_dial *d, const struct pollfd *fd, uint64_t now_ms);
/* When to call hf_dial_step() at the latest; UINT64_MAX: nothing is under way. */
uint64_t hf_dial_deadline_ms(const struct hf_dial *d, uint64_t now_ms);
/*
 * Do what is due. Returns HF_EAGAIN while it is under way, HF_ECLOSED with `why` when it has failed, or else the connected socket (non-blocking,
 * close-on-exec, without Nagle's delay), which is the caller's from here on. Either end leaves nothing under way.
 */
int hf_dial_step(struct hf_dial *d, uint64_t now_ms) HF_MUST_CHECK;

#endif
