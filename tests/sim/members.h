/*
 * members.h - who was a member of which channel, and how often that has changed: noted from the session table after each turn of a worker, and at each place where a worker is about to
 * tell of a change. Against it is held whatever a follower is told.
 *
 * A session's changes in a channel are counted from 0: after an odd number it is a member, after an even one it is none.
 */
#ifndef SIM_MEMBERS_H
#define SIM_MEMBERS_H

#include <stdbool.h>
#include <stdint.h>

enum { SIM_TRACKS_MAX = 1024 /* sessions that were ever a member of something, in a schedule */ };

struct sim;

void sim_members_start(struct sim *sim);
void sim_members_free(struct sim *sim);
/* The session table may have changed. Callable in the midst of a worker's turn, its points off. */
void sim_members_observe(struct sim *sim);

/* The track of a session; UINT32_MAX: it was never a member of anything. */
uint32_t sim_members_track(const struct sim *sim, uint64_t session);
uint32_t sim_members_tracks(const struct sim *sim);
uint64_t sim_members_session(const struct sim *sim, uint32_t track);
/* How many changes there have been; and how many of them every worker must know of, when it is asked. */
uint32_t sim_members_changes(const struct sim *sim, uint32_t track, uint32_t channel);
uint32_t sim_members_sure(const struct sim *sim, uint32_t track, uint32_t channel);

#endif
