/*
 * oracle.h - what Holdfast promises, checked as it happens.
 *
 * The truth is the shared log: each record is noted at the moment when it is committed. Against it is held whatever an application is
 * told. A payload says who published it and as which, so that nothing can pass for something else.
 */
#ifndef SIM_ORACLE_H
#define SIM_ORACLE_H

#include "server/service.h"
#include "session/client_session.h"

#include <stdbool.h>
#include <stdint.h>

struct sim;

void sim_oracle_start(struct sim *sim);
void sim_oracle_free(struct sim *sim);

/* The payload of a publisher's n-th message, of about so many bytes: a JSON string, the same each time. Returns its length. */
size_t sim_payload(uint32_t publisher, uint32_t n, uint32_t channel, uint32_t bytes, char *out);
/* Whether it is published as bytes, and not as the JSON that it is as well. The backends publish JSON only. */
bool sim_payload_raw(uint32_t publisher, uint32_t n);
struct hf_str sim_channel_name(uint32_t channel);
/* Which publish this is the payload of. Returns false where it is of none that was made. */
bool sim_oracle_names(struct hf_str payload, uint32_t *publisher, uint32_t *n);

/* A publisher has given its n-th message (1, 2, 3 …) to the server's care. */
void sim_oracle_published(struct sim *sim, uint32_t publisher, uint32_t n, uint32_t channel, uint32_t bytes);
/* A backend's publish was answered, and is not asked again. */
void sim_oracle_answered(struct sim *sim, uint32_t publisher, uint32_t n,
                         const struct hf_service_result *result);
/* A record has been committed to some log. */
void sim_oracle_committed(struct sim *sim);
/* A segment is about to be recycled: to a reader it is gone, though the owner may yet think better of it. */
void sim_oracle_taken(struct sim *sim);
/* A client's application subscribes or unsubscribes. */
void sim_oracle_subscribes(struct sim *sim, uint32_t client, uint32_t channel,
                           const struct hf_client_session_start *start);
void sim_oracle_unsubscribes(struct sim *sim, uint32_t client, uint32_t channel);
/* Whether it is subscribed, by its own will; and where it stands, for a later `since`. */
bool sim_oracle_subscribed(const struct sim *sim, uint32_t client, uint32_t channel);
bool sim_oracle_leaving(const struct sim *sim, uint32_t client, uint32_t channel);
bool sim_oracle_position(const struct sim *sim, uint32_t client, uint32_t channel, char epoch[32],
                         uint64_t *offset);
/*
 * The client's process died, and another takes its place: with subscriptions of its own, and perhaps told once more what the dead one was told of a publish and did
 * not live to note.
 */
void sim_oracle_reborn(struct sim *sim, uint32_t client);
/* A client's application is told something. */
void sim_oracle_told(struct sim *sim, uint32_t client, const struct hf_client_session_event *ev);

/* Whether every subscriber has all there is; else *why says who has not. */
bool sim_oracle_caught_up(const struct sim *sim, const char **why);
/*
 * Whether the client is subscribed to this incarnation of a channel. *offset: where it stands, 0: nowhere yet. *latest: by mode `latest`, where
 * what was acknowledged on a lost connection need not be acknowledged again.
 */
bool sim_oracle_stands(const struct sim *sim, uint32_t client, uint64_t cid, uint64_t *offset, bool *latest);
/* How many subscriptions a client has. */
uint32_t sim_oracle_subscriptions(const struct sim *sim, uint32_t client);
/* The number of the session on which a client lives; 0: none. */
uint64_t sim_oracle_session(const struct sim *sim, uint32_t client);
/* What must be true at the end: every publish has its one outcome, every channel what it should. */
void sim_oracle_finish(struct sim *sim);

#endif
