/*
 * claims.h - what the claims of a token grant, for the rules `claim` and `claim:NAME` of a namespace.
 *
 * A claim is true (all channels of the namespace), a pattern ("chat:room", "chat:*", "*"), a list of patterns, or an object that has one of these for each right that it
 * gives: {"subscribe": ["news:*", "chat:room"], "publish": "chat:room"}. Anything else, and what is missing, grants nothing.
 */
#ifndef HF_SERVER_CLAIMS_H
#define HF_SERVER_CLAIMS_H

#include "channel/namespace.h"

#include <stdbool.h>

/* For hf_who.claim_allows. claims: a json_t of jansson; any value is taken. */
bool hf_claim_allows(const void *claims, struct hf_str name, enum hf_right right, struct hf_str channel);

#endif
