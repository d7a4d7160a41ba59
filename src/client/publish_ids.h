/*
 * publish_ids.h - a client numbers its publishes itself; who hands it publishes with numbers of their own keeps here which is which.
 */
#ifndef HF_CLIENT_PUBLISH_IDS_H
#define HF_CLIENT_PUBLISH_IDS_H

#include "base/map.h"
#include "base/str.h"

#include <stdint.h>

struct hf_client;

struct hf_publish_ids {
    struct hf_map map;    /* the client's number -> ours, for those without a result */
    uint64_t last_client; /* the client's last number */
};

void hf_publish_ids_init(struct hf_publish_ids *ids);
void hf_publish_ids_release(struct hf_publish_ids *ids);
/* Publish through the client under our number. id ends with a NUL, or is absent. Errors are those of hf_client_publish(). */
int hf_publish_ids_publish(struct hf_publish_ids *ids, struct hf_client *client, struct hf_str channel,
                           struct hf_str payload, bool raw, struct hf_str id,
                           uint64_t publish_id) HF_MUST_CHECK;
/* Our number of a publish that has got its result, forgotten from now on. */
uint64_t hf_publish_ids_take(struct hf_publish_ids *ids, uint64_t client_id);

#endif
