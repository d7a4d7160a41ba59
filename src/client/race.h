/*
 * race.h - which address of a server is tried when, by RFC 8305 ("Happy Eyeballs Version 2"). A pure machine: it is told what the lookup of
 * the name found and how each connection fared, and says which connection to begin next. The clock is passed in; the driver is dial.h.
 *
 *   RESOLVING -> RUNNING  hf_race_next(): there is an address to begin with
 *   RUNNING   -> WON      hf_race_connected(): the first connection that stands; all others are to be closed
 *   RESOLVING, RUNNING -> LOST   nothing is left to try, or to wait for; or the time is over
 *
 * The order. The address that worked last time comes first, and waits for nothing (not in the RFC: what worked a minute ago does so more often than not). Then the families
 * take turns, IPv6 first (section 4, with a First Address Family Count of 1). Where the IPv4 addresses are found first, those of IPv6 are waited for 50 ms (section 3, Resolution
 * Delay). The next connection begins when one has failed, or the one before it has been silent for the stagger (section 5, Connection Attempt Delay); those that are under way go on.
 * What is found later joins those that are left.
 *
 * Times are milliseconds of one clock that never goes back. A race is a plain value of its caller's and owns nothing.
 */
#ifndef HF_CLIENT_RACE_H
#define HF_CLIENT_RACE_H

#include "base/ip.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    HF_RACE_FAMILY_MAX = 4, /* addresses of a family in one race; the next race takes others, see `skip` */
    HF_RACE_ADDRESSES_MAX = 2 * HF_RACE_FAMILY_MAX,
    HF_RACE_RESOLUTION_MS = 50,    /* RFC 8305 section 8 */
    HF_RACE_STAGGER_MS = 250,      /* the same, where nothing has been measured */
    HF_RACE_STAGGER_MS_MIN = 100,  /* the same; the RFC's absolute minimum is 10 */
    HF_RACE_STAGGER_MS_MAX = 2000, /* the same */
};

enum hf_race_family { HF_RACE_V6, HF_RACE_V4, HF_RACE_FAMILIES };

struct hf_race_address {
    struct hf_ip ip;
    uint32_t scope; /* the interface of a link-local IPv6 address; 0: none */
};

struct hf_race_config {
    uint64_t until_ms;   /* then it is lost */
    uint32_t stagger_ms; /* see hf_race_stagger_ms() */
    uint32_t skip; /* races lost in a row: of more than HF_RACE_FAMILY_MAX addresses, take others each time */
    bool has_last_good;
    struct hf_race_address last_good; /* the address that worked last time */
};

enum hf_race_state { HF_RACE_RESOLVING, HF_RACE_RUNNING, HF_RACE_WON, HF_RACE_LOST };

/* One address in the race. WAITING -> TRYING -> FAILED, STANDS (the winner) or DROPPED (another one won, or the time is over). */
enum hf_racer_state { HF_RACER_WAITING, HF_RACER_TRYING, HF_RACER_FAILED, HF_RACER_STANDS, HF_RACER_DROPPED };

struct hf_racer {
    struct hf_race_address address;
    enum hf_race_family family;
    enum hf_racer_state state;
};

struct hf_race {
    struct hf_race_config config;
    enum hf_race_state state;
    bool timed_out; /* LOST: for that reason */
    bool answered[HF_RACE_FAMILIES];
    uint64_t v4_found_at_ms;         /* since when IPv6 is waited for */
    uint64_t next_at_ms;             /* RUNNING: when the next may begin */
    enum hf_race_family last_family; /* of the one begun last; only with `begun` */
    bool begun;
    unsigned count;
    struct hf_racer racers[HF_RACE_ADDRESSES_MAX]; /* an index stays the same through the race */
};

/* The stagger for a server to which a connection took rtt_ms: twice that, within 100 ms and 2 s; 0, not known: 250 ms. */
uint32_t hf_race_stagger_ms(uint32_t rtt_ms);
enum hf_race_family hf_race_family_of(const struct hf_race_address *address);
bool hf_race_same(const struct hf_race_address *a, const struct hf_race_address *b);

void hf_race_start(struct hf_race *r, const struct hf_race_config *config);
/*
 * The lookup of one family has ended with these addresses of that family, best first; 0: it has none. Once for each family. An IPv4 address
 * in IPv6's form counts as IPv4, and belongs to that family.
 */
void hf_race_found(struct hf_race *r, enum hf_race_family family, const struct hf_race_address *list,
                   unsigned count, uint64_t now_ms);
/* The address to connect to now, as an index of racers, which is TRYING from here on; -1: none for now. Call until it says so, after each other call. */
int hf_race_next(struct hf_race *r, uint64_t now_ms);
/* The connection to this address could not be made. */
void hf_race_failed(struct hf_race *r, unsigned index, uint64_t now_ms);
/* It stands: the race is won, and no other connection is wanted any more. */
void hf_race_connected(struct hf_race *r, unsigned index);
/* When to call hf_race_next() at the latest; UINT64_MAX when it is over. */
uint64_t hf_race_deadline_ms(const struct hf_race *r);

#endif
