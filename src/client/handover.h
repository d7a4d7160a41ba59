/*
 * handover.h - what a pool must know of its members beyond the public interface: what another client may take over from one whose session has ended, its publishes without an answer;
 * and whether a client waits for a token.
 */
#ifndef HF_CLIENT_HANDOVER_H
#define HF_CLIENT_HANDOVER_H

#include "base/err.h"
#include "session/outbox.h"

#include <stdbool.h>

struct hf_client;

/*
 * After on_ended: take the oldest publish without an answer, if the server may have got it (sent), or cannot have got it (not sent); NULL where the
 * oldest is of the other kind, or there is none. All that was sent comes before all that was not. The caller owns it (free()); one that is
 * `refused` has been told to the application.
 */
struct hf_outbox_item *hf_client_take_unanswered(struct hf_client *client, bool sent) HF_MUST_CHECK;

/* Whether on_token_needed has not been answered yet. */
bool hf_client_token_asked(const struct hf_client *client);

#endif
