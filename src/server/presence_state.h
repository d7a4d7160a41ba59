/*
 * presence_state.h - what presence.c (finding the members) and presence_watch.c (telling of them) share.
 */
#ifndef HF_SERVER_PRESENCE_STATE_H
#define HF_SERVER_PRESENCE_STATE_H

#include "server/presence.h"

/* A join or leave, encoded for both kinds of connections. */
struct hf_presence_event {
    uint64_t session;
    struct hf_buf message[2]; /* by enum hf_encoding; `failed` where there was no memory */
};

struct hf_presence_watcher {
    struct hf_sub *sub;
    uint64_t next; /* the event that it is told next */
};

/* One channel that this worker follows. */
struct hf_follow {
    hf_cid cid;
    struct hf_list idle; /* in state->idle as long as nobody watches */
    uint64_t asked_ms;
    struct hf_presence members;
    uint64_t needs; /* the look whose end makes it right: hf_presence_state.looks */
    bool whole;     /* it has been right before */
    struct hf_list
        ending;  /* in state->ending from that look's end until those who were not seen in it are gone */
    int refused; /* 0, or why it is not followed: HF_ELIMIT, HF_ENOMEM */
    struct hf_presence_watcher *watchers;
    uint32_t watcher_count, watcher_cap;
    struct hf_map places; /* struct hf_sub * -> place in watchers */
    /* Event n is in events[n % HF_PRESENCE_EVENTS], the first is 1. NULL: nobody watches. */
    struct hf_presence_event *events;
    uint64_t newest, round_newest; /* the last one, and the last one when the round under way began */
    uint64_t round_ms;             /* when the next round may begin */
    uint32_t at, left;             /* the round under way: the next watcher, and how many are to come */
    bool behind;                   /* some could not be told all */
    struct hf_list telling;        /* in state->telling while something is to be told */
};

struct hf_presence_state {
    struct hf_map follows; /* cid -> struct hf_follow * */
    struct hf_list idle;   /* the one asked longest ago first */
    struct hf_list telling;
    size_t
        bytes; /* of all of them, with members, watchers and events: at most HF_PRESENCE_BYTES_MAX, but for the last member */
    uint64_t looks; /* how many have come to their end */
    bool looking;
    uint64_t look_at; /* the place where it goes on */
    size_t grown;     /* places of tables that were filled anew for want of room, in this turn */
    struct hf_list ending;
    uint32_t listed[2]; /* by enum hf_presence_asker: members that answers of this turn have had */
    struct {
        uint64_t next;
        uint32_t starts;
    } * feeds; /* of each worker's hints */
    struct hf_buf user, info;
    struct hf_list questions; /* presence_question.c's: those that wait */
    struct hf_map asking;     /* serial of a connection -> how many of its questions wait */
};

/* ---- presence_watch.c ---- */
void hf_presence_tell(struct hf_hub *hub, struct hf_follow *f, const struct hf_presence_member *m,
                      bool joined);
/* Watchers are told why there will be no more events. */
void hf_presence_end_watch(struct hf_follow *f);
/* A turn's share of the rounds. */
void hf_presence_rounds(struct hf_hub *hub);
/* When the next round is due. */
uint64_t hf_presence_round_ms(const struct hf_hub *hub);
void hf_presence_free_watch(struct hf_presence_state *p, struct hf_follow *f);

/* ---- presence_question.c ---- */
/* A turn's share of the questions that wait. */
void hf_presence_answer(struct hf_hub *hub);
/* When to look at them again; UINT64_MAX: none waits. */
uint64_t hf_presence_answer_ms(const struct hf_hub *hub);
void hf_presence_free_questions(struct hf_presence_state *p);

/* ---- presence.c ---- */
/* Whether so many bytes more may be kept; follows that nobody watches give way, those in state->idle, once their members have been found. */
bool hf_presence_room(struct hf_hub *hub, size_t bytes);
/* The follow of a channel, made where there is none. NULL with HF_ENOMEM. */
int hf_presence_follow(struct hf_hub *hub, hf_cid cid, struct hf_follow **out) HF_MUST_CHECK;
#endif
