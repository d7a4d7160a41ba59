#include "client/publish_ids.h"

#include "base/assert.h"
#include "holdfast/holdfast.h"

void hf_publish_ids_init(struct hf_publish_ids *ids)
{
    hf_map_init(&ids->map);
    ids->last_client = 0;
}

void hf_publish_ids_release(struct hf_publish_ids *ids)
{
    hf_map_release(&ids->map);
}

int hf_publish_ids_publish(struct hf_publish_ids *ids, struct hf_client *client, struct hf_str channel,
                           struct hf_str payload, bool raw, struct hf_str id, uint64_t publish_id)
{
    const struct hf_client_publication publication = {.channel = channel.data,
                                                      .channel_len = channel.len,
                                                      .payload = payload.data,
                                                      .payload_len = payload.len,
                                                      .bytes = raw,
                                                      .id = id.data};
    uint64_t expected = ids->last_client + 1, given = 0;
    /* First, because a publish that has been taken cannot be called back. */
    int err = hf_map_put(&ids->map, expected, publish_id, 0);

    if (err < 0)
        return err;
    err = hf_client_publish_with(client, &publication, &given);
    if (err < 0) {
        (void)hf_map_remove(&ids->map, expected);
        return err;
    }
    hf_assert(given == expected);
    ids->last_client = given;
    return 0;
}

uint64_t hf_publish_ids_take(struct hf_publish_ids *ids, uint64_t client_id)
{
    const struct hf_map_entry *entry = hf_map_get(&ids->map, client_id);
    uint64_t publish_id;

    hf_assert(entry != NULL);
    publish_id = entry->a;
    (void)hf_map_remove(&ids->map, client_id);
    return publish_id;
}
