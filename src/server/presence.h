/*
 * presence.h - who is subscribed to a channel, and who comes and goes: across all workers, exactly, and for those alone who ask.
 *
 * The truth is the session table: who is LIVE or PARKED with a cell for the channel is a member, and a break is no leave. A worker that is asked about a channel *follows* it: it
 * looks through the table once, in pieces beside its work, for all channels together that it has just begun to follow, and keeps what it found (channel/presence.h) up to date from
 * the hints of all workers (shm/hints.h). It goes on for HF_PRESENCE_IDLE_MS after the last question, and as long as it has subscribers who want to be told of joins and leaves.
 * Where hints were lost (a worker died, a reader was too slow), it looks through the table again, and the difference to what it had is what has happened.
 *
 * Events have no offsets and no queue for a connection: a channel's last HF_PRESENCE_EVENTS lie in the follow, encoded once, and each watcher has a place in them. Who falls further
 * behind is told that he must ask for the members again.
 *
 * What is bounded: HF_PRESENCE_* below. A channel with more members than that is not followed: questions are answered HF_ELIMIT, and watchers told so. Where there is no room, channels
 * that are only asked about, and whose members have been found, give way to others; where there are none of those, questions are answered HF_ENOMEM, and watchers told so; an event that finds no room is left out, and its
 * watchers told to ask.
 */
#ifndef HF_SERVER_PRESENCE_H
#define HF_SERVER_PRESENCE_H

#include "channel/presence.h"
#include "server/hub_state.h"

enum {
    HF_PRESENCE_MEMBERS_MAX = 65536, /* of one channel. All of these are guesses. */
    HF_PRESENCE_ANSWER_MAX = 10000,  /* members in one answer to a client */
    HF_PRESENCE_BYTES_MAX =
        256 << 20, /* what one worker keeps of members, watchers and events, all channels together */
    HF_PRESENCE_FOLLOWS_MAX = 16384, /* channels that one worker follows, those without a watcher give way */
#ifndef HF_SIMULATION
    HF_PRESENCE_IDLE_MS = 60000,
    HF_PRESENCE_EVENTS = 256, /* of a channel: as many wait for a watcher that is slow */
    HF_PRESENCE_LOOK = 4096,  /* sessions looked at in a turn: some half a millisecond */
    HF_PRESENCE_END = 16384,  /* members looked at for those who have gone, at the end of a look, in a turn */
    HF_PRESENCE_LISTED =
        16384,              /* members in answers of a turn, beyond which the next waits: some milliseconds */
    HF_PRESENCE_TELL = 256, /* watchers told in a turn: as HF_SLICE_SUBS */
    HF_PRESENCE_HINTS = 16384, /* of one worker read in a turn; what is left keeps until the next */
#else                          /* Small, so that schedules of some seconds come to each bound. */
    HF_PRESENCE_IDLE_MS = 4000,
    HF_PRESENCE_EVENTS = 2,
    HF_PRESENCE_LOOK = 3,
    HF_PRESENCE_END = 2,
    HF_PRESENCE_LISTED = 5,
    HF_PRESENCE_TELL = 1,
    HF_PRESENCE_HINTS = 3,
#endif
    HF_PRESENCE_QUESTIONS = 16, /* of one connection that wait for their answers */
    HF_PRESENCE_ANSWERS = 16,   /* to those that waited, in a turn */
    HF_PRESENCE_ROUND_MS = 50,  /* from one round of telling to the next, and a millisecond more for every */
    HF_PRESENCE_ROUND_WATCHERS = 20, /* so many watchers: each of n joins is told to n */
};

/* ---- What has changed: to be called behind the change. Cheap where nobody follows the channel. ---- */

/* A session has begun or ended a subscription. */
void hf_presence_changed(struct hf_hub *hub, const struct hf_channel *channel, hf_cid cid, uint64_t session);
/* A session has ended, by its own wish, the backend's, or time (its home says so once more before it is freed); or its user's info is another. */
void hf_presence_session_changed(struct hf_hub *hub, const struct hf_session *s);

/* ---- Questions ---- */

/* Who asks: what the answers to one of them take of a turn is not taken from the other. */
enum hf_presence_asker { HF_PRESENCE_CLIENT, HF_PRESENCE_BACKEND };

/*
 * The members of a channel: as they are now, what any worker has answered its clients before included. Returns 0 with *members (until the hub's next call), HF_EAGAIN: ask again in
 * the next turn (they are being looked for, or HF_PRESENCE_LISTED have been listed in this one), HF_ELIMIT: it has more than HF_PRESENCE_MEMBERS_MAX, or HF_ENOMEM: the worker holds as much of presence as it may.
 */
int hf_presence_members(struct hf_hub *hub, hf_cid cid, enum hf_presence_asker asker,
                        const struct hf_presence **members) HF_MUST_CHECK;

/* Why not, in English. */
const char *hf_presence_refusal(int err);
/* Append a member to the list of a message `presence`, in that encoding. */
void hf_presence_put_member(struct hf_buf *out, enum hf_encoding encoding,
                            const struct hf_presence_member *m);

/*
 * A client's `presence`: answered now, or in one of the next turns, when its members have been found; what comes behind it need not wait. Returns false where it must wait like any other
 * message that is stalled: HF_PRESENCE_QUESTIONS of its connection wait already, or there is no memory.
 */
bool hf_presence_question(struct hf_conn *c, const struct hf_msg *m);

/* ---- Watchers ---- */

/* This subscription is to be told of joins and leaves. Where that cannot be (as above), its client is told. */
void hf_presence_watch(struct hf_sub *s);
void hf_presence_unwatch(struct hf_sub *s);
/* It may not any more: its client is told, and the session forgets that it wanted to. */
void hf_presence_forbid(struct hf_sub *s);
/* It has just been sent the members: events from before then are not told any more. */
void hf_presence_caught_up(struct hf_sub *s);

/* ---- The hub's ---- */

/* How many channels this worker follows. */
uint32_t hf_presence_followed(const struct hf_hub *hub);

void hf_presence_turn(struct hf_hub *hub);
/* When the next turn is due; UINT64_MAX: not for this. */
uint64_t hf_presence_deadline_ms(const struct hf_hub *hub);
void hf_presence_free(struct hf_hub *hub);

#endif
